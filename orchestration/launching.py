"""Dagster's own launcher, which also knows of runs that the command line executes in its own process.

Dagster's monitoring asks after the health of every run that has begun. Of a run that it did not launch it knows nothing and calls
it failed: while `parkledger serve` is up, a run by hand would be told to everybody as a failure half a minute after it began.
"""

import os
import socket
from pathlib import Path

from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._core.storage.dagster_run import DagsterRun

PROCESS_TAG = "parkledger/process"


def process_tag() -> dict[str, str]:
    """What tells this process from any other: machine, number, and when it was started, for numbers are given out again."""
    return {PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"}


def _started(process_id: int) -> str:
    """Ticks of the kernel's clock at which a process was started; empty where the system does not say."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _is_alive(process_id: int, started: str) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and another account's
    return _started(process_id) == started


class HomeRunLauncher(DefaultRunLauncher):
    """Starts runs as Dagster does; a run of the command line is well as long as its process lives."""

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process that executes a run is there."""
        host, process_id, started = run.tags.get(PROCESS_TAG, "::").rsplit(":", 2)
        if host != socket.gethostname():
            return super().check_run_worker_health(run)
        if _is_alive(int(process_id), started):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "the process of the command line is gone")
