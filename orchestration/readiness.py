"""Whether a home's reference tables can carry its contracts: asked before Dagster starts, so that a fault costs seconds.

The cells of each table are checked in `ingest.reference`; here, only what the terms need of them.
"""

from collections.abc import Iterator

import polars as pl

from ingest.reference import (
    CREDIT_CURVES,
    DEFAULT_RATES,
    HARDWARE_VALUES,
    INSTRUMENTS,
    OPERATOR_FACTS,
    ReferenceDataError,
    ReferenceProblem,
    Row,
    read_reference,
)
from ingest.simulate.profiles import load_profile
from ingest.terms.facts import facts_needed
from ingest.terms.home import Home
from orchestration.polars_jobs.default_curves import cumulative_pd_at, curve_of
from orchestration.polars_jobs.errors import CreditInputError
from orchestration.polars_jobs.obligor_curves import ObligorCurves
from orchestration.polars_jobs.yield_curves import YieldCurves
from orchestration.sealed_terms import contract_sources

# What is computed instead where a table has no rows, or its file is absent.
WITHOUT = {
    "yield_curve": "yield_curve.csv: cash flows are discounted at the policy discount_rate",
    "gpu_price_index": "gpu_price_index.csv: prices ahead start from running leases",
    "issuer_fact": "issuer_facts.csv: the vendor's own figures are n/a",
}
SHIPPED_DEFAULT_RATES = f"{DEFAULT_RATES}: default rates are the shipped averages of S&P, 1981 to 2016"
_DEFAULT_RATE_SCHEMA = {
    "agency": pl.String,
    "rating": pl.String,
    "horizon_years": pl.Int64,
    "cumulative_default_rate": pl.Float64,
    "withdrawn_rate": pl.Float64,
}


def check_reference(home: Home) -> list[str]:
    """What is computed otherwise because a table that contracts use has no rows.

    Raises:
        ReferenceDataError: a file cannot be read or a cell is wrong; a contract's operator has no default rates; a
            contract is in a currency that its park or the home is not, and no rate is there; the simulator's profiles
            lack an item.
    """
    rows = read_reference(home)
    problems = [
        *_default_rates(home, rows["default_rate"]),
        *_own_curves(home, rows["credit_curve"]),
        *_instruments(home, rows["instrument_flow"]),
        *_operator_facts(home, rows["operator_fact"]),
        *_facts_of_terms(home, rows["operator_fact"]),
        *_hardware_values(home, rows["hardware_value"]),
        *_residual_values(home, rows["hardware_value"]),
        *_exchange_rates(home, rows["fx_rate"]),
        *_profiles(home),
    ]
    if problems:
        raise ReferenceDataError(problems)
    if not home.contracts:
        return []
    shipped = [] if (home.path / "reference" / DEFAULT_RATES).exists() else [SHIPPED_DEFAULT_RATES]
    return shipped + [text for table, text in WITHOUT.items() if not rows[table]]


def _default_rates(home: Home, rows: list[Row]) -> Iterator[ReferenceProblem]:
    """Every operator with a contract needs the curve of its rating; one without a rating takes the policy's."""
    file = DEFAULT_RATES
    if home.contracts and not rows:
        said = "Credit loss needs it: put rows there, or take the file away for the shipped ones."
        yield ReferenceProblem(file, 0, "file", "it has no rows", said)
        return
    table = pl.DataFrame(
        [{name: row[name] for name in _DEFAULT_RATE_SCHEMA} for row in rows],
        schema=dict.fromkeys(_DEFAULT_RATE_SCHEMA, pl.String),
    ).cast(pl.Schema(_DEFAULT_RATE_SCHEMA))
    for contract in home.contracts.values():
        operator = home.parks[contract.park_id].operator
        is_unrated = (operator.rating or "").strip().upper() in {"", "NR", "WR", "D", "SD", "RD"}
        rating = home.policies.unrated_rating if is_unrated else str(operator.rating)
        try:
            cumulative_pd_at(curve_of(table, operator.rating_agency, rating), [1.0])
        except CreditInputError as error:
            said = f"{error} (operator {operator.operator_id}, contract {contract.contract_id})"
            yield ReferenceProblem(file, 0, "rating", said, "Add the rating's rows, or correct the park's operator.")


def _own_curves(home: Home, rows: list[Row]) -> Iterator[ReferenceProblem]:
    """Each curve is an operator's of the home, and some default probabilities explain it."""
    operators = {park.operator.operator_id for park in home.parks.values()}
    names = ("obligor_id", "curve_date", "kind", "horizon_years", "value", "recovery_fraction")
    cells = [{name: row[name] for name in names} for row in rows]
    table = pl.DataFrame(cells, schema=dict.fromkeys(names, pl.String)).with_columns(
        pl.col("curve_date").str.to_date(), *(pl.col(name).cast(pl.Float64) for name in names[3:])
    )
    curves = ObligorCurves(table, table, YieldCurves(None))
    for obligor_id, day in (
        table.select("obligor_id", "curve_date").unique().sort("obligor_id", "curve_date").iter_rows()
    ):
        if obligor_id not in operators:
            said = f"{obligor_id} is no operator of this home"
            yield ReferenceProblem(CREDIT_CURVES, 0, "obligor_id", said, "Give the operator_id of a park's file.")
            continue
        try:
            cumulative_pd_at(curves.known(obligor_id, day, None, "").curve, [1.0])
        except CreditInputError as error:
            said = f"{error} (curve of {day})"
            yield ReferenceProblem(CREDIT_CURVES, 0, "value", said, "Correct the curve's nodes.")


def _instruments(home: Home, rows: list[Row]) -> Iterator[ReferenceProblem]:
    """Each instrument is lent under a contract of the home."""
    for contract_id in sorted({row["contract_id"] or "" for row in rows} - set(home.contracts)):
        said = f"{contract_id} is no contract of this home"
        yield ReferenceProblem(INSTRUMENTS, 0, "contract_id", said, "Give the contract under which it is lent.")


def _operator_facts(home: Home, rows: list[Row]) -> Iterator[ReferenceProblem]:
    """Each statement is an operator's of the home."""
    known = {park.operator.operator_id for park in home.parks.values()}
    for operator_id in sorted({row["operator_id"] or "" for row in rows} - known):
        said = f"{operator_id} is no operator of this home"
        yield ReferenceProblem(OPERATOR_FACTS, 0, "operator_id", said, "Give the operator_id of a park's file.")


def _facts_of_terms(home: Home, rows: list[Row]) -> Iterator[ReferenceProblem]:
    """What terms rest on is told at least once; what is told of a contract is one of the home's, by its operator, in its currency."""
    agreements = {**home.contracts, **home.deals}
    for contract_id in sorted({row["contract_id"] or "" for row in rows if row["contract_id"]}):
        contract = agreements.get(contract_id)
        if contract is None:
            said = f"{contract_id} is no contract of this home"
            yield ReferenceProblem(OPERATOR_FACTS, 0, "contract_id", said, "Give the contract_id of a contract's file.")
            continue
        for row in (row for row in rows if row["contract_id"] == contract_id):
            for column, right in (("operator_id", contract.operator_id), ("currency_code", contract.currency_code)):
                if row[column] != right:
                    said = f"{row[column]} in a row of {contract_id} ({row['item']} of {row['as_of_date']}), whose {column} is {right}"
                    yield ReferenceProblem(OPERATOR_FACTS, 0, column, said, f"State it of {right}.")
    told = {(row["contract_id"], row["item"]) for row in rows}
    for source in contract_sources(home.path):
        contract = home.contracts.get(str(source.values.get("contract_id")))
        for path, item in () if contract is None else facts_needed(contract):
            if contract is not None and (contract.contract_id, item) not in told:
                fault = source.problem(path, "", "")
                said = f"no row tells {item} of {contract.contract_id}, on which {fault.key} rests ({fault.file}:{fault.line})"
                yield ReferenceProblem(OPERATOR_FACTS, 0, "item", said, "Add a row for each month, or change the term.")


def _hardware_values(home: Home, rows: list[Row]) -> Iterator[ReferenceProblem]:
    """A schedule of one park is a park's of the home."""
    for park_id in sorted({row["park_id"] for row in rows if row["park_id"]} - set(home.parks)):
        said = f"{park_id} is no park of this home"
        yield ReferenceProblem(HARDWARE_VALUES, 0, "park_id", said, "Give a park_id, or none for all parks.")


def _residual_values(home: Home, rows: list[Row]) -> Iterator[ReferenceProblem]:
    """Once a day of residual value has come, a market has told what each supported model is worth, in the contract's currency."""
    for source in contract_sources(home.path):
        contract = home.contracts.get(str(source.values.get("contract_id")))
        for number, version in enumerate(contract.versions if contract else []):
            day = version.backstop.rv_date if version.backstop else None
            if contract is None or day is None or day > home.as_of_date:
                continue
            tranches = home.parks[contract.park_id].tranches
            for model in sorted({one.gpu_model for one in tranches if one.contract_id == contract.contract_id}):
                if not any(
                    (row["gpu_model"], row["kind"], row["currency_code"]) == (model, "market", contract.currency_code)
                    and (row["observed_date"] or "") <= day.isoformat()
                    and row["park_id"] in {None, contract.park_id}
                    for row in rows
                ):
                    fault = source.problem(("versions", number, "backstop", "rv_date"), "", "")
                    said = f"no market tells what {model} is worth by {day}, on which {fault.key} rests ({fault.file}:{fault.line})"
                    remedy = f"Add a row of kind market in {contract.currency_code}."
                    yield ReferenceProblem(HARDWARE_VALUES, 0, "gpu_model", said, remedy)


def _exchange_rates(home: Home, rows: list[Row]) -> Iterator[ReferenceProblem]:
    quoted = {row[side] for row in rows for side in ("from_currency", "to_currency")}
    for contract in home.contracts.values():
        used = {contract.currency_code, home.parks[contract.park_id].currency_code, home.reporting_currency_code}
        for currency in sorted(used - quoted) if len(used) > 1 else ():
            said = f"no rate of {currency}, which contract {contract.contract_id} needs"
            yield ReferenceProblem("fx.csv", 0, "from_currency", said, "Add its rates.")


def _profiles(home: Home) -> Iterator[ReferenceProblem]:
    if home.simulation is None:
        return
    try:
        load_profile(home.path / "reference")
    except KeyError as error:
        said = f"item {error} is missing"
        yield ReferenceProblem("telemetry_profile_*.csv", 0, "item", said, "Add its row, or remove the file.")
