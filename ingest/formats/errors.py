"""What every format raises; no reading and no guessing here."""

from collections.abc import Iterable
from pathlib import Path


class FormatError(ValueError):
    """A file that cannot be read as a whole, with every reason, one sentence each.

    Rows that are wrong by themselves do not raise: they are yielded as they came, so that landing can quarantine them.

    Args:
        path: the file; only its name stands in the message, so that the same file says the same on every machine.
        reasons: why, one sentence each.
    """

    def __init__(self, path: Path | str, reasons: Iterable[str]) -> None:
        self.file_name = Path(path).name
        self.reasons = tuple(reasons)
        super().__init__(f"{self.file_name}: " + "; ".join(self.reasons))
