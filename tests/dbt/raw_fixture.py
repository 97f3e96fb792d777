"""A tiny warehouse written by hand: the raw tables that the dbt project reads, and a row at a time put into them.

Not a copy of any feed reader: tables hold exactly what a test says. Columns that a test does not name are null.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import duckdb

from ingest import holding, kept_journal, lake, manifest

LINEAGE = "park_id VARCHAR, recorded_at TIMESTAMPTZ, file_id VARCHAR, line_no BIGINT, content_hash VARCHAR"

FEEDS: dict[str, str] = {
    "power_meter": "meter_id VARCHAR, register VARCHAR, role VARCHAR, interval_start_at TIMESTAMPTZ, interval_end_at TIMESTAMPTZ,"
    " energy_kwh DECIMAL(18,6), quality VARCHAR",
    "leases": "lease_id VARCHAR, version INTEGER, tenant_id VARCHAR, tenant_name VARCHAR, tenant_parent_id VARCHAR, contract_id VARCHAR,"
    " tranche_id VARCHAR, gpu_model VARCHAR, gpu_count INTEGER, starts_at TIMESTAMPTZ, ends_at TIMESTAMPTZ,"
    " price_per_gpu_hour DECIMAL(18,9), currency_code VARCHAR, workload VARCHAR, customer_type VARCHAR, pricing VARCHAR, status VARCHAR",
    "lease_usage": "lease_id VARCHAR, interval_start_at TIMESTAMPTZ, interval_end_at TIMESTAMPTZ, gpu_hours DECIMAL(18,6)",
    "lease_assignments": "lease_id VARCHAR, node_id VARCHAR, starts_at TIMESTAMPTZ, ends_at TIMESTAMPTZ",
    "lease_adjustments": "adjustment_id VARCHAR, lease_id VARCHAR, service_date DATE, kind VARCHAR, amount DECIMAL(18,2),"
    " currency_code VARCHAR",
    "payments": "payment_id VARCHAR, contract_id VARCHAR, direction VARCHAR, received_at TIMESTAMPTZ, amount DECIMAL(18,2),"
    " currency_code VARCHAR, remittance_reference VARCHAR, funded_by_claim BOOLEAN, lease_id VARCHAR",
    "credit_events": "event_id VARCHAR, contract_id VARCHAR, tranche_id VARCHAR, kind VARCHAR, effective_at TIMESTAMPTZ,"
    " ends_at TIMESTAMPTZ, gpu_count INTEGER, amount DECIMAL(18,2), currency_code VARCHAR, payload VARCHAR",
}

TERMS: dict[str, str] = {
    "home": "title VARCHAR, as_of_date DATE, clock_at TIMESTAMPTZ, reporting_currency_code VARCHAR, is_simulated BOOLEAN,"
    " simulation_note VARCHAR",
    "policy": "policy VARCHAR, value_text VARCHAR",
    "park": "park_id VARCHAR, park_name VARCHAR, operator_id VARCHAR, country_code VARCHAR, time_zone VARCHAR, currency_code VARCHAR,"
    " it_power_mw DECIMAL(18,6), telemetry_interval_seconds INTEGER, pue_min DECIMAL(9,6), pue_max DECIMAL(9,6), is_simulated BOOLEAN",
    "operator": "operator_id VARCHAR, operator_name VARCHAR, parent_id VARCHAR, country_code VARCHAR, rating VARCHAR,"
    " rating_agency VARCHAR",
    "vendor": "vendor_id VARCHAR, vendor_name VARCHAR, issuer_id VARCHAR, fiscal_year_end_month INTEGER, fiscal_year_end_rule VARCHAR",
    "tranche": "tranche_id VARCHAR, park_id VARCHAR, contract_id VARCHAR, gpu_model VARCHAR, gpu_count INTEGER, planned_date DATE,"
    " energised_date DATE, nodes VARCHAR",
    "contract": "contract_id VARCHAR, vendor_id VARCHAR, operator_id VARCHAR, park_id VARCHAR, currency_code VARCHAR,"
    " minor_unit_digits INTEGER, signed_date DATE, service_commencement_date DATE, expiry_date DATE, is_booked BOOLEAN",
    "contract_version": "contract_id VARCHAR, amendment_id VARCHAR, valid_from DATE, recorded_at TIMESTAMPTZ, instrument VARCHAR",
    "share_terms": "contract_id VARCHAR, share_id VARCHAR, amendment_id VARCHAR, valid_from DATE, recorded_at TIMESTAMPTZ,"
    " share_basis VARCHAR, base_measure VARCHAR, base_scope VARCHAR, customer_scope VARCHAR, exclusions VARCHAR[],"
    " floor_price_per_gpu_hour DECIMAL(18,9), breakpoint_amount DECIMAL(18,2), declining BOOLEAN, combine VARCHAR,"
    " minimum_amount DECIMAL(18,2), minimum_period VARCHAR, minimum_creditable BOOLEAN, period_cap_amount DECIMAL(18,2),"
    " period_cap_period VARCHAR, lifetime_cap_amount DECIMAL(18,2), return_multiple DECIMAL(18,9), hardware_amount DECIMAL(18,2),"
    " accrual_period VARCHAR, true_up_frequency VARCHAR, true_up_carry_forward BOOLEAN, true_up_due_days INTEGER,"
    " true_up_interest BOOLEAN, reserve_fraction DECIMAL(18,9), reserve_release_months INTEGER,"
    " negative_base VARCHAR, statement_due_days INTEGER,"
    " payment_terms_days INTEGER, late_rate DECIMAL(18,9), fx_source VARCHAR, fx_fix VARCHAR, withholding_tax_rate DECIMAL(18,9),"
    " gross_up BOOLEAN",
    "share_tier": "contract_id VARCHAR, share_id VARCHAR, amendment_id VARCHAR, tier_no INTEGER, axis VARCHAR, from_month INTEGER,"
    " to_month INTEGER, from_date DATE, to_date DATE, from_value DECIMAL(18,9), to_value DECIMAL(18,9), rate DECIMAL(18,9),"
    " application VARCHAR",
    "share_activation": "contract_id VARCHAR, share_id VARCHAR, amendment_id VARCHAR, criterion_no INTEGER, metric VARCHAR,"
    " operator VARCHAR, value DECIMAL(18,9), test_window_months INTEGER, cure_months INTEGER",
    "backstop_terms": "contract_id VARCHAR, amendment_id VARCHAR, valid_from DATE, recorded_at TIMESTAMPTZ, settlement_type VARCHAR,"
    " committed_fraction DECIMAL(18,9), excluded_causes VARCHAR[], maintenance_allowance_fraction DECIMAL(18,9),"
    " effective_event VARCHAR, longstop_days INTEGER, deductible_gpu_hours DECIMAL(18,6), deductible_fraction DECIMAL(18,9),"
    " period_cap_amount DECIMAL(18,2), period_cap_period VARCHAR, lifetime_cap_amount DECIMAL(18,2),"
    " lifetime_cap_reduces_with VARCHAR[], withdrawal_allowed BOOLEAN, withdrawal_notice_days INTEGER, withdrawal_recall BOOLEAN,"
    " withdrawal_tranche_min INTEGER, withdrawal_claw_back_fraction DECIMAL(18,9),"
    " annual_cap_amount DECIMAL(18,2), first_loss_band DECIMAL(18,9),"
    " buyer_own_use_reduces BOOLEAN, claim_notice_days INTEGER, claim_cure_days INTEGER, claim_payment_days INTEGER,"
    " set_off_scope VARCHAR, set_off_enforceable BOOLEAN, resale_allowed BOOLEAN, resale_proceeds_to VARCHAR,"
    " survives_operator_insolvency BOOLEAN, expiry_date DATE, accounting_class VARCHAR, make_up_window_months INTEGER,"
    " fx_source VARCHAR, fx_fix VARCHAR, lifetime_cap_index_id VARCHAR, residual_value_support_pct DECIMAL(18,9),"
    " attachment_pct DECIMAL(18,9), rv_date DATE, rv_hardware_price_per_gpu DECIMAL(18,2)",
    "backstop_ramp": "contract_id VARCHAR, amendment_id VARCHAR, from_month INTEGER, to_month INTEGER, fraction DECIMAL(18,9)",
    "backstop_price": "contract_id VARCHAR, amendment_id VARCHAR, from_month INTEGER, to_month INTEGER,"
    " price_per_gpu_hour DECIMAL(18,9), index_id VARCHAR",
    "backstop_termination": "contract_id VARCHAR, amendment_id VARCHAR, ground VARCHAR, notice_days INTEGER, payer VARCHAR,"
    " termination_amount DECIMAL(18,2)",
    "token_advance": "contract_id VARCHAR, amendment_id VARCHAR, valid_from DATE, recorded_at TIMESTAMPTZ, advance_id VARCHAR,"
    " share_id VARCHAR, advance_type VARCHAR, face_amount DECIMAL(18,2), currency_code VARCHAR, unit VARCHAR,"
    " conversion_price DECIMAL(18,9), beneficiary VARCHAR, grant_date DATE, expiry_date DATE, recoup_order VARCHAR,"
    " recoupment_rate DECIMAL(18,9), recourse VARCHAR, interest DECIMAL(18,9)",
    "contract_term": "contract_id VARCHAR, instrument VARCHAR, term VARCHAR, valid_from DATE, valid_to DATE, amendment_id VARCHAR,"
    " recorded_at TIMESTAMPTZ, value_text VARCHAR, evidence_grade VARCHAR, source VARCHAR",
    "operator_fact": "operator_id VARCHAR, as_of_date DATE, published_date DATE, item VARCHAR, amount DECIMAL(18,2),"
    " currency_code VARCHAR, source VARCHAR, grade VARCHAR, contract_id VARCHAR",
    "hardware_value": "observed_date DATE, gpu_model VARCHAR, kind VARCHAR, park_id VARCHAR, price_per_gpu DECIMAL(18,2),"
    " currency_code VARCHAR, source VARCHAR, grade VARCHAR",
    "fx_rate": "rate_date DATE, from_currency VARCHAR, to_currency VARCHAR, rate DECIMAL(18,9), source VARCHAR",
}

LAKE_COLUMNS = (
    "gpu_id VARCHAR, node_id VARCHAR, gpu_model VARCHAR, tranche_id VARCHAR, sampled_at TIMESTAMPTZ, interval_start_at TIMESTAMPTZ,"
    " utilization_milli_pct INTEGER, power_microwatt BIGINT, gpu_count INTEGER, energy_mj BIGINT, memory_used_mib BIGINT,"
    " xid_code INTEGER, recorded_at TIMESTAMPTZ, line_no BIGINT, file_id VARCHAR"
)


def create_raw(con: duckdb.DuckDBPyConnection) -> None:
    """Create every raw table, empty, and a lake view without files."""
    con.execute("SET TimeZone = 'UTC'")
    con.execute("CREATE SCHEMA raw")
    for name, columns in FEEDS.items():
        con.execute(f"CREATE TABLE raw.{name} ({columns}, {LINEAGE})")
    for name, columns in TERMS.items():
        con.execute(f"CREATE TABLE raw.{name} ({columns})")
    con.execute(manifest.LANDED_FILE_DDL)
    con.execute(holding.DDL)
    kept_journal.create_tables(con)
    lake.create_tables(con)
    con.execute(f"CREATE TABLE raw.gpu_telemetry ({LAKE_COLUMNS}, park_id VARCHAR, service_date DATE)")


def view_telemetry(con: duckdb.DuckDBPyConnection, home: Path) -> None:
    """Make raw.gpu_telemetry what it is in a home: a view over the catalogued files."""
    if con.execute("SELECT 1 FROM raw.lake_file LIMIT 1").fetchone():
        con.execute("DROP TABLE raw.gpu_telemetry")
        lake.create_view(con, "gpu_telemetry", home)


def put(con: duckdb.DuckDBPyConnection, table: str, **values: Any) -> None:
    """Insert one row; a feed's row gets its content hash and lineage where the test does not give them."""
    if table in FEEDS:
        content = repr(sorted((k, str(v)) for k, v in values.items() if k not in {"recorded_at", "file_id", "line_no"}))
        values = {
            "file_id": "by-hand",
            "line_no": 1,
            "content_hash": hashlib.sha256(content.encode()).hexdigest(),
            **values,
        }
    names = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join("?" for _ in values)
    con.execute(f"INSERT INTO raw.{table} ({names}) VALUES ({marks})", list(values.values()))


def put_lake_files(con: duckdb.DuckDBPyConnection, home: Path, *, name: str, select: str) -> None:
    """Write and catalogue telemetry: a file for each park and day of a SELECT that gives the lake's columns and both keys by name."""
    folder = home / "lake" / "gpu_telemetry"
    folder.mkdir(parents=True, exist_ok=True)
    con.execute(f"CREATE OR REPLACE TEMP TABLE batch ({LAKE_COLUMNS}, park_id VARCHAR, service_date DATE)")
    con.execute(f"INSERT INTO batch BY NAME {select}")
    con.execute("UPDATE batch SET file_id = ? || '-' || service_date", [name])
    con.execute("SET threads = 1")  # one writer, one file for each partition
    con.execute(
        f"COPY batch TO '{folder}' (FORMAT parquet, PARTITION_BY (park_id, service_date), FILENAME_PATTERN '{name}-', OVERWRITE_OR_IGNORE)"
    )
    con.execute("RESET threads")
    con.execute(
        f"""INSERT INTO raw.lake_file BY NAME
            SELECT 'gpu_telemetry' AS feed, park_id, service_date, file_id,
                   'lake/gpu_telemetry/park_id=' || park_id || '/service_date=' || service_date || '/{name}-0.parquet' AS path,
                   '{lake.REWRITTEN}' AS layout, 0 AS clock_shift_seconds, 'by hand' AS reading_hash,
                   CASE WHEN min(tranche_id) = max(tranche_id) THEN min(tranche_id) END AS tranche_id,
                   count(*) AS row_count, min(recorded_at) AS min_recorded_at, max(recorded_at) AS max_recorded_at,
                   count(*) > count(DISTINCT (gpu_id, sampled_at)) AS has_duplicate_keys,
                   bool_and(gpu_count = 1) AS is_one_gpu_a_row, bool_or(xid_code IS NOT NULL) AS has_xid_codes,
                   min(gpu_id) AS min_gpu_id, max(gpu_id) AS max_gpu_id,
                   min(interval_start_at) AS first_hour_at, max(interval_start_at) AS last_hour_at,
                   CASE WHEN min(sampled_at - interval_start_at) = max(sampled_at - interval_start_at)
                        THEN epoch_us(min(sampled_at)) - epoch_us(min(interval_start_at)) END AS microsecond_of_hour,
                   count(*) AS landed_count, 0 AS duplicate_count, 0 AS superseded_count
            FROM batch GROUP BY park_id, service_date, file_id"""
    )
    con.execute(
        "INSERT INTO raw.landed_file SELECT file_id, park_id, 'gpu_telemetry', 'parquet', file_id, min(recorded_at), 0, count(*),"
        " 0, 0, 0, 0, 'landed', NULL, 'by hand' FROM batch GROUP BY park_id, file_id"
    )
    con.execute(
        "INSERT OR REPLACE INTO raw.lake_hour SELECT DISTINCT park_id, interval_start_at, service_date FROM batch"
    )
    for park_id, days in con.execute("SELECT park_id, list(DISTINCT service_date) FROM batch GROUP BY ALL").fetchall():
        lake.recount(con, home, "gpu_telemetry", park_id, set(days))
