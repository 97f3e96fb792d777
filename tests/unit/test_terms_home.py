"""What load_home accepts, what it refuses, and how it says so."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from small_home import CONTRACT_ID, PARK_ID, make_home

from ingest.terms.errors import Problem, TermsError
from ingest.terms.home import load_home, moment_of
from ingest.terms.init import write_example_home
from ingest.terms.templates import FILES

DEMO = Path(__file__).parents[2] / "data"


def problems_of(home: Path) -> list[Problem]:
    return list(load_home(home).problems)


def only(home: Path) -> Problem:
    found = problems_of(home)
    assert len(found) == 1, "\n".join(map(str, found))
    return found[0]


def test_the_demo_home_has_no_problem_and_every_value_is_graded() -> None:
    home = load_home(DEMO)
    assert home.problems == ()
    assert set(home.parks) == {"sharon-au-1", "firmus-batam-1"}
    assert sum(t.gpu_count for t in home.parks["sharon-au-1"].tranches) == 40_000
    assert sum(t.gpu_count for t in home.parks["firmus-batam-1"].tranches) == 170_000
    assert sum(s.weight or 0 for s in home.scenarios.values()) == 1
    assert home.simulation is not None


def test_a_frozen_clock_stands_at_the_end_of_its_day_in_utc(tmp_path: Path) -> None:
    home = load_home(make_home(tmp_path))
    assert (home.as_of_date, home.clock_at) == (date(2027, 12, 31), datetime(2028, 1, 1, tzinfo=UTC))
    assert not home.is_live
    assert load_home(tmp_path, as_of=date(2027, 6, 30)).clock_at == datetime(2027, 7, 1, tzinfo=UTC)


def test_a_clock_may_be_stopped_at_an_instant_and_midnight_is_the_end_of_the_day_before(tmp_path: Path) -> None:
    make_home(tmp_path)
    noon = load_home(tmp_path, as_of=moment_of("2027-06-30T14:00:00+02:00"))
    assert (noon.as_of_date, noon.clock_at) == (date(2027, 6, 30), datetime(2027, 6, 30, 12, tzinfo=UTC))
    midnight, day = (load_home(tmp_path, as_of=moment_of(said)) for said in ("2027-07-01T00:00:00Z", "2027-06-30"))
    assert (midnight.as_of_date, midnight.clock_at) == (day.as_of_date, day.clock_at)
    with pytest.raises(ValueError, match="names no zone"):
        moment_of("2027-06-30T14:00:00")


def test_the_empty_home_is_accepted_and_lives_today(tmp_path: Path) -> None:
    write_example_home(tmp_path / "new")
    home = load_home(tmp_path / "new")
    assert (home.parks, home.contracts, home.problems, home.is_live) == ({}, {}, (), True)
    assert abs(datetime.now(UTC) - home.clock_at) < timedelta(minutes=1)
    with pytest.raises(FileExistsError):
        write_example_home(tmp_path / "new")


def test_every_example_of_the_empty_home_is_valid_once_copied(tmp_path: Path) -> None:
    write_example_home(tmp_path)
    for name in FILES:
        if name.endswith(".yaml.txt"):
            (tmp_path / name).rename(tmp_path / name.removesuffix(".txt"))
    home = load_home(tmp_path)
    assert home.problems == ()
    assert (set(home.parks), set(home.contracts), set(home.deals)) == ({PARK_ID}, {CONTRACT_ID}, {"my-deal-1"})


def test_decimals_never_pass_through_binary_floats(tmp_path: Path) -> None:
    home = load_home(make_home(tmp_path, contract=lambda text: text.replace('rate: "0.25"', "rate: 0.2512345")))
    share = home.contracts[CONTRACT_ID].versions[0].revenue_share
    assert share is not None
    assert share[0].tiers[0].rate == Decimal("0.2512345")


def test_an_unknown_key_is_named_with_file_line_and_what_was_meant(tmp_path: Path) -> None:
    def misspelt(text: str) -> str:
        return text.replace("committed_fraction:", "comitted_fraction:")

    make_home(tmp_path, contract=misspelt)
    text = (tmp_path / "contracts" / f"{CONTRACT_ID}.yaml").read_text()
    line = 1 + text[: text.index("comitted_fraction")].count("\n")
    unknown = next(p for p in problems_of(tmp_path) if p.message == "unknown key")
    assert unknown == Problem(
        f"contracts/{CONTRACT_ID}.yaml",
        line,
        "versions.0.backstop.comitted_fraction",
        "unknown key",
        "did you mean committed_fraction?",
    )
    assert f"contracts/{CONTRACT_ID}.yaml:{line}:" in str(unknown)


@pytest.mark.parametrize(
    ("before", "after", "key", "says"),
    [
        (
            'committed_fraction: "0.85"',
            'committed_fraction: "1.2"',
            "backstop.committed_fraction",
            "less than or equal to 1",
        ),
        ('rate: "0.25"', 'rate: "-0.1"', "tiers.0.rate", "greater than or equal to 0"),
        ('rate: "0.25"', 'rate: "1.01"', "tiers.0.rate", "less than or equal to 1"),
        (
            "negative_base: credit_note",
            'withholding_tax_rate: "1"\n      negative_base: credit_note',
            "withholding_tax_rate",
            "less than 1",
        ),
        (
            "negative_base: credit_note",
            'breakpoint_amount: "12345678901234567.00"\n      negative_base: credit_note',
            "breakpoint_amount",
            "does not fit",
        ),
        (
            "negative_base: credit_note",
            'breakpoint_amount: "10.005"\n      negative_base: credit_note',
            "breakpoint_amount",
            "does not fit",
        ),
        (
            "negative_base: credit_note",
            'breakpoint_amount: "-5"\n      negative_base: credit_note',
            "breakpoint_amount",
            "greater than",
        ),
        ('rate: "0.25"', "rate: true", "tiers.0.rate", "decimal"),
        ('rate: "0.25"', 'rate: "0.0000000001"', "tiers.0.rate", "does not fit"),
        ("currency_code: USD", "currency_code: XYZ", "currency_code", "ISO 4217"),
        ("currency_code: USD", "currency_code: KWD", "currency_code", "two decimal places"),
        ("payment_terms_days: 60", 'payment_terms_days: "60"', "payment_terms_days", "integer"),
        ("share_basis: pct_of_base", "share_basis: percent", "share_basis", "not allowed"),
        ("valid_from: 2027-01-01", "valid_from: 2027-02-30", "valid_from", "date"),
        ("recorded_at: 2026-12-01T00:00:00Z", "recorded_at: 2026-12-01T00:00:00", "recorded_at", "offset"),
        ("contract_id: my-contract-1", "contract_id: my/contract", "contract_id", "no id"),
        ("contract_id: my-contract-1", "contract_id: 2026", "contract_id", "text"),
        ("vendor_id: nvidia ", "vendor_id: nobody ", "vendor_id", "no vendor"),
        ("operator_id: my-operator", "operator_id: another", "operator_id", "does not operate"),
    ],
)
def test_a_wrong_value_leaves_the_contract_out_and_says_where(
    tmp_path: Path, before: str, after: str, key: str, says: str
) -> None:
    make_home(tmp_path, contract=lambda text: text.replace(before, after, 1))
    home = load_home(tmp_path)
    assert home.contracts == {}
    own = [p for p in home.problems if p.file.startswith("contracts/")]
    assert [p.key.endswith(key) for p in own] == [True], own
    assert says in own[0].message
    assert own[0].line > 0
    assert own[0].remedy
    assert set(home.parks) == {PARK_ID}


def test_the_same_key_twice_is_an_error_and_not_the_last_one(tmp_path: Path) -> None:
    make_home(tmp_path, park=lambda text: text.replace("it_power_mw: 10", "it_power_mw: 10\nit_power_mw: 20"))
    with pytest.raises(TermsError, match="stands twice"):
        load_home(tmp_path)


@pytest.mark.parametrize("content", ["", "- a\n", "title: [\n", "title: !!python/object:os.system x\n", "\xff\xfe"])
def test_what_is_no_mapping_of_plain_yaml_is_refused_with_its_place(tmp_path: Path, content: str) -> None:
    make_home(tmp_path)
    (tmp_path / "home.yaml").write_bytes(content.encode("latin-1"))
    with pytest.raises(TermsError, match=r"home\.yaml"):
        load_home(tmp_path)


def test_nested_aliases_cannot_blow_a_small_file_up(tmp_path: Path) -> None:
    make_home(tmp_path)
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (tmp_path / "home.yaml").write_text("\n".join(layers))
    with pytest.raises(TermsError, match="too large"):
        load_home(tmp_path)


def test_a_home_without_home_yaml_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(TermsError, match="parkledger init"):
        load_home(tmp_path)


def test_one_bad_contract_does_not_stop_the_others(tmp_path: Path) -> None:
    make_home(tmp_path)
    good = (tmp_path / "contracts" / f"{CONTRACT_ID}.yaml").read_text()
    (tmp_path / "contracts" / "bad.yaml").write_text(good.replace("my-contract-1", "bad-1").replace('"0.85"', '"85"'))
    home = load_home(tmp_path)
    assert set(home.contracts) == {CONTRACT_ID}
    assert home.known_contract_ids == {CONTRACT_ID, "bad-1"}
    assert [p.file for p in home.problems] == ["contracts/bad.yaml"]


def test_an_id_given_twice_is_reported_at_the_second_file(tmp_path: Path) -> None:
    make_home(tmp_path)
    good = (tmp_path / "contracts" / f"{CONTRACT_ID}.yaml").read_text()
    (tmp_path / "contracts" / "z.yaml").write_text(good)
    problem = only(tmp_path)
    assert (problem.file, problem.key) == ("contracts/z.yaml", "contract_id")


def test_a_tranche_of_a_contract_that_does_not_exist_is_a_problem_of_the_park(tmp_path: Path) -> None:
    make_home(tmp_path)
    (tmp_path / "contracts" / f"{CONTRACT_ID}.yaml").unlink()
    problem = only(tmp_path)
    assert (problem.file, problem.key) == (f"parks/{PARK_ID}.yaml", "tranches.0.contract_id")
    assert set(load_home(tmp_path).parks) == {PARK_ID}


def test_a_tranche_that_names_another_park_s_contract_is_a_problem_and_has_none(tmp_path: Path) -> None:
    make_home(tmp_path)
    park = (tmp_path / "parks" / f"{PARK_ID}.yaml").read_text()
    other = park.replace(f"park_id: {PARK_ID}", "park_id: other").replace("tranche_id: ", "tranche_id: other-")
    (tmp_path / "parks" / "other.yaml").write_text(other)
    home = load_home(tmp_path)
    assert {(p.file, p.key, p.message) for p in home.problems} == {
        ("parks/other.yaml", f"tranches.{position}.contract_id", f"contract {CONTRACT_ID} is of park {PARK_ID}")
        for position in range(len(home.parks["other"].tranches))
    }
    assert "contract_id: null" in home.problems[0].remedy
    assert home.parks["other"].contract_ids() == set()
    assert home.parks[PARK_ID].contract_ids() == {CONTRACT_ID}


def test_a_zone_that_iana_does_not_know_is_refused(tmp_path: Path) -> None:
    make_home(tmp_path, park=lambda text: text.replace("Australia/Sydney", "Australia/Atlantis"))
    with pytest.raises(TermsError, match="IANA"):
        load_home(tmp_path)


def test_evidence_is_asked_for_only_where_the_home_says_so(tmp_path: Path) -> None:
    make_home(tmp_path, home="title: T\nas_of: 2027-12-31\nevidence_required: true\n")
    with pytest.raises(TermsError, match="no evidence grade"):
        load_home(tmp_path)


def test_evidence_for_a_term_that_is_none_is_refused(tmp_path: Path) -> None:
    make_home(tmp_path, contract=lambda text: text.replace("      backstop: {grade", "      backstop.capp: {grade"))
    assert only(tmp_path).message == "backstop has no term capp"


def test_weights_of_macro_scenarios_that_do_not_sum_to_one_leave_them_out(tmp_path: Path) -> None:
    make_home(tmp_path)
    for name, weight in (("a", "0.6"), ("b", "0.5")):
        (tmp_path / "scenarios" / f"{name}.yaml").write_text(
            f"scenario_id: {name}\nscenario_name: {name}\nweight: {weight}\n"
            "drivers: [{driver: systematic_factor, value: 0, source: x}]\n"
        )
    assert "1.1" in only(tmp_path).message
    assert load_home(tmp_path).scenarios == {}


def test_a_wrong_policy_is_fatal_since_its_default_would_change_every_figure(tmp_path: Path) -> None:
    make_home(tmp_path)
    (tmp_path / "policies" / "close.yaml").write_text("close_after_day: 5\n")
    with pytest.raises(TermsError, match="did you mean close_after_days"):
        load_home(tmp_path)


def test_policies_of_several_files_are_one_and_none_may_stand_twice(tmp_path: Path) -> None:
    make_home(tmp_path)
    (tmp_path / "policies" / "a.yaml").write_text("close_after_days: 5\n")
    (tmp_path / "policies" / "b.yaml").write_text("cei_months: 3\n")
    policies = load_home(tmp_path).policies
    assert (policies.close_after_days, policies.cei_months, policies.dso_window_days) == (5, 3, 90)
    (tmp_path / "policies" / "b.yaml").write_text("close_after_days: 6\n")
    with pytest.raises(TermsError, match="already given"):
        load_home(tmp_path)
