"""A park as formats see it, and files written by hand."""

from dataclasses import dataclass
from pathlib import Path

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
    tranches: tuple[Tranche, ...] = (Tranche("GB300", "a-*"), Tranche("H100", "*"))


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows_of(path: Path, feed: str, park: Park | None = None) -> pl.DataFrame:
    """Detected and read as landing would."""
    frames = read(detect(path, feed), path, feed, park or Park())
    return frames if isinstance(frames, pl.DataFrame) else pl.concat(list(frames))
