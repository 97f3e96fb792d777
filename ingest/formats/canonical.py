"""The project's own files: CSV and Parquet (plain, gzip, zstd) that carry the columns of a feed under their own names.

Cells are not judged here: CSV cells stay text, Parquet columns keep their types; the feed's contract is landing's to
apply. A line that is no row (torn, too long, no UTF-8) comes as its text with the rule that it breaks.
"""

import csv
import io
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.formats.errors import FormatError
from ingest.formats.opening import Block, Head, decoded, stream_blocks, unpacked
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
# Rows that are read one by one come in smaller pieces: their cells are objects of Python first.
SLOW_BATCH_ROWS = 100_000
# So many rows without a whole one among them, and the file is no table of rows; to keep them all would fill the memory.
MAX_BROKEN_ROWS = 1_000_000
MAX_COLUMNS = 1000
_HINT = {";": "semicolons", "\t": "tabs", "|": "bars"}


def _missing(columns: list[str], feed: str, what: str) -> str | None:
    absent = [key for key in KEYS[feed] if key not in columns]
    return f"the {what} has no column {', '.join(absent)} of {feed}" if absent else None


def _header(path: Path, line: str) -> list[str]:
    try:
        names = [name.strip() for name in next(csv.reader([line], strict=True), [])]
    except csv.Error as error:
        raise FormatError(path, [f"the header cannot be read: {error}"]) from error
    if len(names) > MAX_COLUMNS:
        raise FormatError(path, [f"the header names {len(names)} columns, more than {MAX_COLUMNS}"])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FormatError(path, [f"the header names {', '.join(repr(name) for name in twice)} twice"])
    return names


def recognise_csv(head: Head, feed: str) -> str | None:
    """None if the first line names the key columns of the feed, else why not."""
    if head.kind != "text" or head.is_zip or not head.text.strip():
        return "no CSV"
    first = head.text.lstrip().split("\n", 1)[0].rstrip("\r")
    absent = _missing([name.strip().strip('"') for name in first.split(",")], feed, "first line")
    if absent is None:
        return None
    for mark, words in _HINT.items():
        if _missing([name.strip().strip('"') for name in first.split(mark)], feed, "first line") is None:
            return f"its cells are parted by {words}; write commas between them and points in numbers"
    return absent


def recognise_parquet(head: Head, feed: str) -> str | None:
    """None if this is a Parquet file with the key columns of the feed, else why not."""
    return _recognise_parquet(feed, head.path) if head.kind == "parquet" else "no Parquet"


def recognise_packed_parquet(head: Head, feed: str) -> str | None:
    """The same of a Parquet file that was compressed as a whole."""
    if head.kind != "packed_parquet":
        return "no compressed Parquet"
    return _recognise_parquet(feed, unpacked(head.path))


def _recognise_parquet(feed: str, source: Path | BytesIO) -> str | None:
    try:
        return _missing(pq.read_schema(source).names, feed, "Parquet file")
    except (pa.ArrowException, OSError) as error:
        return f"the Parquet file cannot be read: {error}"


def _is_text(cells: list[str]) -> bool:
    """Whether all bytes of the cells were UTF-8 text: others come as lone surrogates, or as zeros."""
    text = "".join(cells)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _shown(text: str) -> str:
    """A line for people, with bytes that are no UTF-8 text in hexadecimal."""
    shown = text.rstrip("\r\n")
    if not shown.isascii():
        shown = shown.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return shown.replace("\0", "\\x00")


class _Lines:
    """The lines of a text, of which those that were read since the last look are kept; csv.reader reads from it."""

    def __init__(self, data: bytes) -> None:
        # Lines end where CSV says, not where Unicode knows of other separators.
        self._left = io.TextIOWrapper(BytesIO(data), encoding="utf-8", errors="surrogateescape", newline="")
        self._read: list[str] = []
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._left)
        self._read.append(line)
        self.count += 1
        return line

    def taken(self) -> str:
        """The text that was read since it was last asked for."""
        text = "".join(self._read)
        self._read.clear()
        return text


def _block_by_rows(data: bytes, names: list[str], first_line: int) -> Iterator[pl.DataFrame]:
    """A block in which some row is not whole: such rows come with empty cells, their own text and their rule."""
    lines = _Lines(data)
    reader = csv.reader(lines)
    rows: list[tuple[int, list[str]]] = []
    broken: list[tuple[int, str, str]] = []
    while True:
        start = first_line + lines.count
        rule: str | None = None
        try:
            row = next(reader, None)
        except csv.Error:
            row, rule = [], "row_not_whole"
        if row is None:
            break
        source = lines.taken()
        if not row and rule is None:
            continue
        if rule is None and len(row) != len(names):
            rule = "row_not_whole"
        if rule is None and not _is_text(row):
            rule = "not_utf8"
        if rule is None:
            rows.append((start, row))
        else:
            broken.append((start, _shown(source), rule))
        if len(rows) + len(broken) >= SLOW_BATCH_ROWS:
            yield _rows_frame(rows, broken, names)
            rows, broken = [], []
    if rows or broken:
        yield _rows_frame(rows, broken, names)


def _rows_frame(
    rows: list[tuple[int, list[str]]], broken: list[tuple[int, str, str]], names: list[str]
) -> pl.DataFrame:
    """Whole rows (line, cells) and broken ones (line, text, rule), in the order of their lines."""
    nothing = pl.lit(None, pl.String)
    whole = pl.DataFrame(
        [[cell or None for cell in row] for _, row in rows], schema=dict.fromkeys(names, pl.String), orient="row"
    ).select(
        pl.Series("line_no", [line for line, _ in rows], dtype=pl.Int64), *names, line_text=nothing, line_rule=nothing
    )
    if not broken:
        return whole
    torn = pl.DataFrame(
        broken, schema={"line_no": pl.Int64, "line_text": pl.String, "line_rule": pl.String}, orient="row"
    ).select("line_no", *(nothing.alias(name) for name in names), "line_text", "line_rule")
    return pl.concat([whole, torn]).sort("line_no")


def _broken_line(block: Block, names: list[str]) -> pl.DataFrame:
    """A line that is no part of any record, as one row."""
    cells = {name: pl.Series(name, [None], dtype=pl.String) for name in names}
    text = _shown(block.data.decode(errors="surrogateescape"))
    return pl.DataFrame({"line_no": [block.first_line], **cells, "line_text": [text], "line_rule": [block.rule]})


def _block(block: Block, names: list[str]) -> Iterator[pl.DataFrame]:
    data = block.data
    if block.rule is not None:
        yield _broken_line(block, names)
        return
    line_count = data.count(b"\n") + (not data.endswith(b"\n"))
    # The quick way only for plain blocks: no quotes, no zeros, every line with its number of separators.
    if b'"' not in data and b"\0" not in data and data.count(b",") == line_count * (len(names) - 1) and len(names) > 1:
        try:
            frame = pl.read_csv(
                data,
                has_header=False,
                schema=dict.fromkeys(names, pl.String),
                row_index_name="line_no",
                row_index_offset=block.first_line,
                quote_char=None,
            )
        except (pl.exceptions.PolarsError, UnicodeDecodeError):
            pass  # one long and one short line, or bytes that are no UTF-8: seen row by row below
        else:
            if frame.height == line_count:
                nothing = pl.lit(None, pl.String)
                yield frame.with_columns(pl.col("line_no").cast(pl.Int64), line_text=nothing, line_rule=nothing)
                return
    yield from _block_by_rows(data, names, block.first_line)


def csv_rows(path: Path) -> Iterator[pl.DataFrame]:
    """Blocks of rows with the file's own columns as text (empty is null), `line_no`, `line_text` and `line_rule`.

    A line that is no row comes with empty cells, its text in `line_text` and in `line_rule` why, for quarantine.

    Raises:
        FormatError: a header that cannot be read, more bytes than any feed needs.
    """
    names: list[str] | None = None
    broken, has_whole = 0, False
    for block in stream_blocks(path):
        rest = block
        if names is None:
            if block.rule is not None:
                raise FormatError(path, [f"the header cannot be read: {block.rule}"])
            data = block.data.removeprefix(b"\xef\xbb\xbf")
            blank = len(data) - len(data.lstrip())
            line_no = block.first_line + data.count(b"\n", 0, blank)
            first, _, data = data[blank:].partition(b"\n")
            if not first:
                continue
            names = _header(path, decoded(path, first).rstrip("\r"))
            rest = Block(data, line_no + 1)
        if rest.rule is None and not rest.data.strip():
            continue
        for frame in _block(rest, names):
            has_whole = has_whole or frame["line_text"].null_count() > 0
            broken += frame.height
            if not has_whole and broken >= MAX_BROKEN_ROWS:
                raise FormatError(path, [f"none of its first {broken:,} rows is whole: {frame['line_text'][-1]!r}"])
            yield frame


def parquet_rows(
    path: Path, source: Path | BytesIO | None = None, batch_rows: int = BATCH_ROWS
) -> Iterator[pl.DataFrame]:
    """Batches of rows with the file's own columns and types, and `line_no` (number of the row).

    Args:
        path: the file.
        source: where its bytes are, if not in the file.
        batch_rows: rows of a batch at most.

    Raises:
        FormatError: the file cannot be read to its end.
    """
    row_no = 1
    try:
        with pq.ParquetFile(source or path) as file:
            for batch in file.iter_batches(batch_size=batch_rows):
                frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))
                index = pl.int_range(row_no, row_no + frame.height, dtype=pl.Int64, eager=True).alias("line_no")
                row_no += frame.height
                yield frame.with_columns(index)
    except (pa.ArrowException, OSError) as error:
        raise FormatError(path, [f"the Parquet file cannot be read: {error}"]) from error


def read_csv(path: Path, feed: str, park: ParkClock) -> Iterator[pl.DataFrame]:  # noqa: ARG001 (every format has these three)
    """See `csv_rows`."""
    return csv_rows(path)


def read_parquet(path: Path, feed: str, park: ParkClock) -> Iterator[pl.DataFrame]:  # noqa: ARG001 (every format has these three)
    """See `parquet_rows`."""
    return parquet_rows(path)


def read_packed_parquet(path: Path, feed: str, park: ParkClock) -> Iterator[pl.DataFrame]:  # noqa: ARG001 (every format has these three)
    """The same of a Parquet file that was compressed as a whole; it is unpacked in memory, within bounds."""
    return parquet_rows(path, unpacked(path))
