"""Metering reads the lake's copy from a server with S3's protocol, and gives what it gives from the home."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest
from metered import SMALL_GPUS, TABLES, meter, rows_that_differ
from random_telemetry import write_random_home

from orchestration.lake_copy import LakeCopyError, copy_new
from orchestration.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a new bucket on a server of this process."""
    if missing := [name for name in ("s3fs", "moto", "flask_cors") if find_spec(name) is None]:
        reason = f"Nobody has looked whether the lake can be read from an object store: {missing} are not installed."
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    # A bucket of its own: moto keeps them for as long as the process lives.
    s3fs.S3FileSystem().mkdir(f"books-{port}")
    yield f"s3://books-{port}/parks"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def copy_to(settings: Settings) -> int:
    with duckdb.connect(str(settings.warehouse_path)) as con:
        return copy_new(con, settings)


def test_metering_from_an_object_store_is_metering_from_the_home(store: str, tmp_path: Path) -> None:
    one, other = tmp_path / "here" / "home", tmp_path / "there" / "home"
    write_random_home(one, SMALL_GPUS, seed=3)
    shutil.copytree(one, other)
    meter(Settings(home=one))
    there = Settings(home=other, lake_url=store)
    files = len(list((other / "lake").rglob("*.parquet")))
    assert copy_to(there) == files > 0
    # Nothing is left to read in the home.
    (other / "lake").rename(other / "away")
    meter(there)
    for table in TABLES:
        different, count = rows_that_differ(one, other, table)
        assert (different, count > 0) == (0, True), table
    assert copy_to(there) == 0


def test_a_bucket_that_is_not_there_stops_with_the_file_and_the_way_on(store: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    write_random_home(home, 1, seed=4)
    elsewhere = store.replace("books", "no-such-bucket")
    with pytest.raises(
        LakeCopyError, match=rf"lake/.*\.parquet could not be copied to {elsewhere}: .*AWS_ENDPOINT_URL"
    ):
        copy_to(Settings(home=home, lake_url=elsewhere))
