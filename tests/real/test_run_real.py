"""The whole job over a home made of real files: no contract, parks without leases, and files that must be rejected."""

import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from build_home import BIOHPC, HELIOS, METERS, build_real_home

REPOSITORY = Path(__file__).resolve().parents[2]
RUN_LIMIT_SECONDS = 1800

pytestmark = pytest.mark.slow


def parkledger(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "--home", str(home), *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_LIMIT_SECONDS,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    folder = build_real_home(tmp_path_factory.mktemp("real") / "home", source, with_broken_files=True)
    done = parkledger(folder, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def published(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(home / "published" / "parkledger.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone='UTC'")
        yield connection


def one(connection: duckdb.DuckDBPyConnection, query: str) -> object:
    ((value,),) = connection.execute(query).fetchall()
    return value


def test_energy_of_two_hosts_is_the_sum_of_their_hourly_means(published: duckdb.DuckDBPyConnection) -> None:
    """Σ of power over 15,493 and 8,497 hours, computed from the files apart from this project."""
    rows = dict(
        published.execute(
            "SELECT tranche_id, sum(it_energy_kwh) FROM metering.fct_capacity_hour WHERE park_id = ? GROUP BY ALL",
            [BIOHPC],
        ).fetchall()
    )
    assert {name: round(kwh, 6) for name, kwh in rows.items()} == {
        "biohpc-07": Decimal("1214.570297"),
        "biohpc-09": Decimal("633.483763"),
    }


def test_gpu_hours_of_a_cluster_are_those_of_its_occupancy(published: duckdb.DuckDBPyConnection) -> None:
    """10,845.316667 GPU-hours of 1 to 14 May 2020; hours are rounded to a millionth each."""
    hours = one(
        published, f"SELECT sum(billed_gpu_hours) FROM metering.fct_lease_revenue_day WHERE park_id = '{HELIOS}'"
    )
    assert abs(Decimal(str(hours)) - Decimal("10845.316667")) < Decimal("0.0002")


def test_meter_files_give_a_park_its_days_of_power(published: duckdb.DuckDBPyConnection, home: Path) -> None:
    """What the park's meters took and gave in the days published is what their readings say."""
    facility = one(published, f"SELECT sum(facility_energy_kwh) FROM metering.fct_power_day WHERE park_id = '{METERS}'")
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as warehouse:
        solar = warehouse.execute(
            "SELECT register, sum(energy_kwh) FROM raw.power_meter JOIN raw.landed_file USING (file_id, park_id) "
            "WHERE path LIKE '%month_solar%' GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    assert [(register, Decimal(kwh)) for register, kwh in solar] == [
        ("B1", Decimal("589.172")),
        ("E1", Decimal("270.738")),
    ]
    assert Decimal(str(facility)) > Decimal("270.738")


def test_the_vendor_s_days_of_sales_are_those_of_its_filing(published: duckdb.DuckDBPyConnection) -> None:
    """40,710 of receivables over 81,615 of revenue in 91 days."""
    days = one(published, "SELECT dso_days FROM issuer.fct_issuer_quarter WHERE fiscal_period_end = '2026-04-26'")
    assert round(Decimal(str(days)), 8) == Decimal("45.39128837")


def test_broken_files_are_rejected_and_nothing_is_simulated(published: duckdb.DuckDBPyConnection) -> None:
    rejected = published.execute(
        "SELECT path, reason FROM quality.fct_landed_file WHERE state = 'rejected' ORDER BY path"
    ).fetchall()
    names = {Path(path).name for path, _ in rejected}
    assert {"Example_empty_file.csv", "gas_direct.xml"} <= names
    assert all(reason for _, reason in rejected)
    assert one(published, "SELECT count(*) FROM core.dim_contract") == 0
    assert one(published, "SELECT count(*) FROM quality.fct_landed_file WHERE path LIKE '%simulated%'") == 0


def test_every_identity_holds_on_real_files(home: Path) -> None:
    done = parkledger(home, "verify")
    assert done.returncode == 0, done.stdout


def test_a_monitor_is_drawn_of_a_home_without_contracts(home: Path) -> None:
    (monitor,) = (home / "reports").rglob("monitor.html")
    assert "Real files of many makers" in monitor.read_text()
