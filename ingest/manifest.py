"""The manifest: one row a landed file, with what became of its rows, and the paths under which contents were seen.

Rows of feeds are not written here.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import polars as pl

from ingest.contracts import JUDGED_RULES
from ingest.files import LandingFile
from ingest.reading import Rejected
from ingest.terms.home import Home

# Raise it when the same file would be read differently: everything then lands again, with its old landing time.
READER_VERSION = 8

LANDED_FILE_DDL = """
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
SEEN_PATH_DDL = """
CREATE TABLE IF NOT EXISTS raw.seen_path (
    path VARCHAR PRIMARY KEY,
    size_bytes BIGINT NOT NULL,
    mtime_ns BIGINT NOT NULL,
    park_id VARCHAR NOT NULL,
    feed VARCHAR NOT NULL,
    file_id VARCHAR NOT NULL
)
"""
_NOW = {
    "file_no": pl.Int64(),
    "file_id": pl.String(),
    "park_id": pl.String(),
    "feed": pl.String(),
    "format": pl.String(),
    "path": pl.String(),
    "size_bytes": pl.Int64(),
    "row_count": pl.Int64(),
    "state": pl.String(),
    "reason": pl.String(),
    "reading_hash": pl.String(),
}
_SEEN = {
    "path": pl.String(),
    "size_bytes": pl.Int64(),
    "mtime_ns": pl.Int64(),
    "park_id": pl.String(),
    "feed": pl.String(),
    "file_id": pl.String(),
}


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


@dataclass(frozen=True)
class Read:
    """What reading a file gave: its format and the number of its rows."""

    format_name: str
    row_count: int


def reading_hash(home: Home, park_id: str, feed: str) -> str:
    """Hash of what the reading of a file depends on beside its bytes; a file lands again when it changes."""
    park = home.parks.get(park_id)
    given: list[object] = [READER_VERSION]
    if park is not None:
        # Outside formats take the model of a node from its tranche, so patterns and models count for every feed.
        given += [park.time_zone, park.naive_timestamps, [[t.nodes, t.gpu_model] for t in park.tranches]]
        policies = home.policies
        given += [policies.future_tolerance_minutes, {r: policies.severity_of(r) == "warn" for r in JUDGED_RULES}]
        if feed == "gpu_telemetry":
            given += [[[t.tranche_id, str(t.energised_date)] for t in park.tranches], policies.gpu_power_bounds_w]
    return hashlib.sha256(json.dumps(given).encode()).hexdigest()


def is_read_as(landed_hash: str | None, current: str, home: Home) -> bool:
    """Whether a file was read as it would be read now.

    One that held rows of the future was read at an instant of the home's clock, and is read again when that moves on.
    """
    return landed_hash in {current, f"{current}@{home.clock_at.isoformat()}"}


def note_future(con: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Note the clock beside the reading hash of files just read of which rows wait for a later one, as they land.

    A note that stands is left alone: that file was read by an earlier clock, and other feeds land before its turn comes.
    """
    con.execute(
        "UPDATE raw.landed_file SET reading_hash = reading_hash || '@' || ? "
        "WHERE NOT contains(reading_hash, '@') AND (park_id, feed, file_id) IN "
        "(SELECT (park_id, feed, file_id) FROM raw.quarantined_row WHERE rule = 'in_the_future')",
        [home.clock_at.isoformat()],
    )


def hashes(con: duckdb.DuckDBPyConnection) -> dict[tuple[str, str, str], str]:
    """The reading hash of every landed content, by park, feed and file_id."""
    rows = con.execute("SELECT park_id, feed, file_id, reading_hash FROM raw.landed_file").fetchall()
    return {(park_id, feed, file_id): hashed for park_id, feed, file_id, hashed in rows}


def seen_paths(con: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, int, str, str, str]]:
    """size_bytes, mtime_ns, park_id, feed and file_id of every path seen."""
    rows = con.execute("SELECT path, size_bytes, mtime_ns, park_id, feed, file_id FROM raw.seen_path").fetchall()
    return {path: (size, mtime, park_id, feed, file_id) for path, size, mtime, park_id, feed, file_id in rows}


def begin(con: duckdb.DuckDBPyConnection, home: Home, landing: Sequence[tuple[LandingFile, Read | Rejected]]) -> None:
    """Make the temporary table `landing_now`: the files of this landing, numbered from 0 in the given order.

    `received_at` is the home's clock, or when the content first landed: landing it again does not make it known later,
    nor does the loss of the warehouse, where the kept journal names the file.
    """
    rows = [
        (
            number,
            file.file_id,
            file.park_id,
            file.feed,
            read.format_name,
            file.relative_path,
            file.size_bytes,
            read.row_count if isinstance(read, Read) else 0,
            "rejected" if isinstance(read, Rejected) else "landed",
            f"{read.rule}: {read.reason}" if isinstance(read, Rejected) else None,
            reading_hash(home, file.park_id, file.feed),
        )
        for number, (file, read) in enumerate(landing)
    ]
    con.register("files_of_now", pl.DataFrame(rows, schema=_NOW, orient="row"))
    con.execute(
        "CREATE OR REPLACE TEMP TABLE landing_now AS "
        "SELECT now.*, coalesce(before.received_at, least(kept.received_at, ?::TIMESTAMPTZ)) AS received_at, "
        "before.file_id IS NOT NULL AS is_again FROM files_of_now AS now "
        "LEFT JOIN raw.landed_file AS before USING (park_id, feed, file_id) "
        "LEFT JOIN raw.kept_file AS kept USING (park_id, feed, file_id)",
        [home.clock_at],
    )
    con.unregister("files_of_now")


def received_at(con: duckdb.DuckDBPyConnection) -> dict[str, datetime]:
    """Landing time of each file of `landing_now`, by file_id."""
    return dict(con.execute("SELECT file_id, received_at FROM landing_now").fetchall())


def write(con: duckdb.DuckDBPyConnection) -> None:
    """Write the manifest's rows of `landing_now`, with counts of zero, and forget what they had in quarantine."""
    con.execute(
        "DELETE FROM raw.quarantined_row USING landing_now AS now WHERE quarantined_row.park_id = now.park_id "
        "AND quarantined_row.feed = now.feed AND quarantined_row.file_id = now.file_id"
    )
    con.execute(
        "DELETE FROM raw.row_warning USING landing_now AS now WHERE row_warning.park_id = now.park_id "
        "AND row_warning.feed = now.feed AND row_warning.file_id = now.file_id"
    )
    con.execute(
        "INSERT OR REPLACE INTO raw.landed_file SELECT file_id, park_id, feed, format, path, received_at, size_bytes, "
        "row_count, 0, 0, 0, 0, state, reason, reading_hash FROM landing_now"
    )


def remember_paths(con: duckdb.DuckDBPyConnection, files: Sequence[LandingFile]) -> None:
    """Note the paths under which contents lie; the manifest names the first of them in the order of names."""
    rows = [(file.relative_path, file.size_bytes, file.mtime_ns, *file.key) for file in files]
    con.register("paths_of_now", pl.DataFrame(rows, schema=_SEEN, orient="row"))
    con.execute("INSERT OR REPLACE INTO raw.seen_path FROM paths_of_now")
    con.execute(
        "UPDATE raw.landed_file SET path = least(landed_file.path, first.path) FROM "
        "(SELECT park_id, feed, file_id, min(path) AS path FROM paths_of_now GROUP BY ALL) AS first "
        "WHERE landed_file.park_id = first.park_id AND landed_file.feed = first.feed "
        "AND landed_file.file_id = first.file_id"
    )
    con.unregister("paths_of_now")


def write_counts(con: duckdb.DuckDBPyConnection, feed: str, park_id: str) -> None:
    """Counts of the temporary table `counted` and of the quarantine, and the state that follows from them."""
    con.execute(
        "UPDATE raw.landed_file SET landed_count = counted.landed_count, duplicate_count = counted.duplicate_count, "
        "superseded_count = counted.superseded_count FROM counted "
        "WHERE landed_file.park_id = ? AND landed_file.feed = ? AND landed_file.file_id = counted.file_id",
        [park_id, feed],
    )
    con.execute(
        "UPDATE raw.landed_file SET quarantined_count = (SELECT count(*) FROM raw.quarantined_row AS q "
        "WHERE q.park_id = landed_file.park_id AND q.feed = landed_file.feed AND q.file_id = landed_file.file_id) "
        "WHERE park_id = ? AND feed = ?",
        [park_id, feed],
    )
    con.execute(
        "UPDATE raw.landed_file SET state = CASE WHEN landed_count = 0 AND superseded_count > 0 THEN 'superseded' "
        "ELSE 'landed' END WHERE park_id = ? AND feed = ? AND state <> 'rejected'",
        [park_id, feed],
    )


def landed(con: duckdb.DuckDBPyConnection, keys: Sequence[tuple[str, str, str]]) -> list[LandedFile]:
    """The manifest's rows of some contents, by park, feed and path."""
    rows = con.execute(
        "SELECT file_id, park_id, feed, format, path, received_at, size_bytes, "
        "row_count, landed_count, duplicate_count, superseded_count, quarantined_count, state, reason "
        "FROM raw.landed_file ORDER BY park_id, feed, path, file_id"
    ).fetchall()
    wanted = set(keys)
    return [file for row in rows if (file := LandedFile(*row)) and (file.park_id, file.feed, file.file_id) in wanted]
