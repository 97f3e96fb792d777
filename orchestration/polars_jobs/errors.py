"""Errors of the credit jobs: a bad input is refused, never clipped into range."""

from __future__ import annotations


class CreditInputError(ValueError):
    """A probability outside [0, 1], weights that do not sum to 1, a falling cumulative default probability, a rating
    without a table, and the like.
    """
