"""Days and months of a park's clock, and their instants in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def local_instant(zone: ZoneInfo, day: date, hour: int = 0, minute: int = 0) -> datetime:
    """The UTC instant at which the park's clock first shows this hour of the day (a skipped hour: an hour later)."""
    return datetime.combine(day, time(hour, minute), tzinfo=zone).astimezone(UTC)


def first_of_month(day: date) -> date:
    """The first day of the month that holds `day`."""
    return day.replace(day=1)


def add_months(month: date, count: int) -> date:
    """The first day of the month `count` months after the one that starts at `month`."""
    number = month.year * 12 + month.month - 1 + count
    return date(number // 12, number % 12 + 1, 1)


def months_apart(first: date, later: date) -> int:
    """Calendar months from the month of `first` to that of `later`."""
    return (later.year - first.year) * 12 + later.month - first.month


def last_of_month(month: date) -> date:
    """The last day of a month."""
    return add_months(first_of_month(month), 1) - timedelta(days=1)


def months_between(first: date, last: date) -> list[date]:
    """First days of the months from the one of `first` to the one of `last`, both included."""
    start = first_of_month(first)
    return [add_months(start, number) for number in range(months_apart(start, last) + 1)]


def days_between(first: date, last: date) -> list[date]:
    """Every day from `first` to `last`, both included."""
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def local_date(zone: ZoneInfo, instant: datetime) -> date:
    """The park's date at an instant."""
    return instant.astimezone(zone).date()


def close_at(zone: ZoneInfo, month: date, close_after_days: int) -> datetime:
    """The instant at which a month closes: the end of the `close_after_days`-th day after its last."""
    return local_instant(zone, last_of_month(month) + timedelta(days=close_after_days + 1))


def iso(instant: datetime) -> str:
    """ISO 8601 with Z, to the second."""
    return instant.astimezone(UTC).isoformat(timespec="seconds")[: -len("+00:00")] + "Z"
