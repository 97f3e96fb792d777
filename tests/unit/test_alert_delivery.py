"""Telling of alerts: once raised, once cleared, tried again, with no secret anywhere; against servers in this process."""

import json
import logging
import socketserver
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pytest
from small_home import make_home

from orchestration import alerting
from orchestration.settings import Settings

ROW = (
    "SELECT '{0}:park:p:2027-10' AS alert_id, '{0}' AS rule_id, 'level' AS kind, 'dscr' AS metric, 'park' AS entity_level, "
    "'p' AS entity_id, DATE '2027-10-01' AS month, 'not covered' AS rule, '{1}' AS severity, 0.9::DOUBLE AS value, "
    "0.9::DOUBLE AS measured_value, 1::DOUBLE AS threshold, 'assumed' AS evidence_grade, TIMESTAMPTZ '2027-11-10 00:00Z' AS raised_at, "
    "{2}::TIMESTAMPTZ AS cleared_at"
)
CLEARED = "'2027-12-10 00:00:00+00'"


def write(home: Path, channels: str, *alerts: str) -> Settings:
    """alerts.yaml and a snapshot that holds these alerts and nothing else."""
    (home / "alerts.yaml").write_text(channels)
    settings = Settings(home=home)
    publish(settings, *alerts)
    return settings


def publish(settings: Settings, *alerts: str) -> None:
    settings.published_folder.mkdir(exist_ok=True)
    settings.published_path.unlink(missing_ok=True)
    rows = " UNION ALL ".join(alerts) or ROW.format("none", "warning", "NULL") + " LIMIT 0"
    with duckdb.connect(str(settings.published_path)) as connection:
        connection.execute(f"CREATE SCHEMA monitor; CREATE TABLE monitor.fct_alert AS {rows}")


def alert(name: str, severity: str = "critical", cleared: str = "NULL") -> str:
    return ROW.format(name, severity, cleared)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


Server = TypeVar("Server", bound=socketserver.BaseServer)
FILE = "channels: [{channel_id: file, file: told.jsonl}]\n"


def test_an_alert_is_told_once_when_raised_and_once_when_cleared(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    settings = write(home, FILE, alert("a"), alert("old", cleared=CLEARED))
    assert alerting.deliver(settings) == [alerting.Delivery("file", 1, 0)]
    assert alerting.deliver(settings) == []  # nothing new
    (first,) = lines(home / "told.jsonl")
    assert first["title"].endswith("alerts: 1 raised")
    assert "CRITICAL: park p: not covered, since 2027-10 (dscr 0.9 against 1, grade assumed)" in first["body"]
    publish(settings, alert("a", cleared=CLEARED), alert("b", "warning"))
    assert alerting.deliver(settings) == [alerting.Delivery("file", 2, 0)]
    assert alerting.deliver(settings) == []
    second = lines(home / "told.jsonl")[1]
    assert second["title"].endswith("alerts: 1 raised, 1 cleared")
    assert "cleared: park p: not covered" in second["body"]


def test_an_alert_that_a_restatement_takes_back_is_cleared_and_told_anew_when_it_comes_again(tmp_path: Path) -> None:
    settings = write(make_home(tmp_path), FILE, alert("a"))
    for alerts, event in (([alert("a")], "1 raised"), ([], "1 cleared"), ([alert("a")], "1 raised")):
        publish(settings, *alerts)
        assert [told.sent_count for told in alerting.deliver(settings)] == [1]
        assert lines(settings.home / "told.jsonl")[-1]["title"].endswith(event)


def test_a_channel_hears_only_of_its_severities_and_of_the_rules_that_name_it(tmp_path: Path) -> None:
    rules = (
        "channels: [{channel_id: all, file: all}, {channel_id: bad, file: bad, severities: [critical]}]\n"
        "rules: [{rule_id: b, says: x, kind: level, metric: dscr, below: 1, channels: [all]}]\n"
    )
    settings = write(make_home(tmp_path), rules, alert("a"), alert("b"), alert("c", "warning"))
    assert [(told.channel_id, told.sent_count) for told in alerting.deliver(settings)] == [("all", 3), ("bad", 1)]


def test_a_home_whose_clock_is_set_back_for_one_run_tells_nobody(tmp_path: Path) -> None:
    settings = write(make_home(tmp_path), FILE, alert("a"))
    assert alerting.deliver(Settings(home=settings.home, as_of="2027-06-30")) == []
    assert not (settings.home / "told.jsonl").exists()


def test_alarms_of_operation_stand_until_they_are_cleared_and_are_told_beside_the_others(tmp_path: Path) -> None:
    settings = write(make_home(tmp_path), FILE)
    assert alerting.raise_alert(settings, "run:settlement", rule="a run failed", about="no space\nleft")
    assert not alerting.raise_alert(settings, "run:settlement", rule="a run failed", about="again")
    assert [row["about"] for row in alerting.operation_alerts(settings)] == ["no space�left"]
    assert [told.sent_count for told in alerting.deliver(settings)] == [1]
    assert alerting.clear_alert(settings, "run:settlement")
    assert not alerting.clear_alert(settings, "run:settlement")
    assert alerting.operation_alerts(settings) == []
    assert [told.sent_count for told in alerting.deliver(settings)] == [1]
    assert alerting.raise_alert(settings, "run:settlement", rule="a run failed", about="once more")
    assert [told.sent_count for told in alerting.deliver(settings)] == [1]
    titles = [line["title"] for line in lines(settings.home / "told.jsonl")]
    assert [title.rsplit(": ", 1)[1] for title in titles] == ["1 raised", "1 cleared", "1 raised"]
    assert len(alerting.operation_alerts(settings, with_cleared=True)) == 2


class Hook(HTTPServer):
    """A chat's webhook: refuses so many times, then takes."""

    def __init__(self, refusals: int) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.refusals, self.taken, self.asked = refusals, list[dict[str, Any]](), list[str]()


class _Hook(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        self.server.refusals -= 1
        if self.server.refusals < 0:
            self.server.taken.append(json.loads(body))
        self.send_response(503 if self.server.refusals >= 0 else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class Mail(socketserver.ThreadingTCPServer):
    """A mail server that knows enough of RFC 5321 to take one letter."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Mail)
        self.letters: list[str] = []


class _Mail(socketserver.StreamRequestHandler):
    server: Mail

    def handle(self) -> None:
        def say(text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        say("220 here")
        while line := self.rfile.readline():
            word = line[:4].upper().strip()
            if word == b"DATA":
                say("354 go on")
                letter = []
                while (part := self.rfile.readline()) != b".\r\n":
                    letter.append(part.decode())
                self.server.letters.append("".join(letter))
            say({b"QUIT": "221 bye", b"EHLO": "250 here", b"HELO": "250 here"}.get(word, "250 ok"))
            if word == b"QUIT":
                return


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def port(server: socketserver.TCPServer) -> int:
    return int(server.server_address[1])


def test_a_webhook_that_refuses_is_tried_again_and_its_secret_is_seen_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = write(make_home(tmp_path), "channels: [{channel_id: chat, url: '${CHAT_URL}'}]\n", alert("a"))
    with serving(Hook(refusals=3)) as hook:
        monkeypatch.setenv("CHAT_URL", f"json://127.0.0.1:{port(hook)}/hooks/s3cr3t-t0ken")
        (failed,) = alerting.deliver(settings, pauses=(0.0,))
        assert (failed.sent_count, failed.waiting_count) == (0, 1)
        assert "503" in failed.error
        assert alerting.waiting(settings) == {"chat": 1}
        assert alerting.deliver(settings, pauses=(0.0,)) == [alerting.Delivery("chat", 1, 0)]
        assert alerting.waiting(settings) == {}
        assert hook.asked == ["/hooks/s3cr3t-t0ken"] * 4
    (message,) = hook.taken
    assert message["title"].endswith("alerts: 1 raised")
    assert "park p: not covered" in message["message"]
    assert "s3cr3t" not in caplog.text
    kept = b"".join(file.read_bytes() for file in settings.home.rglob("*") if file.is_file())
    assert b"s3cr3t" not in kept


def test_a_letter_reaches_a_mail_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = write(make_home(tmp_path), "channels: [{channel_id: desk, url: '${MAIL_URL}'}]\n", alert("a"))
    with serving(Mail()) as mail:
        url = f"mailto://127.0.0.1:{port(mail)}/?from=books@example.org&to=desk@example.org&mode=insecure"
        monkeypatch.setenv("MAIL_URL", url)
        assert alerting.deliver(settings, pauses=()) == [alerting.Delivery("desk", 1, 0)]
    (letter,) = mail.letters
    assert "desk@example.org" in letter
    assert "alerts: 1 raised" in letter.replace("_", " ")


@pytest.mark.parametrize("url", ["${NO_SUCH_VARIABLE}", "json://127.0.0.1:9/x", "nonsense://${WORD}"])
def test_a_send_that_fails_is_kept_and_said_and_never_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("WORD", "w0rd")
    settings = write(
        make_home(tmp_path), f"channels: [{{channel_id: c, url: '{url}'}}, {{channel_id: d, file: d}}]\n", alert("a")
    )
    told = alerting.deliver(settings, pauses=())
    assert [(one.channel_id, one.sent_count, one.waiting_count) for one in told] == [("c", 0, 1), ("d", 1, 0)]
    assert told[0].error
    assert "w0rd" not in told[0].error
    with sqlite3.connect(settings.home / ".parkledger" / "alerts.db") as book:
        assert book.execute("SELECT attempts, sent_at IS NULL FROM notice WHERE channel_id = 'c'").fetchall() == [
            (1, 1)
        ]


def test_a_trial_reaches_a_channel_and_is_noted_nowhere(tmp_path: Path) -> None:
    settings = write(make_home(tmp_path), FILE)
    assert alerting.try_channels(settings) == [alerting.Delivery("file", 1, 0)]
    assert lines(settings.home / "told.jsonl")[0]["title"] == "[parkledger] trial of an alert"
    assert alerting.waiting(settings) == {}
    with pytest.raises(LookupError, match=r"'chat' is no channel of alerts\.yaml: file"):
        alerting.try_channels(settings, "chat")
