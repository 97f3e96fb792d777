"""The ledgers, from what metering has left to journal and statements, for contracts of every kind over three years, through dbt."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from tests.benchmarks.ledger_home import connect, set_clock, write_home, write_metering_hours, write_outages
from tests.benchmarks.measuring import Case, Run, Side, Size

ROOT = Path(__file__).parents[2]
CONTRACTS: dict[Size, int] = {"small": 20, "seed": 200}
MONTHS: dict[Size, int] = {"small": 12, "seed": 36}
LEAST_MONTHS = 2
# The young home has lived for a third of the months.
YOUNG_PART = 3
# What metering makes; everything else is built here.
METERED = (
    "int_gpu_hours__by_tranche_hour int_outages__by_tranche_hour int_outages__by_tranche_day int_capacity_contradictions int_park_days "
    "marts.metering"
)


def _dbt(home: Path, *arguments: str) -> None:
    """Dbt as the pipeline starts it, in a process of its own, on the two threads of its profile.

    Each home has its own target folder: dbt parses the whole project anew where the warehouse is another than the last time.
    """
    project = str(ROOT / "dbt_project")
    folders = ("--project-dir", project, "--profiles-dir", project, "--target-path", str(home / "target"))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dbt")), *arguments, *folders, "--log-path", str(home / "logs")],
        env={
            **os.environ,
            "PARKLEDGER_WAREHOUSE": str(home / "warehouse.duckdb"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"dbt {' '.join(arguments)}: {done.stdout[-3000:]}{done.stderr[-2000:]}")


def build(home: Path, months: int, *arguments: str) -> float:
    """All models but those of metering, as known after so many months; months that a contract has a statement of, by month."""
    set_clock(home, _clock(months))
    _dbt(home, "run", "--exclude", *METERED.split(), *arguments)
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        [(stated, contracts)] = con.execute(
            "SELECT count(DISTINCT (contract_id, service_month)), count(DISTINCT contract_id)"
            " FROM ledger.fct_statement_step WHERE statement = 'backstop'"
        ).fetchall()
    return float(stated / contracts / months)


def _clock(months: int) -> str:
    """The first noon, UTC, at which so many months have ended in every zone."""
    return f"{2025 + months // 12}-{months % 12 + 1:02d}-01T12:00:00Z"


def _metered_home(home: Path, contracts: int, months: int) -> None:
    write_home(home, contracts, _clock(months), months)
    with connect(home) as con:
        write_metering_hours(con, months)
    _dbt(home, "seed")
    for clock in (months // 2, months):
        set_clock(home, _clock(clock))
        _dbt(home, "run", "--select", "+int_outage_states", "--exclude", "int_gpu_hours__by_tranche_hour")
        with connect(home) as con:
            write_outages(con)


def prepare(folder: Path, size: Size) -> None:
    """The homes, metered as known at the end and halfway; the least has nothing to count but what dbt takes whatever a home holds."""
    for name, contracts in (("whole", CONTRACTS[size]), ("tenth", CONTRACTS[size] // 10)):
        _metered_home(folder / name, contracts, MONTHS[size])
    if size in _MONTH_MORE["count"]:
        _metered_home(folder / "young", CONTRACTS[size], MONTHS[size] // YOUNG_PART)
        _metered_home(folder / "least", 1, LEAST_MONTHS)


def _built(name: str, part: int, folder: Path, size: Size) -> Run:
    return _noted(folder, f"{name}_by_{part}", lambda: build(folder / name, MONTHS[size] // part, "--full-refresh"))


def _month_more(name: str, part: int, folder: Path, size: Size) -> Run:
    return _noted(folder, f"a_month_more_of_{name}", lambda: build(folder / name, MONTHS[size] // part))


def _noted(folder: Path, what: str, run: Callable[[], float]) -> Callable[[], float]:
    """The run, which leaves in the folder how many seconds of the processor dbt has taken for it."""

    def noted() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        figure = run()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        (folder / f"{what}.seconds").write_text(repr(taken), encoding="ascii")
        return figure

    return noted


def month_more_facts(folder: Path, size: Size) -> dict[str, float]:
    """Seconds of the processor: both sides, a run in which nothing is new, and dbt alone; and the ratio of both sides without that."""
    _noted(folder, "nothing_new", lambda: build(folder / "whole", MONTHS[size]))()
    build(folder / "least", LEAST_MONTHS, "--full-refresh")
    _noted(folder, "dbt_alone", lambda: build(folder / "least", LEAST_MONTHS))()
    month_more, all_months, nothing_new, alone = _seconds(
        folder, "a_month_more_of_whole", "whole_by_1", "nothing_new", "dbt_alone"
    )
    return {
        "month_more_processor_seconds": month_more,
        "all_months_processor_seconds": all_months,
        "nothing_new_processor_seconds": nothing_new,
        "dbt_alone_processor_seconds": alone,
        "ratio_without_dbt": (month_more - alone) / (all_months - alone),
    }


def growth_facts(folder: Path, _size: Size) -> dict[str, float]:
    """Seconds of the processor that a month more takes after all others and after the first third of them, and their ratio."""
    late, early = _seconds(folder, "a_month_more_of_whole", "a_month_more_of_young")
    return {"late_processor_seconds": late, "early_processor_seconds": early, "processor_ratio": late / early}


def _seconds(folder: Path, *whats: str) -> list[float]:
    return [float((folder / f"{what}.seconds").read_text(encoding="ascii")) for what in whats]


def _without_the_last_month(names: dict[Side, tuple[str, int]], folder: Path, side: Side) -> None:
    """Before the month is added, what a run a month ago had left."""
    if side in names:
        name, part = names[side]
        with connect(folder / name) as con:
            [(contracts,)] = con.execute("SELECT count(*) FROM raw.contract").fetchall()
        size = next(size for size, count in CONTRACTS.items() if count == contracts)
        build(folder / name, MONTHS[size] // part - 1, "--full-refresh")


def profile(folder: Path, size: Size) -> list[str]:
    """The models that take longest in a run."""
    _built("whole", 1, folder, size)()
    results = json.loads((folder / "whole" / "target" / "run_results.json").read_text(encoding="utf-8"))["results"]
    longest = sorted(results, key=lambda result: -result["execution_time"])[:15]
    return [f"{result['execution_time']:8.2f} s  {result['unique_id'].rpartition('.')[2]}" for result in longest]


_SHARED: dict[str, Any] = {
    "count": CONTRACTS,
    "prepare": prepare,
    "project": partial(_built, "whole", 1),
    "once": True,
    "single_at_seed": True,
    "inputs": "ledgers",
    "profile": profile,
}
# What a close a month later knows, where the months before stand. In a small home nearly all of it is dbt's own: to start,
# to plan and to write some hundred tables, whatever they hold. The facts say how much, and the ratio without it.
_MONTH_MORE: dict[str, Any] = _SHARED | {
    "count": {"seed": CONTRACTS["seed"]},
    "project": partial(_month_more, "whole", 1),
}
CASES = (
    Case(
        name="the ledgers from metering to statements",
        baseline_name="a tenth of the contracts",
        unit="contracts",
        baseline=partial(_built, "tenth", 1),
        seconds_at_most=60,
        **_SHARED,
    ),
    # Not all that the months before know once more.
    Case(
        name="a month more of the ledgers",
        baseline_name="all months from the beginning",
        unit="contracts",
        baseline=partial(_built, "whole", 1),
        at_most=0.65,
        fresh=partial(_without_the_last_month, {"project": ("whole", 1)}),
        facts=month_more_facts,
        **_MONTH_MORE,
    ),
    # And it hardly matters how many they are.
    Case(
        name="a month more of the ledgers after all others",
        baseline_name="after the first third of them",
        unit="contracts",
        baseline=partial(_month_more, "young", YOUNG_PART),
        at_most=1.25,
        fresh=partial(_without_the_last_month, {"project": ("whole", 1), "baseline": ("young", YOUNG_PART)}),
        facts=growth_facts,
        **_MONTH_MORE,
    ),
    # Twice the months at twice the time: what another month costs is its own work, not that of all before it once more.
    Case(
        name="the ledgers of all months",
        baseline_name="those of the first half of the months",
        unit="contracts",
        baseline=partial(_built, "whole", 2),
        at_most=2.2,
        **_SHARED,
    ),
)
