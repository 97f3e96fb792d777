"""The page as a whole: it escapes, loads nothing, says what is missing, and every headline figure is found in SQL."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from decimal import Decimal
from html.parser import HTMLParser

import duckdb
import monitor_frames
import polars as pl
import pytest
from markupsafe import Markup

from orchestration.publishing import charts
from orchestration.publishing.monitor import render_monitor
from orchestration.publishing.sections.headline import headline
from orchestration.publishing.view import make_view

VOID = {"meta", "br", "link", "img", "input", "hr", "col", "path", "line", "rect", "circle"}
HOSTILE = '<script>alert("x")</script><img src=https://evil.example/a onerror=alert(1)>\u202e"\'&{{ 7*7 }}'


class Outline(HTMLParser):
    """Tags, attributes and ids of a page, and whether its tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1:]}")
            return
        self.open.pop()


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    return parser


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    return monitor_frames.all_tables()


@pytest.fixture(scope="module")
def page(tables: dict[str, pl.DataFrame]) -> str:
    return render_monitor(tables, monitor_frames.manifest())


def test_the_page_is_one_small_file_rendered_in_seconds(tables: dict[str, pl.DataFrame]) -> None:
    started = time.process_time()
    page = render_monitor(tables, monitor_frames.manifest())
    assert len(page.encode()) < 2_000_000
    assert time.process_time() - started < 10  # five seconds on an idle machine; the test allows for a busy one


def test_the_same_tables_give_the_same_bytes(page: str, tables: dict[str, pl.DataFrame]) -> None:
    assert render_monitor(tables, monitor_frames.manifest()) == page


def test_the_page_loads_nothing_from_outside_and_runs_no_script(page: str) -> None:
    elements = outline(page).elements
    assert {tag for tag, _ in elements}.isdisjoint({"iframe", "object", "embed", "link", "img", "image", "form"})
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert [tag for tag, _ in elements].count("script") == len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in page
    for tag, attributes in elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} has {name}"
            if name in {"src", "href", "xlink:href", "action", "data", "poster", "srcset"}:
                assert (value or "").startswith("#"), f"{tag} {name}={value}"
    style = re.search(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    assert style is not None
    assert "url(" not in style.group(1)
    assert "@import" not in style.group(1)
    assert "default-src 'none'" in page


def test_tags_close_in_order_and_ids_are_unique(page: str) -> None:
    parsed = outline(page)
    assert parsed.faults == []
    assert parsed.open == []
    idents = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(idents) == len(set(idents))
    for _, attributes in parsed.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            for ident in (attributes.get(name) or "").split():
                assert ident in idents
        if (attributes.get("href") or "").startswith("#"):
            assert attributes["href"][1:] in idents


def test_screen_readers_find_landmarks_captions_scopes_and_descriptions(page: str) -> None:
    elements = outline(page).elements
    tags = [tag for tag, _ in elements]
    for landmark in ("header", "nav", "main", "footer"):
        assert landmark in tags
    assert tags.count("caption") == tags.count("table") > 10
    assert all(attributes.get("scope") in {"col", "row"} for tag, attributes in elements if tag == "th")
    drawings = [attributes for tag, attributes in elements if tag == "svg"]
    assert len(drawings) > 15
    assert all(one.get("role") == "img" for one in drawings)
    assert all(one.get("aria-labelledby") or one.get("aria-label") for one in drawings)
    assert '<html lang="en">' in page
    assert 'class="skip" href="#main"' in page


def test_names_from_landing_files_are_escaped_everywhere(tables: dict[str, pl.DataFrame]) -> None:
    replaced = dict(tables)
    for name, frame in tables.items():
        texts = [
            column
            for column in frame.columns
            if frame.schema[column] == pl.String
            and column
            in {
                "park_name", "operator_name", "tenant_name", "operator_id", "time_zone", "country_code", "gpu_model",
                "rating", "value_text", "source", "amendment_id", "component", "scenario_id", "covenant_id",
                "consequence", "rule", "column_name", "row_text", "path", "feed", "check_name", "measured", "expected",
                "kind", "unit", "title", "formula", "dimension", "severity", "entity_id", "term", "evidence_grade",
            }
            and name not in {"revenue_share.fct_share_base_month"}
        ]  # fmt: skip
        replaced[name] = frame.with_columns(pl.lit(HOSTILE).alias(column) for column in texts)
    renamed = HOSTILE + "-contract"
    for name, frame in replaced.items():
        if "contract_id" in frame.columns:
            replaced[name] = frame.with_columns(
                pl.when(pl.col("contract_id").str.starts_with("firmus"))
                .then(pl.lit(renamed))
                .otherwise(pl.col("contract_id"))
                .alias("contract_id")
            )
    manifest = {**monitor_frames.manifest(), "title": HOSTILE, "run_id": HOSTILE, "simulation_note": HOSTILE}
    page = render_monitor(replaced, manifest)
    parsed = outline(page)
    assert parsed.faults == []
    tags = [tag for tag, _ in parsed.elements]
    assert ("img" in tags, tags.count("script")) == (False, 1)
    assert not any(name.startswith("on") for _, attributes in parsed.elements for name in attributes)
    assert "\u202e" not in page
    assert "{{ 7*7 }}" in page
    assert "&lt;script&gt;" in page


def test_without_any_table_every_section_says_that_it_cannot_be_computed() -> None:
    page = render_monitor({}, monitor_frames.manifest())
    assert page.count("Cannot be computed:") >= 20
    assert "table credit.fct_exposure_month is not in this snapshot" in page
    assert outline(page).faults == []


def test_without_a_date_the_page_still_opens_and_says_why() -> None:
    page = render_monitor({}, {})
    assert "neither the manifest nor any table gives an as-of date" in page
    assert outline(page).faults == []


@pytest.mark.parametrize("name", sorted(monitor_frames.all_tables()))
def test_any_one_table_may_be_missing_empty_or_short_of_columns(
    tables: dict[str, pl.DataFrame], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Drawing is the slow part and does not depend on which table is missing: stubs keep this test to the sections.
    for kind in ("lines", "bars", "stacked", "columns", "rows", "waterfall", "strips"):
        monkeypatch.setattr(charts, kind, lambda *_, **__: charts.Chart(Markup("<svg></svg>"), "title", "description"))
    others = {key: frame for key, frame in tables.items() if key != name}
    for changed in (others, {**others, name: tables[name].clear()}, {**others, name: tables[name].select(pl.first())}):
        assert "</html>" in render_monitor(changed, monitor_frames.manifest())


def test_a_missing_table_names_itself_in_its_section_and_leaves_the_others(
    tables: dict[str, pl.DataFrame],
) -> None:
    without = {name: frame for name, frame in tables.items() if name != "credit.fct_credit_loss_month"}
    page = render_monitor(without, monitor_frames.manifest())
    assert "n/a — table credit.fct_credit_loss_month is not in this snapshot" in page
    assert "Roll-forward of the allowance" in page


def test_every_headline_figure_is_found_again_by_the_sql_beside_it(tables: dict[str, pl.DataFrame]) -> None:
    first = headline(make_view(tables, monitor_frames.manifest()))
    values = [value for answer in first.answers for value in answer.values]
    assert len(values) == 4
    with duckdb.connect() as connection:
        for name, frame in tables.items():
            schema, table = name.split(".")
            connection.execute(f"create schema if not exists {schema}")
            connection.register("given", frame)
            connection.execute(f"create table {schema}.{table} as select * from given")
            connection.unregister("given")
        for value in values:
            found = connection.execute(value.sql).fetchone()
            assert found is not None
            assert abs(Decimal(str(found[0])) - Decimal(value.exact)) < Decimal("0.0000001")
            assert value.sql


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        (True, "Simulation on public terms."),
        (False, "Measured feeds, none simulated."),
        (None, "does not say whether feeds are measured or simulated"),
    ],
)
def test_the_banner_never_lets_simulation_pass_in_silence(stated: bool | None, words: str) -> None:
    manifest = {key: value for key, value in monitor_frames.manifest().items() if key != "is_simulated"}
    if stated is not None:
        manifest["is_simulated"] = stated
    assert words in render_monitor({}, manifest)


def test_the_banner_says_the_whole_of_a_note_of_several_sentences() -> None:
    note = "No meter is public. " * 12 + "Terms are assumed where graded so."
    assert note in render_monitor({}, {**monitor_frames.manifest(), "simulation_note": note})


def test_figures_after_the_as_of_month_are_not_seen(tables: dict[str, pl.DataFrame]) -> None:
    page = render_monitor(tables, {**monitor_frames.manifest(), "as_of": "2027-06-30"})
    assert "December 2027" not in page
    assert "June 2027" in page
    # What only exists as of the snapshot's clock says how to have it as of then.
    assert (
        "starts from the book of Dec\u00a02027 alone; parkledger report --as-of 2027-06-30 --known-at 2027-06-30"
        in page
    )
