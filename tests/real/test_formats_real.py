"""The readers on files as their makers wrote them.

Facts are those of the data's own README, computed there with the standard library alone; sums of meters are
nemreader's too.
"""

import json
import logging
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from nemreader import read_nem_file
from real_parks import Park, Tranche, rows_of

from ingest.formats import focus, green_button, nem12, prometheus_api, wide_csv
from ingest.formats.ecb_fx import cross_rate, read_ecb_fx
from ingest.formats.registry import FormatError, detect
from ingest.formats.sec_companyfacts import days_sales_outstanding, issuer_facts, read_companyfacts

NEW_YORK = Park("America/New_York", "park_zone", (Tranche("A100", "cbsugpu07"), Tranche("RTX A6000", "cbsugpu09")))


def decimals(frame: pl.DataFrame, column: str) -> list[Decimal]:
    return [Decimal(cell) for cell in frame[column].drop_nulls()]


def total(frame: pl.DataFrame, column: str) -> Decimal:
    return sum(decimals(frame, column), Decimal(0))


def instants(frame: pl.DataFrame, column: str = "sampled_at") -> list[datetime]:
    return sorted(datetime.fromisoformat(cell) for cell in frame[column])


@pytest.mark.parametrize(
    ("host", "rows", "kwh", "gaps"),
    [("07", 15_493, "1214.570297083", (29, 107)), ("09", 8_497, "633.483762500", (22, 259))],
)
def test_biohpc_rows_energy_and_gaps(source: Path, host: str, rows: int, kwh: str, gaps: tuple[int, int]) -> None:
    path = source / "biohpc_gpu" / f"cbsugpu{host}_usage_stats.txt"
    assert detect(path, "gpu_telemetry") == "biohpc"
    frame = rows_of(path, "gpu_telemetry", NEW_YORK)
    assert frame.height == rows
    assert round(total(frame, "power_w") / 1000, 9) == Decimal(kwh)
    # the README counts gaps on the wall clock of the file
    local = [at.astimezone(NEW_YORK.zone).replace(tzinfo=None) for at in instants(frame)]
    steps = [int((later - earlier) / timedelta(hours=1)) for earlier, later in pairwise(local)]
    assert (sum(step != 1 for step in steps), sum(step - 1 for step in steps)) == gaps
    if host == "07":
        assert round(total(frame, "utilization_pct") / rows, 9) == Decimal("15.632183352")
        assert (str(local[0]), str(local[-1])) == ("2024-01-20 10:00:00", "2025-10-31 09:00:00")


@pytest.mark.parametrize(("month", "rows", "kwh"), [("2025-06", 693, "88.929422"), ("2025-03", 733, "36.310040")])
def test_biohpc_months_of_new_york(source: Path, month: str, rows: int, kwh: str) -> None:
    frame = rows_of(source / "biohpc_gpu" / "cbsugpu07_usage_stats.txt", "gpu_telemetry", NEW_YORK)
    local = pl.col("sampled_at").str.to_datetime(time_zone="UTC").dt.convert_time_zone("America/New_York")
    inside = frame.filter(local.dt.strftime("%Y-%m") == month)
    assert inside.height == rows
    assert round(total(inside, "power_w") / 1000, 6) == Decimal(kwh)


def test_biohpc_change_days_have_real_hours_only(source: Path) -> None:
    frame = rows_of(source / "biohpc_gpu" / "cbsugpu07_usage_stats.txt", "gpu_telemetry", NEW_YORK)
    by_day = Counter(at.astimezone(NEW_YORK.zone).date() for at in instants(frame))
    assert by_day[date(2024, 3, 10)] == by_day[date(2025, 3, 9)] == 22  # 23 hours, hour 01 is missing
    assert by_day[date(2024, 11, 3)] == 24  # of 25: the repeated hour is there once
    assert frame["sampled_at"].is_unique().all()


def test_nvidia_smi_means_zeros_and_energy(source: Path) -> None:
    frame = rows_of(source / "nvidia_smi_csv" / "rtx4090_1hz_2026-01-03.csv", "gpu_telemetry", Park("UTC", "park_zone"))
    power = decimals(frame, "power_w")
    assert frame.height == len(power) == 2_619
    assert round(sum(power) / len(power), 6) == Decimal("280.092012")
    assert max(power) == Decimal("332.92")
    assert round(total(frame, "utilization_pct") / len(power), 6) == Decimal("82.987400")
    assert frame["utilization_pct"].to_list().count("0") == 96
    at = instants(frame)
    assert (at[0].isoformat(), at[-1].isoformat()) == (
        "2026-01-03T15:36:53.507000+00:00",
        "2026-01-03T16:24:53.961000+00:00",
    )
    steps = [Decimal((later - earlier) / timedelta(milliseconds=1)) for earlier, later in pairwise(at)]
    left = sum(watts * step for watts, step in zip(power, steps, strict=False)) / Decimal("3.6e9")
    right = sum(watts * step for watts, step in zip(power[1:], steps, strict=True)) / Decimal("3.6e9")
    assert round(left, 9) == Decimal("0.223648540")
    assert round((left + right) / 2, 9) == Decimal("0.223853101")
    assert (sum(step > 2000 for step in steps), max(steps)) == (86, 7311)


@pytest.mark.parametrize(
    ("page", "power", "utilization"),
    [
        ("h200__590.48.01__load", "627.4", "100"),
        ("h200__590.48.01__idle", "77.71", "0"),
        ("h100-80gb-hbm3__590.48.01__load", "631.95", "100"),
        ("h100-80gb-hbm3__590.48.01__idle", "69.85", "0"),
    ],
)
def test_nvidia_gpu_exporter_pages_and_the_csv_of_the_same_moment_agree(
    source: Path, tmp_path: Path, page: str, power: str, utilization: str
) -> None:
    folder = source / "nvidia_gpu_exporter"
    stamped = tmp_path / f"{page.partition('__')[0]}_2026-07-14T081238Z.metrics"
    stamped.write_bytes((folder / f"{page}.metrics").read_bytes())
    row = rows_of(stamped, "gpu_telemetry", Park()).row(0, named=True)
    assert (row["power_w"], row["utilization_pct"]) == (power, utilization)
    logged = rows_of(folder / f"querygpu_{page}.csv", "gpu_telemetry", Park("UTC", "park_zone")).row(0, named=True)
    same = ("power_w", "utilization_pct", "gpu_model", "memory_used_mib")
    assert [logged[name] for name in same] == [row[name] for name in same]
    # masked UUIDs are the same on all hosts, so they name none
    assert row["gpu_id"] == f"{page.partition('__')[0]}/0"


def test_dcgm_pages_give_one_sample_for_each_gpu_that_reports(source: Path, tmp_path: Path) -> None:
    folder = source / "dcgm_exporter"
    found = {}
    for name in ("l40s_upcloud_driver595.prom", "datadog_t4_metrics.txt"):
        with pytest.raises(FormatError, match="its name no instant"):
            rows_of(folder / name, "gpu_telemetry", Park())
        stamped = tmp_path / f"{name}_2026-01-01T000000Z"
        stamped.write_bytes((folder / name).read_bytes())
        assert detect(stamped, "gpu_telemetry") == "prometheus_text"
        found[name[:4]] = rows_of(stamped, "gpu_telemetry", Park()).to_dicts()
    (l40s,) = found["l40s"]
    assert (l40s["node_id"], l40s["gpu_model"], l40s["utilization_pct"]) == ("gpu1-wl8sg", "NVIDIA L40S", "0")
    assert (l40s["power_w"], l40s["energy_mj"]) == ("35.686", "5551899580")
    assert round(Decimal(l40s["energy_mj"]) / Decimal("3.6e9"), 10) == Decimal("1.5421943278")
    # the second host and the third give limits and profiles only, 14 metrics no label at all: no samples of a GPU
    (t4,) = found["data"]
    assert (t4["node_id"], t4["gpu_model"], t4["utilization_pct"]) == ("424773df46e0", "Tesla T4", "0")
    assert (t4["power_w"], t4["energy_mj"], t4["xid_code"]) == ("8.969", "128996013", "0")


def test_alibaba_duty_cycle_and_memory(source: Path) -> None:
    folder = source / "alibaba_genai2026"
    frame = rows_of(folder / "pod_gpu_duty_cycle_first4h.csv", "gpu_telemetry", Park())
    assert (frame.height, frame["gpu_id"].n_unique(), frame["sampled_at"].n_unique()) == (28_309, 114, 253)
    assert frame["gpu_id"].n_unique() * frame["sampled_at"].n_unique() - frame.height == 533
    duty = decimals(frame, "utilization_pct")
    assert round(sum(duty), 6) == Decimal("303690.162996")
    assert sum(value == 0 for value in duty) == 13_358
    memory = folder / "pod_gpu_memory_used_bytes_first4h.csv"
    values = decimals(pl.concat(wide_csv.traces(memory)), "value")
    assert len(values) == 28_841
    # the README's mean is a running sum of binary floats (…318523); that of the decimals as written differs
    assert round(sum(values) / len(values), 6) == Decimal("24049562360.318670")
    floats = 0.0
    for value in values:
        floats += float(value)
    assert round(floats / len(values), 6) == 24_049_562_360.318523
    with pytest.raises(FormatError, match="outside 0–100"):
        rows_of(memory, "gpu_telemetry", Park())


@pytest.mark.parametrize(
    ("name", "samples", "ones"), [("up_201907281200.json", 6_839, 6_466), ("up_201907281800.json", 6_840, 6_459)]
)
def test_prometheus_range_results(source: Path, name: str, samples: int, ones: int) -> None:
    path = source / "prometheus_range" / name
    series = list(prometheus_api.series(path))
    points = [point for one in series for point in one.points]
    assert (len(series), len(points)) == (9, samples)
    assert sum(Decimal(value) for _, value in points) == ones
    with pytest.raises(FormatError, match="no series is a GPU metric"):
        rows_of(path, "gpu_telemetry", Park())


def test_prometheus_stamps_keep_their_milliseconds(source: Path) -> None:
    stamps = [
        stamp
        for one in prometheus_api.series(source / "prometheus_range" / "up_201907281200.json")
        for stamp, _ in one.points
    ]
    assert (min(stamps), max(stamps)) == ("1564308004.347", "1564329591.147")


def energy(source: Path, *parts: str) -> dict[tuple[str, str], Decimal]:
    path = source.joinpath("nem12", *parts)
    assert detect(path, "power_meter") == "nem12"
    frame = rows_of(path, "power_meter", Park())
    found: dict[tuple[str, str], Decimal] = {}
    for meter, register, kwh in frame.select("meter_id", "register", "energy_kwh").iter_rows():
        found[meter, register] = found.get((meter, register), Decimal(0)) + Decimal(kwh)
    return found


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("unzipped", "Example_NEM12_month_solar.csv"), {"E1": "270.738", "B1": "589.172"}),
        (("unzipped", "Example_NEM12_multiple_quality.csv"), {"E1": "896.990"}),
        (("nem12", "NEM12#SCENARIO10#UNITEDDP#NEMMCO.zip"), {"E1": "45.779", "E2": "58.588", "B2": "55.980"}),
        (("nem12", "NEM12#000000000000008#CNRGYMDP#NEMMCO.zip"), {"E1": "5580.000"}),
        (("nem12", "NEM12#05090_05031401#WBAYM#NEMMCO.zip"), {"E1": str(Decimal("33333.3") + Decimal("22519.80"))}),
    ],
)
def test_nem12_totals(source: Path, parts: tuple[str, str], expected: dict[str, str]) -> None:
    found = energy(source, *parts)
    assert {register: kwh for (_, register), kwh in found.items()} == {
        register: Decimal(kwh) for register, kwh in expected.items()
    }


def test_nem12_march_of_a_solar_house_in_five_minutes(source: Path) -> None:
    frame = rows_of(source / "nem12" / "unzipped" / "Example_NEM12_month_solar.csv", "power_meter", Park())
    assert frame.height == 62 * 288
    roles = dict(frame.select("register", "role").unique().iter_rows())
    assert roles == {"B1": "generation", "E1": "facility"}
    starts = instants(frame, "interval_start_at")
    assert (starts[0].isoformat(), instants(frame, "interval_end_at")[-1].isoformat()) == (
        "2023-02-28T14:00:00+00:00",
        "2023-03-31T14:00:00+00:00",
    )


def test_nem12_register_that_changes_its_interval_length(source: Path) -> None:
    frame = rows_of(source / "nem12" / "nem12" / "NEM12#05090_05031401#WBAYM#NEMMCO.zip", "power_meter", Park())
    minutes = [
        (end - start).total_seconds() // 60
        for start, end in zip(
            map(datetime.fromisoformat, frame["interval_start_at"]),
            map(datetime.fromisoformat, frame["interval_end_at"]),
            strict=True,
        )
    ]
    by_length = {length: Decimal(0) for length in minutes}
    for length, kwh in zip(minutes, decimals(frame, "energy_kwh"), strict=True):
        by_length[length] += kwh
    assert by_length == {15: Decimal("33333.3"), 30: Decimal("22519.80")}


def test_nem12_watt_hours_of_several_meters_without_their_reactive_registers(source: Path) -> None:
    found = energy(source, "unzipped", "Example_NEM12_multiple_meters.csv")
    assert found["NCDE001111", "E1"] == Decimal("1.920")
    assert found["NCDE001111", "E2"] == Decimal("19.200")
    assert {register[0] for _, register in found} == {"E", "B"}


def test_nem12_every_file_sums_as_nemreader_does_where_nemreader_reads_it(
    source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "nemreader")
    factors = {"WH": Decimal("0.001"), "KWH": Decimal(1)}
    compared = 0
    for path in sorted((source / "nem12").rglob("*")):
        if path.is_dir() or path.parent.name == "invalid" or path.name == "LICENSE" or "NEM13" in path.name:
            continue
        ours = energy(source, *path.relative_to(source / "nem12").parts)
        theirs = {
            (meter, register): sum(
                (Decimal(str(read.read_value)) * factors[read.uom.upper()] for read in reads), Decimal(0)
            )
            for meter, registers in read_nem_file(str(path)).readings.items()
            for register, reads in registers.items()
            if register[0] in "EB"
        }
        assert ours == theirs, path.name
        compared += 1
    assert compared == 68


def test_nem12_files_that_are_broken_lose_the_broken_days_only(source: Path) -> None:
    folder = source / "nem12" / "invalid"
    bad = rows_of(folder / "Example_NEM12_30min_200_15min_300.csv", "power_meter", Park())
    assert bad["energy_kwh"].to_list() == ["96 values where 48 values of 30 minutes and a quality flag belong"]
    # nemreader takes the first 48 of the 96 quarter hours for half hours
    assert len(read_nem_file(str(folder / "Example_NEM12_30min_200_15min_300.csv")).readings["123"]["E1"]) == 48
    half = rows_of(folder / "Example_NEM12_incomplete_interval.csv", "power_meter", Park())
    assert half.height == 1 + 48
    assert half["energy_kwh"][0].startswith("0 values")
    assert rows_of(folder / "Example_NEM12_missing_header.csv", "power_meter", Park()).height == 48
    assert rows_of(folder / "Example_NEM12_empty.csv", "power_meter", Park()).height == 0
    with pytest.raises(FormatError, match="the file is empty"):
        detect(folder / "Example_empty_file.csv", "power_meter")


def test_nem12_events_give_quality_by_range(source: Path) -> None:
    frame = rows_of(source / "nem12" / "unzipped" / "Example_NEM12_multiple_quality.csv", "power_meter", Park())
    assert frame["quality"].to_list() == ["substituted"] * 20 + ["actual"] * 4 + ["substituted"] * 24
    assert frame.height == 48
    assert detect(source / "nem12" / "Example_NEM12_ManyNMIs.zip", "power_meter") == nem12.NAME


def test_green_button_readings(source: Path) -> None:
    folder = source / "greenbutton"
    nine = rows_of(folder / "TestGBDataHourlyNineDaysBinnedDaily.xml", "power_meter", Park())
    assert (nine.height, total(nine, "energy_kwh")) == (216, Decimal("199.563"))
    assert instants(nine, "interval_start_at")[0] == datetime(2014, 1, 1, 5, tzinfo=UTC)
    assert instants(nine, "interval_end_at")[-1] == datetime(2014, 1, 10, 5, tzinfo=UTC)
    electric = rows_of(folder / "electric_containerized.xml", "power_meter", Park())
    assert (electric.height, total(electric, "energy_kwh")) == (8, Decimal("4.086"))
    gas = list(green_button.readings(folder / "gas_direct.xml"))
    assert (len(gas), sum(int(one.value) for one in gas)) == (5, 140_000)
    assert {(one.uom, one.multiplier) for one in gas} == {("169", "-3")}
    for name in ("gas_direct.xml", "ngma_gas_provider_2024-07-16.xml"):
        with pytest.raises(FormatError, match="no interval energy of electricity"):
            rows_of(folder / name, "power_meter", Park())


def test_focus_sums(source: Path) -> None:
    path = source / "focus" / "focus_sample_rows1-700.csv"
    frame = pl.concat(focus.parts(path))
    assert frame.height == 700
    assert focus.total(frame, "BilledCost") == Decimal("13.52512369000")
    assert focus.total(frame, "ListCost") == Decimal("13.66780271220")
    assert focus.total(frame, "EffectiveCost") == Decimal("9.0")
    assert sum(frame[name].null_count() for name in frame.columns if not name.startswith("line_")) == 6_402
    assert (frame["ChargeCategory"] == "Credit").sum() == 1
    assert json.loads(frame["Tags"][1])["application"] == "BrightLensMatrix"
    (credit,) = rows_of(path, "lease_adjustments", Park()).to_dicts()
    assert (credit["kind"], Decimal(credit["amount"])) == ("credit", Decimal("-2.6137"))


def test_ecb_rates_and_crosses(source: Path) -> None:
    frame = read_ecb_fx(source / "ecb_fx" / "eurofxref-hist_2025-01-01_2026-03-31.csv")
    assert frame["rate_date"].n_unique() == 318
    last = dict(frame.filter(pl.col("rate_date") == date(2026, 3, 31)).select("to_currency", "rate").iter_rows())
    assert (last["USD"], last["AUD"], last["IDR"]) == (Decimal("1.1498"), Decimal("1.6693"), Decimal("19506.24"))
    assert round(cross_rate(frame, date(2026, 3, 31), "USD", "AUD"), 10) == Decimal("1.4518177074")
    assert round(cross_rate(frame, date(2026, 3, 31), "USD", "IDR"), 6) == Decimal("16964.898243")
    assert read_ecb_fx(source / "ecb_fx" / "eurofxref.csv")["rate_date"].unique().to_list() == [date(2026, 10, 30)]


def test_companyfacts_of_nvidia_and_of_a_filer_with_calendar_months(source: Path) -> None:
    folder = source / "sec_companyfacts"
    filed = read_companyfacts(folder / "CIK0001045810_trimmed.json")
    receivables = filed.filter(pl.col("concept") == "AccountsReceivableNetCurrent")
    assert (receivables.height, receivables["period_end"].n_unique()) == (136, 69)
    nvidia = issuer_facts(folder / "CIK0001045810_trimmed.json", "nvidia")
    assert round(days_sales_outstanding(nvidia, date(2026, 4, 26)), 8) == Decimal("45.39128837")
    quarter = nvidia.filter((pl.col("fiscal_period_end") == date(2026, 4, 26)) & (pl.col("item") == "revenue"))
    assert quarter.select("fiscal_label", "value", "unit", "days_in_period").row(0) == ("Q1 FY27", 81_615, "USDm", 91)
    year = ["Q1 FY26", "Q2 FY26", "Q3 FY26", "Q4 FY26"]
    quarters = nvidia.filter((pl.col("item") == "revenue") & pl.col("fiscal_label").is_in(year))
    filed_year = filed.filter(
        (pl.col("concept") == "Revenues")
        & (pl.col("period_end") == date(2026, 1, 25))
        & (pl.col("period_start") == date(2025, 1, 27))
    )
    assert quarters.height == 4
    assert quarters["value"].sum() * 1_000_000 == filed_year["value"][0]
    assert quarters.filter(pl.col("fiscal_label") == "Q4 FY26")["grade"].to_list() == ["I"]
    snowflake = issuer_facts(folder / "CIK0001640147_snow_facts.json.gz", "snowflake")
    assert round(days_sales_outstanding(snowflake, date(2025, 4, 30)), 6) == Decimal("45.309655")
    assert issuer_facts(folder / "lpa_facts.json", "lpa").height > 0


def test_the_issuers_revenue_agrees_with_the_table_collected_by_hand(source: Path) -> None:
    by_hand = pl.read_csv(source / "nvidia_financials.csv", infer_schema=False).filter(
        (pl.col("item") == "revenue") & (pl.col("grade") == "P")
    )
    nvidia = issuer_facts(source / "sec_companyfacts" / "CIK0001045810_trimmed.json", "nvidia")
    ours = dict(nvidia.filter(pl.col("item") == "revenue").select("fiscal_period_end", "value").iter_rows())
    compared = 0
    for end, value in by_hand.select("fiscal_period_end", "value_usd_m").iter_rows():
        if date.fromisoformat(end) in ours:
            assert ours[date.fromisoformat(end)] == Decimal(value), end
            compared += 1
    assert compared >= 3
