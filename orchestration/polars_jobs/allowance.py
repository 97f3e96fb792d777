"""Allowance for credit losses: the roll-forward by standard, and the provision that is posted.

closing = opening + adoption + provision − write-offs + recoveries ± FX ± transfers. The provision is the plug and may
be negative; so may the allowance itself, because expected recoveries of amounts written off belong to it (ASC
326-20-30-1). Nothing is clipped at zero (CREDIT.md, finding 6). What the closing loss is worth belongs in
expected_loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.polars_jobs.frames import make_frame
from orchestration.polars_jobs.journal import account_balances
from orchestration.polars_jobs.money import MONEY, ZERO, exact

STANDARDS = ("cecl", "ifrs9")

ALLOWANCE_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "standard": pl.String,
    "opening_amount": MONEY,
    "adoption_amount": MONEY,
    "provision_amount": MONEY,
    "write_off_amount": MONEY,
    "recovery_amount": MONEY,
    "fx_amount": MONEY,
    "transfer_amount": MONEY,
    "closing_amount": MONEY,
    "posted": pl.Boolean,
    "control_account_amount": MONEY,
    "currency_code": pl.String,
    "is_provisional": pl.Boolean,
}


def closing_allowance(
    opening: Decimal,
    *,
    adoption: Decimal = ZERO,
    provision: Decimal = ZERO,
    write_offs: Decimal = ZERO,
    recoveries: Decimal = ZERO,
    fx: Decimal = ZERO,
    transfers: Decimal = ZERO,
) -> Decimal:
    """Closing = opening + adoption + provision − write-offs + recoveries + FX + transfers.

    Write-offs and recoveries are positive magnitudes (write-offs less what was reinstated); nothing is clipped
    (ORACLES.md, O14).
    """
    parts = {"opening": opening, "adoption": adoption, "provision": provision, "write-offs": write_offs}
    for field, amount in (parts | {"recoveries": recoveries, "fx": fx, "transfers": transfers}).items():
        exact(amount, field)
    return opening + adoption + provision - write_offs + recoveries + fx + transfers


def provision_for(
    closing: Decimal,
    opening: Decimal,
    *,
    adoption: Decimal = ZERO,
    write_offs: Decimal = ZERO,
    recoveries: Decimal = ZERO,
    fx: Decimal = ZERO,
    transfers: Decimal = ZERO,
) -> Decimal:
    """The plug that brings the allowance to what is expected to be lost; negative is a release."""
    exact(closing, "closing")
    return closing - closing_allowance(
        opening, adoption=adoption, write_offs=write_offs, recoveries=recoveries, fx=fx, transfers=transfers
    )


def allowance_rollforward(
    closes: pl.DataFrame, expected: pl.DataFrame, lines: pl.DataFrame, posted_standard: str
) -> pl.DataFrame:
    """One row per contract, month and standard.

    ``closes``: contract_id, posting_month, is_provisional, currency_code. ``expected``: contract_id, month, standard,
    expected_credit_loss_amount (the closing allowance; none where the standard does not cover the receivable: no rows
    come out for it). ``lines``: the warehouse's journal lines, whose write-offs and recoveries on the allowance are
    taken by posting month. A recovery goes through the allowance under both standards; under IFRS 9 the gain it makes
    is in the provision.
    """
    moved: dict[tuple[str, Any, str], Decimal] = {}
    on_allowance = lines.filter(
        (pl.col("account") == "allowance_for_credit_losses")
        & pl.col("event").is_in(["write_off", "reinstatement", "recovery"])
    ).with_columns(pl.col("event").replace("reinstatement", "write_off"))
    for contract_id, month, event, amount in (
        on_allowance.group_by("contract_id", "posting_month", "event").agg(pl.col("amount").sum()).iter_rows()
    ):
        moved[contract_id, month, event] = amount
    closing_of = {
        (c, m, s): amount
        for c, m, s, amount in expected.select(
            "contract_id", "month", "standard", "expected_credit_loss_amount"
        ).iter_rows()
    }
    covered = {(contract_id, standard) for contract_id, _, standard in closing_of}
    rows: list[dict[str, Any]] = []
    for standard in STANDARDS:
        opening: dict[str, Decimal] = {}
        for close in closes.sort("contract_id", "posting_month").iter_rows(named=True):
            contract_id, month = close["contract_id"], close["posting_month"]
            if (contract_id, standard) in covered:
                closing = closing_of.get((contract_id, month, standard), ZERO)
                rows.append(
                    _row(
                        close,
                        standard,
                        opening=opening.get(contract_id, ZERO),
                        closing=closing,
                        moved=moved,
                        posted_standard=posted_standard,
                    )
                )
                opening[contract_id] = closing
    return make_frame(rows, ALLOWANCE_SCHEMA, ["contract_id", "month", "standard"])


def as_sealed(
    expected: pl.DataFrame, balance: pl.DataFrame, closes: pl.DataFrame, posted_standard: str
) -> pl.DataFrame:
    """The expected losses with those of sealed months, under the posted standard, as their books have them.

    ``balance``: the trial balance of everything that had been posted when they were sealed. ``closes``: contract_id,
    posting_month, and is_sealed where months were sealed.
    """
    if "is_sealed" not in closes.columns:
        return expected
    kept = (
        closes.filter("is_sealed")
        .select("contract_id", pl.col("posting_month").alias("month"))
        .join(account_balances(balance, "allowance_for_credit_losses"), on=["contract_id", "month"], how="left")
        .select(
            "contract_id",
            "month",
            pl.lit(posted_standard).alias("standard"),
            kept_amount=(-pl.col("closing_amount").fill_null(pl.lit(ZERO, dtype=MONEY))).cast(MONEY),
        )
    )
    return expected.join(kept, on=["contract_id", "month", "standard"], how="left").with_columns(
        expected_credit_loss_amount=pl.coalesce("kept_amount", "expected_credit_loss_amount").cast(MONEY)
    )


def _row(
    close: Mapping[str, Any],
    standard: str,
    *,
    opening: Decimal,
    closing: Decimal,
    moved: Mapping[tuple[str, Any, str], Decimal],
    posted_standard: str,
) -> dict[str, Any]:
    contract_id, month = close["contract_id"], close["posting_month"]
    write_offs = moved.get((contract_id, month, "write_off"), ZERO)
    recoveries = -moved.get((contract_id, month, "recovery"), ZERO)
    return {
        "contract_id": contract_id,
        "month": month,
        "standard": standard,
        "opening_amount": opening,
        # The programme begins after adoption of both standards, items stand in the contract's own currency, and no
        # receivable moves between pools.
        "adoption_amount": ZERO,
        "provision_amount": provision_for(closing, opening, write_offs=write_offs, recoveries=recoveries),
        "write_off_amount": write_offs,
        "recovery_amount": recoveries,
        "fx_amount": ZERO,
        "transfer_amount": ZERO,
        "closing_amount": closing,
        "posted": standard == posted_standard,
        "control_account_amount": None,
        "currency_code": close["currency_code"],
        "is_provisional": close["is_provisional"],
    }


def tie_out_allowance(rollforward: pl.DataFrame, balance: pl.DataFrame) -> pl.DataFrame:
    """Fill control_account_amount of the posted standard from the trial balance (credit positive); the standard that
    is not posted has none.
    """
    control = balance.filter(pl.col("account") == "allowance_for_credit_losses").select(
        "contract_id",
        pl.col("posting_month").alias("month"),
        "currency_code",
        pl.lit(True).alias("posted"),
        control=(-pl.col("closing_amount")).cast(MONEY),
    )
    return (
        rollforward.join(control, on=["contract_id", "month", "currency_code", "posted"], how="left")
        .with_columns(
            control_account_amount=pl.when("posted")
            .then(pl.col("control").fill_null(pl.lit(ZERO, dtype=MONEY)))
            .otherwise(None)
        )
        .select(rollforward.columns)
        .sort("contract_id", "month", "standard")
    )
