"""The tracked tables against the real files that they were computed from."""

import csv
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ingest.reference_tools import tables
from ingest.simulate.profiles import TABLES, TRACKED_REFERENCE, compute_profiles, read_biohpc


def tracked(name: str) -> list[list[str]]:
    with (TRACKED_REFERENCE / name).open(encoding="utf-8", newline="") as handle:
        return list(csv.reader(handle))


def test_the_tracked_profiles_are_those_of_the_traces(source: Path) -> None:
    computed = compute_profiles(source)
    assert tuple(computed) == TABLES
    for name, frame in computed.items():
        read = pl.read_csv(TRACKED_REFERENCE / f"{name}.csv", schema=frame.schema)
        assert_frame_equal(read, frame, rel_tol=1e-9, abs_tol=2e-6)


def test_the_trace_is_read_whole(source: Path) -> None:
    # Oracle: facts noted beside the file: 15,493 rows, Σ 1,214.570297083 kWh, mean utilisation 15.632183352 %.
    rows = read_biohpc(source, "cbsugpu07")
    assert rows.height == 15_493
    assert rows["power_w"].sum() / 1000 == pytest.approx(1214.570297083, abs=1e-6)
    assert rows["utilization_pct"].mean() == pytest.approx(15.632183352, abs=1e-9)


def test_the_tracked_curve_is_bootstrapped_from_the_latest_day(source: Path) -> None:
    assert tracked("yield_curve.csv") == [tables.CURVE_HEADER, *tables.curve_rows(source)]


def test_the_tracked_default_rates_are_those_of_the_table(source: Path) -> None:
    assert tracked("default_rates.csv") == [tables.DEFAULT_HEADER, *tables.default_rate_rows(source)]


def test_the_tracked_medians_are_those_of_the_scrape(source: Path) -> None:
    rows = [row for row in tracked("gpu_price_index.csv") if row[4].startswith(tables.MEDIAN_SOURCE)]
    assert sorted(rows) == sorted(tables.price_median_rows(source))


def test_the_issuers_facts_carry_over_unchanged(source: Path) -> None:
    assert (TRACKED_REFERENCE / "issuer_facts.csv").read_bytes() == (source / "nvidia_financials.csv").read_bytes()
