"""A manifest is read, or named as damaged."""

from pathlib import Path

import pytest

from orchestration.publishing.manifest import MANIFEST, DamagedManifestError, manifest_of


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"run_id": "\xff"}'])
def test_a_manifest_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(DamagedManifestError, match=f"{tmp_path}/{MANIFEST} cannot be read"):
        manifest_of(tmp_path)
