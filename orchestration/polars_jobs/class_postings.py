"""What the accounting class in force puts into the journal: the balances that should stand at each close, by event.

A backstop's liability is measured anew at each close, and what it moves by is posted against the class's own account; a
claim is expensed when it accrues and has left what is measured by then, so that over a contract's life income and cost
sum to the claims (CREDIT.md, 3.8 and 4.29). A receivable that is an operating lease's is outside CECL: what may not be
collected is taken off lease income (ASC 842-30-25-12 and 13; CREDIT.md, finding 4). What the amounts are worth belongs
in backstop_liability and expected_loss, how balances become entries in journal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.polars_jobs.frames import Frames, make_frame, need
from orchestration.polars_jobs.money import MONEY, ZERO
from orchestration.polars_jobs.policies import CreditPolicy
from orchestration.polars_jobs.receivables import Close, read_closes

STANDING_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "posting_month": pl.Date,
    "currency_code": pl.String,
    "should_amount": MONEY,
}

# Basis of measurement: the event that brings its liability to where it should stand.
LIABILITY_EVENTS: Mapping[str, str] = {
    "asc450": "contingent_loss",
    "asc815_fair_value": "remeasure_derivative",
    "asc606_consideration_payable": "accrue_consideration",
}
# Basis: the event that takes its claims from the cost of buying hours to the line of their class.
CLAIM_EVENTS: Mapping[str, str] = {
    "asc815_fair_value": "claim_on_derivative",
    "asc606_consideration_payable": "claim_as_consideration",
}
Amounts = dict[tuple[str, date], Decimal]


def backstop_standing(frames: Frames, lines: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """By event of the backstop's accounting class, what should stand at each close: frames of contract_id,
    posting_month, currency_code, should_amount (cumulative, debit side positive).

    Reads ``intermediate.int_closes``, ``core.dim_contract`` and ``credit.fct_backstop_liability_month`` (posted_amount);
    ``lines``: the warehouse's journal, whose claims are taken by posting month. A close without a posted amount stands at
    zero: what is left of a stand-ready obligation is released, of any other liability taken back.
    """
    posted: dict[str, Amounts] = {}
    chosen: dict[tuple[str, date], str] = {}
    liability = need(frames, "credit.fct_backstop_liability_month")
    columns = ("contract_id", "month", "measurement_basis", "posted", "posted_amount")
    for contract_id, month, basis, is_posted, amount in liability.select(columns).iter_rows():
        if amount is not None:
            kind = "asc460" if basis.startswith("asc460") else basis
            posted.setdefault(kind, {})[contract_id, month] = amount
        if is_posted:
            chosen[contract_id, month] = basis
    by_contract = _closes_by_contract(frames)
    standing: dict[str, Amounts] = {"stand_ready_inception": {}, "stand_ready_release": {}}
    for basis, event in LIABILITY_EVENTS.items():
        standing[event] = posted.get(basis, {})
    claims = _amounts(lines, "backstop_cost", ("accrue_claim", "claw_back"))
    basis_of = _carried(by_contract, chosen)
    for basis, event in CLAIM_EVENTS.items():
        moved = {key: amount for key, amount in claims.items() if basis_of.get(key) == basis}
        standing[event] = _running(by_contract, moved)
    _stand_ready(by_contract, posted.get("asc460", {}), standing)
    return {event: _frame(frames, amounts) for event, amounts in standing.items()}


def _carried(
    by_contract: Mapping[str, Sequence[Close]], chosen: Mapping[tuple[str, date], str]
) -> dict[tuple[str, date], str]:
    """The basis at every close: claims of the last month, and corrections after it, come when nothing is measured any more."""
    out: dict[tuple[str, date], str] = {}
    for contract_id, closes in by_contract.items():
        last: str | None = None
        for close in closes:
            last = chosen.get((contract_id, close.posting_month), last)
            if last is not None:
                out[contract_id, close.posting_month] = last
    return out


def _stand_ready(
    by_contract: Mapping[str, Sequence[Close]], carrying: Amounts, standing: Mapping[str, Amounts]
) -> None:
    """Inception and release so far at each close: the obligation stands at the one less the other."""
    for contract_id, closes in by_contract.items():
        incurred = released = ZERO
        before: Decimal | None = None
        for close in closes:
            now = carrying.get((contract_id, close.posting_month))
            if before is None and now is not None:
                incurred += now
            else:
                released += (before or ZERO) - (now or ZERO)
            before = now
            standing["stand_ready_inception"][contract_id, close.posting_month] = incurred
            standing["stand_ready_release"][contract_id, close.posting_month] = released


def lease_standing(
    frames: Frames,
    losses: pl.DataFrame,
    lines: pl.DataFrame,
    classes: Mapping[tuple[str, date], str],
    policy: CreditPolicy,
) -> dict[str, pl.DataFrame]:
    """What should stand at each close for receivables that are operating leases and CECL's allowance therefore leaves
    out: the reserve against lease income, and the write-offs that use it. Nothing where IFRS 9's allowance is posted,
    which covers them.

    The reserve is the lifetime expected loss while collection is probable (policy ``probable_threshold``), and all that
    is owed once it is not: then lease income is what is received. ``losses``: ``credit.fct_credit_loss_month``;
    ``lines``: the warehouse's journal; ``classes``: as of ``expected_loss.receivable_classes``.
    """
    names = ("lease_collectibility", "lease_write_off")
    if policy.choice("allowance_standard", "cecl", "ifrs9") != "cecl" or "operating_lease" not in classes.values():
        return {name: make_frame([], STANDING_SCHEMA) for name in names}
    measured = (
        losses.filter(pl.col("standard") == "ifrs9")
        .group_by("contract_id", "month")
        .agg(
            owed=pl.col("exposure_amount").first(),
            expected=pl.col("lifetime_weighted_amount").sum().cast(MONEY),
            default=(pl.col("weight") * pl.col("pd_fraction")).sum(),
        )
    )
    threshold = policy.number("probable_threshold")
    reserve = {
        (contract_id, month): expected if 1.0 - default >= threshold else owed
        for contract_id, month, owed, expected, default in measured.iter_rows()
        if classes.get((contract_id, month)) == "operating_lease"
    }
    used = _amounts(lines, "allowance_for_credit_losses", ("write_off", "reinstatement", "recovery"))
    leased = {key: amount for key, amount in used.items() if classes.get(key) == "operating_lease"}
    by_contract = _closes_by_contract(frames)
    written_off = _running(by_contract, leased)
    charged = {key: reserve.get(key, ZERO) + written_off.get(key, ZERO) for key in {*reserve, *written_off}}
    return {name: _frame(frames, amounts) for name, amounts in zip(names, (charged, written_off), strict=True)}


def _closes_by_contract(frames: Frames) -> dict[str, list[Close]]:
    out: dict[str, list[Close]] = {}
    for close in read_closes(need(frames, "intermediate.int_closes", "contract_id", "posting_month")):
        out.setdefault(close.contract_id, []).append(close)
    return out


def _amounts(lines: pl.DataFrame, account: str, events: Sequence[str]) -> Amounts:
    """What the events have moved on an account, debit positive, by contract and posting month."""
    moved = lines.filter((pl.col("account") == account) & pl.col("event").is_in(list(events)))
    summed = moved.group_by("contract_id", "posting_month").agg(pl.col("amount").sum())
    return {(contract_id, month): amount for contract_id, month, amount in summed.iter_rows()}


def _running(by_contract: Mapping[str, Sequence[Close]], moved: Amounts) -> Amounts:
    """Running sums of what moved, at every close of the contracts that anything moved for."""
    out: Amounts = {}
    for contract_id in sorted({contract_id for contract_id, _ in moved}):
        total = ZERO
        for close in by_contract.get(contract_id, []):
            total += moved.get((contract_id, close.posting_month), ZERO)
            out[contract_id, close.posting_month] = total
    return out


def _frame(frames: Frames, amounts: Amounts) -> pl.DataFrame:
    currencies = dict(need(frames, "core.dim_contract").select("contract_id", "currency_code").iter_rows())
    rows = [
        {
            "contract_id": contract_id,
            "posting_month": month,
            "currency_code": currencies[contract_id],
            "should_amount": amount,
        }
        for (contract_id, month), amount in amounts.items()
    ]
    return make_frame(rows, STANDING_SCHEMA, ["contract_id", "posting_month"])
