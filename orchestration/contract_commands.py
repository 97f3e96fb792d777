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

from ingest.reference import read_reference
from ingest.terms.contract import BackstopLifetimeCap, LifetimeAmount
from ingest.terms.errors import Problem
from ingest.terms.home import Home
from ingest.terms.tables import known_at, write_terms
from ingest.terms.yaml_source import KeyPath
from orchestration.sealed_terms import contract_sources
from orchestration.settings import DBT_PROJECT, Settings

# What the operator owes beside the share: claims taken back, the price of a termination, interest; less what the vendor owes
# beside claims.
_BESIDES = {
    "int_backstop_dues": "CASE owed_by WHEN 'vendor' THEN -due_amount ELSE due_amount END",
    "int_share_true_ups": "interest_amount",
    "int_advance_interest": "interest_amount",
}
COMPARED = ("fct_share_month", "fct_backstop_month", *_BESIDES)
_OWED_BESIDES = " UNION ALL ".join(
    f"SELECT contract_id, point_no, service_month, {amount} AS besides_amount FROM intermediate.{model}"
    for model, amount in _BESIDES.items()
)
_FIGURES = f"""
    SELECT service_month, sum(coalesce(share_amount, 0)), sum(coalesce(claim_amount, 0)), sum(coalesce(besides_amount, 0))
    FROM (
        SELECT contract_id, service_month, share_amount FROM revenue_share.fct_share_month
        UNION ALL BY NAME
        SELECT contract_id, service_month, claim_amount FROM backstop.fct_backstop_month
        UNION ALL BY NAME
        SELECT contract_id, service_month, besides_amount
        FROM ({_OWED_BESIDES})
        JOIN intermediate.int_knowledge_points USING (contract_id, point_no)
        WHERE is_clock
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
    """One service month with and without an amendment, in the contract's currency: share, claims, and what the operator owes
    beside the share (claims taken back, the price of a termination, interest).
    """

    service_month: date
    share_before_amount: Decimal
    share_after_amount: Decimal
    claim_before_amount: Decimal
    claim_after_amount: Decimal
    besides_before_amount: Decimal
    besides_after_amount: Decimal


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
    """Share, claims and what is owed besides by service month without the amendment and with it, as known at the home's clock.

    Both are computed on copies of the working database by the same models that fill the published tables; nothing of
    the home is changed. Months in which nothing differs are left out. Raises ``ValueError`` as `without_amendment`, and
    ``RuntimeError`` with dbt's own words where dbt fails.
    """
    other = without_amendment(home, contract_id, amendment_id)
    with tempfile.TemporaryDirectory(prefix="parkledger-") as folder:
        before, after = (_figures(settings, terms, contract_id, Path(folder)) for terms in (other, home))
    nothing = (Decimal("0.00"),) * 3
    found = []
    for month in sorted(before.keys() | after.keys()):
        was, is_now = before.get(month, nothing), after.get(month, nothing)
        if was != is_now:
            found.append(Change(month, *(amount for pair in zip(was, is_now, strict=True) for amount in pair)))
    return found


def caps_below_paid(settings: Settings, home: Home) -> Iterator[Problem]:
    """Lifetime caps that an amendment sets below what had been accrued before it, by the published history.

    Such a cap is not impossible (nothing more is then earned or paid), but hardly meant: the fault names it.
    """
    if not settings.published_path.exists():
        return
    with duckdb.connect(str(settings.published_path), read_only=True) as connection:
        for source in contract_sources(settings.home):
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


def currencies_without_rates(settings: Settings, home: Home) -> Iterator[Problem]:
    """Currencies of landed leases, or of the park, that no rate of `reference/fx.csv` translates into the contract's.

    Both ways of a pair count, of the source that the contract names, or of the only source that quotes the pair.
    """
    quotes = [
        (str(row["from_currency"]), str(row["to_currency"]), str(row["source"]))
        for row in read_reference(home)["fx_rate"]
    ]
    billed = _lease_currencies(settings)
    for source in contract_sources(settings.home):
        contract = home.contracts.get(str(source.values.get("contract_id")))
        if contract is None:
            continue
        park = home.parks[contract.park_id]
        own = contract.currency_code
        for position, version in enumerate(contract.versions):
            for block, share in enumerate(version.revenue_share or []):
                for currency in sorted(({park.currency_code} | billed.get(contract.park_id, set())) - {own}):
                    sources = {name for start, end, name in quotes if {start, end} == {currency, own}}
                    if len(sources) == 1 or share.fx.source.lower() in {name.lower() for name in sources}:
                        continue
                    said = f"several sources quote it, none of them {share.fx.source}" if sources else "no source does"
                    yield source.problem(
                        ("versions", position, "revenue_share", block, "fx", "source"),
                        f"leases may be billed in {currency}, and nothing translates it into {own}: {said}",
                        f"add rates from {currency} to {own}, or the other way, to reference/fx.csv",
                    )


def _lease_currencies(settings: Settings) -> dict[str, set[str]]:
    """Currencies in which each park's landed leases are billed."""
    if not settings.warehouse_path.exists():
        return {}
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
        if not connection.execute(
            "SELECT 1 FROM duckdb_tables() WHERE schema_name = 'raw' AND table_name = 'leases'"
        ).fetchall():
            return {}
        rows = connection.execute(
            "SELECT park_id, list(DISTINCT currency_code) FROM raw.leases GROUP BY park_id"
        ).fetchall()
    return {park_id: set(currencies) for park_id, currencies in rows}


def amendments_before_a_close(settings: Settings, home: Home) -> Iterator[Problem]:
    """Amendments that claim to have been known at a close that was published without them.

    What a close has posted never changes: an amendment may hold from a day of a closed month, and then corrects it in
    the open one, but the ledger knows it only from the day on which it came to be known.
    """
    if not settings.published_path.exists():
        return
    with duckdb.connect(str(settings.published_path), read_only=True) as connection:
        published = set(
            connection.execute("SELECT DISTINCT contract_id, amendment_id FROM core.fct_contract_terms").fetchall()
        )
        closes = connection.execute(
            "SELECT contract_id, posting_month, closed_at FROM ledger.fct_period_close ORDER BY closed_at"
        ).fetchall()
    for source in contract_sources(settings.home):
        contract = home.contracts.get(str(source.values.get("contract_id")))
        for position, version in enumerate(contract.versions if contract else []):
            own = [(month, at) for name, month, at in closes if contract and name == contract.contract_id]
            late = [(month, at) for month, at in own if at >= known_at(version)]
            if late and contract and (contract.contract_id, version.amendment_id) not in published:
                month, at = late[0]
                yield source.problem(
                    ("versions", position, "recorded_at" if version.recorded_at else "valid_from"),
                    f"{version.amendment_id} is said to be known at the close of {month:%Y-%m} ({at:%Y-%m-%d}), stated without it",
                    "write as recorded_at when it came to be known; months before that are corrected in the open month",
                )


def _figures(settings: Settings, home: Home, contract_id: str, folder: Path) -> dict[date, tuple[Decimal, ...]]:
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
        return {month: tuple(amounts) for month, *amounts in connection.execute(_FIGURES, [contract_id]).fetchall()}


def _dbt_arguments(folder: Path) -> Iterator[str]:
    # The dbt of this environment, whether or not it has been activated.
    yield str(Path(sys.executable).with_name("dbt"))
    yield from ("--no-use-colors", "run", "--select", *(f"+{model}" for model in COMPARED))
    yield from ("--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT))
    yield from ("--target-path", str(folder / "target"), "--log-path", str(folder))
