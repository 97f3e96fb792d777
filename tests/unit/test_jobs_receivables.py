"""The sub-ledger, its ageing and metrics, the allowance and the issuer's quarters on small hand-written homes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from jobs_home import CONTRACT, backstop, close_time, event, home, invoice, month_list, payment

from orchestration.polars_jobs.ageing import BUCKET_NAMES, bucket_of
from orchestration.polars_jobs.collections import collection_effectiveness, countback_dso, dso_simple
from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.expected_loss import macro_scenarios
from orchestration.polars_jobs.frames import RowsBy
from orchestration.polars_jobs.issuer import fiscal_quarter, fiscal_year_end, issuer_quarters
from orchestration.polars_jobs.journal import union_lines
from orchestration.polars_jobs.programme import receivables_group, run_all
from orchestration.polars_jobs.receivables import read_closes
from orchestration.polars_jobs.terms_at_close import collection_days

D = Decimal
JAN, FEB, MAR, APR, MAY, JUN = month_list(date(2027, 1, 1), 6)
DEC = date(2026, 12, 1)
MONTHS = [JAN, FEB, MAR, APR, MAY, JUN]


def ran(documents, payments=(), events=(), **over):
    return run_all(home(MONTHS, list(documents), list(payments), list(events), **over))


def applications(out):
    return out["credit.fct_cash_application"].select("payment_id", "item_id", "applied_amount", "rule").rows()


def open_at(out, month):
    items = out["credit.fct_receivable_item"].filter(pl.col("as_of_month") == month)
    return dict(items.select("item_id", "open_amount").rows())


TWO = [invoice(DEC, "100.00"), invoice(JAN, "200.00")]
FIRST, SECOND = TWO[0]["item_id"], TWO[1]["item_id"]


def test_cash_goes_to_the_item_that_it_names_though_another_is_older():
    for reference in (SECOND, f"payment of {SECOND}", "2027-01", "share 2027-01, thanks"):
        out = ran(TWO, [payment("p", MAR, "100.00", reference)])
        assert applications(out) == [("p", SECOND, D("100.00"), "named_item")]


@pytest.mark.parametrize("reference", ["{}0", "x-{}", "{}-b", "{}:1", "a.{}", "{}.2"])
def test_an_item_is_not_named_by_the_longer_id_of_another(reference: str):
    # The younger item's id is part of the reference; the older one gets the cash, as where nothing is named.
    out = ran(TWO, [payment("p", MAR, "50.00", reference.format(SECOND))])
    assert applications(out) == [("p", FIRST, D("50.00"), "oldest_undisputed")]


@pytest.mark.parametrize("reference", ["{}.", "({})", "no. {}, thanks", "{}/other", "a {};b", "Ref: 2027-01"])
def test_an_item_is_named_between_spaces_and_stops(reference: str):
    out = ran(TWO, [payment("p", MAR, "50.00", reference.format(SECOND))])
    assert applications(out) == [("p", SECOND, D("50.00"), "named_item")]


def test_cash_that_names_nothing_goes_to_the_item_of_its_exact_amount():
    assert applications(ran(TWO, [payment("p", MAR, "200.00")])) == [("p", SECOND, D("200.00"), "exact_amount")]


def test_cash_that_matches_nothing_goes_to_the_oldest_item_and_the_rest_is_unapplied():
    out = ran(TWO, [payment("p", MAR, "310.00")])
    assert applications(out) == [
        ("p", FIRST, D("100.00"), "oldest_undisputed"),
        ("p", SECOND, D("200.00"), "oldest_undisputed"),
    ]
    roll = out["credit.fct_receivable_rollforward_month"].filter(pl.col("month") == MAR).row(0, named=True)
    assert roll["unapplied_closing_amount"] == roll["unapplied_control_account_amount"] == D("10.00")


def test_disputed_items_get_cash_last():
    dispute = event("d", "dispute_opened", FEB, payload=f'{{"item_id": "{FIRST}"}}')
    out = ran(TWO, [payment("p", MAR, "250.00")], [dispute])
    assert applications(out) == [("p", SECOND, D("200.00"), "oldest_undisputed"), ("p", FIRST, D("50.00"), "disputed")]


def test_equal_items_take_cash_by_due_date_then_invoice_date_then_id():
    twin = {**invoice(DEC, "100.00"), "item_id": f"{FIRST}-b"}
    assert applications(ran([twin, TWO[0]], [payment("p", MAR, "100.00")])) == [
        ("p", FIRST, D("100.00"), "exact_amount")
    ]


def test_unapplied_cash_is_laid_on_the_next_invoice_and_posted_in_that_month():
    out = ran([TWO[0], invoice(MAR, "50.00")], [payment("p", date(2027, 2, 20), "120.00")])
    lines = out["credit.fct_credit_journal_lines"].filter((pl.col("event") == "apply_cash") & (pl.col("line_no") == 1))
    assert lines.select("posting_month", "service_month", "amount").rows() == [
        (FEB, FEB, D("100.00")),
        (APR, FEB, D("20.00")),
    ]
    assert lines["corrects_entry_id"].to_list() == [None, f"{CONTRACT}:2027-02:apply_cash:2027-02"]


def set_off(claims, payments=(), events=(), **terms):
    """The sub-ledger of TWO invoices beside claims that may be set off; due 65 days after their month's end."""
    frames = home(MONTHS, TWO, list(payments), list(events), claims=claims)
    terms = {"set_off_scope": "all_sums", "set_off_enforceable": True, **terms}
    return receivables_group(backstop(frames, **terms))


def test_a_claim_meets_open_invoices_on_its_due_date_oldest_first_and_is_posted_against_the_payable():
    out = set_off({JAN: "150.00"})
    assert open_at(out, MAR) == {FIRST: D("100.00"), SECOND: D("200.00")}
    assert open_at(out, APR) == {FIRST: D("0.00"), SECOND: D("150.00")}
    lines = out["credit.fct_credit_journal_lines"].filter(pl.col("event") == "set_off")
    assert lines.select("account", "amount", "service_month", "posting_month").rows() == [
        ("backstop_payable", D("150.00"), APR, APR),
        ("trade_receivable", D("-150.00"), APR, APR),
    ]
    roll = out["credit.fct_receivable_rollforward_month"].filter(pl.col("month") == APR).row(0, named=True)
    assert (roll["set_off_amount"], roll["closing_amount"]) == (D("150.00"), roll["control_account_amount"])


def test_a_set_off_takes_only_what_is_still_payable_and_never_a_disputed_invoice():
    paid = payment("v", date(2027, 3, 1), "120.00", direction="paid")
    assert open_at(set_off({JAN: "150.00"}, [paid]), APR) == {FIRST: D("70.00"), SECOND: D("200.00")}
    dispute = event("d", "dispute_opened", FEB, payload=f'{{"item_id": "{FIRST}"}}')
    assert open_at(set_off({JAN: "150.00"}, [], [dispute]), APR) == {FIRST: D("100.00"), SECOND: D("50.00")}


@pytest.mark.parametrize("terms", [{"set_off_enforceable": False}, {"set_off_scope": "none"}])
def test_a_set_off_that_is_not_agreed_or_not_enforceable_never_acts(terms):
    assert open_at(set_off({JAN: "150.00"}, **terms), JUN) == {FIRST: D("100.00"), SECOND: D("200.00")}


NOTE = {**invoice(DEC, "500.00", due_days=1), "item_id": "note", "kind": "debit_note"}


def test_a_set_off_of_the_revenue_share_only_leaves_what_is_owed_under_the_backstop_alone():
    def reached(scope):
        frames = backstop(
            home(MONTHS, [NOTE, *TWO], claims={JAN: "150.00"}), set_off_scope=scope, set_off_enforceable=True
        )
        found = open_at(receivables_group(frames), APR)
        return found["note"], found[FIRST], found[SECOND]

    assert reached("all_sums") == (D("350.00"), D("100.00"), D("200.00"))
    assert reached("revenue_share_only") == (D("500.00"), D("0.00"), D("150.00"))


def test_a_debit_note_ages_and_takes_cash_but_is_no_sale():
    with_note, without = ran([NOTE, *TWO]), ran(TWO)
    for name in ("receivable_amount", "window_sales_amount", "dso_days", "countback_dso_days", "true_dso_days"):
        found, expected = (out["credit.fct_collection_metrics_month"][name].to_list() for out in (with_note, without))
        assert found[1:] == expected[1:], name
    roll = with_note["credit.fct_receivable_rollforward_month"].filter(pl.col("month") == MAR).row(0, named=True)
    assert roll["closing_amount"] == roll["control_account_amount"] == D("800.00")
    paid = ran([NOTE, *TWO], [payment("p", MAR, "500.00", "note")])
    assert applications(paid) == [("p", "note", D("500.00"), "named_item")]


def test_what_takes_a_debit_note_back_settles_it_and_not_the_invoice_of_its_month():
    taken = {
        **invoice(DEC, "-500.00", posted=MAR, invoice_date=date(2027, 3, 31)),
        "item_id": "back",
        "kind": "debit_note",
    }
    found = open_at(ran([NOTE, *TWO, taken]), MAR)
    assert found == {"note": D("0.00"), "back": D("0.00"), FIRST: D("100.00"), SECOND: D("200.00")}


def test_a_partial_payment_does_not_reset_the_due_date():
    out = ran([TWO[0]], [payment("p", date(2027, 4, 1), "40.00")])
    item = out["credit.fct_receivable_item"].filter(pl.col("as_of_month") == APR).row(0, named=True)
    assert (item["due_date"], item["days_past_due"], item["open_amount"]) == (date(2027, 3, 16), 45, D("60.00"))


def test_a_credit_note_settles_the_invoice_of_its_own_month_and_the_sub_ledger_still_ties():
    note = invoice(JAN, "-30.00", posted=MAR, invoice_date=date(2027, 3, 31))
    out = ran([*TWO, note])
    assert open_at(out, MAR) == {FIRST: D("100.00"), SECOND: D("170.00"), note["item_id"]: D("0.00")}
    roll = out["credit.fct_receivable_rollforward_month"].filter(pl.col("month") == MAR).row(0, named=True)
    assert roll["credit_notes_amount"] == D("30.00")
    assert roll["closing_amount"] == roll["control_account_amount"] == D("270.00")


def test_a_credit_with_nothing_to_settle_stays_an_open_credit_that_ages_nowhere():
    note = invoice(DEC, "-30.00", posted=MAR, invoice_date=date(2027, 3, 31), due_days=0)
    out = ran([TWO[0], note], [payment("p", date(2027, 3, 1), "100.00")])
    aged = out["credit.fct_ageing_month"].filter((pl.col("month") == JUN) & (pl.col("open_amount") != 0))
    assert aged.select("bucket", "open_amount").rows() == [("credit", D("-30.00"))]
    losses = out["credit.fct_credit_loss_month"].filter(pl.col("month") == JUN)
    assert (losses["expected_credit_loss_amount"] >= 0).all()


def test_closed_months_do_not_change_when_a_payment_becomes_known_late():
    early = ran(TWO, [payment("p", MAR, "100.00")])
    late = ran(TWO, [payment("p", MAR, "100.00", recorded=close_time(MAR) + timedelta(days=1))])
    assert open_at(late, MAR)[FIRST] == D("100.00")
    assert open_at(late, APR) == open_at(early, APR)
    lines = late["credit.fct_credit_journal_lines"].filter((pl.col("event") == "apply_cash") & (pl.col("line_no") == 1))
    assert lines.select("service_month", "posting_month").rows() == [(MAR, APR)]


def test_a_corrected_payment_is_an_adjustment_in_the_month_in_which_it_became_known():
    right = payment("p", MAR, "60.00", recorded=close_time(APR) - timedelta(days=1))
    out = ran(TWO, [payment("p", MAR, "100.00"), right])
    assert open_at(out, MAR)[FIRST] == D("0.00")
    assert open_at(out, APR)[FIRST] == D("40.00")
    roll = out["credit.fct_receivable_rollforward_month"].filter(pl.col("month") == APR).row(0, named=True)
    assert (roll["applied_amount"], roll["closing_amount"]) == (D("-40.00"), roll["control_account_amount"])


def test_a_returned_receipt_reopens_what_it_had_paid():
    out = ran(TWO, [payment("p", MAR, "100.00"), payment("q", APR, "-100.00", "p")])
    assert open_at(out, MAR)[FIRST] == D("0.00")
    assert open_at(out, APR)[FIRST] == D("100.00")
    roll = out["credit.fct_receivable_rollforward_month"].filter(pl.col("month") == APR).row(0, named=True)
    assert roll["unapplied_closing_amount"] == D("0.00")


def test_a_write_off_beyond_what_is_open_is_an_item_in_sight_and_the_books_still_tie():
    out = ran([TWO[0]], (), [event("w", "write_off", MAR, amount="130.00")])
    assert open_at(out, MAR) == {FIRST: D("0.00"), f"{CONTRACT}:write_off_excess:w": D("-30.00")}
    roll = out["credit.fct_receivable_rollforward_month"].filter(pl.col("month") == MAR).row(0, named=True)
    assert roll["closing_amount"] == roll["control_account_amount"] == D("-30.00")


def test_pitfall_34_a_recovery_reinstates_the_item_and_then_takes_the_cash_that_waited_for_it():
    named = f'{{"item_id": "{SECOND}"}}'
    gone = event("w", "write_off", MAR, amount="200.00", payload=named)
    back = event("b", "write_off", MAY, amount="-200.00", payload=named)
    cash = payment("p", date(2027, 4, 20), "300.00", SECOND)
    out = ran(TWO, [cash], [gone, back])
    assert open_at(out, MAR)[SECOND] == D("0.00")
    assert applications(out) == [
        ("p", FIRST, D("100.00"), "oldest_undisputed"),
        ("p", SECOND, D("200.00"), "named_item"),
    ]
    roll = out["credit.fct_receivable_rollforward_month"].filter(pl.col("month") == MAY).row(0, named=True)
    assert (roll["reinstated_amount"], roll["applied_amount"], roll["write_offs_amount"]) == (D(200), D(200), D(0))
    assert roll["closing_amount"] == roll["control_account_amount"] == D("0.00")
    assert roll["unapplied_closing_amount"] == roll["unapplied_control_account_amount"] == D("0.00")


def test_payments_out_and_in_other_currencies_lie_on_no_item():
    out = ran(
        TWO, [payment("p", MAR, "100.00", direction="paid"), {**payment("q", MAR, "100.00"), "currency_code": "AUD"}]
    )
    assert applications(out) == []


@pytest.mark.parametrize(
    ("days", "bucket"),
    [
        (-5, "current"),
        (0, "current"),
        (1, "1-30"),
        (30, "1-30"),
        (31, "31-60"),
        (90, "61-90"),
        (91, "91-120"),
        (120, "91-120"),
        (121, ">120"),
    ],
)
def test_buckets_are_right_closed_by_days_past_due(days, bucket):
    assert bucket_of(days) == bucket


def test_open_and_disputed_amounts_over_all_buckets_are_the_control_account():
    dispute = event("d", "dispute_opened", FEB, payload='{"service_month": "2027-01"}', ends=date(2027, 5, 15))
    out = ran(TWO, [payment("p", date(2027, 3, 20), "30.00")], [dispute])
    aged = (
        out["credit.fct_ageing_month"]
        .group_by("month")
        .agg(total=(pl.col("open_amount") + pl.col("disputed_amount")).sum(), disputed=pl.col("disputed_amount").sum())
    )
    roll = out["credit.fct_receivable_rollforward_month"].select("month", "control_account_amount")
    joined = aged.join(roll, on="month").sort("month")
    assert joined["total"].to_list() == joined["control_account_amount"].to_list()
    assert joined["disputed"].to_list() == [D(0), D(200), D(200), D(200), D(0), D(0)], "a dispute ends on its last day"


def test_roll_rates_of_each_bucket_sum_to_one():
    out = ran(
        [*TWO, invoice(FEB, "50.00")],
        [payment("p", date(2027, 4, 20), "130.00")],
        [event("w", "write_off", MAY, amount="20.00")],
    )
    rates = out["credit.fct_roll_rate_month"].group_by("month", "from_bucket").agg(pl.col("rate").sum())
    assert rates.height >= 4
    assert (rates["rate"] - 1).abs().max() < 1e-12


def test_metrics_without_sales_are_null_with_a_reason():
    row = ran([TWO[0]])["credit.fct_collection_metrics_month"].filter(pl.col("month") == JUN).row(0, named=True)
    assert row["dso_days"] is None
    assert row["dso_days_null_reason"] == "no credit sales in the 90-day window"
    assert row["countback_dso_days"] == pytest.approx(30 + 31 + 30 + 31 + 28 + 31), (
        "all of January's sales are still open"
    )
    assert dso_simple(D(5), D(0), 90).value is None
    assert collection_effectiveness(D(0), D(0), D(0), D(0)).null_reason is not None


def test_countback_says_when_the_receivable_outlasts_the_history():
    assert countback_dso(D(150), [(30, D(100)), (31, D(100))]).value == pytest.approx(30 + 15.5)
    assert countback_dso(D(50), [(30, D(-10)), (31, D(120))]).value == pytest.approx(30 + 60 / 120 * 31)
    assert "exhausted" in countback_dso(D(500), [(30, D(100))]).null_reason


def test_every_collection_metric_of_thirteen_unpaid_invoices_by_hand():
    """100.00 billed on the 15th of every month, due 60 days later, nothing paid: 13 month-ends of 100 to 1,300."""
    months = month_list(JAN, 13)
    documents = [invoice(month, "100.00") for month in month_list(DEC, 13)]

    def last(**policy):
        out = run_all(home(months, documents, policy=policy))["credit.fct_collection_metrics_month"]
        return out.sort("month").rows(named=True)

    end = date(2028, 1, 31)
    row = last()[-1]
    assert (row["receivable_amount"], row["current_receivable_amount"]) == (1_300, 200)
    # In the 90 days: November's, December's and January's invoices.
    assert row["dso_days"] == pytest.approx(1_300 / 300 * 90)
    assert row["best_possible_dso_days"] == pytest.approx(200 / 300 * 90)
    assert row["average_days_delinquent"] == pytest.approx(1_100 / 300 * 90)
    assert row["countback_dso_days"] == (end - date(2026, 12, 31)).days == 396
    assert row["true_dso_days"] == sum((end - document["invoice_date"]).days for document in documents)
    assert row["receivables_turnover"] == pytest.approx(100 / 1_250 * 365 / 31)
    assert row["collection_effectiveness_fraction"] == pytest.approx((1_200 + 100 - 1_300) / (1_200 + 100 - 200))
    of_three = last(cei_months="3")[-1]
    assert of_three["collection_effectiveness_fraction"] == pytest.approx(
        (1_000 + 300 / 3 - 1_300) / (1_000 + 100 - 200)
    )
    *before, averaged = last(turnover_average="thirteen_point")
    assert averaged["receivables_turnover"] == pytest.approx(1_200 / 700), (
        "twelve months' sales over 13 month-ends' mean"
    )
    assert {month["receivables_turnover_null_reason"] for month in before} == {"fewer than 13 month-ends"}
    assert last(countback_month_limit="12")[-1]["countback_dso_days"] is None


def test_circular_receipts_are_put_back_in_the_metrics_without_them():
    out = ran(TWO, [payment("p", date(2027, 3, 20), "100.00", circular=True)])
    row = out["credit.fct_collection_metrics_month"].filter(pl.col("month") == MAR).row(0, named=True)
    assert row["dso_days"] == pytest.approx(200 / 300 * 90)
    assert row["dso_days_without_circular"] == pytest.approx(90.0)
    assert out["credit.fct_cash_application"]["circular"].to_list() == [True]


# --- allowance -----------------------------------------------------------------------------------


def test_the_allowance_rolls_forward_to_the_expected_loss_and_to_its_account():
    events = [event("w", "write_off", APR, amount="40.00"), event("r", "recovery", MAY, amount="15.00")]
    out = ran(TWO, [payment("p", date(2027, 4, 20), "60.00")], events)
    roll = out["credit.fct_allowance_rollforward_month"]
    footed = (
        pl.col("opening_amount") + pl.col("provision_amount") - pl.col("write_off_amount") + pl.col("recovery_amount")
    )
    assert roll.filter(footed != pl.col("closing_amount")).is_empty()
    cecl = roll.filter(pl.col("standard") == "cecl").sort("month")
    assert cecl["posted"].all()
    assert cecl["closing_amount"].to_list() == cecl["control_account_amount"].to_list()
    assert cecl["opening_amount"].to_list()[1:] == cecl["closing_amount"].to_list()[:-1]
    losses = out["credit.fct_credit_loss_month"].filter(pl.col("standard") == "cecl")
    by_month = losses.group_by("month").agg(pl.col("weighted_amount").sum()).sort("month")
    assert by_month["weighted_amount"].to_list() == cecl["closing_amount"].to_list()


def test_a_provision_may_be_a_release():
    out = ran(TWO, [payment("p", date(2027, 4, 20), "300.00")])
    assert (
        out["credit.fct_allowance_rollforward_month"]
        .filter((pl.col("month") == APR) & (pl.col("provision_amount") < 0))
        .height
        == 2
    )


def test_every_entry_sums_to_zero_and_the_trial_balance_foots():
    frames = home(MONTHS, TWO, [payment("p", MAR, "100.00")], [event("w", "write_off", APR, amount="40.00")])
    out = run_all(frames)
    union_lines(frames["ledger.fct_journal_lines"], out["credit.fct_credit_journal_lines"])
    balance = out["ledger.fct_trial_balance_month"]
    assert (
        balance.group_by("posting_month", "currency_code")
        .agg(pl.col("closing_amount").sum())
        .filter(pl.col("closing_amount") != 0)
        .is_empty()
    )
    footed = pl.col("opening_amount") + pl.col("debit_amount") - pl.col("credit_amount")
    assert balance.filter(footed != pl.col("closing_amount")).is_empty()


def test_ninety_days_past_due_and_insolvency_are_stage_3_at_certain_default():
    out = ran([TWO[0]])["credit.fct_credit_loss_month"]
    ifrs = out.filter(pl.col("standard") == "ifrs9").sort("month")
    assert ifrs.select("month", "stage").rows() == [(JAN, 1), (FEB, 1), (MAR, 1), (APR, 2), (MAY, 2), (JUN, 3)]
    last = ifrs.row(-1, named=True)
    assert (last["pd_fraction"], last["expected_credit_loss_amount"]) == (1.0, D("60.00"))
    insolvent = ran([TWO[0]], (), [event("i", "insolvency", FEB)])["credit.fct_credit_loss_month"]
    assert insolvent.filter((pl.col("month") == FEB) & (pl.col("standard") == "ifrs9"))["stage"].to_list() == [3]


def test_a_rating_counts_from_its_own_date_and_only_once_it_is_known():
    worse = event("r", "rating_change", FEB, payload='{"rating": "CCC"}', recorded=close_time(MAR) + timedelta(hours=1))
    out = ran(TWO, (), [worse])["credit.fct_credit_loss_month"].filter(pl.col("standard") == "ifrs9").sort("month")
    assert out["rating"].to_list() == ["B", "B", "B", "CCC", "CCC", "CCC"]
    assert out["stage"].to_list()[3] == 2, "the lifetime probability has more than doubled"


def test_scenarios_are_weighted_by_result_and_a_good_factor_lowers_the_loss():
    frames = home(MONTHS, TWO)
    frames["raw.scenario"] = pl.DataFrame(
        [
            {
                "scenario_id": name,
                "scenario_name": name,
                "weight": D(weight),
                "driver": "systematic_factor",
                "value": D(value),
            }
            for name, weight, value in (("base", "0.5", "0"), ("down", "0.3", "-1.5"), ("up", "0.2", "1.5"))
        ]
    )
    out = run_all(frames)["credit.fct_credit_loss_month"].filter(
        (pl.col("month") == FEB) & (pl.col("standard") == "ifrs9")
    )
    loss = dict(out.select("scenario", "expected_credit_loss_amount").rows())
    assert loss["up"] < loss["base"] < loss["down"]
    total = sum(float(amount) * weight for amount, weight in out.select("expected_credit_loss_amount", "weight").rows())
    assert float(out["weighted_amount"].sum()) == pytest.approx(total, abs=0.015)


def _standards(**policy):
    frames = home(MONTHS, TWO, policy={"significant_increase_pd_multiple": "100", **policy})
    frames["raw.scenario"] = pl.DataFrame(
        [
            {"scenario_id": n, "scenario_name": n, "weight": D("0.5"), "driver": "systematic_factor", "value": D(v)}
            for n, v in (("down", "-2"), ("up", "1"))
        ]
    )
    out = run_all(frames)
    rows = out["credit.fct_standard_difference_month"].filter(pl.col("month") == FEB).rows(named=True)
    assert sum(row["difference_amount"] for row in rows) == rows[0]["ifrs9_amount"] - rows[0]["cecl_amount"]
    return {row["cause"]: row["difference_amount"] for row in rows}, rows[0]["cecl_amount"], rows[0]["ifrs9_amount"]


def test_the_expedient_of_asu_2025_05_leaves_conditions_to_come_out_of_cecl_and_the_difference_says_so():
    causes, cecl, ifrs9 = _standards()
    assert cecl < ifrs9
    assert causes == {"scope": D(0), "conditions_to_come": ifrs9 - cecl, "horizon": D(0)}
    causes, cecl, ifrs9 = _standards(cecl_expedient_2025_05="false")
    assert cecl == ifrs9
    assert set(causes.values()) == {D(0)}


def test_a_receivable_outside_cecl_differs_by_scope():
    causes, cecl, ifrs9 = _standards(receivable_accounting_class="operating_lease")
    assert cecl == 0
    assert causes["scope"] == ifrs9 > 0


def test_the_matrix_method_gives_each_standard_its_own_scalar():
    policy = {"allowance_method": "provision_matrix", "forward_scalar": "1.5"}
    roll = ran(TWO, policy=policy)["credit.fct_allowance_rollforward_month"].filter(pl.col("month") == APR)
    by_standard = dict(roll.select("standard", "closing_amount").rows())
    assert by_standard["ifrs9"] == by_standard["cecl"] * D("1.5")


def test_scenario_weights_that_do_not_sum_to_one_are_an_error():
    table = pl.DataFrame([{"scenario_id": "a", "weight": D("0.6"), "driver": "pd_multiple", "value": D(1)}])
    with pytest.raises(CreditInputError):
        macro_scenarios(table)


def test_the_matrix_of_given_rates_stands_beside_the_allowance():
    out = ran(TWO)["credit.fct_provision_matrix_month"].filter(pl.col("month") == APR)
    assert out["bucket"].to_list() == list(BUCKET_NAMES)
    assert dict(out.select("bucket", "expected_credit_loss_amount").rows())["31-60"] == D("3.60")


def test_a_matrix_of_the_programmes_own_history_counts_what_was_never_paid():
    out = ran([TWO[0]], [payment("p", date(2027, 4, 1), "60.00")], policy={"provision_matrix_source": "history"})
    june = out["credit.fct_provision_matrix_month"].filter(pl.col("month") == JUN)
    assert set(june["loss_rate_source"].to_list()) == {"given"}, "no invoice has run its course"


def _pledge(**over):
    row = {
        "contract_id": CONTRACT,
        "amendment_id": "original",
        "valid_from": date(2026, 10, 1),
        "recorded_at": datetime(2026, 6, 12, tzinfo=UTC),
        "collateral_type": "cash_escrow",
        "pledged_amount": D("100.00"),
        "currency_code": None,
        "haircut": D("0.10"),
    }
    return {**row, **over}


def _lgd(*pledges, rates=None):
    frames = home(MONTHS, [TWO[0]])
    frames["raw.collateral"] = pl.DataFrame(list(pledges), schema_overrides={"currency_code": pl.String})
    if rates is not None:
        frames["raw.fx_rate"] = pl.DataFrame(
            rates, schema=["rate_date", "from_currency", "to_currency", "rate"], orient="row"
        )
    losses = run_all(frames)["credit.fct_credit_loss_month"].filter(pl.col("month") == MAR)
    return losses["lgd_fraction"].unique().item()


def test_collateral_in_another_currency_covers_what_it_is_worth_at_the_close():
    """100.00 owed: 50.00 less a tenth covers 45 % of it; 50.00 AUD at 0.60 covers 27 %."""
    half = {"pledged_amount": D("50.00")}
    assert _lgd(_pledge(**half)) == _lgd(_pledge(**half, currency_code="USD")) == pytest.approx(0.60 * 0.55)
    rates = [(DEC, "AUD", "USD", 0.9), (date(2027, 3, 30), "AUD", "USD", 0.60), (date(2027, 6, 2), "AUD", "USD", 0.1)]
    assert _lgd(_pledge(**half, currency_code="AUD"), rates=rates) == pytest.approx(0.60 * 0.73)
    with pytest.raises(
        CreditInputError,
        match=r"currency of collateral is 'AUD'; there is no rate into USD on or before .*reference/fx.csv, 2.*,AUD,USD,",
    ) as caught:
        _lgd(_pledge(currency_code="AUD"))
    assert caught.value.obligor == CONTRACT


def test_an_amendment_from_the_same_day_replaces_collateral_and_payment_terms_and_adds_nothing_to_them():
    first = _pledge(pledged_amount=D("50.00"))
    second = {"amendment_id": "second", "recorded_at": datetime(2026, 7, 1, tzinfo=UTC)}
    assert _lgd(first, _pledge(**second, pledged_amount=D("20.00"))) == pytest.approx(0.60 * 0.82)
    assert _lgd(first, _pledge(pledged_amount=D("20.00"))) == pytest.approx(0.60 * 0.37), (
        "two pledges of one version add up"
    )
    close = read_closes(home(MONTHS, [TWO[0]])["intermediate.int_closes"])[-1]
    days = {"statement_due_days": 15, "payment_terms_days": 90}
    terms = RowsBy(pl.DataFrame([_pledge(**days), _pledge(**second, **{**days, "payment_terms_days": 30})]))
    assert collection_days(terms, close) == 45


def test_exposure_nets_claims_only_where_netting_is_enforceable():
    out = ran(TWO, accruals={DEC: "100.00", JAN: "200.00", FEB: "50.00"}, claims={JAN: "80.00"})
    row = out["credit.fct_exposure_month"].filter(pl.col("month") == FEB).row(0, named=True)
    assert (row["receivable_amount"], row["unbilled_amount"], row["claims_payable_amount"]) == (D(300), D(50), D(80))
    assert row["gross_amount"] == row["net_amount"] == D("350.00")
    assert row["gross_to_equity_fraction"] == pytest.approx(350 / 228_984e6)


# --- issuer --------------------------------------------------------------------------------------


def test_nvidias_fiscal_years_end_on_the_last_sunday_of_january_and_one_has_53_weeks():
    assert fiscal_year_end(2026, 1, "last_sunday") == date(2026, 1, 25)
    assert fiscal_year_end(2027, 1, "last_sunday") == date(2027, 1, 31)
    assert fiscal_quarter(date(2026, 7, 26), 1, "last_sunday") == (2027, 2, 91)
    assert fiscal_quarter(date(2027, 1, 31), 1, "last_sunday") == (2027, 4, 98)
    assert fiscal_quarter(date(2026, 8, 17), 1, "last_sunday") is None
    assert fiscal_quarter(date(2026, 3, 31), 12, "month_end") == (2026, 1, 90)


def _facts(rows):
    columns = ("fiscal_period_end", "fiscal_label", "item", "value", "unit", "grade")
    return {
        "raw.issuer_fact": pl.DataFrame(
            [
                {
                    "issuer_id": "nvidia",
                    "value_text": str(row[3]),
                    "source": "s",
                    **dict(zip(columns, row, strict=True)),
                }
                for row in rows
            ]
        ),
        "raw.vendor": pl.DataFrame(
            [
                {
                    "vendor_id": "nvidia",
                    "issuer_id": "nvidia",
                    "fiscal_year_end_month": 1,
                    "fiscal_year_end_rule": "last_sunday",
                }
            ]
        ),
    }


def test_the_issuers_dso_takes_the_quarters_real_days_and_its_allowance_stays_null():
    april, july = date(2026, 4, 26), date(2026, 7, 26)
    rows = [
        (april, "Q1 FY27", "revenue", D(81_615), "USDm", "P"),
        (april, "Q1 FY27", "accounts_receivable_net", D(40_710), "USDm", "P"),
        (july, "Q2 FY27", "revenue", D(96_221), "USDm", "P"),
        (july, "Q2 FY27", "accounts_receivable_net", D(63_059), "USDm", "P"),
        (july, "H1 FY27", "revenue", D(177_836), "USDm", "P"),
        (date(2026, 8, 17), "post Q2 FY27", "guarantee_cap_SB_Energy_OpenAI", D(105_000), "USDm", "P"),
    ]
    out = issuer_quarters(_facts(rows))
    assert out["fiscal_period_end"].to_list() == [april, july]
    assert out["dso_days"].to_list() == pytest.approx([45.39128837, 59.63739], abs=1e-4)
    assert out["receivables_turnover"].to_list() == [None, pytest.approx(96_221 / ((40_710 + 63_059) / 2) * 365 / 91)]
    assert out["allowance"].null_count() == 2
    assert out["revenue"].to_list()[1] == D(96_221)


# --- the vendor's own currency ---------------------------------------------------------------------


def _in_australian_dollars(rates, frames=None):
    frames = frames or home(MONTHS, TWO, [payment("p", date(2027, 4, 20), "60.00")])
    own = pl.when(pl.col("currency_code") == "USD").then(pl.lit("AUD")).otherwise("currency_code")
    foreign = {
        name: frame.with_columns(currency_code=own) if "currency_code" in frame.columns else frame
        for name, frame in frames.items()
    }
    schema = {"rate_date": pl.Date, "from_currency": pl.String, "to_currency": pl.String, "rate": pl.Decimal(18, 9)}
    foreign["raw.fx_rate"] = pl.DataFrame(rates, schema=schema, orient="row")
    return run_all(foreign)["credit.fct_functional_rollforward_month"]


def _quotes(*pairs):
    return [(day, "AUD", "USD", D(rate)) for day, rate in pairs]


RATES = [(date(2027, month, day), rate) for month, day, rate in (
    (1, 4, "0.66"), (1, 29, "0.64"), (2, 26, "0.60"), (3, 31, "0.70"), (4, 30, "0.65"), (5, 31, "0.65"), (6, 30, "0.62")
)]  # fmt: skip


def test_receivable_and_allowance_are_remeasured_at_one_closing_rate_and_exchange_is_a_line_of_its_own():
    out = _in_australian_dollars(_quotes(*RATES))
    footed = pl.col("opening_amount") + pl.col("movement_amount") + pl.col("fx_amount")
    assert out.filter(footed != pl.col("closing_amount")).is_empty()
    assert (
        out.group_by("month")
        .agg(pl.col("closing_functional_per_unit").n_unique())["closing_functional_per_unit"]
        .to_list()
        == [1] * 6
    )
    receivable = out.filter(pl.col("balance") == "receivable").rows(named=True)
    january, february, march = receivable[:3]
    assert (january["movement_amount"], january["closing_amount"]) == (D("65.00"), D("64.00"))
    assert (january["mean_functional_per_unit"], january["fx_amount"]) == (D("0.65"), D("-1.00"))
    # 100 at 0.64 and 200 more at 0.60 are 300 at 0.60: the hundred has lost four.
    assert (february["opening_amount"], february["fx_amount"]) == (D("64.00"), D("-4.00"))
    assert (march["movement_amount"], march["fx_amount"]) == (D("0.00"), D("30.00"))


def test_a_pair_quoted_the_other_way_round_is_turned_day_by_day():
    turned = [(day, "USD", "AUD", D(1) / D(rate)) for day, rate in RATES[:2]]
    first = _in_australian_dollars(turned).filter(pl.col("month") == JAN)
    assert first.filter(pl.col("balance") == "receivable")["closing_amount"].to_list() == [D("64.00")]


def test_a_pair_that_nobody_quotes_goes_through_the_euro_on_days_that_have_both():
    day = date(2027, 1, 29)
    rates = [(day, "EUR", "AUD", D("1.5")), (day, "EUR", "USD", D("1.2")), (date(2027, 1, 30), "EUR", "USD", D("9.9"))]
    first = _in_australian_dollars(rates).filter((pl.col("month") == JAN) & (pl.col("balance") == "receivable"))
    assert first["closing_functional_per_unit"].to_list() == [D("0.8")]
    assert first["closing_amount"].to_list() == [D("80.00")]


def test_a_currency_without_a_rate_has_no_figures_and_says_why():
    out = _in_australian_dollars(_quotes(*RATES[:2])).filter(pl.col("balance") == "receivable").sort("month")
    assert out["closing_amount"].null_count() == 5
    assert out["null_reason"][1] == "no rate of AUD in USD for the month"
    with pytest.raises(CreditInputError, match="exchange rate of AUD is -0"):
        _in_australian_dollars(_quotes((date(2027, 1, 29), "-0.64")))


def test_a_contract_in_the_vendors_currency_has_no_exchange():
    out = ran(TWO)["credit.fct_functional_rollforward_month"]
    assert set(out["fx_amount"].to_list()) == {D("0.00")}
    assert out["closing_amount"].to_list() == out["closing_foreign_amount"].to_list()
