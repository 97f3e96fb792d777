"""Monthly statements of one contract, as known at an instant: the revenue share, and the backstop claim.

Pure: frames of the published tables in, bytes out; no clock and no file. The same frames up to the same instant give
the same bytes, on any day. The three documents (HTML, PDF, XLSX) draw one :class:`Statement`. Text from outside is
escaped by the templates; PDF takes it as data, never as markup; XLSX takes it as text, never as a formula. What a
step is worth does not belong here.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.publishing.formats import day_text, instant_text, month_text, number, round_half_away

STATEMENTS = {"revenue_share": "Revenue-share statement", "backstop": "Backstop claim statement"}
FORMATS = ("html", "pdf", "xlsx")
_EVENTS = {
    "revenue_share": (
        "accrue_share",
        "invoice_share",
        "invoice_true_up",
        "invoice_reserve",
        "credit_note",
        "recoup_advance",
        "true_up_interest",
        "advance_interest",
        "late_interest",
        "invoice_interest",
    ),
    "backstop": (
        "accrue_claim",
        "pay_claim",
        "claw_back",
        "termination_payment",
        "termination_cost",
        "residual_value_support",
        "late_interest_on_claims",
        "pay_claim_interest",
    ),
}
_EARNED = {"revenue_share": "accrue_share", "backstop": "accrue_claim"}
_VERBS = {"revenue_share": "Earned", "backstop": "Claimed"}
_SECTIONS = {
    "revenue_share": {1: "From gross billings to the base", 2: "The base over the tiers", 3: "From the share to the amount due"},
    "backstop": {
        1: "From installed hours to the claim",
        2: "Hours at the buy-back price",
        3: "From the claims to the amount due",
        4: "What the operator owes",
        5: "What the vendor owes beside claims",
    },
}  # fmt: skip
_LABELS = {
    "gross": "Gross billings to eligible tenants",
    "operating_cost": "Less what running the capacity costs, by the operator's statements",
    "base": "Base",
    "tier": "Tier",
    "floor_deduction": "Less floor price × eligible hours",
    "breakpoint_deduction": "Less breakpoint",
    "carried_forward": "Negative base carried",
    "recouped_before_share": "Less advance recouped before the share",
    "share_by_tiers": "Share by the tiers",
    "not_active": "Not active: criteria not met",
    "minimum_top_up": "Topped up to the minimum",
    "true_up": "Yearly true-up",
    "reserved": "Of it withheld as a reserve, invoiced on its release",
    "advance_interest": "Interest on what is unrecouped of advances, beside the amount due",
    "true_up_interest": "Interest on the true-up, beside the amount due",
    "true_up_offset": "Less true-up carried forward",
    "cut_by_caps": "Cut by caps",
    "recouped_from_share": "Less advance recouped from the share",
    "rounding": "Rounding, once, half away from zero",
    "gross_up": "Gross-up for withholding tax",
    "amount_due": "Amount due for the month",
    "installed": "Installed",
    "committed": "Committed (installed × fraction × ramp)",
    "excluded": "Excluded causes",
    "third_party": "Sold to third parties",
    "vendor_use": "Used by the vendor",
    "unsold": "Unsold",
    "deductible": "Deductible",
    "claim": "Claimed",
    "guaranteed": "Guaranteed (committed less excluded, own use and deductible)",
    "payment_due": "Due of the operator for the month, over the days guaranteed",
    "payment_made": "Less paid by the operator",
    "most_guaranteed": "At most: guaranteed hours × price",
    "guaranteed_revenue": "Guaranteed revenue",
    "third_party_revenue": "Less billed to third parties, hours × price",
    "revenue_above_guarantee": "Above the guarantee: nothing is claimed",
    "claim_before_caps": "Claim before caps",
    "claw_back": "Taken back of the claims for withdrawn GPUs",
    "termination_payment": "For the early end of the backstop",
    "owed_by_operator": "Owed by the operator for the month",
    "termination_cost": "For the early end of the backstop, within the lifetime cap",
    "residual_value_support": "For what the hardware has lost of its value",
    "owed_by_vendor": "Owed by the vendor for the month, beside the claim",
    "claims_before_caps": "Claims of all tranches, before caps",
}
_TOTALS = {"base", "amount_due", "claim", "guaranteed", "owed_by_operator", "owed_by_vendor"}
# Steps that follow from others.
_FOLLOWS = {
    "base",
    "amount_due",
    "rounding",
    "share_by_tiers",
    "claims_before_caps",
    "owed_by_operator",
    "owed_by_vendor",
}
# Steps whose rate is a price per GPU-hour.
_PRICED = {"claim_before_caps", "guaranteed_revenue", "most_guaranteed"}


class NothingToStateError(LookupError):
    """The books hold nothing of that contract, statement and month as known then; the message says what they do hold."""


@dataclass(frozen=True)
class Step:
    """One line of the computation; text cells, as every document shows them, and the exact amount."""

    section: str
    part: str
    label: str
    gpu_hours: str
    of_amount: str
    rate: str
    amount: str
    exact_amount: str
    term: str
    is_total: bool


@dataclass(frozen=True)
class Term:
    """A term applied, with its clause."""

    clause: str
    value: str
    amendment: str
    in_force: str
    grade: str
    source: str


@dataclass(frozen=True)
class Adjustment:
    """What the month's books posted for an earlier month, and why."""

    service_month: str
    event: str
    amount: str
    entry_id: str
    corrects: str
    reason: str


@dataclass(frozen=True)
class InterestNote:
    """A note that bills interest, and how it stood at the last close that the statement knows."""

    days_of: str
    note: str
    dated: str
    due: str
    amount: str
    paid: str
    otherwise_settled: str
    outstanding: str


@dataclass(frozen=True)
class InterestDays:
    """Days of the month over which one amount was overdue, and what it bore."""

    first: str
    last: str
    days: str
    overdue: str
    rate: str
    interest: str


@dataclass(frozen=True)
class Entry:
    """A journal line of the service month."""

    posted_at: str
    event: str
    account: str
    debit: str
    credit: str
    entry_id: str


@dataclass(frozen=True)
class Statement:
    """Everything that a document shows, as text."""

    title: str
    statement: str
    contract_id: str
    vendor: str
    operator: str
    park_id: str
    month: str
    currency_code: str
    known_at: str
    standing: str
    due: str
    amount_due: str
    adjusted_amount: str
    total_amount: str
    figures: list[tuple[str, str]]
    steps: list[Step]
    terms: list[Term]
    adjustments: list[Adjustment]
    interest: list[InterestNote]
    interest_days: list[InterestDays]
    entries: list[Entry]
    inputs: list[tuple[str, str]]
    prepared_by: str
    notes: list[str]
    is_simulated: bool


@dataclass(frozen=True)
class Asked:
    """Which statement: revenue_share or backstop, of which contract and service month (its first day), and the instant
    up to which it knows.
    """

    statement: str
    contract_id: str
    month: date
    known_at: datetime


def draw_statement(frames: Mapping[str, pl.DataFrame], about: Mapping[str, Any], asked: Asked) -> Statement:
    """The statement of one contract and service month, as known at an instant.

    Args:
        frames: ``ledger.fct_statement_step``, ``ledger.fct_statement_input``, ``ledger.fct_sealed_input``,
            ``ledger.fct_journal_lines``, ``ledger.fct_period_close``, ``ledger.fct_receivable_document``,
            ``credit.fct_receivable_item``, ``credit.fct_interest_span``, ``core.fct_contract_terms``,
            ``core.dim_contract``, ``core.dim_operator``, ``core.dim_vendor``.
        about: title, prepared_by and simulation_note of the snapshot.
        asked: which statement, as known when.

    Raises:
        NothingToStateError: there is no such statement.
    """
    statement, contract_id, month, known_at = asked.statement, asked.contract_id, asked.month, asked.known_at
    own = {
        name: frame.filter(pl.col("contract_id") == contract_id) if "contract_id" in frame.columns else frame
        for name, frame in frames.items()
    }
    if own["core.dim_contract"].is_empty():
        known = ", ".join(sorted(frames["core.dim_contract"]["contract_id"].to_list()))
        raise NothingToStateError(f"{contract_id} is no contract of these books; there are: {known}")
    every_step = own["ledger.fct_statement_step"].filter(
        (pl.col("statement") == statement) & (pl.col("known_at") <= known_at)
    )
    steps = _latest(every_step, month)
    if steps.is_empty():
        months = sorted({f"{m:%Y-%m}" for m in every_step["service_month"].to_list()})
        there = f"there are {months[0]} to {months[-1]}" if months else "there are none"
        raise NothingToStateError(
            f"{contract_id} has no {STATEMENTS[statement].lower()} of {month:%Y-%m} as known at {instant_text(known_at)}; {there}"
        )
    contract = own["core.dim_contract"].row(0, named=True)
    lines = own["ledger.fct_journal_lines"].filter(
        (pl.col("posted_at") <= known_at) & pl.col("event").is_in(_EVENTS[statement])
    )
    closes = own["ledger.fct_period_close"].filter(pl.col("closed_at") <= known_at)
    close = closes.filter(pl.col("posting_month") == month)
    posted = _posted(lines, statement)
    known_months = [*closes["posting_month"].to_list(), *lines.filter("is_provisional")["posting_month"].to_list()]
    items, spans = (
        own[name].filter(pl.col("as_of_month").is_in(known_months))
        for name in ("credit.fct_receivable_item", "credit.fct_interest_span")
    )
    notes = _notes_at(items) if statement == "revenue_share" else items.clear()
    adjustments = _adjustments(posted, every_step, closes, month, statement)
    due_amount = _money(steps.filter(pl.col("step") == "amount_due")["amount"])
    adjusted = sum((a.amount for a in adjustments), Decimal(0))
    earned = posted.filter((pl.col("event") == _EARNED[statement]) & (pl.col("service_month") <= month))
    this_year = earned.filter(pl.col("service_month").dt.year() == month.year)
    terms = _terms(own["core.fct_contract_terms"], steps, statement, month, known_at)
    return Statement(
        title=STATEMENTS[statement],
        statement=statement,
        contract_id=contract_id,
        vendor=_name(frames["core.dim_vendor"], "vendor", contract["vendor_id"]),
        operator=_name(frames["core.dim_operator"], "operator", contract["operator_id"]),
        park_id=str(contract["park_id"]),
        month=month_text(month),
        currency_code=str(steps["currency_code"][0]),
        known_at=instant_text(known_at),
        standing="closed" if not close.is_empty() else "provisional: the month has not closed",
        due=_due(own["ledger.fct_receivable_document"], month, known_at) if statement == "revenue_share" else "",
        amount_due=number(due_amount, 2),
        adjusted_amount=number(adjusted, 2),
        total_amount=number(due_amount + adjusted, 2),
        figures=[
            (f"{_VERBS[statement]} for {month.year} to date", number(_money(this_year["amount"]), 2)),
            ("Life to date", number(_money(earned["amount"]), 2)),
            *_moved(posted, statement),
            *_interest_figures(posted, notes),
        ],
        steps=[*(_step(row, statement) for row in steps.iter_rows(named=True)), *_sum_of_blocks(steps, statement)],
        terms=terms,
        adjustments=[
            Adjustment(month_text(a.service_month), _words(a.event), number(a.amount, 2, signed=True), a.entry_id, a.corrects, a.reason)
            for a in adjustments
        ],
        interest=[_interest_note(row) for row in notes.iter_rows(named=True)],
        interest_days=_interest_days(spans, posted, statement, month),
        entries=_entries(lines, month),
        inputs=[
            ("Steps of this statement", _hash(steps)),
            ("Terms applied", hashlib.sha256(json.dumps([asdict(term) for term in terms]).encode()).hexdigest()),
            ("Journal entries shown", _hash(lines.filter(pl.col("service_month") == month).drop("run_id"))),
            *(
                (f"Books of {row['posting_month']:%Y-%m} as closed", row["state_hash"])
                for row in closes.filter(pl.col("posting_month") <= month).sort("posting_month").tail(3).iter_rows(named=True)
            ),
            *_landed(_files(own, steps, closes, month, known_at), statement),
        ],
        prepared_by=_prepared_by(about, close),
        notes=_notes(about, terms, due_amount, earned, month),
        is_simulated=bool(about.get("simulation_note")),
    )  # fmt: skip


@dataclass(frozen=True)
class _Adjustment:
    service_month: date
    event: str
    amount: Decimal
    entry_id: str
    corrects: str
    reason: str


def _latest(steps: pl.DataFrame, month: date) -> pl.DataFrame:
    rows = steps.filter(pl.col("service_month") == month)
    return rows.filter(pl.col("known_at") == pl.col("known_at").max()).sort("step_no")


def _posted(lines: pl.DataFrame, statement: str) -> pl.DataFrame:
    """One row an entry, with the amount as the statement counts it: what is earned, invoiced or claimed is positive."""
    account = {
        "accrue_share": "share_revenue",
        "recoup_advance": "unrecouped_advance",
        "invoice_share": "trade_receivable",
        "invoice_true_up": "trade_receivable",
        "invoice_reserve": "trade_receivable",
        "credit_note": "trade_receivable",
        "accrue_claim": "backstop_cost",
        "pay_claim": "cash",
        "claw_back": "trade_receivable",
        "termination_payment": "trade_receivable",
        "termination_cost": "termination_cost",
        "residual_value_support": "residual_value_cost",
        "true_up_interest": "interest_receivable",
        "advance_interest": "interest_receivable",
        "late_interest": "interest_receivable",
        "invoice_interest": "trade_receivable",
        "late_interest_on_claims": "late_interest_cost",
        "pay_claim_interest": "interest_payable",
    }
    wanted = pl.struct("event", "account").is_in(
        pl.Series([{"event": e, "account": account[e]} for e in _EVENTS[statement]]).implode()
    )
    sign = pl.when(pl.col("account").is_in(["share_revenue", "unrecouped_advance", "cash"])).then(-1).otherwise(1)
    return lines.filter(wanted).with_columns(amount=pl.col("amount") * sign)


def _adjustments(
    posted: pl.DataFrame, steps: pl.DataFrame, closes: pl.DataFrame, month: date, statement: str
) -> list[_Adjustment]:
    found = posted.filter(
        (pl.col("posting_month") == month) & (pl.col("service_month") < month) & (pl.col("event") == _EARNED[statement])
    ).sort("service_month", "entry_id")
    before = closes.filter(pl.col("posting_month") < month)["closed_at"].max()
    return [
        _Adjustment(
            row["service_month"],
            row["event"],
            row["amount"],
            row["entry_id"],
            row["corrects_entry_id"] or "",
            _reason(steps, row["service_month"], before, row["posted_at"]),
        )
        for row in found.iter_rows(named=True)
    ]


def _reason(steps: pl.DataFrame, month: date, before: Any, after: datetime) -> str:
    """What of the computation has changed between two closes, in words: the steps that do not follow from others."""
    old = _latest(steps.filter(pl.col("known_at") <= before), month) if before else steps.clear()
    new = _latest(steps.filter(pl.col("known_at") <= after), month)
    keys = ["part_id", "step", "tier_no"]
    both = old.select(*keys, was="amount", was_hours="gpu_hours", was_rate="rate").join(
        new.select(*keys, "amount", "gpu_hours", "rate"), on=keys, how="full", coalesce=True, nulls_equal=True
    )
    has_parts = both["part_id"].filter(both["part_id"] != "").n_unique() > 1
    said = []
    for row in both.sort(keys, nulls_last=True).iter_rows(named=True):
        label = _label(row["step"], row["tier_no"])
        if row["part_id"] and has_parts:
            label = f"{label}, {row['part_id']}"
        if row["step"] == "tier" or row["step"] in _PRICED:
            if row["rate"] != row["was_rate"] and row["rate"] is not None and row["was_rate"] is not None:
                said.append(f"{label}: {_plain(row['was_rate'])} is now {_plain(row['rate'])}")
        elif row["gpu_hours"] is not None or row["was_hours"] is not None:
            change = (row["gpu_hours"] or Decimal(0)) - (row["was_hours"] or Decimal(0))
            if change and row["step"] in {"installed", "excluded", "third_party", "vendor_use"}:
                said.append(f"{label} {number(change, 2, signed=True)} GPU-hours")
        elif row["step"] not in _FOLLOWS:
            change = round_half_away((row["amount"] or Decimal(0)) - (row["was"] or Decimal(0)), 2)
            if change:
                said.append(f"{label} {number(change, 2, signed=True)}")
    return "; ".join(said) or "terms, rates or rules that the books did not have when the month closed"


def _step(row: Mapping[str, Any], statement: str) -> Step:
    is_price = row["step"] in _PRICED
    return Step(
        section=_SECTIONS[statement][row["section_no"]],
        part=row["part_id"] if row["part_id"] != "share" else "",
        label=_label(row["step"], row["tier_no"]),
        gpu_hours="" if row["gpu_hours"] is None else number(row["gpu_hours"], 2),
        of_amount="" if row["of_amount"] is None else number(row["of_amount"], 2),
        rate="" if row["rate"] is None else (_plain(row["rate"]) if is_price else f"{_plain(row['rate'] * 100)} %"),
        amount="" if row["amount"] is None else _amount(row["amount"], row["step"]),
        exact_amount="" if row["amount"] is None else f"{row['amount']:f}",
        term=row["term"] or "",
        is_total=row["step"] in _TOTALS,
    )


def _sum_of_blocks(steps: pl.DataFrame, statement: str) -> list[Step]:
    """The line that adds up what is due of each block of the share, where there are several."""
    due = steps.filter(pl.col("step") == "amount_due")
    if due.height < 2:
        return []
    last = _step(due.row(-1, named=True), statement)
    amount = _money(due["amount"])
    return [
        replace(
            last, part="", label="Amount due, all blocks", amount=number(amount, 2), exact_amount=f"{amount:f}", term=""
        )
    ]


def _amount(value: Decimal, step: str) -> str:
    """To the minor unit; the rounding itself to what it is."""
    return number(value, 6 if step == "rounding" else 2)


def _label(step: str, tier_no: int | None) -> str:
    if step in _LABELS:
        return f"{_LABELS[step]} {tier_no}" if step == "tier" else _LABELS[step]
    if step.startswith("excluded_"):
        return f"Left out of the base: {_words(step.removeprefix('excluded_'))}"
    return _words(step).capitalize()


def _words(name: str) -> str:
    return name.replace("_", " ")


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _money(values: pl.Series) -> Decimal:
    return round_half_away(Decimal(sum(values.to_list(), Decimal(0))), 2)


def _name(frame: pl.DataFrame, what: str, key: str) -> str:
    found = frame.filter(pl.col(f"{what}_id") == key)
    return str(found[f"{what}_name"][0]) if not found.is_empty() else key


def _due(documents: pl.DataFrame, month: date, known_at: datetime) -> str:
    found = documents.filter(
        (pl.col("service_month") == month) & (pl.col("posted_at") <= known_at) & (pl.col("kind") == "invoice")
    ).sort("posted_at")
    if found.is_empty():
        return "not invoiced yet"
    said = []
    for event, of in (("invoice_share", ""), ("invoice_true_up", " (true-up)"), ("invoice_reserve", " (reserve)")):
        part = found.filter(pl.col("item_id").str.contains(f":{event}:", literal=True))
        if not part.is_empty():
            said.append(f"invoiced {day_text(part['invoice_date'][0])}, due {day_text(part['due_date'][0])}{of}")
    return "; ".join(said)


def _moved(posted: pl.DataFrame, statement: str) -> list[tuple[str, str]]:
    events = (
        ["invoice_share", "invoice_true_up", "invoice_reserve", "credit_note"]
        if statement == "revenue_share"
        else ["pay_claim"]
    )
    label = "Invoiced, life to date" if statement == "revenue_share" else "Paid, life to date"
    moved = [(label, number(_money(posted.filter(pl.col("event").is_in(events))["amount"]), 2))]
    owed = posted.filter(pl.col("event").is_in(["claw_back", "termination_payment"]))
    if statement == "backstop" and not owed.is_empty():
        moved.append(("Owed by the operator, life to date", number(_money(owed["amount"]), 2)))
    besides = posted.filter(pl.col("event").is_in(["termination_cost", "residual_value_support"]))
    if statement == "backstop" and not besides.is_empty():
        moved.append(("Owed by the vendor beside claims, life to date", number(_money(besides["amount"]), 2)))
    return moved


def _notes_at(items: pl.DataFrame) -> pl.DataFrame:
    """The notes of interest as they stood at the last close that is known, or at the clock where its lines are."""
    own = items.filter(pl.col("kind") == "interest_note")
    return own.filter(pl.col("as_of_month") == pl.col("as_of_month").max()).sort("invoice_date", "service_month")


def _interest_days(spans: pl.DataFrame, posted: pl.DataFrame, statement: str, month: date) -> list[InterestDays]:
    """How the late interest of the month's days comes about, and what is posted of it."""
    event = "late_interest" if statement == "revenue_share" else "late_interest_on_claims"
    own = spans.filter((pl.col("event") == event) & (pl.col("service_month") == month))
    last = own.filter(pl.col("as_of_month") == pl.col("as_of_month").max()).sort("first_date")
    if last.is_empty():
        return []
    total = _money(posted.filter((pl.col("event") == event) & (pl.col("service_month") == month))["amount"])
    return [
        *(
            InterestDays(
                day_text(row["first_date"]),
                day_text(row["last_date"]),
                str(row["day_count"]),
                number(row["overdue_amount"], 2),
                f"{_plain(row['rate'] * 100)} %",
                number(row["interest_amount"], 6),
            )
            for row in last.iter_rows(named=True)
        ),
        InterestDays("Posted, rounded once", "", "", "", "", number(total, 2)),
    ]


def _interest_note(row: Mapping[str, Any]) -> InterestNote:
    otherwise = row["credited_amount"] + row["set_off_amount"] + row["written_off_amount"]
    return InterestNote(
        month_text(row["service_month"]),
        row["item_id"],
        day_text(row["invoice_date"]),
        day_text(row["due_date"]),
        *(number(a, 2) for a in (row["original_amount"], row["applied_amount"], otherwise, row["open_amount"])),
    )


def _interest_figures(posted: pl.DataFrame, notes: pl.DataFrame) -> list[tuple[str, str]]:
    """What interest was billed, or is owed on claims, and what of it is outstanding; nothing where there is none."""

    def of(*events: str) -> Decimal:
        return _money(posted.filter(pl.col("event").is_in(events))["amount"])

    if not notes.is_empty():
        outstanding = number(_money(notes["open_amount"]), 2)
        return [
            ("Interest billed, life to date", number(of("invoice_interest"), 2)),
            ("Of it outstanding", outstanding),
        ]
    owed = of("late_interest_on_claims")
    if not owed:
        return []
    outstanding = number(owed - of("pay_claim_interest"), 2)
    return [("Interest on late claims, life to date", number(owed, 2)), ("Of it outstanding", outstanding)]


def _terms(frame: pl.DataFrame, steps: pl.DataFrame, statement: str, month: date, known_at: datetime) -> list[Term]:
    """Terms that the steps name, in force on some day of the month and recorded by then. Where a share has several blocks,
    their terms bear the block's id in front.
    """
    named = {term for term in steps["term"].drop_nulls().to_list()} | (  # noqa: C416
        {"statement_due_days", "lifetime_cap"} if statement == "revenue_share" else {"ramp", "lifetime_cap", "deductible_gpu_hours"}
    )  # fmt: skip
    last = _last_day(month)
    key = pl.col("term").str.split(".").list
    of_a_block = key.first().is_in(steps["part_id"].unique().to_list()) & key.get(1, null_on_oob=True).is_in(
        sorted(named)
    )
    known = frame.filter(
        pl.col("instrument").str.starts_with(statement)
        & (pl.col("valid_from") <= last)
        & (pl.col("recorded_at") <= known_at)
    )
    rows = (
        known.join(_begun_later(known, month), on=["instrument", "amendment_id"], how="anti")
        .filter(key.first().is_in(sorted(named)) | of_a_block)
        .sort("instrument", "term", "valid_from", "amendment_id")
    )
    return [
        Term(
            f"{row['instrument']}.{row['term']}",
            row["value_text"] or "",
            row["amendment_id"],
            f"from {day_text(row['valid_from'])}",
            row["evidence_grade"] or "",
            row["source"] or "",
        )
        for row in rows.iter_rows(named=True)
    ]


def _begun_later(known: pl.DataFrame, month: date) -> pl.DataFrame:
    """Versions in whose place another had come, as known then, by the month's first day. `valid_to` says what is known now."""
    order = ["valid_from", "recorded_at", "amendment_id"]
    versions = known.select("instrument", *order).unique().sort("instrument", *order)
    following = versions.with_columns(next_from=pl.col("valid_from").shift(-1).over("instrument"))
    return following.filter(pl.col("next_from") <= month)


def _last_day(month: date) -> date:
    following = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
    return date.fromordinal(following.toordinal() - 1)


def _entries(lines: pl.DataFrame, month: date) -> list[Entry]:
    rows = lines.filter(pl.col("service_month") == month).sort("posted_at", "entry_id", "line_no")
    return [
        Entry(
            instant_text(row["posted_at"]),
            _words(row["event"]),
            _words(row["account"]),
            number(row["amount"], 2) if row["amount"] > 0 else "",
            number(-row["amount"], 2) if row["amount"] < 0 else "",
            row["entry_id"],
        )
        for row in rows.iter_rows(named=True)
    ]


def _notes(
    about: Mapping[str, Any], terms: Sequence[Term], due: Decimal, earned: pl.DataFrame, month: date
) -> list[str]:
    notes = []
    posted = _money(earned.filter(pl.col("service_month") == month)["amount"])
    if posted != due:
        notes.append(
            f"The books hold {number(posted, 2)} for this month, the steps come to {number(due, 2)}: part of it is recouped from an "
            "advance, or is posted once the month that is open has ended."
        )
    if any(term.grade == "assumed" for term in terms):
        notes.append("Terms graded assumed are ours: no public source states them.")
    if about.get("simulation_note"):
        notes.append(f"Simulated: {about['simulation_note']}")
    return notes


# What a statement does not look at, and how many files of a feed are named one by one.
_OTHER_FEEDS = {"revenue_share": (), "backstop": ("lease_adjustments", "payments")}
_NAMED_FILES = 12


def _files(
    own: Mapping[str, pl.DataFrame], steps: pl.DataFrame, closes: pl.DataFrame, month: date, known_at: datetime
) -> pl.DataFrame:
    """The landed files with a row about the month that was known then, by feed; as they were sealed where the close that these
    steps come from was.
    """
    close = closes.filter(pl.col("closed_at") == steps["known_at"][0])
    sealed = own["ledger.fct_sealed_input"].filter(pl.col("service_month") == month)
    kept = sealed.join(close.select("posting_month"), on="posting_month", how="semi")
    if not kept.is_empty():
        return kept
    return own["ledger.fct_statement_input"].filter(
        (pl.col("service_month") == month) & (pl.col("known_from_at") <= known_at)
    )


def _landed(files: pl.DataFrame, statement: str) -> Iterator[tuple[str, str]]:
    """Files by their SHA-256; of many in one feed the SHA-256 of their sorted hashes, one a line."""
    looked_at = files.filter(~pl.col("feed").is_in(list(_OTHER_FEEDS[statement])))
    for (feed,), part in looked_at.sort("feed", "file_id").group_by("feed", maintain_order=True):
        hashes = part["file_id"].to_list()
        if len(hashes) <= _NAMED_FILES:
            yield from ((f"File of {_words(str(feed)).lower()}", file_id) for file_id in hashes)
        else:
            every = hashlib.sha256("".join(f"{file_id}\n" for file_id in hashes).encode()).hexdigest()
            yield f"{len(hashes)} files of {_words(str(feed)).lower()}, hash of their hashes", every


def _prepared_by(about: Mapping[str, Any], close: pl.DataFrame) -> str:
    if close.is_empty():
        return f"Prepared by {about['prepared_by']} from the books of {about['title']}"
    said = f"Prepared by {close['prepared_by'][0]}"
    closed_by = close["closed_by"][0]
    return f"{said}; the month was closed by {'the closing policy' if closed_by == 'policy' else f'event {closed_by}'}"


def _hash(frame: pl.DataFrame) -> str:
    rows = frame.sort(frame.columns, nulls_last=True).rows()
    return hashlib.sha256(
        "\n".join("|".join("" if c is None else str(c) for c in row) for row in rows).encode()
    ).hexdigest()


def as_html(statement: Statement) -> bytes:
    """One page that needs no network; everything is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - only this format needs it

    environment = Environment(
        loader=PackageLoader("orchestration.publishing"), undefined=StrictUndefined, autoescape=True, trim_blocks=True
    )
    return environment.get_template("statement.html.j2").render(s=statement).encode()


def as_pdf(statement: Statement) -> bytes:
    """A4 pages with tags; the text travels as data, so that nothing in it is read as markup."""
    from orchestration.publishing.typesetting import typeset  # noqa: PLC0415 - a large library

    return typeset("statement.typ", "statement", asdict(statement))


def as_xlsx(statement: Statement) -> bytes:
    """A workbook of five sheets, six where what is late bore interest; amounts are numbers, text is text: no cell is a formula."""
    import xlsxwriter  # noqa: PLC0415 - only this format needs it

    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(
        buffer, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    )
    # A fixed date: the same statement is the same file.
    created = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # the file format has no zone
    book.set_properties({"title": f"{statement.title} {statement.contract_id} {statement.month}", "created": created})
    bold, money, wrapped = (
        book.add_format({"bold": True}),
        book.add_format({"num_format": "#,##0.00"}),
        book.add_format({"text_wrap": True, "valign": "top"}),
    )
    total = book.add_format({"num_format": "#,##0.00", "bold": True, "top": 1})

    def sheet(name: str, widths: Sequence[int]) -> Any:
        made = book.add_worksheet(name)
        for column, width in enumerate(widths):
            made.set_column(column, column, width)
        made.set_landscape()
        made.fit_to_pages(1, 0)
        return made

    def cell(target: Any, row: int, column: int, text: str, *, is_total: bool = False) -> None:
        value = _as_number(text)
        if value is None:
            target.write_string(row, column, text, bold if is_total else wrapped)
        else:
            target.write_number(row, column, value, total if is_total else money)

    def table(
        target: Any, row: int, heads: Iterable[str], rows: Iterable[Sequence[str]], totals: Sequence[bool] = ()
    ) -> int:
        for column, head in enumerate(heads):
            target.write_string(row, column, head, bold)
        for number_of_row, cells in enumerate(rows):
            row += 1
            for column, text in enumerate(cells):
                cell(target, row, column, text, is_total=bool(totals) and totals[number_of_row])
        return row + 2

    first = sheet("Statement", (46, 16, 18, 20, 12, 20, 30))
    head = (
        ("", statement.title),
        ("Contract", statement.contract_id),
        ("Service month", statement.month),
        ("Vendor", statement.vendor),
        ("Operator", statement.operator),
        ("Park", statement.park_id),
        ("Currency", statement.currency_code),
        ("As known at", f"{statement.known_at} ({statement.standing})"),
        ("Amount due for the month", statement.amount_due),
        ("Adjustments to earlier months", statement.adjusted_amount),
        ("Total of the month's books", statement.total_amount),
        *statement.figures,
    )
    for row, (label, value) in enumerate(head):
        first.write_string(row, 0, label, bold)
        cell(first, row, 1, value)
    table(
        first,
        len(head) + 1,
        ("Step", "Part", "GPU-hours", "Of amount", "Rate", f"Amount {statement.currency_code}", "Term"),
        [(s.label, s.part, s.gpu_hours, s.of_amount, s.rate, s.amount, s.term) for s in statement.steps],
        [s.is_total for s in statement.steps],
    )
    adjusted = sheet("Adjustments", (16, 20, 18, 46, 46, 60))
    table(
        adjusted,
        0,
        ("Service month", "Event", "Amount", "Entry", "Corrects", "Reason"),
        [(a.service_month, a.event, a.amount, a.entry_id, a.corrects, a.reason) for a in statement.adjustments],
    )
    interest = sheet("Interest", (16, 60, 16, 16, 18, 18, 18, 18))
    table(
        interest,
        0,
        ("Days of", "Note", "Dated", "Due", "Amount", "Paid", "Settled otherwise", "Outstanding"),
        [tuple(asdict(note).values()) for note in statement.interest],
    )
    if statement.interest_days:
        days = sheet("Interest by day", (24, 16, 8, 20, 10, 20))
        heads = ("First day", "Last day", "Days", "Overdue", "Rate a year", "Overdue × rate × days ÷ 365")
        table(days, 0, heads, [tuple(asdict(span).values()) for span in statement.interest_days])
    terms = sheet("Terms", (44, 40, 16, 18, 10, 50))
    table(
        terms,
        0,
        ("Clause", "Value", "Amendment", "In force", "Grade", "Source"),
        [(t.clause, t.value, t.amendment, t.in_force, t.grade, t.source) for t in statement.terms],
    )
    books = sheet("Books", (24, 18, 30, 18, 18, 60))
    row = table(
        books,
        0,
        ("Posted at", "Event", "Account", "Debit", "Credit", "Entry"),
        [(e.posted_at, e.event, e.account, e.debit, e.credit, e.entry_id) for e in statement.entries],
    )
    for label, value in (("", statement.prepared_by), *statement.inputs, *(("Note", note) for note in statement.notes)):
        books.write_string(row, 0, label, bold)
        books.write_string(row, 1, value)
        row += 1
    book.close()
    return buffer.getvalue()


def _as_number(text: str) -> float | None:
    """A number that the statement wrote itself (1,234.50, −3.00); None for any other text."""
    plain = text.replace(",", "").replace("\N{MINUS SIGN}", "-").replace("\N{NARROW NO-BREAK SPACE}", "")
    digits = plain.lstrip("+-")
    if not digits.replace(".", "", 1).isdigit() or "." not in digits:
        return None
    return float(plain)


WRITERS = {"html": as_html, "pdf": as_pdf, "xlsx": as_xlsx}
