"""``make bench``: speed and memory of the project as ratios to a named baseline of the same run.

SIZE=small (default, some minutes) or SIZE=seed (the demo home's order of size). Each side runs in a process of
its own, both sides in turn, so that a busy machine slows both. Ratios are of medians; the spread is the middle half of
all runs. The result is printed and saved under .bench/; a goal that is missed shows where the time goes and ends the
bench with an error. CASE='help|growth' runs only the cases whose name, or baseline's, matches the pattern. What is
measured is noted case by case: RESUME=yes goes on with the bench of this size that was cut short.
`make docs` renders dbt_project/docs/bench.json: KEEP=yes puts the result there.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks import growth
from tests.benchmarks.cases import CASES
from tests.benchmarks.measuring import Case, Side, Size, Timing

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "dbt_project" / "docs" / "bench.json"
# ROUNDS=1 gives a first look; the table says how many runs a figure rests on.
ROUNDS, REPEATS = int(os.environ.get("ROUNDS", "3")), 3
# No further round of a case begins after so long.
MOST_SECONDS_A_CASE = 150.0
# An environment of the peers' own, made by `make bench`: they need another pandas than we do.
PEERS = ROOT / ".bench" / "venv" / "bin" / "python"
PACKAGES = ("parkledger", "duckdb", "polars", "numpy", "scipy", "pyarrow", "dbt-core", "dagster", "pyspark")


@dataclass(frozen=True)
class Result:
    """One case, both sides: seconds (median, lower and upper quartile) and peak bytes; when, and the load of the machine."""

    case: str
    baseline: str
    unit: str
    count: int
    project_seconds: tuple[float, float, float]
    baseline_seconds: tuple[float, float, float]
    time_ratio: float
    project_peak_bytes: int
    baseline_peak_bytes: int
    memory_ratio: float
    runs: int
    goals: list[str]
    missed: list[str]
    facts: dict[str, float]
    profile: list[str]
    measured_at: str
    load_average: float


def _in_process(number: int, side: str, size: Size, folder: Path) -> str:
    case = CASES[number]
    peer = case.peer if side == "baseline" else None
    repeats = str(min(REPEATS, ROUNDS))
    command = [sys.executable, "-m", "tests.benchmarks.one_side", str(number), side, size, str(folder), repeats]
    if peer is not None:
        command = [str(PEERS), "-m", peer, str(case.count[size]), "1"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "POLARS_MAX_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{case.name}, {side}:\n{done.stderr}")
    return done.stdout


def _timing(text: str) -> Timing:
    return Timing(**json.loads(text.splitlines()[-1]))


def _quartiles(seconds: list[float]) -> tuple[float, float, float]:
    if len(seconds) == 1:
        return seconds[0], seconds[0], seconds[0]
    lower, median, upper = statistics.quantiles(seconds, n=4, method="inclusive")
    return median, lower, upper


def measure(number: int, size: Size, folder: Path) -> Result:
    """Run one case on the inputs that its `prepare` writes into a folder, where an earlier case has not.

    Raises:
        RuntimeError: the two sides do not give the same figure.
    """
    case = CASES[number]
    sides: dict[Side, list[Timing]] = {"baseline": [], "project": []}
    if not folder.exists():
        folder.mkdir()
        _in_process(number, "prepare", size, folder)
    started = time.monotonic()
    for number_of_round in range(1 if case.is_single(size) else min(case.rounds or ROUNDS, ROUNDS)):
        if number_of_round and time.monotonic() - started > MOST_SECONDS_A_CASE:
            break
        for side, timings in sides.items():
            timings.append(_timing(_in_process(number, side, size, folder)))
    _check_figures(case, sides["project"][0].figure, sides["baseline"][0].figure)
    project_seconds, baseline_seconds = (
        [s for timing in sides[side] for s in timing.seconds] for side in ("project", "baseline")
    )
    project, baseline = _quartiles(project_seconds), _quartiles(baseline_seconds)
    peak = {side: max(timing.peak_bytes for timing in timings) for side, timings in sides.items()}
    load_average = os.getloadavg()[0]
    best_ratio = min(project_seconds) / min(baseline_seconds)
    goals, missed = _held_to(case, size, project, best_ratio, peak["project"] / 2**20)
    return Result(
        case=case.name,
        baseline=case.baseline_name,
        unit=case.unit,
        count=case.count[size],
        project_seconds=project,
        baseline_seconds=baseline,
        time_ratio=project[0] / baseline[0],
        project_peak_bytes=peak["project"],
        baseline_peak_bytes=peak["baseline"],
        memory_ratio=peak["project"] / peak["baseline"],
        runs=min(sum(len(timing.seconds) for timing in timings) for timings in sides.values()),
        goals=goals,
        missed=missed,
        facts=json.loads(_in_process(number, "facts", size, folder)) if case.facts else {},
        profile=json.loads(_in_process(number, "profile", size, folder).splitlines()[-1]) if missed else [],
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        load_average=load_average,
    )


def _held_to(
    case: Case, size: Size, project: tuple[float, float, float], best_ratio: float, peak_mib: float
) -> tuple[list[str], list[str]]:
    """The goals of a case at this size, and those that it misses. Ratios are those of the fastest runs: noise only adds time."""
    found = []
    if case.at_most is not None:
        found.append((best_ratio, case.at_most, "× the time"))
    is_full = size == "seed" or case.count.get("small") == case.count.get("seed")
    if is_full and case.seconds_at_most is not None:
        found.append((project[1], case.seconds_at_most, "s"))
    if is_full and case.peak_mib_at_most is not None:
        found.append((peak_mib, case.peak_mib_at_most, "MiB"))
    return (
        [f"≤ {limit:.3g} {unit}" for _, limit, unit in found],
        [f"{value:.3g} {unit}, not {limit:.3g}" for value, limit, unit in found if value > limit],
    )


def _check_figures(case: Case, project: float, baseline: float) -> None:
    if abs(project - baseline) > case.tolerance * abs(baseline):
        raise RuntimeError(f"{case.name}: the project gives {project!r}, the baseline {baseline!r}")


def _milliseconds(seconds: tuple[float, float, float]) -> str:
    median, lower, upper = (value * 1000 for value in seconds)
    return f"{median:,.1f} ({lower:,.1f} to {upper:,.1f})"


def show(results: list[Result], size: Size, machine: dict[str, str | int | None]) -> None:
    versions = ", ".join(f"{name} {machine[name]}" for name in PACKAGES)
    table = Table(
        title=f"parkledger bench, SIZE={size}",
        caption=f"{max(row.runs for row in results)} runs a side or fewer; median (middle half). "
        f"Python {machine['python']}, {versions}; {machine['cpus']} CPUs.",
        expand=True,
    )
    for heading in ("what", "against"):
        table.add_column(heading, ratio=2)
    for heading in ("size", "ms", "baseline ms", "time", "per second", "peak MiB", "memory", "goal", "result"):
        table.add_column(heading, justify="right", ratio=1)
    for row in results:
        table.add_row(
            row.case,
            row.baseline,
            f"{row.count:,} {row.unit}",
            _milliseconds(row.project_seconds),
            _milliseconds(row.baseline_seconds),
            f"{row.time_ratio:.2g} ×" if row.time_ratio < 0.1 else f"{row.time_ratio:.2f} ×",
            f"{row.count / row.project_seconds[0]:,.0f}",
            f"{row.project_peak_bytes / 2**20:,.0f} / {row.baseline_peak_bytes / 2**20:,.0f}",
            f"{row.memory_ratio:.2f} ×",
            ", ".join(row.goals) or "as it is",
            "missed" if row.missed else "met" if row.goals else "",
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _processor() -> str | None:
    """The processor's name as Linux tells it; None elsewhere."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _measured_before(unfinished: Path) -> dict[tuple[str, str], Result]:
    """The results of a bench that was cut short, by case and baseline."""
    rows = json.loads(unfinished.read_text(encoding="utf-8")) if unfinished.exists() else []
    return {(row["case"], row["baseline"]): Result(**row) for row in rows}


def main() -> None:
    chosen = os.environ.get("SIZE", "small")
    if chosen not in {"small", "seed"}:
        raise SystemExit("SIZE is small or seed")
    size: Size = "seed" if chosen == "seed" else "small"
    machine: dict[str, str | int | None] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        **{name: version(name) for name in PACKAGES},
    }
    wanted = os.environ.get("CASE", "")
    (ROOT / ".bench").mkdir(exist_ok=True)
    unfinished = ROOT / ".bench" / f"unfinished-{size}.json"
    done = _measured_before(unfinished) if os.environ.get("RESUME") else {}
    results: list[Result] = []
    before = None
    with tempfile.TemporaryDirectory() as scratch:
        for number, case in enumerate(CASES):
            if not re.search(wanted, f"{case.name}, {case.baseline_name}") or size not in case.count:
                continue
            if (case.name, case.baseline_name) in done:
                results.append(done[case.name, case.baseline_name])
                continue
            Console(stderr=True).print(f"{number + 1}/{len(CASES)} {case.name}")
            folder = Path(scratch) / (case.inputs or str(number))
            if before is not None and before != folder:
                shutil.rmtree(before)
            results.append(measure(number, size, folder))
            unfinished.write_text(json.dumps([asdict(row) for row in results]), encoding="utf-8")
            before = folder
        grown = growth.measure(size, Path(scratch)) if re.search(wanted, "growth") else []
    if not results and not grown:
        raise SystemExit(f"no case is named {wanted}")
    if results:
        show(results, size, machine)
    if grown:
        Console(width=None if sys.stdout.isatty() else 200).print(growth.table(grown))
    measured_at = datetime.now(UTC)
    target = ROOT / ".bench" / f"{measured_at:%Y%m%dT%H%M%SZ}-{size}.json"
    content = {
        "measured_at": measured_at.isoformat(),
        "size": size,
        "machine": machine,
        "results": [asdict(row) for row in results],
        "growth": [asdict(row) for row in grown],
    }
    target.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    Console().print(f"saved {target.relative_to(ROOT)}")
    unfinished.unlink(missing_ok=True)
    if os.environ.get("KEEP"):
        shutil.copyfile(target, KEPT)
    for row in results:
        if row.missed:
            Console().print(
                f"{row.case}: where the time goes\n  " + "\n  ".join(row.profile), markup=False, highlight=False
            )
    missed = [f"{row.case} against {row.baseline}: {'; '.join(row.missed)}" for row in results if row.missed]
    missed += [f"growth in {row.of}: {reason}" for row in grown for reason in row.missed]
    if missed:
        raise SystemExit("above its limit:\n" + "\n".join(missed))


if __name__ == "__main__":
    main()
