# ruff: noqa: E501 - what is hostile is written as it is
"""Files from parties with an interest in the outcome: no crash, no hang, no memory, nothing done that a reading does not do."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
from fuzz_seeds import SEEDS
from homes import REPOSITORY, Bench, environment
from small_home import make_home
from tally import Tally, case

sys.path.insert(0, str(REPOSITORY / "tests" / "property"))

LIMIT_SECONDS, LIMIT_MIB = 5.0, 512.0
MIB = 1024**2
FUZZER = REPOSITORY / ".faults" / "atheris"
FEEDS = (
    "gpu_telemetry",
    "power_meter",
    "leases",
    "lease_usage",
    "lease_assignments",
    "lease_adjustments",
    "payments",
    "credit_events",
)
NAMES = {
    "sql": "x'); DROP TABLE raw.leases; --",
    "sql comment": "*/ ; ATTACH '/tmp/x' AS y; /*",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "html attribute": "\"'><svg/onload=alert(1)>",
    "template": "{{ 7*7 }}{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}${7*7}#{7*7}",
    "formula": "=HYPERLINK(\"http://evil.example\";\"x\")",
    "formula plus": "+1+cmd|' /C calc'!A0",
    "formula minus": "-2+3+cmd|' /C calc'!A0",
    "formula at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "formula tab": "\t=1+1",
    "formula newline": "\r\n=1+1",
    "control": "a\x01\x02\x07\x08\x1b[31mred\x1b[0m\x7f",
    "null byte": "a\x00b",
    "bidi": "abc\u202etxt.exe\u202c\u2066x\u2069",
    "zero width": "a\u200bb\u200c\u200d\ufeff",
    "surrogate": "a\ud800b",
    "combining": "e" + "\u0301" * 300,
    "log line": "x\n2027-01-01 00:00:00 INFO everything is paid\r\n[ERROR] forged",
    "markup": "[bold red]forged[/] [link=http://evil.example]x[/link]",
    "typst": '#eval("1+1") #read("/etc/passwd") $x$ @ref <label>',
    "path": "../../../../etc/passwd",
    "path windows": "..\\..\\windows\\win.ini",
    "url": "file:///etc/passwd",
    "shell": "$(touch /tmp/owned) `id` ; rm -rf / | cat",
    "long": "n" * 200_000,
    "empty": "",
    "spaces": "   ",
    "emoji": "👩‍👩‍👧‍👦" * 50,
    "json": '{"__class__": "os.system", "args": ["id"]}',
    "yaml": "!!python/object/apply:os.system ['id']",
    "numbers": "1e999999999",
    "dde": "DDE(\"cmd\";\"/C calc\";\"x\")",
}  # fmt: skip
HEADERS = {
    "payments": "payment_id,direction,received_at,amount,currency_code,remittance_reference,contract_id",
    "leases": "lease_id,version,tenant_id,tenant_name,contract_id,tranche_id,gpu_model,gpu_count,starts_at,ends_at,price_per_gpu_hour,"
    "currency_code,workload,customer_type,pricing,status",
    "lease_usage": "lease_id,interval_start_at,interval_end_at,gpu_hours",
    "credit_events": "event_id,contract_id,kind,effective_at,payload",
    "power_meter": "meter_id,register,role,interval_start_at,interval_end_at,energy_kwh,quality",
    "lease_adjustments": "adjustment_id,lease_id,service_date,kind,amount,currency_code",
    "gpu_telemetry": "gpu_id,node_id,gpu_model,sampled_at,utilization_pct,power_w",
    "lease_assignments": "lease_id,node_id,starts_at,ends_at",
}
Made = Iterator[tuple[str, str, bytes]]


def named() -> Made:
    """Every hostile name in every text column of every feed, as CSV."""
    for feed, header in HEADERS.items():
        columns = header.split(",")
        for name in NAMES.values():
            cell = '"' + name.replace('"', '""') + '"'
            rows = [",".join(cell if n == at else "1" for n in range(len(columns))) for at in range(len(columns))]
            yield "file", feed, "\n".join([header, *rows]).encode("utf-8", "surrogatepass")


def damaged() -> Made:
    """Every sample of a format, hurt in the ways that break readers; each under every feed that has one of its kind."""
    from test_formats_damaged import NASTY, SAMPLES

    draw = random.Random(9)
    for feed, text in SAMPLES.values():
        data = text.encode()
        for nasty in NASTY:
            at = draw.randrange(len(data))
            yield "file", feed, data[:at] + nasty + data[at + draw.randrange(4) :]
            yield "file", feed, data[: at + 1] + nasty * 2000
        yield "file", feed, data[: len(data) // 2]
        yield "file", feed, gzip.compress(data)[:-9]
        yield "file", feed, data.replace(b"\n", b"\r")
        yield "file", feed, b"\xef\xbb\xbf" + data
        yield "file", feed, data.decode().encode("utf-16")
        for other in FEEDS:
            yield "file", other, data


def _zip(*members: tuple[str, bytes], link: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            if link:
                info.external_attr = 0o120777 << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def archives() -> Made:
    """Paths that leave, links, bombs, archives in archives, sizes that lie."""
    text = (HEADERS["power_meter"] + "\n").encode()
    for name in (
        "../../x.csv",
        "/etc/cron.d/x",
        "C:\\x.csv",
        "a/../../x",
        "..",
        "\\\\host\\share\\x",
        "x" * 300,
        "con",
        "a\x00b.csv",
    ):
        yield "file", "power_meter", _zip((name, text))
    yield "file", "power_meter", _zip(("a.csv", b"/etc/passwd"), link=True)
    yield "file", "power_meter", _zip(("a.zip", _zip(("b.csv", text))))
    yield "file", "power_meter", _zip(*((f"{n}.csv", b"") for n in range(3000)))
    yield "file", "power_meter", _zip(("a.csv", b"0" * (200 * MIB)))
    yield "file", "power_meter", gzip.compress(gzip.compress(b"0" * (50 * MIB)))
    yield "file", "payments", gzip.compress(b"payment_id,note\n" + b"\n" * (300 * MIB))
    yield "file", "payments", bytes(pa.compress(b"payment_id,note\n" + b"a" * (300 * MIB), "zstd"))
    lying = bytearray(_zip(("a.csv", text * 100)))
    place = lying.find(b"PK\x01\x02")
    lying[place + 24 : place + 28] = struct.pack("<I", 2**32 - 2)
    yield "file", "power_meter", bytes(lying)


def parquets() -> Made:
    """Parquet with footers that lie, strange types, and files that are hurt anywhere."""
    rows = pl.DataFrame({name: ["x"] * 50 for name in HEADERS["payments"].split(",")})
    buffer = io.BytesIO()
    rows.write_parquet(buffer)
    whole = buffer.getvalue()
    draw = random.Random(3)
    for _ in range(60):
        hurt = bytearray(whole)
        for _ in range(draw.randrange(1, 8)):
            hurt[draw.randrange(len(hurt))] = draw.randrange(256)
        yield "file", "payments", bytes(hurt)
    for size in (0, 1, 2**31 - 1, 2**32 - 1):
        yield "file", "payments", whole[:-8] + struct.pack("<I", size) + b"PAR1"
    yield "file", "payments", b"PAR1" + b"\x00" * (2 * MIB) + b"PAR1"
    yield "file", "payments", b"PAR1PAR1"
    for column in ([[1, 2]] * 5, [{"a": 1}] * 5, [b"\xff\xfe"] * 5, [1e308] * 5, [None] * 5):
        buffer = io.BytesIO()
        pl.DataFrame({"payment_id": column, "amount": column}, strict=False).write_parquet(buffer)
        yield "file", "payments", buffer.getvalue()


def terms() -> Made:
    """YAML that executes, expands, nests, repeats or lies."""
    nested = "a: " + "[" * 5000 + "]" * 5000
    aliases = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
    )
    texts = [
        nested, aliases, "{" * 20_000, "- " * 20_000, "? " * 5000, "a: &a [*a]", "a: &a {b: *a}", "<<: &x {<<: *x}",
        "!!python/object/apply:os.system ['touch /tmp/owned']", "!!python/object/new:type {}", "a: !!binary ////", "a: !include /etc/passwd",
        "a: !!python/name:os.system", "a: 9" + "9" * 10_000, "a: 0x" + "f" * 100_000, "a: 1e999999999", "a: .inf", "a: .nan", "a: 1_" * 2000,
        "a: 2027-99-99", "a: 2027-01-01T99:99:99Z", "a: 0o9", "a: 1:2:3:4:5:6", "%YAML 9.9\n---\na: 1", "--- a\n--- b\n", "\x00", "\ufeff\ufeffa: 1",
        "a: |\n" + " x\n" * 100_000, "a" * 200_000 + ": 1", "a: " + "'" * 99_999, "\t: x", "a:\n\t- b", "a: @x", "a: `x`", "*a", "&a", "!", "%", "---", "...", "",
        "a: \ud800", "a: \x85\u2028\u2029", "a: \x1b[31m", "home: {as_of: " + "[" * 900 + "]" * 900 + "}", "\n" * 1_000_000, "#" * 1_000_000,
        "a: 0b" + "1" * 50_000, "a: -0", "a: +", "y: yes\nn: no", "a: 1\na: 2", "[a]: b", "{a: b}: c", "a: !!set {x, y}", "a: !!omap [x: 1]", "a: ~",
    ]  # fmt: skip
    for text in texts:
        yield "yaml", "home", text.encode("utf-8", "surrogatepass")
    draw = random.Random(4)
    from ingest.terms.templates import CONTRACT, PARK

    for template in (CONTRACT, PARK):
        for _ in range(40):
            hurt = bytearray(template.encode())
            for _ in range(draw.randrange(1, 6)):
                at = draw.randrange(len(hurt))
                hurt[at : at + draw.randrange(3)] = bytes([draw.randrange(256)] * draw.randrange(3))
            yield "yaml", "home", bytes(hurt)


def large() -> Made:
    """Files of about 10 MiB, each the worst that it can be for its reader."""
    ten = 10 * MIB
    for feed in ("payments", "gpu_telemetry", "leases"):
        header = HEADERS[feed].encode() + b"\n"
        for unit in (b",", b'"', b"\n", b"a", b'","', b"\x00", b"\r", b'a,"\n', b"1,2,3,4,5,6,7\n"):
            yield "file", feed, header + unit * ((ten - 500) // len(unit))
    yield "file", "payments", b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n1\n"
    yield (
        "file",
        "gpu_telemetry",
        b"timestamp," + b",".join(b"n%d" % n for n in range(900_000)) + b"\n2027-01-01T00:00:00Z,1\n",
    )
    for opener in (
        b"[",
        b'{"a":',
        b'{"status":"success","data":{"resultType":"matrix","result":[',
        b"[1,",
        b'"\\u0000',
    ):
        yield "file", "gpu_telemetry", b'{"status":"success","data":' + opener * (ten // len(opener) - 10)
    metric = (
        b'{"metric":{"__name__":"DCGM_FI_DEV_GPU_UTIL","UUID":"G"},"values":['
        + b",".join([b'[1790812800,"4"]'] * 500_000)
        + b"]}"
    )
    yield "file", "gpu_telemetry", b'{"status":"success","data":{"resultType":"matrix","result":[' + metric + b"]}}"
    yield "file", "gpu_telemetry", b'DCGM_FI_DEV_GPU_UTIL{gpu="' + b"x" * (ten - 100) + b'"} 1 1790812800125\n'
    yield "file", "gpu_telemetry", b'DCGM_FI_DEV_GPU_UTIL{gpu="0"} 1 1790812800125\n' * 210_000
    yield "file", "gpu_telemetry", b"DCGM_FI_DEV_GPU_UTIL{" + b'a="b",' * 1_500_000 + b"} 1\n"
    yield "file", "power_meter", b"100,NEM12,202612010900,M,R\n300,20270115" + b",1" * 5_000_000
    yield "file", "power_meter", b"100,NEM12,202612010900,M,R\n" + b"200,N1,E1,1,E1,N1,M,kWh,30,\n" * 350_000
    espi = b'<feed xmlns="http://www.w3.org/2005/Atom" xmlns:e="http://naesb.org/espi">'
    yield "file", "power_meter", espi + b"<a>" * 3_000_000
    yield "file", "power_meter", espi + b"<a1234>\n" * 1_300_000
    yield "file", "power_meter", espi + b"<entry/>" * 1_200_000 + b"</feed>"
    yield "file", "power_meter", espi + b"<a b='" + b"x" * (ten - 200) + b"'/></feed>"
    yield "file", "power_meter", espi + b"".join(b" x%d='1'" % n for n in range(10)) + b"<!--" + b"-" * (ten - 300)
    yield "yaml", "home", b"a: [" + b"1," * (ten // 2 - 10) + b"1]"
    yield "yaml", "home", b"".join(b"k%d: 1\n" % n for n in range(800_000))
    yield "yaml", "home", b"a: '" + b"x" * (ten - 10) + b"'"
    yield "yaml", "home", b"- " * (ten // 2)


def run_worker(bench: Bench, tally: Tally, cases: list[tuple[str, str, bytes]]) -> None:
    """Give the files to a process of its own and judge what it says of each; one that it dies of ends its own part."""
    folder = bench.empty()
    home = make_home(folder / "home", park=lambda text: text.replace("timestamps: error", "timestamps: park_zone"))
    inbox = folder / "inbox"
    inbox.mkdir()
    for number, (what, feed, content) in enumerate(cases):
        (inbox / f"{number:06d}~{what}~{feed}").write_bytes(content)
    left = sorted(inbox.iterdir())
    while left:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("hostile_worker.py")), str(home), str(inbox)],
            env=environment(), capture_output=True, text=True, check=False, timeout=3600,
        )  # fmt: skip
        said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        for one in said:
            tally.injected += 1
            path = inbox / one["case"]
            good = (
                not one["said"].startswith(("CRASH", "HANG"))
                and one["seconds"] <= LIMIT_SECONDS
                and one["mib"] <= LIMIT_MIB
                and not one["acts"]
            )
            tally.survived += good
            if not good:
                tally.note(
                    f"{one['case']} ({path.read_bytes()[:60]!r}): {one['said']}, {one['seconds']:.1f} s, {one['mib']:.0f} MiB, {one['acts'][:2]}"
                )
            path.unlink()
        left = sorted(inbox.iterdir())
        if left:  # the process died of the first that is left
            tally.injected += 1
            tally.note(
                f"{left[0].name} ended the process ({done.returncode}): {left[0].read_bytes()[:60]!r} {done.stderr[-300:]}"
            )
            left[0].unlink()
            left = left[1:]
    shutil.rmtree(folder)


def _hostile(bench: Bench, what: str, cases: Made) -> Tally:
    tally = Tally(f"hostile input: {what}")
    made = list(cases)
    if bench.share < 1:
        made = random.Random(1).sample(made, max(1, round(len(made) * bench.share)))
    with tally.timed():
        run_worker(bench, tally, made)
    return tally


@case("hostile")
def names_in_every_text_field(bench: Bench) -> Tally:
    return _hostile(bench, "names in every text field of every feed", named())


@case("hostile")
def damaged_formats(bench: Bench) -> Tally:
    return _hostile(bench, "damaged files of every format", damaged())


@case("hostile")
def hostile_archives(bench: Bench) -> Tally:
    return _hostile(bench, "archives and bombs", archives())


@case("hostile")
def hostile_parquet(bench: Bench) -> Tally:
    return _hostile(bench, "Parquet", parquets())


@case("hostile")
def hostile_yaml(bench: Bench) -> Tally:
    return _hostile(bench, "YAML", terms())


@case("hostile")
def large_files(bench: Bench) -> Tally:
    return _hostile(bench, "files of 10 MiB", large())


@case("hostile")
def fuzzed_by_coverage(bench: Bench) -> Tally:
    """Bytes that atheris makes to reach ever other lines of each reader; one that is not survived is kept under ``.faults/``."""
    seconds = bench.times(60)
    tally = Tally(f"hostile input: {len(SEEDS)} readers fuzzed by coverage, {seconds} s each")
    if not (FUZZER / ".done").exists():
        tally.note("not injected: atheris is not installed; `make fuzz` does it (Linux, Python 3.11 to 3.13)")
        return tally
    with tally.timed():
        for reader in SEEDS:
            done = subprocess.run(
                [sys.executable, str(Path(__file__).with_name("fuzz.py")), reader, "--seconds", str(seconds)],
                env=environment(PYTHONPATH=f"{REPOSITORY}:{FUZZER}", RUST_BACKTRACE="0"),
                capture_output=True, text=True, errors="replace", check=False, timeout=seconds + 300,
            )  # fmt: skip
            tried = re.search(r"^stat::number_of_executed_units: (\d+)$", done.stderr, re.MULTILINE)
            inputs, is_good = int(tried[1]) if tried else 1, done.returncode == 0 and tried is not None
            tally.injected += inputs
            tally.survived += inputs - (not is_good)
            if not is_good:
                tally.note(f"{reader} ({done.returncode}): {done.stderr[-600:]}")
    return tally
