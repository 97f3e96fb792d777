"""Tables of the ledgers are kept by point of knowledge: a month more computes what its close knows, and history ends as a full refresh."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from building import PROJECT, run_dbt
from random_contracts import draw
from raw_fixture import create_raw, put
from test_metering_is_rebuilt_by_day import HOURS as BY_FILE
from test_metering_is_rebuilt_by_day import TABLES as BY_DAY
from test_use_is_kept_by_month import TABLE as BY_MONTH

# What each table is kept by, and a column that is spoilt to see which parts are built anew.
KEPT = {
    "int_share_segments": ("point_no", "days_in_force"),
    "int_backstop_segments": ("point_no", "gpu_count"),
    "int_share_components": ("point_no", "gpu_hours"),
    "int_share_revenue": ("point_no", "gpu_hours"),
    "int_share_bases": ("point_no", "gpu_hours"),
    "int_share_tiers": ("point_no", "share_amount"),
    "int_share_month_states": ("point_no", "share_amount"),
    "int_backstop_hours": ("point_no", "excluded_raw_gpu_hours"),
    "int_statement_steps": ("point_no", "gpu_hours"),
    "int_journal_stands": ("point_no", "amount"),
    "int_journal_entries": ("point_no", "amount"),
    "fct_share_line": ("service_month", "share_amount"),
    "int_exposure_periods": ("as_of_month", "annual_cap_amount"),
    "int_max_exposure": ("as_of_month", "max_exposure_amount"),
    "fct_statement_step": ("known_at", "amount"),
}
CLOCKS = ("2027-05-15T00:00:00Z", "2027-06-20T00:00:00Z")  # April closes on 10 May, May on 10 June
SPOILT = -98765


def sql(home: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute("SET TimeZone = 'UTC'")
        return con.execute(query, list(values)).fetchall()


def schema(table: str) -> str:
    return {"fct_statement_step": "ledger", "fct_share_line": "revenue_share"}.get(table, "intermediate")


def run(home: Path, *arguments: str) -> None:
    done = run_dbt(home, "run", *arguments)
    assert done.returncode == 0, done.stdout[-4000:]


def all_rows(home: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table of every schema that dbt writes, but the notes of which parts stand."""
    tables = sql(
        home,
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE schema_name NOT IN ('raw', 'main')"
        " AND NOT starts_with(table_name, 'standing__') ORDER BY ALL",
    )
    return {f"{schema}.{table}": sql(home, f"FROM {schema}.{table} ORDER BY ALL") for schema, table in tables}


def at(home: Path, clock_at: str) -> None:
    sql(home, "UPDATE raw.home SET clock_at = ?, as_of_date = ?", clock_at, clock_at[:10])


def late_bill(con: duckdb.DuckDBPyConnection) -> None:
    [(park_id, lease_id)] = con.execute(
        "SELECT park_id, min(lease_id) FROM raw.leases GROUP BY 1 ORDER BY 1 LIMIT 1"
    ).fetchall()
    bill = {"kind": "other_revenue", "service_date": date(2027, 3, 3), "amount": 777, "currency_code": "USD"}
    put(
        con,
        "lease_adjustments",
        park_id=park_id,
        lease_id=lease_id,
        adjustment_id="late",
        recorded_at="2027-03-05T00:00:00Z",
        **bill,
    )


def amendment(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        "UPDATE raw.share_tier SET rate = rate / 2 WHERE contract_id = (SELECT max(contract_id) FROM raw.contract)"
    )


def restated_rate(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("UPDATE raw.fx_rate SET rate = rate * 1.01 WHERE rate_date BETWEEN '2027-03-01' AND '2027-03-03'")


def later_plan(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        "UPDATE raw.tranche SET gpu_count = gpu_count + 1 WHERE contract_id = (SELECT min(contract_id) FROM raw.contract)"
    )


def corrected_use(con: duckdb.DuckDBPyConnection) -> None:
    """The first that was told of each park, as it came to be known after April had closed."""
    [(told,)] = con.execute(
        "INSERT INTO raw.lease_usage BY NAME SELECT * REPLACE (gpu_hours + 1 AS gpu_hours, content_hash || 'x' AS content_hash,"
        " TIMESTAMPTZ '2027-05-20 00:00:00+00' AS recorded_at) FROM raw.lease_usage WHERE recorded_at < '2027-04-01'"
        " QUALIFY row_number() OVER (PARTITION BY park_id ORDER BY interval_start_at, lease_id) = 1"
    ).fetchall()
    assert told


def another_lease(con: duckdb.DuckDBPyConnection) -> None:
    """One that had been known in April, under a version that turns it to another contract."""
    con.execute(
        "INSERT INTO raw.leases BY NAME SELECT * REPLACE (version + 1 AS version, TIMESTAMPTZ '2027-04-20 00:00:00+00' AS recorded_at,"
        " gpu_count + 1 AS gpu_count, content_hash || 'x' AS content_hash) FROM raw.leases ORDER BY ALL LIMIT 1"
    )


def change(home: Path, *changes: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute("SET TimeZone = 'UTC'")
        for one in changes:
            one(con)


def as_known_in_may(home: Path, count: int, *changes: Callable[[duckdb.DuckDBPyConnection], None]) -> Path:
    """Random contracts, changed in some way."""
    home.mkdir()
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        create_raw(con)
        draw(con, home, seed=4, count=count)
    change(home, *changes)
    at(home, CLOCKS[0])
    seeded = run_dbt(home, "seed")
    assert seeded.returncode == 0, seeded.stdout[-4000:]
    run(home)
    return home


@pytest.fixture
def books(tmp_path: Path) -> Path:
    return as_known_in_may(tmp_path / "books", 3)


def refreshed(home: Path) -> None:
    """What stands is what a full refresh makes of it, in every table."""
    history = all_rows(home)
    run(home, "--full-refresh", "--exclude", "int_gpu_hours__by_tranche_hour")
    anew = all_rows(home)
    assert history.keys() == anew.keys()
    for table, rows in anew.items():
        assert history[table] == rows, table


@pytest.mark.slow
def test_a_month_more_computes_its_own_points_and_history_equals_a_full_refresh(books: Path) -> None:
    spoilt = {
        table: sql(books, f"UPDATE {schema(table)}.{table} SET {column} = {SPOILT} RETURNING contract_id, {key}")
        for table, (key, column) in KEPT.items()
    }
    points = set(
        sql(
            books,
            "SELECT contract_id, point_no FROM intermediate.int_knowledge_points WHERE is_posted AND NOT is_provisional",
        )
    )
    at(books, CLOCKS[1])
    run(books)
    for table, (key, column) in KEPT.items():
        kept = set(sql(books, f"SELECT contract_id, {key} FROM {schema(table)}.{table} WHERE {column} = {SPOILT}"))
        assert kept, table
        assert kept <= set(spoilt[table])
        if key == "point_no":  # of the points that had closed none is built again; those that the clock had made are
            assert kept == {part for part in spoilt[table] if part in points}, table
            # The journal holds closes alone, and all of them had closed.
            assert kept < set(spoilt[table]) or table in {"int_journal_stands", "int_journal_entries"}, table
    for table in KEPT:
        sql(books, f"DELETE FROM intermediate.standing__{table}")
    run(books)
    refreshed(books)


@pytest.mark.slow
@pytest.mark.parametrize("what", [late_bill, amendment, restated_rate, later_plan, another_lease, corrected_use])
def test_whatever_is_learnt_late_history_equals_a_full_refresh(
    books: Path, what: Callable[[duckdb.DuckDBPyConnection], None]
) -> None:
    at(books, CLOCKS[1])
    run(books)
    change(books, what)
    run(books)
    refreshed(books)


def a_year_made_up_by_price_in_may(con: duckdb.DuckDBPyConnection) -> None:
    """Prices move with the rate of exchange, so that no two months share alike, and little is learnt of a month after its close."""
    for feed in ("leases", "lease_adjustments", "credit_events"):
        con.execute(f"DELETE FROM raw.{feed} WHERE recorded_at > '2027-05-10'")
    con.execute("DELETE FROM raw.lease_usage WHERE recorded_at > '2027-05-10' AND interval_end_at < '2027-05-02'")
    for terms in ("contract_version", "share_terms"):
        con.execute(f"UPDATE raw.{terms} SET recorded_at = '2027-01-01'")
    con.execute("UPDATE raw.leases SET currency_code = 'AUD'")
    con.execute("UPDATE raw.contract SET expiry_date = '2027-05-31'")
    con.execute("DELETE FROM raw.share_activation")
    con.execute("DELETE FROM raw.share_tier")
    con.execute(
        "UPDATE raw.share_terms SET true_up_frequency = 'calendar_year', share_basis = 'pct_of_base', base_measure = 'gross_billed',"
        " floor_price_per_gpu_hour = NULL, breakpoint_amount = NULL, minimum_amount = NULL, minimum_period = NULL"
    )
    con.execute(
        "INSERT INTO raw.share_tier BY NAME SELECT contract_id, share_id, amendment_id, 1 AS tier_no, 'price_per_gpu_hour' AS axis,"
        " 0 AS from_value, 1 AS to_value, 0.25 AS rate, 'marginal' AS application FROM raw.share_terms"
    )
    con.execute(
        "INSERT INTO raw.share_tier BY NAME SELECT * REPLACE (2 AS tier_no, 1 AS from_value, NULL AS to_value, 0.1 AS rate)"
        " FROM raw.share_tier"
    )


@pytest.mark.slow
def test_a_year_made_up_at_a_later_close_takes_the_prices_of_the_months_that_stand(tmp_path: Path) -> None:
    home = as_known_in_may(tmp_path / "books", 1, a_year_made_up_by_price_in_may)
    at(home, CLOCKS[1])
    run(home)
    whole = sql(home, "FROM intermediate.int_share_tiers ORDER BY ALL")
    [(last, standing)] = sql(
        home,
        "SELECT max(point_no), count(*) FILTER (segment_point_no < point_no) FROM intermediate.int_share_true_up_members",
    )
    assert standing
    [(years,)] = sql(
        home,
        "SELECT count(*) FROM intermediate.int_share_tiers WHERE is_true_up AND slice_amount <> 0 AND point_no = ?",
        last,
    )
    assert years >= 2
    sql(home, "DELETE FROM intermediate.standing__int_share_tiers WHERE point_no = ?", last)
    run(home, "--select", "int_share_tiers")
    assert sql(home, "FROM intermediate.int_share_tiers ORDER BY ALL") == whole


def test_every_model_that_is_kept_from_run_to_run_is_held_against_a_full_refresh() -> None:
    kept = {
        path.stem
        for path in (PROJECT / "models").rglob("*.sql")
        if re.search(r"materialized\s*=\s*(['\"]incremental|incremental_)", path.read_text(encoding="utf-8"))
    }
    assert kept == {*(table.split(".")[1] for table in (*BY_DAY, BY_FILE, BY_MONTH)), *KEPT}
