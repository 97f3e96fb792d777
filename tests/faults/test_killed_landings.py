"""A landing killed by the operating system at any instant, and run again, leaves what one leaves that was never killed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import polars as pl
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "unit"))

from small_home import LEASE_HEADER, drop, lease_row, make_home  # noqa: E402

from ingest import landing  # noqa: E402
from ingest.terms.home import load_home  # noqa: E402

TABLES = ("leases", "lease_usage", "power_meter", "gpu_telemetry", "lake_file", "quarantined_row", "landed_file")
USAGE = "lease_id,interval_start_at,interval_end_at,gpu_hours,recorded_at\n"
METER = "meter_id,register,role,interval_start_at,interval_end_at,energy_kwh,quality\n"
COUNTS = "landed_count + duplicate_count + superseded_count + quarantined_count"


def write_inbox(home: Path) -> None:
    """Some files of each kind: telemetry of several days and files, duplicates, corrections, broken rows, a wrong file."""
    for day in range(1, 4):
        at = pl.datetime_range(
            pl.datetime(2027, 1, day, time_zone="UTC"),
            pl.datetime(2027, 1, day, 23, 50, time_zone="UTC"),
            "10m",
            eager=True,
        )
        frame = pl.DataFrame({"sampled_at": at}).join(
            pl.DataFrame({"gpu_id": [f"a-{n}" for n in range(20)]}), how="cross"
        )
        frame = frame.with_columns(
            node_id="gpu_id", gpu_model=pl.lit("GB300"), utilization_pct=pl.lit(50.0), power_w=pl.lit(900.0 + day)
        )
        target = drop(home, "gpu_telemetry", f"{day}.parquet", b"")
        frame.write_parquet(target)
        if day % 2:
            frame.with_columns(power_w=pl.lit(950.0)).head(500).write_csv(target.with_name(f"{day}-again.csv"))
    hours = [f"2027-01-02T{hour:02d}:00:00Z,2027-01-02T{hour + 1:02d}:00:00Z" for hour in range(23)]
    usage = "".join(f"L{n % 3},{hour},{n},2027-01-03T00:00:00Z\n" for n, hour in enumerate(hours))
    drop(home, "lease_usage", "u.csv", USAGE + usage + "L9,x,y,z,\n")
    drop(home, "lease_usage", "u-again.csv", USAGE + usage.replace("2027-01-03T", "2027-01-04T"))
    drop(home, "power_meter", "m.csv", METER + "".join(f"m,1,it,{hour},5,actual\n" for hour in hours))
    drop(home, "leases", "l.csv", LEASE_HEADER + "".join(lease_row(f"L{n}") for n in range(3)))
    drop(home, "leases", "wrong.csv", "lease,price\n1,2\n")


def contents(home: Path) -> dict[str, list[tuple[object, ...]]]:
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute("SET TimeZone = 'UTC'")
        return {table: con.execute(f"SELECT * FROM raw.{table} ORDER BY ALL").fetchall() for table in TABLES}


def land(home: Path) -> None:
    loaded = load_home(home)
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        landing.create_raw_tables(con)
        landing.land(con, loaded, landing.pending(con, loaded))
        assert landing.pending(con, loaded) == []


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which nothing has landed yet."""
    home = make_home(tmp_path_factory.mktemp("inbox") / "home")
    write_inbox(home)
    return home


@pytest.fixture(scope="module")
def undisturbed(
    inbox: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, list[tuple[object, ...]]], float]:
    """What a landing leaves, and how long it takes from `ready` to `done`."""
    home = Path(shutil.copytree(inbox, tmp_path_factory.mktemp("whole") / "home"))
    process, begun = started(home)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "done"
    duration = time.monotonic() - begun
    process.communicate(timeout=60)
    return contents(home), duration


def started(home: Path) -> tuple[subprocess.Popen[str], float]:
    """A landing in a process of its own that has just begun."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("land_home.py")), str(home)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    return process, time.monotonic()


def kill_after(home: Path, seconds: float) -> bool:
    """Whether the landing was still under way when it was killed."""
    process, _ = started(home)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    return "done" not in said


def is_sound(home: Path) -> None:
    """What is there after a kill holds: every file is accounted for to the row, and no lake file is missing."""
    if not (home / "warehouse.duckdb").exists():
        return
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        tables = {
            name
            for (name,) in con.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'raw'").fetchall()
        }
        if {"landed_file", "lake_file"} <= tables:
            assert con.execute(f"FROM raw.landed_file WHERE row_count <> {COUNTS}").fetchall() == []
            assert [
                path
                for (path,) in con.execute("SELECT path FROM raw.lake_file").fetchall()
                if not (home / path).exists()
            ] == []


def kill_and_complete(
    inbox: Path, folder: Path, whole: dict[str, list[tuple[object, ...]]], delays: list[float]
) -> int:
    """Kill a landing as often as there are delays, complete it, compare; how often it was hit under way."""
    home = Path(shutil.copytree(inbox, folder / "home"))
    hit = 0
    for delay in delays:
        hit += kill_after(home, delay)
        is_sound(home)
    land(home)
    assert contents(home) == whole
    on_disk = {path.relative_to(home).as_posix() for path in (home / "lake").rglob("*.parquet")}
    assert on_disk == {str(row[4]) for row in whole["lake_file"]}
    shutil.rmtree(home)
    return hit


def test_landings_killed_at_some_instants_are_completed(
    inbox: Path, undisturbed: tuple[dict[str, list[tuple[object, ...]]], float], tmp_path: Path
) -> None:
    whole, duration = undisturbed
    draw = random.Random(20270101)
    hits = [
        kill_and_complete(inbox, tmp_path / str(number), whole, [duration * draw.uniform(low, low + 0.2)])
        for number, low in enumerate((0.1, 0.3, 0.5))
    ]
    assert sum(hits) >= 1


@pytest.mark.slow
def test_landings_killed_at_fifty_random_instants_are_completed(
    inbox: Path, undisturbed: tuple[dict[str, list[tuple[object, ...]]], float], tmp_path: Path
) -> None:
    whole, duration = undisturbed
    draw = random.Random(50)
    hits = kills = 0
    for number in range(25):
        delays = [duration * draw.uniform(0, 0.8) for _ in range(2)]
        kills += len(delays)
        hits += kill_and_complete(inbox, tmp_path / str(number), whole, delays)
    assert kills >= 50
    assert hits >= kills // 3
