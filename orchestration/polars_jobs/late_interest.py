"""Late interest: simple, ACT/365F, on what was overdue at the start of each day, by month; no interest on interest.

An invoice is overdue from the day after its due date until the day on which it is paid, that day included, so that the
days of interest are the days past due (READINGS.md, 42 and 43). A claim is due ``claim_notice_days`` plus
``claim_payment_days`` after its service month; the vendor's payments settle the oldest claim first. Both sides bear the
contract's ``late_rate`` of the day. Which cash pays which invoice is the sub-ledger's rule and does not belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import polars as pl

from orchestration.polars_jobs.frames import (
    Frames,
    RowsBy,
    make_frame,
    month_end,
    month_start,
    need,
    optional,
)
from orchestration.polars_jobs.money import MONEY, ZERO, round_money
from orchestration.polars_jobs.receivables import (
    DEBIT_NOTE,
    ClaimDue,
    Close,
    Document,
    Event,
    SubLedger,
    claim_lines,
    claims_due,
    claims_paid,
    documents_of,
    event_order,
    events_at,
    read_closes,
)

DAYS_IN_YEAR = 365
_ONE_DAY = timedelta(days=1)

TARGET_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "service_month": pl.Date,
    "posting_month": pl.Date,
    "currency_code": pl.String,
    "should_amount": MONEY,
}

Rates = list[tuple[date, Decimal]]


def interest_by_month(
    turning_days: Iterable[date], overdue_on: Callable[[date], Decimal], rates: Rates, last_day: date
) -> dict[date, Decimal]:
    """Interest by calendar month, rounded once a month.

    ``turning_days``: days at whose start the overdue amount may differ from the day before; ``overdue_on``: the amount
    overdue at the start of a day, asked in order; ``rates``: (first day, yearly rate) in order; ``last_day``: the last
    day that bears interest.
    """
    days = {day for day in turning_days if day <= last_day}
    if not days or not rates:
        return {}
    first = min(days)
    days |= {start for start, _ in rates if first < start <= last_day}
    month = month_end(first) + _ONE_DAY
    while month <= last_day:
        days.add(month)
        month = month_end(month) + _ONE_DAY
    ordered = [*sorted(days), last_day + _ONE_DAY]
    interest: dict[date, Fraction] = {}
    for start, end in pairwise(ordered):
        overdue = overdue_on(start)
        rate = next((rate for since, rate in reversed(rates) if since <= start), ZERO)
        amount = Fraction(overdue) * Fraction(rate) * (end - start).days / DAYS_IN_YEAR
        interest[month_start(start)] = interest.get(month_start(start), Fraction(0)) + amount
    return {month: round_money(amount) for month, amount in interest.items()}


def share_interest(events: Sequence[Event], rates: Rates, last_day: date) -> dict[date, Decimal]:
    """Interest on overdue invoices by month, out of the sub-ledger's events in their order."""
    documents = [event for event in events if isinstance(event, Document)]
    turning = {_day_of(event) + _ONE_DAY for event in events} | {item.due_date + _ONE_DAY for item in documents}
    ledger, played = SubLedger(), 0

    def overdue_on(day: date) -> Decimal:
        nonlocal played
        while played < len(events) and _day_of(events[played]) < day:
            ledger.play(events[played])
            played += 1
        bearing = (item for item in ledger.items.values() if item.document.kind != DEBIT_NOTE)
        return sum((item.open for item in bearing if item.open > 0 and item.document.due_date < day), ZERO)

    return interest_by_month(turning, overdue_on, rates, last_day)


def claim_interest(
    claims: Sequence[tuple[date, Decimal]], payments: Sequence[tuple[date, Decimal]], rates: Rates, last_day: date
) -> dict[date, Decimal]:
    """Interest on overdue claims by month. ``claims``: (due date, amount); ``payments``: (day, amount paid or set off)."""

    def overdue_on(day: date) -> Decimal:
        due = sum((amount for due_date, amount in claims if due_date < day), ZERO)
        paid = sum((amount for paid_date, amount in payments if paid_date < day), ZERO)
        return max(ZERO, due - paid)

    turning = {day + _ONE_DAY for day, _ in [*claims, *payments]}
    return interest_by_month(turning, overdue_on, rates, last_day)


def _day_of(event: Event) -> date:
    return event_order(event)[0]


def late_interest(frames: Frames) -> dict[str, pl.DataFrame]:
    """What late interest should stand at, at each close: targets for ``post_differences`` by journal event.

    Reads what the sub-ledger reads, ``raw.share_terms`` (late_rate), ``raw.backstop_terms`` (claim_notice_days,
    claim_payment_days) and what the vendor owes by ``ledger.fct_journal_lines``.
    """
    terms = optional(frames, "raw.share_terms")
    rows: dict[str, list[dict[str, Any]]] = {"late_interest": [], "late_interest_on_claims": []}
    if terms is not None and "late_rate" in terms.columns:
        bearing = set(terms.filter(pl.col("late_rate") > 0)["contract_id"])
        currencies = dict(need(frames, "core.dim_contract").select("contract_id", "currency_code").iter_rows())
        books = _Books(frames)
        for close in read_closes(need(frames, "intermediate.int_closes")):
            if close.contract_id in bearing:
                rates = _rates(terms.filter(pl.col("contract_id") == close.contract_id), close)
                currency = currencies[close.contract_id]
                events = books.events(close, currency)
                claims = [(claim.due_date, claim.amount) for claim in books.claims(close, currency)]
                settled = books.settled(close, events, currency)
                for event, interest in (
                    ("late_interest", share_interest(events, rates, close.month_end_date)),
                    ("late_interest_on_claims", claim_interest(claims, settled, rates, close.month_end_date)),
                ):
                    rows[event].extend(
                        {
                            "contract_id": close.contract_id,
                            "service_month": month,
                            "posting_month": close.posting_month,
                            "currency_code": currency,
                            "should_amount": amount,
                        }
                        for month, amount in interest.items()
                    )
    order = ["contract_id", "service_month", "posting_month"]
    return {event: make_frame(found, TARGET_SCHEMA, order) for event, found in rows.items()}


def _rates(terms: pl.DataFrame, close: Close) -> Rates:
    """The contract's rate from each day on, as known at the close; blocks of one version bear one rate."""
    known = terms.filter(pl.col("recorded_at") <= close.known_at).sort("valid_from", "recorded_at", "amendment_id")
    return list({row["valid_from"]: row["late_rate"] for row in known.iter_rows(named=True)}.items())


class _Books:
    """What interest is reckoned on, read once for all closes."""

    def __init__(self, frames: Frames) -> None:
        self._documents = need(frames, "ledger.fct_receivable_document")
        self._payments, self._events, self._terms = (
            RowsBy(optional(frames, name))
            for name in ("staging.stg_payments", "staging.stg_credit_events", "raw.backstop_terms")
        )
        self._lines = claim_lines(optional(frames, "ledger.fct_journal_lines"))

    def events(self, close: Close, currency_code: str) -> list[Event]:
        """The sub-ledger's events at a close."""
        own = (pl.col("contract_id") == close.contract_id) & (pl.col("currency_code") == currency_code)
        return events_at(
            close,
            documents_of(self._documents.filter(own)),
            self._payments.of(close.contract_id),
            self._events.of(close.contract_id),
            currency_code,
            claims=self.claims(close, currency_code),
        )

    def claims(self, close: Close, currency_code: str) -> list[ClaimDue]:
        """The claims posted up to a close."""
        return claims_due(close, self._terms.of(close.contract_id), self._lines.of(close.contract_id), currency_code)

    def settled(self, close: Close, events: Sequence[Event], currency_code: str) -> list[tuple[date, Decimal]]:
        """What has settled claims: cash paid, and what was set off against invoices."""
        ledger = SubLedger()
        for event in events:
            ledger.play(event)
        payments = claims_paid(close, self._payments.of(close.contract_id), currency_code)
        return [*((paid.paid_date, paid.amount) for paid in payments), *ledger.set_offs]
