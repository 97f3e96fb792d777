"""Shapes of real GPU clusters: computed from published traces into small tables, and read back for the generator.

No row of a trace is kept: only means, spreads, quantiles and counts, each with its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from ingest.reference import SHIPPED

TABLES = (
    "telemetry_profile_week",
    "telemetry_profile_power",
    "telemetry_profile_gap",
    "telemetry_profile_step",
    "telemetry_profile_level",
)
HOURS_OF_WEEK = 168
BUSY_ABOVE_PCT = 10.0  # an hour above this is one in which somebody used the GPU
POWER_BIN_PCT = 10
STEP_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BIOHPC_HOSTS = ("cbsugpu07", "cbsugpu09")
CAPTURED_GPUS = {"h100": "h100-80gb-hbm3", "h200": "h200"}

# Where the tracked tables lie when a home brings none of its own.


def read_biohpc(real_data: Path, host: str) -> pl.DataFrame:
    """Hourly means of one BioHPC host: `at` (naive New York time), `power_w`, `utilization_pct`, oldest first."""
    path = real_data / "biohpc_gpu" / f"{host}_usage_stats.txt"
    raw = pl.read_csv(path, separator="\t", infer_schema=False, truncate_ragged_lines=True)
    return (
        raw.drop_nulls("powerave")  # the footer's lines have no figures
        .select(
            pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S%.f").alias("at"),
            pl.col("powerave").cast(pl.Float64).alias("power_w"),
            pl.col("utilave").cast(pl.Float64).alias("utilization_pct"),
        )
        .sort("at")
    )


def read_helios(real_data: Path) -> pl.DataFrame:
    """Minutely occupancy of one virtual cluster of Helios: `at` (naive), `level` (running over all GPUs, fraction)."""
    return pl.read_csv(real_data / "helios" / "Earth_vc3sl_2020-05.csv").select(
        pl.col("time").str.to_datetime("%Y-%m-%d %H:%M:%S").alias("at"),
        (pl.col("running_gpu_num") / pl.col("total_gpu_num")).alias("level"),
    )


def read_philly(real_data: Path) -> pl.DataFrame:
    """Minutely occupancy of Philly: `at` (naive), `level` (active over all nodes, fraction)."""
    return pl.read_csv(real_data / "philly" / "philly_node_sequence_2017-10.csv").select(
        pl.col("time").str.to_datetime("%Y-%m-%d %H:%M:%S").alias("at"),
        (pl.col("active") / pl.col("total")).alias("level"),
    )


def read_nvidia_smi(real_data: Path) -> pl.DataFrame:
    """Seconds of one RTX 4090 under a vision-language job: `utilization_pct`, `power_w`."""
    raw = pl.read_csv(real_data / "nvidia_smi_csv" / "rtx4090_1hz_2026-01-03.csv", infer_schema=False)
    raw = raw.rename({name: name.strip() for name in raw.columns})
    return raw.select(
        pl.col("utilization.gpu [%]").str.extract(r"([\d.]+)").cast(pl.Float64).alias("utilization_pct"),
        pl.col("power.draw [W]").str.extract(r"([\d.]+)").cast(pl.Float64).alias("power_w"),
    )


def read_duty_cycles(real_data: Path) -> pl.DataFrame:
    """Duty cycle of Alibaba's generative-AI containers: `container`, `at_s` (seconds), `utilization_pct`."""
    return pl.read_csv(real_data / "alibaba_genai2026" / "pod_gpu_duty_cycle_first4h.csv").select(
        pl.col("container_ip").alias("container"),
        pl.col("timestamp_anon").alias("at_s"),
        pl.col("value").alias("utilization_pct"),
    )


def read_captured_power_fraction(real_data: Path, prefix: str, state: str) -> float:
    """Power draw over the enforced limit of one captured GPU, in the state `idle` or `load`."""
    [path] = (real_data / "nvidia_gpu_exporter").glob(f"{prefix}__*__{state}.metrics")
    values: dict[str, float] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#") and "{" in line:
            values[line.split("{")[0]] = float(line.rsplit(" ", 1)[1])
    return values["nvidia_smi_power_draw_watts"] / values["nvidia_smi_enforced_power_limit_watts"]


def week_table(real_data: Path) -> pl.DataFrame:
    """Level by hour of the week (0 is Monday 00:00) over the trace's mean, its spread, and the hours behind it."""
    traces = {
        "biohpc_gpu utilisation, two hosts": [
            read_biohpc(real_data, host).select("at", pl.col("utilization_pct").alias("level")) for host in BIOHPC_HOSTS
        ],
        "helios occupancy, one virtual cluster": [read_helios(real_data)],
        "philly occupancy, nodes": [read_philly(real_data)],
    }
    parts = []
    for source, frames in traces.items():
        relative = pl.concat(
            frame.group_by(pl.col("at").dt.truncate("1h"))
            .agg(pl.col("level").mean())
            .with_columns(pl.col("level") / pl.col("level").mean())
            for frame in frames
        )
        hour_of_week = (pl.col("at").dt.weekday().cast(pl.Int32) - 1) * 24 + pl.col("at").dt.hour().cast(pl.Int32)
        parts.append(
            relative.group_by(hour_of_week.alias("hour_of_week"))
            .agg(
                pl.col("level").mean().round(6).alias("relative_level"),
                pl.col("level").std().round(6).alias("relative_spread"),
                pl.len().cast(pl.Int64).alias("hour_count"),
            )
            .with_columns(pl.lit(source).alias("source"))
        )
    return pl.concat(parts).sort("source", "hour_of_week")


def power_table(real_data: Path) -> pl.DataFrame:
    """Power as a fraction of the trace's greatest, by utilisation in steps of ten per cent; captures at 0 and 100."""
    traces = {
        **{f"biohpc_gpu {host}, hourly means": read_biohpc(real_data, host) for host in BIOHPC_HOSTS},
        "nvidia_smi RTX 4090, seconds": read_nvidia_smi(real_data),
    }
    parts = [
        frame.with_columns(pl.col("power_w") / pl.col("power_w").max())
        .group_by(((pl.col("utilization_pct") / POWER_BIN_PCT).round(0) * POWER_BIN_PCT).cast(pl.Int64))
        .agg(
            pl.col("power_w").mean().round(6).alias("power_fraction"),
            pl.col("power_w").std().fill_null(0.0).round(6).alias("power_spread"),
            pl.len().cast(pl.Int64).alias("sample_count"),
        )
        .with_columns(pl.lit(source).alias("source"))
        for source, frame in traces.items()
    ]
    for name, prefix in CAPTURED_GPUS.items():
        for state, utilization in (("idle", 0), ("load", 100)):
            fraction = read_captured_power_fraction(real_data, prefix, state)
            parts.append(
                pl.DataFrame(
                    {
                        "utilization_pct": [utilization],
                        "power_fraction": [round(fraction, 6)],
                        "power_spread": [0.0],
                        "sample_count": [1],
                        "source": [f"nvidia_gpu_exporter {name}, of the enforced limit"],
                    }
                )
            )
    return pl.concat(parts).sort("source", "utilization_pct")


def gap_table(real_data: Path) -> pl.DataFrame:
    """Gaps in hourly series by their length in missing hours, with the hours that the series should have had."""
    parts = []
    for host in BIOHPC_HOSTS:
        at = read_biohpc(real_data, host)["at"]
        missing = at.diff().drop_nulls().dt.total_hours() - 1
        expected = int((at[-1] - at[0]).total_seconds() // 3600) + 1
        parts.append(
            missing.filter(missing > 0)
            .rename("gap_hours")
            .value_counts()
            .select(
                "gap_hours",
                pl.col("count").cast(pl.Int64).alias("gap_count"),
                pl.lit(expected, pl.Int64).alias("expected_hours"),
                pl.lit(f"biohpc_gpu {host}").alias("source"),
            )
        )
    return pl.concat(parts).sort("source", "gap_hours")


def step_table(real_data: Path) -> pl.DataFrame:
    """Ramps: quantiles of the change from one hour to the next, in points of per cent of utilisation or occupancy."""
    hourly = {
        f"biohpc_gpu {host}": read_biohpc(real_data, host).select("at", pl.col("utilization_pct").alias("level"))
        for host in BIOHPC_HOSTS
    }
    for source, frame in (("helios", read_helios(real_data)), ("philly", read_philly(real_data))):
        hourly[source] = frame.group_by(pl.col("at").dt.truncate("1h")).agg(pl.col("level").mean() * 100).sort("at")
    parts = []
    for source, frame in hourly.items():
        change = frame.filter(pl.col("at").diff() == pl.duration(hours=1))  # across a gap is no ramp
        steps = frame.with_columns(pl.col("level").diff().alias("step")).join(change.select("at"), on="at")["step"]
        parts.append(
            pl.DataFrame(
                {
                    "quantile": list(STEP_QUANTILES),
                    "hourly_change_pct": [round(float(np.quantile(steps.to_numpy(), q)), 6) for q in STEP_QUANTILES],
                    "source": [source] * len(STEP_QUANTILES),
                }
            )
        )
    return pl.concat(parts).sort("source", "quantile")


def level_table(real_data: Path) -> pl.DataFrame:
    """Single figures: level of busy hours by kind of work, spread within and between, persistence, missing cells."""
    smi = read_nvidia_smi(real_data)["utilization_pct"]
    duty = read_duty_cycles(real_data)
    served = duty.filter(pl.col("utilization_pct") > 0)["utilization_pct"]
    by_container = duty.group_by("container").agg(pl.col("utilization_pct").mean())["utilization_pct"]
    hosts = [read_biohpc(real_data, host)["utilization_pct"] for host in BIOHPC_HOSTS]
    busy = pl.concat([host.filter(host > BUSY_ABOVE_PCT) for host in hosts])
    persistence = np.mean([np.corrcoef(host[1:].to_numpy(), host[:-1].to_numpy())[0, 1] for host in hosts])
    cells = duty["container"].n_unique() * duty["at_s"].n_unique()
    rows = [
        ("training_utilization_pct", _mean(smi), "pct", "nvidia_smi RTX 4090, mean of a vision-language job"),
        ("fine_tuning_utilization_pct", _mean(busy), "pct", f"biohpc_gpu, mean of hours above {BUSY_ABOVE_PCT:.0f} %"),
        ("inference_utilization_pct", _mean(served), "pct", "alibaba_genai2026 duty cycle, mean of samples above zero"),
        ("busy_spread_fraction", _spread(busy), "fraction of mean", f"biohpc_gpu, hours above {BUSY_ABOVE_PCT:.0f} %"),
        ("between_spread_fraction", _spread(by_container), "fraction of mean", "alibaba_genai2026, container means"),
        ("hourly_persistence", float(persistence), "correlation", "biohpc_gpu, lag of one row, mean of two hosts"),
        ("missing_cell_fraction", 1 - duty.height / cells, "fraction", "alibaba_genai2026, cells of container × stamp"),
    ]
    return pl.DataFrame(
        [(item, round(value, 6), unit, source) for item, value, unit, source in rows],
        schema=["item", "value", "unit", "source"],
        orient="row",
    )


def _mean(values: pl.Series) -> float:
    return float(np.mean(values.to_numpy()))


def _spread(values: pl.Series) -> float:
    return float(np.std(values.to_numpy(), ddof=1) / np.mean(values.to_numpy()))


def compute_profiles(real_data: Path) -> dict[str, pl.DataFrame]:
    """All profile tables from a folder of real files (biohpc_gpu/, helios/, philly/ … as their makers wrote them)."""
    functions = (week_table, power_table, gap_table, step_table, level_table)
    return {name: function(real_data) for name, function in zip(TABLES, functions, strict=True)}


@dataclass(frozen=True)
class Profile:
    """What the generator needs of the tables.

    `week_utilization` and `week_occupancy`: 168 levels relative to one, Monday 00:00 first; `level_fraction`: busy
    share of leased time by workload; `noise_fraction`: standard deviation of one GPU's hours over their mean;
    `rack_fraction`: the same between GPUs; `persistence`: correlation of one hour with the next;
    `power_fraction`: 101 shares of rated power at 0 … 100 % utilisation; `gap_rate_per_hour`: starts of gaps an hour;
    `gap_hours` and `gap_weight`: lengths and their frequency; `rated_w`: watts a GPU by model.
    """

    week_utilization: npt.NDArray[np.float64]
    week_occupancy: npt.NDArray[np.float64]
    level_fraction: dict[str, float]
    noise_fraction: float
    rack_fraction: float
    persistence: float
    power_fraction: npt.NDArray[np.float64]
    gap_rate_per_hour: float
    gap_hours: npt.NDArray[np.int64]
    gap_weight: npt.NDArray[np.float64]
    rated_w: dict[str, float]
    faults_per_gpu_hour: float


def load_profile(reference: Path | None = None) -> Profile:
    """Read the profile tables of a home's reference folder; those that it lacks from the tracked ones."""
    tables = {name: _read_table(name, reference) for name in (*TABLES, "telemetry_profile_model")}
    week = tables["telemetry_profile_week"]
    level = {row["item"]: float(row["value"]) for row in tables["telemetry_profile_level"].iter_rows(named=True)}
    gaps = tables["telemetry_profile_gap"].group_by("gap_hours").agg(pl.col("gap_count").sum()).sort("gap_hours")
    expected = tables["telemetry_profile_gap"].unique(["source", "expected_hours"])["expected_hours"].sum()
    model = {row["item"]: float(row["value"]) for row in tables["telemetry_profile_model"].iter_rows(named=True)}
    counts = gaps["gap_count"].to_numpy().astype(np.float64)
    return Profile(
        week_utilization=_week(week.filter(pl.col("source").str.contains("utilisation"))),
        week_occupancy=_week(week.filter(pl.col("source").str.contains("occupancy"))),
        level_fraction={
            kind: level[f"{kind}_utilization_pct"] / 100 for kind in ("training", "fine_tuning", "inference")
        },
        noise_fraction=level["busy_spread_fraction"],
        rack_fraction=level["between_spread_fraction"],
        persistence=level["hourly_persistence"],
        power_fraction=_power_curve(tables["telemetry_profile_power"]),
        gap_rate_per_hour=float(counts.sum()) / float(expected),
        gap_hours=gaps["gap_hours"].to_numpy().astype(np.int64),
        gap_weight=counts / counts.sum(),
        rated_w={item.removeprefix("rated_w:"): value for item, value in model.items() if item.startswith("rated_w:")},
        faults_per_gpu_hour=model["fatal_faults_per_gpu_hour"],
    )


def _read_table(name: str, reference: Path | None) -> pl.DataFrame:
    own = reference / f"{name}.csv" if reference is not None else None
    return pl.read_csv(own if own is not None and own.exists() else SHIPPED / f"{name}.csv")


def _week(rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """Mean of the sources, then of each hour with its neighbours: a cell of one trace holds a few dozen hours only."""
    mean = rows.group_by("hour_of_week").agg(pl.col("relative_level").mean()).sort("hour_of_week")
    levels = mean["relative_level"].to_numpy()
    smooth = (np.roll(levels, 1) + levels + np.roll(levels, -1)) / 3
    return np.asarray(smooth / smooth.mean())


def _power_curve(rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """Share of rated power at 0 … 100 %: ends from the data-centre GPUs' captures, shape between from hourly means."""
    ends = rows.filter(pl.col("source").str.starts_with("nvidia_gpu_exporter"))
    idle = float(np.mean(ends.filter(pl.col("utilization_pct") == 0)["power_fraction"].to_numpy()))
    load = float(np.mean(ends.filter(pl.col("utilization_pct") == 100)["power_fraction"].to_numpy()))
    hourly = rows.filter(pl.col("source").str.contains("hourly means")).group_by("utilization_pct")
    bins = hourly.agg(pl.col("power_fraction").mean()).sort("utilization_pct")
    at = np.arange(101, dtype=np.float64)
    shape = np.interp(at, bins["utilization_pct"].to_numpy(), bins["power_fraction"].to_numpy())
    shape = np.maximum.accumulate((shape - shape[0]) / (shape[-1] - shape[0])).clip(0, 1)
    return idle + (load - idle) * shape
