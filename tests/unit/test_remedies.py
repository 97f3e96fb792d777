"""What a machine or a home refuses is told apart by the words of whoever refused it, and each has its way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.remedies import explained, refusal_of
from orchestration.settings import Settings

SAID = {
    "OSError: [Errno 28] No space left on device": ("The disk is full", "Make room on the disk of /books"),
    "(sqlite3.OperationalError) database or disk is full": ("The disk is full", "Make room on the disk of /books"),
    "IO Error: Could not write all bytes to file": ("The disk is full", "raise the quota"),
    "(sqlite3.OperationalError) disk I/O error": ("The disk gives errors", "dmesg"),
    "(sqlite3.OperationalError) attempt to write a readonly database": ("The file system is read-only", "Mount /books"),
    "OSError: [Errno 30] Read-only file system: 'x'": ("The file system is read-only", "Mount /books"),
    "PermissionError: [Errno 13] Permission denied: '/books/lake'": ("A file or folder may not", "chown -R"),
    "(sqlite3.OperationalError) unable to open database file": ("A file or folder may not", "chown -R"),
    "OutOfMemoryException: Out of Memory Error: failed to allocate": (
        "Memory ran out",
        "PARKLEDGER_MEMORY_LIMIT (now 2GB)",
    ),
    "DamagedLakeError: lake/gpu_telemetry/x.parquet holds other bytes": ("A lake file is damaged", "verify --repair"),
    "IOException: Corrupt database file: computed checksum": ("The working database is damaged", "verify --repair"),
}


@pytest.mark.parametrize("said", SAID)
def test_a_refusal_says_what_happened_and_the_way_back(said: str) -> None:
    what, way_back = SAID[said]
    text = explained(f"Traceback of some library\n{said}\nand more", Settings(home=Path("/books")))
    assert text is not None
    assert text.startswith(what)
    assert way_back in text.splitlines()[1]


@pytest.mark.parametrize("said", ["ValueError: a rate is above 1", "AssertionError: 3 of 4 entries do not sum to zero"])
def test_a_fault_of_the_books_is_no_refusal_of_the_machine(said: str) -> None:
    assert refusal_of(said) is None
