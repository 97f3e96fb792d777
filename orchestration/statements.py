"""Statements from the published snapshot: read the frames, choose the instant, write the file."""

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl

from orchestration.publishing.manifest import manifest_of
from orchestration.publishing.statement import FORMATS, WRITERS, Asked, Statement, draw_statement
from orchestration.settings import Settings

TABLES = (
    "ledger.fct_statement_step",
    "ledger.fct_statement_input",
    "ledger.fct_sealed_input",
    "ledger.fct_journal_lines",
    "ledger.fct_period_close",
    "ledger.fct_receivable_document",
    "credit.fct_receivable_item",
    "credit.fct_interest_span",
    "core.fct_contract_terms",
    "core.dim_contract",
    "core.dim_operator",
    "core.dim_vendor",
)


def read_statement(settings: Settings, statement: str, contract_id: str, month: date, as_known_at: str) -> Statement:
    """A statement out of the published snapshot.

    Args:
        settings: where the home stands.
        statement: revenue_share or backstop.
        contract_id: the contract.
        month: first day of the service month.
        as_known_at: ``close`` for what was known when the month closed (while it is open: now), ``now`` for what is known
            at the home's clock, or an ISO instant or day (its end, UTC).

    Raises:
        NothingToStateError: there is no such statement.
        ValueError: the instant cannot be read.
    """
    with duckdb.connect(str(settings.published_path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        frames = {name: _rows(connection, name, contract_id) for name in TABLES}
        clock_at = connection.sql("SELECT max(finished_at) FROM quality.fct_run").fetchall()[0][0]
    about = manifest_of(settings.published_folder)
    closed = frames["ledger.fct_period_close"].filter(
        (pl.col("contract_id") == contract_id) & (pl.col("posting_month") == month)
    )
    if as_known_at == "close":
        known_at = closed["closed_at"][0] if not closed.is_empty() else clock_at
    else:
        known_at = clock_at if as_known_at == "now" else _instant(as_known_at)
    return draw_statement(frames, about, Asked(statement, contract_id, month, known_at))


def _rows(connection: duckdb.DuckDBPyConnection, name: str, contract_id: str) -> pl.DataFrame:
    own = "" if name.startswith("core.dim_") else "WHERE contract_id = $contract_id"
    values = {"contract_id": contract_id} if own else None
    found: pl.DataFrame = connection.sql(f"FROM {name} {own} ORDER BY ALL", params=values).pl()
    return found


def _instant(text: str) -> datetime:
    try:
        if len(text) == len("2027-03-31"):
            return datetime.combine(date.fromisoformat(text), datetime.max.time(), UTC)
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ValueError(f"{text!r} is no instant; write close, now, 2027-04-30 or 2027-04-30T12:00:00Z") from None
    return found


def write_statement(drawn: Statement, form: str, target: Path) -> Path:
    """Write a statement in one of :data:`FORMATS` under a temporary name, then in place."""
    if form not in FORMATS:
        raise ValueError(f"{form!r} is no format: {', '.join(FORMATS)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    temporary.write_bytes(WRITERS[form](drawn))
    temporary.replace(target)
    return target
