"""The contract file: the whole schema of terms.

Checks across fields are in checks.py, what the ledger computes in computed.py.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ingest.terms.scalars import (
    Bound,
    CurrencyCode,
    Day,
    Days,
    EvidenceMap,
    Fraction,
    Hours,
    Identifier,
    Instant,
    Model,
    Month,
    PositiveMoney,
    Price,
    Rate,
    ReceivableClass,
    Text,
)

Period = Literal["month", "quarter", "year"]
Comparison = Literal[">=", ">", "<=", "<"]
# `calendar_date` is the long name of `date`; only `date` is written to the tables.
Axis = Annotated[
    Literal["contract_month", "date", "cumulative_base", "cumulative_share_paid", "price_per_gpu_hour", "occupancy"],
    BeforeValidator(lambda value: "date" if value == "calendar_date" else value),
]
ExcludedKind = Literal[
    "sales_tax",
    "power_passthrough",
    "backstop_receipts",
    "vendor_rnd_use",
    "credits_refunds",
    "sla_penalties",
    "bad_debt",
    "other_revenue",
    "storage_network_resale",
    "breakage_fees",
]
AccountingClass = Literal[
    "revenue_variable_consideration",
    "purchase_commitment_disclosure",
    "guarantee_ASC460",
    "credit_derivative_ASC815",
    "CECL_offbalance_ASC326",
    "repurchase_ASC606_842",
    "none",
]
INSTRUMENTS = (
    "revenue_share",
    "backstop",
    "collateral",
    "pledge_limits",
    "covenants",
    "token_advances",
    "exclusivity",
    "exit_rights",
)


class Tier(Model):
    """One rate on one axis.

    Months and dates are inclusive on both sides; amounts, prices and fractions are [from, to).
    """

    tier_no: Annotated[int, Field(ge=1)]
    axis: Axis
    from_: Annotated[Bound, Field(alias="from")] = None
    to: Bound = None
    rate: Fraction
    application: Literal["marginal", "cliff"] = "marginal"


class ActivationCriterion(Model):
    """The share is earned only while the metric's mean over the window meets the test."""

    metric: Literal[
        "occupancy",
        "availability",
        "utilization",
        "revenue",
        "base",
        "price_per_gpu_hour",
        "installed_gpu_hours",
        "leased_gpu_hours",
        "dscr",
    ]
    operator: Comparison
    value: Rate
    test_window_months: Month = 1
    cure_months: Annotated[int, Field(ge=0)] = 0


class MinimumGuarantee(Model):
    """Lower bound of the share."""

    amount: PositiveMoney
    period: Period = "month"
    creditable: bool = False


class PeriodCap(Model):
    """Upper bound in a period."""

    amount: PositiveMoney
    period: Period = "month"


class LifetimeAmount(Model):
    """Upper bound over the life of the contract."""

    amount: PositiveMoney


class ReturnMultipleCap(Model):
    """The share ends when it has paid this multiple of the hardware."""

    multiple: Price
    hardware_amount: PositiveMoney


class TrueUp(Model):
    """Yearly recomputation of the share."""

    frequency: Literal["contract_year", "fiscal_year", "calendar_year"]
    carry_forward: bool = False
    due_days: Days | None = None
    interest: bool = False


class Fx(Model):
    """How revenue in other currencies is translated."""

    source: Text = "ecb"
    fix: Literal["average", "month_end", "invoice_date"] = "average"


class ClaimFx(Model):
    """How tenants' revenue in other currencies is translated where a claim hangs on it."""

    source: Text = "ecb"
    fix: Literal["average", "month_end"] = "average"


class AuditRight(Model):
    """The vendor's right to audit; stated, not computed."""

    frequency: Text
    lookback_months: Month | None = None
    error_threshold_pct: Rate | None = None
    cost_shift: bool | None = None


def _amount_mapping(value: Any) -> Any:
    return value if value is None or isinstance(value, dict | LifetimeAmount) else {"amount": value}


class RevenueShare(Model):
    """What the vendor earns of what third parties pay."""

    share_id: Identifier = "share"
    share_basis: Literal["pct_of_base", "pct_above_floor", "greater_of_min_or_pct", "pct_above_breakpoint"]
    base_measure: Literal["gross_billed", "net_billed", "cash_collected", "ebitda"] = "net_billed"
    base_scope: Literal["supported_capacity_only", "whole_site", "all_cloud"] = "supported_capacity_only"
    customer_scope: Literal["third_party_only", "incl_related", "incl_vendor_own_use"] = "third_party_only"
    exclusions: list[ExcludedKind] = Field(default_factory=list)
    floor_price_per_gpu_hour: Price | None = None
    breakpoint_amount: PositiveMoney | None = None
    declining: bool = False
    tiers: Annotated[list[Tier], Field(min_length=1)]
    combine: Literal["min", "max"] | None = None
    activation: list[ActivationCriterion] = Field(default_factory=list)
    minimum_guarantee: MinimumGuarantee | None = None
    period_cap: PeriodCap | None = None
    lifetime_cap: Annotated[LifetimeAmount | None, BeforeValidator(_amount_mapping)] = None
    return_multiple_cap: ReturnMultipleCap | None = None
    true_up: TrueUp | None = None
    negative_base: Literal["credit_note", "carry_forward"] = "credit_note"
    accrual_period: Period = "month"
    statement_due_days: Days = 15
    payment_terms_days: Days = 60
    late_rate: Fraction = Decimal(0)
    reserve_pct: Annotated[Fraction | None, Field(lt=1)] = None
    reserve_release_months: Month | None = None
    audit_right: AuditRight | None = None
    seniority: Literal["pre_opex", "pre_debt", "post_debt", "post_reserve"] | None = None
    fx: Fx = Fx()
    withholding_tax_rate: Annotated[Fraction, Field(lt=1)] = Decimal(0)
    gross_up: bool = False
    receivable_accounting_class: ReceivableClass | None = None


class RampStep(Model):
    """Part of the committed hours by month of the tranche; outside any step it is 1."""

    from_month: Month
    to_month: Month
    fraction: Fraction


class PriceStep(Model):
    """Buy-back price by contract month; `to_month` null: without end."""

    from_month: Month
    to_month: Month | None = None
    price_per_gpu_hour: Price
    index: Text | None = None


class EffectiveCondition(Model):
    """When the backstop begins, and how late a tranche may be before it lapses."""

    event: Literal["energised", "signing", "acceptance", "COD", "lease_commencement"] = "energised"
    longstop_days: Days | None = None


Reduction = Literal["payment", "time", "third_party_sale"]


def _payment_only() -> list[Reduction]:
    return ["payment"]


class BackstopLifetimeCap(Model):
    """Upper bound of all claims; claims accrued always reduce it. An indexed one moves with `index` from commencement on."""

    amount: PositiveMoney
    reduces_with: list[Reduction] = Field(default_factory=_payment_only)
    cap_basis: Literal["undiscounted", "indexed"] = "undiscounted"
    index: Text | None = None


class SellerWithdrawal(Model):
    """The operator's right to take capacity out and sell it better."""

    allowed: bool = False
    notice_days: Days = 0
    recall: bool = False
    tranche_min: Annotated[int, Field(ge=1)] | None = None
    clawback_pct: Fraction | None = None


class MakeUp(Model):
    """Hours bought back and not used, which the vendor may use later."""

    window_months: Month
    price_basis: Text | None = None


class Claim(Model):
    """Days from the month's end to a claim's payment."""

    notice_days: Days = 20
    cure_days: Days = 10
    payment_days: Days = 45
    dispute_days: Days | None = None
    evidence: Text | None = None


class SetOff(Model):
    """Whether claims may be set off against the share."""

    scope: Literal["none", "revenue_share_only", "all_sums"] = "none"
    enforceable: bool = False


class Resale(Model):
    """Whether the vendor may sell what it bought back, and who keeps the proceeds."""

    allowed: bool = True
    proceeds_to: Literal["vendor", "operator"] = "vendor"
    sublease_credit_pct: Fraction | None = None
    sublease_proceeds_order: Text | None = None


class MarketingObligation(Model):
    """What the operator must do to sell before it may claim."""

    effort_standard: Text
    min_offer_price: Price | None = None
    evidence_days: Days | None = None


class EarlyTermination(Model):
    """A ground on which the backstop ends early, and what that costs `payer`: the operator, unless it says the vendor."""

    ground: Literal["rating_trigger", "sla_breach", "default", "refinancing"]
    notice_days: Days | None = None
    termination_payment: PositiveMoney | None = None
    payer: Literal["operator", "vendor"] | None = None


class Consideration(Model):
    """What the vendor gets for the backstop."""

    kind: Literal["revenue_share", "warrants", "exclusivity", "fee"]
    amount: PositiveMoney | None = None


class Backstop(Model):
    """Capacity that stays unsold and that the vendor buys at an agreed price, or whose revenue it makes up to that price."""

    settlement_type: Literal["unsold_hours_x_price", "revenue_shortfall", "debt_service_shortfall", "lease_payment"] = (
        "unsold_hours_x_price"
    )
    committed_fraction: Fraction
    ramp: list[RampStep] = Field(default_factory=list)
    availability_measure: Text | None = None
    availability_sla: Fraction | None = None
    excluded_causes: list[
        Literal[
            "operator_fault",
            "late_delivery",
            "maintenance_above_allowance",
            "power_curtailment",
            "planned_maintenance",
            "force_majeure",
            "acceptance_failed",
        ]
    ] = Field(default_factory=list)
    maintenance_allowance_fraction: Fraction = Decimal(0)
    effective_condition: EffectiveCondition = EffectiveCondition()
    marketing_obligation: MarketingObligation | None = None
    deductible_gpu_hours: Hours | None = None
    deductible_fraction: Fraction | None = None
    first_loss_band: Fraction | None = None
    buyback_price: Annotated[list[PriceStep], Field(min_length=1)]
    fx: ClaimFx | None = None
    period_cap: PeriodCap | None = None
    annual_cap: PositiveMoney | None = None
    lifetime_cap: BackstopLifetimeCap | None = None
    seller_withdrawal: SellerWithdrawal = SellerWithdrawal()
    buyer_own_use_reduces: bool = True
    make_up: MakeUp | None = None
    claim: Claim = Claim()
    set_off: SetOff = SetOff()
    resale: Resale = Resale()
    consideration: list[Consideration] = Field(default_factory=list)
    early_termination: list[EarlyTermination] = Field(default_factory=list)
    survives_operator_insolvency: bool = False
    lender_direct_agreement: bool | None = None
    step_in: bool | None = None
    residual_value_support_pct: Fraction | None = None
    attachment_pct: Fraction | None = None
    rv_date: Day | None = None
    rv_hardware_price_per_gpu: PositiveMoney | None = None
    expiry_date: Day | None = None
    accounting_class: AccountingClass = "purchase_commitment_disclosure"


class Collateral(Model):
    """Something pledged for the operator's duties."""

    collateral_type: Literal[
        "cash_escrow",
        "LC",
        "equity_pledge",
        "ipco_share_pledge",
        "gpu_lien",
        "receivable_assignment",
        "future_revenue_pledge",
        "parent_guarantee",
        "insurance",
    ]
    pledged_amount: PositiveMoney | None = None
    currency_code: CurrencyCode | None = None
    haircut: Fraction = Decimal(0)
    rank: Annotated[int, Field(ge=1)] | None = None
    perfected_date: Day | None = None
    valuation_source: Text | None = None
    release_schedule: Text | None = None


class PledgeLimits(Model):
    """Bounds on what may be pledged at all."""

    pledge_cap_pct: Fraction | None = None
    excluded_assets: list[Text] = Field(default_factory=list)
    no_cross_collateral: bool | None = None
    max_future_revenue_pct: Fraction | None = None


class Covenant(Model):
    """A test that the operator must meet."""

    covenant_id: Identifier
    metric: Annotated[
        Literal[
            "dscr",
            "llcr",
            "ltv",
            "min_liquidity",
            "min_occupancy",
            "min_contracted_coverage",
            "leverage",
            "concentration",
            "rating",
        ],
        BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
    ]
    operator: Comparison
    threshold: Rate
    test_frequency: Period = "quarter"
    lookback_months: Month | None = None
    cure_days: Days | None = None
    consequence: Literal["sweep", "lockup", "step_up", "default"]


class TokenAdvance(Model):
    """Something given now and recouped from the share."""

    advance_id: Identifier
    advance_type: Literal["token_credit", "cash", "hardware_credit", "deferred_price"]
    face_amount: PositiveMoney
    currency_code: CurrencyCode | None = None
    unit: Literal["USD", "token", "gpu_hour"] = "USD"
    conversion_price: Price | None = None
    beneficiary: Literal["cloud", "developer"] = "cloud"
    grant_date: Day
    vesting: Text | None = None
    expiry_date: Day | None = None
    breakage_rule: Text | None = None
    recoupment_source: list[Text] = Field(default_factory=list)
    recoupment_rate: Fraction
    recoup_order: Literal["before_share", "from_share", "parallel"]
    cross_collateralised: bool = False
    recourse: Literal["none", "limited", "full"] = "none"
    interest: Fraction = Decimal(0)
    write_off_rule: Text | None = None


class Exclusivity(Model):
    """Whose hardware the operator may use."""

    vendor: Text
    scope: Text
    exceptions: list[Text] = Field(default_factory=list)
    purchase_quota_pct: Fraction | None = None
    ends: Day | None = None


class ExitRight(Model):
    """Who may leave, on what, and at which price."""

    party: Literal["vendor", "operator", "lender"]
    trigger: Text
    notice_days: Days | None = None
    fee_formula: Text | None = None
    portability_obligation: bool | None = None


def _blocks(value: Any) -> Any:
    return value if value is None or isinstance(value, list) else [value]


class Version(Model):
    """A dated block; it replaces the instruments that it names, from `valid_from` 00:00 of the park's zone.

    `recorded_at` is when the ledger may know it; without it, that is `valid_from` 00:00 UTC.
    """

    amendment_id: Identifier
    valid_from: Day
    valid_to: Day | None = None
    recorded_at: Instant | None = None
    revenue_share: Annotated[list[RevenueShare] | None, BeforeValidator(_blocks)] = None
    backstop: Backstop | None = None
    collateral: list[Collateral] = Field(default_factory=list)
    pledge_limits: PledgeLimits | None = None
    covenants: list[Covenant] = Field(default_factory=list)
    token_advances: list[TokenAdvance] = Field(default_factory=list)
    exclusivity: Exclusivity | None = None
    exit_rights: list[ExitRight] = Field(default_factory=list)
    evidence: EvidenceMap = Field(default_factory=dict)

    def instruments(self) -> tuple[str, ...]:
        """The instruments that this version names, in the schema's order."""
        return tuple(name for name in INSTRUMENTS if name in self.model_fields_set)


class Contract(Model):
    """One contract, or one deal for comparison."""

    contract_id: Identifier
    vendor_id: Identifier
    operator_id: Identifier
    park_id: Identifier
    currency_code: CurrencyCode
    signed_date: Day | None = None
    service_commencement_date: Day
    expiry_date: Day
    versions: Annotated[list[Version], Field(min_length=1)]
    evidence: EvidenceMap = Field(default_factory=dict)

    def share_ids(self) -> list[str]:
        """Every block of the revenue share that a version names, in order."""
        return sorted({share.share_id for version in self.versions for share in version.revenue_share or []})

    def recouping_share_id(self, advance: TokenAdvance) -> str | None:
        """The block that an advance is recouped from: the one that `recoupment_source` names, else the only one."""
        named = [source for source in advance.recoupment_source if source in self.share_ids()]
        choice = named or self.share_ids()
        return choice[0] if len(choice) == 1 else None
