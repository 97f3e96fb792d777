"""Metering tables are kept by park and day: a change reaches its own days and no other, and history ends as a full refresh."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from building import run_dbt
from raw_fixture import create_raw, put, put_lake_files
from scenarios import put_backstop, put_contract, put_home, put_park, put_share, put_tranche

# What each table says of a day; a column that no other table of another rhythm reads, to be spoilt.
TABLES = {
    "intermediate.int_outages__by_tranche_hour": "declared_delivery",
    "intermediate.int_outages__by_tranche_day": "declared_delivery",
    "metering.fct_capacity_hour": "curtailment_gpu_hours",
    "metering.fct_capacity_day": "curtailment_gpu_hours",
    "metering.fct_power_day": "estimated_energy_fraction",
    "metering.fct_lease_revenue_day": "bad_debt_amount",
    "intermediate.int_capacity_contradictions": "over_leased",
}
# By file, not by day's facts: it is held against a full refresh, and spoilt by none.
HOURS = "intermediate.int_gpu_hours__by_tranche_hour"
# Few rows, made anew.
EXCEPTIONS = "metering.fct_metering_exceptions"
OUTAGES, CAPACITY, POWER, REVENUE = (
    list(TABLES)[:2],
    [*list(TABLES)[2:4], list(TABLES)[6]],
    [list(TABLES)[4]],
    [list(TABLES)[5]],
)
SPOILT = -1
Rows = dict[str, dict[date, list[tuple[Any, ...]]]]
EARLY, LATER = "2027-02-01T00:00:00Z", "2027-02-10T06:00:00Z"
LEASE = {
    "park_id": "park",
    "lease_id": "l",
    "tenant_id": "t",
    "contract_id": "c",
    "tranche_id": "tr",
    "gpu_model": "GB300",
    "gpu_count": 2,
    "ends_at": "2027-03-01T00:00:00Z",
    "currency_code": "USD",
    "workload": "training",
    "customer_type": "third_party",
    "pricing": "reserved",
    "status": "active",
}


def hours(day: int, gpus: list[str], recorded_at: str, xid: int | None = None) -> str:
    """One sample of each GPU in each hour of a day of February."""
    return f"""
        SELECT 'park' AS park_id, DATE '2027-02-01' + {day - 1} AS service_date, gpu AS gpu_id, 'n' AS node_id, 'GB300' AS gpu_model,
               'tr' AS tranche_id, timezone('UTC', TIMESTAMP '2027-02-01' + to_days({day - 1}) + to_hours(h::INTEGER)) AS sampled_at,
               sampled_at AS interval_start_at, (1000 * h + {day})::INTEGER AS utilization_milli_pct, 500000000 + h AS power_microwatt,
               1 AS gpu_count, {xid or "NULL"}::INTEGER AS xid_code, TIMESTAMPTZ '{recorded_at}' AS recorded_at,
               row_number() OVER () AS line_no
        FROM range(24) AS hours (h), unnest({gpus!r}) AS gpus (gpu)"""


def meter(con: duckdb.DuckDBPyConnection, day: int, energy_kwh: int, recorded_at: str) -> None:
    put(
        con,
        "power_meter",
        park_id="park",
        meter_id="m",
        register="E1",
        interval_start_at=f"2027-02-{day:02d}T00:00:00Z",
        interval_end_at=f"2027-02-{day + 1:02d}T00:00:00Z",
        energy_kwh=energy_kwh,
        quality="actual",
        role="facility",
        recorded_at=recorded_at,
    )


def nine_days(con: duckdb.DuckDBPyConnection, home: Path) -> None:
    """Four GPUs from 1 February, read until the 9th, two of them let from the 2nd; it is noon of the 10th."""
    put_home(con, "2027-02-10T12:00:00Z")
    put_park(con, time_zone="UTC")
    put_contract(con)
    put_tranche(con, gpu_count=4)
    put_share(con, [{"from_month": 1, "rate": "0.25"}])
    put_backstop(con, [{"price_per_gpu_hour": "2.00"}])
    for day in range(1, 10):
        put_lake_files(con, home, name=f"day-{day}", select=hours(day, ["g1", "g2"], EARLY, 31 if day == 8 else None))
        meter(con, day, 100, EARLY)
    first = {"version": 1, "starts_at": "2027-02-02T06:00:00Z", "price_per_gpu_hour": 2, "recorded_at": EARLY}
    put(con, "leases", **LEASE, **first)


def late_telemetry(con: duckdb.DuckDBPyConnection, home: Path) -> None:
    put_lake_files(con, home, name="late", select=hours(3, ["g3"], LATER))


def outage(con: duckdb.DuckDBPyConnection, _home: Path) -> None:
    put(
        con,
        "credit_events",
        park_id="park",
        event_id="e",
        contract_id="c",
        tranche_id="tr",
        kind="maintenance",
        gpu_count=2,
        effective_at="2027-02-04T10:00:00Z",
        ends_at="2027-02-05T10:00:00Z",
        recorded_at=LATER,
    )


def dearer_lease(con: duckdb.DuckDBPyConnection, _home: Path) -> None:
    second = {"version": 2, "starts_at": "2027-02-08T12:00:00Z", "price_per_gpu_hour": 3, "recorded_at": LATER}
    put(con, "leases", **LEASE, **second)


def corrected_meter(con: duckdb.DuckDBPyConnection, _home: Path) -> None:
    meter(con, 7, 90, LATER)


def credit(con: duckdb.DuckDBPyConnection, _home: Path) -> None:
    put(
        con,
        "lease_adjustments",
        park_id="park",
        adjustment_id="a",
        lease_id="l",
        service_date=date(2027, 2, 2),
        kind="credit",
        amount=-5,
        currency_code="USD",
        recorded_at=LATER,
    )


def late_use(con: duckdb.DuckDBPyConnection, _home: Path) -> None:
    put(
        con,
        "lease_usage",
        park_id="park",
        lease_id="l",
        interval_start_at="2027-02-06T10:00:00Z",
        interval_end_at="2027-02-06T11:00:00Z",
        gpu_hours=1,
        recorded_at=LATER,
    )


def other_fatal_codes(con: duckdb.DuckDBPyConnection, _home: Path) -> None:
    con.execute("UPDATE raw.policy SET value_text = '[31]' WHERE policy = 'fatal_xid_codes'")


def nothing(_con: duckdb.DuckDBPyConnection, _home: Path) -> None:
    pass


def a_day_later(con: duckdb.DuckDBPyConnection, _home: Path) -> None:
    con.execute("UPDATE raw.home SET clock_at = clock_at + INTERVAL 1 DAY")


def a_file_taken_back(con: duckdb.DuckDBPyConnection, _home: Path) -> None:
    con.execute("DELETE FROM raw.lake_file WHERE service_date = '2027-02-06'")


def run(home: Path, *arguments: str) -> None:
    done = run_dbt(home, "run", "--select", "+int_outages__by_tranche_day", "+fct_metering_exceptions", *arguments)
    assert done.returncode == 0, done.stdout[-4000:]


def rows(home: Path) -> Rows:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        found: Rows = {}
        for table in (*TABLES, HOURS, EXCEPTIONS):
            found[table] = {}
            for day, *row in con.execute(f"SELECT service_date, * FROM {table} ORDER BY ALL").fetchall():
                found[table].setdefault(day, []).append(tuple(row))
        return found


def changed(home: Path, *changes: Callable[[duckdb.DuckDBPyConnection, Path], None]) -> tuple[Rows, Rows]:
    """The rows before, and those after the changes, where each day that was not rebuilt is spoilt."""
    before = rows(home)
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute("SET TimeZone = 'UTC'")
        for change in changes:
            change(con, home)
        for table, column in TABLES.items():
            con.execute(f"UPDATE {table} SET {column} = {SPOILT}")
    run(home)
    return before, rows(home)


def rebuilt(after: Rows, table: str) -> set[int]:
    """Days of February of which no row is spoilt; all or none of a day's rows are."""
    spoilt = {day: {SPOILT in row for row in found} for day, found in after[table].items()}
    assert all(len(found) == 1 for found in spoilt.values())
    return {day.day for day, found in spoilt.items() if found == {False}}


def mended(home: Path, before: Rows, after: Rows) -> Rows:
    """History with what was spoilt for the test put back as it had been."""
    whole = {
        table: {d: r if d.day in rebuilt(after, table) else before[table][d] for d, r in after[table].items()}
        for table in TABLES
    }
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute("SET TimeZone = 'UTC'")
        for table in TABLES:
            con.execute(f"DELETE FROM {table}")
            for found in whole[table].values():
                for row in found:
                    con.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", list(row))
    return whole


@pytest.fixture
def metered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("by-day")
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        create_raw(con)
        nine_days(con, home)
    run(home)
    return home


def test_late_rows_and_changed_documents_rebuild_their_own_days_and_history_equals_a_full_refresh(
    metered: Path,
) -> None:
    before, after = changed(metered, late_telemetry, outage, dearer_lease, corrected_meter, credit, late_use)
    for table in OUTAGES:
        assert rebuilt(after, table) == {3, 4, 5}, table
    for table in CAPACITY:
        assert rebuilt(after, table) == {3, 4, 5, 8, 9, 10}, table
    for table in POWER:
        assert rebuilt(after, table) == {3, 4, 5, 7}, table
    for table in REVENUE:
        assert rebuilt(after, table) == {2, 6, 8, 9, 10}, table
    history = mended(metered, before, after)
    run(metered, "--full-refresh")
    refreshed = rows(metered)
    for table in TABLES:
        assert history[table] == refreshed[table], table
    for table in (HOURS, EXCEPTIONS):
        assert after[table] == refreshed[table], table


@pytest.mark.slow
def test_each_kind_of_change_rebuilds_exactly_its_days(metered: Path) -> None:
    everything = set(range(1, 11))
    steps: list[tuple[Any, list[set[int]]]] = [
        # The days of outages, capacity, power and revenue that each change concerns.
        (nothing, [set(), set(), set(), set()]),
        (other_fatal_codes, [{8}, {8}, {8}, set()]),
        (late_telemetry, [{3}, {3}, {3}, set()]),
        (outage, [{4, 5}, {4, 5}, {4, 5}, set()]),
        (dearer_lease, [set(), {8, 9, 10}, set(), {8, 9, 10}]),
        (corrected_meter, [set(), set(), {7}, set()]),
        (credit, [set(), set(), set(), {2}]),
        (late_use, [set(), set(), set(), {6}]),
        (a_file_taken_back, [{6}, {6}, {6}, set()]),
        # The day that had not ended, and the new one; no meter has told of either.
        (a_day_later, [{10, 11}, {10, 11}, set(), {10, 11}]),
        (nothing, [set(), set(), set(), set()]),
    ]
    for change, concerned in steps:
        before, after = changed(metered, change)
        for tables, days in zip((OUTAGES, CAPACITY, POWER, REVENUE), concerned, strict=True):
            for table in tables:
                assert rebuilt(after, table) == days, (change.__name__, table)
        history = mended(metered, before, after)
        everything |= {day.day for day in history["metering.fct_capacity_day"]}
    assert everything == set(range(1, 12))
    run(metered, "--full-refresh")
    refreshed = rows(metered)
    for table in TABLES:
        assert history[table] == refreshed[table], table
    assert after[HOURS] == refreshed[HOURS]
