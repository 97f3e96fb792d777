"""Whatever a file holds, its reader gives rows or a reason, quickly, in bounded memory, and does nothing else."""

from __future__ import annotations

from collections.abc import Callable

import access
import hostile
import pytest
from homes import Bench
from tally import Case, Tally

CASES = [
    hostile.names_in_every_text_field,
    hostile.damaged_formats,
    hostile.hostile_parquet,
    hostile.hostile_yaml,
    hostile.hostile_archives,
    hostile.large_files,
    hostile.fuzzed_by_coverage,
]


@pytest.mark.parametrize("case", [hostile.names_in_every_text_field, hostile.damaged_formats])
def test_some_hostile_files_are_read_or_refused(few: Bench, clean: Callable[[Tally], None], case: Case) -> None:
    few.share = 0.25
    clean(case(few))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_hostile_files_are_read_or_refused(many: Bench, clean: Callable[[Tally], None], case: Case) -> None:
    many.share = 1.0
    clean(case(many))


def test_files_of_a_home_are_for_its_account_alone(few: Bench, clean: Callable[[Tally], None]) -> None:
    clean(access.file_modes(few))


@pytest.mark.slow
@pytest.mark.parametrize("case", [access.a_planted_secret, access.names_through_the_house, access.servers_on_loopback])
def test_nothing_leaks_and_nothing_acts(many: Bench, clean: Callable[[Tally], None], case: Case) -> None:
    clean(case(many))
