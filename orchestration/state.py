"""Whether anything is new since the last published run; cheap, for it is asked before Dagster is loaded."""

import json
from datetime import date

from ingest.terms.home import Home, load_home
from orchestration.identity import input_state
from orchestration.settings import Settings


def load(settings: Settings) -> Home:
    """The validated home of the settings, its clock stopped where they say."""
    return load_home(settings.home, as_of=None if settings.as_of == "home" else date.fromisoformat(settings.as_of))


def is_current(settings: Settings) -> bool:
    """Whether the published snapshot was made from exactly what is there now."""
    if not (settings.state_path.exists() and settings.published_path.exists()):
        return False
    return bool(json.loads(settings.state_path.read_text(encoding="utf-8")) == input_state(load(settings)))


def remember(settings: Settings, home: Home) -> None:
    """Note what the published snapshot was made from."""
    settings.state_path.parent.mkdir(parents=True, exist_ok=True)
    temporary = settings.state_path.with_suffix(".part")
    temporary.write_text(json.dumps(input_state(home), indent=2) + "\n", encoding="utf-8")
    temporary.replace(settings.state_path)
