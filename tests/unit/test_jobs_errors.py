"""What is out of range is refused, and the refusal names the obligor, the field and the value (CREDIT.md, 4)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from jobs_home import backstop, home, invoice, month_list

from orchestration.polars_jobs import backstop_liability as basis
from orchestration.polars_jobs import backstop_paths as paths
from orchestration.polars_jobs import lifetime_ecl as engine
from orchestration.polars_jobs import rate_sensitivity as rates
from orchestration.polars_jobs.ageing import absorption, bucket_of, roll_rates
from orchestration.polars_jobs.allowance import closing_allowance, provision_for
from orchestration.polars_jobs.amortised_cost import amortised_cost, effective_interest_rate
from orchestration.polars_jobs.collections import countback_dso, dso_simple, receivables_turnover
from orchestration.polars_jobs.day_count import rate_of_period
from orchestration.polars_jobs.default_curves import conditional_pd_for_periods, given_curve, rating_curve
from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.expected_loss import loss_given_default
from orchestration.polars_jobs.exposure import concentration, net_exposure
from orchestration.polars_jobs.money import fx_remeasurement
from orchestration.polars_jobs.programme import lazily, run_all
from orchestration.polars_jobs.provision_matrix import bucket_loss, matrix_loss, rates_from_history

NAMES = ["alpha", "beta", "gamma"]
GOOD = {
    "conditional_pd": np.full((2, 3, 4), 0.02),
    "lgd": np.full((3, 1), 0.45),
    "ead": np.full((3, 4), 100.0),
    "eir": np.full(3, 0.05),
    "tau_years": np.arange(1, 5) / 4,
    "weights": [0.6, 0.4],
}


def loss(**over):
    given = {**{name: np.array(value, dtype=float) for name, value in GOOD.items()}, **over}
    pd, lgd, ead = (given.pop(name) for name in ("conditional_pd", "lgd", "ead"))
    return engine.lifetime_ecl(pd, lgd, ead, **given, obligors=NAMES).weighted


def changed(name, place, value):
    array = np.array(GOOD[name], dtype=float)
    array[place] = value
    return {name: array}


@pytest.mark.parametrize(
    ("name", "place", "value", "obligor", "field"),
    [
        ("conditional_pd", (1, 2, 3), 1.5, "gamma", "conditional default probability"),
        ("conditional_pd", (0, 1, 0), -0.1, "beta", "conditional default probability"),
        ("conditional_pd", (0, 0, 2), np.nan, "alpha", "conditional default probability"),
        ("lgd", (1, 0), 1.01, "beta", "loss given default"),
        ("lgd", (2, 0), np.nan, "gamma", "loss given default"),
        ("ead", (1, 3), -0.01, "beta", "exposure at default"),
        ("ead", (0, 0), np.nan, "alpha", "exposure at default"),
        ("ead", (0, 0), np.inf, "alpha", "exposure at default"),
        ("eir", (2,), -1.0, "gamma", "effective interest rate"),
        ("eir", (0,), np.nan, "alpha", "effective interest rate"),
    ],
)
def test_a_figure_out_of_range_is_refused_with_its_obligor_field_and_value(name, place, value, obligor, field):
    with pytest.raises(CreditInputError, match=f"obligor {obligor}: {field} is ") as caught:
        loss(**changed(name, place, value))
    assert (caught.value.obligor, caught.value.field) == (obligor, field)
    assert caught.value.value == pytest.approx(value, nan_ok=True)


def test_obligors_without_names_are_named_by_their_position():
    pd = changed("conditional_pd", (1, 2, 3), 1.5)["conditional_pd"]
    with pytest.raises(CreditInputError, match="obligor 2: "):
        engine.lifetime_ecl(pd, 0.45, 100.0, eir=0.0, tau_years=GOOD["tau_years"], weights=GOOD["weights"])


@pytest.mark.parametrize("weights", [[0.5, 0.4], [1.2, -0.2], [np.nan, 1.0], []])
def test_weights_that_are_negative_missing_or_do_not_sum_to_one_are_refused(weights):
    with pytest.raises(CreditInputError, match="scenario weight"):
        loss(weights=weights)


def test_a_negative_discount_time_and_shapes_that_do_not_fit_are_refused():
    with pytest.raises(CreditInputError, match="discount time"):
        loss(tau_years=np.array([0.25, -0.5, 0.75, 1.0]))
    with pytest.raises(CreditInputError, match="do not fit"):
        loss(tau_years=np.array([0.25, 0.5]), ead=np.full((3, 4), 1.0))
    with pytest.raises(CreditInputError, match="3 names for 5 obligors"):
        loss(ead=np.full((5, 4), 1.0), lgd=0.5, eir=0.0, conditional_pd=0.1)


def test_peer_defect_a_falling_cumulative_probability_names_who_and_by_how_much():
    with pytest.raises(CreditInputError, match=r"obligor beta: cumulative .* is 0\.01; it falls from 0\.02"):
        engine.conditional_from_cumulative([[0.01, 0.02, 0.03], [0.02, 0.01, 0.03]], obligors=["alpha", "beta"])
    with pytest.raises(
        CreditInputError, match=r"obligor firmus: cumulative default rate is 0\.01; it falls at 2 years"
    ):
        rating_curve([1, 2], [0.02, 0.01], [0.0, 0.0], "firmus")


def test_a_rating_table_with_more_defaulted_and_withdrawn_than_all_is_refused():
    with pytest.raises(CreditInputError, match="obligor B: defaulted and withdrawn"):
        rating_curve([1], [0.5], [0.6], "B")
    with pytest.raises(CreditInputError, match="comes twice"):
        rating_curve([1, 1], [0.1, 0.1], [0.0, 0.0])


def test_a_roll_rate_row_that_does_not_sum_to_one_names_its_bucket_and_its_sum():
    with pytest.raises(CreditInputError, match=r"obligor 31-60: sum of roll rates is 0\.9") as caught:
        absorption(np.array([[0.0, 0.5], [0.2, 0.3]]), np.array([[0.5], [0.4]]), buckets=["1-30", "31-60"])
    assert caught.value.value == pytest.approx(0.9)
    with pytest.raises(CreditInputError, match=r"roll rate is -0\.1"):
        absorption(np.array([[-0.1]]), np.array([[1.1]]))
    with pytest.raises(CreditInputError, match="never left"):
        absorption(np.array([[1.0]]), np.array([[0.0]]))


@pytest.mark.parametrize(("rate", "scalar"), [(1.01, 1), (-0.01, 1), (0.5, -1)])
def test_a_loss_rate_or_scalar_out_of_range_is_refused_and_only_their_product_is_limited(rate, scalar):
    with pytest.raises(CreditInputError, match="obligor sharon-ai: "):
        bucket_loss(100, rate, scalar, "sharon-ai")
    assert bucket_loss(100, 1, 3) == 100


def test_the_long_form_names_the_row_that_is_wrong():
    good = pl.DataFrame(
        [
            {
                "obligor_id": name,
                "scenario": "base",
                "period_no": number,
                "conditional_pd": 0.02,
                "lgd": 0.5,
                "ead": 100.0,
                "eir": 0.05,
                "tau_years": float(number),
                "weight": 1.0,
            }
            for name in NAMES
            for number in (1, 2)
        ]
    )
    assert engine.check_term_structure(good).equals(good)
    beta = pl.col("obligor_id") == "beta"
    for field, value in (
        ("conditional_pd", 1.5),
        ("conditional_pd", float("nan")),
        ("lgd", -0.1),
        ("ead", -1.0),
        ("ead", None),
        ("eir", -1.0),
        ("weight", 0.9),
        ("period_no", 1),
    ):
        bad = good.with_columns(pl.when(beta).then(pl.lit(value)).otherwise(pl.col(field)).alias(field))
        with pytest.raises(CreditInputError) as caught:
            engine.check_term_structure(bad)
        assert caught.value.obligor == "beta", field
    # The form takes one weight of a scenario: two would leave it to the order of rows which one counts.
    uneven = good.with_columns(weight=pl.when(beta & (pl.col("period_no") == 2)).then(0.5).otherwise(pl.col("weight")))
    for rows in (uneven, uneven.reverse()):
        with pytest.raises(CreditInputError, match=r"obligor beta: weight is 1\.0; it is 0\.5 in another period"):
            engine.check_term_structure(rows)


NAN, NOWHERE = float("nan"), np.zeros((1, 1))
OCCUPANCY, PRICE = paths.Occupancy(0.85, 0.8, 0.9, 0.35), paths.Price(2.0, 2.0, 1.0, 0.4, 0.5, -0.1)
YEAR = [date(2027, 1, 1), date(2028, 1, 1)]
FLOW, CURVE = np.array([5.0]), rates.Curve(np.array([1.0]), np.array([0.05]))
# A job with a bad input: what its error must call the field.
REFUSED = {
    "a survival whose second obligor's hazard is above 1": (
        lambda: engine.survival([[0.1], [1.2]]), "conditional default probability", 1),
    "a marginal probability of what is no number": (
        lambda: engine.marginal_pd([[0.1], [NAN]]), "conditional default probability", 1),
    "a factor that is no number": (lambda: engine.vasicek_shift(0.02, 0.1, NAN), "systemic factor", None),
    "a confidence above 1": (lambda: engine.worst_case_default_rate(0.02, 0.1, 1.5), "confidence", None),
    "a shortfall that is no number": (lambda: engine.discounted_shortfall([0, NAN], [0.5, 0.5], 0.05, 1), "shortfall", None),
    "shortfalls without probabilities": (lambda: engine.discounted_shortfall([0, 1, 2], [0.5, 0.5], 0.05, 1), "shortfalls", None),
    "a stage of a probability above 1": (
        lambda: engine.ifrs9_stage(0, 1.4, 0.1, insolvent=False, default_days=90, significant_days=30, pd_ratio=2.0),
        "lifetime default probability", None),
    "an occupancy that grows by itself": (
        lambda: paths.occupancy_paths(OCCUPANCY._replace(persistence=1.5), NOWHERE), "persistence of occupancy", None),
    "a negative shock": (lambda: paths.occupancy_paths(OCCUPANCY._replace(shock=-0.1), NOWHERE), "shock of occupancy", None),
    "a price below nought": (lambda: paths.price_paths(PRICE._replace(start=-1.0), NOWHERE, NOWHERE), "price", None),
    "a mean price of nought": (lambda: paths.price_paths(PRICE._replace(mean=0.0), NOWHERE, NOWHERE), "mean price", None),
    "a negative volatility": (
        lambda: paths.price_paths(PRICE._replace(volatility=-0.4), NOWHERE, NOWHERE), "volatility of price", None),
    "a jump of all of the price": (
        lambda: paths.price_paths(PRICE._replace(jump_fraction=-1.0), NOWHERE, NOWHERE), "jump of price", None),
    "a jump more often than ever": (
        lambda: paths.price_paths(PRICE._replace(jump_probability_per_year=1.5), NOWHERE, NOWHERE), "probability of a jump", None),
    "negative hours": (lambda: paths.shortfall_hours(np.array([-5.0]), np.array([1.0])), "committed hours", None),
    "sold hours that are no number": (lambda: paths.shortfall_hours(np.array([5.0]), np.array([NAN])), "sold hours", None),
    "a claim that is no number": (lambda: paths.cap_claims(np.array([[NAN]]), paths.NO_CAPS), "claim", None),
    "a negative claim": (lambda: paths.cap_claims(np.array([[-1.0]]), paths.NO_CAPS), "claim", None),
    "a mean of what is no number": (lambda: paths.mean_and_error(np.array([1.0, NAN])), "simulated amount", None),
    "the likeliest of what is no number": (lambda: paths.most_likely(np.array([NAN])), "outcome", None),
    "the likeliest of nothing": (lambda: paths.most_likely(np.array([])), "outcome", None),
    "a probit that is no number": (lambda: paths.probit_draw(NAN, 0.5, 0.7), "intercept", None),
    "a floor above 1": (lambda: paths.logit_shortfall(OCCUPANCY, 1.2, 3), "floor", None),
    "a forward price below nought": (
        lambda: paths.price_and_quantity_shortfall(0.8, 0.5, 0.7, forward=-1.0, volatility=0.4, strike=2.0, correlation=0.5),
        "forward price", None),
    "a stand-ready amount that is no number": (lambda: basis.stand_ready_straight_line(NAN, 1, 12), "fair value at inception", None),
    "an expected claim that is no number": (
        lambda: basis.stand_ready_risk_release(1.0, np.array([NAN]), 1), "expected claim", None),
    "a release after the term": (lambda: basis.stand_ready_risk_release(1.0, np.array([1.0]), 2), "elapsed months", None),
    "a loss more than certain": (lambda: basis.asc450_accrual(1.2, 0.75, 1.0, None), "probability of loss", None),
    "a best estimate that is no number": (lambda: basis.asc450_accrual(0.9, 0.75, 1.0, NAN), "best estimate", None),
    "a cost that is no number": (lambda: basis.ias37_onerous(NAN, None, 0.0), "cost to fulfil", None),
    "a guarantee that is no number": (lambda: basis.financial_guarantee(NAN, 1.0, 0.0), "expected loss", None),
    "a negative cost of capital": (lambda: basis.fair_value(1.5, 2.0, -0.1), "cost of capital", None),
    "a cash flow that is no number": (lambda: effective_interest_rate(YEAR, [-1.0, NAN]), "cash flow", None),
    "a loan of no number": (lambda: amortised_cost(YEAR[0], NAN, YEAR[1:], [1.0]), "initial amount", None),
    "a value of no number": (lambda: rates.present_value(np.array([NAN]), FLOW, CURVE), "cash flow", None),
    "a flow before today": (lambda: rates.present_value(FLOW, np.array([-1.0]), CURVE), "time in years", None),
    "a yield below −100 %": (lambda: rates.yield_measures(FLOW, FLOW, -3.0), "yield", None),
    "an exposure that is no number": (
        lambda: net_exposure(Decimal("NaN"), Decimal(0), Decimal(0), netting_enforceable=True), "receivable", None),
    "a negative set-off": (
        lambda: loss_given_default(0.5, Decimal(100), Decimal(-5), Decimal(0), 0.0), "set-off", None),
    "a provision that is no number": (lambda: closing_allowance(Decimal(1), provision=Decimal("NaN")), "provision", None),
    "a closing that is no number": (lambda: provision_for(Decimal("NaN"), Decimal(1)), "closing", None),
}  # fmt: skip


@pytest.mark.parametrize(
    ("years", "zero", "message"),
    [
        ([2.0, 1.0], [0.09, 0.01], r"curve node in years is 1\.0; must come after 2\.0"),
        ([1.0, 1.0], [0.09, 0.01], r"curve node in years is 1\.0; must come after 1\.0"),
        ([1.0, 2.0], [0.09, NAN], "zero rate is nan"),
        ([1.0, 2.0], [0.09], "a rate for each of its nodes"),
        ([], [], "one at least"),
    ],
)
def test_a_curve_whose_nodes_do_not_ascend_or_have_no_rate_is_refused(years, zero, message):
    curve = rates.Curve(np.array(years), np.array(zero))
    with pytest.raises(CreditInputError, match=message):
        rates.present_value(FLOW, FLOW, curve)


def test_a_curve_of_one_node_is_flat():
    flat = rates.Curve(np.array([3.0]), np.array([0.05]))
    assert rates.present_value(FLOW, FLOW, flat) == pytest.approx(5 * np.exp(-0.25))


@pytest.mark.parametrize("name", REFUSED)
def test_every_job_refuses_what_it_cannot_use_and_names_the_field(name):
    job, field, obligor = REFUSED[name]
    with pytest.raises(CreditInputError) as caught:
        job()
    assert (caught.value.field, caught.value.obligor) == (field, obligor)


# --- the rest of what the peers get wrong (ORACLES.md, 2.2) ---------------------------------------


def test_peer_defect_the_factor_has_one_sign_in_conditional_rates_in_paths_and_in_copula_defaults():
    assert engine.vasicek_shift(0.02, 0.15, 3.0) < 0.02 < engine.vasicek_shift(0.02, 0.15, -3.0)
    levels = np.array([[-3.0], [3.0]])
    bad, good = paths.survival_paths(np.array([0.02]), levels, 0.4)[:, 0]
    assert bad < good
    both = paths.default_months(np.array([[bad], [good]]), np.array([0.95, 0.95]))
    assert both.tolist() == [0, 1], "the same draw defaults in the bad state and survives in the good one"
    low, high = paths.occupancy_paths(paths.Occupancy(0.8, 0.8, 0.9, 0.35), levels)[:, 0]
    assert low < high


@pytest.mark.parametrize(("obligors", "periods"), [(2, 5), (5, 2), (3, 3), (1, 4)])
def test_peer_defect_any_number_of_obligors_meets_any_number_of_periods(obligors, periods):
    random = np.random.default_rng(7)
    pd, ead = random.uniform(0, 0.1, (obligors, periods)), random.uniform(1, 9, (obligors, periods))
    eir, tau = random.uniform(0, 0.2, obligors), np.arange(1, periods + 1) / 4
    together = engine.lifetime_ecl(pd[None], 0.5, ead, eir=eir, tau_years=tau, weights=[1.0]).weighted
    alone = [
        engine.lifetime_ecl(pd[None, [n]], 0.5, ead[[n]], eir=eir[n], tau_years=tau, weights=[1.0]).weighted[0]
        for n in range(obligors)
    ]
    assert together == pytest.approx(alone, rel=1e-14)


def test_peer_defect_discounting_takes_time_in_years_so_that_no_caller_converts_a_rate():
    quarters = engine.discount_factors(0.10, [0.25, 0.5, 0.75, 1.0])
    assert quarters[-1] == pytest.approx(1 / 1.10)
    assert quarters[0] == pytest.approx(1 / (1 + rate_of_period(0.10, 0.25)))
    assert quarters[0] != pytest.approx(1 / (1 + 0.10 / 4), abs=1e-6), "nominal ÷ 4 is another rate"


def test_peer_defect_buckets_of_any_number_roll():
    three = (("current", 0), ("late", 60), ("lost", None))
    assert [bucket_of(day, three) for day in (0, 60, 61)] == ["current", "late", "lost"]
    months = month_list(date(2027, 1, 1), 6)
    items = run_all(home(months, [invoice(date(2026, 12, 1), "100.00")]))["credit.fct_receivable_item"]
    rates = roll_rates(items, three)
    assert set(rates["from_bucket"].to_list()) <= {"current", "late", "lost"}
    late = rates.filter(pl.col("from_bucket") == "late")
    assert late["rate"].sum() == pytest.approx(late["month"].n_unique())
    with pytest.raises(CreditInputError, match="must have no end"):
        bucket_of(100, (("current", 0), ("late", 60)))


def test_peer_defect_a_stage_follows_the_change_of_risk_not_its_level():
    rules = {"insolvent": False, "default_days": 90, "significant_days": 30, "pd_ratio": 2.0}
    assert engine.ifrs9_stage(0, 0.30, 0.28, **rules) == 1, "risky from the start and no riskier since"
    assert engine.ifrs9_stage(0, 0.004, 0.001, **rules) == 2, "safe, and four times as risky as it was"
    assert engine.ifrs9_stage(30, 0.01, 0.01, **rules) == 1
    assert engine.ifrs9_stage(31, 0.01, 0.01, **rules) == 2
    assert engine.ifrs9_stage(90, 0.01, 0.01, **rules) == 3


# --- bad input that has a defined result ----------------------------------------------------------


def test_a_default_curve_of_one_node_has_one_intensity_for_all_time():
    curve = given_curve([2.0], [0.19])
    assert conditional_pd_for_periods(curve, [1.0, 2.0, 3.0]) == pytest.approx([0.1, 0.1, 0.1])


def test_an_operator_without_a_rating_takes_the_policys_and_an_unknown_one_is_named():
    months = month_list(date(2027, 1, 1), 2)
    frames = home(months, [invoice(date(2026, 12, 1), "100.00")])
    unrated = frames["core.dim_operator"].with_columns(rating=pl.lit(None, dtype=pl.String))
    out = run_all({**frames, "core.dim_operator": unrated})["credit.fct_credit_loss_month"]
    assert set(out["rating"].to_list()) == {"CCC/C"}
    unknown = frames["core.dim_operator"].with_columns(rating=pl.lit("XYZ"))
    with pytest.raises(CreditInputError, match="obligor sharon-ai: rating is 'XYZ'"):
        run_all({**frames, "core.dim_operator": unknown})


def test_a_contract_without_history_has_rows_of_nought_and_metrics_that_say_why_they_are_null():
    out = run_all(home(month_list(date(2027, 1, 1), 2), []))
    roll = out["credit.fct_receivable_rollforward_month"]
    assert roll["closing_amount"].to_list() == [0, 0]
    metrics = out["credit.fct_collection_metrics_month"]
    assert metrics["dso_days"].null_count() == 2
    assert metrics["dso_days_null_reason"].null_count() == 0
    assert (out["credit.fct_credit_loss_month"]["expected_credit_loss_amount"] == 0).all()


def test_an_empty_month_between_two_busy_ones_has_its_rows_and_carries_the_balance():
    months = month_list(date(2027, 1, 1), 4)
    first, last = invoice(date(2026, 12, 1), "100.00"), invoice(date(2027, 3, 1), "50.00")
    out = run_all(home(months, [first, last]))
    roll = out["credit.fct_receivable_rollforward_month"].sort("month")
    assert roll["closing_amount"].to_list() == [100, 100, 100, 150]
    assert roll["invoices_amount"].to_list() == [100, 0, 0, 50]
    assert out["credit.fct_ageing_month"].group_by("month").len()["len"].to_list() == [8] * 4


def test_a_home_without_a_close_or_a_contract_gives_empty_tables_with_their_columns():
    frames = home(month_list(date(2027, 1, 1), 1), [])
    frames["intermediate.int_closes"] = frames["intermediate.int_closes"].clear()
    for given in (frames, {**frames, "core.dim_contract": frames["core.dim_contract"].clear()}):
        out = run_all(given)
        assert out["credit.fct_receivable_rollforward_month"].is_empty()
        assert out["credit.fct_credit_loss_month"].is_empty()
        assert "dso_days" in out["credit.fct_collection_metrics_month"].columns


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "many", None])
def test_what_is_no_number_is_named_by_every_job_that_takes_amounts(bad):
    for job, field in (
        (lambda: dso_simple(bad, 100, 30), "receivable"),
        (lambda: countback_dso(100, [(30, bad)]), "sales"),
        (lambda: receivables_turnover(100, [bad], 30), "balance"),
        (lambda: bucket_loss(100, bad, 1, "firmus"), "loss rate"),
        (lambda: rates_from_history(bad, [1], 1), "sales"),
        (lambda: concentration([bad]), "exposure"),
        (lambda: fx_remeasurement(100, bad, 1), "exchange rate"),
    ):
        with pytest.raises(CreditInputError, match="must be a number") as caught:
            job()
        assert caught.value.field == field


def test_figures_of_any_kind_of_number_give_the_same_answer():
    for kind in (int, float, Decimal, Fraction):
        assert dso_simple(kind(15_000), kind(10_000), 30).value == 45.0
        assert countback_dso(kind(150), [(30, kind(100)), (31, kind(100))]).value == 45.5
        assert receivables_turnover(kind(100), [kind(40), kind(60)], 365).value == 2.0
        assert concentration([kind(30), kind(30), kind(20), kind(20)]).hhi == 2_600
    assert matrix_loss([1_000.1], [0.1]) == matrix_loss([Decimal("1000.1")], [Decimal("0.1")]) == Decimal("100.01")


# --- lazy in, lazy out ----------------------------------------------------------------------------


def test_every_job_takes_and_gives_lazy_frames_whose_schemas_are_those_that_come_out():
    frames = backstop(home(month_list(date(2027, 1, 1), 2), [invoice(date(2026, 12, 1), "100.00")]))
    frames["raw.policy"] = pl.DataFrame([{"policy": "path_count", "value_text": "100"}])
    eager = run_all(frames)
    lazy = lazily({name: frame.lazy() for name, frame in frames.items()})
    assert set(lazy) == set(eager)
    for name, frame in lazy.items():
        assert frame.collect().equals(eager[name]), name
        assert dict(frame.collect_schema()) == dict(eager[name].schema), name


def test_a_lazy_job_reads_nothing_until_it_is_collected_and_then_names_what_is_missing():
    outputs = lazily({})
    with pytest.raises(Exception, match=r"input table ledger\.fct_journal_lines is missing"):
        outputs["credit.fct_receivable_item"].collect()
