"""Snapshots that were published before: kept by policy, and what moved between two of them with its cause."""

import json
import shutil
import threading
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from conftest import CONTRACT, NORTH, SOUTH, parkledger

from orchestration.publishing.differences import NoSuchSnapshotError, differences, find_snapshot
from orchestration.publishing.snapshot import (
    DATABASE,
    MANIFEST,
    Kept,
    candidate_folder,
    earlier_snapshots,
    publish_candidate,
)

pytestmark = pytest.mark.published


@pytest.fixture
def published_folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished / "published", tmp_path / "published"))


def publish(folder: Path, run: str, as_of: str, change: str = "", kept: Kept | None = None, **about: object) -> None:
    """Publish once more what is published, changed by some SQL, as a run would."""
    candidate = candidate_folder(folder)
    candidate.mkdir()
    shutil.copyfile(folder / DATABASE, candidate / DATABASE)
    with duckdb.connect(str(candidate / DATABASE)) as connection:
        connection.execute(change or "SELECT 1")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.pop("tables")
    publish_candidate(folder, {**manifest, "run_id": run, "as_of": as_of, **about}, kept or Kept(10, 12))


def test_the_last_snapshots_and_the_last_of_each_month_are_kept(published_folder: Path) -> None:
    kept = Kept(snapshots=2, month_ends=2)
    for run, as_of in (
        ("r1", "2027-05-30"),
        ("r2", "2027-05-31"),
        ("r3", "2027-06-01"),
        ("r4", "2027-06-02"),
        ("r5", "2027-06-03"),
    ):
        publish(published_folder, run, as_of, kept=kept)
    # r5 is published; of those before it the last two stay, and the last of May.
    assert [f.name.split("-")[1] for f in earlier_snapshots(published_folder)] == ["r2", "r3", "r4"]
    assert json.loads((published_folder / MANIFEST).read_text())["run_id"] == "r5"


def test_a_policy_of_none_keeps_none_and_the_same_run_again_is_not_kept_twice(published_folder: Path) -> None:
    publish(published_folder, "r1", "2027-05-30")
    publish(published_folder, "r1", "2027-05-30")
    assert len(earlier_snapshots(published_folder)) == 1
    publish(published_folder, "r2", "2027-05-31", kept=Kept(0, 0))
    assert earlier_snapshots(published_folder) == []


def test_a_reader_in_the_middle_of_a_query_keeps_the_old_file_and_the_next_sees_the_new(published_folder: Path) -> None:
    query = "SELECT sum(share_amount) FROM revenue_share.fct_share_month"
    with duckdb.connect(str(published_folder / DATABASE), read_only=True) as reader:
        ((before,),) = reader.execute(query).fetchall()
        publish(
            published_folder,
            "r1",
            "2027-05-30",
            "UPDATE revenue_share.fct_share_month SET share_amount = share_amount + 1",
        )
        assert reader.execute(query).fetchall() == [(before,)]
    with duckdb.connect(str(published_folder / DATABASE), read_only=True) as reader:
        assert reader.execute(query).fetchall()[0][0] > before


def test_there_is_no_moment_without_a_snapshot(published_folder: Path) -> None:
    """Another thread opens it all the while that it is replaced."""
    failures: list[str] = []
    opened = [0]
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            try:
                (published_folder / DATABASE).open("rb").close()
                json.loads((published_folder / MANIFEST).read_text())
                opened[0] += 1
            except (OSError, ValueError) as error:
                failures.append(str(error))

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(3):
        publish(published_folder, f"r{number}", "2027-05-30")
    done.set()
    watcher.join()
    assert failures == []
    assert opened[0] > 10


def test_a_candidate_that_breaks_a_key_is_refused(published_folder: Path) -> None:
    twice = "INSERT INTO core.dim_park SELECT * FROM core.dim_park LIMIT 1"
    orphan = (
        "INSERT INTO ledger.fct_journal_lines BY NAME SELECT * REPLACE ('none' AS account, -1 AS line_no) "
        "FROM ledger.fct_journal_lines LIMIT 1"
    )
    for number, change in enumerate((twice, orphan)):
        with pytest.raises(duckdb.ConstraintException):
            publish(published_folder, f"r{number}", "2027-05-30", change)
        shutil.rmtree(candidate_folder(published_folder))


LATE = (
    f"INSERT INTO quality.fct_landed_file BY NAME SELECT * REPLACE ('late' AS file_id, 7 AS landed_count) FROM quality.fct_landed_file "
    f"WHERE park_id = '{NORTH}' AND feed = 'leases' LIMIT 1"
)
AMENDED = (
    "UPDATE core.fct_contract_terms SET value_text = '0.99' WHERE (contract_id, instrument, term, valid_from, amendment_id) = "
    f"(SELECT (contract_id, instrument, term, valid_from, amendment_id) FROM core.fct_contract_terms WHERE contract_id = '{CONTRACT}' "
    "AND term = 'tiers.1.rate')"
)
MOVED = "UPDATE revenue_share.fct_share_month SET share_amount = share_amount + 5 WHERE service_month = '2027-02-01'"


def test_a_file_that_landed_late_is_named_for_the_figures_of_its_own_park_alone(published_folder: Path) -> None:
    publish(published_folder, "r1", "2027-04-20", f"{LATE}; {MOVED}")
    found = differences(find_snapshot(published_folder, "previous"), published_folder)
    assert [(c.kind, c.what.split(",")[0]) for c in found.causes] == [
        ("late data", f"1 file of leases of {NORTH} with 7 rows")
    ]
    why = {(one.key["contract_id"], one.column): one.why for one in found.moved}
    assert why == {(f"{NORTH}-c", "share_amount"): ("late data",), (f"{SOUTH}-c", "share_amount"): ()}
    assert {one.change for one in found.moved} == {Decimal(5)}
    assert [(t.table, t.added, t.removed, t.changed) for t in found.tables] == [
        ("revenue_share.fct_share_month", 0, 0, 2)
    ]


def test_an_amendment_reference_data_the_clock_and_the_code_are_told_apart(published_folder: Path) -> None:
    manifest = json.loads((published_folder / MANIFEST).read_text())
    inputs = {**manifest["inputs"], "reference/default_rates.csv": "another"}
    versions = {**manifest["versions"], "parkledger": "0.1.0+another"}
    publish(published_folder, "r1", "2027-04-21", f"{AMENDED}; {MOVED}", inputs=inputs, versions=versions)
    found = differences(find_snapshot(published_folder, "previous"), find_snapshot(published_folder, "current"))
    assert [cause.kind for cause in found.causes] == ["amendment", "restated reference", "clock", "code"]
    assert found.causes[0].what == f"{CONTRACT}: revenue_share tiers.1.rate is 0.99 in the original terms, was 0.25"
    why = {one.key["contract_id"]: one.why for one in found.moved}
    # Default rates reach credit loss, never the share; an amendment reaches its own contract.
    assert why == {f"{NORTH}-c": ("amendment", "clock", "code"), f"{SOUTH}-c": ("clock", "code")}


def test_snapshots_are_found_by_run_by_day_and_by_word(published_folder: Path) -> None:
    first = json.loads((published_folder / MANIFEST).read_text())["run_id"]
    publish(published_folder, "abc1", "2027-05-31")
    publish(published_folder, "abd2", "2027-06-30")

    def run(name: str) -> str:
        return str(json.loads((find_snapshot(published_folder, name) / MANIFEST).read_text())["run_id"])

    assert [run(name) for name in (first[:6], "2027-06-15", "abc", "previous", "current")] == [
        first,
        "abc1",
        "abc1",
        "abc1",
        "abd2",
    ]
    for name, says in (("ab", "several"), ("xyz", "no snapshot"), ("2000-01-01", "no snapshot")):
        with pytest.raises(NoSuchSnapshotError, match=says):
            find_snapshot(published_folder, name)


def test_the_command_prints_causes_and_the_largest_moves(finished: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copytree(finished / "published", home / "published")
    shutil.copyfile(finished / "home.yaml", home / "home.yaml")
    alone = parkledger(home, "diff")
    assert alone.returncode == 3
    assert "kept are" in alone.stderr
    publish(home / "published", "r1", "2027-04-20", f"{LATE}; {MOVED}")
    done = parkledger(home, "diff")
    assert done.returncode == 0, done.stderr
    assert f"late data: 1 file of leases of {NORTH} with 7 rows" in done.stdout
    assert "2 figures moved" in done.stdout
    assert "unexplained" in done.stdout
    data = json.loads(parkledger(home, "diff", "--json", "--table", "revenue_share.fct_share_month").stdout)
    assert {one["column"] for one in data["moved"]} == {"share_amount"}
