"""What the lease book says of the time ahead and of its tenants: hours contracted, and revenue by tenant.

Read by covenants, stress and metrics alike. What a lease is billed in the past belongs to the warehouse, not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import polars as pl

from orchestration.polars_jobs.frames import Frames, add_months, month_end, month_start, optional
from orchestration.polars_jobs.operator_economics import lease_spans

Span = tuple[date, date, int, float]


def hours_ahead(lease: Span, day: date, months: int) -> float:
    """GPU-hours of a lease in the months after a day, in days of 24 hours."""
    first, last, gpus, _ = lease
    end = month_end(add_months(month_start(day), months))
    return max((min(last, end) - max(first, day)).days, 0) * 24.0 * gpus


def running_leases(frames: Frames, contract_id: str) -> list[Span]:
    """The third parties' leases of a contract, version by version, as last known."""
    leases = optional(frames, "core.dim_lease")
    return [] if leases is None else lease_spans(leases.filter(pl.col("contract_id") == contract_id))


def contracted_coverage(leases: Sequence[Span], gpus_in_service: int, day: date, months: int) -> tuple[float, float]:
    """GPU-hours contracted in the months after a day, and those that the GPUs in service on it will have."""
    supply = gpus_in_service * (month_end(add_months(month_start(day), months)) - day).days * 24.0
    return sum(hours_ahead(lease, day, months) for lease in leases), supply


def tenant_revenue(frames: Frames, contract_id: str, months: Sequence[date]) -> dict[str, Decimal]:
    """Net billed revenue of the months by tenant, third parties only."""
    days, leases = optional(frames, "metering.fct_lease_revenue_day"), optional(frames, "core.dim_lease")
    if days is None or leases is None:
        return {}
    rows = (
        days.filter(
            (pl.col("contract_id") == contract_id)
            & (pl.col("customer_type") == "third_party")
            & pl.col("service_date").dt.truncate("1mo").is_in(list(months))
        )
        .join(leases.select("lease_id", "tenant_id").unique(), on="lease_id")
        .group_by("tenant_id")
        .agg(pl.col("net_billed_amount").sum())
    )
    return {tenant: Decimal(amount) for tenant, amount in rows.iter_rows()}
