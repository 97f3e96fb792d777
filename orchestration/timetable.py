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
CLOSE_HOUR = 12
CLOSE_ZONE = "UTC"


@dataclass(frozen=True)
class Timing:
    """One schedule.

    Attributes:
        name: of the schedule.
        hour: of the day, on the clock of time_zone.
        time_zone: IANA name.
        day_of_month: the day on which it runs; None for every day.
        description: what runs then.
    """

    name: str
    hour: int
    time_zone: str
    day_of_month: int | None
    description: str

    @property
    def cron(self) -> str:
        """The same for Dagster."""
        return f"0 {self.hour} {'*' if self.day_of_month is None else self.day_of_month} * *"

    def next_after(self, instant: datetime) -> datetime:
        """The first time after an instant, with the offset of the schedule's zone."""
        return next(at for at in self._times(instant.astimezone(ZoneInfo(self.time_zone)).date()) if at > instant)

    def _times(self, day: date) -> Iterator[datetime]:
        while True:
            if self.day_of_month in {None, day.day}:
                yield datetime.combine(day, time(self.hour), tzinfo=ZoneInfo(self.time_zone))
            day += timedelta(days=1)


def settlement(park: Park) -> Timing:
    """Each morning of the park's clock: land what has come and settle."""
    return Timing(
        name=f"daily_settlement_{park.park_id.replace('-', '_')}",
        hour=SETTLEMENT_HOUR,
        time_zone=park.time_zone,
        day_of_month=None,
        description=f"Daily settlement at {SETTLEMENT_HOUR:02d}:00 of {park.time_zone}, after the day's files of "
        f"{park.park_id}.",
    )


def close(home: Home) -> Timing:
    """The day after the close policy's last day: state the month's books."""
    day = home.policies.close_after_days + 1
    return Timing(
        name="monthly_close",
        hour=CLOSE_HOUR,
        time_zone=CLOSE_ZONE,
        day_of_month=day,
        description=f"On day {day} of a month: the statement of the month before, which has closed by then.",
    )


def last_day_due(park: Park, instant: datetime) -> date:
    """The last service day that should have landed by an instant: the day before the park's last settlement."""
    return (instant.astimezone(ZoneInfo(park.time_zone)) - timedelta(hours=SETTLEMENT_HOUR)).date() - timedelta(days=1)
