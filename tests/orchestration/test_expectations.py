"""Suites of Great Expectations find a fault planted in a table or frame that was plausible before."""

from pathlib import Path

import duckdb
import polars as pl
import pytest

from orchestration.checks import filled, validate_apart
from orchestration.expectations.covered import BUILT, DERIVED, FEEDS, SUITES, TELEMETRY_SAMPLE
from orchestration.publishing.catalogue import QUALITY, TABLES

PLAUSIBLE = {
    "staging.stg_leases": (
        "'L1' AS lease_id, 1 AS version, 'T' AS tenant_id, 'A' AS tranche_id, 'GB300' AS gpu_model, 72 AS gpu_count, "
        "TIMESTAMPTZ '2027-01-01 00:00Z' AS starts_at, TIMESTAMPTZ '2027-02-01 00:00Z' AS ends_at, "
        "2.5::DECIMAL(18,9) AS price_per_gpu_hour, 'USD' AS currency_code, 'training' AS workload, "
        "'third_party' AS customer_type, 'reserved' AS pricing, 'active' AS status"
    ),
    "staging.stg_fx_rate": "1.5::DECIMAL(18,9) AS rate",
    "staging.stg_lake_file": (
        "2 AS row_count, 1 AS landed_count, TIMESTAMPTZ '2027-01-01 00:00Z' AS min_recorded_at, "
        "TIMESTAMPTZ '2027-01-01 00:00Z' AS max_recorded_at"
    ),
    "metering.fct_capacity_hour": (
        "'T' AS tranche_id, TIMESTAMPTZ '2027-01-01 00:00Z' AS interval_start_at, 72.0 AS installed_gpu_hours, "
        "0.0 AS no_sample_gpu_hours, 0.0 AS fault_gpu_hours, 0.0 AS maintenance_gpu_hours, 72.0 AS available_gpu_hours, "
        "70.0 AS leased_gpu_hours, 60.0 AS busy_gpu_hours, 90.0 AS it_energy_kwh, 1.0 AS coverage_fraction"
    ),
    "revenue_share.fct_share_month": (
        "'C' AS contract_id, DATE '2027-01-01' AS service_month, 0.25 AS effective_rate, 1.0 AS activation_fraction"
    ),
    "core.dim_lease": "'L1' AS lease_id, 1 AS version, 72 AS gpu_count",
}
# What is planted, the expectation that finds it, and whether that stops publishing.
FAULTS = {
    "staging.stg_leases": (
        "UPDATE {} SET ends_at = starts_at",
        "expect_column_pair_values_a_to_be_greater_than_b:ends_at",
        "error",
    ),
    "staging.stg_fx_rate": ("UPDATE {} SET rate = 0", "expect_column_values_to_be_between:rate", "error"),
    "staging.stg_lake_file": (
        "UPDATE {} SET landed_count = 3",
        "expect_column_pair_values_a_to_be_greater_than_b:row_count",
        "error",
    ),
    "metering.fct_capacity_hour": (
        "UPDATE {} SET available_gpu_hours = 73",
        "expect_column_pair_values_a_to_be_greater_than_b:installed_gpu_hours",
        "error",
    ),
    "revenue_share.fct_share_month": (
        "UPDATE {} SET activation_fraction = 1.5",
        "expect_column_values_to_be_between:activation_fraction",
        "error",
    ),
    "core.dim_lease": ("UPDATE {} SET gpu_count = -1", "expect_column_values_to_be_between:gpu_count", "warn"),
}
SAMPLE = pl.DataFrame(
    {
        "gpu_id": ["a", "b"],
        "node_id": ["a", "b"],
        "gpu_model": ["GB300", "GB300"],
        "sampled_at": ["2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"],
        "utilization_pct": [40.0, 50.0],
        "power_w": [900.0, 901.0],
        "gpu_count": [1, 1],
        "energy_mj": [5, 6],
        "memory_used_mib": [7, 8],
        "xid_code": [0, 0],
    }
)


def _warehouse(path: Path, *, is_faulty: bool = False) -> str:
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone='UTC'")
        for table, row in PLAUSIBLE.items():
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.')[0]}")
            connection.execute(f"CREATE TABLE {table} AS SELECT {row}")
            if is_faulty:
                connection.execute(FAULTS[table][0].format(table))
    return str(path)


def test_a_suite_stands_for_every_feed_and_every_mart() -> None:
    assert {
        f"staging.stg_{feed}" for feed in ("leases", "lease_usage", "lease_assignments", "lease_adjustments")
    } <= set(FEEDS)
    assert {"staging.stg_payments", "staging.stg_credit_events", "staging.stg_power_meter"} <= set(FEEDS)
    assert TELEMETRY_SAMPLE in SUITES
    assert {name for name, table in TABLES.items() if table.group != QUALITY} <= {*BUILT, *DERIVED}


def test_plausible_tables_and_frames_pass_and_each_planted_fault_is_found_and_only_it(tmp_path: Path) -> None:
    path = _warehouse(tmp_path / "sound.duckdb")
    assert set(filled(path, (*PLAUSIBLE, "core.dim_park"))) == set(PLAUSIBLE)
    sound = validate_apart(path, list(PLAUSIBLE), {TELEMETRY_SAMPLE: SAMPLE}, docs=tmp_path / "docs")
    assert [(t, e.name) for t, found in sound.items() for e in found if not e.passed] == []
    assert all(sound[table] for table in (*PLAUSIBLE, TELEMETRY_SAMPLE))
    # A check is published under its table and name.
    assert all(len({e.name for e in found}) == len(found) for found in sound.values())
    pages = [page.read_text() for page in (tmp_path / "docs").rglob("*.html")]
    assert len(pages) >= 1 + 2 * len(sound)
    assert not any(tag in page for page in pages for tag in ('src="http', 'rel="stylesheet" href="http'))

    frozen = SAMPLE.with_columns(power_w=900.0, utilization_pct=pl.Series([101.0, 50.0]))
    faulty = validate_apart(
        _warehouse(tmp_path / "faulty.duckdb", is_faulty=True), list(PLAUSIBLE), {TELEMETRY_SAMPLE: frozen}
    )
    assert {t: [(e.name, e.severity) for e in found if not e.passed] for t, found in faulty.items()} == {
        table: [(name, severity)] for table, (_, name, severity) in FAULTS.items()
    } | {
        TELEMETRY_SAMPLE: [
            ("expect_column_values_to_be_between:utilization_pct", "error"),
            ("expect_column_unique_value_count_to_be_between:power_w", "warn"),
        ]
    }
    outside = next(e for e in faulty["core.dim_lease"] if not e.passed)
    assert "1 of 1 rows outside" in outside.measured


def test_a_warehouse_that_cannot_be_read_is_an_error_and_not_a_pass(tmp_path: Path) -> None:
    (tmp_path / "no.duckdb").write_text("this is no database")
    with pytest.raises(RuntimeError, match="Great Expectations could not run"):
        validate_apart(str(tmp_path / "no.duckdb"), ["staging.stg_fx_rate"])
