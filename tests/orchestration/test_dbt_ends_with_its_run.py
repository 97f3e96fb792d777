"""A dbt that is left behind would write into the working database of the next run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the kernel of Linux ends it; elsewhere the next run waits for its end"
)

DBT = "from orchestration.ends_with_run import Plugin; Plugin('ends_with_run', {}); print('opens', flush=True); import time; time.sleep(60)"
RUN = f"""
import os, subprocess, sys, time
os.environ["PARKLEDGER_RUN_PROCESS"] = str(os.getpid())
started = subprocess.Popen([sys.executable, "-c", {DBT!r}], stderr=subprocess.DEVNULL)
print(started.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def run() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True)
    yield process
    with suppress(ProcessLookupError):
        process.kill()
    process.wait()


def _has_ended(process_id: int) -> bool:
    """Whether nothing of it is left but what nobody has asked after."""
    status = Path(f"/proc/{process_id}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_run_that_is_killed_takes_its_dbt_with_it(run: subprocess.Popen[str]) -> None:
    assert run.stdout is not None
    dbt = int(run.stdout.readline())
    assert run.stdout.readline() == "opens\n"
    assert not _has_ended(dbt)
    run.send_signal(signal.SIGKILL)
    until = time.monotonic() + 30  # half of what it would live by itself
    while not _has_ended(dbt) and time.monotonic() < until:
        time.sleep(0.05)
    assert _has_ended(dbt)


def test_a_dbt_whose_run_was_killed_before_it_was_ready_opens_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DBT],
        env=os.environ | {"PARKLEDGER_RUN_PROCESS": str(2**22 - 1)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == ""
    assert "has ended" in done.stderr
