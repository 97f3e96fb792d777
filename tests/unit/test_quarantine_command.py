"""`parkledger quarantine`: reading, mending and releasing refused rows, with their trail."""

import csv
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from small_home import LEASE_HEADER, PARK_ID, drop, lease_row, make_home
from typer.testing import CliRunner

from ingest import landing
from ingest.terms.home import load_home
from orchestration.cli import EXIT_BAD_INPUT, app

METER = "100,NEM12,202612010900,MDP1,Ret1\n200,NMI0000001,E1B1,1,E1,N1,METER1,kWh,30,20270101\n"

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = make_home(tmp_path / "home")
    drop(path, "leases", "l.csv", LEASE_HEADER + lease_row() + lease_row("L2", price="two") + "torn,line\n")
    values = ["1.5"] * 48
    values[7] = "oops"
    # the letter ends the values, so the whole day is one row that says so
    drop(path, "power_meter", "m.csv", METER + f"300,20270115,{','.join(values)},A,,,20270116103000,\n900\n")
    land(path)
    return path


def land(home: Path) -> None:
    loaded = load_home(home)
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        landing.create_raw_tables(con)
        landing.land(con, loaded, landing.pending(con, loaded))


@pytest.fixture
def run(home: Path) -> Run:
    def invoke(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["--home", str(home), "quarantine", *arguments])
        return done.exit_code, done.output

    return invoke


def listed(run: Run, *options: str) -> list[dict[str, object]]:
    code, said = run("list", "--json", *options)
    assert code == 0
    rows: list[dict[str, object]] = json.loads(said)
    return rows


def row_of(run: Run, rule: str) -> str:
    (row,) = listed(run, "--rule", rule)
    return str(row["row_id"])


def query(home: Path, text: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        return con.execute(text).fetchall()


def test_refused_rows_are_listed_with_file_line_rule_and_column(run: Run) -> None:
    rows = {str(row["rule"]): row for row in listed(run)}
    assert set(rows) == {"not_a_number", "row_not_whole"}
    assert len(listed(run)) == 3
    assert len(listed(run, "--feed", "power_meter")) == 1
    lease = next(row for row in listed(run, "--feed", "leases") if row["rule"] == "not_a_number")
    assert (lease["path"], lease["line_no"]) == (f"landing/{PARK_ID}/leases/l.csv", 3)
    assert lease["column_name"] == "price_per_gpu_hour"
    assert "3 rows stand in quarantine" in run("list")[1]


def test_files_that_were_rejected_as_a_whole_are_listed_with_why(home: Path, run: Run) -> None:
    drop(home, "payments", "p.csv", "no,such,column\n1,2,3\n")
    land(home)
    said = run("list", "--feed", "payments")[1].splitlines()
    assert said[:2] == ["0 shown; 3 rows stand in quarantine", f"rejected      landing/{PARK_ID}/payments/p.csv"]
    assert "the first line has no column payment_id" in said[2]
    assert "rejected" not in run("list", "--feed", "leases")[1]


def test_a_row_is_shown_with_its_rule_text_line_and_cells(run: Run) -> None:
    row_id = str(next(row for row in listed(run, "--feed", "leases") if row["rule"] == "not_a_number")["row_id"])
    code, said = run("show", row_id[:8])
    assert code == 0
    assert "not_a_number: the cell is no number" in said
    assert "price_per_gpu_hour  two" in said


def test_the_line_of_an_outside_format_is_shown_as_it_stands_in_its_file(run: Run) -> None:
    (row,) = listed(run, "--feed", "power_meter")
    shown = json.loads(run("show", str(row["row_id"]), "--json")[1])
    assert shown["original_line"].startswith("300,20270115,1.5,")
    assert json.loads(shown["row_text"])["source_line"] == 3


def test_a_mended_row_lands_and_keeps_its_trail(home: Path, run: Run) -> None:
    row_id = str(next(row for row in listed(run, "--feed", "leases") if row["rule"] == "not_a_number")["row_id"])
    before = query(home, "SELECT * FROM raw.quarantined_row ORDER BY ALL")
    code, said = run(
        "release", row_id, "--set", "price_per_gpu_hour=2.5", "--note", "as the operator wrote on the phone"
    )
    assert code == 0
    assert f"released-{row_id}.csv" in said
    land(home)
    assert query(home, "SELECT price_per_gpu_hour FROM raw.leases WHERE lease_id = 'L2'") == [(Decimal("2.5"),)]
    assert query(home, "SELECT * FROM raw.quarantined_row ORDER BY ALL") == before
    ((file_id, line, note),) = query(home, "SELECT file_id, line_no, note FROM raw.released_row")
    assert (line, note) == (3, "as the operator wrote on the phone")
    assert query(home, f"SELECT path FROM raw.landed_file WHERE file_id = '{file_id}'") == [
        (f"landing/{PARK_ID}/leases/l.csv",)
    ]
    assert row_id not in {row["row_id"] for row in listed(run)}
    assert row_id in {row["row_id"] for row in listed(run, "--released")}
    assert "L2" not in (home / "quarantine" / PARK_ID / "leases.csv").read_text()
    counts = "landed_count + duplicate_count + superseded_count + quarantined_count"
    assert query(home, f"SELECT * FROM raw.landed_file WHERE row_count <> {counts}") == []
    code, said = run("release", row_id, "--set", "price_per_gpu_hour=2.6")
    assert code == EXIT_BAD_INPUT
    assert "was released before" in said


def test_the_trail_is_built_anew_from_the_landing_folder(home: Path, run: Run) -> None:
    row_id = str(next(row for row in listed(run, "--feed", "leases") if row["rule"] == "not_a_number")["row_id"])
    run("release", row_id, "--set", "price_per_gpu_hour=2.5")
    land(home)
    before = query(home, "SELECT * FROM raw.released_row")
    (home / "warehouse.duckdb").unlink()
    land(home)
    assert query(home, "SELECT * FROM raw.released_row") == before != []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([], "price_per_gpu_hour still breaks not_a_number"),
        (["price_per_gpu_hour=-1"], "price_per_gpu_hour still breaks out_of_range"),
        (["price=2"], "leases has no column price"),
        (["price_per_gpu_hour=2", "lease_id="], "it has no lease_id"),
    ],
)
def test_a_row_that_is_not_mended_is_not_released(home: Path, run: Run, changes: list[str], said: str) -> None:
    row_id = str(next(row for row in listed(run, "--feed", "leases") if row["rule"] == "not_a_number")["row_id"])
    code, told = run("release", row_id, *(part for change in changes for part in ("--set", change)))
    assert code == EXIT_BAD_INPUT
    assert said in " ".join(told.split())
    assert not list(home.glob("landing/*/*/released-*"))


def test_many_rows_are_mended_in_a_table(home: Path, run: Run, tmp_path: Path) -> None:
    table = tmp_path / "mend.csv"
    assert run("list", "--feed", "leases", "--csv", str(table))[0] == 0
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["rule"] for row in rows} == {"not_a_number", "row_not_whole"}
    whole = dict(zip(LEASE_HEADER.strip().split(","), lease_row("L3").strip().split(","), strict=True))
    for row in rows:
        row.update({"price_per_gpu_hour": "3"} if row["rule"] == "not_a_number" else whole)
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    code, said = run("release", str(table))
    assert code == 0
    assert "2 rows released" in said
    land(home)
    assert query(home, "SELECT lease_id FROM raw.leases ORDER BY 1") == [("L1",), ("L2",), ("L3",)]
    assert listed(run, "--feed", "leases") == []


@pytest.mark.parametrize("row", ["", "ffffffffffff"])
def test_an_id_of_no_row_or_of_several_is_refused(run: Run, row: str) -> None:
    code, said = run("show", row)
    assert code == EXIT_BAD_INPUT
    assert "quarantine list" in said


def test_rows_of_a_table_that_nobody_touched_are_left_and_the_others_released(
    run: Run, home: Path, tmp_path: Path
) -> None:
    drop(home, "leases", "more.csv", LEASE_HEADER + lease_row("L3", price="=1+2") + lease_row("L4", price="-three"))
    land(home)
    table = tmp_path / "mend.csv"
    assert run("list", "--csv", str(table))[0] == 0
    text = table.read_text()
    assert ",'=1+2," in text, "a spreadsheet would run it"
    table.write_text(text.replace(",'=1+2,", ",3.5,"))
    code, said = run("release", str(table))
    assert (code, "1 rows released" in said, "4 rows of" in said) == (0, True, True), said
    land(home)
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        price = con.execute("SELECT price_per_gpu_hour FROM raw.leases WHERE lease_id = 'L3'").fetchall()
    assert price == [(Decimal("3.5"),)]
    code, said = run("release", str(table))
    assert (code, "0 rows released" in said, "5 rows of" in said) == (0, True, True), said


def test_every_row_of_a_table_that_still_breaks_a_rule_is_named_and_none_is_released(
    run: Run, home: Path, tmp_path: Path
) -> None:
    drop(home, "leases", "more.csv", LEASE_HEADER + lease_row("L3", price="three") + lease_row("L4", price="four"))
    land(home)
    table = tmp_path / "mend.csv"
    run("list", "--csv", str(table), "--rule", "not_a_number", "--feed", "leases")
    table.write_text(table.read_text().replace(",three,USD", ",5,USD").replace("four", "vier").replace("two", "zwei"))
    code, said = run("release", str(table))
    assert code == EXIT_BAD_INPUT
    assert said.count("price_per_gpu_hour still breaks not_a_number") == 2
    assert "nothing is released" in said
    assert list((home / "landing").rglob("released-*")) == []


def test_the_list_names_file_and_line_on_a_narrow_screen(run: Run) -> None:
    assert "l.csv:3" in run("list")[1]
