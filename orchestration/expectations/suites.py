"""What plausible data look like, table by table, as Great Expectations suites.

Bounds come from physics, from the contract of a feed or from the meaning of a column's name, never from what the data
happened to be. ``critical`` ones hold whatever a home holds, and stop publishing; ``warning`` ones are recorded. Great
Expectations sums in floats, so nothing here is a balance: those are reconciled exactly in ``publishing.identities``.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from ingest.contracts import CONTRACTS, FeedContract
from orchestration.expectations.covered import FEEDS, LAKE_FILES, RATES, SUITES, TELEMETRY_SAMPLE
from orchestration.publishing.catalogue import TABLES

# Its names are re-exported without saying so, which a strict type checker cannot follow.
gxe: Any = import_module("great_expectations.expectations")

Expectations = Sequence[Any]
WARNING = "warning"

# A GB300 draws 1.4 kW at its rating and about 1.4 times that in transients; a Rubin-class package is announced at
# 1.8 kW. 4 kW is beyond both with their share of a rack's other loads.
MAX_KWH_PER_GPU_HOUR = 4.0

# What the end of a mart's column says of its values; those which may be outside say why.
_BY_NAME: tuple[tuple[str, float | None, float | None], ...] = (
    ("_fraction", 0, 1),
    ("_probability", 0, 1),
    ("_gpu_hours", 0, None),
    ("_kwh", 0, None),
    ("_count", 0, None),
)
_MAY_BE_OUTSIDE: dict[str, str] = {
    "occupancy_fraction": "more leased than available is an exception row, not capped",
    "utilization_fraction": "GPUs without a lease may be busy",
    "start_occupancy_fraction": "as occupancy_fraction",
    "effective_take_fraction": "a vendor that pays more claims than it earns takes less than nothing",
    "ltv_fraction": "a loan may be worth more than its collateral",
    "pledged_revenue_fraction": "several creditors may hold a pledge on the same revenue",
    "pledge_to_revenue_fraction": "as pledged_revenue_fraction",
    "collection_effectiveness_fraction": "reversals may exceed collections",
    "gross_to_equity_fraction": "exposure may exceed equity",
    "max_backstop_exposure_to_equity_fraction": "exposure may exceed equity",
    "exposure_to_equity_fraction": "exposure may exceed equity",
    "total_exposure_to_equity_fraction": "exposure may exceed equity",
    "commitments_and_guarantees_to_equity_fraction": "commitments may exceed equity",
}


def capacity_hours() -> Expectations:
    """Hours of a tranche: nothing negative, no more observed than installed, energy within a GPU's physics."""
    hours = ("installed", "no_sample", "fault", "maintenance", "available", "leased", "busy")
    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        *(gxe.ExpectColumnValuesToBeBetween(column=f"{hour}_gpu_hours", min_value=0) for hour in hours),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="installed_gpu_hours", column_B="available_gpu_hours", or_equal=True
        ),
        gxe.ExpectColumnValuesToBeBetween(column="coverage_fraction", min_value=0, max_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="it_energy_kwh", min_value=0),
    ]


def power_days() -> Expectations:
    """A park's day of power: PUE is never below one by more than a meter's error."""
    return [
        gxe.ExpectColumnValuesToBeBetween(column="facility_energy_kwh", min_value=0),
        gxe.ExpectColumnValuesToBeBetween(column="estimated_energy_fraction", min_value=0, max_value=1),
        # A meter that sees part of a park gives a PUE below one: exception rows say so, and the books go on.
        gxe.ExpectColumnValuesToBeBetween(column="pue", min_value=0.9, max_value=5.0, mostly=0.99, severity=WARNING),
    ]


def exchange_rates() -> Expectations:
    """Exchange rates: positive."""
    return [gxe.ExpectColumnValuesToBeBetween(column="rate", min_value=0, strict_min=True)]


def share_months() -> Expectations:
    """Share of a month: activation is 0 to 1; minima, true-ups and credit notes lawfully give rates beyond 0 and 1."""
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="effective_rate", min_value=0, max_value=1, mostly=0.5, severity=WARNING
        ),
        gxe.ExpectColumnValuesToBeBetween(column="activation_fraction", min_value=0, max_value=1),
    ]


def backstop_months() -> Expectations:
    """Backstop of a month: claims are never negative and never more than what is unsold."""
    return [
        gxe.ExpectColumnValuesToBeBetween(column="claim_amount", min_value=0),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="unsold_gpu_hours", column_B="claim_gpu_hours", or_equal=True
        ),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="installed_gpu_hours", column_B="committed_gpu_hours", or_equal=True
        ),
    ]


def lake_files() -> Expectations:
    """Lake files: each holds rows of its day, and no more count than it holds."""
    return [
        gxe.ExpectColumnValuesToBeBetween(column="row_count", min_value=1),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="row_count", column_B="landed_count", or_equal=True),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="max_recorded_at", column_B="min_recorded_at", or_equal=True
        ),
    ]


def telemetry_samples() -> Expectations:
    """Samples: the contract's bounds; sensors that move, and that say something most of the time."""
    return [
        *_of_contract(CONTRACTS["gpu_telemetry"]),
        gxe.ExpectColumnValuesToNotBeNull(column="utilization_pct", mostly=0.5, severity=WARNING),
        gxe.ExpectColumnValuesToNotBeNull(column="power_w", mostly=0.5, severity=WARNING),
        gxe.ExpectColumnUniqueValueCountToBeBetween(column="power_w", min_value=2, severity=WARNING),
        gxe.ExpectColumnMeanToBeBetween(column="utilization_pct", min_value=0.1, max_value=99.9, severity=WARNING),
    ]


# What the name of a column and the contract of a feed cannot tell.
_SPECIAL: dict[str, Callable[[], Expectations]] = {
    LAKE_FILES: lake_files,
    TELEMETRY_SAMPLE: telemetry_samples,
    RATES: exchange_rates,
    "metering.fct_capacity_hour": capacity_hours,
    "metering.fct_power_day": power_days,
    "revenue_share.fct_share_month": share_months,
    "backstop.fct_backstop_month": backstop_months,
}


def _of_contract(contract: FeedContract) -> list[Any]:
    """A feed's contract once more, on what landing let pass."""
    found: list[Any] = []
    for column in contract.columns:
        if column.is_required:
            found.append(gxe.ExpectColumnValuesToNotBeNull(column=column.name))
        if column.choices:
            found.append(gxe.ExpectColumnValuesToBeInSet(column=column.name, value_set=list(column.choices)))
        if column.minimum is not None or column.maximum is not None:
            low, high = (None if bound is None else float(bound) for bound in (column.minimum, column.maximum))
            found.append(gxe.ExpectColumnValuesToBeBetween(column=column.name, min_value=low, max_value=high))
    return found + [
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A=end, column_B=start) for start, end in contract.ordered
    ]


def _of_mart(table: str, columns: Sequence[str]) -> list[Any]:
    """One row a key, and values that the column's name allows."""
    key = list(TABLES[table].key)
    found: list[Any] = [
        gxe.ExpectCompoundColumnsToBeUnique(column_list=key)
        if len(key) > 1
        else gxe.ExpectColumnValuesToBeUnique(column=key[0])
    ]
    for column in columns:
        bounds = next(((low, high) for ending, low, high in _BY_NAME if column.endswith(ending)), None)
        if bounds and column not in _MAY_BE_OUTSIDE:
            found.append(
                gxe.ExpectColumnValuesToBeBetween(
                    column=column, min_value=bounds[0], max_value=bounds[1], severity=WARNING
                )
            )
    return found


def suite_of(table: str, columns: Sequence[str]) -> list[Any]:
    """The expectations of a table or frame.

    Args:
        table: one of SUITES.
        columns: its columns.

    Raises:
        KeyError: no suite is written for it.
    """
    if table not in SUITES:
        raise KeyError(f"no suite is written for {table}")
    special = list(_SPECIAL[table]()) if table in _SPECIAL else []
    general = _of_contract(FEEDS[table]) if table in FEEDS else _of_mart(table, columns) if table in TABLES else []
    # What a table says of its own goes before what its contract or its columns' names say of the same.
    return list({_said(expectation): expectation for expectation in (*general, *special)}.values())


def _said(expectation: Any) -> tuple[str, str]:
    """What an expectation is about: its kind and its column, by which a check is named."""
    arguments = expectation.configuration.kwargs
    return expectation.configuration.type, str(arguments.get("column") or arguments.get("column_A"))
