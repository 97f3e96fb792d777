"""What the credit jobs may assume where no contract says it: one table of keys, defaults and the source of each
default.

``raw.policy`` (policy, value_text) overrides any of them. A policy is the user's choice, never a contract's term and
never a measured fact; every default that no standard gives is marked ``assumed``, and the published tables carry the
figure that was used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import polars as pl


class Default(NamedTuple):
    """A policy's default value as text, its evidence grade, and where it comes from."""

    value_text: str
    grade: str
    source: str


DEFAULTS: Mapping[str, Default] = {
    # collections (READINGS.md, 44)
    "dso_window_days": Default("90", "P", "READINGS.md, 44"),
    "cei_months": Default("1", "P", "READINGS.md, 44"),
    "turnover_average": Default("opening_closing", "P", "READINGS.md, 44; or thirteen_point"),
    "dso_net_of_unapplied": Default(
        "true", "assumed", "CREDIT.md, 3.2: receivable gross of allowance, net of unapplied cash"
    ),
    "countback_month_limit": Default("24", "P", "CREDIT.md, 3.2"),
    # provision matrix
    "provision_matrix_source": Default("given", "assumed", "given | history"),
    "provision_matrix_rates": Default(
        '{"current": "0.003", "1-30": "0.016", "31-60": "0.036", "61-90": "0.066", "91-120": "0.106", ">120": "0.106"}',
        "assumed",
        "the rates of IFRS 9 Illustrative Example 12, until the programme has a history of its own",
    ),
    "forward_scalar": Default("1", "assumed", "no forward-looking adjustment unless the user gives one"),
    "cecl_expedient_2025_05": Default(
        "true", "P", "ASU 2025-05: current conditions persist for current trade items of ASC 606"
    ),
    "loss_pool_characteristics": Default(
        '["rating"]',
        "assumed",
        "what receivables of one pool share: rating, country, currency, parent (ASC 326-20-55-5)",
    ),
    # expected loss
    "functional_currency": Default("USD", "P", "the vendor's filings are in USD; receivables of others are remeasured"),
    "allowance_standard": Default("cecl", "P", "the vendor reports under US GAAP"),
    "allowance_method": Default(
        "pd_lgd", "P", "ASC 326-20-30-2: few large obligors that share no risk characteristics are measured one by one"
    ),
    "receivable_accounting_class": Default(
        "asc606_receivable",
        "assumed",
        "asc606_receivable | financing_receivable | operating_lease | derivative (CREDIT.md, finding 4)",
    ),
    "ifrs9_approach": Default(
        "simplified", "P", "IFRS 9 5.5.15: trade receivables without financing component; or general"
    ),
    "loss_given_default": Default(
        "0.60",
        "assumed",
        "before set-off and collateral; above the foundation approach's 45 %, below Lucent's 70 to 86 %",
    ),
    "lgd_floor_fraction": Default("0", "assumed", "no floor unless the user gives one"),
    "default_days_past_due": Default("90", "P", "IFRS 9 B5.5.37: rebuttable presumption"),
    "sicr_days_past_due": Default("30", "P", "IFRS 9 5.5.11: rebuttable presumption"),
    "significant_increase_pd_multiple": Default(
        "2", "assumed", "IFRS 9 stage 2: lifetime default probability doubled since first recognition"
    ),
    "reasonable_supportable_months": Default(
        "24", "assumed", "months of forecast before reversion to the long-run mean"
    ),
    "reversion": Default("straight_line", "assumed", "straight_line | immediate"),
    "reversion_months": Default("12", "assumed", "months of a straight-line reversion"),
    "asset_correlation": Default(
        "0.20",
        "assumed",
        "loading on the one factor, squared; between the Basel bounds of 0.12 and 0.24 (ORACLES.md, O10)",
    ),
    "stressed_asset_correlation": Default("0.50", "assumed", "the same in the stressed case"),
    "unrated_rating": Default(
        "CCC/C", "assumed", "an operator without a rating is taken at the weakest grade that is not in default"
    ),
    "past_due_resolution_days": Default(
        "90", "assumed", "an overdue item is settled or in default within the default definition's days"
    ),
    "discount_rate": Default("0.05", "assumed", "effective rate where no curve is given"),
    # the operator's economics
    "hardware_price_per_gpu": Default(
        "68000",
        "assumed",
        "a park of USD 37.9bn per GW of IT power (Epoch AI, S1) at 1.8 kW per GPU, facility included; in the park's currency",
    ),
    "hardware_life_months": Default("72", "assumed", "straight line over six years, the term of the deals"),
    # the backstop's simulation
    "path_count": Default("10000", "assumed", "at the latest month; the standard error is stored beside each figure"),
    "earlier_path_fraction": Default("0.02", "assumed", "part of the path count used at earlier months"),
    "antithetic_paths": Default(
        "true", "assumed", "the second half of the paths mirrors the first; false: every path has numbers of its own"
    ),
    "withdrawal_fraction": Default(
        "0.25",
        "assumed",
        "part of the hours it could claim that an operator with the right withdraws while the market pays more",
    ),
    "withdrawal_price_premium_fraction": Default(
        "0.25", "assumed", "how far above the buy-back price the market must pay for that"
    ),
    "path_seed": Default("20260701", "assumed", "joined with contract and month by a stable hash"),
    "process_parameters": Default(
        "given",
        "assumed",
        "given | history: those of the policies, or estimated from the park's own months and the price index",
    ),
    "process_history_count": Default(
        "12", "assumed", "fewest months, and days with a price, that an estimate rests on"
    ),
    "park_processes": Default("{}", "assumed", "parameters of occupancy and price by park, in place of the policies"),
    "occupancy_persistence": Default(
        "0.90", "assumed", "monthly AR(1) on the logit of re-letting occupancy (ORACLES.md, D4)"
    ),
    "occupancy_mean_fraction": Default("0.80", "S2", "underwriting bands: target 80 % (FACTS.md, 3.2)"),
    "occupancy_shock": Default("0.35", "assumed", "monthly, on the logit (ORACLES.md, D4)"),
    "renewal_probability": Default(
        "0.50", "assumed", "a lease that rolls off is renewed at its own size and the market's price"
    ),
    "price_reversion_per_year": Default("1.0", "assumed", "mean reversion of the logarithm of price"),
    "price_volatility": Default(
        "0.45", "assumed", "annual; H100 fell 43 % in a year and rose 38 % in five months (FACTS.md, 3.1)"
    ),
    "price_jump_probability_per_year": Default("0.50", "assumed", "one next-generation release in two years"),
    "price_jump_fraction": Default("-0.15", "assumed", "change of the price at a release"),
    "tenant_default_probability_per_year": Default(
        "0.05", "assumed", "tenants are unrated; between single B and CCC (ORACLES.md, O13)"
    ),
    "resale_recovery_fraction": Default("0.25", "assumed", "part of bought-back hours that the vendor can sell on"),
    "probable_threshold": Default("0.75", "assumed", "practice reads probable as 75 to 80 % (CREDIT.md, finding 3)"),
    "asc460_release": Default("straight_line", "assumed", "straight_line | risk_release"),
    "ias37_population": Default("large", "assumed", "large: expected value; single: most likely outcome"),
    "risk_margin_cost_of_capital": Default(
        "0.06", "assumed", "cost of capital on (ES 99 less expected), for the fair value at inception"
    ),
}


PARK_PARAMETERS = (
    "occupancy_persistence",
    "occupancy_mean_fraction",
    "occupancy_shock",
    "renewal_probability",
    "price_reversion_per_year",
    "price_volatility",
    "price_jump_probability_per_year",
    "price_jump_fraction",
)


class CreditPolicy:
    """The policies in force: user values over :data:`DEFAULTS`. Keys that the credit jobs do not know are left to
    others.

    Raises ``ValueError`` naming the policy when a value cannot be read as what is asked for.
    """

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        """Take a mapping of policy to text; missing keys fall back on their documented default."""
        self._values = dict(values or {})

    def but(self, **values: str) -> CreditPolicy:
        """The same policies with some of another value."""
        return CreditPolicy({**self._values, **values})

    def for_park(self, park_id: str) -> CreditPolicy:
        """The policies with a park's own parameters of occupancy and price (``park_processes``) in their place. Raises
        ``ValueError`` for a name that is none of :data:`PARK_PARAMETERS`.
        """
        own = json.loads(self.text("park_processes")).get(park_id, {})
        given = json.loads(own) if isinstance(own, str) else own
        for name in given:
            if name not in PARK_PARAMETERS:
                raise ValueError(
                    f"policy park_processes: {name!r} of park {park_id} is none of {', '.join(PARK_PARAMETERS)}"
                )
        return self.but(**{name: str(value) for name, value in given.items()}) if given else self

    def text(self, key: str) -> str:
        """The policy's value as text."""
        return self._values.get(key, DEFAULTS[key].value_text)

    def decimal(self, key: str) -> Decimal:
        """The policy's value as an exact decimal."""
        try:
            return Decimal(self.text(key))
        except InvalidOperation as error:
            raise ValueError(f"policy {key}: {self.text(key)!r} is no number") from error

    def number(self, key: str) -> float:
        """The policy's value as a float, for estimates."""
        return float(self.decimal(key))

    def integer(self, key: str) -> int:
        """The policy's value as a whole number."""
        value = self.decimal(key)
        if value != value.to_integral_value():
            raise ValueError(f"policy {key}: {value} is no whole number")
        return int(value)

    def flag(self, key: str) -> bool:
        """The policy's value as true or false."""
        value = self.text(key).strip().lower()
        if value not in {"true", "false"}:
            raise ValueError(f"policy {key}: {value!r} is neither true nor false")
        return value == "true"

    def choice(self, key: str, *allowed: str) -> str:
        """The policy's value, which must be one of ``allowed``."""
        value = self.text(key)
        if value not in allowed:
            raise ValueError(f"policy {key}: {value!r} is none of {', '.join(allowed)}")
        return value

    def names(self, key: str) -> list[str]:
        """The policy's value as a list of names (JSON array of strings)."""
        parsed = json.loads(self.text(key))
        if not isinstance(parsed, list) or not all(isinstance(name, str) for name in parsed):
            raise ValueError(f"policy {key}: a JSON array of names is needed")
        return parsed

    def rates(self, key: str) -> dict[str, Decimal]:
        """The policy's value as a mapping of name to exact rate (JSON object of strings or numbers)."""
        parsed = json.loads(self.text(key), parse_float=Decimal, parse_int=Decimal)
        if not isinstance(parsed, dict):
            raise ValueError(f"policy {key}: a JSON object of rates is needed")  # noqa: TRY004  the text is wrong, not its type
        return {str(name): Decimal(str(value)) for name, value in parsed.items()}


def policy_from_frame(frame: pl.DataFrame | None) -> CreditPolicy:
    """Read ``raw.policy`` (policy, value_text); None or an empty frame gives the defaults. Nulls are ignored."""
    if frame is None or frame.is_empty():
        return CreditPolicy()
    rows = frame.select("policy", "value_text").drop_nulls()
    return CreditPolicy(dict(rows.iter_rows()))
