"""``parkledger sql``: the published snapshot and nothing else, read-only, with no way to files or settings.

DuckDB itself keeps queries from files, extensions and settings; what a user asks to be written, this module writes.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestration.settings import DBT_PROJECT

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

SHOWN_ROWS = 200
WIDEST_COLUMN, WIDEST_TABLE = 90, 4000
EXIT_QUERY_FAILED = 1
EXAMPLES = DBT_PROJECT / "analyses"
# What is not known is told apart from an empty text.
NULL = Text("NULL", style="dim")
FORMATS = ("table", "csv", "json", "jsonl", "markdown", "parquet")
# By the ending of the file that is to be written.
FORMAT_OF_ENDING = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".md": "markdown",
    ".parquet": "parquet",
}
TABLES = """SELECT schema_name || '.' || table_name AS table_name, estimated_size AS row_count,
                   regexp_extract(comment, '^(.*?[.])( |$)', 1) AS one_row_is
            FROM duckdb_tables() WHERE schema_name || '.' || table_name LIKE '%' || ? || '%' ORDER BY ALL"""
DESCRIBE = """SELECT column_name, data_type, comment FROM duckdb_columns()
              WHERE schema_name || '.' || table_name = ? OR table_name = ? ORDER BY schema_name, table_name, column_index"""
MACROS = """SELECT schema_name || '.' || function_name || '(' || list_aggregate(parameters, 'string_agg', ', ') || ')' AS macro
            FROM duckdb_functions() WHERE function_type = 'table_macro' AND NOT internal ORDER BY ALL"""
HELP = """\
A query ends with a semicolon and may take several lines. Beside SQL there are
  .tables [PART]       the tables whose name holds PART, with their rows and grain
  .describe TABLE      its columns with type, unit and meaning
  .macros              tables as they were known at a moment
  .examples            questions with a query ready;  .example N  runs the Nth
  .mode FORMAT         table, csv, json, jsonl or markdown
  .once FILE           write the next answer into a .csv, .json, .jsonl, .md or .parquet file
  .help                these lines;  .quit or Ctrl-D ends
Tab completes tables and columns; the arrow keys and Ctrl-R go through what was typed before."""


@dataclass(frozen=True)
class Example:
    """A question of an analyst and the query that answers it."""

    number: int
    question: str
    sql: str


def examples() -> list[Example]:
    """The questions that are shipped, in order; the first line of each file is the question."""
    found = []
    for path in sorted(EXAMPLES.glob("[0-9]*.sql")):
        text = path.read_text(encoding="utf-8")
        question = text.splitlines()[0].removeprefix("--").strip()
        found.append(Example(int(path.name.split("_")[0]), question, text))
    return found


def open_snapshot(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection that can read the snapshot and do nothing else: no files, no extensions, no settings."""
    connection = duckdb.connect(str(path), read_only=True)
    connection.execute("SET TimeZone='UTC'")
    connection.execute("SET enable_external_access=false")
    connection.execute("SET lock_configuration=true")
    return connection


def run_queries(path: Path, text: str, *, form: str, target: Path | None, out: Console, err: Console) -> int:
    """Run the statements of a text in order and write each answer; the exit code.

    Args:
        path: the snapshot.
        text: SQL statements, parted by semicolons, and lines that begin with a dot.
        form: one of FORMATS.
        target: the file for the last answer; standard output without it.
        out: where tables are printed.
        err: where errors are printed.
    """
    with open_snapshot(path) as connection:
        printer = Printer(connection, out, form=form)
        try:
            statements = list(_statements(connection, text))
            for number, statement in enumerate(statements, start=1):
                printer.target = target if number == len(statements) else None
                printer.run(statement)
        except (duckdb.Error, ShellError) as error:
            err.print(str(error), style="red", highlight=False, markup=False)
            return EXIT_QUERY_FAILED
    return 0


class ShellError(ValueError):
    """A command of the shell that cannot be done; the message says what can."""


def _statements(connection: duckdb.DuckDBPyConnection, text: str) -> Iterator[str]:
    """Dot commands stand on lines of their own; DuckDB's parser parts the SQL between them."""
    sql: list[str] = []
    for line in [*text.splitlines(), "."]:
        if not line.lstrip().startswith("."):
            sql.append(line)
            continue
        yield from (one.query for one in connection.extract_statements("\n".join(sql)))
        sql = []
        if line != ".":
            yield line.strip()


class Printer:
    """Runs one statement or dot command at a time and writes its answer in the form that is set."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, out: Console, *, form: str = "table") -> None:
        self.connection = connection
        self.out = out
        self.form = form
        self.target: Path | None = None

    def run(self, text: str) -> None:
        """Run a statement or a dot command.

        Raises:
            ShellError: an unknown command or format.
            duckdb.Error: a query that fails.
        """
        if text.startswith("."):
            self._command(*text.rstrip(";").split(maxsplit=1))
        else:
            self._query(text, [])

    def _command(self, name: str, argument: str = "") -> None:
        commands: dict[str, Callable[[str], None]] = {
            ".tables": lambda part: self._query(TABLES, [part]),
            ".describe": self._describe,
            ".macros": lambda _: self._query(MACROS, []),
            ".examples": lambda _: self._examples(),
            ".example": self._example,
            ".mode": self._set_form,
            ".once": self._set_target,
            ".help": lambda _: self.out.print(HELP, highlight=False, markup=False),
        }
        if name not in commands:
            raise ShellError(f"{name} is no command; there are {', '.join(commands)} and .quit")
        commands[name](argument.strip())

    def _describe(self, table: str) -> None:
        if not table:
            raise ShellError("write .describe TABLE; .tables lists them")
        wanted = table.replace('"', "")
        found = self.connection.execute(
            "SELECT comment FROM duckdb_tables() WHERE schema_name || '.' || table_name = ? OR table_name = ?",
            [wanted, wanted],
        ).fetchall()
        if not found:
            raise ShellError(f"there is no table {table}; .tables lists them")
        if self.form == "table":
            self.out.print(found[0][0], highlight=False, markup=False)
        self._query(DESCRIBE, [wanted, wanted])

    def _examples(self) -> None:
        for example in examples():
            self.out.print(f"{example.number:>3}  {example.question}", highlight=False, markup=False, soft_wrap=True)

    def _example(self, number: str) -> None:
        example = example_of(number)
        if self.form == "table":
            self.out.print(example.sql.rstrip(), style="dim", highlight=False, markup=False, soft_wrap=True)
        self._query(example.sql, [])

    def _set_form(self, form: str) -> None:
        if form not in FORMATS or form == "parquet":
            raise ShellError(f"{form or 'nothing'} is no mode; there are table, csv, json, jsonl and markdown")
        self.form = form

    def _set_target(self, target: str) -> None:
        path = Path(target).expanduser()
        if path.suffix not in FORMAT_OF_ENDING:
            raise ShellError(f"write .once FILE, with one of the endings {', '.join(FORMAT_OF_ENDING)}")
        self.target = path

    def _query(self, text: str, values: list[str]) -> None:
        relation: Any = self.connection.sql(text, params=values)
        if relation is None:  # a statement without a result
            return
        if self.target is not None:
            target, self.target = self.target, None
            frame = relation.pl()
            write_frame(frame, target, FORMAT_OF_ENDING.get(target.suffix, self.form))
            self.out.print(f"{frame.height:,} rows written to {target}", highlight=False, markup=False)
        elif self.form == "table":
            self._table(relation.columns, relation.limit(SHOWN_ROWS + 1).fetchall())
        else:
            sys.stdout.write(text_of(relation.pl(), self.form))

    def _table(self, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
        """Print at the natural width: a terminal scrolls sideways in its pager, a pipe takes lines of any length."""
        table = Table(box=None, header_style="bold", pad_edge=False)
        for index, column in enumerate(columns):
            is_number = any(isinstance(row[index], int | float | Decimal) for row in rows)
            table.add_column(column, justify="right" if is_number else "left", overflow="fold", max_width=WIDEST_COLUMN)
        for row in rows[:SHOWN_ROWS]:
            table.add_row(*(NULL if cell is None else _plain(cell) for cell in row))
        os.environ.setdefault("LESS", "-FRSX")
        wide = Console(file=self.out.file, width=WIDEST_TABLE, force_terminal=self.out.is_terminal)
        with wide.pager(styles=True) if self.out.is_terminal else nullcontext():
            wide.print(table, markup=False, highlight=False)
        if len(rows) > SHOWN_ROWS:
            self.out.print(f"… more than {SHOWN_ROWS} rows; use LIMIT, --format csv or .once FILE", style="dim")


def example_of(number: str) -> Example:
    """The example of a number as it was typed.

    Raises:
        ShellError: there is none.
    """
    known = examples()
    for example in known:
        if str(example.number) == number.strip():
            return example
    raise ShellError(f"there is no example {number!r}; there are 1 to {len(known)}, and .examples lists them")


def write_frame(frame: Any, target: Path, form: str) -> None:
    """Write an answer whole, or leave what stood there: beside it first, then renamed."""
    part = target.with_name(f".{target.name}.part")
    if form == "parquet":
        frame.write_parquet(part)
    else:
        part.write_text(text_of(frame, form), encoding="utf-8")
    part.replace(target)


def text_of(frame: Any, form: str) -> str:
    """An answer as text.

    CSV keeps cells of text from being read as formulas by a spreadsheet: one that begins like a formula is led by an
    apostrophe.
    """
    import polars as pl  # noqa: PLC0415 - a table on the terminal needs none

    if form == "csv":
        texts = [name for name, kind in frame.schema.items() if kind == pl.String]
        safe = [
            pl.when(pl.col(name).str.contains(r"^\s*[=+\-@\t\r]"))
            .then("'" + pl.col(name))
            .otherwise(pl.col(name))
            .alias(name)
            for name in texts
        ]
        return str(frame.with_columns(safe).write_csv())
    if form == "json":
        return str(frame.write_json()) + "\n"
    if form == "jsonl":
        return str(frame.write_ndjson())
    if form == "markdown":
        return _markdown(frame.columns, frame.iter_rows())
    raise ShellError(f"{form} is written into a file: add --output FILE")


def _markdown(columns: list[str], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [columns, ["---"] * len(columns), *(["" if c is None else _plain(c) for c in row] for row in rows)]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |\n" for line in lines
    )


def _plain(cell: Any) -> str:
    """A cell without control signs, which could reorder or hide what a terminal shows."""
    text = f"{cell:.10g}" if isinstance(cell, float) else str(cell)
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", "�", text)


# --- the shell ------------------------------------------------------------------------------------


def interactive(path: Path, history: Path, out: Console, *, form: str = "table") -> None:
    """Read queries until the end of input.

    Args:
        path: the snapshot; when a run has replaced it, the next query sees the new one.
        history: the file that keeps what was typed.
        out: the terminal.
        form: one of FORMATS.
    """
    from orchestration.shell_input import session  # noqa: PLC0415 - prompt-toolkit is for terminals alone

    out.print("Read-only. End a query with a semicolon; .help lists commands, .examples questions; Ctrl-D ends.")
    seen, connection = _opened(path)
    prompts: PromptSession[str] = session(connection, history)
    printer = Printer(connection, out, form=form)
    while True:
        try:
            text = prompts.prompt().strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            break
        if text in {".quit", ".exit"}:
            break
        if path.stat().st_ino != seen:
            connection.close()
            seen, connection = _opened(path)
            printer.connection = connection
            out.print(f"A run has published since: now {_run_of(connection)}", style="dim", highlight=False)
        try:
            for statement in _statements(connection, text):
                printer.run(statement)
        except (duckdb.Error, ShellError) as error:
            out.print(str(error), style="red", highlight=False, markup=False)
        except KeyboardInterrupt:
            out.print("interrupted", style="dim")
    connection.close()


def _opened(path: Path) -> tuple[int, duckdb.DuckDBPyConnection]:
    return path.stat().st_ino, open_snapshot(path)


def _run_of(connection: duckdb.DuckDBPyConnection) -> str:
    rows = connection.execute("SELECT run_id, as_of FROM quality.fct_run").fetchall()
    return f"run {rows[-1][0]} as of {rows[-1][1]}" if rows else "another run"
