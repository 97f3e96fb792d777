"""The models tagged metering_heavy on Spark and on DuckDB, on one machine, each through dbt on the same landed files."""

from __future__ import annotations

import os
import shutil
import sys
from functools import partial
from pathlib import Path

import duckdb

from tests.benchmarks.measuring import Case, Run, Size

sys.path.insert(0, str(Path(__file__).parents[1] / "scale_out"))
from random_telemetry import write_random_home

# GPUs of each kind of file; each gives some 4,380 rows.
GPUS: dict[Size, int] = {"small": 240, "seed": 5_500}
ROWS_A_GPU = (25 + 23 + 24) * 60 + 24


def prepare(folder: Path, size: Size) -> None:
    """A home with random samples of every kind, landed and not metered."""
    write_random_home(folder / "landed", GPUS[size], seed=1)


def _run(engine: str, folder: Path, _size: Size) -> Run:
    from orchestration import spark
    from orchestration.assets.warehouse import DbtBesidePython, point_dbt_at
    from orchestration.resources import SilentProgress
    from orchestration.settings import DBT_PROJECT, Settings

    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = Settings(home=folder / "now", engine=engine)
    heavy = "tag:metering_heavy"

    def run() -> float:
        shutil.rmtree(folder / "now", ignore_errors=True)
        shutil.copytree(folder / "landed", folder / "now")
        dbt = DbtBesidePython(project_dir=str(DBT_PROJECT), profiles_dir=str(DBT_PROJECT))
        point_dbt_at(settings)
        if engine == "spark":
            spark.meter(settings, dbt, SilentProgress())
        dbt.cli(["run", "--select", f"+{heavy}"], target_path=folder / f"dbt-{engine}").wait()
        with duckdb.connect(str(settings.warehouse_path), read_only=True) as con:
            [(energy,)] = con.execute(
                "SELECT sum(energy_microjoule)::DOUBLE FROM intermediate.int_gpu_hours__by_tranche_hour"
            ).fetchall()
        return float(energy)

    return run


CASES = (
    Case(
        name="GPU-hours through dbt on Spark, its start included",
        baseline_name="through dbt on DuckDB",
        unit="samples",
        count={size: gpus * ROWS_A_GPU for size, gpus in GPUS.items()},
        prepare=prepare,
        project=partial(_run, "spark"),
        baseline=partial(_run, "duckdb"),
        tolerance=0.0,
        once=True,
        rounds=2,
        single_at_seed=True,
        inputs="spark",
    ),
)
