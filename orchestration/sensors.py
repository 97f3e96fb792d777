"""What starts a run when something happens: a new file in landing."""

import hashlib
import json

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ingest.landing import scan
from orchestration.assets.publish import TRIGGER_TAG
from orchestration.partitions import range_tags
from orchestration.resources import HomeFolder

SENSOR_INTERVAL_SECONDS = 60


def new_file_sensor(job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """A file that was not there at the last look, or that has changed, starts one settlement run."""

    @dg.sensor(
        name="new_landing_file",
        job=job,
        minimum_interval_seconds=SENSOR_INTERVAL_SECONDS,
        description="Starts a settlement when the landing folder's listing has changed.",
    )
    def sensor(context: dg.SensorEvaluationContext, home_folder: HomeFolder) -> dg.SensorResult | dg.SkipReason:
        home = home_folder.load()
        files = {file.relative_path: [file.size_bytes, file.mtime_ns] for file in scan(home)}
        listing = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
        if listing == context.cursor:
            return dg.SkipReason(f"Nothing new among {len(files)} landing files")
        request = dg.RunRequest(run_key=listing, tags={**range_tags(home), TRIGGER_TAG: "sensor:new_landing_file"})
        return dg.SensorResult(run_requests=[request], cursor=listing)

    return sensor
