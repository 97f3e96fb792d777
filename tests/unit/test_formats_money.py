"""Bills in FOCUS 1.0 to 1.2, the ECB's reference rates, and the SEC's companyfacts."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from formats_park import Park, rows_of, write

from ingest.formats.ecb_fx import cross_rate, read_ecb_fx
from ingest.formats.errors import FormatError
from ingest.formats.focus import parts, total
from ingest.formats.registry import detect
from ingest.formats.sec_companyfacts import days_sales_outstanding, issuer_facts, read_companyfacts
from ingest.formats.sec_companyfacts import read as read_reference

FOCUS = """\
BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ConsumedQuantity,ConsumedUnit,ResourceId,\
Tags
672000.00,USD,Usage,2027-02-01 00:00:00,2027-03-01 00:00:00,672000,GPU-Hours,r-1,"{""lease_id"": ""lease-7""}"
1.00,USD,Usage,2027-02-01 00:00:00,2027-02-01 01:00:00,1,Requests,r-2,NULL
-12345.67,USD,Credit,2027-02-01T00:00:00Z,2027-03-01T00:00:00Z,NULL,NULL,r-1,NULL
-12345.67,USD,Credit,2027-02-01T00:00:00Z,2027-03-01T00:00:00Z,NULL,NULL,r-1,NULL
168000.00,USD,Tax,2027-02-01T00:00:00Z,2027-03-01T00:00:00Z,NULL,NULL,r-1,NULL
"""


def test_gpu_hours_of_a_bill_are_what_the_tagged_lease_used(tmp_path: Path) -> None:
    path = write(tmp_path, "bill.csv", FOCUS)
    assert detect(path, "lease_usage") == "focus"
    assert rows_of(path, "lease_usage").rows() == [
        ("lease-7", "2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z", "672000", 2, None, None)
    ]


V10 = ["AvailabilityZone", "ContractedCost", "InvoiceIssuerName", "ProviderName", "PublisherName", "RegionId"]
V11 = [*V10, "CapacityReservationId", "CapacityReservationStatus", "ServiceSubcategory", "SkuMeter", "SkuPriceDetails"]
V12 = [*V11, "BillingAccountType", "InvoiceId", "PricingCurrency", "PricingCurrencyEffectiveCost", "SubAccountType"]


@pytest.mark.parametrize("others", [V10, V11, V12])
def test_columns_that_versions_of_focus_add_make_no_difference(tmp_path: Path, others: list[str]) -> None:
    lines = FOCUS.splitlines()
    wider = [",".join([*others, lines[0]]), *(",".join(["NULL"] * len(others) + [line]) for line in lines[1:])]
    for feed in ("lease_usage", "lease_adjustments"):
        plain, other = (
            rows_of(write(tmp_path, name, text), feed) for name, text in (("a.csv", FOCUS), ("b.csv", "\n".join(wider)))
        )
        assert plain.drop("adjustment_id", strict=False).equals(other.drop("adjustment_id", strict=False))


def test_charges_of_one_lease_and_period_add_up(tmp_path: Path) -> None:
    row = '1,USD,Usage,2027-02-01T00:00:00Z,2027-02-01T01:00:00Z,{},{},r-1,"{{""{}"": ""L1""}}"\n'
    text = FOCUS.splitlines()[0] + "\n"
    text += row.format("8", "GPU-Hours", "lease_id") + row.format("1800", "GPU-Seconds", "user:LeaseId")
    text += row.format("many", "GPU Hours", "lease_id")
    frame = rows_of(write(tmp_path, "bill.csv", text), "lease_usage")
    assert frame.select("lease_id", "gpu_hours", "line_no").rows() == [("L1", "many", 4), ("L1", "8.5", 2)]


def test_a_correction_adds_to_its_charge_in_the_same_bill_and_never_replaces_one_of_another(tmp_path: Path) -> None:
    text = FOCUS.splitlines()[0] + ",ChargeClass\n"
    row = "1,USD,Usage,2027-02-0{}T00:00:00Z,2027-02-0{}T01:00:00Z,{},GPU-Hours,L1,,{}\n"
    text += row.format(1, 1, "-3", "Correction") + row.format(1, 1, "20", "") + row.format(2, 2, "4", "Correction")
    frame = rows_of(write(tmp_path, "bill.csv", text), "lease_usage")
    assert frame.select("gpu_hours", "line_no", "line_rule").rows() == [
        ("17", 3, None),
        (None, 4, "correction_of_another_bill"),
    ]


def test_what_was_reserved_and_stood_idle_was_not_used(tmp_path: Path) -> None:
    # FOCUS 1.2: usage rows of a capacity reservation's unused part have a quantity, those of a commitment's have none.
    text = FOCUS.splitlines()[0] + ",CapacityReservationId,CapacityReservationStatus,CommitmentDiscountStatus\n"
    row = "1,USD,Usage,2027-02-01T00:00:00Z,2027-02-01T01:00:00Z,{},{},L1,,{}\n"
    text += row.format("8", "GPU-Hours", "cr-1,Used,NULL") + row.format("5", "GPU-Hours", "cr-1,Unused,NULL")
    text += row.format("NULL", "GPU-Hours", "NULL,NULL,Unused")
    frame = rows_of(write(tmp_path, "bill.csv", text), "lease_usage")
    assert frame.select("gpu_hours", "line_no").rows() == [("8", 2)]


def test_a_correction_of_the_cost_alone_corrects_no_quantity(tmp_path: Path) -> None:
    text = FOCUS.splitlines()[0] + ",ChargeClass\n"
    row = "1,USD,Usage,2027-02-01T00:00:00Z,2027-02-01T01:00:00Z,{},GPU-Hours,L1,,{}\n"
    text += row.format("20", "") + row.format("NULL", "Correction")
    assert rows_of(write(tmp_path, "bill.csv", text), "lease_usage")["gpu_hours"].to_list() == ["20"]


def test_a_bill_in_parquet_says_what_its_csv_says(tmp_path: Path) -> None:
    at = datetime(2027, 2, 1, tzinfo=UTC)
    table = pa.table(
        {
            "BilledCost": pa.array([Decimal("1.50"), Decimal("-2.25")]),
            "BillingCurrency": ["USD", "USD"],
            "ChargeCategory": ["Usage", "Credit"],
            "ChargePeriodStart": pa.array([at, at], pa.timestamp("ms", "UTC")),
            "ChargePeriodEnd": pa.array([at + timedelta(hours=1)] * 2, pa.timestamp("ms", "UTC")),
            "ConsumedQuantity": pa.array([8.5, None]),
            "ConsumedUnit": ["GPU-Hours", None],
            "Tags": pa.array([[("lease_id", "L1")], None], pa.map_(pa.string(), pa.string())),
            "ResourceId": ["r-1", "r-2"],
        }
    )
    path = tmp_path / "bill.parquet"
    pq.write_table(table, path)
    assert detect(path, "lease_usage") == "focus"
    (usage,) = rows_of(path, "lease_usage").to_dicts()
    assert (usage["lease_id"], usage["gpu_hours"]) == ("L1", "8.5")
    assert datetime.fromisoformat(usage["interval_start_at"]) == at
    (credit,) = rows_of(path, "lease_adjustments").to_dicts()
    assert (credit["lease_id"], credit["amount"], credit["service_date"]) == ("r-2", "-2.25", "2027-02-01")


@pytest.mark.parametrize(
    ("start", "end", "day"),
    [
        ("2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z", "2027-02-01"),
        ("2027-02-01T14:00:00Z", "2027-02-01T15:00:00Z", "2027-02-02"),
        ("soon", "later", "soon"),
    ],
)
def test_a_charge_belongs_to_the_day_that_the_bill_names_or_by_the_hour_to_the_parks_day(
    tmp_path: Path, start: str, end: str, day: str
) -> None:
    text = FOCUS.splitlines()[0] + f"\n-1,USD,Credit,{start},{end},NULL,NULL,r-1,NULL\n"
    frame = rows_of(write(tmp_path, "bill.csv", text), "lease_adjustments", Park("Australia/Sydney"))
    assert frame["service_date"].to_list() == [day]


def test_a_torn_line_of_a_bill_comes_with_its_text(tmp_path: Path) -> None:
    frame = rows_of(write(tmp_path, "bill.csv", FOCUS + "1,USD,Usa"), "lease_usage")
    assert frame.sort("line_no")["line_text"].to_list() == [None, "1,USD,Usa"]


def test_credits_and_taxes_of_a_bill_are_adjustments_with_the_sign_of_the_bill(tmp_path: Path) -> None:
    frame = rows_of(write(tmp_path, "bill.csv", FOCUS), "lease_adjustments")
    assert frame.select("lease_id", "service_date", "kind", "amount").rows() == [
        ("r-1", "2027-02-01", "credit", "-12345.67"),
        ("r-1", "2027-02-01", "credit", "-12345.67"),
        ("r-1", "2027-02-01", "sales_tax", "168000.00"),
    ]
    # a bill may hold the same credit twice: both count, and the file sent again gives the same keys
    assert frame["adjustment_id"].n_unique() == 3
    again = rows_of(write(tmp_path, "again.csv", FOCUS), "lease_adjustments")
    assert again["adjustment_id"].to_list() == frame["adjustment_id"].to_list()


def test_null_in_a_bill_is_empty_and_sums_are_exact(tmp_path: Path) -> None:
    (frame,) = parts(write(tmp_path, "bill.csv", FOCUS))
    assert frame["Tags"].null_count() == 4
    assert total(frame, "BilledCost") == Decimal("815309.66")


def test_a_bill_without_gpu_hours_is_no_usage(tmp_path: Path) -> None:
    path = write(tmp_path, "bill.csv", FOCUS.replace("GPU-Hours", "Hours"))
    with pytest.raises(FormatError, match="none of its 5 charges is a usage in GPU-hours"):
        rows_of(path, "lease_usage")


ECB = "Date,USD,BGN,AUD,\n2026-03-31,1.1498,N/A,1.6693,\n2026-03-30,1.1484,N/A,1.674,\n"


def test_ecb_rates_are_units_per_euro_oldest_first_without_those_not_set(tmp_path: Path) -> None:
    frame = read_ecb_fx(write(tmp_path, "eurofxref-hist.csv", ECB))
    assert frame.rows()[:2] == [
        (date(2026, 3, 30), "EUR", "AUD", Decimal("1.674"), "ecb"),
        (date(2026, 3, 30), "EUR", "USD", Decimal("1.1484"), "ecb"),
    ]
    assert frame.height == 4


def test_a_cross_rate_goes_through_the_euro_and_takes_no_other_days_rate(tmp_path: Path) -> None:
    frame = read_ecb_fx(write(tmp_path, "fx.csv", ECB))
    assert round(cross_rate(frame, date(2026, 3, 31), "USD", "AUD"), 10) == Decimal("1.4518177074")
    assert cross_rate(frame, date(2026, 3, 31), "USD", "EUR") == 1 / Decimal("1.1498")
    with pytest.raises(LookupError, match="no reference rate of AUD on 2026-03-29"):
        cross_rate(frame, date(2026, 3, 29), "USD", "AUD")


def test_the_daily_file_has_its_date_in_words(tmp_path: Path) -> None:
    frame = read_ecb_fx(write(tmp_path, "eurofxref.csv", "Date, USD, AUD, \n30 October 2026, 1.1172, 1.5904, \n\n"))
    assert frame["rate_date"].unique().to_list() == [date(2026, 10, 30)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Day,USD\n", "is not `Date,USD"),
        ("Date,USD\n2026-03-31,1.1,2\n", "line 2 has 3 cells, the header 2"),
        ("Date,USD\n2026-03-31,much\n", "line 2: USD is 'much', no number"),
        ("Date,USD\n2026-03-31,-1\n", "not above zero"),
        ("Date,USD\n2026-03-31,1\n2026-03-31,1\n", "2026-03-31 stands there twice"),
        ("Date,USD\n31/03/2026,1\n", "is no date"),
    ],
)
def test_odd_rate_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        read_ecb_fx(write(tmp_path, "fx.csv", text))


def flow(period: str, value: int, filed: str, label: str, form: str = "10-Q") -> dict[str, object]:
    start, _, end = period.partition("/")
    quarter, _, year = label.partition(" ")
    filing = {"accn": f"0001-{filed}", "fy": int(year), "fp": quarter, "form": form, "filed": filed}
    return {"start": start, "end": end, "val": value, **filing}


def facts(tmp_path: Path, revenues: list[dict[str, object]], receivables: list[dict[str, object]]) -> Path:
    concepts = {
        "Revenues": {"units": {"USD": revenues}},
        "AccountsReceivableNetCurrent": {"units": {"USD": receivables}},
    }
    return write(tmp_path, "facts.json", json.dumps({"cik": 1, "facts": {"us-gaap": concepts}}))


# A fiscal year of 52 weeks to 2026-01-25: three quarters filed, the year, no fourth quarter.
YEAR = [
    flow("2025-01-27/2025-04-27", 44_000_000, "2025-05-28", "Q1 2026"),
    flow("2025-04-28/2025-07-27", 46_000_000, "2025-08-27", "Q2 2026"),
    flow("2025-07-28/2025-10-26", 57_000_000, "2025-11-19", "Q3 2026"),
    flow("2025-01-27/2025-10-26", 147_000_000, "2025-11-19", "Q3 2026"),
    flow("2025-01-27/2026-01-25", 216_000_000, "2026-02-25", "FY 2026", "10-K"),
]
BALANCE = [
    {
        "end": "2026-01-25",
        "val": 38_000_000,
        "accn": "0001-2026-02-25",
        "fy": 2026,
        "fp": "FY",
        "form": "10-K",
        "filed": "2026-02-25",
    }
]


def test_the_fourth_quarter_is_the_year_less_its_three_quarters(tmp_path: Path) -> None:
    frame = issuer_facts(facts(tmp_path, YEAR, BALANCE), "issuer")
    columns = ("fiscal_period_end", "fiscal_label", "value", "unit", "grade", "days_in_period", "filed_date")
    revenue = frame.filter(frame["item"] == "revenue").select(columns).rows()
    assert revenue[3] == (date(2026, 1, 25), "Q4 FY26", Decimal(69), "USDm", "I", 91, date(2026, 2, 25))
    assert revenue[0] == (date(2025, 4, 27), "Q1 FY26", Decimal(44), "USDm", "P", 91, date(2025, 5, 28))
    # 38 / 69 × 91
    assert round(days_sales_outstanding(frame, date(2026, 1, 25)), 9) == Decimal("50.115942029")


def test_a_fourteenth_week_counts_in_the_days_of_its_quarter(tmp_path: Path) -> None:
    longer = [
        {**fact, "end": "2026-02-01"} if fact["end"] == "2026-01-25" else fact  # a 53rd week
        for fact in YEAR
    ]
    frame = issuer_facts(facts(tmp_path, longer, []), "issuer")
    assert frame.filter(frame["fiscal_label"] == "Q4 FY26")["days_in_period"].to_list() == [98]


def test_the_latest_filing_wins_and_the_older_value_is_kept_with_its_filing_date(tmp_path: Path) -> None:
    restated = [
        *YEAR,
        flow("2025-01-27/2025-04-27", 44_000_000, "2025-06-30", "Q1 2026"),
        flow("2025-01-27/2025-04-27", 43_000_000, "2026-05-20", "Q1 2027"),
        flow("2026-01-26/2026-04-26", 81_000_000, "2026-05-20", "Q1 2027"),
    ]
    path = facts(tmp_path, restated, [])
    latest = issuer_facts(path, "issuer")
    first = latest.filter(latest["fiscal_period_end"] == date(2025, 4, 27))
    assert first.select("value", "filed_date", "fiscal_label").rows() == [(Decimal(43), date(2026, 5, 20), "Q1 FY26")]
    every = issuer_facts(path, "issuer", with_superseded=True)
    history = every.filter(every["fiscal_period_end"] == date(2025, 4, 27)).select("value", "filed_date", "is_latest")
    # a value filed again without change is known since its first filing
    assert history.rows() == [(Decimal(44), date(2025, 5, 28), False), (Decimal(43), date(2026, 5, 20), True)]
    # the restated quarter moves the derived fourth one
    assert latest.filter(latest["fiscal_label"] == "Q4 FY26")["value"].to_list() == [Decimal(70)]


def test_older_concepts_fill_what_newer_ones_leave_out_and_never_replace_them(tmp_path: Path) -> None:
    older = [flow("2017-01-30/2017-04-30", 19_000_000, "2017-05-23", "Q1 2018"), {**YEAR[0], "val": 1}]
    concepts = {
        "SalesRevenueNet": {"units": {"USD": older}},
        "Revenues": {"units": {"USD": YEAR}},
        "CostOfGoodsAndServicesSold": {"units": {"USD": YEAR[:1]}},
    }
    path = write(tmp_path, "facts.json", json.dumps({"cik": 1, "facts": {"us-gaap": concepts}}))
    frame = issuer_facts(path, "issuer")
    revenue = frame.filter(frame["item"] == "revenue").sort("fiscal_period_end")["value"].to_list()
    assert revenue[:2] == [Decimal(19), Decimal(44)]
    assert frame.filter(frame["item"] == "cost_of_revenue")["value"].to_list() == [Decimal(44)]


def test_a_quarter_without_its_revenue_has_no_days_of_sales(tmp_path: Path) -> None:
    frame = issuer_facts(facts(tmp_path, YEAR[:1], BALANCE), "issuer")
    with pytest.raises(LookupError, match="quarter to 2026-01-25"):
        days_sales_outstanding(frame, date(2026, 1, 25))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[]", "not the shape of companyfacts"),
        (
            '{"facts": {"us-gaap": {"Assets": {"units": {"USD": [{"end": "2026", "val": 1}]}}}}}',
            "not the shape of companyfacts",
        ),
        (
            '{"facts": {"us-gaap": {"Assets": {"units": {"USD": [{"end": "2026-01-25", "val": 1e40}]}}}}}',
            "1E\\+40 is no amount",
        ),
        (json.dumps({"facts": {"dei": {"Assets": {"units": {"USD": [BALANCE[0] | {"fy": "FY26"}]}}}}}), "FY26"),
        (
            json.dumps({"facts": {"dei": {"Assets": {"units": {"USD": [BALANCE[0] | {"accn": "\ud800"}]}}}}}),
            "surrogates",
        ),
        (json.dumps({"facts": {"dei": {"Assets": {"units": {"USD": [BALANCE[0] | {"form": 10**40}]}}}}}), "too large"),
    ],
)
def test_json_of_another_shape_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        read_companyfacts(write(tmp_path, "facts.json", text))


def test_a_filer_without_monetary_facts_is_refused(tmp_path: Path) -> None:
    text = json.dumps({"facts": {"dei": {"EntityCommonStockSharesOutstanding": {"units": {"shares": []}}}}})
    with pytest.raises(FormatError, match="no monetary facts"):
        issuer_facts(write(tmp_path, "facts.json", text), "issuer")


def test_reference_rows_are_of_the_filer_that_the_file_names(tmp_path: Path) -> None:
    path = facts(tmp_path, YEAR, BALANCE)
    assert read_reference(path)["issuer_id"].unique().to_list() == ["cik-1"]
    write(tmp_path, "facts.json", path.read_text().replace('"cik": 1,', '"cik": "0001045810",'))
    frame = read_reference(path)
    assert frame["issuer_id"].unique().to_list() == ["nvidia"]
    assert frame.filter(frame["fiscal_label"] == "Q4 FY26")["value_text"].to_list() == ["38", "69"]
