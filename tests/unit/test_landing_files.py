"""What becomes of files: good, bad, twice, half written, not files at all."""

import gzip
import io
import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from small_home import LEASE_HEADER, PARK_ID, Books, drop, lease_row, make_home

from ingest import files, landing
from ingest.landing import LandedFile


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(make_home(tmp_path))


def only(landed: list[LandedFile]) -> LandedFile:
    assert len(landed) == 1, landed
    return landed[0]


def zstd(text: str) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(text.encode(), asbytes=True)
    return packed


def test_a_file_is_known_by_the_sha_256_of_its_bytes_and_lands_once(books: Books) -> None:
    path = drop(books.path, "leases", "one.csv", LEASE_HEADER + lease_row())
    first = only(books.land())
    assert first.file_id == files.content_hash(path)
    assert (first.row_count, first.landed_count, first.state, first.format) == (1, 1, "landed", "csv")
    drop(books.path, "leases", "again.csv", path.read_bytes())
    again = only(books.land())
    assert (again.file_id, again.path) == (first.file_id, f"landing/{PARK_ID}/leases/again.csv")
    assert books.land() == []
    assert books.one("SELECT count(*) FROM raw.leases") == 1


def test_the_same_bytes_in_another_feed_are_another_landing(books: Books) -> None:
    content = "event_id,kind,effective_at,payment_id\nE1,insolvency,2027-02-01T00:00:00Z,P1\n"
    drop(books.path, "credit_events", "x.csv", content)
    drop(books.path, "payments", "x.csv", content)
    assert sorted((f.feed, f.state) for f in books.land()) == [("credit_events", "landed"), ("payments", "rejected")]


@pytest.mark.parametrize("name", ["plain.csv", "packed.csv.gz", "packed.csv.zst", "columns.parquet"])
def test_csv_gzip_zstd_and_parquet_say_the_same(books: Books, name: str) -> None:
    text = LEASE_HEADER + lease_row()
    content: bytes = text.encode()
    if name.endswith(".gz"):
        content = gzip.compress(content)
    elif name.endswith(".zst"):
        content = zstd(text)
    elif name.endswith(".parquet"):
        buffer = io.BytesIO()
        pl.read_csv(text.encode(), try_parse_dates=True).write_parquet(buffer)
        content = buffer.getvalue()
    drop(books.path, "leases", name, content)
    landed = only(books.land())
    assert (landed.landed_count, landed.reason) == (1, None)
    assert books.rows(
        "SELECT lease_id, version, gpu_count, price_per_gpu_hour::VARCHAR, starts_at, ends_at FROM raw.leases"
    ) == [("L1", 1, 1000, "2.500000000", datetime(2026, 12, 31, 13, tzinfo=UTC), datetime(2027, 6, 30, 14, tzinfo=UTC))]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (LEASE_HEADER.encode(), "no rows"),
        (b"lease,version\nL1,1\n", "no format"),
        (b"lease_id;version\nL1;1\n", "no format"),
        (b"lease_id,version\nL1,1\n", "missing"),
        (gzip.compress(b"x" * 10 + os.urandom(5000))[:-900], "no format"),
        (gzip.compress((LEASE_HEADER + lease_row() * 500).encode(), mtime=0)[:30], "decompress"),
        (b"PAR1 this is no parquet PAR1", "no format"),
        (b"\x00\x01\x02", "no format"),
    ],
)
def test_a_bad_file_is_rejected_with_its_reason_and_nothing_of_it_lands(
    books: Books, content: bytes, says: str
) -> None:
    drop(books.path, "leases", "bad", content)
    drop(books.path, "leases", "good.csv", LEASE_HEADER + lease_row("L2"))
    by_name = {Path(f.path).name: f for f in books.land()}
    bad = by_name["bad"]
    assert bad.state == "rejected"
    assert says in str(bad.reason)
    assert (bad.row_count, bad.landed_count, bad.quarantined_count) == (0, 0, 0)
    assert by_name["good.csv"].landed_count == 1
    assert books.rows("SELECT lease_id FROM raw.leases") == [("L2",)]
    assert books.land() == []


def test_of_a_cut_gzip_the_whole_lines_land_and_the_torn_one_is_kept(books: Books) -> None:
    rows = "".join(lease_row(f"L{number}") for number in range(500))
    drop(books.path, "leases", "cut.csv.gz", gzip.compress((LEASE_HEADER + rows).encode())[:-200])
    (file,) = books.land()
    assert file.quarantined_count == 1
    assert 0 < file.landed_count == file.row_count - 1 < 500
    rule, text, line = books.rows("SELECT rule, row_text, line_no FROM raw.quarantined_row")[0]
    assert rule == "truncated"
    assert "decompress" in str(text)
    assert line == file.row_count + 1


def test_lines_of_another_encoding_are_kept_apart_and_the_others_land(books: Books) -> None:
    odd = lease_row("L2").replace("T1", "Zürich").encode("latin-1")
    drop(books.path, "leases", "mixed.csv", (LEASE_HEADER + lease_row()).encode() + odd + lease_row("L3").encode())
    (file,) = books.land()
    assert (file.landed_count, file.quarantined_count) == (2, 1)
    rule, text, line = books.rows("SELECT rule, row_text, line_no FROM raw.quarantined_row")[0]
    assert (rule, line) == ("not_utf8", 3)
    assert "Z\\xfcrich" in str(text)


def test_links_and_files_outside_a_feed_are_refused_and_never_followed(books: Books, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(LEASE_HEADER + lease_row("STOLEN"))
    folder = books.path / "landing" / PARK_ID / "leases"
    folder.mkdir(parents=True)
    (folder / "link.csv").symlink_to(secret)
    (books.path / "landing" / PARK_ID / "payments").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.csv")
    (books.path / "landing" / "stray.csv").write_text("x\n")
    drop(books.path, "leases", "a.csv", LEASE_HEADER + lease_row("L9"), park_id="nowhere")
    drop(books.path, "no_such_feed", "a.csv", "a\n1\n")
    reasons = {f.path.removeprefix("landing/"): str(f.reason) for f in books.land()}
    assert {path: reason.split(":")[0] for path, reason in reasons.items()} == {
        f"{PARK_ID}/leases/link.csv": "not_a_plain_file",
        f"{PARK_ID}/leases/pipe.csv": "not_a_plain_file",
        f"{PARK_ID}/payments": "not_a_plain_file",
        "stray.csv": "unknown_feed",
        "nowhere/leases/a.csv": "unknown_park",
        f"{PARK_ID}/no_such_feed/a.csv": "unknown_feed",
    }
    assert books.one("SELECT count(*) FROM raw.leases") == 0
    assert books.land() == []


def test_a_file_of_an_unknown_park_lands_once_the_park_is_there(books: Books) -> None:
    drop(books.path, "power_meter", "m.csv", METER, park_id="second")
    assert only(books.land()).state == "rejected"
    park = (books.path / "parks" / f"{PARK_ID}.yaml").read_text()
    (books.path / "parks" / "second.yaml").write_text(park.replace("my-park-1", "second"))
    assert only(books.land()).landed_count == 1


METER = (
    "meter_id,register,role,interval_start_at,interval_end_at,energy_kwh,quality\n"
    "M1,E1,facility,2027-01-01T00:00:00Z,2027-01-01T01:00:00Z,12.3456785,actual\n"
)


def test_files_still_being_written_are_left_alone(books: Books) -> None:
    for name in (".hidden.csv", "a.csv.part", "b.tmp", "README.md"):
        drop(books.path, "leases", name, "half")
    assert books.land() == []
    (books.path / "home.yaml").write_text("title: T\nas_of: today\n")
    path = drop(books.path, "leases", "young.csv", LEASE_HEADER + lease_row(recorded_at="2020-01-01T00:00:00Z"))
    assert books.land() == []
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert only(books.land()).landed_count == 1


def test_a_file_that_changes_while_it_is_read_waits_for_the_next_time(books: Books) -> None:
    path = drop(books.path, "leases", "a.csv", LEASE_HEADER + lease_row())
    home = books.home()
    pending = landing.pending(books.con, home)
    path.write_text(LEASE_HEADER + lease_row() + lease_row("L2"))
    assert landing.land(books.con, home, pending) == []
    assert only(books.land()).row_count == 2


def test_an_unchanged_path_is_not_hashed_again(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(books.path, "leases", "a.csv", LEASE_HEADER + lease_row())
    books.land()

    def refuse(path: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr(files, "content_hash", refuse)
    assert books.land() == []


def test_a_copied_home_with_other_times_lands_nothing_twice(books: Books) -> None:
    path = drop(books.path, "leases", "a.csv", LEASE_HEADER + lease_row())
    books.land()
    os.utime(path, (1_600_000_000, 1_600_000_000))
    assert only(books.land()).landed_count == 1
    assert books.one("SELECT count(*) FROM raw.leases") == 1


def test_the_landing_time_is_the_homes_clock_and_stands_in_for_recorded_at(books: Books) -> None:
    drop(books.path, "power_meter", "m.csv", METER)
    landed = only(books.land())
    clock = datetime(2028, 1, 1, tzinfo=UTC)
    assert landed.received_at == clock
    # A measurement is rounded half away from zero to the stored places.
    assert books.rows("SELECT recorded_at, energy_kwh::VARCHAR FROM raw.power_meter") == [(clock, "12.345679")]


def test_progress_is_told_file_by_file(books: Books) -> None:
    for number in range(3):
        drop(books.path, "leases", f"{number}.csv", LEASE_HEADER + lease_row(f"L{number}"))
    home, told = books.home(), []
    landing.land(books.con, home, landing.pending(books.con, home), lambda _, done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
