"""The product in a fresh home, and what it publishes against a calculation by hand from the same landing files."""

import hashlib
import io
import json
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest
from by_hand import BILLED_KINDS, REDUCING_KINDS, Landing, Month, instant, rounded
from conftest import CONTRACT, PARKS, REPOSITORY, copy_home, everything_in, parkledger, parquet_hashes
from rich.console import Console
from ruamel.yaml import YAML
from simulated_home import NORTH, SOUTH

from orchestration.checks import filled
from orchestration.expectations.covered import SUITES, TELEMETRY_SAMPLE
from orchestration.settings import Settings
from orchestration.status_command import home_status
from orchestration.status_screen import print_status

pytestmark = pytest.mark.published

CLOCK = datetime(2027, 4, 21, tzinfo=UTC)
NORTH_ZONE, SOUTH_ZONE = ZoneInfo("Asia/Jakarta"), ZoneInfo("Australia/Sydney")
MONTHS = (1, 2, 3)


@pytest.fixture(scope="module")
def north(finished: Path) -> Landing:
    return Landing(finished, NORTH, CLOCK)


@pytest.fixture(scope="module")
def terms(finished: Path) -> Any:
    return YAML(typ="safe").load((finished / "contracts" / f"{CONTRACT}.yaml").read_text())["versions"][0]


def one(connection: duckdb.DuckDBPyConnection, query: str, *values: object) -> Any:
    (row,) = connection.execute(query, list(values)).fetchall()
    return row[0] if len(row) == 1 else row


def first_of(month: int) -> date:
    return date(2027, month, 1)


@pytest.mark.parametrize("month", MONTHS)
def test_billed_hours_and_gross_are_those_of_leases_and_usage(
    published: duckdb.DuckDBPyConnection, north: Landing, month: int
) -> None:
    expected: defaultdict[str, list[Fraction]] = defaultdict(lambda: [Fraction(0), Fraction(0)])
    for lease, hours in north.billed(Month(2027, month, NORTH_ZONE)):
        expected[lease["lease_id"]][0] += hours
        expected[lease["lease_id"]][1] += hours * Fraction(lease["price_per_gpu_hour"])
    found = published.execute(
        "SELECT lease_id, sum(billed_gpu_hours), sum(gross_billed_amount) FROM metering.fct_lease_revenue_day "
        "WHERE park_id = ? AND date_trunc('month', service_date) = ? GROUP BY lease_id HAVING sum(billed_gpu_hours) <> 0",
        [NORTH, first_of(month)],
    ).fetchall()
    assert {lease: Fraction(hours) for lease, hours, _ in found} == {k: v[0] for k, v in expected.items() if v[0]}
    billed_extra = north.adjusted(Month(2027, month, NORTH_ZONE), set(expected), BILLED_KINDS)
    assert len(found) >= 2, "the calculation would prove nothing on fewer leases"
    assert sum(Fraction(gross) for *_, gross in found) in {
        sum(v[1] for v in expected.values()),
        sum(v[1] for v in expected.values()) + billed_extra,
    }


@pytest.mark.parametrize("month", MONTHS)
def test_base_and_share_are_the_declining_percentage_of_net_billed(
    published: duckdb.DuckDBPyConnection, north: Landing, terms: Any, month: int
) -> None:
    span = Month(2027, month, NORTH_ZONE)
    gross = Fraction(0)
    for lease, hours in north.billed(span):
        if lease["customer_type"] == "third_party":
            gross += hours * Fraction(lease["price_per_gpu_hour"])
    theirs = {row["lease_id"] for row in north.versions if row["customer_type"] == "third_party"}
    # Tax and power are billed and then named as exclusions, so neither enters. Credits, refunds and penalties reduce the
    # net once, though they are named too; bad debt reduces it only because it is named.
    base = gross + north.adjusted(span, theirs, REDUCING_KINDS | {"bad_debt"})
    tiers = terms["revenue_share"]["tiers"]
    (rate,) = [Fraction(t["rate"]) for t in tiers if t["from"] <= month and (t["to"] is None or month <= t["to"])]
    found = one(
        published,
        "SELECT base_amount, effective_rate, share_amount FROM revenue_share.fct_share_month "
        "WHERE contract_id = ? AND service_month = ?",
        CONTRACT,
        first_of(month),
    )
    assert (Fraction(found[0]), Fraction(found[1]), found[2]) == (base, rate, rounded(base * rate))


@pytest.mark.parametrize("month", MONTHS)
def test_the_claim_of_a_tranche_is_its_unsold_hours_after_the_deductible_at_the_price(
    published: duckdb.DuckDBPyConnection, north: Landing, terms: Any, month: int
) -> None:
    """Excluded hours are taken as published: they follow from 300 racks' telemetry, which other tests recompute."""
    tranche = f"{NORTH}-a"
    span = Month(2027, month, NORTH_ZONE)
    backstop = terms["backstop"]
    installed = 300 * span.hours
    ramp = next(
        (Fraction(r["fraction"]) for r in backstop["ramp"] if r["from_month"] <= month <= r["to_month"]), Fraction(1)
    )
    committed = installed * Fraction(backstop["committed_fraction"]) * ramp
    sold = sum(hours for lease, hours in north.billed(span) if lease["tranche_id"] == tranche)
    found = (
        published.sql(
            "FROM backstop.fct_backstop_month WHERE tranche_id = ? AND service_month = ?",
            params=[tranche, first_of(month)],
        )
        .pl()
        .row(0, named=True)
    )
    excluded = Fraction(found["excluded_gpu_hours"])
    unsold = max(Fraction(0), min(committed - excluded - sold, installed - excluded - sold))
    claim = max(Fraction(0), unsold - committed * Fraction(backstop["deductible_fraction"]))
    price = Fraction(backstop["buyback_price"][0]["price_per_gpu_hour"])
    names = (
        "installed_gpu_hours",
        "committed_gpu_hours",
        "third_party_gpu_hours",
        "unsold_gpu_hours",
        "claim_gpu_hours",
    )
    assert [Fraction(found[name]) for name in names] == [installed, committed, sold, unsold, claim]
    assert claim * price < Fraction(backstop["period_cap"]["amount"]), "no cap may bind here"
    assert (found["claim_amount"], unsold > 0) == (rounded(claim * price), True)


def test_the_receivable_closes_at_invoices_less_credit_notes_less_cash_applied(
    published: duckdb.DuckDBPyConnection,
) -> None:
    for contract in (f"{NORTH}-c", f"{SOUTH}-c"):
        running = Decimal(0)
        months = published.sql(
            "FROM credit.fct_receivable_rollforward_month WHERE contract_id = ? ORDER BY month", params=[contract]
        ).pl()
        assert months.height == len(MONTHS)
        for row in months.iter_rows(named=True):
            lines = published.execute(
                "SELECT event, sum(amount) FROM ledger.fct_journal_lines WHERE contract_id = ? AND account = 'trade_receivable' "
                "AND posting_month = ? GROUP BY event",
                [contract, row["month"]],
            ).fetchall()
            running += sum((amount for _, amount in lines), Decimal(0))
            assert row["closing_amount"] == running
            assert dict(lines).get("invoice_share", Decimal(0)) == row["invoices_amount"]
        assert months["invoices_amount"].sum() > 0


def test_receipts_posted_are_the_payments_landed(published: duckdb.DuckDBPyConnection, north: Landing) -> None:
    closed_end = Month(2027, 3, NORTH_ZONE).end
    paid = sum(
        Fraction(row["amount"])
        for row in north.payments
        if row["direction"] == "received"
        and row["contract_id"] == CONTRACT
        and instant(row["received_at"]) < closed_end
    )
    posted = one(
        published,
        "SELECT sum(amount) FROM ledger.fct_journal_lines WHERE contract_id = ? AND event = 'receive_cash' AND account = 'cash' "
        "AND service_month < '2027-04-01'",
        CONTRACT,
    )
    assert Fraction(posted) == paid > 0


def test_the_journal_sums_to_zero_by_entry_and_as_a_whole(published: duckdb.DuckDBPyConnection) -> None:
    amounts: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for entry, currency, amount in published.execute(
        "SELECT entry_id, currency_code, amount FROM ledger.fct_journal_lines"
    ).fetchall():
        amounts[entry, currency] += amount
    assert len(amounts) > 20
    assert {key: total for key, total in amounts.items() if total} == {}


def test_files_and_database_hold_the_same_tables(finished: Path, published: duckdb.DuckDBPyConnection) -> None:
    manifest = json.loads((finished / "published" / "manifest.json").read_text())
    folder = finished / "published" / "parquet"
    stored = {
        f"{s}.{t}" for s, t in published.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
    }
    files = {f"{p.parent.name}.{p.stem}": p for p in folder.rglob("*.parquet")}
    assert stored == set(files) == set(manifest["tables"])
    for name, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == manifest["tables"][name]["sha256"]
        rows = one(published, f"SELECT count(*) FROM {name}")
        assert rows == pl.scan_parquet(path).select(pl.len()).collect().item() == manifest["tables"][name]["row_count"]
        differing = one(
            published,
            f"SELECT (SELECT count(*) FROM (FROM {name} EXCEPT ALL FROM read_parquet('{path}'))) "
            f"+ (SELECT count(*) FROM (FROM read_parquet('{path}') EXCEPT ALL FROM {name}))",
        )
        assert differing == 0, name


def test_tables_that_a_run_is_about_are_not_empty(published: duckdb.DuckDBPyConnection) -> None:
    for name in (
        "metering.fct_capacity_hour",
        "revenue_share.fct_share_line",
        "backstop.fct_backstop_cap_month",
        "ledger.fct_period_close",
        "credit.fct_receivable_item",
        "credit.fct_credit_loss_month",
        "credit.fct_exposure_month",
        "credit.fct_backstop_distribution_month",
        "issuer.fct_issuer_quarter",
        "quality.fct_check_result",
    ):
        assert one(published, f"SELECT count(*) FROM {name}") > 0, name


def test_every_feed_and_mart_that_holds_rows_was_held_against_its_suite(
    finished: Path, published: duckdb.DuckDBPyConnection
) -> None:
    checked = {name for (name,) in published.sql("SELECT DISTINCT table_name FROM quality.fct_check_result").fetchall()}
    there = filled(str(finished / "warehouse.duckdb"), SUITES)
    assert len(there) > 50
    assert {*there, TELEMETRY_SAMPLE} <= checked
    assert one(published, "SELECT count(*) FROM quality.fct_check_result WHERE NOT passed AND severity = 'error'") == 0


def test_what_was_known_in_the_past_can_be_asked(published: duckdb.DuckDBPyConnection) -> None:
    close = one(
        published,
        "SELECT closed_at FROM ledger.fct_period_close WHERE contract_id = ? AND posting_month = '2027-02-01'",
        CONTRACT,
    )
    known = published.sql("FROM ledger.journal_as_known_at(?)", params=[close]).pl()
    everything = published.sql("FROM ledger.fct_journal_lines").pl()
    assert sorted(known.rows()) == sorted(everything.filter(pl.col("posted_at") <= close).rows())
    assert 0 < known.height < everything.height
    balances = published.execute(
        "SELECT account, balance_amount FROM ledger.balance_as_known_at(?) WHERE contract_id = ?", [close, CONTRACT]
    ).fetchall()
    by_hand: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in known.filter(pl.col("contract_id") == CONTRACT).iter_rows(named=True):
        by_hand[row["account"]] += row["amount"]
    assert dict(balances) == dict(by_hand)
    assert sum(by_hand.values()) == 0


def test_a_statement_says_the_share_accrued_for_its_month(published: duckdb.DuckDBPyConnection) -> None:
    for schema, event, account, amount in (
        (
            "revenue_share",
            "accrue_share",
            "share_revenue",
            "SELECT -sum(share_amount) FROM revenue_share.fct_share_month",
        ),
        ("backstop", "accrue_claim", "backstop_cost", "SELECT sum(claim_amount) FROM backstop.fct_backstop_month"),
    ):
        stated = one(
            published,
            f"SELECT sum(amount) FROM {schema}.statement('{CONTRACT}', DATE '2027-02-01', TIMESTAMPTZ '2027-04-21 00:00Z') "
            "WHERE event = ? AND account = ?",
            event,
            account,
        )
        expected = one(published, f"{amount} WHERE contract_id = ? AND service_month = '2027-02-01'", CONTRACT)
        assert stated == expected != 0


def test_every_table_and_column_says_what_it_is(published: duckdb.DuckDBPyConnection) -> None:
    without = published.execute(
        "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE comment IS NULL OR comment = '' UNION ALL "
        "SELECT schema_name || '.' || table_name || '.' || column_name FROM duckdb_columns() "
        "WHERE NOT internal AND (comment IS NULL OR comment = '')"
    ).fetchall()
    assert without == []


def test_keys_of_published_tables_are_unique(published: duckdb.DuckDBPyConnection) -> None:
    """The keys are written here, from the page that promises them, not taken from the product."""
    keys = {
        "core.dim_lease": "lease_id, version",
        "metering.fct_capacity_hour": "tranche_id, interval_start_at",
        "metering.fct_capacity_day": "tranche_id, service_date",
        "metering.fct_power_day": "park_id, service_date",
        "revenue_share.fct_share_month": "contract_id, service_month",
        "backstop.fct_backstop_month": "tranche_id, service_month",
        "backstop.fct_capacity_balance_month": "tranche_id, service_month, use",
        "ledger.fct_journal_lines": "entry_id, line_no",
        "ledger.fct_trial_balance_month": "contract_id, account, posting_month, currency_code",
        "credit.fct_receivable_item": "item_id, as_of_month",
        "credit.fct_ageing_month": "contract_id, month, bucket",
        "credit.fct_allowance_rollforward_month": "contract_id, month, standard",
        "issuer.fct_issuer_quarter": "issuer_id, fiscal_period_end",
        "quality.fct_landed_file": "file_id, park_id, feed",
    }
    for table, key in keys.items():
        assert one(published, f"SELECT count(*) - count(DISTINCT ({key})) FROM {table}") == 0, table


def test_rows_of_a_landed_file_are_all_accounted_for(finished: Path, published: duckdb.DuckDBPyConnection) -> None:
    for path, rows, parts, state, reason in published.execute(
        "SELECT path, row_count, landed_count + duplicate_count + superseded_count + quarantined_count, state, reason "
        "FROM quality.fct_landed_file"
    ).fetchall():
        assert rows == parts, path
        assert state != "rejected" or reason, path
        assert (finished / path).exists()


def test_a_quarantined_row_names_its_file_its_line_and_the_rule(
    finished: Path, published: duckdb.DuckDBPyConnection
) -> None:
    found = published.execute(
        "SELECT path, line_no, rule, column_name, row_text FROM quality.fct_quarantined_row JOIN quality.fct_landed_file "
        "USING (file_id, park_id, feed) WHERE feed = 'lease_usage' AND park_id = ? ORDER BY line_no",
        [NORTH],
    ).fetchall()
    assert len(found) >= 4
    for path, line_no, rule, column, text in found:
        assert (finished / path).read_text().splitlines()[line_no - 1] == text
        assert rule
        assert column


def test_simulation_is_said_plainly(finished: Path) -> None:
    manifest = json.loads((finished / "published" / "manifest.json").read_text())
    (monitor,) = (finished / "reports").rglob("monitor.html")
    assert manifest["is_simulated"] is True
    assert manifest["simulation_note"] in monitor.read_text()
    assert all("simulated" in f.name for f in (finished / "landing").rglob("*.csv"))


def test_nothing_is_left_of_the_candidate(finished: Path) -> None:
    assert sorted(p.name for p in (finished / "published").iterdir()) == [
        ".current",
        ".runs",
        "manifest.json",
        "parkledger.duckdb",
        "parquet",
    ]
    assert [p.name for p in (finished / "published" / ".runs").iterdir()] == ["a"]
    assert (finished / "published" / "parkledger.duckdb").stat().st_mode & 0o222 == 0


def test_a_second_run_says_nothing_new_and_changes_no_byte(finished: Path) -> None:
    before = everything_in(finished)
    done = parkledger(finished, "run")
    assert (done.returncode, "Nothing new" in done.stdout) == (0, True), done.stdout + done.stderr
    after = everything_in(finished)
    assert sorted(before) == sorted(after)
    assert [name for name in before if before[name] != after[name]] == []


def test_a_copied_home_settles_to_the_same_bytes_elsewhere(finished: Path, tmp_path: Path) -> None:
    """Only terms, reference data and landing files are copied; everything else is made anew, in another folder."""
    elsewhere = copy_home(finished, tmp_path / "elsewhere", with_results=False)
    done = parkledger(elsewhere, "run", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    there, here = parquet_hashes(elsewhere), parquet_hashes(finished)
    assert {name for name in here if here[name] != there.get(name)} == set()
    assert set(there) == set(here)


@pytest.mark.slow
def test_days_computed_anew_are_one_run_and_come_out_as_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    again = copy_home(finished, tmp_path / "again")
    done = parkledger(again, "run", "--from", "2027-02-01", "--to", "2027-02-10")
    assert done.returncode == 0, done.stdout + done.stderr
    with closing(sqlite3.connect(again / "dagster" / "history" / "runs.db")) as runs:
        assert runs.execute("SELECT pipeline_name, status FROM runs").fetchall() == [("settlement", "SUCCESS")]
    with duckdb.connect(str(again / "warehouse.duckdb"), read_only=True) as warehouse:
        asked = warehouse.sql(
            "SELECT count(*) FROM intermediate.int_gpu_hours__by_tranche_hour WHERE partition_fingerprint = 'asked for anew'"
        ).fetchall()
    assert asked == [(0,)], "the days asked for were not read again"
    there, here = parquet_hashes(again), parquet_hashes(finished)
    assert {name for name in here if here[name] != there.get(name)} == set()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "2027-02-30"), "write days as 2027-03-01"),
        (("--from", "2027-03-01", "--to", "2027-02-01"), "no range of days"),
        (("--to", "2027-05-01"), "from 2027-01-01 to 2027-04-20"),
    ],
)
def test_a_range_of_days_that_the_home_does_not_have_is_refused(
    finished: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = parkledger(finished, "run", *arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())


def test_verify_finds_that_every_identity_holds(finished: Path) -> None:
    done = parkledger(finished, "verify", "--json")
    outcomes = json.loads(done.stdout)
    assert (done.returncode, [o["name"] for o in outcomes if not o["passed"]]) == (0, [])
    assert sum(o["checked"] for o in outcomes) > 1000


def test_verify_finds_a_changed_amount(finished: Path, tmp_path: Path) -> None:
    forged = copy_home(finished, tmp_path / "forged")
    path = forged / "published" / "parkledger.duckdb"
    path.chmod(0o644)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "UPDATE ledger.fct_journal_lines SET amount = amount + 0.01 "
            "WHERE (entry_id, line_no) = (SELECT min((entry_id, line_no)) FROM ledger.fct_journal_lines)"
        )
    done = parkledger(forged, "verify")
    assert done.returncode == 4
    assert "every journal entry sums to zero" in done.stdout


def test_status_says_what_is_published_and_what_was_turned_away(finished: Path) -> None:
    done = parkledger(finished, "status", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["is_current"], answer["as_of"], answer["failed_checks"]) == (
        0,
        True,
        "2027-04-20",
        [],
    )
    usage = next(f for f in answer["feeds"] if (f["park_id"], f["feed"]) == (NORTH, "lease_usage"))
    assert usage["row_count"] == usage["landed"] + usage["duplicate"] + usage["superseded"] + usage["quarantined"]
    assert usage["quarantined"] >= 4
    assert usage["standing_in_quarantine"] == usage["quarantined"]  # nothing was released
    assert (answer["last_run"]["job"], answer["last_run"]["status"]) == ("settlement", "success")


def test_status_tells_open_and_closed_months_and_open_alerts_as_they_are_published(
    finished: Path, published: duckdb.DuckDBPyConnection
) -> None:
    answer = home_status(Settings(home=finished))
    months = {row["contract_id"]: row for row in answer["months"]}
    # as of 20 April three months have closed and April has begun; nothing was sealed by `close`
    assert months[CONTRACT]["closed"] == ["2027-01", "2027-02", "2027-03"]
    assert (months[CONTRACT]["open"], months[CONTRACT]["sealed"]) == (["2027-04"], [])
    open_alerts = published.sql("SELECT rule, entity_id FROM monitor.fct_alert WHERE cleared_at IS NULL").fetchall()
    assert sorted((a["rule"], a["entity_id"]) for a in answer["alerts"]) == sorted(open_alerts)
    assert open_alerts


def test_status_counts_how_many_days_a_feed_is_late_against_the_homes_clock(finished: Path) -> None:
    # read at a clock three days on: the same files are three days late, in each park's own zone
    late = home_status(Settings(home=finished, as_of="2027-04-23"))
    daily = [f for f in late["feeds"] if f["feed"] in {"gpu_telemetry", "power_meter"}]
    assert {(f["park_id"], f["last_day"], f["days_late"]) for f in daily} == {
        (park, date(2027, 4, 20), 3) for park in PARKS
    }
    assert sum("gpu_telemetry is 3 days late" in text for text in late["to_do"]) == len(PARKS)


def test_status_cuts_no_cell_in_a_terminal_of_80_columns(finished: Path) -> None:
    said = io.StringIO()
    print_status(home_status(Settings(home=finished)), Console(file=said, width=80))
    lines = said.getvalue().splitlines()
    assert "…" not in said.getvalue()
    assert {line.split()[0] for line in lines if "2027-04" in line} >= {"gpu_telemetry", "power_meter", "payments"}
    assert any(f"{CONTRACT}: open 2027-04; 3 closed since 2027-01, 0 sealed" in line for line in lines)
    assert sum("monthly_" in line for line in lines) == 2


def test_status_fits_on_a_terminal_of_80_columns_and_24_lines_with_every_fact(finished: Path) -> None:
    said = io.StringIO()
    screen = Console(file=said, width=80, height=24, force_terminal=True, color_system=None)
    print_status(home_status(Settings(home=finished)), screen)
    lines = said.getvalue().splitlines()
    assert sum(-(-len(line) // 80) for line in lines) < 24
    titles = ["State", "Published", "Last run", "Feeds", "Months", "Alerts", "Next", "To do"]
    assert [line[:11].strip() for line in lines if line[:11].strip() in titles] == titles
    feeds = {row["feed"]: row for row in home_status(Settings(home=finished), NORTH)["feeds"]}
    park = next(number for number, line in enumerate(lines) if line.startswith(NORTH))
    assert sorted(lines[park].split()[1:]) == sorted(f"{row['last_day']:%m-%d}" for row in feeds.values())
    assert str(feeds["lease_usage"]["standing_in_quarantine"]) in lines[park + 1].split()


def test_status_needs_no_working_tables(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished, tmp_path / "home")
    (home / "warehouse.duckdb").unlink()
    done = parkledger(home, "status")
    assert done.returncode == 0, done.stderr
    for said in ("published snapshot", f"{CONTRACT}", "none recorded", "daily_settlement_north_1", "quarantine list"):
        assert said in done.stdout


def test_sql_gives_json_that_holds_what_the_table_holds(finished: Path, published: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT contract_id, service_month, share_amount FROM revenue_share.fct_share_month ORDER BY ALL"
    done = parkledger(finished, "sql", "--json", query)
    assert done.returncode == 0, done.stderr
    found = [(r["contract_id"], r["service_month"], Decimal(str(r["share_amount"]))) for r in json.loads(done.stdout)]
    assert found == [(c, m.isoformat(), a) for c, m, a in published.execute(query).fetchall()]


@pytest.fixture(scope="module")
def sql(finished: Path) -> Callable[[str], tuple[int, str]]:
    """The command's own function in this process: it starts in no time, and the process above shows the command."""
    from io import StringIO

    from rich.console import Console

    from orchestration.shell import run_queries

    def ask(text: str) -> tuple[int, str]:
        written = StringIO()
        console = Console(file=written, width=200)
        snapshot = finished / "published" / "parkledger.duckdb"
        code = run_queries(snapshot, text, form="table", target=None, out=console, err=console)
        return code, written.getvalue()

    return ask


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM core.dim_park",
        "UPDATE core.dim_park SET park_name = 'mine'",
        "CREATE TABLE core.mine AS SELECT 1 AS a",
        "DROP TABLE core.dim_park",
        "ATTACH '{folder}/other.duckdb' AS other",
        "COPY core.dim_park TO '{folder}/out.csv'",
        "SELECT * FROM read_csv('{folder}/secret.csv')",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '{folder}/secret.csv'",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "INSTALL httpfs",
        "LOAD httpfs",
        "EXPORT DATABASE '{folder}/all'",
        "SELECT 1; DELETE FROM core.dim_park",
        "SELECT nothing FROM nowhere",
    ],
)
def test_sql_reads_the_snapshot_and_can_do_nothing_else(
    sql: Callable[[str], tuple[int, str]], finished: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "secret.csv").write_text("word\nhidden\n")
    before = (finished / "published" / "parkledger.duckdb").read_bytes()
    code, said = sql(text.format(folder=tmp_path))
    assert code == 1, said
    assert said.strip()
    assert "hidden" not in said
    assert [p.name for p in tmp_path.iterdir()] == ["secret.csv"]
    assert (finished / "published" / "parkledger.duckdb").read_bytes() == before


def test_the_monitor_can_be_drawn_again_from_the_snapshot(finished: Path) -> None:
    (monitor,) = (finished / "reports").rglob("monitor.html")
    before = monitor.read_bytes()
    done = parkledger(finished, "report")
    assert (done.returncode, monitor.name in done.stdout) == (0, True), done.stderr
    assert monitor.read_bytes() == before


def test_a_closed_month_can_be_stated_and_stated_again(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished, tmp_path / "closing")
    first = parkledger(home, "close", "2027-02")
    assert first.returncode == 0, first.stdout + first.stderr
    statement = home / "closes" / "2027-02.json"
    stated = json.loads(statement.read_text())
    assert sorted(c["contract_id"] for c in stated["closes"]) == [f"{NORTH}-c", f"{SOUTH}-c"]
    assert sum(Decimal(b["closing"]) for b in stated["trial_balance"]) == 0
    statement.write_text(statement.read_text().replace(stated["closes"][0]["state_hash"], "0" * 64))
    again = parkledger(home, "close", "2027-02")
    assert again.returncode == 1
    assert "closed with other figures" in again.stderr + again.stdout


def test_every_command_explains_itself() -> None:
    def help_of(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "orchestration.cli", *command, "--help"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    whole = help_of()
    assert "Exit codes" in whole
    from typer.testing import CliRunner

    from orchestration.cli import app

    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    assert {"init", "run", "land", "close", "sql", "report", "simulate", "status", "verify"} <= set(names)
    for name in names:
        assert name in whole
        shown = CliRunner().invoke(app, [name, "--help"])
        assert shown.exit_code == 0
        assert len(shown.output.split()) > 12, name


def test_an_operators_own_curve_and_a_loan_come_from_reference_files_to_the_published_loss(
    published: duckdb.DuckDBPyConnection,
) -> None:
    sources = published.execute(
        "SELECT DISTINCT month, pd_source FROM credit.fct_credit_loss_month WHERE contract_id = ? ORDER BY month",
        [f"{SOUTH}-c"],
    ).fetchall()
    assert sources == [(first_of(1), "rating"), (first_of(2), "cds_spread"), (first_of(3), "cumulative_pd")]
    others = one(
        published,
        "SELECT string_agg(DISTINCT pd_source) FROM credit.fct_credit_loss_month WHERE contract_id = ?",
        CONTRACT,
    )
    assert others == "rating"
    carried, loss, rate = one(
        published,
        "SELECT carrying_amount, expected_credit_loss_amount, effective_rate FROM credit.fct_instrument_loss_month "
        "WHERE month = '2027-03-01' AND standard = 'cecl'",
    )
    left = (date(2028, 1, 15) - date(2027, 3, 31)).days / 365
    assert rate == pytest.approx(0.09, abs=1e-9)
    assert float(carried) == pytest.approx(1_090_000 / 1.09**left, abs=0.01)
    assert 0 < loss < carried
