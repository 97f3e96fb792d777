"""More than anybody sends completes in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from homes import Bench
from load import (
    a_park_of_a_million_gpus,
    many_contracts,
    many_files_in_one_folder,
    many_lease_adjustments,
    many_tenants,
)
from tally import Case, Tally


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [many_files_in_one_folder, many_lease_adjustments, many_contracts, a_park_of_a_million_gpus, many_tenants],
)
def test_a_tenth_of_the_load_lands(many: Bench, clean: Callable[[Tally], None], case: Case) -> None:
    clean(case(many))
