"""However the same rows are split over files, ordered and repeated, the current rows and what is known of them are the same."""

import sys
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from small_home import LEASE_HEADER, Books, drop, lease_row, make_home

from ingest.contracts import CONTRACTS

USAGE = "lease_id,interval_start_at,interval_end_at,gpu_hours,recorded_at\n"
TELEMETRY = "gpu_id,node_id,gpu_model,sampled_at,utilization_pct,power_w,recorded_at\n"
METER = "meter_id,register,role,interval_start_at,interval_end_at,energy_kwh,quality,recorded_at\n"
HEADERS = {"leases": LEASE_HEADER, "lease_usage": USAGE, "gpu_telemetry": TELEMETRY, "power_meter": METER}

known = st.sampled_from([f"2027-02-0{day}T00:00:00Z" for day in range(1, 4)])
ROWS = {
    "leases": st.builds(
        lambda lease, price, at: lease_row(lease, price=price, recorded_at=at),
        st.sampled_from(["L1", "L2"]),
        st.sampled_from(["2.5", "2.6", "-1"]),
        known,
    ),
    "lease_usage": st.builds(
        lambda lease, hour, hours, at: (
            f"{lease},2027-01-01T0{hour}:00:00Z,2027-01-01T0{hour + 1}:00:00Z,{hours},{at}\n"
        ),
        st.sampled_from(["L1", "L2", "L9"]),
        st.integers(0, 2),
        st.sampled_from(["1", "2", "x"]),
        known,
    ),
    "gpu_telemetry": st.builds(
        lambda gpu, hour, util, at: f"{gpu},{gpu},GB300,2027-01-01T1{hour}:00:00Z,{util},100,{at}\n",
        st.sampled_from(["a-1", "a-2", "z-1"]),
        st.integers(2, 4),
        st.sampled_from(["1", "2", "101", ""]),
        known,
    ),
    "power_meter": st.builds(
        lambda hour, length, energy, at: (
            f"m,1,it,2027-01-01T0{hour}:00:00Z,2027-01-01T0{hour + length}:00:00Z,{energy},actual,{at}\n"
        ),
        st.integers(0, 2),
        st.integers(1, 2),
        st.sampled_from(["1", "2", "-3"]),
        known,
    ),
}
rows = st.one_of([st.tuples(st.just(feed), row) for feed, row in ROWS.items()])


def state_after(folder: Path, landings: list[list[tuple[str, str]]]) -> dict[str, list[tuple[object, ...]]]:
    """The distinct facts of each feed, the current row of each key, and the refused rows, after landing file by file."""
    books = Books(make_home(folder))
    for number, landing in enumerate(landings):
        for feed, header in HEADERS.items():
            lines = "".join(row for of, row in landing if of == feed)
            if lines:
                drop(books.path, feed, f"{number:02d}.csv", header + lines)
        books.land()
    for row_count, parts in books.rows(
        "SELECT row_count, landed_count + duplicate_count + superseded_count + quarantined_count FROM raw.landed_file"
    ):
        assert row_count == parts
    found: dict[str, list[tuple[object, ...]]] = {}
    for feed in HEADERS:
        columns = ", ".join(column.table_name for column in CONTRACTS[feed].columns)
        keys = ", ".join(CONTRACTS[feed].key)
        found[feed] = books.rows(f"SELECT DISTINCT {columns}, recorded_at FROM raw.{feed} ORDER BY ALL")
        found[f"{feed} now"] = books.rows(
            f"SELECT {columns} FROM raw.{feed} QUALIFY row_number() OVER (PARTITION BY {keys} "
            f"ORDER BY recorded_at DESC, {columns}) = 1 ORDER BY ALL"
        )
        found[f"{feed} landed"] = [
            (books.one(f"SELECT coalesce(sum(landed_count), 0) FROM raw.landed_file WHERE feed = '{feed}'"),)
        ]
    found["refused"] = books.rows(
        "SELECT DISTINCT feed, rule, column_name, row_text FROM raw.quarantined_row ORDER BY ALL"
    )
    return found


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), facts=st.lists(rows, min_size=1, max_size=12))
def test_a_random_split_order_and_repetition_of_the_same_rows_makes_no_difference(
    data: st.DataObject, facts: list[tuple[str, str]]
) -> None:
    repeated = facts + data.draw(st.lists(st.sampled_from(facts), max_size=6))
    shuffled = data.draw(st.permutations(repeated))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=3)))
    parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        whole = state_after(Path(folder) / "whole", [facts])
        split = state_after(Path(folder) / "split", parts)
    assert split == whole
