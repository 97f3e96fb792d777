"""What dbt posts and publishes beside what the oracle works out, to the cent: by contract, what is other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime
from fractions import Fraction
from functools import cache
from typing import Any

import duckdb
import polars as pl
from cash_oracle import standings
from oracle import Books, days_of, half_away, largest_remainder, rows, rows_by_park

from orchestration.polars_jobs.journal import CASH_EVENTS
from orchestration.polars_jobs.programme import receivables_group

# By contract, what is other; empty where everything is the oracle's.
Differences = dict[str, list[str]]


def _contracts(con: duckdb.DuckDBPyConnection) -> list[tuple[str, date]]:
    return con.execute(
        "SELECT contract_id, max(posting_month) FROM intermediate.int_closes GROUP BY 1 ORDER BY 1"
    ).fetchall()


@cache
def _books(con: duckdb.DuckDBPyConnection, park_id: str, known_at: datetime) -> Books:
    return Books(con, known_at, park_id)


@cache
def _parks(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    return dict(con.execute("SELECT contract_id, park_id FROM raw.contract").fetchall())


def books_of(con: duckdb.DuckDBPyConnection, contract_id: str, known_at: datetime) -> Books:
    """The books of a contract's park; made once for each instant."""
    return _books(con, _parks(con)[contract_id], known_at)


def forget() -> None:
    """Let go of what was read and worked out, of all connections."""
    for function in (rows, rows_by_park, _books, _parks, applied_cash):
        function.cache_clear()


def _differing(
    what: str,
    found: Mapping[tuple[Any, ...], tuple[Fraction, ...]],
    expected: Mapping[tuple[Any, ...], tuple[Fraction, ...]],
    within: tuple[Fraction, ...] = (Fraction(0),),
) -> Differences:
    """By contract (the first of each key), what one side alone has, and amounts that are further apart than `within`."""
    other: Differences = defaultdict(list)
    for key in sorted(found.keys() | expected.keys(), key=str):
        is_, should = found.get(key), expected.get(key)
        if is_ is not None and should is not None:
            limits = within * len(is_)
            if all(abs(a - b) <= limit for a, b, limit in zip(is_, should, limits, strict=False)):
                continue
        other[key[0]].append(f"{what} {key}: found {_said(is_)}, expected {_said(should)}")
    return dict(other)


def _said(amounts: tuple[Fraction, ...] | None) -> str:
    return "nothing" if amounts is None else ", ".join(f"{float(amount):.9g}" for amount in amounts)


def differing_shares(con: duckdb.DuckDBPyConnection, known_at: datetime) -> Differences:
    found = {
        (contract_id, month): tuple(map(Fraction, amounts))
        for contract_id, month, *amounts in con.execute(
            "SELECT contract_id, service_month, base_amount, share_before_limits_amount, true_up_amount, share_amount, invoiced_amount,"
            " recouped_amount FROM revenue_share.fct_share_month"
        ).fetchall()
    }
    expected = {
        (contract_id, month): tuple(
            sum((getattr(block, name) for block in blocks.values()), Fraction(0))
            for name in ("base", "tier_share", "true_up", "share", "invoiced", "recouped")
        )
        for contract_id, last_month in _contracts(con)
        for month, blocks in books_of(con, contract_id, known_at).share_months(contract_id, last_month).items()
    }
    unrounded, exact = Fraction(1, 10**9), Fraction(0)
    return _differing("share of", found, expected, (unrounded, unrounded, unrounded, exact, exact, exact))


def differing_lease_lines(con: duckdb.DuckDBPyConnection, known_at: datetime) -> Differences:
    found = {
        (contract_id, month, lease_id): (Fraction(amount),)
        for contract_id, month, lease_id, amount in con.execute(
            "SELECT contract_id, service_month, lease_id, share_amount FROM revenue_share.fct_share_line"
        ).fetchall()
    }
    sums: dict[tuple[str, date, str | None], Fraction] = defaultdict(Fraction)
    for contract_id, last_month in _contracts(con):
        for month, blocks in books_of(con, contract_id, known_at).share_months(contract_id, last_month).items():
            for block in blocks.values():
                for lease_id, amount in block.lines.items():
                    sums[contract_id, month, lease_id] += amount
    return _differing("line of", found, {key: (amount,) for key, amount in sums.items() if amount})


def differing_claims(con: duckdb.DuckDBPyConnection, known_at: datetime) -> Differences:
    names = (
        "installed",
        "excluded",
        "committed",
        "third_party",
        "vendor_use",
        "unsold",
        "deductible",
        "claim",
        "bought_back",
    )
    found = {
        (contract_id, tranche_id, month): tuple(map(Fraction, amounts))
        for contract_id, tranche_id, month, *amounts in con.execute(
            f"SELECT contract_id, tranche_id, service_month, claim_amount, {', '.join(f'{n}_gpu_hours' for n in names)}"
            " FROM backstop.fct_backstop_month"
        ).fetchall()
    }
    left_found = {
        (contract_id, month): (Fraction(left),)
        for contract_id, month, left in con.execute(
            "SELECT contract_id, service_month, lifetime_cap_left_amount FROM backstop.fct_backstop_cap_month"
            " WHERE lifetime_cap_left_amount IS NOT NULL"
        ).fetchall()
    }
    expected, left_expected = {}, {}
    for contract_id, last_month in _contracts(con):
        months, left = books_of(con, contract_id, known_at).backstop_months(contract_id, last_month)
        for (tranche_id, month), hours in months.items():
            expected[contract_id, tranche_id, month] = (hours["claim_amount"], *(hours[name] for name in names))
        left_expected |= {(contract_id, month): (amount,) for month, amount in left.items()}
    other = _differing("claim of", found, expected, (Fraction(0), *[Fraction(1, 10**8)] * len(names)))
    known = {key: amount for key, amount in left_found.items() if key in left_expected}
    for contract_id, said in _differing("cap left of", known, left_expected, (Fraction(1, 10**9),)).items():
        other.setdefault(contract_id, []).extend(said)
    return other


def differing_exposures(con: duckdb.DuckDBPyConnection, known_at: datetime) -> Differences:
    """What may still be claimed, by the vendor's fiscal year, at each month's end."""
    found = {
        (contract_id, month, year): (Fraction(amount),)
        for contract_id, month, year, amount in con.execute(
            "SELECT contract_id, as_of_month, vendor_fiscal_year, max_exposure_amount FROM backstop.fct_max_exposure_fiscal_year"
            " WHERE max_exposure_amount <> 0"
        ).fetchall()
    }
    closes = con.execute("SELECT contract_id, posting_month, ended_at FROM intermediate.int_closes").fetchall()
    expected = {}
    for contract_id, month, ended_at in closes:
        books, then = books_of(con, contract_id, known_at), books_of(con, contract_id, ended_at)
        months, left = books.backstop_months(contract_id, month)
        claimed: dict[date, Fraction] = defaultdict(Fraction)
        sold = Fraction(0)
        for (_, service_month), hours in months.items():
            claimed[service_month] += hours["claim_amount"]
            sold += hours["third_party_sale"]
        cap_left = left.get(month)
        if month not in claimed:
            cap_left = books.cap_without_claims(contract_id, month, sum(claimed.values(), Fraction(0)), sold)
        years = {year: a for year, a in then.max_exposure(contract_id, month, claimed, cap_left).items() if a}
        digits = books.contract(contract_id)["minor_unit_digits"]
        parts = largest_remainder(half_away(sum(years.values(), Fraction(0)), digits), years, digits) if years else {}
        expected |= {(contract_id, month, year): (amount,) for year, amount in parts.items() if amount}
    return _differing("exposure of", found, expected)


def differing_postings(con: duckdb.DuckDBPyConnection, last: int | None = None) -> Differences:
    """Per close, or per each contract's `last` ones, what all closes up to it have posted, beside what follows from all that was
    known at it.
    """
    posted: dict[tuple[Any, ...], Fraction] = defaultdict(Fraction)
    lines: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for contract_id, *line in con.execute(
        "SELECT contract_id, posting_month, event, service_month, amount FROM ledger.fct_journal_lines WHERE line_no = 1"
    ).fetchall():
        lines[contract_id].append(tuple(line))
    closes = con.execute(
        "SELECT contract_id, posting_month, month_end_date, known_at FROM intermediate.int_closes"
        " QUALIFY row_number() OVER (PARTITION BY contract_id ORDER BY posting_month DESC) <= ? ORDER BY ALL",
        [last or 1000],
    ).fetchall()
    for contract_id, close_month, *_ in closes:
        for posting_month, event, service_month, amount in lines[contract_id]:
            if posting_month <= close_month:
                family = "invoice_share" if event == "credit_note" else event
                posted[contract_id, close_month, family, service_month] += Fraction(amount)
    expected: dict[tuple[Any, ...], Fraction] = defaultdict(Fraction)
    for contract_id, close_month, month_end, known_at in closes:
        known = books_of(con, contract_id, known_at)
        for (event, month), amount in _posted_when_known(known, contract_id, close_month, month_end).items():
            expected[contract_id, close_month, event, month] += amount
    return _differing(
        "posted by the close of",
        {key: (amount,) for key, amount in posted.items() if amount},
        {key: (amount,) for key, amount in expected.items() if amount},
    )


def _posted_when_known(
    known: Books, contract_id: str, close_month: date, month_end: date
) -> dict[tuple[str, date], Fraction]:
    """By event and service month, what the close of a month must have posted in all."""
    expected: dict[tuple[str, date], Fraction] = defaultdict(Fraction)
    terms = {(t["contract_id"], t["amendment_id"], t["share_id"]): t for t in known.tables["share_terms"]}
    for month, blocks in known.share_months(contract_id, close_month).items():
        version = known.version_on(
            contract_id, "revenue_share", min(days_of(month)[-1], known.last_share_day(contract_id))
        )
        for share_id, block in blocks.items():
            expected["accrue_share", month] += block.invoiced
            due = terms[contract_id, version, share_id]["statement_due_days"]
            if (month_end - days_of(month)[-1]).days >= due:
                expected["invoice_share", month] += block.invoiced + block.recouped
            expected["recoup_advance", month] += block.recouped
    apart = known.billed_apart(contract_id, close_month)
    for (event, month), amount in apart.items():
        expected["invoice_share" if event == "taken" else event, month] += -amount if event == "taken" else amount
    for (_, month), hours in known.backstop_months(contract_id, close_month)[0].items():
        expected["accrue_claim", month] += hours["claim_amount"]
    for month, amount in known.claw_backs(contract_id, close_month).items():
        expected["claw_back", month] += amount
    for owed, amount in known.dues(contract_id, close_month).items():
        expected[owed] += amount
    expected |= known.advance_entries(contract_id, close_month)
    zone = known.zones[known.contract(contract_id)["park_id"]]
    for payment in known.payments:
        day = payment["received_at"].astimezone(zone).date()
        if payment["contract_id"] == contract_id and day <= month_end:
            event = {"received": "receive_cash", "paid": "pay_claim"}[payment["direction"]]
            expected[event, day.replace(day=1)] += Fraction(payment["amount"])
    for event in known.events:
        day = event["effective_at"].astimezone(zone).date()
        if event["kind"] == "write_off" and event["contract_id"] == contract_id and day <= month_end:
            expected["write_off", day.replace(day=1)] += Fraction(event["amount"])
    return expected


# What the application of cash reads.
CASH_INPUTS = (
    "ledger.fct_receivable_document",
    "ledger.fct_journal_lines",
    "intermediate.int_closes",
    "staging.stg_payments",
    "staging.stg_credit_events",
    "core.dim_contract",
    "raw.share_terms",
    "raw.backstop_terms",
    "raw.sealed_line",
)


@cache
def applied_cash(con: duckdb.DuckDBPyConnection) -> dict[str, pl.DataFrame]:
    """What the credit jobs make of a warehouse's receivables."""
    return receivables_group({name: con.sql(f"FROM {name}").pl() for name in CASH_INPUTS})


def differing_cash(con: duckdb.DuckDBPyConnection) -> Differences:
    """Per close, what cash, set-off and interest have posted up to it, what is open of each item, and cash on nothing."""
    out = applied_cash(con)
    posted: dict[tuple[Any, ...], Fraction] = defaultdict(Fraction)
    expected: dict[tuple[Any, ...], Fraction] = {}
    lines = out["credit.fct_credit_journal_lines"].filter(line_no=1)
    items = out["credit.fct_receivable_item"]
    rolled = out["credit.fct_receivable_rollforward_month"]
    for contract_id, _ in _contracts(con):
        for close_month, found in standings(con, contract_id, lambda at, own=contract_id: books_of(con, own, at)):
            key = (contract_id, close_month)
            expected |= {(*key, *about): amount for about, amount in found.should.items()}
            expected |= {(*key, "open", item_id): amount for item_id, amount in found.open.items()}
            expected[*key, "unapplied", ""] = found.unapplied
            for row in lines.filter(contract_id=contract_id).iter_rows(named=True):
                if row["posting_month"] <= close_month and row["event"] in CASH_EVENTS:
                    posted[*key, row["event"], row["service_month"]] += Fraction(row["amount"])
            for row in items.filter(contract_id=contract_id, as_of_month=close_month).iter_rows(named=True):
                posted[*key, "open", row["item_id"]] += Fraction(row["open_amount"])
            for row in rolled.filter(contract_id=contract_id, month=close_month).iter_rows(named=True):
                posted[*key, "unapplied", ""] += Fraction(row["unapplied_closing_amount"])
    return _differing(
        "cash by the close of",
        {key: (amount,) for key, amount in posted.items() if amount},
        {key: (amount,) for key, amount in expected.items() if amount},
    )
