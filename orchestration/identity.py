"""What a run is made of: code, terms, reference data, landed files and the clock. Equal inputs, equal run id."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from ingest.kept_journal import REOPENINGS
from ingest.reference import SHIPPED
from ingest.terms.home import ALERTS_FILE, Home
from orchestration.settings import DBT_PROJECT, PROJECT_ROOT

CODE_FOLDERS = (
    PROJECT_ROOT / "ingest",
    PROJECT_ROOT / "orchestration",
    *(DBT_PROJECT / name for name in ("models", "macros", "seeds")),
    SHIPPED,
)
CODE_SUFFIXES = {".py", ".sql", ".yml", ".j2", ".typ", ".js", ".csv", ".txt"}
TERM_FOLDERS = ("parks", "contracts", "deals", "vendors", "policies", "scenarios", "reference")


def code_version() -> str:
    """The package's version and a digest of its sources, for example ``0.1.0+3f9a1c0d``."""
    files = sorted(f for folder in CODE_FOLDERS for f in folder.rglob("*") if f.suffix in CODE_SUFFIXES)
    return f"{version('parkledger')}+{_digest(_named_bytes(PROJECT_ROOT, files))[:8]}"


def terms_digest(home: Path) -> str:
    """Digest of everything that a user writes: YAML and reference data."""
    return _digest(_named_bytes(home, _written_by_users(home)))


def inputs_of(home: Path) -> dict[str, str]:
    """SHA-256 of every file of terms and reference data, by its path in the home."""
    return {
        file.relative_to(home).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in _written_by_users(home)
    }


def _written_by_users(home: Path) -> list[Path]:
    files = [
        home / "home.yaml",
        home / ALERTS_FILE,
        home / REOPENINGS,
        *(f for folder in TERM_FOLDERS for f in sorted((home / folder).rglob("*")) if f.is_file()),
    ]
    return [f for f in files if f.exists()]


def run_id(home: Home, file_ids: Iterable[str]) -> str:
    """Sixteen hexadecimal digits that follow from the inputs alone.

    Args:
        home: the home, whose clock is an input.
        file_ids: content hashes of all landed files, in any order.
    """
    parts = [code_version(), terms_digest(home.path), home.clock_at.isoformat(), *sorted(file_ids)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def input_state(home: Home) -> dict[str, object]:
    """What is there to be read, cheaply: enough to tell whether anything is new since the last published run."""
    landing = home.path / "landing"
    files = sorted(f for f in landing.rglob("*") if f.is_file() and not f.is_symlink()) if landing.exists() else []
    listing = [[f.relative_to(home.path).as_posix(), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    return {
        "code_version": code_version(),
        "terms": terms_digest(home.path),
        "clock_at": home.clock_at.isoformat(),
        "landing": hashlib.sha256(json.dumps(listing).encode()).hexdigest(),
    }


def _named_bytes(root: Path, files: Iterable[Path]) -> Iterator[bytes]:
    for file in files:
        yield file.relative_to(root).as_posix().encode()
        yield file.read_bytes()


def _digest(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(len(chunk).to_bytes(8, "big"))
        digest.update(chunk)
    return digest.hexdigest()
