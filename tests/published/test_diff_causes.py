"""`parkledger diff` after runs that differ in one input each: what moved is told to be of that input, and of nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import CONTRACT, REPOSITORY, RUN_LIMIT_SECONDS, copy_home, parkledger
from simulated_home import NORTH, SOUTH

pytestmark = [pytest.mark.published, pytest.mark.slow]

ADJUSTMENTS = "adjustment_id,lease_id,service_date,kind,amount,currency_code,recorded_at"


def whose(moved: dict[str, Any]) -> set[str]:
    """The park's names that a figure's key holds; a figure of the programme holds none."""
    return {park for park in (NORTH, SOUTH) if any(park in value for value in moved["key"].values())}


def told(home: Path) -> dict[str, Any]:
    """What the command says of the last two snapshots, all figures."""
    done = parkledger(home, "diff", "--json")
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def assert_only(said: dict[str, Any], kind: str) -> None:
    assert {cause["kind"] for cause in said["causes"]} == {kind}
    assert said["moved"], "nothing moved: the change proves nothing"
    assert {tuple(one["why"]) for one in said["moved"]} == {(kind,)}


def run_again(home: Path) -> None:
    done = parkledger(home, "run")
    assert done.returncode == 0, done.stdout + done.stderr


def test_rows_that_came_late_are_the_cause_of_what_moves_in_their_park(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished, tmp_path / "home")
    (known,) = sorted((home / "landing" / NORTH / "lease_adjustments").glob("*"))[:1]
    header, row, *_ = known.read_text().splitlines()
    assert header == ADJUSTMENTS
    lease = row.split(",")[1]
    (known.parent / "late.csv").write_text(
        f"{ADJUSTMENTS}\nlate-1,{lease},2027-03-15,credit,-12345.67,USD,2027-04-19T00:00:00Z\n"
    )
    run_again(home)
    said = told(home)
    assert_only(said, "late data")
    assert f"1 file of lease_adjustments of {NORTH} with 1 rows" in said["causes"][0]["what"]
    assert any(one["table"] == "revenue_share.fct_share_month" for one in said["moved"])
    assert {park for one in said["moved"] for park in whose(one)} == {NORTH}


def test_an_amendment_is_the_cause_of_what_moves_in_its_contract(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished, tmp_path / "home")
    contract = home / "contracts" / f"{CONTRACT}.yaml"
    original = contract.read_text()
    block = original[original.index("    revenue_share:") : original.index("    backstop:")]
    contract.write_text(
        original.rstrip("\n") + "\n  - amendment_id: march\n    valid_from: 2027-03-01\n"
        "    recorded_at: 2027-04-15T00:00:00Z\n" + block.replace('"0.25"', '"0.24"')
    )
    run_again(home)
    said = told(home)
    assert_only(said, "amendment")
    assert [cause["what"] for cause in said["causes"]] == [
        f"{CONTRACT}: revenue_share tiers.1.rate is 0.24 by amendment march from 2027-03-01, was 0.25"
    ]
    assert any(one["table"] == "revenue_share.fct_share_month" for one in said["moved"])
    assert {park for one in said["moved"] for park in whose(one)} == {NORTH}


def test_a_restated_reference_table_is_the_cause_of_credit_loss_and_of_no_share(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished, tmp_path / "home")
    rates = home / "reference" / "default_rates.csv"
    text = rates.read_text()
    assert "SP,B,1,0.0376" in text
    rates.write_text(text.replace("SP,B,1,0.0376", "SP,B,1,0.0400"))
    run_again(home)
    said = told(home)
    assert_only(said, "restated reference")
    schemas = {one["table"].split(".")[0] for one in said["moved"]}
    assert "credit" in schemas
    assert schemas.isdisjoint({"revenue_share", "backstop", "metering"})


def test_a_change_of_the_code_is_the_cause_where_nothing_else_changed(finished: Path, tmp_path: Path) -> None:
    home, project = copy_home(finished, tmp_path / "home"), tmp_path / "project"
    for folder in ("ingest", "orchestration", "dbt_project", "data/reference"):
        ignored = shutil.ignore_patterns("__pycache__", "target", "logs", "site")
        shutil.copytree(REPOSITORY / folder, project / folder, ignore=ignored)
    shutil.copyfile(REPOSITORY / "pyproject.toml", project / "pyproject.toml")
    policies = project / "ingest" / "terms" / "policy.py"
    text = policies.read_text()
    assert text.count("Decimal(68000)") == 1  # what a GPU costs where no policy says
    policies.write_text(text.replace("Decimal(68000)", "Decimal(70000)"))
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "--home", str(home), "run"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_LIMIT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = told(home)
    assert_only(said, "code")
    assert {one["table"].split(".")[0] for one in said["moved"]} == {"credit"}
