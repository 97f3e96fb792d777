"""Scenarios: macro scenarios with weights for expected credit loss, and drivers of the stress set."""

from typing import Literal

from pydantic import Field

from ingest.terms.scalars import EvidenceGrade, Identifier, Model, Rate, Text, Weight

# Unit of each driver's value.
DRIVERS: dict[str, str] = {
    "systematic_factor": "standard deviations of the one credit factor; positive is good",
    "pd_multiple": "factor on probabilities of default",
    "lgd_fraction": "loss given default, 0 to 1",
    "price_change_fraction": "change of market prices per GPU-hour; -0.43 is a fall by 43 %",
    "occupancy_change_fraction": "change of occupancy, as a fraction of itself",
    "power_price_multiple": "factor on the power tariff",
    "rate_shift_bp": "parallel shift of interest rates in basis points",
    "delivery_slip_days": "days by which deliveries not yet energised slip",
    "next_generation_price_change_fraction": "change of prices of present generations when the next one is released",
    "largest_tenant_default": "1: the tenant with the largest revenue stops paying and leaves",
    "operator_insolvency": "1: the operator fails; backstops that do not survive are void",
    "reverse_stress": "1: search the price fall at which a covenant or a cap breaks",
}


class Driver(Model):
    """One driver of a scenario, its value and where the value comes from."""

    driver: Literal[
        "systematic_factor",
        "pd_multiple",
        "lgd_fraction",
        "price_change_fraction",
        "occupancy_change_fraction",
        "power_price_multiple",
        "rate_shift_bp",
        "delivery_slip_days",
        "next_generation_price_change_fraction",
        "largest_tenant_default",
        "operator_insolvency",
        "reverse_stress",
    ]
    value: Rate
    source: Text
    grade: EvidenceGrade | None = None


class Scenario(Model):
    """One scenario. With a weight it is a macro scenario of expected credit loss, without one a stress."""

    scenario_id: Identifier
    scenario_name: Text
    weight: Weight | None = None
    drivers: list[Driver] = Field(min_length=1)
