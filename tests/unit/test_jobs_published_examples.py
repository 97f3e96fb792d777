"""Published and derived figures of curves, capital, vintages, yields and roll-forwards; each test names its oracle."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
import QuantLib
from hypothesis import given
from hypothesis import strategies as st

from orchestration.polars_jobs import amortised_cost as cost
from orchestration.polars_jobs import default_curves as curves
from orchestration.polars_jobs import lifetime_ecl as engine
from orchestration.polars_jobs import loss_experience as experience
from orchestration.polars_jobs import portfolio_loss as pool
from orchestration.polars_jobs.ageing import absorption
from orchestration.polars_jobs.allowance import closing_allowance
from orchestration.polars_jobs.backstop_liability import asc450_accrual
from orchestration.polars_jobs.day_count import rate_of_period, year_fraction
from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.money import round_money
from orchestration.polars_jobs.provision_matrix import bucket_loss, rates_from_history
from orchestration.polars_jobs.rate_sensitivity import yield_measures

D = Decimal

# --- day counts (CREDIT.md, pitfalls 1 to 3) ------------------------------------------------------


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        ("30/360", 0.5),
        ("30E/360", 0.5),
        ("ACT/360", 0.505556),
        ("ACT/365F", 0.498630),
        ("ACT/ACT ISDA", 0.497724),
    ],
)
def test_pitfall_1_six_months_are_four_different_fractions_of_a_year(convention, expected):
    assert year_fraction(date(2023, 11, 1), date(2024, 5, 1), convention) == pytest.approx(expected, abs=5e-7)


QUANTLIB = {
    "30/360": QuantLib.Thirty360(QuantLib.Thirty360.USA),
    "30E/360": QuantLib.Thirty360(QuantLib.Thirty360.European),
    "ACT/360": QuantLib.Actual360(),
    "ACT/365F": QuantLib.Actual365Fixed(),
    "ACT/ACT ISDA": QuantLib.ActualActual(QuantLib.ActualActual.ISDA),
}
days = st.dates(date(2000, 1, 1), date(2060, 12, 31))


@given(days, st.integers(0, 4000), st.sampled_from(sorted(QUANTLIB)))
def test_every_day_count_agrees_with_quantlib(start, length, convention):
    end = start + timedelta(days=length)
    first, last = (QuantLib.Date(day.day, day.month, day.year) for day in (start, end))
    assert year_fraction(start, end, convention) == pytest.approx(
        QUANTLIB[convention].yearFraction(first, last), abs=1e-12
    )
    assert year_fraction(end, start, convention) == -year_fraction(start, end, convention)


def test_an_unknown_day_count_is_an_error():
    with pytest.raises(CreditInputError, match="'30/365'"):
        year_fraction(date(2027, 1, 1), date(2027, 2, 1), "30/365")


def test_pitfall_3_a_rate_of_a_period_compounds_and_is_never_divided():
    assert (1 + rate_of_period(0.10, 0.25)) ** 4 == pytest.approx(1.10, abs=1e-15)
    assert rate_of_period(-0.05, 1.0) == pytest.approx(-0.05)
    with pytest.raises(CreditInputError):
        rate_of_period(-1.0, 1.0)


# --- loss rates, contingencies, roll-forwards -----------------------------------------------------


def test_o5_asc_326_example_1_a_loss_rate_of_1_65_percent_on_3_000_000_is_49_500():
    historical, conditions = D("0.0150"), D("0.0015")
    assert round_money(bucket_loss(D(3_000_000), historical + conditions)) == D("49500.00")


def test_o15_nvidias_warranty_accrual_rolls_forward_to_532_and_77():
    assert closing_allowance(D(306), provision=D(234), write_offs=D(8)) == 532
    assert closing_allowance(D(82), provision=D(13), write_offs=D(18)) == 77


def test_o17_the_expected_value_of_a_provision_is_550_000():
    mean, _ = pool.migration_value([0.80, 0.15, 0.05], [0.0, 2_000_000.0, 5_000_000.0])
    assert mean == pytest.approx(550_000)
    assert asc450_accrual(0.20, 0.75, 0.0, 2_000_000.0) == 0.0, "ASC 450 is no expected value"


def test_o23_a_cohorts_allowance_by_age_is_10_9_7_3_0_and_29_in_the_steady_state():
    ages = experience.remaining_loss_by_age([1, 2, 4, 3, 0])
    assert ages == [10, 9, 7, 3, 0, 0]
    assert sum(ages) == 29


def _vintages(losses):
    return pl.DataFrame(
        [
            {"vintage": vintage, "originated": 100.0, "age": age, "loss": loss}
            for vintage, row in losses.items()
            for age, loss in enumerate(row, start=1)
        ],
        schema={"vintage": pl.String, "originated": pl.Float64, "age": pl.Int64, "loss": pl.Float64},
    )


def test_o23_vintages_of_all_ages_together_keep_29():
    pattern = [1.0, 2.0, 4.0, 3.0, 0.0]
    table = _vintages({f"v{age}": pattern[:age] + [None] * (5 - age) for age in range(6)})
    assert experience.vintage_allowance(table, last_age=5) == pytest.approx(29.0)


def test_peer_defect_a_portfolio_without_a_mature_vintage_has_no_allowance_of_nought_but_an_error():
    with pytest.raises(CreditInputError, match="loss rate of age is 3; has never been observed") as caught:
        experience.vintage_allowance(_vintages({"2026": [1.0, 2.0, None], "2027": [1.0, None, None]}), last_age=3)
    assert caught.value.obligor == "2026"
    young = _vintages({"2027": [0.0, None]})
    assert experience.vintage_loss_rates(young).rows() == [(1, 0.0, 100.0)], (
        "an observed nought counts, a null does not"
    )


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("originated", float("nan"), "originated is nan; must be positive"),
        ("originated", 50.0, "originated is 50.0; is another at another age"),
        ("loss", float("inf"), "loss is inf; must be a number"),
        ("age", 1, "age is 1; comes twice"),
        ("age", 0, "age is 0; must be a whole number"),
        ("age", None, "age is None; must be"),
    ],
)
def test_a_row_of_vintages_that_cannot_be_counted_names_its_vintage_and_its_value(column, value, message):
    good = _vintages({"2025": [1.0, 2.0], "2026": [1.0, None]})
    last = (pl.col("vintage") == "2025") & (pl.col("age") == 2)
    bad = good.with_columns(pl.when(last).then(pl.lit(value)).otherwise(pl.col(column)).alias(column))
    for rows in (bad, bad.reverse()):
        with pytest.raises(CreditInputError, match=message) as caught:
            experience.vintage_loss_rates(rows.sort("vintage", "originated", descending=[False, True]))
        assert caught.value.obligor == "2025"


def test_the_remaining_maturity_method_adds_the_adjustment_to_the_rate():
    assert experience.remaining_maturity_loss([10_000, 6_000, 2_000], 0.0036, 0.0025) == pytest.approx(18_000 * 0.0061)
    with pytest.raises(CreditInputError):
        experience.remaining_maturity_loss([100], 0.9, 0.2)


def test_ifrs_9_example_8_twelve_months_of_a_million_at_half_a_percent_and_a_quarter_lose_1_250():
    found = engine.twelve_month_ecl(0.005, 0.25, [[1_000_000.0]], eir=0.0, period_years=[1.0], weights=[1.0])
    assert found.weighted[0] == pytest.approx(1_250, abs=1e-6)


@pytest.mark.parametrize(
    ("gross", "historical", "updated", "expected"),
    [(200_000, 600, 750, ("0.3", "0.375")), (300_000, 450, 675, ("0.15", "0.225"))],
)
def test_ifrs_9_example_9_the_loss_rates_of_groups_x_and_y(gross, historical, updated, expected):
    """1,000 loans of 200 and of 300: present value of losses ÷ gross carrying amount, in percent."""
    for lost, percent in zip((historical, updated), expected, strict=True):
        rate = rates_from_history(gross, [gross - lost], lost)[0]
        assert rate == Fraction(percent) / 100
        assert bucket_loss(gross, rate) == lost


def test_ias_37_39_a_warranty_of_75_20_and_5_percent_is_expected_to_cost_400_000():
    assert pool.migration_value([0.75, 0.20, 0.05], [0.0, 1e6, 4e6])[0] == pytest.approx(400_000)


def test_asc_450_20_55_a_range_of_3_to_9_million_accrues_its_low_end_or_the_better_estimate_in_it():
    assert asc450_accrual(0.9, 0.75, 3e6, None) == 3e6
    assert asc450_accrual(0.9, 0.75, 3e6, 4e6) == 4e6


def test_the_textbook_chain_of_3_000_owed_pays_2_370_and_loses_630():
    """Anderson, Sweeney and Williams, Markov processes: 1,000 in 0-30 days and 2,000 in 31-90 days."""
    ends = absorption(np.array([[0.3, 0.3], [0.3, 0.1]]), np.array([[0.4, 0.0], [0.4, 0.2]]))
    assert ends == pytest.approx(np.array([[0.89, 0.11], [0.74, 0.26]]), abs=5e-3)
    assert np.array([1_000, 2_000]) @ ends == pytest.approx([2_370, 630], abs=1)


# --- capital and pools ----------------------------------------------------------------------------

O10 = [
    (0.0003, 14.44, 11.30, None, None),
    (0.0005, 19.65, 15.39, 17.47, 13.69),
    (0.0010, 29.65, 23.30, 26.36, 20.71),
    (0.0025, 49.47, 39.01, 43.97, 34.68),
    (0.0040, 62.72, 49.49, 55.75, 43.99),
    (0.0050, 69.61, 54.91, 61.88, 48.81),
    (0.0075, 82.78, 65.14, 73.58, 57.91),
    (0.0100, 92.32, 72.40, 82.06, 64.35),
    (0.0130, 100.95, 78.77, 89.73, 70.02),
    (0.0150, 105.59, 82.11, None, None),
    (0.0200, 114.86, 88.55, None, None),
    (0.0250, 122.16, 93.43, None, None),
    (0.0300, 128.44, 97.58, None, None),
]


@pytest.mark.parametrize(("probability", "large", "small", "large_40", "small_40"), O10)
def test_o10_risk_weights_of_the_basel_tables(probability, large, small, large_40, small_40):
    for lgd, turnover, expected in (
        (0.45, 50.0, large),
        (0.45, 5.0, small),
        (0.40, 50.0, large_40),
        (0.40, 5.0, small_40),
    ):
        if expected is not None:
            assert 100 * pool.risk_weight(probability, lgd, 2.5, turnover) == pytest.approx(expected, abs=0.011)


def test_o11_the_worst_loss_of_the_hull_pool_is_5_13_of_100():
    assert 100 * pool.loss_quantile(0.02, 0.10, 0.40, 0.999) == pytest.approx(5.13, abs=0.005)


def test_o12_credit_metrics_gives_the_mean_and_deviation_of_a_bbb_bond():
    transitions = np.array([0.02, 0.33, 5.95, 86.93, 5.30, 1.17, 0.12, 0.18]) / 100
    values = [109.37, 109.19, 108.66, 107.55, 102.02, 98.10, 83.64, 51.13]
    assert pool.migration_value(transitions, values) == pytest.approx((107.0879, 2.9918), abs=5e-5)
    misprinted = [*values[:4], 105.02, *values[5:]]
    assert pool.migration_value(transitions, misprinted) == pytest.approx((107.25, 2.79), abs=0.02)


def test_peer_defect_the_density_of_loss_integrates_to_one_over_loss():
    probability, correlation, lgd = 0.02, 0.15, 0.45
    losses = np.linspace(1e-9, lgd - 1e-9, 2_000_001)
    density = pool.loss_density(losses, probability, correlation, lgd)
    assert np.trapezoid(density, losses) == pytest.approx(1.0, abs=1e-4)
    assert np.trapezoid(density * losses, losses) == pytest.approx(probability * lgd, rel=1e-3)


def test_the_distribution_of_loss_and_its_quantile_are_inverse():
    for confidence in (0.5, 0.95, 0.999):
        loss = pool.loss_quantile(0.02, 0.15, 0.45, confidence)
        assert pool.loss_distribution([loss], 0.02, 0.15, 0.45)[0] == pytest.approx(confidence, abs=1e-10)


def test_peer_defect_a_default_probability_of_a_tenth_of_a_basis_point_is_not_clipped_to_one():
    assert pool.loss_quantile(1e-5, 0.15, 0.45, 0.999) < 0.2 * pool.loss_quantile(1e-4, 0.15, 0.45, 0.999)


# --- ratings --------------------------------------------------------------------------------------

# Rows B and CCC/C of O13, to AAA … CCC/C, default, withdrawn; grades above are held where they are.
GRADES = ("AAA", "AA", "A", "BBB", "BB", "B", "CCC/C")


def _published():
    table = np.hstack([np.eye(7), np.zeros((7, 2))]) * 100
    table[4] = [0.01, 0.03, 0.12, 4.97, 76.98, 6.92, 0.61, 0.72, 9.63]
    table[5] = [0, 0.03, 0.09, 0.19, 5.15, 74.26, 4.46, 3.76, 12.06]
    table[6] = [0, 0, 0.13, 0.19, 0.63, 12.91, 43.97, 26.78, 15.39]
    return table / 100


def test_o13_withdrawn_ratings_are_taken_out_of_each_row_and_the_chain_overstates_weak_grades():
    matrix = curves.transition_matrix(_published(), GRADES)
    assert matrix.sum(axis=1) == pytest.approx(np.ones(8), abs=1e-12)
    assert matrix[[4, 5, 6], -1] == pytest.approx([0.00797, 0.04276, 0.31651], abs=6e-6)
    five = [curves.transition_default_curve(matrix, row, [5]).cumulative_pd[0] for row in (5, 6)]
    assert five == pytest.approx([0.2480, 0.6819], abs=2e-3), "upgrades above BB are cut off here"
    assert five[0] > 0.1925


def test_o13_rows_may_miss_one_by_the_rounding_of_the_publication_and_no_more():
    table = _published()
    table[5, 5] += 0.001
    with pytest.raises(CreditInputError, match=r"obligor B: sum of transition rates is 1\.001") as caught:
        curves.transition_matrix(table, GRADES)
    assert (caught.value.obligor, caught.value.field) == ("B", "sum of transition rates")


def test_a_generator_gives_back_its_matrix_and_its_parts_of_a_year():
    matrix = curves.transition_matrix(_published(), GRADES)
    found = curves.generator(matrix)
    assert found.residual < 1e-3
    assert found.rates.sum(axis=1) == pytest.approx(np.zeros(8), abs=1e-12)
    quarter = curves.transition_at(found.rates, 0.25)
    assert np.abs(np.linalg.matrix_power(quarter, 4) - matrix).max() == pytest.approx(found.residual, abs=1e-9)
    assert quarter[5, -1] < 1 - (1 - matrix[5, -1]) ** 0.25, "a quarter's default is rarer: grades fall first"


# --- credit default swaps -------------------------------------------------------------------------


@pytest.mark.parametrize("recovery", [0.0, 0.4])
def test_a_flat_cds_spread_is_the_hazard_times_loss(recovery):
    curve = curves.cds_curve([1, 3, 5, 10], [0.0811] * 4, recovery, zero_rate=0.04)
    hazard = -np.log1p(-curve.cumulative_pd) / curve.horizon_years
    assert hazard == pytest.approx([0.0811 / (1 - recovery)] * 4, rel=0.01)


@pytest.mark.parametrize(("spread", "recovery", "rate"), [(0.01, 0.4, 0.0), (0.03, 0.25, 0.05), (0.0811, 0.0, -0.01)])
def test_a_flat_hazard_solves_its_spread_in_closed_form(spread, recovery, rate):
    """Each quarter's legs balance by themselves: (1 − R)(1 − q)v(mid) = s·dt·v(end)·(1 + q)/2, q = e^(−h·dt), so that
    tanh(h·dt/2) = s·dt·e^(−r·dt/2) ÷ (2(1 − R)); to first order h = s ÷ (1 − R).
    """
    dt = 0.25
    hazard = 2 / dt * np.arctanh(spread * dt / (2 * (1 - recovery)) * np.exp(-rate * dt / 2))
    for tenors in ([5.0], [1.0, 3.0, 5.0, 10.0]):
        curve = curves.cds_curve(tenors, [spread] * len(tenors), recovery, zero_rate=rate)
        assert -np.log1p(-curve.cumulative_pd) == pytest.approx(hazard * np.array(tenors), rel=1e-9)


def test_a_curve_with_one_node_is_a_flat_hazard():
    curve = curves.cds_curve([5.0], [0.0080], 0.4)
    assert curves.cumulative_pd_at(curve, [2.5, 10.0]) == pytest.approx(
        1 - (1 - curve.cumulative_pd[0]) ** np.array([0.5, 2.0]), abs=1e-12
    )


def test_bootstrapped_hazards_agree_with_quantlib():
    today = QuantLib.Date(20, 3, 2026)
    QuantLib.Settings.instance().evaluationDate = today
    discount = QuantLib.YieldTermStructureHandle(QuantLib.FlatForward(today, 0.04, QuantLib.Actual365Fixed()))
    tenors, spreads = [1, 3, 5, 7], [0.0400, 0.0600, 0.0811, 0.0850]
    helpers = [
        QuantLib.SpreadCdsHelper(
            QuantLib.QuoteHandle(QuantLib.SimpleQuote(spread)),
            QuantLib.Period(tenor, QuantLib.Years),
            0,
            QuantLib.NullCalendar(),
            QuantLib.Quarterly,
            QuantLib.Unadjusted,
            QuantLib.DateGeneration.Backward,
            QuantLib.Actual365Fixed(),
            0.4,
            discount,
        )
        for tenor, spread in zip(tenors, spreads, strict=True)
    ]
    peer = QuantLib.PiecewiseFlatHazardRate(today, helpers, QuantLib.Actual365Fixed())
    curve = curves.cds_curve(tenors, spreads, 0.4, zero_rate=0.04)
    expected = [peer.defaultProbability(today + QuantLib.Period(tenor, QuantLib.Years)) for tenor in tenors]
    assert curve.cumulative_pd == pytest.approx(expected, rel=5e-3)


def test_a_spread_that_needs_a_negative_hazard_names_obligor_tenor_and_spread():
    with pytest.raises(CreditInputError, match=r"obligor sharon-ai: CDS spread is 0\.001; at 5 years") as caught:
        curves.cds_curve([1, 5], [0.08, 0.001], 0.4, obligor="sharon-ai")
    assert (caught.value.obligor, caught.value.field, caught.value.value) == ("sharon-ai", "CDS spread", 0.001)


# --- yields and effective rates -------------------------------------------------------------------


def _bond(years, coupon, frequency=2):
    times = np.arange(1, years * frequency + 1) / frequency
    flows = np.full(len(times), 100 * coupon / frequency)
    flows[-1] += 100
    return flows, times


def test_o20_a_ten_year_par_bond_at_7_percent_has_a_modified_duration_of_7_11():
    assert yield_measures(*_bond(10, 0.07), 0.07).modified_years == pytest.approx(7.1062, abs=5e-5)


def test_o20_the_fourth_decimal_of_a_duration_is_the_day_count():
    settlement, maturity = date(2016, 6, 16), date(2025, 12, 25)
    coupons = sorted(
        day for year in range(2016, 2026) for day in (date(year, 6, 25), date(year, 12, 25)) if day <= maturity
    )
    times = np.array([year_fraction(settlement, day, "30/360") for day in coupons])
    flows = np.full(len(times), 2.5)
    flows[-1] += 100
    found = yield_measures(flows, times, 0.06)
    assert (found.macaulay_years, found.modified_years) == pytest.approx((7.419997, 7.203881), abs=5e-7)


@pytest.mark.parametrize(
    ("years", "coupon", "expected"),
    [
        (8, 0.08, (94.382992, 5.993775, 5.735670, 41.957603)),
        (5, 0.09, (100.0, 4.134395, 3.956359, 19.452564)),
        (25, 0.09, (100.0, 10.325649, 9.881004, 160.721059)),
    ],
)
def test_o20_price_durations_and_convexity_at_9_percent(years, coupon, expected):
    assert tuple(yield_measures(*_bond(years, coupon), 0.09)) == pytest.approx(expected, abs=5e-7)


def test_o20_shocks_of_the_yield_move_the_price_by_the_published_amounts():
    base = yield_measures(*_bond(8, 0.08), 0.09).price
    shocks = {100: -5.220762, -100: 5.617008, 200: -10.076236, -200: 11.664066, 300: -14.594783, -300: 18.178110}
    for bp, expected in shocks.items():
        price = yield_measures(*_bond(8, 0.08), 0.09 + bp / 1e4).price
        assert price - base == pytest.approx(expected, abs=5e-7)
    up, down = (yield_measures(*_bond(8, 0.08), 0.09 + shift).price for shift in (0.01, -0.01))
    assert (down - up) / (2 * base * 0.01) == pytest.approx(5.741378, abs=5e-7)


MICROSOFT_DAYS = [date(2008, 1, 1), date(2008, 3, 1), date(2008, 10, 30), date(2009, 2, 15), date(2009, 4, 1)]
MICROSOFT_FLOWS = [-10_000, 2_750, 4_250, 3_250, 2_750]


def test_o19_the_value_of_the_dated_flows_at_9_percent_is_2_086_6476():
    assert cost.dated_present_value(0.09, MICROSOFT_DAYS, MICROSOFT_FLOWS) == pytest.approx(2_086.6476, abs=5e-5)


def test_o19_amortised_cost_at_the_effective_rate_ends_at_nought():
    schedule = cost.amortised_cost(MICROSOFT_DAYS[0], 10_000.0, MICROSOFT_DAYS[1:], MICROSOFT_FLOWS[1:])
    assert schedule["carrying"][-1] == pytest.approx(0.0, abs=1e-6)
    assert schedule["interest"].sum() == pytest.approx(sum(MICROSOFT_FLOWS))
    footed = schedule["opening"] + schedule["interest"] - schedule["payment"]
    assert footed.to_list() == schedule["carrying"].to_list()
    with pytest.raises(CreditInputError, match="ascending"):
        cost.amortised_cost(MICROSOFT_DAYS[1], 10_000.0, MICROSOFT_DAYS[:2], [1.0, 2.0])


def test_ifrs_9_guidance_b26_a_debt_bought_at_1_000_that_repays_1_250_yields_10_percent():
    """1,250 of principal, 4.7 % a year, five years: amortised cost 1,041, 1,086, 1,136, 1,190 and nothing."""
    days = [date(year, 1, 1) for year in range(2000, 2006)]
    payments = [59.0] * 4 + [1_309.0]
    schedule = cost.amortised_cost(days[0], 1_000.0, days[1:], payments, eir=0.10, convention="30/360")
    assert schedule["carrying"].round(0).to_list() == [1_041, 1_086, 1_136, 1_190, 0]
    assert schedule["interest"].to_list() == pytest.approx([100, 104, 109, 113, 119], abs=0.7)
    assert cost.effective_interest_rate(days, [-1_000.0, *payments]) == pytest.approx(0.10, abs=2e-4)
