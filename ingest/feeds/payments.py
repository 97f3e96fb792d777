"""What is special to payments: what a payment belongs to depends on its direction."""

import polars as pl

from ingest.checking import Faults


def row_rules(rows: pl.DataFrame, faults: Faults) -> pl.DataFrame:
    """A payment of the vendor's books needs its contract, one of a tenant its lease; the rows stay as they are."""
    is_tenant = rows["direction"] == "tenant_received"
    faults.add(~is_tenant & rows["contract_id"].is_null(), "missing_value", "contract_id")
    faults.add(is_tenant & rows["lease_id"].is_null(), "missing_value", "lease_id")
    return rows
