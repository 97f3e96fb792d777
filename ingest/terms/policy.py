"""Policies: what is the user's choice and no contract's term. Each has a documented default.

All files of `policies/` together make one `Policies`; a policy may stand in one file only.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, field_validator

from ingest.contracts import JUDGED_RULES, RULES, Severity
from ingest.terms.scalars import CurrencyCode, Days, Fraction, Model, Price, Rate, ReceivableClass, Text

# XID codes after which a GPU does no work until it is reset or replaced (NVIDIA's XID catalogue): 48 double-bit ECC,
# 62 and 69 internal halts, 74 NVLink error, 79 fallen off the bus, 94 and 95 ECC contained and uncontained,
# 119 and 120 GSP timeouts, 136 and 140 unrecovered ECC.
FATAL_XID_CODES = [48, 62, 69, 74, 79, 94, 95, 119, 120, 136, 140]


# The rates of IFRS 9 Illustrative Example 12, until the programme has a history of its own.
_MATRIX_RATES = {
    "current": Decimal("0.003"),
    "1-30": Decimal("0.016"),
    "31-60": Decimal("0.036"),
    "61-90": Decimal("0.066"),
    "91-120": Decimal("0.106"),
    ">120": Decimal("0.106"),
}

ParkParameter = Literal[
    "occupancy_persistence",
    "occupancy_mean_fraction",
    "occupancy_shock",
    "renewal_probability",
    "price_reversion_per_year",
    "price_volatility",
    "price_jump_probability_per_year",
    "price_jump_fraction",
]
_POOL_CHARACTERISTICS: list[Literal["rating", "country", "currency", "parent"]] = ["rating"]

# Twice the rated power of the board (NVIDIA's and AMD's data sheets): sensors average over transients, of up to twice
# the rated power for some milliseconds, and a rack's fans and switches may be shared out. Models not named: 5,000 W.
_POWER_BOUNDS_W = {
    "GB300": 2800,
    "GB200": 2400,
    "B300": 2800,
    "B200": 2000,
    "GH200": 2000,
    "H200": 1400,
    "H100": 1400,
    "H800": 1400,
    "H20": 1000,
    "A100": 1000,
    "A800": 1000,
    "L40S": 700,
    "L40": 600,
    "L4": 144,
    "T4": 140,
    "V100": 700,
    "A30": 330,
    "A10": 300,
    "RTX A6000": 600,
    "RTX 4090": 900,
    "RTX 5090": 1150,
    "RTX PRO 6000": 1200,
    "MI300X": 1500,
    "MI325X": 2000,
    "MI355X": 2800,
}


def _check_rule_of_rows(rule: str) -> None:
    if rule not in RULES or RULES[rule].severity is Severity.REJECT_FILE:
        known = ", ".join(name for name, one in RULES.items() if one.severity is not Severity.REJECT_FILE)
        raise ValueError(f"{rule!r} is no rule of rows; those are {known}")


class Policies(Model):
    """Every policy with its default. The credit jobs document the sources of theirs beside the same defaults."""

    close_after_days: Days = Field(
        10, description="a month closes at the end of this day after its last, in the park's zone"
    )
    fatal_xid_codes: list[int] = Field(
        default_factory=lambda: list(FATAL_XID_CODES),
        description="XID codes that take a GPU out of supply in their hour",
    )
    future_tolerance_minutes: Annotated[int, Field(ge=0, le=1440)] = Field(
        15, description="clocks of senders may be ahead of the home's by so much"
    )
    gpu_power_bounds_w: dict[Text, Annotated[int, Field(ge=1, le=5000)]] = Field(
        default_factory=lambda: dict(_POWER_BOUNDS_W),
        description="the most that one GPU may draw by its sensor, in watts, by a part of its model's name",
    )
    rule_severity: dict[Text, Literal["quarantine", "warn", "block"]] = Field(
        default_factory=dict,
        description="what a broken rule costs, where not the default: the row, a note, or its park-day until it is mended",
    )
    block_above_fraction: dict[Text, Fraction] = Field(
        default_factory=dict,
        description="share of a park-day's rows that may break a blocking rule before the day is held back; else none",
    )
    dso_window_days: Annotated[int, Field(ge=1, le=3660)] = Field(90, description="days of sales behind DSO")
    cei_months: Annotated[int, Field(ge=1, le=60)] = Field(1, description="N of the collection effectiveness index")
    turnover_average: Literal["opening_closing", "thirteen_point"] = Field(
        "opening_closing", description="mean of the receivable in the turnover ratio"
    )
    dso_net_of_unapplied: bool = Field(True, description="DSO on the receivable net of unapplied cash")
    countback_month_limit: Annotated[int, Field(ge=1, le=600)] = Field(
        24, description="months that count-back DSO looks back at most"
    )
    provision_matrix_source: Literal["given", "history"] = Field(
        "given", description="rates of the matrix: those given, or from payment history"
    )
    provision_matrix_rates: dict[Text, Fraction] = Field(
        default_factory=lambda: dict(_MATRIX_RATES), description="loss rate of each ageing bucket"
    )
    loss_pool_characteristics: list[Literal["rating", "country", "currency", "parent"]] = Field(
        default_factory=_POOL_CHARACTERISTICS.copy,
        description="risk characteristics that receivables of one pool share; rates of the matrix come from the pool's history",
    )
    forward_scalar: Rate = Field(Decimal(1), description="factor on historical loss rates")
    cecl_expedient_2025_05: bool = Field(
        True,
        description="ASU 2025-05: CECL looks at no conditions to come on trade receivables (scalar 1, no scenario)",
    )
    functional_currency: CurrencyCode = Field(
        "USD", description="the vendor's own currency, in which receivables of others are remeasured"
    )
    allowance_standard: Literal["cecl", "ifrs9"] = Field("cecl", description="the standard whose allowance is posted")
    allowance_method: Literal["pd_lgd", "provision_matrix"] = Field(
        "pd_lgd", description="how the posted allowance is measured"
    )
    receivable_accounting_class: ReceivableClass = Field(
        "asc606_receivable", description="what the share's receivable is in the books, where its contract does not say"
    )
    ifrs9_approach: Literal["simplified", "general"] = Field("simplified", description="IFRS 9 5.5.15, or stages")
    loss_given_default: Fraction = Field(Decimal("0.60"), description="LGD before set-off and collateral")
    lgd_floor_fraction: Fraction = Field(Decimal(0), description="LGD after collateral is never below this")
    default_days_past_due: Annotated[int, Field(ge=1)] = Field(90, description="days past due that count as default")
    sicr_days_past_due: Annotated[int, Field(ge=1)] = Field(
        30, description="days past due that count as a significant increase of risk"
    )
    significant_increase_pd_multiple: Rate = Field(
        Decimal(2), description="IFRS 9 stage 2: lifetime PD now over lifetime PD at inception"
    )
    reasonable_supportable_months: Annotated[int, Field(ge=0, le=600)] = Field(
        24, description="months of forecast before reversion to the long-run mean"
    )
    reversion: Literal["straight_line", "immediate"] = Field(
        "straight_line", description="way back to the long-run mean"
    )
    reversion_months: Annotated[int, Field(ge=0, le=600)] = Field(12, description="months of a straight-line reversion")
    asset_correlation: Fraction = Field(
        Decimal("0.20"), description="loading of operators and tenants on the one factor, squared"
    )
    stressed_asset_correlation: Fraction = Field(Decimal("0.50"), description="the same in the stressed case")
    unrated_rating: Text = Field("CCC/C", description="rating taken for an operator without one")
    past_due_resolution_days: Annotated[int, Field(ge=1)] = Field(
        90, description="an overdue item is settled or in default within so many days"
    )
    discount_rate: Rate = Field(Decimal("0.05"), description="effective rate where no curve is given")
    hardware_price_per_gpu: Price = Field(
        Decimal(68000), description="price of a GPU with its share of the park, in the park's currency"
    )
    hardware_life_months: Annotated[int, Field(ge=1, le=600)] = Field(
        72, description="months over which hardware loses its value, in a straight line"
    )
    path_count: Annotated[int, Field(ge=100, le=10_000_000)] = Field(
        10_000, description="Monte Carlo paths at the latest month"
    )
    earlier_path_fraction: Fraction = Field(
        Decimal("0.02"), description="part of the path count used at earlier months"
    )
    antithetic_paths: bool = Field(True, description="the second half of the paths mirrors the first")
    withdrawal_fraction: Fraction = Field(
        Decimal("0.25"),
        description="part of what it could claim that an operator with the right withdraws while the market pays more",
    )
    withdrawal_price_premium_fraction: Price = Field(
        Decimal("0.25"), description="how far above the buy-back price the market must pay for that"
    )
    path_seed: Annotated[int, Field(ge=0)] = Field(20260701, description="seed of the Monte Carlo paths")
    process_parameters: Literal["given", "history"] = Field(
        "given",
        description="parameters of occupancy and price: the policies', or estimated from the park's own history",
    )
    process_history_count: Annotated[int, Field(ge=4, le=600)] = Field(
        12, description="fewest months, and days with a price, that an estimate rests on"
    )
    park_processes: dict[Text, dict[ParkParameter, Rate]] = Field(
        default_factory=dict, description="parameters of occupancy and price by park_id, in place of the policies'"
    )
    occupancy_persistence: Fraction = Field(
        Decimal("0.90"), description="monthly AR(1) on the logit of re-letting occupancy"
    )
    occupancy_mean_fraction: Fraction = Field(Decimal("0.80"), description="long-run re-letting occupancy")
    occupancy_shock: Price = Field(Decimal("0.35"), description="monthly standard deviation on the logit")
    renewal_probability: Fraction = Field(
        Decimal("0.50"), description="a lease that rolls off is renewed at the market's price"
    )
    price_reversion_per_year: Price = Field(Decimal("1.0"), description="mean reversion of the logarithm of price")
    price_volatility: Price = Field(Decimal("0.45"), description="annual volatility of prices")
    price_jump_probability_per_year: Fraction = Field(Decimal("0.50"), description="release of a next generation")
    price_jump_fraction: Annotated[Rate, Field(gt=-1)] = Field(
        Decimal("-0.15"), description="change of the price at a release"
    )
    tenant_default_probability_per_year: Fraction = Field(Decimal("0.05"), description="default of a tenant")
    resale_recovery_fraction: Fraction = Field(
        Decimal("0.25"), description="part of bought-back hours that the vendor can sell on"
    )
    probable_threshold: Fraction = Field(Decimal("0.75"), description="probability that ASC 450 reads as probable")
    asc460_release: Literal["straight_line", "risk_release"] = Field(
        "straight_line", description="release of the stand-ready liability"
    )
    ias37_population: Literal["large", "single"] = Field("large", description="expected value, or most likely outcome")
    risk_margin_cost_of_capital: Fraction = Field(
        Decimal("0.06"), description="cost of capital on ES 99 less expected, for fair value"
    )

    feed_late_days: Annotated[int, Field(ge=0, le=366)] = Field(
        0, description="days that a daily feed may be late before an alert is raised"
    )
    feed_volume_fraction: Annotated[Decimal, Field(ge=0, le=1)] = Field(
        Decimal("0.5"), description="share of a usual day's rows (median of 28 days) below which an alert is raised"
    )
    prepared_by: Text = Field(
        "parkledger", description="who prepares the monthly statements: a name or a department, printed on each"
    )
    kept_snapshots: Annotated[int, Field(ge=0, le=10_000)] = Field(
        10, description="earlier published snapshots that are kept, for `parkledger diff`"
    )
    kept_month_ends: Annotated[int, Field(ge=0, le=1200)] = Field(
        12, description="months whose last published snapshot is kept beside these"
    )

    @field_validator("gpu_power_bounds_w")
    @classmethod
    def _with_defaults(cls, given: dict[str, int]) -> dict[str, int]:
        """Models that are not named keep their default bound."""
        return _POWER_BOUNDS_W | given

    @field_validator("rule_severity")
    @classmethod
    def _known_rules(cls, given: dict[str, str]) -> dict[str, str]:
        for rule, severity in given.items():
            _check_rule_of_rows(rule)
            if severity == "warn" and rule not in JUDGED_RULES:
                raise ValueError(f"{rule} leaves no value that could count; only {', '.join(JUDGED_RULES)} may warn")
        return given

    @field_validator("block_above_fraction")
    @classmethod
    def _known_blocking_rules(cls, given: dict[str, Decimal]) -> dict[str, Decimal]:
        for rule in given:
            _check_rule_of_rows(rule)
        return given

    def severity_of(self, rule: str) -> str:
        """quarantine, warn or block."""
        default = "warn" if RULES[rule].severity is Severity.WARN else "quarantine"
        return self.rule_severity.get(rule, default)


DEFAULTS = Policies()
