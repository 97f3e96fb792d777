"""Whatever the order and grouping in which files land, tables, counts and quarantine are the same."""

import sys
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from small_home import CONTRACT_ID, LEASE_HEADER, TRANCHE_ID, Books, drop, lease_row, make_home

USAGE = "lease_id,interval_start_at,interval_end_at,gpu_hours,recorded_at\n"
TELEMETRY = "gpu_id,node_id,gpu_model,sampled_at,utilization_pct,power_w,recorded_at\n"
EVENTS = "event_id,kind,contract_id,tranche_id,effective_at,ends_at,gpu_count\n"

TABLES = [
    "leases",
    "lease_usage",
    "lease_usage_waiting",
    "credit_events",
    "gpu_telemetry",
    "lake_file",
    "quarantined_row",
    "landed_file",
]

instants = st.sampled_from([f"2027-02-0{day}T00:00:00Z" for day in range(1, 4)])
lease_rows = st.builds(
    lambda lease, price, known: lease_row(lease, price=price, recorded_at=known),
    st.sampled_from(["L1", "L2"]),
    st.sampled_from(["2.5", "2.6", "-1"]),
    instants,
)
usage_rows = st.builds(
    lambda lease, hour, hours, known: (
        f"{lease},2027-01-01T0{hour}:00:00Z,2027-01-01T0{hour + 1}:00:00Z,{hours},{known}\n"
    ),
    st.sampled_from(["L1", "L2", "L3"]),
    st.integers(0, 1),
    st.sampled_from(["1", "2", "x"]),
    instants,
)
telemetry_rows = st.builds(
    lambda gpu, hour, util, known: f"{gpu},{gpu},GB300,2027-01-01T{hour}:00:00Z,{util},100,{known}\n",
    st.sampled_from(["a-1", "a-2", "z-1"]),
    st.sampled_from(["12", "13"]),
    st.sampled_from(["1", "2", "101"]),
    instants,
)
event_rows = st.builds(
    lambda event, contract: f"{event},withdrawal,{contract},{TRANCHE_ID},2027-02-01T00:00:00Z,,10\n",
    st.sampled_from(["E1", "E2"]),
    st.sampled_from([CONTRACT_ID, "unknown", ""]),
)


def files_of(feed: str, header: str, rows: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, str]]:
    return st.lists(rows, min_size=1, max_size=4).map(lambda lines: (feed, header + "".join(lines)))


files = st.one_of(
    files_of("leases", LEASE_HEADER, lease_rows),
    files_of("lease_usage", USAGE, usage_rows),
    files_of("gpu_telemetry", TELEMETRY, telemetry_rows),
    files_of("credit_events", EVENTS, event_rows),
)


def books_of(folder: Path, landings: list[list[tuple[int, tuple[str, str]]]]) -> dict[str, list[tuple[object, ...]]]:
    """Every table after landing files group by group; a file's name is its number."""
    books = Books(make_home(folder))
    for group in landings:
        for number, (feed, content) in group:
            drop(books.path, feed, f"{number:02d}.csv", content)
        books.land()
    assert books.land() == []
    for row in books.rows(
        "SELECT row_count, landed_count + duplicate_count + superseded_count + quarantined_count FROM raw.landed_file"
    ):
        assert row[0] == row[1]
    keys = "park_id, lease_id, interval_start_at"
    assert books.one(
        "SELECT coalesce(sum(landed_count), 0) FROM raw.landed_file WHERE feed = 'lease_usage'"
    ) == books.one(f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM raw.lease_usage)")
    telemetry = "SELECT count(*) FROM (SELECT DISTINCT gpu_id, sampled_at FROM raw.gpu_telemetry)"
    assert books.one(
        "SELECT coalesce(sum(landed_count), 0) FROM raw.landed_file WHERE feed = 'gpu_telemetry'"
    ) == books.one(telemetry)
    return {table: books.rows(f"SELECT * FROM raw.{table} ORDER BY ALL") for table in TABLES}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), dropped=st.lists(files, min_size=1, max_size=5))
def test_the_books_are_a_function_of_the_set_of_files(data: st.DataObject, dropped: list[tuple[str, str]]) -> None:
    numbered = list(enumerate(dropped))
    order = data.draw(st.permutations(numbered))
    cut = data.draw(st.integers(0, len(order)))
    with tempfile.TemporaryDirectory() as folder:
        at_once = books_of(Path(folder) / "a", [numbered])
        in_parts = books_of(Path(folder) / "b", [order[:cut], order[cut:]])
        one_by_one = books_of(Path(folder) / "c", [[item] for item in order])
    assert at_once == in_parts == one_by_one
