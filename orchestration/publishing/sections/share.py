"""Revenue share: the waterfall from gross to invoiced, the take rate, by contract and month."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.publishing import charts
from orchestration.publishing.formats import (
    clean,
    money,
    money_scale,
    month_text,
    number,
    percent,
    sentence_case,
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
from orchestration.publishing.sections.movements import share_movements
from orchestration.publishing.view import (
    CHART_MONTHS,
    TABLE_MONTHS,
    CannotCompute,
    View,
    contract_parks,
    currencies,
    evidence,
    last_months,
    latest,
    need,
    provisional,
    ratio,
    restated_months,
    total,
    upto,
)

BASE = "revenue_share.fct_share_base_month"
SHARE = "revenue_share.fct_share_month"
RATE_TERMS = r"^tiers|^floor_price|^share_basis|^base_measure|^exclusions|^activation"


def section(view: View) -> Section:
    """The revenue share from what tenants paid to what is invoiced."""
    return build(
        view,
        "share",
        "Revenue share",
        "What do third-party tenants pay, and what part of it is the vendor's?",
        [
            ("the movement of the share", lambda seen: [Prose([one.sentence() for one in share_movements(seen)])]),
            ("share, take rate and waterfall by contract", _charts),
            ("the waterfall in figures", _waterfall_table),
            ("share by contract", contract_table),
            ("share by contract and month", _history),
        ],
    )


_ORDER = {
    name: place
    for place, name in enumerate(
        (
            "cash_collected",
            "sales_tax",
            "power_passthrough",
            "other_revenue",
            "storage_network_resale",
            "breakage_fee",
            "credit",
            "refund",
            "sla_penalty",
            "excluded_sales_tax",
            "excluded_power_passthrough",
            "excluded_other_revenue",
            "excluded_storage_network_resale",
            "excluded_breakage_fee",
            "excluded_credit",
            "excluded_refund",
            "excluded_sla_penalty",
            "excluded_bad_debt",
            "carried_forward",
            "floor_deduction",
            "breakpoint_deduction",
            "recouped_before_share",
        )
    )
}


def components(rows: Sequence[dict[str, Any]]) -> tuple[list[tuple[str, Decimal]], bool]:
    """One contract-month as (component, signed amount) from gross to base, and whether it foots.

    Deductions may be published as negative amounts or as magnitudes: whichever makes gross lead to base exactly.
    """
    amounts = {str(row["component"]): to_decimal(row["amount"]) or Decimal(0) for row in rows}
    base = amounts.pop("base", None)
    if base is None:
        raise CannotCompute(f"table {BASE} has no component base")
    first = next((name for name in amounts if name.startswith("gross")), None)
    if first is None:
        raise CannotCompute(f"table {BASE} has no gross component")
    gross = amounts.pop(first)
    # The table promises no order: what is added comes first, then what is taken out.
    amounts = dict(sorted(amounts.items(), key=lambda item: (_ORDER.get(item[0], len(_ORDER)), item[0])))
    for sign in (1, -1):
        steps = [(name, sign * amount) for name, amount in amounts.items()]
        if gross + sum((amount for _, amount in steps), Decimal(0)) == base:
            return [(first, gross), *steps, ("base", base)], True
    return [(first, gross), *amounts.items(), ("base", base)], False


def _month_components(view: View) -> tuple[date, dict[str, tuple[str, list[tuple[str, Decimal]], bool]]]:
    frame = need(view, BASE, "contract_id", "service_month", "component", "amount")
    month, rows = latest(upto(view, frame, "service_month", BASE), "service_month")
    found = {}
    for currency, mine in currencies(view, rows):
        for contract in mine["contract_id"].unique().sort():
            steps, foots = components(mine.filter(pl.col("contract_id") == contract).to_dicts())
            found[str(contract)] = (currency, steps, foots)
    return month, found


def _waterfalls(view: View) -> dict[str, Drawing]:
    month, by_contract = _month_components(view)
    shares = need(view, SHARE, "contract_id", "service_month", "share_amount", "invoiced_amount")
    here = {row["contract_id"]: row for row in shares.filter(pl.col("service_month") == month).to_dicts()}
    parks = contract_parks(view)
    items: dict[str, Drawing] = {}
    for index, (contract, (currency, steps, foots)) in enumerate(by_contract.items()):
        share = here.get(contract)
        scale = money_scale([amount for _, amount in steps])
        drawn = [
            charts.Step(
                short(words(name)),
                float(amount / scale.divisor),
                number(amount, scale.digits, scale.divisor),
                "total" if position in {0, len(steps) - 1} else "change",
            )
            for position, (name, amount) in enumerate(steps)
            if amount or position in {0, len(steps) - 1}
        ]
        for label, column in (("share", "share_amount"), ("invoiced", "invoiced_amount")):
            value = to_decimal(share[column]) if share else None
            if value is not None:
                drawn.append(
                    charts.Step(
                        label, float(value / scale.divisor), number(value, scale.digits, scale.divisor), "total"
                    )
                )
        base = steps[-1][1]
        title = "From gross to invoiced"
        description = (
            f"{parks.get(contract, clean(contract))}, {month_text(month)}: gross {money(steps[0][1], currency)}, "
            f"base {money(base, currency)}"
        )
        if share:
            description += (
                f", share {money(share['share_amount'], currency)}, "
                f"invoiced {money(share['invoiced_amount'], currency)}"
            )
        items[contract] = Drawing(
            charts.waterfall(f"chart-waterfall-{index}", title, description + ".", drawn),
            f"{unit_text(currency, scale)}, {month_text(month)}",
            f"{BASE}, {SHARE}",
            "" if foots else "The published components do not add up from gross to base.",
            evidence(view, "revenue_share", RATE_TERMS, contract),
        )
    return items


def short(label: str, limit: int = 21) -> str:
    """A name that fits beside a bar."""
    return label if len(label) <= limit else label[: limit - 1] + "…"


def _waterfall_table(view: View) -> Sequence[Block]:
    month, by_contract = _month_components(view)
    blocks: list[Block] = []
    for currency in sorted({one[0] for one in by_contract.values()}):
        mine = {contract: one for contract, one in by_contract.items() if one[0] == currency}
        names = list(dict.fromkeys(name for _, steps, _ in mine.values() for name, _ in steps[:-1]))
        values = [[dict(steps[:-1]).get(name, Decimal(0)) for _, steps, _ in mine.values()] for name in names]
        scale = money_scale([cell for row in values for cell in row])
        grid = footed_grid(values, scale)
        rows = [Row(Cell(sentence_case(words(name))), grid[index]) for index, name in enumerate(names)]
        rows.append(Row(Cell("Base"), grid[-1], "total"))
        foots = all(one[2] for one in mine.values())
        head = [Column("Component", "text"), *[Column(clean(contract)) for contract in mine], Column("All contracts")]
        blocks.append(
            Table(
                "From gross revenue to the base of the share",
                head,
                rows,
                BASE,
                unit=unit_text(currency, scale),
                as_of=month_text(month),
                notes=[] if foots else ["The last row is the sum of the components shown; the published base differs."],
            )
        )
    return blocks


def _charts(view: View) -> Sequence[Block]:
    frame = need(view, SHARE, "contract_id", "service_month", "share_amount", "base_amount", "effective_rate")
    frame = last_months(upto(view, frame, "service_month", SHARE), "service_month", CHART_MONTHS).sort("service_month")
    parks = contract_parks(view)
    blocks: list[Block] = []
    number_of = 0
    try:
        waterfalls = _waterfalls(view)
    except CannotCompute as reason:
        waterfalls = {}
        blocks.append(Missing("the waterfall from gross to invoiced", str(reason)))
    for currency, mine in currencies(view, frame):
        for contract in mine["contract_id"].unique().sort():
            items = []
            rows = mine.filter(pl.col("contract_id") == contract).to_dicts()
            scale = money_scale(row["share_amount"] for row in rows)
            last = rows[-1]
            name = parks.get(str(contract), clean(contract))
            points = [
                (
                    row["service_month"],
                    float(value / scale.divisor) if (value := to_decimal(row["share_amount"])) is not None else None,
                )
                for row in rows
            ]
            items.append(
                Drawing(
                    charts.bars(
                        f"chart-share-{number_of}",
                        "Share accrued",
                        f"{name}: share {money(last['share_amount'], currency)} "
                        f"in {month_text(last['service_month'])}.",
                        points,
                        y_format=",.0f" if scale.word == "m" and scale.digits == 1 else ",.1f",
                        last_text=number(last["share_amount"], scale.digits, scale.divisor),
                    ),
                    f"{unit_text(currency, scale)} a month",
                    SHARE,
                    evidence=evidence(view, "revenue_share", RATE_TERMS, str(contract)),
                )
            )
            rates = [
                (row["service_month"], None if row["effective_rate"] is None else float(row["effective_rate"]))
                for row in rows
            ]
            items.append(
                Drawing(
                    charts.lines(
                        f"chart-rate-{number_of}",
                        "Take rate",
                        f"{name}: effective rate {percent(last['effective_rate'])} "
                        f"in {month_text(last['service_month'])}.",
                        [charts.Series("rate", rates, "blue", f"rate {percent(last['effective_rate'])}")],
                        y_format=".0%",
                    ),
                    "share ÷ base",
                    SHARE,
                    evidence=evidence(view, "revenue_share", RATE_TERMS, str(contract)),
                )
            )
            number_of += 1
            if str(contract) in waterfalls:
                items.append(waterfalls[str(contract)])
            blocks.append(Drawings(items, name))
    return blocks


LINES = (
    ("base_amount", "Base", True),
    ("share_before_limits_amount", "Share before limits", True),
    ("minimum_top_up_amount", "Topped up to minimum", True),
    ("cap_reduction_amount", "Cut by caps", True),
    ("recouped_amount", "Recouped", True),
    ("share_amount", "Share", True),
    ("invoiced_amount", "Invoiced", True),
    ("cumulative_share_amount", "Cumulative share", True),
)


def contract_table(view: View) -> Sequence[Block]:
    frame = need(view, SHARE, "contract_id", "service_month", "base_amount", "effective_rate", "share_amount")
    month, rows = latest(upto(view, frame, "service_month", SHARE), "service_month")
    later = restated_months(view, "accrue_share")
    blocks: list[Block] = []
    for currency, mine in currencies(view, rows.sort("contract_id")):
        listed = mine.to_dicts()
        shown = [line for line in LINES if line[0] in mine.columns]
        scale = money_scale(row["base_amount"] for row in listed)
        cells = {column: footed_column([row[column] for row in listed], scale) for column, _, _ in shown}
        out = []
        for index, row in enumerate(listed):
            found = evidence(view, "revenue_share", RATE_TERMS, row["contract_id"])
            rate = share_of(row["effective_rate"], 2, reason="no base")
            out.append(
                Row(
                    Cell(clean(row["contract_id"]), kind="code"),
                    [
                        cells["base_amount"][0][index],
                        Cell(rate.text, rate.kind, rate.exact, rate.reason, found.grade if found else ""),
                        *[cells[column][0][index] for column, _, _ in shown if column != "base_amount"],
                        _state(view, row["contract_id"], month, later),
                    ],
                )
            )
        whole = share_of(ratio(total(mine["share_amount"]), total(mine["base_amount"])), 2, reason="no base")
        out.append(
            Row(
                Cell("All contracts"),
                [
                    cells["base_amount"][1],
                    whole,
                    *[cells[column][1] for column, _, _ in shown if column != "base_amount"],
                    Cell(""),
                ],
                "total",
            )
        )
        head = [
            Column("Contract", "text"),
            Column("Base"),
            Column("Effective rate"),
            *[Column(label) for column, label, _ in shown if column != "base_amount"],
            Column("Books", "text"),
        ]
        notes = ["Invoiced: the share, grossed up for withholding tax where that is agreed."]
        unit = unit_text(currency, scale)
        blocks.append(Table("From base to invoice", head, out, SHARE, unit, month_text(month), notes))
    return blocks


def _state(view: View, contract: str, month: date, later: set[tuple[str, date]]) -> Cell:
    state = provisional(view, contract, month)
    if state is None:
        return absent("closes not published")
    if state:
        return Cell("provisional", tone="quiet")
    return Cell("closed, restated", tone="bad") if (contract, month) in later else Cell("closed")


def _history(view: View) -> Sequence[Block]:
    frame = need(
        view, SHARE, "contract_id", "service_month", "base_amount", "effective_rate", "share_amount", "invoiced_amount"
    )
    frame = last_months(upto(view, frame, "service_month", SHARE), "service_month", TABLE_MONTHS)
    later = restated_months(view, "accrue_share")
    blocks: list[Block] = []
    for currency, mine in currencies(view, frame.sort(["service_month", "contract_id"], descending=[True, False])):
        scale = money_scale(mine["base_amount"])
        rows = [
            Row(
                Cell(short_month_text(row["service_month"])),
                [
                    Cell(clean(row["contract_id"]), kind="code"),
                    figure(row["base_amount"], scale.digits, scale.divisor),
                    share_of(row["effective_rate"], 2, reason="no base"),
                    figure(row["share_amount"], scale.digits, scale.divisor),
                    figure(row["invoiced_amount"], scale.digits, scale.divisor),
                    _state(view, row["contract_id"], row["service_month"], later),
                ],
            )
            for row in mine.to_dicts()
        ]
        head = [
            Column("Month", "text"),
            Column("Contract", "text"),
            Column("Base"),
            Column("Effective rate"),
            Column("Share"),
            Column("Invoiced"),
            Column("Books", "text"),
        ]
        blocks.append(Table("Share, month by month", head, rows, SHARE, unit=unit_text(currency, scale), folded=True))
    return blocks
