"""Spark in a server of its own, by Connect and by Thrift, as a cluster is reached: the same rows, digit by digit."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from metered import SMALL_GPUS, TABLES, meter, rows_that_differ
from random_telemetry import write_random_home

from orchestration import spark
from orchestration.settings import Settings

pytestmark = pytest.mark.slow
CLASSES = {
    "sc": ("org.apache.spark.sql.connect.service.SparkConnectServer", "spark.connect.grpc.binding.port"),
    "thrift": ("org.apache.spark.sql.hive.thriftserver.HiveThriftServer2", "spark.hive.server2.thrift.port"),
}
START_SECONDS = 120


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def spark_server(scheme: str, folder: Path) -> Iterator[str]:
    """The URL of a Spark server on this machine's loopback, with a metastore in its own folder."""
    found = find_spec("pyspark")
    assert found is not None
    assert found.origin is not None
    class_name, port_setting = CLASSES[scheme]
    port = _free_port()
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder / 'metastore'};create=true",
        port_setting if scheme == "sc" else f"spark.hadoop.{port_setting.removeprefix('spark.')}": str(port),
        "spark.hadoop.hive.server2.thrift.bind.host": "127.0.0.1",
    }
    folder.mkdir()
    command = [str(Path(found.origin).parent / "bin" / "spark-submit"), "--master", "local[2]", "--class", class_name]
    for name, value in settings.items():
        command += ["--conf", f"{name}={value}"]
    command += ["spark-internal"]
    environment = {**os.environ, "JAVA_HOME": str(spark.java_home()), "SPARK_LOCAL_IP": "127.0.0.1"}
    environment["PYSPARK_PYTHON"] = sys.executable
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            _wait_for(port, server, folder / "server.log")
            yield f"{scheme}://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(60)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    pytest.fail(f"Spark's server has not started:\n{log.read_text(encoding='utf-8')[-3000:]}")


@pytest.mark.parametrize("scheme", CLASSES)
def test_a_spark_server_gives_what_duckdb_gives(scheme: str, tmp_path: Path) -> None:
    one, other = tmp_path / "duckdb" / "home", tmp_path / "spark" / "home"
    write_random_home(one, SMALL_GPUS, seed=2)
    shutil.copytree(one, other)
    meter(Settings(home=one))
    with spark_server(scheme, tmp_path / "server") as url:
        meter(Settings(home=other, engine="spark", spark_url=url))
    assert list((other / ".parkledger/spark/out").rglob("*.parquet")), "Spark has written nothing"
    for table in TABLES:
        different, count = rows_that_differ(one, other, table)
        assert (different, count > 0) == (0, True), table
