"""What keeps GPUs out of supply: gaps and faults that follow the profiles, and declared events on a timetable.

A declared event silences whole racks for whole hours of the park's clock, or leaves them reporting; on its days the
tranche has no other gap or fault, so that declared and undeclared hours never overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt

from ingest.simulate import days
from ingest.simulate.plan import ParkPlan, TranchePlan
from ingest.simulate.profiles import Profile
from ingest.simulate.seeds import generator

LONGEST_REPAIR_HOURS = 8
HARMLESS_XID = 31  # an application's page fault: reported, and no outage
HARMLESS_PER_FATAL = 2


@dataclass(frozen=True)
class DeclaredEvent:
    """One announced event: `gpu_count` GPUs of the first `rack_count` racks from `start_at` to `end_at` (UTC)."""

    event_id: str
    kind: str
    tranche_id: str
    start_at: datetime
    end_at: datetime
    rack_count: int
    gpu_count: int
    is_silent: bool
    recorded_at: datetime


# Kind, month of the tranche, day and hour of its start, hours, share of the racks, whether the racks fall silent.
# The second maintenance is longer than an allowance of 2 % of a month.
TIMETABLE = (
    ("operator_fault", 3, 11, 2, 18, 0.10, True),
    ("maintenance", 4, 9, 0, 6, 0.20, True),
    ("maintenance", 5, 16, 0, 36, 0.50, True),
    ("power_curtailment", 6, 21, 16, 5, 0.30, False),
    ("operator_fault", 8, 5, 9, 12, 0.15, True),
    ("maintenance", 10, 13, 0, 8, 0.20, True),
    ("power_curtailment", 12, 18, 17, 4, 0.40, False),
)
LATE_DELIVERY = ("delivery", 1, 1, 0, 72, 0.05, True)  # only in tranches after a contract's first


def declared_events(park: ParkPlan, tranche: TranchePlan, *, is_first: bool) -> list[DeclaredEvent]:
    """The declared events of a tranche over its first year."""
    counts = tranche.rack_gpu_counts()
    rows = []
    first_month = days.first_of_month(tranche.energised_date)
    turns = TIMETABLE if is_first else (LATE_DELIVERY, *TIMETABLE)
    for number, (kind, month, day, hour, hours, share, is_silent) in enumerate(turns):
        racks = max(1, int(len(counts) * share))
        start_day = days.add_months(first_month, month - 1) + timedelta(days=day - 1)
        start_day = max(start_day, tranche.energised_date)
        start_at = days.local_instant(park.zone, start_day, hour)
        announced = 20 if kind == "maintenance" else -1
        rows.append(
            DeclaredEvent(
                event_id=f"{tranche.tranche_id}-{kind}-{number + 1}",
                kind=kind,
                tranche_id=tranche.tranche_id,
                start_at=start_at,
                end_at=start_at + timedelta(hours=hours),
                rack_count=racks,
                gpu_count=sum(counts[:racks]),
                is_silent=is_silent,
                recorded_at=days.local_instant(park.zone, start_day - timedelta(days=announced), 12),
            )
        )
    return rows


@dataclass(frozen=True)
class Grid:
    """The hours of one tranche in one month of the park's clock, from the energised date on.

    `hour_at`: UTC instants of the hours' starts in epoch seconds; `day_index`: position in `days` of each hour;
    `hour_of_week`: 0 is Monday 00:00 of the park's clock.
    """

    month: date
    days: list[date]
    hour_at: npt.NDArray[np.int64]
    day_index: npt.NDArray[np.int64]
    hour_of_week: npt.NDArray[np.int64]


def month_grid(park: ParkPlan, month: date, first_day: date) -> Grid:
    """The grid of a month; days before `first_day` are left out."""
    listed = days.days_between(max(month, first_day), days.last_of_month(month))
    starts = [int(days.local_instant(park.zone, day).timestamp()) for day in listed]
    starts.append(int(days.local_instant(park.zone, listed[-1] + timedelta(days=1)).timestamp()))
    hour_at = np.arange(starts[0], starts[-1], 3600, dtype=np.int64)
    day_index = np.searchsorted(np.array(starts), hour_at, side="right") - 1
    weekday = np.array([day.weekday() for day in listed])
    # On a day when clocks change, hours are counted from midnight: an hour's slip twice a year moves no profile.
    hour_of_day = np.minimum((hour_at - np.array(starts)[day_index]) // 3600, 23)
    return Grid(month, listed, hour_at, day_index, weekday[day_index] * 24 + hour_of_day)


@dataclass(frozen=True)
class Outage:
    """Hours × racks of one tranche and month.

    `silent`: no sample at all (gaps and declared); `gap`: only the gaps; `xid`: the code reported, 0 for none;
    `idle`: racks that report but do no work.
    """

    silent: npt.NDArray[np.bool_]
    gap: npt.NDArray[np.bool_]
    xid: npt.NDArray[np.int32]
    idle: npt.NDArray[np.bool_]


def draw_outage(
    seed: int,
    park: ParkPlan,
    tranche: TranchePlan,
    grid: Grid,
    *,
    events: list[DeclaredEvent],
    profile: Profile,
    fatal_codes: list[int],
) -> Outage:
    """Gaps, faults and declared events of one tranche and month."""
    draw = generator(seed, park.park_id, "outage", tranche.tranche_id, grid.month)
    hours, racks = len(grid.hour_at), tranche.rack_count
    gap = np.zeros((hours, racks), dtype=np.bool_)
    xid = np.zeros((hours, racks), dtype=np.int32)
    for rack, start, length in _spells(
        draw, profile.gap_rate_per_hour, hours, racks, draw.choice(profile.gap_hours, 10_000, p=profile.gap_weight)
    ):
        gap[start : start + length, rack] = True
    rack_rate = profile.faults_per_gpu_hour * tranche.gpu_count / racks
    repairs = draw.integers(1, LONGEST_REPAIR_HOURS + 1, 10_000)
    for number, (rack, start, length) in enumerate(
        _spells(draw, rack_rate * (1 + HARMLESS_PER_FATAL), hours, racks, repairs)
    ):
        if number % (1 + HARMLESS_PER_FATAL) or not fatal_codes:
            xid[start, rack] = HARMLESS_XID
        else:
            xid[start : start + length, rack] = fatal_codes[number // (1 + HARMLESS_PER_FATAL) % len(fatal_codes)]
    silent, idle = np.zeros_like(gap), np.isin(xid, fatal_codes)
    for event in (event for event in events if event.tranche_id == tranche.tranche_id):
        during = (grid.hour_at >= event.start_at.timestamp()) & (grid.hour_at < event.end_at.timestamp())
        if not during.any():
            continue
        quiet = np.isin(grid.day_index, np.unique(grid.day_index[during]))
        gap[quiet], xid[quiet], idle[quiet] = False, 0, False
        (silent if event.is_silent else idle)[during, : event.rack_count] = True
    xid[gap] = 0
    idle[gap] = False
    return Outage(silent | gap, gap, xid, idle)


def _spells(
    draw: np.random.Generator, rate: float, hours: int, racks: int, lengths: npt.NDArray[np.int64]
) -> list[tuple[int, int, int]]:
    """(rack, first hour, length) of a Poisson number of spells."""
    count = int(draw.poisson(rate * hours * racks))
    where = draw.integers(0, racks, count)
    start = draw.integers(0, hours, count)
    return [
        (int(rack), int(first), int(lengths[number % len(lengths)]))
        for number, (rack, first) in enumerate(zip(where, start, strict=True))
    ]


def undeclared_gpu_hours(
    outage: Outage, grid: Grid, tranche: TranchePlan, fatal_codes: list[int]
) -> dict[date, tuple[int, int]]:
    """(GPU-hours without a sample, GPU-hours with a fatal XID) by day, declared silence left out."""
    counts = np.array(tranche.rack_gpu_counts(), dtype=np.int64)
    gaps, faults = outage.gap @ counts, np.isin(outage.xid, fatal_codes) @ counts
    return {
        day: (int(gaps[grid.day_index == number].sum()), int(faults[grid.day_index == number].sum()))
        for number, day in enumerate(grid.days)
    }
