"""The journal between the published tables and the lake: what is kept at each publishing, what `close` seals, what
`verify` compares. How batches are written does not belong here (ingest/kept_journal.py).
"""

import getpass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from ingest import audit_log, kept_journal
from ingest.kept_journal import Reopening
from orchestration.polars_jobs.frames import month_end
from orchestration.polars_jobs.journal import CREDIT_EVENTS
from orchestration.publishing.identities import Outcome
from orchestration.settings import Settings
from orchestration.state import load

# What a closed month was stated with: the steps that its close changed and the landed files that these rest on, the dates of its
# invoices, the terms known at it.
_STATED = {
    "steps": "SELECT s.*, c.posting_month FROM ledger.fct_statement_step AS s "
    "JOIN ledger.fct_period_close AS c ON s.contract_id = c.contract_id AND s.known_at = c.closed_at",
    "documents": "SELECT d.* FROM ledger.fct_receivable_document AS d "
    "JOIN ledger.fct_period_close USING (contract_id, posting_month)",
    "terms": "SELECT t.*, c.posting_month FROM core.fct_contract_terms AS t "
    "JOIN ledger.fct_period_close AS c ON t.contract_id = c.contract_id AND t.recorded_at <= c.closed_at",
    "inputs": "SELECT DISTINCT i.contract_id, c.posting_month, i.service_month, i.feed, i.file_id "
    "FROM ledger.fct_statement_input AS i "
    "JOIN ledger.fct_period_close AS c ON i.contract_id = c.contract_id AND i.known_from_at <= c.closed_at "
    "SEMI JOIN ledger.fct_statement_step AS s "
    "ON i.contract_id = s.contract_id AND i.service_month = s.service_month AND s.known_at = c.closed_at",
}


def keep(settings: Settings, database: Path, about: dict[str, str], seal_until: date | None = None) -> Path | None:
    """Keep the closed months of a snapshot database in the lake; seal those up to a month.

    Args:
        settings: where the home stands.
        database: a snapshot, published or about to be.
        about: what the batch says of itself.
        seal_until: first day of the last month to seal, of every contract that has closed it; None seals nothing.

    Returns:
        The new batch, or None where nothing is new.
    """
    lines = closed_lines(database)
    with duckdb.connect(str(database), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        closes = connection.sql("FROM ledger.fct_period_close").pl()
        files = connection.sql("SELECT park_id, feed, file_id, received_at FROM quality.fct_landed_file").pl()
        stated = {part: connection.sql(query).pl() for part, query in _STATED.items()}
    is_sealed = pl.col("posting_month") <= seal_until if seal_until else pl.lit(value=False)
    return kept_journal.append(
        settings.home,
        lines,
        closes.with_columns(is_sealed=is_sealed),
        files.unique(["park_id", "feed", "file_id"], maintain_order=True),
        about,
        stated=stated,
    )


def closed_lines(database: Path) -> pl.DataFrame:
    """The journal lines of the closed months of a snapshot, each with the half of the house that posts it."""
    with duckdb.connect(str(database), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        lines = connection.sql(
            "SELECT l.* FROM ledger.fct_journal_lines AS l JOIN ledger.fct_period_close USING (contract_id, posting_month)"
        ).pl()
    return _with_origin(lines)


def _with_origin(lines: pl.DataFrame) -> pl.DataFrame:
    """Which half of the house posts the line: the contracts' ledgers, or the credit jobs."""
    is_credit = pl.col("event").is_in(list(CREDIT_EVENTS))
    return lines.with_columns(origin=pl.when(is_credit).then(pl.lit("credit")).otherwise(pl.lit("contract")))


def months_to_state(settings: Settings) -> list[date]:
    """Months that every contract then in force has closed, by the published snapshot, and that are not stated yet."""
    if not settings.published_path.exists():
        return []
    with duckdb.connect(str(settings.published_path), read_only=True) as connection:
        closed = connection.sql(
            """
            SELECT posting_month
            FROM (SELECT DISTINCT posting_month FROM ledger.fct_period_close) AS months
            JOIN core.dim_contract AS contract
                ON contract.is_booked AND date_trunc('month', contract.service_commencement_date) <= posting_month
            LEFT JOIN ledger.fct_period_close AS period_close USING (contract_id, posting_month)
            GROUP BY posting_month HAVING count(*) = count(period_close.closed_at) ORDER BY posting_month
            """
        ).fetchall()
    return [month for (month,) in closed if not close_statement_path(settings, month).exists()]


def months_to_report(settings: Settings) -> list[date]:
    """Stated months whose monthly report is missing, or older than the statement: the month was reopened since."""
    months = []
    for statement in sorted((settings.home / "closes").glob("????-??.json")):
        month = date.fromisoformat(f"{statement.stem}-01")
        report = settings.monthly_reports_folder / month_end(month).isoformat() / "monitor.html"
        if not report.exists() or report.stat().st_mtime < statement.stat().st_mtime:
            months.append(month)
    return months


def close_statement_path(settings: Settings, month: date) -> Path:
    """Where the statement of a closed month stands."""
    return settings.home / "closes" / f"{month:%Y-%m}.json"


def reopen(settings: Settings, month: date, contract_id: str | None, reason: str) -> list[Reopening]:
    """Log that a closed month, and every later one, is open again for one contract or all that have closed it.

    What had been posted stays; what the month lacks is posted beside it from the next run on, until it closes again.

    Args:
        settings: where the home stands.
        month: first day of the earliest month to open.
        contract_id: whose; None for every contract.
        reason: why; goes into the log.

    Raises:
        LookupError: no such contract has closed the month.
        ValueError: the reason is empty.
    """
    if not reason.strip():
        raise ValueError("a closed month is opened with a reason: --reason '…'")
    with duckdb.connect(str(settings.published_path), read_only=True) as connection:
        closed = connection.execute(
            "SELECT contract_id FROM ledger.fct_period_close WHERE posting_month = ? ORDER BY 1", [month]
        ).fetchall()
        last = connection.sql("SELECT max(posting_month) FROM ledger.fct_period_close").fetchall()[0][0]
    found = [row[0] for row in closed if contract_id in {None, row[0]}]
    if not found:
        whose = contract_id or "No contract"
        raise LookupError(f"{whose} has not closed {month:%Y-%m}: see ledger.fct_period_close for the months that are")
    # What was posted must stand before anything is posted beside it.
    keep(settings, settings.published_path, {"act": f"sealed before {month:%Y-%m} was reopened"}, seal_until=last)
    for name in found:
        audit_log.log(
            settings.home, "reopen", f"{name} {month:%Y-%m} after {kept_journal.head(settings.home)[:16]}", reason
        )
    acts = [Reopening(name, month, load(settings).clock_at, getpass.getuser(), reason.strip()) for name in found]
    kept_journal.log_reopening(settings.home, acts)
    for statement in sorted((settings.home / "closes").glob("????-??.json")):
        if statement.stem >= f"{month:%Y-%m}":
            statement.rename(_free_name(statement))
    return acts


def _free_name(statement: Path) -> Path:
    number = 1
    while (name := statement.with_name(f"{statement.stem}.before-reopening-{number}.json")).exists():
        number += 1
    return name


def _named(lines: pl.DataFrame) -> str:
    """The first lines by contract, month, entry and line, as the end of a sentence."""
    rows = lines.sort("entry_id", "line_no").head(5).iter_rows(named=True)
    said = [
        f"{r['contract_id']} {r['posting_month']:%Y-%m} {r['entry_id']}:{r['line_no']} {r['account']} {r['amount']}"
        for r in rows
    ]
    return f": kept, and not published so: {'; '.join(said)}" if said else ""


def compare_kept(settings: Settings) -> list[Outcome]:
    """Whether the kept journal is whole, and whether the published lines of sealed months are those kept."""
    found = kept_journal.faults(settings.home)
    chain = Outcome(
        "no batch of the kept journal was changed, and none is missing",
        "lake/journal",
        not found,
        len(kept_journal.batches(settings.home)),
        len(found),
        "; ".join(map(str, found)) or f"{len(kept_journal.batches(settings.home))} batches",
    )
    if found:
        return [chain]
    months = ["contract_id", "posting_month"]
    with duckdb.connect(str(settings.published_path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        published = connection.sql("FROM ledger.fct_journal_lines").pl()
        contracts = connection.sql("SELECT contract_id FROM core.dim_contract").pl()
        clock_at = connection.sql("SELECT max(finished_at) FROM quality.fct_run").fetchall()[0][0]
    sealed = (
        kept_journal.read(settings.home, "closes")
        .filter(pl.col("is_sealed") & (pl.col("closed_at") <= clock_at))
        .join(contracts, on="contract_id", how="semi")
        .unique(months, keep="last", maintain_order=True)
    )
    kept = kept_journal.read(settings.home, "lines").join(sealed, on=[*months, "batch_no"], how="semi")
    columns: dict[str, Any] = {name: kind for name, kind in kept_journal.LINES.items() if name != "origin"}
    there = published.select(list(columns)).cast(pl.Schema(columns))
    missing = kept.select(list(columns)).join(there, on=list(columns), how="anti", nulls_equal=True)
    return [
        chain,
        Outcome(
            "the published lines of sealed months are those kept in the lake",
            "ledger.fct_journal_lines, lake/journal",
            missing.is_empty(),
            kept.height,
            missing.height,
            f"{missing.height} broken of {kept.height}, {sealed.height} sealed months" + _named(missing),
        ),
    ]
