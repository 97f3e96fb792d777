"""Whether each daily feed has come, and whole: the last service day that has rows of a park, and how many it has.

A day is due at the park's settlement of the next morning (`timetable.last_day_due`), by the home's clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from statistics import median

import duckdb

from ingest.terms.home import Home
from orchestration import timetable

USUAL_DAYS = 28  # four weeks: as many of each weekday
_DAYS = """
    SELECT park_id, feed, service_date, sum(row_count)::BIGINT AS row_count
    FROM (
        SELECT park_id, feed, service_date, landed_count AS row_count FROM raw.lake_file WHERE landed_count > 0
        UNION ALL
        SELECT park_id, 'power_meter', timezone(park.time_zone, interval_start_at)::DATE, 1
        FROM raw.power_meter JOIN raw.park AS park USING (park_id)
    )
    WHERE list_contains(?, feed)
    GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True)
class Arrival:
    """One daily feed of one park.

    Attributes:
        park_id, feed: whose.
        last_day: last service day with rows, no later than the last one due.
        days_late: service days due after it.
        row_count: rows of that day.
        usual_row_count: median rows of a day over the 28 days before it that have rows; None where there are none.
    """

    park_id: str
    feed: str
    last_day: date
    days_late: int
    row_count: int
    usual_row_count: float | None

    def is_small(self, fraction: float) -> bool:
        """Whether the last day has fewer rows than a fraction of what is usual."""
        return self.usual_row_count is not None and self.row_count < fraction * self.usual_row_count


def arrivals(connection: duckdb.DuckDBPyConnection, home: Home) -> Iterator[Arrival]:
    """Every daily feed of which a row has landed, from the working tables."""
    counts: dict[tuple[str, str], dict[date, int]] = {}
    for park_id, feed, day, row_count in connection.execute(_DAYS, [list(timetable.DAILY_FEEDS)]).fetchall():
        counts.setdefault((park_id, feed), {})[day] = row_count
    for (park_id, feed), days in counts.items():
        if park_id not in home.parks:
            continue
        due = timetable.last_day_due(home.parks[park_id], home.clock_at)
        last = max((day for day in days if day <= due), default=None)
        if last is None:
            continue
        usual = [n for day, n in days.items() if 0 < (last - day).days <= USUAL_DAYS]
        yield Arrival(park_id, feed, last, (due - last).days, days[last], median(usual) if usual else None)
