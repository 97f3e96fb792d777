"""Park-days that are held back: one has a row in quarantine that breaks a rule which a policy has block.

What the partition's feed told before the faulty file came stays; what came with it or after it waits, until the sender has
corrected the row (a valid row of the same natural key that is known no earlier) or somebody has mended and released it.
All else is published. Which partitions are held is a function of the landed files and the policies, made anew at the end
of every landing: a correction counts whether it lands before the faulty row or after it.
"""

from dataclasses import dataclass
from datetime import date

import duckdb

from ingest import documents, lake
from ingest.contracts import CONTRACTS
from ingest.terms.home import Home

DDL = """
CREATE TABLE IF NOT EXISTS raw.held_partition (
    park_id VARCHAR NOT NULL,
    feed VARCHAR NOT NULL,
    service_date DATE NOT NULL,
    rule VARCHAR NOT NULL,
    broken_row_count BIGINT NOT NULL,
    held_row_count BIGINT NOT NULL,
    held_from_at TIMESTAMPTZ NOT NULL,
    path VARCHAR NOT NULL,
    line_no BIGINT NOT NULL,
    PRIMARY KEY (park_id, feed, service_date, rule)
)
"""


@dataclass(frozen=True)
class Held:
    """A partition that is held back by a rule; see quality.fct_held_partition."""

    park_id: str
    feed: str
    service_date: date
    rule: str
    broken_row_count: int
    held_row_count: int
    path: str
    line_no: int

    def __str__(self) -> str:
        """Partition, rule and first row, as messages name them."""
        return (
            f"{self.park_id} {self.feed} {self.service_date.isoformat()} is held back with {self.held_row_count:,} rows: "
            f"{self.broken_row_count:,} break {self.rule}, first {self.path}:{self.line_no}"
        )


def _rows_by_day() -> str:
    """SQL: park_id, feed, service_date, file_id and rows that count or were replaced, of every feed with partitions."""
    parts = [
        "SELECT park_id, feed, service_date, file_id, row_count FROM raw.lake_file",
        *(
            f"SELECT park_id, '{contract.name}', {documents.day_of(contract)}, file_id, count(*) FROM raw.{contract.name} "
            "JOIN known_park USING (park_id) GROUP BY ALL"
            for contract in CONTRACTS.values()
            if contract.day_of is not None and not contract.in_lake
        ),
    ]
    return " UNION ALL ".join(parts)


def _find_faulty(con: duckdb.DuckDBPyConnection) -> None:
    """Make `faulty_row`: rows that break a blocking rule and were not released."""
    feeds = [name for name, contract in CONTRACTS.items() if contract.day_of is not None]
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE faulty_row AS
        SELECT q.park_id, q.feed, q.file_id, q.line_no, q.rule, q.service_date, q.row_key, q.known_at, f.path, f.received_at,
            b.above_fraction
        FROM raw.quarantined_row AS q
        JOIN blocking_rule AS b USING (rule)
        JOIN raw.landed_file AS f USING (park_id, feed, file_id)
        ANTI JOIN raw.released_row USING (park_id, feed, file_id, line_no)
        WHERE list_contains($feeds, q.feed)
        """,
        {"feeds": feeds},
    )


def _leave_out_corrected(con: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Take out of `faulty_row` what valid rows of the same key correct."""
    touched = con.execute(
        "SELECT feed, park_id, list(DISTINCT service_date) FROM faulty_row WHERE row_key IS NOT NULL AND service_date IS NOT NULL "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    for feed, park_id, days in touched:
        contract = CONTRACTS[feed]
        if contract.in_lake:
            # Instants are compared as such, so that only the files' parts of those instants are read.
            valid = lake.keys_of_days(con, home.path, feed, park_id, set(days))
            is_key = (
                "valid.gpu_id = split_part(faulty_row.row_key, chr(31), 1) AND valid.sampled_at "
                "= make_timestamptz(TRY_CAST(split_part(faulty_row.row_key, chr(31), 2) AS BIGINT))"
            )
        else:
            valid = (
                f"SELECT {documents.key_text(contract)} AS row_key, recorded_at FROM raw.{feed} WHERE park_id = $park"
            )
            is_key = "valid.row_key = faulty_row.row_key"
        con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE faulty_row AS
            SELECT faulty_row.* FROM faulty_row ANTI JOIN (
                SELECT faulty_row.file_id, faulty_row.line_no
                FROM faulty_row JOIN ({valid}) AS valid ON {is_key} AND valid.recorded_at >= faulty_row.known_at
                WHERE faulty_row.feed = $feed AND faulty_row.park_id = $park
            ) AS corrected ON faulty_row.feed = $feed AND faulty_row.park_id = $park
                AND faulty_row.file_id = corrected.file_id AND faulty_row.line_no = corrected.line_no
            """,
            {"feed": feed, "park": park_id},
        )


def hold(con: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Make `raw.held_partition` anew, in a transaction; `documents.prepare_known` has been called.

    A row whose day cannot be read counts on every day that its file has other rows of.
    """
    con.execute("DELETE FROM raw.held_partition")
    policies = home.policies
    rules = [
        [rule, str(policies.block_above_fraction.get(rule, 0))]
        for rule, severity in sorted(policies.rule_severity.items())
        if severity == "block"
    ]
    if not rules:
        return
    con.execute("CREATE OR REPLACE TEMP TABLE blocking_rule (rule VARCHAR, above_fraction DECIMAL(18, 9))")
    con.executemany("INSERT INTO blocking_rule VALUES (?, ?)", rules)
    _find_faulty(con)
    if not con.execute("SELECT 1 FROM faulty_row LIMIT 1").fetchall():
        return
    _leave_out_corrected(con, home)
    con.execute(
        f"""
        INSERT INTO raw.held_partition
        WITH by_day AS MATERIALIZED (
            SELECT * FROM ({_rows_by_day()}) SEMI JOIN faulty_row USING (park_id, feed)
        ), placed AS (
            SELECT * FROM faulty_row WHERE service_date IS NOT NULL
            UNION ALL BY NAME
            SELECT faulty_row.* REPLACE (by_day.service_date AS service_date)
            FROM faulty_row JOIN by_day USING (park_id, feed, file_id) WHERE faulty_row.service_date IS NULL
        ), broken AS (
            SELECT park_id, feed, service_date, rule, count(*) AS broken_row_count, min(received_at) AS held_from_at,
                min((path, line_no)) AS first_row, any_value(above_fraction) AS above_fraction
            FROM placed GROUP BY park_id, feed, service_date, rule
        ), counted AS (
            SELECT broken.*, coalesce(sum(by_day.row_count), 0) AS row_count,
                coalesce(sum(by_day.row_count) FILTER (WHERE f.received_at >= broken.held_from_at), 0) AS held_row_count
            FROM broken
            LEFT JOIN by_day USING (park_id, feed, service_date)
            LEFT JOIN raw.landed_file AS f USING (park_id, feed, file_id)
            GROUP BY ALL
        )
        SELECT park_id, feed, service_date, rule, broken_row_count, held_row_count, held_from_at, first_row[1], first_row[2]
        FROM counted
        WHERE broken_row_count > above_fraction * (broken_row_count + row_count)
        ORDER BY ALL
        """
    )


def held(con: duckdb.DuckDBPyConnection) -> list[Held]:
    """The partitions that are held back, by park, feed, day and rule."""
    return [
        Held(*row)
        for row in con.execute(
            "SELECT park_id, feed, service_date, rule, broken_row_count, held_row_count, path, line_no "
            "FROM raw.held_partition ORDER BY ALL"
        ).fetchall()
    ]


def told(found: list[Held], shown: int = 5) -> str:
    """What is held back and the remedy, in words; the first `shown` partitions by name."""
    more = f"; and {len(found) - shown} more" if len(found) > shown else ""
    return (
        "; ".join(map(str, found[:shown]))
        + more
        + ". Have the rows sent again, or mend and release them: parkledger quarantine list"
    )
