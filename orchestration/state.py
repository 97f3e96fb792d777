"""Whether anything is new since the last published run; cheap, for it is asked before Dagster is loaded."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ingest.terms.home import Home, load_home, moment_of
from orchestration.identity import input_state
from orchestration.publishing.manifest import MANIFEST, manifest_of
from orchestration.settings import Settings


def load(settings: Settings) -> Home:
    """The validated home of the settings, its clock stopped where they say."""
    return load_home(settings.home, as_of=None if settings.as_of == "home" else moment_of(settings.as_of))


def is_current(settings: Settings) -> bool:
    """Whether the published snapshot was made from exactly what is there now."""
    if not (settings.state_path.exists() and settings.published_path.exists()):
        return False
    return _read(settings.state_path) == input_state(load(settings))


CLOCK_TOLERANCE = timedelta(minutes=10)


class ClockSetBackError(RuntimeError):
    """The computer's clock stands before that of the last published run."""


def refuse_clock_set_back(home: Home) -> None:
    """Books of a home that lives today never go back in time because a clock does.

    Raises:
        ClockSetBackError: names both instants and the ways on.
        DamagedManifestError: what says when the last run was cannot be read, whether the home lives today or not.
    """
    published = home.path / "published"
    if not (published / MANIFEST).exists():
        return
    manifest = manifest_of(published)
    if not home.is_live:
        return
    before = datetime.fromisoformat(manifest["clock_at"])
    if home.clock_at < before - CLOCK_TOLERANCE:
        raise ClockSetBackError(
            f"this computer's clock says {home.clock_at:%Y-%m-%d %H:%M} UTC, but the last run was published at "
            f"{before:%Y-%m-%d %H:%M}. Set the clock right and run again; if it is right, and the last run was made with "
            f"a later --as-of, run with --force"
        )


def landing_is_published(settings: Settings, home: Home) -> bool:
    """Whether the published snapshot was made from the landing files that are there now, whatever else is new."""
    if not (settings.state_path.exists() and settings.published_path.exists()):
        return False
    return bool(_read(settings.state_path).get("landing") == input_state(home)["landing"])


def note_what_is_read(home: Home, run_id: str, *, landing_too: bool = False) -> None:
    """Note before anything is read what there is to be read: what changes later in the run is new to the next one.

    Args:
        home: as it is about to be read.
        run_id: Dagster's. The first note of a run counts for terms, reference data, code and clock.
        landing_too: whether the landing files are read from here on.
    """
    path = _noted(home)
    noted = _read(path)
    if noted.get("run") != run_id:
        noted = {"run": run_id}
    found = input_state(home)
    noted = {**{name: value for name, value in found.items() if name != "landing"}, **noted}
    if landing_too:
        noted["landing"] = found["landing"]
    _write(path, noted)


def remember(home: Home, run_id: str) -> None:
    """The published snapshot was made from what this run has noted; a run that read only a part says nothing."""
    path = _noted(home)
    noted = _read(path)
    if noted.pop("run", None) == run_id and "landing" in noted:
        _write(Settings(home=home.path).state_path, noted)


def _noted(home: Home) -> Path:
    return home.path / ".parkledger" / "read_by_run.json"


def _read(path: Path) -> dict[str, Any]:
    """What was noted; nothing where that is gone or cannot be read: then all counts as new, and a run notes it again."""
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _write(path: Path, data: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
