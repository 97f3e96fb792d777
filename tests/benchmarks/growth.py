"""How time and memory grow with GPUs, with days landed and with contracts: sizes 1, 4, 16 and 64, and what fits into a memory.

Each size runs in a process of its own. The exponent is the slope of a line through the logarithms of the upper three sizes,
since a start that is always the same flattens the lowest. What a memory carries follows from a line through the peaks of
the upper two sizes; where the peak does not grow, DuckDB's own limit holds it and the disk is what ends.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from tests.benchmarks.measuring import Size, peak_bytes

ROOT = Path(__file__).parents[2]
STEPS = (1, 4, 16, 64)
# What one step is: GPUs sampled each minute of a day; days of as many GPUs; contracts over twelve months.
UNIT: dict[Size, dict[str, int]] = {
    "small": {"GPUs": 100, "days": 1, "contracts": 1},
    "seed": {"GPUs": 3_000, "days": 1, "contracts": 4},
}
GPUS_A_DAY: dict[Size, int] = {"small": 100, "seed": 1_000}
CONTRACT_MONTHS = 12
MEMORIES_MIB = (4 * 1024, 24 * 1024)
# Linear, and what a measurement may be off.
EXPONENT_AT_MOST = 1.1


@dataclass(frozen=True)
class Growth:
    """One quantity: its sizes, the seconds and peak bytes of each, the exponents, and the largest size by MiB of memory."""

    of: str
    sizes: list[int]
    seconds: list[float]
    peak_bytes: list[int]
    time_exponent: float
    memory_exponent: float
    carried: dict[str, int | None]
    missed: list[str]


def _slope(sizes: list[int], values: list[float]) -> float:
    """Slope of the line of least squares through the logarithms."""
    points = [(math.log(size), math.log(value)) for size, value in zip(sizes, values, strict=True)]
    mean_x, mean_y = (sum(each) / len(points) for each in zip(*points, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def carried(sizes: list[int], peaks: list[int], mebibytes: int) -> int | None:
    """The largest size whose peak a memory holds; None where the peak does not grow with it."""
    grown = (peaks[-1] - peaks[-2]) / (sizes[-1] - sizes[-2])
    # Less than a twentieth more over four times the size is noise of the allocator.
    if peaks[-1] < 1.05 * peaks[-2]:
        return None
    return int(sizes[-1] + (mebibytes * 2**20 - peaks[-1]) / grown)


def grown_by(of: str, sizes: list[int], seconds: list[float], peaks: list[int]) -> Growth:
    """Exponents and carried sizes of what was measured."""
    exponent = _slope(sizes[-3:], seconds[-3:])
    return Growth(
        of=of,
        sizes=sizes,
        seconds=seconds,
        peak_bytes=peaks,
        time_exponent=exponent,
        memory_exponent=_slope(sizes[-3:], [float(peak) for peak in peaks[-3:]]),
        carried={str(memory): carried(sizes, peaks, memory) for memory in MEMORIES_MIB},
        missed=[f"time grows by the power {exponent:.2f}"] if exponent > EXPONENT_AT_MOST else [],
    )


def measure(size: Size, scratch: Path) -> list[Growth]:
    """All three quantities."""
    found = []
    for of, unit in UNIT[size].items():
        sizes = [unit * step for step in STEPS]
        timings = []
        for count in sizes:
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                command = [
                    sys.executable,
                    "-m",
                    "tests.benchmarks.growth",
                    of,
                    str(count),
                    str(GPUS_A_DAY[size]),
                    folder,
                ]
                done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"growth in {of}, {count}:\n{done.stderr}")
            timings.append(json.loads(done.stdout.splitlines()[-1]))
        found.append(grown_by(of, sizes, [t["seconds"] for t in timings], [t["peak_bytes"] for t in timings]))
    return found


def table(grown: list[Growth]) -> Table:
    """For the terminal."""
    shown = Table(title="growth", caption="seconds and peak MiB at each size; exponents over the upper three sizes")
    for heading in ("of", "sizes", "s", "peak MiB", "time ~ n^", "memory ~ n^", "in 4 GiB", "in 24 GiB", "result"):
        shown.add_column(heading, justify="right")
    for row in grown:
        shown.add_row(
            row.of,
            " · ".join(f"{size:,}" for size in row.sizes),
            " · ".join(f"{seconds:.2f}" for seconds in row.seconds),
            " · ".join(f"{peak / 2**20:,.0f}" for peak in row.peak_bytes),
            f"{row.time_exponent:.2f}",
            f"{row.memory_exponent:.2f}",
            *("not bound" if row.carried[str(m)] is None else f"{row.carried[str(m)]:,}" for m in MEMORIES_MIB),
            "missed" if row.missed else "met",
        )
    return shown


def _telemetry(days: int, gpus: int, folder: Path) -> None:
    """Land and meter so many days of so many GPUs."""
    from tests.benchmarks import seed_day

    home = folder / "home"
    target = seed_day.write_home(home, gpus)
    for day in range(days):
        seed_day.write_day(target, gpus, day, with_unclean=False)
    _timed(lambda: _landed(home))


def _landed(home: Path) -> None:
    from tests.benchmarks import seed_day

    with seed_day.connect(home) as con:
        seed_day.land_and_measure(con, home)


def _contracts(count: int) -> None:
    from orchestration.polars_jobs.programme import GROUPS
    from tests.benchmarks import credit_group

    known = credit_group.frames(count, CONTRACT_MONTHS)

    def run() -> None:
        for group in credit_group.CREDIT:
            known.update(GROUPS[group](known))

    _timed(run)


def _timed(run: Callable[[], None]) -> None:
    # The peak of making the input is no part of the run's.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    started = time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes()}) + "\n")


def main() -> None:
    of, count, gpus_a_day, folder = sys.argv[1:]
    if of == "contracts":
        _contracts(int(count))
    elif of == "days":
        _telemetry(int(count), int(gpus_a_day), Path(folder))
    else:
        _telemetry(1, int(count), Path(folder))


if __name__ == "__main__":
    main()
