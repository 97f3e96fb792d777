"""Ageing of receivable items, roll rates between buckets, and the absorbing chain over them.

Buckets are right-closed by days past the contractual due date: 0 or less is current, day 30 is 1–30, day 31 is 31–60
(READINGS.md, 43). Disputed items, open credits and unapplied cash stand apart: credits age nowhere. Loss rates by
bucket belong in provision_matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from orchestration.polars_jobs.errors import PROBABILITY, CreditInputError, check_between, wrong
from orchestration.polars_jobs.frames import make_frame
from orchestration.polars_jobs.money import MONEY

Vector: TypeAlias = npt.NDArray[np.float64]

# label, last day of the bucket (None: no end)
BUCKETS: tuple[tuple[str, int | None], ...] = (
    ("current", 0),
    ("1-30", 30),
    ("31-60", 60),
    ("61-90", 90),
    ("91-120", 120),
    (">120", None),
)
BUCKET_NAMES = tuple(name for name, _ in BUCKETS)
CREDIT = "credit"
UNAPPLIED = "unapplied"
PAID = "paid"
WRITTEN_OFF = "written_off"

AGEING_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "bucket": pl.String,
    "bucket_no": pl.Int32,
    "open_amount": MONEY,
    "disputed_amount": MONEY,
    "unapplied_amount": MONEY,
    "currency_code": pl.String,
}

ROLL_SCHEMA: dict[str, Any] = {
    "month": pl.Date,
    "from_bucket": pl.String,
    "to_bucket": pl.String,
    "currency_code": pl.String,
    "from_amount": MONEY,
    "moved_amount": MONEY,
    "rate": pl.Float64,
}

_ZERO = pl.lit(Decimal("0.00"), dtype=MONEY)


Buckets: TypeAlias = Sequence[tuple[str, int | None]]


def bucket_of(days_past_due: int, buckets: Buckets = BUCKETS) -> str:
    """The bucket of a number of days past due; ``buckets`` of any number, the last without end."""
    for name, last in buckets:
        if last is None or days_past_due <= last:
            return name
    raise wrong("days past due", days_past_due, "lies in no bucket: the last must have no end")


def bucket_expr(
    days_past_due: str = "days_past_due", open_amount: str = "open_amount", buckets: Buckets = BUCKETS
) -> pl.Expr:
    """The bucket as an expression; an open credit (negative amount) is in no age bucket but in ``credit``."""
    expr: pl.Expr = pl.lit(buckets[-1][0])
    for name, last in reversed(buckets[:-1]):
        expr = pl.when(pl.col(days_past_due) <= last).then(pl.lit(name)).otherwise(expr)
    return pl.when(pl.col(open_amount) < _ZERO).then(pl.lit(CREDIT)).otherwise(expr)


def ageing(items: pl.DataFrame, rollforward: pl.DataFrame) -> pl.DataFrame:
    """One row per contract, month and bucket, all eight buckets in every month.

    ``items`` as ``credit.fct_receivable_item``, ``rollforward`` as ``credit.fct_receivable_rollforward_month`` (for
    unapplied cash). open_amount holds what is not disputed; open + disputed over all buckets is the closing
    receivable; unapplied_amount (positive, a liability) stands in the bucket ``unapplied`` alone.
    """
    zero_rows = rollforward.select("contract_id", "month", "currency_code").join(
        pl.DataFrame({"bucket": [*BUCKET_NAMES, CREDIT, UNAPPLIED], "bucket_no": range(1, len(BUCKETS) + 3)}),
        how="cross",
    )
    sums = (
        items.filter(pl.col("open_amount") != _ZERO)
        .with_columns(bucket=bucket_expr())
        .group_by("contract_id", pl.col("as_of_month").alias("month"), "bucket", "currency_code")
        .agg(
            open_amount=pl.col("open_amount").filter(~pl.col("disputed")).sum(),
            disputed_amount=pl.col("open_amount").filter(pl.col("disputed")).sum(),
        )
    )
    unapplied = rollforward.select(
        "contract_id",
        "month",
        "currency_code",
        bucket=pl.lit(UNAPPLIED),
        unapplied_amount=pl.col("unapplied_closing_amount"),
    )
    keys = ["contract_id", "month", "bucket", "currency_code"]
    return (
        zero_rows.join(sums, on=keys, how="left")
        .join(unapplied, on=keys, how="left")
        .with_columns(pl.col("open_amount", "disputed_amount", "unapplied_amount").cast(MONEY).fill_null(_ZERO))
        .select(list(AGEING_SCHEMA))
        .cast(pl.Schema(AGEING_SCHEMA))
        .sort("contract_id", "month", "bucket_no")
    )


def roll_rates(items: pl.DataFrame, buckets: Buckets = BUCKETS) -> pl.DataFrame:
    """Money-weighted rates at which what was open in a bucket a month ago is now in each bucket, paid (cash or credit
    note) or written off; over all contracts, per currency.

    One row per month, from_bucket, to_bucket and currency with something to move; the rates of one from_bucket sum to
    1. Items reinstated or charged again (more open than before) are left out. ``buckets``: any number of them.
    """
    state = items.filter(pl.col("kind") == "invoice").select(
        "contract_id",
        "item_id",
        "currency_code",
        "open_amount",
        "written_off_amount",
        month=pl.col("as_of_month"),
        bucket=pl.when(pl.col("open_amount") > _ZERO).then(bucket_expr(buckets=buckets)).otherwise(None),
    )
    after = state.with_columns(month=pl.col("month").dt.offset_by("-1mo"))
    pairs = (
        state.filter(pl.col("open_amount") > _ZERO)
        .join(after, on=["contract_id", "item_id", "currency_code", "month"], suffix="_after")
        .filter((pl.col("open_amount_after") <= pl.col("open_amount")) & (pl.col("open_amount_after") >= _ZERO))
        .with_columns(
            month=pl.col("month").dt.offset_by("1mo"),
            written=pl.max_horizontal(pl.col("written_off_amount_after") - pl.col("written_off_amount"), _ZERO),
        )
        .with_columns(paid=pl.col("open_amount") - pl.col("open_amount_after") - pl.col("written"))
    )
    if pairs.is_empty():
        return make_frame([], ROLL_SCHEMA)
    keys = ["month", "bucket", "currency_code"]
    moved = pl.concat(
        [
            pairs.filter(pl.col("open_amount_after") > _ZERO).select(
                *keys, to_bucket="bucket_after", moved_amount="open_amount_after"
            ),
            pairs.select(*keys, to_bucket=pl.lit(PAID), moved_amount="paid"),
            pairs.select(*keys, to_bucket=pl.lit(WRITTEN_OFF), moved_amount="written"),
        ],
        how="vertical_relaxed",
    )
    totals = pairs.group_by(keys).agg(from_amount=pl.col("open_amount").sum())
    return (
        moved.group_by(*keys, "to_bucket")
        .agg(moved_amount=pl.col("moved_amount").sum())
        .filter(pl.col("moved_amount") != _ZERO)
        .join(totals, on=keys)
        .with_columns(
            rate=pl.col("moved_amount").cast(pl.Float64) / pl.col("from_amount").cast(pl.Float64),
            from_bucket=pl.col("bucket"),
        )
        .select(list(ROLL_SCHEMA))
        .cast(pl.Schema(ROLL_SCHEMA))
        .sort("month", "from_bucket", "to_bucket", "currency_code")
    )


def absorption(
    transient: Vector, absorbing: Vector, tolerance: float = 1e-12, buckets: Sequence[object] | None = None
) -> Vector:
    """Probability that money in each transient bucket ends in each absorbing state: (I − Q)⁻¹R (CREDIT.md, 3.2;
    ORACLES.md, D6).

    ``transient`` Q (n, n), ``absorbing`` R (n, k): one-month rates; ``buckets``: their n names. Raises
    :class:`CreditInputError` naming the bucket if a rate is outside [0, 1] or a row of [Q R] does not sum to 1, and if
    the chain never absorbs.
    """
    names = list(buckets) if buckets is not None else list(range(len(transient)))
    if np.shape(transient) != (len(names), len(names)) or np.shape(absorbing)[:1] != (len(names),):
        shapes = f"{np.shape(transient)} and {np.shape(absorbing)}"
        raise CreditInputError(
            f"{len(names)} buckets need square rates among them and rows of absorption, not {shapes}"
        )
    rows = np.hstack([transient, absorbing])
    check_between(rows, "roll rate", low=0.0, high=1.0, rule=PROBABILITY, obligors=names, axis=0)
    sums = rows.sum(axis=1)
    off = np.abs(sums - 1.0) > tolerance
    if off.any():
        row = int(np.argmax(off))
        raise wrong("sum of roll rates", float(sums[row]), f"must be 1 within {tolerance:g}", names[row])
    if float(np.max(np.abs(np.linalg.eigvals(transient)))) >= 1.0:
        raise CreditInputError("some bucket is never left: the chain absorbs nothing")
    return np.asarray(np.linalg.solve(np.eye(len(transient)) - transient, absorbing), dtype=np.float64)


def chain_loss_rates(forward_rates: list[float]) -> list[float]:
    """Loss rate of each bucket when money only moves forward: the product of the roll rates from it to the end
    (ORACLES.md, O2: 0.50 × 0.46 × 8/23 × 0.25 = 0.02).
    """
    rates: list[float] = []
    product = 1.0
    check_between(forward_rates, "roll rate", low=0.0, high=1.0, rule=PROBABILITY)
    for rate in reversed(forward_rates):
        product *= rate
        rates.append(product)
    return rates[::-1]
