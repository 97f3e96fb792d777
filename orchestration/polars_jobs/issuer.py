"""The issuer's own view: quarters out of its filings, with the same collection ratios as the programme's.

Fiscal quarters have 13 or 14 weeks (READINGS.md, 5; NVIDIA's year ends on the last Sunday of January), so days are
counted, never taken as 91. Every item keeps its grade; what was not found in a filing is null, never zero.
"""

from __future__ import annotations

import math
from calendar import monthrange
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.polars_jobs.collections import Metric, dso_simple, receivables_turnover
from orchestration.polars_jobs.frames import Frames, add_months, make_frame, month_end, need, optional

USD_M = pl.Decimal(18, 6)

FACT_SCHEMA: dict[str, Any] = {
    "issuer_id": pl.String,
    "fiscal_period_end": pl.Date,
    "fiscal_label": pl.String,
    "item": pl.String,
    "value": pl.Decimal(38, 9),
    "value_text": pl.String,
    "unit": pl.String,
    "source": pl.String,
    "evidence_grade": pl.String,
}

# published column: the names an item goes by, best first (our own table, then SEC companyfacts concepts)
ITEMS: Mapping[str, tuple[str, ...]] = {
    "revenue": ("revenue", "Revenues", "RevenueFromContractWithCustomerExcludingAssessedTax"),
    "accounts_receivable": ("accounts_receivable_net", "accounts_receivable", "AccountsReceivableNetCurrent"),
    "allowance": ("allowance_for_credit_losses", "AllowanceForDoubtfulAccountsReceivableCurrent"),
    "equity": ("stockholders_equity", "StockholdersEquity"),
    "total_assets": ("total_assets", "Assets"),
    "long_term_debt": ("long_term_debt", "LongTermDebtNoncurrent", "LongTermDebt"),
    "operating_cash_flow": ("operating_cash_flow", "NetCashProvidedByUsedInOperatingActivities"),
    "net_income": ("net_income", "NetIncomeLoss"),
    "ai_cloud_commitments": ("ai_cloud_agreements",),
    "own_cloud_commitments": ("cloud_service_agreements_own_RD", "cloud_service_agreements"),
    "supply_commitments": ("supply_capacity_commitments",),
    "guarantees": ("guarantee_max_gross_exposure", "guarantee_max_gross_exposure_LPS"),
    "guarantee_escrow": ("guarantee_escrow",),
    "third_party_lease_commitments": ("third_party_dc_leases_not_commenced",),
}
FLOWS = frozenset({"revenue", "operating_cash_flow", "net_income"})

QUARTER_SCHEMA: dict[str, Any] = {
    "issuer_id": pl.String,
    "fiscal_period_end": pl.Date,
    "fiscal_label": pl.String,
    "fiscal_year": pl.Int32,
    "fiscal_quarter": pl.Int32,
    "days_in_quarter": pl.Int32,
    **dict.fromkeys(ITEMS, USD_M),
    "dso_days": pl.Float64,
    "dso_days_null_reason": pl.String,
    "receivables_turnover": pl.Float64,
    "receivables_turnover_null_reason": pl.String,
    "largest_receivable_customer_fraction": pl.Float64,
    "receivable_customers_of_ten_percent_fraction": pl.Float64,
    "commitments_and_guarantees_to_equity_fraction": pl.Float64,
}

# Better evidence first: filed or quoted, press or analyst, a data vendor's statements, inferred, aggregator.
GRADE_ORDER = ("P", "S1", "V", "I", "S2", "assumed")
WEEKDAYS = {"last_friday": 4, "last_saturday": 5, "last_sunday": 6}


def fiscal_year_end(year: int, month: int, rule: str) -> date:
    """The last day of the fiscal year named ``year``: the last Friday, Saturday or Sunday of a month, or the month's
    end. Raises ``ValueError`` for another rule.
    """
    last = date(year, month, monthrange(year, month)[1])
    if rule == "month_end":
        return last
    if rule not in WEEKDAYS:
        raise ValueError(f"unknown fiscal year rule {rule!r}")
    return last - timedelta(days=(last.weekday() - WEEKDAYS[rule]) % 7)


def fiscal_quarter(period_end: date, month: int, rule: str) -> tuple[int, int, int] | None:
    """(fiscal year, quarter, days) of the quarter that ends on ``period_end``; None where no quarter of this calendar
    does.

    A year by weeks has quarters of 13 weeks, the fourth takes the 53rd week (98 days). A year by months has quarters
    of three calendar months.
    """
    for year in (period_end.year, period_end.year + 1):
        start, end = fiscal_year_end(year - 1, month, rule), fiscal_year_end(year, month, rule)
        if rule == "month_end":
            ends = [month_end(add_months(start, 3 * number)) for number in (1, 2, 3)]
        else:
            ends = [start + timedelta(weeks=13 * number) for number in (1, 2, 3)]
        ends.append(end)
        if period_end in ends:
            number = ends.index(period_end)
            return year, number + 1, (period_end - (ends[number - 1] if number else start)).days
    return None


def issuer_facts(raw: pl.DataFrame) -> pl.DataFrame:
    """``issuer.fct_issuer_fact``: every fact as filed or found, with its grade (column ``grade`` of
    ``raw.issuer_fact``), in a fixed order. A fact whose source names no period is labelled by its date
    (``to 2026-07-26``): the label is part of the key.
    """
    columns = {"grade": "evidence_grade"}
    return (
        raw.rename({old: new for old, new in columns.items() if old in raw.columns})
        .select(list(FACT_SCHEMA))
        .cast(pl.Schema(FACT_SCHEMA))
        .with_columns(
            pl.col("fiscal_label").fill_null(pl.format("to {}", pl.col("fiscal_period_end").dt.to_string("iso")))
        )
        .unique(maintain_order=True)
        .sort(
            "issuer_id", "fiscal_period_end", "item", "fiscal_label", "value", "value_text", "source", nulls_last=True
        )
    )


def _in_millions(value: Decimal | None, unit: str | None) -> Decimal | None:
    if value is None:
        return None
    match (unit or "").replace(" ", "").lower():
        case "usdm" | "usd_m" | "usdmillion":
            return value
        case "usd":
            return value / 1_000_000
        case "usdbn" | "usd_bn":
            return value * 1000
        case _:
            return None


def _percentages(text: str | None) -> list[float]:
    return [float(part) / 100 for part in text.split("|")] if text else []


def _rank(grade: str | None) -> int:
    return GRADE_ORDER.index(grade) if grade in GRADE_ORDER else len(GRADE_ORDER)


def _pick(rows: list[dict[str, Any]], names: tuple[str, ...], *, quarter_only: bool) -> Decimal | None:
    """The best-graded value of an item; half-year and year figures are no quarter's flow."""
    for name in names:
        found = [
            row
            for row in rows
            if row["item"] == name
            and not (quarter_only and not _is_quarter(row["fiscal_label"]))
            and _in_millions(row["value"], row["unit"]) is not None
        ]
        if found:
            best = min(found, key=lambda row: (_rank(row["evidence_grade"]), row["source"] or ""))
            return _in_millions(best["value"], best["unit"])
    return None


def _is_quarter(label: str | None) -> bool:
    return label is not None and label.strip().upper().startswith("Q")


def issuer_quarters(frames: Frames) -> pl.DataFrame:
    """``issuer.fct_issuer_quarter``: one row per issuer and fiscal quarter end, amounts in USD m.

    Reads ``raw.issuer_fact`` and, for the fiscal calendar, ``raw.vendor``; an issuer without a vendor's calendar
    takes the distance between its quarter ends as days. DSO is receivable ÷ revenue × the quarter's real days;
    turnover is revenue ÷ mean of opening and closing receivable, annualised by 365 ÷ days. A period end that closes
    no quarter (an event between two) has no row.
    """
    facts = issuer_facts(need(frames, "raw.issuer_fact", "issuer_id", "fiscal_period_end", "item"))
    calendars = _calendars(optional(frames, "raw.vendor"))
    rows: list[dict[str, Any]] = []
    for issuer in facts.partition_by("issuer_id", maintain_order=True):
        issuer_id = issuer["issuer_id"][0]
        previous: dict[str, Any] | None = None
        for period in issuer.partition_by("fiscal_period_end", maintain_order=True):
            row = _quarter_row(issuer_id, period.rows(named=True), calendars.get(issuer_id), previous)
            if row is not None:
                rows.append(row)
                previous = row
    return make_frame(rows, QUARTER_SCHEMA, ["issuer_id", "fiscal_period_end"])


def _calendars(vendors: pl.DataFrame | None) -> dict[str, tuple[int, str]]:
    if vendors is None:
        return {}
    columns = ["issuer_id", "fiscal_year_end_month", "fiscal_year_end_rule"]
    return {issuer: (int(month), rule) for issuer, month, rule in vendors.select(columns).drop_nulls().iter_rows()}


def _quarter_row(
    issuer_id: str, rows: list[dict[str, Any]], calendar: tuple[int, str] | None, previous: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    period_end = rows[0]["fiscal_period_end"]
    quarter = fiscal_quarter(period_end, *calendar) if calendar else None
    labels = sorted({row["fiscal_label"] for row in rows if _is_quarter(row["fiscal_label"])})
    if quarter is None and (calendar is not None or not labels):
        return None
    year, number, days = quarter or (None, None, None)
    if quarter is None and previous is not None:
        gap = (period_end - previous["fiscal_period_end"]).days
        days = gap if 80 <= gap <= 100 else None
    values = {name: _pick(rows, names, quarter_only=name in FLOWS) for name, names in ITEMS.items()}
    customers = _percentages(next((row["value_text"] for row in rows if row["item"] == "ar_customers_ge10pct"), None))
    receivable, revenue, equity = values["accounts_receivable"], values["revenue"], values["equity"]
    # The mean needs the balance one quarter earlier, not merely the last one found.
    adjacent = previous is not None and days is not None and (period_end - previous["fiscal_period_end"]).days == days
    opening = previous["accounts_receivable"] if adjacent and previous is not None else None
    if receivable is None or revenue is None or days is None:
        dso = Metric(None, "receivable, revenue or the quarter's days not found")
    else:
        dso = dso_simple(receivable, revenue, days)
    if receivable is None or opening is None or revenue is None or days is None:
        turnover = Metric(None, "opening or closing receivable or revenue not found")
    else:
        turnover = receivables_turnover(revenue, [opening, receivable], days)
    obligations = [values[name] for name in ("ai_cloud_commitments", "guarantees", "third_party_lease_commitments")]
    known = [amount for amount in obligations if amount is not None]
    return {
        "issuer_id": issuer_id,
        "fiscal_period_end": period_end,
        # The first word of filings errs at times (a 10-Q of a first quarter tagged Q2); a known calendar does not.
        "fiscal_label": f"Q{number} FY{year % 100:02d}" if year is not None else labels[0],
        "fiscal_year": year,
        "fiscal_quarter": number,
        "days_in_quarter": days,
        **values,
        "dso_days": dso.value,
        "dso_days_null_reason": dso.null_reason,
        "receivables_turnover": turnover.value,
        "receivables_turnover_null_reason": turnover.null_reason,
        "largest_receivable_customer_fraction": customers[0] if customers else None,
        "receivable_customers_of_ten_percent_fraction": math.fsum(customers) if customers else None,
        "commitments_and_guarantees_to_equity_fraction": float(sum(known, Decimal(0)) / equity)
        if known and equity
        else None,
    }
