"""A home whose metering is done: parks, contracts of twenty kinds, leases with bills and payments, and metering's tables.

A contract's kind follows from its number, so that a tenth of the contracts holds a tenth of each kind. Facts are made
by SQL in sets and follow from nothing but their own keys. Each bears the instant at which it came to be known: most in
time, some after a close or two, some corrected. The home's clock alone decides how many of them are seen.
"""

from __future__ import annotations

import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).parents[1] / "dbt"))
from raw_fixture import create_raw, put
from scenarios import put_backstop, put_contract, put_home, put_park, put_share, put_tranche

FIRST = date(2025, 1, 1)
EXPIRY = date(2030, 12, 31)
LEASES_A_CONTRACT, CONTRACTS_A_PARK, TRANCHE_GPUS = 100, 10, 5_000
KINDS = 20
ZONES = ("Australia/Sydney", "Asia/Jakarta", "America/New_York", "UTC")
AMENDED = {"valid_from": date(2026, 4, 1), "recorded_at": "2026-05-20T00:00:00Z", "amendment_id": "amendment-1"}
M = 1_000_000


def _by_month(*steps: tuple[int, int | None, str]) -> list[dict[str, Any]]:
    return [{"from_month": first, "to_month": last, "rate": Decimal(rate)} for first, last, rate in steps]


def _by_value(axis: str, application: str, *steps: tuple[Any, Any, str]) -> list[dict[str, Any]]:
    return [
        {"axis": axis, "application": application, "from_value": low, "to_value": high, "rate": Decimal(rate)}
        for low, high, rate in steps
    ]


DECLINING = _by_month((1, 12, "0.25"), (13, 24, "0.20"), (25, None, "0.15"))
# What a block of the share says, and its tiers; the kinds that are in the press first.
SHARES: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    ({"share_basis": "pct_of_base"}, DECLINING),
    (
        {"share_basis": "pct_above_floor", "floor_price_per_gpu_hour": Decimal("2.12")},
        _by_month((1, None, "0.5")),
    ),
    (
        {
            "share_basis": "greater_of_min_or_pct",
            "minimum_amount": M,
            "minimum_period": "month",
            "minimum_creditable": True,
            "period_cap_amount": 3 * M,
            "period_cap_period": "month",
        },
        _by_month((1, None, "0.2")),
    ),
    (
        {
            "share_basis": "pct_above_breakpoint",
            "minimum_amount": M // 2,
            "minimum_period": "month",
            "minimum_creditable": False,
        },
        DECLINING,
    ),
    (
        {"share_basis": "pct_of_base", "lifetime_cap_amount": 60 * M},
        _by_value(
            "cumulative_base", "marginal", (0, 80 * M, "0.25"), (80 * M, 200 * M, "0.2"), (200 * M, None, "0.12")
        ),
    ),
    (
        {"share_basis": "pct_of_base", "base_measure": "gross_billed", "exclusions": ["sales_tax", "sla_penalties"]},
        _by_value("price_per_gpu_hour", "marginal", (0, "2.1", "0.1"), ("2.1", None, "0.4")),
    ),
    (
        {"share_basis": "pct_of_base", "customer_scope": "incl_related"},
        _by_value("occupancy", "cliff", (0, "0.6", "0.1"), ("0.6", None, "0.22")),
    ),
    (
        {"share_basis": "pct_of_base", "base_measure": "cash_collected", "negative_base": "carry_forward"},
        [
            {"axis": "date", "from_date": FIRST, "to_date": date(2026, 3, 14), "rate": Decimal("0.25")},
            {"axis": "date", "from_date": date(2026, 3, 15), "to_date": None, "rate": Decimal("0.2")},
        ],
    ),
    (
        {
            "share_basis": "pct_above_floor",
            "floor_price_per_gpu_hour": Decimal("1.75"),
            "minimum_amount": M,
            "minimum_period": "quarter",
            "true_up_frequency": "contract_year",
            "true_up_carry_forward": True,
        },
        DECLINING,
    ),
    (
        {"share_basis": "pct_of_base", "withholding_tax_rate": Decimal("0.1"), "gross_up": True},
        _by_value("cumulative_share_paid", "marginal", (0, 10 * M, "0.25"), (10 * M, None, "0.15")),
    ),
]
BACKSTOPS: list[dict[str, Any]] = [
    {"period_cap_amount": 2 * M, "period_cap_period": "month", "deductible_fraction": Decimal("0.05")},
    {"period_cap_amount": 5 * M, "period_cap_period": "quarter", "lifetime_cap_amount": 90 * M},
    {
        "lifetime_cap_amount": 80 * M,
        "lifetime_cap_reduces_with": ["payment", "time", "third_party_sale"],
        "annual_cap_amount": 12 * M,
    },
    {"deductible_gpu_hours": 20_000, "maintenance_allowance_fraction": Decimal("0.01")},
]
CAUSES = ["operator_fault", "maintenance_above_allowance", "power_curtailment"]


def connect(home: Path) -> duckdb.DuckDBPyConnection:
    """The home's warehouse, in UTC and with two threads."""
    con = duckdb.connect(str(home / "warehouse.duckdb"))
    con.execute("SET TimeZone = 'UTC'; SET threads = 2; SET preserve_insertion_order = false")
    return con


def write_home(home: Path, contracts: int, clock_at: str, months: int) -> None:
    """The raw tables of so many contracts, with facts of so many months; what is known at the clock is what counts."""
    home.mkdir(parents=True)
    with connect(home) as con:
        create_raw(con)
        put_home(con, clock_at)
        for park in range(-(-contracts // CONTRACTS_A_PARK)):
            put_park(con, park_id=_park(park), time_zone=ZONES[park % len(ZONES)])
        for number in range(contracts):
            _put_terms(con, number)
        _facts(con, months)


def set_clock(home: Path, clock_at: str) -> None:
    """Turn the home's clock."""
    with connect(home) as con:
        con.execute("UPDATE raw.home SET clock_at = ?, as_of_date = CAST(? AS DATE)", [clock_at, clock_at[:10]])


def _park(number: int) -> str:
    return f"p{number:02d}"


def _put_terms(con: duckdb.DuckDBPyConnection, number: int) -> None:
    contract_id, park_id, kind = f"c{number:03d}", _park(number // CONTRACTS_A_PARK), number % KINDS
    put_contract(
        con,
        contract_id=contract_id,
        park_id=park_id,
        service_commencement_date=FIRST,
        expiry_date=EXPIRY,
    )
    put_tranche(
        con,
        tranche_id=f"{contract_id}-a",
        park_id=park_id,
        contract_id=contract_id,
        gpu_count=TRANCHE_GPUS,
        planned_date=FIRST,
        energised_date=FIRST,
    )
    version = {"contract_id": contract_id, "valid_from": FIRST, "recorded_at": "2024-12-01T00:00:00Z"}
    terms, tiers = SHARES[kind % len(SHARES)]
    put_share(con, tiers, **version, **terms)
    if kind == 18:  # a second block beside the first
        put_share(con, _by_month((1, None, "0.03")), share_id="second", base_measure="gross_billed", **version)
    if kind in {6, 16}:
        put(
            con,
            "share_activation",
            contract_id=contract_id,
            share_id="share",
            amendment_id="original",
            criterion_no=1,
            metric="occupancy",
            operator=">=",
            value=Decimal("0.3"),
            test_window_months=3,
            cure_months=1,
        )
    if kind in {0, 19}:
        put(con, "contract_version", instrument="token_advances", amendment_id="original", **version)
        put(
            con,
            "token_advance",
            amendment_id="original",
            advance_id="advance",
            share_id="share",
            advance_type="cash",
            unit="USD",
            face_amount=8 * M,
            conversion_price=1,
            grant_date=FIRST,
            recoup_order="from_share" if kind else "before_share",
            recoupment_rate=Decimal("0.3"),
            **version,
        )
    prices = [
        {
            "from_month": 1,
            "to_month": 24,
            "price_per_gpu_hour": Decimal("2.12"),
            "index_id": "cpi" if kind % 3 == 0 else None,
        },
        {"from_month": 25, "to_month": None, "price_per_gpu_hour": Decimal("1.77")},
    ]
    put_backstop(
        con,
        prices,
        ramp=[{"from_month": 1, "to_month": 3, "fraction": Decimal("0.5")}] if kind % 2 else None,
        expiry_date=EXPIRY,
        **{"excluded_causes": CAUSES, **version, **BACKSTOPS[kind % len(BACKSTOPS)]},
    )
    if kind % 5 == 3:
        put_share(con, tiers, contract_id=contract_id, **AMENDED, **terms, late_rate=Decimal("0.05"))


def _facts(con: duckdb.DuckDBPyConnection, months: int) -> None:
    """Leases, use, bills, receipts, payments, events and rates."""
    con.execute(
        f"""CREATE TEMP TABLE lease AS
        SELECT c.contract_id, c.park_id, c.contract_id || '-a' AS tranche_id, c.contract_id || '-l' || lpad(no::VARCHAR, 3,
            '0') AS lease_id,
            no, CAST(right(c.contract_id, 3) AS INTEGER) % {KINDS} AS kind, p.time_zone,
            -- A third runs from the first day, the others begin in some later month and last one to three years.
            CAST(CASE WHEN no % 3 = 0
                THEN DATE '{FIRST}' ELSE DATE '{FIRST}' + CAST(no * 37 % {months * 30} AS INTEGER) END AS DATE) AS from_date,
            CAST(from_date + CAST(365 + no * 53 % 730 AS INTEGER) AS DATE) AS to_date,
            20 + no * 29 % 121 AS gpu_count,
            CAST(1.80 + no * 7 % 13 * 0.1 AS DECIMAL(18, 9)) AS price,
            CASE WHEN kind = 2 AND no % 10 = 1 THEN 'AUD' ELSE 'USD' END AS currency_code,
            CASE WHEN no % 10 = 4 THEN 'metered' ELSE 'reserved' END AS pricing,
            CASE WHEN no % 25 = 7 THEN 'related' WHEN no % 25 = 12 THEN 'vendor_own_use' ELSE 'third_party' END AS customer_type
        FROM raw.contract AS c INNER JOIN raw.park AS p USING (park_id), range({LEASES_A_CONTRACT}) AS numbers (no)"""
    )
    # One lease in ten gets dearer after two hundred days, told a month after; one in fifty was told a wrong count at first.
    con.execute(
        """INSERT INTO raw.leases BY NAME
        SELECT park_id, lease_id, version, 't' || no % 40 AS tenant_id, 'Tenant ' || no % 40 AS tenant_name, contract_id, tranche_id,
            'GB300' AS gpu_model, gpu_count + wrong AS gpu_count, timezone(time_zone, starts::TIMESTAMP) AS starts_at,
            timezone(time_zone, to_date::TIMESTAMP) AS ends_at, price * factor AS price_per_gpu_hour, currency_code,
            'inference' AS workload, customer_type, pricing, 'active' AS status,
            timezone(time_zone, told::TIMESTAMP) AS recorded_at, 'f' AS file_id, row_number() OVER (ORDER BY lease_id, version,
                told) AS line_no,
            md5(concat_ws('|', lease_id, version, wrong, factor)) AS content_hash
        FROM (
            SELECT *, 1 AS version, from_date AS starts, from_date - 20 AS told, 0 AS wrong, 1.0 AS factor FROM lease WHERE no % 50 != 21
            UNION ALL BY NAME
            SELECT *, 1 AS version, from_date AS starts, from_date - 20 AS told, 5 AS wrong, 1.0 AS factor FROM lease WHERE no % 50 = 21
            UNION ALL BY NAME
            SELECT *, 1 AS version, from_date AS starts, from_date + 70 AS told, 0 AS wrong, 1.0 AS factor FROM lease WHERE no % 50 = 21
            UNION ALL BY NAME
            SELECT *, 2 AS version, from_date + 200 AS starts, from_date + 230 AS told, 0 AS wrong,
                1.1 AS factor FROM lease WHERE no % 10 = 6
        )"""
    )
    con.execute(
        f"""CREATE TEMP TABLE lease_day AS
        SELECT *, CAST(unnest(generate_series(from_date, least(to_date, last_date) - 1, INTERVAL 1 DAY)) AS DATE) AS day
        FROM lease, (SELECT CAST(DATE '{FIRST}' + INTERVAL {months} MONTH AS DATE) AS last_date) WHERE pricing = 'metered'"""
    )
    # Use of a day is known on the next but for one in fifty, five weeks later; one in a hundred is corrected after two months.
    con.execute(
        """INSERT INTO raw.lease_usage BY NAME
        SELECT park_id, lease_id, timezone(time_zone, day::TIMESTAMP) AS interval_start_at, timezone(time_zone,
            (day + 1)::TIMESTAMP) AS interval_end_at,
            CAST(gpu_count * 24 * (0.4 + hash(lease_id, day) % 1000 / 2000) - less AS DECIMAL(18, 6)) AS gpu_hours,
            timezone(time_zone, (day + told)::TIMESTAMP) AS recorded_at, 'f' AS file_id, row_number() OVER () AS line_no,
            md5(concat_ws('|', lease_id, day, less)) AS content_hash
        FROM (
            SELECT *, 0 AS less, CASE WHEN hash(day, lease_id) % 50 = 3 THEN 36 ELSE 1 END AS told FROM lease_day
            UNION ALL BY NAME
            SELECT *, 10 AS less, 60 AS told FROM lease_day WHERE hash(day, lease_id) % 100 = 7
        )"""
    )
    con.execute(
        f"""CREATE TEMP TABLE lease_month AS
        SELECT lease.* EXCLUDE (from_date, to_date), CAST(month AS DATE) AS month, hash(lease_id, month) AS draw,
            greatest(0, date_diff('day', greatest(from_date, month), least(to_date, month + INTERVAL 1 MONTH))) AS days,
            CAST(gpu_count * 24 * days * price AS DECIMAL(18, 2)) AS bill
        FROM lease, (SELECT unnest(generate_series(DATE '{FIRST}', DATE '{FIRST}' + INTERVAL {months - 1} MONTH,
            INTERVAL 1 MONTH))::DATE AS month)
        WHERE from_date < month + INTERVAL 1 MONTH AND to_date > month"""
    )
    # Taxes are billed by the third day of the next month; penalties and credits some days later, one in thirty two months late.
    con.execute(
        """INSERT INTO raw.lease_adjustments BY NAME
        SELECT park_id, concat_ws('-', lease_id, strftime(month, '%y%m'), kind_of) AS adjustment_id, lease_id,
            last_day(month) AS service_date,
            kind_of AS kind, CAST(bill * part AS DECIMAL(18, 2)) AS amount, currency_code,
            timezone(time_zone, (last_day(month) + told)::TIMESTAMP) AS recorded_at, 'f' AS file_id, row_number() OVER () AS line_no,
            md5(concat_ws('|', lease_id, month, kind_of, told)) AS content_hash
        FROM (
            SELECT *, 'sales_tax' AS kind_of, 0.1 AS part, 3 AS told FROM lease_month WHERE no % 3 = 1
            UNION ALL BY NAME
            SELECT *, 'sla_penalty' AS kind_of, -0.04 AS part, CASE WHEN draw % 30 = 4
                THEN 70 ELSE 8 END AS told FROM lease_month WHERE draw % 20 = 4
            UNION ALL BY NAME
            SELECT *, 'credit' AS kind_of, -0.02 AS part, 9 AS told FROM lease_month WHERE draw % 50 = 9
        )"""
    )
    con.execute(
        """INSERT INTO raw.payments BY NAME
        SELECT park_id, concat_ws('-', lease_id, strftime(month, '%y%m')) AS payment_id, NULL AS contract_id,
            'tenant_received' AS direction,
            timezone(time_zone, (last_day(month) + 40 + CAST(draw % 20 AS INTEGER))::TIMESTAMP) AS received_at, bill AS amount,
                currency_code, lease_id,
            false AS funded_by_claim, received_at + INTERVAL 1 DAY AS recorded_at, 'f' AS file_id, row_number() OVER () AS line_no,
            md5(payment_id) AS content_hash
        FROM lease_month WHERE kind % 10 = 7
        UNION ALL BY NAME
        SELECT park_id, concat_ws('-', contract_id, strftime(month, '%y%m'), direction) AS payment_id, contract_id, direction,
            timezone(time_zone, (last_day(month) + 75)::TIMESTAMP) AS received_at,
            CAST(sum(bill) * CASE direction WHEN 'received' THEN 0.15 ELSE 0.02 END AS DECIMAL(18, 2)) AS amount,
                'USD' AS currency_code, NULL AS lease_id,
            direction = 'received' AND month(month) = 6 AS funded_by_claim, received_at + INTERVAL 1 DAY AS recorded_at, 'f' AS file_id,
            row_number() OVER () AS line_no, md5(payment_id) AS content_hash
        FROM lease_month, (VALUES ('received'), ('paid')) AS directions (direction)
        GROUP BY park_id, contract_id, time_zone, month, direction"""
    )
    con.execute(
        f"""CREATE TEMP TABLE tranche_month AS
        SELECT t.tranche_id, t.contract_id, t.park_id, p.time_zone, CAST(month AS DATE) AS month, hash(t.tranche_id, month) AS draw
        FROM raw.tranche AS t INNER JOIN raw.park AS p USING (park_id),
            (SELECT unnest(generate_series(DATE '{FIRST}', DATE '{FIRST}' + INTERVAL {months - 1} MONTH, INTERVAL 1 MONTH)) AS month)"""
    )
    con.execute(
        """INSERT INTO raw.credit_events BY NAME
        SELECT park_id, concat_ws('-', tranche_id, strftime(month, '%y%m'), kind) AS event_id, contract_id, tranche_id, kind,
            timezone(time_zone, CAST(month + INTERVAL 12 DAY + INTERVAL 9 HOUR AS TIMESTAMP)) AS effective_at,
            CASE WHEN kind = 'maintenance' THEN effective_at + INTERVAL 14 HOUR END AS ends_at,
            CASE kind WHEN 'maintenance' THEN 400 ELSE 250 END AS gpu_count,
            effective_at + CASE WHEN draw % 12 = 5 THEN INTERVAL 45 DAY ELSE INTERVAL 1 DAY END AS recorded_at, 'f' AS file_id,
            row_number() OVER () AS line_no, md5(event_id) AS content_hash
        FROM (
            SELECT *, 'maintenance' AS kind FROM tranche_month
            UNION ALL BY NAME
            SELECT *, 'withdrawal' AS kind FROM tranche_month WHERE right(contract_id, 1) = '7' AND month(month) = 3
            UNION ALL BY NAME
            SELECT *, 'recall' AS kind FROM tranche_month WHERE right(contract_id, 1) = '7' AND month(month) = 9
        )
        UNION ALL BY NAME
        SELECT park_id, concat_ws('-', park_id, strftime(month, '%y%m'), 'cpi') AS event_id, 'price_index' AS kind,
            timezone(time_zone, CAST(month AS TIMESTAMP)) AS effective_at, effective_at + INTERVAL 20 DAY AS recorded_at,
            '{"index": "cpi", "level": "' || (100 + date_diff('month', min(month) OVER (), month) * 0.2)::VARCHAR || '"}' AS payload,
            'f' AS file_id, row_number() OVER () AS line_no, md5(event_id) AS content_hash
        FROM (SELECT DISTINCT park_id, time_zone, month FROM tranche_month)"""
    )
    con.execute(
        f"""INSERT INTO raw.fx_rate
        SELECT CAST(day AS DATE), 'AUD', 'USD', CAST(0.62 + hash(day) % 600 / 10000 AS DECIMAL(18, 9)), 'ecb'
        FROM (SELECT unnest(generate_series(DATE '{FIRST}' - 10, DATE '{FIRST}' + INTERVAL {months + 1} MONTH, INTERVAL 1 DAY)) AS day)
        WHERE isodow(day) < 6"""
    )


def write_metering_hours(con: duckdb.DuckDBPyConnection, months: int) -> None:
    """`int_gpu_hours__by_tranche_hour` of the months: hourly sums of each tranche, some days late, some corrected after a close."""
    con.execute("CREATE SCHEMA IF NOT EXISTS intermediate")
    con.execute(
        f"""CREATE OR REPLACE TABLE intermediate.int_gpu_hours__by_tranche_hour AS
        WITH days AS (
            SELECT park_id, time_zone, CAST(day AS DATE) AS service_date, hash(park_id, day) AS draw
            FROM raw.park, (SELECT unnest(generate_series(
                DATE '{FIRST}', DATE '{FIRST}' + INTERVAL {months} MONTH - INTERVAL 1 DAY, INTERVAL 1 DAY
            )) AS day)
        ), told AS (
            SELECT *, CASE WHEN draw % 40 = 3 THEN 30 ELSE 1 END AS days_after FROM days
            UNION ALL BY NAME
            SELECT *, 50 AS days_after FROM days WHERE draw % 100 = 7
        )
        SELECT park_id, service_date, tranche_id,
            timezone(time_zone, service_date::TIMESTAMP) + to_hours(hour) AS interval_start_at,
            timezone(time_zone, (service_date + days_after)::TIMESTAMP) AS known_from_at, 'bench' AS partition_fingerprint,
            CAST({TRANCHE_GPUS} AS BIGINT) AS sample_count, CAST({TRANCHE_GPUS * 1000} AS HUGEINT) AS sampled_milli_gpus,
            CAST({TRANCHE_GPUS * 3_600_000} AS HUGEINT) AS observed_gpu_milliseconds,
            CAST({TRANCHE_GPUS * 180_000_000} AS HUGEINT) AS busy_milli_pct_seconds,
            CAST(0 AS HUGEINT) AS energy_microjoule, CAST(0 AS HUGEINT) AS fatal_milli_gpus
        FROM told INNER JOIN raw.tranche USING (park_id), range(24) AS hours (hour)"""
    )


def write_outages(con: duckdb.DuckDBPyConnection) -> None:
    """`int_outages__by_tranche_day` of the days' states of knowledge as they stand, beside those that stood at other clocks."""
    columns = [
        *(f"declared_{cause}" for cause in ("maintenance", "fault", "curtailment", "delivery", "force_majeure")),
        *(
            "declared_acceptance_failed",
            "undeclared_fault",
            "undeclared_no_sample",
            "maintenance",
            "fault",
            "no_sample",
        ),
    ]
    out = {
        "declared_maintenance": "maintained",
        "maintenance": "maintained",
        "undeclared_fault": "failed",
        "fault": "failed",
    }
    out |= {"undeclared_no_sample": "silent", "no_sample": "silent"}
    listed = ", ".join(f"CAST({out.get(name, '0')} AS HUGEINT) AS {name}" for name in columns)
    select = f"""SELECT tranche_id, park_id, service_date, state_at, CAST({TRANCHE_GPUS} * day_us AS HUGEINT) AS installed, {listed},
            CAST({TRANCHE_GPUS} * day_us / 10 / 2 AS HUGEINT) AS busy_milli_pct_seconds,
            CASE WHEN silent > 0 THEN [CAST(silent AS HUGEINT)] END AS undeclared_no_sample_hours
        FROM (
            SELECT s.*, epoch_us(timezone(p.time_zone, (service_date + 1)::TIMESTAMP)) - epoch_us(timezone(p.time_zone,
                service_date::TIMESTAMP)) AS day_us,
                CASE WHEN day(service_date) = 13 AND state_at > TIMESTAMPTZ '0001-01-02'
                    THEN 400 * 14 * 3600000000 ELSE 0 END AS maintained,
                CASE WHEN hash(tranche_id, service_date) % 9 = 2 THEN hash(tranche_id,
                    service_date) % 40 * 3600000000 ELSE 0 END AS failed,
                CASE WHEN hash(service_date, tranche_id) % 7 = 2 THEN hash(tranche_id,
                    service_date) % 90 * 3600000000 ELSE 0 END AS silent
            FROM intermediate.int_outage_states AS s INNER JOIN raw.park AS p USING (park_id)
        )"""
    con.execute(f"CREATE TABLE IF NOT EXISTS intermediate.int_outages__by_tranche_day AS {select} LIMIT 0")
    con.execute(
        f"INSERT INTO intermediate.int_outages__by_tranche_day FROM ({select}) AS found"
        " ANTI JOIN intermediate.int_outages__by_tranche_day AS kept USING (tranche_id, service_date, state_at)"
    )
