"""Checks across the fields of a contract: tiers, prices, versions, and that every term is computed."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from small_home import CONTRACT_ID, make_home

from ingest.terms import contract as schema
from ingest.terms.computed import COMPUTED, features
from ingest.terms.home import load_home

TIERS = """\
        - {tier_no: 1, axis: contract_month, from: 1, to: 24, rate: "0.25", application: marginal}
        - {tier_no: 2, axis: contract_month, from: 25, to: null, rate: "0.20", application: marginal}
"""


def with_tiers(*tiers: str) -> Callable[[str], str]:
    lines = "".join(f"        - {{tier_no: {number}, {tier}}}\n" for number, tier in enumerate(tiers, start=1))
    return lambda text: text.replace(TIERS, lines)


def messages(tmp_path: Path, contract: Callable[[str], str]) -> list[str]:
    home = load_home(make_home(tmp_path, contract=contract))
    return [f"{p.key}: {p.message}" for p in home.problems if p.file.startswith("contracts/")]


@pytest.mark.parametrize(
    ("tiers", "says"),
    [
        (
            ("axis: contract_month, from: 1, to: 24, rate: 0.2", "axis: contract_month, from: 26, rate: 0.1"),
            "leaves a gap",
        ),
        (("axis: contract_month, from: 1, to: 24, rate: 0.2", "axis: contract_month, from: 24, rate: 0.1"), "overlaps"),
        (("axis: contract_month, from: 1, to: 24, rate: 0.2",), "do not reach to 72"),
        (("axis: contract_month, from: 2, rate: 0.2",), "no tier covers 1"),
        (("axis: contract_month, from: 9, to: 3, rate: 0.2",), "ends before it begins"),
        (("axis: contract_month, from: 1.5, rate: 0.2",), "whole month"),
        (("axis: contract_month, from: 2027-01-01, rate: 0.2",), "should be a number"),
        (("axis: date, from: 1, rate: 0.2",), "should be a date"),
        (
            ("axis: date, to: 2028-12-31, rate: 0.2", "axis: date, from: 2028-12-31, rate: 0.1"),
            "overlaps",
        ),
        (("axis: date, from: 2027-01-02, rate: 0.2",), "no tier covers 2027-01-01"),
        (("axis: cumulative_base, from: 0, to: 100, rate: 0.2", "axis: cumulative_base, from: 101, rate: 0.1"), "gap"),
        (("axis: cumulative_base, from: 0, to: 100, rate: 0.2",), "without end"),
        (("axis: occupancy, from: 0, rate: 0.2, application: marginal",), "no marginal slices"),
        (("axis: contract_month, from: 1, rate: 0.1", "axis: price_per_gpu_hour, from: 0, rate: 0.2"), "need combine"),
        (
            ("axis: contract_month, from: 1, to: 24, rate: 0.1", "axis: contract_month, from: 25, rate: 0.2"),
            "declining",
        ),
    ],
)
def test_tiers_cover_their_axis_once_and_do_as_they_say(tmp_path: Path, tiers: tuple[str, ...], says: str) -> None:
    found = messages(tmp_path, with_tiers(*tiers))
    assert any(says in message for message in found), found


@pytest.mark.parametrize(
    "tiers",
    [
        ("axis: contract_month, from: 1, to: 72, rate: 0.2",),
        ("axis: date, to: 2028-12-31, rate: 0.2", "axis: date, from: 2029-01-01, rate: 0.1"),
        ("axis: calendar_date, rate: 0.2",),
    ],
)
def test_tiers_that_cover_the_term_are_accepted(tmp_path: Path, tiers: tuple[str, ...]) -> None:
    assert messages(tmp_path, with_tiers(*tiers)) == []


def replaced(before: str, after: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert before in text
        return text.replace(before, after, 1)

    return change


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("share_basis: pct_of_base ", "share_basis: pct_above_floor ", "needs a floor price"),
        ("share_basis: pct_of_base ", "floor_price_per_gpu_hour: 2\n      share_basis: pct_of_base ", "uses no floor"),
        ("share_basis: pct_of_base ", "share_basis: greater_of_min_or_pct ", "needs a minimum"),
        ("to_month: 3, fraction", "to_month: 0, fraction", "greater than or equal to 1"),
        (
            'ramp: [{from_month: 1, to_month: 3, fraction: "0.50"}]',
            "ramp: [{from_month: 1, to_month: 3, fraction: 0.5}, {from_month: 3, to_month: 4, fraction: 0.6}]",
            "overlaps",
        ),
        ("to_month: null, price", "to_month: 60, price", "months 61 to 72 have no price"),
        ("scope: none, enforceable: false", "scope: none, enforceable: true", "cannot be enforceable"),
        ("expiry_date: 2032-12-31", "expiry_date: 2026-12-31", "before service_commencement_date"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, before: str, after: str, says: str) -> None:
    found = messages(tmp_path, replaced(before, after))
    assert any(says in message for message in found), found


SHARE = "      share_basis: pct_of_base "
DUE = "negative_base: credit_note"
SCOPES = "# third_party_only | incl_related | incl_vendor_own_use"
PRICE = 'buyback_price: [{from_month: 1, to_month: null, price_per_gpu_hour: "2.00", index: null}]'
RAMP = 'ramp: [{from_month: 1, to_month: 3, fraction: "0.50"}]'


def under(anchor: str, *lines: str) -> tuple[str, str]:
    """The anchor with lines of its own block behind it."""
    return anchor, anchor + "".join(f"\n      {line}" for line in lines)


def prices(*steps: str) -> tuple[str, str]:
    return PRICE, f"buyback_price: [{', '.join(f'{{{step}, price_per_gpu_hour: 2}}' for step in steps)}]"


def axes(*tiers: str) -> tuple[str, str]:
    return TIERS, "".join(f"        - {{{tier}, rate: 0.1}}\n" for tier in tiers)


@pytest.mark.parametrize(
    ("change", "key", "says"),
    [
        # Amounts, rates and counts out of bounds.
        (("period_cap: null", 'period_cap: {amount: "12345678901234567.89"}'), "period_cap.amount", "no more than 18 digits"),
        (("period_cap: null", 'period_cap: {amount: "1.005"}'), "period_cap.amount", "no more than 2 decimal places"),
        (("lifetime_cap: null", 'lifetime_cap: "-1"'), "lifetime_cap.amount", "greater than or equal to 0"),
        (("lifetime_cap: null", "lifetime_cap: much"), "lifetime_cap.amount", "'much' is no decimal number"),
        (('rate: "0.25"', 'rate: "1.25"'), "tiers.0.rate", "less than or equal to 1"),
        (('rate: "0.25"', 'rate: "-0.1"'), "tiers.0.rate", "greater than or equal to 0"),
        (under(DUE, 'withholding_tax_rate: "1"'), "withholding_tax_rate", "less than 1"),
        (('committed_fraction: "0.85"', "committed_fraction: 85"), "committed_fraction", "less than or equal to 1"),
        (("payment_terms_days: 60", "payment_terms_days: -1"), "payment_terms_days", "greater than or equal to 0"),
        # Tiers.
        (axes("tier_no: 1, axis: date, to: 2028-12-31", "tier_no: 1, axis: date, from: 2029-01-01"),
         "tiers.1.tier_no", "tier_no 1 stands twice"),
        (axes("tier_no: 1, axis: occupancy, from: 0, application: cliff", "tier_no: 2, axis: date", "tier_no: 3, axis: contract_month"),
         "tiers", "more than two axes"),
        (axes("tier_no: 1, axis: cumulative_base, from: -5"), "tiers.0.from", "is negative"),
        (axes("tier_no: 1, axis: cumulative_base, from: 0, to: 9", "tier_no: 2, axis: cumulative_base, from: 9, application: cliff"),
         "tiers.1.application", "mixes marginal and cliff"),
        # Terms of the share that do not go together.
        ((SHARE, SHARE.replace("pct_of_base", "pct_above_breakpoint")), "breakpoint_amount", "needs a breakpoint or a minimum"),
        (under(DUE, "breakpoint_amount: 5"), "breakpoint_amount", "uses no breakpoint"),
        (("minimum_guarantee: null", "minimum_guarantee: {amount: 5, period: year, creditable: true}"),
         "minimum_guarantee.creditable", "only a monthly minimum is creditable"),
        ((f"third_party_only   {SCOPES}\n      exclusions: [", f"incl_vendor_own_use {SCOPES}\n      exclusions: [vendor_rnd_use, "),
         "exclusions", "excluded and included at once"),
        # Steps of the backstop.
        ((RAMP, "ramp: [{from_month: 3, to_month: 1, fraction: 0.5}]"), "ramp.0.to_month", "ends before it begins"),
        (prices("from_month: 5, to_month: 2", "from_month: 6"), "buyback_price.0.to_month", "ends before it begins"),
        (prices("from_month: 1, to_month: 12", "from_month: 12"), "buyback_price.1.from_month", "overlaps the one before"),
        (prices("from_month: 1, to_month: 12", "from_month: 14"), "buyback_price.1.from_month", "leaves a gap"),
        (prices("from_month: 2"), "buyback_price.0.from_month", "month 1 has no price"),
        (("excluded_causes: [", "excluded_causes: [operator_fault, operator_fault, "), "excluded_causes", "stands twice"),
        (("    backstop:\n", "    backstop:\n      expiry_date: 2033-06-30\n"), "backstop.expiry_date", "outlives its contract"),
        (("    backstop:\n", "    backstop:\n      expiry_date: 2026-06-30\n"), "backstop.expiry_date", "ends before service commences"),
        # What a contract is.
        (("currency_code: USD", "currency_code: KWD"), "currency_code", "more than two decimal places"),
        (("park_id: my-park-1", "park_id: nowhere"), "park_id", "there is no readable park nowhere"),
        (("vendor_id: nvidia", "vendor_id: nobody"), "vendor_id", "there is no vendor nobody"),
        (("operator_id: ", "operator_id: another-"), "operator_id", "does not operate my-park-1"),
        (("valid_from: 2027-01-01", "valid_from: 2039-01-01"), "versions.0.valid_from", "begins after the contract's expiry"),
        (("valid_from: 2027-01-01", "valid_from: 2027-01-01\n    valid_to: 2026-01-01"), "versions.0.valid_to", "ends before it begins"),
        (("valid_from: 2027-01-01", "valid_from: 2027-01-01\n    valid_to: 2029-01-01"),
         "versions.0.valid_to", "before or after the contract"),
    ],
)  # fmt: skip
def test_a_malformed_term_is_named_by_its_key_with_what_is_wrong(
    tmp_path: Path, change: tuple[str, str], key: str, says: str
) -> None:
    found = messages(tmp_path, replaced(*change))
    assert any(key in message.split(": ", 1)[0] and says in message for message in found), found


AMENDMENT = """\
  - amendment_id: second
    valid_from: {valid_from}
    recorded_at: {recorded_at}
    covenants:
      - {{covenant_id: ltv, metric: ltv, operator: "<=", threshold: "0.8", test_frequency: year, consequence: sweep}}
"""


def test_two_versions_of_an_instrument_from_one_day_need_different_times_of_knowledge(tmp_path: Path) -> None:
    def amended(recorded_at: str) -> Callable[[str], str]:
        return lambda text: text + AMENDMENT.format(valid_from="2027-01-01", recorded_at=recorded_at)

    found = messages(tmp_path / "a", amended("2026-12-01T00:00:00Z"))
    assert any("same day" in message for message in found)
    assert messages(tmp_path / "b", amended("2027-03-01T00:00:00Z")) == []


def test_a_version_whose_end_overlaps_the_next_one_is_refused(tmp_path: Path) -> None:
    def with_end(day: str) -> Callable[[str], str]:
        return lambda text: (
            text.replace("    valid_from: 2027-01-01\n", f"    valid_from: 2027-01-01\n    valid_to: {day}\n").replace(
                "    revenue_share:\n", "    revenue_share:\n", 1
            )
            + AMENDMENT.format(valid_from="2028-01-01", recorded_at="2027-11-01T00:00:00Z")
        )

    found = messages(tmp_path / "a", with_end("2028-02-01"))
    assert any("covenants overlaps the next version" in message for message in found)


def test_a_list_of_shares_needs_names_that_differ(tmp_path: Path) -> None:
    def doubled(text: str) -> str:
        head, rest = text.split("    revenue_share:\n")
        block, tail = rest.split("    backstop:\n")
        lines = block.splitlines()
        item = "\n".join(["      - " + lines[0].strip(), *("  " + line for line in lines[1:])])
        return f"{head}    revenue_share:\n{item}\n{item}\n    backstop:\n{tail}"

    assert any("share_id share stands twice" in message for message in messages(tmp_path, doubled))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda text: text.replace("unsold_hours_x_price", "revenue_shortfall\n      make_up: {window_months: 3}"),
            "versions.0.backstop.make_up: revenue_shortfall buys no hours that could be made up",
        ),
        (
            lambda text: text.replace("unsold_hours_x_price", "unsold_hours_x_price\n      fx: {fix: month_end}"),
            "versions.0.backstop.fx: unsold_hours_x_price translates no revenue",
        ),
        (
            lambda text: text.replace(
                "    backstop:\n", "    backstop:\n      early_termination: [{ground: default, payer: vendor}]\n"
            ),
            "versions.0.backstop.early_termination.0.payer: there is nothing to pay",
        ),
        (
            lambda text: text.replace(
                "    backstop:\n", "    backstop:\n      early_termination: [{ground: default}, {ground: default}]\n"
            ),
            "versions.0.backstop.early_termination.1.ground: default stands twice",
        ),
        (
            lambda text: text.replace("unsold_hours_x_price", "lease_payment\n      make_up: {window_months: 3}"),
            "versions.0.backstop.make_up: lease_payment buys no hours that could be made up",
        ),
        (
            lambda text: text.replace("unsold_hours_x_price", "debt_service_shortfall\n      fx: {fix: month_end}"),
            "versions.0.backstop.fx: debt_service_shortfall translates no revenue",
        ),
        (
            lambda text: text.replace("reduces_with: [payment]", "reduces_with: [payment], cap_basis: indexed"),
            "versions.0.backstop.lifetime_cap.index: an indexed cap names no index",
        ),
        (
            lambda text: text.replace("reduces_with: [payment]", "reduces_with: [payment], index: cpi"),
            "versions.0.backstop.lifetime_cap.index: cpi moves no cap that is undiscounted",
        ),
        (
            lambda text: text.replace(
                "    backstop:\n",
                "    backstop:\n      residual_value_support_pct: 0.25\n      rv_date: 2028-01-31\n",
            ),
            "versions.0.backstop.rv_hardware_price_per_gpu: residual_value_support_pct stands without rv_hardware_price_per_gpu",
        ),
        (
            lambda text: text.replace(
                "    backstop:\n",
                "    backstop:\n      residual_value_support_pct: 0.25\n      rv_date: 1999-01-31\n"
                "      rv_hardware_price_per_gpu: 40000\n",
            ),
            "versions.0.backstop.rv_date: 1999-01-31 is no day of the backstop",
        ),
        (
            lambda text: text.replace(
                "negative_base: credit_note",
                'negative_base: credit_note\n      activation: [{metric: mood, operator: ">=", value: 5}]',
            ),
            "versions.0.revenue_share.0.activation.0.metric: 'mood' is not allowed",
        ),
        (
            lambda text: text.replace("{allowed: true, notice_days", "{allowed: false, clawback_pct: 0.5, notice_days"),
            "versions.0.backstop.seller_withdrawal.clawback_pct: the operator may not withdraw at all",
        ),
        (
            lambda text: text.replace("unsold_hours_x_price", "revenue_shortfall\n      fx: {fix: invoice_date}"),
            "versions.0.backstop.fx.fix: ",
        ),
    ],
)
def test_a_term_that_lacks_another_or_has_no_use_is_named(
    tmp_path: Path, change: Callable[[str], str], says: str
) -> None:
    [found] = messages(tmp_path, lambda text: change(text.replace("make_up: null", "")))
    assert found.startswith(says), found


@pytest.mark.parametrize(
    ("true_up", "says"),
    [
        (
            "due_days: 14",
            "versions.0.revenue_share.0.true_up.due_days: the true-up would be due 14 days after its year, before",
        ),
        ("interest: true", "versions.0.revenue_share.0.true_up.interest: there is no rate"),
        ("due_days: 90", None),
    ],
)
def test_a_true_up_is_due_after_it_is_stated_and_bears_interest_only_at_a_rate(
    tmp_path: Path, true_up: str, says: str | None
) -> None:
    given = f"negative_base: credit_note\n      true_up: {{frequency: contract_year, {true_up}}}"
    found = messages(tmp_path, replaced("negative_base: credit_note", given))
    assert found == [] if says is None else len(found) == 1 and found[0].startswith(says), found


@pytest.mark.parametrize(
    ("reserve", "says"),
    [
        ("reserve_pct: 0.1", "reserve_release_months: reserve_pct stands without reserve_release_months"),
        ("reserve_release_months: 6", "reserve_pct: reserve_release_months stands without reserve_pct"),
        ("reserve_pct: 1\n      reserve_release_months: 6", "reserve_pct: "),
        ("reserve_pct: 0.1\n      reserve_release_months: 6", None),
    ],
)
def test_a_reserve_says_how_much_for_how_long(tmp_path: Path, reserve: str, says: str | None) -> None:
    found = messages(tmp_path, replaced("negative_base: credit_note", f"negative_base: credit_note\n      {reserve}"))
    assert found == [] if says is None else len(found) == 1 and says in found[0], found


ADVANCE = "{advance_id: a, advance_type: cash, face_amount: 100, grant_date: 2027-02-01, recoup_order: from_share, recoupment_rate: "


@pytest.mark.parametrize(
    ("advances", "says"),
    [
        ((ADVANCE + "0.5, recoupment_source: [other]}",), None),
        ((ADVANCE + "0.5, unit: token}",), "has no price"),
        ((ADVANCE + "0.5, currency_code: AUD}",), "is in AUD"),
        ((ADVANCE + "0.5, expiry_date: 2027-01-01}",), "expires before"),
        ((ADVANCE + "0.6}", ADVANCE.replace("advance_id: a", "advance_id: b") + "0.6}"), "add up to 1.2"),
    ],
)
def test_an_advance_that_cannot_be_recouped_is_refused(
    tmp_path: Path, advances: tuple[str, ...], says: str | None
) -> None:
    lines = "".join(f"      - {advance}\n" for advance in advances)
    found = messages(tmp_path, lambda text: text + f"    token_advances:\n{lines}")
    assert (not found) if says is None else any(says in message for message in found), found


def test_a_natural_breakpoint_over_tiers_on_the_share_paid_stands_beside_all_that_hangs_on_it(tmp_path: Path) -> None:
    def natural(also: str, *second_axis: str) -> Callable[[str], str]:
        tiers = with_tiers(
            "axis: cumulative_share_paid, from: 0, to: 100, rate: 0.2",
            "axis: cumulative_share_paid, from: 100, rate: 0.1",
            *second_axis,
        )
        minimum = '      minimum_guarantee: {amount: "10", period: month}'
        return lambda text: (
            tiers(text)
            .replace("share_basis: pct_of_base ", "share_basis: pct_above_breakpoint ", 1)
            .replace("      minimum_guarantee: null", minimum + also, 1)
        )

    assert messages(tmp_path / "a", natural("")) == []
    both = "\n      combine: min"
    months = [f"axis: contract_month, {months}" for months in ("from: 1, to: 12, rate: 0.2", "from: 13, rate: 0.1")]
    assert messages(tmp_path / "b", natural(both, *months)) == []
    prices = [
        f"axis: price_per_gpu_hour, application: cliff, {band}"
        for band in ("from: 0, to: 2, rate: 0.2", "from: 2, rate: 0.1")
    ]
    bases = [f"axis: cumulative_base, {band}" for band in ("from: 0, to: 2, rate: 0.2", "from: 2, rate: 0.1")]
    for name, also, second_axis in (
        ("c", "\n      true_up: {frequency: contract_year}", ()),
        ("d", '\n      activation: [{metric: base, operator: ">=", value: 5}]', ()),
        ("e", both, prices),
        ("f", both, bases),
    ):
        assert messages(tmp_path / name, natural(also, *second_axis)) == []


def test_an_advance_recouped_from_the_share_may_be_turned_to_the_base_by_an_amendment(tmp_path: Path) -> None:
    def amended(order: str) -> Callable[[str], str]:
        later = ADVANCE.replace("from_share", order) + "0.5}"
        return lambda text: (
            f"{text}    token_advances:\n      - {ADVANCE}0.5}}\n  - amendment_id: second\n    valid_from: 2028-01-01\n"
            f"    recorded_at: 2027-11-01T00:00:00Z\n    token_advances:\n      - {later}\n"
        )

    for order in ("before_share", "parallel", "from_share"):
        assert messages(tmp_path / order, amended(order)) == []


def test_every_value_of_the_schema_that_changes_an_amount_is_computed(tmp_path: Path) -> None:
    home = load_home(make_home(tmp_path))
    used = {name for name, _ in features(home.contracts[CONTRACT_ID])}
    assert used <= COMPUTED
    for model, field, named in (
        (schema.Tier, "axis", "tier_axis"),
        (schema.RevenueShare, "share_basis", "share_basis"),
        (schema.RevenueShare, "base_measure", "base_measure"),
        (schema.RevenueShare, "base_scope", "base_scope"),
        (schema.RevenueShare, "negative_base", "negative_base"),
        (schema.RevenueShare, "accrual_period", "accrual_period"),
        (schema.ActivationCriterion, "metric", "activation"),
        (schema.MinimumGuarantee, "period", "minimum_guarantee"),
        (schema.PeriodCap, "period", "share.period_cap"),
        (schema.PeriodCap, "period", "backstop.period_cap"),
        (schema.TokenAdvance, "recoup_order", "token_advances"),
        (schema.Backstop, "settlement_type", "settlement_type"),
        (schema.Backstop, "excluded_causes", "excluded_causes"),
        (schema.EffectiveCondition, "event", "effective_condition"),
        (schema.BackstopLifetimeCap, "reduces_with", "lifetime_cap"),
        (schema.BackstopLifetimeCap, "cap_basis", "cap_basis"),
        (schema.SetOff, "scope", "set_off"),
        (schema.Resale, "proceeds_to", "resale"),
    ):
        values = literals(model.model_fields[field].annotation)
        assert values, (model, field)
        assert {f"{named}.{value}" for value in values} <= COMPUTED, (model, field)


def literals(annotation: object) -> set[str]:
    """The values of the Literal in a type, whatever it stands in."""
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return set(parts)
    return {value for part in parts for value in literals(part)}
