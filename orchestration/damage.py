"""What is no longer as it was written, and how it is mended from what remains: `parkledger verify --repair`.

Each finding names the file, says what is wrong, and what would be done about it; nothing is done before it is asked for.
What a figure should be does not belong here (publishing/identities.py).
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from ingest import audit_log, kept_journal, lake, landing
from ingest.files import content_hash
from orchestration.assets.close import state_close
from orchestration.keeping import closed_lines
from orchestration.polars_jobs.journal import state_hashes
from orchestration.publishing import snapshot
from orchestration.publishing.manifest import MANIFEST, DamagedManifestError, manifest_of
from orchestration.settings import Settings

Mend = Callable[[], None]


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written.

    Attributes:
        place: the file, relative to the home.
        said: what is wrong with it.
        plan: what a repair would do; where nothing remains to mend it from, what its owner must do.
        mend: does it; None where nothing remains.
        needs_run: whether a run must follow.
    """

    place: str
    said: str
    plan: str
    mend: Mend | None = None
    needs_run: bool = False

    def __str__(self) -> str:
        return f"{self.place} {self.said}"


def examine(settings: Settings) -> list[Finding]:
    """Everything in the home that is not as it was written, in the order in which it is to be mended."""
    return [
        *_journal(settings),
        *_audit_log(settings),
        *_working_database(settings),
        *_lake(settings),
        *_statements(settings),
        *_earlier(settings),
        *_published(settings),
    ]


# ---------------------------------------------------------------- the kept journal


def _journal(settings: Settings) -> Iterator[Finding]:
    found = kept_journal.faults(settings.home)
    for fault in found:
        place, _, said = str(fault).partition(" ")
        if fault.part == "lines.parquet":
            named = _changed_lines(settings, fault.batch_no)
            yield Finding(place, said + named, *_lines_plan(settings, fault.batch_no))
        else:
            yield Finding(place, said, "restore this batch from your backup of lake/journal; nothing else holds it")
    if not found:
        yield from _states(settings)


def _batch(home: Path, batch_no: int, part: str) -> pl.DataFrame | None:
    try:
        return pl.read_parquet(home / kept_journal.FOLDER / f"{batch_no:06d}" / f"{part}.parquet")
    except (OSError, pl.exceptions.PolarsError):
        return None


def _remaining_lines(settings: Settings, batch_no: int) -> pl.DataFrame | None:
    """The published lines of the months that a batch closes."""
    closes = _batch(settings.home, batch_no, "closes")
    if closes is None:
        return None
    try:
        published = closed_lines(settings.published_path)
    except duckdb.Error:
        return None
    months = ["contract_id", "posting_month"]
    return kept_journal.sorted_lines(published.join(closes.select(months), on=months, how="semi"))


def _changed_lines(settings: Settings, batch_no: int) -> str:
    """Which lines of a batch are other than the published ones, where both can be read."""
    kept, remaining = _batch(settings.home, batch_no, "lines"), _remaining_lines(settings, batch_no)
    if kept is None:
        return "; it cannot be read"
    if remaining is None or set(kept.columns) != set(remaining.columns):
        return ""
    columns = list(kept_journal.LINES)
    other = kept.select(columns).join(remaining, on=columns, how="anti", nulls_equal=True)
    rows = other.sort("entry_id", "line_no").head(5).iter_rows(named=True)
    said = [
        f"{r['entry_id']}:{r['line_no']} of {r['contract_id']} {r['posting_month']:%Y-%m} says {r['account']} {r['amount']}"
        for r in rows
    ]
    return f": line {'; line '.join(said)}, and is not published so" if said else ""


def _lines_plan(settings: Settings, batch_no: int) -> tuple[str, Mend | None]:
    lines = _remaining_lines(settings, batch_no)
    if lines is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "lines.parquet"
            kept_journal.write_part(lines, path)
            manifest = settings.home / kept_journal.FOLDER / f"{batch_no:06d}" / kept_journal.MANIFEST
            if content_hash(path) == json.loads(manifest.read_text(encoding="utf-8"))["sha256"]["lines.parquet"]:
                return (
                    "write it anew from ledger.fct_journal_lines as published, which gives the very bytes that its batch.json names",
                    lambda: _must(kept_journal.mend_lines(settings.home, batch_no, lines)),
                )
    return "restore this batch from your backup of lake/journal: the published lines do not give its bytes", None


def _must(done: bool) -> None:
    if not done:
        raise RuntimeError("what was to be mended has changed meanwhile; run verify again")


def _states(settings: Settings) -> Iterator[Finding]:
    """Months whose kept lines do not give the state hash with which they were kept: somebody wrote the chain anew."""
    keys = ["contract_id", "posting_month", "batch_no"]
    lines = kept_journal.read(settings.home, "lines")
    for batch_no in lines["batch_no"].unique().sort():
        states = state_hashes(lines.filter(pl.col("batch_no") == batch_no)).with_columns(
            batch_no=pl.lit(batch_no, dtype=pl.Int32)
        )
        closes = kept_journal.read(settings.home, "closes").filter(pl.col("batch_no") == batch_no)
        other = closes.join(states, on=keys, how="inner").filter(pl.col("state_hash") != pl.col("state_hash_right"))
        for row in other.iter_rows(named=True):
            yield Finding(
                f"{kept_journal.FOLDER}/{batch_no:06d}/lines.parquet",
                f"does not give the state hash with which {row['contract_id']} closed {row['posting_month']:%Y-%m}: its lines and "
                f"the chain over them were written anew{_changed_lines(settings, batch_no)}",
                "restore lake/journal from your backup",
            )


def _audit_log(settings: Settings) -> Iterator[Finding]:
    for said in audit_log.faults(settings.home):
        place, _, rest = said.partition(" ")
        yield Finding(place, rest, "restore closes/audit.jsonl from your backup; the log is never mended by a program")


# ---------------------------------------------------------------- the working database and the lake


def _working_database(settings: Settings) -> Iterator[Finding]:
    path = settings.warehouse_path
    if not path.exists():
        return
    said = unreadable(path)
    if said:
        yield Finding(
            path.name,
            f"is damaged: {said}",
            f"set it aside as {_aside(path).name} and make it anew from landing, terms and lake/journal, with the landing times "
            "that were published",
            lambda: _make_anew(settings),
            needs_run=True,
        )


def unreadable(path: Path) -> str | None:
    """What DuckDB says of a database of which some block cannot be read; None where every row of it can.

    Raises:
        duckdb.IOException: another process has it open.
    """
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            names = connection.execute(
                "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT temporary ORDER BY ALL"
            ).fetchall()
            for schema, name in names:
                connection.execute(f'SELECT bit_xor(hash(rows)) FROM "{schema}"."{name}" AS rows').fetchall()
    except duckdb.Error as error:
        if "Could not set lock" in str(error):
            raise
        return str(error).splitlines()[0]
    return None


def _aside(path: Path) -> Path:
    number = 1
    while (name := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    return name


def _make_anew(settings: Settings) -> None:
    """A working database that knows nothing but when files landed; the run after it reads them all again."""
    path = settings.warehouse_path
    target = _aside(path)
    path.rename(target)
    log = path.with_name(f"{path.name}.wal")
    if log.exists():
        log.rename(target.with_name(f"{target.name}.wal"))
    with duckdb.connect(str(path)) as connection:
        landing.create_raw_tables(connection)
        if settings.published_path.exists() and not unreadable(settings.published_path):
            connection.execute(
                f"ATTACH '{str(settings.published_path).replace(chr(39), chr(39) * 2)}' AS published (READ_ONLY)"
            )
            connection.execute(
                "INSERT INTO raw.landed_file BY NAME SELECT *, 'to be read again' AS reading_hash FROM published.quality.fct_landed_file"
            )


def _lake(settings: Settings) -> Iterator[Finding]:
    if not settings.warehouse_path.exists() or unreadable(settings.warehouse_path):
        return
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
        if not connection.execute(
            "SELECT 1 FROM duckdb_columns() WHERE schema_name = 'raw' AND table_name = 'lake_file' AND column_name = 'sha256'"
        ).fetchall():
            return
        for damage in lake.damages(connection, settings.home):
            source = _still_there(connection, settings.home, damage)
            if source:
                yield Finding(
                    damage.path,
                    damage.said,
                    f"read {source} into the lake again: it is the file that landed",
                    lambda damage=damage: _read_again(settings, damage),  # type: ignore[misc]
                    needs_run=True,
                )
            else:
                yield Finding(
                    damage.path,
                    damage.said,
                    f"restore it, or {damage.landing_path} with the SHA-256 {damage.file_id}, from a backup: neither is there any more",
                )


def _still_there(connection: duckdb.DuckDBPyConnection, home: Path, damage: lake.Damage) -> str | None:
    """A path under landing at which the content that landed still lies."""
    seen = connection.execute(
        "SELECT path FROM raw.seen_path WHERE file_id = ? ORDER BY path", [damage.file_id]
    ).fetchall()
    for path in [damage.landing_path, *(row[0] for row in seen)]:
        if (home / path).is_file() and content_hash(home / path) == damage.file_id:
            return str(path)
    return None


def _read_again(settings: Settings, damage: lake.Damage) -> None:
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        connection.execute(
            "UPDATE raw.landed_file SET reading_hash = 'to be read again' WHERE park_id = ? AND feed = ? AND file_id = ?",
            [damage.park_id, damage.feed, damage.file_id],
        )
        # Until the file has been read again no view may name it: other feeds land before.
        connection.execute("DELETE FROM raw.lake_file WHERE path = ?", [damage.path])
    (settings.home / damage.path).unlink(missing_ok=True)


# ---------------------------------------------------------------- statements and the published snapshot


def _statements(settings: Settings) -> Iterator[Finding]:
    """Statements of closed months that are not those which were sealed."""
    if kept_journal.faults(settings.home):
        return
    kept = kept_journal.read(settings.home, "closes").filter("is_sealed")
    sealed = {
        (row["contract_id"], f"{row['posting_month']:%Y-%m}", row["state_hash"]) for row in kept.iter_rows(named=True)
    }
    for path in sorted((settings.home / "closes").glob("????-??.json")):
        month = path.stem
        try:
            closes = json.loads(path.read_text(encoding="utf-8"))["closes"]
            other = [c["contract_id"] for c in closes if (c["contract_id"], month, c["state_hash"]) not in sealed]
        except (ValueError, KeyError, TypeError):
            other = ["it cannot be read"]
        if other:
            yield Finding(
                f"closes/{path.name}",
                f"is not the statement that was sealed: {', '.join(map(str, other))}",
                f"set it aside as {_aside(path).name} and state {month} anew from the published tables, whose sealed lines are compared "
                "with the kept journal",
                lambda path=path: _state_anew(settings, path),  # type: ignore[misc]
            )


def _state_anew(settings: Settings, path: Path) -> None:
    path.rename(_aside(path))
    state_close(settings, date.fromisoformat(f"{path.stem}-01").isoformat())


def _earlier(settings: Settings) -> Iterator[Finding]:
    """Manifests of earlier snapshots that nobody can read, so that the next publishing could not tell which to keep."""
    for folder in snapshot.earlier_snapshots(settings.published_folder):
        path = folder / MANIFEST
        try:
            manifest_of(folder)
        except DamagedManifestError:
            yield Finding(
                path.relative_to(settings.home).as_posix(),
                "cannot be read",
                f"set it aside as {_aside(path).name}: the snapshot stays where it is, and no longer counts among the earlier ones",
                lambda path=path: path.rename(_aside(path)),  # type: ignore[misc]
            )


def _published(settings: Settings) -> Iterator[Finding]:
    folder = settings.published_folder
    if not (folder / snapshot.DATABASE).exists() and not (folder / MANIFEST).exists():
        return
    again = "run again and publish anew"
    try:
        tables: dict[str, Any] = manifest_of(folder)["tables"]
        digests = {name: str(entry["sha256"]) for name, entry in tables.items()}
    except (OSError, DamagedManifestError, KeyError, TypeError, AttributeError):
        yield Finding(
            f"published/{MANIFEST}",
            "cannot be read",
            f"remove it and {again}; what it told of is not kept among the earlier snapshots",
            lambda: (folder / MANIFEST).resolve().unlink(missing_ok=True),
            needs_run=True,
        )
        return
    good, said = _rows_as_published(folder / snapshot.DATABASE, digests)
    if said:
        yield Finding(f"published/{snapshot.DATABASE}", said, again, _nothing, needs_run=True)
    for name, digest in digests.items():
        path = folder / snapshot.PARQUET / f"{name.replace('.', '/')}.parquet"
        place = path.relative_to(settings.home).as_posix()
        if path.exists() and content_hash(path) == digest:
            continue
        wrong = "holds other bytes than were published" if path.exists() else "is missing"
        if name in good:
            yield Finding(
                place,
                wrong,
                f"write it anew from {name} in published/{snapshot.DATABASE}, whose rows give the published bytes",
                lambda name=name, path=path: snapshot.export_again(folder, name, path),  # type: ignore[misc]
            )
        else:
            yield Finding(place, wrong, again, _nothing, needs_run=True)


def _nothing() -> None:
    """The run that follows does it."""


def _rows_as_published(database: Path, digests: dict[str, str]) -> tuple[set[str], str | None]:
    """The tables whose rows, written as Parquet once more, give the bytes of the manifest; and what is wrong, if anything."""
    good: set[str] = set()
    try:
        with tempfile.TemporaryDirectory() as scratch, snapshot.opened(database) as connection:
            for name, digest in digests.items():
                if snapshot.export(connection, name, Path(scratch))["sha256"] == digest:
                    good.add(name)
    except duckdb.Error as error:
        return good, f"cannot be read: {str(error).splitlines()[0]}"
    other = sorted(digests.keys() - good)
    return good, f"holds other rows than were published in {', '.join(other)}" if other else None
