"""When things run by themselves: settlement each morning in each park's zone, the close once a month is over."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ingest.terms.home import Home
from orchestration.assets.publish import TRIGGER_TAG
from orchestration.partitions import range_tags

SETTLEMENT_HOUR = 5  # operators deliver the day before by about 02:00 of their clock


def settlement_schedule(
    park_id: str, time_zone: str, job: UnresolvedAssetJobDefinition, home: Home
) -> dg.ScheduleDefinition:
    """Each morning of the park's clock: land what has come and settle."""

    @dg.schedule(
        name=f"daily_settlement_{park_id.replace('-', '_')}",
        job=job,
        cron_schedule=f"0 {SETTLEMENT_HOUR} * * *",
        execution_timezone=time_zone,
        description=f"Daily settlement at {SETTLEMENT_HOUR:02d}:00 of {time_zone}, after the day's files of {park_id}.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = context.scheduled_execution_time.date().isoformat()
        tags = {**range_tags(home), TRIGGER_TAG: f"schedule:{park_id}"}
        return dg.RunRequest(run_key=f"{park_id}:{day}", tags=tags)

    return schedule


def close_schedule(job: UnresolvedAssetJobDefinition, home: Home) -> dg.ScheduleDefinition:
    """The day after the close policy's last day: state the month's books."""
    day = home.policies.close_after_days + 1

    @dg.schedule(
        name="monthly_close",
        job=job,
        cron_schedule=f"0 12 {day} * *",
        description=f"On day {day} of a month: the statement of the month before, which has closed by then.",
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
