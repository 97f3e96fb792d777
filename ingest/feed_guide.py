"""What a file of each feed must look like, as Markdown, from the contracts that check it."""

from collections.abc import Iterator

from ingest.contracts import CONTRACTS, RECORDED_AT, Column, FeedContract

_KINDS = {
    "text": "text",
    "integer": "whole number",
    "decimal": "decimal",
    "milli": "number",
    "micro": "number",
    "instant": "instant, ISO 8601 with its offset",
    "date": "date, 2027-01-31",
    "boolean": "true or false",
    "json": "JSON",
}


def feed_guide() -> str:
    """A section for each feed: grain, key, the header to copy, and each column with kind, unit and limits."""
    return "\n\n".join(_section(contract) for contract in CONTRACTS.values()) + "\n"


def _section(contract: FeedContract) -> str:
    columns = (*contract.columns, RECORDED_AT)
    return "\n".join(
        (
            f"## {contract.name}",
            "",
            f"{contract.description} Key: {', '.join(contract.key)}.",
            "",
            "```",
            ",".join(column.name for column in columns),
            "```",
            "",
            "| column | needed | kind | unit | meaning |",
            "|---|---|---|---|---|",
            *(_row(column) for column in columns),
        )
    )


def _row(column: Column) -> str:
    needed = "yes" if column.is_required else "no"
    unit = "" if column.kind == "instant" else column.unit
    meaning = "; ".join((column.description, *_limits(column)))
    return f"| {column.name} | {needed} | {_KINDS[column.kind]} | {unit} | {meaning} |"


def _limits(column: Column) -> Iterator[str]:
    if column.choices:
        yield "one of " + ", ".join(column.choices)
    if column.minimum is not None:
        yield f"at least {column.minimum}"
    if column.maximum is not None:
        yield f"at most {column.maximum:,}"
    if column.scale:
        yield f"{column.scale} decimal places" + (", more are rounded" if column.rounds else " at most")
    if column.default is not None:
        yield f"{str(column.default).lower()} where empty"
