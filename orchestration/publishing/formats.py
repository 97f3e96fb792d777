"""Numbers, money, dates and missing values as a reader sees them.

Values come in as Decimal, int or float and leave as text; rounding is half away from zero, once, here.
No figure is computed here, and nothing here knows of a table.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal

LOCALE = "en_GB"
MINUS = "−"
MISSING = "n/a"
MAX_NAME_LENGTH = 90
# A path is shown whole: who reads it is to find the file.
MAX_PATH_LENGTH = 4096
MAX_NOTE_LENGTH = 600

# Controls and direction overrides let a name from a landing file reorder or hide the text around it.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_UPPER = frozenset(
    {
        "ad",
        "asc",
        "cecl",
        "cfads",
        "dscr",
        "dso",
        "ead",
        "ecl",
        "es",
        "fx",
        "gpu",
        "hhi",
        "ias",
        "ifrs",
        "lgd",
        "llcr",
        "ltv",
        "pd",
        "pue",
        "pv",
        "sla",
        "var",
        "walt",
    }
)


@dataclass(frozen=True)
class Scale:
    """How one table or chart shows its money or hours: shown = value / divisor, with `digits` decimals."""

    divisor: Decimal
    word: str
    digits: int


ONE = Scale(Decimal(1), "", 2)
WHOLE = Scale(Decimal(1), "", 0)


def to_decimal(value: Any) -> Decimal | None:
    """The exact decimal of a number from a frame; None for null, NaN and infinity."""
    if value is None or isinstance(value, bool):
        return None
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    return number if number.is_finite() else None


def round_half_away(value: Decimal, digits: int) -> Decimal:
    """Round half away from zero to `digits` decimals, the house's one rounding rule."""
    return value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def number(value: Any, digits: int = 0, scale: Decimal = Decimal(1), *, signed: bool = False) -> str:
    """Text of value / scale with grouped thousands, `digits` decimals and a true minus sign.

    `signed` puts a plus before positive values. A null gives "n/a"; callers that know the reason say it beside.
    """
    exact = to_decimal(value)
    if exact is None:
        return MISSING
    shown = round_half_away(exact / scale, digits)
    pattern = "#,##0" + ("." + "0" * digits if digits else "")
    text = format_decimal(abs(shown), format=pattern, locale=LOCALE)
    if shown < 0:
        return MINUS + text
    return "+" + text if signed and shown > 0 else text


def percent(value: Any, digits: int = 1, *, signed: bool = False) -> str:
    """Text of a fraction as per cent: 0.25 gives "25.0 %" (a no-break space before the sign)."""
    exact = to_decimal(value)
    if exact is None:
        return MISSING
    return number(exact * 100, digits, signed=signed) + "\u00a0%"


def missing(reason: str) -> str:
    """What stands where a figure cannot: "n/a — reason"."""
    return f"{MISSING} — {reason}"


def money_scale(values: Iterable[Any]) -> Scale:
    """One scale for a table's money: millions from a million up, thousands from 1,000 up, units below."""
    return _scale(values, small_digits=2)


def quantity_scale(values: Iterable[Any]) -> Scale:
    """One scale for a table's hours or energy, chosen like `money_scale`."""
    return _scale(values, small_digits=0)


def _scale(values: Iterable[Any], small_digits: int) -> Scale:
    sizes = [abs(exact) for value in values if (exact := to_decimal(value)) is not None]
    largest = max(sizes, default=Decimal(0))
    if largest >= 1_000_000:
        return Scale(Decimal(1_000_000), "m", 1 if largest >= 10_000_000 else 2)
    if largest >= 1_000:
        return Scale(Decimal(1_000), "thousand", 1)
    return Scale(Decimal(1), "", small_digits)


def unit_text(unit: str, scale: Scale) -> str:
    """Gives "USD" in millions gives "USD m"; "GPU-hours" gives "m GPU-hours"."""
    if not scale.word:
        return unit
    return f"{unit} {scale.word}" if re.fullmatch(r"[A-Z]{3}", unit) else f"{scale.word} {unit}"


SUFFIXES = {"m": "m", "thousand": "\u00a0thousand", "": ""}


def money(value: Any, currency: str, scale: Scale | None = None, *, signed: bool = False) -> str:
    """An amount for running text: "USD 12.3m", "USD 4,880.0m", "USD 850.00"; in its own scale, or in one given."""
    exact = to_decimal(value)
    if exact is None:
        return MISSING
    scale = scale or money_scale([exact])
    return f"{currency}\u00a0{number(exact, scale.digits, scale.divisor, signed=signed)}{SUFFIXES[scale.word]}"


def quantity(value: Any, unit: str, *, signed: bool = False) -> str:
    """A quantity for running text: "1.24m GPU-hours", "912 GPU-hours"."""
    exact = to_decimal(value)
    if exact is None:
        return MISSING
    scale = quantity_scale([exact])
    digits = 2 if scale.word == "m" else scale.digits
    return f"{number(exact, digits, scale.divisor, signed=signed)}{SUFFIXES[scale.word]}\u00a0{unit}"


def day_text(value: Any) -> str:
    """Gives "31 December 2027" from a date; "n/a" from null."""
    return MISSING if value is None else str(format_date(value, format="d MMMM y", locale=LOCALE))


def short_day_text(value: Any) -> str:
    """Gives "31 Dec 2027" from a date, in one piece; "n/a" from null."""
    shown = (
        MISSING if value is None else str(format_date(value, format="d MMM y", locale=LOCALE)).replace("Sept", "Sep")
    )
    return shown.replace(" ", "\u00a0")


def month_text(value: Any) -> str:
    """Gives "December 2027" from any day of the month."""
    return MISSING if value is None else str(format_date(value, format="MMMM y", locale=LOCALE))


def short_month_text(value: Any) -> str:
    """Gives "Dec 2027" from any day of the month, in one piece."""
    shown = MISSING if value is None else str(format_date(value, format="MMM y", locale=LOCALE)).replace("Sept", "Sep")
    return shown.replace(" ", "\u00a0")


def instant_text(value: datetime | None) -> str:
    """Gives "1 January 2028, 00:00 UTC" from an instant with a zone."""
    if value is None:
        return MISSING
    return str(format_datetime(value.astimezone(UTC), format="d MMMM y, HH:mm", locale=LOCALE)) + " UTC"


def as_date(value: Any) -> date | None:
    """A date from a date, an instant or ISO text; None when there is none."""
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    return date.fromisoformat(str(value)[:10])


def as_instant(value: Any) -> datetime | None:
    """An instant in UTC from a datetime or ISO text; a naive one is taken as UTC, as the warehouse stores it."""
    if value is None or value == "":
        return None
    instant = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def clean(value: Any, limit: int = MAX_NAME_LENGTH) -> str:
    """A text from outside, fit to stand in a line: no controls, no direction overrides, one line, `limit` signs.

    What is taken out leaves a visible replacement sign. Escaping for HTML is the template's work, not done here.
    """
    text = "".join("\ufffd" if unicodedata.category(sign) in _UNSAFE_CATEGORIES else sign for sign in str(value))
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def words(identifier: Any) -> str:
    """A column or enumeration name as words: "sla_penalties" gives "SLA penalties", "var_99_9" gives "VAR 99 9". A file that
    a sentence names by its path keeps its name.
    """
    said = " ".join(part if "/" in part else part.replace("_", " ") for part in clean(identifier).split(" "))
    # A pronoun elsewhere ("ends before it starts"), IT before what is measured of it.
    said = re.sub(r"\bit(?= (power|energy|load)\b)", "IT", said)
    return " ".join(part.upper() if part.lower() in _UPPER else part for part in said.split(" "))


def scenario_text(scenario_id: Any) -> str:
    """A scenario as words: "stress-lgd-high" gives "LGD high"."""
    return words(str(scenario_id).removeprefix("stress-").replace("-", "_"))


def term_text(term: str, value: str) -> str:
    """A term's value for readers: yes and no, per cent, days, words; what is none of these stands as it is."""
    if re.fullmatch(r'\[("[^"]*"(, )?)*\]', value):
        return join_words([words(one) for one in json.loads(value)]) or "none"
    if value in {"true", "false"}:
        return "yes" if value == "true" else "no"
    if term.endswith(("_pct", "_fraction", "haircut")) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return percent(Decimal(value), 0)
    if term.endswith("_days"):
        return f"{value} days"
    return words(value) if re.fullmatch(r"[a-z_]+", value) else value


def sentence_case(text: str) -> str:
    """The text with its first letter large, the rest as it is."""
    return text[:1].upper() + text[1:]


def join_words(items: Sequence[str]) -> str:
    """Gives "a", "a and b", "a, b and c"."""
    if len(items) <= 1:
        return "".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]


def count_text(count: int, one: str, many: str) -> str:
    """Gives "1 file", "12 files"."""
    return f"{number(count)} {one if count == 1 else many}"


def foot(parts: Sequence[Decimal], scale: Scale) -> tuple[list[Decimal], Decimal]:
    """Rounded parts that add up to the rounded total, by largest remainder; values are returned in shown units.

    The total is the exact sum, rounded half away from zero; each part is its floor or its ceiling.
    Ties go to the earlier part.
    """
    step = Decimal(1).scaleb(-scale.digits)
    shown = [part / scale.divisor for part in parts]
    total = round_half_away(sum(shown, Decimal(0)), scale.digits)
    floors = [part.quantize(step, rounding=ROUND_FLOOR) for part in shown]
    left = int(((total - sum(floors, Decimal(0))) / step).to_integral_value(rounding=ROUND_DOWN))
    order = sorted(range(len(parts)), key=lambda index: (-(shown[index] - floors[index]), index))
    for index in order[:left]:
        floors[index] += step
    return floors, total


def foot_grid(rows: Sequence[Sequence[Decimal]], scale: Scale) -> list[list[Decimal]]:
    """A grid with its totals, rounded so that every row and every column still adds up.

    rows: m × n exact values. Returned: (m + 1) × (n + 1) in shown units, last row and column the totals; the grand
    total is rounded half away from zero, every other figure is the floor or the ceiling of its exact value, chosen to
    lie as near to it as the sums allow (controlled rounding: Cox, Journal of the American Statistical Association 82,
    1987). It is a flow problem, so the linear programme has a whole-numbered solution.
    """
    from scipy.optimize import linprog  # noqa: PLC0415  half a second, and only reports with two-way tables need it

    count, width = len(rows), len(rows[0]) if rows else 0
    step = Decimal(1).scaleb(-scale.digits)
    full = [[value / scale.divisor for value in row] for row in rows]
    full = [[*row, sum(row, Decimal(0))] for row in full]
    full.append([sum((row[j] for row in full), Decimal(0)) for j in range(width + 1)])
    floors = [[value.quantize(step, rounding=ROUND_FLOOR) for value in row] for row in full]
    parts = [[(full[i][j] - floors[i][j]) / step for j in range(width + 1)] for i in range(count + 1)]
    size = (count + 1) * (width + 1)

    def place(i: int, j: int) -> int:
        return i * (width + 1) + j

    cost = [float(1 - 2 * parts[i][j]) for i in range(count + 1) for j in range(width + 1)]
    bounds: list[tuple[int, int]] = [
        (0, 0 if parts[i][j] == 0 else 1) for i in range(count + 1) for j in range(width + 1)
    ]
    grand = round_half_away(full[count][width], scale.digits)
    up = int((grand - floors[count][width]) / step)
    bounds[place(count, width)] = (up, up)
    equations: list[list[float]] = []
    wanted: list[float] = []
    for i in range(count + 1):
        line = [0.0] * size
        for j in range(width + 1):
            line[place(i, j)] = -1.0 if j == width else 1.0
        equations.append(line)
        wanted.append(float((floors[i][width] - sum(floors[i][:width], Decimal(0))) / step))
    for j in range(width + 1):
        line = [0.0] * size
        for i in range(count + 1):
            line[place(i, j)] = -1.0 if i == count else 1.0
        equations.append(line)
        wanted.append(float((floors[count][j] - sum((floors[i][j] for i in range(count)), Decimal(0))) / step))
    solved = linprog(cost, A_eq=equations, b_eq=wanted, bounds=bounds, method="highs")
    if not solved.success:
        raise ArithmeticError(f"no rounding of this grid adds up: {solved.message}")
    chosen = [round(value) for value in (solved.x if solved.x is not None else [])]
    return [[floors[i][j] + step * chosen[place(i, j)] for j in range(width + 1)] for i in range(count + 1)]
