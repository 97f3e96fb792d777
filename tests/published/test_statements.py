"""Statements as an accountant and a stranger with bad intentions see them: they foot, they repeat, they run nothing."""

import io
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import openpyxl
import polars as pl
import pypdf
import pytest
from conftest import CONTRACT, copy_home, parkledger
from test_closed_months import ask

from orchestration.publishing.statement import FORMATS, WRITERS, Asked, NothingToStateError, Term, draw_statement
from orchestration.settings import Settings
from orchestration.statements import TABLES, read_statement

pytestmark = pytest.mark.published
FEBRUARY = date(2027, 2, 1)


@pytest.mark.parametrize("kind", ["revenue_share", "backstop"])
def test_steps_foot_from_what_was_billed_to_what_the_books_hold(finished: Path, kind: str) -> None:
    drawn = read_statement(Settings(home=finished), kind, CONTRACT, FEBRUARY, "close")
    last = drawn.steps[-1].section
    parts = [Decimal(step.exact_amount) for step in drawn.steps if step.section == last]
    assert sum(parts[:-1]) == parts[-1] == Decimal(drawn.amount_due.replace(",", ""))
    account = {"revenue_share": "share_revenue", "backstop": "backstop_cost"}[kind]
    posted = ask(
        finished,
        "SELECT abs(sum(amount)) FROM ledger.fct_journal_lines JOIN ledger.fct_period_close USING (contract_id, posting_month) "
        "WHERE contract_id = ? AND service_month = ? AND posting_month = service_month AND account = ?",
        CONTRACT, FEBRUARY, account,
    )[0][0]  # fmt: skip
    assert posted == parts[-1]
    if kind == "revenue_share":
        base = [Decimal(s.exact_amount) for s in drawn.steps if s.section == drawn.steps[0].section]
        assert sum(base[:-1]) == base[-1] > 0
    rested = ask(
        finished,
        "SELECT count(*), count(f.file_id) FROM ledger.fct_statement_input AS i JOIN core.dim_contract AS c USING (contract_id) "
        "LEFT JOIN quality.fct_landed_file AS f ON (i.file_id, i.feed, c.park_id) = (f.file_id, f.feed, f.park_id) "
        "WHERE contract_id = ? AND service_month = ?",
        CONTRACT, FEBRUARY,
    )  # fmt: skip
    assert rested[0][0] == rested[0][1] > 4
    landed = {row[0] for row in ask(finished, "SELECT file_id FROM quality.fct_landed_file WHERE feed = 'leases'")}
    assert {digest for name, digest in drawn.inputs if name == "File of leases"} <= landed
    files = {name for name, _ in drawn.inputs if name.startswith("File") or "files of" in name}
    assert any("gpu telemetry" in name for name in files)
    assert any("lease adjustments" in name for name in files) == (kind == "revenue_share")
    assert drawn.prepared_by.startswith("Prepared by parkledger from the books of ")
    assert "closed by the closing policy" in drawn.prepared_by
    assert drawn.terms
    assert all(term.grade or not term.source for term in drawn.terms)


def test_a_statement_as_known_then_is_the_same_file_today_in_every_format(finished: Path, tmp_path: Path) -> None:
    """The home goes on by three weeks and learns of another bill of February; what was known at February's close stays."""
    then = copy_home(finished, tmp_path / "then")
    drawn = read_statement(Settings(home=then), "revenue_share", CONTRACT, FEBRUARY, "close")
    before = {form: WRITERS[form](drawn) for form in FORMATS}
    settings = then / "home.yaml"
    settings.write_text(settings.read_text().replace("as_of: 2027-04-20", "as_of: 2027-05-12"))
    lease = ask(then, "SELECT lease_id FROM revenue_share.fct_share_line WHERE contract_id = ? LIMIT 1", CONTRACT)[0][0]
    (then / "landing" / CONTRACT.removesuffix("-c") / "lease_adjustments" / "late.csv").write_text(
        "adjustment_id,lease_id,service_date,kind,amount,currency_code,recorded_at\n"
        f"LATE,{lease},2027-02-14,other_revenue,4000.00,USD,2027-05-03T00:00:00Z\n"
    )
    done = parkledger(then, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    drawn = read_statement(Settings(home=then), "revenue_share", CONTRACT, FEBRUARY, "close")
    assert {form: WRITERS[form](drawn) for form in FORMATS} == before
    now = read_statement(Settings(home=then), "revenue_share", CONTRACT, FEBRUARY, "now")
    assert Decimal(now.amount_due.replace(",", "")) - Decimal(drawn.amount_due.replace(",", "")) == Decimal("1000.00")
    april = read_statement(Settings(home=then), "revenue_share", CONTRACT, date(2027, 4, 1), "now")
    assert [(a.service_month, a.amount, a.reason) for a in april.adjustments] == [
        ("February 2027", "+1,000.00", "Other revenue +4,000.00")
    ]


def test_a_share_of_two_blocks_states_the_terms_of_both_and_adds_up_what_is_due(
    published: duckdb.DuckDBPyConnection,
) -> None:
    frames = {name: published.sql(f"FROM {name}").pl() for name in TABLES}
    asked = Asked("revenue_share", CONTRACT, FEBRUARY, datetime(2027, 4, 20, tzinfo=UTC))
    about = {"title": "Test", "prepared_by": "Test", "simulation_note": None}
    alone = draw_statement(frames, about, asked)
    is_share = pl.col("instrument") == "revenue_share"
    steps, terms = frames["ledger.fct_statement_step"], frames["core.fct_contract_terms"]
    blocks = ("above", "plain")
    frames["ledger.fct_statement_step"] = pl.concat(steps.with_columns(part_id=pl.lit(block)) for block in blocks)
    frames["core.fct_contract_terms"] = pl.concat(
        terms.filter(is_share).with_columns(term=pl.lit(f"{block}.") + pl.col("term")) for block in blocks
    )
    both = draw_statement(frames, about, asked)
    assert len(both.terms) == 2 * len(alone.terms) > 0
    assert both.steps[-1].label == "Amount due, all blocks"
    assert Decimal(both.steps[-1].exact_amount) == 2 * Decimal(alone.steps[-1].exact_amount) > 0
    assert both.amount_due == both.steps[-1].amount


def test_interest_is_stated_as_billed_paid_and_outstanding_by_what_was_known(
    published: duckdb.DuckDBPyConnection,
) -> None:
    frames = {name: published.sql(f"FROM {name}").pl() for name in TABLES}
    about = {"title": "Test", "prepared_by": "Test", "simulation_note": None}
    then = Asked("revenue_share", CONTRACT, FEBRUARY, datetime(2027, 4, 15, tzinfo=UTC))
    without = draw_statement(frames, about, then)
    assert without.interest == []
    item = frames["credit.fct_receivable_item"].filter(contract_id=CONTRACT).head(1)
    amounts = {
        "original_amount": "80.00",
        "applied_amount": "30.00",
        "written_off_amount": "10.00",
        "open_amount": "40.00",
    }
    zero = dict.fromkeys((name for name in item.columns if name.endswith("_amount")), "0.00")
    march = dict.fromkeys(("service_month", "posting_month", "as_of_month"), date(2027, 3, 1))
    note = item.with_columns(
        kind=pl.lit("interest_note"),
        item_id=pl.lit(f"{CONTRACT}:2027-03:invoice_interest:2027-03"),
        **{name: pl.lit(month) for name, month in march.items()},
        **{name: pl.lit(Decimal(value)).cast(pl.Decimal(18, 2)) for name, value in (zero | amounts).items()},
    )
    frames["credit.fct_receivable_item"] = pl.concat([frames["credit.fct_receivable_item"], note])
    span = {
        "contract_id": CONTRACT,
        "as_of_month": date(2027, 3, 1),
        "event": "late_interest",
        "service_month": FEBRUARY,
        "first_date": date(2027, 2, 9),
        "last_date": date(2027, 2, 28),
        "day_count": 20,
        "overdue_amount": Decimal("20000.00"),
        "rate": Decimal("0.073"),
        "interest_amount": Decimal("80"),
        "currency_code": "USD",
    }
    schema = frames["credit.fct_interest_span"].schema
    frames["credit.fct_interest_span"] = pl.concat(
        [frames["credit.fct_interest_span"], pl.DataFrame([span], schema=schema)]
    )
    line = frames["ledger.fct_journal_lines"].filter(contract_id=CONTRACT, posting_month=date(2027, 3, 1)).head(1)
    billed = line.with_columns(
        pl.lit("invoice_interest").alias("event"),
        pl.lit("trade_receivable").alias("account"),
        pl.lit(Decimal("80.00")).cast(pl.Decimal(18, 2)).alias("amount"),
    )
    frames["ledger.fct_journal_lines"] = pl.concat([frames["ledger.fct_journal_lines"], billed])
    drawn = draw_statement(frames, about, then)
    [shown] = drawn.interest
    assert shown.days_of == "March 2027"
    assert (shown.amount, shown.paid, shown.otherwise_settled, shown.outstanding) == (
        "80.00",
        "30.00",
        "10.00",
        "40.00",
    )
    assert drawn.figures[-2:] == [("Interest billed, life to date", "80.00"), ("Of it outstanding", "40.00")]
    assert drawn.amount_due == without.amount_due
    assert ("20", "20,000.00", "7.3 %", "80.000000") in [
        (d.days, d.overdue, d.rate, d.interest) for d in drawn.interest_days
    ]
    assert "Interest billed" in WRITERS["html"](drawn).decode()
    pages = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(WRITERS["pdf"](drawn))).pages)
    assert "settled otherwise" in pages
    sheet = openpyxl.load_workbook(io.BytesIO(WRITERS["xlsx"](drawn)))["Interest"]
    assert [cell.value for cell in sheet[2]][-4:] == [80, 30, 10, 40]
    # In March nobody knew of it.
    early = draw_statement(frames, about, replace(then, known_at=datetime(2027, 4, 5, tzinfo=UTC)))
    assert (early.interest, early.interest_days) == ([], [])


def test_a_claim_statement_says_what_interest_the_vendor_owes_for_paying_late(
    published: duckdb.DuckDBPyConnection,
) -> None:
    frames = {name: published.sql(f"FROM {name}").pl() for name in TABLES}
    line = frames["ledger.fct_journal_lines"].filter(contract_id=CONTRACT, posting_month=date(2027, 3, 1)).head(1)
    posted = [
        ("late_interest_on_claims", "late_interest_cost", "12.00"),
        ("pay_claim_interest", "interest_payable", "5.00"),
    ]
    frames["ledger.fct_journal_lines"] = pl.concat(
        [
            frames["ledger.fct_journal_lines"],
            *(
                line.with_columns(
                    event=pl.lit(event), account=pl.lit(account), amount=pl.lit(Decimal(amount)).cast(pl.Decimal(18, 2))
                )
                for event, account, amount in posted
            ),
        ]
    )
    asked = Asked("backstop", CONTRACT, FEBRUARY, datetime(2027, 4, 15, tzinfo=UTC))
    drawn = draw_statement(frames, {"title": "Test", "prepared_by": "Test", "simulation_note": None}, asked)
    assert drawn.figures[-2:] == [("Interest on late claims, life to date", "12.00"), ("Of it outstanding", "7.00")]
    assert drawn.interest == []


def test_text_from_outside_is_neither_markup_nor_formula(finished: Path) -> None:
    drawn = read_statement(Settings(home=finished), "revenue_share", CONTRACT, FEBRUARY, "close")
    hostile = '=HYPERLINK("http://x")<script>alert(1)</script>#eval("1")日'
    drawn = replace(drawn, operator=hostile, terms=[Term("=1+1", hostile, "+2", "@3", "-4", hostile)])
    page = WRITERS["html"](drawn).decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    text = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(WRITERS["pdf"](drawn))).pages)
    # a sign that the fonts lack is spelt out, in a machine with that font it is shown
    assert re.search(r'eval\("1"\)(日|\[U\+65E5\])', text.replace("\u200b", "").replace("\n", ""))
    book = openpyxl.load_workbook(io.BytesIO(WRITERS["xlsx"](drawn)))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert any(cell.value == hostile for cell in cells)
    assert {cell.data_type for cell in cells} == {"s", "n"}


def test_what_there_is_not_is_said_with_what_there_is(finished: Path) -> None:
    settings = Settings(home=finished)
    with pytest.raises(NothingToStateError, match="is no contract of these books; there are: north-1-c"):
        read_statement(settings, "revenue_share", "other", FEBRUARY, "close")
    with pytest.raises(NothingToStateError, match="there are 2027-01 to 2027-0"):
        read_statement(settings, "revenue_share", CONTRACT, date(2031, 2, 1), "close")
    with pytest.raises(ValueError, match="write close, now, 2027-04-30"):
        read_statement(settings, "revenue_share", CONTRACT, FEBRUARY, "yesterday")
    done = parkledger(finished, "statement", "nobody", "2027-01")  # said once, though both kinds lack it
    assert " ".join(done.stderr.split()).count("nobody is no contract of these books") == 1
    done = parkledger(finished, "statement", CONTRACT, "2031-02")
    assert done.returncode == 3
