"""Rows for a past day rebuild that day and nothing else; what they change is posted in the open month."""

import json
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest
from conftest import copy_home, parkledger
from simulated_home import NORTH

pytestmark = [pytest.mark.published, pytest.mark.slow]

DAY, KNOWN_AT = "2027-02-10", "2027-04-15T00:00:00Z"
CHANGED = (
    "intermediate/int_gpu_hours__by_tranche_hour",
    "intermediate/int_outages__by_tranche_hour",
    "metering/fct_capacity_hour",
    "metering/fct_capacity_day",
)
UNCHANGED = ("metering/fct_power_day", "metering/fct_lease_revenue_day")


def late_samples(home: Path) -> pl.DataFrame:
    """The samples of one rack at noon of DAY, in Jakarta, said again two months later with all GPUs idle."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        con.execute("SET TimeZone = 'Asia/Jakarta'")
        return con.sql(
            "SELECT gpu_id, node_id, gpu_model, sampled_at, 0.0 AS utilization_pct, power_microwatt / 1e6 AS power_w, "
            f"gpu_count, TIMESTAMPTZ '{KNOWN_AT}' AS recorded_at FROM raw.gpu_telemetry "
            f"WHERE park_id = '{NORTH}' AND interval_start_at = TIMESTAMPTZ '{DAY} 12:00:00' "
            "AND utilization_milli_pct > 0 QUALIFY gpu_id = min(gpu_id) OVER ()"
        ).pl()


def observed(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, object]]:
    """The latest observation of each asset that has one."""
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    found = {}
    with dg.DagsterInstance.get() as instance:
        for name in (*CHANGED, *UNCHANGED):
            (record,) = instance.fetch_observations(dg.AssetKey(name.split("/")), limit=1).records
            assert record.asset_observation is not None
            found[name] = {key: value.value for key, value in record.asset_observation.metadata.items()}
    return found


def journal(home: Path) -> pl.DataFrame:
    with duckdb.connect(str(home / "published" / "parkledger.duckdb"), read_only=True) as con:
        return con.sql("SELECT * EXCLUDE (run_id) FROM ledger.fct_journal_lines ORDER BY ALL").pl()


def test_late_rows_rebuild_their_own_day_and_leave_closed_months_alone(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copy_home(finished, tmp_path / "home")
    before = journal(home)
    samples = late_samples(home)
    assert samples.height > 0
    samples.write_parquet(home / "landing" / NORTH / "gpu_telemetry" / "late.parquet")
    done = parkledger(home, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    told = observed(home, monkeypatch)
    for name in CHANGED:
        assert told[name]["first_changed_park_days"] == [f"{NORTH} {DAY}"], name
        assert told[name]["kept_park_days"] > 100, name  # type: ignore[operator]
        assert told[name]["first_rebuilt_park_days"] == [f"{NORTH} {DAY}"], name
    assert told["metering/fct_lease_revenue_day"]["rebuilt_park_days"] == 0
    for name in UNCHANGED:
        assert told[name]["changed_park_days"] == 0, name
    manifest = json.loads((home / "published" / "manifest.json").read_text())
    assert manifest["tables"]["metering.fct_capacity_hour"]["row_count"] > 0
    closed = pl.col("is_provisional").not_()
    assert journal(home).filter(closed).equals(before.filter(closed))
