"""Which park-days a run has changed, table for table: so that a run shows what late rows reached, and nothing else.

The models themselves look for what is out of date; only days that somebody asks for are named to them here.
"""

from collections.abc import Mapping
from datetime import date

import duckdb

# What follows from rows of a park and day, in the order in which one is made from the other.
TABLES = (
    "intermediate.int_gpu_hours__by_tranche_hour",
    "intermediate.int_outages__by_tranche_hour",
    "metering.fct_capacity_hour",
    "metering.fct_capacity_day",
    "metering.fct_power_day",
    "metering.fct_lease_revenue_day",
)
LISTED = 100
_EXISTS = "SELECT 1 FROM information_schema.tables WHERE table_schema = ? AND table_name = ?"

ParkDay = tuple[str, date]
# By table and park-day: a number for its rows, and the fingerprint of what they were built from; of either, null where there is none.
States = dict[str, dict[ParkDay, tuple[int | None, str | None]]]


def states(connection: duckdb.DuckDBPyConnection) -> States:
    """How each park-day of each of TABLES stands; equal rows give equal numbers."""
    found: States = {}
    for table in TABLES:
        schema, name = table.split(".")
        columns = _columns(connection, schema, name)
        if not columns:
            continue
        park = "t.park_id" if "park_id" in columns else "tranche.park_id"
        tranche = "" if "park_id" in columns else "JOIN core.dim_tranche AS tranche USING (tranche_id)"
        rows = connection.execute(
            f"SELECT {park}, t.service_date, sum(hash(t)::HUGEINT) FROM {table} AS t {tranche} GROUP BY ALL"
        ).fetchall()
        numbers: dict[ParkDay, int] = {(park_id, day): number for park_id, day, number in rows}
        built = _fingerprints(connection, table, columns)
        found[table] = {day: (numbers.get(day), built.get(day)) for day in {*numbers, *built}}
    return found


def _columns(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> set[str]:
    return {
        column
        for (column,) in connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = ? AND table_name = ?",
            [schema, name],
        ).fetchall()
    }


def _fingerprints(connection: duckdb.DuckDBPyConnection, table: str, columns: set[str]) -> dict[ParkDay, str]:
    """What each park-day was built from: in the rows themselves, or in the notes of macros/kept_parts.sql."""
    noted = f"standing__{table.split('.')[1]}"
    if "partition_fingerprint" in columns:
        query = f"SELECT DISTINCT park_id, service_date, partition_fingerprint FROM {table}"
    elif _columns(connection, "intermediate", noted):
        query = f"SELECT park_id, service_date, fingerprint FROM intermediate.{noted}"
    else:
        return {}
    return {(park_id, day): fingerprint for park_id, day, fingerprint in connection.execute(query).fetchall()}


def read_anew(connection: duckdb.DuckDBPyConnection, first: date, last: date) -> None:
    """Have the next build read the telemetry of some days from the lake again; all that is made of them is built anew anyway."""
    if connection.execute(_EXISTS, TABLES[0].split(".")).fetchall():
        connection.execute(
            f"UPDATE {TABLES[0]} SET partition_fingerprint = 'asked for anew' WHERE service_date BETWEEN ? AND ?",
            [first, last],
        )


def changes(before: States, after: States) -> Mapping[str, dict[str, int | list[str]]]:
    """By table: how many park-days were built anew and how many came out other than before, how many stand as they stood, and the first."""
    found: dict[str, dict[str, int | list[str]]] = {}
    for table, now in after.items():
        then = before.get(table, {})
        days = {*now, *then}
        other = sorted(day for day in days if _part(now, day, 0) != _part(then, day, 0))
        rebuilt = sorted(day for day in days if _part(now, day, 1) != _part(then, day, 1))
        found[table] = {
            "rebuilt_park_days": len(rebuilt),
            "first_rebuilt_park_days": _named(rebuilt),
            "changed_park_days": len(other),
            "kept_park_days": sum(1 for day in now.keys() - set(other) if _part(now, day, 0) is not None),
            "first_changed_park_days": _named(other),
        }
    return found


def _part(
    states_of_table: Mapping[ParkDay, tuple[int | None, str | None]], day: ParkDay, part: int
) -> int | str | None:
    return states_of_table.get(day, (None, None))[part]


def _named(days: list[ParkDay]) -> list[str]:
    return [f"{park_id} {day.isoformat()}" for park_id, day in days[:LISTED]]
