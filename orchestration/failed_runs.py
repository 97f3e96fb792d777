"""Runs that failed for good: noted beside the home's working files, for `parkledger status`.

They are no rows of ``monitor.fct_alert``: a failed run publishes nothing, and the same home gives the same tables
whether or not a run of it has failed.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ingest.terms.home import computer_now
from orchestration.settings import Settings


@dataclass(frozen=True)
class FailedRun:
    """One run that was given up.

    Attributes:
        dagster_run_id: Dagster's.
        job: settlement, monthly_close, monthly_report.
        reason: what the failed steps said.
        failed_at: ISO, UTC, by the computer's clock; set when it is told.
    """

    dagster_run_id: str
    job: str
    reason: str
    failed_at: str = ""


def tell(settings: Settings, run: FailedRun) -> None:
    """Note a failed run, in one line of ``.parkledger/failed_runs.jsonl``."""
    noted = asdict(run) | {"failed_at": computer_now().isoformat(timespec="seconds")}
    path = _path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(noted, ensure_ascii=False) + "\n")


def failed_runs(settings: Settings) -> list[FailedRun]:
    """Every run noted, the earliest first."""
    path = _path(settings)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [FailedRun(**json.loads(line)) for line in lines]


def _path(settings: Settings) -> Path:
    return settings.home / ".parkledger" / "failed_runs.jsonl"
