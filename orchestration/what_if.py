"""Questions of a user's own, asked of the books as they were last built: a stress, and a comparison of deals.

The books themselves are only read. Answers are rows of the published tables' own columns, in a file of their own beside
the monitor.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ingest.terms.scenario import Scenario
from orchestration.assets.credit import WAREHOUSE_INPUTS
from orchestration.polars_jobs import deals
from orchestration.polars_jobs.lease_book import in_contract_currency
from orchestration.polars_jobs.operator_economics import park_months
from orchestration.polars_jobs.operator_stress import operator_books
from orchestration.polars_jobs.policies import policy_from_frame
from orchestration.polars_jobs.stress import stress_results
from orchestration.resources import Warehouse
from orchestration.settings import Settings
from orchestration.shell import text_of

BUILT = ("credit.fct_receivable_item", "ledger.fct_trial_balance_month")


def _frames(settings: Settings) -> dict[str, pl.DataFrame]:
    warehouse = Warehouse(
        path=str(settings.warehouse_path), memory_limit=settings.memory_limit, threads=settings.threads
    )
    return dict(in_contract_currency(warehouse.frames([*WAREHOUSE_INPUTS, *BUILT])))


def stress_rows(settings: Settings, scenario: Scenario) -> pl.DataFrame:
    """The scenario and the baseline, one row each per contract, as in ``credit.fct_stress_result``. A weight of the
    scenario is not looked at: what is asked for is a stress.
    """
    frames = _frames(settings)
    macro = frames["raw.scenario"].filter(pl.col("weight").is_not_null())
    asked = pl.DataFrame(
        [
            {
                "scenario_id": scenario.scenario_id,
                "scenario_name": scenario.scenario_name,
                "weight": None,
                "driver": driver.driver,
                "value": driver.value,
                "source": driver.source,
                "evidence_grade": driver.grade,
            }
            for driver in scenario.drivers
        ],
        schema=macro.schema,
    )
    policy = policy_from_frame(frames["raw.policy"])
    frames["raw.scenario"] = pl.concat([macro, asked])
    return stress_results(frames, operator_books(frames, park_months(frames, policy)), policy)


def compare_rows(settings: Settings, chosen: Sequence[str] | None) -> pl.DataFrame:
    """The chosen deals (None: all) on every case, as in ``credit.fct_deal_comparison``. Raises ``CreditInputError`` for
    an unknown deal.
    """
    frames = _frames(settings)
    policy = policy_from_frame(frames["raw.policy"])
    return deals.deal_comparison(frames, park_months(frames, policy), policy, chosen)


def write_rows(settings: Settings, as_of: str, name: str, rows: pl.DataFrame) -> Path:
    """Write the rows beside the monitor of the day as CSV, no cell a formula to a spreadsheet; the same question replaces
    its own answer.
    """
    folder = settings.reports_folder / as_of
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.csv"
    path.write_text(text_of(rows, "csv"), encoding="utf-8")
    return path
