"""The backstop's Monte Carlo against its closed forms, and what it says of a contract."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from jobs_home import CONTRACT, backstop, home, invoice, lease, month_list
from scipy import special

from orchestration.polars_jobs import backstop_liability as basis
from orchestration.polars_jobs import backstop_paths as paths
from orchestration.polars_jobs import backstop_worth as worth
from orchestration.polars_jobs import programme
from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.programme import run_all

HOURS, PRICE = 730_000.0, 2.0


def test_d1_the_probit_shortfall_is_0_0299492871_in_closed_form():
    assert paths.probit_shortfall(float(special.ndtri(0.80)), 0.5, 0.70) == pytest.approx(0.0299492871, abs=1e-10)


def test_d1_draws_their_tail_and_their_mean_agree_with_the_closed_form():
    grid = special.ndtri((np.arange(1_000_000) + 0.5) / 1_000_000)
    utilisation = special.ndtr(special.ndtri(0.80) + 0.5 * grid)
    draw = paths.shortfall_hours(0.70 * HOURS, utilisation * HOURS) * PRICE
    assert utilisation.mean() == pytest.approx(0.7742056056, abs=1e-6)
    assert (draw > 0).mean() == pytest.approx(0.2628963857, abs=1e-5)
    assert draw.mean() == pytest.approx(43_725.96, abs=0.5)
    for level, risk, shortfall in (
        (0.95, 280_820.79, 399_251.67),
        (0.99, 476_112.15, 563_546.91),
        (0.999, 670_324.42, 727_194.15),
    ):
        assert paths.value_at_risk(draw, level) == pytest.approx(risk, rel=1e-4)
        assert paths.expected_shortfall(draw, level) == pytest.approx(shortfall, rel=1e-4)


@pytest.mark.parametrize(("correlation", "expected"), [(0.0, 0.0113339501), (0.5, 0.0219973704), (0.8, 0.0292971312)])
def test_d3_quantity_times_price_is_within_four_standard_errors(correlation, expected):
    shocks = paths.draw_shocks(20260701, 400_000, 1)
    factor = shocks.factor[:, 0]
    price_shock = paths.correlated(shocks.price[:, 0], factor, correlation)
    price = 2.5 * np.exp(-0.25 - 0.45**2 / 2 + 0.45 * price_shock)
    utilisation = special.ndtr(special.ndtri(0.80) + 0.5 * factor)
    loss = paths.shortfall_hours(0.70, utilisation) * np.maximum(2.0 - price, 0.0)
    mean, error = paths.mean_and_error(loss)
    assert abs(mean - expected) < 4 * error


MODEL = paths.Occupancy(start_fraction=0.85, mean_fraction=0.80, persistence=0.90, shock=0.35)
MONTHLY = [1781.16, 7731.29, 14313.35, 20426.06, 25843.67, 30566.52]
MONTHLY += [34658.00, 38195.39, 41253.60, 43900.10, 46193.69, 48184.93]
DISCOUNT = np.exp(-0.05 * np.arange(1, 13) / 12)


def test_d4_expected_draws_by_month_come_from_the_exact_marginal():
    expected = paths.logit_shortfall(MODEL, 0.75, 12) * HOURS * PRICE
    assert expected == pytest.approx(MONTHLY, abs=0.005)
    assert expected.sum() == pytest.approx(353_047.75, abs=0.005)
    assert expected @ DISCOUNT == pytest.approx(341_195.40, abs=0.005)


def _d4_draws():
    shocks = paths.draw_shocks(11, 200_000, 12)
    occupancy = paths.occupancy_paths(MODEL, shocks.occupancy)
    return paths.shortfall_hours(0.75 * HOURS, occupancy * HOURS) * PRICE


def test_d4_the_paths_are_within_four_standard_errors_and_caps_act_on_each_path():
    draws = _d4_draws()
    value, error = paths.mean_and_error(draws @ DISCOUNT)
    assert abs(value - 341_195.40) < 4 * error
    assert (draws.sum(axis=1) > 0).mean() == pytest.approx(0.606, abs=0.005)
    assert paths.value_at_risk(draws @ DISCOUNT, 0.99) == pytest.approx(2.857e6, rel=0.02)
    assert paths.expected_shortfall(draws @ DISCOUNT, 0.99) == pytest.approx(3.533e6, rel=0.02)
    capped = paths.cap_claims(draws, paths.Caps(np.zeros(12, dtype=np.int64), lifetime_left=1e6)).sum(axis=1)
    mean, error = paths.mean_and_error(capped)
    assert abs(mean - 257_534) < 4 * error + 4 * 600, "the oracle's own figure has a standard error of about 600"
    assert mean < min(draws.sum(axis=1).mean(), 1e6) * 0.8, "a cap on the mean would cut nothing"


def test_period_caps_begin_anew_and_the_lifetime_cap_does_not():
    claims = np.full((1, 4), 10.0)
    caps = paths.Caps(np.array([0, 0, 1, 1]), period_cap=15.0, period_used=2.0, lifetime_left=25.0)
    assert paths.cap_claims(claims, caps).tolist() == [[10.0, 3.0, 10.0, 2.0]]


def test_a_lifetime_cap_that_shrinks_with_time_and_sales_is_used_up_sooner():
    claims = np.full((1, 3), 10.0)
    caps = paths.Caps(np.arange(3), lifetime_left=30.0, time_reduction=np.full(3, 5.0), sales_reduce=True)
    assert paths.cap_claims(claims, caps, np.full((1, 3), 2.0)).tolist() == [[10.0, 6.0, 0.0]]


def test_the_factor_is_stationary_and_defaults_average_to_their_probability():
    shocks = paths.draw_shocks(3, 100_000, 6)
    levels = paths.factor_levels(shocks.factor_start, shocks.factor, 0.9)
    assert levels.std(axis=0) == pytest.approx(np.ones(6), abs=0.01)
    survival = paths.survival_paths(np.full(6, 0.01), levels, 0.5)
    assert 1 - survival[:, 0].mean() == pytest.approx(0.01, abs=3e-4)
    bad, good = survival[levels[:, 0] < -1, 0].mean(), survival[levels[:, 0] > 1, 0].mean()
    assert bad < good, "a positive factor is good"


def test_prices_revert_to_their_mean_and_do_not_decay_for_ever():
    shocks = paths.draw_shocks(5, 20_000, 120)
    model = paths.Price(4.0, 2.0, 1.0, 0.45, 0.0, -0.15)
    late = np.log(paths.price_paths(model, shocks.price, shocks.jump)[:, -1])
    assert late.mean() == pytest.approx(math.log(2.0), abs=0.01)
    assert late.std() == pytest.approx(0.45 / math.sqrt(2), rel=0.02)


def test_expected_shortfall_weighs_the_boundary_path_and_is_not_below_value_at_risk_with_ties():
    losses = np.array([0.0, 0.0, 0.0, 10.0])
    assert paths.value_at_risk(losses, 0.5) == 0.0
    assert paths.expected_shortfall(losses, 0.625) == pytest.approx(10.0 / 1.5)
    assert paths.expected_shortfall(np.ones(7), 0.95) == paths.value_at_risk(np.ones(7), 0.95) == 1.0


def test_seeds_are_the_same_in_every_process():
    assert paths.contract_seed(20260701, "c", date(2027, 1, 1)) == paths.stable_seed(20260701, "c", "2027-01-01")
    assert paths.stable_seed("a", "b") != paths.stable_seed("ab")


# --- measurement bases ----------------------------------------------------------------------------


def test_d4_stand_ready_liability_is_released_evenly_or_with_the_risk():
    expected = paths.logit_shortfall(MODEL, 0.75, 12) * HOURS * PRICE
    straight = [basis.stand_ready_straight_line(1.2e6, months, 12) for months in (1, 6, 12)]
    assert straight == pytest.approx([1_100_000, 600_000, 0])
    released = [basis.stand_ready_risk_release(1.2e6, expected, months) for months in (1, 6, 12)]
    assert released == pytest.approx([1_193_945.87, 857_852.37, 0], abs=0.01)


def test_o18_asc_450_accrues_the_best_estimate_else_the_low_end_and_only_if_probable():
    assert basis.asc450_accrual(0.8, 0.75, 15.0, 17.0) == 17.0
    assert basis.asc450_accrual(0.8, 0.75, 15.0, None) == 15.0
    assert basis.asc450_accrual(0.606, 0.75, 15.0, 17.0) == 0.0


def test_o22_a_financial_guarantee_stands_at_the_higher_amount():
    assert basis.financial_guarantee(700.0, 500.0, 0.0) == 700.0


def test_an_onerous_contract_is_never_an_asset_and_exits_where_that_is_cheaper():
    assert basis.ias37_onerous(100.0, 60.0, 20.0) == 40.0
    assert basis.ias37_onerous(100.0, None, 120.0) == 0.0


def test_the_accounting_class_chooses_what_is_posted():
    assert basis.posted_basis("purchase_commitment_disclosure") == "disclosure_only"
    assert basis.posted_basis("guarantee_ASC460", "risk_release") == "asc460_risk_release"
    with pytest.raises(CreditInputError):
        basis.posted_basis("something")


# --- a contract -----------------------------------------------------------------------------------


def _contract(policy=None, events=None, leases=None, **terms):
    months = month_list(date(2027, 10, 1), 2)
    frames = backstop(
        home(
            months,
            [invoice(date(2027, 9, 1), "100000.00")],
            events=events,
            policy={"path_count": "1000", **(policy or {})},
        ),
        **terms,
    )
    if leases:
        frames["staging.stg_leases"] = pl.DataFrame(leases)
    return run_all(frames)


def test_every_contract_month_has_three_cases_a_seed_and_a_standard_error():
    out = _contract()["credit.fct_backstop_distribution_month"]
    assert out.select("contract_id", "month", "correlation_case").is_unique().all()
    assert out.group_by("month").len()["len"].to_list() == [3, 3]
    last = out.filter(pl.col("month") == date(2027, 11, 1))
    assert set(last["path_count"].to_list()) == {1000}
    assert last["seed"].n_unique() == 1
    assert (last["standard_error_amount"] > 0).all()
    for name in ("95", "99", "999"):
        assert (last[f"es_{name}_amount"] >= last[f"var_{name}_amount"]).all()


def test_contracts_dealt_to_several_processes_are_valued_as_by_one(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from tests.benchmarks.credit_group import frames

    given = frames(contracts=3, months=2)
    given |= programme.receivables_group(given)
    alone = programme.backstop_worth_group(given)
    monkeypatch.setattr(programme, "CLOSES_A_PROCESS", 1)
    monkeypatch.setattr(programme.os, "cpu_count", lambda: 2)
    together = programme.backstop_worth_group(given)
    for name, table in alone.items():
        assert table["contract_id"].n_unique() == 3
        assert together[name].equals(table)


def test_a_valuation_asks_for_no_table_that_processes_are_not_given(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from tests.benchmarks.credit_group import frames

    asked = set()

    class Asked(dict):
        def get(self, name, default=None):
            asked.add(name)
            return super().get(name, default)

        def __contains__(self, name):
            asked.add(name)
            return super().__contains__(name)

    given = frames(contracts=1, months=2)
    policy = programme.policy_from_frame(given["raw.policy"])
    made = worth.valuations(Asked(given), policy)
    programme.rate_sensitivity(Asked(given), made, policy)
    assert made
    assert asked <= set(worth.VALUED_TABLES)


def test_wrong_way_risk_is_one_at_independence_and_rises_with_correlation():
    out = _contract(policy={"path_count": "20000"})["credit.fct_backstop_distribution_month"]
    by_case = {
        row["correlation_case"]: row for row in out.filter(pl.col("month") == date(2027, 11, 1)).iter_rows(named=True)
    }
    assert by_case["independent"]["wrong_way_multiplier"] == pytest.approx(1.0, abs=0.05)
    assert (
        by_case["independent"]["wrong_way_multiplier"]
        < by_case["base"]["wrong_way_multiplier"]
        < by_case["stressed"]["wrong_way_multiplier"]
    )


def test_an_insolvent_operator_voids_a_backstop_that_does_not_survive():
    from jobs_home import event

    gone = [event("i1", "insolvency", date(2027, 10, 15))]
    void = _contract(events=gone)["credit.fct_backstop_distribution_month"]
    assert (void["expected_amount"] == 0).all()
    alive = _contract(events=gone, survives_operator_insolvency=True)["credit.fct_backstop_distribution_month"]
    assert (alive["expected_amount"] > 0).all()


def test_a_full_lease_book_to_expiry_leaves_little_to_claim():
    book = [lease("L1", 2000, date(2027, 1, 1), date(2032, 10, 1))]
    full = _contract(leases=book)["credit.fct_backstop_distribution_month"]
    empty = _contract()["credit.fct_backstop_distribution_month"]
    assert (full["expected_amount"].to_numpy() < empty["expected_amount"].to_numpy()).all()


def test_a_lease_that_becomes_known_later_changes_no_earlier_month():
    late = [lease("L1", 2000, date(2027, 1, 1), date(2032, 10, 1), recorded_at=datetime(2027, 12, 5, tzinfo=UTC))]
    with_it, without = (_contract(leases=rows)["credit.fct_backstop_distribution_month"] for rows in (late, None))
    october = pl.col("month") == date(2027, 10, 1)
    same = ["contract_id", "month", "correlation_case", "expected_amount"]
    assert with_it.filter(october).select(same).equals(without.filter(october).select(same))
    assert not with_it.filter(~october).select(same).equals(without.filter(~october).select(same))


def test_the_same_frames_give_the_same_figures_to_the_byte():
    first, second = (_contract()["credit.fct_backstop_distribution_month"] for _ in range(2))
    assert first.equals(second)


def test_all_measurement_bases_stand_side_by_side_and_one_is_posted():
    out = _contract()["credit.fct_backstop_liability_month"].filter(pl.col("month") == date(2027, 11, 1))
    assert sorted(out["measurement_basis"].to_list()) == sorted(basis.BASES)
    assert out.filter("posted")["measurement_basis"].to_list() == ["disclosure_only"]
    assert out.filter(pl.col("carrying_amount").is_null())["carrying_amount_null_reason"].null_count() == 0
    assert out["contract_id"].unique().to_list() == [CONTRACT]


def test_break_even_occupancy_balances_share_against_claims_in_closed_form():
    months = 12
    tranche = paths.Tranche(
        "t", np.full(months, 100.0), np.full(months, 80.0), np.zeros(months), np.zeros(months), np.full(months, 2.0), []
    )
    flat = np.ones(months)
    price = paths.Price(3.0, 3.0, 1.0, 0.1, 0.0, 0.0)
    book = paths.Book(
        tranches=[tranche],
        caps=paths.NO_CAPS,
        occupancy=MODEL,
        price=price,
        operator_pd=flat * 0,
        tenant_pd=flat * 0,
        tenant_count=0,
        renewal_probability=0.5,
        survives_insolvency=True,
        discount=flat,
        pay_discount=flat,
        share_rate=flat * 0.2,
        floor_price=0.0,
        outstanding_months=3,
        exposure_now=0.0,
        lgd=0.5,
        set_off=False,
        resale_fraction=0.0,
    )
    # 0.2 · 3 · 100 · o = 2 · (80 − 100 · o)
    assert paths.break_even_occupancy(book) == pytest.approx(160 / 260)
