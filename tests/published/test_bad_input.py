"""Input that cannot be used is named, with its remedy, and everything else goes on; what was published before stays."""

import gzip
import io
import json
import random
import resource
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import polars as pl
import pypdf
import pytest
from conftest import CONTRACT, HOSTILE, copy_home, everything_in, parkledger, write_small_home
from simulated_home import NORTH, SOUTH
from small_home import PARK_ID, make_home
from typer.testing import CliRunner

from orchestration import cli
from orchestration.publishing import identities
from orchestration.publishing.report import write_sheets

pytestmark = pytest.mark.published

LEASE_HEADER = (
    "lease_id,version,tenant_id,contract_id,tranche_id,gpu_model,gpu_count,starts_at,ends_at,price_per_gpu_hour,"
    "currency_code,workload,customer_type,pricing,status,recorded_at"
)
USAGE_HEADER = "lease_id,interval_start_at,interval_end_at,gpu_hours,recorded_at"
HOUR = "2027-03-01T00:00:00Z,2027-03-01T01:00:00Z"
RECORDED = "2027-03-02T00:00:00Z"
HELD_DAY = "2027-03-10"
EAST, WEST = "east-1", "west-1"


ENTITY_BOMB = (
    '<?xml version="1.0"?><!DOCTYPE feed [<!ENTITY a "x"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    '<feed xmlns="http://www.w3.org/2005/Atom"><title>&b;</title></feed>'
)
PAYMENT_HEADER = "payment_id,contract_id,direction,received_at,amount,currency_code,recorded_at"
BAD_LEASE = (
    f"bad,1,t,{CONTRACT},{NORTH}-a,GB300,many,2027-03-01T00:00:00Z,2027-03-02T00:00:00Z,2.5,USD,training,third_party,"
    f"reserved,active,{RECORDED}\n"
)
LINE_WITHOUT_END = b"x" * 50_000_000
MEMORY_KIB = 4 * 1024**2

# Every kind of bad input that a feed may bring: feed, name, content, and what becomes of it, by rule.
BAD_FILES: tuple[tuple[str, str, bytes, str, str], ...] = (
    ("payments", "junk.csv", random.Random(1).randbytes(100_000), "rejected", "unreadable"),
    ("gpu_telemetry", "error.csv", b"<!DOCTYPE html>\n<html><body>502</body></html>\n", "rejected", "unreadable"),
    ("leases", "mark.csv", f"\ufeff{LEASE_HEADER}\n{BAD_LEASE}".encode(), "landed", "not_an_integer"),
    ("lease_usage", "comma.csv", f'{USAGE_HEADER}\nL,{HOUR},"2,5",{RECORDED}\n'.encode(), "landed", "not_a_number"),
    ("payments", "line.csv", f"{PAYMENT_HEADER}\n".encode() + LINE_WITHOUT_END + b"\n", "landed", "line_too_long"),
    ("payments", "bomb.csv.gz", gzip.compress(PAYMENT_HEADER.encode() + b"\n" * 80_000_000), "rejected", "unreadable"),
    ("power_meter", "bomb.xml", ENTITY_BOMB.encode(), "rejected", "unreadable"),
    (
        "leases",
        "x'); DROP TABLE raw.leases; --<b>.csv",
        f"{LEASE_HEADER}\n{BAD_LEASE}\n".encode(),
        "landed",
        "not_an_integer",
    ),
)


def lists_for_numbers() -> bytes:
    """A Parquet file with a feed's columns and other types."""
    columns = ("meter_id", "register", "role", "interval_start_at", "interval_end_at", "energy_kwh", "quality")
    buffer = io.BytesIO()
    pl.DataFrame({name: [[1, 2]] for name in columns}).write_parquet(buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def spoilt(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The finished home with every kind of bad input dropped into it, run again."""
    home = copy_home(finished, tmp_path_factory.mktemp("spoilt") / "home")
    landing = home / "landing" / NORTH
    (landing / "gpu_telemetry" / "unreadable.parquet").write_bytes(b"PAR1 this is no parquet file PAR1")
    (landing / "payments" / "other-header.csv").write_text("who,what,when\nme,money,today\n")
    (landing / "leases" / "out-of-type.csv").write_text(
        f"{LEASE_HEADER}\nspoilt-1,1,t,{CONTRACT},{NORTH}-a,GB300,many,2027-03-01T00:00:00Z,2027-03-02T00:00:00Z,2.5,USD,"
        f"training,third_party,reserved,active,{RECORDED}\n"
    )
    (landing / "lease_usage" / "unknown-lease.csv").write_text(f"{USAGE_HEADER}\nnobodys-lease,{HOUR},1,{RECORDED}\n")
    for feed, name, content, _, _ in BAD_FILES:
        (landing / feed / name).write_bytes(content)
    (landing / "power_meter" / "lists.parquet").write_bytes(lists_for_numbers())
    outside = home.parent / "outside.csv"
    outside.write_text(f"{PAYMENT_HEADER}\nsecret,{CONTRACT},paid,{RECORDED},5.00,USD,{RECORDED}\n")
    (landing / "payments" / "link.csv").symlink_to(outside)
    (home / "policies" / "feeds.yaml").write_text("rule_severity: {crosses_day: block}\n")
    (home / "landing" / SOUTH / "power_meter" / "two-days.csv").write_text(
        "meter_id,register,role,interval_start_at,interval_end_at,energy_kwh,quality\n"
        f"m,1,facility,{HELD_DAY}T12:00:00Z,2027-03-13T12:00:00Z,5,actual\n"
    )
    contract = (
        (home / "contracts" / f"{CONTRACT}.yaml").read_text().replace(f"contract_id: {CONTRACT}", "contract_id: {id}")
    )
    (home / "contracts" / "unknown-key.yaml").write_text(
        contract.replace("{id}", "unknown-key").replace("payment_terms_days: 30", "payment_terms_dayz: 30")
    )
    (home / "contracts" / "rising.yaml").write_text(
        contract.replace("{id}", "rising")
        .replace('from: 4, to: null, rate: "0.20"', 'from: 4, to: null, rate: "0.30"')
        .replace("base_measure: net_billed", "base_measure: net_billed\n      declining: true")
    )
    write_strange_parks(home)
    return home, parkledger(home, "run")


def write_strange_parks(home: Path) -> None:
    """Names that are more than names, a park under no contract, and one of whose feeds but two leases ever came."""
    name = json.dumps(HOSTILE, ensure_ascii=False)
    north = home / "parks" / f"{NORTH}.yaml"
    park = north.read_text().replace(f"park_name: {NORTH}", f"park_name: {name}")
    north.write_text(park.replace("operator_name: Op,", f"operator_name: {name},"))
    (home / "home.yaml").write_text((home / "home.yaml").read_text().replace("title: Test", f"title: {name}"))
    south = (home / "parks" / f"{SOUTH}.yaml").read_text()
    alone = south.replace(f"contract_id: {SOUTH}-c", "contract_id: null").replace(SOUTH, EAST)
    (home / "parks" / f"{EAST}.yaml").write_text(alone)
    (home / "parks" / f"{WEST}.yaml").write_text(south.replace(SOUTH, WEST))
    agreed = (home / "contracts" / f"{SOUTH}-c.yaml").read_text().replace(SOUTH, WEST)
    (home / "contracts" / f"{WEST}-c.yaml").write_text(agreed)
    tenant = HOSTILE.replace('"', '""')
    for lease, tenant_id, contract, park, months in (
        # Sydney's days begin at 13:00 UTC of the day before.
        ("east-1", tenant, "", EAST, ("2027-01-31", "2027-04-30")),
        ("west-1", "t-west", f"{WEST}-c", WEST, ("2027-01-31", "2027-02-28")),
        ("west-2", "t-west", f"{WEST}-c", WEST, ("2027-03-31", "2027-04-30")),
    ):
        folder = home / "landing" / park / "leases"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{lease}.csv").write_text(
            f'{LEASE_HEADER}\n{lease},1,"{tenant_id}",{contract},{park}-a,GB300,10,{months[0]}T13:00:00Z,'
            f"{months[1]}T13:00:00Z,2.5,USD,training,third_party,reserved,active,{RECORDED}\n"
        )


def the(home: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "published" / "parkledger.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_a_run_over_bad_input_still_publishes(spoilt: tuple[Path, Any]) -> None:
    _, done = spoilt
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Published run" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_every_kind_of_bad_file_is_named_with_its_rule_and_its_rows_add_up(spoilt: tuple[Path, Any]) -> None:
    home, _ = spoilt
    found = {
        path.rpartition("/")[2]: (state, rule)
        for path, state, rule in the(
            home,
            "SELECT DISTINCT path, state, coalesce(rule, split_part(reason, ':', 1)) FROM quality.fct_landed_file "
            "LEFT JOIN quality.fct_quarantined_row USING (file_id, park_id, feed)",
        )
    }
    wanted = {name: (state, rule) for _, name, _, state, rule in BAD_FILES}
    wanted |= {"lists.parquet": ("rejected", "unreadable"), "link.csv": ("rejected", "not_a_plain_file")}
    assert {name: found.get(name) for name in wanted} == wanted
    sums = "landed_count + duplicate_count + superseded_count + quarantined_count"
    assert the(home, f"SELECT path FROM quality.fct_landed_file WHERE row_count <> {sums}") == []
    assert the(home, "SELECT max(length(row_text)) < 10000 FROM quality.fct_quarantined_row") == [(True,)]


def test_bad_input_is_read_in_bounded_memory(spoilt: tuple[Path, Any]) -> None:
    assert spoilt[1].returncode == 0
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < MEMORY_KIB


@pytest.mark.parametrize(("feed", "name"), [("gpu_telemetry", "unreadable.parquet"), ("payments", "other-header.csv")])
def test_a_file_that_cannot_be_read_is_rejected_with_a_reason(spoilt: tuple[Path, Any], feed: str, name: str) -> None:
    home, _ = spoilt
    ((state, reason),) = the(
        home,
        f"SELECT state, reason FROM quality.fct_landed_file WHERE path LIKE '%/{feed}/{name}' AND park_id = '{NORTH}'",
    )
    assert state == "rejected"
    assert len(reason) > 20


@pytest.mark.parametrize(("name", "column"), [("out-of-type.csv", "gpu_count"), ("unknown-lease.csv", "lease_id")])
def test_a_row_that_cannot_be_used_is_quarantined_by_line_and_rule(
    spoilt: tuple[Path, Any], name: str, column: str
) -> None:
    home, _ = spoilt
    ((line_no, rule, found, text),) = the(
        home,
        "SELECT line_no, rule, column_name, row_text FROM quality.fct_quarantined_row "
        f"JOIN quality.fct_landed_file USING (file_id, park_id, feed) WHERE path LIKE '%/{name}'",
    )
    assert (line_no, found) == (2, column)
    assert rule
    assert text.startswith(("spoilt-1", "nobodys-lease"))


def test_a_blocking_rule_holds_back_one_day_of_one_park_and_the_rest_is_published(
    spoilt: tuple[Path, Any], finished: Path
) -> None:
    home, done = spoilt
    partition = the(
        home, "SELECT park_id, feed, service_date::VARCHAR, rule, broken_row_count FROM quality.fct_held_partition"
    )
    assert partition == [(SOUTH, "power_meter", HELD_DAY, "crosses_day", 1)]
    named = f"{SOUTH} power_meter {HELD_DAY} is held back"
    assert named in " ".join(done.stdout.split())
    assert f"{SOUTH} power_meter {HELD_DAY} (" in CliRunner().invoke(cli.app, ["--home", str(home), "status"]).output
    exceptions = "SELECT park_id, lease_id, service_date::VARCHAR, unit FROM metering.fct_metering_exceptions"
    assert the(home, f"{exceptions} WHERE kind = 'partition_held_back'") == [(SOUTH, "power_meter", HELD_DAY, "rows")]
    of_meters = "SELECT * FROM metering.fct_power_day WHERE facility_energy_kwh IS NOT NULL"
    others = f"{of_meters} AND NOT (park_id = '{SOUTH}' AND service_date = DATE '{HELD_DAY}') ORDER BY ALL"
    assert the(home, others) == the(finished, others)
    held = f"{of_meters} AND park_id = '{SOUTH}' AND service_date = DATE '{HELD_DAY}'"
    assert (len(the(home, held)), len(the(finished, held))) == (0, 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unknown-key.yaml", ["payment_terms_dayz", "did you mean payment_terms_days"]),
        ("rising.yaml", ["declining"]),
    ],
)
def test_a_bad_contract_is_left_out_with_file_line_key_and_remedy(
    spoilt: tuple[Path, Any], name: str, words: list[str]
) -> None:
    home, done = spoilt
    said = [line for line in " ".join(done.stderr.split()).split("left out: ") if name in line]
    assert said, done.stderr
    assert any(f"{name}:" in line and all(word in line for word in words) and "(" in line for line in said), said
    assert the(home, "SELECT count(*) FROM core.dim_contract WHERE contract_id IN ('unknown-key', 'rising')") == [(0,)]


def test_the_books_beside_bad_input_are_those_without_it(spoilt: tuple[Path, Any], finished: Path) -> None:
    home, _ = spoilt
    for table in ("revenue_share.fct_share_month", "backstop.fct_backstop_month", "credit.fct_receivable_item"):
        others = f"FROM {table} WHERE contract_id <> '{WEST}-c' ORDER BY ALL"
        assert the(home, others) == the(finished, f"FROM {table} ORDER BY ALL")


class _Tags(HTMLParser):
    """Elements of a page, and what of them would act."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.acts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.acts += [name for name, _ in attrs if name.startswith("on")]


def assert_safe(folder: Path, name: str) -> str:
    """Page, paper and workbook of one report hold names as text alone; the page's text."""
    text = (folder / f"{name}.html").read_text()
    page = _Tags()
    page.feed(text)
    assert ("img" in page.tags, page.tags.count("script"), page.acts) == (False, 1, [])
    assert "\u202e" not in text
    assert len(pypdf.PdfReader(folder / f"{name}.pdf").pages) > 0
    book = openpyxl.load_workbook(folder / f"{name}.xlsx")
    cells = (cell for sheet in book for line in sheet.iter_rows() for cell in line)
    assert not [cell.value for cell in cells if cell.data_type == "f" and "HYPERLINK" in str(cell.value)]
    return text


def test_the_monitor_over_strange_names_and_silent_parks_is_safe_and_says_what_is_missing(
    spoilt: tuple[Path, Any],
) -> None:
    home, _ = spoilt
    (page,) = (home / "reports").glob("*/monitor.html")
    text = assert_safe(page.parent, "monitor")
    assert "&lt;img src=x" in text
    # A metric that is null everywhere has a row, and its reason.
    empty = the(home, "SELECT metric FROM monitor.fct_metric_month GROUP BY ALL HAVING count(value) = 0")
    assert ("liquidity_months",) in empty
    assert "reference/operator_facts.csv" in text
    # A park under no contract is there with its tranches, and in no book.
    assert the(home, f"SELECT contract_id FROM core.dim_tranche WHERE park_id = '{EAST}'") == [(None,), (None,)]
    assert f"{EAST}-a" in text


def test_a_month_with_nothing_has_rows_that_say_so_and_not_zeros_that_mislead(spoilt: tuple[Path, Any]) -> None:
    home, _ = spoilt
    share = the(
        home,
        f"SELECT month(service_month), share_amount > 0 FROM revenue_share.fct_share_month WHERE contract_id = '{WEST}-c' ORDER BY 1",
    )
    assert share == [(1, False), (2, True), (3, False)]
    used = the(
        home,
        "SELECT month(month), value, null_reason FROM monitor.fct_metric_month "
        f"WHERE metric = 'utilization_fraction' AND entity_id = '{WEST}' ORDER BY month",
    )
    assert used == [(month, None, "no telemetry of the month") for month in (1, 2, 3)]


def test_sheets_over_strange_names_are_safe_also_of_an_operator_without_a_contract(spoilt: tuple[Path, Any]) -> None:
    home, _ = spoilt
    written = write_sheets(home / "published", home / "sheets", ("operator", None))
    written += write_sheets(home / "published", home / "sheets", ("tenant", HOSTILE))
    pages = [path for path in written if path.suffix == ".html"]
    assert len(pages) == 5  # four operators and the tenant
    texts = {path.stem: assert_safe(path.parent, path.stem) for path in pages}
    assert "there is no contract here" in texts[f"operator-{EAST}-op"]


def test_a_report_as_of_a_day_before_the_first_data_says_that_nothing_is_known(spoilt: tuple[Path, Any]) -> None:
    home, _ = spoilt
    drawn = CliRunner().invoke(cli.app, ["--home", str(home), "--as-of", "2025-05-31", "report"])
    assert drawn.exit_code == 0, drawn.output
    text = assert_safe(home / "reports" / "2025-05-31", "monitor")
    assert "has no rows up to May\u00a02025" in text
    assert "USD" not in text.split("What moved since")[0].split("<main")[1]  # no figure where there is none


def test_a_folder_without_a_home_is_named_with_the_command_that_makes_one(tmp_path: Path) -> None:
    done = parkledger(tmp_path / "nowhere", "run")
    assert done.returncode == 3
    assert "home.yaml" in done.stderr
    assert "parkledger init" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title: [x\n", ["home.yaml:"]),
        ("title: x\nas_off: 2027-12-31\n", ["home.yaml:2", "as_off", "did you mean as_of"]),
    ],
)
def test_an_invalid_home_file_is_named_by_line_and_key(tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "home.yaml").write_text(text)
    done = parkledger(tmp_path, "run")
    assert done.returncode == 3
    assert [word for word in words if word not in done.stderr] == []
    assert "Traceback" not in done.stderr


def test_a_home_as_init_makes_it_is_told_to_write_a_park(tmp_path: Path) -> None:
    assert parkledger(tmp_path, "init", str(tmp_path / "books")).returncode == 0
    done = parkledger(tmp_path / "books", "run")
    assert done.returncode == cli.EXIT_BAD_INPUT
    assert "parks: there is no park. Copy example.yaml.txt there to <park_id>.yaml and fill it in" in done.stderr


def test_default_rates_without_rows_end_at_once_with_file_and_remedy(tmp_path: Path) -> None:
    home = write_small_home(tmp_path / "home")
    (home / "reference" / "default_rates.csv").write_text(
        "agency,rating,horizon_years,cumulative_default_rate,withdrawn_rate,source\n"
    )
    done = parkledger(home, "run")
    assert done.returncode == cli.EXIT_BAD_INPUT
    assert "reference/default_rates.csv:0: file: it has no rows. Credit loss needs it" in done.stderr
    assert not (home / "dagster").exists()


def test_a_malformed_reference_table_ends_at_once_with_file_line_column_and_remedy(tmp_path: Path) -> None:
    home = write_small_home(tmp_path / "home")
    path = home / "reference" / "default_rates.csv"
    path.write_text(path.read_text().replace("SP,B,1,0.0376", "SP,B,1,0_0376", 1))
    done = parkledger(home, "run")
    assert (done.returncode, (home / "dagster").exists()) == (cli.EXIT_BAD_INPUT, False)
    assert "cumulative_default_rate: '0_0376' is no decimal number. Correct the cell." in done.stderr


@pytest.mark.parametrize("command", [["sql", "SELECT 1"], ["report"], ["status"], ["verify"], ["close", "2027-01"]])
def test_nothing_can_be_asked_before_the_first_run(
    tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = write_small_home(tmp_path / "home")
    result = CliRunner().invoke(cli.app, ["--home", str(home), *command])
    assert result.exit_code == 5
    assert "Nothing is published" in result.output


def test_status_of_a_new_home_says_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    assert CliRunner().invoke(cli.app, ["init", str(tmp_path / "new")]).exit_code == 0
    empty = CliRunner().invoke(cli.app, ["--home", str(tmp_path / "new"), "status"])
    assert (empty.exit_code, "There is no park: copy" in empty.output) == (5, True)
    home = make_home(tmp_path / "one")
    found = CliRunner().invoke(cli.app, ["--home", str(home), "status", "--json"])
    answer = json.loads(found.output)
    assert (found.exit_code, answer["run_id"], answer["last_run"], answer["months"]) == (5, None, None, [])
    assert {(f["feed"], f["files"], f["last_day"]) for f in answer["feeds"]} == {
        ("gpu_telemetry", 0, None),
        ("power_meter", 0, None),
    }
    said = "\n".join(answer["to_do"])
    assert "Nothing is published" in said
    assert f"Put its files under {home}/landing/{PARK_ID}/gpu_telemetry/" in said
    assert [s["name"] for s in answer["next_schedules"]] == [
        "daily_settlement_my_park_1",
        "monthly_close",
        "monthly_report",
    ]


def test_wrong_usage_is_exit_2(tmp_path: Path) -> None:
    assert CliRunner().invoke(cli.app, ["--as-of", "2027-13-01", "run"]).exit_code == 2
    (tmp_path / "mine.txt").write_text("mine")
    assert CliRunner().invoke(cli.app, ["init", str(tmp_path)]).exit_code == 2
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.fixture
def published_again(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the home for a run in this process, whose environment is given back afterwards."""
    for name, value in {"DAGSTER_HOME": "", "PARKLEDGER_WAREHOUSE": "", "PARKLEDGER_RUN_ID": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PARKLEDGER_MEMORY_LIMIT", "2GB")
    home = copy_home(finished, tmp_path / "home")
    yield home
    shutil.rmtree(home)


def test_a_failed_audit_leaves_the_snapshot_as_it_was_and_says_why(
    published_again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = "SELECT count(*), count(*) FILTER (WHERE TRUE), '12.34' FROM ledger.fct_journal_lines"
    broken = identities.Identity("debits are credits, says the test", "ledger.fct_journal_lines", books)
    monkeypatch.setattr(identities, "IDENTITIES", (broken, *identities.IDENTITIES))
    before = everything_in(published_again / "published"), everything_in(published_again / "reports")
    result = CliRunner().invoke(cli.app, ["--home", str(published_again), "run", "--force"])
    assert result.exit_code == 4, result.output
    said = " ".join(result.output.split())
    assert "check failed: published/candidate identities: debits are credits, says the test" in said
    assert "12.34" in said
    assert "what was published before stands" in said
    after = everything_in(published_again / "published"), everything_in(published_again / "reports")
    assert {k: v for k, v in after[0].items() if not k.startswith(".candidate")} == before[0]
    assert after[1] == before[1]


def test_a_file_of_no_known_format_is_not_taken_in(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished, tmp_path / "home", with_results=False)
    before = everything_in(home)
    (tmp_path / "poem.csv").write_text("roses,are,red\n1,2,3\n")
    command = ["--home", str(home), "land", str(tmp_path / "poem.csv"), "--park", SOUTH, "--feed", "payments"]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 3
    assert "poem.csv" in result.output
    assert everything_in(home) == before
