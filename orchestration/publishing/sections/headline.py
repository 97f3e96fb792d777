"""The first screen: what is owed, what may have to be bought, how sure that is, what moved, what breaks first.

Each answer carries the SQL that gives the same figure from the published database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.publishing.formats import (
    clean,
    join_words,
    missing,
    money,
    month_text,
    number,
    percent,
    sentence_case,
    short_month_text,
    to_decimal,
    words,
)
from orchestration.publishing.page import Fact, plain
from orchestration.publishing.sections import movements
from orchestration.publishing.sections.backstop import CAPS, EXPOSURE, EXPOSURE_TERMS
from orchestration.publishing.sections.record import grade_counts, latest_checks, open_alerts
from orchestration.publishing.sections.risk import (
    COVENANTS,
    DISTRIBUTION,
    DRIVERS,
    breached_since,
    broken_by_stress,
    covenant_evidence,
    covenant_rows,
    draws,
    level_cell,
    must_be,
    quantile_column,
    reverse_levels,
    stress_rows,
)
from orchestration.publishing.sections.share import RATE_TERMS
from orchestration.publishing.sections.watch import ENOUGH_COVERAGE, seen_hours
from orchestration.publishing.view import (
    CannotCompute,
    Evidence,
    View,
    contract_parks,
    contracts,
    currencies,
    evidence,
    latest,
    need,
    optional,
    pick,
    provisional,
    ratio,
    total,
    upto,
    vendor_text,
)

EXPOSURES = "credit.fct_exposure_month"
ITEMS = "credit.fct_receivable_item"
TERMS = "core.fct_contract_terms"


@dataclass(frozen=True)
class Value:
    """One main figure of an answer, with the SQL that gives it."""

    text: str
    exact: str
    sql: str


@dataclass(frozen=True)
class Answer:
    """One question of the first screen and its computed answer; `reason` says why there is none."""

    question: str
    measure: str
    values: Sequence[Value] = ()
    facts: Sequence[Fact] = ()
    as_of: str = ""
    evidence: Evidence | None = None
    reason: str = ""
    anchor: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Headline:
    """The first screen: answers, movements and the SQL of the figures shown."""

    answers: Sequence[Answer]
    moves: Sequence[movements.Movement] = ()
    moves_missing: Sequence[tuple[str, str]] = ()
    queries: Sequence[tuple[str, str, str]] = field(default_factory=tuple)

    @property
    def same_months(self) -> bool:
        """Whether all movements are between the same two months, so that the head of the table can name them."""
        return len({(move.month_before, move.month) for move in self.moves}) == 1

    @property
    def nothing_moves(self) -> str:
        """The one reason why there is no movement at all; empty where there is one, or where the reasons differ."""
        reasons = {reason for _, reason in self.moves_missing}
        return "" if self.moves or len(reasons) != 1 else reasons.pop()

    @property
    def months(self) -> tuple[str, str]:
        """Heads of the two columns of movements."""
        if not self.same_months:
            return "Before", "Now"
        return short_month_text(self.moves[0].month_before), short_month_text(self.moves[0].month)


def headline(view: View) -> Headline:
    """All five answers; what cannot be computed says so in its place."""
    vendor = vendor_text(view)
    answers = answered(
        view,
        [
            (f"What is {vendor} owed?", "receivable and accrued share", "receivables", owed),
            (f"What might {vendor} have to buy?", "maximum backstop exposure, undiscounted", "backstop", might_buy),
            ("How sure is that?", "of the terms in force are assumed, not public", "terms", how_sure),
            ("What breaks first?", "least covenant headroom", "stress", breaks_first),
        ],
    )
    moves, lacking = moved(view)
    queries = [
        (f"{answer.question} {answer.measure}", value.text, value.sql)
        for answer in answers
        for value in answer.values
        if value.sql
    ]
    return Headline(answers, moves, lacking, queries)


Asked = tuple[str, str, str, Callable[[View, str, str], Answer]]


def answered(view: View, asked: Sequence[Asked]) -> list[Answer]:
    """The answers to (question, what is measured, anchor, builder); what cannot be computed says why in its place."""
    answers = []
    for question, measure, anchor, builder in asked:
        try:
            answers.append(builder(view, question, anchor))
        except CannotCompute as reason:
            answers.append(Answer(question, measure, reason=missing(str(reason)), anchor=anchor))
    return answers


def moved(view: View) -> tuple[list[movements.Movement], list[tuple[str, str]]]:
    """What moved since the month before, and of what that cannot be said, with the reason."""
    moves: list[movements.Movement] = []
    lacking: list[tuple[str, str]] = []
    for name, mover in (
        ("Revenue share", movements.share_movements),
        ("Backstop claims", movements.claim_movements),
        ("Trade receivables", movements.receivable_movements),
        ("Allowance (CECL)", movements.allowance_movements),
        ("Maximum exposure", movements.exposure_movements),
    ):
        try:
            moves.extend(mover(view))
        except CannotCompute as reason:
            lacking.append((name, missing(str(reason))))
    return moves, lacking


def _sql(expression: str, table: str, month_column: str, month: date, also: str = "") -> str:
    return f"select {expression} from {table} where {month_column} = date '{month.isoformat()}'{also}"


def _and_currency(frame: pl.DataFrame, currency: str) -> str:
    return f" and currency_code = '{currency}'" if "currency_code" in frame.columns else ""


def owed(view: View, question: str, anchor: str) -> Answer:
    frame = need(view, EXPOSURES, "contract_id", "month")
    receivable = pick(frame, EXPOSURES, "receivable_amount", "receivable")
    unbilled = pick(frame, EXPOSURES, "unbilled_amount", "unbilled")
    payable = pick(frame, EXPOSURES, "claims_payable_amount", "claims_payable")
    net = pick(frame, EXPOSURES, "net_amount")
    month, rows = latest(upto(view, frame, "month", EXPOSURES), "month")
    values, facts = [], []
    for currency, mine in currencies(view, rows):
        sum_owed = total(mine[receivable]) + total(mine[unbilled])
        also = _and_currency(frame, currency)
        values.append(
            Value(
                money(sum_owed, currency),
                plain(sum_owed),
                _sql(f"sum({receivable} + {unbilled})", EXPOSURES, "month", month, also),
            )
        )
        facts += [
            _amount("invoiced, unpaid", total(mine[receivable]), currency),
            _amount("accrued, not yet invoiced", total(mine[unbilled]), currency),
        ]
        facts += _late_and_disputed(view, month, currency)
        facts.append(_amount("owed the other way (claims)", total(mine[payable]), currency))
        enforceable = "netting_enforceable" in mine.columns and bool(mine["netting_enforceable"].any())
        facts.append(
            _amount(
                "net, where enforceable",
                total(mine[net]),
                currency,
                "" if enforceable else "no netting is enforceable",
            )
        )
    return Answer(
        question,
        "receivable and accrued share",
        values,
        facts,
        _when(view, month),
        evidence(view, "revenue_share", RATE_TERMS),
        anchor=anchor,
    )


def _amount(name: str, value: Decimal, currency: str, note: str = "", *, tone: str = "") -> Fact:
    return Fact(name, money(value, currency), note, exact=plain(value), tone=tone)


def _late_and_disputed(view: View, month: date, currency: str) -> list[Fact]:
    """What is past due, disputed or not, and what is disputed, due or not; as the metrics have them."""
    frame = optional(view, ITEMS, "contract_id", "as_of_month", "open_amount", "days_past_due", "disputed")
    if frame is None:
        return []
    owed = frame.filter((pl.col("as_of_month") == month) & (pl.col("open_amount") > 0))
    for code, rows in currencies(view, owed):
        if code == currency:
            invoiced = total(rows["open_amount"])
            late = total(rows.filter(pl.col("days_past_due") > 0)["open_amount"])
            disputed = total(rows.filter(pl.col("disputed").fill_null(value=False))["open_amount"])
            return [
                _amount(name, value, currency, f"{percent(ratio(value, invoiced))} of the invoiced", tone="bad")
                if value
                else _amount(name, value, currency)
                for name, value in (("past due", late), ("disputed", disputed))
            ]
    return []


def _when(view: View, month: date) -> str:
    """Gives "December 2027, provisional" where the books of a contract are still open."""
    booked = contracts(view)
    if booked is None:
        return month_text(month)
    states = {provisional(view, str(contract), month) for contract in booked["contract_id"]}
    return f"{month_text(month)}, provisional" if True in states else month_text(month)


def might_buy(view: View, question: str, anchor: str) -> Answer:
    frame = need(view, EXPOSURE, "contract_id", "as_of_month", "vendor_fiscal_year", "max_exposure_amount")
    month, rows = latest(upto(view, frame, "as_of_month", EXPOSURE), "as_of_month")
    values, facts = [], []
    for currency, mine in currencies(view, rows):
        whole = total(mine["max_exposure_amount"])
        values.append(
            Value(
                money(whole, currency),
                plain(whole),
                _sql("sum(max_exposure_amount)", EXPOSURE, "as_of_month", month, _and_currency(frame, currency)),
            )
        )
        years = [int(year) for year in mine["vendor_fiscal_year"].unique().sort()]
        first = total(mine.filter(pl.col("vendor_fiscal_year") == years[0])["max_exposure_amount"])
        facts.append(_amount(f"of it in FY{years[0] % 100:02d}", first, currency, f"ends FY{years[-1] % 100:02d}"))
    caps = optional(view, CAPS, "contract_id", "service_month", "lifetime_cap_left_amount")
    if caps is not None:
        here = caps.filter(pl.col("service_month") == month)
        claimed = pick(caps, CAPS, "claimed_to_date_amount", "paid_to_date_amount")
        for currency, mine in currencies(view, here):
            paid, left = total(mine[claimed]), total(mine["lifetime_cap_left_amount"])
            used = ratio(paid, paid + left)
            facts.append(
                _amount("claims to date", paid, currency, f"{percent(used)} of the cap" if used is not None else "")
            )
    facts += _expected(view)
    return Answer(
        question,
        "maximum backstop exposure, undiscounted, not netted",
        values,
        facts,
        month_text(month),
        evidence(view, "backstop", EXPOSURE_TERMS),
        anchor=anchor,
    )


def _base_case(view: View) -> tuple[date, pl.DataFrame] | None:
    try:
        month, rows = draws(view)
    except CannotCompute:
        return None
    cases = [str(one) for one in rows["correlation_case"].unique().sort()]
    return month, rows.filter(pl.col("correlation_case") == ("base" if "base" in cases else cases[0]))


def _expected(view: View) -> list[Fact]:
    found = _base_case(view)
    if found is None:
        return [Fact("expected claims", missing(f"table {DISTRIBUTION} is not in this snapshot"))]
    facts = []
    for currency, mine in currencies(view, found[1]):
        facts.append(
            _amount("expected claims, simulated", total(mine["expected_amount"]), currency, "sum of contracts")
        )
        tail = quantile_column(mine, "es", "99")
        if tail:
            facts.append(
                _amount("in the worst 1\u00a0% of paths", total(mine[tail]), currency, "ES 99, contracts added")
            )
    return facts


def how_sure(view: View, question: str, anchor: str) -> Answer:
    counts = grade_counts(view)
    whole = sum(counts.values())
    weak = sum(count for grade, count in counts.items() if grade in {"assumed", "ungraded"})
    facts = [Fact("filed or quoted (P)", f"{number(counts.get('P', 0))} of {number(whole)}")]
    press = sum(count for grade, count in counts.items() if grade not in {"P", "assumed", "ungraded"})
    facts.append(Fact("press, analyst, inferred", f"{number(press)} of {number(whole)}"))
    found = _base_case(view)
    if found is not None:
        for _, mine in currencies(view, found[1]):
            worst = max(
                (
                    value
                    for row in mine.to_dicts()
                    if (value := ratio(row["standard_error_amount"], row["expected_amount"])) is not None
                ),
                default=None,
            )
            if worst is not None:
                facts.append(
                    Fact("error of the simulation", f"±{percent(worst, 2)}", "largest standard error over expected")
                )
        claims = [to_decimal(value) for value in found[1].to_dict(as_series=False).get("any_claim_probability", [])]
        known = [value for value in claims if value is not None]
        if known:
            span = percent(known[0]) if len(set(known)) == 1 else f"{percent(min(known))} to {percent(max(known))}"
            facts.append(Fact("chance of any claim", span, "by contract" if len(known) > 1 else ""))
    facts += _seen(view)
    try:
        checks = latest_checks(view)
        passed = int(checks["passed"].fill_null(value=False).sum())
        facts.append(
            Fact(
                "checks passed",
                f"{number(passed)} of {number(checks.height)}",
                tone="" if passed == checks.height else "bad",
            )
        )
    except CannotCompute as reason:
        facts.append(Fact("checks passed", missing(str(reason))))
    day = f"date '{view.as_of.isoformat()}'"
    sql = (
        f"select count(*) from {TERMS} where valid_from <= {day} and (valid_to is null or valid_to >= {day}) "
        "and coalesce(evidence_grade, 'assumed') = 'assumed' "
        "and not (evidence_grade is null and term like '%\\_id' escape '\\')"
    )
    book = contracts(view)
    if book is not None:
        only = " where is_booked" if "is_booked" in book.columns else ""
        sql += f" and contract_id in (select contract_id from core.dim_contract{only})"
    return Answer(
        question,
        "contract terms in force are assumed, not public",
        [Value(f"{number(weak)} of {number(whole)}", str(weak), sql)],
        facts,
        "",
        anchor=anchor,
    )


def _seen(view: View) -> list[Fact]:
    """How much of what is installed telemetry has seen: hours without a sample are neither busy nor idle."""
    try:
        month, parks = seen_hours(view)
    except CannotCompute as reason:
        return [Fact("GPU-hours seen by telemetry", missing(str(reason)))]
    installed, unseen = (total(hours[side] for hours in parks.values()) for side in (0, 1))
    part = ratio(installed - unseen, installed)
    if part is None:
        return []
    tone = "bad" if part < ENOUGH_COVERAGE else ""
    return [Fact("GPU-hours seen by telemetry", percent(part), short_month_text(month), tone=tone)]


def breaks_first(view: View, question: str, anchor: str) -> Answer:
    month, rows = covenant_rows(view)
    tested = [row for row in rows if row["relative"] is not None]
    if not tested:
        raise CannotCompute(f"no covenant of {COVENANTS} could be tested in {short_month_text(month)}")
    first = tested[0]
    parks = contract_parks(view)

    def name_of(row: Mapping[str, Any]) -> str:
        park = parks.get(row["contract_id"], clean(row["contract_id"]))
        return f"{sentence_case(words(row['covenant_id']))}, {park}"

    broken = [row for row in tested if row["passed"] is False]
    facts = [
        Fact(
            "measured", number(first["value"], 2), f"{must_be(first)} {number(first['threshold'], 2)} required".strip()
        ),
    ]
    if first["passed"] is False:
        facts.append(Fact("breached since", breached_since(view, first), tone="bad"))
    if first.get("consequence"):
        facts.append(Fact("consequence", words(first["consequence"])))
    facts.append(
        Fact("covenants breached now", f"{number(len(broken))} of {number(len(tested))}", tone="bad" if broken else "")
    )
    kept = next((row for row in tested if row["passed"] is not False), None)
    if broken and kept is not None:
        facts.append(Fact("next to break, headroom", percent(kept["relative"], signed=True), name_of(kept)))
    if kept is not None:
        facts += _breaking_levels(view, kept)
    untested = len(rows) - len(tested)
    if untested:
        facts.append(Fact("could not be tested", f"{number(untested)} of {number(len(rows))}", tone="bad"))
    facts += _breaking_scenarios(view)
    try:
        alerts = open_alerts(view)
        facts.append(Fact("open alerts", number(alerts.height), tone="bad" if alerts.height else ""))
    except CannotCompute as reason:
        facts.append(Fact("open alerts", missing(str(reason))))
    sql = f"select min(headroom / abs(threshold)) from {COVENANTS} where month = date '{month.isoformat()}'"
    return Answer(
        question,
        f"headroom of {name_of(first)}",
        [Value(percent(first["relative"], signed=True), plain(first["relative"]), sql)],
        facts,
        month_text(month),
        covenant_evidence(view, first),
        anchor=anchor,
        tone="bad" if broken else "",
    )


def _breaking_levels(view: View, covenant: Mapping[str, Any]) -> list[Fact]:
    """What it takes of each driver alone to break the covenant, by reverse stress; nothing where no driver does."""
    try:
        levels = reverse_levels(view)[1]
    except CannotCompute:
        return []
    found = []
    for driver, label, kind in DRIVERS:
        row = levels.get((covenant["contract_id"], f"covenant:{covenant['covenant_id']}", driver))
        if row is not None and row["level"] is not None:
            level = level_cell(row, kind).text
            said = {"%": level, "×": f"×\u00a0{level}", "bp": f"{level}\u00a0bp"}[kind]
            found.append(f"{label.lower()} {said}")
    return [Fact("breaks at, each alone", found[0], " or ".join(found[1:]))] if found else []


def _breaking_scenarios(view: View) -> list[Fact]:
    try:
        _, rows = stress_rows(view)
    except CannotCompute as reason:
        return [Fact("scenarios that break a covenant", missing(str(reason)))]
    found = broken_by_stress(rows)
    if found is None:
        return []
    already, broken, whole = found
    if broken is None:
        return []
    shown = join_words(broken[:2]) + (" …" if len(broken) > 2 else "")
    name = "scenarios that break one of another contract" if already else "scenarios that break one"
    return [Fact(name, f"{number(len(broken))} of {number(whole)}", shown)]
