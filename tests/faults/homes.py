"""Homes to be broken: a tiny one, run once as a user runs it, and copies of it; and what its tables hold."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

REPOSITORY = Path(__file__).resolve().parents[2]
for folder in ("unit", "faults", "dbt"):
    sys.path.insert(0, str(REPOSITORY / "tests" / folder))

from simulated_home import NORTH, write_home  # noqa: E402

MONTH = "2027-01"
CONTRACT = f"{NORTH}-c"
# One park, one contract, six weeks: January has closed by then.
TINY_AS_OF = "2027-02-12"


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "PYTHONPATH": str(REPOSITORY), **more}


def parkledger(home: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command line on a home, in a process of its own."""
    more = options.pop("env", {})
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "--home", str(home), *arguments],
        cwd=REPOSITORY,
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
        **options,
    )


def write_tiny_home(path: Path, *, as_of: str = TINY_AS_OF) -> Path:
    """One park of a few racks with the demo's reference tables and scenarios; nothing is landed yet."""
    write_home(path, as_of=as_of, parks=NORTH)
    for folder in ("parks", "contracts"):
        for file in (path / folder).glob("south*"):
            file.unlink()
    for folder in ("reference", "scenarios", "vendors", "policies"):
        shutil.copytree(REPOSITORY / "data" / folder, path / folder)
    return path


def copy_of(home: Path, target: Path) -> Path:
    """The home elsewhere, links as links; without Dagster's history, which no book needs."""
    shutil.copytree(home, target, symlinks=True, ignore=shutil.ignore_patterns("dagster"))
    return target


def tables_of(database: Path, *, schemas: tuple[str, ...] | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of a database, or of some of its schemas."""
    with duckdb.connect(str(database), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        names = con.execute("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL").fetchall()
        return {
            f"{schema}.{name}": [tuple(map(repr, row)) for row in con.execute(f'FROM "{schema}"."{name}"').fetchall()]
            for schema, name in names
            if schemas is None or schema in schemas
        }


def published_tables(home: Path) -> dict[str, list[tuple[Any, ...]]]:
    return tables_of(home / "published" / "parkledger.duckdb")


class Bench:
    """Where the cases work: a folder, and the finished tiny home that they copy.

    Attributes:
        folder: theirs alone.
        finished: a home after its first run, which nobody changes.
        share: the part of the injections that is made, from 0 to 1: a test that must be quick makes few.
    """

    def __init__(self, folder: Path, finished: Path, share: float = 1.0) -> None:
        self.folder = folder
        self.finished = finished
        self.share = share
        self._number = 0

    def times(self, whole: int) -> int:
        """So many of the injections of a whole run."""
        return max(1, round(whole * self.share))

    def home(self) -> Path:
        """A fresh copy of the finished home."""
        return copy_of(self.finished, self.empty() / "home")

    def empty(self) -> Path:
        """A fresh empty folder."""
        self._number += 1
        folder = self.folder / f"{self._number:05d}"
        folder.mkdir(parents=True)
        return folder

    @cached_property
    def undisturbed(self) -> dict[str, list[tuple[Any, ...]]]:
        """Published tables of the finished home."""
        return published_tables(self.finished)

    @cached_property
    def repaired(self) -> dict[str, list[tuple[Any, ...]]]:
        """Published tables of the finished home after another run, such as a repair asks for: it publishes the closes."""
        home = self.home()
        assert parkledger(home, "run", "--force").returncode == 0
        tables = published_tables(home)
        shutil.rmtree(home.parent)
        runs = [
            tuple("'repair'" if cell == "'command line'" else cell for cell in row) for row in tables["quality.fct_run"]
        ]
        return {**tables, "quality.fct_run": runs}


def make_finished(path: Path) -> Path:
    """The tiny home after its first run, by the command line."""
    done = parkledger(write_tiny_home(path), "run")
    log = path / ".parkledger" / "run.log"
    assert done.returncode == 0, done.stdout + done.stderr + (log.read_text()[-3000:] if log.exists() else "")
    return path
