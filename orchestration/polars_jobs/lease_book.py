"""What the lease book says of the time ahead and of its tenants: hours contracted, and revenue by tenant.

Read by covenants, stress and metrics alike. What a lease is billed in the past belongs to the warehouse, not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import zip_longest
from typing import Any

import polars as pl

from orchestration.polars_jobs.errors import wrong
from orchestration.polars_jobs.frames import Frames, add_months, known_rows, month_end, month_start, need, optional
from orchestration.polars_jobs.functional_currency import last_rate, month_rates, no_rate
from orchestration.polars_jobs.operator_economics import lease_spans
from orchestration.polars_jobs.receivables import Close

Span = tuple[date, date, int, float]


def hours_ahead(lease: Span, day: date, months: int) -> float:
    """GPU-hours of a lease in the months after a day, in days of 24 hours."""
    first, last, gpus, _ = lease
    end = month_end(add_months(month_start(day), months))
    return max((min(last, end) - max(first, day)).days, 0) * 24.0 * gpus


def running_leases(frames: Frames, close: Close) -> list[Span]:
    """The third parties' leases of a contract, version by version, as known at a close; as last known where
    ``staging.stg_leases`` (every known version) is not given.
    """
    versions = optional(frames, "staging.stg_leases")
    if versions is not None:
        return known_leases(versions.filter(pl.col("contract_id") == close.contract_id).iter_rows(named=True), close)
    leases = optional(frames, "core.dim_lease")
    return [] if leases is None else lease_spans(leases.filter(pl.col("contract_id") == close.contract_id))


def known_leases(versions: Iterable[Mapping[str, Any]], close: Close) -> list[Span]:
    """The same, of the rows of one contract. A version holds from its own start until the next one's or its own end; one
    that starts where another started replaces it (READINGS.md, 7).
    """
    by_lease: dict[str, list[Mapping[str, Any]]] = {}
    for row in known_rows(versions, ["park_id", "lease_id", "version"], close.known_at):
        by_lease.setdefault(row["lease_id"], []).append(row)
    spans: list[Span] = []
    for own in by_lease.values():
        own.sort(key=lambda row: (row["starts_at"], row["version"]))
        for row, following in zip_longest(own, own[1:]):
            ends = [instant for instant in (row["ends_at"], (following or {}).get("starts_at")) if instant is not None]
            bills = row["status"] in {"active", "ended"} and row["customer_type"] != "vendor_own_use"
            if bills and ends and min(ends) > row["starts_at"]:
                spans.append(
                    (
                        row["starts_at"].date(),
                        min(ends).date(),
                        int(row["gpu_count"]),
                        float(row["price_per_gpu_hour"]),
                    )
                )
    return spans


def contracted_coverage(leases: Sequence[Span], gpus_in_service: int, day: date, months: int) -> tuple[float, float]:
    """GPU-hours contracted in the months after a day, and those that the GPUs in service on it will have."""
    supply = gpus_in_service * (month_end(add_months(month_start(day), months)) - day).days * 24.0
    return sum(hours_ahead(lease, day, months) for lease in leases), supply


REVENUE = "metering.fct_lease_revenue_day"


def in_contract_currency(frames: Frames) -> Frames:
    """The frames with what leases in other currencies were billed in their contract's: net_billed_amount of
    ``metering.fct_lease_revenue_day`` at the mean of the service month's rates, as the share takes it by default, else at the
    last one by then. Raises :class:`CreditInputError`, naming the contract, where there is none.
    """
    days = optional(frames, REVENUE)
    if days is None or "currency_code" not in days.columns:
        return frames
    own = need(frames, "core.dim_contract", "contract_id", "currency_code").select("contract_id", own="currency_code")
    month = pl.col("service_date").dt.truncate("1mo")
    pairs = (
        days.join(own, on="contract_id")
        .filter(pl.col("currency_code") != pl.col("own"))
        .group_by("contract_id", "currency_code", "own", month=month)
        .len()
        .sort("contract_id", "currency_code", "month")
    )
    if pairs.is_empty():
        return frames
    rates = optional(frames, "raw.fx_rate")
    found = []
    for contract_id, foreign, into, first, _ in pairs.iter_rows():
        known = month_rates(rates, foreign, into, first)
        rate = last_rate(rates, foreign, into, month_end(first)) if known is None else known.mean
        if rate is None:
            raise wrong("currency of leases", foreign, no_rate(foreign, into, month_end(first)), contract_id)
        found.append((contract_id, foreign, first, float(rate)))
    keys = ["contract_id", "currency_code", "month"]
    table = pl.DataFrame(found, schema=[*keys, "rate"], orient="row")
    amount = pl.col("net_billed_amount")
    translated = (
        days.with_columns(month=month)
        .join(table.cast({"month": days.schema["service_date"]}), on=keys, how="left", maintain_order="left")
        .with_columns(
            net_billed_amount=pl.when(pl.col("rate").is_null())
            .then(amount)
            .otherwise((amount.cast(pl.Float64) * pl.col("rate")).cast(days.schema["net_billed_amount"]))
        )
        .select(days.columns)
    )
    return {**frames, REVENUE: translated}


def tenant_revenue(frames: Frames, contract_id: str, months: Sequence[date]) -> dict[str, Decimal]:
    """Net billed revenue of the months by tenant, third parties only."""
    days, leases = optional(frames, REVENUE), optional(frames, "core.dim_lease")
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
