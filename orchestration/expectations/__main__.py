"""``python -m orchestration.expectations WAREHOUSE < request``: see ``validation``. Only what a run needs is imported.

Great Expectations imports SciPy's distributions and Altair for expectations that no suite here has: half of its own
import. They are put off until somebody uses them, which nobody does.
"""

import gc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

PUT_OFF = frozenset({"scipy.stats", "altair"})


class _PutOff(MetaPathFinder):
    """Finds modules that are executed when an attribute of theirs is first asked for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in PUT_OFF else None
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def main() -> None:
    """Validate what the request names and print the outcomes as JSON."""
    gc.disable()  # this process lives for seconds, and looking for garbage among so many objects takes a tenth of them
    sys.meta_path.insert(0, _PutOff())
    from orchestration.expectations import validation  # noqa: PLC0415 - the import that is to be cheap

    validation.main()


if __name__ == "__main__":
    main()
