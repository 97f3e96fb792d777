"""What the published tables mean that dbt does not describe: those of the credit jobs and of data quality; and the keys
of all published tables, dbt's too.

A column of one name has one meaning and one unit everywhere: it is described once, in ``SHARED``, and again only at a
table where its meaning is narrower. Units follow the name (``_UNITS``), so that no description can forget its own. No
figures and no SQL belong here; descriptions of dbt's columns stand beside dbt's models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

QUALITY = "quality"
DBT = "dbt"
_NULL_REASON = "_null_reason"


@dataclass(frozen=True)
class Table:
    """One published table.

    ``name``: schema.table. ``group``: the group of the credit jobs that gives it whole, ``quality`` or ``dbt``.
    ``key``: the columns that name one row. ``description``: its first sentence is the grain. ``columns``: column to
    what it is, its unit and sign, in the table's order; empty where dbt describes them. ``may_be_null``: columns of the
    key in which null means something.
    """

    name: str
    group: str
    key: tuple[str, ...]
    description: str
    columns: dict[str, str] = field(default_factory=dict)
    may_be_null: tuple[str, ...] = ()


# What the end of a column's name says of its unit: the words by which a text already says it, and the sentence that is
# added where it does not. Texts, ratios and dates have none.
_UNITS: Mapping[str, tuple[str, str]] = {
    "_amount": ("currency_code", "Money in the contract's currency (currency_code), two decimals."),
    "_fraction": ("0 to 1", "Fraction, 0 to 1."),
    "_probability": ("0 to 1", "Probability, 0 to 1."),
    "_days": ("In days.", "In days."),
    "_months": ("In months.", "In months."),
    "_years": ("In years.", "In years."),
    "_bp": ("basis points", "In basis points, 100 = one percentage point."),
    "_count": ("A count.", "A count."),
    "_month": ("First day of the month.", "First day of the month."),
    "_at": ("Instant, UTC.", "Instant, UTC."),
}

SHARED: Mapping[str, str] = {
    # who, when, in what
    "contract_id": "Contract; key of core.dim_contract.",
    "operator_id": "Operator of the park, who owes the share; key of core.dim_operator.",
    "issuer_id": "Company that files: the vendor's issuer_id of core.dim_vendor.",
    "park_id": "Park; key of core.dim_park.",
    "run_id": "Run that wrote the row; it follows from the inputs, so equal inputs give the same one.",
    "item_id": "Receivable item: the journal entry that posted the invoice or credit note.",
    "payment_id": "Payment as the payments feed names it.",
    "month": (
        "Month that closes, in the zone of the contract's park; figures are as known at its close. First day of the "
        "month."
    ),
    "as_of_month": "Month at whose close the item stood so, in the zone of the contract's park.",
    "service_month": "Month in which the service was rendered, in the zone of the contract's park.",
    "posting_month": "Month whose close posted it; closed months never change.",
    "posted_at": "Close at which it was posted: what was recorded later is not in it.",
    "invoice_date": "Date of the document.",
    "due_date": "Last day on which the contract lets it be paid.",
    "currency_code": "ISO 4217 code of the amounts of the row.",
    "is_provisional": "True while the month is not closed: the row may still change.",
    "fiscal_period_end": "Last day of the fiscal period.",
    "evidence_grade": (
        "Grade of the evidence: P filed or quoted from the source itself, S1 press or analyst, V a data vendor's "
        "statements, I inferred, S2 aggregator, assumed."
    ),
    # the sub-ledger
    "kind": (
        "invoice, credit_note, debit_note (owed under the backstop: claims taken back, the price of a termination), "
        "interest_note (interest on what was paid late, on true-ups and on advances; both notes are negative where they take "
        "something back), or write_off_excess: more written off than was open, kept as an item of its own so that "
        "the items equal the control account."
    ),
    "bucket": (
        "Days past due: current (0 or less), 1-30, 31-60, 61-90, 91-120, >120; credit holds open credit notes, "
        "unapplied cash that lies on no item. Credits age nowhere."
    ),
    "bucket_no": "Order of the buckets, from 1 for current.",
    "original_amount": "Amount of the document: invoices positive, credit notes negative.",
    "applied_amount": "Cash laid on items; negative where a receipt was taken back.",
    "circular_applied_amount": (
        "Part of the applied cash that the vendor's own claim payments funded; positive, 0 where there is none."
    ),
    "open_amount": "What is still owed: positive; an open credit is negative.",
    "disputed": "True where something is open and an open dispute covers it.",
    "days_past_due": "From the due date to the month's last day; negative before the due date. In days.",
    "fx_amount": "Effect of exchange rates; 0, because items stand in the contract's own currency.",
    # journal
    "line_no": "Line of the entry: 1 debit side, 2 credit side of an entry of positive amount.",
    "account": "Ledger account; key of ledger.dim_account.",
    # credit loss
    "standard": "Accounting standard of the loss model: cecl (ASC 326) or ifrs9.",
    "expected_credit_loss_amount": "Expected credit loss; positive, rounded once.",
    # simulation
    "correlation_case": (
        "independent (no common factor), base or stressed: how strongly occupancy, price and defaults move together, "
        "on the same random numbers."
    ),
    "path_count": "Simulated paths, half of them mirrors of the others.",
    "horizon_months": "Months ahead that are simulated: to the backstop's expiry. In months.",
    "expected_amount": "Mean over the paths of all claims to expiry, after caps, not discounted; positive is paid out.",
    "dso_days": "Days sales outstanding: receivable ÷ credit sales of the window × days of the window. In days.",
    "receivables_turnover": "Net credit sales ÷ mean receivable, annualised by 365 ÷ days; times a year.",
}


def _describe(column: str, text: str | None) -> str:
    """A column's description: its own text, else the shared one, with its unit unless the text already says it.

    Raises ``KeyError`` for a column that neither the table nor ``SHARED`` describes.
    """
    if column.endswith(_NULL_REASON) and text is None:
        return f"Why {column.removesuffix(_NULL_REASON)} is null; null where it has a value."
    said = SHARED[column] if text is None else text
    for ending, (words, sentence) in _UNITS.items():
        if column.endswith(ending) and words not in said:
            return f"{said} {sentence}"
    return said


def _table(name: str, group: str, key: str, description: str, columns: str, *, own: Mapping[str, str]) -> Table:
    """A table of ``columns`` (names, by spaces) in order: shared descriptions, and ``own`` where it has its own.

    Raises ``ValueError`` where ``own`` or ``key`` name a column that the table does not have.
    """
    names = columns.split()
    unknown = (set(own) | set(key.split())) - set(names)
    if unknown:
        raise ValueError(f"{name} has no column {', '.join(sorted(unknown))}")
    return Table(
        name, group, tuple(key.split()), description, {column: _describe(column, own.get(column)) for column in names}
    )


def _of_dbt(name: str, key: str, grain: str, may_be_null: str = "") -> Table:
    return Table(name, DBT, tuple(key.split()), f"One row per {grain}.", may_be_null=tuple(may_be_null.split()))


_ISSUER = [
    _table(
        "issuer.fct_issuer_fact",
        "issuer",
        "issuer_id fiscal_period_end item fiscal_label source",
        (
            "One row per issuer, fiscal period end, item, period label and source. "
            "Every fact as filed or found, with the grade of its evidence; what was not found has no row."
        ),
        "issuer_id fiscal_period_end fiscal_label item value value_text unit source evidence_grade",
        own={
            "fiscal_label": (
                "Fiscal period as the source names it, such as Q2 FY27, half-years and years too; its last day "
                "(to 2026-07-26) where the source names none."
            ),
            "source": "Where the fact was found, such as the filing.",
            "item": "What is stated, as the source names it; fct_issuer_quarter says which items it reads.",
            "value": "The number, in unit; signed as filed. Null where the fact is text or a list.",
            "value_text": "The fact as text, such as a list of percentages 17|16; null where only a number was found.",
            "unit": "Unit of value: USDm is millions of US dollars, pct a percentage, and so on.",
        },
    ),
    _table(
        "issuer.fct_issuer_quarter",
        "issuer",
        "issuer_id fiscal_period_end",
        (
            "One row per issuer and fiscal quarter end. Balances, flows and commitments in millions of US dollars, each "
            "the best-graded fact of issuer.fct_issuer_fact; null where not found, never 0."
        ),
        (
            "issuer_id fiscal_period_end fiscal_label fiscal_year fiscal_quarter days_in_quarter revenue "
            "accounts_receivable allowance equity total_assets long_term_debt operating_cash_flow net_income "
            "ai_cloud_commitments own_cloud_commitments supply_commitments guarantees guarantee_escrow "
            "third_party_lease_commitments dso_days dso_days_null_reason receivables_turnover "
            "receivables_turnover_null_reason largest_receivable_customer_fraction "
            "receivable_customers_of_ten_percent_fraction commitments_and_guarantees_to_equity_fraction"
        ),
        own={
            "fiscal_period_end": "Last day of the fiscal quarter.",
            "fiscal_label": "Quarter by the issuer's fiscal calendar, such as Q2 FY27; as the filing names it where no calendar is known.",
            "fiscal_year": "Fiscal year by the vendor's calendar; null where the issuer has none.",
            "fiscal_quarter": "Quarter of the fiscal year, 1 to 4; null where the issuer has no calendar.",
            "days_in_quarter": (
                "Real days of the quarter: 91 or 98 in a calendar by weeks. In days. Null where neither a calendar nor "
                "the quarter before says them."
            ),
            "revenue": "Revenue of the quarter, USD m, positive.",
            "accounts_receivable": "Accounts receivable at the quarter's end, net as filed, USD m, positive.",
            "allowance": "Allowance for credit losses at the quarter's end, USD m, positive; null where not filed.",
            "equity": "Stockholders' equity at the quarter's end, USD m; negative is a deficit.",
            "total_assets": "Total assets at the quarter's end, USD m, positive.",
            "long_term_debt": "Long-term debt at the quarter's end, USD m, positive is owed.",
            "operating_cash_flow": "Operating cash flow of the quarter, USD m; negative is an outflow.",
            "net_income": "Net income of the quarter, USD m; negative is a loss.",
            "ai_cloud_commitments": "AI cloud agreements disclosed at the quarter's end, USD m, positive is committed.",
            "own_cloud_commitments": (
                "Cloud service agreements for the issuer's own use at the quarter's end, USD m, positive is committed."
            ),
            "supply_commitments": "Supply and capacity commitments at the quarter's end, USD m, positive is committed.",
            "guarantees": "Maximum gross exposure of guarantees at the quarter's end, USD m, positive.",
            "guarantee_escrow": "Escrow held against guarantees at the quarter's end, USD m, positive.",
            "third_party_lease_commitments": (
                "Third-party data-centre leases not yet commenced at the quarter's end, USD m, positive is committed."
            ),
            "dso_days": "Days sales outstanding: receivable ÷ revenue × the quarter's real days. In days.",
            "receivables_turnover": (
                "Revenue ÷ mean of opening and closing receivable, annualised by 365 ÷ days; times a year."
            ),
            "largest_receivable_customer_fraction": "Part of the receivable that the largest disclosed customer owes.",
            "receivable_customers_of_ten_percent_fraction": (
                "Part of the receivable owed by all customers of at least ten percent together."
            ),
            "commitments_and_guarantees_to_equity_fraction": (
                "AI cloud commitments, guarantees and third-party leases, as far as found, ÷ equity. Fraction of "
                "equity: 0 to 1, above 1 where they exceed it."
            ),
        },
    ),
]

_RECEIVABLES = [
    _table(
        "credit.fct_receivable_item",
        "receivables",
        "item_id as_of_month",
        (
            "One row per receivable item and month at whose close it stood. "
            "open = original − credited − applied − set off − written off; the open amounts of a month add up to the roll-forward."
        ),
        (
            "item_id as_of_month contract_id kind service_month posting_month invoice_date due_date original_amount "
            "credited_amount applied_amount circular_applied_amount set_off_amount written_off_amount open_amount disputed "
            "days_past_due currency_code is_provisional"
        ),
        own={
            "posting_month": "Month whose close posted the document.",
            "credited_amount": (
                "Credit notes settled against the invoice so far, positive; on a credit note what it has settled "
                "elsewhere, negative."
            ),
            "applied_amount": "Cash laid on the item so far, net of what was taken back; positive reduces the item.",
            "set_off_amount": "Claims of the backstop set off against the item so far, positive.",
            "written_off_amount": "Written off so far, positive; negative where a write-off was taken back.",
        },
    ),
    _table(
        "credit.fct_cash_application",
        "receivables",
        "payment_id item_id sequence_no",
        (
            "One row per payment, item and application of the one to the other, as known at the contract's last close. "
            "A payment goes to the item that it names, then to one of its exact amount, then to the oldest."
        ),
        (
            "payment_id item_id sequence_no contract_id received_date applied_date applied_amount currency_code rule "
            "circular"
        ),
        own={
            "sequence_no": "Order of the applications of one payment, from 1.",
            "received_date": "Day on which the payment came, in the zone of the contract's park.",
            "applied_date": (
                "Day on which it was laid on the item, in the zone of the contract's park: later than received where "
                "the cash waited for the item."
            ),
            "rule": (
                "Why this item: named_item, exact_amount, oldest_undisputed, disputed (no other principal was open), interest "
                "(no principal was open), or reversal (the receipt was taken back)."
            ),
            "circular": "True where the vendor's own claim payment funded the payment.",
        },
    ),
    _table(
        "credit.fct_interest_span",
        "receivables",
        "contract_id as_of_month event service_month first_date",
        (
            "One row per contract, close, event, service month and first day of a span of late interest: days over which one amount "
            "was overdue at one rate. A close says what it knows otherwise than the one before; the sum over a service month, rounded "
            "once, is what the journal's entries of the event stand at from that close on."
        ),
        (
            "contract_id as_of_month event service_month first_date last_date day_count overdue_amount rate interest_amount "
            "currency_code"
        ),
        own={
            "as_of_month": "Month at whose close it was known so, in the zone of the contract's park.",
            "event": "late_interest (on invoices, owed to the vendor) or late_interest_on_claims (owed by it).",
            "service_month": "Month of the days that bear the interest.",
            "first_date": "First day that bears the interest: the day after the due date at the earliest.",
            "last_date": "Last day that bears the interest: the day of payment, or the month's last.",
            "day_count": "Days from the first to the last, both counted. In days.",
            "overdue_amount": "Overdue at the start of each of the days; positive, 0 where a month bears no interest any longer.",
            "rate": "Rate of the contract on the days. Fraction of a year of 365 days, 0 to 1.",
            "interest_amount": "Overdue × rate × days ÷ 365, unrounded; positive is owed by who is late.",
        },
    ),
    _table(
        "credit.fct_receivable_rollforward_month",
        "receivables",
        "contract_id month",
        (
            "One row per contract and month. closing = opening + invoices − credit notes − applied − set-off − "
            "write-offs + reinstated + FX, and equals the control account."
        ),
        (
            "contract_id month opening_amount invoices_amount credit_notes_amount applied_amount set_off_amount "
            "write_offs_amount reinstated_amount fx_amount closing_amount control_account_amount receipts_amount "
            "refunded_amount unapplied_opening_amount unapplied_closing_amount unapplied_control_account_amount "
            "currency_code is_provisional"
        ),
        own={
            "opening_amount": "Trade receivable at the close of the month before; 0 at the first close.",
            "invoices_amount": "Invoices, debit notes and interest notes posted in the month, positive.",
            "credit_notes_amount": "Credit notes posted in the month, positive; they reduce the receivable.",
            "applied_amount": (
                "Cash laid on items in the month, positive; negative where more was taken back. It reduces the "
                "receivable."
            ),
            "set_off_amount": "Claims set off against invoices in the month, positive.",
            "write_offs_amount": "Written off in the month, positive.",
            "reinstated_amount": "Write-offs taken back in the month, positive.",
            "closing_amount": "Trade receivable at the close, gross of allowance: sum of the items' open amounts.",
            "control_account_amount": "Closing balance of trade_receivable in the trial balance, debit positive.",
            "receipts_amount": "Cash received in the month, positive, net of receipts taken back.",
            "refunded_amount": "Cash paid back, positive; 0, because a receipt taken back counts in receipts.",
            "unapplied_opening_amount": "Cash on no item at the close of the month before; positive, a liability.",
            "unapplied_closing_amount": "Cash on no item at the close; positive, a liability.",
            "unapplied_control_account_amount": (
                "Closing balance of unapplied_cash in the trial balance, credit positive."
            ),
        },
    ),
    _table(
        "credit.fct_ageing_month",
        "receivables",
        "contract_id month bucket",
        (
            "One row per contract, month and ageing bucket, all eight buckets in every month. "
            "Open and disputed amounts over all buckets add up to the closing receivable."
        ),
        "contract_id month bucket bucket_no open_amount disputed_amount unapplied_amount currency_code",
        own={
            "open_amount": "Open and not disputed; positive, in the bucket credit negative.",
            "disputed_amount": "Open and disputed, positive; not in open_amount.",
            "unapplied_amount": "Cash that lies on no item; positive, a liability, in the bucket unapplied alone.",
        },
    ),
    _table(
        "credit.fct_roll_rate_month",
        "receivables",
        "month from_bucket to_bucket currency_code",
        (
            "One row per month, bucket of the month before, bucket or end of this month, and currency. "
            "Over all contracts; the rates out of one bucket sum to 1; items reinstated are left out."
        ),
        "month from_bucket to_bucket currency_code from_amount moved_amount rate",
        own={
            "month": "Month in which the money arrived in to_bucket. First day of the month.",
            "from_bucket": "Ageing bucket at the close of the month before.",
            "to_bucket": "Ageing bucket at this close, or paid (cash or credit note), or written_off.",
            "from_amount": (
                "Open in from_bucket at the close of the month before, positive. Money in the contracts' currency "
                "(currency_code), two decimals."
            ),
            "moved_amount": (
                "Part of it that went to to_bucket, positive. Money in the contracts' currency (currency_code), two "
                "decimals."
            ),
            "rate": "moved_amount ÷ from_amount. Fraction, 0 to 1.",
        },
    ),
]

_COLLECTIONS = [
    _table(
        "credit.fct_collection_metrics_month",
        "collections",
        "contract_id month",
        (
            "One row per contract and month. Collection metrics on the share billed; what cannot be computed is null "
            "with the reason beside it, never 0. Without circular: as if the cash that the vendor's own claim payments "
            "funded had not come."
        ),
        (
            "contract_id month currency_code window_days window_sales_amount month_sales_amount receivable_amount "
            "current_receivable_amount circular_applied_amount dso_days dso_days_null_reason countback_dso_days "
            "countback_dso_days_null_reason best_possible_dso_days best_possible_dso_days_null_reason true_dso_days "
            "true_dso_days_null_reason average_days_delinquent average_days_delinquent_null_reason "
            "receivables_turnover receivables_turnover_null_reason collection_effectiveness_fraction "
            "collection_effectiveness_fraction_null_reason dso_days_without_circular "
            "countback_dso_days_without_circular receivables_turnover_without_circular "
            "collection_effectiveness_fraction_without_circular"
        ),
        own={
            "window_days": "Length of the sales window that ends with the month. In days.",
            "window_sales_amount": "Invoices less credit notes dated in the window; negative where credits exceed.",
            "month_sales_amount": "Invoices less credit notes dated in the month; negative where credits exceed.",
            "receivable_amount": (
                "Closing receivable, gross of allowance and, by policy, net of unapplied cash; negative is a credit "
                "balance."
            ),
            "current_receivable_amount": (
                "Part of the receivable that is not past due, with open credits and less unapplied cash; may be "
                "negative."
            ),
            "circular_applied_amount": "Cash on the items that the vendor's own claim payments funded, positive.",
            "countback_dso_days": (
                "Months counted back, newest first, until their sales use up the receivable. In days."
            ),
            "best_possible_dso_days": "DSO if only what is not yet due were open. In days.",
            "true_dso_days": "Σ age of open items × open amount ÷ sales of the item's own month. In days.",
            "average_days_delinquent": "DSO less best possible DSO. In days.",
            "collection_effectiveness_fraction": (
                "(Beginning receivable + sales − ending total) ÷ (beginning receivable + sales − ending current). "
                "Fraction, 0 to 1, 1 where nothing is past due; below 0 where more is overdue than fell due."
            ),
            "dso_days_without_circular": "DSO without circular receipts. In days.",
            "countback_dso_days_without_circular": "Count-back DSO without circular receipts. In days.",
            "receivables_turnover_without_circular": "Turnover without circular receipts; times a year.",
            "collection_effectiveness_fraction_without_circular": (
                "Collection effectiveness without circular receipts. Fraction, 0 to 1, negative as there."
            ),
        },
    ),
]

_CREDIT_LOSS = [
    _table(
        "credit.fct_provision_matrix_month",
        "credit_loss",
        "contract_id month bucket",
        (
            "One row per contract, month and age bucket. "
            "Expected loss by ageing: amount × min(1, loss rate × forward-looking scalar)."
        ),
        (
            "contract_id month bucket bucket_no open_amount loss_rate forward_scalar expected_credit_loss_amount "
            "loss_rate_source pool_id currency_code"
        ),
        own={
            "bucket": "Days past due: current (0 or less), 1-30, 31-60, 61-90, 91-120, >120.",
            "open_amount": "Open in the bucket, disputed or not; positive.",
            "loss_rate": "Part of what is in the bucket that is never paid, unrounded. Fraction, 0 to 1.",
            "forward_scalar": "Factor for conditions to come; 1 is none, 0 or more.",
            "loss_rate_source": "given (by policy) or history (the invoices of the contract's pool that ran their course).",
            "pool_id": "Pool of credit.fct_loss_pool_month by its characteristics; null where no standard covers the receivable.",
        },
    ),
    _table(
        "credit.fct_credit_loss_month",
        "credit_loss",
        "contract_id month standard scenario",
        (
            "One row per contract, month, standard and macro scenario. "
            "Expected loss on what is billed and open and what is accrued and unbilled; the weighted amounts of the "
            "scenarios add up to the loss of the standard."
        ),
        (
            "contract_id month standard scenario stage horizon rating pd_source pd_fraction lgd_fraction exposure_amount "
            "expected_credit_loss_amount weight weighted_amount lifetime_weighted_amount currency_code"
        ),
        own={
            "scenario": "Macro scenario: scenario_id of the home's scenarios, or base where it has none.",
            "stage": (
                "IFRS 9 stage: 1, 2 after a significant increase in risk, 3 in default; null under CECL, which has no "
                "stages."
            ),
            "horizon": "Time over which losses count: twelve_month or lifetime.",
            "rating": "Operator's rating as known at the close, or the policy's grade for the unrated.",
            "pd_source": (
                "What the default probability comes from: cumulative_pd or cds_spread (the operator's own curve, "
                "reference/credit_curves.csv) or rating."
            ),
            "pd_fraction": "Probability of default over the horizon under the scenario. Fraction, 0 to 1.",
            "lgd_fraction": "Loss given default after enforceable set-off and collateral. Fraction, 0 to 1.",
            "exposure_amount": "Open items (credits left out) and unbilled accrual, positive.",
            "expected_credit_loss_amount": "Expected credit loss under the scenario alone, unweighted; positive.",
            "weight": "Weight of the scenario; those of a month sum to 1. Fraction, 0 to 1.",
            "weighted_amount": "The scenario's part of the probability-weighted loss, to the cent; positive.",
            "lifetime_weighted_amount": (
                "The same over the whole life, also where twelve months count; to the cent, positive."
            ),
        },
    ),
    _table(
        "credit.fct_loss_pool_month",
        "credit_loss",
        "pool_id month currency_code",
        (
            "One row per pool of receivables, month and currency. Expected loss under CECL of what shares its risk "
            "characteristics (policy loss_pool_characteristics), and of each contract that shares them with nobody any more; "
            "over the pools of a month it sums to CECL's closing allowance."
        ),
        (
            "pool_id month currency_code evaluation contract_count exposure_amount expected_credit_loss_amount "
            "loss_rate_fraction"
        ),
        own={
            "pool_id": "Characteristics with their values; the contract where it is evaluated by itself.",
            "evaluation": "collective, or individual: in default, so that its risk is its own (ASC 326-20-30-2).",
            "contract_count": "Contracts in the pool. A count.",
            "exposure_amount": "Open items (credits left out) and unbilled accrual, positive.",
            "expected_credit_loss_amount": "Expected credit loss by the posted method (policy allowance_method); positive.",
            "loss_rate_fraction": "Expected loss ÷ exposure. Fraction, 0 to 1; null without exposure.",
        },
    ),
    _table(
        "credit.fct_instrument_loss_month",
        "credit_loss",
        "instrument_id month standard",
        (
            "One row per instrument at amortised cost, month and standard. Expected loss on what the vendor has lent to the "
            "contract's operator by the flows of reference/instruments.csv; measured, in no journal."
        ),
        (
            "instrument_id contract_id month standard stage horizon pd_source pd_fraction lgd_fraction effective_rate "
            "carrying_amount expected_credit_loss_amount lifetime_amount currency_code"
        ),
        own={
            "instrument_id": "Instrument, as in reference/instruments.csv.",
            "stage": (
                "IFRS 9 stage: 1, 2 after a significant increase in risk, 3 in default; null under CECL, which has no "
                "stages."
            ),
            "horizon": "Time over which losses count: twelve_month or lifetime.",
            "pd_source": "What the default probability comes from: cumulative_pd, cds_spread or rating.",
            "pd_fraction": "Probability of default over the horizon, weighted over the scenarios. Fraction, 0 to 1.",
            "lgd_fraction": "Loss given default, weighted over the scenarios. Fraction, 0 to 1.",
            "effective_rate": "Effective interest rate of all flows a year, ACT/365F. Fraction, 0 to 1 and above.",
            "carrying_amount": "Amortised cost at the month's end before allowance: the flows to come at the effective rate; positive.",
            "expected_credit_loss_amount": "Expected credit loss of the standard, weighted over the scenarios; positive.",
            "lifetime_amount": "The same over the whole life; positive.",
        },
    ),
    _table(
        "credit.fct_standard_difference_month",
        "credit_loss",
        "contract_id month cause",
        (
            "One row per contract, month and cause. Why IFRS 9's expected loss (by default probabilities) is another than "
            "CECL's; over the causes, difference_amount adds up to ifrs9_amount − cecl_amount."
        ),
        "contract_id month cause cause_no cecl_amount ifrs9_amount difference_amount currency_code",
        own={
            "cause": (
                "scope (the receivable is outside CECL), conditions_to_come (scenarios that CECL leaves out under the "
                "expedient of ASU 2025-05) or horizon (IFRS 9 counts twelve months only)."
            ),
            "cause_no": "Order of the causes, from 1.",
            "cecl_amount": "Expected credit loss under CECL; 0 where it does not cover the receivable.",
            "ifrs9_amount": "Expected credit loss under IFRS 9.",
            "difference_amount": "What the cause adds to CECL's loss on the way to IFRS 9's; negative takes off.",
        },
    ),
    _table(
        "credit.fct_functional_rollforward_month",
        "credit_loss",
        "contract_id month balance",
        (
            "One row per contract, month and balance. Receivable and posted allowance in the vendor's own currency, both at "
            "the closing rate; closing = opening + movement + FX."
        ),
        (
            "contract_id month balance currency_code functional_currency_code closing_foreign_amount closing_functional_per_unit "
            "mean_functional_per_unit opening_amount movement_amount fx_amount closing_amount null_reason"
        ),
        own={
            "balance": "receivable (gross of allowance) or allowance (of the posted standard).",
            "currency_code": "Currency of the contract, ISO 4217: that of closing_foreign_amount alone.",
            "functional_currency_code": "Currency of all other amounts (policy functional_currency), ISO 4217.",
            "closing_foreign_amount": "Balance at the close in the contract's currency, positive.",
            "closing_functional_per_unit": "Functional currency per unit of the contract's, last rate up to the month's end.",
            "mean_functional_per_unit": "The same, mean of the month's rates.",
            "opening_amount": "Balance at the close before; 0 at the first.",
            "movement_amount": "Change in the contract's currency at the mean rate, either sign.",
            "fx_amount": "Gain (positive for a receivable) or loss by the move of rates; what the others leave.",
            "closing_amount": "Balance at the closing rate.",
            "null_reason": "Why amounts are null: the month, or the one before, has no rate.",
        },
    ),
    _table(
        "credit.fct_allowance_rollforward_month",
        "credit_loss",
        "contract_id month standard",
        (
            "One row per contract, month and standard. "
            "closing = opening + adoption + provision − write-offs + recoveries + FX + transfers; the provision is "
            "what brings it there, and nothing is clipped at 0."
        ),
        (
            "contract_id month standard opening_amount adoption_amount provision_amount write_off_amount "
            "recovery_amount fx_amount transfer_amount closing_amount posted control_account_amount currency_code "
            "is_provisional"
        ),
        own={
            "opening_amount": "Allowance at the close of the month before; 0 at the first close.",
            "adoption_amount": "Effect of adopting the standard; 0, because the programme begins after it.",
            "provision_amount": "Charged in the month: positive is an expense, negative a release.",
            "write_off_amount": "Written off against the allowance, positive.",
            "recovery_amount": "Recovered of what was written off, positive.",
            "fx_amount": "Effect of exchange rates; 0, because receivables stand in the contract's own currency.",
            "transfer_amount": "Moved between pools; 0, because no receivable moves.",
            "closing_amount": "Allowance at the close: what is expected to be lost; positive reduces the receivable.",
            "posted": "True for the standard that is posted to the ledger.",
            "control_account_amount": (
                "Closing balance of allowance_for_credit_losses, credit positive; null for a standard not posted."
            ),
        },
    ),
    _table(
        "credit.fct_credit_journal_lines",
        "credit_loss",
        "entry_id line_no",
        (
            "One row per journal entry and line that the credit jobs post: cash applied, interest and its notes, provisions and "
            "what the accounting classes call for. "
            "Each entry sums to 0; ledger.fct_journal_lines as published holds these lines too."
        ),
        (
            "entry_id line_no contract_id account event amount currency_code service_month posting_month posted_at "
            "is_provisional corrects_entry_id terms_version run_id"
        ),
        own={
            "entry_id": (
                "Entry: contract:service month:event:posting month (with the currency where one contract has several)."
            ),
            "event": "apply_cash (unapplied cash to trade receivable), set_off (backstop payable to trade receivable), "
            "late_interest (interest receivable to income), invoice_interest (trade receivable to interest receivable), "
            "late_interest_on_claims (cost to interest payable), pay_claim_interest (interest payable to backstop payable), "
            "provision (credit loss expense to allowance), or one that an "
            "accounting class calls for (ledger.dim_journal_event names their accounts).",
            "amount": (
                "Amount of the line, debit positive, credit negative. Money in the contract's currency "
                "(currency_code), two decimals."
            ),
            "service_month": (
                "Of cash the month in which it came, of a set-off that of the claim's due date, of interest and its notes that of its "
                "days, of interest on claims that is paid the month in which it is settled, of a provision its posting month. "
                "First day of the month."
            ),
            "corrects_entry_id": (
                "First entry for the same contract, service month and event, which this one adds to; null on the first."
            ),
            "terms_version": "Amendment that the contract's journal last named by the close; null where none is named.",
        },
    ),
    _table(
        "ledger.fct_trial_balance_month",
        "credit_loss",
        "contract_id account posting_month currency_code",
        (
            "One row per contract, account, posting month and currency, from the account's first posting to the "
            "contract's last close. closing = opening + debit − credit; the closings of a contract and month sum to 0."
        ),
        ("contract_id account posting_month currency_code opening_amount debit_amount credit_amount closing_amount"),
        own={
            "opening_amount": "Balance after the month before, debit positive.",
            "debit_amount": "Debits posted in the month, positive.",
            "credit_amount": "Credits posted in the month, positive.",
            "closing_amount": "Balance after the month, debit positive.",
        },
    ),
    _table(
        "ledger.fct_period_close",
        "credit_loss",
        "contract_id posting_month",
        "One row per contract and closed month. A month that was reopened and is open again has none.",
        "contract_id posting_month closed_at closed_by reopening_no line_count state_hash prepared_by",
        own={
            "closed_at": "Instant of the close: what was recorded later is in no line of the month. Instant, UTC.",
            "closed_by": "policy, or the period_close event that closed it.",
            "reopening_no": "How often the month was reopened before this close; 0 for one that never was.",
            "line_count": "Journal lines posted to the month. A count.",
            "state_hash": (
                "SHA-256 of the month's journal lines in the order (entry_id, line_no), a line feed between two: entry_id, "
                "line_no, account, event, amount, currency_code, service_month, posted_at (microseconds since 1970), "
                "corrects_entry_id and terms_version, a bar between two, nothing for a null."
            ),
            "prepared_by": (
                "Who prepared the month's statements (policy prepared_by) and from whose books; of a sealed month as it was sealed."
            ),
        },
    ),
]

_BACKSTOP_WORTH = [
    _table(
        "credit.fct_backstop_distribution_month",
        "backstop_worth",
        "contract_id month correlation_case",
        (
            "One row per contract, month and correlation case. "
            "What the backstop may cost to its expiry, simulated on what was known at the close; caps act on each path."
        ),
        (
            "contract_id month correlation_case path_count antithetic seed horizon_months asset_correlation expected_amount "
            "standard_error_amount present_value_amount present_value_standard_error_amount var_95_amount "
            "var_99_amount var_999_amount es_95_amount es_99_amount es_999_amount any_claim_probability "
            "operator_default_probability expected_share_amount expected_resale_present_value_amount "
            "expected_claw_back_present_value_amount "
            "receivable_loss_amount joint_loss_amount joint_loss_es_99_amount wrong_way_multiplier "
            "wrong_way_multiplier_null_reason break_even_occupancy_fraction "
            "break_even_occupancy_fraction_null_reason start_occupancy_fraction terms_left_out currency_code"
        ),
        own={
            "antithetic": "True where the second half of the paths mirrors the first.",
            "seed": "Seed of the random numbers: a hash of the policy's seed, contract and month.",
            "asset_correlation": "Square of the loading on the common factor in this case. Fraction, 0 to 1.",
            "standard_error_amount": "Standard error of expected_amount; where antithetic, from pairs of mirrored paths; 0 or more.",
            "present_value_amount": (
                "Mean over the paths of claims discounted from the days on which they fall due; positive is paid out."
            ),
            "present_value_standard_error_amount": "Standard error of present_value_amount; 0 or more.",
            **{
                f"var_{digits}_amount": f"Value at risk: the discounted claims that {level} % of paths do not exceed."
                for digits, level in (("95", "95"), ("99", "99"), ("999", "99.9"))
            },
            **{
                f"es_{digits}_amount": f"Expected shortfall: mean of the discounted claims of the worst {rest} % of paths."
                for digits, rest in (("95", "5"), ("99", "1"), ("999", "0.1"))
            },
            "any_claim_probability": "Part of the paths on which anything is claimed. Probability, 0 to 1.",
            "operator_default_probability": "Part of the paths on which the operator defaults. Probability, 0 to 1.",
            "expected_share_amount": "Mean share over the same months, not discounted; positive is received.",
            "expected_resale_present_value_amount": (
                "Mean income from selling bought-back hours on, discounted; positive is received. In no other amount."
            ),
            "expected_claw_back_present_value_amount": (
                "Mean of claims that the operator gives back where it withdraws capacity, discounted; positive is received. In no "
                "other amount."
            ),
            "receivable_loss_amount": "Mean discounted loss on the share owed at the operator's default; positive.",
            "joint_loss_amount": "Mean of discounted claims and receivable loss together; positive.",
            "joint_loss_es_99_amount": "Mean of the two together on the worst 1 % of paths; positive.",
            "wrong_way_multiplier": (
                "Mean claims given the operator's default ÷ mean claims, as if default voided none; a ratio, 1 without "
                "dependence."
            ),
            "break_even_occupancy_fraction": (
                "Flat occupancy at which share and claims are equal, at the mean price, before caps and defaults."
            ),
            "start_occupancy_fraction": (
                "Leased ÷ available hours of the month just ended, from which the paths start; the policy's mean where "
                "nothing was available."
            ),
            "terms_left_out": "Terms known at the close that do not act on the paths, or only roughly, each with why; null where all do.",
        },
    ),
    _table(
        "credit.fct_backstop_liability_month",
        "backstop_worth",
        "contract_id month measurement_basis",
        (
            "One row per contract, month and measurement basis. "
            "What the backstop would stand at under each; the contract's accounting class says which one is posted."
        ),
        (
            "contract_id month measurement_basis carrying_amount carrying_amount_null_reason posted posted_amount "
            "accounting_class correlation_case currency_code"
        ),
        own={
            "measurement_basis": (
                "disclosure_only, asc460_straight_line, asc460_risk_release, asc450, cecl_off_balance, "
                "ifrs9_financial_guarantee, ias37, asc606_consideration_payable or asc815_fair_value."
            ),
            "carrying_amount": "Liability under the basis, positive; null where the basis does not apply.",
            "posted": "True for the basis that the accounting class in force calls for.",
            "posted_amount": (
                "What stands in the journal from the basis after the month's entries, positive; null where nothing does. Under "
                "ASC 460 also what ASC 450 accrues beyond the stand-ready obligation."
            ),
            "accounting_class": "Accounting class of the backstop by the terms in force at the close; none without one.",
            "correlation_case": "Case of credit.fct_backstop_distribution_month that was measured: base.",
        },
    ),
    _table(
        "credit.fct_rate_sensitivity_month",
        "backstop_worth",
        "contract_id month stream shock",
        (
            "One row per contract, month, stream and shift of the yield curve. "
            "Present value of the expected share and claims under parallel shifts and shifts of single key rates."
        ),
        (
            "contract_id month stream shock shift_bp key_rate_years present_value_amount change_amount "
            "effective_duration_years currency_code"
        ),
        own={
            "stream": "share (paid when its invoice is due) or claim (paid on its due day).",
            "shock": "parallel_<basis points> for the whole curve, key_rate_<years>y for one key rate.",
            "shift_bp": "Size of the shift, positive is up. In basis points, 100 = one percentage point.",
            "key_rate_years": "Tenor of the shifted key rate; null for parallel shifts. In years.",
            "present_value_amount": "Present value of the expected stream under the shift; positive.",
            "change_amount": "Present value less that of the curve as it is; negative where rates cost value.",
            "effective_duration_years": (
                "Relative fall of present value per unit of rate: of the whole curve on parallel_0, of one rate on its "
                "own row; null on other rows and where there is no value. In years."
            ),
        },
    ),
]

_EXPOSURE = [
    _table(
        "credit.fct_exposure_month",
        "exposure",
        "contract_id month",
        (
            "One row per contract and month. "
            "What the vendor stands to lose, from the trial balance: gross, net of claims where they may be netted, "
            "and the most that the backstop can still cost beside it."
        ),
        (
            "contract_id month operator_id currency_code receivable_amount unbilled_amount claims_payable_amount "
            "gross_amount net_amount netting_enforceable allowance_amount max_backstop_exposure_amount "
            "gross_to_equity_fraction max_backstop_exposure_to_equity_fraction is_provisional"
        ),
        own={
            "receivable_amount": "Balance of trade_receivable, gross of allowance; positive is owed to the vendor.",
            "unbilled_amount": "Balance of unbilled_share_receivable; positive is earned and not yet invoiced.",
            "claims_payable_amount": "Balance of backstop_payable; positive is owed by the vendor.",
            "gross_amount": "Receivable and unbilled.",
            "net_amount": "Gross less claims payable, not below 0, where netting is enforceable; else gross.",
            "netting_enforceable": "True where the terms in force allow set-off and law enforces it.",
            "allowance_amount": "Balance of allowance_for_credit_losses, credit positive; in no sum of the row.",
            "max_backstop_exposure_amount": (
                "The most that the backstop can still cost: undiscounted, not netted, in no other sum; positive, null "
                "without a backstop."
            ),
            "gross_to_equity_fraction": (
                "gross_amount ÷ the issuer's equity last filed by the month's end. Fraction of equity: 0 to 1, above 1 "
                "where it exceeds it; null for contracts not in USD."
            ),
            "max_backstop_exposure_to_equity_fraction": (
                "max_backstop_exposure_amount ÷ the same equity. Fraction of equity: 0 to 1, above 1 where it exceeds "
                "it; null for contracts not in USD."
            ),
        },
    ),
    _table(
        "credit.fct_concentration_month",
        "exposure",
        "month dimension currency_code",
        (
            "One row per month, dimension and currency. "
            "How concentrated the exposure of all contracts of a currency is over the members of the dimension."
        ),
        (
            "month dimension currency_code member_count exposure_amount hhi effective_number top_1_fraction "
            "top_3_fraction exposure_to_equity_fraction total_exposure_to_equity_fraction hhi_gross "
            "max_backstop_exposure_amount hhi_max_backstop_exposure null_reason"
        ),
        own={
            "dimension": "contract, operator, parent, country, park or gpu_generation.",
            "member_count": "Members of the dimension, also those without exposure. A count.",
            "exposure_amount": (
                "Sum of the positive net exposures. Money in the contracts' currency (currency_code), two decimals."
            ),
            "hhi": "Herfindahl-Hirschman index of positive net exposures, 0 to 10,000; 10,000 is a single member.",
            "effective_number": "10,000 ÷ hhi: members of equal size that would be as concentrated.",
            "top_1_fraction": "Part of the largest member.",
            "top_3_fraction": "Part of the three largest members.",
            "exposure_to_equity_fraction": (
                "Net exposure of the largest member ÷ the issuer's equity last filed by the month's end. Fraction of "
                "equity: 0 to 1, above 1 where it exceeds it; null for currencies other than USD."
            ),
            "total_exposure_to_equity_fraction": (
                "exposure_amount ÷ the same equity. Fraction of equity: 0 to 1, above 1 where it exceeds it; null for "
                "currencies other than USD."
            ),
            "hhi_gross": "The index over gross exposures, 0 to 10,000.",
            "max_backstop_exposure_amount": (
                "The most that all backstops can still cost, undiscounted, in no other sum; positive, 0 without any. "
                "Money in the contracts' currency (currency_code), two decimals."
            ),
            "hhi_max_backstop_exposure": (
                "The index over what the backstops can still cost, 0 to 10,000; null where that is nothing."
            ),
            "null_reason": "Why hhi, effective_number and the fractions are null; null where they have values.",
        },
    ),
]

_STRESS = [
    _table(
        "credit.fct_stress_result",
        "stress",
        "scenario_id contract_id month",
        (
            "One row per stress scenario (and the baseline), contract and its latest month. "
            "Every scenario runs on the baseline's own random numbers, so that differences are the stress alone."
        ),
        (
            "scenario_id contract_id month scenario_name drivers source horizon_months path_count share_amount "
            "share_change_amount claim_amount claim_change_amount claim_standard_error_amount "
            "expected_credit_loss_amount expected_credit_loss_change_amount dscr covenant_breached null_reason "
            "currency_code"
        ),
        own={
            "scenario_id": "Stress scenario of the home, or baseline.",
            "month": "Latest month of the contract, at whose close the stress begins. First day of the month.",
            "scenario_name": "Title of the scenario.",
            "drivers": "What the scenario changes, as name = value; empty for the baseline.",
            "source": "Where the drivers' values come from; null where nothing is named.",
            "share_amount": "Expected share to the backstop's expiry, not discounted; positive is received.",
            "share_change_amount": "Share less that of the baseline; negative is lost.",
            "claim_amount": "Expected claims to the backstop's expiry after caps, not discounted; positive is paid out.",
            "claim_change_amount": "Claims less those of the baseline; positive costs more.",
            "claim_standard_error_amount": "Standard error of claim_amount, from pairs of mirrored paths; 0 or more.",
            "expected_credit_loss_amount": (
                "Expected credit loss of today's exposure under the posted standard; positive, null where the standard "
                "does not cover the receivable."
            ),
            "expected_credit_loss_change_amount": "Expected credit loss less that of the baseline; positive is worse.",
            "dscr": (
                "Debt service coverage of the operator's run rate (three months) under the stress, a ratio; null where "
                "its economics are not given."
            ),
            "covenant_breached": (
                "True where a covenant of the operator fails under the stress; null where its economics are not given."
            ),
            "null_reason": "Why dscr and covenant_breached are null; null where they have values.",
        },
    ),
]

_OPERATOR = [
    _table(
        "credit.fct_operator_economics_month",
        "operator",
        "operator_id park_id month",
        (
            "One row per operator, park and month. "
            "The operator's cash flow as accrued, who took what of it, and the coverage of its debt, as known today; "
            "costs and loans are those of the park's file, loans drawn in the month of the first energised tranche."
        ),
        (
            "operator_id park_id month currency_code revenue_amount claim_income_amount share_amount power_amount "
            "land_amount operation_amount cfads_amount interest_amount principal_amount debt_service_amount "
            "debt_outstanding_amount collateral_value_amount floor_revenue_amount unrecouped_advance_amount "
            "cumulative_vendor_take_amount cumulative_lender_take_amount cumulative_operator_take_amount dscr "
            "dscr_null_reason dscr_before_share llcr llcr_null_reason ltv_fraction ltv_fraction_null_reason "
            "floor_case_dscr floor_case_dscr_null_reason pledged_revenue_fraction pledged_revenue_fraction_null_reason "
            "tenor_gap_months tenor_gap_months_null_reason liquidity_months liquidity_months_null_reason "
            "residual_mark_fraction residual_mark_fraction_null_reason evidence_grade"
        ),
        own={
            "month": "Service month, in the zone of the park. First day of the month.",
            "revenue_amount": "Net billed to all tenants of the park; positive is received.",
            "claim_income_amount": "Claims on the vendor's backstop; positive is received.",
            "share_amount": "The vendor's share; positive is paid.",
            "power_amount": "Metered facility energy × tariff; positive is paid, null without a meter reading.",
            "land_amount": "Land; positive is paid.",
            "operation_amount": "Operation by GPU and days in service; positive is paid.",
            "cfads_amount": (
                "Cash flow available for debt service: revenue + claims − share − power − land − operation; null "
                "without a meter reading."
            ),
            "interest_amount": "Interest of the month, nominal rate ÷ 12 of what was outstanding; positive is paid.",
            "principal_amount": "Principal repaid in the month; positive is paid.",
            "debt_service_amount": "Interest and principal; positive is paid.",
            "debt_outstanding_amount": "Debt after the month's payment; positive is owed.",
            "collateral_value_amount": (
                "Value of the GPUs in service: policy hardware_price_per_gpu, straight line over hardware_life_months; "
                "positive."
            ),
            "floor_revenue_amount": (
                "What the backstop would pay if nothing were sold: (committed − deductible) × price, at most a monthly "
                "cap; positive."
            ),
            "unrecouped_advance_amount": "Advances granted and not yet recouped; positive is owed to the vendor.",
            "cumulative_vendor_take_amount": "Share less claims since the first month; negative where claims are more.",
            "cumulative_lender_take_amount": "Debt service since the first month; positive.",
            "cumulative_operator_take_amount": "CFADS less debt service since the first month; negative is a shortfall.",
            "dscr": "Debt service coverage, CFADS ÷ debt service of the month, a ratio.",
            "dscr_before_share": "The same before the vendor's share, a ratio; null where dscr is.",
            "llcr": (
                "Loan life coverage: present value, at the loans' mean rate, of the run rate's CFADS to the last "
                "maturity ÷ debt outstanding, a ratio. The run rate is the mean of three months."
            ),
            "ltv_fraction": "Debt outstanding ÷ collateral value. Fraction of the value: 0 to 1, above 1 where debt is more.",
            "floor_case_dscr": "Coverage by the backstop alone: (floor revenue − costs) ÷ debt service, a ratio.",
            "pledged_revenue_fraction": (
                "(Share + debt service) ÷ revenue: what of revenue is spoken for. Fraction of revenue: 0 to 1, above 1 "
                "where it is more."
            ),
            "tenor_gap_months": "Months to the last maturity less the weighted average lease term. In months.",
            "liquidity_months": (
                "(Cash + undrawn facilities of the operator's newest statement, reference/operator_facts.csv) ÷ costs and debt "
                "service of all its parks in a month at the run rate. In months."
            ),
            "residual_mark_fraction": (
                "Price of used hardware of the park's main GPU model ÷ what the lender's schedule holds it at "
                "(reference/hardware_values.csv). Fraction of the schedule: below 1 the collateral fetches less."
            ),
            "evidence_grade": "Weakest grade of the park's economics: P, S1, S2 or assumed.",
        },
    ),
    _table(
        "credit.fct_covenant_test_month",
        "operator",
        "contract_id covenant_id month",
        (
            "One row per contract, covenant and month. "
            "Every covenant in force and known at the close, measured each month; it bites in months that end its period."
        ),
        (
            "contract_id covenant_id month metric operator threshold lookback_months value value_null_reason headroom "
            "headroom_change months_to_breach is_tested passed cure_days consequence"
        ),
        own={
            "covenant_id": "Covenant as the contract names it; pledge_limits.<term> for a limit on what may be pledged.",
            "metric": (
                "What is watched: dscr, llcr, ltv, min_occupancy, leverage, min_contracted_coverage (leased for the next twelve months ÷ "
                "supply), concentration (largest tenant's part of revenue), pledged_revenue (share and debt service ÷ revenue), "
                "pledged_assets (collateral after haircut ÷ hardware), min_liquidity (in months); a ratio or fraction."
            ),
            "operator": "How the value must stand to the threshold: >=, >, <= or <.",
            "threshold": "Threshold in the metric's own unit.",
            "lookback_months": "Months over which the value is taken: as agreed, else those of its period. In months.",
            "value": "Value in the metric's own unit, as known today; null where it cannot be measured.",
            "headroom": "Distance from the threshold on the right side, in the metric's unit; negative is a breach.",
            "headroom_change": "Headroom less that of the last month measured; negative is worse.",
            "months_to_breach": "Headroom ÷ its fall over the last month; 0 in breach, null where it does not fall. In months.",
            "is_tested": "True where the covenant's period (month, calendar quarter, calendar year) ends.",
            "passed": "True where the value meets the test; null where there is no value.",
            "cure_days": "Days to cure a breach, as agreed; null where none are. In days.",
            "consequence": "What a breach brings: sweep, lockup, step_up or default; null for a limit on what may be pledged.",
        },
    ),
    _table(
        "credit.fct_lock_in_month",
        "operator",
        "contract_id month",
        (
            "One row per contract and month. "
            "What ties the operator to its vendor under the terms in force at the close, and what leaving would cost."
        ),
        (
            "contract_id month operator_id vendor_id exclusivity_in_force exclusivity_scope exclusivity_months_left "
            "purchase_quota_fraction vendor_gpu_fraction gpus_under_exclusivity_count revenue_under_exclusivity_amount "
            "pledged_amount pledge_to_revenue_fraction exit_right_count operator_exit_cost_amount "
            "operator_exit_cost_null_reason vendor_exit_cost_amount vendor_exit_cost_null_reason "
            "lender_exit_cost_amount lender_exit_cost_null_reason operator_termination_amount vendor_termination_amount "
            "portability_obligation portability_met portability_met_null_reason currency_code"
        ),
        own={
            "vendor_id": "Vendor of the contract; key of core.dim_vendor.",
            "exclusivity_in_force": "True where the operator may not use other vendors' hardware in the scope.",
            "exclusivity_scope": "What is exclusive, as the contract says; null without exclusivity.",
            "exclusivity_months_left": "Months to the end of exclusivity; null without an end. In months.",
            "purchase_quota_fraction": "Part of purchases that must come from the vendor; null where none is agreed.",
            "vendor_gpu_fraction": "GPUs in service under this vendor's contracts ÷ all of the operator's.",
            "gpus_under_exclusivity_count": "GPUs in service that exclusivity binds. A count.",
            "revenue_under_exclusivity_amount": "Revenue of the month that exclusivity binds; positive.",
            "pledged_amount": "Collateral after haircut; positive.",
            "pledge_to_revenue_fraction": (
                "Pledged ÷ twelve times the month's revenue. Fraction of revenue: 0 to 1, above 1 where it is more."
            ),
            "exit_right_count": "Exit rights agreed. A count.",
            "operator_exit_cost_amount": (
                "Fee of the operator's exit right, where stated in months of buy-back price on the installed capacity; "
                "positive is paid."
            ),
            "operator_exit_cost_null_reason": "Why operator_exit_cost_amount is null; null where it has a value.",
            "vendor_exit_cost_amount": "Share of a year at the mean of the last twelve months: what the vendor gives up.",
            "vendor_exit_cost_null_reason": "Why vendor_exit_cost_amount is null; null where it has a value.",
            "lender_exit_cost_amount": "Debt that the backstop's maximum stood behind; positive.",
            "lender_exit_cost_null_reason": "Why lender_exit_cost_amount is null; null where it has a value.",
            "operator_termination_amount": (
                "Dearest early end of the backstop that the operator would have to pay for; positive, null where none is agreed."
            ),
            "vendor_termination_amount": (
                "Dearest early end of the backstop that the vendor would have to pay for; positive, null where none is agreed."
            ),
            "portability_obligation": "obliged, waived or not agreed: whether who leaves takes data and workloads along.",
            "portability_met": (
                'Whether who left was given them, by the payload of the last termination known at the close ({"ported": true}); null '
                "while nobody has left."
            ),
        },
    ),
]

_REVERSE = [
    _table(
        "credit.fct_reverse_stress",
        "stress",
        "contract_id month target driver",
        (
            "One row per contract, its latest month, target and driver. "
            "The level of one driver alone at which a covenant, a limit on pledges or a cap breaks, on the run rate of the "
            "last three months."
        ),
        "contract_id month target driver level null_reason value_today threshold",
        own={
            "target": (
                "covenant:<covenant_id> (pledge_limits.<term> among them); of the backstop period_cap, annual_cap or "
                "lifetime_cap; of the share share_period_cap, share_lifetime_cap or share_return_multiple_cap. What is left of "
                "a lifetime cap stands against the run rate to expiry."
            ),
            "driver": (
                "price_change_fraction, occupancy_change_fraction, power_price_multiple or rate_shift_bp, as in scenarios."
            ),
            "level": "Level of the driver at which the target breaks, in the driver's unit.",
            "null_reason": "Why there is no level: broken today, does not break in the range searched, or not measured.",
            "value_today": "The covenant's value, or claims or share at the run rate over the cap's time, in the target's unit.",
            "threshold": "Where it breaks, in the target's unit.",
        },
    ),
]

_DEALS = [
    _table(
        "credit.fct_deal_comparison",
        "deals",
        "case_id deal_id contract_year",
        (
            "One row per case, deal and contract year ahead. "
            "The park, leases and random numbers of a booked contract under its own and other terms, undiscounted; the "
            "hardware sale is the same under all deals and stands in none."
        ),
        (
            "case_id deal_id contract_year vendor_id month months path_count revenue_amount vendor_take_amount "
            "vendor_share_amount vendor_claim_amount vendor_risk_amount operator_take_amount operator_risk_amount "
            "lender_take_amount lender_shortfall_amount lender_shortfall_probability take_null_reason "
            "effective_take_fraction lock_in_score_components exclusivity_in_force purchase_quota_fraction "
            "pledged_amount vendor_exit_cost_amount operator_exit_cost_amount operator_exit_cost_null_reason "
            "lender_exit_cost_amount currency_code"
        ),
        own={
            "case_id": "Booked contract whose park, leases and paths are used; key of core.dim_contract.",
            "deal_id": "Contract or deal whose terms are used, or none: no share and no backstop.",
            "contract_year": "Year of the case's contract, from 1; the first shown may be cut by the close.",
            "vendor_id": "Vendor of the deal; null for none.",
            "month": "Latest month of the case, after which the paths begin. First day of the month.",
            "months": "Months of the year that lie ahead. In months.",
            "revenue_amount": "Mean of what tenants pay until the operator's default; positive.",
            "vendor_take_amount": "Mean of share + resale − claims − loss on the receivable; negative is a loss.",
            "vendor_share_amount": "Mean share; positive.",
            "vendor_claim_amount": "Mean claims after caps; positive is paid out.",
            "vendor_risk_amount": "Mean of the vendor's loss (less its take) on the worst 1 % of paths; negative is a gain.",
            "operator_take_amount": (
                "Mean of revenue − share + claims − costs at the run rate − debt service; negative is a shortfall."
            ),
            "operator_risk_amount": "Mean of the operator's shortfall on the worst 1 % of paths; negative is a surplus.",
            "lender_take_amount": "Debt service due in the year; positive.",
            "lender_shortfall_amount": "Mean of what cash flow leaves unpaid of it; positive.",
            "lender_shortfall_probability": "Part of the paths on which anything is left unpaid. Probability, 0 to 1.",
            "take_null_reason": "Why the operator's and lender's figures are null; null where they have values.",
            "effective_take_fraction": "Vendor take ÷ revenue; negative where the vendor pays. Fraction of revenue: 0 to 1.",
            "lock_in_score_components": "Exclusivity, quota, pledge, exit rights and portability of the deal, as JSON.",
            "exclusivity_in_force": "True where the deal binds the operator to the vendor's hardware.",
            "purchase_quota_fraction": "Part of purchases that must come from the vendor; null where none is agreed.",
            "pledged_amount": "Collateral of the deal after haircut; positive.",
            "vendor_exit_cost_amount": "Expected share ahead, which leaving would cost the vendor; positive.",
            "operator_exit_cost_amount": "Exit fee; where no exit right is agreed, the expected claims ahead; positive.",
            "operator_exit_cost_null_reason": "Why operator_exit_cost_amount is null; null where it has a value.",
            "lender_exit_cost_amount": "Expected claims ahead that stand behind the debt, at most the debt; positive.",
        },
    ),
]

_METRICS = [
    _table(
        "monitor.dim_metric",
        "metrics",
        "metric",
        "One row per metric. Forty-eight numbers; where one holds several figures, each has a name of its own.",
        "metric metric_no title formula unit better source",
        own={
            "metric": "Name of the metric, its unit last.",
            "metric_no": "Number in the list of forty-eight, 1 to 48.",
            "title": "Name for readers.",
            "formula": "How it is computed, in words.",
            "unit": "Unit of the value; currency is that of the row's currency_code.",
            "better": "up, down or none: which way is good for the vendor's investor.",
            "source": "Where the formula comes from.",
        },
    ),
    _table(
        "monitor.fct_metric_month",
        "metrics",
        "metric entity_level entity_id month",
        (
            "One row per metric, level, entity and month. "
            "The programme's ratios are ratios of sums, never means of ratios; lease books and economics are as known "
            "today."
        ),
        "metric entity_level entity_id month value null_reason evidence_grade currency_code",
        own={
            "metric": "Metric; key of monitor.dim_metric.",
            "entity_level": "park, contract, programme or issuer.",
            "entity_id": "Park, contract or issuer; programme for the programme.",
            "month": "Month that closes; for an issuer that in which its quarter ends. First day of the month.",
            "value": "Value, in the unit of monitor.dim_metric.",
            "null_reason": "Why there is no value; null where there is one.",
            "evidence_grade": (
                "Grade of the weakest thing the figure rests on: P, S1, V, I, S2, or assumed (policies, simulated feeds)."
            ),
            "currency_code": "ISO 4217 code where the value is money; null otherwise.",
        },
    ),
    _table(
        "monitor.fct_alert",
        "metrics",
        "alert_id",
        (
            "One row per rule, entity and unbroken run of months in which the rule found something. "
            "Months of which a rule cannot say anything neither raise nor clear."
        ),
        (
            "alert_id rule_id kind metric entity_level entity_id month rule severity value measured_value threshold "
            "evidence_grade raised_at cleared_at"
        ),
        own={
            "alert_id": "Rule, level, entity and first month.",
            "rule_id": "Rule as alerts.yaml names it; the shipped ones without that file.",
            "kind": "level, change, trend, countdown or missing: how the rule measures.",
            "metric": "Metric that is watched; key of monitor.dim_metric.",
            "entity_level": "park, contract, programme or issuer.",
            "entity_id": "Park, contract or issuer; programme for the programme.",
            "month": "First month in which the rule found something. First day of the month.",
            "rule": "What went wrong, in words.",
            "severity": "critical or warning.",
            "value": "Value in that month, in the unit of monitor.dim_metric; null where it is missing.",
            "measured_value": (
                "What the rule measured: the value, its change, its change a month, the months left, or the months missing."
            ),
            "threshold": "What the measured value is held against; a fall is written as a positive number.",
            "evidence_grade": "Grade of the metric in that month: P, S1, V, I, S2 or assumed.",
            "raised_at": "Close of that month. Instant, UTC.",
            "cleared_at": "Close of the first month after it in which the rule found nothing; null while it lasts. Instant, UTC.",
        },
    ),
]

_QUALITY = [
    _table(
        "quality.fct_landed_file",
        QUALITY,
        "file_id park_id feed",
        (
            "One row per content of a file, park and feed in which it landed. "
            "row_count = landed + duplicate + superseded + quarantined: nothing else can happen to a row."
        ),
        (
            "file_id park_id feed format path received_at size_bytes row_count landed_count duplicate_count "
            "superseded_count quarantined_count state reason"
        ),
        own={
            "file_id": "SHA-256 of the file's content, hexadecimal.",
            "feed": "Feed as its folder in the landing area names it.",
            "format": "Format in which the file was read; null where none fits.",
            "path": "Path relative to the home; of several with one content the first by name.",
            "received_at": "The home's clock when the content first landed. Instant, UTC.",
            "size_bytes": "Size of the file, in bytes.",
            "row_count": "Rows of the file; 0 where the whole file was rejected. A count.",
            "landed_count": "Rows that count: the last of their natural key. A count.",
            "duplicate_count": "Rows that say the same as the one before them with the same key. A count.",
            "superseded_count": "Rows that a later one with the same key and other content replaces. A count.",
            "quarantined_count": "Rows that broke a rule; each is in quality.fct_quarantined_row. A count.",
            "state": "landed, rejected (the file as a whole), or superseded (no row of it counts any more).",
            "reason": "Rule that the file broke, and how; null unless rejected.",
        },
    ),
    _table(
        "quality.fct_quarantined_row",
        QUALITY,
        "file_id line_no park_id feed",
        (
            "One row per line of a file, park and feed that broke a rule. "
            "Its own text is kept, so that it can be mended and landed again."
        ),
        "file_id line_no park_id feed rule column_name row_text recorded_at service_date",
        own={
            "file_id": "Content of the file, SHA-256; with park_id and feed key of quality.fct_landed_file.",
            "line_no": "Line or record of the file, from 1.",
            "feed": "Feed as its folder in the landing area names it.",
            "rule": "Rule that the row broke; of several the first.",
            "column_name": "Column that broke it; null where the row as a whole did.",
            "row_text": "The row as it came: a CSV line, or its cells as a JSON object.",
            "recorded_at": "The home's clock when the file first landed. Instant, UTC.",
            "service_date": "Day of the park's zone that the row is of; null where it cannot be read, or the feed has no days.",
        },
    ),
    _table(
        "quality.fct_row_warning",
        QUALITY,
        "file_id line_no park_id feed rule column_name",
        "One row per row of a file and rule that it breaks, where the rule only warns. The row counts all the same.",
        "file_id line_no park_id feed rule column_name row_text recorded_at service_date",
        own={
            "file_id": "Content of the file, SHA-256; with park_id and feed key of quality.fct_landed_file.",
            "line_no": "Line or record of the file, from 1.",
            "feed": "Feed as its folder in the landing area names it.",
            "rule": "Rule that the row breaks; policies say which rules warn.",
            "column_name": "Column that breaks it; null where the row as a whole does.",
            "row_text": "The row as it came: a CSV line, or its cells as a JSON object.",
            "recorded_at": "The home's clock when the file first landed. Instant, UTC.",
            "service_date": "Day of the park's zone that the row is of; null where it cannot be read, or the feed has no days.",
        },
    ),
    _table(
        "quality.fct_released_row",
        QUALITY,
        "file_id line_no park_id feed released_file_id",
        "One row per quarantined row that was mended and released. It stays in quality.fct_quarantined_row as it came.",
        "park_id feed file_id line_no released_file_id released_line_no note",
        own={
            "feed": "Feed as its folder in the landing area names it.",
            "file_id": "Content of the file that was refused in part; key of quality.fct_quarantined_row.",
            "line_no": "Line or record of that file, from 1.",
            "released_file_id": "Content of the file in which the mended row landed; key of quality.fct_landed_file.",
            "released_line_no": "Line of the mended row in that file.",
            "note": "Why it was released, in the words of who did; null where nothing was said.",
        },
    ),
    _table(
        "quality.fct_held_partition",
        QUALITY,
        "park_id feed service_date rule",
        (
            "One row per park, feed and day that is held back, and rule that a policy has block. Nothing that landed with "
            "the faulty row or after it is in the tables of that day, until the row is corrected by a valid one of the same key "
            "that is known no earlier, or mended and released."
        ),
        "park_id feed service_date rule broken_row_count held_row_count held_from_at path line_no",
        own={
            "feed": "Feed as its folder in the landing area names it.",
            "service_date": "Day of the park's zone that is held back.",
            "rule": "Rule that rows of the day break; policies say which rules block, and above which share of the rows.",
            "broken_row_count": "Rows in quarantine that break it, uncorrected; one without a day counts on all days of its file. A count.",
            "held_row_count": "Rows that could be read and are held back with them. A count.",
            "held_from_at": "Landing time from which files are held back: that of the first file with such a row. Instant, UTC.",
            "path": "File of the first such row, relative to the home.",
            "line_no": "Its line or record, from 1.",
        },
    ),
    _table(
        "quality.fct_check_result",
        QUALITY,
        "run_id check_name",
        "One row per run and check. What was measured stands beside what was expected, also where the check passed.",
        "run_id check_name table_name severity passed measured expected",
        own={
            "run_id": "Run that made the check; key of quality.fct_run.",
            "check_name": "What is checked.",
            "table_name": "Table that is checked, schema.table.",
            "severity": "What a failure means: an error stops publishing, a warning is shown and does not.",
            "passed": "True where the check passed.",
            "measured": "What was found, as text, in the check's own unit.",
            "expected": "What it had to be, as text, in the same unit.",
        },
    ),
    _table(
        "quality.fct_run",
        QUALITY,
        "run_id",
        "One row per run that stands in the snapshot.",
        "run_id started_at finished_at trigger code_version as_of rows_in rows_out",
        own={
            "run_id": "The run; it follows from the inputs, so equal inputs give the same one.",
            "started_at": (
                "The home's clock when the run began: time of the data, not of the machine, so that equal inputs give "
                "equal rows. Instant, UTC."
            ),
            "finished_at": "The home's clock when the run ended. Instant, UTC.",
            "trigger": "What began the run: the command line, a schedule or a sensor, with its name.",
            "code_version": "Version of the package and digest of its sources.",
            "as_of": "Last day that the run knows of: what was recorded after it, UTC, is in no table.",
            "rows_in": "Rows of all landed files. A count.",
            "rows_out": "Rows of the published tables, without those of checks and runs. A count.",
        },
    ),
]

_DBT = [
    _of_dbt("core.dim_park", "park_id", "park"),
    _of_dbt("core.dim_operator", "operator_id", "operator"),
    _of_dbt("core.dim_tenant", "tenant_id", "tenant"),
    _of_dbt("core.dim_vendor", "vendor_id", "vendor"),
    _of_dbt("core.dim_contract", "contract_id", "contract"),
    _of_dbt("core.dim_tranche", "tranche_id", "tranche"),
    _of_dbt("core.dim_lease", "lease_id version", "lease and version"),
    _of_dbt("core.dim_calendar", "calendar_date", "calendar day"),
    _of_dbt("core.dim_vendor_calendar", "vendor_id calendar_date", "vendor and calendar day"),
    _of_dbt(
        "core.fct_contract_terms",
        "contract_id instrument term valid_from amendment_id",
        "contract, instrument, term, first day of validity and amendment",
    ),
    _of_dbt("metering.fct_capacity_hour", "tranche_id interval_start_at", "tranche and hour of the park's clock"),
    _of_dbt("metering.fct_capacity_day", "tranche_id service_date", "tranche and service day"),
    _of_dbt("metering.fct_power_day", "park_id service_date", "park and service day"),
    _of_dbt("metering.fct_lease_revenue_day", "lease_id service_date", "lease and service day"),
    _of_dbt("metering.fct_metering_exceptions", "exception_id", "contradiction between leases, telemetry and meters"),
    _of_dbt(
        "revenue_share.fct_share_base_month",
        "contract_id service_month component",
        "contract, service month and component of the base",
    ),
    _of_dbt(
        "revenue_share.fct_share_tier_month", "contract_id service_month tier_no", "contract, service month and tier"
    ),
    _of_dbt("revenue_share.fct_share_month", "contract_id service_month", "contract and service month"),
    _of_dbt(
        "revenue_share.fct_share_line",
        "contract_id service_month lease_id",
        "contract, service month and lease",
        may_be_null="lease_id",  # a share that no lease has a part in, as a minimum of a month without leases
    ),
    _of_dbt(
        "revenue_share.fct_token_advance_month",
        "contract_id advance_id service_month",
        "contract, advance and service month since its grant",
    ),
    _of_dbt("backstop.fct_backstop_month", "tranche_id service_month", "tranche and service month"),
    _of_dbt("backstop.fct_capacity_balance_month", "tranche_id service_month use", "tranche, service month and use"),
    _of_dbt("backstop.fct_make_up_month", "contract_id service_month", "contract with make-up hours and service month"),
    _of_dbt("backstop.fct_backstop_cap_month", "contract_id service_month", "contract and service month"),
    _of_dbt(
        "backstop.fct_max_exposure_fiscal_year",
        "contract_id as_of_month vendor_fiscal_year",
        "contract, month as of which it is known, and fiscal year of the vendor",
    ),
    _of_dbt("ledger.dim_account", "account", "ledger account"),
    _of_dbt("ledger.fct_journal_lines", "entry_id line_no", "journal entry and line"),
    _of_dbt("ledger.dim_journal_event", "event", "event that the journal posts"),
    _of_dbt("ledger.fct_manual_journal", "contract_id event_id currency_code", "contract and entry by hand"),
    _of_dbt("ledger.fct_period_reopening", "contract_id posting_month reopened_at", "contract, month and reopening"),
    _of_dbt(
        "ledger.fct_statement_step",
        "contract_id statement service_month known_at step_no",
        "contract, statement, service month, close that changed it, and step",
    ),
    _of_dbt(
        "ledger.fct_statement_input",
        "contract_id service_month feed file_id",
        "contract, service month, feed and landed file that its statements rest on",
    ),
    _of_dbt(
        "ledger.fct_sealed_input",
        "contract_id posting_month service_month feed file_id",
        "contract, sealed month, service month, feed and landed file that a sealed statement rests on",
    ),
    _of_dbt("ledger.fct_receivable_document", "item_id", "document posted to trade receivable"),
]

TABLES: dict[str, Table] = {
    table.name: table
    for part in (
        _ISSUER, _RECEIVABLES, _COLLECTIONS, _CREDIT_LOSS, _BACKSTOP_WORTH, _EXPOSURE, _OPERATOR, _STRESS, _REVERSE, _DEALS,
        _METRICS, _QUALITY, _DBT
    )
    for table in part
}  # fmt: skip


def tables_of(group: str) -> list[Table]:
    """The tables of a group of the credit jobs, of ``quality`` or of ``dbt``, in the order in which they are listed;
    none for a group that there is not.
    """
    return [table for table in TABLES.values() if table.group == group]
