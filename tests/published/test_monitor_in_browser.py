"""The investor monitor in headless Chromium, as a reader opens it."""

import io
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pypdf
import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import HOSTILE
from playwright.sync_api import Browser, Page

from orchestration.publishing.monitor import render_monitor
from orchestration.publishing.report import write_sheets
from orchestration.publishing.sheets import KINDS

pytestmark = [pytest.mark.browser, pytest.mark.published]

PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def monitor(finished: Path) -> Path:
    (path,) = (finished / "reports").rglob("monitor.html")
    return path


@pytest.fixture
def page(browser: Browser, monitor: Path) -> Iterator[Page]:
    """The page, which must load without asking for anything else or complaining."""
    page = browser.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(monitor.as_uri(), wait_until="load")
    yield page
    page.close()
    assert complaints == []
    assert [url for url in asked if url != monitor.as_uri() and not url.startswith("data:")] == []


def headline(page: Page, number: int) -> Decimal:
    figure = page.locator(f"section[aria-labelledby=answer-{number}] .big data")
    assert figure.is_visible()
    return Decimal(figure.get_attribute("value") or "nothing")


def test_headline_figures_are_those_of_the_snapshot(page: Page, published: duckdb.DuckDBPyConnection) -> None:
    last = "(SELECT max(month) FROM credit.fct_exposure_month)"
    ((owed, exposure),) = published.execute(
        "SELECT sum(receivable_amount + unbilled_amount), sum(max_backstop_exposure_amount) FROM credit.fct_exposure_month "
        f"WHERE month = {last}"
    ).fetchall()
    assert headline(page, 1) == owed
    assert headline(page, 2) == exposure
    assert owed > 0
    shown = page.locator("section[aria-labelledby=answer-1] .big").inner_text()
    amount = re.fullmatch(r"USD\s([\d.]+)\sthousand", shown)
    assert amount, shown
    assert abs(Decimal(amount[1]) - owed / 1_000) <= Decimal("0.05")


def test_movements_are_those_of_the_snapshot(page: Page, published: duckdb.DuckDBPyConnection) -> None:
    ((share,),) = published.execute(
        "SELECT sum(share_amount) FROM revenue_share.fct_share_month WHERE service_month = '2027-03-01'"
    ).fetchall()
    row = page.locator("section.moves tr", has=page.get_by_role("rowheader", name="Revenue share"))
    assert Decimal(row.locator("td data").nth(1).get_attribute("value") or "") == share


def test_it_says_that_it_is_simulated_before_any_figure(page: Page) -> None:
    banner, figure = page.locator(".banner"), page.locator(".big").first
    assert "Simulation" in banner.inner_text()
    top, below = banner.bounding_box(), figure.bounding_box()
    assert top is not None
    assert below is not None
    assert top["y"] < below["y"]


def test_charts_are_drawn_with_a_name(page: Page) -> None:
    charts = page.locator("svg[role=img], figure svg")
    assert charts.count() >= 3
    box = charts.first.bounding_box()
    assert box is not None
    assert min(box["width"] / 2, box["height"]) > 50


def test_inner_links_lead_somewhere(page: Page) -> None:
    missing = page.evaluate(
        "() => [...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href').slice(1))"
        ".filter(id => !document.getElementById(id))"
    )
    assert missing == []


def test_it_prints_to_pages_that_are_marked_and_repeat_the_heads_of_long_tables(page: Page) -> None:
    said = [one.extract_text() for one in pypdf.PdfReader(io.BytesIO(page.pdf(format="A4"))).pages]
    assert len(said) > 5
    assert all("Simulation on public terms." in one for one in said)
    assert sum("Month before" in one for one in said) > 1  # the register of metrics is longer than a page
    assert not any("Filter rows" in one for one in said)


def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, monitor: Path) -> None:
    page = browser.new_page(viewport=PHONE)
    page.goto(monitor.as_uri())
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    page.close()
    assert wide <= PHONE["width"]


def test_it_can_be_read_without_javascript(browser: Browser, monitor: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(monitor.as_uri())
    assert page.locator(".big").count() == 4 or page.locator(".answer").count() == 4
    assert page.locator("section[aria-labelledby=answer-1] .big").is_visible()
    assert page.locator("svg").first.is_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_passes_an_accessibility_check(browser: Browser, monitor: Path, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)  # the check itself is a script
    page = context.new_page()
    page.goto(monitor.as_uri())
    found = Axe().run(page).response["violations"]
    context.close()
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []


def test_rows_are_sorted_by_a_column_and_filtered_by_a_word(page: Page) -> None:
    table = page.locator("table", has=page.locator(".caption-title", has_text=re.compile("^[0-9]+ metrics$")))
    head = table.locator("thead th").first
    rows = table.locator("tbody tr:not([hidden]) th")
    before = rows.all_inner_texts()
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    up = rows.all_inner_texts()
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert sorted(before, key=str.lower) == sorted(up, key=str.lower)
    assert rows.all_inner_texts()[0] == up[-1]
    page.get_by_label(re.compile("Filter rows of [0-9]+ metrics")).fill("occupancy")
    shown = table.locator("tbody tr:not([hidden])").all_inner_texts()
    assert 0 < len(shown) < len(before)
    assert all("occupancy" in row.lower() for row in shown)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sheet_loads_nothing_passes_axe_and_fits_a_phone(
    browser: Browser, finished: Path, tmp_path: Path, kind: str
) -> None:
    sheet = next(one for one in write_sheets(finished / "published", tmp_path, (kind, None)) if one.suffix == ".html")
    page = browser.new_page(viewport=PHONE)
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(sheet.as_uri(), wait_until="load")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), sheet
    found = Axe().run(page)
    page.close()
    assert found.violations_count == 0, found.generate_report()
    assert complaints == []
    assert [url for url in asked if url != sheet.as_uri() and not url.startswith("data:")] == []


def test_names_that_are_markup_formulas_and_from_right_to_left_are_shown_as_they_are_and_fit_a_phone(
    browser: Browser, finished: Path, tmp_path: Path
) -> None:
    database = duckdb.connect(str(finished / "published" / "parkledger.duckdb"), read_only=True)
    manifest = json.loads((finished / "published" / "manifest.json").read_text())
    with database as connection:
        connection.execute("SET TimeZone = 'UTC'")
        tables = {name: connection.sql(f"FROM {name}").pl() for name in manifest["tables"]}
    for table, column in (("core.dim_park", "park_name"), ("core.dim_operator", "operator_name")):
        tables[table] = tables[table].with_columns(pl.lit(HOSTILE).alias(column))
    path = tmp_path / "monitor.html"
    path.write_text(render_monitor(tables, {**manifest, "title": HOSTILE, "simulation_note": HOSTILE}))
    page = browser.new_page(viewport=PHONE)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    page.goto(path.as_uri(), wait_until="load")
    assert page.locator("h1").inner_text() == HOSTILE.replace("\u202e", "\ufffd")
    assert page.locator("img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.close()
    assert complaints == []
