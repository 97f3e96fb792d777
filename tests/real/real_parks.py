"""Parks of the real files as formats see them."""

from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from ingest.formats.registry import detect, read


@dataclass(frozen=True)
class Tranche:
    gpu_model: str
    nodes: str | None


@dataclass(frozen=True)
class Park:
    time_zone: str = "Australia/Sydney"
    naive_timestamps: str | None = "error"
    tranches: tuple[Tranche, ...] = ()

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


def rows_of(path: Path, feed: str, park: Park) -> pl.DataFrame:
    """Detected and read as landing would."""
    frames = read(detect(path, feed), path, feed, park)
    return frames if isinstance(frames, pl.DataFrame) else pl.concat(list(frames))
