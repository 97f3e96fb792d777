"""The whole job over a home made of real files: no contract, parks without leases, and files that must be rejected."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
from build_home import BROKEN_NEM12_FILES, GAS_FILE, build_real_home
from pinned import PINS, Pin
from playwright.sync_api import sync_playwright

REPOSITORY = Path(__file__).resolve().parents[2]
RUN_LIMIT_SECONDS = 1800


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


@pytest.mark.parametrize("pin", PINS, ids=lambda pin: f"{pin.folder}: {pin.fact}")
def test_a_fact_of_the_files_comes_out_of_the_published_tables(
    pin: Pin, published: duckdb.DuckDBPyConnection, pinned: Callable[..., None]
) -> None:
    pinned(pin.folder, pin.fact, pin.expected, pin.found(published), pin.tolerance)


def test_broken_files_are_rejected_with_a_reason_and_nothing_is_simulated(
    published: duckdb.DuckDBPyConnection,
) -> None:
    rejected = dict(
        published.execute("SELECT path, reason FROM quality.fct_landed_file WHERE state = 'rejected'").fetchall()
    )
    broken = {Path(name).name for name in (*BROKEN_NEM12_FILES, GAS_FILE)} - {"Example_NEM12_incomplete_interval.csv"}
    assert {Path(path).name for path in rejected} == broken
    assert all(rejected.values())
    assert one(published, "SELECT count(*) FROM core.dim_contract") == 0
    assert one(published, "SELECT count(*) FROM quality.fct_landed_file WHERE path LIKE '%simulated%'") == 0
    # Files of years ago are late for a home that lives today, and the last day of one is cut short: nothing else is wrong.
    failed = published.execute("SELECT check_name, severity FROM quality.fct_check_result WHERE NOT passed").fetchall()
    assert all(severity == "warn" and name.endswith((" has come", " is whole")) for name, severity in failed), failed


def test_gpus_under_no_contract_that_nobody_leases_give_no_exception(published: duckdb.DuckDBPyConnection) -> None:
    kinds = published.execute("SELECT DISTINCT kind FROM metering.fct_metering_exceptions ORDER BY kind").fetchall()
    assert ("busy_without_lease",) not in kinds
    assert ("leased_without_telemetry",) in kinds
    unknown = "SELECT count(utilization_fraction) FROM metering.fct_capacity_day WHERE tranche_id = 'helios-vc3sl'"
    assert one(published, unknown) == 0


def test_every_identity_holds_on_real_files(home: Path) -> None:
    done = parkledger(home, "verify")
    assert done.returncode == 0, done.stdout


def test_a_second_run_over_the_same_files_finds_nothing_new(home: Path) -> None:
    done = parkledger(home, "run")
    assert (done.returncode, "Nothing new" in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.browser
def test_the_monitor_of_a_home_without_contracts_says_so_and_shows_what_was_measured(home: Path) -> None:
    (monitor,) = (home / "reports").rglob("monitor.html")
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("Chromium is not installed: apt-get install chromium")
        pytest.skip("Chromium is not installed, so nobody has looked at the monitor")
    complaints: list[str] = []
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]) as browser,
    ):
        page = browser.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(monitor.as_uri(), wait_until="load")
        text = page.inner_text("body")
        banners = page.locator(".banner").count()
        workstation = page.locator("tr", has_text="Jan 2026").filter(has_text="RTX 4090").first.inner_text()
    assert (complaints, banners) == ([], 0)
    assert "Measured feeds, none simulated." in text
    # every headline answer and every section of contracts gives the one reason
    assert text.count("there is no contract here") >= 10
    assert not re.search(r"table (revenue_share|backstop|ledger|credit)\.", text)
    assert "Cornell BioHPC, in October 2025" in text
    # nothing is leased of the workstation, and the hours observed were busy for 82.9874 % of their time
    assert "nothing leased" in workstation
    assert workstation.split("\t")[-1].strip() == "83.0\u00a0%"
    assert "nan" not in re.findall(r"\b\w+\b", text.lower())
