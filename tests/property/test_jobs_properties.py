"""What must hold of the credit jobs for any input (CREDIT.md, last paragraph)."""

from __future__ import annotations

import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from jobs_home import CONTRACT, LATE_TERMS, close_time, event, home, invoice, month_list, payment

from orchestration.polars_jobs import backstop_paths as paths
from orchestration.polars_jobs import lifetime_ecl as engine
from orchestration.polars_jobs.ageing import absorption
from orchestration.polars_jobs.default_curves import cds_curve
from orchestration.polars_jobs.frames import known_at, known_rows
from orchestration.polars_jobs.money import largest_remainder, round_money
from orchestration.polars_jobs.programme import receivables_group, run_all

MONTHS = month_list(date(2027, 1, 1), 5)
unit = st.floats(0.0, 1.0, allow_nan=False)
hazards = st.lists(st.floats(0.0, 0.5), min_size=1, max_size=8)
cents = st.integers(1, 50_000).map(lambda value: Decimal(value).scaleb(-2))


def ecl(hazard, lgd=0.5, ead=100.0, eir=0.08):
    periods = len(hazard)
    return float(
        engine.lifetime_ecl(
            [[hazard]], lgd, np.full(periods, ead), eir=eir, tau_years=np.arange(1, periods + 1) / 4, weights=[1.0]
        ).weighted[0]
    )


@given(hazards, unit, st.floats(0, 1e6), st.floats(0, 0.5))
def test_loss_is_monotone_in_lgd_and_exposure_and_homogeneous_in_exposure(hazard, lgd, ead, eir):
    loss = ecl(hazard, lgd, ead, eir)
    assert 0 <= loss <= lgd * ead + 1e-6
    assert ecl(hazard, min(1.0, lgd + 0.1), ead, eir) >= loss - 1e-9
    assert abs(ecl(hazard, lgd, 3 * ead, eir) - 3 * loss) <= 1e-9 * max(1.0, abs(loss))


@given(hazards, st.integers(0, 7), st.floats(0, 0.3))
def test_loss_is_monotone_in_default_probability(hazard, place, more):
    worse = list(hazard)
    worse[place % len(worse)] = min(1.0, worse[place % len(worse)] + more)
    # With level exposures and interest of nought or more, defaulting sooner never costs less.
    assert ecl(worse) >= ecl(hazard) - 1e-9


@given(st.lists(st.tuples(st.floats(0, 1), unit, st.floats(0, 1e6)), min_size=2, max_size=6), st.randoms())
def test_loss_is_additive_over_obligors_and_does_not_depend_on_their_order(obligors, random):
    def total(rows):
        pd, lgd, ead = (np.array(column)[:, None] for column in zip(*rows, strict=True))
        return engine.lifetime_ecl(pd[None], lgd, ead, eir=0.05, tau_years=[1.0], weights=[1.0]).weighted

    alone = sum(float(total([row])[0]) for row in obligors)
    shuffled = list(obligors)
    random.shuffle(shuffled)
    assert np.isclose(total(obligors).sum(), alone, rtol=1e-12, atol=1e-9)
    assert np.isclose(total(shuffled).sum(), alone, rtol=1e-12, atol=1e-9)


@given(hazards)
def test_marginal_probabilities_sum_to_one_less_survival_and_come_back_from_the_cumulative(hazard):
    marginal = engine.marginal_pd(hazard)
    assert np.isclose(marginal.sum(), 1 - engine.survival(hazard)[-1], atol=1e-12)
    again = engine.conditional_from_cumulative(np.minimum(np.cumsum(marginal), 1.0))
    assert np.allclose(engine.survival(again), engine.survival(hazard), atol=1e-9)


@given(st.floats(0.0, 0.9), st.integers(2, 12))
def test_splitting_a_period_leaves_survival_unchanged(hazard, parts):
    split = np.full(parts, 1 - (1 - hazard) ** (1 / parts))
    assert np.isclose(engine.survival(split)[-1], 1 - hazard, atol=1e-12)


@given(hazards, st.integers(0, 7), st.integers(2, 6), st.floats(0, 0.5))
def test_splitting_a_period_of_level_exposure_and_equal_time_of_loss_leaves_the_loss_unchanged(
    hazard, place, parts, eir
):
    place %= len(hazard)
    taus = np.arange(1, len(hazard) + 1) / 4
    split = [*hazard[:place], *[1 - (1 - hazard[place]) ** (1 / parts)] * parts, *hazard[place + 1 :]]
    times = [*taus[:place], *[taus[place]] * parts, *taus[place + 1 :]]

    def total(hazards, tau):
        return engine.lifetime_ecl([[hazards]], 0.5, 100.0, eir=eir, tau_years=tau, weights=[1.0]).weighted[0]

    assert np.isclose(total(hazard, taus), total(split, times), rtol=1e-9, atol=1e-9)


@given(hazards, st.floats(-0.5, 1.0), st.floats(0, 1))
def test_the_twelve_month_part_is_never_more_than_the_lifetime_where_rates_are_not_negative(hazard, eir, lgd):
    given_ = {"lgd": lgd, "ead": 100.0, "eir": max(eir, 0.0), "weights": [1.0]}
    life = engine.lifetime_ecl([[hazard]], tau_years=np.arange(1, len(hazard) + 1) / 4, **given_).weighted[0]
    year = engine.twelve_month_ecl([[hazard]], period_years=np.full(len(hazard), 0.25), **given_).weighted[0]
    assert year <= life + 1e-9
    if len(hazard) <= 4:
        assert np.isclose(year, life)


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
def test_the_weighted_loss_lies_between_those_of_its_scenarios(scenarios):
    weights = np.array([weight for weight, _, _ in scenarios])
    weights /= weights.sum()
    pd, lgd = (np.array([row[k] for row in scenarios])[:, None, None] for k in (1, 2))
    found = engine.lifetime_ecl(pd, lgd, 100.0, eir=0.05, tau_years=[1.0], weights=weights)
    assert found.by_scenario.min() - 1e-9 <= found.weighted[0] <= found.by_scenario.max() + 1e-9


def test_no_default_loses_nothing_and_certain_default_loses_lgd_discounted_once():
    assert ecl([0.0] * 5) == 0
    assert np.isclose(ecl([1.0, 0.3, 0.0]), 0.5 * 100 * 1.08**-0.25)


@given(st.floats(1e-6, 0.9), st.floats(0.0, 0.9), st.floats(-4, 4), st.floats(0.0, 2.0))
def test_a_better_factor_never_raises_the_default_probability(probability, rho, factor, better):
    worse, good = engine.vasicek_shift(probability, rho, [factor, factor + better])
    assert 0 <= good <= worse <= 1


@given(
    st.dictionaries(st.text(max_size=3), st.integers(-1000, 1000), min_size=1, max_size=8), st.integers(-(10**9), 10**9)
)
def test_largest_remainder_parts_sum_to_the_total(weights, total_cents):
    total = Decimal(total_cents).scaleb(-2)
    if sum(weights.values()) == 0:
        weights = {**weights, "extra": 1}
        if sum(weights.values()) == 0:
            return
    parts = largest_remainder(total, weights)
    assert sum(parts.values()) == total
    assert all(part == 0 for key, part in parts.items() if weights[key] == 0)


@given(st.decimals(-(10**9), 10**9, places=6))
def test_rounding_is_symmetric_and_moves_by_half_a_unit_at_most(amount):
    assert round_money(-amount) == -round_money(amount)
    assert abs(round_money(amount) - amount) <= Decimal("0.005")


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]))
def test_expected_shortfall_is_never_below_value_at_risk(losses, level):
    values = np.array(losses)
    assert paths.expected_shortfall(values, level) >= paths.value_at_risk(values, level)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.99]))
def test_expected_shortfall_with_ties_is_the_mean_of_the_tail_by_weight(losses, level):
    values = np.array(losses, dtype=np.float64)
    shortfall = paths.expected_shortfall(values, level)
    assert shortfall >= paths.value_at_risk(values, level)
    # The same by repeating each loss a hundred times: a tail of whole numbers of paths, no fractional weight needed.
    tail = np.sort(np.repeat(values, 100))[::-1][: round((1 - level) * 100 * len(values))]
    assert np.isclose(shortfall, tail.mean())


@given(st.lists(st.floats(0.0, 0.2), min_size=1, max_size=5), st.floats(0.0, 0.9))
def test_spreads_of_a_default_curve_give_the_curve_back(steps, recovery):
    tenors = np.arange(1, len(steps) + 1, dtype=np.float64)
    hazard = np.array([0.001 + step for step in steps])
    alive = lambda t: np.exp(-np.interp(t, [0, *tenors], [0, *np.cumsum(hazard)]))  # noqa: E731
    spreads = []
    for tenor in tenors:
        ends = np.arange(1, int(tenor) * 4 + 1) / 4
        before, after = alive(ends - 0.25), alive(ends)
        spreads.append((1 - recovery) * (before - after).sum() / (0.25 * (after + before) / 2).sum())
    curve = cds_curve(tenors, spreads, recovery)
    assert np.allclose(curve.cumulative_pd, 1 - alive(tenors), atol=1e-9)


@given(unit, unit, st.floats(0, 0.2))
def test_nothing_is_drawn_at_or_above_the_floor_and_draws_fall_with_occupancy(floor, occupancy, more):
    installed = 1000.0
    draw = float(paths.shortfall_hours(np.float64(floor * installed), np.float64(occupancy * installed)))
    assert draw == 0 if occupancy >= floor else draw > 0 or np.isclose(occupancy, floor)
    assert (
        float(paths.shortfall_hours(np.float64(floor * installed), np.float64((occupancy + more) * installed))) <= draw
    )


@given(
    st.lists(st.lists(st.floats(0, 100), min_size=4, max_size=4), min_size=1, max_size=5),
    st.floats(0, 300),
    st.floats(0, 100),
)
def test_capped_claims_exceed_neither_their_caps_nor_the_claims(claims, lifetime, period):
    given_claims = np.array(claims)
    caps = paths.Caps(np.array([0, 0, 1, 1]), period_cap=period, lifetime_left=lifetime)
    out = paths.cap_claims(given_claims, caps)
    assert (out <= given_claims + 1e-9).all()
    assert (out >= 0).all()
    assert (out.sum(axis=1) <= lifetime + 1e-6).all()
    assert (out[:, :2].sum(axis=1) <= period + 1e-6).all()
    assert (out[:, 2:].sum(axis=1) <= period + 1e-6).all()


@given(st.lists(st.floats(0.01, 1.0), min_size=5, max_size=5))
def test_all_money_in_an_absorbing_chain_is_absorbed(weights):
    row = np.array(weights) / sum(weights)
    ends = absorption(np.tile(row[:3], (3, 1)), np.tile(row[3:], (3, 1)), tolerance=1e-9)
    assert np.allclose(ends.sum(axis=1), 1.0)


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 0.9), min_size=1, max_size=6),
    st.lists(st.floats(0, 1), min_size=1, max_size=8),
    st.floats(0, 1),
    st.floats(-0.3, 1.0),
)
def test_the_geometric_form_is_the_general_one_for_any_obligors_and_profile(hazard, profile, lgd, eir):
    size, tau = len(hazard), np.arange(1, len(profile) + 1) / 4
    general = engine.lifetime_ecl(
        np.array(hazard)[None, :, None],
        lgd,
        100.0 * np.ones((size, 1)) * profile,
        eir=eir,
        tau_years=tau,
        weights=[1.0],
    )
    flat = engine.geometric_ecl([hazard], lgd, np.full(size, 100.0), profile, eir=eir, period_years=0.25, weights=[1.0])
    assert np.allclose(flat.weighted, general.weighted, rtol=1e-11, atol=1e-11)


@given(st.floats(-2, 2), st.floats(0, 2), st.floats(0.05, 0.95), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_closed_form_draw_is_bounded_by_its_floor_and_its_tail_by_its_order(intercept, slope, floor, level):
    draw = paths.probit_draw(intercept, slope, floor)
    risk, shortfall = paths.probit_draw_tail(intercept, slope, floor, level)
    assert -1e-9 <= draw.shortfall <= floor * draw.draw_probability + 1e-9
    assert risk <= shortfall + 1e-12 <= floor + 1e-9
    assert shortfall >= draw.shortfall - 1e-9


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(1, 3)), min_size=0, max_size=12), st.randoms()
)
def test_the_version_that_counts_is_the_same_from_rows_and_from_frames_in_any_order(versions, random):
    rows = [
        {
            "payment_id": f"p{key}",
            "recorded_at": close_time(MONTHS[0]) + timedelta(hours=hour),
            "content_hash": f"h{number}",
        }
        for key, hour, number in versions
    ]
    random.shuffle(rows)
    schema = {"payment_id": pl.String, "recorded_at": pl.Datetime("us", "UTC"), "content_hash": pl.String}
    knowledge = close_time(MONTHS[0]) + timedelta(hours=2)
    from_frame = known_at(pl.DataFrame(rows, schema=schema), ["payment_id"], knowledge).rows(named=True)
    assert known_rows(rows, ["payment_id"], knowledge) == from_frame


# --- the books -----------------------------------------------------------------------------------

days = st.integers(0, 149).map(lambda number: date(2027, 1, 1) + timedelta(days=number))


@st.composite
def facts(draw):
    """Invoices, and payments and write-offs of any day, recorded up to two months later, some of them corrected."""
    documents = [invoice(month, str(draw(cents))) for month in month_list(date(2026, 12, 1), draw(st.integers(1, 4)))]
    if draw(st.booleans()):
        documents.append(
            invoice(date(2026, 12, 1), f"-{draw(cents)}", posted=MONTHS[2], invoice_date=date(2027, 3, 31))
        )
    payments, events = [], []
    for number in range(draw(st.integers(0, 5))):
        day, lag = draw(days), timedelta(days=draw(st.integers(0, 60)), hours=1)
        reference = draw(st.sampled_from(["", "2027-01", documents[0]["item_id"]]))
        first = payment(f"p{number}", day, str(draw(cents)), reference, circular=draw(st.booleans()))
        payments.append({**first, "recorded_at": first["received_at"] + lag})
        if draw(st.booleans()):
            payments.append(
                {
                    **first,
                    "amount": draw(cents),
                    "recorded_at": first["received_at"] + lag * 2,
                    "content_hash": f"x{number}",
                }
            )
    for number in range(draw(st.integers(0, 2))):
        made = event(
            f"w{number}", draw(st.sampled_from(["write_off", "recovery"])), draw(days), amount=str(draw(cents))
        )
        events.append({**made, "recorded_at": made["effective_at"] + timedelta(days=draw(st.integers(0, 60)))})
    if draw(st.booleans()):
        events.append(event("d", "dispute_opened", draw(days), payload='{"service_month": "2027-01"}'))
    return documents, payments, events


def books(*found, months=MONTHS):
    """A home of these facts, under terms with interest on what is late."""
    return {**home(months, *found), "raw.share_terms": LATE_TERMS}


@settings(max_examples=30, deadline=None)
@given(facts())
def test_sub_ledger_and_allowance_equal_their_accounts_at_every_close(found):
    out = run_all(books(*found))
    roll = out["credit.fct_receivable_rollforward_month"]
    assert roll.filter(pl.col("closing_amount") != pl.col("control_account_amount")).is_empty()
    assert roll.filter(pl.col("unapplied_closing_amount") != pl.col("unapplied_control_account_amount")).is_empty()
    c = pl.col
    billed = c("invoices_amount") - c("credit_notes_amount")
    gone = c("applied_amount") + c("set_off_amount") + c("write_offs_amount")
    footed = c("opening_amount") + billed - gone + c("reinstated_amount") + c("fx_amount")
    assert roll.filter(footed != c("closing_amount")).is_empty()
    cash = c("unapplied_opening_amount") + c("receipts_amount") - c("applied_amount") - c("refunded_amount")
    assert roll.filter(cash != c("unapplied_closing_amount")).is_empty()
    allowance = out["credit.fct_allowance_rollforward_month"].filter("posted")
    assert allowance.filter(c("closing_amount") != c("control_account_amount")).is_empty()
    items = out["credit.fct_receivable_item"].group_by(month=c("as_of_month")).agg(c("open_amount").sum())
    joined = roll.join(items, on="month", how="left").with_columns(c("open_amount").fill_null(Decimal(0)))
    assert joined.filter(c("open_amount") != c("closing_amount")).is_empty()
    assert out["credit.fct_receivable_item"].filter((c("kind") == "invoice") & (c("open_amount") < 0)).is_empty()


@settings(max_examples=30, deadline=None)
@given(facts())
def test_interest_accrued_is_paid_credited_set_off_given_up_or_outstanding_at_every_close(found):
    out = receivables_group(books(*found))
    lines = out["credit.fct_credit_journal_lines"].filter(pl.col("line_no") == 1)
    notes = out["credit.fct_receivable_item"].filter(pl.col("kind") == "interest_note")
    for month in MONTHS:
        posted = lines.filter(pl.col("posting_month") <= month)
        accrued, billed = (
            sum(posted.filter(pl.col("event") == event)["amount"], Decimal(0))
            for event in ("late_interest", "invoice_interest")
        )
        own = notes.filter(pl.col("as_of_month") == month)
        settled = [sum(own[f"{how}_amount"], Decimal(0)) for how in ("applied", "credited", "set_off", "written_off")]
        assert accrued == billed == sum(settled, sum(own["open_amount"], Decimal(0)))
        # Each note is the entry that bills it.
        names, amounts = own.sort("item_id")["item_id"].to_list(), own.sort("item_id")["original_amount"].to_list()
        entries = posted.filter(pl.col("event") == "invoice_interest").sort("entry_id")
        assert (names, amounts) == (entries["entry_id"].to_list(), entries["amount"].to_list())
    cash = out["credit.fct_cash_application"]
    on_interest = cash.filter(pl.col("item_id").str.contains(":invoice_interest:", literal=True))["applied_amount"]
    assert sum(on_interest, Decimal(0)) == sum(
        notes.filter(pl.col("as_of_month") == MONTHS[-1])["applied_amount"], Decimal(0)
    )


@settings(max_examples=15, deadline=None)
@given(facts(), st.randoms())
def test_any_order_of_arrival_gives_the_same_books(found, random):
    documents, payments, events = found
    first = run_all(books(documents, payments, events))
    shuffled = [list(rows) for rows in found]
    for rows in shuffled:
        random.shuffle(rows)
    second = run_all(books(*shuffled))
    for name, frame in first.items():
        assert frame.equals(second[name]), name


@settings(max_examples=15, deadline=None)
@given(facts(), st.integers(0, 3))
def test_closed_months_are_a_function_of_what_was_known_at_their_close(found, number):
    documents, payments, events = found
    knowledge = close_time(MONTHS[number])
    before = [[row for row in rows if row["recorded_at"] <= knowledge] for rows in (payments, events)]
    posted = [d for d in documents if d["posting_month"] <= MONTHS[number]]
    early = run_all(books(posted, *before, months=MONTHS[: number + 1]))
    late = run_all(books(documents, payments, events))
    for name, column in (
        ("credit.fct_receivable_item", "as_of_month"),
        ("credit.fct_receivable_rollforward_month", "month"),
        ("credit.fct_allowance_rollforward_month", "month"),
        ("credit.fct_collection_metrics_month", "month"),
        ("credit.fct_ageing_month", "month"),
        ("credit.fct_provision_matrix_month", "month"),
        ("credit.fct_credit_loss_month", "month"),
        ("credit.fct_standard_difference_month", "month"),
        ("credit.fct_functional_rollforward_month", "month"),
        ("credit.fct_exposure_month", "month"),
        ("ledger.fct_trial_balance_month", "posting_month"),
        ("credit.fct_credit_journal_lines", "posting_month"),
    ):
        cut = late[name].filter(pl.col(column) <= MONTHS[number])
        assert cut.equals(early[name]), name


KINDS = ("asc606_receivable", "financing_receivable", "operating_lease", "derivative")
SLUMP = pl.DataFrame(
    [
        {"scenario_id": name, "weight": Decimal("0.5"), "driver": "systematic_factor", "value": Decimal(factor)}
        for name, factor in (("down", "-2"), ("up", "1"))
    ]
)


@settings(max_examples=15, deadline=None)
@given(
    facts(),
    st.lists(st.sampled_from(KINDS), min_size=len(MONTHS), max_size=len(MONTHS)),
    st.sampled_from(["pd_lgd", "provision_matrix"]),
    st.sampled_from(["simplified", "general"]),
    st.sampled_from(["true", "false"]),
)
def test_why_the_standards_differ_sums_to_the_difference_of_their_allowances_whatever_class_each_month_has(
    found, kinds, method, approach, expedient
):
    """The class may change from month to month; each month's causes explain the two allowances that stand at its close."""
    documents, payments, events = found
    insolvent = [event("i", "insolvency", date(2027, 4, 10))] if events else []
    policy = {"allowance_method": method, "ifrs9_approach": approach, "cecl_expedient_2025_05": expedient}
    frames = home(MONTHS, documents, payments, [*events, *insolvent], policy={**policy, "forward_scalar": "1.3"})
    frames["raw.scenario"] = SLUMP
    frames["raw.share_terms"] = pl.DataFrame(
        [
            {
                "contract_id": CONTRACT,
                "share_id": "share",
                "amendment_id": f"a{number}",
                "valid_from": month,
                "recorded_at": close_time(month) - timedelta(days=30),
                "statement_due_days": 15,
                "payment_terms_days": 60,
                "late_rate": Decimal(0),
                "receivable_accounting_class": kind,
            }
            for number, (month, kind) in enumerate(zip(MONTHS, kinds, strict=True))
        ]
    )
    out = run_all(frames)
    rows = out["credit.fct_allowance_rollforward_month"].iter_rows(named=True)
    closing = {(row["month"], row["standard"]): row["closing_amount"] for row in rows}
    causes = out["credit.fct_standard_difference_month"].partition_by("month", as_dict=True)
    for month, kind in zip(MONTHS, kinds, strict=True):
        cecl, ifrs9 = (closing.get((month, standard), Decimal(0)) for standard in ("cecl", "ifrs9"))
        part = causes.get((month,))
        if part is None:
            assert kind == "derivative", "neither standard covers it, and nothing else is left out"
            assert cecl == ifrs9 == 0
            continue
        assert part.select("cecl_amount", "ifrs9_amount").unique().rows() == [(cecl, ifrs9)]
        assert part["difference_amount"].sum() == ifrs9 - cecl
        amounts = dict(part.select("cause", "difference_amount").iter_rows())
        assert amounts["scope"] == (ifrs9 - amounts["horizon"] if kind == "operating_lease" else 0)
        if method == "provision_matrix" or approach == "simplified":
            assert amounts["horizon"] == 0
        if kind == "financing_receivable" or expedient == "false":
            assert amounts["conditions_to_come"] == 0
