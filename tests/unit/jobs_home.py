"""A small hand-written home of input frames for the credit jobs, named and typed as the warehouse's tables.

`home(...)` builds the journal lines that the warehouse would hold for its documents, receipts, accruals, write-offs and
claims, by the same rule of differences at closes.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.polars_jobs.frames import add_months, month_end
from orchestration.polars_jobs.journal import JOURNAL_SCHEMA
from orchestration.polars_jobs.money import MONEY

D = Decimal
CONTRACT = "sharon-nvda-2026"
UTC_TIME = pl.Datetime("us", "UTC")

PAYMENT_SCHEMA = {
    "park_id": pl.String,
    "payment_id": pl.String,
    "contract_id": pl.String,
    "direction": pl.String,
    "received_at": UTC_TIME,
    "amount": MONEY,
    "currency_code": pl.String,
    "remittance_reference": pl.String,
    "funded_by_claim": pl.Boolean,
    "lease_id": pl.String,
    "recorded_at": UTC_TIME,
    "content_hash": pl.String,
}
EVENT_SCHEMA = {
    "park_id": pl.String,
    "event_id": pl.String,
    "contract_id": pl.String,
    "tranche_id": pl.String,
    "kind": pl.String,
    "effective_at": UTC_TIME,
    "ends_at": UTC_TIME,
    "gpu_count": pl.Int32,
    "amount": MONEY,
    "currency_code": pl.String,
    "payload": pl.String,
    "recorded_at": UTC_TIME,
    "content_hash": pl.String,
}
DOCUMENT_SCHEMA = {
    "item_id": pl.String,
    "contract_id": pl.String,
    "kind": pl.String,
    "service_month": pl.Date,
    "posting_month": pl.Date,
    "posted_at": UTC_TIME,
    "invoice_date": pl.Date,
    "due_date": pl.Date,
    "original_amount": MONEY,
    "currency_code": pl.String,
    "is_provisional": pl.Boolean,
}


def at(day: date, hour: int = 12) -> datetime:
    """Noon of a day, UTC."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def close_time(month: date, days: int = 10) -> datetime:
    """End of the tenth day after the month's last, UTC."""
    return at(month_end(month), 0) + timedelta(days=days + 1)


def closes(months: list[date], contract_id: str = CONTRACT, provisional: int = 0) -> pl.DataFrame:
    rows = [
        {
            "contract_id": contract_id,
            "park_id": "sharon-au-1",
            "time_zone": "UTC",
            "posting_month": month,
            "month_end_date": date(month.year, month.month, monthrange(month.year, month.month)[1]),
            "known_at": close_time(month),
            "closed_by": "policy",
            "is_provisional": number >= len(months) - provisional,
            "close_no": number + 1,
        }
        for number, month in enumerate(months)
    ]
    return pl.DataFrame(rows, schema_overrides={"known_at": UTC_TIME})


def invoice(
    service_month: date,
    amount: str,
    *,
    posted: date | None = None,
    due_days: int = 60,
    contract_id: str = CONTRACT,
    **over: Any,
) -> dict[str, Any]:
    """A document dated 15 days after its service month, posted in the month of that date; negative is a credit note."""
    invoice_date = over.pop("invoice_date", month_end(service_month) + timedelta(days=15))
    posting = posted or invoice_date.replace(day=1)
    kind = "invoice" if D(amount) > 0 else "credit_note"
    event = "invoice_share" if D(amount) > 0 else "credit_note"
    return {
        "item_id": f"{contract_id}:{service_month:%Y-%m}:{event}:{posting:%Y-%m}",
        "contract_id": contract_id,
        "kind": kind,
        "service_month": service_month,
        "posting_month": posting,
        "posted_at": close_time(posting),
        "invoice_date": invoice_date,
        "due_date": invoice_date + timedelta(days=due_days),
        "original_amount": D(amount),
        "currency_code": "USD",
        "is_provisional": False,
        **over,
    }


def payment(
    payment_id: str,
    day: date,
    amount: str,
    reference: str = "",
    *,
    recorded: datetime | None = None,
    circular: bool = False,
    contract_id: str = CONTRACT,
    direction: str = "received",
) -> dict[str, Any]:
    return {
        "park_id": "sharon-au-1",
        "payment_id": payment_id,
        "contract_id": contract_id,
        "direction": direction,
        "received_at": at(day),
        "amount": D(amount),
        "currency_code": "USD",
        "remittance_reference": reference,
        "funded_by_claim": circular,
        "lease_id": None,
        "recorded_at": recorded or at(day, 18),
        "content_hash": f"{payment_id}{amount}",
    }


def event(
    event_id: str,
    kind: str,
    day: date,
    *,
    amount: str | None = None,
    payload: str | None = None,
    recorded: datetime | None = None,
    ends: date | None = None,
    contract_id: str = CONTRACT,
) -> dict[str, Any]:
    return {
        "park_id": "sharon-au-1",
        "event_id": event_id,
        "contract_id": contract_id,
        "tranche_id": None,
        "kind": kind,
        "effective_at": at(day),
        "ends_at": at(ends) if ends else None,
        "gpu_count": None,
        "amount": None if amount is None else D(amount),
        "currency_code": "USD",
        "payload": payload,
        "recorded_at": recorded or at(day, 18),
        "content_hash": event_id,
    }


def _versions(rows: list[dict[str, Any]], key: str, known_at: datetime) -> list[dict[str, Any]]:
    latest: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (row["recorded_at"], row["content_hash"])):
        if row["recorded_at"] <= known_at:
            latest[row[key]] = row
    return list(latest.values())


def journal(  # noqa: PLR0912  one branch per event
    documents: list[dict[str, Any]],
    payments: list[dict[str, Any]],
    events: list[dict[str, Any]],
    close_frame: pl.DataFrame,
    *,
    accruals: dict[date, str] | None = None,
    claims: dict[date, str] | None = None,
) -> pl.DataFrame:
    """The warehouse's lines by the rule of the design: per event and close, what should stand less what is posted."""
    lines: list[dict[str, Any]] = []

    def post(
        close: dict[str, Any], kind: str, service_month: date, accounts: tuple[str, str], amount: D, *, entry: str = ""
    ) -> None:
        entry = entry or f"{close['contract_id']}:{service_month:%Y-%m}:{kind}:{close['posting_month']:%Y-%m}"
        for number, (account, signed) in enumerate(zip(accounts, (amount, -amount), strict=True), start=1):
            lines.append(
                {
                    "entry_id": entry,
                    "line_no": number,
                    "contract_id": close["contract_id"],
                    "account": account,
                    "event": kind,
                    "amount": signed,
                    "currency_code": "USD",
                    "service_month": service_month,
                    "posting_month": close["posting_month"],
                    "posted_at": close["known_at"],
                    "is_provisional": close["is_provisional"],
                    "corrects_entry_id": None,
                    "terms_version": "original",
                    "run_id": "test",
                }
            )

    standing: dict[tuple[str, str, date], D] = {}
    for close in close_frame.sort("contract_id", "posting_month").iter_rows(named=True):
        own = close["contract_id"]
        for document in documents:
            if document["posting_month"] == close["posting_month"] and document["contract_id"] == own:
                name = "invoice_share" if document["original_amount"] > 0 else "credit_note"
                post(
                    close,
                    name,
                    document["service_month"],
                    ("trade_receivable", "unbilled_share_receivable"),
                    document["original_amount"],
                    entry=document["item_id"],
                )
        should: dict[tuple[str, str, date], D] = {}

        def add(
            kind: str, month: date, amount: D, should: dict[tuple[str, str, date], D] = should, own: str = own
        ) -> None:
            should[own, kind, month] = should.get((own, kind, month), D(0)) + amount

        for month, amount in (accruals or {}).items():
            if month <= close["posting_month"]:
                add("accrue_share", month, D(amount))
        for month, amount in (claims or {}).items():
            if month <= close["posting_month"]:
                add("accrue_claim", month, D(amount))
        for row in _versions([row for row in payments if row["contract_id"] == own], "payment_id", close["known_at"]):
            if row["direction"] == "received" and row["received_at"].date() <= close["month_end_date"]:
                add("receive_cash", row["received_at"].date().replace(day=1), row["amount"])
        for row in _versions([row for row in events if row["contract_id"] == own], "event_id", close["known_at"]):
            if row["kind"] in {"write_off", "recovery"} and row["effective_at"].date() <= close["month_end_date"]:
                add(row["kind"], row["effective_at"].date().replace(day=1), row["amount"])
        accounts = {
            "accrue_share": ("unbilled_share_receivable", "share_revenue"),
            "accrue_claim": ("backstop_cost", "backstop_payable"),
            "receive_cash": ("cash", "unapplied_cash"),
            "write_off": ("allowance_for_credit_losses", "trade_receivable"),
            "recovery": ("cash", "allowance_for_credit_losses"),
        }
        for key in sorted(set(should) | {key for key in standing if key[0] == own}, key=str):
            change = should.get(key, D(0)) - standing.get(key, D(0))
            if change:
                post(close, key[1], key[2], accounts[key[1]], change)
                standing[key] = should.get(key, D(0))
    return pl.DataFrame(lines, schema=JOURNAL_SCHEMA)


def default_rates() -> pl.DataFrame:
    """S&P averages 1981-2016 for B and CCC/C (ORACLES.md, O13); withdrawals of later years held at the first's."""
    table = {
        "B": {1: ("0.0376", "0.1206"), 2: ("0.0856", "0.1206"), 3: ("0.1278", "0.1206"), 5: ("0.1925", "0.1206")},
        "CCC/C": {1: ("0.2678", "0.1539"), 2: ("0.3553", "0.1539"), 3: ("0.4068", "0.1539"), 5: ("0.4696", "0.1539")},
    }
    rows = [
        {
            "agency": "SP",
            "rating": rating,
            "horizon_years": years,
            "cumulative_default_rate": D(rate),
            "withdrawn_rate": D(gone),
            "source": "O13",
        }
        for rating, horizons in table.items()
        for years, (rate, gone) in horizons.items()
    ]
    return pl.DataFrame(rows)


def home(
    months: list[date],
    documents: list[dict[str, Any]],
    payments: list[dict[str, Any]] | None = None,
    events: list[dict[str, Any]] | None = None,
    *,
    accruals: dict[date, str] | None = None,
    claims: dict[date, str] | None = None,
    policy: dict[str, str] | None = None,
    provisional: int = 0,
) -> dict[str, pl.DataFrame]:
    payments, events = payments or [], events or []
    close_frame = closes(months, provisional=provisional)
    return {
        "ledger.fct_receivable_document": pl.DataFrame(documents, schema=DOCUMENT_SCHEMA),
        "intermediate.int_closes": close_frame,
        "staging.stg_payments": pl.DataFrame(payments, schema=PAYMENT_SCHEMA),
        "staging.stg_credit_events": pl.DataFrame(events, schema=EVENT_SCHEMA),
        "ledger.fct_journal_lines": journal(documents, payments, events, close_frame, accruals=accruals, claims=claims),
        "core.dim_contract": pl.DataFrame(
            [
                {
                    "contract_id": CONTRACT,
                    "vendor_id": "nvidia",
                    "operator_id": "sharon-ai",
                    "park_id": "sharon-au-1",
                    "currency_code": "USD",
                    "expiry_date": date(2032, 9, 30),
                    "accounting_class": "purchase_commitment_disclosure",
                }
            ]
        ),
        "core.dim_operator": pl.DataFrame(
            [
                {
                    "operator_id": "sharon-ai",
                    "operator_name": "SharonAI Holdings Inc.",
                    "parent_id": "sharon-ai",
                    "country_code": "AU",
                    "rating": "B",
                    "rating_agency": "SP",
                }
            ]
        ),
        "raw.default_rate": default_rates(),
        "raw.policy": pl.DataFrame(
            [{"policy": key, "value_text": value} for key, value in (policy or {}).items()],
            schema={"policy": pl.String, "value_text": pl.String},
        ),
        "raw.alert_rule": pl.DataFrame(
            [
                {
                    "rule_id": "occupancy",
                    "kind": "level",
                    "rule": "occupancy is below what it was thought to be",
                    "metric": "occupancy_fraction",
                    "severity": "warning",
                    "side": "below",
                    "threshold": D("1"),
                }
            ],
            schema={
                **dict.fromkeys(["rule_id", "kind", "rule", "metric", "severity", "side"], pl.String),
                "threshold": pl.Decimal(18, 9),
                "months": pl.Int32,
                "within_months": pl.Decimal(18, 9),
                "is_relative": pl.Boolean,
                "entity_levels": pl.List(pl.String),
                "entities": pl.List(pl.String),
            },
        ),
        "raw.issuer_fact": pl.DataFrame(
            [
                {
                    "issuer_id": "nvidia",
                    "fiscal_period_end": date(2026, 7, 26),
                    "fiscal_label": "Q2 FY27",
                    "item": "stockholders_equity",
                    "value_text": "228984",
                    "value": D("228984"),
                    "unit": "USDm",
                    "source": "s",
                    "grade": "V",
                }
            ]
        ),
    }


def month_list(first: date, count: int) -> list[date]:
    return [add_months(first, number) for number in range(count)]


# Terms with interest on what is late: 7.3 % a year, a day's interest on 10,000.00 is 2.00.
LATE_TERMS = pl.DataFrame(
    [
        {
            "contract_id": CONTRACT,
            "share_id": "share",
            "amendment_id": "original",
            "valid_from": date(2026, 1, 1),
            "recorded_at": close_time(date(2025, 12, 1)),
            "late_rate": D("0.073"),
            "statement_due_days": 15,
            "payment_terms_days": 30,
        }
    ]
)


def backstop(frames: dict[str, pl.DataFrame], **terms: Any) -> dict[str, pl.DataFrame]:
    """The home with a tranche of 2,000 GPUs and a backstop on it; terms of the shipped example unless given."""
    row = {
        "contract_id": CONTRACT,
        "amendment_id": "original",
        "valid_from": date(2026, 10, 1),
        "recorded_at": datetime(2026, 6, 12, tzinfo=UTC),
        "settlement_type": "unsold_hours_x_price",
        "committed_fraction": D("0.85"),
        "longstop_days": 180,
        "deductible_gpu_hours": None,
        "deductible_fraction": D("0.05"),
        "period_cap_amount": None,
        "period_cap_period": "month",
        "lifetime_cap_amount": D("4880000000.00"),
        "lifetime_cap_reduces_with": ["payment"],
        "buyer_own_use_reduces": True,
        "claim_notice_days": 20,
        "claim_payment_days": 45,
        "set_off_scope": "none",
        "set_off_enforceable": False,
        "resale_allowed": True,
        "survives_operator_insolvency": False,
        "expiry_date": date(2032, 9, 30),
        "accounting_class": "purchase_commitment_disclosure",
        **terms,
    }
    key = {"contract_id": CONTRACT, "amendment_id": "original"}
    return {
        **frames,
        "raw.backstop_terms": pl.DataFrame([row], schema_overrides={"deductible_gpu_hours": pl.Decimal(18, 6)}),
        "raw.backstop_price": pl.DataFrame([{**key, "from_month": 1, "to_month": 72, "price_per_gpu_hour": D("2.33")}]),
        "raw.backstop_ramp": pl.DataFrame([{**key, "from_month": 1, "to_month": 3, "fraction": D("0.50")}]),
        "core.dim_tranche": pl.DataFrame(
            [
                {
                    "tranche_id": "sharon-au-1-a",
                    "contract_id": CONTRACT,
                    "park_id": "sharon-au-1",
                    "gpu_model": "GB300",
                    "gpu_count": 2000,
                    "energised_date": date(2026, 10, 1),
                }
            ]
        ),
        "raw.contract": pl.DataFrame([{"contract_id": CONTRACT, "service_commencement_date": date(2026, 10, 1)}]),
    }


def lease(lease_id: str, gpus: int, first: date, last: date, price: str = "2.50", **over: Any) -> dict[str, Any]:
    """One version of a third-party lease from the start of a day to the start of another, UTC."""
    return {
        "park_id": "sharon-au-1",
        "lease_id": lease_id,
        "version": 1,
        "tenant_id": f"tenant-{lease_id}",
        "contract_id": CONTRACT,
        "tranche_id": "sharon-au-1-a",
        "gpu_model": "GB300",
        "gpu_count": gpus,
        "starts_at": at(first, 0),
        "ends_at": at(last, 0),
        "price_per_gpu_hour": D(price),
        "currency_code": "USD",
        "customer_type": "third_party",
        "pricing": "reserved",
        "status": "active",
        "recorded_at": at(first, 0) - timedelta(days=30),
        "content_hash": lease_id,
        **over,
    }


def economics(frames: dict[str, pl.DataFrame], months: list[date], **covenants: Any) -> dict[str, pl.DataFrame]:
    """The home with backstop, and its park's round figures: 10,000 a day billed to one tenant, 20,000 kWh a day at 100 per
    MWh, 30,000 land a month, 10 a GPU and month, a loan of 1.2m at 12 % repaid evenly over 24 months from the first
    energised month on; 90 % of the available hours leased. Covenants on DSCR and LTV unless given.
    """
    key = {"contract_id": CONTRACT, "amendment_id": "original", "valid_from": date(2026, 10, 1)}
    days = [month + timedelta(days=number) for month in months for number in range((month_end(month) - month).days + 1)]
    agreed = covenants.get(
        "covenants", [("dscr", "dscr", ">=", "1.30", "quarter"), ("ltv", "ltv", "<=", "0.80", "year")]
    )
    spans = {"valid_from": at(date(2026, 10, 1), 0), "valid_to": at(date(2031, 1, 1), 0)}
    return {
        **frames,
        "core.dim_park": pl.DataFrame(
            [{"park_id": "sharon-au-1", "operator_id": "sharon-ai", "currency_code": "USD", "is_simulated": False}]
        ),
        "core.dim_lease": pl.DataFrame([{**lease("L1", 1800, date(2026, 10, 1), date(2031, 1, 1)), **spans}]),
        "raw.park_economics": pl.DataFrame(
            [
                {
                    "park_id": "sharon-au-1",
                    "tariff_per_mwh": D("100"),
                    "land_per_month": D("30000.00"),
                    "operation_per_gpu_month": D("10"),
                    "currency_code": "USD",
                    "evidence_grade": "assumed",
                }
            ]
        ),
        "raw.park_debt": pl.DataFrame(
            [
                {
                    "park_id": "sharon-au-1",
                    "lender": "bank",
                    "principal": D("1200000.00"),
                    "rate": D("0.12"),
                    "floating": True,
                    "amortisation": "linear",
                    "maturity": date(2028, 10, 31),
                }
            ]
        ),
        "raw.covenant": pl.DataFrame(
            [
                {
                    **key,
                    "recorded_at": at(date(2026, 6, 12)),
                    "covenant_id": name,
                    "metric": metric,
                    "operator": operator,
                    "threshold": D(threshold),
                    "test_frequency": frequency,
                    "lookback_months": None,
                    "cure_days": None,
                    "consequence": "sweep",
                }
                for name, metric, operator, threshold, frequency in agreed
            ],
            schema_overrides={"lookback_months": pl.Int32, "cure_days": pl.Int32},
        ),
        "metering.fct_lease_revenue_day": pl.DataFrame(
            [
                {
                    "lease_id": "L1",
                    "service_date": day,
                    "park_id": "sharon-au-1",
                    "contract_id": CONTRACT,
                    "customer_type": "third_party",
                    "billed_gpu_hours": D("4000"),
                    "net_billed_amount": D("10000"),
                }
                for day in days
            ]
        ),
        "metering.fct_power_day": pl.DataFrame(
            [
                {
                    "park_id": "sharon-au-1",
                    "service_date": day,
                    "facility_energy_kwh": D("20000"),
                    "it_energy_kwh": D("16000"),
                }
                for day in days
            ]
        ),
        "metering.fct_capacity_day": pl.DataFrame(
            [
                {
                    "tranche_id": "sharon-au-1-a",
                    "park_id": "sharon-au-1",
                    "service_date": day,
                    "installed_gpu_hours": D("48000"),
                    "available_gpu_hours": D("48000"),
                    "leased_gpu_hours": D("43200"),
                    "busy_gpu_hours": D("21600"),
                    "coverage_fraction": D("1"),
                }
                for day in days
            ]
        ),
        "raw.contract": pl.DataFrame(
            [
                {
                    "contract_id": CONTRACT,
                    "vendor_id": "nvidia",
                    "service_commencement_date": date(2026, 10, 1),
                    "expiry_date": date(2032, 9, 30),
                }
            ]
        ),
    }
