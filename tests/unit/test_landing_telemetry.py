"""Telemetry: tranches, clock hours and days, the lake and its catalogue."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from small_home import PARK_ID, Books, drop, make_home

from ingest import lake, manifest
from ingest.feeds.gpu_telemetry import clock_hour, with_clock

HEADER = "gpu_id,node_id,gpu_model,sampled_at,utilization_pct,power_w,gpu_count,recorded_at\n"


def sample(
    gpu: str = "a-1/0", at: str = "2027-01-01T00:30:00Z", util: str = "50", power: str = "900.5", known: str = ""
) -> str:
    return f"{gpu},{gpu.split('/', maxsplit=1)[0]},GB300,{at},{util},{power},,{known or at}\n"


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(make_home(tmp_path))


def counts(books: Books) -> dict[str, tuple[int, ...]]:
    rows = books.con.execute(
        "SELECT path, row_count, landed_count, duplicate_count, superseded_count, quarantined_count "
        "FROM raw.landed_file"
    ).fetchall()
    for row in rows:
        assert row[1] == sum(row[2:]), row
    return {Path(row[0]).name: tuple(row[1:]) for row in rows}


def test_rows_go_to_the_lake_by_local_day_with_whole_thousandths(books: Books) -> None:
    # 13:30 UTC is half past midnight of the next day in Sydney's summer.
    drop(
        books.path,
        "gpu_telemetry",
        "t.csv",
        HEADER + sample(at="2027-01-01T12:30:00Z", util="33.3335") + sample(at="2027-01-01T13:30:00Z"),
    )
    books.land()
    assert books.rows("SELECT path, row_count, has_duplicate_keys FROM raw.lake_file ORDER BY service_date") == [
        (f"lake/gpu_telemetry/park_id={PARK_ID}/service_date=2027-01-01/{file_id}.parquet", 1, False)
        if day == 0
        else (f"lake/gpu_telemetry/park_id={PARK_ID}/service_date=2027-01-02/{file_id}.parquet", 1, False)
        for day, (file_id,) in enumerate(books.rows("SELECT file_id FROM raw.landed_file") * 2)
    ]
    assert books.rows(
        "SELECT service_date, interval_start_at, tranche_id, utilization_milli_pct, power_microwatt, gpu_count, "
        "park_id FROM raw.gpu_telemetry ORDER BY sampled_at"
    ) == [
        (date(2027, 1, 1), datetime(2027, 1, 1, 12, tzinfo=UTC), "my-park-1-a", 33334, 900500000, 1, PARK_ID),
        (date(2027, 1, 2), datetime(2027, 1, 1, 13, tzinfo=UTC), "my-park-1-a", 50000, 900500000, 1, PARK_ID),
    ]


def test_lake_files_have_the_agreed_columns_and_order(books: Books) -> None:
    rows = [
        sample("a-2/0", "2027-01-01T01:00:00Z"),
        sample("a-1/0", "2027-01-01T02:00:00Z"),
        sample("a-1/0", "2027-01-01T01:00:00Z"),
    ]
    drop(books.path, "gpu_telemetry", "t.csv", HEADER + "".join(rows))
    books.land()
    frame = pl.read_parquet(books.path / str(books.one("SELECT path FROM raw.lake_file")), hive_partitioning=False)
    assert dict(frame.schema) == lake.COLUMNS
    assert frame.select("gpu_id", pl.col("sampled_at").dt.hour()).rows() == [("a-1/0", 1), ("a-1/0", 2), ("a-2/0", 1)]
    assert frame["line_no"].to_list() == [4, 3, 2]


@pytest.mark.parametrize(
    ("changed", "rule", "column"),
    [
        ({"gpu": "z-1/0"}, "no_tranche", "node_id"),
        ({"util": "100.1"}, "out_of_range", "utilization_pct"),
        ({"util": "-0.0001"}, "out_of_range", "utilization_pct"),
        ({"util": "full"}, "not_a_number", "utilization_pct"),
        ({"power": "-1"}, "out_of_range", "power_w"),
        ({"power": "900500"}, "out_of_range", "power_w"),
        ({"power": "inf"}, "not_a_number", "power_w"),
        ({"at": "2027-01-01T00:30:00", "known": "2027-01-01T00:30:00Z"}, "naive_instant", "sampled_at"),
    ],
)
def test_a_sample_that_cannot_be_is_quarantined(books: Books, changed: dict[str, str], rule: str, column: str) -> None:
    drop(books.path, "gpu_telemetry", "t.csv", HEADER + sample("a-9/0") + sample(**changed))
    books.land()
    assert counts(books) == {"t.csv": (2, 1, 0, 0, 1)}
    assert books.rows("SELECT line_no, rule, column_name FROM raw.quarantined_row") == [(3, rule, column)]


@pytest.mark.parametrize("cell", ["", "N/A", "[N/A]", "NaN"])
def test_a_reading_that_was_not_available_is_null_and_no_fault(books: Books, cell: str) -> None:
    drop(books.path, "gpu_telemetry", "t.csv", HEADER + sample(util=cell, power=cell))
    books.land()
    assert books.rows("SELECT utilization_milli_pct, power_microwatt FROM raw.gpu_telemetry") == [(None, None)]


def test_typed_parquet_lands_as_its_text_would(books: Books, tmp_path: Path) -> None:
    text = HEADER + sample() + sample("a-2/0", util="", power="12.0005")
    frame = pl.read_csv(text.encode(), try_parse_dates=True).with_columns(pl.col("gpu_count").cast(pl.Int64))
    target = drop(books.path, "gpu_telemetry", "t.parquet", b"")
    frame.write_parquet(target)
    books.land()
    other = Books(make_home(tmp_path / "other"))
    drop(other.path, "gpu_telemetry", "t.csv", text)
    other.land()
    business = "SELECT * EXCLUDE (file_id, line_no) FROM raw.gpu_telemetry ORDER BY gpu_id"
    assert books.rows(business) == other.rows(business)


def test_duplicates_and_corrections_are_counted_over_all_files_of_a_day(books: Books) -> None:
    drop(books.path, "gpu_telemetry", "a.csv", HEADER + sample() + sample() + sample("a-2/0"))
    books.land()
    assert counts(books) == {"a.csv": (3, 2, 1, 0, 0)}
    assert books.one("SELECT has_duplicate_keys FROM raw.lake_file") is True
    drop(
        books.path,
        "gpu_telemetry",
        "b.csv",
        HEADER + sample(util="60", known="2027-01-05T00:00:00Z") + sample("a-2/0", known="2027-01-05T00:00:00Z"),
    )
    books.land()
    assert counts(books) == {"a.csv": (3, 1, 1, 1, 0), "b.csv": (2, 1, 1, 0, 0)}


def test_new_node_patterns_land_the_files_again(books: Books) -> None:
    drop(books.path, "gpu_telemetry", "t.csv", HEADER + sample("a-1/0") + sample("b-1/0"))
    books.land()
    assert counts(books) == {"t.csv": (2, 1, 0, 0, 1)}
    park = books.path / "parks" / f"{PARK_ID}.yaml"
    park.write_text(park.read_text().replace('nodes: "a-*"', 'nodes: "[ab]-*"'))
    books.land()
    assert counts(books) == {"t.csv": (2, 2, 0, 0, 0)}
    assert books.one("SELECT count(*) FROM raw.gpu_telemetry") == 2
    text = park.read_text().replace("Australia/Sydney", "America/New_York")
    park.write_text(text.replace("energised_date: 2027-01-01", "energised_date: 2026-12-01"))
    books.land()
    assert books.rows("SELECT DISTINCT service_date FROM raw.gpu_telemetry") == [(date(2026, 12, 31),)]
    assert len(list((books.path / "lake").rglob("*.parquet"))) == 1


def test_a_node_of_two_tranches_belongs_to_none(tmp_path: Path) -> None:
    second = "  - {tranche_id: my-park-1-b, gpu_model: VR, gpu_count: 10, nodes: 'a-1*'}\n"
    books = Books(make_home(tmp_path, park=lambda text: text.replace("economics:", second + "economics:")))
    drop(books.path, "gpu_telemetry", "t.csv", HEADER + sample("a-1/0"))
    books.land()
    assert books.rows("SELECT rule FROM raw.quarantined_row") == [("several_tranches",)]


def test_the_view_is_empty_before_the_first_landing_and_typed(books: Books) -> None:
    assert books.one("SELECT count(*) FROM raw.gpu_telemetry") == 0
    described = dict(
        books.con.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'gpu_telemetry'"
        ).fetchall()
    )
    drop(books.path, "gpu_telemetry", "t.csv", HEADER + sample())
    books.land()
    assert described == dict(
        books.con.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'gpu_telemetry'"
        ).fetchall()
    )


def test_a_lake_file_that_no_manifest_names_is_never_read_and_a_rerun_completes_it(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(books.path, "gpu_telemetry", "t.csv", HEADER + sample())

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(manifest, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            books.land()
    assert len(list((books.path / "lake").rglob("*.parquet"))) == 1
    assert books.one("SELECT count(*) FROM raw.gpu_telemetry") == 0
    assert books.rows("FROM raw.landed_file") == []
    books.land()
    assert counts(books) == {"t.csv": (1, 1, 0, 0, 0)}
    assert books.one("SELECT count(*) FROM raw.gpu_telemetry") == 1


def test_a_half_written_lake_file_of_a_killed_run_is_cleared(books: Books) -> None:
    left = books.path / "lake" / ".writing" / "x.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"PAR1")
    books.land()
    assert not left.exists()


@pytest.mark.parametrize(
    ("zone", "instant", "start", "day"),
    [
        ("Asia/Kolkata", "2027-01-01T18:45:00+00:00", "2027-01-01T18:30:00+00:00", "2027-01-02"),
        ("Asia/Kathmandu", "2027-01-01T18:10:00+00:00", "2027-01-01T17:15:00+00:00", "2027-01-01"),
        # Sydney sets its clock back at 03:00 on 4 April 2027: 02:30 comes twice, in two hours.
        ("Australia/Sydney", "2027-04-03T15:30:00+00:00", "2027-04-03T15:00:00+00:00", "2027-04-04"),
        ("Australia/Sydney", "2027-04-03T16:30:00+00:00", "2027-04-03T16:00:00+00:00", "2027-04-04"),
        # Lord Howe sets its clock by half an hour: on 4 April 2027 02:00 becomes 01:30, at 15:00 UTC.
        ("Australia/Lord_Howe", "2027-04-03T14:50:00+00:00", "2027-04-03T14:00:00+00:00", "2027-04-04"),
        ("Australia/Lord_Howe", "2027-04-03T15:10:00+00:00", "2027-04-03T15:00:00+00:00", "2027-04-04"),
        ("Australia/Lord_Howe", "2027-10-02T15:40:00+00:00", "2027-10-02T15:30:00+00:00", "2027-10-03"),
    ],
)
def test_the_clock_hour_is_that_of_the_parks_clock(zone: str, instant: str, start: str, day: str) -> None:
    found = clock_hour(datetime.fromisoformat(instant), ZoneInfo(zone))
    assert found == (datetime.fromisoformat(start), date.fromisoformat(day))


@pytest.mark.parametrize(
    ("zone", "day", "hours"), [("Australia/Sydney", "2027-04-04", 25), ("Australia/Sydney", "2027-10-03", 23)]
)
def test_days_on_which_the_clock_is_set_have_their_real_hours(zone: str, day: str, hours: int) -> None:
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    instants = [midnight - timedelta(hours=2) + timedelta(minutes=10 * step) for step in range(30 * 6)]
    rows = with_clock(pl.DataFrame({"sampled_at": pl.Series(instants, dtype=pl.Datetime("us", "UTC"))}), ZoneInfo(zone))
    on_day = rows.filter(pl.col("service_date") == date.fromisoformat(day))
    assert (on_day["interval_start_at"].n_unique(), on_day.height) == (hours, hours * 6)
    assert (on_day["sampled_at"] - on_day["interval_start_at"]).max() == timedelta(minutes=50)
