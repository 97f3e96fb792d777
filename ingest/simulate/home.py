"""Simulates the feeds that a home lacks: what is missing, and the files that fill it.

A home says which parks may be simulated, and from which seed. A feed with a file of the user's own is left alone. Every
file is called simulated-…, and a README.md beside the feeds says what was made, and which imperfections it holds.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.simulate import cash, days, meter, telemetry, world
from ingest.simulate.book import (
    Adjustment,
    LeaseVersion,
    Usage,
    make_leases,
    rack_ranges,
    read_leases,
    windows,
)
from ingest.simulate.files import cell, csv_bytes, write_atomically
from ingest.simulate.outages import DeclaredEvent, Grid, month_grid
from ingest.simulate.plan import (
    RACK_GPU_COUNT,
    BackstopTerms,
    ContractPlan,
    ParkPlan,
    ShareTerms,
    Step,
    Tier,
    TranchePlan,
    VersionPlan,
)
from ingest.simulate.profiles import Profile, load_profile
from ingest.simulate.statement import unsupported_terms
from ingest.terms.contract import Backstop, Contract, RevenueShare
from ingest.terms.home import Home
from ingest.terms.park import Park
from ingest.terms.scalars import minor_unit_digits

GENERATOR_VERSION = 1  # raise it when the same home would be simulated differently
FEEDS = (
    "leases",
    "lease_usage",
    "lease_assignments",
    "lease_adjustments",
    "payments",
    "credit_events",
    "power_meter",
    "gpu_telemetry",
)
PREFIX = "simulated-"
MANIFEST = ".simulated.json"  # a hidden name, so that landing leaves it alone
README = "README.md"
WORKERS = 2  # park-months at a time: each holds some 200 MB in a park of 170,000 GPUs
GZIP_FEEDS = frozenset({"lease_usage", "power_meter"})

Progress = Callable[[str, int, int], None]


# The home's terms as the generator's plans


def park_plan(park: Park) -> ParkPlan:
    """The park, with its energised tranches only."""
    return ParkPlan(
        park_id=park.park_id,
        operator_id=park.operator.operator_id,
        rating=park.operator.rating,
        rating_agency=park.operator.rating_agency,
        zone=ZoneInfo(park.time_zone),
        currency_code=park.currency_code,
        telemetry_interval_seconds=park.telemetry_interval_seconds,
        pue_min=park.pue_bounds[0],
        pue_max=park.pue_bounds[1],
        tranches=tuple(
            TranchePlan(
                tranche_id=tranche.tranche_id,
                contract_id=tranche.contract_id,
                gpu_model=tranche.gpu_model,
                gpu_count=tranche.gpu_count,
                planned_date=tranche.planned_date or tranche.energised_date,
                energised_date=tranche.energised_date,
                nodes=tranche.nodes or f"{tranche.tranche_id}-*",
            )
            for tranche in park.tranches
            if tranche.energised_date is not None
        ),
    )


def contract_plan(contract: Contract) -> ContractPlan:
    """The contract, with what the generator's exact statement does not know listed in its instruments."""
    return ContractPlan(
        contract_id=contract.contract_id,
        vendor_id=contract.vendor_id,
        park_id=contract.park_id,
        currency_code=contract.currency_code,
        minor_unit_digits=minor_unit_digits(contract.currency_code),
        commencement_date=contract.service_commencement_date,
        expiry_date=contract.expiry_date,
        versions=tuple(
            VersionPlan(
                amendment_id=version.amendment_id,
                valid_from=version.valid_from,
                recorded_at=version.recorded_at or days.local_instant(ZoneInfo("UTC"), version.valid_from),
                shares=None
                if version.revenue_share is None
                else tuple(_share(block, has_advances=bool(version.token_advances)) for block in version.revenue_share),
                backstop=None if version.backstop is None else _backstop(version.backstop, contract.expiry_date),
            )
            for version in contract.versions
        ),
    )


def _share(block: RevenueShare, *, has_advances: bool) -> ShareTerms:
    unsupported = {
        "base_measure": block.base_measure not in ("gross_billed", "net_billed"),
        "base_scope": block.base_scope != "supported_capacity_only",
        "tier axis": any(tier.axis not in ("contract_month", "date") for tier in block.tiers),
        "combine": block.combine is not None,
        "activation": bool(block.activation),
        "breakpoint": block.share_basis == "pct_above_breakpoint" and block.breakpoint_amount is None,
        "minimum_guarantee": block.minimum_guarantee is not None
        and (block.minimum_guarantee.period != "month" or block.minimum_guarantee.creditable),
        "period_cap": block.period_cap is not None and block.period_cap.period != "month",
        "return_multiple_cap": block.return_multiple_cap is not None,
        "true_up": block.true_up is not None,
        "reserve_pct": bool(block.reserve_pct),
        "negative_base": block.negative_base != "credit_note",
        "token_advances": has_advances,
    }
    return ShareTerms(
        share_id=block.share_id,
        share_basis=block.share_basis,
        base_measure=block.base_measure,
        customer_scope=block.customer_scope,
        exclusions=frozenset(block.exclusions),
        floor_price=block.floor_price_per_gpu_hour,
        breakpoint_amount=block.breakpoint_amount,
        tiers=tuple(_tier(tier) for tier in sorted(block.tiers, key=lambda tier: tier.tier_no)),
        minimum_month=block.minimum_guarantee.amount if block.minimum_guarantee is not None else None,
        cap_month=block.period_cap.amount if block.period_cap is not None else None,
        lifetime_cap=block.lifetime_cap.amount if block.lifetime_cap is not None else None,
        carry_forward=block.negative_base == "carry_forward",
        statement_due_days=block.statement_due_days,
        payment_terms_days=block.payment_terms_days,
        withholding_tax_rate=block.withholding_tax_rate,
        gross_up=block.gross_up,
        unsupported=tuple(sorted(f"revenue_share.{name}" for name, is_used in unsupported.items() if is_used)),
    )


def _tier(tier: Any) -> Tier:
    low, high = tier.from_, tier.to
    is_month, is_date = tier.axis == "contract_month", tier.axis == "date"
    return Tier(
        axis=tier.axis,
        from_month=int(low) if is_month and low is not None else None,
        to_month=int(high) if is_month and high is not None else None,
        from_date=_as_date(low) if is_date else None,
        to_date=_as_date(high) if is_date else None,
        from_value=Decimal(str(low)) if not (is_month or is_date) and low is not None else None,
        to_value=Decimal(str(high)) if not (is_month or is_date) and high is not None else None,
        rate=tier.rate,
        application=tier.application,
    )


def _as_date(value: object) -> date | None:
    if value is None or isinstance(value, date):
        return value
    return date.fromisoformat(str(value))


def _backstop(terms: Backstop, contract_expiry: date) -> BackstopTerms:
    unsupported = {
        "settlement_type": terms.settlement_type != "unsold_hours_x_price",
        "effective_condition": terms.effective_condition.event != "energised",
        "period_cap": terms.period_cap is not None and terms.period_cap.period != "month",
        "annual_cap": terms.annual_cap is not None,
        "lifetime_cap.reduces_with": terms.lifetime_cap is not None
        and set(terms.lifetime_cap.reduces_with) != {"payment"},
        "buyback_price.index": any(step.index is not None for step in terms.buyback_price),
        "first_loss_band": terms.first_loss_band is not None,
    }
    return BackstopTerms(
        committed_fraction=terms.committed_fraction,
        ramp=tuple(Step(step.from_month, step.to_month, step.fraction) for step in terms.ramp),
        excluded_causes=frozenset(terms.excluded_causes),
        maintenance_allowance_fraction=terms.maintenance_allowance_fraction,
        longstop_days=terms.effective_condition.longstop_days,
        deductible_gpu_hours=terms.deductible_gpu_hours,
        deductible_fraction=terms.deductible_fraction,
        prices=tuple(Step(step.from_month, step.to_month, step.price_per_gpu_hour) for step in terms.buyback_price),
        cap_month=terms.period_cap.amount if terms.period_cap is not None else None,
        lifetime_cap=terms.lifetime_cap.amount if terms.lifetime_cap is not None else None,
        buyer_own_use_reduces=terms.buyer_own_use_reduces,
        claim_notice_days=terms.claim.notice_days,
        claim_payment_days=terms.claim.payment_days,
        expiry_date=terms.expiry_date or contract_expiry,
        unsupported=tuple(sorted(f"backstop.{name}" for name, is_used in unsupported.items() if is_used)),
    )


# What is missing


def _landing(home: Home, park_id: str) -> Path:
    return home.path / "landing" / park_id


def _stamp(home: Home, park_id: str) -> str:
    """Hash of all that the simulated files of a park depend on: the same stamp, the same bytes."""
    park = home.parks[park_id]
    used = [home.contracts[key].model_dump_json() for key in sorted(park.contract_ids()) if key in home.contracts]
    seed = home.simulation.seed if home.simulation is not None else None
    own_leases = sorted(_own_files(_landing(home, park_id) / "leases"))
    given = [
        GENERATOR_VERSION,
        [hashlib.sha256(path.read_bytes()).hexdigest() for path in own_leases],
        seed,
        cell(home.clock_at),
        park.model_dump_json(),
        used,
        home.policies.close_after_days,
        home.policies.fatal_xid_codes,
        sorted(home.simulation.imperfections) if home.simulation is not None else None,
        home.simulation.parks.index(park_id) if home.simulation is not None else None,
    ]
    return hashlib.sha256(json.dumps(given).encode("utf-8")).hexdigest()


def _manifest(home: Home, park_id: str) -> dict[str, Any]:
    path = _landing(home, park_id) / MANIFEST
    if not path.exists():
        return {}
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}  # cut short by a crash: everything is written again, to the same bytes
    return read if isinstance(read, dict) else {}


def _own_files(folder: Path) -> Iterator[Path]:
    """Files of a feed that the user dropped."""
    for path in folder.rglob("*") if folder.is_dir() else ():
        if path.is_file() and not path.name.startswith((PREFIX, ".")) and path.name != README:
            yield path


def missing_feeds(home: Home) -> list[tuple[str, str]]:
    """(park_id, feed) of every feed to be simulated.

    It is one of a park that home.yaml names, without files of the user, and without simulated files of this seed, these
    terms and this clock.
    """
    missing: list[tuple[str, str]] = []
    for park_id in home.simulation.parks if home.simulation is not None else []:
        if park_id not in home.parks:
            continue
        manifest = _manifest(home, park_id)
        is_current = manifest.get("stamp") == _stamp(home, park_id)
        for feed in FEEDS:
            folder = _landing(home, park_id) / feed
            if next(_own_files(folder), None) is not None:
                continue
            names = manifest.get("feeds", {}).get(feed)
            if is_current and names is not None and all((folder / name).exists() for name in names):
                continue
            missing.append((park_id, feed))
    return missing


# Writing


@dataclass
class _Output:
    """Files of one park as they are written, by feed, and what is wrong with them on purpose."""

    folder: Path
    wanted: frozenset[str]
    kinds: frozenset[str]
    paths: list[Path] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    imperfections: list[dict[str, object]] = field(default_factory=list)

    def put(self, feed: str, name: str, content: bytes) -> None:
        if feed in self.wanted:
            path = self.folder / feed / name
            write_atomically(path, content)
            self.note(feed, path)

    def note(self, feed: str, path: Path) -> None:
        self.paths.append(path)
        self.names[feed].append(path.name)

    def admit(self, feed: str, name: str, kind: str, row_count: int) -> None:
        if feed in self.wanted:
            self.imperfections.append({"feed": feed, "file": name, "kind": kind, "row_count": row_count})


def simulate(home: Home, on_progress: Progress | None = None) -> list[Path]:
    """Write the missing feeds of a home under HOME/landing/<park_id>/<feed>/simulated-…; the paths written.

    The same home gives the same bytes on any day and machine. Rows that the home's clock has not seen are not written.
    `on_progress(what, done, total)` is told of each file set.
    """
    by_park: dict[str, set[str]] = defaultdict(set)
    for park_id, feed in missing_feeds(home):
        by_park[park_id].add(feed)
    profile = load_profile(home.path / "reference") if by_park else None
    paths: list[Path] = []
    for park_id, feeds in by_park.items():
        if profile is not None:
            paths += _simulate_park(home, park_id, frozenset(feeds), profile, on_progress)
    return paths


def _simulate_park(
    home: Home, park_id: str, wanted: frozenset[str], profile: Profile, on_progress: Progress | None
) -> list[Path]:
    if home.simulation is None:
        return []
    seed, clock_at = home.simulation.seed, home.clock_at
    park = park_plan(home.parks[park_id])
    kinds = frozenset(home.simulation.imperfections)
    output = _Output(_landing(home, park_id), wanted, kinds)
    if "gap" not in kinds:
        profile = replace(profile, gap_rate_per_hour=0.0)
    if "fault" not in kinds:
        profile = replace(profile, faults_per_gpu_hour=0.0)
    earlier = _manifest(home, park_id)
    before = earlier.get("feeds", {})
    contracts = {
        contract_id: contract_plan(home.contracts[contract_id])
        for contract_id in sorted(home.parks[park_id].contract_ids())
        if contract_id in home.contracts
    }
    last_month = days.first_of_month(days.local_date(park.zone, clock_at))
    started = tuple(t for t in park.tranches if days.local_instant(park.zone, t.energised_date) < clock_at)
    if started and contracts:
        names = {vendor.vendor_id: vendor.vendor_name for vendor in home.vendors.values()}
        has_own = next(_own_files(output.folder / "leases"), None) is not None
        leases = (
            read_leases(output.folder / "leases", park.zone) if has_own else make_leases(seed, park, contracts, names)
        )
        made = world.make_world(
            seed,
            park,
            contracts,
            leases,
            last_month=last_month,
            close_after_days=home.policies.close_after_days,
            profile=profile,
            fatal_codes=home.policies.fatal_xid_codes,
            imperfections=kinds,
        )
        position = [key for key in home.simulation.parks if key in home.parks].index(park_id)
        _write_documents(home, made, output, seed, pays_late=position % 2 == 1)
        _write_samples(home, made, output, seed, profile, has_generation=position == 0, on_progress=on_progress)
    for feed in sorted(wanted):
        for name in set(before.get(feed, [])) - set(output.names[feed]):
            (output.folder / feed / name).unlink(missing_ok=True)  # of an earlier clock or seed; ours, not the user's
    _write_manifest(home, park_id, output, earlier, contracts)
    return sorted(output.paths)


def _write_manifest(
    home: Home, park_id: str, output: _Output, earlier: dict[str, Any], contracts: dict[str, ContractPlan]
) -> None:
    """Last of all: only a finished simulation has a manifest that says so."""
    kept = {feed: names for feed, names in earlier.get("feeds", {}).items() if feed not in output.wanted}
    admitted = [row for row in earlier.get("imperfections", []) if row["feed"] not in output.wanted]
    listed = kept | {feed: sorted(output.names[feed]) for feed in output.wanted}
    unsupported = {key: unsupported_terms(contract) for key, contract in contracts.items()}
    imperfections = sorted(admitted + output.imperfections, key=lambda row: (str(row["feed"]), str(row["file"])))
    left_out = {key: names for key, names in unsupported.items() if names}
    manifest = {
        "stamp": _stamp(home, park_id),
        "generator_version": GENERATOR_VERSION,
        "seed": home.simulation.seed if home.simulation is not None else None,
        "clock_at": cell(home.clock_at),
        "feeds": {feed: listed[feed] for feed in sorted(listed)},
        "imperfections": imperfections,
        "terms_not_in_payments": left_out,
    }
    note = home.simulation.note.strip() if home.simulation is not None else ""
    lines = [
        f"# Simulated feeds of {park_id}",
        "",
        "Every file here whose name begins with `simulated-` was generated; none holds a measured or billed figure.",
        note,
        "",
        f"Seed {manifest['seed']}, clock {manifest['clock_at']}. Shapes follow reference/telemetry_profile_*.csv.",
        "",
        "## Imperfections, on purpose",
        "",
        "| feed | file | what | rows |",
        "|---|---|---|---|",
        *(f"| {row['feed']} | {row['file']} | {row['kind']} | {row['row_count']} |" for row in imperfections),
    ]
    if next(_own_files(output.folder / "gpu_telemetry"), None) is not None:
        lines += ["", "The telemetry is not ours: simulated claims are paid as if the simulated outages had happened."]
    for key, names in left_out.items():
        lines += ["", f"Payments of {key} leave out terms that the generator does not compute: {', '.join(names)}."]
    write_atomically(output.folder / README, ("\n".join(lines) + "\n").encode("utf-8"))
    write_atomically(
        output.folder / MANIFEST, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode("utf-8")
    )


def _header(row_type: type) -> list[str]:
    return [item.name for item in fields(row_type)]


def _cells(rows: Iterable[Any]) -> Iterator[list[object]]:
    return ([getattr(row, name) for name in _header(type(row))] for row in rows)


def _by_month(rows: Iterable[Any], park: ParkPlan, clock_at: datetime) -> dict[str, list[Any]]:
    """Rows that the clock has seen, by the park's month in which they were recorded, in the order of recording."""
    months: dict[str, list[Any]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.recorded_at):
        if row.recorded_at <= clock_at:
            months[f"{days.local_date(park.zone, row.recorded_at):%Y-%m}"].append(row)
    return dict(sorted(months.items()))


def _put_rows(output: _Output, feed: str, row_type: type, months: dict[str, list[Any]]) -> None:
    for month, rows in months.items():
        is_gzip = feed in GZIP_FEEDS
        name = f"{PREFIX}{feed}-{month}.csv{'.gz' if is_gzip else ''}"
        output.put(feed, name, csv_bytes(_header(row_type), _cells(rows), is_gzip=is_gzip))


def _write_documents(home: Home, made: world.World, output: _Output, seed: int, *, pays_late: bool) -> None:
    """Everything but samples: leases, use, adjustments, assignments, payments, events."""
    park, clock_at = made.park, home.clock_at
    late, corrected = set(made.late_usage), set(made.corrected_usage)
    plain = [row for row in made.facts.usage if row not in late and row not in corrected]
    leases = _by_month(made.facts.leases, park, clock_at)
    _put_rows(output, "leases", LeaseVersion, leases)
    _put_rows(output, "lease_usage", Usage, _by_month(plain, park, clock_at))
    _put_rows(output, "lease_adjustments", Adjustment, _by_month(made.facts.adjustments, park, clock_at))
    _put_rows(output, "lease_assignments", _Assignment, _by_month(_assignments(made), park, clock_at))
    payments: list[cash.Payment] = []
    events = [_capacity_event(event) for event in made.facts.events]
    for contract in made.contracts.values():
        paid, about = _cash_of(home, made, contract, seed, pays_late=pays_late)
        payments += paid
        events += about
    _put_rows(output, "payments", cash.Payment, _by_month(payments, park, clock_at))
    _put_rows(output, "credit_events", cash.CreditEvent, _by_month(events, park, clock_at))
    _imperfect_documents(output, made, leases, clock_at)


def _cash_of(
    home: Home, made: world.World, contract: ContractPlan, seed: int, *, pays_late: bool
) -> tuple[list[cash.Payment], list[cash.CreditEvent]]:
    closes = cash.Closes(made.park, contract, made.facts, home.policies.close_after_days, home.clock_at)
    claims: list[cash.Payment] = []
    backstop = next((version.backstop for version in contract.versions if version.backstop is not None), None)
    if backstop is not None:
        claims = cash.claim_payments(made.park, contract, cash.claim_documents(closes, backstop))
    invoices = cash.share_documents(closes)
    receipts, events = cash.share_receipts(seed, made.park, contract, invoices, claims, pays_late=pays_late)
    if pays_late:
        events += cash.downgrade(made.park, contract)
    return claims + receipts + cash.tenant_receipts(seed, made.park, contract, closes), events


@dataclass(frozen=True)
class _Assignment:
    """One row of lease_assignments."""

    lease_id: str
    node_id: str
    starts_at: datetime
    ends_at: datetime
    recorded_at: datetime


def _assignments(made: world.World) -> list[_Assignment]:
    rows: list[_Assignment] = []
    held = windows(made.facts.leases)
    for tranche in made.park.tranches:
        nodes = tranche.node_ids()
        for lease_id, (low, high) in sorted(rack_ranges(tranche, made.facts.leases).items()):
            live = held[lease_id]
            rows += [
                _Assignment(lease_id, nodes[rack], live[0].start_at, live[-1].end_at, live[0].version.recorded_at)
                for rack in range(low // RACK_GPU_COUNT, -(-high // RACK_GPU_COUNT))
            ]
    return rows


def _capacity_event(event: DeclaredEvent) -> cash.CreditEvent:
    return cash.CreditEvent(
        event_id=event.event_id,
        contract_id=None,
        tranche_id=event.tranche_id,
        kind=event.kind,
        effective_at=event.start_at,
        ends_at=event.end_at,
        gpu_count=event.gpu_count,
        amount=None,
        currency_code=None,
        payload='{"note": "simulated"}',
        recorded_at=event.recorded_at,
    )


def _imperfect_documents(output: _Output, made: world.World, leases: dict[str, list[Any]], clock_at: datetime) -> None:
    """The same bytes twice, corrections, late rows, broken rows, a wrong header."""
    if leases and "duplicate" in output.kinds:
        month, rows = next(iter(leases.items()))
        name = f"{PREFIX}leases-{month}-again.csv"
        output.put("leases", name, csv_bytes(_header(LeaseVersion), _cells(rows)))
        output.admit("leases", name, "the same bytes as another file, under another name", len(rows))
    for kind, usage in (("corrected", made.corrected_usage), ("late", made.late_usage)):
        seen = [row for row in usage if row.recorded_at <= clock_at]
        if seen:
            name = f"{PREFIX}lease_usage-{kind}.csv"
            output.put("lease_usage", name, csv_bytes(_header(Usage), _cells(seen)))
            said = "later values for rows of another file" if kind == "corrected" else "delivered after the invoice"
            output.admit("lease_usage", name, said, len(seen))
    if "broken" not in output.kinds:
        return
    first = min((row for row in made.facts.usage), key=lambda row: row.recorded_at, default=None)
    if first is not None and first.recorded_at <= clock_at:
        name = f"{PREFIX}lease_usage-broken.csv"
        start, end, known = cell(first.interval_start_at), cell(first.interval_end_at), cell(first.recorded_at)
        broken = [
            (first.lease_id, start, end, "many", known),  # out of type
            (first.lease_id, start, end, "-12.5", known),  # out of range
            (f"{made.park.park_id}-lease-unknown", start, end, "24", known),  # unknown lease
            (first.lease_id, end, start, "24", known),  # ends before it starts
        ]
        output.put("lease_usage", name, csv_bytes(_header(Usage), broken))
        output.admit("lease_usage", name, "broken rows: type, range, unknown lease, ends before it starts", len(broken))
    name = f"{PREFIX}payments-wrong-header.csv"
    header = ["payment", "contract", "way", "when", "sum"]
    output.put("payments", name, csv_bytes(header, [("1", "?", "in", "?", "1.00")]))
    output.admit("payments", name, "wrong header: the whole file is to be rejected", 1)


# Samples: telemetry and meters


def _write_samples(
    home: Home,
    made: world.World,
    output: _Output,
    seed: int,
    profile: Profile,
    *,
    has_generation: bool,
    on_progress: Progress | None,
) -> None:
    if not output.wanted & {"gpu_telemetry", "power_meter"}:
        return
    last = days.first_of_month(days.local_date(made.park.zone, home.clock_at))
    months = days.months_between(made.first_month, last)
    done = 0

    def one(month: date) -> _Output:
        part = _Output(output.folder, output.wanted, output.kinds)
        _write_month(home, made, part, seed, profile=profile, month=month, has_generation=has_generation)
        return part

    with ThreadPoolExecutor(WORKERS) as workers:
        for part in workers.map(one, months):
            output.paths += part.paths
            output.imperfections += part.imperfections
            for feed, names in part.names.items():
                output.names[feed] += names
            done += 1
            if on_progress is not None:
                on_progress(f"simulate {made.park.park_id}", done, len(months))


def _write_month(
    home: Home, made: world.World, output: _Output, seed: int, *, profile: Profile, month: date, has_generation: bool
) -> None:
    park, fatal = made.park, home.policies.fatal_xid_codes
    parts: list[telemetry.TrancheMonth] = []

    def is_seen(day: date) -> bool:
        return telemetry.delivered_at(park, day) <= home.clock_at

    for tranche in park.tranches:
        if days.last_of_month(month) >= tranche.energised_date:
            grid, outage = world.outage_of(
                seed, made.facts.events, park, tranche, month, profile=profile, fatal_codes=fatal
            )
            stray = _stray_hours(made, grid) if tranche is park.tranches[0] else None
            parts.append(
                telemetry.make_tranche_month(
                    seed,
                    park,
                    tranche,
                    leases=made.facts.leases,
                    grid=grid,
                    outage=outage,
                    profile=profile,
                    day_count=sum(map(is_seen, grid.days)),
                    stray_hours=stray,
                )
            )

    if not parts or not any(is_seen(day) for part in parts for day in part.grid.days):
        return
    if "gpu_telemetry" in output.wanted:
        path = output.folder / "gpu_telemetry" / f"{PREFIX}gpu_telemetry-{month:%Y-%m}.parquet"
        telemetry.write_parquet(path, (piece for part in parts for piece in _usual_rows(made, part, is_seen)))
        output.note("gpu_telemetry", path)
        _imperfect_telemetry(home, made, output, parts[0], is_seen)
    if "power_meter" in output.wanted:
        grid = month_grid(park, month, min(part.grid.days[0] for part in parts))
        rows = list(_meter_rows(seed, park, grid, parts, is_seen, has_generation=has_generation))
        content = csv_bytes(meter.HEADER, rows, is_gzip=True)
        output.put("power_meter", f"{PREFIX}power_meter-{month:%Y-%m}.csv.gz", content)
        is_cut = "truncated_file" in output.kinds
        if is_cut and month == days.add_months(made.first_month, world.CORRECTED_MONTH):
            name = f"{PREFIX}power_meter-{month:%Y-%m}-truncated.csv.gz"
            output.put("power_meter", name, content[: len(content) // 2])
            output.admit("power_meter", name, "a gzip file cut in half: its whole lines land, the torn one is kept", 1)


def _stray_hours(made: world.World, grid: Grid) -> npt.NDArray[np.bool_] | None:
    """The hours of the days on which a rack works that nobody leases."""
    if grid.month != days.add_months(made.first_month, world.STRAY_MONTH):
        return None
    return np.isin([day.day for day in grid.days], list(world.STRAY_DAYS))[grid.day_index]


def _usual_rows(made: world.World, part: telemetry.TrancheMonth, is_seen: Callable[[date], bool]) -> Iterator[pa.Table]:
    late = made.late_day

    def keep(day: date) -> bool:
        return is_seen(day) and (late is None or (part.tranche.tranche_id, day) != late[:2])

    return telemetry.telemetry_tables(made.park, part, keep)


def _meter_rows(
    seed: int,
    park: ParkPlan,
    grid: Grid,
    parts: list[telemetry.TrancheMonth],
    is_seen: Callable[[date], bool],
    *,
    has_generation: bool,
) -> Iterator[tuple[object, ...]]:
    watts = np.zeros(len(grid.hour_at))
    for part in parts:
        watts[np.searchsorted(grid.hour_at, part.grid.hour_at)] += part.it_power_w()
    known = {day: telemetry.delivered_at(park, day) + timedelta(hours=2) for day in grid.days if is_seen(day)}
    seen_at = set(known.values())
    for row in meter.meter_rows(seed, park, grid, watts, has_generation=has_generation):
        if row[-1] in seen_at:
            yield row


def _imperfect_telemetry(
    home: Home, made: world.World, output: _Output, part: telemetry.TrancheMonth, is_seen: Callable[[date], bool]
) -> None:
    """A late day, a corrected rack, rows delivered twice, broken rows: all of the park's first tranche."""
    park, month, late = made.park, part.grid.month, made.late_day
    folder = output.folder / "gpu_telemetry"
    if (
        late is not None
        and part.tranche.tranche_id == late[0]
        and late[1] in part.grid.days
        and late[2] <= home.clock_at
    ):
        path = folder / f"{PREFIX}gpu_telemetry-{late[1]:%Y-%m-%d}-late.parquet"
        table = telemetry.telemetry_table(park, part, lambda day: day == late[1], recorded_at=late[2])
        output.note("gpu_telemetry", path)
        count = telemetry.write_parquet(path, [table])
        output.admit("gpu_telemetry", path.name, "a day delivered after the month's close", count)
    if part.stray_count:
        name = f"{PREFIX}gpu_telemetry-{month:%Y-%m}.parquet"
        output.admit("gpu_telemetry", name, "a rack that works though nobody leases it", part.stray_count)
    if month != days.add_months(made.first_month, world.CORRECTED_MONTH):
        return
    corrected = month + timedelta(days=world.CORRECTED_TELEMETRY_DAY - 1)
    known_at = telemetry.delivered_at(park, corrected) + timedelta(days=3)
    if "corrected" in output.kinds and known_at <= home.clock_at:
        path = folder / f"{PREFIX}gpu_telemetry-{corrected:%Y-%m-%d}-corrected.parquet"
        table = telemetry.telemetry_table(
            park, part, lambda day: day == corrected, recorded_at=known_at, racks=slice(0, 1)
        )
        position = table.column_names.index("power_w")
        table = table.set_column(position, "power_w", pc.add(table["power_w"], 25.0))
        output.note("gpu_telemetry", path)
        count = telemetry.write_parquet(path, [table])
        output.admit("gpu_telemetry", path.name, "later values for rows of another file", count)
    again = month + timedelta(days=world.OVERLAP_DAY - 1)
    if is_seen(again):
        table = telemetry.telemetry_table(park, part, lambda day: day == again, racks=slice(0, 12))
        rows = [tuple(row.values()) for row in table.to_pylist()]
        if "duplicate" in output.kinds:
            name = f"{PREFIX}gpu_telemetry-{again:%Y-%m-%d}-overlap.csv.gz"
            output.put("gpu_telemetry", name, csv_bytes(telemetry.COLUMNS, rows, is_gzip=True))
            output.admit("gpu_telemetry", name, "rows that another file holds too", len(rows))
        if "broken" not in output.kinds:
            return
        broken = _broken_samples(rows)
        name = f"{PREFIX}gpu_telemetry-{again:%Y-%m-%d}-broken.csv"
        output.put("gpu_telemetry", name, csv_bytes(telemetry.COLUMNS, broken))
        output.admit("gpu_telemetry", name, "broken rows: type, range, unknown node, no instant, missing", len(broken))


def _broken_samples(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    """Five copies of a good row, each with one thing wrong."""
    if not rows:
        return []
    place = {name: number for number, name in enumerate(telemetry.COLUMNS)}
    wrong = (
        {"utilization_pct": "eighty"},
        {"utilization_pct": "140"},
        {"gpu_id": "zz-0001", "node_id": "zz-0001"},
        {"sampled_at": "yesterday"},
        {"node_id": ""},
    )
    broken: list[list[object]] = []
    for change in wrong:
        row = list(rows[0])
        for name, value in change.items():
            row[place[name]] = value
        broken.append(row)
    return broken
