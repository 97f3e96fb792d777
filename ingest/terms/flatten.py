"""A contract's terms as a long list of single values with their evidence.

For fct_contract_terms and for the check that every value is graded.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from ingest.terms.checks import graded
from ingest.terms.contract import Contract, Version
from ingest.terms.scalars import Evidence, EvidenceMap, Model

# What names a list's item, in order of preference; items without a name are counted from 1.
_LABELS = ("share_id", "tier_no", "covenant_id", "advance_id")
_IDENTITY = {"contract_id", "vendor_id", "operator_id", "park_id", "versions", "evidence"}


@dataclass(frozen=True)
class Term:
    """One leaf of the schema.

    Attributes:
        instrument: `revenue_share`, `backstop` …, or `contract` for what stands outside the versions.
        term: dotted path inside the instrument (`tiers.2.rate`).
        value_text: the value as text: decimals plain, dates ISO, lists as JSON.
        is_explicit: written in the file; otherwise it is the default of the schema.
        evidence: the grade and source, if given.
    """

    instrument: str
    term: str
    value_text: str
    is_explicit: bool
    evidence: Evidence | None


def value_text(value: Any) -> str:
    """One value as text, the same on every machine."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return json.dumps({key: value_text(item) for key, item in value.items()})
    if isinstance(value, list):
        return json.dumps([value_text(item) if not isinstance(item, int | str) else item for item in value])
    return str(value)


def _leaves(model: Model, prefix: str, *, is_explicit: bool) -> Iterator[tuple[str, Any, bool]]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        path = prefix + (field.alias or name)
        explicit = is_explicit and name in model.model_fields_set
        if value is None or value == []:
            continue
        if isinstance(value, Model):
            yield from _leaves(value, path + ".", is_explicit=explicit)
        elif isinstance(value, list) and isinstance(value[0], Model):
            for position, item in enumerate(value, start=1):
                label = next((getattr(item, key) for key in _LABELS if hasattr(item, key)), position)
                yield from _leaves(item, f"{path}.{label}.", is_explicit=explicit)
        else:
            yield path, value, explicit


def _term(
    instrument: str, path: str, alternatives: tuple[str, ...], value: Any, evidence: EvidenceMap, *, is_explicit: bool
) -> Term:
    covering = [key for key in (graded(evidence, name) for name in (path, *alternatives)) if key]
    best = max(covering, key=len, default=None)
    term = path.removeprefix(instrument + ".")
    return Term(instrument, term, value_text(value), is_explicit, evidence[best] if best else None)


def contract_terms(contract: Contract) -> Iterator[Term]:
    """The terms outside the versions: parties, currency, dates."""
    for name in Contract.model_fields:
        value = getattr(contract, name)
        if name in {"versions", "evidence"} or value is None:
            continue
        term = _term("contract", name, (), value, contract.evidence, is_explicit=name in contract.model_fields_set)
        yield term


def version_terms(version: Version) -> Iterator[Term]:
    """The terms of the instruments that a version names."""
    for instrument in version.instruments():
        value = getattr(version, instrument)
        if isinstance(value, Model):
            for path, leaf, explicit in _leaves(value, f"{instrument}.", is_explicit=True):
                yield _term(instrument, path, (), leaf, version.evidence, is_explicit=explicit)
        for position, item in enumerate(value if isinstance(value, list) else [], start=1):
            label = next((str(getattr(item, key)) for key in _LABELS if hasattr(item, key)), str(position))
            # A single share needs no name in front of its terms.
            shown = "" if instrument == "revenue_share" and len(value) == 1 else f"{label}."
            for path, leaf, explicit in _leaves(item, "", is_explicit=True):
                others = (f"{instrument}.{label}.{path}", f"{instrument}.{path}")
                yield _term(
                    instrument, f"{instrument}.{shown}{path}", others, leaf, version.evidence, is_explicit=explicit
                )


def is_identity(term: Term) -> bool:
    """Whether a term only names things, so that it needs no evidence."""
    return (term.instrument == "contract" and term.term in _IDENTITY) or term.term.split(".")[-1] in {
        "share_id",
        "tier_no",
        "covenant_id",
        "advance_id",
    }
