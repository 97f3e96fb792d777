"""What the code version covers: every kind of file that can change a figure or a page."""

from pathlib import Path

import pytest

from orchestration import identity
from orchestration.settings import DBT_PROJECT, PROJECT_ROOT

NO_CODE = {".pyc"}


def test_every_kind_of_file_in_the_code_folders_is_part_of_the_code_version() -> None:
    found = {f.suffix for folder in identity.CODE_FOLDERS for f in folder.rglob("*") if f.is_file()}
    assert found - NO_CODE <= identity.CODE_SUFFIXES
    assert {".typ", ".js", ".j2", ".csv", ".sql", ".py"} <= found


@pytest.mark.parametrize("name", ["document.typ", "tables.js", "monitor.html.j2", "rates.csv", "model.sql", "job.py"])
def test_a_changed_template_or_table_changes_the_code_version(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(identity, "CODE_FOLDERS", (tmp_path,))
    (tmp_path / name).write_text("one")
    before = identity.code_version()
    (tmp_path / name).write_text("two")
    assert identity.code_version() != before


def test_the_code_folders_are_there() -> None:
    assert all(folder.is_dir() and folder.is_relative_to(PROJECT_ROOT) for folder in identity.CODE_FOLDERS)
    assert DBT_PROJECT / "models" in identity.CODE_FOLDERS
