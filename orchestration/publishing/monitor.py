"""The investor monitor: one self-contained HTML page from the published tables.

Pure: frames and a manifest in, text out. No clock, no file of the home, no network; the page needs none either.
Everything that came from a landing file is escaped by the templates (autoescape) and, where it stands in a drawing,
by the drawing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from orchestration.publishing.charts import DARK, LIGHT
from orchestration.publishing.formats import MAX_NOTE_LENGTH, clean, day_text, instant_text
from orchestration.publishing.page import Missing, Section, grade_note
from orchestration.publishing.sections import backstop, credit, operations, record, risk, share
from orchestration.publishing.sections.headline import Answer, Headline, headline
from orchestration.publishing.view import GRADES, CannotCompute, View, make_view, vendor_text

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
    risk.deals,
    record.quality,
    record.metrics,
    record.terms,
)


def render_monitor(tables: dict[str, pl.DataFrame], manifest: dict[str, Any]) -> str:
    """The monitor as one HTML document.

    tables: published frames by "<schema>.<table>" with the columns of PUBLISHED.md; any may be missing, and what rests
    on a missing one says so. manifest: run_id, as_of (ISO date), known_at (ISO instant), is_simulated, simulation_note,
    title, versions, tables; all optional. Money is in the currency of its row, hours are GPU-hours, months first days.
    """
    try:
        view = make_view(tables, manifest)
    except CannotCompute as reason:
        # Without a date nothing else can be said; the page still opens and says why.
        return _page(View({}, manifest, date.min, None), Headline([Answer("As of when?", "", reason=str(reason))]), [])
    first = headline(view)
    sections = [make(view) for make in SECTIONS]
    sections.append(record.method(view, first.queries))
    return _page(view, first, sections)


def _page(view: View, first: Headline, sections: list[Section]) -> str:
    environment = Environment(
        loader=PackageLoader("orchestration.publishing"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(grade_note=grade_note, grades=GRADES)
    manifest: Mapping[str, Any] = view.manifest
    return environment.get_template("monitor.html.j2").render(
        title=clean(manifest.get("title") or "parkledger monitor"),
        vendor=vendor_text(view),
        as_of=day_text(view.as_of) if view.as_of != date.min else None,
        known_at=instant_text(view.known_at) if view.known_at else None,
        run_id=clean(manifest["run_id"]) if manifest.get("run_id") else None,
        simulation=simulation_text(manifest),
        is_simulated=manifest.get("is_simulated"),
        headline=first,
        sections=sections,
        gaps=sum(isinstance(block, Missing) for section in sections for block in section.blocks),
        light=LIGHT,
        dark=DARK,
    )


def simulation_text(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """What the banner says of the data, and the home's own note: simulated, measured, or not stated (never silence)."""
    note = clean(manifest["simulation_note"], MAX_NOTE_LENGTH) if manifest.get("simulation_note") else ""
    state = manifest.get("is_simulated")
    if state is True:
        return "Simulation on public terms.", note
    if state is False:
        return "Measured feeds, none simulated.", note
    return "The manifest does not say whether feeds are measured or simulated.", note
