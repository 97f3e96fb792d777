"""The lake's copy on an object store: what is copied, when, and what is said where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import fsspec
import pytest

from orchestration.lake_copy import LakeCopyError, copy_new
from orchestration.settings import Settings

URL = "memory://bucket/books"
PATHS = {"lake/gpu_telemetry/park_id=p/delivered/one.parquet": b"one", "lake/gpu_telemetry/park_id=p/two.parquet": b"2"}


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("CREATE SCHEMA raw; CREATE TABLE raw.lake_file (path VARCHAR, sha256 VARCHAR, file_id VARCHAR)")
        # A delivered file has a row a day.
        for path in [*PATHS, next(iter(PATHS))]:
            con.execute("INSERT INTO raw.lake_file VALUES (?, NULL, 'first')", [path])
        yield con


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    for path, content in PATHS.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    yield Settings(home=tmp_path, lake_url=URL)
    fsspec.filesystem("memory").store.clear()


def copied() -> dict[str, bytes]:
    store = fsspec.filesystem("memory")
    return {path: store.cat_file(f"/bucket/books/{path}") for path in PATHS}


def test_each_file_of_the_lake_is_copied_once_under_its_own_path(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    assert copy_new(connection, settings) == 2
    assert copied() == PATHS
    assert copy_new(connection, settings) == 0


def test_a_file_that_landing_has_written_anew_is_copied_again(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    copy_new(connection, settings)
    path = next(iter(PATHS))
    (settings.home / path).write_bytes(b"anew")
    connection.execute("UPDATE raw.lake_file SET sha256 = 'second' WHERE path = ?", [path])
    assert copy_new(connection, settings) == 1
    assert copied() == {**PATHS, path: b"anew"}
    assert copy_new(connection, settings) == 0


def test_another_object_store_gets_all_of_the_lake(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    copy_new(connection, settings)
    assert copy_new(connection, settings.model_copy(update={"lake_url": "memory://other"})) == 2


def test_a_copy_that_was_cut_short_goes_on_where_it_stopped(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    last = settings.home / sorted(PATHS)[-1]
    content = last.read_bytes()
    last.unlink()
    with pytest.raises(
        LakeCopyError, match=r"two\.parquet could not be copied to memory://bucket/books.*next run goes on"
    ):
        copy_new(connection, settings)
    last.write_bytes(content)
    assert copy_new(connection, settings) == 1
    assert copied() == PATHS


def test_a_store_without_a_client_names_the_extra_that_brings_one(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    with pytest.raises(LakeCopyError, match=r"nosuch://x cannot be opened.*requirements-object-store\.lock"):
        copy_new(connection, settings.model_copy(update={"lake_url": "nosuch://x"}))


def test_a_lake_url_that_is_no_url_is_refused() -> None:
    with pytest.raises(ValueError, match="lake_url"):
        Settings(lake_url="bucket/books")
