"""Default probabilities that are no rating's (given, or out of CDS spreads), and loans at their effective rate (DOMAIN.md, 8)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from jobs_home import CONTRACT, backstop, event, home, invoice, month_list

from orchestration.polars_jobs.default_curves import cds_curve, conditional_pd_for_periods, cumulative_pd_at, curve_of
from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.instruments import Instrument
from orchestration.polars_jobs.programme import run_all

D = Decimal
JAN, FEB, MAR = MONTHS = month_list(date(2027, 1, 1), 3)
LENT = [(date(2027, 1, 15), "-1000000.00"), (date(2028, 1, 15), "90000.00"), (date(2029, 1, 14), "1090000.00")]


def nodes(kind, day, values, recovery=None):
    return [
        {
            "obligor_id": "sharon-ai",
            "curve_date": day,
            "kind": kind,
            "horizon_years": years,
            "value": value,
            "recovery_fraction": recovery,
            "source": "s",
            "grade": "assumed",
        }
        for years, value in values.items()
    ]


def ran(curves=(), flows=(), policy=None, events=(), **frames):
    made = home(MONTHS, [invoice(date(2026, 12, 1), "100000.00")], events=list(events), policy=policy)
    if curves:
        made["raw.credit_curve"] = pl.DataFrame(list(curves), schema_overrides={"recovery_fraction": pl.Float64})
    if flows:
        made["raw.instrument_flow"] = pl.DataFrame(
            [
                {
                    "instrument_id": "loan",
                    "contract_id": CONTRACT,
                    "flow_date": day,
                    "amount": D(amount),
                    "currency_code": "USD",
                }
                for day, amount in flows
            ]
        )
    return run_all({**made, **frames})


def pds(out, standard="cecl"):
    rows = out["credit.fct_credit_loss_month"].filter(pl.col("standard") == standard).sort("month")
    return rows["pd_source"].to_list(), rows["pd_fraction"].to_list()


def test_an_operators_own_curve_counts_from_its_date_on_and_its_rating_before():
    given = nodes("cumulative_pd", date(2027, 2, 10), {1.0: 0.05, 3.0: 0.20})
    sources, found = pds(ran(given))
    assert sources == ["rating", "cumulative_pd", "cumulative_pd"]
    # The invoice of December is due on 16 March: 16 days after February's end, overdue (90 days) at the end of March.
    assert found[1:] == pytest.approx([1 - 0.95 ** (days / 365) for days in (16, 90)], rel=1e-12)
    assert found[0] == pytest.approx(pds(ran())[1][0])


def test_cds_spreads_are_bootstrapped_with_the_curve_of_the_day_and_their_recovery():
    spreads = {1.0: 0.05, 5.0: 0.08}
    zero = pl.DataFrame(
        [
            {"curve_date": date(2027, 1, 1), "tenor_years": y, "zero_rate": r, "curve_id": "c"}
            for y, r in ((1, 0.03), (5, 0.04))
        ]
    )
    out = ran(nodes("cds_spread", date(2027, 1, 5), spreads, 0.25), **{"raw.yield_curve": zero})
    sources, found = pds(out)
    assert set(sources) == {"cds_spread"}
    curve = cds_curve(list(spreads), list(spreads.values()), 0.25, zero_rate=[0.03, 0.04])
    assert found[1] == pytest.approx(float(cumulative_pd_at(curve, [16 / 365])[0]), rel=1e-12)
    market = ran(nodes("cds_spread", date(2027, 1, 5), spreads))
    assert pds(market)[1][1] > found[1], (
        "at 40 % recovered, as the market's contracts have it, the same spread is more default"
    )


def test_of_a_day_that_has_both_the_given_probabilities_count_and_later_dates_before_earlier_ones():
    day = date(2027, 1, 10)
    both = [*nodes("cds_spread", day, {1.0: 0.05}), *nodes("cumulative_pd", day, {1.0: 0.02})]
    assert pds(ran([*both, *nodes("cds_spread", date(2027, 3, 1), {1.0: 0.04})]))[0] == [
        "cumulative_pd", "cumulative_pd", "cds_spread",
    ]  # fmt: skip


def test_a_curve_that_worsens_is_a_significant_increase_against_the_first_one():
    curves = [
        *nodes("cumulative_pd", date(2027, 1, 5), {1.0: 0.01}),
        *nodes("cumulative_pd", date(2027, 2, 5), {1.0: 0.05}),
    ]
    stages = ran(curves, policy={"ifrs9_approach": "general"})["credit.fct_credit_loss_month"]
    assert stages.filter(pl.col("standard") == "ifrs9").sort("month")["stage"].to_list() == [1, 2, 2]


def test_the_backstops_paths_default_by_the_operators_own_curve():
    def default_of(values):
        made = backstop(home(MONTHS[:1], [], policy={"path_count": "4000"}))
        if values:
            made["raw.credit_curve"] = pl.DataFrame(
                nodes("cumulative_pd", date(2027, 1, 5), values), schema_overrides={"recovery_fraction": pl.Float64}
            )
        out = run_all(made)["credit.fct_backstop_distribution_month"]
        return out.filter(pl.col("correlation_case") == "independent")["operator_default_probability"].item()

    months = 69  # February 2027 to September 2032, on a flat intensity
    assert default_of({1.0: 0.02}) == pytest.approx(1 - 0.98 ** (68 / 12), abs=0.01), months
    assert default_of(None) > default_of({1.0: 0.02})


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (
            nodes("cumulative_pd", JAN, {1.0: 0.05, 3.0: 0.04}),
            "obligor sharon-ai: cumulative default probability is 0.04",
        ),
        (nodes("cumulative_pd", JAN, {1.0: 1.5}), "obligor sharon-ai: cumulative default probability is 1.5"),
        (nodes("cds_spread", JAN, {1.0: 0.10, 2.0: 0.01}), "obligor sharon-ai: CDS spread is 0.01; at 2 years"),
        (nodes("cds_spread", JAN, {1.0: 0.10}, 1.0), "obligor sharon-ai: recovery is 1.0"),
        (nodes("spread", JAN, {1.0: 0.10}), "obligor sharon-ai: kind is 'spread'"),
        (
            [*nodes("cds_spread", JAN, {1.0: 0.1}, 0.4), *nodes("cds_spread", JAN, {2.0: 0.1}, 0.3)],
            r"obligor sharon-ai: recovery is \[0.3, 0.4\]; differs",
        ),
    ],
)
def test_nodes_that_no_curve_explains_name_obligor_field_and_value(bad, said):
    with pytest.raises(CreditInputError, match=said):
        ran(bad)


# --- loans at amortised cost ----------------------------------------------------------------------


def test_a_loan_is_carried_at_its_effective_rate_and_ends_at_nought():
    loan = Instrument("loan", [day for day, _ in LENT], [float(amount) for _, amount in LENT])
    assert loan.rate == pytest.approx(0.09, abs=1e-4)
    assert loan.carrying(LENT[0][0]) == pytest.approx(1_000_000)
    assert loan.carrying(LENT[1][0]) == pytest.approx(1_090_000 / (1 + loan.rate) ** (365 / 365))
    assert (loan.carrying(LENT[-1][0]), loan.carrying(date(2026, 1, 1))) == (0, 0)


def test_cecl_takes_a_loans_whole_life_and_ifrs_9_twelve_months_of_it_by_hand():
    given = nodes("cumulative_pd", date(2027, 1, 5), {1.0: 0.04, 2.0: 0.10})
    out = ran(given, LENT)["credit.fct_instrument_loss_month"].filter(pl.col("month") == JAN)
    by = {row["standard"]: row for row in out.iter_rows(named=True)}
    day = date(2027, 1, 31)
    loan = Instrument("loan", [when for when, _ in LENT], [float(amount) for _, amount in LENT])
    taus = np.array([(when - day).days / 365 for when, _ in LENT[1:]])
    exposures = np.array([loan.carrying(LENT[1][0]) + 90_000, 1_090_000])
    curve = np.array([0.04, 0.10])
    first = 1 - 0.96 ** taus[0]
    late = 1 - 0.96 * (0.90 / 0.96) ** (taus[1] - 1)
    marginal = np.array([first, late - first])
    whole = 0.60 * marginal * exposures * (1 + loan.rate) ** -taus
    assert float(by["cecl"]["expected_credit_loss_amount"]) == pytest.approx(whole.sum(), abs=0.006)
    hazard = (late - first) / (1 - first)
    part = (1 - taus[0]) / (taus[1] - taus[0])
    within = (1 - first) * (1 - (1 - hazard) ** part) * 0.60 * exposures[1] / (1 + loan.rate)
    assert float(by["ifrs9"]["expected_credit_loss_amount"]) == pytest.approx(whole[0] + within, abs=0.006), curve
    assert by["ifrs9"]["lifetime_amount"] == by["cecl"]["expected_credit_loss_amount"]
    assert (by["cecl"]["stage"], by["ifrs9"]["stage"], by["ifrs9"]["horizon"]) == (None, 1, "twelve_month")


def test_a_loan_to_an_operator_that_fails_is_in_stage_3_at_its_carrying_amount_times_lgd():
    out = ran((), LENT, events=[event("i", "insolvency", date(2027, 2, 10))])["credit.fct_instrument_loss_month"]
    row = out.filter((pl.col("month") == FEB) & (pl.col("standard") == "ifrs9")).row(0, named=True)
    assert (row["stage"], row["horizon"]) == (3, "lifetime")
    assert row["expected_credit_loss_amount"] == pytest.approx(row["carrying_amount"] * D("0.6"), abs=D("0.01"))


def test_a_loans_loss_does_not_move_with_the_curve_of_rates():
    zero = pl.DataFrame([{"curve_date": date(2027, 1, 1), "tenor_years": 1, "zero_rate": 0.09, "curve_id": "c"}])
    name = "credit.fct_instrument_loss_month"
    assert ran((), LENT)[name].equals(ran((), LENT, **{"raw.yield_curve": zero})[name])


@pytest.mark.parametrize(
    ("flows", "said"),
    [
        ([(JAN, "100.00"), (FEB, "100.00")], "obligor loan: amount is 100.0; the first flow must be paid out"),
        ([(JAN, "-100.00"), (FEB, "-5.00")], "obligor loan: amount is -5.0"),
        ([(JAN, "-100.00")], "needs at least two flows"),
    ],
)
def test_flows_that_no_rate_explains_name_the_instrument(flows, said):
    with pytest.raises(CreditInputError, match=said) as caught:
        ran((), flows)
    assert caught.value.obligor == "loan"


def test_a_rating_curve_is_still_the_tables():
    rated = ran()["credit.fct_credit_loss_month"]
    assert set(rated["pd_source"]) == {"rating"}
    table = home(MONTHS, [])["raw.default_rate"]
    hazard = conditional_pd_for_periods(curve_of(table, "SP", "B"), [90 / 365])
    assert rated.filter(pl.col("month") == MAR)["pd_fraction"][0] == pytest.approx(float(hazard[0]))
