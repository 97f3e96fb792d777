"""The published snapshot: write beside, audit, swap in.

A candidate stands in ``published/.candidate`` until it has been audited; then its files replace the published ones, the
database last but the manifest, which names the run that all of them belong to. A reader with the old file open keeps it.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from orchestration.publishing.catalogue import TABLES

DATABASE = "parkledger.duckdb"
MANIFEST = "manifest.json"
PARQUET = "parquet"
# The oldest storage that analysts' tools are promised to open.
STORAGE_VERSION = "v1.2.0"
UNPUBLISHED_COLUMNS = {"reading_hash"}
# Where a published table is not the warehouse's table of the same name.
SOURCES = {
    "ledger.fct_journal_lines": "SELECT * FROM work.ledger.fct_journal_lines "
    "UNION ALL BY NAME SELECT * FROM work.credit.fct_credit_journal_lines",
    "quality.fct_landed_file": "SELECT * EXCLUDE (reading_hash) FROM work.raw.landed_file",
    "quality.fct_quarantined_row": "SELECT * FROM work.raw.quarantined_row",
    "quality.fct_row_warning": "SELECT * FROM work.raw.row_warning",
    "quality.fct_released_row": "SELECT * FROM work.raw.released_row",
}
NOT_PUBLISHED = {"credit.fct_credit_journal_lines"}
PUBLISHED_SCHEMAS = (
    "core",
    "metering",
    "revenue_share",
    "backstop",
    "ledger",
    "credit",
    "issuer",
    "monitor",
    "quality",
)

MACROS = {
    "ledger.journal_as_known_at": """(ts) AS TABLE
        SELECT * FROM ledger.fct_journal_lines WHERE posted_at <= ts""",
    "ledger.balance_as_known_at": """(ts) AS TABLE
        SELECT contract_id, account, currency_code, sum(amount) AS balance_amount
        FROM ledger.fct_journal_lines WHERE posted_at <= ts GROUP BY ALL ORDER BY ALL""",
    "revenue_share.statement": """(contract, month, as_known_at) AS TABLE
        SELECT event, account, posting_month, posted_at, entry_id, corrects_entry_id, terms_version, amount, currency_code
        FROM ledger.fct_journal_lines
        WHERE contract_id = contract AND service_month = month AND posted_at <= as_known_at
          AND event IN ('accrue_share', 'invoice_share', 'credit_note')
        ORDER BY posted_at, entry_id, line_no""",
    "backstop.statement": """(contract, month, as_known_at) AS TABLE
        SELECT event, account, posting_month, posted_at, entry_id, corrects_entry_id, terms_version, amount, currency_code
        FROM ledger.fct_journal_lines
        WHERE contract_id = contract AND service_month = month AND posted_at <= as_known_at
          AND event IN ('accrue_claim', 'pay_claim')
        ORDER BY posted_at, entry_id, line_no""",
}


@dataclass(frozen=True)
class Described:
    """A table's description and those of its columns."""

    description: str
    columns: Mapping[str, str]


def described_by_dbt(manifest_path: Path) -> dict[str, Described]:
    """Descriptions of all marts, from dbt's own manifest."""
    nodes = json.loads(manifest_path.read_text(encoding="utf-8"))["nodes"].values()
    return {
        f"{node['schema']}.{node['name']}": Described(
            node["description"], {name: column["description"] for name, column in node["columns"].items()}
        )
        for node in nodes
        if node["resource_type"] == "model"
    }


def candidate_folder(published: Path) -> Path:
    """Where the next snapshot is written and audited."""
    return published / ".candidate"


def write_candidate(
    warehouse: Path, published: Path, descriptions: Mapping[str, Described], memory_limit: str
) -> dict[str, int]:
    """Copy every published table beside the published snapshot, ordered by key, with comments and macros.

    Args:
        warehouse: the working database, opened read-only.
        published: the folder of the published snapshot; its present content is not touched.
        descriptions: dbt's descriptions; those of other tables come from the catalogue.
        memory_limit: DuckDB's memory limit.

    Returns:
        Row counts by table.
    """
    folder = candidate_folder(published)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with duckdb.connect(config={"memory_limit": memory_limit, "threads": "2"}) as connection:
        connection.execute("SET TimeZone='UTC'")
        connection.execute(f"ATTACH '{_quoted(warehouse)}' AS work (READ_ONLY)")
        connection.execute(f"ATTACH '{_quoted(folder / DATABASE)}' AS snapshot (STORAGE_VERSION '{STORAGE_VERSION}')")
        connection.execute("USE snapshot")
        counts = {}
        for table in _publishable(connection):
            _copy(connection, table)
            _comment(connection, table, _description(table, descriptions))
            counts[table] = connection.sql(f"SELECT count(*) FROM {table}").fetchall()[0][0]
        for name, body in MACROS.items():
            if name.split(".")[0] in {table.split(".")[0] for table in counts}:
                connection.execute(f"CREATE OR REPLACE MACRO {name}{body}")
    return counts


def add_tables(published: Path, tables: Mapping[str, tuple[str, list[tuple[Any, ...]]]]) -> None:
    """Add small tables to the candidate: what the run itself has to say.

    Args:
        published: the folder of the published snapshot.
        tables: by name, the column definitions and the rows.
    """
    with duckdb.connect(str(candidate_folder(published) / DATABASE)) as connection:
        connection.execute("SET TimeZone='UTC'")
        for name, (columns, rows) in tables.items():
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name.split('.')[0]}")
            connection.execute(f"CREATE OR REPLACE TABLE {name} ({columns})")
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
            _comment(connection, name, _description(name, {}))


def publish_candidate(published: Path, about: Mapping[str, object]) -> dict[str, Any]:
    """Export the candidate to Parquet, write its manifest and swap all of it in.

    Args:
        published: the folder of the published snapshot.
        about: run id, title, clock and versions for the manifest.

    Returns:
        The manifest.
    """
    folder = candidate_folder(published)
    with duckdb.connect(str(folder / DATABASE), read_only=True, config={"threads": "1"}) as connection:
        connection.execute("SET TimeZone='UTC'")
        names = [
            f"{schema}.{table}"
            for schema, table in connection.sql(
                "SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL"
            ).fetchall()
        ]
        tables = {name: _export(connection, name, folder / PARQUET) for name in names}
    manifest = {**about, "tables": tables}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (folder / DATABASE).chmod(0o444)
    _swap(folder, published)
    return manifest


def _swap(folder: Path, published: Path) -> None:
    old = published / ".old"
    shutil.rmtree(old, ignore_errors=True)
    if (published / PARQUET).exists():
        (published / PARQUET).replace(old)
    (folder / PARQUET).replace(published / PARQUET)
    (folder / DATABASE).replace(published / DATABASE)
    (folder / MANIFEST).replace(published / MANIFEST)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def _publishable(connection: duckdb.DuckDBPyConnection) -> list[str]:
    present = {
        f"{schema}.{table}"
        for schema, table in connection.sql(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'work'"
        ).fetchall()
        if schema in PUBLISHED_SCHEMAS and table.startswith(("dim_", "fct_"))
    }
    return sorted((present | (set(SOURCES))) - NOT_PUBLISHED)


def _copy(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.', maxsplit=1)[0]}")
    query = SOURCES.get(table, f"SELECT * FROM work.{table}")
    keys = ", ".join(TABLES[table].key) if table in TABLES and TABLES[table].key else "ALL"
    order = "ALL" if keys == "ALL" else f"{keys}"
    connection.execute(f"CREATE TABLE {table} AS SELECT * FROM ({query}) ORDER BY {order}")


def _description(table: str, descriptions: Mapping[str, Described]) -> Described:
    if table in descriptions and table not in {"quality.fct_landed_file"}:
        return descriptions[table]
    entry = TABLES[table]
    return Described(entry.description, entry.columns)


def _comment(connection: duckdb.DuckDBPyConnection, table: str, described: Described) -> None:
    connection.execute(f"COMMENT ON TABLE {table} IS '{_quoted(described.description)}'")
    for column, text in described.columns.items():
        connection.execute(f"COMMENT ON COLUMN {table}.{column} IS '{_quoted(text)}'")


def _export(connection: duckdb.DuckDBPyConnection, name: str, folder: Path) -> dict[str, object]:
    schema, table = name.split(".")
    path = folder / schema / f"{table}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = connection.execute(f"COPY {name} TO '{_quoted(path)}' (FORMAT parquet, COMPRESSION zstd)").fetchall()[0][0]
    return {"row_count": rows, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _quoted(text: object) -> str:
    return str(text).replace("'", "''")


def missing_from_catalogue(names: Iterable[str], descriptions: Mapping[str, Described]) -> list[str]:
    """Tables that nobody describes, which must not be published."""
    return sorted(name for name in names if name not in descriptions and name not in TABLES)
