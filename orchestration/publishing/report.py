"""Read the published snapshot, draw the investor monitor in each of its forms, put them where readers look."""

import json
from datetime import date
from pathlib import Path

import duckdb

from orchestration.publishing.html import render_html
from orchestration.publishing.monitor import make_monitor
from orchestration.publishing.pdf import render_pdf
from orchestration.publishing.snapshot import DATABASE, MANIFEST
from orchestration.publishing.workbook import render_workbook


def write_monitor(published: Path, reports: Path, as_of: date | None = None) -> list[Path]:
    """Draw the monitor as ``<reports>/<as of>/monitor.html``, ``.pdf`` and ``.xlsx``; the paths written.

    Args:
        published: the folder of the published snapshot.
        reports: where reports stand.
        as_of: a day before that of the snapshot: its month and what came before it, as known by the snapshot.

    Raises:
        FileNotFoundError: nothing is published yet.
        ValueError: the day is later than that of the snapshot.
    """
    manifest = json.loads((published / MANIFEST).read_text(encoding="utf-8"))
    if as_of is not None:
        if as_of.isoformat() > str(manifest["as_of"]):
            raise ValueError(f"the snapshot ends on {manifest['as_of']}: nothing is known yet of {as_of.isoformat()}")
        manifest["as_of"] = as_of.isoformat()
    with duckdb.connect(str(published / DATABASE), read_only=True) as connection:
        connection.execute("SET TimeZone='UTC'")
        tables = {name: connection.sql(f"SELECT * FROM {name}").pl() for name in manifest["tables"]}
    document = make_monitor(tables, manifest)
    folder = reports / str(manifest["as_of"])
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        "html": render_html(document).encode(),
        "pdf": render_pdf(document),
        "xlsx": render_workbook(document),
    }
    return [_put(folder / f"{document.name}.{ending}", content) for ending, content in drawn.items()]


def _put(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(content)
    temporary.replace(path)
    return path
