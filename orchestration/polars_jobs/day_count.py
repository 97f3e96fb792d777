"""Fractions of a year between two dates under the day counts that contracts name; effective rates over parts of a year.

A day count is a term of its contract: nothing here chooses one. CREDIT.md, 4.1: from 1 November 2023 to 1 May 2024 it is
0.5, 0.505556, 0.498630 or 0.497724 of a year.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from datetime import date
from typing import Literal, TypeAlias

from orchestration.polars_jobs.errors import ABOVE_MINUS_ONE, check_number, wrong

DayCount: TypeAlias = Literal["30/360", "30E/360", "ACT/360", "ACT/365F", "ACT/ACT ISDA"]


def year_fraction(start: date, end: date, convention: DayCount) -> float:
    """Years from ``start`` to ``end`` (ISDA 2006, section 4.16); negative where ``end`` lies before. 30/360 is the
    American bond basis with its rule for the ends of February, 30E/360 the European one. Raises
    :class:`CreditInputError` for any other name.
    """
    if end < start:
        return -year_fraction(end, start, convention)
    match convention:
        case "ACT/360":
            return (end - start).days / 360.0
        case "ACT/365F":
            return (end - start).days / 365.0
        case "ACT/ACT ISDA":
            return _actual_actual(start, end)
        case "30/360" | "30E/360":
            return _thirty(start, end, european=convention == "30E/360") / 360.0
    raise wrong("day count", convention, "is none of 30/360, 30E/360, ACT/360, ACT/365F, ACT/ACT ISDA")


def _actual_actual(start: date, end: date) -> float:
    total = 0.0
    for year in range(start.year, end.year + 1):
        first, last = max(start, date(year, 1, 1)), min(end, date(year + 1, 1, 1))
        total += (last - first).days / (366.0 if isleap(year) else 365.0)
    return total


def _thirty(start: date, end: date, *, european: bool) -> int:
    first, last = start.day, end.day
    if european:
        first, last = min(first, 30), min(last, 30)
    else:
        if _ends_february(start):
            last = 30 if _ends_february(end) else last
            first = 30
        if last == 31 and first >= 30:
            last = 30
        first = min(first, 30)
    return 360 * (end.year - start.year) + 30 * (end.month - start.month) + last - first


def _ends_february(day: date) -> bool:
    return day.month == 2 and day.day == monthrange(day.year, 2)[1]


def rate_of_period(effective_rate: float, years: float) -> float:
    """Effective rate over a part of a year, (1 + EIR)^years − 1: never the rate ÷ periods, never the annual rate per
    quarter (CREDIT.md, 4.3).
    """
    rule = "must be a number above −1 (−100 %)"
    check_number(effective_rate, "effective interest rate", low=ABOVE_MINUS_ONE, rule=rule)
    check_number(years, "time in years")
    return float((1.0 + effective_rate) ** years) - 1.0
