"""Keys that the candidate declares: those that its rows keep."""

from pathlib import Path

import duckdb

from ingest.landing import create_raw_tables
from orchestration.publishing.snapshot import DATABASE, candidate_folder, write_candidate

# As far as the macros over the journal ask for it.
JOURNAL = (
    "entry_id VARCHAR, line_no INTEGER, contract_id VARCHAR, account VARCHAR, event VARCHAR, amount DECIMAL(18, 2), "
    "currency_code VARCHAR, service_month DATE, posting_month DATE, posted_at TIMESTAMPTZ, corrects_entry_id VARCHAR, "
    "terms_version VARCHAR"
)


def foreign_keys(folder: Path, tranches: str) -> list[str]:
    """What is declared of tranches beside one contract `c`."""
    folder.mkdir()
    with duckdb.connect(str(folder / "warehouse.duckdb")) as con:
        create_raw_tables(con)
        for journal in ("ledger.fct_journal_lines", "credit.fct_credit_journal_lines"):
            con.execute(f"CREATE SCHEMA {journal.split('.')[0]}; CREATE TABLE {journal} ({JOURNAL})")
        con.execute("CREATE TABLE ledger.dim_account (account VARCHAR)")
        con.execute("CREATE TABLE ledger.dim_journal_event (event VARCHAR)")
        con.execute("CREATE SCHEMA core; CREATE TABLE core.dim_contract AS SELECT 'c' AS contract_id")
        con.execute(f"CREATE TABLE core.dim_tranche AS FROM (VALUES {tranches}) AS rows(tranche_id, contract_id)")
    assert write_candidate(folder / "warehouse.duckdb", folder, {}, "1GB")["core.dim_tranche"] == tranches.count("(")
    with duckdb.connect(str(candidate_folder(folder) / DATABASE), read_only=True) as con:
        query = "SELECT constraint_type FROM duckdb_constraints() WHERE table_name = 'dim_tranche' ORDER BY ALL"
        return [kind for (kind,) in con.execute(query).fetchall() if kind in {"PRIMARY KEY", "FOREIGN KEY"}]


def test_a_tranche_of_a_contract_that_was_left_out_is_published_without_the_foreign_key(tmp_path: Path) -> None:
    assert foreign_keys(tmp_path / "whole", "('t', 'c'), ('u', NULL)") == ["FOREIGN KEY", "PRIMARY KEY"]
    assert foreign_keys(tmp_path / "dangling", "('t', 'c'), ('u', 'left-out')") == ["PRIMARY KEY"]
