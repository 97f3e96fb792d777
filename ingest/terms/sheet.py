"""A contract's term sheet in plain English, each sentence with the grade of its evidence. What is owed is not computed here."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from ingest.terms.checks import graded
from ingest.terms.contract import Backstop, ClaimFx, Contract, RevenueShare, Tier, TokenAdvance, Version

_MEASURES = {
    "gross_billed": "what tenants are billed, taxes and pass-through included",
    "net_billed": "what tenants are billed less credits, refunds and penalties",
    "cash_collected": "what tenants pay",
    "ebitda": "EBITDA",
}
_CUSTOMERS = {
    "third_party_only": "third parties only",
    "incl_related": "third parties and related ones",
    "incl_vendor_own_use": "third parties, related ones and the vendor itself",
}
_BASES = {
    "pct_of_base": "of the base",
    "pct_above_floor": "of what the base is above the floor price times the billed hours",
    "greater_of_min_or_pct": "of the base, at least the minimum",
    "pct_above_breakpoint": "of what the base is above the breakpoint, beside the minimum",
}
_AXES = {
    "contract_month": "contract months",
    "date": "service dates",
    "cumulative_base": "a base to date",
    "cumulative_share_paid": "a share to date",
    "price_per_gpu_hour": "prices per GPU-hour",
    "occupancy": "an occupancy",
}

Line = tuple[str, str]


def percent(fraction: Decimal) -> str:
    """A fraction as a percentage without needless zeros: 0.25 is 25 %."""
    return f"{(fraction * 100).normalize():f} %"


def _amount(amount: Decimal, currency_code: str) -> str:
    return f"{currency_code} {amount:,.2f}"


def _tier(tier: Tier) -> str:
    span = " to ".join(str(bound) for bound in (tier.from_, tier.to) if bound is not None)
    end = "" if tier.to is not None else " on" if tier.from_ is not None else "of any height"
    return f"{percent(tier.rate)} for {_AXES[tier.axis]} {span}{end}".rstrip()


def _share(share: RevenueShare, currency: str) -> Iterator[Line]:
    tiers = ", ".join(_tier(tier) for tier in share.tiers)
    yield "tiers", f"The vendor earns, {_BASES[share.share_basis]}: {tiers}."
    if share.combine:
        yield "combine", f"Where two tiers meet, the {'smaller' if share.combine == 'min' else 'larger'} rate holds."
    yield "base_measure", f"The base is {_MEASURES[share.base_measure]}, of {_CUSTOMERS[share.customer_scope]}."
    if share.exclusions:
        yield "exclusions", f"Taken out of it: {', '.join(kind.replace('_', ' ') for kind in share.exclusions)}."
    if share.floor_price_per_gpu_hour is not None:
        yield (
            "floor_price_per_gpu_hour",
            f"The floor price is {currency} {share.floor_price_per_gpu_hour} per GPU-hour.",
        )
    if share.breakpoint_amount is not None:
        yield "breakpoint_amount", f"The breakpoint is {_amount(share.breakpoint_amount, currency)} a month."
    for criterion in share.activation:
        window = f"over {criterion.test_window_months} months, is {criterion.operator} {criterion.value}"
        failing = f"{criterion.cure_months} months in a row may fail"
        yield "activation", f"It is earned while {criterion.metric.replace('_', ' ')}, {window}; {failing}."
    yield from _limits(share, currency)
    below = "gives a credit note" if share.negative_base == "credit_note" else "is carried into the next month"
    yield "negative_base", f"A negative base {below}."
    days = f"Invoiced {share.statement_due_days} days after the {share.accrual_period}, due {share.payment_terms_days} days later"
    yield "payment_terms_days", f"{days}; late interest {percent(share.late_rate)} a year."
    if share.withholding_tax_rate:
        who = "is grossed up" if share.gross_up else "is the vendor's"
        yield "withholding_tax_rate", f"Withholding tax of {percent(share.withholding_tax_rate)} {who}."
    if share.receivable_accounting_class is not None:
        kind = share.receivable_accounting_class.replace("_", " ")
        yield "receivable_accounting_class", f"The receivable is taken for: {kind}."


def _limits(share: RevenueShare, currency: str) -> Iterator[Line]:
    if (minimum := share.minimum_guarantee) is not None:
        credit = ", credited against later share of the year" if minimum.creditable else ""
        yield "minimum_guarantee", f"At least {_amount(minimum.amount, currency)} a {minimum.period}{credit}."
    if share.period_cap is not None:
        yield "period_cap", f"At most {_amount(share.period_cap.amount, currency)} a {share.period_cap.period}."
    if share.lifetime_cap is not None:
        yield "lifetime_cap", f"At most {_amount(share.lifetime_cap.amount, currency)} over its life."
    if (multiple := share.return_multiple_cap) is not None:
        yield (
            "return_multiple_cap",
            f"It ends at {multiple.multiple} times the hardware of {_amount(multiple.hardware_amount, currency)}.",
        )
    if share.reserve_pct:
        held = f"{percent(share.reserve_pct)} of each invoice is withheld as a reserve"
        yield "reserve_pct", f"{held}, and invoiced {share.reserve_release_months} months after its month."
    if share.true_up is not None:
        back = "carried forward" if share.true_up.carry_forward else "credited"
        yield "true_up", f"Trued up each {share.true_up.frequency.replace('_', ' ')}; what is over is {back}."
        if share.true_up.due_days is not None:
            yield "true_up", f"The true-up is invoiced apart and due {share.true_up.due_days} days after its year."
        if share.true_up.interest:
            rate = percent(share.late_rate)
            yield "true_up", f"It bears {rate} a year, as if earned evenly, from the day each month was due to its own."


# Of the settlements that guarantee a payment of the operator's, which.
_GUARANTEED = {"debt_service_shortfall": "debt service", "lease_payment": "rent"}


def _settlement(backstop: Backstop) -> Iterator[Line]:
    committed = f"{percent(backstop.committed_fraction)} of the installed hours"
    if backstop.settlement_type == "unsold_hours_x_price":
        yield "committed_fraction", f"The vendor buys what stays unsold of {committed}."
        return
    guaranteed = _GUARANTEED.get(backstop.settlement_type)
    if guaranteed is not None:
        yield (
            "settlement_type",
            f"The vendor pays what the operator's own payments of {guaranteed} fall short of, by its statements.",
        )
        yield "committed_fraction", f"At most what {committed} would earn at the price below, and buys no hours."
        return
    yield "committed_fraction", f"The vendor guarantees what {committed} would earn at the price below."
    yield (
        "settlement_type",
        "It pays what third parties are billed less than that in a tranche's month, and buys no hours.",
    )
    fx = backstop.fx or ClaimFx()
    rate = "the mean of the month's rates" if fx.fix == "average" else "the month's last rate"
    yield "fx", f"What is billed in other currencies is translated at {rate} ({fx.source})."


def _backstop(backstop: Backstop, currency: str) -> Iterator[Line]:
    yield from _settlement(backstop)
    for step in backstop.ramp:
        yield (
            "ramp",
            f"Of that only {percent(step.fraction)} in months {step.from_month} to {step.to_month} of a tranche.",
        )
    verb = "pays" if backstop.settlement_type == "unsold_hours_x_price" else "guarantees"
    for price in backstop.buyback_price:
        until = f"to {price.to_month}" if price.to_month is not None else "on"
        yield (
            "buyback_price",
            f"It {verb} {currency} {price.price_per_gpu_hour} per GPU-hour in contract months {price.from_month} {until}"
            + (f", moved by the index {price.index} since commencement." if price.index else "."),
        )
    condition = backstop.effective_condition
    if condition.event not in {"energised", "signing"}:
        yield "effective_condition", f"A tranche is covered from its {condition.event.replace('_', ' ')}."
    if condition.longstop_days is not None:
        yield "effective_condition", f"A tranche more than {condition.longstop_days} days late is not covered at all."
    if backstop.first_loss_band is not None:
        yield (
            "first_loss_band",
            f"The operator bears the first {percent(backstop.first_loss_band)} of the installed hours.",
        )
    if backstop.deductible_fraction is not None:
        yield (
            "deductible_fraction",
            f"The operator bears the first {percent(backstop.deductible_fraction)} of the committed hours.",
        )
    if backstop.deductible_gpu_hours is not None:
        yield (
            "deductible_gpu_hours",
            f"The operator bears the first {backstop.deductible_gpu_hours:,} GPU-hours a month.",
        )
    yield from _claims(backstop, currency)


def _claims(backstop: Backstop, currency: str) -> Iterator[Line]:
    causes = ", ".join(cause.replace("_", " ") for cause in backstop.excluded_causes) or "none"
    covered = "bought" if backstop.settlement_type == "unsold_hours_x_price" else "guaranteed"
    yield "excluded_causes", f"Hours out of supply that are not {covered}: {causes}."
    if backstop.period_cap is not None:
        yield "period_cap", f"At most {_amount(backstop.period_cap.amount, currency)} a {backstop.period_cap.period}."
    if backstop.annual_cap is not None:
        yield "annual_cap", f"At most {_amount(backstop.annual_cap, currency)} a contract year."
    if (cap := backstop.lifetime_cap) is not None:
        worn = ", ".join(reduction.replace("_", " ") for reduction in cap.reduces_with) or "claims"
        moved = f", moved by the index {cap.index} since commencement" if cap.index else ""
        yield "lifetime_cap", f"At most {_amount(cap.amount, currency)}{moved} over its life, worn down by {worn}."
    if backstop.seller_withdrawal.allowed:
        back = ", and recall it" if backstop.seller_withdrawal.recall else ""
        yield (
            "seller_withdrawal",
            f"The operator may withdraw capacity with {backstop.seller_withdrawal.notice_days} days' notice{back}.",
        )
        if backstop.seller_withdrawal.tranche_min is not None:
            yield "seller_withdrawal", f"At least {backstop.seller_withdrawal.tranche_min} GPUs at once."
        if backstop.seller_withdrawal.clawback_pct is not None:
            part = percent(backstop.seller_withdrawal.clawback_pct)
            yield "seller_withdrawal", f"It gives back {part} of what was claimed for the capacity that it withdraws."
    if backstop.marketing_obligation is not None:
        yield (
            "marketing_obligation",
            f"The operator must market it: {backstop.marketing_obligation.effort_standard} (stated, not tested).",
        )
    for end in backstop.early_termination:
        notice = f" with {end.notice_days} days' notice" if end.notice_days is not None else ""
        paid = "" if end.termination_payment is None else f"; the {end.payer or 'operator'} then pays "
        amount = "" if end.termination_payment is None else _amount(end.termination_payment, currency)
        yield "early_termination", f"It may end early on {end.ground.replace('_', ' ')}{notice}{paid}{amount}."
    if backstop.residual_value_support_pct is not None and backstop.rv_hardware_price_per_gpu is not None:
        below = percent(
            backstop.residual_value_support_pct if backstop.attachment_pct is None else backstop.attachment_pct
        )
        price = _amount(backstop.rv_hardware_price_per_gpu, currency)
        most = f"at most {percent(backstop.residual_value_support_pct)} of it, apart from claims and their caps"
        yield (
            "residual_value_support_pct",
            f"On {backstop.rv_date} it makes good what a GPU is worth less than {below} of {price}, {most}.",
        )
    days = backstop.claim.notice_days + backstop.claim.payment_days
    yield "claim", f"A claim is due {days} days after its month."
    if backstop.set_off.enforceable:
        yield (
            "set_off",
            f"On that day it is set off against open invoices ({backstop.set_off.scope.replace('_', ' ')}).",
        )
    survival = "survives" if backstop.survives_operator_insolvency else "ends with"
    yield "survives_operator_insolvency", f"It {survival} the operator's insolvency."


def _advance(advance: TokenAdvance, currency: str) -> Line:
    source = {
        "before_share": "the base, before the share",
        "parallel": "the base, beside the share",
        "from_share": "the share",
    }
    bears = f"; it bears {percent(advance.interest)} a year on what is unrecouped" if advance.interest else ""
    return "token_advances", (
        f"Advance {advance.advance_id} of {advance.face_amount:,} ({currency if advance.unit == 'USD' else advance.unit}), granted "
        f"{advance.grant_date}, recouped at {percent(advance.recoupment_rate)} of {source[advance.recoup_order]}{bears}."
    )


def _version(version: Version, currency: str) -> Iterator[tuple[str, Line]]:
    for name in ("revenue_share", "backstop"):
        if name in version.model_fields_set and getattr(version, name) is None:
            yield name, ("", f"This amendment ends the {name.replace('_', ' ')}.")
    for share in version.revenue_share or []:
        for line in _share(share, currency):
            yield "revenue_share", line
    if version.backstop is not None:
        for line in _backstop(version.backstop, currency):
            yield "backstop", line
    for advance in version.token_advances:
        yield "token_advances", _advance(advance, currency)
    for covenant in version.covenants:
        test = (
            f"{covenant.metric.upper()} {covenant.operator} {covenant.threshold}, tested each {covenant.test_frequency}"
        )
        yield "covenants", ("covenants", f"{test}; else {covenant.consequence}.")
    for instrument, text in _ties(version, currency):
        yield instrument, (instrument, text)


def _ties(version: Version, currency: str) -> Iterator[tuple[str, str]]:
    """What binds the operator beside money: pledges, exclusivity, and who may leave."""
    for pledge in version.collateral:
        amount = (
            ""
            if pledge.pledged_amount is None
            else f" of {_amount(pledge.pledged_amount, pledge.currency_code or currency)}"
        )
        kind = pledge.collateral_type.replace("_", " ")
        cut = f", less {percent(pledge.haircut)}" if pledge.haircut else ""
        yield "collateral", f"{kind[0].upper()}{kind[1:]}{amount}{cut}."
    if (limits := version.pledge_limits) is not None:
        for bound, what in (
            (limits.pledge_cap_pct, "the hardware's worth"),
            (limits.max_future_revenue_pct, "revenue"),
        ):
            if bound is not None:
                yield "pledge_limits", f"At most {percent(bound)} of {what} may be pledged, over all creditors."
    if (exclusivity := version.exclusivity) is not None:
        until = f" until {exclusivity.ends}" if exclusivity.ends else ""
        yield "exclusivity", f"Hardware of {exclusivity.vendor} only: {exclusivity.scope}{until}."
        if exclusivity.purchase_quota_pct is not None:
            yield "exclusivity", f"At least {percent(exclusivity.purchase_quota_pct)} of purchases."
    for right in version.exit_rights:
        notice = f" with {right.notice_days} days' notice" if right.notice_days is not None else ""
        fee = f", for {right.fee_formula}" if right.fee_formula else ""
        yield "exit_rights", f"The {right.party} may leave on {right.trigger}{notice}{fee}."


def term_sheet(contract: Contract) -> Iterator[str]:
    """The sheet as lines: the parties, then each version's instruments; a grade in brackets where evidence gives one."""
    signed: date | None = contract.signed_date
    parties = f"{contract.vendor_id} and {contract.operator_id}, park {contract.park_id}, in {contract.currency_code}"
    yield f"Contract {contract.contract_id}: {parties}"
    yield (
        f"From {contract.service_commencement_date} to {contract.expiry_date} included"
        + (f", signed {signed}." if signed else ".")
    )
    for version in sorted(contract.versions, key=lambda version: version.valid_from):
        yield ""
        known = f", known since {version.recorded_at:%Y-%m-%d}" if version.recorded_at else ""
        yield f"{version.amendment_id}, from {version.valid_from}{known}"
        heading = ""
        for instrument, (term, text) in _version(version, contract.currency_code):
            if instrument != heading:
                heading = instrument
                yield f"  {instrument.replace('_', ' ').capitalize()}"
            key = graded(version.evidence, f"{instrument}.{term}" if term and term != instrument else instrument)
            yield f"    {text}" + (f" [{version.evidence[key].grade}]" if key else "")
