"""A document as a workbook: the same tables with their exact values as numbers, totals as formulas.

Figures are shown in the table's own scale by their number format; the cell holds the exact value. Text is always written
as text, so nothing that came from a landing file is run as a formula.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import xlsxwriter
from xlsxwriter.utility import xl_rowcol_to_cell

from orchestration.publishing.document import Document
from orchestration.publishing.page import Block, Cell, Drawings, Facts, Missing, Prose, Table, grade_note
from orchestration.publishing.view import GRADES

LONGEST_SHEET_NAME = 31
WIDEST, NARROWEST, WIDEST_HEAD = 48, 9, 18
FILTERED_ROWS = 12
LINE_HEIGHT = (
    13.5  # in points, of the letters of 10; what is broken into lines says how high it is, as not every program sees
)
# Text beside a figure to its left would run into it.
APART = {"align": "left", "indent": 1}
BAND_COLUMNS = 8  # as far as the mark of simulated data reaches to the right
# What a figure is divided by for showing, and the commas of a number format that do it.
SCALES = ((Decimal(1), ""), (Decimal(1_000), ","), (Decimal(1_000_000), ",,"), (Decimal(1_000_000_000), ",,,"))


def render_workbook(document: Document) -> bytes:
    """The document as XLSX: a sheet with the first screen, then one for each section."""
    target = io.BytesIO()
    created = (document.view.known_at or datetime(2000, 1, 1, tzinfo=UTC)).replace(tzinfo=None)
    with xlsxwriter.Workbook(
        target, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    ) as book:
        book.set_properties({"title": document.title, "subject": document.kind, "created": created})
        writer = _Writer(book, document)
        writer.summary()
        for section in document.sections:
            writer.section(section.title, section.question, section.blocks)
    return target.getvalue()


class _Writer:
    """Writes sheets from the top down; ``row`` is where the next line goes."""

    def __init__(self, book: Any, document: Document) -> None:
        self.book = book
        self.document = document
        self.formats: dict[tuple[tuple[str, Any], ...], Any] = {}
        self.names: set[str] = set()
        self.sheet: Any = None
        self.row = 0
        self.widths: dict[int, int] = {}
        self.longest: tuple[int, int, int] | None = None

    def format(self, **properties: Any) -> Any:
        """One format object for one set of properties."""
        key = tuple(sorted(properties.items()))
        if key not in self.formats:
            self.formats[key] = self.book.add_format(
                {"font_name": "Calibri", "font_size": 10, "valign": "top", **properties}
            )
        return self.formats[key]

    def open(self, title: str) -> None:
        """A new sheet with the mark of simulated data, and the same on its printed pages."""
        name = re.sub(r"[\[\]:*?/\\']", " ", title)[:LONGEST_SHEET_NAME]
        while name.lower() in self.names:
            name = f"{name[: LONGEST_SHEET_NAME - 2]} 2"
        self.names.add(name.lower())
        self.sheet = self.book.add_worksheet(name)
        self.row, self.widths, self.longest = 0, {}, None
        document = self.document
        self.sheet.hide_gridlines(2)
        self.sheet.set_landscape()
        self.sheet.set_paper(9)
        self.sheet.fit_to_pages(1, 0)
        mark = document.simulation[0] if document.is_simulated else ""
        self.sheet.set_header(
            f"&L&8{_escaped(document.kind)}&C&8&B{_escaped(mark)}&R&8as of {_escaped(document.as_of or 'n/a')}"
        )
        self.sheet.set_footer(f"&L&8run {_escaped(document.run_id or 'n/a')}&R&8&P of &N")
        self.line(document.title, bold=True, font_size=14)
        self.line(
            f"{document.kind}, as of {document.as_of or 'n/a'}, known at {document.known_at or 'n/a'}, run {document.run_id or 'n/a'}",
            font_color="#59636e",
        )
        if document.is_simulated:
            band = {"bold": True, "bg_color": "#fbf0d6", "font_color": "#4d3604"}
            for column in range(1, BAND_COLUMNS):
                self.sheet.write_blank(self.row, column, None, self.format(**band))
            self.line(" ".join(filter(None, document.simulation)), **band)
        # Title, clock and mark stay in sight, and so does what a row is about.
        self.sheet.freeze_panes(self.row, 1)
        self.row += 1

    def close(self) -> None:
        """Set the widths that the sheet's tables ask for, and the filter over the longest of them: a sheet takes one."""
        if self.longest is not None:
            first, last, columns = self.longest
            self.sheet.autofilter(first, 0, last, columns - 1)
        for column, width in self.widths.items():
            self.sheet.set_column(column, column, min(WIDEST, max(NARROWEST, width + 2)))

    def line(self, said: str, **properties: Any) -> None:
        """One line of text in the first column, running over those beside it."""
        self.sheet.write_string(self.row, 0, said, self.format(**properties))
        self.row += 1

    def summary(self) -> None:
        """The first screen: answers with their facts, movements, the legend of grades."""
        self.open("Summary")
        for answer in self.document.headline.answers:
            self.line(answer.question, bold=True, top=1)
            for value in answer.values:
                self.number(self.row, 0, Cell(value.text, "number", exact=value.exact), font_size=14, align="left")
                self.sheet.write_string(self.row, 1, value.text, self.format(font_color="#59636e"))
                self.row += 1
            self.line(answer.reason or ", ".join(filter(None, [answer.measure, answer.as_of])), font_color="#59636e")
            if answer.evidence:
                self.line(f"rests on {answer.evidence.grade}: {grade_note(answer.evidence)}", font_color="#59636e")
            for fact in answer.facts:
                self.sheet.write_string(self.row, 0, fact.name, self.format())
                told = Cell(fact.value, "number" if fact.exact else "text", exact=fact.exact)
                self.number(self.row, 1, told, align="right")
                self.sheet.write_string(self.row, 2, fact.note, self.format(**APART))
                self.row += 1
            self.row += 1
        self.widths = {0: 44, 1: 24, 2: 24, 3: 24, 4: WIDEST}
        self._moves()
        self.line("Grades", bold=True, top=1)
        for grade, meaning in GRADES.items():
            self.line(f"{grade}: {meaning}")
        self.close()

    def _moves(self) -> None:
        first = self.document.headline
        if not (first.moves or first.moves_missing):
            return
        self.line("What moved since the month before, and why?", bold=True, top=1)
        months = first.months if first.moves else ("Before", "Now")
        for column, head in enumerate(("Figure", *months, "Change", "Why")):
            align: dict[str, Any] = {"align": "right"} if column in {1, 2, 3} else APART if column == 4 else {}
            self.sheet.write_string(self.row, column, head, self.format(bold=True, bottom=1, **align))
        self.row += 1
        for move in first.moves:
            self.sheet.write_string(self.row, 0, move.name, self.format())
            for column, (said, exact) in enumerate(
                ((move.before_text, move.before), (move.after_text, move.after)), start=1
            ):
                self.number(self.row, column, Cell(said, "number", exact=str(exact)))
            before, after = (xl_rowcol_to_cell(self.row, column) for column in (1, 2))
            shape = number_format(move.change_text, Decimal(str(move.change)))
            self.sheet.write_formula(
                self.row, 3, f"={after}-{before}", self.format(num_format=shape), float(move.change)
            )
            effects = ", ".join(f"{name} {shown}" for name, _, shown in move.shown_effects())
            why = ": ".join(filter(None, [move.because, effects]))
            self.sheet.write_string(self.row, 4, why, self.format(text_wrap=True, **APART))
            self._raise(self.row, [(why, WIDEST)])
            self.row += 1
        for name, reason in first.moves_missing:
            self.sheet.write_string(self.row, 0, name, self.format())
            self.sheet.write_string(self.row, 4, reason, self.format(font_color="#59636e"))
            self.row += 1
        self.row += 1

    def section(self, title: str, question: str, blocks: Sequence[Block]) -> None:
        """One sheet for a section."""
        self.open(title)
        self.line(question, italic=True, font_color="#59636e")
        self.row += 1
        for block in blocks:
            if isinstance(block, Table):
                self.table(block)
            elif isinstance(block, Drawings):
                for item in block.items:
                    self.line(f"{item.chart.title}: {item.chart.description}", font_color="#59636e")
                self.row += 1
            elif isinstance(block, Prose):
                for sentence in block.sentences:
                    self.line(sentence)
                self.row += 1
            elif isinstance(block, Facts):
                for fact in block.items:
                    self.line(f"{fact.name}: {fact.value} {fact.note}".strip())
            elif isinstance(block, Missing):
                self.line(f"Cannot be computed: {block.what}. n/a — {block.reason}.", font_color="#59636e")
        self.close()

    def table(self, table: Table) -> None:
        """A table; a column of grades stands beside each column that has some."""
        self.line(table.caption, bold=True)
        if table.unit or table.as_of:
            self.line(" · ".join(filter(None, [table.unit, table.as_of])), font_color="#59636e")
        graded = [False, *table.graded_columns]
        # Grades of text cells have a column of their own too.
        for index in range(1, len(table.columns)):
            graded[index] = graded[index] or any(
                row.cells[index - 1].grade for row in table.rows if index <= len(row.cells)
            )
        places, place = [], 0
        for has_grade in graded:
            places.append(place)
            place += 2 if has_grade else 1
        heads = [f"{column.head} ({column.unit})" if column.unit else column.head for column in table.columns]
        for index, column in enumerate(table.columns):
            head = heads[index]
            align: dict[str, Any] = {"align": "right"} if column.kind == "number" else APART if index else {}
            self.sheet.write_string(
                self.row, places[index], head, self.format(bold=True, bottom=1, text_wrap=True, **align)
            )
            self._widen(places[index], min(len(head), WIDEST_HEAD))
            if graded[index]:
                self.sheet.write_string(self.row, places[index] + 1, "grade", self.format(bold=True, bottom=1, **APART))
        self._raise(self.row, [(head, WIDEST_HEAD) for head in heads])
        self.row += 1
        first = self.row
        for row in table.rows:
            is_total = row.kind == "total"
            style = {"bold": True, "top": 1} if is_total else {}
            for index, cell in enumerate((row.head, *row.cells)):
                at = places[index]
                if is_total and cell.kind in {"number", "zero"} and self._foots(table, index, cell):
                    span = f"{xl_rowcol_to_cell(first, at)}:{xl_rowcol_to_cell(self.row - 1, at)}"
                    exact = Decimal(cell.exact)
                    shape = self.format(num_format=number_format(cell.text, exact), **style)
                    self.sheet.write_formula(self.row, at, f"=SUM({span})", shape, float(exact))
                else:
                    self.number(self.row, at, cell, **style)
                self._widen(at, len(cell.text))
                if graded[index] and cell.grade:
                    shape = self.format(font_color="#59636e", **APART, **style)
                    self.sheet.write_string(self.row, at + 1, cell.grade, shape)
            self.row += 1
        last = self.row - 1 - sum(row.kind == "total" for row in table.rows)
        if last - first >= FILTERED_ROWS and (
            self.longest is None or last - first >= self.longest[1] - self.longest[0]
        ):
            self.longest = (first - 1, last, place)
        for note in (
            *table.notes,
            *([f"rests on {table.evidence.grade}: {grade_note(table.evidence)}"] if table.evidence else []),
            table.source,
        ):
            self.line(note, font_color="#59636e", font_size=8)
        self.row += 1

    def _raise(self, row: int, texts: Sequence[tuple[str, int]]) -> None:
        """Make a row as high as its texts are, each broken into lines of so many signs."""
        lines = max(len(textwrap.wrap(text, width)) for text, width in texts)
        if lines > 1:
            self.sheet.set_row(row, LINE_HEIGHT * lines)

    def _widen(self, column: int, width: int) -> None:
        self.widths[column] = max(self.widths.get(column, 0), width)

    def number(self, row: int, column: int, cell: Cell, **style: Any) -> None:
        """A cell as what it is: an exact number in its own format, or text; a figure that is missing stays text."""
        if cell.kind in {"number", "zero"} and cell.exact:
            exact = Decimal(cell.exact)
            shape = self.format(num_format=number_format(cell.text, exact), **style)
            self.sheet.write_number(row, column, float(exact), shape)
        elif cell.text or style:
            properties: dict[str, Any] = {"font_color": "#59636e"} if cell.kind == "missing" else {}
            properties |= APART if column and "align" not in style else {}
            self.sheet.write_string(row, column, cell.text, self.format(**properties, **style))

    @staticmethod
    def _foots(table: Table, index: int, whole: Cell) -> bool:
        """Whether the total is the sum of the cells above it, to the last digit, so that a formula may stand for it."""
        above = [row.cells[index - 1] for row in table.rows if row.kind != "total" and index <= len(row.cells)]
        if (
            index == 0
            or not above
            or sum(row.kind == "total" for row in table.rows) != 1
            or table.rows[-1].kind != "total"
        ):
            return False
        exacts = [Decimal(cell.exact) for cell in above if cell.kind in {"number", "zero"} and cell.exact]
        return bool(exacts) and sum(exacts, Decimal(0)) == Decimal(whole.exact)


def number_format(shown: str, exact: Decimal) -> str:
    """The format that shows an exact value as the page shows it: its decimals, its scale, per cent, sign and zero.

    shown: the page's text ("−1,234.5", "82.7 %", "USD 274.3m"); exact: the value in units.
    """
    digits = re.search(r"\d[\d,]*(?:\.(\d+))?", shown)
    places = len(digits[1]) if digits and digits[1] else 0
    decimals = "." + "0" * places if places else ""
    if "%" in shown:
        return f"0{decimals}%;−0{decimals}%"
    scale = ""
    if digits and exact:
        magnitude = Decimal(digits[0].replace(",", ""))
        scale = min(SCALES, key=lambda one: abs(abs(exact) / one[0] - magnitude))[1]
    plus = "+" if shown.startswith("+") else ""
    # What an amount in running text says of its currency and scale stands around the figure too.
    currency = re.match(r"[+−]?([A-Z]{3}\u00a0)", shown)
    word = re.search(r"\d(m|\u00a0thousand)$", shown) if currency else None
    body = f"#,##0{decimals}{scale}"
    before, after = (f'"{found[1]}"' if found else "" for found in (currency, word))
    return f"{plus}{before}{body}{after};−{before}{body}{after};{before}–"


def _escaped(said: str) -> str:
    """Text of a header; an ampersand there begins a code."""
    return said.replace("&", "&&")
