"""The stress set: share, claims and expected credit loss of each contract at its latest close under each scenario
without a weight.

A stress changes what the book is made of and runs the same paths on the same random numbers as the baseline beside
it, so that differences are the stress alone. What goes through the operator's own cash flow (power price, debt
service, covenants) is measured on its run rate in operator_stress; where its economics are not given, those columns
are null with a reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from orchestration.polars_jobs.backstop_paths import (
    Book,
    Loadings,
    contract_seed,
    draw_shocks,
    mean_and_error,
    simulate,
)
from orchestration.polars_jobs.backstop_worth import EDGE_FRACTION, Inputs, book_at
from orchestration.polars_jobs.errors import PROBABILITY, check_number, wrong
from orchestration.polars_jobs.expected_loss import closing_losses, credit_loss
from orchestration.polars_jobs.frames import Frames, make_frame, need, optional
from orchestration.polars_jobs.lifetime_ecl import check_probability, vasicek_shift
from orchestration.polars_jobs.money import MONEY, money_from_estimate
from orchestration.polars_jobs.operator_stress import OperatorBook, breaches_under, dscr_under
from orchestration.polars_jobs.policies import CreditPolicy
from orchestration.polars_jobs.receivables import Close, read_closes

BASELINE = "baseline"
STRESS_PATHS = 2_000
LOSS_DRIVERS = ("systematic_factor", "pd_multiple", "lgd_fraction")

STRESS_SCHEMA: dict[str, Any] = {
    "scenario_id": pl.String,
    "contract_id": pl.String,
    "month": pl.Date,
    "scenario_name": pl.String,
    "drivers": pl.String,
    "source": pl.String,
    "horizon_months": pl.Int32,
    "path_count": pl.Int32,
    "share_amount": MONEY,
    "share_change_amount": MONEY,
    "claim_amount": MONEY,
    "claim_change_amount": MONEY,
    "claim_standard_error_amount": MONEY,
    "expected_credit_loss_amount": MONEY,
    "expected_credit_loss_change_amount": MONEY,
    "dscr": pl.Float64,
    "covenant_breached": pl.Boolean,
    "null_reason": pl.String,
    "currency_code": pl.String,
}


def stress_results(frames: Frames, operators: Mapping[str, OperatorBook], policy: CreditPolicy) -> pl.DataFrame:
    """``credit.fct_stress_result``: one row per stress scenario (and the baseline), contract and its latest month.

    Reads what ``backstop_worth`` and ``credit_loss`` read, and ``raw.scenario``; ``operators`` as of
    ``operator_stress.operator_books``. Amounts are expected, undiscounted,
    over the months to the backstop's expiry; expected credit loss is that of the posted standard; dscr and
    covenant_breached are those of the operator's run rate under the drivers.
    """
    table = optional(frames, "raw.scenario")
    if table is None or optional(frames, "raw.backstop_terms") is None:
        return make_frame([], STRESS_SCHEMA)
    stresses = table.filter(pl.col("weight").is_null()).sort("scenario_id", "driver")
    contracts = {
        row["contract_id"]: row for row in need(frames, "core.dim_contract", "contract_id").iter_rows(named=True)
    }
    latest = {close.contract_id: close for close in read_closes(need(frames, "intermediate.int_closes", "contract_id"))}
    rows: list[dict[str, Any]] = []
    inputs = Inputs(frames)
    for contract_id, close in sorted(latest.items()):
        contract = contracts[contract_id]
        base = _run(frames, inputs, close, contract, drivers={}, policy=policy)
        if base is None:
            continue
        stress_of = stresses.partition_by("scenario_id", as_dict=True, maintain_order=True)
        for scenario_id, drivers in [(BASELINE, None), *((str(key[0]), part) for key, part in stress_of.items())]:
            values = {} if drivers is None else drivers_of(drivers)
            stressed = base if drivers is None else _run(frames, inputs, close, contract, drivers=values, policy=policy)
            if stressed is not None:
                rows.append(
                    _row(
                        close,
                        contract,
                        scenario=_about(scenario_id, drivers),
                        found=stressed,
                        base=base,
                        operator=operators[contract_id],
                        values=values,
                    )
                )
    return make_frame(rows, STRESS_SCHEMA, ["contract_id", "month", "scenario_id"])


def drivers_of(rows: pl.DataFrame) -> dict[str, float]:
    """Driver to value of one scenario's rows of ``raw.scenario``."""
    return {driver: float(value) for driver, value in rows.select("driver", "value").iter_rows()}


def _about(scenario_id: str, drivers: pl.DataFrame | None) -> dict[str, Any]:
    if drivers is None:
        return {"scenario_id": scenario_id, "scenario_name": "as expected", "drivers": "", "source": None}
    return {
        "scenario_id": scenario_id,
        "scenario_name": drivers["scenario_name"][0],
        "drivers": "; ".join(f"{name} = {value:g}" for name, value in drivers_of(drivers).items()),
        "source": "; ".join(sorted({source for source in drivers["source"].to_list() if source})) or None,
    }


def _run(
    frames: Frames,
    inputs: Inputs,
    close: Close,
    contract: Mapping[str, Any],
    *,
    drivers: Mapping[str, float],
    policy: CreditPolicy,
) -> dict[str, Any] | None:
    """Expected share, claims with their standard error, and expected loss under the drivers; None where the contract
    has no months ahead.
    """
    changed = dict(frames)
    slip = drivers.get("delivery_slip_days", 0.0)
    if slip:
        changed["core.dim_tranche"] = slipped(need(frames, "core.dim_tranche"), close, int(slip))
    book = book_at(Inputs(changed) if slip else inputs, close, contract, policy)
    if book is None:
        return None
    book = stressed_book(book, drivers, policy, close.contract_id)
    leases = sum(len(tranche.leases) for tranche in book.tranches)
    count = min(STRESS_PATHS, 2 * (policy.integer("path_count") // 2))
    seed = contract_seed(policy.integer("path_seed"), close.contract_id, close.posting_month)
    loading = math.sqrt(policy.number("asset_correlation"))
    result = simulate(
        book,
        draw_shocks(
            seed, count, len(book.discount), book.tenant_count, leases, antithetic=policy.flag("antithetic_paths")
        ),
        Loadings(loading, loading, loading),
    )
    claim, error = mean_and_error(result.claims, antithetic=policy.flag("antithetic_paths"))
    return {
        "months": len(book.discount),
        "paths": count,
        "share": money_from_estimate(float(result.share.mean())),
        "claim": money_from_estimate(claim),
        "error": money_from_estimate(error),
        "loss": _expected_loss(changed, close, drivers, policy),
    }


def slipped(tranches: pl.DataFrame, close: Close, days: int) -> pl.DataFrame:
    """The tranches with every delivery that still lies ahead of the close moved by ``days``."""
    planned = "planned_date" in tranches.columns
    due = pl.coalesce("energised_date", "planned_date") if planned else pl.col("energised_date")
    moved = pl.when(due > close.month_end_date).then(due + pl.duration(days=days)).otherwise(pl.col("energised_date"))
    return tranches.with_columns(energised_date=moved)


def stressed_book(book: Book, drivers: Mapping[str, float], policy: CreditPolicy, obligor: object = None) -> Book:
    """The book after the drivers that act on it; raises :class:`CreditInputError`, naming ``obligor``, where a driver
    pushes a figure out of its range.

    price_change_fraction and next_generation_price_change_fraction move today's price and its mean;
    occupancy_change_fraction today's occupancy and its mean; systematic_factor (positive good) and pd_multiple the
    default probabilities; rate_shift_bp the discounting; largest_tenant_default removes the tenant with the largest
    contracted revenue; operator_insolvency puts the operator in default today.
    """
    price_factor = (1.0 + drivers.get("price_change_fraction", 0.0)) * (
        1.0 + drivers.get("next_generation_price_change_fraction", 0.0)
    )
    if price_factor <= 0:
        raise wrong("price after the stress", price_factor - 1.0, "a price cannot fall by all of itself", obligor)
    occupancy_factor = 1.0 + drivers.get("occupancy_change_fraction", 0.0)
    occupancy = book.occupancy
    if occupancy_factor != 1.0:
        start, mean = (
            min(max(value * occupancy_factor, EDGE_FRACTION), 1.0 - EDGE_FRACTION)
            for value in (occupancy.start_fraction, occupancy.mean_fraction)
        )
        occupancy = occupancy._replace(start_fraction=start, mean_fraction=mean)
    pds = []
    for monthly in (book.operator_pd, book.tenant_pd):
        factor = drivers.get("systematic_factor", 0.0)
        annual = 1.0 - np.power(1.0 - monthly, 12.0)
        shifted = vasicek_shift(annual, policy.number("asset_correlation"), factor) if factor else annual
        shifted = check_probability(
            shifted * drivers.get("pd_multiple", 1.0),
            "stressed default probability",
            obligors=None if obligor is None else [obligor],
        )
        pds.append(1.0 - np.power(1.0 - shifted, 1.0 / 12.0))
    lgd = drivers.get("lgd_fraction", book.lgd)
    check_number(lgd, "lgd_fraction", low=0.0, high=1.0, rule=PROBABILITY, obligor=obligor)
    shift = drivers.get("rate_shift_bp", 0.0) * 1e-4
    years = np.arange(1, len(book.discount) + 1) / 12.0
    tranches = book.tranches
    if drivers.get("largest_tenant_default"):
        revenue: dict[int, float] = {}
        for tranche in tranches:
            for lease in tranche.leases:
                revenue[lease.tenant] = revenue.get(lease.tenant, 0.0) + float(lease.revenue.sum())
        if revenue:
            gone = max(revenue, key=lambda tenant: (revenue[tenant], -tenant))
            tranches = [
                replace(tranche, leases=[lease for lease in tranche.leases if lease.tenant != gone])
                for tranche in tranches
            ]
    return replace(
        book,
        tranches=tranches,
        price=book.price._replace(start=book.price.start * price_factor, mean=book.price.mean * price_factor),
        occupancy=occupancy,
        operator_pd=pds[0],
        tenant_pd=pds[1],
        lgd=lgd,
        discount=book.discount * np.exp(-shift * years),
        pay_discount=book.pay_discount * np.exp(-shift * years),
        operator_in_default=book.operator_in_default or bool(drivers.get("operator_insolvency")),
    )


def _expected_loss(frames: Frames, close: Close, drivers: Mapping[str, float], policy: CreditPolicy) -> Any:
    """The closing allowance of the posted standard, with the drivers as the one scenario; None where that standard
    does not cover the receivable.
    """
    acting = {name: value for name, value in drivers.items() if name in LOSS_DRIVERS}
    one = {
        "intermediate.int_closes": need(frames, "intermediate.int_closes").filter(
            (pl.col("contract_id") == close.contract_id) & (pl.col("posting_month") == close.posting_month)
        )
    }
    if drivers:
        rows = [
            {"scenario_id": "stress", "weight": 1.0, "driver": name, "value": value}
            for name, value in (acting or {"pd_multiple": 1.0}).items()
        ]
        one["raw.scenario"] = pl.DataFrame(rows)
    if drivers.get("operator_insolvency"):
        one["staging.stg_credit_events"] = _with_insolvency(optional(frames, "staging.stg_credit_events"), close)
    losses = credit_loss(
        {**frames, **one},
        need(frames, "credit.fct_receivable_item"),
        need(frames, "ledger.fct_trial_balance_month"),
        # A stress is a change of conditions, which the expedient would leave out.
        policy.but(cecl_expedient_2025_05="false") if drivers else policy,
    )
    found = closing_losses(losses).filter(pl.col("standard") == policy.choice("allowance_standard", "cecl", "ifrs9"))
    return found["expected_credit_loss_amount"].item() if found.height == 1 else None


def _with_insolvency(events: pl.DataFrame | None, close: Close) -> pl.DataFrame:
    day = datetime.combine(close.month_end_date, datetime.min.time(), UTC) - timedelta(days=1)
    row = pl.DataFrame(
        [
            {
                "park_id": "stress",
                "event_id": "stress:insolvency",
                "contract_id": close.contract_id,
                "kind": "insolvency",
                "effective_at": day,
                "payload": None,
                "recorded_at": day,
                "content_hash": "stress",
            }
        ],
        schema_overrides={
            "effective_at": pl.Datetime("us", "UTC"),
            "recorded_at": pl.Datetime("us", "UTC"),
            "payload": pl.String,
        },
    )
    return row if events is None else pl.concat([events, row], how="diagonal_relaxed")


def _row(
    close: Close,
    contract: Mapping[str, Any],
    *,
    scenario: Mapping[str, Any],
    found: Mapping[str, Any],
    base: Mapping[str, Any],
    operator: OperatorBook,
    values: Mapping[str, float],
) -> dict[str, Any]:
    both = found["loss"] is not None and base["loss"] is not None
    dscr, reason = dscr_under(operator, values)
    return {
        **scenario,
        "contract_id": close.contract_id,
        "month": close.posting_month,
        "horizon_months": found["months"],
        "path_count": found["paths"],
        "share_amount": found["share"],
        "share_change_amount": found["share"] - base["share"],
        "claim_amount": found["claim"],
        "claim_change_amount": found["claim"] - base["claim"],
        "claim_standard_error_amount": found["error"],
        "expected_credit_loss_amount": found["loss"],
        "expected_credit_loss_change_amount": found["loss"] - base["loss"] if both else None,
        "dscr": dscr,
        "covenant_breached": breaches_under(operator, values),
        "null_reason": reason,
        "currency_code": contract["currency_code"],
    }
