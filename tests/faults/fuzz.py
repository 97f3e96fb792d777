"""Coverage-guided fuzzing of one reader by atheris: `python tests/faults/fuzz.py READER [--seconds 60]`.

`make fuzz READER=nem12 SECONDS=600` installs atheris beside (its own lock; it needs Linux and Python 3.11 to 3.13) and runs
this; `make faults` does it for every reader. Whatever the bytes, a reader gives rows or says why not; anything else that is
raised, five seconds of the processor for one input, or 512 MiB more, ends the fuzzing with the input that did it, kept under
``.faults/``.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris

LIMIT_SECONDS, LIMIT_MIB = 5.0, 512

with atheris.instrument_imports(include=["ingest"]):
    import ingest.reading  # noqa: F401 - so that it is instrumented, for `outcome`
    from ingest.formats import ecb_fx, sec_companyfacts
    from ingest.formats.errors import FormatError
    from ingest.reference import PROFILE_TABLES, TABLES, ReferenceDataError, read_reference
    from ingest.terms import yaml_source
    from ingest.terms.home import load_home

from fuzz_seeds import FEED, SAMPLES, SEEDS  # noqa: E402 - after what is to be instrumented
from homes import REPOSITORY  # noqa: E402
from small_home import PARK_ID, make_home  # noqa: E402
from test_formats_damaged import outcome  # noqa: E402


def reader_of(name: str, folder: Path, path: Path) -> Callable[[], object]:
    """What reads the file at `path` whose bytes change."""
    home = load_home(
        make_home(folder / "home", park=lambda text: text.replace("timestamps: error", "timestamps: park_zone"))
    )
    if name == "yaml":
        return lambda: yaml_source.read_yaml(path, "input")
    if name == "reference":
        (home.path / "reference").mkdir(exist_ok=True)
        for table in (*TABLES, *PROFILE_TABLES):
            (home.path / "reference" / table.file).unlink(missing_ok=True)
            (home.path / "reference" / table.file).symlink_to(path)
        return lambda: _or_said(lambda: read_reference(home), ReferenceDataError)
    if name == "ecb_fx":
        return lambda: _or_said(lambda: ecb_fx.read_ecb_fx(path), FormatError)
    if name == "companyfacts":
        return lambda: _or_said(lambda: sec_companyfacts.read(path), FormatError)
    feed = SAMPLES[name][0] if name in SAMPLES else FEED
    return lambda: outcome(path, feed, home.parks[PARK_ID])


def _or_said(read: Callable[[], object], refusal: type[Exception]) -> None:
    """Read what may be refused by an exception of the reader's own; landing's readers return why not, and raise nothing."""
    with suppress(refusal):
        read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=SEEDS)
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="parkledger-fuzz-"))
    seeds, path = scratch / "seeds", scratch / "input"
    seeds.mkdir()
    for number, content in enumerate(SEEDS[arguments.reader]):
        (seeds / str(number)).write_bytes(content)
    path.touch()
    read = reader_of(arguments.reader, scratch, path)

    def one(data: bytes) -> None:
        path.write_bytes(data)
        begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        read()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        if time.process_time() - begun > LIMIT_SECONDS or grown > LIMIT_MIB:
            raise AssertionError(f"{time.process_time() - begun:.1f} s, {grown:.0f} MiB")

    results = REPOSITORY / ".faults"
    results.mkdir(exist_ok=True)
    options = [f"-max_total_time={arguments.seconds}", "-max_len=65536", "-rss_limit_mb=4096", "-print_final_stats=1"]
    options += [f"-artifact_prefix={results}/{arguments.reader}-"]
    os.environ.setdefault("NO_COLOR", "1")
    atheris.Setup([sys.argv[0], *options, str(seeds)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
