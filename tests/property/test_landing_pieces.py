"""A rule that binds over a whole file finds the same rows whether the file is checked at once, in pieces, or over the disk."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

import itertools

from ingest import reading, spool
from ingest.feeds.limits import Limits
from ingest.reading import Cells, check_cells
from ingest.spool import Spool
from ingest.terms.park import Park, Tranche

FIRST = datetime(2027, 3, 1, tzinfo=UTC)
PARK = Park.model_construct(
    park_id="p",
    time_zone="Australia/Sydney",
    naive_timestamps="error",
    tranches=[Tranche.model_construct(tranche_id="t", nodes="a-*", energised_date=FIRST.date() - timedelta(days=60))],
)
Row = tuple[str | None, ...]

# Counters of a GPU that draws 100 W (100,000 mJ a second), at times anew from nought, at times behind itself.
samples = st.tuples(
    st.sampled_from(["a-1", "a-2", "z-1", ""]),
    st.integers(0, 9),
    st.sampled_from(["", "x", "0", "40000000", "9000000000", "10000000000", "10050000000"]),
    st.sampled_from(["", "1", "2"]),
)
intervals = st.tuples(st.sampled_from(["m1", "m2"]), st.integers(0, 9), st.sampled_from([-1, 1, 2, 5]))


def at(minute: int) -> str:
    return (FIRST + timedelta(minutes=minute)).isoformat()


def runs_back(rows: list[tuple[str, int, str, str]]) -> list[int]:
    """Numbers of the rows whose counter fell to more than 5,000 W a GPU could have drawn since, by the rule's words."""
    known = [
        (gpu, minute, no, int(mj), count) for no, (gpu, minute, mj, count) in enumerate(rows) if gpu and mj.isdigit()
    ]
    known.sort(key=lambda row: row[:3])
    return sorted(
        no
        for (gpu, minute, _, mj, _), (other, later, no, now_mj, count) in itertools.pairwise(known)
        if gpu == other
        and later > minute
        and now_mj < mj
        and now_mj > (later - minute) * 60 * 5_000_000 * int(count or 1)
    )


def overlapping(rows: list[tuple[str, int, int]]) -> list[int]:
    """Numbers of the intervals that begin before an earlier one of their register has ended."""
    of_meter = [
        [(start, start + length, no) for no, (name, start, length) in enumerate(rows) if name == meter]
        for meter in ("m1", "m2")
    ]
    found = []
    for one in map(sorted, of_meter):
        for place, (start, _, no) in enumerate(one):
            before = one[:place]
            if before and max(end for _, end, _ in before) > start and before[-1][0] != start:
                found.append(no)
    return sorted(found)


def found_by(feed: str, frame: pl.DataFrame, piece: int, rule: str) -> tuple[list[int], list[dict[str, object]]]:
    """Numbers of the rows that a rule has noted, and all that became of the rows, read in frames of so many rows."""
    frames = Spool()
    for part in frame.with_row_index("line_no").iter_slices(piece):
        frames.append(part)
    batches = list(check_cells([(0, Cells("csv", frames))], feed, Limits(PARK)))
    noted, rejected, good = (
        pl.concat([getattr(b, name) for b in batches]).sort("line_no") for name in ("noted", "rejected", "good")
    )
    of_rule = noted.filter(pl.col("rule") == rule)["line_no"].to_list()
    return of_rule, [*noted.to_dicts(), *rejected.to_dicts(), *good.to_dicts()]


def holds(feed: str, frame: pl.DataFrame, piece: int, rule: str, expected: list[int]) -> None:
    at_once = found_by(feed, frame, frame.height, rule)
    assert at_once[0] == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BATCH_ROWS", piece)
        in_pieces = found_by(feed, frame, 1, rule)
        patch.setattr(spool, "MEMORY_BYTES", 0)
        patch.setattr(spool, "PIECE_ROWS", 2)
        over_the_disk = found_by(feed, frame, 1, rule)
    assert in_pieces == at_once
    assert over_the_disk == at_once


@settings(max_examples=12, deadline=None)
@given(rows=st.lists(samples, min_size=6, max_size=14), piece=st.integers(1, 5))
@example(
    rows=[
        ("a-1", 0, "10000000000", ""),
        ("a-2", 0, "0", ""),
        ("a-1", 1, "10050000000", ""),
        ("a-1", 2, "9000000000", ""),
    ],
    piece=3,
)
def test_a_counter_that_runs_back_is_found_however_the_file_is_cut(
    rows: list[tuple[str, int, str, str]], piece: int
) -> None:
    cells = [
        (gpu or None, gpu, "GB300", at(minute), "50", "100", mj or None, count or None)
        for gpu, minute, mj, count in rows
    ]
    names = ["gpu_id", "node_id", "gpu_model", "sampled_at", "utilization_pct", "power_w", "energy_mj", "gpu_count"]
    frame = pl.DataFrame(cells, schema=dict.fromkeys(names, pl.String), orient="row")
    # A row that is refused for another reason stands in its sequence all the same, and is noted for nothing.
    refused = {no for no, (gpu, _, mj, _) in enumerate(rows) if gpu in {"", "z-1"} or mj == "x"}
    expected = [no for no in runs_back(rows) if no not in refused]
    holds("gpu_telemetry", frame, piece, "energy_counter_back", expected)


@settings(max_examples=12, deadline=None)
@given(rows=st.lists(intervals, min_size=6, max_size=14), piece=st.integers(1, 5))
@example(rows=[("m1", 0, 5), ("m1", 1, 1), ("m1", 3, 1), ("m1", 4, 2)], piece=2)
def test_intervals_that_overlap_are_found_however_the_file_is_cut(rows: list[tuple[str, int, int]], piece: int) -> None:
    cells = [(meter, "1", "it", at(start), at(start + length), "5", "actual") for meter, start, length in rows]
    names = ["meter_id", "register", "role", "interval_start_at", "interval_end_at", "energy_kwh", "quality"]
    frame = pl.DataFrame(cells, schema=dict.fromkeys(names, pl.String), orient="row")
    expected = [no for no in overlapping(rows) if rows[no][2] > 0]
    holds("power_meter", frame, piece, "overlaps", expected)
