"""What the paths do beyond their closed forms: withdrawal, antithetic numbers, tranches taken together; and the lifetime
engine's two forms against a plain one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from jobs_home import backstop, event, home, invoice, lease, month_list
from scipy import special

from orchestration.polars_jobs import backstop_paths as paths
from orchestration.polars_jobs import lifetime_ecl as engine
from orchestration.polars_jobs import programme
from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.expected_loss import share_days, unbilled_days
from orchestration.polars_jobs.frames import RowsBy
from orchestration.polars_jobs.receivables import read_closes

MONTHS = 24
FLAT = np.ones(MONTHS)
NAMES = ["alpha", "beta", "gamma"]


def tranche(name, hours, start=0, ramp=(), **over):
    installed = hours * (np.arange(MONTHS) >= start)
    rising = np.ones(MONTHS)
    rising[start : start + len(ramp)] = ramp
    committed = 0.85 * rising * installed
    return replace(paths.Tranche(name, installed, committed, 0.05 * committed, 0 * FLAT, 2.0 * FLAT, leases=[]), **over)


def book(tranches, **over):
    given = paths.Book(
        tranches=tranches,
        caps=paths.Caps(np.arange(MONTHS), period_cap=9e4, lifetime_left=1e6),
        occupancy=paths.Occupancy(0.80, 0.80, 0.90, 0.35),
        price=paths.Price(2.4, 2.4, 1.0, 0.45, 0.5, -0.15),
        operator_pd=0.004 * FLAT,
        tenant_pd=0.004 * FLAT,
        tenant_count=0,
        renewal_probability=0.5,
        survives_insolvency=False,
        discount=0.99 ** np.arange(MONTHS),
        pay_discount=0.98 ** np.arange(MONTHS),
        share_rate=0.25 * FLAT,
        floor_price=0.0,
        outstanding_months=3,
        exposure_now=0.0,
        lgd=0.6,
        set_off=False,
        resale_fraction=0.25,
    )
    return replace(given, **over)


BASE = paths.Loadings(0.45, 0.45, 0.45)
SHOCKS = paths.draw_shocks(7, 1_000, MONTHS)


def claims(given, loadings=BASE, shocks=SHOCKS):
    return paths.simulate(given, shocks, loadings)


# --- tranches taken together ----------------------------------------------------------------------


@pytest.mark.parametrize("loading", [0.0, 0.45, 0.7])
@pytest.mark.parametrize("over", [{}, {"floor_price": 1.5}, {"resale_fraction": 0.0}, {"survives_insolvency": True}])
def test_many_tranches_give_what_a_plain_sum_over_tranches_gives(loading, over):
    """The plain way: every path, month and tranche by the formulas of DOMAIN.md, 5 and 9, one after the other."""
    tranches = [
        tranche("a", 1e5),
        tranche("b", 2e5, start=4, ramp=(0.5, 0.5)),
        tranche("c", 5e4, deductible=0 * FLAT, buyback_price=2.5 * FLAT),
        tranche("d", 8e4, vendor_use=1e4 * FLAT),
    ]
    given = book(tranches, **over)
    found = claims(given, paths.Loadings(loading, loading, loading))
    own = math.sqrt(1 - loading**2)
    level = np.full(1_000, special.logit(0.8))
    factor, alive = SHOCKS.factor_start, np.ones(1_000)
    left, total, share = np.full(1_000, 1e6), np.zeros(1_000), np.zeros(1_000)
    price = paths.price_paths(given.price, loading * SHOCKS.factor + own * SHOCKS.price, SHOCKS.jump)
    for month in range(MONTHS):
        shock = loading * SHOCKS.factor[:, month] + own * SHOCKS.occupancy[:, month]
        level = special.logit(0.8) + 0.9 * (level - special.logit(0.8)) + 0.35 * shock
        factor = 0.9 * factor + math.sqrt(1 - 0.81) * SHOCKS.factor[:, month]
        alive = alive * (1 - special.ndtr((special.ndtri(0.004) - loading * factor) / own))
        solvent = alive >= SHOCKS.operator
        claim, sold_hours = np.zeros(1_000), np.zeros(1_000)
        for t in tranches:
            sold = np.minimum(special.expit(level) * t.installed[month], t.installed[month] - t.vendor_use[month])
            unsold = np.maximum(0, t.committed[month] - sold - t.vendor_use[month])
            claim += np.maximum(0, unsold - t.deductible[month]) * t.buyback_price[month]
            sold_hours += sold
        claim = np.minimum(np.minimum(claim, 9e4), left)
        left -= claim
        total += claim * (solvent | given.survives_insolvency)
        share += 0.25 * np.maximum(0, price[:, month] - given.floor_price) * sold_hours * solvent
    assert found.claims == pytest.approx(total, rel=1e-9)
    assert found.share == pytest.approx(share, rel=1e-9)


def test_one_tranche_or_its_two_halves_are_the_same():
    whole, halves = book([tranche("a", 2e5)]), book([tranche("a", 1e5), tranche("b", 1e5)])
    assert claims(whole).claims == pytest.approx(claims(halves).claims, rel=1e-12)


def test_the_order_of_tranches_and_of_paths_is_nobodys():
    tranches = [tranche("a", 1e5), tranche("b", 2e5, start=4), tranche("c", 5e4, deductible=0 * FLAT)]
    first = claims(book(tranches))
    assert claims(book(tranches[::-1])).claims == pytest.approx(first.claims, rel=1e-12)
    order = np.random.default_rng(1).permutation(1_000)
    shuffled = paths.Shocks(*(np.asfortranarray(part[order]) for part in SHOCKS))
    assert claims(book(tranches), shocks=shuffled).claims == pytest.approx(first.claims[order], rel=1e-12)


# --- guaranteed revenue ---------------------------------------------------------------------------


def test_a_revenue_guarantee_pays_on_each_path_what_each_tranche_s_own_revenue_falls_short_of_it():
    """The plain way. A tranche that earns more helps none that earns less; hours are not bought, so none are resold."""
    tranches = [
        tranche("a", 1e5),
        tranche("b", 5e4, start=4, buyback_price=3.0 * FLAT),
        tranche("c", 8e4, vendor_use=1e4 * FLAT),
    ]
    given = book(tranches, guarantees_revenue=True, caps=paths.NO_CAPS, survives_insolvency=True)
    found = claims(given)
    own = math.sqrt(1 - 0.45**2)
    price = paths.price_paths(given.price, 0.45 * SHOCKS.factor + own * SHOCKS.price, SHOCKS.jump)
    occupied = paths.occupancy_paths(given.occupancy, 0.45 * SHOCKS.factor + own * SHOCKS.occupancy)
    total = np.zeros(1_000)
    for month in range(MONTHS):
        for t in tranches:
            sold = np.minimum(occupied[:, month] * t.installed[month], t.installed[month] - t.vendor_use[month])
            guaranteed = max(0, t.committed[month] - t.vendor_use[month] - t.deductible[month]) * t.buyback_price[month]
            total += np.maximum(0, guaranteed - sold * price[:, month])
    assert found.claims == pytest.approx(total, rel=1e-9)
    assert found.claims.mean() > 0
    assert not found.resale.any()


def test_dear_hours_that_stand_empty_are_bought_and_not_made_up_and_cheap_ones_the_other_way_round():
    dear, cheap = ({"caps": paths.NO_CAPS, "price": paths.Price(p, p, 1.0, 0.0, 0.0, 0.0)} for p in (6.0, 0.5))
    hours = tranche("a", 1e5)
    full = hours.__class__(**{**hours.__dict__, "deductible": 0 * FLAT, "committed": 0.5 * hours.installed})
    for prices, guaranteed_costs_more in ((dear, False), (cheap, True)):
        bought, made_up = (
            claims(book([full], **prices, guarantees_revenue=flag)).claims.mean() for flag in (False, True)
        )
        assert bool(made_up > bought) is guaranteed_costs_more


def test_the_terms_say_whether_the_paths_guarantee_revenue():
    bought, made_up = _worth(), _worth(settlement_type="revenue_shortfall")
    assert made_up["expected_amount"] != bought["expected_amount"]
    assert made_up["expected_resale_present_value_amount"] == 0


# --- reserves -------------------------------------------------------------------------------------


def test_what_is_withheld_of_older_months_is_lost_with_the_operator_too():
    """A default in the last month of a steady share: three whole months are owed, and a tenth of the six before them."""
    steady = {"occupancy": paths.Occupancy(0.8, 0.8, 0.9, 0.0), "price": paths.Price(2.4, 2.4, 1.0, 0.0, 0.0, 0.0)}
    failing = np.where(np.arange(MONTHS) == MONTHS - 1, 1.0, 0.0)
    given = book([tranche("a", 1e5)], operator_pd=failing, **steady)
    plain = paths.simulate(given, SHOCKS, paths.Loadings(0.0, 0.0, 0.0)).receivable_loss
    held = paths.simulate(
        replace(given, reserve_fraction=0.1, reserve_months=6), SHOCKS, paths.Loadings(0.0, 0.0, 0.0)
    ).receivable_loss
    a_month = 0.25 * 0.8 * 1e5 * 2.4
    assert plain == pytest.approx(0.6 * 3 * a_month * given.discount[MONTHS - 1])
    assert held == pytest.approx(0.6 * 3.6 * a_month * given.discount[MONTHS - 1])


def test_a_reserve_makes_the_share_wait_its_months_longer_in_the_mean():
    months = month_list(date(2027, 10, 1), 2)
    close = read_closes(home(months, [invoice(date(2027, 9, 1), "1.00")])["intermediate.int_closes"])[-1]
    row = {
        "contract_id": close.contract_id,
        "amendment_id": "original",
        "valid_from": date(2026, 10, 1),
        "recorded_at": datetime(2026, 6, 12, tzinfo=UTC),
        "statement_due_days": 15,
        "payment_terms_days": 45,
    }
    plain = RowsBy(pl.DataFrame([row]))
    assert (share_days(plain, close), unbilled_days(plain, close)) == (60, 60)
    held = RowsBy(pl.DataFrame([{**row, "reserve_fraction": Decimal("0.2"), "reserve_release_months": 12}]))
    # A fifth waits a year longer. Of what is unbilled 1 part is due in 60 days, and twelve fifths after 1 to 12 months more.
    assert share_days(held, close) == 60 + 73
    assert unbilled_days(held, close) == 60 + round(0.2 * 78 * 365 / 12 / 3.4)


# --- withdrawal -----------------------------------------------------------------------------------


def test_an_operator_withdraws_unsold_capacity_a_notice_after_the_market_pays_more():
    dear = paths.Price(4.0, 4.0, 1.0, 0.0, 0.0, 0.0)
    uncapped = {"caps": paths.NO_CAPS, "price": dear, "survives_insolvency": True}
    kept = claims(book([tranche("a", 1e5)], **uncapped)).claims_by_month
    rule = paths.Withdrawal(notice_months=3, premium_fraction=0.25, fraction=0.4, recall=True)
    gone = claims(book([tranche("a", 1e5)], withdrawal=rule, **uncapped)).claims_by_month
    assert gone[:3] == pytest.approx(kept[:3])
    assert gone[3:] == pytest.approx(0.6 * kept[3:])
    cheap = {**uncapped, "price": paths.Price(2.4, 2.4, 1.0, 0.0, 0.0, 0.0)}
    assert claims(book([tranche("a", 1e5)], withdrawal=rule, **cheap)).claims_by_month == pytest.approx(kept)


def test_without_recall_what_is_withdrawn_never_comes_back():
    rule = paths.Withdrawal(0, 0.25, 1.0, recall=True)
    with_recall = claims(book([tranche("a", 1e5)], withdrawal=rule)).claims.mean()
    without = claims(book([tranche("a", 1e5)], withdrawal=rule._replace(recall=False))).claims.mean()
    assert 0 < without < with_recall < claims(book([tranche("a", 1e5)])).claims.mean()


@pytest.mark.parametrize("recall", [True, False])
def test_who_withdraws_on_a_path_gives_back_the_agreed_part_of_the_claims_for_it_and_never_more(recall):
    rule = paths.Withdrawal(2, 0.1, 0.4, recall=recall, claw_back_fraction=0.5)
    given = book([tranche("a", 1e5)], withdrawal=rule, caps=paths.NO_CAPS, survives_insolvency=True, claimed_amount=1e5)
    given = replace(given, operator_pd=0 * FLAT)
    found = paths.month_paths(given, SHOCKS, BASE)
    own = math.sqrt(1 - 0.45**2)
    price = paths.price_paths(given.price, 0.45 * SHOCKS.factor + own * SHOCKS.price, SHOCKS.jump)
    for path in range(200):
        claimed, back, was_away = 1e5, 0.0, False
        for month in range(MONTHS):
            away = month >= 2 and price[path, month - 2] > 1.1 * 2.0
            away = away or (was_away and not recall)
            amount = min(0.4 * 0.5 * claimed, 0.5 * claimed - back) if away and not was_away else 0.0
            assert found.claw_back[path, month] == pytest.approx(amount, rel=1e-9, abs=1e-6)
            back, claimed, was_away = back + amount, claimed + found.claims[path, month], away
        assert back <= 0.5 * claimed
    assert found.claw_back.sum() > 0
    assert claims(given).claw_back == pytest.approx(found.claw_back @ given.pay_discount)


def test_the_terms_say_what_a_withdrawal_takes_back_on_the_paths():
    rule = {"withdrawal_allowed": True, "withdrawal_notice_days": 0, "withdrawal_recall": True}
    name = "expected_claw_back_present_value_amount"
    assert _worth(**rule)[name] == 0
    assert _worth(**rule, withdrawal_claw_back_fraction=Decimal("0.3"))[name] > 0


def _worth(events=(), policy=None, *, index=None, plan=None, leases=None, fx=None, amended=None, **terms):
    """The base case at the last close; None where there is nothing ahead."""
    months = month_list(date(2027, 10, 1), 2)
    frames = backstop(
        home(
            months,
            [invoice(date(2027, 9, 1), "100000.00")],
            events=list(events),
            policy={"path_count": "600", **(policy or {})},
        ),
        **terms,
    )
    if index is not None:
        frames["raw.backstop_price"] = frames["raw.backstop_price"].with_columns(index_id=pl.lit(index))
    if amended is not None:
        own = frames["raw.backstop_terms"]
        later = own.with_columns(amendment_id=pl.lit("second"), **{name: pl.lit(day) for name, day in amended.items()})
        frames["raw.backstop_terms"] = pl.concat([own, later.cast(own.schema)])
    if plan is not None:
        frames["core.dim_tranche"] = frames["core.dim_tranche"].with_columns(planned_date=pl.lit(plan))
    if leases is not None:
        frames["staging.stg_leases"] = pl.DataFrame(leases)
    if fx is not None:
        frames["raw.fx_rate"] = fx
    made = {**frames, **programme.receivables_group(frames)}
    out = programme.backstop_worth_group(made)["credit.fct_backstop_distribution_month"]
    rows = out.filter((pl.col("month") == date(2027, 11, 1)) & (pl.col("correlation_case") == "base"))
    return None if rows.is_empty() else rows.row(0, named=True)


def _withdrawn(kind, day, gpus):
    return {**event(f"{kind}-{day}", kind, day), "gpu_count": gpus}


def test_capacity_that_was_withdrawn_is_claimed_for_no_more_until_its_recall():
    right = {"withdrawal_allowed": True, "withdrawal_notice_days": 30, "withdrawal_recall": True}
    unused = {"withdrawal_fraction": "0"}
    whole = _worth(policy=unused, **right)["expected_amount"]
    away = _withdrawn("withdrawal", date(2027, 10, 5), 1_000)
    half = _worth([away], policy=unused, **right)["expected_amount"]
    assert float(half) == pytest.approx(float(whole) / 2, rel=0.05), "all but the month of notice"
    back = _worth([away, _withdrawn("recall", date(2027, 11, 20), 1_000)], policy=unused, **right)["expected_amount"]
    assert back == whole
    assert _worth(**right)["expected_amount"] < whole, "the right is used where the market pays more"


def test_an_annual_cap_begins_anew_with_the_contract_year_beside_the_monthly_one():
    caps = paths.Caps(
        np.arange(5), period_cap=60.0, annual_cap=90.0, annual_used=10.0, year_of_month=np.array([0, 0, 0, 1, 1])
    )
    assert paths.cap_claims(np.full((1, 5), 70.0), caps).tolist() == [[60.0, 20.0, 0.0, 60.0, 30.0]]


def test_terms_of_the_backstop_that_the_books_compute_act_on_the_paths_too():
    whole = _worth()["expected_amount"]
    assert _worth(annual_cap_amount=Decimal("1000.00"))["expected_amount"] <= Decimal("6000.00")
    assert _worth(first_loss_band=Decimal("0.30"))["expected_amount"] < whole
    small = _withdrawn("withdrawal", date(2027, 10, 5), 10)
    right = {"withdrawal_allowed": True, "withdrawal_notice_days": 0, "withdrawal_tranche_min": 100}
    unused = {"withdrawal_fraction": "0"}
    assert _worth([small], policy=unused, **right)["expected_amount"] == whole


def test_an_indexed_price_moves_claims_with_the_last_level_known():
    def level(name, day, value):
        return event(name, "price_index", day, payload=f'{{"index": "cpi", "level": {value}}}')

    whole = _worth()["expected_amount"]
    known = [level("x1", date(2026, 9, 1), 100), level("x2", date(2027, 10, 1), 110)]
    later = level("x3", date(2027, 12, 1), 200)
    assert float(_worth([*known, later], index="cpi")["expected_amount"]) == pytest.approx(1.1 * float(whole), rel=0.01)
    assert _worth(known)["expected_amount"] == whole, "a price that names no index does not move"


# --- when the backstop begins and ends, whose events count, and in which currency -----------------

TRANCHE = "sharon-au-1-a"


@pytest.mark.parametrize(("condition", "kind"), [("acceptance", "acceptance"), ("COD", "commercial_operation")])
def test_a_tranche_that_waits_for_an_event_is_covered_from_tomorrow_or_from_the_event_and_within_its_longstop(
    condition, kind
):
    waiting = {"effective_event": condition, "longstop_days": 420}
    whole = _worth()["expected_amount"]
    assert _worth(**waiting)["expected_amount"] == whole, "what has not come is taken for tomorrow"
    happened = {**event("e", kind, date(2027, 10, 5)), "tranche_id": TRANCHE, "contract_id": None}
    assert _worth([happened], **waiting)["expected_amount"] == whole
    # It is known that it comes in March: the months to then are not covered.
    march = {**happened, "effective_at": datetime(2028, 3, 9, 12, tzinfo=UTC)}
    assert 0 < _worth([march], **{**waiting, "longstop_days": 600})["expected_amount"] < whole
    elsewhere = {**march, "tranche_id": "another", "contract_id": None}
    assert _worth([elsewhere], **waiting)["expected_amount"] == whole
    late = {**waiting, "longstop_days": 300}
    assert _worth(plan=date(2026, 10, 1), **late)["expected_amount"] == 0, "tomorrow is beyond the longstop"
    assert _worth([happened], plan=date(2026, 10, 1), **{**waiting, "longstop_days": 370})["expected_amount"] == whole
    assert _worth([happened], plan=date(2026, 10, 1), **{**waiting, "longstop_days": 369})["expected_amount"] == 0


def test_a_tranche_that_waits_for_its_first_lease_is_covered_once_the_lease_begins():
    own = {"effective_event": "lease_commencement", "longstop_days": None}
    free = _worth(leases=[lease("l", 10, date(2027, 1, 1), date(2033, 1, 1))])["expected_amount"]
    running = _worth(leases=[lease("l", 10, date(2027, 1, 1), date(2033, 1, 1))], **own)["expected_amount"]
    ahead = {"recorded_at": datetime(2027, 10, 1, tzinfo=UTC)}
    to_come = _worth(leases=[lease("l", 10, date(2029, 1, 1), date(2033, 1, 1), **ahead)], **own)["expected_amount"]
    assert running == free
    assert 0 < to_come < running


def test_a_contract_that_was_terminated_has_no_months_ahead_and_one_that_will_be_has_those_before():
    ended = event("t", "termination", date(2027, 11, 5))
    assert _worth([ended]) is None
    half = date(2030, 5, 1)
    known = {**event("t", "termination", half), "recorded_at": datetime(2027, 10, 20, tzinfo=UTC)}
    assert _worth([known])["horizon_months"] == 29
    assert _worth([known])["horizon_months"] < _worth()["horizon_months"] == 58
    later = {**known, "recorded_at": datetime(2028, 1, 1, tzinfo=UTC)}
    assert _worth([later])["expected_amount"] == _worth()["expected_amount"], "not known yet"


def test_an_event_of_the_whole_park_reaches_its_contracts_and_one_of_another_park_does_not():
    gone = {**event("i", "insolvency", date(2027, 10, 20)), "contract_id": None}
    assert _worth([gone])["expected_amount"] == 0
    assert _worth([{**gone, "park_id": "elsewhere"}])["expected_amount"] == _worth()["expected_amount"]
    away = {**_withdrawn("withdrawal", date(2027, 10, 5), 2_000), "contract_id": None, "tranche_id": TRANCHE}
    assert _worth([away], withdrawal_allowed=True, withdrawal_notice_days=0)["expected_amount"] == 0


def test_proceeds_that_the_operator_keeps_are_nothing_to_the_vendor():
    name = "expected_resale_present_value_amount"
    assert _worth(resale_proceeds_to="vendor")[name] == _worth()[name] > 0
    assert _worth(resale_proceeds_to="operator")[name] == 0


def test_a_lease_in_another_currency_pays_at_the_last_rate_and_without_any_it_is_named():
    full = {"leases": [lease("l", 2_000, date(2027, 1, 1), date(2033, 1, 1), "3.00")]}
    foreign = {"leases": [{**full["leases"][0], "currency_code": "AUD"}]}
    rates = [(date(2027, 9, 30), 0.70), (date(2027, 11, 29), 0.50), (date(2027, 12, 15), 0.90)]
    rates = [(day, "AUD", "USD", rate) for day, rate in rates]
    fx = pl.DataFrame(rates, schema=["rate_date", "from_currency", "to_currency", "rate"], orient="row")
    half = _worth(fx=fx, **foreign)["expected_share_amount"]
    assert float(half) == pytest.approx(float(_worth(**full)["expected_share_amount"]) / 2, rel=1e-6)
    with pytest.raises(
        CreditInputError,
        match=r"currency of lease l is 'AUD'; there is no rate into USD on or before .*reference/fx.csv, 2.*,AUD,USD,",
    ) as caught:
        _worth(**foreign)
    assert caught.value.obligor == "sharon-nvda-2026"


def test_a_term_that_the_paths_leave_out_is_named_with_its_reason_and_all_others_leave_none():
    assert _worth()["terms_left_out"] is None
    said = _worth(excluded_causes=["late_delivery", "force_majeure"])["terms_left_out"]
    assert said.startswith("excluded_causes (force_majeure, late_delivery): no outage is foreseen")
    assert _worth(settlement_type="lease_payment")["terms_left_out"].startswith(
        "settlement_type lease_payment: taken for"
    )
    assert _worth(rv_date=date(2032, 1, 1))["terms_left_out"].startswith(
        "residual_value_support_pct: another instrument"
    )
    to_come = {"valid_from": date(2027, 12, 1), "recorded_at": datetime(2027, 11, 20, tzinfo=UTC)}
    assert _worth(amended=to_come)["terms_left_out"].startswith("amendment second from 2027-12-01: the terms in force")
    assert _worth(amended={**to_come, "recorded_at": datetime(2028, 1, 1, tzinfo=UTC)})["terms_left_out"] is None


# --- antithetic numbers ---------------------------------------------------------------------------


def test_mirrored_paths_sum_to_nothing_and_independent_ones_have_numbers_of_their_own():
    mirrored, own = paths.draw_shocks(3, 1_000, 5), paths.draw_shocks(3, 1_001, 5, antithetic=False)
    assert np.abs(mirrored.factor[:500] + mirrored.factor[500:]).max() == 0
    assert len(np.unique(own.factor)) == 1_001 * 5
    with pytest.raises(CreditInputError, match="number of paths is 1001"):
        paths.draw_shocks(3, 1_001, 5)


def test_both_ways_of_drawing_agree_within_their_errors_and_say_which_it_was():
    mirrored, own = _worth(), _worth(policy={"antithetic_paths": "false"})
    assert (mirrored["antithetic"], own["antithetic"]) == (True, False)
    error = math.hypot(float(mirrored["standard_error_amount"]), float(own["standard_error_amount"]))
    assert abs(float(mirrored["expected_amount"]) - float(own["expected_amount"])) < 4 * error
    assert mirrored["standard_error_amount"] < own["standard_error_amount"]


# --- closed forms ---------------------------------------------------------------------------------

INTERCEPT = float(special.ndtri(0.80))


def test_d1_mean_probability_and_tail_come_in_closed_form():
    draw = paths.probit_draw(INTERCEPT, 0.5, 0.70)
    assert tuple(draw) == pytest.approx((0.7742056056, 0.2628963857, 0.0299492871), abs=1e-10)
    full = 730_000 * 2.00
    for level, risk, shortfall in (
        (0.95, 280_820.79, 399_251.67),
        (0.99, 476_112.15, 563_546.91),
        (0.999, 670_324.42, 727_194.15),
    ):
        found = paths.probit_draw_tail(INTERCEPT, 0.5, 0.70, level)
        assert [full * value for value in found] == pytest.approx([risk, shortfall], abs=0.01)
    assert paths.probit_draw(INTERCEPT, -0.5, 0.70) == draw
    assert paths.probit_draw(INTERCEPT, 0.0, 0.90).shortfall == pytest.approx(0.10)
    with pytest.raises(CreditInputError, match="floor is 1"):
        paths.probit_draw(INTERCEPT, 0.5, 1.0)


def test_d3_quantity_times_price_comes_in_closed_form():
    given = {"forward": 2.5 * math.exp(-0.25), "volatility": 0.45, "strike": 2.0}
    # The third published figure, 0.0292971312, differs in its sixth digit from two independent integrations.
    for correlation, expected in ((0.0, 0.0113339501), (0.5, 0.0219973704), (0.8, 0.0292973132)):
        found = paths.price_and_quantity_shortfall(INTERCEPT, 0.5, 0.70, correlation=correlation, **given)
        assert found == pytest.approx(expected, abs=5e-10)


@pytest.mark.parametrize("losses", [[], [1.0, float("nan")]])
def test_a_tail_of_no_losses_or_of_what_is_no_number_is_an_error(losses):
    for statistic in (paths.value_at_risk, paths.expected_shortfall):
        with pytest.raises(CreditInputError):
            statistic(np.array(losses), 0.95)


# --- lifetime loss in its two forms ---------------------------------------------------------------


def _random(obligors=7, periods=9, scenarios=3):
    random = np.random.default_rng(11)
    return {
        "hazard": random.uniform(0, 0.2, (scenarios, obligors)),
        "lgd": random.uniform(0, 1, obligors),
        "ead": random.uniform(0, 1e6, obligors),
        "profile": np.linspace(1, 0.2, periods),
        "eir": random.uniform(-0.02, 0.2, obligors),
        "weights": np.array([0.5, 0.3, 0.2]),
    }


def test_backwards_in_blocks_is_the_plain_sum_over_periods():
    r = _random(obligors=2_003)
    periods = len(r["profile"])
    hazard = np.random.default_rng(5).uniform(0, 0.3, (3, 2_003, periods))
    ead, tau = r["ead"][:, None] * r["profile"], np.arange(1, periods + 1) / 4
    found = engine.lifetime_ecl(hazard, r["lgd"][:, None], ead, eir=r["eir"], tau_years=tau, weights=r["weights"])
    plain = (engine.marginal_pd(hazard) * r["lgd"][:, None] * ead * (1 + r["eir"][:, None]) ** -tau).sum(axis=2)
    assert found.by_scenario == pytest.approx(plain, rel=1e-12)
    assert found.weighted == pytest.approx(r["weights"] @ plain, rel=1e-12)


def test_the_geometric_form_equals_the_general_one():
    r = _random()
    tau = np.arange(1, len(r["profile"]) + 1) / 4
    general = engine.lifetime_ecl(
        r["hazard"][:, :, None],
        r["lgd"][:, None],
        r["ead"][:, None] * r["profile"],
        eir=r["eir"],
        tau_years=tau,
        weights=r["weights"],
    )
    flat = engine.geometric_ecl(
        r["hazard"], r["lgd"], r["ead"], r["profile"], eir=r["eir"], period_years=0.25, weights=r["weights"]
    )
    assert flat.by_scenario == pytest.approx(general.by_scenario, rel=1e-12)
    assert flat.weighted == pytest.approx(general.weighted, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("conditional_pd", [[0.1, 1.2, 0.1]], "conditional default probability"),
        ("lgd", [0.5, float("nan"), 0.5], "loss given default"),
        ("ead", [1.0, -1.0, 1.0], "exposure at default"),
        ("eir", [0.1, -1.0, 0.1], "effective interest rate"),
    ],
)
def test_the_geometric_form_names_who_and_what_is_out_of_range(name, value, field):
    good = {
        "conditional_pd": [[0.1] * 3],
        "lgd": [0.5] * 3,
        "ead": [1.0] * 3,
        "amortisation": [1.0, 0.5],
        "eir": 0.1,
        "period_years": 0.25,
        "weights": [1.0],
        "obligors": NAMES,
    }
    with pytest.raises(CreditInputError, match=f"obligor beta: {field}") as caught:
        engine.geometric_ecl(**{**good, name: value})
    assert caught.value.obligor == "beta"
