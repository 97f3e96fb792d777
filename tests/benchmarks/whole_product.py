"""The product as its users meet it: the demo home's first run, a question to the published file, the command line's help."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb

from tests.benchmarks.measuring import Case, Measured, Run, Size

ROOT = Path(__file__).parents[2]
# What of the demo home a user or an operator has written; runs make the rest.
WRITTEN = ("contracts", "deals", "landing", "parks", "policies", "reference", "scenarios", "vendors")
ROUNDS_OF_QUESTIONS = 5


def _parkledger(home: Path, *arguments: str) -> str:
    """What a command told while it worked."""
    command = [sys.executable, "-m", "orchestration.cli", "--home", str(home), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"parkledger {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stderr


def _new_home(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    shutil.copyfile(ROOT / "data" / "home.yaml", home / "home.yaml")
    for name in WRITTEN:
        ours = shutil.ignore_patterns("simulated-*")
        shutil.copytree(ROOT / "data" / name, home / name, ignore=ours if name == "landing" else None)


def prepare(folder: Path, _size: Size) -> None:
    """Nothing: the first run is what is measured."""
    folder.mkdir(exist_ok=True)


def first_run(folder: Path, _size: Size) -> Run:
    """Simulate, land, build, derive, check and publish, in a process of its own. The home stays for the next cases."""

    def run() -> float:
        _new_home(folder / "home")
        started = time.perf_counter()
        _parkledger(folder / "home", "run")
        return Measured(1.0, time.perf_counter() - started)

    return run


def first_run_profile(folder: Path, _size: Size) -> list[str]:
    """The steps of a first run, the longest first, and the longest of dbt's models and tests."""
    _new_home(folder / "home")
    told = _parkledger(folder / "home", "run")
    steps = {step[1]: float(step[2]) for step in re.finditer(r"^(.+): ([0-9.]+) s$", told, re.MULTILINE)}
    results = json.loads((folder / "home" / ".parkledger" / "dbt" / "run_results.json").read_text(encoding="utf-8"))
    nodes = {f"dbt: {node['unique_id']}": float(node["execution_time"]) for node in results["results"]}
    return [*_longest(steps), *_longest(nodes)]


def _longest(seconds: dict[str, float]) -> list[str]:
    return [f"{seconds[name]:8.1f} s  {name}" for name in sorted(seconds, key=seconds.__getitem__, reverse=True)[:15]]


def rerun(folder: Path, _size: Size) -> Run:
    """The same command on the same home, once more."""
    if not (folder / "home" / "published").exists():
        _new_home(folder / "home")
        _parkledger(folder / "home", "run")

    def run() -> float:
        _parkledger(folder / "home", "run")
        return 1.0

    return run


def _slow_answer(path: Path, queries: list[str]) -> Measured:
    """The 95th percentile of the time to an answer, over several rounds of the questions on one connection."""
    times = []
    with duckdb.connect(str(path), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'; SET threads = 2")
        for query in queries * ROUNDS_OF_QUESTIONS:
            started = time.perf_counter()
            con.execute(query).fetchall()
            times.append(time.perf_counter() - started)
    return Measured(float(len(queries)), sorted(times)[int(len(times) * 0.95)])


def questions(folder: Path, size: Size) -> Run:
    """The questions that are shipped."""
    from orchestration.shell import examples

    rerun(folder, size)
    queries = [example.sql for example in examples()]
    return lambda: _slow_answer(folder / "home" / "published" / "parkledger.duckdb", queries)


def one_row(folder: Path, size: Size) -> Run:
    """As many questions that read one number each."""
    from orchestration.shell import examples

    rerun(folder, size)
    queries = ["SELECT count(*) FROM core.dim_park"] * len(examples())
    return lambda: _slow_answer(folder / "home" / "published" / "parkledger.duckdb", queries)


def _start(*command: str) -> Run:
    def run() -> float:
        subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, check=True)
        return 1.0

    return run


def help_profile(_folder: Path, _size: Size) -> list[str]:
    """The longest imports of the command line, cumulated, in microseconds."""
    command = [sys.executable, "-X", "importtime", "-m", "orchestration.cli", "--help"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    rows = [line.removeprefix("import time:").split("|") for line in told.splitlines() if line.count("|") == 2]
    longest = sorted((row for row in rows if row[1].strip().isdigit()), key=lambda row: -int(row[1]))[:15]
    return [f"{int(row[1]) / 1000:8.1f} ms  {row[2].strip()}" for row in longest]


CASES = (
    Case(
        name="the demo home's first run",
        baseline_name="a rerun with nothing new",
        unit="runs",
        count={"small": 1, "seed": 1},
        prepare=prepare,
        project=first_run,
        baseline=rerun,
        once=True,
        rounds=1,
        inputs="demo",
        profile=first_run_profile,
        seconds_at_most=90,
    ),
    Case(
        name="analysts' questions, 95th percentile",
        baseline_name="as many counts of a small table",
        unit="questions",
        count={"small": 20, "seed": 20},
        prepare=prepare,
        project=questions,
        baseline=one_row,
        inputs="demo",
        seconds_at_most=0.1,
    ),
    Case(
        name="parkledger --help",
        baseline_name="an interpreter that does nothing",
        unit="starts",
        count={"small": 1, "seed": 1},
        prepare=prepare,
        project=lambda _folder, _size: _start("-m", "orchestration.cli", "--help"),
        baseline=lambda _folder, _size: _start("-c", "pass"),
        profile=help_profile,
        seconds_at_most=0.3,
    ),
)
