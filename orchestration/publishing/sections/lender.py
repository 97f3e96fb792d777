"""A lender's covenant certificate: each test with its formula, the figures that it is made of, and what stands behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from orchestration.publishing.formats import (
    clean,
    count_text,
    money_scale,
    month_text,
    number,
    sentence_case,
    short_month_text,
    term_text,
    unit_text,
    words,
)
from orchestration.publishing.page import Block, Cell, Column, Fact, Prose, Row, Table, absent, figure, text
from orchestration.publishing.sections.headline import Answer, Value
from orchestration.publishing.sections.risk import (
    BREACHED,
    COVENANTS,
    OPERATORS,
    breached_since,
    covenant_evidence,
    covenant_rows,
    must_be,
    outcome,
)
from orchestration.publishing.view import (
    CannotCompute,
    View,
    currencies,
    evidence,
    grade_rank,
    last_months,
    need,
    optional,
    provisional,
    terms_in_force,
    total,
    upto,
)

# What a covenant measures, in words; the window is the lookback of its row.
FORMULAS = {
    "dscr": "Σ cash flow available for debt service ÷ Σ debt service over the lookback",
    "llcr": "present value of the run rate's cash flow to maturity ÷ debt outstanding",
    "ltv": "debt outstanding ÷ value of the hardware in service, at the month's end",
    "min_occupancy": "mean of leased ÷ available GPU-hours over the lookback",
    "min_contracted_coverage": "GPU-hours leased for the next twelve months ÷ those of the GPUs in service",
    "leverage": "debt outstanding ÷ cash flow of a year at the run rate",
    "concentration": "revenue of the largest tenant ÷ revenue over the lookback",
    "pledged_revenue": "share and debt service ÷ revenue of the month",
    "pledged_assets": "collateral after haircut ÷ value of the hardware in service",
    "min_liquidity": "(cash + undrawn facilities) ÷ costs and debt service of a month at the run rate, in months",
    "rating": "the operator's rating, 1 for AAA to 22 for default, changes by credit events included",
}
CERTIFIED_MONTHS = 12
_LINE = "_" * 28  # fits a phone beside the longest word


def verdict(view: View, question: str, anchor: str) -> Answer:
    """How many covenants are kept; those that could not be tested are counted apart, never as kept."""
    month, rows = covenant_rows(view)
    states = [row["passed"] for row in rows]
    tested = [state for state in states if state is not None]
    facts = [
        Fact("breached", number(states.count(False)), tone="bad" if False in states else ""),
        Fact("could not be tested", number(states.count(None)), tone="bad" if None in states else ""),
    ]
    facts += [
        Fact(sentence_case(words(row["covenant_id"])), f"breached since {breached_since(view, row)}", tone="bad")
        for row in rows
        if row["passed"] is False
    ]
    is_open = provisional(view, str(rows[0]["contract_id"]), month)
    return Answer(
        question,
        "covenants are kept",
        [Value(f"{number(tested.count(True))} of {number(len(rows))}", str(tested.count(True)), "")],
        facts,
        f"{month_text(month)}{', provisional: the month is not closed' if is_open else ''}",
        evidence(view, "covenants", ".", str(rows[0]["contract_id"])),
        anchor=anchor,
        tone="bad" if False in states else "",
    )


def tests(view: View) -> Sequence[Block]:
    """Each covenant: what it measures, threshold, value, headroom, what a breach brings."""
    month, rows = covenant_rows(view)
    out = []
    for row in rows:
        reason = words(row.get("value_null_reason") or "not tested this month")
        found = covenant_evidence(view, row)
        cure = row.get("cure_days")
        out.append(
            Row(
                Cell(sentence_case(words(row["covenant_id"]))),
                [
                    text(FORMULAS.get(str(row.get("metric")), words(row.get("metric") or ""))),
                    figure(row.get("lookback_months"), reason="at the month's end"),
                    figure(row["value"], 3, reason=reason),
                    Cell(
                        f"{must_be(row)} {number(row['threshold'], 3)}".strip(),
                        grade=found.grade if found else "",
                    ),
                    figure(row["headroom"], 3, reason=reason, signed=True),
                    _months_to_breach(row, reason),
                    outcome(row["passed"]),
                    text(words(row.get("consequence") or "")),
                    figure(cure, reason="none agreed"),
                ],
            )
        )
    head = [
        Column("Covenant", "text"),
        Column("Measures", "text"),
        Column("Lookback", unit="months"),
        Column("Value"),
        Column("Required", "text"),
        Column("Headroom"),
        Column("To breach", unit="months, by trend"),
        Column("Test", "text"),
        Column("A breach brings", "text"),
        Column("Cure", unit="days"),
    ]
    return [Table("Covenants as tested", head, out, COVENANTS, as_of=month_text(month))]


def _months_to_breach(row: Mapping[str, Any], reason: str) -> Cell:
    """By the trend, how many months are left; a breach that is there is no dash."""
    if row["passed"] is False:
        return BREACHED
    return figure(row.get("months_to_breach"), 1, reason=reason if row["value"] is None else "moves away from it")


def history(view: View) -> Sequence[Block]:
    """The headroom of each covenant, month by month."""
    frame = need(view, COVENANTS, "contract_id", "covenant_id", "month", "value", "headroom", "passed")
    kept = last_months(upto(view, frame, "month", COVENANTS), "month", CERTIFIED_MONTHS)
    ids = kept["covenant_id"].unique().sort().to_list()
    by_key = {(row["month"], row["covenant_id"]): row for row in kept.to_dicts()}
    out = []
    for month in kept["month"].unique().sort(descending=True):
        cells = []
        for one in ids:
            row = by_key.get((month, one))
            cell = figure(row["value"] if row else None, 3, reason="not tested")
            tone = "bad" if row and row["passed"] is False else ""
            cells.append(Cell(cell.text, cell.kind, cell.exact, cell.reason, tone=tone))
        out.append(Row(Cell(short_month_text(month)), cells))
    head = [Column("Month", "text"), *[Column(sentence_case(words(one))) for one in ids]]
    notes = ["Red: the test of that month was not met."]
    return [Table("Values, month by month", head, out, COVENANTS, notes=notes)]


def cash_flow(view: View) -> Sequence[Block]:
    """From revenue to debt service, with debt and collateral: what the ratios are made of."""
    frame = need(view, OPERATORS, "operator_id", "month", "cfads_amount", "debt_service_amount")
    kept = last_months(upto(view, frame, "month", OPERATORS), "month", CERTIFIED_MONTHS)
    flows = [
        (column, label)
        for column, label in (
            ("revenue_amount", "Revenue"),
            ("claim_income_amount", "Claims"),
            ("share_amount", "Share"),
            ("power_amount", "Power"),
            ("land_amount", "Land"),
            ("operation_amount", "Operation"),
            ("cfads_amount", "CFADS"),
            ("interest_amount", "Interest"),
            ("principal_amount", "Principal"),
        )
        if column in kept.columns
    ]
    stocks = [
        (column, label)
        for column, label in (("debt_outstanding_amount", "Debt"), ("collateral_value_amount", "Collateral"))
        if column in kept.columns
    ]
    blocks: list[Block] = []
    for currency, mine in currencies(view, kept.sort("month", descending=True)):
        scale = money_scale(value for column, _ in flows for value in mine[column])
        out = [
            Row(
                Cell(short_month_text(row["month"])),
                [
                    figure(row[column], scale.digits, scale.divisor, reason="not given")
                    for column, _ in (*flows, *stocks)
                ]
                + [figure(row.get("dscr"), 2, reason=clean(row.get("dscr_null_reason") or "no debt service"))],
            )
            for row in mine.to_dicts()
        ]
        sums = [figure(total(mine[column]), scale.digits, scale.divisor) for column, _ in flows]
        cfads, service = total(mine["cfads_amount"]), total(mine["debt_service_amount"])
        out.append(
            Row(
                Cell(count_text(mine.height, "month", "months")),
                [
                    *sums,
                    *[Cell("") for _ in stocks],
                    figure(cfads / service if service else None, 2, reason="no debt service"),
                ],
                "total",
            )
        )
        head = [Column("Month", "text"), *[Column(label) for _, label in (*flows, *stocks)], Column("DSCR")]
        notes = [
            (
                "CFADS: cash flow available for debt service, revenue and claims less share, power, land and operation; accruals "
                "stand for cash. Rows are rounded one by one; the totals are those of the exact amounts."
            )
        ]
        blocks.append(
            Table("What the ratios are made of", head, out, OPERATORS, unit_text(currency, scale), notes=notes)
        )
    return blocks


# What a lender asks of the deal beside the ratios: (subject, instrument, pattern of the term).
PROTECTIONS = (
    ("The vendor signs with the lender (direct agreement)", "backstop", "^lender_direct_agreement"),
    ("The lender may step in", "backstop", "^step_in"),
    ("The backstop outlives the operator's insolvency", "backstop", "^survives_operator_insolvency"),
    ("The operator may take capacity out", "backstop", "^seller_withdrawal.allowed"),
    ("Claims may be set off against the share", "backstop", "^set_off.enforceable"),
    ("The backstop ends early on", "backstop", "^early_termination.*ground"),
    ("The vendor stands behind the hardware's residual value", "backstop", "^residual_value_support"),
    ("Seniority of the share", "revenue_share", "^seniority"),
    ("Pledged to the vendor", "collateral", "collateral_type$"),
    ("Cross-collateral is excluded", "pledge_limits", "^no_cross_collateral"),
    ("At most so much may be pledged", "pledge_limits", "^pledge_cap_pct"),
    ("At most so much of future revenue may be pledged", "pledge_limits", "^max_future_revenue_pct"),
)


def protections(view: View) -> Sequence[Block]:
    """What the deal says of what a lender asks; what is not agreed, or not public, says so."""
    return [agreed("What the deal says", PROTECTIONS, view)]


def agreed(caption: str, subjects: Sequence[tuple[str, str, str]], view: View) -> Table:
    """A row for each subject and contract: what is agreed with its grade and source, or that nothing is known of it; one row
    for all contracts where that is so of each.
    """
    terms = terms_in_force(view)
    contracts = sorted(terms["contract_id"].unique().to_list())
    nothing = absent("nothing agreed, or not public")
    out = []
    for subject, instrument, pattern in subjects:
        of_subject = terms.filter((pl.col("instrument") == instrument) & pl.col("term").str.contains(pattern))
        if of_subject.is_empty() and len(contracts) > 1:
            out.append(Row(Cell(subject), [Cell("all contracts"), nothing, Cell("")]))
            continue
        for contract in contracts:
            found = of_subject.filter(pl.col("contract_id") == contract).to_dicts()
            said = ", ".join(term_text(str(row["term"]), str(row["value_text"])) for row in found)
            grades = [str(row["evidence_grade"] or "ungraded") for row in found]
            out.append(
                Row(
                    Cell(subject),
                    [
                        Cell(clean(contract), kind="code"),
                        text(clean(said), grade=max(grades, key=grade_rank)) if said else nothing,
                        text(clean(found[0].get("source") or "")) if found else Cell(""),
                    ],
                )
            )
    head = [
        Column("Subject", "text"),
        Column("Contract", "text"),
        Column("Says, and grade", "text"),
        Column("Source", "text"),
    ]
    return Table(caption, head, out, "core.fct_contract_terms")


def attestation(view: View) -> Sequence[Block]:
    """What the certificate rests on, and the lines to sign."""
    runs = view.manifest.get("run_id")
    known = optional(view, "core.dim_operator", "operator_name")
    operator = clean(known["operator_name"][0]) if known is not None else "the operator"
    if not runs:
        raise CannotCompute("the manifest names no run")
    return [
        Prose(
            [
                (
                    f"Prepared from the published snapshot of run {clean(runs)}. Values are computed from metered hours, leases, "
                    "adjustments and payments of the park, and from the terms and loans that the home's files state; their grades "
                    "stand beside them. What could not be tested is not certified."
                ),
                f"Certified for {operator} by:",
                *(f"{said} {_LINE}" for said in ("Name", "Office", "Date", "Signature")),
            ]
        )
    ]
