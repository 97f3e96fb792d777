"""New simulated homes of any size, and each imperfection by its name: landing finds exactly what was done."""

from datetime import date
from pathlib import Path

import pytest
from small_home import Books
from typer.testing import CliRunner

from ingest import landing
from ingest.simulate.fresh_home import Size, make_home
from ingest.simulate.imperfections import FATAL_XID, KINDS
from orchestration.cli import app

PARK = "sim-park-1"
SMALL = {"gpu_count": 300, "day_count": 2, "seed": 3}
RACKS = 5  # 300 GPUs in racks of 72


def files(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()}


def landed(path: Path) -> tuple[Books, dict[str, tuple[str, int, int, int, int]]]:
    books = Books(path)
    home = books.home()
    assert home.problems == ()
    found = landing.land(books.con, home, landing.pending(books.con, home))
    return books, {
        Path(f.path).name: (f.state, f.landed_count, f.duplicate_count, f.superseded_count, f.quarantined_count)
        for f in found
    }


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_home(tmp_path / name, Size(**{**SMALL, "seed": seed}, imperfections=tuple(KINDS)))
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert files(tmp_path / "a").keys() == files(tmp_path / "c").keys()
    assert files(tmp_path / "a") != files(tmp_path / "c")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Jakarta", "America/New_York", "Asia/Kathmandu"])
def test_a_home_without_imperfections_lands_whole_for_exactly_its_days(tmp_path: Path, zone: str) -> None:
    make_home(tmp_path / "h", Size(**SMALL, park_count=2, time_zone=zone, start=date(2028, 2, 28)))
    books, found = landed(tmp_path / "h")
    assert {state for state, *_ in found.values()} == {"landed"}
    assert sum(refused for *_, refused in found.values()) == 0
    assert books.rows(
        "SELECT park_id, service_date, count(*), sum(gpu_count)::INT FROM raw.gpu_telemetry GROUP BY ALL ORDER BY ALL"
    ) == [
        (f"sim-park-{park}", day, RACKS * 24, 300 * 24)
        for park in (1, 2)
        for day in (date(2028, 2, 28), date(2028, 2, 29))
    ]


def home_with(tmp_path: Path, kind: str) -> tuple[Books, dict[str, tuple[str, int, int, int, int]]]:
    make_home(tmp_path / "h", Size(**SMALL, imperfections=(kind,)))
    return landed(tmp_path / "h")


def name_of(found: dict[str, tuple[str, int, int, int, int]], kind: str) -> tuple[str, int, int, int, int]:
    return next(counts for name, counts in found.items() if f"-{kind}." in name)


def test_late_rows_land_in_a_file_of_their_own_and_nothing_is_missing(tmp_path: Path) -> None:
    books, found = home_with(tmp_path, "late")
    assert name_of(found, "late") == ("landed", 24, 0, 0, 0)
    assert books.one("SELECT count(*) FROM raw.gpu_telemetry") == RACKS * 48


def test_duplicate_rows_and_bytes_count_once(tmp_path: Path) -> None:
    books, found = home_with(tmp_path, "duplicate")
    assert sum(again for _, _, again, _, _ in found.values()) == 24
    leases = [name for name in found if "leases" in name]
    assert leases == ["simulated-leases-2026-12.csv"]
    assert books.one("SELECT count(*) FROM raw.seen_path WHERE path LIKE '%simulated-leases%'") == 2


def test_corrected_rows_supersede(tmp_path: Path) -> None:
    _, found = home_with(tmp_path, "corrected")
    assert name_of(found, "corrected") == ("landed", 24, 0, 0, 0)
    assert sum(superseded for _, _, _, superseded, _ in found.values()) == 24


def test_a_gap_leaves_six_hours_of_a_rack_without_samples(tmp_path: Path) -> None:
    books, _ = home_with(tmp_path, "gap")
    assert books.one("SELECT count(*) FROM raw.gpu_telemetry") == RACKS * 48 - 6


def test_a_fault_reports_its_code_and_does_no_work(tmp_path: Path) -> None:
    books, _ = home_with(tmp_path, "fault")
    assert books.rows(
        f"SELECT count(*), max(utilization_milli_pct) FROM raw.gpu_telemetry WHERE xid_code = {FATAL_XID}"
    ) == [(3, 0)]


@pytest.mark.parametrize(
    ("kind", "rules", "refused"),
    [
        ("clock_skew", {"in_the_future"}, 24),
        ("negative_energy", {"out_of_range"}, 24),
        ("wrong_units", {"power_above_model", "out_of_range"}, 24),
        ("truncated_file", {"row_not_whole"}, 1),
        ("mixed_encodings", {"not_utf8"}, 1),
    ],
)
def test_what_cannot_count_is_refused_and_all_else_lands(
    tmp_path: Path, kind: str, rules: set[str], refused: int
) -> None:
    books, found = home_with(tmp_path, kind)
    assert name_of(found, kind)[4] == refused
    assert {rule for (rule,) in books.rows("SELECT DISTINCT rule FROM raw.quarantined_row")} <= rules
    assert books.one("SELECT count(*) FROM raw.quarantined_row") == refused
    assert books.one("SELECT sum(landed_count) FROM raw.landed_file WHERE feed = 'gpu_telemetry'") == RACKS * 48


def test_every_imperfection_has_its_name_in_the_help() -> None:
    said = " ".join(CliRunner().invoke(app, ["simulate", "--help"], env={"COLUMNS": "200"}).output.split())
    for kind in KINDS:
        assert kind in said


def test_the_command_makes_a_home_and_never_writes_into_one_that_is_there(tmp_path: Path) -> None:
    arguments = ["simulate", "--into", str(tmp_path / "h"), "--gpus", "80", "--days", "1", "--imperfection", "gap"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "h" / "parks" / f"{PARK}.yaml").exists()
    assert CliRunner().invoke(app, arguments).exit_code == 2
    for wrong in (["--imperfection", "sabotage"], ["--start", "soon"], ["--zone", "Mars/Base"], ["--interval", "7"]):
        done = CliRunner().invoke(app, ["simulate", "--into", str(tmp_path / "x"), *wrong])
        assert done.exit_code == 2, wrong
    assert not (tmp_path / "x").exists()
