"""Paths of a backstop's claims against a hand-written numpy kernel on the same random numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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

PATHS: dict[Size, int] = {"small": 10_000, "seed": 100_000}
MONTHS, SEED = 72, 20260701
INSTALLED, COMMITTED, DEDUCTIBLE, PRICE = 40_000 * 730.0, 0.85, 0.05, 2.33
MONTHLY_CAP, LIFETIME_CAP = 12e6, 400e6
OCCUPANCY, LOADINGS = Occupancy(0.80, 0.80, 0.90, 0.35), Loadings(0.45, 0.45, 0.45)
OPERATOR_PD = 1 - (1 - 0.04) ** (1 / 12)


def book() -> Book:
    """One tranche without leases; hours a month are a round figure, since only time and memory are measured."""
    months = np.ones(MONTHS)
    committed = INSTALLED * COMMITTED * months
    tranche = Tranche("t", INSTALLED * months, committed, DEDUCTIBLE * committed, 0 * months, PRICE * months, [])
    return Book(
        tranches=[tranche],
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
    """Mean claim: occupancy, shortfall, both caps and the operator's default; nothing else."""
    shocks = draw_shocks(SEED, paths, MONTHS)
    persistence, loading = OCCUPANCY.persistence, LOADINGS.occupancy
    own = np.sqrt(1 - loading**2)
    mean = special.logit(OCCUPANCY.mean_fraction)
    level, factor = np.full(paths, special.logit(OCCUPANCY.start_fraction)), shocks.factor_start
    threshold = special.ndtri(OPERATOR_PD)
    alive, left, total = np.ones(paths), np.full(paths, LIFETIME_CAP), np.zeros(paths)
    committed = INSTALLED * COMMITTED
    for month in range(MONTHS):
        shock = loading * shocks.factor[:, month] + own * shocks.occupancy[:, month]
        level = mean + persistence * (level - mean) + OCCUPANCY.shock * shock
        factor = persistence * factor + np.sqrt(1 - persistence**2) * shocks.factor[:, month]
        alive = alive * (1 - special.ndtr((threshold - loading * factor) / own))
        sold = INSTALLED * special.expit(level)
        hours = np.maximum(0, np.maximum(0, committed - sold) - DEDUCTIBLE * committed)
        claim = np.minimum(np.minimum(hours * PRICE, MONTHLY_CAP), left)
        left -= claim
        total += claim * (alive >= shocks.operator)
    return float(total.mean())


def baseline(_folder: Path, size: Size) -> Run:
    return lambda: kernel(PATHS[size])


CASE = Case(
    name="Monte Carlo of the backstop, 72 months",
    baseline_name="hand-written numpy kernel of the claims alone (no price, share, resale, receivable)",
    unit="paths",
    count=PATHS,
    prepare=nothing,
    project=project,
    baseline=baseline,
)
