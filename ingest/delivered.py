"""Decides whether a Parquet file of telemetry is clean as a whole, so that it can stand in the lake as it was delivered.

Clean means that the row-by-row way would land every row, and each under a key of its own. The checks are the contract's,
made on columns: types by the file's schema, bounds by minimum and maximum, texts by their distinct values, keys by a map
of GPUs × instants with one mark a row. What is not clean beyond doubt goes row by row: nothing is refused here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.contracts import FIRST_YEAR, GPU_TELEMETRY, LAST_YEAR, RECORDED_AT, Column
from ingest.feeds.gpu_telemetry import SLOT, clock_hour, tranches_of_nodes
from ingest.feeds.limits import Limits

_MAGIC = b"PAR1"
_HOUR_US = 3_600_000_000
_WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
_TYPES = {
    "text": {"VARCHAR"},
    "instant": {"TIMESTAMP WITH TIME ZONE"},
    "integer": _WHOLE,
    "milli": _WHOLE | {"FLOAT", "DOUBLE"},
    "micro": _WHOLE | {"FLOAT", "DOUBLE"},
}
_COLUMNS = {column.name: column for column in (*GPU_TELEMETRY.columns, RECORDED_AT)}
# Small enough for a processor's cache.
_BATCH_ROWS = 1 << 16
# Nanoseconds would have to be cut, which is left to the row-by-row way.
_UNIT_US = {"us": 1, "ms": 1000}
# What DuckDB says of damaged, odd or too large files; anything else it says is an error of ours.
_UNREADABLE = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.SerializationException,
    duckdb.DataError,
    duckdb.NotSupportedError,
    duckdb.InvalidInputException,
)
# More hours than in ten years, or a map of instants much wider than its rows, and the file is no plain series of samples.
_MAX_HOURS = 100_000
_MAX_MAP_BYTES = 1 << 29
_MAX_BYTES_A_ROW = 64
# Checks hold a group for each hour or GPU; the one by SQL for repeated keys holds one for each row, and may spill.
_MEMORY_LIMIT = "1GB"


@dataclass(frozen=True)
class Delivered:
    """What is known of a clean file.

    Attributes:
        types: the feed's columns that it holds, with DuckDB's types.
        row_count: rows.
        days: columns of lake.CATALOGUE but file_id, path and layout; recorded_at bounds are null where the file gives none.
        nodes: node_id and tranche_id of its nodes.
        hours: interval_start_at and service_date of its hours.
    """

    types: dict[str, str]
    row_count: int
    days: pl.DataFrame
    nodes: pl.DataFrame
    hours: pl.DataFrame


def _types(con: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str] | None:
    """Types of the feed's columns in the file; None where one is missing or not of a plain type."""
    found = {row[0]: row[1] for row in con.execute("DESCRIBE rows").fetchall()}
    types = {name: found[name] for name in _COLUMNS if name in found}
    if any(name not in types for name in GPU_TELEMETRY.header):
        return None
    schema = pq.read_schema(path)
    instants = [schema.field(name).type for name in types if _COLUMNS[name].kind == "instant"]
    if not all(pa.types.is_timestamp(kind) and kind.unit in _UNIT_US for kind in instants):
        return None
    return types if all(kind in _TYPES[_COLUMNS[name].kind] for name, kind in types.items()) else None


def _is_plain(texts: pl.Series) -> bool:
    """Whether no text is missing, empty, has blanks around it or a zero byte within."""
    plain = (texts.str.strip_chars() == texts) & (texts != "") & ~texts.str.contains("\0", literal=True)
    return texts.null_count() == 0 and bool(plain.all())


def _bounds(types: dict[str, str]) -> list[Column]:
    return [_COLUMNS[name] for name in types if _COLUMNS[name].kind in {"integer", "milli", "micro"}]


def _by_hour(con: duckdb.DuckDBPyConnection, types: dict[str, str], shift_seconds: int) -> pl.DataFrame:
    """Counts and bounds of all columns by hour, in one pass."""
    measures = [
        "count(*) AS row_count",
        "epoch_us(min(sampled_at)) AS first_us",
        "epoch_us(max(sampled_at)) AS last_us",
    ]
    for column in _bounds(types):
        measures += [f"min({column.name}) AS min_{column.name}", f"max({column.name}) AS max_{column.name}"]
    if "recorded_at" in types:
        measures += [
            "count(recorded_at) AS recorded_count",
            "min(recorded_at) AS min_recorded_at",
            "max(recorded_at) AS max_recorded_at",
        ]
    shift_us = shift_seconds * 1_000_000
    found: pl.DataFrame = con.sql(
        f"SELECT (epoch_us(sampled_at) + {shift_us}) // {_HOUR_US} * {_HOUR_US} - {shift_us} AS hour_us, "
        f"{', '.join(measures)} FROM rows GROUP BY hour_us ORDER BY hour_us"
    ).pl()
    return found


def _is_within(hours: pl.DataFrame, types: dict[str, str]) -> bool:
    """Whether all bounds of the contract hold; NaN is above every bound."""
    for column in _bounds(types):
        lows, highs = (hours[f"{side}_{column.name}"].cast(pl.Float64).drop_nulls() for side in ("min", "max"))
        if highs.is_nan().any():
            return False
        if column.minimum is not None and (lows < float(column.minimum)).any():
            return False
        if column.maximum is not None and (highs > float(column.maximum)).any():
            return False
    return True


@cache
def _hour_of_clock(quarter_us: int, zone: ZoneInfo) -> tuple[datetime, object]:
    return clock_hour(datetime.fromtimestamp(quarter_us // 1_000_000, UTC), zone)


def _with_clock(hours: pl.DataFrame, zone: ZoneInfo) -> pl.DataFrame | None:
    """Add interval_start_at and service_date; None where the clock does not keep to whole hours."""
    last_quarter_us = _HOUR_US - SLOT.seconds * 1_000_000
    starts, days = [], []
    for hour_us in hours["hour_us"].to_list():
        start, day = _hour_of_clock(hour_us, zone)
        if start.timestamp() * 1_000_000 != hour_us or _hour_of_clock(hour_us + last_quarter_us, zone)[0] != start:
            return None
        starts.append(start)
        days.append(day)
    return hours.with_columns(
        pl.Series("interval_start_at", starts, dtype=pl.Datetime("us", "UTC")),
        pl.Series("service_date", days, dtype=pl.Date),
    )


def _coded(path: Path) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], dict[str, int]]]:
    """GPU numbers, instants in microseconds, and the number of every GPU so far, batch by batch."""
    numbers: dict[str, int] = {}
    known: pa.Array | None = None
    place = np.empty(0, np.int64)
    # `to_numpy` would import pandas for nothing.
    with pq.ParquetFile(path, read_dictionary=["gpu_id"]) as file:
        for batch in file.iter_batches(_BATCH_ROWS, columns=["gpu_id", "sampled_at"]):
            ids, at = batch.column("gpu_id"), batch.column("sampled_at")
            if known is None or not ids.dictionary.equals(known):
                known = ids.dictionary
                place = np.array([numbers.setdefault(gpu, len(numbers)) for gpu in known.to_pylist()], np.int64)
            instants: npt.NDArray[np.int64] = np.from_dlpack(at.view(pa.int64())).astype(np.int64, copy=False)
            yield place[np.from_dlpack(ids.indices)], instants * _UNIT_US[at.type.unit], numbers


def _keys_on_grid(path: Path, row_count: int, first_us: int, last_us: int, step_us: int) -> int | None:
    """Number of different keys, by a map with a row for each GPU and a column for each instant of the park's grid.

    None where an instant lies off the grid, or the map would be much wider than its rows.
    """
    width = (last_us - first_us) // step_us + 1
    limit = min(_MAX_MAP_BYTES, _MAX_BYTES_A_ROW * row_count + _BATCH_ROWS)
    seen = np.zeros(0, np.bool_)
    for number, at, numbers in _coded(path):
        column = (at - first_us) // step_us
        if (column * step_us != at - first_us).any() or len(numbers) * width > limit:
            return None
        if len(numbers) * width > len(seen):
            longer = np.zeros(max(len(numbers) * width, 2 * len(seen)), np.bool_)
            longer[: len(seen)] = seen
            seen = longer
        seen[number * width + column] = True
    return int(np.count_nonzero(seen))


def _repeats_a_key(con: duckdb.DuckDBPyConnection, path: Path, hours: pl.DataFrame, step_us: int) -> bool:
    """Whether two rows share GPU and instant."""
    row_count = int(hours["row_count"].sum())
    first_us, last_us = int(hours["first_us"].to_numpy().min()), int(hours["last_us"].to_numpy().max())
    keys = _keys_on_grid(path, row_count, first_us, last_us, step_us)
    if keys is None:
        return bool(
            con.execute("SELECT 1 FROM rows GROUP BY gpu_id, sampled_at HAVING count(*) > 1 LIMIT 1").fetchall()
        )
    return keys < row_count


def _days(hours: pl.DataFrame, gpus: pl.Series, types: dict[str, str]) -> pl.DataFrame:
    """The catalogue's rows, as far as the file itself says them."""
    instant = pl.col("first_us") - pl.col("hour_us")
    is_one = (pl.col("first_us") == pl.col("last_us")).all() & (instant.min() == instant.max())
    unknown = pl.lit(None, pl.Datetime("us", "UTC"))
    is_known = "recorded_at" in types
    return hours.group_by("service_date", maintain_order=True).agg(
        row_count=pl.col("row_count").sum().cast(pl.Int64),
        min_recorded_at=pl.col("min_recorded_at").min() if is_known else unknown,
        max_recorded_at=pl.col("max_recorded_at").max() if is_known else unknown,
        has_duplicate_keys=pl.lit(value=False),
        is_one_gpu_a_row=_all_equal("gpu_count", 1, types),
        has_xid_codes=pl.col("max_xid_code").is_not_null().any() if "xid_code" in types else pl.lit(value=False),
        min_gpu_id=pl.lit(gpus.min(), pl.String),
        max_gpu_id=pl.lit(gpus.max(), pl.String),
        first_hour_at=pl.col("interval_start_at").min(),
        last_hour_at=pl.col("interval_start_at").max(),
        microsecond_of_hour=pl.when(is_one).then(instant.min()),
    )


def _all_equal(name: str, value: int, types: dict[str, str]) -> pl.Expr:
    """Whether a column, with that value as its default, holds no other."""
    if name not in types:
        return pl.lit(value=True)
    low, high = pl.col(f"min_{name}").fill_null(value), pl.col(f"max_{name}").fill_null(value)
    return ((low == value) & (high == value)).all()


def _shift_seconds(con: duckdb.DuckDBPyConnection, zone: ZoneInfo) -> int:
    """How far the hours of the zone's clock lie off those of UTC, by the first row's offset; 0 without rows."""
    first = con.execute("SELECT sampled_at FROM rows WHERE sampled_at IS NOT NULL LIMIT 1").fetchall()
    offset = first[0][0].astimezone(zone).utcoffset() if first else None
    return int(offset.total_seconds()) % 3600 if offset else 0


def _clean_hours(
    con: duckdb.DuckDBPyConnection, types: dict[str, str], limits: Limits, shift: int
) -> pl.DataFrame | None:
    """Counts and bounds by hour with interval_start_at and service_date; None where a bound or the clock is broken."""
    hours = _by_hour(con, types, shift)
    if not 0 < hours.height <= _MAX_HOURS or hours["hour_us"].null_count() or not _is_within(hours, types):
        return None
    if "recorded_at" in types and (hours["recorded_count"] != hours["row_count"]).any():
        return None
    # Whether a counter runs back is seen row by row.
    if "energy_mj" in types and hours["max_energy_mj"].null_count() < hours.height:
        return None
    with_clock = _with_clock(hours, limits.zone)
    return with_clock if with_clock is not None and _is_in_time(with_clock, types, limits) else None


def _tranches(con: duckdb.DuckDBPyConnection, types: dict[str, str], limits: Limits) -> pl.DataFrame | None:
    """node_id and tranche_id of the nodes.

    None where the name of a node or model is not plain, a node has not one tranche or reports before it was energised, or
    a model draws more than it can.
    """
    power = "max(power_w)" if "power_w" in types else "NULL"
    found = con.sql(
        f"SELECT node_id, gpu_model, min(sampled_at) AS first_at, CAST({power} AS DOUBLE) AS power_w "
        "FROM rows GROUP BY node_id, gpu_model ORDER BY ALL"
    ).pl()
    if not _is_plain(found["node_id"]) or not _is_plain(found["gpu_model"]):
        return None
    drawn = found.group_by("gpu_model").agg(pl.col("power_w").max()).drop_nulls()
    if any(power_w > limits.power_bound_w(model) for model, power_w in drawn.iter_rows()):
        return None
    first = found.group_by("node_id", maintain_order=True).agg(pl.col("first_at").min())
    known = tranches_of_nodes(first["node_id"].to_list(), limits.park).with_columns(first["first_at"])
    if (known["tranche_count"] != 1).any():
        return None
    for (tranche_id,), of_tranche in known.group_by("tranche_id"):
        energised = limits.energised_at(str(tranche_id))
        if energised is None or (of_tranche["first_at"] < energised).any():
            return None
    return known.select("node_id", "tranche_id")


def _examined(con: duckdb.DuckDBPyConnection, path: Path, limits: Limits) -> Delivered | None:
    types = _types(con, path)
    if types is None:
        return None
    shift = _shift_seconds(con, limits.zone)
    hours = _clean_hours(con, types, limits, shift)
    nodes = _tranches(con, types, limits) if hours is not None else None
    if hours is None or nodes is None:
        return None
    gpus: pl.Series = con.sql("SELECT DISTINCT gpu_id FROM rows ORDER BY gpu_id").pl().to_series()
    if not _is_plain(gpus) or _repeats_a_key(con, path, hours, limits.park.telemetry_interval_seconds * 1_000_000):
        return None
    tranches = nodes["tranche_id"].unique()
    days = _days(hours, gpus, types).with_columns(
        pl.lit(tranches[0] if len(tranches) == 1 else None, pl.String).alias("tranche_id"),
        pl.lit(shift, pl.Int32).alias("clock_shift_seconds"),
    )
    return Delivered(
        types=types,
        row_count=int(days["row_count"].sum()),
        days=days,
        nodes=nodes,
        hours=hours.select("interval_start_at", "service_date"),
    )


def _is_in_time(hours: pl.DataFrame, types: dict[str, str], limits: Limits) -> bool:
    """Whether no instant lies in the future, or outside the years of any feed."""
    last_us = pl.Series("last_at", hours["last_us"]).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    given = [hours["min_recorded_at"], hours["max_recorded_at"]] if "recorded_at" in types else []
    instants = [hours["interval_start_at"], last_us, *given]
    return all(
        bool(at.dt.year().is_between(FIRST_YEAR, LAST_YEAR).all())
        and (limits.latest_at is None or bool((at <= limits.latest_at).all()))
        for at in instants
    )


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet does."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def examine(path: Path, limits: Limits, scratch: Path) -> Delivered | None:
    """Look through a file.

    Args:
        path: a Parquet file that nobody writes to any more.
        limits: the park of its folder, and what rows are held to.
        scratch: a folder for what does not fit into memory.

    Returns:
        What is known of it, or None where it is not clean beyond doubt.
    """
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": _MEMORY_LIMIT,
        "temp_directory": str(scratch),
    }
    try:
        with duckdb.connect(config=settings) as con:
            con.execute("SET TimeZone = 'UTC'")
            # A name with quotes in it must stay a name.
            name = str(path).replace("'", "''")
            con.execute(f"CREATE VIEW rows AS FROM read_parquet('{name}', hive_partitioning = false)")
            return _examined(con, path, limits)
    except (*_UNREADABLE, pa.ArrowException, OSError, UnicodeError):
        # The row-by-row way says what is wrong with it, in words and with its line.
        return None
