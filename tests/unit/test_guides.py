"""The README and the guides against the code: SQL that names real columns, tables that all have a status, terms listed as they are."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from small_home import make_home

from ingest.contracts import CONTRACTS
from ingest.terms.home import load_home
from orchestration.docs import (
    GUIDE_ORDER,
    GUIDES,
    NOTEBOOK,
    feeds_page,
    manifest,
    notebook_page,
    run_notebook,
    table_pages,
    terms_page,
    unit_of,
)
from orchestration.publishing.catalogue import TABLES
from orchestration.publishing.snapshot import MACROS, NOT_PUBLISHED

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parsed() -> dict:
    return manifest()


def declared_columns(parsed: dict) -> dict[str, list[tuple[str, str]]]:
    """Columns and types of every published table; types that only the jobs know are told by the column's name."""
    models = {f"{n['schema']}.{n['name']}": n for n in parsed["nodes"].values() if n["resource_type"] == "model"}
    guessed = {
        "month": "DATE", "_date": "DATE", "_at": "TIMESTAMPTZ", "_amount": "DECIMAL(18,2)", "_days": "DOUBLE", "days_past_due": "INTEGER",
    }  # fmt: skip
    columns = {}
    for name, table in TABLES.items():
        if name in models:
            columns[name] = [(c["name"], c["data_type"]) for c in models[name]["columns"].values()]
        else:
            types = [next((kind for end, kind in guessed.items() if c.endswith(end)), "VARCHAR") for c in table.columns]
            columns[name] = list(zip(table.columns, types, strict=True))
    return columns


def queries() -> Iterator[tuple[str, str]]:
    for path in (ROOT / "README.md", *(GUIDES / name for name in GUIDE_ORDER)):
        for block in re.findall(r"```sql\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            yield from ((path.name, query) for query in block.split(";") if query.strip())


def test_every_query_of_the_readme_and_the_guides_names_tables_and_columns_that_are_published(parsed):
    con = duckdb.connect()
    for name, columns in declared_columns(parsed).items():
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {name.split('.')[0]}")
        if name not in NOT_PUBLISHED:
            con.execute(f"CREATE TABLE {name} ({', '.join(f'{column} {kind}' for column, kind in columns)})")
    for name, body in MACROS.items():
        con.execute(f"CREATE MACRO {name}{body}")
    tried = [con.sql(query).fetchall() for _, query in queries()]
    assert len(tried) >= 15


def test_every_yaml_file_that_a_guide_shows_is_taken_by_a_home(tmp_path):
    found = [
        block for path in GUIDES.glob("*.md") for block in re.findall(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL)
    ]
    assert len(found) >= 2
    for number, block in enumerate(found):
        home = make_home(tmp_path / str(number))
        named = re.match(r"# (\S+\.yaml)\n", block)
        target = home / (named[1] if named else "alerts.yaml")
        target.parent.mkdir(exist_ok=True)
        target.write_text(block)
        loaded = load_home(home)
        assert loaded.policies.rule_severity if named else loaded.alerts.rules


def test_the_status_table_names_every_published_table():
    status = README[README.index("## Status") : README.index("### Contract terms")]
    assert {name for name in set(TABLES) - NOT_PUBLISHED if name.split(".")[1] not in status} == set()


def test_every_table_has_one_of_three_statuses_and_one_that_is_called_absent_is_not_published():
    status = README[README.index("## Status") : README.index("### Contract terms")]
    rows = [line.split("|") for line in status.splitlines() if re.match(r"\| \w+\.", line)]
    assert {row[2].strip() for row in rows} <= {"computed", "computed, simple", "absent"}
    absent = {n for row in rows if row[2].strip() == "absent" for n in re.findall(r"\b(?:dim|fct)_\w+", row[1])}
    assert absent & {name.split(".")[1] for name in set(TABLES) - NOT_PUBLISHED} == set()


def test_the_landing_guide_lists_the_columns_of_every_feed():
    guide = (ROOT / "data" / "landing" / "README.md").read_text(encoding="utf-8").replace("*", "")
    for feed in CONTRACTS.values():
        row = next(line for line in guide.splitlines() if line.startswith(f"| {feed.name} |"))
        cells = row.split("|")[2]
        found = re.sub(r"\([^)]*\)", "", cells)
        expected = [c.name if c.is_required else f"[{c.name}]" for c in feed.columns]
        assert [cell.strip() for cell in found.split(",")] == expected, feed.name


def test_the_catalogue_has_a_page_for_every_schema_with_keys_and_units(parsed):
    pages = table_pages(parsed)
    assert set(pages) == {f"tables/{name.split('.')[0]}.md" for name in set(TABLES) - NOT_PUBLISHED}
    share = pages["tables/revenue_share.md"]
    assert "Key: `contract_id`, `service_month`." in share
    assert "| `share_amount` | currency_code |" in share


def test_units_follow_from_the_ends_of_names():
    assert [
        unit_of(name) for name in ("claim_gpu_hours", "buyback_price_per_gpu_hour", "share_amount", "contract_id")
    ] == [
        "GPU-hours",
        "currency_code per GPU-hour",
        "currency_code",
        "",
    ]


def test_generated_pages_hold_feeds_terms_and_policies():
    assert all(f"## {feed}" in feeds_page() for feed in CONTRACTS)
    page = terms_page()
    assert "| `tier_axis.contract_month` |" in page
    assert f"| `close_after_days` | `{json.dumps(10)}` |" in page


def test_the_notebook_runs_and_shows_what_it_has_stored_and_each_job_takes_three_lines():
    path = GUIDES / f"{NOTEBOOK}.ipynb"
    code = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    stored = ["".join(line for out in cell["outputs"] for line in out["data"]["text/plain"]) for cell in code]
    assert run_notebook(path) == stored
    # What shows something is a job; what does not, only names inputs.
    jobs = ["".join(cell["source"]) for cell, shown in zip(code, stored, strict=True) if shown]
    assert len(jobs) >= 20
    statements = [len([node for node in ast.parse(job).body if not isinstance(node, ast.Import)]) for job in jobs]
    assert max(statements) <= 5
    assert sum(count <= 3 for count in statements) >= 18


def test_the_notebook_is_a_page_of_the_site():
    page = notebook_page(GUIDES / f"{NOTEBOOK}.ipynb")
    assert "absorption" in page
    assert "Decimal('27567.39')" in page
