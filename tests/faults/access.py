"""Who may read what: file modes, secrets, servers, and names that travel through the whole house to those who read reports."""

from __future__ import annotations

import json
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import duckdb
from homes import Bench, environment, parkledger, write_tiny_home
from hostile import NAMES
from tally import Tally, case

SECRET = "planted-9f4e1c77-secret"  # noqa: S105 - a bait
SECRETS = (
    "PARKLEDGER_SECRET",
    "PARKLEDGER_NOTIFY_URL",
    "SMTP_PASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "DATABASE_URL",
    "API_TOKEN",
)


def holds(path: Path, needle: bytes) -> bool:
    """Whether a file says it, plainly or within a zip."""
    content = path.read_bytes()
    if needle in content:
        return True
    if content[:2] == b"PK":
        with zipfile.ZipFile(path) as archive:
            return any(needle in archive.read(name) for name in archive.namelist())
    return False


# Both are used by every run, and neither leads to anybody who answers.
CHANNELS = """channels:
  - {channel_id: chat, url: "json://ops:${SMTP_PASSWORD}@127.0.0.1:9/${API_TOKEN}"}
  - {channel_id: bare, url: "${PARKLEDGER_NOTIFY_URL}"}
"""


@case("access")
def a_planted_secret(bench: Bench) -> Tally:
    """In the environment of a run that succeeds and of one that fails: it is in nothing that was written or said."""
    tally = Tally("a secret in the environment, looked for in all that is written and said")
    with tally.timed():
        home = bench.home()
        secrets = dict.fromkeys(SECRETS, SECRET)
        secrets["PARKLEDGER_NOTIFY_URL"] = f"json://127.0.0.1:9/{SECRET}?token={SECRET}"
        (home / "alerts.yaml").write_text(CHANNELS)
        spoken = ""
        for command in (("alerts", "test"), ("alerts", "list"), ("status",), ("verify",)):
            done = parkledger(home, *command, env=secrets)
            spoken += done.stdout + done.stderr
        said = parkledger(home, "run", "--force", env=secrets)
        database = f"postgresql://ledger:{SECRET}@127.0.0.1:9/{SECRET}"
        unreachable = parkledger(home, "--debug", "run", "--force", env={"PARKLEDGER_DAGSTER_POSTGRES_URL": database})
        text = (home / "contracts").glob("*.yaml")
        for path in text:
            path.write_text(path.read_text().replace("revenue_share:", "revenue_sharing:"))
        failed = parkledger(home, "--debug", "run", env=secrets)
        tally.injected = 2 * len(SECRETS) + 1
        found = [str(f.relative_to(home)) for f in home.rglob("*") if f.is_file() and holds(f, SECRET.encode())]
        for done in (said, failed, unreachable):
            spoken += done.stdout + done.stderr
        tried = "chat" in spoken and "bare" in spoken and unreachable.returncode != 0
        good = said.returncode == 0 and failed.returncode != 0 and tried and not found and SECRET not in spoken
        tally.survived = tally.injected if good else 0
        for one in found[:3]:
            tally.note(f"found in {one}")
        if not good:
            at = max(0, spoken.find(SECRET) - 300)
            tally.note(f"{said.returncode} {failed.returncode} {unreachable.returncode}: {spoken[at : at + 400]}")
        shutil.rmtree(home.parent)
    return tally


@case("access")
def file_modes(bench: Bench) -> Tally:
    """Of all that a run writes nothing can be read by others, whatever the umask of the shell was; by a group where that is asked."""
    tally = Tally("files of a home that others may read or write")
    with tally.timed():
        paths = [f for f in [bench.finished, *bench.finished.rglob("*")] if not f.is_symlink()]
        written = [f for f in paths if f.relative_to(bench.finished).parts[:1] in {(n,) for n in (
            "published", "lake", "reports", "quarantine", "closes", "dagster", ".parkledger", "warehouse.duckdb")}]  # fmt: skip
        tally.injected = len(written)
        loose = [f for f in written if stat.S_IMODE(f.stat().st_mode) & 0o077]
        tally.survived = tally.injected - len(loose)
        for path in loose[:5]:
            tally.note(f"{path.relative_to(bench.finished)} has {stat.S_IMODE(path.stat().st_mode):o}")
    return tally


@case("access")
def servers_on_loopback(bench: Bench) -> Tally:
    """`parkledger serve` listens where no other machine comes."""
    tally = Tally("`parkledger serve` reached from other machines")
    with tally.timed():
        home = bench.home()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestration.cli", "--home", str(home), "serve", "--port", str(port)],
            env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            listening: set[str] = set()
            until = time.monotonic() + 180
            while not listening and time.monotonic() < until:
                time.sleep(1)
                listening = _listening(port)
        finally:
            process.terminate()
            process.wait(timeout=60)
        tally.injected = 1
        tally.survived = int(listening == {"127.0.0.1"})
        tally.note(f"listens on {', '.join(sorted(listening)) or 'nothing'}")
        shutil.rmtree(home.parent)
    return tally


def _listening(port: int) -> set[str]:
    """Addresses on which somebody listens at a port, from the kernel's own table."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, number = local.split(":")
            if state == "0A" and int(number, 16) == port:
                packed = bytes.fromhex(address)
                found.add(socket.inet_ntoa(packed[::-1]) if len(packed) == 4 else f"[{address}]")
    return found


@case("access")
def names_through_the_house(bench: Bench) -> Tally:
    """Names of a park, tenants and contracts that would act somewhere, run through to every form in which they are read."""
    import openpyxl
    import pypdf

    tally = Tally("hostile names through SQL, HTML, PDF, XLSX, CSV and logs")
    names = [n for n in NAMES.values() if n.strip() and len(n) < 5000 and "\x00" not in n and "\ud800" not in n]
    with tally.timed():
        home = write_tiny_home(bench.empty() / "home")
        park = home / "parks" / "north-1.yaml"
        park.write_text(
            park.read_text().replace("park_name: north-1", f"park_name: {json.dumps('Park ' + NAMES['html'])}")
        )
        text = (home / "home.yaml").read_text()
        (home / "home.yaml").write_text(
            text.replace("title: Test", f"title: {json.dumps(NAMES['html attribute'] + NAMES['formula'])}")
        )
        folder = home / "landing" / "north-1" / "leases"
        folder.mkdir(parents=True)
        header = "lease_id,version,tenant_id,tenant_name,contract_id,tranche_id,gpu_model,gpu_count,starts_at,ends_at,price_per_gpu_hour"
        lines = [f"{header},currency_code,workload,customer_type,pricing,status,recorded_at"]
        for number, name in enumerate(names):
            cell = '"' + name.replace('"', '""') + '"'
            lines.append(
                f"L{number},1,{cell},{cell},north-1-c,north-1-a,GB300,2,2027-01-05T00:00:00Z,2027-09-01T00:00:00Z,2.5,USD,training,"
                "third_party,reserved,active,2026-12-20T00:00:00Z"
            )
        (folder / "l.csv").write_text("\n".join(lines) + "\n", newline="")
        done = parkledger(home, "run")
        tally.injected = len(names)
        wrong = [] if done.returncode == 0 else [f"the run ended with {done.returncode}: {done.stderr[-500:]}"]
        if not wrong:
            wrong += _unharmed(home, names)
            page = next((home / "reports").rglob("monitor.html")).read_text()
            if not re.search(r"Content-Security-Policy\" content=\"default-src 'none'", page):
                wrong.append("the page has no policy")
            wrong += [f"HTML holds {name[:40]!r}" for name in (NAMES["html"], NAMES["html attribute"]) if name in page]
            book = openpyxl.load_workbook(next((home / "reports").rglob("monitor.xlsx")))
            cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
            acting = [c for c in cells if c.data_type == "f" and any(n[:12] in c.value for n in names)]
            wrong += [f"{c.coordinate} runs {c.value[:40]!r}" for c in acting]
            assert pypdf.PdfReader(next((home / "reports").rglob("monitor.pdf"))).pages
            answer = parkledger(home, "sql", "--format", "csv", "SELECT tenant_name FROM core.dim_tenant").stdout
            acts = [line for line in answer.splitlines() if re.match(r'^"?[=+@\t-]', line)]
            wrong += [f"CSV runs {line[:40]!r}" for line in acts]
            log = (home / ".parkledger" / "run.log").read_text()
            wrong += (
                ["a log line was forged"]
                if re.search(r"^\[ERROR\] forged", log + done.stderr + done.stdout, re.MULTILINE)
                else []
            )
        tally.survived = 0 if wrong else len(names)
        for one in wrong[:5]:
            tally.note(one)
        shutil.rmtree(home.parent)
    return tally


def _unharmed(home: Path, names: list[str]) -> list[str]:
    """Names that arrived are as they were sent; those that did not stand in quarantine, with their reason."""
    with duckdb.connect(str(home / "published" / "parkledger.duckdb"), read_only=True) as con:
        there = {row[0] for row in con.execute("SELECT tenant_name FROM core.dim_tenant").fetchall()}
        [(refused,)] = con.execute("SELECT count(*) FROM quality.fct_quarantined_row WHERE feed = 'leases'").fetchall()
    arrived = [name for name in names if name in there or name.strip() in there]
    return (
        []
        if len(arrived) + refused >= len(names)
        else [f"{len(names)} names, {len(arrived)} arrived and {refused} were refused"]
    )
