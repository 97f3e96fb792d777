"""Rewrite the computed tables of a reference folder: `python -m ingest.reference_tools REAL_DATA data/reference`.

The quoted rows of gpu_price_index.csv stay as they stand; its medians, and every other computed table, are made anew.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from ingest.reference_tools import tables
from ingest.simulate import profiles


def main(real_data: Path, reference: Path) -> None:
    """Read the folder of real files and write the tracked tables."""
    tables.write_rows(reference / "fx.csv", tables.FX_HEADER, tables.fx_rows())
    tables.write_rows(reference / "yield_curve.csv", tables.CURVE_HEADER, tables.curve_rows(real_data))
    tables.write_rows(reference / "default_rates.csv", tables.DEFAULT_HEADER, tables.default_rate_rows(real_data))
    (reference / "issuer_facts.csv").write_bytes((real_data / "nvidia_financials.csv").read_bytes())
    prices = reference / "gpu_price_index.csv"
    with prices.open(encoding="utf-8", newline="") as handle:
        quoted = [row for row in list(csv.reader(handle))[1:] if not row[4].startswith(tables.MEDIAN_SOURCE)]
    medians = tables.price_median_rows(real_data)
    tables.write_rows(prices, tables.PRICE_HEADER, sorted(quoted + medians))
    for name, frame in profiles.compute_profiles(real_data).items():
        frame.write_csv(reference / f"{name}.csv")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
