"""A month of a contract from its landing files, in fractions and without any of the product's code.

It follows the readings of the contract on billed hours (a lease's count times its hours, or its usage), on gross and
net billed revenue and on the hours a backstop buys back, for whole months in which no term changes.
"""

import csv
import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

BILLED_KINDS = {"sales_tax", "power_passthrough", "other_revenue"}
REDUCING_KINDS = {"credit", "refund", "sla_penalty"}
BILLING_STATES = {"active", "ended"}
HOUR_SECONDS = 3600


@dataclass(frozen=True)
class Month:
    """From the first midnight of a month to the next one's, of one zone's clock."""

    year: int
    month: int
    zone: ZoneInfo

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=self.zone).astimezone(UTC)

    @property
    def end(self) -> datetime:
        following = (self.year + 1, 1) if self.month == 12 else (self.year, self.month + 1)
        return datetime(*following, 1, tzinfo=self.zone).astimezone(UTC)

    @property
    def hours(self) -> Fraction:
        return Fraction(int((self.end - self.start).total_seconds()), HOUR_SECONDS)


def rounded(amount: Fraction, digits: int = 2) -> Decimal:
    """Half away from zero."""
    exact = Decimal(amount.numerator) / Decimal(amount.denominator)
    return exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def rows(folder: Path) -> Iterator[dict[str, str]]:
    """Rows of a feed's readable files; a file with another header is none of them."""
    for path in sorted(folder.glob("*.csv*")):
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            yield from csv.DictReader(file)


def counting(found: Iterable[dict[str, str]], key: tuple[str, ...], clock: datetime) -> list[dict[str, str]]:
    """Per key the row recorded last among those known when the clock stops."""
    last: dict[tuple[str, ...], dict[str, str]] = {}
    for row in found:
        name = tuple(row[column] for column in key)
        if instant(row["recorded_at"]) <= clock and (
            name not in last or instant(last[name]["recorded_at"]) < instant(row["recorded_at"])
        ):
            last[name] = row
    return list(last.values())


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def fraction(text: str) -> Fraction | None:
    try:
        return Fraction(text)
    except ValueError:
        return None


class Landing:
    """What one park's operator has delivered."""

    def __init__(self, home: Path, park: str, clock: datetime) -> None:
        folder = home / "landing" / park
        self.versions = counting(rows(folder / "leases"), ("lease_id", "version"), clock)
        known = {row["lease_id"] for row in self.versions}
        usage = [
            row
            for row in rows(folder / "lease_usage")
            if row["lease_id"] in known
            and (fraction(row["gpu_hours"]) or 0) > 0
            and instant(row["interval_start_at"]) < instant(row["interval_end_at"])
            and self._fits(row)
        ]
        self.usage = counting(usage, ("lease_id", "interval_start_at"), clock)
        self.adjustments = counting(rows(folder / "lease_adjustments"), ("adjustment_id",), clock)
        self.payments = counting(
            (row for row in rows(folder / "payments") if "payment_id" in row), ("payment_id",), clock
        )

    def _fits(self, row: dict[str, str]) -> bool:
        """No more GPU-hours than the lease has GPUs in that time."""
        span = instant(row["interval_end_at"]) - instant(row["interval_start_at"])
        count = max(int(lease["gpu_count"]) for lease in self.versions if lease["lease_id"] == row["lease_id"])
        return Fraction(row["gpu_hours"]) <= count * Fraction(int(span.total_seconds()), HOUR_SECONDS)

    def spans(self) -> Iterator[tuple[dict[str, str], datetime, datetime]]:
        """Each version in force: from its start to the next version's, or to its own end."""
        by_lease: dict[str, list[dict[str, str]]] = {}
        for row in sorted(self.versions, key=lambda row: int(row["version"])):
            by_lease.setdefault(row["lease_id"], []).append(row)
        for versions in by_lease.values():
            starting = {
                instant(row["starts_at"]): row for row in versions
            }  # a later version from the same start replaces
            starts = sorted(starting)
            for start, following in zip(starts, [*starts[1:], None], strict=True):
                end = instant(starting[start]["ends_at"])
                yield starting[start], start, min(end, following) if following else end

    def billed(self, month: Month) -> Iterator[tuple[dict[str, str], Fraction]]:
        """Leases in force with their billed GPU-hours of the month."""
        for lease, start, end in self.spans():
            first, last = max(start, month.start), min(end, month.end)
            if lease["status"] not in BILLING_STATES or first >= last:
                continue
            if lease["pricing"] == "reserved":
                yield (
                    lease,
                    int(lease["gpu_count"]) * Fraction(int((last - first) / timedelta(seconds=1)), HOUR_SECONDS),
                )
            else:
                yield (
                    lease,
                    sum(
                        (
                            Fraction(row["gpu_hours"])
                            for row in self.usage
                            if row["lease_id"] == lease["lease_id"]
                            and first <= instant(row["interval_start_at"]) < last
                        ),
                        Fraction(0),
                    ),
                )

    def adjusted(self, month: Month, leases: set[str], kinds: set[str]) -> Fraction:
        return sum(
            (
                Fraction(row["amount"])
                for row in self.adjustments
                if row["lease_id"] in leases
                and row["kind"] in kinds
                and row["service_date"].startswith(f"{month.year}-{month.month:02d}")
            ),
            Fraction(0),
        )
