"""The tracked tables against the real files that they were computed from."""

import csv
import shutil
from pathlib import Path
from types import SimpleNamespace

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ingest.reference import SHIPPED, ReferenceDataError, write_reference
from ingest.reference_tools import tables
from ingest.simulate.profiles import TABLES, compute_profiles, read_biohpc


def tracked(name: str) -> list[list[str]]:
    with (SHIPPED / name).open(encoding="utf-8", newline="") as handle:
        return list(csv.reader(handle))


def test_the_tracked_profiles_are_those_of_the_traces(source: Path) -> None:
    computed = compute_profiles(source)
    assert tuple(computed) == TABLES
    for name, frame in computed.items():
        read = pl.read_csv(SHIPPED / f"{name}.csv", schema=frame.schema)
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


def test_the_issuers_facts_carry_over_unchanged_and_ours_follow(source: Path) -> None:
    collected = (source / "nvidia_financials.csv").read_text(encoding="utf-8")
    ours = (SHIPPED / "issuer_facts.csv").read_text(encoding="utf-8")
    assert ours.startswith(collected)
    added = list(csv.reader(ours.removeprefix(collected).splitlines()))
    assert {row[2].startswith("ai_cloud_agreements_") for row in added} == {True}
    # Maturity of the AI-cloud agreements: 0, 6, 8, 7, 6 and 9 bn from the rest of FY27 on; the total filed is 36 bn.
    assert [int(row[3]) for row in added] == [0, 6_000, 8_000, 7_000, 6_000, 9_000]
    assert ",ai_cloud_agreements,36000," in collected


def test_companyfacts_in_the_reference_folder_become_issuer_facts(source: Path, tmp_path: Path) -> None:
    # Oracle: NVIDIA's quarter to 2026-04-26: receivables of 40,710 on revenue of 81,615 million.
    (tmp_path / "reference").mkdir()
    shutil.copy(source / "sec_companyfacts" / "CIK0001045810_trimmed.json", tmp_path / "reference" / "nvidia.json")
    con = duckdb.connect()
    counts = write_reference(con, SimpleNamespace(path=tmp_path))
    assert counts["raw.issuer_fact"] > 100
    query = "SELECT item, value FROM raw.issuer_fact WHERE fiscal_period_end = '2026-04-26' AND value IN (40710, 81615)"
    assert dict(con.execute(query).fetchall()) == {"accounts_receivable_net": 40710, "revenue": 81615}


def test_a_json_file_that_is_no_companyfacts_is_named(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "other.json").write_text("{}")
    with pytest.raises(ReferenceDataError, match=r"other\.json:0"):
        write_reference(duckdb.connect(), SimpleNamespace(path=tmp_path))
