"""Every public formula of the credit jobs, each of its arguments in turn made NaN, infinite, text or nothing.

A refusal is a :class:`CreditInputError` that names the field; what is not refused is a finite figure, or none with a
reason. NaN is always refused. Which ranges a formula has is tested in test_jobs_errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest

from orchestration.polars_jobs import ageing, day_count, exposure, lifetime_ecl, money, path_history
from orchestration.polars_jobs import amortised_cost as cost
from orchestration.polars_jobs import backstop_liability as basis
from orchestration.polars_jobs import backstop_paths as paths
from orchestration.polars_jobs import collections as collecting
from orchestration.polars_jobs import default_curves as curves
from orchestration.polars_jobs import expected_loss as losses
from orchestration.polars_jobs import loss_experience as experience
from orchestration.polars_jobs import portfolio_loss as pool
from orchestration.polars_jobs import provision_matrix as matrix
from orchestration.polars_jobs import rate_sensitivity as rates
from orchestration.polars_jobs.errors import CreditInputError

array = np.array
FIRST, SECOND, THIRD = (date(year, 1, 1) for year in (2027, 2028, 2029))
SHOCKS, HALVES = np.zeros((2, 3)), np.full((2, 3), 0.5)
CURVE, YIELDS = curves.given_curve([1, 2], [0.1, 0.2]), rates.Curve(array([1.0, 2.0]), array([0.05, 0.05]))


def occupancy(*model: float) -> Any:
    return paths.occupancy_paths(paths.Occupancy(*model), SHOCKS)


def price(*model: float) -> Any:
    return paths.price_paths(paths.Price(*model), SHOCKS, HALVES)


def capped(lifetime: float, period: float, used: float, annual: float) -> Any:
    caps = paths.Caps(array([0, 1]), period, used, lifetime, annual_cap=annual, year_of_month=array([0, 0]))
    return paths.cap_claims(array([[1.0, 2.0]]), caps)


def logit(floor: float, *model: float) -> Any:
    return paths.logit_shortfall(paths.Occupancy(*model), floor, 2)


# Formula: its arguments by position, and by name.
FORMULAS: dict[Callable[..., Any], tuple[list[Any], dict[str, Any]]] = {
    lifetime_ecl.survival: ([[0.1, 0.2]], {}),
    lifetime_ecl.marginal_pd: ([[0.1, 0.2]], {}),
    lifetime_ecl.conditional_from_cumulative: ([[0.1, 0.2]], {}),
    lifetime_ecl.discount_factors: ([0.05, [1.0, 2.0]], {}),
    lifetime_ecl.lifetime_ecl: (
        [[[[0.1, 0.2]]], 0.5, [[1.0, 2.0]]],
        {"eir": 0.05, "tau_years": [1.0, 2.0], "weights": [1.0]},
    ),
    lifetime_ecl.geometric_ecl: (
        [[[0.1]], 0.5, [100.0], [1.0, 0.5]],
        {"eir": 0.05, "period_years": 0.25, "weights": [1.0]},
    ),
    lifetime_ecl.twelve_month_ecl: (
        [[[[0.1, 0.2]]], 0.5, [[1.0, 2.0]]],
        {"eir": 0.05, "period_years": [0.5, 0.5], "weights": [1.0]},
    ),
    lifetime_ecl.revert: ([[0.1], 0.05, 2, 5], {}),
    lifetime_ecl.vasicek_shift: ([0.02, 0.2, 1.0], {}),
    lifetime_ecl.worst_case_default_rate: ([0.02, 0.2, 0.99], {}),
    lifetime_ecl.discounted_shortfall: ([[0.0, 1.0], [0.5, 0.5], 0.05, 2.0], {}),
    curves.given_curve: ([[1.0, 2.0], [0.1, 0.2]], {}),
    curves.rating_curve: ([[1.0, 2.0], [0.1, 0.2], [0.0, 0.1]], {}),
    curves.cumulative_pd_at: ([CURVE, [1.0]], {}),
    curves.conditional_pd_for_periods: ([CURVE, [1.0, 2.0]], {}),
    curves.cds_curve: ([[1.0, 2.0], [0.01, 0.02], 0.4], {"zero_rate": 0.03}),
    curves.transition_matrix: ([[[0.9, 0.05, 0.05]], ["A"]], {}),
    curves.generator: ([[[0.9, 0.1], [0.0, 1.0]]], {}),
    curves.transition_at: ([array([[-0.1, 0.1], [0.0, 0.0]]), 1.0], {}),
    curves.transition_default_curve: ([array([[0.9, 0.1], [0.0, 1.0]]), 0, [1, 2]], {}),
    cost.effective_interest_rate: ([[FIRST, SECOND], [-100.0, 110.0]], {}),
    cost.dated_present_value: ([0.05, [FIRST, SECOND], [-100.0, 110.0]], {}),
    cost.amortised_cost: ([FIRST, 100.0, [SECOND, THIRD], [60.0, 60.0]], {"eir": 0.1}),
    collecting.dso_simple: ([100.0, 100.0, 30], {}),
    collecting.countback_dso: ([100.0, [(30, 100.0)]], {}),
    collecting.true_dso: ([[(30, 100.0, 100.0)]], {}),
    collecting.receivables_turnover: ([100.0, [10.0, 20.0], 30], {}),
    collecting.collection_effectiveness: ([100.0, 100.0, 50.0, 20.0, 1], {}),
    money.fx_remeasurement: ([100.0, 1.0, 1.1], {}),
    matrix.bucket_loss: ([100.0, 0.1, 1.0], {}),
    matrix.matrix_loss: ([[100.0], [0.1], [1.0]], {}),
    matrix.rates_from_history: ([100.0, [50.0, 30.0], 20.0], {}),
    pool.migration_value: ([[0.5, 0.5], [1.0, 2.0]], {}),
    pool.risk_weight: ([0.01, 0.45, 2.5, 50.0], {}),
    pool.loss_quantile: ([0.01, 0.1, 0.4, 0.999], {}),
    pool.loss_distribution: ([[0.01], 0.01, 0.1, 0.4], {}),
    pool.loss_density: ([[0.01], 0.01, 0.1, 0.4], {}),
    experience.remaining_loss_by_age: ([[1.0, 2.0]], {}),
    experience.remaining_maturity_loss: ([[1.0, 2.0], 0.01, 0.01], {}),
    day_count.rate_of_period: ([0.1, 0.25], {}),
    rates.yield_measures: ([array([5.0, 105.0]), array([1.0, 2.0]), 0.05], {}),
    rates.present_value: ([array([1.0, 2.0]), array([1.0, 2.0]), YIELDS], {}),
    ageing.absorption: ([array([[0.5]]), array([[0.5]])], {}),
    ageing.chain_loss_rates: ([[0.5, 0.5]], {}),
    occupancy: ([0.8, 0.8, 0.9, 0.3], {}),
    price: ([2.0, 2.0, 1.0, 0.4, 0.5, -0.1], {}),
    paths.survival_paths: ([array([0.1, 0.1, 0.1]), SHOCKS, 0.4], {}),
    paths.shortfall_hours: ([array([1.0]), array([0.5]), 0.0, 0.0], {}),
    capped: ([1.0, 1.0, 0.0, 1.0], {}),
    paths.tails: ([[1.0, 2.0], [0.5]], {}),
    paths.mean_and_error: ([array([1.0, 2.0])], {}),
    paths.most_likely: ([array([1.0, 2.0])], {}),
    paths.probit_draw: ([0.8, 0.5, 0.7], {}),
    paths.probit_draw_tail: ([0.8, 0.5, 0.7, 0.95], {}),
    paths.price_and_quantity_shortfall: (
        [0.8, 0.5, 0.7],
        {"forward": 2.0, "volatility": 0.4, "strike": 2.0, "correlation": 0.5},
    ),
    logit: ([0.75, 0.8, 0.8, 0.9, 0.3], {}),
    basis.stand_ready_straight_line: ([1.0, 1, 12], {}),
    basis.stand_ready_risk_release: ([1.0, array([1.0, 2.0]), 1], {}),
    basis.asc450_accrual: ([0.9, 0.75, 1.0, 2.0], {}),
    basis.ias37_onerous: ([1.0, 1.0, 0.0], {}),
    basis.financial_guarantee: ([1.0, 1.0, 0.0], {}),
    basis.fair_value: ([1.0, 2.0, 0.06], {}),
    exposure.concentration: ([[1.0, 2.0]], {}),
    losses.loss_given_default: ([0.5, Decimal(100), Decimal(1), Decimal(1), 0.0], {}),
    path_history.estimate_occupancy: ([[0.5, 0.6] * 20, 24, 0.005], {}),
    path_history.estimate_volatility: ([[(FIRST, 1.0), (SECOND, 2.0), (THIRD, 3.0)], 2], {}),
}
BAD = (math.nan, math.inf, -math.inf, "many")


def with_last(values: Any, bad: object) -> Iterator[Any]:
    """The argument with its last number, and that of each place of a last pair, made bad; nothing where it has none."""
    if isinstance(values, np.ndarray):
        # An array of numbers holds no text.
        if not isinstance(bad, str):
            changed = values.astype(np.float64)
            changed.flat[-1] = bad
            yield changed
    elif isinstance(values, list) and values and isinstance(values[-1], tuple):
        for place, value in enumerate(values[-1]):
            if isinstance(value, int | float):
                yield [*values[:-1], (*values[-1][:place], bad, *values[-1][place + 1 :])]
    elif isinstance(values, list) and values:
        yield from ([*values[:-1], changed] for changed in with_last(values[-1], bad))
    elif isinstance(values, Decimal):
        if not isinstance(bad, str):
            yield Decimal(repr(bad))
    elif isinstance(values, int | float):
        yield bad


def calls(args: list[Any], named: dict[str, Any], change: Callable[[Any], Iterator[Any]]) -> Iterator[tuple[Any, Any]]:
    """The arguments with each in turn changed."""
    for place, value in enumerate(args):
        for changed in change(value):
            yield [*args[:place], changed, *args[place + 1 :]], named
    for name, value in named.items():
        for changed in change(value):
            yield args, {**named, name: changed}


def outcome(formula: Callable[..., Any], given: Any, keywords: Any) -> tuple[str | None, Any]:
    """The field that a refusal names ("" where it names none), or None and the result."""
    try:
        return None, formula(*given, **keywords)
    except CreditInputError as error:
        return error.field or "", None


def numbers(found: Any) -> Iterator[float]:
    """Every number of a result."""
    if isinstance(found, pl.DataFrame):
        yield from numbers(found.select(pl.col(pl.Float64)).to_numpy())
    elif isinstance(found, np.ndarray | list | tuple):
        for part in np.asarray(found).ravel() if isinstance(found, np.ndarray) else found:
            yield from numbers(part)
    elif found is not None and not isinstance(found, str):
        yield float(found)


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda formula: formula.__name__)
def test_what_is_no_number_is_refused_by_name_or_gives_a_finite_figure_and_nan_is_always_refused(formula):
    args, named = FORMULAS[formula]
    assert all(map(math.isfinite, numbers(formula(*args, **named))))
    tried = 0
    for bad in BAD:
        for given, keywords in calls(args, named, lambda value, bad=bad: with_last(value, bad)):
            tried += 1
            field, found = outcome(formula, given, keywords)
            if field is None:
                assert bad in {math.inf, -math.inf}, (given, keywords, found)
                assert all(map(math.isfinite, numbers(found))), (given, keywords, found)
            assert field != "", (given, keywords)
    assert tried >= len(BAD) - 1


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda formula: formula.__name__)
def test_nothing_in_the_place_of_several_numbers_is_refused_or_gives_nothing(formula):
    args, named = FORMULAS[formula]

    def emptied(value):
        if isinstance(value, list):
            yield []
        elif isinstance(value, np.ndarray):
            yield np.empty((0,) * value.ndim)

    for given, keywords in calls(args, named, emptied):
        _, found = outcome(formula, given, keywords)
        assert all(map(math.isfinite, numbers(found))), (given, keywords, found)
