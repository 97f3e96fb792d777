"""A document before it takes a form: who it speaks of, as of when, its first screen and its sections.

The page, the PDF and the workbook are drawn from the same one, so that they cannot differ in a figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from orchestration.publishing.formats import MAX_NOTE_LENGTH, clean, day_text, instant_text
from orchestration.publishing.page import Missing, Section
from orchestration.publishing.sections.headline import Headline
from orchestration.publishing.view import View, vendor_text


@dataclass(frozen=True)
class Document:
    """One report: ``name`` is its file's name without ending, ``kind`` what it is, ``about`` whom it is about.

    ``fits_pages`` is on how many pages of paper it is to fit, by being set closer where that helps; None: on any number.
    """

    name: str
    kind: str
    view: View
    headline: Headline
    sections: Sequence[Section]
    about: str = ""
    fits_pages: int | None = None

    @property
    def title(self) -> str:
        """Whom the document is about, else the home's own title."""
        return self.about or clean(self.view.manifest.get("title") or "parkledger monitor")

    @property
    def vendor(self) -> str:
        """The vendor's name."""
        return vendor_text(self.view)

    @property
    def as_of(self) -> str | None:
        """The last day seen, in words; None where the snapshot does not say."""
        return day_text(self.view.as_of) if self.view.as_of != date.min else None

    @property
    def known_at(self) -> str | None:
        """Until when facts are known, in words."""
        return instant_text(self.view.known_at) if self.view.known_at else None

    @property
    def run_id(self) -> str | None:
        """The run that published the figures."""
        run = self.view.manifest.get("run_id")
        return clean(run) if run else None

    @property
    def simulation(self) -> tuple[str, str]:
        """What is to be said of the data, and the home's own note."""
        return simulation_text(self.view.manifest)

    @property
    def is_simulated(self) -> bool:
        """Whether the mark of simulated data must stand on every page: unless the manifest says that none is."""
        return self.view.manifest.get("is_simulated") is not False

    @property
    def gaps(self) -> int:
        """Blocks that could not be computed."""
        return sum(isinstance(block, Missing) for section in self.sections for block in section.blocks)


def simulation_text(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """What the banner says of the data, and the home's own note: simulated, measured, or not stated (never silence)."""
    note = clean(manifest["simulation_note"], MAX_NOTE_LENGTH) if manifest.get("simulation_note") else ""
    state = manifest.get("is_simulated")
    if state is True:
        return "Simulation on public terms.", note
    if state is False:
        return "Measured feeds, none simulated.", note
    return "The manifest does not say whether feeds are measured or simulated.", note
