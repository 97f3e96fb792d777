"""Damaged and strange files: whatever the bytes, landing goes on, and every row is accounted for."""

import gzip
import io
import random
from pathlib import Path

import polars as pl
import pytest
from small_home import LEASE_HEADER, Books, drop, lease_row, make_home


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(make_home(tmp_path))


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def leases(count: int = 50) -> pl.DataFrame:
    text = LEASE_HEADER + "".join(lease_row(f"L{number}") for number in range(count))
    return pl.read_csv(text.encode(), try_parse_dates=True)


def test_damage_anywhere_in_a_file_stops_nothing(books: Books) -> None:
    dice = random.Random(7)  # repeatable damage, no secret
    contents = set()
    text = (LEASE_HEADER + "".join(lease_row(f"L{number}") for number in range(50))).encode()
    kinds = {"csv": text, "csv.gz": gzip.compress(text), "parquet": parquet(leases())}
    for ending, whole in kinds.items():
        for number in range(25):
            damaged = bytearray(whole)
            for _ in range(dice.randint(1, 6)):
                damaged[dice.randrange(len(damaged))] = dice.randrange(256)
            content = bytes(damaged[: dice.choice([len(damaged), len(damaged) // 2])])
            contents.add(content)
            drop(books.path, "leases", f"{number}.{ending}", content)
    landed = books.land()
    assert len(landed) == len(contents)
    for file in landed:
        assert file.row_count == (
            file.landed_count + file.duplicate_count + file.superseded_count + file.quarantined_count
        )
        assert (file.state == "rejected") == (file.reason is not None)


def test_columns_of_lists_are_a_fault_of_the_file(books: Books) -> None:
    frame = leases(2).with_columns(pl.concat_list("tenant_id").alias("tenant_id"))
    drop(books.path, "leases", "a.parquet", parquet(frame))
    (landed,) = books.land()
    assert (landed.state, landed.reason) == ("rejected", "unreadable: the columns tenant_id hold lists or structures")


def test_types_of_other_makers_are_read_by_their_meaning(books: Books) -> None:
    frame = leases(2).with_columns(
        pl.col("version").cast(pl.Float64),
        pl.col("gpu_count").cast(pl.UInt16),
        pl.col("price_per_gpu_hour").cast(pl.Float64),
        pl.col("status").cast(pl.Categorical),
        pl.col("starts_at").dt.cast_time_unit("ns").dt.convert_time_zone("America/New_York"),
        pl.lit(None).alias("tenant_name"),
    )
    drop(books.path, "leases", "a.parquet", parquet(frame))
    (landed,) = books.land()
    assert (landed.landed_count, landed.quarantined_count) == (2, 0)
    assert books.rows(
        "SELECT DISTINCT price_per_gpu_hour::VARCHAR, version, starts_at = '2026-12-31T13:00:00Z' FROM raw.leases"
    ) == [("2.500000000", 1, True)]


def test_the_quarantine_is_given_to_people_as_files_and_goes_when_it_is_mended(books: Books) -> None:
    target = books.path / "quarantine" / "my-park-1" / "lease_usage.csv"
    usage = "lease_id,interval_start_at,interval_end_at,gpu_hours\nL1,2027-01-01T00:00:00Z,2027-01-01T01:00:00Z,3\n"
    drop(books.path, "lease_usage", "u.csv", usage)
    books.land()
    assert pl.read_csv(target).select("path", "line_no", "rule", "column_name", "row_text").rows() == [
        ("landing/my-park-1/lease_usage/u.csv", 2, "unknown_lease", "lease_id", usage.splitlines()[1])
    ]
    drop(books.path, "leases", "l.csv", LEASE_HEADER + lease_row())
    books.land()
    assert not target.exists()
