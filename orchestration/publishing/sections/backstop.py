"""Backstop: unsold hours to claims, the cap, and the maximum exposure beside the issuer's own commitments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

import polars as pl

from orchestration.publishing import charts
from orchestration.publishing.formats import (
    Scale,
    clean,
    money,
    money_scale,
    month_text,
    number,
    percent,
    quantity,
    quantity_scale,
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
    build,
    figure,
    footed_column,
    footed_grid,
    share_of,
)
from orchestration.publishing.sections.movements import claim_movements, exposure_movements
from orchestration.publishing.view import (
    CHART_MONTHS,
    TABLE_MONTHS,
    CannotCompute,
    View,
    currencies,
    evidence,
    last_months,
    latest,
    months_of,
    need,
    pick,
    ratio,
    restated_months,
    total,
    upto,
    vendor_text,
)

MONTH = "backstop.fct_backstop_month"
BALANCE = "backstop.fct_capacity_balance_month"
CAPS = "backstop.fct_backstop_cap_month"
EXPOSURE = "backstop.fct_max_exposure_fiscal_year"
FACTS = "issuer.fct_issuer_fact"
HOURS_TERMS = r"committed|deductible|ramp|excluded|allowance"
EXPOSURE_TERMS = r"committed|deductible|ramp|price|cap"
CLAIM_TERMS = r"committed|deductible|ramp|excluded|allowance|price|cap"
USES = (
    ("third_party", "third party", "blue"),
    ("vendor_use", "vendor use", "plum"),
    ("bought_back", "bought back", "red"),
    ("deductible", "deductible", "ochre"),
    ("excluded", "excluded", "teal"),
    ("other_unsold", "other unsold", "slate"),
)


def section(view: View) -> Section:
    """What the vendor had to buy, and the most that it might still have to."""
    return build(
        view,
        "backstop",
        "Backstop",
        "What did the vendor have to buy, and what might it still have to?",
        [
            ("the movement of claims", lambda seen: [Prose([one.sentence() for one in claim_movements(seen)])]),
            ("capacity by use and claims by month", _charts),
            ("from unsold hours to claims", _tranche_table),
            ("claims by month", _history),
            ("use of the caps", caps),
            (
                "the movement of the exposure",
                lambda seen: [Prose([one.sentence() for one in exposure_movements(seen)])],
            ),
            ("maximum exposure beside the issuer's commitments", _exposure_charts),
            ("maximum exposure by fiscal year", _exposure_table),
        ],
    )


def _charts(view: View) -> Sequence[Block]:
    items = [*_balance_chart(view), *_hours_chart(view), *_claims_chart(view)]
    return [Drawings(items)]


def _balance_chart(view: View) -> list[Drawing]:
    frame = need(view, BALANCE, "tranche_id", "service_month", "use", "gpu_hours")
    frame = last_months(upto(view, frame, "service_month", BALANCE), "service_month", CHART_MONTHS)
    summed = frame.group_by("service_month", "use").agg(pl.col("gpu_hours").sum()).sort("service_month")
    months = months_of(summed, "service_month")
    by_month = summed.group_by("service_month").agg(pl.col("gpu_hours").sum())
    scale = quantity_scale(by_month["gpu_hours"])
    listed = [use for use in USES if use[0] in summed["use"].to_list()]
    others = [name for name in summed["use"].unique().sort() if name not in {use[0] for use in USES}]
    listed += [(str(name), words(name), "slate") for name in others]
    series, said = [], []
    for use, label, colour in listed:
        values = {row["service_month"]: row["gpu_hours"] for row in summed.filter(pl.col("use") == use).to_dicts()}
        now = total([values.get(months[-1])])
        series.append(
            charts.Series(
                use,
                [(month, float(total([values.get(month)]) / scale.divisor)) for month in months],
                colour,
                f"{label} {number(now, 1, scale.divisor)}",
            )
        )
        said.append(f"{label} {quantity(now, 'GPU-hours')}")
    return [
        Drawing(
            charts.stacked(
                "chart-balance",
                "Where installed GPU-hours went",
                f"{month_text(months[-1])}: {', '.join(said)}.",
                series,
            ),
            f"{unit_text('GPU-hours', scale)} a month; the layers add up to installed",
            BALANCE,
            evidence=evidence(view, "backstop", HOURS_TERMS),
        )
    ]


def _hours_chart(view: View) -> list[Drawing]:
    name = MONTH
    columns = ("committed_gpu_hours", "unsold_gpu_hours", "deductible_gpu_hours", "claim_gpu_hours")
    frame = need(view, name, "service_month", *columns)
    month, rows = latest(upto(view, frame, "service_month", name), "service_month")
    sums = {column: total(rows[column]) for column in columns}
    scale = quantity_scale(sums.values())
    bars = [
        charts.Bar(
            label, float(sums[column] / scale.divisor), number(sums[column], scale.digits, scale.divisor), colour
        )
        for column, label, colour in (
            ("committed_gpu_hours", "committed", "slate"),
            ("unsold_gpu_hours", "unsold", "slate"),
            ("deductible_gpu_hours", "deductible", "ochre"),
            ("claim_gpu_hours", "claimed", "red"),
        )
    ]
    said = ", ".join(f"{bar.name} {bar.text}" for bar in bars)
    return [
        Drawing(
            charts.rows(
                "chart-hours",
                "From committed to claimed hours",
                f"{month_text(month)}, {unit_text('GPU-hours', scale)}: {said}.",
                bars,
                name_width=84,
            ),
            f"{unit_text('GPU-hours', scale)}, {month_text(month)}",
            name,
            evidence=evidence(view, "backstop", HOURS_TERMS),
        )
    ]


def _claims_chart(view: View) -> list[Drawing]:
    frame = need(view, MONTH, "service_month", "claim_amount", "contract_id")
    frame = last_months(upto(view, frame, "service_month", MONTH), "service_month", CHART_MONTHS)
    items = []
    for index, (currency, mine) in enumerate(currencies(view, frame)):
        summed = mine.group_by("service_month").agg(pl.col("claim_amount").sum()).sort("service_month")
        scale = money_scale(summed["claim_amount"])
        last = summed.to_dicts()[-1]
        items.append(
            Drawing(
                charts.bars(
                    f"chart-claims-{index}",
                    "Backstop claims",
                    f"Claims of {money(last['claim_amount'], currency)} in {month_text(last['service_month'])}.",
                    [
                        (row["service_month"], float(total([row["claim_amount"]]) / scale.divisor))
                        for row in summed.to_dicts()
                    ],
                    last_text=number(last["claim_amount"], scale.digits, scale.divisor),
                    colour="red",
                    height=170,
                ),
                f"{unit_text(currency, scale)} a month",
                MONTH,
                evidence=evidence(view, "backstop", CLAIM_TERMS),
            )
        )
    return items


HOUR_COLUMNS = (
    ("installed_gpu_hours", "Installed"),
    ("committed_gpu_hours", "Committed"),
    ("excluded_gpu_hours", "Excluded"),
    ("third_party_gpu_hours", "Third party"),
    ("vendor_use_gpu_hours", "Vendor use"),
    ("unsold_gpu_hours", "Unsold"),
    ("deductible_gpu_hours", "Deductible"),
    ("claim_gpu_hours", "Claim hours"),
)


def _tranche_table(view: View) -> Sequence[Block]:
    frame = need(
        view,
        MONTH,
        "tranche_id",
        "service_month",
        "contract_id",
        "buyback_price_per_gpu_hour",
        "claim_amount",
        *[column for column, _ in HOUR_COLUMNS],
    )
    month, rows = latest(upto(view, frame, "service_month", MONTH), "service_month")
    blocks: list[Block] = []
    for currency, mine in currencies(view, rows.sort("contract_id", "tranche_id")):
        listed = mine.to_dicts()
        scale = quantity_scale(mine["installed_gpu_hours"])
        scale = Scale(scale.divisor, scale.word, 2 if scale.word == "m" else scale.digits)
        cash = money_scale(mine["claim_amount"])
        cells = {column: footed_column([row[column] for row in listed], scale) for column, _ in HOUR_COLUMNS}
        claims, claims_all = footed_column([row["claim_amount"] for row in listed], cash)
        out = []
        for index, row in enumerate(listed):
            priced = evidence(view, "backstop", "price", row["contract_id"])
            price = figure(row["buyback_price_per_gpu_hour"], 4, reason="no single price this month")
            out.append(
                Row(
                    Cell(clean(row["tranche_id"]), kind="code"),
                    [
                        *[cells[column][0][index] for column, _ in HOUR_COLUMNS],
                        Cell(price.text, price.kind, price.exact, price.reason, priced.grade if priced else ""),
                        claims[index],
                    ],
                )
            )
        out.append(
            Row(
                Cell("All tranches"), [*[cells[column][1] for column, _ in HOUR_COLUMNS], Cell(""), claims_all], "total"
            )
        )
        head = [
            Column("Tranche", "text"),
            *[Column(label) for _, label in HOUR_COLUMNS],
            Column("Price", unit=f"{currency} per GPU-hour"),
            Column("Claim", unit=unit_text(currency, cash)),
        ]
        blocks.append(
            Table(
                "From unsold hours to claims, by tranche",
                head,
                out,
                MONTH,
                unit=unit_text("GPU-hours", scale),
                as_of=month_text(month),
                evidence=evidence(view, "backstop", CLAIM_TERMS),
            )
        )
    return blocks


def _history(view: View) -> Sequence[Block]:
    columns = (
        "committed_gpu_hours",
        "third_party_gpu_hours",
        "unsold_gpu_hours",
        "deductible_gpu_hours",
        "claim_gpu_hours",
    )
    frame = need(view, MONTH, "service_month", "contract_id", "claim_amount", *columns)
    frame = last_months(upto(view, frame, "service_month", MONTH), "service_month", TABLE_MONTHS)
    later = restated_months(view, "accrue_claim")
    blocks: list[Block] = []
    for currency, mine in currencies(view, frame):
        summed = (
            mine.group_by("service_month", "contract_id")
            .agg([pl.col(column).sum() for column in (*columns, "claim_amount")])
            .sort(["service_month", "contract_id"], descending=[True, False])
        )
        scale, cash = quantity_scale(summed["committed_gpu_hours"]), money_scale(summed["claim_amount"])
        rows = [
            Row(
                Cell(short_month_text(row["service_month"])),
                [
                    Cell(clean(row["contract_id"]), kind="code"),
                    *[figure(row[column], scale.digits, scale.divisor) for column in columns],
                    figure(row["claim_amount"], cash.digits, cash.divisor),
                    Cell("restated", tone="bad") if (row["contract_id"], row["service_month"]) in later else Cell(""),
                ],
            )
            for row in summed.to_dicts()
        ]
        head = [
            Column("Month", "text"),
            Column("Contract", "text"),
            Column("Committed"),
            Column("Third party"),
            Column("Unsold"),
            Column("Deductible"),
            Column("Claim hours"),
            Column("Claim", unit=unit_text(currency, cash)),
            Column("Since its close", "text"),
        ]
        blocks.append(
            Table("Claims, month by month", head, rows, MONTH, unit=unit_text("GPU-hours", scale), folded=True)
        )
    return blocks


def caps(view: View) -> Sequence[Block]:
    frame = need(
        view,
        CAPS,
        "contract_id",
        "service_month",
        "lifetime_cap_left_amount",
        "max_exposure_amount",
    )
    claimed = pick(frame, CAPS, "claimed_to_date_amount", "paid_to_date_amount")
    month, rows = latest(upto(view, frame, "service_month", CAPS), "service_month")
    blocks: list[Block] = []
    for currency, mine in currencies(view, rows.sort("contract_id")):
        listed = mine.to_dicts()
        scale = money_scale(mine["max_exposure_amount"])
        columns = (claimed, "lifetime_cap_left_amount", "max_exposure_amount")
        cells = {column: footed_column([row[column] for row in listed], scale) for column in columns}
        out = []
        for index, row in enumerate(listed):
            found = evidence(view, "backstop", "cap", row["contract_id"])
            cap = [to_decimal(row[claimed]), to_decimal(row["lifetime_cap_left_amount"])]
            whole = None if None in cap else total(cap)
            used = share_of(ratio(cap[0], whole), 2, reason="no lifetime cap" if cap[1] is None else "cap is zero")
            out.append(
                Row(
                    Cell(clean(row["contract_id"]), kind="code"),
                    [
                        *[cells[column][0][index] for column in columns],
                        Cell(used.text, used.kind, used.exact, used.reason, found.grade if found else ""),
                    ],
                )
            )
        paid, left = total(mine[claimed]), total(mine["lifetime_cap_left_amount"])
        out.append(
            Row(
                Cell("All contracts"),
                [
                    *[cells[column][1] for column in columns],
                    share_of(ratio(paid, paid + left), 2, reason="no lifetime cap"),
                ],
                "total",
            )
        )
        head = [
            Column("Contract", "text"),
            Column("Claims to date"),
            Column("Lifetime cap left"),
            Column("Maximum exposure"),
            Column("Cap used", unit="claims ÷ (claims + left)"),
        ]
        blocks.append(
            Table(
                "Use of the lifetime cap",
                head,
                out,
                CAPS,
                unit=unit_text(currency, scale),
                as_of=month_text(month),
                notes=["Maximum exposure is undiscounted and not netted for collateral or set-off."],
            )
        )
    return blocks


def issuer_commitments(view: View) -> tuple[list[tuple[str, Decimal, str]], Decimal | None, str, str]:
    """The issuer's AI-cloud commitments as filed: (fiscal year, USD m, grade) in order, total, its grade, period end.

    Yearly items are named ai_cloud_agreements_<period>; raises CannotCompute when the issuer facts hold neither.
    """
    frame = need(view, FACTS, "item", "value", "fiscal_period_end")
    grade = "grade" if "grade" in frame.columns else "evidence_grade"
    kept = frame.filter(pl.col("item").str.starts_with("ai_cloud_agreements") & pl.col("value").is_not_null())
    kept = kept.filter(pl.col("fiscal_period_end") <= view.as_of)
    if kept.is_empty():
        raise CannotCompute(f"table {FACTS} has no item ai_cloud_agreements up to {short_day_text(view.as_of)}")
    newest = kept["fiscal_period_end"].max()
    rows = kept.filter(pl.col("fiscal_period_end") == newest).to_dicts()
    years, whole, whole_grade = [], None, ""
    for row in rows:
        rest = str(row["item"]).removeprefix("ai_cloud_agreements").strip("_")
        value = to_decimal(row["value"]) or Decimal(0)
        told = clean(row.get(grade) or "ungraded")
        if not rest:
            whole, whole_grade = value, told
            continue
        found = re.search(r"fy_?(\d{2,4})", rest)
        if found:
            label = f"FY{found.group(1)[-2:]}"
            if re.search(r"later|after|plus|beyond", rest):
                label += "+"
            years.append((label, value, told))
    years.sort(key=lambda one: (one[0][:4], one[0]))
    return years, whole, whole_grade, short_day_text(newest)


def _by_year(view: View) -> list[tuple[str, str, dict[int, Decimal], pl.DataFrame]]:
    frame = need(view, EXPOSURE, "contract_id", "as_of_month", "vendor_fiscal_year", "max_exposure_amount")
    month, rows = latest(upto(view, frame, "as_of_month", EXPOSURE), "as_of_month")
    found = []
    for currency, mine in currencies(view, rows.sort("contract_id", "vendor_fiscal_year")):
        years = {
            int(year): total(mine.filter(pl.col("vendor_fiscal_year") == year)["max_exposure_amount"])
            for year in mine["vendor_fiscal_year"].unique().sort()
        }
        found.append((currency, month_text(month), years, mine))
    return found


def _exposure_charts(view: View) -> Sequence[Block]:
    items: list[Drawing] = []
    for index, (currency, month, years, _) in enumerate(_by_year(view)):
        scale = Scale(Decimal(1_000_000), "m", 0) if max(years.values()) >= 10_000_000 else money_scale(years.values())
        bars = [
            charts.Bar(
                f"FY{year % 100:02d}", float(amount / scale.divisor), number(amount, scale.digits, scale.divisor), "red"
            )
            for year, amount in years.items()
        ]
        whole = total(years.values())
        items.append(
            Drawing(
                charts.columns(
                    f"chart-exposure-{index}",
                    "Maximum exposure, parks in this book",
                    f"{month}: {money(whole, currency)} in all, by fiscal year of {vendor_text(view)}: "
                    + ", ".join(f"{bar.name} {bar.text}" for bar in bars)
                    + ".",
                    bars,
                ),
                f"{unit_text(currency, scale)} by vendor fiscal year, {month}; sum {money(whole, currency)}",
                EXPOSURE,
                evidence=evidence(view, "backstop", EXPOSURE_TERMS),
            )
        )
    blocks: list[Block] = [Drawings(items)]
    try:
        years_filed, whole_filed, grade, ended = issuer_commitments(view)
    except CannotCompute as reason:
        return [*blocks, Missing("the issuer's own commitment table", str(reason))]
    if years_filed:
        bars = [charts.Bar(label, float(value), number(value), "blue") for label, value, _ in years_filed]
        grades = sorted({one[2] for one in years_filed})
        items.append(
            Drawing(
                charts.columns(
                    "chart-issuer",
                    f"AI-cloud agreements as {vendor_text(view)} reports them",
                    f"Period ended {ended}, USD m: " + ", ".join(f"{bar.name} {bar.text}" for bar in bars) + ".",
                    bars,
                ),
                f"USD m by fiscal year, whole programme, period ended {ended}",
                FACTS,
                f"Grade {', '.join(grades)}.",
            )
        )
    sentences = []
    if whole_filed is not None:
        sentences.append(
            f"{vendor_text(view)} reported USD {number(whole_filed)}m of AI-cloud agreements for the period ended "
            f"{ended} (grade {grade}): the whole programme, of which the parks in this book are a part."
        )
        own = total(
            amount for currency, _, years, _ in _by_year(view) if currency == "USD" for amount in years.values()
        )
        part = ratio(own / 1_000_000, whole_filed)
        if own and part is not None:
            sentences.append(f"The maximum exposure computed here is {percent(part)} of that figure.")
    if not years_filed:
        sentences.append(f"Its maturity by fiscal year is n/a — {FACTS} has no yearly items of ai_cloud_agreements.")
    return [*blocks, Prose(sentences)]


def _filed_years(view: View) -> tuple[dict[int, tuple[Decimal, str]], int | None, Decimal | None, str, str]:
    """What the issuer filed by fiscal year; the year that stands for "and later"; total, its grade, period end."""
    try:
        years, whole, grade, ended = issuer_commitments(view)
    except CannotCompute:
        return {}, None, None, "", ""
    found = {2000 + int(label[2:4]): (value, told) for label, value, told in years}
    last = next((2000 + int(label[2:4]) for label, _, _ in years if label.endswith("+")), None)
    return found, last, whole, grade, ended


def _exposure_table(view: View) -> Sequence[Block]:
    filed, later, whole_filed, whole_grade, ended = _filed_years(view)
    blocks: list[Block] = []
    for currency, month, years, mine in _by_year(view):
        beside = filed if currency == "USD" else {}
        contracts = mine["contract_id"].unique().sort().to_list()

        def group(year: int, last: int | None = later if beside else None) -> int:
            return last if last is not None and year > last else year

        amounts: dict[tuple[str, int], Decimal] = {}
        for row in mine.to_dicts():
            key = (row["contract_id"], group(int(row["vendor_fiscal_year"])))
            amounts[key] = amounts.get(key, Decimal(0)) + total([row["max_exposure_amount"]])
        shown = sorted({group(year) for year in years} | set(beside))
        scale = money_scale(years.values())
        grid = footed_grid(
            [[amounts.get((contract, year), Decimal(0)) for contract in contracts] for year in shown], scale
        )
        rows = []
        for index, year in enumerate(shown):
            label = f"FY{year % 100:02d}" + (" and later" if beside and year == later else "")
            cells = list(grid[index])
            if beside:
                value, told = beside.get(year, (None, ""))
                cell = figure(value, scale.digits if scale.word == "m" else 0, reason="not filed")
                cells.append(Cell(cell.text, cell.kind, cell.exact, cell.reason, told))
            rows.append(Row(Cell(label), cells))
        last_row = list(grid[-1])
        notes = ["Undiscounted, not netted for collateral or set-off; years are the vendor's fiscal years."]
        if beside:
            cell = figure(whole_filed, scale.digits if scale.word == "m" else 0, reason="no total filed")
            last_row.append(Cell(cell.text, cell.kind, cell.exact, cell.reason, whole_grade))
            if whole_filed is not None and total(value for value, _ in beside.values()) != whole_filed:
                notes.append("The years as filed do not add up to the total as filed.")
        rows.append(Row(Cell("Total"), last_row, "total"))
        head = [
            Column("Fiscal year", "text"),
            *[Column(clean(contract)) for contract in contracts],
            Column("This book"),
        ]
        if beside:
            head.append(Column(f"{vendor_text(view)} as filed", unit=f"USD m, whole programme, {ended}"))
        blocks.append(
            Table(
                "Maximum exposure by vendor fiscal year",
                head,
                rows,
                f"{EXPOSURE}, {FACTS}" if beside else EXPOSURE,
                unit=unit_text(currency, scale),
                as_of=month,
                notes=notes,
                evidence=evidence(view, "backstop", EXPOSURE_TERMS),
            )
        )
    return blocks


__all__ = ["TABLE_MONTHS", "issuer_commitments", "section"]
