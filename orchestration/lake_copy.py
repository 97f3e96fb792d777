"""The lake's copy on an object store, for engines that do not see this machine's disk: each new file once, after landing.

Landing writes the lake into the home, where it stays: it looks for repeated and corrected rows there. What stands at
PARKLEDGER_LAKE_URL is that lake under the same paths, and the models of metering read it there, in either engine.
"""

from __future__ import annotations

import duckdb

from orchestration.settings import Settings

COPIED = "raw.lake_copy"


class LakeCopyError(Exception):
    """The object store cannot be used; the message says what is missing or what it answered."""


def copy_new(connection: duckdb.DuckDBPyConnection, settings: Settings) -> int:
    """Copy the files of the catalogue that this object store has not, or has with other content.

    Args:
        connection: a writing connection to the working database, which remembers what was copied.
        settings: the home and the object store's URL.

    Returns:
        Files copied. A file is noted once it is there whole, so that a run that was cut short goes on where it stopped.

    Raises:
        LakeCopyError: the URL's scheme has no file system here, or the store refuses.
    """
    # Imported where it is needed: it brings an HTTP client along.
    import fsspec  # noqa: PLC0415

    url = settings.lake_url.rstrip("/")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {COPIED} (url VARCHAR, path VARCHAR, sha256 VARCHAR)")
    wanted = connection.execute(
        "SELECT DISTINCT path, coalesce(sha256, file_id) AS sha256 FROM raw.lake_file "
        f"EXCEPT SELECT path, sha256 FROM {COPIED} WHERE url = ? ORDER BY path",
        [url],
    ).fetchall()
    if not wanted:
        return 0
    try:
        store, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise LakeCopyError(
            f"PARKLEDGER_LAKE_URL={url} cannot be opened: {error}. For s3:// and s3a:// install the extra `object-store`: "
            "pip install --require-hashes -r requirements-object-store.lock"
        ) from error
    for path, sha256 in wanted:
        try:
            store.put_file(str(settings.home / path), f"{root}/{path}")
        except OSError as error:
            raise LakeCopyError(
                f"{path} could not be copied to {url}: {error}. Its address, credentials and rights come from the store's own "
                "settings (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, …); what was copied before stays, the next run goes on."
            ) from error
        connection.execute(f"DELETE FROM {COPIED} WHERE url = ? AND path = ?", [url, path])
        connection.execute(f"INSERT INTO {COPIED} VALUES (?, ?, ?)", [url, path, sha256])
    return len(wanted)
