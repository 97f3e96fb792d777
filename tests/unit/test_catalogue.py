"""The catalogue against what the jobs really give, what the warehouse really holds, and the keys of dbt's own tests."""

from __future__ import annotations

import ast
from dataclasses import FrozenInstanceError
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest
from jobs_home import (
    CONTRACT,
    LATE_TERMS,
    UTC_TIME,
    D,
    backstop,
    economics,
    event,
    home,
    invoice,
    lease,
    month_list,
    payment,
)
from ruamel.yaml import YAML

from ingest import holding, manifest, mending, quarantine
from orchestration.polars_jobs import programme
from orchestration.publishing import catalogue
from orchestration.publishing.catalogue import DBT, QUALITY, TABLES, tables_of
from orchestration.publishing.snapshot import PUBLISHED_SCHEMAS

ROOT = Path(__file__).parents[2]
MONTHS = month_list(date(2027, 1, 1), 4)
# What tells how a file was read: the landing's own affair, not published.
INTERNAL = {"reading_hash", "row_key", "known_at"}


def _frames():
    """A home in which every table gets rows: two macro scenarios and a stress, a backstop, cash early, late (with interest)
    and left over, a write-off, a dispute, a loan and two quarters of filings.
    """
    documents = [invoice(date(2026, 12, 1), "100.00", due_days=10), invoice(date(2027, 1, 1), "200.00")]
    documents.append(invoice(date(2027, 1, 1), "-20.00", posted=MONTHS[2], invoice_date=date(2027, 3, 31)))
    payments = [payment("p1", date(2027, 3, 2), "60.00", circular=True), payment("p2", date(2027, 4, 2), "300.00")]
    events = [
        event("w", "write_off", date(2027, 3, 20), amount="10.00"),
        event("d", "dispute_opened", date(2027, 2, 20), payload='{"service_month": "2027-01"}'),
    ]
    frames = backstop(
        home(
            MONTHS, documents, payments, events,
            accruals={date(2027, 2, 1): "50.00"}, policy={"path_count": "200"}, provisional=1,
        )
    )  # fmt: skip
    frames = economics(frames, MONTHS)
    scenarios = [("good", D("0.7"), "systematic_factor", D("0.5")), ("bad", D("0.3"), "pd_multiple", D("1.5"))]
    scenarios.append(("slump", None, "occupancy_change_fraction", D("-0.3")))
    facts = [("stockholders_equity", "228984"), ("revenue", "96221"), ("accounts_receivable_net", "63059")]
    issuer = frames["raw.issuer_fact"]
    return {
        **frames,
        "raw.share_terms": LATE_TERMS,
        "raw.instrument_flow": pl.DataFrame(
            [
                {"instrument_id": "loan", "contract_id": CONTRACT, "flow_date": day, "amount": D(amount), "currency_code": "USD"}
                for day, amount in ((date(2027, 1, 15), "-100.00"), (date(2028, 1, 15), "109.00"))
            ]
        ),
        "staging.stg_leases": pl.DataFrame([lease("L1", 1200, date(2027, 1, 1), date(2031, 1, 1))]),
        "raw.scenario": pl.DataFrame(
            [
                {"scenario_id": name, "scenario_name": name, "weight": weight, "driver": driver, "value": value,
                 "source": "s"}
                for name, weight, driver, value in scenarios
            ]
        ),
        "raw.issuer_fact": pl.concat(
            [issuer.with_columns(item=pl.lit(item), value_text=pl.lit(value), value=pl.lit(D(value)))
             for item, value in facts],
            how="vertical_relaxed",
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def outputs():
    return programme.run_all(_frames())


JOB_TABLES = [table for group in programme.GROUPS for table in tables_of(group)]


def test_every_table_that_the_jobs_give_is_described_and_no_other(outputs):
    assert {table.name for table in JOB_TABLES} == set(outputs)


@pytest.mark.parametrize("table", JOB_TABLES, ids=lambda table: table.name)
def test_every_column_that_a_job_gives_is_described_in_its_order_and_no_other(outputs, table):
    assert list(table.columns) == outputs[table.name].columns


@pytest.mark.parametrize("table", JOB_TABLES, ids=lambda table: table.name)
def test_the_key_names_one_row_and_is_never_null(outputs, table):
    keys = outputs[table.name].select(table.key)
    assert keys.height > 0, "a table without rows proves nothing"
    assert keys.n_unique() == keys.height
    assert sum(keys.null_count().row(0)) == 0


def test_every_described_table_stands_in_a_published_schema():
    assert {name.split(".")[0] for name in TABLES} == set(PUBLISHED_SCHEMAS)


def test_keys_are_made_of_described_columns_each_named_once():
    for table in TABLES.values():
        assert table.key, table.name
        assert len(set(table.key)) == len(table.key), table.name
        assert table.group == DBT or set(table.key) <= set(table.columns), table.name


@pytest.mark.parametrize("group", programme.GROUPS)
def test_the_tables_of_a_group_are_those_that_it_gives_whole(outputs, group):
    """The journal lines come from receivables first and whole from credit_loss."""
    known = {**_frames(), **outputs}
    given = set(programme.GROUPS[group](known))
    if group == "receivables":
        given.remove("credit.fct_credit_journal_lines")
    assert {table.name for table in tables_of(group)} == given


# --- quality ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "ddl"),
    [
        ("fct_landed_file", manifest.LANDED_FILE_DDL),
        ("fct_quarantined_row", quarantine.DDL),
        ("fct_row_warning", quarantine.WARNING_DDL),
        ("fct_released_row", mending.DDL),
        ("fct_held_partition", holding.DDL),
    ],
)
def test_the_tables_of_landing_are_described_as_they_are_created(name, ddl):
    with duckdb.connect() as con:
        con.execute("CREATE SCHEMA raw")
        con.execute(ddl)
        given = [row[0] for row in con.sql(f"DESCRIBE raw.{name.removeprefix('fct_')}").fetchall()]
    assert list(TABLES[f"quality.{name}"].columns) == [column for column in given if column not in INTERNAL]


def test_the_key_of_a_landed_file_is_the_one_that_landing_holds():
    with duckdb.connect() as con:
        con.execute("CREATE SCHEMA raw")
        con.execute(manifest.LANDED_FILE_DDL)
        ((held,),) = con.sql(
            "SELECT constraint_column_names FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY'"
        ).fetchall()
    assert set(TABLES["quality.fct_landed_file"].key) == set(held)


def test_checks_and_runs_have_the_published_columns():
    assert list(TABLES["quality.fct_check_result"].columns) == [
        "run_id", "check_name", "table_name", "severity", "passed", "measured", "expected"
    ]  # fmt: skip
    assert list(TABLES["quality.fct_run"].columns) == [
        "run_id", "started_at", "finished_at", "trigger", "code_version", "as_of", "rows_in", "rows_out"
    ]  # fmt: skip


# --- dbt --------------------------------------------------------------------------------------------------------------


def _keys_of_dbt():
    keys = {}
    for path in sorted((ROOT / "dbt_project" / "models" / "marts").glob("*/*.yml")):
        for model in YAML(typ="safe").load(path)["models"]:
            columns = next(t["primary_key"]["arguments"]["columns"] for t in model["data_tests"] if "primary_key" in t)
            # A column that may be null stands there as coalesce(column, '').
            bare = tuple(column.removeprefix("coalesce(").split(",")[0] for column in columns)
            keys[f"{path.parent.name}.{model['name']}"] = bare
    return keys


def test_the_keys_of_dbts_tables_are_those_that_dbt_tests():
    assert {table.name: table.key for table in tables_of(DBT)} == _keys_of_dbt()


def test_columns_of_dbts_tables_are_left_to_dbts_own_descriptions():
    assert not any(table.columns for table in tables_of(DBT))


# --- words ------------------------------------------------------------------------------------------------------------

COLUMNS = [(table.name, column, text) for table in TABLES.values() for column, text in table.columns.items()]


def _ending(name):
    return [(table, column, text) for table, column, text in COLUMNS if column.endswith(name)]


def test_the_first_sentence_of_every_table_is_its_grain():
    for table in TABLES.values():
        first = table.description.split(". ")[0].rstrip(".")
        assert first.startswith("One row per "), table.name
        assert table.description.endswith("."), table.name


def test_every_description_is_a_sentence():
    for table, column, text in COLUMNS:
        assert text.strip() == text, (table, column)
        assert text.endswith("."), (table, column)
        assert "  " not in text, (table, column)


def test_amounts_say_their_currency_and_stand_beside_it():
    found = [row for row in _ending("amount") if row[1] == "amount" or row[1].endswith("_amount")]
    assert found
    for table, column, text in found:
        assert "currency (currency_code)" in text, (table, column)
        assert "Money in the contract" in text, (table, column)
        assert "currency_code" in TABLES[table].columns, table


def test_fractions_rates_and_probabilities_say_their_range():
    for ending in ("_fraction", "_fraction_without_circular", "_rate", "_probability"):
        assert _ending(ending)
        for table, column, text in _ending(ending):
            assert "0 to 1" in text, (table, column)


def test_durations_say_their_unit():
    for part, words in (("days", "In days."), ("months", "In months."), ("years", "In years.")):
        named = [row for row in COLUMNS if part in row[1].split("_") and not row[1].endswith("_null_reason")]
        assert named
        for table, column, text in named:
            assert words in text, (table, column)


def test_basis_points_counts_and_instants_say_so():
    for ending, words in (("_bp", "basis points"), ("_count", "count"), ("_at", "UTC"), ("_month", "First day")):
        assert _ending(ending)
        for table, column, text in _ending(ending):
            assert words in text, (table, column)


def test_months_are_first_days_and_instants_are_utc_in_the_outputs(outputs):
    for frame in outputs.values():
        for column in frame.columns:
            if column == "month" or column.endswith("_month"):
                assert frame.schema[column] == pl.Date
                assert set(frame[column].drop_nulls().dt.day().to_list()) <= {1}
            if column.endswith("_at"):
                assert frame.schema[column] == UTC_TIME


def test_what_a_text_says_of_its_range_holds_in_the_outputs(outputs):
    beyond = ("above 1", "below 0", "negative")
    checked = 0
    for table, column, text in COLUMNS:
        if table in outputs and "0 to 1" in text and "0 to 10,000" not in text and not any(w in text for w in beyond):
            values = outputs[table][column].drop_nulls()
            assert values.is_between(0, 1).all(), (table, column)
            checked += len(values)
    assert checked > 0


def test_a_reason_stands_beside_every_metric_that_is_null_and_beside_no_other(outputs):
    for frame in outputs.values():
        for column in frame.columns:
            reason = f"{column}_null_reason"
            if reason in frame.columns:
                assert (frame[column].is_null() == frame[reason].is_not_null()).all()


def test_every_shared_description_is_used():
    used = {
        column
        for table in TABLES.values()
        for column, text in table.columns.items()
        if column in catalogue.SHARED and text.startswith(catalogue.SHARED[column])
    }
    assert used == set(catalogue.SHARED)


def test_a_column_that_nobody_describes_and_a_key_that_is_no_column_are_errors():
    with pytest.raises(KeyError):
        catalogue._table("s.t", QUALITY, "run_id", "One row per run.", "run_id unheard_of", own={})
    with pytest.raises(ValueError, match="no column park_id"):
        catalogue._table("s.t", QUALITY, "park_id", "One row per park.", "run_id", own={})
    assert tables_of("no group") == []


def test_names_are_unique_and_tables_do_not_change():
    assert all(name == table.name for name, table in TABLES.items())
    with pytest.raises(FrozenInstanceError):
        TABLES["quality.fct_run"].name = "other"


def test_the_module_needs_nothing_but_the_standard_library():
    tree = ast.parse(Path(catalogue.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"__future__", "collections.abc", "dataclasses"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
