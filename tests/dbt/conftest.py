"""Builds a tiny home once and hands its warehouse to the tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from building import build


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
