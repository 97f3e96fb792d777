"""The operator's economics, covenants, reverse stress, lock-in, deals and metrics on a park of round figures."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from jobs_home import (
    CONTRACT,
    EVENT_SCHEMA,
    PAYMENT_SCHEMA,
    at,
    backstop,
    economics,
    event,
    home,
    invoice,
    lease,
    month_list,
    payment,
)

from orchestration.polars_jobs import covenants, deals, lock_in, metrics, operator_stress
from orchestration.polars_jobs import operator_economics as operator
from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.metric_catalogue import METRICS
from orchestration.polars_jobs.policies import CreditPolicy
from orchestration.polars_jobs.programme import run_all
from orchestration.polars_jobs.receivables import read_closes, standing_events

D = Decimal
MONTHS = month_list(date(2027, 10, 1), 3)
OCT, NOV, DEC = MONTHS
POLICY = {"path_count": "400", "hardware_price_per_gpu": "1000", "hardware_life_months": "100"}
KEY = {"contract_id": CONTRACT, "amendment_id": "original"}


def share_terms(contract_id: str, tiers: list[tuple[int, int | None, str]], **over):
    terms = {
        "contract_id": contract_id,
        "share_id": "share",
        "amendment_id": "original",
        "valid_from": date(2026, 10, 1),
        "recorded_at": datetime(2026, 6, 12, tzinfo=UTC),
        "share_basis": "pct_of_base",
        "floor_price_per_gpu_hour": None,
        "statement_due_days": 15,
        "payment_terms_days": 60,
        **over,
    }
    rows = [
        {
            **{name: terms[name] for name in ("contract_id", "share_id", "amendment_id")},
            "tier_no": number,
            "axis": "contract_month",
            "from_month": first,
            "to_month": last,
            "rate": D(rate),
        }
        for number, (first, last, rate) in enumerate(tiers, start=1)
    ]
    return terms, rows


def park(**over):
    """The park of round figures with a share of 20 % that falls to 10 % in contract month 25, and a rival deal."""
    frames = economics(
        backstop(home(MONTHS, [invoice(date(2027, 9, 1), "60000.00")], policy=POLICY, **over.pop("home", {}))),
        MONTHS,
        **over,
    )
    own, own_tiers = share_terms(CONTRACT, [(1, 24, "0.20"), (25, None, "0.10")])
    rival, rival_tiers = share_terms("rival", [(1, None, "0.05")])
    schema = {"floor_price_per_gpu_hour": pl.Decimal(18, 9)}
    frames["raw.share_terms"] = pl.DataFrame([own, rival], schema_overrides=schema)
    frames["raw.share_tier"] = pl.DataFrame([*own_tiers, *rival_tiers])
    rival_backstop = frames["raw.backstop_terms"].with_columns(
        contract_id=pl.lit("rival"), committed_fraction=pl.lit(D("1.00"))
    )
    frames["raw.backstop_terms"] = pl.concat([frames["raw.backstop_terms"], rival_backstop], how="vertical_relaxed")
    for name in ("raw.backstop_price", "raw.backstop_ramp"):
        frames[name] = pl.concat([frames[name], frames[name].with_columns(contract_id=pl.lit("rival"))])
    rival_contract = {"contract_id": "rival", "vendor_id": "amd", "service_commencement_date": date(2026, 10, 1)}
    frames["raw.contract"] = pl.concat(
        [frames["raw.contract"], pl.DataFrame([{**rival_contract, "expiry_date": date(2032, 9, 30)}])]
    )
    terms = [("exclusivity", "vendor", "amd"), ("exclusivity", "scope", "all"), ("exclusivity", "ends", "2030-09-30")]
    terms += [("exclusivity", "purchase_quota_pct", "0.80"), ("exit_rights", "1.party", "operator")]
    terms += [("exit_rights", "1.fee_formula", "six months of buy-back price on the capacity")]
    for number, (ground, paid) in enumerate(
        (("default", "500"), ("sla_breach", "900"), ("refinancing", "70")), start=1
    ):
        terms += [
            ("backstop", f"early_termination.{number}.{name}", value)
            for name, value in (("ground", ground), ("termination_payment", paid))
        ]
    terms += [
        ("backstop", "early_termination.3.payer", "vendor"),
        ("backstop", "early_termination.4.ground", "rating_trigger"),
    ]
    frames["raw.contract_term"] = pl.DataFrame(
        [
            {
                "contract_id": "rival",
                "instrument": instrument,
                "term": term,
                "valid_from": date(2026, 10, 1),
                "valid_to": date(2032, 9, 30),
                "recorded_at": datetime(2026, 6, 12, tzinfo=UTC),
                "value_text": value,
                "evidence_grade": "assumed",
            }
            for instrument, term, value in terms
        ]
    )
    frames["revenue_share.fct_share_month"] = pl.DataFrame(
        [
            {
                "contract_id": CONTRACT,
                "service_month": month,
                "effective_rate": D("0.20"),
                "share_amount": D("62000.00"),
                "base_amount": D("310000"),
                "recouped_amount": D("0.00"),
            }
            for month in MONTHS
        ]
    )
    frames["backstop.fct_backstop_month"] = pl.DataFrame(
        [
            {
                "contract_id": CONTRACT,
                "tranche_id": "sharon-au-1-a",
                "service_month": month,
                "installed_gpu_hours": D("1488000"),
                "committed_gpu_hours": D("1264800"),
                "excluded_gpu_hours": D("0"),
                "third_party_gpu_hours": D("1339200"),
                "vendor_use_gpu_hours": D("0"),
                "unsold_gpu_hours": D("0"),
                "deductible_gpu_hours": D("0"),
                "claim_gpu_hours": D("0"),
                "buyback_price_per_gpu_hour": D("2.33"),
                "claim_amount": D("0.00"),
            }
            for month in MONTHS
        ]
    )
    return {**frames, **over.get("frames", {})}


# --- loans ----------------------------------------------------------------------------------------


def loan(amortisation, rate=0.12, principal=1200.0):
    return operator.Loan("bank", principal, rate, False, amortisation, date(2027, 1, 1), date(2028, 1, 15))


def test_a_linear_loan_repays_equal_parts_and_an_annuity_pays_equal_sums():
    linear = operator.loan_schedule(loan("linear"))
    assert [row.principal for row in linear] == [100.0] * 12
    assert (linear[0].month, linear[0].interest, linear[1].interest) == (date(2027, 2, 1), 12.0, 11.0)
    level = [row.interest + row.principal for row in operator.loan_schedule(loan("annuity"))]
    assert level == pytest.approx([1200 * 0.01 / (1 - 1.01**-12)] * 12)
    bullet = operator.loan_schedule(loan("bullet"))
    assert [row.principal for row in bullet] == [0.0] * 11 + [1200.0]


@pytest.mark.parametrize("amortisation", ["linear", "annuity", "bullet"])
def test_a_loan_is_worth_its_payments_at_its_own_rate_and_ends_at_nought(amortisation):
    rows = operator.loan_schedule(loan(amortisation, rate=0.07))
    value = sum((row.interest + row.principal) / (1 + 0.07 / 12) ** number for number, row in enumerate(rows, start=1))
    assert value == pytest.approx(1200.0)
    assert rows[-1].outstanding == 0.0
    assert sum(row.principal for row in rows) == pytest.approx(1200.0)


def test_a_loan_that_cannot_be_is_refused_with_its_lenders_name():
    with pytest.raises(CreditInputError, match="obligor bank: amortisation is 'balloon'"):
        operator.loan_schedule(loan("balloon"))
    with pytest.raises(CreditInputError, match="obligor bank: principal"):
        operator.loan_schedule(loan("linear", principal=-1.0))


def test_loan_life_coverage_of_cash_flows_that_equal_debt_service_is_one():
    rows = operator.loan_schedule(loan("annuity"))
    flows = [row.interest + row.principal for row in rows]
    assert operator.loan_life_coverage(flows, 0.12, 1200.0) == pytest.approx(1.0)
    assert operator.loan_life_coverage(flows, 0.12, 0.0) is None


def test_hardware_loses_its_value_evenly_and_never_below_nought():
    assert [operator.straight_line_value(100.0, age, 50) for age in (-1, 0, 25, 50, 60)] == [100, 100, 50, 0, 0]


# --- economics ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def out():
    return run_all(park())


def of_month(frame, month):
    return frame.filter(pl.col("month") == month).row(0, named=True)


def test_the_operators_month_by_hand(out):
    """31 days: 310,000 − 62,000 share − 62,000 power − 30,000 land − 20,000 operation = 136,000; loan in its 14th month:
    50,000 and 1 % of 550,000.
    """
    row = of_month(out["credit.fct_operator_economics_month"], DEC)
    assert (row["revenue_amount"], row["share_amount"], row["power_amount"]) == (D(310_000), D(62_000), D(62_000))
    assert (row["land_amount"], row["operation_amount"], row["cfads_amount"]) == (D(30_000), D(20_000), D(136_000))
    assert (row["interest_amount"], row["principal_amount"], row["debt_outstanding_amount"]) == (
        D(5_500),
        D(50_000),
        D(500_000),
    )
    assert row["dscr"] == pytest.approx(136_000 / 55_500)
    assert row["dscr_before_share"] == pytest.approx(198_000 / 55_500)
    # 2,000 GPUs at 1,000 each, fourteen of a hundred months gone.
    assert row["collateral_value_amount"] == D(1_720_000)
    assert row["ltv_fraction"] == pytest.approx(500_000 / 1_720_000)
    # 95 % of the committed hours at 2.33, less costs of 112,000.
    assert row["floor_revenue_amount"] == D("2799634.80")
    assert row["floor_case_dscr"] == pytest.approx((2_799_634.80 - 112_000) / 55_500)
    assert row["pledged_revenue_fraction"] == pytest.approx((62_000 + 55_500) / 310_000)


def test_who_took_what_adds_up_to_revenue_less_costs(out):
    rows = out["credit.fct_operator_economics_month"].filter(pl.col("month") <= DEC).sort("month")
    last = rows.row(-1, named=True)
    taken = sum(last[f"cumulative_{who}_take_amount"] for who in ("vendor", "lender", "operator"))
    costs = rows.select(pl.sum_horizontal(pl.col("power_amount", "land_amount", "operation_amount")).sum()).item()
    revenue = rows["revenue_amount"].sum()
    known = rows.filter(pl.col("power_amount").is_null()).height
    assert taken == revenue - costs
    assert known > 0, "the months before metering have land and debt, and no power"


def test_a_month_without_a_meter_reading_has_no_cash_flow_and_says_why(out):
    row = of_month(out["credit.fct_operator_economics_month"], date(2027, 9, 1))
    assert row["cfads_amount"] is None
    assert row["dscr_null_reason"] == row["llcr_null_reason"] == "no meter reading of the month"


def test_a_park_without_economics_has_no_rows():
    frames = park()
    del frames["raw.park_economics"]
    assert run_all(frames)["credit.fct_operator_economics_month"].is_empty()


# --- covenants ------------------------------------------------------------------------------------


def test_a_quarters_coverage_sums_cash_flow_and_debt_service_over_it(out):
    tests = out["credit.fct_covenant_test_month"].filter(pl.col("covenant_id") == "dscr")
    row = of_month(tests, DEC)
    flows = [136_000, 128_000, 136_000]
    service = [56_500, 56_000, 55_500]
    assert row["value"] == pytest.approx(sum(flows) / sum(service))
    assert row["headroom"] == pytest.approx(row["value"] - 1.30)
    assert (row["is_tested"], row["passed"], row["lookback_months"]) == (True, True, 3)
    assert of_month(tests, NOV)["is_tested"] is False
    assert of_month(tests, OCT)["value_null_reason"] == "no meter reading of a month in the window"
    assert of_month(tests, OCT)["passed"] is None


def test_headroom_is_positive_on_the_right_side_of_every_operator():
    for sign, value, room, passed in (
        (">=", 1.3, 0.0, True),
        (">", 1.3, 0.0, False),
        ("<=", 0.9, 0.4, True),
        ("<", 1.4, -0.1, False),
    ):
        assert covenants.headroom(value, sign, 1.3) == pytest.approx(room)
        assert covenants.passes(value, sign, 1.3) is passed
    with pytest.raises(CreditInputError):
        covenants.headroom(1.0, "==", 1.0)


def test_a_covenant_counts_once_it_is_known():
    frames = park()
    late = frames["raw.covenant"].with_columns(recorded_at=pl.lit(datetime(2027, 12, 20, tzinfo=UTC)))
    tests = run_all({**frames, "raw.covenant": late})["credit.fct_covenant_test_month"]
    assert tests["month"].unique().to_list() == [DEC]


def test_contracted_coverage_and_concentration_come_from_the_lease_book():
    agreed = [
        ("ahead", "min_contracted_coverage", ">=", "0.95", "month"),
        ("one", "concentration", "<=", "0.5", "quarter"),
    ]
    tests = run_all(park(covenants=agreed))["credit.fct_covenant_test_month"]
    ahead = of_month(tests.filter(pl.col("covenant_id") == "ahead"), DEC)
    # 1,800 of 2,000 GPUs are leased beyond the year.
    assert (ahead["value"], ahead["passed"]) == (pytest.approx(0.9), False)
    assert ahead["headroom"] == pytest.approx(-0.05)
    one = of_month(tests.filter(pl.col("covenant_id") == "one"), DEC)
    assert (one["value"], one["passed"], one["lookback_months"]) == (pytest.approx(1.0), False, 3)


def test_contracted_coverage_of_a_month_counts_the_leases_and_versions_known_at_its_close():
    frames = park()
    closes = read_closes(frames["intermediate.int_closes"])
    known = at(date(2026, 9, 1))
    first = lease("L1", 500, date(2026, 10, 1), date(2031, 1, 1), recorded_at=known)
    second = lease("L2", 1000, date(2028, 1, 1), date(2031, 1, 1), recorded_at=at(date(2027, 12, 1)))
    shorter = {**first, "version": 2, "starts_at": at(date(2028, 6, 1), 0), "gpu_count": 100, "recorded_at": known}
    frames["staging.stg_leases"] = pl.DataFrame([first, second])

    def coverage(close):
        return covenants.measure_book(frames, close, "min_contracted_coverage", 1).value

    # 2,000 GPUs in service; L2 is recorded before November closes on 11 December and not before October does.
    assert coverage(closes[0]) == pytest.approx(500 / 2000)
    assert coverage(closes[1]) == pytest.approx((500 + 1000 * 334 / 366) / 2000, rel=2e-3)
    frames["staging.stg_leases"] = pl.DataFrame([first, shorter])
    days = (date(2028, 6, 1) - date(2027, 10, 31)).days
    assert coverage(closes[0]) == pytest.approx((500 * days + 100 * (366 - days)) / 366 / 2000, rel=2e-3)
    own = frames["staging.stg_leases"].with_columns(customer_type=pl.lit("vendor_own_use"))
    assert (
        covenants.measure_book({**frames, "staging.stg_leases": own}, closes[0], "min_contracted_coverage", 1).value
        == 0
    )


def test_limits_on_pledges_are_tested_each_month_over_all_creditors():
    limit = {
        "contract_id": CONTRACT,
        "instrument": "pledge_limits",
        "valid_from": date(2026, 10, 1),
        "valid_to": None,
        "recorded_at": datetime(2026, 6, 12, tzinfo=UTC),
    }
    terms = pl.DataFrame(
        [
            {**limit, "term": "max_future_revenue_pct", "value_text": "0.25"},
            {**limit, "term": "excluded_assets", "value_text": "[]"},
        ],
        schema_overrides={"valid_to": pl.Date},
    )
    out = run_all({**park(), "raw.contract_term": terms})
    row = of_month(
        out["credit.fct_covenant_test_month"].filter(pl.col("covenant_id") == "pledge_limits.max_future_revenue_pct"),
        DEC,
    )
    economics = of_month(out["credit.fct_operator_economics_month"], DEC)
    assert row["value"] == pytest.approx(economics["pledged_revenue_fraction"])
    assert (row["metric"], row["passed"], row["consequence"]) == ("pledged_revenue", row["value"] <= 0.25, None)


def test_a_covenant_on_the_rating_counts_notches_and_follows_changes_as_known():
    agreed = [("grade", "rating", "<=", "13", "month")]
    worse = event("r", "rating_change", NOV, payload='{"rating": "CCC+"}')
    tests = run_all(park(covenants=agreed, home={"events": [worse]}))
    rows = tests["credit.fct_covenant_test_month"].sort("month")
    assert rows["value"].to_list() == [15, 17, 17]
    assert rows["passed"].to_list() == [False] * 3
    assert [covenants.rating_number(name) for name in ("AAA", "Baa3", "BB-", "CCC/C", "D", "NR", None)] == [
        1, 10, 13, 18, 22, None, None,
    ]  # fmt: skip
    reverse = tests["credit.fct_reverse_stress"].filter(pl.col("target") == "covenant:grade")
    assert set(reverse["null_reason"]) == {"broken today"}


def test_a_disputed_claim_and_a_quoted_spread_have_their_metrics():
    opened = event("d", "dispute_opened", NOV, payload='{"claim_month": "2027-10"}')
    closed = event("e", "dispute_closed", DEC, payload='{"claim_month": "2027-10"}')
    frames = park(home={"events": [opened, closed]})
    curve = {"obligor_id": "sharon-ai", "kind": "cds_spread", "recovery_fraction": 0.4}
    frames["raw.credit_curve"] = pl.DataFrame(
        [
            {**curve, "curve_date": NOV, "horizon_years": years, "value": value}
            for years, value in ((1.0, 0.05), (5.0, 0.0811))
        ]
    )
    frames["backstop.fct_backstop_month"] = frames["backstop.fct_backstop_month"].with_columns(
        claim_amount=pl.lit(D("70.00"))
    )
    out = run_all(frames)
    found = out["monitor.fct_metric_month"].filter(pl.col("entity_level") != "programme").sort("month")
    disputed = found.filter(pl.col("metric") == "claims_disputed_amount")
    assert disputed["value"].to_list() == [0, 70, 0]
    spread = found.filter(pl.col("metric") == "credit_spread_bp")
    assert spread["value"].to_list() == [None, pytest.approx(811), pytest.approx(811)]
    assert "reference/credit_curves.csv" in spread["null_reason"][0]
    assert not out["credit.fct_receivable_item"]["disputed"].any(), "the operator's invoices are in no dispute"


def statement(day: date, published: date, item: str, amount: str, **over):
    return {
        "operator_id": "sharon-ai",
        "as_of_date": day,
        "published_date": published,
        "item": item,
        "amount": D(amount),
        "currency_code": "USD",
        **over,
    }


def with_statements(*rows, covenant: str = "1"):
    """The park with a covenant on liquidity, and with power metered in the two months before October too."""
    frames = park(covenants=[("cash", "min_liquidity", ">=", covenant, "month")])
    power = frames["metering.fct_power_day"]
    before = power.head(2).with_columns(
        service_date=pl.Series([date(2027, 8, 31), date(2027, 9, 30)]), facility_energy_kwh=pl.lit(D("600000"))
    )
    frames["metering.fct_power_day"] = pl.concat([before, power], how="vertical_relaxed")
    return {**frames, "raw.operator_fact": pl.DataFrame(list(rows))} if rows else frames


def test_what_no_statement_tells_is_neither_passed_nor_failed():
    tests = run_all(with_statements())["credit.fct_covenant_test_month"]
    assert set(tests["passed"].to_list()) == {None}
    (reason,) = set(tests["value_null_reason"].to_list())
    assert "reference/operator_facts.csv" in reason


def test_liquidity_is_cash_and_undrawn_facilities_over_a_usual_months_costs_and_debt_service():
    out = run_all(
        with_statements(
            statement(date(2027, 9, 30), date(2027, 10, 20), "cash", "900000.00"),
            statement(date(2027, 9, 30), date(2027, 10, 20), "undrawn_facility", "300000.00"),
            statement(date(2027, 11, 30), date(2027, 12, 20), "cash", "600000.00"),
            covenant="4",
        )
    )
    rows = out["credit.fct_operator_economics_month"].sort("month")
    costs = rows.select(pl.sum_horizontal("power_amount", "land_amount", "operation_amount", "debt_service_amount"))
    usual = [float(amount) for amount in costs.to_series().cast(pl.Float64).rolling_mean(3).to_list()[-3:]]
    # November's statement counts for November and December, with what it names alone.
    expected = [1_200_000 / usual[0], 600_000 / usual[1], 600_000 / usual[2]]
    assert rows["liquidity_months"].to_list()[-3:] == pytest.approx(expected, rel=1e-6)
    metric = out["monitor.fct_metric_month"].filter(pl.col("metric") == "liquidity_months").sort("month")
    assert metric["value"].drop_nulls().to_list() == pytest.approx(expected, rel=1e-6)


def test_a_covenant_on_liquidity_looks_at_what_was_published_by_its_close():
    frames = with_statements(
        statement(date(2027, 9, 30), date(2027, 10, 20), "cash", "900000.00"),
        # Published after the close of November's books, and so unknown to its test.
        statement(date(2027, 11, 30), date(2028, 6, 30), "cash", "100.00"),
        covenant="0.1",
    )
    tests = run_all(frames)["credit.fct_covenant_test_month"].filter(pl.col("covenant_id") == "cash").sort("month")
    assert tests["passed"].to_list() == [True, True, True]
    late = frames["raw.operator_fact"].with_columns(published_date=pl.lit(date(2027, 11, 30)))
    tests = run_all({**frames, "raw.operator_fact": late})["credit.fct_covenant_test_month"].sort("month")
    assert tests.filter(pl.col("covenant_id") == "cash")["passed"].to_list()[1:] == [False, False]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([statement(date(2026, 9, 30), date(2026, 10, 20), "cash", "9.00")], "is older than 12 months"),
        ([statement(date(2027, 9, 30), date(2027, 10, 20), "undrawn_facility", "9.00")], "tells no cash"),
        (
            [statement(date(2027, 9, 30), date(2027, 10, 20), "cash", "9.00", currency_code="EUR")],
            "in several currencies",
        ),
        (
            [statement(date(2027, 9, 30), date(2027, 10, 20), "cash", "9.00", operator_id="other")],
            "no statement of the",
        ),
    ],
)
def test_liquidity_that_cannot_be_told_is_null_with_its_reason(rows, said):
    row = run_all(with_statements(*rows))["credit.fct_operator_economics_month"].sort("month").row(-1, named=True)
    assert row["liquidity_months"] is None
    assert said in row["liquidity_months_null_reason"]


def test_a_residual_mark_is_the_market_over_the_lenders_own_schedule():
    frames = park()
    model = frames["core.dim_tranche"]["gpu_model"][0]
    park_id = frames["core.dim_park"]["park_id"][0]
    schema = ("observed_date", "kind", "park_id", "price_per_gpu", "gpu_model", "currency_code")
    rows = [
        (date(2027, 10, 1), "lender_schedule", None, D("50.00")),
        (date(2027, 11, 1), "lender_schedule", park_id, D("40.00")),
        (date(2027, 11, 15), "lender_schedule", "elsewhere", D("1.00")),
        (date(2027, 11, 20), "market", None, D("30.00")),
        (date(2027, 12, 20), "market", None, D("20.00")),
    ]
    frames["raw.hardware_value"] = pl.DataFrame(
        [(*row, model, "USD") for row in rows], schema=schema, orient="row", strict=False
    )
    found = run_all(frames)["credit.fct_operator_economics_month"].sort("month")
    assert found["residual_mark_fraction"].to_list()[-3:] == [None, 0.75, 0.5]
    assert "no market of used hardware" in found["residual_mark_fraction_null_reason"][-3]


# --- reverse stress -------------------------------------------------------------------------------


def test_reverse_stress_finds_the_price_fall_at_which_coverage_is_1_30(out):
    rows = out["credit.fct_reverse_stress"]
    level = rows.filter((pl.col("target") == "covenant:dscr") & (pl.col("driver") == "price_change_fraction"))["level"][
        0
    ]
    # Run rate: revenue r, share 62,000 and costs 112,000 − (power of a shorter November); at f: 0.8 r (1 + f) − costs = 1.3 × service.
    books = operator_stress.operator_books(park(), operator.park_months(park(), CreditPolicy(POLICY)))
    month = operator.run_rate(books[CONTRACT].months)
    kept = float(month.revenue - month.share)
    expected = (1.30 * float(month.debt_service) + float(month.costs)) / kept - 1
    assert level == pytest.approx(expected, abs=1e-6)
    assert operator_stress.covenant_value(
        books[CONTRACT], books[CONTRACT].covenants[0], {"price_change_fraction": level}
    ) == pytest.approx(1.30, abs=1e-6)


def test_reverse_stress_says_what_never_breaks_and_what_is_broken(out):
    rows = out["credit.fct_reverse_stress"]
    power = rows.filter((pl.col("target") == "covenant:ltv") & (pl.col("driver") == "power_price_multiple"))
    assert power["null_reason"].to_list() == ["does not break up to 100"]
    broken = run_all(park(covenants=[("dscr", "dscr", ">=", "9", "quarter")]))["credit.fct_reverse_stress"]
    assert set(broken.filter(pl.col("target") == "covenant:dscr")["null_reason"].to_list()) == {"broken today"}


def test_a_fall_of_occupancy_brings_claims_at_the_run_rate_up_to_the_monthly_cap():
    books = operator_stress.operator_books(park(), {})
    book = books[CONTRACT]
    assert operator_stress.claims_at(book, 1.0) == 0.0
    # Nothing sold: committed less 5 % of it, at 2.33.
    assert operator_stress.claims_at(book, 0.0) == pytest.approx(1_264_800 * 0.95 * 2.33)
    for target, amount, months in (("period_cap", 3e6, 3), ("annual_cap", 12e6, 12)):
        capped = replace(book, claim_caps=[operator_stress.RunRateCap(target, amount, months)])
        assert operator_stress.claims_at(capped, 0.0) == 1e6


def test_the_run_rate_claims_by_the_terms_in_force_at_the_close_and_not_by_those_to_come():
    frames = park()
    terms = frames["raw.backstop_terms"]
    whole = operator_stress.claims_at(operator_stress.operator_books(frames, {})[CONTRACT], 0.0)
    for later in (
        {"valid_from": date(2029, 1, 1)},
        {"recorded_at": frames["intermediate.int_closes"]["known_at"].max() + timedelta(seconds=1)},
    ):
        again = terms.with_columns(
            amendment_id=pl.lit("later"),
            deductible_fraction=pl.lit(D("0.50")).cast(terms.schema["deductible_fraction"]),
            **{name: pl.lit(value).cast(terms.schema[name]) for name, value in later.items()},
        )
        given = {**frames, "raw.backstop_terms": pl.concat([terms, again])}
        assert operator_stress.claims_at(operator_stress.operator_books(given, {})[CONTRACT], 0.0) == whole


def test_a_guarantee_of_what_the_operator_pays_is_taken_for_one_of_revenue_at_the_run_rate_too():
    frames = park()
    terms = frames["raw.backstop_terms"].with_columns(settlement_type=pl.lit("debt_service_shortfall"))
    book = operator_stress.operator_books({**frames, "raw.backstop_terms": terms}, {})[CONTRACT]
    # 10,000 a day are billed over the window's 92 days: that, and no hours, is held against 1,264,800 × 95 % × 2.33 a month.
    assert sum(hours.billed for hours in book.hours) == pytest.approx(92 * 10_000)
    guaranteed = 1_264_800 * 0.95 * 2.33
    assert operator_stress.claims_at(book, 1.0) == pytest.approx(guaranteed - 920_000 / 3)
    assert operator_stress.claims_at(book, 0.5, 0.5) == pytest.approx(guaranteed - 920_000 / 12)


def test_where_revenue_is_guaranteed_a_fall_of_prices_brings_claims_as_one_of_occupancy_does():
    book = operator_stress.operator_books(park(), {})[CONTRACT]
    hours = operator_stress.HoursSold(1000, 600, 50, 100, 2.0, billed=1800.0)
    given = replace(book, hours=[hours], window_months=1, claim_caps=[])
    # (1,000 − 100 − 50) × 2.00 = 1,700 guaranteed, less 1,800 × what is left of it.
    assert operator_stress.claims_at(given, 1.0) == 0.0
    assert operator_stress.claims_at(given, 0.5) == operator_stress.claims_at(given, 1.0, 0.5) == pytest.approx(800)
    bought = replace(given, hours=[replace(hours, billed=None)])
    assert operator_stress.claims_at(bought, 1.0, 0.5) == operator_stress.claims_at(bought, 1.0)


def test_reverse_stress_finds_the_fall_of_occupancy_and_of_prices_at_which_guaranteed_revenue_reaches_its_caps():
    book = operator_stress.operator_books(park(), {})[CONTRACT]
    hours = operator_stress.HoursSold(1000, 600, 50, 100, 2.0, billed=1800.0)
    cap = operator_stress.RunRateCap
    given = replace(
        book,
        hours=[hours],
        window_months=1,
        claim_caps=[cap("period_cap", 3 * 800.0, 3), cap("lifetime_cap", 12 * 900.0, 12)],
        share_caps=[],
        covenants=[],
    )
    rows = operator_stress.reverse_stress({CONTRACT: given})
    levels = {(row["target"], row["driver"]): row["level"] for row in rows.iter_rows(named=True)}
    # 1,700 guaranteed less 1,800 × (1 + f) is 800 at f = −1/2. The lifetime cap is worn down by what the period's lets through.
    assert levels == {
        ("period_cap", "occupancy_change_fraction"): pytest.approx(-0.5),
        ("period_cap", "price_change_fraction"): pytest.approx(-0.5),
        ("lifetime_cap", "occupancy_change_fraction"): None,
        ("lifetime_cap", "price_change_fraction"): None,
    }
    free = replace(given, claim_caps=given.claim_caps[1:])
    level = operator_stress.reverse_stress({CONTRACT: free}).filter(pl.col("driver") == "price_change_fraction")[
        "level"
    ]
    assert level.to_list() == [pytest.approx((1700 - 900) / 1800 - 1)]
    bought = replace(given, hours=[replace(hours, billed=None)])
    drivers = operator_stress.reverse_stress({CONTRACT: bought})["driver"]
    assert set(drivers) == {"occupancy_change_fraction"}, "prices move no claim for hours"


def test_reverse_stress_finds_the_level_of_every_cap_of_claims_and_share():
    terms = {
        "period_cap_amount": D("3000000.00"),
        "period_cap_period": "quarter",
        "annual_cap_amount": D("10000000.00"),
    }
    frames = backstop(park(), **terms)
    frames = {**park(), "raw.backstop_terms": frames["raw.backstop_terms"]}
    frames["backstop.fct_backstop_cap_month"] = pl.DataFrame(
        [
            {
                "contract_id": CONTRACT,
                "service_month": DEC,
                "lifetime_cap_left_amount": D("50000000.00"),
                "max_exposure_amount": D(1),
            }
        ]
    )
    frames["raw.share_terms"] = frames["raw.share_terms"].with_columns(
        period_cap_amount=pl.lit(D("124000.00")),
        period_cap_period=pl.lit("month"),
        lifetime_cap_amount=pl.lit(D("1e9")),
    )
    books = operator_stress.operator_books(frames, operator.park_months(frames, CreditPolicy(POLICY)))
    rows = {
        row["target"]: row
        for row in operator_stress.reverse_stress(books).iter_rows(named=True)
        if ":" not in row["target"]
    }
    assert set(rows) == {"period_cap", "annual_cap", "lifetime_cap", "share_period_cap", "share_lifetime_cap"}
    for target, months in (("period_cap", 3), ("annual_cap", 12)):
        cap = next(cap for cap in books[CONTRACT].claim_caps if cap.target == target)
        free = replace(books[CONTRACT], claim_caps=[])
        assert operator_stress.claims_at(free, 1 + rows[target]["level"]) * months == pytest.approx(
            cap.amount, rel=1e-6
        )
    share = books[CONTRACT].share_a_month
    assert share * (1 + rows["share_period_cap"]["level"]) == pytest.approx(124_000)
    assert rows["lifetime_cap"]["level"] is not None or "does not break" in rows["lifetime_cap"]["null_reason"]


def test_reverse_stress_covers_coverage_and_the_limits_on_pledges():
    frames = park(covenants=[("cover", "min_contracted_coverage", ">=", "0.60", "quarter")])
    limit = {
        "contract_id": CONTRACT, "instrument": "pledge_limits", "term": "max_future_revenue_pct", "value_text": "0.90",
        "valid_from": date(2026, 10, 1), "valid_to": None, "recorded_at": at(date(2026, 6, 12)),
    }  # fmt: skip
    frames["raw.contract_term"] = pl.DataFrame([limit], schema_overrides={"valid_to": pl.Date})
    books = operator_stress.operator_books(frames, operator.park_months(frames, CreditPolicy(POLICY)))
    rows = operator_stress.reverse_stress(books)
    covered = rows.filter((pl.col("target") == "covenant:cover") & (pl.col("driver") == "occupancy_change_fraction"))
    told = books[CONTRACT].told["cover"]
    assert covered["level"].item() == pytest.approx(0.60 / told - 1, abs=1e-6)
    pledge = rows.filter(pl.col("target") == "covenant:pledge_limits.max_future_revenue_pct")
    fall = pledge.filter(pl.col("driver") == "price_change_fraction")["level"].item()
    month = operator.run_rate(books[CONTRACT].months)
    # At a price fall f the share falls with revenue and debt service does not: (s r (1 + f) + d) ÷ (r (1 + f)) = 0.9.
    rate, service = float(month.share / month.revenue), float(month.debt_service / month.revenue)
    assert fall == pytest.approx(service / (0.90 - rate) - 1, abs=1e-4)


def test_power_at_three_times_its_price_lowers_coverage_and_insolvency_leaves_none():
    book = operator_stress.operator_books(park(), operator.park_months(park(), CreditPolicy(POLICY)))[CONTRACT]
    base, _ = operator_stress.dscr_under(book, {})
    power, _ = operator_stress.dscr_under(book, {"power_price_multiple": 3.0})
    month = operator.run_rate(book.months)
    assert base - power == pytest.approx(2 * float(month.power) / float(month.debt_service))
    assert operator_stress.dscr_under(book, {"operator_insolvency": 1.0}) == (None, "the operator has failed")
    assert operator_stress.breaches_under(book, {"operator_insolvency": 1.0}) is True
    assert operator_stress.breaches_under(book, {}) is False


# --- lock-in and deals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "months"),
    [("six months of buy-back price", 6), ("12 months of buyback price on all", 12), ("1 month of buy-back price", 1),
     ("a fair price", None), ("some months of buy-back price", None)],
)  # fmt: skip
def test_a_fee_is_computed_where_it_is_stated_in_months_of_price_and_not_guessed_elsewhere(formula, months):
    assert lock_in.months_of_price(formula) == months


@pytest.mark.parametrize(
    ("obliged", "events", "expected"),
    [
        (None, [], (None, "the obligation is not agreed")),
        ("false", [("t", '{"ported": true}')], (None, "the obligation is waived")),
        ("true", [], (None, "nobody has left")),
        ("true", [("t", None)], (None, "the termination does not say")),
        ("true", [("t", '{"ported": "yes"}')], (None, "the termination does not say")),
        ("true", [("t", '{"ported": true}')], (True, None)),
        ("true", [("t", '{"ground": "default", "ported": false}')], (False, None)),
    ],
)
def test_whether_an_obligation_of_portability_was_met_is_what_the_termination_says(obliged, events, expected):
    frames = home(MONTHS, [], events=[event(name, "termination", DEC, payload=said) for name, said in events])
    agreed = [] if obliged is None else [{"portability_obligation": obliged}]
    close = read_closes(frames["intermediate.int_closes"])[-1]
    found = lock_in.portability_met(lock_in.LockIn({}, agreed), standing_events(frames), close)
    assert found == expected
    early = read_closes(frames["intermediate.int_closes"])[0]
    assert lock_in.portability_met(lock_in.LockIn({}, agreed), standing_events(frames), early)[0] is None


def test_the_watch_reads_exclusivity_and_exit_rights_of_the_terms_in_force():
    frames = park()
    terms = frames["raw.contract_term"].with_columns(contract_id=pl.lit(CONTRACT))
    row = of_month(run_all({**frames, "raw.contract_term": terms})["credit.fct_lock_in_month"], DEC)
    assert (row["exclusivity_in_force"], row["exclusivity_months_left"]) == (True, 33)
    assert (row["purchase_quota_fraction"], row["vendor_gpu_fraction"]) == (0.80, 1.0)
    assert row["revenue_under_exclusivity_amount"] == D(310_000)
    assert row["operator_exit_cost_amount"] == D("20802240.00"), "six times 1,488,000 hours at 2.33"
    assert row["vendor_exit_cost_amount"] == D("186000.00"), "three months of share in the last twelve"
    assert row["portability_obligation"] == "not agreed"
    assert (row["operator_termination_amount"], row["vendor_termination_amount"]) == (D("900.00"), D("70.00"))
    free = of_month(run_all(frames)["credit.fct_lock_in_month"], DEC)
    assert (free["exclusivity_in_force"], free["operator_exit_cost_null_reason"]) == (False, "no exit right agreed")
    assert (free["operator_termination_amount"], free["vendor_termination_amount"]) == (None, None)


@pytest.fixture(scope="module")
def compared(out):
    return out["credit.fct_deal_comparison"]


def test_the_same_paths_give_the_same_revenue_under_every_deal(compared):
    assert set(compared["deal_id"].to_list()) == {CONTRACT, "rival", "none"}
    by_year = compared.group_by("contract_year").agg(pl.col("revenue_amount").n_unique())
    assert set(by_year["revenue_amount"].to_list()) == {1}


def test_no_deal_has_no_share_and_no_claim_and_a_rival_takes_its_own_rate(compared):
    none = compared.filter(pl.col("deal_id") == "none")
    assert (none["vendor_share_amount"] == 0).all()
    assert (none["vendor_claim_amount"] == 0).all()
    for deal, year, rate in ((CONTRACT, 3, 0.10), ("rival", 3, 0.05), (CONTRACT, 2, 0.20)):
        row = compared.filter((pl.col("deal_id") == deal) & (pl.col("contract_year") == year)).row(0, named=True)
        assert float(row["vendor_share_amount"]) == pytest.approx(rate * float(row["revenue_amount"]), abs=0.01)


def test_what_is_owed_already_stands_in_no_deal():
    frames = park()
    policy = CreditPolicy({**POLICY, "asset_correlation": "0.9"})
    months = operator.park_months(frames, policy)
    owed = pl.DataFrame(
        {
            "contract_id": [CONTRACT],
            "account": ["trade_receivable"],
            "posting_month": [DEC],
            "closing_amount": [D("5e8")],
        }
    )
    risky = frames["core.dim_operator"].with_columns(rating=pl.lit("CCC/C"))
    frames = {**frames, "core.dim_operator": risky}
    with_it = {**frames, "ledger.fct_trial_balance_month": owed}
    found = deals.deal_comparison(with_it, months, policy)
    assert (found.filter(pl.col("deal_id") == "none")["vendor_take_amount"] == 0).all()
    assert found.equals(deals.deal_comparison(frames, months, policy))


def test_more_hours_committed_cost_the_vendor_more_and_leave_the_lender_less_short(compared):
    sums = {
        deal: compared.filter(pl.col("deal_id") == deal)
        .select(pl.col("vendor_claim_amount", "lender_shortfall_amount").sum())
        .row(0)
        for deal in (CONTRACT, "rival", "none")
    }
    assert sums["rival"][0] > sums[CONTRACT][0] > sums["none"][0] == 0
    assert sums["rival"][1] <= sums["none"][1]


def test_lock_in_stands_beside_the_take(compared):
    rival = compared.filter(pl.col("deal_id") == "rival").row(0, named=True)
    assert (rival["vendor_id"], rival["exclusivity_in_force"], rival["purchase_quota_fraction"]) == ("amd", True, 0.80)
    assert json.loads(rival["lock_in_score_components"])["exit_rights"] == 1
    own = compared.filter(pl.col("deal_id") == CONTRACT).row(0, named=True)
    assert own["operator_exit_cost_amount"] >= 0


def test_an_unknown_deal_is_refused_and_a_share_by_any_axis_is_compared():
    frames, policy = park(), CreditPolicy(POLICY)
    with pytest.raises(CreditInputError, match="deal is 'other'"):
        deals.deal_comparison(frames, {}, policy, ["other"])
    on_occupancy = pl.col("contract_id") == "rival"
    tiers = frames["raw.share_tier"].with_columns(
        axis=pl.when(on_occupancy).then(pl.lit("occupancy")).otherwise("axis"),
        from_value=pl.lit(0.0),
        to_value=pl.lit(None, dtype=pl.Float64),
        application=pl.lit("cliff"),
    )
    found = deals.deal_comparison({**frames, "raw.share_tier": tiers}, {}, policy)
    assert set(found["deal_id"].to_list()) == {CONTRACT, "rival", "none"}
    same = deals.deal_comparison(frames, {}, policy)
    amounts = [
        table.filter(pl.col("deal_id") == "rival").sort("contract_year")["vendor_share_amount"]
        for table in (found, same)
    ]
    assert amounts[0].to_list() == amounts[1].to_list(), "one tier for all occupancies is one rate for all months"


def test_an_amended_deal_is_compared_by_the_amendment_that_the_close_knows():
    frames, policy = park(), CreditPolicy(POLICY)

    def share(recorded_at):
        amended = {}
        for name in ("raw.share_terms", "raw.share_tier"):
            new = frames[name].filter(pl.col("contract_id") == "rival")
            new = new.with_columns(amendment_id=pl.lit("later"))
            if name == "raw.share_terms":
                dated = {"valid_from": DEC, "recorded_at": recorded_at}
                new = new.with_columns(**{key: pl.lit(value).cast(new.schema[key]) for key, value in dated.items()})
            else:
                new = new.with_columns(rate=pl.col("rate") * 2)
            amended[name] = pl.concat([frames[name], new], how="vertical_relaxed")
        found = deals.deal_comparison({**frames, **amended}, {}, policy, ["rival"])
        return float(found.filter(pl.col("contract_year") == 3)["vendor_share_amount"][0])

    found = deals.deal_comparison(frames, {}, policy, ["rival"])
    before = float(found.filter(pl.col("contract_year") == 3)["vendor_share_amount"][0])
    assert before > 0
    assert share(datetime(2099, 1, 1, tzinfo=UTC)) == before, "what the close does not know changes nothing"
    assert share(datetime(2020, 1, 1, tzinfo=UTC)) == pytest.approx(2 * before, abs=0.02)


def test_a_minimum_and_a_cap_of_a_deal_act_on_its_paths():
    frames, policy = park(), CreditPolicy(POLICY)

    def share(**terms):
        changed = frames["raw.share_terms"].with_columns(
            **{name: pl.when(pl.col("contract_id") == "rival").then(pl.lit(v)) for name, v in terms.items()}
        )
        found = deals.deal_comparison({**frames, "raw.share_terms": changed}, {}, policy, ["rival"])
        return found.filter(pl.col("contract_year") == 3).row(0, named=True)

    plain = share()
    floor = share(minimum_amount=D("2000000.00"), minimum_period="month")
    assert floor["vendor_share_amount"] > plain["vendor_share_amount"]
    assert floor["revenue_amount"] == plain["revenue_amount"]
    assert floor["operator_risk_amount"] != plain["operator_risk_amount"] or plain["operator_risk_amount"] is None
    capped = share(lifetime_cap_amount=D("1000.00"))
    assert capped["vendor_share_amount"] == 0, "used up in the years before"


# --- metrics and alerts ---------------------------------------------------------------------------


def test_all_forty_eight_metrics_are_defined_and_have_rows(out):
    assert {definition.metric_no for definition in METRICS} == set(range(1, 49))
    found = out["monitor.fct_metric_month"]
    issuer = {definition.metric for definition in METRICS if definition.rests_on == "issuer"}
    assert {definition.metric for definition in METRICS} - set(found["metric"].to_list()) <= issuer | set()
    assert out["monitor.dim_metric"].null_count().sum_horizontal().item() == 0


def test_a_metric_has_a_value_or_a_reason_never_both(out):
    found = out["monitor.fct_metric_month"]
    assert found.filter(pl.col("value").is_null() == pl.col("null_reason").is_null()).is_empty()
    assert found.filter(pl.col("evidence_grade").is_null()).is_empty()
    assert found.filter(pl.col("value").is_infinite() | pl.col("value").is_nan()).is_empty()


@pytest.mark.parametrize(
    ("metric", "entity", "expected"),
    [
        ("occupancy_fraction", "sharon-au-1", 0.9),
        ("utilization_fraction", "sharon-au-1", 0.5),
        ("pue_ratio", "sharon-au-1", 1.25),
        ("realised_price_per_gpu_hour", "sharon-au-1", 2.5),
        ("energy_per_leased_gpu_hour_kwh", "sharon-au-1", 20_000 / 43_200),
        ("power_cost_per_gpu_hour", "sharon-au-1", 2_000 / 43_200),
        ("effective_take_fraction", CONTRACT, 0.2),
        ("share_per_gpu_hour", CONTRACT, 62_000 / 124_000),
        ("months_to_step_months", CONTRACT, 10.0),
        ("floor_headroom_per_gpu_hour", CONTRACT, 0.17),
        ("tenant_hhi", CONTRACT, 10_000.0),
        ("dscr", "sharon-au-1", 136_000 / 55_500),
        ("contracted_coverage_12m_fraction", CONTRACT, 0.9),
    ],
)
def test_metrics_of_december_by_hand(out, metric, entity, expected):
    found = out["monitor.fct_metric_month"].filter(
        (pl.col("metric") == metric) & (pl.col("entity_id") == entity) & (pl.col("month") == DEC)
    )
    assert found["value"].to_list() == pytest.approx([expected], rel=1e-9)


def test_the_programmes_ratio_is_the_ratio_of_sums():
    collector = metrics.Collector(lambda *_: "P", {"a": "USD", "b": "USD"})
    collector.add("occupancy_fraction", ("park", "a", DEC), 10, 100)
    collector.add("occupancy_fraction", ("park", "b", DEC), 270, 300)
    collector.programme("programme")
    assert [row["value"] for row in collector.rows] == [0.1, 0.9, 0.7]


def test_amounts_of_two_currencies_are_never_added():
    collector = metrics.Collector(lambda *_: "P", {"a": "USD", "b": "AUD"})
    for contract in ("a", "b"):
        collector.add("share_accrued_amount", ("contract", contract, DEC), D(5))
    collector.programme("programme")
    assert (collector.rows[-1]["value"], collector.rows[-1]["null_reason"]) == (None, "amounts of several currencies")


def test_withdrawn_capacity_is_counted_from_its_day_and_given_back_by_a_recall():
    away = {**event("w", "withdrawal", date(2027, 10, 20)), "tranche_id": "sharon-au-1-a", "gpu_count": 500}
    back = {**event("r", "recall", date(2027, 12, 5)), "tranche_id": "sharon-au-1-a"}
    found = run_all(park(home={"events": [away, back]}))["monitor.fct_metric_month"]
    rows = found.filter((pl.col("metric") == "withdrawn_gpu_fraction") & (pl.col("entity_level") == "contract"))
    assert rows.sort("month")["value"].to_list() == [0.25, 0.25, 0.0]


def test_leases_known_by_version_count_once():
    first = {**lease("L1", 1800, date(2026, 10, 1), date(2031, 1, 1)), "valid_from": datetime(2026, 10, 1, tzinfo=UTC)}
    second = {**first, "version": 2, "gpu_count": 900, "valid_from": datetime(2027, 11, 1, tzinfo=UTC)}
    table = pl.DataFrame(
        [{**first, "valid_to": second["valid_from"]}, {**second, "valid_to": datetime(2031, 1, 1, tzinfo=UTC)}]
    )
    assert [(span[0], span[2]) for span in operator.lease_spans(table)] == [
        (date(2026, 10, 1), 1800),
        (date(2027, 11, 1), 900),
    ]
    assert operator.weighted_lease_months(table, "sharon-au-1", [DEC])[0] == pytest.approx(
        (date(2031, 1, 1) - date(2027, 12, 31)).days / 30.4375
    )
    assert np.isfinite(operator.weighted_lease_months(table, "sharon-au-1", [OCT])[0])


# --- nothing is seen before it is known ------------------------------------------------------------


def _halved(frame):
    return frame.with_columns(
        (pl.col(name) / 2).cast(kind) for name, kind in frame.schema.items() if isinstance(kind, pl.Decimal)
    )


def test_no_row_of_any_table_that_is_recorded_after_the_last_close_moves_a_figure():
    """Every table whose rows have a recorded_at gets them once more, halved and recorded a second after the last close: terms,
    prices and tiers of an amendment, covenants, collateral, leases, payments; and events of every kind that moves something.
    """
    frames = park(covenants=[("dscr", "dscr", ">=", "1.3", "quarter")])
    frames["raw.policy"] = pl.DataFrame([{"policy": "path_count", "value_text": "100"}])
    frames["staging.stg_leases"] = pl.DataFrame([lease("L1", 1800, date(2026, 10, 1), date(2031, 1, 1))])
    frames["staging.stg_payments"] = pl.DataFrame([payment("p", date(2027, 12, 5), "100.00")], schema=PAYMENT_SCHEMA)
    pledge = {"contract_id": CONTRACT, "amendment_id": "original", "valid_from": date(2026, 10, 1)}
    pledge |= {"recorded_at": at(date(2026, 6, 12)), "pledged_amount": D("50.00"), "haircut": D("0.1")}
    frames["raw.collateral"] = pl.DataFrame([pledge])
    late = frames["intermediate.int_closes"]["known_at"].max() + timedelta(seconds=1)
    # The mart of leases holds what is known now, one row a version.
    dated = {
        name: frame for name, frame in frames.items() if "recorded_at" in frame.columns and name != "core.dim_lease"
    }
    changed = dict(frames)
    for name, frame in dated.items():
        again = _halved(frame).with_columns(recorded_at=pl.lit(late).cast(frame.schema["recorded_at"]))
        for column, value in (("amendment_id", "later"), ("content_hash", "z")):
            again = again.with_columns(pl.lit(value).alias(column)) if column in frame.columns else again
        changed[name] = pl.concat([frame, again])
    for name in ("raw.backstop_price", "raw.backstop_ramp", "raw.share_tier"):
        changed[name] = pl.concat([frames[name], _halved(frames[name]).with_columns(amendment_id=pl.lit("later"))])
    moving = [
        event("e1", "insolvency", date(2027, 11, 1), recorded=late),
        event("e2", "rating_change", date(2027, 11, 1), payload='{"rating": "CCC"}', recorded=late),
        event("e3", "termination", date(2027, 12, 1), recorded=late),
        event("e4", "write_off", date(2027, 11, 1), amount="50.00", recorded=late),
        {
            **event("e5", "withdrawal", date(2027, 11, 1), recorded=late),
            "tranche_id": "sharon-au-1-a",
            "gpu_count": 500,
        },
    ]
    events = frames["staging.stg_credit_events"]
    changed["staging.stg_credit_events"] = pl.concat([events, pl.DataFrame(moving, schema=EVENT_SCHEMA)])
    assert len(dated) >= 7
    before, after = run_all(frames), run_all(changed)
    # A deal that is not booked is no fact that becomes known: it is compared as it was last written.
    booked = pl.col("deal_id") == CONTRACT
    for made in (before, after):
        made["credit.fct_deal_comparison"] = made["credit.fct_deal_comparison"].filter(booked)
    assert before["credit.fct_deal_comparison"].height > 0
    for name, frame in before.items():
        assert frame.equals(after[name]), name
    withdrawn = before["monitor.fct_metric_month"].filter(pl.col("metric") == "withdrawn_gpu_fraction")["value"]
    assert set(withdrawn) == {0.0}, "a feed without an event says that nothing was withdrawn"


def test_the_floor_case_takes_the_deductible_and_the_cap_of_its_own_month():
    frames = park()
    terms = frames["raw.backstop_terms"]
    second = {"amendment_id": "second", "valid_from": date(2027, 12, 1), "recorded_at": at(date(2027, 11, 20))}
    amended = terms.with_columns(**{name: pl.lit(value) for name, value in second.items()}).cast(terms.schema)
    half = amended.with_columns(deductible_fraction=pl.lit(D("0.50")).cast(terms.schema["deductible_fraction"]))
    before, after = (
        operator.operator_economics({**frames, "raw.backstop_terms": given}, CreditPolicy(POLICY))
        for given in (terms, pl.concat([terms, half]))
    )
    floors = [dict(made.select("month", "floor_revenue_amount").unique().rows()) for made in (before, after)]
    assert floors[0][date(2027, 11, 1)] == floors[1][date(2027, 11, 1)]
    assert floors[1][DEC] * D("0.95") == floors[0][DEC] * D("0.50")


def test_a_deal_is_compared_whenever_it_was_written():
    frames = park()
    today = frames["intermediate.int_closes"]["known_at"].max() + timedelta(days=100)
    rival = pl.col("contract_id") == "rival"
    changed = {
        name: frame.with_columns(recorded_at=pl.when(rival).then(pl.lit(today)).otherwise(pl.col("recorded_at")))
        if name in {"raw.backstop_terms", "raw.share_terms"}
        else frame
        for name, frame in frames.items()
    }
    name = "credit.fct_deal_comparison"
    assert run_all(changed)[name].equals(run_all(frames)[name])


def test_what_leases_in_another_currency_are_billed_counts_at_the_mean_rate_of_its_month():
    frames = park()
    name = "metering.fct_lease_revenue_day"
    foreign = {**frames, name: frames[name].with_columns(currency_code=pl.lit("AUD"))}
    columns = ["rate_date", "from_currency", "to_currency", "rate"]
    rates = [(date(2027, 9, 30), 0.4)] + [(month, 0.4) for month in MONTHS]
    rates += [(month + timedelta(days=27), 0.6) for month in MONTHS]
    foreign["raw.fx_rate"] = pl.DataFrame(
        [(day, "AUD", "USD", rate) for day, rate in rates], schema=columns, orient="row"
    )
    before, after = run_all(frames), run_all(foreign)
    economics = "credit.fct_operator_economics_month"
    ours, theirs = (made[economics].sort("month")["revenue_amount"].to_list() for made in (before, after))
    assert theirs == [amount / 2 for amount in ours]
    metric = pl.col("metric") == "realised_price_per_gpu_hour"
    prices = [
        made["monitor.fct_metric_month"].filter(metric)["value"].drop_nulls().to_list() for made in (before, after)
    ]
    assert prices[1] == pytest.approx([price / 2 for price in prices[0]])
    assert prices[1]
    with pytest.raises(
        CreditInputError,
        match=r"currency of leases is 'AUD'; there is no rate into USD on or before .*reference/fx.csv, 2.*,AUD,USD,",
    ) as caught:
        run_all({**foreign, "raw.fx_rate": foreign["raw.fx_rate"].clear()})
    assert caught.value.obligor == CONTRACT
