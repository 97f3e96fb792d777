"""Loss of a large pool on one systemic factor: distribution, quantiles, and the capital formula that rests on it.

A positive factor is good, as everywhere; a worst case is the factor's lower tail. Probabilities are taken as they are:
no floor of 1 bp, nothing clipped. Losses of a pool of few obligors do not belong here; the backstop's are simulated.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from orchestration.polars_jobs.errors import (
    BELOW_ONE,
    LARGEST,
    NOT_NEGATIVE,
    SMALLEST,
    as_numbers,
    check_between,
    check_number,
    wrong,
)
from orchestration.polars_jobs.lifetime_ecl import check_probability, check_weights, worst_case_default_rate

Array: TypeAlias = npt.NDArray[np.float64]
ArrayLike: TypeAlias = npt.ArrayLike

CAPITAL_CONFIDENCE = 0.999


def loss_quantile(probability: float, asset_correlation: float, lgd: float, confidence: float) -> float:
    """Loss fraction of a large pool that is not exceeded with the given confidence: worst-case default rate × LGD."""
    check_probability([lgd], "loss given default")
    return worst_case_default_rate(probability, asset_correlation, confidence) * lgd


def loss_distribution(losses: ArrayLike, probability: float, asset_correlation: float, lgd: float) -> Array:
    """Probability that the loss fraction of a large pool is at most each of ``losses``: Φ((√(1 − ρ)·Φ⁻¹(x) −
    Φ⁻¹(p))/√ρ), x = loss ÷ LGD (Vasicek, 2002).
    """
    threshold, root, _ = _pool(probability, asset_correlation, lgd)
    rates = check_probability(as_numbers(losses, "loss") / lgd, "loss ÷ loss given default")
    return np.asarray(
        special.ndtr((math.sqrt(1.0 - asset_correlation) * special.ndtri(rates) - threshold) / root), dtype=np.float64
    )


def loss_density(losses: ArrayLike, probability: float, asset_correlation: float, lgd: float) -> Array:
    """Density of the loss fraction at each of ``losses`` (strictly between 0 and LGD): the derivative of
    :func:`loss_distribution` in the loss, so that it integrates to 1 over it.
    """
    threshold, root, _ = _pool(probability, asset_correlation, lgd)
    own = special.ndtri(check_probability(as_numbers(losses, "loss") / lgd, "loss ÷ loss given default"))
    factor = (math.sqrt(1.0 - asset_correlation) * own - threshold) / root
    jacobian = math.sqrt((1.0 - asset_correlation) / asset_correlation) / lgd
    return np.asarray(jacobian * np.exp((own * own - factor * factor) / 2.0), dtype=np.float64)


def _pool(probability: float, asset_correlation: float, lgd: float) -> tuple[float, float, float]:
    check_probability([probability], "default probability")
    check_probability([lgd], "loss given default")
    rule = "must lie strictly between 0 and 1"
    check_number(asset_correlation, "asset correlation", low=SMALLEST, high=BELOW_ONE, rule=rule)
    if lgd == 0:
        raise wrong("loss given default", lgd, "a pool that loses nothing has no distribution of loss")
    return float(special.ndtri(probability)), math.sqrt(asset_correlation), lgd


def corporate_correlation(probability: float, turnover_millions: float | None = None) -> float:
    """Asset correlation of the internal-ratings approach for corporates: 0.12 w + 0.24 (1 − w), w = (1 − e^(−50 PD)) ÷
    (1 − e^(−50)); firms with a turnover of 5 to 50 (EUR m) get up to 0.04 less (CRE31.5, 31.8).
    """
    check_probability([probability], "default probability")
    weight = (1.0 - math.exp(-50.0 * probability)) / (1.0 - math.exp(-50.0))
    correlation = 0.12 * weight + 0.24 * (1.0 - weight)
    if turnover_millions is not None:
        check_number(turnover_millions, "turnover", low=0.0, rule=NOT_NEGATIVE)
    if turnover_millions is not None and turnover_millions < 50.0:
        # Below 5 the turnover counts as 5, by the text of the rule.
        correlation -= 0.04 * (1.0 - (max(turnover_millions, 5.0) - 5.0) / 45.0)
    return correlation


def capital_requirement(
    probability: float, lgd: float, maturity_years: float = 2.5, turnover_millions: float | None = None
) -> float:
    """Capital per unit of exposure, K = [LGD·Φ((Φ⁻¹(PD) + √R·Φ⁻¹(0.999))/√(1 − R)) − PD·LGD]·(1 + (M − 2.5)b)/(1 −
    1.5b), b = (0.11852 − 0.05478 ln PD)² (CRE31.4; ORACLES.md, O10). PD of 0 has no maturity adjustment: an error.
    """
    check_probability([lgd], "loss given default")
    check_number(probability, "default probability", low=SMALLEST, high=1.0, rule="must lie in (0, 1]")
    check_number(maturity_years, "maturity in years", low=0.0, rule=NOT_NEGATIVE)
    correlation = corporate_correlation(probability, turnover_millions)
    unexpected = (worst_case_default_rate(probability, correlation, CAPITAL_CONFIDENCE) - probability) * lgd
    slope = (0.11852 - 0.05478 * math.log(probability)) ** 2
    return unexpected * (1.0 + (maturity_years - 2.5) * slope) / (1.0 - 1.5 * slope)


def risk_weight(
    probability: float, lgd: float, maturity_years: float = 2.5, turnover_millions: float | None = None
) -> float:
    """Risk weight as a fraction of exposure, 12.5 × K; no scaling factor."""
    return 12.5 * capital_requirement(probability, lgd, maturity_years, turnover_millions)


def migration_value(probabilities: ArrayLike, values: ArrayLike) -> tuple[float, float]:
    """Mean and standard deviation (of the population) of a value over rating outcomes, whose probabilities sum to 1
    (CreditMetrics; ORACLES.md, O12).
    """
    weight = check_weights(probabilities)
    outcome = check_between(values, "value", low=-LARGEST, high=LARGEST, rule="must be a number")
    if outcome.shape != weight.shape:
        raise wrong("values", outcome.tolist(), f"one for each of {len(weight)} probabilities is needed")
    mean = float(weight @ outcome)
    return mean, math.sqrt(float(weight @ (outcome - mean) ** 2))
