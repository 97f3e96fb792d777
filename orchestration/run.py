"""Run a Dagster job of a home in this process: the same assets, checks and job that a schedule runs."""

import contextlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from orchestration import alerting
from orchestration.assets.publish import SNAPSHOT, TRIGGER_TAG
from orchestration.assets.raw import FORCED_TAG
from orchestration.checks import BLOCKING_RULES
from orchestration.definitions import CLOSE, SETTLEMENT, build_definitions
from orchestration.event_log import EVENT_BATCH_SIZE
from orchestration.launching import process_tag
from orchestration.partitions import Days, range_tags
from orchestration.remedies import explained
from orchestration.resources import ProgressDisplay
from orchestration.retries import reason_of
from orchestration.settings import Settings
from orchestration.state import load
from orchestration.writing import only_writer

QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
SQLITE_STORAGE = """\
event_log_storage:
  module: orchestration.event_log
  class: KeptEngineEventLogStorage
  config:
    base_dir: {history}
"""
POSTGRES_STORAGE = """\
storage:
  postgres:
    postgres_url:
      env: PARKLEDGER_DAGSTER_POSTGRES_URL
"""
INSTANCE_CONFIG = """\
# Written by parkledger; Dagster's own instance of this home.
{storage}\
# One run at a time; runs that are asked for meanwhile wait in the queue.
concurrency:
  runs:
    max_concurrent_runs: 1
  pools:
    default_limit: 1
run_launcher:
  module: orchestration.launching
  class: HomeRunLauncher
# A run whose process has died is found and, where nobody waits for it, tried again.
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
  poll_interval_seconds: 30
  free_slots_after_run_end_seconds: 60
run_retries:
  enabled: true
  max_retries: 0
freshness:
  enabled: true
retention:
  schedule:
    purge_after_days: 90
  sensor:
    purge_after_days: {{skipped: 7, failure: 30, success: 90}}
telemetry:
  enabled: false
# No window that asks whoever opens the page for an address of mail.
nux:
  enabled: false
"""


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        succeeded: everything ran and every blocking check passed.
        published: the snapshot was swapped in, whatever failed after it.
        failed_checks: what each failed check says.
        errors: messages of steps that failed otherwise.
        warnings: what is held back, and why.
        log_path: where tools' own output went.
        refusal: what the machine or the home refused, with the way back, where that is what ended the run.
    """

    succeeded: bool
    published: bool = False
    failed_checks: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    log_path: Path | None = None
    refusal: str | None = None


def prepare_instance(settings: Settings) -> Path:
    """Make Dagster's folder of a home, with its configuration."""
    folder = settings.dagster_folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dagster.yaml").write_text(instance_config(settings), encoding="utf-8")
    return folder


def instance_config(settings: Settings) -> str:
    """``dagster.yaml`` of a home. An address of a database is taken from the environment and not written.

    Raises:
        ModuleNotFoundError: PostgreSQL is asked for, and what Dagster needs for it is not installed.
    """
    if settings.dagster_postgres_url is None:
        history = settings.dagster_folder.resolve() / "history"
        return INSTANCE_CONFIG.format(storage=SQLITE_STORAGE.format(history=history))
    if importlib.util.find_spec("dagster_postgres") is None:
        raise ModuleNotFoundError(
            "PARKLEDGER_DAGSTER_POSTGRES_URL is set, and dagster-postgres is not installed: "
            'pip install "dagster-postgres>=0.29,<0.30" psycopg2-binary'
        )
    return INSTANCE_CONFIG.format(storage=POSTGRES_STORAGE)


def instance_environment(settings: Settings) -> dict[str, str]:
    """What Dagster reads from the environment: where its instance is, and how many events it stores at a time."""
    return {"DAGSTER_HOME": str(prepare_instance(settings)), "DAGSTER_EVENT_BATCH_SIZE": str(EVENT_BATCH_SIZE)}


def settle(
    settings: Settings, progress: ProgressDisplay, trigger: str, days: Days | None = None, *, force: bool = False
) -> RunOutcome:
    """Land what is new, build, derive, audit and publish, as one run over all park-days.

    Args:
        settings: where the home stands.
        progress: what is shown meanwhile.
        trigger: who asks for it.
        days: first and last of a range whose telemetry is read again from the lake.
        force: run also where the computer's clock stands before that of the last run.
    """
    forced = {FORCED_TAG: "yes"} if force else {}
    tags = {**range_tags(load(settings), days), TRIGGER_TAG: trigger, **forced}
    return _execute(settings, SETTLEMENT, progress, tags=tags)


def close_month(settings: Settings, progress: ProgressDisplay, month: str) -> RunOutcome:
    """State the books of a closed month (its first day, ISO)."""
    return _execute(settings, CLOSE, progress, tags={TRIGGER_TAG: "command line"}, partition_key=month)


def _execute(
    settings: Settings, job: str, progress: ProgressDisplay, tags: dict[str, str], partition_key: str | None = None
) -> RunOutcome:
    os.environ.update(instance_environment(settings))
    log_path = settings.home / ".parkledger" / "run.log"
    with only_writer(settings.home, on_wait=progress.advance), _tools_write_to(log_path):
        definitions = build_definitions(settings, resources={"progress": progress})
        with dg.DagsterInstance.get() as instance:
            result = definitions.resolve_job_def(job).execute_in_process(
                instance=instance,
                tags=tags | process_tag(),
                partition_key=partition_key,
                raise_on_error=False,
                run_config=QUIET,
            )
            failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
            checks = [e for e in failed if e.severity is dg.AssetCheckSeverity.ERROR]
            failures = [e for e in result.all_events if e.is_step_failure]
            for event in failures:
                traceback_text = event.step_failure_data.error.to_string() if event.step_failure_data.error else ""
                print(traceback_text, file=sys.stderr)
    texts = [failure.step_failure_data.error.to_string() for failure in failures if failure.step_failure_data.error]
    errors = [f"{e.step_key}: {reason_of(e)}" for e in failures]
    failed_checks = [f"{e.asset_key.to_user_string()} {e.check_name}: {e.description or ''}" for e in checks]
    if not result.success:
        alerting.raise_failed_run(settings, job, "; ".join(failed_checks or errors))
        alerting.deliver(settings)
    return RunOutcome(
        succeeded=result.success,
        published=any(e.asset_key == SNAPSHOT for e in result.get_asset_materialization_events()),
        failed_checks=failed_checks,
        errors=errors,
        warnings=[e.description or "" for e in failed if e.check_name == BLOCKING_RULES],
        log_path=log_path,
        refusal=next(filter(None, (explained(text, settings) for text in texts)), None) if not checks else None,
    )


@contextlib.contextmanager
def _tools_write_to(path: Path) -> Iterator[None]:
    """dbt, Dagster and Great Expectations print as they please; their words go to a log file beside the run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            yield
        except Exception:
            traceback.print_exc(file=log)
            raise
