"""Programme (parks, tranches, status) and capacity (installed, leased, busy, energy) of the monitor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.publishing import charts, maps
from orchestration.publishing.formats import (
    WHOLE,
    Scale,
    clean,
    count_text,
    join_words,
    missing,
    month_text,
    number,
    percent,
    quantity,
    quantity_scale,
    short_day_text,
    short_month_text,
    to_decimal,
    unit_text,
)
from orchestration.publishing.page import (
    Block,
    Cell,
    Column,
    Drawing,
    Drawings,
    Missing,
    Prose,
    Row,
    Section,
    Table,
    absent,
    build,
    figure,
    footed_column,
    share_of,
    text,
)
from orchestration.publishing.view import (
    CHART_MONTHS,
    TABLE_MONTHS,
    CannotCompute,
    View,
    months_of,
    need,
    optional,
    park_names,
    ratio,
    total,
    upto,
)

CAPACITY = "metering.fct_capacity_day"
POWER = "metering.fct_power_day"
HOURS = ("installed_gpu_hours", "available_gpu_hours", "leased_gpu_hours", "busy_gpu_hours")
# Hours that telemetry covers: of the others it is not known whether they were busy.
OBSERVED = "observed_gpu_hours"
LEASED_OF_AVAILABLE, LEASED_OF_OBSERVED = "leased_of_available_gpu_hours", "leased_of_observed_gpu_hours"


def programme(view: View) -> Section:
    """Who operates what, where, and which capacity is energised."""
    return build(
        view,
        "programme",
        "Programme",
        "Which parks and tranches stand behind these figures?",
        [
            ("the programme in one sentence", _programme_prose),
            ("the map of the programme", _programme_map),
            ("parks", _parks),
            ("tranches", tranches_table),
        ],
    )


def _energised(row: Mapping[str, Any], view: View) -> bool:
    day = row["energised_date"]
    return day is not None and day <= view.as_of


def _state(row: Mapping[str, Any], view: View) -> str:
    """Gives "energised", "planned", or "overdue" where the planned day has passed."""
    if _energised(row, view):
        return "energised"
    planned = row.get("planned_date")
    return "overdue" if planned is not None and planned < view.as_of else "planned"


def _programme_prose(view: View) -> Sequence[Block]:
    tranches = need(view, "core.dim_tranche", "tranche_id", "park_id", "gpu_count", "energised_date").to_dicts()
    live = [row for row in tranches if _energised(row, view)]
    listed = optional(view, "core.dim_park", "park_id")
    parks = {row["park_id"] for row in tranches} | set(listed["park_id"] if listed is not None else ())
    gpus, planned = (total(row["gpu_count"] for row in rows) for rows in (live, tranches))
    models = sorted({clean(row["gpu_model"]) for row in live if row.get("gpu_model")})
    sentence = (
        f"{count_text(len(parks), 'park', 'parks')} with {count_text(len(tranches), 'tranche', 'tranches')}: "
        f"{number(gpus)} of {number(planned)} GPUs are energised"
        + (f" ({join_words(models)})" if models else "")
        + f" on {short_day_text(view.as_of)}."
    )
    return [Prose([sentence])]


STATES = {"energised": ("blue", "good"), "planned": ("slate", "quiet"), "overdue": ("red", "bad")}


def _programme_map(view: View) -> Sequence[Block]:
    """Where the parks are and how far each is built: a map, and each park's tranches by state."""
    tranches = need(view, "core.dim_tranche", "tranche_id", "park_id", "gpu_model", "gpu_count", "energised_date")
    listed = tranches.sort("energised_date", "tranche_id", nulls_last=True).to_dicts()
    parks = need(view, "core.dim_park", "park_id", "time_zone").sort("park_id").to_dicts()
    names = park_names(view)
    places, rows, unplaced, said = [], [], [], []
    for park in parks:
        own = [row for row in listed if row["park_id"] == park["park_id"]]
        name = names.get(park["park_id"], clean(park["park_id"]))
        whole = int(total(row["gpu_count"] for row in own))
        live = int(total(row["gpu_count"] for row in own if _energised(row, view)))
        counted = f"{number(live)} of {number(whole)} GPUs energised"
        said.append(f"{name}: {counted}.")
        parts = [
            charts.Block(float(row["gpu_count"]), clean(row["gpu_model"] or ""), STATES[_state(row, view)][0])
            for row in own
        ]
        rows.append(charts.Blocks(name, f"{number(live)} of {number(whole)}", parts))
        city = maps.city_of_zone(str(park["time_zone"]))
        if city is None:
            unplaced.append(name)
        else:
            done = live / whole if whole else 0.0
            places.append(maps.Place(name, counted, *city, float(whole), done))
    notes = [
        "A disc is as large as the GPUs planned and filled as far as they are energised.",
        "It stands at the city that the park's clock is named for, not at its site.",
    ]
    if unplaced:
        notes.append(f"Not on the map, for their clocks name no city: {join_words(unplaced)}.")
    items = []
    if places:
        drawn = maps.world("chart-map", "Where the parks are", " ".join(said), places)
        items.append(Drawing(drawn, "coasts: Natural Earth", "core.dim_park, core.dim_tranche", " ".join(notes)))
    built = charts.blocks("chart-built", "How far each park is built", " ".join(said), rows)
    legend = "A block is a tranche: blue energised, grey planned, red planned for a day that has passed."
    items.append(
        Drawing(built, f"GPUs energised of planned on {short_day_text(view.as_of)}", "core.dim_tranche", legend)
    )
    return [Drawings(items)]


def _parks(view: View) -> Sequence[Block]:
    parks = need(view, "core.dim_park", "park_id", "park_name", "operator_id", "country_code", "time_zone").sort(
        "park_id"
    )
    operators_frame = optional(view, "core.dim_operator", "operator_id", "operator_name")
    operators = {row["operator_id"]: row for row in operators_frame.to_dicts()} if operators_frame is not None else {}
    tranches = optional(view, "core.dim_tranche", "park_id", "gpu_count", "energised_date")
    listed = tranches.to_dicts() if tranches is not None else []
    rows_in = parks.to_dicts()
    live_cells, live_total = footed_column(
        [
            total(t["gpu_count"] for t in listed if t["park_id"] == row["park_id"] and _energised(t, view))
            for row in rows_in
        ],
        WHOLE,
    )
    all_cells, all_total = footed_column(
        [total(t["gpu_count"] for t in listed if t["park_id"] == row["park_id"]) for row in rows_in], WHOLE
    )
    has_power = "it_power_mw" in parks.columns
    power_cells, power_total = (
        footed_column([row.get("it_power_mw") for row in rows_in], Scale(Decimal(1), "", 1))
        if has_power
        else ([absent("not published")] * len(rows_in), absent("not published"))
    )
    rows = []
    for row, live, planned, power in zip(rows_in, live_cells, all_cells, power_cells, strict=True):
        operator = operators.get(row["operator_id"], {})
        rating = " ".join(clean(operator[key]) for key in ("rating", "rating_agency") if operator.get(key))
        rows.append(
            Row(
                Cell(clean(row["park_name"] or row["park_id"])),
                [
                    text(clean(operator.get("operator_name") or row["operator_id"])),
                    text(rating) if rating else absent("no rating"),
                    text(clean(row["country_code"] or "")),
                    text(clean(row["time_zone"] or "")),
                    power,
                    live,
                    planned,
                ],
            )
        )
    rows.append(
        Row(Cell("Programme"), [Cell(""), Cell(""), Cell(""), Cell(""), power_total, live_total, all_total], "total")
    )
    head = [
        Column("Park", "text"),
        Column("Operator", "text"),
        Column("Rating", "text"),
        Column("Country", "text"),
        Column("Clock", "text"),
        Column("IT power", unit="MW"),
        Column("GPUs energised"),
        Column("GPUs planned"),
    ]
    return [Table("Parks and operators", head, rows, "core.dim_park, core.dim_operator, core.dim_tranche")]


def tranches_table(view: View) -> Sequence[Block]:
    name = "core.dim_tranche"
    frame = need(view, name, "tranche_id", "contract_id", "park_id", "gpu_model", "gpu_count", "energised_date")
    listed = frame.sort("park_id", "tranche_id").to_dicts()
    counts, whole = footed_column([row["gpu_count"] for row in listed], WHOLE)
    rows = []
    for row, count in zip(listed, counts, strict=True):
        state = _state(row, view)
        rows.append(
            Row(
                Cell(clean(row["tranche_id"]), kind="code"),
                [
                    Cell(clean(row["contract_id"]), kind="code") if row["contract_id"] else absent("no contract"),
                    text(clean(row["gpu_model"] or "")),
                    count,
                    Cell(short_day_text(row["energised_date"])) if row["energised_date"] else absent("no date"),
                    Cell(state, tone=STATES[state][1]),
                ],
            )
        )
    rows.append(Row(Cell("All tranches"), [Cell(""), Cell(""), whole, Cell(""), Cell("")], "total"))
    head = [
        Column("Tranche", "text"),
        Column("Contract", "text"),
        Column("GPU", "text"),
        Column("GPUs"),
        Column("Energised", "text"),
        Column("Status", "text"),
    ]
    return [Table("Tranches and their state", head, rows, name, as_of=short_day_text(view.as_of))]


def capacity(view: View) -> Section:
    """Installed, available, leased and busy GPU-hours, occupancy beside utilisation, energy and PUE."""
    return build(
        view,
        "capacity",
        "Capacity and power",
        "How much is installed, how much of it is leased, how much of that is busy?",
        [
            ("capacity in sentences", _capacity_prose),
            ("capacity, occupancy and PUE by month", _capacity_charts),
            ("capacity by park", capacity_table),
            ("energy by month", _power_charts),
            ("power by park", _power_table),
        ],
    )


def _until_last_measured(months: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Each park's months up to its last one with something in the columns; all of them where there is none such.

    A park whose feeds end before the as-of month, as a published trace does, is shown as it was last measured.
    """
    measured = pl.any_horizontal(pl.col(column).fill_null(0) > 0 for column in columns)
    last = pl.col("month").filter(measured).max().over("park_id").fill_null(pl.col("month").max())
    return months.filter(pl.col("month") <= last)


def _last_rows(months: pl.DataFrame) -> tuple[date | None, pl.DataFrame]:
    """Each park's last row, and the month where it is the same for all."""
    rows = months.group_by("park_id", maintain_order=True).last().sort("park_id")
    known = months_of(rows, "month")
    return (known[0] if len(known) == 1 else None), rows


def _chart_window(months: pl.DataFrame) -> pl.DataFrame:
    return months.group_by("park_id", maintain_order=True).tail(CHART_MONTHS)


def _capacity_months(view: View) -> pl.DataFrame:
    """Sums by park and month, each park up to the month in which it was last measured."""
    frame = need(view, CAPACITY, "tranche_id", "service_date", "park_id", "coverage_fraction", *HOURS)
    observed = pl.col("coverage_fraction").cast(pl.Float64) * pl.col("installed_gpu_hours").cast(pl.Float64)
    summed = (
        frame.filter(pl.col("service_date") <= view.as_of)
        .with_columns(
            observed.fill_null(0).alias(OBSERVED), *(pl.col(column).cast(pl.Decimal(38, 6)) for column in HOURS)
        )
        .group_by("park_id", pl.col("service_date").dt.truncate("1mo").alias("month"))
        .agg([pl.col(column).sum() for column in (*HOURS, OBSERVED)])
        .sort("park_id", "month")
    )
    return _until_last_measured(upto(view, summed, "month", CAPACITY), *HOURS[1:])


def _ratios(hours: Mapping[str, Any]) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Occupancy, utilisation, and use of what was observed whether leased or not."""
    leased, available, busy = (hours[f"{word}_gpu_hours"] for word in ("leased", "available", "busy"))
    return (
        ratio(hours.get(LEASED_OF_AVAILABLE, leased), available),
        ratio(busy, hours.get(LEASED_OF_OBSERVED, leased)) if hours[OBSERVED] else None,
        ratio(busy, hours[OBSERVED]),
    )


def _no_utilisation(hours: Mapping[str, Any]) -> str:
    return "no telemetry" if hours["leased_gpu_hours"] else "nothing leased"


def _sums(rows: pl.DataFrame) -> dict[str, Any]:
    """The hours of all parks. A park with nothing available, or that nothing has observed, has no part in the ratio of all:
    its leased hours would stand below a line on whose other side it has none.
    """
    return {
        **{column: total(rows[column]) for column in (*HOURS, OBSERVED)},
        LEASED_OF_AVAILABLE: total(rows.filter(pl.col("available_gpu_hours") > 0)["leased_gpu_hours"]),
        LEASED_OF_OBSERVED: total(rows.filter(pl.col(OBSERVED) > 0)["leased_gpu_hours"]),
    }


def _said_of_capacity(hours: Mapping[str, Any], opening: str) -> str:
    occupancy, utilisation, used = _ratios(hours)
    said = (
        f"{opening} {quantity(hours['installed_gpu_hours'], 'GPU-hours')} were installed and "
        f"{quantity(hours['leased_gpu_hours'], 'GPU-hours')} leased: occupancy "
        f"{percent(occupancy) if occupancy is not None else missing('nothing available')}; "
    )
    if utilisation is not None:
        return f"{said}leased GPUs were busy {percent(utilisation)} of the time."
    without = f"utilisation {missing(_no_utilisation(hours))}"
    if used is None:
        return f"{said}{without}."
    return f"{said}{without}; the GPUs observed were busy {percent(used)} of the time."


def _capacity_prose(view: View) -> Sequence[Block]:
    months = _capacity_months(view)
    month, rows = _last_rows(months)
    if month is None:
        names = park_names(view)
        return [
            Prose(
                [
                    _said_of_capacity(
                        row, f"{names.get(row['park_id'], clean(row['park_id']))}, in {month_text(row['month'])}:"
                    )
                    for row in rows.to_dicts()
                ]
            )
        ]
    sentences = [_said_of_capacity(_sums(rows), f"In {month_text(month)}")]
    occupancy, _, _ = _ratios(_sums(rows))
    known = months_of(months, "month")
    if len(known) > 1:
        before = months.filter(pl.col("month") == known[-2])
        was, _, _ = _ratios(_sums(before))
        if was is not None and occupancy is not None:
            change = (occupancy - was) * 100
            verb = "rose" if change > 0 else "fell"
            sentences.append(
                f"Occupancy {verb} by {number(abs(change), 1)} percentage points from {percent(was)} in "
                f"{month_text(known[-2])}."
                if change
                else f"Occupancy was {percent(was)} in {month_text(known[-2])} too."
            )
    return [Prose(sentences)]


def _points(rows: pl.DataFrame, column: str, divisor: Decimal = Decimal(1)) -> list[tuple[date, float | None]]:
    return [
        (row["month"], None if row[column] is None else float(Decimal(str(row[column])) / divisor))
        for row in rows.to_dicts()
    ]


def _capacity_charts(view: View) -> Sequence[Block]:
    months = _chart_window(_capacity_months(view))
    names = park_names(view)
    blocks: list[Block] = []
    try:
        pues = _pue_charts(view)
    except CannotCompute as reason:
        pues = {}
        blocks.append(Missing("PUE by month", str(reason)))
    for index, (key, rows) in enumerate(months.group_by("park_id", maintain_order=True)):
        if rows.height < 2:  # one month is no course: the sentences and the table say it
            continue
        park = names.get(str(key[0]), clean(key[0]))
        items = []
        scale = quantity_scale(rows["installed_gpu_hours"])
        last = rows.to_dicts()[-1]
        series = [
            charts.Series(
                word,
                _points(rows, f"{word}_gpu_hours", scale.divisor),
                colour,
                f"{word} {number(last[f'{word}_gpu_hours'], scale.digits, scale.divisor)}",
            )
            for word, colour in (("installed", "slate"), ("leased", "blue"), ("busy", "teal"))
        ]
        unit = f"{unit_text('GPU-hours', scale)} a month"
        description = (
            f"{park}, {month_text(last['month'])}: installed {quantity(last['installed_gpu_hours'], 'GPU-hours')}, "
            f"leased {quantity(last['leased_gpu_hours'], 'GPU-hours')}, "
            f"busy {quantity(last['busy_gpu_hours'], 'GPU-hours')}."
        )
        items.append(
            Drawing(
                charts.lines(
                    f"chart-capacity-{index}",
                    "Capacity",
                    description,
                    series,
                    y_format=f",.{0 if scale.word == 'm' else 1}f",
                ),
                unit,
                CAPACITY,
            )
        )
        if any(one is not None for row in rows.to_dicts() for one in _ratios(row)):
            items.append(_share_chart(index, park, rows))
        if str(key[0]) in pues:
            items.append(pues[str(key[0])])
        blocks.append(Drawings(items, park))
    return blocks


def _shares(hours: Mapping[str, Any]) -> list[Cell]:
    occupancy, utilisation, used = _ratios(hours)
    return [
        share_of(occupancy, reason="nothing available"),
        share_of(utilisation, reason=_no_utilisation(hours)),
        share_of(used, reason="no telemetry"),
    ]


SHARE_COLUMNS = (
    Column("Occupancy", unit="leased ÷ available"),
    Column("Utilisation", unit="busy ÷ leased"),
    Column("Use", unit="busy ÷ observed"),
)


def _dated(month: date | None) -> list[Column]:
    """A column of months, where parks were last measured in different ones."""
    return [] if month is not None else [Column("Month", "text")]


def _share_chart(index: int, park: str, rows: pl.DataFrame) -> Drawing:
    """Occupancy beside utilisation; of a park that never leased anything, the use of what was observed."""
    words = ("occupancy", "utilisation", "use")
    columns = zip(words, zip(*(_ratios(row) for row in rows.to_dicts()), strict=True), strict=True)
    shares = rows.select("month").with_columns(
        pl.Series(word, [None if one is None else float(one) for one in column], pl.Float64) for word, column in columns
    )
    title, unit = "Occupancy against utilisation", "leased ÷ available; busy ÷ leased"
    names = [("occupancy", "blue", False), ("utilisation", "teal", True)]
    if not rows["leased_gpu_hours"].sum():
        title, unit, names = "Use of the hours observed", "busy ÷ observed", [("use", "teal", False)]
    ends = shares.to_dicts()[-1]
    values = [value for name, _, _ in names for value in shares[name] if value is not None and value < 10]
    return Drawing(
        charts.lines(
            f"chart-occupancy-{index}",
            title,
            f"{park}, {month_text(ends['month'])}: "
            + ", ".join(f"{name} {percent(ends[name])}" for name, _, _ in names)
            + ".",
            [
                charts.Series(name, _points(shares, name), colour, f"{name} {percent(ends[name], 0)}", dashed=dashed)
                for name, colour, dashed in names
            ],
            y_format=".0%",
            y_domain=(0.0, max([1.0, *values])),
        ),
        unit,
        CAPACITY,
    )


def capacity_table(view: View) -> Sequence[Block]:
    months = _capacity_months(view)
    names = park_names(view)
    month, rows = _last_rows(months)
    scale = quantity_scale(rows["installed_gpu_hours"])
    by_column = {column: footed_column(rows[column].to_list(), scale) for column in HOURS}
    out = [
        Row(
            Cell(names.get(row["park_id"], clean(row["park_id"]))),
            [
                *([] if month is not None else [Cell(short_month_text(row["month"]))]),
                *[by_column[column][0][index] for column in HOURS],
                *_shares(row),
            ],
        )
        for index, row in enumerate(rows.to_dicts())
    ]
    if month is not None:  # hours of different months have no sum
        out.append(
            Row(Cell("Programme"), [*[by_column[column][1] for column in HOURS], *_shares(_sums(rows))], "total")
        )
    head = [
        Column("Park", "text"),
        *_dated(month),
        Column("Installed"),
        Column("Available"),
        Column("Leased"),
        Column("Busy"),
        *SHARE_COLUMNS,
    ]
    table = Table(
        "Capacity by park",
        head,
        out,
        CAPACITY,
        unit=unit_text("GPU-hours", scale),
        as_of=month_text(month) if month is not None else "month last measured",
    )
    return [table, _capacity_history(months, names)]


def _capacity_history(months: pl.DataFrame, names: dict[str, str]) -> Table:
    """Month by month behind the charts, folded away on screen."""
    kept = (
        months.group_by("park_id", maintain_order=True)
        .tail(TABLE_MONTHS)
        .sort("month", "park_id", descending=[True, False])
    )
    scale = quantity_scale(kept["installed_gpu_hours"])
    rows = [
        Row(
            Cell(short_month_text(row["month"])),
            [
                Cell(names.get(row["park_id"], clean(row["park_id"]))),
                *[figure(row[column], scale.digits, scale.divisor) for column in HOURS],
                *_shares(row),
            ],
        )
        for row in kept.to_dicts()
    ]
    head = [
        Column("Month", "text"),
        Column("Park", "text"),
        Column("Installed"),
        Column("Available"),
        Column("Leased"),
        Column("Busy"),
        *SHARE_COLUMNS,
    ]
    return Table("Capacity, month by month", head, rows, CAPACITY, unit=unit_text("GPU-hours", scale), folded=True)


def _power_months(view: View) -> pl.DataFrame:
    frame = need(view, POWER, "park_id", "service_date", "facility_energy_kwh", "it_energy_kwh")
    estimated = "estimated_energy_fraction" in frame.columns
    summed = (
        frame.filter(pl.col("service_date") <= view.as_of)
        .with_columns(
            facility=pl.col("facility_energy_kwh").cast(pl.Float64),
            it=pl.col("it_energy_kwh").cast(pl.Float64),
            estimated=(pl.col("estimated_energy_fraction").cast(pl.Float64) if estimated else pl.lit(None, pl.Float64))
            * pl.col("facility_energy_kwh").cast(pl.Float64),
        )
        .group_by("park_id", pl.col("service_date").dt.truncate("1mo").alias("month"))
        .agg(
            # Days without a meter reading have no PUE, so both sides of the ratio leave them out.
            pl.col("facility").sum(),
            pl.col("it").sum(),
            pl.col("estimated").sum(),
            pl.col("it").filter(pl.col("facility").is_not_null()).sum().alias("it_metered"),
            pl.col("facility").filter(pl.col("it").is_not_null()).sum().alias("facility_metered"),
        )
        .with_columns(
            pue=pl.when(pl.col("it_metered") > 0).then(pl.col("facility_metered") / pl.col("it_metered")),
            estimated=pl.when(pl.col("facility") > 0).then(pl.col("estimated") / pl.col("facility"))
            if estimated
            else pl.lit(None, pl.Float64),
        )
        .sort("park_id", "month")
    )
    return _until_last_measured(upto(view, summed, "month", POWER), "facility", "it")


def _energy_scale(kwh: Iterable[Any]) -> Scale:
    """How energy in kWh is shown: as GWh, MWh or kWh, by the largest."""
    largest = max((one for value in kwh if (one := to_decimal(value)) is not None), default=Decimal(0))
    if largest >= 100_000:
        return Scale(Decimal(10**6), "GWh", 2)
    return Scale(Decimal(10**3), "MWh", 2) if largest >= 1_000 else Scale(Decimal(1), "kWh", 1)


def _power_charts(view: View) -> Sequence[Block]:
    months = _chart_window(_power_months(view))
    names = park_names(view)
    items = []
    for index, (key, rows) in enumerate(months.group_by("park_id", maintain_order=True)):
        park = names.get(str(key[0]), clean(key[0]))
        last = rows.to_dicts()[-1]
        scale = _energy_scale(rows["facility"])
        facility = f"{number(last['facility'], 1, scale.divisor)} {scale.word}"
        items.append(
            Drawing(
                charts.bars(
                    f"chart-energy-{index}",
                    f"Facility energy, {park}",
                    f"{park} drew {facility} in {month_text(last['month'])}.",
                    _points(rows, "facility", scale.divisor),
                    y_format=",.0f" if (last["facility"] or 0) > 10 * scale.divisor else ",.1f",
                    last_text=facility,
                ),
                f"{scale.word} a month",
                POWER,
            )
        )
    return [Drawings(items)]


def _pue_charts(view: View) -> dict[str, Drawing]:
    """The PUE of each park by month."""
    months = _chart_window(_power_months(view))
    names = park_names(view)
    found = {}
    for index, (key, rows) in enumerate(months.group_by("park_id", maintain_order=True)):
        park = names.get(str(key[0]), clean(key[0]))
        last = rows.to_dicts()[-1]
        top = max([1.5, *[value for value in rows["pue"] if value is not None and value < 5]])
        found[str(key[0])] = Drawing(
            charts.lines(
                f"chart-pue-{index}",
                "PUE",
                f"{park}: PUE {number(last['pue'], 2)} in {month_text(last['month'])}.",
                [charts.Series("PUE", _points(rows, "pue"), "blue", f"PUE {number(last['pue'], 2)}")],
                y_format=".1f",
                y_domain=(1.0, float(-(-top // 0.5) * 0.5)),
            ),
            "facility ÷ IT energy; 1.0 is the physical bound",
            POWER,
        )
    return found


def _power_table(view: View) -> Sequence[Block]:
    names = park_names(view)
    month, rows = _last_rows(_power_months(view))
    scale = _energy_scale([*rows["facility"], *rows["it"]])
    facility, facility_all = footed_column(rows["facility"].to_list(), scale)
    it_energy, it_all = footed_column(rows["it"].to_list(), scale)
    out = [
        Row(
            Cell(names.get(row["park_id"], clean(row["park_id"]))),
            [
                *([] if month is not None else [Cell(short_month_text(row["month"]))]),
                facility[index],
                it_energy[index] if row["it"] else absent("no IT energy metered"),
                figure(row["pue"], 3, reason="no IT energy metered"),
                share_of(row["estimated"], reason="quality flags not published"),
            ],
        )
        for index, row in enumerate(rows.to_dicts())
    ]
    if month is not None:
        whole = ratio(total(rows["facility_metered"]), total(rows["it_metered"]))
        sums = [facility_all, it_all, figure(whole, 3, reason="no IT energy metered"), Cell("")]
        out.append(Row(Cell("Programme"), sums, "total"))
    head = [
        Column("Park", "text"),
        *_dated(month),
        Column("Facility", unit=scale.word),
        Column("IT", unit=scale.word),
        Column("PUE"),
        Column("Estimated", unit="share of energy"),
    ]
    as_of = month_text(month) if month is not None else "month last measured"
    return [Table("Energy and PUE by park", head, out, POWER, as_of=as_of)]
