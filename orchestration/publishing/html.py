"""A document as one self-contained HTML page: no request, readable without scripts, its tables sortable with them.

Everything that came from a landing file is escaped by the templates (autoescape) and, where it stands in a drawing, by
the drawing itself. The page's policy allows the one script that stands here, by its hash, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from orchestration.publishing.charts import DARK, LIGHT
from orchestration.publishing.document import Document
from orchestration.publishing.formats import MISSING
from orchestration.publishing.page import grade_note
from orchestration.publishing.view import GRADES

SCRIPT = "tables.js"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("orchestration.publishing"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    environment.globals.update(grade_note=grade_note, grades=GRADES, missing=MISSING)
    return environment


def _breakable(text: str) -> Markup:
    """The text with places at which a narrow column may break a path: after a slash and an underscore."""
    return Markup(re.sub(r"([/_])", r"\1<wbr>", str(escape(text))))  # noqa: S704  escaped


def render_html(document: Document) -> str:
    """The document as one page of HTML."""
    environment = _environment()
    loader = environment.loader
    assert loader is not None  # noqa: S101  given above
    script = loader.get_source(environment, SCRIPT)[0].strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("monitor.html.j2").render(
        kind=document.kind,
        title=document.title,
        vendor=document.vendor,
        as_of=document.as_of,
        known_at=document.known_at,
        run_id=document.run_id,
        simulation=document.simulation,
        is_simulated=document.is_simulated,
        headline=document.headline,
        sections=document.sections,
        gaps=document.gaps,
        light=LIGHT,
        dark=DARK,
        script=Markup(script),  # noqa: S704  our own file
        script_hash=f"sha256-{digest}",
    )
