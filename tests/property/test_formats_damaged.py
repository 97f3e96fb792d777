"""Whatever happens to the bytes of a file, its reader gives rows or says why not: nothing else is ever raised."""

import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from small_home import PARK_ID, make_home

from ingest.feeds.limits import Limits
from ingest.reading import Rejected, check_cells, read_cells
from ingest.terms.home import load_home
from ingest.terms.park import Park

LABELS = '{gpu="0",UUID="GPU-1",modelName="NVIDIA GB300",Hostname="a-01",GPU_I_ID="1",GPU_I_PROFILE="3g.40gb"}'
ESPI = (
    '<feed xmlns="http://www.w3.org/2005/Atom"><entry><link rel="self" href="U/UsagePoint/1"/><content>'
    '<UsagePoint xmlns="http://naesb.org/espi"/></content></entry><entry><link rel="self" href="R/ReadingType/1"/><content>'
    '<ReadingType xmlns="http://naesb.org/espi"><powerOfTenMultiplier>0</powerOfTenMultiplier><uom>72</uom></ReadingType>'
    "</content></entry><entry><content>"
    '<IntervalBlock xmlns="http://naesb.org/espi"><IntervalReading><timePeriod><duration>3600</duration>'
    "<start>1293868800</start></timePeriod><value>450</value></IntervalReading></IntervalBlock></content></entry></feed>"
)
SAMPLES: dict[str, tuple[str, str]] = {
    "csv": (
        "payments",
        "payment_id,direction,received_at,amount,currency_code\np,received,2027-02-01T00:00:00Z,1.5,USD\n",
    ),
    "nem12": (
        "power_meter",
        "100,NEM12,202612010900,M,R\n200,N1,E1,1,E1,N1,M,kWh,30,\n300,20270115," + "1.5," * 48 + "V,,,20270116103000,\n"
        "400,1,48,A,,\n900\n",
    ),
    "green_button": ("power_meter", ESPI),
    "prometheus_text": (
        "gpu_telemetry",
        (
            f"# TYPE DCGM_FI_DEV_GPU_UTIL gauge\nDCGM_FI_DEV_GPU_UTIL{LABELS} 41 1790812800125\n"
            f"DCGM_FI_PROF_GR_ENGINE_ACTIVE{LABELS} 0.5 1790812800125\n"
        ),
    ),
    "prometheus_api": (
        "gpu_telemetry",
        (
            '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"DCGM_FI_DEV_GPU_UTIL","UUID":"G"},'
            '"values":[[1790812800.123,"40"],[1790812860.123,"NaN"]]}]}}'
        ),
    ),
    "wide_csv": ("gpu_telemetry", "timestamp,a-01,a-02\n2027-02-01T00:00:00Z,10,20\n2027-02-01T00:01:00Z,11,21\n"),
    "nvidia_smi_csv": (
        "gpu_telemetry",
        "timestamp, name, utilization.gpu [%], power.draw [W]\n2027/02/03 15:36:53.507, NVIDIA GB300, 5 %, 250.5 W\n",
    ),
    "biohpc": (
        "gpu_telemetry",
        "name\ttimestamp\tpowerave\tutilave\na-01\t2027-02-01 00:00:00.000\t1\t2\n\n(1 rows affected)\n",
    ),
    "focus": (
        "lease_usage",
        (
            "BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ConsumedQuantity,ConsumedUnit,Tags\n"
            '1,USD,Usage,2027-02-01T00:00:00Z,2027-02-01T01:00:00Z,8,GPU-Hours,"{""lease_id"": ""L1""}"\n'
        ),
    ),
}

# What breaks readers: numbers without bound, other scripts' digits, separators, quotes, control bytes, torn sequences.
NASTY = [
    b"1e999999999", b"-0", b"NaN", b"Infinity", b"9" * 400, "٣".encode(), b'"', b",", b"\n", b"\r", b"\x00", b"\xff\xfe",
    b"\xc3", b"{", b"}", b"[", b"<", b"&a;", b"..", b"'; DROP TABLE raw.leases; --", b"<script>alert(1)</script>", b"\t", b"",
]  # fmt: skip

edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.one_of(st.sampled_from(NASTY), st.binary(max_size=4))),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def park() -> Park:
    with tempfile.TemporaryDirectory() as folder:
        home = load_home(
            make_home(Path(folder), park=lambda text: text.replace("timestamps: error", "timestamps: park_zone"))
        )
        return home.parks[PARK_ID]


def outcome(path: Path, feed: str, park: Park) -> int:
    """Rows of a file, each of which must be good or refused; -1 for a file that is refused as a whole."""
    cells = read_cells(path, feed, park)
    if isinstance(cells, Rejected):
        assert cells.reason
        return -1
    batches = list(check_cells([(0, cells)], feed, Limits(park)))
    assert sum(batch.good.height + batch.rejected.height for batch in batches) == cells.row_count
    return cells.row_count


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_are_read_before_they_are_damaged(park: Park, name: str, tmp_path: Path) -> None:
    feed, text = SAMPLES[name]
    path = tmp_path / "sample"
    path.write_text(text)
    assert outcome(path, feed, park) > 0


@pytest.mark.parametrize("name", SAMPLES)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(changes=edits)
def test_a_damaged_file_gives_rows_or_a_reason(
    park: Park, name: str, tmp_path: Path, changes: list[tuple[float, int, bytes]]
) -> None:
    feed, text = SAMPLES[name]
    data = text.encode()
    for place, cut, put in changes:
        at = int(place * len(data))
        data = data[:at] + put + data[at + cut :]
    path = tmp_path / "sample"
    path.write_bytes(data)
    outcome(path, feed, park)
