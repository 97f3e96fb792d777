"""Deals side by side: the same park, leases and random numbers under several contracts.

A deal's terms take the place of the contract's own as if they had been agreed from its first day; what lies ahead of
the latest close is then simulated on the same paths, so that every difference is the deal's. The hardware sale and what
the operator owes already are the same under all deals and stand in none. A deal of no share and no backstop ("none")
is always among them. The operator's costs and loans are those of its park, at the run rate; what is unknown of them is
left null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from orchestration.polars_jobs.backstop_paths import (
    Array,
    Book,
    Caps,
    Loadings,
    MonthPaths,
    contract_seed,
    draw_shocks,
    expected_shortfall,
    month_paths,
)
from orchestration.polars_jobs.backstop_worth import Inputs, book_at
from orchestration.polars_jobs.errors import wrong
from orchestration.polars_jobs.expected_loss import pledged, read_pledges
from orchestration.polars_jobs.frames import Frames, add_months, make_frame, months_between, need, optional
from orchestration.polars_jobs.lock_in import exit_fee, terms_of
from orchestration.polars_jobs.money import MONEY, ZERO, money_from_estimate, round_money
from orchestration.polars_jobs.operator_economics import ParkMonth, debt_service_ahead, run_rate
from orchestration.polars_jobs.policies import CreditPolicy
from orchestration.polars_jobs.receivables import Close, read_closes

NO_DEAL = "none"
DEAL_PATHS = 2_000
# Booked contracts that are compared with each other unasked: the pairs grow with the square.
MOST_CONTRACTS = 6
RISK_LEVEL = 0.99
TERM_TABLES = (
    "raw.share_terms",
    "raw.share_tier",
    "raw.share_activation",
    "raw.backstop_terms",
    "raw.backstop_price",
    "raw.backstop_ramp",
)

COMPARISON_SCHEMA: dict[str, Any] = {
    "case_id": pl.String,
    "deal_id": pl.String,
    "contract_year": pl.Int32,
    "vendor_id": pl.String,
    "month": pl.Date,
    "months": pl.Int32,
    "path_count": pl.Int32,
    "revenue_amount": MONEY,
    "vendor_take_amount": MONEY,
    "vendor_share_amount": MONEY,
    "vendor_claim_amount": MONEY,
    "vendor_risk_amount": MONEY,
    "operator_take_amount": MONEY,
    "operator_risk_amount": MONEY,
    "lender_take_amount": MONEY,
    "lender_shortfall_amount": MONEY,
    "lender_shortfall_probability": pl.Float64,
    "take_null_reason": pl.String,
    "effective_take_fraction": pl.Float64,
    "lock_in_score_components": pl.String,
    "exclusivity_in_force": pl.Boolean,
    "purchase_quota_fraction": pl.Float64,
    "pledged_amount": MONEY,
    "vendor_exit_cost_amount": MONEY,
    "operator_exit_cost_amount": MONEY,
    "operator_exit_cost_null_reason": pl.String,
    "lender_exit_cost_amount": MONEY,
    "currency_code": pl.String,
}


def deal_comparison(
    frames: Frames, parks: Mapping[str, Sequence[ParkMonth]], policy: CreditPolicy, deals: Sequence[str] | None = None
) -> pl.DataFrame:
    """``credit.fct_deal_comparison``: one row per case, deal and contract year ahead.

    A case is a booked contract with a backstop, at its latest close. ``deals``: ids of contracts or deals (of
    ``raw.contract``) and ``none``; without them, ``none`` and what `_by_default` names. Reads what
    ``backstop_worth.book_at`` reads, ``raw.contract``, ``raw.contract_term`` and ``raw.collateral``. Raises
    :class:`CreditInputError` for an unknown deal.
    """
    terms = optional(frames, "raw.backstop_terms")
    known = optional(frames, "raw.contract")
    if terms is None or known is None:
        return make_frame([], COMPARISON_SCHEMA)
    contracts = {row["contract_id"]: row for row in need(frames, "core.dim_contract").iter_rows(named=True)}
    about = {row["contract_id"]: row for row in known.iter_rows(named=True)}
    chosen = [*sorted(about), NO_DEAL] if deals is None else list(dict.fromkeys(deals))
    for deal in chosen:
        if deal != NO_DEAL and deal not in about:
            raise wrong("deal", deal, f"is none of {', '.join([*sorted(about), NO_DEAL])}")
    latest = {close.contract_id: close for close in read_closes(need(frames, "intermediate.int_closes"))}
    rows: list[dict[str, Any]] = []
    inputs = Inputs(frames)
    for case_id, close in sorted(latest.items()):
        contract = {**about[case_id], **contracts[case_id]}
        own = book_at(inputs, close, contract, policy)
        if own is None:
            continue
        count = min(DEAL_PATHS, 2 * (policy.integer("path_count") // 2))
        leases = sum(len(tranche.leases) for tranche in own.tranches)
        seed = contract_seed(policy.integer("path_seed"), case_id, close.posting_month)
        shocks = draw_shocks(seed, count, len(own.discount), own.tenant_count, leases)
        loading = math.sqrt(policy.number("asset_correlation"))
        service = debt_service_ahead(frames, contract["park_id"], add_months(close.posting_month, 1), len(own.discount))
        months = [row for row in parks.get(contract["park_id"], []) if row.month <= close.posting_month]
        for deal in chosen if deals is not None else _by_default(chosen, case_id, contracts):
            book = _book_of(frames, close, contract, deal=deal, own=own, policy=policy)
            paths = month_paths(book, shocks, Loadings(loading, loading, loading))
            lock_in = _lock_in(frames, close, deal, about, book=book, paths=paths, months=months)
            found = _years(close, contract, deal, paths, book=book, months=months, lock_in=lock_in, service=service)
            vendor_id = None if deal == NO_DEAL else about[deal].get("vendor_id")
            rows.extend({**row, "vendor_id": vendor_id} for row in found)
    return make_frame(rows, COMPARISON_SCHEMA, ["case_id", "deal_id", "contract_year"])


def _by_default(known: Sequence[str], case_id: str, booked: Mapping[str, Any]) -> list[str]:
    """The case's own terms, the deals that are not booked, and the other contracts where there are few."""
    others = len(booked) <= MOST_CONTRACTS
    return [deal for deal in known if deal == case_id or others or deal not in booked]


def _book_of(
    frames: Frames,
    close: Close,
    contract: Mapping[str, Any],
    *,
    deal: str,
    own: Book,
    policy: CreditPolicy,
) -> Book:
    if deal == contract["contract_id"]:
        return _what_lies_ahead(own)
    if deal == NO_DEAL:
        nothing = np.zeros(len(own.discount))
        bare = [replace(tranche, committed=nothing, deductible=nothing) for tranche in own.tranches]
        return _what_lies_ahead(
            replace(
                own,
                tranches=bare,
                share_rate=nothing,
                floor_price=0.0,
                share_rules=(),
                caps=Caps(own.caps.period_of_month),
            )
        )
    book = book_at(Inputs(transplanted(frames, deal, close, contract)), close, contract, policy)
    if book is None:
        raise wrong("deal", deal, "has no months ahead")
    return _what_lies_ahead(book)


def _what_lies_ahead(book: Book) -> Book:
    """The book undiscounted, without what is owed already: that is the booked contract's under every deal."""
    flat = np.ones(len(book.discount))
    return replace(book, discount=flat, pay_discount=flat, exposure_now=0.0)


def transplanted(frames: Frames, deal: str, close: Close, contract: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    """The frames with a deal's latest terms in the place of the contract's own, from the contract's first day to its
    expiry, nothing of its caps used. The latest are those known at the close; of a deal that was written later, its last.
    Months of terms count from the contract's commencement. A deal without a backstop commits no hours.
    """
    contract_id = contract["contract_id"]
    out = {name: frame for name, frame in frames.items() if not name.startswith("backstop.")}
    for used in ("revenue_share.fct_share_month", "intermediate.int_backstop_months"):
        out.pop(used, None)
    for name in TERM_TABLES:
        table = frames.get(name)
        if table is None:
            continue
        rows = table.filter(pl.col("contract_id") == deal)
        if name == "raw.backstop_terms" and rows.is_empty():
            rows = table.filter(pl.col("contract_id") == contract_id).with_columns(
                committed_fraction=pl.lit(0, dtype=table.schema["committed_fraction"])
            )
        if rows.height and "valid_from" in rows.columns:
            rows = _from_the_first_day(rows, close, contract)
        others = table.filter(pl.col("contract_id") != contract_id)
        out[name] = pl.concat([others, rows.with_columns(contract_id=pl.lit(contract_id))], how="diagonal_relaxed")
    return out


def _from_the_first_day(rows: pl.DataFrame, close: Close, contract: Mapping[str, Any]) -> pl.DataFrame:
    first = date.fromisoformat(str(contract["service_commencement_date"])[:10])
    known = rows.filter(pl.col("recorded_at") <= close.known_at)
    last = (known if known.height else rows).sort("valid_from", "recorded_at")["amendment_id"][-1]
    moved = rows.filter(pl.col("amendment_id") == last).with_columns(
        valid_from=pl.lit(first), recorded_at=pl.lit(close.known_at, dtype=rows.schema["recorded_at"])
    )
    return moved.with_columns(expiry_date=pl.lit(contract["expiry_date"])) if "expiry_date" in moved.columns else moved


def _lock_in(
    frames: Frames,
    close: Close,
    deal: str,
    about: Mapping[str, Mapping[str, Any]],
    *,
    book: Book,
    paths: MonthPaths,
    months: Sequence[ParkMonth],
) -> dict[str, Any]:
    """What ties the three parties under a deal today: leaving costs the vendor the expected share ahead, the operator
    its exit fee (none agreed: the expected claims ahead that it gives up), the lender the expected claims that stood
    behind its debt.
    """
    day = close.month_end_date
    if deal != NO_DEAL:
        day = max(day, date.fromisoformat(str(about[deal]["service_commencement_date"])[:10]))
    lock_in = terms_of(optional(frames, "raw.contract_term"), deal, day)
    month_of_price = sum((Decimal(repr(float(t.installed[0] * t.buyback_price[0]))) for t in book.tranches), ZERO)
    claims = money_from_estimate(float(paths.claims.sum(axis=1).mean()))
    fee, reason = exit_fee(lock_in, "operator", month_of_price)
    pledge = round_money(pledged(read_pledges(frames), replace(close, contract_id=deal, month_end_date=day)))
    outstanding = months[-1].outstanding if months else None
    found = {
        "exclusivity_in_force": lock_in.exclusive_on(day),
        "purchase_quota_fraction": lock_in.quota,
        "pledged_amount": pledge,
        "vendor_exit_cost_amount": money_from_estimate(float(paths.share.sum(axis=1).mean())),
        "operator_exit_cost_amount": claims if fee is None and not lock_in.exit_rights else fee,
        "operator_exit_cost_null_reason": reason if fee is None and lock_in.exit_rights else None,
        "lender_exit_cost_amount": None if outstanding is None else min(outstanding, claims),
    }
    components = {
        "exclusivity": found["exclusivity_in_force"],
        "purchase_quota_fraction": lock_in.quota,
        "pledged_amount": str(pledge),
        "exit_rights": len(lock_in.exit_rights),
        "portability": lock_in.portability(),
    }
    return {**found, "lock_in_score_components": json.dumps(components, sort_keys=True)}


def _years(
    close: Close,
    contract: Mapping[str, Any],
    deal: str,
    paths: MonthPaths,
    *,
    book: Book,
    months: Sequence[ParkMonth],
    lock_in: Mapping[str, Any],
    service: Array,
) -> list[dict[str, Any]]:
    first = add_months(close.posting_month, 1)
    commencement = date.fromisoformat(str(contract["service_commencement_date"])[:10])
    ahead = [add_months(first, number) for number in range(len(book.discount))]
    years = np.array([months_between(commencement, month) // 12 + 1 for month in ahead])
    usual = run_rate(months)
    costs = _costs(usual, book) if usual is not None and usual.power is not None else None
    alive = np.arange(len(ahead))[None, :] < paths.default_month[:, None]
    at_default = np.where(paths.default_month < len(ahead), years[np.minimum(paths.default_month, len(ahead) - 1)], 0)
    rows: list[dict[str, Any]] = []
    for year in sorted(set(years.tolist())):
        span = years == year

        def of(values: Array, span: Any = span) -> Array:
            return np.asarray(values[:, span].sum(axis=1), dtype=np.float64)

        share, claims, revenue = of(paths.share), of(paths.claims), of(paths.revenue)
        lost = np.where(at_default == year, paths.receivable_loss, 0.0)
        take = share - claims + of(paths.resale) + of(paths.claw_back) - lost
        row: dict[str, Any] = {
            "case_id": contract["contract_id"],
            "deal_id": deal,
            "contract_year": year,
            "month": close.posting_month,
            "months": int(span.sum()),
            "path_count": len(paths.default_month),
            "revenue_amount": money_from_estimate(float(revenue.mean())),
            "vendor_take_amount": money_from_estimate(float(take.mean())),
            "vendor_share_amount": money_from_estimate(float(share.mean())),
            "vendor_claim_amount": money_from_estimate(float(claims.mean())),
            "vendor_risk_amount": money_from_estimate(expected_shortfall(-take, RISK_LEVEL)),
            "effective_take_fraction": float(take.mean() / revenue.mean()) if revenue.mean() > 0 else None,
            "currency_code": contract["currency_code"],
            **lock_in,
        }
        if costs is None:
            row["take_null_reason"] = "the park's economics or a meter reading are not given"
        else:
            flow = revenue - share + claims - of(alive * costs)
            due = float(service[span].sum())
            short = np.maximum(due - flow, 0.0)
            row |= {
                "operator_take_amount": money_from_estimate(float(flow.mean()) - due),
                "operator_risk_amount": money_from_estimate(expected_shortfall(due - flow, RISK_LEVEL)),
                "lender_take_amount": money_from_estimate(due),
                "lender_shortfall_amount": money_from_estimate(float(short.mean())),
                "lender_shortfall_probability": float((short > 0).mean()),
            }
        rows.append(row)
    return rows


def _costs(usual: ParkMonth, book: Book) -> Array:
    """Power, land and operation of each month ahead: the run rate, power and operation with the GPUs installed."""
    installed = np.sum([tranche.installed for tranche in book.tranches], axis=0)
    grown = installed / installed[0] if installed[0] > 0 else np.ones_like(installed)
    scaled = float((usual.power or ZERO) + usual.operation)
    return np.asarray(float(usual.land) + scaled * grown, dtype=np.float64)
