"""A home of one park with random samples of every kind that metering tells apart, on days of 25, 23 and 24 hours.

The park's clock lies half an hour off the hours of UTC and changes for summer time. Files stand in the lake as delivered
(clean), as delivered with counts, codes and landing times of their own, rewritten row by row (a GPU's rows again,
corrected), and as one sample an hour.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb

from ingest import landing
from ingest.kept_journal import create_tables
from ingest.terms.home import load_home
from ingest.terms.init import write_example_home
from ingest.terms.tables import write_terms
from ingest.terms.templates import CONTRACT, PARK

PARK_ID, ZONE = "my-park-1", ZoneInfo("Australia/Adelaide")
LONG_DAY, SHORT_DAY, HOURLY_DAY = date(2027, 4, 4), date(2027, 10, 3), date(2027, 6, 1)
LATE = "2027-12-01 00:00:00+00"
BEFORE_THE_CLOSE = "2027-04-05 00:00:00+00"


def instants(day: date, step_minutes: int) -> str:
    """SQL: the instants of a day of the park's clock."""
    first, last = (
        datetime(each.year, each.month, each.day, tzinfo=ZONE).astimezone(UTC) for each in (day, day + timedelta(1))
    )
    return (
        f"SELECT unnest(generate_series(TIMESTAMPTZ '{first}', TIMESTAMPTZ '{last}' - INTERVAL 1 MINUTE, "
        f"INTERVAL {step_minutes} MINUTE)) AS sampled_at"
    )


def _write(path: Path, day: date, gpus: int, columns: str, *, step: int = 1) -> None:
    """A file of one row a GPU and instant."""
    _sql(
        f"COPY (SELECT 'a-' || gpu AS gpu_id, 'a-' || (gpu // 4) AS node_id, 'GB300' AS gpu_model, sampled_at, {columns} "
        f"FROM ({instants(day, step)}), (SELECT unnest(range({gpus})) AS gpu) ORDER BY gpu, sampled_at) "
        f"TO '{path}' (FORMAT parquet)"
    )


def _sql(statement: str) -> None:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'; SET threads = 2")
        con.execute(statement)


def write_random_home(home: Path, gpus: int, seed: int) -> int:
    """Write and land the home.

    Args:
        home: a new folder.
        gpus: GPUs, or racks, of each kind of file.
        seed: of the samples.

    Returns:
        Rows of telemetry.
    """
    write_example_home(home)
    (home / "home.yaml").write_text("title: Random\nas_of: 2027-12-31\n", encoding="utf-8")
    park = PARK.replace("Australia/Sydney", str(ZONE)).replace("gpu_count: 5000", f"gpu_count: {80 * gpus}")
    (home / "parks" / f"{PARK_ID}.yaml").write_text(park, encoding="utf-8")
    (home / "contracts" / "my-contract-1.yaml").write_text(CONTRACT, encoding="utf-8")
    target = home / "landing" / PARK_ID / "gpu_telemetry"
    target.mkdir(parents=True)

    def r(below: int) -> str:
        return f"hash({seed}, gpu, epoch_us(sampled_at), {below}) % {below}"

    # Four decimals: a thousandth of a percent is often a half.
    plain = (
        f"CASE WHEN {r(50)} > 0 THEN {r(1000001)} / 10000 END AS utilization_pct, "
        f"CASE WHEN {r(40)} > 0 THEN {r(14000000)} / 10000 END AS power_w"
    )
    racks = (
        f"CAST(CASE WHEN {r(30)} > 0 THEN {r(101)} END AS FLOAT) AS utilization_pct, CAST(300 + {r(1100)} AS INTEGER) AS power_w, "
        f"CAST(1 + {r(72)} AS INTEGER) AS gpu_count, CASE WHEN {r(2000)} = 0 THEN 79 WHEN {r(1000)} = 0 THEN 31 END AS xid_code, "
        "TIMESTAMPTZ '2027-04-10 00:00:00+00' AS recorded_at"
    )
    _write(
        target / "long-day.parquet",
        LONG_DAY,
        gpus,
        f"{plain}, TIMESTAMPTZ '{BEFORE_THE_CLOSE}' AS recorded_at",
    )
    _write(target / "short-day.parquet", SHORT_DAY, gpus, plain)
    _write(target / "racks.parquet", date(2027, 7, 1), gpus, racks)
    _write(target / "hourly.parquet", HOURLY_DAY, gpus, f"{plain}, CAST(1 + {r(72)} AS INTEGER) AS gpu_count", step=60)
    # Rows of the long day once more, other and known after its month had closed; some of them twice, some as they were.
    _sql(
        f"""COPY (
            SELECT * REPLACE (
                CASE WHEN hash(gpu_id, sampled_at) % 3 = 0 THEN utilization_pct ELSE 12.3456 END AS utilization_pct,
                TIMESTAMPTZ '{LATE}' AS recorded_at
            ) FROM read_parquet('{target / "long-day.parquet"}')
            WHERE hash(gpu_id) % 8 = 0 AND hash(sampled_at) % 5 = 0
            UNION ALL
            FROM read_parquet('{target / "long-day.parquet"}') WHERE hash(gpu_id) % 16 = 0 AND hash(sampled_at) % 7 = 0
        ) TO '{target / "again.parquet"}' (FORMAT parquet)"""
    )
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute("SET TimeZone = 'UTC'")
        loaded = load_home(home)
        landing.create_raw_tables(con)
        create_tables(con)
        write_terms(con, loaded)
        landed = landing.land(con, loaded, landing.pending(con, loaded))
    return sum(file.row_count - file.quarantined_count for file in landed)
