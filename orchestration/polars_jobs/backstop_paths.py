"""Monte Carlo of what a capacity backstop may cost: paths of occupancy, price, tenants and operator on one systemic
factor.

The lease book in hand is a floor under a market process: third-party hours are the larger of what is still under
contract (rolled off, renewed, cut by tenants' defaults) and occupancy times installed hours, occupancy being AR(1) on
the logit from where it stands today. Price reverts to its mean and jumps at new generations; a monotone decay is
refuted by 2025-26 prices (FACTS.md, 3.1). Positive factor is good everywhere: occupancy and price up, defaults down —
so that claims are large exactly when the operator is weak (wrong-way risk). Caps act on each path, never on means.
Reading the warehouse's tables belongs in backstop_worth, measurement bases in backstop_liability.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import integrate, optimize, special, stats

from orchestration.polars_jobs.errors import wrong
from orchestration.polars_jobs.lifetime_ecl import check_probability, vasicek_shift

Array: TypeAlias = npt.NDArray[np.float64]

MONTHS_PER_YEAR = 12.0
BLOCK_PATHS = 2_000


class Occupancy(NamedTuple):
    """AR(1) on the logit, monthly: x_t = mean + persistence (x_{t−1} − mean) + shock · e_t; occupancy is its expit."""

    start_fraction: float
    mean_fraction: float
    persistence: float
    shock: float


class Price(NamedTuple):
    """Mean-reverting logarithm of price with jumps: per GPU-hour, annual speed and volatility, monthly steps."""

    start: float
    mean: float
    reversion_per_year: float
    volatility: float
    jump_probability_per_year: float
    jump_fraction: float


class Loadings(NamedTuple):
    """Correlation of each shock with the systemic factor, in [0, 1)."""

    occupancy: float
    price: float
    default: float


class Shocks(NamedTuple):
    """Random numbers of one run, the same for every correlation case; the second half of the paths mirrors the first.

    ``factor_start`` (P,), ``factor``, ``occupancy``, ``price`` (P, T) standard normal; ``jump`` (P, T), ``operator``
    (P,), ``tenants`` (P, K) and ``renewals`` (P, L) uniform.
    """

    factor_start: Array
    factor: Array
    occupancy: Array
    price: Array
    jump: Array
    operator: Array
    tenants: Array
    renewals: Array


def stable_seed(*parts: object) -> int:
    """A 32-bit seed from the parts' text: the same on any machine and in any process."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def draw_shocks(seed: int, paths: int, months: int, tenants: int = 0, leases: int = 0) -> Shocks:
    """Antithetic random numbers: ``paths`` must be even, path i + paths/2 mirrors path i."""
    if paths < 2 or paths % 2:
        raise wrong("number of paths", paths, "must be even and positive")
    random = np.random.default_rng(seed)
    half = paths // 2

    def normal(*shape: int) -> Array:
        values = random.standard_normal((half, *shape))
        return np.concatenate([values, -values])

    def uniform(*shape: int) -> Array:
        values = random.random((half, *shape))
        return np.concatenate([values, 1.0 - values])

    return Shocks(
        normal(),
        normal(months),
        normal(months),
        normal(months),
        uniform(months),
        uniform(),
        uniform(tenants),
        uniform(leases),
    )


def correlated(own: Array, factor: Array, loading: float) -> Array:
    """Standard normal of the given correlation: loading · factor + √(1 − loading²) · own."""
    if not 0 <= loading < 1:
        raise wrong("factor loading", loading, "must lie in [0, 1)")
    return loading * factor + math.sqrt(1.0 - loading * loading) * own


def factor_levels(start: Array, innovations: Array, persistence: float) -> Array:
    """The level of the factor, stationary standard normal: M_t = φ M_{t−1} + √(1 − φ²) Z_t, (P, T)."""
    level, scale = start, math.sqrt(1.0 - persistence * persistence)
    out = np.empty_like(innovations)
    for month in range(innovations.shape[1]):
        level = persistence * level + scale * innovations[:, month]
        out[:, month] = level
    return out


def occupancy_paths(model: Occupancy, shocks: Array) -> Array:
    """Occupancy fractions (P, T) from standard normal shocks (P, T). Start and mean lie strictly between 0 and 1."""
    for name, value in (("start", model.start_fraction), ("mean", model.mean_fraction)):
        if not 0 < value < 1:
            raise wrong(f"{name} occupancy", value, "must lie strictly between 0 and 1")
    mean = float(special.logit(model.mean_fraction))
    level = np.full(shocks.shape[0], float(special.logit(model.start_fraction)))
    out = np.empty_like(shocks)
    for month in range(shocks.shape[1]):
        level = mean + model.persistence * (level - mean) + model.shock * shocks[:, month]
        out[:, month] = level
    return np.asarray(special.expit(out), dtype=np.float64)


def price_paths(model: Price, shocks: Array, jump_uniforms: Array) -> Array:
    """Prices per GPU-hour (P, T), exact discretisation of the mean-reverting logarithm, times (1 + jump) in months of
    a release.
    """
    step = 1.0 / MONTHS_PER_YEAR
    speed = model.reversion_per_year
    keep = math.exp(-speed * step)
    spread = model.volatility * (math.sqrt((1.0 - keep * keep) / (2.0 * speed)) if speed > 0 else math.sqrt(step))
    mean, level = math.log(model.mean), np.full(shocks.shape[0], math.log(model.start))
    jump_chance = 1.0 - (1.0 - model.jump_probability_per_year) ** step
    jump = math.log1p(model.jump_fraction)
    out = np.empty_like(shocks)
    for month in range(shocks.shape[1]):
        level = (
            mean + (level - mean) * keep + spread * shocks[:, month] + jump * (jump_uniforms[:, month] < jump_chance)
        )
        out[:, month] = level
    return np.exp(out)


def survival_paths(monthly_pd: Array, levels: Array, loading: float) -> Array:
    """Probability of having survived to each month's end given the path of the factor (P, T); ``monthly_pd`` (T,) is
    what the factor averages to in each month.
    """
    hazard = vasicek_shift(check_probability(monthly_pd, "monthly default probability"), loading * loading, levels)
    return np.asarray(np.cumprod(1.0 - hazard, axis=1), dtype=np.float64)


def default_months(survival: Array, uniforms: Array) -> npt.NDArray[np.int64]:
    """First month (0-based) in which survival falls below each path's uniform; T where it never does. (P, T), (P,) →
    (P,).
    """
    return np.asarray((survival >= uniforms[:, None]).sum(axis=1), dtype=np.int64)


@dataclass(frozen=True)
class Lease:
    """Leases of one tenant on one tranche that end together: hours under contract by month (T,), and full hours by
    month from the end on, were they renewed (T,).
    """

    tenant: int
    contracted_hours: Array
    renewal_hours: Array
    revenue: Array


@dataclass(frozen=True)
class Tranche:
    """One tranche's months ahead, each (T,) in GPU-hours or per GPU-hour: installed, committed (fraction and ramp
    applied, zero without backstop), deductible, vendor use that counts, buy-back price.
    """

    tranche_id: str
    installed: Array
    committed: Array
    deductible: Array
    vendor_use: Array
    buyback_price: Array
    leases: Sequence[Lease]


@dataclass(frozen=True)
class Caps:
    """What limits the claims: per-period caps by group of months, what is left of the lifetime cap, and how that
    shrinks besides by claims.

    ``period_of_month`` (T,) group numbers; ``period_cap`` per group or None; ``period_used`` already claimed in the
    first group; ``lifetime_left`` or None; ``time_reduction`` (T,) amounts; ``sales_reduce``: third-party hours ×
    buy-back price take from the lifetime cap too.
    """

    period_of_month: npt.NDArray[np.int64]
    period_cap: float | None = None
    period_used: float = 0.0
    lifetime_left: float | None = None
    time_reduction: Array | None = None
    sales_reduce: bool = False


NO_CAPS = Caps(np.zeros(0, dtype=np.int64))


def shortfall_hours(
    committed: Array, sold: Array, vendor_use: Array | float = 0.0, deductible: Array | float = 0.0
) -> Array:
    """Hours drawn: max(0, max(0, committed − sold − vendor use) − deductible); none where the floor is reached."""
    return np.maximum(0.0, np.maximum(0.0, committed - sold - vendor_use) - deductible)


def cap_claims(claims: Array, caps: Caps, third_party_value: Array | None = None) -> Array:
    """Claims (P, T) after the period cap, then the lifetime cap, path by path and month by month.
    ``third_party_value`` (P, T): hours sold × buy-back price, used where sales reduce the cap.
    """
    if caps.period_cap is None and caps.lifetime_left is None:
        return claims
    out = np.empty_like(claims)
    left = np.full(claims.shape[0], math.inf if caps.lifetime_left is None else caps.lifetime_left)
    in_period, group = np.full(claims.shape[0], caps.period_used), -1
    for month in range(claims.shape[1]):
        claim = claims[:, month]
        if caps.period_cap is not None:
            if caps.period_of_month[month] != group and group != -1:
                in_period = np.zeros_like(in_period)
            group = int(caps.period_of_month[month])
            claim = np.minimum(claim, np.maximum(caps.period_cap - in_period, 0.0))
        if caps.time_reduction is not None:
            left = left - caps.time_reduction[month]
        if caps.sales_reduce and third_party_value is not None:
            left = left - third_party_value[:, month]
        claim = np.minimum(claim, np.maximum(left, 0.0))
        left = left - claim
        in_period = in_period + claim
        out[:, month] = claim
    return out


@dataclass(frozen=True)
class Book:
    """Everything about one contract that the paths need, months 0…T−1 after the valuation month.

    ``operator_pd``, ``tenant_pd``: monthly conditional default probability (T,). ``pay_discount``: discount factor
    from the payment day of each month's claim (T,); ``discount``: from month ends (T,). ``share_rate`` (T,) on
    revenue above ``floor_price`` per hour. ``outstanding_months``: months of share that are unpaid at a default;
    ``exposure_now``: billed and accrued today. ``lgd``: on what is owed then.
    """

    tranches: Sequence[Tranche]
    caps: Caps
    occupancy: Occupancy
    price: Price
    operator_pd: Array
    tenant_pd: Array
    tenant_count: int
    renewal_probability: float
    survives_insolvency: bool
    discount: Array
    pay_discount: Array
    share_rate: Array
    floor_price: float
    outstanding_months: int
    exposure_now: float
    lgd: float
    set_off: bool
    resale_fraction: float
    operator_in_default: bool = False


class PathResult(NamedTuple):
    """Per path (P,): claims undiscounted and discounted, gross claims as if nothing could void them, share, resale
    income, loss on the receivable, whether the operator defaults; and means by month (T,).
    """

    claims: Array
    present_value: Array
    unvoided: Array
    share: Array
    resale: Array
    receivable_loss: Array
    defaulted: npt.NDArray[np.bool_]
    claims_by_month: Array
    share_by_month: Array


class MonthPaths(NamedTuple):
    """Per path and month (P, T), undiscounted: what tenants pay, the vendor's share, claims paid and claims as if nothing
    could void them, resale income. Per path (P,): discounted loss on the receivable, and the month of the operator's
    default (T: none).
    """

    revenue: Array
    share: Array
    claims: Array
    unvoided: Array
    resale: Array
    receivable_loss: Array
    default_month: npt.NDArray[np.int64]


def month_paths(book: Book, shocks: Shocks, loadings: Loadings) -> MonthPaths:
    """The paths themselves, month by month, where sums over the horizon do not answer the question. Memory grows with
    paths × months: for some thousands of paths.
    """
    paths = shocks.factor.shape[0]
    blocks = [
        _month_paths(book, Shocks(*(part[start : start + BLOCK_PATHS] for part in shocks)), loadings)
        for start in range(0, paths, BLOCK_PATHS)
    ]
    return MonthPaths(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def simulate(book: Book, shocks: Shocks, loadings: Loadings) -> PathResult:
    """Run all paths of one contract under one correlation case, in blocks that stay in the processor's cache."""
    paths = shocks.factor.shape[0]
    blocks = []
    for start in range(0, paths, BLOCK_PATHS):
        rows = slice(start, min(start + BLOCK_PATHS, paths))
        blocks.append(_simulate_block(book, Shocks(*(part[rows] for part in shocks)), loadings))
    weights = np.array([len(block.claims) for block in blocks]) / paths
    joined = [np.concatenate(parts) for parts in zip(*(block[:7] for block in blocks), strict=True)]
    means = [
        np.tensordot(weights, np.stack(parts), axes=1) for parts in zip(*(block[7:] for block in blocks), strict=True)
    ]
    return PathResult(*joined, *means)


def _contract_hours(
    tranche: Tranche, first: int, shocks: Shocks, tenant_survival: Array | None, renewed: Array
) -> tuple[Array | float, Array | float, Array | float]:
    """Hours still under contract, hours renewed, and the contracts' own revenue of one tranche, (P, T) each.

    ``first``: number of the tranche's first lease among all. Leases of one tenant stand and fall together.
    """
    contracted: Array | float = 0.0
    again: Array | float = 0.0
    revenue: Array | float = 0.0
    for tenant in sorted({lease.tenant for lease in tranche.leases}):
        numbers = [number for number, lease in enumerate(tranche.leases) if lease.tenant == tenant]
        own = [tranche.leases[number] for number in numbers]
        alive = 1.0 if tenant_survival is None else (tenant_survival >= shocks.tenants[:, [tenant]]).astype(np.float64)
        contracted = contracted + alive * np.sum([lease.contracted_hours for lease in own], axis=0)
        revenue = revenue + alive * np.sum([lease.revenue for lease in own], axis=0)
        rollings = np.stack([lease.renewal_hours for lease in own])
        if rollings.any():
            again = again + alive * (renewed[:, [first + number for number in numbers]] @ rollings)
    return contracted, again, revenue


def _month_paths(book: Book, shocks: Shocks, loadings: Loadings) -> MonthPaths:
    paths, months = shocks.factor.shape
    occupancy = occupancy_paths(book.occupancy, correlated(shocks.occupancy, shocks.factor, loadings.occupancy))
    price = price_paths(book.price, correlated(shocks.price, shocks.factor, loadings.price), shocks.jump)
    levels = factor_levels(shocks.factor_start, shocks.factor, book.occupancy.persistence)
    default_month = (
        np.zeros(paths, dtype=np.int64)
        if book.operator_in_default
        else default_months(survival_paths(book.operator_pd, levels, loadings.default), shocks.operator)
    )
    tenant_survival = survival_paths(book.tenant_pd, levels, loadings.default) if book.tenant_count else None
    renewed = (shocks.renewals < book.renewal_probability).astype(np.float64)
    claims, hours = np.zeros((paths, months)), np.zeros((paths, months))
    revenue, sold_value, sold_hours = np.zeros((paths, months)), np.zeros((paths, months)), np.zeros((paths, months))
    first = 0
    for tranche in book.tranches:
        contracted, again, own_revenue = _contract_hours(tranche, first, shocks, tenant_survival, renewed)
        first += len(tranche.leases)
        lettable = np.maximum(tranche.installed - tranche.vendor_use, 0.0)
        third_party = np.maximum(contracted + again, np.minimum(occupancy * tranche.installed, lettable))
        drawn = shortfall_hours(tranche.committed, third_party, tranche.vendor_use, tranche.deductible)
        hours += drawn
        claims += drawn * tranche.buyback_price
        sold_value += third_party * tranche.buyback_price
        sold_hours += third_party
        revenue += own_revenue + (third_party - contracted) * price
    capped = cap_claims(claims, book.caps, sold_value)
    bought_back = hours * np.divide(capped, claims, out=np.zeros_like(claims), where=claims > 0)
    before_default = np.arange(months)[None, :] < default_month[:, None]
    paid = capped if book.survives_insolvency else capped * before_default
    share = book.share_rate * np.maximum(revenue - book.floor_price * sold_hours, 0.0) * before_default
    loss = _receivable_loss(book, share, paid, default_month)
    resale = book.resale_fraction * bought_back * price * (1.0 if book.survives_insolvency else before_default)
    return MonthPaths(revenue * before_default, share, paid, capped, resale, loss, default_month)


def _simulate_block(book: Book, shocks: Shocks, loadings: Loadings) -> PathResult:
    months = _month_paths(book, shocks, loadings)
    return PathResult(
        claims=months.claims.sum(axis=1),
        present_value=months.claims @ book.pay_discount,
        unvoided=months.unvoided.sum(axis=1),
        share=months.share.sum(axis=1),
        resale=months.resale @ book.discount,
        receivable_loss=months.receivable_loss,
        defaulted=months.default_month < months.claims.shape[1],
        claims_by_month=months.claims.mean(axis=0),
        share_by_month=months.share.mean(axis=0),
    )


def _receivable_loss(book: Book, share: Array, paid: Array, default_month: npt.NDArray[np.int64]) -> Array:
    """Discounted loss on what the operator owes when it defaults: the share of the last unpaid months, today's
    exposure while it is still unpaid; less the last claims where they may be set off.
    """
    paths, months = share.shape
    cumulative = np.concatenate([np.zeros((paths, 1)), np.cumsum(share, axis=1)], axis=1)
    claims = np.concatenate([np.zeros((paths, 1)), np.cumsum(paid, axis=1)], axis=1)
    rows = np.arange(paths)
    at = np.minimum(default_month, months)
    back = np.maximum(at - book.outstanding_months, 0)
    owed = cumulative[rows, at] - cumulative[rows, back]
    still_open = np.maximum(1.0 - at / max(book.outstanding_months, 1), 0.0)
    owed = owed + book.exposure_now * still_open
    if book.set_off:
        owed = np.maximum(owed - (claims[rows, at] - claims[rows, back]), 0.0)
    discount = np.concatenate([book.discount, [0.0]])[at]
    return np.asarray(book.lgd * owed * discount * (default_month < months), dtype=np.float64)


# --- statistics -----------------------------------------------------------------------------------
# -----------------------------


def value_at_risk(losses: Array, level: float) -> float:
    """The order statistic number ceil(level · n) of the losses."""
    ordered = np.sort(losses)
    return float(ordered[max(math.ceil(level * len(ordered) - 1e-9), 1) - 1])


def expected_shortfall(losses: Array, level: float) -> float:
    """Mean of the worst (1 − level) · n losses, the boundary path with its fractional weight; never below the value
    at risk, also with ties (CREDIT.md, 4.28).
    """
    ordered = np.sort(losses)[::-1]
    count = (1.0 - level) * len(ordered)
    whole = math.floor(count + 1e-9)
    part = max(count - whole, 0.0)
    total = float(ordered[:whole].sum()) + (part * float(ordered[whole]) if whole < len(ordered) else 0.0)
    return max(total / count, value_at_risk(losses, level)) if count > 0 else float(ordered[0])


def mean_and_error(values: Array) -> tuple[float, float]:
    """Mean and its standard error, from pairs of mirrored paths (path i with path i + P/2)."""
    half = len(values) // 2
    pairs = (values[:half] + values[half:]) / 2.0
    error = float(pairs.std(ddof=1) / math.sqrt(half)) if half > 1 else 0.0
    return float(values.mean()), error


def most_likely(values: Array) -> float:
    """The most likely outcome of a sample: the middle of the shortest interval that holds half of it, the lowest such.

    Not the mode at a point: a path in a hundred that draws exactly nothing would be that, and nobody's best estimate.
    """
    sample = np.sort(np.asarray(values, dtype=np.float64))
    size = (len(sample) + 1) // 2
    widths = sample[size - 1 :] - sample[: len(sample) - size + 1]
    start = int(np.argmin(widths))
    return float(sample[start] + sample[start + size - 1]) / 2.0


def wrong_way_multiplier(unvoided: Array, defaulted: npt.NDArray[np.bool_]) -> float | None:
    """E[claims | operator defaults] ÷ E[claims], of claims as if default voided none, so that independence gives 1;
    None where no path defaults or nothing is claimed.
    """
    mean = float(unvoided.mean())
    if not defaulted.any() or mean == 0:
        return None
    return float(unvoided[defaulted].mean()) / mean


def break_even_occupancy(book: Book) -> float | None:
    """The flat occupancy at which share and claims are equal over the horizon, at the mean price and before caps and
    defaults; None where they never cross.
    """
    committed = [(t.installed, t.committed, t.deductible, t.vendor_use, t.buyback_price) for t in book.tranches]
    margin = max(book.price.mean - book.floor_price, 0.0)

    def net(occupancy: float) -> float:
        # fsum: the plain sum of floats is another one from Python 3.12 on
        share = math.fsum((book.share_rate * margin * occupancy * installed).sum() for installed, *_ in committed)
        claims = math.fsum(
            float((shortfall_hours(promised, occupancy * installed, use, deductible) * price).sum())
            for installed, promised, deductible, use, price in committed
        )
        return share - claims

    if net(0.0) >= 0 or net(1.0) <= 0:
        return None
    return float(optimize.brentq(net, 0.0, 1.0, xtol=1e-12))


# --- closed forms, for gates and for tests
# -------------------------------------------------------------------------------------------------------


def probit_shortfall(intercept: float, slope: float, floor: float) -> float:
    """E[(f − U)+] for U = Φ(a + bX), X standard normal: f Φ(z*) − Φ₂(a/s, z*; −b/s), s = √(1 + b²), z* = (Φ⁻¹(f) −
    a)/b (ORACLES.md, D1).
    """
    spread = math.sqrt(1.0 + slope * slope)
    edge = (float(special.ndtri(floor)) - intercept) / slope
    correlation = -slope / spread
    joint = stats.multivariate_normal.cdf(
        [intercept / spread, edge],
        mean=[0.0, 0.0],
        cov=[[1.0, correlation], [correlation, 1.0]],
        abseps=1e-13,
        releps=1e-13,
    )
    return floor * float(special.ndtr(edge)) - float(joint)


def logit_shortfall(model: Occupancy, floor: float, months: int) -> Array:
    """E[(f − U_t)+] in each month of the AR(1) on the logit, by quadrature over its exact normal marginal
    (ORACLES.md, D4).
    """
    mean, start = float(special.logit(model.mean_fraction)), float(special.logit(model.start_fraction))
    edge = float(special.logit(floor))
    out = np.empty(months)
    for month in range(1, months + 1):
        centre = mean + model.persistence**month * (start - mean)
        variance = model.shock**2 * (1.0 - model.persistence ** (2 * month)) / (1.0 - model.persistence**2)
        spread = math.sqrt(variance)
        low = (edge - centre) / spread
        value, _ = integrate.quad(
            lambda z, c=centre, s=spread: (
                (floor - special.expit(c + s * z)) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
            ),
            min(low, 0.0) - 12.0,
            low,
            epsabs=1e-15,
            epsrel=1e-13,
            limit=200,
        )
        out[month - 1] = value
    return out


def contract_seed(base: int, contract_id: str, month: date) -> int:
    """The seed of a contract's month: stable over runs, machines and the other contracts."""
    return stable_seed(base, contract_id, month.isoformat())
