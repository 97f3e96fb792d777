"""The same landed files through both engines: the same rows, digit by digit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pytest
from metered import SMALL_GPUS, TABLES, meter, rows_that_differ
from random_telemetry import HOURLY_DAY, LONG_DAY, SHORT_DAY, write_random_home

from orchestration import spark
from orchestration.settings import Settings


def through_both(tmp_path: Path, gpus: int, seed: int) -> tuple[Path, Path, int]:
    """A random home metered by DuckDB, and its copy metered by Spark."""
    one, other = tmp_path / "duckdb" / "home", tmp_path / "spark" / "home"
    rows = write_random_home(one, gpus, seed)
    shutil.copytree(one, other)
    meter(Settings(home=one))
    meter(Settings(home=other, engine="spark"))
    return one, other, rows


def handed_over(home: Path) -> dict[str, tuple[str, int]]:
    """Of each pending park-day: in which way it was metered, and how many closes split what was known of it."""
    with duckdb.connect() as con:
        rows = con.execute(
            "SELECT service_date, way, splits FROM read_parquet(?)",
            [str(home / ".parkledger/spark/in" / spark.PENDING)],
        ).fetchall()
    return {day: (way, len(json.loads(splits))) for day, way, splits in rows}


def test_days_of_23_24_and_25_hours_of_every_kind_are_the_same_in_both_engines(tmp_path: Path) -> None:
    one, other, rows = through_both(tmp_path, SMALL_GPUS, seed=1)
    assert rows > SMALL_GPUS * (25 + 23 + 24) * 60
    # Every way of metering took part, and the repeated day was known otherwise at its close than it is now.
    ways = handed_over(other)
    assert ways[str(HOURLY_DAY)] == ("single", 0)
    assert ways[str(SHORT_DAY)] == ("clean", 0)
    way, splits = ways[str(LONG_DAY)]
    assert way == "dirty"
    assert splits > 0
    assert list((other / ".parkledger/spark/out").rglob("*.parquet")), "Spark has written nothing"
    for table in TABLES:
        different, count = rows_that_differ(one, other, table)
        assert (different, count > 0) == (0, True), table


@pytest.mark.slow
def test_twenty_million_random_samples_are_the_same_in_both_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARKLEDGER_SPARK_PARTITIONS", "8")
    one, other, rows = through_both(tmp_path, 4_700, seed=20260701)
    assert rows >= 20_000_000
    for table in TABLES:
        different, count = rows_that_differ(one, other, table)
        assert (different, count > 0) == (0, True), table
