"""Killed at any instant and run again, everything leaves what an undisturbed run leaves."""

from __future__ import annotations

from collections.abc import Callable

import crashes
import pytest
from homes import Bench
from tally import Tally


def test_landings_killed_at_some_instants_are_completed(few: Bench, clean: Callable[[Tally], None]) -> None:
    clean(crashes.killed_while_landing(few))


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [crashes.killed_while_landing, crashes.killed_while_publishing, crashes.killed_while_closing]
)
def test_stages_killed_at_many_instants_are_completed(
    many: Bench, clean: Callable[[Tally], None], case: Callable[[Bench], Tally]
) -> None:
    clean(case(many))


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [crashes.killed_while_deriving_credit, crashes.killed_while_dbt_builds, crashes.killed_whole_runs]
)
def test_dbt_credit_and_whole_runs_killed_are_completed(
    many: Bench, clean: Callable[[Tally], None], case: Callable[[Bench], Tally]
) -> None:
    clean(case(many))
