"""The vendor's share on simulated paths, by all terms that act on a month's revenue: floor and breakpoint, tiers on any axis,
activation, minimum, caps and true-up, in the order of READINGS.md, 18.

Months are whole: a path has no days, so that terms that change within a month act on all of it, and the last month's amounts
are prorated by its days alone. What no path knows (utilisation, availability, the price of each lease) is left out: a
criterion on the first two is met, a tier on prices reads the month's mean. Revenue on a path is never negative, so that no
base is carried. The books' own share is the warehouse's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from orchestration.polars_jobs.errors import wrong
from orchestration.polars_jobs.frames import add_months, days_in_month, month_end, months_between

Array: TypeAlias = npt.NDArray[np.float64]
Groups: TypeAlias = npt.NDArray[np.int64]

# Axes whose rate is known before the paths are.
CALENDAR_AXES = ("contract_month", "date")
PERIOD_MONTHS: Mapping[str, int] = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True)
class Axis:
    """The tiers of one axis. ``rates`` (K,) of the intervals [``low``, ``high``), or (T,) by month on a calendar axis."""

    name: str
    rates: Array
    low: Array
    high: Array
    marginal: bool

    def at(self, values: Array) -> Array:
        """(P, K): 1 in the tier that holds each value, the last one above all of them, the first below."""
        place = np.clip(np.searchsorted(self.low, values, side="right") - 1, 0, len(self.rates) - 1)
        return np.asarray(np.eye(len(self.rates))[place], dtype=np.float64)

    def between(self, start: Array, end: Array) -> Array:
        """(P, K): the part of [start, end) that lies in each tier; where it is empty, the tier of its end."""
        length = end - start
        inside = np.minimum(end[:, None], self.high) - np.maximum(start[:, None], self.low)
        out = np.where(length[:, None] > 0, np.maximum(inside, 0.0) / np.where(length > 0, length, 1.0)[:, None], 0.0)
        return np.where((length > 0)[:, None], out, self.at(end))

    def by_share(self, paid: Array, base: Array) -> Array:
        """(P, K): the part of a base that each tier on the share paid takes: split where the share fills a tier exactly."""
        left, so_far = base.copy(), paid.copy()
        taken = np.zeros((len(base), len(self.rates)))
        for tier, rate in enumerate(self.rates):
            room = np.where(so_far < self.high[tier], self.high[tier] - so_far, 0.0)
            took = np.minimum(left, room / rate) if rate > 0 else np.where(room > 0, left, 0.0)
            taken[:, tier] = took
            left, so_far = left - took, so_far + took * rate
        taken[:, -1] += left
        return np.where(base[:, None] > 0, taken / np.where(base > 0, base, 1.0)[:, None], self.at(paid))


@dataclass(frozen=True)
class Criterion:
    """An activation criterion: the metric's mean over ``window`` months meets ``value``; up to ``cure`` failures in a row
    cost nothing.
    """

    metric: str
    operator: str
    value: float
    window: int
    cure: int

    def met(self, mean: Array) -> npt.NDArray[np.bool_]:
        """Whether a mean meets the test, (P,); nothing to divide by meets it."""
        compare = {">=": np.greater_equal, ">": np.greater, "<=": np.less_equal, "<": np.less}[self.operator]
        return np.asarray(compare(mean, self.value) | np.isnan(mean), dtype=np.bool_)


@dataclass(frozen=True)
class Limit:
    """An amount of a period: by group of months (T,), ``used`` in the first group; ``amounts`` (T,) of each month's group."""

    groups: Groups
    amounts: Array
    used: float = 0.0

    def last_of_group(self, month: int) -> bool:
        """Whether the month is the last of its group, or of all."""
        return month + 1 == len(self.groups) or self.groups[month + 1] != self.groups[month]


@dataclass(frozen=True)
class ShareRule:
    """The terms of one block of the share over the months ahead, (T,) each. ``so_far``: cumulative base and share before the
    first of them.
    """

    basis: str
    floor_price: float
    breakpoint: Array | None
    axes: Sequence[Axis]
    combine: str | None
    activation: Sequence[Criterion] = ()
    minimum: Limit | None = None
    monthly_minimum: Array | None = None
    creditable: bool = False
    contract_year: Groups | None = None
    cap: Limit | None = None
    lifetime_cap: float | None = None
    true_up: Groups | None = None
    carry_forward: bool = False
    base_so_far: float = 0.0
    share_so_far: float = 0.0


class Sales(NamedTuple):
    """What is sold: ``revenue`` and ``hours`` (P, T), ``installed`` GPU-hours (T,)."""

    revenue: Array
    hours: Array
    installed: Array

    def of(self, span: slice) -> Sales:
        """Those of some months."""
        return Sales(self.revenue[:, span], self.hours[:, span], self.installed[span])


@dataclass
class _State:
    """What a block remembers from month to month, (P,) each."""

    base: Array
    share: Array
    active: npt.NDArray[np.bool_]
    failures: list[Array]
    credit: Array
    carried: Array
    offset: Array
    in_minimum: Array
    in_cap: Array


def share_of(rules: Sequence[ShareRule], sales: Sales) -> Array:
    """The share of all blocks, (P, T)."""
    return np.asarray(np.sum([_block(rule, sales) for rule in rules], axis=0), dtype=np.float64)


def _block(rule: ShareRule, sales: Sales) -> Array:
    paths, months = sales.revenue.shape
    out = np.zeros((paths, months), order="F")
    state = _State(
        base=np.full(paths, rule.base_so_far),
        share=np.full(paths, rule.share_so_far),
        active=np.ones(paths, dtype=np.bool_),
        failures=[np.zeros(paths) for _ in rule.activation],
        credit=np.zeros(paths),
        carried=np.zeros(paths),
        offset=np.zeros(paths),
        in_minimum=np.full(paths, rule.minimum.used if rule.minimum else 0.0),
        in_cap=np.full(paths, rule.cap.used if rule.cap else 0.0),
    )
    base, taken_off = (np.zeros((paths, months), order="F") for _ in range(2))
    year_start, at_year_start = 0, (state.base.copy(), state.share.copy())
    for month in range(months):
        span = slice(month, month + 1)
        taken_off[:, month] = _taken_off(rule, sales, month, before=(state.base, state.share))
        base[:, month] = np.maximum(sales.revenue[:, month] - taken_off[:, month], 0.0)
        share = _tiered(rule, sales.of(span), span, base=base[:, month], before=(state.base, state.share))
        _activate(rule, state, sales, base, month=month)
        share = np.where(state.active, share, 0.0)
        share = _at_least(rule, state, share, month)
        share = _at_most(rule, state, share, month)
        if rule.true_up is not None:
            offset = np.minimum(state.carried, np.maximum(share, 0.0))
            share, state.carried, state.offset = share - offset, state.carried - offset, state.offset + offset
            if month + 1 == months or rule.true_up[month + 1] != rule.true_up[month]:
                year = slice(year_start, month + 1)
                accrued = np.concatenate([out[:, year_start:month], share[:, None]], axis=1)
                of_year = np.maximum(sales.revenue[:, year].sum(axis=1) - taken_off[:, year].sum(axis=1), 0.0)
                share = share + _year_end(
                    rule, state, sales.of(year), year, base=of_year, accrued=accrued, before=at_year_start
                )
        if rule.lifetime_cap is not None:
            share = np.minimum(share, np.maximum(rule.lifetime_cap - state.share, 0.0))
        out[:, month] = share
        state.base, state.share = state.base + base[:, month], state.share + share
        if rule.true_up is not None and (month + 1 < months and rule.true_up[month + 1] != rule.true_up[month]):
            year_start, at_year_start = month + 1, (state.base.copy(), state.share.copy())
    return out


def _taken_off(rule: ShareRule, sales: Sales, month: int, *, before: tuple[Array, Array]) -> Array:
    """What floor or breakpoint takes off a month's revenue, (P,)."""
    if rule.basis == "pct_above_floor":
        return np.asarray(rule.floor_price * sales.hours[:, month], dtype=np.float64)
    if rule.basis == "pct_above_breakpoint" and rule.breakpoint is not None:
        return np.full(len(sales.revenue), rule.breakpoint[month])
    if rule.basis == "pct_above_breakpoint" and rule.monthly_minimum is not None:
        return _natural_breakpoint(rule, sales, month, before=before)
    return np.zeros(len(sales.revenue))


def _natural_breakpoint(rule: ShareRule, sales: Sales, month: int, *, before: tuple[Array, Array]) -> Array:
    """Minimum ÷ rate: of the month on a calendar axis, at what had come together before it on a cumulative one, else of the first
    tier, and of two axes as they are combined; at a rate of nought all that is sold lies below it.
    """
    assert rule.monthly_minimum is not None  # noqa: S101  the caller looks
    base_before, share_before = before
    rates = []
    for axis in rule.axes:
        if axis.name in CALENDAR_AXES:
            rates.append(np.full(len(base_before), axis.rates[month]))
        elif axis.name in {"cumulative_base", "cumulative_share_paid"}:
            rates.append(axis.at(base_before if axis.name == "cumulative_base" else share_before) @ axis.rates)
        else:
            rates.append(np.full(len(base_before), axis.rates[0]))
    rate = np.max(rates, axis=0) if rule.combine == "max" else np.min(rates, axis=0)
    minimum = np.full(len(rate), rule.monthly_minimum[month])
    return np.asarray(np.divide(minimum, rate, out=sales.revenue[:, month].copy(), where=rate > 0), dtype=np.float64)


def _tiered(rule: ShareRule, sales: Sales, span: slice, *, base: Array, before: tuple[Array, Array]) -> Array:
    """Base × rates of its slices, (P,); two axes cut each other's slices in proportion."""
    parts = [_slices(axis, sales, span, base=base, before=before) for axis in rule.axes]
    if len(parts) == 1:
        fractions, rates = parts[0]
        return np.asarray(base * (fractions @ rates), dtype=np.float64)
    (first, first_rates), (second, second_rates) = parts
    choose = np.minimum if rule.combine == "min" else np.maximum
    both = choose.outer(first_rates, second_rates)
    return np.asarray(base * np.einsum("pk,kj,pj->p", first, both, second), dtype=np.float64)


def _slices(axis: Axis, sales: Sales, span: slice, *, base: Array, before: tuple[Array, Array]) -> tuple[Array, Array]:
    """The parts of a base by tier (P, K), and the tiers' rates (K,)."""
    base_before, share_before = before
    sold = sales.hours.sum(axis=1)
    if axis.name in CALENDAR_AXES:
        weights = sales.revenue
        total = weights.sum(axis=1, keepdims=True)
        even = np.full(weights.shape, 1.0 / weights.shape[1])
        return np.where(total > 0, weights / np.where(total > 0, total, 1.0), even), axis.rates[span]
    match axis.name:
        case "cumulative_base":
            found = axis.between(base_before, base_before + base) if axis.marginal else axis.at(base_before + base)
        case "cumulative_share_paid":
            found = axis.by_share(share_before, base) if axis.marginal else axis.at(share_before)
        case "price_per_gpu_hour":
            paid = sales.revenue.sum(axis=1) if axis.marginal else base
            price = np.divide(paid, sold, out=np.zeros_like(sold), where=sold > 0)
            found = axis.between(np.zeros_like(price), price) if axis.marginal else axis.at(price)
        case "occupancy":
            available = float(sales.installed.sum())
            found = axis.at(sold / available if available > 0 else np.zeros_like(sold))
        case other:
            raise wrong("share tier axis", other, "is none that a path can follow")
    return found, axis.rates


def _activate(rule: ShareRule, state: _State, sales: Sales, base: Array, *, month: int) -> None:
    """Whether the share is earned in a month: each criterion fails only after more failures in a row than may be cured."""
    active = np.ones(len(state.share), dtype=np.bool_)
    for place, criterion in enumerate(rule.activation):
        window = slice(max(month + 1 - criterion.window, 0), month + 1)
        mean = _metric(criterion.metric, sales.of(window), base[:, window])
        if mean is None:
            continue
        state.failures[place] = np.where(criterion.met(mean), 0.0, state.failures[place] + 1.0)
        active &= state.failures[place] <= criterion.cure
    state.active = active


def _metric(name: str, sales: Sales, base: Array) -> Array | None:
    """The plain mean of a metric's months, (P,), NaN where no month has it; None for what no path knows."""
    revenue, hours, installed = sales
    match name:
        case "occupancy":
            values = np.divide(hours, installed, out=np.full_like(hours, np.nan), where=installed > 0)
        case "price_per_gpu_hour" | "price":
            values = np.divide(revenue, hours, out=np.full_like(hours, np.nan), where=hours > 0)
        case "revenue":
            values = revenue
        case "base":
            values = base
        case _:
            return None
    seen = ~np.isnan(values)
    count = seen.sum(axis=1)
    total = np.where(seen, values, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0), dtype=np.float64)


def _at_least(rule: ShareRule, state: _State, share: Array, month: int) -> Array:
    """The share after its minimum: of the month (credited later in the contract year, if so agreed), or of the quarter or
    year, topped up in its last month. Without activation there is no minimum.
    """
    if rule.monthly_minimum is not None:
        floor = np.where(state.active, rule.monthly_minimum[month], 0.0)
        if rule.basis == "pct_above_breakpoint":
            return share + floor
        if rule.creditable and rule.contract_year is not None:
            if month and rule.contract_year[month] != rule.contract_year[month - 1]:
                state.credit = np.zeros_like(state.credit)
            used = np.minimum(state.credit, np.maximum(share - floor, 0.0))
            lifted = np.maximum(share - used, floor)
            state.credit = state.credit - used + np.maximum(floor - share, 0.0)
            return lifted
        return np.maximum(share, floor)
    if rule.minimum is None:
        return share
    limit = rule.minimum
    if month and limit.groups[month] != limit.groups[month - 1]:
        state.in_minimum = np.zeros_like(state.in_minimum)
    if limit.last_of_group(month):
        share = np.where(state.active, np.maximum(share, limit.amounts[month] - state.in_minimum), share)
    state.in_minimum = state.in_minimum + share
    return share


def _at_most(rule: ShareRule, state: _State, share: Array, month: int) -> Array:
    """The share after the cap of its period."""
    limit = rule.cap
    if limit is None:
        return share
    if month and limit.groups[month] != limit.groups[month - 1]:
        state.in_cap = np.zeros_like(state.in_cap)
    share = np.minimum(share, np.maximum(limit.amounts[month] - state.in_cap, 0.0))
    state.in_cap = state.in_cap + share
    return share


def _year_end(
    rule: ShareRule,
    state: _State,
    sales: Sales,
    span: slice,
    *,
    base: Array,
    accrued: Array,
    before: tuple[Array, Array],
) -> Array:
    """The true-up of the months of a year: the share of its ``base`` (P,), which is their revenue less what their floors and
    breakpoints took, at least its minima and at most its caps, less what was ``accrued`` (P, months); what is in the operator's
    favour is carried forward, if so agreed. A year with an inactive month keeps what was accrued: such a month has no share to
    true up.
    """
    whole = _tiered(rule, sales, span, base=base, before=before)
    if rule.monthly_minimum is not None:
        floor = float(rule.monthly_minimum[span].sum())
        whole = whole + floor if rule.basis == "pct_above_breakpoint" else np.maximum(whole, floor)
    if rule.cap is not None:
        _, first = np.unique(rule.cap.groups[span], return_index=True)
        whole = np.minimum(whole, float(rule.cap.amounts[span][first].sum()))
    # What an earlier year's carry took off this one's months was earned in them all the same.
    difference = np.asarray(whole - accrued.sum(axis=1) - state.offset, dtype=np.float64)
    state.offset = np.zeros_like(state.offset)
    if rule.activation:
        difference = np.where((accrued != 0).all(axis=1), difference, 0.0)
    if not rule.carry_forward:
        return difference
    state.carried = state.carried + np.maximum(-difference, 0.0)
    return np.maximum(difference, 0.0)


# --- rules out of the tables of terms -------------------------------------------------------------


class _Ahead(NamedTuple):
    """The months ahead, the day from which contract months count, the months before, and the part (T,) of each month that is in
    the contract.
    """

    months: Sequence[date]
    commencement: date
    past: Sequence[Mapping[str, Any]]
    part: Array


def share_rules(
    terms: Sequence[Mapping[str, Any]],
    tiers: Sequence[Mapping[str, Any]],
    criteria: Sequence[Mapping[str, Any]],
    *,
    months: Sequence[date],
    commencement: date,
    expiry: date,
    history: Sequence[Mapping[str, Any]] = (),
) -> list[ShareRule]:
    """The blocks of one version: rows of ``raw.share_terms``, with their tiers (``raw.share_tier``) and criteria
    (``raw.share_activation``). ``history``: rows of ``revenue_share.fct_share_month`` before ``months``, whose share and base
    count in cumulatives and in the periods that they began; with several blocks they count in none.
    """
    past = list(history) if len(terms) == 1 else []
    part = np.ones(len(months))
    if months and (months[-1].year, months[-1].month) == (expiry.year, expiry.month):
        part[-1] = expiry.day / days_in_month(expiry)
    ahead = _Ahead(months, commencement, past, part)
    rules = []
    for row in terms:
        own = [tier for tier in tiers if tier.get("share_id", row["share_id"]) == row["share_id"]]
        names = sorted({tier["axis"] for tier in own})
        axes = [_axis(name, [t for t in own if t["axis"] == name], months, commencement) for name in names]
        minimum, monthly = _minimum(row, ahead)
        multiple = row.get("return_multiple")
        caps = [row.get("lifetime_cap_amount"), None if multiple is None else multiple * row["hardware_amount"]]
        limits = [float(cap) for cap in caps if cap is not None]
        breakpoint_amount = row.get("breakpoint_amount")
        rules.append(
            ShareRule(
                basis=row["share_basis"],
                floor_price=float(row.get("floor_price_per_gpu_hour") or 0),
                breakpoint=None if breakpoint_amount is None else float(breakpoint_amount) * part,
                axes=axes,
                combine=row.get("combine"),
                activation=[
                    Criterion(c["metric"], c["operator"], float(c["value"]), c["test_window_months"], c["cure_months"])
                    for c in criteria
                    if c["share_id"] == row["share_id"]
                ],
                minimum=minimum,
                monthly_minimum=monthly,
                creditable=bool(row.get("minimum_creditable")),
                contract_year=_groups(months, commencement, 12, from_commencement=True),
                cap=_limit(row.get("period_cap_amount"), row.get("period_cap_period"), ahead),
                lifetime_cap=min(limits) if limits else None,
                true_up=_years(row.get("true_up_frequency"), months, commencement),
                carry_forward=bool(row.get("true_up_carry_forward")),
                base_so_far=float(sum(r["base_amount"] or 0 for r in past)),
                share_so_far=float(sum(r["share_amount"] or 0 for r in past)),
            )
        )
    return rules


def _axis(name: str, tiers: Sequence[Mapping[str, Any]], months: Sequence[date], commencement: date) -> Axis:
    ordered = sorted(tiers, key=lambda tier: tier["tier_no"])
    if name in CALENDAR_AXES:
        inside = _days_inside if name == "date" else _months_inside
        rates = np.array(
            [sum(float(tier["rate"]) * inside(tier, month, commencement) for tier in ordered) for month in months]
        )
        return Axis(name, rates, np.zeros(0), np.zeros(0), marginal=True)
    low = np.array([float(tier["from_value"] or 0) for tier in ordered])
    high = np.array([np.inf if tier["to_value"] is None else float(tier["to_value"]) for tier in ordered])
    rates = np.array([float(tier["rate"]) for tier in ordered])
    return Axis(name, rates, low, high, marginal=ordered[0]["application"] == "marginal")


def _months_inside(tier: Mapping[str, Any], month: date, commencement: date) -> float:
    """1 where the contract month of a month lies in the tier, else 0."""
    number, last = months_between(commencement, month) + 1, tier["to_month"]
    return float((tier["from_month"] or 1) <= number and (last is None or number <= last))


def _days_inside(tier: Mapping[str, Any], month: date, _commencement: date) -> float:
    """The part of a month's days that lies in the tier."""
    first, last = max(month, tier["from_date"] or month), min(month_end(month), tier["to_date"] or month_end(month))
    return max((last - first).days + 1, 0) / days_in_month(month)


def _groups(months: Sequence[date], commencement: date, length: int, *, from_commencement: bool) -> Groups:
    start = commencement if from_commencement else date(commencement.year, 1, 1)
    return np.array([months_between(start, month) // length for month in months], dtype=np.int64)


def _years(frequency: str | None, months: Sequence[date], commencement: date) -> Groups | None:
    """The year of each month; a fiscal year is February to January (READINGS.md, 23)."""
    match frequency:
        case None:
            return None
        case "contract_year":
            return _groups(months, commencement, 12, from_commencement=True)
        case "fiscal_year":
            return np.array([add_months(month, -1).year for month in months], dtype=np.int64)
        case _:
            return np.array([month.year for month in months], dtype=np.int64)


def _limit(amount: Any, period: str | None, ahead: _Ahead) -> Limit | None:
    """An amount by calendar month, quarter or contract year; the last month's prorated by its days."""
    if amount is None:
        return None
    length = PERIOD_MONTHS[period or "month"]
    groups = _groups(ahead.months, ahead.commencement, length, from_commencement=length == 12)
    amounts = np.full(len(ahead.months), float(amount)) * (ahead.part if length == 1 else 1.0)
    used = 0.0
    if length > 1 and ahead.past:
        months = [row["service_month"] for row in ahead.past]
        own = _groups(months, ahead.commencement, length, from_commencement=length == 12)
        used = float(sum(row["share_amount"] for row, group in zip(ahead.past, own, strict=True) if group == groups[0]))
    return Limit(groups, amounts, used)


def _minimum(row: Mapping[str, Any], ahead: _Ahead) -> tuple[Limit | None, Array | None]:
    """The minimum of a quarter or year, or that of each month."""
    amount = row.get("minimum_amount")
    if amount is None:
        return None, None
    if (row.get("minimum_period") or "month") == "month":
        return None, float(amount) * ahead.part
    return _limit(amount, row["minimum_period"], ahead), None
