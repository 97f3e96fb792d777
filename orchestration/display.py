"""What the command line shows on a terminal: tables, and of a run its steps, how long each took, what it is doing now."""

import sys
import time
from collections.abc import Collection, Iterable, Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

# How a severity looks on a terminal.
STYLES = {"critical": "bold red", "warning": "yellow"}


class TerminalProgress:
    """Steps with their times, redrawn in place; plain lines where the output is no terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.__stderr__)
        self._finished: list[tuple[str, float]] = []
        self._title = ""
        self._message = ""
        self._started = time.monotonic()
        self._live = Live(console=self._console, get_renderable=self._picture, refresh_per_second=8, transient=True)

    def __enter__(self) -> "TerminalProgress":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finish()
        if self._console.is_terminal:
            self._live.stop()
            self._console.print(self._picture())

    def step(self, title: str) -> None:
        """A new step begins; the one before has ended."""
        self._finish()
        self._title, self._message, self._started = title, "", time.monotonic()

    def advance(self, message: str, done: int | None = None, total: int | None = None) -> None:
        """Something happened within the step."""
        count = f"{done:,} of {total:,}  " if done is not None and total is not None else f"{done:,}  " if done else ""
        self._message = count + message

    def _finish(self) -> None:
        if self._title:
            seconds = time.monotonic() - self._started
            self._finished.append((self._title, seconds))
            if not self._console.is_terminal:
                self._console.print(f"{self._title}: {seconds:.1f} s", highlight=False)
        self._title = ""

    def _picture(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for title, seconds in self._finished:
            table.add_row(Text("✓", style="green"), Text(title), Text(f"{seconds:5.1f} s", style="dim"))
        if self._title:
            now = Text(f"{time.monotonic() - self._started:5.1f} s", style="cyan")
            table.add_row(
                Text("•", style="cyan"), Text(self._title, style="bold"), now, Text(self._message[:70], style="dim")
            )
        return table


def as_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    whole_from: int | None = None,
    numbers: Collection[int] = (),
) -> Table:
    """A plain table; whole numbers with grouped thousands.

    Args:
        columns: their headings.
        rows: their cells.
        whole_from: the columns from this one on are numbers, aligned to the right; none is ever cut.
        numbers: columns of numbers, aligned to the right and never cut; texts beside them are folded.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, name in enumerate(columns):
        is_number = number in numbers or (whole_from is not None and number >= whole_from)
        is_whole = number in numbers or whole_from is not None
        table.add_column(name, justify="right" if is_number else "left", no_wrap=is_whole, overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    return table
