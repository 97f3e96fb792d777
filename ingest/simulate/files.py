"""Writing of simulated files: under a temporary name first, then renamed, with the same bytes on every run."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

from ingest.simulate import days


def cell(value: object) -> str:
    """A cell as every reader takes it: instants with Z, ISO dates, plain decimals, true and false, empty for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return days.iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value)


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[object]], *, is_gzip: bool = False) -> bytes:
    """A CSV file; a gzip one carries neither name nor time, so that its bytes depend on the rows alone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([cell(value) for value in row] for row in rows)
    plain = text.getvalue().encode("utf-8")
    if not is_gzip:
        return plain
    packed = zlib.compress(plain, level=6, wbits=31)
    # Byte 9 names the operating system: Python's own gzip writes another one in each version, here it stays unknown.
    return packed[:9] + b"\xff" + packed[10:]


def write_atomically(path: Path, content: bytes) -> None:
    """Put a file in place at once: readers see all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.tmp")
    hidden.write_bytes(content)
    hidden.replace(path)
