"""Expected credit loss of what each contract owes at each close: exposures, ratings as known then, scenarios, both
standards side by side.

Exposure for accounting is what is billed and open plus what is accrued and unbilled; the future share that is not yet
earned is economic exposure and stands elsewhere (CREDIT.md, 3.3). Trade items bear no financing component and fall
due within months: their effective interest rate is 0. The engine is lifetime_ecl; the allowance over time is in
allowance.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from orchestration.polars_jobs.default_curves import DefaultCurve, conditional_pd_for_periods
from orchestration.polars_jobs.errors import NOT_NEGATIVE, wrong
from orchestration.polars_jobs.frames import Frames, RowsBy, local_date, make_frame, need, optional
from orchestration.polars_jobs.functional_currency import last_rate, no_rate
from orchestration.polars_jobs.lifetime_ecl import (
    Array,
    check_probability,
    check_weights,
    ifrs9_stage,
    lifetime_ecl,
    survival,
    twelve_month_ecl,
    vasicek_shift,
    within_a_year,
)
from orchestration.polars_jobs.money import MONEY, ZERO, apportion, exact, money_from_estimate
from orchestration.polars_jobs.obligor_curves import ObligorCurves, Sourced
from orchestration.polars_jobs.policies import CreditPolicy
from orchestration.polars_jobs.receivables import INTEREST_NOTE, Close, events_known, read_closes, standing_events
from orchestration.polars_jobs.terms_at_close import blocks_in_force, collection_days, terms_known
from orchestration.polars_jobs.yield_curves import YieldCurves

LOSS_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "standard": pl.String,
    "scenario": pl.String,
    "stage": pl.Int32,
    "horizon": pl.String,
    "rating": pl.String,
    "pd_source": pl.String,
    "pd_fraction": pl.Float64,
    "lgd_fraction": pl.Float64,
    "exposure_amount": MONEY,
    "expected_credit_loss_amount": MONEY,
    "weight": pl.Float64,
    "weighted_amount": MONEY,
    "lifetime_weighted_amount": MONEY,
    "currency_code": pl.String,
}

DAYS_PER_YEAR = 365.0
MONTHS_PER_YEAR = 12.0


class Scenario(NamedTuple):
    """One macro scenario: weight, systemic factor (positive good), factor on annual default probability, LGD in its
    place (None: the policy's).
    """

    scenario_id: str
    weight: float
    factor: float
    pd_multiple: float
    lgd: float | None

    def as_today(self) -> Scenario:
        """The scenario's name and weight with nothing changing from the reporting date on."""
        return self._replace(factor=0.0, pd_multiple=1.0, lgd=None)


BASE = Scenario("base", 1.0, 0.0, 1.0, None)


def macro_scenarios(table: pl.DataFrame | None) -> list[Scenario]:
    """The weighted scenarios of ``raw.scenario`` (scenario_id, weight, driver, value), by id; one base case where
    there are none. Weights must sum to 1.

    Drivers read here: systematic_factor, pd_multiple, lgd_fraction; the others belong to the stress set. A scenario
    without a weight is a stress, not a macro scenario.
    """
    if table is None or table.filter(pl.col("weight").is_not_null()).is_empty():
        return [BASE]
    scenarios: list[Scenario] = []
    weighted = table.filter(pl.col("weight").is_not_null()).sort("scenario_id")
    for (scenario_id,), rows in weighted.partition_by("scenario_id", as_dict=True, maintain_order=True).items():
        drivers = {row["driver"]: float(row["value"]) for row in rows.iter_rows(named=True) if row["value"] is not None}
        scenarios.append(
            Scenario(
                str(scenario_id),
                float(rows["weight"][0]),
                drivers.get("systematic_factor", 0.0),
                drivers.get("pd_multiple", 1.0),
                drivers.get("lgd_fraction"),
            )
        )
    check_weights([scenario.weight for scenario in scenarios])
    return scenarios


@dataclass(frozen=True)
class Credit:
    """What is known of an operator at a close: rating and agency, and whether it is insolvent."""

    rating: str
    agency: str | None
    insolvent: bool


def credit_at(close: Close, operator: Mapping[str, Any], events: RowsBy, policy: CreditPolicy) -> Credit:
    """Rating and solvency as known at the close: the operator's rating, replaced by rating_change events in order of
    their own dates; no look-ahead (CREDIT.md, 4.16).

    ``events``: as of ``receivables.standing_events``. A rating_change's payload is {"rating": …,
    "rating_agency": … (optional)}. An operator without rating takes the policy ``unrated_rating``.
    """
    rating, agency, insolvent = operator.get("rating"), operator.get("rating_agency"), False
    for row in sorted(events_known(events, close), key=lambda row: (row["effective_at"], row["event_id"])):
        if local_date(row["effective_at"], close.time_zone) > close.month_end_date:
            continue
        if row["kind"] == "insolvency":
            insolvent = True
        elif row["kind"] == "rating_change":
            payload = json.loads(row["payload"] or "{}")
            if "rating" not in payload:
                raise wrong("rating_change", row["event_id"], "names no rating", close.contract_id)
            rating, agency = payload["rating"], payload.get("rating_agency", agency)
    if rating is None or rating.strip().upper() in {"", "NR", "WR"}:
        rating = policy.text("unrated_rating")
    elif rating.strip().upper() in {"D", "SD", "RD"}:
        # A rating of default is default itself; the curve no longer matters.
        rating, insolvent = policy.text("unrated_rating"), True
    return Credit(rating, agency, insolvent)


class Exposures(NamedTuple):
    """Amounts (positive) and the days from the reporting date in which each is expected to be settled."""

    amounts: list[Decimal]
    days: list[int]

    @property
    def total(self) -> Decimal:
        """Their sum: the exposure at the reporting date."""
        return sum(self.amounts, ZERO)


def exposures_at(
    close: Close, items: Iterable[Mapping[str, Any]], unbilled: Decimal, collection_days: int, past_due_days: int
) -> Exposures:
    """``items``: rows of ``credit.fct_receivable_item``. Open items (credits cut nobody's loss and are left out) and the unbilled accrual.

    A billed item is settled by its due date, an overdue one within ``past_due_days``; the unbilled accrual
    ``collection_days`` after the month's end (statement days + payment terms, longer where a reserve is withheld).
    """
    amounts: list[Decimal] = []
    days: list[int] = []
    for item in items:
        if item["open_amount"] > 0:
            left = (item["due_date"] - close.month_end_date).days
            amounts.append(item["open_amount"])
            days.append(left if left > 0 else past_due_days)
    if unbilled > 0:
        amounts.append(unbilled)
        days.append(max(collection_days, 1))
    return Exposures(amounts, days)


def worst_days_past_due(items: Iterable[Mapping[str, Any]]) -> int:
    """Days past due of the oldest principal that is open, as stages count them; 0 where there is none. Interest for paying
    late that is itself unpaid is no evidence that the principal will not come.
    """
    owed = (item for item in items if item["open_amount"] > 0 and item["kind"] != INTEREST_NOTE)
    return max((item["days_past_due"] for item in owed), default=0)


def loss_given_default(
    base: float, exposure: Decimal, set_off: Decimal, collateral: Decimal, floor: float, *, obligor: object = None
) -> float:
    """LGD after enforceable set-off and collateral: base × max(0, exposure − set-off − collateral) ÷ exposure, not
    below the floor (CREDIT.md, 3.3). ``obligor`` is named in errors.
    """
    check_probability([base, floor], "loss given default", obligors=None if obligor is None else [obligor])
    for field, amount in (("exposure", exposure), ("set-off", set_off), ("collateral", collateral)):
        if exact(amount, field, obligor) < 0:
            raise wrong(field, amount, NOT_NEGATIVE, obligor)
    if exposure == 0:
        return max(base, floor)
    bare = max(ZERO, exposure - set_off - collateral)
    return max(base * float(bare / exposure), floor)


def scenario_hazards(
    curve: DefaultCurve, ends: Array, scenarios: Sequence[Scenario], policy: CreditPolicy, obligor: object = None
) -> Array:
    """Conditional default probability (S, 1, T) of the periods ending at ``ends`` (years), shifted by each scenario
    over the forecast and reverting to the unshifted curve.

    The shift acts on annual probabilities, so that it does not depend on how the time is cut into periods.
    """
    lengths = np.diff(ends, prepend=0.0)
    hazard = conditional_pd_for_periods(curve, ends)
    annual = 1.0 - np.power(1.0 - hazard, 1.0 / lengths)
    forecast = policy.number("reasonable_supportable_months") / MONTHS_PER_YEAR
    way_back = (
        policy.number("reversion_months") / MONTHS_PER_YEAR
        if policy.choice("reversion", "straight_line", "immediate") == "straight_line"
        else 0.0
    )
    after = np.maximum(ends - forecast, 0.0)
    kept = np.where(after <= 0, 1.0, np.maximum(0.0, 1.0 - after / way_back) if way_back > 0 else 0.0)
    out = np.empty((len(scenarios), 1, len(ends)))
    for number, scenario in enumerate(scenarios):
        # The neutral factor leaves the curve as it is: the tables are already averages over good and bad years.
        shifted = (
            vasicek_shift(annual, policy.number("asset_correlation"), scenario.factor) if scenario.factor else annual
        )
        shifted = check_probability(
            shifted * scenario.pd_multiple,
            f"default probability under scenario {scenario.scenario_id}",
            obligors=None if obligor is None else [obligor],
        )
        mixed = annual + kept * (shifted - annual)
        out[number, 0] = 1.0 - np.power(1.0 - mixed, lengths)
    return out


def contract_loss(
    close: Close,
    exposures: Exposures,
    *,
    credit: Credit,
    curve: Sourced,
    origination: DefaultCurve,
    worst_days_past_due: int,
    set_off: Decimal,
    collateral: Decimal,
    scenarios: Sequence[Scenario],
    policy: CreditPolicy,
    currency_code: str,
    accounting_class: str | None = None,
) -> list[dict[str, Any]]:
    """Rows of ``credit.fct_credit_loss_month`` of one contract and close, all scenarios, both standards as far as
    they cover a receivable of ``accounting_class`` (None: the policy's).
    """
    kind = accounting_class or default_class(policy)
    ends = np.array(sorted({days / DAYS_PER_YEAR for days in exposures.days} or {1.0 / DAYS_PER_YEAR}))
    amounts = np.array([float(amount) for amount in exposures.amounts])
    settled = np.array(exposures.days, dtype=np.float64) / DAYS_PER_YEAR
    # What is settled by the end of a period was owed during it.
    ead = np.array([amounts[settled >= end].sum() if len(amounts) else 0.0 for end in ends])
    now = float(1.0 - survival(conditional_pd_for_periods(curve.curve, ends))[-1])
    then = float(1.0 - survival(conditional_pd_for_periods(origination, ends))[-1])
    stage = ifrs9_stage(
        worst_days_past_due,
        now,
        then,
        insolvent=credit.insolvent,
        default_days=policy.integer("default_days_past_due"),
        significant_days=policy.integer("sicr_days_past_due"),
        pd_ratio=policy.number("significant_increase_pd_multiple"),
    )
    weights = [scenario.weight for scenario in scenarios]
    general = policy.choice("ifrs9_approach", "simplified", "general") == "general"
    rows: list[dict[str, Any]] = []
    for standard in covered_standards(kind):
        acting = [s.as_today() for s in scenarios] if standard == "cecl" and uses_expedient(policy, kind) else scenarios
        hazards, lgd = _hazards_and_lgd(
            acting,
            curve.curve,
            ends,
            stage=stage,
            owed=exposures.total,
            cover=(set_off, collateral),
            policy=policy,
            obligor=close.contract_id,
        )
        names = [close.contract_id]
        lifetime = lifetime_ecl(
            hazards, lgd[:, None, None], ead, eir=0.0, tau_years=ends, weights=weights, obligors=names
        )
        result, in_year = lifetime, hazards
        twelve = standard == "ifrs9" and general and stage == 1
        if twelve:
            lengths = np.diff(ends, prepend=0.0)
            result = twelve_month_ecl(
                hazards, lgd[:, None, None], ead, eir=0.0, period_years=lengths, weights=weights, obligors=names
            )
            in_year = within_a_year(hazards, lengths)
        total = money_from_estimate(float(result.weighted[0]))
        parts = result.by_scenario[:, 0] * np.array(weights)
        split = apportion(total, parts.tolist()) if parts.sum() > 0 else [ZERO] * len(weights)
        whole = money_from_estimate(float(lifetime.weighted[0]))
        whole_parts = lifetime.by_scenario[:, 0] * np.array(weights)
        whole_split = apportion(whole, whole_parts.tolist()) if whole_parts.sum() > 0 else [ZERO] * len(weights)
        for number, scenario in enumerate(scenarios):
            rows.append(
                {
                    "contract_id": close.contract_id,
                    "month": close.posting_month,
                    "standard": standard,
                    "scenario": scenario.scenario_id,
                    "stage": stage if standard == "ifrs9" else None,
                    "horizon": "twelve_month" if twelve else "lifetime",
                    "rating": credit.rating,
                    "pd_source": curve.source,
                    "pd_fraction": float(1.0 - survival(in_year[number, 0])[-1]),
                    "lgd_fraction": float(lgd[number]),
                    "exposure_amount": exposures.total,
                    "expected_credit_loss_amount": money_from_estimate(float(result.by_scenario[number, 0])),
                    "weight": scenario.weight,
                    "weighted_amount": split[number],
                    "lifetime_weighted_amount": whole_split[number],
                    "currency_code": currency_code,
                }
            )
    return rows


def _hazards_and_lgd(
    scenarios: Sequence[Scenario],
    curve: DefaultCurve,
    ends: Array,
    *,
    stage: int,
    owed: Decimal,
    cover: tuple[Decimal, Decimal],
    policy: CreditPolicy,
    obligor: object,
) -> tuple[Array, Array]:
    """Hazards (S, 1, T) and loss given default (S,) under each scenario; ``cover``: what may be set off, collateral."""
    hazards = scenario_hazards(curve, ends, scenarios, policy, obligor)
    if stage == 3:
        # Default has happened: certain, in the first period, on all that is owed.
        hazards = np.zeros_like(hazards)
        hazards[..., 0] = 1.0
    floor = policy.number("lgd_floor_fraction")
    lgd = [
        loss_given_default(
            policy.number("loss_given_default") if scenario.lgd is None else scenario.lgd,
            owed,
            *cover,
            floor,
            obligor=obligor,
        )
        for scenario in scenarios
    ]
    return hazards, np.array(lgd)


RECEIVABLE_CLASSES = ("asc606_receivable", "financing_receivable", "operating_lease", "derivative")


def default_class(policy: CreditPolicy) -> str:
    """What a share's receivable is in the books where its contract does not say."""
    return policy.choice("receivable_accounting_class", *RECEIVABLE_CLASSES)


def receivable_class(share_terms: RowsBy, close: Close, policy: CreditPolicy) -> str:
    """What a share's receivable is in the books at a close: ``receivable_accounting_class`` of the share terms in force
    and known then, else the policy's. Raises :class:`CreditInputError` for a class that there is not.
    """
    known = terms_known(share_terms, close)
    agreed = known[-1].get("receivable_accounting_class") if known else None
    if agreed is None:
        return default_class(policy)
    if agreed not in RECEIVABLE_CLASSES:
        rule = f"must be one of {', '.join(RECEIVABLE_CLASSES)}"
        raise wrong("receivable_accounting_class", agreed, rule, close.contract_id)
    return str(agreed)


def receivable_classes(frames: Frames, policy: CreditPolicy) -> dict[tuple[str, date], str]:
    """:func:`receivable_class` of every contract and posting month. Reads ``intermediate.int_closes`` and, where given,
    ``raw.share_terms``.
    """
    terms = RowsBy(optional(frames, "raw.share_terms"))
    closes = read_closes(need(frames, "intermediate.int_closes", "contract_id", "posting_month"))
    return {(close.contract_id, close.posting_month): receivable_class(terms, close, policy) for close in closes}


def uses_expedient(policy: CreditPolicy, accounting_class: str) -> bool:
    """Whether CECL takes conditions as they are at the reporting date: ASU 2025-05, for current items of ASC 606."""
    return policy.flag("cecl_expedient_2025_05") and accounting_class == "asc606_receivable"


def covered_standards(accounting_class: str) -> tuple[str, ...]:
    """The standards whose loss model covers a receivable of the class: CECL leaves out operating leases and derivatives,
    IFRS 9 only derivatives (CREDIT.md, findings 2 and 4).
    """
    match accounting_class:
        case "derivative":
            return ()
        case "operating_lease":
            return ("ifrs9",)
        case _:
            return ("cecl", "ifrs9")


def reserve(terms: RowsBy, close: Close) -> tuple[float, int]:
    """Part of each invoice that is withheld under the share terms in force at the close, and for how many months; of
    several blocks the longest reserve.
    """
    held = [
        (int(row["reserve_release_months"] or 0), float(row["reserve_fraction"] or 0))
        for row in blocks_in_force(terms, close)
        if row.get("reserve_fraction")
    ]
    months, fraction = max(held, default=(0, 0.0))
    return fraction, months


def share_days(terms: RowsBy, close: Close) -> int:
    """Mean days from a month's end to the payment of its share: collection days, and the reserve's part its months longer."""
    fraction, months = reserve(terms, close)
    return collection_days(terms, close) + round(fraction * months * DAYS_PER_YEAR / MONTHS_PER_YEAR)


def unbilled_days(terms: RowsBy, close: Close) -> int:
    """Mean days to the payment of what is accrued and not billed: the month's share, and the reserves that earlier months
    have left, the oldest of which is released next.
    """
    fraction, months = reserve(terms, close)
    reserves = sum(fraction * left * DAYS_PER_YEAR / MONTHS_PER_YEAR for left in range(1, months + 1))
    return collection_days(terms, close) + round(reserves / (1.0 + fraction * months))


def set_off_allowed(terms: RowsBy, close: Close) -> bool:
    """Whether claims may be set off against the share at the close: a scope other than none, and enforceable
    (CREDIT.md, 3.7).
    """
    known = terms_known(terms, close)
    return bool(known) and (known[-1]["set_off_scope"] or "none") != "none" and bool(known[-1]["set_off_enforceable"])


class Pledges(NamedTuple):
    """What is pledged under each contract (``raw.collateral``), with what its amounts are translated by."""

    rows: RowsBy
    currency_of: Mapping[str, str]
    rates: pl.DataFrame | None


def read_pledges(frames: Frames) -> Pledges:
    """From ``raw.collateral``, ``core.dim_contract`` and ``raw.fx_rate``; nothing is pledged where the first was not given."""
    currencies = need(frames, "core.dim_contract", "contract_id", "currency_code")
    return Pledges(
        RowsBy(optional(frames, "raw.collateral")),
        dict(currencies.select("contract_id", "currency_code").iter_rows()),
        optional(frames, "raw.fx_rate"),
    )


def pledged(pledges: Pledges, close: Close) -> Decimal:
    """Collateral after haircut of a contract at the close, in its currency at the last rate by then: Σ pledged × (1 −
    haircut), unrounded. Raises :class:`CreditInputError`, naming the contract, for a currency without a rate.
    """
    rows, own = pledges.rows, pledges.currency_of.get(close.contract_id)
    dated = {"valid_from", "recorded_at"} <= set(rows.columns)
    total = ZERO
    for row in blocks_in_force(rows, close) if dated else rows.of(close.contract_id):
        if row["pledged_amount"] is None:
            continue
        amount = Decimal(row["pledged_amount"]) * (1 - Decimal(row["haircut"] or 0))
        foreign = row.get("currency_code")
        if foreign is not None and own is not None and foreign != own:
            rate = last_rate(pledges.rates, foreign, own, close.month_end_date)
            if rate is None:
                rule = no_rate(foreign, own, close.month_end_date)
                raise wrong("currency of collateral", foreign, rule, close.contract_id)
            amount = amount * rate.numerator / rate.denominator
        total += amount
    return total


def credit_loss(frames: Frames, items: pl.DataFrame, balance: pl.DataFrame, policy: CreditPolicy) -> pl.DataFrame:
    """``credit.fct_credit_loss_month`` over all contracts and closes.

    ``items``: ``credit.fct_receivable_item``; ``balance``: a trial balance that holds unbilled_share_receivable and
    backstop_payable. Also reads ``intermediate.int_closes``, ``core.dim_contract``, ``core.dim_operator``,
    ``raw.default_rate`` and, where given, ``staging.stg_credit_events``, ``raw.share_terms``, ``raw.backstop_terms``,
    ``raw.collateral``, ``raw.fx_rate``, ``raw.scenario``, ``raw.credit_curve`` and ``raw.yield_curve``.
    """
    table = need(
        frames, "raw.default_rate", "agency", "rating", "horizon_years", "cumulative_default_rate", "withdrawn_rate"
    )
    operators = {
        row["operator_id"]: row
        for row in need(frames, "core.dim_operator", "operator_id", "rating").iter_rows(named=True)
    }
    contracts = {
        row["contract_id"]: row
        for row in need(frames, "core.dim_contract", "contract_id", "operator_id").iter_rows(named=True)
    }
    events = standing_events(frames)
    no_events = RowsBy(None)
    share_terms, backstop_terms = (RowsBy(optional(frames, f"raw.{name}_terms")) for name in ("share", "backstop"))
    collateral = read_pledges(frames)
    scenarios = macro_scenarios(optional(frames, "raw.scenario"))
    by_contract = RowsBy(items.select("contract_id", "as_of_month", "kind", "open_amount", "due_date", "days_past_due"))
    by_key: dict[tuple[str, date], list[dict[str, Any]]] = {}
    for contract_id in contracts:
        for row in by_contract.of(contract_id):
            by_key.setdefault((contract_id, row["as_of_month"]), []).append(row)
    yields = YieldCurves(optional(frames, "raw.yield_curve"))
    curves = ObligorCurves(table, optional(frames, "raw.credit_curve"), yields)
    standing = {
        (contract_id, account, month): amount
        for contract_id, account, month, amount in balance.select(
            "contract_id", "account", "posting_month", "closing_amount"
        ).iter_rows()
    }
    rows: list[dict[str, Any]] = []
    for close in read_closes(need(frames, "intermediate.int_closes", "contract_id", "posting_month")):
        contract = contracts[close.contract_id]
        operator = operators.get(contract["operator_id"], {})
        credit = credit_at(close, operator, events, policy)
        first = credit_at(close, operator, no_events, policy)
        own = by_key.get((close.contract_id, close.posting_month), [])
        unbilled = standing.get((close.contract_id, "unbilled_share_receivable", close.posting_month), ZERO)
        payable = -standing.get((close.contract_id, "backstop_payable", close.posting_month), ZERO)
        exposures = exposures_at(
            close, own, unbilled, unbilled_days(share_terms, close), policy.integer("past_due_resolution_days")
        )
        rows.extend(
            contract_loss(
                close,
                exposures,
                credit=credit,
                curve=curves.known(contract["operator_id"], close.month_end_date, credit.agency, credit.rating),
                origination=curves.first(
                    contract["operator_id"], close.month_end_date, first.agency, first.rating
                ).curve,
                worst_days_past_due=worst_days_past_due(own),
                set_off=max(payable, ZERO) if set_off_allowed(backstop_terms, close) else ZERO,
                collateral=pledged(collateral, close),
                scenarios=scenarios,
                policy=policy,
                currency_code=contract["currency_code"],
                accounting_class=receivable_class(share_terms, close, policy),
            )
        )
    return make_frame(rows, LOSS_SCHEMA, ["contract_id", "month", "standard", "scenario"])


DIFFERENCE_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "cause": pl.String,
    "cause_no": pl.Int32,
    "cecl_amount": MONEY,
    "ifrs9_amount": MONEY,
    "difference_amount": MONEY,
    "currency_code": pl.String,
}
CAUSES = ("scope", "conditions_to_come", "horizon")


def standard_differences(
    losses: pl.DataFrame, expected: pl.DataFrame, by_matrix: Collection[tuple[str, date]] = ()
) -> pl.DataFrame:
    """``credit.fct_standard_difference_month``: why IFRS 9's loss is another than CECL's, one row per contract, month and
    cause; over the causes difference_amount sums to ifrs9_amount − cecl_amount.

    scope: the receivable is outside CECL; conditions_to_come: scenarios that CECL leaves out under the expedient of ASU
    2025-05; horizon: IFRS 9 counts twelve months only. ``losses``: ``credit.fct_credit_loss_month``; ``expected``: contract_id,
    month, standard, expected_credit_loss_amount, by the method that is posted; ``by_matrix``: the contracts and months measured by
    the provision matrix, which knows no horizon but the whole life.
    """
    closing = {
        (contract_id, month, standard): amount
        for contract_id, month, standard, amount in expected.select(
            "contract_id", "month", "standard", "expected_credit_loss_amount"
        ).iter_rows()
    }
    rows: list[dict[str, Any]] = []
    sums = losses.group_by("contract_id", "month", "currency_code").agg(
        lifetime=pl.col("lifetime_weighted_amount").filter(pl.col("standard") == "ifrs9").sum().cast(MONEY),
        covered=(pl.col("standard") == "cecl").any(),
    )
    for row in sums.iter_rows(named=True):
        own = row["contract_id"], row["month"]
        cecl, ifrs = (closing.get((*own, standard), ZERO) for standard in ("cecl", "ifrs9"))
        lifetime = ifrs if own in by_matrix else row["lifetime"]
        amounts = (ZERO, lifetime - cecl) if row["covered"] else (lifetime, ZERO)
        for number, (cause, amount) in enumerate(zip(CAUSES, (*amounts, ifrs - lifetime), strict=True), start=1):
            rows.append(
                {
                    "contract_id": row["contract_id"],
                    "month": row["month"],
                    "cause": cause,
                    "cause_no": number,
                    "cecl_amount": cecl,
                    "ifrs9_amount": ifrs,
                    "difference_amount": amount,
                    "currency_code": row["currency_code"],
                }
            )
    return make_frame(rows, DIFFERENCE_SCHEMA, ["contract_id", "month", "cause_no"])


def closing_losses(losses: pl.DataFrame) -> pl.DataFrame:
    """Σ weighted_amount by contract, month and standard: the closing allowance by the probability-of-default method."""
    return (
        losses.group_by("contract_id", "month", "standard")
        .agg(expected_credit_loss_amount=pl.col("weighted_amount").sum().cast(MONEY))
        .sort("contract_id", "month", "standard")
    )
