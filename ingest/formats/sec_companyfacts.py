"""The SEC's companyfacts JSON (one file a filer, every XBRL fact of every filing): no feed, facts of an issuer.

The same period stands there again in each later filing, sometimes restated; fourth quarters are not filed at all.
"""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from ingest.formats.errors import FormatError
from ingest.formats.opening import read_text

# XBRL concept: our item, as named in the issuer facts that ship with the project. Of two concepts for one item the
# first wins.
ITEMS: dict[str, str] = {
    "Revenues": "revenue",
    "RevenueFromContractWithCustomerExcludingAssessedTax": "revenue",
    "SalesRevenueNet": "revenue",  # until 2018
    "Revenue": "revenue",
    "CostOfRevenue": "cost_of_revenue",
    "CostOfGoodsAndServicesSold": "cost_of_revenue",
    "NetIncomeLoss": "net_income",
    "ProfitLoss": "net_income",
    "AccountsReceivableNetCurrent": "accounts_receivable_net",
    "AllowanceForDoubtfulAccountsReceivableCurrent": "allowance_for_credit_losses",
    "AllowanceForDoubtfulAccountsReceivable": "allowance_for_credit_losses",
    "InventoryNet": "inventory",
    "Assets": "total_assets",
    "Liabilities": "total_liabilities",
    "StockholdersEquity": "stockholders_equity",
    "Equity": "stockholders_equity",
}
_TAXONOMIES = ("us-gaap", "ifrs-full")
# Central Index Key: issuer_id, for the makers of accelerators; any other filer is `cik-<number>`.
ISSUER_IDS: dict[int, str] = {1045810: "nvidia", 2488: "amd", 50863: "intel"}

# The largest filers have some tens of megabytes; what is parsed takes ten times as much.
_MAX_BYTES = 128 * 1024**2
_MAX_AMOUNT = Decimal(10) ** 29  # what the table holds
# A quarter has 13 or 14 weeks or three months, a year 52 or 53 weeks or twelve months.
_QUARTER_DAYS = range(80, 101)
_YEAR_DAYS = range(350, 380)
_MEAN_QUARTER_DAYS = Decimal("91.3125")
_LABEL_TOLERANCE_DAYS = 14  # fiscal years of 52 and 53 weeks stray from the mean quarter by less

FACT_SCHEMA = pl.Schema(
    {
        "taxonomy": pl.String(),
        "concept": pl.String(),
        "unit": pl.String(),
        "period_start": pl.Date(),
        "period_end": pl.Date(),
        "value": pl.Decimal(38, 9),
        "accession": pl.String(),
        "fiscal_year": pl.Int64(),
        "fiscal_period": pl.String(),
        "form": pl.String(),
        "filed_date": pl.Date(),
    }
)
ISSUER_SCHEMA = pl.Schema(
    {
        "issuer_id": pl.String(),
        "fiscal_period_end": pl.Date(),
        "fiscal_label": pl.String(),
        "item": pl.String(),
        "value": pl.Decimal(38, 9),
        "unit": pl.String(),
        "source": pl.String(),
        "grade": pl.String(),
        "filed_date": pl.Date(),
        "days_in_period": pl.Int64(),
        "is_latest": pl.Boolean(),
    }
)


def _document(path: Path) -> Any:
    try:
        return json.loads(read_text(path, _MAX_BYTES), parse_float=Decimal)
    except (json.JSONDecodeError, RecursionError) as error:
        raise FormatError(path, [f"no JSON: {error}"]) from error


def _cik(path: Path) -> int:
    """The filer's number; files of different years write it as a number or as ten digits."""
    document = _document(path)
    try:
        return int(document["cik"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(path, ["not the shape of companyfacts: no cik"]) from error


def _amount(value: Any) -> Decimal:
    amount = Decimal(value)
    if not abs(amount) < _MAX_AMOUNT:
        raise ValueError(f"{value} is no amount")
    return amount


def read_companyfacts(path: Path) -> pl.DataFrame:
    """Every fact of a filer as filed, also repeated and restated ones.

    Returns:
        One row per fact and filing: taxonomy, concept, unit, period_start (null for balances), period_end (last day,
        included), value (decimal, in `unit`), accession, fiscal_year and fiscal_period of the FILING (not of the
        period), form, filed_date.

    Raises:
        FormatError: no JSON, or not the shape of companyfacts.
    """
    document = _document(path)
    rows: list[dict[str, object]] = []
    try:
        for taxonomy, concepts in document["facts"].items():
            for concept, body in concepts.items():
                for unit, facts in body["units"].items():
                    rows.extend(
                        {
                            "taxonomy": taxonomy,
                            "concept": concept,
                            "unit": unit,
                            "period_start": date.fromisoformat(fact["start"]) if "start" in fact else None,
                            "period_end": date.fromisoformat(fact["end"]),
                            "value": _amount(fact["val"]),
                            "accession": fact["accn"],
                            "fiscal_year": fact.get("fy"),
                            "fiscal_period": fact.get("fp"),
                            "form": fact["form"],
                            "filed_date": date.fromisoformat(fact["filed"]),
                        }
                        for fact in facts
                        if fact.get("val") is not None
                    )
        return pl.DataFrame(rows, schema=FACT_SCHEMA)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, pl.exceptions.PolarsError) as error:
        raise FormatError(path, [f"not the shape of companyfacts: {type(error).__name__} {error}"]) from error


@dataclass(frozen=True)
class _Value:
    value: Decimal
    filed: date
    source: str
    grade: str
    days: int | None


def _labels(facts: pl.DataFrame) -> dict[date, str]:
    """Period end → `Q3 FY26`: a filing's year and quarter are those of the latest period in it, not of others."""
    filings = (
        facts.filter(pl.col("fiscal_year").is_not_null() & pl.col("fiscal_period").is_not_null())
        .group_by("accession")
        .agg(
            pl.col("period_end").max(),
            pl.col("fiscal_year").first(),
            pl.col("fiscal_period").first(),
            pl.col("filed_date").first(),
        )
        .sort("filed_date", "accession", descending=True)
    )
    labels: dict[date, str] = {}
    for end, year, period in filings.select("period_end", "fiscal_year", "fiscal_period").rows():
        # The earliest filing of a period is the one about it: later ones (amendments) come first here and are
        # overwritten.
        labels[end] = f"{'Q4' if period == 'FY' else period} FY{year % 100:02d}"
    return labels


def _counted_label(labels: dict[date, str], end: date) -> str | None:
    """`Q1 FY10` for a period that no filing is about (before the first one, or with its end misdated): counted in
    quarters from the nearest one that has a label. None where `end` is no quarter's end by that count.
    """
    quarters = {known: label for known, label in labels.items() if label.startswith("Q")}
    if not quarters:
        return None
    nearest = min(quarters, key=lambda known: (abs((known - end).days), known))
    days = (end - nearest).days
    steps = round(days / _MEAN_QUARTER_DAYS)
    if abs(days - steps * _MEAN_QUARTER_DAYS) > _LABEL_TOLERANCE_DAYS:
        return None
    quarter, year = quarters[nearest].split(" FY")
    index = int(year) * 4 + int(quarter[1:]) - 1 + steps
    return f"Q{index % 4 + 1} FY{index // 4 % 100:02d}"


def _latest_first(rows: pl.DataFrame) -> list[tuple[Any, ...]]:
    return (
        rows.sort("filed_date", "accession", descending=True)
        .select("period_start", "period_end", "value", "filed_date", "form", "accession", "concept")
        .rows()
    )


def _history(rows: list[tuple[Any, ...]], lengths: range | None) -> dict[date, list[_Value]]:
    """Values by period end, latest filing first; each value once, with the first filing that gave it.

    Args:
        rows: from `_latest_first`.
        lengths: days that a period must have; None for balances.
    """
    found: dict[date, list[_Value]] = {}
    for start, end, value, filed, form, accession, concept in rows:
        days = None if lengths is None else (end - start).days + 1
        if lengths is not None and days not in lengths:
            continue
        known = found.setdefault(end, [])
        one = _Value(value, filed, f"SEC companyfacts {concept}, {form} {accession}", "P", days)
        if known and known[-1].value == value:
            known[-1] = one
        else:
            known.append(one)
    return found


def _fourth_quarters(years: dict[date, list[_Value]], quarters: dict[date, list[_Value]]) -> dict[date, list[_Value]]:
    """Year less its three quarters, as filed last, for years whose fourth quarter was not filed by itself."""
    found: dict[date, list[_Value]] = {}
    for end, (year, *_) in years.items():
        start = end - timedelta(days=year.days or 0)
        parts = {other: known[0] for other, known in quarters.items() if start < other < end}
        days = (end - max(parts)).days if len(parts) == 3 else 0
        if end in quarters or days not in _QUARTER_DAYS:
            continue
        rest = year.value - sum((part.value for part in parts.values()), Decimal(0))
        filed = max(year.filed, *(part.filed for part in parts.values()))
        found[end] = [_Value(rest, filed, f"derived: year less three quarters; {year.source}", "I", days)]
    return found


def _main_unit(facts: pl.DataFrame) -> str | None:
    """The currency of the statements: the unit of most facts that looks like one."""
    units = Counter(unit for unit in facts["unit"].to_list() if len(unit) == 3 and unit.isupper())
    return units.most_common(1)[0][0] if units else None


def issuer_facts(path: Path, issuer_id: str, *, with_superseded: bool = False) -> pl.DataFrame:
    """Quarterly facts of an issuer: balances at quarter ends and flows of quarters.

    Args:
        path: companyfacts JSON, plain or gzip.
        issuer_id: as in the vendor's file.
        with_superseded: also older values that a later filing restated.

    Returns:
        One row per item and fiscal_period_end (and per value, with_superseded): issuer_id, fiscal_period_end,
        fiscal_label
        (`Q1 FY27`; null where the date ends no quarter), item (see ITEMS), value in millions of the statement's
        currency, unit (`USDm`), source (concept, form and accession), grade (P as filed, I for a derived fourth
        quarter), filed_date of the filing that first gave this value, days_in_period (null for balances), is_latest.

    Raises:
        FormatError: see `read_companyfacts`; no monetary facts.
    """
    facts = read_companyfacts(path).filter(pl.col("taxonomy").is_in(_TAXONOMIES))
    unit = _main_unit(facts)
    if unit is None:
        raise FormatError(path, ["it holds no monetary facts of us-gaap or ifrs-full"])
    labels = _labels(facts)
    items: dict[str, dict[date, list[_Value]]] = {}
    for concept, item in ITEMS.items():
        rows = facts.filter((pl.col("concept") == concept) & (pl.col("unit") == unit))
        flows = _latest_first(rows.filter(pl.col("period_start").is_not_null()))
        by_end = _history(flows, _QUARTER_DAYS)
        by_end |= _fourth_quarters(_history(flows, _YEAR_DAYS), by_end)
        by_end |= _history(_latest_first(rows.filter(pl.col("period_start").is_null())), None)
        known = items.setdefault(item, {})
        for end, values in by_end.items():
            known.setdefault(end, values)
    return pl.DataFrame(
        [
            {
                "issuer_id": issuer_id,
                "fiscal_period_end": end,
                "fiscal_label": labels.get(end) or _counted_label(labels, end),
                "item": item,
                "value": one.value / 1_000_000,
                "unit": f"{unit}m",
                "source": one.source,
                "grade": one.grade,
                "filed_date": one.filed,
                "days_in_period": one.days,
                "is_latest": rank == 0,
            }
            for item, by_end in items.items()
            for end, values in by_end.items()
            for rank, one in enumerate(values)
            if rank == 0 or with_superseded
        ],
        schema=ISSUER_SCHEMA,
    ).sort("item", "fiscal_period_end", "filed_date")


def read(path: Path, issuer_id: str | None = None) -> pl.DataFrame:
    """Facts as the reference tables hold them: the value that counts of each item and period.

    Args:
        path: companyfacts JSON, plain or gzip.
        issuer_id: as in the vendor's file; without it, by the filer's Central Index Key (ISSUER_IDS).

    Returns:
        issuer_id, fiscal_period_end, fiscal_label, item, value_text, value, unit, source, grade, filed_date.

    Raises:
        FormatError: see `issuer_facts`.
    """
    if issuer_id is None:
        cik = _cik(path)
        issuer_id = ISSUER_IDS.get(cik, f"cik-{cik}")
    frame = issuer_facts(path, issuer_id)
    text = pl.col("value").cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")
    return frame.drop("days_in_period", "is_latest").with_columns(value_text=text)


def days_sales_outstanding(facts: pl.DataFrame, period_end: date) -> Decimal:
    """Receivables ÷ the quarter's revenue × the quarter's days, as the issuer's filings give them.

    Raises:
        LookupError: the quarter lacks its receivables or its revenue.
    """
    latest = facts.filter(pl.col("is_latest") & (pl.col("fiscal_period_end") == period_end))
    values = {item: (value, days) for item, value, days in latest.select("item", "value", "days_in_period").rows()}
    if not {"accounts_receivable_net", "revenue"} <= values.keys():
        raise LookupError(f"receivables or revenue of the quarter to {period_end} are missing")
    revenue, days = values["revenue"]
    return Decimal(values["accounts_receivable_net"][0]) / Decimal(revenue) * Decimal(days)
