"""Figures of the monitor: rounding, footing, missing values, grades, the split of movements."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal

import monitor_frames
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.publishing import formats, view
from orchestration.publishing.page import Cell, Column, Row, Table, build, figure
from orchestration.publishing.sections import backstop, credit, movements, operations, record, risk, share

MILLIONS = formats.Scale(Decimal(1_000_000), "m", 1)
AMOUNTS = st.decimals(-(10**10), 10**10, places=2, allow_nan=False)


@pytest.fixture(scope="module")
def seen() -> view.View:
    return view.make_view(monitor_frames.all_tables(), monitor_frames.manifest())


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        ("0.125", 2, "0.13"), ("-0.125", 2, "−0.13"), ("2.5", 0, "3"), ("-2.5", 0, "−3"),
        ("1234567.891", 1, "1,234,567.9"),
        ("-0.001", 2, "0.00"), ("416913.5825", 2, "416,913.58"),
    ],
)  # fmt: skip
def test_numbers_round_half_away_from_zero_and_carry_a_true_minus(value: str, digits: int, text: str) -> None:
    assert formats.number(Decimal(value), digits) == text


def test_a_missing_figure_reads_not_available_with_its_reason_and_never_zero() -> None:
    assert formats.missing("no sales in the window") == "n/a — no sales in the window"
    cell = figure(None, reason="no sales in the window")
    assert (cell.kind, cell.text) == ("missing", "n/a — no sales in the window")
    assert formats.number(float("nan")) == "n/a"
    assert formats.percent(None) == "n/a"


def test_the_same_reason_is_told_once_beneath_a_column_or_once_in_a_row(seen: view.View) -> None:
    def lines(_: view.View) -> list[Table]:
        gone, other = figure(None, reason="no sales"), figure(None, reason="not filed")
        rows = [Row(Cell("a"), [gone, gone, other, figure(1)]), Row(Cell("b"), [figure(2), gone, other, figure(3)])]
        return [Table("t", [Column("x", "text"), *(Column(head) for head in "pqrs")], rows, "table")]

    (table,) = build(seen, "i", "t", "q", [("lines", lines)]).blocks
    assert isinstance(table, Table)
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["n/a — no sales", "n/a", "n/a", "1"],
        ["2", "n/a", "n/a", "3"],
    ]
    assert table.notes == ["q: n/a — no sales.", "r: n/a — not filed."]
    assert table.rows[0].cells[1].reason == "no sales"


def test_disputed_items_stand_beside_the_buckets_and_add_up_with_them_to_the_receivable(seen: view.View) -> None:
    aged = seen.tables["credit.fct_ageing_month"].with_columns(
        disputed_amount=pl.when(pl.col("bucket") == "current").then(pl.lit(Decimal("1000000.00"))).otherwise(None)
    )
    (table, *_) = credit.ageing_table(replace(seen, tables={**seen.tables, "credit.fct_ageing_month": aged}))
    assert isinstance(table, Table)
    heads = [column.head for column in table.columns[1:]]
    disputed, whole = heads.index("Disputed"), heads.index("Receivable")
    for row in table.rows:
        exact = [Decimal(cell.exact) for cell in row.cells[: whole + 1]]
        assert exact[disputed] >= 1_000_000
        assert sum(exact[:whole]) == exact[whole]


def test_scenarios_are_said_to_break_other_contracts_only_where_there_are_others() -> None:
    rows = pl.DataFrame(
        {
            "scenario_id": ["baseline", "stress-x", "baseline", "stress-x"],
            "contract_id": ["a", "a", "b", "b"],
            "covenant_breached": [True, True, False, True],
        }
    )
    assert risk.broken_by_stress(rows) == (["a"], ["x"], 1)
    assert risk.broken_by_stress(rows.filter(pl.col("contract_id") == "a")) == (["a"], None, 1)
    assert risk.broken_by_stress(rows.filter(pl.col("contract_id") == "b")) == ([], ["x"], 1)


def test_an_exact_zero_is_a_dash_and_a_rounded_zero_is_not() -> None:
    assert figure(Decimal("0.00"), 1).text == "–"
    assert figure(Decimal("0.01"), 1).text == "0.0"


def test_a_name_loses_controls_and_direction_overrides_but_not_its_letters() -> None:
    assert formats.clean("a\u202eb\x00c\nd") == "a\ufffdb\ufffdc\ufffdd"
    assert formats.clean("Żabka & Søn <GmbH>") == "Żabka & Søn <GmbH>"
    assert len(formats.clean("x" * 500)) == formats.MAX_NAME_LENGTH


@given(st.lists(AMOUNTS, min_size=1, max_size=8))
def test_rounded_parts_add_up_to_the_rounded_total_and_stay_within_one_step(parts: list[Decimal]) -> None:
    shown, total = formats.foot(parts, MILLIONS)
    assert sum(shown) == total == formats.round_half_away(sum(parts) / MILLIONS.divisor, 1)
    assert all(abs(a - b / MILLIONS.divisor) < Decimal("0.1") for a, b in zip(shown, parts, strict=True))


@settings(deadline=None)  # the first call loads scipy
@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(AMOUNTS, min_size=n, max_size=n), min_size=1, max_size=4)))
def test_a_rounded_grid_adds_up_along_rows_and_columns(rows: list[list[Decimal]]) -> None:
    grid = formats.foot_grid(rows, MILLIONS)
    for line in grid:
        assert sum(line[:-1]) == line[-1]
    for column in zip(*grid, strict=True):
        assert sum(column[:-1]) == column[-1]
    whole = sum((cell for row in rows for cell in row), Decimal(0)) / MILLIONS.divisor
    assert grid[-1][-1] == formats.round_half_away(whole, 1)
    for shown, exact in zip(grid, rows, strict=False):
        for a, b in zip(shown, exact, strict=False):
            assert abs(a - b / MILLIONS.divisor) < Decimal("0.1") + Decimal("1e-9")


def shown(cell_text: str) -> Decimal:
    return Decimal(0) if cell_text == "–" else Decimal(cell_text.replace(",", "").replace("−", "-"))


@pytest.mark.parametrize(
    "section",
    [operations.programme, share.section, backstop.section, credit.receivables, credit.credit_loss, record.quality],
)
def test_totals_foot_as_shown(seen: view.View, section: object) -> None:
    checked = 0
    for block in section(seen).blocks:  # type: ignore[operator]
        if not isinstance(block, Table):
            continue
        columns = [index for index, column in enumerate(block.columns[1:]) if column.kind == "number"]
        totals = [number for number, row in enumerate(block.rows) if row.kind == "total"]
        start = 0
        for at in totals:
            for column in columns:
                total = block.rows[at].cells[column]
                parts = [row.cells[column] for row in block.rows[start:at]]
                if total.kind not in {"number", "zero"} or "%" in total.text or any("%" in part.text for part in parts):
                    continue  # rates are no sums
                if "as filed" in block.columns[column + 1].head:
                    continue  # the issuer's own total is shown as filed, and a note says where it differs
                assert sum(shown(part.text) for part in parts) == shown(total.text), block.caption
                checked += 1
            start = at + 1
    assert checked > 0


def test_roll_forwards_foot_across_from_opening_to_closing(seen: view.View) -> None:
    tables = [
        block
        for block in [*credit.receivables(seen).blocks, *credit.credit_loss(seen).blocks]
        if isinstance(block, Table) and block.caption.startswith("Roll-forward")
    ]
    assert len(tables) == 3
    for table in tables:
        for row in table.rows:
            values = [shown(cell.text) for cell in row.cells]
            assert sum(values[:-1]) == values[-1]
        assert not any("differs" in note for note in table.notes)


def test_a_roll_forward_that_does_not_foot_says_by_how_much(seen: view.View) -> None:
    name = credit.ROLL
    broken = seen.tables[name].with_columns(pl.col("closing_amount") + Decimal("5.00"))
    told = credit.receivables(replace(seen, tables={**seen.tables, name: broken}))
    notes = [note for block in told.blocks if isinstance(block, Table) for note in block.notes]
    assert any("differs from the sum of its lines by USD\u00a05.00" in note for note in notes)
    assert any("differs from the control account" in note for note in notes)


def test_effects_of_a_movement_sum_to_the_change_exactly_and_as_shown(seen: view.View) -> None:
    moves = [
        *movements.share_movements(seen), *movements.claim_movements(seen), *movements.receivable_movements(seen),
        *movements.allowance_movements(seen), *movements.exposure_movements(seen),
    ]  # fmt: skip
    assert len(moves) == 5
    for move in moves:
        assert abs(sum(value for _, value in move.effects) - move.change) < Decimal("0.005"), move.name
        parts = [shown(text.rstrip("m").replace("+", "")) for _, _, text in move.shown_effects()]
        whole = formats.round_half_away(move.change / move.scale.divisor, move.scale.digits)
        assert abs(sum(parts) - whole) <= Decimal(1).scaleb(-move.scale.digits)


def test_claims_are_explained_by_unsold_hours_in_words(seen: view.View) -> None:
    (move,) = movements.claim_movements(seen)
    assert re.match(
        r"Backstop claims fell from USD\u00a0[\d.]+m in November 2027 to USD\u00a0[\d.]+m in December 2027 "
        r"because unsold hours fell from [\d.]+ to [\d.]+ m GPU-hours: third-party hours −",
        move.sentence(),
    )


def test_claims_on_guaranteed_revenue_are_explained_by_what_was_billed(seen: view.View) -> None:
    name = "backstop.fct_backstop_month"
    billed = {date(2027, 11, 1): Decimal(900), date(2027, 12, 1): Decimal(700)}
    frame = seen.tables[name].with_columns(
        guaranteed_gpu_hours=pl.col("committed_gpu_hours"),
        third_party_revenue_amount=pl.col("service_month").replace_strict(billed, default=None),
    )
    (move,) = movements.claim_movements(replace(seen, tables={**seen.tables, name: frame}))
    effects = dict(move.effects)
    tranches = frame.filter(pl.col("service_month") == date(2027, 12, 1)).height
    assert effects["billed to third parties"] == 200 * tranches
    assert effects["third-party hours"] == 0
    assert sum(effects.values()) == move.change


def test_a_movement_that_did_not_happen_is_said_to_be_none() -> None:
    move = movements.Movement(
        "Share", "USD", date(2027, 11, 1), date(2027, 12, 1), Decimal(5), Decimal(5), [("rate", Decimal(0))], "", "t"
    )
    assert move.sentence() == "Share stood unchanged at USD\u00a05.00 in December 2027."


def test_amounts_of_two_currencies_are_never_added(seen: view.View) -> None:
    frame = seen.tables[share.SHARE].with_columns(
        pl.when(pl.col("contract_id").str.starts_with("firmus"))
        .then(pl.lit("AUD"))
        .otherwise(pl.lit("USD"))
        .alias("currency_code")
    )
    moves = movements.share_movements(replace(seen, tables={**seen.tables, share.SHARE: frame}))
    assert [move.currency for move in moves] == ["AUD", "USD"]


def test_every_assumed_term_shows_its_grade_beside_its_value(seen: view.View) -> None:
    terms = view.terms_in_force(seen)
    shown_terms = {
        (row.head.text, row.cells[0].grade)
        for block in record.terms(seen).blocks
        if isinstance(block, Table)
        for row in block.rows
    }
    for row in terms.to_dicts():
        assert (f"{row['instrument']}.{row['term']}", row["evidence_grade"]) in shown_terms


def test_rates_prices_and_charts_that_rest_on_terms_carry_the_weakest_grade(seen: view.View) -> None:
    table = next(
        block
        for block in share.section(seen).blocks
        if isinstance(block, Table) and block.caption == "From base to invoice"
    )
    assert [row.cells[1].grade for row in table.rows if row.kind != "total"] == ["assumed", "assumed"]
    found = view.evidence(seen, "backstop", "price|committed")
    assert found == view.Evidence("assumed", ("committed_fraction",))


def test_a_term_without_a_grade_counts_as_weaker_than_assumed(seen: view.View) -> None:
    name = "core.fct_contract_terms"
    ungraded = seen.tables[name].with_columns(
        pl.when(pl.col("term") == "buyback_price")
        .then(None)
        .otherwise(pl.col("evidence_grade"))
        .alias("evidence_grade")
    )
    changed = replace(seen, tables={**seen.tables, name: ungraded})
    assert view.evidence(changed, "backstop", "price|committed") == view.Evidence("ungraded", ("buyback_price",))


def test_the_waterfall_takes_deductions_as_published_negative_or_as_magnitudes() -> None:
    def rows(tax: str) -> list[dict[str, object]]:
        return [
            {"component": "gross", "amount": Decimal("1848000.00")},
            {"component": "sales_tax", "amount": Decimal(tax)},
            {"component": "base", "amount": Decimal("1680000.00")},
        ]

    for tax in ("-168000.00", "168000.00"):
        steps, foots = share.components(rows(tax))
        assert foots
        assert steps[1] == ("sales_tax", Decimal("-168000.00"))
    assert share.components(rows("1.00"))[1] is False


def test_the_filed_commitments_are_read_by_year_and_in_total(seen: view.View) -> None:
    years, whole, grade, _ = backstop.issuer_commitments(seen)
    assert [(label, int(value)) for label, value, _ in years] == [
        ("FY27", 0), ("FY28", 6000), ("FY29", 8000), ("FY30", 7000), ("FY31", 6000), ("FY32+", 9000),
    ]  # fmt: skip
    assert (whole, grade) == (Decimal(36000), "P")


def test_yearly_commitments_that_are_not_published_are_said_to_be_missing(seen: view.View) -> None:
    name = backstop.FACTS
    total_only = seen.tables[name].filter(pl.col("item") == "ai_cloud_agreements")
    section = backstop.section(replace(seen, tables={**seen.tables, name: total_only}))
    sentences = [sentence for block in section.blocks for sentence in getattr(block, "sentences", ())]
    assert any("n/a — issuer.fct_issuer_fact has no yearly items" in sentence for sentence in sentences)


def test_a_term_is_in_force_on_its_last_day_and_gone_on_the_next(seen: view.View) -> None:
    name = "core.fct_contract_terms"
    ending = seen.tables[name].with_columns(
        pl.when(pl.col("term") == "tiers").then(pl.lit(seen.as_of)).otherwise(pl.col("valid_to")).alias("valid_to")
    )
    tables = {**seen.tables, name: ending}
    assert "tiers" in view.terms_in_force(replace(seen, tables=tables))["term"].to_list()
    after = replace(seen, tables=tables, as_of=date(2028, 1, 1))
    assert "tiers" not in view.terms_in_force(after)["term"].to_list()


def test_deals_for_comparison_are_no_contracts_of_the_book(seen: view.View) -> None:
    assert "sharon-amd-deal" in seen.tables["core.dim_contract"]["contract_id"].to_list()
    assert view.vendor_text(seen) == "NVIDIA"
    assert "sharon-amd-deal" not in view.contract_parks(seen)


def test_what_breaks_first_shows_the_level_of_each_driver_or_why_there_is_none(seen: view.View) -> None:
    (table,) = risk.breaking(seen)
    assert isinstance(table, Table)
    row = next(row for row in table.rows if "dscr" in row.head.text.lower())
    assert [cell.text for cell in row.cells][1:4] == [
        "−21.7\u00a0%",
        "n/a — not searched",
        "holds to 100",
    ]


def test_deals_are_summed_over_their_years_and_shown_with_their_worst(seen: view.View) -> None:
    table = risk._deals_table(seen)[0]
    assert isinstance(table, Table)
    own, none = table.rows
    assert [cell.text for cell in own.cells] == ["in force", "18.0", "22.0", "60.0", "4.0", "4.0"]
    assert [cell.text for cell in none.cells][:3] == ["", "–", "40.0"]


def test_a_park_that_nothing_has_observed_has_no_part_in_the_utilisation_of_all() -> None:
    tables = monitor_frames.all_tables()
    days = tables["metering.fct_capacity_day"]
    silent = days.with_columns(
        pl.lit("quiet-1").alias("park_id"),
        *(
            pl.lit(0).cast(days.schema[name]).alias(name)
            for name in ("available_gpu_hours", "busy_gpu_hours", "coverage_fraction")
        ),
    )
    park = tables["core.dim_park"][0].with_columns(park_id=pl.lit("quiet-1"), park_name=pl.lit("Quiet"))
    more = {
        **tables,
        "metering.fct_capacity_day": pl.concat([days, silent]),
        "core.dim_park": pl.concat([tables["core.dim_park"], park]),
    }
    alone, beside = (
        operations.capacity_table(view.make_view(one, monitor_frames.manifest()))[0] for one in (tables, more)
    )
    assert isinstance(alone, Table)
    assert isinstance(beside, Table)
    assert [cell.exact for cell in beside.rows[-1].cells[-3:]] == [cell.exact for cell in alone.rows[-1].cells[-3:]]
    quiet = next(row for row in beside.rows if row.head.text == "Quiet")
    assert [cell.text for cell in quiet.cells[-3:]] == [
        "n/a — nothing available",
        "n/a — no telemetry",
        "n/a — no telemetry",
    ]
