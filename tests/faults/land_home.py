"""Lands a home in a process of its own, to be killed: says `ready` when it begins and `done` when it has ended."""

import sys
from pathlib import Path

import duckdb

from ingest import landing
from ingest.terms.home import load_home

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    home = load_home(folder)
    print("ready", flush=True)
    with duckdb.connect(str(folder / "warehouse.duckdb")) as con:
        landing.create_raw_tables(con)
        landing.land(con, home, landing.pending(con, home))
    print("done", flush=True)
