"""Terms that few contracts have, each by itself in a contract of its own, recomputed by hand for a month from raw rows to the journal."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from against_the_oracle import applied_cash
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
    paid = {"direction": "received", "amount": "10260.00", "currency_code": "USD", "funded_by_claim": False}
    when = {"received_at": "2027-03-20T05:00:00Z", "recorded_at": "2027-03-21T00:00:00Z"}
    put(con, "payments", park_id="advanced", payment_id="p", contract_id="advanced", **paid, **when)


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


def put_fact(con: duckdb.DuckDBPyConnection, contract_id: str, item: str, amount: str, **days: str) -> None:
    row = {"operator_id": "op", "currency_code": "USD", "source": "statement", "grade": "P"}
    put(con, "operator_fact", contract_id=contract_id, item=item, amount=amount, **days, **row)


def debt_service(con: duckdb.DuckDBPyConnection) -> None:
    put_deal(con, "debtor")
    put_tranche(con, tranche_id="debtor-2", park_id="debtor", contract_id="debtor", gpu_count=50)
    put_backstop(
        con,
        [{"price_per_gpu_hour": "2.00"}],
        contract_id="debtor",
        settlement_type="debt_service_shortfall",
        committed_fraction="1",
        excluded_causes=[],
        expiry_date=date(2033, 1, 31),
    )
    for month, due, paid, published in (
        ("2027-02-28", "300000.00", "199999.99", "2027-03-05"),
        ("2027-03-31", "300000.00", "10000.00", "2027-04-20"),
    ):
        put_fact(con, "debtor", "debt_service_due", due, as_of_date=month, published_date=published)
        put_fact(con, "debtor", "debt_service_paid", paid, as_of_date=month, published_date=published)
    # What was paid for February is stated anew after its close.
    put_fact(con, "debtor", "debt_service_paid", "149999.99", as_of_date="2027-02-28", published_date="2027-03-20")


def ebitda_of_all_cloud(con: duckdb.DuckDBPyConnection) -> None:
    deal = put_deal(con, "cloud", operator_id="cloud-op")
    con.execute("UPDATE raw.park SET operator_id = 'cloud-op' WHERE park_id = 'cloud'")
    put_park(con, park_id="cloud-2", operator_id="cloud-op", time_zone="Australia/Sydney")
    put_tranche(con, tranche_id="cloud-2", park_id="cloud-2", contract_id=None, gpu_count=10)
    put_share(
        con,
        [{"from_month": 1, "to_month": None, "rate": "0.10"}],
        contract_id="cloud",
        exclusions=[],
        base_measure="ebitda",
        base_scope="all_cloud",
    )
    put_whole_months(con, deal, gpu_count=40, price_per_gpu_hour="1.50")
    put_lease(
        con,
        lease_id="there",
        park_id="cloud-2",
        tranche_id="cloud-2",
        contract_id=None,
        gpu_count=10,
        price_per_gpu_hour="3.00",
        starts_at="2027-02-01T00:00:00+11:00",
        ends_at="2027-03-01T00:00:00+11:00",
    )
    put_fact(con, "cloud", "operating_cost", "10480.00", as_of_date="2027-02-28", published_date="2027-03-25")
    put_fact(con, "cloud", "operating_cost", "1.00", as_of_date="2027-04-30", published_date="2027-04-30")


def vendor_ends(con: duckdb.DuckDBPyConnection) -> None:
    put_deal(con, "ender")
    put_backstop(
        con,
        [{"price_per_gpu_hour": "1.00"}],
        contract_id="ender",
        committed_fraction="0.50",
        excluded_causes=[],
        lifetime_cap_amount="100000.00",
        lifetime_cap_index_id="cpi",
        expiry_date=date(2033, 1, 31),
        residual_value_support_pct="0.25",
        attachment_pct="0.40",
        rv_date=date(2027, 3, 15),
        rv_hardware_price_per_gpu="40000.00",
    )
    keys = {"contract_id": "ender", "amendment_id": "original", "payer": "vendor"}
    put(con, "backstop_termination", ground="refinancing", termination_amount="30000.00", **keys)
    event = {"park_id": "ender", "contract_id": "ender", "currency_code": "USD"}
    for day, level in (("2027-02-01", "100"), ("2027-03-01", "90")):
        said = {"effective_at": f"{day}T00:00:00+07:00", "recorded_at": f"{day}T12:00:00Z"}
        put(
            con,
            "credit_events",
            event_id=day,
            kind="price_index",
            payload=f'{{"index": "cpi", "level": "{level}"}}',
            **event,
            **said,
        )
    ended = {"effective_at": "2027-03-31T00:00:00+07:00", "recorded_at": "2027-03-31T12:00:00Z"}
    put(con, "credit_events", event_id="x", kind="termination", payload='{"ground": "refinancing"}', **event, **ended)
    for day, price in (("2027-02-20", "9000.00"), ("2027-03-10", "8000.00"), ("2027-03-16", "1.00")):
        put(
            con,
            "hardware_value",
            observed_date=day,
            gpu_model="GB300",
            kind="market",
            price_per_gpu=price,
            currency_code="USD",
            source="s",
            grade="P",
        )


DEALS = (
    revenue_guarantee,
    withdrawal_and_end,
    true_up_apart,
    advance_with_interest,
    reserve,
    debt_service,
    ebitda_of_all_cloud,
    vendor_ends,
)


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


def test_one_payment_settles_the_month_s_share_and_then_the_interest_on_its_advance(
    books: duckdb.DuckDBPyConnection,
) -> None:
    # February's invoice of 15 March holds 5,040.00 of share and 5,040.00 recouped; its interest was noted on 28 February, due with what
    # is stated 15 days and payable 60 days later. 10,260.00 come on 20 March. March's 267.19 stay open.
    made = applied_cash(books)
    cash = made["credit.fct_cash_application"].filter(contract_id="advanced")
    invoiced, noted = "advanced:2027-02:invoice_share:2027-03", "advanced:2027-02:invoice_interest:2027-02"
    assert cash.select("item_id", "applied_amount", "rule").rows() == [
        (invoiced, Decimal("10080.00"), "oldest_undisputed"),
        (noted, Decimal("180.00"), "interest"),
    ]
    items = made["credit.fct_receivable_item"].filter(contract_id="advanced", as_of_month=MARCH, kind="interest_note")
    assert items.sort("service_month").select("invoice_date", "due_date", "original_amount", "open_amount").rows() == [
        (date(2027, 2, 28), date(2027, 5, 14), Decimal("180.00"), Decimal("0.00")),
        (date(2027, 3, 31), date(2027, 6, 14), Decimal("267.19"), Decimal("267.19")),
    ]


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


def test_debt_service_is_made_up_by_what_the_operator_states_and_a_restatement_lands_in_the_open_month(
    books: duckdb.DuckDBPyConnection,
) -> None:
    # February: 300,000.00 due, 199,999.99 paid; two thirds of 100,000.01 are the first tranche's. Restated on 20 March: 149,999.99 paid.
    # March's statement comes after its close; 290,000.00 are missing, and 1,116 h × 100 at 2.00 are all that is guaranteed.
    assert rows(
        books,
        "SELECT service_month, posting_month, amount FROM ledger.fct_journal_lines"
        " WHERE contract_id = 'debtor' AND account = 'backstop_cost' AND service_month <= ? ORDER BY 1, 2",
        MARCH,
    ) == [
        (FEBRUARY, FEBRUARY, Decimal("100000.01")),
        (FEBRUARY, MARCH, Decimal("50000.00")),
        (MARCH, date(2027, 4, 1), Decimal("223200.00")),
    ]
    claims = (
        "SELECT tranche_id, guaranteed_amount, claim_gpu_hours, claim_amount FROM backstop.fct_backstop_month"
        " WHERE contract_id = 'debtor' AND service_month = ? ORDER BY 1"
    )
    assert rows(books, claims, FEBRUARY) == [
        ("debtor", Decimal("134400"), 0, Decimal("100000.01")),
        ("debtor-2", Decimal("67200"), 0, Decimal("50000.00")),
    ]
    shown = steps(books, "debtor", FEBRUARY)
    assert (shown["payment_due"], shown["payment_made"]) == (300000, Decimal("-149999.99"))
    assert shown["payment_due"] + shown["payment_made"] == shown["claims_before_caps"] == shown["amount_due"]


def test_a_share_of_the_ebitda_of_all_cloud_waits_for_the_costs_and_counts_the_operator_s_other_parks(
    books: duckdb.DuckDBPyConnection,
) -> None:
    # February: 40 × 672 h × 1.50 + 10 × 672 h × 3.00 in Sydney, less 10,480.00, are 50,000.00. The costs are told on 25 March, so its
    # close earns nothing. March: 44,640.00 less February's costs, the last that are told.
    assert rows(
        books,
        "SELECT service_month, posting_month, -amount FROM ledger.fct_journal_lines"
        " WHERE contract_id = 'cloud' AND account = 'share_revenue' AND service_month <= ? ORDER BY 1, 2",
        MARCH,
    ) == [(FEBRUARY, MARCH, Decimal("5000.00")), (MARCH, MARCH, Decimal("3416.00"))]
    assert rows(
        books,
        "SELECT component, amount FROM revenue_share.fct_share_base_month WHERE contract_id = 'cloud' AND service_month = ? ORDER BY 1",
        FEBRUARY,
    ) == [("base", Decimal(50000)), ("gross", Decimal(60480)), ("operating_cost", Decimal(-10480))]
    assert rows(
        books,
        "SELECT lease_id, share_amount FROM revenue_share.fct_share_line WHERE contract_id = 'cloud' AND service_month = ? ORDER BY 1",
        FEBRUARY,
    ) == [("cloud-2/there", Decimal("1666.67")), ("cloud-40", Decimal("3333.33"))]


def test_the_vendor_pays_for_the_end_within_an_indexed_cap_and_for_lost_value_beside_it(
    books: duckdb.DuckDBPyConnection,
) -> None:
    # Half of 67,200 h and of 72,000 h at 1.00. The cap of 100,000.00 moved from 100 to 90 leaves 20,400.00 of the 30,000.00 agreed.
    # 100 GPUs of 40,000.00 were worth 8,000.00 on 15 March: below 40 % by 8,000.00 each, of at most 10,000.00.
    found = posted(books, "ender", MARCH)
    assert found["accrue_claim", "backstop_cost"] == Decimal("36000.00")
    assert found["termination_cost", "termination_cost"] == Decimal("20400.00")
    assert found["residual_value_support", "residual_value_cost"] == Decimal("800000.00")
    assert sum(amount for (_, account), amount in found.items() if account == "backstop_payable") == Decimal(
        "-856400.00"
    )
    owed = steps(books, "ender", MARCH)
    assert (owed["amount_due"], owed["owed_by_vendor"]) == (36000, 820400)
    assert rows(
        books,
        "SELECT service_month, claimed_to_date_amount, lifetime_cap_left_amount, max_exposure_amount"
        " FROM backstop.fct_backstop_cap_month WHERE contract_id = 'ender' AND service_month <= ? ORDER BY 1",
        MARCH,
    ) == [(FEBRUARY, 33600, 66400, 66400), (MARCH, 69600, 0, 0)]
