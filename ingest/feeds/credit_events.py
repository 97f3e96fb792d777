"""What is special to credit events: which columns an event of each kind cannot do without."""

import json
from decimal import Decimal, InvalidOperation

import polars as pl

from ingest.checking import Faults

GROUNDS = ("rating_trigger", "sla_breach", "default", "refinancing")
_CAPACITY = ("tranche_id", "gpu_count")
_WINDOW = (*_CAPACITY, "ends_at")
_MONEY = ("contract_id", "amount", "currency_code")

# Without these the event could change nothing, and would be lost in silence.
NEEDED: dict[str, tuple[str, ...]] = {
    "maintenance": _WINDOW,
    "operator_fault": _WINDOW,
    "power_curtailment": _WINDOW,
    "force_majeure": _WINDOW,
    "acceptance_failed": _WINDOW,
    "delivery": _WINDOW,
    "withdrawal": _CAPACITY,
    "recall": ("tranche_id",),
    "acceptance": ("tranche_id",),
    "commercial_operation": ("tranche_id",),
    "price_index": ("payload",),
    "dispute_opened": ("contract_id",),
    "dispute_closed": ("contract_id",),
    "write_off": _MONEY,
    "recovery": _MONEY,
    "resale": _MONEY,
    "manual_journal": ("contract_id", "payload"),
    "termination": ("contract_id",),
    "period_close": ("contract_id",),
}


def row_rules(rows: pl.DataFrame, faults: Faults) -> pl.DataFrame:
    """Check each kind's needs; the rows stay as they are."""
    for kind, columns in NEEDED.items():
        is_kind = rows["kind"] == kind
        for column in columns:
            faults.add(is_kind & rows[column].is_null(), "event_incomplete", column)
    lacks_level = pl.Series([not _has_level(text) for text in rows["payload"].to_list()], dtype=pl.Boolean)
    faults.add(
        (rows["kind"] == "price_index") & rows["payload"].is_not_null() & lacks_level, "event_incomplete", "payload"
    )
    names_no_ground = pl.Series([not _has_ground(text) for text in rows["payload"].to_list()], dtype=pl.Boolean)
    faults.add((rows["kind"] == "termination") & names_no_ground, "event_incomplete", "payload")
    return rows


def _has_ground(payload: str | None) -> bool:
    """Whether the payload of a termination leaves its ground open, or names one that a contract may know."""
    try:
        said = json.loads(payload or "{}")
        return said.get("ground") is None or said["ground"] in GROUNDS
    except (ValueError, AttributeError, TypeError, RecursionError):
        return False


def _has_level(payload: str | None) -> bool:
    """Whether a payload names an index and its level, a number above zero."""
    try:
        said = json.loads(payload or "{}")
        return bool(said["index"]) and Decimal(str(said["level"])) > 0
    except (ValueError, KeyError, TypeError, InvalidOperation, RecursionError):
        return False
