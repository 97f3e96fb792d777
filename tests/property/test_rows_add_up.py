"""Whatever stands in files, and in whatever order they land, each row of each file is accounted for once."""

import gzip
import sys
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from small_home import LEASE_HEADER, Books, drop, lease_row, make_home

USAGE_HEADER = "lease_id,interval_start_at,interval_end_at,gpu_hours,recorded_at\n"
TELEMETRY_HEADER = "gpu_id,node_id,gpu_model,sampled_at,utilization_pct,power_w,recorded_at\n"
KNOWN = ("2027-01-06T00:00:00Z", "2027-01-07T00:00:00Z")
TORN = ("torn\n", "\n", '"never closed\n', "a,b,\xe9,\xff\n", "x\0y\n", "," * 30 + "\n", "é" * 300 + "\n")


def _usage(lease: int, hour: int, hours: str, known: int) -> str:
    at, until = (f"2027-01-05T{number:02d}:00:00Z" for number in (hour, hour + 1))
    return f"L{lease},{at},{until},{hours},{KNOWN[known]}\n"


def _sample(gpu: int, minute: int, power: str, known: int) -> str:
    return (
        f"a-{gpu}/0,{'b' if gpu == 3 else 'a'}-{gpu},GB300,2027-01-05T00:{minute:02d}:00Z,50,{power},{KNOWN[known]}\n"
    )


FEW, BIT = st.integers(0, 3), st.integers(0, 1)
ROWS = {
    "leases": (
        LEASE_HEADER,
        st.builds(lambda lease, price: lease_row(f"L{lease}", price=price), FEW, st.sampled_from(["1", "2", "x"])),
    ),
    "lease_usage": (USAGE_HEADER, st.builds(_usage, FEW, FEW, st.sampled_from(["1", "2", "-1", "many"]), BIT)),
    "gpu_telemetry": (
        TELEMETRY_HEADER,
        st.builds(_sample, FEW, FEW, st.sampled_from(["900", "901", "9e9", "N/A"]), BIT),
    ),
}


@st.composite
def hostile_files(draw: st.DrawFn) -> list[tuple[str, bytes]]:
    files = []
    for _ in range(draw(st.integers(2, 5))):
        feed = draw(st.sampled_from(sorted(ROWS)))
        header, row = ROWS[feed]
        lines = draw(st.lists(st.one_of(row, row, row, st.sampled_from(TORN)), min_size=1, max_size=12))
        content = (header + "".join(lines)).encode(draw(st.sampled_from(["utf-8", "latin-1"])))
        packed = gzip.compress(content) if draw(st.booleans()) else content
        files.append((feed, packed[: len(packed) - draw(st.sampled_from([0, 0, 0, 9]))]))
    return files


@given(hostile_files(), st.booleans())
@settings(max_examples=8, deadline=None)
def test_each_row_of_each_file_is_landed_duplicate_superseded_or_quarantined(
    files: list[tuple[str, bytes]], is_one_by_one: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        books = Books(make_home(Path(folder) / "home"))
        for number, (feed, content) in enumerate(files):
            drop(books.path, feed, f"{number}.csv", content)
            if is_one_by_one or number == len(files) - 1:
                books.land()
                sums = "landed_count + duplicate_count + superseded_count + quarantined_count"
                assert books.rows(f"SELECT path, row_count FROM raw.landed_file WHERE row_count <> {sums}") == []
        counted = (
            "SELECT count(*) FROM raw.landed_file AS f WHERE quarantined_count <> (SELECT count(*) FROM "
            "raw.quarantined_row AS q WHERE (q.park_id, q.feed, q.file_id) = (f.park_id, f.feed, f.file_id))"
        )
        assert books.one(counted) == 0
        for feed in ROWS:
            kept = f"SELECT count(*) FROM raw.{feed}"
            of_files = "coalesce(sum(landed_count + duplicate_count + superseded_count), 0)"
            assert books.one(kept) == books.one(f"SELECT {of_files} FROM raw.landed_file WHERE feed = '{feed}'")
