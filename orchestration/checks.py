"""Blocking asset checks: Great Expectations on what came in and what was built, identities on what would be published.

A check that fails stops everything downstream of it in the same run, so the snapshot published before stays published.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg

from ingest import mending
from orchestration.assets.publish import CANDIDATE
from orchestration.assets.raw import WAREHOUSE_POOL, raw_key
from orchestration.check_results import CheckResult, record
from orchestration.expectations.outcome import Expectation
from orchestration.publishing import identities, snapshot
from orchestration.resources import HomeFolder, ProgressDisplay, Warehouse
from orchestration.settings import Settings

# One op after dbt checks what came in (staging) and what was built: a failure stops the credit jobs and publishing.
CHECKED = (
    "staging.stg_leases",
    "staging.stg_payments",
    "staging.stg_fx_rate",
    "metering.fct_capacity_hour",
    "metering.fct_power_day",
    "revenue_share.fct_share_month",
    "backstop.fct_backstop_month",
)
CHECK_NAME = "great_expectations"


def validate_apart(warehouse_path: str, tables: Sequence[str]) -> dict[str, list[Expectation]]:
    """Run the suites in a process of their own: Great Expectations leaves connections open, and only a process that
    ends surely gives the database file back to dbt.

    Raises:
        RuntimeError: the process failed; its message is that of the process.
    """
    command = [sys.executable, "-m", "orchestration.expectations.validation", warehouse_path, *tables]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if finished.returncode != 0:
        raise RuntimeError(f"Great Expectations could not run: {finished.stderr.strip()[-2000:]}")
    found = json.loads(finished.stdout)
    return {table: [Expectation(**outcome) for outcome in outcomes] for table, outcomes in found.items()}


def plausibility(tables: Sequence[str] = CHECKED) -> dg.AssetChecksDefinition:
    """One op that validates several tables, for Great Expectations takes seconds to import."""

    @dg.multi_asset_check(
        name="plausibility",
        specs=[
            dg.AssetCheckSpec(
                CHECK_NAME,
                asset=dg.AssetKey(table.split(".")),
                blocking=True,
                description="Plausible values, by physics and by the contract of the table.",
            )
            for table in tables
        ],
        pool=WAREHOUSE_POOL,
    )
    def check(warehouse: Warehouse, progress: dg.ResourceParam[ProgressDisplay]) -> Iterator[dg.AssetCheckResult]:
        progress.step("Checking plausibility with Great Expectations")
        with warehouse.reader() as connection:
            filled = [t for t in tables if connection.sql(f"SELECT count(*) FROM {t}").fetchall()[0][0]]
        outcomes: dict[str, list[Expectation]] = {table: [] for table in tables} | validate_apart(
            warehouse.path, filled
        )
        with warehouse.writer() as connection:
            record(
                connection,
                CHECK_NAME,
                [
                    CheckResult(f"{table} {e.name}", table, "error", e.passed, e.measured, e.expected)
                    for table, found in outcomes.items()
                    for e in found
                ],
            )
        for table, found in outcomes.items():
            failed = [e for e in found if not e.passed]
            yield dg.AssetCheckResult(
                asset_key=dg.AssetKey(table.split(".")),
                check_name=CHECK_NAME,
                passed=not failed,
                description="; ".join(f"{e.name} ({e.expected}): {e.measured}" for e in failed) or f"{len(found)} hold",
                metadata={"expectations": len(found), "rows": table in filled},
            )

    return check


def blocking_rules() -> dg.AssetChecksDefinition:
    """No row stands in quarantine for a rule that a policy has block."""

    @dg.asset_check(
        name="blocking_rules",
        asset=raw_key("quarantined_row"),
        blocking=True,
        pool=WAREHOUSE_POOL,
        description="Rules that a policy has block (rule_severity) are broken by no row that was not released since.",
    )
    def check(home_folder: HomeFolder, warehouse: Warehouse) -> dg.AssetCheckResult:
        rules = sorted(r for r, severity in home_folder.load().policies.rule_severity.items() if severity == "block")
        with warehouse.writer() as connection:
            found = mending.rows(connection, rules=rules) if rules else []
            said = [f"{row.path}:{row.line_no} breaks {row.rule} ({row.row_id})" for row in found[:5]]
            result = CheckResult("blocking rules", "raw.quarantined_row", "error", not found, str(len(found)), "0")
            record(connection, "blocking_rules", [result] if rules else [])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        remedy = "; mend and release them: parkledger quarantine list"
        return dg.AssetCheckResult(
            passed=not found,
            description="; ".join(said) + more + remedy if found else f"{len(rules)} rules block, no row breaks them",
            metadata={"rules": rules, "rows": len(found)},
        )

    return check


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
