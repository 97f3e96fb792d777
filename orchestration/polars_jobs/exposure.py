"""What the vendor stands to lose, by contract and by dimension: gross and net exposure, concentration, and both
against the issuer's equity.

Concentration index on the 0–10,000 scale (ORACLES.md, O9: shares 30, 30, 20, 20 give 2,600). Expected loss and the
worth of the backstop do not belong here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import polars as pl

from orchestration.polars_jobs.expected_loss import set_off_allowed
from orchestration.polars_jobs.frames import Frames, RowsBy, make_frame, month_end, need, optional
from orchestration.polars_jobs.money import MONEY, ZERO, exact, round_money
from orchestration.polars_jobs.receivables import Close, read_closes

EXPOSURE_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "operator_id": pl.String,
    "currency_code": pl.String,
    "receivable_amount": MONEY,
    "unbilled_amount": MONEY,
    "claims_payable_amount": MONEY,
    "gross_amount": MONEY,
    "net_amount": MONEY,
    "netting_enforceable": pl.Boolean,
    "allowance_amount": MONEY,
    "max_backstop_exposure_amount": MONEY,
    "gross_to_equity_fraction": pl.Float64,
    "max_backstop_exposure_to_equity_fraction": pl.Float64,
    "is_provisional": pl.Boolean,
}

CONCENTRATION_SCHEMA: dict[str, Any] = {
    "month": pl.Date,
    "dimension": pl.String,
    "currency_code": pl.String,
    "member_count": pl.Int32,
    "exposure_amount": MONEY,
    "hhi": pl.Float64,
    "effective_number": pl.Float64,
    "top_1_fraction": pl.Float64,
    "top_3_fraction": pl.Float64,
    "exposure_to_equity_fraction": pl.Float64,
    "total_exposure_to_equity_fraction": pl.Float64,
    "hhi_gross": pl.Float64,
    "max_backstop_exposure_amount": MONEY,
    "hhi_max_backstop_exposure": pl.Float64,
    "null_reason": pl.String,
}

MILLION = Decimal(1_000_000)


class Concentration(NamedTuple):
    """HHI (0 to 10,000), effective number of members, and the parts of the largest one and three."""

    hhi: float
    effective_number: float
    top_1: float
    top_3: float


def concentration(amounts: Sequence[Decimal | Fraction | float]) -> Concentration | None:
    """Concentration of positive exposures; members at zero or below hold nothing that could be lost. None where
    nothing is left (ORACLES.md, D8, O9).
    """
    positive = sorted((found for amount in amounts if (found := exact(amount, "exposure")) > 0), reverse=True)
    total = sum(positive, Fraction(0))
    if total == 0:
        return None
    hhi = 10_000 * sum((amount / total) ** 2 for amount in positive)
    return Concentration(
        float(hhi), float(10_000 / hhi), float(positive[0] / total), float(sum(positive[:3], Fraction(0)) / total)
    )


def net_exposure(
    receivable: Decimal, unbilled: Decimal, claims_payable: Decimal, *, netting_enforceable: bool
) -> Decimal:
    """Net of claims payable: receivable + unbilled, less them where netting is enforceable, not below zero."""
    for field, amount in (("receivable", receivable), ("unbilled", unbilled), ("claims payable", claims_payable)):
        exact(amount, field)
    gross = receivable + unbilled
    return max(ZERO, gross - claims_payable) if netting_enforceable else gross


def equity_by_month(
    facts: pl.DataFrame | None, months: Sequence[Any], issuer_id: str | None = None
) -> dict[Any, Decimal]:
    """The issuer's equity in whole currency units at the last fiscal period end not after each month's end; months
    before the first filing are left out.

    ``facts``: ``issuer.fct_issuer_quarter`` (issuer_id, fiscal_period_end, equity in USD m). With several issuers and
    none named, none is taken.
    """
    if facts is None or facts.is_empty():
        return {}
    if issuer_id is None:
        issuers = facts["issuer_id"].unique().to_list()
        if len(issuers) != 1:
            return {}
        issuer_id = issuers[0]
    known = facts.filter((pl.col("issuer_id") == issuer_id) & pl.col("equity").is_not_null()).sort("fiscal_period_end")
    out: dict[Any, Decimal] = {}
    for month in months:
        before = known.filter(pl.col("fiscal_period_end") <= month_end(month))
        if not before.is_empty():
            out[month] = Decimal(before["equity"][-1]) * MILLION
    return out


def exposures(frames: Frames, balance: pl.DataFrame, equity: Mapping[Any, Decimal]) -> pl.DataFrame:
    """One row per contract and month of ``credit.fct_exposure_month``, from the trial balance; every account as it
    stands at the close.

    gross = trade receivable + unbilled; claims payable stands apart and is netted only where the terms allow and law
    enforces it, both shown. The most that the backstop can still cost (``backstop.fct_backstop_cap_month``,
    undiscounted, not netted) stands beside, in no sum. Fractions of equity only where the contract is in USD, as the
    filings are.
    """
    contracts = {
        row["contract_id"]: row
        for row in need(frames, "core.dim_contract", "contract_id", "operator_id", "currency_code").iter_rows(
            named=True
        )
    }
    terms = RowsBy(optional(frames, "raw.backstop_terms"))
    caps = optional(frames, "backstop.fct_backstop_cap_month")
    limits = (
        {}
        if caps is None
        else {(c, m): a for c, m, a in caps.select("contract_id", "service_month", "max_exposure_amount").iter_rows()}
    )
    standing: dict[tuple[str, str, date], Decimal] = {
        (c, a, m): v
        for c, a, m, v in balance.select("contract_id", "account", "posting_month", "closing_amount").iter_rows()
    }
    rows: list[dict[str, Any]] = []
    for close in read_closes(need(frames, "intermediate.int_closes", "contract_id", "posting_month")):
        month, contract = close.posting_month, contracts[close.contract_id]

        def of(account: str, key: Close = close) -> Decimal:
            return standing.get((key.contract_id, account, key.posting_month), ZERO)

        receivable, unbilled, payable = of("trade_receivable"), of("unbilled_share_receivable"), -of("backstop_payable")
        enforceable = set_off_allowed(terms, close)
        gross = receivable + unbilled
        limit = limits.get((close.contract_id, month))
        own_equity = equity.get(month) if contract["currency_code"] == "USD" else None
        rows.append(
            {
                "contract_id": close.contract_id,
                "month": month,
                "operator_id": contract["operator_id"],
                "currency_code": contract["currency_code"],
                "receivable_amount": receivable,
                "unbilled_amount": unbilled,
                "claims_payable_amount": payable,
                "gross_amount": gross,
                "net_amount": net_exposure(receivable, unbilled, payable, netting_enforceable=enforceable),
                "netting_enforceable": enforceable,
                "allowance_amount": -of("allowance_for_credit_losses"),
                "max_backstop_exposure_amount": limit,
                "gross_to_equity_fraction": float(gross / own_equity) if own_equity else None,
                "max_backstop_exposure_to_equity_fraction": float(limit / own_equity)
                if own_equity and limit is not None
                else None,
                "is_provisional": close.is_provisional,
            }
        )
    return make_frame(rows, EXPOSURE_SCHEMA, ["contract_id", "month"])


DIMENSIONS = ("contract", "operator", "parent", "country", "park", "gpu_generation")


def members(frames: Frames) -> pl.DataFrame:
    """For each contract and dimension the member(s) it belongs to and its part in each: contract_id, dimension,
    member, part.

    Parts sum to 1 per contract and dimension; GPU generations share a contract by installed GPUs. The parent of an
    operator without one is the operator itself.
    """
    contracts = need(frames, "core.dim_contract", "contract_id", "operator_id", "park_id")
    operators = need(frames, "core.dim_operator", "operator_id", "parent_id", "country_code")
    joined = contracts.select("contract_id", "operator_id", "park_id").join(
        operators.select("operator_id", "parent_id", operator_country="country_code"), on="operator_id", how="left"
    )
    rows: list[dict[str, Any]] = []
    for row in joined.iter_rows(named=True):
        for dimension, member in (
            ("contract", row["contract_id"]),
            ("operator", row["operator_id"]),
            ("parent", row["parent_id"] or row["operator_id"]),
            ("country", row["operator_country"]),
            ("park", row["park_id"]),
        ):
            rows.append(
                {"contract_id": row["contract_id"], "dimension": dimension, "member": member or "unknown", "part": 1.0}
            )
    tranches = optional(frames, "core.dim_tranche")
    if tranches is not None:
        counts = (
            tranches.filter(pl.col("contract_id").is_not_null())
            .group_by("contract_id", "gpu_model")
            .agg(pl.col("gpu_count").sum())
        )
        parts = counts.with_columns(part=pl.col("gpu_count") / pl.col("gpu_count").sum().over("contract_id"))
        rows.extend(
            {"contract_id": contract_id, "dimension": "gpu_generation", "member": model, "part": part}
            for contract_id, model, part in parts.select("contract_id", "gpu_model", "part")
            .sort("contract_id", "gpu_model")
            .iter_rows()
        )
    return make_frame(rows, {"contract_id": pl.String, "dimension": pl.String, "member": pl.String, "part": pl.Float64})


def concentrations(exposure: pl.DataFrame, membership: pl.DataFrame, equity: Mapping[Any, Decimal]) -> pl.DataFrame:
    """One row per month, dimension and currency of ``credit.fct_concentration_month``.

    hhi, effective number and top fractions are over positive net exposures; hhi_gross over gross ones,
    hhi_max_backstop_exposure over what the backstops can still cost. exposure_to_equity_fraction is the largest
    member's exposure over the issuer's equity (ORACLES.md, D8), total_exposure_to_equity_fraction that of all. Where
    no exposure is positive: null with the reason.
    """
    exact = exposure.join(membership, on="contract_id", how="inner")
    rows: list[dict[str, Any]] = []
    groups = exact.partition_by(["month", "dimension", "currency_code"], as_dict=True, maintain_order=True)
    for (month, dimension, currency_code), part in groups.items():
        held: dict[str, list[Fraction]] = {}
        for row in part.iter_rows(named=True):
            amounts = held.setdefault(row["member"], [Fraction(0)] * 3)
            for number, column in enumerate(("net_amount", "gross_amount", "max_backstop_exposure_amount")):
                amounts[number] += Fraction(row[column] or 0) * Fraction(row["part"])
        net, gross, limit = ([round_money(amounts[k]) for amounts in held.values()] for k in range(3))
        found, on_gross, on_limit = concentration(net), concentration(gross), concentration(limit)
        own_equity = equity.get(month) if currency_code == "USD" else None
        total = sum((amount for amount in net if amount > 0), ZERO)
        rows.append(
            {
                "month": month,
                "dimension": dimension,
                "currency_code": currency_code,
                "member_count": len(held),
                "exposure_amount": total,
                "hhi": found.hhi if found else None,
                "effective_number": found.effective_number if found else None,
                "top_1_fraction": found.top_1 if found else None,
                "top_3_fraction": found.top_3 if found else None,
                "exposure_to_equity_fraction": float(max(net) / own_equity) if found and own_equity else None,
                "total_exposure_to_equity_fraction": float(total / own_equity) if found and own_equity else None,
                "hhi_gross": on_gross.hhi if on_gross else None,
                "max_backstop_exposure_amount": sum(limit, ZERO),
                "hhi_max_backstop_exposure": on_limit.hhi if on_limit else None,
                "null_reason": None if found else "no positive exposure",
            }
        )
    return make_frame(rows, CONCENTRATION_SCHEMA, ["month", "dimension", "currency_code"])
