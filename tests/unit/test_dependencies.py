"""What the product runs on: pinned by hash, lawful to use, and written down as a bill of materials."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from orchestration.dependencies import Dependency, bill_of_materials, locked, write_bill_of_materials

REPOSITORY = Path(__file__).resolve().parents[2]


def test_every_locked_dependency_has_hashes_and_no_lock_names_an_address() -> None:
    locks = [*REPOSITORY.glob("requirements*.lock"), *(REPOSITORY / "tests").rglob("*.lock")]
    assert len(locks) >= 6
    for lock in locks:
        text = lock.read_text()
        assert locked(lock)
        assert not re.search(r"https?://|--index-url|--find-links|@ file", text)


def test_every_installation_of_the_makefile_enforces_the_hashes() -> None:
    installs = [line for line in (REPOSITORY / "Makefile").read_text().splitlines() if "pip install" in line]
    assert len(installs) >= 3
    for line in installs:
        assert "--require-hashes -r requirements" in line or "--no-deps --no-build-isolation --editable ." in line


def test_the_licence_of_every_dependency_is_known_and_goes_with_ours() -> None:
    bad = [(one.name, one.licence) for one in locked() if not one.is_compatible]
    assert bad == []


@pytest.mark.parametrize(
    ("licence", "good"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("", False),
        ("MIT OR GPL-2.0-only", True),
        ("MPL-2.0 AND (Apache-2.0 OR GPL-3.0-only)", True),
        ("MIT AND GPL-3.0-only", False),
        ("Proprietary", False),
    ],
)
def test_a_licence_is_judged_by_the_choices_that_it_offers(licence: str, good: bool) -> None:
    assert Dependency("x", "1", "", ("0" * 64,), licence).is_compatible is good


def test_every_declared_dependency_is_locked_and_in_the_bill_of_materials(tmp_path: Path) -> None:
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=\[ ]", one)[0].lower().replace(".", "-") for one in declared}
    written = json.loads(write_bill_of_materials(tmp_path / "sbom.cdx.json").read_text())
    assert names <= {component["name"].replace(".", "-") for component in written["components"]}
    assert written["bomFormat"] == "CycloneDX"
    assert written["specVersion"] == "1.6"
    assert written == json.loads(json.dumps(bill_of_materials())), "the same lock gives the same bytes"
    assert all(c["hashes"] and c["purl"] == c["bom-ref"] and c["licenses"] for c in written["components"])
    assert set(written["dependencies"][0]["dependsOn"]) == {c["bom-ref"] for c in written["components"]}


def test_a_lock_without_a_hash_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.lock").write_text("one==1.0 \\\n    --hash=sha256:" + "a" * 64 + "\ntwo==2.0\n")
    with pytest.raises(ValueError, match="two has no hash"):
        locked(tmp_path / "x.lock")


def test_nothing_of_the_tests_and_their_fault_points_is_built_into_a_wheel() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["packages"]["find"]["include"] == ["ingest*", "orchestration*"]
    for folder in ("ingest", "orchestration"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            assert "FAULT_AT" not in path.read_text(), path
