"""What ``parkledger diff`` prints of the differences between two snapshots."""

from typing import Any

from rich.console import Console

from orchestration.display import as_table
from orchestration.publishing.differences import Differences


def difference_data(found: Differences) -> dict[str, Any]:
    """All of it as plain data."""
    return {
        "before": {k: found.before[k] for k in ("run_id", "as_of")},
        "after": {k: found.after[k] for k in ("run_id", "as_of")},
        "causes": [{"kind": cause.kind, "what": cause.what} for cause in found.causes],
        "tables": [table.__dict__ for table in found.tables],
        "moved": [one.__dict__ for one in found.moved],
    }


def print_differences(found: Differences, limit: int, out: Console) -> None:
    """Causes, tables and the largest moves."""
    a, b = found.before, found.after
    out.print(f"{a['run_id']} (as of {a['as_of']}) → {b['run_id']} (as of {b['as_of']})", highlight=False)
    if not (found.causes or found.tables):
        out.print("Nothing differs.")
        return
    for cause in found.causes:
        out.print(f"  {cause.kind}: {cause.what}", highlight=False, markup=False, soft_wrap=True)
    if found.tables:
        cells = [(t.table, t.added, t.removed, t.changed) for t in found.tables]
        out.print(as_table(["table", "rows added", "rows gone", "rows changed"], cells, numbers=(1, 2, 3)))
    shown = found.moved[:limit]
    if shown:
        rows = [
            (
                f"{m.table}.{m.column}",
                " ".join(m.key.values()),
                *map(_amount_text, (m.before, m.after, m.change)),
                " or ".join(m.why) or "unexplained",
            )
            for m in shown
        ]
        out.print(as_table(["figure", "of", "before", "after", "change", "why"], rows, numbers=(2, 3, 4)))
    out.print(
        f"{len(found.moved):,} figures moved" + (f", the {limit} largest are shown" if len(found.moved) > limit else "")
    )


def _amount_text(value: Any) -> str:
    return "n/a" if value is None else f"{value:,.2f}"
