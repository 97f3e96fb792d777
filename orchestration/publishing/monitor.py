"""The investor monitor: what a snapshot says to an investor, as one document.

Pure: frames and a manifest in, a document out. No clock, no file of the home, no network.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl

from orchestration.publishing.document import Document
from orchestration.publishing.html import render_html
from orchestration.publishing.page import Section
from orchestration.publishing.sections import backstop, credit, operations, record, risk, share, watch
from orchestration.publishing.sections.headline import Answer, Headline, headline
from orchestration.publishing.view import CannotCompute, View, make_view

NAME, KIND = "monitor", "investor monitor"
SECTIONS: tuple[Callable[[View], Section], ...] = (
    operations.programme,
    operations.capacity,
    share.section,
    backstop.section,
    credit.receivables,
    credit.credit_loss,
    risk.distribution,
    risk.concentration,
    risk.stress,
    watch.rates,
    risk.deals,
    watch.lock_in,
    record.quality,
    record.metrics,
    record.terms,
)


def make_monitor(tables: dict[str, pl.DataFrame], manifest: dict[str, Any]) -> Document:
    """The monitor of a snapshot.

    tables: published frames by "<schema>.<table>" with the columns of PUBLISHED.md; any may be missing, and what rests
    on a missing one says so. manifest: run_id, as_of (ISO date), known_at (ISO instant), is_simulated, simulation_note,
    title, versions, tables; all optional. Money is in the currency of its row, hours are GPU-hours, months first days.
    """
    try:
        view = make_view(tables, manifest)
    except CannotCompute as reason:
        # Without a date nothing else can be said; the page still opens and says why.
        return Document(
            NAME,
            KIND,
            View({}, manifest, date.min, None),
            Headline([Answer("As of when?", "", reason=str(reason))]),
            [],
        )
    first = headline(view)
    sections = [make(view) for make in SECTIONS]
    sections += [record.method(view, first.queries), watch.inputs(view)]
    return Document(NAME, KIND, view, first, sections)


def render_monitor(tables: dict[str, pl.DataFrame], manifest: dict[str, Any]) -> str:
    """The monitor as one page of HTML."""
    return render_html(make_monitor(tables, manifest))
