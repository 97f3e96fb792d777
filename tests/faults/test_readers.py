"""Whoever reads while the snapshot is replaced sees one run, and can do nothing but read."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import readers
from homes import Bench
from tally import Tally


def test_readers_see_one_run_while_others_are_published(few: Bench, clean: Callable[[Tally], None]) -> None:
    few.share = 0.08
    clean(readers.readers_during_publishes(few))


def test_a_reader_writes_nothing_and_reads_nothing_else(few: Bench, clean: Callable[[Tally], None]) -> None:
    clean(readers.what_a_reader_may_not_do(few))


@pytest.mark.slow
def test_32_readers_see_one_run_during_50_publishes(many: Bench, clean: Callable[[Tally], None]) -> None:
    many.share = 1.0
    clean(readers.readers_during_publishes(many))
