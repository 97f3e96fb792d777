"""What the metrics of GPU exporters mean, and how the series of one GPU and instant become one row of gpu_telemetry.

Shared by exposition pages and API answers; neither is parsed here. Metrics of no exporter named here are ignored: a
page carries far more than telemetry needs.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

import polars as pl

from ingest.formats.numbers import number, plain
from ingest.formats.park import ParkClock, gpu_model_of, iso
from ingest.spool import Spool
from ingest.terms.policy import FATAL_XID_CODES

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
SCHEMA = {**dict.fromkeys(COLUMNS, pl.String), "line_no": pl.Int64, "line_text": pl.String, "line_rule": pl.String}
# So many values are put together in memory; of more, some kilobytes each, the others wait on disk.
POINTS_AT_ONCE = 20_000
_POINT = {
    "at_us": pl.Int64,
    "gpu_id": pl.String,
    "point_no": pl.Int64,
    "node_id": pl.String,
    "gpu_model": pl.String,
    "instance": pl.String,
    "slices": pl.Int64,
    "code": pl.String,
    "metric": pl.String,
    "text": pl.String,
    "line_no": pl.Int64,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# DCGM marks a value that it does not have with numbers near the top of the type (dcgm_structs.h: DCGM_INT32_BLANK,
# DCGM_FP64_BLANK, DCGM_INT64_BLANK, and the three codes above each: not found, not supported, not permissioned).
_BLANKS = (Decimal(0x7FFFFFF0), Decimal(140737488355328), Decimal(0x7FFFFFFFFFFFFFF0))
_NOT_AVAILABLE = re.compile(r"^(|nan|\[?n/?a\]?|\[?not supported\]?)$", re.IGNORECASE)
_NIL_UUID = re.compile(r"^(GPU-)?0{8}-0{4}-0{4}-0{4}-0{12}$", re.IGNORECASE)
# A MIG profile such as 3g.40gb, 1g.10gb+me or 1c.3g.40gb (a compute instance within) holds three slices, or one, of the
# GPU's compute.
_SLICES = re.compile(r"^(?:\d+c\.)?(\d+)g\.")
# NVIDIA's MIG user guide: seven compute slices a GPU, four on the A30 and on the RTX PRO 6000 Blackwell.
_GPU_SLICES, _FEWER_SLICES = 7, (("A30", 4), ("RTX PRO 6000", 4))


def microseconds(at: datetime) -> int:
    """An instant as microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def _as_is(value: Decimal) -> Decimal:
    return value


def _whole(value: Decimal) -> Decimal:
    return value.to_integral_value()


def _percent(ratio: Decimal) -> Decimal:
    return ratio * 100


@dataclass(frozen=True)
class Metric:
    """A metric that is a column of telemetry.

    Attributes:
        column: the column.
        convert: from the metric's unit to the column's.
        rank: of several metrics for one column the one of the lowest rank counts.
        code_label: label that is the value, of a metric which counts how often; of several codes the gravest counts.
        is_of_instances: whether it tells the utilisation of MIG instances. NVML does not: what stands on their lines all the
            same is nought, however busy they are.
    """

    column: str
    convert: Callable[[Decimal], Decimal] = _as_is
    rank: int = 0
    code_label: str | None = None
    is_of_instances: bool = False


METRICS: dict[str, Metric] = {
    # dcgm-exporter: utilisation 0–100, watts, millijoules since boot, MiB, number of the last XID. The profiling field is
    # a ratio 0–1 and the only utilisation of a GPU that is cut into instances. Names before and after DCGM's renaming.
    "DCGM_FI_DEV_GPU_UTIL": Metric("utilization_pct"),
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": Metric("utilization_pct", _percent, rank=1, is_of_instances=True),
    "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO": Metric("utilization_pct", _percent, rank=1, is_of_instances=True),
    "DCGM_FI_DEV_POWER_USAGE": Metric("power_w"),
    "DCGM_FI_DEV_BOARD_POWER_WATTS": Metric("power_w", rank=1),
    "DCGM_FI_DEV_POWER_USAGE_INSTANT": Metric("power_w", rank=2),
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": Metric("energy_mj", _whole),
    "DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL": Metric("energy_mj", lambda joules: _whole(joules * 1000), rank=1),
    "DCGM_FI_DEV_FB_USED": Metric("memory_used_mib", _whole),
    "DCGM_FI_DEV_FB_USED_BYTES": Metric("memory_used_mib", lambda size: _whole(size / 1024**2), rank=1),
    "DCGM_FI_DEV_XID_ERRORS": Metric("xid_code", _whole),
    "DCGM_FI_DEV_XID_ERROR": Metric("xid_code", _whole, rank=1),
    # Errors of the exporter's last minutes, one series a code; a count of nought is no error.
    "DCGM_EXP_XID_ERRORS_COUNT": Metric("xid_code", _whole, rank=2, code_label="xid"),
    # dcgm-exporter 1.x
    "dcgm_gpu_utilization": Metric("utilization_pct"),
    "dcgm_power_usage": Metric("power_w"),
    "dcgm_total_energy_consumption": Metric("energy_mj", _whole),
    "dcgm_fb_used": Metric("memory_used_mib", _whole),
    "dcgm_xid_errors": Metric("xid_code", _whole),
    # nvidia_gpu_exporter: utilisation 0–1, watts, joules, bytes
    "nvidia_smi_utilization_gpu_ratio": Metric("utilization_pct", _percent),
    "nvidia_smi_power_draw_watts": Metric("power_w"),
    "nvidia_smi_energy_joules_total": Metric("energy_mj", lambda joules: _whole(joules * 1000)),
    "nvidia_smi_memory_used_bytes": Metric("memory_used_mib", lambda size: _whole(size / 1024**2)),
}
# Without one of these a GPU has given no sample: memory alone, landed under the same key, would supersede one.
_ALIVE = ("utilization_pct", "power_w", "energy_mj")
# The exporter's own name of the host comes first, also as Prometheus renames it beside a label of its own; the address
# that was scraped comes last.
_NODE_LABELS = ("Hostname", "hostname", "exported_Hostname", "exported_hostname", "node", "kubernetes_node", "instance")
# OpenMetrics writes counters with this ending.
_COUNTER = "_total"


def metric_of(name: str) -> str | None:
    """The name in METRICS of a metric as a page or an answer has it; None if it is none of telemetry's."""
    if name in METRICS:
        return name
    base = name.removesuffix(_COUNTER)
    return base if base in METRICS else None


def label(labels: Mapping[str, str], *names: str) -> str | None:
    """The first of several labels that is there and not empty: exporters and their versions spell them differently."""
    return next((labels[name] for name in names if labels.get(name)), None)


def gpu_key(labels: Mapping[str, str], node_id: str) -> str | None:
    """The identity of a GPU: its UUID, or node and index where the UUID is missing or masked; None without any."""
    uuid = label(labels, "UUID", "uuid", "gpu_uuid")
    if uuid and not _NIL_UUID.match(uuid):
        return uuid
    index = label(labels, "gpu", "index", "minor_number")
    if index is None:
        return f"{node_id}/0" if uuid else None
    return f"{node_id}/{index}"


def _is_blank(value: Decimal) -> bool:
    return any(blank <= value < blank + 4 for blank in _BLANKS[:2]) or value >= _BLANKS[2]


class Source(NamedTuple):
    """What the labels of a series say: of which GPU, and of which instance of it.

    Attributes:
        gpu_id, node_id, gpu_model: the GPU.
        instance: MIG instance, empty for the whole GPU.
        slices: compute slices of the instance; None where no profile tells.
        code: value of the label that tells the code of a metric which counts errors; None without one.
    """

    gpu_id: str
    node_id: str
    gpu_model: str | None
    instance: str
    slices: int | None
    code: str | None


def _gravity(code: Decimal) -> tuple[bool, Decimal]:
    """The order of codes where a GPU has several at once: those after which it does no work come last."""
    return code in FATAL_XID_CODES, code


@dataclass
class _Reading:
    """What one metric says of one GPU at one instant; by instance where the GPU is cut into some."""

    values: dict[str, Decimal | str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    slices: dict[str, int] = field(default_factory=dict)
    quarrel: str | None = None


@dataclass
class _Gpu:
    node_id: str
    gpu_model: str | None
    line_no: int
    readings: dict[str, _Reading] = field(default_factory=dict)

    def by_rank(self) -> list[tuple[str, _Reading]]:
        """The readings that say something, those first that count before others."""
        is_cut = any(instance for reading in self.readings.values() for instance in reading.values)
        ordered = sorted(self.readings.items(), key=lambda item: METRICS[item[0]].rank)
        return [item for item in ordered if not (is_cut and _says_nothing_of_instances(METRICS[item[0]]))]


def _says_nothing_of_instances(metric: Metric) -> bool:
    return metric.column == "utilization_pct" and not metric.is_of_instances


# Metric, whose it is, the instant in microseconds since 1970, the value as written, and the line.
_Point = tuple[str, Source, int, str, int]
_Gpus = dict[tuple[str, int], _Gpu]


@lru_cache(maxsize=1 << 14)
def _said(text: str) -> Decimal | str | None:
    """A value as written; what is no number stays for quarantine, and what the exporter does not have is None."""
    stripped = text.strip()
    if _NOT_AVAILABLE.match(stripped):
        return None
    value = number(stripped)
    if value is None:
        return stripped
    return None if _is_blank(value) else value


def _add(gpus: _Gpus, point: _Point) -> None:
    """One value of one series to what is known of its GPU and instant."""
    name, source, at_us, text, line_no = point
    gpu = gpus.get((source.gpu_id, at_us))
    if gpu is None:
        gpu = gpus[source.gpu_id, at_us] = _Gpu(source.node_id, source.gpu_model, line_no)
    said = _said(text)
    if said is None:
        return
    instance = source.instance
    reading = gpu.readings.setdefault(name, _Reading())
    code_label = METRICS[name].code_label
    if code_label is not None and isinstance(said, Decimal):
        code = number(source.code or "") if said else Decimal(0)
        said = f"{name} without a number in its label {code_label}" if code is None else code
        before = reading.values.get(instance)
        if isinstance(before, Decimal) and code is not None:
            reading.values[instance] = said = max(before, code, key=_gravity)
    # One reading is repeated for each pod that shares the GPU; different readings of one instant are a quarrel.
    if reading.values.setdefault(instance, said) != said:
        reading.quarrel = f"lines {reading.lines[instance]} and {line_no} give two values of {name}: {reading.values[instance]} and {said}"
    reading.lines.setdefault(instance, line_no)
    if source.slices is not None:
        reading.slices[instance] = source.slices


def _alive(gpus: _Gpus) -> Iterator[dict[str, str | int | None]]:
    for (gpu_id, at_us), gpu in gpus.items():
        cells: dict[str, str] = {}
        for name, reading in gpu.by_rank():
            cells.setdefault(METRICS[name].column, _cell(METRICS[name], reading, gpu.gpu_model))
        if any(column in cells for column in _ALIVE):
            yield {
                "gpu_id": gpu_id,
                "node_id": gpu.node_id,
                "gpu_model": gpu.gpu_model,
                "sampled_at": iso(_EPOCH + at_us * _MICROSECOND),
                **cells,
                "line_no": gpu.line_no,
            }


class GpuRows:
    """Gathers the series of a page or answer into rows, one a GPU and instant; of many values most wait on disk.

    Args:
        park: gives the GPU model where the labels do not.
        node_id: the node where no label names one.
    """

    def __init__(self, park: ParkClock, node_id: str) -> None:
        self._park, self._node_id = park, node_id
        self._points: list[_Point] = []
        self._point_count = 0
        self._waiting, self._torn_waiting = Spool(to_sort=True), Spool()
        self._torn: list[tuple[int, str, str | None]] = []
        self.is_unlabelled, self.is_empty = False, True
        self.first_torn: str | None = None

    def source(self, labels: Mapping[str, str]) -> Source | None:
        """Whose the series of these labels is; None where no label is that of a GPU."""
        node_id = label(labels, *_NODE_LABELS) or self._node_id
        gpu_id = gpu_key(labels, node_id)
        if gpu_id is None:
            # A metric without any label belongs to no GPU; the exporters write none such for a GPU that works.
            self.is_unlabelled = True
            return None
        model = label(labels, "modelName", "model_name", "name") or gpu_model_of(self._park, node_id)
        profile = _SLICES.match(label(labels, "GPU_I_PROFILE", "gpu_i_profile") or "")
        instance = label(labels, "GPU_I_ID", "gpu_i_id") or ""
        return Source(gpu_id, node_id, model, instance, int(profile[1]) if profile else None, label(labels, "xid"))

    def add(self, name: str, source: Source, at_us: int, text: str, line_no: int) -> None:
        """One value of one series.

        Args:
            name: a key of METRICS.
            source: whose the series is.
            at_us: the instant, see `microseconds`.
            text: the value as written; what is not available leaves no value, what is no number stays for quarantine.
            line_no: where it stands.
        """
        self._points.append((name, source, at_us, text, line_no))
        if len(self._points) >= POINTS_AT_ONCE:
            self._put_points_by()

    def _put_points_by(self) -> None:
        points = pl.DataFrame(
            [
                (at_us, source[0], no, *source[1:], name, text, line_no)
                for no, (name, source, at_us, text, line_no) in enumerate(self._points, self._point_count)
            ],
            schema=_POINT,
            orient="row",
        )
        self._point_count += len(self._points)
        self._points.clear()
        # What is said again, for each pod that shares a GPU, changes nothing.
        said = [name for name in _POINT if name not in {"point_no", "line_no"}]
        self._waiting.append(points.unique(said, keep="first", maintain_order=True))

    def tear(self, line_no: int, text: str, rule: str | None = None) -> None:
        """A line that cannot be read, kept for quarantine under a rule; without one it is not whole."""
        self.first_torn = self.first_torn or f"line {line_no} cannot be read: {text[:200]}"
        self._torn.append((line_no, text, rule))
        if len(self._torn) >= POINTS_AT_ONCE:
            self._torn_waiting.append(self._torn_frame())

    def _torn_frame(self) -> pl.DataFrame:
        torn = [{"line_no": line_no, "line_text": text, "line_rule": rule} for line_no, text, rule in self._torn]
        self._torn.clear()
        return pl.DataFrame(torn, schema=SCHEMA)

    def frames(self) -> Iterator[pl.DataFrame]:
        """COLUMNS as text, `line_no` (the first line of that GPU), and `line_text` and `line_rule` of lines that could not
        be read. At the end `is_empty` says whether nothing was a sample of a GPU.
        """
        for gpus in self._groups():
            rows = pl.DataFrame(list(_alive(gpus)), schema=SCHEMA)
            self.is_empty = self.is_empty and rows.is_empty()
            if not rows.is_empty():
                yield rows
        yield from self._torn_waiting
        if self._torn:
            yield self._torn_frame()

    def _groups(self) -> Iterator[_Gpus]:
        """GPUs and instants with all of their values, some at a time."""
        gpus: _Gpus = {}
        if not self._waiting.row_count:
            for point in self._points:
                _add(gpus, point)
            yield gpus
            return
        self._put_points_by()
        count = 0
        for piece in self._waiting.in_order(("at_us", "gpu_id", "point_no")):
            for part in piece.iter_slices(POINTS_AT_ONCE):
                for at_us, gpu_id, _, *of_gpu, name, text, line_no in part.iter_rows():
                    if count >= POINTS_AT_ONCE and (gpu_id, at_us) not in gpus:
                        yield gpus
                        gpus, count = {}, 0
                    count += 1
                    _add(gpus, (name, Source(gpu_id, *of_gpu), at_us, text, line_no))
        yield gpus


def _cell(metric: Metric, reading: _Reading, gpu_model: str | None) -> str:
    """The GPU's value of a metric; a text that is no number where readings cannot be made one."""
    if reading.quarrel:
        return reading.quarrel
    if "" in reading.values or metric.column not in {"memory_used_mib", "utilization_pct"}:
        # Power, energy and errors are the whole GPU's on every instance's line.
        value = reading.values.get("", next(iter(reading.values.values())))
        return value if isinstance(value, str) else plain(metric.convert(value))
    numbers = {instance: value for instance, value in reading.values.items() if isinstance(value, Decimal)}
    if len(numbers) < len(reading.values):
        return next(value for value in reading.values.values() if isinstance(value, str))
    if metric.column == "memory_used_mib":
        return plain(metric.convert(sum(numbers.values(), Decimal(0))))
    # Activity of an instance is a ratio of its own slices; slices that no instance holds are idle.
    if set(reading.slices) != set(numbers):
        return "activity of MIG instances without their GPU_I_PROFILE"
    total = next((count for part, count in _FEWER_SLICES if part in (gpu_model or "")), _GPU_SLICES)
    busy = sum((value * reading.slices[instance] for instance, value in numbers.items()), Decimal(0))
    return plain(round(metric.convert(busy / total), 6))
