"""Blocking asset checks: Great Expectations on what came in and what was built, identities on what would be published.

A check that fails stops everything downstream of it in the same run, so the snapshot published before stays published.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl

from ingest import holding, lake
from orchestration import alerting
from orchestration.arrivals import Arrival, arrivals
from orchestration.assets.publish import CANDIDATE
from orchestration.assets.raw import WAREHOUSE_POOL, raw_key
from orchestration.check_results import CheckResult, record
from orchestration.expectations.covered import LAKE_FILES, TELEMETRY_SAMPLE
from orchestration.expectations.outcome import Expectation
from orchestration.publishing import identities, snapshot
from orchestration.resources import HomeFolder, ProgressDisplay, Warehouse
from orchestration.settings import Settings

# One op after dbt checks what came in (staging) and what was built: a failure stops the credit jobs and publishing. One
# after the credit jobs checks their marts: a failure stops publishing.
CHECK_NAME = "great_expectations"
BLOCKING_RULES = "blocking_rules"
SAMPLE_FILES, SAMPLE_ROWS_A_FILE = 16, 2_000


def validate_apart(
    warehouse_path: str,
    tables: Sequence[str],
    frames: Mapping[str, pl.DataFrame] | None = None,
    docs: Path | None = None,
) -> dict[str, list[Expectation]]:
    """Run the suites in a process of their own: Great Expectations leaves connections open, and only a process that
    ends surely gives the database file back to dbt.

    Args:
        warehouse_path: the database.
        tables: tables of it that have a suite.
        frames: frames that are no table yet, by the name of their suite.
        docs: a folder for Data Docs of what was found.

    Raises:
        RuntimeError: the process failed; its message is that of the process.
    """
    command = [sys.executable, "-m", "orchestration.expectations", warehouse_path]
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: f"{folder}/{number}.parquet" for number, name in enumerate(frames or {})}
        for name, path in paths.items():
            (frames or {})[name].write_parquet(path)
        request = json.dumps({"tables": list(tables), "frames": paths, "docs": str(docs) if docs else None})
        finished = subprocess.run(command, input=request, capture_output=True, text=True, check=False)  # noqa: S603
    if finished.returncode != 0:
        raise RuntimeError(f"Great Expectations could not run: {finished.stderr.strip()[-2000:]}")
    found = json.loads(finished.stdout)
    return {table: [Expectation(**outcome) for outcome in outcomes] for table, outcomes in found.items()}


_RELATIONS = "SELECT table_schema, table_name FROM information_schema.tables"


def filled(warehouse_path: str, tables: Sequence[str]) -> list[str]:
    """Those of the tables that are there and hold rows: a home without contracts or meters leaves many empty."""
    with duckdb.connect(warehouse_path, read_only=True) as connection:
        known = {f"{schema}.{name}" for schema, name in connection.execute(_RELATIONS).fetchall()}
        return [t for t in tables if t in known and connection.sql(f"SELECT 1 FROM {t} LIMIT 1").fetchall()]


def telemetry_sample(warehouse_path: str, home: Path) -> pl.DataFrame:
    """The newest samples of telemetry, as far as a check needs them."""
    with duckdb.connect(warehouse_path, read_only=True) as connection:
        return lake.newest_rows(connection, home, "gpu_telemetry", SAMPLE_FILES, SAMPLE_ROWS_A_FILE)


def plausibility(name: str, tables: Sequence[str], *, before_publishing: bool = False) -> dg.AssetChecksDefinition:
    """One op that validates several tables, for Great Expectations takes seconds to import.

    Args:
        name: of the op.
        tables: tables that have a suite.
        before_publishing: whether the checks stand on the next snapshot instead of on each table: tables that are made one
            from the other cannot wait for one op that waits for all of them.
    """
    places = {
        table: (CANDIDATE, f"{CHECK_NAME}_{table.replace('.', '_')}")
        if before_publishing
        else (dg.AssetKey(table.split(".")), CHECK_NAME)
        for table in tables
    }

    @dg.multi_asset_check(
        name=name,
        specs=[
            dg.AssetCheckSpec(
                check_name,
                asset=asset,
                blocking=True,
                description=f"Plausible values of {table}, by physics and by the contract of the table.",
            )
            for table, (asset, check_name) in places.items()
        ],
        pool=WAREHOUSE_POOL,
    )
    def check(
        home_folder: HomeFolder, warehouse: Warehouse, progress: dg.ResourceParam[ProgressDisplay]
    ) -> Iterator[dg.AssetCheckResult]:
        progress.step("Checking plausibility with Great Expectations")
        frames: dict[str, pl.DataFrame] = {}
        if LAKE_FILES in tables:
            sample = telemetry_sample(warehouse.path, Path(home_folder.path))
            frames = {} if sample.is_empty() else {TELEMETRY_SAMPLE: sample}
        there = filled(warehouse.path, tables)
        found = validate_apart(warehouse.path, there, frames)
        with warehouse.writer() as connection:
            record(
                connection,
                f"{CHECK_NAME} {name}",
                [
                    CheckResult(f"{table} {e.name}", table, e.severity, e.passed, e.measured, e.expected)
                    for table, outcomes in found.items()
                    for e in outcomes
                ],
            )
        for table in tables:
            outcomes = found.get(table, []) + (found.get(TELEMETRY_SAMPLE, []) if table == LAKE_FILES else [])
            failed = [e for e in outcomes if not e.passed]
            yield dg.AssetCheckResult(
                asset_key=places[table][0],
                check_name=places[table][1],
                passed=not any(e.severity == "error" for e in failed),
                description="; ".join(f"{e.name} ({e.expected}): {e.measured}" for e in failed)
                or f"{len(outcomes)} hold",
                metadata={"expectations": len(outcomes), "warnings": len(failed), "rows": table in there},
            )

    return check


def blocking_rules() -> dg.AssetChecksDefinition:
    """Partitions that a policy's rules hold back, by name; everything else is built and published."""

    @dg.asset_check(
        name=BLOCKING_RULES,
        asset=raw_key("held_partition"),
        pool=WAREHOUSE_POOL,
        description="No park-day is held back by rules that a policy has block (rule_severity, block_above_fraction).",
    )
    def check(home_folder: HomeFolder, warehouse: Warehouse) -> dg.AssetCheckResult:
        rules = sorted(r for r, severity in home_folder.load().policies.rule_severity.items() if severity == "block")
        with warehouse.writer() as connection:
            found = holding.held(connection)
            days = len({(one.park_id, one.feed, one.service_date) for one in found})
            result = CheckResult("blocking rules", "raw.held_partition", "warn", not found, str(days), "0")
            record(connection, BLOCKING_RULES, [result] if rules else [])
        return dg.AssetCheckResult(
            passed=not found,
            severity=dg.AssetCheckSeverity.WARN,
            description=holding.told(found) if found else f"{len(rules)} rules block, no row breaks them",
            metadata={"rules": rules, "held_partitions": days, "rows": sum(one.held_row_count for one in found)},
        )

    return check


def arrival_check(feed: str, settings: Settings) -> dg.AssetChecksDefinition:
    """A daily feed is neither late nor half empty; a warning and an alert, for the other feeds are published all the same."""

    @dg.asset_check(
        name="arrival",
        asset=raw_key(feed),
        pool=WAREHOUSE_POOL,
        description="Each park's last day due has landed (policy feed_late_days), with at least as many rows as policy "
        "feed_volume_fraction has of a usual day.",
    )
    def check(home_folder: HomeFolder, warehouse: Warehouse) -> dg.AssetCheckResult:
        home = home_folder.load()
        policies = home.policies
        with warehouse.writer() as connection:
            found = [arrival for arrival in arrivals(connection, home) if arrival.feed == feed]
            late = [a for a in found if a.days_late > policies.feed_late_days]
            small = [a for a in found if a.is_small(float(policies.feed_volume_fraction))]
            results = [
                CheckResult(
                    f"{a.feed} of {a.park_id} has come",
                    f"raw.{feed}",
                    "warn",
                    a not in late,
                    f"{a.days_late} days late",
                    f"at most {policies.feed_late_days}",
                )
                for a in found
            ] + [
                CheckResult(
                    f"{a.feed} of {a.park_id} is whole",
                    f"raw.{feed}",
                    "warn",
                    a not in small,
                    f"{a.row_count} rows on {a.last_day}",
                    f"at least {policies.feed_volume_fraction} of {a.usual_row_count:g}",
                )
                for a in found
                if a.usual_row_count is not None
            ]
            record(connection, f"arrival {feed}", results)
        said = [f"{a.park_id}: {a.days_late} days late, the last is {a.last_day}" for a in late]
        said += [f"{a.park_id}: {a.row_count} rows on {a.last_day}, usual are {a.usual_row_count:g}" for a in small]
        if settings.as_of == "home":  # another clock for one run is no news
            for arrival in found:
                _alert(settings, "late", arrival, f"{feed} is late", said, stands=arrival in late)
                _alert(settings, "volume", arrival, f"{feed} is less than usual", said, stands=arrival in small)
        return dg.AssetCheckResult(
            passed=not said,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(said) or f"{len(found)} parks have delivered",
            metadata={a.park_id: f"{a.last_day}: {a.row_count} rows, {a.days_late} days late" for a in found},
        )

    return check


def _alert(settings: Settings, kind: str, arrival: Arrival, rule: str, said: Sequence[str], *, stands: bool) -> None:
    alert_id = f"{kind}:{arrival.park_id}:{arrival.feed}"
    if stands:
        about = "; ".join(text for text in said if text.startswith(f"{arrival.park_id}:"))
        alerting.raise_alert(settings, alert_id, rule=rule, about=about, severity="warning")
    else:
        alerting.clear_alert(settings, alert_id)


def audit(settings: Settings) -> dg.AssetChecksDefinition:
    """Every identity of the books, recomputed from the candidate in exact arithmetic."""

    @dg.asset_check(
        name="identities",
        asset=CANDIDATE,
        blocking=True,
        pool=WAREHOUSE_POOL,
        description="Rows, hours, journal, sub-ledger against control account, allowance, caps: recomputed from the "
        "tables about to be published, with no tolerance.",
    )
    def check(warehouse: Warehouse, progress: dg.ResourceParam[ProgressDisplay]) -> dg.AssetCheckResult:
        progress.step("Auditing the next snapshot")
        path = snapshot.candidate_folder(settings.published_folder) / snapshot.DATABASE
        outcomes = identities.verify(Path(path))
        with warehouse.writer() as connection:
            record(
                connection,
                "identities",
                [CheckResult(o.name, o.tables, "error", o.passed, o.measured, o.expected) for o in outcomes],
            )
        failed = [o for o in outcomes if not o.passed]
        return dg.AssetCheckResult(
            passed=not failed,
            description="; ".join(f"{o.name}: {o.measured}" for o in failed) or f"{len(outcomes)} identities hold",
            metadata={"identities": len(outcomes), "failed": [o.name for o in failed]},
        )

    return check
