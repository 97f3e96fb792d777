"""The generator's exact statement: the worked month of the readings, and payments that settle what was owed."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from simulated_home import NORTH, SOUTH, load, write_home

from ingest.simulate import cash, days, world
from ingest.simulate.book import Adjustment, LeaseVersion, Usage, make_leases, windows
from ingest.simulate.home import contract_plan, park_plan, simulate
from ingest.simulate.outages import DeclaredEvent
from ingest.simulate.plan import (
    BackstopTerms,
    ContractPlan,
    ParkPlan,
    ShareTerms,
    Step,
    Tier,
    TranchePlan,
    VersionPlan,
)
from ingest.simulate.profiles import load_profile
from ingest.simulate.statement import Facts, OutageFact, Statement, to_minor_unit
from ingest.terms.home import IMPERFECTIONS

FEBRUARY = date(2027, 2, 1)
LATER = datetime(2028, 1, 1, tzinfo=UTC)
ZONE = ZoneInfo("Australia/Sydney")


def tier(rate: str) -> Tier:
    return Tier("contract_month", 1, None, None, None, None, None, Decimal(rate), "marginal")


def share_terms(**changes: object) -> ShareTerms:
    terms: dict[str, object] = {
        "share_id": "share",
        "share_basis": "pct_of_base",
        "base_measure": "net_billed",
        "customer_scope": "third_party_only",
        "exclusions": frozenset({"sales_tax"}),
        "floor_price": None,
        "breakpoint_amount": None,
        "tiers": (tier("0.25"),),
        "minimum_month": None,
        "cap_month": None,
        "lifetime_cap": None,
        "carry_forward": False,
        "statement_due_days": 15,
        "payment_terms_days": 60,
        "withholding_tax_rate": Decimal(0),
        "gross_up": False,
        "unsupported": (),
    }
    return ShareTerms(**(terms | changes))  # type: ignore[arg-type]


def backstop_terms(**changes: object) -> BackstopTerms:
    terms: dict[str, object] = {
        "committed_fraction": Decimal("0.85"),
        "ramp": (),
        "excluded_causes": frozenset({"operator_fault", "maintenance_above_allowance"}),
        "maintenance_allowance_fraction": Decimal("0.02"),
        "longstop_days": None,
        "deductible_gpu_hours": None,
        "deductible_fraction": Decimal("0.05"),
        "prices": (Step(1, None, Decimal("2.00")),),
        "cap_month": None,
        "lifetime_cap": None,
        "buyer_own_use_reduces": True,
        "claim_notice_days": 20,
        "claim_payment_days": 45,
        "expiry_date": date(2032, 12, 31),
        "unsupported": (),
    }
    return BackstopTerms(**(terms | changes))  # type: ignore[arg-type]


def lease(**changes: object) -> LeaseVersion:
    row: dict[str, object] = {
        "lease_id": "L1",
        "version": 1,
        "tenant_id": "T",
        "tenant_name": "T",
        "tenant_parent_id": "T",
        "contract_id": "c",
        "tranche_id": "t",
        "gpu_model": "GB300",
        "gpu_count": 1000,
        "starts_at": days.local_instant(ZONE, FEBRUARY),
        "ends_at": days.local_instant(ZONE, date(2027, 3, 1)),
        "price_per_gpu_hour": Decimal("2.50"),
        "currency_code": "USD",
        "workload": "training",
        "customer_type": "third_party",
        "pricing": "reserved",
        "status": "active",
        "recorded_at": datetime(2027, 1, 1, tzinfo=UTC),
    }
    return LeaseVersion(**(row | changes))  # type: ignore[arg-type]


def adjustment(kind: str, amount: str) -> Adjustment:
    return Adjustment(
        f"A-{kind}", "L1", date(2027, 2, 14), kind, Decimal(amount), "USD", datetime(2027, 2, 15, tzinfo=UTC)
    )


WORKED = Facts(
    leases=[lease()], adjustments=[adjustment("sales_tax", "168000"), adjustment("sla_penalty", "-12345.67")]
)


def statement(
    facts: Facts = WORKED,
    *,
    share: ShareTerms | None = None,
    backstop: BackstopTerms | None = None,
    known_at: datetime = LATER,
    gpus: int = 2000,
) -> Statement:
    tranche = TranchePlan("t", "c", "GB300", gpus, FEBRUARY, FEBRUARY, "a-*")
    park = ParkPlan("p", "op", "B", "SP", ZONE, "USD", 3600, Decimal(1), Decimal(2), (tranche,))
    version = VersionPlan(
        "original", FEBRUARY, datetime(2026, 1, 1, tzinfo=UTC), (share or share_terms(),), backstop or backstop_terms()
    )
    contract = ContractPlan("c", "nvidia", "p", "USD", 2, FEBRUARY, date(2032, 12, 31), (version,))
    return Statement(park, contract, facts, known_at)


def test_the_worked_month_of_the_readings_gives_its_share_and_claim() -> None:
    # Oracle: the worked month at the end of the settled readings.
    assert statement().share(FEBRUARY) == Decimal("416913.58")
    assert statement().claim(FEBRUARY) == Decimal("826560.00")


@pytest.mark.parametrize(
    ("amount", "rounded"), [("0.005", "0.01"), ("-0.005", "-0.01"), ("2.675", "2.68"), ("0.0049", "0.00")]
)
def test_half_a_cent_rounds_away_from_zero(amount: str, rounded: str) -> None:
    assert to_minor_unit(Fraction(Decimal(amount)), 2) == Decimal(rounded)


def test_a_penalty_excluded_by_name_is_not_deducted_twice_from_net() -> None:
    named = share_terms(exclusions=frozenset({"sales_tax", "sla_penalties"}))
    assert statement(share=named).share(FEBRUARY) == Decimal("416913.58")


def test_above_the_floor_counts_only_what_exceeds_floor_times_billed_hours() -> None:
    above = share_terms(share_basis="pct_above_floor", floor_price=Decimal("2.36"), tiers=(tier("0.50"),))
    # (1,667,654.33 − 2.36 × 672,000) × 0.50
    assert statement(share=above).share(FEBRUARY) == Decimal("40867.17")


def test_gross_up_divides_the_invoice_by_what_the_tax_leaves() -> None:
    grossed = share_terms(withholding_tax_rate=Decimal("0.10"), gross_up=True)
    assert statement(share=grossed).share(FEBRUARY) == Decimal("416913.58")
    assert statement(share=grossed).invoiced(FEBRUARY) == Decimal("463237.31")  # 416,913.5825 ÷ 0.9


def test_a_metered_lease_bills_what_it_used_and_not_what_it_holds() -> None:
    used = Usage(
        "L1",
        days.local_instant(ZONE, date(2027, 2, 3)),
        days.local_instant(ZONE, date(2027, 2, 4)),
        Decimal("100.5"),
        datetime(2027, 2, 4, tzinfo=UTC),
    )
    facts = Facts(leases=[lease(pricing="metered")], usage=[used])
    assert statement(facts).share(FEBRUARY) == Decimal("62.81")  # 100.5 × 2.50 × 0.25 = 62.8125


def test_a_correction_counts_from_when_it_was_recorded() -> None:
    def row(hours: str, day: int) -> Usage:
        start = days.local_instant(ZONE, date(2027, 2, 3))
        return Usage(
            "L1", start, days.local_instant(ZONE, date(2027, 2, 4)), Decimal(hours), datetime(2027, 2, day, tzinfo=UTC)
        )

    facts = Facts(leases=[lease(pricing="metered")], usage=[row("50", 4), row("100", 9)])
    assert statement(facts, known_at=datetime(2027, 2, 8, tzinfo=UTC)).share(FEBRUARY) == Decimal("31.25")
    assert statement(facts, known_at=datetime(2027, 2, 9, tzinfo=UTC)).share(FEBRUARY) == Decimal("62.50")


def test_a_lease_that_was_cancelled_bills_nothing_and_one_that_ended_bills_to_its_end() -> None:
    gone = Facts(leases=[lease(), lease(version=2, status="cancelled")])
    assert statement(gone).share(FEBRUARY) == 0
    half = days.local_instant(ZONE, date(2027, 2, 15))
    short = Facts(leases=[lease(), lease(version=2, status="ended", ends_at=half)])
    assert statement(short).share(FEBRUARY) == Decimal("210000.00")


def test_only_maintenance_above_the_allowance_is_excluded() -> None:
    def event(hours: int) -> DeclaredEvent:
        start = days.local_instant(ZONE, date(2027, 2, 10))
        end = datetime.fromtimestamp(start.timestamp() + 3600 * hours, UTC)
        return DeclaredEvent("e", "maintenance", "t", start, end, 28, 2000, True, start)

    allowed = Facts(leases=[lease()], events=[event(13)])  # 26,000 h of an allowance of 26,880 h
    beyond = Facts(leases=[lease()], events=[event(24)])  # 48,000 h: 21,120 h are excluded
    assert statement(allowed).claim(FEBRUARY) == Decimal("826560.00")
    assert statement(beyond).claim(FEBRUARY) == Decimal("826560.00") - 2 * 21_120


def test_hours_without_a_sample_are_the_operators_only_if_its_faults_are_excluded() -> None:
    facts = Facts(
        leases=[lease()], outages=[OutageFact("t", date(2027, 2, 10), 5_000, datetime(2027, 2, 11, tzinfo=UTC))]
    )
    assert statement(facts).claim(FEBRUARY) == Decimal("816560.00")
    ours = backstop_terms(excluded_causes=frozenset())
    assert statement(facts, backstop=ours).claim(FEBRUARY) == Decimal("826560.00")


def test_caps_of_the_month_and_of_the_life_bind() -> None:
    capped = backstop_terms(cap_month=Decimal("500000"))
    assert statement(backstop=capped).claim(FEBRUARY) == Decimal("500000")
    for_life = backstop_terms(lifetime_cap=Decimal("900000"))
    empty = statement(Facts(), backstop=for_life)
    assert empty.claim(FEBRUARY) == Decimal("900000")
    assert empty.claim(date(2027, 3, 1)) == 0


def test_the_vendors_own_use_is_neither_unsold_nor_in_the_share() -> None:
    own = Facts(leases=[lease(customer_type="vendor_own_use")])
    assert statement(own).share(FEBRUARY) == 0
    assert statement(own).claim(FEBRUARY) == Decimal("826560.00")


def test_windows_follow_the_versions_in_order_of_their_starts() -> None:
    middle = days.local_instant(ZONE, date(2027, 2, 15))
    held = windows([lease(), lease(version=2, starts_at=middle, price_per_gpu_hour=Decimal(3))])["L1"]
    assert [(window.version.version, window.end_at) for window in held] == [(1, middle), (2, lease().ends_at)]


# Payments of a whole simulated home against the statement drawn from its files.


@pytest.fixture(scope="module")
def home_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_home(tmp_path_factory.mktemp("paid"), as_of="2027-10-31")
    simulate(load(path))
    return path


def read_feed(home: Path, park: str, feed: str) -> pl.DataFrame:
    paths = [
        path
        for path in sorted((home / "landing" / park / feed).glob("simulated-*"))
        if not any(word in path.name for word in ("broken", "again", "wrong-header", "truncated"))
    ]
    if feed == "gpu_telemetry":
        paths = [path for path in paths if path.suffix == ".parquet"]
        return pl.concat(pl.read_parquet(path) for path in paths)
    return pl.concat(pl.read_csv(path, infer_schema=False) for path in paths)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def facts_of_files(home_path: Path, park_id: str) -> Facts:
    """Facts read back from the landed files alone; outages counted from the samples that are there."""
    home = load(home_path)
    park = park_plan(home.parks[park_id])
    leases = [
        LeaseVersion(
            **{
                **row,
                "version": int(row["version"]),
                "gpu_count": int(row["gpu_count"]),
                "price_per_gpu_hour": Decimal(row["price_per_gpu_hour"]),
                **{name: instant(row[name]) for name in ("starts_at", "ends_at", "recorded_at")},
            }
        )
        for row in read_feed(home_path, park_id, "leases").to_dicts()
    ]
    usage = [
        Usage(
            row["lease_id"],
            instant(row["interval_start_at"]),
            instant(row["interval_end_at"]),
            Decimal(row["gpu_hours"]),
            instant(row["recorded_at"]),
        )
        for row in read_feed(home_path, park_id, "lease_usage").to_dicts()
    ]
    adjustments = [
        Adjustment(
            row["adjustment_id"],
            row["lease_id"],
            date.fromisoformat(row["service_date"]),
            row["kind"],
            Decimal(row["amount"]),
            row["currency_code"],
            instant(row["recorded_at"]),
        )
        for row in read_feed(home_path, park_id, "lease_adjustments").to_dicts()
    ]
    events = [
        DeclaredEvent(
            row["event_id"],
            row["kind"],
            row["tranche_id"],
            instant(row["effective_at"]),
            instant(row["ends_at"]),
            0,
            int(row["gpu_count"]),
            True,
            instant(row["recorded_at"]),
        )
        for row in read_feed(home_path, park_id, "credit_events").to_dicts()
        if row["tranche_id"]
    ]
    return Facts(leases, usage, adjustments, events, _outages(home_path, park, events, load(home_path).clock_at))


def _outages(home_path: Path, park: ParkPlan, events: list[DeclaredEvent], clock_at: datetime) -> list[OutageFact]:
    fatal = load(home_path).policies.fatal_xid_codes
    rows = read_feed(home_path, park.park_id, "gpu_telemetry").with_columns(
        pl.col("sampled_at").dt.convert_time_zone(str(park.zone)).dt.date().alias("day"),
        (pl.col("xid_code").is_in(fatal).fill_null(value=False)).alias("is_fatal"),
    )
    rows = rows.sort("recorded_at").unique(["gpu_id", "sampled_at"], keep="first", maintain_order=True)
    found: list[OutageFact] = []
    for tranche in park.tranches:
        prefix = tranche.nodes.rstrip("*")
        seen = (
            rows.filter(pl.col("node_id").str.starts_with(prefix))
            .group_by("day", "recorded_at")
            .agg(
                pl.col("gpu_count").sum(),
                pl.col("gpu_count").filter("is_fatal").sum().alias("fatal"),
            )
        )
        by_day: dict[date, list[tuple[datetime, int, int]]] = {}
        for day, known_at, sampled, faults in seen.sort("recorded_at").iter_rows():
            by_day.setdefault(day, []).append((known_at, sampled, faults))
        last = days.local_date(park.zone, clock_at)
        for day in days.days_between(tranche.energised_date, last):
            start, end = (
                days.local_instant(park.zone, day),
                days.local_instant(park.zone, date.fromordinal(day.toordinal() + 1)),
            )
            declared = sum(
                int(max(0.0, (min(end, event.end_at) - max(start, event.start_at)).total_seconds()))
                // 3600
                * event.gpu_count
                for event in events
                if event.tranche_id == tranche.tranche_id
            )
            installed = int((end - start).total_seconds()) // 3600 * tranche.gpu_count
            found.append(OutageFact(tranche.tranche_id, day, max(0, installed - declared), start))
            missing = installed
            for known_at, sampled, faults in by_day.get(day, []):
                before = max(0, missing - declared)
                missing -= sampled
                change = max(0, missing - declared) + faults - before
                found.append(OutageFact(tranche.tranche_id, day, change, known_at))
    return found


@pytest.mark.parametrize("park_id", [NORTH, SOUTH])
def test_what_was_paid_is_what_a_statement_drawn_from_the_files_says(home_path: Path, park_id: str) -> None:
    home = load(home_path)
    park, contract = park_plan(home.parks[park_id]), contract_plan(home.contracts[f"{park_id}-c"])
    facts = facts_of_files(home_path, park_id)
    closes = cash.Closes(park, contract, facts, home.policies.close_after_days, home.clock_at)
    payments = read_feed(home_path, park_id, "payments").with_columns(pl.col("amount").cast(pl.Decimal(38, 2)))
    sums = {
        (direction, reference): amount
        for direction, reference, amount in payments.group_by("direction", "remittance_reference")
        .agg(pl.col("amount").sum())
        .iter_rows()
    }
    backstop = contract.versions[0].backstop
    assert backstop is not None
    invoices = {row.reference(contract.contract_id, "invoice_share"): row for row in cash.share_documents(closes)}
    received = {key: sums["received", key] for key in invoices if ("received", key) in sums}
    assert len(received) >= 5
    differing = [invoices[key].amount - amount for key, amount in received.items() if invoices[key].amount != amount]
    # The late payer keeps a little back from one invoice: it is written off.
    written_off = [
        Decimal(row["amount"])
        for row in read_feed(home_path, park_id, "credit_events").to_dicts()
        if row["kind"] == "write_off"
    ]
    assert differing == written_off
    assert park_id == SOUTH or all(row.due_date > date(2027, 9, 30) or key in received for key, row in invoices.items())
    # What a correction takes off a claim is kept from the next payment, so that claims agree in sum.
    claims = [row for row in cash.claim_documents(closes, backstop) if row.due_date < date(2027, 10, 30)]
    paid = sum((amount for (direction, _), amount in sums.items() if direction == "paid"), Decimal(0))
    assert len(claims) >= 5
    assert paid == sum(row.amount for row in claims)


def test_the_first_park_pays_in_time_and_the_second_late_and_once_in_parts(home_path: Path) -> None:
    late = {}
    for park_id in (NORTH, SOUTH):
        home = load(home_path)
        made = read_feed(home_path, park_id, "payments").filter(
            pl.col("remittance_reference").str.contains(":invoice_share:")
        )
        park, contract = park_plan(home.parks[park_id]), contract_plan(home.contracts[f"{park_id}-c"])
        closes = cash.Closes(park, contract, facts_of_files(home_path, park_id), 10, home.clock_at)
        due = {
            row.reference(contract.contract_id, "invoice_share"): row.due_date for row in cash.share_documents(closes)
        }
        late[park_id] = [
            (days.local_date(park.zone, instant(row["received_at"])) - due[row["remittance_reference"]]).days
            for row in made.to_dicts()
        ]
        counts = made.group_by("remittance_reference").len()["len"]
        assert counts.max() == (2 if park_id == SOUTH else 1)
    assert max(late[NORTH]) <= 0
    assert min(late[SOUTH]) > 0


def test_one_receipt_is_funded_by_a_claim_and_one_is_explained_by_nothing(home_path: Path) -> None:
    south = read_feed(home_path, SOUTH, "payments")
    assert south.filter(pl.col("funded_by_claim") == "true").height == 1
    assert south.filter(pl.col("payment_id").str.contains("unmatched")).height == 1
    north = read_feed(home_path, NORTH, "payments").filter(pl.col("payment_id").str.contains("unmatched"))
    assert north["amount"].cast(pl.Decimal(18, 2)).sum() == 0


def test_every_kind_of_adjustment_and_the_events_of_credit_appear(home_path: Path) -> None:
    kinds = set(read_feed(home_path, SOUTH, "lease_adjustments")["kind"])
    assert kinds == {"credit", "refund", "sla_penalty", "sales_tax", "power_passthrough", "bad_debt", "other_revenue"}
    events = set(read_feed(home_path, SOUTH, "credit_events")["kind"])
    assert {
        "maintenance",
        "operator_fault",
        "power_curtailment",
        "delivery",
        "dispute_opened",
        "dispute_closed",
    } <= events
    assert {"rating_change", "write_off"} <= events


def test_the_world_does_not_depend_on_the_clock(home_path: Path) -> None:
    home = load(home_path)
    park = park_plan(home.parks[NORTH])
    contracts = {f"{NORTH}-c": contract_plan(home.contracts[f"{NORTH}-c"])}
    short, long = (
        world.make_world(
            7,
            park,
            contracts,
            make_leases(7, park, contracts, {}),
            last_month=last,
            close_after_days=10,
            profile=load_profile(),
            fatal_codes=[79],
            imperfections=frozenset(IMPERFECTIONS),
        )
        for last in (date(2027, 3, 1), date(2027, 6, 1))
    )
    assert short.facts.leases == long.facts.leases
    known = {(row.tranche_id, row.service_date, row.gpu_hours) for row in long.facts.outages}
    assert {(row.tranche_id, row.service_date, row.gpu_hours) for row in short.facts.outages} <= known
