"""The default curve of an obligor as known on a day: its own, from CDS spreads or given probabilities
(``raw.credit_curve``), else that of its rating.

An own curve of the latest date counts; of a day that has both kinds, the probabilities as given. Probabilities out of spreads
are those at which the market insures: they hold its price of risk, and nothing takes it out. How a curve follows from its
nodes belongs in default_curves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from orchestration.polars_jobs.default_curves import DefaultCurve, cds_curve, curve_of, given_curve
from orchestration.polars_jobs.errors import wrong
from orchestration.polars_jobs.yield_curves import YieldCurves

# In order of preference on one day.
KINDS = ("cumulative_pd", "cds_spread")
# What the market's contracts settle at where a row does not say (ISDA's convention for senior unsecured debt).
MARKET_RECOVERY = 0.40


class Sourced(NamedTuple):
    """A default curve and where it comes from: ``cumulative_pd``, ``cds_spread`` or ``rating``."""

    curve: DefaultCurve
    source: str


class ObligorCurves:
    """The curves of a home's obligors. ``table``: ``raw.default_rate``; ``own``: ``raw.credit_curve`` (obligor_id,
    curve_date, kind, horizon_years, value, recovery_fraction), or None; ``yields`` discount the legs of swaps (at 0 where no
    curve is known).
    """

    def __init__(self, table: pl.DataFrame, own: pl.DataFrame | None, yields: YieldCurves) -> None:
        """Read the nodes once; curves are made when they are asked for."""
        self._table, self._yields = table, yields
        self._own: dict[str, dict[tuple[date, str], list[Mapping[str, Any]]]] = {}
        for row in [] if own is None else own.iter_rows(named=True):
            if row["kind"] not in KINDS:
                raise wrong("kind", row["kind"], f"must be one of {', '.join(KINDS)}", row["obligor_id"])
            nodes = self._own.setdefault(row["obligor_id"], {})
            nodes.setdefault((row["curve_date"], row["kind"]), []).append(row)
        self._made: dict[object, DefaultCurve] = {}

    def known(self, obligor_id: str, day: date, agency: str | None, rating: str) -> Sourced:
        """The curve as known on a day. Raises :class:`CreditInputError` for nodes that no curve explains, and where neither
        nodes nor a table of the rating are there.
        """
        return self._sourced(obligor_id, self._days(obligor_id, day)[-1:], agency, rating)

    def first(self, obligor_id: str, day: date, agency: str | None, rating: str) -> Sourced:
        """The curve at first recognition: the first own one where there is any by the day, so that like is compared with
        like; else that of the rating.
        """
        return self._sourced(obligor_id, self._days(obligor_id, day)[:1], agency, rating)

    def _days(self, obligor_id: str, day: date) -> list[tuple[date, str]]:
        """Date and kind of the own curves known on a day, one a date, in order."""
        found: dict[date, str] = {}
        for known, kind in self._own.get(obligor_id, {}):
            if known <= day:
                found[known] = min(found.get(known, kind), kind, key=KINDS.index)
        return sorted(found.items())

    def _sourced(self, obligor_id: str, chosen: Sequence[tuple[date, str]], agency: str | None, rating: str) -> Sourced:
        if not chosen:
            key: object = (agency, rating)
            if key not in self._made:
                self._made[key] = curve_of(self._table, agency, rating, obligor=obligor_id)
            return Sourced(self._made[key], "rating")
        day, kind = chosen[0]
        key = (obligor_id, day, kind)
        if key not in self._made:
            self._made[key] = self._own_curve(obligor_id, day, kind)
        return Sourced(self._made[key], kind)

    def _own_curve(self, obligor_id: str, day: date, kind: str) -> DefaultCurve:
        nodes = self._own[obligor_id][day, kind]
        years, values = (np.array([float(row[name]) for row in nodes]) for name in ("horizon_years", "value"))
        if kind == "cumulative_pd":
            return given_curve(years, values, obligor_id)
        recoveries = {row["recovery_fraction"] for row in nodes if row["recovery_fraction"] is not None}
        if len(recoveries) > 1:
            raise wrong("recovery", sorted(map(float, recoveries)), f"differs within the curve of {day}", obligor_id)
        recovery = float(next(iter(recoveries))) if recoveries else MARKET_RECOVERY
        zero = self._yields.known(day, years)
        return cds_curve(years, values, recovery, zero_rate=0.0 if zero is None else zero, obligor=obligor_id)
