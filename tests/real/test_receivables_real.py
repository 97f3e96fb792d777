"""2,466 invoices of a hundred real customers through the receivable jobs, against sums over the file itself.

Each customer is a contract, each invoice a document, each settlement a payment that names its invoice, each disputed
invoice a dispute from its first day to its settlement. Facts are those of the data's README; every other expectation is
counted from the file, without the jobs.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import jobs_home
import polars as pl
import pytest

from orchestration.polars_jobs.ageing import BUCKET_NAMES, ageing, bucket_of
from orchestration.polars_jobs.collections import collection_metrics
from orchestration.polars_jobs.frames import month_end, month_start
from orchestration.polars_jobs.policies import CreditPolicy
from orchestration.polars_jobs.programme import run_all
from orchestration.polars_jobs.provision_matrix import (
    forward_scalars,
    historical_rates,
    provision_matrix,
    rates_from_history,
)
from orchestration.polars_jobs.receivables import SubLedgerTables, sub_ledger

FILE = ("accounts_receivable", "WA_Fn-UseC_-Accounts-Receivable.csv")
POOL = "all-customers"


@dataclass(frozen=True)
class Invoice:
    """One line of the file."""

    number: str
    customer: str
    invoiced: date
    due: date
    settled: date
    amount: Decimal
    is_disputed: bool

    @property
    def days_late(self) -> int:
        return max(0, (self.settled - self.due).days)

    def is_open(self, on: date) -> bool:
        return self.invoiced <= on < self.settled


def day(text: str) -> date:
    return datetime.strptime(text, "%d/%m/%Y").date()  # noqa: DTZ007 (a date has no clock)


@pytest.fixture(scope="module")
def invoices(source: Path) -> list[Invoice]:
    with source.joinpath(*FILE).open(encoding="utf-8") as file:
        return [
            Invoice(
                row["invoiceNumber"],
                row["customerID"],
                day(row["InvoiceDate"]),
                day(row["DueDate"]),
                day(row["SettledDate"]),
                Decimal(row["InvoiceAmount"]),
                row["Disputed"] == "Yes",
            )
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def months(invoices: list[Invoice]) -> list[date]:
    month, last = (min(one.invoiced for one in invoices), max(one.settled for one in invoices))
    found = []
    while month <= last:
        found.append(month_start(month))
        month = month_end(month) + timedelta(days=1)
    return found


def at_noon(on: date) -> datetime:
    return datetime(on.year, on.month, on.day, 12, tzinfo=UTC)


def item(one: Invoice) -> str:
    return f"invoice:{one.number}"


def input_frames(invoices: list[Invoice], months: list[date], contract: str | None) -> dict[str, pl.DataFrame]:
    """The frames that the jobs read; `contract`: all customers under one contract."""

    def contract_of(one: Invoice) -> str:
        return contract or one.customer

    contracts = sorted({contract_of(one) for one in invoices})
    documents: list[dict[str, Any]] = []
    payments: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for one in invoices:
        common = {"contract_id": contract_of(one), "currency_code": "USD"}
        documents.append(
            {
                **common,
                "item_id": item(one),
                "kind": "invoice",
                "service_month": month_start(one.invoiced),
                "posting_month": month_start(one.invoiced),
                "invoice_date": one.invoiced,
                "due_date": one.due,
                "original_amount": one.amount,
                "is_provisional": False,
            }
        )
        payments.append(
            {
                **common,
                "park_id": "park",
                "payment_id": f"payment:{one.number}",
                "direction": "received",
                "received_at": at_noon(one.settled),
                "amount": one.amount,
                "remittance_reference": item(one),
                "funded_by_claim": False,
                "recorded_at": at_noon(one.settled),
                "content_hash": one.number,
            }
        )
        if one.is_disputed:
            events.append(
                {
                    **common,
                    "park_id": "park",
                    "event_id": f"dispute:{one.number}",
                    "kind": "dispute_opened",
                    "effective_at": at_noon(one.invoiced),
                    "ends_at": at_noon(one.settled),
                    "amount": None,
                    "payload": json.dumps({"item_id": item(one)}),
                    "recorded_at": at_noon(one.invoiced),
                    "content_hash": one.number,
                }
            )
    closes = [
        {
            "contract_id": name,
            "time_zone": "UTC",
            "posting_month": month,
            "month_end_date": month_end(month),
            "known_at": at_noon(month_end(month) + timedelta(days=10)),
            "is_provisional": False,
        }
        for name in contracts
        for month in months
    ]
    money = pl.Decimal(38, 2)
    return {
        "ledger.fct_receivable_document": pl.DataFrame(documents, schema_overrides={"original_amount": money}),
        "staging.stg_payments": pl.DataFrame(payments, schema_overrides={"amount": money}),
        "staging.stg_credit_events": pl.DataFrame(events, schema_overrides={"amount": money}),
        "intermediate.int_closes": pl.DataFrame(closes),
        "core.dim_contract": pl.DataFrame({"contract_id": contracts, "currency_code": ["USD"] * len(contracts)}),
    }


@pytest.fixture(scope="module")
def tables(invoices: list[Invoice], months: list[date]) -> SubLedgerTables:
    return sub_ledger(input_frames(invoices, months, None))


@pytest.fixture(scope="module")
def pooled(invoices: list[Invoice], months: list[date]) -> SubLedgerTables:
    return sub_ledger(input_frames(invoices, months, POOL))


@pytest.fixture(scope="module")
def aged(tables: SubLedgerTables) -> pl.DataFrame:
    return ageing(tables.items, tables.rollforward)


FOLDER = "accounts_receivable"


def test_the_file_holds_the_facts_of_its_readme(invoices: list[Invoice], pinned: Callable[..., None]) -> None:
    late = [one.amount for one in invoices if one.days_late]
    pinned(FOLDER, "invoices", 2_466, len(invoices))
    pinned(FOLDER, "invoiced", Decimal("147703.18"), sum((one.amount for one in invoices), Decimal(0)))
    pinned(FOLDER, "invoices settled late", 877, len(late))
    pinned(FOLDER, "settled late", Decimal("53960.78"), sum(late, Decimal(0)))
    pinned(FOLDER, "disputed invoices", 561, sum(one.is_disputed for one in invoices))
    pinned(FOLDER, "customers", 100, len({one.customer for one in invoices}))


def test_every_invoice_is_an_item_and_every_settlement_goes_to_the_invoice_it_names(
    tables: SubLedgerTables, invoices: list[Invoice], months: list[date]
) -> None:
    last = tables.items.filter(pl.col("as_of_month") == months[-1])
    assert (last.height, last["original_amount"].sum()) == (2_466, Decimal("147703.18"))
    assert last["open_amount"].sum() == 0
    applications = tables.applications
    assert applications["rule"].unique().to_list() == ["named_item"]
    applied = dict(applications.select("item_id", "applied_amount").iter_rows())
    assert applied == {item(one): one.amount for one in invoices}
    assert applications.height == len(applied)


def test_the_roll_forward_moves_by_what_was_invoiced_and_settled_in_each_month(
    tables: SubLedgerTables, invoices: list[Invoice], months: list[date]
) -> None:
    by_month = (
        tables.rollforward.group_by("month")
        .agg(pl.col("opening_amount", "invoices_amount", "applied_amount", "closing_amount").sum())
        .sort("month")
    )
    opening = Decimal(0)
    for row, month in zip(by_month.rows(named=True), months, strict=True):
        invoiced = sum((one.amount for one in invoices if month_start(one.invoiced) == month), Decimal(0))
        settled = sum((one.amount for one in invoices if month_start(one.settled) == month), Decimal(0))
        assert row["opening_amount"] == opening
        assert (row["invoices_amount"], row["applied_amount"]) == (invoiced, settled)
        opening += invoiced - settled
        assert row["closing_amount"] == opening
    assert opening == 0


def test_days_late_fall_into_the_buckets_of_the_readme(tables: SubLedgerTables, pinned: Callable[..., None]) -> None:
    due = tables.items.select("item_id", "due_date").unique()
    counts: defaultdict[str, int] = defaultdict(int)
    amounts: defaultdict[str, Decimal] = defaultdict(Decimal)
    for received, due_date, amount in (
        tables.applications.join(due, on="item_id").select("received_date", "due_date", "applied_amount").iter_rows()
    ):
        bucket = bucket_of((received - due_date).days)
        counts[bucket] += 1
        amounts[bucket] += amount
    expected = {"current": (1_589, "93742.40"), "1-30": (869, "53399.26"), "31-60": (8, "561.52")}
    assert set(counts) == set(expected)
    for bucket, (count, amount) in expected.items():
        pinned(FOLDER, f"settled {bucket} days late: items", count, counts[bucket])
        pinned(FOLDER, f"settled {bucket} days late: amount", Decimal(amount), amounts[bucket])


def test_the_amount_weighted_days_to_settle(tables: SubLedgerTables, pinned: Callable[..., None]) -> None:
    dates = tables.items.select("item_id", "invoice_date").unique()
    joined = tables.applications.join(dates, on="item_id")
    weighted = sum(
        amount * (received - invoiced).days
        for amount, received, invoiced in joined.select("applied_amount", "received_date", "invoice_date").iter_rows()
    )
    found = round(weighted / joined["applied_amount"].sum(), 9)
    pinned(FOLDER, "amount-weighted days to settle", Decimal("26.700568126"), found)


def test_ageing_at_every_month_end_is_what_the_file_had_open(
    aged: pl.DataFrame, invoices: list[Invoice], months: list[date]
) -> None:
    expected: defaultdict[tuple[str, date, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for month in months:
        end = month_end(month)
        for one in invoices:
            if one.is_open(end):
                bucket = bucket_of((end - one.due).days)
                expected[one.customer, month, bucket][one.is_disputed] += one.amount
    found = {
        (row["contract_id"], row["month"], row["bucket"]): [row["open_amount"], row["disputed_amount"]]
        for row in aged.filter((pl.col("open_amount") != 0) | (pl.col("disputed_amount") != 0)).rows(named=True)
    }
    assert found == dict(expected)
    # disputes were seen, and more than once
    assert sum(1 for _, disputed in expected.values() if disputed) > 100
    assert aged["unapplied_amount"].sum() == 0


def test_the_provision_matrix_is_bucket_times_rate_of_what_the_file_had_open(
    aged: pl.DataFrame, invoices: list[Invoice], months: list[date]
) -> None:
    rates = {name: Decimal(rate) for name, rate in json.loads(CreditPolicy().text("provision_matrix_rates")).items()}
    scalars = forward_scalars(CreditPolicy(), expedient=True)
    matrix = provision_matrix(aged, dict.fromkeys(months, (rates, "given")), scalars)
    expected: defaultdict[tuple[str, date, str], Decimal] = defaultdict(Decimal)
    for month in months:
        end = month_end(month)
        for one in invoices:
            if one.is_open(end):
                expected[one.customer, month, bucket_of((end - one.due).days)] += one.amount
    found = {
        (row["contract_id"], row["month"], row["bucket"]): row["expected_credit_loss_amount"]
        for row in matrix.filter(pl.col("open_amount") != 0).rows(named=True)
    }
    assert found == {
        key: (amount * rates[key[2]]).quantize(Decimal("0.01"), ROUND_HALF_UP) for key, amount in expected.items()
    }


def test_customers_who_all_paid_give_no_loss_rates(tables: SubLedgerTables, months: list[date]) -> None:
    by_bucket = [Decimal("93742.40"), Decimal("53399.26"), Decimal("561.52")]
    assert set(rates_from_history(Decimal("147703.18"), by_bucket, Decimal(0))) == {0}
    learnt = historical_rates(tables.items, tables.applications, months[-1])
    assert learnt is not None
    assert list(learnt) == list(BUCKET_NAMES)
    assert set(learnt.values()) == {0}


def test_pooling_the_customers_changes_no_balance(tables: SubLedgerTables, pooled: SubLedgerTables) -> None:
    amounts = ("invoices_amount", "applied_amount", "closing_amount")
    one_by_one = tables.rollforward.group_by("month").agg(pl.col(amounts).sum()).sort("month")
    assert pooled.rollforward.select("month", *amounts).equals(one_by_one)


def test_collection_metrics_of_the_pool_are_those_of_the_file(
    pooled: SubLedgerTables, invoices: list[Invoice], months: list[date]
) -> None:
    policy = CreditPolicy()
    days = policy.integer("dso_window_days")
    metrics = collection_metrics(pooled.items, pooled.rollforward, policy)
    opening = Decimal(0)
    for row, month in zip(metrics.rows(named=True), months, strict=True):
        end = month_end(month)
        owed = [one for one in invoices if one.is_open(end)]
        receivable = sum((one.amount for one in owed), Decimal(0))
        current = sum((one.amount for one in owed if one.due >= end), Decimal(0))
        since = end - timedelta(days=days)
        sales = sum((one.amount for one in invoices if since < one.invoiced <= end), Decimal(0))
        month_sales = sum((one.amount for one in invoices if month_start(one.invoiced) == month), Decimal(0))
        assert (row["receivable_amount"], row["window_sales_amount"]) == (receivable, sales)
        assert row["dso_days"] == pytest.approx(float(receivable / sales * days), abs=1e-9)
        assert row["best_possible_dso_days"] == pytest.approx(float(current / sales * days), abs=1e-9)
        assert row["average_days_delinquent"] == pytest.approx(float((receivable - current) / sales * days), abs=1e-9)
        collectable = opening + month_sales - current
        effectiveness = float((opening + month_sales - receivable) / collectable) if collectable > 0 else None
        assert row["collection_effectiveness_fraction"] == (
            pytest.approx(effectiveness, abs=1e-12) if effectiveness is not None else None
        )
        opening = receivable
    # terms of 30 days that 1,589 of 2,466 invoices kept: between three and five weeks of sales are always open
    settled_year = metrics.filter(pl.col("month").is_between(date(2012, 6, 1), date(2013, 11, 1)))["dso_days"]
    assert settled_year.is_between(20, 35).all()


@pytest.fixture(scope="module")
def booked(invoices: list[Invoice], months: list[date]) -> dict[str, pl.DataFrame]:
    """All customers as one operator rated B, through the journal, the sub-ledger and the credit-loss jobs."""
    frames = input_frames(invoices, months, jobs_home.CONTRACT)
    rows = {name: frames[name].to_dicts() for name in ("ledger.fct_receivable_document", "staging.stg_payments")}
    documents = [
        {**row, "posted_at": jobs_home.close_time(row["posting_month"])}
        for row in rows["ledger.fct_receivable_document"]
    ]
    payments = [{**row, "lease_id": None} for row in rows["staging.stg_payments"]]
    return run_all(jobs_home.home(months, documents, payments))


def test_the_sub_ledger_of_the_real_ledger_ties_to_its_control_account(
    booked: dict[str, pl.DataFrame], invoices: list[Invoice], months: list[date]
) -> None:
    roll = booked["credit.fct_receivable_rollforward_month"].sort("month")
    owed = [sum((one.amount for one in invoices if one.is_open(month_end(month))), Decimal(0)) for month in months]
    assert roll["closing_amount"].to_list() == roll["control_account_amount"].to_list() == owed
    lines = booked["credit.fct_credit_journal_lines"]
    assert set(lines.group_by("entry_id").agg(pl.col("amount").sum())["amount"]) == {Decimal(0)}


def test_the_lifetime_loss_of_each_month_is_rating_times_time_to_settlement_of_what_was_open(
    booked: dict[str, pl.DataFrame], invoices: list[Invoice], months: list[date]
) -> None:
    """Single B defaults at 3.76 % in a year with 12.06 % withdrawn: 4.276 % of those that stay (ORACLES.md, O13).

    Intensity is constant within the year; each open invoice is owed until its due date, an overdue one for the days
    of the policy; nothing is discounted within the quarter, and the loss given default is the policy's.
    """
    policy = CreditPolicy()
    a_year = 0.0376 / (1 - 0.1206)
    losses = booked["credit.fct_credit_loss_month"].filter(pl.col("standard") == "cecl")
    found = dict(losses.group_by("month").agg(pl.col("weighted_amount").sum()).iter_rows())
    for month in months:
        end = month_end(month)
        expected = 0.0
        for one in invoices:
            if one.is_open(end):
                left = (one.due - end).days
                days = left if left > 0 else policy.integer("past_due_resolution_days")
                expected += float(one.amount) * (1 - (1 - a_year) ** (days / 365))
        assert float(found[month]) == pytest.approx(expected * policy.number("loss_given_default"), abs=0.005001)
    assert max(found.values()) > 10


def test_the_allowance_of_the_real_ledger_rolls_forward_and_ends_at_nothing(
    booked: dict[str, pl.DataFrame], months: list[date]
) -> None:
    losses = booked["credit.fct_credit_loss_month"]
    for standard in ("cecl", "ifrs9"):
        roll = booked["credit.fct_allowance_rollforward_month"].filter(pl.col("standard") == standard).sort("month")
        opening = Decimal(0)
        for row in roll.rows(named=True):
            own = losses.filter((pl.col("standard") == standard) & (pl.col("month") == row["month"]))
            assert row["opening_amount"] == opening
            assert row["closing_amount"] == opening + row["adoption_amount"] + row["provision_amount"]
            assert row["closing_amount"] == own["weighted_amount"].sum()
            opening = row["closing_amount"]
        assert (roll["month"].to_list(), opening) == (months, Decimal(0))
        # a release is a negative provision, never cut at nothing
        assert roll["provision_amount"].min() < 0
