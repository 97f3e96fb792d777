"""Homes written by hand for the tests of the dbt project; each function fills an empty raw schema."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from raw_fixture import put, put_lake_files


def put_home(con: duckdb.DuckDBPyConnection, clock_at: str) -> None:
    put(
        con,
        "home",
        title="Test home",
        as_of_date=clock_at[:10],
        clock_at=clock_at,
        reporting_currency_code="USD",
        is_simulated=True,
    )
    put(con, "policy", policy="close_after_days", value_text="10")
    put(con, "policy", policy="fatal_xid_codes", value_text="[79, 48]")
    put(
        con,
        "vendor",
        vendor_id="nvidia",
        vendor_name="NVIDIA",
        issuer_id="nvidia",
        fiscal_year_end_month=1,
        fiscal_year_end_rule="last_sunday",
    )
    put(
        con,
        "operator",
        operator_id="op",
        operator_name="Operator",
        parent_id="op",
        country_code="ID",
        rating="B",
        rating_agency="SP",
    )


def put_park(con: duckdb.DuckDBPyConnection, **values: Any) -> None:
    put(
        con,
        "park",
        **{
            "park_id": "park",
            "park_name": "Park",
            "operator_id": "op",
            "country_code": "ID",
            "time_zone": "Asia/Jakarta",
            "currency_code": "USD",
            "it_power_mw": 10,
            "telemetry_interval_seconds": 3600,
            "pue_min": 1,
            "pue_max": 2,
            "is_simulated": True,
            **values,
        },
    )


def put_contract(con: duckdb.DuckDBPyConnection, **values: Any) -> None:
    put(
        con,
        "contract",
        **{
            "contract_id": "c",
            "vendor_id": "nvidia",
            "operator_id": "op",
            "park_id": "park",
            "currency_code": "USD",
            "minor_unit_digits": 2,
            "signed_date": date(2026, 12, 1),
            "service_commencement_date": date(2027, 2, 1),
            "expiry_date": date(2033, 1, 31),
            "is_booked": True,
            **values,
        },
    )


def put_share(con: duckdb.DuckDBPyConnection, tiers: list[dict[str, Any]], **values: Any) -> None:
    """One block of share terms in one version, with its tiers; the version row is written once per version."""
    terms = {
        "contract_id": "c",
        "share_id": "share",
        "amendment_id": "original",
        "valid_from": date(2027, 2, 1),
        "recorded_at": "2026-12-01T00:00:00Z",
        "share_basis": "pct_of_base",
        "base_measure": "net_billed",
        "base_scope": "supported_capacity_only",
        "customer_scope": "third_party_only",
        "exclusions": ["sales_tax"],
        "declining": False,
        "negative_base": "credit_note",
        "statement_due_days": 15,
        "payment_terms_days": 60,
        "late_rate": 0,
        "fx_source": "ecb",
        "fx_fix": "average",
        "withholding_tax_rate": 0,
        "gross_up": False,
        **values,
    }
    put(con, "share_terms", **terms)
    known = con.execute(
        "SELECT count(*) FROM raw.contract_version WHERE contract_id = ? AND amendment_id = ? AND instrument = 'revenue_share'",
        [terms["contract_id"], terms["amendment_id"]],
    ).fetchall()[0][0]
    if not known:
        put(
            con,
            "contract_version",
            instrument="revenue_share",
            **{k: terms[k] for k in ("contract_id", "amendment_id", "valid_from", "recorded_at")},
        )
    for number, tier in enumerate(tiers, start=1):
        put(
            con,
            "share_tier",
            **{
                "contract_id": terms["contract_id"],
                "share_id": terms["share_id"],
                "amendment_id": terms["amendment_id"],
                "tier_no": number,
                "axis": "contract_month",
                "application": "marginal",
                **tier,
            },
        )


def put_backstop(
    con: duckdb.DuckDBPyConnection,
    prices: list[dict[str, Any]],
    ramp: list[dict[str, Any]] | None = None,
    **values: Any,
) -> None:
    terms = {
        "contract_id": "c",
        "amendment_id": "original",
        "valid_from": date(2027, 2, 1),
        "recorded_at": "2026-12-01T00:00:00Z",
        "settlement_type": "unsold_hours_x_price",
        "committed_fraction": "0.85",
        "excluded_causes": ["operator_fault"],
        "maintenance_allowance_fraction": 0,
        "effective_event": "energised",
        "lifetime_cap_reduces_with": ["payment"],
        "withdrawal_allowed": True,
        "withdrawal_notice_days": 0,
        "withdrawal_recall": True,
        "buyer_own_use_reduces": True,
        "claim_notice_days": 20,
        "claim_cure_days": 10,
        "claim_payment_days": 45,
        "set_off_scope": "none",
        "set_off_enforceable": False,
        "resale_allowed": True,
        "resale_proceeds_to": "vendor",
        "survives_operator_insolvency": False,
        "accounting_class": "purchase_commitment_disclosure",
        "fx_source": "ecb",
        "fx_fix": "average",
        **values,
    }
    put(con, "backstop_terms", **terms)
    keys = {k: terms[k] for k in ("contract_id", "amendment_id")}
    put(
        con,
        "contract_version",
        instrument="backstop",
        valid_from=terms["valid_from"],
        recorded_at=terms["recorded_at"],
        **keys,
    )
    for price in prices:
        put(con, "backstop_price", **keys, **{"from_month": 1, "to_month": 72, **price})
    for step in ramp or []:
        put(con, "backstop_ramp", **keys, **step)


def put_lease(con: duckdb.DuckDBPyConnection, **values: Any) -> None:
    put(
        con,
        "leases",
        **{
            "park_id": "park",
            "lease_id": "l1",
            "version": 1,
            "tenant_id": "t1",
            "tenant_name": "Tenant",
            "contract_id": "c",
            "tranche_id": "tr",
            "gpu_model": "GB300",
            "gpu_count": 1000,
            "price_per_gpu_hour": "2.50",
            "currency_code": "USD",
            "workload": "training",
            "customer_type": "third_party",
            "pricing": "reserved",
            "status": "active",
            "recorded_at": "2027-01-15T00:00:00Z",
            **values,
        },
    )


def put_tranche(con: duckdb.DuckDBPyConnection, **values: Any) -> None:
    put(
        con,
        "tranche",
        **{
            "tranche_id": "tr",
            "park_id": "park",
            "contract_id": "c",
            "gpu_model": "GB300",
            "gpu_count": 2000,
            "planned_date": date(2027, 2, 1),
            "energised_date": date(2027, 2, 1),
            "nodes": "*",
            **values,
        },
    )


def put_whole_rack_days(
    con: duckdb.DuckDBPyConnection,
    home: Path,
    *,
    park_id: str,
    tranche_id: str,
    gpu_count: int,
    time_zone: str,
    first: date,
    last: date,
    recorded_after: str = "1 hour",
    utilization_milli_pct: int = 50_000,
    power_microwatt: int = 1_000_000_000,
) -> None:
    """Hourly telemetry of a tranche read as one rack: one row an hour that stands for all its GPUs, a file a day."""
    put_lake_files(
        con,
        home,
        name=tranche_id,
        select=f"""
            SELECT '{park_id}' AS park_id, service_date, '{tranche_id}-rack' AS gpu_id, 'n1' AS node_id, 'GB300' AS gpu_model,
                   '{tranche_id}' AS tranche_id, h AS sampled_at, h AS interval_start_at,
                   {utilization_milli_pct} AS utilization_milli_pct, {power_microwatt} AS power_microwatt, {gpu_count} AS gpu_count,
                   timezone('{time_zone}', service_date + INTERVAL 1 DAY) + INTERVAL {recorded_after} AS recorded_at,
                   row_number() OVER (ORDER BY h) AS line_no
            FROM ({hours_of_days(time_zone, first, last)})""",
    )


def hours_of_days(time_zone: str, first: date, last: date) -> str:
    """SELECT of service_date and h: the instants at which the hours of a zone's days begin, 23 to 25 a day."""
    return f"""SELECT service_date, unnest(generate_series(timezone('{time_zone}', service_date::TIMESTAMP),
        timezone('{time_zone}', service_date + INTERVAL 1 DAY) - INTERVAL 1 HOUR, INTERVAL 1 HOUR)) AS h
        FROM (SELECT unnest(generate_series(DATE '{first}', DATE '{last}', INTERVAL 1 DAY))::DATE AS service_date)"""


def worked_month(con: duckdb.DuckDBPyConnection, home: Path) -> None:
    """READINGS.md, "A worked month": February 2027 of one lease and one tranche."""
    put_home(con, "2027-04-01T00:00:00Z")
    put_park(con)
    put_contract(con)
    put_tranche(con)
    put_share(con, [{"from_month": 1, "to_month": None, "rate": "0.25"}])
    put_backstop(con, [{"price_per_gpu_hour": "2.00"}], deductible_fraction="0.05", expiry_date=date(2033, 1, 31))
    put_lease(con, starts_at="2027-02-01T00:00:00+07:00", ends_at="2027-03-01T00:00:00+07:00", status="ended")
    put(
        con,
        "lease_adjustments",
        park_id="park",
        adjustment_id="a1",
        lease_id="l1",
        service_date=date(2027, 2, 10),
        kind="sla_penalty",
        amount="-12345.67",
        currency_code="USD",
        recorded_at="2027-02-20T00:00:00Z",
    )
    put(
        con,
        "lease_adjustments",
        park_id="park",
        adjustment_id="a2",
        lease_id="l1",
        service_date=date(2027, 2, 28),
        kind="sales_tax",
        amount="168000",
        currency_code="USD",
        recorded_at="2027-02-28T00:00:00Z",
    )
    put_whole_rack_days(
        con,
        home,
        park_id="park",
        tranche_id="tr",
        gpu_count=2000,
        time_zone="Asia/Jakarta",
        first=date(2027, 2, 1),
        last=date(2027, 3, 31),
    )
