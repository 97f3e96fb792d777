"""Frames of one file in the order in which they came: in memory while they are small, on disk beyond that.

So a file of any size is read to its end, and checked, in bounded memory. No feed and no table is known here: DuckDB only
sorts what stands on disk.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

# A day of 2,000 GPUs by the minute, as text cells, stays in memory; all frames of a larger file go to disk.
MEMORY_BYTES = 768 * 1024**2
# Of a small file, which may unpack to hundreds of times its size, less stays in memory.
SMALL_FILE_BYTES, SMALL_MEMORY_BYTES = 10 * 1024**2, 128 * 1024**2
# Frames that are to be put in order take some three times their size while they are.
SORTED_BYTES = 64 * 1024**2
# Sorted rows that are read at once, and what a sort on disk may keep in memory.
PIECE_ROWS = 500_000
_SORT_MEMORY = "256MB"


_scratch: ContextVar[Path | None] = ContextVar("scratch", default=None)


@contextmanager
def scratch_in(folder: Path | None) -> Iterator[None]:
    """Spools that are made within keep their files in a folder: readers of formats know no home."""
    token = _scratch.set(folder)
    try:
        yield
    finally:
        _scratch.reset(token)


class Spool:
    """Frames to be read again, any number of times. Its files go with it.

    Args:
        scratch: folder for files; None for that of `scratch_in`, or the system's.
        to_sort: whether they will be asked for `in_order`: fewer then stay in memory.
        source: the file of text that they are read from: of a small one fewer stay in memory.
    """

    def __init__(self, scratch: Path | None = None, *, to_sort: bool = False, source: Path | None = None) -> None:
        self.scratch = scratch or _scratch.get()
        self._memory_bytes = min(MEMORY_BYTES, SORTED_BYTES) if to_sort else MEMORY_BYTES
        if source is not None and source.stat().st_size <= SMALL_FILE_BYTES:
            self._memory_bytes = min(self._memory_bytes, SMALL_MEMORY_BYTES)
        self._frames: list[pl.DataFrame] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._size = 0
        self.paths: list[Path] = []
        self.row_count = 0

    @property
    def is_on_disk(self) -> bool:
        """Whether the frames stand in `paths`, as Parquet, and not in memory."""
        return self._folder is not None

    def append(self, frame: pl.DataFrame) -> None:
        """Keep one more frame."""
        self.row_count += frame.height
        self._size += _size_bytes(frame)
        if self._folder is None and self._size <= self._memory_bytes:
            self._frames.append(frame)
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="spool-", dir=self.scratch)
        while self._frames:
            self._put(self._folder, self._frames.pop(0))
        self._put(self._folder, frame)

    def _put(self, folder: tempfile.TemporaryDirectory[str], frame: pl.DataFrame) -> None:
        path = Path(folder.name) / f"{len(self.paths):06d}.parquet"
        frame.write_parquet(path, compression="lz4", statistics=False)
        self.paths.append(path)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """The frames, one at a time where they are on disk."""
        yield from self._frames
        for path in self.paths:
            yield pl.read_parquet(path)

    def sort_into(self, con: duckdb.DuckDBPyConnection, target: Path, order: Sequence[str]) -> None:
        """Write the frames of `paths` into one Parquet file in an order; the connection says how much memory that takes."""
        rows = con.read_parquet([str(path) for path in self.paths])
        rows.order(", ".join(order)).write_parquet(str(target), compression="lz4")

    def in_order(self, order: Sequence[str]) -> Iterator[pl.DataFrame]:
        """All rows in an order of columns without nulls: in one piece where they are in memory, else in several."""
        if not self.is_on_disk:
            if self.row_count:
                yield pl.concat(self._frames).sort(order, maintain_order=True)
            return
        with tempfile.TemporaryDirectory(prefix="sort-", dir=self.scratch) as folder:
            target = Path(folder) / "sorted.parquet"
            with duckdb.connect(config={"memory_limit": _SORT_MEMORY, "temp_directory": folder}) as con:
                con.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
                self.sort_into(con, target, order)
            yield from pieces_of(target)


def _size_bytes(frame: pl.DataFrame) -> int:
    """Memory of a frame; Polars' own estimate leaves out that each text cell takes sixteen bytes beside its letters."""
    texts = sum(kind == pl.String for kind in frame.schema.values())
    return int(frame.estimated_size()) + 16 * texts * frame.height


def pieces_of(path: Path) -> Iterator[pl.DataFrame]:
    """The rows of a Parquet file, PIECE_ROWS at once."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(PIECE_ROWS):
            yield pl.DataFrame(pl.from_arrow(pa.table(batch)))
