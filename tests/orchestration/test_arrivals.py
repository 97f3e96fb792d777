"""Whether a daily feed has come, and whole, by the home's clock."""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from ingest import landing
from ingest.terms.home import Home, load_home
from ingest.terms.init import write_example_home
from ingest.terms.tables import write_terms
from ingest.terms.templates import PARK
from orchestration.arrivals import Arrival, arrivals

PARK_ID, DUE = "my-park-1", date(2027, 12, 30)  # the clock stops at 11:00 of the 31st in Sydney


@pytest.fixture
def home(tmp_path: Path) -> Home:
    write_example_home(tmp_path)
    (tmp_path / "home.yaml").write_text("title: Test\nas_of: 2027-12-30\n")
    (tmp_path / "parks" / f"{PARK_ID}.yaml").write_text(PARK)
    return load_home(tmp_path)


def _found(home: Home, rows: dict[date, int]) -> Arrival:
    with duckdb.connect() as connection:
        landing.create_raw_tables(connection)
        write_terms(connection, home)
        connection.execute(
            "CREATE OR REPLACE TABLE raw.lake_file (park_id VARCHAR, feed VARCHAR, service_date DATE, landed_count BIGINT)"
        )
        connection.executemany(
            "INSERT INTO raw.lake_file VALUES (?, 'gpu_telemetry', ?, ?)", [(PARK_ID, *row) for row in rows.items()]
        )
        (found,) = arrivals(connection, home)
    return found


def _days(last: date, count: int, rows: int) -> dict[date, int]:
    return {last - timedelta(days=n): rows for n in range(count)}


def test_a_feed_that_has_come_to_its_last_day_due_is_not_late(home: Home) -> None:
    found = _found(home, _days(DUE, 10, 240))
    assert (found.last_day, found.days_late, found.row_count, found.usual_row_count) == (DUE, 0, 240, 240)
    assert not found.is_small(0.5)


def test_days_that_are_due_and_have_not_come_are_counted(home: Home) -> None:
    assert _found(home, _days(DUE - timedelta(days=3), 10, 240)).days_late == 3


def test_a_day_with_less_than_half_of_its_usual_rows_is_small_and_one_with_half_is_not(home: Home) -> None:
    before = _days(DUE - timedelta(days=1), 40, 240)
    assert _found(home, before | {DUE: 119}).is_small(0.5)
    assert not _found(home, before | {DUE: 120}).is_small(0.5)


def test_a_day_that_is_not_due_yet_is_not_held_against_the_usual(home: Home) -> None:
    found = _found(home, _days(DUE, 10, 240) | {DUE + timedelta(days=1): 10})
    assert (found.last_day, found.row_count) == (DUE, 240)


def test_the_first_day_of_a_feed_has_no_usual(home: Home) -> None:
    found = _found(home, {DUE: 3})
    assert found.usual_row_count is None
    assert not found.is_small(0.5)
