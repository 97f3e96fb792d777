"""A run says which park-days it has changed, by the rows themselves."""

from datetime import date

import duckdb

from orchestration import park_days

TELEMETRY, HOURS = park_days.TABLES[0], park_days.TABLES[2]


def _warehouse() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA intermediate; CREATE SCHEMA metering")
    for table in (TELEMETRY, HOURS):
        connection.execute(
            f"CREATE TABLE {table} AS SELECT 'p' AS park_id, DATE '2027-01-01' + day::INTEGER AS service_date, "
            "hour, 1.5::DECIMAL(18,9) AS busy FROM range(3) AS days(day), range(24) AS hours(hour)"
        )
        connection.execute(
            f"CREATE TABLE intermediate.standing__{table.split('.')[1]} AS "
            f"SELECT DISTINCT park_id, service_date, 'one' AS fingerprint FROM {table}"
        )
    return connection


def test_a_table_written_anew_with_the_same_rows_has_not_changed() -> None:
    connection = _warehouse()
    before = park_days.states(connection)
    connection.execute(f"CREATE OR REPLACE TABLE {HOURS} AS SELECT * FROM {HOURS} ORDER BY hour DESC")
    found = park_days.changes(before, park_days.states(connection))
    assert found[HOURS] == {
        "rebuilt_park_days": 0,
        "first_rebuilt_park_days": [],
        "changed_park_days": 0,
        "kept_park_days": 3,
        "first_changed_park_days": [],
    }


def test_a_day_built_anew_with_the_same_rows_is_told_as_rebuilt_and_not_as_changed() -> None:
    connection = _warehouse()
    before = park_days.states(connection)
    connection.execute(
        "UPDATE intermediate.standing__fct_capacity_hour SET fingerprint = 'two' WHERE service_date = '2027-01-03'"
    )
    found = park_days.changes(before, park_days.states(connection))
    assert found[HOURS]["first_rebuilt_park_days"] == ["p 2027-01-03"]
    assert (found[HOURS]["rebuilt_park_days"], found[HOURS]["changed_park_days"]) == (1, 0)


def test_a_changed_a_new_and_a_vanished_row_change_their_own_day_and_no_other() -> None:
    connection = _warehouse()
    before = park_days.states(connection)
    connection.execute(f"UPDATE {HOURS} SET busy = 2 WHERE service_date = '2027-01-02' AND hour = 7")
    connection.execute(f"DELETE FROM {TELEMETRY} WHERE service_date = '2027-01-01'")
    connection.execute(f"INSERT INTO {TELEMETRY} VALUES ('p', '2027-01-04', 0, 1)")
    found = park_days.changes(before, park_days.states(connection))
    assert found[HOURS] == {
        "rebuilt_park_days": 0,
        "first_rebuilt_park_days": [],
        "changed_park_days": 1,
        "kept_park_days": 2,
        "first_changed_park_days": ["p 2027-01-02"],
    }
    assert found[TELEMETRY] == {
        "rebuilt_park_days": 0,
        "first_rebuilt_park_days": [],
        "changed_park_days": 2,
        "kept_park_days": 2,
        "first_changed_park_days": ["p 2027-01-01", "p 2027-01-04"],
    }


def test_days_asked_for_anew_are_read_again_and_no_other() -> None:
    connection = _warehouse()
    park_days.read_anew(duckdb.connect(), date(2027, 1, 1), date(2027, 1, 2))  # before the first build: nothing to do
    connection.execute(f"ALTER TABLE {TELEMETRY} ADD COLUMN partition_fingerprint VARCHAR DEFAULT 'as read'")
    park_days.read_anew(connection, date(2027, 1, 2), date(2027, 1, 3))
    found = connection.sql(f"SELECT DISTINCT service_date::VARCHAR, partition_fingerprint FROM {TELEMETRY} ORDER BY 1")
    assert found.fetchall() == [
        ("2027-01-01", "as read"),
        ("2027-01-02", "asked for anew"),
        ("2027-01-03", "asked for anew"),
    ]


def test_a_first_run_has_changed_everything() -> None:
    found = park_days.changes({}, {HOURS: {("p", date(2027, 1, 1)): (7, "one")}})
    assert (found[HOURS]["rebuilt_park_days"], found[HOURS]["changed_park_days"]) == (1, 1)
