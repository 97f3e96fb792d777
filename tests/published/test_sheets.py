"""Sheets for an operator, a lender and a tenant, from the snapshot of a run: right, their reader's alone, and safe."""

import io
import json
import shutil
from collections.abc import Iterator
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import openpyxl
import polars as pl
import pypdf
import pytest
from conftest import AS_OF, CONTRACT, HOSTILE, PARKS, copy_home, parkledger
from simulated_home import NORTH

from orchestration.assets.publish import monthly_report
from orchestration.publishing.document import Document
from orchestration.publishing.formats import percent
from orchestration.publishing.html import render_html
from orchestration.publishing.monitor import make_monitor
from orchestration.publishing.page import Table
from orchestration.publishing.pdf import render_pdf
from orchestration.publishing.sheets import KINDS, NobodyKnownError, known_ids, make_sheet
from orchestration.publishing.workbook import render_workbook
from orchestration.settings import Settings

pytestmark = pytest.mark.published

Tables = dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def tables(finished: Path) -> Tables:
    manifest = json.loads((finished / "published" / "manifest.json").read_text())
    with duckdb.connect(str(finished / "published" / "parkledger.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone='UTC'")
        return {name: connection.sql(f"FROM {name}").pl() for name in manifest["tables"]}


@pytest.fixture(scope="module")
def manifest(finished: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((finished / "published" / "manifest.json").read_text())
    return found


def busiest_tenant(tables: Tables) -> str:
    leases = tables["core.dim_lease"].filter((pl.col("contract_id") == CONTRACT) & (pl.col("status") == "active"))
    return str(leases.group_by("tenant_id").len().sort("len", "tenant_id")["tenant_id"][-1])


def whose(tables: Tables, kind: str) -> str:
    if kind == "operator":
        contracts = tables["core.dim_contract"].filter(pl.col("contract_id") == CONTRACT)
        return str(contracts["operator_id"][0])
    return CONTRACT if kind == "lender" else busiest_tenant(tables)


@pytest.fixture(scope="module")
def sheets(tables: Tables, manifest: dict[str, Any]) -> dict[str, Document]:
    return {kind: make_sheet(tables, manifest, kind, whose(tables, kind)) for kind in KINDS}


def pages(document: Document) -> list[str]:
    return [" ".join(page.extract_text().split()) for page in pypdf.PdfReader(io.BytesIO(render_pdf(document))).pages]


def table(document: Document, caption: str) -> Table:
    (found,) = [
        block
        for section in document.sections
        for block in section.blocks
        if isinstance(block, Table) and block.caption.startswith(caption)
    ]
    return found


def cells(document: Document) -> Iterator[str]:
    for section in document.sections:
        for block in section.blocks:
            for row in block.rows if isinstance(block, Table) else ():
                yield from (cell.text for cell in (row.head, *row.cells))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sheet_is_two_pages_both_marked_as_simulated(sheets: dict[str, Document], kind: str) -> None:
    said = pages(sheets[kind])
    assert len(said) == 2
    assert all(sheets[kind].simulation[0] in page for page in said)


def test_an_operator_owes_what_its_own_contracts_owe(tables: Tables, sheets: dict[str, Document]) -> None:
    exposure = tables["credit.fct_exposure_month"].filter(pl.col("contract_id") == CONTRACT)
    last = exposure.filter(pl.col("month") == pl.col("month").max())
    (value,) = sheets["operator"].headline.answers[0].values
    assert value.exact == format((last["receivable_amount"].sum() + last["unbilled_amount"].sum()).normalize(), "f")
    named = {text for text in cells(sheets["operator"]) if text in known_ids(tables, "lender")}
    assert named == {CONTRACT}


def test_what_is_past_due_on_the_first_screen_is_what_the_metric_says_and_disputed_items_count_too(
    tables: Tables, manifest: dict[str, Any]
) -> None:
    items = tables["credit.fct_receivable_item"]
    last = items.filter((pl.col("as_of_month") == pl.col("as_of_month").max()) & (pl.col("open_amount") > 0))
    assert last.filter(pl.col("disputed")).height > 0, "without a disputed item this proves nothing"
    metric = tables["monitor.fct_metric_month"].filter(
        (pl.col("metric") == "receivable_past_due_fraction") & (pl.col("entity_level") == "programme")
    )
    (fraction,) = metric.filter(pl.col("month") == pl.col("month").max())["value"]
    facts = {fact.name: fact for fact in make_monitor(tables, manifest).headline.answers[0].facts}
    assert abs(float(facts["past due"].exact) / float(last["open_amount"].sum()) - fraction) < 1e-9
    assert facts["past due"].note == f"{percent(fraction)} of the invoiced"
    assert facts["disputed"].exact == str(last.filter(pl.col("disputed"))["open_amount"].sum())


def test_a_certificate_counts_what_is_kept_and_never_what_could_not_be_tested(
    tables: Tables, sheets: dict[str, Document]
) -> None:
    tests = tables["credit.fct_covenant_test_month"].filter(pl.col("contract_id") == CONTRACT)
    last = tests.filter(pl.col("month") == pl.col("month").max())
    assert last["passed"].null_count() > 0, "a contract whose covenants can all be tested proves nothing"
    verdict = sheets["lender"].headline.answers[0]
    assert verdict.values[0].text == f"{last['passed'].sum()} of {last.height}"
    counts = {fact.name: fact.value for fact in verdict.facts}
    assert counts["could not be tested"] == str(last["passed"].null_count())
    shown = table(sheets["lender"], "Covenants as tested")
    assert len(shown.rows) == last.height
    state = [column.head for column in shown.columns].index("Test") - 1
    assert {row.cells[state].text for row in shown.rows} <= {"kept", "breached", "not tested"}
    assert all(row.cells[0].text for row in shown.rows)  # what is measured
    signed = pages(sheets["lender"])[-1]
    assert "Certified for Op by:" in signed
    assert all(line in signed for line in ("Name _", "Office _", "Date _", "Signature _"))


def test_the_months_of_a_certificate_add_up_to_their_total(tables: Tables, sheets: dict[str, Document]) -> None:
    shown = table(sheets["lender"], "What the ratios are made of")
    economics = tables["credit.fct_operator_economics_month"].filter(pl.col("operator_id") == whose(tables, "operator"))
    revenue = economics.sort("month", descending=True).head(12)["revenue_amount"].sum()
    assert shown.rows[-1].kind == "total"
    assert shown.rows[-1].cells[0].exact == format(revenue.normalize(), "f")


def test_a_tenants_sheet_is_about_its_own_leases_and_names_no_other_tenant(
    tables: Tables, manifest: dict[str, Any], sheets: dict[str, Document]
) -> None:
    mine = busiest_tenant(tables)
    leases = tables["core.dim_lease"]
    own = set(leases.filter(pl.col("tenant_id") == mine)["lease_id"])
    shown = {row.head.text for row in table(sheets["tenant"], "Leases that run").rows}
    assert shown
    assert shown <= own
    page = render_html(sheets["tenant"])
    others = set(tables["core.dim_tenant"]["tenant_id"]) - {mine, *tables["core.dim_vendor"]["vendor_id"]}
    assert others
    assert not [one for one in others if one in page]
    assert not [one for one in set(leases["lease_id"]) - own if one in page]
    hours = tables["metering.fct_lease_revenue_day"].filter(
        pl.col("lease_id").is_in(list(own))
        & (pl.col("service_date").dt.truncate("1mo") <= date.fromisoformat(manifest["as_of"]))
    )
    months = hours.with_columns(month=pl.col("service_date").dt.truncate("1mo"))
    last = months.filter(pl.col("month") == pl.col("month").max())
    assert float(table(sheets["tenant"], "What was billed and used").rows[0].cells[0].exact) == pytest.approx(
        float(last["billed_gpu_hours"].sum())
    )
    for subject in ("Exit clauses", "When the vendor has to buy", "Limits on collateral", "Portability"):
        assert table(sheets["tenant"], subject).rows


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_snapshot_gives_the_same_bytes_in_every_form(
    tables: Tables, manifest: dict[str, Any], sheets: dict[str, Document], kind: str
) -> None:
    again = make_sheet(tables, manifest, kind, whose(tables, kind))
    for render in (lambda document: render_html(document).encode(), render_pdf, render_workbook):
        assert render(sheets[kind]) == render(again)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(name.startswith("on") for name, _ in attrs)
        self.tags.append(tag)


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_names_stay_text_in_every_form(tables: Tables, manifest: dict[str, Any], kind: str) -> None:
    names = {
        "park_name",
        "operator_name",
        "tenant_name",
        "value_text",
        "source",
        "rule",
        "consequence",
        "workload",
        "gpu_model",
    }
    changed = {
        name: frame.with_columns(pl.lit(HOSTILE).alias(one) for one in names & set(frame.columns))
        for name, frame in tables.items()
    }
    document = make_sheet(changed, manifest, kind, whose(tables, kind))
    page = _Tags()
    page.feed(render_html(document))
    assert "img" not in page.tags
    assert page.tags.count("script") == 1
    assert render_pdf(document).startswith(b"%PDF")
    book = openpyxl.load_workbook(io.BytesIO(render_workbook(document)))
    formulas = [cell.value for sheet in book for line in sheet.iter_rows() for cell in line if cell.data_type == "f"]
    assert not [one for one in formulas if "HYPERLINK" in one]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sheet_says_what_it_cannot_compute_and_draws_the_rest(
    tables: Tables, manifest: dict[str, Any], kind: str
) -> None:
    needed = {"core.dim_operator", "core.dim_contract", "core.dim_park", "core.dim_tenant", "core.dim_lease"}
    needed |= {"metering.fct_lease_revenue_day"}
    bare = {name: frame for name, frame in tables.items() if name in needed}
    document = make_sheet(bare, manifest, kind, whose(tables, kind))
    assert document.gaps
    assert "n/a — table" in render_html(document)


def test_nobody_known_is_said_with_those_who_are(tables: Tables, manifest: dict[str, Any]) -> None:
    for kind in KINDS:
        with pytest.raises(NobodyKnownError, match="nobody is no ") as refused:
            make_sheet(tables, manifest, kind, "nobody")
        assert known_ids(tables, kind)[0] in str(refused.value)


def test_the_command_draws_one_or_all_and_refuses_who_is_not_there(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished, tmp_path / "home")
    every = parkledger(home, "report", "--kind", "lender")
    assert every.returncode == 0, every.stderr
    assert (home / "reports" / AS_OF / f"certificate-{CONTRACT}.pdf").is_file()
    nobody = parkledger(home, "report", "--operator", "nobody")
    assert nobody.returncode == 3
    assert "nobody is no operator of this snapshot" in nobody.stderr
    both = parkledger(home, "report", "--operator", "a", "--tenant", "b")
    assert both.returncode == 2


def test_the_report_of_a_stated_month_holds_every_sheet_and_the_monitor(
    finished: Path, tables: Tables, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path / "home")
    shutil.copytree(finished / "published", settings.published_folder, symlinks=True)
    months = dg.StaticPartitionsDefinition(["2027-01-01"])
    done = dg.materialize([monthly_report(settings, months)], partition_key="2027-01-01", instance=None)
    assert done.success
    names = {path.name for path in (settings.monthly_reports_folder / "2027-01-31").iterdir()}
    assert names >= {f"monitor.{ending}" for ending in ("html", "pdf", "xlsx")}
    assert names >= {f"operator-{park}-op.pdf" for park in PARKS} | {f"certificate-{park}-c.pdf" for park in PARKS}
    leases = tables["core.dim_lease"].group_by("tenant_id").agg(first=pl.col("starts_at").min().dt.date())
    later = leases.filter(pl.col("first") > date(2027, 2, 1))["tenant_id"].to_list()
    tenants = {name.removeprefix("tenant-").removesuffix(".html") for name in names if name.endswith(".html")}
    assert len(later) > 0
    assert tenants.isdisjoint(later)  # nothing is known of them yet
    assert len(tenants & set(leases["tenant_id"])) > 3


@pytest.mark.slow
def test_a_report_as_known_then_is_that_of_a_run_whose_clock_stood_then(finished: Path, tmp_path: Path) -> None:
    home, other = copy_home(finished, tmp_path / "home"), copy_home(finished, tmp_path / "other", with_results=False)
    then = "2027-03-05"
    drawn = parkledger(home, "report", "--as-of", "2027-02-10", "--known-at", then)
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    folder = home / "reports" / "2027-02-10"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(first) == {f"monitor-known-{then}.{ending}" for ending in ("html", "pdf", "xlsx")}
    again = parkledger(home, "report", "--as-of", "2027-02-10", "--known-at", then)
    assert again.returncode == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert parkledger(other, "run", "--as-of", then).returncode == 0
    assert parkledger(other, "report", "--as-of", "2027-02-10").returncode == 0
    for name, content in first.items():
        assert (other / "reports" / "2027-02-10" / name.replace(f"-known-{then}", "")).read_bytes() == content
    published = json.loads((home / "published" / "manifest.json").read_text())
    assert published["as_of"] == AS_OF  # what is published stays
    assert parkledger(home, "report", "--known-at", "2029-01-01").returncode == 2


@pytest.mark.slow
def test_a_report_as_known_at_an_instant_holds_what_was_recorded_by_then_and_nothing_later(
    finished: Path, tmp_path: Path
) -> None:
    home = copy_home(finished, tmp_path / "home")
    adjustments = home / "landing" / NORTH / "lease_adjustments"
    header, row, *_ = next(adjustments.glob("*.csv")).read_text().splitlines()
    lease = row.split(",")[1]
    (adjustments / "noon.csv").write_text(
        f"{header}\nnoon,{lease},2027-02-27,credit,-500.00,USD,2027-03-05T12:00:00Z\n"
    )
    known_credits = []
    for moment in ("2027-03-05T11:59:59Z", "2027-03-05T13:00:00+01:00"):
        drawn = parkledger(home, "report", "--known-at", moment)
        assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    for known in ("2027-03-05T115959Z", "2027-03-05T120000Z"):
        assert (home / "reports" / "2027-03-05" / f"monitor-known-{known}.html").is_file()
        published = home / ".parkledger" / "known" / known / "published" / "parkledger.duckdb"
        with duckdb.connect(str(published), read_only=True) as connection:
            query = (
                "SELECT coalesce(sum(amount), 0) FROM revenue_share.fct_share_base_month "
                f"WHERE contract_id = '{CONTRACT}' AND component = 'credit' AND service_month = '2027-02-01'"
            )
            known_credits += connection.sql(query).fetchall()[0]
    assert known_credits[1] - known_credits[0] == -500
    assert parkledger(home, "report", "--known-at", "2027-03-05T12:00:00").returncode == 2  # whose noon?
