"""Checks across the fields of one contract, one park, and between files. Each yields (path, message, remedy)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

from ingest.terms.contract import Backstop, Contract, PriceStep, RampStep, RevenueShare, Tier, Version
from ingest.terms.months import contract_month
from ingest.terms.park import Park
from ingest.terms.scalars import EvidenceMap, Model, minor_unit_digits
from ingest.terms.yaml_source import KeyPath

Finding = tuple[KeyPath, str, str]
PlacedTier = tuple[int, Tier]

_AMOUNT_AXES = {"cumulative_base", "cumulative_share_paid", "price_per_gpu_hour", "occupancy"}


def _bounds_of_one_kind(tiers: Sequence[PlacedTier], at: KeyPath) -> Iterator[Finding]:
    for position, tier in tiers:
        for name, bound in (("from", tier.from_), ("to", tier.to)):
            path = (*at, "tiers", position, name)
            if bound is None:
                continue
            if tier.axis == "date" and not isinstance(bound, date):
                yield path, "should be a date on the date axis", "write a date like 2027-01-01"
            elif tier.axis != "date" and isinstance(bound, date):
                yield path, f"should be a number on the axis {tier.axis}", "write a number, or use axis: date"
            elif tier.axis == "contract_month" and isinstance(bound, Decimal) and (bound % 1 or bound < 1):
                yield path, "should be a whole month from 1 on", "contract month 1 holds the commencement date"
            elif tier.axis in _AMOUNT_AXES and isinstance(bound, Decimal) and bound < 0:
                yield path, "is negative", "begin at 0"


def _number(bound: Decimal | date | None) -> Decimal | None:
    """A bound as a number, dates by their ordinal, so that all axes are compared alike."""
    return Decimal(bound.toordinal()) if isinstance(bound, date) else bound


def _shown(axis: str, number: Decimal) -> str:
    return date.fromordinal(int(number)).isoformat() if axis == "date" else str(number)


def _in_order(tiers: Sequence[PlacedTier]) -> list[PlacedTier]:
    """Tiers by where they begin; one without `from` begins before all others."""
    return sorted(tiers, key=lambda item: (item[1].from_ is not None, _number(item[1].from_) or 0))


def _tier_ranges(
    axis: str, tiers: Sequence[PlacedTier], at: KeyPath, needed: tuple[Decimal, Decimal]
) -> Iterator[Finding]:
    """Gaps, overlaps and missing ends on one axis; bounds are known to be of the axis's kind.

    Args:
        axis: the axis.
        tiers: its tiers with their positions in the file.
        at: path of the share.
        needed: what the tiers must cover; an infinite end asks for a last tier without `to`.
    """
    step = 0 if axis in _AMOUNT_AXES else 1
    ordered = _in_order(tiers)
    for position, tier in ordered:
        start, end = _number(tier.from_), _number(tier.to)
        if start is not None and end is not None and (end < start if step else end <= start):
            yield (*at, "tiers", position, "to"), f"tier {tier.tier_no} ends before it begins", "swap from and to"
    for (_, before), (position, tier) in pairwise(ordered):
        path = (*at, "tiers", position, "from")
        start, end = _number(tier.from_), _number(before.to)
        if start is None or end is None:
            yield (
                path,
                f"tier {tier.tier_no} overlaps tier {before.tier_no}",
                "close the one before, or give this one a from",
            )
        elif start != end + step:
            what = "overlaps" if start < end + step else "leaves a gap after"
            yield path, f"tier {tier.tier_no} {what} tier {before.tier_no}", f"begin it at {_shown(axis, end + step)}"
    (first_position, first), (last_position, last) = ordered[0], ordered[-1]
    start, end = _number(first.from_), _number(last.to)
    if start is not None and start > needed[0]:
        wanted = _shown(axis, needed[0])
        yield (*at, "tiers", first_position, "from"), f"no tier covers {wanted}", f"begin the first tier at {wanted}"
    if end is not None and end < needed[1]:
        until = f"to {_shown(axis, needed[1])}" if needed[1].is_finite() else "without end"
        yield (*at, "tiers", last_position, "to"), f"the tiers do not reach {until}", "write to: null in the last tier"


def _rises(tiers: Sequence[PlacedTier], at: KeyPath) -> Iterator[Finding]:
    for (_, before), (position, tier) in pairwise(_in_order(tiers)):
        if tier.rate > before.rate:
            yield (
                (*at, "tiers", position, "rate"),
                f"rises from {before.rate} to {tier.rate} on the axis {tier.axis}, though declining: true",
                "lower the rate, or take declining away",
            )


def _needed(axis: str, contract: Contract, first: date) -> tuple[Decimal, Decimal]:
    """What the tiers of an axis must cover, from the version's first day to the contract's last."""
    commencement, last = contract.service_commencement_date, contract.expiry_date
    if axis == "contract_month":
        return Decimal(contract_month(commencement, first)), Decimal(contract_month(commencement, last))
    if axis == "date":
        return Decimal(first.toordinal()), Decimal(last.toordinal())
    return Decimal(0), Decimal("Infinity")


def _share_tiers(share: RevenueShare, at: KeyPath, contract: Contract, first: date) -> Iterator[Finding]:
    axes: dict[str, list[PlacedTier]] = {}
    for position, tier in enumerate(share.tiers):
        axes.setdefault(tier.axis, []).append((position, tier))
    numbers = [tier.tier_no for tier in share.tiers]
    for position, tier in enumerate(share.tiers):
        if numbers.index(tier.tier_no) != position:
            yield (*at, "tiers", position, "tier_no"), f"tier_no {tier.tier_no} stands twice", "number the tiers apart"
        if tier.axis == "occupancy" and tier.application == "marginal":
            yield (
                (*at, "tiers", position, "application"),
                "occupancy has no marginal slices",
                "write application: cliff",
            )
    if len(axes) > 2:
        yield (*at, "tiers"), "tiers stand on more than two axes", "use at most two"
    if len(axes) == 2 and not share.combine:
        yield (*at, "combine"), "tiers on two axes need combine", "write combine: min or combine: max"
    if len(axes) == 1 and share.combine:
        yield (*at, "combine"), "combine needs tiers on two axes", "write combine: null"
    for axis, tiers in axes.items():
        if len({tier.application for _, tier in tiers}) > 1:
            yield (
                (*at, "tiers", tiers[1][0], "application"),
                f"the axis {axis} mixes marginal and cliff",
                "use one on each axis",
            )
        wrong = list(_bounds_of_one_kind(tiers, at))
        yield from wrong
        if not wrong:
            yield from _tier_ranges(axis, tiers, at, _needed(axis, contract, first))
            if share.declining:
                yield from _rises(tiers, at)


def _share(share: RevenueShare, at: KeyPath, contract: Contract, first: date) -> Iterator[Finding]:
    yield from _share_tiers(share, at, contract, first)
    basis = share.share_basis
    if basis == "pct_above_floor" and share.floor_price_per_gpu_hour is None:
        yield (*at, "floor_price_per_gpu_hour"), "pct_above_floor needs a floor price", "give floor_price_per_gpu_hour"
    if basis != "pct_above_floor" and share.floor_price_per_gpu_hour is not None:
        yield (*at, "floor_price_per_gpu_hour"), f"{basis} uses no floor price", "take it away, or use pct_above_floor"
    if basis == "greater_of_min_or_pct" and share.minimum_guarantee is None:
        yield (*at, "minimum_guarantee"), "greater_of_min_or_pct needs a minimum", "give minimum_guarantee"
    if basis == "pct_above_breakpoint" and share.breakpoint_amount is None and share.minimum_guarantee is None:
        yield (
            (*at, "breakpoint_amount"),
            "pct_above_breakpoint needs a breakpoint or a minimum",
            "give breakpoint_amount",
        )
    if basis != "pct_above_breakpoint" and share.breakpoint_amount is not None:
        yield (*at, "breakpoint_amount"), f"{basis} uses no breakpoint", "take it away, or use pct_above_breakpoint"
    if "vendor_rnd_use" in share.exclusions and share.customer_scope == "incl_vendor_own_use":
        yield (*at, "exclusions"), "vendor_rnd_use is excluded and included at once", "choose one"
    if bool(share.reserve_pct) != (share.reserve_release_months is not None):
        missing, given = ("reserve_release_months", "reserve_pct")[:: 1 if share.reserve_pct else -1]
        yield (*at, missing), f"{given} stands without {missing}", f"give {missing}, or take {given} away"
    if (true_up := share.true_up) is not None:
        if true_up.due_days is not None and true_up.due_days < share.statement_due_days:
            yield (
                (*at, "true_up", "due_days"),
                f"the true-up would be due {true_up.due_days} days after its year, before it is stated on day {share.statement_due_days}",
                "count from the year's last day, statement_due_days included",
            )
        if true_up.interest and not share.late_rate:
            yield (*at, "true_up", "interest"), "there is no rate", "give late_rate, or take interest away"
    if share.minimum_guarantee and share.minimum_guarantee.creditable and share.minimum_guarantee.period != "month":
        yield (
            (*at, "minimum_guarantee", "creditable"),
            "only a monthly minimum is creditable",
            "write creditable: false",
        )


def _ramp(ramp: Sequence[RampStep], at: KeyPath) -> Iterator[Finding]:
    ordered = sorted(enumerate(ramp), key=lambda item: item[1].from_month)
    for position, step in ordered:
        if step.to_month < step.from_month:
            yield (*at, "ramp", position, "to_month"), "the step ends before it begins", "swap from_month and to_month"
    for (_, before), (position, step) in pairwise(ordered):
        if step.from_month <= before.to_month:
            yield (
                (*at, "ramp", position, "from_month"),
                "the step overlaps the one before",
                f"begin it at {before.to_month + 1}",
            )


def _prices(steps: Sequence[PriceStep], at: KeyPath, first_month: int, last_month: int) -> Iterator[Finding]:
    ordered = sorted(enumerate(steps), key=lambda item: item[1].from_month)
    for position, step in ordered:
        if step.to_month is not None and step.to_month < step.from_month:
            yield (
                (*at, "buyback_price", position, "to_month"),
                "the step ends before it begins",
                "swap from_month and to_month",
            )
    for (_, before), (position, step) in pairwise(ordered):
        path = (*at, "buyback_price", position, "from_month")
        if before.to_month is None or step.from_month <= before.to_month:
            yield path, "the step overlaps the one before", "close the step before"
        elif step.from_month != before.to_month + 1:
            yield path, "the step leaves a gap after the one before", f"begin it at {before.to_month + 1}"
    if ordered[0][1].from_month > first_month:
        yield (
            (*at, "buyback_price", ordered[0][0], "from_month"),
            f"month {first_month} has no price",
            f"begin at {first_month}",
        )
    last = ordered[-1][1].to_month
    if last is not None and last < last_month:
        yield (
            (*at, "buyback_price", ordered[-1][0], "to_month"),
            f"months {last + 1} to {last_month} have no price",
            f"write to_month: {last_month}, or null",
        )


def _cap_index(backstop: Backstop, at: KeyPath) -> Iterator[Finding]:
    cap = backstop.lifetime_cap
    if cap is None or (cap.cap_basis == "indexed") == (cap.index is not None):
        return
    path = (*at, "lifetime_cap", "index")
    if cap.index is None:
        yield path, "an indexed cap names no index", "give the index that price_index events bear"
    else:
        yield path, f"{cap.index} moves no cap that is undiscounted", "write cap_basis: indexed, or take it away"


def _residual_value(backstop: Backstop, at: KeyPath, contract: Contract) -> Iterator[Finding]:
    """A support says how much of which price it makes good, and on which day."""
    names = ("residual_value_support_pct", "rv_date", "rv_hardware_price_per_gpu")
    given = [name for name in names if getattr(backstop, name) is not None]
    if backstop.attachment_pct is not None and not given:
        given = ["attachment_pct"]
    if not given:
        return
    for name in names:
        if getattr(backstop, name) is None:
            yield (*at, name), f"{given[0]} stands without {name}", f"give {name}, or take {given[0]} away"
    last = backstop.expiry_date or contract.expiry_date
    if backstop.rv_date is not None and not contract.service_commencement_date <= backstop.rv_date <= last:
        yield (
            (*at, "rv_date"),
            f"{backstop.rv_date} is no day of the backstop",
            f"give a day from {contract.service_commencement_date} to {last}",
        )


def _backstop(backstop: Backstop, at: KeyPath, contract: Contract, first: date) -> Iterator[Finding]:
    yield from _ramp(backstop.ramp, at)
    expiry = backstop.expiry_date or contract.expiry_date
    if expiry < contract.service_commencement_date:
        yield (*at, "expiry_date"), "the backstop ends before service commences", "give a later date"
    elif expiry > contract.expiry_date:
        yield (*at, "expiry_date"), "the backstop outlives its contract", f"end it by {contract.expiry_date}"
    else:
        commencement = contract.service_commencement_date
        yield from _prices(
            backstop.buyback_price,
            at,
            max(1, contract_month(commencement, first)),
            contract_month(commencement, expiry),
        )
    if len(set(backstop.excluded_causes)) < len(backstop.excluded_causes):
        yield (*at, "excluded_causes"), "a cause stands twice", "name each once"
    grounds = [end.ground for end in backstop.early_termination]
    for position, end in enumerate(backstop.early_termination):
        path = (*at, "early_termination", position)
        if grounds.index(end.ground) != position:
            yield (*path, "ground"), f"{end.ground} stands twice", "name each ground once"
        if end.payer is not None and end.termination_payment is None:
            yield (*path, "payer"), "there is nothing to pay", "give termination_payment, or take payer away"
    if backstop.seller_withdrawal.clawback_pct is not None and not backstop.seller_withdrawal.allowed:
        yield (
            (*at, "seller_withdrawal", "clawback_pct"),
            "the operator may not withdraw at all",
            "write allowed: true, or take it away",
        )
    yield from _cap_index(backstop, at)
    yield from _residual_value(backstop, at, contract)
    if backstop.settlement_type != "unsold_hours_x_price" and backstop.make_up is not None:
        yield (
            (*at, "make_up"),
            f"{backstop.settlement_type} buys no hours that could be made up",
            "take it away, or use settlement_type: unsold_hours_x_price",
        )
    if backstop.settlement_type != "revenue_shortfall" and backstop.fx is not None:
        yield (
            (*at, "fx"),
            f"{backstop.settlement_type} translates no revenue",
            "take it away, or use settlement_type: revenue_shortfall",
        )
    if backstop.set_off.enforceable and backstop.set_off.scope == "none":
        yield (*at, "set_off"), "set-off without a scope cannot be enforceable", "give the scope"


def _advances(contract: Contract, version: Version, at: KeyPath) -> Iterator[Finding]:
    for position, advance in enumerate(version.token_advances):
        path = (*at, "token_advances", position)
        if contract.recouping_share_id(advance) is None:
            yield (
                (*path, "recoupment_source"),
                "does not say which share the advance is recouped from",
                f"write recoupment_source: [{', '.join(contract.share_ids()[:1]) or 'the share_id'}]",
            )
        if advance.unit != "USD" and advance.conversion_price is None:
            yield (
                (*path, "conversion_price"),
                f"an advance in units of {advance.unit} has no price",
                "give conversion_price",
            )
        if advance.currency_code not in {None, contract.currency_code}:
            yield (
                (*path, "currency_code"),
                f"the advance is in {advance.currency_code}, the contract in {contract.currency_code}",
                f"state it in {contract.currency_code}",
            )
        if advance.expiry_date is not None and advance.expiry_date < advance.grant_date:
            yield (*path, "expiry_date"), "the advance expires before it is granted", "give a later date"
    for orders in ({"before_share"}, {"from_share"}):
        rates = [advance.recoupment_rate for advance in version.token_advances if advance.recoup_order in orders]
        if sum(rates) > 1:
            yield (
                (*at, "token_advances"),
                f"the rates of all {next(iter(orders))} advances add up to {sum(rates)}, more than the whole",
                "lower them to 1 together",
            )


def _evidence(version: Version, at: KeyPath) -> Iterator[Finding]:
    shares = {share.share_id for share in version.revenue_share or []}
    for key in version.evidence:
        steps = key.split(".")
        if steps[0] not in version.instruments():
            yield (
                (*at, "evidence", key),
                "grades an instrument that this version does not name",
                "name it as in this version",
            )
            continue
        if steps[0] == "revenue_share" and len(steps) > 1 and steps[1] in shares:
            steps = [steps[0], *steps[2:]]
        value = getattr(version, steps[0])
        models: list[Model] = [value] if isinstance(value, Model) else list(value or [])
        if len(steps) > 1 and models and not any(steps[1] in type(model).model_fields for model in models):
            yield (*at, "evidence", key), f"{steps[0]} has no term {steps[1]}", "name a term of the schema"


def _versions(contract: Contract) -> Iterator[Finding]:
    seen_ids: set[str] = set()
    starts: dict[tuple[str, date, object], str] = {}
    for position, version in enumerate(contract.versions):
        at: KeyPath = ("versions", position)
        if version.amendment_id in seen_ids:
            yield (*at, "amendment_id"), f"{version.amendment_id} stands twice", "name each amendment apart"
        seen_ids.add(version.amendment_id)
        if version.valid_from > contract.expiry_date:
            yield (*at, "valid_from"), "begins after the contract's expiry", "give an earlier date"
        if version.valid_to is not None and version.valid_to < version.valid_from:
            yield (*at, "valid_to"), "ends before it begins", "swap valid_from and valid_to"
        if not version.instruments():
            yield at, "names no instrument", "give revenue_share, backstop or another instrument"
        for name in version.instruments():
            key = (name, version.valid_from, version.recorded_at)
            if key in starts:
                yield (
                    (*at, "valid_from"),
                    f"{name} of {version.amendment_id} and {starts[key]} begin on the same day and were known at once",
                    "give another valid_from, or a later recorded_at if this one corrects the other",
                )
            starts[key] = version.amendment_id
    for name in {name for version in contract.versions for name in version.instruments()}:
        dated = sorted(
            ((v.valid_from, position, v) for position, v in enumerate(contract.versions) if name in v.instruments()),
            key=lambda item: item[:2],
        )
        for (_, position, before), (start, _, _) in pairwise(dated):
            if before.valid_to is None or start == before.valid_from:
                continue
            expected = start - timedelta(days=1)
            if before.valid_to != expected:
                what = (
                    "overlaps the next version"
                    if before.valid_to > expected
                    else "leaves a gap before the next version"
                )
                yield ("versions", position, "valid_to"), f"{name} {what}", f"write {expected}, or leave valid_to away"
        last = dated[-1][2]
        if last.valid_to is not None and last.valid_to != contract.expiry_date:
            yield (
                ("versions", dated[-1][1], "valid_to"),
                f"{name} ends before or after the contract",
                f"write {contract.expiry_date}, or leave valid_to away; a backstop has an expiry_date of its own",
            )


def check_contract(contract: Contract) -> Iterator[Finding]:
    """Everything that can be wrong inside one contract whose fields are each valid."""
    if contract.expiry_date < contract.service_commencement_date:
        yield ("expiry_date",), "is before service_commencement_date", "give a later date"
        return
    if minor_unit_digits(contract.currency_code) > 2:
        yield (
            ("currency_code",),
            f"{contract.currency_code} has more than two decimal places; posted amounts have two",
            "settle the contract in another currency",
        )
    yield from _versions(contract)
    for position, version in enumerate(contract.versions):
        at: KeyPath = ("versions", position)
        first = max(version.valid_from, contract.service_commencement_date)
        shares = version.revenue_share or []
        ids = [share.share_id for share in shares]
        for block, share in enumerate(shares):
            path = (*at, "revenue_share", block)
            if share.late_rate != shares[0].late_rate:
                yield (
                    (*path, "late_rate"),
                    f"{share.late_rate} differs from {shares[0].late_rate} of {shares[0].share_id}, and one invoice holds both",
                    "give all blocks of a version the same late_rate",
                )
            if share.receivable_accounting_class != shares[0].receivable_accounting_class:
                yield (
                    (*path, "receivable_accounting_class"),
                    f"{share.receivable_accounting_class} differs from that of {shares[0].share_id}, and one receivable holds both",
                    "give all blocks of a version the same receivable_accounting_class",
                )
            if ids.index(share.share_id) != block:
                yield (*path, "share_id"), f"share_id {share.share_id} stands twice", "give each block its own share_id"
            yield from _share(share, path, contract, first)
        if version.backstop:
            yield from _backstop(version.backstop, (*at, "backstop"), contract, first)
        for name, items in (("covenants", version.covenants), ("token_advances", version.token_advances)):
            keys = [getattr(item, "covenant_id", None) or getattr(item, "advance_id", None) for item in items]
            for place, key in enumerate(keys):
                if keys.index(key) != place:
                    yield (*at, name, place), f"{key} stands twice", "name each apart"
        yield from _advances(contract, version, at)
        yield from _evidence(version, at)


def check_references(contract: Contract, parks: Mapping[str, Park], vendor_ids: Iterable[str]) -> Iterator[Finding]:
    """What a contract names outside its own file."""
    park = parks.get(contract.park_id)
    if park is None:
        yield ("park_id",), f"there is no readable park {contract.park_id}", "give the id of a file in parks/"
    elif park.operator.operator_id != contract.operator_id:
        yield (
            ("operator_id",),
            f"{contract.operator_id} does not operate {contract.park_id}",
            f"the park file says {park.operator.operator_id}",
        )
    if contract.vendor_id not in set(vendor_ids):
        yield (
            ("vendor_id",),
            f"there is no vendor {contract.vendor_id}",
            "add vendors/<vendor_id>.yaml; nvidia is built in",
        )


def check_park(park: Park) -> Iterator[Finding]:
    """Everything that can be wrong inside one park whose fields are each valid."""
    ids = [tranche.tranche_id for tranche in park.tranches]
    for position, tranche in enumerate(park.tranches):
        if ids.index(tranche.tranche_id) != position:
            yield ("tranches", position, "tranche_id"), f"{tranche.tranche_id} stands twice", "name each tranche apart"
    low, high = park.pue_bounds
    if low < 1:
        yield ("pue_bounds", 0), "a PUE below 1 is impossible", "begin at 1.0"
    if high < low:
        yield ("pue_bounds", 1), "the upper bound is below the lower one", "swap them"
    for key in park.evidence:
        if key.split(".")[0] not in Park.model_fields:
            yield ("evidence", key), "grades a key that a park does not have", "name a key of the park file"


def graded(evidence: EvidenceMap, path: str) -> str | None:
    """The key of `evidence` that covers a dotted path: the longest that is the path or its beginning."""
    covering = [key for key in evidence if path == key or path.startswith(key + ".")]
    return max(covering, key=len, default=None)
