"""Rejected rows: each with its file, line, rule, column and its own text. Nothing is dropped.

Rows that only wait for something they refer to (a lease that lands later) are kept beside, typed, in
`raw.<feed>_waiting`; when it comes, they leave the quarantine. So the outcome never depends on the order of landing.
"""

import csv
import io
import json
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl

QUARANTINE_FOLDER = "quarantine"

DDL = """
CREATE TABLE IF NOT EXISTS raw.quarantined_row (
    file_id VARCHAR NOT NULL,
    line_no BIGINT NOT NULL,
    park_id VARCHAR NOT NULL,
    feed VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    column_name VARCHAR,
    row_text VARCHAR NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    service_date DATE,
    row_key VARCHAR,
    known_at TIMESTAMPTZ
)
"""

# Rows that count all the same, and break a rule which only warns.
WARNING_DDL = DDL.replace("quarantined_row", "row_warning")

SCHEMA: dict[str, pl.DataType] = {
    "file_no": pl.Int64(),
    "line_no": pl.Int64(),
    "rule": pl.String(),
    "column_name": pl.String(),
    "row_text": pl.String(),
    "service_date": pl.Date(),
    "row_key": pl.String(),
    "known_at": pl.Datetime("us", "UTC"),
}
_HELPERS = {"file_no", "line_no", "line_text", "line_rule"}


def row_texts(frame: pl.DataFrame, positions: list[int], format_name: str) -> list[str]:
    """The text of rows of a file, for people to find and mend them.

    Args:
        frame: the file's cells as they were read.
        positions: rows of the frame, from 0.
        format_name: of a `csv` the cells are given as a CSV line in the file's order, of all else as a JSON object.

    Returns:
        One text a row; a row that was not whole gives its own line.
    """
    columns = [name for name in frame.columns if name not in _HELPERS]
    texts: list[str] = []
    for row in frame[positions].iter_rows(named=True):
        if row.get("line_text") is not None:
            place = f"line {row['source_line']}: " if row.get("source_line") else ""
            texts.append(place + row["line_text"])
        elif format_name == "csv":
            line = io.StringIO()
            csv.writer(line, lineterminator="").writerow([row[name] for name in columns])
            texts.append(line.getvalue())
        else:
            cells = {name: row[name] for name in columns if row[name] is not None}
            texts.append(json.dumps(cells, default=_plain, ensure_ascii=False))
    return texts


def _plain(cell: object) -> str:
    return cell.isoformat().replace("+00:00", "Z") if isinstance(cell, datetime) else str(cell)


def rejected_rows(frame: pl.DataFrame, bad: pl.DataFrame, format_name: str, time_zone: str) -> pl.DataFrame:
    """`bad` of a check with the rows' texts and their days by the park's clock: the columns of SCHEMA."""
    texts = row_texts(frame, bad["position"].to_list(), format_name)
    day = pl.col("day_at")
    if bad.schema["day_at"] != pl.Date:
        day = day.dt.convert_time_zone(time_zone).dt.date()
    return bad.with_columns(pl.Series("row_text", texts, dtype=pl.String), service_date=day).select(*SCHEMA)


def write(
    con: duckdb.DuckDBPyConnection, rows: pl.DataFrame, park_id: str, feed: str, table: str = "quarantined_row"
) -> None:
    """Append rejected rows, in a transaction that has made `landing_now` (file_no, file_id, received_at).

    Args:
        con: a writing connection.
        rows: columns of SCHEMA.
        park_id: the park of their files.
        feed: the feed of their files.
        table: `quarantined_row`, or `row_warning` for rows that count all the same.
    """
    if rows.is_empty():
        return
    con.register("rejected_rows", rows)
    con.execute(
        f"INSERT INTO raw.{table} BY NAME SELECT file_id, line_no, ? AS park_id, ? AS feed, rule, column_name, row_text, "
        "received_at AS recorded_at, service_date, row_key, coalesce(known_at, received_at) AS known_at "
        "FROM rejected_rows JOIN landing_now USING (file_no)",
        [park_id, feed],
    )
    con.unregister("rejected_rows")


def _harmless(column: str) -> str:
    """SQL: strangers' text that a spreadsheet would take for a formula, behind an apostrophe; the table keeps it as it came."""
    return f"CASE WHEN regexp_matches({column}, '^[=+\\-@\\t\\r]') THEN '''' || {column} ELSE {column} END AS {column}"


def export(con: duckdb.DuckDBPyConnection, home: Path) -> list[Path]:
    """Write the quarantine as files for people, one CSV a park and feed under `quarantine/`; old ones go.

    Rows that were released are not among them. No cell is a formula to a spreadsheet.

    Args:
        con: a connection.
        home: the home folder.

    Returns:
        The files written.
    """
    folder = home / QUARANTINE_FOLDER
    standing = (
        "FROM raw.quarantined_row AS q JOIN raw.landed_file AS f USING (park_id, feed, file_id) "
        "ANTI JOIN raw.released_row USING (park_id, feed, file_id, line_no)"
    )
    written: list[Path] = []
    for park_id, feed in con.execute(f"SELECT DISTINCT park_id, feed {standing} ORDER BY ALL").fetchall():
        target = folder / park_id / f"{feed}.csv"
        target.parent.mkdir(parents=True, exist_ok=True)
        half_written = target.with_suffix(".csv.tmp")
        con.execute("SET VARIABLE exported_park = ?", [park_id])
        con.execute("SET VARIABLE exported_feed = ?", [feed])
        con.execute("SET VARIABLE exported_file = ?", [str(half_written)])
        con.execute(
            f"COPY (SELECT {_harmless('path')}, line_no, rule, column_name, {_harmless('row_text')}, file_id FROM ("
            f"SELECT f.path, q.* {standing} WHERE park_id = getvariable('exported_park') "
            "AND feed = getvariable('exported_feed') ORDER BY f.path, q.line_no, q.rule, q.column_name, q.row_text, q.file_id"
            ")) TO (getvariable('exported_file')) (FORMAT csv, HEADER)"
        )
        half_written.replace(target)
        written.append(target)
    for left in set(folder.glob("*/*.csv")) - set(written):
        left.unlink()
    return written
