"""The documentation site: ``python -m orchestration.docs`` builds it from the guides, dbt's manifest and the code.

Pages that say what the code does are generated from it (tables, feeds, terms, policies, Python API), so that they
cannot fall behind; guides are written by hand in ``dbt_project/docs``. No page asks the network for anything.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from pprint import pformat
from types import ModuleType
from typing import Any

from ingest.contracts import CONTRACTS, LINEAGE, RECORDED_AT, RULES, Column, FeedContract
from ingest.formats.registry import FORMATS
from ingest.terms.computed import COMPUTED
from ingest.terms.policy import Policies
from orchestration import polars_jobs
from orchestration.dependencies import locked, write_bill_of_materials
from orchestration.expectations.covered import BUILT, DERIVED, LAKE_FILES, TELEMETRY_SAMPLE
from orchestration.performance_pages import capacity_page, performance_page
from orchestration.publishing.catalogue import QUALITY, TABLES, Table
from orchestration.publishing.snapshot import NOT_PUBLISHED
from orchestration.reference_pages import Lineage, cli_page, lineage, settings_page, text_table, yaml_page
from orchestration.settings import DBT_PROJECT, PROJECT_ROOT, Settings
from orchestration.trust_page import trust_page

GUIDES = DBT_PROJECT / "docs"
SITE = DBT_PROJECT / "site"
# The last run of `make bench` that was kept.
BENCH = GUIDES / "bench.json"
# What came of the faults, by the last run of each that was kept.
FAULTS = GUIDES / "faults.json"
BILL_OF_MATERIALS = "sbom.cdx.json"
# Names of columns, settings and keys are read and copied whole: their table scrolls where the page is narrow.
STYLE = "names.css"
WHOLE_NAMES = ".md-typeset td > code:only-child { white-space: nowrap; word-break: normal; }\n"
# Units stand last in names; longer endings first.
UNITS: tuple[tuple[str, str], ...] = (
    ("_null_reason", ""),
    ("_per_gpu_hour", "currency_code per GPU-hour"),
    ("_gpu_hours", "GPU-hours"),
    ("_gpu_count", "GPUs"),
    ("gpu_count", "GPUs"),
    ("_amount", "currency_code"),
    ("_usd", "USD"),
    ("_usd_m", "USD million"),
    ("_kwh", "kWh"),
    ("_mwh", "MWh"),
    ("_mw", "MW"),
    ("_fraction", "0 to 1"),
    ("_probability", "0 to 1"),
    ("_days", "days"),
    ("_months", "months"),
    ("_years", "years"),
    ("_bp", "basis points"),
    ("_month", "first day of the month"),
    ("_date", "day of the park's zone"),
    ("_at", "instant, UTC"),
)


def unit_of(column: str) -> str:
    """The unit that a column's name ends in; empty for names, keys and pure numbers."""
    return next((unit for ending, unit in UNITS if column.endswith(ending)), "")


# --- pages ----------------------------------------------------------------------------------------


def manifest() -> dict[str, Any]:
    """Dbt's manifest, parsed first where it is missing or older than the project's files."""
    # Imports Dagster, which takes seconds and is needed for this alone.
    from orchestration.assets.warehouse import dbt_project, point_dbt_at  # noqa: PLC0415

    point_dbt_at(Settings())
    path = dbt_project().manifest_path
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return found


def table_section(table: Table, model: Mapping[str, Any] | None, made_from: Lineage) -> str:
    """One published table: grain, key, columns. ``model``: dbt's node, where dbt builds and describes the table."""
    heading, rows = ("column", "unit", "what it is"), list(table.columns.items())
    made_by = f"the {table.group} group of the credit jobs"
    if model is not None:
        rows = [(column["name"], column["description"]) for column in model["columns"].values()]
        made_by = f"dbt (`{model['path']}`)"
    elif table.group == QUALITY:
        made_by = "landing and the run itself"
    key = ", ".join(f"`{column}`" for column in table.key)
    grain = model["description"] if model is not None else table.description
    above, below = made_from.get(table.name, ([], []))
    flow = f"Made from {_listed(above)}." if above else ""
    flow += f" Read by {_listed(below)}." if below else ""
    columns = text_table(heading, ((f"`{name}`", unit_of(name), text) for name, text in rows))
    return f"## {table.name}\n\n{grain}\n\nKey: {key}. Made by {made_by}. {flow}\n\n{columns}\n"


def _listed(tables: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in tables)


def table_pages(parsed: Mapping[str, Any]) -> dict[str, str]:
    """One page per schema of the published tables."""
    models = {
        f"{node['schema']}.{node['name']}": node
        for node in parsed["nodes"].values()
        if node["resource_type"] == "model"
    }
    made_from = lineage(parsed)
    sections: dict[str, list[str]] = defaultdict(list)
    for name, table in sorted(TABLES.items()):
        if name not in NOT_PUBLISHED:
            sections[name.split(".")[0]].append(table_section(table, models.get(name), made_from))
    return {f"tables/{schema}.md": f"# {schema}\n\n" + "\n".join(parts) for schema, parts in sections.items()}


def column_row(column: Column) -> tuple[str, ...]:
    """One column of a feed: name, whether needed, kind, unit, meaning, bounds."""
    bounds = [*(f"`{choice}`" for choice in column.choices)]
    if column.minimum is not None:
        bounds.append(f"at least {column.minimum}")
    if column.maximum is not None:
        bounds.append(f"at most {column.maximum}")
    return (
        f"`{column.name}`",
        "yes" if column.is_required else "no",
        column.kind,
        column.unit,
        column.description,
        ", ".join(bounds),
    )


def feed_section(feed: FeedContract) -> str:
    """One feed contract."""
    rows = [column_row(column) for column in (*feed.columns, RECORDED_AT)]
    formats = ", ".join(f"`{known.name}`" for known in FORMATS.values() if feed.name in known.feeds)
    known_elsewhere = "; ".join(f"`{reference.column}` is a known {reference.to}" for reference in feed.references)
    return (
        f"## {feed.name}\n\n{feed.description}\n\nKey, beside the park: {', '.join(f'`{name}`' for name in feed.key)}. "
        f"Formats: {formats}."
        + (f" A row waits until {known_elsewhere}." if known_elsewhere else "")
        + "\n\n"
        + text_table(("column", "needed", "kind", "unit", "what it is", "allowed"), rows)
        + "\n"
    )


def feeds_page() -> str:
    """All feed contracts, lineage and rules."""
    rules = text_table(
        ("rule", "cost", "when"),
        ((f"`{r.name}`", r.severity.value.replace("_", " "), r.description) for r in RULES.values()),
    )
    lineage = ", ".join(f"`{name}`" for name in LINEAGE)
    return (
        "# Feeds\n\nWhat a file under `landing/<park_id>/<feed>/` must hold. Every row in `raw` also carries its lineage: "
        f"{lineage}.\n\n" + "\n".join(feed_section(feed) for feed in CONTRACTS.values()) + f"## Rules\n\n{rules}"
    )


def terms_page() -> str:
    """Which optional contract terms are computed, and every policy with its default."""
    policies = (
        (
            f"`{name}`",
            f"`{json.dumps(field.get_default(call_default_factory=True), default=str)}`",
            field.description or "",
        )
        for name, field in Policies.model_fields.items()
    )
    return (
        "# Terms and policies\n\nThe optional terms of a contract. All of them are computed, each beside every other "
        "that its checks let stand.\n\n"
        + text_table(("term",), ((f"`{name}`",) for name in sorted(COMPUTED)))
        + "\n## Policies\n\nThe user's choices, in `policies/*.yaml`; no contract's terms.\n\n"
        + text_table(("policy", "default", "what it is"), policies)
    )


def checks_page(*, has_data_docs: bool) -> str:
    """Which tables have a suite of Great Expectations, and where its Data Docs are."""
    where = (
        "[Data Docs](data-docs/index.html) show every expectation and what it found in the home of this site."
        if has_data_docs
        else "Build the site after a run (`make run docs`), and Data Docs of what they found stand here."
    )
    marts = ", ".join(f"`{name}`" for name in (*BUILT, *DERIVED))
    return (
        "# Checks\n\nEach run holds feeds and marts against suites of Great Expectations: bounds of physics, of the feeds' contracts "
        "and of the columns' names, one row a key. What is critical stops publishing, a warning is recorded; both stand in "
        f"`quality.fct_check_result`. {where}\n\nAs SQL in the warehouse: {marts}.\n\nAs a frame, for no table holds it: "
        f"`{TELEMETRY_SAMPLE}`, the newest samples.\n"
    )


def data_docs(folder: Path) -> bool:
    """Build Data Docs of the home's warehouse into a folder; False where nothing has run yet."""
    from orchestration.checks import filled, telemetry_sample, validate_apart  # noqa: PLC0415 (imports Dagster)

    settings = Settings()
    path = str(settings.warehouse_path)
    if not settings.warehouse_path.exists():
        return False
    tables = filled(path, (*BUILT, *DERIVED))
    sample = telemetry_sample(path, settings.home) if LAKE_FILES in tables else None
    validate_apart(path, tables, {TELEMETRY_SAMPLE: sample} if sample is not None else None, docs=folder)
    return True


def dependencies_page() -> str:
    """What is installed to run it, with licences; the SBOM stands beside."""
    rows = [(one.name, one.version, one.licence, one.marker) for one in locked()]
    return (
        "# Dependencies\n\n"
        f"What `requirements.lock` installs to run parkledger, each file by its SHA-256. The bill of materials is [{BILL_OF_MATERIALS}]"
        f"({BILL_OF_MATERIALS}) (CycloneDX 1.6). A test keeps every licence among those that Apache-2.0 goes with.\n\n"
        + text_table(("library", "version", "licence", "only where"), rows)
    )


def job_modules() -> list[ModuleType]:
    """Every module of the Polars jobs."""
    return [
        importlib.import_module(f"{polars_jobs.__name__}.{found.name}")
        for found in pkgutil.iter_modules(polars_jobs.__path__)
    ]


def api_page(module: ModuleType) -> str:
    """The public functions and classes of a module with their signatures and docstrings, in the order of the file."""
    members = [
        member
        for name, member in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(member) or inspect.isclass(member))
        and member.__module__ == module.__name__
    ]
    sections = [_member_section(member) for member in sorted(members, key=_line)]
    return f"# {module.__name__.rsplit('.', 1)[-1]}\n\n{inspect.getdoc(module) or ''}\n\n" + "\n".join(sections)


def _line(member: Any) -> int:
    return inspect.getsourcelines(member)[1]


def _member_section(member: Callable[..., Any]) -> str:
    try:
        signature = str(inspect.signature(member))
    except ValueError:
        signature = ""
    kind = "class " if inspect.isclass(member) else ""
    return f"## {member.__name__}\n\n```python\n{kind}{member.__name__}{signature}\n```\n\n{inspect.getdoc(member) or ''}\n"


# --- the notebook ---------------------------------------------------------------------------------

NOTEBOOK = "credit-jobs"


def run_notebook(path: Path) -> list[str]:
    """Run a notebook's code cells in order, in one namespace; what each shows: its last expression, or nothing."""
    scope: dict[str, object] = {}
    shown = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body[-1]
        value: object = None
        if isinstance(last, ast.Expr):
            tree.body.pop()
        exec(compile(tree, path.name, "exec"), scope)  # noqa: S102  our own file
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), path.name, "eval"), scope)  # noqa: S307
        shown.append("" if value is None else pformat(value, width=100))
    return shown


def notebook_page(path: Path) -> str:
    """A notebook as a page: its text, its code, and what the code has shown."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [f"```\n{''.join(output['data']['text/plain'])}\n```" for output in cell["outputs"]]
    return "\n\n".join(parts) + "\n"


# --- the site -------------------------------------------------------------------------------------

TUTORIALS = ("index.md", "quickstart.md", "tutorial.md")
HOW_TO = {
    "Data engineer": ("your-own-home.md", "operations.md", "production.md"),
    "Analyst": ("sql-cookbook.md", f"{NOTEBOOK}.md"),
    "Accountant": ("close-a-month.md",),
    "Investor": ("reading-the-monitor.md",),
}
EXPLANATIONS = ("how-the-books-work.md", "credit-loss.md")
GUIDE_ORDER = (
    *TUTORIALS,
    *(page for pages_of in HOW_TO.values() for page in pages_of if page != f"{NOTEBOOK}.md"),
    *EXPLANATIONS,
)


def pages(*, has_data_docs: bool = False) -> dict[str, str]:
    """Every generated page by its path in the site's source."""
    made = table_pages(manifest())
    made["checks.md"] = checks_page(has_data_docs=has_data_docs)
    made["feeds.md"], made["terms.md"] = feeds_page(), terms_page()
    made["dependencies.md"] = dependencies_page()
    made["command-line.md"], made["settings.md"], made["yaml-files.md"] = cli_page(), settings_page(), yaml_page()
    made["changelog.md"] = (PROJECT_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    bench, faults = (
        json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else None for kept in (BENCH, FAULTS)
    )
    made["performance.md"], made["capacity-plan.md"] = performance_page(bench), capacity_page(bench)
    made["trust.md"] = trust_page(faults)
    made[f"{NOTEBOOK}.md"] = notebook_page(GUIDES / f"{NOTEBOOK}.ipynb")
    for module in job_modules():
        made[f"api/{module.__name__.rsplit('.', 1)[-1]}.md"] = api_page(module)
    return made


def config(source: Path, site: Path, made: Iterable[str]) -> dict[str, Any]:
    """Mkdocs' configuration; JSON is YAML, so it is written as JSON."""
    paths = sorted(made)
    return {
        "site_name": "parkledger",
        "docs_dir": str(source),
        "site_dir": str(site),
        "use_directory_urls": False,
        "theme": {"name": "material", "font": False, "palette": {"scheme": "default", "primary": "blue grey"}},
        "extra_css": [STYLE],
        "plugins": ["search"],
        "markdown_extensions": ["tables", "fenced_code", {"toc": {"permalink": True, "toc_depth": 2}}],
        "nav": [
            {"Start": list(TUTORIALS)},
            {"How to": [{reader: list(of_reader)} for reader, of_reader in HOW_TO.items()]},
            {"Explanation": list(EXPLANATIONS)},
            {"Reference": ["command-line.md", "settings.md", "yaml-files.md", "feeds.md", "terms.md", "checks.md"]},
            {"Tables": [path for path in paths if path.startswith("tables/")]},
            {"Size and speed": ["performance.md", "capacity-plan.md"]},
            {"Trust": ["trust.md", "dependencies.md"]},
            {"Python API": [path for path in paths if path.startswith("api/")]},
            {"Changelog": "changelog.md"},
        ],
    }


def build(site: Path = SITE) -> Path:
    """Build the whole site into a folder and give its first page. A broken link is an error."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "docs"
        shutil.copytree(GUIDES, source)
        made = pages(has_data_docs=data_docs(source / "data-docs"))
        for name, content in made.items():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")
        write_bill_of_materials(source / BILL_OF_MATERIALS)
        (source / STYLE).write_text(WHOLE_NAMES, encoding="utf-8")
        settings = Path(folder) / "mkdocs.yml"
        settings.write_text(json.dumps(config(source, site, made), indent=2), encoding="utf-8")
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", str(settings)]
        # The variable silences the theme's notice about its successor.
        subprocess.run(command, check=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})  # noqa: S603
    return site / "index.html"


if __name__ == "__main__":
    print(f"built {build().relative_to(PROJECT_ROOT)}")
