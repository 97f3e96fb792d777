"""Bills in the FinOps Open Cost and Usage Specification (FOCUS 1.0 to 1.2), mapped onto lease_usage and lease_adjustments.

What a tenant used is the ConsumedQuantity of its usage rows in GPU-hours, added up over the rows of one lease and charge
period; what was credited or taxed are its Credit, Tax and Adjustment rows. The lease is the tag `lease_id`, or else the
ResourceId. Other charges of the bill are neither. The columns needed are the same in all versions, and all others are
passed over. CSV as exports write it (gzip too), or Parquet with typed columns and tags.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.formats import canonical
from ingest.formats.errors import FormatError
from ingest.formats.numbers import number, plain
from ingest.formats.opening import Head
from ingest.formats.park import ParkClock

NAME = "focus"
FEEDS = ("lease_usage", "lease_adjustments")

# FOCUS gives dates and times in UTC (attribute "Date/Time Format"); some exports leave the Z out.
_NAIVE = re.compile(r"^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2}(?:\.\d+)?)$")
# "Unit Format": what is measured and a unit of time, as in GPU-Hours.
_GPU_TIME = re.compile(r"^gpu[\s_-]*(seconds?|minutes?|h(?:ou)?rs?|days?)$", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LEASE_TAG = re.compile(r"(^|[:/])lease[_-]?id$", re.IGNORECASE)
_NEEDED = ("BilledCost", "BillingCurrency", "ChargeCategory", "ChargePeriodStart", "ChargePeriodEnd")
_KINDS = {"Tax": "sales_tax", "Credit": "credit", "Adjustment": "refund"}
_COLUMNS = {
    "lease_usage": ("lease_id", "interval_start_at", "interval_end_at", "gpu_hours"),
    "lease_adjustments": ("adjustment_id", "lease_id", "service_date", "kind", "amount", "currency_code"),
}
_TORN = {"line_no": pl.Int64, "line_text": pl.String, "line_rule": pl.String}
COSTS = ("BilledCost", "ListCost", "EffectiveCost", "ContractedCost")

# Reserved, or bought beforehand, and used or not.
_STATUS = ("CapacityReservationStatus", "CommitmentDiscountStatus")
_BATCH_ROWS = 50_000

Charge = dict[str, Any]
Row = dict[str, str | int | None]


def recognise(head: Head) -> str | None:
    """None if the first line, or the Parquet schema, names the mandatory columns of FOCUS, else why not."""
    if head.kind == "parquet":
        try:
            names = set(pq.read_schema(head.path).names)
        except (pa.ArrowException, OSError) as error:
            return f"the Parquet file cannot be read: {error}"
    elif head.kind != "text" or head.is_zip or not head.lines:
        return "no FOCUS bill"
    else:
        names = {name.strip().strip('"') for name in head.lines[0].split(",")}
    absent = [name for name in _NEEDED if name not in names]
    return f"the bill has no column {', '.join(absent)}" if absent else None


def _tags(value: Any) -> Any:
    """A list of keys and values, as some writers keep tags, as an object; all else as it is."""
    if isinstance(value, list) and all(isinstance(pair, dict) and set(pair) == {"key", "value"} for pair in value):
        return {pair["key"]: pair["value"] for pair in value}
    return value


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """The typed columns of a Parquet bill as the CSV of the same bill would have them."""
    columns: list[pl.Expr] = []
    for name, kind in frame.schema.items():
        column = pl.col(name)
        if kind.is_nested():
            texts = [None if tags is None else json.dumps(_tags(tags), default=str) for tags in frame[name].to_list()]
            columns.append(pl.lit(pl.Series(name, texts, dtype=pl.String)))
        elif isinstance(kind, pl.Datetime):
            utc = column.dt.convert_time_zone("UTC") if kind.time_zone else column
            columns.append(utc.dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ"))
        elif name != "line_no":
            columns.append(column.cast(pl.String))
        else:
            columns.append(column)
    return frame.select(columns)


def parts(path: Path) -> Iterator[pl.DataFrame]:
    """The charges of a bill of any size, some at a time, as text, `NULL` read as empty, with line_no, line_text and
    line_rule as of a canonical CSV.

    Raises:
        FormatError: the table cannot be read.
    """
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    # A bill has some sixty columns.
    frames = canonical.parquet_rows(path, batch_rows=_BATCH_ROWS) if is_parquet else canonical.csv_rows(path)
    try:
        for frame in frames:
            texts = _as_text(frame) if is_parquet else frame
            texts = texts.with_columns(pl.exclude("line_no", "line_text", "line_rule").replace("NULL", None))
            if is_parquet:
                texts = texts.with_columns(line_text=pl.lit(None, pl.String), line_rule=pl.lit(None, pl.String))
            yield texts
    except (pl.exceptions.PolarsError, KeyError, TypeError) as error:
        raise FormatError(path, [f"the table cannot be read: {str(error).splitlines()[0]}"]) from error


def total(frame: pl.DataFrame, column: str) -> Decimal:
    """Exact sum of a cost column of charges, unit: the bill's currency; ValueError over a cell that is no number."""
    values = [number(cell) for cell in frame[column].drop_nulls()]
    if None in values:
        raise ValueError(f"{column} holds a cell that is no number")
    return sum((value for value in values if value is not None), Decimal(0))


def _instant(text: str | None) -> str | None:
    found = _NAIVE.match(text or "")
    return f"{found[1]}T{found[2]}Z" if found else text


def _lease(charge: Charge) -> str | None:
    try:
        tags = json.loads(charge.get("Tags") or "{}")
    except (ValueError, RecursionError):
        tags = {}
    named = next((tags[key] for key in tags if _LEASE_TAG.search(key)), None) if isinstance(tags, dict) else None
    return str(named) if named else charge.get("ResourceId")


def _gpu_hours(charge: Charge, seconds: int) -> str | None:
    """The consumed quantity in GPU-hours; what is no number stays as it came, for quarantine."""
    text = charge.get("ConsumedQuantity")
    value = number(text or "")
    if value is None or seconds == 3600:
        return text
    return plain(round(value * seconds / 3600, 9))


class _Usage:
    """Usage by lease and charge period: several resources or prices of one lease in one period add up.

    So does a correction (ChargeClass) of a charge that stands in the same bill. One of another bill's charge is the
    difference to a quantity that is not here: taken for the quantity it would replace it. One without a quantity corrects
    the cost alone. What was reserved and stood idle was not used, though it is billed as usage.
    """

    def __init__(self) -> None:
        self._added: dict[tuple[str | None, ...], tuple[Decimal, int]] = {}
        self._corrections: list[tuple[tuple[str | None, ...], Decimal, Charge]] = []

    def rows_of(self, charges: pl.DataFrame) -> Iterator[Row]:
        """Take in some charges; those whose quantity is no number come as they are."""
        for charge in charges.filter(pl.col("ChargeCategory") == "Usage").iter_rows(named=True):
            unit = _GPU_TIME.match(charge.get("ConsumedUnit") or "")
            if unit is None or any(charge.get(name) == "Unused" for name in _STATUS):
                continue
            is_correction = charge.get("ChargeClass") == "Correction"
            quantity = _gpu_hours(charge, _SECONDS[unit[1][0].lower()])
            key = (_lease(charge), _instant(charge["ChargePeriodStart"]), _instant(charge["ChargePeriodEnd"]))
            value = number(quantity or "")
            if is_correction and quantity is None:
                continue
            if value is None:
                yield _usage_row(key, quantity, charge["line_no"])
            elif is_correction:
                self._corrections.append((key, value, charge))
            else:
                before, line_no = self._added.get(key, (Decimal(0), charge["line_no"]))
                self._added[key] = before + value, line_no

    def rows(self) -> Iterator[Row]:
        """What adds up, once all charges have been taken in."""
        others: list[Charge] = []
        for key, value, charge in self._corrections:
            if key in self._added:
                before, line_no = self._added[key]
                self._added[key] = before + value, line_no
            else:
                others.append(charge)
        for key, (value, line_no) in self._added.items():
            yield _usage_row(key, plain(value), line_no)
        for charge in others:
            cells = {name: cell for name, cell in charge.items() if name not in _TORN and cell is not None}
            yield {
                "line_no": charge["line_no"],
                "line_text": json.dumps(cells),
                "line_rule": "correction_of_another_bill",
            }


def _usage_row(key: tuple[str | None, ...], gpu_hours: str | None, line_no: int) -> Row:
    lease_id, start, end = key
    return {
        "lease_id": lease_id,
        "interval_start_at": start,
        "interval_end_at": end,
        "gpu_hours": gpu_hours,
        "line_no": line_no,
    }


def _service_date(charge: Charge, zone: ZoneInfo) -> str:
    """The day of the park's zone in which the period starts; of whole UTC days, the day that the bill names."""
    text = charge["ChargePeriodStart"] or ""
    try:
        start = datetime.fromisoformat(_instant(text) or "")
        length = datetime.fromisoformat(_instant(charge["ChargePeriodEnd"]) or "") - start
    except (ValueError, TypeError):
        return text[:10]
    is_whole_day = (start.hour, start.minute, start.second) == (0, 0, 0) and not length % timedelta(days=1)
    return (start if is_whole_day or start.tzinfo is None else start.astimezone(zone)).date().isoformat()


def _adjustments(charges: pl.DataFrame, zone: ZoneInfo, seen: Counter[str]) -> Iterator[Row]:
    """Credits, taxes and adjustments; `seen` counts what the bill has said before."""
    for charge in charges.iter_rows(named=True):
        kind = _KINDS.get(charge["ChargeCategory"] or "")
        if kind is None:
            continue
        # FOCUS gives a charge no key: its own content is one, and the how-many-th where a bill repeats it.
        content = json.dumps({name: cell for name, cell in charge.items() if name not in _TORN}, sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        seen[digest] += 1
        yield {
            "adjustment_id": f"focus:{digest}:{seen[digest]}",
            "lease_id": _lease(charge),
            "service_date": _service_date(charge, zone),
            "kind": kind,
            "amount": charge["BilledCost"],
            "currency_code": charge["BillingCurrency"],
            "line_no": charge["line_no"],
        }


def _rows(path: Path, feed: str, zone: ZoneInfo) -> Iterator[Row]:
    """The rows of a bill that belong to a feed, and its torn lines.

    Raises:
        FormatError: no charge of the bill belongs to the feed.
    """
    usage, seen = _Usage(), Counter[str]()
    charge_count, row_count = 0, 0
    for frame in parts(path):
        charge_count += frame.height
        whole = frame.filter(pl.col("line_text").is_null())
        for row in usage.rows_of(whole) if feed == "lease_usage" else _adjustments(whole, zone, seen):
            row_count += 1
            yield row
        yield from frame.filter(pl.col("line_text").is_not_null()).select(*_TORN).iter_rows(named=True)
    for row in usage.rows():
        row_count += 1
        yield row
    if not row_count:
        wanted = "usage in GPU-hours" if feed == "lease_usage" else "credit, tax or adjustment"
        raise FormatError(path, [f"none of its {charge_count} charges is a {wanted}"])


def read(path: Path, feed: str, park: ParkClock) -> Iterator[pl.DataFrame]:
    """The rows of a bill of any size that belong to a feed, all columns text as in a canonical CSV.

    Args:
        path: the bill.
        feed: lease_usage or lease_adjustments.
        park: its zone gives the service date of charges by the hour.

    Yields:
        lease_usage: lease_id, interval_start_at, interval_end_at, gpu_hours. lease_adjustments: adjustment_id,
        lease_id, service_date, kind (sales_tax, credit, refund), amount (BilledCost as signed there), currency_code.
        Both line_no (of the first of several charges that add up), line_text and line_rule.

    Raises:
        FormatError: no charge of the bill belongs to the feed.
    """
    schema = dict.fromkeys(_COLUMNS[feed], pl.String) | _TORN
    rows: list[Row] = []
    for row in _rows(path, feed, ZoneInfo(park.time_zone)):
        rows.append(row)
        if len(rows) >= _BATCH_ROWS:
            yield pl.DataFrame(rows, schema=schema)
            rows = []
    if rows:
        yield pl.DataFrame(rows, schema=schema)
