"""The demo home through both engines, as a user runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITTEN_BY_RUNS = (
    "lake",
    "published",
    "reports",
    "quarantine",
    "dagster",
    ".parkledger",
    "closes",
    "warehouse.duckdb*",
    "simulated-*",
)


def published(home: Path, engine: str) -> dict[str, str]:
    """Run the demo home on an engine; content hashes of its published tables."""
    shutil.copytree(ROOT / "data", home, ignore=shutil.ignore_patterns(*WRITTEN_BY_RUNS))
    command = [sys.executable, "-m", "orchestration.cli", "--home", str(home), "run", "--engine", engine]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = json.loads((home / "published" / "manifest.json").read_text(encoding="utf-8"))
    return {name: table["sha256"] for name, table in manifest["tables"].items()}


@pytest.mark.slow
def test_the_demo_home_has_the_same_tables_on_either_engine(tmp_path: Path) -> None:
    by_spark = published(tmp_path / "spark", "spark")
    assert list((tmp_path / "spark/.parkledger/spark/out").rglob("*.parquet")), "Spark has written nothing"
    by_duckdb = published(tmp_path / "duckdb", "duckdb")
    assert by_spark == by_duckdb
