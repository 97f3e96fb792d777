"""Lifetime expected credit loss against plain numpy, on the portfolio of ORACLES D9 (20 quarters, three scenarios)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from orchestration.polars_jobs.lifetime_ecl import lifetime_ecl
from tests.benchmarks.measuring import Case, Run, Size

PERIODS, WEIGHTS, ODDS = 20, np.array([0.5, 0.2, 0.3]), (1.0, 0.7, 1.8)
OBLIGORS: dict[Size, int] = {"small": 10_000, "seed": 100_000}
Array = npt.NDArray[np.float64]


def portfolio(size: int) -> tuple[Array, Array, Array, Array]:
    """Hazards (scenarios, obligors), LGD, amortising exposure (obligors, periods) and effective annual rate."""
    random = np.random.default_rng(20240101)
    annual = np.clip(random.lognormal(np.log(0.04), 0.8, size), 3e-4, 0.35)
    quarterly = 1 - (1 - annual) ** 0.25
    lgd, ead = random.uniform(0.35, 0.75, size), random.lognormal(np.log(1e6), 1.0, size)
    eir = random.uniform(0.06, 0.14, size)
    odds = quarterly / (1 - quarterly)
    hazards = np.stack([odds * multiple / (1 + odds * multiple) for multiple in ODDS])
    return hazards, lgd, ead[:, None] * (1 - np.arange(PERIODS) / PERIODS), eir


def nothing(_folder: Path, _size: Size) -> None:
    """The input is made in memory by each side."""


def project(_folder: Path, size: Size) -> Run:
    hazards, lgd, ead, eir = portfolio(OBLIGORS[size])
    cube, tau = hazards[:, :, None] * np.ones(PERIODS), np.arange(1, PERIODS + 1) / 4
    return lambda: float(lifetime_ecl(cube, lgd[:, None], ead, eir=eir, tau_years=tau, weights=WEIGHTS).weighted.sum())


def baseline(_folder: Path, size: Size) -> Run:
    hazards, lgd, ead, eir = portfolio(OBLIGORS[size])
    cube, tau = hazards[:, :, None] * np.ones(PERIODS), np.arange(1, PERIODS + 1) / 4

    def run() -> float:
        discounted = lgd[:, None] * ead * (1 + eir[:, None]) ** -tau
        total = np.zeros(len(eir))
        for weight, hazard in zip(WEIGHTS, cube, strict=True):
            alive = np.cumprod(1 - hazard, axis=1) / (1 - hazard)
            total += weight * (alive * hazard * discounted).sum(axis=1)
        return float(total.sum())

    return run


CASE = Case(
    name="lifetime expected credit loss",
    baseline_name="plain numpy, without checks of the input",
    unit="obligors",
    count=OBLIGORS,
    prepare=nothing,
    project=project,
    baseline=baseline,
    tolerance=1e-12,
)
