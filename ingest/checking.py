"""Turns the cells of a feed's file into typed columns, and says of every row that breaks a rule which rule it was.

Works on whole columns. Knows contracts, no files and no database.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import reduce

import polars as pl

from ingest.contracts import FIRST_YEAR, LAST_YEAR, RECORDED_AT, Column, FeedContract
from ingest.terms.scalars import currency_codes

# What readers of GPUs write where there is no value (nvidia-smi, dcgm-exporter, pandas).
_NOT_AVAILABLE = ["N/A", "[N/A]", "NA", "n/a", "nan", "NaN", "null", "NULL", "[Not Supported]"]
_TRUE, _FALSE = ["true", "t", "yes", "1"], ["false", "f", "no", "0"]
# Digits of other scripts are no digits here: a cell that is taken for a number must be one when it is read.
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INSTANT = r"^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})(:\d{2})?([.,]\d+)? ?([Zz]|[+-]\d{2}(?::?\d{2})?)?$"
# Whole units of a measurement in one unit of its cell.
_UNITS = {"milli": 1000, "micro": 1_000_000}
# Wide enough for any cell that could be stored in 18 digits, and for telling that it cannot.
_WIDE = pl.Decimal(38, 18)
_INSTANT_TYPE = pl.Datetime("us", "UTC")
# Fewer cells are read one by one; of more, so many are looked at to see whether they repeat.
_FEW, _SEEN = 20_000, 10_000


@dataclass(frozen=True)
class Checked:
    """The outcome for one frame.

    Attributes:
        good: typed rows under the table's column names, with the carried columns and `recorded_at` (null: not given).
        bad: `position` (row of the frame from 0), the carried columns, `day_at` (the contract's `day_of`, null where it
            cannot be read or there is none), `rule` and `column_name`, `row_key` (the natural key as `key_text` has it, null
            where it cannot be read) and `known_at` (recorded_at, null where it is not given), one row each.
        noted: the same of good rows that break a rule which only warns.
    """

    good: pl.DataFrame
    bad: pl.DataFrame
    noted: pl.DataFrame


@dataclass
class Faults:
    """Rules broken so far; of several in one row the first one added counts. Those of `warning` only leave a note."""

    height: int
    warning: frozenset[str] = frozenset()
    found: list[tuple[pl.Series, str, str | None]] = field(default_factory=list)
    noted: list[tuple[pl.Series, str, str | None]] = field(default_factory=list)

    def add(self, mask: pl.Series, rule: str, column: str | None) -> None:
        """Note the rows of a mask; null counts as not broken."""
        if mask.any():
            (self.noted if rule in self.warning else self.found).append((mask.fill_null(value=False), rule, column))

    def notes(self) -> "Faults":
        """The warnings, apart from those of rows that are bad anyhow."""
        bad = self.bad()
        kept = [(mask & ~bad, rule, column) for mask, rule, column in self.noted]
        return Faults(self.height, found=[fault for fault in kept if fault[0].any()])

    def bad(self) -> pl.Series:
        """Whether each row breaks a rule."""
        nothing = pl.repeat(value=False, n=self.height, dtype=pl.Boolean, eager=True)
        return reduce(lambda all_bad, item: all_bad | item[0], self.found, nothing)

    def table(self, origin: pl.DataFrame) -> pl.DataFrame:
        """position, the columns of `origin`, rule and column_name of every bad row."""
        if not self.found:
            return pl.DataFrame(
                schema={"position": pl.UInt32, **origin.schema, "rule": pl.String, "column_name": pl.String}
            )
        code = pl.repeat(None, self.height, dtype=pl.Int32, eager=True)
        for number, (mask, _, _) in reversed(list(enumerate(self.found))):
            code = pl.select(pl.when(mask).then(pl.lit(number, pl.Int32)).otherwise(code)).to_series()
        names = pl.DataFrame(
            {
                "code": pl.Series(range(len(self.found)), dtype=pl.Int32),
                "rule": pl.Series([rule for _, rule, _ in self.found], dtype=pl.String),
                "column_name": pl.Series([column for _, _, column in self.found], dtype=pl.String),
            }
        )
        rows = origin.with_columns(code.alias("code")).with_row_index("position").drop_nulls("code")
        return rows.join(names, on="code", how="left", maintain_order="left").drop("code")


def _stripped(cells: pl.Series) -> pl.Series:
    """Text cells without blanks around them, empty ones as null."""
    if cells.dtype != pl.String:
        cells = cells.cast(pl.String, strict=False)
    values = cells.unique()
    stripped = values.str.strip_chars()
    # Ids and models repeat: where no distinct value changes, the column stays as it is.
    if (stripped == values).fill_null(value=True).all() and not (values == "").any():
        return cells
    return cells.str.strip_chars().replace("", None)


def _text(cells: pl.Series, column: Column, faults: Faults) -> pl.Series:
    text = _stripped(cells)
    faults.add(text.str.contains("\0", literal=True), "not_utf8", column.name)
    allowed = list(column.choices) or (sorted(currency_codes()) if column.name == "currency_code" else [])
    if allowed:
        faults.add(~text.is_in(allowed), "not_allowed" if column.choices else "unknown_currency", column.name)
    return text


def _out_of_range(values: pl.Series, column: Column, faults: Faults) -> None:
    low, high = column.minimum, column.maximum
    if values.dtype.is_float():
        bounds: tuple[float | Decimal | int | None, ...] = tuple(None if b is None else float(b) for b in (low, high))
    elif values.dtype.is_integer():
        bounds = tuple(None if b is None else int(b) for b in (low, high))
    else:
        bounds = (low, high)
    if bounds[0] is not None:
        faults.add(values < bounds[0], "out_of_range", column.name)
    if bounds[1] is not None:
        faults.add(values > bounds[1], "out_of_range", column.name)


def _measured(cells: pl.Series, column: Column, faults: Faults) -> pl.Series:
    """A measurement; kept as whole thousandths or millionths, so that sums over it are exact."""
    if cells.dtype == pl.String:
        text = _stripped(cells)
        text = text.set(text.is_in(_NOT_AVAILABLE), None)
        faults.add(~text.str.contains(_NUMBER), "not_a_number", column.name)
        numbers = text.cast(pl.Float64, strict=False)
    elif cells.dtype.is_numeric():
        numbers = cells.cast(pl.Float64).fill_nan(None)
    else:
        faults.add(cells.is_not_null(), "not_a_number", column.name)
        return pl.repeat(None, cells.len(), dtype=pl.Int64, eager=True)
    _out_of_range(numbers, column, faults)
    return (numbers * _UNITS[column.kind]).round(0, mode="half_away_from_zero").cast(pl.Int64, strict=False)


def _integer(cells: pl.Series, column: Column, faults: Faults) -> pl.Series:
    if cells.dtype == pl.String:
        # Nullable whole numbers leave many writers as 72.0.
        text = _stripped(cells)
        text = text.set(text.is_in(_NOT_AVAILABLE), None).str.replace(r"^([+-]?\d+)\.0*$", "$1")
        whole = text.cast(pl.Int64, strict=False)
        faults.add(
            text.is_not_null() & (whole.is_null() | ~text.str.contains(r"^[+-]?[0-9]+$")), "not_an_integer", column.name
        )
    elif cells.dtype.is_integer():
        whole = cells.cast(pl.Int64, strict=False)
        faults.add(cells.is_not_null() & whole.is_null(), "not_an_integer", column.name)
    elif cells.dtype.is_numeric():
        numbers = cells.cast(pl.Float64).fill_nan(None)
        whole = numbers.cast(pl.Int64, strict=False)
        is_other = whole.is_null() | (whole.cast(pl.Float64) != numbers)
        faults.add(numbers.is_not_null() & is_other, "not_an_integer", column.name)
    else:
        faults.add(cells.is_not_null(), "not_an_integer", column.name)
        return pl.repeat(None, cells.len(), dtype=pl.Int64, eager=True)
    _out_of_range(whole, column, faults)
    return whole


def _exact(text: str | None) -> Decimal | None:
    try:
        return Decimal(text) if text is not None else None
    except InvalidOperation:
        return None


def _decimal(cells: pl.Series, column: Column, faults: Faults) -> pl.Series:
    """An exact number. A binary float is taken by its shortest decimal text, never by its bits."""
    if isinstance(cells.dtype, pl.Decimal):
        text, is_number = cells.cast(pl.String), cells.is_not_null()
    else:
        if cells.dtype.is_float():
            cells = cells.fill_nan(None)
        text = _stripped(cells)
        is_number = text.str.contains(_NUMBER)
        faults.add(~is_number, "not_a_number", column.name)
    values = text.cast(_WIDE, strict=False)
    # Exponents and numbers of more than 38 digits are rare: the library of the language reads them exactly.
    odd = (is_number & (values.is_null() | text.str.contains("[eE]"))).fill_null(value=False)
    if odd.any():
        limit = Decimal(10) ** 19
        exact = [
            None if number is None else max(min(number, limit), -limit)
            for number in map(_exact, text.filter(odd).to_list())
        ]
        values = values.scatter(odd.arg_true(), pl.Series(exact, dtype=_WIDE))
    bound = Decimal(10) ** (18 - column.scale)
    faults.add((values >= bound) | (values <= -bound), "out_of_range", column.name)
    if not column.rounds:
        places = rf"\.\d{{{column.scale}}}0*[1-9]"
        faults.add(text.str.contains(places), "too_many_decimals", column.name)
    _out_of_range(values, column, faults)
    return values


def _year_out_of_range(values: pl.Series, column: Column, faults: Faults) -> None:
    first, last = values.min(), values.max()
    if isinstance(first, date) and isinstance(last, date) and not FIRST_YEAR <= first.year <= last.year <= LAST_YEAR:
        faults.add(~values.dt.year().is_between(FIRST_YEAR, LAST_YEAR), "out_of_range", column.name)


def _spelled(text: pl.Series) -> pl.DataFrame:
    """The parts of ISO 8601 instants: `local` (seconds always, fraction with a point), `offset` (+hh:mm or null)."""
    parts = pl.DataFrame({"text": text}).select(
        date=pl.col("text").str.extract(_INSTANT, 1),
        minute=pl.col("text").str.extract(_INSTANT, 2),
        second=pl.col("text").str.extract(_INSTANT, 3).fill_null(":00"),
        fraction=pl.col("text").str.extract(_INSTANT, 4).str.replace(",", ".").fill_null(""),
        offset=pl.col("text").str.extract(_INSTANT, 5).str.replace("(?i)^z$", "+00:00"),
    )
    return parts.select(
        local=pl.concat_str("date", pl.lit("T"), "minute", "second", "fraction"),
        offset=pl.col("offset").str.replace(":", "").str.pad_end(5, "0"),
    )


def _other_iso(text: str) -> datetime | None:
    """The rarer spellings of ISO 8601 (without separators, week dates); a bare date is no instant."""
    if "T" not in text.upper():
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _instant(cells: pl.Series, column: Column, faults: Faults, naive_zone: str | None) -> pl.Series:
    if isinstance(cells.dtype, pl.Datetime):
        naive = cells.cast(pl.Datetime("us")) if cells.dtype.time_zone is None else None
        values = cells.cast(pl.Datetime("us", cells.dtype.time_zone))
        if cells.dtype.time_zone is not None:
            values = values.dt.convert_time_zone("UTC")
        is_given = cells.is_not_null()
    elif cells.dtype != pl.String:
        faults.add(cells.is_not_null(), "not_an_instant", column.name)
        return pl.repeat(None, cells.len(), dtype=_INSTANT_TYPE, eager=True)
    else:
        text = _stripped(cells)
        is_given = text.is_not_null()
        parts = _spelled(text)
        whole = parts["local"] + parts["offset"]
        values = whole.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", time_zone="UTC", strict=False)
        naive = parts["local"].str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
        naive = naive.set(parts["offset"].is_not_null(), None)
        rest = (is_given & values.is_null() & naive.is_null()).fill_null(value=False)
        if rest.any():
            found = [_other_iso(item) for item in text.filter(rest).to_list()]
            aware = [item.astimezone(UTC) if item and item.tzinfo else None for item in found]
            local = [item if item and not item.tzinfo else None for item in found]
            values = values.scatter(rest.arg_true(), pl.Series(aware, dtype=_INSTANT_TYPE))
            naive = naive.scatter(rest.arg_true(), pl.Series(local, dtype=pl.Datetime("us")))
    if naive is not None:
        is_naive = naive.is_not_null()
        if naive_zone is None:
            faults.add(is_naive, "naive_instant", column.name)
            values = (
                values
                if values.dtype == _INSTANT_TYPE
                else pl.repeat(None, cells.len(), dtype=_INSTANT_TYPE, eager=True)
            )
            is_given &= ~is_naive
        else:
            local_instants = naive.dt.replace_time_zone(
                naive_zone, ambiguous="null", non_existent="null"
            ).dt.convert_time_zone("UTC")
            faults.add(is_naive & local_instants.is_null(), "local_time_skipped_or_twice", column.name)
            values = pl.select(
                pl.coalesce(values if values.dtype == _INSTANT_TYPE else local_instants, local_instants)
            ).to_series()
    faults.add(is_given & values.is_null(), "not_an_instant", column.name)
    _year_out_of_range(values, column, faults)
    return values


def _date(cells: pl.Series, column: Column, faults: Faults) -> pl.Series:
    if cells.dtype == pl.Date:
        values = cells.cast(pl.Date)
    else:
        text = _stripped(cells)
        # A writer without a date type says midnight.
        values = text.str.replace(r"[T ]00:00(:00)?(\.0+)?$", "").str.to_date("%Y-%m-%d", strict=False)
        faults.add(text.is_not_null() & values.is_null(), "not_a_date", column.name)
    _year_out_of_range(values, column, faults)
    return values


def _boolean(cells: pl.Series, column: Column, faults: Faults) -> pl.Series:
    if cells.dtype == pl.Boolean:
        return cells
    text = _stripped(cells).str.to_lowercase()
    faults.add(~text.is_in(_TRUE + _FALSE), "not_a_boolean", column.name)
    return text.is_in(_TRUE)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _is_json(text: str) -> bool:
    """Whether every reader takes it for JSON: no NaN, no halves of characters, nothing nested beyond reason."""
    try:
        json.dumps(json.loads(text, parse_constant=_no_constant), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def _json(cells: pl.Series, column: Column, faults: Faults) -> pl.Series:
    text = pl.select(cells.struct.json_encode()).to_series() if isinstance(cells.dtype, pl.Struct) else _stripped(cells)
    wrong = [item is not None and not _is_json(item) for item in text.to_list()]
    faults.add(pl.Series(wrong, dtype=pl.Boolean), "not_json", column.name)
    return text


_READERS: dict[str, Callable[[pl.Series, Column, Faults], pl.Series]] = {
    "text": _text,
    "integer": _integer,
    "decimal": _decimal,
    "milli": _measured,
    "micro": _measured,
    "date": _date,
    "boolean": _boolean,
    "json": _json,
}


_TYPES: dict[str, pl.DataType] = {
    "text": pl.String(),
    "integer": pl.Int64(),
    "decimal": _WIDE,
    "milli": pl.Int64(),
    "micro": pl.Int64(),
    "instant": _INSTANT_TYPE,
    "date": pl.Date(),
    "boolean": pl.Boolean(),
    "json": pl.String(),
}


def _coded(cells: pl.Series) -> tuple[pl.Series, pl.Series] | None:
    """Which of its distinct values each cell is, and those values; None where they hardly repeat, or the cells are few.

    Ids, models, instants and rounded measurements of telemetry repeat by the thousand: each spelling is read once.
    """
    if cells.dtype != pl.String or cells.len() < _FEW:
        return None
    if cells.gather_every(cells.len() // _SEEN).n_unique() > _SEEN // 4:
        return None
    array = cells.to_arrow()
    encoded = array.dictionary_encode()
    distinct = pl.Series(encoded.dictionary, dtype=pl.String)
    return (pl.Series(encoded.indices), distinct) if distinct.len() * 4 <= cells.len() else None


def read_column(cells: pl.Series, column: Column, faults: Faults, naive_zone: str | None) -> pl.Series:
    """One column typed; what is wrong with its cells is added to `faults`."""
    coded = _coded(cells)
    if cells.null_count() == cells.len():
        values = pl.repeat(None, cells.len(), dtype=_TYPES[column.kind], eager=True)
    elif coded is not None:
        codes, distinct = coded
        of_distinct = Faults(distinct.len(), faults.warning)
        values = read_column(distinct, column, of_distinct, naive_zone).gather(codes)
        for mask, rule, name in (*of_distinct.found, *of_distinct.noted):
            faults.add(mask.gather(codes), rule, name)
    elif column.kind == "instant":
        values = _instant(cells, column, faults, naive_zone)
    else:
        values = _READERS[column.kind](cells, column, faults)
    if column.default is not None:
        values = values.fill_null(column.default)
    return values.alias(column.table_name)


def key_text(contract: FeedContract) -> pl.Expr:
    """The natural key of typed rows as one text, parted by unit separators; null where a part of it is missing.

    Instants as microseconds since 1970: SQL has the same in documents.key_text.
    """
    parts = [
        pl.col(name).dt.epoch("us").cast(pl.String)
        if contract.column(name).kind == "instant"
        else pl.col(name).cast(pl.String)
        for name in contract.key
    ]
    return pl.concat_str(parts, separator="\x1f").alias("row_key")


def _with_keys(bad: pl.DataFrame, rows: pl.DataFrame, contract: FeedContract) -> pl.DataFrame:
    keys = rows[bad["position"]].select(key_text(contract), known_at=RECORDED_AT.name)
    return bad.hstack(keys)


def _cells_of(frame: pl.DataFrame, column: Column) -> pl.Series:
    """A column's cells as they came; all empty where the file has no such column."""
    if column.name in frame.columns:
        return frame[column.name]
    return pl.repeat(None, frame.height, dtype=pl.String, eager=True)


def typed(
    frame: pl.DataFrame, contract: FeedContract, names: Sequence[str], naive_zone: str | None, carried: Sequence[str]
) -> pl.DataFrame:
    """Some columns of a frame as `check` types them, by their names in the table; what is wrong is said there."""
    columns = [column for column in contract.columns if column.table_name in names]
    unsaid = Faults(frame.height)
    return pl.DataFrame(
        [frame[name].cast(pl.Int64) for name in carried]
        + [read_column(_cells_of(frame, column), column, unsaid, naive_zone) for column in columns]
    )


def check(
    frame: pl.DataFrame,
    contract: FeedContract,
    naive_zone: str | None,
    row_rules: Callable[[pl.DataFrame, Faults], pl.DataFrame] | None = None,
    *,
    carried: tuple[str, ...] = ("line_no",),
    warning: frozenset[str] = frozenset(),
) -> Checked:
    """Type a frame and part its rows into good and bad ones.

    Args:
        frame: cells under canonical names, with `line_no`; `line_text` non-null marks a row that is not whole,
            and `line_rule` beside it may say in which way.
        contract: the feed's contract.
        naive_zone: the zone of instants without offset, None where they are an error.
        row_rules: what else is to be checked or derived; gets the typed frame with all rows.
        carried: integer columns that say where a row came from, kept as they are.
        warning: rules that only leave a note.

    Returns:
        Good and bad rows; together they are all rows.
    """
    faults = Faults(frame.height, warning)
    if "line_text" in frame.columns:
        is_torn = frame["line_text"].is_not_null()
        for rule in frame["line_rule"].drop_nulls().unique().sort() if "line_rule" in frame.columns else ():
            faults.add(is_torn & (frame["line_rule"] == rule), rule, None)
        faults.add(is_torn, "row_not_whole", None)
    columns = [frame[name].cast(pl.Int64) for name in carried]
    for column in (*contract.columns, RECORDED_AT):
        before = len(faults.found)
        values = read_column(_cells_of(frame, column), column, faults, naive_zone)
        if column.is_required and values.null_count():
            # Only a cell that was empty is missing; one that could not be read has its own rule.
            unread = [mask for mask, _, _ in faults.found[before:]]
            faults.add(
                reduce(lambda empty, mask: empty & ~mask, unread, values.is_null()), "missing_value", column.name
            )
        columns.append(values)
    rows = pl.DataFrame(columns)
    for start, end in contract.ordered:
        faults.add(rows[end] <= rows[start], "ends_before_it_starts", end)
    if row_rules:
        rows = row_rules(rows, faults)
    bad = faults.bad()
    day_at = pl.lit(None, pl.Date) if contract.day_of is None else rows[contract.day_of]
    origin = frame.select(pl.col(carried).cast(pl.Int64)).with_columns(day_at.alias("day_at"))
    good = rows.filter(~bad) if bad.any() else rows
    broken, noted = (_with_keys(found.table(origin), rows, contract) for found in (faults, faults.notes()))
    return Checked(good, broken, noted)
