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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import integrate, optimize, special, stats

from orchestration.polars_jobs.errors import (
    BELOW_ONE,
    LARGEST,
    NOT_NEGATIVE,
    SMALLEST,
    CreditInputError,
    check_between,
    check_number,
    wrong,
)
from orchestration.polars_jobs.lifetime_ecl import check_probability, vasicek_shift
from orchestration.polars_jobs.share_paths import Sales, ShareRule, share_of

Array: TypeAlias = npt.NDArray[np.float64]

MONTHS_PER_YEAR = 12.0
# So many paths of six years stay in the processor's cache while each month is still a long vector.
BLOCK_PATHS = 2048
# Floor fractions nearer than this are one.
SAME_FLOOR = 1e-13


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
    """Random numbers of one run, the same for every correlation case; where antithetic, the second half of the paths
    mirrors the first.

    ``factor_start`` (P,), ``factor``, ``occupancy``, ``price`` (P, T) standard normal; ``jump`` (P, T), ``operator``
    (P,), ``tenants`` (P, K) and ``renewals`` (P, L) uniform. Each month's numbers lie together in memory, since months
    follow each other and paths do not.
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


def draw_shocks(
    seed: int, paths: int, months: int, tenants: int = 0, leases: int = 0, *, antithetic: bool = True
) -> Shocks:
    """The random numbers of ``paths`` paths. Antithetic: path i + paths/2 mirrors path i, so that ``paths`` must be
    even; else each path has numbers of its own.
    """
    if paths < 1 or (antithetic and paths % 2):
        raise wrong("number of paths", paths, "must be even and positive" if antithetic else "must be positive")
    random = np.random.default_rng(seed)
    drawn = paths // 2 if antithetic else paths

    def columns(values: Array, mirrored: Array) -> Array:
        out = np.empty((paths, *values.shape[1:]), order="F")
        out[:drawn] = values
        if antithetic:
            out[drawn:] = mirrored
        return out

    def normal(*shape: int) -> Array:
        values = random.standard_normal((drawn, *shape))
        return columns(values, -values)

    def uniform(*shape: int) -> Array:
        values = random.random((drawn, *shape))
        return columns(values, 1.0 - values)

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
    check_number(loading, "factor loading", low=0.0, high=BELOW_ONE, rule="must lie in [0, 1)")
    if loading == 0:
        return own
    out = own * math.sqrt(1.0 - loading * loading)
    out += loading * factor
    return out


def _follow(start: Array | float, keep: float, steps: Array) -> Array:
    """x_t = keep · x_{t−1} + step_t along the last axis, in place of the steps (P, T), from x_0 = start."""
    before: Array | float = start
    for month in range(steps.shape[1]):
        level = steps[:, month]
        level += keep * before
        before = level
    return steps


def factor_levels(start: Array, innovations: Array, persistence: float) -> Array:
    """The level of the factor, stationary standard normal: M_t = φ M_{t−1} + √(1 − φ²) Z_t, (P, T)."""
    return _follow(start, persistence, innovations * math.sqrt(1.0 - persistence * persistence))


def occupancy_paths(model: Occupancy, shocks: Array) -> Array:
    """Occupancy fractions (P, T) from standard normal shocks (P, T). Start and mean lie strictly between 0 and 1."""
    for name, value in (("start", model.start_fraction), ("mean", model.mean_fraction)):
        rule = "must lie strictly between 0 and 1"
        check_number(value, f"{name} occupancy", low=SMALLEST, high=BELOW_ONE, rule=rule)
    check_probability(model.persistence, "persistence of occupancy")
    check_number(model.shock, "shock of occupancy", low=0.0, rule=NOT_NEGATIVE)
    mean = float(special.logit(model.mean_fraction))
    away = float(special.logit(model.start_fraction)) - mean
    odds = _follow(away, model.persistence, shocks * model.shock)
    # 1 / (1 + e^−x): numpy's exponential is several times as fast as scipy's expit.
    np.subtract(-mean, odds, out=odds)
    with np.errstate(over="ignore"):
        np.exp(odds, out=odds)
    odds += 1.0
    return np.reciprocal(odds, out=odds)


def price_paths(model: Price, shocks: Array, jump_uniforms: Array) -> Array:
    """Prices per GPU-hour (P, T), exact discretisation of the mean-reverting logarithm, times (1 + jump) in months of
    a release.
    """
    for name, value in (("price", model.start), ("mean price", model.mean)):
        check_number(value, name, low=SMALLEST, rule="must be positive")
    for name, value in (("reversion of price", model.reversion_per_year), ("volatility of price", model.volatility)):
        check_number(value, name, low=0.0, rule=NOT_NEGATIVE)
    check_probability(model.jump_probability_per_year, "probability of a jump")
    check_number(model.jump_fraction, "jump of price", low=float(np.nextafter(-1.0, 0.0)), rule="must be above −1")
    step = 1.0 / MONTHS_PER_YEAR
    speed = model.reversion_per_year
    keep = math.exp(-speed * step)
    spread = model.volatility * (math.sqrt((1.0 - keep * keep) / (2.0 * speed)) if speed > 0 else math.sqrt(step))
    mean = math.log(model.mean)
    jump_chance = 1.0 - (1.0 - model.jump_probability_per_year) ** step
    jump = math.log1p(model.jump_fraction)
    steps = shocks * spread
    if jump and jump_chance:
        steps += jump * (jump_uniforms < jump_chance)
    level = _follow(math.log(model.start) - mean, keep, steps)
    level += mean
    return np.exp(level, out=level)


def survival_paths(monthly_pd: Array, levels: Array, loading: float) -> Array:
    """Probability of having survived to each month's end given the path of the factor (P, T); ``monthly_pd`` (T,) is
    what the factor averages to in each month.
    """
    probability = check_probability(monthly_pd, "monthly default probability")
    if probability.shape != levels.shape[1:]:
        raise CreditInputError(f"{probability.shape} probabilities do not fit a factor of {levels.shape}")
    check_number(loading, "factor loading", low=0.0, high=BELOW_ONE, rule="must lie in [0, 1)")
    if loading == 0:
        return np.broadcast_to(np.cumprod(1.0 - probability), levels.shape)
    alive = vasicek_shift(probability, loading * loading, levels)
    np.subtract(1.0, alive, out=alive)
    for month in range(1, alive.shape[1]):
        alive[:, month] *= alive[:, month - 1]
    return alive


def default_months(survival: Array, uniforms: Array) -> npt.NDArray[np.int64]:
    """First month (0-based) in which survival falls below each path's uniform; T where it never does. (P, T), (P,) →
    (P,).
    """
    shape = len(uniforms), survival.shape[1]
    return np.asarray(
        _flags(survival, uniforms[:, None], np.greater_equal, shape).sum(axis=1, dtype=np.int64), dtype=np.int64
    )


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


class Withdrawal(NamedTuple):
    """The operator's right to take unsold capacity out of the backstop, used where the market pays more: of the hours
    that it could claim it sells ``fraction`` elsewhere in each month ``notice_months`` after one whose market price was
    above buy-back price × (1 + ``premium_fraction``). Without ``recall`` what is withdrawn never comes back. It gives back
    ``claw_back_fraction`` of what was claimed for it.
    """

    notice_months: int
    premium_fraction: float
    fraction: float
    recall: bool
    claw_back_fraction: float = 0.0


@dataclass(frozen=True)
class Caps:
    """What limits the claims: per-period caps by group of months, what is left of the lifetime cap, and how that
    shrinks besides by claims.

    ``period_of_month`` (T,) group numbers; ``period_cap`` per group or None; ``period_used`` already claimed in the
    first group; ``annual_cap`` of the contract years of ``year_of_month`` (T,), ``annual_used`` in the first;
    ``lifetime_left`` or None; ``time_reduction`` (T,) amounts; ``sales_reduce``: third-party hours ×
    buy-back price take from the lifetime cap too.
    """

    period_of_month: npt.NDArray[np.int64]
    period_cap: float | None = None
    period_used: float = 0.0
    lifetime_left: float | None = None
    time_reduction: Array | None = None
    sales_reduce: bool = False
    annual_cap: float | None = None
    annual_used: float = 0.0
    year_of_month: npt.NDArray[np.int64] | None = None


NO_CAPS = Caps(np.zeros(0, dtype=np.int64))


def shortfall_hours(
    committed: Array, sold: Array, vendor_use: Array | float = 0.0, deductible: Array | float = 0.0
) -> Array:
    """Hours drawn: max(0, max(0, committed − sold − vendor use) − deductible); none where the floor is reached."""
    hours = (("committed", committed), ("sold", sold), ("vendor use", vendor_use), ("deductible", deductible))
    committed, sold, vendor_use, deductible = (
        check_between(values, f"{name} hours", low=0.0, high=LARGEST, rule=NOT_NEGATIVE) for name, values in hours
    )
    return np.maximum(0.0, np.maximum(0.0, committed - sold - vendor_use) - deductible)


def shortfall_amount(tranche: Tranche, earned: Array) -> Array:
    """What tenants' revenue (…, T) falls short of the guarantee: committed hours less the vendor's own use and the deductible,
    at the price of the month.
    """
    guaranteed = np.maximum(tranche.committed - tranche.vendor_use - tranche.deductible, 0.0) * tranche.buyback_price
    return np.maximum(guaranteed - earned, 0.0)


def cap_claims(claims: Array, caps: Caps, third_party_value: Array | None = None) -> Array:
    """Claims (P, T) after period and annual cap, then the lifetime cap, path by path and month by month.
    ``third_party_value`` (P, T): hours sold × buy-back price, used where sales reduce the cap.
    """
    if not claims.min(initial=0.0) >= 0.0:
        check_between(claims, "claim", low=0.0, high=np.inf, rule=NOT_NEGATIVE)
    for field, amount in (
        ("period cap", caps.period_cap),
        ("claimed in the period", caps.period_used),
        ("annual cap", caps.annual_cap),
        ("claimed in the year", caps.annual_used),
        ("lifetime cap left", caps.lifetime_left),
    ):
        if amount is not None:
            check_number(amount, field, low=0.0, high=np.inf, rule=NOT_NEGATIVE)
    by_month = len(set(caps.period_of_month.tolist())) == claims.shape[1]
    if caps.period_cap is not None and by_month and not caps.period_used and claims.max(initial=0.0) > caps.period_cap:
        claims = np.minimum(claims, caps.period_cap)
    if _never_bind(claims, caps, by_month=by_month):
        return claims
    out = np.empty_like(claims, order="F")
    left = np.full(claims.shape[0], math.inf if caps.lifetime_left is None else caps.lifetime_left)
    in_period, group = np.full(claims.shape[0], caps.period_used), -1
    in_year, year = np.full(claims.shape[0], caps.annual_used), -1
    for month in range(claims.shape[1]):
        claim = claims[:, month]
        if caps.period_cap is not None:
            if caps.period_of_month[month] != group and group != -1:
                in_period = np.zeros_like(in_period)
            group = int(caps.period_of_month[month])
            claim = np.minimum(claim, np.maximum(caps.period_cap - in_period, 0.0))
        if caps.annual_cap is not None and caps.year_of_month is not None:
            if caps.year_of_month[month] != year and year != -1:
                in_year = np.zeros_like(in_year)
            year = int(caps.year_of_month[month])
            claim = np.minimum(claim, np.maximum(caps.annual_cap - in_year, 0.0))
        if caps.time_reduction is not None:
            left = left - caps.time_reduction[month]
        if caps.sales_reduce and third_party_value is not None:
            left = left - third_party_value[:, month]
        claim = np.minimum(claim, np.maximum(left, 0.0))
        left = left - claim
        in_period, in_year = in_period + claim, in_year + claim
        out[:, month] = claim
    return out


def _never_bind(claims: Array, caps: Caps, *, by_month: bool) -> bool:
    """Whether the caps plainly cut nothing (more): looked at first, since going through the months is what takes time."""
    if caps.annual_cap is not None or (caps.period_cap is not None and not (by_month and not caps.period_used)):
        return False
    if caps.lifetime_left is None:
        return True
    return (
        caps.time_reduction is None
        and not caps.sales_reduce
        and claims.sum(axis=1).max(initial=0.0) <= caps.lifetime_left
    )


@dataclass(frozen=True)
class Book:
    """Everything about one contract that the paths need, months 0…T−1 after the valuation month.

    ``operator_pd``, ``tenant_pd``: monthly conditional default probability (T,). ``pay_discount``: discount factor
    from the payment day of each month's claim (T,); ``discount``: from month ends (T,). ``share_rate`` (T,) on
    revenue above ``floor_price`` per hour; where the terms say more, ``share_rules`` take their place.
    ``outstanding_months``: months of share that are unpaid at a default; ``exposure_now``: billed and accrued today.
    ``lgd``: on what is owed then. ``guarantees_revenue``: the vendor pays what tenants' revenue falls short of committed
    hours × price, and buys no hours. ``claimed_amount``: before the months ahead.
    ``reserve_fraction`` of each month's share is withheld for ``reserve_months`` more.
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
    withdrawal: Withdrawal | None = None
    share_rules: Sequence[ShareRule] = ()
    guarantees_revenue: bool = False
    claimed_amount: float = 0.0
    reserve_fraction: float = 0.0
    reserve_months: int = 0


class PathResult(NamedTuple):
    """Per path (P,): claims undiscounted and discounted, gross claims as if nothing could void them, share, resale
    income and claims taken back (both discounted), loss on the receivable, whether the operator defaults; and means by
    month (T,).
    """

    claims: Array
    present_value: Array
    unvoided: Array
    share: Array
    resale: Array
    claw_back: Array
    receivable_loss: Array
    defaulted: npt.NDArray[np.bool_]
    claims_by_month: Array
    share_by_month: Array


class MonthPaths(NamedTuple):
    """Per path and month (P, T), undiscounted: what tenants pay, the vendor's share, claims paid and claims as if nothing
    could void them, resale income, claims taken back. Per path (P,): discounted loss on the receivable, and the month of the operator's
    default (T: none).
    """

    revenue: Array
    share: Array
    claims: Array
    unvoided: Array
    resale: Array
    claw_back: Array
    receivable_loss: Array
    default_month: npt.NDArray[np.int64]


def month_paths(book: Book, shocks: Shocks, loadings: Loadings) -> MonthPaths:
    """The paths themselves, month by month, where sums over the horizon do not answer the question. Memory grows with
    paths × months: for some thousands of paths.
    """
    blocks = [_month_paths(book, block, loadings) for block in _blocks(shocks)]
    return MonthPaths(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def simulate(book: Book, shocks: Shocks, loadings: Loadings) -> PathResult:
    """Run all paths of one contract under one correlation case, in blocks that stay in the processor's cache."""
    blocks = [_simulate_block(book, block, loadings) for block in _blocks(shocks)]
    joined = [np.concatenate(parts) for parts in zip(*(block[:8] for block in blocks), strict=True)]
    paths = len(shocks.operator)
    means = [np.sum(np.stack(parts), axis=0) / paths for parts in zip(*(block[8:] for block in blocks), strict=True)]
    return PathResult(*joined, *means)


def _blocks(shocks: Shocks) -> Iterator[Shocks]:
    for start in range(0, len(shocks.operator), BLOCK_PATHS):
        yield Shocks(*(part[start : start + BLOCK_PATHS] for part in shocks))


def _flags(
    left: npt.NDArray[Any], right: npt.NDArray[Any], compare: np.ufunc, shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """A comparison (P, T) laid out month by month, whatever the operands' own layout."""
    out = np.empty(shape, dtype=np.bool_, order="F")
    compare(left, right, out=out)
    return out


class _Layer(NamedTuple):
    """Tranches without leases whose floor is the same part of what is installed, taken as one: hours under the floor,
    installed hours and installed hours × buy-back price, (T,) each.
    """

    floor: Array
    installed: Array
    value: Array


def _layers(tranches: Sequence[Tranche]) -> list[_Layer]:
    """Market occupancy is one for all, so that tranches of one floor fraction draw together: max(0, floor − occupancy ×
    installed) adds up in proportion to installed hours.
    """
    layers: list[_Layer] = []
    for tranche in tranches:
        new = _Layer(
            np.maximum(tranche.committed - tranche.deductible, 0.0),
            tranche.installed,
            tranche.installed * tranche.buyback_price,
        )
        for place, layer in enumerate(layers):
            apart = np.abs(layer.floor * new.installed - new.floor * layer.installed)
            if (apart <= SAME_FLOOR * layer.installed * new.installed).all():
                layers[place] = _Layer(*(old + more for old, more in zip(layer, new, strict=True)))
                break
        else:
            layers.append(new)
    return layers


class _Contracts:
    """Which tenants pay in each month of each path; each asked for once."""

    def __init__(self, survival: Array, uniforms: Array) -> None:
        self._survival, self._uniforms = survival, uniforms
        self._alive: dict[int, npt.NDArray[np.bool_]] = {}

    def pays(self, tenant: int) -> npt.NDArray[np.bool_]:
        if tenant not in self._alive:
            uniforms = self._uniforms[:, [tenant]]
            shape = (len(uniforms), self._survival.shape[1])
            self._alive[tenant] = _flags(self._survival, uniforms, np.greater_equal, shape)
        return self._alive[tenant]


def _contract_hours(
    leases: Sequence[Lease], renewed: Array, contracts: _Contracts, shape: tuple[int, int]
) -> tuple[Array, Array, Array]:
    """Hours under contract or renewed, hours under contract, and what those pay by contract: (P, T) each, of the leases
    of one tranche. ``renewed`` (P, L): 1 where the lease is renewed. Leases of one tenant stand and fall together.
    """
    taken, contracted, revenue = (np.zeros(shape, order="F") for _ in range(3))
    part = np.empty(shape, order="F")
    for tenant in sorted({lease.tenant for lease in leases}):
        pays = contracts.pays(tenant)
        own = [(number, lease) for number, lease in enumerate(leases) if lease.tenant == tenant]
        hours = np.sum([lease.contracted_hours for _, lease in own], axis=0)
        under = int(np.flatnonzero(hours)[-1]) + 1 if hours.any() else 0
        contracted[:, :under] += np.multiply(pays[:, :under], hours[:under], out=part[:, :under])
        amounts = np.sum([lease.revenue for _, lease in own], axis=0)
        revenue[:, :under] += np.multiply(pays[:, :under], amounts[:under], out=part[:, :under])
        for number, lease in own:
            after = np.flatnonzero(lease.renewal_hours)
            if len(after):
                later = slice(int(after[0]), None)
                again = np.multiply(pays[:, later], lease.renewal_hours[later], out=part[:, later])
                again *= renewed[:, [number]]
                taken[:, later] += again
    taken += contracted
    return taken, contracted, revenue


def _withdrawn(rule: Withdrawal, price: Array, tranches: Sequence[Tranche]) -> npt.NDArray[np.bool_]:
    """Whether the operator has its unsold capacity elsewhere, (P, T)."""
    buyback = np.max([tranche.buyback_price for tranche in tranches], axis=0)
    away = np.zeros(price.shape, dtype=np.bool_, order="F")
    seen = price.shape[1] - rule.notice_months
    if seen > 0:
        away[:, rule.notice_months :] = price[:, :seen] > (1.0 + rule.premium_fraction) * buyback[:seen]
        # A month without a buy-back price has nothing that could be withdrawn.
        away[:, rule.notice_months :] &= buyback[:seen] > 0
    if not rule.recall:
        for month in range(1, price.shape[1]):
            away[:, month] |= away[:, month - 1]
    return away


class _Sales:
    """What is sold, drawn and claimed on each path and in each month, (P, T), added up tranche by tranche.

    ``market``: hours sold at the market's price; ``revenue``: what contracts pay; ``hours``: drawn, only where they are
    resold; ``sold_hours`` and ``sold_value`` (hours × buy-back price) only where terms ask for them. ``price``: the market's
    price, where revenue is guaranteed and hours are not bought.
    """

    def __init__(self, book: Book, shape: tuple[int, int], price: Array) -> None:
        def nothing() -> Array:
            return np.zeros(shape, order="F")

        self.claims, self.market, self.revenue = nothing(), nothing(), nothing()
        self.price = price if book.guarantees_revenue else None
        self.hours = nothing() if book.resale_fraction > 0 and self.price is None else None
        self.sold_hours = nothing() if book.floor_price > 0 or book.share_rules else None
        self.sold_value = nothing() if book.caps.sales_reduce else None

    def add_open_market(self, tranches: Sequence[Tranche], occupancy: Array) -> None:
        """Tranches without leases and without the vendor's own use: only occupancy says what they sell."""
        for layer in _layers(tranches):
            fraction = np.divide(
                layer.floor, layer.installed, out=np.zeros_like(layer.floor), where=layer.installed > 0
            )
            short = fraction - occupancy
            np.maximum(short, 0.0, out=short)
            if self.hours is not None:
                self.hours += short * layer.installed
            short *= layer.value
            self.claims += short
        if tranches:
            sold = occupancy * np.sum([tranche.installed for tranche in tranches], axis=0)
            self.market += sold
            if self.sold_hours is not None:
                self.sold_hours += sold
            if self.sold_value is not None:
                self.sold_value += occupancy * np.sum([t.installed * t.buyback_price for t in tranches], axis=0)

    def add_tranche(self, tranche: Tranche, occupancy: Array, contracts: tuple[Array, Array, Array] | None) -> None:
        """One tranche with leases (their hours as of :func:`_contract_hours`), the vendor's own use, or a guaranteed revenue."""
        sold = occupancy * tranche.installed
        if tranche.vendor_use.any():
            np.minimum(sold, np.maximum(tranche.installed - tranche.vendor_use, 0.0), out=sold)
        if contracts is not None:
            taken, contracted, paid = contracts
            np.maximum(sold, taken, out=sold)
            self.revenue += paid
            self.market -= contracted
        self.market += sold
        if self.sold_hours is not None:
            self.sold_hours += sold
        if self.sold_value is not None:
            self.sold_value += sold * tranche.buyback_price
        if self.price is not None:
            earned = sold * self.price if contracts is None else paid + (sold - contracted) * self.price
            self.claims += shortfall_amount(tranche, earned)
            return
        drawn = np.subtract(tranche.committed - tranche.vendor_use - tranche.deductible, sold, out=sold)
        np.maximum(drawn, 0.0, out=drawn)
        if self.hours is not None:
            self.hours += drawn
        drawn *= tranche.buyback_price
        self.claims += drawn


def _sales(book: Book, shocks: Shocks, occupancy: Array, levels: Array, loading: float, *, price: Array) -> _Sales:
    """The sales of all tranches; tenants' defaults hang on the factor's ``levels``."""
    shape = occupancy.shape[0], occupancy.shape[1]
    sales = _Sales(book, shape, price)
    # A guarantee is held against the revenue of its own tranche: no two may be taken together.
    own = [t for t in book.tranches if book.guarantees_revenue or t.leases or t.vendor_use.any()]
    sales.add_open_market(
        [tranche for tranche in book.tranches if all(tranche is not other for other in own)], occupancy
    )
    if own:
        contracts = _Contracts(survival_paths(book.tenant_pd, levels, loading), shocks.tenants)
        renewed = (shocks.renewals < book.renewal_probability).astype(np.float64)
        first = 0
        for tranche in own:
            numbers = slice(first, first + len(tranche.leases))
            first += len(tranche.leases)
            hours = _contract_hours(tranche.leases, renewed[:, numbers], contracts, shape) if tranche.leases else None
            sales.add_tranche(tranche, occupancy, hours)
    return sales


def _month_paths(book: Book, shocks: Shocks, loadings: Loadings) -> MonthPaths:
    shape = paths, months = shocks.factor.shape
    occupancy = occupancy_paths(book.occupancy, correlated(shocks.occupancy, shocks.factor, loadings.occupancy))
    price = price_paths(book.price, correlated(shocks.price, shocks.factor, loadings.price), shocks.jump)
    # Without a loading nobody's default asks where the factor stands.
    levels = (
        factor_levels(shocks.factor_start, shocks.factor, book.occupancy.persistence)
        if loadings.default
        else np.broadcast_to(0.0, shape)
    )
    default_month = (
        np.zeros(paths, dtype=np.int64)
        if book.operator_in_default
        else default_months(survival_paths(book.operator_pd, levels, loadings.default), shocks.operator)
    )
    sales = _sales(book, shocks, occupancy, levels, loadings.default, price=price)
    revenue, claims = sales.revenue + sales.market * price, sales.claims
    away = None
    if book.withdrawal is not None and book.tranches:
        away = _withdrawn(book.withdrawal, price, book.tranches)
        kept = 1.0 - book.withdrawal.fraction * away
        claims = claims * kept
        sales.hours = None if sales.hours is None else sales.hours * kept
    capped = cap_claims(claims, book.caps, sales.sold_value)
    resale = np.zeros(shape, order="F")
    if sales.hours is not None:
        np.multiply(sales.hours, price * book.resale_fraction, out=resale)
        if capped is not claims:
            # What is claimed after caps is never more than before, so that nothing over the least number is nothing.
            resale *= capped / np.maximum(claims, np.finfo(np.float64).tiny)
    claw_back = _taken_back(book, away, capped)
    share, paid = _share(book, revenue, sales.sold_hours), capped
    if (default_month < months).any():
        before = _flags(np.arange(months), default_month[:, None], np.less, shape)
        share *= before
        revenue *= before
        claw_back = claw_back * before
        if not book.survives_insolvency:
            paid = capped * before
            resale *= before
    loss = _receivable_loss(book, share, paid, default_month)
    return MonthPaths(revenue, share, paid, capped, resale, claw_back, loss, default_month)


def _taken_back(book: Book, away: npt.NDArray[np.bool_] | None, claims: Array) -> Array:
    """What the operator gives back of earlier claims, (P, T), in the month in which it takes capacity away: the part of them
    that is agreed of the part of the capacity; together never more than the agreed part of all claims by then.
    """
    out = np.zeros(claims.shape, order="F")
    rule = book.withdrawal
    if rule is None or away is None or not rule.claw_back_fraction:
        return out
    claimed = np.full(claims.shape[0], book.claimed_amount)
    given_back = np.zeros(claims.shape[0])
    was_away = np.zeros(claims.shape[0], dtype=np.bool_)
    for month in range(claims.shape[1]):
        leaves = away[:, month] & ~was_away
        bound = rule.claw_back_fraction * claimed
        out[:, month] = np.where(leaves, np.minimum(rule.fraction * bound, bound - given_back), 0.0)
        given_back += out[:, month]
        claimed += claims[:, month]
        was_away = away[:, month]
    return out


def _share(book: Book, revenue: Array, sold_hours: Array | None) -> Array:
    """The vendor's share (P, T) of what tenants pay."""
    if book.share_rules and sold_hours is not None:
        return share_of(book.share_rules, Sales(revenue, sold_hours, _installed(book)))
    base = revenue if sold_hours is None else np.maximum(revenue - book.floor_price * sold_hours, 0.0)
    return base * book.share_rate


def _installed(book: Book) -> Array:
    """GPU-hours of all tranches by month (T,)."""
    return np.asarray(np.sum([tranche.installed for tranche in book.tranches], axis=0), dtype=np.float64)


def _simulate_block(book: Book, shocks: Shocks, loadings: Loadings) -> PathResult:
    months = _month_paths(book, shocks, loadings)
    return PathResult(
        claims=months.claims.sum(axis=1),
        present_value=months.claims @ book.pay_discount,
        unvoided=months.unvoided.sum(axis=1),
        share=months.share.sum(axis=1),
        resale=months.resale @ book.discount,
        claw_back=months.claw_back @ book.pay_discount,
        receivable_loss=months.receivable_loss,
        defaulted=months.default_month < months.claims.shape[1],
        claims_by_month=months.claims.sum(axis=0),
        share_by_month=months.share.sum(axis=0),
    )


def _receivable_loss(book: Book, share: Array, paid: Array, default_month: npt.NDArray[np.int64]) -> Array:
    """Discounted loss on what the operator owes when it defaults: the share of the last unpaid months, today's
    exposure while it is still unpaid; less the last claims where they may be set off. (P,); nought without a default.
    """
    loss = np.zeros(len(default_month))
    failed = np.flatnonzero(default_month < share.shape[1])
    at = default_month[failed]
    owed = book.exposure_now * np.maximum(1.0 - at / max(book.outstanding_months, 1), 0.0)
    claimed = np.zeros(len(failed))
    for lag in range(1, book.outstanding_months + 1):
        month = at - lag
        seen = month >= 0
        owed[seen] += share[failed[seen], month[seen]]
        if book.set_off:
            claimed[seen] += paid[failed[seen], month[seen]]
    # What was withheld of months before those is still owed.
    for lag in range(book.outstanding_months + 1, book.outstanding_months + book.reserve_months + 1):
        month = at - lag
        seen = month >= 0
        owed[seen] += book.reserve_fraction * share[failed[seen], month[seen]]
    loss[failed] = book.lgd * np.maximum(owed - claimed, 0.0) * book.discount[at]
    return loss


# --- statistics -----------------------------------------------------------------------------------
# -----------------------------


class Tail(NamedTuple):
    """Value at risk and expected shortfall of one sample at one level."""

    value_at_risk: float
    expected_shortfall: float


def tails(losses: npt.ArrayLike, levels: Sequence[float]) -> list[Tail]:
    """Value at risk and expected shortfall at each level, ordering the losses (P,) once.

    Value at risk is the order statistic number ceil(level · n). Expected shortfall is the mean of the worst
    (1 − level) · n losses, the boundary path with its fractional weight; never below the value at risk, also with ties
    (CREDIT.md, 4.28). Raises :class:`CreditInputError` for a level outside [0, 1], for NaN, and where there is no loss
    to order.
    """
    check_probability(levels, "level")
    ordered = np.sort(check_between(losses, "loss", low=-LARGEST, high=LARGEST, rule="must be a number"))
    if not len(ordered):
        raise CreditInputError("no losses to order", field="loss")
    worst_first = ordered[::-1]
    found = []
    for level in levels:
        at_risk = float(ordered[max(math.ceil(level * len(ordered) - 1e-9), 1) - 1])
        count = (1.0 - level) * len(ordered)
        whole = math.floor(count + 1e-9)
        part = max(count - whole, 0.0)
        total = float(worst_first[:whole].sum()) + (part * float(worst_first[whole]) if whole < len(ordered) else 0.0)
        found.append(Tail(at_risk, max(total / count, at_risk) if count > 0 else float(worst_first[0])))
    return found


def value_at_risk(losses: Array, level: float) -> float:
    """That of :func:`tails` at one level."""
    return tails(losses, [level])[0].value_at_risk


def expected_shortfall(losses: Array, level: float) -> float:
    """That of :func:`tails` at one level."""
    return tails(losses, [level])[0].expected_shortfall


def mean_and_error(values: Array, *, antithetic: bool = True) -> tuple[float, float]:
    """Mean and its standard error; where antithetic from pairs of mirrored paths (path i with path i + P/2)."""
    check_between(values, "simulated amount", low=-LARGEST, high=LARGEST, rule="must be a number")
    if not len(values):
        raise CreditInputError("no simulated amounts to average", field="simulated amount")
    half = len(values) // 2
    parts = (values[:half] + values[half:]) / 2.0 if antithetic else values
    error = float(parts.std(ddof=1) / math.sqrt(len(parts))) if len(parts) > 1 else 0.0
    return float(values.mean()), error


def most_likely(values: Array) -> float:
    """The most likely outcome of a sample: the middle of the shortest interval that holds half of it, the lowest such.

    Not the mode at a point: a path in a hundred that draws exactly nothing would be that, and nobody's best estimate.
    """
    sample = np.sort(check_between(values, "outcome", low=-LARGEST, high=LARGEST, rule="must be a number"))
    if not len(sample):
        raise CreditInputError("no outcomes to choose from", field="outcome")
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

    def net(occupancy: float) -> float:
        # fsum: the plain sum of floats is another one from Python 3.12 on
        sold = [occupancy * installed for installed, *_ in committed]
        together = np.sum(sold, axis=0)[None, :] if book.share_rules and sold else None
        if together is not None:
            share = math.fsum(_share(book, book.price.mean * together, together).ravel())
        else:
            margin = max(book.price.mean - book.floor_price, 0.0)
            share = math.fsum((book.share_rate * margin * hours).sum() for hours in sold)
        if book.guarantees_revenue:
            earned = [book.price.mean * hours for hours in sold]
            short = (shortfall_amount(t, amount) for t, amount in zip(book.tranches, earned, strict=True))
            claims = math.fsum(float(amounts.sum()) for amounts in short)
        else:
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


class ProbitDraw(NamedTuple):
    """Of U = Φ(a + bX) against a floor f: mean of U, probability that U < f, and E[(f − U)+]."""

    mean_utilisation: float
    draw_probability: float
    shortfall: float


def probit_draw(intercept: float, slope: float, floor: float) -> ProbitDraw:
    """Utilisation U = Φ(a + bX), X standard normal, against a floor f in (0, 1): E[U] = Φ(a/s), P = Φ(z*), and E[(f −
    U)+] = f Φ(z*) − Φ₂(a/s, z*; −b/s), s = √(1 + b²), z* = (Φ⁻¹(f) − a)/b (ORACLES.md, D1). The sign of b is nobody's:
    X is symmetric. Without b utilisation is certain.
    """
    check_number(floor, "floor", low=SMALLEST, high=BELOW_ONE, rule="must lie strictly between 0 and 1")
    check_number(intercept, "intercept")
    loading = abs(check_number(slope, "slope"))
    spread = math.sqrt(1.0 + loading * loading)
    mean = float(special.ndtr(intercept / spread))
    if loading == 0:
        return ProbitDraw(mean, float(mean < floor), max(floor - mean, 0.0))
    edge = (float(special.ndtri(floor)) - intercept) / loading
    correlation = -loading / spread
    joint = stats.multivariate_normal.cdf(
        [intercept / spread, edge],
        mean=[0.0, 0.0],
        cov=[[1.0, correlation], [correlation, 1.0]],
        abseps=1e-13,
        releps=1e-13,
    )
    return ProbitDraw(mean, float(special.ndtr(edge)), floor * float(special.ndtr(edge)) - float(joint))


def probit_shortfall(intercept: float, slope: float, floor: float) -> float:
    """E[(f − U)+] alone, of :func:`probit_draw`."""
    return probit_draw(intercept, slope, floor).shortfall


def probit_draw_tail(intercept: float, slope: float, floor: float, level: float) -> tuple[float, float]:
    """Value at risk and expected shortfall of (f − U)+ at a level, exactly: the draw falls as X rises, so that its tail
    is that of X (ORACLES.md, D1).
    """
    check_probability([level], "level")
    check_number(intercept, "intercept")
    check_number(slope, "slope")
    check_number(floor, "floor", low=SMALLEST, high=BELOW_ONE, rule="must lie strictly between 0 and 1")
    loading, tail = abs(slope), 1.0 - level
    edge = float(special.ndtri(tail)) if tail > 0 else -math.inf

    def draw(x: float) -> float:
        return max(floor - float(special.ndtr(intercept + loading * x)), 0.0)

    at_risk = draw(edge)
    if tail == 0:
        return at_risk, at_risk
    mean, _ = integrate.quad(
        lambda x: draw(x) * math.exp(-x * x / 2) / math.sqrt(2 * math.pi), edge - 12.0, edge, epsabs=1e-15, limit=400
    )
    return at_risk, max(mean / tail, at_risk)


def price_and_quantity_shortfall(
    intercept: float,
    slope: float,
    floor: float,
    *,
    forward: float,
    volatility: float,
    strike: float,
    correlation: float,
) -> float:
    """E[(f − U)+ (K − P)+]: quantity by the probit, price lognormal with mean ``forward`` and ``volatility`` to the date,
    its shock correlated with X (ORACLES.md, D3). At correlation 0 the product of both expectations.
    """
    check_number(correlation, "correlation", low=-1.0, high=1.0, rule="must lie in [-1, 1]")
    check_number(floor, "floor", low=SMALLEST, high=BELOW_ONE, rule="must lie strictly between 0 and 1")
    for name, value in (("forward price", forward), ("strike", strike)):
        check_number(value, name, low=SMALLEST, rule="must be positive")
    check_number(volatility, "volatility", low=0.0, rule=NOT_NEGATIVE)
    check_number(intercept, "intercept")
    check_number(slope, "slope")
    own = math.sqrt(1.0 - correlation * correlation)

    def put(x: float) -> float:
        # Given X the price is still lognormal, with what is left of its volatility.
        centre = forward * math.exp(-volatility * volatility / 2 + volatility * correlation * x)
        left = volatility * own
        if left == 0:
            return max(strike - centre, 0.0)
        middle = (math.log(strike / centre)) / left
        return strike * float(special.ndtr(middle)) - centre * math.exp(left * left / 2) * float(
            special.ndtr(middle - left)
        )

    edge = (float(special.ndtri(floor)) - intercept) / slope if slope else 12.0
    low, high = (-12.0, min(max(edge, -12.0), 12.0)) if slope >= 0 else (min(max(edge, -12.0), 12.0), 12.0)
    value, _ = integrate.quad(
        lambda x: (
            max(floor - float(special.ndtr(intercept + slope * x)), 0.0)
            * put(x)
            * math.exp(-x * x / 2)
            / math.sqrt(2 * math.pi)
        ),
        low,
        high,
        epsabs=1e-15,
        epsrel=1e-12,
        limit=400,
    )
    return float(value)


def logit_shortfall(model: Occupancy, floor: float, months: int) -> Array:
    """E[(f − U_t)+] in each month of the AR(1) on the logit, by quadrature over its exact normal marginal
    (ORACLES.md, D4).
    """
    for name, value in (
        ("floor", floor),
        ("start occupancy", model.start_fraction),
        ("mean occupancy", model.mean_fraction),
    ):
        check_number(value, name, low=SMALLEST, high=BELOW_ONE, rule="must lie strictly between 0 and 1")
    check_probability(model.persistence, "persistence of occupancy")
    check_number(model.shock, "shock of occupancy", low=SMALLEST, rule="must be positive")
    mean, start = float(special.logit(model.mean_fraction)), float(special.logit(model.start_fraction))
    edge = float(special.logit(floor))
    out = np.empty(months)
    for month in range(1, months + 1):
        centre = mean + model.persistence**month * (start - mean)
        # The sum of a geometric series, also where persistence is 1 and shocks never fade.
        variance = model.shock**2 * math.fsum(model.persistence ** (2 * step) for step in range(month))
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
