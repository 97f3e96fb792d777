"""Monte Carlo distribution of the backstop, concentration, stress, covenants and operators."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.publishing import charts
from orchestration.publishing.formats import (
    clean,
    count_text,
    join_words,
    money,
    money_scale,
    month_text,
    number,
    percent,
    scenario_text,
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
    share_of,
    text,
)
from orchestration.publishing.view import (
    CHART_MONTHS,
    CannotCompute,
    Evidence,
    View,
    contract_parks,
    currencies,
    evidence,
    last_months,
    latest,
    months_of,
    need,
    ratio,
    total,
    upto,
)

DISTRIBUTION = "credit.fct_backstop_distribution_month"
CONCENTRATION = "credit.fct_concentration_month"
STRESS = "credit.fct_stress_result"
BASELINE = "baseline"
COVENANTS = "credit.fct_covenant_test_month"
OPERATORS = "credit.fct_operator_economics_month"
REVERSE = "credit.fct_reverse_stress"
DEALS = "credit.fct_deal_comparison"
CASES = ("independent", "base", "stressed")
QUANTILES = ("95", "99", "99_9")


def distribution(view: View) -> Section:
    """What claims may cost, as a distribution of paths."""
    return build(
        view,
        "distribution",
        "Distribution of backstop cost",
        "How much is expected, how bad can it get, and how exact is the simulation?",
        [
            ("the distribution in sentences", _prose),
            ("the distribution by correlation case", _bars),
            ("the distribution in figures", _table),
        ],
    )


def quantile_column(frame: pl.DataFrame, stem: str, quantile: str) -> str | None:
    """The column of a quantile, however its unit is written; None where it is not published."""
    for name in (f"{stem}_{quantile}_amount", f"{stem}_{quantile}", f"{stem}_{quantile.replace('_', '')}_amount"):
        if name in frame.columns:
            return name
    return None


def draws(view: View) -> tuple[Any, pl.DataFrame]:
    """The latest month of the distribution and its rows."""
    frame = need(
        view, DISTRIBUTION, "contract_id", "month", "correlation_case", "expected_amount", "standard_error_amount"
    )
    return latest(upto(view, frame, "month", DISTRIBUTION), "month")


def _cases(rows: pl.DataFrame) -> list[str]:
    there = [str(one) for one in rows["correlation_case"].unique().sort()]
    return [case for case in CASES if case in there] + [case for case in there if case not in CASES]


def _prose(view: View) -> Sequence[Block]:
    month, rows = draws(view)
    sentences = []
    parks = contract_parks(view)
    case = "base" if "base" in _cases(rows) else _cases(rows)[0]
    for currency, mine in currencies(view, rows.filter(pl.col("correlation_case") == case).sort("contract_id")):
        for row in mine.to_dicts():
            name = parks.get(row["contract_id"], clean(row["contract_id"]))
            tail = quantile_column(mine, "es", "99")
            said = (
                f"{name}, {month_text(month)}, {words(case)} case: claims are expected to cost "
                f"{money(row['expected_amount'], currency)} "
                f"(standard error {money(row['standard_error_amount'], currency)}"
            )
            said += f", {number(row['path_count'])} paths)" if row.get("path_count") is not None else ")"
            if row.get("any_claim_probability") is not None:
                said += f"; at least one claim comes with a probability of {percent(row['any_claim_probability'])}"
            if tail and row[tail] is not None:
                said += f"; the worst 1\u00a0% of paths cost {money(row[tail], currency)} on average"
            sentences.append(said + ".")
    return [Prose(sentences)]


def _measures(frame: pl.DataFrame) -> list[tuple[str, str]]:
    """(column, label) of the amounts of a distribution that are published, least to greatest by their nature."""
    found = [("expected_amount", "expected")]
    for quantile in QUANTILES:
        for stem, label in (("var", "VaR"), ("es", "ES")):
            column = quantile_column(frame, stem, quantile)
            if column:
                found.append((column, f"{label} {quantile.replace('_', '.')}"))
    return found


def _bars(view: View) -> Sequence[Block]:
    month, rows = draws(view)
    parks = contract_parks(view)
    items = []
    index = 0
    for currency, mine in currencies(view, rows.sort("contract_id")):
        for contract in mine["contract_id"].unique().sort():
            here = mine.filter(pl.col("contract_id") == contract)
            measures = _measures(here)
            scale = money_scale(value for column, _ in measures for value in here[column])
            cases = _cases(here)
            main = "base" if "base" in cases else cases[0]
            by_case = {str(row["correlation_case"]): row for row in here.to_dicts()}
            bars = []
            for column, label in measures:
                value = by_case[main][column]
                others = [by_case[case][column] for case in cases if case != main and by_case[case][column] is not None]
                colour = "blue" if column == "expected_amount" else ("ochre" if label.startswith("VaR") else "red")
                bars.append(
                    charts.Bar(
                        label,
                        None if value is None else float(total([value]) / scale.divisor),
                        number(value, 0 if scale.word == "m" and scale.digits == 1 else scale.digits, scale.divisor),
                        colour,
                        []
                        if column == "expected_amount"
                        else [float(total([other]) / scale.divisor) for other in others],
                    )
                )
            name = parks.get(str(contract), clean(contract))
            rest = join_words([words(case) for case in cases if case != main])
            items.append(
                Drawing(
                    charts.rows(
                        f"chart-distribution-{index}",
                        f"Cost of claims, {name}",
                        f"{month_text(month)}, {words(main)} case, {unit_text(currency, scale)}: "
                        + ", ".join(f"{bar.name} {bar.text}" for bar in bars)
                        + ".",
                        bars,
                        name_width=72,
                    ),
                    f"{unit_text(currency, scale)} over the rest of the term; bar: {words(main)} correlation"
                    + (f", lines: {rest}" if rest else ""),
                    DISTRIBUTION,
                    evidence=evidence(view, "backstop", r"committed|deductible|price|cap", str(contract)),
                )
            )
            index += 1
    return [Drawings(items)]


def _table(view: View) -> Sequence[Block]:
    month, rows = draws(view)
    blocks: list[Block] = []
    for currency, mine in currencies(view, rows.sort("contract_id")):
        scale = money_scale(mine["expected_amount"])
        measures = _measures(mine)
        measures.insert(1, ("present_value_amount", "present value"))
        measures.append(("joint_loss_amount", "joint loss with the receivable"))
        measures = [one for one in measures if one[0] in mine.columns]
        others = [
            (column, label, kind)
            for column, label, kind in (
                ("any_claim_probability", "probability of any claim", "%"),
                ("break_even_occupancy_fraction", "break-even occupancy", "%"),
                ("wrong_way_multiplier", "wrong-way multiplier", "×"),
                ("path_count", "paths", "n"),
                ("seed", "seed", "id"),
            )
            if column in mine.columns
        ]
        for contract in mine["contract_id"].unique().sort():
            here = mine.filter(pl.col("contract_id") == contract)
            cases = _cases(here)
            by_case = {str(row["correlation_case"]): row for row in here.to_dicts()}
            out = []
            for column, label in measures:
                cells = [figure(by_case[case][column], scale.digits, scale.divisor) for case in cases]
                out.append(Row(Cell(sentence_case(label)), cells))
            errors = [ratio(by_case[case]["standard_error_amount"], by_case[case]["expected_amount"]) for case in cases]
            cells = [share_of(error, 2, reason="nothing is expected") for error in errors]
            out.insert(1, Row(Cell("Standard error, of the expected"), cells))
            for column, label, kind in others:
                cells = []
                for case in cases:
                    value = by_case[case][column]
                    reason = clean(by_case[case].get(f"{column}_null_reason") or "not reached on these paths")
                    if kind == "%":
                        cells.append(share_of(value, reason=reason))
                    elif kind == "id":
                        cells.append(text(value))
                    else:
                        cells.append(figure(value, 2 if kind == "×" else 0, reason=reason))
                out.append(Row(Cell(sentence_case(label)), cells))
            head = [Column("Measure", "text"), *[Column(sentence_case(words(case))) for case in cases]]
            blocks.append(
                Table(
                    f"Distribution of claims by correlation case, {clean(contract)}",
                    head,
                    out,
                    DISTRIBUTION,
                    unit=unit_text(currency, scale),
                    as_of=month_text(month),
                    notes=["Caps act on each path before averaging. ES is the mean of the worst paths beyond the VaR."],
                )
            )
    return blocks


def concentration(view: View) -> Section:
    """How much of the exposure hangs on how few names."""
    return build(
        view,
        "concentration",
        "Concentration",
        "On how few names does the exposure hang?",
        [("concentration by month", _concentration_charts), ("concentration by dimension", _concentration_table)],
    )


def _concentration_charts(view: View) -> Sequence[Block]:
    frame = need(view, CONCENTRATION, "month", "dimension", "top_1_fraction", "hhi")
    frame = last_months(upto(view, frame, "month", CONCENTRATION), "month", CHART_MONTHS).sort("month")
    items = []
    for index, (column, title, unit, text_format, domain) in enumerate(
        (
            (
                "top_1_fraction",
                "Largest name",
                "part of exposure, by dimension; equal ones are one line",
                ".0%",
                (0.0, 1.0),
            ),
            (
                "hhi",
                "Herfindahl–Hirschman index",
                "0 to 10,000, by dimension; equal ones are one line",
                ",.0f",
                (0.0, 10_000.0),
            ),
        )
    ):
        series: list[charts.Series] = []
        said: list[str] = []
        for colour, dimension in zip(charts.SERIES_TOKENS, frame["dimension"].unique().sort(), strict=False):
            here = (
                frame.filter(pl.col("dimension") == dimension)
                .unique("month", keep="first", maintain_order=True)
                .to_dicts()
            )
            known = [row[column] for row in here if row[column] is not None]
            if not known:
                continue
            shown = percent(known[-1], 0) if column == "top_1_fraction" else number(known[-1])
            name = words(dimension)
            points = [(row["month"], None if row[column] is None else float(row[column])) for row in here]
            # Lines that lie upon each other have one colour: of several only the last would be seen.
            same = next((one.colour for one in series if one.points == points), colour)
            series.append(charts.Series(str(dimension), points, same, f"{name.removesuffix(' generation')} {shown}"))
            said.append(f"{name} {shown}")
        if series:
            items.append(
                Drawing(
                    charts.lines(
                        f"chart-concentration-{index}",
                        title,
                        f"{month_text(months_of(frame, 'month')[-1])}: {', '.join(said)}.",
                        series,
                        y_format=text_format,
                        y_domain=domain,
                    ),
                    unit,
                    CONCENTRATION,
                )
            )
    if not items:
        raise CannotCompute(f"table {CONCENTRATION} has no exposure up to {month_text(view.month)}")
    return [Drawings(items)]


def _concentration_table(view: View) -> Sequence[Block]:
    columns = ("hhi", "effective_number", "top_1_fraction", "top_3_fraction", "exposure_to_equity_fraction")
    frame = need(view, CONCENTRATION, "month", "dimension", *columns)
    month, rows = latest(upto(view, frame, "month", CONCENTRATION), "month")
    has_backstop = {"hhi_max_backstop_exposure", "max_backstop_exposure_amount"} <= set(rows.columns)
    out = []
    for row in rows.sort("dimension").to_dicts():
        reason = clean(row.get("null_reason") or "no exposure")
        out.append(
            Row(
                Cell(sentence_case(words(row["dimension"]))),
                [
                    figure(row["hhi"], reason=reason),
                    figure(row["effective_number"], 2, reason=reason),
                    share_of(row["top_1_fraction"], reason=reason),
                    share_of(row["top_3_fraction"], reason=reason),
                    share_of(
                        row["exposure_to_equity_fraction"], 3, reason=clean(row.get("null_reason") or "no equity filed")
                    ),
                    *([figure(row["hhi_max_backstop_exposure"], reason="no exposure")] if has_backstop else []),
                ],
            )
        )
    head = [
        Column("Dimension", "text"),
        Column("HHI", unit="0 to 10,000"),
        Column("Effective number"),
        Column("Largest"),
        Column("Largest three"),
        Column("Largest", unit="of the vendor's equity"),
        *([Column("HHI of the backstop", unit="0 to 10,000")] if has_backstop else []),
    ]
    notes = ["Exposure is what is owed, net where netting is enforceable. What may have to be bought stands apart."]
    notes += [] if not has_backstop else _backstop_to_equity(rows)
    return [Table("Concentration of exposure", head, out, CONCENTRATION, as_of=month_text(month), notes=notes)]


def _backstop_to_equity(rows: pl.DataFrame) -> list[str]:
    """The maximum backstop exposure of each currency beside the equity that the exposure of the table is measured by."""
    said = []
    for row in rows.unique("currency_code", keep="first", maintain_order=True).sort("currency_code").to_dicts():
        equity = ratio(row["exposure_amount"], row.get("total_exposure_to_equity_fraction"))
        part = ratio(row["max_backstop_exposure_amount"], equity)
        amount = money(row["max_backstop_exposure_amount"], clean(row["currency_code"]))
        beside = f" is {percent(part)} of the vendor's equity as filed" if part is not None else ""
        said.append(f"The maximum backstop exposure of {amount}{beside or ' stands beside no equity filed'}.")
    return said


def stress(view: View) -> Section:
    """Covenants, stress scenarios and the operators' means to pay."""
    return build(
        view,
        "stress",
        "Covenants and stress",
        "What breaks first, and what would break it?",
        [
            ("covenant headroom", covenants),
            ("the least stress that breaks something", breaking),
            ("stress scenarios", stress_table),
            ("operator economics", operators),
        ],
    )


DRIVERS = (
    ("price_change_fraction", "Price", "%"),
    ("occupancy_change_fraction", "Occupancy", "%"),
    ("power_price_multiple", "Power price", "×"),
    ("rate_shift_bp", "Interest", "bp"),
)


def reverse_levels(view: View) -> tuple[date, dict[tuple[str, str, str], dict[str, Any]]]:
    """The month of reverse stress, and its rows by contract, target and driver."""
    frame = need(view, REVERSE, "contract_id", "month", "target", "driver", "level", "null_reason")
    month, rows = latest(upto(view, frame, "month", REVERSE), "month")
    return month, {(row["contract_id"], row["target"], row["driver"]): row for row in rows.to_dicts()}


def breaking(view: View) -> Sequence[Block]:
    """The levels of reverse stress, one row a target, one column a driver."""
    month, levels = reverse_levels(view)
    out = []
    for contract, target in sorted({(contract, target) for contract, target, _ in levels}):
        cells = [Cell(clean(contract), kind="code")]
        for driver, _, kind in DRIVERS:
            row = levels.get((contract, target, driver))
            cells.append(level_cell(row, kind) if row else absent("not searched"))
        out.append(Row(Cell(sentence_case(words(target.removeprefix("covenant:")))), cells))
    head = [Column("Breaks", "text"), Column("Contract", "text")]
    head += [Column(label, unit={"%": "change", "×": "times", "bp": "bp"}[kind]) for _, label, kind in DRIVERS]
    notes = ["Each driver alone, at once and on all of the last three months' run rate."]
    return [Table("What breaks first", head, out, REVERSE, as_of=month_text(month), notes=notes)]


def level_cell(row: Mapping[str, Any], kind: str) -> Cell:
    """The level at which something breaks; that it holds to the end of what was searched is an answer too."""
    reason = clean(row["null_reason"] or "")
    held = re.fullmatch(r"does not break (?:down|up) to (-?[\d.]+)", reason)
    if held:
        worst = Decimal(held[1])
        return Cell(f"holds to {percent(worst, 0) if kind == '%' else number(worst)}", tone="quiet")
    if kind == "%":
        return share_of(row["level"], reason=reason, signed=True)
    return figure(row["level"], 1 if kind == "×" else 0, reason=reason)


def deals(view: View) -> Section:
    """The same park under several contracts."""
    return build(
        view,
        "deals",
        "Deals side by side",
        "Who would take what on the same park under other terms?",
        [("deals on the same paths", _deals_table)],
    )


def _deals_table(view: View) -> Sequence[Block]:
    amounts = (
        ("vendor_take_amount", "Vendor takes"),
        ("operator_take_amount", "Operator keeps"),
        ("lender_take_amount", "Lender is due"),
        ("lender_shortfall_amount", "Lender goes short"),
    )
    worst = ("vendor_risk_amount", "Vendor's worst year")
    frame = need(view, DEALS, "case_id", "deal_id", "contract_year", "month", worst[0], *(name for name, _ in amounts))
    month, rows = latest(upto(view, frame, "month", DEALS), "month")
    blocks: list[Block] = []
    for currency, mine in currencies(view, rows):
        scale = money_scale(mine["lender_take_amount"])
        for case in mine["case_id"].unique().sort():
            here = mine.filter(pl.col("case_id") == case)
            out = []
            # The contract in force first, then what there would be without one.
            order = sorted(here["deal_id"].unique(), key=lambda deal: (deal != case, deal != "none", deal))
            for deal in order:
                own = here.filter(pl.col("deal_id") == deal)
                cells = [
                    figure(
                        None if own[name].null_count() else own[name].sum(),
                        scale.digits,
                        scale.divisor,
                        reason="the park's economics are not given",
                    )
                    for name, _ in amounts
                ]
                cells.append(figure(own[worst[0]].max(), scale.digits, scale.divisor))
                cells.insert(0, Cell("in force") if deal == case else Cell(""))
                out.append(Row(Cell("no deal") if deal == "none" else Cell(clean(deal), kind="code"), cells))
            head = [
                Column("Deal", "text"),
                Column("Here", "text"),
                *[Column(label) for _, label in amounts],
                Column(worst[1]),
            ]
            blocks.append(
                Table(
                    f"Terms compared on the park of {clean(case)}",
                    head,
                    out,
                    DEALS,
                    unit=unit_text(currency, scale),
                    as_of=month_text(month),
                    notes=[
                        "Means over the paths to the end of the term, undiscounted; the hardware sale stands in none.",
                        "Worst year: the mean loss of the worst 1\u00a0% of paths in the year in which it is largest.",
                    ],
                )
            )
    return blocks


def covenant_rows(view: View) -> tuple[Any, list[dict[str, Any]]]:
    """The latest test of each covenant, the least headroom in proportion to its threshold first."""
    frame = need(view, COVENANTS, "contract_id", "covenant_id", "month", "value", "threshold", "headroom", "passed")
    month, rows = latest(upto(view, frame, "month", COVENANTS), "month")
    listed = rows.to_dicts()
    for row in listed:
        threshold = to_decimal(row["threshold"])
        row["relative"] = ratio(row["headroom"], abs(threshold)) if threshold is not None else None
    return month, sorted(
        listed,
        key=lambda row: (
            row["relative"] is None,
            row["relative"] or Decimal(0),
            row["contract_id"],
            row["covenant_id"],
        ),
    )


SIGNS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def must_be(row: Mapping[str, Any]) -> str:
    """On which side of its threshold a covenant holds."""
    return SIGNS.get(str(row.get("operator")), "")


KEPT, BREACHED, NOT_TESTED = Cell("kept", tone="good"), Cell("breached", tone="bad"), Cell("not tested", tone="quiet")


def outcome(passed: bool | None) -> Cell:
    """What a covenant's test has found; one that could not be made is no pass."""
    return {True: KEPT, False: BREACHED, None: NOT_TESTED}[passed]


def breached_since(view: View, row: Mapping[str, Any]) -> str:
    """The month of the first of the tests in a row, up to this one, that a covenant has not met."""
    mine = need(view, COVENANTS, "contract_id", "covenant_id", "month", "passed").filter(
        (pl.col("contract_id") == row["contract_id"])
        & (pl.col("covenant_id") == row["covenant_id"])
        & (pl.col("month") <= row["month"])
    )
    since = row["month"]
    for month, passed in mine.sort("month", descending=True).select("month", "passed").iter_rows():
        if passed is not False:
            break
        since = month
    return short_month_text(since)


def covenant_evidence(view: View, row: Mapping[str, Any]) -> Evidence | None:
    """What the covenant's own terms rest on."""
    return evidence(view, "covenant", "^" + re.escape(str(row["covenant_id"])) + r"(\.|$)", row["contract_id"])


def covenants(view: View) -> Sequence[Block]:
    month, rows = covenant_rows(view)
    out = []
    for row in rows:
        reason = words(row.get("value_null_reason") or "not tested this month")
        found = covenant_evidence(view, row)
        threshold = figure(row["threshold"], 3, reason="none")
        out.append(
            Row(
                Cell(sentence_case(words(row["covenant_id"]))),
                [
                    Cell(clean(row["contract_id"]), kind="code"),
                    figure(row["value"], 3, reason=reason),
                    Cell(must_be(row)),
                    replace(threshold, grade=found.grade if found else ""),
                    figure(row["headroom"], 3, reason=reason, signed=True),
                    share_of(row["relative"], reason=reason, signed=True),
                    outcome(row["passed"]),
                    text(words(row["consequence"])) if row.get("consequence") else Cell(""),
                ],
            )
        )
    head = [
        Column("Covenant", "text"),
        Column("Contract", "text"),
        Column("Value"),
        Column("Must be", "text"),
        Column("Threshold"),
        Column("Headroom"),
        Column("Headroom", unit="of threshold"),
        Column("Test", "text"),
        Column("Consequence", "text"),
    ]
    return [Table("Covenants, least headroom first", head, out, COVENANTS, as_of=month_text(month))]


def stress_rows(view: View) -> tuple[Any, pl.DataFrame]:
    """The stress results of the latest month."""
    frame = need(
        view,
        STRESS,
        "scenario_id",
        "contract_id",
        "month",
        "share_amount",
        "claim_amount",
        "expected_credit_loss_amount",
    )
    return latest(upto(view, frame, "month", STRESS), "month")


def broken_by_stress(rows: pl.DataFrame) -> tuple[list[str], list[str] | None, int] | None:
    """Contracts whose covenants the baseline breaks already; scenarios that break one of another, None where there is no
    other whose covenants are tested; how many scenarios there are.

    None where the results do not say. What is broken before any stress is no finding of a scenario.
    """
    if "covenant_breached" not in rows.columns:
        return None
    broken = rows.filter(pl.col("covenant_breached").fill_null(value=False))
    already = broken.filter(pl.col("scenario_id") == BASELINE)["contract_id"].unique().sort().to_list()
    others = rows.filter(pl.col("scenario_id") != BASELINE)
    added = broken.filter((pl.col("scenario_id") != BASELINE) & ~pl.col("contract_id").is_in(already))
    names = [scenario_text(one) for one in added["scenario_id"].unique().sort()]
    tested = set(rows.filter(pl.col("covenant_breached").is_not_null())["contract_id"])
    any_other = not already or tested - set(already)
    return [clean(one) for one in already], names if any_other else None, others["scenario_id"].n_unique()


def stress_table(view: View) -> Sequence[Block]:
    month, rows = stress_rows(view)
    blocks: list[Block] = []
    found = broken_by_stress(rows)
    if found is not None:
        already, names, whole = found
        which = "a covenant of another contract" if already else "a covenant"
        said = [f"Broken before any stress: covenants of {join_words(already)}."] if already else []
        scenarios = count_text(whole, "scenario", "scenarios")
        if names:
            breaks = "breaks" if len(names) == 1 else "break"
            said.append(f"{number(len(names))} of {scenarios} {breaks} {which}: {join_words(names)}.")
        elif names is not None:
            said.append(f"None of {scenarios} breaks {which}.")
        blocks.append(Prose(said))
    for currency, mine in currencies(view, rows.sort("scenario_id", "contract_id")):
        scale = money_scale(value for column in ("share_amount", "claim_amount") for value in mine[column])
        losses = money_scale(mine["expected_credit_loss_amount"])  # smaller by orders of magnitude
        out = [
            Row(
                Cell(sentence_case(scenario_text(row["scenario_id"]))),
                [
                    Cell(clean(row["contract_id"]), kind="code"),
                    figure(row["share_amount"], scale.digits, scale.divisor),
                    figure(row["claim_amount"], scale.digits, scale.divisor),
                    figure(row["expected_credit_loss_amount"], losses.digits, losses.divisor),
                    figure(row.get("dscr"), 2, reason="no debt service"),
                    {True: BREACHED, False: KEPT, None: NOT_TESTED}[row.get("covenant_breached")],
                ],
            )
            for row in mine.to_dicts()
        ]
        head = [
            Column("Scenario", "text"),
            Column("Contract", "text"),
            Column("Share"),
            Column("Claims"),
            Column("Expected credit loss", unit=unit_text(currency, losses)),
            Column("DSCR"),
            Column("Covenants", "text"),
        ]
        blocks.append(
            Table("Stress scenarios", head, out, STRESS, unit=unit_text(currency, scale), as_of=month_text(month))
        )
    return blocks


def operators(view: View) -> Sequence[Block]:
    frame = need(view, OPERATORS, "operator_id", "park_id", "month")
    month, rows = latest(upto(view, frame, "month", OPERATORS), "month")
    amounts = [
        (column, label)
        for column, label in (
            ("revenue_amount", "Revenue"),
            ("share_amount", "Share"),
            ("power_amount", "Power"),
            ("land_amount", "Land"),
            ("operation_amount", "Operation"),
            ("cfads_amount", "CFADS"),
            ("debt_service_amount", "Debt service"),
        )
        if column in rows.columns
    ]
    ratios = [
        (column, label, kind)
        for column, label, kind in (
            ("dscr", "DSCR", "x"),
            ("floor_case_dscr", "Floor-case DSCR", "x"),
            ("llcr", "LLCR", "x"),
            ("ltv_fraction", "LTV", "%"),
            ("pledged_revenue_fraction", "Pledged revenue", "%"),
        )
        if column in rows.columns
    ]
    blocks: list[Block] = []
    for currency, mine in currencies(view, rows.sort("operator_id", "park_id")):
        scale = money_scale(value for column, _ in amounts for value in mine[column])
        out = []
        for row in mine.to_dicts():
            cells = [figure(row[column], scale.digits, scale.divisor) for column, _ in amounts]
            for column, _, kind in ratios:
                reason = clean(row.get(f"{column}_null_reason") or row.get("null_reason") or "not computed")
                cells.append(
                    share_of(row[column], reason=reason) if kind == "%" else figure(row[column], 2, reason=reason)
                )
            out.append(
                Row(Cell(clean(row["operator_id"]), kind="code"), [Cell(clean(row["park_id"]), kind="code"), *cells])
            )
        head = [
            Column("Operator", "text"),
            Column("Park", "text"),
            *[Column(label) for _, label in amounts],
            *[Column(label) for _, label, _ in ratios],
        ]
        blocks.append(
            Table(
                "What the operators earn and owe",
                head,
                out,
                OPERATORS,
                unit=unit_text(currency, scale),
                as_of=month_text(month),
            )
        )
    return blocks


__all__ = [
    "Missing",
    "concentration",
    "covenant_rows",
    "deals",
    "distribution",
    "draws",
    "months_of",
    "stress",
    "stress_rows",
]
