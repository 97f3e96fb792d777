"""The thirty-seven pitfalls of CREDIT.md, 4, one test each, numbered as there; the last test keeps them complete.

Those whose right behaviour is the warehouse's are tested here as far as the jobs rely on them.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from jobs_home import CONTRACT, backstop, close_time, event, home, invoice, month_list, payment

from orchestration.polars_jobs import backstop_liability as basis
from orchestration.polars_jobs import backstop_paths as paths
from orchestration.polars_jobs import lifetime_ecl as engine
from orchestration.polars_jobs.ageing import bucket_of
from orchestration.polars_jobs.allowance import closing_allowance, provision_for
from orchestration.polars_jobs.backstop_worth import Inputs, book_at
from orchestration.polars_jobs.collections import countback_dso, dso_simple
from orchestration.polars_jobs.default_curves import rating_curve, transition_matrix
from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.expected_loss import loss_given_default
from orchestration.polars_jobs.exposure import net_exposure
from orchestration.polars_jobs.frames import days_in_month, month_hours
from orchestration.polars_jobs.issuer import fiscal_quarter, fiscal_year_end
from orchestration.polars_jobs.money import fx_remeasurement, largest_remainder, round_money
from orchestration.polars_jobs.policies import CreditPolicy
from orchestration.polars_jobs.programme import run_all
from orchestration.polars_jobs.provision_matrix import bucket_loss, matrix_loss
from orchestration.polars_jobs.receivables import read_closes

D = Decimal
JAN, FEB, MAR, APR, MAY, JUN = MONTHS = month_list(date(2027, 1, 1), 6)
DEC = date(2026, 12, 1)
TWO = [invoice(DEC, "100.00"), invoice(JAN, "200.00")]
FIRST = TWO[0]["item_id"]


def ran(documents, payments=(), events=(), **over):
    return run_all(home(MONTHS, list(documents), list(payments), list(events), **over))


def roll(out, month):
    return out["credit.fct_receivable_rollforward_month"].filter(pl.col("month") == month).row(0, named=True)


def allowance(out, month):
    rows = out["credit.fct_allowance_rollforward_month"].filter((pl.col("month") == month) & pl.col("posted"))
    return rows.row(0, named=True)


def test_pitfall_2_a_leap_february_has_29_days_of_hours_and_no_month_has_730():
    assert (days_in_month(date(2024, 2, 1)), days_in_month(date(2028, 2, 1))) == (29, 29)
    assert month_hours(date(2028, 2, 1), date(2028, 2, 29), "UTC") == 29 * 24
    assert month_hours(date(2027, 4, 1), date(2027, 4, 30), "Australia/Sydney") == 30 * 24 + 1, "clocks go back"
    assert month_hours(date(2027, 10, 1), date(2027, 10, 31), "Australia/Sydney") == 31 * 24 - 1


def test_pitfall_2_a_month_ahead_commits_the_real_hours_of_its_days_on_the_paths():
    """Twenty-nine days in February, and in Sydney an hour more in April: no 730 gives them."""
    terms = {"deductible_fraction": None, "lifetime_cap_amount": None, "committed_fraction": D(1)}
    full = backstop(home([date(2027, 12, 1)], TWO[:1]), **terms)
    full["core.dim_contract"] = full["core.dim_contract"].with_columns(park_id=pl.lit("sharon-au-1"))
    for zone, february, april in (("UTC", 29 * 24, 30 * 24), ("Australia/Sydney", 29 * 24, 30 * 24 + 1)):
        closes = full["intermediate.int_closes"].with_columns(time_zone=pl.lit(zone))
        frames = {**full, "intermediate.int_closes": closes}
        close = read_closes(closes)[0]
        book = book_at(Inputs(frames), close, frames["core.dim_contract"].row(0, named=True), CreditPolicy({}))
        assert book.tranches[0].committed[[1, 3]].tolist() == [2_000 * february, 2_000 * april]


def test_pitfall_4_the_fiscal_year_ends_on_the_last_sunday_of_january_and_some_have_53_weeks():
    assert fiscal_year_end(2026, 1, "last_sunday") == date(2026, 1, 25)
    assert fiscal_quarter(date(2026, 4, 26), 1, "last_sunday") == (2027, 1, 91)
    assert fiscal_quarter(date(2027, 1, 31), 1, "last_sunday") == (2027, 4, 98)


def test_pitfall_5_what_is_earned_and_unbilled_at_the_close_is_exposed_to_loss():
    losses = ran([], accruals={JAN: "500.00"})["credit.fct_credit_loss_month"]
    assert losses.filter(pl.col("month") == JAN)["exposure_amount"].unique().to_list() == [D("500.00")]


def test_pitfall_6_days_past_due_count_from_the_contractual_due_date_though_it_is_a_sunday():
    sunday = {**invoice(DEC, "100.00"), "due_date": date(2027, 2, 28)}
    items = ran([sunday])["credit.fct_receivable_item"].filter(pl.col("as_of_month") == MAR)
    assert items["days_past_due"].to_list() == [31]


def test_pitfall_7_day_0_is_current_day_30_is_1_30_and_day_31_is_31_60():
    assert [bucket_of(day) for day in (0, 1, 30, 31)] == ["current", "1-30", "1-30", "31-60"]


def test_pitfall_8_money_is_rounded_once_half_away_from_zero_and_never_as_a_float():
    assert (round_money(D("0.005")), round_money(D("-0.005"))) == (D("0.01"), D("-0.01"))
    assert round_money(D("0.004") * 3) == D("0.01"), "the total is rounded, not each part"
    with pytest.raises(TypeError):
        round_money(0.005)


def test_pitfall_9_cents_left_over_go_to_the_largest_fractions_and_parts_sum_to_the_total():
    assert list(largest_remainder(D("100.00"), {"a": 1, "b": 1, "c": 1}).values()) == [
        D("33.34"), D("33.33"), D("33.33")
    ]  # fmt: skip


def test_pitfall_10_rates_are_not_rounded_before_they_multiply():
    balances = [5_984_698, 8_272, 2_882, 842, 1_100]
    assert matrix_loss(balances, [0.003, 0.08, 0.26, 0.58, 0.82], [1.1] * 5) == D("22831.09")


def test_pitfall_11_receivable_and_allowance_are_remeasured_at_one_rate():
    receivable, reserve = fx_remeasurement(1_000, 0.66, 0.60), fx_remeasurement(50, 0.66, 0.60)
    assert (receivable, reserve) == (D("-60.00"), D("-3.00"))
    with pytest.raises(CreditInputError, match="exchange rate is 0"):
        fx_remeasurement(1_000, 0.66, 0)


def test_pitfall_12_exchange_is_a_line_of_its_own_and_no_provision():
    assert provision_for(D(110), D(100), fx=D(10)) == 0
    assert closing_allowance(D(100), fx=D("-4.00")) == D("96.00")


def test_pitfall_13_late_data_keeps_its_own_date_and_leaves_closed_months_as_they_were():
    late = ran(TWO, [payment("p", MAR, "100.00", recorded=close_time(MAR) + timedelta(days=1))])
    assert roll(late, MAR)["applied_amount"] == 0
    assert roll(late, APR)["applied_amount"] == D("100.00")
    lines = late["credit.fct_credit_journal_lines"].filter(pl.col("event") == "apply_cash")
    assert lines.select("service_month", "posting_month").unique().rows() == [(MAR, APR)]


def test_pitfall_14_new_information_is_a_change_of_estimate_in_its_own_month():
    worse = event("r", "rating_change", APR, payload='{"rating": "CCC"}')
    before, after = ran(TWO), ran(TWO, (), [worse])
    assert allowance(after, MAR) == allowance(before, MAR)
    assert allowance(after, APR)["provision_amount"] > allowance(before, APR)["provision_amount"]


def test_pitfall_15_terms_ratings_and_payments_recorded_later_are_seen_on_no_side_of_any_join():
    later = close_time(JUN) + timedelta(days=30)
    unseen = ran(TWO, [payment("p", FEB, "10.00", recorded=later)], [event("i", "insolvency", FEB, recorded=later)])
    for name, frame in ran(TWO).items():
        assert frame.equals(unseen[name]), name


def test_pitfall_16_a_rating_counts_from_the_close_that_knows_it():
    known = close_time(MAR) + timedelta(hours=1)
    out = ran(TWO, (), [event("r", "rating_change", JAN, payload='{"rating": "CCC"}', recorded=known)])
    rated = out["credit.fct_credit_loss_month"].filter(pl.col("standard") == "cecl").sort("month")["rating"]
    assert rated.to_list() == ["B", "B", "B", "CCC", "CCC", "CCC"]


def test_pitfall_17_every_event_moves_its_accounts_the_right_way():
    events = [event("w", "write_off", APR, amount="40.00"), event("r", "recovery", MAY, amount="15.00")]
    out = ran(TWO, [payment("p", MAR, "60.00")], events, claims={APR: "30.00"})
    balance = out["ledger.fct_trial_balance_month"]

    def change(account, month):
        row = balance.filter((pl.col("account") == account) & (pl.col("posting_month") == month))
        return row["debit_amount"].item() - row["credit_amount"].item()

    assert change("trade_receivable", MAR) == D("-60.00")
    assert change("trade_receivable", APR) == D("-40.00")
    assert change("backstop_payable", APR) == D("-30.00")
    assert change("cash", MAY) == D("15.00")
    assert allowance(out, APR)["write_off_amount"] == D("40.00")
    assert allowance(out, MAY)["recovery_amount"] == D("15.00")


def test_pitfall_18_a_credit_ages_nowhere_and_cuts_nobodys_loss():
    assert bucket_loss(-500, 0.1) == 0
    assert matrix_loss([1_000, -500], [0.01, 0.5]) == D("10.00")
    assert net_exposure(D(0), D(0), D(50), netting_enforceable=True) == 0


def test_pitfall_19_unapplied_cash_stands_in_no_age_bucket():
    out = ran([TWO[0]], [payment("p", MAR, "130.00")])
    aged = out["credit.fct_ageing_month"].filter((pl.col("month") == MAR) & (pl.col("unapplied_amount") != 0))
    assert aged.select("bucket", "open_amount", "unapplied_amount").rows() == [("unapplied", D(0), D("30.00"))]


def test_pitfall_20_no_sales_no_dso_and_a_reason():
    for sales in (0, -5):
        found = dso_simple(100, sales, 90)
        assert found.value is None
        assert "no credit sales" in found.null_reason
    assert countback_dso(100, [(30, 0), (31, 200)]).value == pytest.approx(30 + 15.5)


def test_pitfall_21_allowance_and_provision_may_be_negative():
    assert provision_for(D(0), D("50000.00")) == D("-50000.00")
    assert closing_allowance(D(10), recoveries=D(5), provision=D(-40)) == D(-25)


def test_pitfall_22_twelve_months_end_at_maturity():
    year = engine.twelve_month_ecl(
        np.full((1, 1, 2), 0.02), 1.0, [100.0, 100.0], eir=0.0, period_years=[0.25, 0.25], weights=[1.0]
    )
    assert year.weighted[0] == pytest.approx(100 * (1 - 0.98**2))


def test_pitfall_23_results_of_scenarios_are_weighted_and_not_their_inputs():
    given = {"eir": 0.0, "tau_years": [1.0, 2.0]}
    hazards, lgd = np.array([0.01, 0.09])[:, None, None], np.array([0.4, 0.8])[:, None, None]
    weighted = engine.lifetime_ecl(hazards, lgd, 100.0, weights=[0.5, 0.5], **given).weighted[0]
    of_means = engine.lifetime_ecl(0.05, 0.6, 100.0, weights=[1.0], **given).weighted[0]
    assert weighted == pytest.approx((40 * (1 - 0.99**2) + 80 * (1 - 0.91**2)) / 2)
    assert weighted > of_means


def test_pitfall_24_marginal_probabilities_are_of_those_alive_and_a_falling_cumulative_is_an_error():
    assert engine.marginal_pd([0.5, 0.5, 0.5]) == pytest.approx([0.5, 0.25, 0.125])
    with pytest.raises(CreditInputError):
        engine.conditional_from_cumulative([0.1, 0.05])


def test_pitfall_25_withdrawn_ratings_are_adjusted_and_rows_are_checked():
    assert rating_curve([1], [0.0376], [0.1206]).cumulative_pd[0] == pytest.approx(0.0376 / (1 - 0.1206))
    with pytest.raises(CreditInputError, match=r"obligor B: sum of transition rates is 0\.9"):
        transition_matrix([[0.8, 0.1, 0.0]], ["B"])


def test_pitfall_26_a_positive_factor_is_good_everywhere():
    assert engine.vasicek_shift(0.02, 0.2, 1.0) < 0.02
    good, bad = np.array([[1.0]]), np.array([[-1.0]])
    model = paths.Occupancy(0.8, 0.8, 0.9, 0.35)
    assert paths.occupancy_paths(model, good) > paths.occupancy_paths(model, bad)
    assert paths.survival_paths(np.array([0.02]), good, 0.4) > paths.survival_paths(np.array([0.02]), bad, 0.4)
    price = paths.Price(2.0, 2.0, 1.0, 0.45, 0.0, -0.1)
    assert paths.price_paths(price, good, np.ones((1, 1))) > paths.price_paths(price, bad, np.ones((1, 1)))


def test_pitfall_27_a_cap_acts_on_each_path_before_the_mean():
    claims = np.array([[0.0], [200.0]])
    capped = paths.cap_claims(claims, paths.Caps(np.zeros(1, dtype=np.int64), lifetime_left=100.0))
    assert capped.mean() == 50.0
    assert min(claims.mean(), 100.0) == 100.0


def test_pitfall_28_expected_shortfall_with_ties_is_not_below_value_at_risk():
    losses = np.array([1.0, 5.0, 5.0, 5.0])
    assert paths.value_at_risk(losses, 0.5) == paths.expected_shortfall(losses, 0.5) == 5.0
    assert paths.expected_shortfall(np.array([0.0, 0.0, 10.0]), 0.5) == pytest.approx(10 / 1.5)


def test_pitfall_29_the_stand_ready_amount_is_released_once_and_to_nought():
    expected = np.array([1.0, 3.0, 6.0])
    for released in (
        [basis.stand_ready_straight_line(300.0, month, 3) for month in range(4)],
        [basis.stand_ready_risk_release(300.0, expected, month) for month in range(4)],
    ):
        assert released[0] == 300.0
        assert released[-1] == pytest.approx(0.0)
        assert -np.diff(released).sum() == pytest.approx(300.0), "income over the term is what was deferred, no more"


def test_pitfall_30_claims_and_share_of_one_operator_are_not_netted_where_set_off_is_not_enforceable():
    out = ran([TWO[0]], accruals={DEC: "100.00"}, claims={JAN: "60.00"})
    exposure = out["credit.fct_exposure_month"].filter(pl.col("month") == FEB).row(0, named=True)
    assert exposure["gross_amount"] == exposure["net_amount"] == D("100.00")
    assert exposure["claims_payable_amount"] == D("60.00")
    accounts = out["ledger.fct_trial_balance_month"]["account"].unique().to_list()
    assert {"backstop_cost", "backstop_payable", "trade_receivable"} <= set(accounts)


def test_pitfall_31_cash_that_the_vendors_own_claim_paid_is_marked_and_left_out_beside():
    out = ran(TWO, [payment("p", date(2027, 3, 20), "100.00", circular=True)])
    row = out["credit.fct_collection_metrics_month"].filter(pl.col("month") == MAR).row(0, named=True)
    assert row["circular_applied_amount"] == D("100.00")
    assert row["dso_days"] < row["dso_days_without_circular"]


def test_pitfall_32_an_insolvent_operator_ends_the_backstop_and_not_the_ageing():
    frames = backstop(home(MONTHS, TWO, (), [event("i", "insolvency", FEB)], policy={"path_count": "200"}))
    out = run_all(frames)
    worth = out["credit.fct_backstop_distribution_month"].filter(pl.col("month") >= FEB)
    assert (worth["expected_amount"] == 0).all()
    aged = out["credit.fct_ageing_month"].filter((pl.col("month") == JUN) & (pl.col("open_amount") > 0))
    assert aged["open_amount"].sum() == D("300.00")


def test_pitfall_33_an_amendment_counts_from_its_own_day_and_moves_no_earlier_month():
    frames = backstop(home(MONTHS[:2], TWO, policy={"path_count": "200"}))
    terms = frames["raw.backstop_terms"]
    amended = terms.with_columns(
        amendment_id=pl.lit("second"),
        valid_from=pl.lit(FEB),
        recorded_at=pl.lit(datetime(2027, 2, 1, tzinfo=UTC)).dt.cast_time_unit("us"),
        committed_fraction=pl.lit(D("0.40"), dtype=terms.schema["committed_fraction"]),
    )
    second = {"contract_id": CONTRACT, "amendment_id": "second", "from_month": 1, "to_month": 72}
    changed = {
        **frames,
        "raw.backstop_terms": pl.concat([terms, amended]),
        "raw.backstop_price": pl.concat(
            [
                frames["raw.backstop_price"],
                pl.DataFrame([{**second, "price_per_gpu_hour": D("2.33")}], schema=frames["raw.backstop_price"].schema),
            ]
        ),
    }
    name = "credit.fct_backstop_distribution_month"
    before, after = (run_all(given)[name].sort("month", "correlation_case") for given in (frames, changed))
    same = [column for column in before.columns if column not in {"path_count", "seed", "terms_left_out"}]
    in_january = pl.col("month") == JAN
    assert before.filter(in_january).select(same).equals(after.filter(in_january).select(same))
    said = after.filter(in_january)["terms_left_out"].unique().to_list()
    assert said == ["amendment second from 2027-02-01: the terms in force at the close run on"], (
        "known, not yet in force"
    )
    assert (after.filter(~in_january)["expected_amount"] < before.filter(~in_january)["expected_amount"]).all()


def test_pitfall_35_default_is_defined_once_for_stages_and_losses():
    out = ran([TWO[0]], policy={"default_days_past_due": "60"})["credit.fct_credit_loss_month"]
    late = out.filter(pl.col("month") == MAY).sort("standard")
    assert late["pd_fraction"].to_list() == [1.0, 1.0]
    assert late.filter(pl.col("standard") == "ifrs9")["stage"].to_list() == [3]


def test_an_insolvency_of_the_whole_park_is_its_contracts_default_and_one_of_another_park_is_not():
    """The ledgers end a contract's share by an event that names its park alone; credit loss sees the same one."""
    here = {**event("i", "insolvency", MAR), "contract_id": None}
    out = ran(TWO, (), [here])["credit.fct_credit_loss_month"].filter(pl.col("standard") == "ifrs9").sort("month")
    assert [stage == 3 for stage in out["stage"]] == [False, False, True, True, True, True]
    assert ran(TWO, (), [{**here, "park_id": "elsewhere"}])["credit.fct_credit_loss_month"].equals(
        ran(TWO)["credit.fct_credit_loss_month"]
    )


def test_an_insolvency_that_is_corrected_to_another_event_is_none_once_that_is_known():
    wrongly = event("i", "insolvency", MAR)
    corrected = {
        **wrongly,
        "kind": "maintenance",
        "recorded_at": close_time(APR) + timedelta(hours=1),
        "content_hash": "z",
    }
    out = ran(TWO, (), [wrongly, corrected])["credit.fct_credit_loss_month"]
    stages = out.filter(pl.col("standard") == "ifrs9").sort("month")["stage"].to_list()
    assert [stage == 3 for stage in stages[:4]] == [False, False, True, True]
    assert (
        stages[4:]
        == ran(TWO)["credit.fct_credit_loss_month"]
        .filter(pl.col("standard") == "ifrs9")
        .sort("month")["stage"]
        .to_list()[4:]
    )


def test_pitfall_36_the_same_rows_twice_count_once():
    once = ran(TWO, [payment("p", MAR, "100.00")], [event("w", "write_off", APR, amount="40.00")])
    frames = home(MONTHS, TWO, [payment("p", MAR, "100.00")], [event("w", "write_off", APR, amount="40.00")])
    for name in ("staging.stg_payments", "staging.stg_credit_events"):
        frames[name] = pl.concat([frames[name]] * 2)
    twice = run_all(frames)
    for name, frame in once.items():
        assert frame.equals(twice[name]), name


def test_pitfall_37_every_figure_of_a_filing_keeps_its_grade_and_source():
    facts = ran(TWO)["issuer.fct_issuer_fact"]
    assert facts.select(pl.col("evidence_grade", "source").is_null().any()).row(0) == (False, False)


def test_set_off_and_collateral_lower_the_loss_given_default_and_a_floor_holds_it():
    assert loss_given_default(0.6, D(100), D(25), D(25), 0.0) == pytest.approx(0.3)
    assert loss_given_default(0.6, D(100), D(200), D(0), 0.05) == 0.05


def test_all_thirty_seven_pitfalls_have_a_test():
    names = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_jobs_*.py"))
    found = {int(number) for number in re.findall(r"def test_pitfall_(\d+)_", names)}
    assert found == set(range(1, 38))
