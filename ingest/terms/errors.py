"""What is wrong with a user's YAML, said so that it can be mended: file, line, key, message, remedy."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """One fault of one YAML file.

    Attributes:
        file: path relative to the home folder.
        line: 1-based line of the key at fault; 0 where the file as a whole is meant.
        key: dotted path of the key, positions of list items from 0 (`versions.0.revenue_share.tiers.1.rate`).
        message: what is wrong.
        remedy: what to do about it.
    """

    file: str
    line: int
    key: str
    message: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        return f"{place}:{key} {self.message} ({self.remedy})"


class TermsError(ValueError):
    """The home cannot be read at all; `problems` says why, and so does `str()`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))
