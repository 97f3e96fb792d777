"""Lifetime expected credit loss against plain numpy and against creditriskengine, on one portfolio (ORACLES.md, D9)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from orchestration.polars_jobs.lifetime_ecl import geometric_ecl, lifetime_ecl
from tests.benchmarks.measuring import Case, Run, Size
from tests.benchmarks.portfolio import AMORTISED, PERIODS, WEIGHTS, Array, portfolio

OBLIGORS: dict[Size, int] = {"small": 10_000, "seed": 100_000}
TAU_YEARS = np.arange(1, PERIODS + 1) / 4
PEER = "tests.benchmarks.peer_creditriskengine"


def nothing(_folder: Path, _size: Size) -> None:
    """The input is made in memory by each side."""


def _loss(hazards: Array, lgd: Array, ead: Array, eir: Array) -> float:
    return float(
        lifetime_ecl(
            hazards, lgd[:, None], ead[:, None] * AMORTISED, eir=eir, tau_years=TAU_YEARS, weights=WEIGHTS
        ).weighted.sum()
    )


def general(_folder: Path, size: Size) -> Run:
    """A hazard of its own for every scenario, obligor and quarter, as any term structure has."""
    hazards, lgd, ead, eir = portfolio(OBLIGORS[size])
    cube = hazards[:, :, None] * np.ones(PERIODS)
    return lambda: _loss(cube, lgd, ead, eir)


def geometric(_folder: Path, size: Size) -> Run:
    """One hazard for every scenario and obligor, the same in all quarters."""
    hazards, lgd, ead, eir = portfolio(OBLIGORS[size])
    return lambda: float(
        geometric_ecl(hazards, lgd, ead, AMORTISED, eir=eir, period_years=0.25, weights=WEIGHTS).weighted.sum()
    )


def plain_numpy(_folder: Path, size: Size) -> Run:
    hazards, lgd, ead, eir = portfolio(OBLIGORS[size])
    cube = hazards[:, :, None] * np.ones(PERIODS)

    def run() -> float:
        discounted = lgd[:, None] * ead[:, None] * AMORTISED * (1 + eir[:, None]) ** -TAU_YEARS
        total = np.zeros(len(eir))
        for weight, hazard in zip(WEIGHTS, cube, strict=True):
            alive = np.cumprod(1 - hazard, axis=1) / (1 - hazard)
            total += weight * (alive * hazard * discounted).sum(axis=1)
        return float(total.sum())

    return run


def _case(
    name: str, project: Callable[[Path, Size], Run], baseline_name: str, at_most: float, peer: str | None = None
) -> Case:
    return Case(
        name=f"lifetime expected credit loss, {name}",
        baseline_name=baseline_name,
        unit="obligors",
        count=OBLIGORS,
        prepare=nothing,
        project=project,
        baseline=plain_numpy,
        tolerance=1e-12,
        peer=peer,
        at_most=at_most,
    )


CASES = (
    _case("general hazards", general, "plain numpy, without checks of the input", 1.0),
    _case("general hazards", general, "creditriskengine, obligor by obligor", 1 / 50, PEER),
    _case("flat hazards", geometric, "creditriskengine, obligor by obligor", 1 / 300, PEER),
)
