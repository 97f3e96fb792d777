"""Hourly GPU statistics as Cornell's BioHPC lab exports them from its database, mapped onto gpu_telemetry.

Tab-separated with a byte-order mark, newest hour first, local wall-clock hours, two footer lines. A row is the mean
of an hour, so the park's telemetry_interval_seconds is 3600 for it.
"""

import re
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from ingest.formats.errors import FormatError
from ingest.formats.opening import Head, read_text
from ingest.formats.park import ParkClock, gpu_model_of, iso, local_zone, to_utc

NAME = "biohpc"
FEEDS = ("gpu_telemetry",)

COLUMNS = ("gpu_id", "node_id", "gpu_model", "sampled_at", "utilization_pct", "power_w", "recorded_at")
# Some eighty bytes an hour of a host: enough for a hundred hosts and half a year.
_MAX_BYTES = 64 * 1024**2
_NEEDED = ("name", "timestamp", "powerave", "utilave")
_ROW_COUNT = re.compile(r"^\((\d+) rows? affected\)$")
_COMPLETED = re.compile(r"^Completion time: (\S+)$")


def recognise(head: Head) -> str | None:
    """None if the first line is the tab-separated header of these exports, else why not."""
    if head.kind != "text" or head.is_zip or not head.lines:
        return "no tab-separated statistics"
    absent = [name for name in _NEEDED if name not in head.lines[0].split("\t")]
    return f"the first line has no tab-separated column {', '.join(absent)}" if absent else None


def _footer(path: Path, lines: list[str], row_count: int) -> str | None:
    """The time of the export, if the footer has it; the row count of the footer must be that of the file."""
    completed: str | None = None
    for line in lines:
        if counted := _ROW_COUNT.match(line):
            if int(counted[1]) != row_count:
                raise FormatError(path, [f"its footer counts {counted[1]} rows, the file has {row_count}: it is cut"])
        elif stamp := _COMPLETED.match(line):
            # Seven digits of a second are more than an instant here holds.
            found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", stamp[1]))
            completed = iso(found) if found.tzinfo else None
    return completed


def _instant(text: str, zone: ZoneInfo, *, is_second_pass: bool) -> str:
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        return text
    if local.tzinfo is not None:
        return iso(local)
    at = to_utc(local, zone, is_second_pass=is_second_pass)
    return text if at is None else iso(at)


def read(path: Path, feed: str, park: ParkClock) -> pl.DataFrame:  # noqa: ARG001 (every format has these three)
    """One row per host and hour, all columns text as in a canonical CSV.

    Args:
        path: the export.
        feed: gpu_telemetry.
        park: its zone is the clock of the export, if `naive_timestamps: park_zone`; its tranches name the GPU model.

    Returns:
        COLUMNS and line_no: utilization_pct mean of the hour 0–100, power_w mean watts, recorded_at the export's
        completion.
        gpu_id is the host's name: the export has one series a host. An hour that the clock skips stays as written; of
        an hour that it shows twice, a single row is taken as the first, two rows as both.

    Raises:
        FormatError: the park allows no local times, or the footer counts other rows than there are.
    """
    zone = local_zone(park, path)
    lines = read_text(path, _MAX_BYTES).splitlines()
    names = lines[0].split("\t")
    rows: list[dict[str, str | int | None]] = []
    footer: list[str] = []
    for line_no, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) == 1:
            footer.append(line.strip())
        elif len(cells) != len(names):
            rows.append({"line_no": line_no, "line_text": line})
        else:
            values = dict(zip(names, cells, strict=True))
            rows.append(
                {
                    "gpu_id": values["name"],
                    "node_id": values["name"],
                    "gpu_model": gpu_model_of(park, values["name"]),
                    "sampled_at": values["timestamp"],
                    "utilization_pct": None if values["utilave"] == "NULL" else values["utilave"],
                    "power_w": None if values["powerave"] == "NULL" else values["powerave"],
                    "line_no": line_no,
                }
            )
    recorded_at = _footer(path, footer, len(rows))
    # Newest first: going backwards in the file is forwards in time, so the second of two equal hours is the later one.
    seen: set[tuple[object, object]] = set()
    for row in reversed(rows):
        key = (row.get("gpu_id"), row.get("sampled_at"))
        text = row.get("sampled_at")
        if isinstance(text, str):
            row["sampled_at"] = _instant(text, zone, is_second_pass=key in seen)
            row["recorded_at"] = recorded_at
        seen.add(key)
    return pl.DataFrame(rows, schema={**dict.fromkeys(COLUMNS, pl.String), "line_no": pl.Int64, "line_text": pl.String})
