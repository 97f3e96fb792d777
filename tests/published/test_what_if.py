"""Questions of a user's own on the books: a shipped stress asked again gives the published rows, and an earlier day its own."""

import json
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from conftest import AS_OF, REPOSITORY, copy_home, parkledger

pytestmark = pytest.mark.published

SLUMP = REPOSITORY / "data" / "scenarios" / "stress-slump.yaml"
THEN = "2027-03-05"


def asked(home: Path, *arguments: str) -> list[dict[str, Any]]:
    done = parkledger(home, *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def published(home: Path, query: str) -> list[dict[str, Any]]:
    with duckdb.connect(str(home / "published" / "parkledger.duckdb"), read_only=True) as connection:
        return [
            {k: None if v is None else str(v) for k, v in row.items()} for row in connection.sql(query).pl().to_dicts()
        ]


def as_published(rows: list[dict[str, Any]], home: Path, table: str, also: str = "") -> None:
    """The rows asked for are those of the published table, in the columns that the command shows."""
    assert rows
    columns = ", ".join(rows[0])
    found = published(home, f"SELECT {columns} FROM {table} {also}")
    shown = [{k: None if v is None else str(v) for k, v in row.items()} for row in rows]

    def order(row: dict[str, Any]) -> list[str]:
        return [str(value) for value in row.values()]

    assert sorted(shown, key=order) == sorted(found, key=order)


def test_a_shipped_stress_asked_again_gives_the_published_rows_and_a_file_of_them(
    finished: Path, tmp_path: Path
) -> None:
    home = copy_home(finished, tmp_path / "home")
    rows = asked(home, "stress", str(SLUMP))
    as_published(rows, home, "credit.fct_stress_result", "WHERE scenario_id IN ('stress-slump', 'baseline')")
    written = pl.read_csv(home / "reports" / AS_OF / "stress-stress-slump.csv")
    assert written.height == len(rows)


@pytest.mark.slow
def test_deals_compared_again_give_the_published_rows(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished, tmp_path / "home")
    as_published(asked(home, "compare"), home, "credit.fct_deal_comparison")


@pytest.mark.slow
def test_a_stress_and_a_comparison_of_an_earlier_day_are_those_of_a_run_whose_clock_stood_then(
    finished: Path, tmp_path: Path
) -> None:
    home, other = copy_home(finished, tmp_path / "home"), copy_home(finished, tmp_path / "other", with_results=False)
    assert parkledger(other, "run", "--as-of", THEN).returncode == 0
    rows = asked(home, "stress", str(SLUMP), "--as-of", THEN)
    as_published(rows, other, "credit.fct_stress_result", "WHERE scenario_id IN ('stress-slump', 'baseline')")
    assert (home / "reports" / THEN / "stress-stress-slump.csv").is_file()
    as_published(asked(home, "compare", "--as-of", THEN), other, "credit.fct_deal_comparison")
    manifest = json.loads((home / "published" / "manifest.json").read_text())
    assert manifest["as_of"] == AS_OF  # what is published stays
    later = parkledger(home, "stress", str(SLUMP), "--as-of", "2029-01-01")
    assert (later.returncode, "nothing is known yet" in later.stderr) == (2, True)
