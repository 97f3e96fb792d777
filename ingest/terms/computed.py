"""Which optional terms the ledger computes: all that change an amount, each beside every other that the checks let stand.

A feature is a term, or one value of a term, outside the core that every contract needs. A new one is listed here once the
ledger computes it; a test holds every contract's features to the list.
"""

from collections.abc import Iterator

from ingest.terms.contract import Backstop, Contract, RevenueShare, Version
from ingest.terms.yaml_source import KeyPath

COMPUTED: frozenset[str] = frozenset(
    {
        "tier_axis.contract_month",
        "tier_axis.date",
        "tier_axis.cumulative_base",
        "tier_axis.price_per_gpu_hour",
        "tier_axis.occupancy",
        "combine",
        "share_basis.pct_of_base",
        "share_basis.pct_above_floor",
        "share_basis.greater_of_min_or_pct",
        "share_basis.pct_above_breakpoint",
        "base_measure.gross_billed",
        "base_measure.net_billed",
        "base_measure.cash_collected",
        "base_measure.ebitda",
        "base_scope.supported_capacity_only",
        "base_scope.whole_site",
        "base_scope.all_cloud",
        "minimum_guarantee.month",
        "minimum_guarantee.quarter",
        "minimum_guarantee.year",
        "minimum_guarantee.creditable",
        "activation.occupancy",
        "activation.availability",
        "activation.utilization",
        "activation.revenue",
        "activation.base",
        "activation.price_per_gpu_hour",
        "activation.installed_gpu_hours",
        "activation.leased_gpu_hours",
        "activation.dscr",
        "share.period_cap.month",
        "share.period_cap.quarter",
        "share.period_cap.year",
        "share.lifetime_cap",
        "return_multiple_cap",
        "negative_base.credit_note",
        "negative_base.carry_forward",
        "accrual_period.month",
        "settlement_type.unsold_hours_x_price",
        "settlement_type.revenue_shortfall",
        "settlement_type.debt_service_shortfall",
        "settlement_type.lease_payment",
        "effective_condition.energised",
        "excluded_causes.operator_fault",
        "excluded_causes.late_delivery",
        "excluded_causes.maintenance_above_allowance",
        "excluded_causes.power_curtailment",
        "backstop.period_cap.month",
        "backstop.period_cap.quarter",
        "backstop.period_cap.year",
        "lifetime_cap.payment",
        "lifetime_cap.time",
        "lifetime_cap.third_party_sale",
        "cap_basis.undiscounted",
        "cap_basis.indexed",
        "tier_axis.cumulative_share_paid",
        "true_up",
        "true_up.due_days",
        "reserve_pct",
        "true_up.interest",
        "token_advances.before_share",
        "token_advances.from_share",
        "token_advances.parallel",
        "token_advances.interest",
        "set_off.none",
        "set_off.revenue_share_only",
        "set_off.all_sums",
        "exclusions.vendor_rnd_use",
        "resale.vendor",
        "resale.operator",
        "make_up",
        "instrument.ended",
        "exclusions.storage_network_resale",
        "exclusions.breakage_fees",
        "accrual_period.quarter",
        "accrual_period.year",
        "effective_condition.signing",
        "effective_condition.acceptance",
        "effective_condition.COD",
        "effective_condition.lease_commencement",
        "excluded_causes.planned_maintenance",
        "excluded_causes.force_majeure",
        "excluded_causes.acceptance_failed",
        "first_loss_band",
        "buyback_price.index",
        "annual_cap",
        "seller_withdrawal.tranche_min",
        "seller_withdrawal.clawback_pct",
        "termination_payment.operator",
        "termination_payment.vendor",
        "residual_value_support_pct",
    }
)

# Stated in fct_contract_terms and compared between deals; they change no amount, so they need no computation:
# audit_right, seniority, availability_measure and availability_sla, consideration, early_termination without a payment,
# lender_direct_agreement, step_in, claim.dispute_days, collateral, pledge_limits, covenants, exclusivity, exit_rights; and, since
# no feed says what the operator offered or what a resale brought in, marketing_obligation, resale.sublease_credit_pct and
# resale.sublease_proceeds_order: a claim that fails the first is disputed by hand, proceeds are entered by hand.

Feature = tuple[str, KeyPath]


def _share_features(share: RevenueShare, at: KeyPath) -> Iterator[Feature]:
    yield f"share_basis.{share.share_basis}", (*at, "share_basis")
    yield f"base_measure.{share.base_measure}", (*at, "base_measure")
    yield f"base_scope.{share.base_scope}", (*at, "base_scope")
    yield f"negative_base.{share.negative_base}", (*at, "negative_base")
    yield f"accrual_period.{share.accrual_period}", (*at, "accrual_period")
    for position, kind in enumerate(share.exclusions):
        if kind in {"vendor_rnd_use", "storage_network_resale", "breakage_fees"}:
            yield f"exclusions.{kind}", (*at, "exclusions", position)
    for position, tier in enumerate(share.tiers):
        yield f"tier_axis.{tier.axis}", (*at, "tiers", position, "axis")
    if share.combine:
        yield "combine", (*at, "combine")
    for position, criterion in enumerate(share.activation):
        yield f"activation.{criterion.metric}", (*at, "activation", position, "metric")


def _limit_features(share: RevenueShare, at: KeyPath) -> Iterator[Feature]:
    if share.minimum_guarantee:
        yield f"minimum_guarantee.{share.minimum_guarantee.period}", (*at, "minimum_guarantee", "period")
        if share.minimum_guarantee.creditable:
            yield "minimum_guarantee.creditable", (*at, "minimum_guarantee", "creditable")
    if share.period_cap:
        yield f"share.period_cap.{share.period_cap.period}", (*at, "period_cap", "period")
    if share.lifetime_cap:
        yield "share.lifetime_cap", (*at, "lifetime_cap")
    if share.return_multiple_cap:
        yield "return_multiple_cap", (*at, "return_multiple_cap")
    if share.true_up:
        yield "true_up", (*at, "true_up")
        if share.true_up.due_days is not None:
            yield "true_up.due_days", (*at, "true_up", "due_days")
        if share.true_up.interest:
            yield "true_up.interest", (*at, "true_up", "interest")
    if share.reserve_pct:
        yield "reserve_pct", (*at, "reserve_pct")


def _backstop_features(backstop: Backstop, at: KeyPath) -> Iterator[Feature]:
    yield f"settlement_type.{backstop.settlement_type}", (*at, "settlement_type")
    yield f"effective_condition.{backstop.effective_condition.event}", (*at, "effective_condition", "event")
    for position, cause in enumerate(backstop.excluded_causes):
        yield f"excluded_causes.{cause}", (*at, "excluded_causes", position)
    for position, step in enumerate(backstop.buyback_price):
        if step.index:
            yield "buyback_price.index", (*at, "buyback_price", position, "index")
    if backstop.period_cap:
        yield f"backstop.period_cap.{backstop.period_cap.period}", (*at, "period_cap", "period")
    if backstop.lifetime_cap:
        for position, reduction in enumerate(backstop.lifetime_cap.reduces_with):
            yield f"lifetime_cap.{reduction}", (*at, "lifetime_cap", "reduces_with", position)
        yield f"cap_basis.{backstop.lifetime_cap.cap_basis}", (*at, "lifetime_cap", "cap_basis")
    # A set-off that is not enforceable never acts.
    yield f"set_off.{backstop.set_off.scope if backstop.set_off.enforceable else 'none'}", (*at, "set_off", "scope")
    yield f"resale.{backstop.resale.proceeds_to}", (*at, "resale", "proceeds_to")
    withdrawal = backstop.seller_withdrawal
    for name, value, key in (
        ("first_loss_band", backstop.first_loss_band, ("first_loss_band",)),
        ("annual_cap", backstop.annual_cap, ("annual_cap",)),
        ("make_up", backstop.make_up, ("make_up",)),
        ("residual_value_support_pct", backstop.residual_value_support_pct, ("residual_value_support_pct",)),
        ("seller_withdrawal.tranche_min", withdrawal.tranche_min, ("seller_withdrawal", "tranche_min")),
        ("seller_withdrawal.clawback_pct", withdrawal.clawback_pct, ("seller_withdrawal", "clawback_pct")),
    ):
        if value is not None:
            yield name, (*at, *key)
    for position, ground in enumerate(backstop.early_termination):
        if ground.termination_payment is not None:
            name = f"termination_payment.{ground.payer or 'operator'}"
            yield name, (*at, "early_termination", position, "termination_payment")


def _version_features(version: Version, at: KeyPath) -> Iterator[Feature]:
    for name in ("revenue_share", "backstop"):
        if name in version.model_fields_set and getattr(version, name) is None:
            yield "instrument.ended", (*at, name)
    for position, share in enumerate(version.revenue_share or []):
        # A single mapping has no position in the file; the line is then found by the steps that the file does have.
        yield from _share_features(share, (*at, "revenue_share", position))
        yield from _limit_features(share, (*at, "revenue_share", position))
    if version.backstop:
        yield from _backstop_features(version.backstop, (*at, "backstop"))
    for position, advance in enumerate(version.token_advances):
        yield f"token_advances.{advance.recoup_order}", (*at, "token_advances", position, "recoup_order")
        if advance.interest:
            yield "token_advances.interest", (*at, "token_advances", position, "interest")


def features(contract: Contract) -> Iterator[Feature]:
    """Every optional feature that a contract uses, with the path of the key that asks for it."""
    for position, version in enumerate(contract.versions):
        yield from _version_features(version, ("versions", position))
