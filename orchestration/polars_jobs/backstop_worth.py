"""From the warehouse's tables to the backstop's paths, and from the paths to
``credit.fct_backstop_distribution_month``.

Terms, leases and deliveries are those known at each close: no look-ahead. The latest month gets the policy's path
count, earlier ones a part of it; the seed is a stable hash of the policy's seed, contract and month, so that no
contract's figures depend on another's. The model itself is in backstop_paths.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from orchestration.polars_jobs.backstop_paths import (
    Array,
    Book,
    Caps,
    Lease,
    Loadings,
    Occupancy,
    Price,
    Tranche,
    Withdrawal,
    break_even_occupancy,
    contract_seed,
    draw_shocks,
    simulate,
)
from orchestration.polars_jobs.default_curves import conditional_pd_for_periods
from orchestration.polars_jobs.errors import wrong
from orchestration.polars_jobs.expected_loss import (
    credit_at,
    pledged,
    read_pledges,
    reserve,
    set_off_allowed,
)
from orchestration.polars_jobs.frames import (
    Frames,
    RowsBy,
    add_months,
    known_rows,
    local_date,
    make_frame,
    month_end,
    month_start,
    months_between,
    need,
    optional,
)
from orchestration.polars_jobs.functional_currency import INDEX_CURRENCY, last_rate, no_rate
from orchestration.polars_jobs.money import MONEY, ZERO, money_from_estimate
from orchestration.polars_jobs.obligor_curves import ObligorCurves
from orchestration.polars_jobs.path_figures import PathFigures, figures_of
from orchestration.polars_jobs.path_history import estimate_occupancy, estimate_volatility
from orchestration.polars_jobs.policies import CreditPolicy
from orchestration.polars_jobs.receivables import Close, events_known, read_closes, standing_events
from orchestration.polars_jobs.share_paths import ShareRule, share_rules
from orchestration.polars_jobs.terms_at_close import collection_days, terms_known
from orchestration.polars_jobs.yield_curves import YieldCurves

CASES = ("independent", "base", "stressed")

DISTRIBUTION_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "correlation_case": pl.String,
    "path_count": pl.Int32,
    "antithetic": pl.Boolean,
    "seed": pl.Int64,
    "horizon_months": pl.Int32,
    "asset_correlation": pl.Float64,
    "expected_amount": MONEY,
    "standard_error_amount": MONEY,
    "present_value_amount": MONEY,
    "present_value_standard_error_amount": MONEY,
    "var_95_amount": MONEY,
    "var_99_amount": MONEY,
    "var_999_amount": MONEY,
    "es_95_amount": MONEY,
    "es_99_amount": MONEY,
    "es_999_amount": MONEY,
    "any_claim_probability": pl.Float64,
    "operator_default_probability": pl.Float64,
    "expected_share_amount": MONEY,
    "expected_resale_present_value_amount": MONEY,
    "expected_claw_back_present_value_amount": MONEY,
    "receivable_loss_amount": MONEY,
    "joint_loss_amount": MONEY,
    "joint_loss_es_99_amount": MONEY,
    "wrong_way_multiplier": pl.Float64,
    "wrong_way_multiplier_null_reason": pl.String,
    "break_even_occupancy_fraction": pl.Float64,
    "break_even_occupancy_fraction_null_reason": pl.String,
    "start_occupancy_fraction": pl.Float64,
    "terms_left_out": pl.String,
    "currency_code": pl.String,
}

# An occupancy of 0 or 1 has no logit: a park that is empty or full today starts this close to it.
EDGE_FRACTION = 0.005
NO_WRONG_WAY = "no path defaults, or nothing is claimed on any"
NO_BREAK_EVEN = "share and claims are equal at no occupancy"
LETTABLE = ("active", "ended")
# Settlements of what the operator itself paid short; nobody foresees that, and they are taken for guarantees of revenue.
PAYMENT_GUARANTEES = ("debt_service_shortfall", "lease_payment")
# Terms beside rate and floor that act on a month's share.
LIMITING_TERMS = (
    "minimum_amount",
    "period_cap_amount",
    "lifetime_cap_amount",
    "return_multiple",
    "true_up_frequency",
)
# What a valuation reads of the warehouse.
VALUED_TABLES = (
    "intermediate.int_closes",
    "core.dim_contract",
    "core.dim_operator",
    "core.dim_tranche",
    "raw.backstop_terms",
    "raw.backstop_price",
    "raw.backstop_ramp",
    "raw.default_rate",
    "ledger.fct_trial_balance_month",
    "backstop.fct_backstop_cap_month",
    "backstop.fct_backstop_month",
    "core.dim_lease",
    "intermediate.int_backstop_months",
    "intermediate.int_supply_months",
    "metering.fct_capacity_day",
    "raw.collateral",
    "raw.contract",
    "raw.credit_curve",
    "raw.fx_rate",
    "raw.gpu_price_index",
    "raw.share_activation",
    "raw.share_terms",
    "raw.share_tier",
    "raw.tranche",
    "raw.yield_curve",
    "revenue_share.fct_share_month",
    "staging.stg_credit_events",
    "staging.stg_leases",
)
# Accounting classes whose journal entries hold simulated amounts (backstop_liability).
SIMULATED_CLASSES = (
    "guarantee_ASC460",
    "credit_derivative_ASC815",
    "revenue_variable_consideration",
    "repurchase_ASC606_842",
)


@dataclass(frozen=True)
class Valuation:
    """One contract's simulation at one close: the book, the numbers that made it, and what the paths of each correlation
    case say.
    """

    close: Close
    book: Book
    seed: int
    path_count: int
    antithetic: bool
    correlations: Mapping[str, float]
    figures: Mapping[str, PathFigures]
    break_even_occupancy_fraction: float | None
    currency_code: str
    accounting_class: str = "none"
    terms_left_out: str | None = None


def valuations(frames: Frames, policy: CreditPolicy) -> list[Valuation]:
    """Simulate every contract with backstop terms at every close at which it has months ahead, all three correlation
    cases on the same random numbers.

    Reads VALUED_TABLES: of dim_contract service_commencement_date (or ``raw.contract``), of stg_leases all versions (else
    ``core.dim_lease``), of ``raw.tranche`` planned dates; all but the first nine only where given.
    """
    terms = optional(frames, "raw.backstop_terms")
    if terms is None:
        return []
    closes = read_closes(need(frames, "intermediate.int_closes", "contract_id", "posting_month"))
    contracts = {
        row["contract_id"]: row for row in need(frames, "core.dim_contract", "contract_id").iter_rows(named=True)
    }
    latest = {close.contract_id: close.posting_month for close in closes}
    inputs = Inputs(frames)
    found = []
    for close in closes:
        contract = contracts[close.contract_id]
        # What is posted must not hang on whether a later month has been closed since.
        posts = class_in_force(inputs, close, contract) in SIMULATED_CLASSES
        is_latest = close.posting_month == latest[close.contract_id]
        valuation = _valuation(inputs, close, contract, policy, all_paths=is_latest or posts)
        if valuation is not None:
            found.append(valuation)
    return found


def _valuation(
    inputs: Inputs, close: Close, contract: Mapping[str, Any], policy: CreditPolicy, *, all_paths: bool
) -> Valuation | None:
    book = book_at(inputs, close, contract, policy)
    if book is None:
        return None
    count = policy.integer("path_count")
    if not all_paths:
        count = int(count * policy.number("earlier_path_fraction"))
    count = max(2 * (count // 2), 100)
    seed = contract_seed(policy.integer("path_seed"), close.contract_id, close.posting_month)
    leases = sum(len(tranche.leases) for tranche in book.tranches)
    antithetic = policy.flag("antithetic_paths")
    shocks = draw_shocks(seed, count, len(book.discount), book.tenant_count, leases, antithetic=antithetic)
    correlations = {
        "independent": 0.0,
        "base": policy.number("asset_correlation"),
        "stressed": policy.number("stressed_asset_correlation"),
    }
    figures = {}
    for case in CASES:
        loading = math.sqrt(correlations[case])
        result = simulate(book, shocks, Loadings(loading, loading, loading))
        figures[case] = figures_of(result, antithetic=antithetic)
    return Valuation(
        close=close,
        book=book,
        seed=seed,
        path_count=count,
        antithetic=antithetic,
        correlations=correlations,
        figures=figures,
        break_even_occupancy_fraction=break_even_occupancy(book),
        currency_code=contract["currency_code"],
        accounting_class=class_in_force(inputs, close, contract),
        terms_left_out=terms_left_out(inputs, close),
    )


def distribution(made: Sequence[Valuation]) -> pl.DataFrame:
    """``credit.fct_backstop_distribution_month``: one row per contract, month and correlation case.

    expected_amount is undiscounted, everything named VaR, ES and present value is discounted from the days on which
    claims fall due. joint_loss adds the discounted loss on the share receivable. Where paths are antithetic, standard
    errors come from pairs of mirrored paths.
    """
    rows: list[dict[str, Any]] = []
    for valuation in made:
        break_even = valuation.break_even_occupancy_fraction
        for case, figures in valuation.figures.items():
            row: dict[str, Any] = {
                "contract_id": valuation.close.contract_id,
                "month": valuation.close.posting_month,
                "correlation_case": case,
                "path_count": valuation.path_count,
                "antithetic": valuation.antithetic,
                "seed": valuation.seed,
                "horizon_months": len(valuation.book.discount),
                "asset_correlation": valuation.correlations[case],
                "any_claim_probability": figures.any_claim_probability,
                "operator_default_probability": figures.operator_default_probability,
                "wrong_way_multiplier": figures.wrong_way,
                "wrong_way_multiplier_null_reason": NO_WRONG_WAY if figures.wrong_way is None else None,
                "break_even_occupancy_fraction": break_even,
                "break_even_occupancy_fraction_null_reason": NO_BREAK_EVEN if break_even is None else None,
                "start_occupancy_fraction": valuation.book.occupancy.start_fraction,
                "terms_left_out": valuation.terms_left_out,
                "currency_code": valuation.currency_code,
            }
            estimates = {
                "expected_amount": figures.claims,
                "standard_error_amount": figures.claims_error,
                "present_value_amount": figures.present_value,
                "present_value_standard_error_amount": figures.present_value_error,
                "expected_share_amount": figures.share,
                "expected_resale_present_value_amount": figures.resale,
                "expected_claw_back_present_value_amount": figures.claw_back,
                "receivable_loss_amount": figures.receivable_loss,
                "joint_loss_amount": figures.joint_loss,
                "joint_loss_es_99_amount": figures.joint_loss_es_99,
            }
            for name, tail in figures.tails.items():
                estimates[f"var_{name}_amount"] = tail.value_at_risk
                estimates[f"es_{name}_amount"] = tail.expected_shortfall
            rows.append({**row, **{name: money_from_estimate(number) for name, number in estimates.items()}})
    return make_frame(rows, DISTRIBUTION_SCHEMA, ["contract_id", "month", "correlation_case"])


# --- the book as known at a close
# ----------------------------------------------------------------------------------------------------------------


class Inputs:
    """The tables that books are made of, read once for all closes of all contracts: rows by contract, and what does not
    change from close to close. Holds nothing that is not in the frames.
    """

    def __init__(self, frames: Frames) -> None:
        """Read every table that a book may ask for."""
        need(frames, "raw.backstop_terms")
        need(frames, "raw.backstop_price")
        need(frames, "raw.backstop_ramp")
        need(frames, "core.dim_tranche", "tranche_id", "contract_id", "gpu_count")
        self.default_rates = need(frames, "raw.default_rate")

        def rows(name: str, key: str = "contract_id") -> RowsBy:
            return RowsBy(optional(frames, name), key)

        self.terms, self.prices, self.ramps = (rows(f"raw.backstop_{name}") for name in ("terms", "price", "ramp"))
        self.share_terms, self.share_tiers = rows("raw.share_terms"), rows("raw.share_tier")
        self.share_activations = rows("raw.share_activation")
        self.tranches, self.collateral = rows("core.dim_tranche"), read_pledges(frames)
        self.planned, self.contracts = rows("raw.tranche", "tranche_id"), rows("raw.contract")
        self.shares, self.claims = rows("revenue_share.fct_share_month"), rows("backstop.fct_backstop_month")
        self.caps, self.events = rows("backstop.fct_backstop_cap_month"), standing_events(frames)
        self.claims_known = _known_at_closes(frames, "intermediate.int_backstop_months")
        self.supply_known = _known_at_closes(frames, "intermediate.int_supply_months")
        leases = "staging.stg_leases" if optional(frames, "staging.stg_leases") is not None else "core.dim_lease"
        self.leases = rows(leases, "tranche_id")
        self.operators = {
            row["operator_id"]: row for row in need(frames, "core.dim_operator", "operator_id").iter_rows(named=True)
        }
        self.balance = _account_amounts(optional(frames, "ledger.fct_trial_balance_month"))
        self.occupancy = _tranche_hours(optional(frames, "metering.fct_capacity_day"))
        self.price_index = rows("raw.gpu_price_index", "gpu_model")
        self.fx_rates = optional(frames, "raw.fx_rate")
        self._fx: dict[tuple[str, str, date], float | None] = {}
        self.yields = YieldCurves(optional(frames, "raw.yield_curve"))
        self.obligors = ObligorCurves(self.default_rates, optional(frames, "raw.credit_curve"), self.yields)
        self._midnights: dict[tuple[date, str], float] = {}

    def midnight(self, day: date, time_zone: str) -> float:
        """The instant at which a day begins in a zone, as a timestamp."""
        key = day, time_zone
        if key not in self._midnights:
            zone = ZoneInfo(time_zone)
            self._midnights[key] = datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
        return self._midnights[key]

    def fx(self, foreign: str, own: str, day: date) -> float | None:
        """What a unit of a currency is worth in another at the last rate on or before a day; None without any."""
        key = foreign, own, day
        if key not in self._fx:
            rate = last_rate(self.fx_rates, *key)
            self._fx[key] = None if rate is None else float(rate)
        return self._fx[key]

    def hours(self, first: date, last: date, time_zone: str) -> float:
        """Real hours of the days ``first`` to ``last``, both included; 0 if ``last`` lies before."""
        if last < first:
            return 0.0
        return (self.midnight(last + timedelta(days=1), time_zone) - self.midnight(first, time_zone)) / 3600.0


def _known_at_closes(frames: Frames, name: str) -> dict[tuple[str, date], list[dict[str, Any]]] | None:
    """The rows of a table with a row per point of knowledge, by contract and posting month of the close that is the
    point; None where the table was not given.
    """
    table, closes = optional(frames, name), need(frames, "intermediate.int_closes")
    if table is None or "close_no" not in closes.columns:
        return None
    numbered = closes.select("contract_id", "posting_month", point_no=pl.col("close_no"))
    out: dict[tuple[str, date], list[dict[str, Any]]] = {}
    for row in table.join(numbered, on=["contract_id", "point_no"]).sort("service_month").iter_rows(named=True):
        out.setdefault((row["contract_id"], row["posting_month"]), []).append(row)
    return out


def _account_amounts(balance: pl.DataFrame | None) -> dict[tuple[str, str, date], Decimal]:
    if balance is None:
        return {}
    columns = ("contract_id", "account", "posting_month", "closing_amount")
    return {
        (contract, account, month): amount for contract, account, month, amount in balance.select(columns).iter_rows()
    }


def _tranche_hours(days: pl.DataFrame | None) -> dict[tuple[str, date], tuple[float, float]]:
    """Leased and available GPU-hours by tranche and month."""
    if days is None:
        return {}
    months = days.group_by("tranche_id", month=pl.col("service_date").dt.truncate("1mo")).agg(
        pl.col("leased_gpu_hours").sum(), pl.col("available_gpu_hours").sum()
    )
    return {
        (t, month): (float(leased or 0), float(available or 0)) for t, month, leased, available in months.iter_rows()
    }


def in_force(terms: RowsBy, close: Close) -> dict[str, Any] | None:
    """The row of a terms table that is in force at the month's end and known at the close; None where there is none."""
    known = terms_known(terms, close)
    return known[-1] if known else None


def terms_left_out(inputs: Inputs, close: Close) -> str | None:
    """Which terms known at the close do not act on the paths, or only roughly, and why; None where all do."""
    reasons = []
    own, share = in_force(inputs.terms, close) or {}, in_force(inputs.share_terms, close) or {}
    settled = own.get("settlement_type")
    if settled in PAYMENT_GUARANTEES:
        reasons.append(f"settlement_type {settled}: taken for revenue_shortfall, which pays up to the same amount")
    if own.get("lifetime_cap_index_id"):
        reasons.append(f"cap_basis indexed: the index {own['lifetime_cap_index_id']} stays at its last known level")
    if own.get("rv_date"):
        reasons.append("residual_value_support_pct: another instrument, in no amount of these")
    if share.get("base_measure") == "ebitda":
        reasons.append("base_measure ebitda: no cost is foreseen, so that the share is that of revenue")
    if share.get("base_scope") == "all_cloud":
        reasons.append("base_scope all_cloud: the share is that of the contract's own tranches")
    if causes := own.get("excluded_causes"):
        reasons.append(
            f"excluded_causes ({', '.join(sorted(causes))}): no outage is foreseen, so that none is excluded"
        )
    to_come = [
        row
        for row in inputs.terms.of(close.contract_id)
        if row["valid_from"] > close.month_end_date and row["recorded_at"] <= close.known_at
    ]
    reasons.extend(
        f"amendment {row['amendment_id']} from {row['valid_from']}: the terms in force at the close run on"
        for row in sorted(to_come, key=lambda row: (row["valid_from"], row["recorded_at"]))
    )
    return "; ".join(reasons) or None


def class_in_force(inputs: Inputs, close: Close, contract: Mapping[str, Any]) -> str:
    """The accounting class of the backstop terms in force at the close; the contract's own where they have none."""
    terms = in_force(inputs.terms, close)
    return (terms or {}).get("accounting_class") or contract.get("accounting_class") or "none"


def book_at(inputs: Inputs, close: Close, contract: Mapping[str, Any], policy: CreditPolicy) -> Book | None:
    """The book of one contract as known at a close, months ahead to the backstop's expiry; None without terms or
    months ahead.
    """
    terms = in_force(inputs.terms, close)
    if terms is None:
        return None
    if contract.get("park_id"):
        policy = policy.for_park(contract["park_id"])
    expiry = _last_day(inputs, close, contract, terms)
    first = add_months(close.posting_month, 1)
    months = (
        [add_months(first, number) for number in range(months_between(first, expiry) + 1)] if expiry >= first else []
    )
    if not months:
        return None
    commencement = _commencement(inputs, contract, terms)
    rows = sorted(inputs.tranches.of(close.contract_id), key=lambda row: row["tranche_id"])
    leases = [
        lease for row in rows for lease in _leases_at(inputs, close, row["tranche_id"], contract.get("currency_code"))
    ]
    tenants = {
        tenant: number
        for number, tenant in enumerate(sorted({lease["tenant_id"] for lease in leases if not lease["own_use"]}))
    }
    numbers = [months_between(commencement, month) + 1 for month in months]
    prices = _by_month(inputs.prices, terms, "price_per_gpu_hour", numbers, 0.0)
    prices = prices * _index_factors(inputs, close, terms, numbers, commencement)
    tranches = [
        tranche
        for row in rows
        if (
            tranche := _tranche(
                inputs,
                row,
                terms=terms,
                close=close,
                months=months,
                expiry=expiry,
                prices=prices,
                leases=leases,
                tenants=tenants,
            )
        )
        is not None
    ]
    discount, pay_discount = _discounts(inputs, close, months, terms, policy)
    credit = credit_at(close, inputs.operators.get(contract["operator_id"], {}), inputs.events, policy)
    ends = np.arange(1, len(months) + 1) / 12.0
    tenant_pd = np.full(len(months), 1.0 - (1.0 - policy.number("tenant_default_probability_per_year")) ** (1.0 / 12.0))
    share_rate, floor_price, rules = _share(inputs, close, commencement, months, expiry)
    owed = [
        inputs.balance.get((close.contract_id, account, close.posting_month), ZERO)
        for account in ("trade_receivable", "unbilled_share_receivable")
    ]
    exposure = sum((max(amount, ZERO) for amount in owed), ZERO)
    cover = min(Decimal(1), pledged(inputs.collateral, close) / exposure) if exposure > 0 else ZERO
    days = collection_days(inputs.share_terms, close)
    reserve_fraction, reserve_months = reserve(inputs.share_terms, close)
    return Book(
        tranches=tranches,
        caps=_caps(inputs, close, terms=terms, months=months, commencement=commencement, expiry=expiry),
        occupancy=_occupancy(inputs, close, [row["tranche_id"] for row in rows], policy),
        price=_price(
            inputs,
            close,
            tranches=rows,
            leases=leases,
            buyback=prices,
            policy=policy,
            currency_code=contract.get("currency_code"),
        ),
        operator_pd=conditional_pd_for_periods(
            inputs.obligors.known(contract["operator_id"], close.month_end_date, credit.agency, credit.rating).curve,
            ends,
        ),
        tenant_pd=tenant_pd,
        tenant_count=len(tenants),
        renewal_probability=policy.number("renewal_probability"),
        survives_insolvency=bool(terms["survives_operator_insolvency"]),
        discount=discount,
        pay_discount=pay_discount,
        share_rate=share_rate,
        floor_price=floor_price,
        outstanding_months=math.ceil(days / 30) + 1,
        exposure_now=float(exposure),
        lgd=policy.number("loss_given_default") * float(1 - cover),
        set_off=set_off_allowed(inputs.terms, close),
        resale_fraction=_resale_fraction(terms, policy),
        operator_in_default=credit.insolvent,
        withdrawal=_withdrawal(terms, policy),
        share_rules=rules,
        guarantees_revenue=terms.get("settlement_type") not in {None, "unsold_hours_x_price"},
        claimed_amount=_claimed(inputs, close),
        reserve_fraction=reserve_fraction,
        reserve_months=reserve_months,
    )


def _last_day(inputs: Inputs, close: Close, contract: Mapping[str, Any], terms: Mapping[str, Any]) -> date:
    """The last day of the backstop as known at the close: the earlier of its own and the contract's expiry, and the day
    before a termination (READINGS.md, 4 and 36).
    """
    ended = (
        local_date(event["effective_at"], close.time_zone) - timedelta(days=1)
        for event in events_known(inputs.events, close)
        if event["kind"] == "termination"
    )
    days = [terms.get("expiry_date"), contract.get("expiry_date"), *ended]
    return min(day for day in days if day is not None)


def _resale_fraction(terms: Mapping[str, Any], policy: CreditPolicy) -> float:
    """Part of the market's price that hours bought back bring the vendor: none where they may not be resold, or where the
    operator keeps the proceeds.
    """
    if not terms.get("resale_allowed") or terms.get("resale_proceeds_to") == "operator":
        return 0.0
    return policy.number("resale_recovery_fraction")


def _withdrawal(terms: Mapping[str, Any], policy: CreditPolicy) -> Withdrawal | None:
    """The operator's right to withdraw, as the policy says that it is used; None where the terms give none."""
    if not terms.get("withdrawal_allowed"):
        return None
    return Withdrawal(
        math.ceil(int(terms.get("withdrawal_notice_days") or 0) / 30),
        policy.number("withdrawal_price_premium_fraction"),
        policy.number("withdrawal_fraction"),
        bool(terms.get("withdrawal_recall")),
        float(terms.get("withdrawal_claw_back_fraction") or 0),
    )


def _commencement(inputs: Inputs, contract: Mapping[str, Any], terms: Mapping[str, Any]) -> date:
    """The day from which contract months count (READINGS.md, 2)."""
    known = [contract, *inputs.contracts.of(contract["contract_id"])]
    found = [row["service_commencement_date"] for row in known if row.get("service_commencement_date")]
    return date.fromisoformat(str(found[0] if found else terms["valid_from"])[:10])


def _by_month(table: RowsBy, terms: Mapping[str, Any], column: str, numbers: Sequence[int], outside: float) -> Array:
    """The value of a stepped table (from_month, to_month, both included) of the amendment in force, for each month
    number; ``outside`` where no row covers it.
    """
    out, months = np.full(len(numbers), outside), np.array(numbers)
    for row in table.of(terms["contract_id"]):
        if row["amendment_id"] == terms["amendment_id"] and row[column] is not None:
            covered = (row["from_month"] or 1) <= months
            if row["to_month"] is not None:
                covered &= months <= row["to_month"]
            out[covered] = float(row[column])
    return out


def _index_factors(
    inputs: Inputs, close: Close, terms: Mapping[str, Any], numbers: Sequence[int], commencement: date
) -> Array:
    """What an index makes of the buy-back price in each month ahead: its last known level ÷ its level at commencement; 1
    where the price names no index, or no level is known.
    """
    out = np.ones(len(numbers))
    if "index_id" not in inputs.prices.columns:
        return out
    levels: dict[str, list[tuple[date, float]]] = {}
    for event in events_known(inputs.events, close):
        day = local_date(event["effective_at"], close.time_zone)
        if event["kind"] == "price_index" and day <= close.month_end_date:
            payload = json.loads(event["payload"] or "{}")
            if "level" in payload:
                levels.setdefault(str(payload.get("index")), []).append((day, float(payload["level"])))
    rows = [row for row in inputs.prices.of(terms["contract_id"]) if row["amendment_id"] == terms["amendment_id"]]
    for row in rows:
        known = sorted(levels.get(str(row["index_id"]), [])) if row["index_id"] else []
        if known:
            first = [level for day, level in known if day <= commencement] or [known[0][1]]
            months = np.array(numbers)
            covered = (months >= (row["from_month"] or 1)) & (months <= (row["to_month"] or months.max()))
            out[covered] = known[-1][1] / first[-1]
    return out


def _leases_at(inputs: Inputs, close: Close, tranche_id: str, currency_code: str | None) -> list[dict[str, Any]]:
    """Lease segments of a tranche as known at the close: tenant, tranche, GPUs, from, to (None: open), price in the
    contract's currency at the close's last rate, whether the vendor itself uses it.

    A version holds from its own start until the next version's start or its own end; one that starts where another
    started replaces it (READINGS.md, 7).
    """
    rows: Sequence[Mapping[str, Any]] = inputs.leases.of(tranche_id)
    if "recorded_at" in inputs.leases.columns:
        key = [name for name in ("park_id", "lease_id", "version") if name in inputs.leases.columns]
        rows = known_rows(rows, key, close.known_at)
    by_lease: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["lease_id"], row["starts_at"], row["version"])):
        by_lease.setdefault(row["lease_id"], []).append(row)
    segments: list[dict[str, Any]] = []
    for versions in by_lease.values():
        for number, row in enumerate(versions):
            following = versions[number + 1]["starts_at"] if number + 1 < len(versions) else None
            ends = min((instant for instant in (row["ends_at"], following) if instant is not None), default=None)
            if ("status" in row and row["status"] not in LETTABLE) or (ends is not None and ends <= row["starts_at"]):
                continue
            segments.append(
                {
                    "tenant_id": row["tenant_id"],
                    "tranche_id": row["tranche_id"],
                    "gpu_count": row["gpu_count"],
                    "starts_at": row["starts_at"],
                    "ends_at": ends,
                    # A segment that the next version takes over is not a lease that rolls off.
                    "rolls_off": following is None or (row["ends_at"] is not None and row["ends_at"] < following),
                    "price": float(row["price_per_gpu_hour"]) * _fx(inputs, close, row, currency_code),
                    "own_use": row["customer_type"] == "vendor_own_use",
                }
            )
    return segments


def _fx(inputs: Inputs, close: Close, lease: Mapping[str, Any], currency_code: str | None) -> float:
    """Contract currency per unit of a lease's; raises :class:`CreditInputError` naming the contract where there is no rate."""
    own = lease.get("currency_code")
    if own is None or currency_code is None or own == currency_code:
        return 1.0
    rate = inputs.fx(own, currency_code, close.month_end_date)
    if rate is None:
        rule = no_rate(own, currency_code, close.month_end_date)
        raise wrong(f"currency of lease {lease['lease_id']}", own, rule, close.contract_id)
    return rate


def _hours_of(segment: Mapping[str, Any], edges: Array) -> Array:
    """GPU-hours of a segment in each month, to the second. ``edges`` (T + 1,): the instants at which months begin."""
    low = np.maximum(edges[:-1], segment["starts_at"].timestamp())
    high = edges[1:] if segment["ends_at"] is None else np.minimum(edges[1:], segment["ends_at"].timestamp())
    return np.asarray(np.maximum(high - low, 0.0) / 3600.0 * segment["gpu_count"], dtype=np.float64)


def _tranche(
    inputs: Inputs,
    row: Mapping[str, Any],
    *,
    terms: Mapping[str, Any],
    close: Close,
    months: Sequence[date],
    expiry: date,
    prices: Array,
    leases: Sequence[Mapping[str, Any]],
    tenants: Mapping[str, int],
) -> Tranche | None:
    plan = row.get("planned_date")
    if plan is None:
        plan = next((p["planned_date"] for p in inputs.planned.of(row["tranche_id"]) if p["planned_date"]), None)
    energised = row["energised_date"] or plan
    if energised is None:
        return None
    begins = _covered_from(inputs, row["tranche_id"], energised, terms=terms, close=close, leases=leases)
    longstop = terms.get("longstop_days")
    in_time = not (longstop is not None and plan is not None and (begins - plan).days > longstop)
    # A condition that comes about within a month acts on the months after it, like a withdrawal.
    covered = np.array([in_time and begins <= max(month, energised) for month in months], dtype=np.float64)
    hours = np.array(
        [inputs.hours(max(month, energised), min(month_end(month), expiry), close.time_zone) for month in months]
    )
    edges = np.array([inputs.midnight(month, close.time_zone) for month in (*months, add_months(months[-1], 1))])
    installed = hours * _gpus_left(inputs, row, terms, close, months)
    tranche_months = [months_between(energised, month) + 1 for month in months]
    ramp = _by_month(inputs.ramps, terms, "fraction", tranche_months, 1.0)
    committed = installed * float(terms["committed_fraction"] or 0) * ramp * covered
    by_fraction = committed * float(terms.get("deductible_fraction") or 0)
    deductible = np.maximum(by_fraction, np.where(committed > 0, float(terms.get("deductible_gpu_hours") or 0), 0.0))
    # Of several deductibles the largest counts; the first loss is a part of what is installed.
    deductible = np.maximum(
        deductible, np.where(committed > 0, installed * float(terms.get("first_loss_band") or 0), 0.0)
    )
    vendor_use = np.zeros(len(months))
    grouped: dict[tuple[str, Any], Array] = {}
    for segment in leases:
        if segment["tranche_id"] != row["tranche_id"]:
            continue
        own_hours = _hours_of(segment, edges)
        if segment["own_use"]:
            vendor_use += own_hours
            continue
        ended = local_date(segment["ends_at"], close.time_zone) if segment["ends_at"] is not None else None
        if ended is not None and ended <= months[0] and not own_hours.any():
            # Rolled off already: whether it was renewed is known, and a renewal would be a lease of its own.
            continue
        renewal = np.zeros(len(months))
        if segment["rolls_off"] and ended is not None:
            after = np.array([month >= month_start(ended) for month in months])
            renewal = np.where(after, hours * segment["gpu_count"] - own_hours, 0.0)
        parts = grouped.setdefault((segment["tenant_id"], ended), np.zeros((3, len(months))))
        parts += np.stack([own_hours, np.maximum(renewal, 0.0), own_hours * segment["price"]])
    # Own use that the terms do not count still cannot be bought back: no hour is used twice (READINGS.md, 31).
    counted = (
        vendor_use if terms.get("buyer_own_use_reduces") else np.maximum(vendor_use - (installed - committed), 0.0)
    )
    return Tranche(
        row["tranche_id"],
        installed,
        committed,
        deductible,
        counted,
        prices,
        [
            Lease(tenants[tenant], *parts)
            for (tenant, _), parts in sorted(grouped.items(), key=lambda entry: (entry[0][0], str(entry[0][1])))
        ],
    )


# The event of the feed that each condition waits for.
CONDITION_EVENTS = {"acceptance": "acceptance", "COD": "commercial_operation"}


def _covered_from(
    inputs: Inputs,
    tranche_id: str,
    energised: date,
    *,
    terms: Mapping[str, Any],
    close: Close,
    leases: Sequence[Mapping[str, Any]],
) -> date:
    """The day from which a tranche is covered, as known at the close: that of its energising, or the first that begins at
    the event that the terms wait for or later. An event that has not come is taken for tomorrow, as in the maximum exposure.
    """
    condition = terms.get("effective_event") or "energised"
    if condition in {"energised", "signing"}:
        return energised
    if condition == "lease_commencement":
        happened = [lease["starts_at"] for lease in leases if lease["tranche_id"] == tranche_id]
    else:
        happened = [
            event["effective_at"]
            for event in events_known(inputs.events, close)
            if event["kind"] == CONDITION_EVENTS[condition] and event["tranche_id"] == tranche_id
        ]
    if not happened:
        return max(energised, close.month_end_date + timedelta(days=1))
    first = min(happened)
    day = local_date(first, close.time_zone)
    begins_with_it = inputs.midnight(day, close.time_zone) == first.timestamp()
    return max(energised, day if begins_with_it else day + timedelta(days=1))


def _gpus_left(
    inputs: Inputs, tranche: Mapping[str, Any], terms: Mapping[str, Any], close: Close, months: Sequence[date]
) -> Array:
    """GPUs of a tranche that the operator has not withdrawn, by month (T,), as known at the close: a withdrawal acts on
    the months that begin after its notice has run out, a recall on those that begin after it.
    """
    left = np.full(len(months), tranche["gpu_count"])
    least = int(terms.get("withdrawal_tranche_min") or 0)
    events = [
        event
        for event in events_known(inputs.events, close)
        if event["kind"] in {"withdrawal", "recall"} and event.get("tranche_id") in {None, tranche["tranche_id"]}
    ]
    for event in sorted(events, key=lambda event: (event["effective_at"], event["event_id"])):
        notice_is_due = event["kind"] == "withdrawal"
        notice = int(terms.get("withdrawal_notice_days") or 0) if notice_is_due else 0
        acts = local_date(event["effective_at"] + timedelta(days=notice), close.time_zone)
        later = np.array([month >= acts for month in months])
        if notice_is_due and (event.get("gpu_count") or tranche["gpu_count"]) < least:
            continue
        change = event["gpu_count"] if event.get("gpu_count") is not None else tranche["gpu_count"]
        sign = -1 if event["kind"] == "withdrawal" else 1
        left = np.where(later, np.clip(left + sign * change, 0, tranche["gpu_count"]), left)
    return left.astype(np.float64)


def _claims_known(inputs: Inputs, close: Close) -> Sequence[Mapping[str, Any]]:
    """The claims of a contract's months, as known at the close where ``intermediate.int_backstop_months`` is given."""
    if inputs.claims_known is not None:
        return inputs.claims_known.get((close.contract_id, close.posting_month), [])
    return inputs.claims.of(close.contract_id)


def _claimed(inputs: Inputs, close: Close) -> float:
    """All that was claimed up to the close's month."""
    known = (row for row in _claims_known(inputs, close) if row["service_month"] <= close.posting_month)
    return float(sum((row["claim_amount"] for row in known), ZERO))


def _caps(
    inputs: Inputs, close: Close, *, terms: Mapping[str, Any], months: Sequence[date], commencement: date, expiry: date
) -> Caps:
    """Caps at the close: the period cap by calendar month, quarter or contract year, the annual cap beside it; what is
    left of the lifetime cap as known at the close (``intermediate.int_backstop_months``), else from
    ``backstop.fct_backstop_cap_month``, or the whole of it before any claim.
    """
    period = terms.get("period_cap_period") or "month"

    def group(month: date) -> int:
        if period == "quarter":
            return (month.year * 12 + month.month - 1) // 3
        return months_between(commencement, month) // (12 if period == "year" else 1)

    def year_of(month: date) -> int:
        return months_between(commencement, month) // 12

    claims = _claims_known(inputs, close)

    def used_in(part: Callable[[date], int]) -> float:
        past = (
            row["claim_amount"]
            for row in claims
            if row["service_month"] <= close.posting_month and part(row["service_month"]) == part(months[0])
        )
        return float(sum(past, ZERO))

    cap, annual = terms.get("period_cap_amount"), terms.get("annual_cap_amount")
    used = used_in(group) if cap is not None and period != "month" else 0.0
    left = terms.get("lifetime_cap_amount")
    if left is not None:
        known: list[Mapping[str, Any]] = [
            r for r in inputs.caps.of(close.contract_id) if r["service_month"] == close.posting_month
        ]
        if inputs.claims_known is not None and any(r["service_month"] == close.posting_month for r in claims):
            known = [r for r in claims if r["service_month"] == close.posting_month]
        found = [row["lifetime_cap_left_amount"] for row in known]
        left = next((amount for amount in found if amount is not None), left)
    reduces = list(terms.get("lifetime_cap_reduces_with") or [])
    time_reduction = None
    if left is not None and "time" in reduces:
        whole = float(terms["lifetime_cap_amount"]) / ((expiry - commencement).days + 1)
        time_reduction = np.array([whole * ((min(month_end(month), expiry) - month).days + 1) for month in months])
    return Caps(
        period_of_month=np.array([group(month) for month in months], dtype=np.int64),
        period_cap=None if cap is None else float(cap),
        period_used=used,
        lifetime_left=None if left is None else float(left),
        time_reduction=time_reduction,
        sales_reduce="third_party_sale" in reduces,
        annual_cap=None if annual is None else float(annual),
        annual_used=used_in(year_of) if annual is not None else 0.0,
        year_of_month=np.array([year_of(month) for month in months], dtype=np.int64),
    )


def _discounts(
    inputs: Inputs, close: Close, months: Sequence[date], terms: Mapping[str, Any], policy: CreditPolicy
) -> tuple[Array, Array]:
    """Discount factors (T,) from month ends, and from the days on which each month's claim is due: month end + notice
    + payment days. ACT/365F.
    """
    wait = int(terms.get("claim_notice_days") or 0) + int(terms.get("claim_payment_days") or 0)
    days = np.array([(month_end(month) - close.month_end_date).days for month in months])
    both = ((days + extra) / 365.0 for extra in (0, wait))
    discount, pay_discount = (
        np.exp(-inputs.yields.rates(close.month_end_date, years, policy) * years) for years in both
    )
    return discount, pay_discount


def _share(
    inputs: Inputs, close: Close, commencement: date, months: Sequence[date], expiry: date
) -> tuple[Array, float, list[ShareRule]]:
    """Share of revenue by month ahead, the floor price per hour above which it counts, and the rules that say more.

    Where the terms in force have one block of a rate by contract month, above a floor or not, and nothing else that acts on
    a month: its rates. Any other terms: their rules. Without terms the last effective rate that the programme has seen.
    """
    past = [row for row in inputs.shares.of(close.contract_id) if row["service_month"] <= close.posting_month]
    seen = [(row["service_month"], row["effective_rate"]) for row in past if row["effective_rate"] is not None]
    flat = np.full(len(months), float(max(seen)[1]) if seen else 0.0)
    last = in_force(inputs.share_terms, close)
    if last is None:
        return flat, 0.0, []
    version, tiers, criteria = (
        [row for row in table.of(close.contract_id) if row["amendment_id"] == last["amendment_id"]]
        for table in (inputs.share_terms, inputs.share_tiers, inputs.share_activations)
    )
    if not tiers:
        return flat, 0.0, []
    plain = (
        len({row["share_id"] for row in version}) == 1
        and {row["axis"] for row in tiers} == {"contract_month"}
        and last["share_basis"] in {"pct_of_base", "pct_above_floor"}
        and not criteria
        and all(last.get(name) is None for name in LIMITING_TERMS)
    )
    if plain:
        floor = float(last["floor_price_per_gpu_hour"] or 0) if last["share_basis"] == "pct_above_floor" else 0.0
        numbers = [months_between(commencement, month) + 1 for month in months]
        return _by_month(inputs.share_tiers, last, "rate", numbers, 0.0), floor, []
    rules = share_rules(version, tiers, criteria, months=months, commencement=commencement, expiry=expiry, history=past)
    return flat, 0.0, rules


def _occupancy(inputs: Inputs, close: Close, tranche_ids: Sequence[str], policy: CreditPolicy) -> Occupancy:
    """Where occupancy starts, and how it moves: by the policies, or as the contract's own months up to the close say."""
    start = _start_occupancy(inputs, close, tranche_ids, policy)
    given = Occupancy(
        start,
        policy.number("occupancy_mean_fraction"),
        policy.number("occupancy_persistence"),
        policy.number("occupancy_shock"),
    )
    if policy.choice("process_parameters", "given", "history") == "given":
        return given
    if inputs.supply_known is not None:
        known = inputs.supply_known.get((close.contract_id, close.posting_month), [])
        hours = {row["service_month"]: (row["leased_gpu_hours"], row["available_gpu_hours"]) for row in known}
    else:
        hours = {}
        for (tranche_id, month), (leased, available) in inputs.occupancy.items():
            if tranche_id in tranche_ids:
                before = hours.get(month, (0.0, 0.0))
                hours[month] = (before[0] + leased, before[1] + available)
    fractions = [
        min(float(leased or 0) / float(available), 1.0)
        for month, (leased, available) in sorted(hours.items())
        if available and month <= close.posting_month
    ]
    found = estimate_occupancy(fractions, policy.integer("process_history_count"), EDGE_FRACTION)
    return given if found is None else Occupancy(start, found.mean_fraction, found.persistence, found.shock)


def _start_occupancy(inputs: Inputs, close: Close, tranche_ids: Sequence[str], policy: CreditPolicy) -> float:
    """Leased ÷ available hours of the contract's tranches in the month just ended, as known at the close where
    ``intermediate.int_supply_months`` is given; the policy's mean where nothing was available.
    """
    hours = [inputs.occupancy.get((tranche_id, close.posting_month), (0.0, 0.0)) for tranche_id in tranche_ids]
    if inputs.supply_known is not None:
        hours = [
            (float(row["leased_gpu_hours"] or 0), float(row["available_gpu_hours"] or 0))
            for row in inputs.supply_known.get((close.contract_id, close.posting_month), [])
            if row["service_month"] == close.posting_month
        ]
    leased, available = (math.fsum(pair[k] for pair in hours) for k in (0, 1))
    if available <= 0:
        return policy.number("occupancy_mean_fraction")
    return min(max(leased / available, EDGE_FRACTION), 1.0 - EDGE_FRACTION)


def _price(
    inputs: Inputs,
    close: Close,
    *,
    tranches: Sequence[Mapping[str, Any]],
    leases: Sequence[Mapping[str, Any]],
    buyback: Array,
    policy: CreditPolicy,
    currency_code: str | None,
) -> Price:
    """Today's price and its mean: market observations of the contract's main GPU model not after the month's end
    (estimates of backstop floors are none) in the contract's currency at the last rate, where there is one; else the mean
    price of running leases, else the buy-back price.
    """
    start = mean = 0.0
    volatility = policy.number("price_volatility")
    counts: dict[str, int] = {}
    for row in tranches:
        counts[row["gpu_model"]] = counts.get(row["gpu_model"], 0) + row["gpu_count"]
    if counts:
        main = max(counts, key=lambda model: (counts[model], model))
        seen = [
            (row["observed_date"], float(row["price_per_gpu_hour"]))
            for row in inputs.price_index.of(main)
            if row["observed_date"] <= close.month_end_date
            and not row["tenor"].startswith("backstop")
            and row["price_per_gpu_hour"] is not None
        ]
        if policy.text("process_parameters") == "history":
            volatility = estimate_volatility(seen, policy.integer("process_history_count")) or volatility
        rate = inputs.fx(INDEX_CURRENCY, currency_code or INDEX_CURRENCY, close.month_end_date)
        if seen and rate is not None:
            last = max(day for day, _ in seen)
            mean = rate * float(np.exp(np.log([price for _, price in seen]).mean()))
            start = rate * float(np.median([price for day, price in seen if day == last]))
    if start <= 0:
        end = inputs.midnight(close.month_end_date + timedelta(days=1), close.time_zone)
        running = [
            s
            for s in leases
            if not s["own_use"]
            and s["starts_at"].timestamp() < end
            and (s["ends_at"] is None or s["ends_at"].timestamp() >= end)
        ]
        gpus = sum(segment["gpu_count"] for segment in running)
        paid = [price for price in buyback.tolist() if price > 0]
        spent = math.fsum(s["gpu_count"] * s["price"] for s in running)
        start = mean = spent / gpus if gpus else (paid[0] if paid else 1.0)
    return Price(
        start,
        mean,
        policy.number("price_reversion_per_year"),
        volatility,
        policy.number("price_jump_probability_per_year"),
        policy.number("price_jump_fraction"),
    )
