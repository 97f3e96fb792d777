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
from datetime import date
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyxirr
from scipy import special

from orchestration.polars_jobs.errors import CreditInputError

Array: TypeAlias = npt.NDArray[np.float64]
ArrayLike: TypeAlias = npt.ArrayLike

WEIGHT_TOLERANCE = 1e-9
BLOCK_OBLIGORS = 20_000


class EclResult(NamedTuple):
    """``by_scenario`` (S, N): loss of each scenario, unweighted; ``weighted`` (N,): Σ weight × scenario. Same money
    unit as the exposures, unrounded.
    """

    by_scenario: Array
    weighted: Array


def check_probability(values: ArrayLike, what: str) -> Array:
    """The values as an array; raises :class:`CreditInputError` if any is NaN or outside [0, 1]."""
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all() or (array < 0).any() or (array > 1).any():
        raise CreditInputError(f"{what} must lie in [0, 1]")
    return array


def check_weights(weights: ArrayLike) -> Array:
    """Scenario weights (S,), none negative, summing to 1 within 1e-9."""
    array = np.asarray(weights, dtype=np.float64)
    if (
        array.ndim != 1
        or not np.isfinite(array).all()
        or (array < 0).any()
        or abs(array.sum() - 1.0) > WEIGHT_TOLERANCE
    ):
        raise CreditInputError(f"scenario weights must not be negative and must sum to 1, not {array.sum()!r}")
    return array


def survival(conditional_pd: ArrayLike) -> Array:
    """Survival to the end of each period, along the last axis: Π(1 − h)."""
    return np.asarray(
        np.cumprod(1.0 - check_probability(conditional_pd, "conditional default probability"), axis=-1),
        dtype=np.float64,
    )


def marginal_pd(conditional_pd: ArrayLike) -> Array:
    """Probability of default in each period seen from the start: S_{t−1}·h_t, along the last axis. Sums to 1 − S_T."""
    hazard = check_probability(conditional_pd, "conditional default probability")
    alive = np.ones_like(hazard)
    alive[..., 1:] = np.cumprod(1.0 - hazard[..., :-1], axis=-1)
    return np.asarray(alive * hazard, dtype=np.float64)


def conditional_from_cumulative(cumulative_pd: ArrayLike) -> Array:
    """Conditional default probability of each period from a cumulative curve, along the last axis. A curve that falls
    is an error; after certain default it is 1.
    """
    cumulative = check_probability(cumulative_pd, "cumulative default probability")
    if (np.diff(cumulative, axis=-1) < 0).any():
        raise CreditInputError("cumulative default probability falls")
    before = np.zeros_like(cumulative)
    before[..., 1:] = cumulative[..., :-1]
    alive = 1.0 - before
    return np.asarray(np.divide(cumulative - before, alive, out=np.ones_like(alive), where=alive > 0), dtype=np.float64)


def discount_factors(eir: ArrayLike, tau_years: ArrayLike) -> Array:
    """(1 + EIR)^−τ. ``eir``: effective annual rate, above −1, negative allowed; broadcast against ``tau_years`` ≥ 0."""
    rate, tau = np.asarray(eir, dtype=np.float64), np.asarray(tau_years, dtype=np.float64)
    if not np.isfinite(rate).all() or (rate <= -1).any():
        raise CreditInputError("effective interest rate must be above −100 %")
    if not np.isfinite(tau).all() or (tau < 0).any():
        raise CreditInputError("discount times must not be negative")
    return np.asarray(np.power(1.0 + rate, -tau), dtype=np.float64)


def lifetime_ecl(
    conditional_pd: ArrayLike,
    lgd: ArrayLike,
    ead: ArrayLike,
    *,
    eir: ArrayLike,
    tau_years: ArrayLike,
    weights: ArrayLike,
) -> EclResult:
    """Lifetime expected loss of N obligors under S scenarios over T periods.

    ``conditional_pd``, ``lgd``, ``ead``: broadcastable to (S, N, T); a per-obligor LGD is (N, 1), one by scenario (S,
    1, 1). ``eir``: scalar or (N,), effective annual. ``tau_years``: (T,), from the reporting date to the moment of
    loss in each period. ``weights``: (S,). EAD must not be negative: a credit is no exposure. Works in blocks of
    obligors, so memory stays flat.
    """
    weight = check_weights(weights)
    hazard, loss, exposure = (_as_cube(values) for values in (conditional_pd, lgd, ead))
    check_probability(hazard, "conditional default probability")
    check_probability(loss, "loss given default")
    if not np.isfinite(exposure).all() or (exposure < 0).any():
        raise CreditInputError("exposure at default must not be negative or missing")
    tau = np.asarray(tau_years, dtype=np.float64)
    shape = np.broadcast_shapes(hazard.shape, loss.shape, exposure.shape, (len(weight), 1, len(tau)))
    if shape[0] != len(weight) or shape[2] != len(tau):
        raise CreditInputError(f"inputs of shape {shape} do not fit {len(weight)} scenarios and {len(tau)} periods")
    discount = discount_factors(np.asarray(eir, dtype=np.float64).reshape(-1, 1), tau)
    obligors = max(shape[1], discount.shape[0])
    by_scenario = np.empty((shape[0], obligors))
    for start in range(0, obligors, BLOCK_OBLIGORS):
        rows = slice(start, min(start + BLOCK_OBLIGORS, obligors))
        marginal = marginal_pd(_block(hazard, rows))
        size = rows.stop - rows.start
        amounts = (
            marginal
            * _block(loss, rows)
            * _block(exposure, rows)
            * (discount[rows] if discount.shape[0] > 1 else discount)
        )
        # A hazard given once for all periods is a flat one, not a single period's.
        by_scenario[:, rows] = np.broadcast_to(amounts, (shape[0], size, shape[2])).sum(axis=-1)
    return EclResult(by_scenario, np.asarray(weight @ by_scenario, dtype=np.float64))


def _as_cube(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
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
) -> EclResult:
    """The part of the lifetime loss from defaults within twelve months, cut at maturity where that comes first (IFRS
    9 5.5.5; CREDIT.md, 4.22).

    ``period_years``: (T,) lengths of the periods, losses at their ends. A period that straddles the twelfth month
    counts with the part of its hazard that lies before: 1 − (1 − h)^share, at the end of the year.
    """
    lengths = np.asarray(period_years, dtype=np.float64)
    if (lengths <= 0).any():
        raise CreditInputError("period lengths must be positive")
    ends = np.cumsum(lengths)
    share = np.clip((1.0 - (ends - lengths)) / lengths, 0.0, 1.0)
    hazard = 1.0 - np.power(1.0 - check_probability(_as_cube(conditional_pd), "conditional default probability"), share)
    return lifetime_ecl(hazard, lgd, ead, eir=eir, tau_years=np.minimum(ends, 1.0), weights=weights)


def revert(forecast: ArrayLike, long_run: float, reversion_periods: int, total_periods: int) -> Array:
    """A forecast of S periods, straight-line reversion over R periods to the long-run value, then that value:
    (total_periods,).

    h_{S+k} = h_S + (k/R)(h_LR − h_S); R = 0 is immediate reversion (ORACLES.md, D5). Raises if the forecast is empty.
    """
    given = check_probability(forecast, "forecast default probability").ravel()
    if not len(given):
        raise CreditInputError("a reasonable and supportable forecast needs at least one period")
    check_probability(long_run, "long-run default probability")
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
    if not 0 <= asset_correlation < 1:
        raise CreditInputError("asset correlation must lie in [0, 1)")
    threshold = special.ndtri(probability)
    return np.asarray(
        special.ndtr(
            (threshold - np.sqrt(asset_correlation) * np.asarray(factor, dtype=np.float64))
            / np.sqrt(1.0 - asset_correlation)
        ),
        dtype=np.float64,
    )


def worst_case_default_rate(probability: float, asset_correlation: float, confidence: float) -> float:
    """Default rate of a large pool that is not exceeded with the given confidence (Vasicek)."""
    return float(vasicek_shift(probability, asset_correlation, -special.ndtri(confidence)))


def discounted_shortfall(losses: ArrayLike, probabilities: ArrayLike, eir: float, tau_years: float) -> float:
    """Probability-weighted shortfalls at one future date, discounted (ORACLES.md, O4: 0/300/600 at 80/10/10 %, ten
    years at 7.5 % is 43.667).
    """
    weight = check_weights(probabilities)
    return float(weight @ np.asarray(losses, dtype=np.float64) * discount_factors(eir, tau_years))


def effective_interest_rate(dates: Sequence[date], amounts: Sequence[float]) -> float:
    """Effective annual rate of dated cash flows, ACT/365F (XIRR). Raises :class:`CreditInputError` where there is
    none (flows of one sign).
    """
    try:
        rate = pyxirr.xirr(list(dates), list(amounts))
    except pyxirr.InvalidPaymentsError as error:
        raise CreditInputError(f"no effective interest rate: {error}") from error
    if rate is None:
        raise CreditInputError("no effective interest rate solves these cash flows")
    return float(rate)


# --- default probability from rating tables
# ------------------------------------------------------------------------------------------------------


class RatingCurve(NamedTuple):
    """A default curve: ``horizon_years`` (K,) ascending, ``cumulative_pd`` (K,) of those whose rating was not
    withdrawn.
    """

    horizon_years: Array
    cumulative_pd: Array


def rating_curve(
    horizon_years: ArrayLike, cumulative_default_rate: ArrayLike, withdrawn_rate: ArrayLike
) -> RatingCurve:
    """Adjust a cumulative default table for withdrawn ratings.

    Per step, the hazard is new defaults ÷ (new defaults + those still rated at its end): who withdrew in between is
    neither. At the first horizon this is D/(1 − NR) (ORACLES.md, O13: single B 3.76 % with 12.06 % withdrawn is 4.276
    %). Falling tables are errors.
    """
    years = np.asarray(horizon_years, dtype=np.float64)
    order = np.argsort(years)
    years = years[order]
    defaulted = check_probability(
        np.asarray(cumulative_default_rate, dtype=np.float64)[order], "cumulative default rate"
    )
    gone = check_probability(np.asarray(withdrawn_rate, dtype=np.float64)[order], "withdrawn rate")
    if not len(years) or years[0] <= 0 or (np.diff(years) <= 0).any():
        raise CreditInputError("horizons must be positive and distinct")
    if (np.diff(defaulted) < 0).any():
        raise CreditInputError("cumulative default rate falls")
    new = np.diff(defaulted, prepend=0.0)
    rated = 1.0 - defaulted - gone
    if (rated < 0).any():
        raise CreditInputError("defaulted and withdrawn ratings are more than all")
    at_risk = new + rated
    hazard = np.divide(new, at_risk, out=np.zeros_like(new), where=at_risk > 0)
    return RatingCurve(years, np.asarray(1.0 - np.cumprod(1.0 - hazard), dtype=np.float64))


def cumulative_pd_at(curve: RatingCurve, years: ArrayLike) -> Array:
    """Cumulative default probability at any times ≥ 0: constant intensity between horizons, the last one's intensity
    beyond it.
    """
    times = np.asarray(years, dtype=np.float64)
    if (times < 0).any():
        raise CreditInputError("times must not be negative")
    if curve.cumulative_pd[-1] >= 1.0:
        raise CreditInputError("a rating curve that reaches certain default has no intensity")
    knots = np.concatenate([[0.0], curve.horizon_years])
    log_survival = np.concatenate([[0.0], np.log1p(-curve.cumulative_pd)])
    slope = (log_survival[-1] - log_survival[-2]) / (knots[-1] - knots[-2])
    inside = np.interp(times, knots, log_survival)
    beyond = np.maximum(times - knots[-1], 0.0) * slope
    return np.asarray(-np.expm1(inside + beyond), dtype=np.float64)


def conditional_pd_for_periods(curve: RatingCurve, ends_years: ArrayLike) -> Array:
    """Conditional default probability of the periods that end at ``ends_years`` (ascending, the first starts at 0)."""
    return conditional_from_cumulative(cumulative_pd_at(curve, ends_years))


def normalise_rating(rating: str) -> str:
    """The letter grade of a rating as the default tables carry it: modifiers are dropped (B+ → B), CCC and below
    share a row (CCC/C).
    """
    letter = rating.strip().upper().rstrip("+-")
    return "CCC/C" if letter in {"CCC", "CC", "C", "CCC/C"} else letter


def curve_of(table: pl.DataFrame, agency: str | None, rating: str, horizon_years: int = 10) -> RatingCurve:
    """The curve of one agency and rating out of ``raw.default_rate`` (agency, rating, horizon_years,
    cumulative_default_rate, withdrawn_rate).

    Horizons beyond ``horizon_years`` are left out: in published averages they rest on the oldest cohorts alone, and
    cumulative rates fall there (S&P 1981-2016: single B 36.94 % at 15 years, 36.21 % at 20). Within it a falling table
    is an error, as is an unknown rating. An agency of None takes the only agency there is.
    """
    agencies = sorted(table["agency"].unique().to_list())
    if agency is None:
        if len(agencies) != 1:
            raise CreditInputError(f"rating {rating} without an agency, and tables of {', '.join(agencies) or 'none'}")
        agency = agencies[0]
    rows = table.filter(
        (pl.col("agency") == agency)
        & (pl.col("rating") == normalise_rating(rating))
        & (pl.col("horizon_years") <= horizon_years)
    )
    if rows.is_empty():
        raise CreditInputError(f"no default table for rating {rating} of agency {agency}")
    years, defaulted, withdrawn = (
        rows[name].cast(pl.Float64).fill_null(0.0).to_numpy()
        for name in ("horizon_years", "cumulative_default_rate", "withdrawn_rate")
    )
    return rating_curve(years, defaulted, withdrawn)


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
    """The tidy frame itself, if every probability and LGD lies in [0, 1], no exposure is negative and every obligor's
    scenario weights sum to 1; else :class:`CreditInputError`.
    """
    check_probability(frame["conditional_pd"].to_numpy(), "conditional default probability")
    check_probability(frame["lgd"].to_numpy(), "loss given default")
    if frame["ead"].is_null().any() or frame["ead"].is_nan().any() or (frame["ead"] < 0).any():
        raise CreditInputError("exposure at default must not be negative or missing")
    sums = frame.unique(["obligor_id", "scenario"]).group_by("obligor_id").agg(pl.col("weight").sum())
    if not sums.is_empty() and float((sums["weight"] - 1.0).abs().max()) > WEIGHT_TOLERANCE:  # type: ignore[arg-type]
        raise CreditInputError("scenario weights must sum to 1 for every obligor")
    return frame
