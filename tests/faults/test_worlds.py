"""Random worlds, played through the real pipeline with crashes and imperfections, end in the books of the reference model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import worlds
from homes import Bench
from tally import Tally


@pytest.mark.slow
@pytest.mark.parametrize("case", [worlds.short_worlds, worlds.long_worlds])
def test_the_books_of_random_worlds_are_those_of_the_reference_model(
    many: Bench, clean: Callable[[Tally], None], case: Callable[[Bench], Tally]
) -> None:
    clean(case(many))
