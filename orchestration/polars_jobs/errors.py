"""Errors of the credit jobs: a bad input is refused, never clipped into range, and the refusal says whose figure it was.

Which ranges a formula has does not belong here; how a figure outside them is found and named does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

PROBABILITY = "must lie in [0, 1]"
NOT_NEGATIVE = "must be a number, not negative"
LARGEST = float(np.finfo(np.float64).max)
SMALLEST = float(np.nextafter(0.0, 1.0))
BELOW_ONE = float(np.nextafter(1.0, 0.0))
ABOVE_MINUS_ONE = float(np.nextafter(-1.0, 0.0))


class CreditInputError(ValueError):
    """A probability outside [0, 1], weights that do not sum to 1, a falling cumulative default probability, a rating
    without a table, and the like.

    ``obligor``: the obligor's name, or its position (from 0) where the caller gave no names; None where the input is
    nobody's own. ``field``: what was wrong, ``value``: what it was; both None where the error is not about one figure.
    """

    def __init__(self, message: str, *, obligor: object = None, field: str | None = None, value: object = None) -> None:
        """Keep the parts beside the message, so that a caller can act on them."""
        super().__init__(message)
        self.obligor, self.field, self.value = obligor, field, value


def wrong(field: str, value: object, rule: str, obligor: object = None) -> CreditInputError:
    """The error "obligor O: FIELD is VALUE; RULE", to be raised by who calls."""
    shown = value.item() if isinstance(value, np.generic) else value
    who = "" if obligor is None else f"obligor {obligor}: "
    return CreditInputError(f"{who}{field} is {shown!r}; {rule}", obligor=obligor, field=field, value=shown)


def as_numbers(values: npt.ArrayLike, field: str) -> Array:
    """The values as an array of floats; :class:`CreditInputError` naming the field where they are none. None is NaN."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise wrong(field, values, "must be a number") from error


def check_count(value: float, field: str, *, low: int = 0) -> int:
    """A whole number of at least ``low``; else :class:`CreditInputError` naming it."""
    number = check_number(value, field, low=float(low), rule=f"must be a whole number of at least {low}")
    if number != int(number):
        raise wrong(field, value, f"must be a whole number of at least {low}")
    return int(number)


def check_between(
    values: npt.ArrayLike,
    field: str,
    *,
    low: float,
    high: float,
    rule: str,
    obligors: Sequence[object] | None = None,
    axis: int | None = None,
) -> Array:
    """The values as an array, if each is a number from ``low`` to ``high``; else :class:`CreditInputError` naming the
    first that is not.

    ``axis``: the axis along which obligors stand (None: the input is nobody's own); ``obligors``: their names in that
    order, positions without. An axis of length 1 is shared by all obligors and names none.
    """
    array = as_numbers(values, field)
    # The extremes are NaN where any value is, and no comparison with NaN holds.
    if array.size == 0 or (array.min() >= low and array.max() <= high):
        return array
    place = tuple(int(index) for index in np.argwhere(~((array >= low) & (array <= high)))[0])
    raise wrong(field, array[place], rule, _obligor(array, place, obligors, axis))


def check_number(
    value: float,
    field: str,
    *,
    low: float = -LARGEST,
    high: float = LARGEST,
    rule: str = "must be a number",
    obligor: object = None,
) -> float:
    """One value as a float, if it is a number from ``low`` to ``high`` (any finite one unless given); else
    :class:`CreditInputError` naming it.
    """
    # Most are: no array need be made of them. NaN is between no two numbers.
    if isinstance(value, int | float) and low <= value <= high:
        return float(value)
    names = None if obligor is None else [obligor]
    return float(check_between(value, field, low=low, high=high, rule=rule, obligors=names))


def check_rising(
    cumulative: Array, field: str, *, obligors: Sequence[object] | None = None, axis: int | None = None
) -> Array:
    """The cumulative values themselves, if they never fall along the last axis; else :class:`CreditInputError` naming
    the first that does.
    """
    falls = np.diff(cumulative, axis=-1) < 0
    if falls.any():
        *before, step = (int(index) for index in np.argwhere(falls)[0])
        place = (*before, step + 1)
        raise wrong(
            field,
            cumulative[place],
            f"it falls from {float(cumulative[(*before, step)])!r} and must not",
            _obligor(cumulative, place, obligors, axis),
        )
    return cumulative


def _obligor(array: Array, place: tuple[int, ...], obligors: Sequence[object] | None, axis: int | None) -> object:
    if axis is None or array.ndim < abs(axis) or array.shape[axis] == 1:
        return obligors[0] if obligors is not None and len(obligors) == 1 else None
    position = place[axis]
    return position if obligors is None else obligors[position]
