"""Answers of the Prometheus HTTP API (`query`, `query_range`), with or without their envelope, mapped onto
gpu_telemetry.

Series of GPU exporters' metrics; what each means stands in gpu_metrics. Warnings of an answer (a partial result of a
store behind it) do not stop it: what is there counts, and hours that are missing have no sample.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from ingest.formats.errors import FormatError
from ingest.formats.gpu_metrics import GpuRows, metric_of
from ingest.formats.names import node_of
from ingest.formats.numbers import number
from ingest.formats.opening import MAX_JSON_BYTES, Head, read_text
from ingest.formats.park import ParkClock

NAME = "prometheus_api"
FEEDS = ("gpu_telemetry",)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())


@dataclass(frozen=True)
class Series:
    """One series of an answer: labels (with `__name__`) and (seconds since 1970, value), both as written, in order."""

    labels: dict[str, str]
    points: list[tuple[str, str]]


def recognise(head: Head) -> str | None:
    """None if this is JSON that begins as an answer of the API, else why not."""
    text = head.text.lstrip()
    if head.kind != "text" or head.is_zip or text[:1] not in {"{", "["}:
        return "no JSON"
    is_answer = '"status"' in text and ('"data"' in text or '"error"' in text)
    if is_answer or '"resultType"' in text:
        return None
    if '"metric"' not in text or ('"values"' not in text and '"value"' not in text and head.is_complete):
        return "the JSON has no series with metric and values"
    return None


def _result(path: Path) -> list[Any]:
    """The list of series of an answer."""
    try:
        # Numbers as written: a stamp of milliseconds must not pass through a binary float.
        answer: Any = json.loads(read_text(path, MAX_JSON_BYTES), parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        raise FormatError(path, [f"no JSON: {error}"]) from error
    if isinstance(answer, dict) and "status" in answer:
        if answer["status"] != "success":
            kind = f" ({answer['errorType']})" if answer.get("errorType") else ""
            raise FormatError(
                path, [f"the API answered {answer['status']!r}{kind}: {answer.get('error', 'no reason given')}"]
            )
        answer = answer.get("data")
    if isinstance(answer, dict):
        kind = answer.get("resultType", "matrix")
        if kind not in {"matrix", "vector"}:
            raise FormatError(path, [f"the answer is a {kind} without labels; ask for series"])
        answer = answer.get("result")
    if not isinstance(answer, list):
        raise FormatError(path, ["the JSON is neither a list of series nor an answer with data.result"])
    return answer


def series(path: Path) -> Iterator[Series]:
    """Every series of an answer: `{"status", "data": {"result": […]}}`, `{"resultType", "result"}` or the bare list.

    Native histograms have no values and give a series without points.

    Raises:
        FormatError: no JSON, an answer that reports an error, or another shape.
    """
    for no, entry in enumerate(_result(path), start=1):
        try:
            labels = {str(name): str(value) for name, value in entry["metric"].items()}
            points = entry.get("values") or ([entry["value"]] if "value" in entry else [])
            yield Series(labels, [(str(stamp), str(value)) for stamp, value in points])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(path, [f"series {no} has not the shape metric and values"]) from error


def _instant(stamp: str) -> datetime | None:
    """The instant of seconds since 1970; None if it is none before 2100."""
    seconds = number(stamp)
    if seconds is None or not 0 <= seconds < _LAST_SECOND:
        return None
    return _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))


def read(path: Path, feed: str, park: ParkClock) -> pl.DataFrame:
    """One row per GPU and instant, the metrics of one instant joined; all columns text as in a canonical CSV.

    Args:
        path: the answer.
        feed: gpu_telemetry.
        park: gives the GPU model where the series do not.

    Returns:
        The columns of gpu_metrics with line_no the number of the row: such files have one line. A point whose stamp
        is no instant comes as its text.

    Raises:
        FormatError: no series of a GPU metric; see `series`.
    """
    rows = GpuRows(park, node_of(path))
    names: set[str] = set()
    for no, one in enumerate(series(path), start=1):
        called = one.labels.get("__name__", "")
        names.add(called or "(no name)")
        name = metric_of(called)
        if name is None:
            continue
        source = rows.source(one.labels)
        if source is None:
            continue
        for stamp, text in one.points:
            at = _instant(stamp)
            if at is None:
                rows.tear(no, json.dumps({"metric": one.labels, "values": [[stamp, text]]}))
            else:
                rows.add(name, source, at, text, no)
    if rows.is_empty:
        listed = ", ".join(sorted(names)[:5]) or "none"
        reason = rows.first_torn or f"no series is a GPU metric of {feed} (metrics: {listed})"
        raise FormatError(path, [reason])
    frame = rows.frame().sort("sampled_at", "gpu_id", nulls_last=True, maintain_order=True)
    return frame.with_columns(line_no=pl.int_range(1, frame.height + 1, dtype=pl.Int64))
