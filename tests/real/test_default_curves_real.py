"""S&P's average transition rates 1981-2016 as published, through the curves: ORACLES.md, O13."""

import csv
from pathlib import Path

import numpy as np
import pytest

from orchestration.polars_jobs.default_curves import (
    cumulative_pd_at,
    generator,
    rating_curve,
    transition_at,
    transition_default_curve,
    transition_matrix,
)

GRADES = ("AAA", "AA", "A", "BBB", "BB", "B", "CCC/C")
HORIZONS = (1, 2, 3, 5, 7, 10, 15, 20)
B, CCC = GRADES.index("B"), GRADES.index("CCC/C")


@pytest.fixture(scope="module")
def tables(source: Path) -> dict[int, np.ndarray]:
    """Horizon to rates (7 × 9: to each grade, default, withdrawn), as fractions."""
    with (source / "transition_matrix" / "sp_1981-2016.csv").open(encoding="utf-8") as lines:
        rows = [[float(cell) for cell in row if cell] for row in list(csv.reader(lines))[2:]]
    blocks = np.array(rows).reshape(len(HORIZONS), len(GRADES), len(GRADES) + 2) / 100
    return dict(zip(HORIZONS, blocks, strict=True))


def test_rows_of_every_horizon_sum_to_one_within_the_rounding_of_the_publication(tables):
    for table in tables.values():
        transition_matrix(table, GRADES)
        assert np.abs(table.sum(axis=1) - 1).max() == pytest.approx(2e-4, abs=1.5e-4)


def test_five_years_of_the_yearly_chain_against_what_was_observed(tables):
    matrix = transition_matrix(tables[1], GRADES)
    five = {grade: transition_default_curve(matrix, row, [5]).cumulative_pd[0] for row, grade in enumerate(GRADES)}
    assert five["BBB"] == pytest.approx(0.0176, abs=6e-5)
    assert five["BB"] == pytest.approx(0.0748, abs=6e-5)
    assert five["B"] == pytest.approx(0.2480, abs=6e-5)
    assert five["CCC/C"] == pytest.approx(0.6819, abs=6e-5)
    observed = tables[5][:, -2]
    assert (observed[B], observed[CCC]) == (0.1925, 0.4696)
    # With withdrawal as a state that nobody leaves, the early years of BB are understated.
    states = np.vstack([tables[1], np.eye(9)[-2:]])
    assert np.linalg.matrix_power(states, 2)[GRADES.index("BB"), -2] == pytest.approx(0.0171, abs=6e-5)
    assert tables[2][GRADES.index("BB"), -2] == 0.0225


def test_the_generator_gives_single_b_a_first_quarter_of_0_898_percent(tables):
    matrix = transition_matrix(tables[1], GRADES)
    found = generator(matrix)
    assert found.residual == pytest.approx(1.4e-4, abs=1e-5)
    assert transition_at(found.rates, 0.25)[B, -1] == pytest.approx(0.00898, abs=5e-6)
    assert 1 - (1 - matrix[B, -1]) ** 0.25 == pytest.approx(0.01086, abs=5e-6)


def test_curves_of_all_grades_are_ordered_and_start_at_the_adjusted_first_year(tables):
    years = [horizon for horizon in HORIZONS if horizon <= 10]
    found = [
        rating_curve(years, [tables[year][row, -2] for year in years], [tables[year][row, -1] for year in years], grade)
        for row, grade in enumerate(GRADES)
    ]
    first = [float(cumulative_pd_at(curve, 1.0)) for curve in found]
    assert first[3:] == pytest.approx([0.00192, 0.00797, 0.04276, 0.31651], abs=6e-6)
    assert first == sorted(first)
