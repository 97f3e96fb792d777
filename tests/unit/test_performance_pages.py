"""The capacity plan's arithmetic by hand, and what the pages say of a bench that missed a goal on a busy machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestration.docs import BENCH
from orchestration.performance_pages import Assumptions, Fleet, capacity_page, performance_page, plan

GIVEN = Assumptions(
    machine_cores=32,
    machine_usd_per_hour=2.0,
    hot_usd_per_gb_month=0.1,
    cold_usd_per_gb_month=0.01,
    hot_days=100,
    cold_years=2,
    window_hours=4.0,
    cluster_efficiency=0.5,
)


def bench() -> dict[str, Any]:
    row = {
        "case": "a day from landing files to capacity", "baseline": "a group-by", "unit": "rows", "count": 36_000_000,
        "project_seconds": [10.0, 9.0, 11.0], "baseline_seconds": [2.0, 2.0, 2.0], "time_ratio": 5.0,
        "project_peak_bytes": 2**31, "baseline_peak_bytes": 2**30, "memory_ratio": 2.0, "runs": 9,
        "goals": ["≤ 3 × the time"], "missed": ["4.5 × the time, not 3"], "facts": {"lake_bytes_a_sample": 2.5}, "profile": ["10 1.0 copy"],
        "measured_at": "2027-01-01T00:00:00+00:00", "load_average": 9.0,
    }  # fmt: skip
    machine = {"python": "3.11", "machine": "x", "processor": "P", "cpus": 2, "memory_mib": 24576, "duckdb": "2.0"}
    return {
        "measured_at": "2027-01-01T00:00:00+00:00", "size": "small", "machine": machine,
        "results": [row], "growth": [],
    }  # fmt: skip


def test_a_fleet_that_one_machine_meters_in_time_needs_one() -> None:
    # 250,000 GPUs × 1,440 = 360 million samples; at 1 million a second on 2 cores 0.1 h, on 32 cores 0.00625 h.
    found = plan(Fleet("two", 250_000), 1e6, 2, 2.5, GIVEN)
    assert (found.samples_a_day, found.machines) == (360_000_000, 1)
    assert found.bench_hours == pytest.approx(0.1)
    assert found.machine_hours == pytest.approx(0.00625)
    # 0.9 GB a day: 90 GB for a hundred days, 657 GB for two years.
    assert (found.hot_gb, found.cold_gb) == (pytest.approx(90), pytest.approx(657))
    assert found.storage_usd_month == pytest.approx(90 * 0.1 + 657 * 0.01)
    assert found.compute_usd_month == pytest.approx(0.00625 * 2 * 365 / 12)


def test_a_fleet_beyond_one_machine_is_spread_and_pays_for_what_a_cluster_loses() -> None:
    # 100 h on 2 cores are 6.25 h on 32: above four hours, so 6.25 / (4 × 0.5) = 3.125, four machines and 12.5 paid hours.
    found = plan(Fleet("many", 250_000), 1_000, 2, 2.5, GIVEN)
    assert found.bench_hours == pytest.approx(100)
    assert found.machines == 4
    assert found.machine_hours == pytest.approx(12.5)
    assert found.machine_hours / found.machines <= GIVEN.window_hours


def test_a_missed_goal_says_so_and_shows_its_profile_and_a_busy_machine_is_named() -> None:
    page = performance_page(bench())
    assert "**missed**: 4.5 × the time, not 3" in page
    assert "10 1.0 copy" in page
    assert "The machine was not quiet" in page


def test_the_plan_shows_its_rate_and_works_out_the_first_fleet() -> None:
    page = capacity_page(bench(), GIVEN)
    assert "**3,600,000 samples a second**" in page
    assert "210,000 × 1,440 = 302,400,000 a day" in page
    assert "| 6.5 GW | 3,600,000 | 5,184,000,000 |" in page


def test_without_a_kept_bench_the_pages_say_how_to_keep_one() -> None:
    assert "KEEP=yes make bench" in performance_page(None)
    assert "KEEP=yes make bench" in capacity_page(None)
    assert "KEEP=yes make bench" in capacity_page(bench() | {"results": []})


def test_the_kept_bench_is_one_that_the_pages_can_show() -> None:
    kept = json.loads(BENCH.read_text(encoding="utf-8"))
    assert kept["results"]
    assert "samples a second" in capacity_page(kept)
    for row in kept["results"]:
        assert row["case"] in performance_page(kept)
        assert row["profile"] or not row["missed"]


def test_growth_reads_exponents_and_what_a_memory_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from tests.benchmarks.growth import grown_by

    sizes, gib = [1, 4, 16, 64], 2**30
    linear = grown_by("GPUs", sizes, [1.0, 4.0, 16.0, 64.0], [gib, gib, gib + 16 * 2**20, gib + 64 * 2**20])
    assert (round(linear.time_exponent, 9), linear.missed) == (1.0, [])
    # A mebibyte a GPU: three gibibytes more are 3,072 GPUs more. But so small a rise is the allocator's.
    assert linear.carried["4096"] is None
    steep = grown_by("days", sizes, [1.0, 16.0, 256.0, 4096.0], [gib, gib, gib, gib + 48 * 2**26])
    assert steep.time_exponent == pytest.approx(2)
    assert steep.missed == ["time grows by the power 2.00"]
    # 64 MiB a day beyond the sixteenth: the peak of 4 GiB is reached at 64 days, 24 GiB at 64 + 320.
    assert steep.carried == {"4096": 64, "24576": 384}
