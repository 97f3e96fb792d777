"""What a machine or a home refuses, said once: what happened, what stands, and the way back.

Errors come as exceptions, or as the class names and messages that Dagster keeps of those of a step; so texts decide.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from orchestration.settings import Settings

STANDS = "Nothing is lost: what was published before stands, and the next run goes on from what has landed"


@dataclass(frozen=True)
class Refusal:
    """Something outside the books that stops a run, by a part of its message, and the way back."""

    name: str
    pattern: re.Pattern[str]
    remedy: str


def _refusal(name: str, pattern: str, remedy: str) -> Refusal:
    return Refusal(name, re.compile(pattern, re.IGNORECASE), remedy)


REFUSALS = (
    _refusal("busy", r"HomeIsBeingWrittenError|Could not set lock on file", ""),
    _refusal(
        "the clock stands before that of the last run",
        r"ClockSetBackError",
        "",
    ),
    _refusal(
        "the disk is full",
        r"No space left on device|database or disk is full|File too large|Disk quota exceeded|Could not write (all|file)|"
        r"failed to offload data block",
        f"Make room on the disk of {{home}} (or raise the quota), then run again. {STANDS}",
    ),
    _refusal(
        "the file system is read-only",
        r"Read-only file system|Errno 30|attempt to write a readonly database",
        f"Mount {{home}} for writing, or copy the home elsewhere and run with --home THERE. {STANDS}",
    ),
    _refusal(
        "a file or folder may not be written or read",
        r"Permission denied|PermissionError|Operation not permitted|No usable temporary directory|unable to open database file",
        f"Give the account that runs parkledger its own home: chown -R $(id -un) {{home}}; chmod -R u+rwX {{home}}. {STANDS}",
    ),
    _refusal(
        "the disk gives errors",
        r"disk I/O error|Input/output error",
        f"Look at the disk of {{home}} (df, dmesg); copy the home elsewhere if it fails, and run with --home THERE. {STANDS}",
    ),
    _refusal(
        "memory ran out",
        r"Out of Memory|MemoryError|could not allocate|failed to allocate|memory allocation of|Cannot allocate memory|bad_alloc|"
        r"can't start new thread",
        f"Raise PARKLEDGER_MEMORY_LIMIT (now {{memory_limit}}) or what `ulimit -v` allows, or run with PARKLEDGER_THREADS=1. {STANDS}",
    ),
    _refusal(
        "a batch of the kept journal is not as it was written",
        r"BrokenChainError|Restore lake/journal",
        "See what remains: parkledger --home {home} verify --repair",
    ),
    _refusal(
        "a lake file is damaged",
        r"DamagedLakeError|(TProtocolException|Thrift|Parquet|No magic bytes|decompress|Snappy|ZSTD)[\s\S]*|lake/\S*\.parquet",
        f"See what would be done, then do it: parkledger --home {{home}} verify --repair. {STANDS}",
    ),
    _refusal(
        "a manifest is damaged",
        r"DamagedManifestError",
        f"See what would be done, then do it: parkledger --home {{home}} verify --repair. {STANDS}",
    ),
    _refusal(
        "the working database is damaged",
        r"Corrupt database file|checksum|not a valid DuckDB database|Serialization Error|Failed to deserialize|"
        r"database has been invalidated|INTERNAL Error|FatalException|FATAL Error",
        f"See what would be done, then do it: parkledger --home {{home}} verify --repair. {STANDS}",
    ),
)


def refusal_of(text: str) -> Refusal | None:
    """What stopped it, where the text of an error tells of something outside the books."""
    return next((refusal for refusal in REFUSALS if refusal.pattern.search(text)), None)


def explained(text: str, settings: Settings) -> str | None:
    """One message: what happened, in short, and the way back; None where nothing is known of such an error."""
    found = refusal_of(text)
    if found is None:
        return None
    said = next(
        (line.strip() for line in text.splitlines() if found.pattern.search(line)), text.strip().splitlines()[0]
    )
    if not found.remedy:
        return re.sub(r"^\w*Error: ", "", re.sub(r"^[\w.]+\.(\w+Error: )", r"\1", said))
    remedy = found.remedy.format(home=settings.home, memory_limit=settings.memory_limit)
    return f"{found.name[0].upper()}{found.name[1:]}: {_short(said, settings.home)}\n{remedy}"


def _short(text: str, home: Path) -> str:
    return re.sub(r"^\w+Error: ", "", text).replace(f"{home}/", "")[:400]
