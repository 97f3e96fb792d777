"""Lifetime loss by creditriskengine, obligor by obligor as its functions ask for; run by the peers' own environment.

Arguments: obligors, runs. Prints what one_side prints.
"""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
from creditriskengine.ecl.ifrs9.ecl_calc import ecl_lifetime
from creditriskengine.ecl.ifrs9.lifetime_pd import cumulative_pd_from_annual, marginal_pd_from_cumulative
from creditriskengine.ecl.ifrs9.scenarios import Scenario, weighted_ecl

from tests.benchmarks.measuring import time_run
from tests.benchmarks.portfolio import AMORTISED, PERIODS, WEIGHTS, portfolio


def loop(size: int) -> float:
    """Σ weighted loss over the obligors."""
    hazards, lgd, ead, eir = portfolio(size)
    losses = np.empty(size)
    for i in range(size):
        scenarios = []
        for s, weight in enumerate(WEIGHTS):
            marginal = marginal_pd_from_cumulative(cumulative_pd_from_annual([hazards[s, i]] * PERIODS))
            loss = ecl_lifetime(marginal, float(lgd[i]), ead[i] * AMORTISED, (1 + eir[i]) ** 0.25 - 1)
            scenarios.append(Scenario(str(s), weight, loss))
        losses[i] = weighted_ecl(scenarios)
    return float(losses.sum())


def main() -> None:
    size, runs = (int(text) for text in sys.argv[1:])
    timing = time_run(lambda: loop(size), runs, warm_up=False)
    sys.stdout.write(json.dumps(dataclasses.asdict(timing)) + "\n")


if __name__ == "__main__":
    main()
