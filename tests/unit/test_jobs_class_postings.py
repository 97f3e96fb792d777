"""What the accounting class in force puts into the journal (CREDIT.md, 3.5, 3.8 and 4.29 to 4.32)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from jobs_home import CONTRACT, backstop, close_time, event, home, invoice, month_list, payment

from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.journal import JOURNAL_SCHEMA, Books, post_standing
from orchestration.polars_jobs.programme import run_all

D = Decimal
JAN, FEB, MAR, APR = MONTHS = month_list(date(2032, 6, 1), 4)
CLAIMS = dict.fromkeys(MONTHS, "150000.00")
LIABILITIES = {
    "guarantee_ASC460": ("stand_ready_liability", "backstop_contingent_liability"),
    "credit_derivative_ASC815": ("backstop_derivative_liability",),
    "revenue_variable_consideration": ("consideration_payable",),
    "repurchase_ASC606_842": ("consideration_payable",),
}


def posted(
    kind, *, months=MONTHS, events=(), policy=None, claims=None, documents=(), payments=(), versions=(), **terms
):
    """The tables of a contract whose backstop, from 2026-10 to its expiry, is of one accounting class."""
    made = home(
        months,
        list(documents),
        list(payments),
        list(events),
        claims=claims or {month: CLAIMS.get(month, "150000.00") for month in months if month <= date(2032, 9, 1)},
        policy={"path_count": "400", **(policy or {})},
    )
    frames = backstop(made, accounting_class=kind, **terms)
    for later in versions:
        row = frames["raw.backstop_terms"].head(1).with_columns(**{name: pl.lit(v) for name, v in later.items()})
        frames["raw.backstop_terms"] = pl.concat([frames["raw.backstop_terms"], row], how="vertical_relaxed")
        for name in ("raw.backstop_price", "raw.backstop_ramp"):
            again = frames[name].head(1).with_columns(amendment_id=pl.lit(later["amendment_id"]))
            frames[name] = pl.concat([frames[name], again])
    return run_all(frames)


def closing(out, month):
    """Closing balances by account, credit positive."""
    rows = out["ledger.fct_trial_balance_month"].filter(pl.col("posting_month") == month)
    return {account: -amount for account, amount in rows.select("account", "closing_amount").iter_rows()}


def measured(out, month):
    rows = out["credit.fct_backstop_liability_month"].filter(pl.col("month") == month)
    return {row["measurement_basis"]: row for row in rows.iter_rows(named=True)}


@pytest.mark.parametrize("kind", LIABILITIES)
def test_the_class_in_force_stands_in_the_journal_at_what_its_basis_measures_at_every_close(kind):
    out = posted(kind)
    for month in MONTHS[:3]:
        standing = sum((closing(out, month).get(account, D(0)) for account in LIABILITIES[kind]), D(0))
        rows = out["credit.fct_backstop_liability_month"].filter(pl.col("month") == month)
        assert standing == rows["posted_amount"].sum() > 0
        chosen = rows.filter("posted")
        assert chosen["posted_amount"].to_list() == chosen["carrying_amount"].to_list()
    assert all(closing(out, MONTHS[-1]).get(account, D(0)) == 0 for account in LIABILITIES[kind]), "expired"


@pytest.mark.parametrize("kind", [*LIABILITIES, "purchase_commitment_disclosure", "CECL_offbalance_ASC326", "none"])
def test_pitfall_29_over_the_life_of_a_contract_income_and_cost_sum_to_its_claims(kind):
    lines = posted(kind)["credit.fct_credit_journal_lines"]
    sums = dict(lines.group_by("account").agg(pl.col("amount").sum()).iter_rows())
    claims = sum(map(D, CLAIMS.values()), D(0))
    moved = {account: amount for account, amount in sums.items() if amount}
    if kind == "guarantee_ASC460":
        assert moved["stand_ready_cost"] == -moved["stand_ready_income"] > 0
    elif kind in LIABILITIES:
        line = "derivative_gain_loss" if kind.endswith("815") else "consideration_to_operator"
        assert moved == {line: claims, "backstop_cost": -claims}, "claims stand in the line of their class"
    else:
        assert not moved


def test_a_stand_ready_obligation_is_recognised_once_and_released_evenly_to_its_expiry():
    lines = posted("guarantee_ASC460", policy={"probable_threshold": "1"})["credit.fct_credit_journal_lines"]
    debits = lines.filter(pl.col("line_no") == 1).sort("posting_month")
    first = debits.filter(pl.col("event") == "stand_ready_inception")
    assert first["posting_month"].to_list() == [JAN]
    released = debits.filter(pl.col("event") == "stand_ready_release")
    assert released["posting_month"].to_list() == [FEB, MAR, APR]
    assert released["amount"].sum() == first["amount"].item()
    assert max(released["amount"]) - min(released["amount"]) <= D("0.01")
    assert lines.group_by("entry_id").agg(pl.col("amount").sum())["amount"].to_list() == [0] * 4


def test_an_insolvent_operator_ends_a_stand_ready_obligation_that_does_not_survive():
    gone = [event("i", "insolvency", date(2032, 7, 15))]
    out = posted("guarantee_ASC460", events=gone)
    assert closing(out, JAN)["stand_ready_liability"] > 0
    assert closing(out, FEB)["stand_ready_liability"] == 0
    lives_on = posted("guarantee_ASC460", events=gone, survives_operator_insolvency=True)
    assert closing(lives_on, FEB)["stand_ready_liability"] > 0


@pytest.mark.parametrize("kind", LIABILITIES)
def test_pitfall_32_a_termination_releases_what_the_backstop_stood_at_in_the_month_that_knows_of_it(kind):
    ended = [event("t", "termination", date(2032, 7, 15))]
    out, lives_on = posted(kind, events=ended), posted(kind)
    for account in LIABILITIES[kind]:
        assert closing(out, JAN).get(account, D(0)) == closing(lives_on, JAN).get(account, D(0))
        assert closing(out, FEB).get(account, D(0)) == 0
    assert sum((closing(lives_on, FEB).get(account, D(0)) for account in LIABILITIES[kind]), D(0)) > 0
    assert out["credit.fct_backstop_liability_month"].filter(pl.col("month") >= FEB).is_empty()
    aged = out["credit.fct_receivable_rollforward_month"].filter(pl.col("month") == MONTHS[-1])
    assert aged.height == 1, "the receivable lives on"


def test_an_amendment_of_the_accounting_class_counts_from_its_own_close_and_moves_no_earlier_month():
    amended = {
        "amendment_id": "second",
        "valid_from": date(2032, 7, 1),
        "recorded_at": datetime(2032, 7, 2, tzinfo=UTC),
        "accounting_class": "credit_derivative_ASC815",
    }
    out, before = posted("guarantee_ASC460", versions=[amended]), posted("guarantee_ASC460")
    first = pl.col("posting_month") == JAN
    name = "credit.fct_credit_journal_lines"
    assert out[name].filter(first).equals(before[name].filter(first))
    assert closing(out, FEB)["stand_ready_liability"] == 0
    assert (
        closing(out, FEB)["backstop_derivative_liability"] == measured(out, FEB)["asc815_fair_value"]["carrying_amount"]
    )
    later = {**amended, "valid_from": date(2032, 6, 1), "recorded_at": close_time(JAN) + timedelta(days=1)}
    unseen = posted("guarantee_ASC460", versions=[later])
    assert unseen[name].filter(first).equals(before[name].filter(first)), "recorded after the close"


def test_a_month_that_closes_later_moves_nothing_that_was_posted_before():
    short, long = posted("credit_derivative_ASC815", months=MONTHS[:2]), posted("credit_derivative_ASC815")
    lines = [out["credit.fct_credit_journal_lines"].filter(pl.col("posting_month") <= FEB) for out in (short, long)]
    assert lines[0].equals(lines[1])
    assert lines[0].height > 0


def test_what_was_known_of_cap_and_occupancy_at_the_close_counts_and_not_what_became_known_later():
    def frames(left):
        known = {"contract_id": CONTRACT, "point_no": 1, "service_month": JAN}
        made = backstop(home([JAN], [], policy={"path_count": "400"}))
        made["intermediate.int_backstop_months"] = pl.DataFrame(
            [{**known, "claim_amount": D("0"), "lifetime_cap_left_amount": D("1000.00")}]
        )
        made["intermediate.int_supply_months"] = pl.DataFrame(
            [{**known, "leased_gpu_hours": D("60"), "available_gpu_hours": D("100")}]
        )
        made["backstop.fct_backstop_cap_month"] = pl.DataFrame(
            [
                {
                    "contract_id": CONTRACT,
                    "service_month": JAN,
                    "lifetime_cap_left_amount": D(left),
                    "max_exposure_amount": D(1),
                }
            ]
        )
        return run_all(made)["credit.fct_backstop_distribution_month"]

    assert frames("5.00").equals(frames("900.00"))
    assert set(frames("5.00")["start_occupancy_fraction"]) == {0.6}
    assert (frames("5.00")["expected_amount"] <= D("1000.00")).all()


def test_a_sealed_month_keeps_its_lines_and_the_next_close_posts_the_rest():
    base = {"entry_id": "e", "contract_id": "c", "event": "remeasure_derivative", "currency_code": "USD"}
    kept = pl.DataFrame(
        [
            {**base, "line_no": 1, "account": "derivative_gain_loss", "amount": D("7.00")},
            {**base, "line_no": 2, "account": "backstop_derivative_liability", "amount": D("-7.00")},
        ],
        schema=JOURNAL_SCHEMA,
    ).with_columns(service_month=pl.lit(JAN), posting_month=pl.lit(JAN), is_provisional=pl.lit(value=False))
    closes = pl.DataFrame(
        {
            "contract_id": ["c"] * 3,
            "posting_month": [JAN, FEB, MAR],
            "known_at": [close_time(month) for month in (JAN, FEB, MAR)],
            "is_provisional": [False] * 3,
            "is_sealed": [True, False, False],
            "reopening_no": [0] * 3,
        },
        schema_overrides={"reopening_no": pl.Int32},
    )
    standing = pl.DataFrame(
        {
            "contract_id": ["c"] * 2,
            "posting_month": [JAN, FEB],
            "currency_code": ["USD"] * 2,
            "should_amount": [D("10.00"), D("12.00")],
        },
        schema_overrides={"should_amount": pl.Decimal(18, 2)},
    )
    lines = post_standing(standing, "remeasure_derivative", Books(closes, sealed=kept))
    debits = lines.filter(pl.col("line_no") == 1).select("posting_month", "amount", "corrects_entry_id")
    assert debits.rows() == [(FEB, D("5.00"), None), (MAR, D("-12.00"), None)]


# --- receivables by class -------------------------------------------------------------------------


def leased(*, policy=None, events=(), classes=(None,)):
    """An invoice of 100,000.00 of May 2032, due in August; share terms whose receivable is of the classes, month by month."""
    made = home(
        MONTHS,
        [invoice(date(2032, 5, 1), "100000.00")],
        [payment("p", date(2032, 8, 20), "10000.00")],
        list(events),
        policy=policy,
    )
    made["raw.share_terms"] = pl.DataFrame(
        [
            {
                "contract_id": CONTRACT,
                "share_id": "share",
                "amendment_id": f"a{number}",
                "valid_from": month,
                "recorded_at": datetime(2026, 6, 12, tzinfo=UTC),
                "statement_due_days": 15,
                "payment_terms_days": 60,
                "late_rate": D(0),
                "receivable_accounting_class": kind,
            }
            for number, (month, kind) in enumerate(zip(MONTHS, classes, strict=False))
        ],
        schema_overrides={"receivable_accounting_class": pl.String},
    )
    return run_all(made)


def test_what_may_not_be_collected_of_a_lease_s_receivable_is_taken_off_lease_income_and_is_the_same_number():
    lease_like, trade = leased(classes=["operating_lease"]), leased(policy={"cecl_expedient_2025_05": "false"})
    for month in MONTHS:
        assert (
            closing(lease_like, month)["lease_receivable_reserve"]
            == closing(trade, month)["allowance_for_credit_losses"]
        )
        assert -closing(lease_like, month)["lease_income_adjustment"] == -closing(trade, month)["credit_loss_expense"]
    assert "credit_loss_expense" not in closing(lease_like, APR)


def test_once_collection_is_not_probable_all_of_a_lease_s_receivable_is_reserved():
    failed = [event("i", "insolvency", date(2032, 7, 15))]
    out = leased(classes=["operating_lease"], events=failed)
    assert closing(out, FEB)["lease_receivable_reserve"] == D("100000.00")
    assert closing(out, MAR)["lease_receivable_reserve"] == D("90000.00"), "what is received is income"
    assert out["credit.fct_receivable_rollforward_month"]["closing_amount"].to_list()[-1] == D("90000.00")


def test_a_write_off_of_a_lease_s_receivable_uses_its_reserve():
    failed = [event("i", "insolvency", date(2032, 7, 15)), event("w", "write_off", date(2032, 9, 5), amount="90000.00")]
    out = leased(classes=["operating_lease"], events=failed)
    last = closing(out, APR)
    assert (last.get("allowance_for_credit_losses"), last["lease_receivable_reserve"]) == (0, 0)
    assert last["trade_receivable"] == 0
    assert last["lease_income_adjustment"] == D("-90000.00")


def test_the_receivables_class_is_dated_and_a_change_of_class_moves_the_loss_from_one_line_to_the_other():
    out = leased(classes=["asc606_receivable", "operating_lease", "asc606_receivable"])
    names = ("allowance_for_credit_losses", "lease_receivable_reserve")
    states = [tuple(closing(out, month).get(name, D(0)) > 0 for name in names) for month in MONTHS[:3]]
    assert states == [(True, False), (False, True), (True, False)]
    roll = out["credit.fct_allowance_rollforward_month"].filter("posted")
    assert roll["closing_amount"].to_list() == roll["control_account_amount"].to_list()


def test_a_financing_receivable_has_no_expedient_and_a_derivative_no_allowance():
    stress = {"cecl_expedient_2025_05": "true", "forward_scalar": "2", "allowance_method": "provision_matrix"}
    trade, financing, derivative = (
        leased(policy=stress, classes=[kind]) for kind in ("asc606_receivable", "financing_receivable", "derivative")
    )
    assert (
        closing(financing, JAN)["allowance_for_credit_losses"] == 2 * closing(trade, JAN)["allowance_for_credit_losses"]
    )
    assert "allowance_for_credit_losses" not in closing(derivative, JAN)


def test_a_class_that_there_is_not_names_contract_field_and_value():
    with pytest.raises(CreditInputError, match=f"obligor {CONTRACT}: receivable_accounting_class is 'lease'"):
        leased(classes=["lease"])
