"""Collection metrics: days sales outstanding in four readings, average days delinquent, turnover, collection
effectiveness.

Money in is Decimal, ratios out are floats; what cannot be computed is None with a reason, never 0 and never infinity
(DOMAIN.md, 7). Formulas: CREDIT.md, 3.2; windows and N: READINGS.md, 44.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

import polars as pl

from orchestration.polars_jobs.errors import check_count
from orchestration.polars_jobs.frames import add_months, days_in_month, make_frame, month_end
from orchestration.polars_jobs.money import MONEY, ZERO, exact
from orchestration.polars_jobs.policies import CreditPolicy
from orchestration.polars_jobs.receivables import BESIDE_THE_SHARE

Amount: TypeAlias = Decimal | Fraction | float


class Metric(NamedTuple):
    """A ratio, or None with the reason why there is none."""

    value: float | None
    null_reason: str | None


def _no(reason: str) -> Metric:
    return Metric(None, reason)


def dso_simple(receivable: Amount, sales: Amount, days: int) -> Metric:
    """Receivable ÷ credit sales of the window × its days. Sales of zero or less: none."""
    owed, sold = exact(receivable, "receivable"), exact(sales, "sales")
    check_count(days, "days", low=1)
    if sold <= 0:
        return _no(f"no credit sales in the {days}-day window")
    return Metric(float(owed / sold * days), None)


def best_possible_dso(current_receivable: Amount, sales: Amount, days: int) -> Metric:
    """The same over what is not yet due alone: what DSO would be if everybody paid on time."""
    return dso_simple(current_receivable, sales, days)


def average_days_delinquent(dso: Metric, best_possible: Metric) -> Metric:
    """DSO less best possible DSO; none where either is."""
    if dso.value is None or best_possible.value is None:
        return _no(dso.null_reason or best_possible.null_reason or "no DSO")
    return Metric(dso.value - best_possible.value, None)


def countback_dso(receivable: Amount, month_sales: Sequence[tuple[int, Amount]]) -> Metric:
    """Count back months, newest first, until the receivable is used up.

    ``month_sales``: (days of the month, sales of the month), newest first. A month with sales of zero or less adds
    all its days and its sales are taken off (the rest grows). Used up exactly at a month's end counts that whole
    month. A receivable larger than all the months given: none, exhausted.
    """
    rest, days = exact(receivable, "receivable"), Fraction(0)
    if rest <= 0:
        return Metric(0.0, None) if rest == 0 else _no("receivable is a credit balance")
    for month_days, amount in month_sales:
        sales = exact(amount, "sales")
        check_count(month_days, "days of a month", low=1)
        if sales > 0 and rest <= sales:
            return Metric(float(days + rest / sales * month_days), None)
        days += month_days
        rest -= sales
    return _no(f"count-back exhausted: the receivable is larger than the sales of the last {len(month_sales)} months")


def true_dso(items: Sequence[tuple[int, Amount, Amount]]) -> Metric:
    """Σ age × open ÷ sales of the item's own month. ``items``: (days since invoice date, open amount, sales of the
    invoice's month).
    """
    found = [
        (check_count(age, "age in days"), exact(open_amount, "open amount"), exact(sales, "sales"))
        for age, open_amount, sales in items
    ]
    if any(sales <= 0 for _, open_amount, sales in found if open_amount != 0):
        return _no("an open item comes from a month without credit sales")
    total = sum((age * open_amount / sales for age, open_amount, sales in found if open_amount != 0), Fraction(0))
    return Metric(float(total), None)


def receivables_turnover(sales: Amount, balances: Sequence[Amount], days: int) -> Metric:
    """Net credit sales of ``days`` days ÷ mean of the balances, annualised by 365 ÷ days. Two balances by default,
    thirteen month-ends as an option.
    """
    check_count(days, "days", low=1)
    if not balances:
        return _no("no balances")
    mean = sum((exact(balance, "balance") for balance in balances), Fraction(0)) / len(balances)
    if mean <= 0:
        return _no("mean receivable is not positive")
    return Metric(float(exact(sales, "sales") / mean * 365 / days), None)


def collection_effectiveness(
    beginning: Amount, sales: Amount, ending_total: Amount, ending_current: Amount, months: int = 1
) -> Metric:
    """(beginning + sales ÷ N − ending total) ÷ (beginning + sales ÷ N − ending current), a fraction; N is the number
    of months in ``sales`` (ORACLES.md, O7).
    """
    check_count(months, "months", low=1)
    due = exact(beginning, "beginning receivable") + exact(sales, "sales") / months
    denominator = due - exact(ending_current, "ending current receivable")
    if denominator <= 0:
        return _no("nothing was due for collection")
    return Metric(float((due - exact(ending_total, "ending receivable")) / denominator), None)


METRICS = (
    "dso_days",
    "countback_dso_days",
    "best_possible_dso_days",
    "true_dso_days",
    "average_days_delinquent",
    "receivables_turnover",
    "collection_effectiveness_fraction",
)
CIRCULAR_METRICS = ("dso_days", "countback_dso_days", "receivables_turnover", "collection_effectiveness_fraction")

METRICS_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "currency_code": pl.String,
    "window_days": pl.Int32,
    "window_sales_amount": MONEY,
    "month_sales_amount": MONEY,
    "receivable_amount": MONEY,
    "current_receivable_amount": MONEY,
    "circular_applied_amount": MONEY,
}
for _name in METRICS:
    METRICS_SCHEMA[_name] = pl.Float64
    METRICS_SCHEMA[f"{_name}_null_reason"] = pl.String
for _name in CIRCULAR_METRICS:
    METRICS_SCHEMA[f"{_name}_without_circular"] = pl.Float64


class _Month(NamedTuple):
    """The receivable of one contract at one month's end, with or without the receipts that the vendor's own claims
    funded.
    """

    beginning: Decimal
    ending: Decimal
    current: Decimal


def collection_metrics(items: pl.DataFrame, rollforward: pl.DataFrame, policy: CreditPolicy) -> pl.DataFrame:
    """One row per contract and month of ``credit.fct_collection_metrics_month``, each metric with its
    ``_null_reason``, and four of them again without circular receipts.

    Sales are the share billed (invoices less credit notes) by invoice date, as known at the month's close. Debit notes
    under the backstop and interest are no sales, and are left out of the receivable too. The receivable is gross of allowance and, by
    policy, net of unapplied cash. "Without circular" puts cash that the vendor's own claim payments funded back on the
    items, as if it had not come.
    """
    rows: list[dict[str, Any]] = []
    for contract in rollforward.partition_by("contract_id", maintain_order=True):
        months = contract.sort("month").rows(named=True)
        own = items.filter(pl.col("contract_id") == months[0]["contract_id"])
        by_month = {
            key[0]: part.rows(named=True) for key, part in own.partition_by("as_of_month", as_dict=True).items()
        }
        history: list[tuple[_Month, _Month]] = []
        for row in months:
            every = by_month.get(row["month"], [])
            state = [item for item in every if item["kind"] not in BESIDE_THE_SHARE]
            apart = sum((item["open_amount"] for item in every if item["kind"] in BESIDE_THE_SHARE), ZERO)
            sold = {**row, "closing_amount": row["closing_amount"] - apart}
            rows.append(_metrics_row(sold, state, history, policy))
    return make_frame(rows, METRICS_SCHEMA, ["contract_id", "month"])


def _metrics_row(
    row: Mapping[str, Any],
    state: Sequence[Mapping[str, Any]],
    history: list[tuple[_Month, _Month]],
    policy: CreditPolicy,
) -> dict[str, Any]:
    days = policy.integer("dso_window_days")
    end = month_end(row["month"])
    netted = row["unapplied_closing_amount"] if policy.flag("dso_net_of_unapplied") else ZERO
    circular = sum((item["circular_applied_amount"] for item in state), ZERO)
    # An open credit ages nowhere: it stands with what is not yet due.
    current = [item for item in state if item["days_past_due"] <= 0 or item["open_amount"] < 0]
    before = history[-1] if history else (_Month(ZERO, ZERO, ZERO), _Month(ZERO, ZERO, ZERO))
    as_booked = _Month(
        before[0].ending,
        row["closing_amount"] - netted,
        sum((item["open_amount"] for item in current), ZERO) - netted,
    )
    without = _Month(
        before[1].ending,
        as_booked.ending + circular,
        as_booked.current + sum((item["circular_applied_amount"] for item in current), ZERO),
    )
    history.append((as_booked, without))

    def sales_between(first: date, last: date) -> Decimal:
        return sum((item["original_amount"] for item in state if first <= item["invoice_date"] <= last), ZERO)

    window = sales_between(end - timedelta(days=days - 1), end)
    month_sales = sales_between(row["month"], end)
    back = [add_months(row["month"], -k) for k in range(policy.integer("countback_month_limit"))]
    by_month = [(days_in_month(month), sales_between(month, month_end(month))) for month in back]
    aged = [
        (
            (end - item["invoice_date"]).days,
            item["open_amount"],
            sales_between(item["invoice_date"].replace(day=1), month_end(item["invoice_date"])),
        )
        for item in state
        if item["open_amount"] > 0
    ]
    points = 2 if policy.choice("turnover_average", "opening_closing", "thirteen_point") == "opening_closing" else 13
    cei_months = policy.integer("cei_months")
    cei_sales = sales_between(add_months(row["month"], 1 - cei_months), end)

    def computed(which: int, month: _Month) -> dict[str, Metric]:
        dso = dso_simple(month.ending, window, days)
        best = best_possible_dso(month.current, window, days)
        opening = history[-1 - cei_months][which].ending if len(history) > cei_months else ZERO
        if points == 2:
            turnover = receivables_turnover(month_sales, [month.beginning, month.ending], days_in_month(row["month"]))
        elif len(history) < points:
            turnover = _no(f"fewer than {points} month-ends")
        else:
            first = add_months(row["month"], -(points - 2))
            span = (end - first).days + 1
            turnover = receivables_turnover(
                sales_between(first, end), [past[which].ending for past in history[-points:]], span
            )
        return {
            "dso_days": dso,
            "countback_dso_days": countback_dso(month.ending, by_month),
            "best_possible_dso_days": best,
            "true_dso_days": true_dso(aged),
            "average_days_delinquent": average_days_delinquent(dso, best),
            "receivables_turnover": turnover,
            "collection_effectiveness_fraction": collection_effectiveness(
                opening, cei_sales, month.ending, month.current, cei_months
            ),
        }

    booked, adjusted = computed(0, as_booked), computed(1, without)
    out: dict[str, Any] = {
        "contract_id": row["contract_id"],
        "month": row["month"],
        "currency_code": row["currency_code"],
        "window_days": days,
        "window_sales_amount": window,
        "month_sales_amount": month_sales,
        "receivable_amount": as_booked.ending,
        "current_receivable_amount": as_booked.current,
        "circular_applied_amount": circular,
    }
    for name in METRICS:
        out[name], out[f"{name}_null_reason"] = booked[name]
    for name in CIRCULAR_METRICS:
        out[f"{name}_without_circular"] = adjusted[name].value
    return out
