"""Processes that are killed: at an instant of the clock, or at their Nth act upon the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from homes import environment

HERE = Path(__file__).parent
LIMIT_SECONDS = 900


@dataclass
class Killer:
    """A program of this folder that says `ready` and `done`, and what it is called with after its home."""

    program: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    seconds: float = 0.0
    acts: int = 0

    def _arguments(self, home: Path) -> list[str]:
        return [str(HERE / self.program), *self.before, str(home), *self.after]

    def _started(self, command: list[str], at: int | None = None) -> subprocess.Popen[str]:
        more = {} if at is None else {"PARKLEDGER_FAULT_AT": str(at)}
        process = subprocess.Popen(
            command, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        while (line := process.stdout.readline()) and line.strip() != "ready":
            pass
        return process

    def whole(self, home: Path) -> None:
        """Undisturbed; remembers how long it took from `ready` to `done`."""
        process = self._started([sys.executable, *self._arguments(home)])
        begun = time.monotonic()
        said, errors = process.communicate(timeout=LIMIT_SECONDS)
        self.seconds = max(self.seconds, time.monotonic() - begun)
        assert "done" in said, errors[-3000:]

    def kill_after(self, home: Path, seconds: float) -> bool:
        """Kill so long after `ready`; whether it was still at work."""
        process = self._started([sys.executable, *self._arguments(home)])
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        said, _ = process.communicate(timeout=LIMIT_SECONDS)
        return "done" not in said

    def count_acts(self, home: Path) -> int:
        """How many acts upon the disk an undisturbed run has."""
        process = self._started([sys.executable, str(HERE / "mortal.py"), str(home), *self._arguments(home)], 10**9)
        said, errors = process.communicate(timeout=LIMIT_SECONDS)
        assert "done" in said, errors[-3000:]
        self.acts = int(said.split()[-1])
        return self.acts

    def kill_at(self, home: Path, act: int) -> bool:
        """Kill at an act; whether it came to that."""
        process = self._started([sys.executable, str(HERE / "mortal.py"), str(home), *self._arguments(home)], act)
        process.communicate(timeout=LIMIT_SECONDS)
        return process.returncode == -signal.SIGKILL


def end_group(process: subprocess.Popen[str]) -> None:
    """Kill a process and whatever it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
