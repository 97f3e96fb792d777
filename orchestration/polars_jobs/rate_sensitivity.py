"""Interest-rate sensitivity of the expected share and claim streams: parallel shifts, key rates, effective duration.

Present values move with the curve; the expected credit loss of short items at an effective rate of 0 does not, and
the effect of rates on an operator's floating debt goes through its debt service (CREDIT.md, 3.5): neither is in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from orchestration.polars_jobs.backstop_paths import Array
from orchestration.polars_jobs.backstop_worth import Valuation, in_force
from orchestration.polars_jobs.errors import (
    LARGEST,
    NOT_NEGATIVE,
    CreditInputError,
    check_between,
    check_count,
    check_number,
    wrong,
)
from orchestration.polars_jobs.expected_loss import share_days
from orchestration.polars_jobs.frames import Frames, RowsBy, add_months, make_frame, month_end, optional
from orchestration.polars_jobs.money import MONEY, money_from_estimate
from orchestration.polars_jobs.policies import CreditPolicy
from orchestration.polars_jobs.yield_curves import YieldCurves

PARALLEL_BP = (-300, -200, -100, 0, 100, 200, 300)
KEY_YEARS = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0)
BASIS_POINT = 1e-4
DURATION_SHIFT = 1e-4
KEY_SHIFT = 1e-4

SENSITIVITY_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "stream": pl.String,
    "shock": pl.String,
    "shift_bp": pl.Int32,
    "key_rate_years": pl.Float64,
    "present_value_amount": MONEY,
    "change_amount": MONEY,
    "effective_duration_years": pl.Float64,
    "currency_code": pl.String,
}


class Curve(NamedTuple):
    """Continuous zero rates at nodes in years, ascending; linear between, flat outside. One node is a flat curve."""

    years: Array
    rates: Array

    def at(self, times: Array) -> Array:
        """Rates at any times. Raises :class:`CreditInputError` for nodes that do not ascend, and for what is no number."""
        rising = len(self.years) == len(self.rates) > 0 and self.years[0] >= 0 and (np.diff(self.years) > 0).all()
        if not rising or not np.isfinite(self.rates).all():
            self._refuse()
        return np.asarray(np.interp(times, self.years, self.rates), dtype=np.float64)

    def _refuse(self) -> None:
        if not len(self.years) or len(self.years) != len(self.rates):
            raise CreditInputError("a curve needs a rate for each of its nodes, one at least", field="zero rate")
        years = check_between(self.years, "curve node in years", low=0.0, high=LARGEST, rule=NOT_NEGATIVE)
        check_between(self.rates, "zero rate", low=-LARGEST, high=LARGEST, rule="must be a number")
        back = int(np.flatnonzero(np.diff(years) <= 0)[0])
        raise wrong("curve node in years", float(years[back + 1]), f"must come after {float(years[back])!r}")


def _check_flows(flows: Array, times: Array) -> None:
    if len(flows) != len(times):
        raise CreditInputError("each flow needs its time")
    check_between(flows, "cash flow", low=-LARGEST, high=LARGEST, rule="must be a number")
    check_between(times, "time in years", low=0.0, high=LARGEST, rule=NOT_NEGATIVE)


def present_value(flows: Array, times: Array, curve: Curve, shift: Array | float = 0.0) -> float:
    """Σ flow · exp(−(rate + shift) · time); ``flows`` and ``times`` (years, ACT/365F) of equal length, ``shift`` in
    absolute rate, one number or one per flow.
    """
    _check_flows(flows, times)
    return float(flows @ np.exp(-(curve.at(times) + shift) * times))


def _values(flows: Array, times: Array, curve: Curve, shifts: Array) -> Array:
    """Present values (K,) under each of some shifts of the curve (K, T): one product for all of them."""
    _check_flows(flows, times)
    return np.asarray(np.exp(-(curve.at(times) + shifts) * times) @ flows, dtype=np.float64)


def effective_duration(flows: Array, times: Array, curve: Curve, shift: float = DURATION_SHIFT) -> float | None:
    """(PV down − PV up) ÷ (2 · shift · PV), in years; None where the present value is zero."""
    levels = np.array([0.0, -shift, shift])[:, None]
    base, down, up = _values(flows, times, curve, levels + np.zeros(len(times))).tolist()
    return (down - up) / (2 * shift * base) if base else None


class YieldMeasures(NamedTuple):
    """``price``: present value of the flows; durations in years, convexity in years squared."""

    price: float
    macaulay_years: float
    modified_years: float
    convexity: float


def yield_measures(flows: Array, times: Array, yield_rate: float, frequency: int = 2) -> YieldMeasures:
    """Price, durations and convexity of flows at ``times`` (years) under a yield compounded ``frequency`` times a year
    (ORACLES.md, O20). The day count that makes the times is the instrument's own: it moves the fourth decimal.
    """
    _check_flows(flows, times)
    flows, times = np.asarray(flows, dtype=np.float64), np.asarray(times, dtype=np.float64)
    growth = 1.0 + check_number(yield_rate, "yield") / check_count(frequency, "payments a year", low=1)
    if growth <= 0:
        raise wrong("yield", yield_rate, f"must be above −{frequency} at {frequency} payments a year")
    values = flows * growth ** (-times * frequency)
    price = float(values.sum())
    macaulay = float(values @ times) / price
    convexity = float(values @ (times * (times + 1.0 / frequency))) / price / growth**2
    return YieldMeasures(price, macaulay, macaulay / growth, convexity)


def key_rate_weights(times: Array, nodes: Sequence[float]) -> Array:
    """(K, T): the triangular part of each key rate in the rate at each time; they sum to 1, the ends are flat."""
    node = np.arange(len(nodes), dtype=np.float64)
    # Where each time lies among the nodes, in nodes: between two of them it belongs to both, by its nearness.
    return np.maximum(1.0 - np.abs(np.interp(times, nodes, node) - node[:, None]), 0.0)


def key_rate_durations(
    flows: Array, times: Array, curve: Curve, nodes: Sequence[float] = KEY_YEARS, shift: float = KEY_SHIFT
) -> Array:
    """Effective duration to each key rate alone (K,); they sum to the duration of a parallel shift of the same size,
    up to its square.
    """
    weights = key_rate_weights(times, nodes)
    found = _values(flows, times, curve, np.concatenate([np.zeros((1, len(times))), -shift * weights, shift * weights]))
    base, down, up = found[0], found[1 : len(nodes) + 1], found[len(nodes) + 1 :]
    return np.asarray((down - up) / (2 * shift * base), dtype=np.float64) if base else np.zeros(len(nodes))


def rate_sensitivity(frames: Frames, made: Sequence[Valuation], policy: CreditPolicy) -> pl.DataFrame:
    """``credit.fct_rate_sensitivity_month``: per contract, month and stream (share, claim), parallel shifts of ±100,
    200, 300 bp and 100 bp on each key rate.

    Streams are the expected amounts by month of the base case; share is taken to be paid when the invoice of its
    month is due (where part is withheld, in the mean of the two), claims on their due day. effective_duration_years
    stands on the row of shock ``parallel_0`` for the whole curve and on each key rate's row for that rate.
    """
    rows: list[dict[str, Any]] = []
    terms, share_terms = (RowsBy(optional(frames, f"raw.{name}_terms")) for name in ("backstop", "share"))
    yields = YieldCurves(optional(frames, "raw.yield_curve"))
    for valuation in made:
        close, figures = valuation.close, valuation.figures["base"]
        first = add_months(close.posting_month, 1)
        ends = [month_end(add_months(first, number)) for number in range(len(figures.share_by_month))]
        for stream, flows, wait in (
            ("share", figures.share_by_month, share_days(share_terms, close)),
            ("claim", figures.claims_by_month, _claim_days(terms, valuation)),
        ):
            times = np.array([((end - close.month_end_date).days + wait) / 365.0 for end in ends])
            curve = Curve(times, yields.rates(close.month_end_date, times, policy))
            rows.extend(_rows(valuation, stream, flows, times, curve))
    return make_frame(rows, SENSITIVITY_SCHEMA, ["contract_id", "month", "stream", "key_rate_years", "shift_bp"])


def _claim_days(terms: RowsBy, valuation: Valuation) -> int:
    row = in_force(terms, valuation.close)
    return int(row["claim_notice_days"] or 0) + int(row["claim_payment_days"] or 0) if row else 0


def _rows(valuation: Valuation, stream: str, flows: Array, times: Array, curve: Curve) -> list[dict[str, Any]]:
    base = present_value(flows, times, curve)
    base_amount = money_from_estimate(base)
    weights = key_rate_weights(times, KEY_YEARS)
    keys = key_rate_durations(flows, times, curve)
    shocks: list[tuple[str, int, float | None, Array | float, float | None]] = [
        (
            f"parallel_{bp:+d}" if bp else "parallel_0",
            bp,
            None,
            bp * BASIS_POINT,
            effective_duration(flows, times, curve) if bp == 0 else None,
        )
        for bp in PARALLEL_BP
    ]
    shocks += [
        (f"key_rate_{years:g}y", 100, years, 100 * BASIS_POINT * weights[number], float(keys[number]) if base else None)
        for number, years in enumerate(KEY_YEARS)
    ]
    out = []
    shifts = np.stack([np.broadcast_to(np.asarray(shift, dtype=np.float64), times.shape) for *_, shift, _ in shocks])
    values = _values(flows, times, curve, shifts)
    for (name, bp, years, _, duration), found in zip(shocks, values, strict=True):
        amount = money_from_estimate(float(found))
        out.append(
            {
                "contract_id": valuation.close.contract_id,
                "month": valuation.close.posting_month,
                "stream": stream,
                "shock": name,
                "shift_bp": bp,
                "key_rate_years": years,
                "present_value_amount": amount,
                "change_amount": amount - base_amount,
                "effective_duration_years": duration,
                "currency_code": valuation.currency_code,
            }
        )
    return out
