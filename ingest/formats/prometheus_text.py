"""Prometheus exposition pages of NVIDIA's dcgm-exporter and of nvidia_gpu_exporter, mapped onto gpu_telemetry.

One row is one GPU at one instant. The text is parsed by prometheus_client; here is only which metric means which
column. Metrics of neither exporter are ignored: a page carries far more than telemetry needs.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from ingest.formats.errors import FormatError
from ingest.formats.names import node_of, stamp_of
from ingest.formats.opening import Head, read_text
from ingest.formats.park import ParkClock, gpu_model_of, iso

NAME = "prometheus_text"
FEEDS = ("gpu_telemetry",)

COLUMNS = (
    "gpu_id",
    "node_id",
    "gpu_model",
    "sampled_at",
    "utilization_pct",
    "power_w",
    "energy_mj",
    "memory_used_mib",
    "xid_code",
)

# DCGM marks a value that it does not have with numbers near the top of the type (dcgm_structs.h: DCGM_INT32_BLANK,
# DCGM_FP64_BLANK, DCGM_INT64_BLANK, and the three codes above each: not found, not supported, not permissioned).
_BLANKS = (0x7FFFFFF0, 140737488355328, 0x7FFFFFFFFFFFFFF0)

# Milliseconds of the year 2000: a stamp below it is a page of seconds or a counter, not an instant.
_FIRST_STAMP = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def plain(value: Decimal) -> str:
    """A decimal as digits without exponent and without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _as_is(value: Decimal) -> Decimal:
    return value


def _whole(value: Decimal) -> Decimal:
    return value.quantize(Decimal(1))


@dataclass(frozen=True)
class _Metric:
    column: str
    convert: Callable[[Decimal], Decimal] = _as_is


METRICS: dict[str, _Metric] = {
    # dcgm-exporter: utilisation 0–100, watts, millijoules since boot, MiB, number of the last XID
    "DCGM_FI_DEV_GPU_UTIL": _Metric("utilization_pct"),
    "DCGM_FI_DEV_POWER_USAGE": _Metric("power_w"),
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": _Metric("energy_mj", _whole),
    "DCGM_FI_DEV_FB_USED": _Metric("memory_used_mib", _whole),
    "DCGM_FI_DEV_XID_ERRORS": _Metric("xid_code", _whole),
    # nvidia_gpu_exporter: utilisation 0–1, watts, joules, bytes
    "nvidia_smi_utilization_gpu_ratio": _Metric("utilization_pct", lambda ratio: ratio * 100),
    "nvidia_smi_power_draw_watts": _Metric("power_w"),
    "nvidia_smi_energy_joules_total": _Metric("energy_mj", lambda joules: _whole(joules * 1000)),
    "nvidia_smi_memory_used_bytes": _Metric("memory_used_mib", lambda size: _whole(size / 1024**2)),
}
_INFO = "nvidia_smi_gpu_info"
_ALIVE = ("utilization_pct", "power_w", "energy_mj")

_SAMPLE_NAME = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)")
_NOT_AVAILABLE = re.compile(r"\s(\[?N/?A\]?|\[?Not Supported\]?)\s*(\d+\s*)?$", re.IGNORECASE)
_NIL_UUID = re.compile(r"^(GPU-)?0{8}-0{4}-0{4}-0{4}-0{12}$", re.IGNORECASE)


@dataclass
class _Row:
    node_id: str
    line_no: int
    gpu_model: str | None
    values: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    instances: dict[str, Decimal] = field(default_factory=dict)


def recognise(head: Head) -> str | None:
    """None if this is an exposition page with GPU metrics, else why not."""
    if head.kind != "text" or head.is_zip:
        return "no exposition text"
    if any(
        line.startswith(("DCGM_FI_", "nvidia_smi_", "# HELP DCGM_FI_", "# HELP nvidia_smi_")) for line in head.lines
    ):
        return None
    if any(line.startswith(("# HELP ", "# TYPE ")) for line in head.lines):
        # The exporters' metrics may stand behind those of the Go runtime, beyond the head.
        return None
    return "no line begins with DCGM_FI_, nvidia_smi_, # HELP or # TYPE"


def _parse(line: str) -> Sample:
    """One sample line; line by line, because the library tells neither numbers nor lines of what it read."""
    return next(iter(text_string_to_metric_families(line))).samples[0]


def _value(sample: Sample) -> Decimal | None:
    """The value as a decimal, None for NaN and for DCGM's blanks."""
    number = float(sample.value)
    if math.isnan(number) or any(blank <= number < blank + 4 for blank in _BLANKS[:2]) or number >= _BLANKS[2]:
        return None
    return Decimal(str(sample.value))


def _stamp(sample: Sample, path: Path, line_no: int) -> datetime | None:
    if sample.timestamp is None:
        return None
    # A float of seconds is exact to the microsecond until 2255; the page gave milliseconds.
    instant = _EPOCH + timedelta(milliseconds=round(float(sample.timestamp) * 1000))
    if instant < _FIRST_STAMP:
        raise FormatError(path, [f"line {line_no}: {sample.timestamp} s is no instant of this century"])
    return instant


def samples(text: str, path: Path, names: Iterable[str]) -> Iterator[tuple[int, Sample]]:
    """(line number, sample) of every line whose metric is in `names` and has a value.

    Raises:
        FormatError: a line of such a metric that is no exposition text, with its number.
    """
    wanted = frozenset(names)
    for line_no, line in enumerate(text.splitlines(), start=1):
        found = _SAMPLE_NAME.match(line)
        if found is None or found[1] not in wanted or _NOT_AVAILABLE.search(line):
            continue
        try:
            yield line_no, _parse(line)
        except (ValueError, IndexError, StopIteration) as error:
            raise FormatError(path, [f"line {line_no} is no exposition text: {error}"]) from error


def _info(text: str, path: Path) -> dict[str, dict[str, str]]:
    """Labels of nvidia_smi_gpu_info by uuid: model and index stand there alone."""
    return {sample.labels.get("uuid", ""): sample.labels for _, sample in samples(text, path, [_INFO])}


def gpu_key(labels: dict[str, str], node_id: str) -> str | None:
    """The identity of a GPU: its UUID, or node and index where the UUID is missing or masked; None without any."""
    uuid = labels.get("UUID") or labels.get("uuid") or ""
    if uuid and not _NIL_UUID.match(uuid):
        return uuid
    index = labels.get("gpu") or labels.get("index") or labels.get("minor_number")
    if index is None:
        return f"{node_id}/0" if uuid else None
    return f"{node_id}/{index}"


def read(path: Path, feed: str, park: ParkClock) -> pl.DataFrame:
    """One row per GPU and instant of a page, all columns text as in a canonical CSV.

    Args:
        path: the page; without timestamps in it, its name carries the instant (`…2026-07-03T221045Z…`).
        feed: gpu_telemetry.
        park: gives the GPU model where the page does not.

    Returns:
        COLUMNS and line_no (the first line of that GPU): utilization_pct 0–100, power_w watts, energy_mj millijoules
        since boot, memory_used_mib MiB; empty where the page has none.

    Raises:
        FormatError: no GPU metrics, no instant, text that is no exposition, or two values for one GPU and instant.
    """
    text = read_text(path)
    info = _info(text, path)
    named_at = stamp_of(path)
    rows: dict[tuple[str, datetime], _Row] = {}
    is_unlabelled = False
    for line_no, sample in samples(text, path, METRICS):
        labels = {**info.get(sample.labels.get("uuid", ""), {}), **sample.labels}
        node_id = labels.get("Hostname") or labels.get("hostname") or node_of(path)
        gpu_id = gpu_key(labels, node_id)
        if gpu_id is None:
            # A metric without any label belongs to no GPU; the exporters write none such for a GPU that works.
            is_unlabelled = True
            continue
        at = _stamp(sample, path, line_no) or named_at
        if at is None:
            raise FormatError(
                path,
                ["the page has no timestamps and its name no instant: name it like `node1_2026-07-03T221045Z.prom`"],
            )
        model = labels.get("modelName") or labels.get("name") or gpu_model_of(park, node_id)
        row = rows.setdefault((gpu_id, at), _Row(node_id, line_no, model))
        value = _value(sample)
        if value is None:
            continue
        metric = METRICS[sample.name]
        cell = plain(metric.convert(value))
        if metric.column == "memory_used_mib" and labels.get("GPU_I_ID"):
            # Memory alone is an instance's own where a GPU is cut into instances (MIG); the GPU's is their sum.
            row.instances[labels["GPU_I_ID"]] = metric.convert(value)
            row.values[metric.column] = plain(sum(row.instances.values(), Decimal(0)))
            continue
        # One reading is repeated for each pod that shares the GPU; different readings of one instant are not one page.
        if row.values.setdefault(metric.column, cell) != cell:
            raise FormatError(
                path,
                [f"lines {row.lines[metric.column]} and {line_no} give two values of {sample.name} for {gpu_id}"],
            )
        row.lines.setdefault(metric.column, line_no)
    alive = [(key, row) for key, row in rows.items() if any(column in row.values for column in _ALIVE)]
    if not alive:
        why = (
            "its GPU metrics carry no label of a GPU"
            if is_unlabelled
            else "no GPU's utilisation, power or energy is on it"
        )
        raise FormatError(path, [f"the page holds no sample of {feed}: {why}"])
    return pl.DataFrame(
        [
            {
                "gpu_id": gpu_id,
                "node_id": row.node_id,
                "gpu_model": row.gpu_model,
                "sampled_at": iso(at),
                **{column: row.values.get(column) for column in COLUMNS[4:]},
                "line_no": row.line_no,
            }
            for (gpu_id, at), row in alive
        ],
        schema={**dict.fromkeys(COLUMNS, pl.String), "line_no": pl.Int64},
    )
