"""The receivable sub-ledger: items, cash application, write-offs and disputes, as known at each close.

An item is a document posted to trade receivable (``ledger.fct_receivable_document``). For closing month C of a
contract the events that count are documents posted up to C, and payments, write-offs and disputes whose own date (in
the contract's zone) is not after the month's last day and whose ``recorded_at`` is not after the close K_C. They are
played in order of their own dates, so that any order of arrival gives the same state and closed months never change
(READINGS.md, 41; DOMAIN.md, 7). What cash or loss is worth, and the metrics over the items, do not belong here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.polars_jobs.frames import (
    Frames,
    RowsBy,
    known_rows,
    local_date,
    make_frame,
    month_end,
    month_start,
    need,
    optional,
)
from orchestration.polars_jobs.money import MONEY, ZERO

ITEM_SCHEMA: dict[str, Any] = {
    "item_id": pl.String,
    "as_of_month": pl.Date,
    "contract_id": pl.String,
    "kind": pl.String,
    "service_month": pl.Date,
    "posting_month": pl.Date,
    "invoice_date": pl.Date,
    "due_date": pl.Date,
    "original_amount": MONEY,
    "credited_amount": MONEY,
    "applied_amount": MONEY,
    "circular_applied_amount": MONEY,
    "set_off_amount": MONEY,
    "written_off_amount": MONEY,
    "open_amount": MONEY,
    "disputed": pl.Boolean,
    "days_past_due": pl.Int32,
    "currency_code": pl.String,
    "is_provisional": pl.Boolean,
}

APPLICATION_SCHEMA: dict[str, Any] = {
    "payment_id": pl.String,
    "item_id": pl.String,
    "sequence_no": pl.Int32,
    "contract_id": pl.String,
    "received_date": pl.Date,
    "applied_date": pl.Date,
    "applied_amount": MONEY,
    "currency_code": pl.String,
    "rule": pl.String,
    "circular": pl.Boolean,
}

ROLLFORWARD_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "opening_amount": MONEY,
    "invoices_amount": MONEY,
    "credit_notes_amount": MONEY,
    "applied_amount": MONEY,
    "set_off_amount": MONEY,
    "write_offs_amount": MONEY,
    "reinstated_amount": MONEY,
    "fx_amount": MONEY,
    "closing_amount": MONEY,
    "control_account_amount": MONEY,
    "receipts_amount": MONEY,
    "refunded_amount": MONEY,
    "unapplied_opening_amount": MONEY,
    "unapplied_closing_amount": MONEY,
    "unapplied_control_account_amount": MONEY,
    "currency_code": pl.String,
    "is_provisional": pl.Boolean,
}

# What should stand at a close, as `journal.post_differences` takes it.
TARGET_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "service_month": pl.Date,
    "posting_month": pl.Date,
    "currency_code": pl.String,
    "should_amount": MONEY,
}

_SERVICE_MONTH = re.compile(r"(?<!\d)(20\d\d)-(0[1-9]|1[0-2])(?!\d)")


# What the operator owes under the backstop: claims taken back, the price of a termination.
DEBIT_NOTE = "debit_note"
# Interest on what it paid late, on a true-up or on an advance.
INTEREST_NOTE = "interest_note"
# No sale, and no interest on it; a set-off reaches it where it reaches all sums.
BESIDE_THE_SHARE = (DEBIT_NOTE, INTEREST_NOTE)


@dataclass(frozen=True)
class Document:
    """One posted document: an invoice, debit note or interest note (amount > 0), or what takes it back (amount < 0)."""

    item_id: str
    kind: str
    service_month: date
    posting_month: date
    invoice_date: date
    due_date: date
    amount: Decimal
    is_provisional: bool


@dataclass(frozen=True)
class Payment:
    """One receipt as known at the close; a negative amount takes an earlier receipt back (a returned cheque)."""

    payment_id: str
    received_date: date
    amount: Decimal
    reference: str
    circular: bool


@dataclass(frozen=True)
class WriteOff:
    """One write-off as known at the close, aimed at an item, a service month, or the oldest items."""

    event_id: str
    effective_date: date
    amount: Decimal
    target: tuple[str, str]


@dataclass(frozen=True)
class Dispute:
    """Opening or closing of a dispute over an item, a service month, or all that is invoiced."""

    event_id: str
    effective_date: date
    opens: bool
    target: tuple[str, str]
    names: str


@dataclass(frozen=True)
class ClaimPaid:
    """What the vendor paid of its claims, as known at the close."""

    payment_id: str
    paid_date: date
    amount: Decimal


@dataclass(frozen=True)
class ClaimDue:
    """What the vendor owes of a claim falls due; `sets_off` says whether it may be set off against what is owed to it: invoices,
    and debit notes where it reaches all sums.
    """

    claim_id: str
    due_date: date
    amount: Decimal
    sets_off: bool
    reaches_all_sums: bool = False


@dataclass(frozen=True)
class ClaimInterest:
    """What a month's close posts of interest on overdue claims (nought where nothing): the day on which what the vendor
    paid beyond the claims that are due settles interest.
    """

    note_id: str
    noted_date: date
    amount: Decimal


Row = Mapping[str, Any]
Event = Document | Payment | WriteOff | Dispute | ClaimPaid | ClaimDue | ClaimInterest


def event_order(event: Event) -> tuple[date, int, str]:  # noqa: PLR0911  one return per event
    """The order in which events are played: own date; disputes, invoices, credit notes, payments, write-offs, claims
    paid, claims that fall due, interest on them; id.
    """
    match event:
        case Dispute():
            return (event.effective_date, 0, event.event_id)
        case Document():
            return (event.invoice_date, 1 if event.amount >= 0 else 2, event.item_id)
        case Payment():
            return (event.received_date, 3, event.payment_id)
        case WriteOff():
            return (event.effective_date, 4, event.event_id)
        case ClaimPaid():
            return (event.paid_date, 5, event.payment_id)
        case ClaimDue():
            return (event.due_date, 6, event.claim_id)
        case ClaimInterest():
            return (event.noted_date, 7, event.note_id)


@dataclass
class Item:
    """A document's running state. open = original − credited − applied − set off − written off; for a credit note
    credited is what it has settled elsewhere (negative).
    """

    document: Document
    credited: Decimal = ZERO
    applied: Decimal = ZERO
    circular_applied: Decimal = ZERO
    set_off: Decimal = ZERO
    written_off: Decimal = ZERO

    @property
    def open(self) -> Decimal:
        """What is still owed (positive) or still to be credited (negative)."""
        return self.document.amount - self.credited - self.applied - self.set_off - self.written_off


def _of_one_kind(one: Document, other: Document) -> bool:
    """Whether two documents are of one service month, both under the share, both under the backstop or both of interest."""
    of_one, of_other = (d.kind if d.kind in BESIDE_THE_SHARE else "" for d in (one, other))
    return one.service_month == other.service_month and of_one == of_other


@dataclass
class Application:
    """Cash laid on an item; negative where a receipt was taken back."""

    payment: Payment
    item_id: str
    sequence_no: int
    applied_date: date
    amount: Decimal
    rule: str


@dataclass
class SubLedger:
    """The state of one contract in one currency, moved by :meth:`play`."""

    items: dict[str, Item] = field(default_factory=dict)
    unapplied: dict[str, tuple[Payment, Decimal]] = field(default_factory=dict)
    applications: list[Application] = field(default_factory=list)
    disputes: dict[str, Dispute] = field(default_factory=dict)
    set_offs: list[tuple[date, Decimal]] = field(default_factory=list)
    claims_payable: Decimal = ZERO
    claim_interest_payable: Decimal = ZERO
    claim_interest_paid: list[tuple[date, Decimal]] = field(default_factory=list)
    receipts: Decimal = ZERO
    written_off: Decimal = ZERO
    reinstated: Decimal = ZERO

    def play(self, event: Event) -> None:
        """Move the state by one event; events must come in :func:`event_order`."""
        match event:
            case Document():
                self.items[event.item_id] = Item(event)
                self._settle_credits()
                for payment, _ in sorted(self.unapplied.values(), key=lambda held: event_order(held[0])):
                    self._apply(payment, event.invoice_date)
            case Payment():
                self.receipts += event.amount
                self.unapplied[event.payment_id] = (event, event.amount)
                if event.amount < 0:
                    self._take_back(event)
                else:
                    self._apply(event, event.received_date)
            case WriteOff():
                self._write_off(event)
            case Dispute():
                follow_dispute(self.disputes, event)
            case ClaimPaid():
                self.claims_payable -= event.amount
            case ClaimDue():
                self.claims_payable += event.amount
                if event.sets_off:
                    self._set_off(event)
            case ClaimInterest():
                self._pay_interest(event)

    def _pay_interest(self, event: ClaimInterest) -> None:
        """At a month's end, what the vendor paid beyond the claims that are due by then settles interest on claims; the rest
        waits for the claims to come. Interest taken back is paid no longer.
        """
        self.claim_interest_payable += event.amount
        amount = min(self.claim_interest_payable, max(ZERO, -self.claims_payable))
        if amount != 0:
            self.claim_interest_payable -= amount
            self.claims_payable += amount
            self.claim_interest_paid.append((event.noted_date, amount))

    def _set_off(self, claim: ClaimDue) -> None:
        """On its due date a claim meets the invoices that are open and undisputed, oldest first; the vendor's payments
        have settled the oldest claims first. What finds no invoice stays payable in cash.
        """
        left = min(claim.amount, self.claims_payable)
        reached = (
            item for item in self._owed() if claim.reaches_all_sums or item.document.kind not in BESIDE_THE_SHARE
        )
        for item in [item for item in reached if not self.is_disputed(item)]:
            amount = min(item.open, left)
            if amount > 0:
                item.set_off += amount
                left -= amount
                self.claims_payable -= amount
                self.set_offs.append((claim.due_date, amount))

    def is_disputed(self, item: Item) -> bool:
        """Whether an open dispute covers the item."""
        return any(_covers(dispute.target, item.document, dispute.effective_date) for dispute in self.disputes.values())

    @property
    def unapplied_amount(self) -> Decimal:
        """Cash received that lies on no item."""
        return sum((left for _, left in self.unapplied.values()), ZERO)

    def _owed(self) -> list[Item]:
        """What is open, the oldest first; interest after all principal, whatever settles it."""

        def place(item: Item) -> tuple[bool, date, date, str]:
            own = item.document
            return own.kind == INTEREST_NOTE, own.due_date, own.invoice_date, own.item_id

        return sorted((item for item in self.items.values() if item.open > 0), key=place)

    def _settle_credits(self) -> None:
        """Let open credit notes settle invoices of their own service month first, then the oldest undisputed ones;
        the rest stays an open credit.
        """
        open_credits = sorted(
            (item for item in self.items.values() if item.open < 0 and item.document.amount < 0),
            key=lambda item: event_order(item.document),
        )
        for credit in open_credits:
            owed = self._owed()
            same_month = [item for item in owed if _of_one_kind(item.document, credit.document)]
            others = [
                item for item in owed if not _of_one_kind(item.document, credit.document) and not self.is_disputed(item)
            ]
            for item in [*same_month, *others]:
                amount = min(item.open, -credit.open)
                if amount <= 0:
                    break
                item.credited += amount
                credit.credited -= amount

    def _candidates(self, payment: Payment) -> Iterator[tuple[str, list[Item]]]:
        """The rules of DOMAIN.md, 7, in order, each with its items in order; lazily, because each rule sees what the
        one before left.
        """
        yield "named_item", [item for item in self._owed() if _names(payment.reference, item.document)]
        owed = sorted(self._owed(), key=self.is_disputed)
        principal = [item for item in owed if item.document.kind != INTEREST_NOTE]
        interest = [item for item in owed if item.document.kind == INTEREST_NOTE]
        yield "exact_amount", [item for item in [*principal, *interest] if item.open == self._left(payment)][:1]
        yield "oldest_undisputed", [item for item in principal if not self.is_disputed(item)]
        yield "disputed", [item for item in principal if self.is_disputed(item)]
        yield "interest", interest

    def _left(self, payment: Payment) -> Decimal:
        return self.unapplied[payment.payment_id][1] if payment.payment_id in self.unapplied else ZERO

    def _apply(self, payment: Payment, applied_date: date) -> None:
        for rule, items in self._candidates(payment):
            for item in items:
                amount = min(item.open, self._left(payment))
                if amount > 0:
                    self._lay(payment, item, amount, rule, applied_date)

    def _lay(self, payment: Payment, item: Item, amount: Decimal, rule: str, applied_date: date) -> None:
        item.applied += amount
        if payment.circular:
            item.circular_applied += amount
        left = self._left(payment) - amount
        if left == 0:
            self.unapplied.pop(payment.payment_id, None)
        else:
            self.unapplied[payment.payment_id] = (payment, left)
        number = 1 + sum(1 for application in self.applications if application.payment.payment_id == payment.payment_id)
        self.applications.append(Application(payment, item.document.item_id, number, applied_date, amount, rule))

    def _take_back(self, reversal: Payment) -> None:
        """A negative receipt: first out of unapplied cash, then off the items, latest application first; only of the
        payment that it names, if it names one.
        """
        known = {application.payment.payment_id for application in self.applications} | set(self.unapplied)
        named = (
            reversal.reference if reversal.reference in known and reversal.reference != reversal.payment_id else None
        )
        for payment, left in sorted(self.unapplied.values(), key=lambda held: event_order(held[0]), reverse=True):
            if left > 0 and named in {None, payment.payment_id}:
                self._net(payment, reversal, min(left, -self._left(reversal)))
        net: dict[tuple[str, str], Decimal] = {}
        for application in self.applications:
            key = (application.payment.payment_id, application.item_id)
            net[key] = net.get(key, ZERO) + application.amount
        for application in reversed(self.applications.copy()):
            key = (application.payment.payment_id, application.item_id)
            amount = min(net[key], -self._left(reversal))
            if amount > 0 and named in {None, application.payment.payment_id}:
                net[key] -= amount
                self._lay(
                    application.payment, self.items[application.item_id], -amount, "reversal", reversal.received_date
                )
                self._net(application.payment, reversal, amount)

    def _net(self, payment: Payment, reversal: Payment, amount: Decimal) -> None:
        for held, change in ((payment, -amount), (reversal, amount)):
            left = self._left(held) + change
            if left == 0:
                self.unapplied.pop(held.payment_id, None)
            else:
                self.unapplied[held.payment_id] = (held, left)

    def _write_off(self, event: WriteOff) -> None:
        if event.amount < 0:
            self._reinstate(event)
            return
        self.written_off += event.amount
        left = event.amount
        owed = self._owed()
        aimed = [item for item in owed if _covers(event.target, item.document, event.effective_date)]
        for item in [*aimed, *(item for item in owed if item not in aimed)]:
            amount = min(item.open, left)
            if amount > 0:
                item.written_off += amount
                left -= amount
        self._set_aside(event, left)

    def _reinstate(self, event: WriteOff) -> None:
        """A write-off taken back: what it aims at stands open again, else what was written off last; then cash that
        waits unapplied is laid on it.
        """
        self.reinstated -= event.amount
        left = -event.amount
        gone = [item for item in reversed(self.items.values()) if item.written_off > 0]
        aimed = [item for item in gone if _covers(event.target, item.document, event.effective_date)]
        for item in [*aimed, *(item for item in gone if item not in aimed)]:
            amount = min(item.written_off, left)
            item.written_off -= amount
            left -= amount
        self._set_aside(event, -left)
        for payment, _ in sorted(self.unapplied.values(), key=lambda held: event_order(held[0])):
            self._apply(payment, event.effective_date)

    def _set_aside(self, event: WriteOff, left: Decimal) -> None:
        """More written off than is open, or taken back than was written off: its own item keeps the sub-ledger equal to
        the control account, and in sight.
        """
        if left != 0:
            month = month_start(event.effective_date)
            extra = Document(
                f"write_off_excess:{event.event_id}",
                "write_off_excess",
                month,
                month,
                event.effective_date,
                event.effective_date,
                ZERO,
                False,
            )
            self.items.setdefault(extra.item_id, Item(extra)).written_off += left


def follow_dispute(disputes: dict[str, Dispute], event: Dispute) -> None:
    """Open a dispute, or end the one that the event names, else those of its target."""
    if event.opens:
        disputes[event.event_id] = event
        return
    ended = [
        opened.event_id
        for opened in disputes.values()
        if (opened.event_id == event.names if event.names else event.target in {opened.target, ("all", "")})
    ]
    for event_id in ended:
        del disputes[event_id]


def disputed_claim_months(close: Close, events: Sequence[Row], currency_code: str) -> set[str]:
    """The months (YYYY-MM) whose claims are under a dispute that is open at a close, as known then: disputes whose payload
    names a ``claim_month``. ``events``: all versions of the contract's rows.
    """
    disputes: dict[str, Dispute] = {}
    for event in events_at(close, [], [], events, currency_code):
        if isinstance(event, Dispute):
            follow_dispute(disputes, event)
    return {month for kind, month in (dispute.target for dispute in disputes.values()) if kind == "claim_month"}


def _covers(target: tuple[str, str], document: Document, on: date) -> bool:
    kind, value = target
    if kind == "item":
        return document.item_id == value
    if kind == "claim_month":
        return False
    if kind == "service_month":
        # The interest of a month's days is not the share of that month.
        return f"{document.service_month:%Y-%m}" == value and document.kind != INTEREST_NOTE
    return document.invoice_date <= on


def _names(reference: str, document: Document) -> bool:
    """Whether a remittance reference names the document: its item id as a whole token (INV-1 is not in INV-10, nor in
    PRE-INV-1), or its service month as YYYY-MM where no item id is given. A full stop, comma, bracket or slash ends a
    token. Behind the word interest a month names the interest of its days; without a month the word names all of it.
    """
    if not reference or reference == document.item_id:
        return bool(reference)
    if document.item_id in reference and re.search(
        rf"(?<![\w:.-]){re.escape(document.item_id)}(?![\w:-]|\.\w)", reference
    ):
        return True
    if re.search(r"\w:\w", reference):  # it names some other item
        return False
    of_share, word, of_interest = reference.lower().partition("interest")
    months = _SERVICE_MONTH.findall(of_interest if document.kind == INTEREST_NOTE else of_share)
    if document.kind == INTEREST_NOTE and word and not months:
        return True
    return f"{document.service_month:%Y-%m}" in {"-".join(found) for found in months}


def payload_target(payload: str | None) -> tuple[tuple[str, str], str]:
    """What a credit event's JSON payload aims at: (("item", id) | ("service_month", YYYY-MM) | ("claim_month",
    YYYY-MM) | ("all", "")), and the event that it names or "".

    Keys read: item_id, service_month, claim_month (the vendor's own dispute of a claim), dispute_event_id. Raises
    ``ValueError`` for a payload that is no JSON object.
    """
    if payload is None or not payload.strip():
        return ("all", ""), ""
    parsed = json.loads(payload)
    if not isinstance(parsed, dict):
        raise ValueError(f"payload is no JSON object: {payload!r}")  # noqa: TRY004  the text is wrong, not its type
    names = str(parsed.get("dispute_event_id") or "")
    if parsed.get("item_id"):
        return ("item", str(parsed["item_id"])), names
    if parsed.get("service_month"):
        return ("service_month", str(parsed["service_month"])[:7]), names
    if parsed.get("claim_month"):
        return ("claim_month", str(parsed["claim_month"])[:7]), names
    return ("all", ""), names


@dataclass(frozen=True)
class Close:
    """One close of one contract: what is posted and known up to it."""

    contract_id: str
    time_zone: str
    posting_month: date
    month_end_date: date
    known_at: datetime
    is_provisional: bool
    park_id: str | None = None
    is_sealed: bool = False
    reopening_no: int = 0


def read_closes(frame: pl.DataFrame) -> list[Close]:
    """The closes of ``intermediate.int_closes``, by contract and month."""
    columns = [one.name for one in fields(Close) if one.name in frame.columns]
    return [Close(**row) for row in frame.select(columns).sort("contract_id", "posting_month").iter_rows(named=True)]


# What an operator, its park or a contract is from an event on; the feed's other kinds are of single items and hours.
STANDING_KINDS = (
    "insolvency",
    "rating_change",
    "termination",
    "withdrawal",
    "recall",
    "acceptance",
    "commercial_operation",
    "price_index",
)


def standing_events(frames: Frames) -> RowsBy:
    """Every version of the events of STANDING_KINDS by contract, for :func:`events_known`: without the outages, of which a
    park declares thousands. A version that corrects such an event to another kind is among them.
    """
    events = optional(frames, "staging.stg_credit_events")
    if events is None:
        return RowsBy(None)
    return RowsBy(events.filter(pl.col("kind").is_in(STANDING_KINDS).any().over("park_id", "event_id")))


def events_known(events: RowsBy, close: Close) -> list[Row]:
    """The events of a contract as known at a close, those of its whole park that name no contract among them.

    ``events``: as of :func:`standing_events`.
    """
    whole_park = (row for row in events.of(None) if row["park_id"] == close.park_id)
    return known_rows([*events.of(close.contract_id), *whole_park], ["park_id", "event_id"], close.known_at)


def events_at(
    close: Close,
    documents: Sequence[Document],
    payments: Sequence[Row],
    events: Sequence[Row],
    currency_code: str,
    *,
    claims: Sequence[ClaimDue] = (),
    claim_interest: Sequence[ClaimInterest] = (),
) -> list[Event]:
    """The events of one contract that count at a close, in the order in which they are played.

    ``payments`` and ``events``: all versions of the contract's rows; currency other than ``currency_code`` is left
    out (cash in another currency is on no item of this one). ``claims``: what :func:`claims_due` gives.
    ``claim_interest``: what the closes have posted of interest on them.
    """
    found: list[Event] = [document for document in documents if document.posting_month <= close.posting_month]
    found.extend(interest for interest in claim_interest if interest.noted_date <= close.month_end_date)
    if claim_interest or any(claim.sets_off for claim in claims):
        found.extend(claim for claim in claims if claim.due_date <= close.month_end_date)
        found.extend(claims_paid(close, payments, currency_code))
    for row in known_rows(payments, ["park_id", "payment_id"], close.known_at):
        day = local_date(row["received_at"], close.time_zone)
        if row["direction"] == "received" and row["currency_code"] == currency_code and day <= close.month_end_date:
            found.append(
                Payment(
                    row["payment_id"],
                    day,
                    row["amount"],
                    row["remittance_reference"] or "",
                    bool(row["funded_by_claim"]),
                )
            )
    for row in known_rows(events, ["park_id", "event_id"], close.known_at):
        found.extend(_credit_event(row, close, currency_code))
    return sorted(found, key=event_order)


# Claims, and what the vendor owes beside them: all of it is paid and set off like a claim.
OWED_BY_VENDOR = ("accrue_claim", "termination_cost", "residual_value_support")


def claim_lines(lines: pl.DataFrame | None) -> RowsBy:
    """What the vendor owes under backstops by the journal, one row each, by contract."""
    if lines is None:
        return RowsBy(None)
    return RowsBy(lines.filter(pl.col("event").is_in(OWED_BY_VENDOR) & (pl.col("line_no") % 2 == 1)))


def claims_due(close: Close, terms: Sequence[Row], lines: Sequence[Row], currency_code: str) -> list[ClaimDue]:
    """The claims posted up to a close, each due ``claim_notice_days`` plus ``claim_payment_days`` after its service
    month (READINGS.md, 38); a correction no earlier than had it been claimed when it was posted.

    ``terms``: the contract's rows of ``raw.backstop_terms``; ``lines``: its rows of :func:`claim_lines`. Set-off
    follows the terms in force on the service month's last day: agreed, and enforceable.
    """
    if not terms:
        return []
    known = sorted(
        (row for row in terms if row["recorded_at"] <= close.known_at),
        key=lambda row: (row["valid_from"], row["recorded_at"], row["amendment_id"]),
    )
    found = []
    for line in lines:
        month, posted, amount = line["service_month"], line["posting_month"], line["amount"]
        if posted > close.posting_month or line["currency_code"] != currency_code:
            continue
        row: Row = next((row for row in reversed(known) if row["valid_from"] <= month_end(month)), {})
        days = row.get("claim_notice_days", 0) + row.get("claim_payment_days", 0)
        found.append(
            ClaimDue(
                f"{month:%Y-%m}:{posted:%Y-%m}",
                month_end(max(month, posted)) + timedelta(days=days),
                amount,
                (row.get("set_off_scope") or "none") != "none" and bool(row.get("set_off_enforceable")),
                row.get("set_off_scope") == "all_sums",
            )
        )
    return found


def claims_paid(close: Close, payments: Sequence[Row], currency_code: str) -> list[ClaimPaid]:
    """What the vendor paid up to a close's last day, as known then. ``payments``: all versions of the contract's rows."""
    paid = [
        ClaimPaid(row["payment_id"], local_date(row["received_at"], close.time_zone), row["amount"])
        for row in known_rows(payments, ["park_id", "payment_id"], close.known_at)
        if row["direction"] == "paid" and row["currency_code"] == currency_code
    ]
    return [payment for payment in paid if payment.paid_date <= close.month_end_date]


def _credit_event(row: Row, close: Close, currency_code: str) -> Iterable[Event]:
    day = local_date(row["effective_at"], close.time_zone)
    if day > close.month_end_date:
        return
    if row["kind"] == "write_off":
        if row["currency_code"] in {None, currency_code} and row["amount"] is not None:
            yield WriteOff(row["event_id"], day, row["amount"], payload_target(row["payload"])[0])
    elif row["kind"] in {"dispute_opened", "dispute_closed"}:
        target, names = payload_target(row["payload"])
        yield Dispute(row["event_id"], day, row["kind"] == "dispute_opened", target, names)
        if row["kind"] == "dispute_opened" and row["ends_at"] is not None:
            ends = local_date(row["ends_at"], close.time_zone)
            if ends <= close.month_end_date:
                yield Dispute(f"{row['event_id']}:end", ends, False, target, row["event_id"])


def replay(closes: Sequence[Close], events_of: Sequence[list[Event]]) -> Iterator[tuple[Close, SubLedger]]:
    """The sub-ledger of one contract at each of its closes, in order.

    Where the events of a close begin with those of the close before, the state is carried on; where a late or
    corrected fact changes the past, all is played again. Both give the same state. The yielded sub-ledger is moved on
    afterwards: read it before taking the next.
    """
    ledger = SubLedger()
    played: list[Event] = []
    for close, events in zip(closes, events_of, strict=True):
        if events[: len(played)] != played:
            ledger, played = SubLedger(), []
        for event in events[len(played) :]:
            ledger.play(event)
        played = events
        yield close, ledger


@dataclass
class SubLedgerTables:
    """What the sub-ledger gives: items and roll-forward by close, applications as last known, and by event what the journal
    posts of it: cumulative cash applied, claims set off, and interest on claims paid.
    """

    items: pl.DataFrame
    applications: pl.DataFrame
    rollforward: pl.DataFrame
    targets: dict[str, pl.DataFrame]


@dataclass(frozen=True)
class InterestNotes:
    """What the closes have posted of interest on one contract, both ways; in order of the closes."""

    documents: list[Document] = field(default_factory=list)
    on_claims: list[ClaimInterest] = field(default_factory=list)


def sub_ledger(frames: Frames, interest: Mapping[str, InterestNotes] | None = None) -> SubLedgerTables:
    """Run the sub-ledger of every contract over all its closes.

    Reads ``ledger.fct_receivable_document``, ``intermediate.int_closes``, ``staging.stg_payments`` and
    ``staging.stg_credit_events`` (all known versions, with recorded_at), ``core.dim_contract``; for set-off
    ``raw.backstop_terms`` and ``ledger.fct_journal_lines``. ``interest``: the notes of
    ``late_interest.Interest``, by contract. The roll-forward's two control-account columns are null here: :func:`tie_out`
    fills them from the journal.
    """
    documents = need(
        frames,
        "ledger.fct_receivable_document",
        "item_id",
        "contract_id",
        "posting_month",
        "original_amount",
        "due_date",
    )
    closes = read_closes(
        need(frames, "intermediate.int_closes", "contract_id", "time_zone", "posting_month", "known_at")
    )
    contracts = need(frames, "core.dim_contract", "contract_id", "currency_code")
    payments, events, terms = (
        RowsBy(optional(frames, name))
        for name in ("staging.stg_payments", "staging.stg_credit_events", "raw.backstop_terms")
    )
    claims = claim_lines(optional(frames, "ledger.fct_journal_lines"))
    items: list[dict[str, Any]] = []
    applications: list[dict[str, Any]] = []
    rollforward: list[dict[str, Any]] = []
    targets: dict[str, list[dict[str, Any]]] = {"apply_cash": [], "set_off": [], "pay_claim_interest": []}
    for contract_id, currency_code in contracts.select("contract_id", "currency_code").sort("contract_id").iter_rows():
        own_closes = [close for close in closes if close.contract_id == contract_id]
        notes = (interest or {}).get(contract_id, InterestNotes())
        own_documents = [
            *documents_of(
                documents.filter((pl.col("contract_id") == contract_id) & (pl.col("currency_code") == currency_code))
            ),
            *notes.documents,
        ]
        lists = [
            events_at(
                close,
                own_documents,
                payments.of(contract_id),
                events.of(contract_id),
                currency_code,
                claims=claims_due(close, terms.of(contract_id), claims.of(contract_id), currency_code),
                claim_interest=notes.on_claims,
            )
            for close in own_closes
        ]
        before: dict[str, Decimal] = {}
        for close, ledger in replay(own_closes, lists):
            items.extend(_item_rows(ledger, close, currency_code))
            cash = [(item.payment.received_date, item.amount) for item in ledger.applications]
            targets["apply_cash"].extend(_target_rows(cash, close, currency_code))
            targets["set_off"].extend(_target_rows(ledger.set_offs, close, currency_code))
            targets["pay_claim_interest"].extend(_target_rows(ledger.claim_interest_paid, close, currency_code))
            now = _cumulative(ledger)
            rollforward.append(_rollforward_row(before, now, close, currency_code))
            before = now
        if own_closes:
            applications.extend(_application_rows(ledger, contract_id, currency_code))
    order = ["contract_id", "service_month", "posting_month"]
    return SubLedgerTables(
        items=make_frame(items, ITEM_SCHEMA, ["contract_id", "as_of_month", "due_date", "item_id"]),
        applications=make_frame(applications, APPLICATION_SCHEMA, ["contract_id", "payment_id", "sequence_no"]),
        rollforward=make_frame(rollforward, ROLLFORWARD_SCHEMA, ["contract_id", "month"]),
        targets={event: make_frame(found, TARGET_SCHEMA, order) for event, found in targets.items()},
    )


def documents_of(frame: pl.DataFrame) -> list[Document]:
    """The documents of ``ledger.fct_receivable_document``, by id."""
    columns = [
        "item_id",
        "kind",
        "service_month",
        "posting_month",
        "invoice_date",
        "due_date",
        "original_amount",
        "is_provisional",
    ]
    return [Document(*row) for row in frame.select(columns).sort("item_id").iter_rows()]


def _item_rows(ledger: SubLedger, close: Close, currency_code: str) -> Iterator[dict[str, Any]]:
    for item in ledger.items.values():
        document = item.document
        yield {
            "item_id": document.item_id
            if document.kind != "write_off_excess"
            else f"{close.contract_id}:{document.item_id}",
            "as_of_month": close.posting_month,
            "contract_id": close.contract_id,
            "kind": document.kind,
            "service_month": document.service_month,
            "posting_month": document.posting_month,
            "invoice_date": document.invoice_date,
            "due_date": document.due_date,
            "original_amount": document.amount,
            "credited_amount": item.credited,
            "applied_amount": item.applied,
            "circular_applied_amount": item.circular_applied,
            "set_off_amount": item.set_off,
            "written_off_amount": item.written_off,
            "open_amount": item.open,
            "disputed": item.open > 0 and ledger.is_disputed(item),
            "days_past_due": (close.month_end_date - document.due_date).days,
            "currency_code": currency_code,
            "is_provisional": close.is_provisional,
        }


def _target_rows(amounts: Iterable[tuple[date, Decimal]], close: Close, currency_code: str) -> Iterator[dict[str, Any]]:
    by_month: dict[date, Decimal] = {}
    for day, amount in amounts:
        month = month_start(day)
        by_month[month] = by_month.get(month, ZERO) + amount
    for month, amount in by_month.items():
        yield {
            "contract_id": close.contract_id,
            "service_month": month,
            "posting_month": close.posting_month,
            "currency_code": currency_code,
            "should_amount": amount,
        }


def _application_rows(ledger: SubLedger, contract_id: str, currency_code: str) -> Iterator[dict[str, Any]]:
    for application in ledger.applications:
        yield {
            "payment_id": application.payment.payment_id,
            "item_id": application.item_id,
            "sequence_no": application.sequence_no,
            "contract_id": contract_id,
            "received_date": application.payment.received_date,
            "applied_date": application.applied_date,
            "applied_amount": application.amount,
            "currency_code": currency_code,
            "rule": application.rule,
            "circular": application.payment.circular,
        }


def _cumulative(ledger: SubLedger) -> dict[str, Decimal]:
    return {
        "invoices": sum((item.document.amount for item in ledger.items.values() if item.document.amount > 0), ZERO),
        "credit_notes": -sum(
            (item.document.amount for item in ledger.items.values() if item.document.amount < 0), ZERO
        ),
        "applied": sum((item.applied for item in ledger.items.values()), ZERO),
        "set_off": sum((item.set_off for item in ledger.items.values()), ZERO),
        "written_off": ledger.written_off,
        "reinstated": ledger.reinstated,
        "receipts": ledger.receipts,
        "closing": sum((item.open for item in ledger.items.values()), ZERO),
        "unapplied": ledger.unapplied_amount,
    }


def _rollforward_row(
    before: dict[str, Decimal], now: dict[str, Decimal], close: Close, currency_code: str
) -> dict[str, Any]:
    change = {name: value - before.get(name, ZERO) for name, value in now.items()}
    return {
        "contract_id": close.contract_id,
        "month": close.posting_month,
        "opening_amount": before.get("closing", ZERO),
        "invoices_amount": change["invoices"],
        "credit_notes_amount": change["credit_notes"],
        "applied_amount": change["applied"],
        "set_off_amount": change["set_off"],
        # A correction of an earlier write-off moves what it takes back to the other side.
        "write_offs_amount": max(change["written_off"], ZERO) + max(-change["reinstated"], ZERO),
        "reinstated_amount": max(change["reinstated"], ZERO) + max(-change["written_off"], ZERO),
        # Items stand in the contract's own currency: the line is there and nought.
        "fx_amount": ZERO,
        "closing_amount": now["closing"],
        "control_account_amount": None,
        "receipts_amount": change["receipts"],
        "refunded_amount": ZERO,
        "unapplied_opening_amount": before.get("unapplied", ZERO),
        "unapplied_closing_amount": now["unapplied"],
        "unapplied_control_account_amount": None,
        "currency_code": currency_code,
        "is_provisional": close.is_provisional,
    }


def tie_out(rollforward: pl.DataFrame, balance: pl.DataFrame) -> pl.DataFrame:
    """Fill the two control-account columns from the trial balance (trade_receivable debit positive, unapplied_cash
    credit positive); months without a balance stand at zero.
    """
    zero = pl.lit(ZERO, dtype=MONEY)

    def control(account: str, name: str, sign: int) -> pl.DataFrame:
        rows = balance.filter(pl.col("account") == account)
        return rows.select(
            "contract_id",
            pl.col("posting_month").alias("month"),
            "currency_code",
            (pl.col("closing_amount") * sign).cast(MONEY).alias(name),
        )

    keys = ["contract_id", "month", "currency_code"]
    columns = rollforward.columns
    return (
        rollforward.drop("control_account_amount", "unapplied_control_account_amount")
        .join(control("trade_receivable", "control_account_amount", 1), on=keys, how="left")
        .join(control("unapplied_cash", "unapplied_control_account_amount", -1), on=keys, how="left")
        .with_columns(pl.col("control_account_amount", "unapplied_control_account_amount").fill_null(zero))
        .select(columns)
        .sort("contract_id", "month")
    )
