"""The terms of a contract in force and known at a close. What they are worth does not belong here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestration.polars_jobs.frames import RowsBy
from orchestration.polars_jobs.receivables import Close


def terms_known(terms: RowsBy, close: Close) -> list[dict[str, Any]]:
    """The rows of a terms table that have come into force by the month's end and are known at the close, in order."""
    known = [
        row
        for row in terms.of(close.contract_id)
        if row["valid_from"] <= close.month_end_date and row["recorded_at"] <= close.known_at
    ]
    return sorted(known, key=lambda row: (row["valid_from"], row["recorded_at"], row.get("amendment_id") or ""))


def blocks_in_force(terms: RowsBy, close: Close) -> list[dict[str, Any]]:
    """The rows of the one version in force at the close: of several that hold from the same day the one recorded last."""
    known = terms_known(terms, close)
    return [row for row in known if _version(row) == _version(known[-1])]


def _version(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["valid_from"], row["recorded_at"], row.get("amendment_id")


def collection_days(terms: RowsBy, close: Close) -> int:
    """Statement days + payment terms of the share terms in force at the close (the longest, where a contract has
    several); 0 where there are none.
    """
    own = blocks_in_force(terms, close)
    return max(((row["statement_due_days"] or 0) + (row["payment_terms_days"] or 0) for row in own), default=0)
