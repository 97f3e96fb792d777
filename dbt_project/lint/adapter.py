"""sqlfluff's stand-in for dbt's `adapter`: what a dispatched macro gives is linted as a call, or as a type, of its name."""

from collections.abc import Callable


def dispatch(name: str) -> Callable[..., str]:
    """Give what stands in for the macro that dbt would choose."""
    plain = {"materialized_once": "materialized", "incremental_where_it_stands": "incremental", "spark_location": ""}
    if name.endswith("_type"):
        return lambda: "bigint"
    return lambda *arguments: plain.get(name, f"{name}({', '.join(map(str, arguments))})")
