"""What a format may know of the park whose file it reads: its clock and which model stands on which node.

No terms are read here; any object with these attributes will do.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from ingest.formats.errors import FormatError


class TrancheNodes(Protocol):
    """A tranche as a format sees it."""

    @property
    def gpu_model(self) -> str: ...
    @property
    def nodes(self) -> str | None: ...


class ParkClock(Protocol):
    """A park as a format sees it; `naive_timestamps` is `park_zone` where local times without offset are allowed."""

    @property
    def time_zone(self) -> str: ...
    @property
    def naive_timestamps(self) -> str | None: ...
    @property
    def tranches(self) -> Sequence[TrancheNodes]: ...


def gpu_model_of(park: ParkClock, node_id: str) -> str | None:
    """The GPU model of the first tranche whose `nodes` pattern matches the node, for files that name no model."""
    return next((t.gpu_model for t in park.tranches if t.nodes and fnmatchcase(node_id, t.nodes)), None)


def local_zone(park: ParkClock, path: Path) -> ZoneInfo:
    """The park's zone, if its file allows local times.

    Raises:
        FormatError: the park file does not say `naive_timestamps: park_zone`.
    """
    if park.naive_timestamps != "park_zone":
        raise FormatError(
            path,
            [
                "its times have no offset",
                "for the park's clock, say `naive_timestamps: park_zone` in the park file",
            ],
        )
    return ZoneInfo(park.time_zone)


def to_utc(local: datetime, zone: ZoneInfo, *, is_second_pass: bool = False) -> datetime | None:
    """A wall-clock time of a zone as an instant.

    Args:
        local: naive wall-clock time.
        zone: the zone of that clock.
        is_second_pass: for a time that the clock shows twice in autumn, whether it is the later one.

    Returns:
        The instant in UTC, or None for a time that the clock skipped in spring.
    """
    instant = local.replace(tzinfo=zone, fold=int(is_second_pass)).astimezone(UTC)
    return instant if instant.astimezone(zone).replace(tzinfo=None) == local else None


def iso(instant: datetime) -> str:
    """An instant as ISO 8601 in UTC with Z, microseconds only where there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
