"""The park's power meters: half-hours of IT load, of the whole facility, and of one park's own generation."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from ingest.simulate import days
from ingest.simulate.outages import Grid
from ingest.simulate.plan import ParkPlan
from ingest.simulate.seeds import generator

# Loss between the rack's meter and the hall's; PUE about its mean over the day. Assumed: no PUE of a site is public.
DISTRIBUTION_LOSS = 0.015
PUE_MEAN, PUE_SWING, PUE_NOISE = 1.22, 0.04, 0.01
GENERATION_FRACTION = 0.03  # of the greatest IT power, at noon
SUBSTITUTED, ESTIMATED = 0.004, 0.002

HEADER = (
    "meter_id",
    "register",
    "role",
    "interval_start_at",
    "interval_end_at",
    "energy_kwh",
    "quality",
    "recorded_at",
)


def meter_rows(
    seed: int, park: ParkPlan, grid: Grid, telemetry_w: npt.NDArray[np.float64], *, has_generation: bool
) -> Iterator[tuple[object, ...]]:
    """Rows of one park and month under HEADER; `telemetry_w` is the watts of all racks by hour of the grid."""
    draw = generator(seed, park.park_id, "power_meter", grid.month)
    halves = 2 * len(grid.hour_at)
    hour = np.repeat(np.arange(len(grid.hour_at)), 2)
    it_kwh = telemetry_w[hour] / 1000 / 2 * (1 + DISTRIBUTION_LOSS)
    tilt = draw.uniform(-0.01, 0.01, len(grid.hour_at))
    it_kwh *= 1 + np.ravel(np.column_stack([tilt, -tilt]))  # the two halves still sum to the hour
    hour_of_day = (grid.hour_of_week % 24)[hour] + np.tile([0.0, 0.5], len(grid.hour_at))
    low, high = float(park.pue_min), float(park.pue_max)
    pue = PUE_MEAN + PUE_SWING * np.sin((hour_of_day - 9) / 24 * 2 * np.pi) + draw.normal(0, PUE_NOISE, halves)
    pue = np.clip(pue, low + (high - low) * 0.02, high - (high - low) * 0.02)
    sun = np.clip(np.sin((hour_of_day - 6) / 12 * np.pi), 0, None) * draw.uniform(0.3, 1.0, halves)
    sun = np.where((hour_of_day > 6) & (hour_of_day < 18), sun, 0.0)
    meters = [("facility", "E1", it_kwh * pue), ("it", "E1", it_kwh)]
    if has_generation:
        meters.append(("generation", "B1", sun * GENERATION_FRACTION * telemetry_w.max(initial=0.0) / 1000 / 2))
    delivered = [days.local_instant(park.zone, day + timedelta(days=1), 4) for day in grid.days]
    for role, register, energy in meters:
        luck = draw.random(halves)
        for number in range(halves):
            start = datetime.fromtimestamp(int(grid.hour_at[hour[number]]) + 1800 * (number % 2), UTC)
            quality = "actual"
            if luck[number] < SUBSTITUTED + ESTIMATED:
                quality = "substituted" if luck[number] < SUBSTITUTED else "estimated"
            yield (
                f"{park.park_id}-{role}",
                register,
                role,
                start,
                start + timedelta(minutes=30),
                Decimal(f"{energy[number]:.3f}"),
                quality,
                delivered[grid.day_index[hour[number]]],
            )
