"""Each kind of bad input beside a good file: it is refused or quarantined with a reason, in bounded time, and the good file lands."""

import gzip
import io
import os
import time
from pathlib import Path

import polars as pl
import pytest
from small_home import LEASE_HEADER, Books, drop, lease_row, make_home

GOOD = LEASE_HEADER + lease_row("GOOD")
LIMIT_SECONDS = 20  # of processor time
ENTITIES = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
ENTITY_BOMB = (
    f'<?xml version="1.0"?><!DOCTYPE feed [<!ENTITY a0 "x">{ENTITIES}]>'
    '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:e="http://naesb.org/espi"><entry><title>&a11;</title></entry></feed>'
)


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(make_home(tmp_path))


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def outcome(books: Books, feed: str, content: str | bytes) -> tuple[str, str, list[tuple[object, ...]]]:
    """State and reason of a bad file, and what of it is refused, after it landed beside a good one."""
    drop(books.path, "leases", "good.csv", GOOD)
    drop(books.path, feed, "bad.csv", content)
    begun = time.process_time()
    found = {Path(file.path).name: file for file in books.land()}
    assert time.process_time() - begun < LIMIT_SECONDS
    assert found["good.csv"].landed_count == 1
    bad = found["bad.csv"]
    parts = (bad.landed_count, bad.duplicate_count, bad.superseded_count, bad.quarantined_count)
    assert bad.row_count == sum(parts)
    refused = books.rows(
        f"SELECT rule, column_name, line_no FROM raw.quarantined_row WHERE file_id = '{bad.file_id}' ORDER BY 3"
    )
    return bad.state, bad.reason or "", refused


def test_binary_junk(books: Books) -> None:
    state, reason, _ = outcome(books, "payments", os.urandom(100_000))
    assert (state, reason[:10]) == ("rejected", "unreadable")


def test_an_html_error_page_that_is_called_csv(books: Books) -> None:
    state, reason, _ = outcome(books, "gpu_telemetry", "<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n")
    assert state == "rejected"
    assert "no format of gpu_telemetry fits" in reason


def test_parquet_with_other_types(books: Books) -> None:
    frame = pl.DataFrame(
        {
            "lease_id": [1, 2],
            "interval_start_at": [1.5, 2.5],
            "interval_end_at": [True, False],
            "gpu_hours": ["many", "few"],
        }
    )
    state, _, refused = outcome(books, "lease_usage", parquet(frame))
    assert state == "landed"
    assert [rule for rule, *_ in refused] == ["not_an_instant", "not_an_instant"]


def test_parquet_with_bytes_for_text(books: Books) -> None:
    frame = pl.DataFrame(
        {
            "lease_id": [b"L1", b"\xff\xfe"],
            "interval_start_at": [b"2027-01-01T00:00:00Z"] * 2,
            "interval_end_at": ["2027-01-01T01:00:00Z"] * 2,
            "gpu_hours": [1.0, 2.0],
        }
    )
    drop(books.path, "leases", "l.csv", LEASE_HEADER + lease_row())
    state, _, refused = outcome(books, "lease_usage", parquet(frame))
    assert (state, refused) == ("landed", [("not_utf8", None, 2)])
    assert books.one("SELECT row_text FROM raw.quarantined_row").startswith('{"lease_id": "\\\\xff')  # type: ignore[attr-defined]
    assert books.rows("SELECT lease_id, gpu_hours FROM raw.lease_usage") == [("L1", 1)]


def test_zero_bytes_cost_their_own_line(books: Books) -> None:
    _, _, refused = outcome(books, "leases", "\n\n" + LEASE_HEADER + lease_row("L2") + lease_row("L\x003"))
    assert refused == [("not_utf8", None, 5)]
    assert books.one("SELECT count(*) FROM raw.leases") == 2


def test_zero_bytes_in_a_parquet_cell_cost_their_own_row(books: Books) -> None:
    names, cells = LEASE_HEADER.strip().split(","), lease_row("L\x002").strip().split(",")
    _, _, refused = outcome(
        books, "leases", parquet(pl.DataFrame(dict(zip(names, ([cell] for cell in cells), strict=True))))
    )
    assert refused == [("not_utf8", "lease_id", 1)]


def test_xml_that_no_parser_knows_costs_itself_only(books: Books) -> None:
    text = '<?xml version="1.0" encoding="bogus"?><feed xmlns="http://naesb.org/espi"/>'
    state, reason, _ = outcome(books, "power_meter", text)
    assert (state, reason) == ("rejected", "unreadable: LookupError: unknown encoding: bogus")


@pytest.mark.parametrize("payload", ["[" * 100_000, '{"a": NaN}', '{"a": "\\ud800"}'])
def test_a_payload_that_readers_disagree_about_is_no_json(books: Books, payload: str) -> None:
    header = "event_id,kind,contract_id,effective_at,gpu_count,payload\n"
    cell = '"' + payload.replace('"', '""') + '"'
    row = f"E1,withdrawal,my-contract-1,2027-02-01T00:00:00Z,10,{cell}\n"
    assert outcome(books, "credit_events", header + row)[2] == [("not_json", "payload", 2)]


def test_digits_of_other_scripts_are_no_number(books: Books) -> None:
    header = "gpu_id,node_id,gpu_model,sampled_at,utilization_pct,power_w,xid_code\n"
    row = "a-1,a-1,GB300,2027-01-01T12:00:00Z,{},{},{}\n"
    text = header + row.format("٥", "1", "") + row.format("5", "1", "٧٩")
    assert outcome(books, "gpu_telemetry", text)[2] == [
        ("not_a_number", "utilization_pct", 2),
        ("not_an_integer", "xid_code", 3),
    ]


def test_a_header_with_a_byte_order_mark(books: Books) -> None:
    state, _, refused = outcome(books, "leases", "\ufeff" + LEASE_HEADER + lease_row("L2"))
    assert (state, refused) == ("landed", [])
    assert books.one("SELECT count(*) FROM raw.leases") == 2


def test_a_decimal_comma(books: Books) -> None:
    _, _, refused = outcome(books, "leases", LEASE_HEADER + lease_row("L2", price='"2,5"'))
    assert refused == [("not_a_number", "price_per_gpu_hour", 2)]


def test_a_table_parted_by_semicolons(books: Books) -> None:
    state, reason, _ = outcome(books, "leases", (LEASE_HEADER + lease_row()).replace(",", ";"))
    assert state == "rejected"
    assert "semicolons; write commas between them and points in numbers" in reason


def test_a_line_without_end(books: Books) -> None:
    _, _, refused = outcome(books, "leases", LEASE_HEADER + lease_row("L2") + "x" * 80_000_000 + "\n" + lease_row("L3"))
    assert refused == [("line_too_long", None, 3)]
    assert books.one("SELECT count(*) FROM raw.leases") == 3
    assert len(str(books.one("SELECT row_text FROM raw.quarantined_row"))) < 10_000


def test_a_bomb_in_gzip(books: Books) -> None:
    bomb = gzip.compress(LEASE_HEADER.encode() + b"\n" * 100_000_000)
    state, reason, _ = outcome(books, "leases", bomb)
    assert state == "rejected"
    assert "unpacks to more than 500 times its size" in reason


def test_a_bomb_of_broken_rows(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.formats.canonical.MAX_BROKEN_ROWS", 100_000)
    bomb = gzip.compress(LEASE_HEADER.encode() + b",\n" * 20_000_000)
    state, reason, _ = outcome(books, "leases", bomb)
    assert state == "rejected"
    assert "none of its first 100,000 rows is whole: ','" in reason


def test_a_bomb_of_xml_entities(books: Books) -> None:
    state, reason, _ = outcome(books, "power_meter", ENTITY_BOMB)
    assert state == "rejected"
    assert "entities" in reason


@pytest.mark.parametrize("make", ["link", "folder_link", "hard_name"])
def test_a_path_that_leaves_the_home(books: Books, tmp_path: Path, make: str) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "secret.csv").write_text(LEASE_HEADER + lease_row("SECRET"))
    folder = books.path / "landing" / "my-park-1" / "leases"
    folder.mkdir(parents=True)
    if make == "link":
        (folder / "bad.csv").symlink_to(outside / "secret.csv")
    elif make == "folder_link":
        (folder / "bad").symlink_to(outside, target_is_directory=True)
    else:
        drop(books.path, "leases", "..bad..csv", LEASE_HEADER + lease_row("L2"))
    drop(books.path, "leases", "good.csv", GOOD)
    books.land()
    assert books.one("SELECT count(*) FROM raw.leases WHERE lease_id = 'SECRET'") == 0
    assert books.one("SELECT count(*) FROM raw.leases WHERE lease_id = 'GOOD'") == 1
    if make != "hard_name":
        assert books.rows("SELECT state, reason FROM raw.landed_file WHERE state = 'rejected'") == [
            ("rejected", "not_a_plain_file: a symbolic link; drop the file itself")
        ]


@pytest.mark.parametrize(
    "name", ["x'); DROP TABLE raw.leases; --", "<script>alert(1)</script>", "../../etc/passwd", "$(rm -rf)"]
)
def test_sql_html_and_paths_in_names_are_names(books: Books, name: str) -> None:
    state, _, refused = outcome(books, "leases", LEASE_HEADER + lease_row(f'"{name}"'))
    assert (state, refused) == ("landed", [])
    assert books.rows("SELECT lease_id FROM raw.leases ORDER BY lease_id = 'GOOD'") == [(name,), ("GOOD",)]
    safe = name.replace("/", "_")
    drop(books.path, "leases", f"n{safe}.csv", LEASE_HEADER + lease_row("L5"))
    (file,) = books.land()
    assert file.path.endswith(f"n{safe}.csv")
    assert file.landed_count == 1


def test_a_refused_row_is_no_formula_where_people_open_it(books: Books) -> None:
    outcome(books, "leases", LEASE_HEADER + "=1+1,x\n")
    exported = pl.read_csv(books.path / "quarantine" / "my-park-1" / "leases.csv")
    assert exported["row_text"].to_list() == ["'=1+1,x"]
    assert books.one("SELECT row_text FROM raw.quarantined_row WHERE feed = 'leases'") == "=1+1,x"
