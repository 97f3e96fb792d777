"""GPU-hours by tranche and hour: the project's own model, rendered from its SQL, against a bare group-by.

The model is rendered with Jinja as dbt does, for a fresh table; only the list of pending partitions is given instead of
being read from the catalogue. The bare group-by sums utilisation × GPUs and power × GPUs and knows nothing of over-full
hours, missing values, faults or exact rounding.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any

import duckdb
import jinja2

from ingest import lake
from tests.benchmarks.measuring import Case, Run, Size

DBT = Path(__file__).parents[2] / "dbt_project"
MODEL = DBT / "models" / "intermediate" / "int_gpu_hours__by_tranche_hour.sql"
MACRO = re.compile(r"(\{%-? macro (\w+).*?endmacro -?%\})", re.DOTALL)
RACK_GPUS, FIRST_DAY = 72, "2027-03-01"


class _Returned(Exception):  # noqa: N818 - not an error: how dbt's return() leaves a macro
    pass


def _leave(value: Any) -> None:
    raise _Returned(value)


def _value_of(macro: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        try:
            return macro(*arguments)
        except _Returned as returned:
            return returned.args[0]

    return call


@cache
def _compiled(source: str) -> CodeType:
    """A template's code; dbt parses its project before it runs, so neither side of a case pays for it twice."""
    return _environment().compile(source)


def _environment() -> jinja2.Environment:
    return jinja2.Environment(extensions=["jinja2.ext.do"])  # noqa: S701 - SQL, not HTML


def render(
    con: duckdb.DuckDBPyConnection,
    home: Path,
    partitions: list[dict[str, Any]] | None,
    source: str,
    *,
    this: str | None = None,
) -> str:
    """SQL of a template of the dbt project, with the project's macros; `partitions` None looks for what is pending."""

    def run_query(query: str) -> SimpleNamespace:
        rows = con.execute(query).fetchall()
        return SimpleNamespace(rows=rows, columns=[SimpleNamespace(values=lambda: [row[0] for row in rows])])

    environment = _environment()

    def template(source: str) -> jinja2.Template:
        return jinja2.Template.from_code(environment, _compiled(source), environment.globals)

    environment.globals.update(
        {
            "return": _leave,
            "run_query": run_query,
            "ref": str,
            "execute": True,
            "this": this,
            "source": lambda schema, table: f"{schema}.{table}",
            "fromjson": json.loads,
            "config": lambda **_: "",
            "env_var": lambda name, default="": (
                str(home / "warehouse.duckdb") if name.endswith("WAREHOUSE") else default
            ),
            "adapter": SimpleNamespace(dispatch=lambda name: environment.globals[f"default__{name}"]),
            "target": SimpleNamespace(type="duckdb"),
            "is_incremental": lambda: this is not None,
        }
    )
    sources = {
        name: source
        for path in sorted((DBT / "macros").glob("*.sql"))
        for source, name in MACRO.findall(path.read_text(encoding="utf-8"))
    }
    # One by one, each known to all before any is compiled: a return() then ends the macro that says it, not its caller.
    macros: dict[str, Callable[..., Any]] = {}
    for name in sources:
        environment.globals[name] = lambda *arguments, name=name: macros[name](*arguments)
    for name, source_of_macro in sources.items():
        macros[name] = _value_of(getattr(template(source_of_macro).module, name))
    if partitions is not None:
        environment.globals["pending_telemetry_partitions"] = lambda _standing: partitions
    return template(source).render()


def _paths(folder: Path) -> list[Path]:
    return sorted((folder / "lake").rglob("*.parquet"))


def _partitions(folder: Path, interval_seconds: int) -> list[dict[str, Any]]:
    return [
        {
            "park_id": "p",
            "service_date": path.parent.name.removeprefix("service_date="),
            "fingerprint": path.parent.name,
            "way": "single" if interval_seconds == 3600 else "clean",
            "interval_seconds": interval_seconds,
            "max_recorded_at": "2028-01-01 00:00:00+00",
            "splits": [],
            "is_one_gpu_a_row": False,
            "has_xid_codes": True,
            "files": [
                {
                    "path": str(path.relative_to(folder)),
                    "layout": lake.REWRITTEN,
                    "clock_shift_seconds": 0,
                    "tranche_id": None,
                    "recorded_at": None,
                    "day_count": 1,
                }
            ],
        }
        for path in _paths(folder)
    ]


def _connect() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute(
        "SET TimeZone = 'UTC'; SET threads = 2; SET preserve_insertion_order = false; SET enable_progress_bar = false"
    )
    return con


def prepare(racks: dict[Size, int], days: dict[Size, int], step: int, folder: Path, size: Size) -> None:
    con = _connect()
    for day in range(days[size]):
        date = con.execute("SELECT (CAST(? AS DATE) + CAST(? AS INTEGER))::VARCHAR", [FIRST_DAY, day]).fetchall()[0][0]
        target = folder / "lake" / "gpu_telemetry" / "park_id=p" / f"service_date={date}"
        target.mkdir(parents=True)
        con.execute(
            f"""COPY (
                SELECT 'rack-' || rack AS gpu_id, 'rack-' || rack AS node_id, 'GB300' AS gpu_model, 't' || (rack % 4) AS tranche_id,
                    sampled_at, date_trunc('hour', sampled_at) AS interval_start_at,
                    CAST(hash(rack, sampled_at) % 100001 AS INTEGER) AS utilization_milli_pct,
                    CAST(300000000 + hash(sampled_at, rack) % 1100000000 AS BIGINT) AS power_microwatt, {RACK_GPUS} AS gpu_count,
                    CAST(NULL AS BIGINT) AS energy_mj, CAST(NULL AS BIGINT) AS memory_used_mib, CAST(NULL AS INTEGER) AS xid_code,
                    sampled_at + INTERVAL 1 HOUR AS recorded_at, CAST(rack AS BIGINT) AS line_no, 'f' AS file_id
                FROM (SELECT unnest(range(0, 86400, {step})) AS second) AS seconds,
                    LATERAL (SELECT CAST('{date} 00:00:00+00' AS TIMESTAMPTZ) + to_seconds(second) AS sampled_at) AS instants,
                    (SELECT unnest(range({racks[size]})) AS rack) AS racks
            ) TO '{target / "day.parquet"}' (FORMAT parquet)"""
        )


def project(interval_seconds: int, folder: Path, _size: Size) -> Run:
    con = _connect()
    con.execute("CREATE TABLE stg_policy AS SELECT 'fatal_xid_codes' AS policy, '[48, 62, 69, 74, 79]' AS value_text")
    con.execute(render(con, folder, [], "{{ create_exact_arithmetic() }}"))
    con.execute("CREATE SCHEMA raw")
    lake.create_tables(con)
    model = MODEL.read_text(encoding="utf-8")
    partitions = _partitions(folder, interval_seconds)
    con.execute(
        f"CREATE TABLE stg_lake_hour AS SELECT DISTINCT 'p' AS park_id, interval_start_at, interval_start_at::DATE AS service_date "
        f"FROM read_parquet({[str(path) for path in _paths(folder)]!r})"
    )

    def run() -> float:
        con.execute("CREATE OR REPLACE TABLE hours AS " + render(con, folder, partitions, model))
        return float(con.execute("SELECT sum(energy_microjoule)::DOUBLE FROM hours").fetchall()[0][0])

    return run


def baseline(interval_seconds: int, folder: Path, _size: Size) -> Run:
    con = _connect()
    paths = [str(path) for path in _paths(folder)]

    def run() -> float:
        con.execute(
            f"""CREATE OR REPLACE TABLE hours AS
            SELECT tranche_id, interval_start_at, sum(gpu_count) AS gpus, sum(utilization_milli_pct * gpu_count) AS busy,
                sum(power_microwatt * gpu_count) AS power
            FROM read_parquet({paths!r}) GROUP BY tranche_id, interval_start_at"""
        )
        return float(con.execute("SELECT sum(power)::DOUBLE FROM hours").fetchall()[0][0]) * interval_seconds

    return run


def _case(name: str, racks: dict[Size, int], days: dict[Size, int], step: int) -> Case:
    return Case(
        name=name,
        baseline_name="bare DuckDB group-by over the same Parquet",
        unit="rack rows",
        count={size: racks[size] * days[size] * (86400 // step) for size in racks},
        prepare=partial(prepare, racks, days, step),
        project=partial(project, step),
        baseline=partial(baseline, step),
    )


CASES = (
    _case("GPU-hours, a day of samples by the minute", {"small": 700, "seed": 7_000}, {"small": 1, "seed": 1}, 60),
    _case("GPU-hours, hourly samples of many days", {"small": 1_400, "seed": 2_800}, {"small": 30, "seed": 300}, 3600),
)
