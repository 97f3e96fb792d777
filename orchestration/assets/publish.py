"""Write, audit, publish: the candidate snapshot, then the published one, then the investor monitor and the alerts."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from ingest.terms.home import Home
from orchestration import alerting
from orchestration.assets.close import CLOSE_STATEMENT
from orchestration.assets.raw import OWNERS, WAREHOUSE_POOL
from orchestration.identity import code_version, inputs_of, run_id
from orchestration.keeping import keep
from orchestration.polars_jobs.frames import month_end
from orchestration.publishing import snapshot
from orchestration.resources import HomeFolder, ProgressDisplay, Warehouse
from orchestration.settings import DBT_PROJECT, Settings
from orchestration.state import remember

CANDIDATE = dg.AssetKey(["published", "candidate"])
KEPT_JOURNAL = dg.AssetKey(["ledger", "kept_journal"])
SNAPSHOT = dg.AssetKey(["published", "snapshot"])
MONITOR = dg.AssetKey(["published", "monitor"])
ALERTS = dg.AssetKey(["published", "alerts"])
MONTHLY_REPORT = dg.AssetKey(["published", "monthly_report"])

CHECK_RESULT_COLUMNS = (
    "run_id VARCHAR, check_name VARCHAR, table_name VARCHAR, severity VARCHAR, "
    "passed BOOLEAN, measured VARCHAR, expected VARCHAR"
)
RUN_COLUMNS = (
    "run_id VARCHAR, started_at TIMESTAMPTZ, finished_at TIMESTAMPTZ, trigger VARCHAR, code_version VARCHAR, as_of DATE, "
    "rows_in BIGINT, rows_out BIGINT"
)
TRIGGER_TAG = "parkledger/trigger"


def publish_assets(settings: Settings, upstream: list[dg.AssetKey], *, is_live: bool) -> list[dg.AssetsDefinition]:
    """The assets at the end of the house."""

    @dg.asset(
        key=CANDIDATE,
        group_name="published",
        owners=OWNERS,
        kinds={"duckdb"},
        deps=upstream,
        pool=WAREHOUSE_POOL,
        description="The next snapshot, written beside the published one and audited before it replaces it.",
    )
    def candidate(warehouse: Warehouse, progress: dg.ResourceParam[ProgressDisplay]) -> dg.MaterializeResult[None]:
        progress.step("Writing the next snapshot")
        counts = write_candidate(settings, warehouse)
        return dg.MaterializeResult(metadata={"tables": len(counts), "dagster/row_count": sum(counts.values())})

    @dg.asset(
        key=KEPT_JOURNAL,
        group_name="ledger",
        owners=OWNERS,
        kinds={"parquet"},
        deps=[CANDIDATE],
        pool=WAREHOUSE_POOL,
        description="Append-only Parquet of the closed months' lines, with state hashes and landed files: the one thing that a "
        "full refresh could not bring back. To be backed up.",
    )
    def kept(home_folder: HomeFolder, warehouse: Warehouse) -> dg.MaterializeResult[None]:
        batch = keep_candidate(settings, home_folder.load(), warehouse)
        return dg.MaterializeResult(metadata={"batch": batch.name if batch else "nothing new"})

    @dg.asset(
        key=SNAPSHOT,
        group_name="published",
        owners=OWNERS,
        kinds={"duckdb", "parquet"},
        deps=[CANDIDATE, KEPT_JOURNAL],
        pool=WAREHOUSE_POOL,
        # Of a home that lives today: published each morning of each park, so a day and a half without is a fault.
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=timedelta(hours=36), warn_window=timedelta(hours=26)
        )
        if is_live
        else None,
        description="The published snapshot: read-only DuckDB, Parquet copies and manifest, all of one run.",
    )
    def published(
        context: dg.AssetExecutionContext,
        home_folder: HomeFolder,
        warehouse: Warehouse,
        progress: dg.ResourceParam[ProgressDisplay],
    ) -> dg.MaterializeResult[None]:
        progress.step("Publishing")
        trigger = context.run.tags.get(TRIGGER_TAG, "schedule")
        manifest = publish_candidate(settings, home_folder.load(), warehouse, trigger)
        return dg.MaterializeResult(
            metadata={
                "run_id": manifest["run_id"],
                "tables": len(manifest["tables"]),
                "path": dg.MetadataValue.path(str(settings.published_path)),
            }
        )

    @dg.asset(
        key=MONITOR,
        group_name="published",
        owners=OWNERS,
        kinds={"html", "pdf"},
        deps=[SNAPSHOT],
        description="The investor monitor as self-contained HTML page, PDF and workbook, drawn from the published snapshot.",
    )
    def monitor(
        context: dg.AssetExecutionContext, home_folder: HomeFolder, progress: dg.ResourceParam[ProgressDisplay]
    ) -> dg.MaterializeResult[None]:
        progress.step("Drawing the investor monitor")
        from orchestration.publishing.report import write_monitor  # noqa: PLC0415 - charts take a second to import

        path, *_ = write_monitor(settings.published_folder, settings.reports_folder)
        remember(home_folder.load(), context.run.run_id)
        return dg.MaterializeResult(
            metadata={"report": dg.MetadataValue.url(path.resolve().as_uri()), "bytes": path.stat().st_size}
        )

    @dg.asset(
        key=ALERTS,
        group_name="published",
        owners=OWNERS,
        kinds={"python"},
        deps=[SNAPSHOT],
        description="Notices of alerts raised and cleared, to the channels of alerts.yaml. What cannot be sent waits for the next run.",
    )
    def alerts(
        context: dg.AssetExecutionContext, progress: dg.ResourceParam[ProgressDisplay]
    ) -> dg.MaterializeResult[None]:
        progress.step("Telling of alerts")
        alerting.clear_failed_run(settings, context.run.job_name)
        told = alerting.deliver(settings)
        for delivery in told:
            if delivery.error:
                context.log.warning(f"{delivery.channel_id} was not told: {delivery.error}")
        return dg.MaterializeResult(
            metadata={
                "sent": sum(delivery.sent_count for delivery in told),
                "waiting": sum(delivery.waiting_count for delivery in told),
            }
        )

    return [candidate, kept, published, monitor, alerts]


def monthly_report(settings: Settings, months: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """The investor monitor and the sheets of each stated month."""

    @dg.asset(
        key=MONTHLY_REPORT,
        group_name="published",
        owners=OWNERS,
        kinds={"html", "pdf"},
        partitions_def=months,
        deps=[SNAPSHOT, CLOSE_STATEMENT],
        description="The investor monitor and every operator's, lender's and tenant's sheet as of the last day of a month, once its "
        "books are stated, under reports/monthly.",
    )
    def report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        from orchestration.publishing.report import write_every_report  # noqa: PLC0415 - charts take a second to import

        day = month_end(date.fromisoformat(context.partition_key))
        *sheets, page, _, _ = write_every_report(settings.published_folder, settings.monthly_reports_folder, day)
        alerting.clear_failed_run(settings, context.run.job_name)
        return dg.MaterializeResult(
            metadata={"report": dg.MetadataValue.url(page.resolve().as_uri()), "sheet_files": len(sheets)}
        )

    return report


def write_candidate(settings: Settings, warehouse: Warehouse) -> dict[str, int]:
    """Write the next snapshot beside the published one; row counts by table."""
    descriptions = snapshot.described_by_dbt(DBT_PROJECT / "target" / "manifest.json")
    path = Path(warehouse.path)
    return snapshot.write_candidate(path, settings.published_folder, descriptions, warehouse.memory_limit)


def keep_candidate(settings: Settings, home: Home, warehouse: Warehouse) -> Path | None:
    """Keep the closed months of the candidate in the lake; the new batch, or None where nothing is new."""
    database = snapshot.candidate_folder(settings.published_folder) / snapshot.DATABASE
    about = {"run_id": _run_id(home, warehouse), "clock_at": home.clock_at.isoformat(), "act": "published"}
    return keep(settings, database, about)


def publish_candidate(settings: Settings, home: Home, warehouse: Warehouse, trigger: str) -> dict[str, Any]:
    """Say in the candidate what the run has to say of itself, and swap it in; the manifest.

    Args:
        settings: where the home stands.
        home: the loaded home.
        warehouse: the working database.
        trigger: what started the run.
    """
    run = _run_id(home, warehouse)
    rows_in, rows_out = _row_counts(warehouse, settings.published_folder)
    checks = [(run, *row) for row in _check_results(warehouse)]
    snapshot.add_tables(
        settings.published_folder,
        {
            "quality.fct_check_result": (CHECK_RESULT_COLUMNS, checks),
            "quality.fct_run": (
                RUN_COLUMNS,
                [(run, home.clock_at, home.clock_at, trigger, code_version(), home.as_of_date, rows_in, rows_out)],
            ),
        },
    )
    kept = snapshot.Kept(home.policies.kept_snapshots, home.policies.kept_month_ends)
    return snapshot.publish_candidate(settings.published_folder, _about(home, run), kept)


def _run_id(home: Home, warehouse: Warehouse) -> str:
    with warehouse.reader() as connection:
        return run_id(home, [row[0] for row in connection.sql("SELECT file_id FROM raw.landed_file").fetchall()])


def _check_results(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    with warehouse.reader() as connection:
        return connection.sql(
            "SELECT check_name, table_name, severity, passed, measured, expected FROM quality.check_result ORDER BY ALL"
        ).fetchall()


def _row_counts(warehouse: Warehouse, published: Path) -> tuple[int, int]:
    with warehouse.reader() as connection:
        rows_in = connection.sql("SELECT coalesce(sum(row_count), 0)::BIGINT FROM raw.landed_file").fetchall()[0][0]
    with duckdb.connect(str(snapshot.candidate_folder(published) / snapshot.DATABASE), read_only=True) as connection:
        rows_out = connection.sql("SELECT coalesce(sum(estimated_size), 0)::BIGINT FROM duckdb_tables()").fetchall()[0][
            0
        ]
    return int(rows_in), int(rows_out)


def _about(home: Home, run: str) -> dict[str, object]:
    return {
        "run_id": run,
        "title": home.title,
        "prepared_by": home.policies.prepared_by,
        "as_of": home.as_of_date.isoformat(),
        "clock_at": home.clock_at.isoformat(),
        "reporting_currency_code": home.reporting_currency_code,
        "is_simulated": home.simulation is not None,
        "simulation_note": home.simulation.note if home.simulation else None,
        "inputs": inputs_of(home.path),
        "versions": {"parkledger": code_version(), "duckdb": duckdb.__version__, "storage": snapshot.STORAGE_VERSION},
    }
