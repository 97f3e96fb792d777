"""Where the real files lie, and the list of facts found in them that is printed at the end.

Without the files these tests are skipped aloud; under CI their absence is a failure.
"""

import os
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[2]
VARIABLE = "PARKLEDGER_REAL_DATA"
sys.path.insert(0, str(REPOSITORY / "tests" / "unit"))

Figure = Decimal | int
FACT = "fact of a real file"


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


@pytest.fixture
def pinned(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Hold one fact of the real files, and note it for the list at the end: folder, fact, expected, found, tolerance."""

    def hold(folder: str, fact: str, expected: Figure, found: Figure | None, tolerance: Figure = 0) -> None:
        holds = found is not None and abs(found - expected) <= tolerance
        # Properties travel from pytest's processes to the one that prints the list.
        told = "n/a" if found is None else f"{found:,}"
        request.node.user_properties.append((FACT, (folder, fact, f"{expected:,}", told, holds)))
        assert holds, f"{folder}, {fact}: expected {expected}, found {found}"

    return hold


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    facts = sorted(value for report in reports for name, value in report.user_properties if name == FACT)
    if not facts:
        return
    table = Table(title="Facts of the real files", title_justify="left")
    for head in ("folder", "fact", "expected", "found", ""):
        table.add_column(head, justify="right" if head in {"expected", "found"} else "left", no_wrap=True)
    for folder, fact, expected, found, holds in facts:
        table.add_row(folder, fact, expected, found, "✓" if holds else "✗")
    console = Console(width=140, no_color=True)
    with console.capture() as capture:
        console.print(table)
    terminalreporter.write_line(capture.get())
    terminalreporter.write_line(f"{sum(fact[-1] for fact in facts)} of {len(facts)} facts hold")
