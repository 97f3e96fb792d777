"""Dagster's schedules, made of the timetable: settlement each morning in each park's zone, the close and the report of a
month once it is over. They are on from the start, and they catch up: each looks for what is missing by now, not for what
its hour was meant for.
"""

from collections.abc import Callable
from datetime import date

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ingest.terms.home import Home, computer_now
from ingest.terms.park import Park
from orchestration import timetable
from orchestration.assets.publish import TRIGGER_TAG
from orchestration.keeping import months_to_report, months_to_state
from orchestration.partitions import range_tags
from orchestration.retries import RETRIED
from orchestration.settings import Settings
from orchestration.state import is_current, load


def settlement_schedule(park: Park, job: UnresolvedAssetJobDefinition, settings: Settings) -> dg.ScheduleDefinition:
    """One run over all days each morning of the park's clock; after a standstill one, not one a morning missed."""
    timing = timetable.settlement(park)

    @dg.schedule(
        name=timing.name,
        job=job,
        cron_schedule=timing.cron,
        execution_timezone=timing.time_zone,
        description=timing.description,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        later = timing.next_look_after(context.scheduled_execution_time)
        if later <= computer_now():
            return dg.SkipReason(f"Missed; the settlement of {later.isoformat()} lands what this one would have")
        if is_current(settings):
            return dg.SkipReason("Nothing is new since what is published")
        day = context.scheduled_execution_time.date().isoformat()
        tags = {**range_tags(load(settings)), TRIGGER_TAG: f"schedule:{park.park_id}", **RETRIED}
        return dg.RunRequest(run_key=f"{park.park_id}:{day}", tags=tags)

    return schedule


def close_schedule(job: UnresolvedAssetJobDefinition, home: Home, settings: Settings) -> dg.ScheduleDefinition:
    """One run for each month that has closed and is not stated yet."""
    return _monthly(timetable.close(home), job, lambda: months_to_state(settings), "schedule:close")


def report_schedule(job: UnresolvedAssetJobDefinition, home: Home, settings: Settings) -> dg.ScheduleDefinition:
    """One run for each stated month whose report is not drawn yet."""
    return _monthly(timetable.monthly_report(home), job, lambda: months_to_report(settings), "schedule:report")


def _monthly(
    timing: timetable.Timing,
    job: UnresolvedAssetJobDefinition,
    missing: Callable[[], list[date]],
    trigger: str,
) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=timing.name,
        job=job,
        cron_schedule=timing.cron,
        execution_timezone=timing.time_zone,
        description=timing.description,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        months = missing()
        if not months:
            return dg.SkipReason("No month has closed that is not done yet")
        looked = context.scheduled_execution_time.date().isoformat()
        return [
            # The day is in the key: a month that failed, or was reopened since, is asked for again the next day.
            dg.RunRequest(
                run_key=f"{month.isoformat()}:{looked}",
                partition_key=month.isoformat(),
                tags={TRIGGER_TAG: trigger, **RETRIED},
            )
            for month in months
        ]

    return schedule
