"""GPU-hours from samples: observed and busy seconds, energy, faults, knowledge, and the replacement of a changed day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import build
from raw_fixture import put_lake_files
from scenarios import put_backstop, put_contract, put_home, put_park, put_share, put_tranche

# GPU, minute of the hour, hour of the day, utilisation in milli-percent, power in microwatt, GPUs, XID, recorded at, content.
Sample = tuple[str, int, int, int | None, int | None, int, int | None, str, int]


def samples_as_sql(samples: list[Sample], day: str) -> str:
    values = ", ".join(
        "(" + ", ".join("NULL" if value is None else repr(value) for value in sample) + ")" for sample in samples
    )
    return f"""
        SELECT 'park' AS park_id, DATE '{day}' AS service_date, gpu AS gpu_id, 'n' AS node_id, 'GB300' AS gpu_model, 'tr' AS tranche_id,
               timezone('UTC', TIMESTAMP '{day}' + to_hours(h) + to_minutes(m)) AS sampled_at,
               timezone('UTC', TIMESTAMP '{day}' + to_hours(h)) AS interval_start_at,
               u AS utilization_milli_pct, p AS power_microwatt, n AS gpu_count, x AS xid_code, r::TIMESTAMPTZ AS recorded_at,
               row_number() OVER () AS line_no
        FROM (VALUES {values}) AS s (gpu, m, h, u, p, n, x, r, c)"""


EARLY, LATE = "2027-02-02 01:00:00+00", "2027-03-20 00:00:00+00"


def minute_by_minute(con: duckdb.DuckDBPyConnection, home: Path) -> None:
    """A tranche of 4 GPUs in a park that samples every ten minutes; three days, each with its own trouble."""
    put_home(con, "2027-04-20T00:00:00Z")
    put_park(con, time_zone="UTC", telemetry_interval_seconds=600)
    put_contract(con)
    put_tranche(con, gpu_count=4)
    put_share(con, [{"from_month": 1, "rate": "0.25"}])
    put_backstop(con, [{"price_per_gpu_hour": "2.00"}], committed_fraction=1, excluded_causes=["operator_fault"])
    put_lake_files(
        con,
        home,
        name="first",
        select=samples_as_sql(
            [
                # Hour 0: g1 three samples, one without utilisation; g2 a rack of 3 with seven samples, more than fit into the hour.
                ("g1", 0, 0, 10_000, 500_000_000, 1, None, EARLY, 1),
                ("g1", 10, 0, 20_001, 500_000_001, 1, None, EARLY, 2),
                ("g1", 20, 0, None, 400_000_000, 1, None, EARLY, 3),
                *[
                    ("g2", minute, 0, 30_000 + minute, 700_000_000, 3, None, EARLY, 10 + minute)
                    for minute in (0, 9, 18, 27, 36, 45, 54)
                ],
                # Hour 1: g1 fails with a fatal XID, g2 with one that is not fatal.
                ("g1", 0, 1, 0, 100_000_000, 1, 79, EARLY, 4),
                ("g2", 0, 1, 50_000, 100_000_000, 3, 31, EARLY, 5),
            ],
            "2027-02-01",
        ),
    )
    # The second day arrives twice: the second file corrects one sample and adds one GPU, after February has closed.
    put_lake_files(
        con, home, name="second", select=samples_as_sql([("g1", 0, 0, 10_000, 1000, 1, None, EARLY, 1)], "2027-02-02")
    )
    put_lake_files(
        con,
        home,
        name="second-late",
        select=samples_as_sql(
            [
                ("g1", 0, 0, 99_000, 1000, 1, None, LATE, 2),
                ("g2", 0, 0, 10_000, 1000, 3, None, LATE, 3),
            ],
            "2027-02-02",
        ),
    )


@pytest.fixture(scope="module")
def home(make_home: Any) -> Path:
    return make_home("minutes", minute_by_minute)


def fetch(home: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        return con.execute(query).fetchall()


def test_busy_and_observed_time_and_energy_are_means_times_observed_seconds(home: Path) -> None:
    [(coverage, busy, energy)] = fetch(
        home,
        "SELECT coverage_fraction, busy_gpu_hours, it_energy_kwh FROM metering.fct_capacity_hour WHERE interval_start_at = '2027-02-01'",
    )
    observed = {"g1": 3 * 600, "g2": 3600 * 3}  # seven samples of ten minutes fill the hour, no more
    g1 = Fraction(10_000 + 20_001, 2) / 100_000 * observed["g1"]
    g2 = Fraction(sum(30_000 + m for m in (0, 9, 18, 27, 36, 45, 54)), 7) / 100_000 * observed["g2"]
    expected_energy = (
        Fraction(500_000_000 + 500_000_001 + 400_000_000, 3) * observed["g1"] + 700_000_000 * observed["g2"]
    ) / 3_600_000_000_000
    # Each GPU's hour is divided once, to the nearest unit of 1e-5 second and of a microjoule.
    assert abs(Fraction(busy) - (g1 + g2) / 3600) <= Fraction(2, 10**5) / 3600
    assert abs(Fraction(energy) - expected_energy) <= Fraction(2, 3_600_000_000_000) + Fraction(1, 10**9)
    assert abs(Fraction(coverage) - Fraction(sum(observed.values()), 4 * 3600)) < Fraction(1, 10**9)


def test_a_fatal_xid_takes_its_gpu_out_for_the_hour_and_other_codes_do_not(home: Path) -> None:
    hours = fetch(
        home,
        "SELECT hour(interval_start_at), fault_gpu_hours, no_sample_gpu_hours, available_gpu_hours FROM metering.fct_capacity_hour"
        " WHERE service_date = '2027-02-01' AND hour(interval_start_at) < 3 ORDER BY 1",
    )
    assert hours == [(0, 0, 0, 4), (1, 1, 0, 3), (2, 0, 4, 0)]


def test_a_late_file_counts_at_the_clock_but_not_at_the_close_before_it(home: Path) -> None:
    [(busy,)] = fetch(home, "SELECT busy_gpu_hours FROM metering.fct_capacity_day WHERE service_date = '2027-02-02'")
    assert busy == Decimal(99_000 + 30_000) / 100_000 * 600 / 3600
    claims = dict(
        fetch(
            home,
            "SELECT known_at::DATE, sum(excluded_gpu_hours) FROM intermediate.int_backstop_hours AS h"
            " JOIN intermediate.int_known_months AS m"
            " ON (h.contract_id, h.point_no, h.service_month) = (m.contract_id, m.state_point_no, m.service_month)"
            " JOIN intermediate.int_knowledge_points AS p ON (m.contract_id, m.point_no) = (p.contract_id, p.point_no)"
            " WHERE h.service_month = '2027-02-01' GROUP BY 1",
        )
    )
    # All of February is silent but the sampled hours: 4 x 672 hours less 4 + 3 on the first day, less 1 or, known later, 4 on the second.
    assert claims[date(2027, 3, 11)] == 4 * 672 - 7 - 1
    assert claims[date(2027, 4, 11)] == 4 * 672 - 7 - 4


def test_a_changed_day_is_replaced_and_the_others_stay(home: Path) -> None:
    before = fetch(
        home,
        "SELECT service_date, partition_fingerprint FROM intermediate.int_gpu_hours__by_tranche_hour GROUP BY ALL ORDER BY ALL",
    )
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute("SET TimeZone = 'UTC'")
        put_lake_files(
            con, home, name="third", select=samples_as_sql([("g9", 0, 5, 10_000, 1000, 1, None, LATE, 7)], "2027-02-01")
        )
    build(home)
    after = fetch(
        home,
        "SELECT service_date, partition_fingerprint FROM intermediate.int_gpu_hours__by_tranche_hour GROUP BY ALL ORDER BY ALL",
    )
    assert [day for day, _ in after] == [day for day, _ in before]
    assert {day for day, fingerprint in after if (day, fingerprint) not in before} == {date(2027, 2, 1)}
    [(no_sample,)] = fetch(
        home,
        "SELECT no_sample_gpu_hours FROM metering.fct_capacity_hour WHERE interval_start_at = '2027-02-01 05:00:00+00'",
    )
    assert no_sample == 3
