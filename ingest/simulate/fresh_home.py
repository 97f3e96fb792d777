"""Makes a new simulated home of any size: parks of so many GPUs, so many days, from a seed.

The same arguments give the same bytes. Terms are examples, every feed is simulated, and the reference tables are those
that ship with the project.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from ingest.reference import SHIPPED
from ingest.simulate import days
from ingest.simulate.home import simulate
from ingest.simulate.imperfections import KINDS
from ingest.terms.home import Home, load_home
from ingest.terms.templates import CONTRACT, PARK

# One row of telemetry stands for a rack of 72; the last rack holds the rest.
_PARK_ID, _CONTRACT_ID = "my-park-1", "my-contract-1"


@dataclass(frozen=True)
class Size:
    """What is made.

    Attributes:
        park_count, gpu_count: parks, and GPUs in each.
        day_count: days from `start` for which there is telemetry.
        seed: everything follows from it.
        start: the day on which all tranches are energised.
        interval_seconds: time between samples.
        time_zone: of all parks.
        imperfections: names of `imperfections.KINDS`.
    """

    park_count: int = 1
    gpu_count: int = 5000
    day_count: int = 31
    seed: int = 1
    start: date = date(2027, 1, 1)
    interval_seconds: int = 3600
    time_zone: str = "UTC"
    imperfections: tuple[str, ...] = ()


def _park(size: Size, park_id: str) -> str:
    text = PARK.replace(_PARK_ID, park_id).replace(_CONTRACT_ID, f"{park_id}-c").replace("my-operator", f"{park_id}-op")
    for before, after in (
        ("time_zone: Australia/Sydney", f"time_zone: {size.time_zone}"),
        ("gpu_count: 5000", f"gpu_count: {size.gpu_count}"),
        ("telemetry_interval_seconds: 60", f"telemetry_interval_seconds: {size.interval_seconds}"),
        ("energised_date: 2027-01-01", f"energised_date: {size.start}"),
        ("planned_date: 2027-01-01", f"planned_date: {size.start}"),
    ):
        text = text.replace(before, after)
    return text


def _contract(size: Size, park_id: str) -> str:
    text = CONTRACT.replace(_PARK_ID, park_id).replace(_CONTRACT_ID, f"{park_id}-c")
    text = text.replace("my-operator", f"{park_id}-op").replace("2027-01-01", str(size.start))
    return text.replace("2026-12-01", str(size.start - timedelta(days=31))).replace("2032-", f"{size.start.year + 5}-")


def _as_of(size: Size) -> date:
    """The first day at whose end the telemetry of the last day has been delivered, and no other."""
    delivered = days.local_instant(ZoneInfo(size.time_zone), size.start + timedelta(days=size.day_count), 2)
    last = delivered.astimezone(UTC)
    midnight = datetime.combine(last.date(), time(), UTC)
    return last.date() - timedelta(days=1) if last == midnight else last.date()


def make_home(target: Path, size: Size, on_progress: Callable[[str, int, int], None] | None = None) -> Home:
    """Write terms and feeds of a new home; it runs as it is.

    Args:
        target: a new or empty folder.
        size: what to make.
        on_progress: told of each file set.

    Raises:
        FileExistsError: the folder holds something.
    """
    if target.exists() and any(target.iterdir()):
        raise FileExistsError(f"{target} is not empty: choose a new folder, so that nothing of yours is overwritten")
    parks: Sequence[str] = [f"sim-park-{number}" for number in range(1, size.park_count + 1)]
    for folder in ("parks", "contracts"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    note = f"Simulated from seed {size.seed}: no figure is measured or billed."
    (target / "home.yaml").write_text(
        f"title: Simulated parks\nas_of: {_as_of(size)}\n"
        f"simulation: {{seed: {size.seed}, parks: [{', '.join(parks)}], imperfections: [], note: '{note}'}}\n",
        encoding="utf-8",
    )
    shutil.copytree(SHIPPED, target / "reference")
    for park_id in parks:
        (target / "parks" / f"{park_id}.yaml").write_text(_park(size, park_id), encoding="utf-8")
        (target / "contracts" / f"{park_id}-c.yaml").write_text(_contract(size, park_id), encoding="utf-8")
    home = load_home(target)
    simulate(home, on_progress)
    for park_id in parks:
        for kind, make in KINDS.items():
            if kind in size.imperfections:
                make(target / "landing" / park_id, home.clock_at)
    return home
