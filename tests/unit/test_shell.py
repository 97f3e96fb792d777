"""What `parkledger sql` prints of a snapshot."""

import json
from io import StringIO
from pathlib import Path

import duckdb
import polars as pl
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from orchestration.shell import FORMATS, SHOWN_ROWS, examples, interactive, open_snapshot, run_queries
from orchestration.shell_input import SnapshotCompleter


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    path = tmp_path / "snapshot.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE hours AS SELECT range AS hour, range * 0.5 AS level FROM range(1000)")
        connection.execute("COMMENT ON TABLE hours IS 'One row per hour. No more.'")
        connection.execute("COMMENT ON COLUMN hours.level IS 'Level, 0 to 500.'")
    return path


def printed(snapshot: Path, text: str, form: str = "table", target: Path | None = None) -> tuple[int, list[str]]:
    written = StringIO()
    console = Console(file=written, width=120)
    code = run_queries(snapshot, text, form=form, target=target, out=console, err=console)
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


def test_what_is_not_known_is_told_apart_from_an_empty_text(snapshot: Path) -> None:
    _, lines = printed(snapshot, "SELECT NULL AS a, '' AS b, 1 AS c")
    assert [line.split() for line in lines] == [["a", "b", "c"], ["NULL", "1"]]


def test_a_long_answer_is_cut_and_says_so(snapshot: Path) -> None:
    code, lines = printed(snapshot, "FROM hours ORDER BY hour")
    assert (code, len(lines)) == (0, 1 + SHOWN_ROWS + 1)
    assert lines[-1] == f"… more than {SHOWN_ROWS} rows; use LIMIT, --format csv or .once FILE"


def test_a_wrong_query_is_an_error_with_its_reason(snapshot: Path) -> None:
    code, lines = printed(snapshot, "SELECT nothing FROM nowhere")
    assert code == 1
    assert "nowhere" in " ".join(lines)


def test_several_statements_and_commands_run_in_their_order(snapshot: Path) -> None:
    code, lines = printed(snapshot, "SELECT 1 AS a; SELECT 'x;y' AS b;\n.describe hours\nSELECT 2 AS c")
    assert code == 0
    assert [line for line in lines if line in {"a", "b", "c"}] == ["a", "b", "c"]
    assert "One row per hour. No more." in lines
    assert any("Level, 0 to 500." in line for line in lines)


def test_tables_are_listed_with_their_grain(snapshot: Path) -> None:
    _, lines = printed(snapshot, ".tables hou")
    assert lines[1].split(maxsplit=2) == ["main.hours", "1000", "One row per hour."]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (".describe nothing", "there is no table nothing"),
        (".nonsense", ".describe"),
        (".mode parquet", "table, csv, json, jsonl and markdown"),
        (".once here.doc", ".parquet"),
        (".example 99", "there are 1 to 20"),
    ],
)
def test_a_command_that_cannot_be_done_says_what_can(snapshot: Path, text: str, says: str) -> None:
    code, lines = printed(snapshot, text)
    assert code == 1
    assert says in " ".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        "FROM glob('/*')",
        "RESET lock_configuration",
        "SET VARIABLE x = (SELECT content FROM read_text('/etc/hostname'))",
        "CREATE TEMP TABLE more AS FROM '/etc/passwd'",
    ],
)
def test_nothing_but_the_snapshot_can_be_read_and_nothing_written(
    snapshot: Path, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = snapshot.read_bytes()
    code, lines = printed(snapshot, text)
    assert code == 1, lines
    assert snapshot.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [snapshot.name]


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "table"])
def test_an_answer_is_written_into_a_file_whole(snapshot: Path, form: str, tmp_path: Path) -> None:
    target = tmp_path / {"markdown": "a.md"}.get(form, f"a.{form}")
    code, lines = printed(snapshot, "FROM hours ORDER BY hour", form, target)
    assert (code, lines) == (0, [f"1,000 rows written to {target}"])
    read = {
        "csv": lambda: len(target.read_text().splitlines()) - 1,
        "json": lambda: len(json.loads(target.read_text())),
        "jsonl": lambda: len(target.read_text().splitlines()),
        "markdown": lambda: len(target.read_text().splitlines()) - 2,
        "parquet": lambda: pl.read_parquet(target).height,
    }
    assert read[form]() == 1000
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".part")] == []


def test_cells_that_a_spreadsheet_would_run_are_led_by_an_apostrophe_in_csv(
    snapshot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed(snapshot, "SELECT '=HYPERLINK(\"http://x\")' AS name, -1 AS amount", "csv")
    assert capsys.readouterr().out == 'name,amount\n"\'=HYPERLINK(""http://x"")",-1\n'


def test_signs_that_reorder_text_are_not_sent_to_a_terminal(snapshot: Path) -> None:
    _, lines = printed(snapshot, "SELECT 'a' || chr(8238) || chr(27) || 'b' AS name")
    assert lines[1] == "a��b"


def test_the_questions_that_are_shipped_are_twenty_and_each_says_what_it_asks() -> None:
    found = examples()
    assert [one.number for one in found] == list(range(1, 21))
    assert all(one.question.endswith("?") for one in found)
    assert len({one.question for one in found}) == 20


def completed(snapshot: Path, text: str, after: str = "") -> list[str]:
    with open_snapshot(snapshot) as connection:
        document = Document(text + after, len(text))
        return [one.text for one in SnapshotCompleter(connection).get_completions(document, None)]


def test_tables_their_columns_words_and_commands_are_completed(snapshot: Path) -> None:
    assert completed(snapshot, "from hou") == ["main.hours"]
    assert completed(snapshot, "select lev", " from main.hours") == ["level"]
    assert completed(snapshot, "sel") == ["SELECT"]
    assert completed(snapshot, ".des") == [".describe"]
    assert completed(snapshot, ".describe ho") == ["main.hours"]


def test_the_shell_goes_on_after_an_error_and_keeps_its_history(snapshot: Path, tmp_path: Path) -> None:
    history = tmp_path / "kept" / "sql_history"
    written = StringIO()
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("select nothing;\rselect max(hour) as top\rfrom hours;\r.quit\r")
        interactive(snapshot, history, Console(file=written, width=120))
    said = written.getvalue()
    assert "nothing" in said
    assert said.rstrip().endswith("999")
    assert "+select max(hour) as top\n+from hours;" in history.read_text()


def test_a_shell_sees_the_new_snapshot_after_a_run_has_replaced_it(snapshot: Path, tmp_path: Path) -> None:
    other = tmp_path / "next.duckdb"
    with duckdb.connect(str(other)) as connection:
        connection.execute(
            "CREATE SCHEMA quality; CREATE TABLE quality.fct_run AS SELECT 'abc' AS run_id, '2027-01-31' AS as_of"
        )
        connection.execute("CREATE TABLE hours AS SELECT 7 AS hour")
    written = StringIO()

    class Replacing(StringIO):
        """A terminal at which somebody runs the pipeline after the first answer."""

        def write(self, text: str) -> int:
            if "1000" in text:
                other.replace(snapshot)
            return written.write(text)

    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("select count(*) as n from hours;\rselect hour from hours;\r\x04")
        interactive(snapshot, tmp_path / "history", Console(file=Replacing(), width=120))
    assert "run abc as of 2027-01-31" in written.getvalue()
    assert written.getvalue().rstrip().endswith("7")
