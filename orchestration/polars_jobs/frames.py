"""Small helpers that every job shares: frames with a declared schema, months, and the latest version as known at a
time.

Nothing here knows what a receivable or a loss is.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import polars as pl

Frames: TypeAlias = Mapping[str, pl.DataFrame]
Schema: TypeAlias = Mapping[str, Any]

UTC_TIME = pl.Datetime("us", "UTC")


def make_frame(rows: Iterable[Mapping[str, Any]], schema: Schema, sort_by: list[str] | None = None) -> pl.DataFrame:
    """A frame with exactly the columns and types of ``schema``, also when there are no rows; sorted by ``sort_by`` so
    that equal input gives equal bytes.
    """
    frame = pl.DataFrame(list(rows), schema=dict(schema), orient="row")
    return frame.sort(sort_by, nulls_last=True) if sort_by else frame


def need(frames: Frames, name: str, *columns: str) -> pl.DataFrame:
    """The input frame ``name``; raises ``KeyError`` naming the table, or the columns that it lacks."""
    if name not in frames:
        raise KeyError(f"input table {name} is missing")
    frame = frames[name]
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise KeyError(f"input table {name} lacks {', '.join(missing)}")
    return frame


def optional(frames: Frames, name: str) -> pl.DataFrame | None:
    """The input frame ``name``, or None when it was not given or has no rows."""
    frame = frames.get(name)
    return None if frame is None or frame.is_empty() else frame


def known_at(frame: pl.DataFrame, key: list[str], knowledge_at: datetime) -> pl.DataFrame:
    """The version of each key that counts at ``knowledge_at``: recorded by then, greatest (recorded_at, version if
    any, content_hash). READINGS.md, 6. Where the frame says from when a row may be seen (known_from_at, later than
    recorded_at for a row that arrived after a month had been sealed without it), that instant counts.
    """
    seen_from = [pl.col(name) for name in ("known_from_at", "recorded_at") if name in frame.columns]
    order = [column for column in ("recorded_at", "version", "content_hash") if column in frame.columns]
    return (
        frame.filter(pl.coalesce(seen_from) <= knowledge_at)
        .sort([*key, *order])
        .unique(subset=key, keep="last", maintain_order=True)
    )


class RowsBy:
    """The rows of a small table by one of its columns, read once: for jobs that ask it anew at every close, where a
    filter costs more than the table is long. ``columns``: the frame's; a frame of None has no rows.
    """

    def __init__(self, frame: pl.DataFrame | None, key: str = "contract_id") -> None:
        """Take the rows in the frame's own order."""
        self.columns = [] if frame is None else frame.columns
        self._rows: dict[Any, list[dict[str, Any]]] = {}
        for row in [] if frame is None else frame.iter_rows(named=True):
            self._rows.setdefault(row[key], []).append(row)

    def of(self, value: object) -> list[dict[str, Any]]:
        """The rows of one value of the key; none where it has none."""
        return self._rows.get(value, [])

    def __bool__(self) -> bool:
        """Whether there is any row."""
        return bool(self._rows)


def known_rows(
    rows: Iterable[Mapping[str, Any]], key: Sequence[str], knowledge_at: datetime
) -> list[Mapping[str, Any]]:
    """As :func:`known_at`, of rows in hand."""

    def rank(row: Mapping[str, Any]) -> tuple[Any, ...]:
        # A version without a number, or a row without a hash, is the earliest; as nulls sort first in a frame.
        order = (row.get(name) for name in ("recorded_at", "version", "content_hash"))
        return tuple((value is not None, value if value is not None else 0) for value in order)

    found: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for row in rows:
        if (row.get("known_from_at") or row["recorded_at"]) <= knowledge_at:
            own = tuple(row[name] for name in key)
            if own not in found or rank(row) >= rank(found[own]):
                found[own] = row
    return [found[own] for own in sorted(found, key=str)]


def month_start(day: date) -> date:
    """The first day of the day's month."""
    return day.replace(day=1)


@cache
def month_end(day: date) -> date:
    """The last day of the day's month."""
    return day.replace(day=monthrange(day.year, day.month)[1])


def add_months(month: date, count: int) -> date:
    """The first day of the month ``count`` months after the month of ``month`` (before it, if negative)."""
    index = month.year * 12 + month.month - 1 + count
    return date(index // 12, index % 12 + 1, 1)


def months_between(start: date, end: date) -> int:
    """Whole calendar months from the month of ``start`` to the month of ``end``; negative if it lies before."""
    return (end.year - start.year) * 12 + end.month - start.month


def days_in_month(month: date) -> int:
    """Days of the calendar month, leap years included."""
    return monthrange(month.year, month.month)[1]


def local_date(instant: datetime, time_zone: str) -> date:
    """The settlement-zone date of an instant (READINGS.md, 1)."""
    return instant.astimezone(ZoneInfo(time_zone)).date()


def month_hours(first: date, last: date, time_zone: str) -> float:
    """Real hours of the days ``first`` to ``last`` (both included) in a zone: 23- and 25-hour days exist (DOMAIN.md,
    3). Zero if ``last`` lies before.
    """
    if last < first:
        return 0.0
    zone = ZoneInfo(time_zone)
    start = datetime(first.year, first.month, first.day, tzinfo=zone)
    after = last + timedelta(days=1)
    end = datetime(after.year, after.month, after.day, tzinfo=zone)
    return (end.timestamp() - start.timestamp()) / 3600.0
