"""Frames of one file in the order in which they came: in memory while they are small, on disk beyond that.

So a file of any size is read to its end, and checked, in bounded memory. No feed and no database is known here.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

# A day of 2,000 GPUs by the minute, as text cells, stays in memory; all frames of a larger file go to disk.
MEMORY_BYTES = 768 * 1024**2


class Spool:
    """Frames to be read again, any number of times. Its files go with it.

    Args:
        scratch: folder for files; None for the system's.
    """

    def __init__(self, scratch: Path | None = None) -> None:
        self._scratch = scratch
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
        self._size += int(frame.estimated_size())
        if self._folder is None and self._size <= MEMORY_BYTES:
            self._frames.append(frame)
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="spool-", dir=self._scratch)
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
