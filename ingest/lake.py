"""The lake: telemetry as Parquet by park, and the catalogue of what stands in it by service day.

A file that is clean as a whole stands in the lake as it was delivered (`delivered.py` decides); any other is rewritten,
checked row by row, as one file a service day. Lake files never change. They are written under a temporary name and
renamed; only the catalogue `raw.lake_file`, written in the landing's transaction, makes them count. What a killed run
leaves behind is overwritten when the same file lands again.

Each layout has a table macro in `raw` of its name that reads its files into the same columns; `recount`, the view
`raw.gpu_telemetry` and dbt's metering models all read through it.
"""

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq

from ingest.contracts import LINEAGE
from ingest.files import content_hash
from ingest.spool import Spool, pieces_of

LAKE_FOLDER = "lake"
_TEMPORARY = ".writing"
_MAGIC = b"PAR1"
# About a second of hashing; a larger lake is hashed whole by `parkledger verify`.
HASHED_EACH_RUN_BYTES = 512 * 1024**2
REWRITTEN = "telemetry_rewritten"

DDL = """
CREATE TABLE IF NOT EXISTS raw.lake_file (
    feed VARCHAR NOT NULL,
    park_id VARCHAR NOT NULL,
    service_date DATE NOT NULL,
    file_id VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    layout VARCHAR NOT NULL,
    tranche_id VARCHAR,
    clock_shift_seconds INTEGER NOT NULL,
    reading_hash VARCHAR NOT NULL,
    row_count BIGINT NOT NULL,
    min_recorded_at TIMESTAMPTZ NOT NULL,
    max_recorded_at TIMESTAMPTZ NOT NULL,
    has_duplicate_keys BOOLEAN NOT NULL,
    is_one_gpu_a_row BOOLEAN NOT NULL,
    has_xid_codes BOOLEAN NOT NULL,
    min_gpu_id VARCHAR NOT NULL,
    max_gpu_id VARCHAR NOT NULL,
    first_hour_at TIMESTAMPTZ NOT NULL,
    last_hour_at TIMESTAMPTZ NOT NULL,
    microsecond_of_hour BIGINT,
    landed_count BIGINT NOT NULL,
    duplicate_count BIGINT NOT NULL,
    superseded_count BIGINT NOT NULL,
    sha256 VARCHAR,
    PRIMARY KEY (feed, park_id, service_date, file_id)
)
"""
# Of delivered files, whose rows name neither tranche nor day.
NODE_DDL = """
CREATE TABLE IF NOT EXISTS raw.lake_node (
    park_id VARCHAR NOT NULL,
    node_id VARCHAR NOT NULL,
    tranche_id VARCHAR NOT NULL,
    PRIMARY KEY (park_id, node_id)
)
"""
HOUR_DDL = """
CREATE TABLE IF NOT EXISTS raw.lake_hour (
    park_id VARCHAR NOT NULL,
    interval_start_at TIMESTAMPTZ NOT NULL,
    service_date DATE NOT NULL,
    PRIMARY KEY (park_id, interval_start_at)
)
"""

# Columns of a rewritten file, in order.
COLUMNS: dict[str, pl.DataType] = {
    "gpu_id": pl.String(),
    "node_id": pl.String(),
    "gpu_model": pl.String(),
    "tranche_id": pl.String(),
    "sampled_at": pl.Datetime("us", "UTC"),
    "interval_start_at": pl.Datetime("us", "UTC"),
    "utilization_milli_pct": pl.Int32(),
    "power_microwatt": pl.Int64(),
    "gpu_count": pl.Int32(),
    "energy_mj": pl.Int64(),
    "memory_used_mib": pl.Int64(),
    "xid_code": pl.Int32(),
    "recorded_at": pl.Datetime("us", "UTC"),
    "line_no": pl.Int64(),
    "file_id": pl.String(),
}
# What a row says beside its key: rows of one key are compared, and those recorded at once are ordered, by it.
_CONTENT = (
    "node_id",
    "gpu_model",
    "utilization_milli_pct",
    "power_microwatt",
    "gpu_count",
    "energy_mj",
    "memory_used_mib",
    "xid_code",
)
_SQL_TYPES = {
    pl.String(): "VARCHAR",
    pl.Datetime("us", "UTC"): "TIMESTAMPTZ",
    pl.Int32(): "INTEGER",
    pl.Int64(): "BIGINT",
}
CATALOGUE: dict[str, pl.DataType] = {
    "service_date": pl.Date(),
    "file_id": pl.String(),
    "path": pl.String(),
    "layout": pl.String(),
    "tranche_id": pl.String(),
    "clock_shift_seconds": pl.Int32(),
    "row_count": pl.Int64(),
    "min_recorded_at": pl.Datetime("us", "UTC"),
    "max_recorded_at": pl.Datetime("us", "UTC"),
    "has_duplicate_keys": pl.Boolean(),
    "is_one_gpu_a_row": pl.Boolean(),
    "has_xid_codes": pl.Boolean(),
    "min_gpu_id": pl.String(),
    "max_gpu_id": pl.String(),
    "first_hour_at": pl.Datetime("us", "UTC"),
    "last_hour_at": pl.Datetime("us", "UTC"),
    "microsecond_of_hour": pl.Int64(),
    "sha256": pl.String(),
}
HOURS: dict[str, pl.DataType] = {"interval_start_at": pl.Datetime("us", "UTC"), "service_date": pl.Date()}


def _macro(con: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, str], source: str) -> None:
    cells = {name: f"CAST({cell} AS {_SQL_TYPES[COLUMNS[name]]})" for name, cell in columns.items()}
    content = ", ".join(f"{name} := {cells[name]}" for name in _CONTENT)
    con.execute(
        f"CREATE OR REPLACE MACRO raw.{name}(paths, clock_shift_seconds, received_at) AS TABLE SELECT "
        + ", ".join(f"{cell} AS {name}" for name, cell in cells.items())
        + f", struct_pack({content}) AS content FROM {source}"
    )


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Make the catalogue, and the macro that reads rewritten files, where they are missing."""
    for ddl in (DDL, NODE_DDL, HOUR_DDL):
        con.execute(ddl)
    # Catalogues of older releases say nothing of the bytes; `hash_unknown` looks at them once.
    con.execute("ALTER TABLE raw.lake_file ADD COLUMN IF NOT EXISTS sha256 VARCHAR")
    _macro(con, REWRITTEN, {name: name for name in COLUMNS}, "read_parquet(paths, hive_partitioning = false)")


def create_layout(con: duckdb.DuckDBPyConnection, types: Mapping[str, str]) -> str:
    """Make the macro that reads delivered files of one form into COLUMNS.

    Args:
        con: a writing connection.
        types: the feed's columns that the files hold, with the types that DuckDB gives them. Files of different types
            are never read together: one of them would be cast to the other's.

    Returns:
        Name of the layout. `tranche_id` is null in it; `received_at` stands in where the files give no `recorded_at`.
    """
    form = ", ".join(f"{name} {types[name]}" for name in sorted(types))
    name = f"telemetry_delivered_{hashlib.sha256(form.encode()).hexdigest()[:8]}"
    if con.execute(
        "SELECT 1 FROM duckdb_functions() WHERE schema_name = 'raw' AND function_name = ?", [name]
    ).fetchall():
        return name
    given = {column: column if column in types else "NULL" for column in COLUMNS}
    cells = given | {
        # The clock's hours lie a constant part of an hour off those of UTC throughout a delivered file.
        "interval_start_at": "make_timestamptz((epoch_us(sampled_at) + 1000000::BIGINT * clock_shift_seconds) // 3600000000 "
        "* 3600000000 - 1000000::BIGINT * clock_shift_seconds)",
        "utilization_milli_pct": "round(CAST(utilization_pct AS DOUBLE) * 1000)",
        "power_microwatt": "round(CAST(power_w AS DOUBLE) * 1000000)",
        "gpu_count": f"coalesce({given['gpu_count']}, 1)",
        "recorded_at": f"coalesce({given['recorded_at']}, received_at)",
        "line_no": "file_row_number + 1",
        "file_id": "parse_filename(filename, true)",
    }
    for column, source in (("utilization_milli_pct", "utilization_pct"), ("power_microwatt", "power_w")):
        if source not in types:
            cells[column] = "NULL"
    _macro(con, name, cells, "read_parquet(paths, filename = true, file_row_number = true, hive_partitioning = false)")
    return name


def clear_temporary(home: Path) -> None:
    """Take away what a killed run was in the middle of writing."""
    shutil.rmtree(home / LAKE_FOLDER / _TEMPORARY, ignore_errors=True)


def temporary_folder(home: Path) -> Path:
    """Where lake files are written before they are renamed into place."""
    folder = home / LAKE_FOLDER / _TEMPORARY
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _put(half_written: Path, home: Path, path: str) -> None:
    target = home / path
    target.parent.mkdir(parents=True, exist_ok=True)
    half_written.replace(target)


def put_delivered(home: Path, feed: str, park_id: str, file_id: str, copy: Path) -> str:
    """Put a checked copy of a delivered file in its place; the path relative to the home."""
    path = f"{LAKE_FOLDER}/{feed}/park_id={park_id}/delivered/{file_id}.parquet"
    _put(copy, home, path)
    return path


def write_days(
    con: duckdb.DuckDBPyConnection, home: Path, key: tuple[str, str, str], spool: Spool, received_at: datetime
) -> pl.DataFrame:
    """Write the rows of one landed file, one Parquet file a service day, ordered by GPU and instant.

    Args:
        con: a writing connection; it sorts, with files beside memory, what does not fit into memory.
        home: the home folder.
        key: park, feed and file_id of the landed file.
        spool: rows with the columns of COLUMNS but file_id, and service_date; not empty.
        received_at: landing time, for rows that give no recorded_at.

    Returns:
        The catalogue's rows: columns of CATALOGUE.
    """
    park_id, feed, file_id = key
    temporary = temporary_folder(home)
    half_written = temporary / f"{file_id}-sorted.parquet"
    pieces: Iterator[pl.DataFrame]
    if spool.is_on_disk:
        spool.sort_into(con, half_written, ("service_date", "gpu_id", "sampled_at", "line_no"))
        pieces = pieces_of(half_written)
    else:
        pieces = iter([_sorted(pl.concat(list(spool)))])
    parts: list[pl.DataFrame] = []
    written: dict[date, Path] = {}
    writer: pq.ParquetWriter | None = None
    before: tuple[object, object] | None = None
    for piece in pieces:
        rows = piece.with_columns(pl.col("recorded_at").fill_null(received_at), file_id=pl.lit(file_id))
        parts.append(_facts(rows, before))
        before = rows.select("gpu_id", "sampled_at").row(-1)
        for day, count in rows.group_by("service_date", maintain_order=True).len().iter_rows():
            of_day = rows.filter(pl.col("service_date") == day) if count < rows.height else rows
            table = of_day.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items()).to_arrow()
            if day not in written:
                if writer is not None:
                    writer.close()
                written[day] = temporary / f"{file_id}-{day.isoformat()}.parquet"
                # Level 1 is a third faster than the default and 4 % larger on hourly rack rows.
                writer = pq.ParquetWriter(written[day], table.schema, compression="zstd", compression_level=1)
            assert writer is not None  # noqa: S101
            writer.write_table(table)
    if writer is not None:
        writer.close()
    half_written.unlink(missing_ok=True)
    paths = {
        day: f"{LAKE_FOLDER}/{feed}/park_id={park_id}/service_date={day.isoformat()}/{file_id}.parquet"
        for day in written
    }
    hashes = {day: content_hash(half_written) for day, half_written in written.items()}
    for day, path in paths.items():
        _put(written[day], home, path)
    one = pl.col("min_microsecond") == pl.col("max_microsecond")
    one_tranche = pl.col("min_tranche_id") == pl.col("max_tranche_id")
    return (
        _together(parts)
        .select(
            pl.col("service_date").replace_strict(paths, return_dtype=pl.String).alias("path"),
            pl.col("service_date").replace_strict(hashes, return_dtype=pl.String).alias("sha256"),
            pl.lit(file_id).alias("file_id"),
            pl.lit(REWRITTEN).alias("layout"),
            pl.lit(0, pl.Int32).alias("clock_shift_seconds"),
            pl.when(one).then(pl.col("min_microsecond")).alias("microsecond_of_hour"),
            pl.when(one_tranche).then(pl.col("min_tranche_id")).alias("tranche_id"),
            "service_date",
            *(name for name in CATALOGUE if name in _FACTS),
        )
        .select(*CATALOGUE)
    )


def _sorted(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows by day, GPU, instant and line."""
    # Ids are ordered once among themselves; sorting by their ranks is then cheaper than sorting by text.
    ranks = rows["gpu_id"].unique().sort()
    rank = rows["gpu_id"].replace_strict(ranks, pl.Series(range(len(ranks)), dtype=pl.UInt32), return_dtype=pl.UInt32)
    return rows.with_columns(rank=rank).sort("service_date", "rank", "sampled_at", maintain_order=True).drop("rank")


# What the catalogue says of a day's rows, from what it says of parts of them.
_FACTS: dict[str, pl.Expr] = {
    "row_count": pl.col("row_count").sum(),
    "min_recorded_at": pl.col("min_recorded_at").min(),
    "max_recorded_at": pl.col("max_recorded_at").max(),
    "has_duplicate_keys": pl.col("has_duplicate_keys").any(),
    "is_one_gpu_a_row": pl.col("is_one_gpu_a_row").all(),
    "has_xid_codes": pl.col("has_xid_codes").any(),
    "min_gpu_id": pl.col("min_gpu_id").first(),
    "max_gpu_id": pl.col("max_gpu_id").last(),
    "first_hour_at": pl.col("first_hour_at").min(),
    "last_hour_at": pl.col("last_hour_at").max(),
    "min_microsecond": pl.col("min_microsecond").min(),
    "max_microsecond": pl.col("max_microsecond").max(),
    "min_tranche_id": pl.col("min_tranche_id").min(),
    "max_tranche_id": pl.col("max_tranche_id").max(),
}


def _together(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """service_date and _FACTS of days, from those of their parts in order."""
    return pl.concat(parts).group_by("service_date", maintain_order=True).agg(**_FACTS)


def _facts(rows: pl.DataFrame, before: tuple[object, object] | None) -> pl.DataFrame:
    """service_date and _FACTS of sorted rows; `before` is the key of the row before the first, None without any."""
    gpu_id, sampled_at = before or (None, None)
    same_gpu = pl.col("gpu_id") == pl.col("gpu_id").shift(fill_value=pl.lit(gpu_id, pl.String))
    same_instant = pl.col("sampled_at") == pl.col("sampled_at").shift(
        fill_value=pl.lit(sampled_at, COLUMNS["sampled_at"])
    )
    microsecond = (pl.col("sampled_at") - pl.col("interval_start_at")).dt.total_microseconds()
    return (
        rows.with_columns(repeats=same_gpu & same_instant, microsecond=microsecond)
        .group_by("service_date", maintain_order=True)
        .agg(
            row_count=pl.len().cast(pl.Int64),
            min_recorded_at=pl.col("recorded_at").min(),
            max_recorded_at=pl.col("recorded_at").max(),
            has_duplicate_keys=pl.col("repeats").fill_null(value=False).any(),
            is_one_gpu_a_row=(pl.col("gpu_count") == 1).all(),
            has_xid_codes=pl.col("xid_code").is_not_null().any(),
            min_gpu_id=pl.col("gpu_id").first(),
            max_gpu_id=pl.col("gpu_id").last(),
            first_hour_at=pl.col("interval_start_at").min(),
            last_hour_at=pl.col("interval_start_at").max(),
            min_microsecond=pl.col("microsecond").min(),
            max_microsecond=pl.col("microsecond").max(),
            min_tranche_id=pl.col("tranche_id").min(),
            max_tranche_id=pl.col("tranche_id").max(),
        )
    )


def catalogue(con: duckdb.DuckDBPyConnection, feed: str, park_id: str, days: pl.DataFrame) -> list[tuple[date, str]]:
    """Replace the catalogue's rows of the files of `landing_now`; counts are set by `recount`.

    Args:
        con: a writing connection, in a transaction.
        feed: the feed.
        park_id: the park.
        days: columns of CATALOGUE.

    Returns:
        Day and path of the rows that stood there before.
    """
    of_files = "feed = ? AND park_id = ? AND file_id IN (SELECT file_id FROM landing_now WHERE is_again)"
    before = con.execute(f"SELECT service_date, path FROM raw.lake_file WHERE {of_files}", [feed, park_id]).fetchall()
    if before:
        con.execute(f"DELETE FROM raw.lake_file WHERE {of_files}", [feed, park_id])
    con.register("lake_days", days)
    con.execute(
        "INSERT INTO raw.lake_file BY NAME SELECT ? AS feed, ? AS park_id, lake_days.*, row_count AS landed_count, "
        "0 AS duplicate_count, 0 AS superseded_count, now.reading_hash "
        "FROM lake_days JOIN (SELECT file_id, reading_hash FROM landing_now) AS now USING (file_id)",
        [feed, park_id],
    )
    con.unregister("lake_days")
    return before


def remember_nodes(con: duckdb.DuckDBPyConnection, park_id: str, nodes: pl.DataFrame) -> None:
    """Note the tranche of each node of delivered files: node_id, tranche_id."""
    _remember(con, "lake_node", park_id, nodes)


def remember_hours(con: duckdb.DuckDBPyConnection, park_id: str, hours: pl.DataFrame) -> None:
    """Note the day of each hour of the park's clock that has a sample: columns of HOURS."""
    _remember(con, "lake_hour", park_id, hours)


def _remember(con: duckdb.DuckDBPyConnection, table: str, park_id: str, frame: pl.DataFrame) -> None:
    con.register("remembered", frame.unique())
    con.execute(f"INSERT OR REPLACE INTO raw.{table} BY NAME SELECT ? AS park_id, * FROM remembered", [park_id])
    con.unregister("remembered")


def _literal(value: object) -> str:
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


def _literal_list(home: Path, paths: Iterable[str]) -> str:
    return "[" + ", ".join(_literal(home / path) for path in paths) + "]"


def _rows_of(home: Path, files: pl.DataFrame, columns: str) -> str:
    """SQL: columns of the rows of files, given by path, layout, clock_shift_seconds and received_at."""
    parts = [
        f"SELECT {columns} FROM raw.{layout}({_literal_list(home, group['path'].unique().sort())}, {shift}, "
        f"{_literal(received)}::TIMESTAMPTZ)"
        for (layout, shift, received), group in files.group_by(
            "layout", "clock_shift_seconds", "received_at", maintain_order=True
        )
    ]
    return " UNION ALL ".join(parts)


def _touch_days(con: duckdb.DuckDBPyConnection, feed: str, park_id: str, days: set[date]) -> None:
    """Make `touched`: the catalogue's rows of some days."""
    con.execute("CREATE OR REPLACE TEMP TABLE touched_day (service_date DATE)")
    con.executemany("INSERT INTO touched_day VALUES (?)", [[day] for day in sorted(days)])
    con.execute(
        "CREATE OR REPLACE TEMP TABLE touched AS FROM raw.lake_file SEMI JOIN touched_day USING (service_date) "
        "WHERE feed = ? AND park_id = ?",
        [feed, park_id],
    )


# Files of a day that can share a key: their GPUs' ids and their hours overlap. Ids are compared as ranges; whether a GPU
# really stands in two of them is looked up then.
_SHARED = """
SELECT file.path, file.layout, file.clock_shift_seconds, landed.received_at
FROM touched AS file
JOIN raw.landed_file AS landed USING (park_id, feed, file_id)
WHERE file.has_duplicate_keys OR EXISTS (
    SELECT 1 FROM touched AS other
    WHERE other.service_date = file.service_date AND other.file_id <> file.file_id
        AND other.min_gpu_id <= file.max_gpu_id AND file.min_gpu_id <= other.max_gpu_id
        AND other.first_hour_at <= file.last_hour_at AND file.first_hour_at <= other.last_hour_at
)
ORDER BY ALL
"""


def recount(con: duckdb.DuckDBPyConnection, home: Path, feed: str, park_id: str, days: set[date]) -> None:
    """Landed, duplicate and superseded rows of every lake file of some days, as a function of the files alone.

    A row that repeats what its key already says is a duplicate; of the others the last one (by recorded_at, content)
    is landed, those before it are superseded. Only rows of GPUs that stand in two files of a day, or in a file that
    repeats keys, are looked at one by one.
    """
    if not days:
        return
    _touch_days(con, feed, park_id, days)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE recounted (service_date DATE, file_id VARCHAR, duplicate_count BIGINT, "
        "superseded_count BIGINT)"
    )
    shared = con.sql(_SHARED).pl()
    if not shared.is_empty():
        keys = _rows_of(home, shared, "gpu_id, file_id, interval_start_at")
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE shared_gpu AS WITH stands AS (SELECT DISTINCT * FROM ({keys})), "
            "day_stands AS (SELECT DISTINCT touched.service_date, touched.file_id, stands.gpu_id, "
            "touched.has_duplicate_keys FROM stands JOIN touched ON touched.file_id = stands.file_id "
            "AND stands.interval_start_at BETWEEN touched.first_hour_at AND touched.last_hour_at) "
            "SELECT service_date, gpu_id, list(file_id) AS file_ids FROM day_stands GROUP BY service_date, gpu_id "
            "HAVING count(*) > 1 OR bool_or(has_duplicate_keys)"
        )
        rows = _rows_of(home, shared, "gpu_id, file_id, interval_start_at, sampled_at, recorded_at, content, line_no")
        con.execute(
            f"""
            INSERT INTO recounted
            WITH rows AS (
                SELECT touched.service_date, rows.* FROM ({rows}) AS rows
                SEMI JOIN shared_gpu ON rows.gpu_id = shared_gpu.gpu_id
                JOIN touched ON touched.file_id = rows.file_id
                    AND rows.interval_start_at BETWEEN touched.first_hour_at AND touched.last_hour_at
            ), ordered AS (
                SELECT rows.*,
                    row_number() OVER history AS place,
                    content IS NOT DISTINCT FROM lag(content) OVER history AS is_duplicate
                FROM rows SEMI JOIN shared_gpu USING (service_date, gpu_id)
                WINDOW history AS (
                    PARTITION BY gpu_id, sampled_at ORDER BY recorded_at, content, file_id, line_no
                )
            ), marked AS (
                SELECT *, max(place) FILTER (NOT is_duplicate) OVER (PARTITION BY gpu_id, sampled_at) AS last_place
                FROM ordered
            )
            SELECT service_date, file_id,
                count(*) FILTER (is_duplicate),
                count(*) FILTER (NOT is_duplicate AND place < last_place)
            FROM marked GROUP BY ALL
            """
        )
    con.execute(
        "UPDATE raw.lake_file SET landed_count = row_count - now.duplicate_count - now.superseded_count, "
        "duplicate_count = now.duplicate_count, superseded_count = now.superseded_count FROM ("
        "SELECT touched.service_date, touched.file_id, coalesce(recounted.duplicate_count, 0) AS duplicate_count, "
        "coalesce(recounted.superseded_count, 0) AS superseded_count "
        "FROM touched LEFT JOIN recounted USING (service_date, file_id)) AS now "
        "WHERE lake_file.feed = ? AND lake_file.park_id = ? AND lake_file.service_date = now.service_date "
        "AND lake_file.file_id = now.file_id AND (lake_file.duplicate_count <> now.duplicate_count "
        "OR lake_file.superseded_count <> now.superseded_count)",
        [feed, park_id],
    )


def keys_of_days(con: duckdb.DuckDBPyConnection, home: Path, feed: str, park_id: str, days: set[date]) -> str:
    """SQL: gpu_id, sampled_at and recorded_at of the rows of the files that hold some days of a park."""
    _touch_days(con, feed, park_id, days)
    files = con.sql(
        "SELECT DISTINCT touched.path, touched.layout, touched.clock_shift_seconds, landed.received_at "
        "FROM touched JOIN raw.landed_file AS landed USING (park_id, feed, file_id) ORDER BY ALL"
    ).pl()
    columns = "gpu_id, sampled_at, recorded_at"
    none = (
        "SELECT NULL::VARCHAR AS gpu_id, NULL::TIMESTAMPTZ AS sampled_at, NULL::TIMESTAMPTZ AS recorded_at WHERE false"
    )
    return none if files.is_empty() else _rows_of(home, files, columns)


def newest_rows(
    con: duckdb.DuckDBPyConnection, home: Path, feed: str, file_count: int, rows_a_file: int
) -> pl.DataFrame:
    """The first rows of the files of the newest days, under the feed's own column names and units.

    Args:
        con: a connection.
        home: the home folder.
        feed: the feed.
        file_count: so many files at most.
        rows_a_file: so many rows of each at most.

    Returns:
        gpu_id, node_id, gpu_model, sampled_at, utilization_pct (%), power_w (W), gpu_count, energy_mj (mJ),
        memory_used_mib (MiB), xid_code.
    """
    columns = [name for name in COLUMNS if name not in {"tranche_id", "interval_start_at", *LINEAGE}]
    units = {"utilization_milli_pct": ("utilization_pct", 1000), "power_microwatt": ("power_w", 1_000_000)}
    cells = ", ".join(f"{name} / {units[name][1]} AS {units[name][0]}" if name in units else name for name in columns)
    files = con.sql(
        "SELECT path, layout, clock_shift_seconds, NULL::TIMESTAMPTZ AS received_at FROM raw.lake_file "
        f"WHERE feed = {_literal(feed)} ORDER BY service_date DESC, path LIMIT {file_count}"
    ).pl()
    parts = [f"(FROM ({_rows_of(home, file, cells)}) LIMIT {rows_a_file})" for file in files.iter_slices(1)]
    if not parts:
        none = ", ".join(f"NULL::{_SQL_TYPES[COLUMNS[name]]} AS {name}" for name in columns)
        parts = [f"SELECT {cells} FROM (SELECT {none}) WHERE false"]
    found: pl.DataFrame = con.sql(" UNION ALL ".join(parts)).pl()
    return found


def hash_unknown(con: duckdb.DuckDBPyConnection, home: Path) -> int:
    """Note the hash of lake files that an older release has written; how many there were."""
    unknown = con.execute("SELECT DISTINCT path FROM raw.lake_file WHERE sha256 IS NULL ORDER BY ALL").fetchall()
    for (path,) in unknown:
        if (home / path).exists():
            con.execute("UPDATE raw.lake_file SET sha256 = ? WHERE path = ?", [content_hash(home / path), path])
    return len(unknown)


@dataclass(frozen=True)
class Damage:
    """A lake file that is not as it was written.

    Attributes:
        path: relative to the home.
        park_id, feed, file_id: the landed file whose rows it holds.
        landing_path: where that file lay when it landed, relative to the home.
        said: what is wrong.
    """

    path: str
    park_id: str
    feed: str
    file_id: str
    landing_path: str
    said: str


class DamagedLakeError(RuntimeError):
    """Lake files that count are missing or not as they were written."""


def damages(con: duckdb.DuckDBPyConnection, home: Path, limit_bytes: int | None = None) -> list[Damage]:
    """Catalogued files that are missing, cut, or hold other bytes than were written.

    Args:
        con: a connection.
        home: the home folder.
        limit_bytes: hash the newest files up to so many bytes; of the others see only that they are there and end as
            Parquet does. None hashes all.
    """
    found = []
    left = limit_bytes
    rows = con.execute(
        "SELECT file.path, any_value(park_id), any_value(feed), any_value(file_id), any_value(landed.path), "
        "any_value(file.sha256), max(file.service_date) AS newest "
        "FROM raw.lake_file AS file JOIN raw.landed_file AS landed USING (park_id, feed, file_id) "
        "GROUP BY file.path ORDER BY newest DESC, file.path"
    ).fetchall()
    for path, park_id, feed, file_id, landing_path, sha256, _ in rows:
        said = _fault(home / path, sha256 if left is None or left > 0 else None)
        if left is not None and said is None:
            left -= (home / path).stat().st_size
        if said:
            found.append(Damage(path, park_id, feed, file_id, landing_path, said))
    return found


def _fault(path: Path, sha256: str | None) -> str | None:
    if not path.exists():
        return "is missing"
    with path.open("rb") as file:
        head = file.read(4)
        size = file.seek(0, 2)
        file.seek(max(0, size - 4))
        if head != _MAGIC or file.read(4) != _MAGIC or size < 12:
            return "does not end, or begin, as Parquet does: it was cut or overwritten"
    if sha256 is not None and content_hash(path) != sha256:
        return "holds other bytes than were written: its hash is not that of the catalogue"
    return None


def stop_at_damage(con: duckdb.DuckDBPyConnection, home: Path) -> None:
    """Refuse to compute from a lake that is not as it was written.

    Raises:
        DamagedLakeError: names each file, at most five.
    """
    found = damages(con, home, HASHED_EACH_RUN_BYTES)
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise DamagedLakeError("; ".join(f"{damage.path} {damage.said}" for damage in found[:5]) + more)


def remove(home: Path, paths: Iterable[str]) -> None:
    """Take away lake files that the catalogue no longer names, after the transaction that dropped them."""
    for path in paths:
        (home / path).unlink(missing_ok=True)


def create_view_if_missing(con: duckdb.DuckDBPyConnection, feed: str) -> None:
    """Make the empty view of a feed, so that it can be read before anything has landed."""
    if not con.execute("SELECT 1 FROM duckdb_views() WHERE schema_name = 'raw' AND view_name = ?", [feed]).fetchall():
        create_view(con, feed, None)


def create_view(con: duckdb.DuckDBPyConnection, feed: str, home: Path | None) -> None:
    """(Re)create the view `raw.<feed>` over the catalogued files; without files, or home, it has no rows.

    Paths are absolute: a copied home makes its own view at its first landing.
    """
    plain = [name for name in COLUMNS if name not in {"tranche_id", "recorded_at"}]
    typed = ", ".join(f"NULL::{_SQL_TYPES[kind]} AS {name}" for name, kind in COLUMNS.items())
    parts = [f"SELECT {typed}, NULL::VARCHAR AS park_id, NULL::DATE AS service_date WHERE false"]
    files = (
        con.sql(
            f"SELECT DISTINCT path, layout, clock_shift_seconds, park_id, NULL::TIMESTAMPTZ AS received_at "
            f"FROM raw.lake_file WHERE feed = {_literal(feed)} ORDER BY ALL"
        ).pl()
        if home
        else None
    )
    if home and files is not None:
        for (park_id,), of_park in files.group_by("park_id", maintain_order=True):
            rows = _rows_of(home.resolve(), of_park, ", ".join(COLUMNS))
            parts.append(
                f"SELECT {', '.join(f'rows.{name}' for name in plain[:3])}, "
                "coalesce(rows.tranche_id, node.tranche_id) AS tranche_id, "
                f"{', '.join(f'rows.{name}' for name in plain[3:-2])}, "
                "coalesce(rows.recorded_at, landed.received_at) AS recorded_at, rows.line_no, rows.file_id, "
                f"hour.park_id, hour.service_date FROM ({rows}) AS rows "
                f"JOIN raw.lake_hour AS hour ON hour.park_id = {_literal(park_id)} "
                "AND hour.interval_start_at = rows.interval_start_at "
                "LEFT JOIN raw.lake_node AS node ON node.park_id = hour.park_id AND node.node_id = rows.node_id "
                f"JOIN raw.landed_file AS landed ON landed.park_id = hour.park_id AND landed.feed = {_literal(feed)} "
                "AND landed.file_id = rows.file_id"
            )
    con.execute(f"CREATE OR REPLACE VIEW raw.{feed} AS {' UNION ALL '.join(parts)}")
