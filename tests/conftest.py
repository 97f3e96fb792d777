"""What all tests share."""

import os
import sys

import pytest
from hypothesis import settings

# Machines are noisy: an example that took long is no failure. All else is as the profile in force has it.
settings.register_profile("untimed", parent=settings(), deadline=None)
settings.load_profile("untimed")

_STATUS: dict[str, int] = {}


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    _STATUS["exit"] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End here: on a normal end DuckDB's binding lists hundreds of objects that others still hold, after the summary."""
    if hasattr(config, "workerinput") or "exit" not in _STATUS:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_STATUS["exit"])
