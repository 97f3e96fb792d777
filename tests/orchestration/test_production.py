"""The files of the production guide: units that systemd takes, and Dagster's storage on a real PostgreSQL."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from orchestration.docs import GUIDES
from orchestration.run import instance_config
from orchestration.settings import Settings
from orchestration.status_command import _last_run

FILES = GUIDES / "production"
POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    # The programs stand elsewhere on this machine; everything else is held as written.
    for file in FILES.glob("parkledger-*"):
        text = (
            file.read_text()
            .replace("/srv/parkledger/.venv/bin/parkledger", "/bin/true")
            .replace("/usr/bin/rclone", "/bin/true")
        )
        (tmp_path / file.name).write_text(text)
    units = sorted(str(path) for path in tmp_path.iterdir())
    assert len(units) == 4
    done = subprocess.run(
        ["systemd-analyze", "verify", *units],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "parkledger" in line]
    assert said == []


def test_the_environment_of_the_services_names_settings_that_there_are() -> None:
    lines = [
        line.split("=", 1)[0]
        for line in (FILES / "parkledger.env").read_text().splitlines()
        if not line.startswith("#")
    ]
    settings = {f"PARKLEDGER_{name.upper()}" for name in Settings.model_fields}
    assert set(lines) - settings == {"PARKLEDGER_BACKUP", "DO_NOT_TRACK"}


def test_the_address_of_a_database_is_written_into_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    said = instance_config(Settings(home=tmp_path, dagster_postgres_url=SecretStr("postgresql://u:secret@h/d")))
    assert "env: PARKLEDGER_DAGSTER_POSTGRES_URL" in said
    assert "secret" not in said
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        instance_config(Settings(home=tmp_path, dagster_postgres_url=SecretStr("postgresql://u:secret@h/d")))


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """A server of its own, on a port of its own."""
    pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed (see the production guide)")
    if POSTGRES is None:
        pytest.skip("this machine has no PostgreSQL server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = tmp_path / "pg"
    data.mkdir()
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        for folder in (data, *[parent for parent in data.parents if parent != Path("/")]):
            folder.chmod(folder.stat().st_mode | 0o011)
        shutil.chown(data, "postgres", "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    subprocess.run(
        [*as_user, POSTGRES / "initdb", "-D", data, "-U", "parkledger", "-A", "trust"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    options = f"-p {port} -k {data} -c listen_addresses=127.0.0.1"
    subprocess.run(
        [*as_user, POSTGRES / "pg_ctl", "-D", data, "-w", "-l", data / "log", "-o", options, "start"], check=True
    )
    try:
        yield f"postgresql+psycopg2://parkledger@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*as_user, POSTGRES / "pg_ctl", "-D", data, "-m", "fast", "stop"], check=True)


@pytest.mark.slow
def test_dagster_keeps_runs_events_and_ticks_in_postgresql_and_status_reads_the_last_run(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARKLEDGER_DAGSTER_POSTGRES_URL", postgres)
    settings = Settings(home=tmp_path / "home")
    assert _last_run(settings) is None
    folder = tmp_path / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text(instance_config(settings))

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]), backfill_policy=dg.BackfillPolicy.single_run())
    def feed() -> None:
        """Of two days."""

    with dg.DagsterInstance.from_config(str(folder)) as instance:
        tags = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "b"}
        assert dg.materialize([feed], instance=instance, tags=tags).success
        assert len(instance.fetch_materializations(feed.key, limit=10).records) == 2
        assert "Postgres" in type(instance.run_storage).__name__ + type(instance.event_log_storage).__name__
    last = _last_run(settings)
    assert last is not None
    assert last["status"] == "success"
