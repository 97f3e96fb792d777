"""What a stress does to the operator's own cash flow, which covenants it breaks, and how far it takes to break them.

A stress acts on the run rate of the months just ended, at once and on all of it: every lease is repriced, every empty
GPU-hour is claimed for as far as the backstop goes. That is harsher than the paths of stress, where contracts run on;
it is the question a lender asks. The paths themselves belong in stress.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
from scipy import optimize

from orchestration.polars_jobs.backstop_worth import PAYMENT_GUARANTEES
from orchestration.polars_jobs.covenants import (
    BOOK_METRICS,
    PERIOD_MONTHS,
    PLEDGE_METRICS,
    covenants_in_force,
    headroom,
    lookback_of,
    measure,
    measure_book,
    measure_pledge,
    occupancy_by_month,
    passes,
    pledge_tests,
    rated,
    rating_number,
)
from orchestration.polars_jobs.expected_loss import pledged, read_pledges
from orchestration.polars_jobs.frames import Frames, RowsBy, add_months, make_frame, months_between, need, optional
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
from orchestration.polars_jobs.terms_at_close import terms_known

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
HIGHEST_PRICE_RISE = 10.0
LIFETIME = "lifetime_cap"


@dataclass(frozen=True)
class HoursSold:
    """A month's GPU-hours of one tranche: committed net of exclusions, sold to third parties, deductible, used by the
    vendor, and the buy-back price; what third parties were billed where the backstop guarantees revenue (their mean price,
    where it guarantees what the operator pays), else None.
    """

    committed: float
    sold: float
    deductible: float
    vendor_use: float
    price: float
    billed: float | None = None


@dataclass(frozen=True)
class RunRateCap:
    """A cap: what it is called, its amount (of a lifetime cap what is left), and over how many months it runs."""

    target: str
    amount: float
    months: int


@dataclass(frozen=True)
class OperatorBook:
    """What the operator of one contract looks like at its latest close.

    ``months``: the park's months to it. ``hours``: the contract's tranches over the run-rate window. ``window_months``:
    how many months they cover. ``claim_caps`` and ``share_caps``: what limits claims and the vendor's share;
    ``share_a_month``: the contract's over the window. ``largest_tenant_fraction``: of the contract's revenue in the window.
    ``covenants``: with the limits on pledges; ``told``: what the lease book says of them by id; ``pledge``: after haircut.
    """

    close: Close
    months: Sequence[ParkMonth]
    hours: Sequence[HoursSold]
    window_months: int
    claim_caps: Sequence[RunRateCap]
    share_caps: Sequence[RunRateCap]
    share_a_month: float
    largest_tenant_fraction: float
    occupancy: Sequence[float | None]
    covenants: Sequence[dict[str, Any]]
    told: Mapping[str, float | None]
    pledge: Decimal

    @property
    def guarantees_revenue(self) -> bool:
        """Whether claims make up revenue, so that prices act on them."""
        return any(own.billed is not None for own in self.hours)


def claims_at(book: OperatorBook, occupancy_factor: float, price_factor: float = 1.0) -> float:
    """The month's claim at the run rate if third parties took ``occupancy_factor`` of the hours that they take, at
    ``price_factor`` of the prices that they pay, after the caps of a period and of a year at their part of a month.
    """
    if not book.window_months:
        return 0.0

    def claim(h: HoursSold) -> float:
        if h.billed is not None:
            guaranteed = max(h.committed - h.vendor_use - h.deductible, 0.0) * h.price
            return max(guaranteed - h.billed * occupancy_factor * price_factor, 0.0)
        return max(max(h.committed - h.sold * occupancy_factor - h.vendor_use, 0.0) - h.deductible, 0.0) * h.price

    total = sum(claim(h) for h in book.hours)
    capped = (cap.amount / cap.months for cap in book.claim_caps if cap.target != LIFETIME)
    return min(total / book.window_months, *capped, math.inf)


def stressed_run_rate(book: OperatorBook, drivers: Mapping[str, float]) -> ParkMonth | None:
    """The park's run rate under the drivers; None without economics.

    Prices and occupancy act on all revenue and, through it, on the share; occupancy also on claims, prices where they
    guarantee revenue; the largest tenant's revenue goes with it; power, and interest on all that is outstanding, as named.
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
    more = claims_at(book, sold, price) - claims_at(book, 1.0)
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
    metric = covenant["metric"]
    if metric in BOOK_METRICS or metric == "rating":
        told = book.told.get(covenant["covenant_id"])
        # Hours that are let less are covered less; a tenant's part of the revenue stays what it is.
        return told if told is None or metric != "min_contracted_coverage" else told * sold
    if metric in PLEDGE_METRICS.values():
        return measure_pledge(metric, [month], book.pledge).value
    occupancy = [None if value is None else value * sold for value in book.occupancy]
    return measure(covenant["metric"], [month] * lookback, occupancy, lookback).value


def operator_books(frames: Frames, parks: Mapping[str, list[ParkMonth]]) -> dict[str, OperatorBook]:
    """The book of every contract at its latest close. Reads what the covenant tests read, and
    ``backstop.fct_backstop_month``, ``backstop.fct_backstop_cap_month``, ``raw.backstop_terms``,
    ``metering.fct_lease_revenue_day`` and ``core.dim_lease`` where given.
    """
    contracts = {row["contract_id"]: row for row in need(frames, "core.dim_contract").iter_rows(named=True)}
    table, terms = optional(frames, "raw.covenant"), optional(frames, "raw.contract_term")
    collateral = read_pledges(frames)
    latest = {close.contract_id: close for close in read_closes(need(frames, "intermediate.int_closes"))}
    out: dict[str, OperatorBook] = {}
    for contract_id, close in sorted(latest.items()):
        contract = contracts[contract_id]
        window = [add_months(close.posting_month, -back) for back in range(RUN_RATE_MONTHS)]
        hours, seen = _hours(frames, close, window)
        fractions = occupancy_by_month(frames, contract_id)
        agreed = [] if table is None else covenants_in_force(table, close)
        left = max(months_between(close.posting_month, contract["expiry_date"]), 0)
        out[contract_id] = OperatorBook(
            close=close,
            months=[row for row in parks.get(contract["park_id"], []) if row.month <= close.posting_month],
            hours=hours,
            window_months=seen,
            claim_caps=_claim_caps(frames, close, left),
            share_caps=_share_caps(frames, close, left),
            share_a_month=_share_a_month(frames, contract_id, window),
            largest_tenant_fraction=_largest_tenant(frames, contract_id, window),
            occupancy=[fractions.get(month) for month in sorted(window)],
            covenants=[*agreed, *pledge_tests(terms, close)],
            told={
                row["covenant_id"]: measure_book(frames, close, row["metric"], lookback_of(row)).value
                for row in agreed
                if row["metric"] in BOOK_METRICS
            }
            | {row["covenant_id"]: rating_number(rated(frames, close)) for row in agreed if row["metric"] == "rating"},
            pledge=pledged(collateral, close),
        )
    return out


def _hours(frames: Frames, close: Close, window: Sequence[date]) -> tuple[list[HoursSold], int]:
    months = optional(frames, "backstop.fct_backstop_month")
    if months is None:
        return [], 0
    own = months.filter((pl.col("contract_id") == close.contract_id) & pl.col("service_month").is_in(list(window)))
    known = terms_known(RowsBy(optional(frames, "raw.backstop_terms")), close)
    agreed = known[-1] if known else {}
    mean_price = None
    if agreed.get("settlement_type") in PAYMENT_GUARANTEES:
        sold = float(own["third_party_gpu_hours"].sum())
        billed = float(sum(tenant_revenue(frames, close.contract_id, window).values(), ZERO))
        mean_price = billed / sold if sold else 0.0

    def billed_of(row: Mapping[str, Any]) -> float | None:
        if mean_price is not None:
            return mean_price * float(row["third_party_gpu_hours"])
        amount = row.get("third_party_revenue_amount")
        return None if amount is None else float(amount)

    def deductible(row: Mapping[str, Any]) -> float:
        """Of several deductibles the largest counts (the books' own column holds what was used of it)."""
        parts = (
            row["committed_gpu_hours"] * (agreed.get("deductible_fraction") or ZERO),
            (agreed.get("deductible_gpu_hours") or ZERO),
            row["installed_gpu_hours"] * (agreed.get("first_loss_band") or ZERO)
            if agreed.get("first_loss_band")
            else ZERO,
        )
        return max(float(part) for part in parts)

    rows = [
        HoursSold(
            float(row["committed_gpu_hours"] - row["excluded_gpu_hours"]),
            float(row["third_party_gpu_hours"]),
            deductible(row),
            float(row["vendor_use_gpu_hours"]),
            float(row["buyback_price_per_gpu_hour"] or 0),
            billed_of(row),
        )
        for row in own.sort("service_month", "tranche_id").iter_rows(named=True)
    ]
    return rows, own["service_month"].n_unique()


def _terms_of(frames: Frames, name: str, close: Close) -> dict[str, Any]:
    """The row of a terms table in force at the close and known then; empty where there is none, or several blocks."""
    known = terms_known(RowsBy(optional(frames, name)), close)
    last = [row for row in known if row["amendment_id"] == known[-1]["amendment_id"]]
    return last[0] if len(last) == 1 else {}


def _caps(terms: Mapping[str, Any], names: Sequence[tuple[str, str, int | None]]) -> list[RunRateCap]:
    """The caps of a period: (target, column of the amount, months; None: those of period_cap_period)."""
    found = []
    for target, column, months in names:
        if terms.get(column) is not None:
            period = PERIOD_MONTHS[terms.get("period_cap_period") or "month"] if months is None else months
            found.append(RunRateCap(target, float(terms[column]), period))
    return found


def _claim_caps(frames: Frames, close: Close, months_left: int) -> list[RunRateCap]:
    terms = _terms_of(frames, "raw.backstop_terms", close)
    caps = _caps(terms, [("period_cap", "period_cap_amount", None), ("annual_cap", "annual_cap_amount", 12)])
    table = optional(frames, "backstop.fct_backstop_cap_month")
    if table is not None:
        known = table.filter(
            (pl.col("contract_id") == close.contract_id) & (pl.col("service_month") == close.posting_month)
        )["lifetime_cap_left_amount"].drop_nulls()
        caps.extend(RunRateCap(LIFETIME, float(left), months_left) for left in known[:1])
    return caps


def _share_caps(frames: Frames, close: Close, months_left: int) -> list[RunRateCap]:
    """The caps of the share; of a contract with several blocks, each with limits of its own, none."""
    terms = _terms_of(frames, "raw.share_terms", close)
    caps = _caps(terms, [("share_period_cap", "period_cap_amount", None)])
    months = optional(frames, "revenue_share.fct_share_month")
    earned = ZERO
    if months is not None and "cumulative_share_amount" in months.columns:
        own = months.filter(
            (pl.col("contract_id") == close.contract_id) & (pl.col("service_month") <= close.posting_month)
        ).sort("service_month")["cumulative_share_amount"]
        earned = own[-1] if len(own) else ZERO
    whole = {"share_lifetime_cap": terms.get("lifetime_cap_amount")}
    if terms.get("return_multiple") is not None:
        whole["share_return_multiple_cap"] = terms["return_multiple"] * terms["hardware_amount"]
    left = {target: float(amount - earned) for target, amount in whole.items() if amount is not None}
    return [*caps, *(RunRateCap(target, amount, months_left) for target, amount in left.items())]


def _share_a_month(frames: Frames, contract_id: str, window: Sequence[date]) -> float:
    months = optional(frames, "revenue_share.fct_share_month")
    if months is None:
        return 0.0
    own = months.filter((pl.col("contract_id") == contract_id) & pl.col("service_month").is_in(list(window)))
    return float(own["share_amount"].sum()) / own.height if own.height else 0.0


def _largest_tenant(frames: Frames, contract_id: str, window: Sequence[date]) -> float:
    by_tenant = tenant_revenue(frames, contract_id, window)
    total = sum(by_tenant.values(), Decimal(0))
    return float(max(by_tenant.values()) / total) if total > 0 else 0.0


def reverse_stress(books: Mapping[str, OperatorBook]) -> pl.DataFrame:
    """``credit.fct_reverse_stress``: one row per contract, target and driver: the level of the driver alone at which
    the target breaks.

    Targets: each covenant and limit on pledges in force; each cap of the backstop (period, annual, lifetime) by a fall of
    occupancy, and by one of prices where revenue is guaranteed; each cap of the share by a rise of prices. A lifetime cap is
    what is left of it against the run rate to expiry. Null with a reason where it is broken today or does not break in the
    range searched.
    """
    rows: list[dict[str, Any]] = []
    for contract_id, book in books.items():
        for covenant in book.covenants:
            rows.extend(_covenant_row(contract_id, book, covenant, driver) for driver in REVERSE_DRIVERS)
        drivers = ("occupancy_change_fraction", "price_change_fraction")[: 2 if book.guarantees_revenue else 1]
        rows.extend(_claim_cap_row(contract_id, book, cap, driver) for cap in book.claim_caps for driver in drivers)
        rows.extend(_share_cap_row(contract_id, book, cap) for cap in book.share_caps)
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


def _claim_cap_row(contract_id: str, book: OperatorBook, cap: RunRateCap, driver: str) -> dict[str, Any]:
    # What reaches a cap of a period is claimed before caps; what wears a lifetime cap down is paid after those of periods.
    uncapped = book if cap.target == LIFETIME else replace(book, claim_caps=())

    def claimed(level: float) -> float:
        factors = (1.0, 1.0 + level) if driver == "price_change_fraction" else (1.0 + level, 1.0)
        return claims_at(uncapped, *factors) * cap.months

    return _cap_row(contract_id, book, cap, driver=driver, amount_at=claimed, searched=REVERSE_DRIVERS[driver])


def _share_cap_row(contract_id: str, book: OperatorBook, cap: RunRateCap) -> dict[str, Any]:
    def earned(level: float) -> float:
        return book.share_a_month * (1.0 + level) * cap.months

    searched = (0.0, HIGHEST_PRICE_RISE)
    return _cap_row(contract_id, book, cap, driver="price_change_fraction", amount_at=earned, searched=searched)


def _cap_row(
    contract_id: str,
    book: OperatorBook,
    cap: RunRateCap,
    *,
    driver: str,
    amount_at: Callable[[float], float],
    searched: tuple[float, float],
) -> dict[str, Any]:
    level, reason = _breaking_level(lambda found: cap.amount - amount_at(found), *searched)
    return {
        "contract_id": contract_id,
        "month": book.close.posting_month,
        "target": cap.target,
        "driver": driver,
        "level": level,
        "null_reason": reason,
        "value_today": amount_at(0.0),
        "threshold": cap.amount,
    }
