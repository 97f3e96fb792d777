"""nvidia-smi logs, BioHPC exports and node-by-time traces."""

from pathlib import Path

import pytest
from formats_park import Park, Tranche, rows_of, write

from ingest.formats import wide_csv
from ingest.formats.registry import FormatError, detect

NEW_YORK = Park("America/New_York", "park_zone", (Tranche("A100", "cbsugpu07"),))
SMI_HEADER = "timestamp, name, utilization.gpu [%], memory.used [MiB], power.draw [W]"
BIOHPC_HEADER = "﻿name\ttimestamp\tpowerave\tpowermin\tpowermax\ttempave\tutilave\tutilmin\tutilmax"


def smi(*lines: str, header: str = SMI_HEADER) -> str:
    return "\n".join([header, *lines]) + "\n"


def biohpc(*hours: str, count: int | None = None, completed: str = "2025-10-31T10:36:53.6431604-04:00") -> str:
    rows = [f"cbsugpu07\t{hour}\t44.64\t44.5\t44.7\t35\t12.5\t0\t50" for hour in hours]
    total = len(hours) if count is None else count
    return "\r\n".join([BIOHPC_HEADER, *rows, "", f"({total} rows affected)", "", f"Completion time: {completed}", ""])


def test_units_in_the_cells_of_nvidia_smi_are_read_and_its_clock_is_the_parks(tmp_path: Path) -> None:
    text = smi("2026/01/03 15:36:53.507, NVIDIA GeForce RTX 4090, 83 %, 1129 MiB, 332.92 W")
    path = write(tmp_path, "bench1_2026-01-03.csv", text)
    assert detect(path, "gpu_telemetry") == "nvidia_smi_csv"
    assert rows_of(path, "gpu_telemetry", NEW_YORK).to_dicts() == [
        {
            "gpu_id": "bench1/0",
            "node_id": "bench1",
            "gpu_model": "NVIDIA GeForce RTX 4090",
            "sampled_at": "2026-01-03T20:36:53.507000Z",
            "utilization_pct": "83",
            "power_w": "332.92",
            "memory_used_mib": "1129",
            "line_no": 2,
            "line_text": None,
            "line_rule": None,
        }
    ]


def test_local_times_need_the_parks_word(tmp_path: Path) -> None:
    path = write(tmp_path, "n.csv", smi("2026/01/03 15:36:53.507, X, 83 %, 1 MiB, 1 W"))
    with pytest.raises(FormatError, match="naive_timestamps: park_zone"):
        rows_of(path, "gpu_telemetry", Park())


@pytest.mark.parametrize("blank", ["[N/A]", "N/A", "[Not Supported]", "[Unknown Error]"])
def test_what_nvidia_smi_cannot_say_is_empty_and_odd_cells_stay(tmp_path: Path, blank: str) -> None:
    path = write(tmp_path, "n.csv", smi(f"2026/01/03 15:36:53.507, X, {blank}, 5 parsec, 280.1 W"))
    row = rows_of(path, "gpu_telemetry", NEW_YORK).row(0, named=True)
    assert (row["utilization_pct"], row["memory_used_mib"], row["power_w"]) == (None, "5 parsec", "280.1")


def test_without_units_in_the_cells_the_header_has_them_and_uuid_and_host_name_the_gpu(tmp_path: Path) -> None:
    header = "timestamp, uuid, index, power.draw [W], utilization.gpu [%], hostname"
    text = smi("2026/01/03 15:36:53.507, GPU-7, 2, 280.1, 7, a-3", header=header)
    row = rows_of(write(tmp_path, "n.csv", text), "gpu_telemetry", NEW_YORK).row(0, named=True)
    assert (row["gpu_id"], row["node_id"], row["power_w"], row["utilization_pct"]) == ("GPU-7", "a-3", "280.1", "7")


def test_a_log_through_the_night_when_clocks_go_back_keeps_its_order(tmp_path: Path) -> None:
    stamps = ["01:59:58.000", "01:59:59.000", "01:00:00.000", "01:00:01.000", "02:00:00.000"]
    text = smi(*(f"2026/11/01 {stamp}, X, 1 %, 1 MiB, 1 W" for stamp in stamps))
    found = rows_of(write(tmp_path, "n.csv", text), "gpu_telemetry", NEW_YORK)["sampled_at"].to_list()
    assert found == [
        "2026-11-01T05:59:58Z",
        "2026-11-01T05:59:59Z",
        "2026-11-01T06:00:00Z",
        "2026-11-01T06:00:01Z",
        "2026-11-01T07:00:00Z",
    ]


def test_a_torn_last_line_of_a_log_comes_with_its_text(tmp_path: Path) -> None:
    text = smi("2026/01/03 15:36:53.507, X, 83 %, 1129 MiB, 33 W", "2026/01/03 15:36:5")
    row = rows_of(write(tmp_path, "n.csv", text), "gpu_telemetry", NEW_YORK).row(1, named=True)
    assert (row["gpu_id"], row["line_no"], row["line_text"]) == (None, 3, "2026/01/03 15:36:5")


def test_a_line_of_a_log_that_is_no_text_costs_itself_only(tmp_path: Path) -> None:
    good = "2026/01/03 12:36:53.507, NVIDIA GeForce RTX 4090, 83 %, 1129 MiB, 332.92 W"
    log = smi(good).encode() + good.replace("GeForce", "\xfc").encode("latin-1") + b"\n"
    rows = rows_of(write(tmp_path, "bench1.csv", log), "gpu_telemetry", NEW_YORK)
    assert rows.select("utilization_pct", "line_no", "line_rule").rows() == [("83", 2, None), (None, 3, "not_utf8")]


def test_biohpc_hours_are_new_york_time_and_known_when_the_export_ended(tmp_path: Path) -> None:
    path = write(tmp_path, "stats.txt", biohpc("2025-07-01 09:00:00.000", "2025-01-31 09:00:00.000"))
    assert detect(path, "gpu_telemetry") == "biohpc"
    frame = rows_of(path, "gpu_telemetry", NEW_YORK)
    assert frame["sampled_at"].to_list() == ["2025-07-01T13:00:00Z", "2025-01-31T14:00:00Z"]
    assert frame["recorded_at"].unique().to_list() == ["2025-10-31T14:36:53.643160Z"]
    assert frame.select("gpu_id", "gpu_model", "utilization_pct", "power_w", "line_no").row(0) == (
        "cbsugpu07",
        "A100",
        "12.5",
        "44.64",
        2,
    )


def test_the_hour_that_clocks_skip_stays_as_written_and_the_repeated_one_is_the_first_or_both(tmp_path: Path) -> None:
    hours = ["2025-11-02 01:00:00.000", "2025-11-02 01:00:00.000", "2025-03-09 02:00:00.000", "2024-11-03 01:00:00.000"]
    frame = rows_of(write(tmp_path, "s.txt", biohpc(*hours)), "gpu_telemetry", NEW_YORK)
    assert frame["sampled_at"].to_list() == [
        "2025-11-02T06:00:00Z",
        "2025-11-02T05:00:00Z",
        "2025-03-09 02:00:00.000",
        "2024-11-03T05:00:00Z",
    ]


def test_a_biohpc_export_with_fewer_rows_than_its_footer_counts_is_cut(tmp_path: Path) -> None:
    path = write(tmp_path, "s.txt", biohpc("2025-07-01 09:00:00.000", count=2))
    with pytest.raises(FormatError, match="counts 2 rows, the file has 1: it is cut"):
        rows_of(path, "gpu_telemetry", NEW_YORK)


WIDE = "timestamp,a-01,a-02\n2026-10-01T00:00:00Z,10,\n2026-10-01T00:01:00Z,20.5,NaN\n"


def test_a_wide_table_is_one_row_per_stamp_and_node_that_has_a_value(tmp_path: Path) -> None:
    path = write(tmp_path, "wide.csv", WIDE.replace(",NaN", ",0"))
    assert detect(path, "gpu_telemetry") == "wide_csv"
    frame = rows_of(path, "gpu_telemetry")
    assert frame.select("node_id", "gpu_model", "sampled_at", "utilization_pct", "line_no", "source_line").rows() == [
        ("a-01", "GB300", "2026-10-01T00:00:00Z", "10", 1, 2),
        ("a-01", "GB300", "2026-10-01T00:01:00Z", "20.5", 2, 3),
        ("a-02", "GB300", "2026-10-01T00:01:00Z", "0", 3, 3),
    ]


@pytest.mark.parametrize("header", ["value,timestamp_anon,container_ip", "timestamp_anon,value,container_ip"])
def test_a_long_table_is_read_by_its_column_names_in_any_order(tmp_path: Path, header: str) -> None:
    cells = {"value": "42.5", "timestamp_anon": "1662858720.0", "container_ip": "c1"}
    path = write(tmp_path, "long.csv", f"{header}\n{','.join(cells[name] for name in header.split(','))}\n")
    row = rows_of(path, "gpu_telemetry").row(0, named=True)
    assert (row["gpu_id"], row["sampled_at"], row["utilization_pct"]) == ("c1", "2022-09-11T01:12:00.000000Z", "42.5")


def test_epoch_milliseconds_are_told_from_seconds(tmp_path: Path) -> None:
    path = write(tmp_path, "wide.csv", "time,a-01\n1790812800123,5\n")
    assert rows_of(path, "gpu_telemetry")["sampled_at"].to_list() == ["2026-10-01T00:00:00.123000Z"]


def test_a_table_of_bytes_is_no_utilisation(tmp_path: Path) -> None:
    path = write(tmp_path, "memory.csv", "timestamp_anon,value,container_ip\n1662858720.0,33879490560.0,c1\n")
    with pytest.raises(FormatError, match="1 of 1 values are outside 0–100"):
        rows_of(path, "gpu_telemetry")


@pytest.mark.parametrize("stamp", ["0", "12345", "2020-05-01", "01/05/2020 00:00"])
def test_seconds_since_an_unknown_start_make_no_trace(tmp_path: Path, stamp: str) -> None:
    path = write(tmp_path, "wide.csv", f"time,a-01\n{stamp},5\n")
    with pytest.raises(FormatError, match="neither ISO 8601 nor seconds or milliseconds since 1970"):
        detect(path, "gpu_telemetry")


def test_local_stamps_stay_local_for_the_parks_word_to_allow_or_not(tmp_path: Path) -> None:
    path = write(tmp_path, "wide.csv", "time,a-01\n2020-05-01 00:00:00,5\n")
    assert rows_of(path, "gpu_telemetry")["sampled_at"].to_list() == ["2020-05-01 00:00:00"]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_of_nodes_by_stamps_is_turned_whatever_parts_its_cells(tmp_path: Path, mark: str) -> None:
    text = "node,2026-10-01T00:00:00Z,2026-10-01T00:01:00Z\na-01,10,20.5\na-02,,0\n".replace(",", mark)
    frame = rows_of(write(tmp_path, "turned.csv", text), "gpu_telemetry")
    assert frame.select("node_id", "sampled_at", "utilization_pct", "source_line").rows() == [
        ("a-01", "2026-10-01T00:00:00Z", "10", 2),
        ("a-01", "2026-10-01T00:01:00Z", "20.5", 2),
        ("a-02", "2026-10-01T00:01:00Z", "0", 3),
    ]


def test_a_few_values_out_of_range_are_faults_of_their_cells(tmp_path: Path) -> None:
    rows = "".join(f"2026-10-01T00:{minute:02d}:00Z,{value}\n" for minute, value in enumerate([50, 60, 70, 120]))
    assert rows_of(write(tmp_path, "w.csv", "time,a-01\n" + rows), "gpu_telemetry").height == 4


def test_a_table_of_tens_of_thousands_of_nodes_is_known_by_its_first_rows_and_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [f"a-{number:05d}" for number in range(20_000)]
    lines = [
        ",".join(["timestamp", *nodes]),
        *(",".join([str(1790812800 + 60 * n), *["50"] * 20_000]) for n in range(5)),
    ]
    path = write(tmp_path, "wide.csv", "\n".join(lines))
    assert detect(path, "gpu_telemetry") == "wide_csv"
    monkeypatch.setattr(wide_csv, "_PART_CHARS", 100_000)
    frames = list(wide_csv.read(path, "gpu_telemetry", Park()))
    assert [frame.height for frame in frames] == [40_000, 40_000, 20_000]
    assert frames[-1].row(-1, named=True) | {"power_w": None} == {
        "gpu_id": "a-19999",
        "node_id": "a-19999",
        "gpu_model": "GB300",
        "sampled_at": "2026-10-01T00:04:00.000000Z",
        "utilization_pct": "50",
        "power_w": None,
        "source_line": 6,
        "line_no": 100_000,
        "line_text": None,
        "line_rule": None,
    }


def test_a_line_of_a_table_that_is_not_whole_costs_itself_only(tmp_path: Path) -> None:
    text = b"timestamp,a-1,a-2\r\n\r\n1790812800,5,6\r\n1790812860,7\r\n1790812920,\xff,8\r\n1790812980,9,10,11\r\n1790813040,12,\r\n"
    rows = rows_of(write(tmp_path, "wide.csv", text), "gpu_telemetry")
    assert rows.select("source_line", "utilization_pct", "line_rule").rows() == [
        (3, "5", None),
        (3, "6", None),
        (7, "12", None),
        (4, None, None),
        (5, None, "not_utf8"),
        (6, None, None),
    ]
    assert rows["line_text"].to_list()[3:] == ["1790812860,7", "1790812920,\\xff,8", "1790812980,9,10,11"]


def test_a_table_that_names_a_node_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "wide.csv", "timestamp,a-1,a-1\n1790812800,5,6\n")
    with pytest.raises(FormatError, match="the header names 'a-1' twice"):
        rows_of(path, "gpu_telemetry")
