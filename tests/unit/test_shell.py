"""What `parkledger sql` prints of a snapshot."""

from io import StringIO
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from orchestration.shell import SHOWN_ROWS, run_query


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    path = tmp_path / "snapshot.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE hours AS SELECT range AS hour, range * 0.5 AS level FROM range(1000)")
    return path


def printed(snapshot: Path, text: str) -> tuple[int, list[str]]:
    written = StringIO()
    console = Console(file=written, width=120)
    code = run_query(snapshot, text, as_json=False, out=console, err=console)
    return code, [line.rstrip() for line in written.getvalue().splitlines()]


def test_a_query_is_printed_as_a_table_in_its_own_order(snapshot: Path) -> None:
    code, lines = printed(snapshot, "FROM hours WHERE hour < 3 ORDER BY hour DESC")
    assert (code, [line.split() for line in lines]) == (
        0,
        [["hour", "level"], ["2", "1.0"], ["1", "0.5"], ["0", "0.0"]],
    )


@pytest.mark.parametrize(
    "text", ["DESCRIBE hours", "SUMMARIZE hours", "EXPLAIN FROM hours", "SHOW TABLES", "PRAGMA version"]
)
def test_statements_about_the_snapshot_are_printed_too(snapshot: Path, text: str) -> None:
    code, lines = printed(snapshot, text)
    assert code == 0
    assert len(lines) > 1


def test_a_long_answer_is_cut_and_says_so(snapshot: Path) -> None:
    code, lines = printed(snapshot, "FROM hours ORDER BY hour")
    assert (code, len(lines)) == (0, 1 + SHOWN_ROWS + 1)
    assert lines[-1] == f"… more than {SHOWN_ROWS} rows; use LIMIT or --json"


def test_a_wrong_query_is_an_error_with_its_reason(snapshot: Path) -> None:
    code, lines = printed(snapshot, "SELECT nothing FROM nowhere")
    assert code == 1
    assert "nowhere" in " ".join(lines)
