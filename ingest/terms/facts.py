"""Which figures of an operator's statements a contract's terms rest on. Whether they are told belongs to who reads the tables."""

from collections.abc import Iterator

from ingest.terms.contract import Contract
from ingest.terms.yaml_source import KeyPath

_OF_SETTLEMENT = {
    "debt_service_shortfall": ("debt_service_due", "debt_service_paid"),
    "lease_payment": ("lease_payment_due", "lease_payment_paid"),
}


def facts_needed(contract: Contract) -> Iterator[tuple[KeyPath, str]]:
    """The key of each term that rests on a statement, and an item of reference/operator_facts.csv that it needs."""
    for number, version in enumerate(contract.versions):
        at: KeyPath = ("versions", number)
        for block, share in enumerate(version.revenue_share or []):
            if share.base_measure == "ebitda":
                yield (*at, "revenue_share", block, "base_measure"), "operating_cost"
            for place, criterion in enumerate(share.activation):
                if criterion.metric == "dscr":
                    path = (*at, "revenue_share", block, "activation", place, "metric")
                    yield path, "cash_for_debt_service"
                    yield path, "debt_service_due"
        if version.backstop is not None:
            for item in _OF_SETTLEMENT.get(version.backstop.settlement_type, ()):
                yield (*at, "backstop", "settlement_type"), item
