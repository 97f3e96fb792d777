"""Expected credit loss by ageing bucket: Σ bucket × min(1, rate × forward-looking scalar), with given rates or rates
built from payment history.

Rates are kept unrounded: rounding them before use moves the result by several percent (ORACLES.md, O6: 21,035 against
22,831). Which items are open in which bucket belongs in ageing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from orchestration.polars_jobs.ageing import BUCKET_NAMES, BUCKETS
from orchestration.polars_jobs.errors import NOT_NEGATIVE, PROBABILITY, wrong
from orchestration.polars_jobs.frames import make_frame, month_end
from orchestration.polars_jobs.money import MONEY, ZERO, exact, round_money
from orchestration.polars_jobs.policies import CreditPolicy

Exact = Decimal | Fraction | float

MATRIX_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "bucket": pl.String,
    "bucket_no": pl.Int32,
    "open_amount": MONEY,
    "loss_rate": pl.Float64,
    "forward_scalar": pl.Float64,
    "expected_credit_loss_amount": MONEY,
    "loss_rate_source": pl.String,
    "pool_id": pl.String,
    "currency_code": pl.String,
}


def bucket_loss(
    open_amount: Exact, loss_rate: Exact, forward_scalar: Exact = Decimal(1), obligor: object = None
) -> Fraction:
    """Unrounded loss of one bucket: amount × min(1, rate × scalar). Credits (amount ≤ 0) lose nothing and cut nobody
    else's loss.

    Raises :class:`CreditInputError`, naming ``obligor``, for a rate outside [0, 1] or a negative scalar. Only the product is limited to 1:
    a scalar may say "all is lost", a rate may not be more than all.
    """
    rate = exact(loss_rate, "loss rate", obligor)
    scalar = exact(forward_scalar, "forward-looking scalar", obligor)
    amount = exact(open_amount, "open amount", obligor)
    if not 0 <= rate <= 1:
        raise wrong("loss rate", loss_rate, PROBABILITY, obligor)
    if scalar < 0:
        raise wrong("forward-looking scalar", forward_scalar, "must not be negative", obligor)
    return max(amount, Fraction(0)) * min(Fraction(1), rate * scalar)


def matrix_loss(
    balances: Sequence[Exact], rates: Sequence[Exact], scalars: Sequence[Exact] | None = None, digits: int = 2
) -> Decimal:
    """Expected loss of a whole matrix, rounded once on the total. Sequences of equal length, one entry a bucket."""
    if scalars is None:
        scalars = [Decimal(1)] * len(balances)
    for field, values in (("loss rates", rates), ("forward-looking scalars", scalars)):
        if len(values) != len(balances):
            raise wrong(field, list(values), f"one for each of {len(balances)} buckets is needed")
    return round_money(
        sum((bucket_loss(*row) for row in zip(balances, rates, scalars, strict=True)), Fraction(0)), digits
    )


def rates_from_history(sales: Exact, paid_by_bucket: Sequence[Exact], never_paid: Exact) -> list[Fraction]:
    """Loss rates of a closed cohort: what was never paid ÷ what was still unpaid on entering each bucket (ORACLES.md,
    O2).

    ``paid_by_bucket``: paid while current, while 1–30 late, … in order. Returns one rate more than buckets paid in:
    the last is for what outlived them all, always 1 where anything is left. Raises :class:`CreditInputError` unless
    payments and the unpaid rest add up to the sales, or if any of them is negative.
    """
    parts = [exact(part, "paid") for part in paid_by_bucket]
    total, lost = exact(sales, "sales"), exact(never_paid, "never paid")
    for field, amount in (("sales", total), ("never paid", lost), *(("paid", part) for part in parts)):
        if amount < 0:
            raise wrong(field, float(amount), NOT_NEGATIVE)
    if sum(parts) + lost != total:
        raise wrong(
            "payments and the unpaid rest", float(sum(parts) + lost), f"must add up to the sales of {float(total)!r}"
        )
    rates: list[Fraction] = []
    left = total
    for part in [*parts, Fraction(0)]:
        # A bucket that nothing ever reached has no experience of its own; what never arrives cannot lose.
        rates.append(lost / left if left > 0 else Fraction(0))
        left -= part
    return rates


def historical_rates(items: pl.DataFrame, applications: pl.DataFrame, as_of: Any) -> dict[str, Fraction] | None:
    """Loss rates by bucket from the programme's own invoices that have run their course, or None where there are none
    yet.

    A cohort has run its course when its invoice is more than 120 days past due at ``as_of`` (a month in ``items``), settled
    or not: younger ones that are settled already would count without those of their age that are not. Cash counts in the
    bucket in which it came; what is still open past 120 days or written off counts as never paid, what was set off as never
    billed. ``items``, ``applications`` as in the credit schema.
    """
    state = items.filter((pl.col("as_of_month") == as_of) & (pl.col("kind") == "invoice"))
    done = state.filter(pl.col("days_past_due") > 120)
    if done.is_empty():
        return None
    paid = (
        applications.filter(
            (pl.col("received_date") <= month_end(as_of)) & (pl.col("applied_date") <= month_end(as_of))
        )
        .join(done.select("item_id", "due_date"), on="item_id")
        .with_columns(late=(pl.col("received_date") - pl.col("due_date")).dt.total_days())
    )
    by_bucket = dict.fromkeys(BUCKET_NAMES, ZERO)
    for late, amount in paid.select("late", "applied_amount").iter_rows():
        name = next(name for name, last in BUCKETS if last is None or late <= last)
        by_bucket[name] += amount
    sales = sum(
        (
            amount
            for (amount,) in done.select(
                pl.col("original_amount") - pl.col("credited_amount") - pl.col("set_off_amount")
            ).iter_rows()
        ),
        ZERO,
    )
    counted = [by_bucket[name] for name in BUCKET_NAMES]
    never = sales - sum(counted, ZERO)
    if sales <= 0 or never < 0:
        return None
    lost = Fraction(never)
    left = Fraction(sales)
    out: dict[str, Fraction] = {}
    for name, part in zip(BUCKET_NAMES, counted, strict=True):
        out[name] = lost / left if left > 0 else Fraction(0)
        left -= Fraction(part)
    return out


def forward_scalars(policy: CreditPolicy, *, expedient: bool) -> dict[str, Decimal]:
    """The scalar of each bucket: the policy's, but 1 in all of them where the expedient of ASU 2025-05 is used: it is for
    current assets of ASC 606, and trade items are that whether they are overdue or not.
    """
    return dict.fromkeys(BUCKET_NAMES, Decimal(1) if expedient else policy.decimal("forward_scalar"))


def provision_matrix(
    ageing: pl.DataFrame,
    rates: Mapping[Any, tuple[Mapping[str, Exact], str]],
    scalars: Mapping[str, Exact],
    pools: Mapping[tuple[str, Any], str] | None = None,
) -> pl.DataFrame:
    """One row per contract, month and age bucket of ``credit.fct_provision_matrix_month``.

    ``rates``: month, or (pool, month) where ``pools`` names the pool of a (contract, month) → (rate by bucket, source).
    Disputed amounts are open amounts here: a dispute does not pay. Each row is rounded once; the sum of the rows is the
    matrix's allowance.
    """
    rows: list[dict[str, Any]] = []
    for row in ageing.filter(pl.col("bucket").is_in(BUCKET_NAMES)).iter_rows(named=True):
        pool_id = (pools or {}).get((row["contract_id"], row["month"]))
        by_bucket, source = rates[row["month"] if pool_id is None else (pool_id, row["month"])]
        amount = row["open_amount"] + row["disputed_amount"]
        rate, scalar = by_bucket[row["bucket"]], scalars[row["bucket"]]
        rows.append(
            {
                "contract_id": row["contract_id"],
                "month": row["month"],
                "bucket": row["bucket"],
                "bucket_no": row["bucket_no"],
                "open_amount": amount,
                "loss_rate": float(rate),
                "forward_scalar": float(scalar),
                "expected_credit_loss_amount": round_money(bucket_loss(amount, rate, scalar, row["contract_id"])),
                "loss_rate_source": source,
                "pool_id": pool_id,
                "currency_code": row["currency_code"],
            }
        )
    return make_frame(rows, MATRIX_SCHEMA, ["contract_id", "month", "bucket_no"])
