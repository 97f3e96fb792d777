"""Prometheus exposition pages of NVIDIA's dcgm-exporter and of nvidia_gpu_exporter, mapped onto gpu_telemetry.

One row is one GPU at one instant. The text is parsed by prometheus_client; what each metric means stands in
gpu_metrics. Both forms of exposition are read: Prometheus' text 0.0.4 (stamps in milliseconds) and OpenMetrics 1.0 (a
last line `# EOF`, stamps in seconds, exemplars, counters that end in _total), with names in quotes as Prometheus 3 writes
them where they are not of the old alphabet.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import polars as pl
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from ingest.formats.errors import FormatError
from ingest.formats.gpu_metrics import GpuRows, Source, metric_of, microseconds
from ingest.formats.names import node_of, stamp_of
from ingest.formats.numbers import number
from ingest.formats.opening import Head, Line, stream_lines
from ingest.formats.park import ParkClock

NAME = "prometheus_text"
FEEDS = ("gpu_telemetry",)

_PREFIXES = ("DCGM_FI_", "DCGM_EXP_", "dcgm_", "nvidia_smi_")
_FIRST_US = microseconds(datetime(2000, 1, 1, tzinfo=UTC))
_LAST_US = microseconds(datetime(2100, 1, 1, tzinfo=UTC))
_INFO = "nvidia_smi_gpu_info"
# The labels of so many GPUs are read once; a page with more distinct ones is read all the same.
_KNOWN_LABELS = 100_000

# Name, labels (a quoted value may hold braces), value and stamp of a sample line; words that the library takes for no
# number, such as N/A, are told by the value here.
_LINE = re.compile(
    r"^\s*(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\s*(?P<labels>\{(?:[^\"{}]|\"(?:[^\"\\]|\\.)*\")*\})\s*|\s+)"
    r"(?!\{)(?P<value>\[?N/?A\]?|\[?Not Supported\]?|\S+)(?:\s+(?P<stamp>[^\s#]+))?\s*(?:#\s*\{.*)?$",
    re.IGNORECASE,
)
_NAME = re.compile(r"^\s*([a-zA-Z_:][a-zA-Z0-9_:]*)")
# Prometheus 3: the name stands in quotes between the braces, before the labels.
_QUOTED_NAME = re.compile(r'^\{\s*"([a-zA-Z_:][a-zA-Z0-9_:]*)"\s*(?:,\s*|(?=\}))')


def recognise(head: Head) -> str | None:
    """None if this is an exposition page with GPU metrics, else why not."""
    if head.kind != "text" or head.is_zip:
        return "no exposition text"
    for line in head.lines:
        words = line.split(None, 3)
        # Behind HELP and TYPE of the Go runtime the exporters' metrics may stand beyond the head.
        if line.lstrip(' \t{"').startswith(_PREFIXES) or (
            words[:1] == ["#"] and len(words) > 2 and words[1] in {"HELP", "TYPE", "UNIT"}
        ):
            return None
    return "no line begins with DCGM_FI_, nvidia_smi_, # HELP or # TYPE"


def _labels(spelled: str) -> dict[str, str] | None:
    """Labels as written between braces; None if they are torn.

    The library reads them on a line of their own: it tells neither numbers nor lines of a page that it reads whole.
    """
    try:
        sample: Sample = next(iter(text_string_to_metric_families(f"metric{spelled} 0"))).samples[0]
    except (ValueError, IndexError, KeyError, StopIteration):
        return None
    return sample.labels


@lru_cache(maxsize=1 << 14)
def _instant_us(stamp: str, *, is_seconds: bool) -> int | None:
    """Microseconds since 1970 of a stamp; None if it is none of this century."""
    value = number(stamp)
    if value is None:
        return None
    instant = value * (1_000_000 if is_seconds else 1_000)
    return int(instant) if _FIRST_US <= instant < _LAST_US else None


def _lines(path: Path) -> Iterator[Line]:
    """The lines of a page that are neither empty nor comments, without blanks around them."""
    for line_no, line, rule in stream_lines(path):
        stripped = line.strip()
        if rule is not None or (stripped and not stripped.startswith("#")):
            yield line_no, _QUOTED_NAME.sub(r"\1{", stripped) if stripped.startswith("{") else stripped, rule


def _looked_through(path: Path) -> tuple[bool, dict[str, dict[str, str]]]:
    """Whether a page is OpenMetrics, and the labels of nvidia_smi_gpu_info by uuid: model and index stand there alone."""
    found: dict[str, dict[str, str]] = {}
    last = ""
    for _, line, rule in stream_lines(path):
        last = line if line and not line.isspace() else last
        if rule is None and line.startswith(_INFO):
            sample = _LINE.match(line)
            labels = _labels(sample["labels"] or "") if sample else None
            if labels is not None:
                found[labels.get("uuid", "")] = labels
    return last.strip() == "# EOF", found


def read(path: Path, feed: str, park: ParkClock) -> Iterator[pl.DataFrame]:
    """One row per GPU and instant of a page of any size, all columns text as in a canonical CSV.

    Args:
        path: the page; without timestamps in it, its name carries the instant (`…2026-07-03T221045Z…`).
        feed: gpu_telemetry.
        park: gives the GPU model where the page does not.

    Yields:
        See gpu_metrics: utilization_pct 0–100, power_w watts, energy_mj millijoules since boot, memory_used_mib MiB;
        empty where the page has none. A line of a GPU metric that cannot be read comes as its text.

    Raises:
        FormatError: no GPU metrics, or no instant.
    """
    is_openmetrics, info = _looked_through(path)
    stamp_of_name = stamp_of(path)
    named_us = microseconds(stamp_of_name) if stamp_of_name else None
    rows = GpuRows(park, node_of(path))
    is_undated = False
    # A GPU's lines carry the same labels.
    known: dict[str, Source | None] = {}
    torn_labels: set[str] = set()
    for line_no, line, rule in _lines(path):
        named = _NAME.match(line)
        name = metric_of(named[1]) if named else None
        if rule is not None:
            rows.tear(line_no, line, rule)
            continue
        if name is None:
            continue
        found = _LINE.match(line)
        if found is None:
            rows.tear(line_no, line)
            continue
        stamp, spelled = found["stamp"], found["labels"] or ""
        at_us = named_us if stamp is None else _instant_us(stamp, is_seconds=is_openmetrics)
        if spelled not in known and spelled not in torn_labels:
            if len(known) + len(torn_labels) >= _KNOWN_LABELS:
                known.clear()
                torn_labels.clear()
            labels = _labels(spelled)
            if labels is None:
                torn_labels.add(spelled)
            else:
                known[spelled] = rows.source({**info.get(labels.get("uuid", ""), {}), **labels})
        if at_us is None or spelled in torn_labels:
            is_undated = is_undated or (at_us is None and stamp is None)
            rows.tear(line_no, line)
        elif (source := known[spelled]) is not None:
            rows.add(name, source, at_us, found["value"], line_no)
    yield from rows.frames()
    if rows.is_empty and is_undated:
        raise FormatError(
            path, ["the page has no timestamps and its name no instant: name it like `node1_2026-07-03T221045Z.prom`"]
        )
    if rows.is_empty:
        why = (
            "its GPU metrics carry no label of a GPU"
            if rows.is_unlabelled
            else "no GPU's utilisation, power or energy is on it"
        )
        raise FormatError(path, [f"the page holds no sample of {feed}: {rows.first_torn or why}"])
