"""More than anybody sends: each completes, or is refused with a stated limit; time and memory stand in the table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb
from homes import Bench, environment
from small_home import CONTRACT_ID, LEASE_HEADER, PARK_ID, drop, lease_row, make_home
from tally import Tally, case

# Of the process that lands; DuckDB takes its own default part of the machine's memory within it.
LIMIT_GIB = 8.0


def measured(home: Path, stage: str = "land") -> tuple[float, float, str]:
    """A stage in a process of its own: seconds, peak GiB, and what went wrong."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("stage.py")), stage, str(home)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wrong = "" if "done" in said and process.returncode == 0 else said[-600:]
    return time.monotonic() - begun, usage.ru_maxrss / 1024**2, wrong


def _loaded(tally: Tally, home: Path, expected: int, query: str) -> Tally:
    """Land, and count what must be there."""
    seconds, gib, wrong = measured(home)
    tally.injected, tally.seconds = 1, seconds
    found = 0
    if not wrong:
        with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
            [(found,)] = con.execute(query).fetchall()
    tally.rows_lost = max(0, expected - found) if not wrong else 0
    tally.rows_doubled = max(0, found - expected)
    tally.survived = int(not wrong and gib <= LIMIT_GIB)
    tally.note(f"{found:,} of {expected:,} in {seconds:.0f} s, at most {gib:.1f} GiB{'; ' + wrong if wrong else ''}")
    shutil.rmtree(home.parent)
    return tally


def _copy(query: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as con:
        con.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet)")


@case("load")
def many_files_in_one_folder(bench: Bench) -> Tally:
    count = bench.times(100_000)
    home = make_home(bench.empty() / "home")
    folder = home / "landing" / PARK_ID / "payments" / "2027-02-01"
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:06d}.csv").write_text(
            "payment_id,contract_id,direction,received_at,amount,currency_code\n"
            f"p{number},{CONTRACT_ID},received,2027-02-01T00:00:00Z,{number}.25,USD\n"
        )
    return _loaded(
        Tally(f"{count:,} landing files in one day's folder"), home, count, "SELECT count(*) FROM raw.payments"
    )


@case("load")
def many_lease_adjustments(bench: Bench) -> Tally:
    count = bench.times(5_000_000)
    home = make_home(bench.empty() / "home")
    drop(home, "leases", "l.csv", LEASE_HEADER + "".join(lease_row(f"L{n}") for n in range(100)))
    rows = (
        "SELECT 'a' || n AS adjustment_id, 'L' || (n % 100) AS lease_id, DATE '2027-01-05' + (n % 150)::INTEGER AS service_date, "
        f"'credit' AS kind, -(n % 1000)::DECIMAL(18, 2) AS amount, 'USD' AS currency_code FROM range({count}) AS r (n)"
    )
    _copy(rows, home / "landing" / PARK_ID / "lease_adjustments" / "a.parquet")
    return _loaded(Tally(f"{count:,} lease adjustments"), home, count, "SELECT count(*) FROM raw.lease_adjustments")


@case("load")
def many_contracts(bench: Bench) -> Tally:
    count = bench.times(10_000)
    home = make_home(bench.empty() / "home")
    text = (home / "contracts" / f"{CONTRACT_ID}.yaml").read_text()
    for number in range(1, count):
        (home / "contracts" / f"c{number:05d}.yaml").write_text(text.replace(CONTRACT_ID, f"c{number:05d}"))
    return _loaded(Tally(f"{count:,} contracts"), home, count, "SELECT count(*) FROM raw.contract")


@case("load")
def a_park_of_a_million_gpus(bench: Bench) -> Tally:
    """An hour of samples every five minutes, as one Parquet file."""
    count = bench.times(1_000_000)

    def park(text: str) -> str:
        return "\n".join(
            f"    gpu_count: {count}" if line.strip().startswith("gpu_count:") else line for line in text.splitlines()
        )

    home = make_home(bench.empty() / "home", park=park)
    nodes = next(line for line in (home / "parks" / f"{PARK_ID}.yaml").read_text().splitlines() if "nodes:" in line)
    node = nodes.split("nodes:")[1].strip().strip('"').split("#")[0].strip().strip('"').replace("*", "01")
    rows = (
        f"SELECT '{node}-' || g AS gpu_id, '{node}' AS node_id, 'GB300' AS gpu_model, "
        "TIMESTAMPTZ '2027-03-01 00:00:00Z' + to_minutes(5 * s) AS sampled_at, (g % 100)::DOUBLE AS utilization_pct, "
        "900.0::DOUBLE AS power_w, "
        f"TIMESTAMPTZ '2027-03-01 02:00:00Z' AS recorded_at FROM range({count}) AS a (g), range(12) AS b (s) ORDER BY gpu_id, sampled_at"
    )
    _copy(rows, home / "landing" / PARK_ID / "gpu_telemetry" / "t.parquet")
    tally = Tally(f"one park of {count:,} GPUs for one hour")
    return _loaded(tally, home, 12 * count, "SELECT coalesce(sum(landed_count), 0)::BIGINT FROM raw.lake_file")


@case("load")
def many_tenants(bench: Bench) -> Tally:
    count = bench.times(1000)
    home = make_home(bench.empty() / "home")
    header = LEASE_HEADER.replace("tenant_id,", "tenant_id,tenant_name,")
    rows = [
        lease_row(f"L{n}")
        .replace(",T1,", f",T{n},{json.dumps(f'Tenant {n} of the – north & south')},")
        .replace(",GB300,1000,", ",GB300,1,")
        for n in range(count)
    ]  # fmt: skip
    drop(home, "leases", "l.csv", header + "".join(rows))
    tally = Tally(f"{count:,} tenants with names")
    return _loaded(tally, home, count, "SELECT count(DISTINCT tenant_name) FROM raw.leases")
