"""What is special to meter intervals: each lies within a day of the park's clock, and no two of a register overlap."""

import polars as pl

from ingest.checking import Faults
from ingest.feeds.limits import Limits


def row_rules(limits: Limits, rows: pl.DataFrame, faults: Faults) -> pl.DataFrame:
    """Check days and overlaps; the rows stay as they are.

    Overlaps are noted within a file. Which interval counts is decided over all files, or the split of rows over files
    would change the energy: one that begins before an earlier one of its register has ended is left out of
    metering.fct_power_day and is a row of metering.fct_metering_exceptions. Two intervals with one start are one key: the
    later known one counts.
    """
    zone = limits.park.time_zone
    first = rows["interval_start_at"].dt.convert_time_zone(zone).dt.date()
    last = rows["interval_end_at"].dt.offset_by("-1us").dt.convert_time_zone(zone).dt.date()
    faults.add(
        (first != last) & (rows["interval_end_at"] > rows["interval_start_at"]), "crosses_day", "interval_end_at"
    )
    of = ["file_no", "meter_id", "register"] if "file_no" in rows.columns else ["meter_id", "register"]
    before = pl.col("interval_end_at").cum_max().shift().over(of)
    overlapping = (
        rows.select(*of, "interval_start_at", "interval_end_at")
        .with_row_index("position")
        .drop_nulls()
        .sort(*of, "interval_start_at", "interval_end_at", maintain_order=True)
        .with_columns(before=before, same=pl.col("interval_start_at").shift().over(of) == pl.col("interval_start_at"))
        .filter((pl.col("before") > pl.col("interval_start_at")) & ~pl.col("same").fill_null(value=False))
    )
    mask = pl.repeat(value=False, n=rows.height, dtype=pl.Boolean, eager=True)
    faults.add(mask.scatter(overlapping["position"], values=True), "overlaps", "interval_start_at")
    return rows
