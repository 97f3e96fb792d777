"""Exposition pages and API answers: Prometheus' text format 0.0.4 and the metric lists of both exporters."""

import json
import time
from pathlib import Path

import pytest
from formats_park import Park, rows_of, write

from ingest.formats import gpu_metrics, opening
from ingest.formats.prometheus_api import Series, series
from ingest.formats.registry import FormatError, detect

STAMPED = "a-01_2026-10-01T000000Z.prom"
NIL = "00000000-0000-0000-0000-000000000000"


def dcgm(metric: str, value: str, *, host: str = "a-01", stamp: str = "", extra: str = "") -> str:
    labels = f'gpu="0",UUID="GPU-{host}-0",device="nvidia0",modelName="NVIDIA GB300",Hostname="{host}"{extra}'
    return f"{metric}{{{labels}}} {value}{' ' + stamp if stamp else ''}"


def page(*lines: str) -> str:
    return "\n".join(["# HELP DCGM_FI_DEV_GPU_UTIL", "# TYPE DCGM_FI_DEV_GPU_UTIL gauge", *lines])


def test_two_gpus_on_two_hosts_of_one_page_are_two_rows_and_the_last_line_needs_no_newline(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        STAMPED,
        page(
            dcgm("DCGM_FI_DEV_GPU_UTIL", "97"),
            dcgm("DCGM_FI_DEV_POWER_USAGE", "1187.250000"),
            dcgm("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "5551899580"),
            dcgm("DCGM_FI_DEV_FB_USED", "281344"),
            dcgm("DCGM_FI_DEV_XID_ERRORS", "79"),
            "# a comment",
            dcgm("DCGM_FI_DEV_GPU_UTIL", "0", host="b-07"),
            dcgm("DCGM_FI_DEV_POWER_USAGE", "8.969000", host="b-07"),
        ),
    )
    assert detect(path, "gpu_telemetry") == "prometheus_text"
    rows = rows_of(path, "gpu_telemetry").to_dicts()
    assert rows == [
        {
            "gpu_id": "GPU-a-01-0",
            "node_id": "a-01",
            "gpu_model": "NVIDIA GB300",
            "sampled_at": "2026-10-01T00:00:00Z",
            "utilization_pct": "97",
            "power_w": "1187.25",
            "energy_mj": "5551899580",
            "memory_used_mib": "281344",
            "xid_code": "79",
            "line_no": 3,
            "line_text": None,
            "line_rule": None,
        },
        {
            "gpu_id": "GPU-b-07-0",
            "node_id": "b-07",
            "gpu_model": "NVIDIA GB300",
            "sampled_at": "2026-10-01T00:00:00Z",
            "utilization_pct": "0",
            "power_w": "8.969",
            "energy_mj": None,
            "memory_used_mib": None,
            "xid_code": None,
            "line_no": 9,
            "line_text": None,
            "line_rule": None,
        },
    ]


@pytest.mark.parametrize("blank", ["N/A", "[N/A]", "NaN", "9223372036854775792", "140737488355328", "2147483634"])
def test_a_value_that_the_exporter_does_not_have_is_empty_and_not_a_number(tmp_path: Path, blank: str) -> None:
    path = write(tmp_path, STAMPED, page(dcgm("DCGM_FI_DEV_GPU_UTIL", blank), dcgm("DCGM_FI_DEV_POWER_USAGE", "700")))
    row = rows_of(path, "gpu_telemetry").row(0, named=True)
    assert row["utilization_pct"] is None
    assert row["power_w"] == "700"


def test_the_timestamp_of_a_sample_goes_before_the_name_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, STAMPED, page(dcgm("DCGM_FI_DEV_GPU_UTIL", "5", stamp="1790812800123")) + "\n")
    assert rows_of(path, "gpu_telemetry")["sampled_at"].to_list() == ["2026-10-01T00:00:00.123000Z"]


def test_a_page_without_any_instant_is_refused_with_a_name_that_would_do(tmp_path: Path) -> None:
    path = write(tmp_path, "metrics.prom", page(dcgm("DCGM_FI_DEV_GPU_UTIL", "5")))
    with pytest.raises(FormatError, match=r"name it like `node1_2026-07-03T221045Z\.prom`"):
        rows_of(path, "gpu_telemetry")


@pytest.mark.parametrize(
    "name",
    [
        "x_2026-07-03T22-10-45Z.prom",
        "x-20260703T221045Z.txt",
        "x.2026-07-03T22:10:45.123Z",
        "x_2026-07-04T081045+1000.prom",
        "x_2026-07-03 221045Z.txt",
    ],
)
def test_an_iso_stamp_with_zone_in_the_name_dates_the_page_however_it_is_written(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, page(dcgm("DCGM_FI_DEV_GPU_UTIL", "5")))
    assert rows_of(path, "gpu_telemetry")["sampled_at"].to_list() == ["2026-07-03T22:10:45Z"]


def test_a_stamp_without_zone_in_the_name_is_no_instant(tmp_path: Path) -> None:
    path = write(tmp_path, "x_2026-07-03T221045.prom", page(dcgm("DCGM_FI_DEV_GPU_UTIL", "5")))
    with pytest.raises(FormatError, match="no timestamps"):
        rows_of(path, "gpu_telemetry")


def test_the_other_exporter_gives_a_ratio_joules_and_bytes_and_its_model_on_another_line(tmp_path: Path) -> None:
    lines = [
        "# TYPE nvidia_smi_utilization_gpu_ratio gauge",
        'nvidia_smi_utilization_gpu_ratio{uuid="u-1"} 0.29',
        'nvidia_smi_power_draw_watts{uuid="u-1"} 627.4',
        'nvidia_smi_energy_joules_total{uuid="u-1"} 5551899.58',
        'nvidia_smi_memory_used_bytes{uuid="u-1"} 2.0780679168e+10',
        'nvidia_smi_gpu_info{uuid="u-1",index="3",name="NVIDIA H200"} 1',
    ]
    row = rows_of(write(tmp_path, STAMPED, "\n".join(lines)), "gpu_telemetry").row(0, named=True)
    assert row["utilization_pct"] == "29"
    assert row["power_w"] == "627.4"
    assert row["energy_mj"] == "5551899580"
    assert row["memory_used_mib"] == "19818"
    assert (row["gpu_id"], row["node_id"], row["gpu_model"]) == ("u-1", "a-01", "NVIDIA H200")


def test_a_masked_uuid_is_no_identity_so_node_and_index_stand_in(tmp_path: Path) -> None:
    lines = [
        "# TYPE nvidia_smi_power_draw_watts gauge",
        f'nvidia_smi_power_draw_watts{{uuid="{NIL}"}} 77.71',
        f'nvidia_smi_gpu_info{{uuid="{NIL}",index="5",name="NVIDIA H200"}} 1',
    ]
    first = rows_of(write(tmp_path, STAMPED, "\n".join(lines)), "gpu_telemetry")
    second = rows_of(write(tmp_path, STAMPED.replace("a-01", "a-02"), "\n".join(lines)), "gpu_telemetry")
    assert first["gpu_id"].to_list() + second["gpu_id"].to_list() == ["a-01/5", "a-02/5"]


def test_the_park_names_the_model_where_the_page_does_not(tmp_path: Path) -> None:
    text = page('DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-1",Hostname="a-09"} 5')
    assert rows_of(write(tmp_path, STAMPED, text), "gpu_telemetry")["gpu_model"].to_list() == ["GB300"]


def test_one_reading_repeated_for_each_pod_is_one_sample(tmp_path: Path) -> None:
    pods = [dcgm("DCGM_FI_DEV_GPU_UTIL", "41", extra=f',pod="p{i}"') for i in range(3)]
    assert rows_of(write(tmp_path, STAMPED, page(*pods)), "gpu_telemetry")["utilization_pct"].to_list() == ["41"]


def test_memory_of_mig_instances_adds_up_to_the_memory_of_the_gpu(tmp_path: Path) -> None:
    parts = [dcgm("DCGM_FI_DEV_FB_USED", str(1000 * i), extra=f',GPU_I_ID="{i}"') for i in (1, 2)]
    power = [dcgm("DCGM_FI_DEV_POWER_USAGE", "300", extra=f',GPU_I_ID="{i}"') for i in (1, 2)]
    row = rows_of(write(tmp_path, STAMPED, page(*parts, *power)), "gpu_telemetry").row(0, named=True)
    assert (row["memory_used_mib"], row["power_w"]) == ("3000", "300")


def test_two_different_readings_of_one_gpu_at_one_instant_spoil_that_gpu_alone(tmp_path: Path) -> None:
    lines = [dcgm("DCGM_FI_DEV_GPU_UTIL", "41"), dcgm("DCGM_FI_DEV_GPU_UTIL", "42")]
    path = write(tmp_path, STAMPED, page(*lines, dcgm("DCGM_FI_DEV_GPU_UTIL", "7", host="b-07")))
    spoilt, other = rows_of(path, "gpu_telemetry")["utilization_pct"].to_list()
    assert spoilt == "lines 3 and 4 give two values of DCGM_FI_DEV_GPU_UTIL: 41 and 42"
    assert other == "7"


TORN = 'DCGM_FI_DEV_POWER_USAGE{gpu="0",UUI'


def test_a_torn_line_comes_with_its_text_and_the_others_whole(tmp_path: Path) -> None:
    path = write(tmp_path, STAMPED, page(dcgm("DCGM_FI_DEV_GPU_UTIL", "41"), TORN))
    rows = rows_of(path, "gpu_telemetry")
    assert rows["utilization_pct"].to_list() == ["41", None]
    assert rows.select("line_no", "line_text").rows() == [(3, None), (4, TORN)]


@pytest.mark.parametrize("line", [TORN, 'DCGM_FI_DEV_GPU_UTIL{gpu="0"}', 'DCGM_FI_DEV_GPU_UTIL{gpu="0"} 1 2 3'])
def test_a_page_of_torn_lines_alone_is_refused_with_the_first_of_them(tmp_path: Path, line: str) -> None:
    with pytest.raises(FormatError, match="line 3 cannot be read: DCGM_FI_DEV"):
        rows_of(write(tmp_path, STAMPED, page(line)), "gpu_telemetry")


def test_errors_counted_by_code_give_the_gravest_code_and_none_where_nothing_was_counted(tmp_path: Path) -> None:
    name = "DCGM_EXP_XID_ERRORS_COUNT"
    lines = [dcgm("DCGM_FI_DEV_GPU_UTIL", "97", host=host) for host in ("a-01", "a-02", "a-03", "a-04")]
    for host, code, count in (("a-01", "79", "1"), ("a-01", "13", "2"), ("a-01", "145", "9"), ("a-02", "0", "0")):
        lines.append(dcgm(name, count, host=host, extra=f',window_size_in_ms="300000",xid="{code}"'))
    lines.append(dcgm(name, "1", host="a-03"))
    lines += [dcgm(name, "1", host="a-04", extra=',xid="79"'), dcgm("DCGM_FI_DEV_XID_ERRORS", "13", host="a-04")]
    rows = rows_of(write(tmp_path, STAMPED, page(*lines)), "gpu_telemetry")
    assert rows["xid_code"].to_list() == ["79", "0", f"{name} without a number in its label xid", "13"]


def test_names_in_quotes_mean_the_same_as_bare_ones(tmp_path: Path) -> None:
    quoted = '{"DCGM_FI_DEV_GPU_UTIL", gpu="0", UUID="GPU-1", "k8s.node.name"="x", Hostname="a-01"} 97'
    other = '{"gpu.temperature", gpu="0", UUID="GPU-1", Hostname="a-01"} 40'
    path = write(tmp_path, STAMPED, f"{quoted}\n{other}\n")
    assert detect(path, "gpu_telemetry") == "prometheus_text"
    rows = rows_of(path, "gpu_telemetry").select("gpu_id", "node_id", "utilization_pct", "line_text").to_dicts()
    assert rows == [{"gpu_id": "GPU-1", "node_id": "a-01", "utilization_pct": "97", "line_text": None}]


def test_an_openmetrics_page_has_seconds_exemplars_and_counters_that_end_in_total(tmp_path: Path) -> None:
    lines = [
        dcgm("DCGM_FI_DEV_GPU_UTIL", "41", stamp="1790812800.125"),
        dcgm("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION_total", "9000", stamp="1790812800.125")
        + ' # {trace_id="a # {b} 1"} 0.5 1790812799.9',
        "# EOF",
    ]
    row = rows_of(write(tmp_path, "page.prom", page(*lines) + "\n"), "gpu_telemetry").row(0, named=True)
    assert (row["sampled_at"], row["utilization_pct"], row["energy_mj"]) == (
        "2026-10-01T00:00:00.125000Z",
        "41",
        "9000",
    )


def test_labels_may_hold_braces_quotes_line_ends_and_hashes(tmp_path: Path) -> None:
    odd = ',pod="a}b{c # {x} 1",note="say \\"no\\"\\n"'
    row = rows_of(write(tmp_path, STAMPED, page(dcgm("DCGM_FI_DEV_GPU_UTIL", "5", extra=odd))), "gpu_telemetry")
    assert row.select("gpu_id", "utilization_pct").row(0) == ("GPU-a-01-0", "5")


@pytest.mark.parametrize("value", ["+Inf", "-Inf", "1e999999999", "0x10", "1_000"])
def test_a_value_that_no_sensor_gives_stays_as_it_came_for_quarantine(tmp_path: Path, value: str) -> None:
    path = write(tmp_path, STAMPED, page(dcgm("DCGM_FI_DEV_GPU_UTIL", value)))
    assert rows_of(path, "gpu_telemetry")["utilization_pct"].to_list() == [value]


@pytest.mark.parametrize(
    ("instances", "model", "busy"),
    [
        ([("1", "3g.40gb", "0.5"), ("2", "2g.20gb", "1"), ("5", "1g.10gb", "0")], "NVIDIA A100", "50"),
        ([("1", "7g.80gb", "0.29")], "NVIDIA H100", "29"),
        ([("1", "1g.6gb+me", "1"), ("2", "1g.6gb", "1")], "NVIDIA A30", "50"),
    ],
)
def test_a_gpu_cut_into_instances_is_busy_by_the_slices_that_work(
    tmp_path: Path, instances: list[tuple[str, str, str]], model: str, busy: str
) -> None:
    lines = [
        f'DCGM_FI_PROF_GR_ENGINE_ACTIVE{{gpu="0",UUID="G",modelName="{model}",GPU_I_PROFILE="{profile}",'
        f'GPU_I_ID="{number}",Hostname="a-01"}} {active}'
        for number, profile, active in instances
    ]
    assert rows_of(write(tmp_path, STAMPED, page(*lines)), "gpu_telemetry")["utilization_pct"].to_list() == [busy]


def h100(metric: str, value: str, *, gpu: int = 0, instance: str = "") -> str:
    """A line as dcgm-exporter writes it for a GPU, or for one of its instances: 2 with four of seven slices, 1 with three."""
    profile = {"": "", "1": ',GPU_I_PROFILE="3g.40gb",GPU_I_ID="1"', "2": ',GPU_I_PROFILE="4g.40gb",GPU_I_ID="2"'}[
        instance
    ]
    labels = f'gpu="{gpu}",UUID="GPU-{gpu}",pci_bus_id="00000000:1B:00.0",device="nvidia{gpu}",modelName="NVIDIA H100 80GB HBM3"'
    return f'{metric}{{{labels}{profile},Hostname="a-01",DCGM_FI_DRIVER_VERSION="570.195.03"}} {value}\n'


# NVML's utilisation is nought on the lines of instances, power is the board's.
MIG_PAGE = (
    "# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).\n# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n"
    + h100("DCGM_FI_DEV_GPU_UTIL", "0", instance="1")
    + h100("DCGM_FI_DEV_GPU_UTIL", "0", instance="2")
    + h100("DCGM_FI_DEV_GPU_UTIL", "64", gpu=1)
    + "# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).\n# TYPE DCGM_FI_DEV_POWER_USAGE gauge\n"
    + h100("DCGM_FI_DEV_POWER_USAGE", "412.500000", instance="1")
    + h100("DCGM_FI_DEV_POWER_USAGE", "412.500000", instance="2")
    + h100("DCGM_FI_DEV_POWER_USAGE", "530.000000", gpu=1)
)
MIG_ACTIVITY = h100("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "0.700000", instance="1") + h100(
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "0.350000", instance="2"
)


@pytest.mark.parametrize(("activity", "busy"), [(MIG_ACTIVITY, "50"), ("", None)])
def test_a_gpu_cut_into_instances_is_one_gpu_and_never_idle_by_the_nought_on_its_lines(
    tmp_path: Path, activity: str, busy: str | None
) -> None:
    rows = rows_of(write(tmp_path, STAMPED, MIG_PAGE + activity), "gpu_telemetry")
    assert rows.select("gpu_id", "utilization_pct", "power_w").rows() == [
        ("GPU-0", busy, "412.5"),
        ("GPU-1", "64", "530"),
    ]


def test_a_compute_instance_has_the_slices_of_the_instance_around_it(tmp_path: Path) -> None:
    path = write(tmp_path, STAMPED, MIG_PAGE + MIG_ACTIVITY.replace('"3g.40gb"', '"1c.3g.40gb"'))
    assert rows_of(path, "gpu_telemetry")["utilization_pct"].to_list() == ["50", "64"]


def test_the_gpus_own_utilisation_goes_before_the_profiling_field(tmp_path: Path) -> None:
    both = [dcgm("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "0.31"), dcgm("DCGM_FI_DEV_GPU_UTIL", "41")]
    assert rows_of(write(tmp_path, STAMPED, page(*both)), "gpu_telemetry")["utilization_pct"].to_list() == ["41"]
    profiled = rows_of(write(tmp_path, STAMPED, page(both[0])), "gpu_telemetry")
    assert profiled["utilization_pct"].to_list() == ["31"]


def test_names_of_other_versions_of_the_exporter_mean_the_same(tmp_path: Path) -> None:
    new = 'gpu="0",gpu_uuid="GPU-9",model_name="NVIDIA B200",hostname="a-03"'
    old = 'gpu="0",uuid="GPU-8"'
    lines = [
        f"DCGM_FI_DEV_BOARD_POWER_WATTS{{{new}}} 900",
        f"DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL{{{new}}} 12",
        f"DCGM_FI_DEV_FB_USED_BYTES{{{new}}} 1048576",
        f"dcgm_gpu_utilization{{{old}}} 12",
        f"dcgm_power_usage{{{old}}} 250.5",
    ]
    first, second = rows_of(write(tmp_path, STAMPED, "\n".join(lines)), "gpu_telemetry").to_dicts()
    assert (first["gpu_id"], first["node_id"], first["gpu_model"]) == ("GPU-9", "a-03", "NVIDIA B200")
    assert (first["power_w"], first["energy_mj"], first["memory_used_mib"]) == ("900", "12000", "1")
    assert (second["gpu_id"], second["utilization_pct"], second["power_w"]) == ("GPU-8", "12", "250.5")


def test_samples_without_labels_belong_to_no_gpu(tmp_path: Path) -> None:
    path = write(tmp_path, STAMPED, page("DCGM_FI_DEV_GPU_UTIL 0", "DCGM_FI_DEV_FAN_SPEED 0"))
    with pytest.raises(FormatError, match="carry no label of a GPU"):
        rows_of(path, "gpu_telemetry")


def test_a_stamp_in_seconds_is_no_instant_of_this_century(tmp_path: Path) -> None:
    path = write(tmp_path, STAMPED, page(dcgm("DCGM_FI_DEV_GPU_UTIL", "5", stamp="1790812800")))
    with pytest.raises(FormatError, match="line 3 cannot be read"):
        rows_of(path, "gpu_telemetry")


RESULT = [
    {
        "metric": {"__name__": "DCGM_FI_DEV_GPU_UTIL", "UUID": "GPU-1", "Hostname": "a-01", "modelName": "GB300"},
        "values": [[1790812800.123, "40"], [1790812860.123, "50"]],
    },
    {
        "metric": {"__name__": "DCGM_FI_DEV_POWER_USAGE", "UUID": "GPU-1", "Hostname": "a-01", "modelName": "GB300"},
        "values": [[1790812800.123, "1100.5"], [1790812860.123, "NaN"]],
    },
    {"metric": {"__name__": "up", "instance": "x"}, "values": [[1790812800.123, "1"]]},
]


@pytest.mark.parametrize(
    "answer",
    [
        RESULT,
        {"resultType": "matrix", "result": RESULT},
        {"status": "success", "data": {"resultType": "matrix", "result": RESULT}},
    ],
)
def test_metrics_of_one_instant_are_one_row_with_or_without_the_envelope(tmp_path: Path, answer: object) -> None:
    path = write(tmp_path, "range.json", json.dumps(answer))
    assert detect(path, "gpu_telemetry") == "prometheus_api"
    frame = rows_of(path, "gpu_telemetry")
    assert frame.select("sampled_at", "utilization_pct", "power_w", "line_no").rows() == [
        ("2026-10-01T00:00:00.123000Z", "40", "1100.5", 1),
        ("2026-10-01T00:01:00.123000Z", "50", None, 2),
    ]


def test_an_instant_query_is_read_as_one_point_a_series(tmp_path: Path) -> None:
    one = {"metric": RESULT[0]["metric"], "value": [1790812800, "12"]}
    path = write(tmp_path, "instant.json", json.dumps({"status": "success", "data": {"result": [one]}}))
    assert rows_of(path, "gpu_telemetry")["utilization_pct"].to_list() == ["12"]


def test_an_error_answer_says_what_the_api_said(tmp_path: Path) -> None:
    answer = {"status": "error", "error": "query timed out", "data": {"result": [{"metric": {}, "values": []}]}}
    with pytest.raises(FormatError, match="query timed out"):
        rows_of(write(tmp_path, "error.json", json.dumps(answer)), "gpu_telemetry")


def test_an_answer_without_gpu_metrics_names_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"\(metrics: up\)"):
        rows_of(write(tmp_path, "up.json", json.dumps(RESULT[2:])), "gpu_telemetry", Park())


def test_mig_instances_of_an_answer_are_one_gpu_as_on_a_page(tmp_path: Path) -> None:
    labels = {"UUID": "G", "gpu": "0", "Hostname": "a-01", "modelName": "NVIDIA H100"}
    answer = [
        {
            "metric": {"__name__": name, "GPU_I_ID": str(part), "GPU_I_PROFILE": "3g.40gb", **labels},
            "values": [[1790812800, value]],
        }
        for name, value in (("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "0.7"), ("DCGM_FI_DEV_FB_USED", "1000"))
        for part in (1, 2)
    ]
    row = rows_of(write(tmp_path, "x.json", json.dumps(answer)), "gpu_telemetry").row(0, named=True)
    assert (row["utilization_pct"], row["memory_used_mib"]) == ("60", "2000")


def test_warnings_infos_and_series_of_other_shapes_beside_do_not_stop_an_answer(tmp_path: Path) -> None:
    histogram = {"metric": {"__name__": "latency"}, "histograms": [[1790812800, {"count": "1", "sum": "2"}]]}
    answer = {
        "status": "success",
        "warnings": ["partial response"],
        "infos": ["PromQL info"],
        "data": {"resultType": "matrix", "result": [histogram, *RESULT]},
    }
    assert rows_of(write(tmp_path, "x.json", json.dumps(answer)), "gpu_telemetry").height == 2


@pytest.mark.parametrize("stamp", ["1e20", '"x"', "-5", "9999999999999"])
def test_a_point_without_an_instant_comes_as_its_text(tmp_path: Path, stamp: str) -> None:
    text = json.dumps(RESULT).replace("1790812860.123", stamp, 1)
    rows = rows_of(write(tmp_path, "x.json", text), "gpu_telemetry")
    assert rows["utilization_pct"].to_list() == ["40", None]
    assert [text is None for text in rows["line_text"]] == [True, False]


def test_infinity_in_an_answer_stays_for_quarantine_and_nan_is_no_value(tmp_path: Path) -> None:
    text = json.dumps(RESULT).replace('"40"', '"+Inf"')
    rows = rows_of(write(tmp_path, "x.json", text), "gpu_telemetry")
    assert rows.select("utilization_pct", "power_w").rows() == [("+Inf", "1100.5"), ("50", None)]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": "error", "errorType": "bad_data", "error": "end before start"}, "bad_data.*end before start"),
        ({"status": "success", "data": {"resultType": "scalar", "result": [1790812800, "1"]}}, "a scalar without"),
        ({"status": "success", "data": {"resultType": "matrix", "result": []}}, r"metrics: none"),
        ([{"metric": {}, "values": [[1790812800, "1"]]}], r"metrics: \(no name\)"),
    ],
)
def test_answers_that_hold_no_series_of_gpus_say_why(tmp_path: Path, answer: object, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        rows_of(write(tmp_path, "x.json", json.dumps(answer)), "gpu_telemetry")


def test_the_host_that_prometheus_renamed_goes_before_the_address_that_was_scraped(tmp_path: Path) -> None:
    labels = 'gpu="0",UUID="GPU-1",exported_Hostname="a-7",instance="10.0.0.1:9400"'
    path = write(tmp_path, "p.prom", f"DCGM_FI_DEV_GPU_UTIL{{{labels}}} 5 1798804800000\n")
    assert rows_of(path, "gpu_telemetry")["node_id"].to_list() == ["a-7"]


def test_lines_made_to_keep_a_pattern_busy_are_torn_in_little_time(tmp_path: Path) -> None:
    odd = ["{" + "a" * 200_000, "{" + '""' * 100_000, " " + " " * 200_000 + "x y z", "{" + "\\" * 200_000 + '"']
    text = "# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n" + "".join(f"DCGM_FI_DEV_GPU_UTIL{line}\n" for line in odd)
    begun = time.process_time()
    with pytest.raises(FormatError, match="line 2 cannot be read"):
        rows_of(write(tmp_path, "p_2027-01-01T120000Z.prom", text), "gpu_telemetry")
    assert time.process_time() - begun < 10


def test_an_answer_that_was_cut_gives_its_whole_series_and_a_row_that_says_so(tmp_path: Path) -> None:
    text = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": RESULT}})
    frame = rows_of(write(tmp_path, "x.json", text[: text.index("1100.5")]), "gpu_telemetry")
    assert frame.select("line_no", "utilization_pct", "line_rule").rows() == [
        (1, "40", None),
        (2, "50", None),
        (3, None, "truncated"),
    ]
    assert "after series 1 the answer breaks off: no JSON" in frame["line_text"][2]


@pytest.mark.parametrize("order", ["as it comes", "sorted"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_answer_is_read_alike_wherever_its_blocks_end_and_whatever_the_order_of_its_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, encoding: str
) -> None:
    label = {"__name__": "DCGM_FI_DEV_GPU_UTIL", "UUID": 'G-"\\ü\u2028', "Hostname": "a-01", "count": 12.5}
    more = [{"metric": label, "values": [[1790812800 + n, f"{n}"] for n in range(40)]}]
    answer = {"stats": {"n": [1e3, -1, None, True]}, "data": {"resultType": "matrix", "result": RESULT + more}}
    text = json.dumps({"status": "success", **answer}, sort_keys=order == "sorted", ensure_ascii=False, indent=1)
    path = write(tmp_path, "x.json", text.encode(encoding))
    expected = [
        Series(
            {name: str(value) for name, value in one["metric"].items()},
            [(str(stamp), value) for stamp, value in one["values"]],
        )
        for one in RESULT + more
    ]
    for size in (2, 7, 100_000):
        monkeypatch.setattr(opening, "_CHUNK_BYTES", size)
        assert list(series(path)) == expected


def test_a_series_without_end_is_refused_with_what_to_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.formats.json_stream.MAX_VALUE_CHARS", 2000)
    monkeypatch.setattr(opening, "_CHUNK_BYTES", 500)
    path = write(tmp_path, "x.json", json.dumps([{**RESULT[0], "values": [[1790812800 + n, "5"] for n in range(500)]}]))
    with pytest.raises(FormatError, match="more than 2,000 characters; ask for a shorter range"):
        rows_of(path, "gpu_telemetry")


def test_values_that_wait_on_disk_give_the_rows_of_values_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        dcgm(metric, value, host=f"a-{host}", stamp=str(1790812800000 + 60_000 * minute), extra=extra)
        for metric, value, extra in (
            ("DCGM_FI_DEV_POWER_USAGE", "900.5", ""),
            ("DCGM_FI_DEV_FB_USED", "10", ',GPU_I_ID="1",GPU_I_PROFILE="1g.10gb"'),
            ("DCGM_FI_DEV_FB_USED", "20", ',GPU_I_ID="2",GPU_I_PROFILE="2g.20gb"'),
            ("DCGM_FI_DEV_GPU_UTIL", "N/A", ""),
            ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "0.5", ',GPU_I_ID="1",GPU_I_PROFILE="1g.10gb"'),
            ("DCGM_EXP_XID_ERRORS_COUNT", "1", ',xid="31"'),
            ("DCGM_EXP_XID_ERRORS_COUNT", "2", ',xid="79"'),
        )
        for minute in (2, 0, 1)
        for host in (3, 1)
    ]
    quarrel = dcgm("DCGM_FI_DEV_POWER_USAGE", "901", host="a-1", stamp="1790812800000")
    path = write(tmp_path, STAMPED, page(*lines, quarrel, "DCGM_FI_DEV_GPU_UTIL{", "DCGM_FI_DEV_POWER_USAGE{gpu"))
    at_once = rows_of(path, "gpu_telemetry").sort("line_no")
    monkeypatch.setattr(gpu_metrics, "POINTS_AT_ONCE", 2)
    in_parts = rows_of(path, "gpu_telemetry").sort("line_no")
    assert at_once.height == 8
    assert "give two values of DCGM_FI_DEV_POWER_USAGE: 900.5 and 901" in " ".join(at_once["power_w"].drop_nulls())
    assert in_parts.rows() == at_once.rows()


def test_a_line_that_is_no_text_costs_itself_only(tmp_path: Path) -> None:
    good = dcgm("DCGM_FI_DEV_GPU_UTIL", "97")
    path = write(tmp_path, STAMPED, f"{good}\n".encode() + b'DCGM_FI_DEV_POWER_USAGE{x="\xff"} 3\n')
    rows = rows_of(path, "gpu_telemetry")
    assert rows.select("utilization_pct", "line_no", "line_rule").rows() == [("97", 1, None), (None, 2, "not_utf8")]
