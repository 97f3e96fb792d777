"""Reads a file on trial before it is put under landing: what it is taken for, and what would become of its rows.

Nothing is written but the file's copy in the landing folder.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ingest.feeds.limits import Limits
from ingest.files import place
from ingest.formats.errors import FormatError
from ingest.formats.registry import detect, feeds_of
from ingest.reading import Rejected, check_cells, read_cells
from ingest.terms.home import Home


@dataclass(frozen=True)
class Trial:
    """What one feed of a file is taken for.

    Attributes:
        feed, format_name: what was found.
        row_count: rows of the file.
        broken_count: rows that break a rule which needs no other file to see.
        faults: (rule, column, rows) of them.
        target: where the file stands now.
    """

    feed: str
    format_name: str
    row_count: int
    broken_count: int
    faults: tuple[tuple[str, str | None, int], ...]
    target: Path


def _found(path: Path, feed: str | None, format_name: str | None) -> list[tuple[str, str]]:
    if feed is None:
        return feeds_of(path, format_name)
    found = detect(path, feed)
    if format_name not in {None, found}:
        raise FormatError(path, [f"it is {found} and not {format_name}"])
    return [(feed, found)]


def place_read(path: Path, home: Home, park_id: str, feed: str | None, format_name: str | None) -> list[Trial]:
    """Find what a file is, read it to its end, and put it under landing once for each feed that it carries.

    Args:
        path: the file as its maker wrote it.
        home: the home.
        park_id: a park of the home.
        feed: the only feed that will do, None for whatever the content is.
        format_name: the only format that will do, None for whatever is found.

    Raises:
        FormatError: no such format or feed, or nothing of the file can be read; then nothing is put anywhere.
    """
    park = home.parks[park_id]
    limits = Limits(park, home.clock_at, home.policies)
    trials: list[Trial] = []
    reasons: list[str] = []
    for carried, found in _found(path, feed, format_name):
        cells = read_cells(path, carried, park)
        if isinstance(cells, Rejected):
            reasons.append(f"as {carried}: {cells.reason}")
            continue
        bad = pl.concat([batch.rejected for batch in check_cells([(0, cells)], carried, limits)])
        faults = bad.group_by("rule", "column_name").len().sort("len", "rule", descending=[True, False])
        rows = cells.row_count
        target = place(path, home, park_id, carried)
        trials.append(Trial(carried, found, rows, bad.height, tuple(faults.rows()), target))
    if not trials:
        raise FormatError(path, reasons)
    return trials
