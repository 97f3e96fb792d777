"""Numbers as makers write them, as plain digits: never through a binary float, never longer than a number can be.

No units and no columns are known here.
"""

import re
from decimal import Decimal

# No meter, counter or price needs more digits on either side of the point; written out, 1e999999999 would be a
# gigabyte.
MAX_EXPONENT = 60
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


def number(text: str) -> Decimal | None:
    """The decimal that a text holds; None for no number, NaN, infinities and magnitudes beyond reason."""
    text = text.strip()
    if len(text) > 3 * MAX_EXPONENT or not _NUMBER.fullmatch(text):
        return None
    value = Decimal(text)
    exponent = value.as_tuple().exponent
    is_sane = abs(value.adjusted()) <= MAX_EXPONENT and isinstance(exponent, int) and abs(exponent) <= MAX_EXPONENT
    return value if is_sane else None


def plain(value: Decimal) -> str:
    """A decimal of `number` as digits without exponent and without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
