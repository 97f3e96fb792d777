"""What is said where Spark cannot start, and which of its targets a setting chooses."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration import spark
from orchestration.cli import app
from orchestration.settings import DBT_PROJECT, PROJECT_ROOT, Settings


def fake_java(folder: Path, version: str) -> Path:
    """A JAVA_HOME whose java tells a version as Java does, on standard error."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n", encoding="utf-8")
    java.chmod(0o755)
    return folder


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra were installed."""
    monkeypatch.setattr(spark, "_is_installed", lambda _name: True)


@pytest.mark.parametrize(("told", "major"), [("17.0.15", 17), ("1.8.0_402", 8), ("21", 21), ("25-ea", 25)])
def test_the_version_of_java_is_read_as_java_tells_it(tmp_path: Path, told: str, major: int) -> None:
    assert spark.java_version(fake_java(tmp_path / "jdk", told) / "bin" / "java") == major


@pytest.mark.usefixtures("installed")
def test_a_java_that_is_too_old_is_named_with_the_way_to_get_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "jdk", "11.0.2")))
    with pytest.raises(spark.EngineError, match=r"needs Java 17 or later: .*jdk/bin/java is Java 11") as error:
        spark.find_what_it_needs(Settings(home=tmp_path))
    assert "apt-get install openjdk-17-jre-headless" in str(error.value)
    assert "JAVA_HOME" in str(error.value)


@pytest.mark.usefixtures("installed")
def test_where_there_is_no_java_the_places_looked_at_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(spark, "_JVM_FOLDER", tmp_path)
    with pytest.raises(spark.EngineError, match="none is on the path, in JAVA_HOME or under /usr/lib/jvm"):
        spark.find_what_it_needs(Settings(home=tmp_path))


@pytest.mark.usefixtures("installed")
def test_a_cluster_needs_no_java_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "jdk", "11.0.2")))
    spark.find_what_it_needs(Settings(home=tmp_path, spark_url="sc://cluster:15002"))


@pytest.mark.usefixtures("installed")
def test_a_home_whose_path_spark_would_read_as_a_pattern_is_refused(tmp_path: Path) -> None:
    with pytest.raises(spark.EngineError, match="move the home"):
        spark.find_what_it_needs(Settings(home=tmp_path / "books[1]", spark_url="sc://cluster:15002"))


def test_the_command_line_names_the_missing_extra_and_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home.yaml").write_text("title: Empty\nas_of: 2027-12-31\n", encoding="utf-8")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    done = CliRunner().invoke(app, ["--home", str(tmp_path), "run", "--engine", "spark"])
    assert done.exit_code == 2
    assert "--require-hashes -r" in done.output
    assert "requirements-spark.lock" in done.output


def test_an_engine_that_is_none_is_refused_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "home.yaml").write_text("title: Empty\nas_of: 2027-12-31\n", encoding="utf-8")
    done = CliRunner().invoke(app, ["--home", str(tmp_path), "run", "--engine", "hadoop"])
    assert done.exit_code == 2
    assert "duckdb, spark" in done.output


def test_the_settings_url_chooses_the_target_of_dbts_profile() -> None:
    profile = (DBT_PROJECT / "profiles.yml").read_text(encoding="utf-8")
    for url, name, told in (
        ("", "spark", "SPARK_LOCAL_IP"),
        ("sc://cluster:15002", "spark_connect", "SPARK_REMOTE"),
        ("thrift://cluster:10001", "spark_thrift", "PARKLEDGER_SPARK_PORT"),
    ):
        settings = Settings(spark_url=url)
        assert spark.target(settings) == name
        assert told in spark.environment(settings)
        assert f"    {name}:\n" in profile


def test_the_lock_of_spark_agrees_with_that_of_a_run() -> None:
    def pins(name: str) -> dict[str, str]:
        lines = (PROJECT_ROOT / name).read_text(encoding="utf-8")
        return dict(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==(\S+)", lines, re.MULTILINE))

    run, extra = pins("requirements.lock"), pins("requirements-spark.lock")
    assert len(run) > 100
    assert {name: extra.get(name) for name in run} == run
