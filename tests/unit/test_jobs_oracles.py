"""Published and derived figures that the credit jobs must reproduce; each test names its oracle."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from scipy import integrate, stats

from orchestration.polars_jobs import lifetime_ecl as engine
from orchestration.polars_jobs.ageing import absorption, chain_loss_rates
from orchestration.polars_jobs.allowance import closing_allowance
from orchestration.polars_jobs.amortised_cost import effective_interest_rate
from orchestration.polars_jobs.collections import (
    average_days_delinquent,
    best_possible_dso,
    collection_effectiveness,
    dso_simple,
)
from orchestration.polars_jobs.default_curves import curve_of, rating_curve
from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.exposure import concentration
from orchestration.polars_jobs.money import fx_remeasurement, round_money
from orchestration.polars_jobs.provision_matrix import bucket_loss, matrix_loss, rates_from_history

D = Decimal


def test_o1_the_provision_matrix_of_ifrs_9_example_12_gives_580_000():
    gross = [D(15_000_000), D(7_500_000), D(4_000_000), D(2_500_000), D(1_000_000)]
    rates = [D("0.003"), D("0.016"), D("0.036"), D("0.066"), D("0.106")]
    assert [bucket_loss(g, r) for g, r in zip(gross, rates, strict=True)] == [
        45_000,
        120_000,
        144_000,
        165_000,
        106_000,
    ]
    assert matrix_loss(gross, rates) == D("580000.00")


def test_o2_loss_rates_from_payment_history_stay_unrounded_and_give_27_567_39():
    rates = rates_from_history(D(100_000), [D(50_000), D(27_000), D(15_000), D(6_000)], D(2_000))
    assert rates == [Fraction(2, 100), Fraction(4, 100), Fraction(2, 23), Fraction(1, 4), Fraction(1)]
    ageing = [D(300_000), D(140_000), D(60_000), D(23_000), D(5_000)]
    losses = [bucket_loss(amount, rate) for amount, rate in zip(ageing, rates, strict=True)]
    assert [round(float(loss)) for loss in losses] == [6_000, 5_600, 5_217, 5_750, 5_000]
    assert matrix_loss(ageing, rates) == D("27567.39")
    assert round_money(bucket_loss(D(60_000), D("0.087"))) == D("5220.00"), "the rounded rate would give another figure"


def test_o2_the_product_of_roll_rates_is_the_loss_rate_of_current():
    rates = chain_loss_rates([0.50, 0.46, 8 / 23, 0.25])
    assert rates[0] == pytest.approx(0.02, abs=1e-15)


def test_o4_discounted_shortfalls_of_three_outcomes_give_44():
    assert engine.discounted_shortfall([0, 300, 600], [0.8, 0.1, 0.1], 0.075, 10) == pytest.approx(43.667, abs=5e-4)
    assert engine.discounted_shortfall([0, 300, 600], [0.8, 0.1, 0.1], 0.0, 10) == pytest.approx(90)


def test_o6_rounded_rates_give_21_035_and_unrounded_ones_22_831():
    balances = [D(5_984_698), D(8_272), D(2_882), D(842), D(1_100)]
    historical = [D("0.003"), D("0.08"), D("0.26"), D("0.58"), D("0.82")]
    rounded = [D("0.003"), D("0.088"), D("0.286"), D("0.638"), D("0.902")]
    assert sum(round_money(bucket_loss(b, r), 0) for b, r in zip(balances, rounded, strict=True)) == 21_035
    assert matrix_loss(balances, historical, [D("1.1")] * 5) == D("22831.09")


@pytest.mark.parametrize(
    ("amounts", "months", "expected"),
    [
        ((6_200, 10_890, 6_340, 3_590), 3, 0.559295),
        ((6_200, 10_890, 6_340, 3_590), 1, 0.7963),
        ((100_000, 1_000_000, 120_000, 100_000), 1, 0.98),
    ],
)
def test_o7_collection_effectiveness_divides_sales_by_n(amounts, months, expected):
    found = collection_effectiveness(*(D(amount) for amount in amounts), months)
    assert found.value == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("receivable", "current", "sales", "expected"),
    [(15_000, 4_000, 10_000, (45, 12, 33)), (25_000, 6_000, 15_000, (50, 12, 38))],
)
def test_o7_days_delinquent_are_dso_less_best_possible_dso(receivable, current, sales, expected):
    dso, best = dso_simple(D(receivable), D(sales), 30), best_possible_dso(D(current), D(sales), 30)
    assert (dso.value, best.value, average_days_delinquent(dso, best).value) == pytest.approx(expected)


def test_o7_simple_dso_of_a_year_is_30_4():
    assert dso_simple(D(150_000), D(1_800_000), 365).value == pytest.approx(30.4, abs=0.02)


@pytest.mark.parametrize(("shares", "expected"), [([30, 30, 20, 20], 2_600), ([10, 9, 12, 15, 12, 11, 15, 16], 1_296)])
def test_o9_the_concentration_index_is_on_the_ten_thousand_scale(shares, expected):
    assert concentration([D(share) for share in shares]).hhi == pytest.approx(expected, abs=1e-9)


def test_o11_worst_case_default_rate_is_12_8_percent():
    assert engine.worst_case_default_rate(0.02, 0.10, 0.999) == pytest.approx(0.128237, abs=5e-7)


def test_a_positive_factor_is_good_and_its_mean_is_the_unconditional_probability():
    assert engine.vasicek_shift(0.02, 0.2, 2.0) < 0.02 < engine.vasicek_shift(0.02, 0.2, -2.0)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    mean = weights @ engine.vasicek_shift(0.02, 0.2, nodes) / weights.sum()
    assert mean == pytest.approx(0.02, abs=1e-10)


def test_vasicek_does_not_clip_small_probabilities():
    assert engine.worst_case_default_rate(1e-5, 0.15, 0.999) < engine.worst_case_default_rate(1e-4, 0.15, 0.999)
    assert list(engine.vasicek_shift([0.0, 1.0], 0.15, -3.0)) == [0.0, 1.0]


@pytest.mark.parametrize("factor", [-np.inf, -3.0, 0.0, 3.0, np.inf])
def test_what_is_certain_or_hangs_on_no_factor_stays_even_where_the_factor_is_without_end(factor):
    assert engine.vasicek_shift([0.0, 0.02, 1.0], 0.0, factor).tolist() == [0.0, 0.02, 1.0]
    nothing, some, all_ = engine.vasicek_shift([0.0, 0.02, 1.0], 0.15, factor)
    assert (nothing, all_) == (0.0, 1.0)
    assert some == pytest.approx(engine.vasicek_shift(0.02, 0.15, factor))
    if np.isinf(factor):
        assert some == (1.0 if factor < 0 else 0.0)


def test_the_worst_case_at_all_confidence_is_everything_that_hangs_on_the_factor():
    assert engine.worst_case_default_rate(0.02, 0.10, 1.0) == 1.0
    assert engine.worst_case_default_rate(0.02, 0.0, 1.0) == 0.02
    assert engine.worst_case_default_rate(0.0, 0.10, 1.0) == 0.0


@pytest.mark.parametrize(
    ("rating", "defaulted", "withdrawn", "expected"),
    [("B", 0.0376, 0.1206, 0.04276), ("CCC", 0.2678, 0.1539, 0.31651), ("BBB", 0.0018, 0.0623, 0.00192)],
)
def test_o13_withdrawn_ratings_leave_the_denominator(rating, defaulted, withdrawn, expected):
    curve = rating_curve([1], [defaulted], [withdrawn])
    assert curve.cumulative_pd[0] == pytest.approx(expected, abs=6e-6)


def test_horizons_at_which_published_averages_fall_are_left_out_and_falling_within_is_an_error():
    columns = ("agency", "rating", "horizon_years", "cumulative_default_rate", "withdrawn_rate")
    rows = [("SP", "B", 1, 0.0376, 0.1206), ("SP", "B", 10, 0.2871, 0.518), ("SP", "B", 15, 0.3694, 0.5202)]
    table = pl.DataFrame([*rows, ("SP", "B", 20, 0.3621, 0.5554)], schema=columns, orient="row")
    assert curve_of(table, None, "B+").horizon_years.tolist() == [1, 10]
    with pytest.raises(CreditInputError):
        curve_of(table, "SP", "B", horizon_years=20)
    with pytest.raises(CreditInputError, match="Moody"):
        curve_of(table, "Moody", "B")


@pytest.mark.parametrize(
    ("opening", "moves", "closing"),
    [
        (16_699, {"adoption": -3_330, "provision": 14_699, "write_offs": 18_228, "recoveries": 7_014}, 16_854),
        (2_959, {"provision": 2_837, "write_offs": 2_565}, 3_231),
        (19_658, {"adoption": -3_330, "provision": 17_536, "write_offs": 20_793, "recoveries": 7_014}, 20_085),
        (16_854, {"provision": 11_732, "write_offs": 19_882, "recoveries": 5_181}, 13_885),
        (3_231, {"provision": 3_553, "write_offs": 2_799}, 3_985),
        (13_885, {"provision": 3_204, "write_offs": 4_248, "recoveries": 1_329}, 14_170),
        (3_985, {"provision": 1_054, "write_offs": 1_189}, 3_850),
    ],
)
def test_o14_allowance_roll_forwards_of_rollins_foot(opening, moves, closing):
    assert closing_allowance(D(opening), **{name: D(value) for name, value in moves.items()}) == closing


def test_the_golden_allowance_of_credit_md_foots_to_the_cent():
    assert closing_allowance(
        D(18_500), provision=D(9_200), write_offs=D(6_400), recoveries=D(700), fx=D("-55.25")
    ) == D("21944.75")


def test_o19_effective_rate_of_dated_flows_is_0_373362535():
    days = [date(2008, 1, 1), date(2008, 3, 1), date(2008, 10, 30), date(2009, 2, 15), date(2009, 4, 1)]
    assert effective_interest_rate(days, [-10_000, 2_750, 4_250, 3_250, 2_750]) == pytest.approx(0.373362535, abs=2e-8)
    with pytest.raises(CreditInputError):
        effective_interest_rate(days[:2], [100, 200])


def test_o21_a_euro_receivable_gains_100_when_the_euro_rises():
    assert fx_remeasurement(D(2_000), D("1.40"), D("1.45")) == D("100.00")


# --- D5: three scenarios, eight quarters of forecast, four of reversion ---------------------------

QUARTERS = 20
FORECAST = np.array([0.015, 0.010, 0.030])
WEIGHTS = np.array([0.5, 0.2, 0.3])
LGDS = np.array([0.55, 0.50, 0.65])


def _d5(forecasts=FORECAST, lgds=LGDS, weights=WEIGHTS, eir=0.10, tau=None):
    hazards = np.stack([engine.revert([h] * 8, 0.012, 4, QUARTERS) for h in forecasts])[:, None, :]
    ead = 1e6 * (1 - np.arange(QUARTERS) / QUARTERS)
    tau = np.arange(1, QUARTERS + 1) / 4 if tau is None else tau
    return engine.lifetime_ecl(hazards, np.asarray(lgds)[:, None, None], ead, eir=eir, tau_years=tau, weights=weights)


def test_d5_results_of_scenarios_are_weighted_to_79_689_0577():
    result = _d5()
    assert result.by_scenario[:, 0] == pytest.approx([64_304.5198, 43_787.7123, 129_264.1844], abs=5e-5)
    assert result.weighted[0] == pytest.approx(79_689.0577, abs=5e-5)


def test_d5_straight_line_reversion_passes_through_the_published_quarters():
    path = engine.revert([0.015] * 8, 0.012, 4, QUARTERS)
    assert path[8:12] == pytest.approx([0.01425, 0.01350, 0.01275, 0.01200])
    assert engine.revert([0.015] * 8, 0.012, 0, 9)[8] == 0.012


def test_d5_traps_give_the_wrong_figures_that_they_are_known_for():
    mean_inputs = _d5([float(WEIGHTS @ FORECAST)], [float(WEIGHTS @ LGDS)], [1.0])
    assert mean_inputs.weighted[0] == pytest.approx(77_997.72, abs=0.005)
    annual_per_quarter = _d5(tau=np.arange(1, QUARTERS + 1))
    assert annual_per_quarter.by_scenario[0, 0] == pytest.approx(43_229.69, abs=0.005)
    nominal_over_four = _d5(eir=(1 + 0.10 / 4) ** 4 - 1)
    assert nominal_over_four.by_scenario[0, 0] == pytest.approx(63_962.31, abs=0.005)
    mid_quarter = _d5(tau=np.arange(1, QUARTERS + 1) / 4 - 0.125)
    assert mid_quarter.by_scenario[0, 0] == pytest.approx(65_075.21, abs=0.005)


def test_d6_the_absorbing_chain_gives_the_write_off_column():
    transient = np.array([[0.90, 0.08, 0, 0], [0.60, 0.10, 0.30, 0], [0.30, 0, 0.20, 0.50], [0.10, 0, 0, 0.20]])
    absorbing = np.array([[0.02, 0], [0, 0], [0, 0], [0, 0.70]])
    assert absorption(transient, absorbing)[:, 1] == pytest.approx([0.421687, 0.527108, 0.737952, 0.927711], abs=5e-7)


def test_d8_concentration_of_six_operators_against_equity():
    found = concentration([D(amount) for amount in (420, 250, 130, 90, 60, 50)])
    assert (found.hhi, found.effective_number, found.top_1, found.top_3) == pytest.approx(
        (2_700, 3.7037, 0.42, 0.80), abs=5e-5
    )
    assert pytest.approx(0.084) == 420 / 5_000


# --- D9: the peers' portfolio ---------------------------------------------------------------------


def portfolio(size: int):
    random = np.random.default_rng(20240101)
    annual = np.clip(random.lognormal(np.log(0.04), 0.8, size), 3e-4, 0.35)
    return (
        1 - (1 - annual) ** 0.25,
        random.uniform(0.35, 0.75, size),
        random.lognormal(np.log(1e6), 1.0, size),
        random.uniform(0.06, 0.14, size),
    )


def _odds(probability, multiple):
    odds = probability / (1 - probability) * multiple
    return odds / (1 + odds)


def _d9(size: int):
    quarterly, lgd, ead, eir = portfolio(size)
    hazards = np.stack([_odds(quarterly, m) for m in (1.0, 0.7, 1.8)])[:, :, None] * np.ones(20)
    amortised = ead[:, None] * (1 - np.arange(20) / 20)
    return hazards, engine.lifetime_ecl(
        hazards, lgd[:, None], amortised, eir=eir, tau_years=np.arange(1, 21) / 4, weights=[0.5, 0.2, 0.3]
    )


def test_d9_a_thousand_obligors_lose_120_328_124_276537():
    assert _d9(1_000)[1].weighted.sum() == pytest.approx(120_328_124.276537, rel=1e-12)


@pytest.mark.slow
def test_d9_ten_thousand_obligors_lose_1_151_225_315_043330():
    assert _d9(10_000)[1].weighted.sum() == pytest.approx(1_151_225_315.043330, rel=1e-12)


def test_d9_the_long_form_in_polars_gives_the_same_loss_per_obligor():
    size = 200
    hazards, result = _d9(size)
    _, lgd, ead, eir = portfolio(size)
    rows = pl.DataFrame(
        {
            "obligor_id": np.tile(np.repeat(np.arange(size), 20), 3),
            "scenario": np.repeat(["a", "b", "c"], size * 20),
            "period_no": np.tile(np.arange(1, 21), 3 * size),
            "conditional_pd": hazards.ravel(),
            "lgd": np.tile(np.repeat(lgd, 20), 3),
            "ead": np.tile((ead[:, None] * (1 - np.arange(20) / 20)).ravel(), 3),
            "eir": np.tile(np.repeat(eir, 20), 3),
            "tau_years": np.tile(np.arange(1, 21) / 4, 3 * size),
            "weight": np.repeat([0.5, 0.2, 0.3], size * 20),
        }
    )
    found = engine.ecl_long(engine.check_term_structure(rows).lazy()).collect()
    assert found["expected_credit_loss"].to_numpy() == pytest.approx(result.weighted, rel=1e-12)


# --- what the peers get wrong (ORACLES.md, 2.2) ---------------------------------------------------


def test_twelve_month_loss_is_cut_at_maturity():
    hazard, lgd, ead = np.full((1, 1, 2), 0.02), 0.45, np.full(2, 1e6)
    half_year = {"eir": 0.05, "weights": [1.0]}
    lifetime = engine.lifetime_ecl(hazard, lgd, ead, tau_years=[0.25, 0.5], **half_year).weighted[0]
    assert engine.twelve_month_ecl(hazard, lgd, ead, period_years=[0.25, 0.25], **half_year).weighted[
        0
    ] == pytest.approx(lifetime)


def test_a_period_that_straddles_the_year_counts_with_its_part_before():
    whole = engine.twelve_month_ecl(0.19, 1.0, [[100.0]], eir=0.0, period_years=[2.0], weights=[1.0]).weighted[0]
    assert whole == pytest.approx(100 * (1 - 0.9))


def test_negative_interest_discounts_alike_over_life_and_twelve_months():
    lifetime = engine.lifetime_ecl(0.02, 0.45, [[100.0]], eir=-0.05, tau_years=[1.0], weights=[1.0]).weighted[0]
    assert lifetime == pytest.approx(0.9 / 0.95)
    assert engine.twelve_month_ecl(0.02, 0.45, [[100.0]], eir=-0.05, period_years=[1.0], weights=[1.0]).weighted[
        0
    ] == pytest.approx(lifetime)


@pytest.mark.parametrize("bad", [1.5, -0.1, float("nan")])
def test_a_probability_outside_zero_and_one_is_an_error_never_a_clip(bad):
    with pytest.raises(CreditInputError):
        engine.lifetime_ecl(bad, 0.45, [[100.0]], eir=0.05, tau_years=[1.0], weights=[1.0])


def test_a_hazard_given_once_is_a_flat_one_over_all_periods():
    taus = {"eir": 0.05, "tau_years": np.arange(1, 9) / 4, "weights": [0.7, 0.3]}
    ead = np.linspace(100.0, 10.0, 8)
    once = engine.lifetime_ecl(np.array([0.02, 0.05])[:, None, None], 0.45, ead, **taus)
    each = engine.lifetime_ecl(np.array([0.02, 0.05])[:, None, None] * np.ones(8), 0.45, ead, **taus)
    assert once.by_scenario == pytest.approx(each.by_scenario, rel=1e-14)


def test_weights_that_do_not_sum_to_one_are_an_error():
    with pytest.raises(CreditInputError):
        engine.lifetime_ecl(0.02, 0.45, [[100.0]], eir=0.05, tau_years=[1.0], weights=[0.5, 0.4])


def test_a_falling_cumulative_probability_is_an_error():
    with pytest.raises(CreditInputError):
        engine.conditional_from_cumulative([0.02, 0.01, 0.03])


def test_vasicek_density_of_loss_integrates_to_one_through_its_quantiles():
    mean, _ = integrate.quad(lambda z: float(engine.vasicek_shift(0.02, 0.15, z)) * stats.norm.pdf(z), -8, 8)
    assert mean == pytest.approx(0.02, abs=1e-9)
