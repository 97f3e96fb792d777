"""What the backstop would stand at under each measurement basis, side by side; the contract's accounting class says
which one is posted.

A capacity backstop is not a financial guarantee of IFRS 9 (nobody's failure to pay a debt triggers it), nor in the
scope of CECL's off-balance-sheet losses: those rows exist, are null and say why (CREDIT.md, findings 1 to 3).
Facility-lease guarantees and residual-value support are other instruments and get rows of their own where a contract
has them. Expectations come from backstop_paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.polars_jobs.backstop_paths import Array
from orchestration.polars_jobs.backstop_worth import Valuation
from orchestration.polars_jobs.errors import (
    LARGEST,
    NOT_NEGATIVE,
    CreditInputError,
    check_between,
    check_count,
    check_number,
    wrong,
)
from orchestration.polars_jobs.frames import make_frame, months_between
from orchestration.polars_jobs.lifetime_ecl import check_probability
from orchestration.polars_jobs.money import MONEY, ZERO, money_from_estimate
from orchestration.polars_jobs.policies import CreditPolicy

LIABILITY_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "month": pl.Date,
    "measurement_basis": pl.String,
    "carrying_amount": MONEY,
    "carrying_amount_null_reason": pl.String,
    "posted": pl.Boolean,
    "posted_amount": MONEY,
    "accounting_class": pl.String,
    "correlation_case": pl.String,
    "currency_code": pl.String,
}

BASES = (
    "disclosure_only",
    "asc460_straight_line",
    "asc460_risk_release",
    "asc450",
    "cecl_off_balance",
    "ifrs9_financial_guarantee",
    "ias37",
    "asc606_consideration_payable",
    "asc815_fair_value",
)

CLASSES = (
    "revenue_variable_consideration",
    "purchase_commitment_disclosure",
    "guarantee_ASC460",
    "credit_derivative_ASC815",
    "CECL_offbalance_ASC326",
    "repurchase_ASC606_842",
    "none",
)


def posted_basis(accounting_class: str | None, asc460_release: str = "straight_line") -> str:
    """The basis that an accounting class posts. A disclosed purchase commitment, and no class at all, post nothing.
    Raises :class:`CreditInputError` for an unknown class.
    """
    match accounting_class or "none":
        case "purchase_commitment_disclosure" | "none":
            return "disclosure_only"
        case "guarantee_ASC460":
            return f"asc460_{asc460_release}"
        case "credit_derivative_ASC815":
            return "asc815_fair_value"
        case "CECL_offbalance_ASC326":
            return "cecl_off_balance"
        case "revenue_variable_consideration" | "repurchase_ASC606_842":
            return "asc606_consideration_payable"
        case other:
            raise CreditInputError(f"unknown accounting class {other}")


def stand_ready_straight_line(initial: float, months_elapsed: int, months_total: int) -> float:
    """ASC 460: the fair value at inception released evenly over the months (ORACLES.md: 1.2m over 12 months is 1.1m,
    0.6m, 0 after 1, 6, 12).
    """
    check_number(initial, "fair value at inception", low=0.0, rule=NOT_NEGATIVE)
    check_count(months_total, "months of the term", low=1)
    check_count(months_elapsed, "elapsed months")
    if months_elapsed > months_total:
        raise wrong("elapsed months", months_elapsed, f"must lie between 0 and the term of {months_total}")
    return initial * (1.0 - months_elapsed / months_total)


def stand_ready_risk_release(initial: float, expected_by_month: Array, months_elapsed: int) -> float:
    """ASC 460: released with the risk, initial × (1 − expected claims so far ÷ all expected claims), both as seen at
    inception.
    """
    check_number(initial, "fair value at inception", low=0.0, rule=NOT_NEGATIVE)
    expected = check_between(expected_by_month, "expected claim", low=0.0, high=LARGEST, rule=NOT_NEGATIVE)
    if check_count(months_elapsed, "elapsed months") > len(expected):
        raise wrong("elapsed months", months_elapsed, f"must lie between 0 and the term of {len(expected)}")
    total = float(expected.sum())
    if total <= 0:
        return 0.0
    return initial * (1.0 - float(expected[:months_elapsed].sum()) / total)


def asc450_accrual(probability: float, threshold: float, low: float, best_estimate: float | None) -> float:
    """ASC 450-20-30-1: where a loss is probable, the best estimate in the range, else its low end; nothing otherwise
    — it is disclosed. No expected value (ORACLES.md, O18: range 15–20, best 17 → 17, without → 15).
    """
    check_probability([probability, threshold], "probability of loss")
    check_number(low, "low end of the range", low=0.0, rule=NOT_NEGATIVE)
    if best_estimate is not None:
        check_number(best_estimate, "best estimate")
    if best_estimate is not None and best_estimate < low:
        raise wrong("best estimate", best_estimate, f"lies below the low end of the range, {low:g}")
    if probability < threshold:
        return 0.0
    return low if best_estimate is None else best_estimate


def ias37_onerous(expected_cost: float, exit_penalty: float | None, expected_benefit: float) -> float:
    """IAS 37.66-68: max(0, min(cost to fulfil, exit penalty) − expected benefits)."""
    check_number(expected_cost, "cost to fulfil")
    check_number(expected_benefit, "expected benefit")
    if exit_penalty is not None:
        check_number(exit_penalty, "exit penalty")
    cost = expected_cost if exit_penalty is None else min(expected_cost, exit_penalty)
    return max(0.0, cost - expected_benefit)


def financial_guarantee(expected_loss: float, initial: float, income_recognised: float) -> float:
    """IFRS 9 4.2.1(c): the higher of the loss allowance and the initial amount less income recognised (ORACLES.md,
    O22: 700 against 500 → 700).
    """
    given = (("expected loss", expected_loss), ("initial amount", initial), ("income recognised", income_recognised))
    for name, value in given:
        check_number(value, name)
    return max(expected_loss, initial - income_recognised)


def fair_value(mean: float, expected_shortfall: float, cost_of_capital: float) -> float:
    """Mean present value plus a risk margin: cost of capital × (expected shortfall at 99 % − mean)."""
    for name, value in (("mean present value", mean), ("expected shortfall", expected_shortfall)):
        check_number(value, name)
    check_number(cost_of_capital, "cost of capital", low=0.0, rule=NOT_NEGATIVE)
    return mean + cost_of_capital * max(expected_shortfall - mean, 0.0)


def liabilities(made: Sequence[Valuation], policy: CreditPolicy) -> pl.DataFrame:
    """``credit.fct_backstop_liability_month``: one row per contract, month and measurement basis, in the base
    correlation case.

    The stand-ready amount is the fair value at the first valued close at which the contract is a guarantee of ASC 460
    (the first of all, where it is none), released over the months from then to expiry. ``posted_amount`` is what
    :func:`posted_amounts` says.
    """
    first: dict[str, tuple[str, Valuation]] = {}
    rows: list[dict[str, Any]] = []
    release = policy.choice("asc460_release", "straight_line", "risk_release")
    for valuation in sorted(made, key=lambda valuation: (valuation.close.contract_id, valuation.close.posting_month)):
        contract_id, kind = valuation.close.contract_id, valuation.accounting_class
        before = first.get(contract_id)
        if before is None or (before[0] != kind and kind == "guarantee_ASC460"):
            before = (kind, valuation)
        first[contract_id] = (kind, before[1])
        chosen = posted_basis(kind, release)
        measured = measure(valuation, before[1], policy)
        posted = posted_amounts(chosen, {basis: amount for basis, (amount, _) in measured.items()})
        for basis in BASES:
            amount, reason = measured[basis]
            rows.append(
                {
                    "contract_id": contract_id,
                    "month": valuation.close.posting_month,
                    "measurement_basis": basis,
                    "carrying_amount": None if amount is None else money_from_estimate(amount),
                    "carrying_amount_null_reason": reason,
                    "posted": basis == chosen,
                    "posted_amount": posted.get(basis),
                    "accounting_class": kind,
                    "correlation_case": "base",
                    "currency_code": valuation.currency_code,
                }
            )
    return make_frame(rows, LIABILITY_SCHEMA, ["contract_id", "month", "measurement_basis"])


def posted_amounts(chosen: str, measured: Mapping[str, float | None]) -> dict[str, Decimal]:
    """What stands in the journal by basis, rounded: the chosen basis' amount where it applies; and, of a guarantee of
    ASC 460, what ASC 450 accrues beyond the stand-ready obligation, so that nothing is counted twice (CREDIT.md,
    finding 2, and 4.29). A disclosed commitment stands nowhere.
    """
    amount = measured.get(chosen)
    if chosen == "disclosure_only" or amount is None:
        return {}
    standing = {chosen: money_from_estimate(amount)}
    if chosen.startswith("asc460"):
        accrued = measured.get("asc450")
        standing["asc450"] = max(money_from_estimate(accrued or 0.0) - standing[chosen], ZERO)
    return standing


def measure(
    valuation: Valuation, inception: Valuation, policy: CreditPolicy
) -> Mapping[str, tuple[float | None, str | None]]:
    """Carrying amount of every basis at one close, unrounded, or None with the reason why the basis does not apply."""
    now, then = valuation.figures["base"], inception.figures["base"]
    margin = policy.number("risk_margin_cost_of_capital")
    total = len(inception.book.discount)
    elapsed = min(_elapsed(inception.close.posting_month, valuation.close.posting_month), total)
    initial = fair_value(then.present_value, then.tails["99"].expected_shortfall, margin)
    if valuation.book.operator_in_default and not valuation.book.survives_insolvency:
        # Nobody stands ready for what is void: the rest is released (CREDIT.md, 4.32).
        initial = 0.0
    expected, likely = now.present_value, now.likely
    population = policy.choice("ias37_population", "large", "single")
    benefit = now.resale + now.claw_back
    return {
        "disclosure_only": (float(ZERO), None),
        "asc460_straight_line": (stand_ready_straight_line(initial, elapsed, total), None),
        "asc460_risk_release": (stand_ready_risk_release(initial, then.claims_by_month, elapsed), None),
        "asc450": (
            asc450_accrual(now.any_claim_probability, policy.number("probable_threshold"), now.least, likely),
            None,
        ),
        "cecl_off_balance": (None, "a claim for unsold hours carries no third party's credit loss (ASC 326-20-15-2)"),
        "ifrs9_financial_guarantee": (
            None,
            "no debtor's failure to pay triggers a claim for unsold hours (IFRS 9, appendix A)",
        ),
        "ias37": (ias37_onerous(expected if population == "large" else likely, None, benefit), None),
        "asc606_consideration_payable": (expected, None),
        "asc815_fair_value": (fair_value(now.present_value, now.tails["99"].expected_shortfall, margin), None),
    }


def _elapsed(start: date, month: date) -> int:
    return max(months_between(start, month), 0)
