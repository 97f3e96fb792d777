"""The outcomes of a run's checks, kept in the warehouse until they are published with the snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb


@dataclass(frozen=True)
class CheckResult:
    """One check's outcome: what was measured against what was expected."""

    check_name: str
    table_name: str
    severity: str
    passed: bool
    measured: str
    expected: str


def record(connection: duckdb.DuckDBPyConnection, source: str, results: Sequence[CheckResult]) -> None:
    """Replace what one source of checks (dbt, great_expectations …) has said before."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS quality")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS quality.check_result (source VARCHAR, check_name VARCHAR, table_name VARCHAR, "
        "severity VARCHAR, passed BOOLEAN, measured VARCHAR, expected VARCHAR)"
    )
    connection.execute("DELETE FROM quality.check_result WHERE source = ?", [source])
    if results:
        connection.executemany(
            "INSERT INTO quality.check_result VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(source, r.check_name, r.table_name, r.severity, r.passed, r.measured, r.expected) for r in results],
        )
