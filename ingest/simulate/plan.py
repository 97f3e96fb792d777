"""What the generator knows of a park and its contracts: plain frozen values, taken from the home's terms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

RACK_GPU_COUNT = 72  # a GB300 NVL72 rack; one simulated row stands for one rack


@dataclass(frozen=True)
class TranchePlan:
    """One tranche: its GPUs, when they were energised, and the pattern of its nodes' names."""

    tranche_id: str
    contract_id: str | None
    gpu_model: str
    gpu_count: int
    planned_date: date
    energised_date: date
    nodes: str

    @property
    def rack_count(self) -> int:
        """Racks of 72, the last one holding the rest."""
        return -(-self.gpu_count // RACK_GPU_COUNT)

    def rack_gpu_counts(self) -> list[int]:
        """GPUs in each rack."""
        full, rest = divmod(self.gpu_count, RACK_GPU_COUNT)
        return [RACK_GPU_COUNT] * full + ([rest] if rest else [])

    def node_ids(self) -> list[str]:
        """Names that match `nodes`, numbered from 0001; ValueError where one pattern cannot name several racks."""
        if "*" not in self.nodes:
            if self.rack_count > 1 or any(sign in self.nodes for sign in "?[]"):
                raise ValueError(
                    f"tranche {self.tranche_id}: nodes {self.nodes!r} has no '*' for {self.rack_count} racks"
                )
            return [self.nodes]
        head, tail = self.nodes.split("*", 1)
        return [f"{head}{number:04d}{tail.replace('*', '')}" for number in range(1, self.rack_count + 1)]


@dataclass(frozen=True)
class ParkPlan:
    """One park."""

    park_id: str
    operator_id: str
    rating: str | None
    rating_agency: str | None
    zone: ZoneInfo
    currency_code: str
    telemetry_interval_seconds: int
    pue_min: Decimal
    pue_max: Decimal
    tranches: tuple[TranchePlan, ...]


@dataclass(frozen=True)
class Tier:
    """One tier of a share: bounds are months or dates (both included) or amounts (half-open)."""

    axis: str
    from_month: int | None
    to_month: int | None
    from_date: date | None
    to_date: date | None
    from_value: Decimal | None
    to_value: Decimal | None
    rate: Decimal
    application: str


@dataclass(frozen=True)
class ShareTerms:
    """One revenue-share block in one version of a contract."""

    share_id: str
    share_basis: str
    base_measure: str
    customer_scope: str
    exclusions: frozenset[str]
    floor_price: Decimal | None
    breakpoint_amount: Decimal | None
    tiers: tuple[Tier, ...]
    minimum_month: Decimal | None
    cap_month: Decimal | None
    lifetime_cap: Decimal | None
    carry_forward: bool
    statement_due_days: int
    payment_terms_days: int
    withholding_tax_rate: Decimal
    gross_up: bool
    unsupported: tuple[str, ...]  # terms that the exact statement of the generator does not know


@dataclass(frozen=True)
class Step:
    """A value for an inclusive range of months; `to_month` None is without end."""

    from_month: int
    to_month: int | None
    value: Decimal


@dataclass(frozen=True)
class BackstopTerms:
    """The backstop in one version of a contract."""

    committed_fraction: Decimal
    ramp: tuple[Step, ...]
    excluded_causes: frozenset[str]
    maintenance_allowance_fraction: Decimal
    longstop_days: int | None
    deductible_gpu_hours: Decimal | None
    deductible_fraction: Decimal | None
    prices: tuple[Step, ...]
    cap_month: Decimal | None
    lifetime_cap: Decimal | None
    buyer_own_use_reduces: bool
    claim_notice_days: int
    claim_payment_days: int
    expiry_date: date
    unsupported: tuple[str, ...]


@dataclass(frozen=True)
class VersionPlan:
    """One dated version: the instruments it names replace those before from `valid_from`."""

    amendment_id: str
    valid_from: date
    recorded_at: datetime
    shares: tuple[ShareTerms, ...] | None
    backstop: BackstopTerms | None


@dataclass(frozen=True)
class ContractPlan:
    """One contract and its versions, oldest first."""

    contract_id: str
    vendor_id: str
    park_id: str
    currency_code: str
    minor_unit_digits: int
    commencement_date: date
    expiry_date: date
    versions: tuple[VersionPlan, ...]
