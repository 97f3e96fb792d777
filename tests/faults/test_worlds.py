"""Random worlds, played through the real pipeline with crashes and imperfections, end in the books of the reference model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import worlds
from homes import Bench
from tally import Tally


def test_a_handful_of_short_worlds_ends_in_the_books_of_the_reference_model(tmp_path: Path) -> None:
    _, other = worlds.play(tmp_path, [1000, 1001, 1002], worlds.SHORT)
    assert other == {}


@pytest.mark.slow
@pytest.mark.parametrize("case", [worlds.short_worlds, worlds.long_worlds])
def test_the_books_of_random_worlds_are_those_of_the_reference_model(
    many: Bench, clean: Callable[[Tally], None], case: Callable[[Bench], Tally]
) -> None:
    clean(case(many))


@pytest.mark.slow
def test_a_world_whose_facts_were_others_is_found(many: Bench) -> None:
    folder = many.empty()
    run, said = worlds.play(folder, [1000], worlds.SHORT)
    assert said == {}
    assert worlds.posted_in_all(run) > 0
    run.facts.execute("DROP SCHEMA ledger CASCADE; DROP SCHEMA revenue_share CASCADE")
    told = worlds.Run(folder, [1000], worlds.SHORT)
    worlds.draw_facts(told)
    told.facts.execute("UPDATE raw.leases SET gpu_count = gpu_count + 1")
    assert worlds.compare(told)
