"""An analyst's process: opens the snapshot again and again, and ends with `queries N`, or says what was mixed.

`python reader.py PUBLISHED STOP-FILE`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb

MARK = "SELECT (SELECT run_id FROM quality.fct_run), (SELECT min(park_name) FROM core.dim_park), (SELECT max(park_name) FROM core.dim_park)"


def read_once(published: Path) -> str:
    """One look at everything: each of the three must be of one run; and so must all, by the folder that `.current` names."""
    with duckdb.connect(str(published / "parkledger.duckdb"), read_only=True) as con:
        of_database = con.execute(MARK).fetchall()[0]
        con.execute("SELECT sum(amount) FROM ledger.fct_journal_lines").fetchall()
        assert con.execute(MARK).fetchall()[0] == of_database
    assert len(set(of_database)) == 1, of_database
    parquet = str(published / "parquet" / "core" / "dim_park.parquet")
    assert len(set(duckdb.execute("SELECT DISTINCT park_name FROM read_parquet(?)", [parquet]).fetchall())) == 1
    whole = (published / ".current").resolve()
    names = duckdb.execute(
        "SELECT DISTINCT park_name FROM read_parquet(?)", [str(whole / "parquet/core/dim_park.parquet")]
    )
    assert json.loads((whole / "manifest.json").read_text())["run_id"] == names.fetchall()[0][0]
    return str(of_database[0])


if __name__ == "__main__":
    folder, stop = map(Path, sys.argv[1:])
    queries, seen = 0, set()
    print("ready", flush=True)
    while not stop.exists():
        seen.add(read_once(folder))
        queries += 1
    print("queries", queries, "runs", len(seen), flush=True)
