"""What a park's own history says of the processes that its paths follow: occupancy's AR(1) on the logit by least squares, and
the volatility of prices from their observations.

A history that is too short, or that does not revert, has no estimate: the policy's parameters stand then. The processes
themselves belong in backstop_paths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
from scipy import special

from orchestration.polars_jobs.errors import LARGEST, SMALLEST, check_between, check_count, check_number
from orchestration.polars_jobs.lifetime_ecl import check_probability

DAYS_PER_YEAR = 365.0


class OccupancyEstimate(NamedTuple):
    """``mean_fraction``, monthly ``persistence`` and ``shock`` of the AR(1) on the logit; ``months`` that it rests on."""

    mean_fraction: float
    persistence: float
    shock: float
    months: int


def estimate_occupancy(fractions: Sequence[float], least_months: int, edge: float = 0.005) -> OccupancyEstimate | None:
    """Least squares of x_t on x_{t−1}, x the logit of monthly occupancy (0 and 1, which have none, are taken ``edge`` inside):
    persistence is the slope, the mean where the line meets itself, the shock the residuals' deviation with two degrees of
    freedom lost. None where there are fewer than ``least_months``, where occupancy never moved, or where the slope is not in
    (0, 1): then it does not revert. Raises :class:`CreditInputError` for a fraction outside [0, 1].
    """
    seen = check_probability(fractions, "occupancy")
    check_count(least_months, "least months")
    check_number(edge, "edge", low=SMALLEST, high=0.5, rule="must lie in (0, 0.5]")
    if len(seen) < max(least_months, 4):
        return None
    levels = special.logit(np.minimum(np.maximum(seen, edge), 1.0 - edge))
    before, after = levels[:-1], levels[1:]
    spread = float(((before - before.mean()) ** 2).sum())
    if spread == 0:
        return None
    slope = float(((before - before.mean()) * (after - after.mean())).sum()) / spread
    if not 0 < slope < 1:
        return None
    start = float(after.mean()) - slope * float(before.mean())
    residuals = after - start - slope * before
    shock = math.sqrt(float((residuals**2).sum()) / (len(after) - 2))
    return OccupancyEstimate(float(special.expit(start / (1.0 - slope))), slope, shock, len(seen))


def estimate_volatility(observed: Sequence[tuple[date, float]], least_count: int) -> float | None:
    """Annual volatility of prices: √(Σ squared changes of the logarithm ÷ Σ years between them), observations in any order,
    of one day their median. None where there are fewer than ``least_count`` days. Raises :class:`CreditInputError` for a
    price that is not positive.
    """
    prices = check_between(
        [price for _, price in observed], "price", low=math.ulp(0.0), high=LARGEST, rule="must be positive"
    )
    check_count(least_count, "least days")
    by_day: dict[date, list[float]] = {}
    for (day, _), price in zip(observed, prices.tolist(), strict=True):
        by_day.setdefault(day, []).append(price)
    days = sorted(by_day)
    if len(days) < max(least_count, 2):
        return None
    changes = np.diff(np.log([float(np.median(by_day[day])) for day in days]))
    years = (days[-1] - days[0]).days / DAYS_PER_YEAR
    return math.sqrt(float((changes**2).sum()) / years)
