"""Amortised cost of an instrument under the effective interest method (IFRS 9 5.4.1; ASC 310-20-35).

Interest is the effective rate on the carrying amount over actual days; the rate is fixed at first recognition. Credit
loss on the carrying amount belongs in lifetime_ecl, which takes the carrying amounts as exposures.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl
import pyxirr

from orchestration.polars_jobs.day_count import DayCount, rate_of_period, year_fraction
from orchestration.polars_jobs.errors import ABOVE_MINUS_ONE, LARGEST, CreditInputError, check_between, check_number
from orchestration.polars_jobs.frames import make_frame

SCHEDULE_SCHEMA: dict[str, Any] = {
    "payment_date": pl.Date,
    "opening": pl.Float64,
    "interest": pl.Float64,
    "payment": pl.Float64,
    "carrying": pl.Float64,
}


def effective_interest_rate(dates: Sequence[date], amounts: Sequence[float]) -> float:
    """Effective annual rate of dated cash flows, ACT/365F (XIRR). Raises :class:`CreditInputError` where there is
    none (flows of one sign).
    """
    _check_flows(dates, amounts)
    try:
        rate = pyxirr.xirr(list(dates), list(amounts))
    except pyxirr.InvalidPaymentsError as error:
        raise CreditInputError(f"no effective interest rate: {error}", field="cash flow") from error
    if rate is None:
        raise CreditInputError("no effective interest rate solves these cash flows")
    return float(rate)


def dated_present_value(rate: float, dates: Sequence[date], amounts: Sequence[float]) -> float:
    """Present value of dated flows at the first date, effective annual ``rate``, ACT/365F (XNPV)."""
    check_number(rate, "effective interest rate", low=ABOVE_MINUS_ONE, rule="must be a number above −1 (−100 %)")
    _check_flows(dates, amounts)
    found = pyxirr.xnpv(rate, list(dates), list(amounts))
    if found is None:
        raise CreditInputError("these cash flows have no present value")
    return float(found)


def _check_flows(dates: Sequence[date], amounts: Sequence[float]) -> None:
    if len(dates) != len(amounts):
        raise CreditInputError("each cash flow needs its date", field="cash flow")
    check_between(amounts, "cash flow", low=-LARGEST, high=LARGEST, rule="must be a number")


def amortised_cost(
    first_date: date,
    initial_amount: float,
    dates: Sequence[date],
    payments: Sequence[float],
    *,
    eir: float | None = None,
    convention: DayCount = "ACT/365F",
) -> pl.DataFrame:
    """The schedule of an instrument: one row per payment date, carrying = opening + interest − payment, unrounded.

    ``initial_amount``: carrying amount on ``first_date`` (fees and costs included), positive is an asset. ``payments``
    received on ``dates``, ascending, after the first. Without ``eir`` the effective rate is solved from the flows and
    the last carrying amount is zero. Raises :class:`CreditInputError` for dates out of order or flows without a rate.
    """
    if len(dates) != len(payments) or any(b <= a for a, b in zip([first_date, *dates], dates, strict=False)):
        raise CreditInputError("each payment needs a date, in ascending order after the first", field="payment date")
    check_number(initial_amount, "initial amount")
    check_between(payments, "payment", low=-LARGEST, high=LARGEST, rule="must be a number")
    rate = effective_interest_rate([first_date, *dates], [-initial_amount, *payments]) if eir is None else eir
    rows: list[dict[str, Any]] = []
    before, carrying = first_date, initial_amount
    for day, payment in zip(dates, payments, strict=True):
        interest = carrying * rate_of_period(rate, year_fraction(before, day, convention))
        rows.append(
            {
                "payment_date": day,
                "opening": carrying,
                "interest": interest,
                "payment": payment,
                "carrying": carrying + interest - payment,
            }
        )
        before, carrying = day, carrying + interest - payment
    return make_frame(rows, SCHEDULE_SCHEMA)
