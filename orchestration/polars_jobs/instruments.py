"""Expected loss of instruments at amortised cost: what a vendor has lent to an operator beside the share, by its flows.

The effective rate is solved from the flows at first recognition (IFRS 9 B5.4.1; ASC 310-20-35-18) and never again. The
carrying amount at a close is what is still to come at that rate; a default in the time up to a payment costs the carrying
amount just before it. The effective rate discounts the loss, so that it does not move with the curve. An instrument is
in no ledger of the contract: its loss is measured, not posted. Its flows stand in amortised_cost, the engine in lifetime_ecl.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from orchestration.polars_jobs.amortised_cost import dated_present_value, effective_interest_rate
from orchestration.polars_jobs.default_curves import conditional_pd_for_periods
from orchestration.polars_jobs.errors import CreditInputError, wrong
from orchestration.polars_jobs.expected_loss import (
    DAYS_PER_YEAR,
    Scenario,
    credit_at,
    loss_given_default,
    macro_scenarios,
    scenario_hazards,
)
from orchestration.polars_jobs.frames import Frames, RowsBy, make_frame, need, optional
from orchestration.polars_jobs.lifetime_ecl import (
    Array,
    EclResult,
    ifrs9_stage,
    lifetime_ecl,
    survival,
    twelve_month_ecl,
    within_a_year,
)
from orchestration.polars_jobs.money import MONEY, ZERO, money_from_estimate
from orchestration.polars_jobs.obligor_curves import ObligorCurves
from orchestration.polars_jobs.policies import CreditPolicy
from orchestration.polars_jobs.receivables import Close, read_closes, standing_events
from orchestration.polars_jobs.yield_curves import YieldCurves

INSTRUMENT_SCHEMA: dict[str, Any] = {
    "instrument_id": pl.String,
    "contract_id": pl.String,
    "month": pl.Date,
    "standard": pl.String,
    "stage": pl.Int32,
    "horizon": pl.String,
    "pd_source": pl.String,
    "pd_fraction": pl.Float64,
    "lgd_fraction": pl.Float64,
    "effective_rate": pl.Float64,
    "carrying_amount": MONEY,
    "expected_credit_loss_amount": MONEY,
    "lifetime_amount": MONEY,
    "currency_code": pl.String,
}


class Instrument:
    """One instrument: ``dates`` ascending, ``amounts`` (the first below 0 is paid out), ``rate`` effective a year, ACT/365F.
    Raises :class:`CreditInputError`, naming the instrument, for flows that have no rate.
    """

    def __init__(self, instrument_id: str, dates: Sequence[date], amounts: Sequence[float]) -> None:
        """Solve the effective rate."""
        if len(dates) < 2 or any(after <= before for before, after in pairwise(dates)):
            raise CreditInputError(
                "needs at least two flows on ascending dates", obligor=instrument_id, field="flow_date"
            )
        for place, amount in enumerate(amounts):
            if not (amount < 0 if place == 0 else amount > 0):
                rule = "the first flow must be paid out (below 0), the others due (above 0)"
                raise wrong("amount", amount, rule, instrument_id)
        self.instrument_id, self.dates, self.amounts = instrument_id, list(dates), list(amounts)
        self.rate = effective_interest_rate(dates, amounts)

    def ahead(self, day: date) -> tuple[list[date], list[float]]:
        """Dates and amounts of the flows after a day."""
        pairs = [(when, amount) for when, amount in zip(self.dates, self.amounts, strict=True) if when > day]
        return [when for when, _ in pairs], [amount for _, amount in pairs]

    def carrying(self, day: date) -> float:
        """Amortised cost at a day's end, unrounded: the flows after it at the effective rate; 0 before the first flow and
        after the last.
        """
        dates, amounts = self.ahead(day)
        if not dates or day < self.dates[0]:
            return 0.0
        return dated_present_value(self.rate, [day, *dates], [0.0, *amounts])

    def exposures(self, day: date) -> tuple[Array, Array]:
        """Years from a day to each flow ahead, and the carrying amount just before it, (T,) each."""
        dates, amounts = self.ahead(day)
        before = [self.carrying(when) + amount for when, amount in zip(dates, amounts, strict=True)]
        return np.array([(when - day).days / DAYS_PER_YEAR for when in dates]), np.array(before)


def instrument_losses(frames: Frames, policy: CreditPolicy) -> pl.DataFrame:
    """``credit.fct_instrument_loss_month``: one row per instrument, close of its contract at which it is carried, and
    standard.

    Reads ``raw.instrument_flow`` (instrument_id, contract_id, flow_date, amount, currency_code),
    ``intermediate.int_closes``, ``core.dim_contract``, ``core.dim_operator``, ``raw.default_rate`` and, where given,
    ``staging.stg_credit_events``, ``raw.credit_curve``, ``raw.yield_curve``, ``raw.scenario``. CECL counts the whole life
    from the first day, IFRS 9 twelve months while risk has not increased significantly; the expedient of ASU 2025-05 is not
    for loans. LGD is the policy's. Raises :class:`CreditInputError` for a contract that is not there.
    """
    table = optional(frames, "raw.instrument_flow")
    if table is None:
        return make_frame([], INSTRUMENT_SCHEMA)
    contracts = {row["contract_id"]: row for row in need(frames, "core.dim_contract").iter_rows(named=True)}
    operators = {row["operator_id"]: row for row in need(frames, "core.dim_operator").iter_rows(named=True)}
    events, no_events = standing_events(frames), RowsBy(None)
    yields = YieldCurves(optional(frames, "raw.yield_curve"))
    curves = ObligorCurves(need(frames, "raw.default_rate"), optional(frames, "raw.credit_curve"), yields)
    scenarios = macro_scenarios(optional(frames, "raw.scenario"))
    by_contract: dict[str, list[Close]] = {}
    for close in read_closes(need(frames, "intermediate.int_closes")):
        by_contract.setdefault(close.contract_id, []).append(close)
    rows: list[dict[str, Any]] = []
    parts = table.sort("instrument_id", "flow_date").partition_by("instrument_id", maintain_order=True)
    for part in parts:
        contract_id, currency = part["contract_id"][0], part["currency_code"][0]
        instrument = Instrument(
            part["instrument_id"][0], part["flow_date"].to_list(), part["amount"].cast(pl.Float64).to_list()
        )
        if contract_id not in contracts:
            raise wrong("contract_id", contract_id, "is no contract of this home", instrument.instrument_id)
        operator_id = contracts[contract_id]["operator_id"]
        for close in by_contract.get(contract_id, []):
            day = close.month_end_date
            if not instrument.dates[0] <= day < instrument.dates[-1]:
                continue
            credit = credit_at(close, operators.get(operator_id, {}), events, policy)
            first = credit_at(close, operators.get(operator_id, {}), no_events, policy)
            curve, source = curves.known(operator_id, day, credit.agency, credit.rating)
            at_first = curves.first(operator_id, day, first.agency, first.rating).curve
            ends, ead = instrument.exposures(day)
            now, then = (float(1.0 - survival(conditional_pd_for_periods(c, ends))[-1]) for c in (curve, at_first))
            stage = ifrs9_stage(
                0,
                now,
                then,
                insolvent=credit.insolvent,
                default_days=policy.integer("default_days_past_due"),
                significant_days=policy.integer("sicr_days_past_due"),
                pd_ratio=policy.number("significant_increase_pd_multiple"),
            )
            hazards = scenario_hazards(curve, ends, scenarios, policy, instrument.instrument_id)
            if stage == 3:
                hazards = np.zeros_like(hazards)
                hazards[..., 0] = 1.0
            common = {
                "instrument_id": instrument.instrument_id,
                "contract_id": contract_id,
                "month": close.posting_month,
                "pd_source": source,
                "effective_rate": instrument.rate,
                "carrying_amount": money_from_estimate(instrument.carrying(day)),
                "currency_code": currency,
            }
            rows.extend(
                {**common, **row}
                for row in _by_standard(
                    hazards,
                    ead,
                    ends,
                    instrument=instrument,
                    stage=stage,
                    scenarios=scenarios,
                    policy=policy,
                )
            )
    return make_frame(rows, INSTRUMENT_SCHEMA, ["instrument_id", "month", "standard"])


def _by_standard(
    hazards: Array,
    ead: Array,
    ends: Array,
    *,
    instrument: Instrument,
    stage: int,
    scenarios: Sequence[Scenario],
    policy: CreditPolicy,
) -> list[Mapping[str, Any]]:
    """The loss of one instrument and close under both standards."""
    weights = [scenario.weight for scenario in scenarios]
    base, floor = policy.number("loss_given_default"), policy.number("lgd_floor_fraction")
    eir, names = instrument.rate, [instrument.instrument_id]
    lgd = np.array(
        [
            loss_given_default(base if s.lgd is None else s.lgd, ZERO, ZERO, ZERO, floor, obligor=names[0])
            for s in scenarios
        ]
    )[:, None, None]
    whole = lifetime_ecl(hazards, lgd, ead, eir=eir, tau_years=ends, weights=weights, obligors=names)
    rows: list[Mapping[str, Any]] = []
    for standard in ("cecl", "ifrs9"):
        twelve = standard == "ifrs9" and stage == 1
        found: EclResult = whole
        counted = hazards[:, 0]
        if twelve:
            lengths = np.diff(ends, prepend=0.0)
            found = twelve_month_ecl(hazards, lgd, ead, eir=eir, period_years=lengths, weights=weights, obligors=names)
            counted = within_a_year(counted, lengths)
        rows.append(
            {
                "standard": standard,
                "stage": stage if standard == "ifrs9" else None,
                "horizon": "twelve_month" if twelve else "lifetime",
                "pd_fraction": float(np.array(weights) @ (1.0 - survival(counted)[:, -1])),
                "lgd_fraction": float(np.array(weights) @ lgd[:, 0, 0]),
                "expected_credit_loss_amount": money_from_estimate(float(found.weighted[0])),
                "lifetime_amount": money_from_estimate(float(whole.weighted[0])),
            }
        )
    return rows
