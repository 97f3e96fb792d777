"""Modules of this folder import each other by name, and all of them need Java."""

import os
import sys
from collections.abc import Iterator
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


@pytest.fixture(autouse=True)
def _environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """dbt is pointed at a home by the environment."""
    for name in (
        "PARKLEDGER_WAREHOUSE",
        "PARKLEDGER_MEMORY_LIMIT",
        "PARKLEDGER_ENGINE",
        "PARKLEDGER_EXCHANGE",
        "PARKLEDGER_LAKE_URL",
        "JAVA_HOME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PARKLEDGER_SPARK_PARTITIONS", "2")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    yield
    monkeypatch.undo()
