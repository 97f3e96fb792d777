"""What dbt-duckdb loads beside its connection, so that models read the lake's copy on an object store through fsspec."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection


class Plugin(BasePlugin):
    """Registers the file system of PARKLEDGER_LAKE_URL; does nothing where the lake stands in the home."""

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Credentials and the address are the store's own settings, read from the environment by its library."""
        scheme = urlsplit(os.environ.get("PARKLEDGER_LAKE_URL", "")).scheme
        if scheme:
            import fsspec  # noqa: PLC0415

            conn.register_filesystem(fsspec.filesystem(scheme))
