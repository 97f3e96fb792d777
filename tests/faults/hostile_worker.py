"""Reads hostile files one after the other, in a process that notes what they make it do.

`python hostile_worker.py HOME FOLDER`: each file of FOLDER is named `NUMBER~WHAT~FEED`; WHAT is `file` (read and checked as
landing does) or `yaml`. A line of JSON an outcome: rows or a reason, seconds, MiB above what the process held before, and acts
that no reading may do (files opened for writing outside of HOME, programs started, connections made).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

ACTS: list[str] = []
LIMIT_SECONDS = 5
FORBIDDEN = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.getaddrinfo",
             "ctypes.dlopen", "urllib.Request", "os.remove", "os.rename", "os.symlink", "os.link", "pty.spawn"}  # fmt: skip


class SlowError(BaseException):
    """A case took longer than it may."""


def _place(path: object, folder: object) -> str:
    """Where a path lies, which may be one of an opened folder."""
    within = Path(f"/proc/self/fd/{folder}").readlink() if isinstance(folder, int) and folder >= 0 else Path()
    return str(within / os.fsdecode(path)) if isinstance(path, str | bytes) else ""


def watch(home: str, scratch: str) -> None:
    """Note each act that no reading does; under `scratch` a reading keeps what does not fit into memory, and removes it."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and isinstance(path, str | bytes) and not os.fsdecode(path).startswith(home):
                ACTS.append(f"opened {os.fsdecode(path)} for writing")
        elif event == "os.remove" and _place(*arguments).startswith(f"{scratch}/"):
            return
        elif event in FORBIDDEN and not (event == "ctypes.dlopen" and arguments[0] in {None, "libc.so.6"}):
            ACTS.append(f"{event} {str(arguments)[:80]}")

    sys.addaudithook(hook)


def _too_slow(*_: object) -> None:
    raise SlowError


def held_mib(line: str) -> float:
    """What the kernel says that this process holds (VmRSS), or has held at most (VmHWM) since that was last forgotten."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(said.split()[1]) for said in status.splitlines() if said.startswith(line)) / 1024


def read_file(path: Path, feed: str, limits: Any, scratch: Path) -> str:
    from ingest.reading import Rejected, check_cells, read_cells

    cells = read_cells(path, feed, limits.park, scratch)
    if isinstance(cells, Rejected):
        assert cells.reason
        return f"refused: {cells.rule}"
    good = rejected = 0
    for batch in check_cells([(0, cells)], feed, limits):
        good, rejected = good + batch.good.height, rejected + batch.rejected.height
    assert good + rejected == cells.row_count, (good, rejected, cells.row_count)
    return f"{good} rows, {rejected} refused"


def read_terms(path: Path) -> str:
    from ingest.terms.errors import Problem
    from ingest.terms.yaml_source import read_yaml

    source = read_yaml(path, path.name)
    return f"refused: {source.message[:60]}" if isinstance(source, Problem) else f"{len(source.values)} keys"


def main() -> None:
    home, folder = map(Path, sys.argv[1:])
    from ingest import lake
    from ingest.feeds.limits import Limits
    from ingest.terms.home import load_home

    loaded = load_home(home)
    limits = Limits(next(iter(loaded.parks.values())))
    signal.signal(signal.SIGALRM, _too_slow)
    peak = os.open("/proc/self/clear_refs", os.O_WRONLY)
    scratch = lake.temporary_folder(home)
    watch(str(home), str(scratch))
    for path in sorted(folder.iterdir()):
        _, what, feed = path.name.split("~")
        ACTS.clear()
        os.write(peak, b"5")  # the most that was held is forgotten
        before = held_mib("VmRSS")
        begun = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.alarm(60)  # of the clock, for a machine that others use too; the limit is of the processor
        try:
            said = read_terms(path) if what == "yaml" else read_file(path, feed, limits, scratch)
        except SlowError:
            said = "HANG"
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            said = f"CRASH {type(error).__name__}: {str(error)[:200]}"
        finally:
            signal.alarm(0)
        seconds = time.process_time() - begun
        grown = held_mib("VmHWM") - before
        print(json.dumps({"case": path.name, "said": said, "seconds": seconds, "mib": grown, "acts": ACTS}), flush=True)


if __name__ == "__main__":
    main()
    os._exit(0)
