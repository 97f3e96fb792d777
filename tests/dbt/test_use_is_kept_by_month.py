"""Metered use is kept by park and month: what is told of a month reaches that month alone, and history ends as a full refresh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from building import run_dbt
from raw_fixture import create_raw, put
from scenarios import put_home, put_park

TABLE = "intermediate.int_lease_use"
SPOILT = -1
TOLD_AT = "2027-03-02T00:00:00Z"
Change = Callable[[duckdb.DuckDBPyConnection], None]
# Parks by zone, and the starts of the intervals: in Jakarta March begins at 17:00 of 28 February.
PARKS = {"jakarta": "Asia/Jakarta", "london": "UTC"}
STARTS = ("2027-01-31T12:00:00Z", "2027-02-28T16:00:00Z", "2027-02-28T17:00:00Z")
MONTHS = {("jakarta", 1), ("jakarta", 2), ("jakarta", 3), ("london", 1), ("london", 2)}


def use(con: duckdb.DuckDBPyConnection, park_id: str, starts_at: str, gpu_hours: int, **how: str) -> None:
    hour = {"interval_start_at": starts_at, "interval_end_at": starts_at.replace(":00:00Z", ":59:59Z")}
    about = {"park_id": park_id, "lease_id": "l", "gpu_hours": gpu_hours}
    put(con, "lease_usage", **about, **hour, **{"recorded_at": TOLD_AT, "file_id": "f", **how})


def nothing(_con: duckdb.DuckDBPyConnection) -> None:
    pass


def correction(con: duckdb.DuckDBPyConnection) -> None:
    use(con, "jakarta", STARTS[1], 7, recorded_at="2027-03-05T00:00:00Z")


def another_copy(con: duckdb.DuckDBPyConnection) -> None:
    use(con, "london", STARTS[0], 5, file_id="g")


def the_clock_set_back(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("UPDATE raw.home SET clock_at = '2027-03-04T00:00:00Z'")


def a_row_taken_back(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("DELETE FROM raw.lease_usage WHERE park_id = 'jakarta' AND interval_start_at = ?", [STARTS[2]])


def another_zone(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("UPDATE raw.park SET time_zone = 'Asia/Jakarta' WHERE park_id = 'london'")


def run(home: Path, *arguments: str) -> None:
    done = run_dbt(home, "run", "--select", "+int_lease_use", *arguments)
    assert done.returncode == 0, done.stdout[-4000:]


def rows(home: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        return con.execute(f"FROM {TABLE} ORDER BY ALL").fetchall()


def rebuilt(home: Path, *changes: Change) -> set[tuple[str, int]]:
    """Parks and months that a run after the changes builds again; it leaves what a full refresh makes."""
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute("SET TimeZone = 'UTC'")
        for change in changes:
            change(con)
        con.execute(f"CREATE OR REPLACE TABLE main.before AS FROM {TABLE}")
        con.execute(f"UPDATE {TABLE} SET gpu_hours = {SPOILT}")
    run(home)
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        spoilt, whole = (
            set(con.execute(f"SELECT DISTINCT park_id, month(service_month) FROM {TABLE} WHERE {which}").fetchall())
            for which in (f"gpu_hours = {SPOILT}", f"gpu_hours <> {SPOILT}")
        )
        assert not spoilt & whole
        con.execute(f"DELETE FROM {TABLE} WHERE gpu_hours = {SPOILT}")
        con.execute(
            f"INSERT INTO {TABLE} FROM main.before WHERE (park_id, month(service_month)) IN"
            " (SELECT (park, month) FROM (SELECT unnest(?) AS park, unnest(?) AS month))",
            [[park for park, _ in spoilt], [month for _, month in spoilt]],
        )
    history = rows(home)
    run(home, "--full-refresh")
    assert rows(home) == history
    return whole


@pytest.fixture
def told(tmp_path: Path) -> Path:
    home = tmp_path / "told"
    home.mkdir()
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        create_raw(con)
        put_home(con, "2027-03-10T12:00:00Z")
        for park_id, zone in PARKS.items():
            put_park(con, park_id=park_id, time_zone=zone)
            for starts_at in STARTS:
                use(con, park_id, starts_at, 5)
    run(home)
    return home


def test_what_is_told_of_a_month_builds_it_alone_and_use_belongs_to_the_month_of_its_park(told: Path) -> None:
    assert {(park, month.month) for park, _, month, *_ in rows(told)} == MONTHS  # type: ignore[attr-defined]
    assert rebuilt(told, correction, another_copy) == {("jakarta", 2), ("london", 1)}


@pytest.mark.slow
def test_each_kind_of_change_builds_the_months_that_it_concerns(told: Path) -> None:
    assert rebuilt(told, nothing) == set()
    assert rebuilt(told, correction) == {("jakarta", 2)}
    assert rebuilt(told, the_clock_set_back) == {("jakarta", 2)}
    assert rebuilt(told, another_copy) == {("london", 1)}
    assert rebuilt(told, a_row_taken_back) == set()
    assert {(park, month.month) for park, _, month, *_ in rows(told)} == MONTHS - {("jakarta", 3)}  # type: ignore[attr-defined]
    assert rebuilt(told, another_zone) == {("london", 1), ("london", 2), ("london", 3)}
