"""Landing of telemetry (reading, checking every row, lake, manifest) against bare readers of the same files."""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path

import duckdb
import polars as pl
from prometheus_client.parser import text_string_to_metric_families

from ingest import landing
from ingest.terms.home import load_home
from ingest.terms.init import write_example_home
from ingest.terms.templates import PARK
from tests.benchmarks.measuring import Case, Run, Size

PARK_ID, DAYS = "my-park-1", 10
RACKS: dict[Size, int] = {"small": 1_000, "seed": 10_000}
COUNT: dict[Size, int] = {size: racks * DAYS * 24 for size, racks in RACKS.items()}


def _landed(folder: Path) -> Path:
    return folder / "home" / "landing" / PARK_ID / "gpu_telemetry"


def _home(folder: Path) -> Path:
    """An example home with one park; its telemetry folder."""
    home = folder / "home"
    write_example_home(home)
    (home / "home.yaml").write_text("title: Bench\nas_of: 2027-12-31\n", encoding="utf-8")
    (home / "parks" / f"{PARK_ID}.yaml").write_text(PARK, encoding="utf-8")
    _landed(folder).mkdir(parents=True)
    return _landed(folder)


def prepare(suffix: str, folder: Path, size: Size) -> None:
    target = _home(folder)
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


def bare_parquet(folder: Path, _size: Size) -> Run:
    source = _landed(folder) / "telemetry.parquet"

    def run() -> float:
        frame = pl.read_parquet(source)
        frame.write_parquet(folder / "copy.parquet")
        return float(frame.height)

    return run


def bare_csv(folder: Path, _size: Size) -> Run:
    source = _landed(folder) / "telemetry.csv"
    con = duckdb.connect()
    con.execute("SET threads = 2")

    def run() -> float:
        con.execute(f"CREATE OR REPLACE TABLE bare AS FROM read_csv('{source}')")
        return float(con.execute("SELECT count(*) FROM bare").fetchall()[0][0])

    return run


def prepare_pages(folder: Path, size: Size) -> None:
    """Pages of dcgm-exporter, one a scrape of all GPUs."""
    target = _home(folder)
    gpus = PAGE_GPUS[size]
    for minute in range(PAGES):
        lines = []
        for metric, low in METRICS.items():
            lines += [f"# HELP {metric} as the exporter writes it", f"# TYPE {metric} gauge"]
            lines += [
                f'{metric}{{gpu="{gpu % 8}",UUID="GPU-{gpu:08d}",pci_bus_id="00000000:07:00.0",device="nvidia{gpu % 8}",'
                f'modelName="GB300",Hostname="a-{gpu // 8:05d}"}} {low + (gpu * 7 + minute) % 90}'
                for gpu in range(gpus)
            ]
        page = "\n".join(lines) + "\n"
        (target / f"scrape_2027-03-01T00{minute:02d}00Z.prom").write_text(page, encoding="utf-8")


def bare_parser(folder: Path, _size: Size) -> Run:
    pages = sorted(_landed(folder).glob("*.prom"))

    def run() -> float:
        return float(
            sum(
                len(family.samples)
                for page in pages
                for family in text_string_to_metric_families(page.read_text(encoding="utf-8"))
                if family.name == "DCGM_FI_DEV_GPU_UTIL"
            )
        )

    return run


PAGES = 5
PAGE_GPUS: dict[Size, int] = {"small": 4_000, "seed": 40_000}
METRICS = {
    "DCGM_FI_DEV_SM_CLOCK": 1900,
    "DCGM_FI_DEV_GPU_TEMP": 5,
    "DCGM_FI_DEV_POWER_USAGE": 900,
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 1_000_000,
    "DCGM_FI_DEV_GPU_UTIL": 5,
    "DCGM_FI_DEV_FB_USED": 70_000,
    "DCGM_FI_DEV_XID_ERRORS": 0,
}

CASES = (
    Case(
        name="landing telemetry from parquet",
        baseline_name="bare Polars read and write of the same file, unchecked",
        unit="rows",
        count=COUNT,
        prepare=partial(prepare, "parquet"),
        project=project,
        baseline=bare_parquet,
        tolerance=0.0,
    ),
    Case(
        name="landing telemetry from csv",
        baseline_name="DuckDB read_csv of the same file into a table, unchecked",
        unit="rows",
        count=COUNT,
        prepare=partial(prepare, "csv"),
        project=project,
        baseline=bare_csv,
        tolerance=0.0,
    ),
    Case(
        name="landing pages of dcgm-exporter",
        baseline_name="prometheus_client's parser on the same pages, which keeps nothing",
        unit="samples of a GPU",
        count={size: gpus * PAGES for size, gpus in PAGE_GPUS.items()},
        prepare=prepare_pages,
        project=project,
        baseline=bare_parser,
        tolerance=0.0,
    ),
)
