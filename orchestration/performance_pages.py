"""Two pages of the documentation from the bench's JSON: what was measured against each goal, and what that makes of capacity.

Nothing here is measured; every figure comes from the JSON or from the assumptions below, and the arithmetic is shown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Bench = Mapping[str, Any]
DAY_CASE = "a day from landing files to capacity"
SPARK_CASE = "GPU-hours through dbt on Spark, its start included"
SAMPLE_SECONDS = 60
_NONE_KEPT = (
    "No run of the bench is kept that measures this: `KEEP=yes make bench SIZE=seed` puts one beside the guides.\n"
)


@dataclass(frozen=True)
class Assumptions:
    """What the plan supposes and the bench does not measure. All are ours; change them with your own.

    Attributes:
        machine_cores, machine_memory_gib: of the machine that is bought or rented by the hour.
        machine_usd_per_hour: its price.
        hot_usd_per_gb_month, cold_usd_per_gb_month: storage that is read every day, and an archive of objects.
        hot_days: how long samples stay hot: until their month has closed, been disputed and been audited.
        cold_years: how long they are kept after that, for audits and claims.
        window_hours: within how many hours a day must be metered.
        cluster_efficiency: share of a machine's own rate that it keeps as one of many.
    """

    machine_cores: int = 32
    machine_memory_gib: int = 128
    machine_usd_per_hour: float = 1.60
    hot_usd_per_gb_month: float = 0.08
    cold_usd_per_gb_month: float = 0.004
    hot_days: int = 120
    cold_years: int = 7
    window_hours: float = 4.0
    cluster_efficiency: float = 0.7


@dataclass(frozen=True)
class Fleet:
    """GPUs that report once a minute."""

    name: str
    gpu_count: int


# The seed's parks are two with 210,000 GPUs together; 6.5 GW at 1.8 kW a GPU of the whole facility's power are 3.6 million.
FLEETS = (Fleet("2 parks", 210_000), Fleet("20 parks", 2_100_000), Fleet("6.5 GW", 3_600_000))


@dataclass(frozen=True)
class Plan:
    """What a fleet needs: samples a day, hours on the machine of the bench, machines, storage in GB, USD a month."""

    samples_a_day: int
    bench_hours: float
    machines: int
    machine_hours: float
    hot_gb: float
    cold_gb: float
    compute_usd_month: float
    storage_usd_month: float


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(heads)]
    lines.append(["---"] * len(lines[0]))
    lines += [list(row) for row in rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _case(bench: Bench, name: str) -> Mapping[str, Any] | None:
    return next((row for row in bench["results"] if row["case"] == name), None)


def plan(fleet: Fleet, samples_a_second: float, bench_cores: int, bytes_a_sample: float, given: Assumptions) -> Plan:
    """The arithmetic of the capacity plan.

    Args:
        fleet: its GPUs, each sampled once a minute.
        samples_a_second: measured, from landing files to capacity, on the bench's machine.
        bench_cores: that machine's cores.
        bytes_a_sample: measured, in the lake after compression.
        given: what is assumed.

    Returns:
        Hours, machines, gigabytes (1e9 bytes) and USD; storage once both retentions are full.
    """
    samples = fleet.gpu_count * 86400 // SAMPLE_SECONDS
    bench_hours = samples / samples_a_second / 3600
    one_machine_hours = bench_hours * bench_cores / given.machine_cores
    machines = 1
    if one_machine_hours > given.window_hours:
        machines = -int(-one_machine_hours // (given.window_hours * given.cluster_efficiency))
    machine_hours = one_machine_hours if machines == 1 else one_machine_hours / given.cluster_efficiency
    gb_a_day = samples * bytes_a_sample / 1e9
    hot, cold = gb_a_day * given.hot_days, gb_a_day * 365 * given.cold_years
    return Plan(
        samples_a_day=samples,
        bench_hours=bench_hours,
        machines=machines,
        machine_hours=machine_hours,
        hot_gb=hot,
        cold_gb=cold,
        compute_usd_month=machine_hours * given.machine_usd_per_hour * 365 / 12,
        storage_usd_month=hot * given.hot_usd_per_gb_month + cold * given.cold_usd_per_gb_month,
    )


def _machine(bench: Bench) -> str:
    machine = bench["machine"]
    versions = ", ".join(
        f"{name} {value}"
        for name, value in machine.items()
        if name not in {"machine", "processor", "cpus", "memory_mib", "python"}
    )
    loads = [row["load_average"] for row in bench["results"]]
    loud = [load for load in loads if load > 1.5 * machine["cpus"]]
    busy = (
        f" **The machine was not quiet** in {len(loud)} of {len(loads)} cases (load up to {max(loud):.1f} on {machine['cpus']} cores): "
        "their seconds are too long; ratios compare two sides that were slowed alike."
        if loud
        else ""
    )
    return (
        f"Measured at {bench['measured_at'][:16].replace('T', ' ')} UTC, size `{bench['size']}`, on "
        f"{machine['processor'] or machine['machine']}, "
        f"{machine['cpus']} cores, {machine['memory_mib'] / 1024:.0f} GiB, Python {machine['python']}, {versions}.{busy}"
    )


def _seconds(quartiles: Iterable[float]) -> str:
    median, lower, upper = quartiles
    return f"{median:,.3g} s ({lower:,.3g} to {upper:,.3g})"


def performance_page(bench: Bench | None) -> str:
    """Every case with its goals, growth, and the profile of what was missed; without a kept bench, how to keep one."""
    if bench is None:
        return f"# Performance\n\n{_NONE_KEPT}"
    rows = (
        (
            row["case"],
            row["baseline"],
            f"{row['count']:,} {row['unit']}",
            _seconds(row["project_seconds"]),
            _seconds(row["baseline_seconds"]),
            f"{row['time_ratio']:.3g} ×",
            f"{row['project_peak_bytes'] / 2**20:,.0f} MiB",
            str(row["runs"]),
            f"{row['load_average']:.1f}",
            ", ".join(row["goals"]) or "as it is",
            f"**missed**: {'; '.join(row['missed'])}" if row["missed"] else "met" if row["goals"] else "",
        )
        for row in bench["results"]
    )
    heads = ("what", "against", "size", "time", "baseline", "ratio", "peak memory", "runs", "load", "goal", "result")
    text = (
        "# Performance\n\n`make bench` measures each thing beside a named baseline in the same run: medians, and in "
        "brackets the middle half of the runs. "
        "Ratios of the goals are those of the fastest runs, for noise only adds time. "
        f"`KEEP=yes make bench SIZE=seed` writes the figures of this page anew.\n\n{_machine(bench)}\n\n## "
        f"Goals\n\n{_table(heads, rows)}\n"
    )
    if bench["growth"]:
        text += _growth(bench["growth"])
    for row in bench["results"]:
        if row["profile"]:
            text += f"\n## Where the time goes: {row['case']}\n\n```\n" + "\n".join(row["profile"]) + "\n```\n"
    return text


def _growth(grown: Iterable[Mapping[str, Any]]) -> str:
    rows = (
        (
            row["of"],
            ", ".join(f"{size:,}" for size in row["sizes"]),
            ", ".join(f"{seconds:.3g}" for seconds in row["seconds"]),
            ", ".join(f"{peak / 2**20:,.0f}" for peak in row["peak_bytes"]),
            f"{row['time_exponent']:.2f}",
            f"{row['memory_exponent']:.2f}",
            *("not bound" if size is None else f"{size:,}" for size in row["carried"].values()),
            f"**missed**: {'; '.join(row['missed'])}" if row["missed"] else "met",
        )
        for row in grown
    )
    heads = (
        "of",
        "sizes",
        "seconds",
        "peak MiB",
        "time grows by",
        "memory grows by",
        "4 GiB carry",
        "24 GiB carry",
        "at most linear",
    )
    return (
        "\n## Growth\n\nGPUs are sampled each minute of one day, days have as many GPUs each and land at once, "
        "contracts run over twelve months. "
        "Exponents are those of the upper three sizes. The largest size that a memory carries follows from the peaks of the upper two; "
        f"not bound: the peak does not grow, DuckDB spills to disk beyond its limit.\n\n{_table(heads, rows)}"
    )


def capacity_page(bench: Bench | None, given: Assumptions | None = None) -> str:
    """Machines, storage, hours and cost of three fleets, with the arithmetic of the first written out."""
    given = given or Assumptions()
    day = _case(bench, DAY_CASE) if bench is not None else None
    if bench is None or day is None:
        return f"# Capacity plan\n\n{_NONE_KEPT}"
    cores = bench["machine"]["cpus"]
    rate = day["count"] / day["project_seconds"][0]
    size = day["facts"]["lake_bytes_a_sample"]
    plans = [(fleet, plan(fleet, rate, cores, size, given)) for fleet in FLEETS]
    rows = (
        (
            fleet.name,
            f"{fleet.gpu_count:,}",
            f"{found.samples_a_day:,}",
            f"{found.bench_hours:,.2f}",
            f"{found.machines}",
            f"{found.machine_hours / found.machines:,.2f}",
            f"{found.hot_gb:,.0f}",
            f"{found.cold_gb:,.0f}",
            f"{found.compute_usd_month:,.0f}",
            f"{found.storage_usd_month:,.0f}",
        )
        for fleet, found in plans
    )
    fleet, first = plans[0]
    heads = (
        "fleet", "GPUs", "samples a day", "hours a day on the bench's machine", "machines", "hours a day on each", "hot GB", "cold GB",
        "compute USD a month", "storage USD a month",
    )  # fmt: skip
    spark = _case(bench, SPARK_CASE)
    beside = (
        f"On one machine Spark took {spark['time_ratio']:.2g} × DuckDB's time on {spark['count']:,} samples, its start included.\n"
        if spark
        else "Spark was not measured in this run of the bench.\n"
    )
    return (
        "# Capacity plan\n\nWhat metering needs, from two measured figures and the assumptions below. All else "
        "(ledgers, credit loss, the monitor) grows with "
        f"contracts and hours, not with samples: see [Performance](performance.md).\n\n{_machine(bench)}\n\n"
        f"{_table(heads, rows)}\n"
        "## Measured\n\n"
        f"- **{rate:,.0f} samples a second** from landing files to capacity, every row checked: {day['count']:,} samples in "
        f"{day['project_seconds'][0]:,.1f} s (median) on {cores} cores.\n"
        f"- **{size:.2f} bytes a sample** in the lake after compression (Parquet, zstd; random values, which compress "
        f"worse than real ones).\n\n"
        "## Assumed\n\n"
        f"- One sample a GPU every {SAMPLE_SECONDS} s, {86400 // SAMPLE_SECONDS:,} a day.\n"
        f"- A machine of {given.machine_cores} cores and {given.machine_memory_gib} GiB at "
        f"{given.machine_usd_per_hour:.2f} USD an hour, rented for the hours it works; "
        f"its rate is that of the bench's machine by cores, since files are read and grouped apart.\n"
        f"- A day is metered within {given.window_hours:g} hours. Where one machine takes longer, Spark on several, each keeping "
        f"{given.cluster_efficiency:.0%} of its own rate.\n"
        f"- Hot for {given.hot_days} days at {given.hot_usd_per_gb_month} USD a GB and month, until a month is "
        f"closed, disputed and audited; then cold for "
        f"{given.cold_years} years at {given.cold_usd_per_gb_month}. GB are 10⁹ bytes; storage is shown once it is full.\n"
        "- 6.5 GW are 3.6 million GPUs at 1.8 kW of the facility's power each.\n\n"
        f"## The arithmetic, for {fleet.name}\n\n"
        f"- samples: {fleet.gpu_count:,} × {86400 // SAMPLE_SECONDS:,} = {first.samples_a_day:,} a day\n"
        f"- hours on the bench's machine: {first.samples_a_day:,} ÷ {rate:,.0f} ÷ 3,600 = {first.bench_hours:.3f}\n"
        f"- hours on {given.machine_cores} cores: {first.bench_hours:.3f} × {cores} ÷ {given.machine_cores} = "
        f"{first.bench_hours * cores / given.machine_cores:.3f}, {'within' if first.machines == 1 else 'above'} {given.window_hours:g}: "
        f"{first.machines} machine{'s' if first.machines > 1 else ''}\n"
        f"- storage: {first.samples_a_day:,} × {size:.2f} B = {first.samples_a_day * size / 1e9:.2f} GB a day; × {given.hot_days} = "
        f"{first.hot_gb:,.0f} GB hot; × 365 × {given.cold_years} = {first.cold_gb:,.0f} GB cold\n"
        f"- compute: {first.machine_hours:.3f} h × {given.machine_usd_per_hour:.2f} USD × 365 ÷ 12 = "
        f"{first.compute_usd_month:,.2f} USD a month\n"
        f"- storage: {first.hot_gb:,.0f} × {given.hot_usd_per_gb_month} + {first.cold_gb:,.0f} × {given.cold_usd_per_gb_month} = "
        f"{first.storage_usd_month:,.2f} USD a month\n\n"
        f"## Memory\n\nDuckDB works within `PARKLEDGER_MEMORY_LIMIT` and spills to disk beyond; the day above peaked at "
        f"{day['project_peak_bytes'] / 2**20:,.0f} MiB. {beside}"
    )
