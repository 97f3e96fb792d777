"""The history of alerts: what each rule finds in the monthly metrics, entity by entity.

An alert is raised in the first month in which its rule finds something, and cleared in the first after it in which the
rule finds nothing. Who is told does not belong here; neither do the rules, which are the user's (``raw.alert_rule``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from orchestration.polars_jobs.frames import UTC_TIME, add_months, make_frame, month_end, months_between

ALERT_SCHEMA: dict[str, Any] = {
    "alert_id": pl.String,
    "rule_id": pl.String,
    "kind": pl.String,
    "metric": pl.String,
    "entity_level": pl.String,
    "entity_id": pl.String,
    "month": pl.Date,
    "rule": pl.String,
    "severity": pl.String,
    "value": pl.Float64,
    "measured_value": pl.Float64,
    "threshold": pl.Float64,
    "evidence_grade": pl.String,
    "raised_at": UTC_TIME,
    "cleared_at": UTC_TIME,
}
ISSUER_LEVEL = "issuer"


@dataclass(frozen=True)
class Rule:
    """One rule: ``kind`` level, change, trend, countdown or missing; ``side`` below, above, falls_by or rises_by.

    ``threshold``: the level, the change, or the change a month, in the metric's unit (``is_relative``: a fraction of the
    value before). ``months``: how far a change or trend looks back, or how long a figure may be missing.
    ``within_months``: a countdown finds something when fewer months are left. Empty ``entity_levels`` or ``entities``:
    all of them.
    """

    rule_id: str
    kind: str
    rule: str
    metric: str
    severity: str
    side: str | None = None
    threshold: float | None = None
    months: int | None = None
    within_months: float | None = None
    is_relative: bool | None = None
    entity_levels: Sequence[str] | None = None
    entities: Sequence[str] | None = None

    def watches(self, level: str, entity: str) -> bool:
        """Whether the rule looks at this entity."""
        return (not self.entity_levels or level in self.entity_levels) and (
            not self.entities or entity in self.entities
        )


def rules_from_frame(frame: pl.DataFrame | None) -> list[Rule]:
    """The rules of ``raw.alert_rule``; none without the table. Columns beyond those of a rule are ignored."""
    if frame is None:
        return []
    kept = frame.select(pl.col(name) for name in Rule.__dataclass_fields__).with_columns(
        pl.col("threshold", "within_months").cast(pl.Float64)
    )
    return [Rule(**row) for row in kept.sort("rule_id").to_dicts()]


def alerts(metrics: pl.DataFrame, closes: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """``monitor.fct_alert``: one row per rule, entity and unbroken run of months in which the rule found something.

    ``metrics`` as ``monitor.fct_metric_month``. raised_at and cleared_at are the last close of the month in which it
    fired, and of the first in which it did not; months of which a rule cannot say anything neither raise nor clear. An
    issuer's month closes with the programme's, or at its own end where the programme has none.
    """
    closed = dict(closes.group_by("posting_month").agg(pl.col("known_at").max()).iter_rows())
    last_of = dict(metrics.group_by("entity_level").agg(pl.col("month").max()).iter_rows())
    rows: list[dict[str, Any]] = []
    by_metric = metrics.partition_by("metric", as_dict=True)
    for rule in rules:
        found = by_metric.get((rule.metric,))
        if found is None:
            continue
        parts = found.sort("month").partition_by(["entity_level", "entity_id"], as_dict=True, maintain_order=True)
        for (level, entity), part in parts.items():
            if rule.watches(str(level), str(entity)):
                rows.extend(_runs(rule, str(level), str(entity), _every_month(part, last_of[level]), closed))
    return make_frame(rows, ALERT_SCHEMA, ["alert_id"])


Figure = tuple[date, float | None, str | None]


def _every_month(part: pl.DataFrame, last: date) -> list[Figure]:
    """(month, value, grade) of every month from the first; an issuer has only the months in which its quarters end."""
    given = {
        month: (value, grade) for month, value, grade in part.select("month", "value", "evidence_grade").iter_rows()
    }
    months = sorted(given)
    if part["entity_level"][0] != ISSUER_LEVEL:
        months = [add_months(months[0], step) for step in range(months_between(months[0], last) + 1)]
    return [(month, *given.get(month, (None, None))) for month in months]


def _runs(
    rule: Rule, level: str, entity: str, figures: Sequence[Figure], closed: Mapping[date, datetime]
) -> Iterator[dict[str, Any]]:
    current: dict[str, Any] | None = None
    for position, (month, value, grade) in enumerate(figures):
        measured = _MEASURES[rule.kind](rule, figures, position)
        if measured is None:
            continue
        at = closed.get(month) or datetime(month.year, month.month, month_end(month).day, tzinfo=UTC)
        if _finds(rule, measured) and current is None:
            current = {
                "alert_id": f"{rule.rule_id}:{level}:{entity}:{month:%Y-%m}",
                "rule_id": rule.rule_id,
                "kind": rule.kind,
                "metric": rule.metric,
                "entity_level": level,
                "entity_id": entity,
                "month": month,
                "rule": rule.rule,
                "severity": rule.severity,
                "value": value,
                "measured_value": measured,
                "threshold": _limit(rule),
                "evidence_grade": grade or "assumed",
                "raised_at": at,
                "cleared_at": None,
            }
        elif not _finds(rule, measured) and current is not None:
            yield {**current, "cleared_at": at}
            current = None
    if current is not None:
        yield current


def _limit(rule: Rule) -> float:
    """What the measured value is held against."""
    limit = {"countdown": rule.within_months, "missing": rule.months}.get(rule.kind, rule.threshold)
    if limit is None:
        raise ValueError(f"rule {rule.rule_id} of kind {rule.kind} has nothing to be held against")
    return float(limit)


def _finds(rule: Rule, measured: float) -> bool:
    limit = _limit(rule)
    if rule.kind == "missing":
        return measured >= limit
    if rule.kind == "countdown":
        return measured < limit
    if rule.side == "falls_by":
        return measured < -limit
    return measured < limit if rule.side == "below" else measured > limit


def _level(_: Rule, figures: Sequence[Figure], position: int) -> float | None:
    return figures[position][1]


def _change(rule: Rule, figures: Sequence[Figure], position: int) -> float | None:
    """Value less that of ``months`` before, or that as a fraction of the size of the value before."""
    month, now, _ = figures[position]
    wanted = add_months(month, -(rule.months or 1))
    before = next((value for earlier, value, _ in figures[:position] if earlier == wanted), None)
    if now is None or before is None:
        return None
    if not rule.is_relative:
        return now - before
    return (now - before) / abs(before) if before else None


def _trend(rule: Rule, figures: Sequence[Figure], position: int) -> float | None:
    """Slope a month of the line of least squares through the last ``months``; None where one of them has no value."""
    wanted = rule.months or 3
    month = figures[position][0]
    points = [
        (-months_between(earlier, month), value)
        for earlier, value, _ in figures[: position + 1]
        if value is not None and months_between(earlier, month) < wanted
    ]
    if len(points) < wanted:
        return None
    middle = sum(x for x, _ in points) / wanted
    level = sum(y for _, y in points) / wanted
    spread = sum((x - middle) ** 2 for x, _ in points)
    return sum((x - middle) * (y - level) for x, y in points) / spread


def _countdown(rule: Rule, figures: Sequence[Figure], position: int) -> float | None:
    """Months until the value reaches the threshold at its trend: 0 where it is beyond it, infinite where it never does."""
    value = figures[position][1]
    slope = _trend(rule, figures, position)
    if value is None or rule.threshold is None:
        return None
    room = value - rule.threshold if rule.side == "below" else rule.threshold - value
    if room < 0:
        return 0.0
    if slope is None:
        return None
    closing = -slope if rule.side == "below" else slope
    return room / closing if closing > 0 else float("inf")


def _missing(_: Rule, figures: Sequence[Figure], position: int) -> float | None:
    """Months in a row without a value, counted from the last one that had one; None before the first value."""
    for back in range(position + 1):
        if figures[position - back][1] is not None:
            return float(back)
    return None


_MEASURES = {"level": _level, "change": _change, "trend": _trend, "countdown": _countdown, "missing": _missing}
