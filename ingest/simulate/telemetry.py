"""Rack-level telemetry of one park and month: utilisation and power by rack and sample, written as one Parquet file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
BLOCK_VALUES = 1 << 17  # of a drawing: they stay in a processor's cache

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


@dataclass
class Drawn:
    """Samples × racks of which the first `count` samples stand; `blocks` fills in the next ones and says how many stand."""

    utilization: Deci
    power: Deci
    blocks: Iterator[int]
    count: int = 0

    def until(self, count: int) -> tuple[Deci, Deci]:
        """Tenths of a per cent and watts a GPU of the first `count` samples at least."""
        while self.count < count:
            self.count = next(self.blocks)
        return self.utilization, self.power


@dataclass(frozen=True)
class TrancheMonth:
    """Samples × racks of one tranche and month, up to the last day that is wanted.

    `sampled_at`: epoch seconds by sample; `hour`: the grid's hour of each sample; `outage`: by hour × rack;
    `stray_count`: hours in which a rack works that nobody leases. Utilisation and power are drawn when they are first
    asked for, sample by sample in order: a month by the minute is large, and its first days are written meanwhile.
    """

    tranche: TranchePlan
    grid: Grid
    sampled_at: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int64]
    outage: Outage
    drawn: Drawn
    stray_count: int = 0

    @property
    def utilization(self) -> Deci:
        """Tenths of a per cent by sample × rack."""
        return self.drawn.until(len(self.hour))[0]

    @property
    def power(self) -> Deci:
        """Watts a GPU by sample × rack."""
        return self.drawn.until(len(self.hour))[1]

    def it_power_w(self) -> npt.NDArray[np.float64]:
        """Watts of all racks by hour, those without a sample included: a gap in telemetry is no gap in consumption.

        Nought after the last day that is wanted.
        """
        counts = np.array(self.tranche.rack_gpu_counts(), dtype=np.float64)
        watts = np.zeros(len(self.grid.hour_at))
        hours = len(np.unique(self.hour))
        if hours:
            by_hour = self.power.reshape(hours, -1, self.power.shape[1])
            watts[:hours] = by_hour.sum(axis=1, dtype=np.int64) @ counts / by_hour.shape[1]
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
    jitter = None
    if per_hour > 1:
        jitter = 1 + draw.normal(0, 0.02, (len(grid.hour_at) * per_hour, 1))[: len(hour)].astype(np.float32)
    rated_w = profile.rated_w.get(tranche.gpu_model, profile.rated_w["other"])
    curve = np.interp(np.arange(1001) / 10, np.arange(101), profile.power_fraction).astype(np.float32) * rated_w
    utilization, power = np.empty((2, len(hour), tranche.rack_count), np.int16)

    def blocks() -> Iterator[int]:
        at_once = max(1, BLOCK_VALUES // tranche.rack_count)
        for start in range(0, len(hour), at_once):
            block = slice(start, start + at_once)
            tenths = percent[hour[block]]
            if jitter is not None:
                tenths *= jitter[block]
                np.clip(tenths, 0, 100, out=tenths)
            tenths *= 10
            utilization[block] = np.rint(tenths, out=tenths)
            shake = draw.standard_normal(tenths.shape, np.float32)
            shake *= np.float32(POWER_NOISE)
            shake /= gpus
            shake += 1
            shake *= curve.take(utilization[block])
            power[block] = np.rint(shake, out=shake)
            yield min(len(hour), block.stop)

    stray_count = 0 if stray_hours is None else int(stray_hours.sum())
    return TrancheMonth(tranche, grid, sampled_at, hour, outage, Drawn(utilization, power, blocks()), stray_count)


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
    tenths = pa.array(np.arange(1001) / 10)
    hours_known = _instants(known)
    for start in range(0, max(1, len(samples)), at_once):
        sample = samples[start : start + at_once]
        hour = made.hour[sample]
        seen = ~made.outage.silent[hour][:, racks]
        rack = np.broadcast_to(all_racks, seen.shape)[seen]
        row = np.broadcast_to(np.arange(len(sample), dtype=np.int32)[:, np.newaxis], seen.shape)[seen]
        nodes = _numbered(rack, names)
        utilization, power = (
            values[sample][:, racks][seen] for values in made.drawn.until(int(sample.max(initial=-1)) + 1)
        )
        watts = pa.array(np.arange(1 + power.max(initial=0)), pa.float64())
        xid = made.outage.xid[hour][:, racks][seen]
        columns = {
            "gpu_id": nodes,
            "node_id": nodes,
            "gpu_model": _numbered(np.zeros(len(rack), np.int8), pa.array([made.tranche.gpu_model])),
            "sampled_at": _numbered(row, _instants(made.sampled_at[sample])),
            "utilization_pct": _numbered(utilization, tenths),
            "power_w": _numbered(power, watts),
            "gpu_count": pa.array(counts[rack]),
            "xid_code": pa.array(xid, mask=xid == 0),
            "recorded_at": _numbered(hour.astype(np.int32)[row], hours_known),
        }
        # Where a column says that it is never empty, the writer need not count what is there.
        fields = [pa.field(name, column.type, nullable=name == "xid_code") for name, column in columns.items()]
        yield pa.table(columns, schema=pa.schema(fields))


def _numbered(numbers: npt.NDArray[np.integer[Any]], values: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(numbers), values)


def _instants(seconds: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(seconds * 1000, pa.timestamp("ms", "UTC"))


def _ahead(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same tables; the next is made while its reader is busy with one."""
    source = iter(tables)
    with ThreadPoolExecutor(1) as maker:
        following = maker.submit(next, source, None)
        while (table := following.result()) is not None:
            following = maker.submit(next, source, None)
            yield table


def write_parquet(path: Path, tables: Iterable[pa.Table]) -> int:
    """Write the tables after one another into one zstd Parquet file, atomically; rows written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.tmp")
    writer: pq.ParquetWriter | None = None
    count = 0
    try:
        for table in _ahead(tables):
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
