"""The table in which people mend many quarantined rows at once: a CSV with one line a row, cells by column.

No rows are released here.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

from ingest.contracts import CONTRACTS
from ingest.formats.numbers import number
from ingest.mending import MendingError, Quarantined, cells_of, columns_of
from ingest.terms.home import Home

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ABOUT = ("row_id", "park_id", "feed", "path", "line_no", "rule", "column_name", "row_text")


def _harmless(cell: object) -> object:
    """Strangers' text that a spreadsheet would take for a formula, behind an apostrophe; numbers stay as they are."""
    is_formula = isinstance(cell, str) and cell.startswith(_FORMULA) and number(cell) is None
    return f"'{cell}" if is_formula else cell


def _as_it_was(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def write_rows(path: Path, home: Home, rows: Sequence[Quarantined]) -> None:
    """Write rows with what is wrong with each, and their cells under the columns of their feeds."""
    names = list(dict.fromkeys(name for row in rows for name in columns_of(row.feed)))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*_ABOUT, *names])
        for row in rows:
            cells = cells_of(home, row)
            told = [*(getattr(row, name) for name in _ABOUT), *(cells.get(name, "") for name in names)]
            writer.writerow([_harmless(cell) for cell in told])


def read_rows(path: Path) -> dict[str, dict[str, str]]:
    """row_id and cells of each line of a mended table; an empty cell takes the value away.

    Raises:
        MendingError: no table of `write_rows`, or a line that is not whole.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames is None or not {"row_id", "feed"} <= set(reader.fieldnames):
            raise MendingError(f"{path} has no columns row_id and feed: make it with `quarantine list --csv`")
        mended: dict[str, dict[str, str]] = {}
        for line in reader:
            if None in line or None in line.values() or line["feed"] not in CONTRACTS:
                raise MendingError(f"{path}, line {reader.line_num}: not as many cells as columns, or no feed")
            names = columns_of(line["feed"])
            mended[line["row_id"]] = {name: _as_it_was(cell) for name, cell in line.items() if name in names}
    return mended
