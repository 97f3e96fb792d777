# ruff: noqa: PLR0911, PLR0912, PLR0915, PLR0917 - each function reads down a rule as the contract does
"""The contract rules once more, in Fractions and day by day, straight from the raw rows: what the dbt project must give to the cent.

Written from the rules (DECISIONS.md of the dbt project names them), not from the SQL: it walks over days and hours, where the models
work on intervals. Covers what a random contract of `random_contracts.py` may use. Amounts are Fractions until they are rounded.
"""

from __future__ import annotations

import calendar
import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

Row = dict[str, Any]
DAY = timedelta(days=1)
# What the operator's statements tell of each guaranteed payment, by how the backstop settles.
PAYMENTS = {"debt_service_shortfall": "debt_service", "lease_payment": "lease_payment"}


@cache
def rows(con: duckdb.DuckDBPyConnection, table: str) -> list[Row]:
    """All rows of a raw table; of telemetry what the rules read. Read once: the tests write nothing."""
    columns = (
        "tranche_id, gpu_id, sampled_at, interval_start_at, gpu_count, xid_code, recorded_at"
        if table == "gpu_telemetry"
        else "*"
    )
    result = con.execute(f"SELECT {columns} FROM raw.{table}")
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


@cache
def rows_by_park(con: duckdb.DuckDBPyConnection, table: str) -> dict[str | None, list[Row]]:
    """The same by the park that they are of; under None what is of no park: rates and policies."""
    by_contract = {row["contract_id"]: row["park_id"] for row in rows(con, "contract")}
    by_tranche = {row["tranche_id"]: row["park_id"] for row in rows(con, "tranche")}
    found: dict[str | None, list[Row]] = defaultdict(list)
    for row in rows(con, table):
        park_id = row.get("park_id") or by_contract.get(row.get("contract_id")) or by_tranche.get(row.get("tranche_id"))
        found[park_id].append(row)
    return found


def month_of(day: date) -> date:
    return day.replace(day=1)


def next_month(month: date) -> date:
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)


@cache
def days_of(month: date) -> list[date]:
    return [month.replace(day=n) for n in range(1, calendar.monthrange(month.year, month.month)[1] + 1)]


def months_between(first: date, last: date) -> int:
    return (last.year - first.year) * 12 + last.month - first.month


def midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


@cache
def fiscal_year(day: date) -> int:
    """NVIDIA's: it ends on the last Sunday of January and is named by that year."""
    last = date(day.year, 1, 31)
    while last.weekday() != 6:
        last -= DAY
    return day.year if day <= last else day.year + 1


def hours_between(start: datetime, end: datetime) -> Fraction:
    """Elapsed hours of real time, not of the clock on the wall."""
    return Fraction(int((end.timestamp() - start.timestamp()) * 1_000_000), 3_600_000_000)


def half_away(amount: Fraction, digits: int = 2) -> Fraction:
    scaled = abs(amount) * 10**digits
    whole = (2 * scaled + 1) // 2
    return Fraction(whole, 10**digits) * (1 if amount >= 0 else -1)


def largest_remainder(total: Fraction, weights: dict[str, Fraction], digits: int = 2) -> dict[str, Fraction]:
    unit = Fraction(1, 10**digits)
    whole = sum(weights.values())
    quotas = {key: total * weight / whole / unit for key, weight in weights.items()}
    floors = {key: quota.numerator // quota.denominator for key, quota in quotas.items()}
    missing = int(total / unit) - sum(floors.values())
    for key in sorted(quotas, key=lambda k: (floors[k] - quotas[k], k))[:missing]:
        floors[key] += 1
    return {key: count * unit for key, count in floors.items()}


@dataclass
class Block:
    base: Fraction = Fraction(0)
    tier_share: Fraction = Fraction(0)
    share: Fraction = Fraction(0)
    invoiced: Fraction = Fraction(0)
    accrued: Fraction = Fraction(0)
    recouped: Fraction = Fraction(0)
    true_up: Fraction = Fraction(0)
    kept: Fraction = Fraction(0)
    weights: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    lines: dict[str | None, Fraction] = field(default_factory=dict)
    by_advance: dict[str, Fraction] = field(default_factory=dict)


class Books:
    """All raw rows of a park as known at one instant: no contract reads those of another park, unless it counts all cloud."""

    def __init__(self, con: duckdb.DuckDBPyConnection, known_at: datetime, park_id: str) -> None:
        self.park_id = park_id
        self.known_at = known_at
        self._billed: dict[tuple[Any, ...], Fraction] = {}
        self._out: dict[tuple[str, date], tuple[dict[str, Fraction], Fraction, Fraction, Fraction]] = {}
        self.tables = {
            name: [*rows_by_park(con, name)[park_id], *rows_by_park(con, name)[None]]
            for name in (
                "leases",
                "lease_usage",
                "lease_adjustments",
                "payments",
                "credit_events",
                "contract",
                "contract_version",
                "share_terms",
                "share_tier",
                "share_activation",
                "token_advance",
                "backstop_terms",
                "backstop_ramp",
                "backstop_price",
                "tranche",
                "park",
                "fx_rate",
                "gpu_telemetry",
                "policy",
                "operator_fact",
                "hardware_value",
                "backstop_termination",
            )
        }
        if any(terms["base_scope"] == "all_cloud" for terms in self.tables["share_terms"]):
            [operator_id] = [park["operator_id"] for park in self.tables["park"]]
            for other in rows(con, "park"):
                if other["operator_id"] == operator_id and other["park_id"] != park_id:
                    for name in ("park", "leases", "lease_usage", "lease_adjustments", "payments"):
                        self.tables[name] += rows_by_park(con, name)[other["park_id"]]
        self.zones = {park["park_id"]: ZoneInfo(park["time_zone"]) for park in self.tables["park"]}
        self.leases = self._lease_intervals()
        self.usage = self._known("lease_usage", "lease_id", "interval_start_at")
        self.adjustments = self._known("lease_adjustments", "adjustment_id")
        self.payments = self._known("payments", "payment_id")
        self.events = self._known("credit_events", "event_id")

    def _known(self, table: str, *key: str) -> list[Row]:
        seen: dict[tuple[Any, ...], Row] = {}
        for row in sorted(
            self.tables[table], key=lambda r: (r["recorded_at"], r.get("version") or 0, r["content_hash"])
        ):
            if row["recorded_at"] <= self.known_at:
                seen[(row["park_id"], *(row[name] for name in key))] = row
        return list(seen.values())

    def _lease_intervals(self) -> list[Row]:
        by_lease: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self._known("leases", "lease_id", "version"):
            by_lease[row["park_id"], row["lease_id"]].append(row)
        intervals = []
        for versions in by_lease.values():
            versions.sort(key=lambda r: r["version"])
            for number, version in enumerate(versions):
                end = min([version["ends_at"], *(later["starts_at"] for later in versions[number + 1 :])])
                if end > version["starts_at"]:
                    intervals.append({**version, "from": version["starts_at"], "until": end})
        return intervals

    def contract(self, contract_id: str) -> Row:
        return next(row for row in self.tables["contract"] if row["contract_id"] == contract_id)

    def version_on(self, contract_id: str, instrument: str, day: date) -> str | None:
        known = [
            row
            for row in self.tables["contract_version"]
            if row["contract_id"] == contract_id
            and row["instrument"] == instrument
            and row["recorded_at"] <= self.known_at
            and row["valid_from"] <= day
        ]
        return (
            max(known, key=lambda r: (r["valid_from"], r["recorded_at"], r["amendment_id"]))["amendment_id"]
            if known
            else None
        )

    def ending(self, contract: Row, survives: bool = False) -> date | None:
        """The first day that is out: of a termination, or of an insolvency that is not survived."""
        kinds = ("termination",) if survives else ("termination", "insolvency")
        return min((day for kind in kinds for day, _ in self._endings(contract, kind)), default=None)

    def _endings(self, contract: Row, kind: str) -> list[tuple[date, Row]]:
        zone = self.zones[contract["park_id"]]
        found = [e for e in self.events if e["kind"] == kind and e["contract_id"] in (None, contract["contract_id"])]
        found.sort(key=lambda e: e["effective_at"])
        return [(event["effective_at"].astimezone(zone).date(), event) for event in found]

    def told(self, contract: Row, item: str) -> dict[date, Fraction]:
        """DECISIONS 45: what the operator's statements tell of an item, by month; each day's figure as last published before today."""
        today = self.known_at.astimezone(self.zones[contract["park_id"]]).date()
        by_day: dict[date, Fraction] = {}
        for row in sorted(self.tables["operator_fact"], key=lambda r: r["published_date"]):
            if (row["contract_id"], row["item"]) == (contract["contract_id"], item) and row["published_date"] < today:
                by_day[row["as_of_date"]] = Fraction(row["amount"])
        by_month: dict[date, Fraction] = defaultdict(Fraction)
        for day, amount in by_day.items():
            by_month[month_of(day)] += amount
        return dict(by_month)

    def cost_of(self, contract: Row, month: date) -> Fraction | None:
        """What running cost in the month; until it is told, in the last month of which it is."""
        costs = self.told(contract, "operating_cost")
        return costs[max(m for m in costs if m <= month)] if any(m <= month for m in costs) else None

    # ---- billing -------------------------------------------------------------------------------------------------

    def billed_hours(self, lease: Row, day: date) -> Fraction:
        key = (lease["park_id"], lease["lease_id"], lease["version"], day)
        if key not in self._billed:
            self._billed[key] = self._billed_hours(lease, day)
        return self._billed[key]

    def _billed_hours(self, lease: Row, day: date) -> Fraction:
        if lease["status"] not in ("active", "ended"):
            return Fraction(0)
        zone = self.zones[lease["park_id"]]
        if lease["pricing"] == "metered":
            return sum(
                (
                    Fraction(use["gpu_hours"])
                    for use in self.usage
                    if use["lease_id"] == lease["lease_id"]
                    and use["park_id"] == lease["park_id"]
                    and lease["from"] <= use["interval_start_at"] < lease["until"]
                    and use["interval_start_at"].astimezone(zone).date() == day
                ),
                Fraction(0),
            )
        start, end = max(lease["from"], midnight(day, zone)), min(lease["until"], midnight(day + DAY, zone))
        return lease["gpu_count"] * hours_between(start, end) if start < end else Fraction(0)

    def version_at_end_of(self, park_id: str, lease_id: str, day: date) -> Row | None:
        end = midnight(day + DAY, self.zones[park_id])
        mine = sorted(
            (r for r in self.leases if r["lease_id"] == lease_id and r["park_id"] == park_id), key=lambda r: r["from"]
        )
        begun = [row for row in mine if row["from"] < end]
        return begun[-1] if begun else (mine[0] if mine else None)

    def rate(self, terms: Row, contract: Row, currency: str, month: date) -> Fraction:
        target = contract["currency_code"]
        if currency == target:
            return Fraction(1)
        zone = self.zones[contract["park_id"]]
        last = days_of(month)[-1]
        if terms["fx_fix"] == "invoice_date":
            last += timedelta(days=terms["statement_due_days"])
        last = min(last, (self.known_at - timedelta(microseconds=1)).astimezone(zone).date())
        direct = [r for r in self.tables["fx_rate"] if (r["from_currency"], r["to_currency"]) == (currency, target)]
        inverse = [r for r in self.tables["fx_rate"] if (r["from_currency"], r["to_currency"]) == (target, currency)]
        quotes = [(r["rate_date"], Fraction(r["rate"])) for r in direct] or [
            (r["rate_date"], 1 / Fraction(r["rate"])) for r in inverse
        ]
        if terms["fx_fix"] == "average":
            inside = [rate for day, rate in quotes if month <= day <= last]
            return sum(inside, Fraction(0)) / len(inside)
        day, rate = max((day, rate) for day, rate in quotes if day <= last)
        assert day >= last - timedelta(days=7)
        return rate

    # ---- share ---------------------------------------------------------------------------------------------------

    def supported(self, contract: Row, lease: Row, terms: Row) -> bool:
        kinds = {
            "third_party_only": {"third_party"},
            "incl_related": {"third_party", "related"},
            "incl_vendor_own_use": {"third_party", "related", "vendor_own_use"},
        }[terms["customer_scope"]]
        tranche = next((t for t in self.tables["tranche"] if t["tranche_id"] == lease["tranche_id"]), None)
        owner = tranche["contract_id"] if tranche and tranche["contract_id"] else lease["contract_id"]
        if lease["customer_type"] not in kinds:
            return False
        if (
            terms["base_scope"] == "all_cloud"
        ):  # DECISIONS 46: whichever park of the operator; rows of no others are here
            return True
        is_here: bool = lease["park_id"] == contract["park_id"]
        return is_here and (terms["base_scope"] == "whole_site" or owner == contract["contract_id"])

    def line_of(self, park_id: str, lease_id: str) -> str:
        """A lease as lines name it: that of another park by both names."""
        return lease_id if park_id == self.park_id else f"{park_id}/{lease_id}"

    def day_revenue(
        self, contract: Row, terms: Row, day: date
    ) -> tuple[dict[str, Fraction], Fraction, list[tuple[Fraction, Fraction]]]:
        """Base by lease, eligible hours, and (hours, translated price) pairs of one day."""
        by_lease: dict[str, Fraction] = defaultdict(Fraction)
        hours, priced = Fraction(0), []
        month = month_of(day)
        # EBITDA is what is billed, net, less what running costs, which is no lease's.
        measure = "net_billed" if terms["base_measure"] == "ebitda" else terms["base_measure"]
        named = set(terms["exclusions"] or [])
        for lease in self.leases:
            if not self.supported(contract, lease, terms):
                continue
            billed = self.billed_hours(lease, day)
            if billed:
                price = Fraction(lease["price_per_gpu_hour"]) * self.rate(
                    terms, contract, lease["currency_code"], month
                )
                hours += billed
                priced.append((billed, price))
                if measure != "cash_collected":
                    by_lease[self.line_of(lease["park_id"], lease["lease_id"])] += billed * price
        for adjustment in self.adjustments:
            if adjustment["service_date"] != day:
                continue
            lease = self.version_at_end_of(adjustment["park_id"], adjustment["lease_id"], day)
            if lease is None or not self.supported(contract, lease, terms):
                continue
            kind = adjustment["kind"]
            amount = Fraction(adjustment["amount"]) * self.rate(terms, contract, adjustment["currency_code"], month)
            name = {
                "credit": "credits_refunds",
                "refund": "credits_refunds",
                "sla_penalty": "sla_penalties",
                "breakage_fee": "breakage_fees",
            }.get(kind, kind)
            if kind in ("sales_tax", "power_passthrough", "other_revenue", "storage_network_resale", "breakage_fee"):
                factor = (0 if measure == "cash_collected" else 1) - (1 if name in named else 0)
            elif measure == "cash_collected":
                factor = 0
            elif kind == "bad_debt":
                factor = 1 if name in named else 0
            else:
                factor = 1 if measure == "net_billed" or name in named else 0
            by_lease[self.line_of(adjustment["park_id"], adjustment["lease_id"])] += factor * amount
        if measure == "cash_collected":
            for payment in self.payments:
                zone = self.zones[payment["park_id"]]
                if payment["direction"] != "tenant_received" or payment["received_at"].astimezone(zone).date() != day:
                    continue
                lease = self.version_at_end_of(payment["park_id"], payment["lease_id"], day)
                if lease is not None and self.supported(contract, lease, terms):
                    by_lease[self.line_of(payment["park_id"], payment["lease_id"])] += Fraction(
                        payment["amount"]
                    ) * self.rate(terms, contract, payment["currency_code"], month)
        return by_lease, hours, priced

    def last_share_day(self, contract_id: str) -> date:
        contract = self.contract(contract_id)
        ending = self.ending(contract)
        day: date = min([contract["expiry_date"], *([ending - DAY] if ending else [])])
        while day > contract["service_commencement_date"] and not self.terms(
            contract_id, self.version_on(contract_id, "revenue_share", day) or ""
        ):
            day -= DAY  # a version without terms ends the share
        return day

    def share_months(self, contract_id: str, last_month: date) -> dict[date, dict[str, Block]]:
        contract = self.contract(contract_id)
        start, last_day = contract["service_commencement_date"], self.last_share_day(contract_id)
        states: dict[str, dict[str, Any]] = defaultdict(
            lambda: {"carry": Fraction(0), "base": Fraction(0), "share": Fraction(0), "accrued": {}}
        )
        result: dict[date, dict[str, Block]] = {}
        month = month_of(start)
        while month <= last_month:
            segments: list[tuple[str, list[date]]] = []
            for day in days_of(month):
                version = self.version_on(contract_id, "revenue_share", day) if start <= day <= last_day else None
                if version is None:
                    continue
                if not segments or segments[-1][0] != version:
                    segments.append((version, []))
                segments[-1][1].append(day)
            blocks: dict[str, Block] = {}
            named = {t["share_id"] for version, _ in segments for t in self.terms(contract_id, version)}
            for share_id in sorted(named):
                mine = [
                    (next(t for t in self.terms(contract_id, version) if t["share_id"] == share_id), days)
                    for version, days in segments
                    if any(t["share_id"] == share_id for t in self.terms(contract_id, version))
                ]
                blocks[share_id] = self._block_month(contract, mine, month, states[share_id], start, last_day)
            if blocks:
                result[month] = blocks
            month = next_month(month)
        return result

    @cache  # noqa: B019
    def terms(self, contract_id: str, version: str) -> tuple[Row, ...]:
        return tuple(
            t for t in self.tables["share_terms"] if t["contract_id"] == contract_id and t["amendment_id"] == version
        )

    @cache  # noqa: B019
    def supply(self, contract_id: str, month: date) -> tuple[Fraction, Fraction, Fraction]:
        """Installed, available and leased GPU-hours of the contract's tranches in the month."""
        zone = self.zones[self.contract(contract_id)["park_id"]]
        installed = available = leased = Fraction(0)
        for tranche in self.tables["tranche"]:
            if tranche["contract_id"] != contract_id or not tranche["energised_date"]:
                continue
            for day in days_of(month):
                if day >= tranche["energised_date"]:
                    hours = tranche["gpu_count"] * hours_between(midnight(day, zone), midnight(day + DAY, zone))
                    installed += hours
                    available += hours - self.outages(tranche, day, zone)[3]
            start, end = midnight(month, zone), midnight(next_month(month), zone)
            for lease in self.leases:
                low, high = max(lease["from"], start), min(lease["until"], end)
                if (
                    lease["tranche_id"] == tranche["tranche_id"]
                    and lease["status"] in ("active", "ended")
                    and low < high
                ):
                    leased += lease["gpu_count"] * hours_between(low, high)
        return installed, available, leased

    def _is_active(
        self,
        contract: Row,
        terms: Row,
        month: date,
        state: dict[str, Any],
        measures: dict[str, Fraction],
        *,
        is_test: bool,
    ) -> bool:
        criteria = [
            c
            for c in self.tables["share_activation"]
            if (c["contract_id"], c["share_id"], c["amendment_id"])
            == (contract["contract_id"], terms["share_id"], terms["amendment_id"])
        ]
        holds = True
        if is_test:
            state.setdefault("measures", {})[month] = measures
        for criterion in criteria if is_test else []:
            failed = state.setdefault("criteria", {}).get(criterion["criterion_no"], 0)
            oldest = month
            for _ in range(criterion["test_window_months"] - 1):
                oldest = (oldest - DAY).replace(day=1)
            values = [
                self._measure(contract, criterion["metric"], m, past)
                for m, past in state["measures"].items()
                if m >= oldest
            ]
            seen = [v for v in values if v is not None]
            passes = not seen or _compare(
                sum(seen, Fraction(0)) / len(seen), criterion["operator"], Fraction(criterion["value"])
            )
            failed = 0 if passes else failed + 1
            state["criteria"][criterion["criterion_no"]] = failed
            holds = holds and failed <= criterion["cure_months"]
        return holds

    def _measure(self, contract: Row, metric: str, month: date, measures: dict[str, Fraction]) -> Fraction | None:
        """What a full month measured, whichever terms held in it."""
        installed, available, leased = self.supply(contract["contract_id"], month)
        if metric == "occupancy":
            return leased / available if available else None
        if metric == "availability":
            return available / installed if installed else None
        if metric == "price_per_gpu_hour":
            return measures["revenue"] / measures["hours"] if measures["hours"] else None
        if metric in ("installed_gpu_hours", "leased_gpu_hours"):
            return installed if metric == "installed_gpu_hours" else leased
        if metric == "dscr":  # DECISIONS 48: a month that lacks one of both is none to test
            cash, due = (self.told(contract, item).get(month) for item in ("cash_for_debt_service", "debt_service_due"))
            return None if cash is None or not due else cash / due
        return measures[metric]

    def _block_month(
        self,
        contract: Row,
        segments: list[tuple[Row, list[date]]],
        month: date,
        state: dict[str, Any],
        start: date,
        last_day: date,
    ) -> Block:
        block = Block()
        month_days = len(days_of(month))
        parts: list[Row] = []
        for terms, days in segments:
            part = Fraction(len(days), month_days)
            revenue_by_day: dict[date, Fraction] = {}
            hours, priced = Fraction(0), []
            is_ebitda = terms["base_measure"] == "ebitda"
            cost = self.cost_of(contract, month) if is_ebitda else Fraction(0)
            for day in days:
                by_lease, day_hours, day_priced = self.day_revenue(contract, terms, day)
                # DECISIONS 45: while no cost is told, nothing is earned.
                for lease_id, amount in by_lease.items() if cost is not None else ():
                    block.weights[lease_id] += amount
                revenue_by_day[day] = (
                    Fraction(0) if cost is None else sum(by_lease.values(), Fraction(0)) - cost / month_days
                )
                hours += day_hours
                priced += day_priced
            tiers = sorted(
                (
                    t
                    for t in self.tables["share_tier"]
                    if (t["contract_id"], t["share_id"], t["amendment_id"])
                    == (contract["contract_id"], terms["share_id"], terms["amendment_id"])
                ),
                key=lambda t: t["tier_no"],
            )
            minimum = None
            if terms["minimum_amount"] is not None and terms["minimum_period"] == "month":
                minimum = Fraction(terms["minimum_amount"]) * part
            is_capped = terms["period_cap_amount"] is not None and terms["period_cap_period"] == "month"
            parts.append(
                {
                    "month": month,
                    "days": days,
                    "terms": terms,
                    "tiers": tiers,
                    "revenue": sum(revenue_by_day.values(), Fraction(0)),
                    "revenue_by_day": revenue_by_day,
                    "hours": hours,
                    "priced": priced,
                    "minimum": minimum,
                    "cap": Fraction(terms["period_cap_amount"]) * part if is_capped else None,
                }
            )
        last_terms = segments[-1][0]
        is_cut_short = sum(len(days) for _, days in segments) < month_days
        is_test = not (is_cut_short and not state.get("started"))
        measures = {
            "revenue": sum((p["revenue"] for p in parts), Fraction(0)),
            "hours": sum((p["hours"] for p in parts), Fraction(0)),
        }

        def add_up_bases() -> None:
            block.base = measures["base"] = sum((p["base"] for p in parts), Fraction(0))

        # DECISIONS 18: a natural breakpoint takes the rate at what was paid before the segment; where the month as a whole is looked at,
        # all bases come first, at what was paid before the month.
        first_all_bases = not any(self._has_breakpoint_of_share_paid(p) for p in parts) or self._looks_at_month(
            contract, last_terms, parts
        )
        if first_all_bases:
            for p in parts:
                self._lay_base(contract, p, block, state, state["share"])
            add_up_bases()
        is_active = self._is_active(contract, last_terms, month, state, measures, is_test=is_test)
        state["started"] = True
        year = self._year(contract, {"true_up_frequency": "contract_year"}, month)[0]
        if state.get("credit", (None, 0))[0] != year:
            state["credit"] = (year, Fraction(0))
        total, capped, cap = Fraction(0), Fraction(0), None
        for p in parts:
            if not first_all_bases:
                self._lay_base(contract, p, block, state, state["share"] + total)
            terms, minimum = p["terms"], p["minimum"]
            p["is_active"] = is_active
            context = {
                "month_no": months_between(month_of(contract["service_commencement_date"]), month) + 1,
                "days": p["days"],
                "base": p["base"],
                "before": p["base_before"],
                "after": p["base_before"] + p["base"],
                "month_after": state["base"],
                "revenue_by_day": p["revenue_by_day"],
                "revenue": p["revenue"],
                "priced": p["priced"],
                "month_base": measures.get("base"),
                "occupancy": lambda: self.supply(contract["contract_id"], month)[1:],
                "month_hours": measures["hours"],
                "paid_before_month": state["share"],
                "paid": state["share"] + total,
            }
            share = self._tier_share(p["tiers"], terms["combine"], context)
            block.tier_share += share
            if not is_active:
                share, minimum = Fraction(0), None
            if minimum is not None and terms["share_basis"] == "pct_above_breakpoint":
                share += minimum
            elif minimum is not None:
                top_up, credit = max(Fraction(0), minimum - share), state["credit"][1]
                if terms["minimum_creditable"]:
                    used = min(credit, max(Fraction(0), share - minimum))
                    state["credit"] = (year, credit + top_up - used)
                    share -= used
                share += top_up
            total += share
            if p["cap"] is not None:
                capped += share
                cap = (cap or Fraction(0)) + p["cap"]
        add_up_bases()
        total = self._long_periods(
            contract, last_terms, month, state, total, start, last_day, capped, cap, is_active=is_active
        )
        digits = contract["minor_unit_digits"]
        block.accrued = half_away(total, digits)
        block.true_up = block.kept = state["true_up"]
        if block.true_up > 0:  # what the lifetime cap leaves of it: the month was earned before
            block.kept = max(Fraction(0), total - state["month_alone"])
        state["accrued"][month] = block.accrued
        state["share"] += block.accrued
        gross = total
        block.share = block.accrued
        for advance in self._advances(contract, last_terms["share_id"], segments[-1][1]):
            if advance["recoup_order"] == "from_share":
                amount = self._recoup(state, advance, gross)
                block.recouped += amount
                total -= amount
                block.share -= half_away(amount, digits)
        advances = state.setdefault("advances", {})
        block.recouped = Fraction(0)
        for key, (booked, running) in advances.items():
            block.recouped += half_away(running, digits)
            block.by_advance[key] = half_away(running, digits)
            advances[key] = (booked + half_away(running, digits), Fraction(0))
        block.invoiced = block.share
        if last_terms["gross_up"] and last_terms["withholding_tax_rate"]:
            block.invoiced = half_away(total / (1 - Fraction(last_terms["withholding_tax_rate"])), digits)
        weights = {k: w for k, w in block.weights.items() if w}
        if sum(weights.values(), Fraction(0)) == 0:
            block.lines = {None: block.share}
        else:
            block.lines = dict(largest_remainder(block.share, weights, digits))
        block.lines = {k: v for k, v in block.lines.items() if v}
        return block

    @staticmethod
    def _has_breakpoint_of_share_paid(part: Row) -> bool:
        terms = part["terms"]
        is_natural = terms["share_basis"] == "pct_above_breakpoint" and terms["breakpoint_amount"] is None
        return bool(
            is_natural
            and part["minimum"] is not None
            and any(t["axis"] == "cumulative_share_paid" for t in part["tiers"])
        )

    def _looks_at_month(self, contract: Row, last_terms: Row, parts: list[Row]) -> bool:
        """Whether the share asks for the month as a whole: its price, its cumulative base, or a test of its base."""
        of_base = {"price_per_gpu_hour", "cumulative_base"}
        keys = (contract["contract_id"], last_terms["share_id"], last_terms["amendment_id"])
        return any(t["axis"] in of_base and t["application"] == "cliff" for p in parts for t in p["tiers"]) or any(
            c["metric"] == "base" and (c["contract_id"], c["share_id"], c["amendment_id"]) == keys
            for c in self.tables["share_activation"]
        )

    def _lay_base(self, contract: Row, part: Row, block: Block, state: dict[str, Any], paid: Fraction) -> None:
        """The base of a segment: floor or breakpoint, what is carried, and what advances take of it; `paid` is the share to date."""
        terms, carried = part["terms"], state["carry"]
        base = part["revenue"] + carried
        breakpoint_amount = Fraction(0)
        state["carry"] = Fraction(0)
        basis = terms["share_basis"]
        entering = base
        part["floor"] = Fraction(terms["floor_price_per_gpu_hour"] or 0) * part["hours"]
        if basis == "pct_above_floor":
            base = max(Fraction(0), base - part["floor"])
        elif basis == "pct_above_breakpoint":
            if terms["breakpoint_amount"] is not None:
                share_of_month = Fraction(len(part["days"]), len(days_of(part["month"])))
                breakpoint_amount = Fraction(terms["breakpoint_amount"]) * share_of_month
            elif part["minimum"] is not None:
                rate = self._breakpoint_rate(
                    part["tiers"], terms["combine"], contract, part["month"], part["days"][0], state["base"], paid
                )
                breakpoint_amount = part["minimum"] / rate if rate else max(Fraction(0), base)
            base = max(Fraction(0), base - breakpoint_amount)
        elif base < 0 and terms["negative_base"] == "carry_forward":
            state["carry"], base = base, Fraction(0)
            entering = base
        taken = Fraction(0)
        for advance in self._advances(contract, terms["share_id"], part["days"]):
            if advance["recoup_order"] != "from_share":
                amount = self._recoup(state, advance, base)
                block.recouped += amount
                taken += amount if advance["recoup_order"] == "before_share" else 0
        part |= {
            "entering": entering,
            "breakpoint": breakpoint_amount,
            "taken": taken,
            "base": base - taken,
            "base_before": state["base"],
        }
        state["base"] += part["base"]
        state.setdefault("members", []).append(part)

    def _advances(self, contract: Row, share_id: str, days: list[date]) -> list[Row]:
        version = self.version_on(contract["contract_id"], "token_advances", days[-1])
        return [
            a
            for a in self.tables["token_advance"]
            if (a["contract_id"], a["amendment_id"], a["share_id"]) == (contract["contract_id"], version, share_id)
            and a["grant_date"] <= days[-1]
            and (a["expiry_date"] is None or a["expiry_date"] >= days[0])
        ]

    def advance_entries(self, contract_id: str, last_month: date) -> dict[tuple[str, date], Fraction]:
        """What grants of advances, those given up, and interest on them should stand at by the end of `last_month`."""
        end = days_of(last_month)[-1]
        entries: dict[tuple[str, date], Fraction] = defaultdict(Fraction)
        recouped: dict[str, Fraction] = defaultdict(Fraction)
        recouped_by_month: dict[str, dict[date, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
        for month, blocks in self.share_months(contract_id, last_month).items():
            for block in blocks.values():
                for advance_id, amount in block.by_advance.items():
                    recouped[advance_id] += amount
                    recouped_by_month[advance_id][month] += amount
        known = {
            day: version
            for day in sorted({r["valid_from"] for r in self.tables["contract_version"] if r["valid_from"] <= end})
            if (version := self.version_on(contract_id, "token_advances", day))
        }
        # From the day on which a version comes into force: on days of other instruments it only goes on.
        versions = [next(same) for _, same in groupby(known.items(), key=itemgetter(1))]
        listed = {
            version: [
                a
                for a in self.tables["token_advance"]
                if (a["contract_id"], a["amendment_id"]) == (contract_id, version) and a["grant_date"] <= end
            ]
            for _, version in versions
        }
        for advance_id in {a["advance_id"] for advances in listed.values() for a in advances}:
            holders = [(n, a) for n, (_, v) in enumerate(versions) for a in listed[v] if a["advance_id"] == advance_id]
            number, advance = holders[-1]
            price = 1 if advance["unit"] == "USD" else Fraction(advance["conversion_price"])
            principal = Fraction(advance["face_amount"]) * price
            kind = "grant_cash_advance" if advance["advance_type"] == "cash" else "grant_advance"
            ends = [max(advance["expiry_date"] + DAY, versions[number][0])] if advance["expiry_date"] else []
            ends += [day for day, _ in versions[number + 1 :]][:1]
            granted = min(a["grant_date"] for _, a in holders)
            if ends and min(ends) <= granted:
                continue  # dropped by the day of its grant: never granted
            entries[kind, month_of(granted)] += principal
            if ends and min(ends) <= end:
                entries["give_up_advance", month_of(min(ends))] += principal - recouped[advance_id]
            digits = self.contract(contract_id)["minor_unit_digits"]
            for month in self._months(month_of(granted), last_month):
                to = min([days_of(month)[-1], *(day - DAY for day in ends)])
                version = self.version_on(contract_id, "token_advances", to)
                days = (to - max(granted + DAY, month)).days + 1
                rates = [a["interest"] for a in listed.get(version or "", []) if a["advance_id"] == advance_id]
                left = principal - sum((a for m, a in recouped_by_month[advance_id].items() if m < month), Fraction(0))
                if rates and days > 0 and left > 0:
                    interest = half_away(left * Fraction(rates[0] or 0) * days / 365, digits)
                    entries["advance_interest", month] += interest
        return entries

    @staticmethod
    def _recoup(state: dict[str, Any], advance: Row, amount: Fraction) -> Fraction:
        """READINGS 24; what is booked of an advance is whole cents a month."""
        booked, running = state.setdefault("advances", {}).get(advance["advance_id"], (Fraction(0), Fraction(0)))
        principal = Fraction(advance["face_amount"]) * (
            1 if advance["unit"] == "USD" else Fraction(advance["conversion_price"])
        )
        taken = max(Fraction(0), min(principal - booked - running, Fraction(advance["recoupment_rate"]) * amount))
        state["advances"][advance["advance_id"]] = (booked, running + taken)
        return taken

    @staticmethod
    def _year(contract: Row, terms: Row, month: date) -> tuple[date, date]:
        """First month of the year that a month belongs to, and its last."""
        first = month_of(contract["service_commencement_date"])
        if terms["true_up_frequency"] == "calendar_year":
            begin = month.replace(month=1)
        elif terms["true_up_frequency"] == "fiscal_year":
            begin = month.replace(month=2, year=month.year - (1 if month.month == 1 else 0))
        else:
            begin = first.replace(year=first.year + months_between(first, month) // 12)
        last = begin
        for _ in range(11):
            last = next_month(last)
        return begin, last

    def _true_up(
        self, contract: Row, terms: Row, month: date, state: dict[str, Any], period_capped: Fraction, last_day: date
    ) -> Fraction:
        """READINGS 23: the share after the true-up, in the last service month of its year."""
        state["true_up"] = Fraction(0)
        state.setdefault("offsets", {})
        begin, last = self._year(contract, terms, month)
        result = period_capped
        accrued = sum((a for m, a in state["accrued"].items() if m >= begin), Fraction(0))
        members = [m for m in state["members"] if begin <= m["month"] <= month]
        active = [m for m in members if m["is_active"]]
        if terms["true_up_frequency"] and month == month_of(min(days_of(last)[-1], last_day)) and active:
            year_share, capped, cap = Fraction(0), Fraction(0), None
            before = members[0]["base_before"]
            paid_before_year = state["share"] - accrued
            versions: list[str] = []
            for m in active:
                if m["terms"]["amendment_id"] not in versions:
                    versions.append(m["terms"]["amendment_id"])
            parts = []
            for version in versions:
                mine = [m for m in active if m["terms"]["amendment_id"] == version]
                entering = sum((m["entering"] for m in mine), Fraction(0))
                basis = mine[0]["terms"]["share_basis"]
                base = entering
                if basis == "pct_above_floor":
                    base = max(Fraction(0), entering - sum((m["floor"] for m in mine), Fraction(0)))
                elif basis == "pct_above_breakpoint":
                    base = max(Fraction(0), entering - sum((m["breakpoint"] for m in mine), Fraction(0)))
                base -= sum((m["taken"] for m in mine), Fraction(0))
                parts.append((mine, entering, base, before, before + base))
                before += base
            paid = paid_before_year
            for mine, entering, base, base_before, base_after in parts:
                context = {
                    "members": mine,
                    "base": base,
                    "entering": entering,
                    "before": base_before,
                    "after": base_after,
                    "month_after": parts[-1][4],
                    "priced": [pair for m in mine for pair in m["priced"]],
                    "month_base": sum((p[2] for p in parts), Fraction(0)),
                    "month_hours": sum((m["hours"] for m in active), Fraction(0)),
                    "occupancy": lambda: tuple(
                        sum(
                            (self.supply(contract["contract_id"], m)[k] for m in self._months(begin, month)),
                            Fraction(0),
                        )
                        for k in (1, 2)
                    ),
                    "paid_before_month": paid_before_year,
                    "paid": paid,
                    "contract": contract,
                }
                share = self._tier_share(mine[0]["tiers"], mine[0]["terms"]["combine"], context)
                minima = [m["minimum"] for m in mine if m["minimum"] is not None]
                if minima and mine[0]["terms"]["share_basis"] == "pct_above_breakpoint":
                    share += sum(minima)
                elif minima:
                    share = max(share, sum(minima))
                paid += share
                year_share += share
                caps = [m["cap"] for m in mine if m["cap"] is not None]
                if caps:
                    capped += share
                    cap = (cap or Fraction(0)) + sum(caps)
            long = {m: limits for m, limits in state["long"].items() if begin <= m <= month}
            minima_of_year = sum((minima for minima, _, _ in long.values()), Fraction(0))
            quarter_caps = [cap for _, cap, _ in long.values() if cap is not None]
            year_cap = long[month][2]
            offsets = sum((a for m, a in state["offsets"].items() if m >= begin), Fraction(0))
            top_up = max(Fraction(0), minima_of_year - year_share) if minima_of_year else Fraction(0)
            bounded = year_share + top_up
            if cap is not None:
                bounded -= max(Fraction(0), capped + top_up - cap)
            if quarter_caps:
                bounded = min(bounded, sum(quarter_caps))
            if year_cap is not None:
                bounded = min(bounded, year_cap)
            difference = bounded - accrued - offsets - period_capped
            if difference < 0 and terms["true_up_carry_forward"]:
                state["forward"] = state.get("forward", Fraction(0)) - difference
                held = state["forward"] + difference
            else:
                state["true_up"] = difference
                result += difference
                held = state.get("forward", Fraction(0))
        else:
            held = state.get("forward", Fraction(0))
        used = min(max(Fraction(0), result), held)
        state["forward"] = state.get("forward", Fraction(0)) - used
        state["offsets"][month] = used
        state["month_alone"] = period_capped - used
        return result - used

    def billed_apart(self, contract_id: str, last_month: date) -> dict[tuple[str, date], Fraction]:
        """By event and service month, what stands beside the month's invoice at the end of `last_month`: true-ups that fall due by
        themselves, reserves and interest on true-ups; `taken` is what the month's own invoice is less once it is out.
        """
        contract, end = self.contract(contract_id), days_of(last_month)[-1]
        last_day = self.last_share_day(contract_id)
        digits = contract["minor_unit_digits"]
        entries: dict[tuple[str, date], Fraction] = defaultdict(Fraction)
        due: dict[tuple[str, date], date] = {}
        for month, blocks in self.share_months(contract_id, last_month).items():
            for share_id, block in blocks.items():
                version = self.version_on(contract_id, "revenue_share", min(days_of(month)[-1], last_day)) or ""
                terms = next(t for t in self.terms(contract_id, version) if t["share_id"] == share_id)
                invoice_date = days_of(month)[-1] + terms["statement_due_days"] * DAY
                due[share_id, month] = invoice_date + terms["payment_terms_days"] * DAY
                apart = Fraction(0)
                if block.true_up and terms["true_up_due_days"] is not None:
                    net = 1 - Fraction(terms["withholding_tax_rate"]) if terms["gross_up"] else Fraction(1)
                    apart = half_away(block.kept / net, digits)
                    for event in ("taken", "invoice_true_up"):
                        entries[event, month] += apart if invoice_date <= end else 0
                if block.true_up and terms["true_up_interest"]:
                    until = due[share_id, month]
                    if terms["true_up_due_days"] is not None:
                        until = days_of(month)[-1] + terms["true_up_due_days"] * DAY
                    begin = self._year(contract, terms, month)[0]
                    waits = [
                        max(0, (until - day).days)
                        for (whose, m), day in due.items()
                        if whose == share_id and begin <= m <= month
                    ]
                    interest = block.kept * Fraction(terms["late_rate"]) * sum(waits) / len(waits) / 365
                    entries["true_up_interest", month] += half_away(interest, digits)
                if terms["reserve_fraction"] and block.invoiced > apart:
                    held = half_away((block.invoiced - apart) * Fraction(terms["reserve_fraction"]), digits)
                    release = month
                    for _ in range(terms["reserve_release_months"]):
                        release = next_month(release)
                    entries["taken", month] += held if invoice_date <= end else 0
                    out = max(invoice_date, days_of(release)[-1] + terms["statement_due_days"] * DAY)
                    entries["invoice_reserve", month] += held if out <= end else 0
        return entries

    @staticmethod
    def _months(first: date, last: date) -> list[date]:
        months = [first]
        while months[-1] < last:
            months.append(next_month(months[-1]))
        return months

    def _long_periods(
        self,
        contract: Row,
        terms: Row,
        month: date,
        state: dict[str, Any],
        total: Fraction,
        start: date,
        last_day: date,
        capped: Fraction,
        cap: Fraction | None,
        *,
        is_active: bool,
    ) -> Fraction:
        begins = {"quarter": month.replace(month=(month.month - 1) // 3 * 3 + 1)}
        begins["year"] = self._year(contract, terms, month)[0]
        first_valid = min(
            v["valid_from"]
            for v in self.tables["contract_version"]
            if v["contract_id"] == contract["contract_id"]
            and v["instrument"] == "revenue_share"
            and v["recorded_at"] <= self.known_at
        )
        first_day = max(start, first_valid)
        prorated: dict[str, Fraction] = {}
        ends: dict[str, date] = {}
        accrued: dict[str, Fraction] = {}
        for period, begin in begins.items():
            accrued[period] = sum((a for m, a in state["accrued"].items() if m >= begin), Fraction(0))
            end = begin
            for _ in range(3 if period == "quarter" else 12):
                end = next_month(end)
            ends[period] = end - DAY
            inside = (min(ends[period], last_day) - max(begin, first_day)).days + 1
            prorated[period] = Fraction(inside, (ends[period] - begin).days + 1)

        def amount_at_end(period: str, what: str) -> Fraction:
            version = self.version_on(contract["contract_id"], "revenue_share", min(ends[period], last_day))
            at_end = next(
                (t for t in self.terms(contract["contract_id"], version or "") if t["share_id"] == terms["share_id"]),
                None,
            )
            chosen = (
                at_end
                if at_end and at_end[f"{what}_period"] == period and at_end[f"{what}_amount"] is not None
                else terms
            )
            return Fraction(chosen[f"{what}_amount"]) * prorated[period]

        top_up = Fraction(0)
        minima, quarter_cap, year_cap = Fraction(0), None, None
        period = terms["minimum_period"]
        if (
            is_active
            and terms["minimum_amount"] is not None
            and period in begins
            and month == month_of(min(ends[period], last_day))
        ):
            top_up = max(Fraction(0), amount_at_end(period, "minimum") - accrued[period] - total)
            minima = amount_at_end(period, "minimum")
        bounded = total + top_up
        total = bounded if cap is None else bounded - max(Fraction(0), capped + top_up - cap)
        period = terms["period_cap_period"]
        if terms["period_cap_amount"] is not None and period in begins:
            total = min(total, max(Fraction(0), amount_at_end(period, "period_cap") - accrued[period]))
            if period == "year":
                year_cap = amount_at_end(period, "period_cap")
            elif month == month_of(min(ends[period], last_day)):
                quarter_cap = amount_at_end(period, "period_cap")
        state.setdefault("long", {})[month] = (minima, quarter_cap, year_cap)
        total = self._true_up(contract, terms, month, state, total, last_day)
        limits = []
        if terms["lifetime_cap_amount"] is not None:
            limits.append(Fraction(terms["lifetime_cap_amount"]))
        if terms["return_multiple"] is not None:
            limits.append(Fraction(terms["return_multiple"]) * Fraction(terms["hardware_amount"]))
        if limits:
            total = min(total, max(Fraction(0), min(limits) - state["share"]))
        return total

    @staticmethod
    def _breakpoint_rate(
        tiers: list[Row],
        combine: str | None,
        contract: Row,
        month: date,
        first_day: date,
        cumulative: Fraction,
        paid: Fraction,
    ) -> Fraction:
        """READINGS 13: the rate that makes a natural breakpoint of the minimum; of two axes as they are combined."""
        number = months_between(month_of(contract["service_commencement_date"]), month) + 1
        rates = []
        for axis in sorted({tier["axis"] for tier in tiers}):
            mine = sorted((t for t in tiers if t["axis"] == axis), key=lambda t: t["from_value"] or 0)
            if axis == "contract_month":
                mine = [t for t in mine if t["from_month"] <= number <= (t["to_month"] or number)]
            elif axis == "date":
                mine = [t for t in mine if (t["from_date"] or first_day) <= first_day <= (t["to_date"] or first_day)]
            elif axis == "cumulative_base":
                mine = [t for n, t in enumerate(mine) if _holds(t, cumulative, first=n == 0)]
            elif axis == "cumulative_share_paid":
                mine = [t for n, t in enumerate(mine) if _holds(t, paid, first=n == 0)]
            rates.append(Fraction(mine[0]["rate"]))
        return max(rates) if combine == "max" else min(rates)

    def _tier_share(self, tiers: list[Row], combine: str | None, context: dict[str, Any]) -> Fraction:
        axes = sorted({tier["axis"] for tier in tiers})
        slices = [self._slices([t for t in tiers if t["axis"] == axis], context) for axis in axes]
        if len(slices) == 1:
            return sum((amount * rate for amount, rate in slices[0]), Fraction(0))
        if context["base"] == 0:
            return Fraction(0)
        choose = min if combine == "min" else max
        return sum(
            (a * b / context["base"] * choose(rate_a, rate_b) for a, rate_a in slices[0] for b, rate_b in slices[1]),
            Fraction(0),
        )

    @staticmethod
    def _slices(tiers: list[Row], context: dict[str, Any]) -> list[tuple[Fraction, Fraction]]:
        axis, application, base = tiers[0]["axis"], tiers[0]["application"], context["base"]
        tiers = sorted(tiers, key=lambda t: (t["from_value"] or 0, t["from_date"] or date.min, t["from_month"] or 0))
        rates = [Fraction(t["rate"]) for t in tiers]
        if axis in ("contract_month", "date") and "members" in context:
            return Books._spread(axis, tiers, rates, context)
        if axis == "cumulative_share_paid":
            return Books._paid_slices(application, tiers, rates, context)
        if axis == "contract_month":
            number = context["month_no"]
            return [
                (base, r)
                for t, r in zip(tiers, rates, strict=True)
                if t["from_month"] <= number <= (t["to_month"] or number)
            ]
        if axis == "date":
            of_day = {
                day: next(n for n, t in enumerate(tiers) if (t["from_date"] or day) <= day <= (t["to_date"] or day))
                for day in context["days"]
            }
            if base == context["revenue"]:
                return [(amount, rates[of_day[day]]) for day, amount in context["revenue_by_day"].items()]
            if context["revenue"] != 0:
                return [
                    (base * amount / context["revenue"], rates[of_day[day]])
                    for day, amount in context["revenue_by_day"].items()
                ]
            return [(base, rates[of_day[context["days"][0]]])]
        if axis == "cumulative_base":
            if application == "cliff":
                number = next(n for n, t in enumerate(tiers) if _holds(t, context["month_after"], first=n == 0))
                return [(base, rates[number])]
            low, high = sorted((context["before"], context["after"]))
            sign = 1 if base >= 0 else -1
            result = []
            for number, (tier, rate) in enumerate(zip(tiers, rates, strict=True)):
                bottom = low if number == 0 else max(low, Fraction(tier["from_value"]))
                top = high if tier["to_value"] is None else min(high, Fraction(tier["to_value"]))
                if top > bottom:
                    result.append((sign * (top - bottom), rate))
            return result
        if axis == "occupancy":
            available, leased = context["occupancy"]()
            if not available:
                return [(base, rates[0])]
            return [(base, rates[next(n for n, t in enumerate(tiers) if _holds(t, leased / available, first=n == 0))])]
        if axis == "price_per_gpu_hour":
            if application == "cliff":
                if context["month_hours"] == 0:
                    return [(base, rates[0])]
                mean = context["month_base"] / context["month_hours"]
                return [(base, rates[next(n for n, t in enumerate(tiers) if _holds(t, mean, first=n == 0))])]
            bands = []
            for number, tier in enumerate(tiers):
                bottom = Fraction(0) if number == 0 else Fraction(tier["from_value"])
                bands.append(
                    sum(
                        (
                            hours
                            * max(
                                Fraction(0),
                                (price if tier["to_value"] is None else min(price, Fraction(tier["to_value"])))
                                - bottom,
                            )
                            for hours, price in context["priced"]
                        ),
                        Fraction(0),
                    )
                )
            if not sum(bands):
                return [(base, rates[0])]
            return [(base * band / sum(bands), rate) for band, rate in zip(bands, rates, strict=True)]
        raise NotImplementedError(axis)

    @staticmethod
    def _spread(
        axis: str, tiers: list[Row], rates: list[Fraction], context: dict[str, Any]
    ) -> list[tuple[Fraction, Fraction]]:
        """A year's base over its service dates as the revenue lies, each at its date's rate."""
        by_rate: dict[int, Fraction] = defaultdict(Fraction)
        start = month_of(context["contract"]["service_commencement_date"])
        first = None
        for member in context["members"]:
            number = months_between(start, member["month"]) + 1
            for day in member["days"]:
                if axis == "date":
                    n = next(n for n, t in enumerate(tiers) if (t["from_date"] or day) <= day <= (t["to_date"] or day))
                else:
                    n = next(n for n, t in enumerate(tiers) if t["from_month"] <= number <= (t["to_month"] or number))
                first = n if first is None else first
                if member["revenue"] != 0:
                    by_rate[n] += member["entering"] * member["revenue_by_day"][day] / member["revenue"]
                elif day == member["days"][0]:
                    by_rate[n] += member["entering"]
        total = sum(by_rate.values(), Fraction(0))
        if total == 0:
            return [(context["base"], rates[first or 0])]
        return [(context["base"] * amount / total, rates[n]) for n, amount in by_rate.items()]

    @staticmethod
    def _paid_slices(
        application: str, tiers: list[Row], rates: list[Fraction], context: dict[str, Any]
    ) -> list[tuple[Fraction, Fraction]]:
        """READINGS 15: the base is split where the share fills a tier exactly."""
        base = context["base"]
        if application == "cliff":
            paid = context["paid_before_month"]
            return [(base, rates[next(n for n, t in enumerate(tiers) if _holds(t, paid, first=n == 0))])]
        paid, left, result = context["paid"], base, []
        if base >= 0:
            for tier, rate in zip(tiers, rates, strict=True):
                top = None if tier["to_value"] is None else Fraction(tier["to_value"])
                if top is not None and paid >= top:
                    continue
                amount = left if top is None or rate == 0 else min(left, (top - paid) / rate)
                result.append((amount, rate))
                left -= amount
                paid += amount * rate
        else:
            for number in reversed(range(len(tiers))):
                bottom = None if number == 0 else Fraction(tiers[number]["from_value"])
                if bottom is not None and paid <= bottom:
                    continue
                amount = left if bottom is None or rates[number] == 0 else max(left, (bottom - paid) / rates[number])
                result.append((amount, rates[number]))
                left -= amount
                paid += amount * rates[number]
        return result

    # ---- backstop ------------------------------------------------------------------------------------------------

    def withdrawn(self, tranche: Row, day: date, terms: Row, zone: ZoneInfo) -> int:
        acts = []
        notice_days = terms["withdrawal_notice_days"] or 0
        for event in self.events:
            if event["kind"] not in ("withdrawal", "recall") or event["tranche_id"] != tranche["tranche_id"]:
                continue
            taken_out = event["gpu_count"] or tranche["gpu_count"]
            if event["kind"] == "withdrawal" and taken_out < (terms["withdrawal_tranche_min"] or 0):
                continue
            local = event["effective_at"].astimezone(zone).replace(tzinfo=None)
            local += timedelta(days=notice_days if event["kind"] == "withdrawal" else 0)
            acts.append((local, event["event_id"], event))
        out = 0
        for local, _, event in sorted(acts, key=lambda a: a[:2]):
            if local <= datetime(day.year, day.month, day.day):  # noqa: DTZ001 - both are times on the zone's clock
                if event["kind"] == "withdrawal":
                    out = min(tranche["gpu_count"], out + (event["gpu_count"] or tranche["gpu_count"]))
                else:
                    out = max(0, out - (event["gpu_count"] or out))
        return out

    def outages(
        self, tranche: Row, day: date, zone: ZoneInfo
    ) -> tuple[dict[str, Fraction], Fraction, list[Fraction], Fraction]:
        """See _outages; worked out once."""
        key = (tranche["tranche_id"], day)
        if key not in self._out:
            self._out[key] = self._outages(tranche, day, zone)
        return self._out[key]

    def _outages(
        self, tranche: Row, day: date, zone: ZoneInfo
    ) -> tuple[dict[str, Fraction], Fraction, list[Fraction], Fraction]:
        """Declared GPU-hours by kind in the day; undeclared ones with a fatal XID; those without a sample, by hour; all not available."""
        fatal_codes = {79, 48}
        declared: dict[str, Fraction] = defaultdict(Fraction)
        undeclared_failed = out = Fraction(0)
        undeclared_silent: list[Fraction] = []
        events = [
            (
                e["kind"],
                e["effective_at"].timestamp(),
                e["ends_at"].timestamp(),
                min(e["gpu_count"] or tranche["gpu_count"], tranche["gpu_count"]),
            )
            for e in self.events
            if e["kind"]
            in (
                "maintenance",
                "operator_fault",
                "power_curtailment",
                "delivery",
                "force_majeure",
                "acceptance_failed",
            )
            and e["tranche_id"] == tranche["tranche_id"]
        ]
        hour = midnight(day, zone).timestamp()
        while hour < midnight(day + DAY, zone).timestamp():
            in_hour = supply = Fraction(0)
            for kind, effective, ends, gpu_count in events:
                low, high = max(hour, effective), min(hour + 3600, ends)
                if low < high:
                    hours = gpu_count * Fraction(int(high - low), 3600)
                    declared[kind] += hours
                    in_hour += hours
                    supply += hours if kind in ("maintenance", "operator_fault") else 0
            in_hour = min(in_hour, Fraction(tranche["gpu_count"]))
            seen: dict[str, tuple[int, bool]] = {}
            for sample in self.samples(tranche["tranche_id"], hour):
                seen[sample["gpu_id"]] = (
                    sample["gpu_count"],
                    seen.get(sample["gpu_id"], (0, False))[1] or sample["xid_code"] in fatal_codes,
                )
            failed = Fraction(sum(count for count, is_fatal in seen.values() if is_fatal))
            silent = max(Fraction(0), tranche["gpu_count"] - Fraction(sum(count for count, _ in seen.values())))
            undeclared_failed += max(Fraction(0), failed - in_hour)
            undeclared_silent.append(max(Fraction(0), silent - max(Fraction(0), in_hour - failed)))
            supply = min(supply, Fraction(tranche["gpu_count"]))
            broken = min(tranche["gpu_count"] - supply, max(Fraction(0), failed - supply))
            out += (
                supply
                + broken
                + min(
                    tranche["gpu_count"] - supply - broken, max(Fraction(0), silent - max(Fraction(0), supply - failed))
                )
            )
            hour += 3600
        return declared, undeclared_failed, undeclared_silent, out

    @cache  # noqa: B019
    def _samples(self) -> dict[tuple[str, float], list[Row]]:
        latest: dict[tuple[str, datetime], Row] = {}
        for row in sorted(self.tables["gpu_telemetry"], key=lambda r: r["recorded_at"]):
            if row["recorded_at"] <= self.known_at:
                latest[row["gpu_id"], row["sampled_at"]] = row
        grouped: dict[tuple[str, float], list[Row]] = defaultdict(list)
        for row in latest.values():
            grouped[row["tranche_id"], row["interval_start_at"].timestamp()].append(row)
        return grouped

    def samples(self, tranche_id: str, hour: float) -> list[Row]:
        return self._samples().get((tranche_id, hour), [])

    def backstop_months(
        self, contract_id: str, last_month: date
    ) -> tuple[dict[tuple[str, date], dict[str, Fraction]], dict[date, Fraction]]:
        """Hours and claims by tranche and month, and the lifetime cap left by month, after an end that the vendor pays for."""
        result, left = self._claims(contract_id, last_month)
        for (event, month), cost in self.dues(contract_id, last_month).items():
            if event == "termination_cost":
                left = {m: max(Fraction(0), room - cost) if m >= month else room for m, room in left.items()}
        return result, left

    @cache  # noqa: B019
    def _claims(
        self, contract_id: str, last_month: date
    ) -> tuple[dict[tuple[str, date], dict[str, Fraction]], dict[date, Fraction]]:
        contract = self.contract(contract_id)
        zone = self.zones[contract["park_id"]]
        digits = contract["minor_unit_digits"]
        commencement = contract["service_commencement_date"]
        tranches = [t for t in self.tables["tranche"] if t["contract_id"] == contract_id and t["energised_date"]]
        result: dict[tuple[str, date], dict[str, Fraction]] = {}
        left: dict[date, Fraction] = {}
        claimed = Fraction(0)
        sold_off = Fraction(0)
        by_month: dict[date, Fraction] = {}
        month = month_of(commencement)
        while month <= last_month:
            month_terms: Row | None = None
            unrounded: dict[str, Fraction] = {}
            guaranteed: dict[str, dict[str, Fraction]] = defaultdict(dict)
            guaranteed_days: dict[str, set[date]] = defaultdict(set)
            for tranche in sorted(tranches, key=lambda t: t["tranche_id"]):
                segments: list[tuple[Row, list[date]]] = []
                for day in days_of(month):
                    terms = self._in_force(contract, tranche, day)
                    if terms is None:
                        continue
                    if not segments or segments[-1][0] is not terms:
                        segments.append((terms, []))
                    segments[-1][1].append(day)
                if not segments:
                    continue
                # READINGS 4: those of the month's last day, also where no tranche is in force on it.
                month_terms = [t for t in (self._backstop_terms_on(contract, d) for d in days_of(month)) if t][-1]
                sums: dict[str, Fraction] = defaultdict(Fraction)
                for terms, days in segments:
                    part = self._backstop_segment(contract, tranche, terms, days, month, zone)
                    for name, value in part.items():
                        sums[name] += value
                    if terms["settlement_type"] in PAYMENTS:
                        of_tranche = guaranteed[terms["settlement_type"]]
                        of_tranche[tranche["tranche_id"]] = (
                            of_tranche.get(tranche["tranche_id"], Fraction(0)) + part["guaranteed"]
                        )
                        guaranteed_days[terms["settlement_type"]].update(days)
                result[tranche["tranche_id"], month] = sums
                unrounded[tranche["tranche_id"]] = sums["before_caps"]
                sold_off += sums["third_party_sale"]
            for settlement, of_tranches in guaranteed.items():
                parts = self._short_payments(contract, settlement, month, guaranteed_days[settlement], of_tranches)
                for tranche_id, amount in parts.items():
                    unrounded[tranche_id] += amount
                    result[tranche_id, month]["before_caps"] += amount
            if month_terms is not None:
                room = None
                if month_terms["lifetime_cap_amount"] is not None:
                    cap = whole_cap = self.lifetime_cap(contract, month_terms, month, zone)
                    expiry = min(contract["expiry_date"], month_terms["expiry_date"] or date.max)
                    if "time" in month_terms["lifetime_cap_reduces_with"]:
                        run = (min(days_of(month)[-1], expiry) - commencement).days + 1
                        cap -= whole_cap * run / ((expiry - commencement).days + 1)
                    if "third_party_sale" in month_terms["lifetime_cap_reduces_with"]:
                        cap -= sold_off
                    room = lifetime_room = max(Fraction(0), cap - claimed)
                if month_terms["period_cap_amount"] is not None:
                    begin = self._period_begin(month_terms["period_cap_period"], month, commencement)
                    used = sum((amount for m, amount in by_month.items() if m >= begin), Fraction(0))
                    period_room = max(Fraction(0), Fraction(month_terms["period_cap_amount"]) - used)
                    room = period_room if room is None else min(room, period_room)
                if month_terms["annual_cap_amount"] is not None:
                    begin = self._period_begin("year", month, commencement)
                    used = sum((amount for m, amount in by_month.items() if m >= begin), Fraction(0))
                    year_room = max(Fraction(0), Fraction(month_terms["annual_cap_amount"]) - used)
                    room = year_room if room is None else min(room, year_room)
                rounded = {t: half_away(a, digits) for t, a in unrounded.items()}
                total = sum(rounded.values(), Fraction(0))
                ratio = Fraction(1)
                if room is not None:
                    room = Fraction(room * 10**digits // 1, 10**digits)
                    if total > room:
                        total = room
                        ratio = total / sum(unrounded.values())
                        rounded = largest_remainder(total, unrounded, digits)
                claimed += total
                by_month[month] = total
                for tranche_id, amount in rounded.items():
                    result[tranche_id, month]["claim_amount"] = amount
                    result[tranche_id, month]["bought_back"] = result[tranche_id, month]["claim"] * ratio
                if month_terms["lifetime_cap_amount"] is not None:
                    left[month] = lifetime_room - total
            month = next_month(month)
        return result, left

    def _in_force(self, contract: Row, tranche: Row, day: date) -> Row | None:
        """The backstop terms that cover a tranche on a day."""
        terms = self._backstop_terms_on(contract, day)
        effective = self.effective_date(tranche, terms, self.zones[contract["park_id"]]) if terms else None
        if terms is None or effective is None:
            return None
        effective = max(effective, tranche["energised_date"])
        longstop = terms["longstop_days"]
        is_late = longstop is not None and (effective - tranche["planned_date"]).days > longstop
        return None if day < effective or is_late else terms

    def _short_payments(
        self,
        contract: Row,
        settlement: str,
        month: date,
        days: set[date],
        guaranteed: dict[str, Fraction],
    ) -> dict[str, Fraction]:
        """DECISIONS 47: what the operator says it paid less of debt service or rent than was due, over the days guaranteed; the
        tranches' parts by what each guarantees, in whole minor units, and none above its guarantee.
        """
        due, paid = (self.told(contract, f"{PAYMENTS[settlement]}_{what}").get(month) for what in ("due", "paid"))
        if due is None or paid is None or paid >= due or not sum(guaranteed.values()):
            return {}
        digits = contract["minor_unit_digits"]
        short = half_away((due - paid) * len(days) / len(days_of(month)), digits)
        parts = largest_remainder(short, guaranteed, digits)
        return {tranche_id: min(amount, guaranteed[tranche_id]) for tranche_id, amount in parts.items()}

    def dues(self, contract_id: str, last_month: date) -> dict[tuple[str, date], Fraction]:
        """DECISIONS 40, 49 and 50: by event and service month, what an early end costs whom, and lost value that is made good."""
        contract, end = self.contract(contract_id), days_of(last_month)[-1]
        digits = contract["minor_unit_digits"]
        owed: dict[tuple[str, date], Fraction] = {}
        for day, event in [one for one in self._endings(contract, "termination") if one[0] <= end][:1]:
            terms = self._backstop_terms_on(contract, day - DAY)
            ground = json.loads(event["payload"] or "{}").get("ground")
            for agreed in self.tables["backstop_termination"] if terms else ():
                keys = (agreed["contract_id"], agreed["amendment_id"], agreed["ground"])
                if keys != (contract_id, (terms or {})["amendment_id"], ground) or agreed["termination_amount"] is None:
                    continue
                amount = Fraction(agreed["termination_amount"])
                if agreed["payer"] == "operator":
                    owed["termination_payment", month_of(day)] = half_away(amount, digits)
                else:
                    _, left = self._claims(contract_id, month_of(day))
                    room = (terms or {})["lifetime_cap_amount"]
                    room = left[max(left)] if left and room is not None else room
                    if room is not None and Fraction(room) < amount:  # never above the cap, not by a cent
                        amount = Fraction(Fraction(room) * 10**digits // 1, 10**digits)
                    owed["termination_cost", month_of(day)] = half_away(amount, digits)
        lost: dict[date, Fraction] = defaultdict(Fraction)
        for terms in self.tables["backstop_terms"]:
            day = terms["rv_date"]
            if (
                terms["contract_id"] == contract_id
                and day
                and day <= end
                and self._backstop_terms_on(contract, day) is terms
            ):
                lost[month_of(day)] += sum(
                    (
                        tranche["gpu_count"] * self._lost_value(contract, tranche["gpu_model"], terms, day)
                        for tranche in self.tables["tranche"]
                        if tranche["contract_id"] == contract_id and (tranche["energised_date"] or date.max) <= day
                    ),
                    Fraction(0),
                )
        return owed | {("residual_value_support", month): half_away(amount, digits) for month, amount in lost.items()}

    def _lost_value(self, contract: Row, gpu_model: str, terms: Row, day: date) -> Fraction:
        """What one GPU is worth less than agreed by what a market had paid last by the day; nothing while none is known."""
        today = self.known_at.astimezone(self.zones[contract["park_id"]]).date()
        marks = [
            mark
            for mark in self.tables["hardware_value"]
            if (mark["kind"], mark["gpu_model"], mark["currency_code"])
            == ("market", gpu_model, contract["currency_code"])
            and mark["park_id"] in (None, contract["park_id"])
            and mark["observed_date"] <= day
            and mark["observed_date"] < today
        ]
        if not marks:
            return Fraction(0)
        market = max(marks, key=lambda mark: (mark["observed_date"], mark["park_id"] is not None))["price_per_gpu"]
        price = Fraction(terms["rv_hardware_price_per_gpu"])
        most = price * Fraction(terms["residual_value_support_pct"])
        attachment = terms["attachment_pct"]
        below = most if attachment is None else price * Fraction(attachment)
        return min(most, max(Fraction(0), below - Fraction(market)))

    def claw_backs(self, contract_id: str, last_month: date) -> dict[date, Fraction]:
        """DECISIONS 40: what withdrawals give back, by the month in which they act, rounded."""
        contract = self.contract(contract_id)
        zone = self.zones[contract["park_id"]]
        claims, _ = self.backstop_months(contract_id, last_month)
        given: dict[date, Fraction] = defaultdict(Fraction)
        for tranche in self.tables["tranche"]:
            if tranche["contract_id"] != contract_id or not tranche["energised_date"]:
                continue
            # Earlier months: claim after caps, hours of one GPU, hours of all that were in the commitment.
            earlier: list[tuple[Fraction, Fraction, Fraction]] = []
            back = Fraction(0)
            was_out, month = 0, month_of(contract["service_commencement_date"])
            while month <= last_month:
                hours = Fraction(0)
                for day in days_of(month):
                    terms = self._in_force(contract, tranche, day)
                    out = self.withdrawn(tranche, day, terms, zone) if terms else 0
                    if terms is not None:
                        hours += hours_between(midnight(day, zone), midnight(day + DAY, zone))
                    part = Fraction((terms or {}).get("withdrawal_claw_back_fraction") or 0)
                    if out > was_out and part:
                        taken = sum((c * min(Fraction(1), (out - was_out) * h / i) for c, h, i in earlier), Fraction(0))
                        bound = part * sum((c for c, _, _ in earlier), Fraction(0))
                        amount = min(part * taken, bound - back)
                        back += amount
                        given[month] += amount
                    was_out = out
                row = claims.get((tranche["tranche_id"], month))
                if row is not None and row["installed"]:
                    of_contract = [r for (_, m), r in claims.items() if m == month]
                    before = sum((r["before_caps"] for r in of_contract), Fraction(0))
                    after = sum((r["claim_amount"] for r in of_contract), Fraction(0))
                    if before:
                        earlier.append((row["before_caps"] * after / before, hours, row["installed"]))
                month = next_month(month)
        return {m: half_away(amount, contract["minor_unit_digits"]) for m, amount in given.items()}

    def cap_without_claims(self, contract_id: str, month: date, claimed: Fraction, sold: Fraction) -> Fraction | None:
        """What is left of the lifetime cap at the end of a month in which nothing could be claimed; None without a cap.

        Args:
            contract_id: the contract.
            month: the month, whose last day's terms count, or the first ones.
            claimed: claims of the months before.
            sold: what third parties paid by then for capacity of tranches in force.
        """
        contract = self.contract(contract_id)
        zone = self.zones[contract["park_id"]]
        end = days_of(month)[-1]
        known = self.versions_known(contract_id, "backstop")
        version = self.version_on(contract_id, "backstop", end) or (known[0] if known else None)
        terms = next(
            (
                t
                for t in self.tables["backstop_terms"]
                if (t["contract_id"], t["amendment_id"]) == (contract_id, version)
            ),
            None,
        )
        if terms is None or terms["lifetime_cap_amount"] is None:
            return None
        cap = self.lifetime_cap(contract, terms, month, zone)
        left = cap - claimed
        if "third_party_sale" in terms["lifetime_cap_reduces_with"]:
            left -= sold
        if "time" in terms["lifetime_cap_reduces_with"]:
            commencement = contract["service_commencement_date"]
            expiry = min(contract["expiry_date"], terms["expiry_date"] or date.max)
            run = (min(max(end, commencement - DAY), expiry) - commencement).days + 1
            left -= cap * run / ((expiry - commencement).days + 1)
        return max(Fraction(0), left)

    def max_exposure(
        self, contract_id: str, as_of_month: date, claimed: dict[date, Fraction], cap_left: Fraction | None
    ) -> dict[int, Fraction]:
        """READINGS 37, by the vendor's fiscal year, day after day; these books hold what was known at the end of `as_of_month`.

        Args:
            contract_id: the contract.
            as_of_month: the ended month.
            claimed: claims by month, as known now.
            cap_left: what is left of the lifetime cap at the month's end, as known now; None without a cap.
        """
        contract = self.contract(contract_id)
        zone = self.zones[contract["park_id"]]
        commencement = contract["service_commencement_date"]
        by_month: dict[date, Fraction] = {m: a for m, a in claimed.items() if m <= as_of_month}
        terms_of = {t["amendment_id"]: t for t in self.tables["backstop_terms"] if t["contract_id"] == contract_id}
        years: dict[int, Fraction] = defaultdict(Fraction)
        day = next_month(as_of_month)
        while day <= contract["expiry_date"]:
            month, month_terms = month_of(day), None
            parts: dict[tuple[str, str], list[tuple[date, Fraction, Fraction]]] = defaultdict(list)
            for day in days_of(month):
                terms = terms_of.get(self.version_on(contract_id, "backstop", day) or "")
                if terms is None or day > min(contract["expiry_date"], terms["expiry_date"] or date.max):
                    continue
                ending = self.ending(contract, survives=bool(terms["survives_operator_insolvency"]))
                if day < commencement or (ending and day >= ending):
                    continue
                for tranche in self.tables["tranche"]:
                    if tranche["contract_id"] == contract_id:
                        part = self._committed_day(contract, tranche, terms, day, as_of_month, zone)
                        if part is not None:
                            parts[tranche["tranche_id"], terms["amendment_id"]].append((day, *part))
                            month_terms = terms
            by_day: dict[date, Fraction] = defaultdict(Fraction)
            for (_, amendment_id), days in parts.items():
                terms = terms_of[amendment_id]
                price = self.buyback_price(contract, terms, month, zone)
                # Of several deductibles the one that is largest over the tranche's month.
                deductible = max(
                    (
                        [Fraction(terms["deductible_gpu_hours"] or 0) / len(days_of(month)) for _ in days],
                        [Fraction(terms["deductible_fraction"] or 0) * committed for _, _, committed in days],
                        [Fraction(terms["first_loss_band"] or 0) * installed for _, installed, _ in days],
                    ),
                    key=sum,
                )
                for (day, _, committed), deducted in zip(days, deductible, strict=True):
                    by_day[day] += max(Fraction(0), committed - deducted) * price
            amounts = sorted(by_day.items())
            if month_terms is not None:
                room = None
                if month_terms["period_cap_amount"] is not None:
                    begin = self._period_begin(month_terms["period_cap_period"], month, commencement)
                    used = sum((a for m, a in by_month.items() if m >= begin), Fraction(0))
                    room = max(Fraction(0), Fraction(month_terms["period_cap_amount"]) - used)
                if month_terms["annual_cap_amount"] is not None:
                    begin = self._period_begin("year", month, commencement)
                    used = sum((a for m, a in by_month.items() if m >= begin), Fraction(0))
                    year_room = max(Fraction(0), Fraction(month_terms["annual_cap_amount"]) - used)
                    room = year_room if room is None else min(room, year_room)
                for day, amount in amounts:
                    taken = amount if room is None else min(amount, room)
                    room = None if room is None else room - taken
                    by_month[month] = by_month.get(month, Fraction(0)) + taken
                    years[fiscal_year(day)] += taken
            day = next_month(month)
        # DECISIONS 49: the dearest end that the vendor may have to pay for, on the last day that may still be claimed for.
        last, dearest = self._dearest_end(contract, as_of_month)
        if last is not None and dearest:
            years[fiscal_year(last)] += dearest
        left = cap_left
        for year in sorted(years):
            if left is not None:
                years[year] = min(years[year], left)
                left -= years[year]
        return dict(years)

    def _dearest_end(self, contract: Row, as_of_month: date) -> tuple[date | None, Fraction]:
        last, dearest = None, Fraction(0)
        if not any(agreed["payer"] == "vendor" for agreed in self.tables["backstop_termination"]):
            return last, dearest
        day = max(next_month(as_of_month), contract["service_commencement_date"])
        while day <= contract["expiry_date"]:
            terms = self._backstop_terms_on(contract, day)
            if terms is not None:
                last = day
                for agreed in self.tables["backstop_termination"]:
                    keys = (agreed["contract_id"], agreed["amendment_id"])
                    if keys == (contract["contract_id"], terms["amendment_id"]) and agreed["payer"] == "vendor":
                        dearest = max(dearest, Fraction(agreed["termination_amount"] or 0))
            day += DAY
        return last, dearest

    def _committed_day(
        self, contract: Row, tranche: Row, terms: Row, day: date, as_of_month: date, zone: ZoneInfo
    ) -> tuple[Fraction, Fraction] | None:
        """Installed and committed hours of one day to come, on the schedule known at the month's end; None out of force."""
        month_end = days_of(as_of_month)[-1]
        starts, planned = tranche["energised_date"], tranche["planned_date"]
        if starts is None or starts > month_end:
            starts = max(planned or month_end, month_end + DAY)
        energised = starts
        if terms["effective_event"] not in ("energised", "signing"):
            starts = max(energised, self.effective_date(tranche, terms, zone) or month_end + DAY)
        longstop = terms["longstop_days"]
        if day < starts or (longstop is not None and planned and (starts - planned).days > longstop):
            return None
        out = self.withdrawn(tranche, day, terms, zone)
        installed = (tranche["gpu_count"] - out) * hours_between(midnight(day, zone), midnight(day + DAY, zone))
        committed = installed * Fraction(terms["committed_fraction"])
        tranche_month = months_between(month_of(energised), month_of(day)) + 1
        mine = (contract["contract_id"], terms["amendment_id"])
        for step in self.tables["backstop_ramp"]:
            if (step["contract_id"], step["amendment_id"]) == mine and step["from_month"] <= tranche_month <= step[
                "to_month"
            ]:
                committed *= Fraction(step["fraction"])
        return installed, committed

    def buyback_price(self, contract: Row, terms: Row, month: date, zone: ZoneInfo) -> Fraction:
        """The step's price; one that names an index moves with it from commencement to the month's first day, at nine decimals."""
        commencement = contract["service_commencement_date"]
        number = months_between(month_of(commencement), month) + 1
        step = next(
            p
            for p in self.tables["backstop_price"]
            if (p["contract_id"], p["amendment_id"]) == (contract["contract_id"], terms["amendment_id"])
            and p["from_month"] <= number <= (p["to_month"] or number)
        )
        moved = self._index_ratio(contract, step["index_id"], month, zone)
        return half_away(Fraction(step["price_per_gpu_hour"]) * moved, 9)

    def lifetime_cap(self, contract: Row, terms: Row, month: date, zone: ZoneInfo) -> Fraction:
        """DECISIONS 51: one that moves with an index, from commencement to the month's first day, is rounded once to cents."""
        moved = self._index_ratio(contract, terms["lifetime_cap_index_id"], month, zone)
        return half_away(Fraction(terms["lifetime_cap_amount"]) * moved, 2)

    def _index_ratio(self, contract: Row, index_id: str | None, month: date, zone: ZoneInfo) -> Fraction:
        """The level on the month's first day over that of the day of commencement, or the first there is; 1 while there is none."""
        commencement = contract["service_commencement_date"]
        levels = sorted(
            (event["effective_at"], event["event_id"], Fraction(json.loads(event["payload"])["level"]))
            for event in self.events
            if event["kind"] == "price_index"
            and event["park_id"] == contract["park_id"]
            and event["contract_id"] in (None, contract["contract_id"])
            and json.loads(event["payload"])["index"] == index_id
        )
        dated = [(at.astimezone(zone).date(), level) for at, _, level in levels]
        now = [level for day, level in dated if day <= month]
        if not now:
            return Fraction(1)
        base = [level for day, level in dated if day <= commencement] or [dated[0][1]]
        return now[-1] / base[-1]

    def effective_date(self, tranche: Row, terms: Row, zone: ZoneInfo) -> date | None:
        """First day that begins at the agreed event or later; the day of energising where nothing else is agreed."""
        event = terms["effective_event"]
        if event in ("energised", "signing"):
            return tranche["energised_date"]
        if event == "lease_commencement":
            instants = [
                lease["from"]
                for lease in self.leases
                if lease["tranche_id"] == tranche["tranche_id"]
                and lease["park_id"] == tranche["park_id"]
                and lease["status"] in ("active", "ended")
            ]
        else:
            kind = {"COD": "commercial_operation"}.get(event, event)
            instants = [
                e["effective_at"]
                for e in self.events
                if e["kind"] == kind and e["tranche_id"] == tranche["tranche_id"] and e["park_id"] == tranche["park_id"]
            ]
        if not instants:
            return None
        local = min(instants).astimezone(zone)
        return local.date() + (DAY if local != midnight(local.date(), zone) else timedelta(0))

    def versions_known(self, contract_id: str, instrument: str) -> list[str]:
        """Amendments of an instrument known by now, by the day from which they hold."""
        known = [
            row
            for row in self.tables["contract_version"]
            if (row["contract_id"], row["instrument"]) == (contract_id, instrument)
            and row["recorded_at"] <= self.known_at
        ]
        return [row["amendment_id"] for row in sorted(known, key=lambda r: (r["valid_from"], r["recorded_at"]))]

    @staticmethod
    def _period_begin(period: str, month: date, commencement: date) -> date:
        if period == "quarter":
            return month.replace(month=(month.month - 1) // 3 * 3 + 1)
        if period == "year":
            first = month_of(commencement)
            return first.replace(year=first.year + months_between(first, month) // 12)
        return month

    def _backstop_terms_on(self, contract: Row, day: date) -> Row | None:
        version = self.version_on(contract["contract_id"], "backstop", day)
        for terms in self.tables["backstop_terms"]:
            if (terms["contract_id"], terms["amendment_id"]) == (contract["contract_id"], version):
                ending = self.ending(contract, survives=bool(terms["survives_operator_insolvency"]))
                last = min(contract["expiry_date"], terms["expiry_date"] or date.max)
                is_over = day > last or (ending and day >= ending)
                return None if is_over or day < contract["service_commencement_date"] else terms
        return None

    def _claim_fx(self, contract: Row, month: date) -> str:
        """The backstop's rule of the last day of the month on which revenue is guaranteed."""
        terms = [t for t in (self._backstop_terms_on(contract, day) for day in days_of(month)) if t]
        return str([t for t in terms if t["settlement_type"] == "revenue_shortfall"][-1]["fx_fix"])

    def _backstop_segment(
        self, contract: Row, tranche: Row, terms: Row, days: list[date], month: date, zone: ZoneInfo
    ) -> dict[str, Fraction]:
        installed = third_party = vendor_use = undeclared = Fraction(0)
        declared: dict[str, Fraction] = defaultdict(Fraction)
        for day in days:
            length = hours_between(midnight(day, zone), midnight(day + DAY, zone))
            out = self.withdrawn(tranche, day, terms, zone)
            installed += (tranche["gpu_count"] - out) * length
            events, failed, silent, _ = self.outages(tranche, day, zone)
            undeclared += failed + sum(max(Fraction(0), of_hour - out) for of_hour in silent)
            for kind, hours in events.items():
                declared[kind] += hours
            for lease in self.leases:
                if lease["tranche_id"] == tranche["tranche_id"] and lease["park_id"] == tranche["park_id"]:
                    hours = self.billed_hours(lease, day)
                    if lease["customer_type"] == "vendor_own_use":
                        vendor_use += hours
                    else:
                        third_party += hours
        causes = set(terms["excluded_causes"] or [])
        raw = Fraction(0)
        if "operator_fault" in causes:
            raw += declared["operator_fault"] + undeclared
        if "power_curtailment" in causes:
            raw += declared["power_curtailment"]
        if "late_delivery" in causes:
            raw += declared["delivery"]
        raw += sum((declared[kind] for kind in ("force_majeure", "acceptance_failed") if kind in causes), Fraction(0))
        if "planned_maintenance" in causes:
            raw += declared["maintenance"]
        elif "maintenance_above_allowance" in causes:
            raw += max(
                Fraction(0), declared["maintenance"] - Fraction(terms["maintenance_allowance_fraction"]) * installed
            )
        excluded = min(raw, max(Fraction(0), installed - third_party - vendor_use))
        tranche_month = months_between(month_of(tranche["energised_date"]), month) + 1
        mine = (contract["contract_id"], terms["amendment_id"])
        ramp = next(
            (
                Fraction(r["fraction"])
                for r in self.tables["backstop_ramp"]
                if (r["contract_id"], r["amendment_id"]) == mine and r["from_month"] <= tranche_month <= r["to_month"]
            ),
            Fraction(1),
        )
        price = self.buyback_price(contract, terms, month, zone)
        committed = installed * Fraction(terms["committed_fraction"]) * ramp
        own = vendor_use if terms["buyer_own_use_reduces"] else Fraction(0)
        unsold = max(
            Fraction(0), min(committed - excluded - third_party - own, installed - excluded - third_party - vendor_use)
        )
        deductibles = [Fraction(0)]
        if terms["deductible_gpu_hours"] is not None:
            deductibles.append(Fraction(terms["deductible_gpu_hours"]) * len(days) / len(days_of(month)))
        if terms["deductible_fraction"] is not None:
            deductibles.append(Fraction(terms["deductible_fraction"]) * committed)
        deductibles.append(Fraction(terms["first_loss_band"] or 0) * installed)
        deductible = min(unsold, max(deductibles))
        guarantees = terms["settlement_type"] != "unsold_hours_x_price"
        before_caps = Fraction(0) if guarantees else (unsold - deductible) * price
        guaranteed = max(Fraction(0), committed - excluded - own - max(deductibles)) * price
        if terms["settlement_type"] == "revenue_shortfall":
            billed = sum(
                (
                    self.billed_hours(lease, day)
                    * Fraction(lease["price_per_gpu_hour"])
                    * self.rate({"fx_fix": self._claim_fx(contract, month)}, contract, lease["currency_code"], month)
                    for day in days
                    for lease in self.leases
                    if lease["tranche_id"] == tranche["tranche_id"]
                    and lease["park_id"] == tranche["park_id"]
                    and lease["customer_type"] != "vendor_own_use"
                    and self.billed_hours(lease, day)
                ),
                Fraction(0),
            )
            before_caps = max(Fraction(0), guaranteed - billed)
        return {
            "guaranteed": guaranteed,
            "installed": installed,
            "excluded": excluded,
            "committed": committed,
            "third_party": third_party,
            "vendor_use": vendor_use,
            "unsold": unsold,
            "deductible": deductible,
            "claim": Fraction(0) if guarantees else unsold - deductible,
            "before_caps": before_caps,
            "third_party_sale": third_party * price,
        }


def _compare(value: Fraction, operator: str, bound: Fraction) -> bool:
    return {">=": value >= bound, ">": value > bound, "<=": value <= bound, "<": value < bound}[operator]


def _holds(tier: Row, value: Fraction, *, first: bool = False) -> bool:
    above = first or value >= Fraction(tier["from_value"] or 0)
    return above and (tier["to_value"] is None or value < Fraction(tier["to_value"]))
