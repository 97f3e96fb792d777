"""Exact hours of days on which clocks are set, of half-hour zones and of leap days, and their conservation to the second."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from raw_fixture import put
from scenarios import (
    put_backstop,
    put_contract,
    put_home,
    put_lease,
    put_park,
    put_share,
    put_tranche,
    put_whole_rack_days,
)

GPUS = 8
# Zones whose offsets hold half and quarter hours, change by an hour, or by half an hour (Lord Howe), or never.
ZONES = {
    "sydney": "Australia/Sydney",
    "new-york": "America/New_York",
    "kolkata": "Asia/Kolkata",
    "kathmandu": "Asia/Kathmandu",
    "adelaide": "Australia/Adelaide",
}
# first and last day of each stretch that is looked at: both clock changes of either hemisphere, and a leap day
STRETCHES = (
    (date(2027, 3, 13), date(2027, 3, 15)),
    (date(2027, 4, 3), date(2027, 4, 5)),
    (date(2027, 10, 2), date(2027, 10, 4)),
    (date(2027, 11, 6), date(2027, 11, 8)),
    (date(2028, 2, 28), date(2028, 3, 1)),
)
# 1,000 seconds into the hour that Sydney's clock shows twice on 2027-04-04, to one second past a midnight
LEASE_FROM, LEASE_TO = (
    datetime.fromisoformat("2027-04-03T15:16:40+00:00"),
    datetime.fromisoformat("2027-04-20T14:00:01+00:00"),
)


def many_clocks(con: duckdb.DuckDBPyConnection, home: Path) -> None:
    put_home(con, "2028-03-10T00:00:00Z")
    for name, zone in ZONES.items():
        put_park(con, park_id=name, time_zone=zone)
        contract = "c" if name == "sydney" else None
        put_tranche(con, park_id=name, tranche_id=f"{name}-t", contract_id=contract, gpu_count=GPUS)
        for first, last in STRETCHES:
            put_whole_rack_days(
                con,
                home,
                park_id=name,
                tranche_id=f"{name}-t",
                gpu_count=GPUS,
                time_zone=zone,
                first=first,
                last=last,
            )
    put_contract(con, park_id="sydney")
    put_share(con, [{"from_month": 1, "rate": "0.25"}])
    put_backstop(con, [{"price_per_gpu_hour": "2.00"}], deductible_fraction="0.05")
    put_lease(
        con,
        park_id="sydney",
        tranche_id="sydney-t",
        gpu_count=5,
        starts_at=LEASE_FROM.isoformat(),
        ends_at=LEASE_TO.isoformat(),
        status="ended",
    )
    # A version that begins before the one that it follows, and meter intervals of two files that overlap.
    for version, start in ((1, "2027-06-01T00:00:00+10:00"), (2, "2027-05-31T00:00:00+10:00")):
        put_lease(
            con,
            park_id="sydney",
            tranche_id="sydney-t",
            lease_id="l2",
            version=version,
            gpu_count=1,
            starts_at=start,
            ends_at="2027-06-03T00:00:00+10:00",
            status="ended",
        )
    for file_id, start, end, energy in (
        ("one", "2027-05-01T00:00:00+10:00", "2027-05-01T01:00:00+10:00", 10),
        ("two", "2027-05-01T00:30:00+10:00", "2027-05-01T01:30:00+10:00", 12),
    ):
        put(
            con,
            "power_meter",
            park_id="sydney",
            meter_id="m",
            register="1",
            role="facility",
            interval_start_at=start,
            interval_end_at=end,
            energy_kwh=energy,
            quality="actual",
            recorded_at="2027-05-02T00:00:00Z",
            file_id=file_id,
        )


@pytest.fixture(scope="module")
def home(make_home: Any) -> Path:
    return make_home("clocks", many_clocks)


def fetch(home: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        return con.execute(query).fetchall()


def real_hours(zone: str, day: date) -> int:
    """Hours between a zone's midnights, by the standard library."""
    begin, end = (
        datetime(at.year, at.month, at.day, tzinfo=ZoneInfo(zone)).timestamp() for at in (day, day + timedelta(days=1))
    )
    return round((end - begin) / 3600)


@pytest.mark.parametrize("park", ZONES)
def test_every_day_has_the_hours_that_its_zone_gives_it(home: Path, park: str) -> None:
    days = fetch(
        home,
        "SELECT service_date, installed_gpu_hours FROM metering.fct_capacity_day "
        f"WHERE park_id = '{park}' AND service_date < '2028-03-09' ORDER BY 1",
    )
    assert [(day, Fraction(hours)) for day, hours in days] == [
        (day, Fraction(real_hours(ZONES[park], day) * GPUS)) for day, _ in days
    ]
    assert days[0][0] == date(2027, 2, 1)
    assert date(2028, 2, 29) in dict(days)
    lengths = {real_hours(ZONES[park], day) for day, _ in days}
    assert lengths == ({23, 24, 25} if park in {"sydney", "new-york", "adelaide"} else {24})


@pytest.mark.parametrize("park", ZONES)
def test_telemetry_of_each_hour_falls_into_its_own_hour_and_day(home: Path, park: str) -> None:
    rows = fetch(
        home,
        "SELECT service_date, count(*), sum(no_sample_gpu_hours), sum(busy_gpu_hours), min(coverage_fraction) "
        f"FROM metering.fct_capacity_hour WHERE park_id = '{park}' GROUP BY 1 ORDER BY 1",
    )
    sampled = {first + timedelta(days=number) for first, last in STRETCHES for number in range((last - first).days + 1)}
    found = {day: values for day, *values in rows}
    for day in sampled:
        hours = real_hours(ZONES[park], day)
        assert found[day] == [hours, 0, Decimal(hours * GPUS) / 2, 1], day
    unsampled = date(2027, 6, 1)
    assert found[unsampled][1] == 24 * GPUS


def test_hours_of_a_month_are_conserved_to_the_second(home: Path) -> None:
    months = fetch(
        home,
        "SELECT service_month, installed_gpu_hours, (SELECT sum(gpu_hours) FROM backstop.fct_capacity_balance_month AS b "
        "WHERE b.tranche_id = m.tranche_id AND b.service_month = m.service_month) "
        "FROM backstop.fct_backstop_month AS m ORDER BY 1",
    )
    assert len(months) == 13  # February 2027 to February 2028: March has not ended
    zone = ZoneInfo("Australia/Sydney")
    for month, installed, uses in months:
        after = (month.replace(day=28) + timedelta(days=4)).replace(day=1)
        begin, end = (datetime(at.year, at.month, 1, tzinfo=zone).timestamp() for at in (month, after))
        assert Fraction(installed) == Fraction(int(end - begin) * GPUS, 3600), month
        assert abs(Fraction(installed) - Fraction(uses)) < Fraction(1, 3600), month
    hours = {month: Fraction(installed) / GPUS for month, installed, _ in months}
    assert (hours[date(2027, 4, 1)], hours[date(2027, 10, 1)], hours[date(2028, 2, 1)]) == (721, 743, 696)


def test_a_lease_that_begins_and_ends_within_hours_is_billed_to_the_second(home: Path) -> None:
    [(billed,)] = fetch(home, "SELECT sum(billed_gpu_hours) FROM metering.fct_lease_revenue_day WHERE lease_id = 'l1'")
    seconds = (LEASE_TO - LEASE_FROM).total_seconds()
    assert abs(Fraction(billed) - Fraction(int(seconds) * 5, 3600)) <= Fraction(30, 10**9)
    [(leased,)] = fetch(
        home,
        "SELECT sum(leased_gpu_hours) FROM metering.fct_capacity_day WHERE park_id = 'sydney' AND service_date < '2027-05-01'",
    )
    assert abs(Fraction(leased) - Fraction(int(seconds) * 5, 3600)) <= Fraction(600, 10**9)


def test_versions_and_meter_intervals_that_contradict_each_other_are_exceptions(home: Path) -> None:
    kinds = dict(
        fetch(
            home,
            "SELECT kind, (service_date, quantity, unit) FROM metering.fct_metering_exceptions "
            "WHERE kind IN ('lease_versions_overlap', 'meter_intervals_overlap')",
        )
    )
    # Version 1 begins a day later than version 2, which leaves nothing of it: 1 GPU from 1 to 3 June.
    assert kinds["lease_versions_overlap"] == (date(2027, 6, 1), Decimal(48), "gpu_hours")
    # The second interval begins half an hour before the first one ends, so it is left out of the day.
    assert kinds["meter_intervals_overlap"] == (date(2027, 5, 1), Decimal(12), "kwh")
    [(energy,)] = fetch(
        home,
        "SELECT facility_energy_kwh FROM metering.fct_power_day WHERE park_id = 'sydney' AND service_date = '2027-05-01'",
    )
    assert energy == 10


def test_the_cross_checks_of_auditors_are_rows_with_their_size(home: Path) -> None:
    kinds = dict(
        fetch(
            home, "SELECT kind, sum(quantity) FROM metering.fct_metering_exceptions WHERE park_id = 'sydney' GROUP BY 1"
        )
    )
    days = [first + timedelta(days=number) for first, last in STRETCHES for number in range((last - first).days + 1)]
    sampled = sum(real_hours(ZONES["sydney"], day) for day in days)
    # Half of 8 GPUs work in every hour that is sampled. The lease of 5 covers them from 15:16:40 UTC to the end of 5 April:
    # 46 whole hours, and of the first hour all but what 5 GPUs do not cover in its first 1,000 seconds.
    uncovered = Fraction(GPUS, 2) * (sampled - 46 - 1) + Fraction(GPUS, 2) - Fraction(5 * 2600, 3600)
    assert abs(Fraction(kinds["busy_without_lease"]) - uncovered) < Fraction(1, 10**6)
    # The lease runs on for 15 days without a sample, to one second past their end; the second lease is silent too.
    silent = Fraction(5 * (15 * 86400 + 1), 3600) + 3 * 24
    assert abs(Fraction(kinds["leased_without_telemetry"]) - silent) < Fraction(1, 10**6)
