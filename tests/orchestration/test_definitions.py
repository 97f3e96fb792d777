"""What Dagster knows of the demo home: names, partitions, schedules and the sensor, pinned."""

import difflib
import os
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster._core.definitions.automation_tick_evaluation_context import build_run_requests_with_backfill_policies
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.storage.tags import BACKFILL_ID_TAG
from dagster._utils.schedules import schedule_execution_time_iterator

from orchestration import timetable
from orchestration.assets import warehouse
from orchestration.definitions import CLOSE, SETTLEMENT, build_definitions
from orchestration.partitions import (
    RANGE_END_TAG,
    RANGE_START_TAG,
    day_partitions,
    days_anew,
    range_tags,
    service_days,
)
from orchestration.resources import HomeFolder
from orchestration.settings import Settings
from orchestration.state import load, note_what_is_read, remember

REPOSITORY = Path(__file__).resolve().parents[2]
KEYS = Path(__file__).with_name("asset_keys.txt")
# Leases and assignments stand for spans of days; the rows of all other feeds belong to one.
DAILY = {
    f"raw/{feed}"
    for feed in ("gpu_telemetry", "power_meter", "lease_usage", "lease_adjustments", "payments", "credit_events")
}
PARK_ZONES = {"firmus-batam-1": "Asia/Jakarta", "sharon-au-1": "Australia/Sydney"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The demo's terms in a folder of their own: nothing is written beside the product's own home."""
    home = tmp_path_factory.mktemp("demo") / "home"
    shutil.copytree(REPOSITORY / "data", home, ignore=_only_terms)
    return Settings(home=home)


def _only_terms(folder: str, names: list[str]) -> set[str]:
    kept = {"home.yaml", "parks", "contracts", "deals", "vendors", "policies", "scenarios", "reference"}
    return set(names) - kept if Path(folder) == REPOSITORY / "data" else set()


@pytest.fixture(scope="module")
def definitions(settings: Settings) -> dg.Definitions:
    return build_definitions(settings)


@pytest.fixture(scope="module")
def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def test_the_names_of_all_assets_are_those_pinned(specs: dict[str, dg.AssetSpec]) -> None:
    pinned = KEYS.read_text().splitlines()
    diff = "\n".join(difflib.unified_diff(pinned, sorted(specs), "pinned", "found", lineterm="", n=0))
    assert diff == "", f"asset names have changed; if that is meant, change {KEYS.name} too:\n{diff}"


def test_dagster_finds_the_definitions_valid() -> None:
    dagster = Path(sys.executable).with_name("dagster")
    done = subprocess.run(
        [str(dagster), "definitions", "validate", "-m", "orchestration.definitions"],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "PARKLEDGER_HOME": str(REPOSITORY / "data"),
            "PATH": f"{dagster.parent}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Validation successful" in done.stdout + done.stderr


def test_every_asset_has_a_group_an_owner_and_a_description(specs: dict[str, dg.AssetSpec]) -> None:
    lacking = {
        key: [name for name in ("group_name", "owners", "description") if not getattr(spec, name)]
        for key, spec in specs.items()
    }
    assert {key: missing for key, missing in lacking.items() if missing} == {}
    assert {key for key, spec in specs.items() if spec.group_name == "default"} == set()


def test_daily_feeds_have_a_partition_for_each_service_day(specs: dict[str, dg.AssetSpec], settings: Settings) -> None:
    home = load(settings)
    days = service_days(home)
    assert (days[0], days[-1]) == ("2026-10-01", "2027-12-31")
    for feed in DAILY:
        partitions = specs[feed].partitions_def
        assert partitions is not None
        assert list(partitions.get_partition_keys()) == days


def test_closes_have_a_partition_for_each_month(specs: dict[str, dg.AssetSpec]) -> None:
    partitions = specs["ledger/close_statement"].partitions_def
    assert partitions is not None
    keys = partitions.get_partition_keys()
    assert (keys[0], keys[-1], len(keys)) == ("2026-10-01", "2027-12-01", 15)


def test_no_other_asset_is_partitioned(specs: dict[str, dg.AssetSpec]) -> None:
    assert {key for key, spec in specs.items() if spec.partitions_def} == {
        *DAILY,
        "ledger/close_statement",
        "published/monthly_report",
    }


def test_everything_that_is_to_run_by_itself_is_on_from_the_start(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    assert {s.name: s.default_status for s in repository.schedule_defs} == dict.fromkeys(
        ["daily_settlement_firmus_batam_1", "daily_settlement_sharon_au_1", "monthly_close", "monthly_report"],
        dg.DefaultScheduleStatus.RUNNING,
    )
    assert {s.name: s.default_status for s in repository.sensor_defs} == dict.fromkeys(
        ["new_landing_file", "failed_run"], dg.DefaultSensorStatus.RUNNING
    )


def test_each_park_settles_in_the_morning_of_its_own_clock(definitions: dg.Definitions) -> None:
    schedules = {s.name: s for s in definitions.schedules or [] if isinstance(s, dg.ScheduleDefinition)}
    for park, zone in PARK_ZONES.items():
        schedule = schedules[f"daily_settlement_{park.replace('-', '_')}"]
        assert (schedule.execution_timezone, schedule.job_name) == (zone, SETTLEMENT)
    assert schedules["monthly_close"].job_name == CLOSE


def _asked(definitions: dg.Definitions, name: str, at: datetime) -> tuple[list[dg.RunRequest], str | None]:
    """What a schedule asks for at a time of its own, and why it asks for nothing."""
    schedule = definitions.resolve_schedule_def(name)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, repository_def=definitions.get_repository_def()
        )
        found = schedule.evaluate_tick(context)
    return list(found.run_requests or []), found.skip_message


def test_a_schedule_asks_for_one_run_over_all_days_that_is_tried_again_if_it_crashes(
    definitions: dg.Definitions,
) -> None:
    (request,), _ = _asked(definitions, "daily_settlement_sharon_au_1", datetime(2027, 3, 1, 18, tzinfo=UTC))
    assert request.tags["dagster/asset_partition_range_start"].startswith("2026-10-01")
    assert request.tags["dagster/asset_partition_range_end"].startswith("2027-12-31")
    assert (request.tags["dagster/max_retries"], request.tags["dagster/retry_strategy"]) == ("2", "ALL_STEPS")


def test_a_backfill_of_many_days_is_one_run_of_all_parks(definitions: dg.Definitions, settings: Settings) -> None:
    graph = definitions.resolve_asset_graph()
    march = [key for key in day_partitions(load(settings)).get_partition_keys() if key.startswith("2027-03-")]
    feeds = [dg.AssetKey(feed.split("/")) for feed in DAILY]
    wanted = [AssetKeyPartitionKey(feed, key) for feed in feeds for key in march]
    with dg.DagsterInstance.ephemeral() as instance:
        # What Dagster's page does with a selection of days.
        requests = build_run_requests_with_backfill_policies(wanted, graph, dynamic_partitions_store=instance)
    asked = [tuple(request.tags[name] for name in (RANGE_START_TAG, RANGE_END_TAG)) for request in requests]
    assert asked == [("2027-03-01", "2027-03-31")]
    assert [set(request.asset_selection or ()) for request in requests] == [set(feeds)]
    # And what it does with one of the job, which holds everything.
    job = definitions.resolve_job_def("settlement")
    assert job.partitions_def is not None
    assert job.backfill_policy == dg.BackfillPolicy.single_run()
    subset = job.partitions_def.subset_with_partition_keys(march)
    assert [(r.start, r.end) for r in subset.get_partition_key_ranges(job.partitions_def)] == asked
    by_page = dict(requests[0].tags) | {BACKFILL_ID_TAG: "a backfill"}
    assert days_anew(by_page) == (date(2027, 3, 1), date(2027, 3, 31))
    assert days_anew(requests[0].tags) is None


def test_a_range_asked_for_on_the_command_line_is_one_run_over_all_parks(settings: Settings) -> None:
    days = date(2027, 3, 1), date(2027, 3, 31)
    tags = range_tags(load(settings), days)
    assert (tags[RANGE_START_TAG], tags[RANGE_END_TAG]) == ("2027-03-01", "2027-03-31")
    assert days_anew(tags) == days
    assert days_anew(range_tags(load(settings))) is None


def test_after_a_standstill_only_the_last_missed_settlement_runs(
    definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2027, 3, 4, 20, tzinfo=UTC)  # Dagster asks for each missed morning, the last one 18:00 UTC
    monkeypatch.setattr("orchestration.schedules.computer_now", lambda: now)
    mornings = [datetime(2027, 3, day, 18, tzinfo=UTC) for day in (2, 3, 4)]
    found = [_asked(definitions, "daily_settlement_sharon_au_1", at) for at in mornings]
    assert [len(requests) for requests, _ in found] == [0, 0, 1]
    assert "Missed; the settlement of 2027-03-04" in str(found[0][1])


def test_a_schedule_asks_for_nothing_where_nothing_is_new(
    definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.schedules.is_current", lambda _: True)
    requests, said = _asked(definitions, "daily_settlement_sharon_au_1", datetime(2027, 3, 1, 18, tzinfo=UTC))
    assert (requests, said) == ([], "Nothing is new since what is published")


def test_the_timetable_that_status_tells_is_what_dagster_runs(definitions: dg.Definitions, settings: Settings) -> None:
    home = load(settings)
    timings = {timing.name: timing for timing in timetable.timings(home)}
    schedules = {s.name: s for s in definitions.schedules or [] if isinstance(s, dg.ScheduleDefinition)}
    assert set(timings) == set(schedules)
    # before, on and after the hour, and across the night in which Sydney puts its clocks forward (4 October 2026)
    for said in ("2026-10-03T12:00", "2026-10-03T18:00", "2026-10-03T19:00", "2026-12-11T12:00", "2026-12-31T23:59"):
        now = datetime.fromisoformat(said).replace(tzinfo=UTC)
        for name, timing in timings.items():
            (expected, *_) = (at for at in _ticks(schedules[name], now) if at > now)
            assert timing.next_look_after(now) == expected, (name, said)
            if timing.close_after_days is None:
                assert timing.next_after(now) == expected, (name, said)


def _ticks(schedule: dg.ScheduleDefinition, now: datetime) -> list[datetime]:
    """The next three times by Dagster's own reckoning, which counts an instant that is one itself."""
    times = schedule_execution_time_iterator(
        now.timestamp(), schedule.cron_schedule, schedule.execution_timezone, ascending=True
    )
    return list(islice(times, 3))


@pytest.mark.parametrize(
    ("close_after_days", "due"),
    [
        (10, ["2027-01-11", "2027-02-11", "2027-03-11"]),
        # Day 31 of no month but some: the close of January, on 31 March's eve, is not put off to a month that has 31 days.
        (28, ["2027-01-29", "2027-03-01", "2027-03-29"]),
        (30, ["2027-01-31", "2027-03-03", "2027-03-31"]),
        (45, ["2027-01-15", "2027-02-15", "2027-03-18"]),
    ],
)
def test_a_month_closes_so_many_days_after_its_last_whatever_months_lie_between(
    settings: Settings, tmp_path: Path, close_after_days: int, due: list[str]
) -> None:
    home = tmp_path / "home"
    shutil.copytree(settings.home, home, ignore=shutil.ignore_patterns("landing"))
    (home / "policies" / "close.yaml").write_text(f"close_after_days: {close_after_days}\n")
    timing = timetable.close(load(Settings(home=home)))
    found, now = [], datetime(2027, 1, 1, tzinfo=UTC)
    while len(found) < len(due):
        now = timing.next_after(now)
        found.append(now.date().isoformat())
    assert found == due


def test_the_close_and_report_schedules_ask_for_every_month_that_is_missing(
    definitions: dg.Definitions, settings: Settings
) -> None:
    published = settings.published_path
    published.parent.mkdir(parents=True)
    with duckdb.connect(str(published)) as connection:
        connection.execute(
            """
            CREATE SCHEMA core; CREATE SCHEMA ledger;
            CREATE TABLE core.dim_contract AS FROM (VALUES
                ('a', DATE '2027-01-15', true), ('b', DATE '2027-02-01', true), ('deal', DATE '2027-01-01', false)
            ) AS t (contract_id, service_commencement_date, is_booked);
            CREATE TABLE ledger.fct_period_close AS FROM (VALUES
                ('a', DATE '2027-01-01', now()), ('a', DATE '2027-02-01', now()), ('b', DATE '2027-02-01', now()),
                ('a', DATE '2027-03-01', now())  -- held open by b
            ) AS t (contract_id, posting_month, closed_at)
            """
        )
    looked = datetime(2027, 5, 1, 18, tzinfo=UTC)
    closes = settings.home / "closes"
    closes.mkdir()
    try:
        requests, _ = _asked(definitions, "monthly_close", looked)
        assert [r.partition_key for r in requests] == ["2027-01-01", "2027-02-01"]
        assert _asked(definitions, "monthly_report", looked)[0] == []
        (closes / "2027-01.json").write_text("{}")
        assert [r.partition_key for r in _asked(definitions, "monthly_close", looked)[0]] == ["2027-02-01"]
        assert [r.partition_key for r in _asked(definitions, "monthly_report", looked)[0]] == ["2027-01-01"]
        report = settings.monthly_reports_folder / "2027-01-31" / "monitor.html"
        report.parent.mkdir(parents=True)
        report.write_text("")
        os.utime(report, (2e9, 2e9))
        requests, said = _asked(definitions, "monthly_report", looked)
        assert (requests, said) == ([], "No month has closed that is not done yet")
    finally:
        shutil.rmtree(closes)
        shutil.rmtree(published.parent)


def test_the_sensor_starts_a_run_when_a_file_appears_and_none_when_nothing_changed(
    definitions: dg.Definitions, settings: Settings
) -> None:
    sensor = definitions.resolve_sensor_def("new_landing_file")
    folder = settings.home / "landing" / "sharon-au-1" / "payments"
    folder.mkdir(parents=True)

    def look(cursor: str | None) -> tuple[int, str | None, str | None]:
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(
                instance=instance,
                cursor=cursor,
                repository_def=definitions.get_repository_def(),
                resources={"home_folder": HomeFolder(path=str(settings.home))},
            )
            tick = sensor.evaluate_tick(context)
        return len(tick.run_requests or []), tick.cursor, tick.skip_message

    (folder / "first.csv").write_text("payment_id\n")
    asked, cursor, _ = look(None)
    assert asked == 1
    asked, same, said = look(cursor)
    assert (asked, bool(said)) == (0, True)
    assert same in {cursor, None}
    (folder / "second.csv").write_text("payment_id\n")
    assert look(cursor)[0] == 1
    # What the command line has landed meanwhile needs no run of the daemon.
    settings.published_folder.mkdir()
    settings.published_path.touch()
    note_what_is_read(load(settings), "a run", landing_too=True)
    remember(load(settings), "a run")
    asked, _, said = look(cursor)
    assert (asked, said) == (0, "All 2 landing files are in the published snapshot")
    settings.published_path.unlink()


def test_blocking_checks_stand_before_publishing(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    blocking = {key.asset_key.to_user_string() for key in graph.asset_check_keys if graph.get_check_spec(key).blocking}
    assert "published/candidate" in blocking
    assert {"metering/fct_capacity_hour", "revenue_share/fct_share_month", "backstop/fct_backstop_month"} <= blocking


def test_a_parsed_project_of_somebody_else_that_is_too_old_names_the_command_of_its_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warehouse, "_is_stale", lambda _: True)
    monkeypatch.setattr(warehouse.os, "access", lambda *_: False)
    with pytest.raises(
        PermissionError, match=r"manifest\.json is older .* Let its owner run: .* orchestration\.prepare"
    ):
        warehouse.dbt_project()


def test_a_parse_of_a_project_that_stood_elsewhere_is_told_from_one_of_this_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = warehouse.dbt_project().manifest_path.parent
    assert not warehouse.parsed_elsewhere(here)
    assert not warehouse.parsed_elsewhere(tmp_path), "nothing was parsed there"
    monkeypatch.setattr(warehouse, "DBT_PROJECT", tmp_path / "dbt_project")
    assert warehouse.parsed_elsewhere(here)
