"""Modules of this folder import each other by name, and all of them need Java."""

import os
import sys
from pathlib import Path

import pytest

from orchestration import spark

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def _java() -> None:
    try:
        spark.java_home()
    except spark.EngineError as error:
        reason = f"Nobody has looked whether Spark gives what DuckDB gives. {error}"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
