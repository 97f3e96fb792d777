"""The one rounding rule and largest remainder."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import duckdb
import polars as pl
import pytest

from orchestration.polars_jobs.money import (
    apportion,
    largest_remainder,
    money_from_estimate,
    round_money,
    round_money_expr,
)

CASES = [
    "0.125",
    "-0.125",
    "0.115",
    "-0.115",
    "2.675",
    "416913.5825",
    "-12345.675",
    "0.005",
    "-0.005",
    "0.004999999",
    "1e6",
]


@pytest.mark.parametrize("text", CASES)
def test_duckdb_polars_and_python_round_the_same_cases_alike(text):
    amount = Decimal(text)
    python = round_money(amount)
    with duckdb.connect() as con:
        engine = con.execute("select round(cast(? as decimal(18,9)), 2)::decimal(18,2)", [amount]).fetchone()[0]
    frame = pl.DataFrame({"amount": [amount]}, schema={"amount": pl.Decimal(18, 9)})
    polars = frame.select(round_money_expr(pl.col("amount"))).item()
    assert python == engine == polars


def test_ties_go_away_from_zero_on_both_sides():
    assert [round_money(Decimal(x)) for x in ("0.125", "-0.125", "0.135")] == [
        Decimal(x) for x in ("0.13", "-0.13", "0.14")
    ]
    assert round_money(Fraction(-1, 8)) == Decimal("-0.13")


def test_currencies_without_minor_unit_round_to_whole_units():
    assert round_money(Decimal("1234.5"), 0) == 1235


def test_floats_become_money_only_where_it_says_estimate():
    with pytest.raises(TypeError):
        round_money(0.1)
    assert money_from_estimate(1.005) == Decimal("1.01"), "the shortest decimal that names the float is what is rounded"
    with pytest.raises(ValueError, match="not an amount"):
        money_from_estimate(float("nan"))


def test_a_hundred_over_three_is_33_34_33_33_33_33():
    assert largest_remainder(Decimal("100.00"), {"a": 1, "b": 1, "c": 1}) == {
        "a": Decimal("33.34"),
        "b": Decimal("33.33"),
        "c": Decimal("33.33"),
    }


def test_parts_of_zero_weight_get_nothing_and_zero_weights_cannot_carry_an_amount():
    assert largest_remainder(Decimal("0.01"), {"a": 0, "b": 5})["a"] == 0
    with pytest.raises(ValueError, match="sum to zero"):
        largest_remainder(Decimal("0.01"), {"a": 0})
    assert sum(apportion(Decimal("-0.05"), [0.2, 0.3, 0.5])) == Decimal("-0.05")
