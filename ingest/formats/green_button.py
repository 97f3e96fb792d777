"""Green Button downloads (NAESB ESPI in an Atom feed), mapped onto power_meter.

Electric energy by interval only: gas, water, power and cumulative registers are no interval energy and are refused by
name. What a reading leaves out stands in its type (quality) or its block (start; the type has the length). XML is parsed
by defusedxml, which refuses entities and external documents, piece by piece: a feed is gone through once for its entries
and what they point to, and once for its readings, of which one at a time is in memory.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from xml.etree.ElementTree import Element, ParseError

import polars as pl
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from ingest.formats.errors import FormatError
from ingest.formats.numbers import number, plain
from ingest.formats.opening import Head, stream_chunks
from ingest.formats.park import ParkClock, iso

NAME = "green_button"
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
_SCHEMA = {
    **dict.fromkeys(COLUMNS, pl.String),
    "line_no": pl.Int64,
    "line_text": pl.String,
    "line_rule": pl.String,
}
_SHOWN_OTHERS = 20

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# UnitSymbolKind: 72 watt-hours, 31 joules.
_PER_KWH = {"72": 1000, "31": 3_600_000}
# CommodityKind: 0 none, 1 and 2 electricity metered at low and high voltage. A gas meter may well count in watt-hours.
_ELECTRICITY = {"", "0", "1", "2"}
# FlowDirectionType: 1 forward (delivered to the customer), 19 reverse; without one, consumption is meant.
_ROLES = {"": "facility", "1": "facility", "19": "generation"}
# AccumulationKind: 1 bulk quantity, 2 continuous cumulative and 3 cumulative are register states, not the energy of an
# interval.
_REGISTER_STATES = {"1": "bulk quantity", "2": "continuous cumulative", "3": "cumulative"}
# QualityOfReading: 0 valid, 14 raw, 17 validated, 18 verified, 19 revenue-quality; 7 manually edited; the others are
# guesses.
_ACTUAL = {"", "0", "14", "17", "18", "19"}
# UnitMultiplierKind: pico to tera.
_MULTIPLIERS = {str(power) for power in (-12, -9, -6, -3, -2, -1, 0, 1, 2, 3, 6, 9, 12)}
# A feed has an entry for each day of a meter, and a reading some fourteen tags. What is far beyond would fill the memory.
_MAX_ENTRIES, _MAX_LINKS, _MAX_KEPT, _MAX_DEPTH, _MAX_ADDRESS = 200_000, 1_000_000, 1000, 100, 2000
_MAX_SILENT_BYTES = 8 * 1024**2
_FRAME_ROWS = 100_000
_LAST_SECOND = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())
_METER = re.compile(r"(?:(?:RetailCustomer|User|BillingAccount)/[^/]+/)?UsagePoint/[^/]+")


# What a reading takes from its type.
_OF_TYPE = (
    "accumulationBehaviour",
    "commodity",
    "defaultQuality",
    "flowDirection",
    "intervalLength",
    "powerOfTenMultiplier",
    "uom",
)
_LINKED = ("UsagePoint", "MeterReading", "ReadingType")


@dataclass(slots=True)
class _Entry:
    """An Atom entry: its own address, the collection it lies in, what it points to, and which ESPI resource it holds."""

    own: str = ""
    up: str = ""
    related: set[str] = field(default_factory=set)
    updated: str | None = None
    kind: str = ""
    reading_type: dict[str, str] = field(default_factory=dict)

    def link(self, element: Element) -> None:
        """One more link; an address of thousands of letters is none."""
        href, rel = element.get("href", ""), element.get("rel", "")
        if len(href) > _MAX_ADDRESS:
            return
        if rel == "self":
            self.own = href
        elif rel == "up":
            self.up = href
        else:
            self.related.add(href)

    def resource(self, element: Element) -> None:
        """What the entry holds, if anything leads to or from it."""
        name = _local(element)
        if name in _LINKED:
            self.kind = name
        if name == "ReadingType":
            self.reading_type = {code: _text(element, code)[:_MAX_ADDRESS] for code in _OF_TYPE}

    def holds(self, other: "_Entry") -> bool:
        """Whether this entry's links or address lead to another entry."""
        linked = bool(self.related & {other.own, other.up} - {""})
        return linked or (bool(self.own) and f"{other.own}/".startswith(f"{self.own}/"))


@dataclass(frozen=True)
class Reading:
    """One interval reading as the feed has it: value × 10**multiplier in the unit of `uom` (ESPI's code, 72 is Wh)."""

    meter_id: str
    register: str
    flow_direction: str
    accumulation: str
    commodity: str
    uom: str
    multiplier: str
    quality: str
    start: str
    duration: str
    value: str
    updated: str | None


def recognise(head: Head) -> str | None:
    """None if this is XML of the ESPI namespace, else why not."""
    if head.kind != "text" or head.is_zip or not head.text.lstrip().startswith("<"):
        return "no XML"
    return None if "http://naesb.org/espi" in head.text else "the XML does not name the namespace http://naesb.org/espi"


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: Element | None, *path: str) -> str:
    """The text at a path of local names, '' if there is none: senders use three different prefixes."""
    for name in path:
        element = next((child for child in element if _local(child) == name), None) if element is not None else None
    return (element.text or "").strip() if element is not None else ""


class _Bytes:
    """The bytes of a file for the parser, which may not read on for ever without an element that begins or ends."""

    def __init__(self, path: Path) -> None:
        self._path, self._chunks = path, stream_chunks(path)
        self._rest = b""
        self.silent = 0

    def read(self, size: int) -> bytes:
        if not self._rest:
            chunk, reason = next(self._chunks, (b"", None))
            if reason is not None:
                raise _BrokenXmlError(self._path, [reason])
            self._rest = chunk
        part, self._rest = self._rest[:size], self._rest[size:]
        self.silent += len(part)
        if self.silent > _MAX_SILENT_BYTES:
            raise FormatError(self._path, [f"{_MAX_SILENT_BYTES:,} bytes of it hold no tag, and so no reading"])
        return part


class _BrokenXmlError(FormatError):
    """From some place on the document is no XML, or cannot be decompressed."""


def _elements(path: Path, kept: set[str]) -> Iterator[tuple[Element, list[str]]]:
    """(element, local names of those around it) as they end; elements are gone afterwards but for those within `kept`."""
    source = _Bytes(path)
    around: list[tuple[Element, str]] = []
    kept_depth, kept_count = 0, 0
    try:
        for event, element in iterparse(cast("Any", source), events=("start", "end"), forbid_dtd=True):
            source.silent = 0
            if event == "start":
                around.append((element, _local(element)))
                kept_depth += kept_depth > 0 or around[-1][1] in kept
                kept_count += kept_depth > 0
                if len(around) > _MAX_DEPTH:
                    raise FormatError(path, [f"its tags lie more than {_MAX_DEPTH} deep, and hold hardly a reading"])
                if kept_count > _MAX_KEPT:
                    raise FormatError(path, [f"one reading in it holds more than {_MAX_KEPT:,} tags"])
                continue
            around.pop()
            kept_depth -= kept_depth > 0
            yield element, [name for _, name in around]
            if not kept_depth and around:
                # The parser may be ahead, but all before this child are gone.
                del around[-1][0][0]
                kept_count = 0
    except DefusedXmlException as error:
        raise FormatError(path, [f"XML with document types or entities is refused: {type(error).__name__}"]) from error
    except ParseError as error:
        raise _BrokenXmlError(path, [f"no well-formed XML: {error}"]) from error


def _instant(text: str | None) -> str | None:
    try:
        found = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return iso(found) if found.tzinfo else None


def _only_or_holding(candidates: list[_Entry], inner: _Entry) -> _Entry | None:
    """The entry that leads to another; where the links are broken but there is only one of its kind, that one."""
    held = [entry for entry in candidates if entry.holds(inner)]
    return held[0] if held else candidates[0] if len(candidates) == 1 else None


def _entries(path: Path) -> list[_Entry]:
    """The entries of a feed in its order; where it breaks off, those before."""
    entries = [_Entry()]
    link_count = 0
    try:
        for element, around in _elements(path, {"ReadingType"}):
            name, inside = _local(element), around[-1] if around else ""
            if name == "entry":
                entries.append(_Entry())
            elif inside == "content":
                entries[-1].resource(element)
            elif inside == "entry" and name == "updated":
                entries[-1].updated = _instant(element.text)
            elif inside == "entry" and name == "link":
                link_count += 1
                entries[-1].link(element)
            if len(entries) > _MAX_ENTRIES or link_count > _MAX_LINKS:
                raise FormatError(
                    path, [f"it holds more than {_MAX_ENTRIES:,} entries or {_MAX_LINKS:,} links; split it"]
                )
    except _BrokenXmlError:
        if len(entries) == 1:
            raise
        return entries
    if len(entries) == 1:
        raise FormatError(path, ["the feed has no entries"])
    return entries[:-1]


@dataclass(frozen=True)
class _Series:
    """What the readings of an entry share."""

    meter_id: str
    register: str
    of_type: dict[str, str]
    updated: str | None


def _series(entry: _Entry, entries_of: dict[str, list[_Entry]]) -> _Series:
    meter = _only_or_holding(entries_of["MeterReading"], entry)
    point = _only_or_holding(entries_of["UsagePoint"], meter or entry)
    types = entries_of["ReadingType"]
    kind = next((one for one in types if meter is not None and one.own in meter.related), None)
    kind = kind or (types[0] if len(types) == 1 else _Entry())
    own = point.own if point else ""
    named = _METER.search(own)
    return _Series(
        meter_id=named[0] if named else own,
        register=(meter.own.rpartition("/")[2] if meter else "") or "1",
        of_type=kind.reading_type or dict.fromkeys(_OF_TYPE, ""),
        updated=entry.updated,
    )


def readings(path: Path) -> Iterator[Reading]:
    """Every IntervalReading of a feed of any size in its order, whatever it measures.

    Raises:
        FormatError: no XML, little but tags, an element without end, entities, or no Atom entries; it may come after
            readings that were whole.
    """
    entries = _entries(path)
    entries_of = {kind: [entry for entry in entries if entry.kind == kind] for kind in _LINKED}
    entry_no, number_before, block_start = 0, 0, ""
    shared: _Series | None = None
    for element, around in _elements(path, {"IntervalReading", "interval"}):
        name, inside = _local(element), around[-1] if around else ""
        if name == "entry":
            entry_no, shared = entry_no + 1, None
        elif name == "IntervalBlock":
            number_before, block_start = 0, ""
        elif name == "interval" and inside == "IntervalBlock":
            block_start = _text(element, "start")
        elif name == "IntervalReading" and inside == "IntervalBlock" and "entry" in around:
            shared = shared or _series(entries[entry_no], entries_of)
            yield _reading(element, shared, block_start, number_before)
            number_before += 1


def _reading(one: Element, shared: _Series, block_start: str, number_before: int) -> Reading:
    of_type = shared.of_type
    qualities = [_text(quality, "quality") for quality in one if _local(quality) == "ReadingQuality"]
    start, duration = _times(one, block_start, of_type["intervalLength"], number_before)
    return Reading(
        meter_id=shared.meter_id,
        register=shared.register,
        flow_direction=of_type["flowDirection"],
        accumulation=of_type["accumulationBehaviour"],
        commodity=of_type["commodity"],
        uom=of_type["uom"],
        multiplier=of_type["powerOfTenMultiplier"] or "0",
        quality=next((code for code in qualities or [of_type["defaultQuality"]] if code not in _ACTUAL), "0"),
        start=start,
        duration=duration,
        value=_text(one, "value"),
        updated=shared.updated,
    )


def _times(one: Element, block_start: str, interval_length: str, number_before: int) -> tuple[str, str]:
    """Start and duration of a reading; one that has none follows those before it from the start of its block."""
    start, duration = _text(one, "timePeriod", "start"), _text(one, "timePeriod", "duration") or interval_length
    first, length = number(block_start), number(duration)
    if not start and first is not None and length is not None:
        start = plain(first + number_before * length)
    return start, duration


def _bounds(reading: Reading) -> tuple[str, str]:
    """Start and end as instants; as written if they are no seconds since 1970 (some senders give fractions of one).

    ESPI's seconds are UTC; tzOffset and dstOffset of LocalTimeParameters are for showing them and move nothing.
    """
    start, duration = number(reading.start), number(reading.duration)
    if start is None or duration is None or not 0 <= start < _LAST_SECOND or not 0 <= duration < _LAST_SECOND:
        return reading.start, reading.duration
    begin = _EPOCH + timedelta(microseconds=int(start * 1_000_000))
    return iso(begin), iso(begin + timedelta(microseconds=int(duration * 1_000_000)))


def _energy(reading: Reading) -> str:
    value = number(reading.value)
    if value is None:
        return reading.value
    if reading.multiplier not in _MULTIPLIERS:
        return f"{reading.value} x 10^{reading.multiplier[:20]}, which is no multiplier of ESPI"
    # Joules may end in thirds; watt-hours never reach so many places.
    return plain(round(value.scaleb(int(reading.multiplier)) / _PER_KWH[reading.uom], 18))


def _row(one: Reading, reading_no: int) -> dict[str, str | int | None]:
    start, end = _bounds(one)
    return {
        "meter_id": one.meter_id,
        "register": one.register,
        "role": _ROLES.get(one.flow_direction, f"flow direction {one.flow_direction}"),
        "interval_start_at": start,
        "interval_end_at": end,
        "energy_kwh": _energy(one),
        "quality": "actual" if one.quality in _ACTUAL else "substituted" if one.quality == "7" else "estimated",
        "recorded_at": one.updated,
        "line_no": reading_no,
    }


def _other(one: Reading) -> str | None:
    """What a reading is where it is no interval energy of electricity."""
    if one.uom not in _PER_KWH:
        return f"unit code {one.uom or 'missing'}"
    if one.commodity not in _ELECTRICITY:
        return f"commodity {one.commodity}, which is no electricity"
    if one.accumulation in _REGISTER_STATES:
        return f"{_REGISTER_STATES[one.accumulation]} registers"
    return None


def read(path: Path, feed: str, park: ParkClock) -> Iterator[pl.DataFrame]:  # noqa: ARG001 (every format has these three)
    """One row per interval of electric energy, all columns text as in a canonical CSV.

    Yields:
        COLUMNS and line_no (number of the reading): energy_kwh kWh as given in either direction, instants UTC, meter_id
        the address of the usage point, register that of the meter reading, recorded_at the entry's `updated` where it
        has an offset. A feed that was cut gives its whole readings, and in line_text and line_rule a row that says so.

    Raises:
        FormatError: nothing of it is interval energy of electricity; see `readings`.
    """
    rows: list[dict[str, str | int | None]] = []
    others: set[str] = set()
    reading_no, has_rows = 0, False
    try:
        for reading_no, one in enumerate(readings(path), start=1):
            if other := _other(one):
                others.add(other[:100] if len(others) < _SHOWN_OTHERS else "others")
                continue
            rows.append(_row(one, reading_no))
            if len(rows) >= _FRAME_ROWS:
                yield pl.DataFrame(rows, schema=_SCHEMA)
                rows, has_rows = [], True
    except _BrokenXmlError as error:
        if not rows and not has_rows:
            raise
        said = f"after reading {reading_no} the feed breaks off: {error.reasons[0]}"
        rows.append({"line_no": reading_no + 1, "line_text": said, "line_rule": "truncated"})
    if not rows and not has_rows:
        what = ", ".join(sorted(others)) or "no readings"
        raise FormatError(
            path,
            [f"it holds no interval energy of electricity in watt-hours (unit code 72) or joules (31), but {what}"],
        )
    if rows:
        yield pl.DataFrame(rows, schema=_SCHEMA)
