"""Reference tables: the tracked files land exactly, and every fault is named with file and line."""

import csv
import shutil
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from scipy.interpolate import PchipInterpolator

from ingest.reference import (
    PROFILE_TABLES,
    TABLES,
    ReferenceDataError,
    ReferenceTable,
    check_text,
    write_reference,
)
from ingest.reference_tools import tables, yield_curve

TRACKED = Path(__file__).resolve().parents[2] / "data" / "reference"


@pytest.fixture
def home(tmp_path: Path) -> SimpleNamespace:
    shutil.copytree(TRACKED, tmp_path / "reference")
    return SimpleNamespace(path=tmp_path)


def land(home: SimpleNamespace) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    write_reference(con, home)
    return con


def faults(home: SimpleNamespace) -> list[str]:
    with pytest.raises(ReferenceDataError) as raised:
        land(home)
    return [str(problem) for problem in raised.value.problems]


def change(home: SimpleNamespace, file: str, old: str, new: str) -> None:
    path = home.path / "reference" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_every_tracked_table_lands_with_as_many_rows_as_its_file(home: SimpleNamespace) -> None:
    con = duckdb.connect()
    counts = write_reference(con, home)
    for table in TABLES:
        with (TRACKED / table.file).open(encoding="utf-8", newline="") as handle:
            expected = sum(1 for _ in csv.reader(handle)) - 1
        assert counts[f"raw.{table.table}"] == expected
        assert con.execute(f"SELECT count(*) FROM raw.{table.table}").fetchone() == (expected,)


def test_landing_again_gives_the_same_rows(home: SimpleNamespace) -> None:
    con = land(home)
    before = con.execute("SELECT * FROM raw.fx_rate").fetchall()
    write_reference(con, home)
    assert con.execute("SELECT * FROM raw.fx_rate").fetchall() == before


def test_decimals_are_exact(home: SimpleNamespace) -> None:
    # Oracle: ECB reference rates of 2026-03-31, as in the bank's own file.
    rates = dict(
        land(home)
        .execute("SELECT to_currency, rate FROM raw.fx_rate WHERE rate_date = '2026-03-31' AND from_currency = 'EUR'")
        .fetchall()
    )
    assert rates == {"USD": Decimal("1.1498"), "AUD": Decimal("1.6693"), "IDR": Decimal("19506.24")}
    # Oracle: AUD per USD of that day, 1.4518177074.
    assert round(rates["AUD"] / rates["USD"], 10) == Decimal("1.4518177074")


def test_default_rates_are_those_of_the_published_table(home: SimpleNamespace) -> None:
    # Oracle: S&P 1981-2016, one-year default and withdrawn rates of B, and ten years of BBB.
    rows = {
        (rating, horizon): (default, withdrawn)
        for rating, horizon, default, withdrawn in land(home)
        .execute("SELECT rating, horizon_years, cumulative_default_rate, withdrawn_rate FROM raw.default_rate")
        .fetchall()
    }
    assert rows["B", 1] == (Decimal("0.0376"), Decimal("0.1206"))
    assert rows["BBB", 10] == (Decimal("0.0456"), Decimal("0.4177"))
    assert rows["CCC/C", 5][0] == Decimal("0.4696")
    assert len(rows) == 7 * 8


def test_cumulative_default_rates_do_not_fall_but_where_the_source_says_so(home: SimpleNamespace) -> None:
    query = (
        "SELECT rating, horizon_years FROM (SELECT *, lag(cumulative_default_rate) OVER "
        "(PARTITION BY rating ORDER BY horizon_years) AS before FROM raw.default_rate) "
        "WHERE cumulative_default_rate < before ORDER BY ALL"
    )
    # The published averages of different cohorts fall at 20 years for the lowest grades.
    assert land(home).execute(query).fetchall() == [("B", 20), ("CCC/C", 20)]


def test_a_list_of_values_keeps_its_text_and_has_no_number(home: SimpleNamespace) -> None:
    con = land(home)
    query = (
        "SELECT value_text, value, issuer_id FROM raw.issuer_fact "
        "WHERE item = 'ar_customers_ge10pct' AND fiscal_period_end = '2026-07-26'"
    )
    assert con.execute(query).fetchall() == [("22|14|13|11|10", None, "nvidia")]
    revenue = "SELECT value FROM raw.issuer_fact WHERE item = 'revenue' AND fiscal_period_end = '2026-07-26'"
    assert con.execute(revenue).fetchall() == [(Decimal(96221),)]


def test_a_missing_file_is_an_empty_table(home: SimpleNamespace) -> None:
    (home.path / "reference" / "fx.csv").unlink()
    assert land(home).execute("SELECT count(*) FROM raw.fx_rate").fetchone() == (0,)


def test_a_home_without_reference_folder_gives_empty_tables_but_for_the_shipped_default_rates(tmp_path: Path) -> None:
    rows = write_reference(duckdb.connect(), SimpleNamespace(path=tmp_path))
    assert rows.pop("raw.default_rate") > 0
    assert set(rows.values()) == {0}


def test_a_bad_cell_is_named_with_file_line_and_column(home: SimpleNamespace) -> None:
    change(home, "power_price.csv", "42.71", "dear")
    change(home, "power_price.csv", "88.05", "88.0512345678")
    found = faults(home)
    assert found[0].startswith("power_price.csv:3: price_per_mwh: 'dear' is no decimal number")
    assert found[1].startswith("power_price.csv:4: price_per_mwh: 88.0512345678 has more than 9 decimals")


def test_all_problems_of_all_files_come_at_once_and_nothing_is_written(home: SimpleNamespace) -> None:
    change(home, "power_price.csv", "42.71", "dear")
    change(home, "fx.csv", "2024-01-02,EUR,AUD,1.6147", "2024-01-02,EUR,AUD,0")
    con = duckdb.connect()
    with pytest.raises(ReferenceDataError) as raised:
        write_reference(con, home)
    assert {problem.file for problem in raised.value.problems} == {"power_price.csv", "fx.csv"}
    assert con.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (0,)


def test_the_same_key_twice_is_a_fault(home: SimpleNamespace) -> None:
    path = home.path / "reference" / "fx.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines, lines[1]]), encoding="utf-8")
    assert "the same key as line 2" in faults(home)[0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("agency,rating", "bureau,rating", "default_rates.csv:1: agency: column missing"),
        ("SP,AAA,1,0,", "SP,AAA,1,1.2,", "1.2 is above 1"),
        ("SP,AAA,1,0,", "SP,AAA,one,0,", "'one' is no whole number"),
        ("SP,AAA,1,0,", "SP,AAA,1_0,0,", "'1_0' is no whole number"),
        ("SP,AAA,1,0,", "SP,,1,0,", "default_rates.csv:2: rating: empty"),
        ("SP,AAA,1,0,", "SP,AAA,-1,0,", "default_rates.csv:2: horizon_years: -1 is below 0"),
        ("SP,AAA,1,0,", "SP,AAA,0,0,", "default_rates.csv:2: horizon_years: 0 is below 1"),
        ("SP,AAA,1,0,", "SP,AAA,1,0.5,", "cumulative_default_rate: 0.0003 after 0.5 in line 2"),
        (
            "SP,AAA,1,0,0.0317",
            "SP,AAA,1,0.0001,1",
            "withdrawn_rate: 0.0001 defaulted and 1 withdrawn are more than all",
        ),
    ],
)
def test_what_is_wrong_is_said(home: SimpleNamespace, old: str, new: str, said: str) -> None:
    change(home, "default_rates.csv", old, new)
    assert said in faults(home)[0]


@pytest.mark.parametrize("cell", ["NaN", "Infinity", "1e999", "1e-999", "1_0"])
def test_numbers_that_are_none_are_refused(home: SimpleNamespace, cell: str) -> None:
    change(home, "power_price.csv", "42.71", cell)
    assert faults(home)[0].startswith("power_price.csv:3: price_per_mwh:")


ROWS_OF_TABLES_THAT_THE_DEMO_LEAVES_EMPTY = {
    "credit_curves.csv": "operator,2027-01-01,cds_spread,5,0.05,,s,P\n",
    "instruments.csv": "loan,contract,2027-01-01,-5.00,USD,s,P\nloan,contract,2028-01-01,6.00,USD,s,P\n",
    "operator_facts.csv": "operator,2027-06-30,2027-08-27,cash,5.00,USD,s,P\n",
    "hardware_values.csv": "2027-06-30,GB300,market,,5.00,USD,s,P\n",
}


@pytest.mark.parametrize("table", [*TABLES, *PROFILE_TABLES], ids=lambda table: table.file)
def test_a_wrong_header_and_a_bad_cell_of_every_table_are_named(home: SimpleNamespace, table: ReferenceTable) -> None:
    path = home.path / "reference" / table.file
    header, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    first, *rest = lines or ROWS_OF_TABLES_THAT_THE_DEMO_LEAVES_EMPTY[table.file].splitlines(keepends=True)
    needed = next(c for c in reversed(table.columns) if not c.optional and c.name != "value")
    path.write_text("".join([header.replace(needed.name, "surprise"), first, *rest]), encoding="utf-8")
    (said,) = [one for one in faults(home) if one.startswith(table.file)]
    assert said == f"{table.file}:1: {needed.name}: column missing. Add a column {needed.name}."
    checked = next(c for c in table.columns if c.check is not check_text)
    place = next(csv.reader([header])).index(checked.name)
    cells = next(csv.reader([first]))
    cells[place] = "dear"
    path.write_text(header + ",".join(f'"{cell}"' for cell in cells) + "\n" + "".join(rest), encoding="utf-8")
    (said,) = [one for one in faults(home) if one.startswith(table.file)]
    assert said.startswith(f"{table.file}:2: {checked.name}: 'dear' is no ")


def test_a_thousand_wrong_lines_are_counted_not_printed(home: SimpleNamespace) -> None:
    path = home.path / "reference" / "fx.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("EUR,AUD,", "EUR,AUD,x"), encoding="utf-8")
    with pytest.raises(ReferenceDataError) as raised:
        land(home)
    printed = str(raised.value).splitlines()
    assert len(printed) == 21
    assert printed[0].startswith("reference/fx.csv:2: rate: 'x1.6147' is no decimal number")
    assert printed[-1] == f"… and {len(raised.value.problems) - 20:,} more"


def test_a_file_that_is_not_utf_8_is_named(home: SimpleNamespace) -> None:
    (home.path / "reference" / "fx.csv").write_bytes(b"rate_date\xff\n")
    assert faults(home)[0].startswith("fx.csv:0: file: not UTF-8")


def test_a_header_with_an_open_quote_is_named(home: SimpleNamespace) -> None:
    (home.path / "reference" / "fx.csv").write_text('rate_date,"from_currency\n')
    assert faults(home)[0].startswith("fx.csv:0: line: unexpected end of data")


def test_every_row_has_a_source(home: SimpleNamespace) -> None:
    con = land(home)
    for table in TABLES:
        assert con.execute(f"SELECT count(*) FROM raw.{table.table} WHERE source IS NULL").fetchone() == (0,)


# The tools behind the computed tables.

PAR = {1 / 12: 0.044, 0.25: 0.0437, 0.5: 0.0424, 1.0: 0.0416, 2.0: 0.0425, 5.0: 0.0438, 10.0: 0.0458}


def test_half_year_par_bonds_are_worth_one_on_the_bootstrapped_curve() -> None:
    factors = yield_curve.discount_factors(PAR)
    interpolated = PchipInterpolator(sorted(PAR), [PAR[tenor] for tenor in sorted(PAR)])
    for half_years in range(2, 21):
        coupon = float(interpolated(half_years / 2)) / 2
        value = sum(coupon * factors[step / 2] for step in range(1, half_years + 1)) + factors[half_years / 2]
        assert value == pytest.approx(1, abs=1e-12)


def test_a_flat_par_curve_has_a_flat_zero_curve() -> None:
    import math

    zeros = yield_curve.zero_rates(dict.fromkeys((0.5, 1.0, 2.0, 5.0, 30.0), 0.05))
    assert all(rate == pytest.approx(2 * math.log(1.025), abs=1e-12) for rate in zeros.values())


def test_the_tracked_rates_are_those_of_the_installed_package() -> None:
    with (TRACKED / "fx.csv").open(encoding="utf-8", newline="") as handle:
        tracked = {tuple(row[:3]): row[3] for row in list(csv.reader(handle))[1:]}
    installed = {tuple(row[:3]): row[3] for row in tables.fx_rows()}
    assert {key: installed.get(key) for key in tracked} == tracked
