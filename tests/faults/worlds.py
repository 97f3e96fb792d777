"""Deterministic simulation: random worlds of one park and contract each, run through the real landing, ledgers and seals, step by step.

A world follows from its seed: terms with amendments, leases, usage, bills, payments, outages, telemetry, and when each was
known (`random_contracts.py` draws them). Its facts are written down twice: as they are, for the reference model
(`oracle.py`, in Fractions, day by day); and as an operator would deliver them, with re-deliveries, splits, shuffled and
doubled rows, cut and broken lines, packed or not. The driver moves the clock from close to close, lands with crashes and
retries, builds, closes as `parkledger close` does and now and then reopens, and at times looks back by an earlier clock.
After each step the identities must hold and no sealed line may have moved; at the end every share, claim, line, exposure
and entry at every close must be the reference model's.

What happens to a world follows from its seed alone, and several share a home, where none knows of another: what is other is
said by seed, and `python tests/faults/worlds.py SEED` runs one alone and says it again.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import shutil
import sys
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from homes import REPOSITORY, Bench
from tally import Tally, case

if TYPE_CHECKING:
    from orchestration.settings import Settings

sys.path.insert(0, str(REPOSITORY / "tests" / "property"))

SHORT = ("2027-04-12", "2027-06-19")
LONG = ("2027-03-12", "2027-04-13", "2027-05-14", "2027-06-19")
# So many of each month: a day costs a file of the lake for each delivery, and says no more than another.
SAMPLED_DAYS = 6
FEEDS = ("leases", "lease_usage", "lease_adjustments", "payments", "credit_events")
MARTS = ("intermediate", "revenue_share", "backstop", "ledger", "core", "metering", "staging")
# What a close and a reopening read of the ledgers.
STATED_TABLES = (
    "ledger.fct_journal_lines",
    "ledger.fct_statement_step",
    "ledger.fct_statement_input",
    "ledger.fct_receivable_document",
    "core.fct_contract_terms",
)
CLOSES = "intermediate.int_closes"
LINE = "contract_id, posting_month, entry_id, line_no, account, event, amount, currency_code, service_month, posted_at"
# Taken from the drawn tables; what the pipeline says of the home itself stays.
KEPT_TERMS = {"home", "policy", "vendor", "operator", "park", "vendor_calendar"}


@dataclass
class Run:
    """Some worlds in one home, and what happened to them."""

    folder: Path
    seeds: list[int]
    clocks: tuple[str, ...]
    facts: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)
    parsed: Path | None = None
    delivered: set[tuple[str, str, tuple[Any, ...]]] = field(default_factory=set)
    crashes: int = 0
    files: int = 0
    reopenings: int = 0
    sealed: dict[tuple[Any, ...], tuple[Any, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # What happens to a world is the same alone and among others.
        self.draws = {seed: random.Random(f"what happens to {seed}") for seed in self.seeds}

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def dbt_target(self) -> Path:
        return self.parsed or self.folder / "dbt-target"

    @property
    def warehouse(self) -> Path:
        return self.home / "warehouse.duckdb"


def draw_facts(run: Run) -> None:
    """The facts of each world, from its seed alone."""
    import random_contracts
    from raw_fixture import create_raw, view_telemetry
    from scenarios import put_home

    create_raw(run.facts)
    put_home(run.facts, random_contracts.CLOCK)
    random_contracts._draw_rates(run.facts, random.Random(0), 150)
    for seed in run.seeds:
        random_contracts._draw_contract(
            run.facts, run.folder / "facts", random.Random(seed), f"w{seed}", f"p{seed}", sampled_days=SAMPLED_DAYS
        )
    view_telemetry(run.facts, run.folder / "facts")


def write_terms(run: Run, as_of: str) -> None:
    """The home's YAML: parks as drawn; contracts by name, for landing knows no more of them."""
    from ingest.terms.templates import CONTRACT

    for folder in ("parks", "contracts"):
        (run.home / folder).mkdir(parents=True, exist_ok=True)
    (run.home / "home.yaml").write_text(f"title: Worlds\nas_of: {as_of}\n")
    parks = run.facts.execute("SELECT park_id, time_zone FROM raw.park ORDER BY ALL").fetchall()
    for park_id, zone in parks:
        tranches = run.facts.execute(
            "SELECT tranche_id, contract_id, gpu_count, planned_date, energised_date FROM raw.tranche WHERE park_id = ? ORDER BY ALL",
            [park_id],
        ).fetchall()
        park = {
            "park_id": park_id,
            "park_name": park_id,
            "operator": {"operator_id": "op", "operator_name": "Operator", "parent_id": "op", "country_code": "ID",
                         "rating": "B", "rating_agency": "SP"},
            "country_code": "ID",
            "time_zone": zone,
            "currency_code": "USD",
            "it_power_mw": "10",
            "telemetry_interval_seconds": 3600,
            "pue_bounds": ["1.0", "2.0"],
            "tranches": [
                {"tranche_id": t, "contract_id": c, "gpu_model": "GB300", "gpu_count": n, "planned_date": str(p),
                 "energised_date": str(e), "nodes": t}
                for t, c, n, p, e in tranches
            ],
        }  # fmt: skip
        (run.home / "parks" / f"{park_id}.yaml").write_text(json.dumps(park, indent=1))
        contract_id = f"w{park_id[1:]}"
        text = CONTRACT.replace("my-contract-1", contract_id).replace("my-park-1", park_id).replace("my-operator", "op")
        (run.home / "contracts" / f"{contract_id}.yaml").write_text(text)


def deliver(run: Run, clock_at: datetime) -> None:
    """Put under landing what had become known by the clock, the way operators do."""
    for feed in (*FEEDS, "gpu_telemetry"):
        header, rows = _rows(run, feed, clock_at)
        by_park: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for park_id, *cells in rows:
            by_park[park_id].append(tuple(cells))
        for park_id, of_park in sorted(by_park.items()):
            draw = run.draws[int(park_id[1:])]
            new = [cells for cells in of_park if (feed, park_id, cells) not in run.delivered]
            old = [cells for cells in of_park if (feed, park_id, cells) in run.delivered]
            run.delivered |= {(feed, park_id, cells) for cells in of_park}
            again = draw.sample(old, min(len(old), draw.choice([0, 0, 3]))) if feed != "gpu_telemetry" else []
            everything = new + again + draw.sample(new, min(len(new), draw.choice([0, 1, 2])))
            if everything:
                draw.shuffle(everything)
                _write_files(run, park_id, feed, header, everything, draw)


def _rows(run: Run, feed: str, clock_at: datetime) -> tuple[list[str], list[tuple[Any, ...]]]:
    if feed == "gpu_telemetry":
        query = (
            "SELECT park_id, gpu_id, tranche_id AS node_id, gpu_model, sampled_at, utilization_milli_pct / 1000 AS utilization_pct, "
            "power_microwatt / 1000000 AS power_w, gpu_count, xid_code, recorded_at FROM raw.gpu_telemetry"
        )
    else:
        query = f"SELECT park_id, * EXCLUDE (park_id, file_id, line_no, content_hash) FROM raw.{feed}"
    found = run.facts.execute(f"{query} WHERE recorded_at <= ? ORDER BY ALL", [clock_at])
    header = [column[0] for column in found.description or []][1:]
    return header, found.fetchall()


def _write_files(  # noqa: PLR0917
    run: Run, park_id: str, feed: str, header: list[str], rows: list[tuple[Any, ...]], draw: random.Random
) -> None:
    folder = run.home / "landing" / park_id / feed
    folder.mkdir(parents=True, exist_ok=True)
    parts = draw.choice([1, 1, 2, 3])
    for part in range(parts):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator=draw.choice(["\n", "\r\n"]))
        writer.writerow(header)
        writer.writerows([["" if cell is None else _said(cell) for cell in row] for row in rows[part::parts]])
        if draw.random() < 0.2:
            text.write("this line is broken\n")
        content = text.getvalue().encode()
        run.files += 1
        name = f"{run.files:06d}.csv"
        if draw.random() < 0.15:  # first cut off, then delivered whole
            (folder / f"cut-{name}").write_bytes(
                content[: draw.randrange(len(content.splitlines()[0]) + 1, len(content) + 1)]
            )
        if draw.random() < 0.3:
            name, content = f"{name}.gz", gzip.compress(content)
        (folder / name).write_bytes(content)
        if draw.random() < 0.2:  # the same bytes under another name
            (folder / f"again-{name}").write_bytes(content)


def _said(cell: Any) -> str:
    if isinstance(cell, datetime):
        return cell.isoformat()
    if isinstance(cell, bool):
        return str(cell).lower()
    return str(cell)


def land(run: Run, draw: random.Random) -> None:
    """Terms, and what is under landing; now and then the process dies at some statement, and another one goes on."""
    from test_landing_killed import KilledError, MortalConnection

    from ingest import kept_journal, landing, reference
    from ingest.terms import tables
    from ingest.terms.home import load_home

    home = load_home(run.home)
    for attempt in range(3):
        with duckdb.connect(str(run.warehouse)) as con:
            con.execute("SET TimeZone = 'UTC'")
            tables.write_terms(con, home)
            reference.write_reference(con, home)
            _as_drawn(con, run)
            con.execute("DELETE FROM raw.fx_rate")
            con.execute("INSERT INTO raw.fx_rate BY NAME SELECT * FROM drawn_fx")
            kept_journal.load(con, home.path, home.clock_at)
            landing.create_raw_tables(con)
            mortal: Any = MortalConnection(con, draw.randrange(400)) if attempt < 2 and draw.random() < 0.6 else con
            with suppress(KilledError):
                landing.land(mortal, home, landing.pending(con, home))
                if mortal is con:
                    return
            run.crashes += 1
    raise AssertionError("the third landing is never killed")


def _as_drawn(con: duckdb.DuckDBPyConnection, run: Run) -> None:
    """Terms tables as they were drawn; the home, its clock and policies stay as the pipeline reads them."""
    from raw_fixture import TERMS

    for table in TERMS:
        frame = run.facts.sql(f"FROM raw.{table}").to_arrow_table()
        con.register("drawn_rows", frame)
        if table == "policy":
            con.execute("DELETE FROM raw.policy WHERE policy IN (SELECT policy FROM drawn_rows)")
            con.execute("INSERT INTO raw.policy BY NAME SELECT * FROM drawn_rows")
        elif table == "fx_rate":
            con.execute("CREATE OR REPLACE TEMP TABLE drawn_fx AS SELECT * FROM drawn_rows")
        elif table not in KEPT_TERMS:
            con.execute(f"DELETE FROM raw.{table}")
            con.execute(f"INSERT INTO raw.{table} BY NAME SELECT * FROM drawn_rows")
        con.unregister("drawn_rows")


def build(run: Run) -> None:
    """The ledgers, by dbt in a process of its own, which parses the project once for all homes of a run."""
    from building import run_dbt

    without_tests = ["--exclude-resource-type", "unit_test", "--exclude-resource-type", "test"]
    done = run_dbt(run.home, "--quiet", "build", *without_tests, target=run.dbt_target)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


def check_step(run: Run) -> None:
    """The identities that the ledgers alone can keep, and the lines that were sealed."""
    from orchestration.publishing.identities import IDENTITIES

    with duckdb.connect(str(run.warehouse), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        held = 0
        for identity in IDENTITIES:
            try:
                checked, broken, _ = con.execute(identity.sql).fetchall()[0]
            except duckdb.CatalogException:
                continue  # of tables that only the credit jobs write
            held += 1
            assert not broken, f"{identity.name}: {broken} of {checked}"
        assert held >= 8
        lines = {row[:4]: row for row in con.execute(f"SELECT {LINE} FROM ledger.fct_journal_lines").fetchall()}
        counts = "landed_count + duplicate_count + superseded_count + quarantined_count"
        assert con.execute(f"FROM raw.landed_file WHERE state <> 'rejected' AND row_count <> {counts}").fetchall() == []
    for key, row in run.sealed.items():
        assert lines.get(key) == row, f"a sealed line moved: {row}, now {lines.get(key)}"


def publish(run: Run) -> Settings:
    """A snapshot of what a close and a reopening read; the credit jobs, which have no part in worlds, add nothing to it."""
    from orchestration.polars_jobs.journal import period_closes
    from orchestration.settings import Settings

    settings = Settings(home=run.home)
    settings.published_folder.mkdir(exist_ok=True)
    settings.published_path.unlink(missing_ok=True)
    with duckdb.connect(str(settings.published_path)) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"ATTACH '{run.warehouse}' AS built (READ_ONLY)")
        for table in STATED_TABLES:
            con.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.')[0]}")
            con.execute(f"CREATE TABLE {table} AS FROM built.{table}")
        con.execute("CREATE SCHEMA quality")
        con.execute("CREATE TABLE quality.fct_landed_file AS FROM built.raw.landed_file")
        con.register(
            "closed", period_closes(con.sql("FROM ledger.fct_journal_lines").pl(), con.sql(f"FROM built.{CLOSES}").pl())
        )
        con.execute("CREATE TABLE ledger.fct_period_close AS FROM closed")
    return settings


def close(run: Run) -> None:
    """Keep and seal every month that has closed, as `parkledger close` does; some worlds open their last month again."""
    from orchestration.keeping import keep, reopen

    settings = publish(run)
    with duckdb.connect(str(settings.published_path), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        last = dict(
            con.execute("SELECT contract_id, max(posting_month) FROM ledger.fct_period_close GROUP BY 1").fetchall()
        )
        for row in con.execute(
            f"SELECT {LINE} FROM ledger.fct_journal_lines SEMI JOIN ledger.fct_period_close USING (contract_id, posting_month)"
        ).fetchall():
            run.sealed[row[:4]] = row
    if not last:
        return
    keep(settings, settings.published_path, {"act": "closed"}, seal_until=max(last.values()))
    for seed in run.seeds:
        draw, contract_id = run.draws[seed], f"w{seed}"
        if draw.random() < 0.3 and contract_id in last:
            run.reopenings += len(reopen(settings, last[contract_id], contract_id, "an invoice was found"))


def compare(run: Run) -> dict[int, list[str]]:
    """By world, what is other than the reference model's; the model reads the facts, the pipeline's tables stand beside them."""
    import against_the_oracle as beside

    con = run.facts
    con.execute(f"ATTACH '{run.warehouse}' AS built (READ_ONLY)")
    for schema, name in con.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'built' UNION "
        "SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = 'built' AND NOT internal ORDER BY ALL"
    ).fetchall():
        if schema in MARTS:
            con.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            con.execute(f"CREATE VIEW {schema}.{name} AS FROM built.{schema}.{name}")
    [(clock_at,)] = con.execute("SELECT clock_at FROM built.raw.home").fetchall()
    other: dict[int, list[str]] = defaultdict(list)
    for differing in (
        beside.differing_shares(con, clock_at),
        beside.differing_lease_lines(con, clock_at),
        beside.differing_claims(con, clock_at),
        beside.differing_exposures(con, clock_at),
        beside.differing_postings(con),
    ):
        for contract_id, said in differing.items():
            other[int(contract_id[1:])] += said
    beside.forget()
    return dict(other)


def play(
    folder: Path, seeds: list[int], clocks: tuple[str, ...], *, looks_back: bool = False, parsed: Path | None = None
) -> tuple[Run, dict[int, list[str]]]:
    """Run some worlds from the first clock to the last; by world, what was other, where anything was.

    Args:
        folder: where they run.
        seeds: of the worlds, which share a home.
        clocks: on which days a run is made.
        looks_back: whether somebody sets the clock back in between, runs, and sets it right again.
        parsed: where dbt keeps what it has parsed of the project.
    """
    from ingest.terms.home import load_home

    run = Run(folder, seeds, clocks, parsed=parsed)
    draw = random.Random(seeds[0])
    draw_facts(run)
    try:
        for number, as_of in enumerate(clocks):
            write_terms(run, as_of)
            deliver(run, load_home(run.home).clock_at)
            land(run, draw)
            build(run)
            check_step(run)
            if looks_back and number == 1:
                for clock in (clocks[0], as_of):
                    write_terms(run, clock)
                    land(run, draw)
                    build(run)
                check_step(run)
            if number + 1 < len(clocks):
                close(run)
        return run, compare(run)
    except AssertionError as error:
        return run, {seed: [str(error)[:1500]] for seed in seeds}


def _played(bench: Bench, tally: Tally, groups: list[list[int]], clocks: tuple[str, ...], *, looks_back: bool) -> Tally:
    crashes = files = reopenings = 0
    parsed = bench.folder.parent / "dbt-target"
    with tally.timed():
        for seeds in groups:
            run, other = play(bench.empty() / "worlds", seeds, clocks, looks_back=looks_back, parsed=parsed)
            tally.injected += len(seeds)
            crashes, files, reopenings = crashes + run.crashes, files + run.files, reopenings + run.reopenings
            if len(other) == len(seeds) > 1:  # an identity of all of them: each once more, alone
                alone = {s: play(bench.empty(), [s], clocks, looks_back=looks_back, parsed=parsed)[1] for s in seeds}
                other = {s: said[s] for s, said in alone.items() if said} or other
            tally.survived += len(seeds) - len(other)
            tally.figures_wrong += len(other)
            for seed, said in sorted(other.items()):
                found = f"world {seed} ({len(said)} figures), python tests/faults/worlds.py {seed}: {said[0]}"
                tally.note(found)
                print(found, file=sys.stderr, flush=True)
            shutil.rmtree(bench.folder, ignore_errors=True)
            print(f"{tally.injected} worlds, {tally.injected - tally.survived} other", file=sys.stderr, flush=True)
    tally.note(
        f"{crashes} crashes of landing, {files:,} files with imperfections, {reopenings} months reopened; "
        f"{len(clocks)} runs and closes a world, {tally.seconds / max(1, tally.injected):.2f} s each"
    )
    return tally


SHORT_SEEDS, LONG_SEEDS, WORLDS_A_HOME = 1000, 9000, 50


def _groups(first: int, count: int, size: int) -> list[list[int]]:
    seeds = range(first, first + count)
    return [list(seeds[n : n + size]) for n in range(0, count, size)]


@case("worlds")
def short_worlds(bench: Bench) -> Tally:
    count = bench.times(1000)
    tally = Tally(f"{count:,} short worlds of one park and contract")
    return _played(bench, tally, _groups(SHORT_SEEDS, count, WORLDS_A_HOME), SHORT, looks_back=False)


@case("worlds")
def long_worlds(bench: Bench) -> Tally:
    count = bench.times(50)
    tally = Tally(f"{count} long worlds, sealed at each close, with a clock that is set back")
    return _played(bench, tally, _groups(LONG_SEEDS, count, WORLDS_A_HOME // 2), LONG, looks_back=True)


def posted_in_all(run: Run) -> Fraction:
    """Absolute amount of all lines: a world in which nothing happens proves nothing."""
    with duckdb.connect(str(run.warehouse), read_only=True) as con:
        [(total,)] = con.execute("SELECT coalesce(sum(abs(amount)), 0) FROM ledger.fct_journal_lines").fetchall()
    return Fraction(total)


if __name__ == "__main__":
    import tempfile

    chosen = [int(seed) for seed in sys.argv[1:]]
    is_long = chosen[0] >= LONG_SEEDS
    with tempfile.TemporaryDirectory() as scratch:
        _, found = play(Path(scratch), chosen, LONG if is_long else SHORT, looks_back=is_long)
    for world in chosen:
        print("\n".join(found.get(world, [f"world {world} is the reference model's"])))
    sys.exit(bool(found))
