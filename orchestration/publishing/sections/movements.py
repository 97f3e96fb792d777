"""What moved since the month before, and why: each change split into effects that add up to it.

The splits are arithmetic on published columns (volume before price, each at the month before), no estimates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import polars as pl

from orchestration.publishing.formats import (
    SUFFIXES,
    Scale,
    foot,
    join_words,
    money,
    money_scale,
    month_text,
    number,
    quantity_scale,
    round_half_away,
    short_month_text,
    to_decimal,
    unit_text,
)
from orchestration.publishing.view import (
    CannotCompute,
    View,
    currencies,
    latest,
    months_of,
    need,
    pick,
    total,
    upto,
)

ZERO = Decimal(0)
MOST_EFFECTS = 4


@dataclass(frozen=True)
class Movement:
    """A figure of two months and the effects that lead from one to the other (they sum to after − before)."""

    name: str
    currency: str
    month_before: date
    month: date
    before: Decimal
    after: Decimal
    effects: Sequence[tuple[str, Decimal]]
    because: str
    source: str

    @property
    def change(self) -> Decimal:
        """After − before, in the currency."""
        return self.after - self.before

    def shown_effects(self) -> list[tuple[str, Decimal, str]]:
        """The largest effects and the rest as one, rounded so that they add up to the change as shown."""
        known = [(name, value) for name, value in self.effects if value != 0]
        known.sort(key=lambda one: -abs(one[1]))
        kept, rest = known[:MOST_EFFECTS], known[MOST_EFFECTS:]
        if rest:
            kept.append(("other", sum((value for _, value in rest), ZERO)))
        scale = self.scale
        parts, _ = foot([value for _, value in kept], scale)
        unit = SUFFIXES[scale.word]
        return [
            (name, value, f"{number(part, scale.digits, signed=True)}{unit}")
            for (name, value), part in zip(kept, parts, strict=True)
            if part != 0
        ]

    @property
    def scale(self) -> Scale:
        """The scale of both figures and of the effects."""
        values = [self.before, self.after] if self.before or self.after else [value for _, value in self.effects]
        return money_scale(values)

    @property
    def before_text(self) -> str:
        """The figure of the month before, in the scale of both."""
        return money(self.before, self.currency, self.scale)

    @property
    def after_text(self) -> str:
        """The figure of the month."""
        return money(self.after, self.currency, self.scale)

    @property
    def change_text(self) -> str:
        """The change as the difference of the two figures shown, so that the line foots."""
        scale = self.scale
        shown = [round_half_away(value / scale.divisor, scale.digits) for value in (self.before, self.after)]
        return number(shown[1] - shown[0], scale.digits, signed=True) + SUFFIXES[scale.word]

    @property
    def short_month(self) -> str:
        """The month of the later figure."""
        return short_month_text(self.month)

    def sentence(self) -> str:
        """The movement in words, with its effects."""
        before, after = self.before_text, self.after_text
        where = f"in {month_text(self.month)}"
        if self.change == 0:
            return f"{self.name} stood unchanged at {after} {where}."
        verb = "rose" if self.change > 0 else "fell"
        effects = [f"{name} {shown}" for name, _, shown in self.shown_effects()]
        why = f" {self.because}" if self.because else ""
        tail = f": {join_words(effects)}" if effects else ""
        return f"{self.name} {verb} from {before} in {month_text(self.month_before)} to {after} {where}{why}{tail}."


def _two_months(view: View, frame: pl.DataFrame, column: str, name: str) -> tuple[date, date]:
    months = months_of(upto(view, frame, column, name), column)
    if len(months) < 2:
        raise CannotCompute(f"table {name} has one month only, so nothing has moved yet")
    return months[-2], months[-1]


def _day_count(month: date) -> int:
    following = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    return (following - month).days


def share_movements(view: View) -> list[Movement]:
    """The share accrued, split into longer or shorter month, base per day, rate and limits, by currency."""
    name = "revenue_share.fct_share_month"
    frame = need(view, name, "contract_id", "service_month", "base_amount", "share_amount")
    before_month, month = _two_months(view, frame, "service_month", name)
    days = Decimal(_day_count(month)) / Decimal(_day_count(before_month))
    found = []
    for currency, rows in currencies(view, frame.filter(pl.col("service_month").is_in([before_month, month]))):
        now = {row["contract_id"]: row for row in rows.to_dicts() if row["service_month"] == month}
        then = {row["contract_id"]: row for row in rows.to_dicts() if row["service_month"] == before_month}
        effects = dict.fromkeys(
            ("length of the month", "base per day", "rate and limits", "first month of a contract", "contract ended"),
            ZERO,
        )
        for contract in sorted(now.keys() | then.keys()):
            share = to_decimal(now.get(contract, {}).get("share_amount")) or ZERO
            was = to_decimal(then.get(contract, {}).get("share_amount")) or ZERO
            base = to_decimal(now.get(contract, {}).get("base_amount")) or ZERO
            base_was = to_decimal(then.get(contract, {}).get("base_amount")) or ZERO
            if contract not in then:
                effects["first month of a contract"] += share
            elif contract not in now:
                effects["contract ended"] -= was
            else:
                rate = was / base_was if base_was else ZERO
                effects["length of the month"] += base_was * (days - 1) * rate
                effects["base per day"] += (base - base_was * days) * rate
                effects["rate and limits"] += share - base * rate
        before, after = (total(one["share_amount"] for one in side.values()) for side in (then, now))
        because = ""
        bases = [total(one["base_amount"] for one in side.values()) for side in (then, now)]
        if bases[0] != bases[1]:
            word = "grew" if bases[1] > bases[0] else "shrank"
            because = f"while the base {word} from {money(bases[0], currency)} to {money(bases[1], currency)}"
        found.append(
            Movement(
                "Revenue share", currency, before_month, month, before, after, list(effects.items()), because, name
            )
        )
    return found


def claim_movements(view: View) -> list[Movement]:
    """Backstop claims, split into committed, excluded, sold, used and deductible hours, price and caps, by currency; where
    revenue is guaranteed, by what is billed in place of hours sold.
    """
    name = "backstop.fct_backstop_month"
    hours = {
        "committed hours": ("committed_gpu_hours", 1),
        "excluded hours": ("excluded_gpu_hours", -1),
        "third-party hours": ("third_party_gpu_hours", -1),
        "the vendor's own use": ("vendor_use_gpu_hours", -1),
        "deductible": ("deductible_gpu_hours", -1),
    }
    frame = need(
        view,
        name,
        "tranche_id",
        "service_month",
        "unsold_gpu_hours",
        "claim_gpu_hours",
        "buyback_price_per_gpu_hour",
        "claim_amount",
        *[column for column, _ in hours.values()],
    )
    before_month, month = _two_months(view, frame, "service_month", name)
    found = []
    for currency, rows in currencies(view, frame.filter(pl.col("service_month").is_in([before_month, month]))):
        now = {row["tranche_id"]: row for row in rows.to_dicts() if row["service_month"] == month}
        then = {row["tranche_id"]: row for row in rows.to_dicts() if row["service_month"] == before_month}
        guaranteed = ["billed to third parties"] if _guarantees(rows) else []
        effects = dict.fromkeys(
            [*hours, *guaranteed, "price", "caps and zero bounds", "new tranches", "tranches ended"], ZERO
        )
        for tranche in sorted(now.keys() | then.keys()):
            here, there = now.get(tranche), then.get(tranche)
            if here is None or there is None:
                effects["new tranches"] += total([here["claim_amount"]]) if here else ZERO
                effects["tranches ended"] -= total([there["claim_amount"]]) if there else ZERO
                continue
            price_was = total([there["buyback_price_per_gpu_hour"]])
            price = total([here["buyback_price_per_gpu_hour"]])
            explained = ZERO
            is_guarantee = all(side.get("third_party_revenue_amount") is not None for side in (here, there))
            if is_guarantee:
                effect = total([there["third_party_revenue_amount"]]) - total([here["third_party_revenue_amount"]])
                effects["billed to third parties"] += effect
                explained += effect
            for label, (column, sign) in hours.items():
                if is_guarantee and column == "third_party_gpu_hours":
                    continue
                effect = sign * (total([here[column]]) - total([there[column]])) * price_was
                effects[label] += effect
                explained += effect
            priced = "guaranteed_gpu_hours" if is_guarantee else "claim_gpu_hours"
            by_price = total([here[priced]]) * (price - price_was)
            effects["price"] += by_price
            change = total([here["claim_amount"]]) - total([there["claim_amount"]])
            effects["caps and zero bounds"] += change - explained - by_price
        before, after = (total(one["claim_amount"] for one in side.values()) for side in (then, now))
        unsold = [total(one["unsold_gpu_hours"] for one in side.values()) for side in (then, now)]
        because = ""
        if unsold[0] != unsold[1]:
            word = "rose" if unsold[1] > unsold[0] else "fell"
            joint = "because" if (unsold[1] > unsold[0]) == (after > before) else "although"
            scale = quantity_scale(unsold)
            was, now_is = (number(hours_of, scale.digits, scale.divisor) for hours_of in unsold)
            because = f"{joint} unsold hours {word} from {was} to {now_is} {unit_text('GPU-hours', scale)}"
        found.append(
            Movement(
                "Backstop claims", currency, before_month, month, before, after, list(effects.items()), because, name
            )
        )
    return found


def _guarantees(rows: pl.DataFrame) -> bool:
    """Whether a backstop of these months guarantees revenue; a snapshot from before there were such has no such column."""
    name = "third_party_revenue_amount"
    return name in rows.columns and rows[name].is_not_null().any()


def receivable_movements(view: View) -> list[Movement]:
    """Trade receivables, by the lines of the roll-forward, by currency."""
    name = "credit.fct_receivable_rollforward_month"
    frame = need(view, name, "contract_id", "month", "opening_amount", "closing_amount")
    return _rolled_forward(view, "Trade receivables", name, frame, ROLLFORWARD_LINES)


# Columns of the roll-forward between opening and closing: label and sign (READINGS.md: credit notes, cash and
# write-offs are published as magnitudes that reduce).
ROLLFORWARD_LINES = {
    "invoices_amount": ("invoices", 1),
    "credit_notes_amount": ("credit notes", -1),
    "applied_amount": ("cash applied", -1),
    "set_off_amount": ("set-off", -1),
    "write_offs_amount": ("write-offs", -1),
    "reinstated_amount": ("reinstated", 1),
    "fx_amount": ("FX", 1),
}
ALLOWANCE_LINES = {
    "adoption_amount": ("adoption", 1),
    "provision_amount": ("provision", 1),
    "write_off_amount": ("write-offs", -1),
    "recovery_amount": ("recoveries", 1),
    "fx_amount": ("FX", 1),
    "transfer_amount": ("transfers", 1),
}


def allowance_movements(view: View) -> list[Movement]:
    """The allowance for credit losses under CECL, by the lines of its roll-forward, by currency."""
    name = "credit.fct_allowance_rollforward_month"
    frame = need(view, name, "contract_id", "month", "standard", "opening_amount", "closing_amount")
    return _rolled_forward(view, "Allowance (CECL)", name, frame.filter(pl.col("standard") == "cecl"), ALLOWANCE_LINES)


def _rolled_forward(
    view: View, what: str, name: str, frame: pl.DataFrame, lines: Mapping[str, tuple[str, int]]
) -> list[Movement]:
    month, rows = latest(upto(view, frame, "month", name), "month")
    before_month = date(month.year - (month.month == 1), (month.month - 2) % 12 + 1, 1)
    return [
        Movement(
            what,
            currency,
            before_month,
            month,
            total(mine["opening_amount"]),
            total(mine["closing_amount"]),
            [(label, sign * total(mine[column])) for column, (label, sign) in lines.items() if column in mine.columns],
            "",
            name,
        )
        for currency, mine in currencies(view, rows)
    ]


def exposure_movements(view: View) -> list[Movement]:
    """Maximum backstop exposure; the month's claims are told apart from the rest, by currency."""
    name = "backstop.fct_max_exposure_fiscal_year"
    frame = need(view, name, "contract_id", "as_of_month", "vendor_fiscal_year", "max_exposure_amount")
    before_month, month = _two_months(view, frame, "as_of_month", name)
    caps_name = "backstop.fct_backstop_cap_month"
    caps = view.tables.get(caps_name)
    found = []
    for currency, rows in currencies(view, frame.filter(pl.col("as_of_month").is_in([before_month, month]))):
        after = total(rows.filter(pl.col("as_of_month") == month)["max_exposure_amount"])
        before = total(rows.filter(pl.col("as_of_month") == before_month)["max_exposure_amount"])
        claims = ZERO
        if caps is not None and {"contract_id", "service_month"} <= set(caps.columns):
            claimed = pick(caps, caps_name, "claimed_to_date_amount", "paid_to_date_amount")
            mine = caps.filter(pl.col("contract_id").is_in(rows["contract_id"].unique().to_list()))
            claims = total(mine.filter(pl.col("service_month") == month)[claimed]) - total(
                mine.filter(pl.col("service_month") == before_month)[claimed]
            )
        rest = after - before + claims
        effects = [("claims drawn", -claims), ("time passed, capacity and amendments", rest)]
        found.append(Movement("Maximum exposure", currency, before_month, month, before, after, effects, "", name))
    return found
