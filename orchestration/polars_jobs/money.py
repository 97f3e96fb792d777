"""Money: the one rounding rule and the one way to split an amount into parts that sum to it.

Posted amounts are ``Decimal(18, 2)`` (or the currency's own minor unit), prices and rates ``Decimal(18, 9)``.
Rounding is half away from zero and happens once, on the total; Polars' and Python's own default is half to even, so
nobody calls ``round`` directly. What does not belong here: any rule about which amount is to be rounded.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from functools import cache
from typing import TypeVar

import polars as pl

from orchestration.polars_jobs.errors import wrong

MONEY = pl.Decimal(18, 2)
RATE = pl.Decimal(18, 9)
CENT = Decimal("0.01")
ZERO = Decimal("0.00")
# Wide enough that no amount is cut before it is rounded.
_WIDE = Context(prec=60)

K = TypeVar("K", bound=Hashable)


def exact(value: Decimal | Fraction | float, field: str = "amount", obligor: object = None) -> Fraction:
    """Any number as the exact fraction that its text names: a float is the shortest decimal that gives it back, so that
    0.003 is three thousandths. Raises :class:`CreditInputError` naming ``field`` for NaN, infinities and what is no
    number.
    """
    try:
        if isinstance(value, float):
            return Fraction(repr(float(value)))
        return Fraction(value)
    except (ValueError, OverflowError, TypeError) as error:
        raise wrong(field, value, "must be a number", obligor) from error


@cache
def minor_unit(digits: int) -> Decimal:
    """The smallest amount of a currency with ``digits`` minor-unit digits (ISO 4217): 2 → 0.01, 0 → 1."""
    return Decimal(1).scaleb(-digits)


def round_money(amount: Decimal | Fraction | int, digits: int = 2) -> Decimal:
    """Round one exact amount half away from zero to ``digits`` minor-unit digits; the sign is kept.

    Floats are refused: an estimate in binary floats goes through :func:`money_from_estimate`, so that the place where
    it becomes money is named.
    """
    if isinstance(amount, Decimal):
        # Decimal's ROUND_HALF_UP takes ties away from zero for both signs.
        return amount.quantize(minor_unit(digits), rounding=ROUND_HALF_UP, context=_WIDE)
    if isinstance(amount, float):
        raise TypeError("round_money takes exact amounts; an estimate in floats becomes money in money_from_estimate")
    scaled = abs(Fraction(amount)) * 10**digits
    whole = math.floor(scaled + Fraction(1, 2))
    return Decimal(whole if amount >= 0 else -whole).scaleb(-digits)


def money_from_estimate(value: float, digits: int = 2) -> Decimal:
    """Turn an estimate (present value, expected loss) into money: the shortest decimal that names the float, rounded
    half away from zero.

    Raises ``ValueError`` for NaN and infinities: a loss that cannot be computed is null with a reason, never a number.
    """
    if not math.isfinite(value):
        raise ValueError(f"not an amount: {value!r}")
    return round_money(Decimal(repr(float(value))), digits)


def round_money_expr(expr: pl.Expr, digits: int = 2) -> pl.Expr:
    """The same rule for a Decimal or integer column: half away from zero, result ``Decimal(18, digits)``. Null stays
    null.
    """
    return expr.round(digits, mode="half_away_from_zero").cast(pl.Decimal(18, digits))


def largest_remainder(
    total: Decimal, weights: Mapping[K, Decimal | Fraction | int], digits: int = 2
) -> dict[K, Decimal]:
    """Split a rounded ``total`` in proportion to ``weights`` so that the parts sum to it exactly (CREDIT.md 3.6).

    Each part is floored to the minor unit; the units left over go one each to the largest fractions, ties by key.
    100.00 over three equal weights gives 33.34, 33.33, 33.33. Weights may have either sign; weights of zero get
    nothing.

    Raises ``ValueError`` if the total is not a whole number of minor units, or the weights sum to zero while the
    total does not.
    """
    unit = minor_unit(digits)
    units_total = total / unit
    if units_total != units_total.to_integral_value():
        raise ValueError(f"total {total} is no whole number of {unit}")
    exact = {key: Fraction(weight) for key, weight in weights.items()}
    weight_sum = sum(exact.values(), Fraction(0))
    if weight_sum == 0:
        if total == 0:
            return {key: Decimal(0).scaleb(-digits) for key in exact}
        raise ValueError("weights sum to zero: nothing to split in proportion to")
    live = {key: weight for key, weight in exact.items() if weight != 0}
    shares = {key: Fraction(int(units_total)) * weight / weight_sum for key, weight in live.items()}
    floors = {key: math.floor(share) for key, share in shares.items()}
    left = int(units_total) - sum(floors.values())
    order = sorted(live, key=lambda key: (-(shares[key] - floors[key]), str(key)))
    for key in order[:left]:
        floors[key] += 1
    return {key: Decimal(floors.get(key, 0)).scaleb(-digits) for key in exact}


def apportion(total: Decimal, weights: Sequence[float], digits: int = 2) -> list[Decimal]:
    """Largest remainder for weights that are estimates (floats): the parts, in the order of ``weights``; ties by
    position.
    """
    parts = largest_remainder(total, {f"{i:09d}": Fraction(w) for i, w in enumerate(weights)}, digits)
    return [parts[f"{i:09d}"] for i in range(len(weights))]


def foot(parts: Iterable[Decimal]) -> Decimal:
    """The exact sum of amounts, with two digits even when there are none."""
    return sum(parts, ZERO)


def fx_remeasurement(
    amount: Decimal | Fraction | float,
    booked_rate: Decimal | Fraction | float,
    current_rate: Decimal | Fraction | float,
    digits: int = 2,
) -> Decimal:
    """Gain (positive) or loss of a monetary foreign-currency balance when its rate moves (ASC 830-20-35-1).

    ``amount`` in foreign currency, rates in functional currency per unit. EUR 2,000 booked at 1.40 and collected at
    1.45 is a gain of 100 (ORACLES.md, O21). Both translations are rounded before the difference, because both stand
    in the books. Raises :class:`CreditInputError` for a rate that is not positive.
    """
    foreign, rates = exact(amount), [exact(rate, "exchange rate") for rate in (booked_rate, current_rate)]
    for rate in rates:
        if rate <= 0:
            raise wrong("exchange rate", float(rate), "must be positive")
    booked, current = (round_money(foreign * rate, digits) for rate in rates)
    return current - booked


def floor_to_unit(amount: Decimal, digits: int = 2) -> Decimal:
    """Cut an amount down (towards minus infinity) to the minor unit: for caps, which a total must never exceed."""
    return amount.quantize(minor_unit(digits), rounding=ROUND_FLOOR)
