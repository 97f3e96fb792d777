"""The real daemon, started as `make serve` starts it, on a home of its own."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "unit"))

if TYPE_CHECKING:
    from playwright.sync_api import Browser

from small_home import LEASE_HEADER as LEASES  # noqa: E402
from small_home import PARK_ID, drop, lease_row, make_home  # noqa: E402

from orchestration.partitions import RANGE_END_TAG, RANGE_START_TAG, service_days  # noqa: E402
from orchestration.settings import Settings  # noqa: E402
from orchestration.state import load  # noqa: E402

# A run of the smallest home takes some 40 s of a machine that does nothing else.
LIMIT_SECONDS = 600
PAGE_MILLISECONDS = 120_000
COMMAND = [sys.executable, "-m", "orchestration.cli"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path / "home")


@pytest.fixture
def daemon(home: Path) -> Iterator[subprocess.Popen[str]]:
    with served(home) as process:
        yield process


@contextmanager
def served(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Web server and daemon on a home, as `make serve` starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (home.parent / "serve.log").open("w")
    process = subprocess.Popen(
        [*COMMAND, "--home", str(home), "serve", "--port", str(port)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "DAGSTER_DISABLE_TELEMETRY": "yes"},
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        log.close()


def _until(true: Callable[[], object], home: Path, what: str) -> None:
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > LIMIT_SECONDS:
            pytest.fail(f"waited {LIMIT_SECONDS} s for {what}:\n{(home.parent / 'serve.log').read_text()[-4000:]}")
        time.sleep(0.5)


def _runs(home: Path) -> list[tuple[str, str]]:
    """Job and status of every run, the earliest first."""
    path = home / "dagster" / "history" / "runs.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute("SELECT pipeline_name, status FROM runs ORDER BY id").fetchall()
        except sqlite3.OperationalError:  # the daemon has not made its tables yet
            return []


def _run_id(home: Path) -> str | None:
    path = home / "published" / "manifest.json"
    return json.loads(path.read_text())["run_id"] if path.exists() else None


def _address(home: Path) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", (home.parent / "serve.log").read_text())
    assert found is not None
    return found[0]


def _asked_of_the_page(home: Path, query: str, **variables: object) -> dict[str, Any]:
    """What Dagster's page asks of its server."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{_address(home)}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310  our own server
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  our own server
        found: dict[str, Any] = json.loads(answer.read())
    assert "errors" not in found, found
    return dict(found["data"])


def _backfill(home: Path, days: list[str]) -> None:
    """A range of days chosen on the page of the job, and launched."""
    nodes = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
    (repository,) = _asked_of_the_page(home, nodes)["repositoriesOrError"]["nodes"]
    selector = {"repositoryName": repository["name"], "repositoryLocationName": repository["location"]["name"]}
    mutation = (
        "mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) "
        "{ __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"
    )
    job = {"partitionSetName": "settlement_partition_set", "repositorySelector": selector}
    launched = _asked_of_the_page(home, mutation, params={"selector": job, "partitionNames": days})
    assert launched["launchPartitionBackfill"]["__typename"] == "LaunchBackfillSuccess", launched


def _landed(home: Path) -> dict[str, int]:
    with duckdb.connect(str(home / "published" / "parkledger.duckdb"), read_only=True) as connection:
        return dict(
            connection.sql("SELECT feed, sum(landed_count)::INT FROM quality.fct_landed_file GROUP BY 1").fetchall()
        )


@pytest.mark.slow
def test_a_dropped_file_is_acted_upon_within_a_minute_and_a_failed_run_leaves_what_was_published(
    home: Path, daemon: subprocess.Popen[str]
) -> None:
    _until(lambda: "Serving dagster-webserver" in (home.parent / "serve.log").read_text(), home, "the web server")

    drop(home, "leases", "leases.csv", LEASES + lease_row())
    dropped = time.monotonic()
    _until(lambda: _runs(home), home, "a run")
    assert time.monotonic() - dropped < 60
    _until(lambda: _run_id(home), home, "a first snapshot")
    assert _landed(home) == {"leases": 1}
    _until(lambda: _runs(home) == [("settlement", "SUCCESS")], home, "the end of the first run")
    first = _run_id(home)

    # Two files at once are one run more, or two one after the other; never two beside each other.
    drop(home, "leases", "more.csv", LEASES + lease_row("L2"))
    drop(home, "leases", "still more.csv", LEASES + lease_row("L3"))
    _until(lambda: _run_id(home) != first, home, "a second snapshot")
    assert _landed(home)["leases"] >= 2
    _until(lambda: {status for _, status in _runs(home)} == {"SUCCESS"}, home, "the end of the second run")
    second = _run_id(home)

    # A backfill of a range of days is one run more, over all of them.
    before = len(_runs(home))
    days = service_days(load(Settings(home=home)))[:5]
    _backfill(home, days)
    _until(lambda: len(_runs(home)) > before, home, "the run of a backfill")
    _until(lambda: {status for _, status in _runs(home)} == {"SUCCESS"}, home, "the end of the backfill")
    time.sleep(30)  # the daemon looks for more to launch every few seconds
    assert _runs(home)[before:] == [("settlement", "SUCCESS")]

    # A table that cannot be read fails the run over its input: it is told, not tried again, and what was published stays.
    (home / "alerts.yaml").write_text("channels:\n  - {channel_id: desk, file: told.jsonl}\n")
    (home / "reference" / "fx.csv").write_text("this,is,no\ntable,of,rates\n")
    drop(home, "leases", "last.csv", LEASES + lease_row("L4"))
    told = home / "told.jsonl"
    _until(told.exists, home, "the alert of a failed run")
    assert _run_id(home) == second
    assert [status for _, status in _runs(home)].count("FAILURE") == 1
    assert "a run of settlement failed" in json.loads(told.read_text().splitlines()[-1])["body"]
    status = subprocess.run([*COMMAND, "--home", str(home), "status"], capture_output=True, text=True, check=False)
    assert "critical: the last run failed" in status.stdout
    assert "the daemon runs" in status.stdout
    assert PARK_ID in status.stdout


@pytest.mark.slow
@pytest.mark.browser
def test_a_range_of_days_that_a_person_chooses_on_dagsters_page_is_one_run_and_publishes(
    tmp_path: Path, browser: "Browser"
) -> None:
    # A home that lives today: its days are a span of the computer's calendar, and the page takes a range of them in words.
    began = (datetime.now(UTC).date().replace(day=1) - timedelta(days=1)).replace(day=1)

    def today(text: str) -> str:
        return text.replace("2027-01-01", began.isoformat()).replace(
            "2026-12-01", (began - timedelta(days=31)).isoformat()
        )

    home = make_home(tmp_path / "home", park=today, contract=today, home="title: Test\nas_of: today\n")
    drop(home, "leases", "leases.csv", LEASES + today(lease_row(recorded_at="2026-12-01T00:00:00Z")))
    first, last = (began + timedelta(days=n) for n in (4, 8))
    with served(home):
        _until(lambda: "Serving dagster-webserver" in (tmp_path / "serve.log").read_text(), home, "the web server")
        _until(lambda: _runs(home) == [("settlement", "SUCCESS")], home, "the run over the first file")
        snapshot = (home / "published" / ".current").readlink()

        page = browser.new_page()
        page.set_default_timeout(PAGE_MILLISECONDS)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{_address(home)}/jobs")
        page.locator("a[href$='/jobs/settlement']").click()
        page.get_by_role("button", name="Materialize all").click()
        days = page.get_by_placeholder("No matching partitions")
        days.fill(f"[{first}...{last}]")
        days.press("Enter")
        page.get_by_text("5 partitions", exact=True).wait_for()
        page.get_by_role("button", name="Launch backfill").click()
        page.get_by_role("dialog").wait_for(state="detached")
        page.close()

        _until(lambda: len(_runs(home)) > 1, home, "the run of the backfill")
        _until(lambda: {status for _, status in _runs(home)} == {"SUCCESS"}, home, "the end of the backfill")
        time.sleep(30)  # the daemon looks for more to launch every few seconds
        assert _runs(home)[1:] == [("settlement", "SUCCESS")]
        assert (home / "published" / ".current").readlink() != snapshot
        assert _range_of_last_run(home) == (first.isoformat(), last.isoformat())
        assert [url for url in asked if not url.startswith((_address(home), "data:", "blob:"))] == []


def _range_of_last_run(home: Path) -> tuple[str, str]:
    """First and last day that Dagster gave the run that began last."""
    path = home / "dagster" / "history" / "runs.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tags = dict(
            connection.execute(
                "SELECT key, value FROM run_tags WHERE run_id = (SELECT run_id FROM runs ORDER BY id DESC LIMIT 1)"
            ).fetchall()
        )
    return tags[RANGE_START_TAG], tags[RANGE_END_TAG]
