"""The feeds' contracts are complete and agree with what is written about them."""

import duckdb
import pytest

from ingest import landing
from ingest.contracts import CONTRACTS, RULES, FeedContract, Severity
from ingest.feeds.credit_events import NEEDED
from ingest.formats import canonical


def test_every_feed_of_the_public_formats_has_a_contract() -> None:
    assert set(CONTRACTS) == set(canonical.KEYS)
    for feed, contract in CONTRACTS.items():
        assert set(contract.key) == set(canonical.KEYS[feed]), feed


def test_leases_land_before_what_refers_to_them() -> None:
    order = list(CONTRACTS)
    for contract in CONTRACTS.values():
        if any(reference.to == "lease" for reference in contract.references):
            assert order.index("leases") < order.index(contract.name)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda contract: contract.name)
def test_a_contract_is_whole(contract: FeedContract) -> None:
    names = [column.name for column in contract.columns]
    assert len(set(names)) == len(names)
    for name in contract.key:
        assert contract.column(name).is_required
    for pair in contract.ordered:
        assert all(contract.column(name).kind == "instant" for name in pair)
    for reference in contract.references:
        contract.column(reference.column)
        assert RULES[reference.rule].severity is Severity.QUARANTINE_ROW
    for column in contract.columns:
        assert column.description
        if column.kind == "integer" and not column.is_wide:
            assert column.maximum is not None
            assert column.maximum < 2**31
    assert contract.description.startswith("One row per ")
    with pytest.raises(KeyError):
        contract.column("no_such_column")


def test_what_events_need_are_columns_and_kinds_of_the_contract() -> None:
    events = CONTRACTS["credit_events"]
    assert set(NEEDED) <= set(events.column("kind").choices)
    for columns in NEEDED.values():
        for column in columns:
            events.column(column)


def test_the_raw_tables_have_the_agreed_columns_and_types() -> None:
    con = duckdb.connect()
    landing.create_raw_tables(con)
    landing.create_raw_tables(con)

    def columns(table: str) -> dict[str, str]:
        return dict(
            con.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = 'raw' AND table_name = ? "
                "ORDER BY column_index",
                [table],
            ).fetchall()
        )

    lineage = {
        "park_id": "VARCHAR",
        "recorded_at": "TIMESTAMP WITH TIME ZONE",
        "file_id": "VARCHAR",
        "line_no": "BIGINT",
        "content_hash": "VARCHAR",
    }
    assert columns("power_meter") == {
        "meter_id": "VARCHAR",
        "register": "VARCHAR",
        "role": "VARCHAR",
        "interval_start_at": "TIMESTAMP WITH TIME ZONE",
        "interval_end_at": "TIMESTAMP WITH TIME ZONE",
        "energy_kwh": "DECIMAL(18,6)",
        "quality": "VARCHAR",
        **lineage,
    }
    leases = columns("leases")
    assert (leases["version"], leases["gpu_count"], leases["price_per_gpu_hour"]) == (
        "INTEGER",
        "INTEGER",
        "DECIMAL(18,9)",
    )
    assert columns("payments")["funded_by_claim"] == "BOOLEAN"
    assert columns("payments")["amount"] == "DECIMAL(18,2)"
    assert columns("lease_adjustments")["service_date"] == "DATE"
    telemetry = columns("gpu_telemetry")
    assert telemetry["power_microwatt"] == "BIGINT"
    assert telemetry["utilization_milli_pct"] == "INTEGER"
