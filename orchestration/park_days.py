"""Which park-days a run has changed, table for table: so that a run shows what late rows reached, and nothing else.

The models themselves look for what is out of date; only days that somebody asks for are named to them here.
"""

from collections.abc import Mapping
from datetime import date

import duckdb

# What follows from rows of a park and day, in the order in which one is made from the other.
TABLES = (
    "intermediate.int_gpu_hours__by_tranche_hour",
    "metering.fct_capacity_hour",
    "metering.fct_capacity_day",
    "metering.fct_power_day",
    "metering.fct_lease_revenue_day",
)
LISTED = 100
_EXISTS = "SELECT 1 FROM information_schema.tables WHERE table_schema = ? AND table_name = ?"

ParkDay = tuple[str, date]
States = dict[str, dict[ParkDay, int]]


def states(connection: duckdb.DuckDBPyConnection) -> States:
    """A number for each park-day of each of TABLES that follows from its rows; equal rows give equal numbers."""
    found: States = {}
    for table in TABLES:
        schema, name = table.split(".")
        columns = {
            column
            for (column,) in connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = ? AND table_name = ?",
                [schema, name],
            ).fetchall()
        }
        if not columns:
            continue
        park = "t.park_id" if "park_id" in columns else "tranche.park_id"
        tranche = "" if "park_id" in columns else "JOIN core.dim_tranche AS tranche USING (tranche_id)"
        rows = connection.execute(
            f"SELECT {park}, t.service_date, sum(hash(t)::HUGEINT) FROM {table} AS t {tranche} GROUP BY ALL"
        ).fetchall()
        found[table] = {(park_id, day): number for park_id, day, number in rows}
    return found


def read_anew(connection: duckdb.DuckDBPyConnection, first: date, last: date) -> None:
    """Have the next build read the telemetry of some days from the lake again; all that is made of them is built anew anyway."""
    if connection.execute(_EXISTS, TABLES[0].split(".")).fetchall():
        connection.execute(
            f"UPDATE {TABLES[0]} SET partition_fingerprint = 'asked for anew' WHERE service_date BETWEEN ? AND ?",
            [first, last],
        )


def changes(before: States, after: States) -> Mapping[str, dict[str, int | list[str]]]:
    """By table: how many park-days are other than before, how many stand as they stood, and the first of the others."""
    found: dict[str, dict[str, int | list[str]]] = {}
    for table, now in after.items():
        then = before.get(table, {})
        other = sorted(day for day in {*now, *then} if now.get(day) != then.get(day))
        found[table] = {
            "changed_park_days": len(other),
            "kept_park_days": len(now.keys() - set(other)),
            "first_changed_park_days": [f"{park_id} {day.isoformat()}" for park_id, day in other[:LISTED]],
        }
    return found
