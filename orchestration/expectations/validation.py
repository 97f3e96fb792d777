"""Run suites of Great Expectations as SQL inside DuckDB: ``python -m … WAREHOUSE TABLE …`` prints outcomes as JSON.

Importing Great Expectations takes seconds, so nothing but this process does it.
"""

import dataclasses
import json
import os
import sys
from typing import Any

import great_expectations as gx
from duckdb_engine import Dialect
from sqlalchemy.engine import cursor as sqlalchemy_cursor

from orchestration.expectations.outcome import Expectation
from orchestration.expectations.suites import SUITES

_Context: Any = Dialect.execution_ctx_cls


class _BufferedContext(_Context):  # type: ignore[misc]
    """Great Expectations reads a result after its connection is closed; so read all rows at once."""

    def post_exec(self) -> None:
        super().post_exec()
        if self.cursor.description is not None and self.cursor_fetch_strategy is sqlalchemy_cursor._DEFAULT_FETCH:
            rows = self.cursor.fetchall()
            self.cursor_fetch_strategy: Any = sqlalchemy_cursor.FullyBufferedCursorFetchStrategy(
                self.cursor, initial_buffer=rows
            )


def validate(warehouse_path: str, table: str) -> list[Expectation]:
    """Check one table of the warehouse against its suite.

    Raises:
        KeyError: no suite is written for the table.
    """
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    source = context.data_sources.add_sql(table, connection_string=f"duckdb:///{warehouse_path}")
    engine = source.get_execution_engine().engine
    engine.dialect.execution_ctx_cls = _BufferedContext
    try:
        batch = (
            source.add_query_asset(table, query=f"SELECT * FROM {table}")
            .add_batch_definition_whole_table("all")
            .get_batch()
        )
        result = batch.validate(gx.ExpectationSuite(table, expectations=list(SUITES[table]())))
        return [_outcome(r) for r in result.results]
    finally:
        engine.dispose()


def _outcome(result: Any) -> Expectation:
    configuration = result.expectation_config
    arguments = {k: v for k, v in configuration.kwargs.items() if k != "batch_id"}
    column = arguments.pop("column", None) or arguments.pop("column_A", None) or ""
    if result.exception_info and result.exception_info.get("raised_exception") is not False:
        measured = f"could not be computed: {result.exception_info}"
    elif "unexpected_count" in result.result:
        measured = f"{result.result['unexpected_count']} of {result.result.get('element_count')} rows outside"
    else:
        measured = str(result.result.get("observed_value"))
    return Expectation(
        name=f"{configuration.type}{':' + column if column else ''}",
        passed=bool(result.success),
        measured=measured,
        expected=", ".join(f"{k}={v}" for k, v in sorted(arguments.items())),
    )


def main() -> None:
    """Validate the tables named on the command line and print their outcomes as JSON."""
    path, *tables = sys.argv[1:]
    answer = {table: [dataclasses.asdict(outcome) for outcome in validate(path, table)] for table in tables}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # the DuckDB binding reports connections that Great Expectations leaves behind; nothing is left to do


if __name__ == "__main__":
    main()
