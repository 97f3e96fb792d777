"""Default curves: from cumulative rating tables (withdrawn ratings adjusted), from CDS spreads, from transition
matrices, or given; and the conditional probabilities of any periods out of them.

A curve is known at its horizons; between them the intensity is constant, beyond the last it stays. Falling tables,
rows that do not sum and spreads that no hazard can explain are errors (:class:`CreditInputError`), never clipped. What
a default costs does not belong here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import linalg, optimize

from orchestration.polars_jobs.errors import (
    BELOW_ONE,
    LARGEST,
    CreditInputError,
    as_numbers,
    check_between,
    check_count,
    check_number,
    check_rising,
    wrong,
)
from orchestration.polars_jobs.lifetime_ecl import check_probability, conditional_from_cumulative

Array: TypeAlias = npt.NDArray[np.float64]
ArrayLike: TypeAlias = npt.ArrayLike

# Published tables are rounded to a hundredth of a percent, so their rows sum to 99.98 to 100.01 (ORACLES.md, O13); half
# a unit more lets binary fractions of 99.98 pass.
PUBLISHED_ROW_TOLERANCE = 2.5e-4
PAYMENTS_PER_YEAR = 4
# Rows of a matrix that was adjusted sum to 1 up to the rounding of floats.
CHAIN_TOLERANCE = 1e-9
# No issuer trades at a hazard above this: 99.995 % in a year.
HIGHEST_HAZARD = 10.0


class DefaultCurve(NamedTuple):
    """``horizon_years`` (K,) ascending and ``cumulative_pd`` (K,) to each, of those whose rating was not withdrawn."""

    horizon_years: Array
    cumulative_pd: Array


def given_curve(horizon_years: ArrayLike, cumulative_pd: ArrayLike, obligor: object = None) -> DefaultCurve:
    """A curve from cumulative default probabilities as given; one node is enough. Horizons in years, positive and
    distinct; falling probabilities are an error.
    """
    years, order = _horizons(horizon_years, obligor)
    names = [obligor] * len(years) if obligor is not None else None
    field = "cumulative default probability"
    given = _one_each(cumulative_pd, field, order, obligor)
    cumulative = check_probability(given, field, obligors=names, axis=0)
    return DefaultCurve(years, check_rising(cumulative, field, obligors=names, axis=0))


def _one_each(values: ArrayLike, field: str, order: npt.NDArray[np.int64], obligor: object) -> Array:
    """The values in the order of their horizons, one for each."""
    array = as_numbers(values, field)
    if array.shape != order.shape:
        raise wrong(field, array.tolist(), f"one for each of {len(order)} horizons is needed", obligor)
    return array[order]


def _horizons(horizon_years: ArrayLike, obligor: object) -> tuple[Array, npt.NDArray[np.int64]]:
    years = as_numbers(horizon_years, "horizon in years")
    order = np.argsort(years)
    years = years[order]
    if not len(years):
        raise CreditInputError("a default curve needs at least one horizon", obligor=obligor, field="horizon_years")
    check_between(
        years,
        "horizon in years",
        low=np.nextafter(0.0, 1.0),
        high=LARGEST,
        rule="must be positive",
        obligors=None if obligor is None else [obligor] * len(years),
        axis=None if obligor is None else 0,
    )
    if (np.diff(years) == 0).any():
        raise wrong("horizon in years", float(years[1:][np.diff(years) == 0][0]), "comes twice", obligor)
    return years, order


def rating_curve(
    horizon_years: ArrayLike, cumulative_default_rate: ArrayLike, withdrawn_rate: ArrayLike, rating: object = None
) -> DefaultCurve:
    """Adjust a cumulative default table for withdrawn ratings.

    Per step, the hazard is new defaults ÷ (new defaults + those still rated at its end): who withdrew in between is
    neither. At the first horizon this is D/(1 − NR) (ORACLES.md, O13: single B 3.76 % with 12.06 % withdrawn is 4.276
    %). Falling tables are errors. ``rating`` is named in them.
    """
    years, order = _horizons(horizon_years, rating)
    field, names = "cumulative default rate", None if rating is None else [rating] * len(years)
    rates = _one_each(cumulative_default_rate, field, order, rating)
    defaulted = check_probability(rates, field, obligors=names, axis=0)
    withdrawn = _one_each(withdrawn_rate, "withdrawn rate", order, rating)
    gone = check_probability(withdrawn, "withdrawn rate", obligors=names, axis=0)
    if (np.diff(defaulted) < 0).any():
        place = int(np.argmax(np.diff(defaulted) < 0)) + 1
        raise wrong(field, float(defaulted[place]), f"it falls at {years[place]:g} years and must not", rating)
    new = np.diff(defaulted, prepend=0.0)
    rated = 1.0 - defaulted - gone
    if (rated < 0).any():
        place = int(np.argmax(rated < 0))
        raise wrong("defaulted and withdrawn", float(defaulted[place] + gone[place]), "together more than all", rating)
    at_risk = new + rated
    hazard = np.divide(new, at_risk, out=np.zeros_like(new), where=at_risk > 0)
    return DefaultCurve(years, np.asarray(1.0 - np.cumprod(1.0 - hazard), dtype=np.float64))


def cumulative_pd_at(curve: DefaultCurve, years: ArrayLike) -> Array:
    """Cumulative default probability at any times ≥ 0: constant intensity between horizons, the last one's intensity
    beyond it.
    """
    times = check_between(years, "time in years", low=0.0, high=LARGEST, rule="must not be negative")
    if curve.cumulative_pd[-1] >= 1.0:
        raise wrong("cumulative default probability", 1.0, "a curve that reaches certain default has no intensity")
    knots = np.concatenate([[0.0], curve.horizon_years])
    log_survival = np.concatenate([[0.0], np.log1p(-curve.cumulative_pd)])
    slope = (log_survival[-1] - log_survival[-2]) / (knots[-1] - knots[-2])
    inside = np.interp(times, knots, log_survival)
    beyond = np.maximum(times - knots[-1], 0.0) * slope
    return np.asarray(-np.expm1(inside + beyond), dtype=np.float64)


def conditional_pd_for_periods(curve: DefaultCurve, ends_years: ArrayLike) -> Array:
    """Conditional default probability of the periods that end at ``ends_years`` (ascending, the first starts at 0)."""
    return conditional_from_cumulative(cumulative_pd_at(curve, ends_years))


def normalise_rating(rating: str) -> str:
    """The letter grade of a rating as the default tables carry it: modifiers are dropped (B+ → B), CCC and below
    share a row (CCC/C).
    """
    letter = rating.strip().upper().rstrip("+-")
    return "CCC/C" if letter in {"CCC", "CC", "C", "CCC/C"} else letter


def curve_of(
    table: pl.DataFrame, agency: str | None, rating: str, horizon_years: int = 10, obligor: object = None
) -> DefaultCurve:
    """The curve of one agency and rating out of ``raw.default_rate`` (agency, rating, horizon_years,
    cumulative_default_rate, withdrawn_rate).

    Horizons beyond ``horizon_years`` are left out: in published averages they rest on the oldest cohorts alone, and
    cumulative rates fall there (S&P 1981-2016: single B 36.94 % at 15 years, 36.21 % at 20). Within it a falling table
    is an error, as is an unknown rating. An agency of None takes the only agency there is.
    """
    agencies = sorted(table["agency"].unique().to_list())
    if agency is None:
        if len(agencies) != 1:
            raise wrong("rating", rating, f"names no agency, and there are tables of {agencies}", obligor)
        agency = agencies[0]
    rows = table.filter(
        (pl.col("agency") == agency)
        & (pl.col("rating") == normalise_rating(rating))
        & (pl.col("horizon_years") <= horizon_years)
    )
    if rows.is_empty():
        raise wrong("rating", rating, f"has no default table of agency {agency}", obligor)
    years, defaulted, withdrawn = (
        rows[name].cast(pl.Float64).fill_null(0.0).to_numpy()
        for name in ("horizon_years", "cumulative_default_rate", "withdrawn_rate")
    )
    return rating_curve(years, defaulted, withdrawn, obligor or f"of rating {agency} {rating}")


# --- credit default swaps -------------------------------------------------------------------------


def cds_curve(
    tenor_years: ArrayLike,
    spread: ArrayLike,
    recovery: float,
    *,
    zero_rate: ArrayLike = 0.0,
    obligor: object = None,
) -> DefaultCurve:
    """Default curve that CDS spreads imply: hazards bootstrapped tenor by tenor, constant between tenors.

    ``spread``: a year, as a fraction (0.0811 for 811 bp); ``recovery`` in [0, 1); ``zero_rate``: continuous, one for
    all times or one for each tenor (linear between). Premium is paid quarterly with half a period's accrual at
    default; protection is paid at the middle of the period. One tenor gives a flat hazard. Raises
    :class:`CreditInputError` where a spread is so far below the one before that only a negative hazard explains it.
    """
    years, order = _horizons(tenor_years, obligor)
    spreads = _each(spread, "CDS spread", order, obligor)
    names = [obligor] * len(years) if obligor is not None else None
    check_between(spreads, "CDS spread", low=0.0, high=LARGEST, rule="must not be negative", obligors=names, axis=0)
    check_number(recovery, "recovery", low=0.0, high=BELOW_ONE, rule="must lie in [0, 1)", obligor=obligor)
    rates = _each(zero_rate, "zero rate", order, obligor)
    check_between(rates, "zero rate", low=-LARGEST, high=LARGEST, rule="must be a number", obligors=names, axis=0)
    hazards: list[float] = []
    for place, tenor in enumerate(years):

        def value(hazard: float, place: int = place, tenor: float = float(tenor)) -> float:
            return _cds_value(tenor, float(spreads[place]), recovery, years, np.array([*hazards, hazard]), rates=rates)

        if value(0.0) > 0:
            raise wrong("CDS spread", float(spreads[place]), f"at {tenor:g} years it needs a negative hazard", obligor)
        if value(HIGHEST_HAZARD) < 0:
            raise wrong("CDS spread", float(spreads[place]), f"at {tenor:g} years no hazard explains it", obligor)
        hazards.append(float(optimize.brentq(value, 0.0, HIGHEST_HAZARD, xtol=1e-14)))
    steps = np.diff(years, prepend=0.0)
    return DefaultCurve(years, np.asarray(-np.expm1(-np.cumsum(np.array(hazards) * steps)), dtype=np.float64))


def _each(values: ArrayLike, field: str, order: npt.NDArray[np.int64], obligor: object) -> Array:
    """One value for all tenors, or one for each, in their order."""
    array = as_numbers(values, field)
    return np.full(order.shape, float(array)) if array.ndim == 0 else _one_each(array, field, order, obligor)


def _cds_value(tenor: float, spread: float, recovery: float, years: Array, hazards: Array, *, rates: Array) -> float:
    """Protection less premium of a swap of unit notional, with hazards for the first tenors only."""
    payments = max(round(tenor * PAYMENTS_PER_YEAR), 1)
    ends = tenor * np.arange(1, payments + 1) / payments
    starts = np.concatenate([[0.0], ends[:-1]])
    knots = np.concatenate([[0.0], years[: len(hazards)]])
    intensity = np.concatenate([[0.0], np.cumsum(hazards * np.diff(knots))])
    alive = np.exp(-np.interp(ends, knots, intensity))
    before = np.exp(-np.interp(starts, knots, intensity))
    middle = (starts + ends) / 2.0
    at_end, at_middle = (np.exp(-np.interp(times, years, rates) * times) for times in (ends, middle))
    premium = spread * float(((ends - starts) * at_end * (alive + (before - alive) / 2.0)).sum())
    return (1.0 - recovery) * float((at_middle * (before - alive)).sum()) - premium


# --- transition matrices --------------------------------------------------------------------------


def transition_matrix(rates: ArrayLike, ratings: Sequence[str], tolerance: float = PUBLISHED_ROW_TOLERANCE) -> Array:
    """One-period transition probabilities among the rated, out of a published table, withdrawn ratings adjusted.

    ``rates`` (K, K + 2): from each of ``ratings`` (K) to each of them, to default, to withdrawn, as fractions. Each
    row must sum to 1 within ``tolerance``, the rounding of the publication; it is then divided by what was not
    withdrawn. Returns (K + 1, K + 1) with default as the last, absorbing state.
    """
    table = as_numbers(rates, "transition rate")
    count = len(ratings)
    if table.shape != (count, count + 2):
        raise CreditInputError(f"{count} ratings need a table of {count} × {count + 2}, not {table.shape}")
    check_probability(table, "transition rate", obligors=list(ratings), axis=0)
    sums = table.sum(axis=1)
    off = np.abs(sums - 1.0) > tolerance
    if off.any():
        row = int(np.argmax(off))
        raise wrong("sum of transition rates", float(sums[row]), f"must be 1 within {tolerance:g}", ratings[row])
    rated = table[:, :-1].sum(axis=1)
    if (rated <= 0).any():
        raise wrong("withdrawn rate", 1.0, "nobody stayed rated", ratings[int(np.argmax(rated <= 0))])
    default = np.zeros(count + 1)
    default[-1] = 1.0
    return np.vstack([table[:, :-1] / rated[:, None], default])


def transition_default_curve(matrix: Array, row: int, years: Sequence[int]) -> DefaultCurve:
    """Default curve of one rating from powers of a yearly transition matrix.

    For stress alone: a homogeneous chain overstates the default of weak grades over years (ORACLES.md, O13: single B
    at five years 24.80 % against 19.25 % observed).
    """
    if check_count(row, "row") >= len(_check_chain(matrix)):
        raise wrong("row", row, f"the matrix has {len(matrix)}, the first is 0")
    counts = [check_count(year, "years", low=1) for year in years]
    cumulative = [float(np.linalg.matrix_power(matrix, year)[row, -1]) for year in counts]
    return given_curve([float(year) for year in years], cumulative)


class Generator(NamedTuple):
    """``rates`` (K, K): transition intensities a year, rows sum to 0; ``residual``: the largest amount by which their
    exponential misses the matrix.
    """

    rates: Array
    residual: float


def generator(matrix: ArrayLike) -> Generator:
    """Intensities of a yearly transition matrix: its logarithm, negative intensities moved onto the diagonal (Israel,
    Rosenthal and Wei, 2001). The matrix may have no generator of its own; the residual says how far this one is off.
    """
    given = _check_chain(matrix)
    raw = np.real(linalg.logm(given))
    rates = np.maximum(raw - np.diag(np.diag(raw)), 0.0)
    rates -= np.diag(rates.sum(axis=1))
    return Generator(rates, float(np.abs(linalg.expm(rates) - given).max()))


def transition_at(rates: ArrayLike, years: float) -> Array:
    """Transition probabilities over any time ≥ 0 from intensities whose rows sum to 0: expm(rates · years)."""
    given = as_numbers(rates, "transition intensity")
    check_between(given, "transition intensity", low=-LARGEST, high=LARGEST, rule="must be a number")
    if given.ndim != 2 or given.shape[0] != given.shape[1]:
        raise CreditInputError(
            f"transition intensities must be square, not {given.shape}", field="transition intensity"
        )
    off = np.abs(given.sum(axis=1)) > CHAIN_TOLERANCE
    if off.any():
        row = int(np.argmax(off))
        raise wrong("sum of transition intensities", float(given.sum(axis=1)[row]), "must be 0", row)
    check_number(years, "time in years", low=0.0, rule="must not be negative")
    return np.asarray(linalg.expm(given * years), dtype=np.float64)


def _check_chain(matrix: ArrayLike) -> Array:
    """A square matrix of probabilities whose rows sum to 1; else :class:`CreditInputError` naming the row."""
    given = as_numbers(matrix, "transition probability")
    if given.ndim != 2 or given.shape[0] != given.shape[1]:
        raise CreditInputError(f"a transition matrix must be square, not {given.shape}", field="transition probability")
    check_probability(given, "transition probability", axis=0)
    sums = given.sum(axis=1)
    off = np.abs(sums - 1.0) > CHAIN_TOLERANCE
    if off.any():
        row = int(np.argmax(off))
        raise wrong("sum of transition probabilities", float(sums[row]), "must be 1", row)
    return given
