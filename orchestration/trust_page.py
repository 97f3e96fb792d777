"""The page of the documentation that says what was done to the product on purpose, and what came of it.

Every figure comes from the kept JSON of `make faults`, whose cases may be of several runs; nothing is injected here.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

SECTIONS = {
    "crashes": "Killed",
    "damage": "Damaged files",
    "readers": "Readers while it publishes",
    "hostile": "Hostile files",
    "environments": "What the machine refuses",
    "access": "Access, secrets and names",
    "load": "Load",
    "worlds": "Simulated worlds beside a reference model",
}
_NONE_KEPT = "# Trust\n\nNo run of the faults is kept: `KEEP=yes make faults` puts one beside the guides.\n"
_HEADS = ("fault", "injected", "survived", "rows lost", "rows doubled", "figures wrong", "seconds")
_ABOUT = """\
# Trust

`make faults` breaks the product on purpose, in homes of its own, and counts what came of it. *Survived* means: what stood was
whole and could be opened, whoever asked got one clear message, and the way back that it names led to the tables of an
undisturbed run, compared row by row. *Injected* counts only what hit: a process still at work when it was killed, a file
really damaged. [Operations](operations.md#faults) says how to run it; `KEEP=yes make faults` writes the figures of this page anew.
"""


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |\n"


def trust_page(kept: Mapping[str, Any] | None) -> str:
    """By section, each fault with its counts and notes; `kept` has `machine`, `faults` and `not_run`, as tests/faults writes them."""
    if kept is None:
        return _NONE_KEPT
    faults = sorted(kept["faults"], key=lambda fault: list(SECTIONS).index(fault["section"]))
    counts = ("injected", "survived", "rows_lost", "rows_doubled", "figures_wrong")
    sums = {name: sum(fault[name] for fault in faults) for name in counts}
    made = sorted(fault["made_at"] for fault in faults)
    text = _ABOUT + (
        f"\nOn {kept['machine']}, from {made[0][:10]} to {made[-1][:10]}: **{sums['injected']:,} injected, {sums['survived']:,} survived, "
        f"{sums['rows_lost']:,} rows lost, {sums['rows_doubled']:,} rows doubled, {sums['figures_wrong']:,} figures wrong.**\n"
    )
    if kept["not_run"]:
        names = ", ".join(f"{one['case'].replace('_', ' ')} ({one['section']})" for one in kept["not_run"])
        text += f"\nOf these no run is kept yet: {names}.\n"
    for section, of_section in groupby(faults, key=lambda fault: str(fault["section"])):
        rows = list(of_section)
        text += f"\n## {SECTIONS[section]}\n\n" + _line(_HEADS) + _line(["---"] + ["---:"] * len(counts) + ["---:"])
        for fault in rows:
            text += _line([fault["fault"], *(f"{fault[name]:,}" for name in counts), f"{fault['seconds']:,.0f}"])
        notes = [f"- {fault['fault']}: {note}" for fault in rows for note in fault["notes"]]
        text += "\n" + "".join(f"{note.replace('<', '&lt;')}\n" for note in notes)
        parts = [fault for fault in rows if fault["share"] < 1]
        text += "".join(f"- {fault['fault']}: a part of the injections, {fault['share']:.0%}\n" for fault in parts)
    return text
