"""The readers that the fuzzer knows, and whole files of each, with which it begins."""

from __future__ import annotations

import gzip
import io
import json
import sys
import zipfile

import polars as pl
from homes import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tests" / "property"))

from small_home import CONTRACT, PARK
from test_formats_damaged import SAMPLES

FEED, TEXT = SAMPLES["csv"]  # what lies in a Parquet file, a zip and a gzip file
FACT = {"start": "2025-01-27", "end": "2025-04-27", "val": 44, "fy": 2026, "fp": "Q1", "form": "10-Q"}
UNITS = {"units": {"USD": [FACT | {"accn": "0001", "filed": "2025-05-28"}]}}


def _parquet() -> bytes:
    content = io.BytesIO()
    pl.read_csv(TEXT.encode(), infer_schema=False).write_parquet(content)
    return content.getvalue()


def _zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("rows.csv", TEXT)
    return content.getvalue()


def _reference() -> list[bytes]:
    """The first lines of each table that the project ships."""
    files = sorted((REPOSITORY / "data" / "reference").glob("*.csv"))
    return [b"".join(file.read_bytes().splitlines(keepends=True)[:6]) for file in files]


SEEDS: dict[str, list[bytes]] = {
    **{name: [text.encode()] for name, (_, text) in SAMPLES.items()},
    "parquet": [_parquet()],
    "zip": [_zip()],
    "gzip": [gzip.compress(TEXT.encode())],
    "yaml": [PARK.encode(), CONTRACT.encode()],
    "reference": _reference(),
    "ecb_fx": [b"Date,USD,AUD,\n2026-10-30,1.1172,1.5904,\n2026-10-29,1.1170,N/A,\n"],
    "companyfacts": [json.dumps({"cik": 1, "facts": {"us-gaap": {"Revenues": UNITS, "Assets": UNITS}}}).encode()],
}
