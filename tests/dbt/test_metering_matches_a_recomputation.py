"""Random files of three parks, landed and metered, against the same hours by hand: days of 23 and 25 hours, half-hour zones, a leap day."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import metering_by_hand as by_hand
import pytest
from building import run_dbt
from metering_by_hand import HOUR, Park, Tranche

from ingest import kept_journal, landing
from ingest.terms.home import load_home
from ingest.terms.init import write_example_home
from ingest.terms.tables import write_terms
from ingest.terms.templates import PARK

CLOCK = "2028-03-10"
RECORDED = datetime(2028, 3, 1, 12, tzinfo=UTC)
# The first of two days: one hour twice in Adelaide, one left out in New York, 29 February in Kolkata.
PARKS = {
    "adelaide": ("Australia/Adelaide", date(2027, 4, 3)),
    "new-york": ("America/New_York", date(2027, 3, 13)),
    "kolkata": ("Asia/Kolkata", date(2028, 2, 28)),
}
DAYS = 2
# A GPU-hour is divided once, to a hundred-thousandth of a second and a microjoule; what is published has nine decimals.
ULP = Fraction(1, 10**9)


def random_park(draw: random.Random, park_id: str, gpus: int) -> Park:
    """Two tranches, the second energised a day later, with rows of every feed that metering reads."""
    zone, first = ZoneInfo(PARKS[park_id][0]), PARKS[park_id][1]
    second = first + timedelta(days=1)
    tranches = [Tranche(f"{park_id}-a", "a-", gpus + 2, first), Tranche(f"{park_id}-b", "b-", gpus, second)]
    park = Park(park_id, zone, draw.choice([300, 600]), tranches)
    begin, middle, end = (by_hand.midnight(park, first + timedelta(days=n)) for n in range(DAYS + 1))

    def instant(low: datetime = begin, high: datetime = end) -> datetime:
        return low + timedelta(seconds=draw.randrange(int((high - low).total_seconds())))

    for number in range(2 * gpus):
        in_b = number >= gpus
        at, moves_at, rack = middle if in_b else begin, instant(middle), draw.random() < 0.2
        silent_from = instant()
        silent_to = silent_from + HOUR * draw.randrange(6)
        while at < end:
            moved = at >= moves_at and number % 4 == 0
            row = {
                "gpu_id": f"g{number}",
                "node_id": f"{'ab'[in_b != moved]}-{number // 2}",
                "gpu_model": "GB300",
                "sampled_at": at,
                "utilization_pct": None if draw.random() < 0.1 else Decimal(draw.randrange(1001)) / 10,
                "power_w": None if draw.random() < 0.1 else Decimal(draw.randrange(10_000, 120_000)) / 100,
                # A rack read as one, now and then with a GPU less; two GPUs stand behind it.
                "gpu_count": draw.choice([1, 2, 2]) if rack else 1,
                "xid_code": draw.choice([31, 79]) if draw.random() < 0.005 else None,
                "recorded_at": RECORDED,
            }
            if not silent_from <= at < silent_to and draw.random() > 0.05:
                park.telemetry.append(row)
                if draw.random() < 0.03:  # said once more, and otherwise
                    park.telemetry.append({**row, "utilization_pct": Decimal(7), "recorded_at": RECORDED + HOUR})
                if draw.random() < 0.03:  # an odd sample between two: an hour may have too many
                    park.telemetry.append({**row, "sampled_at": at + timedelta(seconds=draw.randrange(1, 120))})
            at += timedelta(seconds=park.interval_seconds)
    for number, tranche in enumerate(tranches * 2):
        starts_at = instant()
        lease = {
            "lease_id": f"{park_id}-l{number}",
            "version": 1,
            "tenant_id": "t",
            "contract_id": None,
            "tranche_id": tranche.tranche_id,
            "gpu_model": "GB300",
            "gpu_count": draw.randrange(1, gpus + 1),
            "starts_at": starts_at,
            "ends_at": end + HOUR * draw.randrange(48),
            "price_per_gpu_hour": Decimal(draw.randrange(100, 400)) / 100,
            "currency_code": "USD",
            "workload": "training",
            "customer_type": draw.choice(["third_party", "vendor_own_use"]),
            "pricing": "reserved",
            "status": "active",
            "recorded_at": RECORDED,
        }
        later = {
            "version": 2,
            "starts_at": max(starts_at, instant()),
            "gpu_count": 1,
            "status": draw.choice(["active", "cancelled"]),
        }
        park.leases += [lease, {**lease, **later}]
        day = draw.choice([first, second])
        for_usage = {
            "lease_id": lease["lease_id"],
            "interval_start_at": by_hand.midnight(park, day),
            "recorded_at": RECORDED,
        }
        park.usage.append(
            {
                **for_usage,
                "interval_end_at": by_hand.midnight(park, day) + 6 * HOUR,
                "gpu_hours": Decimal(draw.randrange(30)),
            }
        )
    for number in range(5):
        effective_at = instant()
        park.events.append(
            {
                "event_id": f"{park_id}-e{number}",
                "contract_id": None,
                "tranche_id": draw.choice(tranches).tranche_id,
                "kind": draw.choice(["maintenance", "operator_fault", "power_curtailment"]),
                "effective_at": effective_at,
                "ends_at": effective_at + timedelta(minutes=draw.randrange(1, 600)),
                "gpu_count": draw.randrange(1, gpus),
                "recorded_at": RECORDED,
            }
        )
    for role in ["facility", "it"] if draw.random() < 0.5 else ["facility"]:
        for day in (first, second):
            at = by_hand.midnight(park, day)
            for interval in by_hand.day_hours(park, day):
                park.meters.append(
                    {
                        "meter_id": role,
                        "register": "E1",
                        "role": role,
                        "interval_start_at": interval,
                        "interval_end_at": interval + HOUR,
                        "energy_kwh": Decimal(draw.randrange(1, 40 if role == "facility" else 20)) / 4,
                        "quality": "actual",
                        "recorded_at": RECORDED,
                    }
                )
    return park


def write(home: Path, park: Park) -> None:
    """The park's file of terms, and a CSV of each feed with its rows in any order."""
    head, _, _ = PARK.partition("tranches:")
    head = head.replace("my-park-1", park.park_id).replace("Australia/Sydney", str(park.zone))
    head = head.replace("telemetry_interval_seconds: 60", f"telemetry_interval_seconds: {park.interval_seconds}")
    tranches = "".join(
        f"  - {{tranche_id: {t.tranche_id}, contract_id: null, gpu_model: GB300, gpu_count: {t.gpu_count}, "
        f'planned_date: {t.energised_date}, energised_date: {t.energised_date}, nodes: "{t.nodes}*"}}\n'
        for t in park.tranches
    )
    (home / "parks" / f"{park.park_id}.yaml").write_text(f"{head}tranches:\n{tranches}", encoding="utf-8")
    feeds = {
        "gpu_telemetry": park.telemetry,
        "leases": park.leases,
        "credit_events": park.events,
        "power_meter": park.meters,
        "lease_usage": park.usage,
    }
    for feed, rows in feeds.items():
        folder = home / "landing" / park.park_id / feed
        folder.mkdir(parents=True)
        with (folder / "all.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            for row in random.Random(feed).sample(rows, len(rows)):
                writer.writerow({k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()})


def metered(home: Path, parks: list[Park]) -> duckdb.DuckDBPyConnection:
    """Land the parks' files and build what metering publishes."""
    write_example_home(home)
    (home / "home.yaml").write_text(f"title: By hand\nas_of: {CLOCK}\n", encoding="utf-8")
    for park in parks:
        write(home, park)
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        landing.create_raw_tables(con)
        kept_journal.create_tables(con)
        loaded = load_home(home)
        write_terms(con, loaded)
        landed = landing.land(con, loaded, landing.pending(con, loaded))
        assert [(f.feed, f.quarantined_count) for f in landed if f.quarantined_count] == []
    done = run_dbt(home, "run", "--select", "+fct_metering_exceptions")
    assert done.returncode == 0, done.stdout[-4000:]
    con = duckdb.connect(str(home / "warehouse.duckdb"), read_only=True)
    con.execute("SET TimeZone = 'UTC'")
    return con


def near(found: Decimal | None, expected: Fraction, slack: Fraction = ULP) -> bool:
    return found is not None and abs(Fraction(found) - expected) <= slack


@dataclass(frozen=True)
class Published:
    """GPU-hours of a tranche's hour as published, which agree with those by hand within what racks are held to."""

    installed: Fraction
    no_sample: Fraction
    leased: Fraction
    busy: Fraction


def compare_hours(
    con: duckdb.DuckDBPyConnection, park: Park, hours: dict[tuple[str, datetime], by_hand.Hour], days: list[date]
) -> dict[tuple[str, datetime], Published]:
    """Hold each hour against that by hand; the hours as published."""
    rows = con.execute(
        "SELECT tranche_id, interval_start_at, installed_gpu_hours, maintenance_gpu_hours, fault_gpu_hours, no_sample_gpu_hours,"
        " curtailment_gpu_hours, leased_gpu_hours, available_gpu_hours, busy_gpu_hours, it_energy_kwh, coverage_fraction"
        " FROM metering.fct_capacity_hour WHERE park_id = ? AND service_date BETWEEN ? AND ?",
        [park.park_id, days[0], days[-1]],
    ).fetchall()
    found = {(row[0], row[1].astimezone(UTC)): row[2:] for row in rows}
    assert found.keys() == hours.keys()
    for key, hour in hours.items():
        # Racks with a changing count are held to thousandths of a GPU.
        gpus = ULP + Fraction(hour.measured, 2000)
        installed, maintenance, fault, no_sample, curtailment, leased, available, busy, energy, coverage = found[key]
        assert near(installed, hour.installed), key
        assert near(maintenance, hour.maintenance), key
        assert near(fault, hour.fault, gpus), key
        assert near(no_sample, hour.no_sample, gpus), key
        assert near(curtailment, hour.curtailment), key
        assert near(leased, hour.leased), key
        assert near(available, hour.available, gpus), key
        # To the second, and beyond: nothing is lost between the causes.
        assert installed == available + no_sample + fault + maintenance, key
        assert near(busy, hour.busy, ULP + Fraction(hour.measured, 2 * 360_000_000)), key
        assert near(energy, hour.energy, ULP + Fraction(hour.measured, 10**12)), key
        assert near(coverage, hour.coverage, ULP + Fraction(hour.measured, 10**6)), key
    return {key: Published(*(Fraction(row[place]) for place in (0, 3, 5, 7))) for key, row in found.items()}


def sums(
    hours: dict[tuple[str, datetime], by_hand.Hour], published: dict[tuple[str, datetime], Published], park: Park
) -> dict[tuple[str, date], dict[str, Fraction]]:
    """By tranche and day: what contradicts what, hour by hour as published, and the energy of telemetry by hand."""
    found: dict[tuple[str, date], dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for (tranche_id, at), hour in published.items():
        day = found[tranche_id, at.astimezone(park.zone).date()]
        day["busy_without_lease"] += max(Fraction(0), hour.busy - hour.leased)
        day["leased_without_telemetry"] += max(Fraction(0), hour.leased - (hour.installed - hour.no_sample))
        day["over_leased"] += max(Fraction(0), hour.leased - hour.installed)
        day["energy"] += hours[tranche_id, at].energy
    return found


def compare_days(
    con: duckdb.DuckDBPyConnection, park: Park, by_day: dict[tuple[str, date], dict[str, Fraction]], days: list[date]
) -> None:
    expected: dict[tuple[str, str | None, date], Fraction] = {
        (kind, tranche_id, day): value
        for (tranche_id, day), kinds in by_day.items()
        for kind, value in kinds.items()
        if kind != "energy" and value > 0
    }
    power = {
        row[0]: row[1:]
        for row in con.execute(
            "SELECT service_date, facility_energy_kwh, it_energy_kwh, pue FROM metering.fct_power_day WHERE park_id = ?",
            [park.park_id],
        ).fetchall()
    }
    assert sorted(power) == days
    for day in days:
        telemetry = sum((kinds["energy"] for (_, d), kinds in by_day.items() if d == day), Fraction(0))
        facility, meter = (
            Fraction(by_hand.energy_of_day(park, day, "facility") or 0),
            by_hand.energy_of_day(park, day, "it"),
        )
        it = telemetry if meter is None else Fraction(meter)
        assert near(power[day][0], facility), day
        assert near(power[day][1], it, Fraction(1, 10**6)), day
        assert near(power[day][2], facility / it, Fraction(1, 10**6)), day
        if not 1 <= facility / it <= 2:
            expected["pue_out_of_bounds", None, day] = facility / it
        limit = facility if meter is None else Fraction(meter)
        if telemetry > limit:
            expected["energy_mismatch", None, day] = telemetry - limit
    billed: dict[tuple[str, date], Fraction] = defaultdict(Fraction)
    for row, span in by_hand.held(park):
        for day in days:
            whole = (by_hand.midnight(park, day), by_hand.midnight(park, day + timedelta(days=1)))
            billed[row["lease_id"], day] += row["gpu_count"] * by_hand.overlap(whole, span)
    found = dict(
        con.execute(
            "SELECT lease_id || ' ' || service_date, billed_gpu_hours FROM metering.fct_lease_revenue_day WHERE park_id = ?"
            " AND service_date BETWEEN ? AND ? AND billed_gpu_hours > 0",
            [park.park_id, days[0], days[-1]],
        ).fetchall()
    )
    assert found.keys() == {f"{lease} {day}" for (lease, day), hours_billed in billed.items() if hours_billed > 0}
    assert all(near(found[f"{lease} {day}"], value) for (lease, day), value in billed.items() if value > 0)
    # Use counts in the version in which it starts; before the lease and after it in none.
    for use in park.usage:
        rules = [span for row, span in by_hand.held(park, billing_only=False) if row["lease_id"] == use["lease_id"]]
        day = use["interval_start_at"].astimezone(park.zone).date()
        excess = billed[use["lease_id"], day] - Fraction(use["gpu_hours"])
        if any(low <= use["interval_start_at"] < high for low, high in rules) and excess > 0:
            [tranche_id] = {row["tranche_id"] for row in park.leases if row["lease_id"] == use["lease_id"]}
            expected["billed_over_metered", tranche_id, day] = (
                expected.get(("billed_over_metered", tranche_id, day), Fraction(0)) + excess
            )
    told: dict[Any, Fraction] = defaultdict(Fraction)
    for kind, tranche_id, day, quantity in con.execute(
        "SELECT kind, tranche_id, service_date, quantity FROM metering.fct_metering_exceptions WHERE park_id = ?"
        " AND service_date BETWEEN ? AND ? AND kind <> 'lease_versions_overlap'",
        [park.park_id, days[0], days[-1]],
    ).fetchall():
        told[kind, tranche_id, day] += Fraction(quantity)
    small = Fraction(1, 10**6)
    assert {key for key, value in told.items() if value > small} == {
        key for key, value in expected.items() if value > small
    }
    off = {
        key: (float(told[key]), float(value)) for key, value in expected.items() if abs(told[key] - value) > 25 * small
    }
    assert off == {}, park.park_id


def compare(home: Path, seeds: range, gpus: int) -> int:
    """Meter random parks and compare; how many hours of tranches were compared."""
    parks = []
    for seed in seeds:
        draw = random.Random(seed)
        for name in PARKS:
            park = random_park(draw, name, gpus)
            other = {t.tranche_id: f"{t.tranche_id}-{seed}" for t in park.tranches}
            for row in [*park.leases, *park.events]:
                row["tranche_id"] = other[row["tranche_id"]]
            park.tranches = [replace(t, tranche_id=other[t.tranche_id]) for t in park.tranches]
            for row in [*park.leases, *park.usage]:
                row["lease_id"] = f"{row['lease_id']}-{seed}"
            for row in park.events:
                row["event_id"] = f"{row['event_id']}-{seed}"
            park.park_id = f"{name}-{seed}"
            parks.append((park, PARKS[name][1]))
    compared = 0
    con = metered(home, [park for park, _ in parks])
    for park, first in parks:
        days = [first + timedelta(days=n) for n in range(DAYS)]
        hours = by_hand.capacity(park, days)
        published = compare_hours(con, park, hours, days)
        compare_days(con, park, sums(hours, published, park), days)
        compared += len(hours)
    return compared


def test_random_hours_of_three_zones_are_those_of_a_recomputation_from_the_documents(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # 24 + 25 + 25, 24 + 23 + 23 and 24 + 24 + 24 hours: the second tranche comes a day later.
    assert compare(tmp_path_factory.mktemp("by-hand"), range(1), gpus=4) == 216


@pytest.mark.slow
def test_many_random_hours_are_those_of_a_recomputation_from_the_documents(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    assert compare(tmp_path_factory.mktemp("by-hand-many"), range(1, 9), gpus=12) == 8 * 216
