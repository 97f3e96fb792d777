"""The credit jobs in table groups: named input frames in, named output frames out, so that whoever calls them only
reads and writes.

Order: issuer → receivables → collections → backstop_worth → credit_loss → exposure → operator → stress → deals →
metrics. Each group takes all
frames made so far; frames are named as the tables that they come from. Input columns beyond those of the documented
tables are ignored. All instants are UTC, money is Decimal(18, 2).

Inputs by group (name: columns read):

- receivables: ``ledger.fct_receivable_document`` (item_id, contract_id, kind, service_month, posting_month,
  invoice_date, due_date, original_amount, currency_code, is_provisional); ``intermediate.int_closes`` (contract_id,
  time_zone, posting_month, month_end_date, known_at, is_provisional); ``staging.stg_payments`` (park_id, payment_id,
  contract_id, direction, received_at, amount, currency_code, remittance_reference, funded_by_claim, recorded_at,
  content_hash — every known version); ``staging.stg_credit_events`` (park_id, event_id, contract_id, kind,
  effective_at, ends_at, amount, currency_code, payload, recorded_at, content_hash — every known version);
  ``core.dim_contract`` (contract_id, currency_code, operator_id, park_id); ``ledger.fct_journal_lines`` (all columns
  of the journal); optional ``raw.sealed_line``.
- collections: what receivables gave, and ``raw.policy`` (policy, value_text).
- credit_loss: what receivables and backstop_worth gave; ``core.dim_operator`` (operator_id, rating, rating_agency,
  parent_id, country_code); ``raw.default_rate``; optional ``raw.scenario``, ``raw.share_terms``, ``raw.backstop_terms``,
  ``raw.collateral``, ``raw.fx_rate``, ``raw.credit_curve``, ``raw.instrument_flow``, ``raw.yield_curve``, ``raw.policy``.
- backstop_worth: what receivables gave; ``intermediate.int_closes``, ``core.dim_contract`` (expiry_date, accounting_class),
  ``core.dim_operator``, ``core.dim_tranche`` (tranche_id, contract_id, gpu_model, gpu_count, energised_date),
  ``raw.backstop_terms``, ``raw.backstop_price``, ``raw.backstop_ramp``, ``raw.default_rate``; optional
  ``staging.stg_leases`` (every known version; else ``core.dim_lease``), ``staging.stg_credit_events``,
  ``raw.contract`` (service_commencement_date), ``raw.tranche`` (planned_date), ``metering.fct_capacity_day``
  (tranche_id, service_date, available_gpu_hours, leased_gpu_hours), ``backstop.fct_backstop_month``,
  ``backstop.fct_backstop_cap_month``, ``revenue_share.fct_share_month`` (effective_rate), ``raw.share_terms``,
  ``raw.share_tier``, ``raw.share_activation``, ``raw.yield_curve``, ``raw.gpu_price_index``, ``raw.collateral``, ``raw.credit_curve``,
  ``raw.fx_rate``, ``intermediate.int_backstop_months``, ``intermediate.int_supply_months``, ``raw.policy``.
- exposure: what credit_loss gave; ``issuer.fct_issuer_quarter``; optional ``backstop.fct_backstop_cap_month``,
  ``core.dim_tranche``, ``raw.backstop_terms``.
- operator: ``core.dim_park``, ``core.dim_tranche``, ``core.dim_contract``, ``raw.park_economics``; optional
  ``raw.park_debt``, ``raw.covenant``, ``raw.collateral``, ``raw.token_advance``, ``raw.contract_term``,
  ``core.dim_lease``, ``metering.fct_lease_revenue_day``, ``metering.fct_power_day``, ``metering.fct_capacity_day``,
  ``revenue_share.fct_share_month``, ``backstop.fct_backstop_month``, ``backstop.fct_backstop_cap_month``.
- stress: what backstop_worth, credit_loss and operator read and gave, and ``raw.scenario`` (its rows without a weight).
- deals: what backstop_worth and operator read; ``raw.contract`` names the deals that are not booked.
- metrics: what all groups gave, and ``revenue_share.fct_share_base_month``, ``revenue_share.fct_share_tier_month``; optional
  ``raw.alert_rule``.
- issuer: ``raw.issuer_fact``; optional ``raw.vendor``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from multiprocessing import get_context
from typing import Any

import polars as pl

from orchestration.polars_jobs.ageing import AGEING_SCHEMA, ROLL_SCHEMA, ageing, roll_rates
from orchestration.polars_jobs.alerts import ALERT_SCHEMA, alerts, rules_from_frame
from orchestration.polars_jobs.allowance import (
    ALLOWANCE_SCHEMA,
    allowance_rollforward,
    as_sealed,
    tie_out_allowance,
)
from orchestration.polars_jobs.backstop_liability import LIABILITY_SCHEMA, liabilities
from orchestration.polars_jobs.backstop_worth import DISTRIBUTION_SCHEMA, VALUED_TABLES, distribution, valuations
from orchestration.polars_jobs.class_postings import backstop_standing, lease_standing
from orchestration.polars_jobs.collections import METRICS_SCHEMA, collection_metrics
from orchestration.polars_jobs.covenants import COVENANT_SCHEMA, covenant_tests
from orchestration.polars_jobs.deals import COMPARISON_SCHEMA, deal_comparison
from orchestration.polars_jobs.expected_loss import (
    DIFFERENCE_SCHEMA,
    LOSS_SCHEMA,
    closing_losses,
    covered_standards,
    credit_loss,
    receivable_classes,
    standard_differences,
    uses_expedient,
)
from orchestration.polars_jobs.exposure import (
    CONCENTRATION_SCHEMA,
    EXPOSURE_SCHEMA,
    concentrations,
    equity_by_month,
    exposures,
    members,
)
from orchestration.polars_jobs.frames import Frames, need, optional
from orchestration.polars_jobs.functional_currency import FUNCTIONAL_SCHEMA, functional_rollforward
from orchestration.polars_jobs.instruments import INSTRUMENT_SCHEMA, instrument_losses
from orchestration.polars_jobs.issuer import FACT_SCHEMA, QUARTER_SCHEMA, issuer_facts, issuer_quarters
from orchestration.polars_jobs.journal import (
    CASH_EVENTS,
    JOURNAL_SCHEMA,
    PERIOD_CLOSE_SCHEMA,
    TRIAL_BALANCE_SCHEMA,
    Books,
    period_closes,
    post_amounts,
    post_differences,
    post_standing,
    sealed_lines,
    terms_in_force,
    trial_balance,
    union_lines,
)
from orchestration.polars_jobs.late_interest import SPAN_SCHEMA, late_interest
from orchestration.polars_jobs.lease_book import in_contract_currency
from orchestration.polars_jobs.lock_in import LOCK_IN_SCHEMA, lock_in_watch
from orchestration.polars_jobs.loss_pools import POOL_SCHEMA, Members, companions, pool_losses, pool_members
from orchestration.polars_jobs.metrics import (
    DIM_SCHEMA,
    METRIC_SCHEMA,
    metric_catalogue,
    metric_months,
)
from orchestration.polars_jobs.money import MONEY
from orchestration.polars_jobs.operator_economics import ECONOMICS_SCHEMA, operator_economics, park_months
from orchestration.polars_jobs.operator_stress import REVERSE_SCHEMA, operator_books, reverse_stress
from orchestration.polars_jobs.policies import CreditPolicy, policy_from_frame
from orchestration.polars_jobs.provision_matrix import (
    MATRIX_SCHEMA,
    forward_scalars,
    historical_rates,
    provision_matrix,
)
from orchestration.polars_jobs.rate_sensitivity import SENSITIVITY_SCHEMA, rate_sensitivity
from orchestration.polars_jobs.receivables import (
    APPLICATION_SCHEMA,
    ITEM_SCHEMA,
    ROLLFORWARD_SCHEMA,
    sub_ledger,
    tie_out,
)
from orchestration.polars_jobs.stress import STRESS_SCHEMA, stress_results

Outputs = dict[str, pl.DataFrame]

# Fewer are valued sooner than another process has begun.
CLOSES_A_PROCESS = 400


def issuer_group(frames: Frames) -> Outputs:
    """``issuer.fct_issuer_fact`` and ``issuer.fct_issuer_quarter``."""
    return {
        "issuer.fct_issuer_fact": issuer_facts(need(frames, "raw.issuer_fact")),
        "issuer.fct_issuer_quarter": issuer_quarters(frames),
    }


def receivables_group(frames: Frames) -> Outputs:
    """Items, cash applications, roll-forward, ageing, roll rates, and the cash, set-off and interest parts of
    ``credit.fct_credit_journal_lines``.

    The roll-forward's control accounts come from the warehouse's lines and these lines together: closing_amount equals
    control_account_amount, unapplied_closing_amount its own.
    """
    lines = need(frames, "ledger.fct_journal_lines", *JOURNAL_SCHEMA)
    closes = need(frames, "intermediate.int_closes")
    books = _books(frames, lines, closes)
    charged = late_interest(frames, books.sealed)
    tables = sub_ledger(frames, charged.notes)
    posted = [post_differences(found, event, books) for event, found in {**tables.targets, **charged.targets}.items()]
    credit_lines = union_lines(*posted, books.sealed_of(CASH_EVENTS))
    balance = trial_balance(union_lines(lines, credit_lines), closes)
    rollforward = tie_out(tables.rollforward, balance)
    return {
        "credit.fct_receivable_item": tables.items,
        "credit.fct_cash_application": tables.applications,
        "credit.fct_receivable_rollforward_month": rollforward,
        "credit.fct_ageing_month": ageing(tables.items, rollforward),
        "credit.fct_roll_rate_month": roll_rates(tables.items),
        "credit.fct_interest_span": charged.spans,
        "credit.fct_credit_journal_lines": credit_lines,
    }


def collections_group(frames: Frames) -> Outputs:
    """``credit.fct_collection_metrics_month``."""
    return {
        "credit.fct_collection_metrics_month": collection_metrics(
            need(frames, "credit.fct_receivable_item"),
            need(frames, "credit.fct_receivable_rollforward_month"),
            _policy(frames),
        )
    }


def backstop_worth_group(frames: Frames) -> Outputs:
    """Distribution, liability by measurement basis and rate sensitivity; empty where no contract has backstop terms.

    What is owed at a close is taken from the trial balance over the warehouse's lines and those that apply cash. The contracts
    of a large home are dealt out to processes: numpy lets go of the interpreter for so short a time in each step of a
    thousand paths that threads only wait for each other. No contract's figures hang on another's.
    """
    lines = need(frames, "ledger.fct_journal_lines", *JOURNAL_SCHEMA)
    applied = need(frames, "credit.fct_credit_journal_lines").filter(pl.col("event").is_in(CASH_EVENTS))
    closes = need(frames, "intermediate.int_closes")
    given = {name: frames[name] for name in VALUED_TABLES if name in frames}
    given["ledger.fct_trial_balance_month"] = trial_balance(union_lines(lines, applied), closes)
    worth = partial(_worth, _policy(frames))
    processes = min(os.cpu_count() or 1, closes.height // CLOSES_A_PROCESS)
    if processes < 2:
        return worth(given)
    contracts = closes["contract_id"].unique().sort()
    dealt = [
        given
        | {"intermediate.int_closes": closes.filter(pl.col("contract_id").is_in(contracts[first::processes].implode()))}
        for first in range(processes)
    ]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(worth, dealt))
    return {name: pl.concat(part[name] for part in parts).sort("contract_id", maintain_order=True) for name in parts[0]}


def _worth(policy: CreditPolicy, frames: Frames) -> Outputs:
    made = valuations(frames, policy)
    return {
        "credit.fct_backstop_distribution_month": distribution(made),
        "credit.fct_backstop_liability_month": liabilities(made, policy),
        "credit.fct_rate_sensitivity_month": rate_sensitivity(frames, made, policy),
    }


def credit_loss_group(frames: Frames) -> Outputs:
    """Provision matrix, expected loss by scenario and standard, why the standards differ, allowance roll-forward, all
    credit journal lines (cash, late interest, provision and what the accounting classes post) and the trial balance over
    everything.
    """
    policy = _policy(frames)
    lines = need(frames, "ledger.fct_journal_lines", *JOURNAL_SCHEMA)
    closes = need(frames, "intermediate.int_closes")
    applied = need(frames, "credit.fct_credit_journal_lines").filter(pl.col("event").is_in(CASH_EVENTS))
    before = trial_balance(union_lines(lines, applied), closes)
    classes = receivable_classes(frames, policy)
    losses = credit_loss(frames, need(frames, "credit.fct_receivable_item"), before, policy)
    members = pool_members(frames, losses, policy)
    matrices = _matrices(frames, policy, classes, members)
    expected = closing_losses(losses)
    by_matrix: set[tuple[str, date]] = set()
    if policy.choice("allowance_method", "pd_lgd", "provision_matrix") == "provision_matrix":
        expected = _matrix_losses(matrices, classes, members, expected)
        by_matrix = {own for own, member in members.items() if not member.individual}
    differences = standard_differences(losses, expected, by_matrix)
    pools = pool_losses(frames, members, losses, expected)
    standard = policy.choice("allowance_standard", "cecl", "ifrs9")
    dated = closes.join(need(frames, "core.dim_contract").select("contract_id", "currency_code"), on="contract_id")
    books = _books(frames, lines, closes)
    provided = books.sealed_of(("provision",))
    expected = as_sealed(expected, trial_balance(union_lines(lines, provided), closes), dated, standard)
    rollforward = allowance_rollforward(dated, expected, lines, standard)
    amounts = rollforward.filter(pl.col("posted")).select(
        "contract_id",
        pl.col("month").alias("posting_month"),
        "currency_code",
        pl.col("provision_amount").alias("amount"),
    )
    provision = post_amounts(amounts, "provision", books)
    standing = backstop_standing(frames, lines) | lease_standing(frames, losses, lines, classes, policy)
    by_class = [post_standing(amounts, event, books) for event, amounts in standing.items()]
    credit_lines = union_lines(applied, provision, provided, *by_class, books.sealed_of(standing))
    balance = trial_balance(union_lines(lines, credit_lines), closes)
    functional = functional_rollforward(
        need(frames, "credit.fct_receivable_rollforward_month"),
        rollforward,
        optional(frames, "raw.fx_rate"),
        policy.text("functional_currency"),
    )
    return {
        "credit.fct_functional_rollforward_month": functional,
        "credit.fct_provision_matrix_month": matrices["cecl"],
        "credit.fct_credit_loss_month": losses,
        "credit.fct_instrument_loss_month": instrument_losses(frames, policy),
        "credit.fct_loss_pool_month": pools,
        "credit.fct_standard_difference_month": differences,
        "credit.fct_allowance_rollforward_month": tie_out_allowance(rollforward, balance),
        "credit.fct_credit_journal_lines": credit_lines,
        "ledger.fct_trial_balance_month": balance,
        "ledger.fct_period_close": period_closes(union_lines(lines, credit_lines), closes),
    }


def exposure_group(frames: Frames) -> Outputs:
    """``credit.fct_exposure_month`` and ``credit.fct_concentration_month``."""
    balance = need(frames, "ledger.fct_trial_balance_month")
    months = need(frames, "intermediate.int_closes")["posting_month"].unique().to_list()
    equity = equity_by_month(optional(frames, "issuer.fct_issuer_quarter"), months)
    by_contract = exposures(frames, balance, equity)
    return {
        "credit.fct_exposure_month": by_contract,
        "credit.fct_concentration_month": concentrations(by_contract, members(frames), equity),
    }


def operator_group(frames: Frames) -> Outputs:
    """The operator's economics, its covenants, and what ties it to the vendor."""
    frames = in_contract_currency(frames)
    policy = _policy(frames)
    parks = park_months(frames, policy)
    return {
        "credit.fct_operator_economics_month": operator_economics(frames, policy),
        "credit.fct_covenant_test_month": covenant_tests(frames, parks),
        "credit.fct_lock_in_month": lock_in_watch(frames, parks),
    }


def stress_group(frames: Frames) -> Outputs:
    """The stress set on each contract's latest month, and the levels at which covenants and caps break."""
    frames = in_contract_currency(frames)
    policy = _policy(frames)
    books = operator_books(frames, park_months(frames, policy))
    return {
        "credit.fct_stress_result": stress_results(frames, books, policy),
        "credit.fct_reverse_stress": reverse_stress(books),
    }


def deals_group(frames: Frames) -> Outputs:
    """``credit.fct_deal_comparison``: every contract and deal on every case."""
    frames = in_contract_currency(frames)
    policy = _policy(frames)
    return {"credit.fct_deal_comparison": deal_comparison(frames, park_months(frames, policy), policy)}


def metrics_group(frames: Frames) -> Outputs:
    """The forty-eight metrics, and the alerts that follow from them."""
    frames = in_contract_currency(frames)
    months = metric_months(frames)
    return {
        "monitor.dim_metric": metric_catalogue(),
        "monitor.fct_metric_month": months,
        "monitor.fct_alert": alerts(
            months, need(frames, "intermediate.int_closes"), rules_from_frame(optional(frames, "raw.alert_rule"))
        ),
    }


GROUPS = {
    "issuer": issuer_group,
    "receivables": receivables_group,
    "collections": collections_group,
    "backstop_worth": backstop_worth_group,
    "credit_loss": credit_loss_group,
    "exposure": exposure_group,
    "operator": operator_group,
    "stress": stress_group,
    "deals": deals_group,
    "metrics": metrics_group,
}
# What later groups read of earlier ones; the metrics read all.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "issuer": (),
    "receivables": (),
    "collections": ("receivables",),
    "backstop_worth": ("receivables",),
    "credit_loss": ("receivables", "backstop_worth"),
    "exposure": ("issuer", "credit_loss"),
    "operator": (),
    "stress": ("credit_loss",),
    "deals": ("credit_loss",),
    "metrics": tuple(name for name in GROUPS if name != "metrics"),
}


SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "issuer.fct_issuer_fact": FACT_SCHEMA,
    "issuer.fct_issuer_quarter": QUARTER_SCHEMA,
    "credit.fct_receivable_item": ITEM_SCHEMA,
    "credit.fct_cash_application": APPLICATION_SCHEMA,
    "credit.fct_receivable_rollforward_month": ROLLFORWARD_SCHEMA,
    "credit.fct_ageing_month": AGEING_SCHEMA,
    "credit.fct_roll_rate_month": ROLL_SCHEMA,
    "credit.fct_interest_span": SPAN_SCHEMA,
    "credit.fct_credit_journal_lines": JOURNAL_SCHEMA,
    "credit.fct_collection_metrics_month": METRICS_SCHEMA,
    "credit.fct_provision_matrix_month": MATRIX_SCHEMA,
    "credit.fct_credit_loss_month": LOSS_SCHEMA,
    "credit.fct_instrument_loss_month": INSTRUMENT_SCHEMA,
    "credit.fct_loss_pool_month": POOL_SCHEMA,
    "credit.fct_standard_difference_month": DIFFERENCE_SCHEMA,
    "credit.fct_allowance_rollforward_month": ALLOWANCE_SCHEMA,
    "credit.fct_functional_rollforward_month": FUNCTIONAL_SCHEMA,
    "ledger.fct_trial_balance_month": TRIAL_BALANCE_SCHEMA,
    "ledger.fct_period_close": PERIOD_CLOSE_SCHEMA,
    "credit.fct_backstop_distribution_month": DISTRIBUTION_SCHEMA,
    "credit.fct_backstop_liability_month": LIABILITY_SCHEMA,
    "credit.fct_rate_sensitivity_month": SENSITIVITY_SCHEMA,
    "credit.fct_exposure_month": EXPOSURE_SCHEMA,
    "credit.fct_concentration_month": CONCENTRATION_SCHEMA,
    "credit.fct_operator_economics_month": ECONOMICS_SCHEMA,
    "credit.fct_covenant_test_month": COVENANT_SCHEMA,
    "credit.fct_lock_in_month": LOCK_IN_SCHEMA,
    "credit.fct_stress_result": STRESS_SCHEMA,
    "credit.fct_reverse_stress": REVERSE_SCHEMA,
    "credit.fct_deal_comparison": COMPARISON_SCHEMA,
    "monitor.dim_metric": DIM_SCHEMA,
    "monitor.fct_metric_month": METRIC_SCHEMA,
    "monitor.fct_alert": ALERT_SCHEMA,
}

# The tables of each group; credit loss completes the journal lines that receivables begin.
TABLES_OF: Mapping[str, tuple[str, ...]] = {
    "issuer": ("issuer.fct_issuer_fact", "issuer.fct_issuer_quarter"),
    "receivables": (
        "credit.fct_receivable_item",
        "credit.fct_cash_application",
        "credit.fct_receivable_rollforward_month",
        "credit.fct_ageing_month",
        "credit.fct_roll_rate_month",
        "credit.fct_interest_span",
    ),
    "collections": ("credit.fct_collection_metrics_month",),
    "credit_loss": (
        "credit.fct_provision_matrix_month",
        "credit.fct_credit_loss_month",
        "credit.fct_instrument_loss_month",
        "credit.fct_loss_pool_month",
        "credit.fct_standard_difference_month",
        "credit.fct_allowance_rollforward_month",
        "credit.fct_functional_rollforward_month",
        "credit.fct_credit_journal_lines",
        "ledger.fct_trial_balance_month",
        "ledger.fct_period_close",
    ),
    "backstop_worth": (
        "credit.fct_backstop_distribution_month",
        "credit.fct_backstop_liability_month",
        "credit.fct_rate_sensitivity_month",
    ),
    "exposure": ("credit.fct_exposure_month", "credit.fct_concentration_month"),
    "operator": (
        "credit.fct_operator_economics_month",
        "credit.fct_covenant_test_month",
        "credit.fct_lock_in_month",
    ),
    "stress": ("credit.fct_stress_result", "credit.fct_reverse_stress"),
    "deals": ("credit.fct_deal_comparison",),
    "metrics": ("monitor.dim_metric", "monitor.fct_metric_month", "monitor.fct_alert"),
}


def lazily(frames: Mapping[str, pl.LazyFrame | pl.DataFrame]) -> dict[str, pl.LazyFrame]:
    """Every output of the jobs as a LazyFrame with its schema, from input LazyFrames: nothing is read or computed until
    one is collected, and then only the groups that it needs, each once.

    ``frames``: the tables of this module's list, by name. Errors are those of the jobs, raised when collecting. Pure:
    the same frames give the same rows.
    """
    known: Outputs = {}
    done: set[str] = set()

    def ensure(group: str) -> None:
        if group not in done:
            for other in NEEDED[group]:
                ensure(other)
            known.update(GROUPS[group](known))
            done.add(group)

    def table(name: str) -> pl.DataFrame:
        if not known:
            known.update({own: frame.lazy().collect() for own, frame in frames.items()})
        ensure(next(group for group, names in TABLES_OF.items() if name in names))
        return known[name]

    return {
        name: pl.defer(partial(table, name), schema=dict(SCHEMAS[name]))
        for names in TABLES_OF.values()
        for name in names
    }


def run_all(frames: Frames) -> Outputs:
    """Every group in order, each seeing what the ones before gave; returns the outputs alone. Pure: the same frames
    give the same outputs.
    """
    known: Outputs = dict(frames)
    made: Outputs = {}
    for group in GROUPS.values():
        outputs = group(known)
        known.update(outputs)
        made.update(outputs)
    return made


def _policy(frames: Frames) -> CreditPolicy:
    return policy_from_frame(optional(frames, "raw.policy"))


def _books(frames: Frames, lines: pl.DataFrame, closes: pl.DataFrame) -> Books:
    """What the credit jobs post into: the warehouse's closes and terms, and the lines that they posted to sealed months."""
    run_id = _run_id(lines)
    sealed = sealed_lines(optional(frames, "raw.sealed_line"), run_id)
    return Books(closes, terms_in_force(lines, closes), run_id, sealed)


def _run_id(lines: pl.DataFrame) -> str:
    """The run of the warehouse's lines, so that both halves of the journal name the same one."""
    found = lines["run_id"].drop_nulls()
    return str(found[0]) if len(found) else "adhoc"


def _matrices(
    frames: Frames, policy: CreditPolicy, classes: Mapping[tuple[str, date], str], members: Members
) -> dict[str, pl.DataFrame]:
    """The provision matrix by standard, with each pool's own rates where they come from history: CECL's leaves conditions to
    come out where the receivable's class may use the expedient of ASU 2025-05.
    """
    aged = need(frames, "credit.fct_ageing_month")
    items, applications = need(frames, "credit.fct_receivable_item"), need(frames, "credit.fct_cash_application")
    given = (policy.rates("provision_matrix_rates"), "given")
    from_history = policy.choice("provision_matrix_source", "given", "history") == "history"
    rates: dict[Any, Any] = dict.fromkeys(aged["month"].unique().to_list(), given)
    pools = {key: member.pool_id for key, member in members.items()}
    for (contract_id, month), pool_id in pools.items():
        if (pool_id, month) in rates:
            continue
        own = None
        if from_history:
            shared = pl.col("contract_id").is_in(companions(members, contract_id, month))
            own = historical_rates(items.filter(shared), applications, month)
        rates[pool_id, month] = given if own is None else (own, "history")
    plain = provision_matrix(aged, rates, forward_scalars(policy, expedient=False), pools)
    # Without conditions to come there is nothing that the expedient could leave out.
    same = policy.decimal("forward_scalar") == 1
    without = plain if same else provision_matrix(aged, rates, forward_scalars(policy, expedient=True), pools)
    uses = [
        {"contract_id": contract_id, "month": month, "expedient": uses_expedient(policy, kind)}
        for (contract_id, month), kind in classes.items()
    ]
    flags = pl.DataFrame(uses, schema={"contract_id": pl.String, "month": pl.Date, "expedient": pl.Boolean})
    keys = ["contract_id", "month"]
    cecl = [
        frame.join(flags.filter(pl.col("expedient") == expedient), on=keys, how="semi")
        for frame, expedient in ((plain, False), (without, True))
    ]
    return {"cecl": pl.concat(cecl).sort(*keys, "bucket_no"), "ifrs9": plain}


def _matrix_losses(
    matrices: Mapping[str, pl.DataFrame],
    classes: Mapping[tuple[str, date], str],
    members: Members,
    one_by_one: pl.DataFrame,
) -> pl.DataFrame:
    """The closing allowance by the matrix: contract_id, month, standard, expected_credit_loss_amount; of the standards
    that cover the receivable's class. What shares its risk with nobody takes its own loss, out of ``one_by_one``.
    """
    keys = {"contract_id": pl.String, "month": pl.Date, "standard": pl.String}
    apart = pl.DataFrame(
        [{"contract_id": c, "month": m} for (c, m), member in members.items() if member.individual],
        schema=list(keys.items())[:2],
    )
    covered = pl.DataFrame(
        [
            {"contract_id": contract_id, "month": month, "standard": standard}
            for (contract_id, month), kind in classes.items()
            for standard in covered_standards(kind)
        ],
        schema=keys,
    )
    sums = [
        matrix.group_by("contract_id", "month")
        .agg(pl.col("expected_credit_loss_amount").sum().cast(MONEY))
        .select("contract_id", "month", pl.lit(name).alias("standard"), "expected_credit_loss_amount")
        for name, matrix in matrices.items()
    ]
    shared = (
        pl.concat(sums).join(covered, on=list(keys), how="semi").join(apart, on=["contract_id", "month"], how="anti")
    )
    alone = one_by_one.join(apart, on=["contract_id", "month"], how="semi").select(shared.columns)
    return pl.concat([shared, alone])
