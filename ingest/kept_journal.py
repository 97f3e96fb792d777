"""The journal as it is kept in the lake: append-only batches of Parquet that outlive the warehouse.

``HOME/lake/journal/000001/`` holds the lines of closed months, the closes with their state hash, the files landed
until then and, of months that it seals, the steps of their statements, the dates of their invoices, the terms that
were known, the landed files that the statements rest on and who prepared them. A batch is written once, under a temporary
name, and renamed; ``batch.json`` holds the digest of each of its files and of the batch before it, so that a change to
any batch breaks the chain. A closed month whose lines are not those kept before comes again in a later batch; from the
batch that seals it on, its lines stand. What a line is worth, and when a month is closed, do not belong here.

``HOME/closes/reopenings.csv`` is the log of months that were opened again: one row an act, only ever added to.
"""

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from ingest.terms.errors import Problem, TermsError

FOLDER = Path("lake") / "journal"
REOPENINGS = Path("closes") / "reopenings.csv"
MANIFEST = "batch.json"
_UTC = pl.Datetime("us", "UTC")

LINES: dict[str, Any] = {
    "contract_id": pl.String,
    "posting_month": pl.Date,
    "entry_id": pl.String,
    "line_no": pl.Int32,
    "account": pl.String,
    "event": pl.String,
    "amount": pl.Decimal(18, 2),
    "currency_code": pl.String,
    "service_month": pl.Date,
    "posted_at": _UTC,
    "corrects_entry_id": pl.String,
    "terms_version": pl.String,
    "origin": pl.String,
}
CLOSES: dict[str, Any] = {
    "contract_id": pl.String,
    "posting_month": pl.Date,
    "reopening_no": pl.Int32,
    "closed_at": _UTC,
    "closed_by": pl.String,
    "state_hash": pl.String,
    "is_sealed": pl.Boolean,
    "prepared_by": pl.String,
}
STEPS: dict[str, Any] = {
    "contract_id": pl.String,
    "posting_month": pl.Date,
    "statement": pl.String,
    "service_month": pl.Date,
    "step_no": pl.Int32,
    "section_no": pl.Int32,
    "part_id": pl.String,
    "tier_no": pl.Int32,
    "step": pl.String,
    "gpu_hours": pl.Decimal(28, 9),
    "of_amount": pl.Decimal(38, 12),
    "rate": pl.Decimal(18, 9),
    "amount": pl.Decimal(38, 12),
    "term": pl.String,
}
DOCUMENTS: dict[str, Any] = {
    "contract_id": pl.String,
    "posting_month": pl.Date,
    "item_id": pl.String,
    "invoice_date": pl.Date,
    "due_date": pl.Date,
}
TERMS: dict[str, Any] = {
    "contract_id": pl.String,
    "posting_month": pl.Date,
    "amendment_id": pl.String,
    "instrument": pl.String,
    "term": pl.String,
    "value_text": pl.String,
}
INPUTS: dict[str, Any] = {
    "contract_id": pl.String,
    "posting_month": pl.Date,
    "service_month": pl.Date,
    "feed": pl.String,
    "file_id": pl.String,
}
FILES: dict[str, Any] = {"park_id": pl.String, "feed": pl.String, "file_id": pl.String, "received_at": _UTC}
REOPENING_COLUMNS = ("contract_id", "posting_month", "reopened_at", "reopened_by", "reason")
# What is kept of months that are sealed, beside their lines.
STATED: Mapping[str, dict[str, Any]] = {"steps": STEPS, "documents": DOCUMENTS, "terms": TERMS, "inputs": INPUTS}
_PARTS: Mapping[str, dict[str, Any]] = {"lines": LINES, "closes": CLOSES, "files": FILES, **STATED}

TABLES = {
    "sealed_close": "One row per contract, sealed month and reopening.",
    "sealed_line": "One row per journal line of the months that were sealed, as last sealed.",
    "sealed_step": "One row per step of a statement that a sealed close changed, as last sealed.",
    "sealed_input": "One row per landed file that a statement changed by a sealed close rests on, as last sealed.",
    "sealed_document": "One row per invoice and credit note of the months that were sealed, with its dates.",
    "kept_file": "One row per landed file that a batch of the kept journal names.",
    "period_reopening": "One row per contract and month that was reopened, by each reopening.",
}
_SQL_TYPES = {
    pl.String: "VARCHAR",
    pl.Date: "DATE",
    pl.Int32: "INTEGER",
    pl.Boolean: "BOOLEAN",
    _UTC: "TIMESTAMPTZ",
    pl.Decimal(18, 2): "DECIMAL(18, 2)",
    pl.Decimal(28, 9): "DECIMAL(28, 9)",
    pl.Decimal(18, 9): "DECIMAL(18, 9)",
    pl.Decimal(38, 12): "DECIMAL(38, 12)",
}


@dataclass(frozen=True)
class Reopening:
    """One act of opening a closed month, and all later ones, again.

    Attributes:
        contract_id: whose books.
        posting_month: first day of the earliest month opened.
        reopened_at: instant of the act, UTC.
        reopened_by: who did it.
        reason: why, in the words of who did it.
    """

    contract_id: str
    posting_month: date
    reopened_at: datetime
    reopened_by: str
    reason: str


class BrokenChainError(RuntimeError):
    """A batch of the kept journal is not as it was written."""


def batches(home: Path) -> list[Path]:
    """Folders of the batches in the order in which they were written."""
    return sorted(path for path in (home / FOLDER).glob("[0-9]*") if (path / MANIFEST).exists())


@dataclass(frozen=True)
class Fault:
    """What is wrong with a batch.

    Attributes:
        batch_no: its number, from 1.
        part: the file that is wrong; empty for the batch as a whole.
        said: what is wrong, as the end of a sentence.
    """

    batch_no: int
    part: str
    said: str

    def __str__(self) -> str:
        place = FOLDER / f"{self.batch_no:06d}" / self.part
        return f"{place.as_posix()} {self.said}"


def faults(home: Path) -> list[Fault]:
    """What is wrong with the chain: a batch that is missing, changed, or not followed by the one that names it."""
    found: list[Fault] = []
    before = ""
    for number, batch in enumerate(batches(home), start=1):
        if batch.name != f"{number:06d}":
            return [*found, Fault(number, "", "is missing")]
        manifest = _manifest(batch)
        if manifest is None:
            return [*found, Fault(number, MANIFEST, "is not as it was written")]
        if manifest["previous"] != before:
            found.append(Fault(number, "", "does not follow the batch before it"))
        for part, digest in manifest["sha256"].items():
            path = batch / part
            if not path.exists():
                found.append(Fault(number, part, "is missing"))
            elif _digest(path) != digest:
                found.append(Fault(number, part, "is not as it was written"))
        before = _digest(batch / MANIFEST)
    return found


def head(home: Path) -> str:
    """Digest of the last batch, which stands for all before it: to be noted outside of the home."""
    found = batches(home)
    return _digest(found[-1] / MANIFEST) if found else ""


def _manifest(batch: Path) -> dict[str, Any] | None:
    """What a batch says of itself; None where that is not what was written."""
    try:
        manifest: dict[str, Any] = json.loads((batch / MANIFEST).read_text(encoding="utf-8"))
        digest = manifest.get("digest")
        whole = {"previous", "sha256"} <= manifest.keys() and isinstance(manifest["sha256"], dict)
    except (ValueError, AttributeError):
        return None
    # Batches of older releases hold no digest of themselves; the batch after them does.
    return manifest if whole and digest in {None, _own_digest(manifest)} else None


def _own_digest(manifest: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in manifest.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read(home: Path, part: str) -> pl.DataFrame:
    """Rows of all batches, oldest first, with their batch_no.

    Args:
        home: the home's folder.
        part: lines, closes, files, steps, documents, terms or inputs; batches of before there was such a part have no rows
            of it, and those of before there was such a column nothing in it.
    """
    schema = _PARTS[part]
    frames = [
        pl.concat([pl.DataFrame(schema=schema), pl.read_parquet(batch / f"{part}.parquet")], how="diagonal_relaxed")
        .select(list(schema))
        .cast(pl.Schema(schema))
        .with_columns(pl.lit(int(batch.name), dtype=pl.Int32).alias("batch_no"))
        for batch in batches(home)
        if (batch / f"{part}.parquet").exists()
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema={**schema, "batch_no": pl.Int32})


def append(
    home: Path,
    lines: pl.DataFrame,
    closes: pl.DataFrame,
    files: pl.DataFrame,
    about: Mapping[str, str],
    *,
    stated: Mapping[str, pl.DataFrame],
) -> Path | None:
    """Keep the closed months that are not kept yet as they are now, and the files landed since.

    Args:
        home: the home's folder.
        lines: columns of :data:`LINES`, at least those of the closes.
        closes: columns of :data:`CLOSES`.
        files: columns of :data:`FILES`, all that have landed.
        about: what the batch says of itself (run id, clock).
        stated: the parts of :data:`STATED`, at least those of the closes that are sealed.

    Returns:
        The batch's folder, or None where nothing is new.

    Raises:
        BrokenChainError: an earlier batch is not as it was written; nothing is added to it.
    """
    found = faults(home)
    if found:
        raise BrokenChainError(
            "; ".join(map(str, found)) + ". Restore lake/journal from its backup before anything is posted"
        )
    keys = ["contract_id", "posting_month", "reopening_no"]
    kept = read(home, "closes").unique(keys, keep="last", maintain_order=True)
    state = [*keys, "state_hash", "is_sealed"]
    changed = closes.select(list(CLOSES)).cast(pl.Schema(CLOSES)).join(kept.select(state), on=state, how="anti")
    # A month that is sealed stays so: a run that only keeps says nothing new of it.
    changed = changed.join(kept.filter("is_sealed"), on=[*keys, "state_hash"], how="anti")
    file_keys = ["park_id", "feed", "file_id"]
    new_files = files.select(list(FILES)).cast(pl.Schema(FILES)).join(read(home, "files"), on=file_keys, how="anti")
    if changed.is_empty():
        return None  # files alone are no reason: they are named by the batch in which they first counted
    months = ["contract_id", "posting_month"]
    new_lines = sorted_lines(lines.join(changed.select(months), on=months, how="semi"))
    return _write(
        home,
        {
            "lines": new_lines,
            "closes": changed.sort(keys),
            "files": new_files.sort(file_keys),
            **{
                part: stated[part]
                .select(list(schema))
                .cast(pl.Schema(schema))
                .join(changed.filter("is_sealed").select(months), on=months, how="semi")
                .sort(pl.all())
                for part, schema in STATED.items()
            },
        },
        about,
    )


def _write(home: Path, parts: Mapping[str, pl.DataFrame], about: Mapping[str, str]) -> Path:
    before = batches(home)
    target = home / FOLDER / f"{len(before) + 1:06d}"
    temporary = target.with_name(f".writing-{target.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    digests = {}
    for name, frame in parts.items():
        path = temporary / f"{name}.parquet"
        write_part(frame, path)
        digests[path.name] = _digest(path)
    previous = _digest(before[-1] / MANIFEST) if before else ""
    manifest = {"batch_no": len(before) + 1, **about, "sha256": digests, "previous": previous}
    manifest["digest"] = _own_digest(manifest)
    (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for path in temporary.iterdir():
        _flush(path)
        path.chmod(path.stat().st_mode & 0o444)
    temporary.rename(target)
    _flush(target.parent)
    return target


def write_part(frame: pl.DataFrame, path: Path) -> None:
    """Write a part as batches hold it: the same rows give the same bytes."""
    frame.write_parquet(path, compression="zstd")


def sorted_lines(lines: pl.DataFrame) -> pl.DataFrame:
    """Lines in the columns, types and order of a batch."""
    order = ("contract_id", "posting_month", "entry_id", "line_no")
    return lines.select(list(LINES)).cast(pl.Schema(LINES)).sort(order)


def mend_lines(home: Path, batch_no: int, lines: pl.DataFrame) -> bool:
    """Write the lines of a batch anew where they give the very bytes that its manifest names; whether they do.

    Args:
        home: the home's folder.
        batch_no: whose lines are damaged.
        lines: columns of :data:`LINES`, of every month that the batch closes.
    """
    batch = home / FOLDER / f"{batch_no:06d}"
    target = batch / "lines.parquet"
    part = batch / ".lines.parquet.part"
    write_part(sorted_lines(lines), part)
    manifest = _manifest(batch)
    if manifest is None or _digest(part) != manifest["sha256"].get(target.name):
        part.unlink()
        return False
    part.chmod(part.stat().st_mode & 0o444)
    part.replace(target)
    return True


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Make the tables that :func:`load` fills, where they are missing."""
    for name, schema in _raw_schemas().items():
        columns = ", ".join(f"{column} {_SQL_TYPES[kind]}" for column, kind in schema.items())
        con.execute(f"CREATE TABLE IF NOT EXISTS raw.{name} ({columns})")


def _raw_schemas() -> dict[str, dict[str, Any]]:
    batch = {"batch_no": pl.Int32}
    reopening = {"posting_month": pl.Date, "reopened_at": _UTC}
    return {
        "sealed_close": CLOSES | batch | {"has_steps": pl.Boolean},
        "sealed_step": STEPS | batch,
        "sealed_input": INPUTS | batch,
        "sealed_document": DOCUMENTS | batch,
        "sealed_line": LINES | batch,
        "kept_file": FILES | batch,
        "period_reopening": {name: reopening.get(name, pl.String) for name in REOPENING_COLUMNS},
    }


def load(con: duckdb.DuckDBPyConnection, home: Path, clock_at: datetime) -> dict[str, int]:
    """Write what the warehouse must know of the kept journal as ``raw`` tables, anew.

    Args:
        con: a writing connection.
        home: the home's folder.
        clock_at: the home's clock; seals of later closes are not seen.

    Returns:
        Row counts by table.

    Raises:
        BrokenChainError: a batch is not as it was written.
        TermsError: the log of reopenings cannot be read.
    """
    found = faults(home)
    if found:
        raise BrokenChainError(
            "; ".join(map(str, found)) + ". Restore lake/journal from its backup before anything is posted"
        )
    keys = ["contract_id", "posting_month", "reopening_no"]
    months = ["contract_id", "posting_month"]
    # The first batch that sealed it: what landed later it could not know.
    closes = (
        read(home, "closes")
        .filter(pl.col("is_sealed") & (pl.col("closed_at") <= clock_at))
        .unique(keys, keep="first", maintain_order=True)
    )
    # Homes sealed before steps were kept have none of those months: they are computed, as they were.
    with_steps = [int(batch.name) for batch in batches(home) if (batch / "steps.parquet").exists()]
    latest = closes.unique(months, keep="last", maintain_order=True).select(*months, "batch_no")
    frames = {
        "sealed_close": closes.with_columns(has_steps=pl.col("batch_no").is_in(with_steps)),
        "sealed_line": read(home, "lines").join(latest, on=[*months, "batch_no"], how="semi"),
        "sealed_step": read(home, "steps").join(latest, on=[*months, "batch_no"], how="semi"),
        "sealed_input": read(home, "inputs").join(latest, on=[*months, "batch_no"], how="semi"),
        "sealed_document": read(home, "documents").join(latest, on=[*months, "batch_no"], how="semi"),
        "kept_file": read(home, "files"),
        "period_reopening": _reopening_frame(reopenings(home)),
    }
    con.execute("CREATE SCHEMA IF NOT EXISTS raw")
    for name in frames:
        con.execute(f"DROP TABLE IF EXISTS raw.{name}")
    create_tables(con)
    for name, frame in frames.items():
        con.register("kept_rows", frame.select(list(_raw_schemas()[name])).to_arrow())
        con.execute(f"INSERT INTO raw.{name} SELECT * FROM kept_rows")
        con.unregister("kept_rows")
    return {name: frame.height for name, frame in frames.items()}


def _reopening_frame(found: list[Reopening]) -> pl.DataFrame:
    schema = _raw_schemas()["period_reopening"]
    return pl.DataFrame([r.__dict__ for r in found], schema=schema, orient="row")


def reopenings(home: Path) -> list[Reopening]:
    """The log of reopenings, in its own order.

    Raises:
        TermsError: a row cannot be read, or gives no reason; names file, line and column.
    """
    path = home / REOPENINGS
    if not path.exists():
        return []
    found, problems = [], []
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != REOPENING_COLUMNS:
            raise TermsError(
                [_problem(1, "", "the header is not as it was written", ",".join(REOPENING_COLUMNS) + " is the header")]
            )
        for row in rows:
            try:
                found.append(_reopening(row))
            except _RowError as error:
                problems.append(_problem(rows.line_num, error.column, str(error), error.remedy))
    if problems:
        raise TermsError(problems)
    return found


class _RowError(ValueError):
    def __init__(self, column: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.column = column
        self.remedy = remedy


def _reopening(row: Mapping[str, str | None]) -> Reopening:
    given = {column: (row.get(column) or "").strip() for column in REOPENING_COLUMNS}
    for column, value in given.items():
        if not value:
            raise _RowError(column, "is empty", "say it: a closed month is opened by a named act with a reason")
    try:
        month = date.fromisoformat(given["posting_month"])
    except ValueError:
        raise _RowError("posting_month", f"{given['posting_month']!r} is no date", "write 2027-03-01") from None
    try:
        instant = datetime.fromisoformat(given["reopened_at"])
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise _RowError(
            "reopened_at", f"{given['reopened_at']!r} is no instant with an offset", "write 2027-05-09T08:00:00+00:00"
        )
    return Reopening(given["contract_id"], month.replace(day=1), instant, given["reopened_by"], given["reason"])


def _problem(line: int, key: str, message: str, remedy: str) -> Problem:
    return Problem(REOPENINGS.as_posix(), line, key, message, remedy)


def log_reopening(home: Path, acts: list[Reopening]) -> Path:
    """Add acts to the log; what stands in it is never changed."""
    path = home / REOPENINGS
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not path.exists():
        writer.writerow(REOPENING_COLUMNS)
    for act in acts:
        writer.writerow(
            [act.contract_id, act.posting_month.isoformat(), act.reopened_at.isoformat(), act.reopened_by, act.reason]
        )
    temporary = path.with_suffix(".part")
    temporary.write_text(
        (path.read_text(encoding="utf-8") if path.exists() else "") + text.getvalue(), encoding="utf-8"
    )
    temporary.replace(path)
    return path
