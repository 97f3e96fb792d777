"""Where the real files lie. Without them these tests are skipped aloud; under CI their absence is a failure."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
VARIABLE = "PARKLEDGER_REAL_DATA"


def real_data() -> Path | None:
    """The folder of real files: PARKLEDGER_REAL_DATA, or shared/data beside the repository; None if there is none."""
    folder = Path(os.environ.get(VARIABLE) or REPOSITORY.parent / "shared" / "data")
    return folder if (folder / "README.md").is_file() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="session")
def source() -> Path:
    folder = real_data()
    if folder is not None:
        return folder
    reason = f"the real files are not there: set {VARIABLE} to their folder"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    return pytest.skip(reason)
