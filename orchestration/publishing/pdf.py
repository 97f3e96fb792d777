"""A document on paper: PDF through typst, tagged for screen readers (PDF/UA-1), the same bytes for the same document.

The template is ours and fixed; what varies travels as JSON, so that no name from a landing file is ever read as markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from orchestration.publishing.document import Document
from orchestration.publishing.page import Block, Cell, Drawings, Facts, Missing, Prose, Table, grade_note
from orchestration.publishing.typesetting import typeset
from orchestration.publishing.view import GRADES, Evidence

# Words in a column of this many signs ask for room that the other columns do not need.
LONG_TEXT = 34


def render_pdf(document: Document) -> bytes:
    """The document as PDF on A4; simulated data is marked at the head of every page."""
    stamp = document.view.known_at or datetime(2000, 1, 1, tzinfo=UTC)
    return typeset("document.typ", "document", _plain_document(document), stamp)


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
        "months": list(first.months) if first.moves else ["", ""],
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
    lines: list[Sequence[Cell]] = [[row.head, *row.cells] for row in table.rows]
    widest = [max((len(line[i].text) for line in lines if i < len(line)), default=0) for i in range(len(table.columns))]
    return {
        "block": "table",
        "caption": table.caption,
        "unit": " · ".join(filter(None, [table.unit, table.as_of])),
        "columns": [
            {
                "head": column.head,
                "unit": column.unit,
                "is_number": column.kind == "number",
                "is_long": column.kind != "number" and width > LONG_TEXT,
            }
            for column, width in zip(table.columns, widest, strict=True)
        ],
        "rows": [
            {"is_total": row.kind == "total", "cells": [_plain_cell(cell) for cell in (row.head, *row.cells)]}
            for row in table.rows
        ],
        "notes": list(table.notes),
        "source": table.source,
        "rests": _rests(table.evidence),
    }


def _plain_cell(cell: Cell) -> dict[str, Any]:
    plain: dict[str, Any] = {"text": cell.text, "kind": cell.kind, "grade": cell.grade, "tone": cell.tone}
    if cell.svg:
        plain["svg"] = _standalone(str(cell.svg))
    return plain


def _standalone(svg: str) -> str:
    """A drawing that stood inside a page, as a file of its own."""
    return svg if "xmlns=" in svg else svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
