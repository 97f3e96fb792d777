# ruff: noqa: PLR0912, PLR0917 - a day is read from top to bottom, as it happens
"""The application of cash and interest once more, in Fractions and day by day, straight from what was billed, claimed and paid.

Written from the rules (DOMAIN.md, 7; CREDIT.md, 3.1; decisions 19, 24, 57), not from the sub-ledger: it walks every day of a
contract from its first to each close, where the sub-ledger plays events. Documents and claims are what the contract's books
posted, which the oracle of the contract rules answers for. Receipts are positive here, and no write-off is taken back.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any

import duckdb
from oracle import DAY, Books, Row, days_of, half_away, month_of

NOUGHT = Fraction(0)
INTEREST = "interest_note"
APART = ("debit_note", INTEREST)
Amounts = dict[tuple[str, date], Fraction]


@dataclass
class Paper:
    """A document, and what is left of it."""

    item_id: str
    kind: str
    month: date
    dated: date
    due: date
    left: Fraction

    @property
    def place(self) -> tuple[bool, date, date, str]:
        """Principal before interest; then the oldest."""
        return self.kind == INTEREST, self.due, self.dated, self.item_id


@dataclass
class Standing:
    """What a close finds: by event and service month what should be posted, what is open by item, and cash on nothing."""

    should: Amounts
    open: dict[str, Fraction]
    unapplied: Fraction


@dataclass
class _Noted:
    """What the closes so far have posted of interest."""

    papers: list[Paper] = field(default_factory=list)
    billed: dict[date, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    on_claims: dict[date, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    claims_by_day: dict[date, Fraction] = field(default_factory=lambda: defaultdict(Fraction))


def standings(con: duckdb.DuckDBPyConnection, contract_id: str, books_at: Any) -> Iterator[tuple[date, Standing]]:
    """Each close of a contract with what it finds; `books_at` gives the raw rows as known at an instant."""
    noted = _Noted()
    for month, end, known_at in con.execute(
        "SELECT posting_month, month_end_date, known_at FROM intermediate.int_closes WHERE contract_id = ? ORDER BY 1",
        [contract_id],
    ).fetchall():
        yield month, _at_close(con, contract_id, books_at(known_at), month, end, noted)


def _at_close(
    con: duckdb.DuckDBPyConnection, contract_id: str, known: Books, month: date, end: date, noted: _Noted
) -> Standing:
    contract = known.contract(contract_id)
    currency, digits = contract["currency_code"], contract["minor_unit_digits"]
    zone = known.zones[contract["park_id"]]
    walk = _Walk(known, contract_id)
    for item_id, kind, of, dated, due, amount in con.execute(
        "SELECT item_id, kind, service_month, invoice_date, due_date, original_amount FROM ledger.fct_receivable_document"
        " WHERE contract_id = ? AND posting_month <= ? AND currency_code = ?",
        [contract_id, month, currency],
    ).fetchall():
        walk.papers[dated].append(Paper(item_id, kind, of, dated, due, Fraction(amount)))
    for paper in noted.papers:
        walk.papers[paper.dated].append(Paper(**vars(paper)))
    for payment in known.payments:
        day = payment["received_at"].astimezone(zone).date()
        if payment["contract_id"] == contract_id and payment["currency_code"] == currency and day <= end:
            walk.payments[payment["direction"], day].append(payment)
    for event in known.events:
        day = event["effective_at"].astimezone(zone).date()
        if event["contract_id"] == contract_id and day <= end:
            walk.events[event["kind"], day].append(event)
    booked: dict[date, Fraction] = defaultdict(Fraction)
    for event, account, of, posted, amount in con.execute(
        "SELECT event, account, service_month, posting_month, amount FROM ledger.fct_journal_lines"
        " WHERE contract_id = ? AND posting_month <= ? AND currency_code = ?",
        [contract_id, month, currency],
    ).fetchall():
        if account == "interest_receivable":
            booked[of] += Fraction(amount)
        if account == "backstop_payable" and event in {"accrue_claim", "termination_cost", "residual_value_support"}:
            terms = walk.backstop_on(days_of(of)[-1])
            due = days_of(max(of, posted))[-1] + (terms["claim_notice_days"] + terms["claim_payment_days"]) * DAY
            walk.claims[due].append((f"{of}:{posted}", terms, -Fraction(amount)))
    walk.interest_on_claims = noted.claims_by_day
    walk.until(end - DAY)
    walk.accrue(end)
    late, on_claims = (
        {of: half_away(amount, digits) for of, amount in walk.accrued[side].items()} for side in ("share", "claims")
    )
    standing = {of: late.get(of, NOUGHT) + booked.get(of, NOUGHT) for of in {*late, *booked}}
    # What this close posts is dated on the month's last day, and played on it.
    due = end + max((t["statement_due_days"] + t["payment_terms_days"] for t in walk.share_on(end)), default=0) * DAY
    for of in sorted({*standing, *noted.billed}):
        change = standing.get(of, NOUGHT) - noted.billed[of]
        if change:
            paper = Paper(f"{contract_id}:{of:%Y-%m}:invoice_interest:{month:%Y-%m}", INTEREST, of, end, due, change)
            noted.billed[of] += change
            noted.papers.append(paper)
            walk.papers[end].append(Paper(**vars(paper)))
    for of in sorted({*on_claims, *noted.on_claims}):
        change = on_claims.get(of, NOUGHT) - noted.on_claims[of]
        noted.on_claims[of] += change
        noted.claims_by_day[end] += change
    walk.happen(end)
    # What is posted is owed, though its date (of several blocks the latest) is still to come.
    for later in sorted(day for day in walk.papers if day > end):
        walk.issue(later)
    should = {("late_interest", of): amount for of, amount in late.items()}
    should |= {("invoice_interest", of): amount for of, amount in standing.items()}
    should |= {("late_interest_on_claims", of): amount for of, amount in on_claims.items()}
    should |= {(event, of): amount for event, moved in walk.moved.items() for of, amount in moved.items()}
    left = {paper.item_id: paper.left for paper in walk.seen.values()}
    left |= {f"{contract_id}:{item_id}": amount for item_id, amount in walk.excess.items()}
    return Standing(should, left, sum((amount for _, amount in walk.waiting.values()), NOUGHT))


class _Walk:
    """One contract from its first day to a close."""

    def __init__(self, known: Books, contract_id: str) -> None:
        self.known, self.contract_id = known, contract_id
        self.papers: dict[date, list[Paper]] = defaultdict(list)
        self.payments: dict[tuple[str, date], list[Row]] = defaultdict(list)
        self.events: dict[tuple[str, date], list[Row]] = defaultdict(list)
        self.claims: dict[date, list[tuple[str, Row, Fraction]]] = defaultdict(list)
        self.interest_on_claims: dict[date, Fraction] = {}
        self.accrued: dict[str, dict[date, Fraction]] = {
            "share": defaultdict(Fraction),
            "claims": defaultdict(Fraction),
        }
        self.moved: dict[str, dict[date, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
        self.seen: dict[str, Paper] = {}
        self.waiting: dict[str, tuple[Row, Fraction]] = {}
        self.disputes: dict[str, tuple[str, str, date]] = {}
        self.excess: dict[str, Fraction] = {}
        self.payable = self.interest_payable = NOUGHT

    def _on(self, table: str, day: date) -> list[Row]:
        """The rows of the version of the terms that holds on a day."""
        rows = [
            row
            for row in self.known.tables[table]
            if row["contract_id"] == self.contract_id
            and row["recorded_at"] <= self.known.known_at
            and row["valid_from"] <= day
        ]
        versions = [(row["valid_from"], row["recorded_at"], row["amendment_id"]) for row in rows]
        return [row for row, version in zip(rows, versions, strict=True) if version == max(versions)]

    def share_on(self, day: date) -> list[Row]:
        return self._on("share_terms", day)

    def backstop_on(self, day: date) -> Row:
        return self._on("backstop_terms", day)[-1]

    def until(self, end: date) -> None:
        days = [*self.papers, *self.claims, *(day for _, day in [*self.payments, *self.events])]
        day = min(days, default=end + DAY)
        while day <= end:
            self.accrue(day)
            self.happen(day)
            day += DAY

    def accrue(self, day: date) -> None:
        """A day's interest, on what is late when it begins."""
        share = self.share_on(day)
        rate = Fraction(share[-1]["late_rate"]) / 365 if share else NOUGHT
        late = [p.left for p in self.seen.values() if p.left > 0 and p.due < day and p.kind not in APART]
        if late and rate:
            self.accrued["share"][month_of(day)] += sum(late) * rate
        if self.payable > 0 and rate:
            self.accrued["claims"][month_of(day)] += self.payable * rate

    def happen(self, day: date) -> None:
        """What happens on a day, in its order."""
        month = month_of(day)
        self._disputes(day)
        self.issue(day)
        for payment in sorted(self.payments.get(("received", day), []), key=lambda p: p["payment_id"]):
            self.waiting[payment["payment_id"]] = (payment, Fraction(payment["amount"]))
            self._lay(payment["payment_id"])
        for event in sorted(self.events.get(("write_off", day), []), key=lambda e: e["event_id"]):
            self._write_off(event, day)
        for payment in self.payments.get(("paid", day), []):
            self.payable -= Fraction(payment["amount"])
        for _, terms, amount in sorted(self.claims.get(day, []), key=lambda c: c[0]):
            self.payable += amount
            if (terms["set_off_scope"] or "none") != "none" and terms["set_off_enforceable"]:
                self._set_off(min(amount, self.payable), day, everything=terms["set_off_scope"] == "all_sums")
        if day == days_of(month)[-1]:
            self.interest_payable += self.interest_on_claims.get(day, NOUGHT)
            paid = min(self.interest_payable, max(NOUGHT, -self.payable))
            self.interest_payable -= paid
            self.payable += paid
            if paid:
                self.moved["pay_claim_interest"][month] += paid

    def issue(self, day: date) -> None:
        """The documents of a day: credits settle, and cash that waits is laid on them."""
        new = sorted(self.papers.get(day, []), key=lambda p: (p.left < 0, p.item_id))
        for paper in new:
            self.seen[paper.item_id] = paper
            self._credit()
            for payment_id in self._in_order():
                self._lay(payment_id)

    def _disputes(self, day: date) -> None:
        for event in sorted(
            [*self.events.get(("dispute_opened", day), []), *self.events.get(("dispute_closed", day), [])],
            key=lambda e: e["event_id"],
        ):
            target = _target(event)
            if event["kind"] == "dispute_opened":
                self.disputes[event["event_id"]] = (*target, day)
            else:
                self.disputes = {
                    key: found for key, found in self.disputes.items() if target != ("all", "") and found[:2] != target
                }

    def _disputed(self, paper: Paper) -> bool:
        return any(_reaches(kind, value, paper, day) for kind, value, day in self.disputes.values())

    def _owed(self) -> list[Paper]:
        return sorted((p for p in self.seen.values() if p.left > 0), key=lambda p: p.place)

    def _in_order(self) -> list[str]:
        zone = self.known.zones[self.known.contract(self.contract_id)["park_id"]]
        return sorted(self.waiting, key=lambda i: (self.waiting[i][0]["received_at"].astimezone(zone).date(), i))

    def _credit(self) -> None:
        def family(paper: Paper) -> str:
            return paper.kind if paper.kind in APART else "share"

        for credit in sorted((p for p in self.seen.values() if p.left < 0), key=lambda p: (p.dated, p.item_id)):
            own = [p for p in self._owed() if p.month == credit.month and family(p) == family(credit)]
            rest = [p for p in self._owed() if p not in own and not self._disputed(p)]
            for paper in [*own, *rest]:
                amount = min(paper.left, -credit.left)
                paper.left -= amount
                credit.left += amount

    def _lay(self, payment_id: str) -> None:
        payment, _ = self.waiting[payment_id]
        reference = payment["remittance_reference"] or ""

        def pay(papers: list[Paper]) -> None:
            for paper in papers:
                if payment_id in self.waiting:
                    left = self.waiting[payment_id][1]
                    amount = min(paper.left, left)
                    paper.left -= amount
                    if amount:
                        zone = self.known.zones[self.known.contract(self.contract_id)["park_id"]]
                        month = month_of(payment["received_at"].astimezone(zone).date())
                        self.moved["apply_cash"][month] += amount
                    self.waiting[payment_id] = (payment, left - amount)
                    if left == amount:
                        del self.waiting[payment_id]

        pay([p for p in self._owed() if _named(reference, p)])
        if payment_id in self.waiting:
            equal = [p for p in self._owed() if p.left == self.waiting[payment_id][1]]
            pay([p for disputed in (False, True) for p in equal if p.kind != INTEREST and self._disputed(p) == disputed][:1]
                or [p for disputed in (False, True) for p in equal if self._disputed(p) == disputed][:1])  # fmt: skip
        for is_interest in (False, True):
            for disputed in (False, True):
                pay([p for p in self._owed() if (p.kind == INTEREST) == is_interest and self._disputed(p) == disputed])

    def _write_off(self, event: Row, day: date) -> None:
        left = Fraction(event["amount"])
        kind, value = _target(event)
        aimed = [p for p in self._owed() if _reaches(kind, value, p, day)]
        for paper in [*aimed, *(p for p in self._owed() if p not in aimed)]:
            amount = min(paper.left, left)
            paper.left -= amount
            left -= amount
        if left:
            self.excess[f"write_off_excess:{event['event_id']}"] = -left

    def _set_off(self, left: Fraction, day: date, *, everything: bool) -> None:
        for paper in self._owed():
            if left > 0 and not self._disputed(paper) and (everything or paper.kind not in APART):
                amount = min(paper.left, left)
                paper.left -= amount
                left -= amount
                self.payable -= amount
                self.moved["set_off"][month_of(day)] += amount


def _target(event: Row) -> tuple[str, str]:
    """What an event is about; the draws give payloads of one key."""
    found = re.findall(r'"(item_id|service_month)": "([^"]+)"', event["payload"] or "")
    return found[0] if found else ("all", "")


def _reaches(kind: str, value: str, paper: Paper, on: date) -> bool:
    if kind == "item_id":
        return paper.item_id == value
    if kind == "service_month":
        return f"{paper.month:%Y-%m}" == value and paper.kind != INTEREST
    return paper.dated <= on


def _named(reference: str, paper: Paper) -> bool:
    words = re.split(r"[\s,;()\[\]/]+", reference)
    if any(":" in word for word in words):
        return paper.item_id in {word.rstrip(".") for word in words}
    about, interest, behind = reference.partition("interest")
    months = re.findall(r"20\d\d-\d\d", behind if paper.kind == INTEREST else about)
    return f"{paper.month:%Y-%m}" in months or (paper.kind == INTEREST and bool(interest) and not months)
