"""What a case is, and how one side of it is timed in a process of its own."""

from __future__ import annotations

import cProfile
import io
import pstats
import re
import resource
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Size = Literal["small", "seed"]
Side = Literal["project", "baseline"]


@dataclass(frozen=True)
class Measured:
    """What a run gives that knows better than the clock around it what it took: the figure and the seconds."""

    figure: float
    seconds: float


# A side repeats no more once it has worked so long: the slow peers of a large case would take an hour.
MOST_SECONDS_A_SIDE = 30.0
# A call of the thing measured; gives a figure that both sides must agree on.
Run = Callable[[], "float | Measured"]


@dataclass(frozen=True)
class Case:
    """One comparison: the project's way and a named baseline on the same input.

    Attributes:
        name: what is measured.
        baseline_name: what it is compared with, and what that leaves out.
        unit: what is counted.
        count: how much of it at each size at which it is measured.
        prepare: writes the input into a folder, once.
        project, baseline: set up one side and give the call to be timed.
        tolerance: relative difference allowed between the two figures.
        fresh: puts the folder back before every run, outside the time.
        peer: module that is the baseline, run by the peers' own environment instead of `baseline`, once a round.
        once: one run a round and no warm-up, for what takes minutes.
        single_at_seed: at the larger size a single run of each side, for what takes many minutes.
        inputs: cases that follow each other under one name share a folder, and with it what `prepare` has written there.
        rounds: rounds at the smaller size, where not the bench's own number.
        at_most: what the ratio of times must not exceed.
        seconds_at_most, peak_mib_at_most: the same of the project's own time and memory, at the larger size where that differs.
        profile: lines that show where the project's time goes, where a profile of this process would not.
        facts: figures beside time and memory, from the folder, once.
    """

    name: str
    baseline_name: str
    unit: str
    count: dict[Size, int]
    prepare: Callable[[Path, Size], None]
    project: Callable[[Path, Size], Run]
    baseline: Callable[[Path, Size], Run]
    tolerance: float = 1e-9
    fresh: Callable[[Path, Side], None] | None = None
    peer: str | None = None
    once: bool = False
    single_at_seed: bool = False
    inputs: str = ""
    at_most: float | None = None
    seconds_at_most: float | None = None
    peak_mib_at_most: float | None = None
    rounds: int | None = None
    profile: Callable[[Path, Size], list[str]] | None = None
    facts: Callable[[Path, Size], dict[str, float]] | None = None

    def is_single(self, size: Size) -> bool:
        """Whether each side runs but once."""
        return self.single_at_seed and size == "seed"


@dataclass(frozen=True)
class Timing:
    """Seconds of each timed run, the figure it gave, and the peak memory of the process in bytes."""

    seconds: list[float]
    figure: float
    peak_bytes: int


def time_side(case: Case, side: Side, size: Size, folder: Path, repeats: int) -> Timing:
    """One warm-up, then `repeats` timed runs. Imports and set-up are not timed, but their memory counts on both sides."""
    run = (case.project if side == "project" else case.baseline)(folder, size)
    fresh = case.fresh or (lambda _folder, _side: None)
    is_once = case.once or case.is_single(size)
    return time_run(run, 1 if is_once else repeats, warm_up=not is_once, before=lambda: fresh(folder, side))


def time_run(run: Run, repeats: int, *, warm_up: bool, before: Callable[[], None] = lambda: None) -> Timing:
    """Time `repeats` runs, or as many as MOST_SECONDS_A_SIDE allow, `before` each of them outside the time."""
    seconds, figure = [], 0.0
    for number in range(repeats + warm_up):
        before()
        started = time.perf_counter()
        found = run()
        taken = time.perf_counter() - started
        figure, taken = (found.figure, found.seconds) if isinstance(found, Measured) else (found, taken)
        if number >= warm_up:
            seconds.append(taken)
        if sum(seconds) > MOST_SECONDS_A_SIDE:
            break
    return Timing(seconds, figure, peak_bytes())


def profile(case: Case, size: Size, folder: Path) -> list[str]:
    """Where the project's time goes: the functions that a run spends most of its own time in."""
    if case.profile is not None:
        return case.profile(folder, size)
    run = case.project(folder, size)
    if case.fresh is not None:
        case.fresh(folder, "project")
    profiler = cProfile.Profile()
    profiler.runcall(run)
    told = io.StringIO()
    pstats.Stats(profiler, stream=told).sort_stats("tottime").print_stats(15)
    rows = told.getvalue().splitlines()
    first = next(number for number, row in enumerate(rows) if "tottime" in row)
    folders = f"{Path.cwd()}/", f"{sysconfig.get_path('stdlib')}/"
    return [row.replace(folders[0], "").replace(folders[1], "").strip() for row in rows[first:] if row.strip()]


def peak_bytes() -> int:
    """The high-water mark of this process's memory, or of the largest process that it started, if that is higher.

    Not ru_maxrss of this process itself: that one outlives exec and would show the parent's.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    if found is None:
        raise OSError("/proc/self/status holds no VmHWM")
    return max(int(found[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024
