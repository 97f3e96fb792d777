"""What is special to credit events: which columns an event of each kind cannot do without."""

import polars as pl

from ingest.checking import Faults

_CAPACITY = ("tranche_id", "gpu_count")
_WINDOW = (*_CAPACITY, "ends_at")
_MONEY = ("contract_id", "amount", "currency_code")

# Without these the event could change nothing, and would be lost in silence.
NEEDED: dict[str, tuple[str, ...]] = {
    "maintenance": _WINDOW,
    "operator_fault": _WINDOW,
    "power_curtailment": _WINDOW,
    "delivery": _WINDOW,
    "withdrawal": _CAPACITY,
    "recall": ("tranche_id",),
    "dispute_opened": ("contract_id",),
    "dispute_closed": ("contract_id",),
    "write_off": _MONEY,
    "recovery": _MONEY,
    "termination": ("contract_id",),
    "period_close": ("contract_id",),
}


def row_rules(rows: pl.DataFrame, faults: Faults) -> pl.DataFrame:
    """Check each kind's needs; the rows stay as they are."""
    for kind, columns in NEEDED.items():
        is_kind = rows["kind"] == kind
        for column in columns:
            faults.add(is_kind & rows[column].is_null(), "event_incomplete", column)
    return rows
