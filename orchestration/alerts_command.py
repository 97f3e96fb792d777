"""What ``parkledger alerts`` prints: the alerts of the rules and of operation, and the rules themselves."""

from typing import Any

from rich.console import Console

from ingest.terms.alert import Rule
from orchestration import alerting
from orchestration.display import STYLES
from orchestration.publishing.formats import clean
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
    """Each alert in two lines, what and by which figures, and a line on who is told."""
    said = [
        (
            row["severity"],
            f"{alerting.whose_text(row)}: {clean(row['rule'])}",
            alerting.figures_text(row),
            f"{row['month']:%Y-%m}",
            None if row["cleared_at"] is None else f"{row['cleared_at']:%Y-%m-%d}",
        )
        for row in answer["metrics"]
    ] + [
        (row["severity"], row["rule"], clean(row["about"], 400), row["raised_at"][:10], (row["cleared_at"] or "")[:10])
        for row in answer["operation"]
    ]
    for severity, what, figures, since, cleared in said:
        span = f"since {since}" if not cleared else f"{since} to {cleared}, cleared"
        text = f"{severity:<8}  {what}\n{'':10}{figures}, {span}"
        out.print(
            text, style=STYLES.get(severity, "") if not cleared else "", highlight=False, markup=False, soft_wrap=True
        )
    if not said:
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
