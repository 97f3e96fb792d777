"""What plausible data look like, table by table, as Great Expectations suites.

Bounds come from physics or from the contract, never from what the data happened to be. Great Expectations sums in
floats, so nothing here is a balance: those are reconciled exactly in ``orchestration.reconciliations``.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

# Its names are re-exported without saying so, which a strict type checker cannot follow.
gxe: Any = import_module("great_expectations.expectations")

Suite = Callable[[], Sequence[Any]]

# A GB300 draws 1.4 kW at its rating and about 1.4 times that in transients; a Rubin-class package is announced at
# 1.8 kW. 4 kW is beyond both with their share of a rack's other loads.
MAX_KWH_PER_GPU_HOUR = 4.0


def capacity_hours() -> Sequence[Any]:
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
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["tranche_id", "interval_start_at"]),
    ]


def power_days() -> Sequence[Any]:
    """A park's day of power: PUE is never below one by more than a meter's error."""
    return [
        gxe.ExpectColumnValuesToBeBetween(column="facility_energy_kwh", min_value=0),
        gxe.ExpectColumnValuesToBeBetween(column="estimated_energy_fraction", min_value=0, max_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="pue", min_value=0.9, max_value=5.0, mostly=0.99),
    ]


def leases() -> Sequence[Any]:
    """Leases: real counts, prices within what the market has ever seen."""
    return [
        gxe.ExpectColumnValuesToNotBeNull(column="lease_id"),
        gxe.ExpectColumnValuesToBeBetween(column="gpu_count", min_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="price_per_gpu_hour", min_value=0, max_value=1000),
        gxe.ExpectColumnValuesToBeInSet(column="customer_type", value_set=["third_party", "related", "vendor_own_use"]),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="ends_at", column_B="starts_at"),
    ]


def payments() -> Sequence[Any]:
    """Payments: a direction, an amount and a day."""
    return [
        gxe.ExpectColumnValuesToBeInSet(column="direction", value_set=["received", "paid", "tenant_received"]),
        gxe.ExpectColumnValuesToNotBeNull(column="received_at"),
        gxe.ExpectColumnValuesToNotBeNull(column="amount"),
    ]


def exchange_rates() -> Sequence[Any]:
    """Exchange rates: positive."""
    return [gxe.ExpectColumnValuesToBeBetween(column="rate", min_value=0, strict_min=True)]


def share_months() -> Sequence[Any]:
    """Share of a month: a rate is a fraction, activation is 0 to 1."""
    return [
        gxe.ExpectColumnValuesToBeBetween(column="effective_rate", min_value=0, max_value=1, mostly=0.95),
        gxe.ExpectColumnValuesToBeBetween(column="activation_fraction", min_value=0, max_value=1),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["contract_id", "service_month"]),
    ]


def backstop_months() -> Sequence[Any]:
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


# Tables whose rows may be absent in a home (no contract, no power meter) are checked only where there are rows.
SUITES: dict[str, Suite] = {
    "staging.stg_leases": leases,
    "staging.stg_payments": payments,
    "staging.stg_fx_rate": exchange_rates,
    "metering.fct_capacity_hour": capacity_hours,
    "metering.fct_power_day": power_days,
    "revenue_share.fct_share_month": share_months,
    "backstop.fct_backstop_month": backstop_months,
}
