"""The share on paths, by each of its terms; the examples are those of the ledgers' own decisions and readings."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs_home import month_list

from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.share_paths import Sales, share_of, share_rules

D = Decimal
START, END = date(2027, 1, 1), date(2030, 12, 31)


def tier(number=1, rate="0.25", axis="contract_month", **over):
    low = {"from_month": 1, "to_month": None, "from_date": None, "to_date": None, "from_value": None, "to_value": None}
    return {"share_id": "s", "tier_no": number, "axis": axis, "rate": D(rate), "application": "marginal", **low, **over}


def shares(revenue, tiers=None, *, hours=None, installed=None, criteria=(), history=(), end=END, start=START, **terms):
    """The share of each month on one path."""
    months = month_list(start, len(revenue))
    row = {"share_id": "s", "share_basis": "pct_of_base", "combine": None, **terms}
    rules = share_rules(
        [row], tiers or [tier()], list(criteria), months=months, commencement=START, expiry=end, history=history
    )
    taken = np.array([revenue], dtype=np.float64)
    sold = np.array([hours if hours is not None else [100.0] * len(revenue)], dtype=np.float64)
    total = np.array(installed if installed is not None else [200.0] * len(revenue), dtype=np.float64)
    return share_of(rules, Sales(taken, sold, total))[0].round(9).tolist()


def test_rates_go_by_contract_month_and_by_date_with_the_days_of_a_month():
    falling = [tier(1, "0.25", to_month=2), tier(2, "0.20", from_month=3)]
    assert shares([100.0] * 4, falling) == [25, 25, 20, 20]
    dated = [
        tier(1, "0.30", "date", to_date=date(2027, 2, 14)),
        tier(2, "0.10", "date", from_date=date(2027, 2, 15)),
    ]
    assert shares([100.0] * 3, dated) == [30, 20, 10], "half of February's days at each"


def test_a_floor_and_a_breakpoint_come_off_the_base_and_what_falls_below_is_lost():
    floor = {"share_basis": "pct_above_floor", "floor_price_per_gpu_hour": D("2")}
    assert shares([600.0, 160.0], **floor) == [100, 0]
    breaks = {"share_basis": "pct_above_breakpoint", "breakpoint_amount": D("400")}
    assert shares([600.0, 160.0], **breaks) == [50, 0]


def test_a_natural_breakpoint_is_the_minimum_over_the_rate_and_the_minimum_is_paid_beside():
    terms = {"share_basis": "pct_above_breakpoint", "minimum_amount": D("100"), "minimum_period": "month"}
    assert shares([600.0, 200.0], **terms) == [150, 100], "25 % above 400, and 100"


def test_a_natural_breakpoint_takes_both_rates_as_they_are_combined_and_that_of_a_cumulative_base_so_far():
    terms = {"share_basis": "pct_above_breakpoint", "minimum_amount": D("50"), "minimum_period": "month"}
    paid = [
        tier(1, "0.25", "cumulative_share_paid", from_value=D(0), to_value=D(80)),
        tier(2, "0.10", "cumulative_share_paid", from_value=D(80)),
    ]
    by_month = [tier(3, "0.20", to_month=1), tier(4, "0.05", from_month=2)]
    assert shares([300.0], [*paid, *by_month], combine="min", **terms) == [60], "20 % of 50 above 250, and 50"
    assert shares([300.0, 600.0], [*paid, *by_month], combine="max", **terms) == [75, 93], (
        "25 % above 200; the next 400 above it fill the tier with 20"
    )
    base = [
        tier(1, "0.25", "cumulative_base", from_value=D(0), to_value=D(150)),
        tier(2, "0.10", "cumulative_base", from_value=D(150)),
    ]
    assert shares([400.0, 600.0], base, **terms) == [92.5, 60], "150 and 50 above 200; then 10 % above 500"


def test_a_true_up_takes_the_breakpoints_that_its_months_had():
    terms = {"share_basis": "pct_above_breakpoint", "minimum_amount": D("50"), "minimum_period": "month"}
    paid = [
        tier(1, "0.25", "cumulative_share_paid", from_value=D(0), to_value=D(100)),
        tier(2, "0.10", "cumulative_share_paid", from_value=D(100)),
    ]
    trued = {"true_up_frequency": "contract_year", "true_up_carry_forward": False, "end": date(2027, 3, 31)}
    assert shares([300.0, 300.0, 700.0], paid, **terms) == [75, 75, 70], "above 200, 200 and 500"
    assert shares([300.0, 300.0, 700.0], paid, **terms, **trued) == [75, 75, 100], (
        "400 of the year earn 100, beside 150"
    )


def test_slices_of_a_cumulative_base_and_the_cliff():
    tiers = [
        tier(1, "0.30", "cumulative_base", from_value=D(0), to_value=D(150)),
        tier(2, "0.10", "cumulative_base", from_value=D(150)),
    ]
    assert shares([100.0] * 3, tiers) == [30, 20, 10]
    assert shares([100.0] * 3, [{**t, "application": "cliff"} for t in tiers]) == [30, 10, 10]
    before = [{"service_month": date(2026, 12, 1), "base_amount": D(140), "share_amount": D(42)}]
    assert shares([100.0], tiers, history=before) == [12]


def test_a_base_is_split_where_the_share_fills_a_tier_exactly():
    tiers = [
        tier(1, "0.25", "cumulative_share_paid", from_value=D(0), to_value=D(100)),
        tier(2, "0.10", "cumulative_share_paid", from_value=D(100)),
    ]
    paid = [{"service_month": date(2026, 12, 1), "base_amount": D(300), "share_amount": D(75)}]
    assert shares([300.0], tiers, history=paid) == [45], "100 earn the 25 that fill the tier, 200 earn 20"
    free = [{**tiers[0], "rate": D(0)}, tiers[1]]
    assert shares([300.0], free) == [0], "a tier of nought never fills"


def test_prices_and_occupancy_have_their_tiers_and_two_axes_cut_each_other():
    price = [
        tier(1, "0.10", "price_per_gpu_hour", from_value=D(0), to_value=D(2)),
        tier(2, "0.40", "price_per_gpu_hour", from_value=D(2)),
    ]
    assert shares([300.0], price) == [60], "two of three a GPU-hour at 10 %, one at 40 %"
    assert shares([300.0], [{**t, "application": "cliff"} for t in price]) == [120]
    occupancy = [
        tier(1, "0.10", "occupancy", from_value=D(0), to_value=D("0.5"), application="cliff"),
        tier(2, "0.20", "occupancy", from_value=D("0.5"), application="cliff"),
    ]
    assert shares([100.0, 100.0], occupancy, hours=[99.0, 100.0]) == [10, 20]
    assert shares([300.0], [*price, tier(1, "0.25")], combine="min") == [45], "200 at 10 %, 100 at 25 %"
    assert shares([300.0], [*price, tier(1, "0.25")], combine="max") == [90]


def test_a_share_is_earned_while_its_criterion_is_met_and_again_in_the_first_month_that_passes():
    criterion = {
        "share_id": "s",
        "metric": "occupancy",
        "operator": ">=",
        "value": D("0.5"),
        "test_window_months": 1,
        "cure_months": 1,
    }
    sold = [100.0, 90.0, 90.0, 90.0, 100.0]
    low = {"minimum_amount": D(5), "minimum_period": "month"}
    assert shares([100.0] * 5, hours=sold, criteria=[criterion], **low) == [25, 25, 0, 0, 25]
    smooth = {**criterion, "test_window_months": 2, "cure_months": 0}
    assert shares([100.0] * 3, hours=[120.0, 90.0, 100.0], criteria=[smooth]) == [25, 25, 0]
    unknown = {**criterion, "metric": "utilization"}
    assert shares([100.0], hours=[1.0], criteria=[unknown]) == [25], "what no path knows is met"


def test_minima_of_a_month_are_lower_bounds_and_credited_where_agreed():
    month = {"minimum_amount": D(100), "minimum_period": "month"}
    assert shares([160.0, 520.0], **month) == [100, 130]
    assert shares([160.0, 520.0], **month, minimum_creditable=True) == [100, 100], "60 topped up, 30 of them used"


def test_a_minimum_of_a_year_is_topped_up_in_its_last_month_and_prorated_in_the_contracts():
    year = {"minimum_amount": D(400), "minimum_period": "year"}
    assert shares([100.0] * 12, **year) == [25] * 11 + [125]
    before = [{"service_month": date(2027, 1, 1), "base_amount": D(400), "share_amount": D(100)}]
    assert shares([100.0] * 11, start=date(2027, 2, 1), history=before, **year)[-1] == 50
    month = {"minimum_amount": D(280), "minimum_period": "month"}
    assert shares([0.0, 0.0], end=date(2027, 2, 14), **month) == [280, 140]


def test_caps_of_a_period_begin_anew_and_those_of_a_life_do_not():
    assert shares([100.0] * 4, period_cap_amount=D(60), period_cap_period="quarter") == [25, 25, 10, 25]
    assert shares([100.0] * 3, lifetime_cap_amount=D(60)) == [25, 25, 10]
    assert shares([100.0] * 3, return_multiple=D("1.5"), hardware_amount=D(20)) == [25, 5, 0]


def test_a_true_up_is_the_share_of_the_year_less_what_was_accrued_and_may_be_carried():
    floor = {"share_basis": "pct_above_floor", "floor_price_per_gpu_hour": D("2"), "true_up_frequency": "calendar_year"}
    start = date(2027, 11, 1)
    assert shares([600.0, 160.0], start=start, **floor) == [100, -10], "the year is 360 above its floor: 90"
    carried = shares([600.0, 160.0, 600.0], start=start, **floor, true_up_carry_forward=True)
    assert carried == [100, 0, 90], "the 10 are taken off January"


def test_several_blocks_are_computed_apart_and_added():
    months = month_list(START, 2)
    rows = [
        {"share_id": "a", "share_basis": "pct_of_base"},
        {
            "share_id": "b",
            "share_basis": "pct_above_floor",
            "floor_price_per_gpu_hour": D("2"),
            "lifetime_cap_amount": D(50),
        },
    ]
    tiers = [{**tier(1, "0.10"), "share_id": "a"}, {**tier(1, "0.40"), "share_id": "b"}]
    rules = share_rules(rows, tiers, [], months=months, commencement=START, expiry=END)
    found = share_of(rules, Sales(np.array([[300.0, 300.0]]), np.array([[100.0, 100.0]]), np.array([200.0, 200.0])))
    assert found.tolist() == [[70.0, 40.0]]


def test_an_axis_that_no_path_has_is_named():
    with pytest.raises(CreditInputError, match="share tier axis is 'weather'"):
        shares([100.0], [tier(1, "0.1", "weather", from_value=D(0))])


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=15),
    st.floats(1, 1e6),
    st.floats(0, 1e5),
)
def test_no_share_passes_its_caps_and_more_revenue_never_earns_less(revenue, cap, minimum):
    terms = {
        "lifetime_cap_amount": D(str(round(cap, 2))),
        "minimum_amount": D(str(round(minimum, 2))),
        "minimum_period": "month",
    }
    low, high = shares(revenue, **terms), shares([value * 1.5 for value in revenue], **terms)
    assert sum(low) <= cap + 0.01
    assert sum(high) >= sum(low) - 1e-6
    assert all(value >= 0 for value in low)
