"""What an expectation found, in words an analyst reads."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Expectation:
    """One expectation's outcome: what was measured against what was expected; severity is ``error`` or ``warn``."""

    name: str
    severity: str
    passed: bool
    measured: str
    expected: str
