"""Metering once more, from the operators' rows alone, in whole numbers and fractions: DOMAIN section 3, INPUTS, readings 1, 7 and 29.

Written from the documents, not from the models: rows are dictionaries as they were written into the files, an hour is found with zoneinfo,
and nothing is read from the warehouse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

FATAL = {48, 62, 79, 94, 95, 119, 120}
HOUR = timedelta(hours=1)
Row = dict[str, Any]


@dataclass
class Tranche:
    """GPUs of one delivery; a node belongs to it by the first letters of its name."""

    tranche_id: str
    nodes: str
    gpu_count: int
    energised_date: date


@dataclass
class Park:
    """A park with what its operator sent: rows by feed."""

    park_id: str
    zone: ZoneInfo
    interval_seconds: int
    tranches: list[Tranche]
    telemetry: list[Row] = field(default_factory=list)
    leases: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    meters: list[Row] = field(default_factory=list)
    usage: list[Row] = field(default_factory=list)


@dataclass
class Hour:
    """GPU-hours of a tranche in one hour of the park's clock; energy in kWh; how many GPU-hours were measured."""

    installed: Fraction
    maintenance: Fraction
    fault: Fraction
    no_sample: Fraction
    curtailment: Fraction
    leased: Fraction
    busy: Fraction
    energy: Fraction
    coverage: Fraction
    measured: int

    @property
    def available(self) -> Fraction:
        """What is neither silent nor failed nor maintained."""
        return self.installed - self.maintenance - self.fault - self.no_sample


def midnight(park: Park, day: date) -> datetime:
    """The instant at which a day of the park's clock begins."""
    return datetime.combine(day, time(), park.zone).astimezone(UTC)


def day_hours(park: Park, day: date) -> Iterator[datetime]:
    """The instants at which the 23, 24 or 25 hours of a day begin."""
    at = midnight(park, day)
    while at < midnight(park, day + timedelta(days=1)):
        yield at
        at += HOUR


def overlap(a: tuple[datetime, datetime], b: tuple[datetime, datetime]) -> Fraction:
    """Hours that two intervals share."""
    shared = min(a[1], b[1]) - max(a[0], b[0])
    return max(Fraction(0), Fraction(shared // timedelta(microseconds=1), 3_600_000_000))


def held(park: Park, *, billing_only: bool = True) -> Iterator[tuple[Row, tuple[datetime, datetime]]]:
    """Reading 7: a version holds from its start until a later version's start or its own end; same version, last recorded."""
    by_lease: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in sorted(park.leases, key=lambda r: r["recorded_at"]):
        by_lease[row["lease_id"]][row["version"]] = row
    for versions in by_lease.values():
        for version, row in versions.items():
            until = min([row["ends_at"], *(r["starts_at"] for v, r in versions.items() if v > version)])
            if row["starts_at"] < until and (row["status"] in {"active", "ended"} or not billing_only):
                yield row, (row["starts_at"], until)


def samples(park: Park) -> dict[tuple[str, datetime], list[list[Row]]]:
    """By tranche and hour the samples of each GPU: of one GPU and instant the row recorded last counts."""
    last: dict[tuple[str, datetime], Row] = {}
    for row in park.telemetry:
        key = (row["gpu_id"], row["sampled_at"])
        if key not in last or row["recorded_at"] >= last[key]["recorded_at"]:
            last[key] = row
    found: dict[tuple[str, datetime], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in last.values():
        local = row["sampled_at"].astimezone(park.zone)
        began = row["sampled_at"] - timedelta(
            minutes=local.minute, seconds=local.second, microseconds=local.microsecond
        )
        [tranche] = [t for t in park.tranches if row["node_id"].startswith(t.nodes)]
        found[tranche.tranche_id, began][row["gpu_id"]].append(row)
    return {key: list(gpus.values()) for key, gpus in found.items()}


def gpu_hour(park: Park, rows: list[Row]) -> tuple[Fraction, Fraction, Fraction, Fraction, bool]:
    """GPUs that stand behind the rows, then observed and busy seconds, joules, and whether an XID was fatal."""
    gpus = Fraction(sum(r["gpu_count"] for r in rows), len(rows))
    observed = gpus * min(3600, len(rows) * park.interval_seconds)

    def mean(column: str) -> Fraction:
        told = [r for r in rows if r[column] is not None]
        weight = sum(r["gpu_count"] for r in told)
        return sum(Fraction(r[column]) * r["gpu_count"] for r in told) / weight if told else Fraction(0)

    fatal = any(r["xid_code"] in FATAL for r in rows)
    return gpus, observed, mean("utilization_pct") / 100 * observed, mean("power_w") * observed, fatal


def capacity(park: Park, days: list[date]) -> dict[tuple[str, datetime], Hour]:
    """Every hour of the days and of each tranche that has been energised by then."""
    measured = samples(park)
    found = {}
    for tranche in park.tranches:
        for day in (d for d in days if d >= tranche.energised_date):
            for at in day_hours(park, day):
                found[tranche.tranche_id, at] = _hour(park, tranche, at, measured.get((tranche.tranche_id, at), []))
    return found


def _hour(park: Park, tranche: Tranche, at: datetime, gpus: list[list[Row]]) -> Hour:
    hour = (at, at + HOUR)
    installed = Fraction(tranche.gpu_count)

    def declared(kind: str) -> Fraction:
        return sum(
            (
                min(e["gpu_count"], tranche.gpu_count) * overlap(hour, (e["effective_at"], e["ends_at"]))
                for e in park.events
                if e["kind"] == kind and e["tranche_id"] == tranche.tranche_id
            ),
            Fraction(0),
        )

    each = [gpu_hour(park, rows) for rows in gpus]
    failed = sum((g[0] for g in each if g[4]), Fraction(0))
    silent = max(Fraction(0), installed - sum((g[0] for g in each), Fraction(0)))
    # What is declared explains failed GPUs first and silent ones after; each GPU-hour has one cause.
    maintenance = min(installed, declared("maintenance"))
    known = min(installed, declared("maintenance") + declared("operator_fault"))
    found_failed = min(installed - known, max(Fraction(0), failed - known))
    found_silent = min(installed - known - found_failed, max(Fraction(0), silent - max(Fraction(0), known - failed)))
    observed = sum((g[1] for g in each), Fraction(0))
    return Hour(
        installed=installed,
        maintenance=maintenance,
        fault=known - maintenance + found_failed,
        no_sample=found_silent,
        curtailment=min(installed, declared("power_curtailment")),
        leased=sum(
            (
                row["gpu_count"] * overlap(hour, span)
                for row, span in held(park)
                if row["tranche_id"] == tranche.tranche_id
            ),
            Fraction(0),
        ),
        busy=sum((g[2] for g in each), Fraction(0)) / 3600,
        energy=sum((g[3] for g in each), Fraction(0)) / 3_600_000,
        coverage=min(Fraction(1), observed / 3600 / installed),
        measured=len(each),
    )


def energy_of_day(park: Park, day: date, role: str) -> Decimal | None:
    """What the meters of a role told of a day; nothing where none told anything."""
    told = [
        m["energy_kwh"]
        for m in park.meters
        if m["role"] == role and m["interval_start_at"].astimezone(park.zone).date() == day
    ]
    return sum(told) if told else None
