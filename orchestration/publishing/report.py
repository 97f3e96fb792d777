"""Read the published snapshot, draw a report in each of its forms, put it where readers look."""

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from orchestration.publishing.document import Document
from orchestration.publishing.html import render_html
from orchestration.publishing.manifest import manifest_of
from orchestration.publishing.monitor import make_monitor
from orchestration.publishing.pdf import render_pdf
from orchestration.publishing.sheets import KINDS, known_ids, make_sheet
from orchestration.publishing.snapshot import DATABASE
from orchestration.publishing.workbook import render_workbook


def write_monitor(published: Path, reports: Path, as_of: date | None = None, known_at: str = "") -> list[Path]:
    """Draw the monitor as ``<reports>/<as of>/monitor.html``, ``.pdf`` and ``.xlsx``; the paths written.

    Args:
        published: the folder of the published snapshot.
        reports: where reports stand.
        as_of: a day before that of the snapshot: its month and what came before it, as known by the snapshot.
        known_at: what the file's name says of the moment of knowledge, where it is not that of the home.

    Raises:
        FileNotFoundError: nothing is published yet.
        ValueError: the day is later than that of the snapshot.
    """
    tables, manifest = _read(published, as_of)
    return _write(make_monitor(tables, manifest), reports, manifest, known_at)


def write_sheets(
    published: Path, reports: Path, whose: tuple[str, str | None], as_of: date | None = None, known_at: str = ""
) -> list[Path]:
    """Draw the sheet of one operator, contract or tenant, or of every one; the paths written, as for the monitor.

    Args:
        published: as for the monitor.
        reports: as for the monitor.
        whose: kind (operator, lender or tenant), and the id; None for everybody.
        as_of: as for the monitor.
        known_at: as for the monitor.

    Raises:
        NobodyKnownError: nobody of that id is in the snapshot.
        FileNotFoundError, ValueError: as for the monitor.
    """
    tables, manifest = _read(published, as_of)
    kind, who = whose
    written = []
    for one in [who] if who is not None else known_ids(tables, kind):
        written += _write(make_sheet(tables, manifest, kind, one), reports, manifest, known_at)
    return written


def write_every_report(published: Path, reports: Path, as_of: date | None = None) -> list[Path]:
    """Draw the sheet of every operator, contract and tenant, and last the monitor: where that stands, all stand.

    Of whom nothing is known by then, and of a tenant that rents nothing, there is no sheet.

    Args, returns and raises: as for the monitor.
    """
    tables, manifest = _read(published, as_of)
    written = []
    for kind in KINDS:
        for one in known_ids(tables, kind):
            sheet = make_sheet(tables, manifest, kind, one)
            # What a tenant rents comes first; of its operator something may be known before.
            asked = sheet.headline.answers[:1] if kind == "tenant" else sheet.headline.answers
            if any(not answer.reason for answer in asked):
                written += _write(sheet, reports, manifest, "")
    return written + _write(make_monitor(tables, manifest), reports, manifest, "")


def _read(published: Path, as_of: date | None) -> tuple[dict[str, pl.DataFrame], dict[str, Any]]:
    manifest = manifest_of(published)
    if as_of is not None:
        if as_of.isoformat() > str(manifest["as_of"]):
            raise ValueError(f"the snapshot ends on {manifest['as_of']}: nothing is known yet of {as_of.isoformat()}")
        manifest["as_of"] = as_of.isoformat()
    with duckdb.connect(str(published / DATABASE), read_only=True) as connection:
        connection.execute("SET TimeZone='UTC'")
        return {name: connection.sql(f"SELECT * FROM {name}").pl() for name in manifest["tables"]}, manifest


def _write(document: Document, reports: Path, manifest: dict[str, Any], known_at: str) -> list[Path]:
    folder = reports / str(manifest["as_of"])
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        "html": render_html(document).encode(),
        "pdf": render_pdf(document),
        "xlsx": render_workbook(document),
    }
    name = f"{document.name}-known-{known_at}" if known_at else document.name
    return [_put(folder / f"{name}.{ending}", content) for ending, content in drawn.items()]


def _put(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(content)
    temporary.replace(path)
    return path
