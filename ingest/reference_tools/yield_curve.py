"""Zero rates from US Treasury par yields, by bootstrapping half-year bonds."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
from scipy.interpolate import PchipInterpolator

CURVE_ID = "UST-ZERO-CONTINUOUS"

# The maker's column heads and their tenors in months.
TENOR_MONTHS = {
    "1 Mo": 1, "2 Mo": 2, "3 Mo": 3, "4 Mo": 4, "6 Mo": 6, "1 Yr": 12, "2 Yr": 24, "3 Yr": 36,
    "5 Yr": 60, "7 Yr": 84, "10 Yr": 120, "20 Yr": 240, "30 Yr": 360,
}  # fmt: skip


def read_par_yields(path: Path) -> tuple[str, dict[float, float]]:
    """The latest day of a Treasury daily par-yield file: ISO date, and fractions by tenor in years."""
    with path.open(encoding="utf-8-sig", newline="") as handle:
        rows = list(csv.DictReader(handle))
    latest = max(rows, key=lambda row: row["Date"])
    yields = {
        months / 12: float(latest[head]) / 100 for head, months in TENOR_MONTHS.items() if latest.get(head, "").strip()
    }
    return latest["Date"], yields


def par_yield_at(par_yields: dict[float, float], years: float) -> float:
    """Par yield at any tenor, by monotone cubic (PCHIP) interpolation between the published ones, flat outside."""
    tenors = np.array(sorted(par_yields))
    values = np.array([par_yields[tenor] for tenor in tenors])
    inside = float(np.clip(years, tenors[0], tenors[-1]))
    return float(PchipInterpolator(tenors, values)(inside))


def discount_factors(par_yields: dict[float, float]) -> dict[float, float]:
    """Discount factors at the published tenors and at every half-year, by tenor in years.

    Treasury par yields are bond-equivalent: interest is simple within the half-year, and a par bond pays half its yield
    every half-year. Up to half a year the factor is 1 / (1 + y t). Beyond it, half-year par bonds priced at 1 give
    each factor from those before it: D_n = (1 - y/2 (D_1 + … + D_{n-1})) / (1 + y/2).
    """
    factors = {tenor: 1 / (1 + rate * tenor) for tenor, rate in par_yields.items() if tenor < 0.5}
    annuity = 0.0
    for half_years in range(1, round(max(par_yields) * 2) + 1):
        years = half_years / 2
        coupon = par_yield_at(par_yields, years) / 2
        factors[years] = (1 - coupon * annuity) / (1 + coupon)
        annuity += factors[years]
    return factors


def zero_rates(par_yields: dict[float, float]) -> dict[float, float]:
    """Continuously compounded zero rates as fractions, by published tenor in years: −ln(D) / t."""
    factors = discount_factors(par_yields)
    return {tenor: -math.log(factors[tenor]) / tenor for tenor in sorted(par_yields)}
