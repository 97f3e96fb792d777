"""Files that are damaged behind the back of the books: each is found and named, and mended from what remains or refused."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
from crashes import is_of_one_run
from homes import MONTH, Bench, parkledger, published_tables
from tally import Tally, case

CHECK_FAILED, REFUSED = 4, 6


def flip_bit(path: Path, at: float) -> None:
    """One bit of a file the other way; `at` says where, from 0 to 1."""
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    place = min(len(content) - 1, int(at * len(content)))
    content[place] ^= 1 << (place % 8)
    path.write_bytes(bytes(content))


def cut(path: Path, at: float) -> None:
    """A file without its end."""
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[: int(at * path.stat().st_size)])


def examined(home: Path) -> list[str]:
    """What verify says is damaged, by name; run in this process."""
    from orchestration.damage import examine
    from orchestration.settings import Settings

    return [finding.place for finding in examine(Settings(home=home))]


def lake_files(home: Path) -> list[Path]:
    return sorted((home / "lake" / "gpu_telemetry").rglob("*.parquet"))


def published_parquet(home: Path) -> list[Path]:
    return sorted((home / "published" / ".runs").glob("?/parquet/*/*.parquet"))


def _named(  # noqa: PLR0917 - a table of cases reads better without names
    tally: Tally,
    bench: Bench,
    files: Callable[[Path], list[Path]],
    hurt: Callable[[Path, float], None],
    times: int,
    seed: int,
) -> Tally:
    """Damage one file at a time, anywhere, and see that verify names that one and no other; undone by hand."""
    draw = random.Random(seed)
    with tally.timed():
        home = bench.home()
        assert examined(home) == []
        for _ in range(bench.times(times)):
            path = draw.choice(files(home))
            whole, mode = path.read_bytes(), path.stat().st_mode
            hurt(path, draw.random())
            if path.read_bytes() == whole:
                continue
            tally.injected += 1
            found = [(home / place).resolve() for place in examined(home)]
            tally.survived += found == [path.resolve()]
            if found != [path.resolve()]:
                tally.note(f"{path.relative_to(home)}: {found}")
            path.write_bytes(whole)
            path.chmod(mode)
        shutil.rmtree(home.parent)
    return tally


@case("damage")
def bits_of_lake_files(bench: Bench) -> Tally:
    return _named(Tally("one bit of a lake file flipped"), bench, lake_files, flip_bit, 30, 1)


@case("damage")
def cut_lake_files(bench: Bench) -> Tally:
    return _named(Tally("a lake file cut"), bench, lake_files, cut, 20, 2)


@case("damage")
def bits_of_published_files(bench: Bench) -> Tally:
    return _named(Tally("one bit of a published Parquet file flipped"), bench, published_parquet, flip_bit, 40, 3)


@case("damage")
def bits_of_the_kept_journal(bench: Bench) -> Tally:
    def files(home: Path) -> list[Path]:
        return sorted(f for f in (home / "lake" / "journal").rglob("*") if f.is_file())

    tally = Tally("one bit of the kept journal flipped")
    draw = random.Random(4)
    with tally.timed():
        home = bench.home()
        for number in range(bench.times(40)):
            path = files(home)[number % len(files(home))]
            whole, mode = path.read_bytes(), path.stat().st_mode
            flip_bit(path, draw.random())
            tally.injected += 1
            # A batch.json that is damaged also breaks the chain to the next batch.
            tally.survived += any(path.parent.name in place for place in examined(home))
            path.write_bytes(whole)
            path.chmod(mode)
        shutil.rmtree(home.parent)
    return tally


@case("damage")
def bits_of_the_databases(bench: Bench) -> Tally:
    """A flipped bit is found, or lies where no row is kept: then every row is what it was."""
    tally = Tally("one bit of the working or the published database flipped")
    draw = random.Random(5)
    with tally.timed():
        home = bench.home()
        expected = published_tables(home)
        harmless = 0
        for number in range(bench.times(40)):
            path = home / ("warehouse.duckdb" if number % 2 else "published/parkledger.duckdb")
            whole = path.read_bytes()
            flip_bit(path, draw.random())
            tally.injected += 1
            found = [place for place in examined(home) if place.endswith(".duckdb")]
            if found:
                tally.survived += (home / found[0]) == path
            else:
                harmless += 1
                tally.survived += bool(number % 2) or tally.compare(expected, published_tables(home))
            path.write_bytes(whole)
        tally.note(f"{harmless} of them lay where no row is kept")
        shutil.rmtree(home.parent)
    return tally


def _stands(home: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and time, but for the lock and logs of commands."""
    files = [f for f in home.rglob("*") if f.is_file() and ".parkledger" not in f.parts]
    return {str(f): (f.stat().st_size, f.stat().st_mtime_ns) for f in files}


def _repaired(tally: Tally, bench: Bench, home: Path, place: str) -> None:
    """Named, refused or shown by the commands, planned, mended, and afterwards as undisturbed."""
    tally.injected += 1
    before = _stands(home)
    plan = parkledger(home, "verify", "--repair")
    untouched = before == _stands(home)
    done = parkledger(home, "verify", "--repair", "--yes")
    expected = bench.repaired if "Then: parkledger run" in plan.stdout else bench.undisturbed
    good = (
        plan.returncode == CHECK_FAILED
        and place in plan.stdout
        and "Nothing was done" in plan.stdout
        and done.returncode == 0
        and is_of_one_run(home)
        and tally.compare(expected, published_tables(home))
        and untouched
    )
    log = (home / "closes" / "audit.jsonl").read_text() if (home / "closes" / "audit.jsonl").exists() else ""
    good = good and '"act": "repair"' in log
    tally.survived += good
    if not good:
        tally.note(
            f"{place}: {plan.returncode} {plan.stdout[-400:]} {done.returncode} {done.stderr[-600:]} {done.stdout[-300:]}"
        )
    shutil.rmtree(home.parent)


def _overwrite(path: Path, at: int) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 300_000)


def _lake_bit(home: Path) -> str:
    flip_bit(lake_files(home)[0], 0.4)
    return lake_files(home)[0].relative_to(home).as_posix()


def _working(home: Path) -> str:
    _overwrite(home / "warehouse.duckdb", 3 * 4096)
    return "warehouse.duckdb"


def _published_bit(home: Path) -> str:
    flip_bit(published_parquet(home)[7], 0.5)
    return published_parquet(home)[7].name


def _published_database(home: Path) -> str:
    _overwrite((home / "published" / "parkledger.duckdb").resolve(), 20_000)
    return "published/parkledger.duckdb"


def manifest(home: Path) -> str:
    (home / "published" / "manifest.json").resolve().write_text("{")
    return "published/manifest.json"


def _journal_bit(home: Path) -> str:
    flip_bit(home / "lake" / "journal" / "000001" / "lines.parquet", 0.5)
    return "lake/journal/000001/lines.parquet"


def _statement(home: Path) -> str:
    path = home / "closes" / f"{MONTH}.json"
    path.write_text(path.read_text().replace('"state_hash": "', '"state_hash": "0'))
    return f"closes/{MONTH}.json"


# The first four need no run, or the most of one.
DAMAGES = (_journal_bit, _working, _published_bit, _lake_bit, _statement, _published_database, manifest)


@case("damage")
def mended_from_what_remains(bench: Bench) -> Tally:
    """Each kind of damage once, by the command line, to the end."""
    tally = Tally("damage of each kind, mended by `verify --repair --yes`")
    with tally.timed():
        for hurt in DAMAGES[: bench.times(len(DAMAGES))]:
            home = bench.home()
            _repaired(tally, bench, home, hurt(home))
    return tally


@case("damage")
def a_run_over_a_damaged_lake(bench: Bench) -> Tally:
    """It stops before it computes anything, names the file and the way back."""
    tally = Tally("a run over a damaged lake")
    with tally.timed():
        home = bench.home()
        place = _lake_bit(home)
        done = parkledger(home, "run", "--force")
        tally.injected = 1
        tally.survived = int(done.returncode == REFUSED and "verify --repair" in done.stderr and place in done.stderr)
        if not tally.survived:
            tally.note(f"{done.returncode}: {done.stderr[-400:]}")
        shutil.rmtree(home.parent)
    return tally


@case("damage")
def a_changed_line_of_a_closed_month(bench: Bench) -> Tally:
    """Somebody lowers an amount in the kept journal, and writes the chain anew over it: the line is named all the same."""
    import hashlib

    from ingest import kept_journal

    tally = Tally("an amount of a closed month changed in the kept journal")
    with tally.timed():
        for rewrite in (False, True):
            home = bench.home()
            batches = kept_journal.batches(home)
            for batch in batches:
                path = batch / "lines.parquet"
                lines = pl.read_parquet(path)
                amount = pl.when(pl.int_range(pl.len()) == 0).then(pl.col("amount") + 1).otherwise(pl.col("amount"))
                path.chmod(0o644)
                kept_journal.write_part(lines.with_columns(amount.cast(pl.Decimal(18, 2)).alias("amount")), path)
                entry = f"{lines['entry_id'][0]}:{lines['line_no'][0]}"
            if rewrite:
                before = ""
                for batch in batches:
                    manifest = json.loads((batch / "batch.json").read_text())
                    manifest["sha256"]["lines.parquet"] = hashlib.sha256(
                        (batch / "lines.parquet").read_bytes()
                    ).hexdigest()
                    manifest["previous"] = before
                    manifest["digest"] = kept_journal._own_digest(manifest)
                    (batch / "batch.json").chmod(0o644)
                    (batch / "batch.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
                    before = hashlib.sha256((batch / "batch.json").read_bytes()).hexdigest()
                assert kept_journal.faults(home) == []
            tally.injected += 1
            found = parkledger(home, "verify")
            tally.survived += found.returncode == CHECK_FAILED and entry in found.stdout + found.stderr
            if entry not in found.stdout + found.stderr:
                tally.note(f"{entry}: {found.stdout[-600:]} {found.stderr[-300:]}")
            shutil.rmtree(home.parent)
    return tally


@case("damage")
def a_changed_line_of_the_published_journal(bench: Bench) -> Tally:
    tally = Tally("an amount of a closed month changed in the published database")
    with tally.timed():
        home = bench.home()
        path = (home / "published" / "parkledger.duckdb").resolve()
        path.chmod(0o644)
        with duckdb.connect(str(path)) as con:
            [(entry, line)] = con.execute(
                "SELECT entry_id, line_no FROM ledger.fct_journal_lines WHERE NOT is_provisional ORDER BY ALL LIMIT 1"
            ).fetchall()
            con.execute(
                "UPDATE ledger.fct_journal_lines SET amount = amount - 1 WHERE entry_id = ? AND line_no = ?",
                [entry, line],
            )
        tally.injected += 1
        found = parkledger(home, "verify")
        tally.survived += found.returncode == CHECK_FAILED and f"{entry}:{line}" in found.stdout + found.stderr
        shutil.rmtree(home.parent)
    return tally


@case("damage")
def a_changed_line_of_the_audit_log(bench: Bench) -> Tally:
    from ingest import audit_log

    tally = Tally("a line of the audit log changed, moved or taken away")
    with tally.timed():
        for change in ("changed", "moved", "taken"):
            home = bench.empty()
            for number in range(5):
                audit_log.log(home, "repair", f"file {number}", "why")
            path = home / audit_log.LOG
            lines = path.read_text().splitlines(keepends=True)
            assert audit_log.faults(home) == []
            if change == "changed":
                lines[2] = lines[2].replace("file 2", "file 9")
            elif change == "moved":
                lines[2], lines[3] = lines[3], lines[2]
            else:
                del lines[2]
            path.write_text("".join(lines))
            tally.injected += 1
            tally.survived += audit_log.faults(home)[0].startswith("closes/audit.jsonl:3 ")
    return tally
