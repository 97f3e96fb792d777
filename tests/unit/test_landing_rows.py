"""What becomes of rows: duplicates, corrections, bad cells, references that come later."""

from pathlib import Path

import pytest
from small_home import CONTRACT_ID, LEASE_HEADER, PARK_ID, Books, drop, lease_row, make_home

USAGE = "lease_id,interval_start_at,interval_end_at,gpu_hours\n"
PAYMENT = "payment_id,contract_id,direction,received_at,amount,currency_code,recorded_at\n"


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(make_home(tmp_path))


def counts(books: Books) -> dict[str, tuple[int, ...]]:
    """By file name: rows, landed, duplicate, superseded, quarantined."""
    rows = books.con.execute(
        "SELECT path, row_count, landed_count, duplicate_count, superseded_count, quarantined_count "
        "FROM raw.landed_file"
    ).fetchall()
    for row in rows:
        assert row[1] == sum(row[2:]), row
    return {Path(row[0]).name: tuple(row[1:]) for row in rows}


def test_a_repeated_row_is_a_duplicate_and_the_earliest_known_one_counts(books: Books) -> None:
    drop(books.path, "leases", "late.csv", LEASE_HEADER + lease_row(recorded_at="2027-01-02T00:00:00Z"))
    drop(books.path, "leases", "early.csv", LEASE_HEADER + lease_row() * 2)
    books.land()
    assert counts(books) == {"late.csv": (1, 0, 1, 0, 0), "early.csv": (2, 1, 1, 0, 0)}
    assert books.one("SELECT count(*) FROM raw.leases") == 3


def test_corrected_content_supersedes_by_key_and_later_knowledge(books: Books) -> None:
    drop(books.path, "leases", "a.csv", LEASE_HEADER + lease_row(price="2.5"))
    drop(books.path, "leases", "b.csv", LEASE_HEADER + lease_row(price="2.6", recorded_at="2027-02-01T00:00:00Z"))
    books.land()
    assert counts(books) == {"a.csv": (1, 0, 0, 1, 0), "b.csv": (1, 1, 0, 0, 0)}
    assert books.one("SELECT state FROM raw.landed_file WHERE path LIKE '%a.csv'") == "superseded"


def test_a_correction_that_is_taken_back_counts_again_from_then_on(books: Books) -> None:
    # READINGS, 6: the latest row of a key counts, whatever an earlier one said.
    for name, price, day in (("a", "2.5", "01"), ("b", "2.6", "02"), ("c", "2.5", "03")):
        drop(
            books.path,
            "leases",
            f"{name}.csv",
            LEASE_HEADER + lease_row(price=price, recorded_at=f"2027-02-{day}T00:00:00Z"),
        )
    books.land()
    assert counts(books) == {"a.csv": (1, 0, 0, 1, 0), "b.csv": (1, 0, 0, 1, 0), "c.csv": (1, 1, 0, 0, 0)}


def test_counts_of_earlier_files_follow_when_a_later_file_changes_their_fate(books: Books) -> None:
    drop(books.path, "leases", "b.csv", LEASE_HEADER + lease_row(price="2.6", recorded_at="2027-02-01T00:00:00Z"))
    books.land()
    assert counts(books) == {"b.csv": (1, 1, 0, 0, 0)}
    drop(books.path, "leases", "c.csv", LEASE_HEADER + lease_row(price="2.6", recorded_at="2027-01-01T00:00:00Z"))
    books.land()
    assert counts(books) == {"b.csv": (1, 0, 1, 0, 0), "c.csv": (1, 1, 0, 0, 0)}


@pytest.mark.parametrize(
    ("cell", "value", "rule"),
    [
        ("1000", "", "missing_value"),
        ("1000", "many", "not_an_integer"),
        ("1000", "0", "out_of_range"),
        ("1000", "1000.5", "not_an_integer"),
        ("1000", "99999999999999999999999", "not_an_integer"),
        ("2.5", "-1", "out_of_range"),
        ("2.5", "2,5", "row_not_whole"),
        ("2.5", "NaN", "not_a_number"),
        ("2.5", "2.5000000001", "too_many_decimals"),
        ("2.5", "1e30", "out_of_range"),
        ("USD", "usd", "unknown_currency"),
        ("training", "gaming", "not_allowed"),
        ("my-park-1-a", "my-park-1-z", "unknown_tranche"),
        ("my-contract-1", "other", "unknown_contract"),
        ("2027-01-01T00:00:00+11:00", "2027-01-01T00:00:00", "naive_instant"),
        ("2027-01-01T00:00:00+11:00", "2027-01-01", "not_an_instant"),
        ("2027-01-01T00:00:00+11:00", "yesterday", "not_an_instant"),
        ("2027-01-01T00:00:00+11:00", "0001-01-01T00:00:00Z", "out_of_range"),
        ("2027-01-01T00:00:00+11:00", "2027-09-01T00:00:00Z", "ends_before_it_starts"),
    ],
)
def test_a_bad_row_is_quarantined_with_its_line_rule_and_text(books: Books, cell: str, value: str, rule: str) -> None:
    bad = lease_row("BAD").replace(f",{cell},", f",{value},", 1)
    assert bad != lease_row("BAD")
    drop(books.path, "leases", "a.csv", LEASE_HEADER + lease_row("L1") + bad + lease_row("L2"))
    books.land()
    assert counts(books) == {"a.csv": (3, 2, 0, 0, 1)}
    assert books.rows("SELECT line_no, rule, row_text FROM raw.quarantined_row") == [(3, rule, bad.rstrip("\n"))]


def test_usual_spellings_of_numbers_and_instants_are_read_exactly(books: Books) -> None:
    rows = [
        lease_row("L1", price="1e0"),
        lease_row("L2").replace(",1000,", ",1000.0,"),
        lease_row("L3").replace("2027-01-01T00:00:00+11:00", "2027-01-01 00:00+1100"),
        lease_row("L4").replace("2027-01-01T00:00:00+11:00", "20261231T130000Z"),
        lease_row("L5").replace("2027-01-01T00:00:00+11:00", "2026-12-31T13:00:00.0000000z"),
        '"L6"' + lease_row("")[0:],
        lease_row(" L7 "),
    ]
    drop(books.path, "leases", "a.csv", LEASE_HEADER + "".join(rows))
    books.land()
    assert counts(books) == {"a.csv": (7, 7, 0, 0, 0)}
    assert books.one("SELECT count(DISTINCT starts_at) FROM raw.leases") == 1
    assert books.rows("SELECT lease_id FROM raw.leases ORDER BY 1") == [(f"L{n}",) for n in range(1, 8)]


def test_naive_instants_follow_the_parks_clock_where_it_says_so(tmp_path: Path) -> None:
    books = Books(
        make_home(tmp_path, park=lambda text: text.replace("naive_timestamps: error", "naive_timestamps: park_zone"))
    )
    drop(books.path, "leases", "a.csv", LEASE_HEADER + lease_row())
    body = "".join(
        f"L1,{start},{end},1\n"
        for start, end in (
            ("2027-01-01T00:00:00", "2027-01-01T01:00:00"),
            # 3 October 2027, 02:30 does not exist in Sydney; 4 April, 02:30 exists twice.
            ("2027-10-03T02:30:00", "2027-10-03T04:00:00"),
            ("2027-04-04T02:30:00", "2027-04-04T04:00:00"),
        )
    )
    drop(books.path, "lease_usage", "u.csv", USAGE + body)
    books.land()
    assert books.rows("SELECT interval_start_at = '2026-12-31T13:00:00Z' FROM raw.lease_usage") == [(True,)]
    assert books.rows("SELECT line_no, rule, column_name FROM raw.quarantined_row ORDER BY 1") == [
        (3, "local_time_skipped_or_twice", "interval_start_at"),
        (4, "local_time_skipped_or_twice", "interval_start_at"),
    ]


def test_allowing_naive_instants_lands_the_file_again_with_its_old_landing_time(books: Books) -> None:
    drop(books.path, "leases", "a.csv", LEASE_HEADER + lease_row().replace("+11:00", ""))
    books.land()
    assert counts(books)["a.csv"] == (1, 0, 0, 0, 1)
    before = books.rows("SELECT received_at FROM raw.landed_file")
    park = books.path / "parks" / f"{PARK_ID}.yaml"
    park.write_text(park.read_text().replace("naive_timestamps: error", "naive_timestamps: park_zone"))
    (books.path / "home.yaml").write_text("title: T\nas_of: 2028-03-31\n")
    books.land()
    assert counts(books)["a.csv"] == (1, 1, 0, 0, 0)
    assert books.rows("SELECT received_at FROM raw.landed_file") == before
    assert books.one("SELECT count(*) FROM raw.quarantined_row") == 0


def test_usage_of_an_unknown_lease_waits_and_lands_when_the_lease_does(books: Books) -> None:
    drop(books.path, "lease_usage", "u.csv", USAGE + "L1,2027-01-01T00:00:00Z,2027-01-01T01:00:00Z,3\n")
    books.land()
    assert counts(books) == {"u.csv": (1, 0, 0, 0, 1)}
    assert books.rows("SELECT rule, row_text FROM raw.quarantined_row") == [
        ("unknown_lease", "L1,2027-01-01T00:00:00Z,2027-01-01T01:00:00Z,3")
    ]
    drop(books.path, "leases", "a.csv", LEASE_HEADER + lease_row())
    books.land()
    assert counts(books) == {"u.csv": (1, 1, 0, 0, 0), "a.csv": (1, 1, 0, 0, 0)}
    assert books.one("SELECT count(*) FROM raw.quarantined_row") == 0
    assert books.one("SELECT count(*) FROM raw.lease_usage_waiting") == 0


def test_a_payment_waits_for_its_contract_and_survives_a_fault_in_its_terms(books: Books) -> None:
    drop(
        books.path,
        "payments",
        "p.csv",
        PAYMENT + f"P1,{CONTRACT_ID},received,2027-03-01T00:00:00Z,10.50,USD,2027-03-02T00:00:00Z\n",
    )
    contract = books.path / "contracts" / f"{CONTRACT_ID}.yaml"
    text = contract.read_text()
    contract.write_text(text.replace('"0.85"', '"85"'))
    books.land()
    assert counts(books) == {"p.csv": (1, 1, 0, 0, 0)}
    other = "P2,second,received,2027-03-01T00:00:00Z,10.50,USD,2027-03-02T00:00:00Z\n"
    drop(books.path, "payments", "q.csv", PAYMENT + other)
    books.land()
    assert counts(books)["q.csv"] == (1, 0, 0, 0, 1)
    (books.path / "contracts" / "second.yaml").write_text(text.replace("my-contract-1", "second"))
    books.land()
    assert counts(books)["q.csv"] == (1, 1, 0, 0, 0)


def test_money_with_more_places_than_the_books_is_refused_and_never_rounded(books: Books) -> None:
    body = "".join(
        f"P{n},{CONTRACT_ID},received,2027-03-01T00:00:00Z,{amount},USD,\n"
        for n, amount in enumerate(("10.005", "10.50", "10.5000", "-3"))
    )
    drop(books.path, "payments", "p.csv", PAYMENT + body)
    books.land()
    assert books.rows("SELECT line_no, rule FROM raw.quarantined_row") == [(2, "too_many_decimals")]
    assert books.rows("SELECT amount::VARCHAR FROM raw.payments ORDER BY payment_id") == [
        ("10.50",),
        ("10.50",),
        ("-3.00",),
    ]


def test_a_payment_needs_its_contract_and_a_tenants_receipt_its_lease(books: Books) -> None:
    drop(
        books.path,
        "payments",
        "p.csv",
        PAYMENT + "P1,,received,2027-03-01T00:00:00Z,1,USD,\nP2,,tenant_received,2027-03-01T00:00:00Z,1,USD,\n",
    )
    books.land()
    assert books.rows("SELECT line_no, rule, column_name FROM raw.quarantined_row ORDER BY 1") == [
        (2, "missing_value", "contract_id"),
        (3, "missing_value", "lease_id"),
    ]


def test_an_event_that_could_change_nothing_is_quarantined(books: Books) -> None:
    drop(
        books.path,
        "credit_events",
        "e.csv",
        "event_id,kind,tranche_id,effective_at,ends_at,gpu_count,payload\n"
        "E1,maintenance,my-park-1-a,2027-02-01T00:00:00Z,2027-02-02T00:00:00Z,100,\n"
        "E2,maintenance,my-park-1-a,2027-02-01T00:00:00Z,,100,\n"
        'E3,insolvency,,2027-02-01T00:00:00Z,,,"{""court"": ""Sydney""}"\n'
        "E4,insolvency,,2027-02-01T00:00:00Z,,,{\n"
        "E5,eclipse,,2027-02-01T00:00:00Z,,,\n",
    )
    books.land()
    assert books.rows("SELECT line_no, rule, column_name FROM raw.quarantined_row ORDER BY 1") == [
        (3, "event_incomplete", "ends_at"),
        (5, "not_json", "payload"),
        (6, "not_allowed", "kind"),
    ]


def test_a_quoted_cell_over_two_lines_keeps_the_line_numbers_right(books: Books) -> None:
    header = PAYMENT.replace("currency_code", "currency_code,remittance_reference")
    row = f"P{{}},{CONTRACT_ID},received,2027-03-01T00:00:00Z,1,{{}},{{}},\n"
    drop(books.path, "payments", "p.csv", header + row.format(1, "USD", '"two\nlines"') + row.format(2, "ZZZ", "x"))
    books.land()
    assert books.rows("SELECT line_no, rule FROM raw.quarantined_row") == [(4, "unknown_currency")]
    assert books.one("SELECT remittance_reference FROM raw.payments") == "two\nlines"
