"""Expected credit loss over the life of an exposure: the general engine, vectorised over scenarios, obligors and
periods.

S_t = Π(1 − h_u), marginal default probability = S_{t−1}·h_t, ECL = Σ_s w_s Σ_t marginal × LGD × EAD × (1 + EIR)^−τ
with τ in years from the reporting date (CREDIT.md, 3.3). Results of scenarios are weighted, inputs are never
averaged. A positive systemic factor is good everywhere. A probability outside [0, 1], weights that do not sum to 1 or
a cumulative probability that falls are errors (:class:`CreditInputError`), never clipped. Which exposures a contract
has does not belong here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import special

from orchestration.polars_jobs.errors import (
    ABOVE_MINUS_ONE,
    BELOW_ONE,
    LARGEST,
    PROBABILITY,
    SMALLEST,
    CreditInputError,
    as_numbers,
    check_between,
    check_count,
    check_number,
    check_rising,
    wrong,
)

Array: TypeAlias = npt.NDArray[np.float64]
ArrayLike: TypeAlias = npt.ArrayLike

WEIGHT_TOLERANCE = 1e-9
# So many obligors of twenty periods and three scenarios stay in the processor's cache.
BLOCK_OBLIGORS = 2_000


class EclResult(NamedTuple):
    """``by_scenario`` (S, N): loss of each scenario, unweighted; ``weighted`` (N,): Σ weight × scenario. Same money
    unit as the exposures, unrounded.
    """

    by_scenario: Array
    weighted: Array


def check_probability(
    values: ArrayLike, field: str, *, obligors: Sequence[object] | None = None, axis: int | None = None
) -> Array:
    """The values as an array; raises :class:`CreditInputError` naming obligor, field and value if any is NaN or
    outside [0, 1]. ``axis`` is that of the obligors, ``obligors`` their names.
    """
    return check_between(values, field, low=0.0, high=1.0, rule=PROBABILITY, obligors=obligors, axis=axis)


def check_weights(weights: ArrayLike, obligor: object = None) -> Array:
    """Scenario weights (S,), none negative, summing to 1 within 1e-9."""
    array = as_numbers(weights, "scenario weight")
    if array.ndim != 1 or not len(array):
        raise wrong("scenario weights", array.tolist(), "one number for each scenario is needed", obligor)
    check_between(array, "scenario weight", low=0.0, high=np.inf, rule="must not be negative")
    total = float(array.sum())
    if not abs(total - 1.0) <= WEIGHT_TOLERANCE:
        raise wrong("sum of scenario weights", total, "must be 1", obligor)
    return array


def survival(conditional_pd: ArrayLike, obligors: Sequence[object] | None = None) -> Array:
    """Survival to the end of each period, along the last axis (obligors on the one before): Π(1 − h)."""
    return np.asarray(np.cumprod(1.0 - _hazard(conditional_pd, obligors), axis=-1), dtype=np.float64)


def marginal_pd(conditional_pd: ArrayLike, obligors: Sequence[object] | None = None) -> Array:
    """Probability of default in each period seen from the start: S_{t−1}·h_t, along the last axis (obligors on the one
    before). Sums to 1 − S_T.
    """
    return _marginal(_hazard(conditional_pd, obligors))


def _hazard(conditional_pd: ArrayLike, obligors: Sequence[object] | None) -> Array:
    axis = -2 if np.ndim(conditional_pd) > 1 else None
    return check_probability(conditional_pd, "conditional default probability", obligors=obligors, axis=axis)


def _marginal(hazard: Array) -> Array:
    alive = np.ones_like(hazard)
    np.cumprod(1.0 - hazard[..., :-1], axis=-1, out=alive[..., 1:])
    return np.asarray(alive * hazard, dtype=np.float64)


def conditional_from_cumulative(cumulative_pd: ArrayLike, obligors: Sequence[object] | None = None) -> Array:
    """Conditional default probability of each period from a cumulative curve, along the last axis (obligors on the
    one before). A curve that falls is an error that names the obligor; after certain default it is 1.
    """
    field = "cumulative default probability"
    axis = -2 if np.ndim(cumulative_pd) > 1 else None
    cumulative = check_probability(cumulative_pd, field, obligors=obligors, axis=axis)
    check_rising(cumulative, field, obligors=obligors, axis=axis)
    before = np.zeros_like(cumulative)
    before[..., 1:] = cumulative[..., :-1]
    alive = 1.0 - before
    return np.asarray(np.divide(cumulative - before, alive, out=np.ones_like(alive), where=alive > 0), dtype=np.float64)


def discount_factors(eir: ArrayLike, tau_years: ArrayLike, obligors: Sequence[object] | None = None) -> Array:
    """(1 + EIR)^−τ. ``eir``: effective annual rate, above −1, negative allowed; broadcast against ``tau_years`` ≥ 0."""
    rate, tau = as_numbers(eir, "effective interest rate"), as_numbers(tau_years, "discount time in years")
    axis = 0 if rate.ndim else None
    check_between(
        rate,
        "effective interest rate",
        low=ABOVE_MINUS_ONE,
        high=LARGEST,
        rule="must be a number above −1 (−100 %)",
        obligors=obligors,
        axis=axis,
    )
    check_between(tau, "discount time in years", low=0.0, high=LARGEST, rule="must not be negative")
    return np.asarray(np.power(1.0 + rate, -tau), dtype=np.float64)


def lifetime_ecl(
    conditional_pd: ArrayLike,
    lgd: ArrayLike,
    ead: ArrayLike,
    *,
    eir: ArrayLike,
    tau_years: ArrayLike,
    weights: ArrayLike,
    obligors: Sequence[object] | None = None,
) -> EclResult:
    """Lifetime expected loss of N obligors under S scenarios over T periods.

    ``conditional_pd``, ``lgd``, ``ead``: broadcastable to (S, N, T); a per-obligor LGD is (N, 1), one by scenario (S,
    1, 1), a hazard that is the same in every period (S, N, 1). ``eir``: scalar or (N,), effective annual.
    ``tau_years``: (T,), from the reporting date to the moment of loss in each period. ``weights``: (S,). ``obligors``:
    their N names, for errors. EAD must not be negative: a credit is no exposure. Works in blocks of obligors, so memory
    stays flat.
    """
    weight = check_weights(weights)
    hazard, loss, exposure = (
        _as_cube(values, field)
        for values, field in (
            (conditional_pd, "conditional default probability"),
            (lgd, "loss given default"),
            (ead, "exposure at default"),
        )
    )
    rate, tau = _checked_discounting(eir, tau_years, obligors)
    given = [hazard.shape, loss.shape, exposure.shape, (1, len(rate), len(tau))]
    try:
        shape = np.broadcast_shapes(*given, (len(weight), 1, len(tau)))
    except ValueError as error:
        raise _misfit(given, weight, tau) from error
    if shape[0] != len(weight) or shape[2] != len(tau):
        raise _misfit(given, weight, tau)
    size = shape[1]
    if obligors is not None and len(obligors) != size:
        raise CreditInputError(f"{len(obligors)} names for {size} obligors")
    cubes = (
        (hazard, "conditional default probability", 1.0, PROBABILITY),
        (loss, "loss given default", 1.0, PROBABILITY),
        (exposure, "exposure at default", LARGEST, "must be a number, not negative"),
    )
    by_scenario = np.zeros((shape[0], size))
    for start in range(0, size, BLOCK_OBLIGORS):
        rows = slice(start, min(start + BLOCK_OBLIGORS, size))
        own = [_block(cube, rows) for cube, _, _, _ in cubes]
        # Checked where it is about to be used: the whole cube is looked at again only to name what is wrong.
        for part, (cube, field, high, rule) in zip(own, cubes, strict=True):
            if not (part.min(initial=0.0) >= 0.0 and part.max(initial=0.0) <= high):
                check_between(cube, field, low=0.0, high=high, rule=rule, obligors=obligors, axis=1)
        by_scenario[:, rows] = _backwards(
            *own, discounting=np.exp(-tau[:, None] * rate[rows if len(rate) > 1 else slice(None)])
        )
    return EclResult(by_scenario, np.asarray(weight @ by_scenario, dtype=np.float64))


def _checked_discounting(
    eir: ArrayLike, tau_years: ArrayLike, obligors: Sequence[object] | None
) -> tuple[Array, Array]:
    """Continuous rates (N or 1,) and times (T,), of effective rates above −1 and times of nought and more."""
    rate = as_numbers(eir, "effective interest rate")
    discount_factors(rate if rate.ndim else rate.reshape(1), 0.0, obligors if rate.ndim else None)
    tau = np.atleast_1d(as_numbers(tau_years, "discount time in years"))
    discount_factors(0.0, tau)
    return np.log1p(rate).reshape(-1), tau


def _backwards(hazard: Array, loss: Array, exposure: Array, *, discounting: Array) -> Array:
    """Σ_t S_{t−1}·h_t·LGD·EAD·DF of one block, (S, n), from the last period back: what is lost from a period on is its
    own loss if it defaults, else what is lost from the next one on. Periods come first in memory, so that each step is
    one pass over obligors; ``discounting`` (T, n or 1).
    """
    periods = len(discounting)
    severity = np.empty((periods, *np.broadcast_shapes(loss.shape[:2], exposure.shape[:2], (1, discounting.shape[1]))))
    np.multiply(loss.transpose(2, 0, 1), exposure.transpose(2, 0, 1), out=severity)
    severity *= discounting[:, None, :]
    lost = np.zeros(np.broadcast_shapes(severity.shape[1:], hazard.shape[:2]))
    step = np.empty_like(lost)
    for period in range(periods - 1, -1, -1):
        np.subtract(severity[period], lost, out=step)
        # A hazard given once for all periods is a flat one, not a single period's.
        step *= hazard[:, :, period if hazard.shape[2] > 1 else 0]
        lost += step
    return lost


def geometric_ecl(
    conditional_pd: ArrayLike,
    lgd: ArrayLike,
    ead: ArrayLike,
    amortisation: ArrayLike,
    *,
    eir: ArrayLike,
    period_years: float,
    weights: ArrayLike,
    obligors: Sequence[object] | None = None,
) -> EclResult:
    """The same loss where survival is geometric: one hazard for all periods, periods of one length, one profile of
    amortisation for all obligors. Equal to :func:`lifetime_ecl` and several times as fast (Horner's rule; ORACLES.md,
    2.3).

    ``conditional_pd``: (S, N), of one period; ``lgd``: scalar, (N,) or (S, N); ``ead``: (N,), at first;
    ``amortisation``: (T,), part of ``ead`` that is exposed in each period; ``eir``: scalar or (N,), effective annual;
    losses at the periods' ends, ``period_years`` apart. ``weights``: (S,). Errors as in :func:`lifetime_ecl`.
    """
    weight = check_weights(weights)
    exposure = check_between(
        np.atleast_1d(as_numbers(ead, "exposure at default")),
        "exposure at default",
        low=0.0,
        high=LARGEST,
        rule="must be a number, not negative",
        obligors=obligors,
        axis=0,
    )
    size = len(exposure)
    hazard = check_probability(
        np.atleast_2d(as_numbers(conditional_pd, "conditional default probability")),
        "conditional default probability",
        obligors=obligors,
        axis=1,
    )
    loss = check_probability(
        np.atleast_2d(as_numbers(lgd, "loss given default")), "loss given default", obligors=obligors, axis=1
    )
    profile = check_between(amortisation, "amortisation", low=0.0, high=LARGEST, rule="must not be negative")
    check_number(period_years, "period in years", low=SMALLEST, rule="must be positive")
    if not profile.size:
        raise wrong("amortisation", [], "one part for each period is needed")
    discount = discount_factors(np.atleast_1d(as_numbers(eir, "effective interest rate")), period_years, obligors)
    shapes = [hazard.shape, loss.shape, (1, size), (1, len(discount))]
    if any(shape[0] not in {1, len(weight)} or shape[1] not in {1, size} for shape in shapes):
        raise _misfit(shapes, weight, profile)
    if obligors is not None and len(obligors) != size:
        raise CreditInputError(f"{len(obligors)} names for {size} obligors")
    by_scenario = np.empty((len(weight), size))
    # Ten times the obligors of the general engine: a tenth of the numbers for each.
    for start in range(0, size, 10 * BLOCK_OBLIGORS):
        rows = slice(start, min(start + 10 * BLOCK_OBLIGORS, size))
        own, factor = (part[..., rows] if part.shape[-1] > 1 else part for part in (hazard, discount))
        lost = np.zeros((len(weight), rows.stop - rows.start))
        step = np.empty_like(lost)
        for part in profile[::-1]:
            np.subtract(part, lost, out=step)
            step *= own
            lost += step
            lost *= factor
        lost *= loss[:, rows] if loss.shape[1] > 1 else loss
        by_scenario[:, rows] = lost * exposure[rows]
    return EclResult(by_scenario, np.asarray(weight @ by_scenario, dtype=np.float64))


def _misfit(shapes: Sequence[tuple[int, ...]], weight: Array, tau: Array) -> CreditInputError:
    named = ", ".join(str(shape) for shape in shapes)
    return CreditInputError(
        f"default probability, LGD, exposure and discounting of shapes {named} do not fit {len(weight)} scenarios and "
        f"{len(tau)} periods"
    )


def _as_cube(values: ArrayLike, field: str) -> Array:
    array = as_numbers(values, field)
    if array.ndim > 3:
        raise CreditInputError("inputs have at most the axes scenario, obligor, period")
    return array.reshape((1,) * (3 - array.ndim) + array.shape)


def _block(cube: Array, rows: slice) -> Array:
    return cube[:, rows, :] if cube.shape[1] > 1 else cube


def twelve_month_ecl(
    conditional_pd: ArrayLike,
    lgd: ArrayLike,
    ead: ArrayLike,
    *,
    eir: ArrayLike,
    period_years: ArrayLike,
    weights: ArrayLike,
    obligors: Sequence[object] | None = None,
) -> EclResult:
    """The part of the lifetime loss from defaults within twelve months, cut at maturity where that comes first (IFRS
    9 5.5.5; CREDIT.md, 4.22).

    ``period_years``: (T,) lengths of the periods, losses at their ends. A period that straddles the twelfth month
    counts with the part of its hazard that lies before: 1 − (1 − h)^share, at the end of the year.
    """
    lengths = np.atleast_1d(as_numbers(period_years, "period in years"))
    check_between(lengths, "period in years", low=SMALLEST, high=LARGEST, rule="must be positive")
    given = _as_cube(conditional_pd, "conditional default probability")
    check_probability(given, "conditional default probability", obligors=obligors, axis=1)
    if given.shape[2] not in {1, len(lengths)} or not len(lengths):
        raise _misfit([given.shape], check_weights(weights), lengths)
    hazard, tau = within_a_year(given, lengths), np.minimum(np.cumsum(lengths), 1.0)
    return lifetime_ecl(hazard, lgd, ead, eir=eir, tau_years=tau, weights=weights, obligors=obligors)


def within_a_year(hazard: Array, period_years: Array) -> Array:
    """Conditional default probability of each period (…, T) from defaults within twelve months alone."""
    ends = np.cumsum(period_years)
    share = np.clip((1.0 - (ends - period_years)) / period_years, 0.0, 1.0)
    return np.asarray(1.0 - np.power(1.0 - hazard, share), dtype=np.float64)


def revert(forecast: ArrayLike, long_run: float, reversion_periods: int, total_periods: int) -> Array:
    """A forecast of S periods, straight-line reversion over R periods to the long-run value, then that value:
    (total_periods,).

    h_{S+k} = h_S + (k/R)(h_LR − h_S); R = 0 is immediate reversion (ORACLES.md, D5). Raises if the forecast is empty.
    """
    given = check_probability(forecast, "forecast default probability").ravel()
    if not len(given):
        raise CreditInputError("a reasonable and supportable forecast needs at least one period")
    check_probability(long_run, "long-run default probability")
    for field, count in (("reversion periods", reversion_periods), ("total periods", total_periods)):
        check_count(count, field)
    if reversion_periods:
        steps = np.arange(1, reversion_periods + 1) / reversion_periods
        path = np.concatenate([given, given[-1] + steps * (long_run - given[-1])])
    else:
        path = given
    tail = max(0, total_periods - len(path))
    return np.asarray(np.concatenate([path, np.full(tail, long_run)])[:total_periods], dtype=np.float64)


def vasicek_shift(conditional_pd: ArrayLike, asset_correlation: float, factor: ArrayLike) -> Array:
    """Default probability given the systemic factor: Φ((Φ⁻¹(h) − √ρ·Z)/√(1 − ρ)); Z > 0 is good and lowers it. Its
    mean over standard normal Z is h.

    PD 2 %, ρ 0.10 at the 99.9 % bad end (Z = −3.09) is 12.8 % (ORACLES.md, O11). PD of 0 and 1 stay; nothing is
    clipped. ρ in [0, 1).
    """
    probability = check_probability(conditional_pd, "default probability")
    check_number(asset_correlation, "asset correlation", low=0.0, high=BELOW_ONE, rule="must lie in [0, 1)")
    level = check_between(factor, "systemic factor", low=-np.inf, high=np.inf, rule="must be a number")
    if asset_correlation == 0:
        return np.array(np.broadcast_to(probability, np.broadcast_shapes(probability.shape, level.shape)))
    threshold = special.ndtri(probability)
    certain = ~np.isfinite(threshold)
    if not certain.any():
        moved = (threshold - np.sqrt(asset_correlation) * level) / np.sqrt(1.0 - asset_correlation)
        return np.asarray(special.ndtr(moved), dtype=np.float64)
    # What is certain stays so, even at an infinite factor, which would leave nothing to compute.
    usual = vasicek_shift(np.where(certain, 0.5, probability), asset_correlation, level)
    return np.where(certain, probability, usual)


def worst_case_default_rate(probability: float, asset_correlation: float, confidence: float) -> float:
    """Default rate of a large pool that is not exceeded with the given confidence (Vasicek)."""
    check_probability(confidence, "confidence")
    return float(vasicek_shift(probability, asset_correlation, -special.ndtri(confidence)))


def discounted_shortfall(losses: ArrayLike, probabilities: ArrayLike, eir: float, tau_years: float) -> float:
    """Probability-weighted shortfalls at one future date, discounted (ORACLES.md, O4: 0/300/600 at 80/10/10 %, ten
    years at 7.5 % is 43.667).
    """
    weight = check_weights(probabilities)
    short = check_between(losses, "shortfall", low=-LARGEST, high=LARGEST, rule="must be a number")
    if short.shape != weight.shape:
        raise wrong("shortfalls", short.tolist(), f"one for each of {len(weight)} probabilities is needed")
    return float(weight @ short * discount_factors(eir, tau_years))


# --- staging --------------------------------------------------------------------------------------
# -----------------------------


def ifrs9_stage(
    days_past_due: int,
    lifetime_pd: float,
    origination_lifetime_pd: float,
    *,
    insolvent: bool,
    default_days: int,
    significant_days: int,
    pd_ratio: float,
) -> int:
    """IFRS 9 stage: 3 in default (insolvent or ``default_days`` past due), 2 after a significant increase in lifetime
    default probability or ``significant_days`` past due, else 1.

    The increase is relative: lifetime probability now ≥ ratio × that at first recognition, for the same remaining
    time; an absolute level alone makes no stage.
    """
    check_probability([lifetime_pd, origination_lifetime_pd], "lifetime default probability")
    if insolvent or days_past_due >= default_days:
        return 3
    increased = origination_lifetime_pd > 0 and lifetime_pd >= pd_ratio * origination_lifetime_pd
    newly_risky = origination_lifetime_pd == 0 and lifetime_pd > 0
    return 2 if increased or newly_risky or days_past_due > significant_days else 1


# --- the long form --------------------------------------------------------------------------------
# -----------------------------


def ecl_long(term_structure: pl.LazyFrame) -> pl.LazyFrame:
    """The same engine over a tidy frame: one row per obligor, scenario and period.

    In: obligor_id, scenario, period_no, conditional_pd, lgd, ead, eir, tau_years, weight (the weight of the scenario,
    on every row). Out: obligor_id, expected_credit_loss — weighted, unrounded, sorted by obligor. Inputs are taken as
    checked: :func:`check_term_structure` does that where they come from outside.
    """
    keys = ["obligor_id", "scenario"]
    return (
        term_structure.sort(*keys, "period_no")
        .with_columns(survived=(1.0 - pl.col("conditional_pd")).cum_prod().over(keys))
        .with_columns(alive=pl.col("survived").shift(1).over(keys).fill_null(1.0))
        .group_by(keys)
        .agg(
            loss=(
                pl.col("alive")
                * pl.col("conditional_pd")
                * pl.col("lgd")
                * pl.col("ead")
                * (1.0 + pl.col("eir")).pow(-pl.col("tau_years"))
            ).sum(),
            weight=pl.col("weight").first(),
        )
        .group_by("obligor_id")
        .agg(expected_credit_loss=(pl.col("weight") * pl.col("loss")).sum())
        .sort("obligor_id")
    )


def check_term_structure(frame: pl.DataFrame) -> pl.DataFrame:
    """The tidy frame itself, if every probability and LGD lies in [0, 1], no exposure is negative, every obligor has
    each period once in each scenario, one weight for each scenario, and these sum to 1; else :class:`CreditInputError` naming the
    obligor, the field and the value.
    """
    for field, high, rule in (
        ("conditional_pd", 1.0, PROBABILITY),
        ("lgd", 1.0, PROBABILITY),
        ("ead", LARGEST, "must be a number, not negative"),
        ("weight", 1.0, PROBABILITY),
        ("tau_years", LARGEST, "must not be negative"),
    ):
        bad = frame.filter(~pl.col(field).is_between(0.0, high).fill_null(value=False) | pl.col(field).is_nan())
        if not bad.is_empty():
            raise wrong(field, bad[field][0], rule, bad["obligor_id"][0])
    bad = frame.filter(~(pl.col("eir") > -1.0).fill_null(value=False) | ~pl.col("eir").is_finite())
    if not bad.is_empty():
        raise wrong("eir", bad["eir"][0], "must be a number above −1 (−100 %)", bad["obligor_id"][0])
    twice = frame.filter(pl.struct("obligor_id", "scenario", "period_no").is_duplicated())
    if not twice.is_empty():
        raise wrong("period_no", twice["period_no"][0], "comes twice in a scenario", twice["obligor_id"][0])
    parts = frame.group_by("obligor_id", "scenario").agg(
        pl.col("weight").first(), least=pl.col("weight").min(), most=pl.col("weight").max()
    )
    uneven = parts.filter(pl.col("least") != pl.col("most")).sort("obligor_id", "scenario")
    if not uneven.is_empty():
        raise wrong(
            "weight", uneven["most"][0], f"it is {uneven['least'][0]!r} in another period", uneven["obligor_id"][0]
        )
    sums = parts.group_by("obligor_id").agg(pl.col("weight").sum())
    bad = sums.filter((pl.col("weight") - 1.0).abs() > WEIGHT_TOLERANCE).sort("obligor_id")
    if not bad.is_empty():
        raise wrong("sum of scenario weights", bad["weight"][0], "must be 1", bad["obligor_id"][0])
    return frame
