"""What parkledger runs on: every locked dependency with version, hashes and licence, as a table and as an SBOM.

Read from `requirements.lock` and from what is installed; nothing is asked of a network. The bill of materials is
CycloneDX 1.6 JSON, the same bytes for the same lock: no time of making, a serial number that follows from the lock.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from orchestration.settings import PROJECT_ROOT

LOCK = PROJECT_ROOT / "requirements.lock"
_PINNED = re.compile(
    r"^(?P<name>[A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]*))?"
)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")

# Licences under which code may be used by an Apache-2.0 product that is distributed with its locks alone: permissive
# ones, and those whose copyleft ends at their own files (MPL).
COMPATIBLE = {
    "0BSD", "Apache-2.0", "Artistic-1.0-Perl", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "MPL-2.0",
    "PSF-2.0", "Unlicense", "Zlib",
}  # fmt: skip
# What projects write in their metadata where they write no SPDX expression.
_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Apache Software License 2.0": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
# Read in their licence files: no metadata says it, or offers a choice, or they are installed on other systems only.
_BY_HAND = {
    "currencyconverter": "Apache-2.0",
    "psutil": "BSD-3-Clause",
    "pyreadline3": "BSD-3-Clause",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "pywin32": "PSF-2.0",
    "text-unidecode": "Artistic-1.0-Perl",
    "uvloop": "MIT OR Apache-2.0",
}


@dataclass(frozen=True)
class Dependency:
    """One locked dependency.

    Attributes:
        name, version: as locked.
        marker: where it is installed; empty for everywhere.
        hashes: SHA-256 of every file that may be installed.
        licence: SPDX expression; empty where nothing says it.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    licence: str

    @property
    def is_compatible(self) -> bool:
        """Whether some choice that the licence offers lies within what may be used."""
        choices = [re.findall(r"[\w.-]+", part.replace(" AND ", " ")) for part in _alternatives(self.licence)]
        return any(names and set(names) <= COMPATIBLE for names in choices)


def _alternatives(expression: str) -> list[str]:
    """Parts of an SPDX expression of which one is enough; a choice in brackets within a sum is taken apart."""
    inner = re.search(r"\(([^()]* OR [^()]*)\)", expression)
    if inner:
        return [
            whole for choice in inner[1].split(" OR ") for whole in _alternatives(expression.replace(inner[0], choice))
        ]
    return expression.split(" OR ")


def _licence(name: str) -> str:
    if name in _BY_HAND:
        return _BY_HAND[name]
    try:
        about: dict[str, Any] = metadata.metadata(name).json
    except metadata.PackageNotFoundError:
        return ""
    if expression := about.get("license_expression"):
        return str(expression)
    classified = [c.split("::")[-1].strip() for c in about.get("classifier", []) if c.startswith("License ::")]
    said = [c for c in classified if c != "OSI Approved"] or [str(about.get("license", "")).strip()]
    return " AND ".join(sorted({_SPDX.get(one, one) for one in said if one}))


def locked(lock: Path = LOCK) -> list[Dependency]:
    """Every dependency of a lock, in its order.

    Raises:
        ValueError: a line pins a dependency without a hash.
    """
    found = []
    for block in re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8")):
        pinned = _PINNED.match(block)
        if not pinned:
            continue
        hashes = tuple(_HASH.findall(block))
        if not hashes:
            raise ValueError(f"{lock.name}: {pinned['name']} has no hash")
        name = pinned["name"].lower()
        found.append(Dependency(name, pinned["version"], (pinned["marker"] or "").strip(), hashes, _licence(name)))
    return found


def bill_of_materials(lock: Path = LOCK) -> dict[str, Any]:
    """The SBOM, CycloneDX 1.6: the product as its subject, each locked dependency as a component with hashes and licence."""
    version = metadata.version("parkledger")
    subject = {"type": "application", "bom-ref": "parkledger", "name": "parkledger", "version": version}
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{one.name}@{one.version}",
            "name": one.name,
            "version": one.version,
            "purl": f"pkg:pypi/{one.name}@{one.version}",
            "licenses": [{"expression": one.licence}],
            "hashes": [{"alg": "SHA-256", "content": digest} for digest in one.hashes],
            **({"properties": [{"name": "parkledger:marker", "value": one.marker}]} if one.marker else {}),
        }
        for one in locked(lock)
    ]
    digest = hashlib.sha256(lock.read_bytes() + version.encode()).hexdigest()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {"component": {**subject, "licenses": [{"license": {"id": "Apache-2.0"}}]}},
        "components": components,
        "dependencies": [{"ref": "parkledger", "dependsOn": [str(c["bom-ref"]) for c in components]}],
    }


def write_bill_of_materials(target: Path) -> Path:
    """Write the SBOM as JSON."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(bill_of_materials(), indent=2) + "\n", encoding="utf-8")
    return target
