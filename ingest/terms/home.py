"""One home folder as validated terms. The only place of the project that reads the computer's clock.

What is wrong with one contract, deal, vendor, scenario or park file leaves that file out and is reported in
`Home.problems`; what is wrong with home.yaml, with a policy or with every park is a TermsError: nothing could be
computed rightly.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from ingest.terms import alert as alert_module
from ingest.terms import contract as contract_module
from ingest.terms import park as park_module
from ingest.terms import scenario as scenario_module
from ingest.terms import vendor as vendor_module
from ingest.terms.alert import RULE_KINDS, Alerts
from ingest.terms.checks import check_contract, check_park, check_references
from ingest.terms.contract import Contract
from ingest.terms.errors import Problem, TermsError
from ingest.terms.flatten import contract_terms, is_identity, version_terms
from ingest.terms.park import Park
from ingest.terms.policy import DEFAULTS, Policies
from ingest.terms.scalars import CurrencyCode, Day, Identifier, Model, Text
from ingest.terms.scenario import Scenario
from ingest.terms.vendor import BUILT_IN, Vendor
from ingest.terms.yaml_source import KeyPath, YamlSource, read_yaml

M = TypeVar("M", bound=Model)

HOME_FILE = "home.yaml"
ALERTS_FILE = "alerts.yaml"
FIRST_DAY_WITHOUT_TRANCHES = date(2020, 1, 1)
_PARK_IDENTITY = {"park_id", "park_name", "country_code", "time_zone", "currency_code", "naive_timestamps", "evidence"}


Imperfection = Literal["late", "duplicate", "corrected", "gap", "fault", "truncated_file", "broken"]
IMPERFECTIONS: tuple[Imperfection, ...] = get_args(Imperfection)


class Simulation(Model):
    """Which parks' feeds are simulated where no file was dropped, from which seed, and what a reader must be told."""

    seed: Annotated[int, Field(ge=0)]
    parks: list[Identifier] = Field(default_factory=list)
    note: Text
    imperfections: list[Imperfection] = Field(default_factory=lambda: list(IMPERFECTIONS))


def _as_of(value: Any) -> Any:
    if value == "today":
        return value
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError as error:
            raise ValueError("should be a date like 2027-12-31, or today") from error
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError("should be a date like 2027-12-31, or today")  # noqa: TRY004  # pydantic wants ValueError
    return value


class HomeFile(Model):
    """home.yaml. `evidence_required`: every value that is written must be graded, as in the shipped example."""

    title: Text
    as_of: Annotated[Day | Literal["today"], BeforeValidator(_as_of)]
    reporting_currency_code: CurrencyCode = "USD"
    simulation: Simulation | None = None
    evidence_required: bool = False


@dataclass(frozen=True)
class Home:
    """A home's terms and clock.

    Attributes:
        path: the folder.
        as_of_date: the last day that counts.
        clock_at: the home's now, in UTC: the end of as_of_date, the moment of loading where as_of is today, or an instant
            that was asked for.
        is_live: whether as_of is today.
        contracts, deals: booked contracts, and deals that are only compared.
        known_contract_ids: ids of all contract and deal files, also of those left out, so that a fault in terms
            does not turn their leases and payments into rows of an unknown contract.
        problems: what is wrong with single files; those files are left out.
    """

    path: Path
    title: str
    as_of_date: date
    clock_at: datetime
    is_live: bool
    reporting_currency_code: str
    simulation: Simulation | None
    parks: dict[str, Park]
    contracts: dict[str, Contract]
    deals: dict[str, Contract]
    vendors: dict[str, Vendor]
    policies: Policies
    scenarios: dict[str, Scenario]
    alerts: Alerts
    known_contract_ids: frozenset[str]
    problems: tuple[Problem, ...] = ()

    def is_simulated(self, park_id: str) -> bool:
        """Whether the park's feeds are simulated where no file was dropped."""
        return self.simulation is not None and park_id in self.simulation.parks


@dataclass
class _Loaded:
    """Models read so far, with their sources for later messages."""

    sources: dict[int, YamlSource] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def source(self, model: BaseModel) -> YamlSource:
        return self.sources[id(model)]


def _all_field_names() -> set[str]:
    names: set[str] = set()
    for module in (alert_module, contract_module, park_module, scenario_module, vendor_module):
        for thing in vars(module).values():
            if isinstance(thing, type) and issubclass(thing, Model):
                names.update(info.alias or name for name, info in thing.model_fields.items())
    return names | set(HomeFile.model_fields) | set(Simulation.model_fields) | set(Policies.model_fields)


def _said(error: ErrorDetails) -> tuple[str, str]:
    """Message and remedy of one pydantic error, in the words of who writes the YAML."""
    kind, context, given = error["type"], error.get("ctx", {}), error["input"]
    name = str(error["loc"][-1]) if error["loc"] else ""
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(name, _all_field_names(), n=1)
        return "unknown key", f"did you mean {near[0]}?" if near else "remove it, or check its indentation"
    said = {
        "missing": ("is missing", "add it"),
        "literal_error": (f"{given!r} is not allowed", f"choose from {context.get('expected')}"),
        "union_tag_invalid": (f"{context.get('tag')!r} is not allowed", f"choose from {context.get('expected_tags')}"),
        "union_tag_not_found": (
            f"has no {str(context.get('discriminator')).strip(chr(39))}",
            "say which kind of rule it is",
        ),
        "value_error": (str(context.get("error")), "correct the value"),
        "string_type": ("should be text", "put it in quotes"),
        "string_pattern_mismatch": (
            f"{given!r} is no id",
            "use letters, digits, dots, hyphens and underscores, at most 64",
        ),
    }
    if kind in said:
        return said[kind]
    if kind.startswith("decimal_max") or kind == "decimal_whole_digits":
        what = error["msg"].removeprefix("Decimal input ")
        return f"{given} does not fit: {what}", "round it yourself; nothing is rounded silently"
    return error["msg"].removeprefix("Input "), "correct the value"


def _written_path(loc: tuple[int | str, ...]) -> KeyPath:
    """The path of an error as the file has it: without the kind of a rule, which chooses its model."""
    is_rule = len(loc) > 2 and loc[0] == "rules" and loc[2] in RULE_KINDS
    return (*loc[:2], *loc[3:]) if is_rule else loc


def _validate(source: YamlSource, model: type[M], loaded: _Loaded) -> M | None:
    try:
        made = model.model_validate(source.values)
    except ValidationError as invalid:
        for error in invalid.errors():
            message, remedy = _said(error)
            loaded.problems.append(source.problem(_written_path(error["loc"]), message, remedy))
        return None
    loaded.sources[id(made)] = source
    return made


def _files(home: Path, folder: str) -> Iterator[tuple[Path, str]]:
    """YAML files of a folder in name order, with their path relative to the home."""
    for path in sorted((home / folder).glob("*")):
        if path.suffix in {".yaml", ".yml"} and not path.name.startswith("."):
            yield path, path.relative_to(home).as_posix()


def _read_folder(home: Path, folder: str, loaded: _Loaded) -> Iterator[YamlSource]:
    for path, file in _files(home, folder):
        source = read_yaml(path, file)
        if isinstance(source, Problem):
            loaded.problems.append(source)
        else:
            yield source


def _add(models: dict[str, M], key: str, name: str, model: M, loaded: _Loaded) -> None:
    """Keep a model unless its id is taken; then neither file wins silently: the later one is reported."""
    if key in models:
        other = loaded.source(models[key]).file
        loaded.problems.append(
            loaded.source(model).problem(
                (name,), f"{key} is already the id of {other}", "give one of the two another id"
            )
        )
        return
    models[key] = model


def _findings(source: YamlSource, findings: Iterator[tuple[KeyPath, str, str]], loaded: _Loaded) -> bool:
    """Report findings; whether there was any."""
    problems = [source.problem(path, message, remedy) for path, message, remedy in findings]
    loaded.problems.extend(problems)
    return bool(problems)


def _ungraded_park(park: Park) -> Iterator[tuple[KeyPath, str, str]]:
    for name in sorted(park.model_fields_set - _PARK_IDENTITY):
        if not any(key == name or key.startswith(name + ".") for key in park.evidence):
            yield (name,), "has no evidence grade", f"add it to evidence: {{{name}: {{grade: …, source: …}}}}"


def _ungraded_contract(contract: Contract) -> Iterator[tuple[KeyPath, str, str]]:
    for term in contract_terms(contract):
        if term.is_explicit and term.evidence is None and not is_identity(term):
            yield (term.term,), "has no evidence grade", f"add {term.term} to the contract's evidence"
    for position, version in enumerate(contract.versions):
        ungraded = {
            (term.instrument, term.term.split(".")[0])
            for term in version_terms(version)
            if term.is_explicit and term.evidence is None and not is_identity(term)
        }
        for instrument, term_name in sorted(ungraded):
            yield (
                ("versions", position, instrument, term_name),
                "has no evidence grade",
                f"add {instrument}.{term_name} to the version's evidence",
            )


def _parks(home: Path, loaded: _Loaded, *, evidence_required: bool) -> dict[str, Park]:
    parks: dict[str, Park] = {}
    tranches: dict[str, str] = {}
    for source in _read_folder(home, "parks", loaded):
        park = _validate(source, Park, loaded)
        if park is None or _findings(source, check_park(park), loaded):
            continue
        if evidence_required and _findings(source, _ungraded_park(park), loaded):
            continue
        taken = [(n, t.tranche_id) for n, t in enumerate(park.tranches) if t.tranche_id in tranches]
        for position, tranche_id in taken:
            loaded.problems.append(
                source.problem(
                    ("tranches", position, "tranche_id"),
                    f"{tranche_id} is already a tranche of {tranches[tranche_id]}",
                    "give it another id",
                )
            )
        other = next((p for p in parks.values() if p.operator.operator_id == park.operator.operator_id), None)
        if other is not None and other.operator != park.operator:
            loaded.problems.append(
                source.problem(
                    ("operator",), f"differs from the same operator in {loaded.source(other).file}", "write both alike"
                )
            )
            continue
        if not taken:
            tranches.update({tranche.tranche_id: park.park_id for tranche in park.tranches})
            _add(parks, park.park_id, "park_id", park, loaded)
    return parks


def _contracts(
    home: Path,
    folder: str,
    loaded: _Loaded,
    *,
    taken: Mapping[str, Contract],
    parks: Mapping[str, Park],
    vendors: Mapping[str, Vendor],
    evidence_required: bool,
) -> tuple[dict[str, Contract], set[str]]:
    contracts: dict[str, Contract] = dict(taken)
    known: set[str] = set()
    for source in _read_folder(home, folder, loaded):
        named = source.values.get("contract_id")
        if isinstance(named, str):
            known.add(named)
        contract = _validate(source, Contract, loaded)
        if contract is None:
            continue
        has_findings = _findings(source, check_contract(contract), loaded)
        has_findings |= _findings(source, check_references(contract, parks, vendors), loaded)
        if evidence_required:
            has_findings |= _findings(source, _ungraded_contract(contract), loaded)
        if not has_findings:
            _add(contracts, contract.contract_id, "contract_id", contract, loaded)
    return {key: contract for key, contract in contracts.items() if key not in taken}, known


def _vendors(home: Path, loaded: _Loaded) -> dict[str, Vendor]:
    own: dict[str, Vendor] = {}
    for source in _read_folder(home, "vendors", loaded):
        vendor = _validate(source, Vendor, loaded)
        if vendor is not None:
            _add(own, vendor.vendor_id, "vendor_id", vendor, loaded)
    return BUILT_IN | own


def _policies(home: Path) -> Policies:
    """All policy files as one; any fault is fatal, since a default in its place would change every figure."""
    loaded = _Loaded()
    merged: dict[str, Any] = {}
    owner: dict[str, str] = {}
    for source in _read_folder(home, "policies", loaded):
        if _validate(source, Policies, loaded) is None:
            continue
        for key, value in source.values.items():
            if key in owner:
                loaded.problems.append(
                    source.problem((key,), f"is already given in {owner[key]}", "keep one of the two")
                )
            owner[key] = source.file
            merged[key] = value
    if loaded.problems:
        raise TermsError(loaded.problems)
    return Policies.model_validate(merged) if merged else DEFAULTS


def _alerts(home: Path) -> Alerts:
    """Rules and channels; any fault is fatal, since nobody misses an alert that never comes."""
    if not (home / ALERTS_FILE).exists():
        return Alerts()
    loaded = _Loaded()
    source = read_yaml(home / ALERTS_FILE, ALERTS_FILE)
    if isinstance(source, Problem):
        raise TermsError([source])
    alerts = _validate(source, Alerts, loaded)
    if alerts is None:
        raise TermsError(loaded.problems)
    return alerts


def load_scenario(path: Path) -> Scenario:
    """Read and check one scenario file, wherever it lies. Raises ``TermsError`` with file, line, key and remedy."""
    loaded = _Loaded()
    source = read_yaml(path, path.name)
    if isinstance(source, Problem):
        raise TermsError([source])
    scenario = _validate(source, Scenario, loaded)
    if scenario is None:
        raise TermsError(loaded.problems)
    return scenario


def _scenarios(home: Path, loaded: _Loaded) -> dict[str, Scenario]:
    scenarios: dict[str, Scenario] = {}
    for source in _read_folder(home, "scenarios", loaded):
        scenario = _validate(source, Scenario, loaded)
        if scenario is not None:
            _add(scenarios, scenario.scenario_id, "scenario_id", scenario, loaded)
    weighted = [scenario for scenario in scenarios.values() if scenario.weight is not None]
    total = sum((scenario.weight for scenario in weighted if scenario.weight is not None), Decimal(0))
    if weighted and total != 1:
        source = loaded.source(weighted[0])
        loaded.problems.append(
            source.problem(
                ("weight",), f"the weights of {len(weighted)} scenarios sum to {total}, not to 1", "correct the weights"
            )
        )
        return {key: scenario for key, scenario in scenarios.items() if scenario.weight is None}
    return scenarios


def first_service_day(home: Home) -> date:
    """The earliest day on which any tranche of the home is energised; the home's last day where all are planned."""
    days = [
        tranche.energised_date for park in home.parks.values() for tranche in park.tranches if tranche.energised_date
    ]
    return min(*days, home.as_of_date) if days else FIRST_DAY_WITHOUT_TRANCHES


def computer_now() -> datetime:
    """What the computer's clock says, in UTC; whoever asks for a home's now takes `Home.clock_at`."""
    return datetime.now(UTC)


def moment_of(text: str) -> date | datetime:
    """What a clock is stopped at: a day, whose end counts, or an instant with its zone, in UTC.

    Raises:
        ValueError: neither of them, or an instant without a zone.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        instant = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} names no zone")
    return instant.astimezone(UTC)


def _of_own_contracts(park: Park, contracts: dict[str, Contract], booked_ids: set[str], loaded: _Loaded) -> Park:
    """The park with each tranche's contract checked; a tranche that names another park's contract has none."""
    tranches = list(park.tranches)
    for position, tranche in enumerate(park.tranches):
        contract = contracts.get(tranche.contract_id or "")
        if contract is not None and contract.park_id != park.park_id:
            fault = f"contract {contract.contract_id} is of park {contract.park_id}"
            remedy = f"name a contract whose park_id is {park.park_id}, or write contract_id: null"
            tranches[position] = tranche.model_copy(update={"contract_id": None})
        elif tranche.contract_id is not None and tranche.contract_id not in booked_ids:
            fault = f"there is no contract {tranche.contract_id}"
            remedy = "add contracts/<contract_id>.yaml, or write contract_id: null"
        else:
            continue
        loaded.problems.append(loaded.source(park).problem(("tranches", position, "contract_id"), fault, remedy))
    return park.model_copy(update={"tranches": tranches})


def _clock(as_of: date | Literal["today"], override: date | None) -> tuple[date, datetime, bool]:
    if isinstance(override, datetime):
        instant = override.astimezone(UTC)
        return (instant - timedelta(microseconds=1)).date(), instant, False  # midnight is the end of the day before
    day = override or as_of
    if isinstance(day, str):  # the only word that a home may say is "today"
        now = computer_now()
        return now.date(), now, True
    return day, datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC), False


def load_home(path: Path, as_of: date | None = None) -> Home:
    """Read and check everything that the user of a home has written.

    Args:
        path: the home folder.
        as_of: a day, or an instant, in place of what home.yaml says.

    Returns:
        The home. `problems` names every fault of single files; those files are left out.

    Raises:
        TermsError: home.yaml, a policy or alerts.yaml is wrong, home.yaml is missing, or no park file is readable though there are some.
    """
    path = Path(path)
    loaded = _Loaded()
    source = read_yaml(path / HOME_FILE, HOME_FILE)
    if isinstance(source, Problem):
        remedy = source.remedy if (path / HOME_FILE).exists() else "make a home with `parkledger init HOME`"
        raise TermsError([Problem(source.file, source.line, source.key, source.message, remedy)])
    home_file = _validate(source, HomeFile, loaded)
    if home_file is None:
        raise TermsError(loaded.problems)
    policies = _policies(path)
    as_of_date, clock_at, is_live = _clock(home_file.as_of, as_of)

    parks = _parks(path, loaded, evidence_required=home_file.evidence_required)
    if not parks and any(_files(path, "parks")):
        raise TermsError(loaded.problems)
    vendors = _vendors(path, loaded)
    graded_terms = home_file.evidence_required
    contracts, booked_ids = _contracts(
        path, "contracts", loaded, taken={}, parks=parks, vendors=vendors, evidence_required=graded_terms
    )
    deals, deal_ids = _contracts(
        path, "deals", loaded, taken=contracts, parks=parks, vendors=vendors, evidence_required=graded_terms
    )
    parks = {park_id: _of_own_contracts(park, contracts, booked_ids, loaded) for park_id, park in parks.items()}
    for position, park_id in enumerate(home_file.simulation.parks if home_file.simulation else []):
        if park_id not in parks:
            loaded.problems.append(
                source.problem(
                    ("simulation", "parks", position), f"there is no readable park {park_id}", "name a park of parks/"
                )
            )
    return Home(
        path=path,
        title=home_file.title,
        as_of_date=as_of_date,
        clock_at=clock_at,
        is_live=is_live,
        reporting_currency_code=home_file.reporting_currency_code,
        simulation=home_file.simulation,
        parks=parks,
        contracts=contracts,
        deals=deals,
        vendors=vendors,
        policies=policies,
        scenarios=_scenarios(path, loaded),
        alerts=_alerts(path),
        known_contract_ids=frozenset(booked_ids | deal_ids),
        problems=tuple(sorted(loaded.problems)),
    )
