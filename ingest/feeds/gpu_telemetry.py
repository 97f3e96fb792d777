"""What is special to telemetry rows: the tranche of a node, the clock hour and day of a sample."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

import polars as pl

from ingest.checking import Faults
from ingest.contracts import MAX_POWER_W
from ingest.feeds.limits import Limits
from ingest.sequences import SequenceRule
from ingest.terms.park import Park

# All offsets of all zones since 2000 are whole quarters of an hour, so a quarter lies within one clock hour and day.
SLOT = timedelta(minutes=15)

_MICROWATTS = 1_000_000


def clock_hour(instant: datetime, zone: ZoneInfo) -> tuple[datetime, date]:
    """Start of the hour that the zone's clock shows at an instant, and its day.

    Args:
        instant: aware.
        zone: the park's zone; its offset may hold half or quarter hours.

    Returns:
        The start as an instant in UTC, and the local date. Where the clock was set by less than an hour within that
        hour, the start is the moment of setting: no two hours overlap.
    """
    local = instant.astimezone(zone)
    start = instant.astimezone(UTC) - timedelta(
        minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )
    while start.astimezone(zone).utcoffset() != local.utcoffset():
        start += SLOT
    return start, local.date()


def with_clock(rows: pl.DataFrame, zone: ZoneInfo) -> pl.DataFrame:
    """Add `interval_start_at` (UTC) and `service_date` (local) by `sampled_at`; null where there is no instant."""
    slot_us = SLOT // timedelta(microseconds=1)
    slot = rows["sampled_at"].dt.epoch("us") // slot_us
    slots = slot.unique().drop_nulls().sort()
    hours = [clock_hour(datetime.fromtimestamp(number * slot_us / 1_000_000, UTC), zone) for number in slots.to_list()]
    starts = pl.Series("interval_start_at", [start for start, _ in hours], dtype=pl.Datetime("us", "UTC"))
    days = pl.Series("service_date", [day for _, day in hours], dtype=pl.Date)
    place = slots.search_sorted(slot.fill_null(0)) if len(slots) else slot.cast(pl.UInt32)
    place = place.set(slot.is_null(), None)
    return rows.with_columns(starts.gather(place), days.gather(place))


def tranches_of_nodes(nodes: Sequence[str], park: Park) -> pl.DataFrame:
    """Each node with its tranche (null: none) and how many tranches match it."""
    matching = [
        [t.tranche_id for t in park.tranches if t.nodes is not None and fnmatchcase(node, t.nodes)] for node in nodes
    ]
    return pl.DataFrame(
        {
            "node_id": pl.Series(nodes, dtype=pl.String),
            "tranche_id": pl.Series([found[0] if found else None for found in matching], dtype=pl.String),
            "tranche_count": pl.Series([len(found) for found in matching], dtype=pl.Int32),
        }
    )


def _before_energised(limits: Limits, rows: pl.DataFrame, faults: Faults) -> None:
    begun = {tranche.tranche_id: limits.energised_at(tranche.tranche_id) for tranche in limits.park.tranches}
    known = [at for at in begun.values() if at is not None]
    first = rows["sampled_at"].min()
    if len(known) == len(begun) and isinstance(first, datetime) and (not known or first >= max(known)):
        return
    energised = rows["tranche_id"].replace_strict(
        list(begun), pl.Series(list(begun.values()), dtype=pl.Datetime("us", "UTC")), default=None
    )
    is_early = (energised.is_null() | (rows["sampled_at"] < energised)) & rows["tranche_id"].is_not_null()
    faults.add(is_early, "before_energised", "sampled_at")


def _above_model(limits: Limits, rows: pl.DataFrame, faults: Faults) -> None:
    bounds = {model: limits.power_bound_w(model) for model in rows["gpu_model"].unique().drop_nulls().to_list()}
    highest = rows["power_microwatt"].max()
    if not bounds or not isinstance(highest, int) or highest <= min(bounds.values()) * _MICROWATTS:
        return
    bound = rows["gpu_model"].replace_strict(
        list(bounds), pl.Series(list(bounds.values()), dtype=pl.Int64), default=None
    )
    faults.add(rows["power_microwatt"] > bound * _MICROWATTS, "power_above_model", "power_w")


def _runs_back(rows: pl.DataFrame) -> pl.Series:
    """A counter that fell to more than could have been drawn since the sample before did not begin anew."""
    drawn_mj = (pl.col("sampled_at") - pl.col("sampled_at").shift()).dt.total_seconds() * int(MAX_POWER_W) * 1000
    return rows.select(
        (pl.col("file_no") == pl.col("file_no").shift())
        & (pl.col("gpu_id") == pl.col("gpu_id").shift())
        & (pl.col("sampled_at") > pl.col("sampled_at").shift())
        & (pl.col("energy_mj") < pl.col("energy_mj").shift())
        & (pl.col("energy_mj") > drawn_mj * pl.col("gpu_count"))
    ).to_series()


SEQUENCE = SequenceRule(
    rule="energy_counter_back",
    column="energy_mj",
    order=("gpu_id", "sampled_at"),
    values=("energy_mj",),
    beside=("gpu_count",),
    breaks=_runs_back,
    so_far=lambda rows: rows.tail(1),
)


def row_rules(limits: Limits, rows: pl.DataFrame, faults: Faults) -> pl.DataFrame:
    """Tranche, clock hour and day of each row; a node of no tranche, or of several, breaks a rule.

    So do samples before the tranche was energised, and more power than the model can draw.
    """
    nodes = tranches_of_nodes(rows["node_id"].unique().drop_nulls().to_list(), limits.park)
    rows = rows.join(nodes, on="node_id", how="left", maintain_order="left")
    if (nodes["tranche_count"] != 1).any():
        faults.add((rows["tranche_count"] == 0).fill_null(value=False), "no_tranche", "node_id")
        faults.add((rows["tranche_count"] > 1).fill_null(value=False), "several_tranches", "node_id")
    _before_energised(limits, rows, faults)
    _above_model(limits, rows, faults)
    return with_clock(rows.drop("tranche_count"), limits.zone)
