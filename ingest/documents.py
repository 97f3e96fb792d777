"""Feeds that go to tables of `raw`: leases, their use and adjustments, payments, credit events, meters.

Every valid row is kept, also repeated and superseded ones. A row that refers to something not yet known stands in
`raw.<feed>_waiting` and in quarantine until it is. All functions work within the caller's transaction.
"""

import duckdb

from ingest import manifest, quarantine
from ingest.contracts import LINEAGE, Column, FeedContract
from ingest.reading import Batch
from ingest.terms.home import Home


def columns_of(contract: FeedContract) -> dict[str, str]:
    """Columns and types of a feed's table."""
    return {column.table_name: column.sql_type for column in contract.columns} | LINEAGE


def create_tables(con: duckdb.DuckDBPyConnection, contract: FeedContract) -> None:
    """Make a feed's tables where they are missing."""
    columns = ", ".join(f"{name} {kind}" for name, kind in columns_of(contract).items())
    con.execute(f"CREATE TABLE IF NOT EXISTS raw.{contract.name} ({columns})")
    if contract.references:
        con.execute(f"CREATE TABLE IF NOT EXISTS raw.{contract.name}_waiting ({columns})")


def prepare_known(con: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Make the temporary tables of what rows may refer to beside leases."""
    con.execute("CREATE OR REPLACE TEMP TABLE known_contract (contract_id VARCHAR)")
    con.execute("CREATE OR REPLACE TEMP TABLE known_tranche (park_id VARCHAR, tranche_id VARCHAR)")
    con.execute("CREATE OR REPLACE TEMP TABLE known_park (park_id VARCHAR, time_zone VARCHAR)")
    contracts = [[contract_id] for contract_id in sorted(home.known_contract_ids)]
    tranches = [[park.park_id, t.tranche_id] for park in home.parks.values() for t in park.tranches]
    parks = [[park.park_id, park.time_zone] for park in home.parks.values()]
    if parks:
        con.executemany("INSERT INTO known_park VALUES (?, ?)", parks)
    if contracts:
        con.executemany("INSERT INTO known_contract VALUES (?)", contracts)
    if tranches:
        con.executemany("INSERT INTO known_tranche VALUES (?, ?)", tranches)


_UNKNOWN = {
    "lease": "NOT EXISTS (SELECT 1 FROM raw.leases AS known "
    "WHERE known.park_id = waiting.park_id AND known.lease_id = waiting.{column})",
    "tranche": "NOT EXISTS (SELECT 1 FROM known_tranche AS known "
    "WHERE known.park_id = waiting.park_id AND known.tranche_id = waiting.{column})",
    "contract": "NOT EXISTS (SELECT 1 FROM known_contract AS known WHERE known.contract_id = waiting.{column})",
}


def _part(con: duckdb.DuckDBPyConnection, contract: FeedContract, source: str, where: str = "true") -> None:
    """Make `parted`: rows with the rule and column of their first unknown reference, null if all are known."""
    rules, columns = [], []
    for reference in contract.references:
        unknown = _UNKNOWN[reference.to].format(column=reference.column)
        when = f"WHEN waiting.{reference.column} IS NOT NULL AND {unknown} THEN"
        rules.append(f"{when} '{reference.rule}'")
        columns.append(f"{when} '{reference.column}'")
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE parted AS SELECT waiting.*, CASE {' '.join(rules)} END AS rule, "
        f"CASE {' '.join(columns)} END AS column_name FROM {source} AS waiting WHERE {where}"
    )


def day_of(contract: FeedContract) -> str:
    """SQL: the partition of a row by the clock of its `known_park`; null where rows of the feed stand for spans."""
    if contract.day_of is None:
        return "NULL::DATE"
    is_date = contract.column(contract.day_of).kind == "date"
    return contract.day_of if is_date else f"timezone(known_park.time_zone, {contract.day_of})::DATE"


def _as_text(column: Column) -> str:
    return f"epoch_us({column.table_name})::VARCHAR" if column.kind == "instant" else f"{column.table_name}::VARCHAR"


def _content_hash(contract: FeedContract) -> str:
    """SQL: MD5 of the columns beside the key, parted by unit separators, null apart from empty."""
    cells = ", ".join(
        f"coalesce({_as_text(column)}, chr(30))" for column in contract.columns if column.name not in contract.key
    )
    return f"md5(concat_ws(chr(31), {cells}))"


def key_text(contract: FeedContract) -> str:
    """SQL: the natural key of a row as one text, as checking.key_text has it."""
    return f"concat_ws(chr(31), {', '.join(_as_text(contract.column(name)) for name in contract.key)})"


def _keys(contract: FeedContract) -> str:
    return ", ".join(contract.key)


def begin(con: duckdb.DuckDBPyConnection, contract: FeedContract) -> None:
    """Begin a landing: no key is touched yet."""
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE touched_key AS SELECT {_keys(contract)} FROM raw.{contract.name} LIMIT 0"
    )


def _touch(con: duckdb.DuckDBPyConnection, contract: FeedContract, source: str, where: str = "true") -> None:
    con.execute(f"INSERT INTO touched_key SELECT DISTINCT {_keys(contract)} FROM {source} WHERE {where}")


def forget(con: duckdb.DuckDBPyConnection, contract: FeedContract) -> None:
    """Take away the rows of those files of `landing_now` that land again."""
    if not con.execute("SELECT 1 FROM landing_now WHERE is_again LIMIT 1").fetchall():
        return
    of_files = "(park_id, file_id) IN (SELECT (park_id, file_id) FROM landing_now WHERE is_again)"
    _touch(con, contract, f"raw.{contract.name}", of_files)
    con.execute(f"DELETE FROM raw.{contract.name} WHERE {of_files}")
    if contract.references:
        con.execute(f"DELETE FROM raw.{contract.name}_waiting WHERE {of_files}")


def insert(con: duckdb.DuckDBPyConnection, contract: FeedContract, park_id: str, batch: Batch) -> None:
    """Good rows of a batch into their table, with hash and lineage; rejected and waiting ones to quarantine."""
    quarantine.write(con, batch.rejected, park_id, contract.name)
    quarantine.write(con, batch.noted, park_id, contract.name, "row_warning")
    con.register("good_rows", batch.good)
    typed = ", ".join(f"CAST({c.table_name} AS {c.sql_type}) AS {c.table_name}" for c in contract.columns)
    names = ", ".join(f"hashed.{column.table_name}" for column in contract.columns)
    # Decimals come with 18 places; the cast rounds measurements, half away from zero. Money has no more places to lose.
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE incoming AS WITH typed AS ("
        f"SELECT {typed}, file_no, line_no, recorded_at AS given_at FROM good_rows), "
        f"hashed AS (SELECT *, {_content_hash(contract)} AS content_hash FROM typed) "
        f"SELECT {names}, now.park_id, coalesce(hashed.given_at, now.received_at) AS recorded_at, now.file_id, "
        f"hashed.line_no, hashed.content_hash, hashed.file_no FROM hashed JOIN landing_now AS now USING (file_no)"
    )
    con.unregister("good_rows")
    _touch(con, contract, "incoming")
    columns = ", ".join(columns_of(contract))
    if not contract.references:
        con.execute(f"INSERT INTO raw.{contract.name} ({columns}) SELECT {columns} FROM incoming")
        return
    _part(con, contract, "incoming")
    con.execute(f"INSERT INTO raw.{contract.name} ({columns}) SELECT {columns} FROM parted WHERE rule IS NULL")
    unknown = con.sql(
        f"SELECT file_no, line_no, rule, column_name, {day_of(contract)} AS service_date, {key_text(contract)} AS row_key, "
        "recorded_at AS known_at FROM parted JOIN known_park USING (park_id) WHERE rule IS NOT NULL ORDER BY file_no, line_no"
    ).pl()
    if not unknown.is_empty():
        con.execute(
            f"INSERT INTO raw.{contract.name}_waiting ({columns}) SELECT {columns} FROM parted WHERE rule IS NOT NULL"
        )
        quarantine.write(con, batch.with_texts(unknown), park_id, contract.name)


def recount(con: duckdb.DuckDBPyConnection, contract: FeedContract, park_id: str) -> None:
    """Manifest counts of every file that shares a key of `touched_key`, from all rows of all keys of those files."""
    table, keys = f"raw.{contract.name}", _keys(contract)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE touched_file AS SELECT DISTINCT file_id FROM {table} "
        f"SEMI JOIN touched_key USING ({keys}) WHERE park_id = ?",
        [park_id],
    )
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE counted AS
        WITH wanted AS (
            SELECT DISTINCT {keys} FROM {table} SEMI JOIN touched_file USING (file_id) WHERE park_id = $park
        ), ordered AS (
            SELECT {keys}, file_id,
                row_number() OVER history AS place,
                coalesce(content_hash = lag(content_hash) OVER history, false) AS is_duplicate
            FROM {table} SEMI JOIN wanted USING ({keys}) WHERE park_id = $park
            WINDOW history AS (PARTITION BY {keys} ORDER BY recorded_at, content_hash, file_id, line_no)
        ), marked AS (
            SELECT *, max(place) FILTER (NOT is_duplicate) OVER (PARTITION BY {keys}) AS last_place FROM ordered
        )
        SELECT file_id,
            count(*) FILTER (NOT is_duplicate AND place = last_place) AS landed_count,
            count(*) FILTER (is_duplicate) AS duplicate_count,
            count(*) FILTER (NOT is_duplicate AND place < last_place) AS superseded_count
        FROM marked SEMI JOIN touched_file USING (file_id) GROUP BY file_id
        """,
        {"park": park_id},
    )
    manifest.write_counts(con, contract.name, park_id)


def resolve(con: duckdb.DuckDBPyConnection, contract: FeedContract) -> None:
    """Let rows out of quarantine whose lease, tranche or contract has become known."""
    if not contract.references:
        return
    table = f"raw.{contract.name}_waiting"
    columns = ", ".join(columns_of(contract))
    for (park_id,) in con.execute(f"SELECT DISTINCT park_id FROM {table} ORDER BY park_id").fetchall():
        con.execute("SET VARIABLE waiting_park = ?", [park_id])
        _part(con, contract, table, "waiting.park_id = getvariable('waiting_park')")
        of_row = (
            f"quarantined_row.park_id = parted.park_id AND quarantined_row.feed = '{contract.name}' AND "
            "quarantined_row.file_id = parted.file_id AND quarantined_row.line_no = parted.line_no"
        )
        con.execute(
            "UPDATE raw.quarantined_row SET rule = parted.rule, column_name = parted.column_name FROM parted "
            f"WHERE {of_row} AND parted.rule IS NOT NULL AND quarantined_row.rule <> parted.rule"
        )
        if not con.execute("SELECT 1 FROM parted WHERE rule IS NULL LIMIT 1").fetchall():
            continue
        begin(con, contract)
        _touch(con, contract, "parted", "rule IS NULL")
        con.execute(f"INSERT INTO raw.{contract.name} ({columns}) SELECT {columns} FROM parted WHERE rule IS NULL")
        con.execute(
            f"DELETE FROM {table} AS waiting USING parted WHERE waiting.park_id = parted.park_id "
            "AND waiting.file_id = parted.file_id AND waiting.line_no = parted.line_no AND parted.rule IS NULL"
        )
        con.execute(f"DELETE FROM raw.quarantined_row USING parted WHERE {of_row} AND parted.rule IS NULL")
        recount(con, contract, park_id)
