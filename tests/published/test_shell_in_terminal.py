"""`parkledger sql` as somebody at a terminal meets it: a process of its own on a pseudo-terminal of 24 lines."""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from conftest import CONTRACT, REPOSITORY
from rich.console import Console

from orchestration.shell import open_snapshot, run_queries

pytestmark = pytest.mark.published

LINES, COLUMNS = 24, 100
PATIENCE_SECONDS = 120  # of the clock, on a machine that others use too
WHERE_IS_THE_CURSOR, IT_IS_HERE = b"\x1b[6n", b"\x1b[1;1R"
PROMPT = "parkledger>"
UP, INTERRUPT, CONTROL_D, CONTROL_R = b"\x1b[A", b"\x03", b"\x04", b"\x12"


class Terminal:
    """A terminal on which the shell runs, or another command; ``said`` is all that it has shown, without colours and cursor
    movements.
    """

    def __init__(self, home: Path, command: str = "sql") -> None:
        self.process, self.screen = pty.fork()
        if self.process == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
            os.chdir(REPOSITORY)
            os.environ.update({"TERM": "xterm", "PAGER": "less", "PYTHONPATH": str(REPOSITORY)})
            os.execv(sys.executable, [sys.executable, "-m", "orchestration.cli", "--home", str(home), command])  # noqa: S606
        self.raw, self.seen = b"", 0

    @property
    def said(self) -> str:
        return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>]|\].*?\x07)", "", self.raw.decode(errors="replace"))

    def until(self, words: str) -> str:
        """Read on until the words are shown; what was shown since the words that were waited for last, these included."""
        end = time.monotonic() + PATIENCE_SECONDS
        while (found := self.said.find(words, self.seen)) < 0:
            assert time.monotonic() < end, f"{words!r} never came after {self.said[self.seen :][-600:]!r}"
            if select.select([self.screen], [], [], 0.2)[0]:
                more = os.read(self.screen, 65536)
                os.write(self.screen, IT_IS_HERE * more.count(WHERE_IS_THE_CURSOR))
                self.raw += more
        shown = self.said[self.seen : found + len(words)]
        self.seen = found + len(words)
        return shown

    def type(self, keys: str | bytes) -> None:
        os.write(self.screen, keys.encode() if isinstance(keys, str) else keys)

    def ends(self) -> int:
        """The exit code, once the shell has ended."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            if select.select([self.screen], [], [], 0.2)[0]:
                try:
                    os.read(self.screen, 65536)
                except OSError:  # the other side is closed
                    break
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


@pytest.fixture
def home(finished: Path, tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    shutil.copytree(finished / "published", path / "published", symlinks=True)
    shutil.copyfile(finished / "home.yaml", path / "home.yaml")
    return path


@pytest.fixture
def terminal(home: Path) -> Iterator[Terminal]:
    opened = Terminal(home)
    opened.until(PROMPT)
    yield opened
    try:
        os.kill(opened.process, signal.SIGKILL)
        os.waitpid(opened.process, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # it has ended already, as most tests have it
    os.close(opened.screen)


@pytest.mark.skipif(
    shutil.which("less") is None, reason="without a pager answers run over the screen: apt-get install less"
)
def test_names_are_completed_answers_paged_and_what_was_typed_is_found_again(home: Path, terminal: Terminal) -> None:
    # The terminal shows what is new on the line: of a name the end that was completed.
    terminal.type("select contract_id from revenue_share.fct_share_mo\t")
    terminal.until("nth")
    terminal.type(" limit 1;\r")
    terminal.until("contract_id\r")
    terminal.until(CONTRACT)
    terminal.until(PROMPT)
    terminal.type(".desc\t")
    terminal.until("ribe")
    terminal.type(" backstop.fct_backstop_ca\t")
    terminal.until("p_month")
    terminal.type("\r")
    terminal.until("One row per contract")
    terminal.until("currency_code")
    terminal.type("q")  # its lines are longer than the screen is wide, so the pager may wait
    terminal.until(PROMPT)
    terminal.type(INTERRUPT)
    terminal.until(PROMPT)
    # A long answer stands in the pager, which waits at the end of the first screen.
    terminal.type("select service_date from metering.fct_capacity_day order by 1;\r")
    screen = terminal.until("\n:").rpartition(";")[2]
    assert LINES / 2 < screen.count("2027-01-") < LINES
    assert PROMPT not in screen
    terminal.type("q")
    terminal.until(PROMPT)
    # What was typed comes back by the arrow, and by a word of it.
    terminal.type(UP)
    terminal.until("fct_capacity_day order by 1;")
    terminal.type(INTERRUPT)
    terminal.until(
        "\n"
    )  # the prompt before is the same line drawn once more, and between two prompts Control-R means another thing
    terminal.until(PROMPT)
    terminal.type(CONTROL_R + b"share_month")
    terminal.until("limit 1;")
    terminal.type(INTERRUPT)
    terminal.until(PROMPT)
    terminal.type(CONTROL_D)
    assert terminal.ends() == 0
    kept = (home / ".parkledger" / "sql_history").read_text()
    assert "+.describe backstop.fct_backstop_cap_month" in kept
    # And in the next session.
    again = Terminal(home)
    again.until(PROMPT)
    again.type(UP)
    again.until("fct_capacity_day order by 1;")
    again.type(INTERRUPT + CONTROL_D)
    assert again.ends() == 0
    os.close(again.screen)


def test_status_knows_the_terminal_that_it_is_shown_on_and_leaves_its_first_line_in_sight(home: Path) -> None:
    shown = Terminal(home, "status")
    screen = shown.until("To do") + shown.until("\n")
    assert screen.startswith("State      ")
    assert screen.count("\n") < LINES
    assert "critical: " in screen.splitlines()[0]
    assert "parkledger alerts list" in screen  # the rest of them has no room
    assert shown.ends() == 0
    os.close(shown.screen)


@pytest.mark.parametrize(
    "text",
    [
        "insert into core.dim_park select * from core.dim_park",
        "update core.dim_park set park_name = 'x'",
        "drop table core.dim_park",
        "create table mine as select 1",
        "copy core.dim_park to '{out}/x.csv'",
        "export database '{out}/x'",
        "attach '{out}/x.duckdb'",
        "from read_csv('/etc/passwd')",
        "from read_parquet('{home}/published/parquet/core/dim_park.parquet')",
        "from '/etc/passwd'",
        "load httpfs",
        "install httpfs",
        "set enable_external_access=true",
        "set lock_configuration=false",
        "pragma enable_profiling='json'",
        "call pragma_version(); set threads=1",
    ],
)
def test_what_would_write_read_files_load_or_change_settings_is_refused(home: Path, tmp_path: Path, text: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    path = home / "published" / "parkledger.duckdb"
    before = path.read_bytes()
    said = Console(file=StringIO())
    assert run_queries(path, text.format(out=out, home=home), form="csv", target=None, out=said, err=said) == 1
    assert path.read_bytes() == before
    assert list(out.iterdir()) == []
    with open_snapshot(path) as connection:
        assert connection.execute("select count(*) > 0 from core.dim_park").fetchall() == [(True,)]
