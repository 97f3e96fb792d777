"""The scalar macros that amounts and hours are multiplied and divided by, against fractions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from random import Random

import duckdb
import pytest
from building import PROJECT
from jinja2 import Environment

ATTO = 10**18
# Bounds of whole numbers of 1e-18 by which arguments are drawn: the limits of exact_ratio are |a|, |c| < 8e15 and |b| < 1e18.
SIZES = (3, 10**9, 10**18, 10**24, 10**28, 8 * 10**28, 10**30, 8 * 10**33)


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    text = (PROJECT / "macros" / "exact_arithmetic.sql").read_text(encoding="utf-8")
    with duckdb.connect() as con:
        con.execute(Environment(autoescape=False).from_string(text + "{{ create_exact_arithmetic() }}").render())  # noqa: S701
        yield con


def drawn(rng: Random, count: int, *limits: int) -> list[tuple[int, ...]]:
    """Whole numbers of either sign, of every order of size below a limit each; the last is not zero."""

    def one(limit: int) -> int:
        return rng.choice((-1, 1)) * rng.randrange(1, min(limit, rng.choice(SIZES)))

    return [tuple(one(limit) for limit in limits) for _ in range(count)]


def answers(con: duckdb.DuckDBPyConnection, query: str, rows: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """What a query over x1, x2 … gives for each row, in order."""
    names = [f"x{number}" for number in range(1, len(rows[0]) + 1)]
    con.execute(f"CREATE OR REPLACE TABLE drawn (line INTEGER, {', '.join(f'{name} HUGEINT' for name in names)})")
    values = ", ".join(f"({line}, {', '.join(map(str, row))})" for line, row in enumerate(rows))
    con.execute(f"INSERT INTO drawn VALUES {values}")
    return con.execute(f"SELECT {query} FROM drawn ORDER BY line").fetchall()


def nearest(value: Fraction) -> int:
    """Halves away from zero."""
    whole = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return whole if value >= 0 else -whole


def as_decimal(name: str) -> str:
    return f"main.from_atto({name})"


def in_atto(value: Decimal) -> int:
    return int(Fraction(value) * ATTO)


def test_a_quotient_is_the_nearest_number_and_a_half_goes_away_from_zero(con: duckdb.DuckDBPyConnection) -> None:
    rows = [(a * sign, b) for a in range(40) for sign in (-1, 1) for b in (*range(-9, 0), *range(1, 10))] + drawn(
        Random(1), 500, 10**37, 10**30
    )
    found = answers(con, "main.rounded_quotient(x1, x2)", rows)
    assert [value for (value,) in found] == [nearest(Fraction(a, b)) for a, b in rows]


def test_an_amount_or_a_whole_number_is_divided_at_the_eighteenth_decimal(con: duckdb.DuckDBPyConnection) -> None:
    rows = drawn(Random(2), 500, 10**37, 4 * 10**9)
    found = answers(con, f"main.exact_quotient({as_decimal('x1')}, x2)", rows)
    assert [in_atto(value) for (value,) in found] == [nearest(Fraction(a, n)) for a, n in rows]
    rows = drawn(Random(3), 500, 10**19, 4 * 10**9)
    found = answers(con, "main.whole_quotient(x1, x2), main.exact_quotient(x1, x2)", rows)
    for (a, n), (whole, exact) in zip(rows, found, strict=True):
        assert in_atto(whole) == in_atto(exact) == nearest(Fraction(a * ATTO, n))


@pytest.mark.parametrize(
    "argument", [as_decimal, lambda name: f"main.exact_quotient({as_decimal(name)}, 1)"], ids=["plain", "nested"]
)
def test_a_ratio_of_three_amounts_is_cut_at_the_eighteenth_decimal(
    con: duckdb.DuckDBPyConnection, argument: Callable[[str], str]
) -> None:
    # What does not fit into twenty digits before the point is no amount.
    rows = [
        (a, b, c) for a, b, c in drawn(Random(4), 2000, 8 * 10**33, 10**36, 8 * 10**33) if abs(a * b) // abs(c) < 10**37
    ]
    assert len(rows) > 1000
    assert {abs(c) < 8 * 10**28 for _, _, c in rows} == {True, False}
    found = answers(con, f"main.exact_ratio({argument('x1')}, {argument('x2')}, {argument('x3')})", rows)
    for (a, b, c), (value,) in zip(rows, found, strict=True):
        cut = abs(a * b) // abs(c)
        assert in_atto(value) == (cut if a * b * c > 0 else -cut), (a, b, c)


def test_nothing_is_divided_by_zero_or_by_what_is_not_known(con: duckdb.DuckDBPyConnection) -> None:
    for query in (
        "main.exact_ratio(1, 1, nullif(0, 0))",
        "main.exact_ratio(1, null, 2)",
        "main.exact_quotient(1, nullif(0, 0))",
        "main.whole_quotient(null, 2)",
    ):
        assert con.execute(f"SELECT {query}").fetchall() == [(None,)], query
