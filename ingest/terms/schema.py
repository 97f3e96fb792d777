"""The JSON Schemas of the files that users write, for editors.

What a schema cannot say (gaps, order, references) is in checks.py.
"""

from typing import Any

from ingest.terms.alert import METRICS, Alerts
from ingest.terms.contract import Contract
from ingest.terms.scenario import DRIVERS, Scenario

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def contract_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of what a user may write: shorthands included."""
    schema = Contract.model_json_schema()
    definitions = schema["$defs"]
    # One block may stand without a list, a lifetime cap as its amount, and `date` under its long name.
    definitions["Version"]["properties"]["revenue_share"]["anyOf"].append({"$ref": "#/$defs/RevenueShare"})
    amount = definitions["LifetimeAmount"]["properties"]["amount"]["anyOf"]
    definitions["RevenueShare"]["properties"]["lifetime_cap"]["anyOf"].extend(amount)
    definitions["Tier"]["properties"]["axis"]["enum"].append("calendar_date")
    return {"$schema": _DRAFT, **schema}


def alerts_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of alerts.yaml, with the names of all metrics."""
    schema = Alerts.model_json_schema()
    for name, definition in schema["$defs"].items():
        if name.endswith("Rule"):
            definition["properties"]["metric"]["enum"] = list(METRICS)
    return {"$schema": _DRAFT, **schema}


def scenario_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of a scenario file; each driver with the unit of its value."""
    schema = Scenario.model_json_schema()
    units = "; ".join(f"{driver}: {unit}" for driver, unit in DRIVERS.items())
    schema["$defs"]["Driver"]["properties"]["value"]["description"] = f"By driver: {units}."
    return {"$schema": _DRAFT, **schema}
