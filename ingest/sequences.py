"""Rules that hold a row against those before it in its sequence: a GPU's energy counter, the intervals of a register.

Such a rule binds over a whole file, however large it is: what the rule looks at is put into order on disk where memory
would not do, and read in pieces. What it finds does not depend on the pieces.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from ingest.checking import Faults
from ingest.spool import Spool

_PLACE = ("file_no", "line_no")


@dataclass(frozen=True)
class SequenceRule:
    """One rule of a feed.

    Attributes:
        rule, column: its name, and the column at fault.
        order: columns of one sequence and then those by which its rows follow each other; a row without one of them
            belongs to no sequence.
        values: what else is compared; a row without it belongs to none either.
        beside: what may be missing.
        breaks: rows in order (typed, under the table's names) to whether each breaks the rule.
        so_far: rows in order to one row that stands before the next ones for all of them.
    """

    rule: str
    column: str
    order: tuple[str, ...]
    values: tuple[str, ...]
    beside: tuple[str, ...]
    breaks: Callable[[pl.DataFrame], pl.Series]
    so_far: Callable[[pl.DataFrame], pl.DataFrame]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the rule looks at."""
        return (*self.order, *self.values, *self.beside)

    @property
    def _order(self) -> tuple[str, ...]:
        """Rows of several files are several sequences; rows that nothing else orders keep that of their lines."""
        return (_PLACE[0], *self.order, _PLACE[1])

    def looked_at(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of some typed rows that belong to a sequence: their places and what the rule looks at."""
        if any(rows[name].null_count() == rows.height for name in self.values):
            return pl.DataFrame(schema={name: rows.schema[name] for name in (*_PLACE, *self.columns)})
        return rows.select(*_PLACE, *self.columns).drop_nulls((*self.order, *self.values))

    def broken(self, frames: Spool) -> pl.DataFrame:
        """`file_no` and `line_no` of the rows that break the rule, of all rows that were looked at."""
        found = [pl.DataFrame(schema=dict.fromkeys(_PLACE, pl.Int64))]
        before: pl.DataFrame | None = None
        for piece in frames.in_order(self._order):
            rows = piece if before is None else pl.concat([before, piece])
            mask = self.breaks(rows)
            found.append(rows.filter(mask).select(_PLACE))
            before = self.so_far(rows)
        return pl.concat(found)

    def add(self, rows: pl.DataFrame, faults: Faults, broken: pl.DataFrame | None = None) -> None:
        """Note the rows that break the rule.

        Args:
            rows: typed rows with their places.
            faults: what has been found of them so far.
            broken: see `broken`, where these rows are a part of their file; None where they are all of their files.
        """
        if broken is None:
            looked_at = Spool()
            looked_at.append(self.looked_at(rows))
            broken = self.broken(looked_at)
        if not broken.is_empty():
            places = rows.select(_PLACE).with_row_index("position").join(broken, on=_PLACE, how="semi")
            mask = pl.repeat(value=False, n=rows.height, dtype=pl.Boolean, eager=True)
            faults.add(mask.scatter(places["position"], values=True), self.rule, self.column)
