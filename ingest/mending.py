"""Reading, mending and releasing quarantined rows.

A released row lands as a file of its own, `released-<row>.csv`, that says which row of which file it stands for. So the
quarantine keeps what came and why it was refused, the mended row counts, and both follow from the landing folder alone.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from ingest.contracts import CONTRACTS, RECORDED_AT, RULES
from ingest.feeds.limits import Limits
from ingest.files import LANDING_FOLDER
from ingest.formats.canonical import csv_rows
from ingest.formats.errors import FormatError
from ingest.reading import Cells, check_cells
from ingest.spool import Spool
from ingest.terms.home import Home

RELEASED = "released-"
TRAIL = ("released_from", "released_note")

DDL = """
CREATE TABLE IF NOT EXISTS raw.released_row (
    park_id VARCHAR NOT NULL,
    feed VARCHAR NOT NULL,
    file_id VARCHAR NOT NULL,
    line_no BIGINT NOT NULL,
    released_file_id VARCHAR NOT NULL,
    released_line_no BIGINT NOT NULL,
    note VARCHAR
)
"""

# What a person calls a row by: short, and the same in every run.
ROW_ID = "left(sha256(concat_ws('/', q.park_id, q.feed, q.file_id, q.line_no::VARCHAR)), 12)"


class MendingError(ValueError):
    """A row that cannot be released, with the reason and the remedy."""


@dataclass(frozen=True)
class Quarantined:
    """One row of the quarantine.

    Attributes:
        row_id: what to call it by.
        park_id, feed, path, file_id, line_no: where it stands.
        rule, column_name: what it breaks.
        row_text: the row as it came.
        format_name: of its file.
        released_file_id: the file in which it was released, None if it was not.
    """

    row_id: str
    park_id: str
    feed: str
    path: str
    file_id: str
    line_no: int
    rule: str
    column_name: str | None
    row_text: str
    format_name: str | None
    released_file_id: str | None

    @property
    def description(self) -> str:
        """What the rule says."""
        return RULES[self.rule].description


def rows(
    con: duckdb.DuckDBPyConnection,
    *,
    park_id: str | None = None,
    feed: str | None = None,
    rules: Sequence[str] | None = None,
    row_id: str | None = None,
    with_released: bool = False,
    limit: int | None = None,
) -> list[Quarantined]:
    """Rows of the quarantine, by park, feed, path and line.

    Args:
        con: a connection.
        park_id: only of this park.
        feed: only of this feed.
        rules: only those that break one of these.
        row_id: only the row of this id, which may be cut short.
        with_released: also rows that were released since.
        limit: at most so many.
    """
    found = con.execute(
        f"""
        SELECT {ROW_ID} AS row_id, q.park_id, q.feed, f.path, q.file_id, q.line_no, q.rule, q.column_name, q.row_text,
            f.format, r.released_file_id
        FROM raw.quarantined_row AS q
        JOIN raw.landed_file AS f USING (park_id, feed, file_id)
        LEFT JOIN raw.released_row AS r USING (park_id, feed, file_id, line_no)
        WHERE ($park IS NULL OR q.park_id = $park) AND ($feed IS NULL OR q.feed = $feed)
            AND ($rules IS NULL OR list_contains($rules, q.rule))
            AND ($row IS NULL OR starts_with(row_id, $row)) AND ($all OR r.released_file_id IS NULL)
        ORDER BY q.park_id, q.feed, f.path, q.line_no, q.file_id
        LIMIT $limit
        """,
        {
            "park": park_id,
            "feed": feed,
            "rules": None if rules is None else list(rules),
            "row": row_id,
            "all": with_released,
            "limit": limit,
        },
    ).fetchall()
    return [Quarantined(*row) for row in found]


def counts(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str, str | None, int]]:
    """(park, feed, rule, column, rows) of what stands in quarantine and was not released."""
    return con.execute(
        "SELECT park_id, feed, rule, column_name, count(*) FROM raw.quarantined_row "
        "ANTI JOIN raw.released_row USING (park_id, feed, file_id, line_no) GROUP BY ALL ORDER BY ALL"
    ).fetchall()


def rejected_files(
    con: duckdb.DuckDBPyConnection, *, park_id: str | None = None, feed: str | None = None
) -> list[tuple[str, str]]:
    """(path, reason) of the files that were rejected as a whole, by path."""
    return con.execute(
        "SELECT path, reason FROM raw.landed_file WHERE state = 'rejected' "
        "AND ($park IS NULL OR park_id = $park) AND ($feed IS NULL OR feed = $feed) ORDER BY ALL",
        {"park": park_id, "feed": feed},
    ).fetchall()


def columns_of(feed: str) -> list[str]:
    """The columns that a row of a feed may have."""
    return [column.name for column in (*CONTRACTS[feed].columns, RECORDED_AT)]


def cells_of(home: Home, row: Quarantined) -> dict[str, str]:
    """The row's cells by column, as far as it can be told; a line that is torn has none."""
    wanted = columns_of(row.feed)
    if row.format_name == "csv":
        values = next(csv.reader(io.StringIO(row.row_text, newline="")), [])
        try:
            header = next(iter(csv_rows(home.path / row.path))).columns
        except (OSError, FormatError, StopIteration):
            return {}
        names = [name for name in header if name not in {"line_no", "line_text", "line_rule"}]
        cells = dict(zip(names, values, strict=True)) if len(names) == len(values) else {}
    else:
        try:
            read = json.loads(row.row_text)
        except ValueError:
            return {}
        cells = {name: str(value) for name, value in read.items()} if isinstance(read, dict) else {}
    return {name: cells[name] for name in wanted if cells.get(name)}


def _still_broken(home: Home, row: Quarantined, cells: Mapping[str, str]) -> str | None:
    contract = CONTRACTS[row.feed]
    absent = [name for name in contract.header if name not in cells]
    if absent:
        return f"it has no {', '.join(absent)}; give a value with --set {absent[0]}=…"
    frame = pl.DataFrame({"line_no": [2], **{name: [cell] for name, cell in cells.items()}})
    limits = Limits(home.parks[row.park_id], home.clock_at, home.policies)
    row_alone = Spool()
    row_alone.append(frame)
    (batch,) = check_cells([(0, Cells("csv", row_alone))], row.feed, limits)
    if batch.rejected.is_empty():
        return None
    rule, column = batch.rejected.select("rule", "column_name").row(0)
    return f"{column or 'the row'} still breaks {rule}: {RULES[rule].description}"


def is_changed(home: Home, row: Quarantined, cells: Mapping[str, str]) -> bool:
    """Whether cells of a row, empty where it has none, differ from those that it came with."""
    return {name: cell for name, cell in cells.items() if cell} != cells_of(home, row)


def prepare(home: Home, row: Quarantined, changes: Mapping[str, str], note: str = "") -> tuple[Path, str]:
    """The file in which a mended row is released, without writing it.

    Args:
        home: the home.
        row: the row.
        changes: new cells by column; an empty one takes the cell away.
        note: why, for the trail.

    Returns:
        Where it belongs, and its text.

    Raises:
        MendingError: the row was released before, a column that the feed does not have, or a row that still breaks a
            rule which needs no other row to see.
    """
    if row.released_file_id is not None:
        raise MendingError(f"{row.row_id} was released before, in the file {row.released_file_id}")
    names = columns_of(row.feed)
    unknown = sorted(set(changes) - set(names))
    if unknown:
        raise MendingError(f"{row.feed} has no column {', '.join(unknown)}; it has {', '.join(names)}")
    given = cells_of(home, row) | dict(changes)
    cells = {name: given[name] for name in names if given.get(name)}
    if reason := _still_broken(home, row, cells):
        raise MendingError(f"{row.row_id}: {reason}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*cells, *TRAIL])
    writer.writerow([*cells.values(), f"{row.file_id}:{row.line_no}", note])
    return home.path / LANDING_FOLDER / row.park_id / row.feed / f"{RELEASED}{row.row_id}.csv", text.getvalue()


def put(target: Path, text: str) -> None:
    """Write a released file and rename it into place; the next run lands it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    half_written = target.parent / f".{target.name}.part"
    half_written.write_text(text, encoding="utf-8")
    half_written.replace(target)


def note_releases(con: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Write down which rows were released by which file, from the released files that have landed."""
    new = con.execute(
        "SELECT park_id, feed, file_id, path FROM raw.landed_file WHERE state <> 'rejected' AND path LIKE ? "
        "AND file_id NOT IN (SELECT released_file_id FROM raw.released_row) ORDER BY ALL",
        [f"%/{RELEASED}%.csv"],
    ).fetchall()
    for park_id, feed, file_id, path in new:
        try:
            frame = pl.concat(list(csv_rows(home.path / path)))
        except (OSError, FormatError):
            continue  # it has gone since it landed; its trail is noted when it is there again
        if not set(TRAIL) <= set(frame.columns):
            continue
        for line_no, origin, note in frame.select("line_no", *TRAIL).iter_rows():
            origin_file, _, origin_line = str(origin or "").rpartition(":")
            if origin_line.isdigit():
                con.execute(
                    "INSERT INTO raw.released_row VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [park_id, feed, origin_file, int(origin_line), file_id, line_no, note],
                )


def original_line(home: Home, row: Quarantined) -> str | None:
    """The line of the landing file on which a row stands, for text files that are still there; at most 4,096 characters."""
    line_no = row.line_no
    if row.format_name != "csv":
        try:
            line_no = int(json.loads(row.row_text)["source_line"])
        except (ValueError, KeyError, TypeError):
            return None
    try:
        with (home.path / row.path).open("rb") as file:
            if file.read(4)[:2] in (b"\x1f\x8b", b"(\xb5", b"PK", b"PA"):
                return None
            file.seek(0)
            for _ in range(line_no - 1):
                while (part := file.readline(1 << 20)) and not part.endswith(b"\n"):
                    pass
            return file.readline(4096).decode(errors="backslashreplace").rstrip("\r\n") or None
    except OSError:
        return None
