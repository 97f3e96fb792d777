"""What ``parkledger status`` finds out about a home, and how it prints it on one screen.

It reads the published snapshot, the working tables where no run holds them, Dagster's list of runs and the timetable.
Dagster itself is not imported, so the answer is there at once.
"""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from itertools import groupby
from textwrap import wrap
from typing import Any
from urllib.parse import quote

import duckdb
import polars as pl
from rich.console import Console

from ingest import kept_journal
from ingest.contracts import CONTRACTS
from ingest.terms.home import Home, computer_now
from orchestration import timetable
from orchestration.alerting import alert_text, operation_alerts, waiting
from orchestration.display import as_table
from orchestration.publishing.formats import count_text
from orchestration.settings import Settings
from orchestration.state import is_current, load

SHOWN_ALERTS = 5
SHOWN_HELD = 5
# Where a line's text begins, and the least room that it has, in signs.
INDENT, MINIMUM_ROOM = 11, 40
SEVERITIES = ("critical", "warning")
WORKING, PUBLISHED, NOTHING = "working tables", "published snapshot", "nothing"
COUNTS = (
    "files", "row_count", "landed", "duplicate", "superseded", "quarantined", "rejected_files", "standing_in_quarantine"
)  # fmt: skip
_DAY_OF = {
    "power_meter": "interval_start_at",
    "lease_usage": "interval_start_at",
    "payments": "received_at",
    "credit_events": "effective_at",
    # A lease or an assignment stands for a span that may end in years: what counts is when it became known.
    "leases": "recorded_at",
    "lease_assignments": "recorded_at",
}
_LAST_DAYS = """
    SELECT 'gpu_telemetry' AS feed, park_id, max(service_date) AS last_day
    FROM raw.lake_file WHERE feed = 'gpu_telemetry' AND landed_count > 0 GROUP BY ALL
    UNION ALL
    SELECT 'lease_adjustments', park_id, max(service_date) FROM raw.lease_adjustments GROUP BY ALL
""" + "".join(
    f"""
    UNION ALL
    SELECT '{feed}', rows.park_id, timezone(park.time_zone, max(rows.{column}))::DATE
    FROM raw.{feed} AS rows JOIN raw.park AS park USING (park_id) GROUP BY rows.park_id, park.time_zone
    """
    for feed, column in _DAY_OF.items()
)
_FEEDS = """
    SELECT
        park_id,
        feed,
        count(*) AS files,
        sum(row_count)::BIGINT AS row_count,
        sum(landed_count)::BIGINT AS landed,
        sum(duplicate_count)::BIGINT AS duplicate,
        sum(superseded_count)::BIGINT AS superseded,
        sum(quarantined_count)::BIGINT AS quarantined,
        count(*) FILTER (WHERE state = 'rejected') AS rejected_files,
        max(received_at) AS last_received_at,
        any_value(waiting.standing_count) AS standing_in_quarantine
    FROM {files}
    LEFT JOIN (
        SELECT park_id, feed, count(*) AS standing_count
        FROM {quarantined} ANTI JOIN {released} USING (park_id, feed, file_id, line_no)
        GROUP BY ALL
    ) AS waiting USING (park_id, feed)
    GROUP BY ALL
    ORDER BY ALL
"""
_TABLES = {
    WORKING: {"files": "raw.landed_file", "quarantined": "raw.quarantined_row", "released": "raw.released_row"},
    PUBLISHED: {
        "files": "quality.fct_landed_file",
        "quarantined": "quality.fct_quarantined_row",
        "released": "quality.fct_released_row",
    },
}
# A month is open from its beginning, also before anything is posted to it.
_MONTHS = """
    SELECT begun.contract_id, begun.posting_month, period_close.reopening_no
    FROM (
        SELECT contract_id, posting_month FROM ledger.fct_journal_lines WHERE contract_id IS NOT NULL
        UNION
        SELECT contract_id, unnest(generate_series(min(posting_month), ?::DATE, INTERVAL 1 MONTH))::DATE
        FROM ledger.fct_journal_lines WHERE contract_id IS NOT NULL GROUP BY contract_id
    ) AS begun
    LEFT JOIN ledger.fct_period_close AS period_close USING (contract_id, posting_month)
    ORDER BY ALL
"""
_ALERTS = """
    SELECT
        severity, rule, kind, metric, entity_level, entity_id, month, value, measured_value, threshold, evidence_grade, raised_at
    FROM monitor.fct_alert
    WHERE cleared_at IS NULL
    ORDER BY list_position(?, severity) NULLS LAST, raised_at DESC, entity_level, entity_id, rule
"""


def home_status(settings: Settings) -> dict[str, Any]:
    """All that the screen shows, as plain data.

    Raises:
        TermsError: the home's terms cannot be read.
    """
    home = load(settings)
    manifest_path = settings.published_folder / "manifest.json"
    manifest = json.loads(manifest_path.read_text(encoding="utf-8")) if manifest_path.exists() else {}
    feeds, source = _feeds(settings, home)
    answer: dict[str, Any] = {
        "home": str(settings.home),
        "clock_at": home.clock_at.isoformat(),
        "run_id": manifest.get("run_id"),
        "as_of": manifest.get("as_of"),
        "is_current": is_current(settings),
        "is_simulated": home.simulation is not None,
        "last_run": _last_run(settings),
        "feeds_from": source,
        "feeds": feeds,
        "held_back": [],
        "months": [],
        "alerts": [],
        "operation_alerts": operation_alerts(settings),
        "waiting_notices": waiting(settings),
        "failed_checks": [],
        "next_schedules": _next_schedules(home, computer_now()),
    }
    if manifest:
        with _snapshot(settings) as connection:
            answer |= {
                "held_back": _held_back(connection),
                "months": _months(connection, home),
                "alerts": connection.sql(_ALERTS, params=[list(SEVERITIES)]).pl().to_dicts(),
                "failed_checks": connection.sql(
                    "SELECT check_name, severity, measured FROM quality.fct_check_result WHERE NOT passed ORDER BY ALL"
                )
                .pl()
                .to_dicts(),
            }
    return answer | {"to_do": list(_to_do(home, answer))}


def _snapshot(settings: Settings) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(settings.published_path), read_only=True)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _held_back(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Partitions that the snapshot holds back, with rule and first row; a snapshot of before knows of none."""
    if not connection.sql("FROM duckdb_tables() WHERE table_name = 'fct_held_partition'").fetchall():
        return []
    query = "SELECT * EXCLUDE (held_from_at) REPLACE (service_date::VARCHAR AS service_date) FROM quality.fct_held_partition ORDER BY ALL"
    held: list[dict[str, Any]] = connection.sql(query).pl().to_dicts()
    return held


def _feeds(settings: Settings, home: Home) -> tuple[list[dict[str, Any]], str]:
    """Per park and feed what has landed, and from where that is known.

    A run that is under way keeps readers out of the working tables; then the snapshot answers, which knows no last days.
    """
    frame, last_days, source = pl.DataFrame(), pl.DataFrame(), NOTHING
    if settings.warehouse_path.exists():
        try:
            with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                frame = connection.sql(_FEEDS.format(**_TABLES[WORKING])).pl()
                last_days = connection.sql(_LAST_DAYS).pl()
                source = WORKING
        except (duckdb.IOException, duckdb.CatalogException):
            source = NOTHING  # held by a run, or left by one that ended before it made its tables
    if source == NOTHING and settings.published_path.exists():
        with _snapshot(settings) as connection:
            frame, source = connection.sql(_FEEDS.format(**_TABLES[PUBLISHED])).pl(), PUBLISHED
    found = {(row["park_id"], row["feed"]): row for row in frame.to_dicts()}
    days = {(row["park_id"], row["feed"]): row["last_day"] for row in last_days.to_dicts()}
    never = {**dict.fromkeys(COUNTS, 0), "last_received_at": None}
    rows = []
    for park_id, feed in sorted({*found, *((park, feed) for park in home.parks for feed in timetable.DAILY_FEEDS)}):
        row = found.get((park_id, feed), {"park_id": park_id, "feed": feed, **never})
        row["standing_in_quarantine"] = row["standing_in_quarantine"] or 0
        last_day = days.get((park_id, feed))
        is_due = feed in timetable.DAILY_FEEDS and park_id in home.parks and last_day is not None
        due = timetable.last_day_due(home.parks[park_id], home.clock_at) if is_due else None
        late = None if due is None or last_day is None else max(0, (due - last_day).days)
        rows.append({**row, "last_day": last_day, "days_late": late})
    return rows, source


def _months(connection: duckdb.DuckDBPyConnection, home: Home) -> list[dict[str, Any]]:
    """Per contract the months with journal lines: open, closed, and sealed among the closed ones."""
    sealed = {
        (row["contract_id"], row["posting_month"], row["reopening_no"])
        for row in kept_journal.read(home.path, "closes")
        .filter(pl.col("is_sealed") & (pl.col("closed_at") <= home.clock_at))
        .to_dicts()
    }
    reopened = dict(
        connection.sql("SELECT contract_id, count(*) FROM ledger.fct_period_reopening GROUP BY ALL").fetchall()
    )
    rows: dict[str, dict[str, Any]] = {}
    for contract_id, month, reopening_no in connection.sql(_MONTHS, params=[home.as_of_date]).fetchall():
        row = rows.setdefault(
            contract_id,
            {
                "contract_id": contract_id,
                "open": [],
                "closed": [],
                "sealed": [],
                "reopenings": reopened.get(contract_id, 0),
            },
        )
        row["open" if reopening_no is None else "closed"].append(f"{month:%Y-%m}")
        if (contract_id, month, reopening_no) in sealed:
            row["sealed"].append(f"{month:%Y-%m}")
    return list(rows.values())


def _last_run(settings: Settings) -> dict[str, Any] | None:
    """The last run that Dagster recorded, also one that failed; None where there was none."""
    query = (
        "SELECT run_id, pipeline_name AS job, status, start_time AS started_at, end_time AS ended_at "
        "FROM runs ORDER BY id DESC LIMIT 1"
    )
    row: Any
    path = settings.dagster_folder / "history" / "runs.db"
    if settings.dagster_postgres_url is not None:
        import sqlalchemy as sa  # noqa: PLC0415 - only where Dagster's storage is a database of its own

        with sa.create_engine(settings.dagster_postgres_url.get_secret_value()).connect() as connection:
            row = (
                connection.execute(sa.text(query)).mappings().first()
                if sa.inspect(connection).has_table("runs")
                else None
            )
    elif not path.exists():
        row = None
    else:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as sqlite:
            sqlite.row_factory = sqlite3.Row
            row = sqlite.execute(query).fetchone()
    if row is None:
        return None
    times = {name: _instant_text(row[name]) for name in ("started_at", "ended_at")}
    return {"dagster_run_id": row["run_id"], "job": row["job"], "status": row["status"].lower(), **times}


def _instant_text(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _next_schedules(home: Home, now: datetime) -> list[dict[str, str]]:
    """Schedules with the time of their next run by the computer's clock, the soonest first."""
    due = sorted(
        ((timing.next_after(now), timing) for timing in timetable.timings(home)), key=lambda p: (p[0], p[1].name)
    )
    return [{"name": t.name, "at": at.isoformat(), "time_zone": t.time_zone} for at, t in due]


def _to_do(home: Home, answer: dict[str, Any]) -> list[str]:
    """What is missing and how to mend it, the most pressing first."""
    command = f"parkledger --home {home.path}"
    said = [f"left out: {problem}" for problem in home.problems]
    if answer["run_id"] is None:
        said.append(f"Nothing is published in {home.path} yet: {command} run")
    elif not answer["is_current"]:
        said.append(f"New input waits: {command} run")
    if not home.parks:
        said.append(
            f"There is no park: copy {home.path / 'parks' / 'example.yaml.txt'} to <park_id>.yaml and fill it in."
        )
    run = answer["last_run"]
    if run and run["status"] == "failure":
        log = home.path / ".parkledger" / "run.log"
        told = [alert["about"] for alert in answer["operation_alerts"] if alert["alert_id"] == f"run:{run['job']}"]
        why = f": {told[0]}" if told else f". See {log}"
        said.append(f"The last run ({run['job']}) failed; what was published before stands{why}")
    for feed in answer["feeds"]:
        where = f"landing/{feed['park_id']}/{feed['feed']}"
        if not feed["files"] and not home.is_simulated(feed["park_id"]):
            said.append(f"{feed['park_id']}: no {feed['feed']} has landed. Put its files under {home.path / where}/")
        elif feed["days_late"]:
            said.append(
                f"{feed['park_id']}: {feed['feed']} is {count_text(feed['days_late'], 'day', 'days')} late. Ask the operator."
            )
    if answer["held_back"]:
        said.append(
            f"Park-days are held back by rules that block: have their rows sent again, or mend and release them, {command} quarantine list"
        )
    if any(feed["standing_in_quarantine"] for feed in answer["feeds"]):
        said.append(f"Rows stand in quarantine: {command} quarantine list")
    if answer["run_id"] and any(feed["rejected_files"] for feed in answer["feeds"]):
        reasons = "SELECT path, reason FROM quality.fct_landed_file WHERE state = 'rejected'"
        said.append(f'Files were rejected as a whole: {command} sql "{reasons}"')
    return said


def print_status(answer: dict[str, Any], out: Console) -> None:
    """One screen: run, feeds, months, alerts, what comes next, what to do."""
    published = f"run {answer['run_id']} as of {answer['as_of']}" if answer["run_id"] else "nothing yet"
    state = "" if not answer["run_id"] else ", current" if answer["is_current"] else ", new input waits"
    _line(out, "Published", f"{published}{state}{' (simulated feeds)' if answer['is_simulated'] else ''}")
    run = answer["last_run"]
    when = "" if run is None else f", began {run['started_at'] or '—'}, ended {run['ended_at'] or '—'}"
    _line(out, "Last run", "none recorded" if run is None else f"{run['job']}: {run['status']}{when}")
    _line(out, "Clock", f"{answer['clock_at']} (the home's; lateness is against it)")
    _print_feeds(answer, out)
    _print_held(answer["held_back"], out)
    _print_months(answer, out)
    _print_alerts(answer, out)
    if answer["failed_checks"]:
        _line(out, "Checks", f"{len(answer['failed_checks'])} failed: {answer['failed_checks'][0]['check_name']}, …")
    for number, schedule in enumerate(answer["next_schedules"]):
        where = f"{schedule['name']} ({schedule['time_zone']})"
        _line(out, "" if number else "Next", f"{schedule['at']}  {where}")
    _line(out, "", "by this computer's clock, while `make serve` runs; new landing files start a run within a minute")
    for number, text in enumerate(answer["to_do"]):
        _line(out, "" if number else "To do", text, is_whole=True)


def _print_feeds(answer: dict[str, Any], out: Console) -> None:
    _line(out, "Feeds", f"from the {answer['feeds_from']}" if answer["feeds_from"] != NOTHING else "nothing has landed")
    if answer["feeds_from"] == PUBLISHED:
        _line(out, "", "the working tables are missing, or a run holds them: last days are not known")
    order = {feed: number for number, feed in enumerate(CONTRACTS)}
    feeds = sorted(answer["feeds"], key=lambda f: (f["park_id"], order.get(f["feed"], len(order)), f["feed"]))
    if answer["feeds_from"] != NOTHING:
        # A park's name on a line of its own leaves room for whole cells in 80 columns.
        cells: list[tuple[object, ...]] = []
        for park_id, of_park in groupby(feeds, key=lambda f: f["park_id"]):
            cells.append((park_id, *[""] * 6))
            cells += [
                (
                    f"  {f['feed']}",
                    f["last_day"] or "—",
                    "—" if f["days_late"] is None else f["days_late"],
                    f["files"],
                    f["landed"],
                    f["standing_in_quarantine"],
                    f["rejected_files"],
                )
                for f in of_park
            ]
        names = ["park and feed", "last day", "late", "files", "rows", "quarantine", "rejected"]
        out.print(as_table(names, cells, whole_from=1), markup=False)
        _line(out, "", "late: days; quarantine: rows that stand there; rejected: files refused as a whole")


def _print_held(held: list[dict[str, Any]], out: Console) -> None:
    for number, one in enumerate(held[:SHOWN_HELD]):
        partition = f"{one['park_id']} {one['feed']} {one['service_date']}"
        waiting_rows = count_text(one["held_row_count"], "row waits", "rows wait")
        broken = count_text(one["broken_row_count"], "row breaks", "rows break")
        said = f"{partition} ({waiting_rows}): {broken} {one['rule']}, first {one['path']}:{one['line_no']}"
        _line(out, "" if number else "Held back", said)
    if len(held) > SHOWN_HELD:
        _line(out, "", f'{len(held) - SHOWN_HELD} more: parkledger sql "FROM quality.fct_held_partition"')


def _print_months(answer: dict[str, Any], out: Console) -> None:
    if not answer["months"]:
        _line(out, "Months", "none posted")
        return
    _line(out, "Months", "by contract")
    cells = [
        (
            m["contract_id"],
            _span(m["open"]),
            _span(m["closed"]),
            _span(m["sealed"]) if m["sealed"] else "none",
            m["reopenings"],
        )
        for m in answer["months"]
    ]
    for contract_id, opened, closed, sealed, reopenings in cells:
        again = f", reopened {count_text(reopenings, 'time', 'times')}" if reopenings else ""
        _line(out, "", f"{contract_id}: open {opened}; closed {closed}, sealed {sealed}{again}")


def _span(months: list[str]) -> str:
    if len(months) <= 1:
        return "".join(months) or "—"
    return f"{months[0]} to {months[-1]} ({len(months)})"


def _print_alerts(answer: dict[str, Any], out: Console) -> None:
    alerts = answer["alerts"]
    for row in answer["operation_alerts"]:
        _line(out, "Operation", f"{row['severity']:<8}  {row['rule']}: {row['about']} ({row['raised_at'][:16]})")
    for channel, count in answer["waiting_notices"].items():
        _line(out, "Notices", f"{count} to {channel} could not be sent; the next run tries again")
    counts = Counter(alert["severity"] for alert in alerts)
    said = ", ".join(f"{count} {severity}" for severity, count in counts.items())
    _line(out, "Alerts", f"open: {said}" if alerts else "none open")
    for alert in alerts[:SHOWN_ALERTS]:
        _line(out, "", f"{alert['severity']:<8}  {alert_text(alert)}")
    if len(alerts) > SHOWN_ALERTS:
        _line(out, "", f"{len(alerts) - SHOWN_ALERTS} more: parkledger alerts list")


def _line(out: Console, title: str, text: str, *, is_whole: bool = False) -> None:
    """A titled line. A terminal has it in lines of its width, one below the other; a pipe, and what is to be copied, whole."""
    room = max(out.width - INDENT, MINIMUM_ROOM)
    parts = (
        [text] if is_whole or not out.is_terminal else wrap(text, room, break_long_words=False, break_on_hyphens=False)
    )
    for number, part in enumerate(parts or [""]):
        named = "" if number else title
        out.print(f"{named:<{INDENT - 1}} {part}", highlight=False, markup=False, soft_wrap=True)
