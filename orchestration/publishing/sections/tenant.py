"""A tenant's and its CIO's sheet: what is rented, how to leave, what happens if the operator or the vendor acts, one vendor.

Only the tenant's own leases are shown; of the parks and contracts behind them only what the tenant depends on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.publishing.formats import (
    clean,
    count_text,
    join_words,
    money,
    money_scale,
    month_text,
    number,
    percent,
    quantity,
    short_day_text,
    short_month_text,
    term_text,
    unit_text,
    words,
)
from orchestration.publishing.page import Block, Cell, Column, Fact, Prose, Row, Table, absent, figure, text
from orchestration.publishing.sections.headline import Answer, Value
from orchestration.publishing.sections.lender import agreed
from orchestration.publishing.sections.risk import covenant_rows
from orchestration.publishing.view import (
    TABLE_MONTHS,
    CannotCompute,
    View,
    currencies,
    evidence,
    latest,
    need,
    optional,
    park_names,
    ratio,
    terms_in_force,
    total,
    upto,
    vendor_text,
)

LEASES = "core.dim_lease"
REVENUE = "metering.fct_lease_revenue_day"
LOCK_IN = "credit.fct_lock_in_month"

EXITS = (
    ("Who may leave, and on what", "exit_rights", "(party|trigger)$"),
    ("Notice", "exit_rights", "notice_days$"),
    ("Fee", "exit_rights", "fee_formula$"),
    ("The backstop ends early on", "backstop", "^early_termination.*ground"),
    ("The lender may step in", "backstop", "^step_in"),
    ("The backstop outlives the operator's insolvency", "backstop", "^survives_operator_insolvency"),
    ("The operator may take capacity out", "backstop", "^seller_withdrawal.allowed"),
)
TRIGGERS = (
    ("What the vendor pays for", "backstop", "^settlement_type"),
    ("Part of the capacity that it stands behind", "backstop", "^committed_fraction"),
    ("Begins with", "backstop", "^effective_condition.event"),
    ("The operator bears first", "backstop", "^(deductible|first_loss)"),
    ("Not bought where caused by", "backstop", "^excluded_causes"),
    ("The vendor may let on what it buys", "backstop", "^resale.allowed"),
    ("Ends on", "backstop", "^expiry_date"),
)
PLEDGES = (
    ("Cross-collateral is excluded", "pledge_limits", "^no_cross_collateral"),
    ("At most so much of the assets may be pledged", "pledge_limits", "^pledge_cap_pct"),
    ("At most so much of future revenue may be pledged", "pledge_limits", "^max_future_revenue_pct"),
    ("Assets that may not be pledged", "pledge_limits", "^excluded_assets"),
    ("Pledged to the vendor", "collateral", "collateral_type$"),
)
PORTABILITY = (
    ("Who leaves is given its data and workloads", "exit_rights", "portability_obligation$"),
    ("The operator may use this vendor's hardware alone", "exclusivity", "^scope"),
    ("Except", "exclusivity", "^exceptions"),
    ("Until", "exclusivity", "^ends"),
    ("Part of purchases promised to the vendor", "exclusivity", "^purchase_quota_pct"),
)


def leases_in_force(view: View) -> list[dict[str, Any]]:
    """The version of each lease that is known last, of those that run on the as-of day; the view holds one tenant's."""
    end = datetime.combine(view.as_of + timedelta(days=1), time(), UTC)
    frame = need(view, LEASES, "lease_id", "version", "gpu_count", "starts_at", "ends_at", "status", "valid_from")
    known = frame.filter(pl.col("valid_from") < end).sort("lease_id", "version").unique("lease_id", keep="last")
    running = known.filter((pl.col("starts_at") < end) & (pl.col("ends_at") >= end) & (pl.col("status") == "active"))
    return running.sort("ends_at", "lease_id").to_dicts()


def rented(view: View, question: str, anchor: str) -> Answer:
    """How many GPUs, at which bill, until when."""
    running = leases_in_force(view)
    if not running:
        raise CannotCompute("no lease of this tenant runs on that day")
    gpus = sum(row["gpu_count"] for row in running)
    facts = [Fact("leases", number(len(running)))]
    month, bills = _bills(view)
    for currency, mine in currencies(view, bills):
        billed, hours = total(mine["net_billed_amount"]), total(mine["billed_gpu_hours"])
        facts.append(Fact(f"billed in {short_month_text(month)}", money(billed, currency)))
        price = ratio(billed, hours)
        if price is not None:
            facts.append(Fact("per GPU-hour", f"{currency} {number(price, 2)}"))
    facts.append(Fact("first to end", short_day_text(running[0]["ends_at"].date()), clean(running[0]["lease_id"])))
    return Answer(question, "GPUs under lease", [Value(number(gpus), str(gpus), "")], facts, "", anchor=anchor)


def _bills(view: View) -> tuple[Any, pl.DataFrame]:
    columns = ("service_date", "billed_gpu_hours", "metered_gpu_hours", "net_billed_amount", "currency_code")
    frame = need(view, REVENUE, "lease_id", *columns).with_columns(month=pl.col("service_date").dt.truncate("1mo"))
    return latest(upto(view, frame, "month", REVENUE), "month")


def one_vendor(view: View, question: str, anchor: str) -> Answer:
    """The part of the tenant's GPUs that one vendor makes and one operator runs."""
    running = leases_in_force(view)
    whole = sum(row["gpu_count"] for row in running)
    if not whole:
        raise CannotCompute("no lease of this tenant runs on that day")
    vendors = _by_vendor(view, running)
    maker, most = max(vendors.items(), key=lambda item: (item[1], item[0]))
    part = Decimal(most) / whole
    facts = [Fact(f"of {clean(maker)}", f"{number(most)} of {number(whole)} GPUs")]
    parks: dict[str, int] = {}
    for row in running:
        parks[row["park_id"]] = parks.get(row["park_id"], 0) + row["gpu_count"]
    largest = max(parks.items(), key=lambda item: (item[1], item[0]))
    facts.append(
        Fact(
            "in one park", percent(Decimal(largest[1]) / whole, 0), park_names(view).get(largest[0], clean(largest[0]))
        )
    )
    models = sorted({clean(row["gpu_model"]) for row in running if row.get("gpu_model")})
    facts.append(Fact("kinds of GPU", number(len(models)), join_words(models)))
    return Answer(
        question,
        f"of the GPUs rented are made by {clean(maker)}",
        [Value(percent(part, 0), str(part), "")],
        facts,
        anchor=anchor,
        tone="bad" if part == 1 else "",
    )


def _by_vendor(view: View, running: Sequence[dict[str, Any]]) -> dict[str, int]:
    """GPUs by maker: the vendor of the contract behind the tranche; without a contract the maker is not stated."""
    booked = optional(view, "core.dim_contract", "contract_id", "vendor_id")
    makers = dict(booked.select("contract_id", "vendor_id").iter_rows()) if booked is not None else {}
    named = optional(view, "core.dim_vendor", "vendor_id", "vendor_name")
    names = dict(named.select("vendor_id", "vendor_name").iter_rows()) if named is not None else {}
    found: dict[str, int] = {}
    for row in running:
        vendor = makers.get(row.get("contract_id"))
        maker = str(names.get(vendor) or vendor or "a maker that is not stated")
        found[maker] = found.get(maker, 0) + row["gpu_count"]
    return found


def operator_fails(view: View, question: str, anchor: str) -> Answer:
    """How close the operator is to a breach, and whether anybody stands in."""
    month, rows = covenant_rows(view)
    broken = [row for row in rows if row["passed"] is False]
    terms = terms_in_force(view)

    def says(term: str) -> str:
        found = terms.filter((pl.col("instrument") == "backstop") & (pl.col("term") == term))["value_text"].to_list()
        return join_words(sorted({term_text(term, str(one)) for one in found})) or "nothing agreed, or not public"

    facts = [
        Fact("the lender may step in", says("step_in")),
        Fact("backstop outlives its insolvency", says("survives_operator_insolvency")),
        Fact("vendor bound to the lender", says("lender_direct_agreement")),
    ]
    return Answer(
        question,
        "of its covenants are breached now",
        [Value(f"{number(len(broken))} of {number(len(rows))}", str(len(broken)), "")],
        facts,
        month_text(month),
        evidence(view, "backstop", "^(step_in|survives|lender_direct)"),
        anchor=anchor,
        tone="bad" if broken else "",
    )


def leaving(view: View, question: str, anchor: str) -> Answer:
    """What is still committed by the tenant's own leases, and whether it may take its workloads along."""
    running = leases_in_force(view)
    values = []
    for currency in sorted({str(row["currency_code"]) for row in running}):
        owed = sum((_committed(row, view) for row in running if row["currency_code"] == currency), Decimal(0))
        values.append(Value(money(owed, currency), str(owed), ""))
    if not values:
        raise CannotCompute("no lease of this tenant runs on that day")
    facts = [Fact("last to end", short_day_text(max(row["ends_at"] for row in running).date()))]
    metered = [row for row in running if row["pricing"] != "reserved"]
    if metered:
        facts.append(Fact("metered leases", number(len(metered)), "paid as used, nothing is committed"))
    locked = optional(view, LOCK_IN, "month", "portability_obligation")
    if locked is not None:
        _, rows = latest(upto(view, locked, "month", LOCK_IN), "month")
        ported = sorted({clean(words(one or "not stated")) for one in rows["portability_obligation"].to_list()})
        facts.append(Fact("workloads may be taken along", join_words(ported)))
    return Answer(
        question, "still to be paid by reserved leases, at their prices", values, facts, f"after {short_day_text(view.as_of)}",
        anchor=anchor,
    )  # fmt: skip


def _committed(row: dict[str, Any], view: View) -> Decimal:
    """GPUs × hours to the lease's end × price; a metered lease commits to nothing that is known ahead."""
    if row["pricing"] != "reserved" or row["price_per_gpu_hour"] is None:
        return Decimal(0)
    end = datetime.combine(view.as_of + timedelta(days=1), time(), UTC)
    hours = Decimal(int((row["ends_at"] - end).total_seconds())) / 3600
    return Decimal(row["gpu_count"]) * hours * Decimal(row["price_per_gpu_hour"])


def leases_table(view: View) -> Sequence[Block]:
    """Every lease that runs: where, what, until when, at which price, what is still committed."""
    running = leases_in_force(view)
    if not running:
        raise CannotCompute("no lease of this tenant runs on that day")
    names = park_names(view)
    scale = money_scale(_committed(row, view) for row in running)
    out = []
    for row in running:
        owed = _committed(row, view)
        out.append(
            Row(
                Cell(clean(row["lease_id"]), kind="code"),
                [
                    text(names.get(row["park_id"], clean(row["park_id"]))),
                    text(clean(row.get("gpu_model") or "")),
                    figure(row["gpu_count"]),
                    text(words(row["pricing"])),
                    text(words(row["workload"] or "")),
                    figure(row["price_per_gpu_hour"], 2, reason="not stated"),
                    text(short_day_text(row["starts_at"].date())),
                    text(short_day_text(row["ends_at"].date())),
                    figure(owed, scale.digits, scale.divisor)
                    if row["pricing"] == "reserved"
                    else absent("metered: as used"),
                ],
            )
        )
    codes = sorted({str(row["currency_code"]) for row in running})
    head = [
        Column("Lease", "text"),
        Column("Park", "text"),
        Column("GPU", "text"),
        Column("GPUs"),
        Column("Pricing", "text"),
        Column("Workload", "text"),
        Column("Price", unit="per GPU-hour"),
        Column("From", "text"),
        Column("To", "text"),
        Column("Still committed", unit=unit_text(join_words(codes), scale)),
    ]
    notes = ["Still committed: GPUs × hours from the day after to the lease's end × price, before adjustments."]
    return [Table("Leases that run", head, out, LEASES, as_of=short_day_text(view.as_of), notes=notes)]


def service(view: View) -> Sequence[Block]:
    """Billed and metered hours and what was paid for them, month by month."""
    frame = need(view, REVENUE, "service_date", "billed_gpu_hours", "metered_gpu_hours", "net_billed_amount")
    months = frame.with_columns(month=pl.col("service_date").dt.truncate("1mo")).filter(pl.col("month") <= view.month)
    if months.is_empty():
        raise CannotCompute(f"table {REVENUE} has no bill of this tenant")
    blocks: list[Block] = []
    for currency, mine in currencies(view, months):
        kept = (
            mine.group_by("month")
            .agg(
                pl.col("billed_gpu_hours", "gross_billed_amount", "adjustment_amount", "net_billed_amount").sum(),
                # The clock bills a reserved lease: its use is in no feed, which is not the same as none.
                metered_gpu_hours=pl.when(pl.col("metered_gpu_hours").count() > 0).then(pl.col("metered_gpu_hours").sum()),
            )
            .sort("month", descending=True)
            .head(TABLE_MONTHS)
        )  # fmt: skip
        scale = money_scale(kept["gross_billed_amount"])
        out = [
            Row(
                Cell(short_month_text(row["month"])),
                [
                    figure(row["billed_gpu_hours"]),
                    figure(row["metered_gpu_hours"], reason="reserved: billed by the clock"),
                    *[
                        figure(row[f"{name}_amount"], scale.digits, scale.divisor)
                        for name in ("gross_billed", "adjustment", "net_billed")
                    ],
                ],
            )
            for row in kept.to_dicts()
        ]
        unit = unit_text(currency, scale)
        head = [
            Column("Month", "text"),
            Column("Billed", unit="GPU-hours"),
            Column("Metered use", unit="GPU-hours"),
            Column("Gross", unit=unit),
            Column("Credits and other", unit=unit),
            Column("Net", unit=unit),
        ]
        blocks.append(Table("What was billed and used", head, out, REVENUE))
    return blocks


def said_in_words(view: View) -> Sequence[Block]:
    """Who stands behind the parks that this tenant rents in."""
    running = leases_in_force(view)
    parks = sorted({str(row["park_id"]) for row in running})
    names = park_names(view)
    backed = sorted({clean(row["contract_id"]) for row in running if row.get("contract_id")})
    hours = quantity(sum(row["gpu_count"] for row in running) * 24, "GPU-hours")
    behind = f"under {join_words(backed)}" if backed else "under no contract with a vendor"
    return [
        Prose(
            [
                (
                    f"{count_text(len(running), 'lease', 'leases')} in {join_words([names.get(one, clean(one)) for one in parks])} "
                    f"({hours} a day), {behind}: {vendor_text(view)} takes a share of what is paid "
                    "here and may have to buy what stands empty."
                ),
                (
                    "Terms are those between operator and vendor, as far as they are public or known to the book; the tenant's own "
                    "lease may say more, and is not read here."
                ),
            ]
        )
    ]


def exits(view: View) -> Sequence[Block]:
    """How the deal behind the park may end."""
    return [agreed("Exit clauses of the deal behind the park", EXITS, view)]


def triggers(view: View) -> Sequence[Block]:
    """When the vendor buys capacity."""
    return [agreed("When the vendor has to buy", TRIGGERS, view)]


def pledges(view: View) -> Sequence[Block]:
    """Limits on collateral."""
    return [agreed("Limits on collateral", PLEDGES, view)]


def portability(view: View) -> Sequence[Block]:
    """Whether workloads may move, and what ties the park to one vendor."""
    return [agreed("Portability and exclusivity", PORTABILITY, view)]
