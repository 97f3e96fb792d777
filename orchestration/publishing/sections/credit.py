"""Receivables (roll-forward, ageing, days outstanding) and credit loss (scenarios, standards, allowance)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.publishing import charts
from orchestration.publishing.formats import (
    WHOLE,
    clean,
    money,
    money_scale,
    month_text,
    number,
    percent,
    sentence_case,
    short_day_text,
    short_month_text,
    to_decimal,
    unit_text,
    words,
)
from orchestration.publishing.page import (
    Block,
    Cell,
    Column,
    Drawing,
    Drawings,
    Missing,
    Prose,
    Row,
    Section,
    Table,
    absent,
    build,
    figure,
    footed_column,
    footed_grid,
    share_of,
)
from orchestration.publishing.sections.movements import (
    ALLOWANCE_LINES,
    ROLLFORWARD_LINES,
    allowance_movements,
    receivable_movements,
)
from orchestration.publishing.view import (
    CHART_MONTHS,
    CannotCompute,
    View,
    contract_parks,
    currencies,
    grade_rank,
    last_months,
    latest,
    months_of,
    need,
    optional,
    total,
    upto,
    vendor_text,
)

ROLL = "credit.fct_receivable_rollforward_month"
AGEING = "credit.fct_ageing_month"
METRICS = "credit.fct_collection_metrics_month"
QUARTER = "issuer.fct_issuer_quarter"
FACTS = "issuer.fct_issuer_fact"
LOSS = "credit.fct_credit_loss_month"
ALLOWANCE = "credit.fct_allowance_rollforward_month"
MATRIX = "credit.fct_provision_matrix_month"
BUCKETS = ("current", "1-30", "31-60", "61-90", "91-120", ">120")
STANDARDS = {"cecl": "CECL", "ifrs9": "IFRS 9"}
HORIZONS = {"lifetime": "lifetime", "twelve_month": "12-month"}


def receivables(view: View) -> Section:
    """What is invoiced and open, how old it is, and how fast it is paid."""
    return build(
        view,
        "receivables",
        "Receivables",
        "What is invoiced and unpaid, how old is it, and how fast does it turn into cash?",
        [
            (
                "the movement of receivables",
                lambda seen: [Prose([one.sentence() for one in receivable_movements(seen)])],
            ),
            ("the roll-forward of receivables", _rollforward),
            ("receivables, ageing and days outstanding", _receivable_charts),
            ("ageing", ageing_table),
            ("collection metrics", _metrics_table),
            ("the issuer's own ratios", _issuer_table),
        ],
    )


def _signed_lines(row: Mapping[str, Any], lines: Mapping[str, tuple[str, int]]) -> list[Decimal]:
    return [sign * (to_decimal(row[column]) or Decimal(0)) for column, (_, sign) in lines.items() if column in row]


def roll_table(  # noqa: PLR0917  a table is its words
    rows: Sequence[dict[str, Any]],
    lines: Mapping[str, tuple[str, int]],
    heads: Sequence[Cell],
    whole: str,
    caption: str,
    source: str,
    currency: str,
    as_of: str,
    first: str,
    notes: Sequence[str] = (),
) -> Table:
    """A roll-forward: opening and signed movements across, closing as their sum, contracts down, everything footing.

    Where opening and movements do not lead to the published closing, a note says by how much.
    """
    scale = money_scale([row["closing_amount"] for row in rows] + [row["opening_amount"] for row in rows])
    values = [[to_decimal(row["opening_amount"]) or Decimal(0), *_signed_lines(row, lines)] for row in rows]
    grid = footed_grid(values, scale)
    gaps = [
        (to_decimal(row["closing_amount"]) or Decimal(0)) - sum(line, Decimal(0))
        for row, line in zip(rows, values, strict=True)
    ]
    told = list(notes)
    told += [
        f"{head.text}: the published closing amount differs from the sum of its lines by {money(gap, currency)}."
        for head, gap in zip(heads, gaps, strict=True)
        if gap
    ]
    out = [Row(head, line) for head, line in zip(heads, grid, strict=False)]
    out.append(Row(Cell(whole), grid[-1], "total"))
    shown = [label for column, (label, _) in lines.items() if rows and column in rows[0]]
    head_row = [
        Column(first, "text"),
        Column("Opening"),
        *[Column(sentence_case(label)) for label in shown],
        Column("Closing"),
    ]
    return Table(caption, head_row, out, source, unit=unit_text(currency, scale), as_of=as_of, notes=told)


def _rollforward(view: View) -> Sequence[Block]:
    frame = need(view, ROLL, "contract_id", "month", "opening_amount", "closing_amount")
    month, rows = latest(upto(view, frame, "month", ROLL), "month")
    blocks: list[Block] = []
    for currency, mine in currencies(view, rows.sort("contract_id")):
        notes = []
        if "control_account_amount" in mine.columns:
            gap = total(mine["closing_amount"]) - total(mine["control_account_amount"])
            notes.append(
                "The sub-ledger equals the control account of the ledger."
                if gap == 0
                else f"The sub-ledger differs from the control account of the ledger by {money(gap, currency)}."
            )
        blocks.append(
            roll_table(
                mine.to_dicts(),
                ROLLFORWARD_LINES,
                [Cell(clean(one), kind="code") for one in mine["contract_id"]],
                "All contracts",
                "Roll-forward of trade receivables",
                ROLL,
                currency,
                month_text(month),
                "Contract",
                notes,
            )
        )
    return blocks


def _receivable_charts(view: View) -> Sequence[Block]:
    items: list[Drawing] = []
    frame = need(view, ROLL, "contract_id", "month", "closing_amount")
    frame = last_months(upto(view, frame, "month", ROLL), "month", CHART_MONTHS)
    for index, (currency, mine) in enumerate(currencies(view, frame)):
        summed = mine.group_by("month").agg(pl.col("closing_amount").sum()).sort("month").to_dicts()
        scale = money_scale(row["closing_amount"] for row in summed)
        last = summed[-1]
        items.append(
            Drawing(
                charts.bars(
                    f"chart-receivable-{index}",
                    "Trade receivables at month end",
                    f"{money(last['closing_amount'], currency)} at the end of {month_text(last['month'])}.",
                    [(row["month"], float(total([row["closing_amount"]]) / scale.divisor)) for row in summed],
                    last_text=number(last["closing_amount"], scale.digits, scale.divisor),
                ),
                unit_text(currency, scale),
                ROLL,
            )
        )
    blocks: list[Block] = []
    for builder in (_ageing_chart, _dso_chart):
        try:
            items.extend(builder(view))
        except CannotCompute as reason:
            blocks.append(Missing("a chart of receivables", str(reason)))
    return [Drawings(items), *blocks]


def _ageing_chart(view: View) -> list[Drawing]:
    frame = need(view, AGEING, "contract_id", "month", "bucket", "open_amount")
    month, rows = latest(upto(view, frame, "month", AGEING), "month")
    items = []
    for index, (currency, mine) in enumerate(currencies(view, rows)):
        sums = {bucket: total(mine.filter(pl.col("bucket") == bucket)["open_amount"]) for bucket in _buckets(mine)}
        if "disputed_amount" in mine.columns:
            sums["disputed"] = total(mine["disputed_amount"])
        scale = money_scale(sums.values())
        bars = [
            charts.Bar(
                _bucket_text(bucket),
                float(amount / scale.divisor),
                number(amount, scale.digits, scale.divisor),
                "blue" if bucket == "current" else "red",
            )
            for bucket, amount in sums.items()
        ]
        items.append(
            Drawing(
                charts.rows(
                    f"chart-ageing-{index}",
                    "Open items by days past due",
                    f"{month_text(month)}: " + ", ".join(f"{bar.name} {bar.text}" for bar in bars) + ".",
                    bars,
                    name_width=92,
                ),
                f"{unit_text(currency, scale)}, {month_text(month)}",
                AGEING,
            )
        )
    return items


def _buckets(frame: pl.DataFrame) -> list[str]:
    """The buckets of what is open. Unapplied cash is no part of it: it has a column of its own beside them."""
    there = [str(one) for one in frame["bucket"].unique().sort()]
    if "unapplied_amount" in frame.columns:
        there = [one for one in there if one != "unapplied"]
    return [one for one in BUCKETS if one in there] + [one for one in there if one not in BUCKETS]


def _bucket_text(bucket: str) -> str:
    return (
        f"{clean(bucket).replace('-', '–')} days"
        if any(sign.isdigit() for sign in bucket)
        else sentence_case(words(bucket))
    )


def _dso_chart(view: View) -> list[Drawing]:
    frame = need(view, METRICS, "contract_id", "month", "dso_days")
    frame = last_months(upto(view, frame, "month", METRICS), "month", CHART_MONTHS).sort("month")
    parks = contract_parks(view)
    months = months_of(frame, "month")
    series = []
    tokens = iter(("blue", "teal", "ochre", "plum"))
    for contract in frame["contract_id"].unique().sort():
        values = {row["month"]: row["dso_days"] for row in frame.filter(pl.col("contract_id") == contract).to_dicts()}
        known = [value for value in values.values() if value is not None]
        if not known:
            continue
        colour = next(tokens, None)
        if colour is None:
            break
        name = parks.get(str(contract), clean(contract)).split(" ")[0]
        series.append(
            charts.Series(
                str(contract),
                [(month, None if values.get(month) is None else float(values[month])) for month in months],
                colour,
                f"{name[:9]} {number(known[-1])}",
            )
        )
    quarters = view.tables.get(QUARTER)
    if quarters is not None and {"fiscal_period_end", "dso_days"} <= set(quarters.columns):
        filed = quarters.filter(pl.col("dso_days").is_not_null() & (pl.col("fiscal_period_end") <= view.as_of))
        if not filed.is_empty():
            last = filed.sort("fiscal_period_end").to_dicts()[-1]
            level = float(last["dso_days"])
            # A level, since the issuer's quarters end before most of these months: the label names the quarter.
            series.append(
                charts.Series(
                    "filed",
                    [(month, level) for month in months],
                    "slate",
                    f"{vendor_text(view).removeprefix('the ').split(' ')[0][:9]} {number(level)}",
                    dashed=True,
                )
            )
    if not series:
        raise CannotCompute(f"table {METRICS} has no days outstanding yet")
    return [
        Drawing(
            charts.lines(
                "chart-dso",
                "Days sales outstanding",
                f"{month_text(months[-1])}: " + ", ".join(one.label for one in series) + " days.",
                series,
                y_format=",.0f",
            ),
            f"days; dashed: {vendor_text(view)}'s last filed quarter",
            f"{METRICS}, {QUARTER}",
        )
    ]


def ageing_table(view: View) -> Sequence[Block]:
    frame = need(view, AGEING, "contract_id", "month", "bucket", "open_amount")
    month, rows = latest(upto(view, frame, "month", AGEING), "month")
    blocks: list[Block] = []
    for currency, mine in currencies(view, rows):
        buckets = _buckets(mine)
        contracts = mine["contract_id"].unique().sort().to_list()
        open_by = {(row["contract_id"], row["bucket"]): row["open_amount"] for row in mine.to_dicts()}
        values = [[total([open_by.get((contract, bucket))]) for bucket in buckets] for contract in contracts]
        beside = {
            column: [total(mine.filter(pl.col("contract_id") == one)[column]) for one in contracts]
            for column in ("disputed_amount", "unapplied_amount")
            if column in mine.columns
        }
        disputed = beside.pop("disputed_amount", [])
        if disputed:
            values = [[*row, part] for row, part in zip(values, disputed, strict=True)]
        scale = money_scale(cell for row in values for cell in row)
        grid = footed_grid(values, scale)
        sides = {column: footed_column(amounts, scale) for column, amounts in beside.items()}
        out = [
            Row(Cell(clean(contract), kind="code"), [*grid[index], *[cells[index] for cells, _ in sides.values()]])
            for index, contract in enumerate(contracts)
        ]
        out.append(Row(Cell("All contracts"), [*grid[-1], *[whole for _, whole in sides.values()]], "total"))
        head = [
            Column("Contract", "text"),
            *[Column(_bucket_text(bucket)) for bucket in buckets],
            *([Column("Disputed")] if disputed else []),
            Column("Receivable"),
            *[Column(sentence_case(words(column.removesuffix("_amount")))) for column in sides],
        ]
        blocks.append(
            Table(
                "Ageing by contractual due date",
                head,
                out,
                AGEING,
                unit=unit_text(currency, scale),
                as_of=month_text(month),
                notes=["Disputed items stand in no bucket of days; unapplied cash is no part of the receivable."],
            )
        )
    return blocks


METRIC_COLUMNS = (
    ("dso_days", "DSO", "days", 1),
    ("countback_dso_days", "Count-back DSO", "days", 1),
    ("best_possible_dso_days", "Best possible DSO", "days", 1),
    ("average_days_delinquent", "Average delinquent", "days", 1),
    ("receivables_turnover", "Turnover", "times a year", 2),
    ("collection_effectiveness_fraction", "Collection effectiveness", "%", 1),
)


def _metrics_table(view: View) -> Sequence[Block]:
    frame = need(view, METRICS, "contract_id", "month", "dso_days", "receivables_turnover")
    month, rows = latest(upto(view, frame, "month", METRICS), "month")
    shown = [column for column in METRIC_COLUMNS if column[0] in rows.columns]
    out = []
    for row in rows.sort("contract_id").to_dicts():
        cells = []
        for column, _, unit, digits in shown:
            reason = clean(row.get(f"{column}_null_reason") or "no reason published")
            cells.append(
                share_of(row[column], digits, reason=reason)
                if unit == "%"
                else figure(row[column], digits, reason=reason)
            )
        out.append(Row(Cell(clean(row["contract_id"]), kind="code"), cells))
    head = [
        Column("Contract", "text"),
        *[Column(label, unit="" if unit == "%" else unit) for _, label, unit, _ in shown],
    ]
    return [Table("How fast receivables are collected", head, out, METRICS, as_of=month_text(month))]


def _issuer_table(view: View) -> Sequence[Block]:
    frame = need(view, QUARTER, "issuer_id", "fiscal_period_end", "revenue", "accounts_receivable", "dso_days")
    frame = frame.filter(pl.col("fiscal_period_end") <= view.as_of)
    if frame.is_empty():
        raise CannotCompute(f"table {QUARTER} has no quarter up to {short_day_text(view.as_of)}")
    rows = frame.sort("fiscal_period_end", descending=True).head(8).to_dicts()
    grades = _grades_of_facts(view)

    def graded(row: Mapping[str, Any], column: str, reason: str) -> Cell:
        value = row.get(column)
        found = (
            grades.get((row["issuer_id"], row["fiscal_period_end"], to_decimal(value))) if value is not None else None
        )
        return replace(figure(value, reason=reason), grade=found or "")

    out = [
        Row(
            Cell(clean(row.get("fiscal_label") or short_day_text(row["fiscal_period_end"]))),
            [
                Cell(short_day_text(row["fiscal_period_end"])),
                graded(row, "revenue", "not filed"),
                graded(row, "accounts_receivable", "not filed"),
                figure(row["dso_days"], 1, reason=clean(row.get("dso_days_null_reason") or "not filed")),
                figure(
                    row.get("receivables_turnover"),
                    2,
                    reason=clean(row.get("receivables_turnover_null_reason") or "no opening receivable"),
                ),
                graded(row, "allowance", "not in the issuer facts"),
                graded(row, "equity", "not filed"),
            ],
        )
        for row in rows
    ]
    head = [
        Column("Quarter", "text"),
        Column("Ended", "text"),
        Column("Revenue"),
        Column("Receivables"),
        Column("DSO", unit="days"),
        Column("Turnover", unit="times a year"),
        Column("Allowance"),
        Column("Equity"),
    ]
    return [
        Table(
            f"{sentence_case(vendor_text(view))}'s own ratios from its filings",
            head,
            out,
            QUARTER,
            unit="USD m unless said",
            notes=["DSO and turnover are no better than the figures that they are made of."],
        )
    ]


def _grades_of_facts(view: View) -> dict[tuple[Any, Any, Decimal | None], str]:
    """The best grade in which a figure of an issuer's period is stated, by issuer, period and value."""
    facts = optional(view, FACTS, "issuer_id", "fiscal_period_end", "value", "evidence_grade")
    best: dict[tuple[Any, Any, Decimal | None], str] = {}
    for row in facts.to_dicts() if facts is not None else ():
        key = (row["issuer_id"], row["fiscal_period_end"], to_decimal(row["value"]))
        grade = clean(row["evidence_grade"] or "ungraded")
        best[key] = min(grade, best.get(key, grade), key=grade_rank)
    return best


def credit_loss(view: View) -> Section:
    """Expected credit loss under both standards and every scenario, and the allowance."""
    return build(
        view,
        "credit-loss",
        "Credit loss",
        "What is expected to be lost of what is owed, and how far do the standards differ?",
        [
            (
                "the movement of the allowance",
                lambda seen: [Prose([one.sentence() for one in allowance_movements(seen)])],
            ),
            ("expected credit loss by scenario", _loss_charts),
            ("expected credit loss by standard and scenario", _loss_table),
            ("the roll-forward of the allowance", _allowance),
            ("the provision matrix", _matrix),
        ],
    )


def _loss_rows(view: View) -> tuple[Any, pl.DataFrame]:
    frame = need(
        view, LOSS, "contract_id", "month", "standard", "scenario", "horizon", "expected_credit_loss_amount", "weight"
    )
    return latest(upto(view, frame, "month", LOSS), "month")


def weighted(rows: pl.DataFrame) -> Decimal | None:
    """Σ weight × loss over scenarios, as published where it is; None where the weights do not sum to one."""
    if "weighted_amount" in rows.columns and rows["weighted_amount"].null_count() == 0:
        return total(rows["weighted_amount"])
    published = rows.filter(pl.col("scenario") == "weighted")
    if not published.is_empty():
        return total(published["expected_credit_loss_amount"])
    result = Decimal(0)
    for contract in rows["contract_id"].unique().sort():
        mine = rows.filter(pl.col("contract_id") == contract).to_dicts()
        if abs(total(row["weight"] for row in mine) - 1) > Decimal("0.000000001"):
            return None
        result += sum(
            ((to_decimal(row["weight"]) or Decimal(0)) * total([row["expected_credit_loss_amount"]]) for row in mine),
            Decimal(0),
        )
    return result


def _kinds(rows: pl.DataFrame) -> list[tuple[str, str]]:
    there = {
        (str(row["standard"]), str(row["horizon"])) for row in rows.select("standard", "horizon").unique().to_dicts()
    }
    order = [(standard, horizon) for standard in STANDARDS for horizon in HORIZONS]
    return [pair for pair in order if pair in there] + sorted(there - set(order))


def _kind_text(standard: str, horizon: str) -> str:
    return f"{STANDARDS.get(standard, words(standard))}, {HORIZONS.get(horizon, words(horizon))}"


def _loss_charts(view: View) -> Sequence[Block]:
    month, rows = _loss_rows(view)
    items = []
    for index, (currency, mine) in enumerate(currencies(view, rows)):
        scale = money_scale(mine["expected_credit_loss_amount"])
        scenarios = [str(one) for one in mine["scenario"].unique().sort() if one != "weighted"]
        strips = []
        for standard, horizon in _kinds(mine):
            kept = mine.filter((pl.col("standard") == standard) & (pl.col("horizon") == horizon))
            marks = []
            for scenario in scenarios:
                value = total(kept.filter(pl.col("scenario") == scenario)["expected_credit_loss_amount"])
                marks.append(charts.Mark(float(value / scale.divisor), words(scenario), "slate", "tick"))
            mean = weighted(kept)
            label = _kind_text(standard, horizon)
            if mean is not None:
                label += f": {number(mean, scale.digits, scale.divisor)} weighted"
                marks.append(charts.Mark(float(mean / scale.divisor), "", "blue", "circle"))
            strips.append(charts.Strip(label, marks))
        items.append(
            Drawing(
                charts.strips(
                    f"chart-loss-{index}",
                    "Expected credit loss by scenario",
                    f"{month_text(month)}, {unit_text(currency, scale)}: "
                    + "; ".join(one.name for one in strips)
                    + ".",
                    strips,
                    axis_format=",.1f",
                    unit=unit_text(currency, scale),
                ),
                f"{unit_text(currency, scale)}, {month_text(month)}; square: weighted, ticks: scenarios",
                LOSS,
            )
        )
    trend = _allowance_chart(view)
    return [Drawings([*items, *trend])]


def _allowance_chart(view: View) -> list[Drawing]:
    frame = need(view, ALLOWANCE, "contract_id", "month", "standard", "closing_amount")
    frame = last_months(upto(view, frame, "month", ALLOWANCE), "month", CHART_MONTHS)
    items = []
    for index, (currency, mine) in enumerate(currencies(view, frame)):
        summed = mine.group_by("month", "standard").agg(pl.col("closing_amount").sum()).sort("month")
        scale = money_scale(summed["closing_amount"])
        months = months_of(summed, "month")
        series = []
        for standard, colour, dashed in (("cecl", "blue", False), ("ifrs9", "teal", True)):
            values = {
                row["month"]: row["closing_amount"] for row in summed.filter(pl.col("standard") == standard).to_dicts()
            }
            if values:
                last = total([values[max(values)]])
                series.append(
                    charts.Series(
                        standard,
                        [
                            (month, float(total([values[month]]) / scale.divisor) if month in values else None)
                            for month in months
                        ],
                        colour,
                        f"{STANDARDS[standard]} {number(last, scale.digits, scale.divisor)}",
                        dashed,
                    )
                )
        if series:
            items.append(
                Drawing(
                    charts.lines(
                        f"chart-allowance-{index}",
                        "Allowance for credit losses",
                        f"{month_text(months[-1])}, {unit_text(currency, scale)}: "
                        + ", ".join(one.label for one in series)
                        + ".",
                        series,
                        y_format=",.1f",
                    ),
                    unit_text(currency, scale),
                    ALLOWANCE,
                )
            )
    return items


def _stages(rows: pl.DataFrame) -> str:
    return ", ".join(sorted({str(one) for one in rows["stage"].drop_nulls()})) if "stage" in rows.columns else ""


def _loss_table(view: View) -> Sequence[Block]:
    month, rows = _loss_rows(view)
    blocks: list[Block] = []
    for currency, mine in currencies(view, rows):
        scale = money_scale(mine["expected_credit_loss_amount"])
        scenarios = [str(one) for one in mine["scenario"].unique().sort() if one != "weighted"]
        weights = {
            scenario: sorted({percent(value, 0) for value in mine.filter(pl.col("scenario") == scenario)["weight"]})
            for scenario in scenarios
        }
        out = []
        for standard, horizon in _kinds(mine):
            kept = mine.filter((pl.col("standard") == standard) & (pl.col("horizon") == horizon))
            contracts = kept["contract_id"].unique().sort().to_list()
            by_contract = [kept.filter(pl.col("contract_id") == contract) for contract in contracts]
            grid = [
                footed_column(
                    [
                        total(here.filter(pl.col("scenario") == one)["expected_credit_loss_amount"])
                        for here in by_contract
                    ],
                    scale,
                )
                for one in scenarios
            ]
            means = [weighted(here) for here in by_contract]
            mean_cells, mean_all = footed_column(means, scale)
            if None in means:
                mean_all = absent("weights do not sum to one")
            for index, contract in enumerate(contracts):
                stages = _stages(by_contract[index]) if standard == "ifrs9" else ""
                out.append(
                    Row(
                        Cell(_kind_text(standard, horizon)),
                        [
                            Cell(clean(contract), kind="code"),
                            Cell(stages) if stages else Cell("none", tone="quiet"),
                            *[cells[index] for cells, _ in grid],
                            mean_cells[index],
                        ],
                    )
                )
            out.append(
                Row(
                    Cell(_kind_text(standard, horizon)),
                    [Cell("all contracts"), Cell(""), *[whole for _, whole in grid], mean_all],
                    "total",
                )
            )
        head = [
            Column("Standard and horizon", "text"),
            Column("Contract", "text"),
            Column("Stage", "text"),
            *[Column(sentence_case(words(one)), unit=f"weight {'/'.join(weights[one])}") for one in scenarios],
            Column("Weighted"),
        ]
        blocks.append(
            Table(
                "Expected credit loss: CECL beside IFRS 9",
                head,
                out,
                LOSS,
                unit=unit_text(currency, scale),
                as_of=month_text(month),
                notes=["Results are weighted, never inputs."],
            )
        )
    return blocks


def _allowance(view: View) -> Sequence[Block]:
    frame = need(
        view, ALLOWANCE, "contract_id", "month", "standard", "opening_amount", "closing_amount", "provision_amount"
    )
    month, rows = latest(upto(view, frame, "month", ALLOWANCE), "month")
    blocks: list[Block] = []
    for currency, mine in currencies(view, rows):
        for standard in sorted(str(one) for one in mine["standard"].unique()):
            here = mine.filter(pl.col("standard") == standard).sort("contract_id")
            title = f"Roll-forward of the allowance, {STANDARDS.get(standard, words(standard))}"
            blocks.append(
                roll_table(
                    here.to_dicts(),
                    ALLOWANCE_LINES,
                    [Cell(clean(one), kind="code") for one in here["contract_id"]],
                    "All contracts",
                    title,
                    ALLOWANCE,
                    currency,
                    month_text(month),
                    "Contract",
                )
            )
    return blocks


def _matrix(view: View) -> Sequence[Block]:
    columns = ("bucket", "open_amount", "loss_rate", "forward_scalar", "expected_credit_loss_amount")
    frame = need(view, MATRIX, "contract_id", "month", *columns)
    month, rows = latest(upto(view, frame, "month", MATRIX), "month")
    blocks: list[Block] = []
    for currency, mine in currencies(view, rows):
        scale = money_scale(mine["open_amount"])
        small = money_scale(mine["expected_credit_loss_amount"])
        listed = [
            row
            for bucket in _buckets(mine)
            for row in mine.filter(pl.col("bucket") == bucket).sort("contract_id").to_dicts()
        ]
        opens, opens_all = footed_column([row["open_amount"] for row in listed], scale)
        losses, losses_all = footed_column([row["expected_credit_loss_amount"] for row in listed], small)
        out = [
            Row(
                Cell(_bucket_text(str(row["bucket"]))),
                [
                    Cell(clean(row["contract_id"]), kind="code"),
                    opens[index],
                    share_of(row["loss_rate"], 3, reason="no rate"),
                    figure(row["forward_scalar"], 3, reason="none"),
                    losses[index],
                ],
            )
            for index, row in enumerate(listed)
        ]
        out.append(Row(Cell("Total"), [Cell(""), opens_all, Cell(""), Cell(""), losses_all], "total"))
        head = [
            Column("Bucket", "text"),
            Column("Contract", "text"),
            Column("Open", unit=unit_text(currency, scale)),
            Column("Loss rate"),
            Column("Forward scalar"),
            Column("Expected loss", unit=unit_text(currency, small)),
        ]
        blocks.append(
            Table(
                "Provision matrix",
                head,
                out,
                MATRIX,
                as_of=month_text(month),
                folded=True,
                notes=["Rates are shown rounded and used unrounded."],
            )
        )
    return blocks


__all__ = ["WHOLE", "absent", "credit_loss", "receivables", "short_month_text"]
