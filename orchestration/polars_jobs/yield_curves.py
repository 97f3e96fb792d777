"""Zero curves as known on a day: reading them out of ``raw.yield_curve`` and rates at any tenor. What is discounted with them
belongs elsewhere.
"""

from __future__ import annotations

import math
from datetime import date
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from orchestration.polars_jobs.policies import CreditPolicy

Array: TypeAlias = npt.NDArray[np.float64]


class YieldCurves:
    """Zero curves by date: at any day the last one not after it."""

    def __init__(self, table: pl.DataFrame | None) -> None:
        """Of several curves of a day, the first by name counts."""
        self._curves: list[tuple[date, Array, Array]] = []
        if table is None:
            return
        for (day,), rows in (
            table.sort("curve_date", "tenor_years")
            .partition_by("curve_date", as_dict=True, maintain_order=True)
            .items()
        ):
            chosen = rows.filter(pl.col("curve_id") == pl.col("curve_id").min())
            years, rates = (chosen[name].cast(pl.Float64).to_numpy() for name in ("tenor_years", "zero_rate"))
            self._curves.append((cast("date", day), years, rates))

    def known(self, day: date, years: Array) -> Array | None:
        """Continuous zero rates, linear in tenor and flat outside it; None where no curve is known by the day."""
        found = [curve for curve in self._curves if curve[0] <= day]
        if not found:
            return None
        _, tenors, rates = found[-1]
        return np.asarray(np.interp(years, tenors, rates), dtype=np.float64)

    def rates(self, day: date, years: Array, policy: CreditPolicy) -> Array:
        """The same; without a curve the policy's effective rate, as a continuous one."""
        found = self.known(day, years)
        return np.full(len(years), math.log1p(policy.number("discount_rate"))) if found is None else found
