"""The project's own files: CSV (plain, gzip, zstd) and Parquet that carry the columns of a feed under their own names.

Cells are not judged here: CSV cells stay text, Parquet columns keep their types; the feed's contract is landing's to
apply.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.formats.errors import FormatError
from ingest.formats.opening import Head, decoded, stream_blocks
from ingest.formats.park import ParkClock

# The natural key of each feed (without the park, which the folder gives): by it a canonical file is known.
KEYS: dict[str, tuple[str, ...]] = {
    "gpu_telemetry": ("gpu_id", "sampled_at"),
    "power_meter": ("meter_id", "register", "interval_start_at"),
    "leases": ("lease_id", "version"),
    "lease_usage": ("lease_id", "interval_start_at"),
    "lease_assignments": ("lease_id", "node_id", "starts_at"),
    "lease_adjustments": ("adjustment_id",),
    "payments": ("payment_id",),
    "credit_events": ("event_id",),
}
BATCH_ROWS = 500_000


def _missing(columns: list[str], feed: str, what: str) -> str | None:
    absent = [key for key in KEYS[feed] if key not in columns]
    return f"the {what} has no column {', '.join(absent)} of {feed}" if absent else None


def _header(path: Path, line: str) -> list[str]:
    try:
        names = [name.strip() for name in next(csv.reader([line], strict=True), [])]
    except csv.Error as error:
        raise FormatError(path, [f"the header cannot be read: {error}"]) from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FormatError(path, [f"the header names {', '.join(repr(name) for name in twice)} twice"])
    return names


def recognise_csv(head: Head, feed: str) -> str | None:
    """None if the first line names the key columns of the feed, else why not."""
    if head.kind != "text" or head.is_zip or not head.text.strip():
        return "no CSV"
    first = head.text.splitlines()[0]
    return _missing([name.strip().strip('"') for name in first.split(",")], feed, "first line")


def recognise_parquet(head: Head, feed: str) -> str | None:
    """None if this is a Parquet file with the key columns of the feed, else why not."""
    if head.kind != "parquet":
        return "no Parquet"
    try:
        return _missing(pq.read_schema(head.path).names, feed, "Parquet file")
    except (pa.ArrowException, OSError) as error:
        return f"the Parquet file cannot be read: {error}"


def _block_by_rows(text: str, names: list[str], first_line: int) -> pl.DataFrame:
    """A block in which some row is not whole: such rows come with empty cells and their own text in `line_text`."""
    rows: list[list[str | None]] = []
    numbers: list[int] = []
    wrong: list[str | None] = []
    lines = text.splitlines(keepends=True)
    reader = csv.reader(lines)
    before = 0
    for row in reader:
        start, before = before, reader.line_num
        if not row:
            continue
        is_whole = len(row) == len(names)
        rows.append([cell or None for cell in row] if is_whole else [None] * len(names))
        wrong.append(None if is_whole else "".join(lines[start:before]).rstrip("\r\n"))
        numbers.append(first_line + start)
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    return frame.select(
        pl.Series("line_no", numbers, dtype=pl.Int64), *names, pl.Series("line_text", wrong, dtype=pl.String)
    )


def _block(path: Path, data: bytes, names: list[str], first_line: int) -> pl.DataFrame:
    line_count = data.count(b"\n") + (not data.endswith(b"\n"))
    # The quick way only for plain blocks: no quotes, every line with its number of separators.
    if b'"' not in data and data.count(b",") == line_count * (len(names) - 1) and len(names) > 1:
        try:
            frame = pl.read_csv(
                data,
                has_header=False,
                schema=dict.fromkeys(names, pl.String),
                row_index_name="line_no",
                row_index_offset=first_line,
                quote_char=None,
            )
        except (pl.exceptions.PolarsError, UnicodeDecodeError):
            pass  # one long and one short line: seen row by row below
        else:
            if frame.height == line_count:
                return frame.with_columns(pl.col("line_no").cast(pl.Int64), pl.lit(None, pl.String).alias("line_text"))
    try:
        return _block_by_rows(decoded(path, data), names, first_line)
    except csv.Error as error:
        raise FormatError(path, [f"after line {first_line}: {error}"]) from error


def read_csv(path: Path, feed: str, park: ParkClock) -> Iterator[pl.DataFrame]:  # noqa: ARG001 (every format has these three)
    """Blocks of rows with the file's own columns as text (empty is null), `line_no` and `line_text`.

    A row with too many or too few cells comes with empty cells and its text in `line_text`, for landing to quarantine.

    Raises:
        FormatError: a header that names a column twice, no text, more bytes than any feed needs.
    """
    names: list[str] | None = None
    line_no = 1
    for block in stream_blocks(path):
        data = block
        if names is None:
            first, _, data = block.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
            names = _header(path, decoded(path, first).rstrip("\r"))
            line_no = 2
        if data:
            yield _block(path, data, names, line_no)
            line_no += data.count(b"\n")


def read_parquet(path: Path, feed: str, park: ParkClock) -> Iterator[pl.DataFrame]:  # noqa: ARG001 (every format has these three)
    """Batches of rows with the file's own columns and types, and `line_no` (number of the row).

    Raises:
        FormatError: the file cannot be read to its end.
    """
    row_no = 1
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))
                index = pl.int_range(row_no, row_no + frame.height, dtype=pl.Int64, eager=True).alias("line_no")
                row_no += frame.height
                yield frame.with_columns(index)
    except (pa.ArrowException, OSError) as error:
        raise FormatError(path, [f"the Parquet file cannot be read: {error}"]) from error
