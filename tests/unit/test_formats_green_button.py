"""Green Button after NAESB REQ.21 ESPI: Atom entries that point to each other, codes for unit, flow and quality."""

import re
import tracemalloc
from pathlib import Path

import pytest
from formats_park import Park, rows_of, write

from ingest.formats.green_button import read
from ingest.formats.registry import FormatError, detect

BASE = "https://dc.example/espi/1_1/resource"
POINT = f"{BASE}/RetailCustomer/3/UsagePoint/1"


def entry(own: str, related: list[str], content: str, updated: str = "2012-10-24T07:00:00Z", up: str = "") -> str:
    links = [f'<link rel="self" href="{own}"/>', *(f'<link rel="related" href="{href}"/>' for href in related)]
    links += [f'<link rel="up" href="{up}"/>'] if up else []
    return f"<entry>{''.join(links)}<content>{content}</content><updated>{updated}</updated></entry>"


def resource(name: str, body: str = "") -> str:
    return f'<{name} xmlns="http://naesb.org/espi">{body}</{name}>'


def reading_type(number: int, **codes: str) -> str:
    body = "".join(f"<{name}>{code}</{name}>" for name, code in codes.items())
    return entry(f"{BASE}/ReadingType/{number}", [], resource("ReadingType", body))


def interval(start: str, value: str, duration: str = "3600", quality: str = "") -> str:
    flag = f"<ReadingQuality><quality>{quality}</quality></ReadingQuality>" if quality else ""
    period = f"<timePeriod><duration>{duration}</duration><start>{start}</start></timePeriod>"
    return f"<IntervalReading>{flag}{period}<value>{value}</value></IntervalReading>"


def meter(number: int, of_type: int, *intervals: str) -> str:
    own = f"{POINT}/MeterReading/{number:02d}"
    block = resource("IntervalBlock", "".join(intervals))
    return entry(own, [f"{own}/IntervalBlock", f"{BASE}/ReadingType/{of_type}"], resource("MeterReading")) + entry(
        f"{own}/IntervalBlock/1", [], block, up=f"{own}/IntervalBlock"
    )


def feed(*parts: str) -> str:
    point = entry(POINT, [f"{POINT}/MeterReading"], resource("UsagePoint"))
    return f'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom">{point}{"".join(parts)}</feed>'


WH = {"accumulationBehaviour": "4", "flowDirection": "1", "powerOfTenMultiplier": "0", "uom": "72"}


def test_watt_hours_of_an_interval_become_kilowatt_hours_of_the_usage_point(tmp_path: Path) -> None:
    path = write(tmp_path, "g.xml", feed(reading_type(7, **WH), meter(1, 7, interval("1293868800", "450"))))
    assert detect(path, "power_meter") == "green_button"
    assert rows_of(path, "power_meter").to_dicts() == [
        {
            "meter_id": "RetailCustomer/3/UsagePoint/1",
            "register": "01",
            "role": "facility",
            "interval_start_at": "2011-01-01T08:00:00Z",
            "interval_end_at": "2011-01-01T09:00:00Z",
            "energy_kwh": "0.45",
            "quality": "actual",
            "recorded_at": "2012-10-24T07:00:00Z",
            "line_no": 1,
            "line_text": None,
            "line_rule": None,
        }
    ]


def test_two_meters_with_their_own_units_and_directions_are_kept_apart(tmp_path: Path) -> None:
    text = feed(
        reading_type(7, **WH | {"powerOfTenMultiplier": "3"}),
        reading_type(8, **WH | {"flowDirection": "19"}),
        meter(1, 7, interval("1293868800", "2")),
        meter(2, 8, interval("1293868800", "500")),
    )
    frame = rows_of(write(tmp_path, "g.xml", text), "power_meter")
    assert frame.select("register", "role", "energy_kwh").rows() == [
        ("01", "facility", "2"),
        ("02", "generation", "0.5"),
    ]


def test_a_fraction_of_a_second_is_kept(tmp_path: Path) -> None:
    text = feed(reading_type(7, **WH), meter(1, 7, interval("1721154384.66136", "1")))
    row = rows_of(write(tmp_path, "g.xml", text), "power_meter").row(0, named=True)
    assert row["interval_start_at"] == "2024-07-16T18:26:24.661360Z"


@pytest.mark.parametrize(
    ("code", "quality"),
    [("0", "actual"), ("19", "actual"), ("7", "substituted"), ("8", "estimated"), ("12", "estimated")],
)
def test_quality_codes_are_ours(tmp_path: Path, code: str, quality: str) -> None:
    text = feed(reading_type(7, **WH), meter(1, 7, interval("1293868800", "1", quality=code)))
    assert rows_of(write(tmp_path, "g.xml", text), "power_meter")["quality"].to_list() == [quality]


def test_cells_that_are_no_numbers_stay_for_quarantine(tmp_path: Path) -> None:
    text = feed(reading_type(7, **WH), meter(1, 7, interval("noon", "1"), interval("1293868800", "much")))
    frame = rows_of(write(tmp_path, "g.xml", text), "power_meter")
    assert frame["interval_start_at"].to_list() == ["noon", "2011-01-01T08:00:00Z"]
    assert frame["energy_kwh"].to_list() == ["0.001", "much"]


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (WH | {"uom": "169"}, "unit code 169"),
        (WH | {"uom": "38"}, "unit code 38"),
        (WH | {"accumulationBehaviour": "3"}, "cumulative registers"),
    ],
)
def test_gas_power_and_register_states_are_no_interval_energy(tmp_path: Path, codes: dict[str, str], said: str) -> None:
    path = write(tmp_path, "g.xml", feed(reading_type(7, **codes), meter(1, 7, interval("1293868800", "1"))))
    with pytest.raises(FormatError, match=said):
        rows_of(path, "power_meter")


def test_xml_that_is_not_well_formed_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "g.xml", feed(reading_type(7, **WH))[:-20])
    with pytest.raises(FormatError, match="no well-formed XML"):
        rows_of(path, "power_meter")


@pytest.mark.parametrize(("multiplier", "kwh"), [("3", "450"), ("-3", "0.00045"), ("6", "450000"), ("0", "0.45")])
def test_the_power_of_ten_multiplier_scales_watt_hours(tmp_path: Path, multiplier: str, kwh: str) -> None:
    codes = {**WH, "powerOfTenMultiplier": multiplier}
    path = write(tmp_path, "g.xml", feed(reading_type(7, **codes), meter(1, 7, interval("1293868800", "450"))))
    assert rows_of(path, "power_meter")["energy_kwh"].to_list() == [kwh]


@pytest.mark.parametrize("multiplier", ["400000", "99999999999", "x", "4"])
def test_a_multiplier_that_espi_does_not_know_stays_for_quarantine(tmp_path: Path, multiplier: str) -> None:
    codes = {**WH, "powerOfTenMultiplier": multiplier}
    path = write(tmp_path, "g.xml", feed(reading_type(7, **codes), meter(1, 7, interval("1293868800", "450"))))
    assert rows_of(path, "power_meter")["energy_kwh"].to_list() == [
        f"450 x 10^{multiplier}, which is no multiplier of ESPI"
    ]


def test_offsets_for_showing_local_time_move_no_interval(tmp_path: Path) -> None:
    local = resource("LocalTimeParameters", "<dstOffset>3600</dstOffset><tzOffset>-18000</tzOffset>")
    parts = (entry(f"{BASE}/LocalTimeParameters/1", [], local), reading_type(7, **WH))
    path = write(tmp_path, "g.xml", feed(*parts, meter(1, 7, interval("1293868800", "450"))))
    assert rows_of(path, "power_meter")["interval_start_at"].to_list() == ["2011-01-01T08:00:00Z"]


def test_prefixes_of_namespaces_are_the_senders_choice(tmp_path: Path) -> None:
    text = feed(reading_type(7, **WH), meter(1, 7, interval("1293868800", "450")))
    prefixed = re.sub(r"<(/?)(feed|entry|link|content|updated)\b", r"<\1atom:\2", text).replace(
        "xmlns=", "xmlns:atom=", 1
    )
    for name in ("ReadingType", "IntervalBlock", "MeterReading", "UsagePoint"):
        prefixed = prefixed.replace(f'<{name} xmlns="', f'<espi:{name} xmlns="http://naesb.org/espi" xmlns:espi="')
        prefixed = prefixed.replace(f"</{name}>", f"</espi:{name}>")
    plain, other = (
        rows_of(write(tmp_path, name, body), "power_meter") for name, body in (("a", text), ("b", prefixed))
    )
    assert plain.equals(other)


@pytest.mark.parametrize("start", ["1e20", "-5", "soon", "99999999999"])
def test_a_start_beyond_time_stays_as_it_came(tmp_path: Path, start: str) -> None:
    path = write(tmp_path, "g.xml", feed(reading_type(7, **WH), meter(1, 7, interval(start, "450"))))
    assert rows_of(path, "power_meter")["interval_start_at"].to_list() == [start]


def test_joules_are_energy_too(tmp_path: Path) -> None:
    text = feed(reading_type(1, **WH | {"uom": "31", "powerOfTenMultiplier": "3"}), meter(1, 1, interval("0", "5400")))
    assert rows_of(write(tmp_path, "g.xml", text), "power_meter")["energy_kwh"].to_list() == ["1.5"]


@pytest.mark.parametrize(
    ("codes", "said"),
    [({"commodity": "7"}, "commodity 7, which is no electricity"), ({"accumulationBehaviour": "2"}, "continuous")],
)
def test_a_gas_meter_that_counts_watt_hours_and_a_running_register_are_refused(
    tmp_path: Path, codes: dict[str, str], said: str
) -> None:
    path = write(tmp_path, "g.xml", feed(reading_type(7, **WH | codes), meter(1, 7, interval("0", "450"))))
    with pytest.raises(FormatError, match=said):
        rows_of(path, "power_meter")


def test_the_quality_of_a_type_holds_where_a_reading_has_none(tmp_path: Path) -> None:
    kind = reading_type(7, **WH, defaultQuality="8")
    text = feed(kind, meter(1, 7, interval("0", "450"), interval("3600", "450", quality="17")))
    assert rows_of(write(tmp_path, "g.xml", text), "power_meter")["quality"].to_list() == ["estimated", "actual"]


def test_readings_without_a_period_follow_each_other_from_the_start_of_their_block(tmp_path: Path) -> None:
    block = "<interval><duration>1800</duration><start>3600</start></interval>"
    bare = "<IntervalReading><value>1</value></IntervalReading>"
    text = feed(reading_type(7, **WH, intervalLength="900"), meter(1, 7, block, bare, bare))
    frame = rows_of(write(tmp_path, "g.xml", text), "power_meter")
    assert frame.select("interval_start_at", "interval_end_at").rows() == [
        ("1970-01-01T01:00:00Z", "1970-01-01T01:15:00Z"),
        ("1970-01-01T01:15:00Z", "1970-01-01T01:30:00Z"),
    ]


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ("<a></a>" * 30_000, "the feed has no entries"),
        ("<a>" * 30_000, "more than 100 deep"),
        (entry("x", [], resource("ReadingType", "<a/>" * 30_000)), "holds more than 1,000 tags"),
        ("<entry/>" * 3_000, "more than 1,000 entries"),
        (entry("x", ["y"] * 1_001, ""), "1,000 links"),
        (f"<a>{'x' * 10_000_000}</a>", "hold no tag"),
    ],
)
def test_a_file_of_little_but_tags_or_letters_is_refused_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tags: str, said: str
) -> None:
    monkeypatch.setattr("ingest.formats.green_button._MAX_ENTRIES", 1000)
    monkeypatch.setattr("ingest.formats.green_button._MAX_LINKS", 1000)
    path = write(tmp_path, "g.xml", f'<feed xmlns="http://naesb.org/espi">{tags}</feed>')
    tracemalloc.start()
    with pytest.raises(FormatError, match=said):
        rows_of(path, "power_meter")
    assert tracemalloc.get_traced_memory()[1] < 25_000_000
    tracemalloc.stop()


def test_a_feed_that_breaks_off_gives_its_whole_readings_and_says_so(tmp_path: Path) -> None:
    text = feed(reading_type(7, **WH), meter(1, 7, interval("0", "1000"), interval("3600", "2000")))
    frame = rows_of(write(tmp_path, "g.xml", text[: text.index("<start>3600")]), "power_meter")
    assert frame.select("line_no", "energy_kwh", "line_rule").rows() == [(1, "1", None), (2, None, "truncated")]
    assert "after reading 1 the feed breaks off: no well-formed XML" in frame["line_text"][1]


def test_a_feed_of_years_is_read_in_frames_whatever_stands_after_its_readings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.formats.green_button._FRAME_ROWS", 100)
    many = [interval(str(300 * number), str(number), duration="300") for number in range(1050)]
    whole = meter(1, 7, *many)
    frames = list(read(write(tmp_path, "g.xml", feed(whole, reading_type(7, **WH))), "power_meter", Park()))
    assert [frame.height for frame in frames] == [*[100] * 10, 50]
    last = frames[-1].row(-1, named=True)
    assert (last["line_no"], last["energy_kwh"], last["register"]) == (1050, "1.049", "01")
    assert (last["recorded_at"], last["interval_start_at"]) == ("2012-10-24T07:00:00Z", "1970-01-04T15:25:00Z")
