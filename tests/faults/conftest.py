"""Hands the finished homes to the tests of faults: the small one that the published tests share, and the tiny one of the table."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from homes import MONTH, Bench, make_finished, parkledger  # noqa: E402
from tally import Tally  # noqa: E402

_spec = importlib.util.spec_from_file_location("published_conftest", HERE.parent / "published" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_published = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_published)
finished = _published.finished


@pytest.fixture
def few(finished: Path, tmp_path: Path) -> Bench:
    """A bench that makes few injections, on the small home that the published tests have run."""
    return Bench(tmp_path / "work", finished, 0.02)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny home after its run and its first close."""
    home = make_finished(tmp_path_factory.mktemp("tiny") / "home")
    assert parkledger(home, "close", MONTH).returncode == 0
    return home


@pytest.fixture
def many(tiny: Path, tmp_path: Path) -> Bench:
    """A bench that makes a tenth of the injections of `make faults`."""
    return Bench(tmp_path / "work", tiny, 0.1)


@pytest.fixture
def clean() -> Callable[[Tally], None]:
    """Asserts that a fault was injected and survived, and did nothing to the books."""

    def check(tally: Tally) -> None:
        if tally.injected == 0 and tally.notes and tally.notes[0].startswith("not injected"):
            pytest.skip(tally.notes[0])
        assert tally.is_clean, (tally, tally.notes)

    return check
