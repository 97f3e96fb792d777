"""Facts of the real files that must come out of the published snapshot of the home made of them.

Each was computed beside the files, with the standard library alone and apart from this project. `query` gives one value;
it is rounded half away from zero to the decimals of `expected`, and may differ from it by `tolerance` where a
contract of the feed keeps fewer decimals than the file (hours of use are kept to a millionth).
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

import duckdb
from build_home import ALIBABA, BENCH, BIOHPC, HELIOS, HOUSES, METERS, PAGES, PODS, SUPERCLOUD


@dataclass(frozen=True)
class Pin:
    """One fact: the folder that it is of, what it is, its figure, and the SQL that finds it."""

    folder: str
    fact: str
    expected: Decimal
    query: str
    tolerance: Decimal = Decimal(0)

    def found(self, connection: duckdb.DuckDBPyConnection) -> Decimal | None:
        """The published figure, to the decimals of the fact; None where there is none."""
        ((value,),) = connection.execute(self.query).fetchall()
        return None if value is None else Decimal(str(value)).quantize(self.expected, ROUND_HALF_UP)


def _pin(folder: str, fact: str, expected: str, query: str, tolerance: str = "0") -> Pin:
    return Pin(folder, fact, Decimal(expected), query, Decimal(tolerance))


HOUR = "metering.fct_capacity_hour"
REVENUE = "metering.fct_lease_revenue_day"
POWER = "metering.fct_power_day"
FILE = "quality.fct_landed_file"


def _hours(tranche: str, column: str, condition: str = "true") -> str:
    return f"SELECT sum({column}) FROM {HOUR} WHERE tranche_id = '{tranche}' AND {condition}"


def _utilisation(tranche: str) -> str:
    """Busy over observed hours: the mean of the samples, where all stand for as long."""
    observed = "sum(coverage_fraction::DOUBLE * installed_gpu_hours::DOUBLE)"
    return f"SELECT sum(busy_gpu_hours) * 100 / {observed} FROM {HOUR} WHERE tranche_id = '{tranche}'"


def _mean_power(tranche: str, at: str = "true") -> str:
    observed = "sum(coverage_fraction::DOUBLE * installed_gpu_hours::DOUBLE)"
    return f"SELECT sum(it_energy_kwh) * 1000 / {observed} FROM {HOUR} WHERE tranche_id = '{tranche}' AND {at}"


def _rows(park: str, path: str, column: str = "landed_count") -> str:
    return f"SELECT sum({column}) FROM {FILE} WHERE park_id = '{park}' AND path LIKE '%{path}%'"


def _energy(park: str, column: str, days: str) -> str:
    return f"SELECT sum({column}) FROM {POWER} WHERE park_id = '{park}' AND service_date {days}"


def _leased(park: str, column: str) -> str:
    return f"SELECT sum({column}) FROM {REVENUE} WHERE park_id = '{park}'"


PINS: tuple[Pin, ...] = (
    _pin("biohpc_gpu", "host 07: rows", "15493", _rows(BIOHPC, "cbsugpu07")),
    _pin("biohpc_gpu", "host 07: kWh", "1214.570297083", _hours("biohpc-07", "it_energy_kwh")),
    # Each sample is kept to a thousandth of a per cent.
    _pin("biohpc_gpu", "host 07: mean utilisation %", "15.632183352", _utilisation("biohpc-07"), "0.0000005"),
    # The file's own sum ends in a half: 88.929422 where it is rounded to even.
    _pin(
        "biohpc_gpu",
        "host 07, June 2025: kWh",
        "88.929422500",
        _hours("biohpc-07", "it_energy_kwh", "service_date BETWEEN '2025-06-01' AND '2025-06-30'"),
    ),
    _pin(
        "biohpc_gpu",
        "host 07, March 2025: kWh",
        "36.310040",
        _hours("biohpc-07", "it_energy_kwh", "service_date BETWEEN '2025-03-01' AND '2025-03-31'"),
    ),
    _pin(
        "biohpc_gpu",
        "host 07, June 2025: hours measured",
        "693",
        _hours("biohpc-07", "available_gpu_hours", "service_date BETWEEN '2025-06-01' AND '2025-06-30'"),
    ),
    _pin(
        "biohpc_gpu",
        "host 07, March 2025: hours measured",
        "733",
        _hours("biohpc-07", "available_gpu_hours", "service_date BETWEEN '2025-03-01' AND '2025-03-31'"),
    ),
    _pin("biohpc_gpu", "host 09: rows", "8497", _rows(BIOHPC, "cbsugpu09")),
    _pin("biohpc_gpu", "host 09: kWh", "633.483762500", _hours("biohpc-09", "it_energy_kwh")),
    _pin("nvidia_smi_csv", "rows", "2619", _rows(BENCH, "rtx4090")),
    _pin("nvidia_smi_csv", "mean power W", "280.092012", _mean_power("bench-4090")),
    _pin("nvidia_smi_csv", "mean utilisation %", "82.987400", _utilisation("bench-4090")),
    _pin("dcgm_exporter", "samples of GPUs", "2", _rows(PAGES, "_2026-01-01")),
    _pin("dcgm_exporter", "L40S: power W", "35.686", _mean_power("pages-l40s")),
    _pin("dcgm_exporter", "L40S: utilisation %", "0", _utilisation("pages-l40s")),
    _pin("dcgm_exporter", "T4: power W", "8.969", _mean_power("pages-t4")),
    # Two captures a minute: the hour holds the idle one and the one under load, 69.85 and 631.95 W.
    _pin("nvidia_gpu_exporter", "H100, idle and load: mean power W", "350.900", _mean_power("pages-h100")),
    _pin("nvidia_gpu_exporter", "H200, idle and load: mean power W", "352.555", _mean_power("pages-h200")),
    _pin("nvidia_gpu_exporter", "H100, idle and load: utilisation %", "50", _utilisation("pages-h100")),
    _pin("alibaba_genai2026", "rows", "28309", _rows(ALIBABA, "duty_cycle")),
    # Busy hours are the sum of the duty cycles, 303,690.162996 %, each for 57 s.
    _pin("alibaba_genai2026", "busy GPU-hours", "48.084", _hours("alibaba-genai", "busy_gpu_hours")),
    _pin(
        "alibaba_genai2026",
        "containers",
        "114",
        "SELECT max(installed_gpu_hours) FROM metering.fct_capacity_hour WHERE tranche_id = 'alibaba-genai'",
    ),
    _pin("helios", "GPU-hours", "10845.316667", _leased(HELIOS, "billed_gpu_hours"), "0.0002"),
    _pin("helios", "GPU-hours of the cluster", "21504", _hours("helios-vc3sl", "leased_gpu_hours")),
    _pin(
        "helios",
        "occupancy",
        "0.504339503",
        f"SELECT sum(billed_gpu_hours) / (SELECT sum(leased_gpu_hours) FROM {HOUR} WHERE tranche_id = 'helios-vc3sl') "
        f"FROM {REVENUE} WHERE park_id = '{HELIOS}'",
        "0.00000001",
    ),
    _pin("mit_supercloud", "GPU jobs", "332", _rows(SUPERCLOUD, "leases")),
    # The hours of a lease's day are published to a billionth: 465 days of jobs, 8,451 of pods.
    _pin("mit_supercloud", "GPU-hours", "5901.179722222", _leased(SUPERCLOUD, "billed_gpu_hours"), "0.0000003"),
    _pin("alibaba_gpu2023", "pods scheduled on GPUs (7,064 less 861)", "6203", _rows(PODS, "leases")),
    _pin("alibaba_gpu2023", "GPU-hours, whole GPUs", "59612.210556", _leased(PODS, "billed_gpu_hours"), "0.000005"),
    _pin("alibaba_gpu2023", "GPU-hours, milli-weighted", "51470.674158", _leased(PODS, "metered_gpu_hours"), "0.0031"),
    _pin("alibaba_gpu2023", "GPUs", "6212", "SELECT gpu_count FROM core.dim_tranche WHERE tranche_id = 'pods'"),
    # Market time has no summer time, as the park's; two houses of 62 day records make the month.
    _pin(
        "nem12",
        "month_solar, March 2023: kWh taken",
        "270.738",
        _energy(METERS, "facility_energy_kwh", "BETWEEN '2023-03-01' AND '2023-03-31'"),
    ),
    _pin(
        "nem12",
        "month_solar, March 2023: kWh given",
        "589.172",
        _energy(METERS, "generation_energy_kwh", "BETWEEN '2023-03-01' AND '2023-03-31'"),
    ),
    _pin("nem12", "month_solar: intervals", str(62 * 288), _rows(METERS, "month_solar")),
    _pin(
        "greenbutton",
        "nine days: kWh",
        "199.563",
        _energy(HOUSES, "facility_energy_kwh", "BETWEEN '2014-01-01' AND '2014-01-09'"),
    ),
    _pin("greenbutton", "nine days: readings", "216", _rows(HOUSES, "NineDays")),
    _pin(
        "greenbutton",
        "all files: kWh",
        "203.649",
        _energy(HOUSES, "facility_energy_kwh", "IS NOT NULL"),
    ),
    _pin(
        "sec_companyfacts",
        "NVIDIA, quarter to 2026-04-26: DSO days",
        "45.39128837",
        "SELECT dso_days FROM issuer.fct_issuer_quarter WHERE fiscal_period_end = '2026-04-26'",
    ),
    _pin(
        "sec_companyfacts",
        "NVIDIA, quarter to 2026-04-26: revenue USD m",
        "81615",
        "SELECT revenue FROM issuer.fct_issuer_quarter WHERE fiscal_period_end = '2026-04-26'",
    ),
    _pin(
        "sec_companyfacts",
        "NVIDIA: period ends with receivables",
        "69",
        "SELECT count(*) FROM issuer.fct_issuer_fact WHERE item = 'accounts_receivable_net'",
    ),
)
