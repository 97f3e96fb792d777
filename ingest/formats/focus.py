"""Bills in the FinOps Open Cost and Usage Specification (FOCUS 1.x), mapped onto lease_usage and lease_adjustments.

What a tenant used is the ConsumedQuantity of its rows in GPU-hours; what was credited or taxed are its Credit, Tax and
Adjustment rows. The lease is the tag `lease_id`, or else the ResourceId. Other charges of the bill are neither.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

import polars as pl

from ingest.formats.errors import FormatError
from ingest.formats.opening import Head, read_bytes
from ingest.formats.park import ParkClock

NAME = "focus"
FEEDS = ("lease_usage", "lease_adjustments")

# FOCUS gives dates and times in UTC (attribute "Date/Time Format"); some exports leave the Z out.
_NAIVE = re.compile(r"^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})$")
_GPU_HOURS = re.compile(r"^gpu[\s_-]*h(ou)?rs?$", re.IGNORECASE)
_NEEDED = ("BilledCost", "BillingCurrency", "ChargeCategory", "ChargePeriodStart", "ChargePeriodEnd")
_KINDS = {"Tax": "sales_tax", "Credit": "credit", "Adjustment": "refund"}
COSTS = ("BilledCost", "ListCost", "EffectiveCost", "ContractedCost")


def recognise(head: Head) -> str | None:
    """None if the first line names the mandatory columns of FOCUS, else why not."""
    if head.kind != "text" or head.is_zip or not head.lines:
        return "no FOCUS bill"
    names = {name.strip().strip('"') for name in head.lines[0].split(",")}
    absent = [name for name in _NEEDED if name not in names]
    return f"the first line has no column {', '.join(absent)}" if absent else None


def charges(path: Path) -> pl.DataFrame:
    """Every charge of a bill as text, `NULL` read as empty, with line_no (number of the charge, the header being 1).

    Raises:
        FormatError: the table cannot be read.
    """
    try:
        frame = pl.read_csv(
            read_bytes(path), infer_schema=False, null_values=["NULL"], row_index_name="line_no", row_index_offset=2
        )
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise FormatError(path, [f"the table cannot be read: {str(error).splitlines()[0]}"]) from error
    return frame.with_columns(pl.col("line_no").cast(pl.Int64))


def total(frame: pl.DataFrame, column: str) -> Decimal:
    """Exact sum of a cost column of `charges`, unit: the bill's currency."""
    try:
        return sum((Decimal(cell) for cell in frame[column].drop_nulls()), Decimal(0))
    except InvalidOperation as error:
        raise ValueError(f"{column} holds a cell that is no number") from error


def _instant(text: str | None) -> str | None:
    found = _NAIVE.match(text or "")
    return f"{found[1]}T{found[2]}Z" if found else text


def _lease(charge: dict[str, str | None]) -> str | None:
    try:
        tags = json.loads(charge.get("Tags") or "{}")
    except json.JSONDecodeError:
        tags = {}
    named = tags.get("lease_id") if isinstance(tags, dict) else None
    return str(named) if named else charge.get("ResourceId")


def _usage(frame: pl.DataFrame) -> Iterator[dict[str, str | int | None]]:
    for charge in frame.iter_rows(named=True):
        if charge["ChargeCategory"] == "Usage" and _GPU_HOURS.match(charge.get("ConsumedUnit") or ""):
            yield {
                "lease_id": _lease(charge),
                "interval_start_at": _instant(charge["ChargePeriodStart"]),
                "interval_end_at": _instant(charge["ChargePeriodEnd"]),
                "gpu_hours": charge.get("ConsumedQuantity"),
                "line_no": charge["line_no"],
            }


def _adjustments(frame: pl.DataFrame) -> Iterator[dict[str, str | int | None]]:
    seen: Counter[str] = Counter()
    for charge in frame.iter_rows(named=True):
        kind = _KINDS.get(charge["ChargeCategory"] or "")
        if kind is None:
            continue
        lease_id = _lease(charge)
        start = charge["ChargePeriodStart"] or ""
        # FOCUS gives a charge no key: its own content is one, and the how-many-th where a bill repeats it.
        content = json.dumps({name: cell for name, cell in charge.items() if name != "line_no"}, sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        seen[digest] += 1
        yield {
            "adjustment_id": f"focus:{digest}:{seen[digest]}",
            "lease_id": lease_id,
            "service_date": start[:10],
            "kind": kind,
            "amount": charge["BilledCost"],
            "currency_code": charge["BillingCurrency"],
            "line_no": charge["line_no"],
        }


def read(path: Path, feed: str, park: ParkClock) -> pl.DataFrame:  # noqa: ARG001 (every format has these three)
    """The rows of a bill that belong to a feed, all columns text as in a canonical CSV.

    Returns:
        lease_usage: lease_id, interval_start_at, interval_end_at, gpu_hours. lease_adjustments: adjustment_id,
        lease_id,
        service_date, kind (sales_tax, credit, refund), amount (BilledCost as signed there), currency_code. Both
        line_no.

    Raises:
        FormatError: no charge of the bill belongs to the feed.
    """
    frame = charges(path)
    rows = list(_usage(frame) if feed == "lease_usage" else _adjustments(frame))
    if not rows:
        wanted = "usage in GPU-hours" if feed == "lease_usage" else "credit, tax or adjustment"
        raise FormatError(path, [f"none of its {frame.height} charges is a {wanted}"])
    return pl.DataFrame(rows)
