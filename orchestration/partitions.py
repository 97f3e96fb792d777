"""Park × day for the feeds, months for closes.

A home whose ``as_of`` is a date has its own calendar, which may lie ahead of the computer's; so its days are listed
rather than derived from the computer's clock. A home that follows the computer's clock uses Dagster's own daily windows.
"""

from datetime import date, timedelta

import dagster as dg

from ingest.terms.home import Home

FIRST_DAY_WITHOUT_TRANCHES = date(2020, 1, 1)
# Dagster writes one event for each park-day and feed, about 4 ms. A run lands whatever is pending, of any day; it is
# recorded as the settlement of the latest park-days, at most so many. 1,000 holds 15 months of two parks in 8 s; a
# home of seven parks over seven years would spend minutes on 17,000 events that say the same.
MAX_RECORDED_PARK_DAYS = 1_000
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


def first_service_day(home: Home) -> date:
    """The earliest day on which any tranche of the home is energised; the home's last day where all are planned."""
    days = [
        tranche.energised_date for park in home.parks.values() for tranche in park.tranches if tranche.energised_date
    ]
    return min(*days, home.as_of_date) if days else FIRST_DAY_WITHOUT_TRANCHES


def service_days(home: Home) -> list[str]:
    """Every service day from the first energised one to the home's last, as ISO dates."""
    first = first_service_day(home)
    return [(first + timedelta(days=n)).isoformat() for n in range(max(0, (home.as_of_date - first).days) + 1)]


def service_months(home: Home) -> list[str]:
    """The first day of every month that has begun, as ISO dates."""
    return sorted({day[:7] + "-01" for day in service_days(home)})


def park_day_partitions(home: Home) -> dg.MultiPartitionsDefinition:
    """One partition for each park and service day."""
    days: dg.PartitionsDefinition[str]
    if home.is_live:
        days = dg.DailyPartitionsDefinition(start_date=first_service_day(home).isoformat(), end_offset=1)
    else:
        days = dg.StaticPartitionsDefinition(service_days(home))
    return dg.MultiPartitionsDefinition({"day": days, "park": dg.StaticPartitionsDefinition(sorted(home.parks))})


def month_partitions(home: Home) -> dg.PartitionsDefinition[str]:
    """One partition for each month that can close."""
    if home.is_live:
        return dg.MonthlyPartitionsDefinition(start_date=service_months(home)[0])
    return dg.StaticPartitionsDefinition(service_months(home))


def range_tags(home: Home) -> dict[str, str]:
    """Run tags that make one run out of all park-days, or of the latest where there are very many."""
    keys = park_day_partitions(home).get_partition_keys()[-MAX_RECORDED_PARK_DAYS:]
    return {RANGE_START_TAG: keys[0], RANGE_END_TAG: keys[-1]}
