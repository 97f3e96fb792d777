"""The only writer of the feeds' raw tables and of the lake: atomic, idempotent, one manifest row a file.

A file is known by the SHA-256 of its content, within its park and feed: the same bytes under another name are one
landing. Documents (leases, payments …) of one park and feed land in one transaction, telemetry files in one each, after
their lake files. The counts of the manifest are a function of the set of landed files, never of their order:

- rows of one natural key stand in the order (recorded_at, version, content_hash, file_id, line_no); a row that says the
  same as the one before it is a duplicate; of the others the last one is landed, those before it are superseded;
- a row that refers to a lease, tranche or contract that is not known waits in quarantine, and leaves it at the first
  landing after that has become known;
- a file lands again when its park's clock or tranches' nodes change, since its rows were read by them.

So row_count = landed + duplicate + superseded + quarantined, always.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import duckdb
import polars as pl

from ingest import lake, quarantine
from ingest.contracts import CONTRACTS, LINEAGE, Column, FeedContract
from ingest.files import LandingFile, is_unchanged, scan, with_file_id
from ingest.reading import ReadFile, Rejected, read_file
from ingest.terms.home import Home
from ingest.terms.park import Park

__all__ = ["LandedFile", "LandingFile", "create_raw_tables", "land", "pending", "scan"]

# Raise it when the same file would be read differently: everything then lands again, with its old landing time.
READER_VERSION = 1

Progress = Callable[[str, int, int], None]

_MANIFEST = """
CREATE TABLE IF NOT EXISTS raw.landed_file (
    file_id VARCHAR NOT NULL,
    park_id VARCHAR NOT NULL,
    feed VARCHAR NOT NULL,
    format VARCHAR,
    path VARCHAR NOT NULL,
    received_at TIMESTAMPTZ NOT NULL,
    size_bytes BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    landed_count BIGINT NOT NULL,
    duplicate_count BIGINT NOT NULL,
    superseded_count BIGINT NOT NULL,
    quarantined_count BIGINT NOT NULL,
    state VARCHAR NOT NULL,
    reason VARCHAR,
    reading_hash VARCHAR NOT NULL,
    PRIMARY KEY (park_id, feed, file_id)
)
"""
_SEEN = """
CREATE TABLE IF NOT EXISTS raw.seen_path (
    path VARCHAR PRIMARY KEY,
    size_bytes BIGINT NOT NULL,
    mtime_ns BIGINT NOT NULL,
    park_id VARCHAR NOT NULL,
    feed VARCHAR NOT NULL,
    file_id VARCHAR NOT NULL
)
"""


@dataclass(frozen=True)
class LandedFile:
    """A row of the manifest; see quality.fct_landed_file."""

    file_id: str
    park_id: str
    feed: str
    format: str | None
    path: str
    received_at: datetime
    size_bytes: int
    row_count: int
    landed_count: int
    duplicate_count: int
    superseded_count: int
    quarantined_count: int
    state: str
    reason: str | None


@contextmanager
def _transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.execute("BEGIN")
    try:
        yield
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")


def _table_columns(contract: FeedContract) -> dict[str, str]:
    return {column.table_name: column.sql_type for column in contract.columns} | LINEAGE


def create_raw_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Make the feeds' tables, the manifest, the catalogue and the quarantine where they are missing."""
    con.execute("SET TimeZone = 'UTC'")
    con.execute("CREATE SCHEMA IF NOT EXISTS raw")
    for ddl in (_MANIFEST, _SEEN, lake.DDL, quarantine.DDL):
        con.execute(ddl)
    for contract in CONTRACTS.values():
        if contract.in_lake:
            exists = con.execute(
                "SELECT 1 FROM duckdb_views() WHERE schema_name = 'raw' AND view_name = ?", [contract.name]
            ).fetchone()
            if not exists:
                lake.create_view(con, contract.name, None)
            continue
        columns = ", ".join(f"{name} {kind}" for name, kind in _table_columns(contract).items())
        con.execute(f"CREATE TABLE IF NOT EXISTS raw.{contract.name} ({columns})")
        if contract.references:
            con.execute(f"CREATE TABLE IF NOT EXISTS raw.{contract.name}_waiting ({columns})")


def reading_hash(home: Home, park_id: str, feed: str) -> str:
    """Hash of what the reading of a file depends on beside its bytes; a file lands again when it changes."""
    park = home.parks.get(park_id)
    given: list[object] = [READER_VERSION]
    if park is not None:
        given += [park.time_zone, park.naive_timestamps]
        if feed == "gpu_telemetry":
            given += [[t.tranche_id, t.nodes] for t in park.tranches]
        # Outside formats take the model of a node from its tranche.
        given += [[t.nodes, t.gpu_model] for t in park.tranches]
    return hashlib.sha256(json.dumps(given).encode()).hexdigest()


def pending(con: duckdb.DuckDBPyConnection, home: Home) -> list[LandingFile]:
    """Files to be landed: new content, content under a new name, and files that must be read again.

    A path with the size and time with which it was last seen is not hashed again: cheap where nothing is new.
    """
    seen = {
        path: (size, mtime, park_id, feed, file_id)
        for path, size, mtime, park_id, feed, file_id in con.execute(
            "SELECT path, size_bytes, mtime_ns, park_id, feed, file_id FROM raw.seen_path"
        ).fetchall()
    }
    landed = {
        (park_id, feed, file_id): hashed
        for park_id, feed, file_id, hashed in con.execute(
            "SELECT park_id, feed, file_id, reading_hash FROM raw.landed_file"
        ).fetchall()
    }
    hashes: dict[tuple[str, str], str] = {}
    waiting: list[LandingFile] = []
    for file in scan(home):
        place = (file.park_id, file.feed)
        current = hashes.setdefault(place, reading_hash(home, *place))
        known = seen.get(file.relative_path)
        if (
            known is not None
            and known[:4] == (file.size_bytes, file.mtime_ns, *place)
            and landed.get(known[2:]) == current
        ):
            continue
        try:
            waiting.append(with_file_id(file))
        except OSError:
            # Gone or not readable at this moment: it is looked at again next time.
            continue
    return waiting


def _prepare_known(con: duckdb.DuckDBPyConnection, home: Home) -> None:
    con.execute("CREATE OR REPLACE TEMP TABLE known_contract (contract_id VARCHAR)")
    con.execute("CREATE OR REPLACE TEMP TABLE known_tranche (park_id VARCHAR, tranche_id VARCHAR)")
    contracts = [[contract_id] for contract_id in sorted(home.known_contract_ids)]
    tranches = [[park.park_id, t.tranche_id] for park in home.parks.values() for t in park.tranches]
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


def _unknown(contract: FeedContract, what: str) -> str:
    """SQL over `waiting`: the rule (or the column) of the first reference that is not known, null if all are."""
    cases = [
        f"WHEN waiting.{reference.column} IS NOT NULL AND {_UNKNOWN[reference.to].format(column=reference.column)} "
        f"THEN '{reference.rule if what == 'rule' else reference.column}'"
        for reference in contract.references
    ]
    return f"CASE {' '.join(cases)} END"


def _content_hash(contract: FeedContract) -> str:
    """SQL: MD5 of the business columns, parted by unit separators, null apart from empty."""
    cells = ", ".join(
        f"coalesce({_as_text(column)}, chr(30))" for column in contract.columns if column.name not in contract.key
    )
    return f"md5(concat_ws(chr(31), {cells}))" if cells else "md5('')"


def _as_text(column: Column) -> str:
    return f"epoch_us({column.table_name})::VARCHAR" if column.kind == "instant" else f"{column.table_name}::VARCHAR"


def _stage(
    con: duckdb.DuckDBPyConnection, contract: FeedContract, file: LandingFile, rows: pl.DataFrame, at: datetime
) -> None:
    """Put a file's good rows, typed, hashed and with their lineage, into the temporary table `incoming`."""
    con.register("good_rows", rows)
    typed = ", ".join(
        f"CAST({column.table_name} AS {column.sql_type}) AS {column.table_name}" for column in contract.columns
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE incoming AS WITH typed AS (SELECT {typed}, recorded_at, line_no FROM good_rows) "
        "SELECT * EXCLUDE (recorded_at, line_no), ?::VARCHAR AS park_id, "
        "coalesce(recorded_at, ?::TIMESTAMPTZ) AS recorded_at, "
        f"?::VARCHAR AS file_id, line_no, {_content_hash(contract)} AS content_hash FROM typed",
        [file.park_id, at, file.file_id],
    )
    con.unregister("good_rows")


def _keys(contract: FeedContract, prefix: str = "") -> str:
    return ", ".join(f"{prefix}{name}" for name in contract.key)


def _touch(con: duckdb.DuckDBPyConnection, contract: FeedContract, source: str, where: str = "true") -> None:
    con.execute(f"INSERT INTO touched_key SELECT DISTINCT {_keys(contract)} FROM {source} WHERE {where}")


def _begin_touching(con: duckdb.DuckDBPyConnection, contract: FeedContract) -> None:
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE touched_key AS SELECT {_keys(contract)} FROM raw.{contract.name} LIMIT 0"
    )


def _insert_document(
    con: duckdb.DuckDBPyConnection, contract: FeedContract, file: LandingFile, read: ReadFile, at: datetime
) -> None:
    """Rows of one file into their table; those that refer to something unknown wait beside, in quarantine."""
    _stage(con, contract, file, read.good, at)
    columns = ", ".join(_table_columns(contract))
    if not contract.references:
        con.execute(f"INSERT INTO raw.{contract.name} ({columns}) SELECT {columns} FROM incoming")
    else:
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE parted AS SELECT *, {_unknown(contract, 'rule')} AS rule, "
            f"{_unknown(contract, 'column')} AS column_name FROM incoming AS waiting"
        )
        con.execute(f"INSERT INTO raw.{contract.name} ({columns}) SELECT {columns} FROM parted WHERE rule IS NULL")
        con.execute(
            f"INSERT INTO raw.{contract.name}_waiting ({columns}) SELECT {columns} FROM parted WHERE rule IS NOT NULL"
        )
        unknown = con.sql("SELECT line_no, rule, column_name FROM parted WHERE rule IS NOT NULL ORDER BY line_no").pl()
        if not unknown.is_empty():
            texts = read.texts(unknown["line_no"].to_list())
            with_texts = unknown.with_columns(
                pl.Series("row_text", [texts[number] for number in unknown["line_no"]], dtype=pl.String)
            )
            quarantine.write(con, with_texts, file.key, at)
    _touch(con, contract, "incoming")


def _forget_document(con: duckdb.DuckDBPyConnection, contract: FeedContract, file: LandingFile) -> None:
    """Take the rows of a file away before it lands again."""
    of_file = "park_id = ? AND file_id = ?"
    values = [file.park_id, file.file_id]
    con.execute(
        f"INSERT INTO touched_key SELECT DISTINCT {_keys(contract)} FROM raw.{contract.name} WHERE {of_file}", values
    )
    con.execute(f"DELETE FROM raw.{contract.name} WHERE {of_file}", values)
    if contract.references:
        con.execute(f"DELETE FROM raw.{contract.name}_waiting WHERE {of_file}", values)
    quarantine.forget(con, file.key)


def _recount_documents(con: duckdb.DuckDBPyConnection, contract: FeedContract, park_id: str) -> None:
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
    _write_counts(con, contract.name, park_id)


def _write_counts(con: duckdb.DuckDBPyConnection, feed: str, park_id: str) -> None:
    """Counts of `counted` and of the quarantine into the manifest, with the state that follows from them."""
    con.execute(
        "UPDATE raw.landed_file SET landed_count = counted.landed_count, duplicate_count = counted.duplicate_count, "
        "superseded_count = counted.superseded_count FROM counted "
        "WHERE landed_file.park_id = ? AND landed_file.feed = ? AND landed_file.file_id = counted.file_id",
        [park_id, feed],
    )
    con.execute(
        "UPDATE raw.landed_file SET quarantined_count = ("
        "SELECT count(*) FROM raw.quarantined_row AS q "
        "WHERE q.park_id = landed_file.park_id AND q.feed = landed_file.feed "
        "AND q.file_id = landed_file.file_id) WHERE park_id = ? AND feed = ?",
        [park_id, feed],
    )
    con.execute(
        "UPDATE raw.landed_file SET state = CASE WHEN landed_count = 0 AND superseded_count > 0 THEN 'superseded' "
        "ELSE 'landed' END WHERE park_id = ? AND feed = ? AND state <> 'rejected'",
        [park_id, feed],
    )


def _write_manifest(
    con: duckdb.DuckDBPyConnection, home: Home, file: LandingFile, outcome: ReadFile | Rejected, at: datetime
) -> None:
    is_rejected = isinstance(outcome, Rejected)
    con.execute(
        "INSERT OR REPLACE INTO raw.landed_file VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, ?, ?, ?)",
        [
            file.file_id,
            file.park_id,
            file.feed,
            outcome.format_name,
            file.relative_path,
            at,
            file.size_bytes,
            0 if isinstance(outcome, Rejected) else outcome.row_count,
            "rejected" if is_rejected else "landed",
            f"{outcome.rule}: {outcome.reason}" if isinstance(outcome, Rejected) else None,
            reading_hash(home, file.park_id, file.feed),
        ],
    )


def _remember_paths(con: duckdb.DuckDBPyConnection, files: Iterable[LandingFile]) -> None:
    """Note the paths under which a content lies; the manifest names the first of them."""
    for file in files:
        con.execute(
            "INSERT OR REPLACE INTO raw.seen_path VALUES (?, ?, ?, ?, ?, ?)",
            [file.relative_path, file.size_bytes, file.mtime_ns, *file.key],
        )
        con.execute(
            "UPDATE raw.landed_file SET path = least(path, ?) WHERE park_id = ? AND feed = ? AND file_id = ?",
            [file.relative_path, *file.key],
        )


def _received_at(con: duckdb.DuckDBPyConnection, file: LandingFile, clock_at: datetime) -> datetime:
    """When the content first landed: landing it again does not make it known later."""
    found = con.execute(
        "SELECT received_at FROM raw.landed_file WHERE park_id = ? AND feed = ? AND file_id = ?", list(file.key)
    ).fetchone()
    return found[0] if found else clock_at


def _outcome(file: LandingFile, park: Park | None) -> ReadFile | Rejected:
    if file.refusal is not None or park is None:
        rule, reason = file.refusal or ("unknown_park", f"there is no readable park {file.park_id}")
        return Rejected(rule, reason)
    return read_file(file.path, file.feed, park)


def _land_documents(
    con: duckdb.DuckDBPyConnection,
    home: Home,
    contract: FeedContract,
    contents: list[list[LandingFile]],
    report: Callable[[LandingFile], None],
) -> None:
    """Land the files of one park and one feed of documents in one transaction."""
    park_id = contents[0][0].park_id
    with _transaction(con):
        _begin_touching(con, contract)
        for same in contents:
            file = same[0]
            at = _received_at(con, file, home.clock_at)
            outcome = _outcome(file, home.parks.get(park_id))
            report(file)
            if not is_unchanged(file):
                continue
            _forget_document(con, contract, file)
            _write_manifest(con, home, file, outcome, at)
            _remember_paths(con, same)
            if isinstance(outcome, ReadFile):
                quarantine.write(con, outcome.rejected, file.key, at)
                _insert_document(con, contract, file, outcome, at)
        _recount_documents(con, contract, park_id)


def _read_ahead(files: list[LandingFile], park: Park | None) -> Iterator[ReadFile | Rejected]:
    """Outcomes of files in order; while one is being written, the next one is read."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(_outcome, files[0], park)
        for following in files[1:]:
            outcome = coming.result()
            coming = reader.submit(_outcome, following, park)
            yield outcome
        yield coming.result()


def _land_telemetry(
    con: duckdb.DuckDBPyConnection, home: Home, same: list[LandingFile], outcome: ReadFile | Rejected
) -> None:
    """Land one telemetry file: its lake files first, then everything that makes them count in one transaction."""
    file = same[0]
    park_id, feed, file_id = file.key
    at = _received_at(con, file, home.clock_at)
    if not is_unchanged(file):
        return
    days = pl.DataFrame(schema=lake.CATALOGUE)
    if isinstance(outcome, ReadFile) and not outcome.good.is_empty():
        rows = outcome.good.with_columns(pl.col("recorded_at").fill_null(at))
        days = lake.write_days(home.path, feed, park_id, file_id, rows)
    with _transaction(con):
        before = con.execute(
            "SELECT service_date, path FROM raw.lake_file WHERE feed = ? AND park_id = ? AND file_id = ?",
            [feed, park_id, file_id],
        ).fetchall()
        quarantine.forget(con, file.key)
        _write_manifest(con, home, file, outcome, at)
        _remember_paths(con, same)
        if isinstance(outcome, ReadFile):
            quarantine.write(con, outcome.rejected, file.key, at)
        lake.catalogue(con, feed, park_id, file_id, days)
        touched = {*days["service_date"].to_list(), *(day for day, _ in before)}
        lake.recount(con, home.path, feed, park_id, touched)
        con.execute(
            "CREATE OR REPLACE TEMP TABLE counted AS SELECT file_id, sum(landed_count)::BIGINT AS landed_count, "
            "sum(duplicate_count)::BIGINT AS duplicate_count, sum(superseded_count)::BIGINT AS superseded_count "
            "FROM raw.lake_file WHERE feed = ? AND park_id = ? GROUP BY file_id",
            [feed, park_id],
        )
        _write_counts(con, feed, park_id)
    lake.remove(home.path, sorted({path for _, path in before} - set(days["path"].to_list())))


def _resolve(con: duckdb.DuckDBPyConnection, contract: FeedContract) -> None:
    """Let rows out of quarantine whose lease, tranche or contract has become known; leases come first."""
    table = f"raw.{contract.name}_waiting"
    parks = con.execute(f"SELECT DISTINCT park_id FROM {table} ORDER BY park_id").fetchall()
    columns = ", ".join(_table_columns(contract))
    for (park_id,) in parks:
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE parted AS SELECT waiting.*, {_unknown(contract, 'rule')} AS rule, "
            f"{_unknown(contract, 'column')} AS column_name FROM {table} AS waiting WHERE waiting.park_id = ?",
            [park_id],
        )
        of_row = (
            "quarantined_row.park_id = parted.park_id AND quarantined_row.feed = ? AND "
            "quarantined_row.file_id = parted.file_id AND quarantined_row.line_no = parted.line_no"
        )
        con.execute(
            "UPDATE raw.quarantined_row SET rule = parted.rule, column_name = parted.column_name FROM parted "
            f"WHERE {of_row} AND parted.rule IS NOT NULL AND quarantined_row.rule <> parted.rule",
            [contract.name],
        )
        known = con.execute("SELECT count(*) FROM parted WHERE rule IS NULL").fetchone()
        if not known or not known[0]:
            continue
        _begin_touching(con, contract)
        _touch(con, contract, "parted", "rule IS NULL")
        con.execute(f"INSERT INTO raw.{contract.name} ({columns}) SELECT {columns} FROM parted WHERE rule IS NULL")
        con.execute(
            f"DELETE FROM {table} AS waiting USING parted WHERE waiting.park_id = parted.park_id "
            "AND waiting.file_id = parted.file_id AND waiting.line_no = parted.line_no AND parted.rule IS NULL"
        )
        con.execute(
            f"DELETE FROM raw.quarantined_row USING parted WHERE {of_row} AND parted.rule IS NULL", [contract.name]
        )
        _recount_documents(con, contract, park_id)


def _manifest(con: duckdb.DuckDBPyConnection, keys: list[tuple[str, str, str]]) -> list[LandedFile]:
    rows = con.execute(
        "SELECT file_id, park_id, feed, format, path, received_at, size_bytes, "
        "row_count, landed_count, duplicate_count, superseded_count, quarantined_count, state, reason "
        "FROM raw.landed_file ORDER BY park_id, feed, path, file_id"
    ).fetchall()
    wanted = set(keys)
    made = [LandedFile(*row) for row in rows]
    return [landed for landed in made if (landed.park_id, landed.feed, landed.file_id) in wanted]


def land(
    con: duckdb.DuckDBPyConnection, home: Home, files: list[LandingFile], on_progress: Progress | None = None
) -> list[LandedFile]:
    """Land files, and let rows out of quarantine that waited for what has become known.

    Args:
        con: a writing connection.
        home: the loaded home; its clock is the landing time.
        files: from `pending` or `scan`; content that has landed already is only noted under its new name.
        on_progress: called with a message, files done and files in all.

    Returns:
        The manifest rows of the given files. What is wrong with a file or a row is said there, never raised.
    """
    create_raw_tables(con)
    lake.clear_temporary(home.path)
    _prepare_known(con, home)
    contents: dict[tuple[str, str, str], list[LandingFile]] = defaultdict(list)
    for file in sorted(files, key=lambda file: file.relative_path):
        identified = file if file.file_id else with_file_id(file)
        contents[identified.key].append(identified)
    current = {
        (park_id, feed, file_id): hashed
        for park_id, feed, file_id, hashed in con.execute(
            "SELECT park_id, feed, file_id, reading_hash FROM raw.landed_file"
        ).fetchall()
    }
    done, total = 0, len(contents)

    def report(file: LandingFile) -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(file.relative_path, done, total)

    groups: dict[tuple[str, str], list[list[LandingFile]]] = defaultdict(list)
    for key, same in contents.items():
        if current.get(key) == reading_hash(home, key[0], key[1]):
            with _transaction(con):
                _remember_paths(con, same)
            report(same[0])
        else:
            groups[key[:2]].append(same)
    for _, group in sorted(groups.items(), key=lambda item: (_feed_order(item[0][1]), item[0])):
        _land_group(con, home, group, report)
    with _transaction(con):
        for contract in CONTRACTS.values():
            if contract.references:
                _resolve(con, contract)
            if contract.in_lake:
                lake.create_view(con, contract.name, home.path)
    return _manifest(con, list(contents))


def _land_group(
    con: duckdb.DuckDBPyConnection, home: Home, group: list[list[LandingFile]], report: Callable[[LandingFile], None]
) -> None:
    """Land the new contents of one park and feed."""
    first = group[0][0]
    contract = CONTRACTS.get(first.feed)
    if contract is None or any(same[0].refusal for same in group):
        _refuse(con, home, [same for same in group if contract is None or same[0].refusal], report)
        group = [same for same in group if contract is not None and not same[0].refusal]
    if contract is None or not group:
        return
    if not contract.in_lake:
        _land_documents(con, home, contract, group, report)
        return
    files = [same[0] for same in group]
    for same, outcome in zip(group, _read_ahead(files, home.parks.get(first.park_id)), strict=True):
        _land_telemetry(con, home, same, outcome)
        report(same[0])


def _feed_order(feed: str) -> int:
    order = list(CONTRACTS)
    return order.index(feed) if feed in CONTRACTS else len(order)


def _refuse(
    con: duckdb.DuckDBPyConnection, home: Home, group: list[list[LandingFile]], report: Callable[[LandingFile], None]
) -> None:
    """Note files that are not read at all, with the reason."""
    with _transaction(con):
        for same in group:
            file = same[0]
            at = _received_at(con, file, home.clock_at)
            _write_manifest(con, home, file, _outcome(file, home.parks.get(file.park_id)), at)
            _remember_paths(con, same)
            report(file)
