"""Odd months, from files to statements: restated rates, nothing billed, a lease in a third currency, an amendment dated before a
close. Figures are worked out by hand.
"""

import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, parkledger
from small_home import CONTRACT_ID, LEASE_HEADER, TRANCHE_ID, drop, make_home
from test_closed_months import LINES, ask, run

from orchestration.settings import Settings
from orchestration.statements import read_statement

pytestmark = [pytest.mark.published, pytest.mark.slow]

FEBRUARY, MARCH, APRIL = date(2027, 2, 1), date(2027, 3, 1), date(2027, 4, 1)
AMENDMENT = """  - amendment_id: second
    valid_from: 2027-02-01
    recorded_at: 2027-04-25T00:00:00Z
    revenue_share:
      share_basis: pct_of_base
      base_measure: net_billed
      customer_scope: third_party_only
      exclusions: [sales_tax]
      tiers: [{tier_no: 1, axis: contract_month, from: 1, to: null, rate: "0.30", application: marginal}]
      negative_base: credit_note
      statement_due_days: 15
      payment_terms_days: 60
"""


def lease(lease_id: str, first: str, last: str, what: str) -> str:
    """`what`: GPUs, price and currency."""
    gpus, price_and_currency = what.split(",", 1)
    return (
        f"{lease_id},1,T1,{CONTRACT_ID},{TRANCHE_ID},GB300,{gpus},{first},{last},{price_and_currency},training,third_party,"
        "reserved,active,2026-12-20T00:00:00Z\n"
    )


def write_rates(home: Path, last_dollar: str) -> None:
    """Days on which a source quotes dollars and yen against the euro: 1.20 to 160 in January, 1.20 and `last_dollar` in
    February. That of January is what the worth of leases ahead is measured at when January closes.
    """
    rows = ["rate_date,from_currency,to_currency,rate,source"]
    for day, dollar in (("2027-01-29", "1.20"), ("2027-02-09", "1.20"), ("2027-02-10", last_dollar)):
        rows += [f"{day},EUR,USD,{dollar},test", f"{day},EUR,JPY,160,test", f"{day},EUR,AUD,1.60,test"]
    (home / "reference" / "fx.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A home whose first three months are sealed; then February's rate is restated and its share amended, and April closes."""
    path = tmp_path_factory.mktemp("odd")
    home = make_home(
        path / "home",
        park=lambda text: text.replace("currency_code: USD ", "currency_code: AUD "),
        home="title: Odd\nas_of: 2027-04-20\n",
    )
    for folder in ("reference", "scenarios", "policies", "vendors"):
        shutil.copytree(REPOSITORY / "data" / folder, home / folder, dirs_exist_ok=True)
    write_rates(home, "1.28")
    drop(
        home,
        "leases",
        "1.csv",
        LEASE_HEADER
        + lease("DOLLARS", "2027-01-01T00:00:00+11:00", "2027-03-01T00:00:00+11:00", "1000,2.50,USD")
        + lease("YEN", "2027-02-01T00:00:00+11:00", "2027-03-01T00:00:00+11:00", "100,300,JPY")
        + lease("AGAIN", "2027-04-01T00:00:00+11:00", "2027-05-01T00:00:00+10:00", "1000,2.50,USD"),
    )
    run(home, "run")
    run(home, "close", "2027-03")
    sealed = ask(home, LINES.format("<= '2027-03-01'"), CONTRACT_ID)
    stated = read_statement(Settings(home=home), "revenue_share", CONTRACT_ID, FEBRUARY, "close")
    write_rates(home, "1.36")
    contract = home / "contracts" / f"{CONTRACT_ID}.yaml"
    head, evidence = contract.read_text().split("    evidence:\n", 1)
    contract.write_text(f"{head}    evidence:\n{evidence.rstrip()}\n{AMENDMENT}")
    run(home, "run", "--as-of", "2027-05-20")
    return {"home": home, "sealed": sealed, "stated": stated}


def shares(home: Path) -> dict[date, tuple[Decimal, Decimal]]:
    rows = ask(home, "SELECT service_month, base_amount, share_amount FROM revenue_share.fct_share_month ORDER BY 1")
    return {month: (base, share) for month, base, share in rows}


def test_a_lease_in_a_third_currency_is_translated_by_way_of_the_one_that_its_source_quotes_both_in(
    books: dict[str, Any],
) -> None:
    """100 GPUs × 672 h × 300 yen = 20,160,000 yen, at the mean of 1.20 ÷ 160 and 1.28 ÷ 160 = 0.00775: 156,240 dollars beside 1,680,000."""
    assert books["stated"].amount_due == "459,060.00"  # 25 % of 1,836,240
    gross = next(step for step in books["stated"].steps if step.label.startswith("Gross"))
    assert Decimal(gross.exact_amount) == Decimal("1836240")


def test_a_restated_rate_and_an_amendment_dated_before_the_closes_move_no_closed_month_and_are_posted_in_the_open_one(
    books: dict[str, Any],
) -> None:
    """At 1.36 the mean is 0.008: 161,280 dollars. 30 % of 1,841,280 is 552,384, which is 93,324 more than February's close has posted."""
    home = books["home"]
    assert ask(home, LINES.format("<= '2027-03-01'"), CONTRACT_ID) == books["sealed"]
    assert shares(home)[FEBRUARY] == (Decimal("1841280"), Decimal("552384.00"))
    [(amount, corrects, version)] = ask(
        home,
        "SELECT amount, corrects_entry_id, terms_version FROM ledger.fct_journal_lines WHERE contract_id = ?"
        " AND service_month = '2027-02-01' AND posting_month = '2027-04-01' AND event = 'accrue_share'"
        " AND account = 'unbilled_share_receivable'",
        CONTRACT_ID,
    )
    assert (amount, version) == (Decimal("93324.00"), "second")
    assert corrects == f"{CONTRACT_ID}:2027-02:accrue_share:2027-02"
    # January was before the amendment, and had no yen.
    assert shares(home)[date(2027, 1, 1)] == (Decimal("1860000"), Decimal("465000.00"))
    settings = Settings(home=home)
    assert read_statement(settings, "revenue_share", CONTRACT_ID, FEBRUARY, "close") == books["stated"]
    assert read_statement(settings, "revenue_share", CONTRACT_ID, FEBRUARY, "now").amount_due == "552,384.00"


def test_a_month_in_which_nothing_is_billed_has_a_share_of_nothing_and_a_statement_that_says_so(
    books: dict[str, Any],
) -> None:
    home = books["home"]
    assert shares(home)[MARCH] == (Decimal(0), Decimal("0.00"))
    assert shares(home)[APRIL] == (Decimal("1802500"), Decimal("540750.00"))  # 721 hours: summer time ends
    stated = read_statement(Settings(home=home), "revenue_share", CONTRACT_ID, MARCH, "close")
    assert stated.amount_due == "0.00"
    assert ask(home, "SELECT component, amount FROM revenue_share.fct_share_base_month WHERE service_month = '2027-03-01' ORDER BY 1") == [
        ("base", Decimal(0)),
        ("gross", Decimal(0)),
    ]  # fmt: skip
    posted = ask(
        home,
        "SELECT count(*) FROM ledger.fct_journal_lines WHERE service_month = '2027-03-01' AND account = 'share_revenue'",
    )
    assert posted == [(0,)]
    assert parkledger(home, "verify").returncode == 0
