"""Closed months against everything that could change them, and the books of many runs against those of one."""

import csv
import hashlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import CONTRACT, REPOSITORY, copy_home, parkledger
from simulated_home import NORTH
from small_home import CONTRACT_ID, LEASE_HEADER, drop, lease_row, make_home

pytestmark = pytest.mark.published

LINES = (
    "SELECT entry_id, line_no, account, event, amount, currency_code, service_month, posting_month, posted_at, corrects_entry_id, "
    "terms_version FROM ledger.fct_journal_lines WHERE contract_id = ? AND posting_month {} ORDER BY ALL"
)
EVENTS = (
    "event_id,contract_id,tranche_id,kind,effective_at,ends_at,gpu_count,amount,currency_code,payload,recorded_at\n"
)
DOCUMENTS = (
    "SELECT item_id, invoice_date, due_date, original_amount FROM ledger.fct_receivable_document WHERE contract_id = ? "
    "AND posting_month <= '2027-03-01' ORDER BY ALL"
)
PAYMENTS = "payment_id,contract_id,direction,received_at,amount,currency_code,remittance_reference,funded_by_claim,recorded_at\n"
ADJUSTMENTS = "adjustment_id,lease_id,service_date,kind,amount,currency_code,recorded_at\n"


def ask(home: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "published" / "parkledger.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(query, list(values)).fetchall()


def run(home: Path, *arguments: str) -> None:
    done = parkledger(home, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def event(
    event_id: str, contract_id: str, kind: str, day: str, recorded_at: str, *, amount: str = "", payload: Any = None
) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(
        [
            event_id,
            contract_id,
            "",
            kind,
            f"{day}T00:00:00Z",
            "",
            "",
            amount,
            "USD",
            json.dumps(payload) if payload else "",
            recorded_at,
        ]
    )
    return text.getvalue()


def by_hand(*lines: tuple[str, str], month: str, reason: str) -> dict[str, Any]:
    return {
        "service_month": month,
        "reason": reason,
        "lines": [{"account": a, "amount": amount} for a, amount in lines],
    }


def amended(text: str) -> str:
    """The same share at 31 % and with other payment terms, agreed after March had closed, from the first day on."""
    share = text.split("    revenue_share:\n")[1].split("    backstop:\n", maxsplit=1)[0]
    share = share.replace('rate: "0.25"', 'rate: "0.31"').replace("payment_terms_days: 30", "payment_terms_days: 90")
    head = "  - amendment_id: second\n    valid_from: 2027-01-01\n    recorded_at: 2027-04-25T00:00:00Z\n    revenue_share:\n"
    return text + head + share


def try_to_edit_the_terms_then_amend_them(home: Path) -> None:
    contract = home / "contracts" / f"{CONTRACT}.yaml"
    as_it_was = contract.read_text()
    contract.write_text(as_it_was.replace('rate: "0.25"', 'rate: "0.31"'))
    refused = parkledger(home, "run")
    assert refused.returncode == 3
    said = "was 0.25 when 2027-03 was sealed, and is 0.31 (put it back as it was and add an amendment"
    assert said in " ".join(refused.stderr.split())
    assert f"contracts/{CONTRACT}.yaml:" in refused.stderr
    contract.write_text(as_it_was.replace("share_basis: pct_of_base", "share_basis: pct_of_bass"))
    left_out = parkledger(home, "run")
    assert left_out.returncode == 3
    said = " ".join(left_out.stderr.split())
    assert f"contracts/: {CONTRACT}: its books are sealed up to 2027-03, and no file gives its terms" in said
    assert "pct_of_bass" in said
    contract.write_text(amended(as_it_was))


def replace_a_file_and_the_preparer(home: Path, stated: str) -> None:
    (home / "policies" / "close.yaml").write_text("close_after_days: 12\nprepared_by: Another desk\n")
    [replaced] = (home / "landing" / NORTH / "lease_adjustments").glob("*2027-03.csv")
    assert hashlib.sha256(replaced.read_bytes()).hexdigest() in stated
    header, *rows = replaced.read_text().splitlines(keepends=True)
    assert len(rows) > 1
    replaced.write_text(header + "".join(reversed(rows)))


def state(home: Path, month: str, target: Path) -> bytes:
    run(home, "statement", CONTRACT, month, "--kind", "share", "--format", "html", "--out", str(target))
    return target.read_bytes()


def test_a_sealed_month_stands_whatever_comes_later_and_what_it_lacks_lands_in_the_open_month(
    finished: Path, tmp_path: Path
) -> None:
    """Late and back-dated data, a file replaced by another, an amendment, terms edited in place, another close policy, another
    preparer, a restated rating, an entry by hand, and the loss of the warehouse and of everything else in the lake.
    """
    home = copy_home(finished, tmp_path / "home")
    run(home, "close", "2027-03")
    stated = state(home, "2027-03", tmp_path / "stated.html")
    assert b"Prepared by parkledger from the books of " in stated
    documents = ask(home, DOCUMENTS, CONTRACT)
    assert documents
    before = ask(home, LINES.format("<= '2027-03-01'"), CONTRACT)
    closes = ask(home, "FROM ledger.fct_period_close WHERE posting_month <= '2027-03-01' ORDER BY ALL")
    assert {row[7] for row in before} == {row[1] for row in closes if row[0] == CONTRACT}
    assert len(before) > 10
    landing = home / "landing" / NORTH
    (landing / "payments" / "late.csv").write_text(
        PAYMENTS + f"LATE,{CONTRACT},received,2027-03-02T00:00:00Z,1000.00,USD,,false,2027-03-03T00:00:00Z\n"
    )
    (landing / "credit_events" / "late.csv").write_text(
        EVENTS
        + event("HAND", CONTRACT, "manual_journal", "2027-02-10", "2027-02-11T00:00:00Z",
                payload=by_hand(("cash", "12.00"), ("resale_income", "-12.00"), month="2027-02", reason="resale"))
        + event("SALE", CONTRACT, "resale", "2027-02-12", "2027-02-13T00:00:00Z", amount="7.50")
        + event("WRONG", CONTRACT, "manual_journal", "2027-02-10", "2027-02-11T00:00:00Z",
                payload=by_hand(("trade_receivable", "12.00"), ("cash", "-12.00"), month="2027-02", reason="round the sub-ledger"))
    )  # fmt: skip
    try_to_edit_the_terms_then_amend_them(home)
    park = home / "parks" / f"{NORTH}.yaml"
    park.write_text(park.read_text().replace("rating: B,", "rating: CCC,"))
    replace_a_file_and_the_preparer(home, stated.decode())
    settings = home / "home.yaml"  # April has ended, and is open
    settings.write_text(settings.read_text().replace("as_of: 2027-04-20", "as_of: 2027-05-02"))
    (home / "warehouse.duckdb").unlink()
    for folder in (home / "lake").iterdir():
        if folder.name != "journal":
            shutil.rmtree(folder)
    run(home, "run")
    assert ask(home, LINES.format("<= '2027-03-01'"), CONTRACT) == before
    assert ask(home, "FROM ledger.fct_period_close WHERE posting_month <= '2027-03-01' ORDER BY ALL") == closes
    assert state(home, "2027-03", tmp_path / "stated.html") == stated
    assert b"Prepared by Another desk from the books of " in state(home, "2027-04", tmp_path / "april.html")
    assert ask(home, DOCUMENTS, CONTRACT) == documents
    later = {
        (row[0], row[1]): row[2]
        for row in ask(
            home,
            "SELECT event, service_month::VARCHAR, sum(amount) FILTER (WHERE line_no % 2 = 1) FROM ledger.fct_journal_lines "
            "WHERE contract_id = ? AND posting_month > '2027-03-01' GROUP BY ALL",
            CONTRACT,
        )
    }
    assert later["resale", "2027-02-01"] == 7.5
    assert later["receive_cash", "2027-03-01"] == 1000
    assert later["manual_journal", "2027-02-01"] == 12
    # 31 % for 25 %: six parts in twenty-five more, in the open month, for each of the three months that were sealed.
    accrued = {
        row[6]: row[4]
        for row in before
        if row[2] == "unbilled_share_receivable" and row[3] == "accrue_share" and row[9] is None
    }
    assert len(accrued) == 3
    assert all(later["accrue_share", str(month)] > 0 for month in accrued)
    share = dict(
        ask(
            home,
            "SELECT service_month, invoiced_amount FROM revenue_share.fct_share_month WHERE contract_id = ?",
            CONTRACT,
        )
    )
    posted = dict(
        ask(home, "SELECT service_month, sum(amount) FROM ledger.fct_journal_lines WHERE contract_id = ? AND account = 'share_revenue' "
                  "GROUP BY ALL", CONTRACT)
    )  # fmt: skip
    assert {month: -amount for month, amount in posted.items()} == {month: share[month] for month in posted}
    assert ask(home, "SELECT event_id, state, refusal FROM ledger.fct_manual_journal ORDER BY 1") == [
        ("HAND", "posted", None),
        ("WRONG", "refused", "a control account takes entries of its sub-ledger alone"),
    ]
    run(home, "verify")
    run(home, "close", "2027-03")  # stated again: as stated before
    # Only a named act with a reason opens a month, and what stands in it stays beside what it gets.
    assert parkledger(home, "close", "2027-03", "--reopen").returncode == 2
    run(home, "close", "2027-03", "--reopen", "--reason", "the auditor asks for it", "--contract", CONTRACT)
    assert [line.split(",")[-1] for line in (home / "closes" / "reopenings.csv").read_text().splitlines()] == [
        "reason",
        "the auditor asks for it",
    ]
    # A changed byte of the kept journal is found, and nothing is built on it.
    kept = sorted((home / "lake" / "journal").glob("*/lines.parquet"))[0]
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes()[:-1] + b"!")
    assert parkledger(home, "verify").returncode == 4
    assert "is not as it was written" in parkledger(home, "run").stderr


AMENDMENT = """  - amendment_id: second
    valid_from: 2027-03-16
    recorded_at: 2027-05-03T09:00:00Z
    revenue_share:
      share_basis: pct_of_base
      base_measure: net_billed
      customer_scope: third_party_only
      exclusions: [sales_tax, power_passthrough]
      tiers: [{tier_no: 1, axis: contract_month, from: 1, to: null, rate: "0.22", application: marginal}]
      negative_base: credit_note
      statement_due_days: 15
      payment_terms_days: 60
      late_rate: "0.08"
"""


def write_year(path: Path) -> Path:
    """A year of one contract: leases, usage, bills, cash and events, half of them late or corrected, and an amendment recorded after
    the months that it changes had closed.
    """

    def amended(text: str) -> str:
        head, evidence = text.split("    evidence:\n", 1)
        return f"{head}    evidence:\n{evidence.rstrip()}\n{AMENDMENT}"

    home = make_home(path, contract=amended)
    for folder in ("reference", "scenarios", "policies", "vendors"):
        shutil.copytree(REPOSITORY / "data" / folder, home / folder, dirs_exist_ok=True)
    drop(home, "leases", "1.csv", LEASE_HEADER + lease_row() + lease_row("L2", price="3.1"))
    drop(home, "leases", "2.csv", LEASE_HEADER + lease_row("L1", price="2.25", recorded_at="2027-04-20T00:00:00Z")
         + lease_row("L3", price="1.9", recorded_at="2027-06-30T00:00:00Z"))  # fmt: skip
    drop(home, "lease_adjustments", "1.csv", ADJUSTMENTS + "".join(
        f"A{n},L{1 + n % 2},2027-0{1 + n % 6}-{1 + 3 * n:02d},{kind},{sign}{1000 + 77.7 * n:.2f},USD,2027-{month:02d}-14T00:00Z\n"
        for n, (kind, sign, month) in enumerate((("sla_penalty", "-", 2), ("credit", "-", 4), ("sales_tax", "", 3), ("refund", "-", 8),
                                                 ("credit", "-", 10), ("sla_penalty", "-", 12)))
    ) + "A1,L2,2027-02-04,credit,-2500.00,USD,2027-07-01T00:00:00Z\n")  # fmt: skip
    drop(home, "payments", "1.csv", PAYMENTS + "".join(
        f"P{n},{CONTRACT_ID},received,2027-{n:02d}-20T05:00:00Z,{3e5 + 1111.11 * n:.2f},USD,,false,2027-{min(n + late, 12):02d}-25T00:00Z\n"
        for n, late in ((4, 0), (5, 0), (6, 2), (7, 0), (9, 1), (10, 0), (11, 0))
    ) + f"P5,{CONTRACT_ID},received,2027-05-20T05:00:00Z,250000.00,USD,,false,2027-08-02T00:00:00Z\n")  # fmt: skip
    drop(home, "credit_events", "1.csv", EVENTS
         + event("W1", CONTRACT_ID, "write_off", "2027-07-05", "2027-07-06T00:00:00Z", amount="5000.00")
         + event("W1", CONTRACT_ID, "write_off", "2027-07-05", "2027-09-20T00:00:00Z", amount="1500.00")
         + event("R1", CONTRACT_ID, "recovery", "2027-08-05", "2027-10-20T00:00:00Z", amount="321.00")
         + event("S1", CONTRACT_ID, "resale", "2027-03-05", "2027-05-20T00:00:00Z", amount="42.42")
         + event("C1", CONTRACT_ID, "period_close", "2027-07-04", "2027-07-04T01:00:00Z", payload={"posting_month": "2027-06"})
         + event("M1", CONTRACT_ID, "manual_journal", "2027-04-05", "2027-06-12T00:00:00Z",
                 payload=by_hand(("cash", "9.99"), ("resale_income", "-9.99"), month="2027-04", reason="resale by hand"))
         + event("M1", CONTRACT_ID, "manual_journal", "2027-04-05", "2027-09-12T00:00:00Z",
                 payload=by_hand(("cash", "8.99"), ("resale_income", "-8.99"), month="2027-04", reason="as the bank has it")))  # fmt: skip
    return home


DAYS = ("2027-04-11", "2027-07-05", "2027-09-30", "2027-12-31")


def deliver(waiting: dict[Path, list[str]], day: str) -> None:
    """Drop, as files of their own, the rows that were recorded by the end of a day and have not been delivered."""
    for path, (header, *rows) in waiting.items():
        known = [row for row in rows if next(csv.DictReader([header, row]))["recorded_at"][:10] <= day]
        if known:
            path.with_name(f"{path.stem}-{day}.csv").write_text(header + "".join(known))
        waiting[path] = [header, *(row for row in rows if row not in known)]


@pytest.mark.slow
def test_many_runs_with_their_closes_and_one_late_run_give_the_same_books(tmp_path: Path) -> None:
    """One home gets each row in time for the run after it was recorded and seals what has closed; the other gets all of them at the end."""
    often = write_year(tmp_path / "often")
    waiting = {}
    for path in sorted(often.glob("landing/*/*/*.csv")):
        waiting[path] = path.read_text().splitlines(keepends=True)
        path.unlink()
    seen: dict[str, list[tuple[Any, ...]]] = {}
    for day in DAYS:
        deliver(waiting, day)
        run(often, "run", "--as-of", day)
        last = ask(often, "SELECT strftime(max(posting_month), '%Y-%m') FROM ledger.fct_period_close")[0][0]
        run(often, "close", last, "--as-of", day)
        for month, rows in seen.items():
            assert ask(often, LINES.format(f"= '{month}-01'"), CONTRACT_ID) == rows, (day, month)
        seen[last] = ask(often, LINES.format(f"= '{last}-01'"), CONTRACT_ID)
    once = write_year(tmp_path / "once")
    for path in sorted(once.glob("landing/*/*/*.csv")):  # the same rows, the last one first
        header, *rows = path.read_text().splitlines(keepends=True)
        path.write_text(header + "".join(reversed(rows)))
        os.utime(path, (0, 0))
    run(once, "run")
    whole = "SELECT * EXCLUDE (run_id) FROM {} ORDER BY ALL"
    for table in ("ledger.fct_journal_lines", "ledger.fct_period_close", "ledger.fct_trial_balance_month", "credit.fct_receivable_item",
                  "credit.fct_allowance_rollforward_month", "credit.fct_receivable_rollforward_month",
                  "credit.fct_interest_span"):  # fmt: skip
        query = whole.format(table) if table == "ledger.fct_journal_lines" else f"FROM {table} ORDER BY ALL"
        assert ask(often, query) == ask(once, query), table
    events = {row[0] for row in ask(once, "SELECT DISTINCT event FROM ledger.fct_journal_lines")}
    assert events >= {"accrue_share", "invoice_share", "credit_note", "receive_cash", "apply_cash", "write_off", "reinstatement",
                      "recovery", "resale", "manual_journal", "provision", "late_interest", "invoice_interest"}  # fmt: skip
    assert ask(once, "SELECT closed_by FROM ledger.fct_period_close WHERE posting_month = '2027-06-01'") == [("C1",)]
    # Without the warehouse and the rest of the lake, the sealed books come back.
    before = ask(often, whole.format("ledger.fct_journal_lines"))
    (often / "warehouse.duckdb").unlink()
    run(often, "run", "--force")
    assert ask(often, whole.format("ledger.fct_journal_lines")) == before
    run(often, "verify")
