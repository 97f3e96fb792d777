"""Answers of the Prometheus HTTP API (`query`, `query_range`), with or without their envelope, mapped onto
gpu_telemetry.

Series of GPU exporters' metrics; what each means stands in gpu_metrics. Warnings of an answer (a partial result of a
store behind it) do not stop it: what is there counts, and hours that are missing have no sample.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from ingest.formats.errors import FormatError
from ingest.formats.gpu_metrics import GpuRows, metric_of
from ingest.formats.json_stream import BrokenJsonError, JsonStream
from ingest.formats.names import node_of
from ingest.formats.numbers import number
from ingest.formats.opening import Head
from ingest.formats.park import ParkClock

NAME = "prometheus_api"
FEEDS = ("gpu_telemetry",)

_LAST_SECOND = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())
_SAID = {"status", "errorType", "error", "resultType"}
_OF_SERIES = {"matrix", "vector"}
_SHOWN_NAMES = 1000


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


def _one(no: int, entry: Any, path: Path) -> Series:
    try:
        labels = {str(name): str(value) for name, value in entry["metric"].items()}
        points = entry.get("values") or ([entry["value"]] if "value" in entry else [])
        return Series(labels, [(str(stamp), str(value)) for stamp, value in points])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(path, [f"series {no} has not the shape metric and values"]) from error


def _list_of_series(answer: JsonStream, path: Path) -> Iterator[Series]:
    for no, _ in enumerate(answer.elements(), start=1):
        yield _one(no, answer.value(), path)


def _object(answer: JsonStream, path: Path, said: dict[str, Any]) -> Iterator[Series]:
    """The series within an object that has `result` or `data`, where they stand; what else it says is added to `said`."""
    for key in answer.keys():  # noqa: SIM118 (a cursor in the document, no dictionary)
        opening = answer.peek()
        if key == "data" and opening == "{":
            yield from _object(answer, path, said)
        elif key == "result" and opening == "[" and said.get("resultType", "matrix") in _OF_SERIES:
            said["result"] = True
            yield from _list_of_series(answer, path)
        else:
            value = answer.value()
            if key in _SAID:
                said[key] = value


def series(path: Path) -> Iterator[Series]:
    """Every series of an answer: `{"status", "data": {"result": […]}}`, `{"resultType", "result"}` or the bare list.

    Native histograms have no values and give a series without points. The document is read series by series.

    Raises:
        FormatError: no JSON, an answer that reports an error, or another shape; it may come after series that were whole.
    """
    answer = JsonStream(path)
    said: dict[str, Any] = {}
    opening = answer.peek()
    if opening == "[":
        said["result"] = True
        yield from _list_of_series(answer, path)
    elif opening == "{":
        yield from _object(answer, path, said)
    else:
        answer.value()
    answer.end()
    if said.get("status", "success") != "success":
        kind = f" ({said['errorType']})" if said.get("errorType") else ""
        raise FormatError(path, [f"the API answered {said['status']!r}{kind}: {said.get('error', 'no reason given')}"])
    if said.get("resultType", "matrix") not in _OF_SERIES:
        raise FormatError(path, [f"the answer is a {said['resultType']} without labels; ask for series"])
    if said.get("result") is not True:
        raise FormatError(path, ["the JSON is neither a list of series nor an answer with data.result"])


@lru_cache(maxsize=1 << 14)
def _instant_us(stamp: str) -> int | None:
    """Microseconds since 1970 of a stamp in seconds; None if it is none before 2100."""
    seconds = number(stamp)
    return int(seconds * 1_000_000) if seconds is not None and 0 <= seconds < _LAST_SECOND else None


def _gather(rows: GpuRows, no: int, called: str, one: Series) -> None:
    """The points of a series of a GPU's metric; any other leaves nothing."""
    name = metric_of(called)
    source = rows.source(one.labels) if name else None
    if name is None or source is None:
        return
    for stamp, text in one.points:
        at_us = _instant_us(stamp)
        if at_us is None:
            rows.tear(no, json.dumps({"metric": one.labels, "values": [[stamp, text]]}))
        else:
            rows.add(name, source, at_us, text, no)


def read(path: Path, feed: str, park: ParkClock) -> Iterator[pl.DataFrame]:
    """One row per GPU and instant, the metrics of one instant joined; all columns text as in a canonical CSV.

    Args:
        path: the answer, of any size.
        feed: gpu_telemetry.
        park: gives the GPU model where the series do not.

    Yields:
        The columns of gpu_metrics with line_no the number of the row: such files have one line. A point whose stamp
        is no instant comes as its text. An answer that was cut gives its whole series and a row that says so.

    Raises:
        FormatError: no series of a GPU metric; see `series`.
    """
    rows = GpuRows(park, node_of(path))
    names: set[str] = set()
    no = 0
    try:
        for no, one in enumerate(series(path), start=1):
            called = one.labels.get("__name__", "")
            if len(names) < _SHOWN_NAMES:
                names.add(called or "(no name)")
            _gather(rows, no, called, one)
    except BrokenJsonError as error:
        rows.tear(no + 1, f"after series {no} the answer breaks off: {error.reasons[0]}", "truncated")
    first = 1
    for frame in rows.frames():
        ordered = frame.sort("sampled_at", "gpu_id", nulls_last=True, maintain_order=True)
        yield ordered.with_columns(line_no=pl.int_range(first, first + frame.height, dtype=pl.Int64))
        first += frame.height
    if rows.is_empty:
        listed = ", ".join(sorted(names)[:5]) or "none"
        reason = rows.first_torn or f"no series is a GPU metric of {feed} (metrics: {listed})"
        raise FormatError(path, [reason])
