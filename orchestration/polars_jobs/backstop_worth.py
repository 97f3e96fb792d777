"""From the warehouse's tables to the backstop's paths, and from the paths to
``credit.fct_backstop_distribution_month``.

Terms, leases and deliveries are those known at each close: no look-ahead. The latest month gets the policy's path
count, earlier ones a part of it; the seed is a stable hash of the policy's seed, contract and month, so that no
contract's figures depend on another's. The model itself is in backstop_paths.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from orchestration.polars_jobs.backstop_paths import (
    Array,
    Book,
    Caps,
    Lease,
    Loadings,
    Occupancy,
    PathResult,
    Price,
    Tranche,
    break_even_occupancy,
    contract_seed,
    draw_shocks,
    expected_shortfall,
    mean_and_error,
    simulate,
    value_at_risk,
    wrong_way_multiplier,
)
from orchestration.polars_jobs.default_curves import conditional_pd_for_periods, curve_of
from orchestration.polars_jobs.expected_loss import collection_days, credit_at, pledged, set_off_allowed
from orchestration.polars_jobs.frames import (
    Frames,
    add_months,
    known_at,
    local_date,
    make_frame,
    month_end,
    month_hours,
    month_start,
    months_between,
    need,
    optional,
)
from orchestration.polars_jobs.money import MONEY, ZERO, money_from_estimate
from orchestration.polars_jobs.policies import CreditPolicy
from orchestration.polars_jobs.receivables import Close, read_closes

CASES = ("independent", "base", "stressed")

DISTRIBUTION_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "correlation_case": pl.String,
    "path_count": pl.Int32,
    "seed": pl.Int64,
    "horizon_months": pl.Int32,
    "asset_correlation": pl.Float64,
    "expected_amount": MONEY,
    "standard_error_amount": MONEY,
    "present_value_amount": MONEY,
    "present_value_standard_error_amount": MONEY,
    "var_95_amount": MONEY,
    "var_99_amount": MONEY,
    "var_999_amount": MONEY,
    "es_95_amount": MONEY,
    "es_99_amount": MONEY,
    "es_999_amount": MONEY,
    "any_claim_probability": pl.Float64,
    "operator_default_probability": pl.Float64,
    "expected_share_amount": MONEY,
    "expected_resale_present_value_amount": MONEY,
    "receivable_loss_amount": MONEY,
    "joint_loss_amount": MONEY,
    "joint_loss_es_99_amount": MONEY,
    "wrong_way_multiplier": pl.Float64,
    "wrong_way_multiplier_null_reason": pl.String,
    "break_even_occupancy_fraction": pl.Float64,
    "break_even_occupancy_fraction_null_reason": pl.String,
    "start_occupancy_fraction": pl.Float64,
    "currency_code": pl.String,
}

# An occupancy of 0 or 1 has no logit: a park that is empty or full today starts this close to it.
EDGE_FRACTION = 0.005
NO_WRONG_WAY = "no path defaults, or nothing is claimed on any"
NO_BREAK_EVEN = "share and claims are equal at no occupancy"
LETTABLE = ("active", "ended")


@dataclass(frozen=True)
class Valuation:
    """One contract's simulation at one close: the book, the numbers that made it, and the paths of each correlation
    case.
    """

    close: Close
    book: Book
    seed: int
    path_count: int
    correlations: Mapping[str, float]
    results: Mapping[str, PathResult]
    currency_code: str


def valuations(frames: Frames, policy: CreditPolicy) -> list[Valuation]:
    """Simulate every contract with backstop terms at every close at which it has months ahead, all three correlation
    cases on the same random numbers.

    Reads ``intermediate.int_closes``, ``core.dim_contract`` (with service_commencement_date, or ``raw.contract``),
    ``core.dim_operator``, ``core.dim_tranche``, ``raw.backstop_terms``, ``raw.backstop_price``,
    ``raw.backstop_ramp``, ``raw.default_rate``; where given ``staging.stg_leases`` (all versions; else
    ``core.dim_lease``), ``staging.stg_credit_events``, ``raw.tranche`` (planned dates),
    ``metering.fct_capacity_day``, ``backstop.fct_backstop_month``, ``backstop.fct_backstop_cap_month``,
    ``revenue_share.fct_share_month``, ``raw.share_terms``, ``raw.share_tier``, ``raw.yield_curve``,
    ``raw.gpu_price_index``, ``raw.collateral``, ``ledger.fct_trial_balance_month``.
    """
    terms = optional(frames, "raw.backstop_terms")
    if terms is None:
        return []
    closes = read_closes(need(frames, "intermediate.int_closes", "contract_id", "posting_month"))
    contracts = {
        row["contract_id"]: row for row in need(frames, "core.dim_contract", "contract_id").iter_rows(named=True)
    }
    latest = {close.contract_id: close.posting_month for close in closes}
    made: list[Valuation] = []
    for close in closes:
        book = book_at(frames, close, contracts[close.contract_id], policy)
        if book is None:
            continue
        count = policy.integer("path_count")
        if close.posting_month != latest[close.contract_id]:
            count = int(count * policy.number("earlier_path_fraction"))
        count = max(2 * (count // 2), 100)
        seed = contract_seed(policy.integer("path_seed"), close.contract_id, close.posting_month)
        leases = sum(len(tranche.leases) for tranche in book.tranches)
        shocks = draw_shocks(seed, count, len(book.discount), book.tenant_count, leases)
        correlations = {
            "independent": 0.0,
            "base": policy.number("asset_correlation"),
            "stressed": policy.number("stressed_asset_correlation"),
        }
        results = {}
        for case in CASES:
            loading = math.sqrt(correlations[case])
            results[case] = simulate(book, shocks, Loadings(loading, loading, loading))
        made.append(
            Valuation(close, book, seed, count, correlations, results, contracts[close.contract_id]["currency_code"])
        )
    return made


def distribution(made: Sequence[Valuation]) -> pl.DataFrame:
    """``credit.fct_backstop_distribution_month``: one row per contract, month and correlation case.

    expected_amount is undiscounted, everything named VaR, ES and present value is discounted from the days on which
    claims fall due. joint_loss adds the discounted loss on the share receivable. Standard errors come from pairs of
    mirrored paths.
    """
    rows: list[dict[str, Any]] = []
    for valuation in made:
        book = valuation.book
        break_even = break_even_occupancy(book)
        for case, result in valuation.results.items():
            joint = result.present_value + result.receivable_loss
            wrong_way = wrong_way_multiplier(result.unvoided, result.defaulted)
            mean, error = mean_and_error(result.claims)
            value, value_error = mean_and_error(result.present_value)
            row: dict[str, Any] = {
                "contract_id": valuation.close.contract_id,
                "month": valuation.close.posting_month,
                "correlation_case": case,
                "path_count": valuation.path_count,
                "seed": valuation.seed,
                "horizon_months": len(book.discount),
                "asset_correlation": valuation.correlations[case],
                "any_claim_probability": float((result.claims > 0).mean()),
                "operator_default_probability": float(result.defaulted.mean()),
                "wrong_way_multiplier": wrong_way,
                "wrong_way_multiplier_null_reason": NO_WRONG_WAY if wrong_way is None else None,
                "break_even_occupancy_fraction": break_even,
                "break_even_occupancy_fraction_null_reason": NO_BREAK_EVEN if break_even is None else None,
                "start_occupancy_fraction": book.occupancy.start_fraction,
                "currency_code": valuation.currency_code,
            }
            estimates = {
                "expected_amount": mean,
                "standard_error_amount": error,
                "present_value_amount": value,
                "present_value_standard_error_amount": value_error,
                "expected_share_amount": float(result.share.mean()),
                "expected_resale_present_value_amount": float(result.resale.mean()),
                "receivable_loss_amount": float(result.receivable_loss.mean()),
                "joint_loss_amount": float(joint.mean()),
                "joint_loss_es_99_amount": expected_shortfall(joint, 0.99),
            }
            for name, level in (("95", 0.95), ("99", 0.99), ("999", 0.999)):
                estimates[f"var_{name}_amount"] = value_at_risk(result.present_value, level)
                estimates[f"es_{name}_amount"] = expected_shortfall(result.present_value, level)
            rows.append({**row, **{name: money_from_estimate(number) for name, number in estimates.items()}})
    return make_frame(rows, DISTRIBUTION_SCHEMA, ["contract_id", "month", "correlation_case"])


# --- the book as known at a close
# ----------------------------------------------------------------------------------------------------------------


def in_force(terms: pl.DataFrame, close: Close) -> dict[str, Any] | None:
    """The row of a terms table that is in force at the month's end and known at the close; None where there is none."""
    rows = terms.filter(
        (pl.col("contract_id") == close.contract_id)
        & (pl.col("valid_from") <= close.month_end_date)
        & (pl.col("recorded_at") <= close.known_at)
    ).sort("valid_from", "recorded_at")
    return rows.row(-1, named=True) if rows.height else None


def book_at(frames: Frames, close: Close, contract: Mapping[str, Any], policy: CreditPolicy) -> Book | None:
    """The book of one contract as known at a close, months ahead to the backstop's expiry; None without terms or
    months ahead.
    """
    terms = in_force(need(frames, "raw.backstop_terms"), close)
    if terms is None:
        return None
    expiry = terms.get("expiry_date") or contract["expiry_date"]
    first = add_months(close.posting_month, 1)
    months = (
        [add_months(first, number) for number in range(months_between(first, expiry) + 1)] if expiry >= first else []
    )
    if not months:
        return None
    commencement = _commencement(frames, contract, terms)
    rows = need(frames, "core.dim_tranche", "tranche_id", "contract_id", "gpu_count").filter(
        pl.col("contract_id") == close.contract_id
    )
    planned = optional(frames, "raw.tranche")
    leases = _leases_at(frames, close, rows["tranche_id"].to_list())
    tenants = {
        tenant: number
        for number, tenant in enumerate(sorted({lease["tenant_id"] for lease in leases if not lease["own_use"]}))
    }
    prices = _by_month(
        need(frames, "raw.backstop_price"),
        terms,
        "price_per_gpu_hour",
        [months_between(commencement, month) + 1 for month in months],
        0.0,
    )
    tranches = []
    for row in rows.sort("tranche_id").iter_rows(named=True):
        tranche = _tranche(
            frames,
            row,
            planned=planned,
            terms=terms,
            close=close,
            months=months,
            expiry=expiry,
            prices=prices,
            leases=leases,
            tenants=tenants,
        )
        if tranche is not None:
            tranches.append(tranche)
    discount, pay_discount = _discounts(frames, close, months, terms, policy)
    events = optional(frames, "staging.stg_credit_events")
    operators = {
        row["operator_id"]: row for row in need(frames, "core.dim_operator", "operator_id").iter_rows(named=True)
    }
    credit = credit_at(close, operators.get(contract["operator_id"], {}), events, policy)
    ends = np.arange(1, len(months) + 1) / 12.0
    operator_pd = conditional_pd_for_periods(
        curve_of(need(frames, "raw.default_rate"), credit.agency, credit.rating), ends
    )
    tenant_pd = np.full(len(months), 1.0 - (1.0 - policy.number("tenant_default_probability_per_year")) ** (1.0 / 12.0))
    share_rate, floor_price = _share(frames, close, commencement, months)
    owed = _standing(frames, close)
    exposure = max(owed["trade_receivable"], ZERO) + max(owed["unbilled_share_receivable"], ZERO)
    cover = min(Decimal(1), pledged(optional(frames, "raw.collateral"), close) / exposure) if exposure > 0 else ZERO
    days = collection_days(optional(frames, "raw.share_terms"), close)
    return Book(
        tranches=tranches,
        caps=_caps(frames, close, terms=terms, months=months, commencement=commencement, expiry=expiry),
        occupancy=Occupancy(
            _start_occupancy(frames, close, rows["tranche_id"].to_list(), policy),
            policy.number("occupancy_mean_fraction"),
            policy.number("occupancy_persistence"),
            policy.number("occupancy_shock"),
        ),
        price=_price(frames, close, tranches=rows, leases=leases, buyback=prices, policy=policy),
        operator_pd=operator_pd,
        tenant_pd=tenant_pd,
        tenant_count=len(tenants),
        renewal_probability=policy.number("renewal_probability"),
        survives_insolvency=bool(terms["survives_operator_insolvency"]),
        discount=discount,
        pay_discount=pay_discount,
        share_rate=share_rate,
        floor_price=floor_price,
        outstanding_months=math.ceil(days / 30) + 1,
        exposure_now=float(exposure),
        lgd=policy.number("loss_given_default") * float(1 - cover),
        set_off=set_off_allowed(need(frames, "raw.backstop_terms"), close),
        resale_fraction=policy.number("resale_recovery_fraction") if terms.get("resale_allowed") else 0.0,
        operator_in_default=credit.insolvent,
    )


def _commencement(frames: Frames, contract: Mapping[str, Any], terms: Mapping[str, Any]) -> date:
    """The day from which contract months count (READINGS.md, 2)."""
    if contract.get("service_commencement_date"):
        return date.fromisoformat(str(contract["service_commencement_date"])[:10])
    raw = optional(frames, "raw.contract")
    if raw is not None:
        found = raw.filter(pl.col("contract_id") == contract["contract_id"])["service_commencement_date"].drop_nulls()
        if len(found):
            return date.fromisoformat(str(found[0])[:10])
    return date.fromisoformat(str(terms["valid_from"])[:10])


def _by_month(
    table: pl.DataFrame, terms: Mapping[str, Any], column: str, numbers: Sequence[int], outside: float
) -> Array:
    """The value of a stepped table (from_month, to_month, both included) of the amendment in force, for each month
    number; ``outside`` where no row covers it.
    """
    rows = table.filter(
        (pl.col("contract_id") == terms["contract_id"]) & (pl.col("amendment_id") == terms["amendment_id"])
    )
    steps = [
        (low or 1, high, float(value))
        for low, high, value in rows.select("from_month", "to_month", column).iter_rows()
        if value is not None
    ]
    out = np.full(len(numbers), outside)
    for place, number in enumerate(numbers):
        for low, high, value in steps:
            if low <= number and (high is None or number <= high):
                out[place] = value
    return out


def _leases_at(frames: Frames, close: Close, tranche_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Lease segments as known at the close: tenant, tranche, GPUs, from, to (None: open), price, whether the vendor
    itself uses it.

    A version holds from its own start until the next version's start or its own end; one that starts where another
    started replaces it (READINGS.md, 7).
    """
    table = optional(frames, "staging.stg_leases")
    if table is None:
        table = optional(frames, "core.dim_lease")
    if table is None:
        return []
    own = table.filter(pl.col("tranche_id").is_in(list(tranche_ids)))
    if "recorded_at" in own.columns:
        own = known_at(
            own, [name for name in ("park_id", "lease_id", "version") if name in own.columns], close.known_at
        )
    segments: list[dict[str, Any]] = []
    for versions in own.sort("lease_id", "starts_at", "version").partition_by("lease_id", maintain_order=True):
        rows = versions.rows(named=True)
        for number, row in enumerate(rows):
            following = rows[number + 1]["starts_at"] if number + 1 < len(rows) else None
            ends = min((instant for instant in (row["ends_at"], following) if instant is not None), default=None)
            if ("status" in row and row["status"] not in LETTABLE) or (ends is not None and ends <= row["starts_at"]):
                continue
            segments.append(
                {
                    "tenant_id": row["tenant_id"],
                    "tranche_id": row["tranche_id"],
                    "gpu_count": row["gpu_count"],
                    "starts_at": row["starts_at"],
                    "ends_at": ends,
                    # A segment that the next version takes over is not a lease that rolls off.
                    "rolls_off": following is None or (row["ends_at"] is not None and row["ends_at"] < following),
                    "price": float(row["price_per_gpu_hour"]),
                    "own_use": row["customer_type"] == "vendor_own_use",
                }
            )
    return segments


def _hours_of(segment: Mapping[str, Any], months: Sequence[date], zone: ZoneInfo) -> Array:
    """GPU-hours of a segment in each month, to the second, in the park's zone."""
    out = np.zeros(len(months))
    for number, month in enumerate(months):
        following = add_months(month, 1)
        start = datetime(month.year, month.month, 1, tzinfo=zone)
        end = datetime(following.year, following.month, 1, tzinfo=zone)
        low = max(start.timestamp(), segment["starts_at"].timestamp())
        high = end.timestamp() if segment["ends_at"] is None else min(end.timestamp(), segment["ends_at"].timestamp())
        out[number] = max(high - low, 0.0) / 3600.0 * segment["gpu_count"]
    return out


def _tranche(
    frames: Frames,
    row: Mapping[str, Any],
    *,
    planned: pl.DataFrame | None,
    terms: Mapping[str, Any],
    close: Close,
    months: Sequence[date],
    expiry: date,
    prices: Array,
    leases: Sequence[Mapping[str, Any]],
    tenants: Mapping[str, int],
) -> Tranche | None:
    plan = row.get("planned_date")
    if plan is None and planned is not None:
        found = planned.filter(pl.col("tranche_id") == row["tranche_id"])["planned_date"].drop_nulls()
        plan = found[0] if len(found) else None
    energised = row["energised_date"] or plan
    if energised is None:
        return None
    longstop = terms.get("longstop_days")
    covered = not (longstop is not None and plan is not None and (energised - plan).days > longstop)
    zone = ZoneInfo(close.time_zone)
    hours = np.array(
        [month_hours(max(month, energised), min(month_end(month), expiry), close.time_zone) for month in months]
    )
    installed = hours * row["gpu_count"]
    ramp = _by_month(
        need(frames, "raw.backstop_ramp"),
        terms,
        "fraction",
        [months_between(energised, month) + 1 for month in months],
        1.0,
    )
    committed = installed * float(terms["committed_fraction"] or 0) * ramp * (1.0 if covered else 0.0)
    by_fraction = committed * float(terms.get("deductible_fraction") or 0)
    deductible = np.maximum(by_fraction, np.where(committed > 0, float(terms.get("deductible_gpu_hours") or 0), 0.0))
    vendor_use = np.zeros(len(months))
    grouped: dict[tuple[str, Any], Array] = {}
    for segment in leases:
        if segment["tranche_id"] != row["tranche_id"]:
            continue
        own_hours = _hours_of(segment, months, zone)
        if segment["own_use"]:
            vendor_use += own_hours
            continue
        ended = local_date(segment["ends_at"], close.time_zone) if segment["ends_at"] is not None else None
        if ended is not None and ended <= months[0] and not own_hours.any():
            # Rolled off already: whether it was renewed is known, and a renewal would be a lease of its own.
            continue
        renewal = np.zeros(len(months))
        if segment["rolls_off"] and ended is not None:
            renewal = np.where(
                [month >= month_start(ended) for month in months], hours * segment["gpu_count"] - own_hours, 0.0
            )
        parts = grouped.setdefault((segment["tenant_id"], ended), np.zeros((3, len(months))))
        parts += np.stack([own_hours, np.maximum(renewal, 0.0), own_hours * segment["price"]])
    # Own use that the terms do not count still cannot be bought back: no hour is used twice (READINGS.md, 31).
    counted = (
        vendor_use if terms.get("buyer_own_use_reduces") else np.maximum(vendor_use - (installed - committed), 0.0)
    )
    return Tranche(
        row["tranche_id"],
        installed,
        committed,
        deductible,
        counted,
        prices,
        [
            Lease(tenants[tenant], *parts)
            for (tenant, _), parts in sorted(grouped.items(), key=lambda entry: (entry[0][0], str(entry[0][1])))
        ],
    )


def _caps(
    frames: Frames, close: Close, *, terms: Mapping[str, Any], months: Sequence[date], commencement: date, expiry: date
) -> Caps:
    """Caps at the close: the period cap by calendar month, quarter or contract year; what is left of the lifetime cap
    from ``backstop.fct_backstop_cap_month``, or the whole of it before any claim.
    """
    period = terms.get("period_cap_period") or "month"

    def group(month: date) -> int:
        if period == "quarter":
            return (month.year * 12 + month.month - 1) // 3
        return months_between(commencement, month) // (12 if period == "year" else 1)

    cap = terms.get("period_cap_amount")
    used = 0.0
    claims = optional(frames, "backstop.fct_backstop_month")
    if cap is not None and claims is not None and period != "month":
        past = claims.filter(
            (pl.col("contract_id") == close.contract_id) & (pl.col("service_month") <= close.posting_month)
        )
        used = float(
            sum(
                (
                    a
                    for m, a in past.select("service_month", "claim_amount").iter_rows()
                    if group(m) == group(months[0])
                ),
                ZERO,
            )
        )
    left = terms.get("lifetime_cap_amount")
    caps = optional(frames, "backstop.fct_backstop_cap_month")
    if left is not None and caps is not None:
        found = caps.filter(
            (pl.col("contract_id") == close.contract_id) & (pl.col("service_month") == close.posting_month)
        )["lifetime_cap_left_amount"].drop_nulls()
        left = found[0] if len(found) else left
    reduces = list(terms.get("lifetime_cap_reduces_with") or [])
    time_reduction = None
    if left is not None and "time" in reduces:
        whole = float(terms["lifetime_cap_amount"]) / ((expiry - commencement).days + 1)
        time_reduction = np.array([whole * ((min(month_end(month), expiry) - month).days + 1) for month in months])
    return Caps(
        period_of_month=np.array([group(month) for month in months], dtype=np.int64),
        period_cap=None if cap is None else float(cap),
        period_used=used,
        lifetime_left=None if left is None else float(left),
        time_reduction=time_reduction,
        sales_reduce="third_party_sale" in reduces,
    )


def zero_rates(frames: Frames, close: Close, years: Array, policy: CreditPolicy) -> Array:
    """Continuous zero rates of the last curve not after the month's end, linear in tenor and flat outside it; without
    a curve the policy's effective rate, as a continuous one.
    """
    curve = optional(frames, "raw.yield_curve")
    if curve is not None:
        known = curve.filter(pl.col("curve_date") <= close.month_end_date)
        if not known.is_empty():
            last = known.filter(pl.col("curve_date") == pl.col("curve_date").max())
            last = last.filter(pl.col("curve_id") == pl.col("curve_id").min()).sort("tenor_years")
            return np.asarray(
                np.interp(
                    years,
                    last["tenor_years"].cast(pl.Float64).to_numpy(),
                    last["zero_rate"].cast(pl.Float64).to_numpy(),
                ),
                dtype=np.float64,
            )
    return np.full(len(years), math.log1p(policy.number("discount_rate")))


def _discounts(
    frames: Frames, close: Close, months: Sequence[date], terms: Mapping[str, Any], policy: CreditPolicy
) -> tuple[Array, Array]:
    """Discount factors (T,) from month ends, and from the days on which each month's claim is due: month end + notice
    + payment days. ACT/365F.
    """
    wait = timedelta(days=int(terms.get("claim_notice_days") or 0) + int(terms.get("claim_payment_days") or 0))
    out = []
    for extra in (timedelta(0), wait):
        years = np.array([(month_end(month) + extra - close.month_end_date).days / 365.0 for month in months])
        out.append(np.exp(-zero_rates(frames, close, years, policy) * years))
    return out[0], out[1]


def _share(frames: Frames, close: Close, commencement: date, months: Sequence[date]) -> tuple[Array, float]:
    """Share of revenue by month ahead and the floor price per hour above which it counts.

    Where the terms in force have one block whose tiers go by contract month alone, their rates; else the last
    effective rate that the programme has seen, on all revenue.
    """
    seen = optional(frames, "revenue_share.fct_share_month")
    rate = 0.0
    if seen is not None:
        own = seen.filter(
            (pl.col("contract_id") == close.contract_id) & (pl.col("service_month") <= close.posting_month)
        ).sort("service_month")
        rates = own["effective_rate"].drop_nulls()
        rate = float(rates[-1]) if len(rates) else 0.0
    flat = np.full(len(months), rate), 0.0
    terms, tiers = optional(frames, "raw.share_terms"), optional(frames, "raw.share_tier")
    if terms is None or tiers is None:
        return flat
    last = in_force(terms, close)
    if (
        last is None
        or terms.filter(
            (pl.col("contract_id") == close.contract_id) & (pl.col("amendment_id") == last["amendment_id"])
        )["share_id"].n_unique()
        != 1
    ):
        return flat
    rows = tiers.filter((pl.col("contract_id") == close.contract_id) & (pl.col("amendment_id") == last["amendment_id"]))
    if (
        rows.is_empty()
        or set(rows["axis"].to_list()) != {"contract_month"}
        or last["share_basis"] not in {"pct_of_base", "pct_above_floor"}
    ):
        return flat
    floor = float(last["floor_price_per_gpu_hour"] or 0) if last["share_basis"] == "pct_above_floor" else 0.0
    return _by_month(rows, last, "rate", [months_between(commencement, month) + 1 for month in months], 0.0), floor


def _standing(frames: Frames, close: Close) -> dict[str, Decimal]:
    accounts = dict.fromkeys(("trade_receivable", "unbilled_share_receivable"), ZERO)
    balance = optional(frames, "ledger.fct_trial_balance_month")
    if balance is not None:
        own = balance.filter(
            (pl.col("contract_id") == close.contract_id) & (pl.col("posting_month") == close.posting_month)
        )
        for account, amount in own.select("account", "closing_amount").iter_rows():
            if account in accounts:
                accounts[account] += amount
    return accounts


def _start_occupancy(frames: Frames, close: Close, tranche_ids: Sequence[str], policy: CreditPolicy) -> float:
    """Leased ÷ available hours of the contract's tranches in the month just ended; the policy's mean where nothing
    was available.
    """
    days = optional(frames, "metering.fct_capacity_day")
    if days is None:
        return policy.number("occupancy_mean_fraction")
    own = days.filter(
        pl.col("tranche_id").is_in(list(tranche_ids))
        & pl.col("service_date").is_between(close.posting_month, close.month_end_date)
    )
    available, leased = (float(own[name].sum() or 0) for name in ("available_gpu_hours", "leased_gpu_hours"))
    if available <= 0:
        return policy.number("occupancy_mean_fraction")
    return min(max(leased / available, EDGE_FRACTION), 1.0 - EDGE_FRACTION)


def _price(
    frames: Frames,
    close: Close,
    *,
    tranches: pl.DataFrame,
    leases: Sequence[Mapping[str, Any]],
    buyback: Array,
    policy: CreditPolicy,
) -> Price:
    """Today's price and its mean: market observations of the contract's main GPU model not after the month's end
    (estimates of backstop floors are none), else the mean price of running leases, else the buy-back price.
    """
    start = mean = 0.0
    index = optional(frames, "raw.gpu_price_index")
    models = (
        tranches.group_by("gpu_model")
        .agg(pl.col("gpu_count").sum())
        .sort(["gpu_count", "gpu_model"], descending=[True, False])
    )
    if index is not None and models.height:
        seen = index.filter(
            (pl.col("gpu_model") == models["gpu_model"][0])
            & (pl.col("observed_date") <= close.month_end_date)
            & ~pl.col("tenor").str.starts_with("backstop")
        ).drop_nulls("price_per_gpu_hour")
        if not seen.is_empty():
            numbers = seen["price_per_gpu_hour"].cast(pl.Float64)
            mean = float(np.exp(np.log(numbers.to_numpy()).mean()))
            last = seen.filter(pl.col("observed_date") == pl.col("observed_date").max())["price_per_gpu_hour"].cast(
                pl.Float64
            )
            start = float(np.median(last.to_numpy()))
    if start <= 0:
        end = datetime.combine(close.month_end_date + timedelta(days=1), datetime.min.time(), ZoneInfo(close.time_zone))
        running = [
            s
            for s in leases
            if not s["own_use"] and s["starts_at"] < end and (s["ends_at"] is None or s["ends_at"] >= end)
        ]
        gpus = sum(segment["gpu_count"] for segment in running)
        paid = [price for price in buyback.tolist() if price > 0]
        spent = math.fsum(s["gpu_count"] * s["price"] for s in running)
        start = mean = spent / gpus if gpus else (paid[0] if paid else 1.0)
    return Price(
        start,
        mean,
        policy.number("price_reversion_per_year"),
        policy.number("price_volatility"),
        policy.number("price_jump_probability_per_year"),
        policy.number("price_jump_fraction"),
    )
