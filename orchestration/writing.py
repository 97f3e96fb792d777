"""One run at a time writes a home: a lock that the whole run holds, and that dies with its process."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

LOCK, HOLDER = "writer.lock", "writer.json"
# A settlement of the largest homes takes minutes; who waits for hours waits for something that hangs.
LONGEST_WAIT_SECONDS = 4 * 3600.0
# A dbt whose run was killed ends its model, finds nobody listening, and goes.
ORPHAN_SECONDS, POLL_SECONDS = 120.0, 0.25


class HomeIsBeingWrittenError(RuntimeError):
    """Another run still writes the home."""


@contextmanager
def only_writer(
    home: Path, *, on_wait: Callable[[str], object] | None = None, longest_wait_seconds: float = LONGEST_WAIT_SECONDS
) -> Iterator[None]:
    """Hold a home for writing; wait while another process does. The same process may hold it several times over.

    The lock is the operating system's own (flock), so a killed process leaves none behind.

    Args:
        home: the home folder.
        on_wait: called once with who holds it, where one has to wait.
        longest_wait_seconds: after so long it is given up.

    Raises:
        HomeIsBeingWrittenError: the other run has not ended by then.
    """
    folder = home.resolve() / ".parkledger"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, is_singleton=True, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if on_wait:
            on_wait(f"{holder(home)} writes this home; waiting for its end")
        try:
            lock.acquire(timeout=longest_wait_seconds, poll_interval=0.5)
        except Timeout:
            raise HomeIsBeingWrittenError(f"{holder(home)} still writes {home}; end it, or wait for it") from None
    is_outermost = lock.lock_counter == 1
    try:
        if is_outermost:
            about = {"process_id": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
            (folder / HOLDER).write_text(json.dumps(about), encoding="utf-8")
            _await_orphans(home.resolve() / "warehouse.duckdb")
        yield
    finally:
        if is_outermost:
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _await_orphans(database: Path) -> None:
    """Wait until nobody has the working database open: a client, or, but for Linux, the dbt of a run that was killed."""
    import duckdb  # noqa: PLC0415 - a run that finds nothing new needs none

    until = time.monotonic() + ORPHAN_SECONDS
    while database.exists():
        try:
            duckdb.connect(str(database), read_only=True).close()
        except duckdb.IOException as error:
            if "Could not set lock" not in str(error):
                return  # damaged, or not to be read: whoever opens it next says so
            if time.monotonic() >= until:
                process = re.search(r"PID (\d+)", str(error))
                who = f"process {process[1]}" if process else "another process"
                raise HomeIsBeingWrittenError(
                    f"{who} has {database} open and does not let go. If it is a client of yours, let it open "
                    "published/parkledger.duckdb instead; end it, and run again"
                ) from None
            time.sleep(POLL_SECONDS)
        except duckdb.Error:
            return
        else:
            return


def holder(home: Path) -> str:
    """Who holds the lock, in words."""
    try:
        about = json.loads((home.resolve() / ".parkledger" / HOLDER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "Another run"  # it has the lock and has not said more yet
    return f"Another run (process {about['process_id']}, since {about['since']})"
