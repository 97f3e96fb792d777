"""Landing of telemetry (reading, checking every row, lake, manifest) against reading and writing the same file."""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path

import duckdb
import polars as pl

from ingest import landing
from ingest.terms.home import load_home
from ingest.terms.init import write_example_home
from ingest.terms.templates import PARK
from tests.benchmarks.measuring import Case, Run, Size

PARK_ID, DAYS = "my-park-1", 10
RACKS: dict[Size, int] = {"small": 1_000, "seed": 10_000}
COUNT: dict[Size, int] = {size: racks * DAYS * 24 for size, racks in RACKS.items()}


def prepare(suffix: str, folder: Path, size: Size) -> None:
    home = folder / "home"
    write_example_home(home)
    (home / "home.yaml").write_text("title: Bench\nas_of: 2027-12-31\n", encoding="utf-8")
    (home / "parks" / f"{PARK_ID}.yaml").write_text(PARK, encoding="utf-8")
    target = home / "landing" / PARK_ID / "gpu_telemetry"
    target.mkdir(parents=True)
    options = "FORMAT parquet" if suffix == "parquet" else "FORMAT csv, HEADER"
    duckdb.sql(
        f"""COPY (
            SELECT 'a-' || rack AS gpu_id, 'a-' || rack AS node_id, 'GB300' AS gpu_model,
                strftime(TIMESTAMP '2027-03-01' + to_hours(hour), '%Y-%m-%dT%H:%M:%SZ') AS sampled_at,
                CAST(hash(rack, hour) % 1001 AS DOUBLE) / 10 AS utilization_pct,
                CAST(300 + hash(hour, rack) % 1100 AS INTEGER) AS power_w, 72 AS gpu_count
            FROM (SELECT unnest(range({DAYS * 24})) AS hour) AS hours, (SELECT unnest(range({RACKS[size]})) AS rack) AS racks
        ) TO '{target / f"telemetry.{suffix}"}' ({options})"""
    )


def project(folder: Path, _size: Size) -> Run:
    def run() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            home = Path(scratch) / "home"
            shutil.copytree(folder / "home", home)
            with duckdb.connect(str(home / "warehouse.duckdb")) as con:
                landing.create_raw_tables(con)
                loaded = load_home(home)
                landed = landing.land(con, loaded, landing.pending(con, loaded))
            return float(sum(file.landed_count for file in landed))

    return run


def baseline(suffix: str, folder: Path, _size: Size) -> Run:
    source = folder / "home" / "landing" / PARK_ID / "gpu_telemetry" / f"telemetry.{suffix}"

    def run() -> float:
        frame = pl.read_parquet(source) if suffix == "parquet" else pl.read_csv(source)
        frame.write_parquet(folder / "copy.parquet")
        return float(frame.height)

    return run


def _case(suffix: str) -> Case:
    return Case(
        name=f"landing telemetry from {suffix}",
        baseline_name="bare Polars read and write of the same file, unchecked",
        unit="rows",
        count=COUNT,
        prepare=partial(prepare, suffix),
        project=project,
        baseline=partial(baseline, suffix),
        tolerance=0.0,
    )


CASES = (_case("parquet"), _case("csv"))
