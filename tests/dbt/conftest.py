"""Builds a tiny home once and hands its warehouse to the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

sys.path.insert(0, str(Path(__file__).parent))

PROJECT = Path(__file__).parents[2] / "dbt_project"


def run_dbt(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """dbt on the home's warehouse, run inside the home: the same relative path in every home lets dbt reuse what it has parsed."""
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")),
            *arguments,
            "--project-dir",
            str(PROJECT),
            "--profiles-dir",
            str(PROJECT),
            "--target-path",
            str(home.parent / "dbt-target"),
            "--log-path",
            str(home / "logs"),
        ],
        cwd=home,
        env={**os.environ, "PARKLEDGER_WAREHOUSE": "warehouse.duckdb", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
        capture_output=True,
        text=True,
        check=False,
    )


def build(home: Path, *arguments: str) -> None:
    done = run_dbt(home, "build", "--exclude-resource-type", "unit_test", *arguments)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.fixture(scope="session")
def make_home(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, Callable[[duckdb.DuckDBPyConnection, Path], None]], Path]:
    from raw_fixture import create_raw

    def make(name: str, fill: Callable[[duckdb.DuckDBPyConnection, Path], None]) -> Path:
        home = tmp_path_factory.mktemp(name)
        with duckdb.connect(str(home / "warehouse.duckdb")) as con:
            create_raw(con)
            fill(con, home)
        build(home)
        return home

    return make
