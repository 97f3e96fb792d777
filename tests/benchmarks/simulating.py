"""The simulator against the landing of what it writes: it may not be the slower one."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import duckdb

from ingest import landing
from ingest.simulate import fresh_home
from ingest.terms.home import load_home
from tests.benchmarks.measuring import Case, Run, Side, Size

# A whole month by the minute, the dearest: fewer days are drawn in less than their share of it.
DAYS, INTERVAL_SECONDS, FIRST = 31, 60, date(2027, 3, 1)
GPUS: dict[Size, int] = {"small": 2_880, "seed": 28_800}
RACK_GPUS = 72


def _make(target: Path, size: Size) -> None:
    wanted = fresh_home.Size(
        gpu_count=GPUS[size], day_count=DAYS, start=FIRST, interval_seconds=INTERVAL_SECONDS, time_zone="Asia/Jakarta"
    )
    fresh_home.make_home(target, wanted)


def prepare(folder: Path, size: Size) -> None:
    _make(folder / "home", size)


def fresh(folder: Path, side: Side) -> None:
    shutil.rmtree(folder / "now", ignore_errors=True)
    if side == "baseline":
        shutil.copytree(folder / "home", folder / "now")


def _sample_count(home: Path) -> float:
    files = [str(path) for path in (home / "landing").rglob("gpu_telemetry/*.parquet")]
    return float(duckdb.sql(f"SELECT count(*) FROM read_parquet({files!r})").fetchall()[0][0])


def project(folder: Path, size: Size) -> Run:
    def run() -> float:
        _make(folder / "now", size)
        return _sample_count(folder / "now")

    return run


def baseline(folder: Path, _size: Size) -> Run:
    def run() -> float:
        home = folder / "now"
        with duckdb.connect(str(home / "warehouse.duckdb")) as con:
            loaded = load_home(home)
            landing.create_raw_tables(con)
            landing.land(con, loaded, landing.pending(con, loaded))
        return _sample_count(home)

    return run


CASE = Case(
    name="simulating a home",
    baseline_name="landing what was simulated",
    unit="samples of a rack",
    count={size: gpus // RACK_GPUS * DAYS * 86400 // INTERVAL_SECONDS for size, gpus in GPUS.items()},
    prepare=prepare,
    fresh=fresh,
    project=project,
    baseline=baseline,
    tolerance=0.0,
    at_most=1.0,
)
