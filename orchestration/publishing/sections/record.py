"""What the figures rest on: data quality, the register of metrics, terms with their evidence, method and sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.publishing import charts
from orchestration.publishing.formats import (
    clean,
    count_text,
    instant_text,
    join_words,
    number,
    percent,
    sentence_case,
    short_day_text,
    short_month_text,
    to_decimal,
    words,
)
from orchestration.publishing.page import (
    Block,
    Cell,
    Column,
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
from orchestration.publishing.sections import watch
from orchestration.publishing.view import (
    GRADES,
    CannotCompute,
    View,
    contracts,
    grade_rank,
    latest,
    months_of,
    need,
    optional,
    ratio,
    terms_in_force,
    total,
    upto,
)

FILES = "quality.fct_landed_file"
QUARANTINE = "quality.fct_quarantined_row"
CHECKS = "quality.fct_check_result"
EXCEPTIONS = "metering.fct_metering_exceptions"
METRICS = "monitor.dim_metric"
VALUES = "monitor.fct_metric_month"
ALERTS = "monitor.fct_alert"
COUNTS = ("landed_count", "duplicate_count", "superseded_count", "quarantined_count")
MOST_ROWS = 40
LONG = 400


def quality(view: View) -> Section:
    """Landed files, quarantine, checks with figures, metering exceptions."""
    return build(
        view,
        "quality",
        "Data quality",
        "What came in, what was kept out, and did the books reconcile?",
        [
            ("what landed", _files),
            ("coverage by telemetry", watch.coverage),
            ("prior periods restated", watch.restatements),
            ("quarantined rows", _quarantine),
            ("checks", _checks),
            ("metering exceptions", _exceptions),
            ("alerts", alerts),
        ],
    )


def _files(view: View) -> Sequence[Block]:
    frame = need(view, FILES, "feed", "row_count", "state", *COUNTS)
    grouped = (
        frame.group_by("feed")
        .agg(
            pl.len().alias("files"),
            (pl.col("state") == "rejected").sum().alias("rejected"),
            *[pl.col(column).sum() for column in ("row_count", *COUNTS)],
        )
        .sort("feed")
    )
    rows = [
        Row(
            Cell(clean(row["feed"]), kind="code"),
            [figure(row[column]) for column in ("files", "rejected", "row_count", *COUNTS)],
        )
        for row in grouped.to_dicts()
    ]
    sums = {column: total(grouped[column]) for column in ("files", "rejected", "row_count", *COUNTS)}
    rows.append(Row(Cell("All feeds"), [figure(value) for value in sums.values()], "total"))
    gap = sums["row_count"] - sum((sums[column] for column in COUNTS), Decimal(0))
    notes = ["Every row is landed, duplicate, superseded or quarantined: the four counts add up to the rows."]
    if gap:
        notes = [f"The four counts miss the rows by {number(gap)}: a defect, reported here as found."]
    head = [
        Column("Feed", "text"),
        Column("Files"),
        Column("Rejected files"),
        Column("Rows"),
        Column("Landed"),
        Column("Duplicate"),
        Column("Superseded"),
        Column("Quarantined"),
    ]
    kept = ratio(sums["landed_count"], sums["row_count"])
    said = (
        f"{count_text(int(sums['files']), 'file', 'files')} held "
        f"{count_text(int(sums['row_count']), 'row', 'rows')}: "
        f"{number(sums['landed_count'])} count ({percent(kept, 2)}), {number(sums['quarantined_count'])} stand in quarantine."
    )
    return [Prose([said]), Table("What landed, by feed", head, rows, FILES, notes=notes)]


def _quarantine(view: View) -> Sequence[Block]:
    frame = view.tables.get(QUARANTINE)
    if frame is None or not {"feed", "rule"} <= set(frame.columns):
        raise CannotCompute(f"table {QUARANTINE} is not in this snapshot, or without feed and rule")
    if frame.is_empty():
        return [Prose(["No row stands in quarantine."])]
    columns = [column for column in ("feed", "rule", "column_name") if column in frame.columns]
    grouped = (
        frame.group_by(columns)
        .agg(pl.len().alias("rows"))
        .sort(["rows", *columns], descending=[True] + [False] * len(columns))
    )
    listed = grouped.head(MOST_ROWS).to_dicts()
    rows = [
        Row(
            Cell(words(row["rule"])),
            [Cell(clean(row["feed"]), kind="code"), text(clean(row.get("column_name") or "")), figure(row["rows"])],
        )
        for row in listed
    ]
    rows.append(Row(Cell("All rules"), [Cell(""), Cell(""), figure(frame.height)], "total"))
    if grouped.height > MOST_ROWS:
        rest = total(grouped.slice(MOST_ROWS)["rows"])
        rows.insert(-1, Row(Cell("Other rules"), [Cell(""), Cell(""), figure(rest)]))
    head = [Column("Rule", "text"), Column("Feed", "text"), Column("Column", "text"), Column("Rows")]
    return [Table("Why rows stand in quarantine", head, rows, QUARANTINE)]


def latest_checks(view: View) -> pl.DataFrame:
    """The checks of the snapshot's run (of its last run where the manifest names none)."""
    frame = need(view, CHECKS, "run_id", "check_name", "passed")
    wanted = view.manifest.get("run_id")
    mine = frame.filter(pl.col("run_id") == str(wanted)) if wanted else frame
    return mine if not mine.is_empty() else frame


def _checks(view: View) -> Sequence[Block]:
    frame = latest_checks(view).sort(["passed", "check_name"])
    failed = frame.filter(~pl.col("passed").fill_null(value=False))
    passed = frame.height - failed.height
    rows = [
        Row(
            _check_name(row["check_name"]),
            [
                Cell(clean(row.get("table_name") or "", LONG), kind="code"),
                text(clean(row.get("severity") or "")),
                Cell("passed", tone="good") if row["passed"] else Cell("failed", tone="bad"),
                text(clean(row["measured"])) if row.get("measured") is not None else absent("not measured"),
                text(clean(row["expected"])) if row.get("expected") is not None else absent("not stated"),
            ],
        )
        for row in frame.to_dicts()
    ]
    head = [
        Column("Check", "text"),
        Column("Table", "text"),
        Column("Severity", "text"),
        Column("Result", "text"),
        Column("Measured", "text"),
        Column("Expected", "text"),
    ]
    names = [clean(one) for one in failed["check_name"].head(4)]
    said = f"{number(passed)} of {count_text(frame.height, 'check', 'checks')} passed"
    said += f"; failed: {join_words(names)}{' …' if failed.height > 4 else ''}." if names else "."
    is_long = frame.height > MOST_ROWS
    return [
        Prose([said]),
        *([_checks_by_schema(frame)] if is_long else []),
        Table("Checks, failures first", head, rows, CHECKS, folded=frame.height > 12, on_paper=not is_long),
        *([Table("Checks that failed", head, rows[: failed.height], CHECKS)] if is_long and names else []),
    ]


def _checks_by_schema(frame: pl.DataFrame) -> Table:
    """How many checks look at which part of the snapshot, and how many of them failed."""
    named = frame.with_columns(schema=pl.col("table_name").fill_null("").str.extract(r"^(\w+)\.", 1).fill_null("other"))
    counted = named.group_by("schema").agg(
        pl.len().alias("all"), (~pl.col("passed").fill_null(value=False)).sum().alias("failed")
    )
    rows = [
        Row(Cell(words(row["schema"])), [figure(row["all"]), figure(row["failed"])])
        for row in counted.sort("schema").to_dicts()
    ]
    rows.append(Row(Cell("All"), [figure(frame.height), figure(total(counted["failed"]))], "total"))
    head = [Column("Part of the snapshot", "text"), Column("Checks"), Column("Failed")]
    return Table("Checks by what they look at", head, rows, CHECKS)


def _check_name(name: Any) -> Cell:
    """A check that is a sentence stands as one; the name of an expectation or a dbt test as the code that it is."""
    said = clean(name, LONG)
    return Cell(sentence_case(said)) if " " in said else Cell(said, kind="code")


def _exceptions(view: View) -> Sequence[Block]:
    frame = view.tables.get(EXCEPTIONS)
    if frame is None or not {"kind", "quantity", "unit"} <= set(frame.columns):
        raise CannotCompute(f"table {EXCEPTIONS} is not in this snapshot")
    if frame.is_empty():
        return [Prose(["Metering found no exceptions."])]
    grouped = frame.group_by("kind", "unit").agg(pl.len().alias("rows"), pl.col("quantity").sum()).sort("kind", "unit")
    rows = [
        Row(
            Cell(sentence_case(words(row["kind"]))),
            [
                figure(row["rows"]),
                figure(row["quantity"], 1),
                text(clean(row["unit"] or "").replace("gpu_hours", "GPU-hours").replace("_", " ")),
            ],
        )
        for row in grouped.to_dicts()
    ]
    head = [Column("Exception", "text"), Column("Occurrences"), Column("Quantity"), Column("Unit", "text")]
    return [Table("Metering exceptions", head, rows, EXCEPTIONS)]


def open_alerts(view: View) -> pl.DataFrame:
    """Alerts that are not cleared; raises CannotCompute where alerts are not published."""
    frame = view.tables.get(ALERTS)
    if frame is None or not {"metric", "entity_id", "month", "rule", "severity"} <= set(frame.columns):
        raise CannotCompute(f"table {ALERTS} is not in this snapshot")
    kept = frame.filter(pl.col("month") <= view.month)
    if "cleared_at" not in kept.columns:
        return kept
    # An alert that a later month cleared stood on the as-of day.
    end = datetime.combine(view.as_of + timedelta(days=1), time(), UTC)
    return kept.filter(pl.col("cleared_at").is_null() | (pl.col("cleared_at") > end))


def alerts(view: View) -> Sequence[Block]:
    frame = open_alerts(view)
    if frame.is_empty():
        return [Prose(["No alert is open."])]
    known = optional(view, METRICS, "metric", "title", "unit")
    rows_of = known.to_dicts() if known is not None else []
    titles = {row["metric"]: clean(row["title"]) for row in rows_of}
    units = {row["metric"]: clean(row["unit"] or "") for row in rows_of}
    book = contracts(view, "currency_code")
    money_of = dict(book.select("contract_id", "currency_code").iter_rows()) if book is not None else {}
    rows = [
        Row(
            Cell(sentence_case(clean(row["rule"], LONG))),
            [
                Cell(clean(row["entity_id"]), kind="code"),
                Cell(words(row["severity"]), tone="bad" if row["severity"] == "critical" else ""),
                text(short_month_text(row["month"])),
                text(titles.get(row["metric"]) or words(row["metric"])),
                _alert_figure(row, "value", units, "missing"),
                _alert_figure(row, "measured_value", units, "not published"),
                _alert_figure(row, "threshold", units, "not published"),
                Cell(
                    _alert_unit(row, units, money_of, str(view.manifest.get("reporting_currency_code") or "currency"))
                ),
            ],
        )
        for row in frame.sort(["severity", "month", "metric", "entity_id"], descending=[False, True, False, False])
        .head(MOST_ROWS)
        .to_dicts()
    ]
    head = [
        Column("What is wrong", "text"),
        Column("Of", "text"),
        Column("Severity", "text"),
        Column("Since", "text"),
        Column("Metric", "text"),
        Column("Value", unit="when raised"),
        Column("Measured", unit="by the rule"),
        Column("Against"),
        Column("Unit", "text"),
    ]
    notes = [
        "Measured is what the rule looks at: the value, its change, its change a month, the months left, or the months missing."
    ]
    return [Table(f"Open alerts ({number(frame.height)})", head, rows, ALERTS, notes=notes)]


def _alert_figure(row: Mapping[str, Any], column: str, units: Mapping[str, str], reason: str) -> Cell:
    """A figure of an alert in its metric's unit, the value with its grade. What a rule other than of a level measures is no
    figure of that unit: a change, a part of it, months.
    """
    is_level = column == "value" or row.get("kind") in {None, "level"}
    cell = _value_cell(row.get(column), units.get(row["metric"], "") if is_level else "", reason)
    return replace(cell, grade=clean(row.get("evidence_grade") or "") if column == "value" else "")


def _alert_unit(row: Mapping[str, Any], units: Mapping[str, str], money_of: Mapping[str, str], other: str) -> str:
    unit = units.get(row["metric"], "")
    return "%" if _is_fraction(unit) else unit.replace("currency", clean(money_of.get(row["entity_id"]) or other))


def metrics(view: View) -> Section:
    """Every metric of the register with its last value, the one before and its course."""
    return build(
        view,
        "metrics",
        "Register of metrics",
        "Every monthly metric, with its formula, course and evidence.",
        [("metrics", _metric_table), ("definitions", _definitions)],
    )


def _is_fraction(unit: Any) -> bool:
    return any(word in str(unit or "").lower() for word in ("fraction", "%"))


def _value_cell(value: Any, unit: str, reason: str) -> Cell:
    if _is_fraction(unit):
        return share_of(value, reason=reason)
    exact = to_decimal(value)
    digits = 0 if exact is not None and abs(exact) >= 1000 else 2
    return figure(value, digits, reason=reason)


def _metric_table(view: View) -> Sequence[Block]:
    register = need(view, METRICS, "metric", "title", "formula", "unit").to_dicts()
    frame = upto(view, need(view, VALUES, "metric", "entity_level", "entity_id", "month", "value"), "month", VALUES)
    levels = ("programme", "issuer", "park", "contract")
    rows = []
    for metric in register:
        mine = frame.filter(pl.col("metric") == metric["metric"])
        level = next((one for one in levels if one in mine["entity_level"].to_list()), None)
        if level is None:
            rows.append(_metric_row(metric, "", (absent("no value published"), absent("no value published"), Cell(""))))
            continue
        here = mine.filter(pl.col("entity_level") == level)
        for entity in here["entity_id"].unique().sort():
            series = here.filter(pl.col("entity_id") == entity).sort("month").to_dicts()
            last = series[-1]
            reason = clean(last.get("null_reason") or "not published")
            before = series[-2]["value"] if len(series) > 1 else None
            values = [None if one["value"] is None else float(one["value"]) for one in series[-24:]]
            drawn = charts.sparkline(values, f"{clean(metric['title'])}, {count_text(len(values), 'month', 'months')}")
            rows.append(
                _metric_row(
                    metric,
                    "" if level == "programme" else clean(entity),
                    (
                        _value_cell(last["value"], str(metric["unit"] or ""), reason),
                        _value_cell(
                            before, str(metric["unit"] or ""), "no month before" if len(series) < 2 else reason
                        ),
                        Cell("", svg=drawn),
                    ),
                    grade=clean(last.get("evidence_grade") or ""),
                    month=short_month_text(last["month"]),
                    currency=clean(last.get("currency_code") or ""),
                )
            )
    head = [
        Column("Metric", "text"),
        Column("Of", "text"),
        Column("Value"),
        Column("Month before"),
        Column("Unit", "text"),
        Column("Course", "text"),
        Column("Month", "text"),
        Column("Grade", "text"),
    ]
    return [Table(f"{number(len(register))} metrics", head, rows, f"{METRICS}, {VALUES}", folded=False)]


def _definitions(view: View) -> Sequence[Block]:
    register = need(view, METRICS, "metric", "title", "formula", "unit").to_dicts()
    better = {"up": "higher", "down": "lower", "none": "neither"}
    rows = [
        Row(
            Cell(clean(metric["title"] or words(metric["metric"]))),
            [
                Cell(clean(metric["formula"] or "", LONG)),
                Cell(clean(metric["unit"] or "")),
                Cell(better.get(str(metric.get("better")), "")),
                Cell(clean(metric.get("source") or "")),
            ],
        )
        for metric in register
    ]
    head = [
        Column("Metric", "text"),
        Column("Formula", "text"),
        Column("Unit", "text"),
        Column("Better", "text"),
        Column("Source", "text"),
    ]
    return [Table(f"Definitions of {number(len(rows))} metrics", head, rows, METRICS, folded=True)]


def _metric_row(
    metric: Mapping[str, Any],
    entity: str,
    cells: tuple[Cell, Cell, Cell],
    *,
    grade: str = "",
    month: str = "",
    currency: str = "",
) -> Row:
    unit = "%" if _is_fraction(metric["unit"]) else clean(metric["unit"] or "")
    if currency:
        unit = unit.replace("currency", currency)
    return Row(
        Cell(clean(metric["title"] or words(metric["metric"]))),
        [
            Cell(entity, kind="code") if entity else Cell("programme", tone="quiet"),
            cells[0],
            cells[1],
            Cell(unit),
            cells[2],
            Cell(month),
            Cell("", grade=grade),
        ],
    )


def terms(view: View) -> Section:
    """Every term in force with its grade of evidence."""
    return build(
        view,
        "terms",
        "Terms and evidence",
        "Which terms are public, and which are assumed?",
        [("terms in force", _terms_table)],
    )


def _counted(rows: pl.DataFrame) -> str:
    """The grades of these terms with their counts, in words."""
    grades = [clean(grade or "ungraded") for grade in rows["evidence_grade"]]
    ordered = sorted(set(grades), key=lambda one: (grade_rank(one), one))
    return join_words([f"{number(grades.count(grade))} {grade}" for grade in ordered])


def grade_counts(view: View) -> dict[str, int]:
    """How many terms in force stand at each grade, best first; terms without a grade count as "ungraded"."""
    grades = [clean(row["evidence_grade"] or "ungraded") for row in terms_in_force(view).to_dicts()]
    return {grade: grades.count(grade) for grade in sorted(set(grades), key=lambda one: (grade_rank(one), one))}


def _terms_table(view: View) -> Sequence[Block]:
    frame = terms_in_force(view)
    counts = grade_counts(view)
    said = join_words([f"{number(count)} {grade}" for grade, count in counts.items()])
    blocks: list[Block] = [
        Prose(
            [
                f"{count_text(frame.height, 'term', 'terms')} in force on {short_day_text(view.as_of)}: {said}.",
                "Grades: " + "; ".join(f"{grade} — {meaning}" for grade, meaning in GRADES.items()) + ".",
            ]
        )
    ]
    for contract in frame["contract_id"].unique().sort():
        mine = frame.filter(pl.col("contract_id") == contract)
        rows = [
            Row(
                Cell(f"{clean(row['instrument'])}.{clean(row['term'])}", kind="code"),
                [
                    Cell(
                        clean(row["value_text"], LONG) if row["value_text"] is not None else "none",
                        grade=clean(row["evidence_grade"] or "ungraded"),
                    ),
                    Cell(short_day_text(row["valid_from"])),
                    text(clean(row.get("amendment_id") or "")),
                    text(clean(row["source"], LONG)) if row.get("source") else absent("no source given"),
                ],
            )
            for row in mine.to_dicts()
        ]
        head = [
            Column("Term", "text"),
            Column("Value and grade", "text"),
            Column("Valid from", "text"),
            Column("Amendment", "text"),
            Column("Source", "text"),
        ]
        blocks.append(
            Table(
                f"Terms of {clean(contract)}: {_counted(mine)}",
                head,
                rows,
                "core.fct_contract_terms",
                as_of=short_day_text(view.as_of),
                folded=mine.height > MOST_ROWS,
            )
        )
    return blocks


def method(view: View, queries: Sequence[tuple[str, str, str]]) -> Section:
    """How figures are made and where each is found; `queries` are (figure, shown value, SQL)."""
    parts = [
        ("how figures are made", _method_prose),
        ("the run", _run_table),
        ("where headline figures are found", lambda _: _queries(queries)),
        ("tables in this snapshot", _tables),
    ]
    return build(
        view, "method", "Method and sources", "Where does each figure come from, and how is it found in SQL?", parts
    )


def _method_prose(_view: View) -> Sequence[Block]:
    return [
        Prose(
            [
                "Every figure here is read, or summed, from the published table named beneath it; nothing is typed in.",
                (
                    "Figures are rounded half away from zero. Where a table has totals, its parts are rounded "
                    "together so that they add up as shown; the exact value stands in each cell's data attribute "
                    "and in the table."
                ),
                "Amounts of two currencies are never added. What cannot be computed is n/a with its reason, not zero.",
                "Months, days and hours follow the clock of each park; knowledge times are UTC.",
                "Occupancy is leased over available hours; utilisation is busy over leased hours.",
            ]
        )
    ]


def _run_table(view: View) -> Sequence[Block]:
    manifest = view.manifest
    rows = [
        Row(Cell("Run"), [text(clean(manifest["run_id"])) if manifest.get("run_id") else absent("not in the manifest")])
    ]
    rows.append(Row(Cell("As of"), [Cell(short_day_text(view.as_of))]))
    rows.append(
        Row(Cell("Known at"), [Cell(instant_text(view.known_at)) if view.known_at else absent("not in the manifest")])
    )
    versions = manifest.get("versions")
    if isinstance(versions, Mapping):
        rows += [
            Row(Cell(f"Version of {clean(name)}"), [text(clean(value))]) for name, value in sorted(versions.items())
        ]
    else:
        rows.append(Row(Cell("Versions"), [absent("not in the manifest")]))
    return [Table("This snapshot", [Column("What", "text"), Column("Value", "text")], rows, "manifest.json")]


def _queries(queries: Sequence[tuple[str, str, str]]) -> Sequence[Block]:
    if not queries:
        raise CannotCompute("no headline figure could be computed")
    rows = [Row(Cell(name), [Cell(value), Cell(sql, kind="sql")]) for name, value, sql in queries]
    head = [Column("Figure", "text"), Column("Shown", "text"), Column("The same in SQL", "text")]
    return [Table("Headline figures in SQL", head, rows, "parkledger.duckdb")]


def _tables(view: View) -> Sequence[Block]:
    listed = view.manifest.get("tables")
    told: Mapping[str, Any] = listed if isinstance(listed, Mapping) else {}
    rows = []
    for name in sorted({*view.tables, *map(str, told)}):
        entry = told.get(name)
        digest = ""
        if isinstance(entry, Mapping):
            digest = next((clean(entry[key]) for key in ("content_hash", "sha256", "hash") if entry.get(key)), "")
        frame = view.tables.get(name)
        count = frame.height if frame is not None else (entry.get("row_count") if isinstance(entry, Mapping) else None)
        rows.append(
            Row(
                Cell(clean(name), kind="code"),
                [
                    figure(count, reason="not given"),
                    Cell(digest[:16], kind="code") if digest else absent("not in the manifest"),
                ],
            )
        )
    head = [Column("Table", "text"), Column("Rows"), Column("Content hash", "text")]
    return [Table(f"Tables read ({number(len(view.tables))})", head, rows, "manifest.json", folded=True)]


__all__ = [
    "Missing",
    "grade_counts",
    "latest",
    "latest_checks",
    "method",
    "metrics",
    "months_of",
    "open_alerts",
    "quality",
    "terms",
]
