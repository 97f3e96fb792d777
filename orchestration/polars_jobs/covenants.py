"""Covenant tests: the value of what an agreement watches, against its threshold, month by month.

A covenant is a term of a contract, in force by its dates and known by its record. It is measured every month and bites
only in months in which its period ends. What cannot be measured is null with a reason: never passed, never failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.polars_jobs.errors import wrong
from orchestration.polars_jobs.expected_loss import credit_at, pledged, read_pledges
from orchestration.polars_jobs.exposure import concentration
from orchestration.polars_jobs.frames import Frames, add_months, make_frame, month_end, need, optional
from orchestration.polars_jobs.lease_book import contracted_coverage, running_leases, tenant_revenue
from orchestration.polars_jobs.money import ZERO
from orchestration.polars_jobs.operator_economics import (
    MONTHS_PER_YEAR,
    Liquidity,
    ParkMonth,
    debt_service_coverage,
    loan_life_coverage,
    run_rate,
)
from orchestration.polars_jobs.operator_standing import Measured
from orchestration.polars_jobs.policies import CreditPolicy
from orchestration.polars_jobs.receivables import Close, read_closes, standing_events

COVENANT_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "covenant_id": pl.String,
    "month": pl.Date,
    "metric": pl.String,
    "operator": pl.String,
    "threshold": pl.Float64,
    "lookback_months": pl.Int32,
    "value": pl.Float64,
    "value_null_reason": pl.String,
    "headroom": pl.Float64,
    "headroom_change": pl.Float64,
    "months_to_breach": pl.Float64,
    "is_tested": pl.Boolean,
    "passed": pl.Boolean,
    "cure_days": pl.Int32,
    "consequence": pl.String,
}

BOOK_METRICS = frozenset({"min_contracted_coverage", "concentration"})
LIQUIDITY = "min_liquidity"
# Anti-collateral limits are tested each month beside the covenants: term, and what it bounds.
PLEDGE_METRICS = {"max_future_revenue_pct": "pledged_revenue", "pledge_cap_pct": "pledged_assets"}
PERIOD_MONTHS = {"month": 1, "quarter": 3, "year": 12}
SMALLEST_TO_LARGEST = {">=": 1.0, ">": 1.0, "<=": -1.0, "<": -1.0}


def headroom(value: float, operator: str, threshold: float) -> float:
    """How far the value is on the right side of its threshold; negative is a breach. Raises for an unknown operator."""
    if operator not in SMALLEST_TO_LARGEST:
        raise wrong("operator", operator, "is none of >=, >, <=, <")
    return SMALLEST_TO_LARGEST[operator] * (value - threshold)


def passes(value: float, operator: str, threshold: float) -> bool:
    """Whether the value meets the test, the threshold itself by the operator."""
    room = headroom(value, operator, threshold)
    return room > 0 or (room == 0 and operator in {">=", "<="})


# AAA is 1, each notch one more, default 22 (the scale that investors' guidelines count in).
_NOTCHES = (
    "AAA Aaa", "AA+ Aa1", "AA Aa2", "AA- Aa3", "A+ A1", "A A2", "A- A3", "BBB+ Baa1", "BBB Baa2", "BBB- Baa3", "BB+ Ba1",
    "BB Ba2", "BB- Ba3", "B+ B1", "B B2", "B- B3", "CCC+ Caa1", "CCC Caa2 CCC/C", "CCC- Caa3", "CC Ca", "C", "D SD RD",
)  # fmt: skip
RATING_NUMBERS = {name.upper(): number for number, names in enumerate(_NOTCHES, start=1) for name in names.split()}


def rating_number(rating: str | None) -> float | None:
    """A rating as a number, 1 for AAA to 22 for default, so that a covenant of at least BB- is "<= 13"; None for none."""
    number = RATING_NUMBERS.get((rating or "").strip().upper())
    return None if number is None else float(number)


def measure(
    metric: str,
    months: Sequence[ParkMonth],
    occupancy: Sequence[float | None],
    lookback: int,
    rating: str | None = None,
) -> Measured:
    """The value of one covenant metric from the months up to the one tested and the occupancy of each.

    dscr: Σ CFADS ÷ Σ debt service over the lookback; llcr and ltv at the month's end; min_occupancy: mean over the
    lookback; leverage: debt ÷ CFADS of a year at the run rate; rating: :func:`rating_number` of ``rating``. What no feed tells is
    null. (min_liquidity: :class:`Liquidity`.)
    """
    if not months and metric != "rating":
        return Measured(None, "the park's economics are not given")
    value: float | None = None
    if metric == "rating":
        value = rating_number(rating)
        return Measured(value, None if value is not None else "no rating of the scale AAA to D, or of Aaa to C")
    last, window = months[-1], list(months)[-lookback:]
    match metric:
        case "min_occupancy":
            seen = [fraction for fraction in list(occupancy)[-lookback:] if fraction is not None]
            value, reason = (sum(seen) / len(seen) if seen else None), "nothing was available"
        case "ltv":
            value = float(last.outstanding / last.collateral) if last.collateral > 0 else None
            reason = "no hardware in service"
        case "dscr" | "llcr" | "leverage":
            value, reason = _cash_metric(metric, last, window, run_rate(months) or last)
        case _:
            reason = f"no feed tells {metric}"
    return Measured(value, None if value is not None else reason)


def measure_book(frames: Frames, close: Close, metric: str, lookback: int) -> Measured:
    """The value of a covenant metric that the lease book tells.

    min_contracted_coverage: GPU-hours leased for the next twelve months ÷ those of the GPUs in service; concentration:
    the largest tenant's part of the revenue of the lookback.
    """
    if metric == "concentration":
        months = [add_months(close.posting_month, -back) for back in range(lookback)]
        found = concentration(
            [amount for amount in tenant_revenue(frames, close.contract_id, months).values() if amount > 0]
        )
        return Measured(found.top_1, None) if found else Measured(None, "no tenant's revenue in the window")
    tranches = optional(frames, "core.dim_tranche")
    own = () if tranches is None else tranches.filter(pl.col("contract_id") == close.contract_id).iter_rows(named=True)
    in_service = sum(
        row["gpu_count"] for row in own if row["energised_date"] and row["energised_date"] <= close.month_end_date
    )
    leases = running_leases(frames, close)
    hours, supply = contracted_coverage(leases, in_service, close.month_end_date, MONTHS_PER_YEAR)
    return Measured(hours / supply, None) if supply else Measured(None, "no GPUs in service")


def pledge_limits_in_force(terms: pl.DataFrame | None, close: Close) -> dict[str, float]:
    """Bounds on what may be pledged, in force and known at a close, by term, out of ``raw.contract_term``."""
    if terms is None:
        return {}
    rows = terms.filter(
        (pl.col("contract_id") == close.contract_id)
        & (pl.col("instrument") == "pledge_limits")
        & pl.col("term").is_in(list(PLEDGE_METRICS))
        & (pl.col("valid_from") <= close.month_end_date)
        & (pl.col("valid_to").is_null() | (pl.col("valid_to") >= close.month_end_date))
        & (pl.col("recorded_at") <= close.known_at)
    ).sort("valid_from", "recorded_at")
    return {term: float(value) for term, value in rows.select("term", "value_text").iter_rows()}


def measure_pledge(metric: str, months: Sequence[ParkMonth], pledge: Decimal) -> Measured:
    """What is pledged, against what there is to pledge, at the end of the last month.

    pledged_revenue: the vendor's share and debt service, all creditors, ÷ revenue of the month; pledged_assets: collateral
    after haircut ÷ what the hardware in service is worth.
    """
    if not months:
        return Measured(None, "the park's economics are not given")
    last = months[-1]
    if metric == "pledged_revenue":
        value = float((last.share + last.debt_service) / last.revenue) if last.revenue > 0 else None
        return Measured(value, None if value is not None else "no revenue in the month")
    value = float(pledge / last.collateral) if last.collateral > 0 else None
    return Measured(value, None if value is not None else "no hardware in service")


def _cash_metric(
    metric: str, last: ParkMonth, window: Sequence[ParkMonth], usual: ParkMonth
) -> tuple[float | None, str]:
    """A metric that needs the cash flow, and the reason that holds where it is None."""
    if any(month.power is None for month in window):
        return None, "no meter reading of a month in the window"
    if metric == "dscr":
        flows, service = (
            sum((getattr(month, name) for month in window), ZERO) for name in ("cash_flow", "debt_service")
        )
        return debt_service_coverage(flows, service), "no debt service in the window"
    if metric == "llcr":
        flows = [float(usual.cash_flow)] * last.months_to_maturity
        return loan_life_coverage(flows, last.debt_rate, float(last.outstanding)), "no debt outstanding"
    yearly = float(usual.cash_flow) * MONTHS_PER_YEAR
    return (float(last.outstanding) / yearly if yearly > 0 else None), "no positive cash flow"


def occupancy_by_month(frames: Frames, contract_id: str) -> dict[date, float | None]:
    """Leased ÷ available GPU-hours of the contract's tranches by month."""
    days, tranches = optional(frames, "metering.fct_capacity_day"), optional(frames, "core.dim_tranche")
    if days is None or tranches is None:
        return {}
    own = tranches.filter(pl.col("contract_id") == contract_id)["tranche_id"].to_list()
    sums = (
        days.filter(pl.col("tranche_id").is_in(own))
        .group_by(month=pl.col("service_date").dt.truncate("1mo"))
        .agg(pl.col("leased_gpu_hours").sum(), pl.col("available_gpu_hours").sum())
    )
    return {
        month: float(leased) / float(available) if available else None for month, leased, available in sums.iter_rows()
    }


def covenants_in_force(table: pl.DataFrame, close: Close) -> list[dict[str, Any]]:
    """The covenants of a contract in force at a close and known then: those of its latest version that names any."""
    rows = table.filter(
        (pl.col("contract_id") == close.contract_id)
        & (pl.col("valid_from") <= close.month_end_date)
        & (pl.col("recorded_at") <= close.known_at)
    )
    if rows.is_empty():
        return []
    latest = rows.sort("valid_from", "recorded_at").row(-1, named=True)["amendment_id"]
    return rows.filter(pl.col("amendment_id") == latest).sort("covenant_id").rows(named=True)


def lookback_of(covenant: dict[str, Any]) -> int:
    """Months that a covenant looks back: as agreed, else those of its test period."""
    return int(covenant["lookback_months"] or PERIOD_MONTHS[covenant["test_frequency"]])


def covenant_tests(frames: Frames, parks: dict[str, list[ParkMonth]]) -> pl.DataFrame:
    """``credit.fct_covenant_test_month``: one row per contract, covenant and month.

    ``parks``: months by park of ``operator_economics.park_months``. Also reads ``raw.covenant``,
    ``core.dim_contract``, ``intermediate.int_closes`` and, for occupancy, ``metering.fct_capacity_day``; for coverage and
    concentration ``staging.stg_leases`` or ``core.dim_lease``, ``core.dim_tranche``, ``metering.fct_lease_revenue_day``; for pledge limits
    ``raw.contract_term`` and ``raw.collateral``; for liquidity ``raw.operator_fact``; for ratings
    ``core.dim_operator`` and ``staging.stg_credit_events``.
    months_to_breach: headroom ÷ its fall over the last month, where it falls; 0 in breach.
    """
    table, terms = optional(frames, "raw.covenant"), optional(frames, "raw.contract_term")
    if table is None:
        return make_frame([], COVENANT_SCHEMA)
    park_of = dict(need(frames, "core.dim_contract").select("contract_id", "park_id").iter_rows())
    rows: list[dict[str, Any]] = []
    before: dict[tuple[str, str], float] = {}
    collateral = read_pledges(frames)
    liquidity = Liquidity(frames, parks)
    occupancies: dict[str, dict[date, float | None]] = {}
    for close in read_closes(need(frames, "intermediate.int_closes")):
        contract_id = close.contract_id
        if contract_id not in occupancies:
            occupancies[contract_id] = occupancy_by_month(frames, contract_id)
        months = [row for row in parks.get(park_of[contract_id], []) if row.month <= close.posting_month]
        for covenant in covenants_in_force(table, close):
            lookback = lookback_of(covenant)
            seen = [occupancies[contract_id].get(add_months(close.posting_month, -back)) for back in range(lookback)]
            if covenant["metric"] in BOOK_METRICS:
                found = measure_book(frames, close, covenant["metric"], lookback)
            elif covenant["metric"] == LIQUIDITY:
                found = liquidity.of(park_of[contract_id], close.posting_month, close.known_at.date())
            else:
                found = measure(covenant["metric"], months, seen[::-1], lookback, rated(frames, close))
            rows.append(_row(close, covenant, found, before))
        for limit in pledge_tests(terms, close):
            found = measure_pledge(limit["metric"], months, pledged(collateral, close))
            rows.append(_row(close, limit, found, before))
    return make_frame(rows, COVENANT_SCHEMA, ["contract_id", "covenant_id", "month"])


def rated(frames: Frames, close: Close) -> str | None:
    """The rating of a contract's operator as known at a close, changes by events included; D once it has failed; None
    without one.
    """
    contracts = need(frames, "core.dim_contract", "contract_id", "operator_id")
    operator_id = contracts.filter(pl.col("contract_id") == close.contract_id)["operator_id"][0]
    table = optional(frames, "core.dim_operator")
    found = [] if table is None else table.filter(pl.col("operator_id") == operator_id).rows(named=True)
    operator = found[0] if found else {}
    events = standing_events(frames)
    credit = credit_at(close, operator, events, CreditPolicy({"unrated_rating": "NR"}))
    return "D" if credit.insolvent else credit.rating


def pledge_tests(terms: pl.DataFrame | None, close: Close) -> list[dict[str, Any]]:
    """The limits on pledges in force, written like covenants that are tested each month without a consequence."""
    limits = pledge_limits_in_force(terms, close)
    return [
        {**_LIMIT, "covenant_id": f"pledge_limits.{term}", "metric": PLEDGE_METRICS[term], "threshold": limit}
        for term, limit in limits.items()
    ]


_LIMIT: dict[str, Any] = {
    "operator": "<=",
    "test_frequency": "month",
    "lookback_months": 1,
    "cure_days": None,
    "consequence": None,
}


def _row(
    close: Close, covenant: dict[str, Any], found: Measured, rooms: dict[tuple[str, str], float]
) -> dict[str, Any]:
    """One row; ``rooms``: the last headroom measured of each covenant, which is moved on."""
    operator, threshold = covenant["operator"], float(covenant["threshold"])
    room = None if found.value is None else headroom(found.value, operator, threshold)
    key = (close.contract_id, covenant["covenant_id"])
    before = rooms.get(key)
    change = None if room is None or before is None else room - before
    if room is not None:
        rooms[key] = room
    countdown = None
    if room is not None and room < 0:
        countdown = 0.0
    elif room is not None and change is not None and change < 0:
        countdown = room / -change
    ends_period = month_end(close.posting_month).month % PERIOD_MONTHS[covenant["test_frequency"]] == 0
    return {
        "contract_id": close.contract_id,
        "covenant_id": covenant["covenant_id"],
        "month": close.posting_month,
        "metric": covenant["metric"],
        "operator": operator,
        "threshold": threshold,
        "lookback_months": lookback_of(covenant),
        "value": found.value,
        "value_null_reason": found.null_reason,
        "headroom": room,
        "headroom_change": change,
        "months_to_breach": countdown,
        "is_tested": ends_period,
        "passed": None if found.value is None else passes(found.value, operator, threshold),
        "cure_days": covenant["cure_days"],
        "consequence": covenant["consequence"],
    }
