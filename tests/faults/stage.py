"""One stage of a run on a home in a process of its own, to be killed: says `ready` when it begins and `done` at its end.

`python stage.py STAGE HOME [MONTH]`; the stages are the functions that Dagster's assets call, without Dagster.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from orchestration.settings import Settings


def land(settings: Settings) -> None:
    import duckdb

    from ingest import kept_journal, landing, reference
    from ingest.terms import tables as terms_tables
    from orchestration.state import load

    home = load(settings)
    with duckdb.connect(str(settings.warehouse_path)) as con:
        con.execute("SET TimeZone = 'UTC'")
        terms_tables.write_terms(con, home)
        reference.write_reference(con, home)
        kept_journal.load(con, home.path, home.clock_at)
        landing.create_raw_tables(con)
        landing.land(con, home, landing.pending(con, home))


def dbt(settings: Settings) -> None:
    from dbt.cli.main import dbtRunner

    from orchestration.assets.warehouse import point_dbt_at
    from orchestration.identity import run_id
    from orchestration.resources import Warehouse
    from orchestration.settings import DBT_PROJECT
    from orchestration.state import load

    point_dbt_at(settings)
    # The same path in every home lets dbt reuse what it has parsed.
    os.chdir(settings.home)
    os.environ["PARKLEDGER_WAREHOUSE"] = settings.warehouse_path.name
    with Warehouse(path=str(settings.warehouse_path)).reader() as con:
        files = [row[0] for row in con.execute("SELECT file_id FROM raw.landed_file").fetchall()]
    os.environ["PARKLEDGER_RUN_ID"] = run_id(load(settings), files)
    without_tests = ["--exclude-resource-type", "unit_test", "--exclude-resource-type", "test"]
    project = ["--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT)]
    folders = ["--target-path", str(settings.dbt_target_folder), "--log-path", str(settings.home / ".parkledger")]
    outcome = dbtRunner().invoke(["--quiet", "build", *without_tests, *project, *folders])
    if not outcome.success:
        raise SystemExit(f"dbt failed: {outcome.exception or outcome.result}")


def credit(settings: Settings) -> None:
    from orchestration.assets.credit import derive
    from orchestration.polars_jobs import programme
    from orchestration.resources import Warehouse

    for group in programme.GROUPS:
        derive(Warehouse(path=str(settings.warehouse_path)), group)


def publish(settings: Settings) -> None:
    from orchestration.assets.publish import keep_candidate, publish_candidate, write_candidate
    from orchestration.resources import Warehouse
    from orchestration.state import load

    home, warehouse = load(settings), Warehouse(path=str(settings.warehouse_path))
    write_candidate(settings, warehouse)
    keep_candidate(settings, home, warehouse)
    publish_candidate(settings, home, warehouse, "stage")


def close(settings: Settings) -> None:
    from orchestration.assets.close import state_close

    state_close(settings, f"{sys.argv[3]}-01")


STAGES = {"land": land, "dbt": dbt, "credit": credit, "publish": publish, "close": close}

if __name__ == "__main__":
    wanted = STAGES[sys.argv[1]]
    chosen = Settings(home=Path(sys.argv[2]))
    print("ready", flush=True)
    wanted(chosen)
    print("done", flush=True)
