"""Run suites of Great Expectations as SQL inside DuckDB; ``__main__`` is the process that does.

The request is JSON: ``tables`` of the warehouse, ``frames`` (name to a Parquet file of a frame that is no table yet),
and ``docs``, a folder for Data Docs, or null. Importing Great Expectations takes seconds, so nothing but this process
does it.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import great_expectations as gx
from duckdb_engine import Dialect
from sqlalchemy import text
from sqlalchemy.engine import cursor as sqlalchemy_cursor

from orchestration.expectations import data_docs
from orchestration.expectations.outcome import Expectation
from orchestration.expectations.suites import suite_of

_Context: Any = Dialect.execution_ctx_cls
# Great Expectations' words for what stops and what is only told, in those of quality.fct_check_result.
_SEVERITIES = {"critical": "error", "warning": "warn", "info": "warn"}


class _BufferedContext(_Context):  # type: ignore[misc]
    """Great Expectations reads a result after its connection is closed; so read all rows at once."""

    def post_exec(self) -> None:
        super().post_exec()
        if self.cursor.description is not None and self.cursor_fetch_strategy is sqlalchemy_cursor._DEFAULT_FETCH:
            rows = self.cursor.fetchall()
            self.cursor_fetch_strategy: Any = sqlalchemy_cursor.FullyBufferedCursorFetchStrategy(
                self.cursor, initial_buffer=rows
            )


class Validator:
    """Suites on the tables of one warehouse and on frames beside it.

    Args:
        warehouse_path: the database, read only.
        frames: Parquet files of frames, by the name of their suite.
    """

    def __init__(self, warehouse_path: str, frames: Mapping[str, str]) -> None:
        self.context = gx.get_context(mode="ephemeral")
        self.context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
        self._sources = {
            "warehouse": self._source("warehouse", f"duckdb:///{warehouse_path}?access_mode=READ_ONLY"),
            "frames": self._source("frames", "duckdb:///:memory:"),
        }
        self._frames = {name: "read_parquet('" + path.replace("'", "''") + "')" for name, path in frames.items()}

    def _source(self, name: str, address: str) -> Any:
        return self.context.data_sources.add_sql(name, connection_string=address)

    def _engine(self, source: str) -> Any:
        engine = self._sources[source].get_execution_engine().engine
        engine.dialect.execution_ctx_cls = _BufferedContext
        return engine

    def validate(self, table: str, *, keep: bool) -> Any:
        """The result of the suite of one table or frame, as Great Expectations gives it.

        Args:
            table: its name.
            keep: whether suite and result are kept for Data Docs, which costs as much again.

        Raises:
            KeyError: no suite is written for it.
        """
        source, relation = ("frames", self._frames[table]) if table in self._frames else ("warehouse", table)
        with self._engine(source).connect() as connection:
            columns = [row[0] for row in connection.execute(text(f"DESCRIBE FROM {relation}"))]
        whole = self._sources[source].add_query_asset(table, query=f"SELECT * FROM {relation}")
        batch = whole.add_batch_definition_whole_table("all")
        suite = gx.ExpectationSuite(table, expectations=suite_of(table, columns))
        if not keep:
            return batch.get_batch().validate(suite)
        self.context.suites.add(suite)
        definition = gx.ValidationDefinition(name=table, data=batch, suite=suite)
        return self.context.validation_definitions.add(definition).run()

    def close(self) -> None:
        """Give the database file back."""
        for source in self._sources:
            self._engine(source).dispose()


def _outcome(result: Any) -> Expectation:
    configuration = result.expectation_config
    arguments = {k: v for k, v in configuration.kwargs.items() if k != "batch_id"}
    column = arguments.pop("column", None) or arguments.pop("column_A", None) or ""
    if result.exception_info and result.exception_info.get("raised_exception") is not False:
        measured = f"could not be computed: {result.exception_info}"
    elif "unexpected_count" in result.result:
        measured = f"{result.result['unexpected_count']} of {result.result.get('element_count')} rows outside"
    else:
        observed = result.result.get("observed_value")
        # Sums of floats differ in their last digits from one run to the next; what is published must not.
        measured = f"{observed:.6g}" if isinstance(observed, float) else str(observed)
    return Expectation(
        name=f"{configuration.type}{':' + column if column else ''}",
        severity=_SEVERITIES[str(getattr(configuration.severity, "value", configuration.severity))],
        passed=bool(result.success),
        measured=measured,
        expected=", ".join(f"{k}={v}" for k, v in sorted(arguments.items())),
    )


def run(
    warehouse_path: str, tables: Sequence[str], frames: Mapping[str, str], docs: Path | None
) -> dict[str, list[Expectation]]:
    """Outcomes by table and frame; with ``docs``, Data Docs of them are built into that folder."""
    validator = Validator(warehouse_path, frames)
    try:
        if docs is not None:
            data_docs.add_site(validator.context, docs)
        outcomes = {
            name: [_outcome(result) for result in validator.validate(name, keep=docs is not None).results]
            for name in (*tables, *frames)
        }
        if docs is not None:
            data_docs.build(validator.context, docs)
        return outcomes
    finally:
        validator.close()


def main() -> None:
    """Validate what the request names and print the outcomes as JSON."""
    request = json.load(sys.stdin)
    docs = Path(request["docs"]) if request["docs"] else None
    outcomes = run(sys.argv[1], request["tables"], request["frames"], docs)
    answer = {name: [dataclasses.asdict(one) for one in found] for name, found in outcomes.items()}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # the DuckDB binding reports connections that Great Expectations leaves behind; nothing is left to do
