"""Questions of a user's own on the books: a shipped stress asked again gives the published rows, and an earlier day its own."""

import json
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from conftest import AS_OF, CONTRACT, REPOSITORY, copy_home, parkledger

pytestmark = pytest.mark.published

SLUMP = REPOSITORY / "data" / "scenarios" / "stress-slump.yaml"
THEN = "2027-03-05"


def asked(home: Path, *arguments: str) -> list[dict[str, Any]]:
    done = parkledger(home, *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def published(home: Path, query: str) -> list[dict[str, Any]]:
    with duckdb.connect(str(home / "published" / "parkledger.duckdb"), read_only=True) as connection:
        return [
            {k: None if v is None else str(v) for k, v in row.items()} for row in connection.sql(query).pl().to_dicts()
        ]


def as_published(rows: list[dict[str, Any]], home: Path, table: str, also: str = "") -> None:
    """The rows asked for are those of the published table, in the columns that the command shows."""
    assert rows
    columns = ", ".join(rows[0])
    found = published(home, f"SELECT {columns} FROM {table} {also}")
    shown = [{k: None if v is None else str(v) for k, v in row.items()} for row in rows]

    def order(row: dict[str, Any]) -> list[str]:
        return [str(value) for value in row.values()]

    assert sorted(shown, key=order) == sorted(found, key=order)


def test_a_shipped_stress_asked_again_gives_the_published_rows_and_a_file_of_them(
    finished: Path, tmp_path: Path
) -> None:
    home = copy_home(finished, tmp_path / "home")
    rows = asked(home, "stress", str(SLUMP))
    as_published(rows, home, "credit.fct_stress_result", "WHERE scenario_id IN ('stress-slump', 'baseline')")
    written = pl.read_csv(home / "reports" / AS_OF / "stress-stress-slump.csv")
    assert written.height == len(rows)


@pytest.mark.slow
def test_deals_compared_again_give_the_published_rows(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished, tmp_path / "home")
    as_published(asked(home, "compare"), home, "credit.fct_deal_comparison")


@pytest.mark.slow
def test_a_stress_and_a_comparison_of_an_earlier_day_are_those_of_a_run_whose_clock_stood_then(
    finished: Path, tmp_path: Path
) -> None:
    home, other = copy_home(finished, tmp_path / "home"), copy_home(finished, tmp_path / "other", with_results=False)
    assert parkledger(other, "run", "--as-of", THEN).returncode == 0
    rows = asked(home, "stress", str(SLUMP), "--as-of", THEN)
    as_published(rows, other, "credit.fct_stress_result", "WHERE scenario_id IN ('stress-slump', 'baseline')")
    assert (home / "reports" / THEN / "stress-stress-slump.csv").is_file()
    as_published(asked(home, "compare", "--as-of", THEN), other, "credit.fct_deal_comparison")
    manifest = json.loads((home / "published" / "manifest.json").read_text())
    assert manifest["as_of"] == AS_OF  # what is published stays
    later = parkledger(home, "stress", str(SLUMP), "--as-of", "2029-01-01")
    assert (later.returncode, "nothing is known yet" in later.stderr) == (2, True)


AMENDMENT = """  - amendment_id: dearer
    valid_from: 2027-03-01
    recorded_at: 2027-04-15T00:00:00Z
    revenue_share:
      share_basis: pct_of_base
      base_measure: net_billed
      tiers: [{tier_no: 1, axis: contract_month, from: 1, to: null, rate: "0.31", application: marginal}]
      exclusions: [sales_tax, power_passthrough, sla_penalties, credits_refunds, bad_debt]
      statement_due_days: 15
      payment_terms_days: 30
"""


@pytest.mark.slow
def test_what_an_amendment_changes_in_money_is_six_parts_in_a_hundred_of_march_and_nothing_else(
    finished: Path, tmp_path: Path
) -> None:
    """31 % for 25 % from 1 March on, known on 15 April: of the months that have ended only March moves, by the difference of the two
    shares of its base, each rounded once. The home itself stays as it is.
    """
    home = copy_home(finished, tmp_path / "home")
    contract = home / "contracts" / f"{CONTRACT}.yaml"
    head, covenants = contract.read_text().split("    covenants:\n")
    contract.write_text(f"{head}    covenants:\n{covenants.rstrip()}\n{AMENDMENT}")
    [march] = published(
        home,
        "SELECT base_amount, share_amount FROM revenue_share.fct_share_month"
        f" WHERE contract_id = '{CONTRACT}' AND service_month = '2027-03-01'",
    )
    base, cent = Decimal(march["base_amount"]), Decimal("0.01")
    before, after = ((base * Decimal(rate)).quantize(cent, ROUND_HALF_UP) for rate in ("0.25", "0.31"))
    assert before == Decimal(march["share_amount"]) > 0
    [change] = asked(home, "contract", "diff", CONTRACT, "dearer")
    claimed = change["claim_before_amount"]
    assert change == {
        "service_month": "2027-03-01",
        "share_before_amount": str(before),
        "share_after_amount": str(after),
        "claim_before_amount": claimed,
        "claim_after_amount": claimed,
        "besides_before_amount": "0.00",
        "besides_after_amount": "0.00",
    }
    [unchanged] = published(
        home,
        f"SELECT share_amount FROM revenue_share.fct_share_month WHERE contract_id = '{CONTRACT}' AND service_month = '2027-03-01'",
    )
    assert unchanged["share_amount"] == str(before)
