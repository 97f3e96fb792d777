"""Utilisation traces of clusters: a table of stamps by nodes, or the same table as one line per stamp and node.

Wide: stamps in the first column, one column a node or container. Turned: nodes in the first column, one column a stamp.
Long: exactly a stamp, a value and a series column, in any order, as in alibaba/clusterdata v2026-GenAI. Cells are parted
by commas, semicolons or tabs. Such files do not say what they measure, so only percent (0–100) is taken.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from ingest.formats.errors import FormatError
from ingest.formats.opening import HEAD_BYTES, Head, decoded, read_bytes
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


def trace(path: Path) -> pl.DataFrame:
    """The table as one row per stamp and series: line_no, stamp, series, value as written; empty cells left out."""
    data = read_bytes(path)
    first = decoded(path, data[:HEAD_BYTES], is_head=True).lstrip("\r\n").split("\n", 1)[0].rstrip("\r")
    separator = _separator(first)
    try:
        table = pl.read_csv(data, infer_schema=False, row_index_name="line_no", row_index_offset=2, separator=separator)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise FormatError(path, [f"the table cannot be read: {str(error).splitlines()[0]}"]) from error
    table = table.with_columns(pl.col("line_no").cast(pl.Int64))
    names = table.columns[1:]
    if long := _long_columns(names):
        stamp, value, series = long
        frame = table.select("line_no", stamp=stamp, series=series, value=value)
    else:
        across, down = ("stamp", "series") if _is_turned(_names(first, separator)) else ("series", "stamp")
        frame = table.unpivot(index=["line_no", names[0]], variable_name=across, value_name="value").rename(
            {names[0]: down}
        )
        frame = frame.sort("line_no", maintain_order=True)
    is_empty = pl.col("value").is_null() | pl.col("value").str.to_lowercase().is_in(["nan", ""])
    return frame.filter(~is_empty).select("line_no", "stamp", "series", "value")


def _instant(stamp: pl.Expr) -> pl.Expr:
    """Epoch seconds or milliseconds as ISO 8601 in UTC; anything else stays as written."""
    number = stamp.cast(pl.Float64, strict=False)
    seconds = pl.when(number >= _LAST_SECOND).then(number / 1000).otherwise(number)
    instant = pl.from_epoch((seconds * 1_000_000).round().cast(pl.Int64, strict=False), time_unit="us")
    return pl.when(number.is_null()).then(stamp).otherwise(instant.dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ"))


def read(path: Path, feed: str, park: ParkClock) -> pl.DataFrame:
    """One row per stamp and node that has a value, all columns text as in a canonical CSV.

    Args:
        path: the table.
        feed: gpu_telemetry.
        park: its tranches name the GPU model of each node.

    Returns:
        gpu_id and node_id (the column's head, or the series), gpu_model, sampled_at, utilization_pct 0–100, power_w
        (always empty), line_no (number of the row: one line of a wide table holds many) and source_line.

    Raises:
        FormatError: most values above 100 or below 0: the table measures something else. Memory alone makes no sample:
            landed under the same key, it would supersede the utilisation.
    """
    frame = trace(path)
    number = pl.col("value").cast(pl.Float64, strict=False)
    odd = frame.filter((number < 0) | (number > 100))
    if odd.height > _ODD_FRACTION * frame.filter(number != 0).height:
        where = f"{odd.height} of {frame.height} values are outside 0–100 (line {odd['line_no'][0]}: {odd['value'][0]})"
        why = "a table without names of its measures is taken for percent of utilisation"
        raise FormatError(path, [f"{where}: {why}, and {feed} has no other use for it"])
    models = {node: gpu_model_of(park, node) for node in frame["series"].unique().drop_nulls().to_list()}
    return (
        frame.select(
            gpu_id="series",
            node_id="series",
            gpu_model=pl.col("series").replace_strict(models, default=None, return_dtype=pl.String),
            sampled_at=_instant(pl.col("stamp")),
            utilization_pct="value",
            power_w=pl.lit(None, pl.String),
            source_line="line_no",
        )
        .with_row_index("line_no", offset=1)
        .with_columns(pl.col("line_no").cast(pl.Int64))
    )
