"""What came of a fault that was injected many times: a row of the table that `make faults` prints."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Rows = Mapping[str, list[tuple[Any, ...]]]


@dataclass
class Tally:
    """One fault: how often it was injected and survived, and what it did to the books.

    Survived means: what stands is openable and whole, whoever asks gets one clear message, and the way back that it
    names leads to the books of an undisturbed run. `injected` counts only what hit (a process still at work when it was
    killed; a file really damaged).
    """

    fault: str
    injected: int = 0
    survived: int = 0
    rows_lost: int = 0
    rows_doubled: int = 0
    figures_wrong: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every injection was survived and no row or figure is other than it should be."""
        return (
            self.injected > 0
            and self.injected == self.survived
            and not (self.rows_lost or self.rows_doubled or self.figures_wrong)
        )

    def compare(self, expected: Rows, found: Rows) -> bool:
        """Count what is missing, double or other between the tables of an undisturbed run and those found."""
        lost = doubled = wrong = 0
        for table in expected.keys() | found.keys():
            should, does = Counter(expected.get(table, [])), Counter(found.get(table, []))
            lost += (should - does).total()
            for row, count in (does - should).items():
                if row in should:
                    doubled += count
                else:
                    wrong += count
        # A row with another figure is one that is lost and one that is wrong.
        changed = min(lost, wrong)
        self.rows_lost += lost - changed
        self.rows_doubled += doubled
        self.figures_wrong += wrong
        return not (lost or doubled or wrong)

    def note(self, text: str) -> None:
        """Say something once."""
        if text not in self.notes:
            self.notes.append(text)

    @contextmanager
    def timed(self) -> Iterator[Tally]:
        """Count the seconds of the clock."""
        begun = time.monotonic()
        try:
            yield self
        finally:
            self.seconds += time.monotonic() - begun


COLUMNS = ("fault", "injected", "survived", "rows lost", "rows doubled", "figures wrong", "seconds")


def table(tallies: list[Tally]) -> str:
    """The table as text, a line for each fault and its notes below."""
    cells = [
        (t.fault, t.injected, t.survived, t.rows_lost, t.rows_doubled, t.figures_wrong, f"{t.seconds:.1f}")
        for t in tallies
    ]
    widths = [max(len(str(row[n])) for row in [COLUMNS, *cells]) for n in range(len(COLUMNS))]
    lines = []
    for row, tally in zip([COLUMNS, *cells], [None, *tallies], strict=True):
        first, *others = row
        numbers = "  ".join(f"{cell!s:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        lines.append(f"{first:<{widths[0]}}  {numbers}")
        lines += [f"    {note}" for note in (tally.notes if tally else [])]
    return "\n".join(lines)


def save(tallies: Mapping[tuple[str, str], Tally], path: Path, about: Mapping[str, Any]) -> None:
    """Keep the table as JSON; `tallies` are by section and name of the case."""
    path.parent.mkdir(parents=True, exist_ok=True)
    faults = [{"section": section, "case": name, **asdict(t)} for (section, name), t in tallies.items()]
    path.write_text(json.dumps({**about, "faults": faults}, indent=2) + "\n", encoding="utf-8")


def keep(tallies: Mapping[tuple[str, str], Tally], path: Path, about: Mapping[str, Any]) -> None:
    """Put what came of each case in the place of what came of it before, in the JSON that the documentation shows."""
    kept = json.loads(path.read_text(encoding="utf-8"))["faults"] if path.exists() else []
    by_case = {(fault["section"], fault["case"]): fault for fault in kept}
    of_run = {"made_at": about["made_at"], "share": about["share"]}
    by_case |= {key: {"section": key[0], "case": key[1], **of_run, **asdict(t)} for key, t in tallies.items()}
    order = [(section, name) for section, cases in CASES.items() for name, _ in cases]
    content = {
        "machine": about["machine"],
        "faults": [by_case[key] for key in order if key in by_case],
        "not_run": [{"section": section, "case": name} for section, name in order if (section, name) not in by_case],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


# By section, in the order in which they are run: name of the case, and the case. `Bench` gives homes to work on.
Case = Callable[[Any], Tally]
CASES: dict[str, list[tuple[str, Case]]] = {}


def case(section: str) -> Callable[[Case], Case]:
    """Put a case into the table of `make faults`."""

    def register(function: Case) -> Case:
        CASES.setdefault(section, []).append((function.__name__, function))
        return function

    return register
