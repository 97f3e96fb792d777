"""A landed home metered as a run of it goes, and two such homes beside each other."""

from __future__ import annotations

from pathlib import Path

import duckdb

from orchestration import spark
from orchestration.assets.warehouse import DbtBesidePython, point_dbt_at
from orchestration.resources import SilentProgress
from orchestration.settings import DBT_PROJECT, Settings

TABLES = (
    "intermediate.int_gpu_hours__by_tranche_hour",
    "metering.fct_capacity_hour",
    "metering.fct_capacity_day",
)
SMALL_GPUS = 24


def meter(settings: Settings) -> None:
    """Metering of a home whose files have landed, as a run of it goes."""
    dbt = DbtBesidePython(project_dir=str(DBT_PROJECT), profiles_dir=str(DBT_PROJECT))
    point_dbt_at(settings)
    if settings.engine == "spark":
        spark.meter(settings, dbt, SilentProgress())
    dbt.cli(["run", "--select", "+fct_capacity_day"], target_path=settings.dbt_target_folder).wait()


def rows_that_differ(one: Path, other: Path, table: str) -> tuple[int, int]:
    """How many rows of either home's table the other's has not, and how many there are."""
    with duckdb.connect() as con:
        con.execute(
            f"ATTACH '{one / 'warehouse.duckdb'}' AS one (READ_ONLY); ATTACH '{other / 'warehouse.duckdb'}' AS other (READ_ONLY)"
        )
        found = con.execute(
            f"SELECT (SELECT count(*) FROM (FROM one.{table} EXCEPT ALL FROM other.{table})) "
            f"+ (SELECT count(*) FROM (FROM other.{table} EXCEPT ALL FROM one.{table})), (SELECT count(*) FROM one.{table})"
        ).fetchall()
    return found[0]
