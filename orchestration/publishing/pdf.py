"""A document on paper: PDF through typst, tagged for screen readers (PDF/UA-1), the same bytes for the same document.

The template is ours and fixed; what varies travels as JSON, so that no name from a landing file is ever read as markup.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from orchestration.publishing.charts import WIDTH
from orchestration.publishing.document import Document
from orchestration.publishing.formats import number
from orchestration.publishing.page import LONG_TEXT, Block, Cell, Drawings, Facts, Missing, Prose, Table, grade_note
from orchestration.publishing.typesetting import typeset
from orchestration.publishing.view import GRADES, Evidence

# A column of longer text, or with a longer reason of a missing figure, is broken: it shares what the others leave with
# its like, in proportion to its longest text up to a bound.
LONG_REASON, WIDEST_SHARE = 24, 60
# Letters on paper are wider than on the page: labels at a chart's right edge need this much more, in its own units.
LABEL_ROOM = 10


# How much smaller than usual a document may be set to fit on its pages; the smallest letters stay above five points.
DENSITIES = (1.0, 0.93, 0.87)


def render_pdf(document: Document) -> bytes:
    """The document as PDF on A4; simulated data is marked at the head of every page.

    One that is to fit on some pages is set closer until it does; where even the closest does not help, as usual.
    """
    stamp = document.view.known_at or datetime(2000, 1, 1, tzinfo=UTC)
    plain = _plain_document(document)
    made = [typeset("document.typ", "document", {**plain, "density": DENSITIES[0]}, stamp)]
    if document.fits_pages is not None:
        for density in DENSITIES[1:]:
            if _page_count(made[-1]) <= document.fits_pages:
                return made[-1]
            made.append(typeset("document.typ", "document", {**plain, "density": density}, stamp))
        if _page_count(made[-1]) <= document.fits_pages:
            return made[-1]
    return made[0]


def _page_count(made: bytes) -> int:
    """How many pages typst says that it made: the root of its page tree stands uncompressed in the file."""
    found = re.search(rb"/Type/Pages/Count (\d+)", made)
    assert found is not None  # noqa: S101  what typst writes
    return int(found[1])


def _plain_document(document: Document) -> dict[str, Any]:
    first = document.headline
    return {
        "kind": document.kind,
        "title": document.title,
        "as_of": document.as_of or "n/a",
        "known_at": document.known_at or "n/a",
        "run_id": document.run_id or "n/a",
        "simulation": list(document.simulation),
        "is_simulated": document.is_simulated,
        "grades": [[grade, meaning] for grade, meaning in GRADES.items()],
        "answers": [
            {
                "question": answer.question,
                "reason": answer.reason,
                "values": [value.text for value in answer.values],
                "measure": ", ".join(filter(None, [answer.measure, answer.as_of])),
                "bad": answer.tone == "bad",
                "rests": _rests(answer.evidence),
                "facts": [[fact.name, fact.value, fact.note, fact.tone] for fact in answer.facts],
            }
            for answer in first.answers
        ],
        "months": list(first.months) if first.moves else ["Before", "Now"],
        "nothing_moves": first.nothing_moves,
        "moves": [[move.name, move.before_text, move.after_text, move.change_text, _why(move)] for move in first.moves]
        + [[name, "n/a", "n/a", "n/a", reason] for name, reason in first.moves_missing],
        "sections": [
            {
                "title": section.title,
                "question": section.question,
                "blocks": [_plain_block(block) for block in section.blocks],
            }
            for section in document.sections
        ],
    }


def _why(move: Any) -> str:
    effects = [f"{name} {shown}" for name, _, shown in move.shown_effects()]
    said = ", ".join(effects) or "no effect above the last place shown"
    return f"{move.because}: {said}" if move.because else said


def _rests(found: Evidence | None) -> list[str]:
    return [found.grade, grade_note(found)] if found else []


def _plain_block(block: Block) -> dict[str, Any]:
    if isinstance(block, Table):
        return _plain_table(block)
    if isinstance(block, Drawings):
        items = [
            {
                "svg": _standalone(str(item.chart.svg)),
                "alt": item.chart.description,
                "title": item.chart.title,
                "unit": item.unit,
                "source": item.source,
                "note": item.note,
                "rests": _rests(item.evidence),
            }
            for item in block.items
        ]
        return {"block": "drawings", "heading": block.heading, "items": items}
    if isinstance(block, Facts):
        return {
            "block": "prose",
            "sentences": [f"{fact.name}: {fact.value} {fact.note}".strip() for fact in block.items],
        }
    if isinstance(block, Prose):
        return {"block": "prose", "sentences": list(block.sentences)}
    assert isinstance(block, Missing)  # noqa: S101  no other kind
    return {"block": "prose", "sentences": [f"Cannot be computed: {block.what}. n/a — {block.reason}."]}


def _plain_table(table: Table) -> dict[str, Any]:
    if not table.on_paper:
        said = (
            f"{table.caption}: {number(len(table.rows))} rows stand on the page and in the workbook ({table.source})."
        )
        return {"block": "prose", "sentences": [said]}
    return {
        "block": "table",
        "caption": table.caption,
        "unit": " · ".join(filter(None, [table.unit, table.as_of])),
        "columns": [
            {"head": column.head, "unit": column.unit, "is_number": column.kind == "number", "share": share}
            for column, share in zip(table.columns, _shares(table), strict=True)
        ],
        "rows": [
            {"is_total": row.kind == "total", "cells": [_plain_cell(cell) for cell in (row.head, *row.cells)]}
            for row in table.rows
        ],
        "notes": list(table.notes),
        "source": table.source,
        "rests": _rests(table.evidence),
    }


def _shares(table: Table) -> list[int]:
    """Each column's part of the room that the others leave; 0 where it takes what it needs."""
    shares = [
        min(width, WIDEST_SHARE) if width > (LONG_REASON if column.kind == "number" else LONG_TEXT) else 0
        for column, width in zip(table.columns, table.widths, strict=True)
    ]
    sharing = [index for index, share in enumerate(shares) if share]
    if len(sharing) == 1 and table.columns[sharing[0]].kind == "number":
        return [0] * len(shares)
    return shares


def _plain_cell(cell: Cell) -> dict[str, Any]:
    plain: dict[str, Any] = {"text": cell.text, "kind": cell.kind, "grade": cell.grade, "tone": cell.tone}
    if cell.svg:
        plain["svg"] = _standalone(str(cell.svg))
    return plain


def _standalone(svg: str) -> str:
    """A drawing that stood inside a page, as a file of its own, with room for its labels."""
    svg = svg.replace(f'viewBox="0 0 {WIDTH} ', f'viewBox="0 0 {WIDTH + LABEL_ROOM} ', 1)
    return svg if "xmlns=" in svg else svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
