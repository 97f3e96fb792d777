"""What contracts need of the reference tables is asked before anything runs."""

import shutil
from pathlib import Path

import pytest
from simulated_home import NORTH, write_home

from ingest.reference import SHIPPED, ReferenceDataError, read_reference
from ingest.terms.home import load_home
from orchestration.readiness import SHIPPED_DEFAULT_RATES, WITHOUT, check_reference

TRACKED = Path(__file__).resolve().parents[2] / "data" / "reference"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_home(tmp_path, as_of="2027-04-20")
    shutil.copytree(TRACKED, tmp_path / "reference")
    return tmp_path


def faults(home: Path) -> list[str]:
    with pytest.raises(ReferenceDataError) as raised:
        check_reference(load_home(home))
    return [str(problem) for problem in raised.value.problems]


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_tracked_tables_carry_a_home_of_contracts(home: Path) -> None:
    assert check_reference(load_home(home)) == []


def test_default_rates_are_the_shipped_ones_where_a_home_has_none_and_the_others_are_said_to_be_missing(
    home: Path,
) -> None:
    for table in ("yield_curve", "gpu_price_index", "issuer_facts", "power_price", "fx"):
        (home / "reference" / f"{table}.csv").unlink()
    assert check_reference(load_home(home)) == list(WITHOUT.values())
    own = home / "reference" / "default_rates.csv"
    own.write_text(own.read_text().splitlines()[0] + "\n")
    assert faults(home) == [
        (
            "default_rates.csv:0: file: it has no rows. Credit loss needs it: put rows there, or take the file away for the "
            "shipped ones."
        )
    ]
    own.unlink()
    assert check_reference(load_home(home)) == [SHIPPED_DEFAULT_RATES, *WITHOUT.values()]
    assert read_reference(load_home(home))["default_rate"]


def test_an_operators_rating_without_default_rates_is_named_with_operator_and_contract(home: Path) -> None:
    rewrite(home / "parks" / f"{NORTH}.yaml", "rating: B, rating_agency: SP", "rating: Baa2, rating_agency: MDY")
    (said,) = faults(home)
    assert said.startswith("default_rates.csv:0: rating: ")
    assert "Baa2" in said
    assert f"(operator {NORTH}-op, contract {NORTH}-c). Add the rating's rows, or correct the park's operator." in said


def test_a_contract_in_another_currency_needs_exchange_rates(home: Path) -> None:
    rewrite(home / "contracts" / f"{NORTH}-c.yaml", "currency_code: USD", "currency_code: JPY")
    assert [said for said in faults(home) if "fx.csv" in said] == [
        f"fx.csv:0: from_currency: no rate of JPY, which contract {NORTH}-c needs. Add its rates."
    ]


def test_a_home_without_contracts_needs_no_table(home: Path) -> None:
    shutil.rmtree(home / "reference")
    for contract in (home / "contracts").glob("*.yaml"):
        contract.unlink()
    for park in (home / "parks").glob("*.yaml"):
        park.write_text("\n".join(line for line in park.read_text().splitlines() if "contract_id" not in line))
    assert check_reference(load_home(home)) == []


def test_a_profile_without_an_item_is_named(home: Path) -> None:
    rewrite(home / "reference" / "telemetry_profile_level.csv", "busy_spread_fraction", "busy_spread")
    assert faults(home) == [
        "telemetry_profile_*.csv:0: item: item 'busy_spread_fraction' is missing. Add its row, or remove the file."
    ]


CURVES = "obligor_id,curve_date,kind,horizon_years,value,recovery_fraction,source,grade\n"
FLOWS = "instrument_id,contract_id,flow_date,amount,currency_code,source,grade\n"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            "nobody,2027-01-01,cds_spread,1,0.05,,s,P",
            "credit_curves.csv:0: obligor_id: nobody is no operator of this home",
        ),
        (
            f"{NORTH}-op,2027-01-01,spread,1,0.05,,s,P",
            "credit_curves.csv:2: kind: 'spread' is none of cumulative_pd, cds_spread",
        ),
        (
            f"{NORTH}-op,2027-01-01,cumulative_pd,1,1.5,,s,P",
            "credit_curves.csv:2: value: 1.5 is no probability below 1",
        ),
        (f"{NORTH}-op,2027-01-01,cds_spread,1,-0.1,,s,P", "credit_curves.csv:2: value: -0.1 is not at least 0"),
        (
            f"{NORTH}-op,2027-01-01,cumulative_pd,1,0.1,,s,P\n{NORTH}-op,2027-01-01,cumulative_pd,2,0.05,,s,P",
            "credit_curves.csv:3: value: 0.05 after 0.1 in line 2, a shorter horizon of the same curve",
        ),
        (
            f"{NORTH}-op,2027-01-01,cds_spread,1,0.2,,s,P\n{NORTH}-op,2027-01-01,cds_spread,2,0.01,,s,P",
            f"credit_curves.csv:0: value: obligor {NORTH}-op: CDS spread is 0.01; at 2 years it needs a negative hazard",
        ),
    ],
)
def test_a_default_curve_that_cannot_be_is_named_before_the_run(home: Path, row: str, said: str) -> None:
    (home / "reference" / "credit_curves.csv").write_text(CURVES + row + "\n")
    assert any(said in fault for fault in faults(home)), faults(home)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            "l,nowhere,2027-01-01,-5,USD,s,P\nl,nowhere,2028-01-01,6,USD,s,P",
            "contract_id: nowhere is no contract of this home",
        ),
        (
            f"l,{NORTH}-c,2027-01-01,5,USD,s,P\nl,{NORTH}-c,2028-01-01,6,USD,s,P",
            "instruments.csv:2: amount: the first flow is not below 0",
        ),
        (f"l,{NORTH}-c,2027-01-01,-5,USD,s,P", "instruments.csv:2: amount: nothing comes back"),
        (
            f"l,{NORTH}-c,2027-01-01,-5,USD,s,P\nl,{NORTH}-c,2028-01-01,-6,USD,s,P",
            "instruments.csv:3: amount: a later flow is not above 0",
        ),
        (
            f"l,{NORTH}-c,2027-01-01,-5,USD,s,P\nl,{NORTH}-c,2028-01-01,6,EUR,s,P",
            "instruments.csv:3: currency_code: EUR differs from USD",
        ),
    ],
)
def test_a_loan_whose_flows_cannot_be_is_named_before_the_run(home: Path, rows: str, said: str) -> None:
    (home / "reference" / "instruments.csv").write_text(FLOWS + rows + "\n")
    assert any(said in fault for fault in faults(home)), faults(home)


@pytest.mark.parametrize(
    ("file", "row", "said"),
    [
        (
            "operator_facts.csv",
            "nobody,2027-06-30,2027-08-27,cash,5,USD,s,P",
            "operator_facts.csv:0: operator_id: nobody is no operator of this home",
        ),
        (
            "operator_facts.csv",
            f"{NORTH}-op,2027-06-30,2027-05-27,cash,5,USD,s,P",
            "operator_facts.csv:2: published_date: 2027-05-27 lies before 2027-06-30",
        ),
        (
            "operator_facts.csv",
            f"{NORTH}-op,2027-06-30,2027-08-27,money,5,USD,s,P",
            "operator_facts.csv:2: item: 'money' is none of cash, undrawn_facility, operating_cost, debt_service_due",
        ),
        (
            "operator_facts.csv",
            f"{NORTH}-op,2027-06-30,2027-08-27,operating_cost,5,USD,s,P",
            "operator_facts.csv:2: contract_id: operating_cost is told of one contract, and none is named. Give the contract_id.",
        ),
        (
            "operator_facts.csv",
            f"{NORTH}-op,2027-06-30,2027-08-27,cash,5,USD,s,P,{NORTH}-c",
            f"operator_facts.csv:2: contract_id: cash is told of the whole operator, not of {NORTH}-c. Leave it empty.",
        ),
        (
            "operator_facts.csv",
            f"{NORTH}-op,2027-06-30,2027-08-27,operating_cost,5,USD,s,P,nothing",
            "operator_facts.csv:0: contract_id: nothing is no contract of this home",
        ),
        (
            "operator_facts.csv",
            f"{NORTH}-op,2027-06-30,2027-08-27,operating_cost,5,EUR,s,P,{NORTH}-c",
            f"operator_facts.csv:0: currency_code: EUR in a row of {NORTH}-c (operating_cost of 2027-06-30), whose currency_code is USD",
        ),
        (
            "hardware_values.csv",
            "2027-06-30,GB300,lender_schedule,nowhere,5,USD,s,P",
            "hardware_values.csv:0: park_id: nowhere is no park of this home",
        ),
        (
            "hardware_values.csv",
            "2027-06-30,GB300,market,,0,USD,s,P",
            "hardware_values.csv:2: price_per_gpu: 0 is not above 0",
        ),
    ],
)
def test_a_statement_or_a_mark_that_cannot_be_is_named_before_the_run(
    home: Path, file: str, row: str, said: str
) -> None:
    path = home / "reference" / file
    header = (SHIPPED / file).read_text(encoding="utf-8").splitlines()[0]
    path.write_text(f"{header}\n{row}\n", encoding="utf-8")
    assert any(said in fault for fault in faults(home)), faults(home)


@pytest.mark.parametrize(
    ("old", "new", "item", "key"),
    [
        ("base_measure: net_billed", "base_measure: ebitda", "operating_cost", "revenue_share.0.base_measure"),
        (
            "committed_fraction",
            "settlement_type: debt_service_shortfall\n      committed_fraction",
            "debt_service_paid",
            "backstop.settlement_type",
        ),
        (
            "committed_fraction",
            "settlement_type: lease_payment\n      committed_fraction",
            "lease_payment_due",
            "backstop.settlement_type",
        ),
    ],
)
def test_a_term_that_rests_on_a_statement_names_its_line_until_one_row_tells_it(
    home: Path, old: str, new: str, item: str, key: str
) -> None:
    contract = home / "contracts" / f"{NORTH}-c.yaml"
    rewrite(contract, old, new)
    line = 1 + contract.read_text().splitlines().index(
        next(text for text in contract.read_text().splitlines() if new.splitlines()[0] in text)
    )
    said = (
        f"operator_facts.csv:0: item: no row tells {item} of {NORTH}-c, on which versions.0.{key} rests"
        f" (contracts/{NORTH}-c.yaml:{line}). Add a row for each month, or change the term."
    )
    assert said in faults(home)
    facts = home / "reference" / "operator_facts.csv"
    items = [fault.split("no row tells ")[1].split(" ")[0] for fault in faults(home)]
    with facts.open("a") as file:
        file.writelines(f"{NORTH}-op,2027-02-28,2027-03-05,{one},5.00,USD,s,P,{NORTH}-c\n" for one in items)
    assert check_reference(load_home(home)) == []


def test_residual_value_is_asked_of_the_market_once_its_day_has_come(home: Path) -> None:
    contract = home / "contracts" / f"{NORTH}-c.yaml"
    support = "residual_value_support_pct: 0.25\n      rv_hardware_price_per_gpu: 40000\n      rv_date: {}\n      "
    text = contract.read_text()
    contract.write_text(text.replace("committed_fraction", support.format("2027-04-30") + "committed_fraction", 1))
    assert check_reference(load_home(home)) == []
    contract.write_text(text.replace("committed_fraction", support.format("2027-03-31") + "committed_fraction", 1))
    [said] = faults(home)
    assert said.startswith("hardware_values.csv:0: gpu_model: no market tells what ")
    assert f" is worth by 2027-03-31, on which versions.0.backstop.rv_date rests (contracts/{NORTH}-c.yaml:" in said
    model = said.split("no market tells what ")[1].split(" ")[0]
    with (home / "reference" / "hardware_values.csv").open("a") as file:
        file.write(f"2027-03-31,{model},market,,9000.00,USD,s,P\n")
    assert check_reference(load_home(home)) == []
