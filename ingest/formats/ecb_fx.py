"""The European Central Bank's reference rates as it publishes them (eurofxref-hist.csv, eurofxref.csv): no feed, a
reference.

Units of a currency per euro, newest first, `N/A` where none was set, an empty last column, no weekends.
"""

from datetime import date, datetime
from decimal import Decimal, InvalidOperation, localcontext
from pathlib import Path

import polars as pl

from ingest.formats.errors import FormatError
from ingest.formats.opening import texts

SCHEMA = pl.Schema(
    {
        "rate_date": pl.Date(),
        "from_currency": pl.String(),
        "to_currency": pl.String(),
        "rate": pl.Decimal(18, 9),
        "source": pl.String(),
    }
)


def _day(path: Path, text: str, line_no: int) -> date:
    for form in ("%Y-%m-%d", "%d %B %Y"):
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 (a publication date has no clock)
        except ValueError:
            continue
    raise FormatError(path, [f"line {line_no}: {text!r} is no date"])


def read_ecb_fx(path: Path) -> pl.DataFrame:
    """Euro reference rates, oldest first.

    Args:
        path: the CSV, or the zip that the bank offers.

    Returns:
        rate_date, from_currency (EUR), to_currency, rate (units of to_currency per euro, decimal), source (ecb).

    Raises:
        FormatError: no header `Date,USD,…`, a line of another length, a rate that is no positive number, a date twice.
    """
    rows: list[dict[str, object]] = []
    for _, text in texts(path):
        lines = [line for line in text.splitlines() if line.strip()]
        names = [cell.strip() for cell in lines[0].split(",")] if lines else []
        if names[:2] != ["Date", "USD"] or not all(len(name) in {0, 3} for name in names[1:]):
            raise FormatError(path, ["the first line is not `Date,USD,…` with a currency a column"])
        for line_no, line in enumerate(lines[1:], start=2):
            cells = [cell.strip() for cell in line.split(",")]
            if len(cells) != len(names):
                raise FormatError(path, [f"line {line_no} has {len(cells)} cells, the header {len(names)}"])
            day = _day(path, cells[0], line_no)
            for name, cell in zip(names[1:], cells[1:], strict=True):
                if not name or cell in {"N/A", ""}:
                    continue
                try:
                    rate = Decimal(cell)
                except InvalidOperation as error:
                    raise FormatError(path, [f"line {line_no}: {name} is {cell!r}, no number"]) from error
                if not rate.is_finite() or rate <= 0:
                    raise FormatError(path, [f"line {line_no}: {name} is {cell}, not above zero"])
                rows.append(
                    {"rate_date": day, "from_currency": "EUR", "to_currency": name, "rate": rate, "source": "ecb"}
                )
    frame = pl.DataFrame(rows, schema=SCHEMA).sort("rate_date", "to_currency")
    twice = frame.filter(frame.select("rate_date", "to_currency").is_duplicated())
    if twice.height:
        raise FormatError(path, [f"{twice['rate_date'][0]} stands there twice"])
    return frame


def cross_rate(rates: pl.DataFrame, day: date, from_currency: str, to_currency: str) -> Decimal:
    """Units of one currency per unit of another on a day, through the euro, with 28 significant digits.

    Args:
        rates: from `read_ecb_fx`.
        day: the publication date itself; no earlier rate is taken in its place.
        from_currency: ISO 4217.
        to_currency: ISO 4217.

    Raises:
        LookupError: the bank set no rate for one of them that day.
    """

    def per_euro(currency: str) -> Decimal:
        if currency == "EUR":
            return Decimal(1)
        found = rates.filter((pl.col("rate_date") == day) & (pl.col("to_currency") == currency))["rate"]
        if found.is_empty():
            raise LookupError(f"no reference rate of {currency} on {day}")
        return Decimal(found[0])

    with localcontext(prec=28):
        return per_euro(to_currency) / per_euro(from_currency)
