"""`parkledger contract`: the sheet, the schema, and what a home would be without an amendment."""

from pathlib import Path

import duckdb
import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from small_home import CONTRACT_ID, make_home
from typer.testing import CliRunner

from ingest.terms.home import load_home
from ingest.terms.schema import contract_schema, scenario_schema
from ingest.terms.sheet import term_sheet
from orchestration.cli import app
from orchestration.contract_commands import (
    amendments_before_a_close,
    caps_below_paid,
    currencies_without_rates,
    without_amendment,
)
from orchestration.settings import Settings

ENDED = """\
  - amendment_id: second
    valid_from: 2028-01-01
    recorded_at: 2027-11-01T00:00:00Z
    backstop: null
"""


def test_the_sheet_says_the_rates_the_price_and_what_an_amendment_ends(tmp_path: Path) -> None:
    home = load_home(make_home(tmp_path, contract=lambda text: text + ENDED))
    sheet = list(term_sheet(home.contracts[CONTRACT_ID]))
    assert any("25 % for contract months 1 to 24, 20 % for contract months 25 on" in line for line in sheet), sheet
    assert any("per GPU-hour in contract months" in line for line in sheet)
    assert any("This amendment ends the backstop." in line for line in sheet)


TIED = """\
  - amendment_id: second
    valid_from: 2028-01-01
    recorded_at: 2027-11-01T00:00:00Z
    collateral: [{collateral_type: cash_escrow, pledged_amount: "5000000", haircut: "0.1"}]
    pledge_limits: {max_future_revenue_pct: "0.4"}
    exclusivity: {vendor: nvidia, scope: all accelerators of the site, ends: 2030-12-31}
    exit_rights: [{party: operator, trigger: a satisfactory rating, notice_days: 90, fee_formula: three months of buy-back price}]
"""


def test_the_sheet_says_what_is_pledged_who_is_exclusive_and_who_may_leave(tmp_path: Path) -> None:
    home = load_home(make_home(tmp_path, contract=lambda text: text + TIED))
    sheet = "\n".join(term_sheet(home.contracts[CONTRACT_ID]))
    assert "Cash escrow of USD 5,000,000.00, less 10 %." in sheet
    assert "At most 40 % of revenue may be pledged, over all creditors." in sheet
    assert "Hardware of nvidia only: all accelerators of the site until 2030-12-31." in sheet
    assert (
        "The operator may leave on a satisfactory rating with 90 days' notice, for three months of buy-back price."
        in sheet
    )


def test_the_sheet_says_an_index_a_condition_and_a_set_off(tmp_path: Path) -> None:
    def changed(text: str) -> str:
        for before, after in (
            ("event: energised", "event: acceptance"),
            ("scope: none, enforceable: false", "scope: all_sums, enforceable: true"),
            ("    backstop:\n", "    backstop:\n      annual_cap: 900000\n      first_loss_band: 0.2\n"),
            ("index: null", "index: cpi"),
        ):
            assert before in text
            text = text.replace(before, after, 1)
        return text

    home = load_home(make_home(tmp_path, contract=changed))
    sheet = "\n".join(term_sheet(home.contracts[CONTRACT_ID]))
    assert "moved by the index cpi since commencement" in sheet
    assert "A tranche is covered from its acceptance." in sheet
    assert "The operator bears the first 20 % of the installed hours." in sheet
    assert "a contract year." in sheet
    assert "it is set off against open invoices (all sums)" in sheet


def test_the_sheet_says_that_revenue_is_guaranteed_and_no_hours_are_bought(tmp_path: Path) -> None:
    home = load_home(
        make_home(tmp_path, contract=lambda text: text.replace("unsold_hours_x_price", "revenue_shortfall", 1))
    )
    sheet = "\n".join(term_sheet(home.contracts[CONTRACT_ID]))
    assert "The vendor guarantees what 85 % of the installed hours would earn at the price below." in sheet
    assert "It pays what third parties are billed less than that in a tranche's month, and buys no hours." in sheet
    assert "It guarantees USD" in sheet


def test_the_sheet_says_what_withdrawing_and_ending_early_cost(tmp_path: Path) -> None:
    def changed(text: str) -> str:
        ends = "early_termination: [{ground: default, notice_days: 30, termination_payment: 250000}]"
        text = text.replace("    backstop:\n", f"    backstop:\n      {ends}\n", 1)
        assert "{allowed: true, notice_days" in text
        return text.replace("{allowed: true, notice_days", "{allowed: true, clawback_pct: 0.3, notice_days", 1)

    home = load_home(make_home(tmp_path, contract=changed))
    sheet = "\n".join(term_sheet(home.contracts[CONTRACT_ID]))
    assert "It gives back 30 % of what was claimed for the capacity that it withdraws." in sheet
    assert "It may end early on default with 30 days' notice; the operator then pays USD 250,000.00." in sheet


def test_the_sheet_says_when_a_true_up_is_due_and_what_it_bears(tmp_path: Path) -> None:
    def changed(text: str) -> str:
        true_up = "true_up: {frequency: contract_year, due_days: 120, interest: true}"
        text = text.replace(
            "negative_base: credit_note", f"negative_base: credit_note\n      {true_up}\n      late_rate: 0.08", 1
        )
        return text.replace('      late_rate: "0.00"\n', "", 1)

    loaded = load_home(make_home(tmp_path, contract=changed))
    sheet = "\n".join(term_sheet(loaded.contracts[CONTRACT_ID]))
    assert "The true-up is invoiced apart and due 120 days after its year." in sheet
    assert "It bears 8 % a year, as if earned evenly, from the day each month was due to its own." in sheet


def test_the_sheet_says_what_an_advance_bears(tmp_path: Path) -> None:
    given = (
        "    token_advances: [{advance_id: a, advance_type: cash, face_amount: 100, grant_date: 2027-02-01, "
        "recoup_order: from_share, recoupment_rate: 0.5, interest: 0.1}]\n"
    )
    loaded = load_home(make_home(tmp_path, contract=lambda text: text + given))
    sheet = "\n".join(term_sheet(loaded.contracts[CONTRACT_ID]))
    assert "recouped at 50 % of the share; it bears 10 % a year on what is unrecouped." in sheet


def test_the_sheet_says_what_is_withheld_and_until_when(tmp_path: Path) -> None:
    def changed(text: str) -> str:
        reserve = "reserve_pct: 0.1\n      reserve_release_months: 6"
        return text.replace("negative_base: credit_note", f"negative_base: credit_note\n      {reserve}", 1)

    loaded = load_home(make_home(tmp_path, contract=changed))
    sheet = "\n".join(term_sheet(loaded.contracts[CONTRACT_ID]))
    assert "10 % of each invoice is withheld as a reserve, and invoiced 6 months after its month." in sheet


def test_a_home_without_an_amendment_keeps_the_others_and_is_itself_unchanged(tmp_path: Path) -> None:
    home = load_home(make_home(tmp_path, contract=lambda text: text + ENDED))
    kept = without_amendment(home, CONTRACT_ID, "second").contracts[CONTRACT_ID].versions
    assert [version.amendment_id for version in kept] == ["original"]
    assert len(home.contracts[CONTRACT_ID].versions) == 2


@pytest.mark.parametrize(
    ("contract_id", "amendment_id", "says"),
    [
        ("nobody", "second", "is no booked contract"),
        (CONTRACT_ID, "third", "has no amendment third; there are: original"),
        (CONTRACT_ID, "original", "there is no contract"),
    ],
)
def test_a_comparison_that_makes_no_sense_is_refused(
    tmp_path: Path, contract_id: str, amendment_id: str, says: str
) -> None:
    home = load_home(make_home(tmp_path))
    with pytest.raises(ValueError, match=says):
        without_amendment(home, contract_id, amendment_id)


def test_the_schema_knows_the_shorthands_that_a_file_may_use() -> None:
    definitions = contract_schema()["$defs"]
    shares = definitions["Version"]["properties"]["revenue_share"]["anyOf"]
    assert {"$ref": "#/$defs/RevenueShare"} in shares
    assert {"from", "to"} <= definitions["Tier"]["properties"].keys()
    assert definitions["Backstop"]["additionalProperties"] is False


def test_check_names_file_line_and_key_and_ends_with_the_code_for_bad_input(tmp_path: Path) -> None:
    home = make_home(tmp_path, contract=lambda text: text.replace("negative_base: credit_note", "negative_base: never"))
    result = CliRunner().invoke(app, ["--home", str(home), "contract", "check"])
    assert result.exit_code == 3
    [path] = (home / "contracts").glob("*.yaml")
    lines = path.read_text(encoding="utf-8").splitlines()
    number = next(number for number, text in enumerate(lines, start=1) if "negative_base: never" in text)
    assert f"contracts/{path.name}:{number}" in result.output.replace("\n", "")
    assert "negative_base" in result.output


def test_a_cap_below_what_was_claimed_before_its_amendment_is_a_fault_with_its_line(tmp_path: Path) -> None:
    def lowered(text: str) -> str:
        backstop = text.split("    backstop:\n", maxsplit=1)[1]
        lines = backstop.split("lifetime_cap:", maxsplit=1)[0] + 'lifetime_cap: {amount: "999.99"}\n'
        return text + ENDED.replace("backstop: null", "backstop:") + lines

    folder = make_home(tmp_path, contract=lowered)
    home = load_home(folder)
    assert home.problems == (), home.problems
    settings = Settings(home=folder)
    settings.published_folder.mkdir(exist_ok=True)
    with duckdb.connect(str(settings.published_path)) as con:
        con.execute("CREATE SCHEMA revenue_share")
        con.execute("CREATE SCHEMA backstop")
        con.execute(
            "CREATE TABLE revenue_share.fct_share_month (contract_id VARCHAR, service_month DATE, cumulative_share_amount DECIMAL(18,2))"
        )
        con.execute(
            "CREATE TABLE backstop.fct_backstop_cap_month AS SELECT * FROM (VALUES"
            f" ('{CONTRACT_ID}', DATE '2027-12-01', 1000.00::DECIMAL(18,2)), ('{CONTRACT_ID}', DATE '2028-01-01', 5000.00::DECIMAL(18,2)))"
            " AS t (contract_id, service_month, claimed_to_date_amount)"
        )
    [fault] = caps_below_paid(settings, home)
    assert "999.99 is below the 1,000.00 accrued before 2028-01-01" in fault.message
    [path] = (folder / "contracts").glob("*.yaml")
    assert '"999.99"' in path.read_text(encoding="utf-8").splitlines()[fault.line - 1]


def published(settings: Settings, *statements: str) -> None:
    settings.published_folder.mkdir(exist_ok=True)
    with duckdb.connect(str(settings.published_path)) as con:
        for statement in statements:
            con.execute(statement)


def test_an_amendment_that_claims_to_have_been_known_at_a_close_that_was_stated_without_it_is_a_fault(
    tmp_path: Path,
) -> None:
    folder = make_home(tmp_path, contract=lambda text: text + ENDED)
    settings, home = Settings(home=folder), load_home(folder)
    published(
        settings,
        "CREATE SCHEMA core",
        "CREATE SCHEMA ledger",
        f"CREATE TABLE core.fct_contract_terms AS SELECT '{CONTRACT_ID}' AS contract_id, 'original' AS amendment_id",
        f"CREATE TABLE ledger.fct_period_close AS SELECT '{CONTRACT_ID}' AS contract_id, DATE '2027-10-01' AS posting_month,"
        " TIMESTAMPTZ '2027-11-11 00:00:00+00' AS closed_at",
    )
    [fault] = amendments_before_a_close(settings, home)
    assert "second is said to be known at the close of 2027-10 (2027-11-11), stated without it" in fault.message
    [path] = (folder / "contracts").glob("*.yaml")
    assert "recorded_at: 2027-11-01" in path.read_text(encoding="utf-8").splitlines()[fault.line - 1]
    published(settings, f"INSERT INTO core.fct_contract_terms VALUES ('{CONTRACT_ID}', 'second')")
    assert list(amendments_before_a_close(settings, home)) == []


def test_a_lease_in_a_third_currency_that_nothing_translates_is_a_fault_of_the_contract_s_source(
    tmp_path: Path,
) -> None:
    folder = make_home(tmp_path)
    settings, home = Settings(home=folder), load_home(folder)
    park_id = home.contracts[CONTRACT_ID].park_id
    with duckdb.connect(str(settings.warehouse_path)) as con:
        con.execute("CREATE SCHEMA raw")
        con.execute(f"CREATE TABLE raw.leases AS SELECT '{park_id}' AS park_id, 'CHF' AS currency_code")
    (folder / "reference").mkdir(exist_ok=True)
    rates = folder / "reference" / "fx.csv"
    head = "rate_date,from_currency,to_currency,rate,source\n"
    rates.write_text(head + "2027-01-04,EUR,CHF,0.95,ecb\n", encoding="utf-8")
    found = [f for f in currencies_without_rates(settings, home) if "CHF" in f.message]
    assert [f.message for f in found] == [
        "leases may be billed in CHF, and nothing translates it into USD: no source does"
    ]
    assert found[0].key.endswith("fx.source")
    assert found[0].line > 0
    assert "reference/fx.csv" in found[0].remedy
    for lines, count in (
        ("2027-01-04,USD,CHF,0.91,ecb\n", 0),
        ("2027-01-04,USD,CHF,0.91,any other\n", 0),
        ("2027-01-04,USD,CHF,0.91,one\n2027-01-04,CHF,USD,1.1,two\n", 1),
    ):
        rates.write_text(head + lines, encoding="utf-8")
        assert len([f for f in currencies_without_rates(settings, home) if "CHF" in f.message]) == count, lines


def test_the_schema_of_a_scenario_takes_every_shipped_one_and_no_unknown_driver() -> None:
    check = Draft202012Validator(scenario_schema())
    shipped = sorted((Path(__file__).parents[2] / "data" / "scenarios").glob("*.yaml"))
    assert len(shipped) >= 10
    for path in shipped:
        assert not list(check.iter_errors(YAML(typ="safe").load(path))), path.name
    wrong = {"scenario_id": "s", "scenario_name": "s", "drivers": [{"driver": "luck", "value": 1, "source": "s"}]}
    assert any("luck" in error.message for error in check.iter_errors(wrong))
    assert list(check.iter_errors({**wrong, "drivers": [{"driver": "pd_multiple", "value": 2}]})), "a source is needed"
