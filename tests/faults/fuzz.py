"""Coverage-guided fuzzing of one reader by atheris: `python -m tests.faults.fuzz READER [--seconds 60]`.

`make fuzz READER=nem12 SECONDS=600` installs atheris beside (its own lock; it needs Linux and Python 3.11 to 3.13) and runs
this. The readers are the formats of landing files, and `yaml`. Whatever the bytes, a reader gives rows or says why not; anything
else that is raised, five seconds of the processor for one input, or 512 MiB more, ends the fuzzing with the input that did it,
kept under ``.faults/``.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import atheris

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests" / "property"), str(REPOSITORY / "tests" / "unit")]

LIMIT_SECONDS, LIMIT_MIB = 5.0, 512

with atheris.instrument_imports(include=["ingest"]):
    from ingest import reading
    from ingest.feeds.limits import Limits
    from ingest.terms import yaml_source
    from ingest.terms.home import load_home

from small_home import PARK_ID, make_home  # noqa: E402 - after what is to be instrumented
from test_formats_damaged import SAMPLES, outcome  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=[*SAMPLES, "yaml"])
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="parkledger-fuzz-"))
    home = load_home(
        make_home(scratch / "home", park=lambda text: text.replace("timestamps: error", "timestamps: park_zone"))
    )
    park = home.parks[PARK_ID]
    seeds, path = scratch / "seeds", scratch / "input"
    seeds.mkdir()
    if arguments.reader == "yaml":
        for number, file in enumerate(sorted((scratch / "home").rglob("*.yaml"))):
            (seeds / str(number)).write_bytes(file.read_bytes())
    else:
        (seeds / "0").write_text(SAMPLES[arguments.reader][1])
    runs = 0

    def one(data: bytes) -> None:
        nonlocal runs
        runs += 1
        path.write_bytes(data)
        begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if arguments.reader == "yaml":
            yaml_source.read_yaml(path, "input")
        else:
            outcome(path, SAMPLES[arguments.reader][0], park)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        if time.process_time() - begun > LIMIT_SECONDS or grown > LIMIT_MIB:
            raise AssertionError(f"{time.process_time() - begun:.1f} s, {grown:.0f} MiB")

    results = REPOSITORY / ".faults"
    results.mkdir(exist_ok=True)
    options = [f"-max_total_time={arguments.seconds}", "-max_len=65536", "-rss_limit_mb=4096"]
    options += [f"-artifact_prefix={results}/{arguments.reader}-"]
    assert reading is not None
    assert Limits is not None
    os.environ.setdefault("NO_COLOR", "1")
    atheris.Setup([sys.argv[0], *options, str(seeds)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
