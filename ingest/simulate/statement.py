"""What a correct statement says of the simulated facts: the share and the claim of one contract and month, exactly.

Written apart from the warehouse, in fractions, straight from the readings of the contract, so that simulated payments
settle their invoices to the cent, and so that the two can be compared. Only what simulated feeds can hold is known: no
withdrawal, insolvency, termination or foreign currency. Terms beyond that are listed by `unsupported_terms`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from ingest.simulate import days
from ingest.simulate.book import Adjustment, LeaseVersion, Usage, Window, billing, windows
from ingest.simulate.outages import DeclaredEvent
from ingest.simulate.plan import (
    BackstopTerms,
    ContractPlan,
    ParkPlan,
    ShareTerms,
    Step,
    Tier,
    TranchePlan,
    VersionPlan,
)

# Kinds of adjustments that net_billed takes off already, and the exclusion that names each.
REDUCTIONS = {"credit": "credits_refunds", "refund": "credits_refunds", "sla_penalty": "sla_penalties"}
BILLED_KINDS = ("sales_tax", "power_passthrough", "other_revenue")
CAUSES = {
    "operator_fault": "operator_fault",
    "power_curtailment": "power_curtailment",
    "delivery": "late_delivery",
    "maintenance": "maintenance_above_allowance",
}


@dataclass(frozen=True)
class OutageFact:
    """Undeclared GPU-hours out of supply on one day; a late delivery takes back, with a minus, what it fills."""

    tranche_id: str
    service_date: date
    gpu_hours: int
    recorded_at: datetime


@dataclass(frozen=True)
class Facts:
    """All simulated facts of a park, every version with when it was recorded."""

    leases: list[LeaseVersion] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)
    adjustments: list[Adjustment] = field(default_factory=list)
    events: list[DeclaredEvent] = field(default_factory=list)
    outages: list[OutageFact] = field(default_factory=list)


@dataclass(frozen=True)
class Segment:
    """Days [first, after) of one month under the same terms."""

    first: date
    after: date

    @property
    def day_count(self) -> int:
        """Days."""
        return (self.after - self.first).days


def to_minor_unit(amount: Fraction, digits: int) -> Decimal:
    """Round half away from zero to the currency's minor unit, once."""
    scaled = abs(amount) * 10**digits
    units = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Decimal(units if amount >= 0 else -units).scaleb(-digits)


class Statement:
    """Shares and claims of one contract as known at one instant. Months are first days of months."""

    def __init__(self, park: ParkPlan, contract: ContractPlan, facts: Facts, known_at: datetime) -> None:
        self.park, self.contract, self.known_at = park, contract, known_at
        self.tranches = [tranche for tranche in park.tranches if tranche.contract_id == contract.contract_id]
        own = {tranche.tranche_id for tranche in self.tranches}
        known_leases = [lease for lease in facts.leases if lease.tranche_id in own]
        self.windows = windows(known_leases, known_at)
        self.usage = _latest_usage(facts.usage, known_at)
        self.adjustments = [
            row for row in facts.adjustments if row.recorded_at <= known_at and row.lease_id in self.windows
        ]
        self.events = [event for event in facts.events if event.recorded_at <= known_at and event.tranche_id in own]
        self.outages: dict[tuple[str, date], list[OutageFact]] = {}
        for fact in facts.outages:
            if fact.recorded_at <= known_at:
                place = fact.tranche_id, days.first_of_month(fact.service_date)
                self.outages.setdefault(place, []).append(fact)
        self.versions = sorted(
            (version for version in contract.versions if version.recorded_at <= known_at),
            key=lambda version: version.valid_from,
        )
        self._shares: dict[date, Decimal] = {}
        self._invoiced: dict[date, Decimal] = {}
        self._claims: dict[date, Decimal] = {}

    # Terms in force

    def segments(self, month: date, instrument: str) -> Iterator[tuple[Segment, VersionPlan]]:
        """Runs of days of a month under one version of an instrument (`shares` or `backstop`), in order."""
        naming = [version for version in self.versions if getattr(version, instrument) is not None]
        if not naming:
            return
        begin = max(self.contract.commencement_date, naming[0].valid_from, month)
        end = min(self.contract.expiry_date, days.last_of_month(month)) + timedelta(days=1)
        for position, version in enumerate(naming):
            after = naming[position + 1].valid_from if position + 1 < len(naming) else end
            first, last = max(begin, version.valid_from), min(end, after)
            if first < last:
                yield Segment(first, last), version

    def contract_month(self, day: date) -> int:
        """1 in the calendar month of commencement."""
        return days.months_apart(self.contract.commencement_date, day) + 1

    # Billing

    def billed(self, segment: Segment, tranche_id: str | None = None) -> Iterator[tuple[Window, Fraction]]:
        """Billed GPU-hours of each version in force in a segment."""
        start = days.local_instant(self.park.zone, segment.first)
        end = days.local_instant(self.park.zone, segment.after)
        for lease_id in sorted(self.windows):
            for window in self.windows[lease_id]:
                if not billing(window) or tranche_id not in (None, window.version.tranche_id):
                    continue
                low, high = max(start, window.start_at), min(end, window.end_at)
                if low >= high:
                    continue
                if window.version.pricing == "reserved":
                    hours = Fraction(int((high - low).total_seconds()), 3600) * window.version.gpu_count
                else:
                    used = self.usage.get(lease_id, {})
                    hours = sum((Fraction(amount) for at, amount in used.items() if low <= at < high), Fraction(0))
                yield window, hours

    def _is_eligible(self, customer_type: str, share: ShareTerms) -> bool:
        allowed = {
            "third_party_only": ("third_party",),
            "incl_related": ("third_party", "related"),
            "incl_vendor_own_use": ("third_party", "related", "vendor_own_use"),
        }
        return customer_type in allowed[share.customer_scope]

    def base(self, segment: Segment, share: ShareTerms) -> tuple[Fraction, Fraction]:
        """(base before floor, eligible billed hours) of a segment."""
        gross = hours = Fraction(0)
        for window, billed in self.billed(segment):
            if self._is_eligible(window.version.customer_type, share):
                gross += billed * Fraction(window.version.price_per_gpu_hour)
                hours += billed
        base = gross
        for row in self.adjustments:
            end_of_day = days.local_instant(self.park.zone, row.service_date + timedelta(days=1))
            version = _in_force(self.windows[row.lease_id], end_of_day)
            if not segment.first <= row.service_date < segment.after:
                continue
            if version is not None and self._is_eligible(version.customer_type, share):
                base += self._part_of_base(row, share)
        return base, hours

    @staticmethod
    def _part_of_base(row: Adjustment, share: ShareTerms) -> Fraction:
        if row.kind in BILLED_KINDS:
            counts = row.kind not in share.exclusions
        elif row.kind == "bad_debt":
            counts = "bad_debt" in share.exclusions
        else:
            counts = share.base_measure == "net_billed" or REDUCTIONS[row.kind] in share.exclusions
        return Fraction(row.amount) if counts else Fraction(0)

    # Revenue share

    def share(self, month: date) -> Decimal:
        """share_amount of a month, all blocks added."""
        if month not in self._shares:
            blocks: dict[str, Fraction] = {}
            caps: dict[str, tuple[Fraction, bool]] = {}
            lifetime: dict[str, Fraction | None] = {}
            kept: dict[str, Fraction] = {}  # what the tax leaves of an invoice
            for segment, version in self.segments(month, "shares"):
                for block in version.shares or ():
                    blocks[block.share_id] = blocks.get(block.share_id, Fraction(0)) + self._segment_share(
                        segment, block
                    )
                    part = Fraction(segment.day_count, days.last_of_month(month).day)
                    cap, binds = caps.get(block.share_id, (Fraction(0), False))
                    if block.cap_month is not None:
                        cap, binds = cap + Fraction(block.cap_month) * part, True
                    caps[block.share_id] = cap, binds
                    kept[block.share_id] = 1 - Fraction(block.withholding_tax_rate) if block.gross_up else Fraction(1)
                    lifetime[block.share_id] = None if block.lifetime_cap is None else Fraction(block.lifetime_cap)
            total = invoiced = Decimal(0)
            for share_id, amount in sorted(blocks.items()):
                cap, binds = caps[share_id]
                limited = min(amount, cap) if binds else amount
                left = lifetime[share_id]
                if left is not None:
                    limited = min(limited, max(Fraction(0), left - Fraction(self._earlier_shares(month))))
                digits = self.contract.minor_unit_digits
                total += to_minor_unit(limited, digits)
                invoiced += to_minor_unit(limited / kept[share_id], digits)
            self._shares[month], self._invoiced[month] = total, invoiced
        return self._shares[month]

    def invoiced(self, month: date) -> Decimal:
        """invoiced_amount of a month: the share, grossed up where so agreed, each block rounded by itself."""
        self.share(month)
        return self._invoiced[month]

    def _earlier_shares(self, month: date) -> Decimal:
        first = days.first_of_month(self.contract.commencement_date)
        return sum((self.share(days.add_months(first, n)) for n in range(days.months_apart(first, month))), Decimal(0))

    def _segment_share(self, segment: Segment, share: ShareTerms) -> Fraction:
        before, hours = self.base(segment, share)
        base = before
        if share.share_basis == "pct_above_floor" and share.floor_price is not None:
            base = max(Fraction(0), before - Fraction(share.floor_price) * hours)
        part = Fraction(segment.day_count, days.last_of_month(segment.first).day)
        if share.share_basis == "pct_above_breakpoint" and share.breakpoint_amount is not None:
            base = max(Fraction(0), before - Fraction(share.breakpoint_amount) * part)
        amount = Fraction(0)
        cuts = [(tier, cut) for tier in share.tiers for cut in _cut(segment, tier, self.contract_month)]
        if len(cuts) == 1:
            amount = base * Fraction(cuts[0][0].rate)
        elif before != 0:
            # Rates change within the segment: the base is spread over its days as revenue was.
            amount = sum(
                (base * self.base(cut, share)[0] / before * Fraction(tier.rate) for tier, cut in cuts), Fraction(0)
            )
        if share.minimum_month is not None:
            minimum = Fraction(share.minimum_month) * part
            amount = amount + minimum if share.share_basis == "pct_above_breakpoint" else max(amount, minimum)
        return amount

    def share_terms(self, month: date) -> ShareTerms | None:
        """The first block in force at a month's end, for its dates and taxes."""
        held = list(self.segments(month, "shares"))
        return held[-1][1].shares[0] if held and held[-1][1].shares else None

    # Backstop

    def claim(self, month: date) -> Decimal:
        """claim_amount of a month, all tranches added."""
        if month in self._claims:
            return self._claims[month]
        terms: BackstopTerms | None = None
        claims: dict[str, Fraction] = {}
        for segment, version in self.segments(month, "backstop"):
            terms = version.backstop
            if terms is None:
                continue
            for tranche in self.tranches:
                claims[tranche.tranche_id] = claims.get(tranche.tranche_id, Fraction(0)) + self._segment_claim(
                    segment, tranche, terms
                )
        digits = self.contract.minor_unit_digits
        total = sum((to_minor_unit(amount, digits) for amount in claims.values()), Decimal(0))
        if terms is not None and terms.cap_month is not None:
            total = min(total, terms.cap_month)
        if terms is not None and terms.lifetime_cap is not None:
            first = days.first_of_month(self.contract.commencement_date)
            earlier = (self.claim(days.add_months(first, n)) for n in range(days.months_apart(first, month)))
            total = min(total, max(Decimal(0), terms.lifetime_cap - sum(earlier, Decimal(0))))
        self._claims[month] = total
        return total

    def _segment_claim(self, segment: Segment, tranche: TranchePlan, terms: BackstopTerms) -> Fraction:
        if terms.longstop_days is not None and (
            tranche.energised_date > tranche.planned_date + timedelta(days=terms.longstop_days)
        ):
            return Fraction(0)
        live = Segment(
            max(segment.first, tranche.energised_date),
            min(segment.after, terms.expiry_date + timedelta(days=1)),
        )
        if live.first >= live.after:
            return Fraction(0)
        installed = tranche.gpu_count * self._hours(live)
        sold = own = Fraction(0)
        for window, hours in self.billed(live, tranche.tranche_id):
            if window.version.customer_type == "vendor_own_use":
                own += hours
            else:
                sold += hours
        excluded = min(self._excluded(live, tranche, terms, installed), max(Fraction(0), installed - sold - own))
        tranche_month = days.months_apart(tranche.energised_date, live.first) + 1
        committed = installed * Fraction(terms.committed_fraction) * _step(terms.ramp, tranche_month, Fraction(1))
        unsold = max(Fraction(0), committed - excluded - sold - (own if terms.buyer_own_use_reduces else 0))
        unsold = min(unsold, max(Fraction(0), installed - excluded - sold - own))
        part = Fraction(segment.day_count, days.last_of_month(live.first).day)
        deductible = max(
            Fraction(terms.deductible_gpu_hours or 0) * part, Fraction(terms.deductible_fraction or 0) * committed
        )
        price = _step(terms.prices, self.contract_month(live.first), Fraction(0))
        return (unsold - min(unsold, deductible)) * price

    def _hours(self, segment: Segment) -> Fraction:
        start = days.local_instant(self.park.zone, segment.first)
        end = days.local_instant(self.park.zone, segment.after)
        return Fraction(int((end - start).total_seconds()), 3600)

    def _excluded(self, segment: Segment, tranche: TranchePlan, terms: BackstopTerms, installed: Fraction) -> Fraction:
        start = days.local_instant(self.park.zone, segment.first)
        end = days.local_instant(self.park.zone, segment.after)
        declared: dict[str, Fraction] = {}
        for event in self.events:
            if event.tranche_id == tranche.tranche_id:
                seconds = int((min(end, event.end_at) - max(start, event.start_at)).total_seconds())
                cause = CAUSES[event.kind]
                declared[cause] = declared.get(cause, Fraction(0)) + Fraction(max(0, seconds), 3600) * event.gpu_count
        undeclared = sum(
            fact.gpu_hours
            for fact in self.outages.get((tranche.tranche_id, days.first_of_month(segment.first)), [])
            if segment.first <= fact.service_date < segment.after
        )
        declared["operator_fault"] = declared.get("operator_fault", Fraction(0)) + undeclared
        allowance = Fraction(terms.maintenance_allowance_fraction) * installed
        maintenance = declared.get("maintenance_above_allowance", Fraction(0))
        declared["maintenance_above_allowance"] = max(Fraction(0), maintenance - allowance)
        return sum((hours for cause, hours in declared.items() if cause in terms.excluded_causes), Fraction(0))


def _latest_usage(rows: Iterable[Usage], known_at: datetime) -> dict[str, dict[datetime, Decimal]]:
    result: dict[str, dict[datetime, Decimal]] = {}
    for row in sorted(rows, key=lambda usage: usage.recorded_at):
        if row.recorded_at <= known_at:
            result.setdefault(row.lease_id, {})[row.interval_start_at] = row.gpu_hours
    return result


def _in_force(held: list[Window], before: datetime) -> LeaseVersion | None:
    """The version in force just before an instant."""
    for window in held:
        if window.start_at < before <= window.end_at:
            return window.version
    return None


def _step(steps: tuple[Step, ...], month: int, otherwise: Fraction) -> Fraction:
    for step in steps:
        if step.from_month <= month and (step.to_month is None or month <= step.to_month):
            return Fraction(step.value)
    return otherwise


def _cut(segment: Segment, tier: Tier, contract_month: object) -> Iterator[Segment]:
    """The days of a segment whose rate is the tier's."""
    if tier.axis == "contract_month":
        number = contract_month(segment.first) if callable(contract_month) else 0
        if (tier.from_month or 1) <= number and (tier.to_month is None or number <= tier.to_month):
            yield segment
    elif tier.axis == "date":
        first = max(segment.first, tier.from_date or segment.first)
        after = min(segment.after, tier.to_date + timedelta(days=1) if tier.to_date else segment.after)
        if first < after:
            yield Segment(first, after)


def unsupported_terms(contract: ContractPlan) -> list[str]:
    """Terms of a contract that change amounts and that this statement does not compute."""
    named: set[str] = set()
    for version in contract.versions:
        for share in version.shares or ():
            named.update(share.unsupported)
        if version.backstop is not None:
            named.update(version.backstop.unsupported)
    return sorted(named)
