"""Terms that few contracts have, each by itself in a contract of its own, recomputed by hand for a month from raw rows to the journal."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from raw_fixture import put
from scenarios import put_backstop, put_contract, put_home, put_lease, put_park, put_share, put_tranche

FEBRUARY, MARCH = date(2027, 2, 1), date(2027, 3, 1)


def put_deal(con: duckdb.DuckDBPyConnection, name: str, **contract: Any) -> dict[str, str]:
    """A park with a tranche of 100 GPUs under a contract of its own; all are called alike."""
    put_park(con, park_id=name)
    put_contract(con, contract_id=name, park_id=name, **contract)
    put_tranche(con, tranche_id=name, park_id=name, contract_id=name, gpu_count=100)
    return {"contract_id": name, "park_id": name, "tranche_id": name}


def put_whole_months(con: duckdb.DuckDBPyConnection, deal: dict[str, str], **lease: Any) -> None:
    """A lease of February and March, by Jakarta's clock."""
    span = {"starts_at": "2027-02-01T00:00:00+07:00", "ends_at": "2027-04-01T00:00:00+07:00"}
    put_lease(con, **{**deal, "lease_id": f"{deal['contract_id']}-{lease['gpu_count']}", **span, **lease})


def revenue_guarantee(con: duckdb.DuckDBPyConnection) -> None:
    deal = put_deal(con, "guarantee")
    put_backstop(
        con,
        [{"price_per_gpu_hour": "2.00"}],
        contract_id="guarantee",
        settlement_type="revenue_shortfall",
        excluded_causes=[],
        deductible_fraction="0.05",
        expiry_date=date(2033, 1, 31),
    )
    put_whole_months(con, deal, gpu_count=40, price_per_gpu_hour="1.50")
    put_whole_months(con, deal, gpu_count=20, price_per_gpu_hour="2.00", currency_code="AUD")
    for day, rate in (("2027-02-01", "0.62"), ("2027-02-26", "0.64"), ("2027-03-05", "0.70")):
        put(con, "fx_rate", rate_date=day, from_currency="AUD", to_currency="USD", rate=rate, source="ecb")


def withdrawal_and_end(con: duckdb.DuckDBPyConnection) -> None:
    deal = put_deal(con, "leaver")
    put_backstop(
        con,
        [{"price_per_gpu_hour": "2.00"}],
        contract_id="leaver",
        excluded_causes=[],
        withdrawal_claw_back_fraction="0.333333333",
        expiry_date=date(2033, 1, 31),
    )
    keys = {"contract_id": "leaver", "amendment_id": "original", "payer": "operator"}
    put(con, "backstop_termination", ground="default", termination_amount="250000.00", **keys)
    put_whole_months(con, deal, gpu_count=40, price_per_gpu_hour="3.00")
    event = {"park_id": "leaver", "contract_id": "leaver", "currency_code": "USD"}
    said = {"effective_at": "2027-03-11T00:00:00+07:00", "recorded_at": "2027-03-12T00:00:00Z"}
    put(con, "credit_events", event_id="w", kind="withdrawal", tranche_id="leaver", gpu_count=25, **event, **said)
    ended = {"effective_at": "2027-03-31T00:00:00+07:00", "recorded_at": "2027-03-31T12:00:00Z"}
    put(con, "credit_events", event_id="x", kind="termination", payload='{"ground": "default"}', **event, **ended)


def true_up_apart(con: duckdb.DuckDBPyConnection) -> None:
    deal = put_deal(con, "yearly", expiry_date=date(2027, 3, 31))
    put_share(
        con,
        [{"from_month": 1, "to_month": None, "rate": "0.25"}],
        contract_id="yearly",
        exclusions=[],
        period_cap_amount="15000",
        period_cap_period="month",
        true_up_frequency="contract_year",
        true_up_carry_forward=False,
        true_up_due_days=120,
        true_up_interest=True,
        late_rate="0.08",
    )
    for version, (price, since) in enumerate((("3.00", "2027-02-01"), ("1.50", "2027-03-01")), start=1):
        starts_at = f"{since}T00:00:00+07:00"
        put_whole_months(con, deal, gpu_count=40, price_per_gpu_hour=price, version=version, starts_at=starts_at)


def advance_with_interest(con: duckdb.DuckDBPyConnection) -> None:
    deal = put_deal(con, "advanced")
    put_share(con, [{"from_month": 1, "to_month": None, "rate": "0.25"}], contract_id="advanced", exclusions=[])
    keys = {
        "contract_id": "advanced",
        "amendment_id": "original",
        "valid_from": date(2027, 2, 1),
        "recorded_at": "2026-12-01T00:00:00Z",
    }
    put(con, "contract_version", instrument="token_advances", **keys)
    terms = {"advance_type": "cash", "unit": "USD", "face_amount": "36500", "grant_date": date(2027, 2, 10)}
    recouped = {"share_id": "share", "recoup_order": "from_share", "recoupment_rate": "0.5", "interest": "0.10"}
    put(con, "token_advance", advance_id="adv", **terms, **recouped, **keys)
    put_whole_months(con, deal, gpu_count=40, price_per_gpu_hour="1.50")


def reserve(con: duckdb.DuckDBPyConnection) -> None:
    deal = put_deal(con, "reserved")
    put_share(
        con,
        [{"from_month": 1, "to_month": None, "rate": "0.25"}],
        contract_id="reserved",
        exclusions=[],
        reserve_fraction="0.10",
        reserve_release_months=1,
    )
    put_whole_months(con, deal, gpu_count=40, price_per_gpu_hour="1.50")


DEALS = (revenue_guarantee, withdrawal_and_end, true_up_apart, advance_with_interest, reserve)


@pytest.fixture(scope="module")
def books(make_home: Any) -> Any:
    def fill(con: duckdb.DuckDBPyConnection, _: Path) -> None:
        put_home(con, "2027-05-01T00:00:00Z")
        for deal in DEALS:
            deal(con)

    home = make_home("terms-by-hand", fill)
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        yield con


def rows(books: duckdb.DuckDBPyConnection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return books.execute(query, list(values)).fetchall()


def steps(books: duckdb.DuckDBPyConnection, contract_id: str, month: date) -> dict[str, Decimal]:
    """The amounts of a month's statement as known last, by step."""
    return dict(
        rows(
            books,
            "SELECT step, amount FROM ledger.fct_statement_step WHERE contract_id = ? AND service_month = ? AND amount IS NOT NULL"
            " QUALIFY known_at = max(known_at) OVER ()",
            contract_id,
            month,
        )
    )


def posted(books: duckdb.DuckDBPyConnection, contract_id: str, month: date) -> dict[tuple[str, str], Decimal]:
    """What was posted for a service month, by event and account."""
    return {
        (event, account): amount
        for event, account, amount in rows(
            books,
            "SELECT event, account, sum(amount) FROM ledger.fct_journal_lines WHERE contract_id = ? AND service_month = ? GROUP BY ALL",
            contract_id,
            month,
        )
    }


def test_a_revenue_guarantee_of_february_pays_51_273_60_and_buys_no_hours(books: duckdb.DuckDBPyConnection) -> None:
    # 100 GPUs × 672 h = 67,200 h; 85 % is 57,120, less 5 % of it 54,264, at 2.00 are 108,528.00. 40 GPUs × 672 h × 1.50 = 40,320.00,
    # and 20 × 672 × 2.00 AUD = 26,880 AUD, at the mean of 0.62 and 0.64, are 16,934.40.
    assert rows(
        books,
        "SELECT installed_gpu_hours, claim_gpu_hours, guaranteed_gpu_hours, guaranteed_amount, third_party_revenue_amount, claim_amount"
        " FROM backstop.fct_backstop_month WHERE tranche_id = 'guarantee' AND service_month = ?",
        FEBRUARY,
    ) == [tuple(map(Decimal, ("67200", "0", "54264", "108528", "57254.40", "51273.60")))]
    assert steps(books, "guarantee", FEBRUARY) == {
        "guaranteed_revenue": Decimal("108528"),
        "third_party_revenue": Decimal("-57254.40"),
        "claim_before_caps": Decimal("51273.60"),
        "claims_before_caps": Decimal("51273.60"),
        "amount_due": Decimal("51273.60"),
    }
    assert posted(books, "guarantee", FEBRUARY) == {
        ("accrue_claim", "backstop_cost"): Decimal("51273.60"),
        ("accrue_claim", "backstop_payable"): Decimal("-51273.60"),
    }
    uses = dict(
        rows(
            books,
            "SELECT use, gpu_hours FROM backstop.fct_capacity_balance_month WHERE tranche_id = 'guarantee' AND service_month = ?",
            FEBRUARY,
        )
    )
    assert uses["bought_back"] == 0
    assert sum(uses.values()) == 67200


def test_who_withdraws_gives_back_and_who_ends_pays(books: duckdb.DuckDBPyConnection) -> None:
    # February: 85 % of 67,200 h less 40 × 672 h sold = 30,240 h at 2.00 = 60,480.00. A quarter of the GPUs goes on 11 March and gives back
    # 0.333333333 of a quarter of that, 5,039.99999496, rounded once. The backstop ends on 31 March by default: 250,000.00.
    claimed = rows(
        books, "SELECT claim_amount FROM backstop.fct_backstop_month WHERE tranche_id = 'leaver' ORDER BY service_month"
    )
    # March has 30 days in force: 10 of 100 GPUs, 20 of 75; 85 % of 24,000 + 36,000 h less 40 × 720 h sold are 22,200 h.
    assert claimed == [(Decimal("60480"),), (Decimal("44400"),)]
    found = posted(books, "leaver", MARCH)
    assert found["claw_back", "trade_receivable"] == Decimal("5040.00")
    assert found["claw_back", "backstop_cost"] == Decimal("-5040.00")
    assert found["termination_payment", "trade_receivable"] == Decimal("250000.00")
    assert found["termination_payment", "termination_income"] == Decimal("-250000.00")
    # Due 20 + 45 days after the month that posts it.
    assert rows(
        books,
        "SELECT kind, original_amount, invoice_date, due_date FROM ledger.fct_receivable_document WHERE contract_id = 'leaver' ORDER BY 2",
    ) == [
        ("debit_note", Decimal("5040.00"), date(2027, 3, 31), date(2027, 6, 4)),
        ("debit_note", Decimal("250000.00"), date(2027, 3, 31), date(2027, 6, 4)),
    ]
    owed = steps(books, "leaver", MARCH)
    assert (owed["claw_back"], owed["rounding"]) == (Decimal("5039.99999496"), Decimal("0.00000504"))
    assert owed["owed_by_operator"] == owed["claw_back"] + owed["rounding"] + owed["termination_payment"] == 255040
    assert owed["amount_due"] == Decimal("44400")


def test_a_true_up_with_days_of_its_own_is_billed_apart_and_bears_interest_from_when_its_months_were_due(
    books: duckdb.DuckDBPyConnection,
) -> None:
    # February: 40 × 672 h × 3.00 = 80,640.00, a quarter is 20,160, capped at 15,000. March: 40 × 744 × 1.50 = 44,640.00, 11,160.
    # The year: a quarter of 125,280 is 31,320, capped at 30,000: 3,840 more than was accrued.
    found = posted(books, "yearly", MARCH)
    assert found["accrue_share", "share_revenue"] == Decimal("-15000.00")
    assert found["invoice_share", "trade_receivable"] == Decimal("11160.00")
    assert found["invoice_true_up", "trade_receivable"] == Decimal("3840.00")
    # Due on 29 July; February was due on 14 May, 76 days before, March on 14 June, 45 days before. Half of 3,840 each at 8 %.
    assert found["true_up_interest", "interest_receivable"] == Decimal("50.92")
    assert rows(
        books,
        "SELECT kind, original_amount, invoice_date, due_date FROM ledger.fct_receivable_document"
        " WHERE contract_id = 'yearly' AND service_month = ? ORDER BY 2",
        MARCH,
    ) == [
        ("invoice", Decimal("3840.00"), date(2027, 4, 15), date(2027, 7, 29)),
        ("invoice", Decimal("11160.00"), date(2027, 4, 15), date(2027, 6, 14)),
    ]
    shown = steps(books, "yearly", MARCH)
    assert (shown["true_up"], shown["amount_due"], shown["true_up_interest"]) == (3840, 15000, Decimal("50.92"))


def test_an_advance_bears_interest_on_what_is_unrecouped_and_is_recouped_all_the_same(
    books: duckdb.DuckDBPyConnection,
) -> None:
    # February: a quarter of 40 × 672 h × 1.50 is 10,080.00, of which half recoups 5,040.00 of 36,500.00. 18 days after the grant at 10.00.
    # March: 31 days on 31,460.00 at 10 %, 267.1945; 5,580.00 are recouped.
    assert rows(
        books,
        "SELECT opening_amount, granted_amount, recouped_amount, unrecouped_amount, interest_amount"
        " FROM revenue_share.fct_token_advance_month WHERE contract_id = 'advanced' AND service_month <= ? ORDER BY service_month",
        MARCH,
    ) == [
        tuple(map(Decimal, ("0", "36500", "5040", "31460", "180.00"))),
        tuple(map(Decimal, ("31460", "0", "5580", "25880", "267.19"))),
    ]
    found = posted(books, "advanced", MARCH)
    assert found["advance_interest", "interest_receivable"] == Decimal("267.19")
    assert found["advance_interest", "advance_interest_income"] == Decimal("-267.19")
    shown = steps(books, "advanced", MARCH)
    assert (shown["amount_due"], shown["advance_interest"]) == (5580, Decimal("267.19"))


def test_a_reserve_leaves_the_invoice_and_is_invoiced_when_it_is_released(books: duckdb.DuckDBPyConnection) -> None:
    # February: a quarter of 40 × 672 h × 1.50 is 10,080.00, of which 1,008.00 are withheld until March has ended and been stated.
    found = posted(books, "reserved", FEBRUARY)
    assert found["accrue_share", "share_revenue"] == Decimal("-10080.00")
    assert found["invoice_share", "trade_receivable"] == Decimal("9072.00")
    assert found["invoice_reserve", "trade_receivable"] == Decimal("1008.00")
    documents = (
        "SELECT original_amount, invoice_date, due_date FROM ledger.fct_receivable_document"
        " WHERE contract_id = 'reserved' AND service_month = ? ORDER BY 2"
    )
    assert rows(books, documents, FEBRUARY) == [
        (Decimal("9072.00"), date(2027, 3, 15), date(2027, 5, 14)),
        (Decimal("1008.00"), date(2027, 4, 15), date(2027, 6, 14)),
    ]
    # March: 11,160.00 less 1,116.00, which are not released before 15 May.
    assert rows(books, documents, MARCH) == [(Decimal("10044.00"), date(2027, 4, 15), date(2027, 6, 14))]
    shown = steps(books, "reserved", MARCH)
    assert (shown["amount_due"], shown["reserved"]) == (11160, -1116)
