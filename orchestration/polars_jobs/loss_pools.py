"""Pools of receivables that share risk characteristics, as CECL asks for them (ASC 326-20-30-2): which contract is in which
pool at a close, and what each pool is expected to lose.

A pool is named by its characteristics (policy ``loss_pool_characteristics``: rating, country, currency, parent). A
contract that is in default, or whose operator has failed, shares its risk with nobody any more: it leaves its pool and is
evaluated by itself. How a contract's loss is measured belongs in expected_loss and provision_matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl

from orchestration.polars_jobs.errors import wrong
from orchestration.polars_jobs.frames import Frames, make_frame, need
from orchestration.polars_jobs.money import MONEY, ZERO
from orchestration.polars_jobs.policies import CreditPolicy

CHARACTERISTICS = ("rating", "country", "currency", "parent")
DEFAULT_STAGE = 3

POOL_SCHEMA: dict[str, Any] = {
    "pool_id": pl.String,
    "month": pl.Date,
    "currency_code": pl.String,
    "evaluation": pl.String,
    "contract_count": pl.Int32,
    "exposure_amount": MONEY,
    "expected_credit_loss_amount": MONEY,
    "loss_rate_fraction": pl.Float64,
}


class Member(NamedTuple):
    """The pool of a contract at a close by its characteristics, and whether it is evaluated by itself all the same."""

    pool_id: str
    individual: bool


Members = Mapping[tuple[str, date], Member]


def pool_members(frames: Frames, losses: pl.DataFrame, policy: CreditPolicy) -> dict[tuple[str, date], Member]:
    """The pool of every contract and month that ``losses`` (``credit.fct_credit_loss_month``) has a row of.

    Reads ``core.dim_contract`` and ``core.dim_operator``; rating and stage are those of the close. Raises
    :class:`CreditInputError` for a characteristic that there is not.
    """
    chosen = policy.names("loss_pool_characteristics")
    for name in chosen:
        if name not in CHARACTERISTICS:
            raise wrong("loss_pool_characteristics", name, f"must be one of {', '.join(CHARACTERISTICS)}")
    contracts = {row["contract_id"]: row for row in need(frames, "core.dim_contract").iter_rows(named=True)}
    operators = {row["operator_id"]: row for row in need(frames, "core.dim_operator").iter_rows(named=True)}
    out: dict[tuple[str, date], Member] = {}
    states = losses.group_by("contract_id", "month").agg(pl.col("rating").first(), pl.col("stage").max())
    for contract_id, month, rating, stage in states.iter_rows():
        contract = contracts[contract_id]
        operator = operators.get(contract["operator_id"], {})
        known = {
            "rating": rating,
            "country": operator.get("country_code"),
            "currency": contract["currency_code"],
            "parent": operator.get("parent_id") or contract["operator_id"],
        }
        name = ", ".join(f"{own} {known[own] or 'unknown'}" for own in chosen) or "all"
        out[contract_id, month] = Member(name, stage == DEFAULT_STAGE)
    return out


def companions(members: Members, contract_id: str, month: date) -> list[str]:
    """The contracts that share a contract's characteristics at a close, itself among them: whose history its rates take."""
    own = members.get((contract_id, month))
    if own is None:
        return [contract_id]
    return sorted(other for (other, at), member in members.items() if at == month and member.pool_id == own.pool_id)


def pool_losses(frames: Frames, members: Members, losses: pl.DataFrame, expected: pl.DataFrame) -> pl.DataFrame:
    """``credit.fct_loss_pool_month``: one row per pool, month and currency under CECL.

    ``expected``: contract_id, month, standard, expected_credit_loss_amount, by the method that is posted; over the pools of a
    month it sums to CECL's allowance. ``losses`` gives exposures.
    """
    currency = dict(need(frames, "core.dim_contract").select("contract_id", "currency_code").iter_rows())
    cecl = expected.filter(pl.col("standard") == "cecl").select("contract_id", "month", "expected_credit_loss_amount")
    exposed = losses.group_by("contract_id", "month").agg(pl.col("exposure_amount").first())
    sums: dict[tuple[str, date, str, str], tuple[int, Decimal, Decimal]] = {}
    for contract_id, month, loss, exposure in cecl.join(exposed, on=["contract_id", "month"]).iter_rows():
        member = members[contract_id, month]
        evaluation = "individual" if member.individual else "collective"
        pool_id = contract_id if member.individual else member.pool_id
        key = (pool_id, month, currency[contract_id], evaluation)
        count, owed, lost = sums.get(key, (0, ZERO, ZERO))
        sums[key] = (count + 1, owed + exposure, lost + loss)
    rows: Sequence[dict[str, Any]] = [
        {
            "pool_id": pool_id,
            "month": month,
            "currency_code": code,
            "evaluation": evaluation,
            "contract_count": count,
            "exposure_amount": owed,
            "expected_credit_loss_amount": lost,
            "loss_rate_fraction": float(lost / owed) if owed else None,
        }
        for (pool_id, month, code, evaluation), (count, owed, lost) in sums.items()
    ]
    return make_frame(rows, POOL_SCHEMA, ["pool_id", "month", "currency_code"])
