"""Files that strangers made: bombs, paths that leave their folder, entities, bytes that are no text."""

import gzip
import io
import resource
import time
import tracemalloc
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from formats_park import rows_of, write

from ingest.formats import opening
from ingest.formats.green_button import readings
from ingest.formats.registry import FormatError, detect

NEM12 = "100,NEM12,202612010900,MDP1,Ret1\n900\n"


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "name", ["../meter.csv", "/etc/meter.csv", "a/../../meter.csv", "C:\\meter.csv", "..\\meter.csv", "\\\\host\\m.csv"]
)
def test_a_zip_with_a_path_that_leaves_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, "m.zip", zipped((name, NEM12.encode())))
    with pytest.raises(FormatError, match="a path that leaves its folder"):
        detect(path, "power_meter")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MAX_TEXT_BYTES", 10_000_000)
    path = write(tmp_path, "m.zip", zipped(("m.csv", b"0" * 20_000_000)))
    tracemalloc.start()
    with pytest.raises(FormatError, match="unpacks to more than 10,000,000 bytes"):
        detect(path, "power_meter")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_a_zip_that_lies_about_its_sizes_stops_at_the_bound(tmp_path: Path) -> None:
    honest = zipped(("m.csv", b"0" * 4_000_000))
    size = (4_000_000).to_bytes(4, "little")
    path = write(tmp_path, "m.zip", honest.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(FormatError):
        list(opening.texts(path, limit=1_000_000))


@pytest.mark.parametrize("count", [0, opening.MAX_ZIP_MEMBERS + 1])
def test_an_empty_zip_and_one_of_too_many_files_are_refused(tmp_path: Path, count: int) -> None:
    path = write(tmp_path, "m.zip", zipped(*((f"{i}.csv", b"") for i in range(count))))
    with pytest.raises(FormatError, match="the zip is empty" if count == 0 else "more than 1000"):
        detect(path, "power_meter")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("meter.csv")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(FormatError, match="symbolic link"):
        detect(write(tmp_path, "m.zip", buffer.getvalue()), "power_meter")


@pytest.mark.parametrize("cut", [10, 60, -5])
def test_a_cut_zip_is_refused(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path, "m.zip", zipped(("m.csv", NEM12.encode()))[:cut])
    with pytest.raises(FormatError, match="no readable zip"):
        detect(path, "power_meter")


@pytest.mark.parametrize("pack", ["zip", "gzip"])
@pytest.mark.parametrize("start", [12, 40, 200])
def test_bytes_changed_within_an_archive_are_refused_and_never_crash_the_reader(
    tmp_path: Path, pack: str, start: int
) -> None:
    text = b"100,NEM12,200301011534,MDP1,Retailer1\n" + b"".join(b"900,%d\n" % n for n in range(20_000))
    packed = io.BytesIO()
    if pack == "zip":
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", text)
    else:
        packed.write(gzip.compress(text))
    data = bytearray(packed.getvalue())
    data[start : start + 20] = b"\xff" * 20
    path = tmp_path / f"changed.{pack}"
    path.write_bytes(bytes(data))
    with pytest.raises(FormatError):
        list(opening.texts(path))


def test_a_gzip_bomb_stops_at_the_bound(tmp_path: Path) -> None:
    path = write(tmp_path, "m.csv.gz", gzip.compress(b"0" * 5_000_000))
    with pytest.raises(FormatError, match="more than 1,000,000 bytes"):
        opening.read_bytes(path, limit=1_000_000)
    with pytest.raises(FormatError, match=r"more than 1,000,000 bytes|a row is longer"):
        list(opening.stream_blocks(path, limit=1_000_000))


def test_parquet_packed_once_more_unpacks_to_a_few_times_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "RATIO_FREE_BYTES", 1_000_000)
    path = write(tmp_path, "p.parquet.gz", gzip.compress(b"PAR1" + b"0" * 5_000_000))
    with pytest.raises(FormatError, match="more than 1,000,000 bytes"):
        detect(path, "payments")


def test_a_cut_gzip_is_refused(tmp_path: Path) -> None:
    data = gzip.compress(bytes(range(256)) * 4000)
    path = write(tmp_path, "m.csv.gz", data[: len(data) // 2])
    with pytest.raises(FormatError, match="cannot be decompressed"):
        opening.read_bytes(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"empty\.csv: the file is empty"):
        detect(write(tmp_path, "empty.csv", ""), "power_meter")


@pytest.mark.parametrize("data", [bytes(range(256)), b"\x7fELF\x02\x01\x01\x00" * 50, b"\xff\xfe\x00\xd8" * 9])
def test_bytes_that_are_no_text_are_of_no_format(tmp_path: Path, data: bytes) -> None:
    for feed in ("gpu_telemetry", "power_meter", "payments"):
        with pytest.raises(FormatError):
            detect(write(tmp_path, "x.csv", data), feed)


def test_latin_letters_in_an_old_encoding_spoil_their_own_line(tmp_path: Path) -> None:
    frame = rows_of(write(tmp_path, "p.csv", "payment_id,note\np1,Zürich\np2,x\n".encode("latin-1")), "payments")
    assert frame.select("payment_id", "line_text", "line_rule").rows() == [
        (None, "p1,Z\\xfcrich", "not_utf8"),
        ("p2", None, None),
    ]


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_a_bomb_of_repeated_rows_stops_by_its_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: str) -> None:
    monkeypatch.setattr(opening, "RATIO_FREE_BYTES", 1_000_000)
    text = b"payment_id,note\n" + b"\n" * 50_000_000
    path = write(tmp_path, "bomb", gzip.compress(text) if pack == "gzip" else bytes(pa.compress(text, "zstd")))
    with pytest.raises(FormatError, match="unpacks to more than 500 times its size"):
        rows_of(path, "payments")


def test_a_line_of_a_gigabyte_is_read_in_bounded_memory_and_time(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    rows = "".join(f"p{number},x\n" for number in range(20_000))
    with path.open("wb") as file:
        file.write(f"payment_id,note\n{rows}".encode())
        file.seek(1024**3, io.SEEK_CUR)  # a hole: the file system gives zeros
        file.write(b"\nlast,y\n")
    begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    frame = rows_of(path, "payments")
    assert time.process_time() - begun < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes
    assert frame[-2:].select("line_no", "payment_id", "line_rule").rows() == [
        (20_002, None, "line_too_long"),
        (20_003, "last", None),
    ]
    assert f"({1024**3 + 1} bytes)" in frame["line_text"][-2]
    assert frame["line_rule"].null_count() == 20_001


def test_utf_16_with_its_mark_is_text(tmp_path: Path) -> None:
    path = write(tmp_path, "m.csv", NEM12.encode("utf-16"))
    assert detect(path, "power_meter") == "nem12"
    assert rows_of(path, "power_meter").height == 0


def test_canonical_csv_in_utf_16_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", "payment_id,note\np1,x\n".encode("utf-16"))
    with pytest.raises(FormatError, match="save it as UTF-8"):
        rows_of(path, "payments")


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE feed [<!ENTITY a "x"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE feed [<!ENTITY secret SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE feed SYSTEM "http://127.0.0.1:9/feed.dtd">',
    ],
)
def test_xml_with_entities_or_outside_documents_is_refused(tmp_path: Path, doctype: str) -> None:
    text = f'<?xml version="1.0"?>{doctype}<feed xmlns:e="http://naesb.org/espi"><entry/></feed>'
    with pytest.raises(FormatError, match="document types or entities"):
        list(readings(write(tmp_path, "g.xml", text)))


@pytest.mark.parametrize("opener", ["[", '{"a":'])
def test_json_nested_beyond_reason_is_refused(tmp_path: Path, opener: str) -> None:
    text = '[{"metric": {}, "values": ' + opener * 200_000
    with pytest.raises(FormatError, match="no JSON"):
        rows_of(write(tmp_path, "x.json", text), "gpu_telemetry")
