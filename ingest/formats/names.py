"""What a file's name may tell where its content is silent: the instant of a page, the node that it came from.

A name never decides the format.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

_COMPRESSION = {".gz", ".zst", ".zip"}
_DATE = r"(?P<date>\d{4}-?\d{2}-?\d{2})"
_STAMP = re.compile(
    _DATE
    + r"[T_ ](?P<hour>\d{2})[-:.]?(?P<minute>\d{2})(?:[-:.]?(?P<second>\d{2}))?(?:\.\d+)?(?P<zone>Z|[+-]\d{2}:?\d{2})"
)
_ENDS_WITH_STAMP = re.compile(r"[-_.@ ]*" + _DATE + r"(?:[T_ ]\d{2}.*)?$")


def stem(path: Path) -> str:
    """The name without compression suffix and without extension."""
    name = path.name
    while Path(name).suffix.lower() in _COMPRESSION:
        name = Path(name).stem
    # A page saved as `<node>_2026-07-03T22:10:45.5Z` has no extension: what follows the last dot there is a fraction.
    return name if re.search(r"\.\d+Z$", name) else Path(name).stem


def stamp_of(path: Path) -> datetime | None:
    """The instant in a name such as `gpu1_2026-07-03T221045Z.prom`; None without one, or without Z or offset."""
    found = _STAMP.search(path.name)
    if found is None:
        return None
    zone = found["zone"].replace(":", "")
    text = f"{found['date'].replace('-', '')}{found['hour']}{found['minute']}{found['second'] or '00'}"
    try:
        return datetime.strptime(text + ("+0000" if zone == "Z" else zone), "%Y%m%d%H%M%S%z").astimezone(UTC)
    except ValueError:
        return None


def node_of(path: Path) -> str:
    """The node that a name gives: the stem without a date or stamp at its end."""
    whole = stem(path)
    return _ENDS_WITH_STAMP.sub("", whole) or whole
