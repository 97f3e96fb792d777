"""The monthly close: a statement of the month's books, the seal on its lines, and the proof that a closed month has not
changed since.
"""

import hashlib
import json
from datetime import date

import dagster as dg
import duckdb

from ingest import audit_log, kept_journal
from orchestration import alerting
from orchestration.assets.raw import OWNERS
from orchestration.keeping import close_statement_path, keep
from orchestration.resources import Warehouse
from orchestration.settings import Settings

CLOSE_STATEMENT = dg.AssetKey(["ledger", "close_statement"])


class ClosedMonthChangedError(RuntimeError):
    """A closed month's lines differ from those stated at its close."""


def close_asset(settings: Settings, months: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """One statement a month, written once under ``HOME/closes`` and compared ever after."""

    @dg.asset(
        key=CLOSE_STATEMENT,
        group_name="ledger",
        owners=OWNERS,
        kinds={"json"},
        partitions_def=months,
        description="Per month: contracts, trial balance and state hash as closed; its lines are sealed. "
        "A later run that finds another hash fails.",
    )
    def close_statement(
        context: dg.AssetExecutionContext,
        warehouse: Warehouse,  # noqa: ARG001 - a seal is written while no run publishes
    ) -> dg.MaterializeResult[None]:
        stated = state_close(settings, context.partition_key)
        alerting.clear_failed_run(settings, context.run.job_name)
        return dg.MaterializeResult(metadata=stated)

    return close_statement


def state_close(settings: Settings, month: str) -> dict[str, str | int]:
    """Write the statement of a closed month and seal its lines, or compare with the one written before.

    From then on the month's lines, and those of the months before, stand as they are: whatever becomes known of them,
    with whatever date, is posted to an open month.

    Args:
        settings: where the home stands.
        month: first day of the month, ISO.

    Returns:
        Number of contracts closed and the path of the statement.

    Raises:
        LookupError: no contract of the published snapshot has closed that month.
        ClosedMonthChangedError: the published lines of the month are not those stated before.
    """
    with duckdb.connect(str(settings.published_path), read_only=True) as connection:
        connection.execute("SET TimeZone='UTC'")
        closes = connection.execute(
            "SELECT contract_id, closed_at::VARCHAR, closed_by, state_hash, reopening_no, line_count FROM ledger.fct_period_close "
            "WHERE posting_month = ?::DATE ORDER BY ALL",
            [month],
        ).fetchall()
        balances = connection.execute(
            "SELECT contract_id, account, opening_amount::VARCHAR, debit_amount::VARCHAR, credit_amount::VARCHAR, "
            "closing_amount::VARCHAR, currency_code FROM ledger.fct_trial_balance_month WHERE posting_month = ?::DATE ORDER BY ALL",
            [month],
        ).fetchall()
    if not closes:
        raise LookupError(f"No contract has closed {month[:7]}: see ledger.fct_period_close for the months that have")
    statement = {
        "month": month,
        "closes": [
            dict(
                zip(
                    ("contract_id", "closed_at", "closed_by", "state_hash", "reopening_no", "line_count"),
                    row,
                    strict=True,
                )
            )
            for row in closes
        ],
        "trial_balance": [
            dict(
                zip(
                    ("contract_id", "account", "opening", "debit", "credit", "closing", "currency_code"),
                    row,
                    strict=True,
                )
            )
            for row in balances
        ],
    }
    path = close_statement_path(settings, date.fromisoformat(month))
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ClosedMonthChangedError(
                f"{path} cannot be read ({error}): parkledger verify --repair sets it aside and states {month[:7]} anew"
            ) from error
        if before != statement:
            raise ClosedMonthChangedError(
                f"{month[:7]} was closed with other figures: compare {path} with the published snapshot"
            )
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(statement, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    keep(settings, settings.published_path, {"act": f"closed {month[:7]}"}, seal_until=date.fromisoformat(month))
    stated = hashlib.sha256(path.read_bytes()).hexdigest()
    subject = f"{month[:7]} as stated in {stated[:16]}, kept in {kept_journal.head(settings.home)[:16]}"
    audit_log.log(settings.home, "close", subject, once=True)
    return {"contracts": len(closes), "path": str(path)}
