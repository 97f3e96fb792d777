"""Alerts: rules over the published metrics, and the channels that are told. What a rule finds is computed elsewhere.

Secrets never stand in the file: a channel's URL names environment variables, `${NAME}`, and only sending looks them up.
"""

import re
from decimal import Decimal
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ingest.terms.scalars import Identifier, Model, Price, Rate, Text

# Every metric of monitor.dim_metric by name; a test holds this list to what is computed.
METRICS = (
    "occupancy_fraction", "utilization_fraction", "availability_fraction", "contracted_coverage_12m_fraction",
    "contracted_coverage_24m_fraction", "walt_months", "realised_price_per_gpu_hour", "index_spread_per_gpu_hour",
    "floor_headroom_per_gpu_hour", "tenant_hhi", "tenant_top_1_fraction", "tenant_top_3_fraction", "pue_ratio",
    "energy_per_leased_gpu_hour_kwh", "power_cost_per_gpu_hour", "energy_passthrough_fraction", "share_accrued_amount",
    "effective_take_fraction", "marginal_rate_fraction", "months_to_step_months", "share_per_gpu_hour",
    "true_up_balance_amount", "share_recut_on_gross_amount", "forward_share_npv_amount", "receivable_past_due_fraction",
    "unrecouped_advance_amount", "recoupment_coverage_ratio", "unsold_gpu_hours", "excluded_gpu_hours",
    "deductible_gpu_hours", "claim_gpu_hours", "claims_accrued_amount", "claims_paid_amount", "claims_disputed_amount",
    "max_exposure_amount", "expected_exposure_amount", "potential_exposure_95_amount", "potential_exposure_99_amount",
    "draw_rate_fraction", "lifetime_cap_left_amount", "commitment_growth_fraction", "break_even_occupancy_fraction",
    "claims_lag_days", "withdrawn_gpu_fraction", "dso_days", "receivables_turnover", "best_possible_dso_days",
    "receivable_top_customer_fraction", "receivable_customers_of_ten_percent_fraction",
    "allowance_to_receivable_fraction", "expected_credit_loss_amount", "off_balance_expected_loss_amount",
    "cost_of_risk_fraction", "collateral_coverage_fraction", "collateral_coverage_ai_cloud_fraction",
    "wrong_way_multiplier", "commitments_to_equity_fraction", "commitments_to_revenue_fraction",
    "customer_advances_received_usd", "equity_gain_to_income_fraction", "dscr", "dscr_before_share", "llcr",
    "ltv_fraction", "floor_case_dscr", "liquidity_months", "tenor_gap_months", "pledged_revenue_fraction",
    "covenant_headroom", "covenant_breach_months", "credit_spread_bp", "residual_mark_fraction",
)  # fmt: skip
LEVELS = ("park", "contract", "programme", "issuer")

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Services whose address alone holds no token: host, port and path. Of every other one a part of the URL is the secret.
_PLAIN_SCHEMES = {"mailto", "mailtos", "json", "jsons", "xml", "xmls", "form", "forms"}
_SECRET_PARAMETERS = re.compile(r"(?i)[?&](pass|password|token|secret|key|apikey)=(?!\$\{)")

MonthCount = Annotated[int, Field(ge=1, le=120)]
Severity = Literal["critical", "warning"]


class _Rule(Model):
    """What every rule has. Without `entity_levels` and `entities` it watches every park, contract, programme and issuer."""

    rule_id: Identifier
    says: Text = Field(description="what has gone wrong, in words, without a figure")
    metric: Text = Field(description="a metric of monitor.dim_metric")
    severity: Severity = "warning"
    entity_levels: list[Literal["park", "contract", "programme", "issuer"]] = Field(default_factory=list)
    entities: list[Text] = Field(default_factory=list, description="ids of parks, contracts or issuers")
    channels: list[Identifier] = Field(default_factory=list, description="who is told; without it, every channel")

    @field_validator("metric")
    @classmethod
    def _known(cls, given: str) -> str:
        if given not in METRICS:
            raise ValueError(f"{given!r} is no metric; `parkledger sql 'FROM monitor.dim_metric'` lists them")
        return given


def _one_of(rule: Model, *names: str) -> None:
    given = [name for name in names if getattr(rule, name) is not None]
    if len(given) != 1:
        raise ValueError(f"needs {names[0]} or {names[1]}, one of the two")


class LevelRule(_Rule):
    """The metric is below or above a level."""

    kind: Literal["level"]
    below: Rate | None = None
    above: Rate | None = None

    @model_validator(mode="after")
    def _side(self) -> "LevelRule":
        _one_of(self, "below", "above")
        return self


class ChangeRule(_Rule):
    """The metric fell or rose by more than so much within `months`; `relative`: as a fraction of what it was."""

    kind: Literal["change"]
    falls_by: Price | None = None
    rises_by: Price | None = None
    months: MonthCount = 1
    relative: bool = False

    @model_validator(mode="after")
    def _side(self) -> "ChangeRule":
        _one_of(self, "falls_by", "rises_by")
        return self


class TrendRule(_Rule):
    """The line of least squares through the last `months` falls or rises by more than so much a month."""

    kind: Literal["trend"]
    falls_by: Price | None = None
    rises_by: Price | None = None
    months: Annotated[int, Field(ge=3, le=120)] = 3

    @model_validator(mode="after")
    def _side(self) -> "TrendRule":
        _one_of(self, "falls_by", "rises_by")
        return self


class CountdownRule(_Rule):
    """By the line through the last `months`, the metric is below or above a level in less than `within_months`."""

    kind: Literal["countdown"]
    below: Rate | None = None
    above: Rate | None = None
    within_months: Price
    months: Annotated[int, Field(ge=3, le=120)] = 3

    @model_validator(mode="after")
    def _side(self) -> "CountdownRule":
        _one_of(self, "below", "above")
        return self


class MissingRule(_Rule):
    """A metric that once had a value has had none for `months` in a row."""

    kind: Literal["missing"]
    months: MonthCount = 1


Rule = Annotated[LevelRule | ChangeRule | TrendRule | CountdownRule | MissingRule, Field(discriminator="kind")]
RULE_KINDS = ("level", "change", "trend", "countdown", "missing")


def _every_severity() -> list[Severity]:
    return ["critical", "warning"]


class Channel(Model):
    """Who is told: an address in the form of Apprise (mail, chat, webhook), or a file that lines are added to."""

    channel_id: Identifier
    url: Text | None = Field(None, description="mailto://…, slack://…, json://…; secrets as ${NAME}")
    file: Text | None = Field(None, description="JSON lines, below the home or absolute")
    severities: list[Severity] = Field(default_factory=_every_severity, min_length=1)

    @model_validator(mode="after")
    def _one(self) -> "Channel":
        _one_of(self, "url", "file")
        return self

    @field_validator("url")
    @classmethod
    def _no_secret(cls, given: str | None) -> str | None:
        """Refuse what looks like a secret; the message never repeats it."""
        if given is None or VARIABLE.fullmatch(given):
            return given
        try:
            parts = urlsplit(VARIABLE.sub("0", given))
            named = urlsplit(VARIABLE.sub("", given))
        except ValueError:
            raise ValueError("the url cannot be read; put it into an environment variable and write ${NAME}") from None
        if not parts.scheme:
            raise ValueError("the url has no scheme; write one like mailto://, slack:// or json://")
        is_bare = parts.scheme not in _PLAIN_SCHEMES and not VARIABLE.search(given)
        if named.password or is_bare or _SECRET_PARAMETERS.search(given):
            raise ValueError(
                "a secret seems to stand in the url; put it into an environment variable and write ${NAME}"
            )
        return given


class Alerts(Model):
    """alerts.yaml: rules and channels. Without `rules` the shipped ones watch; without `channels` nobody is told."""

    rules: list[Rule] = Field(default_factory=lambda: list(DEFAULT_RULES))
    channels: list[Channel] = Field(default_factory=list)

    @model_validator(mode="after")
    def _consistent(self) -> "Alerts":
        known = {channel.channel_id for channel in self.channels}
        for what, ids in (
            ("rule", [rule.rule_id for rule in self.rules]),
            ("channel", [channel.channel_id for channel in self.channels]),
        ):
            twice = sorted({one for one in ids if ids.count(one) > 1})
            if twice:
                raise ValueError(f"{twice[0]} is the id of more than one {what}")
        for rule in self.rules:
            unknown = sorted(set(rule.channels) - known)
            if unknown:
                raise ValueError(f"rule {rule.rule_id} tells {unknown[0]}, which is no channel here")
        return self


def _level(
    rule_id: str,
    says: str,
    metric: str,
    severity: Severity = "warning",
    *,
    below: str | None = None,
    above: str | None = None,
) -> LevelRule:
    low, high = (None if bound is None else Decimal(bound) for bound in (below, above))
    return LevelRule(kind="level", rule_id=rule_id, says=says, metric=metric, severity=severity, below=low, above=high)


# What watches a home that writes no rules of its own; `data/alerts.yaml` shows them in the form that a user writes.
DEFAULT_RULES: tuple[Rule, ...] = (
    _level("debt-service", "debt service is not covered", "dscr", "critical", below="1"),
    _level("floor-case", "the floor case does not cover debt service", "floor_case_dscr", below="1"),
    _level("covenant-breached", "a covenant is breached", "covenant_headroom", "critical", below="0"),
    _level(
        "covenant-countdown",
        "a covenant breaks within three months at the present trend",
        "covenant_breach_months",
        below="3",
    ),
    _level("loan-to-value", "debt is more than the hardware is worth", "ltv_fraction", above="1"),
    _level("past-due", "more than a quarter of receivables is past due", "receivable_past_due_fraction", above="0.25"),
    _level("occupancy", "occupancy is below break-even of about 60 %", "occupancy_fraction", below="0.60"),
    _level("price-floor", "the realised price is below the buy-back price", "floor_headroom_per_gpu_hour", below="0"),
    _level("one-tenant", "one tenant pays more than half of the revenue", "tenant_top_1_fraction", above="0.5"),
    _level("commitments", "commitments grow by more than a tenth", "commitment_growth_fraction", above="0.1"),
    _level("tenor-gap", "loans outlast leases by more than two years", "tenor_gap_months", above="24"),
    _level("wrong-way", "claims and default come together", "wrong_way_multiplier", above="1.5"),
    ChangeRule(
        kind="change",
        rule_id="dso-jump",
        says="days sales outstanding rose by more than fifteen days in a month",
        metric="dso_days",
        rises_by=Decimal(15),
    ),
    ChangeRule(
        kind="change",
        rule_id="claims-jump",
        says="claims are half as high again as three months ago",
        metric="claims_accrued_amount",
        rises_by=Decimal("0.5"),
        months=3,
        relative=True,
        entity_levels=["contract"],
    ),
    TrendRule(
        kind="trend",
        rule_id="occupancy-trend",
        says="occupancy falls by more than two points a month",
        metric="occupancy_fraction",
        falls_by=Decimal("0.02"),
        months=3,
    ),
    CountdownRule(
        kind="countdown",
        rule_id="coverage-countdown",
        says="at the present trend debt service is not covered within half a year",
        metric="dscr",
        below=Decimal(1),
        within_months=Decimal(6),
        months=6,
    ),
    MissingRule(
        kind="missing",
        rule_id="no-utilisation",
        says="utilisation is not measured any more",
        metric="utilization_fraction",
        entity_levels=["park"],
    ),
    MissingRule(
        kind="missing",
        rule_id="no-pue",
        says="PUE is not measured any more",
        metric="pue_ratio",
        entity_levels=["park"],
    ),
)
