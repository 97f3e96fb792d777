"""One park's simulated facts: leases, use, adjustments, outages, and the imperfections that change what is known when.

Nothing here depends on the clock: the clock only cuts off what has not been recorded yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from ingest.simulate import days
from ingest.simulate.book import Adjustment, LeaseVersion, Usage, make_adjustments, make_usage
from ingest.simulate.outages import (
    DeclaredEvent,
    Grid,
    Outage,
    declared_events,
    draw_outage,
    month_grid,
    undeclared_gpu_hours,
)
from ingest.simulate.plan import ContractPlan, ParkPlan, TranchePlan
from ingest.simulate.profiles import Profile
from ingest.simulate.statement import Facts, OutageFact
from ingest.simulate.telemetry import delivered_at

CORRECTED_MONTH = 1  # months after the park's first
CORRECTED_USAGE_DAYS = range(10, 13)
CORRECTED_TELEMETRY_DAY, OVERLAP_DAY = 20, 21
LATE_USAGE_MONTH = 2
LATE_TELEMETRY_MONTH, LATE_TELEMETRY_DAY = 3, 25
STRAY_MONTH, STRAY_DAYS = 2, range(14, 16)  # the last rack of the first tranche works, and nobody leases it


@dataclass(frozen=True)
class World:
    """All that is simulated of one park but the samples themselves.

    `late_usage` and `corrected_usage` are part of `facts.usage` and travel in files of their own; `late_day` is the
    tranche and the day whose telemetry comes after the month's close, with when it comes.
    """

    park: ParkPlan
    contracts: dict[str, ContractPlan]
    facts: Facts
    late_usage: list[Usage] = field(default_factory=list)
    corrected_usage: list[Usage] = field(default_factory=list)
    late_day: tuple[str, date, datetime] | None = None

    @property
    def first_month(self) -> date:
        """The park's first month."""
        return days.first_of_month(min(tranche.energised_date for tranche in self.park.tranches))


def outage_of(
    seed: int,
    world_events: list[DeclaredEvent],
    park: ParkPlan,
    tranche: TranchePlan,
    month: date,
    *,
    profile: Profile,
    fatal_codes: list[int],
) -> tuple[Grid, Outage]:
    """Grid and outage of one tranche and month, the same wherever they are asked for."""
    grid = month_grid(park, month, tranche.energised_date)
    return grid, draw_outage(seed, park, tranche, grid, events=world_events, profile=profile, fatal_codes=fatal_codes)


def make_world(
    seed: int,
    park: ParkPlan,
    contracts: dict[str, ContractPlan],
    leases: list[LeaseVersion],
    *,
    last_month: date,
    close_after_days: int,
    profile: Profile,
    fatal_codes: list[int],
    imperfections: frozenset[str],
) -> World:
    """Facts of a park from its first month to `last_month`, around its leases; late and corrected ones where wanted."""
    events = [
        event
        for tranche in park.tranches
        for event in declared_events(park, tranche, is_first=tranche is park.tranches[0])
    ]
    first_month = days.first_of_month(min(tranche.energised_date for tranche in park.tranches))
    usage: list[Usage] = []
    adjustments: list[Adjustment] = []
    outages: list[OutageFact] = []
    late_day = _late_day(park, first_month, close_after_days) if "late" in imperfections else None
    for turn, month in enumerate(days.months_between(first_month, last_month)):
        usage += make_usage(seed, park, leases, month, profile)
        adjustments += make_adjustments(seed, park, leases, month, turn)
        for tranche in park.tranches:
            if days.last_of_month(month) < tranche.energised_date:
                continue
            grid, outage = outage_of(seed, events, park, tranche, month, profile=profile, fatal_codes=fatal_codes)
            outages += _outage_facts(park, tranche, grid, outage, fatal_codes=fatal_codes, late_day=late_day)
    corrected, late = _change_usage(park, usage, first_month, close_after_days, imperfections)
    facts = Facts(leases, usage, adjustments, events, outages)
    return World(park, contracts, facts, late, corrected, late_day)


def _late_day(park: ParkPlan, first_month: date, close_after_days: int) -> tuple[str, date, datetime]:
    month = days.add_months(first_month, LATE_TELEMETRY_MONTH)
    arrives = days.close_at(park.zone, month, close_after_days) + timedelta(days=12, hours=10)
    return park.tranches[0].tranche_id, month + timedelta(days=LATE_TELEMETRY_DAY - 1), arrives


def _outage_facts(
    park: ParkPlan,
    tranche: TranchePlan,
    grid: Grid,
    outage: Outage,
    *,
    fatal_codes: list[int],
    late_day: tuple[str, date, datetime] | None,
) -> list[OutageFact]:
    """Undeclared hours by day; on the late day all hours are missing until its file arrives."""
    rows: list[OutageFact] = []
    for number, (day, (gap, fault)) in enumerate(undeclared_gpu_hours(outage, grid, tranche, fatal_codes).items()):
        known_at = delivered_at(park, day)
        if late_day is not None and (tranche.tranche_id, day) == late_day[:2]:
            everything = int((grid.day_index == number).sum()) * tranche.gpu_count
            rows.append(OutageFact(tranche.tranche_id, day, everything, known_at))
            rows.append(OutageFact(tranche.tranche_id, day, gap + fault - everything, late_day[2]))
        elif gap + fault:
            rows.append(OutageFact(tranche.tranche_id, day, gap + fault, known_at))
    return rows


def _change_usage(
    park: ParkPlan, usage: list[Usage], first_month: date, close_after_days: int, imperfections: frozenset[str]
) -> tuple[list[Usage], list[Usage]]:
    """Make `usage` imperfect in place: (corrections, late rows), both also in it.

    Three days of the first metered lease are reported at half and corrected five days later, before the close; the last
    two days of a later month arrive after the invoice has been posted.
    """
    metered = sorted({row.lease_id for row in usage})
    if not metered:
        return [], []
    corrected: list[Usage] = []
    late: list[Usage] = []
    wrong_month = days.add_months(first_month, CORRECTED_MONTH)
    late_month = days.add_months(first_month, LATE_USAGE_MONTH)
    arrives = days.close_at(park.zone, days.add_months(late_month, 1), close_after_days) + timedelta(days=5)
    for number, row in enumerate(usage):
        day = days.local_date(park.zone, row.interval_start_at)
        if row.lease_id != metered[0]:
            continue
        month = days.first_of_month(day)
        if "corrected" in imperfections and month == wrong_month and day.day in CORRECTED_USAGE_DAYS:
            corrected.append(replace(row, recorded_at=row.recorded_at + timedelta(days=5)))
            usage[number] = replace(row, gpu_hours=(row.gpu_hours / 2).quantize(Decimal("0.001")))
        elif "late" in imperfections and month == late_month and day > days.last_of_month(month) - timedelta(days=2):
            usage[number] = replace(row, recorded_at=arrives)
            late.append(usage[number])
    usage += corrected
    return corrected, late


def known_leases(world: World, clock_at: datetime) -> list[LeaseVersion]:
    """Versions recorded by the clock."""
    return [row for row in world.facts.leases if row.recorded_at <= clock_at]
