"""Sheets for one reader each, from the same parts as the monitor: an operator's, a lender's certificate, a tenant's.

Pure: frames and a manifest in, a document out. A sheet sees only the rows of whom it is about.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from orchestration.publishing.document import Document
from orchestration.publishing.formats import clean
from orchestration.publishing.page import Block, Builder, Section, Table, build
from orchestration.publishing.sections import (
    backstop,
    credit,
    headline,
    lender,
    operations,
    record,
    risk,
    share,
    tenant,
    watch,
)
from orchestration.publishing.view import View, make_view, narrow, park_names, vendor_text

KINDS = ("operator", "lender", "tenant")
SHEET_PAGES = 2
Part = tuple[str, str, str, Sequence[tuple[str, Builder]]]


class NobodyKnownError(LookupError):
    """Nobody of that id is in the snapshot; the message names those who are."""


def make_sheet(tables: Mapping[str, pl.DataFrame], manifest: Mapping[str, Any], kind: str, who: str) -> Document:
    """The sheet of an operator, of the lender to a contract, or of a tenant.

    Args:
        tables: published frames by "<schema>.<table>".
        manifest: as for the monitor.
        kind: operator, lender or tenant.
        who: the operator's, the contract's or the tenant's id.

    Raises:
        NobodyKnownError: nobody of that id is in the snapshot.
        CannotCompute: the snapshot gives no date.
    """
    return _MAKERS[kind](make_view(tables, manifest), who)


def _operator(view: View, who: str) -> Document:
    row = _known(view.tables.get("core.dim_operator"), "operator_id", who, "operator")
    parks = _where(view.tables.get("core.dim_park"), "operator_id", [who], "park_id")
    seen = narrow(view, _where(_contracts(view), "park_id", parks, "contract_id"), parks, [who])
    vendor = vendor_text(seen)
    answers = headline.answered(
        seen,
        [
            (f"What does it owe {vendor}?", "receivable and accrued share", "", headline.owed),
            (f"What might {vendor} have to buy?", "maximum backstop exposure, undiscounted", "", headline.might_buy),
            ("What breaks first?", "least covenant headroom", "", headline.breaks_first),
            ("How sure is that?", "of the terms in force are assumed, not public", "", headline.how_sure),
        ],
    )
    moves, lacking = headline.moved(seen)
    parts: list[Part] = [
        ("capacity", "Capacity", "How much is in service, and how much of it is let?", [("capacity", _first(operations.capacity_table))]),
        ("money", "Share and receivables", "What did the month earn, and what is unpaid?",
         [("the month's share", share.contract_table), ("use of the caps", backstop.caps), ("ageing", credit.ageing_table)]),
        ("debt", "Cash flow and covenants", "Does cash flow carry the debt, and with how much room?",
         [("cash flow", risk.operators), ("covenants", risk.covenants), ("what breaks it", risk.breaking)]),
        ("watch", "Stress and alerts", "What would hurt, and what is on the wrong side of a rule?",
         [("stress", risk.stress_table), ("alerts", record.alerts)]),
    ]  # fmt: skip
    first = headline.Headline(answers, moves, lacking)
    return Document(
        _file_name("operator", who),
        "operator sheet",
        seen,
        first,
        _sections(seen, parts),
        clean(row["operator_name"] or who),
        SHEET_PAGES,
    )


def _lender(view: View, who: str) -> Document:
    row = _known(_contracts(view), "contract_id", who, "booked contract")
    seen = narrow(view, [who], [row["park_id"]], [row["operator_id"]])
    answers = headline.answered(
        seen,
        [
            ("Are the covenants kept?", "covenants are kept", "", lender.verdict),
            ("Which breaks first?", "least covenant headroom", "", headline.breaks_first),
            ("What stands behind the debt?", "maximum backstop exposure, undiscounted", "", headline.might_buy),
            ("How sure is that?", "of the terms in force are assumed, not public", "", headline.how_sure),
        ],
    )
    parts: list[Part] = [
        ("tests", "Tests", "What is required, what is measured, how much room is left?",
         [("the tests", lender.tests), ("what breaks them", risk.breaking)]),
        ("figures", "Figures behind the tests", "What are the ratios made of?",
         [("cash flow and debt", lender.cash_flow), ("values by month", lender.history), ("prior periods restated", watch.restatements)]),
        ("support", "Support and protection", "What does the vendor stand behind, and what has the lender in hand?",
         [("what is agreed", lender.protections), ("use of the caps", backstop.caps), ("pledges and exit", watch.ties)]),
        ("signing", "Certification", "On what does this rest, and who signs?", [("certification", lender.attestation)]),
    ]  # fmt: skip
    about = f"{park_names(seen).get(row['park_id'], clean(row['park_id']))}, {clean(who)}"
    return Document(
        _file_name("certificate", who),
        "covenant certificate",
        seen,
        headline.Headline(answers),
        _sections(seen, parts),
        about,
        SHEET_PAGES,
    )


def _tenant(view: View, who: str) -> Document:
    row = _known(view.tables.get("core.dim_tenant"), "tenant_id", who, "tenant")
    rented = view.tables["core.dim_lease"].filter(pl.col("tenant_id") == who)
    parks = sorted(rented["park_id"].drop_nulls().unique())
    operators = _where(view.tables.get("core.dim_park"), "park_id", parks, "operator_id")
    seen = narrow(view, sorted(rented["contract_id"].drop_nulls().unique()), parks, operators)
    # Of leases and bills only its own: a tenant's sheet says nothing of another tenant.
    own = {"core.dim_lease": rented, "metering.fct_lease_revenue_day": _bills(view, rented)}
    seen = replace(seen, tables={**seen.tables, **own})
    answers = headline.answered(
        seen,
        [
            ("What is rented?", "GPUs under lease", "", tenant.rented),
            ("How much hangs on one vendor?", "of the GPUs rented", "", tenant.one_vendor),
            ("What if the operator fails?", "of its covenants are breached now", "", tenant.operator_fails),
            ("What would leaving cost?", "still to be paid by reserved leases", "", tenant.leaving),
        ],
    )
    parts: list[Part] = [
        ("leases", "Leases and service", "What is rented, and what was used of it?",
         [("who stands behind", tenant.said_in_words), ("leases", tenant.leases_table), ("service", tenant.service)]),
        ("exit", "Exit and triggers", "How may the deal behind the park end, and when must the vendor buy?",
         [("exit clauses", tenant.exits), ("backstop triggers", tenant.triggers)]),
        ("limits", "Collateral and portability", "What may not be pledged, and may workloads move?",
         [("limits on collateral", tenant.pledges), ("portability", tenant.portability), ("concentration on one vendor", watch.ties)]),
        ("operator", "The operator", "Can the operator carry its debt?", [("covenants", risk.covenants)]),
    ]  # fmt: skip
    return Document(
        _file_name("tenant", who),
        "tenant and CIO sheet",
        seen,
        headline.Headline(answers),
        _sections(seen, parts),
        clean(row["tenant_name"] or who),
        SHEET_PAGES,
    )


_MAKERS: Mapping[str, Callable[[View, str], Document]] = {"operator": _operator, "lender": _lender, "tenant": _tenant}


def _file_name(kind: str, who: str) -> str:
    """A name for the file: a tenant's id comes from a landing file and may hold anything, a path too."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", who).strip(".-")
    return f"{kind}-{who}" if plain == who else f"{kind}-{plain[:40]}-{hashlib.sha256(who.encode()).hexdigest()[:8]}"


def _bills(view: View, rented: pl.DataFrame) -> pl.DataFrame:
    bills = view.tables["metering.fct_lease_revenue_day"]
    return bills.filter(pl.col("lease_id").is_in(rented["lease_id"].unique().to_list()))


def _first(builder: Builder) -> Builder:
    return lambda view: builder(view)[:1]


def _sections(view: View, parts: Sequence[Part]) -> list[Section]:
    made = [build(view, ident, title, question, blocks) for ident, title, question, blocks in parts]
    return [replace(section, blocks=[_of_one(block) for block in section.blocks]) for section in made]


def _of_one(block: Block) -> Block:
    """A table of one row needs no total, what all rows say alike is said once above them, and a sheet folds nothing away."""
    if not isinstance(block, Table):
        return block
    plain = [row for row in block.rows if row.kind != "total"]
    shown = replace(block, rows=plain if len(plain) == 1 else block.rows, folded=False)
    for index, column in enumerate(shown.columns[1:]):
        said = {row.cells[index].text for row in plain}
        if column.head == "Contract" and len(said) == 1:
            rows = [replace(row, cells=[*row.cells[:index], *row.cells[index + 1 :]]) for row in shown.rows]
            columns = [*shown.columns[: index + 1], *shown.columns[index + 2 :]]
            unit = " · ".join(filter(None, [*said, shown.unit]))
            return replace(shown, columns=columns, rows=rows, unit=unit)
    return shown


def _known(frame: pl.DataFrame | None, key: str, who: str, what: str) -> dict[str, Any]:
    """The row of whom the sheet is about; raises NobodyKnownError where there is nobody."""
    known = pl.DataFrame(schema={key: pl.String}) if frame is None else frame
    found = known.filter(pl.col(key) == who)
    if found.is_empty():
        ids = ", ".join(clean(one) for one in known[key].unique().sort()) or "none is published"
        raise NobodyKnownError(f"{clean(who)} is no {what} of this snapshot: {ids}")
    return found.row(0, named=True)


def known_ids(tables: Mapping[str, pl.DataFrame], kind: str) -> list[str]:
    """Everybody that a sheet of this kind can be about."""
    table, key = {
        "operator": ("core.dim_operator", "operator_id"),
        "lender": ("core.dim_contract", "contract_id"),
        "tenant": ("core.dim_tenant", "tenant_id"),
    }[kind]
    frame = tables.get(table)
    if frame is None:
        return []
    return sorted((_only_booked(frame) if kind == "lender" else frame)[key].unique())


def _only_booked(contracts: pl.DataFrame) -> pl.DataFrame:
    """Contracts in the books; deals that are only compared stand in no sheet."""
    return contracts.filter(pl.col("is_booked")) if "is_booked" in contracts.columns else contracts


def _where(frame: pl.DataFrame | None, column: str, values: Sequence[str], wanted: str) -> list[str]:
    return [] if frame is None else sorted(frame.filter(pl.col(column).is_in(values))[wanted].drop_nulls().unique())


def _contracts(view: View) -> pl.DataFrame | None:
    frame = view.tables.get("core.dim_contract")
    return None if frame is None else _only_booked(frame)
