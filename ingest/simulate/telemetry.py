"""Rack-level telemetry of one park and month: utilisation and power by rack and sample, written as one Parquet file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.simulate import days
from ingest.simulate.book import LeaseVersion, billing, rack_ranges, windows
from ingest.simulate.outages import Grid, Outage
from ingest.simulate.plan import RACK_GPU_COUNT, ParkPlan, TranchePlan
from ingest.simulate.profiles import Profile
from ingest.simulate.seeds import generator

IDLE_PCT = 0.4  # background processes of a rack that nobody leases
STRAY_PCT = 85.0
RAMP_HOURS = 14 * 24  # a new lease reaches its level within two weeks; assumed
FIRST_LEVEL = 0.3
POWER_NOISE = 0.02
ROW_GROUP_ROWS = 1 << 20

COLUMNS = (
    "gpu_id",
    "node_id",
    "gpu_model",
    "sampled_at",
    "utilization_pct",
    "power_w",
    "gpu_count",
    "xid_code",
    "recorded_at",
)

Deci = npt.NDArray[np.int16]


@dataclass(frozen=True)
class TrancheMonth:
    """Samples × racks of one tranche and month, up to the last day that is wanted.

    `sampled_at`: epoch seconds by sample; `hour`: the grid's hour of each sample; `utilization`: tenths of a per cent;
    `power`: watts a GPU; `outage`: by hour × rack; `stray_count`: hours in which a rack works that nobody leases.
    """

    tranche: TranchePlan
    grid: Grid
    sampled_at: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int64]
    utilization: Deci
    power: Deci
    outage: Outage
    stray_count: int = 0

    def it_power_w(self) -> npt.NDArray[np.float64]:
        """Watts of all racks by hour, those without a sample included: a gap in telemetry is no gap in consumption.

        Nought after the last day that is wanted.
        """
        counts = np.array(self.tranche.rack_gpu_counts(), dtype=np.float64)
        watts = np.zeros(len(self.grid.hour_at))
        hours = len(np.unique(self.hour))
        watts[:hours] = (self.power @ counts).reshape(hours, -1).mean(axis=1) if hours else 0
        return watts


def leased_levels(
    tranche: TranchePlan, leases: list[LeaseVersion], grid: Grid, profile: Profile
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(racks × leases: part of the rack's GPUs; leases × hours: utilisation as a fraction) of a tranche's leases."""
    placed = rack_ranges(tranche, leases)
    held = windows([row for row in leases if row.tranche_id == tranche.tranche_id])
    counts = np.array(tranche.rack_gpu_counts(), dtype=np.float32)
    first_gpu = np.arange(tranche.rack_count, dtype=np.float32) * RACK_GPU_COUNT
    parts = np.zeros((tranche.rack_count, len(placed)), dtype=np.float32)
    levels = np.zeros((len(placed), len(grid.hour_at)), dtype=np.float32)
    for number, (lease_id, (low, high)) in enumerate(sorted(placed.items())):
        overlap = np.minimum(first_gpu + counts, high) - np.maximum(first_gpu, low)
        parts[:, number] = np.clip(overlap, 0, None) / counts
        live = [window for window in held[lease_id] if billing(window)]
        version = live[0].version
        since = (grid.hour_at - live[0].start_at.timestamp()) / 3600
        active = (since >= 0) & (grid.hour_at < live[-1].end_at.timestamp())
        week = profile.week_utilization if version.workload != "inference" else profile.week_occupancy
        ramp = np.clip(FIRST_LEVEL + (1 - FIRST_LEVEL) * since / RAMP_HOURS, FIRST_LEVEL, 1)
        # Half of the weekly swing: a whole rack follows the week less than the traces' few GPUs do.
        swing = (1 + week[grid.hour_of_week]) / 2
        levels[number] = active * profile.level_fraction[version.workload] * ramp * swing
    return parts, levels


def make_tranche_month(
    seed: int,
    park: ParkPlan,
    tranche: TranchePlan,
    *,
    leases: list[LeaseVersion],
    grid: Grid,
    outage: Outage,
    profile: Profile,
    day_count: int,
    stray_hours: npt.NDArray[np.bool_] | None = None,
) -> TrancheMonth:
    """Utilisation and power of every rack and sample of the first `day_count` days of a month's grid.

    A rack is the mean of its GPUs: spreads of one GPU shrink with the root of their number. It keeps a level of its own
    over the months and follows the hour before within a month. `stray_hours`: hours in which the last rack works at
    STRAY_PCT though nobody leases it. What is drawn by hour is drawn for the whole month, and what is drawn by sample
    comes last: so the days that are wanted are the same however many they are.
    """
    per_hour = 3600 // park.telemetry_interval_seconds
    # A month by the hour costs nothing, and the peak of all its hours sizes what a park generates itself.
    hours = int((grid.day_index < day_count).sum()) if per_hour > 1 else len(grid.hour_at)
    hour = np.repeat(np.arange(hours), per_hour)
    sampled_at = grid.hour_at[hour] + np.tile(np.arange(per_hour) * park.telemetry_interval_seconds, hours)
    parts, levels = leased_levels(tranche, leases, grid, profile)
    expected = (parts @ levels).T  # hours × racks
    gpus = np.sqrt(np.array(tranche.rack_gpu_counts(), dtype=np.float32))
    own = generator(seed, park.park_id, "rack", tranche.tranche_id).standard_normal(tranche.rack_count, np.float32)
    draw = generator(seed, park.park_id, "gpu_telemetry", tranche.tranche_id, grid.month)
    keep = np.float32(profile.persistence)
    noise = draw.standard_normal(expected.shape, np.float32)
    noise[1:] *= np.sqrt(1 - keep**2)
    for n in range(1, len(noise)):
        noise[n] += keep * noise[n - 1]
    relative = 1 + own * np.float32(profile.rack_fraction) / gpus + noise * np.float32(profile.noise_fraction) / gpus
    percent = np.clip(expected * relative * 100 + IDLE_PCT, 0, 100)
    if stray_hours is not None:
        stray_hours = stray_hours & (expected[:, -1] == 0) & ~outage.silent[:, -1]
        percent[stray_hours, -1] = STRAY_PCT
    percent[outage.idle] = 0
    # A month by the minute is large: each step writes over the one before.
    percent = percent[hour]
    if per_hour > 1:
        jitter = draw.normal(0, 0.02, (len(grid.hour_at) * per_hour, 1))[: len(hour)].astype(np.float32)
        percent *= 1 + jitter
        np.clip(percent, 0, 100, out=percent)
    percent *= 10
    utilization = np.rint(percent, out=percent).astype(np.int16)
    rated_w = profile.rated_w.get(tranche.gpu_model, profile.rated_w["other"])
    curve = np.interp(np.arange(1001) / 10, np.arange(101), profile.power_fraction).astype(np.float32) * rated_w
    shake = draw.standard_normal(utilization.shape, np.float32)
    shake *= np.float32(POWER_NOISE)
    shake /= gpus
    shake += 1
    shake *= curve[utilization]
    power = np.rint(shake, out=shake).astype(np.int16)
    stray_count = 0 if stray_hours is None else int(stray_hours.sum())
    return TrancheMonth(tranche, grid, sampled_at, hour, utilization, power, outage, stray_count)


def delivered_at(park: ParkPlan, day: date) -> datetime:
    """When the telemetry of a day arrives: 02:00 of the next day of the park's clock."""
    return days.local_instant(park.zone, day + timedelta(days=1), 2)


def telemetry_table(
    park: ParkPlan,
    made: TrancheMonth,
    keep: Callable[[date], bool],
    *,
    recorded_at: datetime | None = None,
    racks: slice = slice(None),
) -> pa.Table:
    """Rows of the days that `keep` takes, by sample then rack; `recorded_at` replaces the usual delivery."""
    return pa.concat_tables(telemetry_tables(park, made, keep, recorded_at=recorded_at, racks=racks))


def telemetry_tables(
    park: ParkPlan,
    made: TrancheMonth,
    keep: Callable[[date], bool],
    *,
    recorded_at: datetime | None = None,
    racks: slice = slice(None),
) -> Iterator[pa.Table]:
    """The same in pieces of a row group, so that none outgrows a processor's caches; at least one."""
    wanted = np.array([keep(day) for day in made.grid.days])
    samples = np.flatnonzero(wanted[made.grid.day_index[made.hour]])
    all_racks = np.arange(made.tranche.rack_count, dtype=np.int32)[racks]
    counts = np.array(made.tranche.rack_gpu_counts(), np.int32)
    names = pa.array(made.tranche.node_ids(), pa.string())
    usual = np.array([int(delivered_at(park, day).timestamp()) for day in made.grid.days])
    known = (
        usual[made.grid.day_index]
        if recorded_at is None
        else np.full(len(made.grid.hour_at), int(recorded_at.timestamp()))
    )
    at_once = max(1, ROW_GROUP_ROWS // len(all_racks))
    # Columns as numbers of their few values: the writer need not look for what repeats.
    tenths, watts = (
        pa.array(np.arange(1001) / 10),
        pa.array(np.arange(1 + max(0, made.power.max(initial=0))), pa.float64()),
    )
    hours_known = _instants(known)
    for start in range(0, max(1, len(samples)), at_once):
        sample = samples[start : start + at_once]
        hour = made.hour[sample]
        present = np.flatnonzero(~made.outage.silent[hour][:, racks])
        row, column = np.divmod(present, len(all_racks))
        rack = all_racks[column]
        nodes = _numbered(rack, names)
        xid = made.outage.xid[hour][:, racks].take(present)
        yield pa.table(
            {
                "gpu_id": nodes,
                "node_id": nodes,
                "gpu_model": _numbered(np.zeros(len(rack), np.int8), pa.array([made.tranche.gpu_model])),
                "sampled_at": _numbered(row.astype(np.int32), _instants(made.sampled_at[sample])),
                "utilization_pct": _numbered(made.utilization[sample][:, racks].take(present), tenths),
                "power_w": _numbered(made.power[sample][:, racks].take(present), watts),
                "gpu_count": pa.array(counts[rack]),
                "xid_code": pa.array(xid, mask=xid == 0),
                "recorded_at": _numbered(hour.astype(np.int32)[row], hours_known),
            }
        )


def _numbered(numbers: npt.NDArray[np.integer[Any]], values: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(numbers), values)


def _instants(seconds: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(seconds * 1000, pa.timestamp("ms", "UTC"))


def write_parquet(path: Path, tables: Iterable[pa.Table]) -> int:
    """Write the tables after one another into one zstd Parquet file, atomically; rows written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.tmp")
    writer: pq.ParquetWriter | None = None
    count = 0
    try:
        for table in tables:
            if writer is None:
                # A third of the writing is the statistics of columns by which nobody chooses rows.
                writer = pq.ParquetWriter(
                    hidden,
                    table.schema,
                    compression="zstd",
                    compression_level=1,
                    store_schema=False,
                    write_statistics=["sampled_at"],
                )
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
            count += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    if writer is not None:
        hidden.replace(path)
    return count
