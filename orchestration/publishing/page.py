"""The blocks that a page is made of, and the cells that carry a figure with its exact value.

Text in blocks is plain: escaping is done by the templates. Grids that must foot are rounded together here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, ClassVar

from orchestration.publishing.charts import Chart
from orchestration.publishing.formats import (
    MISSING,
    Scale,
    foot,
    foot_grid,
    join_words,
    missing,
    number,
    percent,
    to_decimal,
    words,
)
from orchestration.publishing.view import CannotCompute, Evidence, View


@dataclass(frozen=True)
class Cell:
    """One table cell. `exact` is the unrounded value, for machines; `reason` says why a figure is missing."""

    text: str
    kind: str = "text"
    exact: str = ""
    reason: str = ""
    grade: str = ""
    tone: str = ""
    svg: Any = None


@dataclass(frozen=True)
class Column:
    """One table column: its head, whether it holds numbers, and its unit where the caption does not say it."""

    head: str
    kind: str = "number"
    unit: str = ""


@dataclass(frozen=True)
class Row:
    """One table row: its head cell, its cells, and whether it is a total."""

    head: Cell
    cells: Sequence[Cell]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption, unit line, source table and notes."""

    block: ClassVar[str] = "table"
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    source: str
    unit: str = ""
    as_of: str = ""
    notes: Sequence[str] = ()
    folded: bool = False
    on_paper: bool = True  # whether its rows are printed: a long record is for the page and the workbook
    evidence: Evidence | None = None

    @property
    def widths(self) -> list[int]:
        """The number of signs of each column's longest text."""
        lines = [[row.head, *row.cells] for row in self.rows]
        return [
            max((len(line[index].text) for line in lines if index < len(line)), default=0)
            for index in range(len(self.columns))
        ]

    @property
    def long_columns(self) -> list[bool]:
        """Which columns hold running text: they ask for room that the others do not need."""
        return [
            column.kind != "number" and width > LONG_TEXT
            for column, width in zip(self.columns, self.widths, strict=True)
        ]

    @property
    def graded_columns(self) -> list[bool]:
        """Which columns of numbers show grades: their cells keep room for one, so that the figures stay aligned."""
        return [
            column.kind == "number" and any(row.cells[index].grade for row in self.rows if index < len(row.cells))
            for index, column in enumerate(self.columns[1:])
        ]


@dataclass(frozen=True)
class Drawing:
    """A chart with its title, unit line and source, standing in a grid of its neighbours."""

    chart: Chart
    unit: str
    source: str
    note: str = ""
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Drawings:
    """Charts side by side, under a heading where they belong together."""

    block: ClassVar[str] = "drawings"
    items: Sequence[Drawing]
    heading: str = ""


@dataclass(frozen=True)
class Fact:
    """One figure with its name, as a line of a short list: value with unit, what it means, where it is from."""

    name: str
    value: str
    note: str = ""
    exact: str = ""
    source: str = ""
    evidence: Evidence | None = None
    tone: str = ""


@dataclass(frozen=True)
class Facts:
    """A short list of figures."""

    block: ClassVar[str] = "facts"
    items: Sequence[Fact]


@dataclass(frozen=True)
class Prose:
    """Sentences computed from the tables."""

    block: ClassVar[str] = "prose"
    sentences: Sequence[str]


@dataclass(frozen=True)
class Missing:
    """A block that cannot be computed, and why."""

    block: ClassVar[str] = "missing"
    what: str
    reason: str


Block = Table | Drawings | Facts | Prose | Missing
Builder = Callable[[View], "Sequence[Block]"]


@dataclass(frozen=True)
class Section:
    """One section of the page: its anchor, title, what it answers, and its blocks."""

    ident: str
    title: str
    question: str
    blocks: Sequence[Block] = field(default_factory=tuple)

    @property
    def complete(self) -> bool:
        """Whether every block could be computed."""
        return not any(isinstance(block, Missing) for block in self.blocks)


# A column with words of more signs than this is one of running text.
LONG_TEXT = 34
ZERO_CELL = Cell("–", "zero", exact="0")


def build(view: View, ident: str, title: str, question: str, parts: Sequence[tuple[str, Builder]]) -> Section:
    """A section from its parts; those that cannot be computed become one sentence for each reason why."""
    blocks: list[Block] = []
    lacking: dict[str, list[str]] = {}
    for what, builder in parts:
        try:
            blocks.extend(builder(view))
        except CannotCompute as reason:
            lacking.setdefault(str(reason), []).append(what)
    blocks += [Missing(join_words(names), reason) for reason, names in lacking.items()]
    told = [_with_reasons_told_once(block) if isinstance(block, Table) else block for block in blocks]
    return Section(ident, title, question, told)


def _with_reasons_told_once(table: Table) -> Table:
    """The table with each reason why figures are missing said once: beneath, where it is that of a whole column; else in the
    first cell of a row that has it. The other cells are "n/a", and know their reason still.
    """
    body = [row for row in table.rows if row.kind != "total"]
    notes, columns = list(table.notes), {}
    for index, column in enumerate(table.columns[1:]):
        reasons = {row.cells[index].reason for row in body if index < len(row.cells)}
        if len(body) > 1 and len(reasons) == 1 and "" not in reasons:
            columns[index] = reasons.pop()
            notes.append(f"{column.head}: {missing(columns[index])}.")
    rows = []
    for row in table.rows:
        cells: list[Cell] = []
        for index, cell in enumerate(row.cells):
            is_told = cell.reason and (
                columns.get(index) == cell.reason
                or cell.reason in {before.reason for at, before in enumerate(cells) if at not in columns}
            )
            cells.append(replace(cell, text=MISSING) if is_told else cell)
        rows.append(replace(row, cells=cells))
    return replace(table, rows=rows, notes=notes)


def text(value: Any, *, grade: str = "", tone: str = "") -> Cell:
    """A text cell; null becomes a dash said as missing."""
    if value is None or value == "":
        return absent("not stated")
    return Cell(str(value), grade=grade, tone=tone)


def absent(reason: str) -> Cell:
    """A cell without a figure: "n/a — reason"."""
    return Cell(missing(reason), kind="missing", reason=reason)


def figure(value: Any, digits: int = 0, scale: Decimal = Decimal(1), *, reason: str = "", signed: bool = False) -> Cell:
    """A number cell; null becomes "n/a — reason"."""
    exact = to_decimal(value)
    if exact is None:
        return absent(reason or "not published")
    if exact == 0:
        return ZERO_CELL
    return Cell(number(exact, digits, scale, signed=signed), "number", exact=plain(exact))


def share_of(value: Any, digits: int = 1, *, reason: str = "", signed: bool = False) -> Cell:
    """A fraction as per cent in a number cell."""
    exact = to_decimal(value)
    if exact is None:
        return absent(reason or "not published")
    return Cell(percent(exact, digits, signed=signed), "number", exact=plain(exact))


def plain(value: Decimal) -> str:
    """The exact value without exponent or needless zeros at the end."""
    shown = format(value, "f")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def shown_cell(shown: Decimal, exact: Decimal, digits: int) -> Cell:
    """A cell whose rounding was decided with its neighbours'; exactly nothing is a dash, a rounded nothing is 0.0."""
    if exact == 0 and shown == 0:
        return ZERO_CELL
    return Cell(number(shown, digits), "number", exact=plain(exact))


def footed_column(values: Sequence[Any], scale: Scale) -> tuple[list[Cell], Cell]:
    """Cells that add up to the total cell as shown. A null among them stays missing and adds nothing."""
    exacts = [to_decimal(value) for value in values]
    parts, whole = foot([exact or Decimal(0) for exact in exacts], scale)
    cells = [
        absent("not published") if exact is None else shown_cell(part, exact, scale.digits)
        for exact, part in zip(exacts, parts, strict=True)
    ]
    return cells, shown_cell(whole, sum((one for one in exacts if one is not None), Decimal(0)), scale.digits)


def footed_grid(rows: Sequence[Sequence[Decimal]], scale: Scale) -> list[list[Cell]]:
    """Cells of a grid with its totals in the last row and column; every row and column adds up as shown."""
    exact = [[*row, sum(row, Decimal(0))] for row in rows]
    exact.append([sum((row[j] for row in exact), Decimal(0)) for j in range(len(exact[0]))])
    shown = foot_grid(rows, scale)
    return [
        [shown_cell(a, b, scale.digits) for a, b in zip(above, below, strict=True)]
        for above, below in zip(shown, exact, strict=True)
    ]


def grade_note(found: Evidence | None) -> str:
    """The terms behind a figure that have its weakest grade, in words."""
    if found is None:
        return ""
    return ", ".join(words(term) for term in found.terms[:4]) + (" …" if len(found.terms) > 4 else "")


__all__ = [
    "MISSING",
    "Block",
    "Builder",
    "Cell",
    "Column",
    "Drawing",
    "Drawings",
    "Fact",
    "Facts",
    "Missing",
    "Prose",
    "Row",
    "Section",
    "Table",
    "absent",
    "build",
    "figure",
    "footed_column",
    "footed_grid",
    "grade_note",
    "plain",
    "share_of",
    "shown_cell",
    "text",
]
