"""The only writer of the feeds' raw tables and of the lake: atomic, idempotent, one manifest row a file.

A file is known by the SHA-256 of its content, within its park and feed: the same bytes under another name are one
landing. Documents (leases, payments …) of one park and feed land in one transaction; clean telemetry files, which stand
in the lake as they were delivered, in one for many; others in one each, after their lake files. The counts of the
manifest are a function of the set of landed files, never of their order:

- rows of one natural key stand in the order (recorded_at, content, file_id, line_no); a row that says the same as
  the one before it is a duplicate; of the others the last one is landed, those before it are superseded;
- a row that refers to a lease, tranche or contract that is not known waits in quarantine, and leaves it at the first
  landing after that has become known;
- a file lands again when its park's clock, its tranches' nodes and dates, or the policies of rules change, since its
  rows were read by them; one with rows of the future also when the home's clock has moved on.

So row_count = landed + duplicate + superseded + quarantined, always.
"""

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb
import polars as pl

from ingest import delivered, documents, holding, kept_journal, lake, manifest, mending, quarantine
from ingest.contracts import CONTRACTS, FeedContract
from ingest.delivered import Delivered
from ingest.feeds.limits import Limits
from ingest.files import LandingFile, content_hash, is_unchanged, scan, with_file_id
from ingest.manifest import LandedFile, Read, reading_hash
from ingest.reading import BATCH_ROWS, Cells, Rejected, check_cells, read_cells
from ingest.spool import Spool
from ingest.terms.home import Home
from ingest.terms.park import Park
from ingest.transactions import transaction

__all__ = ["LandedFile", "LandingFile", "create_raw_tables", "land", "pending", "scan"]

# Clean files are examined side by side, each with one thread, and land together: a transaction costs as much as a small
# file.
EXAMINERS = 2
FILES_A_TRANSACTION = 64
# Documents are far smaller: so many land together, however few rows they hold.
DOCUMENTS_A_TRANSACTION = 5_000

# Called with the path of a file, files done and files in all.
Progress = Callable[[str, int, int], None]
Report = Callable[[LandingFile], None]
# Files of one content, the first of them in the order of paths.
Same = list[LandingFile]


def create_raw_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Make the feeds' tables, the manifest, the catalogue and the quarantine where they are missing."""
    con.execute("SET TimeZone = 'UTC'")
    con.execute("CREATE SCHEMA IF NOT EXISTS raw")
    for ddl in (
        manifest.LANDED_FILE_DDL,
        manifest.SEEN_PATH_DDL,
        quarantine.DDL,
        quarantine.WARNING_DDL,
        mending.DDL,
        holding.DDL,
    ):
        con.execute(ddl)
    for table in ("quarantined_row", "row_warning"):
        # A warehouse of before has them without.
        for column in ("service_date DATE", "row_key VARCHAR", "known_at TIMESTAMPTZ"):
            con.execute(f"ALTER TABLE raw.{table} ADD COLUMN IF NOT EXISTS {column}")
    kept_journal.create_tables(con)
    lake.create_tables(con)
    for contract in CONTRACTS.values():
        if contract.in_lake:
            lake.create_view_if_missing(con, contract.name)
        else:
            documents.create_tables(con, contract)


def pending(con: duckdb.DuckDBPyConnection, home: Home) -> list[LandingFile]:
    """Files to be landed: new content, content under a new name, and files that must be read again.

    A path with the size and time with which it was last seen is not hashed again: cheap where nothing is new.
    """
    seen = manifest.seen_paths(con)
    landed = manifest.hashes(con)
    current: dict[tuple[str, str], str] = {}
    waiting: list[LandingFile] = []
    for file in scan(home):
        place = (file.park_id, file.feed)
        if place not in current:
            current[place] = reading_hash(home, *place)
        known = seen.get(file.relative_path)
        if (
            known is not None
            and known[:4] == (file.size_bytes, file.mtime_ns, *place)
            and manifest.is_read_as(landed.get((*place, known[4])), current[place], home)
        ):
            continue
        try:
            waiting.append(with_file_id(file))
        except OSError:
            # Gone or not readable at this moment: it is looked at again next time.
            continue
    return waiting


@dataclass(frozen=True)
class _Checked:
    """What became of a telemetry file's rows: good ones typed, the others for the quarantine; large ones stand on disk."""

    good: Spool
    rejected: Spool
    noted: Spool


def _cells(home: Home, file: LandingFile) -> Cells | Rejected:
    park = home.parks.get(file.park_id)
    if file.refusal is not None or park is None:
        return Rejected(*(file.refusal or ("unknown_park", f"there is no readable park {file.park_id}")))
    return read_cells(file.path, file.feed, park, lake.temporary_folder(home.path))


def _read(cells: Cells | Rejected) -> Read | Rejected:
    return cells if isinstance(cells, Rejected) else Read(cells.format_name, cells.row_count)


def _land_documents(
    con: duckdb.DuckDBPyConnection, home: Home, contract: FeedContract, contents: Sequence[Same], report: Report
) -> None:
    """Land the files of one park and one feed of documents; a transaction holds many small files or one large one."""
    park = home.parks[contents[0][0].park_id]
    landing: list[tuple[Same, Cells | Rejected]] = []
    row_count = 0
    for same in contents:
        cells = _cells(home, same[0])
        report(same[0])
        # What changed while it was read is left for the next time.
        if not is_unchanged(same[0]):
            continue
        landing.append((same, cells))
        row_count += cells.row_count if isinstance(cells, Cells) else 0
        if row_count >= BATCH_ROWS or len(landing) >= DOCUMENTS_A_TRANSACTION:
            _write_documents(con, home, contract, park, landing)
            landing, row_count = [], 0
    if landing:
        _write_documents(con, home, contract, park, landing)


def _write_documents(
    con: duckdb.DuckDBPyConnection,
    home: Home,
    contract: FeedContract,
    park: Park,
    landing: Sequence[tuple[Same, Cells | Rejected]],
) -> None:
    numbered = [(number, cells) for number, (_, cells) in enumerate(landing) if isinstance(cells, Cells)]
    with transaction(con):
        documents.begin(con, contract)
        manifest.begin(con, home, [(same[0], _read(cells)) for same, cells in landing])
        documents.forget(con, contract)
        manifest.write(con)
        manifest.remember_paths(con, [file for same, _ in landing for file in same])
        for batch in check_cells(numbered, contract.name, Limits(park, home.clock_at, home.policies)):
            documents.insert(con, contract, park.park_id, batch)
        documents.recount(con, contract, park.park_id)
        manifest.note_future(con, home)


def _checked(home: Home, limits: Limits, file: LandingFile) -> tuple[Read | Rejected, _Checked]:
    scratch = lake.temporary_folder(home.path)
    checked = _Checked(Spool(scratch), Spool(scratch, source=file.path), Spool(scratch, source=file.path))
    cells = _cells(home, file)
    if isinstance(cells, Rejected):
        return cells, checked
    for batch in check_cells([(0, cells)], file.feed, limits):
        for spool, rows in (
            (checked.good, batch.good),
            (checked.rejected, batch.rejected),
            (checked.noted, batch.noted),
        ):
            if not rows.is_empty():
                spool.append(rows)
    return _read(cells), checked


def _read_ahead(home: Home, limits: Limits, files: Sequence[LandingFile]) -> Iterator[tuple[Read | Rejected, _Checked]]:
    """Rows of telemetry files in order; while one is being written, the next one is read."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(_checked, home, limits, files[0])
        for following in files[1:]:
            outcome = coming.result()
            coming = reader.submit(_checked, home, limits, following)
            yield outcome
            del outcome
        yield coming.result()


def _examined(home: Home, limits: Limits, file: LandingFile) -> tuple[Path, Delivered] | None:
    """A copy of a clean file with the content that is landing, and what is known of it; None: it goes row by row.

    A copy, no link: whoever writes a corrected file over the old one must not change what has landed.
    """
    scratch = lake.temporary_folder(home.path)
    copy = scratch / f"{file.file_id}.parquet"
    if not delivered.is_parquet(file.path):
        return None
    shutil.copyfile(file.path, copy)
    found = delivered.examine(copy, limits, scratch) if content_hash(copy) == file.file_id else None
    if found is None:
        copy.unlink()
        return None
    return copy, found


def _land_delivered(
    con: duckdb.DuckDBPyConnection, home: Home, landing: Sequence[tuple[Same, Path, Delivered]]
) -> None:
    """Land clean telemetry files of one park: their lake files first, then what makes them count in one transaction."""
    park_id, feed, _ = landing[0][0][0].key
    manifest.begin(con, home, [(same[0], Read("parquet", found.row_count)) for same, _, found in landing])
    received = manifest.received_at(con)
    days = []
    for same, copy, found in landing:
        file_id = same[0].key[2]
        path = lake.put_delivered(home.path, feed, park_id, file_id, copy)
        places = {"file_id": file_id, "sha256": file_id, "path": path, "layout": lake.create_layout(con, found.types)}
        days.append(
            found.days.with_columns(pl.lit(value).alias(name) for name, value in places.items()).with_columns(
                pl.col("min_recorded_at", "max_recorded_at").fill_null(received[file_id])
            )
        )
    with transaction(con):
        lake.remember_nodes(con, park_id, pl.concat([found.nodes for _, _, found in landing]))
        no_longer = _make_count(
            con,
            home,
            [same for same, _, _ in landing],
            pl.concat(days).select(*lake.CATALOGUE),
            pl.concat([found.hours for _, _, found in landing]),
        )
    lake.remove(home.path, no_longer)


def _make_count(
    con: duckdb.DuckDBPyConnection,
    home: Home,
    contents: Sequence[Same],
    days: pl.DataFrame,
    hours: pl.DataFrame,
    *,
    checked: _Checked | None = None,
) -> list[str]:
    """Within a transaction: manifest, quarantine, catalogue and counts of the telemetry files of `landing_now`.

    Returns:
        Paths of lake files that no longer count.
    """
    park_id, feed, _ = contents[0][0].key
    manifest.write(con)
    manifest.remember_paths(con, [file for same in contents for file in same])
    if checked is not None:
        for rows in checked.rejected:
            quarantine.write(con, rows, park_id, feed)
        for rows in checked.noted:
            quarantine.write(con, rows, park_id, feed, "row_warning")
    lake.remember_hours(con, park_id, hours)
    before = lake.catalogue(con, feed, park_id, days)
    lake.recount(con, home.path, feed, park_id, {*days["service_date"].to_list(), *(day for day, _ in before)})
    con.execute(
        "CREATE OR REPLACE TEMP TABLE counted AS SELECT file_id, sum(landed_count)::BIGINT AS landed_count, "
        "sum(duplicate_count)::BIGINT AS duplicate_count, sum(superseded_count)::BIGINT AS superseded_count "
        "FROM raw.lake_file WHERE feed = ? AND park_id = ? GROUP BY file_id",
        [feed, park_id],
    )
    manifest.write_counts(con, feed, park_id)
    manifest.note_future(con, home)
    return sorted({path for _, path in before} - set(days["path"].to_list()))


def _land_rows(
    con: duckdb.DuckDBPyConnection, home: Home, same: Same, read: Read | Rejected, checked: _Checked
) -> None:
    """Land one telemetry file row by row: its lake files first, then what makes them count in one transaction."""
    file = same[0]
    if not is_unchanged(file):
        return
    _, _, file_id = file.key
    manifest.begin(con, home, [(file, read)])
    days = pl.DataFrame(schema=lake.CATALOGUE)
    hours = pl.DataFrame(schema=lake.HOURS)
    if checked.good.row_count:
        received = manifest.received_at(con)[file_id]
        days = lake.write_days(con, home.path, file.key, checked.good, received)
        hours = pl.concat([rows.select(list(lake.HOURS)).unique() for rows in checked.good]).unique()
    with transaction(con):
        no_longer = _make_count(con, home, [same], days, hours, checked=checked)
    lake.remove(home.path, no_longer)


def _land_telemetry(
    con: duckdb.DuckDBPyConnection, home: Home, limits: Limits, contents: Sequence[Same], report: Report
) -> None:
    """Land telemetry files of one park: clean ones as they are, the others row by row."""
    clean: list[tuple[Same, Path, Delivered]] = []
    others: list[Same] = []
    with ThreadPoolExecutor(max_workers=EXAMINERS) as pool:
        for same, examined in zip(
            contents, pool.map(partial(_examined, home, limits), (same[0] for same in contents)), strict=True
        ):
            if examined is None:
                others.append(same)
                continue
            clean.append((same, *examined))
            report(same[0])
            if len(clean) >= FILES_A_TRANSACTION:
                _land_delivered(con, home, clean)
                clean = []
    if clean:
        _land_delivered(con, home, clean)
    if others:
        for same, (read, checked) in zip(others, _read_ahead(home, limits, [same[0] for same in others]), strict=True):
            _land_rows(con, home, same, read, checked)
            report(same[0])


def _refuse(con: duckdb.DuckDBPyConnection, home: Home, contents: Sequence[Same], report: Report) -> None:
    """Note files that are not read at all, with the reason."""
    with transaction(con):
        manifest.begin(con, home, [(same[0], _read(_cells(home, same[0]))) for same in contents])
        manifest.write(con)
        manifest.remember_paths(con, [file for same in contents for file in same])
    for same in contents:
        report(same[0])


def _land_group(con: duckdb.DuckDBPyConnection, home: Home, contents: Sequence[Same], report: Report) -> None:
    """Land the new contents of one park and feed."""
    refused = [same for same in contents if same[0].refusal]
    readable = [same for same in contents if not same[0].refusal]
    if refused:
        _refuse(con, home, refused, report)
    if not readable:
        return
    first = readable[0][0]
    contract, park = CONTRACTS[first.feed], home.parks[first.park_id]
    if not contract.in_lake:
        _land_documents(con, home, contract, readable, report)
        return
    _land_telemetry(con, home, Limits(park, home.clock_at, home.policies), readable, report)


def _feed_order(feed: str) -> int:
    order = list(CONTRACTS)
    return order.index(feed) if feed in CONTRACTS else len(order)


def land(
    con: duckdb.DuckDBPyConnection, home: Home, files: list[LandingFile], on_progress: Progress | None = None
) -> list[LandedFile]:
    """Land files, and let rows out of quarantine that waited for what has become known.

    Args:
        con: a writing connection.
        home: the loaded home; its clock is the landing time.
        files: from `pending` or `scan`; content that has landed already is only noted under its new name.
        on_progress: called with the path of a file, files done and files in all.

    Returns:
        The manifest rows of the given files. What is wrong with a file or a row is said there, never raised.
    """
    create_raw_tables(con)
    lake.clear_temporary(home.path)
    lake.hash_unknown(con, home.path)
    documents.prepare_known(con, home)
    contents: dict[tuple[str, str, str], Same] = defaultdict(list)
    for file in sorted(files, key=lambda file: file.relative_path):
        identified = file if file.file_id else with_file_id(file)
        contents[identified.key].append(identified)
    done = 0

    def report(file: LandingFile) -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(file.relative_path, done, len(contents))

    landed = manifest.hashes(con)
    known = {key for key in contents if manifest.is_read_as(landed.get(key), reading_hash(home, key[0], key[1]), home)}
    if known:
        with transaction(con):
            manifest.remember_paths(con, [file for key in sorted(known) for file in contents[key]])
    groups: dict[tuple[int, str, str], list[Same]] = defaultdict(list)
    for key, same in contents.items():
        if key in known:
            report(same[0])
        else:
            groups[_feed_order(key[1]), key[0], key[1]].append(same)
    for _, group in sorted(groups.items(), key=lambda item: item[0]):
        _land_group(con, home, group, report)
    with transaction(con):
        mending.note_releases(con, home)
        for contract in CONTRACTS.values():
            if contract.in_lake:
                lake.create_view(con, contract.name, home.path)
            else:
                documents.resolve(con, contract)
        holding.hold(con, home)
    quarantine.export(con, home.path)
    return manifest.landed(con, list(contents))
