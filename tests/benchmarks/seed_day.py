"""A day of samples by the minute, from landing files to the capacity table, against a bare group-by of the same files.

The seed's day has 210,000 GPUs and 302,400,000 rows, Parquet by node group. One file holds repeated rows and rows that
cannot be: it is rewritten, its rows counted as duplicates or quarantined, and the day is looked through for such keys.

The project's side is everything that a day costs: hashing, examining, copying or rewriting, manifest and quarantine, then
the project's own models (rendered as dbt does) for GPU-hours, outages and capacity. The bare side reads the files and
groups by GPU and hour, with no check at all: once as one writes it, by date_trunc, and once with the hour taken by whole
division, which DuckDB does several times faster on instants with a zone.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest import landing
from ingest.terms.home import load_home
from ingest.terms.init import write_example_home
from ingest.terms.tables import write_terms
from ingest.terms.templates import PARK
from orchestration.checks import telemetry_sample, validate_apart
from orchestration.expectations.covered import LAKE_FILES, TELEMETRY_SAMPLE
from tests.benchmarks.measuring import Case, Run, Side, Size
from tests.benchmarks.metering_hours import DBT, render

PARK_ID, FIRST_DAY, MINUTES = "my-park-1", datetime(2027, 2, 28, 13, tzinfo=UTC), 24 * 60
GPUS: dict[Size, int] = {"small": 20_000, "seed": 210_000}
GPUS_A_FILE, GPUS_A_NODE = 2_000, 4
UNCLEAN_GPUS, REPEATED, IMPOSSIBLE = 100, 500, 100
HISTORY_GPUS, HISTORY_DAYS = 2_000, 59
MODELS = (
    "int_gpu_hours__by_tranche_hour",
    "int_outages__by_tranche_hour",
    "fct_capacity_hour",
)


def _write_nodes(path: Path, first: int, count: int, day: int, *, unclean: bool = False) -> None:
    """One file: GPU by GPU of a group of nodes, minute by minute; the same bytes for the same arguments."""
    draw = np.random.default_rng([day, first])
    names = [f"a-{gpu // GPUS_A_NODE:06d}" for gpu in range(first, first + count, GPUS_A_NODE)]
    ids = [f"{names[gpu // GPUS_A_NODE]}/{gpu % GPUS_A_NODE}" for gpu in range(count)]
    start_ms = int((FIRST_DAY + timedelta(days=day)).timestamp()) * 1000
    gpu = np.repeat(np.arange(count, dtype=np.int32), MINUTES)
    at = np.tile(start_ms + np.arange(MINUTES) * 60_000, count)
    utilization = draw.integers(0, 1001, len(gpu)) / 10
    power = 200.0 + draw.integers(0, 1200, len(gpu))
    if unclean:
        utilization[:IMPOSSIBLE] = 250.0
        again = np.concatenate([np.arange(len(gpu)), np.arange(len(gpu) - REPEATED, len(gpu))])
        gpu, at, utilization, power = gpu[again], at[again], utilization[again], power[again]
    table = pa.table(
        {
            "gpu_id": pa.DictionaryArray.from_arrays(gpu, pa.array(ids)),
            "node_id": pa.DictionaryArray.from_arrays(gpu // GPUS_A_NODE, pa.array(names)),
            "gpu_model": pa.DictionaryArray.from_arrays(np.zeros(len(gpu), np.int8), pa.array(["GB300"])),
            "sampled_at": pa.array(at, pa.timestamp("ms", "UTC")),
            "utilization_pct": utilization,
            "power_w": power,
        }
    )
    pq.write_table(table, path, compression="zstd", compression_level=1, store_schema=False)


def write_day(folder: Path, gpus: int, day: int, *, with_unclean: bool) -> None:
    """The files of one local day by node group; the last UNCLEAN_GPUS in a file of their own that is not clean."""
    folder.mkdir(parents=True, exist_ok=True)
    clean = gpus - UNCLEAN_GPUS if with_unclean else gpus
    for first in range(0, clean, GPUS_A_FILE):
        path = folder / f"day-{day:03d}-nodes-{first:06d}.parquet"
        _write_nodes(path, first, min(GPUS_A_FILE, clean - first), day)
    if with_unclean:
        _write_nodes(folder / f"day-{day:03d}-nodes-{clean:06d}.parquet", clean, UNCLEAN_GPUS, day, unclean=True)


def write_home(home: Path, gpus: int) -> Path:
    """An example home with one park; its telemetry folder."""
    write_example_home(home)
    (home / "home.yaml").write_text("title: Bench\nas_of: 2027-12-31\n", encoding="utf-8")
    park = PARK.replace("gpu_count: 5000", f"gpu_count: {gpus}").replace(
        "contract_id: my-contract-1", "contract_id: null"
    )
    (home / "parks" / f"{PARK_ID}.yaml").write_text(park, encoding="utf-8")
    target = home / "landing" / PARK_ID / "gpu_telemetry"
    target.mkdir(parents=True)
    return target


class Relation(str):
    """A table's name as dbt gives it to a model."""

    __slots__ = ()

    @property
    def identifier(self) -> str:
        """The name without its schema."""
        return self.rpartition(".")[2]


def _model(name: str) -> str:
    [path] = (DBT / "models").rglob(f"{name}.sql")
    return path.read_text(encoding="utf-8")


def connect(home: Path) -> duckdb.DuckDBPyConnection:
    """The home's warehouse as the pipeline opens it, with two threads and room to spill."""
    con = duckdb.connect(str(home / "warehouse.duckdb"))
    con.execute("SET threads = 2; SET preserve_insertion_order = false; SET enable_progress_bar = false")
    con.execute(f"SET memory_limit = '2GB'; SET temp_directory = '{home / 'spill'}'")
    return con


def prepare_models(con: duckdb.DuckDBPyConnection, home: Path) -> None:
    """The staging models that metering reads, and what stands beside it in a park without leases, closes and events."""
    con.execute(render(con, home, None, "{{ create_exact_arithmetic() }}"))
    con.execute(render(con, home, None, "{{ create_standing_parts() }}"))
    for name in ("home", "park", "tranche", "policy", "held_file", "lake_file", "lake_node", "lake_hour"):
        con.execute(f"CREATE OR REPLACE VIEW stg_{name} AS {render(con, home, None, _model(f'stg_{name}'))}")
    con.execute("CREATE OR REPLACE TABLE int_knowledge_points (park_id VARCHAR, known_at TIMESTAMPTZ)")
    con.execute(
        "CREATE OR REPLACE TABLE stg_credit_events (park_id VARCHAR, event_id VARCHAR, contract_id VARCHAR, tranche_id VARCHAR, "
        "kind VARCHAR, gpu_count INTEGER, effective_at TIMESTAMPTZ, ends_at TIMESTAMPTZ, known_from_at TIMESTAMPTZ, "
        "known_until_at TIMESTAMPTZ)"
    )
    con.execute(
        "CREATE OR REPLACE TABLE int_lease_intervals (tranche_id VARCHAR, gpu_count INTEGER, holds_from_at TIMESTAMPTZ, "
        "holds_until_at TIMESTAMPTZ, known_until_at TIMESTAMPTZ, is_billing BOOLEAN)"
    )
    con.execute(
        "CREATE OR REPLACE VIEW int_outage_states AS SELECT DISTINCT tranche.tranche_id, tranche.park_id, hour.service_date, "
        "home.clock_at AS state_at, NULL::TIMESTAMPTZ AS known_until_at FROM stg_tranche AS tranche "
        "JOIN stg_lake_hour AS hour USING (park_id) CROSS JOIN stg_home AS home"
    )


def land_and_measure(con: duckdb.DuckDBPyConnection, home: Path) -> int:
    """Land what is pending and bring the metering models up to date; rows of the files that were pending.

    Where nothing is pending nothing is built, as in a run of the product.
    """
    loaded = load_home(home)
    landing.create_raw_tables(con)
    pending = landing.pending(con, loaded)
    if not pending:
        return 0
    write_terms(con, loaded)
    landed = landing.land(con, loaded, pending)
    if any(
        f.row_count != f.landed_count + f.duplicate_count + f.superseded_count + f.quarantined_count for f in landed
    ):
        raise RuntimeError("a file's counts do not add up")
    prepare_models(con, home)
    for name in MODELS:
        stands = bool(con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [name]).fetchall())
        sql = render(con, home, None, _model(name), this=Relation(name) if stands else None)
        if stands:
            con.execute(f"CREATE OR REPLACE TEMP TABLE fresh AS {sql}")
            con.execute(
                f"DELETE FROM {name} USING fresh WHERE {name}.park_id = fresh.park_id AND {name}.service_date = fresh.service_date"
            )
            con.execute(f"INSERT INTO {name} BY NAME FROM fresh")
        else:
            con.execute(f"CREATE OR REPLACE TABLE {name} AS {sql}")
        if name == MODELS[0]:
            con.execute(
                "CREATE OR REPLACE TABLE int_park_days AS SELECT park_id, service_date, any_value(partition_fingerprint) "
                f"AS outages_fingerprint, outages_fingerprint AS capacity_fingerprint FROM {name} GROUP BY ALL"
            )
        else:
            con.execute(
                f"CREATE OR REPLACE TABLE intermediate.standing__{name} AS "
                "SELECT park_id, service_date, outages_fingerprint AS fingerprint FROM int_park_days"
            )
    return sum(file.row_count for file in landed)


def prepare(folder: Path, size: Size) -> None:
    """One home with the day's files in its landing folder, and the same home with the day landed and measured."""
    write_day(write_home(folder / "home", GPUS[size]), GPUS[size], 0, with_unclean=True)
    _linked(folder / "home", folder / "landed")
    with connect(folder / "landed") as con:
        land_and_measure(con, folder / "landed")


def _linked(source: Path, target: Path) -> None:
    """A copy of a home: links to the files that never change, real copies of the others."""
    shutil.rmtree(target, ignore_errors=True)

    def place(one: str, other: str) -> None:
        (os.link if one.endswith(".parquet") else shutil.copyfile)(one, other)

    shutil.copytree(source, target, copy_function=place)


def fresh(folder: Path, side: Side) -> None:
    if side == "project":
        _linked(folder / "home", folder / "now")


def project(folder: Path, _size: Size) -> Run:
    def run() -> float:
        with connect(folder / "now") as con:
            return float(land_and_measure(con, folder / "now"))

    return run


BY_DATE_TRUNC, BY_DIVISION = "date_trunc('hour', sampled_at)", "epoch_us(sampled_at) // 3600000000"


def baseline(hour: str, folder: Path, _size: Size) -> Run:
    files = [str(path) for path in sorted((folder / "home" / "landing").rglob("*.parquet"))]
    con = connect(folder)

    def run() -> float:
        con.execute(
            f"CREATE OR REPLACE TABLE hours AS SELECT gpu_id, {hour} AS hour, count(*) AS samples, "
            f"avg(utilization_pct) AS utilization_pct, avg(power_w) AS power_w FROM read_parquet({files!r}) GROUP BY gpu_id, hour"
        )
        return float(con.execute("SELECT sum(samples) FROM hours").fetchall()[0][0])

    return run


def prepare_history(folder: Path, _size: Size) -> None:
    """Homes with one and with HISTORY_DAYS days landed, and the files of one day more for both."""
    for name, days in (("young", 1), ("old", HISTORY_DAYS)):
        home = folder / name
        target = write_home(home, HISTORY_GPUS)
        for day in range(HISTORY_DAYS - days, HISTORY_DAYS):
            write_day(target, HISTORY_GPUS, day, with_unclean=False)
        with connect(home) as con:
            land_and_measure(con, home)
        write_day(target, HISTORY_GPUS, HISTORY_DAYS, with_unclean=False)


def fresh_history(folder: Path, side: Side) -> None:
    _linked(folder / ("old" if side == "project" else "young"), folder / "now")


def one_more_day(folder: Path, size: Size) -> Run:
    return project(folder, size)


def fresh_rerun(folder: Path, side: Side) -> None:
    _linked(folder / ("landed" if side == "project" else "home"), folder / "now")


def rerun(folder: Path, _size: Size) -> Run:
    """The same files once more: nothing is new, and all rows stand."""

    def run() -> float:
        with connect(folder / "now") as con:
            if land_and_measure(con, folder / "now"):
                raise RuntimeError("a rerun landed something")
            return float(con.execute("SELECT sum(row_count) FROM raw.landed_file").fetchall()[0][0])

    return run


def plausible(folder: Path, _size: Size) -> Run:
    """The suites of what a day gives: files of the lake, a frame of samples, hours of capacity; their import included."""
    home = folder / "landed"
    with connect(home) as con:
        con.execute("CREATE SCHEMA IF NOT EXISTS staging; CREATE SCHEMA IF NOT EXISTS metering")
        con.execute(f"CREATE OR REPLACE VIEW {LAKE_FILES} AS FROM main.stg_lake_file")
        con.execute("CREATE OR REPLACE TABLE metering.fct_capacity_hour AS FROM main.fct_capacity_hour")
        rows = float(con.execute("SELECT sum(row_count) FROM raw.landed_file").fetchall()[0][0])

    def run() -> float:
        frames = {TELEMETRY_SAMPLE: telemetry_sample(str(home / "warehouse.duckdb"), home)}
        found = validate_apart(str(home / "warehouse.duckdb"), [LAKE_FILES, "metering.fct_capacity_hour"], frames)
        failed = [e.name for outcomes in found.values() for e in outcomes if not e.passed]
        if failed or len(found) != 3:
            raise RuntimeError(f"the day is not plausible: {failed}")
        return rows

    return run


def stored(folder: Path, size: Size) -> dict[str, float]:
    """Bytes a sample in the lake, and of what metering keeps of it."""
    home = folder / "landed"
    lake_bytes = sum(path.stat().st_size for path in (home / "lake").rglob("*.parquet"))
    return {"lake_bytes_a_sample": lake_bytes / ROWS[size], "samples_a_gpu_day": float(MINUTES)}


def _day(hour: str, how: str, at_most: float | None, sizes: tuple[Size, ...]) -> Case:
    return Case(
        name="a day from landing files to capacity",
        baseline_name=f"DuckDB read_parquet, group by GPU and hour ({how}), unchecked",
        unit="rows",
        count={size: ROWS[size] for size in sizes},
        prepare=prepare,
        fresh=fresh,
        project=project,
        baseline=partial(baseline, hour),
        tolerance=0.0,
        single_at_seed=True,
        inputs="day",
        at_most=at_most,
        peak_mib_at_most=PEAK_MIB,
        facts=stored,
    )


ROWS: dict[Size, int] = {size: gpus * MINUTES + REPEATED for size, gpus in GPUS.items()}
PEAK_MIB = 4096
CASES = (
    _day(BY_DATE_TRUNC, "date_trunc", 3.0, ("small", "seed")),
    # Told, not held to a limit: a group-by of instants as whole numbers is what nobody writes.
    _day(BY_DIVISION, "whole division", None, ("small",)),
    Case(
        name="a rerun of a day with nothing new",
        baseline_name="the first run",
        unit="rows",
        count=ROWS,
        prepare=prepare,
        fresh=fresh_rerun,
        project=rerun,
        baseline=one_more_day,
        tolerance=0.0,
        single_at_seed=True,
        inputs="day",
        at_most=0.05,
        peak_mib_at_most=PEAK_MIB,
    ),
    Case(
        name="Great Expectations on a day",
        baseline_name="the day itself",
        unit="rows",
        count=ROWS,
        prepare=prepare,
        fresh=fresh_rerun,
        project=plausible,
        baseline=one_more_day,
        tolerance=0.0,
        single_at_seed=True,
        inputs="day",
        # Its import alone takes longer than a tenth of a small day.
        at_most=None,
    ),
    Case(
        name=f"day {HISTORY_DAYS + 1} of a home",
        baseline_name="day 2 of a home",
        unit="rows",
        count=dict.fromkeys(GPUS, HISTORY_GPUS * MINUTES),
        prepare=prepare_history,
        fresh=fresh_history,
        project=one_more_day,
        baseline=one_more_day,
        tolerance=0.0,
        at_most=1.15,
    ),
)
