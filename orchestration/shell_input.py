"""The line that ``parkledger sql`` reads: completion of tables and columns, history, colours, several lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers.sql import SqlLexer

COMMANDS = (".tables", ".describe", ".macros", ".examples", ".example", ".mode", ".once", ".help", ".quit")


class SnapshotCompleter(Completer):
    """Tables after a beginning of their name, columns of the tables that the query names, and words of SQL."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        rows = connection.execute(
            "SELECT schema_name || '.' || table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE NOT internal ORDER BY ALL"
        ).fetchall()
        self.columns: dict[str, list[tuple[str, str]]] = {}
        for table, column, kind in rows:
            self.columns.setdefault(table, []).append((column, kind))
        self.macros = [
            name
            for (name,) in connection.execute(
                "SELECT schema_name || '.' || function_name FROM duckdb_functions() "
                "WHERE function_type = 'table_macro' AND NOT internal ORDER BY ALL"
            ).fetchall()
        ]

        self.keywords = [
            name.upper()
            for (name,) in connection.execute(
                "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved' ORDER BY ALL"
            ).fetchall()
        ]

    def get_completions(self, document: Document, complete_event: Any) -> Iterator[Completion]:  # noqa: ARG002
        """What may stand where the cursor is."""
        word = document.get_word_before_cursor(WORD=True).split("(")[-1].split(",")[-1]
        text = document.text.lower()
        if document.text_before_cursor.lstrip().startswith(".") and " " not in document.text_before_cursor.strip():
            yield from (Completion(c, -len(word)) for c in COMMANDS if c.startswith(word))
            return
        beginning = word.lower()
        named = [table for table in self.columns if table in text]
        columns = {c: f"{kind} of {table}" for table in named for c, kind in self.columns[table]}
        found = {
            **{t: "table" for t in self.columns if _fits(t, beginning)},
            **{m: "macro" for m in self.macros if _fits(m, beginning)},
            **{c: of for c, of in columns.items() if c.startswith(beginning)},
            **({k: "" for k in self.keywords if k.lower().startswith(beginning)} if beginning else {}),
        }
        order = sorted(found, key=lambda name: (name not in columns, name))
        yield from (Completion(name, -len(word), display_meta=found[name]) for name in order)


def _fits(name: str, beginning: str) -> bool:
    """A qualified name fits by its own beginning or by that of the table in it."""
    return name.startswith(beginning) or name.split(".")[1].startswith(beginning)


def session(connection: duckdb.DuckDBPyConnection, history: Path, **devices: Any) -> PromptSession[str]:
    """A prompt that goes on to the next line until a semicolon; ``devices`` replace the terminal in tests."""
    prompts: PromptSession[str] = PromptSession(
        "parkledger> ",
        history=_history(history),
        completer=SnapshotCompleter(connection),
        complete_while_typing=False,
        auto_suggest=AutoSuggestFromHistory(),
        lexer=PygmentsLexer(SqlLexer),
        prompt_continuation="        ... ",
        multiline=Condition(lambda: _goes_on(prompts.default_buffer.text)),
        **devices,
    )
    return prompts


def _goes_on(text: str) -> bool:
    said = text.strip()
    return bool(said) and not said.startswith(".") and not said.endswith(";")


def _history(path: Path) -> History:
    """The file where it can be written; a home that somebody else owns is read all the same."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))
