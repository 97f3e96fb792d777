"""Policies: what is the user's choice and no contract's term. Each has a documented default.

All files of `policies/` together make one `Policies`; a policy may stand in one file only.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from ingest.terms.scalars import Days, Fraction, Model, PositiveMoney, Rate

# XID codes after which a GPU does no work until it is reset or replaced (NVIDIA's XID catalogue): 48 double-bit ECC,
# 62 and 69 internal halts, 74 NVLink error, 79 fallen off the bus, 94 and 95 ECC contained and uncontained,
# 119 and 120 GSP timeouts, 136 and 140 unrecovered ECC.
FATAL_XID_CODES = [48, 62, 69, 74, 79, 94, 95, 119, 120, 136, 140]


class Policies(Model):
    """Every policy with its default."""

    close_after_days: Days = Field(
        10, description="a month closes at the end of this day after its last, in the park's zone"
    )
    fatal_xid_codes: list[int] = Field(
        FATAL_XID_CODES, description="XID codes that take a GPU out of supply in their hour"
    )
    dso_window_days: Annotated[int, Field(ge=1, le=3660)] = Field(90, description="days of sales behind DSO")
    cei_months: Annotated[int, Field(ge=1, le=60)] = Field(1, description="N of the collection effectiveness index")
    turnover_average: Literal["opening_closing", "thirteen_point"] = Field(
        "opening_closing", description="mean of the receivable in the turnover ratio"
    )
    default_days_past_due: Annotated[int, Field(ge=1)] = Field(90, description="days past due that count as default")
    cecl_expedient_2025_05: bool = Field(
        True, description="ASU 2025-05: no forecast on current trade receivables (forward-looking scalar 1)"
    )
    allowance_standard: Literal["cecl", "ifrs9"] = Field("cecl", description="the standard whose allowance is posted")
    probable_threshold: Fraction = Field(Decimal("0.75"), description="probability that ASC 450 reads as probable")
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
    loss_given_default: Fraction = Field(Decimal("0.60"), description="LGD before set-off and collateral")
    discount_rate: Rate = Field(Decimal("0.05"), description="effective rate where no curve is given")
    asset_correlation: Fraction = Field(
        Decimal("0.20"), description="loading of operators and tenants on the one factor, squared"
    )
    stressed_asset_correlation: Fraction = Field(Decimal("0.50"), description="the same in the stressed case")
    path_count: Annotated[int, Field(ge=100, le=10_000_000)] = Field(10_000, description="Monte Carlo paths")
    path_seed: Annotated[int, Field(ge=0)] = Field(20260701, description="seed of the Monte Carlo paths")
    materiality_amount: PositiveMoney = Field(Decimal(0), description="differences up to this are not alerted")


DEFAULTS = Policies()
