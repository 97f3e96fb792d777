"""Contracts drawn at random: what dbt posts and publishes is what the oracle works out in Fractions, to the cent, at every close."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest
from oracle import Books, half_away, largest_remainder
from random_contracts import draw, draw_shares

RICH_SEED = 75  # draws a little of everything that `draw_shares` is for
SEEDS = [pytest.param(1), pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=SEEDS)
def warehouse(request: pytest.FixtureRequest, make_home: Any) -> Any:
    def fill(con: duckdb.DuckDBPyConnection, home: Path) -> None:
        draw(con, home, seed=request.param, count=6)

    home = make_home(f"random-{request.param}", fill)
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        yield con


@pytest.fixture(scope="module")
def books_at_clock(warehouse: duckdb.DuckDBPyConnection) -> Books:
    [(clock_at,)] = warehouse.execute("SELECT clock_at FROM raw.home").fetchall()
    return Books(warehouse, clock_at)


def contracts(con: duckdb.DuckDBPyConnection) -> list[tuple[str, date]]:
    return con.execute(
        "SELECT contract_id, max(posting_month) FROM intermediate.int_closes GROUP BY 1 ORDER BY 1"
    ).fetchall()


@pytest.fixture(
    scope="module",
    params=[pytest.param(RICH_SEED), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(22, 33))],
)
def shares(request: pytest.FixtureRequest, make_home: Any) -> Any:
    def fill(con: duckdb.DuckDBPyConnection, home: Path) -> None:
        draw_shares(con, seed=request.param, count=14)

    home = make_home(f"shares-{request.param}", fill)
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        yield con


def test_the_share_of_each_month_is_the_oracle_s(warehouse: duckdb.DuckDBPyConnection, books_at_clock: Books) -> None:
    compare_shares(warehouse, books_at_clock)


def test_true_ups_advances_and_tiers_on_the_share_paid_are_the_oracle_s(
    shares: duckdb.DuckDBPyConnection, request: pytest.FixtureRequest
) -> None:
    [(clock_at,)] = shares.execute("SELECT clock_at FROM raw.home").fetchall()
    compare_shares(shares, Books(shares, clock_at))
    [drawn] = shares.execute(
        "SELECT count(*) FILTER (true_up_amount != 0), count(*) FILTER (true_up_offset_amount != 0),"
        " count(*) FILTER (recouped_amount != 0) FROM revenue_share.fct_share_month"
    ).fetchall()
    assert all(drawn) or request.node.callspec.params["shares"] != RICH_SEED, drawn


def compare_shares(warehouse: duckdb.DuckDBPyConnection, books_at_clock: Books) -> None:
    found = {
        (contract_id, month): tuple(map(Fraction, amounts))
        for contract_id, month, *amounts in warehouse.execute(
            "SELECT contract_id, service_month, base_amount, share_before_limits_amount, share_amount, invoiced_amount,"
            " recouped_amount, true_up_amount"
            " FROM revenue_share.fct_share_month"
        ).fetchall()
    }
    expected = {}
    for contract_id, last_month in contracts(warehouse):
        for month, blocks in books_at_clock.share_months(contract_id, last_month).items():
            sums = [
                sum((getattr(b, name) for b in blocks.values()), Fraction(0))
                for name in ("base", "tier_share", "share", "invoiced", "recouped", "true_up")
            ]
            expected[contract_id, month] = sums
    assert found.keys() == expected.keys()
    for key, (base, tier_share, share, invoiced, recouped, true_up) in expected.items():
        assert abs(found[key][0] - base) < Fraction(1, 10**9), key
        assert abs(found[key][1] - tier_share) < Fraction(1, 10**9), key
        assert abs(found[key][5] - true_up) < Fraction(1, 10**9), key
        assert found[key][2:5] == (share, invoiced, recouped), key


def test_the_lines_of_each_lease_are_the_oracle_s(warehouse: duckdb.DuckDBPyConnection, books_at_clock: Books) -> None:
    found = {
        (contract_id, month, lease_id): Fraction(amount)
        for contract_id, month, lease_id, amount in warehouse.execute(
            "SELECT contract_id, service_month, lease_id, share_amount FROM revenue_share.fct_share_line"
        ).fetchall()
    }
    expected: dict[tuple[str, date, str | None], Fraction] = defaultdict(Fraction)
    for contract_id, last_month in contracts(warehouse):
        for month, blocks in books_at_clock.share_months(contract_id, last_month).items():
            for block in blocks.values():
                for lease_id, amount in block.lines.items():
                    expected[contract_id, month, lease_id] += amount
    assert found == {key: amount for key, amount in expected.items() if amount}


def test_the_claim_of_each_tranche_is_the_oracle_s(warehouse: duckdb.DuckDBPyConnection, books_at_clock: Books) -> None:
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
        (tranche_id, month): (Fraction(claim), dict(zip(names, map(Fraction, hours), strict=True)))
        for tranche_id, month, claim, *hours in warehouse.execute(
            f"SELECT tranche_id, service_month, claim_amount, {', '.join(f'{n}_gpu_hours' for n in names)} FROM backstop.fct_backstop_month"
        ).fetchall()
    }
    left_found = {
        (c, m): Fraction(left)
        for c, m, left in warehouse.execute(
            "SELECT contract_id, service_month, lifetime_cap_left_amount FROM backstop.fct_backstop_cap_month"
            " WHERE lifetime_cap_left_amount IS NOT NULL"
        ).fetchall()
    }
    seen = set()
    for contract_id, last_month in contracts(warehouse):
        months, left = books_at_clock.backstop_months(contract_id, last_month)
        for key, expected in months.items():
            seen.add(key)
            claim, hours = found[key]
            for name in names:
                assert abs(hours[name] - expected[name]) < Fraction(1, 10**8), (key, name)
            assert claim == expected["claim_amount"], key
        for month, amount in left.items():
            assert abs(left_found[contract_id, month] - amount) < Fraction(1, 10**9), (contract_id, month)
    assert seen == found.keys()


def test_what_may_still_be_claimed_is_the_oracle_s(warehouse: duckdb.DuckDBPyConnection, books_at_clock: Books) -> None:
    found = {
        (contract_id, month, year): Fraction(amount)
        for contract_id, month, year, amount in warehouse.execute(
            "SELECT contract_id, as_of_month, vendor_fiscal_year, max_exposure_amount FROM backstop.fct_max_exposure_fiscal_year"
        ).fetchall()
    }
    closes = warehouse.execute("SELECT contract_id, posting_month, ended_at FROM intermediate.int_closes").fetchall()
    then: dict[Any, Books] = {}
    expected = {}
    for contract_id, month, ended_at in closes:
        if ended_at not in then:
            then[ended_at] = Books(warehouse, ended_at)
        rows, left = books_at_clock.backstop_months(contract_id, month)
        claimed: dict[date, Fraction] = defaultdict(Fraction)
        for (_, service_month), hours in rows.items():
            claimed[service_month] += hours["claim_amount"]
        cap_left = left[max(claimed)] if claimed and max(claimed) in left else None
        years = {year: a for year, a in then[ended_at].max_exposure(contract_id, month, claimed, cap_left).items() if a}
        digits = books_at_clock.contract(contract_id)["minor_unit_digits"]
        parts = largest_remainder(half_away(sum(years.values(), Fraction(0)), digits), years, digits) if years else {}
        expected |= {(contract_id, month, year): amount for year, amount in parts.items()}
    assert {k: v for k, v in found.items() if v} == {k: v for k, v in expected.items() if v}


def test_each_close_posted_what_was_known_then(warehouse: duckdb.DuckDBPyConnection) -> None:
    posted: dict[tuple[str, date], dict[tuple[str, date], Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    lines = warehouse.execute(
        "SELECT contract_id, posting_month, event, service_month, amount FROM ledger.fct_journal_lines WHERE line_no = 1"
    ).fetchall()
    closes = warehouse.execute(
        "SELECT contract_id, posting_month, month_end_date, known_at FROM intermediate.int_closes ORDER BY ALL"
    ).fetchall()
    for contract_id, close_month, *_ in closes:
        for line_contract, posting_month, event, service_month, amount in lines:
            if line_contract == contract_id and posting_month <= close_month:
                family = "invoice_share" if event == "credit_note" else event
                posted[contract_id, close_month][family, service_month] += Fraction(amount)
    books: dict[Any, Books] = {}
    for contract_id, close_month, month_end, known_at in closes:
        if known_at not in books:
            books[known_at] = Books(warehouse, known_at)
        known = books[known_at]
        expected: dict[tuple[str, date], Fraction] = defaultdict(Fraction)
        terms = {(t["contract_id"], t["amendment_id"], t["share_id"]): t for t in known.tables["share_terms"]}
        for month, blocks in known.share_months(contract_id, close_month).items():
            version = known.version_on(
                contract_id, "revenue_share", min(_last_day(month), _last_share_day(known, contract_id))
            )
            for share_id, block in blocks.items():
                expected["accrue_share", month] += block.invoiced
                due = terms[contract_id, version, share_id]["statement_due_days"]
                if (month_end - _last_day(month)).days >= due:
                    expected["invoice_share", month] += block.invoiced + block.recouped
                expected["recoup_advance", month] += block.recouped
        for (_, month), hours in known.backstop_months(contract_id, close_month)[0].items():
            expected["accrue_claim", month] += hours["claim_amount"]
        expected |= known.advance_entries(contract_id, close_month)
        zone = known.zones[known.contract(contract_id)["park_id"]]
        for payment in known.payments:
            day = payment["received_at"].astimezone(zone).date()
            if payment["contract_id"] == contract_id and day <= month_end:
                event = {"received": "receive_cash", "paid": "pay_claim"}[payment["direction"]]
                expected[event, day.replace(day=1)] += Fraction(payment["amount"])
        assert {k: v for k, v in posted[contract_id, close_month].items() if v} == {
            k: v for k, v in expected.items() if v
        }, (contract_id, close_month)


def _last_day(month: date) -> date:
    from oracle import days_of

    return days_of(month)[-1]


def _last_share_day(books: Books, contract_id: str) -> date:
    from datetime import timedelta

    contract = books.contract(contract_id)
    ending = books.ending(contract)
    return min([contract["expiry_date"], *([ending - timedelta(days=1)] if ending else [])])
