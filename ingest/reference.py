"""Reference tables of a home: exchange rates, curves, default rates, prices, issuer facts, profiles of telemetry.

Reads HOME/reference/*.csv and SEC companyfacts JSON, checks every cell, and rewrites the raw.* reference tables whole.
Terms and feeds are read elsewhere; nothing is converted, interpolated or filled here.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import polars as pl

from ingest.transactions import transaction

if TYPE_CHECKING:
    import duckdb

SHIPPED = Path(__file__).resolve().parents[1] / "data" / "reference"  # the demo home's tables, each row with its source
DEFAULT_RATES = "default_rates.csv"
CREDIT_CURVES = "credit_curves.csv"
INSTRUMENTS = "instruments.csv"
OPERATOR_FACTS = "operator_facts.csv"
HARDWARE_VALUES = "hardware_values.csv"
# Of an operator at a day; of one contract in the month that holds the day.
OPERATOR_ITEMS = ("cash", "undrawn_facility")
CONTRACT_ITEMS = (
    "operating_cost",
    "debt_service_due",
    "debt_service_paid",
    "cash_for_debt_service",
    "lease_payment_due",
    "lease_payment_paid",
)
DEFAULT_ISSUER_ID = "nvidia"  # issuer_facts.csv names no issuer where all its rows are one issuer's
# Published averages of cumulative default rates rest on the oldest cohorts alone beyond ten years, and fall there.
RISING_HORIZON_YEARS = 10
_SHOWN_PROBLEMS = 20  # a file with another separator or decimal sign is wrong in every line


class HomeFolder(Protocol):
    """What this module needs of a home: its folder."""

    @property
    def path(self) -> Path:
        """The home's folder."""


@dataclass(frozen=True)
class ReferenceProblem:
    """One fault in a reference file; `line` counts from 1 with the header as line 1, and is 0 for the file itself."""

    file: str
    line: int
    column: str
    message: str
    remedy: str

    def __str__(self) -> str:
        """One line, as a compiler would write it."""
        return f"{self.file}:{self.line}: {self.column}: {self.message}. {self.remedy}"


class ReferenceDataError(ValueError):
    """Raised when a reference file cannot be used; holds every problem found, and prints the first of them."""

    def __init__(self, problems: list[ReferenceProblem]) -> None:
        self.problems = problems
        lines = [f"reference/{problem}" for problem in problems[:_SHOWN_PROBLEMS]]
        if len(problems) > _SHOWN_PROBLEMS:
            lines.append(f"… and {len(problems) - _SHOWN_PROBLEMS:,} more")
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Column:
    """A column of a reference table: its type in the warehouse, how a cell is checked, and whether it may be empty."""

    name: str
    sql_type: str
    check: Callable[[str], str | None]
    optional: bool = False
    default: str | None = None
    source_names: tuple[str, ...] = field(default=())  # other heads under which the file may give it


def check_text(_cell: str) -> str | None:
    """Any text is good."""
    return None


def check_date(cell: str) -> str | None:
    """An ISO date, or what is wrong with it."""
    try:
        is_iso = date.fromisoformat(cell).isoformat() == cell  # not the week and basic forms that Python reads too
    except ValueError:
        is_iso = False
    if not is_iso:
        return f"{cell!r} is no date of the form YYYY-MM-DD"
    return None


def check_count(cell: str) -> str | None:
    """A whole number of at least 0, or what is wrong with it."""
    try:
        is_plain = str(int(cell)) == cell.removeprefix("+")
    except ValueError:
        is_plain = False
    if not is_plain:
        return f"{cell!r} is no whole number"
    return f"{cell} is below 0" if int(cell) < 0 else None


def check_years(cell: str) -> str | None:
    """A whole number of years of at least 1, or what is wrong with it."""
    return check_count(cell) or (f"{cell} is below 1" if int(cell) < 1 else None)


def check_one_of(*allowed: str) -> Callable[[str], str | None]:
    """A checker of words."""

    def check(cell: str) -> str | None:
        return None if cell in allowed else f"{cell!r} is none of {', '.join(allowed)}"

    return check


def _decimal_places(value: Decimal) -> int:
    """Places after the point without trailing zeros; from the digits, since arithmetic rounds to the context's 28."""
    _, digits, exponent = value.as_tuple()
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return -int(exponent) - zeros if value else 0


def check_decimal(
    precision: int, scale: int, low: Decimal | None = None, high: Decimal | None = None, *, above: bool = False
) -> Callable[[str], str | None]:
    """A checker of exact decimals that fit `precision` and `scale`, in [low, high]; `above` leaves out `low` itself."""

    def check(cell: str) -> str | None:
        try:
            value = Decimal(cell.replace("_", "?"))  # Python reads 1_000 as a number; a spreadsheet does not
        except InvalidOperation:
            return f"{cell!r} is no decimal number"
        fault = None
        if not value.is_finite():
            fault = f"{cell!r} is not finite"
        elif abs(value) >= Decimal(10) ** (precision - scale):
            fault = f"{cell} is too large"
        elif _decimal_places(value) > scale:
            fault = f"{cell} has more than {scale} decimals, and rounding it would change it"
        elif low is not None and (value < low or (above and value == low)):
            fault = f"{cell} is not {'above' if above else 'at least'} {low}"
        elif high is not None and value > high:
            fault = f"{cell} is above {high}"
        return fault

    return check


_ZERO, _ONE = Decimal(0), Decimal(1)
_BELOW_ONE = _ONE - Decimal("1e-9")
_PRICE = check_decimal(18, 9, _ZERO, above=True)
_FRACTION = check_decimal(18, 9, _ZERO, _ONE)


@dataclass(frozen=True)
class ReferenceTable:
    """One raw reference table: its file, its columns in order, and the columns that make a row unique."""

    table: str
    file: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]


TABLES = (
    ReferenceTable(
        "fx_rate",
        "fx.csv",
        (
            Column("rate_date", "DATE", check_date),
            Column("from_currency", "VARCHAR", check_text),
            Column("to_currency", "VARCHAR", check_text),
            Column("rate", "DECIMAL(18,9)", _PRICE),
            Column("source", "VARCHAR", check_text),
        ),
        ("rate_date", "from_currency", "to_currency"),
    ),
    ReferenceTable(
        "yield_curve",
        "yield_curve.csv",
        (
            Column("curve_date", "DATE", check_date),
            Column("tenor_years", "DECIMAL(9,6)", check_decimal(9, 6, _ZERO, above=True)),
            Column("zero_rate", "DECIMAL(18,9)", check_decimal(18, 9, -_ONE, _ONE, above=True)),
            Column("curve_id", "VARCHAR", check_text),
            Column("source", "VARCHAR", check_text),
        ),
        ("curve_date", "tenor_years", "curve_id"),
    ),
    ReferenceTable(
        "default_rate",
        DEFAULT_RATES,
        (
            Column("agency", "VARCHAR", check_text),
            Column("rating", "VARCHAR", check_text),
            Column("horizon_years", "INTEGER", check_years),
            Column("cumulative_default_rate", "DECIMAL(18,9)", _FRACTION),
            Column("withdrawn_rate", "DECIMAL(18,9)", _FRACTION),
            Column("source", "VARCHAR", check_text),
        ),
        ("agency", "rating", "horizon_years"),
    ),
    ReferenceTable(
        "credit_curve",
        CREDIT_CURVES,
        (
            Column("obligor_id", "VARCHAR", check_text),
            Column("curve_date", "DATE", check_date),
            Column("kind", "VARCHAR", check_one_of("cumulative_pd", "cds_spread")),
            Column("horizon_years", "DECIMAL(9,6)", check_decimal(9, 6, _ZERO, above=True)),
            Column("value", "DECIMAL(18,9)", check_decimal(18, 9, _ZERO)),
            Column("recovery_fraction", "DECIMAL(18,9)", check_decimal(18, 9, _ZERO, _BELOW_ONE), optional=True),
            Column("source", "VARCHAR", check_text),
            Column("grade", "VARCHAR", check_text),
        ),
        ("obligor_id", "curve_date", "kind", "horizon_years"),
    ),
    ReferenceTable(
        "instrument_flow",
        INSTRUMENTS,
        (
            Column("instrument_id", "VARCHAR", check_text),
            Column("contract_id", "VARCHAR", check_text),
            Column("flow_date", "DATE", check_date),
            Column("amount", "DECIMAL(18,2)", check_decimal(18, 2)),
            Column("currency_code", "VARCHAR", check_text),
            Column("source", "VARCHAR", check_text),
            Column("grade", "VARCHAR", check_text),
        ),
        ("instrument_id", "flow_date"),
    ),
    ReferenceTable(
        "operator_fact",
        OPERATOR_FACTS,
        (
            Column("operator_id", "VARCHAR", check_text),
            Column("as_of_date", "DATE", check_date),
            Column("published_date", "DATE", check_date),
            Column("item", "VARCHAR", check_one_of(*OPERATOR_ITEMS, *CONTRACT_ITEMS)),
            Column("amount", "DECIMAL(18,2)", check_decimal(18, 2, _ZERO)),
            Column("currency_code", "VARCHAR", check_text),
            Column("source", "VARCHAR", check_text),
            Column("grade", "VARCHAR", check_text),
            Column("contract_id", "VARCHAR", check_text, optional=True),
        ),
        ("operator_id", "contract_id", "as_of_date", "published_date", "item"),
    ),
    ReferenceTable(
        "hardware_value",
        HARDWARE_VALUES,
        (
            Column("observed_date", "DATE", check_date),
            Column("gpu_model", "VARCHAR", check_text),
            Column("kind", "VARCHAR", check_one_of("market", "lender_schedule")),
            Column("park_id", "VARCHAR", check_text, optional=True),
            Column("price_per_gpu", "DECIMAL(18,2)", check_decimal(18, 2, _ZERO, above=True)),
            Column("currency_code", "VARCHAR", check_text),
            Column("source", "VARCHAR", check_text),
            Column("grade", "VARCHAR", check_text),
        ),
        ("observed_date", "gpu_model", "kind", "park_id"),
    ),
    ReferenceTable(
        "gpu_price_index",
        "gpu_price_index.csv",
        (
            Column("observed_date", "DATE", check_date),
            Column("gpu_model", "VARCHAR", check_text),
            Column("tenor", "VARCHAR", check_text),
            Column("price_per_gpu_hour", "DECIMAL(18,9)", _PRICE),
            Column("source", "VARCHAR", check_text),
            Column("grade", "VARCHAR", check_text),
        ),
        ("observed_date", "gpu_model", "tenor", "source"),
    ),
    ReferenceTable(
        "power_price",
        "power_price.csv",
        (
            Column("price_date", "DATE", check_date),
            Column("region", "VARCHAR", check_text),
            Column("price_per_mwh", "DECIMAL(18,9)", check_decimal(18, 9)),  # wholesale prices do fall below zero
            Column("currency_code", "VARCHAR", check_text),
            Column("source", "VARCHAR", check_text),
            Column("grade", "VARCHAR", check_text),
        ),
        ("price_date", "region"),
    ),
    ReferenceTable(
        "issuer_fact",
        "issuer_facts.csv",
        (
            Column("issuer_id", "VARCHAR", check_text, optional=True, default=DEFAULT_ISSUER_ID),
            Column("fiscal_period_end", "DATE", check_date),
            Column("fiscal_label", "VARCHAR", check_text, optional=True),
            Column("item", "VARCHAR", check_text),
            Column("value_text", "VARCHAR", check_text, source_names=("value_usd_m", "value")),
            Column("value", "DECIMAL(38,9)", check_text),  # derived from value_text below
            Column("unit", "VARCHAR", check_text),
            Column("source", "VARCHAR", check_text),
            Column("grade", "VARCHAR", check_text),
        ),
        ("issuer_id", "fiscal_period_end", "fiscal_label", "item", "source"),
    ),
)
DERIVED_COLUMNS = frozenset({("issuer_fact", "value")})

_NUMBER = check_decimal(18, 9)
_SHAPE = check_decimal(18, 9, _ZERO)


def _profile(name: str, columns: dict[str, Callable[[str], str | None]], *key: str) -> ReferenceTable:
    return ReferenceTable(
        name,
        f"{name}.csv",
        (
            *(Column(column, "VARCHAR", check) for column, check in columns.items()),
            Column("source", "VARCHAR", check_text),
        ),
        (*key, "source"),
    )


# Shapes of real clusters for the simulated feeds: checked here with all the others, read by the simulator, never landed.
PROFILE_TABLES = (
    _profile(
        "telemetry_profile_week",
        {
            "hour_of_week": check_count,
            "relative_level": _SHAPE,
            "relative_spread": _SHAPE,
            "hour_count": check_count,
        },
        "hour_of_week",
    ),
    _profile(
        "telemetry_profile_power",
        {"utilization_pct": _SHAPE, "power_fraction": _SHAPE, "power_spread": _SHAPE, "sample_count": check_count},
        "utilization_pct",
    ),
    _profile(
        "telemetry_profile_gap",
        {"gap_hours": check_count, "gap_count": check_count, "expected_hours": check_count},
        "gap_hours",
    ),
    _profile("telemetry_profile_step", {"quantile": _FRACTION, "hourly_change_pct": _NUMBER}, "quantile"),
    _profile("telemetry_profile_level", {"item": check_text, "value": _NUMBER, "unit": check_text}, "item"),
    _profile(
        "telemetry_profile_model",
        {"item": check_text, "value": _SHAPE, "unit": check_text, "grade": check_text},
        "item",
    ),
)

Row = dict[str, str | None]


def create_reference_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Create the raw reference tables where they are missing, empty."""
    con.execute("CREATE SCHEMA IF NOT EXISTS raw")
    for table in TABLES:
        columns = ", ".join(f"{column.name} {column.sql_type}" for column in table.columns)
        con.execute(f"CREATE TABLE IF NOT EXISTS raw.{table.table} ({columns})")


def read_reference(home: HomeFolder) -> dict[str, list[Row]]:
    """The checked rows of every raw reference table as text cells.

    A file that is absent gives no rows, but for default rates: those are the same for every home, so the table that the
    project ships stands in.

    Raises:
        ReferenceDataError: some file of the folder, also a profile of the simulator, cannot be used; it names file,
            line and column of every problem.
    """
    folder = home.path / "reference"
    problems: list[ReferenceProblem] = []
    own_or_shipped = folder if (folder / DEFAULT_RATES).exists() else SHIPPED
    rows_by_table = {
        table.table: _read_table(
            (own_or_shipped if table.file == DEFAULT_RATES else folder) / table.file, table, problems
        )
        for table in TABLES
    }
    for profile in PROFILE_TABLES:
        _read_table(folder / profile.file, profile, problems)
    filed, filed_problems = _read_companyfacts(folder)
    problems += filed_problems
    rows_by_table["issuer_fact"] += filed
    if problems:
        raise ReferenceDataError(problems)
    return rows_by_table


def write_reference(con: duckdb.DuckDBPyConnection, home: HomeFolder) -> dict[str, int]:
    """Rewrite every raw reference table from HOME/reference; row counts by table.

    A file that is absent gives an empty table, or the shipped one. Raises ReferenceDataError (see `read_reference`) before anything is
    written.
    """
    rows_by_table = read_reference(home)
    create_reference_tables(con)
    for table in TABLES:
        _replace(con, table, rows_by_table[table.table])
    return {f"raw.{name}": len(rows) for name, rows in rows_by_table.items()}


def _replace(con: duckdb.DuckDBPyConnection, table: ReferenceTable, rows: list[Row]) -> None:
    """Replace the rows in one transaction, sorted by all columns so that the same files give the same bytes."""
    names = [column.name for column in table.columns]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String))
    selected = ", ".join(f"CAST({column.name} AS {column.sql_type})" for column in table.columns)
    con.register("reference_rows", frame)
    with transaction(con):
        con.execute(f"DELETE FROM raw.{table.table}")
        con.execute(f"INSERT INTO raw.{table.table} SELECT {selected} FROM reference_rows ORDER BY ALL")
    con.unregister("reference_rows")


def _read_table(path: Path, table: ReferenceTable, problems: list[ReferenceProblem]) -> list[Row]:
    """The checked rows of one file as text cells; what is wrong goes to `problems`."""
    if not path.exists():
        return []
    expected = [column for column in table.columns if (table.table, column.name) not in DERIVED_COLUMNS]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        problems.append(ReferenceProblem(path.name, 0, "file", f"not UTF-8: {error}", "Save it as UTF-8."))
        return []
    except OSError as error:
        problems.append(ReferenceProblem(path.name, 0, "file", f"{error.strerror}", "Make it a readable file."))
        return []
    reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
    try:
        heads = {column.name: _head(column, reader.fieldnames or []) for column in expected}
    except csv.Error as error:
        problems.append(ReferenceProblem(path.name, reader.line_num, "line", str(error), "Mend the quotes."))
        return []
    missing = [column for column in expected if heads[column.name] is None and not column.optional]
    for column in missing:
        names = " or ".join((column.name, *column.source_names))
        problems.append(ReferenceProblem(path.name, 1, column.name, "column missing", f"Add a column {names}."))
    if missing:
        return []
    lines: list[tuple[int, Row]] = []
    try:
        lines += (
            (reader.line_num, _checked_row(path, table, heads, cells, line=reader.line_num, problems=problems))
            for cells in reader
        )
    except csv.Error as error:
        problems.append(ReferenceProblem(path.name, reader.line_num, "line", str(error), "Mend the quotes."))
    problems += _twice(path, table, lines)
    if table.table == "default_rate" and not problems:
        problems += _impossible_default_rates(path, lines)
    if table.table == "credit_curve" and not problems:
        problems += _impossible_curves(path, lines)
    if table.table == "instrument_flow" and not problems:
        problems += _impossible_instruments(path, lines)
    if table.table == "operator_fact" and not problems:
        problems += _published_before(path, lines)
        problems += _of_no_contract(path, lines)
    return [row for _, row in lines]


def _twice(path: Path, table: ReferenceTable, lines: list[tuple[int, Row]]) -> Iterator[ReferenceProblem]:
    seen: dict[tuple[str | None, ...], int] = {}
    for line, row in lines:
        key = tuple(row[name] for name in table.key)
        if key in seen:
            said = f"the same key as line {seen[key]}"
            yield ReferenceProblem(path.name, line, ", ".join(table.key), said, "Keep one of the two.")
        seen.setdefault(key, line)


def _impossible_default_rates(path: Path, lines: list[tuple[int, Row]]) -> Iterator[ReferenceProblem]:
    """Rates by horizon that no cohort can have: a cumulative rate that falls, or more defaulted and withdrawn than all."""
    before: dict[tuple[str | None, str | None], tuple[int, Decimal]] = {}
    for line, row in sorted(lines, key=lambda one: int(one[1]["horizon_years"] or 0)):
        years, rate = int(row["horizon_years"] or 0), Decimal(row["cumulative_default_rate"] or 0)
        withdrawn, grade = Decimal(row["withdrawn_rate"] or 0), (row["agency"], row["rating"])
        if rate + withdrawn > 1:
            said = f"{rate} defaulted and {withdrawn} withdrawn are more than all"
            yield ReferenceProblem(path.name, line, "withdrawn_rate", said, "Correct one of the two.")
        if years > RISING_HORIZON_YEARS:
            continue
        earlier, lower = before.get(grade, (line, rate))
        if rate < lower:
            said = f"{rate} after {lower} in line {earlier}, a shorter horizon of the same rating"
            yield ReferenceProblem(path.name, line, "cumulative_default_rate", said, "Cumulative rates never fall.")
        before[grade] = (line, rate)


def _impossible_curves(path: Path, lines: list[tuple[int, Row]]) -> Iterator[ReferenceProblem]:
    """Cumulative default probabilities of 1 or more, or that fall with the horizon."""
    before: dict[tuple[str | None, str | None], tuple[int, Decimal]] = {}
    given = [(line, row) for line, row in lines if row["kind"] == "cumulative_pd"]
    for line, row in sorted(given, key=lambda one: Decimal(one[1]["horizon_years"] or 0)):
        value, curve = Decimal(row["value"] or 0), (row["obligor_id"], row["curve_date"])
        if value >= 1:
            said = f"{value} is no probability below 1"
            yield ReferenceProblem(path.name, line, "value", said, "Give a fraction: 0.05 for 5 %.")
        earlier, lower = before.get(curve, (line, value))
        if value < lower:
            said = f"{value} after {lower} in line {earlier}, a shorter horizon of the same curve"
            yield ReferenceProblem(path.name, line, "value", said, "Cumulative probabilities never fall.")
        before[curve] = (line, value)


def _impossible_instruments(path: Path, lines: list[tuple[int, Row]]) -> Iterator[ReferenceProblem]:
    """Flows that no effective rate can come from: nothing paid out first, or nothing to come back."""
    flows: dict[str | None, list[tuple[str, int, Row]]] = {}
    for line, row in lines:
        flows.setdefault(row["instrument_id"], []).append((row["flow_date"] or "", line, row))
    for rows in flows.values():
        (_, line, first), *later = sorted(rows, key=lambda one: one[0])
        if Decimal(first["amount"] or 0) >= 0:
            said = "the first flow is not below 0"
            yield ReferenceProblem(path.name, line, "amount", said, "The vendor pays out first: a negative amount.")
        if not later:
            yield ReferenceProblem(path.name, line, "amount", "nothing comes back", "Give the flows that are due.")
        for _, line_of, row in later:
            if Decimal(row["amount"] or 0) <= 0:
                said = "a later flow is not above 0"
                yield ReferenceProblem(path.name, line_of, "amount", said, "Give a further payout an id of its own.")
            for name in ("contract_id", "currency_code"):
                if row[name] != first[name]:
                    said = f"{row[name]} differs from {first[name]} of the same instrument"
                    yield ReferenceProblem(path.name, line_of, name, said, "One instrument has one of it.")


def _published_before(path: Path, lines: list[tuple[int, Row]]) -> Iterator[ReferenceProblem]:
    """Statements that were published before the day that they speak of."""
    for line, row in lines:
        if (row["published_date"] or "") < (row["as_of_date"] or ""):
            said = f"{row['published_date']} lies before {row['as_of_date']}, the day that the statement speaks of"
            yield ReferenceProblem(path.name, line, "published_date", said, "Correct one of the two.")


def _of_no_contract(path: Path, lines: list[tuple[int, Row]]) -> Iterator[ReferenceProblem]:
    """What is a contract's names it; what is the whole operator's names none."""
    for line, row in lines:
        is_contracts = row["item"] in CONTRACT_ITEMS
        if is_contracts and not row["contract_id"]:
            said = f"{row['item']} is told of one contract, and none is named"
            yield ReferenceProblem(path.name, line, "contract_id", said, "Give the contract_id.")
        if not is_contracts and row["contract_id"]:
            said = f"{row['item']} is told of the whole operator, not of {row['contract_id']}"
            yield ReferenceProblem(path.name, line, "contract_id", said, "Leave it empty.")


def _head(column: Column, heads: Sequence[str]) -> str | None:
    return next((name for name in (column.name, *column.source_names) if name in heads), None)


def _checked_row(
    path: Path,
    table: ReferenceTable,
    heads: dict[str, str | None],
    cells: dict[str, str],
    *,
    line: int,
    problems: list[ReferenceProblem],
) -> Row:
    row: Row = {}
    if None in cells:
        problems.append(ReferenceProblem(path.name, line, "line", "more cells than the header", "Quote the commas."))
    for column in (column for column in table.columns if column.name in heads):
        head = heads[column.name]
        cell = (cells.get(head) or "").strip() if head is not None else ""
        if not cell:
            row[column.name] = column.default
            if not column.optional:
                problems.append(ReferenceProblem(path.name, line, column.name, "empty", "Give a value."))
            continue
        fault = column.check(cell)
        if fault is not None:
            problems.append(ReferenceProblem(path.name, line, column.name, fault, "Correct the cell."))
        row[column.name] = cell
    if table.table == "issuer_fact":
        text = row["value_text"] or ""
        row["value"] = text if check_decimal(38, 9)(text) is None else None  # lists such as 17|16 stay text
    return row


def _read_companyfacts(folder: Path) -> tuple[list[Row], list[ReferenceProblem]]:
    """Issuer facts of SEC companyfacts JSON files, as the format's reader gives them."""
    paths = sorted((*folder.glob("*.json"), *folder.glob("*.json.gz")))
    if not paths:
        return [], []
    from ingest.formats import sec_companyfacts  # noqa: PLC0415  # only where such a file lies

    rows: list[Row] = []
    problems: list[ReferenceProblem] = []
    for path in paths:
        try:
            frame = sec_companyfacts.read(path)
        except ValueError as error:
            problems.append(ReferenceProblem(path.name, 0, "file", str(error), "Fetch the file again."))
            continue
        names = [column.name for table in TABLES if table.table == "issuer_fact" for column in table.columns]
        rows += frame.select(pl.col(name).cast(pl.String) for name in names).to_dicts()
    return rows, problems
