"""What ``parkledger alerts`` prints: the alerts of the rules and of operation, and the rules themselves."""

from typing import Any

from rich.console import Console

from ingest.terms.alert import Rule
from orchestration import alerting
from orchestration.display import as_table
from orchestration.settings import Settings
from orchestration.state import load


def alert_rows(settings: Settings, *, with_cleared: bool) -> dict[str, Any]:
    """Alerts of the published metrics, alerts of operation, and how many notices wait for which channel."""
    home = load(settings)
    return {
        "metrics": [row for row in alerting.published_alerts(settings) if with_cleared or row["cleared_at"] is None],
        "operation": alerting.operation_alerts(settings, with_cleared=with_cleared),
        "channels": [channel.channel_id for channel in home.alerts.channels],
        "waiting": alerting.waiting(settings),
    }


def print_alerts(answer: dict[str, Any], out: Console) -> None:
    """Two tables and a line."""
    cells = [
        (
            row["severity"],
            alerting.whose_text(row),
            row["rule"],
            alerting.figures_text(row),
            f"{row['month']:%Y-%m}",
            "stands" if row["cleared_at"] is None else f"{row['cleared_at']:%Y-%m-%d}",
        )
        for row in answer["metrics"]
    ] + [
        (
            row["severity"],
            "operation",
            row["rule"],
            row["about"],
            row["raised_at"][:10],
            (row["cleared_at"] or "stands")[:10],
        )
        for row in answer["operation"]
    ]
    if cells:
        out.print(as_table(["severity", "of", "what", "figures", "since", "cleared"], cells), markup=False)
    else:
        out.print("No alert.")
    if not answer["channels"]:
        out.print("Nobody is told: alerts.yaml names no channel (parkledger alerts schema).")
    for channel, count in answer["waiting"].items():
        out.print(f"{count} notices to {channel} wait for the next run", markup=False, highlight=False)


def rule_text(rule: Rule) -> str:
    """When a rule is raised, in words."""
    given = rule.model_dump(exclude_none=True)
    side = next((name for name in ("below", "above", "falls_by", "rises_by") if name in given), "")
    words = f"{rule.metric} {side.replace('_', ' ')} {given.get(side, '')}".strip()
    if rule.kind == "level":
        return words
    if rule.kind == "missing":
        return f"{rule.metric} has no value for {rule.months} months in a row"
    if rule.kind == "countdown":
        return f"{words} in less than {rule.within_months} months, by the last {rule.months}"
    if rule.kind == "change":
        return f"{words}{' of itself' if rule.relative else ''} within {rule.months} months"
    return f"{words} a month, by the last {rule.months}"
