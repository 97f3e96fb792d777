"""Receivable and allowance in the vendor's own currency: remeasured at each close, exchange a line of its own.

Both are monetary items: they stand at the closing rate, the same for both, and the gain or loss is income, no provision
(ASC 830-20-35-1; CREDIT.md, pitfalls 11 and 12). What moved in the month is taken at the mean of the month's rates. The
books themselves are in the contract's currency and not in here.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import polars as pl

from orchestration.polars_jobs.errors import wrong
from orchestration.polars_jobs.frames import make_frame, month_end
from orchestration.polars_jobs.money import MONEY, RATE, ZERO, exact, round_money

FUNCTIONAL_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "balance": pl.String,
    "currency_code": pl.String,
    "functional_currency_code": pl.String,
    "closing_foreign_amount": MONEY,
    "closing_functional_per_unit": RATE,
    "mean_functional_per_unit": RATE,
    "opening_amount": MONEY,
    "movement_amount": MONEY,
    "fx_amount": MONEY,
    "closing_amount": MONEY,
    "null_reason": pl.String,
}

# Market prices of GPU-hours are quoted in it (raw.gpu_price_index).
INDEX_CURRENCY = "USD"
# A rate older than this at the month's end is none (READINGS.md, 12).
OLDEST_RATE = timedelta(days=7)


class MonthRates(NamedTuple):
    """Functional currency per unit: at the month's end, and the mean of the month's days."""

    closing: Fraction
    mean: Fraction


def month_rates(rates: pl.DataFrame | None, foreign: str, functional: str, month: date) -> MonthRates | None:
    """The rates of a pair for one month from ``raw.fx_rate`` (rate_date, from_currency, to_currency, rate), the pair as
    quoted, else 1 ÷ each day's rate, else through a third currency on the days that have both; None where none lies
    within seven days of the month's end, or none in the month. Raises :class:`CreditInputError` for a rate that is no positive number.
    """
    if foreign == functional:
        return MonthRates(Fraction(1), Fraction(1))
    if rates is None:
        return None
    days = _rates_until(rates, foreign, functional, month_end(month))
    if not days:
        return None
    own = [rate for day, rate in days.items() if day >= month]
    if not own or month_end(month) - max(days) > OLDEST_RATE:
        return None
    return MonthRates(days[max(days)], sum(own, Fraction(0)) / len(own))


def last_rate(rates: pl.DataFrame | None, foreign: str, functional: str, day: date) -> Fraction | None:
    """The last rate of a pair on or before a day, of any age, found as :func:`month_rates` finds them; None where there is
    none. For estimates of what lies ahead: the books ask for rates of their month.
    """
    if foreign == functional:
        return Fraction(1)
    days = {} if rates is None else _rates_until(rates, foreign, functional, day)
    return days[max(days)] if days else None


def no_rate(foreign: str, into: str, day: date) -> str:
    """What is said where there is no rate of a pair on or before a day: what is missing, and the line that mends it."""
    return (
        f"there is no rate into {into} on or before {day}: add a line to reference/fx.csv, "
        f"{day},{foreign},{into},RATE,SOURCE, or rates of both against a third currency, and run again"
    )


def _rates_until(rates: pl.DataFrame, foreign: str, functional: str, day: date) -> dict[date, Fraction]:
    known = rates.filter(pl.col("rate_date") <= day)
    return _daily_rates(known, foreign, functional) or _crossed_rates(known, foreign, functional)


def _daily_rates(rates: pl.DataFrame, foreign: str, functional: str) -> dict[date, Fraction]:
    quoted = rates.filter((pl.col("from_currency") == foreign) & (pl.col("to_currency") == functional))
    inverse = quoted.is_empty()
    if inverse:
        quoted = rates.filter((pl.col("from_currency") == functional) & (pl.col("to_currency") == foreign))
    return {
        day: _positive(rate, foreign, inverse=inverse) for day, rate in quoted.select("rate_date", "rate").iter_rows()
    }


def _crossed_rates(rates: pl.DataFrame, foreign: str, functional: str) -> dict[date, Fraction]:
    """Through the first third currency, the euro before others, that has rates of both; its days are those with both."""
    currencies = set(rates["from_currency"]) | set(rates["to_currency"])
    for third in sorted(currencies - {foreign, functional}, key=lambda code: (code != "EUR", code)):
        into, out = _daily_rates(rates, foreign, third), _daily_rates(rates, third, functional)
        crossed = {day: into[day] * out[day] for day in into.keys() & out.keys()}
        if crossed:
            return crossed
    return {}


def _positive(rate: Decimal | float, currency: str, *, inverse: bool) -> Fraction:
    found = exact(rate, f"exchange rate of {currency}")
    if found <= 0:
        raise wrong(f"exchange rate of {currency}", float(found), "must be positive")
    return 1 / found if inverse else found


def functional_rollforward(
    receivable: pl.DataFrame, allowance: pl.DataFrame, rates: pl.DataFrame | None, functional_currency: str
) -> pl.DataFrame:
    """``credit.fct_functional_rollforward_month``: one row per contract, month and balance (receivable, allowance);
    closing = opening + movement + fx, to the cent.

    ``receivable``: ``credit.fct_receivable_rollforward_month``; ``allowance``:
    ``credit.fct_allowance_rollforward_month``, of which the posted standard counts. Both positive. A contract in the
    functional currency has rates of 1 and no exchange; where a month has no rate its amounts are null with the reason.
    """
    columns = ["contract_id", "month", "currency_code", "closing_amount"]
    balances = {
        "receivable": receivable.select(columns),
        "allowance": allowance.filter(pl.col("posted")).select(columns),
    }
    found: dict[tuple[str, date], MonthRates | None] = {}
    rows: list[dict[str, Any]] = []
    for balance, table in balances.items():
        before: dict[str, tuple[Decimal, Decimal | None]] = {}
        for contract_id, month, currency, closing in table.sort("contract_id", "month").iter_rows():
            if (currency, month) not in found:
                found[currency, month] = month_rates(rates, currency, functional_currency, month)
            own = found[currency, month]
            foreign_opening, opening = before.get(contract_id, (ZERO, ZERO))
            row = {
                "contract_id": contract_id,
                "month": month,
                "balance": balance,
                "currency_code": currency,
                "functional_currency_code": functional_currency,
                "closing_foreign_amount": closing,
                "opening_amount": opening,
            }
            translated = None
            if own is None:
                row["null_reason"] = f"no rate of {currency} in {functional_currency} for the month"
            else:
                translated = round_money(exact(closing) * own.closing)
                movement = round_money(exact(closing - foreign_opening) * own.mean)
                row |= {"movement_amount": movement, "closing_amount": translated} | {
                    name: round_money(rate, 9)
                    for name, rate in (
                        ("closing_functional_per_unit", own.closing),
                        ("mean_functional_per_unit", own.mean),
                    )
                }
                if opening is not None:
                    row["fx_amount"] = translated - opening - movement
                else:
                    row["null_reason"] = "no rate for the month before"
            rows.append(row)
            before[contract_id] = closing, translated
    whole = [{name: row.get(name) for name in FUNCTIONAL_SCHEMA} for row in rows]
    return make_frame(whole, FUNCTIONAL_SCHEMA, ["contract_id", "month", "balance"])
