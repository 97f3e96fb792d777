"""Who is told of alerts, and that each is told once: raised, cleared, tried again where sending failed.

Alerts come from two places. Those of the rules are rows of the published ``monitor.fct_alert``. Those of operation (a
run that failed, a feed that is late) are raised here, with :func:`raise_alert`; they are no published rows, since the
same home gives the same tables whatever happened to it. What was told to whom stands in ``.parkledger/alerts.db``.

Nothing here stops a run: what goes wrong in sending is kept with its notice, and tried again at the next one. No URL and
no secret is ever written or logged.
"""

import json
import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from ingest.terms.alert import VARIABLE, Channel
from ingest.terms.home import Home, computer_now
from orchestration.publishing.formats import clean
from orchestration.settings import Settings
from orchestration.state import load

RAISED, CLEARED = "raised", "cleared"
# Three tries within a run, a moment apart; then it waits for the next one.
PAUSES_SECONDS = (1.0, 3.0)
_SHORTEST_SECRET = 4
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS operation (
        alert_id TEXT, raised_at TEXT, cleared_at TEXT, severity TEXT, rule TEXT, about TEXT, PRIMARY KEY (alert_id, raised_at)
    );
    CREATE TABLE IF NOT EXISTS notice (
        alert_id TEXT, channel_id TEXT, event TEXT, severity TEXT, text TEXT, noted_at TEXT, attempts INTEGER, sent_at TEXT,
        error TEXT, PRIMARY KEY (alert_id, channel_id, event)
    );
"""
_PUBLISHED = """
    SELECT alert_id, rule_id, severity, rule, metric, entity_level, entity_id, month, value, measured_value, threshold, kind,
        evidence_grade, raised_at, cleared_at
    FROM monitor.fct_alert
    ORDER BY severity, raised_at DESC, alert_id
"""


@dataclass(frozen=True)
class Delivery:
    """What became of the notices of one channel: how many were sent, how many wait, and why."""

    channel_id: str
    sent_count: int
    waiting_count: int
    error: str = ""


@dataclass(frozen=True)
class _Standing:
    """An alert that stands, or stood. ``rule_id`` is empty for those of operation."""

    alert_id: str
    severity: str
    text: str
    rule_id: str = ""


def raise_alert(settings: Settings, alert_id: str, *, rule: str, about: str, severity: str = "critical") -> bool:
    """Raise an alert of operation; whether it is new. One that stands already is not raised again.

    Args:
        settings: where the home stands.
        alert_id: what it is about, for example ``run:settlement`` or ``late:sharon-au-1:gpu_telemetry``.
        rule: what went wrong, in words.
        about: the run, park and feed, or error; it may come from a file and is cleaned.
        severity: critical or warning.
    """
    with _book(settings) as book:
        stands = book.execute(
            "SELECT 1 FROM operation WHERE alert_id = ? AND cleared_at IS NULL", (alert_id,)
        ).fetchone()
        if stands is None:
            book.execute(
                "INSERT INTO operation VALUES (?, ?, NULL, ?, ?, ?)",
                (alert_id, _now(), severity, clean(rule), clean(about, 400)),
            )
    return stands is None


def raise_failed_run(settings: Settings, job: str, reason: str) -> None:
    """Raise that a run failed for good; it stands until a run of the same job has gone well."""
    rule = f"a run of {job} failed; what was published before stands"
    raise_alert(settings, f"run:{job}", rule=rule, about=reason)


def clear_failed_run(settings: Settings, job: str) -> None:
    """A run of the job went well."""
    clear_alert(settings, f"run:{job}")


def clear_alert(settings: Settings, alert_id: str) -> bool:
    """Clear an alert of operation; whether it stood."""
    with _book(settings) as book:
        changed = book.execute(
            "UPDATE operation SET cleared_at = ? WHERE alert_id = ? AND cleared_at IS NULL", (_now(), alert_id)
        )
    return changed.rowcount > 0


def operation_alerts(settings: Settings, *, with_cleared: bool = False) -> list[dict[str, Any]]:
    """Alerts of operation as plain rows, the latest first."""
    if not _path(settings).exists():
        return []
    where = "" if with_cleared else "WHERE cleared_at IS NULL"
    with _book(settings) as book:
        rows = book.execute(f"SELECT * FROM operation {where} ORDER BY raised_at DESC, alert_id").fetchall()
    return [dict(row) for row in rows]


def waiting(settings: Settings) -> dict[str, int]:
    """Notices by channel that were not sent yet."""
    if not _path(settings).exists():
        return {}
    with _book(settings) as book:
        return dict(book.execute("SELECT channel_id, count(*) FROM notice WHERE sent_at IS NULL GROUP BY 1"))


def published_alerts(settings: Settings) -> list[dict[str, Any]]:
    """Every row of ``monitor.fct_alert``; none where nothing is published."""
    if not settings.published_path.exists():
        return []
    with duckdb.connect(str(settings.published_path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.sql(_PUBLISHED)
        return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def deliver(settings: Settings, pauses: Sequence[float] = PAUSES_SECONDS) -> list[Delivery]:
    """Tell every channel what it has not been told yet: alerts that stand, and those told before that stand no more.

    An alert that came and went between two runs is not told; the history has it. A home whose clock was set back for
    one run (``--as-of``) tells nobody. Never raises for what a channel does.
    """
    home = load(settings)
    if not home.alerts.channels or settings.as_of != "home":
        return []
    standing = list(_standing(settings))
    told: list[Delivery] = []
    for channel in home.alerts.channels:
        with _book(settings) as book:
            _note(book, home, channel, standing)
            due = book.execute(
                "SELECT * FROM notice WHERE channel_id = ? AND sent_at IS NULL ORDER BY severity, event DESC, alert_id",
                (channel.channel_id,),
            ).fetchall()
        if not due:
            continue
        title, body = _letter(home, due)
        error = send(home, channel, title, body, bad=any(row["event"] == RAISED for row in due), pauses=pauses)
        with _book(settings) as book:
            for row in due:
                book.execute(
                    "UPDATE notice SET attempts = attempts + 1, sent_at = ?, error = ? "
                    "WHERE alert_id = ? AND channel_id = ? AND event = ?",
                    (None if error else _now(), error, row["alert_id"], row["channel_id"], row["event"]),
                )
        told.append(Delivery(channel.channel_id, 0 if error else len(due), len(due) if error else 0, error))
    return told


def try_channels(settings: Settings, only: str | None = None) -> list[Delivery]:
    """Send a word of trial to each channel, or to one; nothing is noted and nothing is tried twice.

    Raises:
        LookupError: there is no such channel.
    """
    home = load(settings)
    chosen = [channel for channel in home.alerts.channels if only in (None, channel.channel_id)]
    if only is not None and not chosen:
        known = ", ".join(channel.channel_id for channel in home.alerts.channels) or "none is written"
        raise LookupError(f"{only!r} is no channel of alerts.yaml: {known}")
    body = f"This is a trial of the channel. Nothing has happened.\n\nHome: {clean(home.title)}"
    told = []
    for channel in chosen:
        error = send(home, channel, "[parkledger] trial of an alert", body, bad=False, pauses=())
        told.append(Delivery(channel.channel_id, 0 if error else 1, 0, error))
    return told


def send(home: Home, channel: Channel, title: str, body: str, *, bad: bool, pauses: Sequence[float]) -> str:
    """Send one message to one channel, again after each of the pauses; why it failed, or nothing.

    The reason names no URL: whatever an environment variable put into it reads ``***``.
    """
    error = "not tried"
    for pause in (0.0, *pauses):
        time.sleep(pause)
        try:
            error = (
                _to_file(home, channel.file, title, body)
                if channel.file
                else _to_url(channel.url or "", title, body, bad=bad)
            )
        except Exception as failure:  # noqa: BLE001  a channel may fail as it likes: it is kept, said and tried again
            error = f"{type(failure).__name__}: {failure}"
        error = _without_secrets(error, channel)
        if not error:
            return ""
    return error


def _to_file(home: Home, file: str, title: str, body: str) -> str:
    path = home.path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    line = {"at": _now(), "title": title, "body": body}
    with path.open("a", encoding="utf-8") as target:
        target.write(json.dumps(line, ensure_ascii=False) + "\n")
    return ""


def _to_url(url: str, title: str, body: str, *, bad: bool) -> str:
    lacking = sorted({name for name in VARIABLE.findall(url) if not os.environ.get(name)})
    if lacking:
        return f"environment variable {', '.join(lacking)} is not set"
    import apprise  # noqa: PLC0415  half a second, and only homes with channels need it

    with _caught() as said:
        told = apprise.Apprise()
        if not told.add(VARIABLE.sub(lambda found: os.environ[found[1]], url)):
            return "the url is none that can be sent to; https://appriseit.com lists those that can"
        kind = apprise.NotifyType.WARNING if bad else apprise.NotifyType.INFO
        sent = told.notify(title=title, body=body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
    return "" if sent else "; ".join(dict.fromkeys(said)) or "the service took no message"


@contextmanager
def _caught() -> Iterator[list[str]]:
    """What the sending library says, kept from every log, as is all that the one beneath it does: it may hold a URL."""
    said: list[str] = []

    class _Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3", "requests")]
    before = [logger.propagate for logger in loggers]
    handler = _Keep(logging.WARNING)
    loggers[0].addHandler(handler)
    for logger in loggers:
        logger.propagate = False
    try:
        yield said
    finally:
        loggers[0].removeHandler(handler)
        for logger, was in zip(loggers, before, strict=True):
            logger.propagate = was


def _without_secrets(text: str, channel: Channel) -> str:
    """The text without any value that the channel's URL takes from the environment, or a part of one."""
    values = [os.environ.get(name, "") for name in VARIABLE.findall(channel.url or "")]
    parts = {
        part for value in values for part in (value, *re.split(r"[/:@?&=]+", value)) if len(part) >= _SHORTEST_SECRET
    }
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "***")
    return clean(text, 300)


def _standing(settings: Settings) -> Iterator[_Standing]:
    for row in published_alerts(settings):
        if row["cleared_at"] is None:
            yield _Standing(row["alert_id"], row["severity"], alert_text(row), row["rule_id"])
    for row in operation_alerts(settings):
        # One that comes again after it was cleared is another alert.
        yield _Standing(f"{row['alert_id']}@{row['raised_at']}", row["severity"], f"{row['rule']}: {row['about']}")


def alert_text(row: Mapping[str, Any]) -> str:
    """One line for one row of ``monitor.fct_alert``: whose, what, since when, by which figure and how well known."""
    return (
        f"{whose_text(row)}: {clean(row['rule'])}, since {row['month']:%Y-%m} "
        f"({figures_text(row)}, grade {clean(row['evidence_grade'])})"
    )


def whose_text(row: Mapping[str, Any]) -> str:
    """Whom an alert is about: "park north-1", or "the programme", of which there is one."""
    level, entity = clean(row["entity_level"]), clean(row["entity_id"])
    return "the programme" if level == entity == "programme" else f"{level} {entity}"


def figures_text(row: Mapping[str, Any]) -> str:
    """What the rule measured against its limit, in the words of its kind."""
    measured, limit = _number_text(row["measured_value"]), _number_text(row["threshold"])
    value = "no value" if row["value"] is None else _number_text(row["value"])
    said: dict[str, str] = {
        "level": f"{value} against {limit}",
        "change": f"{value}, a change of {measured} against {limit}",
        "trend": f"{value}, {measured} a month against {limit}",
        "countdown": f"{value}, {measured} months left of {limit}",
        "missing": f"no value for {measured} months",
    }
    return f"{clean(row['metric'])} {said.get(row['kind'], f'{measured} against {limit}')}"


def _number_text(value: float) -> str:
    """Four digits of a ratio, a fraction or days; money and hours whole."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _note(book: sqlite3.Connection, home: Home, channel: Channel, standing: Sequence[_Standing]) -> None:
    """Write down what the channel is to be told, each thing once."""
    told_by = {rule.rule_id: set(rule.channels) for rule in home.alerts.rules}

    def concerns(alert: _Standing) -> bool:
        chosen = told_by.get(alert.rule_id) or {channel.channel_id}
        return alert.severity in channel.severities and channel.channel_id in chosen

    now = _now()
    mine = {alert.alert_id: alert for alert in standing if concerns(alert)}
    of = (channel.channel_id,)
    known = {
        row["alert_id"]: row
        for row in book.execute("SELECT * FROM notice WHERE channel_id = ? AND event = 'raised'", of)
    }
    ended = {
        row["alert_id"]
        for row in book.execute("SELECT alert_id FROM notice WHERE channel_id = ? AND event = 'cleared'", of)
    }
    for alert in mine.values():
        if alert.alert_id in ended:  # a restatement took it back, and another brought it again
            book.execute(
                "DELETE FROM notice WHERE channel_id = ? AND alert_id = ?", (channel.channel_id, alert.alert_id)
            )
        if alert.alert_id in ended or alert.alert_id not in known:
            _insert(book, channel, RAISED, alert, now)
    for alert_id, row in known.items():
        if alert_id in mine or alert_id in ended:
            continue
        if row["sent_at"] is None:  # nobody was told of it, and it is over
            book.execute("DELETE FROM notice WHERE channel_id = ? AND alert_id = ?", (channel.channel_id, alert_id))
        else:
            _insert(book, channel, CLEARED, _Standing(alert_id, row["severity"], row["text"]), now)


def _insert(book: sqlite3.Connection, channel: Channel, event: str, alert: _Standing, at: str) -> None:
    row = (alert.alert_id, channel.channel_id, event, alert.severity, alert.text, at)
    book.execute("INSERT INTO notice VALUES (?, ?, ?, ?, ?, ?, 0, NULL, NULL)", row)


def _letter(home: Home, due: Sequence[sqlite3.Row]) -> tuple[str, str]:
    counts = {event: sum(row["event"] == event for row in due) for event in (RAISED, CLEARED)}
    said = ", ".join(f"{count} {event}" for event, count in counts.items() if count)
    mark = "[parkledger, simulated]" if home.simulation else "[parkledger]"
    lines = [f"{row['severity'].upper() if row['event'] == RAISED else 'cleared'}: {row['text']}" for row in due]
    note = f"\n\nSimulated: {clean(home.simulation.note, 400)}" if home.simulation and home.simulation.note else ""
    return f"{mark} alerts: {said}", "\n".join(lines) + f"\n\nHome: {clean(home.title)}, as of {home.as_of_date}{note}"


def _path(settings: Settings) -> Path:
    return settings.home / ".parkledger" / "alerts.db"


@contextmanager
def _book(settings: Settings) -> Iterator[sqlite3.Connection]:
    """The notices, in one transaction; another process that writes is waited for."""
    path = _path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        connection.executescript(_SCHEMA)
        with connection:
            yield connection


def _now() -> str:
    return computer_now().isoformat(timespec="milliseconds")
