"""The whole credit group, from receivables to the backstop's worth and exposure, for 200 contracts over 36 months."""

from __future__ import annotations

import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from jobs_home import CONTRACT, backstop, home, invoice, lease, month_list, payment

from orchestration.polars_jobs.frames import add_months, month_end
from orchestration.polars_jobs.programme import GROUPS, Outputs
from tests.benchmarks.measuring import Case, Run, Size

CONTRACTS: dict[Size, int] = {"small": 20, "seed": 200}
MONTHS = 36
CREDIT = ("issuer", "receivables", "collections", "backstop_worth", "credit_loss", "exposure")
FIRST = date(2027, 1, 1)
# Each month's invoice is paid this many days after it falls due, in turn: on time, late, very late.
DAYS_LATE = (0, 0, 12, 0, 45, 0, 0, 75)


def frames(contracts: int, months: int) -> dict[str, pl.DataFrame]:
    """A home of contracts alike in kind and different in amounts: one tranche, three leases, an invoice and a payment a
    month, a claim a month.
    """
    calendar = month_list(FIRST, months)
    parts = [_contract(number, calendar) for number in range(contracts)]
    shared = {"raw.default_rate", "raw.issuer_fact", "raw.policy", "core.dim_operator"}
    return {name: parts[0][name] if name in shared else pl.concat([part[name] for part in parts]) for name in parts[0]}


def _contract(number: int, calendar: list[date]) -> dict[str, pl.DataFrame]:
    name = f"c{number:03d}"
    documents, payments = [], []
    for place, month in enumerate([add_months(calendar[0], -1), *calendar[:-1]]):
        amount = str(Decimal(100_000 + 997 * ((number * 31 + place * 17) % 400)))
        document = invoice(month, amount)
        documents.append(document)
        day = document["due_date"] + timedelta(days=DAYS_LATE[(number + place) % len(DAYS_LATE)])
        if day <= month_end(calendar[-1]):
            payments.append(payment(f"{name}-{place}", day, amount, document["item_id"]))
    made = backstop(home(calendar, documents, payments, claims=dict.fromkeys(calendar, "150000.00")))
    made["staging.stg_leases"] = pl.DataFrame(
        [
            lease(f"{name}-L{place}", gpus, calendar[0], add_months(calendar[0], length))
            for place, (gpus, length) in enumerate([(600, 18), (500, 30), (400, 60)])
        ]
    )
    own = pl.col(pl.String).str.replace_all(CONTRACT, name, literal=True)
    return {
        table: frame.with_columns(own.str.replace_all("sharon-au-1-a", f"{name}-a", literal=True))
        for table, frame in made.items()
    }


def nothing(_folder: Path, _size: Size) -> None:
    """The input is made in memory by each side."""


def _run(contracts: int) -> Run:
    given = frames(contracts, MONTHS)

    def run() -> float:
        known: Outputs = dict(given)
        for group in CREDIT:
            known.update(GROUPS[group](known))
        return known["credit.fct_exposure_month"].height / contracts

    return run


def project(_folder: Path, size: Size) -> Run:
    return _run(CONTRACTS[size])


def baseline(_folder: Path, size: Size) -> Run:
    return _run(CONTRACTS[size] // 10)


CASE = Case(
    name="the credit group over 36 months",
    baseline_name="a tenth of the contracts",
    unit="contracts",
    count=CONTRACTS,
    prepare=nothing,
    project=project,
    baseline=baseline,
    once=True,
    seconds_at_most=60,
)
