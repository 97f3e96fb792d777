"""A home with an inbox to be landed: what is in it, what a landing leaves, and landings that are killed."""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl
from small_home import LEASE_HEADER, drop, lease_row, make_home

TABLES = ("leases", "lease_usage", "power_meter", "gpu_telemetry", "lake_file", "quarantined_row", "landed_file")
USAGE = "lease_id,interval_start_at,interval_end_at,gpu_hours,recorded_at\n"
METER = "meter_id,register,role,interval_start_at,interval_end_at,energy_kwh,quality\n"
COUNTS = "landed_count + duplicate_count + superseded_count + quarantined_count"


def write_home(path: Path) -> Path:
    """A home in which nothing has landed yet."""
    home = make_home(path)
    write_inbox(home)
    return home


def write_inbox(home: Path) -> None:
    """Some files of each kind: telemetry of several days and files, duplicates, corrections, broken rows, a wrong file."""
    for day in range(1, 4):
        at = pl.datetime_range(
            pl.datetime(2027, 1, day, time_zone="UTC"),
            pl.datetime(2027, 1, day, 23, 50, time_zone="UTC"),
            "10m",
            eager=True,
        )
        frame = pl.DataFrame({"sampled_at": at}).join(
            pl.DataFrame({"gpu_id": [f"a-{n}" for n in range(20)]}), how="cross"
        )
        frame = frame.with_columns(
            node_id="gpu_id", gpu_model=pl.lit("GB300"), utilization_pct=pl.lit(50.0), power_w=pl.lit(900.0 + day)
        )
        target = drop(home, "gpu_telemetry", f"{day}.parquet", b"")
        frame.write_parquet(target)
        if day % 2:
            frame.with_columns(power_w=pl.lit(950.0)).head(500).write_csv(target.with_name(f"{day}-again.csv"))
    hours = [f"2027-01-02T{hour:02d}:00:00Z,2027-01-02T{hour + 1:02d}:00:00Z" for hour in range(23)]
    usage = "".join(f"L{n % 3},{hour},{n},2027-01-03T00:00:00Z\n" for n, hour in enumerate(hours))
    drop(home, "lease_usage", "u.csv", USAGE + usage + "L9,x,y,z,\n")
    drop(home, "lease_usage", "u-again.csv", USAGE + usage.replace("2027-01-03T", "2027-01-04T"))
    drop(home, "power_meter", "m.csv", METER + "".join(f"m,1,it,{hour},5,actual\n" for hour in hours))
    # Beyond the home's clock: the file is marked, to be read again once that has come so far.
    coming = [hour.replace("2027-01", "2028-01") for hour in hours[:3]]
    drop(home, "power_meter", "coming.csv", METER + "".join(f"m,2,it,{hour},5,actual\n" for hour in hours[:3] + coming))
    drop(home, "leases", "l.csv", LEASE_HEADER + "".join(lease_row(f"L{n}") for n in range(3)))
    drop(home, "leases", "wrong.csv", "lease,price\n1,2\n")


def contents(home: Path) -> dict[str, list[tuple[object, ...]]]:
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute("SET TimeZone = 'UTC'")
        return {table: con.execute(f"SELECT * FROM raw.{table} ORDER BY ALL").fetchall() for table in TABLES}


def is_sound(home: Path) -> None:
    """What is there after a kill holds: every file is accounted for to the row, and no lake file is missing."""
    if not (home / "warehouse.duckdb").exists():
        return
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        tables = {
            name
            for (name,) in con.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'raw'").fetchall()
        }
        if {"landed_file", "lake_file"} <= tables:
            assert con.execute(f"FROM raw.landed_file WHERE row_count <> {COUNTS}").fetchall() == []
            assert [
                path
                for (path,) in con.execute("SELECT path FROM raw.lake_file").fetchall()
                if not (home / path).exists()
            ] == []
