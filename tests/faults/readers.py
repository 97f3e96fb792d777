"""Analysts who query while the snapshot is replaced under them, and what they may not do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
from homes import Bench, environment
from tally import Tally, case

PUBLISHES, READERS = 50, 32


def _publish(published: Path, run: str) -> None:
    """What is published once more, as another run, which every park's name says."""
    from orchestration.publishing import snapshot

    candidate = snapshot.candidate_folder(published)
    candidate.mkdir()
    shutil.copyfile(published / snapshot.DATABASE, candidate / snapshot.DATABASE)
    with duckdb.connect(str(candidate / snapshot.DATABASE)) as con:
        con.execute("UPDATE quality.fct_run SET run_id = ?", [run])
        con.execute("UPDATE core.dim_park SET park_name = ?", [run])
    about = json.loads((published / snapshot.MANIFEST).read_text())
    about.pop("tables")
    snapshot.publish_candidate(published, {**about, "run_id": run}, snapshot.Kept(snapshots=3, month_ends=1))


@case("readers")
def readers_during_publishes(bench: Bench) -> Tally:
    publishes, readers = bench.times(PUBLISHES), max(2, bench.times(READERS))
    tally = Tally(f"{publishes} publishes under {readers} reading processes")
    with tally.timed():
        published = bench.empty() / "published"
        shutil.copytree(bench.finished / "published", published, symlinks=True)
        _publish(published, "r0")
        stop = published.parent / "stop"
        processes = [
            subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("reader.py")), str(published), str(stop)],
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(readers)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for number in range(1, publishes + 1):
            _publish(published, f"r{number}")
            tally.injected += 1
        stop.touch()
        ended = [process.communicate(timeout=300) for process in processes]
        queries = sum(int(said.split()[1]) for said, _ in ended if said.startswith("queries"))
        wrong = [errors[-300:] for said, errors in ended if not said.startswith("queries")]
        kept = sorted(f.name for f in (published / "earlier").iterdir())
        left = sorted(f.name for f in published.iterdir())
        policy = len(kept) <= 4 and left == [
            ".current",
            ".runs",
            "earlier",
            "manifest.json",
            "parkledger.duckdb",
            "parquet",
        ]
        tally.survived = (
            tally.injected if not wrong and policy and len(list((published / ".runs").iterdir())) == 2 else 0
        )
        tally.note(
            f"{queries:,} rounds of queries; {len(kept)} earlier snapshots stay, by a policy of 3 and one month's end"
        )
        for said in wrong[:2]:
            tally.note(said)
        shutil.rmtree(published.parent)
    return tally


FORBIDDEN = (
    "CREATE TABLE core.mine (a INTEGER)",
    "CREATE SCHEMA mine",
    "INSERT INTO core.dim_park SELECT * FROM core.dim_park",
    "UPDATE ledger.fct_journal_lines SET amount = 0",
    "DELETE FROM ledger.fct_journal_lines",
    "DROP TABLE ledger.fct_journal_lines",
    "ALTER TABLE core.dim_park ADD COLUMN a INTEGER",
    "ATTACH '{folder}/other.duckdb' AS other",
    "ATTACH ':memory:' AS other; CREATE TABLE other.main.t AS SELECT 1; COPY other.main.t TO '{folder}/t.csv'",
    "COPY (SELECT 1) TO '{folder}/out.csv'",
    "COPY core.dim_park TO '{folder}/out.parquet' (FORMAT parquet)",
    "EXPORT DATABASE '{folder}/all'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('{folder}/secret.txt')",
    "SELECT * FROM read_parquet('{folder}/secret.txt')",
    "SELECT * FROM '{folder}/secret.csv'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "IMPORT DATABASE '{folder}/all'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/evil.duckdb_extension'",
    "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET memory_limit = '100GB'",
    "SET threads = 64",
    "SET temp_directory = '{folder}'",
    "SET allow_unsigned_extensions = true",
    "RESET lock_configuration",
    "PRAGMA enable_profiling = 'json'",
    "SET home_directory = '{folder}'",
    "CREATE SECRET mine (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "CREATE PERSISTENT SECRET mine (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "SELECT getenv('HOME')",
)


@case("readers")
def what_a_reader_may_not_do(bench: Bench) -> Tally:
    """Each in a session of its own, as `parkledger sql` opens it: refused, nothing written, nothing of the machine read."""
    from orchestration.shell import open_snapshot

    tally = Tally("writes, other files, extensions, settings from an analyst's session")
    with tally.timed():
        folder = bench.empty()
        (folder / "secret.txt").write_text("secret")
        (folder / "secret.csv").write_text("a\nsecret\n")
        snapshot = bench.finished / "published" / "parkledger.duckdb"
        before = snapshot.read_bytes()
        for statement in FORBIDDEN:
            tally.injected += 1
            with open_snapshot(snapshot) as con:
                try:
                    answer = con.execute(statement.format(folder=folder)).fetchall()
                except duckdb.Error:
                    tally.survived += 1
                else:
                    tally.note(f"not refused: {statement} gave {answer[:1]}")
        left = sorted(f.name for f in folder.iterdir())
        if left != ["secret.csv", "secret.txt"] or snapshot.read_bytes() != before:
            tally.survived = 0
            tally.note(f"something was written: {left}")
    return tally
