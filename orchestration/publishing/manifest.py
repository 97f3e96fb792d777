"""The manifest of a snapshot: of which run it is, as of when, and its tables with their hashes."""

import json
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


class DamagedManifestError(RuntimeError):
    """A manifest cannot be read."""


def manifest_of(folder: Path) -> dict[str, Any]:
    """The manifest of a published or an earlier snapshot.

    Raises:
        DamagedManifestError: names the file; `parkledger verify --repair` says what would be done.
        FileNotFoundError: there is none.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DamagedManifestError(f"{path} cannot be read: {error}") from error
    if not isinstance(manifest, dict):
        raise DamagedManifestError(f"{path} cannot be read: it is no manifest")
    return manifest
