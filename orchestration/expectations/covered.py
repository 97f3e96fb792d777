"""Which tables and frames have a suite; no suite and nothing of Great Expectations is here, for its import takes seconds."""

from ingest.contracts import CONTRACTS, FeedContract
from orchestration.publishing.catalogue import DBT, QUALITY, TABLES, tables_of

# Feeds are checked as staging reads them: typed, each version with the time in which it was known.
FEEDS: dict[str, FeedContract] = {
    f"staging.stg_{feed}": contract for feed, contract in CONTRACTS.items() if not contract.in_lake
}
# Telemetry is no table: a frame of its newest samples is checked with the files that hold them.
LAKE_FILES, TELEMETRY_SAMPLE = "staging.stg_lake_file", "staging.gpu_telemetry_sample"
RATES = "staging.stg_fx_rate"
# What dbt builds, and what the credit jobs derive from it.
BUILT: tuple[str, ...] = (*FEEDS, LAKE_FILES, RATES, *(table.name for table in tables_of(DBT)))
DERIVED: tuple[str, ...] = tuple(table.name for table in TABLES.values() if table.group not in {DBT, QUALITY})
SUITES: tuple[str, ...] = (*BUILT, TELEMETRY_SAMPLE, *DERIVED)
