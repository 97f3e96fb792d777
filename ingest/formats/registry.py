"""Which format a file has, and the reader of each: the one door through which landing reads files.

A format is told by what a file holds, never by its name alone. What a format means stands in its own module.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ingest.formats import (
    biohpc,
    canonical,
    focus,
    green_button,
    nem12,
    nvidia_smi_csv,
    prometheus_api,
    prometheus_text,
    wide_csv,
)
from ingest.formats.errors import FormatError
from ingest.formats.opening import Head, head
from ingest.formats.park import ParkClock

__all__ = ["FORMATS", "Format", "FormatError", "detect", "feeds_of", "read"]

Frames = pl.DataFrame | Iterator[pl.DataFrame]


@dataclass(frozen=True)
class Format:
    """One way of writing a feed.

    Attributes:
        name: as in `detect` and in quality.fct_landed_file.
        feeds: the feeds that files of this format may hold.
        recognise: None if a file's head is of this format, else why not.
        read: see `registry.read`.
    """

    name: str
    feeds: tuple[str, ...]
    recognise: Callable[[Head, str], str | None]
    read: Callable[[Path, str, ParkClock], Frames]


def _any_feed(recognise: Callable[[Head], str | None]) -> Callable[[Head, str], str | None]:
    return lambda start, _feed: recognise(start)


FORMATS: dict[str, Format] = {
    known.name: known
    for known in (
        Format("parquet", tuple(canonical.KEYS), canonical.recognise_parquet, canonical.read_parquet),
        Format(
            "packed_parquet",
            tuple(canonical.KEYS),
            canonical.recognise_packed_parquet,
            canonical.read_packed_parquet,
        ),
        Format("csv", tuple(canonical.KEYS), canonical.recognise_csv, canonical.read_csv),
        *(
            Format(module.NAME, module.FEEDS, _any_feed(module.recognise), module.read)
            for module in (
                prometheus_text,
                prometheus_api,
                nvidia_smi_csv,
                biohpc,
                wide_csv,
                nem12,
                green_button,
                focus,
            )
        ),
    )
}


def detect(path: Path, feed: str) -> str:
    """The name of the format of a file that lies in a feed's folder.

    Raises:
        FormatError: no format of this feed fits, with the reason of each; or several do.
    """
    if feed not in canonical.KEYS:
        raise FormatError(path, [f"{feed!r} is no feed; the feeds are {', '.join(canonical.KEYS)}"])
    start = head(path)
    if reference := _reference(start):
        raise FormatError(path, [reference])
    reasons: dict[str, str] = {}
    fitting: list[str] = []
    for known in FORMATS.values():
        if feed not in known.feeds:
            continue
        reason = known.recognise(start, feed)
        if reason is None:
            fitting.append(known.name)
        else:
            reasons[known.name] = reason
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise FormatError(path, [f"it could be {' or '.join(fitting)}"])
    elsewhere = [
        known.name
        for known in FORMATS.values()
        if feed not in known.feeds and any(known.recognise(start, other) is None for other in known.feeds)
    ]
    if elsewhere:
        homes = sorted({home for name in elsewhere for home in FORMATS[name].feeds})
        raise FormatError(path, [f"it is {' or '.join(elsewhere)}, which holds {', '.join(homes)} and not {feed}"])
    raise FormatError(path, [f"no format of {feed} fits", *(f"{name}: {why}" for name, why in reasons.items())])


def _reference(start: Head) -> str | None:
    """What to do with a file that is reference data and no feed; None for any other."""
    text = start.text.lstrip()[:4096]
    if text.startswith("{") and '"cik"' in text and '"facts"' in start.text:
        return "it is SEC companyfacts, which is reference data and no feed: put it under reference/ of the home"
    if text.startswith("Date,USD,"):
        return "it is the ECB's reference rates, which are reference data and no feed: put them under reference/ of the home"
    return None


def feeds_of(path: Path, format_name: str | None = None) -> list[tuple[str, str]]:
    """What a file is taken for where nobody says its feed.

    Args:
        path: the file.
        format_name: the only format that will do, if one is demanded.

    Returns:
        (feed, format) of each feed that a file of this content may carry, in the order of feeds; a FOCUS bill carries
        two.

    Raises:
        FormatError: no feed fits, with the reason of every format.
    """
    start = head(path)
    if reason := _reference(start):
        raise FormatError(path, [reason])
    wanted = [known for known in FORMATS.values() if format_name in {None, known.name}]
    if not wanted:
        raise FormatError(path, [f"{format_name!r} is no format; the formats are {', '.join(FORMATS)}"])
    reasons: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    for known in wanted:
        for feed in known.feeds:
            reason = known.recognise(start, feed)
            if reason is None:
                found.append((feed, known.name))
            else:
                reasons[known.name] = (
                    reason if len(known.feeds) < len(canonical.KEYS) else "not the key columns of any feed"
                )
    if not found:
        raise FormatError(path, ["no format of any feed fits", *(f"{name}: {why}" for name, why in reasons.items())])
    return sorted(found)


def read(format_name: str, path: Path, feed: str, park: ParkClock) -> Frames:
    """The rows of a file under the canonical column names of its feed.

    Args:
        format_name: from `detect`.
        path: the file.
        feed: the feed of its folder.
        park: the park of its folder: clock (`time_zone`, `naive_timestamps`) and tranches (`nodes`, `gpu_model`).

    Returns:
        A frame, or an iterator of frames for canonical files of any size, with `line_no` (unique in the file: the line,
        or the number of the row where one line holds several or none). Outside formats and CSV give text columns,
        instants
        as ISO 8601; cells that cannot be mapped stay as they came, for landing to quarantine. Columns of the file
        that the
        feed does not have may stand beside; `source_line` and `line_text` help to say where a bad row came from.

    Raises:
        FormatError: the file cannot be read as a whole (for iterators: while it is read).
    """
    known = FORMATS.get(format_name)
    if known is None or feed not in known.feeds:
        raise FormatError(path, [f"{format_name!r} is no format of {feed}"])
    return known.read(path, feed, park)
