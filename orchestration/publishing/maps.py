"""A map of places, drawn from coasts that are shipped: no tile, no request. What stands at a place is told by the caller.

Plain values in, a ``Chart`` out, in the colours and with the escaping of the other drawings. The projection is
equirectangular, with degrees of longitude shortened as in the middle of the window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from markupsafe import Markup

from orchestration.publishing.charts import LIGHT, WIDTH, Chart, spread

HEIGHT = 216
# Degrees of latitude seen at least: a lone park stands among coasts that a reader knows.
LEAST_SPAN = 44.0
SOUTH_END, NORTH_END = -58.0, 84.0
LABEL_GAP = 30.0
LETTER_WIDTH = 6.1  # of the drawing's 11-unit text, on average
LARGEST_RADIUS, SMALLEST_RADIUS = 9.0, 4.0

Ring = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Place:
    """A disc at a place: its area by ``size``, filled to ``filled_fraction`` (0 to 1), with a name and a line below it."""

    name: str
    note: str
    longitude: float
    latitude: float
    size: float
    filled_fraction: float


def city_of_zone(zone: str) -> tuple[float, float] | None:
    """Longitude and latitude of the city that a clock is named for (IANA zone.tab); None for a clock without a place."""
    return _cities().get(zone)


@cache
def _cities() -> dict[str, tuple[float, float]]:
    found = {}
    for line in files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            _, place, zone, *_ = line.split("\t")
            cut = max(place.rfind("+"), place.rfind("-"))
            found[zone] = (_degrees(place[cut:], 3), _degrees(place[:cut], 2))
    return found


def _degrees(text: str, digits: int) -> float:
    """ISO 6709 ±DDMM, ±DDDMM or with seconds."""
    whole, minutes, seconds = text[1 : 1 + digits], text[1 + digits : 3 + digits], text[3 + digits :] or "0"
    value = int(whole) + int(minutes) / 60 + int(seconds) / 3600
    return -value if text[0] == "-" else value


@cache
def _coasts() -> tuple[Ring, ...]:
    text = files("orchestration.publishing").joinpath("templates", "coasts.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(tuple((float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())) for line in lines)


@dataclass(frozen=True)
class _Window:
    """The part of the world that is shown, in degrees."""

    west: float
    south: float
    east: float
    north: float

    def x(self, longitude: float) -> float:
        return (longitude - self.west) / (self.east - self.west) * WIDTH

    def y(self, latitude: float) -> float:
        return (self.north - latitude) / (self.north - self.south) * HEIGHT


def _window(places: Sequence[Place]) -> _Window:
    """Around all places with room at the sides, in the drawing's own proportion, within the world."""
    longitudes, latitudes = [one.longitude for one in places], [one.latitude for one in places]
    middle = (min(latitudes) + max(latitudes)) / 2
    shortened = max(math.cos(math.radians(middle)), 0.3)
    tall = max(LEAST_SPAN, (max(latitudes) - min(latitudes)) * 1.6)
    tall = max(tall, (max(longitudes) - min(longitudes)) * 1.5 * shortened * HEIGHT / WIDTH)
    tall = min(tall, NORTH_END - SOUTH_END)
    # Where the world is not tall enough for the places' own proportion, the map is pressed from the sides.
    wide = max(tall * WIDTH / HEIGHT / shortened, (max(longitudes) - min(longitudes)) * 1.2)
    wide = min(wide, 360.0)
    south = min(max(middle - tall / 2, SOUTH_END), NORTH_END - tall)
    west = min(max((min(longitudes) + max(longitudes)) / 2 - wide / 2, -180.0), 180.0 - wide)
    return _Window(west, south, west + wide, south + tall)


def _clipped(ring: Ring, window: _Window) -> Ring:
    """The ring inside the window (Sutherland and Hodgman 1974), side by side."""
    for axis, bound, sign in (
        (0, window.west, 1),
        (0, window.east, -1),
        (1, window.south, 1),
        (1, window.north, -1),
    ):
        kept: list[tuple[float, float]] = []
        for before, here in zip([*ring[-1:], *ring[:-1]], ring, strict=True):
            inside, was_inside = sign * (here[axis] - bound) >= 0, sign * (before[axis] - bound) >= 0
            if inside != was_inside:
                part = (bound - before[axis]) / (here[axis] - before[axis])
                kept.append((before[0] + part * (here[0] - before[0]), before[1] + part * (here[1] - before[1])))
            if inside:
                kept.append(here)
        ring = kept
        if not ring:
            break
    return ring


def world(ident: str, title: str, description: str, places: Sequence[Place]) -> Chart:
    """A map with a disc and a label for each place; raises ValueError without one."""
    if not places:
        raise ValueError("a map needs a place")
    window = _window(places)
    land = "".join(
        "M" + "L".join(f"{window.x(x):.1f} {window.y(y):.1f}" for x, y in ring) + "Z"
        for ring in (_clipped(one, window) for one in _coasts())
        if len(ring) > 2
    )
    largest = max(one.size for one in places) or 1.0
    discs = [
        (
            window.x(one.longitude),
            window.y(one.latitude),
            max(SMALLEST_RADIUS, LARGEST_RADIUS * math.sqrt(one.size / largest)),
        )
        for one in places
    ]
    body = Markup("").join(
        _disc(x, y, radius, one.filled_fraction) for (x, y, radius), one in zip(discs, places, strict=True)
    )
    for to_the_left in (False, True):
        side = [index for index, (x, _, _) in enumerate(discs) if (x > WIDTH * 0.55) == to_the_left]
        heights = spread([discs[index][1] for index in side], LABEL_GAP, HEIGHT - LABEL_GAP / 2)
        for index, height in zip(side, heights, strict=True):
            body += _label(places[index], discs[index], height, to_the_left=to_the_left)
    frame = Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-labelledby="{}-title {}-desc" focusable="false">'
        '<title id="{}-title">{}</title><desc id="{}-desc">{}</desc><path d="{}" fill="{}"/>{}</svg>'
    ).format(
        WIDTH,
        HEIGHT,
        ident,
        ident,
        ident,
        title,
        ident,
        description,
        land,
        LIGHT["grid"],
        body,
    )
    return Chart(frame, title, description)


def _disc(x: float, y: float, radius: float, fraction: float) -> Markup:
    """A ring, filled clockwise from the top as far as the fraction goes."""
    colour = LIGHT["blue"]
    ring = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" fill="none" stroke="{}" stroke-width="1.5"/>').format(
        x, y, radius, colour
    )
    if fraction <= 0:
        return ring
    if fraction >= 1:
        return ring + Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" fill="{}"/>').format(x, y, radius, colour)
    angle = 2 * math.pi * fraction
    return ring + Markup('<path d="M{:.1f} {:.1f}V{:.1f}A{:.1f} {:.1f} 0 {} 1 {:.1f} {:.1f}Z" fill="{}"/>').format(
        x,
        y,
        y - radius,
        radius,
        radius,
        int(fraction > 0.5),
        x + radius * math.sin(angle),
        y - radius * math.cos(angle),
        colour,
    )


def _label(place: Place, disc: tuple[float, float, float], height: float, *, to_the_left: bool) -> Markup:
    x, _, radius = disc
    start = x - radius - 4 if to_the_left else x + radius + 4
    letters = int((start if to_the_left else WIDTH - start) / LETTER_WIDTH)
    lines = (
        (_shortened(place.name, letters), LIGHT["ink"], 600, -3),
        (_shortened(place.note, letters), LIGHT["muted"], 400, 10),
    )
    return Markup("").join(
        Markup(
            '<text x="{:.1f}" y="{:.1f}" font-size="11" font-weight="{}" fill="{}" text-anchor="{}">{}</text>'
        ).format(start, height + down, weight, colour, "end" if to_the_left else "start", said)
        for said, colour, weight, down in lines
    )


def _shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: max(letters - 1, 1)].rstrip() + "…"
