"""What ties each operator to its vendor: exclusivity, pledges, the vendor's share of installed GPUs, and what leaving
would cost each side today.

Read from the terms in force, as text with their dates. A fee that a contract states in months of buy-back price is
computed; any other wording is shown and not guessed at. No term of a deal that is not in force counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.polars_jobs.expected_loss import pledged, read_pledges
from orchestration.polars_jobs.frames import Frames, RowsBy, local_date, make_frame, months_between, need, optional
from orchestration.polars_jobs.money import MONEY, ZERO, round_money
from orchestration.polars_jobs.operator_economics import ParkMonth
from orchestration.polars_jobs.receivables import Close, events_known, read_closes, standing_events

LOCK_IN_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "operator_id": pl.String,
    "vendor_id": pl.String,
    "exclusivity_in_force": pl.Boolean,
    "exclusivity_scope": pl.String,
    "exclusivity_months_left": pl.Int32,
    "purchase_quota_fraction": pl.Float64,
    "vendor_gpu_fraction": pl.Float64,
    "gpus_under_exclusivity_count": pl.Int64,
    "revenue_under_exclusivity_amount": MONEY,
    "pledged_amount": MONEY,
    "pledge_to_revenue_fraction": pl.Float64,
    "exit_right_count": pl.Int32,
    "operator_exit_cost_amount": MONEY,
    "operator_exit_cost_null_reason": pl.String,
    "vendor_exit_cost_amount": MONEY,
    "vendor_exit_cost_null_reason": pl.String,
    "lender_exit_cost_amount": MONEY,
    "lender_exit_cost_null_reason": pl.String,
    "operator_termination_amount": MONEY,
    "vendor_termination_amount": MONEY,
    "portability_obligation": pl.String,
    "portability_met": pl.Boolean,
    "portability_met_null_reason": pl.String,
    "currency_code": pl.String,
}

NUMBER_WORDS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
_MONTHS_OF_PRICE = re.compile(r"(\w+) months? of buy-?back price", re.IGNORECASE)


@dataclass(frozen=True)
class LockIn:
    """The tying terms of one contract at one date. ``exit_rights`` and ``terminations`` (the grounds on which the backstop may
    end early): of each, its terms by name.
    """

    exclusivity: Mapping[str, str]
    exit_rights: Sequence[Mapping[str, str]]
    terminations: Sequence[Mapping[str, str]] = ()

    def exclusive_on(self, day: date) -> bool:
        """Whether exclusivity binds on a day; without an end it binds as long as the contract does."""
        ends = self.exclusivity.get("ends")
        return bool(self.exclusivity) and (ends is None or date.fromisoformat(ends) >= day)

    @property
    def quota(self) -> float | None:
        """Part of purchases that must come from the vendor."""
        value = self.exclusivity.get("purchase_quota_pct")
        return None if value is None else float(value)

    def termination_amount(self, payer: str) -> Decimal | None:
        """The dearest early end of the backstop that a party would have to pay for; None where none is agreed."""
        agreed = [
            Decimal(end["termination_payment"])
            for end in self.terminations
            if "termination_payment" in end and end.get("payer", "operator") == payer
        ]
        return max(agreed, default=None)

    def portability(self) -> str:
        """obliged, waived or not agreed: whether who leaves must be given its data and workloads."""
        stated = {right["portability_obligation"] for right in self.exit_rights if "portability_obligation" in right}
        return "obliged" if "true" in stated else "waived" if stated else "not agreed"


def terms_of(table: pl.DataFrame | None, contract_id: str, day: date, known_at: Any = None) -> LockIn:
    """The exclusivity, exit rights and early ends of a contract in force on a day, out of ``raw.contract_term`` (contract_id,
    instrument, term, valid_from, valid_to, recorded_at, value_text).
    """
    if table is None:
        return LockIn({}, [])
    rows = table.filter(
        (pl.col("contract_id") == contract_id)
        & (pl.col("valid_from") <= day)
        & (pl.col("valid_to").is_null() | (pl.col("valid_to") >= day))
        & (
            pl.col("instrument").is_in(["exclusivity", "exit_rights"])
            | ((pl.col("instrument") == "backstop") & pl.col("term").str.starts_with("early_termination."))
        )
    )
    if known_at is not None:
        rows = rows.filter(pl.col("recorded_at") <= known_at)
    exclusivity: dict[str, str] = {}
    rights: dict[str, dict[str, str]] = {}
    ends: dict[str, dict[str, str]] = {}
    for instrument, term, value in rows.select("instrument", "term", "value_text").iter_rows():
        if instrument == "exclusivity":
            exclusivity[term] = value
        elif instrument == "exit_rights":
            number, _, name = term.partition(".")
            rights.setdefault(number, {})[name] = value
        else:
            _, number, name = term.split(".")
            ends.setdefault(number, {})[name] = value
    return LockIn(exclusivity, [rights[number] for number in sorted(rights)], [ends[number] for number in sorted(ends)])


def months_of_price(formula: str) -> int | None:
    """N of a fee stated as "N months of buy-back price", in digits or in words to twelve; None for any other wording."""
    found = _MONTHS_OF_PRICE.search(formula)
    if found is None:
        return None
    word = found.group(1).lower()
    return int(word) if word.isdigit() else NUMBER_WORDS.index(word) if word in NUMBER_WORDS else None


def exit_fee(lock_in: LockIn, party: str, month_of_price: Decimal) -> tuple[Decimal | None, str | None]:
    """What leaving costs a party by its exit right: months × the buy-back price of a month's capacity; or None and why."""
    own = [right for right in lock_in.exit_rights if right.get("party") == party]
    if not own:
        return None, "no exit right agreed"
    formulas = [right["fee_formula"] for right in own if right.get("fee_formula")]
    if not formulas:
        return ZERO, None
    months = months_of_price(formulas[0])
    return (
        (None, f"fee not computable: {formulas[0]}") if months is None else (round_money(month_of_price * months), None)
    )


def portability_met(lock_in: LockIn, events: RowsBy, close: Close) -> tuple[bool | None, str | None]:
    """Whether who left was given its data and workloads, or None and why: as the last termination by the month's end says
    that is known at the close, in its payload: {"ported": true | false}. ``events``: as of ``receivables.standing_events``.
    """
    if lock_in.portability() != "obliged":
        return None, f"the obligation is {lock_in.portability()}"
    ended = [
        event
        for event in events_known(events, close)
        if event["kind"] == "termination" and local_date(event["effective_at"], close.time_zone) <= close.month_end_date
    ]
    if not ended:
        return None, "nobody has left"
    last = max(ended, key=lambda event: (event["effective_at"], event["event_id"]))
    said = json.loads(last["payload"] or "{}").get("ported")
    return (said, None) if isinstance(said, bool) else (None, "the termination does not say")


def lock_in_watch(frames: Frames, parks: Mapping[str, Sequence[ParkMonth]]) -> pl.DataFrame:
    """``credit.fct_lock_in_month``: one row per contract and month.

    Reads ``intermediate.int_closes``, ``core.dim_contract`` and, where given, ``core.dim_tranche``, ``core.dim_park``,
    ``staging.stg_credit_events``, ``raw.contract_term``, ``raw.collateral``, ``backstop.fct_backstop_month``,
    ``backstop.fct_backstop_cap_month``.
    The vendor's part of the operator's GPUs counts tranches under that vendor's contracts among all of the operator's
    parks. Leaving costs the operator its exit fee, the vendor the share of a year at the run rate, the lender the part
    of debt that the backstop's maximum covered.
    """
    contracts = need(frames, "core.dim_contract", "contract_id", "vendor_id", "operator_id", "park_id", "currency_code")
    by_id = {row["contract_id"]: row for row in contracts.iter_rows(named=True)}
    terms = optional(frames, "raw.contract_term")
    collateral, events = read_pledges(frames), standing_events(frames)
    installed = _installed(frames, contracts)
    prices, limits = _month_of_price(frames), _limits(frames)
    rows: list[dict[str, Any]] = []
    for close in read_closes(need(frames, "intermediate.int_closes")):
        contract = by_id[close.contract_id]
        lock_in = terms_of(terms, close.contract_id, close.month_end_date, close.known_at)
        months = [row for row in parks.get(contract["park_id"], []) if row.month <= close.posting_month]
        month = months[-1] if months and months[-1].month == close.posting_month else None
        year = [row.share for row in months[-12:]]
        exclusive = lock_in.exclusive_on(close.month_end_date)
        own, total = installed(contract, close.month_end_date)
        fee, fee_reason = exit_fee(lock_in, "operator", prices.get((close.contract_id, close.posting_month), ZERO))
        pledge = round_money(pledged(collateral, close))
        limit = limits.get((close.contract_id, close.posting_month))
        ends = lock_in.exclusivity.get("ends")
        met, met_reason = portability_met(lock_in, events, close)
        rows.append(
            {
                "contract_id": close.contract_id,
                "month": close.posting_month,
                "operator_id": contract["operator_id"],
                "vendor_id": contract["vendor_id"],
                "exclusivity_in_force": exclusive,
                "exclusivity_scope": lock_in.exclusivity.get("scope") if exclusive else None,
                "exclusivity_months_left": months_between(close.posting_month, date.fromisoformat(ends))
                if exclusive and ends
                else None,
                "purchase_quota_fraction": lock_in.quota if exclusive else None,
                "vendor_gpu_fraction": own / total if total else None,
                "gpus_under_exclusivity_count": own if exclusive else 0,
                "revenue_under_exclusivity_amount": month.revenue if month and exclusive else ZERO,
                "pledged_amount": pledge,
                "pledge_to_revenue_fraction": float(pledge / (month.revenue * 12)) if month and month.revenue else None,
                "exit_right_count": len(lock_in.exit_rights),
                "operator_exit_cost_amount": fee,
                "operator_exit_cost_null_reason": fee_reason,
                "vendor_exit_cost_amount": round_money(sum(year, ZERO) * 12 / len(year)) if year else None,
                "vendor_exit_cost_null_reason": None if year else "the park's economics are not given",
                "lender_exit_cost_amount": min(month.outstanding, limit) if month and limit is not None else None,
                "lender_exit_cost_null_reason": None
                if month and limit is not None
                else "no backstop, or the park's economics are not given",
                "operator_termination_amount": lock_in.termination_amount("operator"),
                "vendor_termination_amount": lock_in.termination_amount("vendor"),
                "portability_obligation": lock_in.portability(),
                "portability_met": met,
                "portability_met_null_reason": met_reason,
                "currency_code": contract["currency_code"],
            }
        )
    return make_frame(rows, LOCK_IN_SCHEMA, ["contract_id", "month"])


def _installed(frames: Frames, contracts: pl.DataFrame) -> Callable[[Mapping[str, Any], date], tuple[int, int]]:
    """How many GPUs of an operator are energised on a day: under the contract's vendor, and in all."""
    tranches, parks = optional(frames, "core.dim_tranche"), optional(frames, "core.dim_park")
    if tranches is None or parks is None:
        return lambda _contract, _day: (0, 0)
    all_gpus = list(
        tranches.join(parks.select("park_id", "operator_id"), on="park_id", how="left")
        .join(contracts.select("contract_id", "vendor_id"), on="contract_id", how="left")
        .select("operator_id", "vendor_id", "gpu_count", "energised_date")
        .iter_rows()
    )

    def of(contract: Mapping[str, Any], day: date) -> tuple[int, int]:
        here = [
            (vendor, gpus)
            for operator, vendor, gpus, energised in all_gpus
            if operator == contract["operator_id"] and energised is not None and energised <= day
        ]
        return sum(g for vendor, g in here if vendor == contract["vendor_id"]), sum(g for _, g in here)

    return of


def _month_of_price(frames: Frames) -> dict[tuple[str, date], Decimal]:
    """Installed hours of the month × buy-back price, by contract."""
    months = optional(frames, "backstop.fct_backstop_month")
    if months is None:
        return {}
    out: dict[tuple[str, date], Decimal] = {}
    for contract_id, month, hours, price in months.select(
        "contract_id", "service_month", "installed_gpu_hours", "buyback_price_per_gpu_hour"
    ).iter_rows():
        out[contract_id, month] = out.get((contract_id, month), ZERO) + hours * (price or ZERO)
    return out


def _limits(frames: Frames) -> dict[tuple[str, date], Decimal]:
    caps = optional(frames, "backstop.fct_backstop_cap_month")
    if caps is None:
        return {}
    columns = ["contract_id", "service_month", "max_exposure_amount"]
    return {(contract, month): amount for contract, month, amount in caps.select(columns).drop_nulls().iter_rows()}
