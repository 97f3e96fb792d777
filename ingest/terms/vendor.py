"""Vendors: name, issuer and fiscal calendar. NVIDIA is built in; a file of the same id replaces it."""

from typing import Annotated, Literal

from pydantic import Field

from ingest.terms.scalars import EvidenceMap, Identifier, Model, Text


class FiscalYearEnd(Model):
    """The last day of the vendor's fiscal year: the last such weekday of a month, or the month's end."""

    month: Annotated[int, Field(ge=1, le=12)]
    rule: Literal["last_sunday", "last_saturday", "last_friday", "month_end"]


class Vendor(Model):
    """Who sells the hardware, earns the share and gives the backstop."""

    vendor_id: Identifier
    vendor_name: Text
    issuer_id: Identifier | None = None
    fiscal_year_end: FiscalYearEnd
    evidence: EvidenceMap = Field(default_factory=dict)


# NVIDIA's fiscal year ends on the last Sunday of January (its Form 10-K, note 1).
BUILT_IN: dict[str, Vendor] = {
    "nvidia": Vendor(
        vendor_id="nvidia",
        vendor_name="NVIDIA Corporation",
        issuer_id="nvidia",
        fiscal_year_end=FiscalYearEnd(month=1, rule="last_sunday"),
    )
}
