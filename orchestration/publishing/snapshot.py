"""The published snapshot: write beside, audit, swap in.

A candidate stands in ``published/.candidate`` until it has been audited; then it becomes one of the two folders of
``published/.runs``, and the link ``published/.current`` is turned to it. Database, Parquet and manifest under ``published``
are links through that one, so that one rename replaces all three: whoever opens them, and whenever a run is killed, they
are of one run. The folder before stays whole until the next publishing, for readers who are in the middle of it.
Keys are declared to DuckDB, which refuses a candidate whose rows break them; it keeps foreign keys within one schema only.
What was published before is kept under ``published/earlier`` as long as the policies say.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from orchestration.publishing.catalogue import TABLES
from orchestration.publishing.manifest import MANIFEST, manifest_of

DATABASE = "parkledger.duckdb"
PARQUET = "parquet"
# The oldest storage that analysts' tools are promised to open.
STORAGE_VERSION = "v1.2.0"
# Every key takes some blocks of its own, and most tables are small.
BLOCK_SIZE = 16384
# Where a published table is not the warehouse's table of the same name.
SOURCES = {
    "ledger.fct_journal_lines": "SELECT * FROM work.ledger.fct_journal_lines "
    "UNION ALL BY NAME SELECT * FROM work.credit.fct_credit_journal_lines",
    "quality.fct_landed_file": "SELECT * EXCLUDE (reading_hash) FROM work.raw.landed_file",
    "quality.fct_quarantined_row": "SELECT * EXCLUDE (row_key, known_at) FROM work.raw.quarantined_row",
    "quality.fct_row_warning": "SELECT * EXCLUDE (row_key, known_at) FROM work.raw.row_warning",
    "quality.fct_released_row": "SELECT * FROM work.raw.released_row",
    "quality.fct_held_partition": "SELECT * FROM work.raw.held_partition",
}
NOT_PUBLISHED = {"credit.fct_credit_journal_lines"}
# The dimensions with a key of one column: what a column of that name means wherever it stands.
DIMENSIONS = {
    name: table.key[0]
    for name, table in TABLES.items()
    if len(table.key) == 1 and name.split(".")[1].startswith("dim_")
}
EARLIER = "earlier"
RUNS = ".runs"
CURRENT = ".current"
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
          AND event IN ('accrue_share', 'invoice_share', 'invoice_true_up', 'invoice_reserve', 'credit_note')
        ORDER BY posted_at, entry_id, line_no""",
    "backstop.statement": """(contract, month, as_known_at) AS TABLE
        SELECT event, account, posting_month, posted_at, entry_id, corrects_entry_id, terms_version, amount, currency_code
        FROM ledger.fct_journal_lines
        WHERE contract_id = contract AND service_month = month AND posted_at <= as_known_at
          AND event IN (
              'accrue_claim', 'pay_claim', 'claw_back', 'termination_payment', 'termination_cost', 'residual_value_support'
          )
        ORDER BY posted_at, entry_id, line_no""",
}


@dataclass(frozen=True)
class Described:
    """A table's description and those of its columns."""

    description: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class Kept:
    """How many earlier snapshots stay: the last ``snapshots``, and the last of each of ``month_ends`` months."""

    snapshots: int
    month_ends: int


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
        storage = f"STORAGE_VERSION '{STORAGE_VERSION}', BLOCK_SIZE {BLOCK_SIZE}"
        connection.execute(f"ATTACH '{_quoted(folder / DATABASE)}' AS snapshot ({storage})")
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
            named = [column.split()[0] for column in columns.split(", ")]
            connection.execute(f"CREATE OR REPLACE TABLE {name} ({', '.join([columns, *constraints(name, named)])})")
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
            _comment(connection, name, _description(name, {}))


def publish_candidate(published: Path, about: Mapping[str, object], kept: Kept | None = None) -> dict[str, Any]:
    """Export the candidate to Parquet, write its manifest and swap all of it in.

    Args:
        published: the folder of the published snapshot.
        about: run id, title, clock, inputs and versions for the manifest.
        kept: how many earlier snapshots stay; by default none.

    Returns:
        The manifest.
    """
    folder = candidate_folder(published)
    with opened(folder / DATABASE) as connection:
        names = [
            f"{schema}.{table}"
            for schema, table in connection.sql(
                "SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL"
            ).fetchall()
        ]
        tables = {name: export(connection, name, folder / PARQUET) for name in names}
    manifest = {**about, "tables": tables}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    # For reading only, by whom the umask of its making lets read.
    (folder / DATABASE).chmod((folder / DATABASE).stat().st_mode & 0o444)
    _keep(published, str(about.get("run_id")), kept or Kept(0, 0))
    _swap(folder, published)
    return manifest


@contextmanager
def opened(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A snapshot as it is exported: read-only, in UTC, by one thread, so that the same rows give the same bytes."""
    with duckdb.connect(str(database), read_only=True, config={"threads": "1"}) as connection:
        connection.execute("SET TimeZone='UTC'")
        yield connection


def export_again(published: Path, name: str, target: Path) -> None:
    """Write the Parquet copy of a published table anew from the published database."""
    scratch = published / ".export"
    with opened(published / DATABASE) as connection:
        export(connection, name, scratch)
    target.parent.mkdir(parents=True, exist_ok=True)
    (scratch / f"{name.replace('.', '/')}.parquet").replace(target)
    shutil.rmtree(scratch)


def earlier_snapshots(published: Path) -> list[Path]:
    """The folders of what was published before, oldest first; each holds a database and its manifest."""
    folder = published / EARLIER
    found = [f for f in folder.iterdir() if (f / MANIFEST).exists()] if folder.exists() else []
    return sorted(found, key=lambda f: int(f.name.split("-")[0]))


def _keep(published: Path, next_run: str, kept: Kept) -> None:
    """Put what is published beside the earlier ones, by a second name for the same file; drop what is kept no longer."""
    if (published / MANIFEST).exists() and (published / DATABASE).exists():
        run = str(manifest_of(published)["run_id"])
        before = earlier_snapshots(published)
        if run != next_run and run not in {f.name.split("-", 1)[1] for f in before}:
            number = int(before[-1].name.split("-")[0]) + 1 if before else 1
            part = published / EARLIER / f".{run}.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            os.link((published / DATABASE).resolve(), part / DATABASE)
            shutil.copyfile(published / MANIFEST, part / MANIFEST)
            part.replace(published / EARLIER / f"{number:05d}-{run}")
    before = earlier_snapshots(published)
    month_ends = {str(manifest_of(f)["as_of"])[:7]: f for f in before}
    staying = {*before[max(0, len(before) - kept.snapshots) :], *list(month_ends.values())[::-1][: kept.month_ends]}
    for folder in set(before) - staying:
        shutil.rmtree(folder)


def _swap(folder: Path, published: Path) -> None:
    _adopt(published)
    current = published / CURRENT
    slot = "b" if current.is_symlink() and current.readlink().name == "a" else "a"
    target = published / RUNS / slot
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(exist_ok=True)
    folder.replace(target)
    _point(current, Path(RUNS) / slot)
    for name in (PARQUET, DATABASE, MANIFEST):
        _point(published / name, Path(CURRENT) / name)


def _adopt(published: Path) -> None:
    """Make links of what stands as plain files: published before there were links, or copied by what follows them."""
    current = published / CURRENT
    if not current.is_symlink():
        shutil.rmtree(current, ignore_errors=True)
        if not (published / DATABASE).exists():
            return
        shutil.rmtree(published / RUNS, ignore_errors=True)
        slot = published / RUNS / "a"
        slot.mkdir(parents=True)
        for name in (DATABASE, MANIFEST):
            if (published / name).exists():
                os.link((published / name).resolve(), slot / name)
        if (published / PARQUET).exists():
            shutil.copytree(published / PARQUET, slot / PARQUET, copy_function=os.link)
        _point(current, Path(RUNS) / "a")
    for name in (PARQUET, DATABASE, MANIFEST):
        if (published / CURRENT / name).exists():
            _point(published / name, Path(CURRENT) / name)


def _point(link: Path, to: Path) -> None:
    """Turn a link to another place, in one step."""
    if link.is_symlink() and link.readlink() == to:
        return
    turned = link.with_name(f".{link.name}.part")
    turned.unlink(missing_ok=True)
    turned.symlink_to(to)
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    turned.replace(link)


def _publishable(connection: duckdb.DuckDBPyConnection) -> list[str]:
    present = {
        f"{schema}.{table}"
        for schema, table in connection.sql(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'work'"
        ).fetchall()
        if schema in PUBLISHED_SCHEMAS and table.startswith(("dim_", "fct_"))
    }
    # A dimension stands before the tables that name it, and before it those that it names itself.
    depth = {table: _depth(connection, table) for table in (present | set(SOURCES)) - NOT_PUBLISHED}
    return sorted(depth, key=lambda table: (depth[table], table))


def _depth(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """How many dimensions of its schema stand in a chain before a table."""
    before = _named(table, _columns(connection, _query(table)))
    return 1 + max((_depth(connection, dimension) for dimension in before), default=-1)


def _copy(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.', maxsplit=1)[0]}")
    query = _query(table)
    columns = _columns(connection, query)
    key = TABLES[table].key if table in TABLES else ()
    declared = constraints(table, [name for name in columns if not _dangles(connection, table, query, name)])
    connection.execute(f"CREATE TABLE {table} ({', '.join([*_typed(columns), *declared])})")
    connection.execute(f"INSERT INTO {table} SELECT * FROM ({query}) ORDER BY {', '.join(key) or 'ALL'}")


def _dangles(connection: duckdb.DuckDBPyConnection, table: str, query: str, column: str) -> bool:
    """Whether a column names a row of a dimension that is not there: a park may name a contract that was left out for its faults."""
    return any(
        connection.sql(
            f'SELECT 1 FROM ({query}) AS rows ANTI JOIN {name} AS known USING ("{column}") '
            f'WHERE rows."{column}" IS NOT NULL LIMIT 1'
        ).fetchall()
        for name in _named(table, [column])
    )


def _query(table: str) -> str:
    return SOURCES.get(table, f"SELECT * FROM work.{table}")


def _columns(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in connection.sql(f"DESCRIBE {query}").fetchall()}


def _named(table: str, columns: Iterable[str]) -> list[str]:
    """The dimensions of the table's own schema that a column of it names."""
    known, schema = set(columns), table.split(".", maxsplit=1)[0]
    return [d for d, key in DIMENSIONS.items() if key in known and d != table and d.split(".")[0] == schema]


def _typed(columns: Mapping[str, str]) -> list[str]:
    return [f'"{name}" {kind}' for name, kind in columns.items()]


def constraints(table: str, columns: Iterable[str]) -> list[str]:
    """The key of a table, and the dimensions of its own schema that it names, as DuckDB declares them."""
    if table not in TABLES or not TABLES[table].key:
        return []
    foreign = [
        f"FOREIGN KEY ({DIMENSIONS[name]}) REFERENCES {name} ({DIMENSIONS[name]})" for name in _named(table, columns)
    ]
    kind = "UNIQUE" if TABLES[table].may_be_null else "PRIMARY KEY"
    return [f"{kind} ({', '.join(TABLES[table].key)})", *foreign]


def _description(table: str, descriptions: Mapping[str, Described]) -> Described:
    if table in descriptions and table not in {"quality.fct_landed_file"}:
        return descriptions[table]
    entry = TABLES[table]
    return Described(entry.description, entry.columns)


def _comment(connection: duckdb.DuckDBPyConnection, table: str, described: Described) -> None:
    connection.execute(f"COMMENT ON TABLE {table} IS '{_quoted(described.description)}'")
    for column, text in described.columns.items():
        connection.execute(f"COMMENT ON COLUMN {table}.{column} IS '{_quoted(text)}'")


def export(connection: duckdb.DuckDBPyConnection, name: str, folder: Path) -> dict[str, object]:
    """Write a table as Parquet below a folder; its row count and the SHA-256 of its bytes, which follow from its rows."""
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
