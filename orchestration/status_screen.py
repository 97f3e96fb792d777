"""How ``parkledger status`` is shown: on a terminal what fits on its screen, the worst first; elsewhere the whole.

Each part of the screen is a list of units, the worst first. Where all of them do not fit, the longest parts are cut from
their ends and say what was left out.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from textwrap import wrap
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from ingest.contracts import CONTRACTS
from orchestration.alerting import alert_text
from orchestration.display import STYLES, as_table
from orchestration.publishing.formats import MAX_PATH_LENGTH, clean, count_text
from orchestration.status_command import CRITICAL, NOTHING, PUBLISHED, SEVERITIES, WARNING

# Where a line's text begins, and the least room that it has, in signs.
INDENT, MINIMUM_ROOM = 11, 40
PROMPT_LINES = 1
# What a column of the grid of feeds is called; the whole has their full names.
SHORT_NAMES = {
    "leases": "leases", "lease_usage": "usage", "lease_assignments": "assigned", "lease_adjustments": "adjusted",
    "payments": "payments", "credit_events": "events", "power_meter": "power", "gpu_telemetry": "GPUs",
}  # fmt: skip
# A day of the last ten months needs no year, as in a listing of files.
SAME_YEAR_DAYS = 300

Unit = list[Text]


@dataclass(frozen=True)
class _Part:
    """A part of the screen.

    Attributes:
        units: what it says, the worst first, each some lines.
        more: what is said instead of the units from a number on.
        head: lines that always stand.
        least: units that always stand.
    """

    units: list[Unit]
    more: Callable[[int], str] = "and {} more: parkledger status --all".format
    head: Sequence[RenderableType] = ()
    least: int = 1

    def lines(self, shown: int, room: int | None) -> list[RenderableType]:
        hidden = len(self.units) - shown
        rest = _titled("", self.more(hidden), room) if hidden else []
        return [*self.head, *(line for unit in self.units[:shown] for line in unit), *rest]


def print_status(answer: dict[str, Any], out: Console, *, whole: bool = False) -> None:
    """State, run, feeds, months, alerts, what comes next, what to do.

    Args:
        answer: of ``home_status``.
        out: a terminal gets as much as fits on its screen, anything else the whole.
        whole: a terminal gets the whole, too.
    """
    is_whole = whole or not out.is_terminal
    room = max(out.width - INDENT, MINIMUM_ROOM) if out.is_terminal else None
    parts = [
        _state(answer, room),
        _runs(answer, room),
        _feeds_in_full(answer) if is_whole else _feeds_in_a_grid(answer, out.width),
        _held(answer["held_back"], room),
        _months(answer["months"], room),
        _alerts(answer, room, is_whole=is_whole),
        _checks(answer["failed_checks"], room),
        _next(answer, room, is_whole=is_whole),
        _to_do(answer["to_do"]),
    ]
    shown = [len(part.units) for part in parts]
    if not is_whole:
        shown = _fitting(parts, out.width, room, out.height - PROMPT_LINES)
    for part, count in zip(parts, shown, strict=True):
        for line in part.lines(count, room):
            out.print(line, soft_wrap=isinstance(line, Text), highlight=False)


def _fitting(parts: Sequence[_Part], width: int, room: int | None, height: int) -> list[int]:
    """How many units of each part fit: the longest part is cut first, of equally long ones the later."""

    def tall(number: int, shown: int) -> int:
        lines = parts[number].lines(shown, room)
        return sum(max(1, -(-line.cell_len // width)) for line in lines if isinstance(line, Text))

    shown = [len(part.units) for part in parts]
    heights = [tall(*pair) for pair in enumerate(shown)]
    while sum(heights) > height:
        cut = [number for number, part in enumerate(parts) if shown[number] > part.least]
        if not cut:
            break
        longest = max(cut, key=lambda number: (heights[number], number))
        shown[longest] -= 1
        heights[longest] = tall(longest, shown[longest])
    # A long unit that went leaves room for short ones, and a line that says "one more" for the one more.
    for number, part in enumerate(parts):
        rest = height - sum(heights) + heights[number]
        most = max(
            count
            for count in range(shown[number], len(part.units) + 1)
            if count == shown[number] or tall(number, count) <= rest
        )
        shown[number], heights[number] = most, tall(number, most)
    return shown


def _state(answer: dict[str, Any], room: int | None) -> _Part:
    wrong = {severity: texts for severity, texts in answer["state"].items() if texts}
    if not wrong:
        said = "well: nothing failed, late, in quarantine, or above an alert's limit"
        return _Part([_titled("State", said, room, "green")])
    units = [
        _titled("" if number else "State", f"{severity}: {', '.join(texts)}", room, severity)
        for number, (severity, texts) in enumerate(wrong.items())
    ]
    return _Part(units, least=len(units))


def _runs(answer: dict[str, Any], room: int | None) -> _Part:
    published = "nothing yet"
    if answer["run_id"]:
        state = "current" if answer["is_current"] else "not current"
        simulated = ", simulated feeds" if answer["is_simulated"] else ""
        published = f"as of {answer['as_of']}, {state}{simulated}; run {answer['run_id']}"
    run, said = answer["last_run"], "none recorded"
    if run is not None:
        began, ended = (_moment(run[name]) for name in ("started_at", "ended_at"))
        said = f"{run['job']}: {run['status']}, {began} to {ended.removeprefix(began[:11])}"
    style = CRITICAL if run is not None and run["status"] == "failure" else ""
    return _Part([_titled("Published", published, room), _titled("Last run", said, room, style)], least=2)


def _feeds_in_full(answer: dict[str, Any]) -> _Part:
    """One row for each park and feed, with counts."""
    head = _feeds_head(answer)
    if answer["feeds_from"] == NOTHING:
        return _Part([], head=head)
    # A park's name on a line of its own leaves room for whole cells in 80 columns.
    cells: list[tuple[object, ...]] = []
    for park_id, of_park in groupby(_in_order(answer["feeds"]), key=lambda f: f["park_id"]):
        cells.append((park_id, *[""] * 6))
        cells += [
            (
                f"  {f['feed']}",
                f["last_day"] or "—",
                "—" if f["days_late"] is None else f["days_late"],
                f["files"],
                f["landed"],
                f["standing_in_quarantine"],
                f["rejected_files"],
            )
            for f in of_park
        ]
    names = ["park and feed", "last day", "late", "files", "rows", "quarantine", "rejected"]
    note = _indented("", "late: days; quarantine: rows that stand there; rejected: files refused as a whole")
    return _Part([], head=[*head, as_table(names, cells, whole_from=1), note])


def _feeds_in_a_grid(answer: dict[str, Any], width: int) -> _Part:
    """A column for each feed; of each park the last day of each, and beneath it what is late, refused or rejected."""
    head = _feeds_head(answer)
    if answer["feeds_from"] == NOTHING or not answer["feeds"]:
        return _Part([], head=head)
    feeds = _in_order(answer["feeds"])
    names = list(dict.fromkeys(f["feed"] for f in sorted(feeds, key=lambda f: _place(f["feed"]))))
    parks = [
        (park_id, {f["feed"]: f for f in of_park}) for park_id, of_park in groupby(feeds, key=lambda f: f["park_id"])
    ]
    parks.sort(key=lambda park: (*(-trouble for trouble in _troubles(park[1].values())), park[0]))
    today = datetime.fromisoformat(answer["clock_at"]).date()
    grid = [
        (park_id, label, style, [say(of_park[name], today) if name in of_park else "" for name in names])
        for park_id, of_park in parks
        for label, style, say in _ROWS
    ]
    titles = [SHORT_NAMES.get(name, name) for name in names]
    sizes = [max(len(title), *(len(row[3][n]) for row in grid)) for n, title in enumerate(titles)]
    room = width - sum(size + 1 for size in sizes)
    longest = max(len("days late"), *(len(park_id) for park_id, _ in parks))
    first = min(longest + 2, max(room, len("  days late")))

    def line(name: str, cells: Sequence[str], style: str = "") -> Text:
        text = Text(name.ljust(first))
        for cell, size in zip(cells, sizes, strict=True):
            text.append(f" {cell:>{size}}", style=style if cell.strip("0 —") else "")
        return text

    units = []
    for park_id, rows in groupby(grid, key=lambda row: row[0]):
        unit = []
        for _, label, style, cells in rows:
            if not label and len(park_id) > first:  # a name that leaves no room has a line of its own
                unit += [Text(park_id), line("", cells)]
            elif not label:
                unit.append(line(park_id, cells))
            elif any(cell.strip("0 —") for cell in cells):
                unit.append(line(f"  {label}", cells, style))
        units.append(unit)

    def more(hidden: int) -> str:
        late, rejected, standing = zip(*(_troubles(of_park.values()) for _, of_park in parks[-hidden:]), strict=True)
        latest = f"up to {count_text(max(late), 'day', 'days')} late" if any(late) else "none late"
        rows, files = count_text(sum(standing), "row", "rows"), count_text(sum(rejected), "file", "files")
        return f"and {hidden} more: {latest}; {rows}, {files} refused (--all)"

    return _Part(units, more=more, head=[*head, line("park", titles)])


def _troubles(feeds: Iterable[dict[str, Any]]) -> tuple[int, int, int]:
    """Of a park the most days that a feed is late, files rejected, and rows that stand in quarantine."""
    of_park = list(feeds)
    return (
        max((f["days_late"] or 0 for f in of_park), default=0),
        sum(f["rejected_files"] for f in of_park),
        sum(f["standing_in_quarantine"] for f in of_park),
    )


def _day_text(feed: dict[str, Any], today: date) -> str:
    """The last day that has landed: month and day of the last ten months, year and month of before."""
    day = feed["last_day"]
    if day is None:
        return "—" if feed["files"] == 0 else "?"
    return f"{day:%m-%d}" if abs((today - day).days) < SAME_YEAR_DAYS else f"{day:%Y-%m}"


def _refused_text(feed: dict[str, Any]) -> str:
    """Rows that stand in quarantine, and files that were rejected as a whole: "5", "1 file", and for want of room "5+1f"."""
    rows, files = feed["standing_in_quarantine"], feed["rejected_files"]
    if not files:
        return f"{rows:,}"
    return f"{rows:,}+{files:,}f" if rows else count_text(files, "file", "files")


# The lines of a park in the grid: what they are called, how a figure that is not nought looks, and each feed's cell.
_ROWS: tuple[tuple[str, str, Callable[[dict[str, Any], date], str]], ...] = (
    ("", "", _day_text),
    ("days late", STYLES[CRITICAL], lambda feed, _: "" if feed["days_late"] is None else f"{feed['days_late']:,}"),
    ("refused", STYLES[WARNING], lambda feed, _: _refused_text(feed)),
)


def _feeds_head(answer: dict[str, Any]) -> list[RenderableType]:
    source = answer["feeds_from"]
    if source == NOTHING:
        return [_indented("Feeds", "nothing has landed")]
    late = [feed["days_late"] for feed in answer["feeds"] if feed["days_late"]]
    said = f"{count_text(len(late), 'feed', 'feeds')} late" if late else "none late"
    clock = _moment(answer["clock_at"])
    lines: list[RenderableType] = [_indented("Feeds", f"{said} at {clock}, the home's clock; last days:")]
    if source == PUBLISHED:
        lines.append(_indented("", f"from the {source}: a run holds the last days, or they are missing"))
    return lines


def _place(feed: str) -> int:
    order = list(CONTRACTS)
    return order.index(feed) if feed in order else len(order)


def _in_order(feeds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(feeds, key=lambda f: (f["park_id"], _place(f["feed"]), f["feed"]))


def _held(held: Sequence[dict[str, Any]], room: int | None) -> _Part:
    units = []
    for number, one in enumerate(held):
        partition = f"{one['park_id']} {one['feed']} {one['service_date']}"
        waiting_rows = count_text(one["held_row_count"], "row waits", "rows wait")
        broken = count_text(one["broken_row_count"], "row breaks", "rows break")
        first = clean(f"{one['path']}:{one['line_no']}", MAX_PATH_LENGTH)
        said = f"{partition} ({waiting_rows}): {broken} {one['rule']}, first {first}"
        units.append(_titled("" if number else "Held back", said, room))
    return _Part(units, more='and {} more: parkledger sql "FROM quality.fct_held_partition"'.format)


def _months(months: Sequence[dict[str, Any]], room: int | None) -> _Part:
    if not months:
        return _Part([_titled("Months", "none posted", room)])
    units = []
    for number, month in enumerate(sorted(months, key=lambda m: (-len(m["open"]), -m["reopenings"], m["contract_id"]))):
        closed = f"{len(month['closed'])} closed" + (f" since {month['closed'][0]}" if month["closed"] else "")
        again = f", reopened {count_text(month['reopenings'], 'time', 'times')}" if month["reopenings"] else ""
        said = f"{month['contract_id']}: open {_span(month['open'])}; {closed}, {len(month['sealed'])} sealed{again}"
        units.append(_titled("" if number else "Months", said, room))
    return _Part(units, more="and {} more: parkledger status --all".format)


def _span(months: Sequence[str]) -> str:
    if len(months) <= 1:
        return "".join(months) or "none"
    return f"{months[0]} to {months[-1]} ({len(months)})"


def _alerts(answer: dict[str, Any], room: int | None, *, is_whole: bool) -> _Part:
    said = [
        (row["severity"], f"{row['rule']}: {clean(row['about'], 400)} ({row['raised_at'][:16]})")
        for row in answer["operation_alerts"]
    ] + [(row["severity"], alert_text(row) if is_whole else _short(row)) for row in answer["alerts"]]
    units = [_titled("", f"{severity:<8} {text}", room, severity) for severity, text in said]
    counts = Counter(row["severity"] for row in [*answer["operation_alerts"], *answer["alerts"]])
    counted = ", ".join(f"{counts[severity]} {severity}" for severity in SEVERITIES if counts[severity])
    unsent = [
        _indented("Notices", f"{count} to {channel} could not be sent; the next run tries again")
        for channel, count in answer["waiting_notices"].items()
    ]
    head = [*unsent, _indented("Alerts", counted or "none stands")]
    return _Part(units, more="and {} more: parkledger alerts list".format, head=head)


def _short(row: dict[str, Any]) -> str:
    return f"{clean(row['entity_id'])}: {clean(row['rule'])}, since {row['month']:%Y-%m}"


def _checks(failed: Sequence[dict[str, Any]], room: int | None) -> _Part:
    units = [
        _titled(
            "" if number else "Checks",
            f"failed ({check['severity']}): {check['check_name']}, {check['measured']}",
            room,
        )
        for number, check in enumerate(failed)
    ]
    return _Part(units, more='and {} more: parkledger sql "FROM quality.fct_check_result WHERE NOT passed"'.format)


def _next(answer: dict[str, Any], room: int | None, *, is_whole: bool) -> _Part:
    daemon = answer["daemon"]
    schedules = answer["next_schedules"]
    of_home = [row for row in schedules if row["park_id"] is None]
    if is_whole:
        units = [_titled("", f"{_local(row)}  {row['name']} ({row['time_zone']})", room) for row in schedules]
    else:
        # Those of the home are on one day, or nearly so, and share a zone; of the parks the soonest come first.
        said = "; ".join(f"{_local(row)} {row['name']}" for row in of_home).replace(f"; {_local(of_home[0])[:10]}", ",")
        units = [_titled("", f"{said} ({of_home[0]['time_zone']})", room)]
        units += [
            _titled("", f"{_local(row)} {row['name']} ({row['time_zone']})", room)
            for row in schedules
            if row not in of_home
        ]
    if daemon["is_running"]:
        said = "the daemon runs; new landing files start a run within a minute"
    elif daemon["seen_at"] is None:
        said = "by themselves only while `parkledger serve` runs"
    else:
        said = f"not by themselves: the daemon was last seen {_moment(daemon['seen_at'])}; parkledger serve"
    style = WARNING if daemon["has_missed"] else ""
    return _Part(units, more="and {} more".format, head=_titled("Next", said, room, style))


def _local(schedule: dict[str, Any]) -> str:
    """When a schedule is due, by the clock of its own zone."""
    return f"{datetime.fromisoformat(schedule['at']):%Y-%m-%d %H:%M}"


def _to_do(said: Sequence[str]) -> _Part:
    units = [[_indented("" if number else "To do", text)] for number, text in enumerate(said)]
    return _Part(units)


def _moment(text: str | None) -> str:
    return "?" if text is None else f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"


def _titled(title: str, text: str, room: int | None, style: str = "") -> Unit:
    """Text beside its title, in lines as wide as the room, one below the other; None for a line of any width."""
    parts = wrap(text, room, break_long_words=False, break_on_hyphens=False) if room else [text]
    return [
        _indented("" if number else title, part, STYLES.get(style, style)) for number, part in enumerate(parts or [""])
    ]


def _indented(title: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"{title:<{INDENT}}", "bold"), (text, style))
