"""Every identity that the books must keep, recomputed from the published tables alone, in exact arithmetic.

Each is one SQL query over a snapshot that gives one row: how many cases were checked, how many break the identity, and
the figure that both sides come to. No tolerance is given anywhere: amounts and hours are decimals.
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration.publishing.catalogue import TABLES


@dataclass(frozen=True)
class Identity:
    """What must hold, over which tables, and the query that finds the cases that break it.

    Attributes:
        name: a sentence.
        tables: the tables it reads.
        sql: gives (checked BIGINT, broken BIGINT, figure VARCHAR).
    """

    name: str
    tables: str
    sql: str


@dataclass(frozen=True)
class Outcome:
    """An identity's outcome on one snapshot."""

    name: str
    tables: str
    passed: bool
    checked: int
    broken: int
    measured: str
    expected: str = "0 broken"


def _pairs(rows: str, left: str, right: str, figure: str) -> str:
    """Both sides of each row must be equal; a side that is null counts as nothing."""
    return (
        f"SELECT count(*), count(*) FILTER (WHERE coalesce({left}, 0) <> coalesce({right}, 0)), "
        f"coalesce(sum({figure}), 0)::VARCHAR FROM ({rows})"
    )


IDENTITIES = (
    Identity(
        "each row of a landed file is landed, duplicate, superseded or quarantined",
        "quality.fct_landed_file",
        _pairs(
            "FROM quality.fct_landed_file WHERE state <> 'rejected'",
            "row_count",
            "landed_count + duplicate_count + superseded_count + quarantined_count",
            "row_count",
        ),
    ),
    Identity(
        "quarantined rows of a file are the rows in quarantine",
        "quality.fct_landed_file, quality.fct_quarantined_row",
        _pairs(
            """SELECT f.quarantined_count AS counted, coalesce(q.quarantined, 0) AS quarantined
               FROM (FROM quality.fct_landed_file WHERE state <> 'rejected') AS f
               LEFT JOIN (SELECT file_id, park_id, feed, count(*) AS quarantined FROM quality.fct_quarantined_row GROUP BY ALL) AS q
               USING (file_id, park_id, feed)""",
            "counted",
            "quarantined",
            "counted",
        ),
    ),
    Identity(
        "hours of a day are the sum of its hours",
        "metering.fct_capacity_day, metering.fct_capacity_hour",
        _pairs(
            """SELECT d.installed_gpu_hours + d.available_gpu_hours + d.leased_gpu_hours + d.busy_gpu_hours AS of_day,
                      h.installed_gpu_hours + h.available_gpu_hours + h.leased_gpu_hours + h.busy_gpu_hours AS of_hours,
                      d.installed_gpu_hours
               FROM metering.fct_capacity_day AS d
               FULL JOIN (SELECT tranche_id, service_date, sum(installed_gpu_hours) AS installed_gpu_hours,
                                 sum(available_gpu_hours) AS available_gpu_hours, sum(leased_gpu_hours) AS leased_gpu_hours,
                                 sum(busy_gpu_hours) AS busy_gpu_hours
                          FROM metering.fct_capacity_hour GROUP BY ALL) AS h USING (tranche_id, service_date)""",
            "of_day",
            "of_hours",
            "installed_gpu_hours",
        ),
    ),
    Identity(
        "installed hours are third-party, vendor, bought-back, excluded, deductible and other unsold hours",
        "backstop.fct_capacity_balance_month, backstop.fct_backstop_month",
        _pairs(
            """SELECT m.installed_gpu_hours, u.gpu_hours FROM backstop.fct_backstop_month AS m
               FULL JOIN (SELECT tranche_id, service_month, sum(gpu_hours) AS gpu_hours
                          FROM backstop.fct_capacity_balance_month GROUP BY ALL) AS u USING (tranche_id, service_month)""",
            "installed_gpu_hours",
            "gpu_hours",
            "installed_gpu_hours",
        ),
    ),
    Identity(
        "the parts of the share base add up to the base",
        "revenue_share.fct_share_base_month",
        _pairs(
            # Each part stands with twelve decimals, so that their sum may be off in the last.
            """SELECT sum(amount) FILTER (WHERE component = 'base') AS base,
                      sum(amount) FILTER (WHERE component <> 'base') AS parts, count(*) AS part_count
               FROM revenue_share.fct_share_base_month GROUP BY contract_id, service_month""",
            "base",
            "CASE WHEN abs(base - parts) <= part_count * 1e-12::DECIMAL(38, 12) THEN base ELSE parts END",
            "base",
        ),
    ),
    Identity(
        "lines of a share add up to its month",
        "revenue_share.fct_share_line, revenue_share.fct_share_month",
        _pairs(
            """SELECT m.share_amount, l.line_amount FROM revenue_share.fct_share_month AS m
               FULL JOIN (SELECT contract_id, service_month, sum(share_amount) AS line_amount
                          FROM revenue_share.fct_share_line GROUP BY ALL) AS l USING (contract_id, service_month)""",
            "share_amount",
            "line_amount",
            "share_amount",
        ),
    ),
    Identity(
        "claimed and left is never more than the lifetime cap agreed",
        "backstop.fct_backstop_cap_month, core.fct_contract_terms",
        # Exposure is rounded year by year to its currency's minor unit, which may be a whole unit; what is left is not.
        """SELECT count(*), count(*) FILTER (
                      WHERE lifetime_cap_left_amount < 0
                      OR max_exposure_amount > lifetime_cap_left_amount + 0.5 * coalesce(year_count, 0)),
                  coalesce(sum(max_exposure_amount), 0)::VARCHAR
           FROM backstop.fct_backstop_cap_month
           LEFT JOIN (SELECT contract_id, as_of_month AS service_month, count(*) AS year_count
                      FROM backstop.fct_max_exposure_fiscal_year GROUP BY ALL) USING (contract_id, service_month)""",
    ),
    Identity(
        "exposure by fiscal year adds up to the maximum exposure",
        "backstop.fct_max_exposure_fiscal_year, backstop.fct_backstop_cap_month",
        _pairs(
            """SELECT c.max_exposure_amount, y.by_year FROM backstop.fct_backstop_cap_month AS c
               LEFT JOIN (SELECT contract_id, as_of_month AS service_month, sum(max_exposure_amount) AS by_year
                          FROM backstop.fct_max_exposure_fiscal_year GROUP BY ALL) AS y USING (contract_id, service_month)""",
            "max_exposure_amount",
            "by_year",
            "max_exposure_amount",
        ),
    ),
    Identity(
        "every journal entry sums to zero in each currency",
        "ledger.fct_journal_lines",
        _pairs(
            """SELECT sum(amount) AS total, 0 AS nothing, sum(greatest(amount, 0)) AS debit
               FROM ledger.fct_journal_lines GROUP BY entry_id, currency_code""",
            "total",
            "nothing",
            "debit",
        ),
    ),
    Identity(
        "the state hash of every closed month is that of its lines",
        "ledger.fct_period_close, ledger.fct_journal_lines",
        """SELECT count(*), count(*) FILTER (WHERE c.state_hash <> sha256(coalesce(l.lines_text, ''))
                                               OR c.line_count <> coalesce(l.line_count, 0)),
                  coalesce(sum(c.line_count), 0)::VARCHAR
           FROM ledger.fct_period_close AS c
           LEFT JOIN (SELECT contract_id, posting_month, count(*) AS line_count,
                             string_agg(concat_ws('|', entry_id, line_no, account, event, amount, currency_code, service_month,
                                                  epoch_us(posted_at), coalesce(corrects_entry_id, ''), coalesce(terms_version, '')),
                                        chr(10) ORDER BY entry_id, line_no) AS lines_text
                      FROM ledger.fct_journal_lines GROUP BY ALL) AS l USING (contract_id, posting_month)""",
    ),
    Identity(
        "no line of a closed month is provisional, and none was posted after its close",
        "ledger.fct_period_close, ledger.fct_journal_lines",
        """SELECT count(*), count(*) FILTER (WHERE l.is_provisional OR l.posted_at > c.closed_at), count(*)::VARCHAR
           FROM ledger.fct_journal_lines AS l JOIN ledger.fct_period_close AS c USING (contract_id, posting_month)""",
    ),
    Identity(
        "every correction names an entry of its own contract that was posted before it",
        "ledger.fct_journal_lines",
        """SELECT count(*), count(*) FILTER (WHERE e.entry_id IS NULL OR e.contract_id <> l.contract_id OR e.posted_at > l.posted_at),
                  count(*)::VARCHAR
           FROM (SELECT DISTINCT entry_id, contract_id, corrects_entry_id, posted_at FROM ledger.fct_journal_lines
                 WHERE corrects_entry_id IS NOT NULL) AS l
           LEFT JOIN (SELECT DISTINCT entry_id, contract_id, posted_at FROM ledger.fct_journal_lines) AS e
           ON e.entry_id = l.corrects_entry_id""",
    ),
    Identity(
        "every line is on an account of the chart of accounts",
        "ledger.fct_journal_lines, ledger.dim_account",
        """SELECT count(*), count(*) FILTER (WHERE a.account IS NULL), count(DISTINCT l.account)::VARCHAR
           FROM ledger.fct_journal_lines AS l LEFT JOIN ledger.dim_account AS a USING (account)""",
    ),
    Identity(
        "the trial balance of every month sums to zero",
        "ledger.fct_trial_balance_month",
        _pairs(
            """SELECT sum(closing_amount) AS total, 0 AS nothing, sum(greatest(closing_amount, 0)) AS debit
               FROM ledger.fct_trial_balance_month GROUP BY contract_id, posting_month, currency_code""",
            "total",
            "nothing",
            "debit",
        ),
    ),
    Identity(
        "the trial balance is the running sum of the journal",
        "ledger.fct_trial_balance_month, ledger.fct_journal_lines",
        _pairs(
            """SELECT b.closing_amount,
                      (SELECT sum(amount) FROM ledger.fct_journal_lines AS l
                       WHERE l.contract_id = b.contract_id AND l.account = b.account AND l.currency_code = b.currency_code
                         AND l.posting_month <= b.posting_month) AS posted
               FROM ledger.fct_trial_balance_month AS b""",
            "closing_amount",
            "posted",
            "abs(closing_amount)",
        ),
    ),
    Identity(
        "the receivable roll-forward foots",
        "credit.fct_receivable_rollforward_month",
        _pairs(
            "FROM credit.fct_receivable_rollforward_month",
            "closing_amount",
            """(opening_amount + invoices_amount - credit_notes_amount - applied_amount - set_off_amount
                - write_offs_amount + reinstated_amount + fx_amount)""",
            "closing_amount",
        ),
    ),
    Identity(
        "open items add up to the control account trade_receivable",
        "credit.fct_receivable_item, ledger.fct_trial_balance_month",
        _pairs(
            """SELECT i.open_amount, b.closing_amount
               FROM (SELECT contract_id, as_of_month AS posting_month, currency_code, sum(open_amount) AS open_amount
                     FROM credit.fct_receivable_item GROUP BY ALL) AS i
               FULL JOIN (FROM ledger.fct_trial_balance_month WHERE account = 'trade_receivable') AS b
               USING (contract_id, posting_month, currency_code)""",
            "open_amount",
            "closing_amount",
            "open_amount",
        ),
    ),
    Identity(
        "the receivable roll-forward closes at its control account",
        "credit.fct_receivable_rollforward_month",
        _pairs(
            "FROM credit.fct_receivable_rollforward_month", "closing_amount", "control_account_amount", "closing_amount"
        ),
    ),
    Identity(
        "receipts are applied, unapplied or refunded",
        "credit.fct_receivable_rollforward_month",
        _pairs(
            "FROM credit.fct_receivable_rollforward_month",
            "receipts_amount",
            "applied_amount + refunded_amount + unapplied_closing_amount - unapplied_opening_amount",
            "receipts_amount",
        ),
    ),
    Identity(
        "ageing adds up to open items",
        "credit.fct_ageing_month, credit.fct_receivable_rollforward_month",
        _pairs(
            """SELECT r.closing_amount, a.aged FROM credit.fct_receivable_rollforward_month AS r
               LEFT JOIN (SELECT contract_id, month, sum(open_amount + disputed_amount) AS aged
                          FROM credit.fct_ageing_month GROUP BY ALL) AS a USING (contract_id, month)""",
            "closing_amount",
            "aged",
            "closing_amount",
        ),
    ),
    Identity(
        "the allowance roll-forward foots",
        "credit.fct_allowance_rollforward_month",
        _pairs(
            "FROM credit.fct_allowance_rollforward_month",
            "closing_amount",
            """(opening_amount + adoption_amount + provision_amount - write_off_amount + recovery_amount
                + fx_amount + transfer_amount)""",
            "closing_amount",
        ),
    ),
    Identity(
        "the posted allowance closes at its control account",
        "credit.fct_allowance_rollforward_month",
        _pairs(
            "FROM credit.fct_allowance_rollforward_month WHERE posted",
            "closing_amount",
            "control_account_amount",
            "closing_amount",
        ),
    ),
)


def verify(path: Path) -> list[Outcome]:
    """Recompute every identity, and that every table's key is unique and complete.

    Args:
        path: a snapshot database; opened read-only.

    Returns:
        One outcome per identity and per table with a key.
    """
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("SET TimeZone='UTC'")
        present = {
            f"{s}.{t}" for s, t in connection.sql("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
        }
        return [
            *(_outcome(connection, identity, present) for identity in IDENTITIES),
            *(_outcome(connection, identity, present) for identity in _key_identities(present)),
        ]


def _key_identities(present: set[str]) -> list[Identity]:
    return [
        Identity(
            f"the key of {table.name} is unique and complete",
            table.name,
            f"""SELECT count(*), count(*) - count(DISTINCT ({", ".join(table.key)},))
                       + count(*) FILTER (WHERE {" OR ".join(f"{column} IS NULL" for column in complete)}),
                       count(*)::VARCHAR
                FROM {table.name}""",
        )
        for table in TABLES.values()
        if table.key and table.name in present
        for complete in [[column for column in table.key if column not in table.may_be_null]]
    ]


def _outcome(connection: duckdb.DuckDBPyConnection, identity: Identity, present: set[str]) -> Outcome:
    missing = [table for table in identity.tables.split(", ") if table not in present]
    if missing:
        return Outcome(
            identity.name, identity.tables, False, 0, 0, f"table {', '.join(missing)} is not in the snapshot"
        )
    checked, broken, figure = connection.sql(identity.sql).fetchall()[0]
    return Outcome(
        identity.name, identity.tables, broken == 0, checked, broken, f"{broken} broken of {checked}, figure {figure}"
    )
