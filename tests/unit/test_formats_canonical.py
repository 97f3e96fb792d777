"""The project's own files and which format is found for what."""

import gzip
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from formats_park import rows_of, write

from ingest.formats import canonical, opening
from ingest.formats.opening import head
from ingest.formats.registry import FORMATS, FormatError, detect, read

PAYMENTS = "payment_id,contract_id,amount,extra\np1,c,1.00,x\np2,c,2.00,\n"


def test_a_csv_with_the_feeds_key_comes_as_text_with_its_line_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, "any name.txt", PAYMENTS)
    assert detect(path, "payments") == "csv"
    assert rows_of(path, "payments").rows() == [
        (2, "p1", "c", "1.00", "x", None, None),
        (3, "p2", "c", "2.00", None, None, None),
    ]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_csv_is_told_by_its_bytes_and_not_by_its_name(tmp_path: Path, compression: str) -> None:
    packed = gzip.compress(PAYMENTS.encode()) if compression == "gzip" else pa.compress(PAYMENTS.encode(), "zstd")
    data = packed if isinstance(packed, bytes) else packed.to_pybytes()
    assert rows_of(write(tmp_path, "payments.csv", data), "payments").height == 2


def test_byte_order_mark_windows_line_ends_and_spaces_in_the_header_do_not_matter(tmp_path: Path) -> None:
    text = "﻿" + PAYMENTS.replace("\n", "\r\n").replace("contract_id", " contract_id ")
    frame = rows_of(write(tmp_path, "p.csv", text), "payments")
    assert frame.columns[1:4] == ["payment_id", "contract_id", "amount"]
    assert frame["extra"].to_list() == ["x", None]


def test_rows_with_too_few_or_too_many_cells_come_with_their_text_and_the_others_whole(tmp_path: Path) -> None:
    text = "payment_id,amount\np1,1\np2\n\np3,3,3\np4,4\n"
    frame = rows_of(write(tmp_path, "p.csv", text), "payments")
    assert frame.select("payment_id", "amount", "line_no", "line_text").rows() == [
        ("p1", "1", 2, None),
        (None, None, 3, "p2"),
        (None, None, 5, "p3,3,3"),
        ("p4", "4", 6, None),
    ]


def test_quoted_cells_may_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    text = 'event_id,payload\ne1,"{""a"": 1,\n""b"": 2}"\ne2,x\n'
    frame = rows_of(write(tmp_path, "e.csv", text), "credit_events")
    assert frame.select("event_id", "payload", "line_no").rows() == [("e1", '{"a": 1,\n"b": 2}', 2), ("e2", "x", 4)]


def test_blocks_end_at_records_whatever_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f'p{i},"a\n{i},""q"""' if i % 3 else f"p{i},plain" for i in range(400)]
    path = write(tmp_path, "p.csv", "payment_id,note\n" + "\n".join(rows))
    whole = rows_of(path, "payments")
    for size in (50, 333):
        monkeypatch.setattr(opening, "_BLOCK_BYTES", size)
        assert rows_of(path, "payments").equals(whole)
    assert whole["payment_id"].to_list() == [f"p{i}" for i in range(400)]
    assert whole["note"][1] == 'a\n1,"q"'


@pytest.mark.parametrize("block", [1000, 32 * 1024**2])
def test_an_unclosed_quote_costs_its_own_line_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(opening, "_BLOCK_BYTES", block)
    monkeypatch.setattr(opening, "MAX_RECORD_BYTES", 500)
    path = write(tmp_path, "p.csv", 'payment_id,note\np0,a\np1,"b\n' + "".join(f"p{n},x\n" for n in range(2, 500)))
    frame = rows_of(path, "payments")
    assert frame.filter(pl.col("line_rule").is_not_null()).select("line_no", "line_text", "line_rule").rows() == [
        (3, 'p1,"b', "quote_not_closed")
    ]
    assert frame["payment_id"].drop_nulls().to_list() == ["p0", *(f"p{n}" for n in range(2, 500))]
    assert frame["line_no"].to_list() == list(range(2, 502))


def test_a_line_without_end_costs_itself_only_and_never_stands_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_BLOCK_BYTES", 1000)
    monkeypatch.setattr(opening, "MAX_RECORD_BYTES", 5000)
    path = write(tmp_path, "p.csv", "payment_id,note\np0,a\np1," + "x" * 100_000 + "\np2,b\n")
    frame = rows_of(path, "payments")
    assert frame.select("line_no", "payment_id", "line_rule").rows() == [
        (2, "p0", None),
        (3, None, "line_too_long"),
        (4, "p2", None),
    ]
    assert len(frame["line_text"][1]) < 5000


def test_a_parquet_file_compressed_as_a_whole_is_read_as_one(tmp_path: Path) -> None:
    plain = tmp_path / "t.parquet"
    pl.DataFrame({"payment_id": ["a", "b"], "amount": [1.5, 2.5]}).write_parquet(plain)
    for name, data in (("t.gz", gzip.compress(plain.read_bytes())), ("t.zst", pa.compress(plain.read_bytes(), "zstd"))):
        path = write(tmp_path, name, bytes(data))
        assert detect(path, "payments") == "packed_parquet"
        assert rows_of(path, "payments").equals(rows_of(plain, "payments"))


@pytest.mark.parametrize("codec", ["gzip", "zstd", "snappy", "lz4", "uncompressed"])
def test_parquet_with_compressed_pages_is_read(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"payment_id": ["a", "b"]}).write_parquet(path, compression=codec)  # type: ignore[arg-type]
    assert rows_of(path, "payments")["payment_id"].to_list() == ["a", "b"]


@pytest.mark.parametrize(("mark", "words"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_a_table_with_other_separators_is_refused_with_the_remedy(tmp_path: Path, mark: str, words: str) -> None:
    with pytest.raises(FormatError, match=f"parted by {words}; write commas"):
        detect(write(tmp_path, "p.csv", PAYMENTS.replace(",", mark)), "payments")


def test_separators_that_only_unicode_knows_end_no_line(tmp_path: Path) -> None:
    text = 'payment_id,note\np1,"a\u2028b\x85c\x0bd"\np2,e\x1cf\n'
    frame = rows_of(write(tmp_path, "p.csv", text), "payments")
    assert frame.select("line_no", "note").rows() == [(2, "a\u2028b\x85c\x0bd"), (3, "e\x1cf")]


def test_a_header_that_names_a_column_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", "payment_id,amount,amount\np1,1,2\n")
    with pytest.raises(FormatError, match="names 'amount' twice"):
        rows_of(path, "payments")


def test_parquet_keeps_its_types_and_counts_its_rows_over_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "telemetry.bin"
    pl.DataFrame({"gpu_id": ["a", "b", "c"], "sampled_at": ["x"] * 3, "power_w": [1.5, 2.5, 3.5]}).write_parquet(path)
    monkeypatch.setattr(canonical, "BATCH_ROWS", 2)
    assert detect(path, "gpu_telemetry") == "parquet"
    frame = rows_of(path, "gpu_telemetry")
    assert frame["line_no"].to_list() == [1, 2, 3]
    assert frame.schema["power_w"] == pl.Float64


def test_a_parquet_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"payment_id": ["a"] * 1000}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FormatError, match="Parquet file cannot be read"):
        detect(path, "payments")


def test_nothing_fits_and_every_format_of_the_feed_says_why(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        detect(write(tmp_path, "notes.csv", "hello\nworld\n"), "gpu_telemetry")
    message = str(caught.value)
    assert message.startswith("notes.csv: no format of gpu_telemetry fits; ")
    for name, known in FORMATS.items():
        assert (f"{name}: " in message) == ("gpu_telemetry" in known.feeds)


def test_a_file_in_the_folder_of_another_feed_is_told_where_it_belongs(tmp_path: Path) -> None:
    meter = write(tmp_path, "m.csv", "100,NEM12,202612010900,MDP1,Ret1\n900\n")
    with pytest.raises(FormatError, match="it is nem12, which holds power_meter and not leases"):
        detect(meter, "leases")


def test_an_unknown_feed_and_a_format_of_another_feed_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", PAYMENTS)
    with pytest.raises(FormatError, match="'payment' is no feed; the feeds are gpu_telemetry"):
        detect(path, "payment")
    with pytest.raises(FormatError, match="'nem12' is no format of payments"):
        read("nem12", path, "payments", None)  # type: ignore[arg-type]


SAMPLES = {
    "csv": "gpu_id,sampled_at,utilization_pct\ng,2026-10-01T00:00:00Z,5\n",
    "prometheus_text": "# TYPE DCGM_FI_DEV_GPU_UTIL gauge\nDCGM_FI_DEV_GPU_UTIL 1\n",
    "prometheus_api": '[{"metric": {"__name__": "up"}, "values": [[1, "1"]]}]',
    "nvidia_smi_csv": "timestamp, power.draw [W]\n2026/01/03 15:36:53.507, 5 W\n",
    "biohpc": "name\ttimestamp\tpowerave\tutilave\nx\t2025-01-01 00:00:00.000\t1\t2\n",
    "wide_csv": "timestamp,a-01\n2026-10-01T00:00:00Z,10\n",
    "nem12": "100,NEM12,202612010900,MDP1,Ret1\n900\n",
    "green_button": '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:e="http://naesb.org/espi"/>',
    "focus": "BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd\n1,USD,Usage,a,b\n",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_no_file_is_of_two_formats(tmp_path: Path, name: str) -> None:
    start = head(write(tmp_path, "x", SAMPLES[name]))
    fitting = {known.name for known in FORMATS.values() for feed in known.feeds if known.recognise(start, feed) is None}
    assert fitting == {name}
