"""Suites of Great Expectations find a fault planted in a table that was plausible before."""

from pathlib import Path

import duckdb
import pytest

from orchestration.checks import CHECKED, validate_apart
from orchestration.expectations.suites import SUITES

PLAUSIBLE = {
    "staging.stg_leases": (
        (
            "lease_id VARCHAR, gpu_count INTEGER, price_per_gpu_hour DECIMAL(18,9), customer_type VARCHAR, "
            "starts_at TIMESTAMPTZ, ends_at TIMESTAMPTZ"
        ),
        "('L1', 72, 2.5, 'third_party', '2027-01-01 00:00Z', '2027-02-01 00:00Z')",
    ),
    "staging.stg_payments": (
        "direction VARCHAR, received_at TIMESTAMPTZ, amount DECIMAL(18,2)",
        "('received', '2027-01-01 00:00Z', 10)",
    ),
    "staging.stg_fx_rate": ("rate DECIMAL(18,9)", "(1.5)"),
    "metering.fct_capacity_hour": (
        (
            "tranche_id VARCHAR, interval_start_at TIMESTAMPTZ, installed_gpu_hours DECIMAL(28,9), no_sample_gpu_hours DECIMAL(28,9), "
            "fault_gpu_hours DECIMAL(28,9), maintenance_gpu_hours DECIMAL(28,9), available_gpu_hours DECIMAL(28,9), "
            "leased_gpu_hours DECIMAL(28,9), busy_gpu_hours DECIMAL(28,9), it_energy_kwh DECIMAL(28,9), coverage_fraction DECIMAL(18,9)"
        ),
        "('T', '2027-01-01 00:00Z', 72, 0, 0, 0, 72, 70, 60, 90, 1)",
    ),
    "metering.fct_power_day": (
        "facility_energy_kwh DECIMAL(28,9), estimated_energy_fraction DECIMAL(18,9), pue DECIMAL(18,9)",
        "(100, 0, 1.2)",
    ),
    "revenue_share.fct_share_month": (
        "contract_id VARCHAR, service_month DATE, effective_rate DECIMAL(18,9), activation_fraction DECIMAL(9,6)",
        "('C', '2027-01-01', 0.25, 1)",
    ),
    "backstop.fct_backstop_month": (
        (
            "claim_amount DECIMAL(18,2), unsold_gpu_hours DECIMAL(28,9), claim_gpu_hours DECIMAL(28,9), "
            "installed_gpu_hours DECIMAL(28,9), committed_gpu_hours DECIMAL(28,9)"
        ),
        "(10, 100, 90, 1000, 850)",
    ),
}
FAULTS = {
    "staging.stg_leases": ("ends_at = starts_at", "expect_column_pair_values_a_to_be_greater_than_b:ends_at"),
    "staging.stg_payments": ("direction = 'sideways'", "expect_column_values_to_be_in_set:direction"),
    "staging.stg_fx_rate": ("rate = 0", "expect_column_values_to_be_between:rate"),
    "metering.fct_capacity_hour": (
        "available_gpu_hours = 73",
        "expect_column_pair_values_a_to_be_greater_than_b:installed_gpu_hours",
    ),
    "metering.fct_power_day": ("pue = 9", "expect_column_values_to_be_between:pue"),
    "revenue_share.fct_share_month": (
        "activation_fraction = 1.5",
        "expect_column_values_to_be_between:activation_fraction",
    ),
    "backstop.fct_backstop_month": (
        "claim_gpu_hours = 101",
        "expect_column_pair_values_a_to_be_greater_than_b:unsold_gpu_hours",
    ),
}


def _warehouse(path: Path, faults: dict[str, tuple[str, str]]) -> Path:
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone='UTC'")
        for table, (columns, row) in PLAUSIBLE.items():
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.')[0]}")
            connection.execute(f"CREATE TABLE {table} ({columns})")
            connection.execute(f"INSERT INTO {table} VALUES {row}")
            if table in faults:
                connection.execute(f"UPDATE {table} SET {faults[table][0]}")
    return path


def test_a_suite_stands_for_every_checked_table() -> None:
    assert set(SUITES) == set(CHECKED) == set(PLAUSIBLE) == set(FAULTS)


def test_plausible_tables_pass_and_each_planted_fault_is_found_and_only_it(tmp_path: Path) -> None:
    sound = validate_apart(str(_warehouse(tmp_path / "sound.duckdb", {})), CHECKED)
    assert [(t, e.name) for t, found in sound.items() for e in found if not e.passed] == []
    assert all(sound[table] for table in CHECKED)
    faulty = validate_apart(str(_warehouse(tmp_path / "faulty.duckdb", FAULTS)), CHECKED)
    assert {t: [e.name for e in found if not e.passed] for t, found in faulty.items()} == {
        table: [name] for table, (_, name) in FAULTS.items()
    }
    outside = next(e for e in faulty["metering.fct_power_day"] if not e.passed)
    assert "1 of 1 rows outside" in outside.measured


def test_a_warehouse_that_cannot_be_read_is_an_error_and_not_a_pass(tmp_path: Path) -> None:
    (tmp_path / "no.duckdb").write_text("this is no database")
    with pytest.raises(RuntimeError, match="Great Expectations could not run"):
        validate_apart(str(tmp_path / "no.duckdb"), ["staging.stg_fx_rate"])
