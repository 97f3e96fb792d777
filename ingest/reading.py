"""Reads one landing file into checked rows, or says why the whole file is rejected. No database."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from ingest import quarantine
from ingest.checking import Checked, Faults, check
from ingest.contracts import CONTRACTS, RECORDED_AT, FeedContract
from ingest.feeds import credit_events, gpu_telemetry, payments
from ingest.formats import registry
from ingest.formats.errors import FormatError
from ingest.terms.park import Park

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
class Batch:
    """A part of a file's rows: the cells as read (for the texts of rows), and what the check made of them."""

    cells: pl.DataFrame
    checked: Checked


@dataclass(frozen=True)
class ReadFile:
    """A file's rows.

    Attributes:
        format_name: its format.
        row_count: all its rows.
        good: typed rows.
        rejected: rows for the quarantine.
        batches: what `good` and `rejected` were made of.
    """

    format_name: str
    row_count: int
    good: pl.DataFrame
    rejected: pl.DataFrame
    batches: tuple[Batch, ...]

    def texts(self, line_numbers: Iterable[int]) -> dict[int, str]:
        """Texts of some rows by their line numbers."""
        wanted = pl.Series(sorted(set(line_numbers)), dtype=pl.Int64)
        found: dict[int, str] = {}
        for batch in self.batches:
            places = batch.cells["line_no"].cast(pl.Int64).is_in(wanted.implode()).arg_true().to_list()
            texts = quarantine.row_texts(batch.cells, places, self.format_name)
            found.update(zip(batch.cells[places]["line_no"].to_list(), texts, strict=True))
        return found


def _row_rules(feed: str, park: Park) -> RowRules | None:
    special: dict[str, RowRules] = {
        "gpu_telemetry": partial(gpu_telemetry.row_rules, park),
        "payments": payments.row_rules,
        "credit_events": credit_events.row_rules,
    }
    return special.get(feed)


def _parquet(path: Path, contract: FeedContract) -> pl.DataFrame:
    """The feed's columns of a canonical Parquet file in one go: an order faster than in batches."""
    wanted = {column.name for column in (*contract.columns, RECORDED_AT)}
    scan = pl.scan_parquet(path, hive_partitioning=False, glob=False)
    columns = [name for name in scan.collect_schema().names() if name in wanted]
    frame = scan.select(columns).collect()
    return frame.with_columns(line_no=pl.int_range(1, frame.height + 1, dtype=pl.Int64))


def _frames(format_name: str, path: Path, contract: FeedContract, park: Park) -> Iterable[pl.DataFrame]:
    if format_name == "parquet":
        return [_parquet(path, contract)]
    frames = registry.read(format_name, path, contract.name, park)
    return [frames] if isinstance(frames, pl.DataFrame) else frames


def read_file(path: Path, feed: str, park: Park) -> ReadFile | Rejected:
    """Read and check all rows of a file.

    Args:
        path: the file.
        feed: the feed of its folder.
        park: the park of its folder.

    Returns:
        The rows, or why the file is rejected. Nothing is raised for what a file holds.
    """
    contract = CONTRACTS[feed]
    naive_zone = park.time_zone if park.naive_timestamps == "park_zone" else None
    rules = _row_rules(feed, park)
    format_name: str | None = None
    batches: list[Batch] = []
    try:
        format_name = registry.detect(path, feed)
        for cells in _frames(format_name, path, contract, park):
            absent = [name for name in contract.header if name not in cells.columns]
            if absent:
                return Rejected("wrong_header", f"the columns {', '.join(absent)} are missing", format_name)
            batches.append(Batch(cells, check(cells, contract, naive_zone, rules)))
    except FormatError as error:
        return Rejected("unreadable", "; ".join(error.reasons), format_name)
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        return Rejected("unreadable", str(error).splitlines()[0] if str(error) else type(error).__name__, format_name)
    row_count = sum(batch.cells.height for batch in batches)
    if not row_count:
        return Rejected("unreadable", "the file has no rows", format_name)
    return ReadFile(
        format_name=format_name,
        row_count=row_count,
        good=pl.concat([batch.checked.good for batch in batches]),
        rejected=pl.concat(
            [quarantine.rejected_rows(batch.cells, batch.checked.bad, format_name) for batch in batches]
        ),
        batches=tuple(batches),
    )
