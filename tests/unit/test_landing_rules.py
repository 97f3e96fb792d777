"""Rules from physics, from the home's clock and from the park, and what policies make of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_home import LEASE_HEADER, PARK_ID, Books, drop, lease_row, make_home

from ingest import landing, mending

TELEMETRY = "gpu_id,node_id,gpu_model,sampled_at,utilization_pct,power_w,energy_mj,gpu_count\n"
METER = "meter_id,register,role,interval_start_at,interval_end_at,energy_kwh,quality\n"


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(make_home(tmp_path))


def sample(
    at: str = "2027-01-05T00:00:00Z", *, model: str = "GB300", power: str = "900", energy: str = "", count: str = ""
) -> str:
    return f"a-1/0,a-1,{model},{at},50,{power},{energy},{count}\n"


def interval(start: str, end: str, register: str = "1") -> str:
    return f"m1,{register},facility,{start},{end},5,actual\n"


def policy(books: Books, text: str) -> None:
    (books.path / "policies" / "feeds.yaml").write_text(text)


def quarantine(books: Books) -> list[tuple[object, ...]]:
    return books.rows("SELECT rule, column_name, line_no FROM raw.quarantined_row ORDER BY file_id, line_no")


def test_a_sample_before_its_tranche_was_energised_is_refused(books: Books) -> None:
    # 2027-01-01 begins at 13:00 UTC of the day before in Sydney
    drop(
        books.path,
        "gpu_telemetry",
        "t.csv",
        TELEMETRY + sample("2026-12-31T12:59:59Z") + sample("2026-12-31T13:00:00Z"),
    )
    books.land()
    assert quarantine(books) == [("before_energised", "sampled_at", 2)]
    assert books.one("SELECT count(*) FROM raw.gpu_telemetry") == 1


def test_a_tranche_that_is_not_energised_has_no_samples_yet_and_has_them_once_it_is(books: Books) -> None:
    park = books.path / "parks" / f"{PARK_ID}.yaml"
    whole = park.read_text()
    park.write_text(whole.replace("energised_date: 2027-01-01", "energised_date: null"))
    drop(books.path, "gpu_telemetry", "t.csv", TELEMETRY + sample())
    books.land()
    assert quarantine(books) == [("before_energised", "sampled_at", 2)]
    park.write_text(whole)
    books.land()
    assert quarantine(books) == []


@pytest.mark.parametrize(
    ("model", "power", "rule"),
    [
        ("GB300", "2800", None),
        ("GB300", "2801", "power_above_model"),
        ("NVIDIA H100 80GB HBM3", "1401", "power_above_model"),
        ("NVIDIA-L40S", "701", "power_above_model"),
        ("NVIDIA L40", "601", "power_above_model"),
        ("Unheard Of 9000", "4999", None),
        ("Unheard Of 9000", "5001", "out_of_range"),
    ],
)
def test_power_is_bound_by_the_model_of_the_gpu(books: Books, model: str, power: str, rule: str | None) -> None:
    drop(books.path, "gpu_telemetry", "t.csv", TELEMETRY + sample(model=model, power=power))
    books.land()
    assert quarantine(books) == ([(rule, "power_w", 2)] if rule else [])


def test_a_policy_moves_a_bound_and_the_files_are_read_again(books: Books) -> None:
    drop(books.path, "gpu_telemetry", "t.csv", TELEMETRY + sample(power="1300") + sample(model="H100", power="1300"))
    books.land()
    assert quarantine(books) == []
    policy(books, "gpu_power_bounds_w: {GB300: 1200}\n")
    books.land()
    assert quarantine(books) == [("power_above_model", "power_w", 2)]


def test_a_counter_that_begins_anew_is_no_fault_and_one_that_runs_back_is_noted_and_counts(books: Books) -> None:
    day = "2027-01-05T00:0"
    rows = [(f"{day}0:00Z", 10_000_000_000), (f"{day}1:00Z", 10_050_000_000)]
    reset = [(f"{day}2:00Z", 40_000_000)]  # 60 s at no more than 5,000 W are 300,000,000 mJ
    back = [(f"{day}3:00Z", 10_000_000_000), (f"{day}4:00Z", 9_000_000_000)]
    text = "".join(sample(at, energy=str(value)) for at, value in rows + reset + back)
    drop(books.path, "gpu_telemetry", "t.csv", TELEMETRY + text)
    (file,) = books.land()
    assert (file.landed_count, file.quarantined_count) == (5, 0)
    assert books.rows("SELECT rule, column_name, line_no FROM raw.row_warning") == [
        ("energy_counter_back", "energy_mj", 6)
    ]


@pytest.mark.parametrize(("severity", "landed", "noted"), [("warn", 1, 1), ("quarantine", 0, 0), ("block", 0, 0)])
def test_a_policy_decides_what_a_judged_rule_costs(books: Books, severity: str, landed: int, noted: int) -> None:
    policy(books, f"rule_severity: {{power_above_model: {severity}}}\n")
    drop(books.path, "gpu_telemetry", "t.csv", TELEMETRY + sample(power="4000"))
    (file,) = books.land()
    assert (file.landed_count, file.quarantined_count) == (landed, 1 - landed)
    assert books.one("SELECT count(*) FROM raw.row_warning") == noted


def test_warnings_go_when_the_file_is_read_again_without_them(books: Books) -> None:
    policy(books, "rule_severity: {power_above_model: warn}\n")
    drop(books.path, "gpu_telemetry", "t.csv", TELEMETRY + sample(power="4000"))
    books.land()
    policy(books, "gpu_power_bounds_w: {GB300: 4500}\n")
    books.land()
    assert books.one("SELECT count(*) FROM raw.row_warning") == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rule_severity: {power: warn}\n", "'power' is no rule of rows"),
        ("rule_severity: {not_a_number: warn}\n", "leaves no value that could count"),
        ("rule_severity: {unreadable: block}\n", "'unreadable' is no rule of rows"),
        ("rule_severity: {in_the_future: panic}\n", "block"),
        ("future_tolerance_minutes: -1\n", "greater than or equal to 0"),
        ("gpu_power_bounds_w: {GB300: 90000}\n", "less than or equal to 5000"),
    ],
)
def test_a_policy_of_rules_that_cannot_be_is_refused_with_its_file_and_line(books: Books, text: str, said: str) -> None:
    policy(books, text)
    with pytest.raises(Exception, match=r"feeds\.yaml:1") as caught:
        books.home()
    assert said in str(caught.value)


def at_clock(books: Books, day: str) -> None:
    (books.path / "home.yaml").write_text(f"title: T\nas_of: {day}\n")


def test_a_row_of_the_future_waits_until_the_clock_has_come_so_far(books: Books) -> None:
    drop(books.path, "gpu_telemetry", "t.csv", TELEMETRY + sample("2027-03-01T00:00:00Z") + sample())
    drop(books.path, "leases", "l.csv", LEASE_HEADER + lease_row(recorded_at="2027-02-20T00:00:00Z"))
    at_clock(books, "2027-01-31")
    books.land()
    assert sorted(quarantine(books)) == [("in_the_future", "recorded_at", 2), ("in_the_future", "sampled_at", 2)]
    at_clock(books, "2027-02-25")
    books.land()
    assert quarantine(books) == [("in_the_future", "sampled_at", 2)]
    at_clock(books, "2027-03-02")
    books.land()
    assert quarantine(books) == []
    assert books.land() == []
    assert books.one("SELECT count(*) FROM raw.gpu_telemetry") == 2


def test_a_row_that_waits_is_read_though_another_feed_lands_first(books: Books) -> None:
    drop(books.path, "leases", "l.csv", LEASE_HEADER + lease_row(recorded_at="2027-02-20T00:00:00Z"))
    at_clock(books, "2027-01-31")
    books.land()
    drop(books.path, "gpu_telemetry", "t.csv", TELEMETRY + sample())
    at_clock(books, "2027-02-25")
    home = books.home()
    pending = landing.pending(books.con, home)
    landing.land(books.con, home, [file for file in pending if file.feed == "gpu_telemetry"])
    assert quarantine(books) == [("in_the_future", "recorded_at", 2)]
    books.land()
    assert quarantine(books) == []


def test_the_clock_of_a_sender_may_be_ahead_by_the_tolerance(books: Books) -> None:
    # the home's clock stands at the end of 2027-01-31 in UTC
    at_clock(books, "2027-01-31")
    rows = sample("2027-02-01T00:10:00Z") + sample("2027-02-01T00:20:00Z")
    drop(books.path, "gpu_telemetry", "t.csv", TELEMETRY + rows)
    books.land()
    assert quarantine(books) == [("in_the_future", "sampled_at", 3)]
    policy(books, "future_tolerance_minutes: 30\n")
    books.land()
    assert quarantine(books) == []


def test_leases_may_begin_and_end_in_the_future(books: Books) -> None:
    at_clock(books, "2026-12-31")
    drop(books.path, "leases", "l.csv", LEASE_HEADER + lease_row())
    books.land()
    assert quarantine(books) == []


def test_a_meter_interval_stays_within_the_day_of_the_parks_clock(books: Books) -> None:
    rows = (
        interval("2027-01-05T12:30:00Z", "2027-01-05T13:00:00Z")  # to midnight in Sydney
        + interval("2027-01-05T13:00:00Z", "2027-01-06T13:00:00Z", "2")  # a whole day of it
        + interval("2027-01-05T12:30:00Z", "2027-01-05T13:30:00Z", "3")
    )
    drop(books.path, "power_meter", "m.csv", METER + rows)
    books.land()
    assert quarantine(books) == [("crosses_day", "interval_end_at", 4)]


def test_a_day_of_25_hours_is_one_day_and_an_hour_more_leaves_it(books: Books) -> None:
    # clocks in Sydney go back on 2027-04-04, whose 25 hours begin at 13:00 UTC of the day before
    rows = interval("2027-04-03T13:00:00Z", "2027-04-04T14:00:00Z") + interval(
        "2027-04-03T13:00:00Z", "2027-04-04T15:00:00Z", "2"
    )
    drop(books.path, "power_meter", "m.csv", METER + rows)
    books.land()
    assert quarantine(books) == [("crosses_day", "interval_end_at", 3)]


def test_intervals_of_a_register_that_overlap_are_noted_whatever_their_order(books: Books) -> None:
    hour = "2027-01-05T0{}:00:00Z"
    rows = [
        interval(hour.format(2), hour.format(4)),
        interval(hour.format(3), hour.format(5)),
        interval(hour.format(1), hour.format(2)),
        interval(hour.format(3), hour.format(5), "2"),
    ]
    drop(books.path, "power_meter", "m.csv", METER + "".join(rows))
    books.land()
    assert quarantine(books) == []
    assert books.rows("SELECT rule, column_name, line_no FROM raw.row_warning") == [
        ("overlaps", "interval_start_at", 3)
    ]
    policy(books, "rule_severity: {overlaps: quarantine}\n")
    books.land()
    assert quarantine(books) == [("overlaps", "interval_start_at", 3)]


def test_a_corrected_interval_in_the_same_file_is_no_overlap(books: Books) -> None:
    header = METER.strip() + ",recorded_at\n"
    row = interval("2027-01-05T01:00:00Z", "2027-01-05T02:00:00Z").strip()
    drop(
        books.path,
        "power_meter",
        "m.csv",
        f"{header}{row},2027-01-06T00:00:00Z\n{row.replace(',5,', ',6,')},2027-01-07T00:00:00Z\n",
    )
    (file,) = books.land()
    assert (file.landed_count, file.superseded_count, file.quarantined_count) == (1, 1, 0)


def held(books: Books) -> list[tuple[object, ...]]:
    return books.rows(
        "SELECT feed, service_date::VARCHAR, rule, broken_row_count, held_row_count, line_no FROM raw.held_partition ORDER BY ALL"
    )


BLOCK = "rule_severity: {power_above_model: block}\n"


def test_a_blocking_rule_holds_back_the_day_of_the_row_by_the_park_s_clock_and_no_other(books: Books) -> None:
    policy(books, BLOCK)
    # 13:30 UTC is past midnight in Sydney
    rows = (
        sample("2027-01-05T13:30:00Z", power="4000") + sample("2027-01-05T14:00:00Z") + sample("2027-01-05T12:59:00Z")
    )
    drop(books.path, "gpu_telemetry", "one.csv", TELEMETRY + rows)
    drop(books.path, "gpu_telemetry", "two.csv", TELEMETRY + sample("2027-01-05T15:00:00Z"))
    books.land()
    assert held(books) == [("gpu_telemetry", "2027-01-06", "power_above_model", 1, 2, 2)]


def test_a_day_is_no_longer_held_back_once_the_row_is_released_or_the_policy_changed(books: Books) -> None:
    policy(books, BLOCK)
    drop(books.path, "gpu_telemetry", "one.csv", TELEMETRY + sample(power="4000"))
    books.land()
    assert len(held(books)) == 1
    policy(books, "rule_severity: {power_above_model: quarantine}\n")
    books.land()
    assert held(books) == []
    policy(books, BLOCK)
    books.land()
    (row,) = mending.rows(books.con)
    mending.put(*mending.prepare(books.home(), row, {"power_w": "400"}))
    books.land()
    assert held(books) == []
    assert books.one("SELECT count(*) FROM raw.gpu_telemetry") == 1


def telemetry_of(power: str, recorded_at: str) -> tuple[str, str]:
    header = "gpu_id,node_id,gpu_model,sampled_at,utilization_pct,power_w,recorded_at\n"
    others = f"a-2/0,a-2,GB300,2027-01-05T00:00:00Z,50,900,{recorded_at}\n"
    return "gpu_telemetry", f"{header}a-1/0,a-1,GB300,2027-01-05T00:00:00Z,50,{power},{recorded_at}\n{others}"


def meter_of(end: str, recorded_at: str) -> tuple[str, str]:
    start = "2027-01-05T00:00:00Z"
    return "power_meter", f"{METER.strip()},recorded_at\nm1,1,facility,{start},{end},5,actual,{recorded_at}\n"


FAULTY_AND_CORRECTED = [
    (telemetry_of, "4000", "400"),
    (meter_of, "2027-01-06T05:00:00Z", "2027-01-05T01:00:00Z"),
]


@pytest.mark.parametrize("order", ["faulty first", "corrected first", "at once"])
@pytest.mark.parametrize(("rows", "faulty", "corrected"), FAULTY_AND_CORRECTED, ids=["gpu_telemetry", "power_meter"])
def test_a_corrected_row_lets_the_day_go_whichever_of_the_two_lands_first(
    books: Books, order: str, rows: Callable[[str, str], tuple[str, str]], faulty: str, corrected: str
) -> None:
    policy(books, "rule_severity: {power_above_model: block, crosses_day: block}\n")
    landings = [("b", rows(faulty, "2027-01-06T00:00:00Z")), ("a", rows(corrected, "2027-01-07T00:00:00Z"))]
    for name, (feed, text) in reversed(landings) if order == "corrected first" else landings:
        drop(books.path, feed, f"{name}.csv", text)
        if order != "at once":
            books.land()
    books.land()
    assert held(books) == []
    assert len(quarantine(books)) == 1


@pytest.mark.parametrize("recorded_at", ["2027-01-05T23:00:00Z", "2027-01-06T00:00:00Z"])
@pytest.mark.parametrize(("rows", "faulty", "corrected"), FAULTY_AND_CORRECTED, ids=["gpu_telemetry", "power_meter"])
def test_a_row_that_was_known_before_the_faulty_one_is_no_correction_of_it(
    books: Books, recorded_at: str, rows: Callable[[str, str], tuple[str, str]], faulty: str, corrected: str
) -> None:
    policy(books, "rule_severity: {power_above_model: block, crosses_day: block}\n")
    for name, (feed, text) in (("a", rows(faulty, "2027-01-06T00:00:00Z")), ("b", rows(corrected, recorded_at))):
        drop(books.path, feed, f"{name}.csv", text)
        books.land()
    assert bool(held(books)) == (recorded_at < "2027-01-06")


def test_a_correction_of_another_row_of_the_day_lets_nothing_go(books: Books) -> None:
    policy(books, BLOCK)
    drop(books.path, "gpu_telemetry", "one.csv", TELEMETRY + sample(power="4000") + sample("x", power="900"))
    drop(books.path, "gpu_telemetry", "two.csv", TELEMETRY + sample("2027-01-05T00:01:00Z"))
    books.land()
    assert [row[:4] for row in held(books)] == [("gpu_telemetry", "2027-01-05", "power_above_model", 1)]


def test_a_share_of_a_day_s_rows_may_break_a_blocking_rule(books: Books) -> None:
    times = [f"2027-01-05T00:{minute:02d}:00Z" for minute in range(10)]
    rows = "".join(sample(at, power="4000" if at.endswith(":09:00Z") else "900") for at in times)
    drop(books.path, "gpu_telemetry", "one.csv", TELEMETRY + rows)
    for share, days in (("0.1", 0), ("0.09", 1)):
        policy(books, BLOCK + f'block_above_fraction: {{power_above_model: "{share}"}}\n')
        books.land()
        assert len(held(books)) == days


def test_what_came_before_the_faulty_file_is_not_held_back(books: Books) -> None:
    policy(books, "rule_severity: {crosses_day: block}\n")
    (books.path / "home.yaml").write_text("title: Test\nas_of: 2027-03-01\n")
    drop(books.path, "power_meter", "one.csv", METER + interval("2027-01-05T00:00:00Z", "2027-01-05T01:00:00Z"))
    books.land()
    (books.path / "home.yaml").write_text("title: Test\nas_of: 2027-03-02\n")
    late = interval("2027-01-05T02:00:00Z", "2027-01-05T03:00:00Z") + interval(
        "2027-01-05T03:00:00Z", "2027-01-06T03:00:00Z"
    )
    drop(books.path, "power_meter", "two.csv", METER + late)
    books.land()
    assert held(books) == [("power_meter", "2027-01-05", "crosses_day", 1, 1, 3)]


def test_a_faulty_row_without_a_day_holds_back_every_day_of_its_file(books: Books) -> None:
    policy(books, "rule_severity: {row_not_whole: block, unknown_lease: block}\n")
    days = sample("2027-01-05T00:00:00Z") + "torn\n" + sample("2027-01-07T00:00:00Z")
    drop(books.path, "gpu_telemetry", "one.csv", TELEMETRY + days)
    usage = "lease_id,interval_start_at,interval_end_at,gpu_hours\nL9,2027-01-05T20:00:00Z,2027-01-05T21:00:00Z,1\n"
    drop(books.path, "lease_usage", "usage.csv", usage)
    books.land()
    assert held(books) == [
        ("gpu_telemetry", "2027-01-05", "row_not_whole", 1, 1, 3),
        ("gpu_telemetry", "2027-01-07", "row_not_whole", 1, 1, 3),
        ("lease_usage", "2027-01-06", "unknown_lease", 1, 0, 2),
    ]
