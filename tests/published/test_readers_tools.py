"""The published snapshot in the hands of its readers: another DuckDB, Polars, pandas, SQLAlchemy, the questions shipped."""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest
import sqlalchemy as sa
from conftest import REPOSITORY, parkledger

from orchestration.publishing.catalogue import TABLES
from orchestration.publishing.snapshot import DIMENSIONS, NOT_PUBLISHED
from orchestration.shell import examples, open_snapshot

pytestmark = pytest.mark.published

OLDEST = "1.2.2"
LOCK = Path(__file__).with_name("duckdb-1.2.lock")
SHARE = "SELECT contract_id, sum(share_amount) FROM revenue_share.fct_share_month GROUP BY ALL ORDER BY ALL"


@pytest.fixture(scope="module")
def snapshot(finished: Path) -> Path:
    return finished / "published" / "parkledger.duckdb"


@pytest.fixture(scope="module")
def older_duckdb() -> dict[str, str]:
    """The environment of a Python with the oldest DuckDB that is promised to read the snapshot; installed once."""
    folder = Path(sys.prefix) / "share" / "parkledger-tests" / f"duckdb-{OLDEST}"
    if not (folder / "duckdb").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"]
        done = subprocess.run(
            [*command, "--target", str(folder), "-r", str(LOCK)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = f"DuckDB {OLDEST} could not be installed: {done.stderr[-500:]}"
            if os.environ.get("CI", "").lower() == "true":
                pytest.fail(reason)
            pytest.skip(reason)
    return {**os.environ, "PYTHONPATH": str(folder)}


def test_duckdb_1_2_opens_every_table_and_macro(
    older_duckdb: dict[str, str], snapshot: Path, published: duckdb.DuckDBPyConnection
) -> None:
    script = """
import duckdb, json, sys
con = duckdb.connect(sys.argv[1], read_only=True)
con.execute("SET TimeZone='UTC'")
names = con.sql("SELECT schema_name || '.' || table_name FROM duckdb_tables() ORDER BY ALL").fetchall()
counts = {name: con.sql(f"SELECT count(*) FROM {name}").fetchone()[0] for (name,) in names}
for (name,) in names:
    con.sql(f"SELECT * FROM {name}").fetchall()
share = con.sql("SELECT sum(share_amount)::VARCHAR FROM revenue_share.fct_share_month").fetchone()[0]
balance = con.sql("SELECT sum(balance_amount)::VARCHAR FROM ledger.balance_as_known_at('2100-01-01'::TIMESTAMPTZ)").fetchone()[0]
print(json.dumps([duckdb.__version__, counts, share, balance]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(snapshot)], env=older_duckdb, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    version, counts, share, balance = json.loads(done.stdout)
    manifest = json.loads((snapshot.parent / "manifest.json").read_text())
    assert version == OLDEST
    assert counts == {name: table["row_count"] for name, table in manifest["tables"].items()}
    ((expected,),) = published.execute(
        "SELECT sum(share_amount)::VARCHAR FROM revenue_share.fct_share_month"
    ).fetchall()
    assert (share, balance) == (expected, "0.00")


def test_polars_reads_the_same_rows_from_parquet(finished: Path, published: duckdb.DuckDBPyConnection) -> None:
    folder = finished / "published" / "parquet"
    lines = pl.scan_parquet(folder / "ledger" / "fct_journal_lines.parquet")
    ((count, debit),) = published.execute(
        "SELECT count(*), sum(amount) FILTER (amount > 0) FROM ledger.fct_journal_lines"
    ).fetchall()
    found = lines.select(pl.len(), pl.col("amount").filter(pl.col("amount") > 0).sum()).collect()
    assert found.row(0) == (count, debit)
    assert lines.select(pl.col("amount").sum()).collect().item() == 0
    assert {
        f.relative_to(folder).with_suffix("").as_posix().replace("/", ".") for f in folder.rglob("*.parquet")
    } == set(TABLES) - NOT_PUBLISHED


def test_pandas_reads_a_query_with_dates_and_exact_totals(snapshot: Path, published: duckdb.DuckDBPyConnection) -> None:
    with duckdb.connect(str(snapshot), read_only=True) as connection:
        frame = connection.sql("FROM revenue_share.fct_share_month").df()
    assert isinstance(frame, pd.DataFrame)
    assert pd.api.types.is_datetime64_any_dtype(frame["service_month"])
    by_contract = frame.groupby("contract_id")["share_amount"].sum().round(2)
    assert list(by_contract.items()) == [(c, float(a)) for c, a in published.execute(SHARE).fetchall()]


def test_a_bi_tool_finds_schemas_tables_keys_and_comments_through_sqlalchemy(
    snapshot: Path, published: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    # One process cannot open one file twice with different settings, and the fixture has it open.
    copy = shutil.copyfile(snapshot, tmp_path / "parkledger.duckdb")
    engine = sa.create_engine(f"duckdb:///{copy}", connect_args={"read_only": True})
    with engine.connect() as connection:
        tables = connection.execute(
            sa.text("SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL")
        ).all()
        rows = connection.execute(sa.text(SHARE)).all()
        keys = connection.execute(
            sa.text(
                "SELECT table_schema || '.' || table_name, constraint_type, count(*) "
                "FROM information_schema.table_constraints WHERE constraint_type <> 'CHECK' GROUP BY ALL"
            )
        ).all()
    assert {f"{schema}.{name}" for schema, name in tables} == set(TABLES) - NOT_PUBLISHED
    assert [tuple(row) for row in rows] == published.execute(SHARE).fetchall()
    with_nulls = {name for name, table in TABLES.items() if table.may_be_null}
    assert {name for name, kind, _ in keys if kind == "PRIMARY KEY"} == set(TABLES) - NOT_PUBLISHED - with_nulls
    assert {name for name, kind, _ in keys if kind == "UNIQUE"} == with_nulls
    # Its account and its event.
    assert ("ledger.fct_journal_lines", "FOREIGN KEY", 2) in [tuple(key) for key in keys]
    engine.dispose()


def test_every_table_and_column_is_commented_and_every_fraction_and_amount_with_its_unit(
    published: duckdb.DuckDBPyConnection,
) -> None:
    silent = published.execute(
        "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL "
        "UNION ALL SELECT schema_name, table_name, NULL FROM duckdb_tables() WHERE comment IS NULL"
    ).fetchall()
    assert silent == []
    grainless = published.execute(
        "SELECT table_name FROM duckdb_tables() WHERE comment NOT LIKE 'One row per %'"
    ).fetchall()
    assert grainless == []


def test_columns_that_name_a_dimension_of_another_schema_lead_to_it_though_duckdb_keeps_no_such_key(
    published: duckdb.DuckDBPyConnection,
) -> None:
    columns = published.execute(
        "SELECT schema_name || '.' || table_name, column_name FROM duckdb_columns() WHERE NOT internal"
    ).fetchall()
    checked = 0
    for name, key in DIMENSIONS.items():
        for table, column in columns:
            # A covenant's metric is a measure of the agreement, not one of monitor.dim_metric.
            if column != key or table in {name, "credit.fct_covenant_test_month"}:
                continue
            lost = published.execute(
                f"SELECT DISTINCT {key} FROM {table} WHERE {key} IS NOT NULL AND {key} NOT IN (SELECT {key} FROM {name})"
            ).fetchall()
            assert lost == [], (table, key)
            checked += 1
    assert checked > 60


def test_the_questions_shipped_answer_within_a_tenth_of_a_second(snapshot: Path) -> None:
    seconds: list[float] = []
    with open_snapshot(snapshot) as connection:
        for _ in range(3):
            for example in examples():
                started = time.perf_counter()
                connection.execute(example.sql).fetchall()
                seconds.append(time.perf_counter() - started)
    assert statistics.quantiles(seconds, n=20)[-1] < 0.1


def test_a_question_on_a_new_connection_takes_less_than_a_tenth_of_a_second_of_the_processor(snapshot: Path) -> None:
    # Of the processor, for the machine may be busy: a client that opens the file anew for each question.
    seconds: list[float] = []
    for example in examples():
        started = time.process_time()
        with open_snapshot(snapshot) as connection:
            connection.execute(example.sql).fetchall()
        seconds.append(time.process_time() - started)
    assert statistics.quantiles(seconds, n=20)[-1] < 0.1


@pytest.mark.parametrize(
    "page", [REPOSITORY / "README.md", *sorted((REPOSITORY / "dbt_project" / "docs").glob("*.md"))]
)
def test_every_query_of_the_readme_and_the_guides_runs(page: Path, snapshot: Path) -> None:
    queries = re.findall(r"^ *```sql\n(.*?)^ *```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    with open_snapshot(snapshot) as connection:
        for query in queries:
            for statement in connection.extract_statements(query):
                connection.execute(statement).fetchall()


def test_the_command_line_runs_an_example_by_its_number_and_reads_queries_from_a_pipe(finished: Path) -> None:
    done = parkledger(finished, "sql", "--example", "3", "--format", "csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith(
        "contract_id,service_month,base_amount,share_amount,take_rate_fraction"
    )
    piped = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "--home", str(finished), "sql", "--format", "jsonl"],
        input=".mode csv\nSELECT 1 AS a; SELECT 2 AS b",
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (piped.returncode, piped.stdout.split()) == (0, ["a", "1", "b", "2"])


def test_a_format_that_needs_a_file_says_so(finished: Path) -> None:
    done = parkledger(finished, "sql", "--format", "parquet", "FROM core.dim_park")
    assert done.returncode == 2
    assert "--output" in done.stderr
