"""Expected loss from a portfolio's own experience: cohorts by age (vintages), and an average rate over the remaining
life (WARM).

What was not yet observed is null, never zero: a cohort too young to have lost anything has no loss rate of its own.
Loss rates by ageing bucket belong in provision_matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from orchestration.polars_jobs.errors import LARGEST, CreditInputError, check_between, check_number, wrong
from orchestration.polars_jobs.lifetime_ecl import check_probability


def remaining_loss_by_age(losses_by_age: Sequence[float]) -> list[float]:
    """Loss still to come at the end of each age from 0 on, of a cohort that loses ``losses_by_age`` (of any unit) in
    its ages 1, 2, …: ORACLES.md, O23: 1, 2, 4, 3, 0 → 10, 9, 7, 3, 0 (and 0 after the last).
    """
    values = check_between(losses_by_age, "loss of an age", low=-LARGEST, high=LARGEST, rule="must be a number")
    return [float(total) for total in (values.sum() - np.concatenate([[0.0], np.cumsum(values)]))]


def vintage_loss_rates(vintages: pl.DataFrame) -> pl.DataFrame:
    """Loss rate of each age over the vintages that have reached it: Σ loss ÷ Σ originated, both of those vintages.

    ``vintages``: vintage, originated, age (1, 2, …), loss (null: not yet observed). Returns age, loss_rate, originated
    (what the rate rests on), by age; an age that no vintage has reached has no row.
    """
    twice = pl.struct("vintage", "age").is_duplicated()
    first = pl.col("originated").first().over("vintage")
    for field, is_wrong, rule in (
        # A NaN is greater than any number.
        ("originated", ~pl.col("originated").is_between(0.0, LARGEST, closed="right"), "must be positive"),
        ("originated", pl.col("originated") != first, "is another at another age of its vintage"),
        ("age", pl.col("age") < 1, "must be a whole number of at least 1"),
        ("age", twice, "comes twice in its vintage"),
        (
            "loss",
            pl.col("loss").is_not_null() & ~pl.col("loss").is_finite(),
            "must be a number, or null where not yet observed",
        ),
    ):
        # What is unknown is wrong; a loss that is not yet observed was taken out of the question above.
        bad = vintages.filter(is_wrong.fill_null(value=True))
        if not bad.is_empty():
            raise wrong(field, bad[field][0], rule, bad["vintage"][0])
    return (
        vintages.filter(pl.col("loss").is_not_null())
        .group_by("age")
        .agg(loss_rate=pl.col("loss").sum() / pl.col("originated").sum(), originated=pl.col("originated").sum())
        .sort("age")
        .select("age", "loss_rate", "originated")
    )


def vintage_allowance(vintages: pl.DataFrame, last_age: int) -> float:
    """Loss still to come of all vintages: each originated amount × the loss rates of the ages it has not reached, up
    to ``last_age``.

    Raises :class:`CreditInputError` where an age that is still to come has never been observed: no experience is not
    the experience of no loss (ORACLES.md, 2.2).
    """
    rates = dict(vintage_loss_rates(vintages).select("age", "loss_rate").iter_rows())
    reached = vintages.group_by("vintage").agg(
        originated=pl.col("originated").first(),
        age=pl.col("age").filter(pl.col("loss").is_not_null()).max().fill_null(0),
    )
    total = 0.0
    for vintage, originated, age in reached.sort("vintage").iter_rows():
        for later in range(age + 1, last_age + 1):
            if later not in rates:
                raise wrong("loss rate of age", later, "has never been observed", vintage)
            total += originated * rates[later]
    return total


def remaining_maturity_loss(balances: Sequence[float], annual_loss_rate: float, adjustment: float = 0.0) -> float:
    """Weighted-average-remaining-maturity method (FASB staff Q&A of January 2019): Σ over years of the projected
    average balance × (annual loss rate + adjustment for conditions and forecasts, in absolute rate).
    """
    amounts = check_between(balances, "balance", low=0.0, high=LARGEST, rule="must be a number, not negative")
    check_number(adjustment, "adjustment")
    check_probability(annual_loss_rate, "annual loss rate")
    check_probability(annual_loss_rate + adjustment, "annual loss rate with its adjustment")
    if not amounts.size:
        raise CreditInputError("at least one year's balance is needed", field="balance")
    return float(amounts.sum()) * (annual_loss_rate + adjustment)
