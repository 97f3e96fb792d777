"""A small home, run once as a user runs it: the command line in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from filelock import FileLock

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "unit"))
sys.path.insert(0, str(Path(__file__).parent))

from simulated_home import NORTH, SOUTH, write_home  # noqa: E402

AS_OF = "2027-04-20"  # three months are closed by then, and a fourth has begun
CONTRACT = f"{NORTH}-c"
PARKS = (NORTH, SOUTH)
# A name that is more than a name: a formula, markup, text from right to left with its override, a face.
HOSTILE = '=HYPERLINK("http://evil.example","x") <img src=x onerror=alert(1)> \u202e\u0645\u0631\u062d\u0628\u0627 \U0001f600 #import'
WRITTEN_BY_RUNS = ("lake", "published", "reports", "quarantine", "dagster", ".parkledger", "warehouse.duckdb")
# The south's operator has a market of its own, and owes a loan beside the share.
CREDIT_CURVES = f"""obligor_id,curve_date,kind,horizon_years,value,recovery_fraction,source,grade
{SOUTH}-op,2027-02-15,cds_spread,1,0.0500,,test,assumed
{SOUTH}-op,2027-02-15,cds_spread,5,0.0811,,test,assumed
{SOUTH}-op,2027-03-15,cumulative_pd,1,0.0300,,test,assumed
"""
INSTRUMENTS = f"""instrument_id,contract_id,flow_date,amount,currency_code,source,grade
south-loan,{SOUTH}-c,2027-01-15,-1000000.00,USD,test,assumed
south-loan,{SOUTH}-c,2028-01-15,1090000.00,USD,test,assumed
"""
RUN_LIMIT_SECONDS = 1800  # of the clock, on a machine that others use too; CI has its own limit on the whole


def parkledger(home: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line on a home, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "--home", str(home), *arguments],
        cwd=cwd or REPOSITORY,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_LIMIT_SECONDS,
    )


ECONOMICS = """economics:
  tariff_per_mwh: "75.00"
  land_per_month: "50000"
  operation_per_gpu_month: "100"
  currency_code: USD
  debt:
    - {lender: A bank, principal: "20000000", rate: "0.0850", floating: true, amortisation: annuity, maturity: 2031-12-31}
"""
COVENANTS = """    covenants:
      - {covenant_id: dscr, metric: dscr, operator: ">=", threshold: "1.30", test_frequency: quarter, consequence: lockup}
      - {covenant_id: cash, metric: min_liquidity, operator: ">=", threshold: "3", test_frequency: month, consequence: sweep}
"""


def write_small_home(path: Path) -> Path:
    """Two parks of a few racks with the demo's reference tables and scenarios; nothing is landed yet. The northern one has
    costs, a loan and covenants.
    """
    write_home(path, as_of=AS_OF)
    for file, more in ((f"parks/{NORTH}.yaml", ECONOMICS), (f"contracts/{CONTRACT}.yaml", COVENANTS)):
        (path / file).write_text((path / file).read_text() + more)
    for folder in ("reference", "scenarios", "vendors", "policies"):
        shutil.copytree(REPOSITORY / "data" / folder, path / folder)
    (path / "reference" / "credit_curves.csv").write_text(CREDIT_CURVES)
    (path / "reference" / "instruments.csv").write_text(INSTRUMENTS)
    return path


def copy_home(home: Path, target: Path, *, with_results: bool = True) -> Path:
    """The home elsewhere; without results only what a user and the operators wrote."""
    left_out = shutil.ignore_patterns("dagster", "*.wal", *(() if with_results else WRITTEN_BY_RUNS))
    return Path(shutil.copytree(home, target, ignore=left_out))


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def parquet_hashes(home: Path) -> dict[str, str]:
    manifest = json.loads((home / "published" / "manifest.json").read_text())
    return {name: table["sha256"] for name, table in manifest["tables"].items()}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home after its first run, made once for all of pytest's processes. No test may change it: copy it."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if os.environ.get("PYTEST_XDIST_WORKER") else folder
    home = shared / "small" / "home"
    with FileLock(shared / "small.lock"):
        if not home.exists():
            done = parkledger(write_small_home(home), "run")
            log = home / ".parkledger" / "run.log"
            assert done.returncode == 0, done.stdout + done.stderr + (log.read_text()[-3000:] if log.exists() else "")
            assert "Published run" in done.stdout
    assert (home / "published" / "manifest.json").is_file(), (
        "the run of the small home failed: see the test that ran it"
    )
    return home


@pytest.fixture
def published(finished: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(finished / "published" / "parkledger.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone='UTC'")
        yield connection
