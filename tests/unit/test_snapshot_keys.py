"""Keys that the candidate declares: those that its rows keep."""

from pathlib import Path

import duckdb

from orchestration.publishing.snapshot import DATABASE, candidate_folder, write_candidate


def foreign_keys(folder: Path, tranches: str) -> list[str]:
    """What is declared of tranches beside one contract `c`."""
    folder.mkdir()
    with duckdb.connect(str(folder / "warehouse.duckdb")) as con:
        con.execute("CREATE SCHEMA core; CREATE TABLE core.dim_contract AS SELECT 'c' AS contract_id")
        con.execute(f"CREATE TABLE core.dim_tranche AS FROM (VALUES {tranches}) AS rows(tranche_id, contract_id)")
    assert write_candidate(folder / "warehouse.duckdb", folder, {}, "1GB")["core.dim_tranche"] == tranches.count("(")
    with duckdb.connect(str(candidate_folder(folder) / DATABASE), read_only=True) as con:
        query = "SELECT constraint_type FROM duckdb_constraints() WHERE table_name = 'dim_tranche' ORDER BY ALL"
        return [kind for (kind,) in con.execute(query).fetchall() if kind in {"PRIMARY KEY", "FOREIGN KEY"}]


def test_a_tranche_of_a_contract_that_was_left_out_is_published_without_the_foreign_key(tmp_path: Path) -> None:
    assert foreign_keys(tmp_path / "whole", "('t', 'c'), ('u', NULL)") == ["FOREIGN KEY", "PRIMARY KEY"]
    assert foreign_keys(tmp_path / "dangling", "('t', 'c'), ('u', 'left-out')") == ["PRIMARY KEY"]
