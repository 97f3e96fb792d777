"""Reads landing files into checked rows, or says why a whole file is rejected. No database."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from ingest import quarantine
from ingest.checking import Faults, check, typed
from ingest.contracts import CONTRACTS, JUDGED_RULES, RECORDED_AT, Column, FeedContract
from ingest.feeds import credit_events, gpu_telemetry, payments, power_meter
from ingest.feeds.limits import Limits
from ingest.formats import registry
from ingest.formats.errors import FormatError
from ingest.sequences import SequenceRule
from ingest.spool import SMALL_FILE_BYTES, Spool, scratch_in
from ingest.terms.park import Park

# So many rows are checked at once: those of small files together, since a check costs tens of milliseconds however few they
# are, and those of a large one in pieces. Twice as many are no quicker, and take 700 MiB where all of them are refused.
BATCH_ROWS = 250_000
# Parquet is read so many rows at once: a day of 2,000 GPUs by the minute is one piece.
PIECE_ROWS = 3_000_000

# Format, and names and types of the columns.
Form = tuple[str, tuple[tuple[str, pl.DataType], ...]]
RowRules = Callable[[pl.DataFrame, Faults], pl.DataFrame]


@dataclass(frozen=True)
class Rejected:
    """A file that cannot be read as a whole.

    Attributes:
        rule: which file rule it breaks.
        reason: why, in words.
        format_name: its format, if it was recognised.
    """

    rule: str
    reason: str
    format_name: str | None = None


@dataclass(frozen=True)
class Cells:
    """A file's cells as they came, under canonical names with `line_no`; at least one row. Large ones stand on disk."""

    format_name: str
    frames: "Spool | Packed"

    @property
    def row_count(self) -> int:
        """All rows of the file."""
        return self.frames.row_count


@dataclass(frozen=True)
class Batch:
    """Rows of one or more files, checked together.

    Attributes:
        cells: the cells as read, with `line_no` and `file_no`.
        format_name: their format.
        good: typed rows with `file_no` and `line_no`.
        rejected: rows for the quarantine: `file_no` and the columns of quarantine.SCHEMA.
        noted: the same of good rows that break a rule which only warns.
    """

    cells: pl.DataFrame
    format_name: str
    good: pl.DataFrame
    rejected: pl.DataFrame
    noted: pl.DataFrame

    def with_texts(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows given by `file_no` and `line_no`, with their texts as `row_text`."""
        places = (
            self.cells.select("file_no", pl.col("line_no").cast(pl.Int64))
            .with_row_index("position")
            .join(rows, on=["file_no", "line_no"], how="inner", maintain_order="left")
        )
        texts = quarantine.row_texts(self.cells, places["position"].to_list(), self.format_name)
        return places.drop("position").with_columns(pl.Series("row_text", texts, dtype=pl.String))


# What has happened by the time that it is told; leases, assignments and events may begin later.
_PAST = {
    "gpu_telemetry": ("sampled_at",),
    "power_meter": ("interval_end_at",),
    "lease_usage": ("interval_end_at",),
    "payments": ("received_at",),
}


# Rules that bind over all rows of a file.
_SEQUENCES: dict[str, SequenceRule] = {
    "gpu_telemetry": gpu_telemetry.SEQUENCE,
    "power_meter": power_meter.SEQUENCE,
}
_PLACE = ("file_no", "line_no")


def _row_rules(feed: str, limits: Limits, broken: pl.DataFrame | None) -> RowRules:
    special: dict[str, RowRules] = {
        "gpu_telemetry": partial(gpu_telemetry.row_rules, limits),
        "power_meter": partial(power_meter.row_rules, limits),
        "payments": payments.row_rules,
        "credit_events": credit_events.row_rules,
    }

    def rules(rows: pl.DataFrame, faults: Faults) -> pl.DataFrame:
        for column in (*_PAST.get(feed, ()), RECORDED_AT.name):
            last = rows[column].max()
            if limits.latest_at is not None and isinstance(last, datetime) and last > limits.latest_at:
                faults.add(rows[column] > limits.latest_at, "in_the_future", column)
        derived = special[feed](rows, faults) if feed in special else rows
        if feed in _SEQUENCES:
            _SEQUENCES[feed].add(rows, faults, broken)
        return derived

    return rules


def _row_count(source: Path | bytes) -> int:
    return int(pq.read_metadata(BytesIO(source) if isinstance(source, bytes) else source).num_rows)


def _parquet(source: Path | bytes, contract: FeedContract, piece_rows: int = PIECE_ROWS) -> Iterator[pl.DataFrame]:
    """The feed's columns of a canonical Parquet file in large pieces: an order faster than in batches."""
    wanted = {column.name for column in (*contract.columns, RECORDED_AT)}
    scan = pl.scan_parquet(source, hive_partitioning=False, glob=False)
    columns = [name for name in scan.collect_schema().names() if name in wanted]
    for start in range(0, _row_count(source), piece_rows):
        piece = scan.select(columns).slice(start, piece_rows).collect()
        yield piece.with_columns(line_no=pl.int_range(start + 1, start + piece.height + 1, dtype=pl.Int64))


@dataclass(frozen=True)
class Packed:
    """The frames of a small Parquet file, as a Spool has them: the file stays packed in memory, for it may hold hundreds of
    times its size, and is read anew each time.
    """

    content: bytes
    contract: FeedContract
    scratch: Path | None

    @cached_property
    def row_count(self) -> int:
        """All rows of the file."""
        return _row_count(self.content)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        yield from map(_with_texts, _parquet(self.content, self.contract, BATCH_ROWS))


def _frames(format_name: str, path: Path, contract: FeedContract, park: Park) -> Iterable[pl.DataFrame]:
    if format_name == "parquet":
        return _parquet(path, contract)
    frames = registry.read(format_name, path, contract.name, park)
    return [frames] if isinstance(frames, pl.DataFrame) else frames


def _is_nested(column: Column, kind: pl.DataType | None) -> bool:
    return kind is not None and kind.is_nested() and not (column.kind == "json" and isinstance(kind, pl.Struct))


def _with_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of bytes, as writers without a text type leave them, as text; a row with other bytes breaks `not_utf8`."""
    names = [name for name, kind in frame.schema.items() if kind == pl.Binary]
    if not names:
        return frame
    try:
        return frame.with_columns(pl.col(names).cast(pl.String))
    except pl.exceptions.ComputeError:
        pass  # some cell is no UTF-8: seen cell by cell below
    rules: list[str | None] = [None] * frame.height
    columns: list[pl.Series] = []
    for name in names:
        texts: list[str | None] = []
        for position, cell in enumerate(frame[name].to_list()):
            text = None if cell is None else cell.decode(errors="backslashreplace")
            if text is not None and text.encode() != cell:
                rules[position] = "not_utf8"
            texts.append(text)
        columns.append(pl.Series(name, texts, dtype=pl.String))
    readable = frame.with_columns(columns)
    wrong = [position for position, rule in enumerate(rules) if rule]
    shown = dict(zip(wrong, quarantine.row_texts(readable, wrong, "parquet"), strict=True))
    return readable.with_columns(
        pl.Series("line_text", [shown.get(position) for position in range(frame.height)], dtype=pl.String),
        pl.Series("line_rule", rules, dtype=pl.String),
    )


def _unfit(cells: pl.DataFrame, contract: FeedContract) -> tuple[str, str] | None:
    """The file rule that a frame's columns break, and why."""
    absent = [name for name in contract.header if name not in cells.columns]
    if absent:
        return "wrong_header", f"the columns {', '.join(absent)} are missing"
    nested = [c.name for c in contract.columns if _is_nested(c, cells.schema.get(c.name))]
    return ("unreadable", f"the columns {', '.join(nested)} hold lists or structures") if nested else None


def read_cells(path: Path, feed: str, park: Park, scratch: Path | None = None) -> Cells | Rejected:
    """Read all cells of a file, to its end.

    Args:
        path: the file.
        feed: the feed of its folder.
        park: the park of its folder.
        scratch: a folder for what does not fit into memory; None for the system's.

    Returns:
        The cells, or why the file is rejected. Nothing is raised for what a file holds.
    """
    contract = CONTRACTS[feed]
    format_name: str | None = None
    try:
        format_name = registry.detect(path, feed)
        is_packed = format_name == "parquet" and path.stat().st_size <= SMALL_FILE_BYTES
        frames = Packed(path.read_bytes(), contract, scratch) if is_packed else Spool(scratch, source=path)
        with scratch_in(scratch):
            # All of a packed file is read here, too: what cannot be decoded costs it now.
            for cells in frames if isinstance(frames, Packed) else _frames(format_name, path, contract, park):
                if reason := _unfit(cells, contract):
                    return Rejected(*reason, format_name)
                if isinstance(frames, Spool):
                    frames.append(_with_texts(cells))
    except FormatError as error:
        return Rejected("unreadable", "; ".join(error.reasons), format_name)
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001
        # Parsers fail over strangers' bytes in more ways than anybody lists, and a decoder of Parquet may panic instead of
        # raising. Whatever it is, it costs this file, with its reason, and no other.
        return Rejected("unreadable", f"{type(error).__name__}: {error}".splitlines()[0], format_name)
    if not frames.row_count:
        return Rejected("unreadable", "the file has no rows", format_name)
    return Cells(format_name, frames)


def _naive_zone(limits: Limits) -> str | None:
    return limits.park.time_zone if limits.park.naive_timestamps == "park_zone" else None


def _checked(form: Form, parts: list[pl.DataFrame], feed: str, limits: Limits, broken: pl.DataFrame | None) -> Batch:
    """Check frames of one form together; `broken` are those rows of a part of a file that break its sequence rule."""
    frame, format_name = pl.concat(parts), form[0]
    warning = frozenset(rule for rule in JUDGED_RULES if limits.policies.severity_of(rule) == "warn")
    rules = _row_rules(feed, limits, broken)
    checked = check(frame, CONTRACTS[feed], _naive_zone(limits), rules, carried=_PLACE, warning=warning)
    rejected, noted = (
        quarantine.rejected_rows(frame, rows, format_name, limits.park.time_zone)
        for rows in (checked.bad, checked.noted)
    )
    return Batch(frame, format_name, checked.good, rejected, noted)


def _numbered(number: int, cells: Cells) -> Iterator[tuple[Form, pl.DataFrame]]:
    for frame in cells.frames:
        for piece in frame.iter_slices(BATCH_ROWS):
            numbered = piece.with_columns(file_no=pl.lit(number, pl.Int64))
            yield (cells.format_name, tuple(numbered.schema.items())), numbered


def _broken_of_file(number: int, cells: Cells, feed: str, limits: Limits) -> pl.DataFrame | None:
    """The rows of a file that break its feed's sequence rule; None where the feed has none."""
    rule = _SEQUENCES.get(feed)
    if rule is None:
        return None
    looked_at = Spool(cells.frames.scratch, to_sort=True)
    for _, frame in _numbered(number, cells):
        rows = typed(frame, CONTRACTS[feed], rule.columns, _naive_zone(limits), _PLACE)
        looked_at.append(rule.looked_at(rows))
    return rule.broken(looked_at)


def _in_pieces(number: int, cells: Cells, feed: str, limits: Limits) -> Iterator[Batch]:
    """Check a large file in pieces of at most BATCH_ROWS."""
    broken = _broken_of_file(number, cells, feed, limits)
    waiting: list[pl.DataFrame] = []
    waiting_form: Form | None = None
    for form, frame in _numbered(number, cells):
        rows = sum(part.height for part in [*waiting, frame])
        if waiting_form is not None and (form != waiting_form or rows > BATCH_ROWS):
            yield _checked(waiting_form, waiting, feed, limits, broken)
            waiting = []
        waiting_form = form
        waiting.append(frame)
    if waiting_form is not None:
        yield _checked(waiting_form, waiting, feed, limits, broken)


def check_cells(files: Sequence[tuple[int, Cells]], feed: str, limits: Limits) -> Iterator[Batch]:
    """Check the rows of several files: those of small files of one form together, those of a large one in pieces.

    Args:
        files: a number and the cells of each file.
        feed: their feed.
        limits: their park, and what rows are held to.

    Yields:
        Batches that together hold all rows, each of less than twice BATCH_ROWS. What becomes of a file's rows depends
        neither on the files beside it nor on the pieces.
    """
    waiting: dict[Form, list[pl.DataFrame]] = {}
    waiting_rows: Counter[Form] = Counter()
    for number, cells in files:
        if cells.row_count > BATCH_ROWS:
            yield from _in_pieces(number, cells, feed, limits)
            continue
        for form, frame in _numbered(number, cells):
            waiting.setdefault(form, []).append(frame)
            waiting_rows[form] += frame.height
        for form in [form for form, rows in waiting_rows.items() if rows >= BATCH_ROWS]:
            del waiting_rows[form]
            yield _checked(form, waiting.pop(form), feed, limits, None)
    for form, parts in waiting.items():
        yield _checked(form, parts, feed, limits, None)
