"""A home that an older release has made opens in this one, with every row, landing time and seal that it held.

`older_homes/0.1.0.tar.xz` was made by the code of the release that first kept the journal in the lake: a few files of each
kind landed, January sealed and reopened; and what that release read back from its tables, as JSON.
"""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingest import kept_journal, lake, landing
from ingest.terms.home import load_home
from orchestration.damage import examine
from orchestration.settings import Settings

OLDER = Path(__file__).parent / "older_homes" / "0.1.0.tar.xz"


@pytest.fixture
def old_home(tmp_path: Path) -> Path:
    with tarfile.open(OLDER) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "home"


def rows(con: duckdb.DuckDBPyConnection, table: str, columns: str = "*") -> list[list[str]]:
    return [list(map(str, row)) for row in con.execute(f"SELECT {columns} FROM raw.{table} ORDER BY ALL").fetchall()]


@pytest.fixture
def opened(old_home: Path) -> Any:
    """The old home after the first landing by this release."""
    home = load_home(old_home)
    assert home.problems == ()
    with duckdb.connect(str(old_home / "warehouse.duckdb")) as con:
        con.execute("SET TimeZone = 'UTC'")
        kept_journal.load(con, old_home, home.clock_at)
        landing.create_raw_tables(con)
        landing.land(con, home, landing.pending(con, home))
        assert landing.pending(con, home) == []
        yield con


def told(old_home: Path) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = json.loads((old_home / "as_the_old_release_read_it.json").read_text())
    return found


def test_every_row_of_the_old_home_stands_as_it_was(opened: duckdb.DuckDBPyConnection, old_home: Path) -> None:
    before = told(old_home)
    for table in ("leases", "lease_usage"):
        assert rows(opened, table) == before[table]
    assert opened.execute("SELECT count(*), sum(power_microwatt)::VARCHAR FROM raw.gpu_telemetry").fetchall() == [
        tuple(before["samples"][0])
    ]
    assert [row[1] for row in before["quarantined_row"]] == [
        row[0] for row in rows(opened, "quarantined_row", "line_no")
    ]


def test_landing_times_and_counts_of_the_old_home_stand(opened: duckdb.DuckDBPyConnection, old_home: Path) -> None:
    columns = (
        "file_id, park_id, feed, format, path, received_at, size_bytes, row_count, landed_count, duplicate_count, "
        "superseded_count, quarantined_count, state"
    )
    assert rows(opened, "landed_file", columns) == sorted(row[:13] for row in told(old_home)["landed_file"])


def test_lake_files_of_the_old_home_are_hashed_once_and_whole(
    opened: duckdb.DuckDBPyConnection, old_home: Path
) -> None:
    assert opened.execute("SELECT count(*), count(sha256) FROM raw.lake_file").fetchall() == [(6, 6)]
    assert lake.damages(opened, old_home) == []
    lake.stop_at_damage(opened, old_home)


def test_sealed_months_and_reopenings_of_the_old_home_are_known(
    opened: duckdb.DuckDBPyConnection, old_home: Path
) -> None:
    assert kept_journal.faults(old_home) == []
    assert rows(opened, "sealed_line", "account, amount") == [
        ["share_revenue", "-10.25"],
        ["unbilled_receivable", "10.25"],
    ]
    assert rows(opened, "period_reopening", "reopened_by, reason") == [["ann", "an invoice was found"]]
    # A batch of this release follows one of the old.
    closes = kept_journal.read(old_home, "closes").drop("batch_no")
    again = closes.with_columns(reopening_no=closes["reopening_no"] + 1)
    lines = kept_journal.read(old_home, "lines").drop("batch_no")
    files = kept_journal.read(old_home, "files")
    stated = {part: kept_journal.read(old_home, part).drop("batch_no") for part in kept_journal.STATED}
    assert all(frame.is_empty() for frame in stated.values()), "the first release kept none of it"
    assert kept_journal.append(old_home, lines, again, files, {"act": "closed again"}, stated=stated)
    assert kept_journal.faults(old_home) == []


def test_an_old_home_is_examined_without_a_finding_of_its_age(old_home: Path) -> None:
    home = load_home(old_home)
    with duckdb.connect(str(old_home / "warehouse.duckdb")) as con:
        landing.create_raw_tables(con)
        landing.land(con, home, landing.pending(con, home))
    found = examine(Settings(home=old_home))
    # The month of the fixture was sealed with a hash of zeros.
    assert [finding.place for finding in found] == ["lake/journal/000001/lines.parquet"]
    assert home.clock_at == datetime(2028, 1, 1, tzinfo=UTC)
