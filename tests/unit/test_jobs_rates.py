"""Interest-rate sensitivity against its derived oracle."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from jobs_home import backstop, home, invoice, month_list

from orchestration.polars_jobs.programme import run_all
from orchestration.polars_jobs.rate_sensitivity import (
    PARALLEL_BP,
    Curve,
    effective_duration,
    key_rate_durations,
    present_value,
)

TIMES = np.arange(1, 61) / 12
FLOWS = 1e6 * 0.985 ** np.arange(60)
FLAT = Curve(np.array([0.25, 10.0]), np.array([0.05, 0.05]))


def test_d7_present_value_shocks_and_effective_duration_of_sixty_falling_flows():
    assert present_value(FLOWS, TIMES, FLAT) == pytest.approx(35_749_776.13, abs=0.005)
    assert effective_duration(FLOWS, TIMES, FLAT) == pytest.approx(2.0702121305, abs=1e-9)
    base = present_value(FLOWS, TIMES, FLAT)
    changes = [present_value(FLOWS, TIMES, FLAT, bp / 1e4) - base for bp in PARALLEL_BP if bp]
    expected = [2_324_268.95, 1_525_853.66, 751_376.12, -729_079.29, -1_436_635.88, -2_123_414.64]
    assert changes == pytest.approx(expected, abs=0.005)


def test_d7_key_rate_durations_sum_to_the_effective_duration():
    keys = key_rate_durations(FLOWS, TIMES, FLAT)
    assert keys == pytest.approx([0.023000, 0.064579, 0.223927, 0.422743, 0.775149, 0.560814, 0, 0], abs=5e-7)
    assert keys.sum() == pytest.approx(2.0702121127, abs=1e-9)


def test_share_and_claims_are_valued_under_every_shock_and_rates_up_is_value_down():
    months = month_list(date(2027, 10, 1), 1)
    frames = backstop(home(months, [invoice(date(2027, 9, 1), "100.00")], policy={"path_count": "200"}))
    out = run_all(frames)["credit.fct_rate_sensitivity_month"].filter(pl.col("stream") == "claim")
    parallel = out.filter(pl.col("key_rate_years").is_null()).sort("shift_bp")
    assert parallel["present_value_amount"].is_sorted(descending=True)
    assert out.filter(pl.col("shock") == "parallel_0")["change_amount"].to_list() == [0]
    whole = out.filter(pl.col("shock") == "parallel_0")["effective_duration_years"].item()
    parts = out.filter(pl.col("key_rate_years").is_not_null())["effective_duration_years"].sum()
    assert parts == pytest.approx(whole, rel=1e-6)
