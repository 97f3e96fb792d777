"""Late interest on invoices and claims, against figures worked out by hand."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from jobs_home import CONTRACT, LATE_TERMS, backstop, close_time, event, home, invoice, month_list, payment

from orchestration.polars_jobs.ageing import bucket_of
from orchestration.polars_jobs.frames import month_end
from orchestration.polars_jobs.journal import JOURNAL_SCHEMA, trial_balance, union_lines
from orchestration.polars_jobs.late_interest import claim_spans, interest_by_month
from orchestration.polars_jobs.programme import receivables_group, run_all

D = Decimal
JAN, FEB, MAR, APR, MAY, JUN = month_list(date(2027, 1, 1), 6)
DEC = date(2026, 12, 1)
MONTHS = [JAN, FEB, MAR, APR, MAY, JUN]
# 10,000 at 7.3 % is 2.00 a day: due on 16 March, 30.00 for the 15 days of March and 60.00 for April.
LATE = {**invoice(DEC, "10000.00"), "invoice_date": date(2027, 1, 15), "due_date": date(2027, 3, 16)}
OF_MARCH, OF_APRIL = (f"{CONTRACT}:2027-{month}:invoice_interest:2027-{month}" for month in ("03", "04"))


def ran(documents, payments=(), events=(), **over):
    frames = home(MONTHS, list(documents), list(payments), list(events), **over)
    return receivables_group({**frames, "raw.share_terms": LATE_TERMS}), frames


def applications(made):
    out, _ = made
    columns = ("payment_id", "item_id", "applied_amount", "rule", "applied_date")
    return out["credit.fct_cash_application"].select(columns).rows()


def balances(made, month):
    """By account, what stands at a close; accounts that stand at nought are left out."""
    out, frames = made
    lines = union_lines(frames["ledger.fct_journal_lines"], out["credit.fct_credit_journal_lines"])
    balance = trial_balance(lines, frames["intermediate.int_closes"])
    return dict(
        balance.filter((pl.col("posting_month") == month) & (pl.col("closing_amount") != 0))
        .select("account", "closing_amount")
        .rows()
    )


def open_at(made, month):
    out, _ = made
    items = out["credit.fct_receivable_item"].filter((pl.col("as_of_month") == month) & (pl.col("open_amount") != 0))
    return dict(items.select("item_id", "open_amount").rows())


def posted(made, event):
    out, _ = made
    lines = out["credit.fct_credit_journal_lines"].filter((pl.col("event") == event) & (pl.col("line_no") == 1))
    return lines.group_by("service_month").agg(pl.col("amount").sum()).sort("service_month").rows()


def test_an_invoice_bears_interest_from_the_day_after_its_due_date_to_the_day_of_payment():
    document = invoice(DEC, "10000.00")
    due = document["due_date"]
    paid = due + timedelta(days=40)
    found = dict(posted(ran([document], [payment("p", paid, "10000.00", document["item_id"])]), "late_interest"))
    # 10,000 at 7.3 % is 2.00 a day; the days are the days past due on the day of payment.
    assert sum(found.values()) == D("80.00")
    last_of_month = date(due.year, due.month + 1, 1) - timedelta(days=1)
    assert found[due.replace(day=1)] == 2 * (last_of_month - due).days


def test_a_debit_note_under_the_backstop_bears_no_interest_of_the_share():
    assert posted(ran([{**invoice(DEC, "10000.00"), "kind": "debit_note"}]), "late_interest") == []


def test_what_is_paid_in_time_bears_none_and_the_receivable_stays_the_sub_ledger_s():
    document = invoice(DEC, "10000.00")
    made = ran([document], [payment("p", document["due_date"], "10000.00", document["item_id"])])
    assert posted(made, "late_interest") == []
    late, frames = made = ran([document])
    assert posted(made, "late_interest")
    rows = late["credit.fct_receivable_rollforward_month"]
    assert rows.filter(pl.col("closing_amount") != pl.col("control_account_amount")).is_empty()
    lines = union_lines(frames["ledger.fct_journal_lines"], late["credit.fct_credit_journal_lines"])
    balance = trial_balance(lines, frames["intermediate.int_closes"])
    assert set(balance.group_by("posting_month").agg(pl.col("closing_amount").sum())["closing_amount"]) == {D("0.00")}


@given(
    amount=st.decimals(min_value=1, max_value=10**9, places=2),
    late=st.integers(min_value=0, max_value=400),
    rate=st.decimals(min_value=0, max_value=1, places=4),
)
def test_interest_on_a_claim_is_amount_times_rate_times_days_past_due_over_365(amount, late, rate):
    due = date(2027, 3, 1)
    paid = [(due + timedelta(days=late), amount)]
    found = interest_by_month(claim_spans([(due, amount)], paid, [(date(2020, 1, 1), rate)], date(2029, 1, 1)))
    exact = amount * rate * late / 365
    assert abs(sum(found.values(), D(0)) - exact) <= D("0.005") * max(1, len(found))


def test_whoever_pays_principal_and_interest_late_owes_nothing_and_has_nothing_on_account():
    # 40 days late: 30.00 was noted on 31 March; the 50.00 of April's 25 days wait for their note at the month's end.
    made = ran([LATE], [payment("p", date(2027, 4, 25), "10080.00", LATE["item_id"])])
    assert posted(made, "invoice_interest") == [(MAR, D("30.00")), (APR, D("50.00"))]
    assert applications(made) == [
        ("p", LATE["item_id"], D("10000.00"), "named_item", date(2027, 4, 25)),
        ("p", OF_MARCH, D("30.00"), "interest", date(2027, 4, 25)),
        ("p", OF_APRIL, D("50.00"), "exact_amount", date(2027, 4, 30)),
    ]
    assert balances(made, MAR) == {
        "trade_receivable": D("10030.00"),
        "unbilled_share_receivable": D("-10000.00"),
        "late_interest_income": D("-30.00"),
    }
    assert balances(made, APR) == {
        "cash": D("10080.00"),
        "unbilled_share_receivable": D("-10000.00"),
        "late_interest_income": D("-80.00"),
    }


def test_interest_is_a_note_of_its_month_s_last_day_that_falls_due_as_an_invoice_of_that_day_and_ages():
    out, _ = made = ran([LATE])
    notes = out["credit.fct_receivable_item"].filter(pl.col("kind") == "interest_note")
    of_march = notes.filter((pl.col("as_of_month") == JUN) & (pl.col("service_month") == MAR)).row(0, named=True)
    # 15 days to the statement and 30 to pay: due on 15 May, 46 days before the end of June.
    assert (of_march["invoice_date"], of_march["due_date"]) == (date(2027, 3, 31), date(2027, 5, 15))
    assert (of_march["open_amount"], bucket_of(of_march["days_past_due"])) == (D("30.00"), "31-60")
    aged = out["credit.fct_ageing_month"].filter((pl.col("month") == JUN) & (pl.col("bucket") == "31-60"))
    assert aged["open_amount"].to_list() == [D("30.00")]
    assert balances(made, JUN)["trade_receivable"] == D("10212.00")  # 106 days


def test_no_interest_runs_on_interest():
    # The principal is paid on the last day of March; its 30.00 are left for ever.
    made = ran([LATE], [payment("p", date(2027, 3, 31), "10000.00", LATE["item_id"])])
    assert posted(made, "late_interest") == [(MAR, D("30.00"))]
    assert open_at(made, JUN) == {OF_MARCH: D("30.00")}


def test_cash_goes_to_interest_after_all_principal_disputed_or_not():
    younger = invoice(JAN, "200.00")
    dispute = event("d", "dispute_opened", FEB, payload=f'{{"item_id": "{younger["item_id"]}"}}')
    made = ran([LATE, younger], [payment("p", date(2027, 4, 1), "10230.00")], [dispute])
    assert [(item, amount, rule) for _, item, amount, rule, _ in applications(made)] == [
        (LATE["item_id"], D("10000.00"), "oldest_undisputed"),
        (younger["item_id"], D("200.00"), "disputed"),
        (OF_MARCH, D("30.00"), "interest"),
    ]


def test_interest_takes_cash_that_names_it_or_is_its_exact_amount_though_principal_is_open():
    for reference in (OF_MARCH, "interest 2027-03", "Interest, please", "late interest of 2027-03."):
        made = ran([LATE], [payment("p", date(2027, 4, 1), "25.00", reference)])
        assert applications(made) == [("p", OF_MARCH, D("25.00"), "named_item", date(2027, 4, 1))]
    made = ran([LATE], [payment("p", date(2027, 4, 1), "30.00")])
    assert applications(made) == [("p", OF_MARCH, D("30.00"), "exact_amount", date(2027, 4, 1))]


def test_a_month_names_the_share_before_the_word_interest_and_interest_behind_it():
    share_of_march = invoice(MAR, "500.00")
    paid = payment("p", date(2027, 5, 3), "10020.00", "2026-12, interest 2027-03")
    found = applications(ran([LATE, share_of_march], [paid]))
    assert [(item, amount) for _, item, amount, rule, _ in found if rule == "named_item"] == [
        (LATE["item_id"], D("10000.00")),
        (OF_MARCH, D("20.00")),
    ]


def test_a_dispute_over_a_month_s_share_does_not_cover_the_interest_of_its_days():
    dispute = event("d", "dispute_opened", FEB, payload='{"service_month": "2027-03"}')
    out, _ = ran([LATE], [], [dispute])
    noted = out["credit.fct_receivable_item"].filter((pl.col("as_of_month") == JUN) & (pl.col("item_id") == OF_MARCH))
    assert noted["disputed"].to_list() == [False]


def test_interest_may_be_given_up_by_a_write_off_that_names_it_or_by_hand():
    written = event("w", "write_off", date(2027, 5, 2), amount="30.00", payload=f'{{"item_id": "{OF_MARCH}"}}')
    paid = payment("p", date(2027, 3, 31), "10000.00", LATE["item_id"])
    assert open_at(ran([LATE], [paid], [written]), MAY) == {}
    # By hand: income is taken back out of interest receivable, and the next close credits it.
    given_up = by_hand(MAR, MAY, "-12.00")
    made = ran_with(given_up, [LATE], [paid])
    assert posted(made, "invoice_interest") == [(MAR, D("18.00"))]
    assert open_at(made, APR) == {OF_MARCH: D("30.00")}
    assert open_at(made, MAY) == {OF_MARCH: D("18.00")}
    assert balances(made, MAY).get("interest_receivable") is None


def by_hand(service_month, posting_month, amount, kind="manual_journal", income="late_interest_income"):
    """Lines of the contract's own books in interest receivable."""
    entry = f"{CONTRACT}:{service_month:%Y-%m}:{kind}:{posting_month:%Y-%m}"
    line = {"entry_id": entry, "contract_id": CONTRACT, "event": kind, "currency_code": "USD", "is_provisional": False}
    line |= {"service_month": service_month, "posting_month": posting_month, "posted_at": close_time(posting_month)}
    return [
        {**line, "line_no": 1, "account": "interest_receivable", "amount": D(amount)},
        {**line, "line_no": 2, "account": income, "amount": -D(amount)},
    ]


def ran_with(lines, documents, payments=()):
    frames = {**home(MONTHS, list(documents), list(payments), []), "raw.share_terms": LATE_TERMS}
    own = pl.DataFrame(lines, schema_overrides=JOURNAL_SCHEMA).with_columns(run_id=pl.lit("test"))
    frames["ledger.fct_journal_lines"] = pl.concat(
        [frames["ledger.fct_journal_lines"], own.cast({"line_no": pl.Int32})], how="diagonal"
    )
    return receivables_group(frames), frames


def test_interest_on_an_advance_and_on_a_true_up_is_billed_and_paid_like_any():
    lines = by_hand(FEB, FEB, "180.00", "advance_interest", "advance_interest_income")
    lines += by_hand(FEB, APR, "-20.00", "true_up_interest")
    made = ran_with(lines, [], [payment("p", date(2027, 3, 5), "180.00"), payment("q", date(2027, 5, 5), "9.00")])
    note, credit = (f"{CONTRACT}:2027-02:invoice_interest:2027-{month}" for month in ("02", "04"))
    assert applications(made) == [("p", note, D("180.00"), "exact_amount", date(2027, 3, 5))]
    # What is taken back after it was paid stays an open credit.
    assert open_at(made, APR) == {credit: D("-20.00")}
    assert balances(made, MAY)["trade_receivable"] == D("-20.00")


def test_a_payment_that_becomes_known_late_takes_interest_back_in_the_open_month():
    paid_in_time = payment(
        "p", date(2027, 3, 16), "10000.00", LATE["item_id"], recorded=close_time(APR) - timedelta(hours=1)
    )
    made = ran([LATE], [paid_in_time])
    out, _ = made
    lines = out["credit.fct_credit_journal_lines"].filter(
        (pl.col("event") == "invoice_interest") & (pl.col("line_no") == 1)
    )
    assert lines.select("service_month", "posting_month", "amount").rows() == [
        (MAR, MAR, D("30.00")),
        (MAR, APR, D("-30.00")),
    ]
    assert open_at(made, MAR) == {LATE["item_id"]: D("10000.00"), OF_MARCH: D("30.00")}
    assert open_at(made, APR) == {}
    assert "late_interest_income" not in balances(made, APR)


def test_a_set_off_reaches_interest_after_principal_and_only_where_it_reaches_all_sums():
    def left(scope):
        frames = home(MONTHS, [LATE], [payment("p", date(2027, 3, 31), "9950.00")], [], claims={JAN: "70.00"})
        frames = backstop(frames, set_off_scope=scope, set_off_enforceable=True)
        return open_at((receivables_group({**frames, "raw.share_terms": LATE_TERMS}), frames), APR)

    # The claim falls due on 6 April, with 50.00 of principal open, which bear interest for six days.
    assert left("all_sums") == {OF_MARCH: D("10.00"), OF_APRIL: D("0.06")}
    assert left("revenue_share_only") == {OF_MARCH: D("30.00"), OF_APRIL: D("0.06")}


def claims_made(payments, claims=None, **over):
    frames = backstop(home(MONTHS, [], payments, [], claims=claims or {JAN: "10000.00"}), **over)
    return receivables_group({**frames, "raw.share_terms": LATE_TERMS}), frames


def test_the_vendor_s_payment_beyond_the_claims_that_are_due_settles_the_interest_on_them_at_the_month_s_end():
    # Due on 6 April, paid 20 days later with the 40.00 of 20 days.
    made = claims_made([payment("v", date(2027, 4, 26), "10040.00", direction="paid")])
    assert posted(made, "late_interest_on_claims") == [(APR, D("40.00"))]
    assert posted(made, "pay_claim_interest") == [(APR, D("40.00"))]
    # pay_claim, posted by the contract's own books, holds the whole payment.
    lines = made[0]["credit.fct_credit_journal_lines"].filter(pl.col("event") == "pay_claim_interest")
    assert lines.select("account", "amount").rows() == [
        ("interest_payable", D("40.00")),
        ("backstop_payable", D("-40.00")),
    ]


def test_claims_that_are_due_come_before_interest_on_claims_and_what_it_took_is_no_payment_of_the_next():
    # 10,000.00 for January's claim, 40.00 for April's interest, and 40.00 are left for February's claim, due on 4 May.
    made = claims_made(
        [payment("v", date(2027, 4, 26), "10080.00", direction="paid")], claims={JAN: "10000.00", FEB: "100.00"}
    )
    assert posted(made, "pay_claim_interest") == [(APR, D("40.00"))]
    # 60.00 of it are late for 27 days in May and 30 in June.
    assert posted(made, "late_interest_on_claims") == [(APR, D("40.00")), (MAY, D("0.32")), (JUN, D("0.36"))]
    unpaid = claims_made([payment("v", date(2027, 4, 26), "9000.00", direction="paid")])
    assert posted(unpaid, "pay_claim_interest") == []


def test_notes_are_posted_entries_and_sealed_ones_stand_while_what_they_lack_is_billed_at_the_first_open_close():
    first, frames = ran([LATE])
    lines = first["credit.fct_credit_journal_lines"]
    # Sealed before interest was billed: March and April hold the income alone, one cent other than it would be today.
    kept = lines.filter((pl.col("event") == "late_interest") & (pl.col("posting_month") <= APR)).with_columns(
        amount=pl.when(pl.col("amount") > 0)
        .then(pl.col("amount") + D("0.01"))
        .otherwise(pl.col("amount") - D("0.01"))
        .cast(pl.Decimal(18, 2)),
        origin=pl.lit("credit"),
    )
    closes = frames["intermediate.int_closes"].with_columns(
        is_sealed=pl.col("posting_month") <= APR, reopening_no=pl.lit(0, dtype=pl.Int32)
    )
    frames = {**frames, "intermediate.int_closes": closes, "raw.sealed_line": kept, "raw.share_terms": LATE_TERMS}
    again = receivables_group(frames)
    billed = again["credit.fct_credit_journal_lines"].filter(
        (pl.col("event") == "invoice_interest") & (pl.col("line_no") == 1)
    )
    assert billed.select("service_month", "posting_month", "amount").rows() == [
        (MAR, MAY, D("30.00")),
        (APR, MAY, D("60.00")),
        (MAY, MAY, D("62.00")),
        (JUN, JUN, D("60.00")),
    ]
    notes = again["credit.fct_receivable_item"].filter(
        (pl.col("kind") == "interest_note") & (pl.col("as_of_month") == JUN)
    )
    assert sorted(notes["item_id"]) == sorted(billed["entry_id"])
    assert set(notes.filter(pl.col("posting_month") == MAY)["invoice_date"]) == {month_end(MAY)}
    assert balances((again, frames), JUN).keys() == {
        "trade_receivable",
        "late_interest_income",
        "unbilled_share_receivable",
    }
    # And sealed with their notes, they stand.
    kept = (
        again["credit.fct_credit_journal_lines"]
        .filter(pl.col("posting_month") <= MAY)
        .with_columns(origin=pl.lit("credit"))
    )
    closes = closes.with_columns(is_sealed=pl.col("posting_month") <= MAY)
    third = receivables_group({**frames, "raw.sealed_line": kept, "intermediate.int_closes": closes})
    assert third["credit.fct_receivable_item"].equals(again["credit.fct_receivable_item"])
    assert third["credit.fct_credit_journal_lines"].equals(again["credit.fct_credit_journal_lines"])


def test_interest_is_provided_for_and_is_no_sale():
    # All that is due is paid but the interest.
    paid = payment("p", date(2027, 3, 31), "10000.00", LATE["item_id"])
    frames = {**home(MONTHS, [LATE], [paid], []), "raw.share_terms": LATE_TERMS}
    out = run_all(frames)
    june = pl.col("month") == JUN
    metrics = out["credit.fct_collection_metrics_month"].filter(june).row(0, named=True)
    assert (metrics["receivable_amount"], metrics["window_sales_amount"]) == (D("0.00"), D("0.00"))
    losses = out["credit.fct_credit_loss_month"].filter(june & (pl.col("standard") == "cecl"))
    assert set(losses["exposure_amount"]) == {D("30.00")}


def test_unpaid_interest_raises_no_stage_and_presumes_no_default():
    months = month_list(JAN, 12)
    paid = payment("p", date(2027, 3, 31), "10000.00", LATE["item_id"])
    younger = invoice(date(2027, 10, 1), "500.00")
    out = run_all({**home(months, [LATE, younger], [paid], []), "raw.share_terms": LATE_TERMS})
    last = pl.col("month") == months[-1]
    assert out["credit.fct_ageing_month"].filter(last & (pl.col("bucket") == ">120"))["open_amount"].to_list() == [
        D("30.00")
    ]
    assert set(out["credit.fct_credit_loss_month"].filter(last)["stage"].drop_nulls()) == {1}


def test_what_a_close_knows_otherwise_of_late_interest_is_stated_day_by_day():
    part = payment("p", date(2027, 3, 20), "4000.00", LATE["item_id"], recorded=close_time(MAR) + timedelta(days=3))
    out, _ = ran([LATE], [part])
    spans = out["credit.fct_interest_span"].select(
        "as_of_month", "service_month", "first_date", "last_date", "day_count", "overdue_amount", "interest_amount"
    )
    # At March's close nothing was known of the payment of the 20th: 2.00 a day until then, 1.20 after.
    assert spans.filter(pl.col("service_month") == MAR).rows() == [
        (MAR, MAR, date(2027, 3, 17), date(2027, 3, 31), 15, D("10000.00"), D("30")),
        (APR, MAR, date(2027, 3, 17), date(2027, 3, 20), 4, D("10000.00"), D("8")),
        (APR, MAR, date(2027, 3, 21), date(2027, 3, 31), 11, D("6000.00"), D("13.2")),
    ]
    assert posted((out, None), "late_interest")[0] == (MAR, D("21.20"))
    # Known as paid in time later on, it bears none.
    in_time = payment(
        "p", date(2027, 3, 16), "10000.00", LATE["item_id"], recorded=close_time(APR) - timedelta(hours=1)
    )
    last = ran([LATE], [in_time])[0]["credit.fct_interest_span"]
    assert last.filter(pl.col("as_of_month") == APR).select("first_date", "last_date", "interest_amount").rows() == [
        (MAR, month_end(MAR), D("0"))
    ]
