"""Who pays what and when: share invoices, claims and tenants' bills, from the exact statement at each close.

One operator pays before the due date; every other one late, once in two parts, once with a rest that is written off.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from ingest.simulate import days
from ingest.simulate.book import CENT
from ingest.simulate.plan import BackstopTerms, ContractPlan, ParkPlan
from ingest.simulate.seeds import generator
from ingest.simulate.statement import Facts, Segment, Statement, to_minor_unit

UNREADABLE_AMOUNT = Decimal("18500.00")
MISDIRECTED_AMOUNT = Decimal("250000.00")
SHORT_PAID_FRACTION = Decimal("0.0005")  # of one invoice: kept back, and written off
RATING_ORDER = ("AAA", "AA", "A", "BBB", "BB", "B", "CCC/C")


@dataclass(frozen=True)
class Payment:
    """One row of the payments feed."""

    payment_id: str
    contract_id: str
    direction: str
    received_at: datetime
    amount: Decimal
    currency_code: str
    remittance_reference: str
    funded_by_claim: bool
    lease_id: str | None
    recorded_at: datetime


@dataclass(frozen=True)
class CreditEvent:
    """One row of the credit_events feed."""

    event_id: str
    contract_id: str | None
    tranche_id: str | None
    kind: str
    effective_at: datetime
    ends_at: datetime | None
    gpu_count: int | None
    amount: Decimal | None
    currency_code: str | None
    payload: str | None
    recorded_at: datetime


@dataclass(frozen=True)
class Document:
    """What the ledger posts at one close for one service month: an invoice, a credit note, a claim or its change."""

    service_month: date
    posting_month: date
    posted_at: datetime
    due_date: date
    amount: Decimal

    def reference(self, contract_id: str, event: str) -> str:
        """The ledger's entry id, as an operator would copy it from the document."""
        return f"{contract_id}:{self.service_month:%Y-%m}:{event}:{self.posting_month:%Y-%m}"


class Closes:
    """The closes of one contract up to the clock, with the statement as known at each."""

    def __init__(
        self, park: ParkPlan, contract: ContractPlan, facts: Facts, close_after_days: int, clock_at: datetime
    ) -> None:
        self.park, self.contract = park, contract
        self._statements: dict[date, Statement] = {}
        self._facts = facts
        self.known_at: dict[date, datetime] = {}
        month = days.first_of_month(contract.commencement_date)
        while (at := days.close_at(park.zone, month, close_after_days)) <= clock_at:
            self.known_at[month] = at
            month = days.add_months(month, 1)

    def statement(self, posting_month: date) -> Statement:
        """The statement as known at the close of a month."""
        if posting_month not in self._statements:
            known_at = self.known_at[posting_month]
            self._statements[posting_month] = Statement(self.park, self.contract, self._facts, known_at)
        return self._statements[posting_month]


def documents(
    closes: Closes,
    amount_of: Callable[[Statement, date], Decimal],
    first_posting: Callable[[date], date],
    due: Callable[[date, date, bool], date],
) -> list[Document]:
    """Every posting of every service month: at its first posting month, and at each later close where it changed."""
    rows: list[Document] = []
    for month in closes.known_at:
        posted = Decimal(0)
        for posting_month, posted_at in closes.known_at.items():
            if posting_month < first_posting(month):
                continue
            now = amount_of(closes.statement(posting_month), month)
            if now != posted:
                is_first = posting_month == first_posting(month)
                rows.append(
                    Document(month, posting_month, posted_at, due(month, posting_month, is_first), now - posted)
                )
                posted = now
    return sorted(rows, key=lambda row: (row.posted_at, row.service_month))


def share_documents(closes: Closes) -> list[Document]:
    """Share invoices and their corrections."""
    statements = list(closes.known_at)
    if not statements:
        return []

    def terms(month: date) -> tuple[int, int]:
        held = closes.statement(statements[-1]).share_terms(month)
        return (held.statement_due_days, held.payment_terms_days) if held is not None else (0, 0)

    def invoice_date(month: date) -> date:
        return days.last_of_month(month) + timedelta(days=terms(month)[0])

    return documents(
        closes,
        lambda statement, month: statement.invoiced(month),
        lambda month: days.first_of_month(invoice_date(month)),
        lambda month, posting, is_first: (
            (invoice_date(month) if is_first else max(invoice_date(month), days.last_of_month(posting)))
            + timedelta(days=terms(month)[1])
        ),
    )


def claim_documents(closes: Closes, backstop: BackstopTerms) -> list[Document]:
    """Claims and their corrections; due after notice and payment days."""
    wait = timedelta(days=backstop.claim_notice_days + backstop.claim_payment_days)
    return documents(
        closes,
        lambda statement, month: statement.claim(month),
        lambda month: month,
        lambda month, posting, is_first: days.last_of_month(month if is_first else posting) + wait,
    )


def claim_payments(park: ParkPlan, contract: ContractPlan, claims: list[Document]) -> list[Payment]:
    """The vendor pays each claim on its due date; what a correction takes back is kept from the next payment."""
    rows: list[Payment] = []
    back = Decimal(0)
    for claim in sorted(claims, key=lambda row: (row.due_date, row.service_month)):
        amount = claim.amount + back
        back = min(Decimal(0), amount)
        if amount <= 0:
            continue
        paid_at = max(days.local_instant(park.zone, claim.due_date, 15), claim.posted_at + timedelta(days=1))
        rows.append(
            Payment(
                payment_id=f"{contract.contract_id}-claim-{claim.service_month:%Y%m}-{claim.posting_month:%Y%m}",
                contract_id=contract.contract_id,
                direction="paid",
                received_at=paid_at,
                amount=amount,
                currency_code=contract.currency_code,
                remittance_reference=claim.reference(contract.contract_id, "accrue_claim"),
                funded_by_claim=False,
                lease_id=None,
                recorded_at=paid_at + timedelta(days=1),
            )
        )
    return rows


def share_receipts(
    seed: int,
    park: ParkPlan,
    contract: ContractPlan,
    invoices: list[Document],
    claims: list[Payment],
    *,
    pays_late: bool,
) -> tuple[list[Payment], list[CreditEvent]]:
    """What the operator pays on its invoices, and the events about them.

    A credit note is kept from the oldest invoice that is unpaid when it is posted. An invoice is settled in full: where
    the payer withholds tax, the amount holds what it has remitted to the tax office in the vendor's name.
    """
    draw = generator(seed, park.park_id, "payments", contract.contract_id)
    rows: list[Payment] = []
    events: list[CreditEvent] = []
    credit = [(row.posted_at, row.amount) for row in invoices if row.amount < 0]
    owed = sorted((row for row in invoices if row.amount > 0), key=lambda row: (row.due_date, row.service_month))
    circular = False
    for number, invoice in enumerate(owed):
        delay = int(draw.integers(4, 70)) if pays_late else -int(draw.integers(2, 6))
        paid_at = days.local_instant(park.zone, invoice.due_date + timedelta(days=delay), 14)
        paid_at = max(paid_at, invoice.posted_at + timedelta(days=1))
        amount = invoice.amount
        for position, (posted_at, taken) in enumerate(credit):
            if taken < 0 and posted_at < paid_at:
                kept = min(amount, -taken)
                amount -= kept
                credit[position] = posted_at, taken + kept
        parts = [(paid_at, amount)]
        if pays_late and number == 2:
            first = (amount * Decimal("0.6")).quantize(CENT, ROUND_HALF_UP)
            parts = [(paid_at, first), (paid_at + timedelta(days=38), amount - first)]
        elif pays_late and number == 1:
            events += _dispute(park, contract, invoice)
        elif pays_late and number == 3:
            short = (amount * SHORT_PAID_FRACTION).quantize(CENT, ROUND_HALF_UP)
            parts = [(paid_at, amount - short)]
            events += _write_off(park, contract, invoice, short, paid_at)
        name = f"{contract.contract_id}-share-{invoice.service_month:%Y%m}-{invoice.posting_month:%Y%m}"
        for part, (at, part_amount) in enumerate(parts):
            if part_amount <= 0:
                continue
            funded = pays_late and not circular and any(claim.received_at < at for claim in claims)
            circular = circular or funded
            rows.append(
                Payment(
                    payment_id=f"{name}-{part + 1}",
                    contract_id=contract.contract_id,
                    direction="received",
                    received_at=at,
                    amount=part_amount,
                    currency_code=contract.currency_code,
                    remittance_reference=invoice.reference(contract.contract_id, "invoice_share"),
                    funded_by_claim=funded,
                    lease_id=None,
                    recorded_at=at + timedelta(days=1),
                )
            )
    return rows + _unmatched(park, contract, pays_late=pays_late), events


def _unmatched(park: ParkPlan, contract: ContractPlan, *, pays_late: bool) -> list[Payment]:
    """Money that no document explains: with the late payer it stays, with the other one it goes back."""
    name = f"{contract.contract_id}-unmatched"
    at = days.local_instant(park.zone, contract.commencement_date + timedelta(days=19), 11)
    first = Payment(
        payment_id=f"{name}-1",
        contract_id=contract.contract_id,
        direction="received",
        received_at=at,
        amount=UNREADABLE_AMOUNT if pays_late else MISDIRECTED_AMOUNT,
        currency_code=contract.currency_code,
        remittance_reference="(simulated: unreadable)",
        funded_by_claim=False,
        lease_id=None,
        recorded_at=at + timedelta(days=1),
    )
    if pays_late:
        return [first]
    back_at = at + timedelta(days=21)
    back = replace(
        first,
        payment_id=f"{name}-2",
        received_at=back_at,
        amount=-first.amount,
        remittance_reference=first.payment_id,
        recorded_at=back_at + timedelta(days=1),
    )
    return [first, back]


def _event(
    contract: ContractPlan,
    name: str,
    kind: str,
    at: datetime,
    payload: dict[str, str],
    *,
    amount: Decimal | None = None,
) -> CreditEvent:
    return CreditEvent(
        event_id=f"{contract.contract_id}-{name}",
        contract_id=contract.contract_id,
        tranche_id=None,
        kind=kind,
        effective_at=at,
        ends_at=None,
        gpu_count=None,
        amount=amount,
        currency_code=contract.currency_code if amount is not None else None,
        payload=json.dumps(payload, sort_keys=True),
        recorded_at=at + timedelta(days=1),
    )


def _dispute(park: ParkPlan, contract: ContractPlan, invoice: Document) -> list[CreditEvent]:
    target = {"service_month": f"{invoice.service_month:%Y-%m}"}
    opened = days.local_instant(park.zone, invoice.due_date - timedelta(days=25), 10)
    closed = days.local_instant(park.zone, invoice.due_date + timedelta(days=2), 10)
    name = f"dispute-{invoice.service_month:%Y%m}"
    return [
        _event(contract, f"{name}-opened", "dispute_opened", opened, {**target, "reason": "simulated: metered hours"}),
        _event(
            contract,
            f"{name}-closed",
            "dispute_closed",
            closed,
            {**target, "dispute_event_id": f"{contract.contract_id}-{name}-opened"},
        ),
    ]


def _write_off(
    park: ParkPlan, contract: ContractPlan, invoice: Document, amount: Decimal, paid_at: datetime
) -> list[CreditEvent]:
    if amount <= 0:
        return []
    target = {
        "service_month": f"{invoice.service_month:%Y-%m}",
        "item_id": invoice.reference(contract.contract_id, "invoice_share"),
    }
    written = days.local_instant(park.zone, days.local_date(park.zone, paid_at) + timedelta(days=60), 10)
    recovered = written + timedelta(days=40)
    part = (amount * Decimal("0.4")).quantize(CENT, ROUND_HALF_UP)
    name = f"{invoice.service_month:%Y%m}"
    rows = [_event(contract, f"write-off-{name}", "write_off", written, target, amount=amount)]
    if part > 0:
        rows.append(_event(contract, f"recovery-{name}", "recovery", recovered, target, amount=part))
    return rows


def downgrade(park: ParkPlan, contract: ContractPlan) -> list[CreditEvent]:
    """A rating one class lower, in the tenth month of the contract; none without a rating in the table."""
    if park.rating is None or park.rating not in RATING_ORDER[:-1]:
        return []
    lower = RATING_ORDER[RATING_ORDER.index(park.rating) + 1]
    day = days.add_months(days.first_of_month(contract.commencement_date), 9) + timedelta(days=13)
    payload = {"operator_id": park.operator_id, "rating": lower, "rating_from": park.rating}
    if park.rating_agency is not None:
        payload["rating_agency"] = park.rating_agency
    return [_event(contract, f"rating-{day:%Y%m}", "rating_change", days.local_instant(park.zone, day, 9), payload)]


def tenant_receipts(seed: int, park: ParkPlan, contract: ContractPlan, closes: Closes) -> list[Payment]:
    """Each lease's month, paid to the operator a month later: what was billed, with its adjustments."""
    rows: list[Payment] = []
    for month in closes.known_at:
        statement = closes.statement(month)
        billed: dict[str, Fraction] = {}
        for window, hours in statement.billed(Segment(month, days.add_months(month, 1))):
            if window.version.contract_id == contract.contract_id:
                gross = hours * Fraction(window.version.price_per_gpu_hour)
                billed[window.version.lease_id] = billed.get(window.version.lease_id, Fraction(0)) + gross
        for row in statement.adjustments:
            if row.lease_id in billed and days.first_of_month(row.service_date) == month:
                billed[row.lease_id] += Fraction(row.amount)
        draw = generator(seed, park.park_id, "tenant_received", contract.contract_id, month)
        for lease_id, amount in sorted(billed.items()):
            wait = int(draw.integers(18, 34)) + (45 if draw.random() < 0.06 else 0)
            at = days.local_instant(park.zone, days.last_of_month(month) + timedelta(days=wait), 13)
            paid = to_minor_unit(amount, contract.minor_unit_digits)
            if paid <= 0:
                continue
            rows.append(
                Payment(
                    payment_id=f"{lease_id}-{month:%Y%m}",
                    contract_id=contract.contract_id,
                    direction="tenant_received",
                    received_at=at,
                    amount=paid,
                    currency_code=contract.currency_code,
                    remittance_reference=f"{lease_id} {month:%Y-%m}",
                    funded_by_claim=False,
                    lease_id=lease_id,
                    recorded_at=at + timedelta(days=1),
                )
            )
    return rows
