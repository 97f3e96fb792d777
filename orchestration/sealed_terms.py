"""Terms against the seals: what was in force when a month was sealed is not written over.

A closed month's statement names the terms that it was stated with. A later agreement, or a mistake found later, is an
amendment: a version of its own, with the instant from which it was known. How terms are read does not belong here.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import polars as pl

from ingest import kept_journal
from ingest.terms.contract import Contract
from ingest.terms.errors import Problem, TermsError
from ingest.terms.flatten import contract_terms, version_terms
from ingest.terms.home import Home
from ingest.terms.tables import known_at
from ingest.terms.yaml_source import YamlSource, read_yaml

# Of what stands outside the versions, what would restate every month; a contract may be signed or end another day.
_FIXED = ("vendor_id", "park_id", "currency_code", "service_commencement_date")
_REMEDY = (
    "put it back as it was and add an amendment with its own valid_from and the recorded_at at which it came to be known; "
    "or open the month first: parkledger close MONTH --reopen --reason …"
)


def refuse_changes(home: Home) -> None:
    """Raises :class:`TermsError` where :func:`changes` finds anything, with what is wrong in the files themselves."""
    found = list(changes(home))
    if found:
        raise TermsError((*found, *(fault for fault in home.problems if fault.file.startswith("contracts/"))))


def contract_sources(home: Path) -> Iterator[YamlSource]:
    """Every contract file of a home that is YAML."""
    for path in sorted((home / "contracts").glob("*.yaml")):
        source = read_yaml(path, f"contracts/{path.name}")
        if isinstance(source, YamlSource):
            yield source


def changes(home: Home) -> Iterator[Problem]:
    """Terms known at a seal that stands and that the file no longer has, has otherwise, or has more of."""
    seals = _standing_seals(home)
    for contract_id in sorted(seals.keys() - home.contracts.keys()):
        yield Problem(
            "contracts/",
            0,
            contract_id,
            f"its books are sealed up to {seals[contract_id][0]:%Y-%m}, and no file gives its terms, or the file has faults",
            "mend the file or put it back: books without it would not be those that were sealed",
        )
    kept = kept_journal.read(home.path, "terms") if seals else None
    if kept is None or kept.is_empty():
        return
    for source in contract_sources(home.path):
        contract = home.contracts.get(str(source.values.get("contract_id")))
        if contract is None or contract.contract_id not in seals:
            continue
        month, closed_at, batch_no = seals[contract.contract_id]
        then = {
            (row["amendment_id"], row["instrument"], row["term"]): row["value_text"]
            for row in kept.filter(
                (pl.col("contract_id") == contract.contract_id)
                & (pl.col("posting_month") == month)
                & (pl.col("batch_no") == batch_no)
            ).iter_rows(named=True)
        }
        if then:
            yield from _differences(source, contract, then, closed_at, f"{month:%Y-%m}")


def _standing_seals(home: Home) -> dict[str, tuple[datetime, datetime, int]]:
    """Per contract the last month that is sealed and was not opened again since: month, close, batch."""
    reopened = kept_journal.reopenings(home.path)
    found = {}
    closes = kept_journal.read(home.path, "closes").filter(pl.col("is_sealed") & (pl.col("closed_at") <= home.clock_at))
    for row in closes.sort("posting_month", "reopening_no", "batch_no", descending=[False, False, True]).iter_rows(
        named=True
    ):
        is_open = any(
            act.contract_id == row["contract_id"]
            and act.posting_month <= row["posting_month"]
            and act.reopened_at > row["closed_at"]
            for act in reopened
        )
        if not is_open:
            found[row["contract_id"]] = (row["posting_month"], row["closed_at"], row["batch_no"])
    return found


def _differences(
    source: YamlSource, contract: Contract, then: dict[tuple[str, str, str], str], closed_at: datetime, month: str
) -> Iterator[Problem]:
    when = f"when {month} was sealed"
    amendments = {amendment for amendment, instrument, _ in then if instrument != "contract"}
    for term in contract_terms(contract):
        before = next(
            (value for (_, instrument, name), value in then.items() if (instrument, name) == ("contract", term.term)),
            None,
        )
        if term.term in _FIXED and before not in {None, term.value_text}:
            yield source.problem((term.term,), f"was {before} {when}, and is {term.value_text}", f"write {before}")
    for position, version in enumerate(contract.versions):
        at = ("versions", position)
        if version.amendment_id not in amendments:
            if known_at(version) <= closed_at:
                yield source.problem(
                    (*at, "recorded_at" if version.recorded_at else "valid_from"),
                    f"{version.amendment_id} is said to be known at the close of {month} ({closed_at:%Y-%m-%d}), sealed without it",
                    "write as recorded_at when it came to be known; months before that are corrected in the open month",
                )
            continue
        now = {(term.instrument, term.term): term for term in version_terms(version)}
        for (amendment, instrument, name), before in sorted(then.items()):
            if amendment == version.amendment_id and instrument != "contract":
                after = now[instrument, name].value_text if (instrument, name) in now else None
                if after != before:
                    said = f"is {after}" if after is not None else "is gone"
                    yield source.problem(
                        (*at, instrument), f"{name} of {amendment} was {before} {when}, and {said}", _REMEDY
                    )
        for (instrument, name), term in sorted(now.items()):
            if term.is_explicit and (version.amendment_id, instrument, name) not in then:
                said = f"{name} of {version.amendment_id} was not agreed {when}, and is {term.value_text}"
                yield source.problem((*at, instrument), said, _REMEDY)
    for gone in sorted(amendments - {version.amendment_id for version in contract.versions}):
        yield source.problem(("versions",), f"{gone} was in force or agreed {when}, and is gone", _REMEDY)
