"""What is special to telemetry rows: the tranche of a node, the clock hour and day of a sample, the content hash."""

import hashlib
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

import polars as pl

from ingest.checking import Faults
from ingest.terms.park import Park

# All offsets of all zones since 2000 are whole quarters of an hour, so a quarter lies within one clock hour and day.
SLOT = timedelta(minutes=15)

_HASHED = (
    "utilization_milli_pct",
    "power_microwatt",
    "gpu_count",
    "energy_mj",
    "memory_used_mib",
    "xid_code",
)


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


def _stable_hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _nodes(rows: pl.DataFrame, park: Park) -> pl.DataFrame:
    """Each node with its tranche (null: none), how many tranches match it, and a hash of its name."""
    nodes = rows["node_id"].unique().drop_nulls().to_list()
    matching = [
        [t.tranche_id for t in park.tranches if t.nodes is not None and fnmatchcase(node, t.nodes)] for node in nodes
    ]
    return pl.DataFrame(
        {
            "node_id": pl.Series(nodes, dtype=pl.String),
            "tranche_id": pl.Series([found[0] if found else None for found in matching], dtype=pl.String),
            "tranche_count": pl.Series([len(found) for found in matching], dtype=pl.Int32),
            "node_hash": pl.Series([_stable_hash(node) for node in nodes], dtype=pl.UInt64),
        }
    )


def with_content_hash(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `content_hash`: 64 bits of the columns beside the key, the same for the same content in any version.

    A sum of products with odd constants modulo 2**64; it orders and compares the few rows that share a key, and is no
    protection against anybody who wants two contents to look alike.
    """
    models = rows["gpu_model"].unique().drop_nulls().to_list()
    hashes = {model: _stable_hash(model) for model in models}
    model_hash = pl.col("gpu_model").replace_strict(
        list(hashes), pl.Series(list(hashes.values()), dtype=pl.UInt64), default=None, return_dtype=pl.UInt64
    )
    total = pl.col("node_hash").fill_null(0) + model_hash.fill_null(0) * pl.lit(_factor("gpu_model"), pl.UInt64)
    for name in _HASHED:
        # 0 stands for null, so values move up by one.
        cell = (pl.col(name).cast(pl.Int64).fill_null(-1) + 1).cast(pl.UInt64, wrap_numerical=True)
        total += cell * pl.lit(_factor(name), pl.UInt64)
    return rows.with_columns(total.alias("content_hash")).drop("node_hash")


def _factor(name: str) -> int:
    return _stable_hash(f"parkledger {name}") | 1


def row_rules(park: Park, rows: pl.DataFrame, faults: Faults) -> pl.DataFrame:
    """Tranche, clock hour, day and hash of each row; a node of no tranche, or of several, breaks a rule."""
    nodes = _nodes(rows, park)
    rows = rows.join(nodes, on="node_id", how="left", maintain_order="left")
    if (nodes["tranche_count"] != 1).any():
        faults.add((rows["tranche_count"] == 0).fill_null(value=False), "no_tranche", "node_id")
        faults.add((rows["tranche_count"] > 1).fill_null(value=False), "several_tranches", "node_id")
    return with_content_hash(with_clock(rows.drop("tranche_count"), ZoneInfo(park.time_zone)))
