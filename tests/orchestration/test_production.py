"""The files of the production guide: units that systemd takes, and Dagster's storage on a real PostgreSQL."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest
import requests
from pydantic import SecretStr

from orchestration.docs import GUIDES
from orchestration.run import instance_config
from orchestration.settings import Settings
from orchestration.status_command import _last_run

FILES = GUIDES / "production"
SBIN = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
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


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("rclone") is None, reason="this machine has no rclone: apt-get install rclone")
def test_the_backup_copies_what_nothing_could_make_again_also_before_the_first_close(tmp_path: Path) -> None:
    home, bucket = tmp_path / "home", tmp_path / "bucket"
    kept = {
        "home.yaml",
        "contracts/c.yaml",
        "reference/fx.csv",
        "landing/p/leases/l.csv",
        "lake/journal/000001/lines.parquet",
    }
    for name in (
        *kept,
        "warehouse.duckdb",
        "lake/gpu_telemetry/p/t.parquet",
        "published/.runs/a/parquet/core/dim_park.parquet",
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name)
    (home / "published" / "parquet").symlink_to(".runs/a/parquet")
    lines = [line for line in (FILES / "parkledger-backup.service").read_text().splitlines() if "ExecStart=" in line]
    copying = "\n".join(line.partition("=")[2].replace("/usr/bin/rclone", "rclone") for line in lines)
    places = {"PARKLEDGER_HOME": str(home), "PARKLEDGER_BACKUP": str(bucket), "RCLONE_CONFIG": str(tmp_path / "none")}

    def back_up() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euc", copying], env={**os.environ, **places}, capture_output=True, text=True, check=False
        )

    done = back_up()
    assert done.returncode == 0, done.stderr
    assert {path.relative_to(bucket / "home").as_posix() for path in (bucket / "home").rglob("*.*")} == kept
    assert (bucket / "published" / "core" / "dim_park.parquet").is_file()
    # A batch of the journal that was damaged never replaces the good one.
    (home / "lake" / "journal" / "000001" / "lines.parquet").write_text("damaged")
    assert back_up().returncode != 0
    assert (bucket / "home" / "lake" / "journal" / "000001" / "lines.parquet").read_text().startswith("lake")


class _Page(BaseHTTPRequestHandler):
    """In the place of Dagster's page: says which protocol it was asked to go over to."""

    def do_GET(self) -> None:
        said = f"page {self.headers.get('Upgrade', '')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("nginx", path=SBIN) is None or shutil.which("openssl") is None,
    reason="this machine has no nginx: apt-get install nginx",
)
def test_nginx_asks_for_a_name_before_it_shows_the_page_and_the_reports(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {key} -out {certificate}"
    made += " -subj /CN=books.example.org -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(made.split(), check=True, capture_output=True)
    hashed = subprocess.run(["openssl", "passwd", "-apr1", "secret"], check=True, capture_output=True, text=True)
    (tmp_path / "names").write_text(f"reader:{hashed.stdout}")
    (tmp_path / "reports").mkdir(mode=0o755)
    (tmp_path / "reports" / "monitor.html").write_text("the monitor")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as page, socket.socket() as free:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        site = (FILES / "nginx.conf").read_text()
        for written, here in {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "/etc/letsencrypt/live/books.example.org/fullchain.pem": str(certificate),
            "/etc/letsencrypt/live/books.example.org/privkey.pem": str(key),
            "/etc/nginx/parkledger.htpasswd": str(tmp_path / "names"),
            "127.0.0.1:3000": f"127.0.0.1:{page.server_address[1]}",
            "/srv/books/reports/": f"{tmp_path / 'reports'}/",
        }.items():
            assert written in site
            site = site.replace(written, here)
        paths = "".join(
            f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""  # the folders of a test are the test's own
        (tmp_path / "whole.conf").write_text(
            f"{user} daemon off; pid {tmp_path}/pid; error_log {tmp_path}/errors; events {{}}"
            f"http {{ access_log off; {paths} {site} }}"
        )
        command = [shutil.which("nginx", path=SBIN) or "", "-c", f"{tmp_path}/whole.conf", "-p", str(tmp_path)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as nginx:
            try:
                at = f"https://127.0.0.1:{port}"
                anyone, reader = requests.Session(), requests.Session()
                anyone.trust_env = reader.trust_env = False
                anyone.verify = reader.verify = str(certificate)
                reader.auth = ("reader", "secret")
                for _ in range(100):
                    with suppress(requests.ConnectionError):
                        anyone.get(at, timeout=10)
                        break
                    time.sleep(0.1)
                for path in ("/", "/reports/", "/reports/monitor.html"):
                    assert anyone.get(f"{at}{path}", timeout=10).status_code == 401
                upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
                assert reader.get(f"{at}/graphql", headers=upgrade, timeout=10).text == "page websocket"
                report = reader.get(f"{at}/reports/monitor.html", timeout=10)
                assert (report.status_code, report.text) == (200, "the monitor")
                assert "default-src 'none'" in report.headers["Content-Security-Policy"]
                assert "monitor.html" in reader.get(f"{at}/reports/", timeout=10).text
                assert "reader:" not in reader.get(f"{at}/reports../names", timeout=10).text
            finally:
                nginx.terminate()
        page.shutdown()


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
