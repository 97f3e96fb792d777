"""READINGS of the contract, "a worked month": February 2027 from raw rows to the journal, to the cent."""

from __future__ import annotations

import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from building import build, run_dbt
from scenarios import worked_month

FEBRUARY = date(2027, 2, 1)


@pytest.fixture(scope="module")
def home(make_home: Any) -> Path:
    return make_home("worked-month", worked_month)


@pytest.fixture
def warehouse(home: Path) -> Any:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        yield con


def test_the_share_is_416_913_58(warehouse: duckdb.DuckDBPyConnection) -> None:
    row = warehouse.execute(
        "SELECT base_amount, share_before_limits_amount, share_amount, invoiced_amount"
        " FROM revenue_share.fct_share_month WHERE service_month = ?",
        [FEBRUARY],
    ).fetchall()
    assert row == [(Decimal("1667654.33"), Decimal("416913.5825"), Decimal("416913.58"), Decimal("416913.58"))]


def test_the_base_shows_gross_tax_and_penalty(warehouse: duckdb.DuckDBPyConnection) -> None:
    rows = dict(
        warehouse.execute(
            "SELECT component, amount FROM revenue_share.fct_share_base_month WHERE service_month = ?", [FEBRUARY]
        ).fetchall()
    )
    assert rows == {
        "gross": Decimal("1680000"),
        "sales_tax": Decimal("168000"),
        "excluded_sales_tax": Decimal("-168000"),
        "sla_penalty": Decimal("-12345.67"),
        "base": Decimal("1667654.33"),
    }


def test_the_claim_is_826_560_00_and_the_hours_balance(warehouse: duckdb.DuckDBPyConnection) -> None:
    [claim] = warehouse.execute(
        "SELECT installed_gpu_hours, committed_gpu_hours, excluded_gpu_hours, unsold_gpu_hours, deductible_gpu_hours, claim_gpu_hours,"
        " claim_amount FROM backstop.fct_backstop_month WHERE service_month = ?",
        [FEBRUARY],
    ).fetchall()
    assert claim == tuple(map(Decimal, ("1344000", "1142400", "0", "470400", "57120", "413280", "826560.00")))
    uses = dict(
        warehouse.execute(
            "SELECT use, gpu_hours FROM backstop.fct_capacity_balance_month WHERE service_month = ?", [FEBRUARY]
        ).fetchall()
    )
    assert uses == {
        "third_party": 672000,
        "vendor_use": 0,
        "bought_back": 413280,
        "excluded": 0,
        "deductible": 57120,
        "other_unsold": 201600,
    }


def test_the_month_nets_to_minus_409_646_42_in_the_journal(warehouse: duckdb.DuckDBPyConnection) -> None:
    [(net,)] = warehouse.execute(
        "SELECT -sum(amount) FROM ledger.fct_journal_lines WHERE service_month = ? AND account IN ('share_revenue', 'backstop_cost')",
        [FEBRUARY],
    ).fetchall()
    assert net == Decimal("-409646.42")


def test_the_invoice_is_dated_fifteen_days_after_the_month_and_due_sixty_later(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    documents = warehouse.execute(
        "SELECT item_id, kind, invoice_date, due_date, original_amount FROM ledger.fct_receivable_document"
    ).fetchall()
    assert documents == [
        ("c:2027-02:invoice_share:2027-03", "invoice", date(2027, 3, 15), date(2027, 5, 14), Decimal("416913.58"))
    ]


def test_hours_of_the_rack_count_for_all_its_gpus(warehouse: duckdb.DuckDBPyConnection) -> None:
    sums = warehouse.execute(
        "SELECT sum(installed_gpu_hours), sum(available_gpu_hours), sum(leased_gpu_hours), sum(busy_gpu_hours), sum(it_energy_kwh),"
        " min(coverage_fraction) FROM metering.fct_capacity_day WHERE service_date BETWEEN '2027-02-01' AND '2027-02-28'"
    ).fetchall()
    # 2,000 GPUs for 672 hours at half load and 1 kW each.
    assert sums == [tuple(map(Decimal, ("1344000", "1344000", "672000", "672000", "1344000", "1")))]


def test_a_second_run_changes_no_table(home: Path) -> None:
    def state() -> dict[str, Any]:
        with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
            con.execute("SET TimeZone = 'UTC'")
            tables = con.execute(
                "SELECT table_schema || '.' || table_name FROM information_schema.tables"
                " WHERE table_schema NOT IN ('raw', 'staging') AND table_type = 'BASE TABLE'"
            ).fetchall()
            return {table: sorted(map(repr, con.execute(f"FROM {table}").fetchall())) for (table,) in tables}

    before = state()
    build(home)
    assert state() == before


def test_what_cannot_be_made_anew_stands_as_it_was_and_a_view_gives_way_to_a_table(home: Path, tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    shutil.copy(home / "warehouse.duckdb", warehouse)

    def days() -> list[tuple[Any, ...]]:
        with duckdb.connect(str(warehouse), read_only=True) as con:
            return con.execute("FROM intermediate.int_vendor_calendar ORDER BY ALL").fetchall()

    before = days()
    with duckdb.connect(str(warehouse)) as con:
        con.execute("CREATE OR REPLACE VIEW staging.stg_vendor AS SELECT 'no calendar' AS vendor_id")
    assert run_dbt(tmp_path, "run", "--select", "int_vendor_calendar", target=home.parent / "dbt-target").returncode
    assert before
    assert days() == before

    with duckdb.connect(str(warehouse)) as con:
        con.execute("DROP TABLE intermediate.int_vendor_calendar")
        con.execute("CREATE VIEW intermediate.int_vendor_calendar AS SELECT 'no calendar' AS vendor_id")
    done = run_dbt(tmp_path, "run", "--select", "stg_vendor int_vendor_calendar", target=home.parent / "dbt-target")
    assert done.returncode == 0, done.stdout[-6000:]
    assert days() == before


@pytest.mark.slow
def test_every_unit_test_of_the_project_passes(home: Path) -> None:
    done = run_dbt(home, "test", "--select", "test_type:unit")
    assert done.returncode == 0, done.stdout[-6000:]
