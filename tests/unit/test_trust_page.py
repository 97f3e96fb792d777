"""The page on trust adds up what was kept of the faults, and says what was only a part."""

from __future__ import annotations

import json
from typing import Any

from orchestration.docs import FAULTS
from orchestration.trust_page import trust_page


def fault(**said: Any) -> dict[str, Any]:
    return {
        "section": "damage", "case": "cut", "fault": "a file <cut>", "made_at": "2027-01-02T00:00:00+00:00", "share": 1.0,
        "injected": 1200, "survived": 1199, "rows_lost": 1, "rows_doubled": 0, "figures_wrong": 2, "seconds": 61.4,
        "notes": ["the last | was lost"], **said,
    }  # fmt: skip


def test_the_page_adds_up_what_came_of_all_faults_and_shows_each() -> None:
    killed = fault(section="crashes", case="killed", fault="SIGKILL", injected=10, survived=10, rows_lost=0, share=0.1)
    waiting = [{"section": "load", "case": "many_files"}]
    page = trust_page({"machine": "two processors", "faults": [fault(), killed], "not_run": waiting})
    assert "1,210 injected, 1,209 survived, 1 rows lost, 0 rows doubled, 4 figures wrong" in page
    assert "| a file &lt;cut> | 1,200 | 1,199 | 1 | 0 | 2 | 61 |" in page
    assert page.index("## Killed") < page.index("## Damaged files")
    assert "- a file &lt;cut>: the last | was lost" in page
    assert "- SIGKILL: a part of the injections, 10%" in page
    assert "Of these no run is kept yet: many files (load)." in page


def test_without_a_kept_run_the_page_says_how_to_keep_one() -> None:
    assert "KEEP=yes make faults" in trust_page(None)


def test_every_kept_fault_is_on_the_page() -> None:
    kept = json.loads(FAULTS.read_text(encoding="utf-8"))
    page = trust_page(kept)
    assert all(f"| {fault['fault'].replace('<', '&lt;')} |" in page for fault in kept["faults"])
