"""`parkledger land`: what a file is taken for, where it is put, and why it is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_home import LEASE_HEADER, PARK_ID, lease_row, make_home
from typer.testing import CliRunner

from orchestration.cli import EXIT_BAD_INPUT, app

NEM12 = "100,NEM12,202612010900,MDP1,Ret1\n200,NMI0000001,E1B1,1,E1,N1,METER1,kWh,30,20270101\n"
DAY = "300,20270115," + "1.5," * 48 + "A,,,20270116103000,\n900\n"
FOCUS = (
    "BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ConsumedQuantity,ConsumedUnit,ResourceId\n"
    "5.00,USD,Usage,2027-02-01T00:00:00Z,2027-02-01T01:00:00Z,8,GPU-Hours,L1\n"
    "-1.00,USD,Credit,2027-02-01T00:00:00Z,2027-03-01T00:00:00Z,,,L1\n"
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path / "home")


@pytest.fixture
def land(home: Path, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    def run(content: str | bytes, *options: str, name: str = "file.txt") -> tuple[int, str]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        done = CliRunner().invoke(app, ["--home", str(home), "land", str(path), "--park", PARK_ID, *options])
        return done.exit_code, done.output

    return run


def landed(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home / "landing" / PARK_ID)) for path in home.glob("landing/*/*/file*"))


def test_the_feed_and_the_format_are_found_by_the_content(home: Path, land: Callable[..., tuple[int, str]]) -> None:
    code, said = land(NEM12 + DAY)
    assert code == 0
    assert f"nem12 with power_meter of {PARK_ID}" in said
    assert "48 rows, 0 of them would stand in quarantine" in said
    assert landed(home) == ["power_meter/file.txt"]


def test_a_bill_lands_with_both_feeds_that_it_carries(home: Path, land: Callable[..., tuple[int, str]]) -> None:
    assert land(FOCUS)[0] == 0
    assert landed(home) == ["lease_adjustments/file.txt", "lease_usage/file.txt"]


def test_rows_that_would_stand_in_quarantine_are_counted_by_rule(land: Callable[..., tuple[int, str]]) -> None:
    code, said = land(LEASE_HEADER + lease_row() + lease_row("L2", price="-1") + lease_row("L3", price="x"))
    assert code == 0
    assert "3 rows, 2 of them would stand in quarantine" in said
    assert "1 × not_a_number of price_per_gpu_hour" in said


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        ("Roses are red\nviolets are blue\n", [], "no format of any feed fits"),
        ("<!DOCTYPE html><html><body>404</body></html>", [], "no format of any feed fits"),
        (b"\x00\x01\x02" * 99, [], "no format of any feed fits"),
        (NEM12 + DAY, ["--feed", "leases"], "it is nem12, which holds power_meter and not leases"),
        (NEM12 + DAY, ["--format", "green_button"], "no XML"),
        (NEM12 + DAY, ["--feed", "power_meter", "--format", "csv"], "it is nem12 and not csv"),
        (NEM12 + DAY, ["--format", "excel"], "'excel' is no format; the formats are parquet"),
        ('{"cik": 1045810, "entityName": "x", "facts": {}}', [], "put it under reference/"),
        ("Date,USD,JPY\n2026-01-01,1.1,150\n", [], "put them under reference/"),
        ('{"status": "error", "errorType": "timeout", "error": "too slow"}', [], "timeout.*too slow"),
    ],
)
def test_a_file_that_is_no_feed_is_refused_with_reasons_and_put_nowhere(
    home: Path, land: Callable[..., tuple[int, str]], content: str, options: list[str], reason: str
) -> None:
    code, said = land(content, *options)
    assert code == EXIT_BAD_INPUT
    assert reason.rsplit(".*", maxsplit=1)[-1] in " ".join(said.split())
    assert landed(home) == []


def test_another_content_under_a_name_that_is_taken_gets_a_name_of_its_own(
    home: Path, land: Callable[..., tuple[int, str]]
) -> None:
    land(LEASE_HEADER + lease_row())
    land(LEASE_HEADER + lease_row())
    assert len(landed(home)) == 1
    land(LEASE_HEADER + lease_row("L2"))
    assert len(list((home / "landing" / PARK_ID / "leases").iterdir())) >= 2


def test_the_names_of_parks_and_feeds_are_told(land: Callable[..., tuple[int, str]]) -> None:
    code, said = land(LEASE_HEADER, "--feed", "lease")
    assert code == 2
    assert "lease_usage" in said
    assert "Traceback" not in said
