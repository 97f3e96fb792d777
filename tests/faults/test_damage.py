"""Damage is found and named, whichever file and bit it is in, and mended from what remains."""

from __future__ import annotations

from collections.abc import Callable

import damage
import pytest
from homes import Bench
from tally import CASES, Case, Tally

HEAVY = {
    damage.mended_from_what_remains,
    damage.a_run_over_a_damaged_lake,
    damage.a_changed_line_of_a_closed_month,
    damage.a_changed_line_of_the_published_journal,
}
QUICK = [damage.bits_of_lake_files, damage.bits_of_the_databases, damage.a_changed_line_of_the_audit_log]


@pytest.mark.parametrize("case", QUICK)
def test_damage_is_named(few: Bench, clean: Callable[[Tally], None], case: Case) -> None:
    clean(case(few))


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for _, case in CASES["damage"] if case not in HEAVY and case not in QUICK])
def test_damage_anywhere_is_named(many: Bench, clean: Callable[[Tally], None], case: Case) -> None:
    clean(case(many))


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(HEAVY, key=lambda case: case.__name__))
def test_damage_is_named_by_the_command_and_mended(many: Bench, clean: Callable[[Tally], None], case: Case) -> None:
    clean(case(many))
