"""What `parkledger contract` does: find faults, and show what an amendment changes in money on the actual history."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import duckdb

from ingest.terms.contract import BackstopLifetimeCap, LifetimeAmount
from ingest.terms.errors import Problem
from ingest.terms.home import Home
from ingest.terms.tables import write_terms
from ingest.terms.yaml_source import KeyPath, YamlSource, read_yaml
from orchestration.settings import DBT_PROJECT, Settings

COMPARED = ("fct_share_month", "fct_backstop_month")
_FIGURES = """
    SELECT service_month, sum(share_amount), sum(claim_amount)
    FROM (
        SELECT contract_id, service_month, share_amount, 0 AS claim_amount FROM revenue_share.fct_share_month
        UNION ALL BY NAME
        SELECT contract_id, service_month, 0 AS share_amount, claim_amount FROM backstop.fct_backstop_month
    ) AS figures
    WHERE contract_id = ?
    GROUP BY service_month
"""
_SHARE_TO_DATE = """
    SELECT max(cumulative_share_amount) FROM revenue_share.fct_share_month
    WHERE contract_id = ? AND last_day(service_month) < ?
"""
_CLAIMED_TO_DATE = """
    SELECT max(claimed_to_date_amount) FROM backstop.fct_backstop_cap_month
    WHERE contract_id = ? AND last_day(service_month) < ?
"""


class Change(NamedTuple):
    """One service month with and without an amendment, in the contract's currency."""

    service_month: date
    share_before_amount: Decimal
    share_after_amount: Decimal
    claim_before_amount: Decimal
    claim_after_amount: Decimal


def without_amendment(home: Home, contract_id: str, amendment_id: str) -> Home:
    """The same home, had the amendment not been made.

    Raises ``ValueError`` where the contract or the amendment does not exist, or nothing would be left of the contract.
    """
    contract = home.contracts.get(contract_id)
    if contract is None:
        raise ValueError(f"{contract_id} is no booked contract; there are: {', '.join(sorted(home.contracts))}")
    kept = [version for version in contract.versions if version.amendment_id != amendment_id]
    if len(kept) == len(contract.versions):
        names = ", ".join(version.amendment_id for version in contract.versions)
        raise ValueError(f"{contract_id} has no amendment {amendment_id}; there are: {names}")
    if not kept:
        raise ValueError(f"{amendment_id} is all there is of {contract_id}: without it there is no contract")
    return replace(home, contracts={**home.contracts, contract_id: contract.model_copy(update={"versions": kept})})


def money_changes(settings: Settings, home: Home, contract_id: str, amendment_id: str) -> list[Change]:
    """Share and claims by service month without the amendment and with it, as known at the home's clock.

    Both are computed on copies of the working database by the same models that fill the published tables; nothing of
    the home is changed. Months in which neither differs are left out. Raises ``ValueError`` as `without_amendment`, and
    ``RuntimeError`` with dbt's own words where dbt fails.
    """
    other = without_amendment(home, contract_id, amendment_id)
    with tempfile.TemporaryDirectory(prefix="parkledger-") as folder:
        before, after = (_figures(settings, terms, contract_id, Path(folder)) for terms in (other, home))
    nothing = (Decimal("0.00"), Decimal("0.00"))
    changes = (
        Change(
            month,
            before.get(month, nothing)[0],
            after.get(month, nothing)[0],
            before.get(month, nothing)[1],
            after.get(month, nothing)[1],
        )
        for month in sorted(before.keys() | after.keys())
    )
    return [
        change
        for change in changes
        if (change.share_before_amount, change.claim_before_amount)
        != (change.share_after_amount, change.claim_after_amount)
    ]


def caps_below_paid(settings: Settings, home: Home) -> Iterator[Problem]:
    """Lifetime caps that an amendment sets below what had been accrued before it, by the published history.

    Such a cap is not impossible (nothing more is then earned or paid), but hardly meant: the fault names it.
    """
    if not settings.published_path.exists():
        return
    with duckdb.connect(str(settings.published_path), read_only=True) as connection:
        for source in _contract_sources(settings.home):
            contract = home.contracts.get(str(source.values.get("contract_id")))
            for position, version in enumerate(contract.versions if contract else []):
                # Of several blocks no one knows what each has accrued: the published figures add them up.
                caps: list[tuple[KeyPath, LifetimeAmount | BackstopLifetimeCap | None, str]] = [
                    (("revenue_share", block, "lifetime_cap"), share.lifetime_cap, _SHARE_TO_DATE)
                    for block, share in enumerate(version.revenue_share or [])
                    if len(version.revenue_share or []) == 1
                ]
                if version.backstop is not None:
                    caps.append((("backstop", "lifetime_cap"), version.backstop.lifetime_cap, _CLAIMED_TO_DATE))
                for path, cap, query in caps:
                    if cap is None:
                        continue
                    row = connection.execute(query, [source.values["contract_id"], version.valid_from]).fetchone()
                    if row is not None and row[0] is not None and cap.amount < row[0]:
                        yield source.problem(
                            ("versions", position, *path),
                            f"{cap.amount:,} is below the {row[0]:,} accrued before {version.valid_from}",
                            "give a cap that the contract has not passed yet",
                        )


def _contract_sources(home: Path) -> Iterator[YamlSource]:
    for path in sorted((home / "contracts").glob("*.yaml")):
        source = read_yaml(path, f"contracts/{path.name}")
        if isinstance(source, YamlSource):
            yield source


def _figures(settings: Settings, home: Home, contract_id: str, folder: Path) -> dict[date, tuple[Decimal, Decimal]]:
    warehouse = folder / "warehouse.duckdb"
    shutil.copyfile(settings.warehouse_path, warehouse)
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        write_terms(connection, home)
    done = subprocess.run(  # noqa: S603 - our own dbt
        list(_dbt_arguments(folder)),
        cwd=settings.home,
        env={**os.environ, "PARKLEDGER_WAREHOUSE": str(warehouse), "PARKLEDGER_MEMORY_LIMIT": settings.memory_limit},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"dbt could not build the ledgers:\n{done.stdout[-2000:]}")
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return {month: (share, claim) for month, share, claim in connection.execute(_FIGURES, [contract_id]).fetchall()}


def _dbt_arguments(folder: Path) -> Iterator[str]:
    # The dbt of this environment, whether or not it has been activated.
    yield str(Path(sys.executable).with_name("dbt"))
    yield from ("--no-use-colors", "run", "--select", *(f"+{model}" for model in COMPARED))
    yield from ("--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT))
    yield from ("--target-path", str(folder / "target"), "--log-path", str(folder))
