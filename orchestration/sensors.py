"""What starts a run when something happens, a new file in landing; and what is done when a run has failed."""

import hashlib
import json

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ingest.landing import scan
from orchestration import alerting
from orchestration.assets.publish import TRIGGER_TAG
from orchestration.partitions import range_tags
from orchestration.resources import HomeFolder
from orchestration.retries import RETRIED, reason_of
from orchestration.settings import Settings
from orchestration.state import landing_is_published

# A run takes seconds to start, and a new file is to be acted upon within the minute.
SENSOR_INTERVAL_SECONDS = 20


def new_file_sensor(job: UnresolvedAssetJobDefinition, settings: Settings) -> dg.SensorDefinition:
    """A file that was not there at the last look, or that has changed, starts one settlement run."""

    @dg.sensor(
        name="new_landing_file",
        job=job,
        minimum_interval_seconds=SENSOR_INTERVAL_SECONDS,
        description="Starts a settlement when the landing folder's listing has changed and no run has landed it yet.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(context: dg.SensorEvaluationContext, home_folder: HomeFolder) -> dg.SensorResult | dg.SkipReason:
        home = home_folder.load()
        files = {file.relative_path: [file.size_bytes, file.mtime_ns] for file in scan(home)}
        listing = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
        if listing == context.cursor:
            return dg.SkipReason(f"Nothing new among {len(files)} landing files")
        if not files:
            return dg.SkipReason("No file has been dropped yet")
        if landing_is_published(settings, home):
            context.update_cursor(listing)
            return dg.SkipReason(f"All {len(files)} landing files are in the published snapshot")
        tags = {**range_tags(home), TRIGGER_TAG: "sensor:new_landing_file", **RETRIED}
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=listing, tags=tags)], cursor=listing)

    return sensor


def failed_run_sensor(settings: Settings) -> dg.SensorDefinition:
    """A run that has failed for good is told to those who are told of alerts; what was published stays."""

    @dg.run_failure_sensor(
        name="failed_run",
        minimum_interval_seconds=SENSOR_INTERVAL_SECONDS,
        description="Raises an alert of a run that failed and is not tried again, and tells the channels of alerts.yaml.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        run = context.dagster_run
        if run.is_complete_and_waiting_to_retry:
            return dg.SkipReason(f"Run {run.run_id} is tried again")
        said = [reason_of(event) for event in context.get_step_failure_events()]
        alerting.raise_failed_run(settings, run.job_name, "; ".join(said) or context.failure_event.message or "")
        alerting.deliver(settings)
        return None

    return sensor
