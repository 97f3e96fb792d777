"""The monitor on paper and as a workbook: the same figures as on the page, marked where they are simulated."""

import io
from decimal import Decimal
from itertools import pairwise
from typing import Any

import monitor_frames
import openpyxl
import polars as pl
import pypdf
import pytest

from orchestration.publishing.document import Document
from orchestration.publishing.monitor import make_monitor
from orchestration.publishing.page import Table
from orchestration.publishing.pdf import render_pdf
from orchestration.publishing.workbook import number_format, render_workbook

HOSTILE = '=HYPERLINK("http://evil.example","x") #import <b> \u202e\u0645\u0631\u062d\u0628\u0627 \U0001f600'


@pytest.fixture(scope="module")
def document() -> Document:
    tables = dict(monitor_frames.all_tables())
    tables["core.dim_park"] = tables["core.dim_park"].with_columns(park_name=pl.lit(HOSTILE))
    return make_monitor(tables, monitor_frames.manifest())


@pytest.fixture(scope="module")
def paper(document: Document) -> bytes:
    return render_pdf(document)


@pytest.fixture(scope="module")
def book(document: Document) -> Any:
    return openpyxl.load_workbook(io.BytesIO(render_workbook(document)))


def test_every_page_of_paper_is_marked_as_simulated_and_numbered(paper: bytes, document: Document) -> None:
    pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(paper)).pages]
    assert len(pages) > 3
    for number, said in enumerate(pages, start=1):
        assert document.simulation[0] in said
        assert f"page {number} of {len(pages)}" in said


def test_paper_is_tagged_for_screen_readers_and_the_same_for_the_same_document(
    paper: bytes, document: Document
) -> None:
    root = pypdf.PdfReader(io.BytesIO(paper)).trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert str(root["/Lang"]).lower().startswith("en")
    assert render_pdf(document) == paper


def test_paper_holds_each_section_and_headline_figure_of_the_page(paper: bytes, document: Document) -> None:
    said = " ".join(" ".join(page.extract_text().split()) for page in pypdf.PdfReader(io.BytesIO(paper)).pages)
    for section in document.sections:
        assert section.title in said
    for answer in document.headline.answers:
        for value in answer.values:
            assert value.text.replace("\u00a0", " ") in said.replace("\u00a0", " ")


def test_a_name_is_set_as_text_on_paper_and_never_run_in_a_workbook(paper: bytes, book: Any) -> None:
    said = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(paper)).pages)
    assert "=HYPERLINK" in said.replace("\n", "")
    cells = [cell for sheet in book for row in sheet for cell in row if cell.value is not None]
    named = [cell for cell in cells if "HYPERLINK" in str(cell.value)]
    assert named
    assert {cell.data_type for cell in named} == {"s"}
    formulas = {str(cell.value).split("(")[0] for cell in cells if cell.data_type == "f"}
    assert all(formula == "=SUM" or formula.count("-") == 1 for formula in formulas)


def test_a_workbook_holds_exact_numbers_and_sums_that_are_live(book: Any, document: Document) -> None:
    numbers = {
        f"{cell.value:.12g}"
        for sheet in book
        for row in sheet
        for cell in row
        if cell.data_type == "n" and cell.value is not None
    }
    exacts = [
        Decimal(cell.exact)
        for section in document.sections
        for block in section.blocks
        if isinstance(block, Table)
        for row in block.rows
        if row.kind != "total"
        for cell in (row.head, *row.cells)
        if cell.kind == "number"
    ]
    assert len(exacts) > 100
    assert {f"{float(exact):.12g}" for exact in exacts} <= numbers
    assert sum(str(cell.value).startswith("=SUM(") for sheet in book for row in sheet for cell in row) > 10


def test_the_first_screen_holds_amounts_as_numbers_in_their_currency(book: Any, document: Document) -> None:
    facts = [fact for answer in document.headline.answers for fact in answer.facts if fact.exact]
    assert len(facts) > 5
    cells = {row[0].value: row[1] for row in book["Summary"] if len(row) > 1}
    for fact in facts:
        assert cells[fact.name].value == pytest.approx(float(fact.exact))
        assert cells[fact.name].number_format.startswith('"USD\u00a0"')


def test_a_sheet_keeps_its_mark_in_sight_filters_its_longest_table_and_shows_its_heads_whole(book: Any) -> None:
    assert {sheet.freeze_panes for sheet in book} == {"B4"}  # title, clock and mark, and what a row is about
    sheet = next(sheet for sheet in book if sheet.auto_filter.ref)
    first, last = (cell.row for cells in (sheet[sheet.auto_filter.ref],) for cell in (cells[0][0], cells[-1][0]))
    assert last - first > 12
    assert sheet.cell(first, 1).font.bold
    assert not sheet.cell(last, 1).font.bold  # the total is no row to be sorted among the others
    for sheet in book:
        for row in sheet.iter_rows():
            broken = [cell for cell in row if cell.alignment.wrap_text and len(str(cell.value or "")) > 48]
            assert not broken or (sheet.row_dimensions[row[0].row].height or 0) > 20
            for before, cell in pairwise(row):
                if (
                    isinstance(before.value, (int, float))
                    and isinstance(cell.value, str)
                    and not cell.value.startswith("=")
                ):
                    assert cell.alignment.indent or cell.alignment.horizontal == "right" or sheet.title == "Summary"


def test_every_sheet_is_marked_as_simulated(book: Any, document: Document) -> None:
    assert len(book.sheetnames) == len(document.sections) + 1
    for sheet in book:
        assert document.simulation[0] in " ".join(str(cell.value) for row in sheet.iter_rows(max_row=4) for cell in row)
        assert document.simulation[0] in sheet.oddHeader.center.text


@pytest.mark.parametrize(
    ("shown", "exact", "shape"),
    [
        ("274.3", "274312345.67", "#,##0.0,,;−#,##0.0,,;–"),
        ("1,234", "1234.4", "#,##0;−#,##0;–"),
        ("−12.50", "-12500.00", "#,##0.00,;−#,##0.00,;–"),
        ("82.7 %", "0.8271", "0.0%;−0.0%"),
        (
            "+USD\u00a00.11m",
            "110830.28",
            '+"USD\u00a0"#,##0.00,,"m";−"USD\u00a0"#,##0.00,,"m";"USD\u00a0"–',
        ),
    ],
)
def test_a_number_is_shown_in_the_scale_of_the_page(shown: str, exact: str, shape: str) -> None:
    assert number_format(shown, Decimal(exact)) == shape
