"""Pages of the documentation site that are generated from the code: the command line, settings, files in YAML, lineage."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from ingest.terms.home import HomeFile
from ingest.terms.park import Park
from ingest.terms.schema import alerts_schema, contract_schema, scenario_schema
from ingest.terms.vendor import Vendor
from orchestration.cli import app
from orchestration.settings import Settings

Json = Mapping[str, Any]
# By table: those that it is made from, and those made from it.
Lineage = dict[str, tuple[list[str], list[str]]]


def text_table(heading: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; bars and line breaks in cells are escaped."""
    heads = list(heading)
    lines = [heads, ["---"] * len(heads), *([str(cell) for cell in row] for row in rows)]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |\n" for line in lines
    )


def cli_page() -> str:
    """Every command with its arguments and options, as `--help` says them."""
    command = get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="parkledger", title="The command line")
    for name, one in getattr(command, "commands", {}).items():
        # The list of commands has the first paragraph of their help whole; typer cuts it after some words.
        told = " ".join((one.help or "").partition("\n\n")[0].split()).replace("\\", "")
        text = re.sub(rf"(?m)^(\* `{name}`: ).*\.\.\.$", rf"\g<1>{told}", text, count=1)
    return (
        text.replace("**Usage**:", "Usage:").replace("**Arguments**:", "Arguments:").replace("**Options**:", "Options:")
    )


def settings_page() -> str:
    """Every setting that the environment gives."""
    rows = (
        (f"`PARKLEDGER_{name.upper()}`", _default(field.get_default()), field.description or "")
        for name, field in Settings.model_fields.items()
    )
    return (
        "# Settings\n\nFrom the environment; what belongs to one set of books is in the home's own files instead.\n\n"
        + text_table(("variable", "default", "what it is"), rows)
    )


def _default(value: object) -> str:
    return (
        "`data` in the project" if str(value).endswith("/data") else f"`{value}`" if value not in (None, "") else "none"
    )


FILES: Sequence[tuple[str, str, Json]] = (
    ("home.yaml", "One file a home.", HomeFile.model_json_schema()),
    ("parks/<park_id>.yaml", "One file a park.", Park.model_json_schema()),
    (
        "contracts/<contract_id>.yaml, deals/<deal_id>.yaml",
        "One file a contract; amendments are further versions. `parkledger contract schema` prints the JSON Schema.",
        contract_schema(),
    ),
    ("vendors/<vendor_id>.yaml", "One file a vendor; nvidia is built in.", Vendor.model_json_schema()),
    (
        "scenarios/<scenario_id>.yaml",
        "One file a scenario. `parkledger stress --schema` prints the JSON Schema.",
        scenario_schema(),
    ),
    ("alerts.yaml", "Rules and channels. `parkledger alerts schema` prints the JSON Schema.", alerts_schema()),
)


def yaml_page() -> str:
    """Every file that a user writes, key by key, from the models that read it."""
    parts = [
        "# Files in YAML\n\nPolicies have a [page of their own](terms.md). An unknown key is an error with file, line and remedy.\n"
    ]
    for title, text, schema in FILES:
        parts.append(f"## {title}\n\n{text}\n\n{_keys(schema)}")
        parts += [
            f"### {name}\n\n{_keys(block)}" for name, block in schema.get("$defs", {}).items() if "properties" in block
        ]
    return "\n".join(parts)


def _keys(schema: Json) -> str:
    needed = set(schema.get("required", ()))
    rows = (
        (
            f"`{name}`",
            _kind(prop),
            "needed" if name in needed else f"`{json.dumps(prop['default'])}`" if "default" in prop else "",
            prop.get("description", ""),
        )
        for name, prop in schema["properties"].items()
    )
    return text_table(("key", "value", "default", "what it is"), rows)


def _kind(prop: Json) -> str:
    """What a key may hold, in a few words."""
    if "$ref" in prop:
        return str(prop["$ref"]).rsplit("/", 1)[-1]
    if "enum" in prop:
        return ", ".join(f"`{value}`" for value in prop["enum"])
    if "const" in prop:
        return f"`{prop['const']}`"
    for several in ("anyOf", "oneOf"):
        if several in prop:
            return " or ".join(dict.fromkeys(_kind(one) for one in prop[several]))
    if prop.get("type") == "array":
        return f"list of {_kind(prop.get('items', {}))}"
    return str(prop.get("format") or prop.get("type") or "any")


def lineage(parsed: Json) -> Lineage:
    """By published table that dbt builds: the tables that it is made from, and those made from it, by dbt's manifest."""
    nodes = {**parsed["nodes"], **parsed["sources"]}
    names = {key: f"{node['schema']}.{node['name']}" for key, node in nodes.items()}
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = defaultdict(list)
    for key, upstream in _edges(parsed):
        above[names[key]] = sorted(names[one] for one in upstream if one in names)
        for one in above[names[key]]:
            below[one].append(names[key])
    return {name: (found, sorted(below[name])) for name, found in above.items()}


def _edges(parsed: Json) -> Iterator[tuple[str, list[str]]]:
    for key, node in parsed["nodes"].items():
        if node["resource_type"] == "model":
            yield key, node["depends_on"]["nodes"]
