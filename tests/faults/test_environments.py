"""What the machine refuses ends in one message with the way back, and leaves the books as they were."""

from __future__ import annotations

from collections.abc import Callable

import environments
import pytest
from homes import Bench
from tally import CASES, Case, Tally

QUICK = [environments.a_stale_lock, environments.the_clock_set_back]


@pytest.mark.parametrize("case", QUICK)
def test_a_run_is_refused_with_the_way_back(few: Bench, clean: Callable[[Tally], None], case: Case) -> None:
    clean(case(few))


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for _, case in CASES["environments"] if case not in QUICK])
def test_what_the_machine_refuses_leaves_the_books_as_they_were(
    many: Bench, clean: Callable[[Tally], None], case: Case
) -> None:
    clean(case(many))
