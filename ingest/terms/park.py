"""The park file: place, clock, operator, tranches, economics. No contract terms."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from ingest.terms.scalars import (
    CountryCode,
    CurrencyCode,
    Day,
    EvidenceMap,
    Identifier,
    Megawatt,
    Model,
    PositiveMoney,
    Price,
    Rate,
    Ratio,
    Text,
    TimeZone,
)


class Operator(Model):
    """The GPU cloud that runs the park; the same operator of two parks must be written alike."""

    operator_id: Identifier
    operator_name: Text
    parent_id: Identifier | None = None
    country_code: CountryCode
    rating: Text | None = None
    rating_agency: Text | None = None


class Tranche(Model):
    """GPUs of one model delivered together.

    `nodes` is a shell pattern over node ids (`a-*`); `energised_date` null: not yet energised;
    `contract_id` null: no deal.
    """

    tranche_id: Identifier
    contract_id: Identifier | None = None
    gpu_model: Text
    gpu_count: Annotated[int, Field(ge=1)]
    planned_date: Day | None = None
    energised_date: Day | None = None
    nodes: Text | None = None


class Debt(Model):
    """One loan of the park; rate a year as a fraction, floating: the rate at the home's clock."""

    lender: Text
    principal: PositiveMoney
    rate: Rate
    floating: bool = False
    amortisation: Literal["bullet", "linear", "annuity"] = "linear"
    maturity: Day


class Economics(Model):
    """What the operator pays: power per MWh, land per month, operation per GPU and month, debt."""

    tariff_per_mwh: Price
    land_per_month: PositiveMoney
    operation_per_gpu_month: Price
    currency_code: CurrencyCode | None = None
    debt: list[Debt] = Field(default_factory=list)


class Park(Model):
    """One park. Settlement days and hours follow `time_zone`."""

    park_id: Identifier
    park_name: Text
    operator: Operator
    country_code: CountryCode
    time_zone: TimeZone
    currency_code: CurrencyCode
    it_power_mw: Megawatt | None = None
    telemetry_interval_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    pue_bounds: list[Ratio] = Field(default_factory=lambda: [Decimal(1), Decimal(2)], min_length=2, max_length=2)
    naive_timestamps: Literal["error", "park_zone"] = "error"
    tranches: list[Tranche] = Field(default_factory=list)
    economics: Economics | None = None
    evidence: EvidenceMap = Field(default_factory=dict)

    def contract_ids(self) -> set[str]:
        """Ids of the contracts that the tranches name."""
        return {tranche.contract_id for tranche in self.tranches if tranche.contract_id}
