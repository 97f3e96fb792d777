"""CECL's pools: receivables that share risk characteristics lose together, the others by themselves (ASC 326-20-30-2)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import polars as pl
import pytest
from jobs_home import CONTRACT, event, home, invoice, month_list, payment

from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.programme import run_all

D = Decimal
MONTHS = month_list(date(2027, 1, 1), 8)
LAST = MONTHS[-1]
SHARED = ("raw.default_rate", "raw.policy", "raw.issuer_fact")
OLD, NEW = date(2026, 12, 1), date(2027, 7, 1)


def three(policy=None, *, events=(), ratings=("B", "B", "CCC/C")):
    """Contracts a, b and c alike in kind: an invoice of 100.00 that a pays late, b half and c never; and one of 1,000.00
    that is not due yet.
    """
    paid = {"a": [("100.00", date(2027, 4, 20))], "b": [("50.00", date(2027, 4, 20))], "c": []}
    parts = []
    for name, rating in zip(paid, ratings, strict=True):
        old = invoice(OLD, "100.00")
        made = home(
            MONTHS,
            [old, invoice(NEW, "1000.00")],
            [payment("p", day, amount, old["item_id"]) for amount, day in paid[name]],
            [one for who, one in events if who == name],
            policy=policy,
        )
        made["core.dim_operator"] = made["core.dim_operator"].with_columns(rating=pl.lit(rating))
        own = pl.col(pl.String).str.replace_all(CONTRACT, name, literal=True)
        parts.append(
            {
                table: frame
                if table in SHARED
                else frame.with_columns(own.str.replace_all("sharon-ai", f"{name}-op", literal=True))
                for table, frame in made.items()
            }
        )
    frames = {
        name: parts[0][name] if name in SHARED else pl.concat([part[name] for part in parts]) for name in parts[0]
    }
    return run_all(frames)


def pools(out, month=LAST):
    rows = out["credit.fct_loss_pool_month"].filter(pl.col("month") == month)
    return {row["pool_id"]: row for row in rows.iter_rows(named=True)}


def test_contracts_of_one_rating_are_one_pool_and_one_in_default_is_by_itself():
    found = pools(three())
    assert set(found) == {"rating B", "b", "c"}
    assert (found["rating B"]["evaluation"], found["rating B"]["contract_count"]) == ("collective", 1)
    assert (found["c"]["evaluation"], found["c"]["contract_count"]) == ("individual", 1)
    assert found["c"]["exposure_amount"] == D("1100.00")


def test_the_pools_of_a_month_sum_to_the_closing_allowance_whatever_the_method():
    for method in ("pd_lgd", "provision_matrix"):
        out = three({"allowance_method": method, "loss_pool_characteristics": '["rating", "country"]'})
        roll = (
            out["credit.fct_allowance_rollforward_month"]
            .filter("posted")
            .group_by("month")
            .agg(pl.col("closing_amount").sum())
        )
        summed = out["credit.fct_loss_pool_month"].group_by("month").agg(pl.col("expected_credit_loss_amount").sum())
        assert dict(roll.iter_rows()) == dict(summed.iter_rows())


def test_a_matrix_from_history_takes_the_rates_of_its_own_pool():
    history = {"provision_matrix_source": "history", "allowance_method": "provision_matrix"}
    current = (pl.col("month") == LAST) & (pl.col("bucket") == "current")
    apart = three(history)["credit.fct_provision_matrix_month"].filter(current).sort("contract_id")
    assert apart["pool_id"].to_list() == ["rating B", "rating B", "rating CCC/C"]
    assert apart["loss_rate"].to_list() == pytest.approx([0.25, 0.25, 1.0]), (
        "50 of 200, and 100 of 100, were never paid"
    )
    together = three({**history, "loss_pool_characteristics": "[]"})["credit.fct_provision_matrix_month"].filter(
        current
    )
    assert set(together["pool_id"]) == {"all"}
    assert together["loss_rate"].to_list() == pytest.approx([0.5] * 3), "150 of 300"


def test_what_is_in_default_takes_its_own_loss_beside_a_matrix():
    failed = [("a", event("i", "insolvency", date(2027, 7, 20)))]
    out = three({"allowance_method": "provision_matrix"}, events=failed)
    roll = out["credit.fct_allowance_rollforward_month"].filter("posted")
    closing = dict(roll.filter(pl.col("month") == LAST).select("contract_id", "closing_amount").iter_rows())
    assert closing["a"] == D("600.00"), "1,000.00 at an LGD of 60 %, not 0.3 % of it"


def test_a_characteristic_that_there_is_not_is_named():
    with pytest.raises(CreditInputError, match="loss_pool_characteristics is 'mood'; must be one of rating"):
        three({"loss_pool_characteristics": '["mood"]'})
