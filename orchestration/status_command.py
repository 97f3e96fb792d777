"""What ``parkledger status`` finds out about a home; how it is shown is the business of ``status_screen``.

It reads the published snapshot, the working tables where no run holds them, Dagster's list of runs and the timetable.
Dagster itself is not imported, so the answer is there at once.
"""

import sqlite3
from collections import Counter
from collections.abc import Collection
from contextlib import closing
from datetime import UTC, datetime
from shlex import quote as quoted
from typing import Any
from urllib.parse import quote

import duckdb
import polars as pl

from ingest import kept_journal
from ingest.terms.home import Home, computer_now
from orchestration import timetable
from orchestration.alerting import operation_alerts, waiting
from orchestration.publishing.formats import clean, count_text
from orchestration.publishing.manifest import MANIFEST, manifest_of
from orchestration.settings import Settings
from orchestration.state import is_current, load

SEVERITIES = CRITICAL, WARNING = ("critical", "warning")
# Dagster's daemon tells that it lives every half a minute; after this it does not.
DAEMON_SILENT_SECONDS = 300
WORKING, PUBLISHED, NOTHING = "working tables", "published snapshot", "nothing"
COUNTS = (
    "files", "row_count", "landed", "duplicate", "superseded", "quarantined", "rejected_files", "standing_in_quarantine"
)  # fmt: skip
_DAY_OF = {
    "power_meter": "interval_start_at",
    "lease_usage": "interval_start_at",
    "payments": "received_at",
    # A lease or an assignment stands for a span that may end in years, and an event may be told of long before: what
    # counts is when it became known.
    "credit_events": "recorded_at",
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


def home_status(settings: Settings, park_id: str | None = None) -> dict[str, Any]:
    """All that the screen shows, as plain data.

    Args:
        settings: where the home stands.
        park_id: only what concerns this park, its operator and its contracts.

    Raises:
        TermsError: the home's terms cannot be read.
        LookupError: the home has no such park.
    """
    home = load(settings)
    if park_id is not None and park_id not in home.parks:
        known = ", ".join(sorted(home.parks)) or "none is written"
        raise LookupError(f"{park_id!r} is no park of this home: {known}")
    is_published = (settings.published_folder / MANIFEST).exists()
    manifest = manifest_of(settings.published_folder) if is_published else {}
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
        "daemon": _daemon(settings, home, computer_now()),
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
    if park_id is not None:
        answer |= _of_park(home, park_id, answer)
    return answer | {"state": _state(home, answer), "to_do": _to_do(home, answer)}


def _of_park(home: Home, park_id: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Of the answer what concerns one park; alerts also those of its operator, its contracts and the whole programme."""
    contracts = {contract.contract_id for contract in home.contracts.values() if contract.park_id == park_id}
    whose = {park_id, home.parks[park_id].operator.operator_id, *contracts, "programme"}
    operation = [
        alert
        for alert in answer["operation_alerts"]
        if park_id in alert["alert_id"].split(":") or alert["alert_id"].startswith("run:")
    ]
    return {
        "feeds": [row for row in answer["feeds"] if row["park_id"] == park_id],
        "held_back": [row for row in answer["held_back"] if row["park_id"] == park_id],
        "months": [row for row in answer["months"] if row["contract_id"] in contracts],
        "alerts": [row for row in answer["alerts"] if row["entity_id"] in whose],
        "operation_alerts": operation,
        "next_schedules": [row for row in answer["next_schedules"] if row["park_id"] in {park_id, None}],
    }


def _state(home: Home, answer: dict[str, Any]) -> dict[str, list[str]]:
    """What is wrong, by severity, each in a few words; empty lists where all is well."""
    alerts = Counter(alert["severity"] for alert in [*answer["alerts"], *answer["operation_alerts"]])
    checks = Counter("critical" if check["severity"] == "error" else "warning" for check in answer["failed_checks"])
    feeds, run, daemon = answer["feeds"], answer["last_run"], answer["daemon"]
    late = [feed for feed in feeds if feed["days_late"]]
    awaited = [
        f
        for f in feeds
        if not f["files"] and f["feed"] in timetable.DAILY_FEEDS and not home.is_simulated(f["park_id"])
    ]
    quarantined, rejected = (sum(feed[name] for feed in feeds) for name in ("standing_in_quarantine", "rejected_files"))
    unsent = sum(answer["waiting_notices"].values())
    critical = [
        ("nothing is published", answer["run_id"] is None),
        ("the last run failed", run is not None and run["status"] == "failure"),
        (count_text(checks["critical"], "check failed", "checks failed"), checks["critical"]),
        (count_text(len(home.problems), "fault in terms", "faults in terms"), home.problems),
        (count_text(len(answer["held_back"]), "park-day held back", "park-days held back"), answer["held_back"]),
        (_late_text(late), late),
        (count_text(alerts[CRITICAL], "alert", "alerts"), alerts[CRITICAL]),
    ]
    warning = [
        ("new input waits", answer["run_id"] is not None and not answer["is_current"]),
        ("the daemon is down and missed a schedule", daemon["has_missed"]),
        (count_text(len(awaited), "daily feed has never come", "daily feeds have never come"), awaited),
        (count_text(checks[WARNING], "check failed", "checks failed"), checks[WARNING]),
        (count_text(alerts[WARNING], "alert", "alerts"), alerts[WARNING]),
        (count_text(quarantined, "row in quarantine", "rows in quarantine"), quarantined),
        (count_text(rejected, "file rejected", "files rejected"), rejected),
        (count_text(unsent, "notice not sent", "notices not sent"), unsent),
    ]
    return {CRITICAL: [text for text, holds in critical if holds], WARNING: [text for text, holds in warning if holds]}


def _late_text(late: Collection[dict[str, Any]]) -> str:
    longest = max((feed["days_late"] for feed in late), default=0)
    return f"{count_text(len(late), 'feed', 'feeds')} late, by up to {count_text(longest, 'day', 'days')}"


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
    row = _ask_dagster(
        settings,
        "runs",
        "SELECT run_id, pipeline_name AS job, status, start_time AS started_at, end_time AS ended_at "
        "FROM runs ORDER BY id DESC LIMIT 1",
    )
    if row is None:
        return None
    times = {name: _instant_text(row[name]) for name in ("started_at", "ended_at")}
    return {"dagster_run_id": row["run_id"], "job": row["job"], "status": row["status"].lower(), **times}


def _daemon(settings: Settings, home: Home, now: datetime) -> dict[str, Any]:
    """Whether Dagster's daemon lives, which starts what is due by itself; when it was last seen; whether it missed something."""
    row = _ask_dagster(settings, "daemon_heartbeats", "SELECT max(timestamp) AS seen_at FROM daemon_heartbeats")
    if row is None or row["seen_at"] is None:
        return {"is_running": False, "seen_at": None, "has_missed": False}
    seen_at = datetime.fromisoformat(str(row["seen_at"])).replace(tzinfo=UTC)  # it writes UTC without saying so
    is_running = (now - seen_at).total_seconds() < DAEMON_SILENT_SECONDS
    has_missed = not is_running and any(timing.next_after(seen_at) <= now for timing in timetable.timings(home))
    return {"is_running": is_running, "seen_at": seen_at.isoformat(timespec="seconds"), "has_missed": has_missed}


def _ask_dagster(settings: Settings, table: str, query: str) -> Any:
    """The first row of a query on Dagster's own storage by name of column; None where it has no such table or row."""
    if settings.dagster_postgres_url is not None:
        import sqlalchemy as sa  # noqa: PLC0415 - only where Dagster's storage is a database of its own

        with sa.create_engine(settings.dagster_postgres_url.get_secret_value()).connect() as connection:
            if not sa.inspect(connection).has_table(table):
                return None
            return connection.execute(sa.text(query)).mappings().first()
    path = settings.dagster_folder / "history" / "runs.db"
    if not path.exists():
        return None
    with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as sqlite:
        sqlite.row_factory = sqlite3.Row
        if sqlite.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is None:
            return None
        return sqlite.execute(query).fetchone()


def _instant_text(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _next_schedules(home: Home, now: datetime) -> list[dict[str, Any]]:
    """Schedules with the time of their next run by the computer's clock, the soonest first."""
    due = sorted(
        ((timing.next_after(now), timing) for timing in timetable.timings(home)), key=lambda p: (p[0], p[1].name)
    )
    return [{"name": t.name, "park_id": t.park_id, "at": at.isoformat(), "time_zone": t.time_zone} for at, t in due]


def _to_do(home: Home, answer: dict[str, Any]) -> list[str]:
    """What is missing and how to mend it, the most pressing first."""
    # To be copied as it stands: the home is named unless the command finds it by itself.
    command = "parkledger" if Settings().home == home.path else f"parkledger --home {quoted(str(home.path))}"
    said = [f"left out: {problem}" for problem in home.problems]
    run = answer["last_run"]
    if run and run["status"] == "failure":
        log = home.path / ".parkledger" / "run.log"
        told = [alert["about"] for alert in answer["operation_alerts"] if alert["alert_id"] == f"run:{run['job']}"]
        why = f": {clean(told[0], 400)}" if told else f". See {log}"
        said.append(f"The last run ({run['job']}) failed; what was published before stands{why}")
    if answer["run_id"] is None:
        said.append(f"Nothing is published in {home.path} yet: {command} run")
    elif not answer["is_current"]:
        said.append(f"New input waits: {command} run")
    if not home.parks:
        said.append(
            f"There is no park: copy {home.path / 'parks' / 'example.yaml.txt'} to <park_id>.yaml and fill it in."
        )
    for feed in answer["feeds"]:
        if not feed["files"] and not home.is_simulated(feed["park_id"]):
            where = home.path / "landing" / feed["park_id"] / feed["feed"]
            said.append(f"{feed['park_id']}: no {feed['feed']} has landed. Put its files under {where}/")
    for late in sorted((feed for feed in answer["feeds"] if feed["days_late"]), key=lambda f: -f["days_late"]):
        days = count_text(late["days_late"], "day", "days")
        said.append(f"{late['park_id']}: {late['feed']} is {days} late. Ask the operator.")
    if answer["held_back"]:
        said.append(
            f"Park-days are held back by rules that block: have their rows sent again, or mend and release them, {command} quarantine list"
        )
    standing, rejected = (
        any(feed[name] for feed in answer["feeds"]) for name in ("standing_in_quarantine", "rejected_files")
    )
    if standing or rejected:
        what = "Rows and files" if standing and rejected else "Rows" if standing else "Files"
        said.append(f"{what} were refused: {command} quarantine list")
    return said
