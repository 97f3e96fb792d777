"""All cases, in the order in which they are run."""

from tests.benchmarks import (
    credit_group,
    landing_rows,
    ledgers,
    lifetime_loss,
    metering_hours,
    monte_carlo,
    seed_day,
    simulating,
    spark_engine,
    whole_product,
)
from tests.benchmarks.measuring import Case

CASES: tuple[Case, ...] = (
    *seed_day.CASES,
    *metering_hours.CASES,
    *landing_rows.CASES,
    *ledgers.CASES,
    simulating.CASE,
    *lifetime_loss.CASES,
    monte_carlo.CASE,
    credit_group.CASE,
    *whole_product.CASES,
    *spark_engine.CASES,
)
