"""The kinds of single values that terms are made of: exact decimals, dates, ids, currencies, zones.

Each is strict: a string is no integer, a boolean is no number, a naive time is no instant.
"""

import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from babel import Locale
from babel.core import get_global
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

EvidenceGrade = Literal["P", "S1", "S2", "assumed"]
# What a share's receivable is in the books: it decides which model of credit loss covers it.
ReceivableClass = Literal["asc606_receivable", "financing_receivable", "operating_lease", "derivative"]

# ISO 4217 minor units where they are not 2 (table A.1 of the standard). Babel's own table follows CLDR, which gives
# everyday use (0 for ALL, IRR, LAK …) rather than the standard.
ISO_4217_DIGITS_NOT_TWO = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}


def minor_unit_digits(currency_code: str) -> int:
    """Decimal places of a currency by ISO 4217."""
    return ISO_4217_DIGITS_NOT_TWO.get(currency_code, 2)


@cache
def currency_codes() -> frozenset[str]:
    """ISO 4217 codes that are legal tender somewhere today (CLDR through Babel)."""
    return frozenset(
        code
        for entries in get_global("territory_currencies").values()
        for code, _start, end, is_tender in entries
        if end is None and is_tender
    )


@cache
def country_codes() -> frozenset[str]:
    """ISO 3166-1 alpha-2 codes (CLDR through Babel)."""
    return frozenset(str(code) for code in Locale("en").territories if re.fullmatch(r"[A-Z]{2}", str(code)))


@cache
def time_zones() -> frozenset[str]:
    """IANA zone names."""
    return frozenset(available_timezones())


def _decimal(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError("should be a decimal, written plainly or as a string")  # noqa: TRY004  # pydantic wants ValueError
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise ValueError(f"{value!r} is no decimal number") from error
    if not number.is_finite():
        raise ValueError(f"{value!r} is no finite number")
    return number.quantize(Decimal(1)) if number.as_tuple().exponent > 0 else number  # type: ignore[operator]  # finite


def _date(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no date like 2026-10-01") from error
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError("should be a date like 2026-10-01")  # noqa: TRY004  # pydantic wants ValueError
    return value


def _instant(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no instant like 2026-06-12T00:00:00Z") from error
    if not isinstance(value, datetime):
        raise ValueError("should be an instant with its offset, like 2026-06-12T00:00:00Z")  # noqa: TRY004  # pydantic wants ValueError
    if value.utcoffset() is None:
        raise ValueError("has no offset; add Z or one like +10:00")
    return value.astimezone(UTC)


def _bound(value: Any) -> Any:
    """A tier's bound: a month, an amount, a price, a fraction or a date; the axis says which, and is checked later."""
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return _date(value)
    return _decimal(value)


def _member(codes: Any, what: str) -> AfterValidator:
    def check(value: str) -> str:
        if value not in codes():
            raise ValueError(f"{value!r} is no {what}")
        return value

    return AfterValidator(check)


class Model(BaseModel):
    """Base of all terms: immutable, strict, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


_Exact = BeforeValidator(_decimal)

# Widths are those of the raw tables: what would not fit is refused, never rounded.
Rate = Annotated[Decimal, _Exact, Field(max_digits=18, decimal_places=9)]
Fraction = Annotated[Decimal, _Exact, Field(max_digits=18, decimal_places=9, ge=0, le=1)]
Price = Annotated[Decimal, _Exact, Field(max_digits=18, decimal_places=9, ge=0)]
Money = Annotated[Decimal, _Exact, Field(max_digits=18, decimal_places=2)]
PositiveMoney = Annotated[Decimal, _Exact, Field(max_digits=18, decimal_places=2, ge=0)]
Hours = Annotated[Decimal, _Exact, Field(max_digits=18, decimal_places=6, ge=0)]
Megawatt = Annotated[Decimal, _Exact, Field(max_digits=18, decimal_places=6, gt=0)]
Ratio = Annotated[Decimal, _Exact, Field(max_digits=9, decimal_places=6, gt=0)]
Weight = Annotated[Decimal, _Exact, Field(max_digits=9, decimal_places=6, ge=0, le=1)]
Bound = Annotated[Decimal | date | None, BeforeValidator(_bound)]
Day = Annotated[date, BeforeValidator(_date)]
Instant = Annotated[datetime, BeforeValidator(_instant)]
Days = Annotated[int, Field(ge=0, le=36_600)]
Month = Annotated[int, Field(ge=1, le=1_200)]
Text = Annotated[str, Field(min_length=1)]
# Ids stand in paths, in partition names and, parted by colons, in entry ids.
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$")]
CurrencyCode = Annotated[str, _member(currency_codes, "ISO 4217 currency code in use")]
CountryCode = Annotated[str, _member(country_codes, "ISO 3166 country code")]
TimeZone = Annotated[str, _member(time_zones, "IANA time zone")]


class Evidence(Model):
    """Where a value comes from: P filed or quoted from a party, S1 press or analyst, S2 aggregator, assumed."""

    grade: EvidenceGrade
    source: Text


EvidenceMap = dict[str, Evidence]
