"""One run at a time writes a home."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestration.writing import HomeIsBeingWrittenError, only_writer

HOLD = """
import sys, time
from pathlib import Path
from orchestration.writing import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(home: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(home)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_waits_and_is_told_for_whom(tmp_path: Path) -> None:
    said: list[str] = []
    first = hold(tmp_path)
    try:
        with (
            pytest.raises(HomeIsBeingWrittenError, match=f"process {first.pid}, since 20.* still writes"),
            only_writer(tmp_path, on_wait=said.append, longest_wait_seconds=0.2),
        ):
            pytest.fail("two wrote at once")
    finally:
        first.terminate()
        first.wait()
    assert [f"process {first.pid}" in text for text in said] == [True]


def test_a_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    first = hold(tmp_path)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    began = time.monotonic()
    with only_writer(tmp_path, longest_wait_seconds=5):
        assert time.monotonic() - began < 5


def test_a_writer_may_hold_its_own_home_twice(tmp_path: Path) -> None:
    holder = tmp_path / ".parkledger" / "writer.json"
    with only_writer(tmp_path):
        with only_writer(tmp_path, longest_wait_seconds=0.1):
            pass
        assert holder.exists()
    assert not holder.exists()
    with only_writer(tmp_path, longest_wait_seconds=0.1):
        pass
