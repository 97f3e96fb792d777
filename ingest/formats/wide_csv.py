"""Utilisation traces of clusters: a table of stamps by nodes, or the same table as one line per stamp and node.

Wide: stamps in the first column, one column a node or container. Turned: nodes in the first column, one column a stamp.
Long: exactly a stamp, a value and a series column, in any order, as in alibaba/clusterdata v2026-GenAI. Cells are parted
by commas, semicolons or tabs. Such files do not say what they measure, so only percent (0–100) is taken.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl

from ingest.formats.errors import FormatError
from ingest.formats.opening import Head, Line, stream_lines
from ingest.formats.park import ParkClock, gpu_model_of

NAME = "wide_csv"
FEEDS = ("gpu_telemetry",)

_STAMP_NAMES = re.compile(r"^(timestamps?(_anon)?|time|date_?time|sampled_at|ts|)$", re.IGNORECASE)
_SERIES_NAMES = re.compile(
    r"^(container(_ip|_id)?|pod(_name|_id)?|instance|node(_id|_name)?|host(name)?|gpu_?id)$", re.IGNORECASE
)
_NUMBER = re.compile(r"^-?\d+(\.\d*)?([eE][+-]?\d+)?$", re.ASCII)
# Without an offset an instant is the park's to allow: checking knows the park.
_ISO = re.compile(r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$")
_SEPARATORS = ",;\t"
# So many of the values outside 0–100 mean that the table measures something else; fewer are faults of their cells.
_ODD_FRACTION = 0.5
# Epoch seconds from 2000 to 2100, and the same in milliseconds; smaller numbers are seconds since some unknown start.
_FIRST_SECOND = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
_LAST_SECOND = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())
# A row of 200,000 nodes, or of a node's minutes of two years, is some 8 MB; so many characters are read at once.
_MAX_COLUMNS = 250_000
_LONGEST_LINE, _PART_CHARS, _SHOWN = 32 * 1024**2, 4 * 1024**2, 4096
_TRACE = {
    "line_no": pl.Int64,
    "stamp": pl.String,
    "series": pl.String,
    "value": pl.String,
    "line_text": pl.String,
    "line_rule": pl.String,
}


def _separator(line: str) -> str:
    """The separator that parts a line most often."""
    return max(_SEPARATORS, key=line.count)


def _names(line: str, separator: str) -> list[str]:
    return [name.strip().strip('"') for name in line.split(separator)]


def _is_stamp(text: str) -> bool:
    if _ISO.match(text):
        return True
    if not _NUMBER.match(text):
        return False
    number = float(text)
    return _FIRST_SECOND <= number < _LAST_SECOND or _FIRST_SECOND * 1000 <= number < _LAST_SECOND * 1000


def _long_columns(names: list[str]) -> tuple[str, str, str] | None:
    """(stamp, value, series) of a long table, None for any other."""
    if len(names) != 3 or "value" not in names:
        return None
    stamp = next((name for name in names if name and _STAMP_NAMES.match(name)), None)
    series = next((name for name in names if _SERIES_NAMES.match(name)), None)
    return (stamp, "value", series) if stamp and series else None


def _is_turned(names: list[str]) -> bool:
    """Whether the header holds nodes' heading and then stamps."""
    return len(names) > 1 and bool(_SERIES_NAMES.match(names[0])) and all(_is_stamp(name) for name in names[1:])


def _is_number(cell: str) -> bool:
    return cell == "" or bool(_NUMBER.match(cell)) or cell.lower() == "nan"


def recognise(head: Head) -> str | None:
    """None if this is a table of stamps by nodes, wide, turned or long, of instants with a known zero, else why not."""
    lines = [line for line in head.lines if line.strip()]
    if head.kind != "text" or head.is_zip or len(lines) < 2:
        return "no table of stamps by nodes"
    separator = _separator(lines[0])
    names = _names(lines[0], separator)
    rows = [_names(line, separator) for line in lines[1:20]]
    if _is_turned(names):
        return None if all(_is_number(cell) for row in rows for cell in row[1:]) else "its columns are not all numbers"
    long = _long_columns(names)
    stamp_at = names.index(long[0]) if long else 0
    if long is None and (not _STAMP_NAMES.match(names[0]) or len(names) < 2):
        return (
            "the first column is not headed as a time, and there are not exactly a stamp, a value and a series column"
        )
    if any(stamp_at >= len(cells) or not _is_stamp(cells[stamp_at]) for cells in rows):
        return "its stamps are neither ISO 8601 nor seconds or milliseconds since 1970"
    if long is None and not all(_is_number(cell) for row in rows for cell in row[1:]):
        return "its columns are not all numbers"
    return None


def _cells_of(text: str, separator: str) -> list[str]:
    return next(csv.reader([text], delimiter=separator), [])


def _header(path: Path, line: Line) -> tuple[str, list[str]]:
    """Separator and names of a table by its first line."""
    _, text, rule = line
    if rule is not None:
        raise FormatError(path, [f"the header cannot be read: {rule}"])
    separator = _separator(text)
    names = [name.strip() for name in _cells_of(text, separator)]
    if len(names) > _MAX_COLUMNS:
        raise FormatError(path, [f"the header names {len(names):,} columns, more than {_MAX_COLUMNS:,}"])
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise FormatError(path, [f"the header names {', '.join(map(repr, twice[:5]))} twice"])
    return separator, names


def _whole(text: str, separator: str, width: int) -> list[str] | None:
    """The cells of a line, one for each name; None where it has more or fewer. Quoted cells may hold separators."""
    try:
        cells = _cells_of(text, separator) if '"' in text else text.split(separator)
    except csv.Error:
        return None
    return cells if len(cells) == width else None


def _long(rows: list[list[str]], line_nos: list[int], names: list[str], *, is_turned: bool) -> pl.DataFrame:
    """line_no, stamp, series and value of the cells of whole lines; empty cells left out.

    Cell by cell: a table of 100,000 columns would cost a frame some seconds for each few of its lines.
    """
    lines = pl.Series(line_nos, dtype=pl.Int64)
    if long := _long_columns(names):
        stamp, value, series = (pl.Series([row[names.index(name)] for row in rows], dtype=pl.String) for name in long)
    else:
        width = len(names) - 1
        of_line = np.repeat(np.arange(len(rows)), width)
        first = pl.Series([row[0] for row in rows], dtype=pl.String).gather(of_line)
        head = pl.Series(names[1:], dtype=pl.String).gather(np.tile(np.arange(width), len(rows)))
        stamp, series = (head, first) if is_turned else (first, head)
        value = pl.Series(list(chain.from_iterable(row[1:] for row in rows)), dtype=pl.String)
        lines = lines.gather(of_line)
    frame = pl.DataFrame({"line_no": lines, "stamp": stamp, "series": series, "value": value.str.strip_chars()})
    frame = frame.filter(~pl.col("value").str.to_lowercase().is_in(["nan", ""]))
    nothing = pl.lit(None, pl.String)
    return frame.with_columns(line_text=nothing, line_rule=nothing)


def traces(path: Path) -> Iterator[pl.DataFrame]:
    """Parts of a table of any size, one row per stamp and series: line_no, stamp, series, value as written; empty cells left
    out. A line with more or fewer cells than the header, or that is no text, comes as line_text and line_rule.

    Raises:
        FormatError: a header that cannot be read, or names a column twice.
    """
    lines = ((number, text.rstrip("\r"), rule) for number, text, rule in stream_lines(path, longest=_LONGEST_LINE))
    lines = (line for line in lines if line[1].strip() or line[2])
    separator, names = _header(path, next(lines, (1, "", None)))
    is_turned = _is_turned(names)
    for part in _parts(lines):
        rows, line_nos, torn = [], [], []
        for number, text, rule in part:
            cells = _whole(text, separator, len(names)) if rule is None else None
            if cells is None:
                torn.append((number, None, None, None, text[:_SHOWN], rule))
            else:
                rows.append(cells)
                line_nos.append(number)
        frame = _long(rows, line_nos, names, is_turned=is_turned)
        yield pl.concat([frame, pl.DataFrame(torn, schema=_TRACE, orient="row")])


def _parts(lines: Iterator[Line]) -> Iterator[list[Line]]:
    part: list[Line] = []
    size = 0
    for line in lines:
        part.append(line)
        size += len(line[1])
        if size >= _PART_CHARS:
            yield part
            part, size = [], 0
    if part:
        yield part


def _instant(stamp: pl.Expr) -> pl.Expr:
    """Epoch seconds or milliseconds as ISO 8601 in UTC; anything else stays as written."""
    number = stamp.cast(pl.Float64, strict=False)
    seconds = pl.when(number >= _LAST_SECOND).then(number / 1000).otherwise(number)
    instant = pl.from_epoch((seconds * 1_000_000).round().cast(pl.Int64, strict=False), time_unit="us")
    return pl.when(number.is_null()).then(stamp).otherwise(instant.dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ"))


def read(path: Path, feed: str, park: ParkClock) -> Iterator[pl.DataFrame]:
    """One row per stamp and node that has a value, all columns text as in a canonical CSV.

    Args:
        path: the table, of any size.
        feed: gpu_telemetry.
        park: its tranches name the GPU model of each node.

    Yields:
        gpu_id and node_id (the column's head, or the series), gpu_model, sampled_at, utilization_pct 0–100, power_w
        (always empty), line_no (number of the row: one line of a wide table holds many), source_line, and line_text and
        line_rule of lines that cannot be read.

    Raises:
        FormatError: most values above 100 or below 0: the table measures something else. Memory alone makes no sample:
            landed under the same key, it would supersede the utilisation. See also `traces`.
    """
    done, value_count, moving_count, odd_count = 0, 0, 0, 0
    where: tuple[int, str] | None = None
    models: dict[str, str | None] = {}
    for frame in traces(path):
        number = pl.col("value").cast(pl.Float64, strict=False)
        odd = frame.filter((number < 0) | (number > 100))
        where = where or (odd.select("line_no", "value").row(0) if odd.height else None)
        odd_count += odd.height
        value_count += frame.height - frame["value"].null_count()
        moving_count += frame.filter(number != 0).height
        models |= {
            node: gpu_model_of(park, node) for node in frame["series"].unique().drop_nulls() if node not in models
        }
        yield frame.select(
            gpu_id="series",
            node_id="series",
            gpu_model=pl.col("series").replace_strict(models, default=None, return_dtype=pl.String),
            sampled_at=_instant(pl.col("stamp")),
            utilization_pct="value",
            power_w=pl.lit(None, pl.String),
            source_line="line_no",
            line_no=pl.int_range(done + 1, done + frame.height + 1, dtype=pl.Int64),
            line_text="line_text",
            line_rule="line_rule",
        )
        done += frame.height
    if where is not None and odd_count > _ODD_FRACTION * moving_count:
        found = f"{odd_count} of {value_count} values are outside 0–100 (line {where[0]}: {where[1]})"
        why = "a table without names of its measures is taken for percent of utilisation"
        raise FormatError(path, [f"{found}: {why}, and {feed} has no other use for it"])
