"""Every monthly metric, by park, contract, programme and issuer, from the tables that the other jobs gave.

A figure is kept as numerator and denominator as long as it can be, so that the programme's ratio is the ratio of the
sums and never a mean of ratios. What cannot be computed is null with a reason. Formulas in words stand in
metric_catalogue; nothing is measured here that another job measures already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.polars_jobs.expected_loss import pledged, read_pledges
from orchestration.polars_jobs.exposure import concentration
from orchestration.polars_jobs.frames import (
    Frames,
    RowsBy,
    add_months,
    known_at,
    local_date,
    make_frame,
    month_end,
    month_start,
    months_between,
    need,
    optional,
)
from orchestration.polars_jobs.functional_currency import INDEX_CURRENCY, last_rate
from orchestration.polars_jobs.lease_book import contracted_coverage, known_leases, running_leases, tenant_revenue
from orchestration.polars_jobs.metric_catalogue import BY_NAME, ISSUER, METRICS, POLICY, TERMS, source_of
from orchestration.polars_jobs.money import ZERO
from orchestration.polars_jobs.receivables import Close, disputed_claim_months, read_closes

DIM_SCHEMA: dict[str, Any] = {
    "metric": pl.String,
    "metric_no": pl.Int32,
    "title": pl.String,
    "formula": pl.String,
    "unit": pl.String,
    "better": pl.String,
    "source": pl.String,
}
METRIC_SCHEMA: dict[str, Any] = {
    "metric": pl.String,
    "entity_level": pl.String,
    "entity_id": pl.String,
    "month": pl.Date,
    "value": pl.Float64,
    "null_reason": pl.String,
    "evidence_grade": pl.String,
    "currency_code": pl.String,
}
PARK, CONTRACT, PROGRAMME, ISSUER_LEVEL = "park", "contract", "programme", "issuer"
WEAKEST_FIRST = ("assumed", "S2", "I", "V", "S1", "P")
DAYS_PER_MONTH = 30.4375
# Every payment ever recorded is known by then.
LAST_INSTANT = datetime(9999, 1, 1, tzinfo=UTC)

Key = tuple[str, date]
Number = Decimal | float | int


def weakest(grades: Iterable[str | None]) -> str:
    """The weakest of some grades; assumed where none is known."""
    known = [grade for grade in grades if grade in WEAKEST_FIRST]
    return min(known, key=WEAKEST_FIRST.index) if known else "assumed"


@dataclass
class Collector:
    """Gathers figures. ``parts`` keeps numerators and denominators for the programme's own."""

    grade_of: Callable[[str, str, str], str]
    currency_of: Mapping[str, str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    parts: dict[tuple[str, str, date], list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def add(
        self,
        metric: str,
        at: tuple[str, str, date],
        top: Number | None,
        bottom: Number | None = None,
        *,
        reason: str = "nothing to divide by",
        missing: str = "no feed tells it",
    ) -> None:
        """One figure ``at`` (level, entity, month): ``top`` ÷ ``bottom``, or ``top`` where the metric is no ratio. None
        and why where ``top`` is None (``missing``) or the denominator is not positive (``reason``).
        """
        level, entity, month = at
        ratio = BY_NAME[metric].sums == "ratio"
        value: float | None = None
        why: str | None = None
        if top is None or (ratio and bottom is None):
            why = missing
        elif ratio and bottom is not None and bottom <= 0:
            why = reason
        else:
            value = float(top) / float(bottom) if ratio and bottom is not None else float(top)
            self.parts[metric, level, month].append((float(top), float(bottom or 0)))
        self.rows.append(
            {
                "metric": metric,
                "entity_level": level,
                "entity_id": entity,
                "month": month,
                "value": value,
                "null_reason": why,
                "evidence_grade": self.grade_of(metric, level, entity),
                "currency_code": self.currency_of.get(entity) if BY_NAME[metric].unit.startswith("currency") else None,
            }
        )

    def programme(self, entity: str) -> None:
        """The programme's rows from the parts of its parks and contracts: of the level that has the metric, where all
        amounts are of one currency.
        """
        currencies = set(self.currency_of.values())
        for (metric, level, month), parts in sorted(self.parts.items()):
            definition = BY_NAME[metric]
            if definition.sums == "none" or level not in {PARK, CONTRACT}:
                continue
            if level == CONTRACT and (metric, PARK, month) in self.parts:
                continue
            money = definition.unit.startswith("currency")
            top, bottom = (sum(part[number] for part in parts) for number in (0, 1))
            mixed = money and len(currencies) > 1
            ratio = definition.sums == "ratio"
            self.rows.append(
                {
                    "metric": metric,
                    "entity_level": PROGRAMME,
                    "entity_id": entity,
                    "month": month,
                    "value": None if mixed or (ratio and bottom <= 0) else top / bottom if ratio else top,
                    "null_reason": "amounts of several currencies" if mixed else None,
                    "evidence_grade": weakest(
                        row["evidence_grade"]
                        for row in self.rows
                        if row["metric"] == metric and row["entity_level"] == level and row["month"] == month
                    ),
                    "currency_code": next(iter(currencies)) if len(currencies) == 1 and money else None,
                }
            )


def metric_catalogue() -> pl.DataFrame:
    """``monitor.dim_metric``: one row per metric."""
    rows = [{**definition._asdict(), "source": source_of(definition.metric_no)} for definition in METRICS]
    return make_frame([{name: row[name] for name in DIM_SCHEMA} for row in rows], DIM_SCHEMA, ["metric_no", "metric"])


def metric_months(frames: Frames) -> pl.DataFrame:
    """``monitor.fct_metric_month``: one row per metric, entity and month (issuer: the month in which its quarter ends).

    Reads the published tables of the groups before it and the warehouse's marts; a table that is not given leaves its
    metrics null.
    """
    contracts = {row["contract_id"]: row for row in need(frames, "core.dim_contract").iter_rows(named=True)}
    closes = read_closes(need(frames, "intermediate.int_closes"))
    currencies = {contract_id: row["currency_code"] for contract_id, row in contracts.items()}
    parks = optional(frames, "core.dim_park")
    if parks is not None:
        currencies |= dict(parks.select("park_id", "currency_code").iter_rows())
    own_parks = {row["park_id"] for row in contracts.values()}
    collector = Collector(
        _grades(frames),
        {entity: code for entity, code in currencies.items() if entity in own_parks or entity in contracts},
    )
    months = sorted(
        {(row["park_id"], close.posting_month) for close in closes for row in [contracts[close.contract_id]]}
    )
    _capacity(frames, collector, months)
    _lease_book(frames, collector, closes)
    _operator(frames, collector, months)
    _share(frames, collector, closes)
    _backstop(frames, collector, closes)
    _credit(frames, collector, closes)
    collector.programme("programme")
    _concentrated(frames, collector)
    _issuer(frames, collector)
    return make_frame(collector.rows, METRIC_SCHEMA, ["metric", "entity_level", "entity_id", "month"])


def _grades(frames: Frames) -> Callable[[str, str, str], str]:
    """What each figure rests on: simulated feeds and policies are assumed, terms as weak as their weakest graded term,
    filings as graded there.
    """
    parks = optional(frames, "core.dim_park")
    simulated = dict(parks.select("park_id", "is_simulated").iter_rows()) if parks is not None else {}
    park_of = dict(need(frames, "core.dim_contract").select("contract_id", "park_id").iter_rows())
    terms = optional(frames, "raw.contract_term")
    by_contract: dict[str, str] = {}
    if terms is not None:
        used = terms.filter(pl.col("instrument").is_in(["revenue_share", "backstop"]))
        for (contract_id,), rows in used.partition_by("contract_id", as_dict=True).items():
            by_contract[str(contract_id)] = weakest(rows["evidence_grade"].to_list())

    def grade(metric: str, level: str, entity: str) -> str:
        rests_on = BY_NAME[metric].rests_on
        if rests_on == ISSUER or level == ISSUER_LEVEL:
            return "S1"
        if rests_on == POLICY:
            return "assumed"
        park = entity if level == PARK else park_of.get(entity, "")
        feed = "assumed" if simulated.get(park, True) else "P"
        return weakest([feed, by_contract.get(entity, "assumed")]) if rests_on == TERMS else feed

    return grade


def _sums(
    frames: Frames, table: str, entity: str, day: str, columns: Sequence[str], *, where: pl.Expr | None = None
) -> dict[Key, dict[str, Any]]:
    """Sums of some columns by entity and month; empty where the table is not given."""
    frame = optional(frames, table)
    if frame is None:
        return {}
    rows = (frame if where is None else frame.filter(where)).group_by(entity, month=pl.col(day).dt.truncate("1mo"))
    return {
        (row[entity], row["month"]): row
        for row in rows.agg(pl.col(column).sum() for column in columns).iter_rows(named=True)
    }


def _by_key(frames: Frames, table: str, entity: str, month: str) -> dict[Key, dict[str, Any]]:
    frame = optional(frames, table)
    if frame is None:
        return {}
    return {(row[entity], row[month]): row for row in frame.iter_rows(named=True)}


# --- parks ----------------------------------------------------------------------------------------

HOURS = ("installed_gpu_hours", "available_gpu_hours", "leased_gpu_hours", "busy_gpu_hours")
COVERAGE = "coverage_fraction"


def _capacity(frames: Frames, collector: Collector, months: Sequence[Key]) -> None:
    hours = _sums(frames, "metering.fct_capacity_day", "park_id", "service_date", (*HOURS, COVERAGE))
    energy = _sums(
        frames, "metering.fct_power_day", "park_id", "service_date", ("facility_energy_kwh", "it_energy_kwh")
    )
    billed = _sums(
        frames, "metering.fct_lease_revenue_day", "park_id", "service_date", ("net_billed_amount", "billed_gpu_hours")
    )
    economics = _by_key(frames, "credit.fct_operator_economics_month", "park_id", "month")
    passed = _passthrough(frames)
    for park, month in months:
        key = (park, month)
        row = hours.get(key, {})
        installed, available, leased, busy = (row.get(name) for name in HOURS)
        # Hours that nothing has measured were not idle: nobody knows.
        unmeasured = row.get(COVERAGE) == 0
        power, kwh = economics.get(key, {}).get("power_amount"), energy.get(key, {}).get("facility_energy_kwh")
        for metric, top, bottom in (
            ("occupancy_fraction", leased, available),
            ("utilization_fraction", None if unmeasured else busy, leased),
            ("availability_fraction", available, installed),
            ("pue_ratio", kwh, energy.get(key, {}).get("it_energy_kwh")),
            ("energy_per_leased_gpu_hour_kwh", kwh, leased),
            ("power_cost_per_gpu_hour", power, leased),
            ("energy_passthrough_fraction", passed.get(key, ZERO) if power is not None else None, power),
            (
                "realised_price_per_gpu_hour",
                billed.get(key, {}).get("net_billed_amount"),
                billed.get(key, {}).get("billed_gpu_hours"),
            ),
        ):
            unseen = unmeasured and metric == "utilization_fraction"
            missing = "no telemetry of the month" if unseen else "no metering of the month"
            collector.add(metric, (PARK, park, month), top, bottom, missing=missing)


def _passthrough(frames: Frames) -> dict[Key, Decimal]:
    """Power passed on to tenants, by park and month: the component of the share base."""
    parts = optional(frames, "revenue_share.fct_share_base_month")
    if parts is None:
        return {}
    park_of = dict(need(frames, "core.dim_contract").select("contract_id", "park_id").iter_rows())
    out: dict[Key, Decimal] = defaultdict(lambda: ZERO)
    rows = parts.filter(pl.col("component") == "power_passthrough").select("contract_id", "service_month", "amount")
    for contract_id, month, amount in rows.iter_rows():
        out[park_of[contract_id], month] += amount or ZERO
    return out


def _lease_book(frames: Frames, collector: Collector, closes: Sequence[Close]) -> None:
    tranches = optional(frames, "core.dim_tranche")
    index, rates = optional(frames, "raw.gpu_price_index"), optional(frames, "raw.fx_rate")
    currencies = dict(need(frames, "core.dim_contract").select("contract_id", "currency_code").iter_rows())
    prices = _by_key(frames, "backstop.fct_backstop_month", "contract_id", "service_month")
    billed = _sums(
        frames,
        "metering.fct_lease_revenue_day",
        "contract_id",
        "service_date",
        ("net_billed_amount", "billed_gpu_hours"),
    )
    versions = RowsBy(optional(frames, "staging.stg_leases"))
    for close in closes:
        contract_id, month = close.contract_id, close.posting_month
        gpus = (
            []
            if tranches is None
            else list(
                tranches.filter((pl.col("contract_id") == contract_id) & pl.col("energised_date").is_not_null())
                .select("gpu_model", "gpu_count", "energised_date")
                .iter_rows()
            )
        )
        running = known_leases(versions.of(contract_id), close) if versions else running_leases(frames, close)
        in_service = sum(count for _, count, day in gpus if day <= close.month_end_date)
        for ahead in (12, 24):
            hours, supply = contracted_coverage(running, in_service, close.month_end_date, ahead)
            collector.add(f"contracted_coverage_{ahead}m_fraction", (CONTRACT, contract_id, month), hours, supply,
                reason="no GPUs in service",
            )  # fmt: skip
        terms = [
            ((last - close.month_end_date).days / DAYS_PER_MONTH, count * price)
            for first, last, count, price in running
            if first <= close.month_end_date < last
        ]
        value = sum(left * weight for left, weight in terms)
        collector.add("walt_months", (CONTRACT, contract_id, month), sum(left * left * weight for left, weight in terms), value,
            reason="no lease is running",
        )  # fmt: skip
        row = billed.get((contract_id, month), {})
        price = float(row["net_billed_amount"] / row["billed_gpu_hours"]) if row.get("billed_gpu_hours") else None
        quoted = _market_price(index, gpus, close.month_end_date)
        rate = last_rate(rates, INDEX_CURRENCY, currencies[contract_id], close.month_end_date)
        market = None if quoted is None or rate is None else quoted * float(rate)
        floor = prices.get((contract_id, month), {}).get("buyback_price_per_gpu_hour")
        collector.add("index_spread_per_gpu_hour", (CONTRACT, contract_id, month),
            None if price is None or market is None else price - market,
            missing="no hours billed" if price is None
            else "no market observation of the main GPU model" if quoted is None
            else f"no rate of {INDEX_CURRENCY}, in which markets quote, in {currencies[contract_id]}",
        )  # fmt: skip
        collector.add("floor_headroom_per_gpu_hour", (CONTRACT, contract_id, month),
            None if price is None or floor is None else price - float(floor),
            missing="no hours billed" if price is None else "no buy-back price",
        )  # fmt: skip
        revenue = [amount for amount in tenant_revenue(frames, contract_id, [month]).values() if amount > 0]
        found = concentration(revenue)
        for metric, part in (
            ("tenant_hhi", found.hhi if found else None),
            ("tenant_top_1_fraction", found.top_1 if found else None),
            ("tenant_top_3_fraction", found.top_3 if found else None),
        ):
            collector.add(metric, (CONTRACT, contract_id, month), part, missing="no tenant's revenue")
        withdrawn = _withdrawn(frames, close)
        collector.add(
            "withdrawn_gpu_fraction", (CONTRACT, contract_id, month), withdrawn, in_service, reason="no GPUs in service"
        )


def _market_price(index: pl.DataFrame | None, gpus: Sequence[tuple[str, int, date]], day: date) -> float | None:
    """The last market observation of the model with the most GPUs; estimates of floors are none."""
    if index is None or not gpus:
        return None
    models: dict[str, int] = defaultdict(int)
    for model, count, _ in gpus:
        models[model] += count
    main = max(sorted(models), key=lambda model: models[model])
    seen = index.filter(
        (pl.col("gpu_model") == main) & (pl.col("observed_date") <= day) & ~pl.col("tenor").str.starts_with("backstop")
    ).sort("observed_date")
    return float(seen["price_per_gpu_hour"][-1]) if seen.height else None


def _withdrawn(frames: Frames, close: Close) -> int | None:
    """GPUs that the operator has withdrawn and not given back, as known at the close."""
    # An empty feed says that nothing was withdrawn; no feed says nothing.
    events, tranches = frames.get("staging.stg_credit_events"), optional(frames, "core.dim_tranche")
    if events is None or tranches is None:
        return None
    own = tranches.filter(pl.col("contract_id") == close.contract_id)["tranche_id"].to_list()
    rows = events.filter(pl.col("kind").is_in(["withdrawal", "recall"]) & pl.col("tranche_id").is_in(own))
    out: dict[str, int] = {}
    for row in (
        known_at(rows, ["park_id", "event_id"], close.known_at).sort("effective_at", "event_id").iter_rows(named=True)
    ):
        if local_date(row["effective_at"], close.time_zone) <= close.month_end_date:
            # A recall without a number takes all back.
            back = row["gpu_count"] or out.get(row["tranche_id"], 0)
            change = row["gpu_count"] if row["kind"] == "withdrawal" else -back
            out[row["tranche_id"]] = max(out.get(row["tranche_id"], 0) + change, 0)
    return sum(out.values())


def _spread(nodes: Sequence[Mapping[str, Any]], day: date) -> float | None:
    """The last quoted CDS spread by a day, in basis points: the tenor nearest to five years, the shorter of two."""
    known = [row for row in nodes if row["kind"] == "cds_spread" and row["curve_date"] <= day]
    if not known:
        return None
    last = max(row["curve_date"] for row in known)
    tenors = [
        (abs(float(row["horizon_years"]) - 5.0), float(row["horizon_years"]), row["value"])
        for row in known
        if row["curve_date"] == last
    ]
    return float(min(tenors)[2]) * 1e4


def _operator(frames: Frames, collector: Collector, months: Sequence[Key]) -> None:
    parks = optional(frames, "core.dim_park")
    operators = {} if parks is None else dict(parks.select("park_id", "operator_id").iter_rows())
    spreads = RowsBy(optional(frames, "raw.credit_curve"), "obligor_id")
    economics = _by_key(frames, "credit.fct_operator_economics_month", "park_id", "month")
    for park, month in months:
        row = economics.get((park, month), {})
        cash, service, share = (row.get(name) for name in ("cfads_amount", "debt_service_amount", "share_amount"))
        costs = [row.get(name) for name in ("power_amount", "land_amount", "operation_amount")]
        floor = row.get("floor_revenue_amount")
        known = None not in costs
        for metric, top, bottom, reason in (
            ("dscr", cash, service, "no debt service in the month"),
            (
                "dscr_before_share",
                None if cash is None or share is None else cash + share,
                service,
                "no debt service in the month",
            ),
            (
                "ltv_fraction",
                row.get("debt_outstanding_amount"),
                row.get("collateral_value_amount"),
                "no hardware in service",
            ),
            (
                "floor_case_dscr",
                floor - sum(c for c in costs if c is not None) if known and floor is not None else None,
                service,
                "no debt service in the month",
            ),
            (
                "pledged_revenue_fraction",
                None if service is None or share is None else share + service,
                row.get("revenue_amount"),
                "no revenue in the month",
            ),
        ):
            collector.add(
                metric, (PARK, park, month), top, bottom, reason=reason, missing="the park's economics are not given"
            )
        for metric in ("llcr", "tenor_gap_months", "liquidity_months", "residual_mark_fraction"):
            reason = row.get(f"{metric}_null_reason") or "the park's economics are not given"
            collector.add(metric, (PARK, park, month), row.get(metric), missing=reason)
        collector.add(
            "credit_spread_bp",
            (PARK, park, month),
            _spread(spreads.of(operators.get(park)), month_end(month)),
            missing="no CDS spread of the operator in reference/credit_curves.csv by the month's end",
        )


# --- contracts ------------------------------------------------------------------------------------


def _share(frames: Frames, collector: Collector, closes: Sequence[Close]) -> None:
    months = _by_key(frames, "revenue_share.fct_share_month", "contract_id", "service_month")
    billed = _sums(
        frames, "metering.fct_lease_revenue_day", "contract_id", "service_date", ("billed_gpu_hours",),
        where=pl.col("customer_type") == "third_party",
    )  # fmt: skip
    tiers, gross = _top_rates(frames), _components(frames, "gross")
    ahead = _present_values(frames)
    aged = _past_due(frames)
    steps = _rate_steps(frames)
    agreed = _true_ups(frames)
    economics = optional(frames, "credit.fct_operator_economics_month")
    advances = {} if economics is None else _by_key(frames, "credit.fct_operator_economics_month", "park_id", "month")
    park_of = dict(need(frames, "core.dim_contract").select("contract_id", "park_id").iter_rows())
    for close in closes:
        entity, month = close.contract_id, close.posting_month
        key = (entity, month)
        row = months.get(key, {})
        share, base, rate = (row.get(name) for name in ("share_amount", "base_amount", "effective_rate"))
        nothing = "no share in the month"
        collector.add("share_accrued_amount", (CONTRACT, entity, month), share, missing=nothing)
        collector.add(
            "effective_take_fraction", (CONTRACT, entity, month), share, base, reason="no base", missing=nothing
        )
        collector.add(
            "marginal_rate_fraction", (CONTRACT, entity, month), tiers.get(key), missing="no tier took a slice"
        )
        collector.add(
            "months_to_step_months",
            (CONTRACT, entity, month),
            steps(close),
            missing="no further step by contract month",
        )
        collector.add(
            "share_per_gpu_hour",
            (CONTRACT, entity, month),
            share,
            billed.get(key, {}).get("billed_gpu_hours"),
            reason="no hours billed",
            missing=nothing,
        )
        collector.add(
            "true_up_balance_amount",
            (CONTRACT, entity, month),
            None if agreed.get(entity) else ZERO if row else None,
            missing="trued up in the year's last month" if agreed.get(entity) else nothing,
        )
        on_gross = gross.get(key)
        collector.add(
            "share_recut_on_gross_amount",
            (CONTRACT, entity, month),
            None if on_gross is None or rate is None else on_gross * rate,
            missing=nothing,
        )
        collector.add("forward_share_npv_amount", (CONTRACT, entity, month), ahead.get(key), missing="no months ahead")
        late, owed = aged.get(key, (None, None))
        collector.add("receivable_past_due_fraction", (CONTRACT, entity, month), late, owed, reason="nothing is owed")
        unrecouped = advances.get((park_of[entity], month), {}).get("unrecouped_advance_amount", ZERO)
        collector.add("unrecouped_advance_amount", (CONTRACT, entity, month), unrecouped)
        collector.add(
            "recoupment_coverage_ratio",
            (CONTRACT, entity, month),
            (share or ZERO) * 12,
            unrecouped,
            reason="no advance is outstanding",
        )


def _components(frames: Frames, component: str) -> dict[Key, Decimal]:
    parts = optional(frames, "revenue_share.fct_share_base_month")
    if parts is None:
        return {}
    rows = parts.filter(pl.col("component") == component).select("contract_id", "service_month", "amount")
    return {(contract, month): amount for contract, month, amount in rows.iter_rows() if amount is not None}


def _top_rates(frames: Frames) -> dict[Key, Decimal]:
    tiers = optional(frames, "revenue_share.fct_share_tier_month")
    if tiers is None:
        return {}
    rows = tiers.filter(pl.col("base_amount") > 0).sort("contract_id", "service_month", "tier_no")
    last = rows.unique(["contract_id", "service_month"], keep="last", maintain_order=True)
    return {(c, m): rate for c, m, rate in last.select("contract_id", "service_month", "rate").iter_rows()}


def _rate_steps(frames: Frames) -> Callable[[Close], int | None]:
    """Months from a close to the first contract month with another rate, by the latest version then known."""
    terms, tiers = optional(frames, "raw.share_terms"), optional(frames, "raw.share_tier")
    raw = optional(frames, "raw.contract")
    starts = {} if raw is None else dict(raw.select("contract_id", "service_commencement_date").iter_rows())

    def step(close: Close) -> int | None:
        if terms is None or tiers is None or close.contract_id not in starts:
            return None
        known = terms.filter(
            (pl.col("contract_id") == close.contract_id)
            & (pl.col("valid_from") <= close.month_end_date)
            & (pl.col("recorded_at") <= close.known_at)
        ).sort("valid_from", "recorded_at")
        if known.is_empty():
            return None
        rows = tiers.filter(
            (pl.col("contract_id") == close.contract_id)
            & (pl.col("amendment_id") == known["amendment_id"][-1])
            & (pl.col("axis") == "contract_month")
        )
        now = months_between(starts[close.contract_id], close.posting_month) + 1
        later = [first for first in rows["from_month"].drop_nulls().to_list() if first > now]
        return min(later) - now if later else None

    return step


def _true_ups(frames: Frames) -> dict[str, bool]:
    terms = optional(frames, "raw.share_terms")
    if terms is None or "true_up_frequency" not in terms.columns:
        return {}
    return {
        contract: frequency is not None
        for contract, frequency in terms.select("contract_id", "true_up_frequency").iter_rows()
    }


def _present_values(frames: Frames) -> dict[Key, Decimal]:
    values = optional(frames, "credit.fct_rate_sensitivity_month")
    if values is None:
        return {}
    rows = values.filter((pl.col("stream") == "share") & (pl.col("shock") == "parallel_0"))
    return {(c, m): v for c, m, v in rows.select("contract_id", "month", "present_value_amount").iter_rows()}


def _past_due(frames: Frames) -> dict[Key, tuple[Decimal, Decimal]]:
    """Past due and all that is open (positive items), by contract and month."""
    items = optional(frames, "credit.fct_receivable_item")
    if items is None:
        return {}
    rows = (
        items.filter(pl.col("open_amount") > 0)
        .group_by("contract_id", "as_of_month")
        .agg(late=pl.col("open_amount").filter(pl.col("days_past_due") > 0).sum(), owed=pl.col("open_amount").sum())
    )
    return {(c, m): (late or ZERO, owed) for c, m, late, owed in rows.iter_rows()}


def _backstop(frames: Frames, collector: Collector, closes: Sequence[Close]) -> None:
    hours = ("unsold_gpu_hours", "excluded_gpu_hours", "deductible_gpu_hours", "claim_gpu_hours", "claim_amount")
    months = _sums(frames, "backstop.fct_backstop_month", "contract_id", "service_month", hours)
    committed = _committed_value(frames)
    caps = _by_key(frames, "backstop.fct_backstop_cap_month", "contract_id", "service_month")
    worth = _base_case(frames)
    paid, lags = _claims_paid(frames)
    covenants = _tightest(frames)
    collateral = read_pledges(frames)
    events = RowsBy(optional(frames, "staging.stg_credit_events"))
    currencies = dict(need(frames, "core.dim_contract").select("contract_id", "currency_code").iter_rows())
    nothing = "no backstop in the month"
    for close in closes:
        entity, month = close.contract_id, close.posting_month
        key = (entity, month)
        row, cap, value = months.get(key, {}), caps.get(key, {}), worth.get(key, {})
        for metric in hours[:4]:
            collector.add(metric, (CONTRACT, entity, month), row.get(metric), missing=nothing)
        claim = row.get("claim_amount")
        collector.add("claims_accrued_amount", (CONTRACT, entity, month), claim, missing=nothing)
        collector.add("claims_paid_amount", (CONTRACT, entity, month), paid.get(key, ZERO))
        open_months = disputed_claim_months(close, events.of(entity), currencies[entity])
        disputed = sum(
            (
                own["claim_amount"] or ZERO
                for (who, when), own in months.items()
                if who == entity and f"{when:%Y-%m}" in open_months
            ),
            ZERO,
        )
        collector.add("claims_disputed_amount", (CONTRACT, entity, month), disputed)
        collector.add(
            "draw_rate_fraction",
            (CONTRACT, entity, month),
            claim,
            committed.get(key),
            reason="nothing committed",
            missing=nothing,
        )
        limit = cap.get("max_exposure_amount")
        collector.add("max_exposure_amount", (CONTRACT, entity, month), limit, missing=nothing)
        collector.add(
            "lifetime_cap_left_amount",
            (CONTRACT, entity, month),
            cap.get("lifetime_cap_left_amount"),
            missing="no lifetime cap",
        )
        before = caps.get((entity, add_months(month, -1)), {}).get("max_exposure_amount")
        collector.add(
            "commitment_growth_fraction",
            (CONTRACT, entity, month),
            None if limit is None or before is None else limit - before,
            before,
            reason="nothing before",
            missing="no month before",
        )
        for metric, column in (
            ("expected_exposure_amount", "present_value_amount"),
            ("potential_exposure_95_amount", "var_95_amount"),
            ("potential_exposure_99_amount", "var_99_amount"),
            ("break_even_occupancy_fraction", "break_even_occupancy_fraction"),
            ("wrong_way_multiplier", "wrong_way_multiplier"),
        ):
            collector.add(
                metric,
                (CONTRACT, entity, month),
                value.get(column),
                missing=value.get(f"{column}_null_reason") or "no months ahead",
            )
        lag = lags.get(key)
        collector.add(
            "claims_lag_days",
            (CONTRACT, entity, month),
            lag[0] if lag else None,
            lag[1] if lag else None,
            missing="no claim was paid in the month",
        )
        collector.add(
            "collateral_coverage_fraction",
            (CONTRACT, entity, month),
            pledged(collateral, close),
            limit,
            reason="nothing left to claim",
            missing=nothing,
        )
        collector.add(
            "off_balance_expected_loss_amount",
            (CONTRACT, entity, month),
            None,
            missing="a claim for unsold hours carries no third party's credit loss (ASC 326-20-15-2)",
        )
        room, countdown = covenants.get(key, (None, None))
        collector.add("covenant_headroom", (CONTRACT, entity, month), room, missing="no covenant could be measured")
        collector.add("covenant_breach_months", (CONTRACT, entity, month), countdown, missing="no headroom is falling")


def _committed_value(frames: Frames) -> dict[Key, Decimal]:
    months = optional(frames, "backstop.fct_backstop_month")
    out: dict[Key, Decimal] = defaultdict(lambda: ZERO)
    if months is not None:
        columns = ["contract_id", "service_month", "committed_gpu_hours", "buyback_price_per_gpu_hour"]
        for contract, month, hours, price in months.select(columns).iter_rows():
            out[contract, month] += hours * (price or ZERO)
    return out


def _base_case(frames: Frames) -> dict[Key, dict[str, Any]]:
    table = optional(frames, "credit.fct_backstop_distribution_month")
    if table is None:
        return {}
    rows = table.filter(pl.col("correlation_case") == "base")
    return {(row["contract_id"], row["month"]): row for row in rows.iter_rows(named=True)}


def _claims_paid(frames: Frames) -> tuple[dict[Key, Decimal], dict[Key, tuple[Decimal, Decimal]]]:
    """Claims paid by contract and month of payment, and (Σ days × amount, Σ amount) of those that name their month."""
    payments = optional(frames, "staging.stg_payments")
    paid: dict[Key, Decimal] = defaultdict(lambda: ZERO)
    lags: dict[Key, tuple[Decimal, Decimal]] = {}
    if payments is None:
        return paid, lags
    zones = {close.contract_id: close.time_zone for close in read_closes(need(frames, "intermediate.int_closes"))}
    latest = known_at(payments, ["park_id", "payment_id"], LAST_INSTANT)
    for row in latest.filter(pl.col("direction") == "paid").sort("payment_id").iter_rows(named=True):
        if row["contract_id"] not in zones:
            continue
        day = local_date(row["received_at"], zones[row["contract_id"]])
        key = (row["contract_id"], month_start(day))
        paid[key] += row["amount"]
        served = _named_month(row["remittance_reference"] or "")
        if served is not None:
            days, amount = lags.get(key, (ZERO, ZERO))
            lags[key] = (days + row["amount"] * (day - month_end(served)).days, amount + row["amount"])
    return paid, lags


def _named_month(reference: str) -> date | None:
    """The service month that a claim's reference names: the second part of contract:month:event:month."""
    parts = reference.split(":")
    if len(parts) < 3 or len(parts[1]) != len("2027-01"):
        return None
    return date.fromisoformat(f"{parts[1]}-01")


def _tightest(frames: Frames) -> dict[Key, tuple[float, float | None]]:
    """Least headroom relative to the threshold, and fewest months to a breach, by contract and month."""
    tests = optional(frames, "credit.fct_covenant_test_month")
    out: dict[Key, tuple[float, float | None]] = {}
    if tests is None:
        return out
    measured = tests.filter(pl.col("headroom").is_not_null() & (pl.col("threshold") != 0)).with_columns(
        relative=pl.col("headroom") / pl.col("threshold").abs()
    )
    for contract, month, room, countdown in (
        measured.group_by("contract_id", "month")
        .agg(pl.col("relative").min(), pl.col("months_to_breach").min())
        .iter_rows()
    ):
        out[contract, month] = (room, countdown)
    return out


def _credit(frames: Frames, collector: Collector, closes: Sequence[Close]) -> None:
    collections = _by_key(frames, "credit.fct_collection_metrics_month", "contract_id", "month")
    exposure = _by_key(frames, "credit.fct_exposure_month", "contract_id", "month")
    allowance = optional(frames, "credit.fct_allowance_rollforward_month")
    posted = (
        {}
        if allowance is None
        else {(row["contract_id"], row["month"]): row for row in allowance.filter("posted").iter_rows(named=True)}
    )
    for close in closes:
        entity, month = close.contract_id, close.posting_month
        key = (entity, month)
        row, owed, kept = collections.get(key, {}), exposure.get(key, {}), posted.get(key, {})
        for metric in ("dso_days", "receivables_turnover", "best_possible_dso_days"):
            collector.add(
                metric,
                (CONTRACT, entity, month),
                row.get(metric),
                missing=row.get(f"{metric}_null_reason") or "no receivable",
            )
        gross = owed.get("gross_amount")
        before = exposure.get((entity, add_months(month, -1)), {}).get("gross_amount", ZERO)
        outside = "the posted standard does not cover the receivable"
        collector.add(
            "allowance_to_receivable_fraction",
            (CONTRACT, entity, month),
            owed.get("allowance_amount"),
            gross,
            reason="nothing is owed",
        )
        collector.add(
            "expected_credit_loss_amount", (CONTRACT, entity, month), kept.get("closing_amount"), missing=outside
        )
        mean = None if gross is None else (gross + before) / 2
        collector.add(
            "cost_of_risk_fraction",
            (CONTRACT, entity, month),
            kept.get("provision_amount"),
            mean,
            reason="nothing is owed",
            missing=outside,
        )


def _concentrated(frames: Frames, collector: Collector) -> None:
    """Concentration of the programme's own receivables."""
    table = optional(frames, "credit.fct_exposure_month")
    if table is None:
        return
    for rows in table.partition_by("month", maintain_order=True):
        month: date = rows["month"][0]
        by_operator: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for operator, amount in rows.select("operator_id", "gross_amount").iter_rows():
            by_operator[operator] += amount
        total = sum((amount for amount in by_operator.values() if amount > 0), ZERO)
        large = sum((amount for amount in by_operator.values() if total and amount >= total / 10), ZERO)
        for metric, top in (
            ("receivable_top_customer_fraction", max(by_operator.values(), default=ZERO)),
            ("receivable_customers_of_ten_percent_fraction", large),
        ):
            collector.add(
                metric, (PROGRAMME, "programme", month), top / total if total else None, missing="nothing is owed"
            )


# --- issuer ---------------------------------------------------------------------------------------


def _issuer(frames: Frames, collector: Collector) -> None:
    quarters, facts = optional(frames, "issuer.fct_issuer_quarter"), optional(frames, "issuer.fct_issuer_fact")
    if quarters is None:
        return
    said = (
        {}
        if facts is None
        else {
            (row["issuer_id"], row["fiscal_period_end"], row["item"]): row["value"]
            for row in facts.filter(pl.col("value").is_not_null()).iter_rows(named=True)
        }
    )
    before: dict[str, Any] = {}
    for row in quarters.sort("issuer_id", "fiscal_period_end").iter_rows(named=True):
        issuer, month = row["issuer_id"], month_start(row["fiscal_period_end"])
        add = _adder(collector, issuer, month)
        fact = {
            item: said.get((issuer, row["fiscal_period_end"], item))
            for item in ("customer_advances_received", "gains_on_equity_securities")
        }
        add("dso_days", row["dso_days"], row["dso_days_null_reason"])
        add("receivables_turnover", row["receivables_turnover"], row["receivables_turnover_null_reason"])
        add("best_possible_dso_days", None, "what is not yet due is not filed")
        add("receivable_top_customer_fraction", row["largest_receivable_customer_fraction"], "not found in a filing")
        add(
            "receivable_customers_of_ten_percent_fraction",
            row["receivable_customers_of_ten_percent_fraction"],
            "not found in a filing",
        )
        known = [
            row[name]
            for name in ("guarantees", "ai_cloud_commitments", "third_party_lease_commitments")
            if row[name] is not None
        ]
        owed, revenue, equity = sum(known, Decimal(0)), row["revenue"], row["equity"]
        days = row["days_in_quarter"]
        add("commitments_to_equity_fraction", owed / equity if known and equity else None, "not found in a filing")
        add(
            "commitments_to_revenue_fraction",
            owed / (revenue * 365 / days) if known and revenue and days else None,
            "not found in a filing",
        )
        earlier, now = before.get(issuer), row["ai_cloud_commitments"]
        add(
            "commitment_growth_fraction",
            now / earlier - 1 if now is not None and earlier else None,
            "no filing of the quarter before names it",
        )
        before[issuer] = now
        escrow, guarantees = row["guarantee_escrow"], row["guarantees"]
        add(
            "collateral_coverage_fraction",
            escrow / guarantees if escrow is not None and guarantees else None,
            "not found in a filing",
        )
        add("collateral_coverage_ai_cloud_fraction", 0.0 if now is not None else None, "no AI-cloud agreements filed")
        advances = fact["customer_advances_received"]
        add(
            "customer_advances_received_usd",
            None if advances is None else advances * 1_000_000,
            "not found in a filing",
        )
        gains, income = fact["gains_on_equity_securities"], row["net_income"]
        add(
            "equity_gain_to_income_fraction",
            gains / income if gains is not None and income else None,
            "not found in a filing",
        )
        allowance, receivable = row["allowance"], row["accounts_receivable"]
        add(
            "allowance_to_receivable_fraction",
            allowance / receivable if allowance is not None and receivable else None,
            "no allowance is filed",
        )


def _adder(collector: Collector, issuer: str, month: date) -> Callable[[str, Number | None, str | None], None]:
    """Adds an issuer's figure, which is whole already: never summed into the programme."""

    def add(metric: str, value: Number | None, reason: str | None) -> None:
        collector.rows.append(
            {
                "metric": metric,
                "entity_level": ISSUER_LEVEL,
                "entity_id": issuer,
                "month": month,
                "value": None if value is None else float(value),
                "null_reason": reason if value is None else None,
                "evidence_grade": collector.grade_of(metric, ISSUER_LEVEL, issuer),
                "currency_code": "USD" if BY_NAME[metric].unit == "USD" else None,
            }
        )

    return add
