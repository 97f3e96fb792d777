"""The portfolio on which lifetime loss is compared (20 quarters, three scenarios): numpy alone, since the peers' own
environment reads it too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

PERIODS, WEIGHTS, ODDS = 20, np.array([0.5, 0.2, 0.3]), (1.0, 0.7, 1.8)
AMORTISED = 1 - np.arange(PERIODS) / PERIODS


def portfolio(size: int) -> tuple[Array, Array, Array, Array]:
    """Hazards a quarter (scenarios, obligors), LGD, exposure at first and effective annual rate (obligors,)."""
    random = np.random.default_rng(20240101)
    annual = np.clip(random.lognormal(np.log(0.04), 0.8, size), 3e-4, 0.35)
    quarterly = 1 - (1 - annual) ** 0.25
    lgd, ead = random.uniform(0.35, 0.75, size), random.lognormal(np.log(1e6), 1.0, size)
    eir = random.uniform(0.06, 0.14, size)
    odds = quarterly / (1 - quarterly)
    hazards = np.stack([odds * multiple / (1 + odds * multiple) for multiple in ODDS])
    return hazards, lgd, ead, eir
