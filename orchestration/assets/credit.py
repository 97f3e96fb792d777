"""The pure Polars jobs as assets: receivables → collections → backstop's worth → credit loss → exposure →
operator → stress → deals → metrics.
"""

from collections.abc import Iterator

import dagster as dg
import duckdb
import polars as pl

from ingest.transactions import transaction
from orchestration.assets.raw import OWNERS, WAREHOUSE_POOL
from orchestration.polars_jobs import programme
from orchestration.publishing.catalogue import TABLES, Table
from orchestration.resources import ProgressDisplay, Warehouse

JOURNAL = "credit.fct_credit_journal_lines"
# Receivables post the application of cash and late interest; credit loss adds provisions and what the accounting classes post, and
# writes the whole. What the first gives the others is kept under a name of its own, so that each table has one writer.
APPLIED_CASH = "credit.int_apply_cash_lines"

WAREHOUSE_INPUTS = (
    "ledger.fct_journal_lines",
    "ledger.fct_receivable_document",
    "intermediate.int_closes",
    "intermediate.int_backstop_months",
    "intermediate.int_supply_months",
    "staging.stg_payments",
    "staging.stg_credit_events",
    "staging.stg_leases",
    "core.dim_contract",
    "core.dim_park",
    "core.dim_lease",
    "core.dim_operator",
    "core.dim_tranche",
    "metering.fct_capacity_day",
    "metering.fct_lease_revenue_day",
    "metering.fct_power_day",
    "revenue_share.fct_share_base_month",
    "revenue_share.fct_share_tier_month",
    "revenue_share.fct_share_month",
    "backstop.fct_backstop_month",
    "backstop.fct_backstop_cap_month",
    "raw.sealed_line",
    "raw.contract",
    "raw.tranche",
    "raw.share_terms",
    "raw.share_tier",
    "raw.share_activation",
    "raw.backstop_terms",
    "raw.backstop_price",
    "raw.backstop_ramp",
    "raw.collateral",
    "raw.contract_term",
    "raw.covenant",
    "raw.park_debt",
    "raw.park_economics",
    "raw.token_advance",
    "raw.default_rate",
    "raw.credit_curve",
    "raw.instrument_flow",
    "raw.operator_fact",
    "raw.hardware_value",
    "raw.fx_rate",
    "raw.yield_curve",
    "raw.scenario",
    "raw.policy",
    "raw.alert_rule",
    "raw.issuer_fact",
    "raw.vendor",
    "raw.gpu_price_index",
    "raw.home",
)
TITLES = {
    "issuer": "Reading the vendor's own filings",
    "receivables": "Applying cash to receivables",
    "collections": "Measuring collections",
    "backstop_worth": "Simulating what the backstop may cost",
    "credit_loss": "Deriving credit loss, the allowance and what the accounting classes post",
    "exposure": "Adding up exposure and concentration",
    "operator": "Drawing the operators' cash flow and covenants",
    "stress": "Running the stress set",
    "deals": "Comparing deals on the same paths",
    "metrics": "Measuring what investors watch",
}


def _key(table: str) -> dg.AssetKey:
    return dg.AssetKey(table.split("."))


def _tables(group: str) -> list[Table]:
    return [table for table in TABLES.values() if table.group == group]


def _upstream(group: str) -> list[str]:
    """Every table that a group may read: those of the warehouse and of the groups before it."""
    order = list(programme.GROUPS)
    earlier = [table.name for name in order[: order.index(group)] for table in _tables(name) if table.name != JOURNAL]
    applied = [APPLIED_CASH] if order.index(group) > order.index("receivables") else []
    return [*WAREHOUSE_INPUTS, *earlier, *applied]


def credit_group(group: str) -> dg.AssetsDefinition:
    """The assets of one group of jobs: read frames, call one pure function, write tables."""
    written = _written(group)
    upstream = _upstream(group)

    @dg.multi_asset(
        name=f"credit_{group}",
        group_name={"issuer": "issuer", "metrics": "monitor"}.get(group, "credit"),
        specs=[
            dg.AssetSpec(
                _key(name),
                owners=OWNERS,
                kinds={"polars", "duckdb"},
                deps=[_key(u) for u in upstream],
                description=TABLES[name].description
                if name in TABLES
                else "One row per line that applies cash to an item or charges late interest.",
            )
            for name in written
        ],
        pool=WAREHOUSE_POOL,
    )
    def assets(
        warehouse: Warehouse, progress: dg.ResourceParam[ProgressDisplay]
    ) -> Iterator[dg.MaterializeResult[None]]:
        progress.step(TITLES[group])
        for name, rows in derive(warehouse, group).items():
            yield dg.MaterializeResult(asset_key=_key(name), metadata={"dagster/row_count": rows})

    return assets


def derive(warehouse: Warehouse, group: str) -> dict[str, int]:
    """Read what a group may read, compute it, and write its tables in one transaction; row counts by table."""
    frames = warehouse.frames(_upstream(group))
    if APPLIED_CASH in frames:
        frames[JOURNAL] = frames.pop(APPLIED_CASH)
    outputs = programme.GROUPS[group](frames)
    if group == "receivables":
        outputs[APPLIED_CASH] = outputs.pop(JOURNAL)
    with warehouse.writer() as connection, transaction(connection):
        for name in _written(group):
            write_table(connection, name, outputs[name])
    return {name: outputs[name].height for name in _written(group)}


def _written(group: str) -> list[str]:
    return [t.name for t in _tables(group)] + ([APPLIED_CASH] if group == "receivables" else [])


def write_table(connection: duckdb.DuckDBPyConnection, name: str, frame: pl.DataFrame) -> None:
    """Replace one table of the warehouse by a frame."""
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name.split('.', maxsplit=1)[0]}")
    connection.register("incoming", frame.to_arrow())
    connection.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM incoming")
    connection.unregister("incoming")


def credit_assets() -> list[dg.AssetsDefinition]:
    """Every group in the order in which the jobs run."""
    return [credit_group(group) for group in programme.GROUPS]
