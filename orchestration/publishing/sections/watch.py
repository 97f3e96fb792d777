"""What to keep an eye on: interest rates, what ties a park to its vendor, closed months that late facts restated, inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.publishing import charts
from orchestration.publishing.formats import (
    clean,
    join_words,
    missing,
    money,
    money_scale,
    month_text,
    number,
    percent,
    scenario_text,
    sentence_case,
    short_month_text,
    term_text,
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
from orchestration.publishing.sections.risk import STRESS, stress_rows
from orchestration.publishing.view import (
    CannotCompute,
    View,
    contract_parks,
    currencies,
    latest,
    need,
    restated,
    terms_in_force,
    total,
    upto,
)

RATES = "credit.fct_rate_sensitivity_month"
LOCK_IN = "credit.fct_lock_in_month"
TERMS = "core.fct_contract_terms"
JOURNAL = "ledger.fct_journal_lines"
CAPACITY = "metering.fct_capacity_day"
STREAMS = (("share", "Share"), ("claim", "Claims"))
TIES = (
    r"^(exit_right|exclusivity|no_cross_collateral|pledge_cap|max_future_revenue|excluded_assets|portability|step_in"
    r"|lender_direct|survives_operator|seller_withdrawal|termination)"
)
ENOUGH_COVERAGE = Decimal("0.95")


def rates(view: View) -> Section:
    """What each stress takes from the vendor, and what the value of shares and claims does when the yield curve moves."""
    return build(
        view,
        "rates",
        "Stress tornado and rate sensitivity",
        "Which stress costs most, and what do shares and claims to come lose when the yield curve moves?",
        [
            ("stress tornado", _tornado),
            ("present values under parallel shifts", _parallel),
            ("key-rate changes", _key_rates),
        ],
    )


def _parallel(view: View) -> Sequence[Block]:
    frame = need(view, RATES, "contract_id", "month", "stream", "shock", "present_value_amount", "change_amount")
    month, found = latest(upto(view, frame, "month", RATES), "month")
    moved = found.filter(pl.col("shock").str.starts_with("parallel_"))
    blocks: list[Block] = []
    for currency, mine in currencies(view, moved):
        shifts = sorted({int(str(one).removeprefix("parallel_")) for one in mine["shock"].unique()})
        scale = money_scale(mine["change_amount"])
        out = []
        for contract in mine["contract_id"].unique().sort():
            for stream, label in STREAMS:
                part = mine.filter((pl.col("contract_id") == contract) & (pl.col("stream") == stream))
                if part.is_empty():
                    continue
                at = {int(str(row["shock"]).removeprefix("parallel_")): row for row in part.to_dicts()}
                still = at.get(0, {})
                out.append(
                    Row(
                        Cell(clean(contract), kind="code"),
                        [
                            Cell(label),
                            figure(still.get("present_value_amount"), scale.digits, scale.divisor),
                            figure(still.get("effective_duration_years"), 2, reason="no cash flow left"),
                            *[
                                figure(at.get(shift, {}).get("change_amount"), scale.digits, scale.divisor, signed=True)
                                for shift in shifts
                                if shift
                            ],
                        ],
                    )
                )
        head = [
            Column("Contract", "text"),
            Column("Stream", "text"),
            Column("Present value"),
            Column("Duration", unit="years"),
            *[Column(f"{number(shift, signed=True)} bp") for shift in shifts if shift],
        ]
        notes = ["Changes of the present value under a parallel shift of the curve; a shift reprices every cash flow."]
        unit = unit_text(currency, scale)
        blocks.append(
            Table("Present value under shifts of the curve", head, out, RATES, unit, month_text(month), notes)
        )
    return blocks


def _key_rates(view: View) -> Sequence[Block]:
    frame = need(view, RATES, "month", "stream", "key_rate_years", "shift_bp", "change_amount", "contract_id")
    month, found = latest(upto(view, frame, "month", RATES), "month")
    found = found.filter(pl.col("key_rate_years").is_not_null())
    if found.is_empty():
        raise CannotCompute(f"table {RATES} has no key rates")
    drawings = []
    for currency, mine in currencies(view, found):
        scale = money_scale(mine["change_amount"])
        for stream, label in STREAMS:
            part = mine.filter(pl.col("stream") == stream)
            if part.is_empty():
                continue
            bars = [
                charts.Bar(
                    f"{years:g} y", float(value / scale.divisor), number(value, scale.digits, scale.divisor), "red"
                )
                for years in part["key_rate_years"].unique().sort()
                for value in [total(part.filter(pl.col("key_rate_years") == years)["change_amount"])]
            ]
            title = f"{label}: where on the curve"
            said = f"change of the present value when one key rate rises: {join_words([f'{b.name} {b.text}' for b in bars])}"
            chart = charts.rows(f"chart-key-{stream}-{currency.lower()}", title, said, bars, name_width=48)
            shifts = sorted({int(shift) for shift in part["shift_bp"].unique()})
            unit = f"{unit_text(currency, scale)}, {month_text(month)}; one key rate up by {join_words([str(one) for one in shifts])} bp"
            drawings.append(Drawing(chart, unit, RATES))
    return [Drawings(drawings)]


def _tornado(view: View) -> Sequence[Block]:
    month, found = stress_rows(view)
    changes = ("share_change_amount", "claim_change_amount", "expected_credit_loss_change_amount")
    if not set(changes) <= set(found.columns):
        raise CannotCompute(f"table {STRESS} has no changes against the baseline")
    drawings = []
    for currency, mine in currencies(view, found):
        sums = {
            str(scenario): total(rows[changes[0]]) - total(rows[changes[1]]) - total(rows[changes[2]])
            for (scenario,), rows in mine.partition_by("scenario_id", as_dict=True).items()
        }
        worst = sorted((item for item in sums.items() if item[1]), key=lambda item: (item[1], item[0]))
        if not worst:
            continue
        scale = money_scale(sums.values())
        bars = [
            charts.Bar(
                sentence_case(scenario_text(name))[:28],
                float(value / scale.divisor),
                number(value, scale.digits, scale.divisor, signed=True),
                "red" if value < 0 else "teal",
            )
            for name, value in worst
        ]
        title = "Stress tornado"
        said = f"change of the vendor's share less claims less expected loss: {join_words([f'{b.name} {b.text}' for b in bars])}"
        chart = charts.rows(f"chart-tornado-{currency.lower()}", title, said, bars, name_width=150)
        unit = f"{unit_text(currency, scale)}, {month_text(month)}; share less claims less expected loss"
        drawings.append(Drawing(chart, unit, STRESS))
    if not drawings:
        raise CannotCompute("no scenario changes anything")
    return [Drawings(drawings)]


# --- what ties -------------------------------------------------------------------------------------


def lock_in(view: View) -> Section:
    """Exclusivity, pledges, what leaving costs, and what a competition authority would look at."""
    return build(
        view,
        "lock-in",
        "Lock-in, collateral and competition watch",
        "What ties each park to one vendor, and what would it cost each side to leave?",
        [("lock-in in sentences", _tied), ("lock-in by contract", ties), ("terms that tie", tying_terms)],
    )


def _lock_rows(view: View) -> tuple[date, pl.DataFrame]:
    frame = need(view, LOCK_IN, "contract_id", "month", "vendor_gpu_fraction", "exclusivity_in_force")
    return latest(upto(view, frame, "month", LOCK_IN), "month")


def _tied(view: View) -> Sequence[Block]:
    month, found = _lock_rows(view)
    parks = contract_parks(view)
    said = []
    for row in found.sort("contract_id").to_dicts():
        park = parks.get(row["contract_id"], clean(row["contract_id"]))
        part = to_decimal(row["vendor_gpu_fraction"])
        exclusive = "an exclusivity is in force" if row["exclusivity_in_force"] else "no exclusivity is in force"
        quota = to_decimal(row.get("purchase_quota_fraction"))
        promised = f", a purchase quota of {percent(quota, 0)} is promised" if quota else ""
        gpus = f"{percent(part, 0)} of its GPUs are the vendor's" if part is not None else missing("GPUs by maker")
        said.append(f"{park}: {gpus}; {exclusive}{promised}.")
    said.append(
        f"Signs that a competition authority would look at, as of {month_text(month)}: exclusivity, quotas, pledges of future "
        "revenue and fees on exit. No term here says that one is unlawful."
    )
    return [Prose(said)]


def _ported(row: Mapping[str, Any]) -> str:
    """What is agreed on portability, and once somebody has left whether it was met."""
    agreed_on, met = words(row.get("portability_obligation") or ""), row.get("portability_met")
    return agreed_on if met is None else f"{agreed_on}, {'met' if met else 'not met'}"


def ties(view: View) -> Sequence[Block]:
    month, found = _lock_rows(view)
    blocks: list[Block] = []
    for currency, mine in currencies(view, found.sort("contract_id")):
        costs = [f"{who}_exit_cost_amount" for who in ("operator", "vendor", "lender")]
        scale = money_scale(value for column in (*costs, "pledged_amount") for value in mine[column])
        out = []
        for row in mine.to_dicts():
            left = row.get("exclusivity_months_left")
            out.append(
                Row(
                    Cell(clean(row["contract_id"]), kind="code"),
                    [
                        share_of(row["vendor_gpu_fraction"], 0),
                        Cell("in force", tone="bad") if row["exclusivity_in_force"] else Cell("none", tone="good"),
                        figure(left, reason="no exclusivity"),
                        share_of(row.get("purchase_quota_fraction"), 0, reason="none agreed"),
                        figure(row["pledged_amount"], scale.digits, scale.divisor),
                        share_of(row.get("pledge_to_revenue_fraction"), reason="no revenue"),
                        figure(row.get("exit_right_count")),
                        *[
                            figure(
                                row[column],
                                scale.digits,
                                scale.divisor,
                                reason=clean(
                                    row.get(f"{column.removesuffix('_amount')}_null_reason") or "not computed"
                                ),
                            )
                            for column in costs
                        ],
                        text(_ported(row)),
                    ],
                )
            )
        head = [
            Column("Contract", "text"),
            Column("Vendor's GPUs"),
            Column("Exclusivity", "text"),
            Column("Months left"),
            Column("Purchase quota"),
            Column("Pledged"),
            Column("Pledge to revenue"),
            Column("Exit rights"),
            Column("Operator's exit cost"),
            Column("Vendor's exit cost"),
            Column("Lender's exit cost"),
            Column("Portability", "text"),
        ]
        unit = unit_text(currency, scale)
        blocks.append(Table("What ties, and what leaving costs", head, out, LOCK_IN, unit, month_text(month)))
    return blocks


def tying_terms(view: View) -> Sequence[Block]:
    """Terms on exit, exclusivity, pledges and insolvency with their grades; says so where none is agreed."""
    terms = terms_in_force(view)
    ties = terms.filter(
        pl.col("term").str.contains(TIES) | pl.col("instrument").is_in(["collateral", "exclusivity", "exit_rights"])
    )
    return terms_table("Terms on exit, exclusivity, pledges and insolvency", ties, "No such term is agreed or known.")


def terms_table(caption: str, terms: pl.DataFrame, none: str) -> Sequence[Block]:
    """Terms as rows: what each says, its grade and source."""
    if terms.is_empty():
        return [Prose([none])]
    out = [
        Row(
            Cell(clean(row["contract_id"]), kind="code"),
            [
                Cell(words(row["instrument"])),
                Cell(words(str(row["term"]).replace(".", " "))),
                text(
                    clean(term_text(str(row["term"]), str(row["value_text"]))),
                    grade=clean(row["evidence_grade"] or "ungraded"),
                ),
                text(clean(row.get("source") or "")),
            ],
        )
        for row in terms.to_dicts()
    ]
    head = [
        Column("Contract", "text"),
        Column("Instrument", "text"),
        Column("Term", "text"),
        Column("Says, and grade", "text"),
        Column("Source", "text"),
    ]
    return [Table(caption, head, out, TERMS, folded=len(out) > 25)]


# --- what has been restated ------------------------------------------------------------------------


def restatements(view: View) -> Sequence[Block]:
    """Closed months that late facts or amendments changed: what was posted later, in which month."""
    found = restated(view)
    if not found:
        return [Prose(["No closed month has been restated."])]
    out = [
        Row(
            Cell(short_month_text(one.service_month)),
            [
                Cell(clean(one.contract_id), kind="code"),
                Cell(sentence_case(words(one.event.removeprefix("accrue_")))),
                Cell(short_month_text(one.posting_month)),
                Cell(money(one.before, one.currency), "number", exact=str(one.before)),
                Cell(money(one.before + one.change, one.currency), "number", exact=str(one.before + one.change)),
                Cell(
                    ("+" if one.change > 0 else "") + money(one.change, one.currency), "number", exact=str(one.change)
                ),
            ],
        )
        for one in found
    ]
    head = [
        Column("Service month", "text"),
        Column("Contract", "text"),
        Column("What", "text"),
        Column("Posted in", "text"),
        Column("As closed"),
        Column("As restated"),
        Column("Change"),
    ]
    notes = ["A closed month stays as it was closed; what became known later is posted in the next open month."]
    return [Table("Prior periods restated", head, out, JOURNAL, notes=notes)]


def seen_hours(view: View) -> tuple[date, dict[str, tuple[Decimal, Decimal]]]:
    """The latest month, and of each park its installed GPU-hours and those of them without a sample."""
    frame = need(view, CAPACITY, "park_id", "service_date", "installed_gpu_hours", "no_sample_gpu_hours")
    by_month = frame.with_columns(month=pl.col("service_date").dt.truncate("1mo"))
    month, rows = latest(upto(view, by_month, "month", CAPACITY), "month")
    parks = rows.partition_by("park_id", as_dict=True)
    return month, {
        str(park): (total(mine["installed_gpu_hours"]), total(mine["no_sample_gpu_hours"]))
        for (park,), mine in sorted(parks.items(), key=lambda item: str(item[0][0]))
    }


def coverage(view: View) -> Sequence[Block]:
    """How much of the installed hours telemetry covers, park by park, in the latest month."""
    month, parks = seen_hours(view)
    out = []
    for park, (installed, unseen) in parks.items():
        part = (installed - unseen) / installed if installed else None
        tone = "bad" if part is not None and part < ENOUGH_COVERAGE else ""
        out.append(
            Row(
                Cell(clean(park), kind="code"),
                [
                    figure(installed),
                    figure(unseen),
                    share_of(part, 2, reason="nothing installed"),
                    Cell("below 95 %", tone=tone) if tone else Cell("enough"),
                ],
            )
        )
    head = [
        Column("Park", "text"),
        Column("Installed", unit="GPU-hours"),
        Column("Without a sample", unit="GPU-hours"),
        Column("Coverage"),
        Column("Judgement", "text"),
    ]
    return [Table("Coverage by telemetry", head, out, CAPACITY, as_of=month_text(month))]


# --- inputs ----------------------------------------------------------------------------------------


def inputs(view: View) -> Section:
    """Every file behind the figures, with its hash."""
    return build(
        view,
        "inputs",
        "Inputs",
        "Which files stand behind these figures, to the byte?",
        [("terms and reference data", _written), ("landed files", _landed)],
    )


def _written(view: View) -> Sequence[Block]:
    listed = view.manifest.get("inputs")
    if not isinstance(listed, Mapping) or not listed:
        raise CannotCompute("the manifest does not list them")
    out = [Row(Cell(clean(path), kind="code"), [_digest(digest)]) for path, digest in sorted(listed.items())]
    head = [Column("File", "text"), Column("SHA-256, first 16 digits", "text")]
    return [Table(f"Terms and reference data ({number(len(out))} files)", head, out, "manifest.json", folded=True)]


def _landed(view: View) -> Sequence[Block]:
    name = "quality.fct_landed_file"
    frame = need(view, name, "file_id", "park_id", "feed", "path", "received_at", "row_count", "state")
    out = [
        Row(
            Cell(clean(row["path"]), kind="code"),
            [
                Cell(clean(row["park_id"]), kind="code"),
                Cell(clean(row["feed"]), kind="code"),
                Cell(f"{row['received_at']:%Y-%m-%d}") if row["received_at"] else absent("not stated"),
                figure(row["row_count"]),
                Cell(words(row["state"]), tone="" if row["state"] == "landed" else "bad"),
                _digest(row["file_id"]),
            ],
        )
        for row in frame.sort("park_id", "feed", "path").to_dicts()
    ]
    head = [
        Column("File", "text"),
        Column("Park", "text"),
        Column("Feed", "text"),
        Column("Received", "text"),
        Column("Rows"),
        Column("State", "text"),
        Column("SHA-256, first 16 digits", "text"),
    ]
    return [Table(f"Landed files ({number(len(out))})", head, out, name, folded=True)]


def _digest(value: Any) -> Cell:
    return Cell(clean(value)[:16], kind="code") if value else absent("not given")
