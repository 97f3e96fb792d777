"""NEM12 after AEMO's Meter Data File Format Specification; sums of real files are checked by `make real`."""

import io
import zipfile
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from formats_park import Park, rows_of, write

from ingest.formats import nem12 as format_module
from ingest.formats.registry import FormatError, detect

HEADER = "100,NEM12,202612010900,MDP1,Ret1"
STREAM = "200,NMI0000001,E1B1,1,E1,N1,METER1,kWh,30,20270101"
TAIL = "900"


def day(date: str, values: list[str], quality: str = "A", update: str = "20261202103000") -> str:
    return ",".join(["300", date, *values, quality, "", "", update, ""])


def half_hours(value: str = "1.5") -> list[str]:
    return [value] * 48


def nem12(tmp_path: Path, *lines: str, name: str = "meter.csv") -> pl.DataFrame:
    return rows_of(write(tmp_path, name, "\r\n".join(lines) + "\r\n"), "power_meter")


def energy(frame: pl.DataFrame) -> Decimal:
    return sum((Decimal(cell) for cell in frame["energy_kwh"]), Decimal(0))


def test_a_day_of_half_hours_is_in_market_time_whatever_the_season(tmp_path: Path) -> None:
    frame = nem12(tmp_path, HEADER, STREAM, day("20270115", half_hours()), TAIL)
    assert frame.height == 48
    first, last = frame.row(0, named=True), frame.row(47, named=True)
    # UTC+10 in January too, although Sydney's clocks then show UTC+11
    assert (first["interval_start_at"], first["interval_end_at"]) == ("2027-01-14T14:00:00Z", "2027-01-14T14:30:00Z")
    assert last["interval_end_at"] == "2027-01-15T14:00:00Z"
    assert (first["meter_id"], first["register"], first["role"]) == ("NMI0000001", "E1", "facility")
    assert (first["energy_kwh"], first["quality"]) == ("1.5", "actual")
    # the provider's own update time is when the value was known
    assert first["recorded_at"] == "2026-12-02T00:30:00Z"
    assert frame["line_no"].to_list() == list(range(1, 49))
    assert frame["source_line"].unique().to_list() == [3]


def test_without_an_update_time_the_creation_of_the_file_is_when_it_was_known(tmp_path: Path) -> None:
    frame = nem12(tmp_path, HEADER, STREAM, day("20270115", half_hours(), update=""), TAIL)
    assert frame["recorded_at"].unique().to_list() == ["2026-11-30T23:00:00Z"]


@pytest.mark.parametrize(
    ("unit", "expected"), [("Wh", "0.072"), ("WH", "0.072"), ("kWh", "72"), ("KWH", "72"), ("mwh", "72000")]
)
def test_units_are_read_in_any_case(tmp_path: Path, unit: str, expected: str) -> None:
    frame = nem12(tmp_path, HEADER, STREAM.replace("kWh", unit), day("20270115", half_hours()), TAIL)
    assert energy(frame) == Decimal(expected)


@pytest.mark.parametrize("unit", ["", "kVArh", "GJ"])
def test_energy_without_a_unit_of_energy_keeps_its_text_so_that_landing_quarantines_it(
    tmp_path: Path, unit: str
) -> None:
    frame = nem12(tmp_path, HEADER, STREAM.replace("kWh", unit), day("20270115", half_hours()), TAIL)
    assert frame["energy_kwh"].unique().to_list() == [f"1.5 {unit.upper() or '(no unit)'}"]


def test_five_and_fifteen_minutes_and_a_change_of_length_within_one_register(tmp_path: Path) -> None:
    frame = nem12(
        tmp_path,
        HEADER,
        STREAM.replace(",30,", ",15,"),
        day("20270115", ["1"] * 96),
        STREAM.replace(",30,", ",5,"),
        day("20270116", ["1"] * 288),
        TAIL,
    )
    assert frame.height == 96 + 288
    assert frame["interval_end_at"][-1] == "2027-01-16T14:00:00Z"


def test_events_give_the_quality_of_their_intervals_on_a_variable_day(tmp_path: Path) -> None:
    frame = nem12(
        tmp_path,
        HEADER,
        STREAM,
        day("20270115", half_hours(), "V"),
        "400,1,20,F14,76,",
        "400,21,24,A,,",
        "400,25,47,S14,1,late read",
        "400,48,48,E52,,",
        "500,S,RETNSRVCEORD1,20270116154500,001123.5",
        TAIL,
    )
    assert frame["quality"].to_list() == ["substituted"] * 20 + ["actual"] * 4 + ["substituted"] * 23 + ["estimated"]


def test_an_interval_of_a_variable_day_that_no_event_covers_has_no_known_quality(tmp_path: Path) -> None:
    frame = nem12(tmp_path, HEADER, STREAM, day("20270115", half_hours(), "V"), "400,1,47,A,,", TAIL)
    assert frame["quality"].to_list()[-2:] == ["actual", "V without a 400 record"]


def test_intervals_without_data_have_no_energy_rather_than_none_used(tmp_path: Path) -> None:
    frame = nem12(
        tmp_path, HEADER, STREAM, day("20270115", half_hours("0"), "V"), "400,1,46,A,,", "400,47,48,N,,", TAIL
    )
    assert frame["energy_kwh"].null_count() == 2


def test_energy_given_to_the_grid_is_generation_and_reactive_registers_are_none(tmp_path: Path) -> None:
    frame = nem12(
        tmp_path,
        HEADER,
        STREAM.replace(",E1,N1", ",B1,N1"),
        day("20270115", half_hours()),
        STREAM.replace(",E1,N1", ",Q1,").replace("kWh", "kVArh"),
        day("20270115", half_hours("9")),
        "400,1,48,A,,",
        STREAM.replace(",E1,N1,METER1,kWh", ",V1,,,"),
        day("20270115", half_hours("240")),
        TAIL,
    )
    assert frame["role"].unique().to_list() == ["generation"]
    assert energy(frame) == Decimal(72)


@pytest.mark.parametrize(("count", "said"), [(96, "96 values"), (47, "47 values"), (0, "0 values")])
def test_a_day_with_another_number_of_values_is_one_row_that_says_so(tmp_path: Path, count: int, said: str) -> None:
    frame = nem12(tmp_path, HEADER, STREAM, day("20270115", ["1"] * count), day("20270116", half_hours()), TAIL)
    assert frame.height == 49
    bad = frame.row(0, named=True)
    assert bad["energy_kwh"] == f"{said} where 48 values of 30 minutes and a quality flag belong"
    assert (bad["interval_start_at"], bad["interval_end_at"]) == ("2027-01-14T14:00:00Z", "2027-01-15T14:00:00Z")


def test_a_file_cut_in_the_middle_of_a_day_loses_that_day_only(tmp_path: Path) -> None:
    cut = day("20270116", half_hours())[:120]
    frame = nem12(tmp_path, HEADER, STREAM, day("20270115", half_hours()), cut)
    assert frame.height == 48 + 2
    assert "no quality flag" in frame["energy_kwh"][48]
    assert frame["line_rule"][49] == "truncated"


def test_an_event_beyond_the_day_spoils_the_day_and_says_where(tmp_path: Path) -> None:
    frame = nem12(tmp_path, HEADER, STREAM, day("20270115", half_hours(), "V"), "400,1,48,A,,", "400,49,96,N,,", TAIL)
    assert frame["energy_kwh"].to_list() == ["record 400 on line 5 covers intervals 49 to 96 of 48"]


@pytest.mark.parametrize("cell", ["", "1.2.3", "NaN", "Infinity"])
def test_a_value_that_is_no_number_stays_as_it_came(tmp_path: Path, cell: str) -> None:
    values = half_hours()
    values[7] = cell
    if cell[:1].isalpha():
        assert "7 values" in nem12(tmp_path, HEADER, STREAM, day("20270115", values), TAIL)["energy_kwh"][0]
    else:
        assert nem12(tmp_path, HEADER, STREAM, day("20270115", values), TAIL)["energy_kwh"][7] == cell


def test_a_file_without_header_and_end_is_still_nem12_and_an_empty_one_has_no_rows(tmp_path: Path) -> None:
    assert nem12(tmp_path, "", STREAM, day("20270115", half_hours())).height == 48
    assert nem12(tmp_path, HEADER, TAIL).height == 0


def test_several_files_in_one_text_or_one_zip_are_read_after_each_other(tmp_path: Path) -> None:
    one = [HEADER, STREAM, day("20270115", half_hours()), TAIL]
    assert nem12(tmp_path, *one, *one).height == 96
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b#MDP.V01", "\n".join(one))
        archive.writestr("a#MDP.mdff", "\n".join(one).replace("20270115", "20270114"))
    path = write(tmp_path, "both.zip", buffer.getvalue())
    frame = rows_of(path, "power_meter")
    assert detect(path, "power_meter") == "nem12"
    assert frame["line_no"].to_list() == list(range(1, 97))
    assert frame["interval_start_at"][0] == "2027-01-13T14:00:00Z"


def test_accumulated_reads_are_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, "nem13.csv", "100,NEM13,200401101030,MDA1,Ret1\n250,VABC005890,11,1,11,11,M,E,0,1,A\n900\n")
    with pytest.raises(FormatError, match="NEM13 holds accumulated reads without intervals"):
        detect(path, "power_meter")


BAD_RECORDS = [
    ([day("20270115", ["1"] * 48)], "record 300 before any record 200"),
    ([STREAM.replace(",30,", ",7,"), day("20270115", ["1"] * 48)], "interval length '7' does not divide a day"),
    ([STREAM, day("20271332", ["1"] * 48)], "'20271332' is no date"),
    ([STREAM, "301,1"], "'301' is no record of NEM12"),
    ([STREAM.replace("NMI0000001", ""), day("20270115", ["1"] * 48)], "names no NMI"),
]


@pytest.mark.parametrize(("lines", "said"), BAD_RECORDS)
def test_a_record_out_of_shape_costs_itself_only_and_keeps_its_line(
    tmp_path: Path, lines: list[str], said: str
) -> None:
    frame = nem12(tmp_path, HEADER, *lines, STREAM, day("20270116", half_hours()), TAIL)
    (bad,) = frame.filter(pl.col("line_text").is_not_null()).to_dicts()
    assert said in bad["line_text"]
    assert bad["source_line"] == 1 + len(lines)
    assert frame.height == 1 + 48


@pytest.mark.parametrize(("lines", "said"), BAD_RECORDS)
def test_a_file_of_nothing_but_broken_records_is_refused(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(FormatError, match=f"none of its records can be read: line {1 + len(lines)}: .*{said}"):
        nem12(tmp_path, HEADER, *lines, TAIL)


def test_an_event_without_interval_numbers_spoils_the_day_and_says_where(tmp_path: Path) -> None:
    frame = nem12(tmp_path, HEADER, STREAM, day("20270115", half_hours(), "V"), "400,x,2,A", TAIL)
    assert frame["energy_kwh"].to_list() == ["record 400 on line 4 needs two interval numbers"]


def test_a_file_without_its_end_record_lands_and_says_that_it_was_cut(tmp_path: Path) -> None:
    frame = nem12(tmp_path, HEADER, STREAM, day("20270115", half_hours()))
    assert frame.select("line_rule", "source_line").rows()[-1] == ("truncated", 4)
    assert frame.height == 49


def test_a_number_of_absurd_size_stays_as_it_came(tmp_path: Path) -> None:
    values = half_hours()
    values[3] = "1e999999999"
    assert nem12(tmp_path, HEADER, STREAM, day("20270115", values), TAIL)["energy_kwh"][3] == "1e999999999"


def test_reactive_energy_under_an_active_suffix_is_never_read_as_energy(tmp_path: Path) -> None:
    stream = STREAM.replace("kWh", "kVArh")
    assert "kVArh" in stream
    frame = nem12(tmp_path, HEADER, stream, day("20270115", half_hours()), TAIL)
    assert all(cell.endswith(" KVARH") for cell in frame["energy_kwh"])


def test_frames_of_a_large_file_are_bounded_and_number_their_rows_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [day(f"202701{number:02d}", half_hours()) for number in range(1, 11)]
    whole = nem12(tmp_path, HEADER, STREAM, *days, TAIL)
    monkeypatch.setattr(format_module, "FRAME_ROWS", 100)
    frames = list(format_module.read(tmp_path / "meter.csv", "power_meter", Park()))
    assert max(frame.height for frame in frames) < 150
    assert pl.concat(frames).equals(whole)
