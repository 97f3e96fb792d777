"""The resources that assets ask for: the working database, dbt, the home and the progress display."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self

import dagster as dg
import duckdb
import polars as pl

from ingest.terms.home import Home, load_home, moment_of
from orchestration.writing import only_writer


def _free_places_of_dead_runs(instance: dg.DagsterInstance, own_run_id: str | None) -> None:
    """Give back what runs that were killed, or found no room to say that they ended, still hold of Dagster's pools.

    Whoever holds the home is the only run that is alive, so every other place is of a dead one; without a daemon nobody else
    gives it back, and the next run would wait for it for ever.
    """
    log = instance.event_log_storage
    if log.supports_global_concurrency_limits:
        for run_id in log.get_concurrency_run_ids() - {own_run_id}:
            log.free_concurrency_slots_for_run(run_id)


class Warehouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The working DuckDB file: one writer at a time, opened by nobody but the pipeline."""

    path: str
    memory_limit: str = "2GB"
    threads: int = 2

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Self]:
        """Whoever starts a run, Dagster's daemon or the command line: it waits for the run before it, to its end."""
        waiting = context.log.info if context.log else None
        with only_writer(Path(self.path).parent, on_wait=waiting):
            if context.instance is not None:
                _free_places_of_dead_runs(context.instance, context.run_id)
            yield self

    @contextmanager
    def writer(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open for writing, in UTC, closed before anything else (dbt) opens the file."""
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        with self._connect(read_only=False) as connection:
            yield connection

    @contextmanager
    def reader(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open for reading."""
        with self._connect(read_only=True) as connection:
            yield connection

    @contextmanager
    def _connect(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": self.memory_limit,
            "threads": str(self.threads),
        }
        connection = duckdb.connect(self.path, read_only=read_only, config=config)
        try:
            connection.execute("SET TimeZone='UTC'")
            yield connection
        finally:
            connection.close()

    def frames(self, names: list[str]) -> dict[str, pl.DataFrame]:
        """Read whole tables by qualified name; each is sorted by all its columns, for DuckDB promises no order."""
        with self.reader() as connection:
            return {name: connection.sql(f"SELECT * FROM {name} ORDER BY ALL").pl() for name in names}


class ProgressDisplay(Protocol):
    """What a run shows while it works."""

    def step(self, title: str) -> None:
        """A new step begins."""

    def advance(self, message: str, done: int | None = None, total: int | None = None) -> None:
        """Something happened within the step."""


class SilentProgress:
    """No display: for the daemon, whose log says the same."""

    def step(self, title: str) -> None:
        """Nothing to show."""

    def advance(self, message: str, done: int | None = None, total: int | None = None) -> None:
        """Nothing to show."""


class HomeFolder(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The home whose books are kept."""

    path: str
    as_of: str = "home"

    def load(self) -> Home:
        """Read and validate the terms; the clock is that of ``home.yaml`` unless another date is asked for."""
        as_of = None if self.as_of == "home" else moment_of(self.as_of)
        return load_home(Path(self.path), as_of=as_of)
