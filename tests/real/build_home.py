"""A home made of real files: published traces of clusters, meters of many senders, the ECB's rates, NVIDIA's facts.

No park of it has a contract, and nothing is simulated. Files land as their makers wrote them; where a file lacks what a
home needs, the name or the park file here says it: the instant of a page without one, the node of a log, the zone of a
clock. Only what schedulers wrote is rewritten, without a price, for none is public: the occupancy of the Helios cluster as
one metered lease with its hourly usage, jobs of MIT's SuperCloud and pods of Alibaba's cluster as one reserved lease each,
with the part of the GPU that a pod asked for as its usage.
"""

import csv
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from ingest.formats.ecb_fx import read_ecb_fx

HOME = """\
title: Real files of many makers, no contract
as_of: 2026-12-31
reporting_currency_code: USD
"""

BIOHPC = "cornell-us-1"
ALIBABA = "alibaba-cn-1"
BENCH = "bench-1"
PAGES = "pages-1"
METERS = "meters-au-1"
HOUSES = "houses-us-1"
HELIOS = "helios-cn-1"
SUPERCLOUD = "supercloud-us-1"
PODS = "pods-cn-1"

NEM12_FILES = (
    "unzipped/Example_NEM12_month_solar.csv",
    "unzipped/Example_NEM12_multiple_quality.csv",
    "unzipped/Example_NEM12_multiple_meters.csv",
    "nem12/NEM12#SCENARIO10#UNITEDDP#NEMMCO.zip",
    "nem12/NEM12#000000000000008#CNRGYMDP#NEMMCO.zip",
    "nem12/NEM12#05090_05031401#WBAYM#NEMMCO.zip",
)
BROKEN_NEM12_FILES = (
    "invalid/Example_NEM12_incomplete_interval.csv",
    "invalid/Example_empty_file.csv",
    "unzipped/Example_NEM13_consumption_data.csv",
)
GAS_FILE = "gas_direct.xml"

# The two DCGM pages were saved without an instant; this one is ours.
PAGE_AT = "2026-01-01T000000Z"
HELIOS_GPUS = 64
SUPERCLOUD_GPUS = 35
PODS_GPUS = 6_212  # of the list of nodes
_HELIOS_ZONE = ZoneInfo("Asia/Shanghai")
_GPUS_ALLOCATED = re.compile(r"1002=(\d+)")  # Slurm's own number for gres/gpu
_PODS_DAY_ZERO = datetime(2023, 1, 1, tzinfo=ZoneInfo("Asia/Shanghai"))  # the trace counts seconds; this day is ours


@dataclass(frozen=True)
class TrancheFile:
    """What the park file says of one tranche."""

    tranche_id: str
    gpu_model: str
    gpu_count: int
    energised_date: str | None
    nodes: str | None


@dataclass(frozen=True)
class ParkFile:
    """A park of this home."""

    park_id: str
    name: str
    operator_id: str
    country_code: str
    time_zone: str
    interval_seconds: int
    tranches: tuple[TrancheFile, ...] = ()
    has_local_times: bool = False

    def yaml(self) -> str:
        """The park file."""
        lines = [
            f"park_id: {self.park_id}",
            f'park_name: "{self.name}"',
            "operator:",
            f"  operator_id: {self.operator_id}",
            f'  operator_name: "{self.name}"',
            f"  country_code: {self.country_code}",
            f"country_code: {self.country_code}",
            f"time_zone: {self.time_zone}",
            "currency_code: USD",
            f"telemetry_interval_seconds: {self.interval_seconds}",
        ]
        if self.has_local_times:
            lines.append("naive_timestamps: park_zone")
        lines.append("tranches:" if self.tranches else "tranches: []")
        lines += [
            f"  - {{tranche_id: {one.tranche_id}, contract_id: null, gpu_model: {one.gpu_model}, "
            f"gpu_count: {one.gpu_count}, energised_date: {one.energised_date or 'null'}, nodes: {one.nodes or 'null'}}}"
            for one in self.tranches
        ]
        return "\n".join(lines) + "\n"


PARKS = (
    ParkFile(
        BIOHPC,
        "Cornell BioHPC",
        "cornell-biohpc",
        "US",
        "America/New_York",
        3600,
        (
            TrancheFile("biohpc-07", "A100-80G", 1, "2024-01-20", "cbsugpu07"),
            TrancheFile("biohpc-09", "RTX-A6000", 1, "2024-10-31", "cbsugpu09"),
        ),
        has_local_times=True,
    ),
    ParkFile(
        ALIBABA,
        "Alibaba generative serving",
        "alibaba",
        "CN",
        "Asia/Shanghai",
        57,
        (TrancheFile("alibaba-genai", "unpublished", 114, "2022-09-11", "'*'"),),
    ),
    ParkFile(
        BENCH,
        "RTX 4090 workstation",
        "bench",
        "US",
        "UTC",
        1,
        (TrancheFile("bench-4090", "RTX-4090", 1, "2026-01-03", "'rtx4090*'"),),
        has_local_times=True,
    ),
    ParkFile(
        PAGES,
        "Saved exporter pages",
        "pages",
        "FI",
        "UTC",
        60,
        (
            TrancheFile("pages-l40s", "L40S", 1, "2026-01-01", "gpu1-wl8sg"),
            TrancheFile("pages-t4", "T4", 1, "2026-01-01", "424773df46e0"),
            TrancheFile("pages-h100", "H100", 1, "2026-07-01", "'h100*'"),
            TrancheFile("pages-h200", "H200", 1, "2026-07-01", "'h200*'"),
        ),
    ),
    ParkFile(METERS, "NEM12 meters", "meters-au", "AU", "Australia/Brisbane", 300),
    ParkFile(HOUSES, "Green Button houses", "houses-us", "US", "America/New_York", 3600),
    ParkFile(
        HELIOS,
        "Helios Earth vc3sl",
        "helios",
        "CN",
        "Asia/Shanghai",
        60,
        (TrancheFile("helios-vc3sl", "V100", HELIOS_GPUS, "2020-05-01", None),),
    ),
    # The log does not say how many GPUs the cluster has: these are the most that its jobs held at once, none energised.
    ParkFile(
        SUPERCLOUD,
        "MIT SuperCloud",
        "mit",
        "US",
        "America/New_York",
        60,
        (TrancheFile("supercloud", "V100", SUPERCLOUD_GPUS, None, None),),
    ),
    ParkFile(
        PODS,
        "Alibaba pods",
        "alibaba-pods",
        "CN",
        "Asia/Shanghai",
        60,
        (TrancheFile("pods", "mixed", PODS_GPUS, "2023-01-01", None),),
    ),
)


def _copy(source: Path, folder: Path, name: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(source, folder / (name or source.name)))


def _write_csv(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _telemetry(landing: Path, source: Path) -> None:
    for host in ("07", "09"):
        _copy(source / "biohpc_gpu" / f"cbsugpu{host}_usage_stats.txt", landing / BIOHPC / "gpu_telemetry")
    _copy(source / "alibaba_genai2026" / "pod_gpu_duty_cycle_first4h.csv", landing / ALIBABA / "gpu_telemetry")
    _copy(source / "nvidia_smi_csv" / "rtx4090_1hz_2026-01-03.csv", landing / BENCH / "gpu_telemetry")
    pages = landing / PAGES / "gpu_telemetry"
    _copy(source / "dcgm_exporter" / "l40s_upcloud_driver595.prom", pages, f"l40s_{PAGE_AT}.prom")
    _copy(source / "dcgm_exporter" / "datadog_t4_metrics.txt", pages, f"t4_{PAGE_AT}.txt")
    exporter = source / "nvidia_gpu_exporter"
    for page in sorted(exporter.glob("*.metrics")):
        # The log of the same capture has its instant; the capture's collected_at shows that its clock was UTC.
        with (exporter / f"querygpu_{page.stem}.csv").open(encoding="utf-8") as file:
            (row,) = csv.DictReader(file, skipinitialspace=True)
        at = datetime.strptime(row["timestamp"], "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=UTC)
        _copy(page, pages, f"{page.name.partition('__')[0]}_{at:%Y-%m-%dT%H%M%SZ}.metrics")


def _meters(landing: Path, source: Path) -> None:
    for name in NEM12_FILES:
        _copy(source / "nem12" / name, landing / METERS / "power_meter")
    for name in ("TestGBDataHourlyNineDaysBinnedDaily.xml", "electric_containerized.xml"):
        _copy(source / "greenbutton" / name, landing / HOUSES / "power_meter")


def _broken(landing: Path, source: Path) -> None:
    for name in BROKEN_NEM12_FILES:
        _copy(source / "nem12" / name, landing / METERS / "power_meter")
    _copy(source / "greenbutton" / GAS_FILE, landing / HOUSES / "power_meter")


def _helios(landing: Path, source: Path) -> None:
    """Occupancy by minute of a virtual cluster as one metered lease without a price (none is public)."""
    gpu_minutes: defaultdict[datetime, int] = defaultdict(int)
    with (source / "helios" / "Earth_vc3sl_2020-05.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            local = datetime.fromisoformat(row["time"]).replace(tzinfo=_HELIOS_ZONE)
            gpu_minutes[local.replace(minute=0, second=0)] += int(row["running_gpu_num"])
    hour = timedelta(hours=1)
    usage: list[tuple[object, ...]] = [
        (
            "vc3sl",
            start.isoformat(),
            (start + hour).isoformat(),
            (Decimal(minutes) / 60).quantize(Decimal("0.000001"), ROUND_HALF_UP),
        )
        for start, minutes in sorted(gpu_minutes.items())
    ]
    _write_csv(
        landing / HELIOS / "lease_usage" / "vc3sl.csv",
        ("lease_id", "interval_start_at", "interval_end_at", "gpu_hours"),
        usage,
    )
    span = (min(gpu_minutes), max(gpu_minutes) + hour)
    _write_leases(landing / HELIOS, [_lease("vc3sl", "vc3sl", "helios-vc3sl", HELIOS_GPUS, span, pricing="metered")])


def _lease(
    lease_id: str, tenant_id: str, tranche_id: str, gpu_count: int, span: tuple[datetime, datetime], *, pricing: str
) -> dict[str, object]:
    return {
        "lease_id": lease_id,
        "version": 1,
        "tenant_id": tenant_id,
        "contract_id": "",
        "tranche_id": tranche_id,
        "gpu_model": "unpublished",
        "gpu_count": gpu_count,
        "starts_at": span[0].isoformat(),
        "ends_at": span[1].isoformat(),
        "price_per_gpu_hour": "0",
        "currency_code": "USD",
        "workload": "training",
        "customer_type": "third_party",
        "pricing": pricing,
        "status": "ended",
    }


def _write_leases(park: Path, leases: Iterable[dict[str, object]]) -> None:
    rows = list(leases)
    _write_csv(park / "leases" / "leases.csv", tuple(rows[0]), [tuple(row.values()) for row in rows])


def _supercloud(landing: Path, source: Path) -> None:
    """Each job that held GPUs as a reserved lease from its start to its end."""
    with (source / "mit_supercloud" / "slurm_rows1-5000.csv").open(encoding="utf-8") as file:
        jobs = [(row, _GPUS_ALLOCATED.search(row["tres_alloc"])) for row in csv.DictReader(file)]
    _write_leases(
        landing / SUPERCLOUD,
        (
            _lease(
                f"job-{int(Decimal(row['id_job']))}",
                f"user-{int(Decimal(row['id_user']))}",
                "supercloud",
                int(gpus.group(1)),
                (
                    datetime.fromtimestamp(int(row["time_start"]), UTC),
                    datetime.fromtimestamp(int(row["time_end"]), UTC),
                ),
                pricing="reserved",
            )
            for row, gpus in jobs
            if gpus is not None
        ),
    )


def _pods(landing: Path, source: Path) -> None:
    """Each pod that was scheduled on GPUs as a reserved lease of whole GPUs; the thousandths it asked for as its usage."""
    with (source / "alibaba_gpu2023" / "openb_pod_list_default.csv").open(encoding="utf-8") as file:
        pods = [row for row in csv.DictReader(file) if int(row["num_gpu"]) and row["scheduled_time"]]
    leases, usage = [], []
    for pod in pods:
        span = tuple(_PODS_DAY_ZERO + timedelta(seconds=int(pod[name])) for name in ("scheduled_time", "deletion_time"))
        leases.append(
            _lease(
                pod["name"], f"qos-{pod['qos']}", "pods", int(pod["num_gpu"]), (span[0], span[1]), pricing="reserved"
            )
        )
        seconds = Decimal(int(pod["deletion_time"]) - int(pod["scheduled_time"]))
        hours = int(pod["num_gpu"]) * Decimal(pod["gpu_milli"]) / 1000 * seconds / 3600
        usage.append((pod["name"], span[0].isoformat(), span[1].isoformat(), round(hours, 6)))
    _write_leases(landing / PODS, leases)
    _write_csv(
        landing / PODS / "lease_usage" / "usage.csv",
        ("lease_id", "interval_start_at", "interval_end_at", "gpu_hours"),
        usage,
    )


def _reference(reference: Path, source: Path) -> None:
    rates = read_ecb_fx(source / "ecb_fx" / "eurofxref-hist_2025-01-01_2026-03-31.csv")
    _write_csv(reference / "fx.csv", tuple(rates.columns), list(rates.iter_rows()))
    _copy(source / "sec_companyfacts" / "CIK0001045810_trimmed.json", reference, "CIK0001045810.json")


def build_real_home(dest: Path, source: Path, *, with_broken_files: bool = False) -> Path:
    """Write the home's terms, landing files and reference tables.

    Args:
        dest: the folder of the home; made if missing.
        source: the folder of the real files.
        with_broken_files: also files that landing must reject, and one with a broken day.

    Returns:
        `dest`.
    """
    for folder in ("parks", "contracts", "landing", "reference"):
        (dest / folder).mkdir(parents=True, exist_ok=True)
    (dest / "home.yaml").write_text(HOME, encoding="utf-8")
    for park in PARKS:
        (dest / "parks" / f"{park.park_id}.yaml").write_text(park.yaml(), encoding="utf-8")
    _telemetry(dest / "landing", source)
    _meters(dest / "landing", source)
    _helios(dest / "landing", source)
    _supercloud(dest / "landing", source)
    _pods(dest / "landing", source)
    if with_broken_files:
        _broken(dest / "landing", source)
    _reference(dest / "reference", source)
    return dest
