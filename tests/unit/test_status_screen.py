"""The screen of `parkledger status`: what an operator on call sees on a terminal of 80 columns and 24 lines, and in a pipe."""

import io
import sqlite3
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_home import make_home
from typer.testing import CliRunner

from ingest.contracts import CONTRACTS
from orchestration import status_command
from orchestration.cli import app
from orchestration.settings import Settings
from orchestration.status_command import home_status
from orchestration.status_screen import print_status

LINES, COLUMNS = 24, 80
ALERT = {
    "severity": "warning", "rule": "claims are half as high again as three months ago", "kind": "level", "metric": "claims",
    "entity_level": "contract", "entity_id": "contract-1", "month": date(2027, 12, 1), "value": 2.0, "measured_value": 2.0,
    "threshold": 1.0, "evidence_grade": "assumed",
}  # fmt: skip


def feed(park_id: str, name: str, **other: Any) -> dict[str, Any]:
    daily = name in {"gpu_telemetry", "power_meter"}
    return {
        "park_id": park_id, "feed": name, "files": 9, "landed": 1000, "standing_in_quarantine": 0, "rejected_files": 0,
        "last_day": date(2027, 12, 31), "days_late": 0 if daily else None, **other,
    }  # fmt: skip


def answer(parks: int = 2, **other: Any) -> dict[str, Any]:
    """A home of so many parks with nothing wrong; every fifth month of its contracts is open."""
    feeds = [feed(f"park-{n:02}", name) for n in range(parks) for name in CONTRACTS]
    return {
        "run_id": "0123456789abcdef", "as_of": "2027-12-31", "is_current": True, "is_simulated": False,
        "clock_at": "2028-01-01T00:00:00+00:00", "state": {"critical": [], "warning": []},
        "last_run": {
            "job": "settlement", "status": "success", "started_at": "2028-01-01T05:00:00+00:00", "ended_at": "2028-01-01T05:02:00+00:00",
        },
        "feeds_from": "working tables", "feeds": feeds, "held_back": [],
        "months": [
            {"contract_id": f"contract-{n}", "open": ["2027-12"], "closed": ["2027-10", "2027-11"], "sealed": ["2027-10"], "reopenings": 0}
            for n in range(parks)
        ],
        "alerts": [], "operation_alerts": [], "waiting_notices": {}, "failed_checks": [],
        "daemon": {"is_running": True, "seen_at": "2028-01-01T06:00:00+00:00", "has_missed": False},
        "next_schedules": [
            {
                "name": f"daily_settlement_park_{n:02}", "park_id": f"park-{n:02}", "at": "2028-01-02T05:00:00+07:00",
                "time_zone": "Asia/Jakarta",
            }
            for n in range(parks)
        ] + [
            {"name": name, "park_id": None, "at": f"2028-01-11T{hour}:00:00+00:00", "time_zone": "UTC"}
            for name, hour in (("monthly_close", 18), ("monthly_report", 19))
        ],
        "to_do": [], **other,
    }  # fmt: skip


def screen(told: dict[str, Any], *, lines: int = LINES, whole: bool = False) -> list[str]:
    said = io.StringIO()
    out = Console(file=said, force_terminal=True, color_system=None, width=COLUMNS, height=lines)
    print_status(told, out, whole=whole)
    return said.getvalue().splitlines()


def test_where_all_is_well_the_screen_says_so_first_and_every_fact_stands_on_it() -> None:
    shown = screen(answer())
    assert len(shown) < LINES
    assert shown[0].startswith("State      well")
    text = "\n".join(shown)
    for fact in (
        "as of 2027-12-31, current; run 0123456789abcdef",
        "settlement: success, 2028-01-01 05:00 UTC to 05:02 UTC",
        "none late at 2028-01-01 00:00 UTC, the home's clock",
        "contract-1: open 2027-12; 2 closed since 2027-10, 1 sealed",
        "Alerts     none stands",
        "the daemon runs",
        "2028-01-02 05:00 daily_settlement_park_00 (Asia/Jakarta)",
        "2028-01-11 18:00 monthly_close, 19:00 monthly_report (UTC)",
    ):
        assert fact in text
    (row,) = (line for line in shown if line.startswith("park-01"))
    assert row.split() == ["park-01", *["12-31"] * len(CONTRACTS)]


def test_of_many_parks_the_worst_come_first_and_the_rest_is_counted() -> None:
    told = answer(
        parks=40,
        alerts=[
            {**ALERT, "severity": "critical" if n == 0 else "warning", "entity_id": f"contract-{n}"} for n in range(9)
        ],
        to_do=[f"park-{n:02}: something is to be done about it" for n in range(12)],
    )
    for row in told["feeds"]:
        if row["feed"] == "gpu_telemetry" and row["park_id"] in {"park-17", "park-31"}:
            row["days_late"], row["last_day"] = {
                "park-17": (3, date(2027, 12, 28)),
                "park-31": (400, date(2026, 11, 26)),
            }[row["park_id"]]
        if row["feed"] == "payments" and row["park_id"] == "park-09":
            row["standing_in_quarantine"], row["rejected_files"] = 1234, 2
    shown = screen(told)
    assert len(shown) < LINES
    assert max(map(len, shown)) <= COLUMNS
    first = next(number for number, line in enumerate(shown) if line.startswith("park-"))
    assert shown[first].split()[0] == "park-31"
    assert shown[first].split()[-1] == "2026-11"  # of another year: the year with its month
    assert shown[first + 1].split()[:2] + shown[first + 1].split()[-1:] == ["days", "late", "400"]
    rest = " ".join(" ".join(shown).split())
    assert "and 39 more: up to 3 days late; 1,234 rows, 2 files refused (--all)" in rest
    assert "more: parkledger alerts list" in "\n".join(shown)
    assert any(line.split()[:1] == ["critical"] for line in shown)
    # A higher screen has more of the same, in the same order: late by days, then what was refused.
    high = [line for line in screen(told, lines=48) if line.startswith("park-")]
    assert [line.split()[0] for line in high[:3]] == ["park-31", "park-17", "park-09"]
    assert any("1,234+2f" in line for line in screen(told, lines=48))


@pytest.mark.parametrize("parks", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("alerts", [0, 1, 30])
def test_whatever_a_home_holds_it_fits_on_the_screen(parks: int, alerts: int) -> None:
    told = answer(
        parks=parks,
        alerts=[ALERT] * alerts,
        state={"critical": ["the last run failed"], "warning": [f"{alerts} alerts"]},
        failed_checks=[{"check_name": "rows add up", "severity": "error", "measured": "3 rows"}] * alerts,
        to_do=["Rows were refused: parkledger quarantine list"] * alerts,
    )
    assert len(screen(told)) < LINES


def test_with_all_the_terminal_gets_what_a_pipe_gets() -> None:
    told = answer(parks=40, alerts=[ALERT] * 9)
    shown = screen(told, whole=True)
    assert sum(line.split()[0] == "gpu_telemetry" for line in shown if line.split()) == 40
    assert not any("more:" in line for line in shown)
    piped = io.StringIO()
    print_status(told, Console(file=piped, width=COLUMNS))
    assert sum("claims are half as high again" in line for line in piped.getvalue().splitlines()) == 9
    assert "…" not in piped.getvalue()


def test_a_name_from_a_file_moves_no_cursor_and_is_no_markup() -> None:
    hostile = {**ALERT, "entity_id": "\x1b[2J[bold]c[/bold]\u202e"}
    held = {
        "park_id": "park-00", "feed": "gpu_telemetry", "service_date": "2027-12-30", "held_row_count": 9, "broken_row_count": 1,
        "rule": "range", "path": "landing/park-00/gpu_telemetry/\x1b[2J.csv", "line_no": 2,
    }  # fmt: skip
    text = "\n".join(screen(answer(alerts=[hostile], held_back=[held])))
    assert "gpu_telemetry/" in text
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    assert "[bold]c[/bold]" in text


def test_one_park_can_be_asked_for_and_one_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    found = home_status(Settings(home=home), "my-park-1")
    assert {row["park_id"] for row in found["feeds"]} == {"my-park-1"}
    assert found["state"] == {"critical": ["nothing is published"], "warning": ["2 daily feeds have never come"]}
    wrong = CliRunner().invoke(app, ["--home", str(home), "status", "--park", "my-park-2"])
    assert wrong.exit_code == 2
    assert "no park of this home: my-park-1" in " ".join(wrong.output.split())


@pytest.mark.parametrize(
    ("silent", "running", "missed"),
    [(timedelta(seconds=30), True, False), (timedelta(minutes=30), False, False), (timedelta(days=2), False, True)],
)
def test_a_daemon_that_fell_silent_is_told_and_what_it_missed_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: timedelta, running: bool, missed: bool
) -> None:
    home = make_home(tmp_path / "home")
    now = datetime.fromisoformat("2027-02-14T12:00:00+00:00")
    monkeypatch.setattr(status_command, "computer_now", lambda: now)
    history = home / "dagster" / "history"
    history.mkdir(parents=True)
    with sqlite3.connect(history / "runs.db") as connection:  # as Dagster writes it: UTC, and does not say so
        connection.execute("CREATE TABLE daemon_heartbeats (id INTEGER, daemon_type VARCHAR, timestamp TIMESTAMP)")
        seen = (now - silent).replace(tzinfo=None)
        connection.execute("INSERT INTO daemon_heartbeats VALUES (1, 'SENSOR', ?)", (f"{seen}.000123",))
    connection.close()
    told = home_status(Settings(home=home))
    assert (told["daemon"]["is_running"], told["daemon"]["has_missed"]) == (running, missed)
    assert ("the daemon is down and missed a schedule" in told["state"]["warning"]) == missed
    assert ("not by themselves: the daemon was last seen" in "\n".join(screen(told))) == (not running)
