"""Real files through the product's door: terms, landing, reference tables. Facts are those of the data's README."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from build_home import ALIBABA, BENCH, BIOHPC, GAS_FILE, HELIOS, HOUSES, METERS, PAGES, build_real_home

from ingest.landing import LandedFile, create_raw_tables, land, pending
from ingest.reference import write_reference
from ingest.terms.home import Home, load_home
from ingest.terms.tables import write_terms

Row = tuple[object, ...]


@pytest.fixture(scope="module")
def home(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return load_home(build_real_home(tmp_path_factory.mktemp("real"), source, with_broken_files=True))


@pytest.fixture(scope="module")
def landed(home: Home) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[LandedFile]]]:
    with duckdb.connect(str(home.path / "warehouse.duckdb")) as con:
        con.execute("SET TimeZone = 'UTC'")
        create_raw_tables(con)
        write_terms(con, home)
        write_reference(con, home)
        yield con, land(con, home, pending(con, home))


@pytest.fixture(scope="module")
def con(landed: tuple[duckdb.DuckDBPyConnection, list[LandedFile]]) -> duckdb.DuckDBPyConnection:
    return landed[0]


def one(con: duckdb.DuckDBPyConnection, query: str, *values: object) -> Row:
    (row,) = con.execute(query, list(values)).fetchall()
    return tuple(row)


def test_the_home_of_real_files_has_no_problem(home: Home) -> None:
    assert home.problems == ()
    assert len(home.parks) == 9


def test_every_file_lands_whole_but_those_that_are_broken(
    landed: tuple[duckdb.DuckDBPyConnection, list[LandedFile]],
) -> None:
    files = {Path(file.path).name: file for file in landed[1]}
    rejected = {name for name, file in files.items() if file.state == "rejected"}
    assert rejected == {"Example_empty_file.csv", "Example_NEM13_consumption_data.csv", GAS_FILE}
    for file in files.values():
        parts = (file.landed_count, file.duplicate_count, file.superseded_count, file.quarantined_count)
        assert file.row_count == sum(parts), file.path
    assert {name for name, file in files.items() if file.quarantined_count} == {"Example_NEM12_incomplete_interval.csv"}
    assert files["Example_NEM12_incomplete_interval.csv"].landed_count == 48
    assert sum(file.duplicate_count + file.superseded_count for file in files.values()) == 0


def test_landing_again_finds_nothing_new(
    landed: tuple[duckdb.DuckDBPyConnection, list[LandedFile]], home: Home
) -> None:
    assert pending(landed[0], home) == []


@pytest.mark.parametrize(
    ("park", "node", "rows", "watts"),
    [
        (BIOHPC, "cbsugpu07", 15_493, Decimal("1214570.297083")),
        (BIOHPC, "cbsugpu09", 8_497, Decimal("633483.762500")),
    ],
)
def test_power_in_the_lake_is_that_of_the_file(
    con: duckdb.DuckDBPyConnection, park: str, node: str, rows: int, watts: Decimal
) -> None:
    count, microwatts = one(
        con,
        "SELECT count(*), sum(power_microwatt) FROM raw.gpu_telemetry WHERE park_id = ? AND node_id = ?",
        park,
        node,
    )
    assert count == rows
    assert Decimal(str(microwatts)) / 1_000_000 == watts


def test_the_mean_power_of_a_gpu_read_each_second_is_that_of_the_readme(con: duckdb.DuckDBPyConnection) -> None:
    count, microwatts = one(
        con,
        "SELECT count(*), sum(power_microwatt) FROM raw.gpu_telemetry WHERE park_id = ? AND node_id = 'rtx4090_1hz'",
        BENCH,
    )
    assert count == 2_619
    assert round(Decimal(str(microwatts)) / 2_619_000_000, 6) == Decimal("280.092012")


def test_the_hours_of_the_parks_clock_hold_the_months_of_the_readme(con: duckdb.DuckDBPyConnection) -> None:
    months = con.execute(
        "SELECT strftime(service_date, '%Y-%m') AS month, count(*), sum(power_microwatt) FROM raw.gpu_telemetry "
        "WHERE gpu_id = 'cbsugpu07' AND month IN ('2025-03', '2025-06') GROUP BY month ORDER BY month"
    ).fetchall()
    expected = [("2025-03", 733, Decimal("36310.040")), ("2025-06", 693, Decimal("88929.422"))]
    for (month, count, microwatts), (name, rows, watt_hours) in zip(months, expected, strict=True):
        assert (month, count) == (name, rows)
        # the README gives these two to three decimals
        assert round(Decimal(str(microwatts)) / 1_000_000, 3) == watt_hours


def test_alibabas_containers_and_zeros_are_in_the_lake(con: duckdb.DuckDBPyConnection) -> None:
    row = one(
        con,
        "SELECT count(*), count(DISTINCT gpu_id), count(DISTINCT sampled_at), count(power_microwatt), "
        "count(*) FILTER (utilization_milli_pct = 0), sum(utilization_milli_pct) "
        "FROM raw.gpu_telemetry WHERE park_id = ?",
        ALIBABA,
    )
    # 13,358 cells are exactly zero; those below half a thousandth of a percent are rounded to it
    assert row[:4] == (28_309, 114, 253, 0)
    assert int(str(row[4])) >= 13_358
    assert abs(Decimal(str(row[5])) / 1000 - Decimal("303690.162996")) <= Decimal("0.0005") * 28_309


def test_a_page_of_each_exporter_gives_its_gpus_to_their_tranches(con: duckdb.DuckDBPyConnection) -> None:
    rows = con.execute(
        "SELECT tranche_id, power_microwatt, utilization_milli_pct, energy_mj FROM raw.gpu_telemetry "
        "WHERE park_id = ? ORDER BY tranche_id, sampled_at",
        [PAGES],
    ).fetchall()
    assert rows == [
        ("pages-h100", 69_850_000, 0, None),
        ("pages-h100", 631_950_000, 100_000, None),
        ("pages-h200", 77_710_000, 0, None),
        ("pages-h200", 627_400_000, 100_000, None),
        ("pages-l40s", 35_686_000, 0, 5_551_899_580),
        ("pages-t4", 8_969_000, 0, 128_996_013),
    ]


def test_meters_hold_the_energy_of_their_files_by_register(con: duckdb.DuckDBPyConnection) -> None:
    found = {
        (meter, register): energy
        for meter, register, energy in con.execute(
            "SELECT meter_id, register, sum(energy_kwh) FROM raw.power_meter WHERE park_id = ? GROUP BY ALL", [METERS]
        ).fetchall()
    }
    assert found["NMI1234567", "E1"] == Decimal("270.738")
    assert found["NMI1234567", "B1"] == Decimal("589.172")
    assert found["CCCC123456", "E1"] == Decimal("896.990")
    assert found["NCDE001111", "E1"] == Decimal("1.920")
    assert found["NCDE001111", "E2"] == Decimal("19.200")
    assert found["NEM1208142", "E1"] == Decimal("5580.000")
    assert found["NEM1205090", "E1"] == Decimal("55853.10")
    houses = one(con, "SELECT count(*), sum(energy_kwh) FROM raw.power_meter WHERE park_id = ?", HOUSES)
    assert houses == (224, Decimal("199.563") + Decimal("4.086"))


def test_helios_occupancy_is_that_of_the_trace(con: duckdb.DuckDBPyConnection) -> None:
    hours, count = one(con, "SELECT sum(gpu_hours), count(*) FROM raw.lease_usage WHERE park_id = ?", HELIOS)
    assert count == 14 * 24
    # hours are stored to a millionth
    assert abs(Decimal(str(hours)) - Decimal("10845.316667")) < Decimal("0.0002")
    installed = one(
        con,
        "SELECT gpu_count * date_diff('hour', starts_at, ends_at) FROM raw.leases WHERE park_id = ?",
        HELIOS,
    )
    assert installed == (21_504,)
    assert round(Decimal(str(hours)) / 21_504, 6) == Decimal("0.504340")


def test_rates_and_the_issuers_facts_are_in_the_reference_tables(con: duckdb.DuckDBPyConnection) -> None:
    usd, aud = (
        one(con, "SELECT rate FROM raw.fx_rate WHERE rate_date = '2026-03-31' AND to_currency = ?", currency)[0]
        for currency in ("USD", "AUD")
    )
    assert round(Decimal(str(aud)) / Decimal(str(usd)), 10) == Decimal("1.4518177074")
    facts = dict(
        con.execute(
            "SELECT item, value FROM raw.issuer_fact WHERE issuer_id = 'nvidia' AND fiscal_period_end = '2026-04-26' "
            "AND item IN ('revenue', 'accounts_receivable_net')"
        ).fetchall()
    )
    assert round(facts["accounts_receivable_net"] / facts["revenue"] * 91, 8) == Decimal("45.39128837")
