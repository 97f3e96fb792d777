"""dbt on the warehouse of a tiny home, as a test calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "dbt_project"


def run_dbt(home: Path, *arguments: str, target: Path | None = None) -> subprocess.CompletedProcess[str]:
    """dbt on the home's warehouse, run inside the home: the same relative path in every home lets dbt reuse what it has parsed.

    `target` is where it keeps that; by default beside the home, for all homes of a folder.
    """
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")),
            *arguments,
            "--project-dir",
            str(PROJECT),
            "--profiles-dir",
            str(PROJECT),
            "--target-path",
            str(target or home.parent / "dbt-target"),
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
