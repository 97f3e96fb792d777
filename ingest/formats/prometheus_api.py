"""Answers of the Prometheus HTTP API (`query`, `query_range`), with or without their envelope, mapped onto
gpu_telemetry.

Series of dcgm-exporter's and nvidia_gpu_exporter's metrics; what each means stands in prometheus_text.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import polars as pl

from ingest.formats.errors import FormatError
from ingest.formats.names import node_of
from ingest.formats.opening import Head, read_text
from ingest.formats.park import ParkClock, gpu_model_of, iso
from ingest.formats.prometheus_text import COLUMNS, METRICS, gpu_key, plain

NAME = "prometheus_api"
FEEDS = ("gpu_telemetry",)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Series:
    """One series of an answer: labels (with `__name__`) and (seconds since 1970, value as written) in order."""

    labels: dict[str, str]
    points: list[tuple[Decimal, str]]


def recognise(head: Head) -> str | None:
    """None if this is JSON that begins as an answer of the API, else why not."""
    text = head.text.lstrip()
    if head.kind != "text" or head.is_zip or text[:1] not in {"{", "["}:
        return "no JSON"
    if '"metric"' not in text or ('"values"' not in text and '"value"' not in text and head.is_complete):
        return "the JSON has no series with metric and values"
    return None


def series(path: Path) -> Iterator[Series]:
    """Every series of an answer: `{"status", "data": {"result": […]}}`, `{"resultType", "result"}` or the bare list.

    Raises:
        FormatError: no JSON, an answer that reports an error, or another shape.
    """
    try:
        # Numbers as written: a stamp of milliseconds must not pass through a binary float.
        answer: Any = json.loads(read_text(path), parse_float=Decimal)
    except (json.JSONDecodeError, RecursionError) as error:
        raise FormatError(path, [f"no JSON: {error}"]) from error
    if isinstance(answer, dict) and "status" in answer:
        if answer["status"] != "success":
            raise FormatError(
                path, [f"the API answered {answer['status']!r}: {answer.get('error', 'no reason given')}"]
            )
        answer = answer.get("data")
    if isinstance(answer, dict):
        answer = answer.get("result")
    if not isinstance(answer, list):
        raise FormatError(path, ["the JSON is neither a list of series nor an answer with data.result"])
    for number, entry in enumerate(answer, start=1):
        try:
            points = entry["values"] if "values" in entry else [entry["value"]]
            yield Series(
                {str(name): str(value) for name, value in entry["metric"].items()},
                [(Decimal(stamp), str(value)) for stamp, value in points],
            )
        except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
            raise FormatError(path, [f"series {number} has not the shape metric and values"]) from error


def _cell(name: str, text: str) -> str | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return text
    return plain(METRICS[name].convert(value)) if value.is_finite() else None


def read(path: Path, feed: str, park: ParkClock) -> pl.DataFrame:
    """One row per GPU and instant, the metrics of one instant joined; all columns text as in a canonical CSV.

    Args:
        path: the answer.
        feed: gpu_telemetry.
        park: gives the GPU model where the series do not.

    Returns:
        The columns of prometheus_text and line_no (number of the row: such files have one line).

    Raises:
        FormatError: no series of a GPU metric, two different values for one GPU, instant and metric; see `series`.
    """
    rows: dict[tuple[str, Decimal], dict[str, str | None]] = {}
    names: set[str] = set()
    for one in series(path):
        name = one.labels.get("__name__", "")
        names.add(name)
        if name not in METRICS:
            continue
        node_id = (
            one.labels.get("Hostname") or one.labels.get("hostname") or one.labels.get("instance") or node_of(path)
        )
        gpu_id = gpu_key(one.labels, node_id)
        if gpu_id is None:
            continue
        model = one.labels.get("modelName") or one.labels.get("name") or gpu_model_of(park, node_id)
        column = METRICS[name].column
        for stamp, text in one.points:
            row = rows.setdefault((gpu_id, stamp), {"node_id": node_id, "gpu_model": model})
            cell = _cell(name, text)
            if row.setdefault(column, cell) != cell:
                raise FormatError(path, [f"{name} of {gpu_id} at {stamp} is given twice, and differently"])
    if not rows:
        listed = ", ".join(sorted(names)[:5]) or "none"
        raise FormatError(path, [f"no series is a GPU metric of {feed} (metrics: {listed})"])
    ordered = sorted(rows.items(), key=lambda item: (item[0][1], item[0][0]))
    return pl.DataFrame(
        [
            {
                "gpu_id": gpu_id,
                "sampled_at": iso(_EPOCH + timedelta(microseconds=int(stamp * 1_000_000))),
                **row,
                "line_no": row_no,
            }
            for row_no, ((gpu_id, stamp), row) in enumerate(ordered, start=1)
        ],
        schema={**dict.fromkeys(COLUMNS, pl.String), "line_no": pl.Int64},
    )
