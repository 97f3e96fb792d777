"""Paths of a backstop's claims against a hand-written numpy kernel on the same random numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import special

from orchestration.polars_jobs.backstop_paths import (
    Book,
    Caps,
    Loadings,
    Occupancy,
    Price,
    Tranche,
    draw_shocks,
    simulate,
)
from tests.benchmarks.measuring import Case, Run, Size

Array = npt.NDArray[np.float64]
PATHS: dict[Size, int] = {"small": 10_000, "seed": 100_000}
MONTHS, TRANCHES, SEED = 72, 20, 20260701
COMMITTED, DEDUCTIBLE, PRICE = 0.85, 0.05, 2.33
MONTHLY_CAP, LIFETIME_CAP = 12e6, 400e6
OCCUPANCY, LOADINGS = Occupancy(0.80, 0.80, 0.90, 0.35), Loadings(0.45, 0.45, 0.45)
OPERATOR_PD = 1 - (1 - 0.04) ** (1 / 12)
# GPU-hours a month of each tranche (a round figure, since only time and memory are measured), and its first month.
INSTALLED = 730.0 * (1_000 + 100 * np.arange(TRANCHES))
STARTS = 2 * (np.arange(TRANCHES) // 4)
RAMP = np.array([0.5, 0.5, 0.5])


def installed(tranche: int) -> Array:
    """Installed hours by month: nothing before the tranche's first."""
    return INSTALLED[tranche] * (np.arange(MONTHS) >= STARTS[tranche])


def committed(tranche: int) -> Array:
    """Hours under the floor by month: half of them in a tranche's first three."""
    ramp = np.ones(MONTHS)
    ramp[STARTS[tranche] : STARTS[tranche] + len(RAMP)] = RAMP
    return COMMITTED * ramp * installed(tranche)


def book() -> Book:
    """Twenty tranches, delivered four at a time, without leases."""
    months = np.ones(MONTHS)
    tranches = [
        Tranche(
            f"t{k}", installed(k), committed(k), DEDUCTIBLE * committed(k), np.zeros(MONTHS), PRICE * months, leases=[]
        )
        for k in range(TRANCHES)
    ]
    return Book(
        tranches=tranches,
        caps=Caps(np.arange(MONTHS), period_cap=MONTHLY_CAP, lifetime_left=LIFETIME_CAP),
        occupancy=OCCUPANCY,
        price=Price(2.4, 2.4, 1.0, 0.45, 0.5, -0.15),
        operator_pd=OPERATOR_PD * months,
        tenant_pd=0.004 * months,
        tenant_count=0,
        renewal_probability=0.5,
        survives_insolvency=False,
        discount=1.05 ** (-np.arange(1, MONTHS + 1) / 12),
        pay_discount=1.05 ** (-np.arange(3, MONTHS + 3) / 12),
        share_rate=0.25 * months,
        floor_price=0.0,
        outstanding_months=3,
        exposure_now=0.0,
        lgd=0.6,
        set_off=False,
        resale_fraction=0.25,
    )


def nothing(_folder: Path, _size: Size) -> None:
    """The input is made in memory by each side."""


def project(_folder: Path, size: Size) -> Run:
    return lambda: float(simulate(book(), draw_shocks(SEED, PATHS[size], MONTHS), LOADINGS).claims.mean())


def kernel(paths: int) -> float:
    """Mean claim: occupancy, shortfall of each tranche, both caps and the operator's default; nothing else."""
    shocks = draw_shocks(SEED, paths, MONTHS)
    persistence, loading = OCCUPANCY.persistence, LOADINGS.occupancy
    own = np.sqrt(1 - loading**2)
    mean = special.logit(OCCUPANCY.mean_fraction)
    level, factor = np.full(paths, special.logit(OCCUPANCY.start_fraction)), shocks.factor_start
    threshold = special.ndtri(OPERATOR_PD)
    alive, left, total = np.ones(paths), np.full(paths, LIFETIME_CAP), np.zeros(paths)
    hours = np.array([installed(k) for k in range(TRANCHES)])
    floors = np.array([committed(k) for k in range(TRANCHES)])
    for month in range(MONTHS):
        shock = loading * shocks.factor[:, month] + own * shocks.occupancy[:, month]
        level = mean + persistence * (level - mean) + OCCUPANCY.shock * shock
        factor = persistence * factor + np.sqrt(1 - persistence**2) * shocks.factor[:, month]
        alive = alive * (1 - special.ndtr((threshold - loading * factor) / own))
        occupied = special.expit(level)
        claim = np.zeros(paths)
        for k in range(TRANCHES):
            unsold = np.maximum(0, floors[k, month] - occupied * hours[k, month])
            claim += np.maximum(0, unsold - DEDUCTIBLE * floors[k, month]) * PRICE
        claim = np.minimum(np.minimum(claim, MONTHLY_CAP), left)
        left -= claim
        total += claim * (alive >= shocks.operator)
    return float(total.mean())


def baseline(_folder: Path, size: Size) -> Run:
    return lambda: kernel(PATHS[size])


CASE = Case(
    name="Monte Carlo of the backstop, 72 months and 20 tranches",
    baseline_name="hand-written numpy kernel of the claims alone (no price, share, resale, receivable)",
    unit="paths",
    count=PATHS,
    prepare=nothing,
    project=project,
    baseline=baseline,
    at_most=1.5,
    peak_mib_at_most=2048,
)
