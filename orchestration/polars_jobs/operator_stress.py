"""What a stress does to the operator's own cash flow, which covenants it breaks, and how far it takes to break them.

A stress acts on the run rate of the months just ended, at once and on all of it: every lease is repriced, every empty
GPU-hour is claimed for as far as the backstop goes. That is harsher than the paths of stress, where contracts run on;
it is the question a lender asks. The paths themselves belong in stress.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
from scipy import optimize

from orchestration.polars_jobs.covenants import (
    covenants_in_force,
    headroom,
    lookback_of,
    measure,
    occupancy_by_month,
    passes,
)
from orchestration.polars_jobs.frames import Frames, add_months, make_frame, months_between, need, optional
from orchestration.polars_jobs.lease_book import tenant_revenue
from orchestration.polars_jobs.money import ZERO, money_from_estimate
from orchestration.polars_jobs.operator_economics import (
    RUN_RATE_MONTHS,
    ParkMonth,
    debt_service_coverage,
    run_rate,
    stressed_month,
)
from orchestration.polars_jobs.receivables import Close, read_closes

REVERSE_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "target": pl.String,
    "driver": pl.String,
    "level": pl.Float64,
    "null_reason": pl.String,
    "value_today": pl.Float64,
    "threshold": pl.Float64,
}

# Each driver with no stress and with the worst that is searched.
REVERSE_DRIVERS: Mapping[str, tuple[float, float]] = {
    "price_change_fraction": (0.0, -0.99),
    "occupancy_change_fraction": (0.0, -0.99),
    "power_price_multiple": (1.0, 100.0),
    "rate_shift_bp": (0.0, 10_000.0),
}


@dataclass(frozen=True)
class HoursSold:
    """A month's GPU-hours of one tranche: committed net of exclusions, sold to third parties, deductible, used by the
    vendor, and the buy-back price.
    """

    committed: float
    sold: float
    deductible: float
    vendor_use: float
    price: float


@dataclass(frozen=True)
class OperatorBook:
    """What the operator of one contract looks like at its latest close.

    ``months``: the park's months to it. ``hours``: the contract's tranches over the run-rate window. ``window_months``:
    how many months they cover. ``period_cap``: of a month, or None. ``largest_tenant_fraction``: of the contract's
    revenue in the window.
    """

    close: Close
    months: Sequence[ParkMonth]
    hours: Sequence[HoursSold]
    window_months: int
    period_cap: float | None
    lifetime_left: float | None
    months_to_expiry: int
    largest_tenant_fraction: float
    occupancy: Sequence[float | None]
    covenants: Sequence[dict[str, Any]]


def claims_at(book: OperatorBook, occupancy_factor: float) -> float:
    """The month's claim at the run rate if third parties took ``occupancy_factor`` of the hours that they take, after
    the monthly cap.
    """
    if not book.window_months:
        return 0.0
    total = sum(
        max(max(h.committed - h.sold * occupancy_factor - h.vendor_use, 0.0) - h.deductible, 0.0) * h.price
        for h in book.hours
    )
    monthly = total / book.window_months
    return monthly if book.period_cap is None else min(monthly, book.period_cap)


def stressed_run_rate(book: OperatorBook, drivers: Mapping[str, float]) -> ParkMonth | None:
    """The park's run rate under the drivers; None without economics.

    Prices and occupancy act on all revenue and, through it, on the share; occupancy also on claims; the largest
    tenant's revenue goes with it; power, and interest on all that is outstanding, as named.
    """
    usual = run_rate(book.months)
    if usual is None:
        return None
    price = (1.0 + drivers.get("price_change_fraction", 0.0)) * (
        1.0 + drivers.get("next_generation_price_change_fraction", 0.0)
    )
    sold = 1.0 + drivers.get("occupancy_change_fraction", 0.0)
    if drivers.get("largest_tenant_default"):
        sold *= 1.0 - book.largest_tenant_fraction
    stressed = stressed_month(
        usual,
        revenue_factor=price * sold,
        power_factor=drivers.get("power_price_multiple", 1.0),
        rate_shift=drivers.get("rate_shift_bp", 0.0) * 1e-4,
    )
    # Claims of the run rate are as booked; what the stress adds is the difference that it makes to them.
    more = claims_at(book, sold) - claims_at(book, 1.0)
    return replace(stressed, claims=usual.claims + money_from_estimate(more))


def dscr_under(book: OperatorBook, drivers: Mapping[str, float]) -> tuple[float | None, str | None]:
    """Debt service coverage of a month under the drivers, or None and why."""
    if drivers.get("operator_insolvency"):
        return None, "the operator has failed"
    month = stressed_run_rate(book, drivers)
    if month is None:
        return None, "the park's economics are not given"
    if month.power is None:
        return None, "no meter reading of a month in the window"
    value = debt_service_coverage(month.cash_flow, month.debt_service)
    return value, None if value is not None else "no debt service"


def breaches_under(book: OperatorBook, drivers: Mapping[str, float]) -> bool | None:
    """Whether any covenant that can be measured fails under the drivers; None where none can be, or none is agreed."""
    results = [
        passes(value, covenant["operator"], float(covenant["threshold"]))
        for covenant in book.covenants
        if (value := covenant_value(book, covenant, drivers)) is not None
    ]
    if drivers.get("operator_insolvency"):
        return True if book.covenants else None
    return not all(results) if results else None


def covenant_value(book: OperatorBook, covenant: Mapping[str, Any], drivers: Mapping[str, float]) -> float | None:
    """A covenant's value if its whole lookback were as the stressed run rate. Prices move what hardware is worth too."""
    month = stressed_run_rate(book, drivers)
    if month is None:
        return None
    lookback = lookback_of(dict(covenant))
    price = (1.0 + drivers.get("price_change_fraction", 0.0)) * (
        1.0 + drivers.get("next_generation_price_change_fraction", 0.0)
    )
    month = replace(month, collateral=money_from_estimate(float(month.collateral) * price))
    sold = 1.0 + drivers.get("occupancy_change_fraction", 0.0)
    occupancy = [None if value is None else value * sold for value in book.occupancy]
    return measure(covenant["metric"], [month] * lookback, occupancy, lookback).value


def operator_books(frames: Frames, parks: Mapping[str, list[ParkMonth]]) -> dict[str, OperatorBook]:
    """The book of every contract at its latest close. Reads what the covenant tests read, and
    ``backstop.fct_backstop_month``, ``backstop.fct_backstop_cap_month``, ``raw.backstop_terms``,
    ``metering.fct_lease_revenue_day`` and ``core.dim_lease`` where given.
    """
    contracts = {row["contract_id"]: row for row in need(frames, "core.dim_contract").iter_rows(named=True)}
    table = optional(frames, "raw.covenant")
    latest = {close.contract_id: close for close in read_closes(need(frames, "intermediate.int_closes"))}
    out: dict[str, OperatorBook] = {}
    for contract_id, close in sorted(latest.items()):
        contract = contracts[contract_id]
        window = [add_months(close.posting_month, -back) for back in range(RUN_RATE_MONTHS)]
        hours, seen = _hours(frames, contract_id, window)
        fractions = occupancy_by_month(frames, contract_id)
        cap, left = _caps(frames, close)
        out[contract_id] = OperatorBook(
            close=close,
            months=[row for row in parks.get(contract["park_id"], []) if row.month <= close.posting_month],
            hours=hours,
            window_months=seen,
            period_cap=cap,
            lifetime_left=left,
            months_to_expiry=max(months_between(close.posting_month, contract["expiry_date"]), 0),
            largest_tenant_fraction=_largest_tenant(frames, contract_id, window),
            occupancy=[fractions.get(month) for month in sorted(window)],
            covenants=[] if table is None else covenants_in_force(table, close),
        )
    return out


def _hours(frames: Frames, contract_id: str, window: Sequence[date]) -> tuple[list[HoursSold], int]:
    months = optional(frames, "backstop.fct_backstop_month")
    if months is None:
        return [], 0
    own = months.filter((pl.col("contract_id") == contract_id) & pl.col("service_month").is_in(list(window)))
    terms = optional(frames, "raw.backstop_terms")
    fraction = ZERO
    if terms is not None:
        found = terms.filter(pl.col("contract_id") == contract_id).sort("valid_from", "recorded_at")
        fraction = (found["deductible_fraction"][-1] or ZERO) if found.height else ZERO
    rows = [
        HoursSold(
            float(row["committed_gpu_hours"] - row["excluded_gpu_hours"]),
            float(row["third_party_gpu_hours"]),
            float(row["committed_gpu_hours"] * fraction),
            float(row["vendor_use_gpu_hours"]),
            float(row["buyback_price_per_gpu_hour"] or 0),
        )
        for row in own.sort("service_month", "tranche_id").iter_rows(named=True)
    ]
    return rows, own["service_month"].n_unique()


def _caps(frames: Frames, close: Close) -> tuple[float | None, float | None]:
    terms, caps = optional(frames, "raw.backstop_terms"), optional(frames, "backstop.fct_backstop_cap_month")
    cap = left = None
    if terms is not None:
        own = terms.filter(
            (pl.col("contract_id") == close.contract_id)
            & (pl.col("valid_from") <= close.month_end_date)
            & (pl.col("recorded_at") <= close.known_at)
        ).sort("valid_from", "recorded_at")
        if own.height and own["period_cap_period"][-1] == "month":
            cap = own["period_cap_amount"][-1]
    if caps is not None:
        known = caps.filter(
            (pl.col("contract_id") == close.contract_id) & (pl.col("service_month") == close.posting_month)
        )["lifetime_cap_left_amount"].drop_nulls()
        left = known[0] if len(known) else None
    return (None if cap is None else float(cap)), (None if left is None else float(left))


def _largest_tenant(frames: Frames, contract_id: str, window: Sequence[date]) -> float:
    by_tenant = tenant_revenue(frames, contract_id, window)
    total = sum(by_tenant.values(), Decimal(0))
    return float(max(by_tenant.values()) / total) if total > 0 else 0.0


def reverse_stress(books: Mapping[str, OperatorBook]) -> pl.DataFrame:
    """``credit.fct_reverse_stress``: one row per contract, target and driver: the level of the driver alone at which
    the target breaks.

    Targets: each covenant in force, and the backstop's monthly and lifetime cap (by occupancy alone; the lifetime cap
    at the run rate to expiry). Null with a reason where it is broken today or does not break in the range searched.
    """
    rows: list[dict[str, Any]] = []
    for contract_id, book in books.items():
        for covenant in book.covenants:
            rows.extend(_covenant_row(contract_id, book, covenant, driver) for driver in REVERSE_DRIVERS)
        for target, cap, months in (
            ("period_cap", book.period_cap, 1),
            ("lifetime_cap", book.lifetime_left, book.months_to_expiry),
        ):
            if cap is not None:
                rows.append(_cap_row(contract_id, book, target, cap, months))
    return make_frame(rows, REVERSE_SCHEMA, ["contract_id", "month", "target", "driver"])


def _breaking_level(room: Callable[[float], float], start: float, worst: float) -> tuple[float | None, str | None]:
    """Where ``room`` crosses zero between no stress and the worst, or None and why."""
    if room(start) <= 0:
        return None, "broken today"
    if room(worst) > 0:
        return None, f"does not break down to {worst:g}" if worst < start else f"does not break up to {worst:g}"
    return float(optimize.brentq(room, start, worst, xtol=1e-9)), None


def _covenant_row(contract_id: str, book: OperatorBook, covenant: Mapping[str, Any], driver: str) -> dict[str, Any]:
    operator, threshold = covenant["operator"], float(covenant["threshold"])
    today = covenant_value(book, covenant, {})

    def room(level: float) -> float:
        value = covenant_value(book, covenant, {driver: level})
        return headroom(value, operator, threshold) if value is not None else 0.0

    level, reason = (
        (None, "the covenant cannot be measured") if today is None else _breaking_level(room, *REVERSE_DRIVERS[driver])
    )
    return {
        "contract_id": contract_id,
        "month": book.close.posting_month,
        "target": f"covenant:{covenant['covenant_id']}",
        "driver": driver,
        "level": level,
        "null_reason": reason,
        "value_today": today,
        "threshold": threshold,
    }


def _cap_row(contract_id: str, book: OperatorBook, target: str, cap: float, months: int) -> dict[str, Any]:
    uncapped = replace(book, period_cap=None) if target == "period_cap" else book

    def room(level: float) -> float:
        return cap - claims_at(uncapped, 1.0 + level) * months

    start, worst = REVERSE_DRIVERS["occupancy_change_fraction"]
    level, reason = _breaking_level(room, start, worst)
    return {
        "contract_id": contract_id,
        "month": book.close.posting_month,
        "target": target,
        "driver": "occupancy_change_fraction",
        "level": level,
        "null_reason": reason,
        "value_today": claims_at(uncapped, 1.0) * months,
        "threshold": cap,
    }
