"""The map of the programme: parks where their clocks' cities are, coasts inside the frame, names as text alone."""

import re

import polars as pl
import pytest
from monitor_frames import all_tables, manifest

from orchestration.publishing import charts, maps
from orchestration.publishing.page import Drawings
from orchestration.publishing.sections import operations
from orchestration.publishing.view import make_view

OSLO = maps.Place("Oslo", "1 of 2", *(maps.city_of_zone("Europe/Oslo") or (0, 0)), 10.0, 0.5)
BAD = '</text><script>alert(1)</script><image href="https://evil.example/x"/>'


@pytest.mark.parametrize(
    ("zone", "longitude", "latitude"),
    # Cities as an atlas has them, to a tenth of a degree.
    [("Australia/Sydney", 151.2, -33.9), ("Asia/Jakarta", 106.8, -6.2), ("America/New_York", -74.0, 40.7)],
)
def test_a_clock_stands_at_its_city(zone: str, longitude: float, latitude: float) -> None:
    assert maps.city_of_zone(zone) == pytest.approx((longitude, latitude), abs=0.1)
    assert maps.city_of_zone("UTC") is None


def test_north_is_up_and_east_is_right_and_a_disc_is_filled_as_far_as_told() -> None:
    south_east = maps.Place("Sydney", "none", 151.2, -33.9, 10.0, 0.0)
    drawn = str(maps.world("m", "t", "d", [OSLO, south_east]).svg)
    (x1, y1), (x2, y2) = ((float(x), float(y)) for x, y in re.findall(r'<circle cx="([^"]+)" cy="([^"]+)"', drawn))
    assert (x1 < x2, y1 < y2) == (True, True)
    assert (drawn.count('fill="none"'), drawn.count("A9.0 9.0")) == (2, 1)  # two rings, one of them half full


@pytest.mark.parametrize("place", [OSLO, maps.Place("Nome", "n", -165.4, 64.5, 1.0, 1.0)])
def test_coasts_stay_inside_the_frame(place: maps.Place) -> None:
    drawn = str(maps.world("m", "t", "d", [place]).svg)
    land = re.search(r'<path d="(M[^"]+)" fill="([^"]+)"', drawn)
    assert land is not None
    corners = [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", land[1])]
    assert len(corners) > 50
    assert all(-0.1 <= x <= charts.WIDTH + 0.1 and -0.1 <= y <= maps.HEIGHT + 0.1 for x, y in corners)
    assert set(re.findall(r'(?:fill|stroke)="(#[^"]+)"', drawn)) <= set(charts.LIGHT.values())


def test_names_on_a_map_and_on_blocks_are_text_and_long_ones_are_shortened() -> None:
    place = maps.Place(BAD, BAD, 10.0, 59.0, 1.0, 1.0)
    for drawn in (
        maps.world("m", BAD, BAD, [place]).svg,
        charts.blocks("b", BAD, BAD, [charts.Blocks(BAD, "1 of 1", [charts.Block(1.0, BAD, "blue")])]).svg,
    ):
        assert "<script" not in drawn
        assert "<image" not in drawn
        assert "…</text>" in drawn


def test_a_tranche_is_energised_planned_or_overdue() -> None:
    tables = all_tables()
    late = tables["core.dim_tranche"].to_dicts()
    for row in late:
        row["planned_date"] = row["energised_date"]
    late[0]["energised_date"] = None
    tables["core.dim_tranche"] = pl.from_dicts(late)
    tables["core.dim_park"] = tables["core.dim_park"].with_columns(
        time_zone=tables["core.dim_park"]["time_zone"].replace("Asia/Jakarta", "UTC")
    )
    (block,) = [one for one in operations.programme(make_view(tables, manifest())).blocks if isinstance(one, Drawings)]
    told = {item.chart.title: item for item in block.items}
    assert "Not on the map, for their clocks name no city: Firmus Batam." in told["Where the parks are"].note
    built = told["How far each park is built"].chart
    assert "Sharon AI Australia: 20,000 of 40,000 GPUs energised." in built.description
    used = re.findall(r'fill="(#[^"]+)"', str(built.svg))
    assert {charts.LIGHT["blue"], charts.LIGHT["slate"], charts.LIGHT["red"]} <= set(used)
