"""Parameters of occupancy and price out of a park's own history."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import get_args

import numpy as np
import polars as pl
import pytest
from jobs_home import CONTRACT, backstop, home, month_list
from scipy import special

from ingest.terms.policy import ParkParameter
from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.path_history import estimate_occupancy, estimate_volatility
from orchestration.polars_jobs.policies import PARK_PARAMETERS, CreditPolicy
from orchestration.polars_jobs.programme import run_all


def test_a_long_history_of_the_process_gives_its_parameters_back():
    random, level, seen = np.random.default_rng(5), 0.0, []
    mean = float(special.logit(0.8))
    for _ in range(20_000):
        level = 0.9 * level + 0.35 * random.standard_normal()
        seen.append(float(special.expit(mean + level)))
    found = estimate_occupancy(seen, 12)
    assert found is not None
    assert found == pytest.approx((0.8, 0.9, 0.35, 20_000), rel=0.03)


def test_the_slope_is_that_of_least_squares_by_hand():
    levels = np.array([0.0, 0.5, 0.3, 0.8, 1.0, 0.9])
    slope, start = np.polyfit(levels[:-1], levels[1:], 1)
    off = levels[1:] - start - slope * levels[:-1]
    found = estimate_occupancy(special.expit(levels).tolist(), 4)
    by_hand = (special.expit(start / (1 - slope)), slope, np.sqrt((off**2).sum() / 3), 6)
    assert 0 < slope < 1
    assert found == pytest.approx(by_hand)


def test_what_is_too_short_never_moved_or_does_not_revert_has_no_estimate():
    assert estimate_occupancy([0.5, 0.6, 0.7], 12) is None
    assert estimate_occupancy([0.7] * 30, 12) is None
    assert estimate_occupancy([float(special.expit(0.1 * 1.2**n)) for n in range(20)], 12) is None, "it runs away"
    with pytest.raises(CreditInputError, match=r"occupancy is 1\.2"):
        estimate_occupancy([1.2] * 12, 12)


def test_volatility_is_the_root_of_squared_changes_over_time():
    days = [date(2027, 1, 1) + timedelta(days=73 * n) for n in range(6)]
    prices = [2.0 * (1.1 if n % 2 else 1.0) for n in range(6)]
    found = estimate_volatility(list(zip(days, prices, strict=True)), 4)
    assert found == pytest.approx(np.log(1.1) * np.sqrt(5))
    assert estimate_volatility([(days[0], 2.0)], 2) is None
    with pytest.raises(CreditInputError, match="price is 0"):
        estimate_volatility([(days[0], 0.0), (days[1], 1.0)], 2)


def test_a_parks_own_parameters_stand_in_place_of_the_policies_and_others_are_refused():
    policy = CreditPolicy(
        {"park_processes": '{"p": {"occupancy_mean_fraction": "0.4"}, "q": "{\\"price_volatility\\": 0.2}"}'}
    )
    assert policy.for_park("p").number("occupancy_mean_fraction") == 0.4
    assert policy.for_park("q").number("price_volatility") == 0.2
    assert policy.for_park("r").number("occupancy_mean_fraction") == 0.8
    with pytest.raises(ValueError, match="'lgd' of park p is none of"):
        CreditPolicy({"park_processes": '{"p": {"lgd": 1}}'}).for_park("p")


def test_a_home_may_take_them_from_its_history_and_each_close_from_what_it_knew():
    months = month_list(date(2027, 1, 1), 16)
    leased = [700 + 12 * ((7 * n) % 11) + 5 * n for n in range(16)]

    def expected(**policy):
        made = backstop(home(months, [], policy={"path_count": "400", **policy}))
        made["intermediate.int_supply_months"] = pl.DataFrame(
            [
                {
                    "contract_id": CONTRACT,
                    "point_no": point,
                    "service_month": months[n],
                    "leased_gpu_hours": Decimal(leased[n]),
                    "available_gpu_hours": Decimal(1000),
                }
                for point in range(1, 17)
                for n in range(point)
            ]
        )
        out = (
            run_all(made)["credit.fct_backstop_distribution_month"]
            .filter(pl.col("correlation_case") == "base")
            .sort("month")
        )
        return out["expected_amount"].to_list()

    given = expected()
    low = expected(park_processes='{"sharon-au-1": {"occupancy_mean_fraction": "0.3"}}')
    assert all(more > less for more, less in zip(low, given, strict=True))
    own = expected(process_parameters="history", process_history_count="14")
    assert own[:13] == given[:13], "too few months were known"
    fractions = [value / 1000 for value in leased]
    changed = [estimate_occupancy(fractions[: n + 1], 14) is not None for n in range(13, 16)]
    assert [now != then for now, then in zip(own[13:], given[13:], strict=True)] == changed


def test_the_parameters_that_a_homes_policy_may_give_are_those_that_the_paths_know() -> None:
    assert get_args(ParkParameter) == PARK_PARAMETERS
