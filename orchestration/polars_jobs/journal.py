"""Double entry: what should stand at each close, less what is posted, becomes an entry of two lines; and the trial
balance over all lines.

Amounts are debit positive, credit negative. Closed months never change: an entry is a function of what should stand
at the closes up to its own, so that a later close can only add entries (DOMAIN.md, 6; READINGS.md, 41). The lines of a
sealed month stand as they were kept: what should have stood there otherwise is posted at the next close. What an event
is worth does not belong here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from orchestration.polars_jobs.frames import UTC_TIME
from orchestration.polars_jobs.money import MONEY

JOURNAL_SCHEMA: dict[str, Any] = {
    "entry_id": pl.String,
    "line_no": pl.Int32,
    "contract_id": pl.String,
    "account": pl.String,
    "event": pl.String,
    "amount": MONEY,
    "currency_code": pl.String,
    "service_month": pl.Date,
    "posting_month": pl.Date,
    "posted_at": UTC_TIME,
    "is_provisional": pl.Boolean,
    "corrects_entry_id": pl.String,
    "terms_version": pl.String,
    "run_id": pl.String,
}

TRIAL_BALANCE_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "account": pl.String,
    "posting_month": pl.Date,
    "currency_code": pl.String,
    "opening_amount": MONEY,
    "debit_amount": MONEY,
    "credit_amount": MONEY,
    "closing_amount": MONEY,
}

# event: (debit account, credit account)
CREDIT_EVENTS = {
    "apply_cash": ("unapplied_cash", "trade_receivable"),
    "set_off": ("backstop_payable", "trade_receivable"),
    "late_interest": ("interest_receivable", "late_interest_income"),
    "invoice_interest": ("trade_receivable", "interest_receivable"),
    "late_interest_on_claims": ("late_interest_cost", "interest_payable"),
    "pay_claim_interest": ("interest_payable", "backstop_payable"),
    "provision": ("credit_loss_expense", "allowance_for_credit_losses"),
    "stand_ready_inception": ("stand_ready_cost", "stand_ready_liability"),
    "stand_ready_release": ("stand_ready_liability", "stand_ready_income"),
    "contingent_loss": ("backstop_contingent_loss", "backstop_contingent_liability"),
    "remeasure_derivative": ("derivative_gain_loss", "backstop_derivative_liability"),
    "claim_on_derivative": ("derivative_gain_loss", "backstop_cost"),
    "accrue_consideration": ("consideration_to_operator", "consideration_payable"),
    "claim_as_consideration": ("consideration_to_operator", "backstop_cost"),
    "lease_collectibility": ("lease_income_adjustment", "lease_receivable_reserve"),
    "lease_write_off": ("lease_receivable_reserve", "allowance_for_credit_losses"),
}
# What the application of cash posts; the others follow from what receivables and backstop are measured at.
CASH_EVENTS = (
    "apply_cash",
    "set_off",
    "late_interest",
    "invoice_interest",
    "late_interest_on_claims",
    "pay_claim_interest",
)

_MONEY_ZERO = pl.lit(Decimal("0.00"), dtype=MONEY)


@dataclass(frozen=True)
class Books:
    """What entries are posted into.

    Attributes:
        closes: contract_id, posting_month, known_at, is_provisional; is_sealed and reopening_no where months were sealed.
        terms: contract_id, posting_month, terms_version; optional.
        run_id: the run that posts.
        sealed: the lines of sealed months, of :data:`JOURNAL_SCHEMA`; optional. They count as posted.
    """

    closes: pl.DataFrame
    terms: pl.DataFrame | None = None
    run_id: str = "adhoc"
    sealed: pl.DataFrame | None = None

    def sealed_of(self, events: Iterable[str]) -> pl.DataFrame:
        """The sealed lines of some events."""
        lines = pl.DataFrame(schema=JOURNAL_SCHEMA) if self.sealed is None else self.sealed
        return lines.filter(pl.col("event").is_in(list(events)))


def post_differences(targets: pl.DataFrame, event: str, books: Books) -> pl.DataFrame:
    """Journal lines of one event from the cumulative amounts that should stand at each close.

    ``targets``: contract_id, service_month, posting_month (the close), currency_code, should_amount (cumulative,
    debit side positive). A (contract, service month) that is missing at a close should stand at zero there; a sealed
    close posts nothing. Returns frames of :data:`JOURNAL_SCHEMA` without the sealed lines, two lines an entry, none
    where nothing changed; a later entry for the same (contract, service month, event) names the first one as the entry
    that it corrects. Raises ``KeyError`` for an unknown event.
    """
    keys = ["contract_id", "service_month", "currency_code"]
    kept = _kept(books.sealed, event)
    named = pl.concat([targets.select(keys), kept.select(keys)]).unique()
    if named.is_empty():
        return pl.DataFrame(schema=JOURNAL_SCHEMA)
    grid = (
        named.join(_posting_closes(books.closes), on="contract_id")
        .join(targets.select(*keys, "posting_month", "should_amount"), on=[*keys, "posting_month"], how="left")
        .join(kept, on=[*keys, "posting_month"], how="left")
    )
    posted = _changes(grid, keys)
    if posted.is_empty():
        return pl.DataFrame(schema=JOURNAL_SCHEMA)
    return _name_entries(posted, event, books)


def post_standing(standing: pl.DataFrame, event: str, books: Books) -> pl.DataFrame:
    """Journal lines of one event from the balance that should stand at each close: each close posts the change since the
    one before as its own (service month = posting month), for a balance that is measured anew corrects nothing.

    ``standing``: contract_id, posting_month, currency_code, should_amount (debit side positive); a close without a row
    should stand at zero, a sealed close posts nothing. Result and errors as in :func:`post_differences`.
    """
    keys = ["contract_id", "currency_code"]
    kept = _kept(books.sealed, event).drop("service_month")
    named = pl.concat([standing.select(keys), kept.select(keys)]).unique()
    if named.is_empty():
        return pl.DataFrame(schema=JOURNAL_SCHEMA)
    grid = (
        named.join(_posting_closes(books.closes), on="contract_id")
        .join(standing.select(*keys, "posting_month", "should_amount"), on=[*keys, "posting_month"], how="left")
        .join(kept, on=[*keys, "posting_month"], how="left")
    )
    posted = _changes(grid, keys).with_columns(service_month=pl.col("posting_month"))
    if posted.is_empty():
        return pl.DataFrame(schema=JOURNAL_SCHEMA)
    return _name_entries(posted, event, books)


def _changes(grid: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """The amounts to post: by ``keys`` and in order of closes, what should stand less what stood before; nothing at a
    sealed close, and after one less what its lines have kept.

    ``grid``: keys, posting_month, is_sealed, should_amount, kept_amount (null: nothing), one row per close.
    """
    grid = grid.with_columns(pl.col("should_amount", "kept_amount").fill_null(_MONEY_ZERO).cast(MONEY)).sort(
        *keys, "posting_month"
    )
    before = pl.col("should_amount").shift(1).over(keys, order_by="posting_month")
    after_seal = pl.col("is_sealed").shift(1).over(keys, order_by="posting_month").fill_null(value=True)
    kept_so_far = pl.col("kept_amount").cum_sum().over(keys, order_by="posting_month")
    return grid.with_columns(
        amount=pl.when("is_sealed")
        .then(_MONEY_ZERO)
        .when(after_seal)
        .then(pl.col("should_amount") - kept_so_far)
        .otherwise(pl.col("should_amount") - before - pl.col("kept_amount"))
        .cast(MONEY)
    ).filter(pl.col("amount") != _MONEY_ZERO)


def post_amounts(amounts: pl.DataFrame, event: str, books: Books) -> pl.DataFrame:
    """Journal lines of one event whose amount at each close is its own: service month = posting month, no corrections.

    ``amounts``: contract_id, posting_month, currency_code, amount (debit side positive); result and errors as in
    :func:`post_differences`.
    """
    keys = ["contract_id", "posting_month", "currency_code"]
    posted = (
        amounts.select(*keys, "amount")
        .join(_posting_closes(books.closes), on=["contract_id", "posting_month"])
        .with_columns(service_month=pl.col("posting_month"))
        .join(_kept(books.sealed, event).drop("service_month"), on=keys, how="left")
        .with_columns(amount=(pl.col("amount") - pl.col("kept_amount").fill_null(_MONEY_ZERO)).cast(MONEY))
        .filter((pl.col("amount") != _MONEY_ZERO) & ~pl.col("is_sealed"))
    )
    if posted.is_empty():
        return pl.DataFrame(schema=JOURNAL_SCHEMA)
    return _name_entries(posted, event, books)


def _with_seals(closes: pl.DataFrame) -> pl.DataFrame:
    """The closes with is_sealed, reopening_no and prepared_by, which homes without sealed months need not give."""
    given = {
        "is_sealed": pl.lit(value=False),
        "reopening_no": pl.lit(0, dtype=pl.Int32),
        "prepared_by": pl.lit(None, dtype=pl.String),
    }
    return closes.with_columns(**{name: value for name, value in given.items() if name not in closes.columns})


def _posting_closes(closes: pl.DataFrame) -> pl.DataFrame:
    """What a posting takes of the closes."""
    return _with_seals(closes).select(
        "contract_id", "posting_month", "known_at", "is_provisional", "is_sealed", "reopening_no"
    )


def _kept(sealed: pl.DataFrame | None, event: str) -> pl.DataFrame:
    """What the sealed lines of an event hold on its debit side: contract, service and posting month, currency,
    kept_amount.
    """
    keys = ["contract_id", "service_month", "currency_code", "posting_month"]
    lines = pl.DataFrame(schema=JOURNAL_SCHEMA) if sealed is None else sealed
    return (
        lines.filter((pl.col("event") == event) & (pl.col("line_no") % 2 == 1))
        .group_by(keys)
        .agg(kept_amount=pl.col("amount").sum().cast(MONEY))
    )


def entry_name(event: str, *, many_currencies: bool = False) -> pl.Expr:
    """The id of an entry of the event, by contract_id, service_month, posting_month and reopening_no; with its
    currency_code where a contract posts several.
    """
    month = "%Y-%m"
    return pl.concat_str(
        "contract_id",
        pl.lit(":"),
        pl.col("service_month").dt.strftime(month),
        pl.lit(f":{event}:"),
        pl.col("posting_month").dt.strftime(month),
        pl.concat_str(pl.lit(":"), pl.col("currency_code")) if many_currencies else pl.lit(""),
        # A month that was reopened posts beside what it had posted before.
        pl.when(pl.col("reopening_no") > 0)
        .then(pl.concat_str(pl.lit(":"), pl.col("reopening_no") + 1))
        .otherwise(pl.lit("")),
    )


def _name_entries(posted: pl.DataFrame, event: str, books: Books) -> pl.DataFrame:
    """Name each posted amount, the entry that it corrects and its terms version, and write its two lines."""
    keys = ["contract_id", "service_month", "currency_code"]
    many_currencies = posted.select(
        pl.struct("contract_id", "service_month", "posting_month").is_duplicated().any()
    ).item()
    entries = posted.with_columns(
        entry_id=entry_name(event, many_currencies=many_currencies),
        event=pl.lit(event),
        run_id=pl.lit(books.run_id),
        posted_at=pl.col("known_at"),
    ).sort(*keys, "posting_month")
    entries = (
        entries.with_columns(first=pl.col("entry_id").first().over(keys, order_by="posting_month"))
        .join(_first_sealed(books.sealed, event), on=keys, how="left")
        .with_columns(first=pl.coalesce("sealed_first", "first"))
        .with_columns(
            corrects_entry_id=pl.when(pl.col("first") != pl.col("entry_id")).then(pl.col("first")).otherwise(None)
        )
    )
    if books.terms is None:
        entries = entries.with_columns(terms_version=pl.lit(None, dtype=pl.String))
    else:
        entries = entries.join(books.terms, on=["contract_id", "posting_month"], how="left")
    return two_lines(entries, *CREDIT_EVENTS[event])


def _first_sealed(sealed: pl.DataFrame | None, event: str) -> pl.DataFrame:
    """The first sealed entry of the event by contract, service month and currency."""
    lines = pl.DataFrame(schema=JOURNAL_SCHEMA) if sealed is None else sealed
    return (
        lines.filter(pl.col("event") == event)
        .sort("posted_at", "entry_id", "line_no")
        .group_by("contract_id", "service_month", "currency_code", maintain_order=True)
        .agg(sealed_first=pl.col("entry_id").first())
    )


def two_lines(entries: pl.DataFrame, debit_account: str, credit_account: str) -> pl.DataFrame:
    """Turn entries (one row each, ``amount`` on the debit side) into their two signed lines, sorted by posting month,
    entry and line.
    """
    debit = entries.with_columns(line_no=pl.lit(1, dtype=pl.Int32), account=pl.lit(debit_account))
    credit = entries.with_columns(
        line_no=pl.lit(2, dtype=pl.Int32), account=pl.lit(credit_account), amount=(-pl.col("amount")).cast(MONEY)
    )
    lines = pl.concat([debit.select(list(JOURNAL_SCHEMA)), credit.select(list(JOURNAL_SCHEMA))])
    # The warehouse may give its instants in another unit; the journal has one.
    return lines.cast(pl.Schema(JOURNAL_SCHEMA)).sort("posting_month", "entry_id", "line_no")


def sealed_lines(frame: pl.DataFrame | None, run_id: str = "adhoc") -> pl.DataFrame:
    """The lines of sealed months that the credit jobs had posted (``raw.sealed_line``, origin credit), as
    :data:`JOURNAL_SCHEMA`; none where no month was sealed.
    """
    if frame is None or frame.is_empty():
        return pl.DataFrame(schema=JOURNAL_SCHEMA)
    return (
        frame.filter(pl.col("origin") == "credit")
        .with_columns(is_provisional=pl.lit(value=False), run_id=pl.lit(run_id))
        .select(list(JOURNAL_SCHEMA))
        .cast(pl.Schema(JOURNAL_SCHEMA))
    )


def union_lines(*parts: pl.DataFrame) -> pl.DataFrame:
    """All journal lines in one frame of :data:`JOURNAL_SCHEMA`, in a fixed order. Raises ``ValueError`` if an
    (entry_id, line_no) comes twice or an entry does not sum to zero.
    """
    lines = pl.concat([part.select(list(JOURNAL_SCHEMA)).cast(pl.Schema(JOURNAL_SCHEMA)) for part in parts])
    if lines.select(pl.struct("entry_id", "line_no").is_duplicated().any()).item():
        raise ValueError("a journal line comes twice: (entry_id, line_no) must be unique")
    unbalanced = lines.group_by("entry_id", "currency_code").agg(pl.col("amount").sum()).filter(pl.col("amount") != 0)
    if not unbalanced.is_empty():
        raise ValueError(f"entries that do not sum to zero: {', '.join(sorted(unbalanced['entry_id'].to_list())[:5])}")
    return lines.sort("posting_month", "entry_id", "line_no")


def trial_balance(lines: pl.DataFrame, closes: pl.DataFrame) -> pl.DataFrame:
    """Opening, debit, credit and closing of each contract, account and posting month; one row for every month from
    the contract's first close to its last.

    ``lines``: at least contract_id, account, amount, currency_code, posting_month. ``closes``: contract_id,
    posting_month. Debits and credits are positive magnitudes; opening and closing are debit positive; closing =
    opening + debit − credit, and all closings of a contract and month sum to zero per currency.
    """
    if lines.is_empty():
        return pl.DataFrame(schema=TRIAL_BALANCE_SCHEMA)
    keys = ["contract_id", "account", "currency_code"]
    months = pl.concat(
        [closes.select("contract_id", "posting_month"), lines.select("contract_id", "posting_month")]
    ).unique()
    movement = lines.group_by(*keys, "posting_month").agg(
        debit_amount=pl.col("amount").filter(pl.col("amount") > 0).sum(),
        credit_amount=-pl.col("amount").filter(pl.col("amount") < 0).sum(),
    )
    first = lines.group_by(keys).agg(first_month=pl.col("posting_month").min())
    grid = (
        first.join(months, on="contract_id")
        .filter(pl.col("posting_month") >= pl.col("first_month"))
        .join(movement, on=[*keys, "posting_month"], how="left")
        .with_columns(pl.col("debit_amount", "credit_amount").cast(MONEY).fill_null(_MONEY_ZERO))
        .sort(*keys, "posting_month")
        .with_columns(
            closing_amount=(pl.col("debit_amount") - pl.col("credit_amount"))
            .cum_sum()
            .over(keys, order_by="posting_month")
        )
        .with_columns(opening_amount=pl.col("closing_amount") - pl.col("debit_amount") + pl.col("credit_amount"))
    )
    return (
        grid.select(list(TRIAL_BALANCE_SCHEMA))
        .cast(pl.Schema(TRIAL_BALANCE_SCHEMA))
        .sort("contract_id", "posting_month", "account", "currency_code")
    )


PERIOD_CLOSE_SCHEMA: dict[str, Any] = {
    "contract_id": pl.String,
    "posting_month": pl.Date,
    "closed_at": UTC_TIME,
    "closed_by": pl.String,
    "reopening_no": pl.Int32,
    "line_count": pl.Int32,
    "state_hash": pl.String,
    "prepared_by": pl.String,
}
# What a line is, for the hash of its month: all but the run that wrote it and whether it was provisional.
HASHED_COLUMNS = (
    "entry_id",
    "line_no",
    "account",
    "event",
    "amount",
    "currency_code",
    "service_month",
    "posted_at",
    "corrects_entry_id",
    "terms_version",
)


def period_closes(lines: pl.DataFrame, closes: pl.DataFrame) -> pl.DataFrame:
    """``ledger.fct_period_close``: the closed months, each with the SHA-256 of all its lines.

    ``lines``: the whole journal. ``closes``: contract_id, posting_month, known_at, closed_by, is_provisional,
    reopening_no. The hashed text has one line for each journal line, in the order (entry_id, line_no): the columns
    :data:`HASHED_COLUMNS` joined by ``|``, instants in microseconds since 1970, nothing for a null. A month without
    lines has the hash of the empty text.
    """
    return (
        _with_seals(closes)
        .filter(~pl.col("is_provisional"))
        .join(state_hashes(lines), on=["contract_id", "posting_month"], how="left")
        .with_columns(
            pl.col("line_count").fill_null(0),
            closed_at=pl.col("known_at"),
            state_hash=pl.col("state_hash").fill_null(hashlib.sha256(b"").hexdigest()),
        )
        .select(list(PERIOD_CLOSE_SCHEMA))
        .cast(pl.Schema(PERIOD_CLOSE_SCHEMA))
        .sort("contract_id", "posting_month")
    )


def state_hashes(lines: pl.DataFrame) -> pl.DataFrame:
    """SHA-256 of the lines of each contract and posting month that has any: contract_id, posting_month, line_count,
    state_hash.
    """
    text = lines.sort("contract_id", "posting_month", "entry_id", "line_no").select(
        "contract_id",
        "posting_month",
        line=pl.concat_str(
            *(
                pl.col(name).dt.epoch("us").cast(pl.String)
                if name == "posted_at"
                else pl.col(name).cast(pl.String).fill_null("")
                for name in HASHED_COLUMNS
            ),
            separator="|",
        ),
    )
    return (
        text.group_by("contract_id", "posting_month", maintain_order=True)
        .agg(line_count=pl.len().cast(pl.Int32), text=pl.col("line").str.join("\n"))
        .with_columns(
            state_hash=pl.col("text").map_elements(
                lambda value: hashlib.sha256(value.encode()).hexdigest(), return_dtype=pl.String
            )
        )
        .drop("text")
    )


def terms_in_force(lines: pl.DataFrame, closes: pl.DataFrame) -> pl.DataFrame:
    """The terms version that each contract's journal last named at or before each close: contract_id, posting_month,
    terms_version.
    """
    named = (
        lines.filter(pl.col("terms_version").is_not_null())
        .sort("contract_id", "posting_month", "service_month", "entry_id", "line_no")
        .unique(["contract_id", "posting_month"], keep="last", maintain_order=True)
        .select("contract_id", "posting_month", "terms_version")
        .sort("posting_month")
    )
    return (
        closes.select("contract_id", "posting_month")
        .sort("posting_month")
        .join_asof(named, on="posting_month", by="contract_id", check_sortedness=False)
        .sort("contract_id", "posting_month")
    )


def account_balances(balance: pl.DataFrame, account: str) -> pl.DataFrame:
    """Closing amount (debit positive) of one account: contract_id, month, currency_code, closing_amount; out of a
    trial balance.
    """
    return balance.filter(pl.col("account") == account).select(
        "contract_id", pl.col("posting_month").alias("month"), "currency_code", "closing_amount"
    )
