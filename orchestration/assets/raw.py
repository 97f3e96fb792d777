"""Landing: the home's terms, reference data and feeds become the ``raw`` tables and the lake."""

from collections.abc import Iterable, Iterator

import dagster as dg
import duckdb

from ingest import kept_journal, lake, landing, reference
from ingest.contracts import CONTRACTS
from ingest.simulate import home as simulation
from ingest.terms import tables as terms_tables
from ingest.terms.home import Home
from orchestration import park_days
from orchestration.resources import HomeFolder, ProgressDisplay, Warehouse
from orchestration.sealed_terms import refuse_changes
from orchestration.state import note_what_is_read, refuse_clock_set_back
from orchestration.timetable import DAILY_FEEDS

WAREHOUSE_POOL = "warehouse"
FORCED_TAG = "parkledger/forced"
OWNERS = ["team:parkledger"]
SIMULATED_FEEDS = dg.AssetKey(["landing", "simulated_feeds"])


def raw_key(table: str) -> dg.AssetKey:
    """A raw table's asset key, the same name that dbt knows it by."""
    return dg.AssetKey(["raw", table])


@dg.asset(
    key=SIMULATED_FEEDS,
    group_name="landing",
    owners=OWNERS,
    kinds={"python"},
    description="Landing files of feeds that no operator publishes, simulated from the home's seed where they are missing. "
    "A home that declares no simulation gets none.",
)
def simulated_feeds(
    context: dg.AssetExecutionContext,
    home_folder: HomeFolder,
    warehouse: Warehouse,  # noqa: ARG001 - held for writing from the run's first step on
    progress: dg.ResourceParam[ProgressDisplay],
) -> dg.MaterializeResult[None]:
    """Write what is missing; existing files are never touched."""
    home = home_folder.load()
    progress.step("Simulating the feeds that nobody publishes")
    missing = simulation.missing_feeds(home)
    written = simulation.simulate(home, on_progress=progress.advance) if missing and home.simulation else []
    note_what_is_read(home, context.run.run_id, landing_too=True)
    return dg.MaterializeResult(
        metadata={
            "simulated": bool(home.simulation),
            "missing_feeds": dg.MetadataValue.json([f"{park}/{feed}" for park, feed in missing]),
            "files_written": len(written),
        }
    )


@dg.multi_asset(
    name="terms",
    group_name="terms",
    specs=[
        dg.AssetSpec(raw_key(table), owners=OWNERS, kinds={"yaml", "duckdb"}, description=description)
        for table, description in terms_tables.TABLES.items()
    ],
    pool=WAREHOUSE_POOL,
)
def terms(
    context: dg.AssetExecutionContext,
    home_folder: HomeFolder,
    warehouse: Warehouse,
    progress: dg.ResourceParam[ProgressDisplay],
) -> Iterator[dg.MaterializeResult[None]]:
    """Write every park, contract, deal, vendor, policy and scenario as dated tables."""
    progress.step("Reading terms and reference data")
    home = home_folder.load()
    refuse_changes(home)
    if FORCED_TAG not in context.run.tags:
        refuse_clock_set_back(home)
    note_what_is_read(home, context.run.run_id)
    with warehouse.writer() as connection:
        counts = terms_tables.write_terms(connection, home)
    yield from _results(counts, terms_tables.TABLES)


@dg.multi_asset(
    name="reference",
    group_name="reference",
    specs=[
        dg.AssetSpec(
            raw_key(table.table),
            owners=OWNERS,
            kinds={"csv", "duckdb"},
            description=f"Reference data as in reference/{table.file}: one row per {', '.join(table.key)}.",
        )
        for table in reference.TABLES
    ],
    pool=WAREHOUSE_POOL,
)
def reference_data(
    context: dg.AssetExecutionContext, home_folder: HomeFolder, warehouse: Warehouse
) -> Iterator[dg.MaterializeResult[None]]:
    """Write exchange rates, yields, default rates, prices and issuers' filed figures."""
    home = home_folder.load()
    note_what_is_read(home, context.run.run_id)
    with warehouse.writer() as connection:
        counts = reference.write_reference(connection, home)
    yield from _results(counts, [table.table for table in reference.TABLES])


@dg.multi_asset(
    name="kept_journal",
    group_name="ledger",
    specs=[
        dg.AssetSpec(raw_key(table), owners=OWNERS, kinds={"parquet", "duckdb"}, description=description)
        for table, description in kept_journal.TABLES.items()
    ],
    pool=WAREHOUSE_POOL,
)
def sealed_journal(
    context: dg.AssetExecutionContext, home_folder: HomeFolder, warehouse: Warehouse
) -> Iterator[dg.MaterializeResult[None]]:
    """Read back from the lake what must outlive the warehouse: sealed months, landing times, reopenings."""
    home = home_folder.load()
    note_what_is_read(home, context.run.run_id)
    with warehouse.writer() as connection:
        counts = kept_journal.load(connection, home.path, home.clock_at)
    yield from _results(counts, kept_journal.TABLES)


# Documents that stand for a span of days; every other feed's rows belong to one day of their park.
SPANNING_FEEDS = ("leases", "lease_assignments")
DAILY_DOCUMENTS = tuple(feed for feed in CONTRACTS if feed not in (*DAILY_FEEDS, *SPANNING_FEEDS))
CATALOGUE = {
    "lake_file": "One row per Parquet file of the lake, by feed, park and service day.",
    "lake_node": "One row per node of a telemetry file that stands in the lake as delivered, with its tranche.",
    "lake_hour": "One row per park and hour of its clock that has a sample, with its service day.",
    "landed_file": "One row per landed file, with what became of its rows.",
    "quarantined_row": "One row per rejected row, with file, line, rule and the row itself.",
    "released_row": "One row per rejected row that was mended and landed in another file.",
    "held_partition": "One row per park, feed, day and blocking rule that holds the day back.",
    "row_warning": "One row per row that counts and breaks a rule which only warns.",
}


def documents(
    name: str, feeds: tuple[str, ...], after: tuple[str, ...], partitions: dg.PartitionsDefinition[str] | None = None
) -> dg.AssetsDefinition:
    """The assets of small feeds that land together: whatever files are new.

    Args:
        name: of the op.
        feeds: their names.
        after: raw tables that must be there before, for their rows are referred to.
        partitions: days, where each row belongs to one day.
    """

    @dg.multi_asset(
        name=name,
        group_name="feeds",
        specs=[
            dg.AssetSpec(
                raw_key(feed),
                owners=OWNERS,
                kinds={"polars", "duckdb"},
                deps=[SIMULATED_FEEDS, raw_key("kept_file"), *map(raw_key, after)],
                description=CONTRACTS[feed].description,
            )
            for feed in feeds
        ],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run() if partitions else None,
        pool=WAREHOUSE_POOL,
    )
    def feed_assets(
        home_folder: HomeFolder, warehouse: Warehouse, progress: dg.ResourceParam[ProgressDisplay]
    ) -> Iterator[dg.MaterializeResult[None]]:
        landed = _land(home_folder.load(), warehouse, progress, set(feeds))
        for feed in feeds:
            yield dg.MaterializeResult(
                asset_key=raw_key(feed), metadata=_landing_metadata([f for f in landed if f.feed == feed])
            )

    return feed_assets


def daily_feed(feed: str, partitions: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """The asset of a feed whose rows belong to a park and a service day.

    One run lands whatever files are pending, for all days of its range: a file may hold a day, a month or a
    single late hour, and its rows find their own day.
    """

    @dg.asset(
        key=raw_key(feed),
        group_name="feeds",
        owners=OWNERS,
        kinds={"polars", "parquet"},
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[SIMULATED_FEEDS, raw_key("kept_file"), raw_key("park"), raw_key("tranche"), raw_key("leases")],
        description=CONTRACTS[feed].description,
        pool=WAREHOUSE_POOL,
    )
    def feed_asset(
        home_folder: HomeFolder, warehouse: Warehouse, progress: dg.ResourceParam[ProgressDisplay]
    ) -> dg.MaterializeResult[None]:
        landed = _land(home_folder.load(), warehouse, progress, {feed})
        with warehouse.reader() as connection:
            days = _touched_days(connection, feed, [file.file_id for file in landed])
        return dg.MaterializeResult(metadata={**_landing_metadata(landed), **days})

    return feed_asset


def landing_catalogue() -> dg.AssetsDefinition:
    """What the landings of all feeds have written about themselves."""

    @dg.multi_asset(
        name="landing_catalogue",
        group_name="feeds",
        specs=[
            dg.AssetSpec(
                raw_key(table), owners=OWNERS, kinds={"duckdb"}, deps=[raw_key(f) for f in CONTRACTS], description=text
            )
            for table, text in CATALOGUE.items()
        ],
        pool=WAREHOUSE_POOL,
    )
    def catalogue(home_folder: HomeFolder, warehouse: Warehouse) -> Iterator[dg.MaterializeResult[None]]:
        with warehouse.reader() as connection:
            lake.stop_at_damage(connection, home_folder.load().path)
            counts = {
                table: connection.sql(f"SELECT count(*) FROM raw.{table}").fetchall()[0][0] for table in CATALOGUE
            }
        yield from _results(counts, CATALOGUE)

    return catalogue


def _land(home: Home, warehouse: Warehouse, progress: ProgressDisplay, feeds: set[str]) -> list[landing.LandedFile]:
    with warehouse.writer() as connection:
        landing.create_raw_tables(connection)
        files = [file for file in landing.pending(connection, home) if file.feed in feeds]
        what = next(iter(feeds)).replace("_", " ") if len(feeds) == 1 else "document"
        progress.step(f"Landing {len(files)} new {what} files")
        return landing.land(connection, home, files, on_progress=progress.advance)


def _touched_days(connection: duckdb.DuckDBPyConnection, feed: str, file_ids: list[str]) -> dict[str, int | list[str]]:
    """The park-days that have rows of some files."""
    days = (
        "SELECT park_id, service_date FROM raw.lake_file WHERE list_contains(?, file_id)"
        if CONTRACTS[feed].in_lake
        else "SELECT park_id, timezone(park.time_zone, interval_start_at)::DATE FROM raw.power_meter AS meter "
        "JOIN raw.park AS park USING (park_id) WHERE list_contains(?, meter.file_id)"
    )
    found = connection.execute(f"SELECT DISTINCT * FROM ({days}) ORDER BY ALL", [file_ids]).fetchall()
    return {
        "touched_park_days": len(found),
        "first_touched_park_days": [f"{park_id} {day.isoformat()}" for park_id, day in found[: park_days.LISTED]],
    }


def _landing_metadata(landed: Iterable[landing.LandedFile]) -> dict[str, int]:
    files = list(landed)
    return {
        "files": len(files),
        "dagster/row_count": sum(f.row_count for f in files),
        "landed": sum(f.landed_count for f in files),
        "duplicate": sum(f.duplicate_count for f in files),
        "superseded": sum(f.superseded_count for f in files),
        "quarantined": sum(f.quarantined_count for f in files),
    }


def _results(counts: dict[str, int], tables: Iterable[str]) -> Iterator[dg.MaterializeResult[None]]:
    for table in tables:
        yield dg.MaterializeResult(asset_key=raw_key(table), metadata={"dagster/row_count": counts.get(table, 0)})
