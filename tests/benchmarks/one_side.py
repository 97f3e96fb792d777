"""Times one side of one case in this process and prints the result as JSON; started by the bench for each side."""

import dataclasses
import json
import sys
from pathlib import Path

from tests.benchmarks.cases import CASES
from tests.benchmarks.measuring import profile, time_side


def main() -> None:
    number, side, size, folder, repeats = sys.argv[1:]
    case = CASES[int(number)]
    if side == "prepare":
        case.prepare(Path(folder), size)
        return
    if side in {"facts", "profile"}:
        told = case.facts(Path(folder), size) if side == "facts" else profile(case, size, Path(folder))
        sys.stdout.write(json.dumps(told) + "\n")
        return
    timing = time_side(case, side, size, Path(folder), int(repeats))
    sys.stdout.write(json.dumps(dataclasses.asdict(timing)) + "\n")


if __name__ == "__main__":
    main()
