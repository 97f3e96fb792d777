"""What is special to meter intervals: each lies within a day of the park's clock, and no two of a register overlap.

Overlaps are noted within a file. Which interval counts is decided over all files, or the split of rows over files would
change the energy: one that begins before an earlier one of its register has ended is left out of metering.fct_power_day
and is a row of metering.fct_metering_exceptions. Two intervals with one start are one key: the later known one counts.
"""

import polars as pl

from ingest.checking import Faults
from ingest.feeds.limits import Limits
from ingest.sequences import SequenceRule

_REGISTER = ("file_no", "meter_id", "register")


def _overlaps(rows: pl.DataFrame) -> pl.Series:
    before = pl.col("interval_end_at").cum_max().shift().over(_REGISTER)
    same = pl.col("interval_start_at").shift().over(_REGISTER) == pl.col("interval_start_at")
    return rows.select((before > pl.col("interval_start_at")) & ~same.fill_null(value=False)).to_series()


def _last_with_latest_end(rows: pl.DataFrame) -> pl.DataFrame:
    last = rows.tail(1)
    of_register = rows.join(last.select(_REGISTER), on=_REGISTER, how="semi")
    return last.with_columns(
        interval_end_at=pl.lit(of_register["interval_end_at"].max(), rows.schema["interval_end_at"])
    )


SEQUENCE = SequenceRule(
    rule="overlaps",
    column="interval_start_at",
    order=("meter_id", "register", "interval_start_at", "interval_end_at"),
    values=(),
    beside=(),
    breaks=_overlaps,
    so_far=_last_with_latest_end,
)


def row_rules(limits: Limits, rows: pl.DataFrame, faults: Faults) -> pl.DataFrame:
    """Check days; the rows stay as they are."""
    zone = limits.park.time_zone
    first = rows["interval_start_at"].dt.convert_time_zone(zone).dt.date()
    last = rows["interval_end_at"].dt.offset_by("-1us").dt.convert_time_zone(zone).dt.date()
    faults.add(
        (first != last) & (rows["interval_end_at"] > rows["interval_start_at"]), "crosses_day", "interval_end_at"
    )
    return rows
