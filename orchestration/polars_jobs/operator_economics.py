"""The operator's own cash flow, park by park: who pays what to whom, and what is left for debt.

Revenue is what tenants are billed; the vendor's claims come on top, its share goes off, and power, land, operation and
debt service follow. Figures are accruals of the service month as known today: a proxy of cash, for no operator's bank
account is in sight. Costs and loans are what the park's file says, with their grade. The vendor's books do not belong
here, nor do the limits that a covenant sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from orchestration.polars_jobs.errors import Array, wrong
from orchestration.polars_jobs.frames import (
    Frames,
    RowsBy,
    add_months,
    days_in_month,
    make_frame,
    month_end,
    month_start,
    months_between,
    need,
    optional,
)
from orchestration.polars_jobs.money import MONEY, ZERO, money_from_estimate, round_money
from orchestration.polars_jobs.operator_standing import Measured, Spending, liquidity_months, residual_mark
from orchestration.polars_jobs.policies import CreditPolicy
from orchestration.polars_jobs.receivables import read_closes
from orchestration.polars_jobs.terms_at_close import terms_known

MONTHS_PER_YEAR = 12
KWH_PER_MWH = 1000
# The run rate that stands for the months ahead: the mean of so many months just ended.
RUN_RATE_MONTHS = 3

ECONOMICS_SCHEMA: dict[str, Any] = {
    "operator_id": pl.String,
    "park_id": pl.String,
    "month": pl.Date,
    "currency_code": pl.String,
    "revenue_amount": MONEY,
    "claim_income_amount": MONEY,
    "share_amount": MONEY,
    "power_amount": MONEY,
    "land_amount": MONEY,
    "operation_amount": MONEY,
    "cfads_amount": MONEY,
    "interest_amount": MONEY,
    "principal_amount": MONEY,
    "debt_service_amount": MONEY,
    "debt_outstanding_amount": MONEY,
    "collateral_value_amount": MONEY,
    "floor_revenue_amount": MONEY,
    "unrecouped_advance_amount": MONEY,
    "cumulative_vendor_take_amount": MONEY,
    "cumulative_lender_take_amount": MONEY,
    "cumulative_operator_take_amount": MONEY,
    "dscr": pl.Float64,
    "dscr_null_reason": pl.String,
    "dscr_before_share": pl.Float64,
    "llcr": pl.Float64,
    "llcr_null_reason": pl.String,
    "ltv_fraction": pl.Float64,
    "ltv_fraction_null_reason": pl.String,
    "floor_case_dscr": pl.Float64,
    "floor_case_dscr_null_reason": pl.String,
    "pledged_revenue_fraction": pl.Float64,
    "pledged_revenue_fraction_null_reason": pl.String,
    "tenor_gap_months": pl.Float64,
    "tenor_gap_months_null_reason": pl.String,
    "liquidity_months": pl.Float64,
    "liquidity_months_null_reason": pl.String,
    "residual_mark_fraction": pl.Float64,
    "residual_mark_fraction_null_reason": pl.String,
    "evidence_grade": pl.String,
}


class LoanMonth(NamedTuple):
    """One month of a loan: interest and principal paid, and what is outstanding after it."""

    month: date
    interest: float
    principal: float
    outstanding: float


@dataclass(frozen=True)
class Loan:
    """A loan drawn in full in ``first_month``; ``rate`` nominal a year, paid monthly in arrears; paid off in the month
    of ``maturity``. ``amortisation``: bullet, linear or annuity.
    """

    lender: str
    principal: float
    rate: float
    floating: bool
    amortisation: str
    first_month: date
    maturity: date


def loan_schedule(loan: Loan) -> list[LoanMonth]:
    """Every month of a loan, the first payment one month after drawing; outstanding ends at 0.

    Raises :class:`CreditInputError` for a loan that matures before its first payment, a negative principal, or an
    unknown amortisation.
    """
    count = months_between(loan.first_month, loan.maturity)
    if count < 1:
        raise wrong("maturity", loan.maturity.isoformat(), "lies before the first payment", loan.lender)
    if not loan.principal >= 0:
        raise wrong("principal", loan.principal, "must not be negative", loan.lender)
    monthly, left = loan.rate / MONTHS_PER_YEAR, loan.principal
    level = loan.principal / count if monthly == 0 else loan.principal * monthly / (1 - (1 + monthly) ** -count)
    rows: list[LoanMonth] = []
    for number in range(1, count + 1):
        interest = left * monthly
        match loan.amortisation:
            case "bullet":
                principal = left if number == count else 0.0
            case "linear":
                principal = loan.principal / count
            case "annuity":
                principal = left if number == count else level - interest
            case other:
                raise wrong("amortisation", other, "is none of bullet, linear, annuity", loan.lender)
        left = max(left - principal, 0.0) if number < count else 0.0
        rows.append(LoanMonth(add_months(loan.first_month, number), interest, principal, left))
    return rows


def debt_service_coverage(cash_flow: Decimal | float, debt_service: Decimal | float) -> float | None:
    """CFADS ÷ (interest + principal); None where nothing is due."""
    return float(cash_flow) / float(debt_service) if debt_service > 0 else None


def loan_life_coverage(cash_flows: Sequence[float], annual_rate: float, outstanding: float) -> float | None:
    """Present value of the cash flows of the months to the last maturity (first one a month ahead) ÷ debt outstanding;
    None without debt.
    """
    if outstanding <= 0:
        return None
    growth = 1.0 + annual_rate / MONTHS_PER_YEAR
    return sum(flow / growth**number for number, flow in enumerate(cash_flows, start=1)) / outstanding


def straight_line_value(price: float, age_months: int, life_months: int) -> float:
    """Value of hardware that loses its price evenly over its life; never below 0, and the price before delivery."""
    if life_months <= 0:
        raise wrong("life in months", life_months, "must be positive")
    return price * max(0.0, 1.0 - max(age_months, 0) / life_months)


@dataclass(frozen=True)
class ParkMonth:
    """One month of one park, amounts in its own currency; costs and debt as positive magnitudes."""

    month: date
    revenue: Decimal
    claims: Decimal
    share: Decimal
    power: Decimal | None
    land: Decimal
    operation: Decimal
    interest: Decimal
    principal: Decimal
    outstanding: Decimal
    collateral: Decimal
    floor_revenue: Decimal
    debt_rate: float
    months_to_maturity: int

    @property
    def costs(self) -> Decimal:
        """Power, land and operation; power that no meter told of counts as nothing."""
        return (self.power or ZERO) + self.land + self.operation

    @property
    def cash_flow(self) -> Decimal:
        """Cash flow available for debt service: revenue + claims − share − costs."""
        return self.revenue + self.claims - self.share - self.costs

    @property
    def debt_service(self) -> Decimal:
        """Interest and principal."""
        return self.interest + self.principal

    @property
    def floor_cash_flow(self) -> Decimal:
        """The same if every tenant left and the backstop alone paid: no revenue, no share, all costs but the power of
        idle GPUs kept.
        """
        return self.floor_revenue - self.costs


def stressed_month(
    month: ParkMonth, *, revenue_factor: float = 1.0, power_factor: float = 1.0, rate_shift: float = 0.0
) -> ParkMonth:
    """The month with revenue (and, at an unchanged rate, the share) times ``revenue_factor``, power times
    ``power_factor``, and ``rate_shift`` (absolute, a year) more interest on what is outstanding.
    """
    return replace(
        month,
        revenue=round_money(month.revenue * Decimal(repr(revenue_factor))),
        share=round_money(month.share * Decimal(repr(revenue_factor))),
        power=None if month.power is None else round_money(month.power * Decimal(repr(power_factor))),
        interest=month.interest + round_money(month.outstanding * Decimal(repr(rate_shift)) / MONTHS_PER_YEAR),
    )


def run_rate(months: Sequence[ParkMonth]) -> ParkMonth | None:
    """The mean of the last months, with the debt as it stands at the end; None without a month."""
    last = list(months)[-RUN_RATE_MONTHS:]
    if not last:
        return None

    def mean(name: str) -> Decimal:
        return round_money(sum((getattr(month, name) or ZERO for month in last), ZERO) / len(last))

    return replace(
        last[-1],
        revenue=mean("revenue"),
        claims=mean("claims"),
        share=mean("share"),
        power=None if any(month.power is None for month in last) else mean("power"),
        land=mean("land"),
        operation=mean("operation"),
        interest=mean("interest"),
        principal=mean("principal"),
        floor_revenue=mean("floor_revenue"),
    )


def park_months(frames: Frames, policy: CreditPolicy) -> dict[str, list[ParkMonth]]:
    """Every park whose costs are given: its months from the first energised tranche to the last close of its contracts.

    Reads ``core.dim_park``, ``core.dim_tranche``, ``core.dim_contract``, ``intermediate.int_closes``,
    ``raw.park_economics``, and where given ``raw.park_debt``, ``metering.fct_lease_revenue_day``,
    ``metering.fct_power_day``, ``revenue_share.fct_share_month``, ``backstop.fct_backstop_month``,
    ``raw.backstop_terms``. Loans count as drawn in the month of the first energised tranche.
    """
    economics = optional(frames, "raw.park_economics")
    if economics is None:
        return {}
    tranches = need(frames, "core.dim_tranche", "tranche_id", "park_id", "gpu_count", "energised_date")
    contracts = need(frames, "core.dim_contract", "contract_id", "park_id")
    closes = need(frames, "intermediate.int_closes", "contract_id", "posting_month")
    last_close = dict(
        closes.join(contracts.select("contract_id", "park_id"), on="contract_id")
        .group_by("park_id")
        .agg(pl.col("posting_month").max())
        .iter_rows()
    )
    revenue = _by_park_month(frames, "metering.fct_lease_revenue_day", "service_date", "net_billed_amount")
    energy = _by_park_month(frames, "metering.fct_power_day", "service_date", "facility_energy_kwh")
    share = _by_park_month(frames, "revenue_share.fct_share_month", "service_month", "share_amount", contracts)
    claims = _by_park_month(frames, "backstop.fct_backstop_month", "service_month", "claim_amount", contracts)
    floors = _floor_revenue(frames, contracts)
    out: dict[str, list[ParkMonth]] = {}
    for costs in economics.sort("park_id").iter_rows(named=True):
        park_id = costs["park_id"]
        own = tranches.filter((pl.col("park_id") == park_id) & pl.col("energised_date").is_not_null())
        if own.is_empty() or park_id not in last_close:
            continue
        gpus = list(own.select("gpu_count", "energised_date").iter_rows())
        first = month_start(min(day for _, day in gpus))
        loans = _loans(frames, park_id, first)
        schedules = [{row.month: row for row in loan_schedule(loan)} for loan in loans]
        months = []
        for number in range(months_between(first, last_close[park_id]) + 1):
            month = add_months(first, number)
            key = (park_id, month)
            kwh = energy.get(key)
            debts = [schedule[month] for schedule in schedules if month in schedule]
            outstanding = [
                (schedule[month].outstanding if month in schedule else loan.principal if month == first else 0.0)
                for loan, schedule in zip(loans, schedules, strict=True)
            ]
            weighted = sum(loan.rate * left for loan, left in zip(loans, outstanding, strict=True))
            months.append(
                ParkMonth(
                    month=month,
                    revenue=round_money(revenue.get(key, ZERO)),
                    claims=round_money(claims.get(key, ZERO)),
                    share=round_money(share.get(key, ZERO)),
                    power=None if kwh is None else round_money(kwh / KWH_PER_MWH * costs["tariff_per_mwh"]),
                    land=round_money(costs["land_per_month"]),
                    operation=_operation(gpus, month, costs["operation_per_gpu_month"]),
                    interest=money_from_estimate(sum(row.interest for row in debts)),
                    principal=money_from_estimate(sum(row.principal for row in debts)),
                    outstanding=money_from_estimate(sum(outstanding)),
                    collateral=_hardware_value(gpus, month, policy),
                    floor_revenue=floors.get(key, ZERO),
                    debt_rate=weighted / sum(outstanding) if sum(outstanding) else 0.0,
                    months_to_maturity=max(
                        (
                            months_between(month, loan.maturity)
                            for loan, left in zip(loans, outstanding, strict=True)
                            if left > 0
                        ),
                        default=0,
                    ),
                )
            )
        out[park_id] = months
    return out


def _by_park_month(
    frames: Frames, table: str, day: str, amount: str, contracts: pl.DataFrame | None = None
) -> dict[tuple[str, date], Decimal]:
    frame = optional(frames, table)
    if frame is None:
        return {}
    if contracts is not None:
        frame = frame.join(contracts.select("contract_id", "park_id"), on="contract_id")
    sums = (
        frame.filter(pl.col(amount).is_not_null())
        .group_by("park_id", month=pl.col(day).dt.truncate("1mo"))
        .agg(pl.col(amount).sum())
    )
    return {(park, month): Decimal(value) for park, month, value in sums.iter_rows()}


def _floor_revenue(frames: Frames, contracts: pl.DataFrame) -> dict[tuple[str, date], Decimal]:
    """What the backstop would pay if nothing were sold: (committed − deductible) × price, at most the monthly cap."""
    months, terms = optional(frames, "backstop.fct_backstop_month"), optional(frames, "raw.backstop_terms")
    if months is None or terms is None:
        return {}
    versions = RowsBy(terms)
    closes = {
        (close.contract_id, close.posting_month): close
        for close in read_closes(need(frames, "intermediate.int_closes"))
    }

    def agreed(contract_id: str, month: date) -> Mapping[str, Any]:
        """The terms in force at the month's end, as known at its close, or now where it has none (READINGS.md, 4 and 6)."""
        close = closes.get((contract_id, month))
        if close is not None:
            known = terms_known(versions, close)
        else:
            agreed_by_then = (row for row in versions.of(contract_id) if row["valid_from"] <= month_end(month))
            known = sorted(agreed_by_then, key=lambda row: (row["valid_from"], row["recorded_at"]))
        return known[-1] if known else {}

    by_contract: dict[tuple[str, date], Decimal] = {}
    columns = (
        "contract_id",
        "service_month",
        "committed_gpu_hours",
        "installed_gpu_hours",
        "buyback_price_per_gpu_hour",
    )
    for contract_id, month, committed, installed, price in months.select(columns).iter_rows():
        own = agreed(contract_id, month)
        # Of several deductibles the largest counts.
        deductible = max(
            committed * (own.get("deductible_fraction") or ZERO),
            min(own.get("deductible_gpu_hours") or ZERO, committed),
            min(installed * (own.get("first_loss_band") or ZERO), committed),
        )
        key = (contract_id, month)
        by_contract[key] = by_contract.get(key, ZERO) + (committed - deductible) * (price or ZERO)
    park_of = dict(contracts.select("contract_id", "park_id").iter_rows())
    out: dict[tuple[str, date], Decimal] = {}
    for (contract_id, month), amount in by_contract.items():
        own = agreed(contract_id, month)
        cap = own.get("period_cap_amount") if own.get("period_cap_period") == "month" else None
        key = (park_of[contract_id], month)
        out[key] = out.get(key, ZERO) + round_money(amount if cap is None else min(amount, cap))
    return out


def _loans(frames: Frames, park_id: str, first: date) -> list[Loan]:
    table = optional(frames, "raw.park_debt")
    if table is None:
        return []
    return [
        Loan(
            row["lender"],
            float(row["principal"]),
            float(row["rate"]),
            bool(row["floating"]),
            row["amortisation"],
            first,
            row["maturity"],
        )
        for row in table.filter(pl.col("park_id") == park_id).sort("lender", "maturity").iter_rows(named=True)
    ]


def debt_service_ahead(frames: Frames, park_id: str, first: date, months: int) -> Array:
    """Interest and principal due on all of a park's loans in each of ``months`` months from ``first`` on (T,); nothing
    for a park without loans or without an energised tranche.
    """
    tranches = need(frames, "core.dim_tranche", "park_id", "energised_date").filter(pl.col("park_id") == park_id)
    energised = tranches["energised_date"].drop_nulls()
    out = np.zeros(months)
    if not len(energised):
        return out
    for loan in _loans(frames, park_id, month_start(min(energised.to_list()))):
        for row in loan_schedule(loan):
            number = months_between(first, row.month)
            if 0 <= number < months:
                out[number] += row.interest + row.principal
    return out


def _operation(gpus: Sequence[tuple[int, date]], month: date, per_gpu_month: Decimal) -> Decimal:
    """Operation by GPUs and the days of the month on which they were energised."""
    whole = days_in_month(month)
    total = Decimal(0)
    for count, energised in gpus:
        in_force = (month_end(month) - max(energised, month)).days + 1
        if in_force > 0:
            total += count * per_gpu_month * in_force / whole
    return round_money(total)


def _hardware_value(gpus: Sequence[tuple[int, date]], month: date, policy: CreditPolicy) -> Decimal:
    price, life = policy.number("hardware_price_per_gpu"), policy.integer("hardware_life_months")
    return money_from_estimate(
        sum(
            count * straight_line_value(price, months_between(energised, month), life)
            for count, energised in gpus
            if energised <= month_end(month)
        )
    )


def operator_economics(frames: Frames, policy: CreditPolicy) -> pl.DataFrame:
    """``credit.fct_operator_economics_month``: one row per operator, park and month.

    Reads what :func:`park_months` reads, and ``core.dim_lease`` for the tenor gap, ``raw.token_advance`` for advances;
    ``raw.operator_fact`` and ``raw.hardware_value`` for liquidity and residual marks, as published by the home's day
    (``raw.home``).
    """
    table = optional(frames, "core.dim_park")
    parks = {} if table is None else {row["park_id"]: row for row in table.iter_rows(named=True)}
    costs = optional(frames, "raw.park_economics")
    about = {row["park_id"]: row for row in costs.iter_rows(named=True)} if costs is not None else {}
    leases = optional(frames, "core.dim_lease")
    made = park_months(frames, policy)
    liquidity = Liquidity(frames, made)
    values, models = RowsBy(optional(frames, "raw.hardware_value"), "gpu_model"), _main_models(frames)
    home = optional(frames, "raw.home")
    today = date.max if home is None else home["as_of_date"][0]
    rows: list[dict[str, Any]] = []
    for park_id, months in made.items():
        operator, own = parks.get(park_id, {}).get("operator_id"), about[park_id]
        term = weighted_lease_months(leases, park_id, [month.month for month in months])
        advances = _advances(frames, park_id)
        takes = [ZERO, ZERO, ZERO]
        for number, month in enumerate(months):
            takes = [
                takes[0] + month.share - month.claims,
                takes[1] + month.debt_service,
                takes[2] + month.cash_flow - month.debt_service,
            ]
            rows.append(
                _row(
                    month,
                    run_rate(months[: number + 1]) or month,
                    takes,
                    term[number],
                    advance=sum((amount for day, amount in advances if day <= month_end(month.month)), ZERO),
                    liquidity=liquidity.of(park_id, month.month, today),
                    mark=residual_mark(
                        values.of(models.get(park_id)), park_id, models.get(park_id, ""), month_end(month.month)
                    ),
                    about={
                        "operator_id": operator,
                        "park_id": park_id,
                        "currency_code": own["currency_code"],
                        "evidence_grade": own["evidence_grade"],
                    },
                )
            )
    return make_frame(rows, ECONOMICS_SCHEMA, ["operator_id", "park_id", "month"])


def _row(
    month: ParkMonth,
    usual: ParkMonth,
    takes: Sequence[Decimal],
    lease_months: float | None,
    *,
    advance: Decimal,
    liquidity: Measured,
    mark: Measured,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    no_debt = "no debt service in the month"
    no_power = "no meter reading of the month" if month.power is None else None
    dscr = None if no_power else debt_service_coverage(month.cash_flow, month.debt_service)
    before = None if no_power else debt_service_coverage(month.cash_flow + month.share, month.debt_service)
    floor = None if no_power else debt_service_coverage(month.floor_cash_flow, month.debt_service)
    llcr = None
    if usual.power is not None:
        flows = [float(usual.cash_flow)] * month.months_to_maturity
        llcr = loan_life_coverage(flows, month.debt_rate, float(month.outstanding))
    ltv = float(month.outstanding / month.collateral) if month.collateral > 0 else None
    pledged = float((month.share + month.debt_service) / month.revenue) if month.revenue > 0 else None
    gap = None if lease_months is None or not month.months_to_maturity else month.months_to_maturity - lease_months
    return {
        **about,
        "month": month.month,
        "revenue_amount": month.revenue,
        "claim_income_amount": month.claims,
        "share_amount": month.share,
        "power_amount": month.power,
        "land_amount": month.land,
        "operation_amount": month.operation,
        "cfads_amount": None if no_power else month.cash_flow,
        "interest_amount": month.interest,
        "principal_amount": month.principal,
        "debt_service_amount": month.debt_service,
        "debt_outstanding_amount": month.outstanding,
        "collateral_value_amount": month.collateral,
        "floor_revenue_amount": month.floor_revenue,
        "unrecouped_advance_amount": advance,
        "cumulative_vendor_take_amount": takes[0],
        "cumulative_lender_take_amount": takes[1],
        "cumulative_operator_take_amount": takes[2],
        "dscr": dscr,
        "dscr_null_reason": None if dscr is not None else no_power or no_debt,
        "dscr_before_share": before,
        "llcr": llcr,
        "llcr_null_reason": None if llcr is not None else no_power or "no debt outstanding",
        "ltv_fraction": ltv,
        "ltv_fraction_null_reason": None if ltv is not None else "no hardware in service",
        "floor_case_dscr": floor,
        "floor_case_dscr_null_reason": None if floor is not None else no_power or no_debt,
        "pledged_revenue_fraction": pledged,
        "pledged_revenue_fraction_null_reason": None if pledged is not None else "no revenue in the month",
        "tenor_gap_months": gap,
        "tenor_gap_months_null_reason": None if gap is not None else "no debt, or no lease under contract",
        "liquidity_months": liquidity.value,
        "liquidity_months_null_reason": liquidity.null_reason,
        "residual_mark_fraction": mark.value,
        "residual_mark_fraction_null_reason": mark.null_reason,
    }


class Liquidity:
    """The liquidity of each park's operator, from its statements and from what all its parks spend in a usual month."""

    def __init__(self, frames: Frames, months: Mapping[str, Sequence[ParkMonth]]) -> None:
        """``months``: those of :func:`park_months`. Reads ``core.dim_park``, ``raw.park_economics``, ``raw.operator_fact``."""
        parks, economics = optional(frames, "core.dim_park"), optional(frames, "raw.park_economics")
        self._operators = {} if parks is None else dict(parks.select("park_id", "operator_id").iter_rows())
        self._currencies = {} if economics is None else dict(economics.select("park_id", "currency_code").iter_rows())
        self._facts, self._months = RowsBy(optional(frames, "raw.operator_fact"), "operator_id"), months

    def of(self, park_id: str, month: date, known_by: date) -> Measured:
        """Months of liquidity of a park's operator at a month's end, from statements published by a day."""
        operator = self._operators.get(park_id)
        usual = {
            other: run_rate([row for row in rows if row.month <= month])
            for other, rows in self._months.items()
            if self._operators.get(other) == operator
        }
        spending = [
            Spending(self._currencies[other], None if row.power is None else row.costs + row.debt_service)
            for other, row in usual.items()
            if row is not None
        ]
        return liquidity_months(self._facts.of(operator), spending, month_end(month), known_by)


def _main_models(frames: Frames) -> dict[str, str]:
    """The GPU model of most of each park's GPUs; none where no tranche is given."""
    tranches = optional(frames, "core.dim_tranche")
    if tranches is None:
        return {}
    counts = tranches.group_by("park_id", "gpu_model").agg(pl.col("gpu_count").sum())
    return dict(counts.sort("gpu_count", "gpu_model").select("park_id", "gpu_model").iter_rows())


def lease_spans(leases: pl.DataFrame) -> list[tuple[date, date, int, float]]:
    """First day, day after the last, GPUs and price of every version of a third party's lease that bills and ends: a
    version holds until the next one takes over (``core.dim_lease``: valid_from, valid_to).
    """
    rows = leases.filter(
        pl.col("status").is_in(["active", "ended"]) & (pl.col("customer_type") != "vendor_own_use")
    ).with_columns(last=pl.min_horizontal("ends_at", "valid_to"))
    columns = ["valid_from", "last", "gpu_count", "price_per_gpu_hour"]
    return [
        (first.date(), last.date(), int(gpus), float(price))
        for first, last, gpus, price in rows.select(columns).iter_rows()
        if last is not None
    ]


def weighted_lease_months(leases: pl.DataFrame | None, park_id: str, months: Sequence[date]) -> list[float | None]:
    """Weighted average lease term (WALT) of a park at each month's end: Σ remaining months × remaining value ÷ Σ
    remaining value, over the leases running then; None where none runs. A month is a twelfth of 365.25 days.
    """
    if leases is None:
        return [None] * len(months)
    running = lease_spans(leases.filter(pl.col("park_id") == park_id))
    out: list[float | None] = []
    for month in months:
        end = month_end(month)
        left = [
            ((last - end).days / 30.4375, gpus * price) for first, last, gpus, price in running if first <= end < last
        ]
        value = sum(time * weight for time, weight in left)
        out.append(sum(time * time * weight for time, weight in left) / value if value > 0 else None)
    return out


def _advances(frames: Frames, park_id: str) -> list[tuple[date, Decimal]]:
    """Advances granted (positive) and recouped (negative) on the contracts of a park, by day."""
    granted = optional(frames, "raw.token_advance")
    if granted is None:
        return []
    contracts = need(frames, "core.dim_contract").filter(pl.col("park_id") == park_id)["contract_id"].to_list()
    own = granted.filter(pl.col("contract_id").is_in(contracts)).unique("advance_id", keep="last", maintain_order=True)
    moves = list(own.select("grant_date", "face_amount").iter_rows())
    share = optional(frames, "revenue_share.fct_share_month")
    if share is not None and "recouped_amount" in share.columns:
        recouped = share.filter(pl.col("contract_id").is_in(contracts)).select("service_month", "recouped_amount")
        moves += [(month_end(month), -amount) for month, amount in recouped.drop_nulls().iter_rows()]
    return moves
