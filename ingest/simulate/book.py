"""The simulated lease book: leases in versions, what metered ones used, adjustments, and which racks serve whom.

Every tenant is invented and says so. Occupancy rises from under half to nearly full within nine months of energising.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from ingest.simulate import days
from ingest.simulate.plan import RACK_GPU_COUNT, ContractPlan, ParkPlan, TranchePlan
from ingest.simulate.profiles import Profile
from ingest.simulate.seeds import generator

# Leased share of a tranche by month since energising; assumed, so that a backstop with a floor near 0.85 is drawn on
# early and no longer once the park is full.
OCCUPANCY = (0.46, 0.56, 0.63, 0.70, 0.76, 0.82, 0.88, 0.92, 0.95, 0.96)
LEASES_PER_PARK = 14
FEWEST_PER_TRANCHE = 5
PRICE_RANGE = (2.60, 3.60)  # USD per GPU-hour of a GB300: quotes of 2026 lie between the floor of 2.33 and 3.57
PRICE_FACTOR = {"GB300": 1.0, "B300": 1.0, "GB200": 0.9, "B200": 0.85, "H200": 0.75, "H100": 0.65, "VR": 1.25}
METERED_PREMIUM = 0.25
METERED_USE = 0.78  # mean share of its GPUs' hours that a metered lease uses
CENT = Decimal("0.01")


@dataclass(frozen=True)
class LeaseVersion:
    """One row of the leases feed. Instants in UTC; the price in the contract's currency."""

    lease_id: str
    version: int
    tenant_id: str
    tenant_name: str
    tenant_parent_id: str
    contract_id: str
    tranche_id: str
    gpu_model: str
    gpu_count: int
    starts_at: datetime
    ends_at: datetime
    price_per_gpu_hour: Decimal
    currency_code: str
    workload: str
    customer_type: str
    pricing: str
    status: str
    recorded_at: datetime


@dataclass(frozen=True)
class Usage:
    """One row of lease_usage: a day of a metered lease."""

    lease_id: str
    interval_start_at: datetime
    interval_end_at: datetime
    gpu_hours: Decimal
    recorded_at: datetime


@dataclass(frozen=True)
class Adjustment:
    """One row of lease_adjustments, signed as it changes the tenant's bill."""

    adjustment_id: str
    lease_id: str
    service_date: date
    kind: str
    amount: Decimal
    currency_code: str
    recorded_at: datetime


@dataclass(frozen=True)
class Window:
    """What holds of a lease from one instant to another: the version in force."""

    version: LeaseVersion
    start_at: datetime
    end_at: datetime


def read_leases(folder: Path, zone: ZoneInfo) -> list[LeaseVersion]:
    """Leases that a user dropped as plain CSV or Parquet, so that what is simulated beside them fits them.

    Only for the generator: rows that it cannot read are left out here, and quarantined at landing. A version without
    `recorded_at` counts as known a month before it starts.
    """
    rows: list[LeaseVersion] = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        try:
            frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema=False)
        except (pl.exceptions.PolarsError, OSError):
            continue
        for cells in frame.to_dicts():
            row = _lease_of(cells, zone)
            if row is not None:
                rows.append(row)
    return rows


def _lease_of(cells: dict[str, object], zone: ZoneInfo) -> LeaseVersion | None:
    text = {name: "" if value is None else str(value).strip() for name, value in cells.items()}
    try:
        starts_at, ends_at = (_instant(text[name], zone) for name in ("starts_at", "ends_at"))
        known = text.get("recorded_at")
        return LeaseVersion(
            lease_id=text["lease_id"],
            version=int(text["version"]),
            tenant_id=text["tenant_id"],
            tenant_name=text.get("tenant_name", ""),
            tenant_parent_id=text.get("tenant_parent_id", ""),
            contract_id=text.get("contract_id", ""),
            tranche_id=text["tranche_id"],
            gpu_model=text["gpu_model"],
            gpu_count=int(text["gpu_count"]),
            starts_at=starts_at,
            ends_at=ends_at,
            price_per_gpu_hour=Decimal(text["price_per_gpu_hour"]),
            currency_code=text["currency_code"],
            workload=text["workload"],
            customer_type=text["customer_type"],
            pricing=text["pricing"],
            status=text["status"],
            recorded_at=_instant(known, zone) if known else starts_at - timedelta(days=30),
        )
    except (KeyError, ValueError, InvalidOperation):
        return None


def _instant(text: str, zone: ZoneInfo) -> datetime:
    read = datetime.fromisoformat(text)
    return (read if read.tzinfo is not None else read.replace(tzinfo=zone)).astimezone(UTC)


def windows(versions: Iterable[LeaseVersion], known_at: datetime | None = None) -> dict[str, list[Window]]:
    """The versions in force by lease, as known at an instant: None knows everything."""
    latest: dict[tuple[str, int], LeaseVersion] = {}
    for version in sorted(versions, key=lambda row: row.recorded_at):
        if known_at is None or version.recorded_at <= known_at:
            latest[version.lease_id, version.version] = version
    by_start: dict[str, dict[datetime, LeaseVersion]] = {}
    for version in sorted(latest.values(), key=lambda row: (row.lease_id, row.version)):
        by_start.setdefault(version.lease_id, {})[version.starts_at] = version  # the same start replaces
    result: dict[str, list[Window]] = {}
    for lease_id, starts in by_start.items():
        ordered = sorted(starts.values(), key=lambda row: row.starts_at)
        ends = [row.starts_at for row in ordered[1:]] + [ordered[-1].ends_at]
        result[lease_id] = [
            Window(row, row.starts_at, min(row.ends_at, end)) for row, end in zip(ordered, ends, strict=True)
        ]
    return result


def billing(window: Window) -> bool:
    """Whether a window bills: only active and ended leases do."""
    return window.version.status in ("active", "ended")


def make_leases(
    seed: int, park: ParkPlan, contracts: dict[str, ContractPlan], vendor_names: dict[str, str]
) -> list[LeaseVersion]:
    """All versions of all leases of a park, whatever the clock shows."""
    let = [tranche for tranche in park.tranches if tranche.contract_id in contracts]
    if not let:
        return []
    per_tranche = max(FEWEST_PER_TRANCHE, -(-LEASES_PER_PARK // len(let)))
    rows: list[LeaseVersion] = []
    number = 0
    for tranche in let:
        contract = contracts[tranche.contract_id or ""]
        for offset, gpu_count in _blocks(seed, park, tranche, per_tranche):
            rows += _lease(
                seed,
                park,
                contract,
                tranche,
                number=number,
                offset=offset,
                gpu_count=gpu_count,
                vendor_names=vendor_names,
            )
            number += 1
    rows += _cancelled(park, rows[0], number)
    return rows


def _blocks(seed: int, park: ParkPlan, tranche: TranchePlan, count: int) -> list[tuple[int, int]]:
    """(months after energising, GPUs) of each lease of a tranche, so that their sum follows OCCUPANCY."""
    draw = generator(seed, park.park_id, "blocks", tranche.tranche_id)
    last = len(OCCUPANCY) - 2
    offsets = [0, 0, *(round(1 + (last - 1) * step / max(1, count - 3)) for step in range(count - 2))]
    # Whole racks where a rack is little beside a lease, so that rounding takes nothing from the occupancy.
    unit = RACK_GPU_COUNT if tranche.rack_count >= 200 else 8 if tranche.gpu_count >= 1000 else 1
    blocks: list[tuple[int, int]] = []
    let = 0
    for position, offset in enumerate(offsets):
        together = offsets.count(offset)  # leases that start in one month share what is let in it
        before = max((OCCUPANCY[other] for other in offsets if other < offset), default=0.0)
        part = 1 / together if offset > 0 else (0.6, 0.4)[position]
        share = (OCCUPANCY[offset] - before) * part * draw.uniform(0.97, 1.02)
        gpus = max(unit, int(share * tranche.gpu_count) // unit * unit)
        gpus = min(gpus, tranche.gpu_count - let)
        if gpus > 0:
            blocks.append((offset, gpus))
            let += gpus
    return blocks


def _lease(
    seed: int,
    park: ParkPlan,
    contract: ContractPlan,
    tranche: TranchePlan,
    *,
    number: int,
    offset: int,
    gpu_count: int,
    vendor_names: dict[str, str],
) -> list[LeaseVersion]:
    """One lease with its later versions; `number` counts over the park and gives it its part to play."""
    draw = generator(seed, park.park_id, "lease", tranche.tranche_id, number)
    related, own_use = number == 2, number == 5
    metered = number % 4 == 1 and not own_use
    first_month = days.add_months(days.first_of_month(tranche.energised_date), offset)
    wait = int(draw.choice([0, 0, 4, 9])) if offset > 0 else 0  # a tranche has a tenant from its first day
    start_day = max(tranche.energised_date, first_month + timedelta(days=wait))
    start_hour = 12 if number % 5 == 4 and start_day > tranche.energised_date else 0
    term_months = int(draw.choice([24, 36]))
    end_day = min(days.add_months(first_month, term_months), contract.expiry_date + timedelta(days=1))
    factor = PRICE_FACTOR.get(tranche.gpu_model, 1.0)
    price = draw.uniform(*PRICE_RANGE) * factor + (METERED_PREMIUM if metered else 0.0)
    workload = "inference" if metered else "fine_tuning" if number % 3 == 2 else "training"
    tenant_id, tenant_name, parent_id, customer_type = f"{park.park_id}-tenant-{number + 1:02d}", "", "", "third_party"
    tenant_name = f"Simulated tenant {number + 1:02d} of {park.park_id}"
    if number in (3, 4):  # two tenants of one group, so that concentration by parent differs from that by tenant
        parent_id = f"{park.park_id}-tenant-group"
    if related:
        tenant_id, customer_type = f"{park.operator_id}-affiliate", "related"
        tenant_name, parent_id = f"Simulated affiliate of {park.operator_id}", park.operator_id
    if own_use:
        tenant_id, customer_type = contract.vendor_id, "vendor_own_use"
        tenant_name = f"{vendor_names.get(contract.vendor_id, contract.vendor_id)} own use (simulated)"
    first = LeaseVersion(
        lease_id=f"{park.park_id}-lease-{number + 1:02d}",
        version=1,
        tenant_id=tenant_id,
        tenant_name=tenant_name,
        tenant_parent_id=parent_id or tenant_id,
        contract_id=contract.contract_id,
        tranche_id=tranche.tranche_id,
        gpu_model=tranche.gpu_model,
        gpu_count=gpu_count,
        starts_at=days.local_instant(park.zone, start_day, start_hour),
        ends_at=days.local_instant(park.zone, end_day),
        price_per_gpu_hour=Decimal(repr(round(price, 2))),
        currency_code=contract.currency_code,
        workload=workload,
        customer_type=customer_type,
        pricing="metered" if metered else "reserved",
        status="active",
        recorded_at=days.local_instant(park.zone, start_day - timedelta(days=30), 9),
    )
    return [first, *_later_versions(park, first, number, first_month)]


def _later_versions(park: ParkPlan, first: LeaseVersion, number: int, first_month: date) -> list[LeaseVersion]:
    """A renewal (lease 4 of a park), an early end (5) and a price change (7); the others keep their first version."""
    if number == 3:
        renewed = days.add_months(first_month, 5)
        first_end = days.local_instant(park.zone, renewed)
        short = replace(first, version=2, ends_at=first_end, recorded_at=first.recorded_at + timedelta(hours=1))
        renewal = replace(
            first,
            version=3,
            starts_at=first_end,
            price_per_gpu_hour=first.price_per_gpu_hour + Decimal("0.12"),
            recorded_at=days.local_instant(park.zone, renewed - timedelta(days=20), 9),
        )
        return [short, renewal] if renewal.ends_at > first_end else [short]
    if number == 4:
        end_day = days.add_months(first_month, 5) + timedelta(days=14)
        return [
            replace(
                first,
                version=2,
                ends_at=min(first.ends_at, days.local_instant(park.zone, end_day)),
                status="ended",
                recorded_at=days.local_instant(park.zone, end_day - timedelta(days=25), 9),
            )
        ]
    if number == 6:
        change_day = days.add_months(first_month, 3)
        return [
            replace(
                first,
                version=2,
                starts_at=days.local_instant(park.zone, change_day),
                price_per_gpu_hour=first.price_per_gpu_hour - Decimal("0.20"),
                recorded_at=days.local_instant(park.zone, change_day - timedelta(days=20), 9),
            )
        ]
    return []


def _cancelled(park: ParkPlan, example: LeaseVersion, number: int) -> list[LeaseVersion]:
    """A lease that was signed and cancelled before it began: it never bills."""
    signed = replace(
        example,
        lease_id=f"{park.park_id}-lease-{number + 1:02d}",
        tenant_id=f"{park.park_id}-tenant-{number + 1:02d}",
        tenant_parent_id=f"{park.park_id}-tenant-{number + 1:02d}",
        tenant_name=f"Simulated tenant {number + 1:02d} of {park.park_id}",
        starts_at=example.starts_at + timedelta(days=28),
        pricing="reserved",
        customer_type="third_party",
        workload="training",
    )
    cancelled_at = signed.starts_at - timedelta(days=10)
    return [signed, replace(signed, version=2, status="cancelled", recorded_at=cancelled_at)]


def rack_ranges(tranche: TranchePlan, leases: list[LeaseVersion]) -> dict[str, tuple[int, int]]:
    """GPUs [first, after last) of each billing lease of a tranche: first fit over the leases' lives."""
    spans: dict[str, tuple[datetime, datetime, int]] = {}
    for lease_id, held in windows([row for row in leases if row.tranche_id == tranche.tranche_id]).items():
        live = [window for window in held if billing(window) and window.end_at > window.start_at]
        if live:
            gpus = max(window.version.gpu_count for window in live)
            spans[lease_id] = (live[0].start_at, live[-1].end_at, gpus)
    placed: dict[str, tuple[int, int]] = {}
    for lease_id, (start_at, end_at, gpus) in sorted(spans.items(), key=lambda item: (item[1][0], item[0])):
        taken = sorted(
            placed[other]
            for other, (other_start, other_end, _) in spans.items()
            if other in placed and other_start < end_at and start_at < other_end
        )
        at = 0
        for low, high in taken:
            if at + gpus <= low:
                break
            at = max(at, high)
        if at + gpus <= tranche.gpu_count:
            placed[lease_id] = (at, at + gpus)
    return placed


def make_usage(seed: int, park: ParkPlan, leases: list[LeaseVersion], month: date, profile: Profile) -> list[Usage]:
    """One row a day and metered lease of a month of the park's clock, delivered at 03:00 of the next day."""
    rows: list[Usage] = []
    for lease_id, held in sorted(windows(leases).items()):
        live = [window for window in held if billing(window) and window.version.pricing == "metered"]
        if not live:
            continue
        draw = generator(seed, park.park_id, "lease_usage", lease_id, month)
        for day in days.days_between(month, days.last_of_month(month)):
            noise = float(draw.normal(1.0, 0.05))
            day_start, day_end = (
                days.local_instant(park.zone, day),
                days.local_instant(park.zone, day + timedelta(days=1)),
            )
            start_at, end_at = max(day_start, live[0].start_at), min(day_end, live[-1].end_at)
            if end_at <= start_at:
                continue
            hours = Decimal(int((end_at - start_at).total_seconds())) / 3600 * live[0].version.gpu_count
            weekday = day.weekday() * 24
            level = float(np.mean(profile.week_occupancy[weekday : weekday + 24]))
            share = Decimal(repr(round(min(1.0, METERED_USE * level * noise), 6)))
            used = (hours * share).quantize(Decimal("0.001"), ROUND_HALF_UP)
            delivered = days.local_instant(park.zone, day + timedelta(days=1), 3)
            rows.append(Usage(lease_id, start_at, end_at, used, delivered))
    return rows


# Kind, sign as it changes the tenant's bill, and share of the lease's month in basis points; in turn, two a month.
ADJUSTMENT_TURNS = (
    ("credit", -1, 40),
    ("sla_penalty", -1, 60),
    ("refund", -1, 15),
    ("other_revenue", 1, 25),
    ("bad_debt", -1, 20),
    ("credit", 1, 10),  # the reversal of an earlier credit
)
SALES_TAX_BP, PASS_THROUGH_BP = 1000, 250


def make_adjustments(seed: int, park: ParkPlan, leases: list[LeaseVersion], month: date, turn: int) -> list[Adjustment]:
    """Adjustments of one month: tax on the first lease, power passed through to metered ones, two others in turn."""
    last_day = days.last_of_month(month)
    start_at = days.local_instant(park.zone, month)
    end_at = days.local_instant(park.zone, last_day + timedelta(days=1))
    live = [
        (lease_id, window.version)
        for lease_id, held in sorted(windows(leases).items())
        for window in held
        if billing(window) and window.start_at <= start_at and window.end_at >= end_at
    ]
    if not live:
        return []
    draw = generator(seed, park.park_id, "lease_adjustments", month)
    wanted: list[tuple[str, LeaseVersion, int, date]] = []
    for lease_id, version in live:
        if lease_id.endswith("-01"):
            wanted.append(("sales_tax", version, SALES_TAX_BP, last_day))
        if version.pricing == "metered":
            wanted.append(("power_passthrough", version, PASS_THROUGH_BP, last_day))
    for step in range(2):
        kind, sign, basis_points = ADJUSTMENT_TURNS[(2 * turn + step) % len(ADJUSTMENT_TURNS)]
        _, version = live[int(draw.integers(len(live)))]
        day = month + timedelta(days=int(draw.integers(2, 26)))
        wanted.append((kind, version, sign * int(basis_points * draw.uniform(0.5, 1.5)), day))
    hours = Decimal(24 * last_day.day)  # the size of an adjustment only, so the month's clock changes do not matter
    return [
        Adjustment(
            adjustment_id=f"{park.park_id}-adj-{month:%Y%m}-{number + 1:02d}",
            lease_id=version.lease_id,
            service_date=day,
            kind=kind,
            amount=(version.gpu_count * hours * version.price_per_gpu_hour * basis_points / 10_000).quantize(
                CENT, ROUND_HALF_UP
            ),
            currency_code=version.currency_code,
            recorded_at=days.local_instant(park.zone, day + timedelta(days=3), 10),
        )
        for number, (kind, version, basis_points, day) in enumerate(wanted)
    ]
