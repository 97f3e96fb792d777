"""AEMO's NEM12 interval meter files, mapped onto power_meter.

Written after AEMO's "Meter Data File Format Specification NEM12 & NEM13" (v2.x: records 100, 200, 300, 400, 500, 900).
The library nemreader reads the same files and is the oracle of the tests; it is not used here because it drops a day
whose
number of values is wrong with a log line only, takes surplus values for the quality flag (96 quarter hours under a
30-minute header read as 48 half hours), gives no line numbers and no UpdateDateTime, sums in floats, and unpacks zips
unbounded.

Registers follow the NMI suffix: E… is energy taken from the grid (facility), B… energy given to it (generation). Other
quantities (Q and K reactive, V volts …), check and average meters (C, F, A, D) and net streams (N) give no rows: they are
no active energy, or the same energy again. A record that cannot be read costs itself only; a file that begins with a 100
record and does not end with a 900 record was cut, which one row says.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import polars as pl

from ingest.formats.errors import FormatError
from ingest.formats.numbers import number
from ingest.formats.opening import Head, Line, members
from ingest.formats.park import ParkClock, iso

NAME = "nem12"
FEEDS = ("power_meter",)

COLUMNS = (
    "meter_id",
    "register",
    "role",
    "interval_start_at",
    "interval_end_at",
    "energy_kwh",
    "quality",
    "recorded_at",
)

# "Interval data is in market time": Australian Eastern Standard Time, without summer time, in every state.
MARKET_TIME = timezone(timedelta(hours=10))

_ROLES = {"E": "facility", "B": "generation"}
_TO_KWH = {"WH": Decimal("0.001"), "KWH": Decimal(1), "MWH": Decimal(1000), "GWH": Decimal(1_000_000)}
# First letter of the QualityMethod; the digits after it name the substitution method. N is "no data" and V "variable".
_QUALITIES = {"A": "actual", "S": "substituted", "F": "substituted", "E": "estimated"}
_MINUTES_A_DAY = 1440
FRAME_ROWS = 200_000
# Of a record that cannot be read, so many characters are kept.
_SHOWN = 4096
_NO_TEXT = "(no text)"


@dataclass
class _Stream:
    """A 200 record: one data stream of one meter."""

    nmi: str
    suffix: str
    unit: str
    minutes: int
    problem: str | None = None


@dataclass
class _Torn:
    """A record that cannot be read, or the end that a file lacks."""

    line_no: int
    text: str
    rule: str = "row_not_whole"


@dataclass
class _Day:
    """A 300 record with the 400 records after it. With a problem, the day becomes one row that says why."""

    stream: _Stream
    line_no: int
    start: datetime
    values: list[str]
    quality: str
    recorded_at: str | None
    qualities: list[str | None] = field(default_factory=list)
    problem: str | None = None


def recognise(head: Head) -> str | None:
    """None if this is a NEM12 file (also without its 100 record, or zipped), else why not."""
    rows = [line.split(",") for line in head.lines[:50] if line.strip(" ,")]
    if head.kind != "text" or not rows:
        return "no NEM12 records"
    first = rows[0]
    if first[0].strip() == "100":
        version = first[1].strip().upper() if len(first) > 1 else ""
        if version == "NEM13":
            return "NEM13 holds accumulated reads without intervals; ask the sender for NEM12"
        return None if version == "NEM12" else f"record 100 names version {version!r}, not NEM12"
    # Some senders leave the header out: a 200 record with a valid interval length and a 300 record show what it is.
    if (
        first[0].strip() == "200"
        and len(first) > 8
        and first[8].strip().isdigit()
        and any(row[0] == "300" for row in rows)
    ):
        return None
    return "the first record is neither 100 nor 200"


def _stamp(text: str) -> str | None:
    """Date8, DateTime12 or DateTime14 in market time as an ISO instant, None if it is none of them."""
    digits = text.strip()
    formats = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
    if len(digits) not in formats or not digits.isdigit():
        return None
    try:
        return iso(datetime.strptime(digits, formats[len(digits)]).replace(tzinfo=MARKET_TIME))
    except ValueError:
        return None


def _field(row: list[str], position: int) -> str:
    return row[position].strip() if position < len(row) else ""


def _stream(row: list[str], line_no: int) -> _Stream:
    minutes = _field(row, 8)
    nmi, suffix = _field(row, 1), _field(row, 4).upper()
    problem: str | None = None
    if not minutes.isdigit() or int(minutes) == 0 or _MINUTES_A_DAY % int(minutes):
        problem = f"line {line_no}: interval length {minutes!r} does not divide a day"
    elif not nmi or not suffix:
        problem = f"line {line_no}: record 200 names no NMI or no NMI suffix"
    return _Stream(nmi, suffix, _field(row, 7).upper(), 0 if problem else int(minutes), problem)


def _day(stream: _Stream | None, row: list[str], line_no: int, header_at: str | None) -> _Day | _Torn | None:
    """A 300 record; None where its stream is of another quantity."""
    if stream is None:
        return _Torn(line_no, f"record 300 before any record 200: {','.join(row)[:_SHOWN]}")
    if not stream.problem and stream.suffix[0] not in _ROLES:
        return None
    date = _field(row, 1)
    try:
        start = datetime.strptime(date, "%Y%m%d").replace(tzinfo=MARKET_TIME)
    except ValueError:
        return _Torn(line_no, f"{date!r} is no date (YYYYMMDD): {','.join(row)[:_SHOWN]}")
    if stream.problem:
        return _Torn(line_no, f"{stream.problem}: {','.join(row)[:_SHOWN]}")
    count = _MINUTES_A_DAY // stream.minutes
    # A quality letter ends the values, wherever it stands: so a wrong number of values is seen, never taken for a
    # right one.
    end = next((i for i, cell in enumerate(row[2:], start=2) if cell.strip()[:1].isalpha()), None)
    day = _Day(stream, line_no, start, row[2 : 2 + count], _field(row, 2 + count).upper(), None)
    if end != 2 + count:
        found = "no quality flag" if end is None else f"{end - 2} values"
        day.problem = f"{found} where {count} values of {stream.minutes} minutes and a quality flag belong"
        return day
    # UpdateDateTime is the provider's own version of the day; without it, the file's creation stands in.
    day.recorded_at = _stamp(_field(row, 2 + count + 3)) or header_at
    variable = day.quality[:1] == "V"
    day.qualities = [None if variable else day.quality] * count
    return day


def _event(day: _Day, row: list[str], line_no: int) -> None:
    """A 400 record: the quality of intervals `from` to `to`, counted from 1."""
    if day.problem:
        return
    first, last, quality = _field(row, 1), _field(row, 2), _field(row, 3).upper()
    if not first.isdigit() or not last.isdigit():
        day.problem = f"record 400 on line {line_no} needs two interval numbers"
        return
    if not 1 <= int(first) <= int(last) <= len(day.values):
        day.problem = f"record 400 on line {line_no} covers intervals {first} to {last} of {len(day.values)}"
        return
    day.qualities[int(first) - 1 : int(last)] = [quality] * (int(last) - int(first) + 1)


def _energy(text: str, unit: str) -> str:
    """A value in kWh; what is no number or has no unit of energy stays as it came, for landing to quarantine."""
    value = number(text)
    if value is None:
        return text.strip()
    factor = _TO_KWH.get(unit)
    return f"{value * factor:f}" if factor is not None else f"{text.strip()} {unit or '(no unit)'}"


def _rows(day: _Day) -> Iterator[dict[str, str | int | None]]:
    stream = day.stream
    base: dict[str, str | int | None] = {
        "meter_id": stream.nmi,
        "register": stream.suffix,
        "role": _ROLES[stream.suffix[0]],
        "recorded_at": day.recorded_at,
        "source_line": day.line_no,
    }
    if day.problem:
        yield {
            **base,
            "interval_start_at": iso(day.start),
            "interval_end_at": iso(day.start + timedelta(days=1)),
            "energy_kwh": day.problem,
            "quality": day.quality,
        }
        return
    step = timedelta(minutes=stream.minutes)
    for i, (value, quality) in enumerate(zip(day.values, day.qualities, strict=True)):
        letter = (quality or "V")[:1]
        yield {
            **base,
            "interval_start_at": iso(day.start + i * step),
            "interval_end_at": iso(day.start + (i + 1) * step),
            # N: the meter has no data; its placeholder is no measurement of nothing.
            "energy_kwh": None if letter == "N" else _energy(value, stream.unit),
            "quality": _QUALITIES.get(letter, quality or "V without a 400 record"),
        }


def _records(lines: Iterator[Line]) -> Iterator[tuple[int, str, list[str]]]:
    """Line number, indicator and cells of the lines that hold something; one that is no text is of the indicator _NO_TEXT."""
    for line_no, text, rule in lines:
        if rule is not None:
            yield line_no, _NO_TEXT, [text[:_SHOWN], rule]
            continue
        try:
            row = next(csv.reader([text.rstrip("\r")]), [])
        except csv.Error:
            row = [text[:_SHOWN]]
        if row and row[0].strip():
            yield line_no, row[0].strip(), row


def _days_of(lines: Iterator[Line]) -> Iterator[_Day | _Torn]:
    header_at: str | None = None
    stream: _Stream | None = None
    day: _Day | _Torn | None = None
    is_open, line_no = False, 0
    for line_no, record, row in _records(lines):
        if day is not None and record not in {"400", "500"}:
            # Only 400 and 500 belong to the day before them; anything else ends it.
            yield day
            day = None
        if record == _NO_TEXT:
            yield _Torn(line_no, *row)
            is_open = is_open and row[1] != "truncated"
        elif record == "100":
            header_at, stream, is_open = _stamp(_field(row, 2)), None, True
            if _field(row, 1).upper() != "NEM12":
                yield _Torn(line_no, f"version {_field(row, 1)!r} is not NEM12: {','.join(row)[:_SHOWN]}")
        elif record == "200":
            stream = _stream(row, line_no)
        elif record == "300":
            day = _day(stream, row, line_no, header_at)
        elif record == "400" and isinstance(day, _Day):
            _event(day, row, line_no)
        elif record == "900":
            is_open = False
        elif record not in {"400", "500"}:
            yield _Torn(line_no, f"{record[:20]!r} is no record of NEM12: {','.join(row)[:_SHOWN]}")
    if day is not None:
        yield day
    if is_open:
        yield _Torn(line_no + 1, "the file has no 900 record at its end: it was cut", "truncated")


def days(path: Path) -> Iterator[_Day | _Torn]:
    """Every 300 record of active energy with its 400 records applied, over all members of a zip, and torn records.

    Raises:
        FormatError: the file or archive cannot be opened as text.
    """
    for lines in members(path):
        yield from _days_of(lines)


_TORN_SCHEMA = {"line_no": pl.Int64, "source_line": pl.Int64, "line_text": pl.String, "line_rule": pl.String}


def read(path: Path, feed: str, park: ParkClock) -> Iterator[pl.DataFrame]:  # noqa: ARG001 (every format has these three)
    """One row per interval of active energy, all columns text as in a canonical CSV, in frames of some 200,000 rows.

    Yields:
        COLUMNS, line_no (number of the row: one record holds a day), source_line, line_text and line_rule (of records
        that cannot be read). energy_kwh kWh, never negative for either direction; interval starts and ends UTC;
        recorded_at the provider's UpdateDateTime. A day whose number of values is wrong is one row that says so in
        energy_kwh; values without data have none.

    Raises:
        FormatError: see `days`; nothing of the file can be read.
    """
    schema = {**dict.fromkeys(COLUMNS, pl.String), **_TORN_SCHEMA}
    rows: list[dict[str, str | int | None]] = []
    done, whole, torn = 0, 0, 0
    first: _Torn | None = None
    for day in days(path):
        if isinstance(day, _Torn):
            first, torn = first or day, torn + 1
            rows.append({"source_line": day.line_no, "line_text": day.text, "line_rule": day.rule})
        else:
            whole += 1
            rows.extend(_rows(day))
        if len(rows) >= FRAME_ROWS:
            yield _frame(rows, schema, done)
            done, rows = done + len(rows), []
    if first is not None and not whole and first.rule != "truncated":
        raise FormatError(path, [f"none of its records can be read: line {first.line_no}: {first.text}"])
    if rows or not done:
        yield _frame(rows, schema, done)


def _frame(rows: list[dict[str, str | int | None]], schema: dict[str, type[pl.DataType]], done: int) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=schema)
    return frame.with_columns(line_no=pl.int_range(done + 1, done + frame.height + 1, dtype=pl.Int64))
