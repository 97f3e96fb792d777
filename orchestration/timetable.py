"""When things are to run by themselves, as plain data: what Dagster's schedules are made of and `parkledger status` tells.

Dagster itself is not imported here: it takes seconds, and asking when the next run is due should not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ingest.terms.home import Home
from ingest.terms.park import Park

# Feeds whose every day is due the next morning; rows of the others come when something happens.
DAILY_FEEDS = ("gpu_telemetry", "power_meter")
SETTLEMENT_HOUR = 5  # operators deliver the day before by about 02:00 of their clock
# By then every park of the world has settled its morning (05:00 at UTC-12 is 17:00 UTC), so what closed has been published.
CLOSE_HOUR, REPORT_HOUR = 18, 19
CLOSE_ZONE = "UTC"


@dataclass(frozen=True)
class Timing:
    """One schedule. It looks each day at its hour; on which days there is something to do, `is_due` says.

    Attributes:
        name: of the schedule.
        hour: of the day, on the clock of time_zone.
        time_zone: IANA name.
        description: what runs then.
        close_after_days: a month's close is what it waits for, so many days after the month's last; None for every day.
        park_id: the park that it is for; None for the whole home.
    """

    name: str
    hour: int
    time_zone: str
    description: str
    close_after_days: int | None = None
    park_id: str | None = None

    @property
    def cron(self) -> str:
        """The same for Dagster, which looks every day: no cron can say "ten days after a month of any length"."""
        return f"0 {self.hour} * * *"

    def next_look_after(self, instant: datetime) -> datetime:
        """The first time after an instant at which it looks, with the offset of the schedule's zone."""
        return next(self._looks_after(instant))

    def next_after(self, instant: datetime) -> datetime:
        """The first time after an instant at which there is something to do by policy."""
        return next(at for at in self._looks_after(instant) if self.is_due(at.date()))

    def is_due(self, day: date) -> bool:
        """Whether a month closes by policy as this day begins; every day, where nothing waits for a close."""
        return self.close_after_days is None or (day - timedelta(days=self.close_after_days)).day == 1

    def _looks_after(self, instant: datetime) -> Iterator[datetime]:
        zone = ZoneInfo(self.time_zone)
        day = instant.astimezone(zone).date()
        while True:
            at = datetime.combine(day, time(self.hour), tzinfo=zone)
            if at > instant:
                yield at
            day += timedelta(days=1)


def settlement(park: Park) -> Timing:
    """Each morning of the park's clock: land what has come and settle."""
    return Timing(
        name=f"daily_settlement_{park.park_id.replace('-', '_')}",
        hour=SETTLEMENT_HOUR,
        time_zone=park.time_zone,
        description=f"Daily settlement at {SETTLEMENT_HOUR:02d}:00 of {park.time_zone}, after the day's files of "
        f"{park.park_id}.",
        park_id=park.park_id,
    )


def close(home: Home) -> Timing:
    """Once a month has closed: state its books."""
    days = home.policies.close_after_days
    return Timing(
        name="monthly_close",
        hour=CLOSE_HOUR,
        time_zone=CLOSE_ZONE,
        description=f"Looks daily at {CLOSE_HOUR}:00 UTC for months that every contract has closed (policy: {days} days after "
        "their last) and that are not stated yet, and states and seals them.",
        close_after_days=days,
    )


def monthly_report(home: Home) -> Timing:
    """Once a month's books are stated: draw its report."""
    return Timing(
        name="monthly_report",
        hour=REPORT_HOUR,
        time_zone=CLOSE_ZONE,
        description=f"Looks daily at {REPORT_HOUR}:00 UTC for stated months without an investor monitor, and draws it and the sheets.",
        close_after_days=home.policies.close_after_days,
    )


def timings(home: Home) -> list[Timing]:
    """Every schedule of a home."""
    return [*map(settlement, home.parks.values()), close(home), monthly_report(home)]


def last_day_due(park: Park, instant: datetime) -> date:
    """The last service day that should have landed by an instant: the day before the park's last settlement."""
    return (instant.astimezone(ZoneInfo(park.time_zone)) - timedelta(hours=SETTLEMENT_HOUR)).date() - timedelta(days=1)
