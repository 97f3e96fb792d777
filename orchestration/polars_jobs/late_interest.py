"""Late interest: simple, ACT/365F, on what was overdue at the start of each day, by month; no interest on interest. And the
notes that bill it.

An invoice is overdue from the day after its due date until the day on which it is paid, that day included, so that the
days of interest are the days past due (READINGS.md, 42 and 43). A claim is due ``claim_notice_days`` plus
``claim_payment_days`` after its service month; the vendor's payments settle the oldest claim first. Both sides bear the
contract's ``late_rate`` of the day. Which cash pays which invoice is the sub-ledger's rule and does not belong here.

Each close bills what stands in interest receivable (late interest, and what the contract's books hold of interest on
true-ups and advances) as notes dated by its month's last day: one a service month, due as an invoice of that day is. From
there they are items of the sub-ledger, which later interest hangs on; so closes are taken in order, each on what those
before it posted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from orchestration.polars_jobs.journal import JOURNAL_SCHEMA, entry_name
from orchestration.polars_jobs.money import MONEY, ZERO, round_money
from orchestration.polars_jobs.receivables import (
    BESIDE_THE_SHARE,
    INTEREST_NOTE,
    TARGET_SCHEMA,
    ClaimDue,
    ClaimInterest,
    Close,
    Document,
    Event,
    InterestNotes,
    SubLedger,
    claim_lines,
    claims_due,
    claims_paid,
    documents_of,
    event_order,
    events_at,
    read_closes,
)
from orchestration.polars_jobs.terms_at_close import collection_days

DAYS_IN_YEAR = 365
_ONE_DAY = timedelta(days=1)

Rates = list[tuple[date, Decimal]]


@dataclass(frozen=True)
class Span:
    """Days of one month over which one amount was overdue, at one yearly rate."""

    first_date: date
    last_date: date
    overdue_amount: Decimal
    rate: Decimal

    @property
    def day_count(self) -> int:
        """Days that bear interest, both ends among them."""
        return (self.last_date - self.first_date).days + 1

    @property
    def interest(self) -> Fraction:
        """Unrounded."""
        return Fraction(self.overdue_amount) * Fraction(self.rate) * self.day_count / DAYS_IN_YEAR


def interest_spans(
    turning_days: Iterable[date], overdue_on: Callable[[date], Decimal], rates: Rates, last_day: date
) -> list[Span]:
    """What bears interest, in order, cut at the ends of months.

    ``turning_days``: days at whose start the overdue amount may differ from the day before; ``overdue_on``: the amount
    overdue at the start of a day, asked in order; ``rates``: (first day, yearly rate) in order; ``last_day``: the last
    day that bears interest.
    """
    days = {day for day in turning_days if day <= last_day}
    if not days or not rates:
        return []
    first = min(days)
    days |= {start for start, _ in rates if first < start <= last_day}
    month = month_end(first) + _ONE_DAY
    while month <= last_day:
        days.add(month)
        month = month_end(month) + _ONE_DAY
    spans: list[Span] = []
    for start, end in pairwise([*sorted(days), last_day + _ONE_DAY]):
        rate = next((rate for since, rate in reversed(rates) if since <= start), ZERO)
        span = Span(start, end - _ONE_DAY, overdue_on(start), rate)
        if (
            spans
            and start.day > 1
            and spans[-1] == replace(span, first_date=spans[-1].first_date, last_date=start - _ONE_DAY)
        ):
            spans[-1] = replace(span, first_date=spans[-1].first_date)
        elif span.overdue_amount and span.rate:
            spans.append(span)
    return spans


def interest_by_month(spans: Iterable[Span], digits: int = 2) -> dict[date, Decimal]:
    """Interest by calendar month, rounded once a month to the currency's minor unit (``digits`` behind the point)."""
    interest: dict[date, Fraction] = {}
    for span in spans:
        month = month_start(span.first_date)
        interest[month] = interest.get(month, Fraction(0)) + span.interest
    return {month: round_money(amount, digits) for month, amount in interest.items()}


def share_spans(events: Sequence[Event], rates: Rates, last_day: date) -> list[Span]:
    """What bears interest of overdue invoices, out of the sub-ledger's events in their order."""
    documents = [event for event in events if isinstance(event, Document)]
    turning = {_day_of(event) + _ONE_DAY for event in events} | {item.due_date + _ONE_DAY for item in documents}
    ledger, played = SubLedger(), 0

    def overdue_on(day: date) -> Decimal:
        nonlocal played
        while played < len(events) and _day_of(events[played]) < day:
            ledger.play(events[played])
            played += 1
        bearing = (item for item in ledger.items.values() if item.document.kind not in BESIDE_THE_SHARE)
        return sum((item.open for item in bearing if item.open > 0 and item.document.due_date < day), ZERO)

    return interest_spans(turning, overdue_on, rates, last_day)


def claim_spans(
    claims: Sequence[tuple[date, Decimal]], payments: Sequence[tuple[date, Decimal]], rates: Rates, last_day: date
) -> list[Span]:
    """What bears interest of overdue claims. ``claims``: (due date, amount); ``payments``: (day, amount paid or set off;
    negative what settled interest).
    """

    def overdue_on(day: date) -> Decimal:
        due = sum((amount for due_date, amount in claims if due_date < day), ZERO)
        paid = sum((amount for paid_date, amount in payments if paid_date < day), ZERO)
        return max(ZERO, due - paid)

    turning = {day + _ONE_DAY for day, _ in [*claims, *payments]}
    return interest_spans(turning, overdue_on, rates, last_day)


def _day_of(event: Event) -> date:
    return event_order(event)[0]


SPAN_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "as_of_month": pl.Date,
    "event": pl.String,
    "service_month": pl.Date,
    "first_date": pl.Date,
    "last_date": pl.Date,
    "day_count": pl.Int32,
    "overdue_amount": MONEY,
    "rate": pl.Decimal(18, 9),
    "interest_amount": pl.Decimal(38, 12),
    "currency_code": pl.String,
}
# What the closes post of interest, in the order in which one rests on the other.
EVENTS = ("late_interest", "invoice_interest", "late_interest_on_claims")


@dataclass(frozen=True)
class Interest:
    """What interest should stand at, at each close: by event targets for ``post_differences``; by contract what the closes
    post of it, for the sub-ledger; and how late interest comes about, of :data:`SPAN_SCHEMA`.
    """

    targets: dict[str, pl.DataFrame]
    notes: dict[str, InterestNotes]
    spans: pl.DataFrame


def late_interest(frames: Frames, sealed: pl.DataFrame | None = None) -> Interest:
    """Interest on both sides, and its notes.

    Reads what the sub-ledger reads, ``raw.share_terms`` (late_rate, statement_due_days, payment_terms_days),
    ``raw.backstop_terms`` (claim_notice_days, claim_payment_days), and of ``ledger.fct_journal_lines`` what the vendor owes
    and what stands in interest receivable. ``sealed``: the credit jobs' lines of sealed months, of ``JOURNAL_SCHEMA``.
    """
    terms = optional(frames, "raw.share_terms")
    bearing: set[str] = set()
    if terms is not None and "late_rate" in terms.columns:
        bearing = set(terms.filter(pl.col("late_rate") > 0)["contract_id"])
    contracts = {row["contract_id"]: row for row in need(frames, "core.dim_contract").iter_rows(named=True)}
    books = _Books(frames, sealed)
    closes: dict[str, list[Close]] = {}
    for close in read_closes(need(frames, "intermediate.int_closes")):
        if close.contract_id in bearing or books.has_interest(close.contract_id):
            closes.setdefault(close.contract_id, []).append(close)
    rows: dict[str, list[dict[str, Any]]] = {event: [] for event in EVENTS}
    said: list[dict[str, Any]] = []
    notes: dict[str, InterestNotes] = {}
    for contract_id, own in closes.items():
        contract = contracts[contract_id]
        notes[contract_id] = InterestNotes()
        before: _Spans = {}
        for close, standing, spans in _at_closes(
            books, own, contract, notes[contract_id], bears=contract_id in bearing
        ):
            said.extend(_span_rows(close, before, spans, contract["currency_code"]))
            before = spans
            for event, amounts in standing.items():
                rows[event].extend(
                    {
                        "contract_id": contract_id,
                        "service_month": month,
                        "posting_month": close.posting_month,
                        "currency_code": contract["currency_code"],
                        "should_amount": amount,
                    }
                    for month, amount in amounts.items()
                )
    order = ["contract_id", "service_month", "posting_month"]
    targets = {event: make_frame(found, TARGET_SCHEMA, order) for event, found in rows.items()}
    keys = ["contract_id", "as_of_month", "event", "service_month", "first_date"]
    return Interest(targets, notes, make_frame(said, SPAN_SCHEMA, keys))


ByMonth = dict[date, Decimal]
_Spans = dict[tuple[str, date], list[Span]]


def _span_rows(close: Close, before: _Spans, now: _Spans, currency_code: str) -> Iterator[dict[str, Any]]:
    """What a close says of its months otherwise than the one before it; of a month that bears no interest any longer one
    row of nought.
    """
    for event, month in sorted({*before, *now}):
        spans = now.get((event, month), [])
        if spans != before.get((event, month)):
            for span in spans or [Span(month, month_end(month), ZERO, ZERO)]:
                yield {
                    "contract_id": close.contract_id,
                    "as_of_month": close.posting_month,
                    "event": event,
                    "service_month": month,
                    "first_date": span.first_date,
                    "last_date": span.last_date,
                    "day_count": span.day_count,
                    "overdue_amount": span.overdue_amount,
                    "rate": span.rate,
                    "interest_amount": round_money(span.interest, 12),
                    "currency_code": currency_code,
                }


def _by_event_and_month(spans: Mapping[str, Iterable[Span]]) -> _Spans:
    found: _Spans = {}
    for event, own in spans.items():
        for span in own:
            found.setdefault((event, month_start(span.first_date)), []).append(span)
    return found


def _at_closes(
    books: _Books, closes: Sequence[Close], contract: Mapping[str, Any], notes: InterestNotes, *, bears: bool
) -> Iterator[tuple[Close, dict[str, ByMonth], _Spans]]:
    """By close of one contract, in order, what each event should stand at by service month and how it comes about; ``notes``
    take what each posts. ``contract``: its row of ``core.dim_contract``.
    """
    contract_id, currency_code = contract["contract_id"], contract["currency_code"]
    digits = contract.get("minor_unit_digits", 2)
    issued = books.issued(contract_id, currency_code) if bears else []
    billed, on_claims = (_Posted(books.sealed_of(contract_id, event, currency_code)) for event in EVENTS[1:])
    for close in closes:
        late: list[Span] = []
        owed: list[Span] = []
        if bears:
            rates = books.rates(close)
            claims = books.claims(close, currency_code)
            events = books.events(close, currency_code, issued, claims, notes)
            late = share_spans(events, rates, close.month_end_date)
            if claims:
                settled = books.settled(close, events, currency_code)
                due = [(claim.due_date, claim.amount) for claim in claims]
                owed = claim_spans(due, settled, rates, close.month_end_date)
        on_share, on_backstop = interest_by_month(late, digits), interest_by_month(owed, digits)
        standing = dict(on_share)
        for month, amount in books.booked_interest(close, currency_code).items():
            standing[month] = standing.get(month, ZERO) + amount
        spans = _by_event_and_month({"late_interest": late, "late_interest_on_claims": owed})
        yield close, dict(zip(EVENTS, (on_share, standing, on_backstop), strict=True)), spans
        notes.documents.extend(books.documents(close, billed.at(close, standing)))
        change = sum((amount for _, _, amount in on_claims.at(close, on_backstop)), ZERO)
        if change != 0 or notes.on_claims:
            notes.on_claims.append(ClaimInterest(f"{close.posting_month:%Y-%m}", close.month_end_date, change))


class _Posted:
    """What the closes of one contract have posted of one event by service month: `journal.post_differences` close by close,
    for the closes rest on one another.
    """

    def __init__(self, sealed: Sequence[Mapping[str, Any]]) -> None:
        self._sealed = sealed
        self._so_far: ByMonth = {}

    def at(self, close: Close, should: ByMonth) -> list[tuple[str | None, date, Decimal]]:
        """The entries of a close: (id where it is kept, service month, amount); at a sealed one those that are kept."""
        found: list[tuple[str | None, date, Decimal]] = [
            (row["entry_id"], row["service_month"], row["amount"])
            for row in self._sealed
            if row["posting_month"] == close.posting_month
        ]
        for _, month, amount in found:
            self._so_far[month] = self._so_far.get(month, ZERO) + amount
        for month in [] if close.is_sealed else sorted({*should, *self._so_far}):
            change = should.get(month, ZERO) - self._so_far.get(month, ZERO)
            if change != 0:
                found.append((None, month, change))
                self._so_far[month] = should.get(month, ZERO)
        return found


class _Books:
    """What interest is reckoned on, read once for all closes."""

    def __init__(self, frames: Frames, sealed: pl.DataFrame | None) -> None:
        lines = optional(frames, "ledger.fct_journal_lines")
        self._documents = need(frames, "ledger.fct_receivable_document")
        self._payments, self._events, self._backstop_terms, self._share_terms = (
            RowsBy(optional(frames, name))
            for name in ("staging.stg_payments", "staging.stg_credit_events", "raw.backstop_terms", "raw.share_terms")
        )
        self._lines = claim_lines(lines)
        in_receivable = pl.col("account") == "interest_receivable"
        self._booked = RowsBy(None if lines is None else lines.filter(in_receivable))
        kept = pl.DataFrame(schema=JOURNAL_SCHEMA) if sealed is None else sealed
        self._sealed = RowsBy(kept.filter(pl.col("event").is_in(EVENTS) & (pl.col("line_no") % 2 == 1)))

    def has_interest(self, contract_id: str) -> bool:
        """Whether the books hold interest on true-ups, on advances or by hand, or sealed months any."""
        return bool(self._booked.of(contract_id) or self._sealed.of(contract_id))

    def sealed_of(self, contract_id: str, event: str, currency_code: str) -> list[Mapping[str, Any]]:
        """The debit lines of an event that sealed months have kept."""
        own = self._sealed.of(contract_id)
        return [row for row in own if row["event"] == event and row["currency_code"] == currency_code]

    def booked_interest(self, close: Close, currency_code: str) -> ByMonth:
        """By service month, what the contract's own books hold in interest receivable at a close."""
        found: ByMonth = {}
        for row in self._booked.of(close.contract_id):
            if row["posting_month"] <= close.posting_month and row["currency_code"] == currency_code:
                found[row["service_month"]] = found.get(row["service_month"], ZERO) + row["amount"]
        return found

    def rates(self, close: Close) -> Rates:
        """The contract's rate from each day on, as known at the close; blocks of one version bear one rate."""
        known = (row for row in self._share_terms.of(close.contract_id) if row["recorded_at"] <= close.known_at)
        order = sorted(known, key=lambda row: (row["valid_from"], row["recorded_at"], row["amendment_id"]))
        return list({row["valid_from"]: row["late_rate"] for row in order}.items())

    def issued(self, contract_id: str, currency_code: str) -> list[Document]:
        """The documents of a contract's own books."""
        own = (pl.col("contract_id") == contract_id) & (pl.col("currency_code") == currency_code)
        return documents_of(self._documents.filter(own))

    def events(
        self,
        close: Close,
        currency_code: str,
        documents: Sequence[Document],
        claims: Sequence[ClaimDue],
        notes: InterestNotes,
    ) -> list[Event]:
        """The sub-ledger's events at a close, with the notes of the closes before it."""
        return events_at(
            close,
            [*documents, *notes.documents],
            self._payments.of(close.contract_id),
            self._events.of(close.contract_id),
            currency_code,
            claims=claims,
            claim_interest=notes.on_claims,
        )

    def claims(self, close: Close, currency_code: str) -> list[ClaimDue]:
        """The claims posted up to a close."""
        terms = self._backstop_terms.of(close.contract_id)
        return claims_due(close, terms, self._lines.of(close.contract_id), currency_code)

    def settled(self, close: Close, events: Sequence[Event], currency_code: str) -> list[tuple[date, Decimal]]:
        """What has settled claims: cash paid, less what of it settled interest, and what was set off against invoices."""
        ledger = SubLedger()
        for event in events:
            ledger.play(event)
        payments = claims_paid(close, self._payments.of(close.contract_id), currency_code)
        on_interest = [(day, -amount) for day, amount in ledger.claim_interest_paid]
        return [*((paid.paid_date, paid.amount) for paid in payments), *on_interest, *ledger.set_offs]

    def documents(self, close: Close, entries: Sequence[tuple[str | None, date, Decimal]]) -> list[Document]:
        """The notes of a close, each under the id of the entry that bills it."""
        if not entries:
            return []
        kept = pl.DataFrame(
            {
                "contract_id": close.contract_id,
                "service_month": [month for _, month, _ in entries],
                "posting_month": close.posting_month,
                "reopening_no": close.reopening_no,
            }
        )
        named = kept.select(entry_name("invoice_interest")).to_series()
        due = close.month_end_date + timedelta(days=collection_days(self._share_terms, close))
        return [
            Document(
                entry_id or name,
                INTEREST_NOTE,
                month,
                close.posting_month,
                close.month_end_date,
                due,
                amount,
                close.is_provisional,
            )
            for (entry_id, month, amount), name in zip(entries, named, strict=True)
        ]
