"""Rows of Python into a table of DuckDB by way of Arrow: a statement a row takes half a millisecond of each."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

_ROWS_AT_ONCE = 100_000


def insert_rows(
    con: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]
) -> None:
    """Insert rows; each value goes as text and is cast to its column's type.

    Args:
        con: a writing connection whose TimeZone is UTC.
        table: qualified name, as SQL has it.
        columns: the table's columns and SQL types, in its order.
        rows: values in the order of the columns.
    """
    casts = ", ".join(f'CAST("{name}" AS {kind})' for name, kind in columns.items())
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        part = zip(*rows[first : first + _ROWS_AT_ONCE], strict=True)
        arrays = {
            name: pa.array(values, pa.list_(pa.string()))
            if kind.endswith("[]")
            else pa.array([_text(value) for value in values], pa.string())
            for (name, kind), values in zip(columns.items(), part, strict=True)
        }
        con.register("rows_to_insert", pa.table(arrays))
        con.execute(f"INSERT INTO {table} SELECT {casts} FROM rows_to_insert")
        con.unregister("rows_to_insert")


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date) else str(value)
