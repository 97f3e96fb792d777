"""The stress set on a small contract: each driver moves what it should, and nothing else."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest
from jobs_home import CONTRACT, backstop, home, invoice, lease, month_list, payment

from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.programme import run_all
from orchestration.polars_jobs.provision_matrix import historical_rates, rates_from_history

D = Decimal
MONTHS = month_list(date(2027, 10, 1), 2)
STRESSES = {
    "fall": [("price_change_fraction", "-0.43")],
    "slump": [("price_change_fraction", "-0.43"), ("occupancy_change_fraction", "-0.30")],
    "tenant": [("largest_tenant_default", "1")],
    "insolvent": [("operator_insolvency", "1")],
    "lucent": [("lgd_fraction", "0.86")],
    "power": [("power_price_multiple", "3")],
    "slip": [("delivery_slip_days", "180")],
}


def _stressed(stresses, **over):
    frames = backstop(home(MONTHS, [invoice(date(2027, 9, 1), "100000.00")], policy={"path_count": "400"}))
    frames["revenue_share.fct_share_month"] = pl.DataFrame(
        [
            {
                "contract_id": CONTRACT,
                "service_month": date(2027, 9, 1),
                "effective_rate": 0.25,
                "share_amount": Decimal("5.00"),
            }
        ]
    )
    frames["staging.stg_leases"] = pl.DataFrame(
        [lease("L1", 1200, date(2027, 1, 1), date(2031, 1, 1)), lease("L2", 600, date(2027, 1, 1), date(2030, 1, 1))]
    )
    later = frames["core.dim_tranche"].with_columns(
        tranche_id=pl.lit("sharon-au-1-b"), energised_date=pl.lit(date(2028, 2, 1))
    )
    frames["core.dim_tranche"] = pl.concat([frames["core.dim_tranche"], later])
    frames["raw.scenario"] = pl.DataFrame(
        [
            {
                "scenario_id": name,
                "scenario_name": name,
                "weight": None,
                "driver": driver,
                "value": D(value),
                "source": "s",
            }
            for name, drivers in stresses.items()
            for driver, value in drivers
        ],
        schema_overrides={"weight": pl.Decimal(9, 6)},
    )
    out = run_all({**frames, **over})["credit.fct_stress_result"]
    return {row["scenario_id"]: row for row in out.iter_rows(named=True)}


@pytest.fixture(scope="module")
def rows():
    return _stressed(STRESSES)


def test_the_baseline_stands_beside_every_stress_on_the_same_paths(rows):
    assert set(rows) == {"baseline", *STRESSES}
    assert rows["baseline"]["claim_change_amount"] == rows["baseline"]["share_change_amount"] == 0


def test_a_fall_of_prices_costs_share_and_no_claim(rows):
    assert rows["fall"]["share_change_amount"] < 0
    assert rows["fall"]["claim_change_amount"] == 0


def test_a_fall_of_occupancy_brings_claims(rows):
    assert rows["slump"]["claim_change_amount"] > 0


def test_the_largest_tenants_default_takes_its_lease_out_of_the_book(rows):
    assert rows["tenant"]["claim_change_amount"] > 0
    assert rows["tenant"]["share_change_amount"] < 0


def test_insolvency_voids_the_backstop_and_makes_the_loss_certain(rows):
    assert rows["insolvent"]["claim_amount"] == rows["insolvent"]["share_amount"] == 0
    assert rows["insolvent"]["expected_credit_loss_amount"] == D("60000.00")


def test_loss_given_default_acts_on_the_expected_loss_alone(rows):
    ratio = rows["lucent"]["expected_credit_loss_amount"] / rows["baseline"]["expected_credit_loss_amount"]
    assert float(ratio) == pytest.approx(0.86 / 0.60, rel=1e-4)
    assert rows["lucent"]["claim_change_amount"] == 0


def test_a_delivery_that_slips_is_not_claimed_for_while_it_is_away(rows):
    assert rows["slip"]["claim_change_amount"] < 0


def test_what_needs_the_operators_economics_is_null_with_that_reason(rows):
    assert rows["power"]["dscr"] is None
    assert rows["power"]["null_reason"] == "the park's economics are not given"


@pytest.mark.parametrize(
    ("drivers", "named"),
    [
        ([("price_change_fraction", "-1")], r"price after the stress is -1\.0"),
        ([("pd_multiple", "40")], r"stressed default probability is 1\.[0-9]+; must lie in \[0, 1\]"),
        ([("lgd_fraction", "1.2")], r"lgd_fraction is 1\.2; must lie in \[0, 1\]"),
    ],
)
def test_a_driver_out_of_range_is_an_error_that_names_contract_field_and_value(drivers, named):
    with pytest.raises(CreditInputError, match=f"obligor sharon-nvda-2026: {named}") as caught:
        _stressed({"all": drivers})
    assert caught.value.obligor == "sharon-nvda-2026"


def test_a_macro_scenario_out_of_range_names_contract_scenario_and_value():
    frames = home(month_list(date(2027, 1, 1), 2), [invoice(date(2026, 12, 1), "100.00")])
    for driver, value, field in (
        ("pd_multiple", "40", "default probability under scenario base"),
        ("lgd_fraction", "1.5", "loss given default"),
    ):
        row = {"scenario_id": "base", "weight": D(1), "driver": driver, "value": D(value)}
        with pytest.raises(CreditInputError, match=f"obligor sharon-nvda-2026: {field} is 1") as caught:
            run_all({**frames, "raw.scenario": pl.DataFrame([row])})
        assert (caught.value.obligor, caught.value.field) == ("sharon-nvda-2026", field)


# --- the matrix from history ---------------------------------------------------------------------


def test_rates_from_the_programmes_own_history_reproduce_the_shape_of_o2():
    """One invoice of 100: 50 on time, 27 in days 1-30, 15 in 31-60, 6 in 61-90, 2 never (ORACLES.md, O2)."""
    document = invoice(date(2026, 12, 1), "100.00")
    due = document["due_date"]
    paid = [("a", due, "50.00")]
    paid += [("b", date(2027, 4, 1), "27.00"), ("c", date(2027, 5, 1), "15.00"), ("d", date(2027, 6, 1), "6.00")]
    payments = [payment(name, day, amount) for name, day, amount in paid]
    out = run_all(home(month_list(date(2027, 1, 1), 8), [document], payments))
    items, applied = out["credit.fct_receivable_item"], out["credit.fct_cash_application"]
    rates = historical_rates(items, applied, date(2027, 8, 1))
    assert list(rates.values()) == [
        Fraction(2, 100), Fraction(4, 100), Fraction(2, 23), Fraction(1, 4), Fraction(1), Fraction(1)
    ]  # fmt: skip
    assert historical_rates(items, applied, date(2027, 3, 1)) is None


def test_only_invoices_past_all_buckets_have_a_history_and_what_was_set_off_is_no_loss():
    """Young invoices that are settled would count without those of their age that are not, and halve the rates."""
    old, young = (invoice(month, "100.00") for month in (date(2026, 12, 1), date(2027, 4, 1)))
    months = month_list(date(2027, 1, 1), 8)
    paid = [payment("a", old["due_date"], "60.00"), payment("b", young["due_date"], "100.00")]
    out = run_all(home(months, [old, young], paid))
    items, applied = out["credit.fct_receivable_item"], out["credit.fct_cash_application"]
    assert historical_rates(items, applied, months[-1])["current"] == Fraction(40, 100)
    is_old = pl.col("item_id") == old["item_id"]
    part = items.with_columns(
        set_off_amount=pl.when(is_old).then(pl.lit(D("15.00"))).otherwise(pl.col("set_off_amount")),
        open_amount=pl.when(is_old).then(pl.lit(D("25.00"))).otherwise(pl.col("open_amount")),
    )
    assert historical_rates(part, applied, months[-1])["current"] == Fraction(25, 85)


def test_payments_that_do_not_add_up_are_an_error():
    with pytest.raises(CreditInputError):
        rates_from_history(D(100), [D(50)], D(40))
