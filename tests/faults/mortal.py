"""Runs a module in a process that dies at its Nth act upon the disk: `python mortal.py ACT MODULE ARGUMENT…`.

The fault points are the system calls that Python reports to audit hooks (a file opened for writing, renamed, linked,
removed, a folder made), the statements that are given to DuckDB, and files written by Polars; PARKLEDGER_FAULT_AT says at
which of them the process kills itself with SIGKILL, half of the times before and half after the act. With a number beyond the last it
says `acts N` and ends. The product has no such points: this file is not part of any build.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from typing import Any

WATCHED = {"os.rename", "os.link", "os.symlink", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod"}
_acts = 0


def reach(at: int) -> None:
    """One more act; the process ends at the one that was asked for."""
    global _acts  # noqa: PLW0603 - a count of the process
    _acts += 1
    if _acts == at:
        os.kill(os.getpid(), signal.SIGKILL)


def watch(at: int, home: str) -> None:
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not (isinstance(path, str) and isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)):
                return
            if path.startswith(home):
                reach(at)
        elif event in WATCHED and any(home in str(argument) for argument in arguments[:2]):
            reach(at)

    sys.addaudithook(hook)
    import duckdb
    import polars as pl

    def counted(name: str, kind: Any) -> None:
        original = getattr(kind, name)

        def call(self: Any, *positional: Any, **named: Any) -> Any:
            reach(at)
            result = original(self, *positional, **named)
            reach(at)
            return result

        setattr(kind, name, call)

    counted("write_parquet", pl.DataFrame)
    connect = duckdb.connect

    class Watched:
        """A connection whose statements are counted; everything else is DuckDB's."""

        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def execute(self, *positional: Any, **named: Any) -> Any:
            reach(at)
            result = self._connection.execute(*positional, **named)
            reach(at)
            return self if result is self._connection else result

        def __enter__(self) -> Watched:
            return self

        def __exit__(self, *_: object) -> None:
            self._connection.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

    duckdb.connect = lambda *positional, **named: Watched(connect(*positional, **named))  # type: ignore[assignment]


if __name__ == "__main__":
    wanted, (home, module, *rest) = int(os.environ["PARKLEDGER_FAULT_AT"]), sys.argv[1:]
    watch(wanted, home)
    sys.argv = [module, *rest]
    runpy.run_path(module, run_name="__main__")
    print("acts", _acts, flush=True)
    os._exit(0)
