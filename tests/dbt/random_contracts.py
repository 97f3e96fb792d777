# ruff: noqa: PLR0912, PLR0915, PLR0917 - a drawn thing needs its park, contract and tranche
"""Contracts drawn at random, each in a park of its own, with leases, bills, outages and late knowledge: food for the oracle."""

from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from raw_fixture import put, put_lake_files, view_telemetry
from scenarios import hours_of_days, put_backstop, put_contract, put_home, put_lease, put_park, put_share, put_tranche

ZONES = ("Australia/Sydney", "Asia/Jakarta", "America/New_York", "Europe/Berlin")
FIRST, CLOCK = date(2027, 2, 1), "2027-06-20T00:00:00Z"
LAST = date(2027, 5, 31)
# Metrics of activation and what each is tested against: of the meters and of the base; of capacity, and of the operator's statements.
MEASURED = [("occupancy", "0.4"), ("availability", "0.9"), ("revenue", "60000"), ("base", "30000")]
# Contracts of `draw_shares` with a natural breakpoint over tiers on the share paid; the first has no second axis.
NATURAL = (8, 9, 10, 11)
TOLD_OR_COUNTED = [("installed_gpu_hours", "90000"), ("leased_gpu_hours", "40000"), ("dscr", "1.2")]


def draw(con: duckdb.DuckDBPyConnection, home: Path, *, seed: int, count: int) -> None:
    """Fill the raw schema with `count` contracts `c00` … in parks `p00` …; everything follows from the seed."""
    rnd = random.Random(seed)
    put_home(con, CLOCK)
    put(con, "operator", operator_id="op2", operator_name="Another", parent_id="op2", country_code="ID", rating="B")
    _draw_rates(con, rnd, 150)
    own = random.Random(f"{seed} operators")
    for number in range(count):
        contract_id, park_id = f"c{number:02d}", f"p{number:02d}"
        operator_id = own.choice(["op", "op", "op2"])
        _draw_contract(con, home, rnd, contract_id, park_id, operator_id=operator_id)
        _draw_cash(con, random.Random(f"{seed} {contract_id} cash"), park_id, contract_id, LAST)
    view_telemetry(con, home)


def draw_shares(con: duckdb.DuckDBPyConnection, *, seed: int, count: int) -> None:
    """Contracts over more than a year with a share alone: true-ups of each kind of year, advances, tiers on the share paid."""
    rnd = random.Random(seed)
    put_home(con, "2028-03-20T00:00:00Z")
    _draw_rates(con, rnd, 430)
    for number in range(count):
        contract_id, park_id = f"c{number:02d}", f"p{number:02d}"
        zone_name = rnd.choice(ZONES)
        commencement = FIRST + timedelta(days=rnd.choice([0, 0, 9, 27]))
        expiry = rnd.choice([date(2033, 1, 31), date(2033, 1, 31), date(2027, 12, 12)])
        put_park(con, park_id=park_id, time_zone=zone_name)
        put_contract(
            con,
            contract_id=contract_id,
            park_id=park_id,
            service_commencement_date=commencement,
            expiry_date=expiry,
            minor_unit_digits=rnd.choice([2, 2, 0]),
        )
        tranche = {"tranche_id": f"{park_id}-a", "park_id": park_id, "contract_id": contract_id, "gpu_count": 100}
        put_tranche(con, energised_date=commencement, **tranche)
        versions = [("original", commencement, datetime(2027, 1, 1, tzinfo=UTC))]
        if rnd.random() < 0.5:
            changed = date(2027, rnd.choice([7, 11]), rnd.choice([1, 13]))
            versions.append(("amendment-1", changed, datetime(2027, 12, 2, tzinfo=UTC)))
        for amendment_id, valid_from, recorded_at in versions:
            keys = {
                "contract_id": contract_id,
                "amendment_id": amendment_id,
                "valid_from": valid_from,
                "recorded_at": recorded_at,
            }
            terms = _share_terms(rnd)
            # Some have a natural breakpoint over tiers on the share paid, beside whatever else a share can have.
            is_natural = number in NATURAL
            if is_natural:
                terms |= _natural_terms(_aside(rnd, f"{contract_id} {amendment_id} natural"))
            elif number in range(4, 8) or rnd.random() < 0.4:
                terms |= {
                    "true_up_frequency": rnd.choice(["fiscal_year", "calendar_year"]),
                    "true_up_carry_forward": number in range(4, 8) or rnd.random() < 0.5,
                }
            terms |= _billed_apart(random.Random(f"{seed} {contract_id} {amendment_id}"), terms)
            tiers, combine = _tiers(rnd, terms["share_basis"], terms.get("breakpoint_amount"))
            while any(tier.get("axis") == "occupancy" for tier in tiers):
                tiers, combine = _tiers(rnd, terms["share_basis"], terms.get("breakpoint_amount"))
            own = _aside(rnd, f"{contract_id} {amendment_id} second axis")
            if terms.get("minimum_period") == "month" and is_natural and terms["share_basis"] == "pct_above_breakpoint":
                tiers, combine = _paid_tiers(rnd), None
                if number != NATURAL[0]:
                    tiers, combine = tiers + _second_axis(own), own.choice(["min", "max"])
            put_share(con, tiers, combine=combine, **keys, **terms)
            if rnd.random() < 0.3:
                put(
                    con,
                    "share_activation",
                    share_id="share",
                    criterion_no=1,
                    metric=rnd.choice(["revenue", "base"]),
                    operator=">=",
                    value=Decimal(40_000),
                    test_window_months=2,
                    cure_months=1,
                    **{key: keys[key] for key in ("contract_id", "amendment_id")},
                )
            has_advances = number < 4 or rnd.random() < 0.5
            if has_advances:
                _draw_advances(con, rnd, "share", keys)
            if is_natural:
                _draw_beside_natural(con, own, keys, has_advances=has_advances)
        if rnd.random() < 0.2:  # an amendment that ends the share
            put(
                con,
                "contract_version",
                contract_id=contract_id,
                amendment_id="end",
                valid_from=date(2027, 12, rnd.choice([1, 9])),
                recorded_at=datetime(2027, 12, 20, tzinfo=UTC),
                instrument="revenue_share",
            )
        for lease_no in range(rnd.randrange(2, 6)):
            lease_id = f"{park_id}-l{lease_no}"
            first = date(2027, rnd.choice([1, 1, 3, 8]), 20)
            zone = ZoneInfo(zone_name)
            _draw_lease(con, rnd, zone, park_id, contract_id, tranche, lease_id, "IDR", first, date(2028, 2, 20))
        _draw_cash(con, random.Random(f"{seed} {contract_id} cash"), park_id, contract_id, date(2028, 2, 28))


def _billed_apart(own: random.Random, terms: dict[str, Any]) -> dict[str, Any]:
    """Reserves, and true-ups with days and interest of their own; drawn aside, so that what else is drawn stays."""
    found: dict[str, Any] = {"late_rate": Decimal("0.08")}
    if own.random() < 0.4:
        found |= {
            "reserve_fraction": Decimal(own.choice(["0.05", "0.10"])),
            "reserve_release_months": own.choice([1, 3]),
        }
    if terms.get("true_up_frequency") and not terms.get("true_up_carry_forward"):
        found |= {"true_up_due_days": own.choice([None, 90, 120]), "true_up_interest": own.random() < 0.7}
    return found | {"payment_terms_days": own.choice([0, 10, 30, 60])}


def _draw_cash(con: duckdb.DuckDBPyConnection, own: random.Random, park_id: str, contract_id: str, last: date) -> None:
    """Receipts that name this or that or nothing, some known late or corrected; what the vendor pays; write-offs and disputes."""
    keys = {"park_id": park_id, "contract_id": contract_id}
    for number in range(own.randrange(5, 14)):
        received = _instant(own, ZoneInfo("UTC"), date(2027, 3, 10), last)
        row = {
            **keys,
            "payment_id": f"{park_id}-cash{number}",
            "direction": own.choice(["received", "received", "received", "paid"]),
            "received_at": received,
            "amount": Decimal(own.randrange(1_000, 6_000_000)).scaleb(-2),
            "currency_code": "USD",
            "remittance_reference": own.choice([None, None, _named_thing(own, contract_id)]),
            "funded_by_claim": own.random() < 0.2,
            "recorded_at": received + timedelta(days=own.choice([0, 0, 3, 40])),
            "content_hash": f"{number}a",
        }
        put(con, "payments", **row)
        if own.random() < 0.15:
            later = row["recorded_at"] + timedelta(days=own.choice([5, 30]))
            put(
                con,
                "payments",
                **{**row, "amount": row["amount"] + 100, "recorded_at": later, "content_hash": f"{number}b"},
            )
    for number, kind in enumerate(own.choices(["write_off", "dispute_opened", "dispute_closed"], k=own.randrange(4))):
        happened = _instant(own, ZoneInfo("UTC"), date(2027, 4, 1), last)
        thing = _named_thing(own, contract_id).removeprefix("interest ")
        about = {"item_id": thing} if ":" in thing else {"service_month": thing}
        put(
            con,
            "credit_events",
            **keys,
            event_id=f"{park_id}-credit{number}",
            kind=kind,
            effective_at=happened,
            amount=Decimal(own.randrange(100, 300_000)).scaleb(-2) if kind == "write_off" else None,
            currency_code="USD" if kind == "write_off" else None,
            payload=json.dumps(about) if thing != "interest" else None,
            recorded_at=happened + timedelta(days=own.choice([0, 20])),
        )


def _named_thing(own: random.Random, contract_id: str) -> str:
    """A service month, a document of it, or interest of its days; whether or not there is one."""
    month = f"2027-{own.randrange(2, 7):02d}"
    following = f"2027-{int(month[-2:]) + 1:02d}"
    return own.choice(
        [
            month,
            f"{contract_id}:{month}:invoice_share:{own.choice([month, following])}",
            f"{contract_id}:{month}:invoice_interest:{month}",
            f"interest {month}",
            "interest",
        ]
    )


def _draw_rates(con: duckdb.DuckDBPyConnection, rnd: random.Random, days: int) -> None:
    for day in range(days):
        when = FIRST - timedelta(days=10) + timedelta(days=day)
        if when.weekday() < 5:
            put(
                con,
                "fx_rate",
                rate_date=when,
                from_currency="AUD",
                to_currency="USD",
                rate=Decimal(rnd.randrange(600000, 700000)).scaleb(-6),
                source="ecb",
            )
            put(
                con,
                "fx_rate",
                rate_date=when,
                from_currency="USD",
                to_currency="IDR",
                rate=Decimal(rnd.randrange(160000000, 170000000)).scaleb(-4),
                source="ecb",
            )
    _put_mark(con, observed_date=FIRST, kind="market", price_per_gpu=3_000, currency_code="USD")
    for number in range(4):
        _draw_mark(con, random.Random(f"mark {number}"), None)


def _put_mark(con: duckdb.DuckDBPyConnection, **values: Any) -> None:
    put(con, "hardware_value", gpu_model="GB300", source="drawn", grade="assumed", **values)


def _draw_mark(con: duckdb.DuckDBPyConnection, own: random.Random, park_id: str | None) -> None:
    """What a market pays for a GPU, in every park or in one; marks of lenders and of other currencies tell nothing."""
    _put_mark(
        con,
        observed_date=FIRST + timedelta(days=own.randrange(110)),
        kind=own.choice(["market", "market", "market", "lender_mark"]),
        park_id=park_id,
        price_per_gpu=own.randrange(1_000, 18_000),
        currency_code=own.choice(["USD", "USD", "USD", "AUD"]),
    )


def _aside(rnd: random.Random, what: str) -> random.Random:
    """Drawn aside, so that what else is drawn stays; other with each seed."""
    return random.Random(f"{what} {rnd.getstate()}")


def _instant(rnd: random.Random, zone: ZoneInfo, first: date, last: date) -> datetime:
    day = first + timedelta(days=rnd.randrange((last - first).days + 1))
    return datetime(day.year, day.month, day.day, rnd.choice([0, 0, 7, 13]), rnd.choice([0, 0, 20]), tzinfo=zone)


def _rate(rnd: random.Random) -> Decimal:
    return Decimal(rnd.choice([12, 18, 20, 25, 33, 0 if rnd.random() < 0.3 else 40])) / 100


def _tiers(rnd: random.Random, basis: str, breakpoint_amount: int | None) -> tuple[list[dict[str, Any]], str | None]:
    def months() -> list[dict[str, Any]]:
        return [
            {"from_month": 1, "to_month": 2, "rate": _rate(rnd)},
            {"from_month": 3, "to_month": None, "rate": _rate(rnd)},
        ]

    def dates() -> list[dict[str, Any]]:
        cut = FIRST + timedelta(days=rnd.randrange(20, 100))
        return [
            {"axis": "date", "from_date": FIRST - timedelta(days=40), "to_date": cut, "rate": _rate(rnd)},
            {"axis": "date", "from_date": cut + timedelta(days=1), "to_date": None, "rate": _rate(rnd)},
        ]

    def cumulative() -> list[dict[str, Any]]:
        cut, application = rnd.randrange(200_000, 900_000), rnd.choice(["marginal", "cliff"])
        return [
            {
                "axis": "cumulative_base",
                "from_value": 0,
                "to_value": cut,
                "rate": _rate(rnd),
                "application": application,
            },
            {
                "axis": "cumulative_base",
                "from_value": cut,
                "to_value": 3 * cut,
                "rate": _rate(rnd),
                "application": application,
            },
            {
                "axis": "cumulative_base",
                "from_value": 3 * cut,
                "to_value": None,
                "rate": _rate(rnd),
                "application": application,
            },
        ]

    def prices() -> list[dict[str, Any]]:
        application = rnd.choice(["marginal", "cliff"])
        return [
            {
                "axis": "price_per_gpu_hour",
                "from_value": 0,
                "to_value": "2.1",
                "rate": _rate(rnd),
                "application": application,
            },
            {
                "axis": "price_per_gpu_hour",
                "from_value": "2.1",
                "to_value": None,
                "rate": _rate(rnd),
                "application": application,
            },
        ]

    def occupancy() -> list[dict[str, Any]]:
        return [
            {"axis": "occupancy", "from_value": 0, "to_value": "0.5", "rate": _rate(rnd), "application": "cliff"},
            {"axis": "occupancy", "from_value": "0.5", "to_value": None, "rate": _rate(rnd), "application": "cliff"},
        ]

    def paid() -> list[dict[str, Any]]:
        return _paid_tiers(rnd)

    kinds = rnd.choice(
        [
            [paid],
            [paid],
            [months, paid],
            [dates, paid],
            [months],
            [months],
            [dates],
            [dates],
            [cumulative],
            [cumulative],
            [prices],
            [occupancy],
            [months, prices],
            [dates, cumulative],
            [dates, occupancy],
        ]
    )
    if basis == "pct_above_breakpoint" and paid in kinds and breakpoint_amount is None:
        kinds = rnd.choice([[months], [dates], [cumulative], [dates, cumulative]])
    tiers = [tier for kind in kinds for tier in kind()]
    return tiers, rnd.choice(["min", "max"]) if len(kinds) == 2 else None


def _paid_tiers(rnd: random.Random) -> list[dict[str, Any]]:
    cut, application = rnd.randrange(20_000, 120_000), rnd.choice(["marginal", "marginal", "cliff"])
    bounds = [(0, cut), (cut, 2 * cut), (2 * cut, None)]
    return [
        {
            "axis": "cumulative_share_paid",
            "from_value": low,
            "to_value": high,
            "rate": _rate(rnd),
            "application": application,
        }
        for low, high in bounds
    ]


def _natural_terms(own: random.Random) -> dict[str, Any]:
    """A minimum that makes a natural breakpoint; now and then a version of the block that has none."""
    if own.random() < 0.15:
        return {}
    frequency = own.choice([None, "contract_year", "fiscal_year", "calendar_year"])
    return {
        "share_basis": "pct_above_breakpoint",
        "breakpoint_amount": None,
        "minimum_amount": own.randrange(1_000, 9_000),
        "minimum_period": "month",
        "minimum_creditable": False,
        "floor_price_per_gpu_hour": None,
        "true_up_frequency": frequency,
        "true_up_carry_forward": bool(frequency) and own.random() < 0.3,
    }


def _draw_beside_natural(
    con: duckdb.DuckDBPyConnection, own: random.Random, keys: dict[str, Any], *, has_advances: bool
) -> None:
    """What would hang on a breakpoint that hangs on the share: a test of the base, and an advance that is recouped of it."""
    if own.random() < 0.5:
        put(
            con,
            "share_activation",
            share_id="share",
            criterion_no=2,
            metric="base",
            operator=own.choice([">=", ">=", "<"]),
            value=Decimal(own.choice([10_000, 60_000])),
            test_window_months=own.choice([1, 3]),
            cure_months=own.choice([0, 1]),
            **{key: keys[key] for key in ("contract_id", "amendment_id")},
        )
    if own.random() < 0.6:
        if not has_advances:
            put(con, "contract_version", instrument="token_advances", **keys)
        put(
            con,
            "token_advance",
            advance_id="natural",
            share_id="share",
            advance_type="cash",
            unit="USD",
            face_amount=Decimal(own.randrange(100_000, 3_000_000)).scaleb(-2),
            grant_date=FIRST + timedelta(days=own.randrange(200)),
            recoup_order=own.choice(["before_share", "parallel"]),
            recoupment_rate=Decimal("0.1"),
            interest=Decimal(0),
            **keys,
        )


def _second_axis(rnd: random.Random) -> list[dict[str, Any]]:
    """Beside tiers on the share paid: by month, by date, by price or by the cumulative base."""
    low: dict[str, Any] = {"rate": _rate(rnd)}
    high: dict[str, Any] = {"rate": _rate(rnd)}
    cut = date(2027, rnd.randrange(3, 10), rnd.randrange(1, 28))
    price = {"axis": "price_per_gpu_hour", "application": rnd.choice(["marginal", "cliff"])}
    base = {"axis": "cumulative_base", "application": rnd.choice(["marginal", "cliff"])}
    bound = rnd.randrange(150_000, 900_000)
    return rnd.choice(
        [
            [low | {"from_month": 1, "to_month": 5}, high | {"from_month": 6, "to_month": None}],
            [
                low | {"axis": "date", "from_date": None, "to_date": cut},
                high | {"axis": "date", "from_date": cut + timedelta(days=1), "to_date": None},
            ],
            [
                low | price | {"from_value": 0, "to_value": "2.1"},
                high | price | {"from_value": "2.1", "to_value": None},
            ],
            [low | base | {"from_value": 0, "to_value": bound}, high | base | {"from_value": bound, "to_value": None}],
        ]
    )


def _share_terms(rnd: random.Random) -> dict[str, Any]:
    basis = rnd.choice(
        ["pct_of_base", "pct_of_base", "pct_above_floor", "greater_of_min_or_pct", "pct_above_breakpoint"]
    )
    terms: dict[str, Any] = {
        "share_basis": basis,
        "base_measure": rnd.choice(["gross_billed", "net_billed", "net_billed", "cash_collected"]),
        "base_scope": rnd.choice(["supported_capacity_only", "whole_site"]),
        "customer_scope": rnd.choice(["third_party_only", "third_party_only", "incl_related", "incl_vendor_own_use"]),
        "exclusions": rnd.sample(
            [
                "sales_tax",
                "power_passthrough",
                "sla_penalties",
                "credits_refunds",
                "bad_debt",
                "other_revenue",
                "storage_network_resale",
                "breakage_fees",
            ],
            rnd.randrange(5),
        ),
        "negative_base": rnd.choice(["credit_note", "carry_forward"]),
        "fx_fix": rnd.choice(["average", "month_end", "invoice_date"]),
        "statement_due_days": rnd.choice([0, 5, 15]),
    }
    if basis == "pct_above_floor":
        terms["floor_price_per_gpu_hour"] = Decimal(rnd.choice(["1.10", "1.75", "2.33"]))
    if basis == "pct_above_breakpoint" and rnd.random() < 0.5:
        terms["breakpoint_amount"] = rnd.randrange(50_000, 200_000)
    if basis in ("greater_of_min_or_pct", "pct_above_breakpoint") or rnd.random() < 0.2:
        period = "month" if basis == "pct_above_breakpoint" else rnd.choice(["month", "month", "quarter", "year"])
        terms |= {
            "minimum_amount": rnd.randrange(5_000, 60_000),
            "minimum_period": period,
            "minimum_creditable": period == "month" and basis != "pct_above_breakpoint" and rnd.random() < 0.5,
        }
    if rnd.random() < 0.4:
        terms |= {
            "period_cap_amount": rnd.randrange(20_000, 120_000),
            "period_cap_period": rnd.choice(["month", "month", "quarter", "year"]),
        }
    if rnd.random() < 0.4:
        terms["lifetime_cap_amount"] = Decimal(rnd.randrange(10_000_000, 40_000_000)).scaleb(-2)
    if rnd.random() < 0.2:
        terms |= {"return_multiple": Decimal("1.25"), "hardware_amount": rnd.randrange(80_000, 200_000)}
    if rnd.random() < 0.3:
        terms |= {"withholding_tax_rate": Decimal("0.10"), "gross_up": rnd.random() < 0.7}
    if rnd.random() < 0.4:
        terms |= {
            "true_up_frequency": rnd.choice(["contract_year", "fiscal_year", "calendar_year"]),
            "true_up_carry_forward": rnd.random() < 0.5,
        }
    return terms


def _backstop_terms(rnd: random.Random) -> dict[str, Any]:
    terms: dict[str, Any] = {
        "committed_fraction": Decimal(rnd.choice(["0.85", "0.7", "1", "0.333333333"])),
        "excluded_causes": rnd.sample(
            [
                "operator_fault",
                "late_delivery",
                "maintenance_above_allowance",
                "power_curtailment",
                "planned_maintenance",
                "force_majeure",
                "acceptance_failed",
            ],
            rnd.randrange(6),
        ),
        "effective_event": rnd.choice(["energised"] * 5 + ["signing", "acceptance", "COD", "lease_commencement"]),
        "withdrawal_tranche_min": rnd.choice([None, None, 10]),
        "first_loss_band": rnd.choice([None, None, None, Decimal("0.1")]),
        "maintenance_allowance_fraction": Decimal("0.01"),
        "longstop_days": rnd.choice([None, 30]),
        "withdrawal_notice_days": rnd.choice([0, 10]),
        "buyer_own_use_reduces": rnd.random() < 0.7,
        "lifetime_cap_reduces_with": ["payment"],
    }
    if rnd.random() < 0.6:
        terms["deductible_fraction"] = Decimal("0.05")
    if rnd.random() < 0.4:
        terms["deductible_gpu_hours"] = rnd.randrange(500, 4000)
    if rnd.random() < 0.6:
        terms |= {
            "period_cap_amount": Decimal(rnd.randrange(3_000_000, 20_000_000)).scaleb(-2),
            "period_cap_period": rnd.choice(["month", "quarter", "year"]),
        }
    if terms.get("period_cap_period") != "quarter" and rnd.random() < 0.3:
        terms["annual_cap_amount"] = rnd.randrange(50_000, 300_000)
    if rnd.random() < 0.6:
        terms |= {
            "lifetime_cap_amount": rnd.randrange(100_000, 600_000),
            "lifetime_cap_reduces_with": rnd.sample(["payment", "time", "third_party_sale"], rnd.randrange(1, 4)),
        }
    return terms


def _settlement(contract_id: str, amendment_id: str, aside: random.Random) -> dict[str, Any]:
    """Drawn apart, so that all else stays what its seed has drawn."""
    own = random.Random(f"{contract_id} {amendment_id}")
    terms: dict[str, Any] = {}
    if own.random() >= 0.6:
        terms |= {"settlement_type": "revenue_shortfall", "fx_fix": own.choice(["average", "month_end"])}
    if own.random() < 0.9:
        terms["withdrawal_claw_back_fraction"] = Decimal(own.choice(["0.3", "1"]))
    if own.random() < 0.4:
        terms["lifetime_cap_index_id"] = "cpi"
    if aside.random() < 0.45:
        terms["settlement_type"] = aside.choice(["debt_service_shortfall", "lease_payment"])
    if aside.random() < 0.4:
        terms |= {
            "residual_value_support_pct": Decimal(aside.choice(["0.25", "0.1"])),
            "attachment_pct": aside.choice([None, Decimal("0.4")]),
            "rv_date": date(2027, aside.choice([3, 4, 5]), aside.choice([1, 15, 30])),
            "rv_hardware_price_per_gpu": Decimal("40000.01"),
        }
    return terms


def _draw_ends(con: duckdb.DuckDBPyConnection, own: random.Random, contract_id: str, amendment_id: str) -> None:
    """What an early end costs, and whom, by its ground."""
    for ground in ("rating_trigger", "default"):
        if own.random() < 0.9:
            put(
                con,
                "backstop_termination",
                contract_id=contract_id,
                amendment_id=amendment_id,
                ground=ground,
                notice_days=30,
                payer=own.choice(["vendor", "vendor", "operator"]),
                termination_amount=own.choice([None, *[Decimal(own.randrange(100_000, 20_000_000)).scaleb(-2)] * 3]),
            )


def _draw_termination(
    con: duckdb.DuckDBPyConnection, own: random.Random, zone: ZoneInfo, park_id: str, contract_id: str
) -> None:
    """Some contracts end early, on a ground or on none; and what the park's own hardware fetches."""
    if own.random() < 0.5:
        ended = _instant(own, zone, date(2027, 4, 1), date(2027, 5, 25))
        put(
            con,
            "credit_events",
            park_id=park_id,
            event_id=f"{park_id}-end",
            contract_id=contract_id,
            kind="termination",
            effective_at=ended,
            recorded_at=ended + timedelta(days=own.choice([0, 20])),
            payload=own.choice([None, '{"ground": "rating_trigger"}', '{"ground": "default"}']),
        )
    for _ in range(own.randrange(3)):
        _draw_mark(con, own, park_id)


def _draw_facts(con: duckdb.DuckDBPyConnection, contract_id: str, operator_id: str) -> None:
    """What the operator's statements tell of each month, some late, some stated anew; of some months one figure is missing."""
    costs = (
        ("operating_cost", 5_000, 60_000),
        ("cash_for_debt_service", 10_000, 30_000),
        ("debt_service_due", 10_000, 20_000),
    )
    guaranteed = (
        ("debt_service_paid", 0, 22_000),
        ("lease_payment_due", 10_000, 200_000),
        ("lease_payment_paid", 0, 150_000),
    )
    _draw_items(con, random.Random(f"{contract_id} facts"), contract_id, operator_id, costs)
    _draw_items(con, random.Random(f"{contract_id} payments"), contract_id, operator_id, guaranteed)


def _draw_items(
    con: duckdb.DuckDBPyConnection,
    own: random.Random,
    contract_id: str,
    operator_id: str,
    items: tuple[tuple[str, int, int], ...],
) -> None:
    for month in (date(2027, 1, 31), date(2027, 2, 28), date(2027, 3, 31), date(2027, 4, 30)):
        for item, least, most in items:
            if own.random() < 0.2:
                continue
            for days_after in (own.choice([3, 12, 40]), own.choice([None, None, 45])):
                if days_after is not None:
                    put(
                        con,
                        "operator_fact",
                        operator_id=operator_id,
                        contract_id=contract_id,
                        item=item,
                        as_of_date=month,
                        published_date=month + timedelta(days=days_after),
                        amount=Decimal(own.randrange(100 * least, 100 * most)).scaleb(-2),
                        currency_code="USD",
                    )


def _draw_contract(
    con: duckdb.DuckDBPyConnection,
    home: Path,
    rnd: random.Random,
    contract_id: str,
    park_id: str,
    *,
    sampled_days: int = 31,
    operator_id: str | None = None,
) -> None:
    """A contract and its park; `sampled_days` of each month have telemetry, of the others nothing is known.

    With an operator's name some shares count all of that operator's parks; without one, no contract knows of another's.
    """
    cloud = _aside(rnd, f"{contract_id} cloud") if operator_id else None
    operator_id = operator_id or "op"
    zone_name = rnd.choice(ZONES)
    zone = ZoneInfo(zone_name)
    commencement = FIRST + timedelta(days=rnd.choice([0, 0, 9, 20]))
    expiry = rnd.choice([date(2033, 1, 31), date(2027, 5, 12), date(2027, 4, 30)])
    put_park(con, park_id=park_id, time_zone=zone_name, operator_id=operator_id)
    currency = rnd.choice(["USD", "USD", "IDR"])
    put_contract(
        con,
        contract_id=contract_id,
        park_id=park_id,
        operator_id=operator_id,
        service_commencement_date=commencement,
        expiry_date=expiry,
        currency_code="USD",
        minor_unit_digits=rnd.choice([2, 2, 0]),
    )
    tranches = []
    for letter in "ab":
        energised = commencement + timedelta(days=rnd.choice([0, 0, 12, 45]))
        tranche = {
            "tranche_id": f"{park_id}-{letter}",
            "park_id": park_id,
            "contract_id": contract_id,
            "gpu_count": rnd.choice([40, 72, 100]),
            "planned_date": commencement,
            "energised_date": energised,
        }
        put_tranche(con, **tranche)
        tranches.append(tranche)

    _draw_facts(con, contract_id, operator_id)
    amended = rnd.random() < 0.6
    versions = [("original", commencement, datetime(2027, 1, 1, tzinfo=UTC))]
    if amended:
        versions.append(
            (
                "amendment-1",
                date(2027, 3, rnd.choice([1, 11, 20])),
                datetime(2027, rnd.choice([3, 4, 5]), 2, tzinfo=UTC),
            )
        )
    share_ids = ["share"] if rnd.random() < 0.7 else ["floor", "plain"]
    for amendment_id, valid_from, recorded_at in versions:
        keys = {
            "contract_id": contract_id,
            "amendment_id": amendment_id,
            "valid_from": valid_from,
            "recorded_at": recorded_at,
        }
        late = _aside(rnd, f"{contract_id} {amendment_id} late")
        paid = {
            "late_rate": Decimal(late.choice(["0", "0.08", "0.125"])),
            "payment_terms_days": late.choice([0, 10, 30]),
        }
        for share_id in share_ids:
            terms = _share_terms(rnd) | paid
            own = random.Random(f"{contract_id} {amendment_id} {share_id}")
            if own.random() < 0.25:
                terms["base_measure"] = "ebitda"
            if cloud and cloud.random() < 0.3:
                terms["base_scope"] = "all_cloud"
            tiers, combine = _tiers(rnd, terms["share_basis"], terms.get("breakpoint_amount"))
            put_share(con, tiers, share_id=share_id, combine=combine, **keys, **terms)
            criteria = [(number, rnd, MEASURED) for number in range(1, rnd.choice([0, 0, 1, 2]) + 1)]
            if own.random() < 0.6:
                criteria.append((3, own, TOLD_OR_COUNTED))
            for criterion_no, drawn, measures in criteria:
                metric, value = drawn.choice(measures)
                put(
                    con,
                    "share_activation",
                    contract_id=contract_id,
                    share_id=share_id,
                    amendment_id=amendment_id,
                    criterion_no=criterion_no,
                    metric=metric,
                    operator=drawn.choice([">=", ">=", "<"]),
                    value=Decimal(value),
                    test_window_months=drawn.choice([1, 2, 3]),
                    cure_months=drawn.choice([0, 1]),
                )
        if rnd.random() < 0.5:
            _draw_advances(con, rnd, share_ids[0], keys)
        if amendment_id == "original" or rnd.random() < 0.5:
            put_backstop(
                con,
                [
                    {
                        "from_month": 1,
                        "to_month": 2,
                        "price_per_gpu_hour": Decimal("2.00"),
                        "index_id": rnd.choice([None, "cpi"]),
                    },
                    {
                        "from_month": 3,
                        "to_month": None,
                        "price_per_gpu_hour": Decimal("1.77"),
                        "index_id": rnd.choice([None, "cpi"]),
                    },
                ],
                ramp=[{"from_month": 1, "to_month": 2, "fraction": Decimal("0.5")}] if rnd.random() < 0.4 else None,
                expiry_date=expiry if rnd.random() < 0.8 else min(expiry, date(2027, 5, 7)),
                **keys,
                **_backstop_terms(rnd),
                **_settlement(contract_id, amendment_id, _aside(rnd, f"{contract_id} {amendment_id} settlement")),
                set_off_scope=late.choice(["none", "revenue_share_only", "all_sums"]),
                set_off_enforceable=late.random() < 0.8,
                claim_notice_days=late.choice([0, 10]),
                claim_payment_days=late.choice([0, 10, 45]),
            )
            _draw_ends(con, _aside(rnd, f"{contract_id} {amendment_id} ends"), contract_id, amendment_id)

    if rnd.random() < 0.25:  # an amendment that ends the backstop
        put(
            con,
            "contract_version",
            contract_id=contract_id,
            amendment_id="end",
            valid_from=date(2027, 4, rnd.choice([1, 17])),
            recorded_at=datetime(2027, 4, 25, tzinfo=UTC),
            instrument="backstop",
        )
    for number in range(rnd.randrange(3, 6)):
        _draw_lease(con, rnd, zone, park_id, contract_id, rnd.choice(tranches), f"{park_id}-l{number}", currency)
    for tranche in tranches:
        _draw_events(con, rnd, zone, park_id, contract_id, tranche)
        _draw_telemetry(con, home, rnd, zone_name, park_id, tranche, sampled_days)
    if rnd.random() < 0.2:
        put(
            con,
            "credit_events",
            park_id=park_id,
            event_id=f"{park_id}-ins",
            contract_id=contract_id,
            kind="insolvency",
            effective_at=datetime(2027, 4, 22, 3, tzinfo=zone),
            recorded_at=datetime(2027, 4, 30, tzinfo=UTC),
        )
    _draw_termination(con, _aside(rnd, f"{contract_id} termination"), zone, park_id, contract_id)
    if rnd.random() < 0.3:
        put(
            con,
            "credit_events",
            park_id=park_id,
            event_id=f"{park_id}-close",
            contract_id=contract_id,
            kind="period_close",
            effective_at=datetime(2027, 4, 3, 12, tzinfo=zone),
            recorded_at=datetime(2027, 4, 3, 12, tzinfo=zone),
            payload='{"posting_month": "2027-03"}',
        )
    for number in range(rnd.randrange(4)):
        happened = _instant(rnd, zone, date(2027, 1, 10), date(2027, 5, 20))
        put(
            con,
            "credit_events",
            park_id=park_id,
            event_id=f"{park_id}-index{number}",
            contract_id=rnd.choice([None, contract_id]),
            kind="price_index",
            effective_at=happened,
            recorded_at=happened + timedelta(days=rnd.choice([0, 20])),
            payload=json.dumps(
                {"index": rnd.choice(["cpi", "cpi", "other"]), "level": str(rnd.randrange(950, 1100) / 10)}
            ),
        )
    for number in range(2):
        put(
            con,
            "payments",
            park_id=park_id,
            payment_id=f"{park_id}-r{number}",
            contract_id=contract_id,
            direction=rnd.choice(["received", "paid"]),
            received_at=_instant(rnd, zone, date(2027, 3, 20), LAST),
            amount=Decimal(rnd.randrange(100, 9_000_000)).scaleb(-2),
            currency_code="USD",
            funded_by_claim=False,
            recorded_at=datetime(2027, rnd.choice([4, 5, 6]), 9, tzinfo=UTC),
        )


def _draw_advances(con: duckdb.DuckDBPyConnection, rnd: random.Random, share_id: str, keys: dict[str, Any]) -> None:
    put(con, "contract_version", instrument="token_advances", **keys)
    own = random.Random(str(keys))
    # Some amendments turn the first from the share to the base; its rate leaves the others theirs.
    turn = _aside(rnd, f"{keys} turned")
    turned: dict[str, Any] = {}
    if turn.random() < 0.25:
        turned = {"recoup_order": turn.choice(["before_share", "parallel"]), "recoupment_rate": Decimal("0.3")}
    for number in range(rnd.randrange(3)):
        put(
            con,
            "token_advance",
            advance_id=f"adv{number}",
            share_id=share_id,
            advance_type=rnd.choice(["cash", "token_credit"]),
            unit=rnd.choice(["USD", "token"]),
            face_amount=Decimal(rnd.randrange(100_000, 6_000_000)).scaleb(-2),
            conversion_price=Decimal(1),
            grant_date=FIRST + timedelta(days=rnd.randrange(60)),
            expiry_date=rnd.choice([None, None, date(2027, 4, 15)]),
            **{
                "recoup_order": rnd.choice(["before_share", "parallel"]) if number else "from_share",
                "recoupment_rate": Decimal(rnd.choice(["0.1", "0.333333333", "0.5"])),
                "interest": Decimal(own.choice(["0", "0.08"])),
                **(turned if number == 0 else {}),
            },
            **keys,
        )


def _draw_lease(
    con: duckdb.DuckDBPyConnection,
    rnd: random.Random,
    zone: ZoneInfo,
    park_id: str,
    contract_id: str,
    tranche: dict[str, Any],
    lease_id: str,
    currency: str,
    first: date = date(2027, 1, 20),
    last: date = date(2027, 7, 1),
) -> None:
    start = _instant(rnd, zone, first, first + timedelta(days=80))
    end = _instant(rnd, zone, start.date() + timedelta(days=20), last)
    lease_currency = rnd.choice(["USD", "USD", "USD", "AUD", currency])
    scale = 16_000 if lease_currency == "IDR" else 1
    price = Decimal(rnd.choice(["2.50", "1.95", "2.222222222", "3.1"])) * scale
    pricing = rnd.choice(["reserved", "reserved", "metered"])
    lease = {
        "park_id": park_id,
        "lease_id": lease_id,
        "contract_id": contract_id,
        "tranche_id": tranche["tranche_id"],
        "gpu_count": rnd.randrange(5, 45),
        "starts_at": start,
        "ends_at": end,
        "price_per_gpu_hour": price,
        "currency_code": lease_currency,
        "pricing": pricing,
        "customer_type": rnd.choice(["third_party", "third_party", "third_party", "related", "vendor_own_use"]),
        "recorded_at": datetime(2027, 1, 10, tzinfo=UTC),
    }
    put_lease(con, **lease)
    if rnd.random() < 0.5:  # a later version: a new price or count from its own start, sometimes recorded late
        changed = {
            **lease,
            "version": 2,
            "starts_at": _instant(rnd, zone, start.date(), end.date()),
            "gpu_count": rnd.randrange(5, 45),
            "price_per_gpu_hour": price + Decimal("0.1"),
            "status": rnd.choice(["active", "active", "cancelled"]),
            "recorded_at": datetime(2027, rnd.choice([2, 4, 5]), 15, tzinfo=UTC),
        }
        put_lease(con, **changed)
        if rnd.random() < 0.4:  # the same version corrected
            put_lease(
                con, **{**changed, "gpu_count": rnd.randrange(5, 45), "recorded_at": datetime(2027, 5, 20, tzinfo=UTC)}
            )
    if pricing == "metered":
        for number in range(30):
            begin = start + timedelta(hours=37 * number)
            if begin < end:
                use = {
                    "park_id": park_id,
                    "lease_id": lease_id,
                    "interval_start_at": begin,
                    "interval_end_at": begin.astimezone(UTC) + timedelta(hours=1),
                    "gpu_hours": Decimal(rnd.randrange(1, 900_000_000)).scaleb(-6),
                    "recorded_at": begin + timedelta(days=rnd.choice([1, 1, 20])),
                }
                put(con, "lease_usage", **use)
                if rnd.random() < 0.1:
                    put(
                        con,
                        "lease_usage",
                        **{
                            **use,
                            "gpu_hours": Decimal("12.345678"),
                            "recorded_at": use["recorded_at"] + timedelta(days=25),
                        },
                    )
    for number in range(rnd.randrange(6)):
        billed = ["sales_tax", "power_passthrough", "other_revenue", "storage_network_resale", "breakage_fee"]
        kind = rnd.choice(["credit", "refund", "sla_penalty", "bad_debt", *billed])
        sign = 1 if kind in billed else -1
        row = {
            "park_id": park_id,
            "adjustment_id": f"{lease_id}-a{number}",
            "lease_id": lease_id,
            "kind": kind,
            "currency_code": lease_currency,
            "service_date": first + timedelta(days=rnd.randrange((last - first).days - 45) + 12),
            "amount": sign * Decimal(rnd.randrange(100, rnd.choice([400_000, 30_000_000]))).scaleb(-2) * scale,
            "recorded_at": datetime(2027, rnd.choice([3, 4, 5, 6]), rnd.randrange(1, 19), tzinfo=UTC),
        }
        put(con, "lease_adjustments", **row)
        if rnd.random() < 0.2:
            put(
                con,
                "lease_adjustments",
                **{**row, "amount": row["amount"] / 2, "recorded_at": datetime(2027, 6, 15, 12, tzinfo=UTC)},
            )
    for number in range(rnd.randrange(4)):
        put(
            con,
            "payments",
            park_id=park_id,
            payment_id=f"{lease_id}-t{number}",
            direction="tenant_received",
            lease_id=lease_id,
            received_at=_instant(rnd, zone, first + timedelta(days=12), last - timedelta(days=31)),
            amount=Decimal(rnd.randrange(10_000, 9_000_000)).scaleb(-2) * scale,
            currency_code=lease_currency,
            recorded_at=datetime(2027, rnd.choice([3, 5, 6]), 10, tzinfo=UTC),
        )


def _draw_events(
    con: duckdb.DuckDBPyConnection,
    rnd: random.Random,
    zone: ZoneInfo,
    park_id: str,
    contract_id: str,
    tranche: dict[str, Any],
) -> None:
    for kind in ("acceptance", "commercial_operation"):
        if rnd.random() < 0.7:
            happened = _instant(rnd, zone, tranche["energised_date"] - timedelta(days=10), date(2027, 4, 20))
            put(
                con,
                "credit_events",
                park_id=park_id,
                event_id=f"{tranche['tranche_id']}-{kind}",
                contract_id=contract_id,
                tranche_id=tranche["tranche_id"],
                kind=kind,
                effective_at=happened,
                recorded_at=happened + timedelta(days=rnd.choice([0, 20])),
            )
    for number in range(rnd.randrange(4)):
        outage = [
            "maintenance",
            "operator_fault",
            "power_curtailment",
            "delivery",
            "force_majeure",
            "acceptance_failed",
        ]
        kind = rnd.choice([*outage, "withdrawal", "recall"])
        start = _instant(rnd, zone, tranche["energised_date"], date(2027, 5, 20))
        event = {
            "park_id": park_id,
            "event_id": f"{tranche['tranche_id']}-e{number}",
            "contract_id": contract_id,
            "tranche_id": tranche["tranche_id"],
            "kind": kind,
            "effective_at": start,
            "gpu_count": rnd.choice([5, 20, 60]),
            "recorded_at": start + timedelta(days=rnd.choice([0, 15, 30])),
            "ends_at": None if kind in ("withdrawal", "recall") else start + timedelta(hours=rnd.randrange(1, 60)),
        }
        put(con, "credit_events", **event)
        if kind == "maintenance" and rnd.random() < 0.5:
            put(
                con,
                "credit_events",
                **{**event, "gpu_count": 10, "recorded_at": event["recorded_at"] + timedelta(days=20)},
            )


def _draw_telemetry(
    con: duckdb.DuckDBPyConnection,
    home: Path,
    rnd: random.Random,
    zone_name: str,
    park_id: str,
    tranche: dict[str, Any],
    sampled_days: int,
) -> None:
    """Hourly rows of two racks that stand for half the tranche each, with silent hours, fatal XIDs, late files and corrections."""
    half = tranche["gpu_count"] // 2
    gap, fatal, late, corrected = (
        rnd.randrange(50, 200),
        rnd.randrange(300, 700),
        rnd.randrange(20, 40),
        rnd.randrange(20, 40),
    )
    select = f"""
        SELECT '{park_id}' AS park_id, service_date, '{tranche["tranche_id"]}-r' || rack AS gpu_id, 'n' AS node_id, 'GB300' AS gpu_model,
               '{tranche["tranche_id"]}' AS tranche_id, h AS sampled_at, h AS interval_start_at,
               40000 + hour_no * 7 % 5000 AS utilization_milli_pct, 900000000 AS power_microwatt, {half} AS gpu_count,
               CASE WHEN hash_no % {fatal} = 3 THEN 79 WHEN hash_no % 50 = 1 THEN 31 END AS xid_code,
               timezone('{zone_name}', service_date + INTERVAL 1 DAY)
               + to_days(CASE WHEN (service_date - DATE '2027-01-01') % {late} = 2 THEN 25 ELSE 1 END) AS recorded_at,
               row_number() OVER (ORDER BY h, rack) AS line_no
        FROM (SELECT service_date, h, rack, CAST(epoch(h) / 3600 AS BIGINT) AS hour_no,
                     CAST(epoch(h) / 3600 AS BIGINT) * 13 + rack * 7 AS hash_no
              FROM ({hours_of_days(zone_name, tranche["energised_date"], LAST)}), (VALUES (1), (2)) AS r (rack))
        WHERE hash_no % {gap} != 5 AND day(service_date) <= {sampled_days}"""
    put_lake_files(con, home, name=tranche["tranche_id"], select=select)
    put_lake_files(  # corrected content of some samples of some days, recorded after the close
        con,
        home,
        name=f"{tranche['tranche_id']}-late",
        select=f"SELECT * REPLACE (79 AS xid_code, recorded_at + INTERVAL 22 DAY AS recorded_at)"
        f" FROM ({select}) WHERE CAST(epoch(sampled_at) / 3600 AS BIGINT) % 5 = 0 AND (service_date - DATE '2027-01-01') % {corrected} = 3",
    )
