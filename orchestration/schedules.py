"""Dagster's schedules, made of the timetable: settlement each morning in each park's zone, the close once a month is over."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ingest.terms.home import Home
from ingest.terms.park import Park
from orchestration import timetable
from orchestration.assets.publish import TRIGGER_TAG
from orchestration.partitions import range_tags


def settlement_schedule(park: Park, job: UnresolvedAssetJobDefinition, home: Home) -> dg.ScheduleDefinition:
    """One run over all park-days each morning of the park's clock."""
    timing = timetable.settlement(park)

    @dg.schedule(
        name=timing.name,
        job=job,
        cron_schedule=timing.cron,
        execution_timezone=timing.time_zone,
        description=timing.description,
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = context.scheduled_execution_time.date().isoformat()
        tags = {**range_tags(home), TRIGGER_TAG: f"schedule:{park.park_id}"}
        return dg.RunRequest(run_key=f"{park.park_id}:{day}", tags=tags)

    return schedule


def close_schedule(job: UnresolvedAssetJobDefinition, home: Home) -> dg.ScheduleDefinition:
    """One run that states the month before."""
    timing = timetable.close(home)

    @dg.schedule(
        name=timing.name,
        job=job,
        cron_schedule=timing.cron,
        execution_timezone=timing.time_zone,
        description=timing.description,
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        today = context.scheduled_execution_time.date()
        month = today.replace(
            year=today.year - (today.month == 1), month=12 if today.month == 1 else today.month - 1, day=1
        )
        return dg.RunRequest(
            run_key=month.isoformat(), partition_key=month.isoformat(), tags={TRIGGER_TAG: "schedule:close"}
        )

    return schedule
