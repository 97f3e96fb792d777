"""What the sections of the monitor look at: the tables given, the month in question, names and evidence grades.

Pure look-ups. A table or column that is not there raises `CannotCompute` with the reason that the page then shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.publishing.formats import as_date, as_instant, clean, short_month_text, to_decimal

# From best to weakest; a grade not listed here is taken as weaker than all of them.
GRADES = {
    "P": "filed or quoted by a party",
    "S1": "press, analyst or summary of a filing",
    "V": "data vendor's statement of a filing",
    "I": "inferred from other figures",
    "S2": "aggregator",
    "assumed": "assumed here: not public",
}
NO_CONTRACT = "there is no contract here"
# Stresses and comparisons start from the book as it stands at the snapshot's clock, and have no row of an earlier month.
FROM_THE_LAST_MONTH = ("credit.fct_stress_result", "credit.fct_reverse_stress", "credit.fct_deal_comparison")
CHART_MONTHS = 24
TABLE_MONTHS = 13


class CannotCompute(Exception):  # noqa: N818  the name is what the page says
    """A block cannot be computed from the tables given; the message is the reason shown."""


@dataclass(frozen=True)
class View:
    """The tables by "<schema>.<table>", the manifest, and the clock that both were made under.

    as_of: last day seen; month: its first day; known_at: knowledge time of the snapshot (UTC), None where not stated.
    """

    tables: Mapping[str, pl.DataFrame]
    manifest: Mapping[str, Any]
    as_of: date
    known_at: datetime | None

    @property
    def month(self) -> date:
        """First day of the as-of month."""
        return self.as_of.replace(day=1)


def make_view(tables: Mapping[str, pl.DataFrame], manifest: Mapping[str, Any]) -> View:
    """The view of a snapshot. as-of comes from the manifest, else from quality.fct_run, else from the last share month.

    Raises CannotCompute when none of them gives a date: figures without a date are no figures.
    """
    as_of = as_date(manifest.get("as_of") or manifest.get("as_of_date"))
    runs = tables.get("quality.fct_run")
    if as_of is None and runs is not None and "as_of" in runs.columns and not runs.is_empty():
        as_of = as_date(runs["as_of"].drop_nulls().max())
    if as_of is None:
        as_of = _last_month(tables)
    if as_of is None:
        raise CannotCompute("neither the manifest nor any table gives an as-of date")
    known = manifest.get("known_at") or manifest.get("clock_at")
    return View(tables, manifest, as_of, as_instant(known))


def _last_month(tables: Mapping[str, pl.DataFrame]) -> date | None:
    found = []
    for frame in tables.values():
        for column in ("service_month", "month", "as_of_month", "posting_month"):
            if column in frame.columns and frame.schema[column] == pl.Date and frame[column].max() is not None:
                found.append(as_date(frame[column].max()))  # noqa: PERF401  two loops and a condition read better so
    return max((day for day in found if day is not None), default=None)


def need(view: View, name: str, *columns: str) -> pl.DataFrame:
    """The table `name`, with at least one row and these columns; raises CannotCompute saying what is missing."""
    frame = view.tables.get(name)
    if frame is None:
        raise CannotCompute(NO_CONTRACT if _needs_contract(view, name) else f"table {name} is not in this snapshot")
    lacking = [column for column in columns if column not in frame.columns]
    if lacking:
        raise CannotCompute(f"table {name} has no column {', '.join(lacking)}")
    if frame.is_empty():
        raise CannotCompute(NO_CONTRACT if _needs_contract(view, name) else f"table {name} has no rows")
    return frame


def _needs_contract(view: View, name: str) -> bool:
    """Whether the table has nothing to say because the home has no contract: then nothing is wrong with it."""
    known = view.tables.get("core.dim_contract")
    of_contracts = name.startswith(("revenue_share.", "backstop.", "ledger.", "credit.")) or name in {
        "core.fct_contract_terms",
        "core.dim_contract",
    }
    return of_contracts and known is not None and known.is_empty()


def optional(view: View, name: str, *columns: str) -> pl.DataFrame | None:
    """The table, or None where `need` would raise."""
    try:
        return need(view, name, *columns)
    except CannotCompute:
        return None


def pick(frame: pl.DataFrame, name: str, *candidates: str) -> str:
    """The first of the candidate columns that the frame has; raises CannotCompute naming the table otherwise."""
    for column in candidates:
        if column in frame.columns:
            return column
    raise CannotCompute(f"table {name} has no column {candidates[0]}")


def upto(view: View, frame: pl.DataFrame, column: str, name: str) -> pl.DataFrame:
    """Rows up to the as-of month; raises CannotCompute when there are none."""
    kept = frame.filter(pl.col(column) <= view.month)
    if kept.is_empty() and name in FROM_THE_LAST_MONTH:
        raise CannotCompute(
            f"table {name} starts from the book of {short_month_text(frame[column].max())} alone; "
            f"parkledger report --as-of {view.as_of} --known-at {view.as_of} computes it from that of then"
        )
    if kept.is_empty():
        raise CannotCompute(f"table {name} has no rows up to {short_month_text(view.month)}")
    return kept


def months_of(frame: pl.DataFrame, column: str) -> list[date]:
    """The frame's months in order."""
    return list(frame[column].drop_nulls().unique().sort())


def last_months(frame: pl.DataFrame, column: str, count: int) -> pl.DataFrame:
    """Rows of the last `count` months that the frame has."""
    return frame.filter(pl.col(column).is_in(months_of(frame, column)[-count:]))


def latest(frame: pl.DataFrame, column: str) -> tuple[date, pl.DataFrame]:
    """The last month of the frame and its rows."""
    month = months_of(frame, column)[-1]
    return month, frame.filter(pl.col(column) == month)


def total(values: Iterable[Any]) -> Decimal:
    """The exact sum of the values that are there."""
    return sum((exact for value in values if (exact := to_decimal(value)) is not None), Decimal(0))


def ratio(part: Any, whole: Any) -> Decimal | None:
    """Part / whole; None where either is missing or the whole is zero."""
    above, below = to_decimal(part), to_decimal(whole)
    return None if above is None or not below else above / below


def with_currency(view: View, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with `currency_code`: its own, else its contract's, else empty text."""
    if "currency_code" in frame.columns:
        return frame.with_columns(pl.col("currency_code").fill_null("").cast(pl.String))
    known = optional(view, "core.dim_contract", "contract_id", "currency_code")
    if known is None or "contract_id" not in frame.columns:
        return frame.with_columns(currency_code=pl.lit(""))
    codes = known.select("contract_id", "currency_code").unique("contract_id", keep="first", maintain_order=True)
    return frame.join(codes, on="contract_id", how="left", maintain_order="left").with_columns(
        pl.col("currency_code").fill_null("").cast(pl.String)
    )


def currencies(view: View, frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """(currency, rows) for each currency in the frame: amounts of two currencies are never added."""
    told = with_currency(view, frame)
    for code in told["currency_code"].unique().sort():
        yield clean(code), told.filter(pl.col("currency_code") == code)


def contracts(view: View, *columns: str) -> pl.DataFrame | None:
    """The contracts in the books, deals for comparison left out; None without core.dim_contract or a column of it."""
    frame = optional(view, "core.dim_contract", "contract_id", *columns)
    if frame is None or "is_booked" not in frame.columns:
        return frame
    return frame.filter(pl.col("is_booked").fill_null(value=True))


def contract_parks(view: View) -> dict[str, str]:
    """Park name (or id) by contract id."""
    booked = contracts(view, "park_id")
    if booked is None:
        return {}
    names = park_names(view)
    return {row["contract_id"]: names.get(row["park_id"], clean(row["park_id"])) for row in booked.to_dicts()}


def park_names(view: View) -> dict[str, str]:
    """Park name by park id."""
    parks = optional(view, "core.dim_park", "park_id", "park_name")
    if parks is None:
        return {}
    return {row["park_id"]: clean(row["park_name"] or row["park_id"]) for row in parks.to_dicts()}


def vendor_text(view: View) -> str:
    """Who is owed and who guarantees: the vendors' names, their ids in capitals where no name is published."""
    booked = contracts(view, "vendor_id")
    if booked is None:
        return "the vendor"
    named = optional(view, "core.dim_vendor", "vendor_id", "vendor_name")
    names = {row["vendor_id"]: row["vendor_name"] for row in named.to_dicts()} if named is not None else {}
    vendors = [names.get(one) or clean(one).upper() for one in booked["vendor_id"].drop_nulls().unique().sort()]
    return clean(vendors[0]) if len(vendors) == 1 else "the vendors"


# Tables that speak of no contract, park or operator and may stand in a sheet about one of them.
_ABOUT_ALL = (
    "core.dim_vendor",
    "core.dim_vendor_calendar",
    "core.dim_calendar",
    "monitor.dim_metric",
    "quality.fct_check_result",
)


def narrow(view: View, contract_ids: Iterable[str], park_ids: Iterable[str], operator_ids: Iterable[str]) -> View:
    """The view of some contracts, parks and operators: rows about others are gone, and with them tables that only speak
    of the programme as a whole.
    """
    kept_by = {
        "contract_id": sorted(contract_ids),
        "park_id": sorted(park_ids),
        "operator_id": sorted(operator_ids),
    }
    ids = [one for known in kept_by.values() for one in known]
    tables = {}
    for name, frame in view.tables.items():
        columns = [column for column in kept_by if column in frame.columns]
        if {"entity_level", "entity_id"} <= set(frame.columns):
            kept = pl.col("entity_level").is_in(["contract", "park"]) & pl.col("entity_id").is_in(ids)
            tables[name] = frame.filter(kept)
        elif columns:
            tables[name] = frame.filter(pl.col(columns[0]).is_in(kept_by[columns[0]]))
        elif name in _ABOUT_ALL or name.startswith("issuer."):
            tables[name] = frame
    return View(tables, view.manifest, view.as_of, view.known_at)


@dataclass(frozen=True)
class Evidence:
    """The weakest grade among the terms behind a figure, and which terms have it."""

    grade: str
    terms: tuple[str, ...]


def grade_rank(grade: str) -> int:
    """0 is best; unknown grades come last, as weak as can be."""
    order = list(GRADES)
    return order.index(grade) if grade in order else len(order)


def terms_in_force(view: View) -> pl.DataFrame:
    """Terms valid on the as-of day; raises CannotCompute without core.fct_contract_terms."""
    name = "core.fct_contract_terms"
    frame = need(view, name, "contract_id", "instrument", "term", "valid_from", "value_text", "evidence_grade")
    kept = frame.filter(pl.col("valid_from") <= view.as_of)
    if "valid_to" in frame.columns:
        # The last day is still in force (READINGS: from and to of dates are both inclusive).
        kept = kept.filter(pl.col("valid_to").is_null() | (pl.col("valid_to") >= view.as_of))
    # Identifiers name things and carry no evidence; compared deals are no contracts of this book.
    kept = kept.filter(~(pl.col("evidence_grade").is_null() & pl.col("term").str.ends_with("_id")))
    booked = contracts(view)
    if booked is not None:
        kept = kept.filter(pl.col("contract_id").is_in(booked["contract_id"].to_list()))
    if kept.is_empty():
        raise CannotCompute(f"table {name} has no terms in force on {view.as_of.isoformat()}")
    return kept.sort("contract_id", "instrument", "term", "valid_from")


def evidence(view: View, instrument: str, pattern: str, contract_id: str | None = None) -> Evidence | None:
    """The weakest grade of the instrument's terms whose name matches the pattern, and those terms by their first word.

    None where no such term is published. A term without a grade counts as "ungraded", weaker than assumed: nothing may
    pass as known by omission.
    """
    try:
        terms = terms_in_force(view)
    except CannotCompute:
        return None
    kept = [
        row
        for row in terms.to_dicts()
        if str(row["instrument"]).startswith(instrument)
        and re.search(pattern, str(row["term"]))
        and (contract_id is None or row["contract_id"] == contract_id)
    ]
    if not kept:
        return None
    graded = [(clean(row["evidence_grade"] or "ungraded"), clean(str(row["term"]).split(".")[0])) for row in kept]
    weakest = max((grade for grade, _ in graded), key=grade_rank)
    return Evidence(weakest, tuple(dict.fromkeys(term for grade, term in graded if grade == weakest)))


def provisional(view: View, contract_id: str, month: date) -> bool | None:
    """Whether the month is still open for this contract; None where ledger.fct_period_close is not published."""
    closes = optional(view, "ledger.fct_period_close", "contract_id", "posting_month")
    if closes is None:
        return None
    if "is_provisional" in closes.columns:
        closes = closes.filter(~pl.col("is_provisional").fill_null(value=False))
    return closes.filter((pl.col("contract_id") == contract_id) & (pl.col("posting_month") == month)).is_empty()


@dataclass(frozen=True)
class Restated:
    """What became known of a closed month after its close: an amount as closed, and its change posted later."""

    contract_id: str
    service_month: date
    event: str
    posting_month: date
    before: Decimal
    change: Decimal
    currency: str


# The account whose movement is the amount of an event, and the sign that makes it positive.
_RESTATED_BY = {"accrue_share": ("share_revenue", -1), "accrue_claim": ("backstop_cost", 1)}


def restated(view: View) -> list[Restated]:
    """Shares and claims of closed months that later postings corrected, by posting month up to the as-of month.

    ``before`` is what stood for the service month before the correction was posted. Empty where no line corrects another.
    """
    lines = optional(
        view, "ledger.fct_journal_lines", "contract_id", "service_month", "posting_month", "corrects_entry_id", "amount"
    )
    if lines is None or not {"event", "account", "currency_code"} <= set(lines.columns):
        return []
    found = []
    for event, (account, sign) in _RESTATED_BY.items():
        mine = lines.filter(
            (pl.col("event") == event) & (pl.col("account") == account) & (pl.col("posting_month") <= view.month)
        )
        corrected = mine.filter(pl.col("corrects_entry_id").is_not_null())
        keys = ("contract_id", "service_month", "posting_month", "currency_code")
        for contract, month, posted, currency in corrected.select(keys).unique().sort(keys).iter_rows():
            of = mine.filter((pl.col("contract_id") == contract) & (pl.col("service_month") == month))
            before = total(of.filter(pl.col("posting_month") < posted)["amount"]) * sign
            later = of.filter((pl.col("posting_month") == posted) & pl.col("corrects_entry_id").is_not_null())
            change = total(later["amount"]) * sign
            if change:
                found.append(Restated(contract, month, event, posted, before, change, clean(currency)))
    return sorted(found, key=lambda one: (one.service_month, one.contract_id, one.event, one.posting_month))


def restated_months(view: View, event: str) -> set[tuple[str, date]]:
    """Contract and service month of every share or claim that a later posting changed."""
    return {(one.contract_id, one.service_month) for one in restated(view) if one.event == event}
