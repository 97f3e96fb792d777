"""Drawings of the monitor: escaped, described, and told apart by readers who see colours differently."""

from __future__ import annotations

import re
from datetime import date
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.publishing import charts

MONTHS = [date(2027, month, 1) for month in range(1, 7)]


def test_labels_in_a_drawing_are_escaped_and_nothing_else_gets_in() -> None:
    bad = '</text><script>alert(1)</script><image href="https://evil.example/x"/>'
    drawn = charts.rows("c", bad, bad, [charts.Bar(bad, 3.0, bad)]).svg
    assert "<script" not in drawn
    assert "<image" not in drawn
    assert "&lt;script&gt;" in drawn
    lines = charts.lines("c", bad, bad, [charts.Series(bad, [(m, 1.0) for m in MONTHS], "blue", bad)]).svg
    assert "<script" not in lines
    assert "<image" not in lines


def test_a_drawing_has_role_title_and_description_and_no_namespace_to_fetch() -> None:
    drawn = charts.bars("c", "Share", "Share of 3 in June.", [(m, 3.0) for m in MONTHS], last_text="3.0").svg
    assert 'role="img" aria-labelledby="c-title c-desc"' in drawn
    assert '<title id="c-title">Share</title><desc id="c-desc">Share of 3 in June.</desc>' in drawn
    assert "http" not in drawn


def test_missing_months_leave_a_gap_and_no_value_at_all_still_draws() -> None:
    points = [(m, None if m.month == 3 else float(m.month)) for m in MONTHS]
    assert charts.lines("c", "t", "d", [charts.Series("a", points, "blue", "a")]).svg.count("M") >= 2
    assert "<svg" in charts.lines("c", "t", "d", [charts.Series("a", [(m, None) for m in MONTHS], "blue", "a")]).svg
    assert "<svg" in charts.bars("c", "t", "d", [(MONTHS[0], None)]).svg
    assert "<svg" in charts.rows("c", "t", "d", [charts.Bar("a", None, "n/a")]).svg
    assert charts.sparkline([None, 1.0], "d") == ""


def test_bars_below_zero_have_the_width_to_themselves_and_their_figures_to_the_right() -> None:
    drawn = charts.rows(
        "c",
        "t",
        "d",
        [charts.Bar("slump", -3703.8, "−3,703.8"), charts.Bar("rise", 2067.8, "+2,067.8")],
        name_width=150,
    ).svg
    lengths = [float(found) for found in re.findall(r'd="M[\d.]+,[\d.]+h([\d.]+)v13', drawn)]
    assert len(lengths) == 2
    # names, a margin and the room of the longest figure are all that the bars do not have
    assert sum(lengths) == pytest.approx(charts.WIDTH - 150 - 12 - 62, abs=1)
    assert lengths[0] / lengths[1] == pytest.approx(3703.8 / 2067.8, rel=0.01)


def test_colours_are_only_those_that_the_style_sheet_maps() -> None:
    drawn = charts.stacked(
        "c", "t", "d",
        [charts.Series(name, [(m, 1.0) for m in MONTHS], name, name) for name in charts.SERIES_TOKENS],
    ).svg  # fmt: skip
    used = {part.split('"')[0] for part in str(drawn).split('fill="')[1:]} | {
        part.split('"')[0] for part in str(drawn).split('stroke="')[1:]
    }
    assert used - {"none"} <= set(charts.LIGHT.values())
    assert charts.LIGHT.keys() == charts.DARK.keys()


@given(st.lists(st.floats(-50, 200, allow_nan=False), max_size=7))
def test_labels_never_overlap(positions: list[float]) -> None:
    placed = sorted(charts.spread(positions, 12.0, 130.0))
    assert all(after - before >= 12.0 - 1e-9 for before, after in pairwise(placed))


@given(st.lists(st.integers(-(10**12), 10**12).map(float), min_size=1, max_size=6))
def test_the_axis_holds_every_value_with_a_handful_of_ticks(values: list[float]) -> None:
    slack = max(abs(value) for value in values) * 1e-6
    low, high, ticks = charts.axis_of(values, None)
    assert low <= min(values) + slack
    assert high >= max(values) - slack
    assert 2 <= len(ticks) <= 7


def test_marks_of_an_axis_are_told_apart_however_small_they_are() -> None:
    drawn = charts.bars("c", "t", "d", [(m, 0.04 * m.month) for m in MONTHS], y_format=",.0f").svg
    shown = re.findall(r">([\d.,]+)</text>", str(drawn))
    values = [one for one in shown if "." in one or one == "0"]
    assert len(set(values)) == len(values) >= 3


def linear(colour: str) -> list[float]:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        red, green, blue = linear(colour)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
SEEN_BY = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(rgb: list[float]) -> tuple[float, float, float]:
    """CIE L*a*b* (D65) of linear sRGB."""
    red, green, blue = [min(max(part, 0.0), 1.0) for part in rgb]
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883

    def f(t: float) -> float:
        return t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116

    return 116 * f(y) - 16, 500 * (f(x) - f(y)), 200 * (f(y) - f(z))


@pytest.mark.parametrize("palette", [charts.LIGHT, charts.DARK], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", SEEN_BY)
def test_series_colours_stay_apart_for_all_eyes(palette: dict[str, str], eyes: str) -> None:
    colours = {}
    for name in charts.SERIES_TOKENS:
        rgb = linear(palette[name])
        colours[name] = lab([sum(k * part for k, part in zip(row, rgb, strict=True)) for row in SEEN_BY[eyes]])
    for one, other in combinations(charts.SERIES_TOKENS, 2):
        apart = sum((a - b) ** 2 for a, b in zip(colours[one], colours[other], strict=True)) ** 0.5
        assert apart > 20, f"{one} and {other} under {eyes}: {apart:.1f}"


@pytest.mark.parametrize(("palette", "paper"), [(charts.LIGHT, "#fdfcfa"), (charts.DARK, "#14181c")])
def test_text_and_shapes_stand_out_from_the_paper(palette: dict[str, str], paper: str) -> None:
    for name in ("ink", "muted"):
        assert contrast(palette[name], paper) >= 4.5, name
    for name in charts.SERIES_TOKENS:
        assert contrast(palette[name], paper) >= 3.0, name
