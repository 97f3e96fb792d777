"""What Dagster knows of the demo home: names, partitions, schedules and the sensor, pinned."""

import difflib
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from orchestration import timetable
from orchestration.assets import warehouse
from orchestration.definitions import CLOSE, SETTLEMENT, build_definitions
from orchestration.partitions import park_day_partitions, service_days
from orchestration.resources import HomeFolder
from orchestration.settings import Settings
from orchestration.state import load

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


def test_daily_feeds_have_a_partition_for_each_park_and_service_day(
    specs: dict[str, dg.AssetSpec], settings: Settings
) -> None:
    home = load(settings)
    days = service_days(home)
    assert (days[0], days[-1]) == ("2026-10-01", "2027-12-31")
    for feed in DAILY:
        partitions = specs[feed].partitions_def
        assert isinstance(partitions, dg.MultiPartitionsDefinition)
        assert {p.name for p in partitions.partitions_defs} == {"day", "park"}
        assert len(partitions.get_partition_keys()) == len(days) * len(PARK_ZONES)
        assert partitions.get_partition_keys() == park_day_partitions(home).get_partition_keys()


def test_closes_have_a_partition_for_each_month(specs: dict[str, dg.AssetSpec]) -> None:
    partitions = specs["ledger/close_statement"].partitions_def
    assert partitions is not None
    keys = partitions.get_partition_keys()
    assert (keys[0], keys[-1], len(keys)) == ("2026-10-01", "2027-12-01", 15)


def test_no_other_asset_is_partitioned(specs: dict[str, dg.AssetSpec]) -> None:
    assert {key for key, spec in specs.items() if spec.partitions_def} == {
        *DAILY,
        "ledger/close_statement",
    }


def test_each_park_settles_in_the_morning_of_its_own_clock(definitions: dg.Definitions) -> None:
    schedules = {s.name: s for s in definitions.schedules or [] if isinstance(s, dg.ScheduleDefinition)}
    for park, zone in PARK_ZONES.items():
        schedule = schedules[f"daily_settlement_{park.replace('-', '_')}"]
        assert (schedule.execution_timezone, schedule.job_name) == (zone, SETTLEMENT)
    assert schedules["monthly_close"].job_name == CLOSE


def test_a_schedule_asks_for_one_run_over_all_days(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("daily_settlement_sharon_au_1")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2027, 3, 1, 18, tzinfo=UTC),
            repository_def=definitions.get_repository_def(),
        )
        (request,) = schedule.evaluate_tick(context).run_requests or []
    assert request.tags["dagster/asset_partition_range_start"].startswith("2026-10-01")
    assert request.tags["dagster/asset_partition_range_end"].startswith("2027-12-31")


def test_the_timetable_that_status_tells_is_what_dagster_runs(definitions: dg.Definitions, settings: Settings) -> None:
    home = load(settings)
    timings = {t.name: t for t in (*map(timetable.settlement, home.parks.values()), timetable.close(home))}
    schedules = {s.name: s for s in definitions.schedules or [] if isinstance(s, dg.ScheduleDefinition)}
    assert set(timings) == set(schedules)
    # before, on and after the hour, and across the night in which Sydney puts its clocks forward (4 October 2026)
    for said in ("2026-10-03T12:00", "2026-10-03T18:00", "2026-10-03T19:00", "2026-12-11T12:00", "2026-12-31T23:59"):
        now = datetime.fromisoformat(said).replace(tzinfo=UTC)
        for name, timing in timings.items():
            (expected, *_) = (at for at in _ticks(schedules[name], now) if at > now)
            assert timing.next_after(now) == expected, (name, said)


def _ticks(schedule: dg.ScheduleDefinition, now: datetime) -> list[datetime]:
    """The next three times by Dagster's own reckoning, which counts an instant that is one itself."""
    times = schedule_execution_time_iterator(
        now.timestamp(), schedule.cron_schedule, schedule.execution_timezone, ascending=True
    )
    return list(islice(times, 3))


def test_the_close_schedule_asks_for_the_month_before(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("monthly_close")
    asked = {}
    with dg.DagsterInstance.ephemeral() as instance:
        for today in (datetime(2027, 3, 11, 12, tzinfo=UTC), datetime(2027, 1, 11, 12, tzinfo=UTC)):
            context = dg.build_schedule_context(
                instance=instance, scheduled_execution_time=today, repository_def=definitions.get_repository_def()
            )
            (request,) = schedule.evaluate_tick(context).run_requests or []
            asked[today.month] = request.partition_key
    assert asked == {3: "2027-02-01", 1: "2026-12-01"}


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
