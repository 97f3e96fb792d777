"""Profiles of real traces: what the tracked tables say, and that simulated telemetry looks like them."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from ingest.reference import SHIPPED
from ingest.simulate import outages, telemetry
from ingest.simulate.book import make_leases
from ingest.simulate.plan import ContractPlan, ParkPlan, TranchePlan
from ingest.simulate.profiles import TABLES, Profile, load_profile

START = date(2027, 1, 1)
FATAL = [48, 79]


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile()


@pytest.fixture(scope="module")
def park() -> ParkPlan:
    tranche = TranchePlan("t", "c", "GB300", 7_200, START, START, "a-*")
    return ParkPlan("p", "op", "B", "SP", ZoneInfo("Australia/Sydney"), "USD", 3600, Decimal(1), Decimal(2), (tranche,))


def made_month(park: ParkPlan, profile: Profile, month: date, day_count: int | None = None) -> telemetry.TrancheMonth:
    [tranche] = park.tranches
    contract = ContractPlan("c", "nvidia", "p", "USD", 2, START, date(2032, 12, 31), ())
    leases = make_leases(3, park, {"c": contract}, {})
    grid = outages.month_grid(park, month, START)
    outage = outages.draw_outage(3, park, tranche, grid, events=[], profile=profile, fatal_codes=FATAL)
    return telemetry.make_tranche_month(
        3,
        park,
        tranche,
        leases=leases,
        grid=grid,
        outage=outage,
        profile=profile,
        day_count=len(grid.days) if day_count is None else day_count,
    )


@pytest.mark.parametrize("name", TABLES)
def test_every_profile_table_names_its_source_in_every_row(name: str) -> None:
    frame = pl.read_csv(SHIPPED / f"{name}.csv")
    assert frame["source"].null_count() == 0
    assert frame.height > 0


def test_profiles_are_normalised(profile: Profile) -> None:
    assert profile.week_utilization.shape == profile.week_occupancy.shape == (168,)
    assert profile.week_utilization.mean() == pytest.approx(1)
    assert np.all(np.diff(profile.power_fraction) >= 0)
    assert profile.gap_weight.sum() == pytest.approx(1)


def test_the_power_curve_runs_from_the_captured_idle_to_the_captured_load(profile: Profile) -> None:
    # Oracle: captures of H100 (69.85 W, 631.95 W) and H200 (77.71 W, 627.4 W) against a limit of 700 W.
    assert profile.power_fraction[0] == pytest.approx((69.85 + 77.71) / 2 / 700, abs=1e-5)
    assert profile.power_fraction[100] == pytest.approx((631.95 + 627.4) / 2 / 700, abs=1e-5)


def test_gaps_are_as_many_as_the_trace_has(profile: Profile) -> None:
    # Oracle: 29 gaps with 107 missing hours and 22 gaps with 259.
    assert float((profile.gap_hours * profile.gap_weight).sum() * (29 + 22)) == pytest.approx(107 + 259)


def test_simulated_gaps_start_as_often_as_the_traces_do(park: ParkPlan, profile: Profile) -> None:
    made = made_month(park, profile, date(2027, 5, 1))
    starts = int((made.outage.gap[1:] & ~made.outage.gap[:-1]).sum())
    expected = profile.gap_rate_per_hour * made.outage.gap.size
    assert abs(starts - expected) < 5 * np.sqrt(expected)


def test_simulated_utilisation_follows_the_week_of_the_traces(park: ParkPlan, profile: Profile) -> None:
    made = made_month(park, profile, date(2027, 11, 1))
    by_hour = made.utilization.mean(axis=1)
    week = np.array([by_hour[made.grid.hour_of_week == hour].mean() for hour in range(168)])
    assert np.corrcoef(week, profile.week_utilization)[0, 1] > 0.9


def test_an_hour_of_a_rack_resembles_the_hour_before(park: ParkPlan, profile: Profile) -> None:
    made = made_month(park, profile, date(2027, 11, 1))
    busy = made.utilization.astype(np.float64)[:, :20]
    rest = busy - busy.mean(axis=1, keepdims=True)
    rest -= rest.mean(axis=0)
    lagged = float((rest[1:] * rest[:-1]).sum() / (rest**2).sum())
    assert lagged == pytest.approx(profile.persistence, abs=0.25)


def test_power_follows_utilisation_along_the_curve(park: ParkPlan, profile: Profile) -> None:
    made = made_month(park, profile, date(2027, 11, 1))
    expected = np.interp(made.utilization / 10, np.arange(101), profile.power_fraction) * profile.rated_w["GB300"]
    assert np.abs(made.power / expected - 1).mean() < 0.01
    assert made.power.max() <= profile.rated_w["GB300"]


def test_racks_that_nobody_leases_idle(park: ParkPlan, profile: Profile) -> None:
    made = made_month(park, profile, START)
    assert made.utilization[:, -1].max() <= 10
    assert made.utilization[-24:, 0].min() > 100


def test_a_lease_reaches_its_level_within_two_weeks(park: ParkPlan, profile: Profile) -> None:
    made = made_month(park, profile, START)
    first, last = made.utilization[:24, :10].mean(), made.utilization[-24:, :10].mean()
    assert first < 0.5 * last


def test_a_rack_with_a_fatal_fault_reports_its_code_and_does_no_work(park: ParkPlan, profile: Profile) -> None:
    made = made_month(park, profile, date(2027, 5, 1))
    fatal = np.isin(made.outage.xid, FATAL)
    assert fatal.any()
    assert (made.outage.xid == outages.HARMLESS_XID).any()
    assert made.utilization[fatal].max() == 0


def test_the_month_of_the_clock_change_has_an_hour_less_or_more(park: ParkPlan) -> None:
    assert len(outages.month_grid(park, date(2027, 4, 1), START).hour_at) == 30 * 24 + 1
    assert len(outages.month_grid(park, date(2027, 10, 1), START).hour_at) == 31 * 24 - 1


def test_nodes_are_named_after_the_pattern() -> None:
    tranche = TranchePlan("t", "c", "GB300", 150, START, START, "hall-*-gpu")
    assert tranche.node_ids() == ["hall-0001-gpu", "hall-0002-gpu", "hall-0003-gpu"]
    assert tranche.rack_gpu_counts() == [72, 72, 6]
    with pytest.raises(ValueError, match="has no"):
        TranchePlan("t", "c", "GB300", 150, START, START, "hall").node_ids()


def test_a_home_may_bring_its_own_profile(tmp_path: Path) -> None:
    own = pl.read_csv(SHIPPED / "telemetry_profile_model.csv", infer_schema=False)
    changed = own.with_columns(
        pl.when(pl.col("item") == "rated_w:GB300").then(pl.lit("1000")).otherwise("value").alias("value")
    )
    changed.write_csv(tmp_path / "telemetry_profile_model.csv")
    assert load_profile(tmp_path).rated_w["GB300"] == 1000
    assert load_profile(tmp_path).gap_rate_per_hour == load_profile().gap_rate_per_hour


def test_a_few_days_by_the_minute_are_drawn_as_the_first_of_their_month(park: ParkPlan, profile: Profile) -> None:
    by_minute = replace(park, telemetry_interval_seconds=300)
    month = date(2027, 5, 1)
    whole, few = made_month(by_minute, profile, month), made_month(by_minute, profile, month, 3)
    samples = 3 * 24 * 12
    assert len(few.sampled_at) == samples
    for name in ("sampled_at", "utilization", "power"):
        assert np.array_equal(getattr(few, name), getattr(whole, name)[:samples])
    assert np.array_equal(few.it_power_w()[:72], whole.it_power_w()[:72])
    assert not few.it_power_w()[72:].any()
