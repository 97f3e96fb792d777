"""Everything Dagster knows of a home, assembled once: ``build_definitions(settings)``.

``dagster definitions validate -m orchestration.definitions`` and ``make serve`` load ``defs`` for the home of the
environment (``PARKLEDGER_HOME``).
"""

from typing import Any

import dagster as dg

from orchestration.assets import close, credit, publish, raw, warehouse
from orchestration.checks import arrival_check, audit, blocking_rules, plausibility
from orchestration.expectations.covered import BUILT, DERIVED
from orchestration.partitions import day_partitions, month_partitions
from orchestration.resources import HomeFolder, SilentProgress, Warehouse
from orchestration.retries import no_retry_of_what_would_fail_again
from orchestration.schedules import close_schedule, report_schedule, settlement_schedule
from orchestration.sensors import failed_run_sensor, new_file_sensor
from orchestration.settings import DBT_PROJECT, Settings
from orchestration.state import load
from orchestration.timetable import DAILY_FEEDS

SETTLEMENT = "settlement"
CLOSE = "monthly_close"
REPORT = "monthly_report"


def build_definitions(settings: Settings, resources: dict[str, Any] | None = None) -> dg.Definitions:
    """Assets, checks, jobs, schedules and sensors of one home.

    Args:
        settings: paths and limits.
        resources: replacements by name, for tests and for the progress display.

    Raises:
        TermsError: the home cannot be read.
    """
    home = load(settings)
    warehouse.point_dbt_at(settings)
    project = warehouse.dbt_project()
    days = day_partitions(home)
    landing = [
        raw.simulated_feeds,
        raw.terms,
        raw.reference_data,
        raw.sealed_journal,
        raw.documents("spanning_documents", raw.SPANNING_FEEDS, after=("park", "tranche", "contract")),
        raw.documents("daily_documents", raw.DAILY_DOCUMENTS, after=("contract", "leases"), partitions=days),
        *(raw.daily_feed(feed, days) for feed in DAILY_FEEDS),
        raw.landing_catalogue(),
    ]
    ledgers = warehouse.warehouse_assets(settings, project)
    jobs = credit.credit_assets()
    upstream = [
        *ledgers.keys,
        *(key for job in jobs for key in job.keys),
        *(raw.raw_key(table) for table in raw.CATALOGUE if table != "lake_file"),
    ]
    published = publish.publish_assets(settings, upstream, is_live=home.is_live)
    months = month_partitions(home)
    statement, report = close.close_asset(settings, months), publish.monthly_report(settings, months)
    hooks = {no_retry_of_what_would_fail_again}
    settle = dg.define_asset_job(
        SETTLEMENT,
        selection=dg.AssetSelection.all() - dg.AssetSelection.assets(*statement.keys, *report.keys),
        hooks=hooks,
        description="Land what is new, build the ledgers, derive credit loss, audit and publish.",
    )
    month_close = dg.define_asset_job(
        CLOSE,
        selection=dg.AssetSelection.assets(close.CLOSE_STATEMENT),
        hooks=hooks,
        description="State the books of a closed month.",
    )
    month_report = dg.define_asset_job(
        REPORT,
        selection=dg.AssetSelection.assets(publish.MONTHLY_REPORT),
        hooks=hooks,
        description="Draw the investor monitor and the sheets of a stated month.",
    )
    return dg.Definitions(
        assets=[*landing, ledgers, *jobs, *published, statement, report],
        asset_checks=[
            blocking_rules(),
            *(arrival_check(feed, settings) for feed in DAILY_FEEDS),
            plausibility("plausibility", BUILT),
            plausibility("plausibility_of_derived_tables", DERIVED, before_publishing=True),
            audit(settings),
        ],
        jobs=[settle, month_close, month_report],
        schedules=[
            *(settlement_schedule(park, settle, settings) for park in home.parks.values()),
            close_schedule(month_close, home, settings),
            report_schedule(month_report, home, settings),
        ],
        sensors=[new_file_sensor(settle, settings), failed_run_sensor(settings)],
        # Steps write one after the other anyway, and each process of its own would import Dagster and dbt anew.
        executor=dg.in_process_executor,
        resources={
            "home_folder": HomeFolder(path=str(settings.home), as_of=settings.as_of),
            "warehouse": Warehouse(
                path=str(settings.warehouse_path), memory_limit=settings.memory_limit, threads=settings.threads
            ),
            "dbt": warehouse.DbtBesidePython(project_dir=str(DBT_PROJECT), profiles_dir=str(DBT_PROJECT)),
            "progress": SilentProgress(),
            **(resources or {}),
        },
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The home of the environment."""
    return build_definitions(Settings())
