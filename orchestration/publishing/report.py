"""Read the published snapshot, render the investor monitor, put it where readers look."""

import json
from pathlib import Path

import duckdb

from orchestration.publishing.monitor import render_monitor
from orchestration.publishing.snapshot import DATABASE, MANIFEST


def write_monitor(published: Path, reports: Path) -> Path:
    """Draw the monitor of the published snapshot as ``<reports>/<as of>/monitor.html``; the path written.

    Raises:
        FileNotFoundError: nothing is published yet.
    """
    manifest = json.loads((published / MANIFEST).read_text(encoding="utf-8"))
    with duckdb.connect(str(published / DATABASE), read_only=True) as connection:
        connection.execute("SET TimeZone='UTC'")
        tables = {name: connection.sql(f"SELECT * FROM {name}").pl() for name in manifest["tables"]}
    path = reports / str(manifest["as_of"]) / "monitor.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(render_monitor(tables, manifest), encoding="utf-8")
    temporary.replace(path)
    return path
