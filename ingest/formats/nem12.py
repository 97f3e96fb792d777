"""AEMO's NEM12 interval meter files, mapped onto power_meter.

Written after AEMO's "Meter Data File Format Specification NEM12 & NEM13" (v2.x: records 100, 200, 300, 400, 500, 900).
The library nemreader reads the same files and is the oracle of the tests; it is not used here because it drops a day
whose
number of values is wrong with a log line only, takes surplus values for the quality flag (96 quarter hours under a
30-minute header read as 48 half hours), gives no line numbers and no UpdateDateTime, sums in floats, and unpacks zips
unbounded.

Registers follow the NMI suffix: E… is energy taken from the grid (facility), B… energy given to it (generation).
Suffixes of other quantities (Q and K reactive, V volts …) are no active energy and give no rows.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path

import polars as pl

from ingest.formats.errors import FormatError
from ingest.formats.opening import Head, texts
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


@dataclass
class _Stream:
    """A 200 record: one data stream of one meter."""

    nmi: str
    suffix: str
    unit: str
    minutes: int


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


def _stream(path: Path, row: list[str], line_no: int) -> _Stream:
    minutes = _field(row, 8)
    if not minutes.isdigit() or int(minutes) == 0 or _MINUTES_A_DAY % int(minutes):
        raise FormatError(path, [f"line {line_no}: interval length {minutes!r} does not divide a day"])
    nmi, suffix = _field(row, 1), _field(row, 4).upper()
    if not nmi or not suffix:
        raise FormatError(path, [f"line {line_no}: record 200 names no NMI or no NMI suffix"])
    return _Stream(nmi, suffix, _field(row, 7).upper(), int(minutes))


def _day(path: Path, stream: _Stream, row: list[str], line_no: int, header_at: str | None) -> _Day:
    date = _field(row, 1)
    try:
        start = datetime.strptime(date, "%Y%m%d").replace(tzinfo=MARKET_TIME)
    except ValueError as error:
        raise FormatError(path, [f"line {line_no}: {date!r} is no date (YYYYMMDD)"]) from error
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


def _event(path: Path, day: _Day, row: list[str], line_no: int) -> None:
    """A 400 record: the quality of intervals `from` to `to`, counted from 1."""
    if day.problem:
        return
    first, last, quality = _field(row, 1), _field(row, 2), _field(row, 3).upper()
    if not first.isdigit() or not last.isdigit():
        raise FormatError(path, [f"line {line_no}: record 400 needs two interval numbers"])
    if not 1 <= int(first) <= int(last) <= len(day.values):
        day.problem = f"record 400 on line {line_no} covers intervals {first} to {last} of {len(day.values)}"
        return
    day.qualities[int(first) - 1 : int(last)] = [quality] * (int(last) - int(first) + 1)


def _energy(text: str, unit: str) -> str:
    """A value in kWh; what is no number or has no unit of energy stays as it came, for landing to quarantine."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        return text.strip()
    if not value.is_finite():
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


def _records(path: Path, where: str, text: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of the lines that hold something."""
    reader = csv.reader(text.splitlines())
    try:
        for row in reader:
            if row and row[0].strip():
                yield reader.line_num, row
    except csv.Error as error:
        raise FormatError(path, [f"{where}line {reader.line_num}: {error}"]) from error


def _days_of(path: Path, where: str, text: str) -> Iterator[_Day]:
    header_at: str | None = None
    stream: _Stream | None = None
    day: _Day | None = None
    for line_no, row in _records(path, where, text):
        record = row[0].strip()
        if day is not None and record not in {"400", "500"}:
            # Only 400 and 500 belong to the day before them; anything else ends it.
            yield day
            day = None
        if record == "100":
            if _field(row, 1).upper() != "NEM12":
                raise FormatError(path, [f"{where}line {line_no}: version {_field(row, 1)!r} is not NEM12"])
            header_at, stream = _stamp(_field(row, 2)), None
        elif record == "200":
            stream = _stream(path, row, line_no)
        elif record == "300":
            if stream is None:
                raise FormatError(path, [f"{where}line {line_no}: record 300 before any record 200"])
            day = _day(path, stream, row, line_no, header_at) if stream.suffix[0] in _ROLES else None
        elif record == "400" and day is not None:
            _event(path, day, row, line_no)
        elif record not in {"400", "500", "900"}:
            raise FormatError(path, [f"{where}line {line_no}: {record[:20]!r} is no record of NEM12"])
    if day is not None:
        yield day


def days(path: Path) -> Iterator[_Day]:
    """Every 300 record of active energy with its 400 records applied, over all members of a zip.

    Raises:
        FormatError: records out of place, dates or interval lengths that cannot be read.
    """
    for member, text in texts(path):
        yield from _days_of(path, f"{member}: " if member else "", text)


def read(path: Path, feed: str, park: ParkClock) -> pl.DataFrame:  # noqa: ARG001 (every format has these three)
    """One row per interval of active energy, all columns text as in a canonical CSV.

    Returns:
        COLUMNS, line_no (number of the row: one record holds a day) and source_line. energy_kwh kWh, never negative for
        either direction; interval starts and ends UTC; recorded_at the provider's UpdateDateTime. A day whose number of
        values is wrong is one row that says so in energy_kwh; values without data have none.

    Raises:
        FormatError: see `days`; also a file whose records hold nothing but other quantities gives an empty frame, not
        this.
    """
    rows = [row for day in days(path) for row in _rows(day)]
    schema = {**dict.fromkeys(COLUMNS, pl.String), "source_line": pl.Int64}
    return (
        pl.DataFrame(rows, schema=schema)
        .with_row_index("line_no", offset=1)
        .with_columns(pl.col("line_no").cast(pl.Int64))
    )
