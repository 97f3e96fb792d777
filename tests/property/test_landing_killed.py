"""A landing killed at any statement, and run again, leaves the same books as one that was never killed."""

import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from small_home import LEASE_HEADER, Books, drop, lease_row, make_home

from ingest import landing

TABLES = ["leases", "lease_usage", "gpu_telemetry", "lake_file", "quarantined_row", "landed_file", "seen_path"]
USAGE = "lease_id,interval_start_at,interval_end_at,gpu_hours\n"
TELEMETRY = "gpu_id,node_id,gpu_model,sampled_at,utilization_pct,power_w,recorded_at\n"


# About as many as the landing below takes; a test keeps it so.
STATEMENTS = 100


class KilledError(BaseException):
    """The process ends here."""


class MortalConnection:
    """A connection that dies at its nth statement; what is open is rolled back, as DuckDB does for a dead process."""

    def __init__(self, con: duckdb.DuckDBPyConnection, statements: int) -> None:
        self.con, self.left = con, statements

    def __getattr__(self, name: str) -> Any:
        return getattr(self.con, name)

    def execute(self, query: str, *parameters: Any) -> Any:
        if self.left <= 0:
            if self.left == 0:
                self.left = -1
                with suppress(duckdb.TransactionException):
                    self.con.rollback()
            raise KilledError
        self.left -= 1
        return self.con.execute(query, *parameters)


def make(folder: Path) -> Books:
    books = Books(make_home(folder))
    samples = "".join(
        f"a-{gpu},a-{gpu},GB300,2027-01-01T{hour:02d}:00:00Z,50,100,2027-01-02T00:00:00Z\n"
        for gpu in range(2)
        for hour in (11, 13)
    )
    drop(books.path, "gpu_telemetry", "t.csv", TELEMETRY + samples)
    drop(books.path, "gpu_telemetry", "u.csv", TELEMETRY + samples.replace(",50,", ",60,").replace("01-02T", "01-03T"))
    drop(
        books.path,
        "lease_usage",
        "u.csv",
        USAGE + "L1,2027-01-01T00:00:00Z,2027-01-01T01:00:00Z,3\nL9,2027-01-01T00:00:00Z,,1\n",
    )
    drop(books.path, "leases", "l.csv", LEASE_HEADER + lease_row() + lease_row("L2", price="-1"))
    return books


def contents(books: Books) -> dict[str, list[tuple[object, ...]]]:
    columns = {"seen_path": "path, size_bytes, file_id"}
    return {table: books.rows(f"SELECT {columns.get(table, '*')} FROM raw.{table} ORDER BY ALL") for table in TABLES}


@cache
def undisturbed() -> dict[str, list[tuple[object, ...]]]:
    with tempfile.TemporaryDirectory() as folder:
        books = make(Path(folder))
        books.land()
        return contents(books)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(statements=st.integers(0, STATEMENTS))
def test_a_killed_landing_is_completed_by_the_next_one(statements: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        books = make(Path(folder))
        home = books.home()
        mortal: Any = MortalConnection(books.con, statements)
        try:
            landing.land(mortal, home, landing.pending(books.con, home))
        except KilledError:
            counts = "landed_count + duplicate_count + superseded_count + quarantined_count"
            assert books.rows(f"FROM raw.landed_file WHERE row_count <> {counts}") == []
        books.land()
        assert contents(books) == undisturbed()


def test_the_killer_reaches_every_part_of_a_landing() -> None:
    with tempfile.TemporaryDirectory() as folder:
        books = make(Path(folder))
        home = books.home()
        mortal: Any = MortalConnection(books.con, STATEMENTS)
        with pytest.raises(KilledError):
            landing.land(mortal, home, landing.pending(books.con, home))
        assert books.one("SELECT count(*) FROM raw.landed_file") != 0


NEW_YEAR, LATER = "2027-01-01", "2027-03-01"
# What a landing at another instant of the clock may make otherwise.
LANDING_TIME = {"landed_file": "* EXCLUDE (received_at)"}


def make_with_rows_of_the_future(folder: Path) -> Books:
    books = Books(make_home(folder, home=f"title: T\nas_of: {NEW_YEAR}\n"))
    days = ("2026-12-31T14", "2027-01-20T01")  # a row of New Year's Day in Sydney and one of three weeks later
    samples = "".join(f"a-1,a-1,GB300,{day}:00:00Z,50,100,2026-12-31T15:00:00Z\n" for day in days)
    usage = "".join(f"L1,{day}:00:00Z,{day}:30:00Z,3\n" for day in days)
    drop(books.path, "gpu_telemetry", "t.csv", TELEMETRY + samples)
    drop(books.path, "lease_usage", "u.csv", USAGE + usage)
    drop(books.path, "leases", "l.csv", LEASE_HEADER + lease_row())
    return books


def at_clock(books: Books, day: str) -> Books:
    (books.path / "home.yaml").write_text(f"title: T\nas_of: {day}\n")
    return books


def kill(books: Books, statements: int) -> bool:
    """Land what is pending, and die at a statement; whether it came to that."""
    mortal: Any = MortalConnection(books.con, statements)
    home = books.home()
    try:
        landing.land(mortal, home, landing.pending(books.con, home))
    except KilledError:
        return True
    return False


def in_the_end(books: Books) -> dict[str, list[tuple[object, ...]]]:
    columns = {"seen_path": "path, size_bytes, file_id", **LANDING_TIME, "lease_usage": "* EXCLUDE (recorded_at)"}
    return {table: books.rows(f"SELECT {columns.get(table, '*')} FROM raw.{table} ORDER BY ALL") for table in TABLES}


@cache
def undisturbed_in_the_end() -> dict[str, list[tuple[object, ...]]]:
    with tempfile.TemporaryDirectory() as folder:
        books = make_with_rows_of_the_future(Path(folder))
        books.land()
        assert len(books.rows("FROM raw.quarantined_row WHERE rule = 'in_the_future'")) == 2
        at_clock(books, LATER).land()
        assert books.rows("FROM raw.quarantined_row") == []
        return in_the_end(books)


def killed_among_rows_of_the_future(statements: int, *, by: str, rerun: bool) -> bool:
    """A landing by one of the two clocks is killed, and run again at once or not before the clock has moved on."""
    with tempfile.TemporaryDirectory() as folder:
        books = make_with_rows_of_the_future(Path(folder))
        if by == LATER:
            books.land()
            at_clock(books, LATER)
        was_killed = kill(books, statements)
        if rerun:
            books.land()
        at_clock(books, LATER).land()
        assert in_the_end(books) == undisturbed_in_the_end(), (statements, by, rerun)
        return was_killed


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(statements=st.integers(0, STATEMENTS), by=st.sampled_from([NEW_YEAR, LATER]), rerun=st.booleans())
def test_rows_of_the_future_count_once_they_have_come_wherever_a_landing_was_killed(
    statements: int, by: str, rerun: bool
) -> None:
    killed_among_rows_of_the_future(statements, by=by, rerun=rerun)


@pytest.mark.slow
@pytest.mark.parametrize("by", [NEW_YEAR, LATER])
def test_rows_of_the_future_count_whichever_statement_was_the_last(by: str) -> None:
    statements = 0
    while killed_among_rows_of_the_future(statements, by=by, rerun=statements % 2 == 0):
        statements += 1
    assert statements > 50
