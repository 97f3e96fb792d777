"""Service days for the feeds, months for closes.

A day is that of every park, each by its own clock. Parks are no second dimension: Dagster makes one run for each value of
the smaller of two dimensions, so that a backfill of a month would be as many runs, each of which lands and builds all parks.

A home whose ``as_of`` is a date has its own calendar, which may lie ahead of the computer's; so its days are listed
rather than derived from the computer's clock. A home that follows the computer's clock uses Dagster's own daily windows.
"""

from collections.abc import Mapping
from datetime import date, timedelta

import dagster as dg
from dagster._core.storage.tags import BACKFILL_ID_TAG

from ingest.terms.home import Home, first_service_day

# Dagster writes one event for each day and feed, about 4 ms. A run lands whatever is pending, of any day; it is recorded as
# the settlement of the latest days, at most so many: 1,000 holds 33 months in 8 s.
MAX_RECORDED_DAYS = 1_000
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
ANEW_TAG = "parkledger/days_anew"

Days = tuple[date, date]


def service_days(home: Home) -> list[str]:
    """Every service day from the first energised one to the home's last, as ISO dates."""
    first = first_service_day(home)
    return [(first + timedelta(days=n)).isoformat() for n in range(max(0, (home.as_of_date - first).days) + 1)]


def service_months(home: Home) -> list[str]:
    """The first day of every month that has begun, as ISO dates."""
    return sorted({day[:7] + "-01" for day in service_days(home)})


def day_partitions(home: Home) -> dg.PartitionsDefinition[str]:
    """One partition for each service day, of all parks."""
    if home.is_live:
        return dg.DailyPartitionsDefinition(start_date=first_service_day(home).isoformat(), end_offset=1)
    return dg.StaticPartitionsDefinition(service_days(home))


def month_partitions(home: Home) -> dg.PartitionsDefinition[str]:
    """One partition for each month that can close."""
    if home.is_live:
        return dg.MonthlyPartitionsDefinition(start_date=service_months(home)[0])
    return dg.StaticPartitionsDefinition(service_months(home))


def range_tags(home: Home, days: Days | None = None) -> dict[str, str]:
    """Run tags that make one run out of all days, or of the latest where there are very many.

    Args:
        home: whose.
        days: first and last of a range that is to be computed anew, also where nothing is new; None asks for no such thing.
    """
    keys = day_partitions(home).get_partition_keys()
    anew = {}
    if days:
        first, last = (day.isoformat() for day in days)
        keys = [key for key in keys if first <= key <= last]
        anew = {ANEW_TAG: f"{first}/{last}"}
    recorded = keys[-MAX_RECORDED_DAYS:]
    return {RANGE_START_TAG: recorded[0], RANGE_END_TAG: recorded[-1], **anew}


def days_anew(tags: Mapping[str, str]) -> Days | None:
    """The days that a run is to compute anew: those asked for on the command line, or of a backfill of Dagster's page."""
    if ANEW_TAG in tags:
        first, last = tags[ANEW_TAG].split("/")
    elif BACKFILL_ID_TAG in tags and RANGE_START_TAG in tags:
        first, last = (tags[name] for name in (RANGE_START_TAG, RANGE_END_TAG))
    else:
        return None
    return date.fromisoformat(first), date.fromisoformat(last)
