"""Terms as tables."""

from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

import duckdb
from small_home import CONTRACT_ID, make_home

from ingest.terms.flatten import value_text
from ingest.terms.home import load_home
from ingest.terms.policy import Policies
from ingest.terms.scalars import minor_unit_digits
from ingest.terms.tables import COLUMNS, TABLES, write_terms
from orchestration.polars_jobs.policies import DEFAULTS

AMENDMENT = """\
  - amendment_id: lower-floor
    valid_from: 2028-01-01
    recorded_at: 2027-11-15T09:00:00+11:00
    revenue_share:
      share_basis: pct_above_floor
      floor_price_per_gpu_hour: 2.36
      tiers: [{tier_no: 1, axis: date, to: null, rate: 0.5}]
"""


def written(path: Path) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    counts = write_terms(con, load_home(path))
    assert set(counts) == set(TABLES) == set(COLUMNS)
    for table, count in counts.items():
        assert con.execute(f"SELECT count(*) FROM raw.{table}").fetchall() == [(count,)]
    return con


def test_a_later_version_replaces_only_the_instruments_that_it_names(tmp_path: Path) -> None:
    con = written(make_home(tmp_path, contract=lambda text: text + AMENDMENT))
    assert con.execute(
        "SELECT instrument, amendment_id, valid_from FROM raw.contract_version ORDER BY 3, 1"
    ).fetchall() == [
        ("backstop", "original", date(2027, 1, 1)),
        ("covenants", "original", date(2027, 1, 1)),
        ("revenue_share", "original", date(2027, 1, 1)),
        ("revenue_share", "lower-floor", date(2028, 1, 1)),
    ]
    assert con.execute(
        "SELECT DISTINCT amendment_id, valid_to FROM raw.contract_term WHERE instrument = 'revenue_share' ORDER BY 2"
    ).fetchall() == [("original", date(2027, 12, 31)), ("lower-floor", date(2032, 12, 31))]
    assert con.execute("SELECT floor_price_per_gpu_hour FROM raw.share_terms ORDER BY valid_from").fetchall() == [
        (None,),
        (Decimal("2.360000000"),),
    ]


def test_bounds_stand_in_the_columns_of_their_axis(tmp_path: Path) -> None:
    con = written(make_home(tmp_path, contract=lambda text: text + AMENDMENT))
    assert con.execute(
        "SELECT axis, from_month, to_month, from_date, to_date, from_value FROM raw.share_tier "
        "ORDER BY amendment_id DESC, tier_no"
    ).fetchall() == [
        ("contract_month", 1, 24, None, None, None),
        ("contract_month", 25, None, None, None, None),
        ("date", None, None, None, None, None),
    ]


def test_every_term_carries_its_grade_and_defaults_are_assumed(tmp_path: Path) -> None:
    con = written(make_home(tmp_path))
    graded = dict(
        con.execute(
            "SELECT term, evidence_grade || ': ' || source FROM raw.contract_term WHERE instrument = 'revenue_share'"
        ).fetchall()
    )
    assert graded["tiers.1.rate"] == "assumed: an example"
    assert con.execute(
        "SELECT value_text, evidence_grade, source FROM raw.contract_term WHERE instrument = 'covenants' "
        "AND term = 'dscr.threshold'"
    ).fetchall() == [("1.3", None, None)]


def test_policies_are_rows_with_their_defaults(tmp_path: Path) -> None:
    con = written(make_home(tmp_path))
    rows = dict(con.execute("SELECT policy, value_text FROM raw.policy").fetchall())
    assert set(rows) == set(Policies.model_fields)
    assert (rows["close_after_days"], rows["cecl_expedient_2025_05"]) == ("10", "true")
    assert rows["fatal_xid_codes"].startswith("[48, ")


def test_the_credit_jobs_and_the_terms_agree_on_every_default() -> None:
    own = Policies()
    for key, default in DEFAULTS.items():
        text = value_text(getattr(own, key))
        try:
            assert Decimal(text) == Decimal(default.value_text), key
        except InvalidOperation:
            assert text == default.value_text, key


def test_a_tranche_whose_contract_was_left_out_goes_on_without_a_deal(tmp_path: Path) -> None:
    con = written(make_home(tmp_path, contract=lambda text: text.replace('"0.85"', '"85"')))
    assert con.execute("SELECT tranche_id, contract_id FROM raw.tranche").fetchall() == [("my-park-1-a", None)]


def test_writing_twice_gives_the_same_rows(tmp_path: Path) -> None:
    home = load_home(make_home(tmp_path))
    con = duckdb.connect()
    first = write_terms(con, home)
    assert write_terms(con, home) == first


def test_minor_units_are_those_of_iso_4217_and_not_of_everyday_use() -> None:
    # ISO 4217, table A.1: the rial and the rupiah have two, CLDR shows none for the first.
    assert [minor_unit_digits(code) for code in ("USD", "IDR", "IRR", "JPY", "KWD")] == [2, 2, 2, 0, 3]
    assert CONTRACT_ID
