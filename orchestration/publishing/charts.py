"""Charts of the monitor: altair to inline SVG through vl-convert, without browser, script or network.

Plain values in, a `Chart` out: SVG text with a title and a description for screen readers. No table is read and
no figure derived here. Colours are written as the light palette's hex values; the page's style sheet maps the same
values to its dark palette, so one drawing serves both, and a drawing without the style sheet still shows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any, Literal, TypeAlias
from xml.etree import ElementTree as ET

import altair as alt
import vl_convert
from defusedxml.ElementTree import fromstring
from markupsafe import Markup, escape

# Chosen for 3:1 against paper and to stay apart under deuteranopia, protanopia and tritanopia (tested).
LIGHT = {
    "ink": "#1f252b",
    "muted": "#59636e",
    "axis": "#98a2ad",
    "grid": "#e3e6ea",
    "blue": "#133994",
    "red": "#9e3424",
    "teal": "#14a272",
    "ochre": "#c28218",
    "plum": "#59325d",
    "slate": "#808da9",
}
DARK = {
    "ink": "#eceff2",
    "muted": "#a5b0bb",
    "axis": "#6c7884",
    "grid": "#2c343c",
    "blue": "#628eec",
    "red": "#de5e4a",
    "teal": "#2ae1a4",
    "ochre": "#e39d1e",
    "plum": "#e7b0e8",
    "slate": "#757c8a",
}
SERIES_TOKENS = ("blue", "red", "teal", "ochre", "plum", "slate")

WIDTH = 360
LABEL_WIDTH = 92
LABEL_GAP = 12.5
SAME_PLACE = 3.0
_ALLOWED_TAGS = frozenset({"svg", "g", "path", "line", "rect", "text", "tspan", "circle"})
_DROPPED_ATTRIBUTES = frozenset(
    {"class", "role", "aria-label", "aria-hidden", "aria-roledescription", "pointer-events", "font-family", "clip-path"}
)
_SVG_NAMESPACE = "{http://www.w3.org/2000/svg}"
_MONTH_LABEL = (
    "[monthAbbrevFormat(+slice(datum.value,5,7)-1),"
    " slice(datum.value,5,7)=='01' || datum.index==0 ? slice(datum.value,0,4) : '']"
)


Align: TypeAlias = Literal["left", "right", "center"]
Weight: TypeAlias = Literal[400, 600]
# x, y (pixels), text, colour, align, weight
Text: TypeAlias = tuple[float, float, str, str, Align, Weight]


@dataclass(frozen=True)
class Chart:
    """A drawing: `svg` is safe markup, `title` and `description` stand inside it for screen readers."""

    svg: Markup
    title: str
    description: str


@dataclass(frozen=True)
class Series:
    """One line or stack layer by month; None values leave a gap. `label` is the text drawn beside its end."""

    name: str
    points: Sequence[tuple[date, float | None]]
    colour: str
    label: str
    dashed: bool = False


@dataclass(frozen=True)
class Bar:
    """One category: its value, the text drawn beside it, its colour; `ticks` mark other values on the same line."""

    name: str
    value: float | None
    text: str
    colour: str = "blue"
    ticks: Sequence[float] = ()


@dataclass(frozen=True)
class Block:
    """One part of a lying bar; `text` is written below it where there is room."""

    value: float
    text: str
    colour: str


@dataclass(frozen=True)
class Blocks:
    """One lying bar: its name and the text at its right end stand above its parts."""

    name: str
    text: str
    parts: Sequence[Block]


@dataclass(frozen=True)
class Step:
    """One step of a waterfall: a total stands on zero, a change hangs from the running total."""

    name: str
    value: float
    text: str
    kind: Literal["total", "change"]


@dataclass(frozen=True)
class Mark:
    """One value on a strip: `text` is drawn above it where not empty."""

    value: float
    text: str
    colour: str
    shape: Literal["circle", "tick", "diamond"] = "circle"


@dataclass(frozen=True)
class Strip:
    """One row of a strip plot: a thin line from the least to the greatest mark, and the marks."""

    name: str
    marks: Sequence[Mark]


def lines(
    ident: str,
    title: str,
    description: str,
    series: Sequence[Series],
    *,
    y_format: str = ",.0f",
    y_domain: tuple[float, float] | None = None,
    height: int = 130,
) -> Chart:
    """Lines by month with their names at their ends."""
    sets = _Datasets()
    values = [value for one in series for _, value in one.points if value is not None]
    low, high, ticks = axis_of(values, y_domain)
    months = sorted({month for one in series for month, _ in one.points})
    rows = [
        {"x": month.isoformat(), "y": value, "s": one.name, "dash": "dashed" if one.dashed else "solid"}
        for one in series
        for month, value in one.points
    ]
    names = [one.name for one in series]
    colours = [LIGHT[one.colour] for one in series]
    base = alt.Chart(sets.named(rows)).encode(
        x=_month_axis(months),
        y=alt.Y("y:Q", scale=alt.Scale(domain=[low, high]), axis=_value_axis(ticks, y_format)),
        color=alt.Color("s:N", scale=alt.Scale(domain=names, range=colours), legend=None),
    )
    drawn = base.mark_line(strokeWidth=1.8, strokeCap="round", strokeJoin="round").encode(
        strokeDash=alt.StrokeDash(
            "dash:N", scale=alt.Scale(domain=["solid", "dashed"], range=[[1, 0], [4, 3]]), legend=None
        )
    )
    ends, labels = [], []
    for one in series:
        known = [(month, value) for month, value in one.points if value is not None]
        if known:
            month, value = known[-1]
            ends.append({"x": month.isoformat(), "y": value, "s": one.name})
            labels.append((one, value))
    dots = (
        alt.Chart(sets.named(ends))
        .mark_circle(size=26, opacity=1)
        .encode(
            x="x:O",
            y=alt.Y("y:Q", scale=alt.Scale(domain=[low, high])),
            color=alt.Color("s:N", scale=alt.Scale(domain=names, range=colours), legend=None),
        )
    )
    span = (high - low) or 1.0
    positions = spread([(high - value) / span * height for _, value in labels], LABEL_GAP, height)
    text = _end_labels(sets, [(one.label, one.colour, spot) for (one, _), spot in zip(labels, positions, strict=True)])
    return _draw(sets, ident, title, description, alt.layer(drawn, dots, *text), height, left=44, right=LABEL_WIDTH)


def bars(
    ident: str,
    title: str,
    description: str,
    points: Sequence[tuple[date, float | None]],
    *,
    y_format: str = ",.0f",
    last_text: str = "",
    colour: str = "blue",
    height: int = 130,
) -> Chart:
    """Bars by month, the last one in colour with its value written above it."""
    sets = _Datasets()
    values = [value for _, value in points if value is not None]
    low, high, ticks = axis_of([*values, 0.0], None)
    last = points[-1][0].isoformat() if points else ""
    rows = [
        {"x": month.isoformat(), "y": value, "c": LIGHT[colour] if month.isoformat() == last else LIGHT["slate"]}
        for month, value in points
    ]
    scale = alt.Scale(domain=[low, high])
    drawn = (
        alt.Chart(sets.named(rows))
        .mark_bar()
        .encode(
            x=_month_axis([month for month, _ in points], padding=0.28),
            y=alt.Y("y:Q", scale=scale, axis=_value_axis(ticks, y_format)),
            color=alt.Color("c:N", scale=None),
        )
    )
    layers: list[Any] = [drawn]
    if last_text and points and points[-1][1] is not None:
        layers.append(
            alt.Chart(sets.named([{"x": last, "y": max(points[-1][1], 0.0), "t": last_text}]))
            .mark_text(align="right", baseline="bottom", dy=-3, dx=8, fontSize=11, fontWeight=600, color=LIGHT[colour])
            .encode(x="x:O", y=alt.Y("y:Q", scale=scale), text="t:N")
        )
    return _draw(sets, ident, title, description, alt.layer(*layers), height, left=44, right=12, top=20)


def stacked(
    ident: str,
    title: str,
    description: str,
    series: Sequence[Series],
    *,
    y_format: str = ",.0f",
    height: int = 170,
) -> Chart:
    """Stacked bars by month, first series at the bottom, names beside the last bar."""
    sets = _Datasets()
    months = sorted({month for one in series for month, _ in one.points})
    looked_up = [dict(one.points) for one in series]
    rows: list[dict[str, Any]] = []
    highest, lowest, last_middles = 0.0, 0.0, [0.0] * len(series)
    for month in months:
        up = down = 0.0
        for index, (one, by_month) in enumerate(zip(series, looked_up, strict=True)):
            value = by_month.get(month) or 0.0
            start = up if value >= 0 else down
            rows.append({"x": month.isoformat(), "a": start, "b": start + value, "s": one.name})
            if value >= 0:
                up += value
            else:
                down += value
            if month == months[-1]:
                last_middles[index] = start + value / 2
        highest, lowest = max(highest, up), min(lowest, down)
    low, high, ticks = axis_of([lowest, highest, 0.0], None)
    drawn = (
        alt.Chart(sets.named(rows))
        .mark_bar()
        .encode(
            x=_month_axis(months, padding=0.18),
            y=alt.Y("a:Q", scale=alt.Scale(domain=[low, high]), axis=_value_axis(ticks, y_format)),
            y2="b:Q",
            color=alt.Color(
                "s:N",
                scale=alt.Scale(domain=[one.name for one in series], range=[LIGHT[one.colour] for one in series]),
                legend=None,
            ),
        )
    )
    span = (high - low) or 1.0
    positions = spread([(high - middle) / span * height for middle in last_middles], LABEL_GAP, height)
    text = _end_labels(sets, [(one.label, one.colour, spot) for one, spot in zip(series, positions, strict=True)])
    return _draw(sets, ident, title, description, alt.layer(drawn, *text), height, left=44, right=LABEL_WIDTH)


def columns(ident: str, title: str, description: str, items: Sequence[Bar], *, height: int = 140) -> Chart:
    """A few upright bars, each with its value above and its name below; no axis is needed then."""
    sets = _Datasets()
    top = max([item.value or 0.0 for item in items] + [0.0]) or 1.0
    rows = [{"x": item.name, "y": item.value or 0.0, "c": LIGHT[item.colour], "t": item.text} for item in items]
    base = alt.Chart(sets.named(rows)).encode(
        x=alt.X(
            "x:O",
            sort=None,
            scale=alt.Scale(paddingInner=0.3, paddingOuter=0.15),
            axis=alt.Axis(
                title=None,
                labelAngle=0,
                ticks=False,
                domainColor=LIGHT["axis"],
                labelColor=LIGHT["muted"],
                labelPadding=5,
            ),
        ),
        y=alt.Y("y:Q", scale=alt.Scale(domain=[0, top]), axis=None),
    )
    drawn = base.mark_bar().encode(color=alt.Color("c:N", scale=None))
    text = base.mark_text(baseline="bottom", dy=-4, fontSize=11, fontWeight=600).encode(
        text="t:N", color=alt.value(LIGHT["ink"])
    )
    return _draw(sets, ident, title, description, drawn + text, height, left=4, right=4, top=20, bottom=24)


def rows(ident: str, title: str, description: str, items: Sequence[Bar], *, name_width: int = 120) -> Chart:
    """Lying bars from zero, names on the left, values at their right ends; negative values go to the left of zero, and what they
    are stands to the right of it, so that all of the width is left to the bars.
    """
    sets = _Datasets()
    values = [item.value or 0.0 for item in items] + [tick for item in items for tick in item.ticks] + [0.0]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    plot = WIDTH - name_width - 12
    room = 62.0
    factor = (plot - room) / span
    zero = name_width - low * factor
    step, thick = 23.0, 13.0
    # Beside ticks a value at the bar's end would be read as a tick's, so the values stand in a column of their own.
    ticked = any(item.ticks for item in items)
    shapes: list[dict[str, Any]] = []
    texts: list[Text] = []
    for index, item in enumerate(items):
        y = index * step + 6
        end = zero + (item.value or 0.0) * factor
        shapes.append({"a": min(zero, end), "b": max(zero, end), "y": y, "z": y + thick, "c": LIGHT[item.colour]})
        texts.append((name_width - 8, y + thick / 2, item.name, LIGHT["ink"], "right", 400))
        for tick in item.ticks:
            x = zero + tick * factor
            shapes.append({"a": x - 0.8, "b": x + 0.8, "y": y - 3, "z": y + thick + 3, "c": LIGHT["ink"]})
        if ticked:
            texts.append((WIDTH - 6.0, y + thick / 2, item.text, LIGHT["ink"], "right", 600))
        else:
            texts.append((max(zero, end) + 5, y + thick / 2, item.text, LIGHT["ink"], "left", 600))
    height = round(len(items) * step + 4)
    return _draw(
        sets,
        ident,
        title,
        description,
        _pixels(sets, shapes, texts, height, zero),
        height,
        left=0,
        right=0,
        top=2,
        bottom=2,
    )


def blocks(ident: str, title: str, description: str, items: Sequence[Blocks]) -> Chart:
    """Lying bars made of parts, all on one scale from zero: what is large is drawn large."""
    sets = _Datasets()
    pitch, thick, gap = 58.0, 16.0, 1.5
    factor = WIDTH / (max((sum(part.value for part in item.parts) for item in items), default=0.0) or 1.0)
    shapes: list[dict[str, Any]] = []
    texts: list[Text] = []
    for index, item in enumerate(items):
        y, x = index * pitch + 18, 0.0
        room = int((WIDTH - len(item.text) * 6.2) / 6.4)
        name = item.name if len(item.name) <= room else item.name[: room - 1].rstrip() + "…"
        texts.append((0, y - 9, name, LIGHT["ink"], "left", 600))
        texts.append((WIDTH, y - 9, item.text, LIGHT["muted"], "right", 400))
        for part in item.parts:
            wide = part.value * factor
            shapes.append({"a": x, "b": max(x + wide - gap, x + 0.5), "y": y, "z": y + thick, "c": LIGHT[part.colour]})
            if len(part.text) * 6.0 < wide:
                texts.append((x, y + thick + 8, part.text, LIGHT["muted"], "left", 400))
            x += wide
    height = round(len(items) * pitch)
    drawn = _pixels(sets, shapes, texts, height, None)
    return _draw(sets, ident, title, description, drawn, height, left=0, right=0, top=2, bottom=2)


def waterfall(ident: str, title: str, description: str, steps: Sequence[Step], *, name_width: int = 128) -> Chart:
    """A lying waterfall: totals from zero, changes from the running total, a hairline joining them."""
    sets = _Datasets()
    running, spans = 0.0, []
    for step in steps:
        start, end = (0.0, step.value) if step.kind == "total" else (running, running + step.value)
        running = end
        spans.append((start, end))
    low = min([0.0, *[min(pair) for pair in spans]])
    high = max([0.0, *[max(pair) for pair in spans]])
    room = 60.0
    factor = (WIDTH - name_width - room - (room if low < 0 else 0.0)) / ((high - low) or 1.0)
    zero = name_width + (room if low < 0 else 0.0) - low * factor
    pitch, thick = 23.0, 13.0
    shapes: list[dict[str, Any]] = []
    texts: list[Text] = []
    for index, (step, (start, end)) in enumerate(zip(steps, spans, strict=True)):
        y = index * pitch + 6
        colour = "blue" if step.kind == "total" else ("red" if step.value < 0 else "teal")
        a, b = zero + min(start, end) * factor, zero + max(start, end) * factor
        shapes.append({"a": a, "b": max(b, a + 0.8), "y": y, "z": y + thick, "c": LIGHT[colour]})
        if index + 1 < len(steps) and "change" in {step.kind, steps[index + 1].kind}:
            join = zero + end * factor
            shapes.append({"a": join - 0.4, "b": join + 0.4, "y": y, "z": y + pitch + thick, "c": LIGHT["axis"]})
        texts.append(
            (name_width - 8, y + thick / 2, step.name, LIGHT["ink"], "right", 600 if step.kind == "total" else 400)
        )
        texts.append((b + 5, y + thick / 2, step.text, LIGHT["ink"], "left", 600 if step.kind == "total" else 400))
    height = round(len(steps) * pitch + 4)
    return _draw(
        sets,
        ident,
        title,
        description,
        _pixels(sets, shapes, texts, height, zero),
        height,
        left=0,
        right=0,
        top=2,
        bottom=2,
    )


def strips(
    ident: str, title: str, description: str, items: Sequence[Strip], *, axis_format: str = ",.0f", unit: str = ""
) -> Chart:
    """Rows of marks on one common scale: the place of a value is the message."""
    sets = _Datasets()
    values = [mark.value for item in items for mark in item.marks]
    low, high, ticks = axis_of([*values, 0.0], None)
    axis_format = _told_apart(ticks, axis_format)
    width, pitch, top = WIDTH - 24.0, 62.0, 38.0
    factor = width / ((high - low) or 1.0)

    def place(value: float) -> float:
        return 8 + (value - low) * factor

    shapes: list[dict[str, Any]] = []
    texts: list[Text] = []
    bottom = top + pitch * (len(items) - 1) + 16
    shapes += [
        {"a": place(tick) - 0.4, "b": place(tick) + 0.4, "y": 18, "z": bottom, "c": LIGHT["grid"]} for tick in ticks
    ]
    for index, item in enumerate(items):
        y = top + index * pitch
        texts.append((8, y - 29, item.name, LIGHT["ink"], "left", 600))
        if item.marks:
            spots = sorted(mark.value for mark in item.marks)
            shapes.append({"a": place(spots[0]), "b": place(spots[-1]), "y": y - 0.7, "z": y + 0.7, "c": LIGHT["axis"]})
        taken: dict[float, float] = {y - 14: 0.0, y + 16: 0.0}  # how far each line of labels is written
        for mark in sorted(item.marks, key=lambda one: one.value):
            x = place(mark.value)
            half, tall = {"circle": (4.0, 4.0), "tick": (1.3, 8.0), "diamond": (3.0, 6.0)}[mark.shape]
            shapes.append({"a": x - half, "b": x + half, "y": y - tall, "z": y + tall, "c": LIGHT[mark.colour]})
            # Marks that stand on each other share a label, and the first of them writes it.
            here = [one for one in item.marks if one.text and abs(place(one.value) - x) < SAME_PLACE]
            if here and mark is here[0]:
                said = " = ".join(one.text for one in here)
                half_text = len(said) * 2.9
                centre = min(max(x, 8 + half_text), WIDTH - 8 - half_text)
                line = next((at for at, end in taken.items() if centre - half_text > end), y + 16)
                centre = max(centre, taken[line] + half_text)
                taken[line] = centre + half_text + 4
                texts.append((centre, line, said, LIGHT["muted"], "center", 400))
    base = bottom + 12
    texts += [(place(tick), base, _tick_text(tick, axis_format), LIGHT["muted"], "center", 400) for tick in ticks[:-1]]
    if ticks:
        texts.append(
            (
                place(ticks[-1]),
                base,
                f"{_tick_text(ticks[-1], axis_format)} {unit}".strip(),
                LIGHT["muted"],
                "right",
                400,
            )
        )
    height = round(base + 8)
    return _draw(
        sets,
        ident,
        title,
        description,
        _pixels(sets, shapes, texts, height, None),
        height,
        left=0,
        right=0,
        top=2,
        bottom=2,
    )


def sparkline(values: Sequence[float | None], description: str) -> Markup:
    """A word-sized line, 84 × 18 units; drawn by hand, since dozens of them stand in one table."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return Markup("")
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    step = 80 / max(len(values) - 1, 1)
    spots = [
        None if value is None else (2 + index * step, 16 - (value - low) / span * 14)
        for index, value in enumerate(values)
    ]
    path, pen = "", "M"
    for spot in spots:
        if spot is None:
            pen = "M"
            continue
        path += f"{pen}{spot[0]:.1f} {spot[1]:.1f}"
        pen = "L"
    end = next(spot for spot in reversed(spots) if spot is not None)
    return Markup(
        '<svg class="spark" viewBox="0 0 84 18" role="img" aria-label="{}">'
        '<path d="{}" fill="none" stroke="{}" stroke-width="1.2"/>'
        '<circle cx="{:.1f}" cy="{:.1f}" r="1.8" fill="{}"/></svg>'
    ).format(description, path, LIGHT["slate"], end[0], end[1], LIGHT["blue"])


def axis_of(values: Sequence[float], domain: tuple[float, float] | None) -> tuple[float, float, list[float]]:
    """Bounds and three to five round ticks that hold all values; with a given domain, its own ticks."""
    low, high = domain if domain else (min(values, default=0.0), max(values, default=1.0))
    if not domain:
        low = min(low, 0.0)
    if high <= low:
        high = low + 1.0
    raw = (high - low) / 3
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    if not domain:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    count = round((high - low) / step)
    return low, high, [low + step * index for index in range(count + 1)]


def spread(positions: Sequence[float], gap: float, height: float) -> list[float]:
    """Label heights moved apart to at least `gap`, in their order, kept within [0, height] while that is possible."""
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    placed = list(positions)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + gap)
    limit = height
    for index in reversed(order):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - gap
    return placed


class _Datasets(dict[str, list[dict[str, Any]]]):
    """The rows of one drawing by name: altair copies what stands in a chart at each step, a name is cheap to copy."""

    def named(self, rows_in: Sequence[dict[str, Any]]) -> alt.NamedData:
        """Keep the rows under a new name and refer to them by it."""
        name = f"d{len(self)}"
        self[name] = list(rows_in)
        return alt.NamedData(name=name)


def _month_axis(months: Sequence[date], padding: float | None = None) -> alt.X:
    """Months as bands or points; a label each quarter, the year under January and under the first."""
    keep = [month for month in months if len(months) <= 7 or month.month in {1, 4, 7, 10}]
    scale = alt.Scale(padding=0.5) if padding is None else alt.Scale(paddingInner=padding, paddingOuter=padding / 2)
    kind: dict[str, Any] = {"type": "ordinal"}
    axis = alt.Axis(
        title=None,
        values=[month.isoformat() for month in keep],
        labelExpr=_MONTH_LABEL,
        labelAngle=0,
        labelOverlap=False,
        ticks=True,
        tickSize=3,
        tickColor=LIGHT["axis"],
        domainColor=LIGHT["axis"],
        labelColor=LIGHT["muted"],
        labelFontSize=10.5,
        labelLineHeight=12,
    )
    ordered = sorted({month.isoformat() for month in months})
    return alt.X("x", sort=ordered, scale=scale, axis=axis, **kind)


def _value_axis(ticks: Sequence[float], text_format: str) -> alt.Axis:
    text_format = _told_apart(ticks, text_format)
    return alt.Axis(
        title=None,
        values=list(ticks),
        tickCount=len(ticks) + 1,  # Vega thins given values beyond its own count
        format=text_format,
        grid=True,
        gridColor=LIGHT["grid"],
        domain=False,
        ticks=False,
        labelColor=LIGHT["muted"],
        labelFontSize=10.5,
        labelPadding=6,
    )


def _told_apart(ticks: Sequence[float], text_format: str) -> str:
    """The format with as many decimals as show the ticks as they are: 0, 0.05, 0.1 and not 0, 0, 0."""
    if text_format.endswith("%"):
        return text_format
    for digits in range(int((re.search(r"\.(\d)", text_format) or [0, 0])[1]), 7):
        if all(abs(tick - round(tick, digits)) <= abs(tick) * 1e-9 for tick in ticks):
            break
    return f",.{digits}f"


def _tick_text(value: float, text_format: str) -> str:
    digits = re.search(r"\.(\d)", text_format)
    if text_format.endswith("%"):
        return f"{value:.0%}"
    return f"{value:,.{int(digits.group(1)) if digits else 0}f}".replace("-", "−")


def _end_labels(sets: _Datasets, items: Sequence[tuple[str, str, float]]) -> list[Any]:
    """Names beside the last month from (text, colour, height): a swatch in the colour, the text in legible ink."""
    left = WIDTH - 44 - LABEL_WIDTH + 6
    rows_in = [{"a": left, "b": left + 3, "y": y - 5, "z": y + 4, "c": LIGHT[colour]} for _, colour, y in items]
    words = [{"a": left + 7, "y": y, "t": label} for label, _, y in items]
    place = {"x": alt.X("a:Q", scale=None, axis=None), "y": alt.Y("y:Q", scale=None, axis=None)}
    swatches = (
        alt.Chart(sets.named(rows_in))
        .mark_rect()
        .encode(**place, x2="b:Q", y2="z:Q", color=alt.Color("c:N", scale=None))
    )
    texts = (
        alt.Chart(sets.named(words))
        .mark_text(align="left", baseline="middle", fontSize=11, fontWeight=600, color=LIGHT["ink"])
        .encode(**place, text="t:N")
    )
    return [swatches, texts]


def _pixels(
    sets: _Datasets,
    shapes: Sequence[dict[str, Any]],
    texts: Sequence[Text],
    height: int,
    zero: float | None,
) -> Any:
    """Rectangles and texts placed in pixels; `zero` draws a hairline down the chart."""
    across = alt.Scale(domain=[0, WIDTH], nice=False, zero=False)
    down = alt.Scale(domain=[height, 0], nice=False, zero=False)
    shown = list(shapes)
    if zero is not None:
        shown.append({"a": zero - 0.5, "b": zero + 0.5, "y": 0, "z": height, "c": LIGHT["axis"]})
    boxes = (
        alt.Chart(sets.named(shown))
        .mark_rect()
        .encode(
            x=alt.X("a:Q", scale=across, axis=None),
            x2="b:Q",
            y=alt.Y("y:Q", scale=down, axis=None),
            y2="z:Q",
            color=alt.Color("c:N", scale=None),
        )
    )
    layers: list[Any] = [boxes]
    sides: tuple[Align, ...] = ("left", "right", "center")
    weights: tuple[Weight, ...] = (400, 600)
    for align in sides:
        for weight in weights:
            values = [
                {"x": x, "y": y, "t": text, "c": colour}
                for x, y, text, colour, side, heavy in texts
                if side == align and heavy == weight
            ]
            if values:
                layers.append(
                    alt.Chart(sets.named(values))
                    .mark_text(align=align, baseline="middle", fontSize=11, fontWeight=weight)
                    .encode(
                        x=alt.X("x:Q", scale=across, axis=None),
                        y=alt.Y("y:Q", scale=down, axis=None),
                        text="t:N",
                        color=alt.Color("c:N", scale=None),
                    )
                )
    return alt.layer(*layers)


def _draw(  # noqa: PLR0917  the first three are those of every drawing
    sets: _Datasets,
    ident: str,
    title: str,
    description: str,
    chart: Any,
    height: int,
    *,
    left: int,
    right: int,
    top: int = 8,
    bottom: int = 32,
) -> Chart:
    """Fix the frame, so that small multiples line up, render and strip."""
    spec = (
        chart.properties(
            width=WIDTH - left - right,
            height=height,
            padding={"left": left, "right": right, "top": top, "bottom": bottom},
            autosize=alt.AutoSizeParams(type="none"),
        )
        .configure(font="sans-serif", background="transparent", aria=False)
        .configure_view(stroke=None)
        .to_dict(validate=False)  # the shapes here are ours and tested; validation takes longer than the drawing
    )
    spec["datasets"] = dict(sets)
    spec["width"], spec["height"] = WIDTH - left - right, height
    raw = vl_convert.vegalite_to_svg(spec)
    return Chart(_strip(raw, ident, title, description), title, description)


def _strip(raw: str, ident: str, title: str, description: str) -> Markup:
    """Keep only shapes and text: names from landing files stand in this drawing, so what is not on the list goes."""
    root = fromstring(raw)
    view_box = root.attrib["viewBox"]
    body = "".join(_markup(child) for child in root)
    return Markup(
        '<svg viewBox="{}" role="img" aria-labelledby="{}-title {}-desc" focusable="false">'
        '<title id="{}-title">{}</title><desc id="{}-desc">{}</desc>{}</svg>'
    ).format(
        view_box,
        ident,
        ident,
        ident,
        title,
        ident,
        description,
        Markup(body),  # noqa: S704  built from the allow-list below, every text and attribute escaped
    )


def _markup(element: ET.Element) -> str:
    """One element and its children as text, without namespaces, empty groups and attributes that say nothing."""
    tag = str(element.tag).removeprefix(_SVG_NAMESPACE)
    if tag not in _ALLOWED_TAGS or element.get("display") == "none" or element.get("fill") == "transparent":
        return ""
    inner = str(escape(element.text)) if element.text and tag in {"text", "tspan"} else ""
    inner += "".join(_markup(child) for child in element)
    attributes = {
        name: _shorter(value)
        for name, value in element.attrib.items()
        if name not in _DROPPED_ATTRIBUTES
        and not name.startswith(("{", "on", "aria-", "href", "style", "stroke-miterlimit"))
        and (name, value) not in {("opacity", "1"), ("stroke-width", "0"), ("transform", "translate(0,0)")}
    }
    if tag == "g":
        if not inner:
            return ""
        if not attributes:
            return inner
    if tag == "path" and attributes.get("d", "") in {"", "M0,0h0v0h0Z"}:
        return ""
    if tag == "path" and not ({"fill", "stroke"} & attributes.keys()):
        return ""
    written = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
    return f"<{tag}{written}>{inner}</{tag}>" if inner else f"<{tag}{written}/>"


def _shorter(value: str) -> str:
    """Coordinates with one decimal: a tenth of a unit is finer than any screen draws."""
    if value.startswith("#"):
        return value
    return re.sub(r"-?\d+\.\d{2,}", lambda found: f"{float(found.group()):.1f}".removesuffix(".0"), value)
