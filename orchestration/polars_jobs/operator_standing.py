"""What an operator could live on, and what its hardware would fetch: months of liquidity, residual marks.

Funds are those of the operator's own statements (``raw.operator_fact``), marks those of a market and of a lender's
schedule (``raw.hardware_value``). The newest known by the day in question counts; what no statement tells is null with
a reason. What flows in and out month by month belongs in operator_economics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from orchestration.polars_jobs.frames import months_between
from orchestration.polars_jobs.money import ZERO

CASH = "cash"
FUNDS = (CASH, "undrawn_facility")
OLDEST_STATEMENT_MONTHS = 12
NO_STATEMENT = "no statement of the operator's cash in reference/operator_facts.csv by then"


class Measured(NamedTuple):
    """A value, or None and why."""

    value: float | None
    null_reason: str | None


class Spending(NamedTuple):
    """What a park spends in a usual month: costs and debt service, positive; None where no meter tells the power."""

    currency_code: str
    amount: Decimal | None


def liquidity_months(
    facts: Iterable[Mapping[str, Any]], spending: Sequence[Spending], day: date, known_by: date
) -> Measured:
    """Months for which an operator's funds pay the costs and debt service of all its parks with nothing coming in.

    Args:
        facts: rows of ``raw.operator_fact`` of one operator: as_of_date, published_date, item (cash,
            undrawn_facility; what is told of one contract is no fund), amount, currency_code.
        spending: one of each of its parks, at the run rate.
        day: the end of the month measured; a later statement does not count.
        known_by: nor does one that was published after this day.

    Returns:
        (cash + undrawn facilities) ÷ spending, in months (TERMS.md, metric 43).
    """
    known = sorted(
        (
            row
            for row in facts
            if row["item"] in FUNDS and row["as_of_date"] <= day and row["published_date"] <= known_by
        ),
        key=lambda row: row["published_date"],
    )
    # What was published last of a day and item counts.
    seen = list({(row["as_of_date"], row["item"]): row for row in known}.values())
    if not seen:
        return Measured(None, NO_STATEMENT)
    last = max(row["as_of_date"] for row in seen)
    if months_between(last, day) > OLDEST_STATEMENT_MONTHS:
        return Measured(
            None, f"the operator's last statement, of {last}, is older than {OLDEST_STATEMENT_MONTHS} months"
        )
    newest = [row for row in seen if row["as_of_date"] == last]
    if all(row["item"] != CASH for row in newest):
        return Measured(None, f"the operator's statement of {last} tells no cash")
    if any(one.amount is None for one in spending):
        return Measured(None, "no meter reading of a month in the window")
    if len({*(row["currency_code"] for row in newest), *(one.currency_code for one in spending)}) > 1:
        return Measured(None, "the operator's funds and costs are in several currencies")
    funds = sum((row["amount"] for row in newest), ZERO)
    spent = sum((one.amount for one in spending if one.amount is not None), ZERO)
    return Measured(float(funds / spent), None) if spent > 0 else Measured(None, "nothing is spent")


def residual_mark(values: Iterable[Mapping[str, Any]], park_id: str, gpu_model: str, day: date) -> Measured:
    """What a market pays for used hardware ÷ what a lender's schedule holds it at.

    Args:
        values: rows of ``raw.hardware_value``: observed_date, gpu_model, kind (market, lender_schedule), park_id (null
            for all parks), price_per_gpu, currency_code.
        park_id: the park; its own schedule goes before one for all parks.
        gpu_model: the model that makes up most of the park.
        day: the end of the month measured.

    Returns:
        A fraction: below 1 the collateral fetches less than the lender counts on (TERMS.md, metric 48).
    """
    seen = sorted(
        (row for row in values if row["gpu_model"] == gpu_model and row["observed_date"] <= day),
        key=lambda row: (row["park_id"] is not None, row["observed_date"]),
    )
    own = [row for row in seen if row["park_id"] in {None, park_id}]
    marks = {kind: [row for row in own if row["kind"] == kind] for kind in ("market", "lender_schedule")}
    for kind, words in (("lender_schedule", "lender's schedule"), ("market", "market of used hardware")):
        if not marks[kind]:
            return Measured(None, f"no {words} of {gpu_model} in reference/hardware_values.csv by then")
    market, schedule = marks["market"][-1], marks["lender_schedule"][-1]
    if market["currency_code"] != schedule["currency_code"]:
        return Measured(None, "market and schedule are in two currencies")
    return Measured(float(market["price_per_gpu"] / schedule["price_per_gpu"]), None)
