"""The heavy part of metering on Spark: what it needs to start, and the two runs of dbt that make Spark do it.

``dbt_project/macros/engines.sql`` says what each of them does; the third, dbt's build on DuckDB, is that of any run.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestration.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from dagster_dbt import DbtCliResource

    from orchestration.resources import ProgressDisplay

LOWEST_JAVA = 17
# Where Debian, Ubuntu and Fedora put a Java that is not on the path.
_JVM_FOLDER = Path("/usr/lib/jvm")
_HEAVY = "tag:metering_heavy"
PENDING = "telemetry_partition.parquet"
# Read by Hadoop as patterns where they stand in a path.
_PATTERN = set("{}[]*?\\,`")


class EngineError(Exception):
    """Spark cannot start here; the message says what is missing and how to get it."""


def find_what_it_needs(settings: Settings) -> None:
    """Look for the extra and, where Spark runs in this process, for Java; what was found is remembered in JAVA_HOME.

    Raises:
        EngineError: one of them is missing, or too old.
    """
    missing = [name for name in ("pyspark", "dbt.adapters.spark") if not _is_installed(name)]
    if missing:
        lock = PROJECT_ROOT / "requirements-spark.lock"
        raise EngineError(
            f"The engine spark needs {' and '.join(missing)}, which are not installed. Install the extra `spark` from its lock:\n"
            f"  {sys.executable} -m pip install --require-hashes -r {lock}"
        )
    unfit = sorted(_PATTERN.intersection(str(settings.home.resolve())))
    if unfit:
        raise EngineError(
            f"Spark reads {' '.join(unfit)} in a path as a pattern: move the home {settings.home} to a folder without."
        )
    if not settings.spark_url:
        os.environ["JAVA_HOME"] = str(java_home())


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def java_version(java: Path) -> int | None:
    """The major version that a `java` tells of itself (17; 8 for "1.8.0"); None where it tells none."""
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', told.stderr + told.stdout)
    return int(found[1]) if found else None


def _candidates() -> Iterator[Path]:
    if os.environ.get("JAVA_HOME"):
        # Spark would take this one, fit or not: no other is looked for.
        yield Path(os.environ["JAVA_HOME"]) / "bin" / "java"
        return
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path).resolve()
    yield from sorted(_JVM_FOLDER.glob("*/bin/java"), reverse=True)


def java_home() -> Path:
    """The home of a Java that Spark can run on; EngineError says which were seen and how to get one."""
    seen: list[str] = []
    for java in _candidates():
        version = java_version(java)
        if version is not None and version >= LOWEST_JAVA:
            return java.parent.parent
        seen.append(f"{java} is {'no Java' if version is None else f'Java {version}'}")
    what = "; ".join(seen) if seen else "none is on the path, in JAVA_HOME or under /usr/lib/jvm"
    raise EngineError(
        f"The engine spark needs Java {LOWEST_JAVA} or later: {what}.\n"
        "  Debian, Ubuntu: apt-get install openjdk-17-jre-headless\n"
        "  Fedora:         dnf install java-21-openjdk-headless\n"
        "  macOS:          brew install openjdk@17\n"
        "then set JAVA_HOME to its folder. Or leave the work to a cluster: PARKLEDGER_SPARK_URL=sc://host:15002"
    )


def target(settings: Settings) -> str:
    """The target of dbt's profile: Spark in this process, by Connect or by Thrift."""
    return {"": "spark", "sc": "spark_connect", "thrift": "spark_thrift"}[urlsplit(settings.spark_url).scheme]


def environment(settings: Settings) -> dict[str, str]:
    """What the profile's Spark targets read."""
    url = urlsplit(settings.spark_url)
    found = {"PARKLEDGER_SPARK_MEMORY": settings.spark_memory, "PARKLEDGER_THREADS": str(settings.threads)}
    if url.scheme == "sc":
        found["SPARK_REMOTE"] = settings.spark_url
    elif url.scheme == "thrift":
        found |= {"PARKLEDGER_SPARK_HOST": str(url.hostname), "PARKLEDGER_SPARK_PORT": str(url.port)}
    else:
        found["SPARK_LOCAL_IP"] = "127.0.0.1"
    return found


def meter(settings: Settings, dbt: DbtCliResource, progress: ProgressDisplay) -> None:
    """Have Spark meter the park-days that are pending; dbt's build on DuckDB takes the rows over.

    Args:
        settings: paths, the cluster and the limits.
        dbt: the command line of dbt.
        progress: what a run shows.

    Raises:
        dg.Failure: Spark cannot start here.
        DagsterDbtCliRuntimeError: dbt or Spark has failed; the message is theirs.
    """
    # The command line looks for what Spark needs before it starts Dagster.
    import dagster as dg  # noqa: PLC0415
    import duckdb  # noqa: PLC0415

    try:
        find_what_it_needs(settings)
    except EngineError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    exchange = settings.exchange_folder
    shutil.rmtree(exchange, ignore_errors=True)
    (exchange / "in").mkdir(parents=True)
    before = ["--select", f"+{_HEAVY}", "--exclude", _HEAVY]
    with _in_environment({"PARKLEDGER_HANDS_OVER": "yes"}):
        dbt.cli(["run", *before], target_path=settings.dbt_target_folder).wait()
    with duckdb.connect() as connection:
        listed = connection.execute("SELECT 1 FROM read_parquet(?)", [str(exchange / "in" / PENDING)]).fetchall()
    if not listed:
        return
    progress.step("Metering with Spark")
    with _in_environment(environment(settings)):
        folder = settings.dbt_target_folder.with_name("dbt-spark")
        arguments = ["run", "--target", target(settings), "--select", _HEAVY]
        dbt.cli(arguments, target_path=folder).wait()


@contextmanager
def _in_environment(added: dict[str, str]) -> Iterator[None]:
    """Dbt inherits this process's environment; it is put back after."""
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
