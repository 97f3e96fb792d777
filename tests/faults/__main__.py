"""`make faults`: inject every fault, print the table, and keep it as JSON under ``.faults/``.

`python -m tests.faults [SECTION…] [--share 0.1]` runs some sections, or a part of the injections. `make docs` renders
dbt_project/docs/faults.json: KEEP=yes puts the result of each case there, in the place of its last one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
import traceback
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from homes import MONTH, REPOSITORY, Bench, make_finished, parkledger
from tally import CASES, Tally, keep, save, table

SECTIONS = ("crashes", "damage", "readers", "hostile", "environments", "access", "load", "worlds")
RESULTS = REPOSITORY / ".faults"
KEPT = REPOSITORY / "dbt_project" / "docs" / "faults.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--share", type=float, default=1.0, help="part of the injections to make")
    parser.add_argument("--case", help="only cases whose name holds this")
    parser.add_argument("--finished", type=Path, help="a tiny home that was run and closed before, to be copied")
    arguments = parser.parse_args()
    unknown = set(arguments.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: the sections are {', '.join(SECTIONS)}")
    for section in SECTIONS:
        import_module(section)
    folder = Path(tempfile.mkdtemp(prefix="parkledger-faults-"))
    started, broken = time.monotonic(), 0
    tallies: dict[tuple[str, str], Tally] = {}
    try:
        print("A tiny home is run once", file=sys.stderr, flush=True)
        finished = arguments.finished or make_finished(folder / "finished")
        assert parkledger(finished, "close", MONTH).returncode == 0
        bench = Bench(folder / "work", finished, arguments.share)
        for section in arguments.sections or SECTIONS:
            for name, function in CASES.get(section, []):
                if arguments.case and arguments.case not in name:
                    continue
                print(f"{section}: {name.replace('_', ' ')}", file=sys.stderr, flush=True)
                try:
                    tally = function(bench)
                except Exception:  # noqa: BLE001 - the other cases go on
                    broken += 1
                    traceback.print_exc()
                    tally = Tally(name.replace("_", " "), notes=["the case itself broke off; see above"])
                tallies[section, name] = tally
                print(table([tally]), file=sys.stderr, flush=True)
                shutil.rmtree(bench.folder, ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    about = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "share": arguments.share,
        "seconds": round(time.monotonic() - started, 1),
    }
    print(table([*tallies.values()]))
    path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    save(tallies, path, about)
    if os.environ.get("KEEP"):
        keep(tallies, KEPT, about)
    print(json.dumps(about))
    print(path)
    return 1 if broken or any(not tally.is_clean for tally in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
