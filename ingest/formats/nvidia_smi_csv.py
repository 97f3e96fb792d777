"""Logs of `nvidia-smi --query-gpu=… --format=csv [-l 1]`, mapped onto gpu_telemetry.

Units stand in the header and again in the cells (`280.09 W`, `12 %`, `1129 MiB`), or in neither with `nounits`.
Times are local to the host and have no offset: the park file must say that they follow the park's clock.
"""

import csv
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl

from ingest.formats.gpu_metrics import gpu_key
from ingest.formats.names import node_of
from ingest.formats.numbers import plain
from ingest.formats.opening import Head, stream_lines
from ingest.formats.park import ParkClock, gpu_model_of, iso, local_zone, to_utc

NAME = "nvidia_smi_csv"
FEEDS = ("gpu_telemetry",)

COLUMNS = ("gpu_id", "node_id", "gpu_model", "sampled_at", "utilization_pct", "power_w", "memory_used_mib")
_SCHEMA = {
    **dict.fromkeys(COLUMNS, pl.String),
    "line_no": pl.Int64,
    "line_text": pl.String,
    "line_rule": pl.String,
}
_FRAME_ROWS = 50_000
_STAMP = "%Y/%m/%d %H:%M:%S.%f"
# name of the property: (our column, factors of the units that nvidia-smi writes)
_MEASURES: dict[str, tuple[str, dict[str, Decimal]]] = {
    "utilization.gpu": ("utilization_pct", {"%": Decimal(1)}),
    "power.draw": ("power_w", {"W": Decimal(1), "mW": Decimal("0.001")}),
    "memory.used": ("memory_used_mib", {"MiB": Decimal(1), "GiB": Decimal(1024), "KiB": Decimal(1) / 1024}),
}
_HEADER = re.compile(r"^\s*(?P<name>[^\[]+?)\s*(?:\[(?P<unit>[^\]]+)\])?\s*$")
_CELL = re.compile(r"^(?P<number>-?\d+(?:\.\d+)?)(?:\s*(?P<unit>%|[A-Za-z]+))?$", re.ASCII)
_NOT_AVAILABLE = re.compile(
    r"^(|\[?N/?A\]?|\[?Not Supported\]?|\[?Unknown Error\]?|\[?Insufficient Permissions\]?)$", re.IGNORECASE
)


def _columns(line: str) -> list[tuple[str, str | None]]:
    """(property, unit) of each column of a header line."""
    found = [_HEADER.match(cell) for cell in line.split(",")]
    return [(match["name"], match["unit"]) if match else ("", None) for match in found]


def recognise(head: Head) -> str | None:
    """None if the header names a timestamp and utilisation or power as nvidia-smi does, else why not."""
    if head.kind != "text" or head.is_zip or not head.lines:
        return "no CSV of nvidia-smi"
    names = {name for name, _ in _columns(head.lines[0])}
    if "timestamp" not in names or not names & {"utilization.gpu", "power.draw"}:
        return "the header has no timestamp beside utilization.gpu or power.draw"
    return None


def _measure(cell: str, header_unit: str | None, factors: dict[str, Decimal]) -> str | None:
    """A cell in our unit; None if not available; as it came if it is no number or has another unit."""
    if _NOT_AVAILABLE.match(cell):
        return None
    found = _CELL.match(cell)
    unit = (found["unit"] if found else None) or header_unit
    if found is None or unit not in factors:
        return cell
    return plain(Decimal(found["number"]) * factors[unit])


def _clock(path: Path, park: ParkClock) -> Callable[[str, str], str]:
    """Local stamps as instants; where the clock goes back, an earlier time than the one before is the second pass."""
    zone = local_zone(park, path)
    last: dict[str, datetime] = {}

    def instant(gpu_id: str, text: str) -> str:
        try:
            local = datetime.strptime(text, _STAMP)  # noqa: DTZ007 (wall-clock time; its zone is applied below)
        except ValueError:
            return text
        at = to_utc(local, zone)
        if at is None:
            return text
        previous = last.get(gpu_id)
        if previous is not None and at <= previous:
            later = to_utc(local, zone, is_second_pass=True)
            # Only within the repeated hour is a step back the clock's doing.
            if later is not None and later > previous and later - at == timedelta(hours=1):
                at = later
        last[gpu_id] = at
        return iso(at)

    return instant


def _cells(line: str) -> list[str] | None:
    try:
        return next(csv.reader([line], skipinitialspace=True), [])
    except csv.Error:
        return None


def _rows(path: Path, park: ParkClock) -> Iterator[dict[str, str | int | None]]:
    lines = stream_lines(path)
    header = _columns(next((text for _, text, _ in lines), ""))
    names = [name for name, _ in header]
    node_from_name = node_of(path)
    instant = _clock(path, park)
    for line_no, line, rule in lines:
        cells = _cells(line.rstrip("\r")) if rule is None else None
        if cells == []:
            continue
        if cells is None or len(cells) != len(names):
            yield {"line_no": line_no, "line_text": line.rstrip("\r"), "line_rule": rule}
            continue
        values = dict(zip(names, (cell.strip() for cell in cells), strict=True))
        known = {name: cell for name, cell in values.items() if not _NOT_AVAILABLE.match(cell)}
        node_id = known.get("hostname", node_from_name)
        gpu_id = gpu_key({name: known[name] for name in ("uuid", "index") if name in known}, node_id)
        gpu_id = gpu_id or f"{node_id}/{known.get('pci.bus_id', 0)}"
        row: dict[str, str | int | None] = {
            "gpu_id": gpu_id,
            "node_id": node_id,
            "gpu_model": known.get("name") or gpu_model_of(park, node_id),
            "sampled_at": instant(gpu_id, values["timestamp"]),
            "line_no": line_no,
        }
        for name, unit in header:
            if name in _MEASURES:
                column, factors = _MEASURES[name]
                row[column] = _measure(values[name], unit, factors)
        yield row


def read(path: Path, feed: str, park: ParkClock) -> Iterator[pl.DataFrame]:  # noqa: ARG001 (every format has these three)
    """One row per line of a log of any size, all columns text as in a canonical CSV.

    Args:
        path: the log; without a `hostname` column, its name without a date at the end is the node.
        feed: gpu_telemetry.
        park: its zone is the clock of the log, if `naive_timestamps: park_zone`.

    Yields:
        COLUMNS and line_no: utilization_pct 0–100, power_w watts, memory_used_mib MiB; empty for `[N/A]`. Lines with
        another number of cells than the header, or that are no text, have empty cells and their text in line_text.

    Raises:
        FormatError: the park allows no local times.
    """
    rows: list[dict[str, str | int | None]] = []
    for row in _rows(path, park):
        rows.append(row)
        if len(rows) >= _FRAME_ROWS:
            yield pl.DataFrame(rows, schema=_SCHEMA)
            rows = []
    if rows:
        yield pl.DataFrame(rows, schema=_SCHEMA)
