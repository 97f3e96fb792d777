"""SIGKILL in the middle of landing, dbt, credit, publishing, close and whole runs; then a rerun, and a comparison to the last row."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import duckdb
import inbox
import polars as pl
from homes import MONTH, NORTH, Bench, copy_of, environment, parkledger, published_tables, tables_of
from killing import Killer, end_group
from tally import Rows, Tally, case

from ingest import audit_log
from orchestration.settings import Settings

LANDING = "land_home.py"
# Two kills before a rerun are no easier than one.
KILLS_A_HOME = 2


def is_of_one_run(home: Path) -> bool:
    """Whether the snapshot can be opened, and its database, manifest and Parquet are of one run."""
    published = home / "published"
    manifest = json.loads((published / "manifest.json").read_text())
    with duckdb.connect(str(published / "parkledger.duckdb"), read_only=True) as con:
        runs = {row[0] for row in con.execute("SELECT run_id FROM quality.fct_run").fetchall()}
        names = {f"{s}.{t}" for s, t in con.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()}
    digests = {
        name: hashlib.sha256((published / "parquet" / f"{name.replace('.', '/')}.parquet").read_bytes()).hexdigest()
        for name in manifest["tables"]
    }
    return (
        runs == {manifest["run_id"]}
        and names == set(manifest["tables"])
        and digests == {name: entry["sha256"] for name, entry in manifest["tables"].items()}
    )


def disturb(
    tally: Tally,
    bench: Bench,
    killer: Killer,
    fresh: Callable[[], Path],
    contents: Callable[[Path], Rows],
    *,
    kills: int,
    seed: int,
    sound: Callable[[Path], bool] = lambda _: True,
    acts: int = 0,
    kills_a_home: int = KILLS_A_HOME,
) -> Tally:
    """Kill, look whether what stands is sound, rerun, and compare with what an undisturbed run leaves.

    Args:
        tally: where to count.
        bench: where to work.
        killer: what is killed.
        fresh: gives a home on which it is still to be done.
        contents: what it leaves there.
        kills: how many at random instants.
        seed: of the instants.
        sound: whether what stands after a kill is whole.
        acts: how many at acts upon the disk, evenly spread.
        kills_a_home: how many kills before the rerun.
    """
    draw = random.Random(seed)
    with tally.timed():
        undisturbed = fresh()
        killer.whole(undisturbed)
        expected = contents(undisturbed)
        at: list[int] = []
        if acts:
            last = killer.count_acts(fresh())
            at = sorted({1 + round(n * (last - 1) / max(1, acts - 1)) for n in range(acts)})
            tally.note(f"{len(at)} of {last} fault points, the others at random instants of {killer.seconds:.1f} s")
        # Most of the writing is done early; a slow machine takes longer than the first run did.
        instants = [killer.seconds * draw.uniform(0, 0.95) for _ in range(kills)]
        moments: list[Callable[[Path], bool]] = [
            *(lambda home, n=n: killer.kill_at(home, n) for n in at),  # type: ignore[misc]
            *(lambda home, s=s: killer.kill_after(home, s) for s in instants),  # type: ignore[misc]
        ]
        for first in range(0, len(moments), kills_a_home):
            home = fresh()
            hit = whole = 0
            for moment in moments[first : first + kills_a_home]:
                hit += moment(home)
                whole += sound(home)
            killer.whole(home)
            same = tally.compare(expected, contents(home)) and sound(home)
            tally.injected += hit
            tally.survived += hit if same and whole == len(moments[first : first + kills_a_home]) else 0
            shutil.rmtree(home.parent)
    return tally


@case("crashes")
def killed_while_landing(bench: Bench) -> Tally:
    tally = Tally("SIGKILL while landing")
    template = inbox.write_home(bench.empty() / "home")

    def contents(home: Path) -> Rows:
        on_disk = [(path.relative_to(home).as_posix(),) for path in sorted((home / "lake").rglob("*.parquet"))]
        return {**inbox.contents(home), "lake on disk": on_disk}

    def sound(home: Path) -> bool:
        inbox.is_sound(home)
        return True

    return disturb(
        tally,
        bench,
        Killer(LANDING),
        lambda: copy_of(template, bench.empty() / "home"),
        contents,
        kills=bench.times(120),
        acts=bench.times(50),
        seed=1,
        sound=sound,
    )


def _renamed(home: Path) -> Path:
    """The home with another title: the next publishing is another run."""
    text = (home / "home.yaml").read_text()
    (home / "home.yaml").write_text(text.replace("title: Test", "title: Tested again"))
    return home


@case("crashes")
def killed_while_publishing(bench: Bench) -> Tally:
    """Its kills are no rarer where files are swapped: of the fault points each is as likely as the next."""
    tally = Tally("SIGKILL while publishing")

    def contents(home: Path) -> Rows:
        journal = [(f.name, f.read_bytes()) for f in sorted((home / "lake" / "journal").rglob("*")) if f.is_file()]
        return {**published_tables(home), "lake/journal": journal}

    return disturb(
        tally,
        bench,
        Killer("stage.py", before=("publish",)),
        lambda: _renamed(bench.home()),
        contents,
        kills=bench.times(40),
        acts=bench.times(60),
        seed=2,
        sound=is_of_one_run,
    )


@case("crashes")
def killed_while_closing(bench: Bench) -> Tally:
    tally = Tally("SIGKILL while closing a month")

    def fresh() -> Path:
        home = bench.home()
        shutil.rmtree(home / "closes", ignore_errors=True)
        return home

    def contents(home: Path) -> Rows:
        folders = ("closes", "lake/journal")
        found: dict[str, list[tuple[object, ...]]] = {
            folder: [
                (f.name, f.read_bytes())
                for f in sorted((home / folder).rglob("*"))
                if f.is_file() and f.name != "audit.jsonl"
            ]
            for folder in folders
        }
        # When and by whom follows from the clock on the wall.
        return {**found, "audit log": [(act.act_no, act.act, act.subject) for act in audit_log.read(home)]}

    return disturb(
        tally,
        bench,
        Killer("stage.py", before=("close",), after=(MONTH,)),
        fresh,
        contents,
        kills=bench.times(30),
        acts=bench.times(30),
        seed=3,
        sound=is_of_one_run,
    )


def _working(*schemas: str) -> Callable[[Path], Rows]:
    return lambda home: tables_of(home / "warehouse.duckdb", schemas=schemas)


def deliver_late(home: Path) -> None:
    """Samples of nine days once more, with other figures, as operators send them late: the next run has work to do."""
    [first, *_] = sorted((home / "landing" / NORTH / "gpu_telemetry").glob("simulated-*"))
    samples = pl.concat(
        [pl.read_parquet(path) for path in first.parent.glob("simulated-*.parquet")], how="diagonal_relaxed"
    )
    late = pl.col("sampled_at").is_between(
        pl.datetime(2027, 1, 28, time_zone="UTC"), pl.datetime(2027, 2, 5, time_zone="UTC")
    )
    samples.filter(late).with_columns(
        utilization_pct=pl.lit(0.0), recorded_at=pl.datetime(2027, 2, 10, time_zone="UTC")
    ).write_parquet(first.with_name("late.parquet"))


def _landed_late(bench: Bench, *stages: str) -> Path:
    """A finished home in which late rows have landed and the stages that come before the one to be killed are done."""
    home = bench.home()
    deliver_late(home)
    for stage in ("land", *stages):
        Killer("stage.py", before=(stage,)).whole(home)
    return home


@case("crashes")
def killed_while_deriving_credit(bench: Bench) -> Tally:
    template = _landed_late(bench, "dbt")
    return disturb(
        Tally("SIGKILL while deriving credit loss"),
        bench,
        Killer("stage.py", before=("credit",)),
        lambda: copy_of(template, bench.empty() / "home"),
        _working("credit", "issuer", "monitor", "ledger"),
        kills=bench.times(16),
        acts=bench.times(8),
        seed=4,
        sound=is_of_one_run,
        kills_a_home=4,
    )


@case("crashes")
def killed_while_dbt_builds(bench: Bench) -> Tally:
    """The metering of the days that late rows concern is under way at some of the instants, all other models at the others."""
    template = _landed_late(bench)
    parsed = _landed_late(bench, "dbt")
    shutil.copytree(
        Settings(home=parsed).dbt_target_folder, Settings(home=template).dbt_target_folder, dirs_exist_ok=True
    )
    return disturb(
        Tally("SIGKILL while dbt builds"),
        bench,
        Killer("stage.py", before=("dbt",)),
        lambda: copy_of(template, bench.empty() / "home"),
        _working("staging", "intermediate", "core", "metering", "revenue_share", "backstop", "ledger"),
        kills=bench.times(20),
        seed=5,
        sound=is_of_one_run,
        kills_a_home=4,
    )


@case("crashes")
def killed_whole_runs(bench: Bench) -> Tally:
    """`parkledger run` by the command line: the process alone, which leaves its dbt behind, or all that it has started.

    Killed in the middle of a step, whichever takes long the more often: that is hit on a machine that others slow down, too.
    """
    tally = Tally("SIGKILL of `parkledger run`")
    draw = random.Random(6)
    with tally.timed():
        undisturbed = _renamed(bench.home())
        whole = parkledger(undisturbed, "run")
        assert whole.returncode == 0, whole.stderr
        steps = [float(seconds) for seconds in re.findall(r": ([\d.]+) s$", whole.stderr, re.MULTILINE)]
        expected = published_tables(undisturbed)
        for number in range(bench.times(8)):
            home = _renamed(bench.home())
            said = home.parent / "said"
            with said.open("wb") as stream:
                process = subprocess.Popen(
                    [sys.executable, "-m", "orchestration.cli", "--home", str(home), "run"],
                    env=environment(),
                    stdout=subprocess.DEVNULL,
                    stderr=stream,
                    start_new_session=True,
                )
            [step] = draw.choices(range(len(steps)), weights=steps)
            while process.poll() is None and said.read_bytes().count(b"\n") < step:
                time.sleep(0.02)
            time.sleep(steps[step] * draw.uniform(0, 0.5))
            hit = process.poll() is None
            if number % 2:
                process.send_signal(signal.SIGKILL)
                process.wait(timeout=60)
            elif hit:
                end_group(process)
            sound = is_of_one_run(home)
            done = parkledger(home, "run")
            same = done.returncode == 0 and tally.compare(expected, published_tables(home))
            if done.returncode != 0:
                tally.note(f"the rerun ended with {done.returncode}: {done.stderr[-300:]}")
            tally.injected += hit
            tally.survived += bool(hit and sound and same)
            with suppress(ProcessLookupError):
                end_group(process)  # a dbt that was left behind writes what it has parsed for a while yet
            shutil.rmtree(home.parent)
    return tally
