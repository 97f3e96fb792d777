"""The same rows in other files, another order, twice and in two runs: what is published is the same, table for table."""

import gzip
import random
import re
from pathlib import Path

import duckdb
import pytest
from conftest import copy_home, parkledger

pytestmark = [pytest.mark.published, pytest.mark.slow]

# What says from which file or run a row came, and not what it says.
LINEAGE = {"run_id", "file_id", "line_no", "input_manifest", "input_manifest_hash", "manifest_hash"}
# A table of files: what the other files may not change is which feeds tell of a contract's month.
OF_FILES = {"ledger.fct_statement_input": "DISTINCT contract_id, service_month, feed"}


def without_simulation(home: Path) -> Path:
    """The home as if its files were the operators' own."""
    text = (home / "home.yaml").read_text()
    (home / "home.yaml").write_text(re.sub(r"(?m)^simulation:.*\n", "", text))
    for path in home.glob("landing/*/.simulated.json"):
        path.unlink()
    return home


def split(home: Path, draw: random.Random) -> list[Path]:
    """Replace each CSV of documents by three with its rows shuffled, some of them twice; the new files."""
    made: list[Path] = []
    for path in sorted(home.glob("landing/*/*/*.csv*")):
        if any(word in path.name for word in ("broken", "wrong-header", "truncated")):
            continue
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        header, *rows = data.splitlines(keepends=True)
        rows += draw.sample(rows, len(rows) // 5)
        draw.shuffle(rows)
        path.unlink()
        for number in range(3):
            part = path.with_name(f"part-{number}-{path.name.removesuffix('.gz')}")
            part.write_bytes(header + b"".join(rows[number::3]))
            made.append(part)
    return made


def tables(home: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every published table but those about files and runs, as sorted rows without lineage."""
    with duckdb.connect(str(home / "published" / "parkledger.duckdb"), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        names = con.execute(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE schema_name <> 'quality' ORDER BY 1"
        ).fetchall()
        found: dict[str, list[tuple[object, ...]]] = {}
        for (name,) in names:
            columns = [row[0] for row in con.execute(f"DESCRIBE {name}").fetchall() if row[0] not in LINEAGE]
            listed = ", ".join(f'"{column}"' for column in columns)
            found[name] = con.execute(f"SELECT {OF_FILES.get(name, listed)} FROM {name} ORDER BY ALL").fetchall()
    return found


def test_what_is_published_does_not_depend_on_files_order_or_repetition(finished: Path, tmp_path: Path) -> None:
    whole = without_simulation(copy_home(finished, tmp_path / "whole", with_results=False))
    parts = without_simulation(copy_home(finished, tmp_path / "parts", with_results=False))
    draw = random.Random(20270101)
    made = split(parts, draw)
    later = draw.sample(made, len(made) // 2)
    for path in later:
        path.rename(path.with_name(f"{path.name}.tmp"))  # still being written, for the first run
    assert parkledger(whole, "run").returncode == 0
    # Half of the rows may contradict each other, and a check then keeps them from being published; they land all the same.
    assert parkledger(parts, "run").returncode in {0, 4}
    for path in later:
        path.with_name(f"{path.name}.tmp").rename(path)
    done = parkledger(parts, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    one, other = tables(whole), tables(parts)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
