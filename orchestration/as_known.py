"""A snapshot as known at an earlier moment, the end of a day or any instant: the same pipeline over the same files, its
clock stopped there.

Knowledge stands in every row (`recorded_at`), so what was recorded later is not seen; nothing is rebuilt by other rules
than those of a run. It stands apart under ``.parkledger/known/<moment>`` and is kept there until the home's files change.
"""

import os
import shutil
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from orchestration.resources import ProgressDisplay
from orchestration.run import RunOutcome, settle
from orchestration.settings import Settings
from orchestration.state import is_current, load

# What a run makes; all else was written by the user or the operators. The sealed journal is an input of later runs.
_MADE = (
    "lake",
    "published",
    "reports",
    "quarantine",
    "dagster",
    ".parkledger",
    "warehouse.duckdb",
    "warehouse.duckdb.wal",
)


def moment_text(moment: date | datetime) -> str:
    """A moment in the name of a file: 2027-09-30, or 2027-09-30T120000Z."""
    return f"{moment:%Y-%m-%dT%H%M%SZ}" if isinstance(moment, datetime) else moment.isoformat()


def known_home(
    settings: Settings, moment: date | datetime, progress: ProgressDisplay
) -> tuple[Settings, RunOutcome | None]:
    """The home as known at an instant, or at the end of a day (UTC), built and published, and how its run ended; None where
    none was needed.

    Raises:
        ValueError: the moment lies after the home's clock.
    """
    own = settings.model_copy(update={"as_of": "home"})  # --as-of asks for a month here, not for another clock
    home = load(own)
    end = moment if isinstance(moment, datetime) else datetime.combine(moment + timedelta(days=1), time(), UTC)
    if end > home.clock_at and moment != home.as_of_date:
        raise ValueError(f"the home's clock stands at {home.clock_at.isoformat()}: nothing is known yet of {moment}")
    if moment in {home.as_of_date, home.clock_at} and is_current(own):
        return own, None
    apart = settings.home / ".parkledger" / "known" / moment_text(moment)
    _mirror(settings.home, apart)
    then = settings.model_copy(update={"home": apart, "as_of": moment.isoformat()})
    if is_current(then):
        return then, None
    progress.step(f"Running the books as known at {moment_text(moment)}")
    return then, settle(then, progress, trigger="command line")


def _mirror(home: Path, target: Path) -> None:
    """Make the inputs of one home those of another: files gone are gone there too, what a run made there stays."""
    for name in sorted(
        {one.name for folder in (home, target) if folder.exists() for one in folder.iterdir()} - {*_MADE}
    ):
        _copy(home / name, target / name)
    _copy(home / "lake" / "journal", target / "lake" / "journal")


def _copy(source: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link)
    elif source.exists():
        _link(str(source), str(target))


def _link(source: str, target: str) -> None:
    """A second name of the file where the disk allows it: nothing under landing or among terms is ever changed in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
