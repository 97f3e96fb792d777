"""Late interest on invoices and claims, against figures worked out by hand."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from jobs_home import close_time, home, invoice, month_list, payment

from orchestration.polars_jobs.journal import trial_balance, union_lines
from orchestration.polars_jobs.late_interest import claim_interest
from orchestration.polars_jobs.programme import receivables_group

D = Decimal
JAN, FEB, MAR, APR, MAY, JUN = month_list(date(2027, 1, 1), 6)
DEC = date(2026, 12, 1)
RATES = pl.DataFrame(
    [
        {
            "contract_id": "sharon-nvda-2026",
            "share_id": "share",
            "amendment_id": "original",
            "valid_from": date(2026, 1, 1),
            "recorded_at": close_time(date(2025, 12, 1)),
            "late_rate": D("0.073"),
        }
    ]
)


def ran(documents, payments=(), **over):
    frames = home([JAN, FEB, MAR, APR, MAY, JUN], list(documents), list(payments), [], **over)
    return receivables_group({**frames, "raw.share_terms": RATES}), frames


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
    found = claim_interest(
        [(due, amount)], [(due + timedelta(days=late), amount)], [(date(2020, 1, 1), rate)], date(2029, 1, 1)
    )
    exact = amount * rate * late / 365
    assert abs(sum(found.values(), D(0)) - exact) <= D("0.005") * max(1, len(found))
