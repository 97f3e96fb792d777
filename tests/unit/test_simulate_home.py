"""Simulated homes: the same bytes, the right shapes, what is missing, and imperfections as announced."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import duckdb
import polars as pl
import pytest
from simulated_home import NORTH, SOUTH, load, write_home

from ingest import landing
from ingest.contracts import CONTRACTS
from ingest.simulate.files import csv_bytes
from ingest.simulate.home import FEEDS, MANIFEST, README, missing_feeds, simulate
from ingest.terms.tables import write_terms


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_home(tmp_path_factory.mktemp("home"))
    simulate(load(path))
    return path


def digests(home: Path) -> dict[str, str]:
    files = sorted(path for path in (home / "landing").rglob("*") if path.is_file())
    return {path.relative_to(home).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def telemetry(home: Path, park: str, pattern: str = "simulated-gpu_telemetry-????-??.parquet") -> pl.DataFrame:
    return pl.concat(
        pl.read_parquet(path) for path in sorted((home / "landing" / park / "gpu_telemetry").glob(pattern))
    )


def imperfections(home: Path, park: str) -> dict[str, int]:
    manifest = json.loads((home / "landing" / park / MANIFEST).read_text())
    return {row["file"]: row["row_count"] for row in manifest["imperfections"]}


def test_the_same_home_gives_the_same_bytes(simulated: Path, tmp_path: Path) -> None:
    simulate(load(write_home(tmp_path)))
    assert digests(tmp_path) == digests(simulated)


def test_another_seed_gives_other_figures_in_the_same_files(simulated: Path, tmp_path: Path) -> None:
    write_home(tmp_path)
    home_yaml = tmp_path / "home.yaml"
    home_yaml.write_text(home_yaml.read_text().replace("seed: 7", "seed: 8"))
    simulate(load(tmp_path))
    ours, others = digests(simulated), digests(tmp_path)
    months = [name for name in ours if re.search(r"gpu_telemetry-\d{4}-\d\d\.parquet", name)]
    assert all(ours[name] != others[name] for name in months)


def test_a_later_clock_leaves_the_files_of_the_past_as_they_are(simulated: Path, tmp_path: Path) -> None:
    simulate(load(write_home(tmp_path, as_of="2027-04-30")))
    early = {name: digest for name, digest in digests(tmp_path).items() if "2027-03" in name}
    late = digests(simulated)
    assert early
    assert all(late[name] == digest for name, digest in early.items())


def test_every_file_says_that_it_is_simulated(simulated: Path) -> None:
    names = {path.name for path in (simulated / "landing").rglob("*") if path.is_file()}
    assert all(name.startswith("simulated-") for name in names - {README, MANIFEST})
    assert "Simulation for a test." in (simulated / "landing" / NORTH / README).read_text()


def test_all_feeds_are_missing_before_and_none_after(tmp_path: Path) -> None:
    home = load(write_home(tmp_path, as_of="2027-01-31"))
    assert missing_feeds(home) == [(park, feed) for park in (NORTH, SOUTH) for feed in FEEDS]
    simulate(home)
    assert missing_feeds(home) == []
    assert simulate(home) == []


def test_a_feed_with_a_file_of_the_users_is_left_alone(tmp_path: Path) -> None:
    home = load(write_home(tmp_path, as_of="2027-01-31"))
    own = tmp_path / "landing" / NORTH / "power_meter" / "mine.csv"
    own.parent.mkdir(parents=True)
    own.write_text("meter_id\n")
    simulate(home)
    assert [path.name for path in own.parent.iterdir()] == ["mine.csv"]
    assert (tmp_path / "landing" / SOUTH / "power_meter").is_dir()


def test_what_is_simulated_beside_the_users_leases_is_about_the_users_leases(tmp_path: Path) -> None:
    home = load(write_home(tmp_path, as_of="2027-02-15", parks=NORTH))
    own = tmp_path / "landing" / NORTH / "leases" / "mine.csv"
    own.parent.mkdir(parents=True)
    own.write_text(
        "lease_id,version,tenant_id,tranche_id,gpu_model,gpu_count,starts_at,ends_at,price_per_gpu_hour,currency_code,"
        "workload,customer_type,pricing,status\n"
        f"mine-1,1,me,{NORTH}-a,GB300,72,2027-01-01T00:00:00+07:00,2028-01-01T00:00:00+07:00,3.00,USD,"
        "training,third_party,metered,active\n"
    )
    simulate(home)
    assert [path.name for path in own.parent.iterdir()] == ["mine.csv"]
    usage = tmp_path / "landing" / NORTH / "lease_usage" / "simulated-lease_usage-2027-01.csv.gz"
    assert set(pl.read_csv(usage)["lease_id"]) == {"mine-1"}
    rows = telemetry(tmp_path, NORTH).filter(pl.col("sampled_at") > pl.datetime(2027, 1, 20, time_zone="UTC"))
    busy = dict(rows.group_by("node_id").agg(pl.col("utilization_pct").mean()).iter_rows())
    assert busy["a-0001"] > 40
    assert busy["a-0002"] < 1


def test_a_park_that_the_home_does_not_name_is_not_simulated(tmp_path: Path) -> None:
    home = load(write_home(tmp_path, as_of="2027-01-31", parks=SOUTH))
    simulate(home)
    assert not (tmp_path / "landing" / NORTH).exists()


def test_a_deleted_file_is_written_again_to_the_same_bytes(tmp_path: Path) -> None:
    home = load(write_home(tmp_path, as_of="2027-01-31"))
    simulate(home)
    before = digests(tmp_path)
    next((tmp_path / "landing" / NORTH / "leases").glob("*.csv")).unlink()
    assert missing_feeds(home) == [(NORTH, "leases")]
    simulate(home)
    assert digests(tmp_path) == before


def test_files_of_an_earlier_clock_that_are_no_longer_made_are_taken_away(tmp_path: Path) -> None:
    simulate(load(write_home(tmp_path, as_of="2027-03-31")))
    simulate(load(write_home(tmp_path, as_of="2027-01-31")))
    assert not list((tmp_path / "landing").rglob("*2027-03*"))


def test_nothing_is_written_that_the_clock_has_not_seen(simulated: Path) -> None:
    clock = load(simulated).clock_at
    for park in (NORTH, SOUTH):
        assert telemetry(simulated, park, "*.parquet")["recorded_at"].max() <= clock
        for path in (simulated / "landing" / park).rglob("*.csv"):
            if "broken" not in path.name and "wrong-header" not in path.name:
                known = pl.read_csv(path, infer_schema=False)["recorded_at"].str.to_datetime(time_zone="UTC")
                assert known.max() <= clock, path


def test_headers_are_those_of_the_feeds_contracts(simulated: Path) -> None:
    for path in (simulated / "landing").rglob("*.csv*"):
        if "truncated" in path.name or "wrong-header" in path.name:
            continue
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        header = text.decode().split("\n", 1)[0].split(",")
        contract = CONTRACTS[path.parent.name]
        assert set(contract.header) <= set(header) <= {column.name for column in contract.columns} | {"recorded_at"}


def test_each_energised_rack_reports_each_hour_or_has_a_gap(simulated: Path) -> None:
    rows = telemetry(simulated, SOUTH).filter(pl.col("node_id") == "b-0002")
    assert rows["gpu_count"].unique().to_list() == [130 - 72]
    assert rows["gpu_model"].unique().to_list() == ["GB300"]
    # 2027-02-11 00:00 in Sydney, the day on which the tranche was energised.
    assert str(rows["sampled_at"].min()).startswith(("2027-02-10 13:00", "2027-02-10 14", "2027-02-1"))
    step = rows["sampled_at"].sort().diff().drop_nulls().dt.total_seconds()
    assert step.min() == 3600
    assert (step % 3600 == 0).all()


def test_a_finer_interval_gives_more_samples_of_the_same_hours(tmp_path: Path) -> None:
    simulate(load(write_home(tmp_path, as_of="2027-01-05", interval=900)))
    rows = telemetry(tmp_path, NORTH)
    per_hour = rows.group_by("node_id", pl.col("sampled_at").dt.truncate("1h")).len()["len"]
    assert per_hour.unique().to_list() == [4]


def test_values_stay_within_the_bounds_of_the_feed(simulated: Path) -> None:
    rows = telemetry(simulated, NORTH)
    assert rows["utilization_pct"].is_between(0, 100).all()
    assert rows["power_w"].is_between(1, 2000).all()
    assert rows.select(pl.struct("gpu_id", "sampled_at").is_duplicated().any()).item() is False


def test_the_it_meter_agrees_with_the_telemetry_but_for_a_small_loss(simulated: Path) -> None:
    day = pl.date(2027, 3, 20)
    local = pl.col("sampled_at").dt.convert_time_zone("Asia/Jakarta").dt.date()
    samples = telemetry(simulated, NORTH, "*2027-03.parquet").filter(local == day)
    reported = (samples["power_w"] * samples["gpu_count"]).sum() / 1000
    expected_gpus = 24 * (300 + 130)
    meter = pl.read_csv(
        gzip.decompress(
            (simulated / "landing" / NORTH / "power_meter" / "simulated-power_meter-2027-03.csv.gz").read_bytes()
        ),
        infer_schema=False,
    ).with_columns(
        pl.col("interval_start_at").str.to_datetime(time_zone="UTC").dt.convert_time_zone("Asia/Jakarta").dt.date(),
        pl.col("energy_kwh").cast(pl.Float64),
    )
    by_role = dict(
        meter.filter(pl.col("interval_start_at") == day).group_by("role").agg(pl.col("energy_kwh").sum()).iter_rows()
    )
    coverage = samples["gpu_count"].sum() / expected_gpus
    assert by_role["it"] * coverage == pytest.approx(reported * 1.015, rel=0.05)
    assert 1.0 < by_role["facility"] / by_role["it"] < 2.0
    assert {"facility", "it", "generation"} == set(by_role)


def test_each_kind_of_imperfection_is_there_and_landing_finds_what_the_manifest_says(simulated: Path) -> None:
    home = load(simulated)
    con = duckdb.connect()
    landing.create_raw_tables(con)
    write_terms(con, home)
    landing.land(con, home, landing.pending(con, home))
    landed = {
        path.rsplit("/", 1)[1]: (state, quarantined)
        for path, state, quarantined in con.execute(
            "SELECT path, state, quarantined_count FROM raw.landed_file WHERE park_id = ?", [NORTH]
        ).fetchall()
    }
    said = imperfections(simulated, NORTH)
    assert len(said) == 11
    for name, count in said.items():
        if "broken" in name:
            assert landed[name] == ("landed", count)
        elif "truncated" in name:
            assert landed[name] == ("landed", 1)
        elif "wrong-header" in name:
            assert landed[name][0] == "rejected"
        elif "again" in name:
            assert name not in landed or name.replace("-again", "") not in landed
    totals = con.execute(
        "SELECT sum(duplicate_count), sum(superseded_count), sum(quarantined_count) FROM raw.landed_file "
        "WHERE park_id = ? AND feed = 'gpu_telemetry'",
        [NORTH],
    ).fetchone()
    telemetry_said = {name: count for name, count in said.items() if "gpu_telemetry" in name}
    assert totals == (
        next(count for name, count in telemetry_said.items() if "overlap" in name),
        next(count for name, count in telemetry_said.items() if "corrected" in name),
        next(count for name, count in telemetry_said.items() if "broken" in name),
    )


def test_leases_play_every_part(simulated: Path) -> None:
    paths = sorted((simulated / "landing" / NORTH / "leases").glob("simulated-leases-????-??.csv"))
    leases = pl.concat(pl.read_csv(path, infer_schema=False) for path in paths)
    assert 12 <= leases["lease_id"].n_unique() <= 20
    assert set(leases["pricing"]) == {"reserved", "metered"}
    assert set(leases["customer_type"]) == {"third_party", "related", "vendor_own_use"}
    assert set(leases["status"]) == {"active", "ended", "cancelled"}
    assert set(leases["workload"]) == {"training", "fine_tuning", "inference"}
    changed = leases.group_by("lease_id").agg(pl.col("price_per_gpu_hour").n_unique())
    assert (changed["price_per_gpu_hour"] > 1).any()
    assert leases["tenant_name"].str.contains("(?i)simulated").all()


def test_no_rack_is_let_twice_and_no_tranche_beyond_its_size(simulated: Path) -> None:
    paths = sorted((simulated / "landing" / SOUTH / "leases").glob("simulated-leases-????-??.csv"))
    leases = pl.concat(pl.read_csv(path, infer_schema=False) for path in paths)
    ever = leases.filter(pl.col("status") != "cancelled").unique("lease_id", keep="last", maintain_order=True)
    let = ever.filter(~pl.col("lease_id").is_in(leases.filter(pl.col("status") == "cancelled")["lease_id"].implode()))
    sizes = dict(let.group_by("tranche_id").agg(pl.col("gpu_count").cast(pl.Int64).sum()).iter_rows())
    assert sizes[f"{SOUTH}-a"] <= 400
    assert sizes[f"{SOUTH}-b"] <= 130


def test_a_gzip_file_has_the_same_bytes_whatever_python_wrote_it() -> None:
    """Known bytes: header without name and time, operating system unknown (RFC 1952), as Python 3.11 and 3.13 gave them."""
    packed = csv_bytes(["a", "b"], [[number, number * number % 977] for number in range(20_000)], is_gzip=True)
    assert packed[:10] == bytes.fromhex("1f8b080000000000" + "00" + "ff")
    assert gzip.decompress(packed).startswith(b"a,b\n0,0\n1,1\n")
