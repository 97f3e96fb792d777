"""``parkledger sql``: the published snapshot and nothing else, read-only, with no way to files or settings."""

from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

SHOWN_ROWS = 200
EXIT_QUERY_FAILED = 1
DESCRIBE = """SELECT schema_name || '.' || table_name AS table_name, estimated_size AS row_count, comment
              FROM duckdb_tables() ORDER BY ALL"""


def open_snapshot(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection that can read the snapshot and do nothing else: no files, no extensions, no settings."""
    connection = duckdb.connect(str(path), read_only=True)
    connection.execute("SET TimeZone='UTC'")
    connection.execute("SET enable_external_access=false")
    connection.execute("SET lock_configuration=true")
    return connection


def run_query(path: Path, text: str, *, as_json: bool, out: Console, err: Console) -> int:
    """Run one query and print it as a table or as JSON; the exit code."""
    with open_snapshot(path) as connection:
        try:
            _show(connection, text, as_json=as_json, out=out)
        except duckdb.Error as error:
            err.print(str(error), style="red", highlight=False, markup=False)
            return EXIT_QUERY_FAILED
    return 0


def interactive(path: Path, out: Console) -> None:
    """Read queries until the end of input; ``.tables`` lists what there is."""
    from prompt_toolkit import PromptSession  # noqa: PLC0415

    session: PromptSession[str] = PromptSession("parkledger> ")
    out.print("Read-only. `.tables` lists the tables, `DESCRIBE <table>` its columns; end with Ctrl-D.")
    with open_snapshot(path) as connection:
        while True:
            try:
                text = session.prompt().strip()
            except (EOFError, KeyboardInterrupt):
                return
            if not text:
                continue
            try:
                _show(connection, DESCRIBE if text == ".tables" else text, as_json=False, out=out)
            except duckdb.Error as error:
                out.print(str(error), style="red", highlight=False, markup=False)


def _show(connection: duckdb.DuckDBPyConnection, text: str, *, as_json: bool, out: Console) -> None:
    relation: Any = connection.sql(text)
    if relation is None:  # a statement without a result
        return
    if as_json:
        print(relation.pl().write_json())
        return
    rows: list[tuple[Any, ...]] = relation.limit(SHOWN_ROWS + 1).fetchall()
    table = Table(*relation.columns, box=None, header_style="bold", pad_edge=False)
    for row in rows[:SHOWN_ROWS]:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    out.print(table, markup=False)
    if len(rows) > SHOWN_ROWS:
        out.print(f"… more than {SHOWN_ROWS} rows; use LIMIT or --json", style="dim")
