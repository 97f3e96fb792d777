"""What goes wrong with operators' files, each kind by name, done to the clean feeds of a new simulated park.

Every kind touches few rows, by a rule and not by chance, so that a reader can say what landing must find. Nothing here
is what the pipeline should compute.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from ingest.simulate.files import write_atomically

FATAL_XID = 79
_ROWS = 24  # rows that a kind touches at most


def _telemetry(park: Path) -> tuple[Path, pl.DataFrame]:
    path = sorted((park / "gpu_telemetry").glob("simulated-gpu_telemetry-????-??.parquet"))[0]
    return path, pl.read_parquet(path)


def _begins_at(frame: pl.DataFrame) -> datetime:
    """The first sample's instant."""
    first = frame["sampled_at"].min()
    if not isinstance(first, datetime):
        raise TypeError("the telemetry has no samples")
    return first


def _write(path: Path, frame: pl.DataFrame) -> None:
    hidden = path.with_name(f".{path.name}.tmp")
    frame.write_parquet(hidden, compression="zstd", compression_level=1, statistics=False)
    hidden.replace(path)


def _csv(frame: pl.DataFrame) -> bytes:
    return frame.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ").encode()


def _beside(park: Path, feed: str, kind: str, content: bytes, suffix: str = ".csv") -> Path:
    path = park / feed / f"simulated-{feed}-{kind}{suffix}"
    write_atomically(path, content)
    return path


def late(park: Path, clock_at: datetime) -> list[Path]:
    """Rows of the first rack leave their file and arrive in another one, known three hours later."""
    path, frame = _telemetry(park)
    first = frame["gpu_id"].min()
    is_late = (pl.col("gpu_id") == first) & (pl.col("sampled_at") < _begins_at(frame) + timedelta(days=1))
    known_at = pl.min_horizontal(pl.col("recorded_at") + timedelta(hours=3), pl.lit(clock_at))
    rows = frame.filter(is_late).with_columns(recorded_at=known_at.cast(frame.schema["recorded_at"]))
    _write(path, frame.filter(~is_late))
    return [_beside(park, "gpu_telemetry", "late", _csv(rows))]


def duplicate(park: Path, clock_at: datetime) -> list[Path]:  # noqa: ARG001 (every kind has these two)
    """The same rows in another file, and the same bytes under another name."""
    _, frame = _telemetry(park)
    leases = sorted((park / "leases").glob("simulated-leases-????-??.csv"))[0]
    again = _beside(park, "leases", "duplicate", leases.read_bytes())
    return [again, _beside(park, "gpu_telemetry", "duplicate", _csv(frame.head(_ROWS)))]


def corrected(park: Path, clock_at: datetime) -> list[Path]:
    """Other values for rows of another file, known later."""
    _, frame = _telemetry(park)
    known_at = pl.min_horizontal(pl.col("recorded_at") + timedelta(hours=2), pl.lit(clock_at))
    rows = frame.head(_ROWS).with_columns(
        power_w=pl.col("power_w") + 25, recorded_at=known_at.cast(frame.schema["recorded_at"])
    )
    return [_beside(park, "gpu_telemetry", "corrected", _csv(rows))]


def gap(park: Path, clock_at: datetime) -> list[Path]:  # noqa: ARG001
    """The last rack sends nothing for the first six hours."""
    path, frame = _telemetry(park)
    until = _begins_at(frame) + timedelta(hours=6)
    _write(path, frame.filter((pl.col("gpu_id") != frame["gpu_id"].max()) | (pl.col("sampled_at") >= until)))
    return [path]


def fault(park: Path, clock_at: datetime) -> list[Path]:  # noqa: ARG001
    """The first rack reports a fatal XID for three hours and does no work."""
    path, frame = _telemetry(park)
    until = _begins_at(frame) + timedelta(hours=3)
    is_faulty = (pl.col("gpu_id") == frame["gpu_id"].min()) & (pl.col("sampled_at") < until)
    xid = pl.when(is_faulty).then(FATAL_XID).otherwise(pl.col("xid_code")).cast(frame.schema["xid_code"])
    _write(
        path,
        frame.with_columns(
            xid_code=xid, utilization_pct=pl.when(is_faulty).then(0.0).otherwise(pl.col("utilization_pct"))
        ),
    )
    return [path]


def clock_skew(park: Path, clock_at: datetime) -> list[Path]:
    """Rows of a sender whose clock is ahead: they lie a day beyond the home's."""
    _, frame = _telemetry(park)
    last = frame.sort("sampled_at").tail(_ROWS)
    ahead = clock_at + timedelta(days=1) - _begins_at(last)
    return [_beside(park, "gpu_telemetry", "clock_skew", _csv(last.with_columns(pl.col("sampled_at") + ahead)))]


def negative_energy(park: Path, clock_at: datetime) -> list[Path]:  # noqa: ARG001
    """Intervals whose energy has the wrong sign."""
    path = sorted((park / "power_meter").glob("simulated-power_meter-????-??.csv.gz"))[0]
    rows = pl.read_csv(path, infer_schema=False).head(_ROWS).with_columns(energy_kwh=pl.lit("-") + pl.col("energy_kwh"))
    return [_beside(park, "power_meter", "negative_energy", rows.write_csv().encode())]


def wrong_units(park: Path, clock_at: datetime) -> list[Path]:  # noqa: ARG001
    """Power in milliwatts where watts belong."""
    _, frame = _telemetry(park)
    rows = frame.filter(pl.col("power_w") > 10).head(_ROWS).with_columns(pl.col("power_w") * 1000)
    return [_beside(park, "gpu_telemetry", "wrong_units", _csv(rows))]


def truncated_file(park: Path, clock_at: datetime) -> list[Path]:  # noqa: ARG001
    """A CSV whose copying broke off in the middle of a line."""
    _, frame = _telemetry(park)
    text = _csv(frame.head(_ROWS))
    return [_beside(park, "gpu_telemetry", "truncated_file", text[: text.rfind(b",") - 30])]


def mixed_encodings(park: Path, clock_at: datetime) -> list[Path]:  # noqa: ARG001
    """A UTF-8 file with byte-order mark in which one line is Latin-1."""
    path = sorted((park / "leases").glob("simulated-leases-????-??.csv"))[0]
    lines = path.read_bytes().splitlines(keepends=True)
    odd = lines[1].replace(b",1,", ",1,Zürich-".encode("latin-1"), 1)
    return [_beside(park, "leases", "mixed_encodings", b"\xef\xbb\xbf" + lines[0] + odd + b"".join(lines[1:3]))]


# In the order in which they are done: what changes the clean file comes before what copies from it.
KINDS: dict[str, Callable[[Path, datetime], list[Path]]] = {
    kind.__name__: kind
    for kind in (
        gap,
        fault,
        late,
        duplicate,
        corrected,
        clock_skew,
        negative_energy,
        wrong_units,
        truncated_file,
        mixed_encodings,
    )
}
