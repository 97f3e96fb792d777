"""Green Button downloads (NAESB ESPI in an Atom feed), mapped onto power_meter.

Electric energy by interval only: gas, water, power and cumulative registers are no interval energy and are refused by
name. What a reading leaves out stands in its type (quality) or its block (start; the type has the length). XML is parsed
by defusedxml, which refuses entities and external documents.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import polars as pl
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ingest.formats.errors import FormatError
from ingest.formats.numbers import number, plain
from ingest.formats.opening import MAX_XML_BYTES, Head, read_bytes
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
# An honest reading has some fourteen tags in 500 bytes, and in the tersest writing one in twelve; a file of nothing but tags
# would fill the memory with elements, at some 300 bytes each.
_MAX_TAGS, _BYTES_A_TAG, _FEW_TAGS = 4_000_000, 8, 10_000
_LAST_SECOND = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())
_METER = re.compile(r"(?:(?:RetailCustomer|User|BillingAccount)/[^/]+/)?UsagePoint/[^/]+")


@dataclass
class _Entry:
    """An Atom entry: its own address, the collection it lies in, what it points to, and its ESPI resources."""

    own: str = ""
    up: str = ""
    related: set[str] = field(default_factory=set)
    updated: str | None = None
    resources: list[Element] = field(default_factory=list)

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


def _entries(root: Element) -> Iterator[_Entry]:
    for node in root.iter():
        if _local(node) != "entry" or not len(node):
            continue
        entry = _Entry()
        for child in node:
            name = _local(child)
            if name == "link":
                href, rel = child.get("href", ""), child.get("rel", "")
                if rel == "self":
                    entry.own = href
                elif rel == "up":
                    entry.up = href
                else:
                    entry.related.add(href)
            elif name == "updated":
                entry.updated = _instant(child.text)
            elif name == "content":
                entry.resources.extend(child)
        yield entry


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


def readings(path: Path) -> Iterator[Reading]:
    """Every IntervalReading of a feed in its order, whatever it measures.

    Raises:
        FormatError: no XML, more than 64 MiB of it, little but tags, entities, or no Atom entries.
    """
    data = read_bytes(path, MAX_XML_BYTES)
    tags = data.count(b"<")
    if tags > _MAX_TAGS:
        raise FormatError(path, [f"it holds more than {_MAX_TAGS:,} tags; split it"])
    if tags > max(_FEW_TAGS, len(data) // _BYTES_A_TAG):
        raise FormatError(path, [f"it holds {tags:,} tags in {len(data):,} bytes, and so hardly a reading"])
    try:
        root = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise FormatError(path, [f"XML with document types or entities is refused: {type(error).__name__}"]) from error
    except ParseError as error:
        raise FormatError(path, [f"no well-formed XML: {error}"]) from error
    entries = list(_entries(root))

    def of_kind(kind: str) -> list[_Entry]:
        return [entry for entry in entries if any(_local(resource) == kind for resource in entry.resources)]

    points, meters, types = of_kind("UsagePoint"), of_kind("MeterReading"), of_kind("ReadingType")
    if not entries:
        raise FormatError(path, ["the feed has no entries"])
    for entry in of_kind("IntervalBlock"):
        meter = _only_or_holding(meters, entry)
        point = _only_or_holding(points, meter or entry)
        kind = next((one for one in types if meter is not None and one.own in meter.related), None)
        kind = kind or (types[0] if len(types) == 1 else None)
        reading_type = next((one for one in kind.resources if _local(one) == "ReadingType"), None) if kind else None
        own = point.own if point else ""
        named = _METER.search(own)
        default_quality = _text(reading_type, "defaultQuality")
        for block in entry.resources:
            readings_of_block = [one for one in block if _local(one) == "IntervalReading"]
            for number_before, one in enumerate(readings_of_block):
                qualities = [_text(quality, "quality") for quality in one if _local(quality) == "ReadingQuality"]
                start, duration = _times(one, block, reading_type, number_before)
                yield Reading(
                    meter_id=named[0] if named else own,
                    register=(meter.own.rpartition("/")[2] if meter else "") or "1",
                    flow_direction=_text(reading_type, "flowDirection"),
                    accumulation=_text(reading_type, "accumulationBehaviour"),
                    commodity=_text(reading_type, "commodity"),
                    uom=_text(reading_type, "uom"),
                    multiplier=_text(reading_type, "powerOfTenMultiplier") or "0",
                    quality=next((code for code in qualities or [default_quality] if code not in _ACTUAL), "0"),
                    start=start,
                    duration=duration,
                    value=_text(one, "value"),
                    updated=entry.updated,
                )


def _times(one: Element, block: Element, reading_type: Element | None, number_before: int) -> tuple[str, str]:
    """Start and duration of a reading; one that has none follows those before it from the start of its block."""
    start, duration = _text(one, "timePeriod", "start"), _text(one, "timePeriod", "duration")
    duration = duration or _text(reading_type, "intervalLength")
    first, length = number(_text(block, "interval", "start")), number(duration)
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


def read(path: Path, feed: str, park: ParkClock) -> pl.DataFrame:  # noqa: ARG001 (every format has these three)
    """One row per interval of electric energy, all columns text as in a canonical CSV.

    Returns:
        COLUMNS and line_no (number of the reading): energy_kwh kWh as given in either direction, instants UTC,
        meter_id the
        address of the usage point, register that of the meter reading, recorded_at the entry's `updated` where it has
        an offset.

    Raises:
        FormatError: nothing of it is interval energy of electricity; see `readings`.
    """
    rows: list[dict[str, str | int | None]] = []
    others: set[str] = set()
    for reading_no, one in enumerate(readings(path), start=1):
        if one.uom not in _PER_KWH:
            others.add(f"unit code {one.uom or 'missing'}")
            continue
        if one.commodity not in _ELECTRICITY:
            others.add(f"commodity {one.commodity}, which is no electricity")
            continue
        if one.accumulation in _REGISTER_STATES:
            others.add(f"{_REGISTER_STATES[one.accumulation]} registers")
            continue
        start, end = _bounds(one)
        rows.append(
            {
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
        )
    if not rows:
        what = ", ".join(sorted(others)) or "no readings"
        raise FormatError(
            path,
            [f"it holds no interval energy of electricity in watt-hours (unit code 72) or joules (31), but {what}"],
        )
    return pl.DataFrame(rows, schema={**dict.fromkeys(COLUMNS, pl.String), "line_no": pl.Int64})
