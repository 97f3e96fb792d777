"""What moved between two published snapshots, and what can have moved it.

A figure is one column of one row that both snapshots hold under the same key. Its causes are read from what the
snapshots themselves say of their inputs: files that landed between them, terms, reference tables, policies, clock and
code. A cause is named for a figure only where it can reach it (a file of another park cannot); where several can, all
are named, for nothing but a run with one of them alone could tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from orchestration.publishing.catalogue import QUALITY, TABLES
from orchestration.publishing.manifest import manifest_of
from orchestration.publishing.snapshot import DATABASE, NOT_PUBLISHED, earlier_snapshots

NUMERIC = ("DECIMAL", "DOUBLE", "FLOAT", "BIGINT", "INTEGER", "HUGEINT")
# Beside these, a table of reference data reaches every figure.
REACH_OF_REFERENCE = {
    "default_rates": {"credit", "monitor", "ledger"},
    "credit_curves": {"credit", "monitor", "ledger"},
    "instruments": {"credit"},
    "yield_curve": {"credit", "monitor", "ledger"},
    "gpu_price_index": {"credit", "monitor"},
    "gpu_prices": {"credit", "monitor"},
    "issuer_facts": {"issuer", "credit", "monitor"},
    "power_prices": {"credit", "monitor"},
}
LATE_DATA, AMENDMENT, REFERENCE, POLICY, PARK, CLOCK, CODE = (
    "late data",
    "amendment",
    "restated reference",
    "policy",
    "park",
    "clock",
    "code",
)


@dataclass(frozen=True)
class Cause:
    """One thing that differs between the inputs of two snapshots.

    ``parks`` and ``contracts`` name whom it concerns and ``schemas`` where it can show; empty means everybody, everywhere.
    """

    kind: str
    what: str
    parks: frozenset[str] = frozenset()
    contracts: frozenset[str] = frozenset()
    schemas: frozenset[str] = frozenset()

    def reaches(self, schema: str, parks: frozenset[str], contracts: frozenset[str]) -> bool:
        """Whether it can have moved a figure of these parks and contracts; a figure of nobody is everybody's."""
        return (
            (not self.schemas or schema in self.schemas)
            and (not self.parks or not parks or bool(self.parks & parks))
            and (not self.contracts or not contracts or bool(self.contracts & contracts))
        )


@dataclass(frozen=True)
class Moved:
    """A figure of both snapshots that is not the same in them; ``change`` is ``after`` − ``before`` where both are there."""

    table: str
    key: dict[str, str]
    column: str
    before: Decimal | float | None
    after: Decimal | float | None
    change: Decimal | float | None
    why: tuple[str, ...]


@dataclass(frozen=True)
class TableChange:
    """How many rows of a table came, went and changed."""

    table: str
    added: int
    removed: int
    changed: int


@dataclass(frozen=True)
class Differences:
    """All that is to be said of two snapshots."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    causes: list[Cause] = field(default_factory=list)
    tables: list[TableChange] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)


class NoSuchSnapshotError(LookupError):
    """A name that stands for no snapshot, or for several; the message lists what there is."""


def find_snapshot(published: Path, name: str) -> Path:
    """The folder of a snapshot: ``current``, ``previous``, the beginning of a run id, or a day (the last as of then).

    Raises:
        NoSuchSnapshotError: none or several fit.
    """
    earlier = earlier_snapshots(published)
    known = [*earlier, published]
    if name == "current":
        return published
    if name == "previous" and earlier:
        return earlier[-1]
    try:
        day = date.fromisoformat(name)
    except ValueError:
        fitting = [f for f in known if str(manifest_of(f)["run_id"]).startswith(name)]
    else:
        fitting = [f for f in known if str(manifest_of(f)["as_of"]) <= day.isoformat()][-1:]
    if len(fitting) != 1:
        there = ", ".join(f"{m['run_id']} (as of {m['as_of']})" for m in map(manifest_of, reversed(known)))
        said = "stands for no snapshot" if not fitting else "stands for several snapshots"
        raise NoSuchSnapshotError(f"{name!r} {said}; kept are, from the newest: {there}")
    return fitting[0]


def differences(before: Path, after: Path, *, tables: Iterable[str] = (), all_columns: bool = False) -> Differences:
    """Compare two snapshots.

    Args:
        before: folder of the earlier one.
        after: folder of the later one.
        tables: only these tables, by qualified name; all by default.
        all_columns: every column of numbers; by default those of money.
    """
    was, now = manifest_of(before), manifest_of(after)
    with duckdb.connect() as connection:
        for name, folder in (("a", before), ("b", after)):
            quoted = str(folder / DATABASE).replace("'", "''")
            connection.execute(f"ATTACH '{quoted}' AS {name} (READ_ONLY)")
        causes = list(_causes(connection, was, now))
        both = [name for name in now["tables"] if name in was["tables"] and _is_compared(name)]
        wanted = set(tables)
        entities = _Entities(connection)
        counts, moved = [], []
        for name in both:
            if wanted and name not in wanted:
                continue
            count, rows = _compare(connection, name, all_columns=all_columns or name in wanted)
            counts.append(count)
            moved += [_with_causes(one, causes, entities) for one in rows]
    moved.sort(key=lambda one: (-abs(float(one.change or 0)), one.table, list(one.key.values()), one.column))
    return Differences(was, now, causes, [c for c in counts if c.added or c.removed or c.changed], moved)


def _is_compared(name: str) -> bool:
    return name in TABLES and name not in NOT_PUBLISHED and TABLES[name].group != QUALITY and bool(TABLES[name].key)


# --- causes ---------------------------------------------------------------------------------------


def _causes(connection: duckdb.DuckDBPyConnection, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Cause]:
    for park, feed, count, rows, first, last in connection.sql(
        """SELECT park_id, feed, count(*), sum(landed_count)::BIGINT, min(received_at)::DATE, max(received_at)::DATE
           FROM b.quality.fct_landed_file
           WHERE (file_id, park_id, feed) NOT IN (SELECT (file_id, park_id, feed) FROM a.quality.fct_landed_file)
           GROUP BY ALL ORDER BY ALL"""
    ).fetchall():
        said = f"{count:,} file{'s' if count != 1 else ''} of {feed} of {park} with {rows:,} rows, received {_span(first, last)}"
        yield Cause(LATE_DATA, said, parks=frozenset({park}))
    yield from _amendments(connection)
    before, after = was.get("inputs") or {}, now.get("inputs") or {}
    for path in sorted(set(before) | set(after)):
        if before and before.get(path) != after.get(path):
            verb = "is new" if path not in before else "is gone" if path not in after else "has changed"
            folder, _, name = path.partition("/")
            cause = _cause_of_file(folder, name.rsplit(".", 1)[0], f"{path} {verb}")
            if cause is not None:
                yield cause
    if was["as_of"] != now["as_of"]:
        yield Cause(CLOCK, f"as of {now['as_of']} instead of {was['as_of']}")
    old, new = was["versions"]["parkledger"], now["versions"]["parkledger"]
    if old != new:
        yield Cause(CODE, f"parkledger {new} instead of {old}")


def _span(first: date, last: date) -> str:
    return f"{first}" if first == last else f"{first} to {last}"


def _cause_of_file(folder: str, stem: str, said: str) -> Cause | None:
    if folder == "reference":
        return Cause(REFERENCE, said, schemas=frozenset(REACH_OF_REFERENCE.get(stem, ())))
    if folder in {"policies", "home.yaml"}:
        return Cause(POLICY, said)
    if folder == "scenarios":
        return Cause(POLICY, said, schemas=frozenset({"credit", "ledger", "monitor"}))
    if folder == "parks":
        return Cause(PARK, said, parks=frozenset({stem}))
    return None  # contracts, deals and vendors: their terms are compared one by one


def _amendments(connection: duckdb.DuckDBPyConnection) -> Iterator[Cause]:
    """Terms that were rewritten where they stood, then what each new amendment changes of the terms that it follows."""
    keys = ", ".join(TABLES["core.fct_contract_terms"].key)
    ids = "contract_id, instrument, amendment_id"
    # Amendments that only one of the snapshots has are told as a whole.
    there = " AND ".join(f"({ids}) IN (SELECT ({ids}) FROM {side}.core.fct_contract_terms)" for side in ("a", "b"))
    for contract, instrument, term, amendment, old, new in connection.sql(
        f"""SELECT contract_id, instrument, term, amendment_id, old.value_text, new.value_text
            FROM a.core.fct_contract_terms AS old FULL JOIN b.core.fct_contract_terms AS new USING ({keys})
            WHERE old.value_text IS DISTINCT FROM new.value_text AND {there} ORDER BY ALL"""
    ).fetchall():
        by = " in the original terms" if amendment == "original" else f" by amendment {amendment}"
        yield Cause(
            AMENDMENT, _term_said(f"{contract}: {instrument}", term, new, old, by), contracts=frozenset({contract})
        )
    was, now = (_instruments(connection, side) for side in ("a", "b"))
    for contract, instrument in sorted(set(was) | set(now)):
        before, after = was.get((contract, instrument), []), now.get((contract, instrument), [])
        known = {amendment for _, amendment, _ in before}
        for number, (day, amendment, terms) in enumerate(after):
            if amendment in known:
                continue
            by = f"amendment {amendment} from {day}"
            if number == 0:
                said = [
                    f"{contract}: {instrument} is new, by {by}"
                    if amendment != "original"
                    else f"{contract}: {instrument} is new"
                ]
            else:
                old = after[number - 1][2]
                said = [
                    _term_said(f"{contract}: {instrument}", term, terms.get(term), old.get(term), f" by {by}")
                    for term in sorted(set(terms) | set(old))
                    if terms.get(term) != old.get(term)
                ] or [f"{contract}: {instrument} is stated again by {by}, with the same terms"]
            for one in said:
                yield Cause(AMENDMENT, one, contracts=frozenset({contract}))
        for _, amendment, _ in before:
            if amendment not in {other for _, other, _ in after}:
                yield Cause(
                    AMENDMENT, f"{contract}: {instrument} of {amendment} is gone", contracts=frozenset({contract})
                )


def _term_said(of: str, term: str, new: str | None, old: str | None, by: str) -> str:
    return f"{of} {term} is {new or 'gone'}{by}, was {old or 'not there'}"


Instruments = dict[tuple[str, str], list[tuple[date, str, dict[str, str]]]]


def _instruments(connection: duckdb.DuckDBPyConnection, side: str) -> Instruments:
    """Each contract's instruments with their amendments in order: first day, name, terms."""
    found: Instruments = {}
    for contract, instrument, day, amendment, terms in connection.sql(
        f"""SELECT contract_id, instrument, min(valid_from), amendment_id, map_from_entries(list((term, value_text)))
            FROM {side}.core.fct_contract_terms
            GROUP BY contract_id, instrument, amendment_id ORDER BY 1, 2, 3, min(recorded_at), 4"""
    ).fetchall():
        found.setdefault((contract, instrument), []).append((day, amendment, terms))
    return found


class _Entities:
    """Whose a row is: the parks and contracts behind whatever names one in it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        contracts = connection.sql("SELECT contract_id, park_id, operator_id FROM b.core.dim_contract").fetchall()
        self.park_of_contract = {contract: park for contract, park, _ in contracts}
        self.contracts_of: dict[str, set[str]] = {}
        for contract, park, operator in contracts:
            for name in (park, operator):
                self.contracts_of.setdefault(name, set()).add(contract)
        self.parks = {park for (park,) in connection.sql("SELECT park_id FROM b.core.dim_park").fetchall()}
        self.of_part = {
            name: (contract, park)
            for name, contract, park in connection.sql(
                "SELECT tranche_id, contract_id, park_id FROM b.core.dim_tranche "
                "UNION ALL SELECT lease_id, contract_id, park_id FROM b.core.dim_lease"
            ).fetchall()
        }

    def of(self, key: Mapping[str, str], beside: Mapping[str, str]) -> tuple[frozenset[str], frozenset[str]]:
        """The parks and the contracts of a row, by its key and by its other columns that name them."""
        parks: set[str] = set()
        contracts: set[str] = set()
        for name in {*key.values(), *beside.values()}:
            if name in self.park_of_contract:
                contracts.add(name)
            contracts |= self.contracts_of.get(name, set())
            if name in self.parks:
                parks.add(name)
            contract, park = self.of_part.get(name, (None, None))
            contracts |= {contract} - {None}
            parks |= {park} - {None}
        parks |= {self.park_of_contract[one] for one in contracts if one in self.park_of_contract}
        return frozenset(parks), frozenset(contracts)


def _with_causes(moved: tuple[Moved, dict[str, str]], causes: list[Cause], entities: _Entities) -> Moved:
    one, beside = moved
    parks, contracts = entities.of(one.key, beside)
    schema = one.table.split(".")[0]
    why = dict.fromkeys(cause.kind for cause in causes if cause.reaches(schema, parks, contracts))
    return Moved(one.table, one.key, one.column, one.before, one.after, one.change, tuple(why))


# --- figures --------------------------------------------------------------------------------------


def _compare(
    connection: duckdb.DuckDBPyConnection, name: str, *, all_columns: bool
) -> tuple[TableChange, list[tuple[Moved, dict[str, str]]]]:
    old, new = (_columns(connection, f"{side}.{name}") for side in ("a", "b"))
    key = TABLES[name].key
    same = [c for c in new if c in old and c not in key]
    numbers = [c for c in same if new[c].startswith(NUMERIC) and old[c].startswith(NUMERIC)]
    shown = [c for c in numbers if all_columns or c.endswith("_amount") or c == "amount"]
    beside = [c for c in ("contract_id", "park_id", "tranche_id", "operator_id") if c in same]
    texts = [c for c in same if c != "run_id"]
    joined = f"a.{name} AS o FULL JOIN b.{name} AS n ON " + " AND ".join(f"o.{c} = n.{c}" for c in key)
    differs = " OR ".join(f"o.{c} IS DISTINCT FROM n.{c}" for c in texts) or "false"
    both = f"o.{key[0]} IS NOT NULL AND n.{key[0]} IS NOT NULL"
    ((added, removed, changed),) = connection.sql(
        f"SELECT count(*) FILTER (o.{key[0]} IS NULL), count(*) FILTER (n.{key[0]} IS NULL), "
        f"count(*) FILTER ({both} AND ({differs})) FROM {joined}"
    ).fetchall()
    count = TableChange(name, added, removed, changed)
    if not shown or not changed:
        return count, []
    rows = connection.sql(
        f"SELECT {', '.join(f'n.{c}::VARCHAR' for c in (*key, *beside))}, {', '.join(f'o.{c}, n.{c}' for c in shown)} "
        f"FROM {joined} WHERE {both} AND ({' OR '.join(f'o.{c} IS DISTINCT FROM n.{c}' for c in shown)}) ORDER BY ALL"
    ).fetchall()
    return count, [one for row in rows for one in _moved(name, key, beside, shown, row)]


def _moved(
    name: str, key: tuple[str, ...], beside: list[str], shown: list[str], row: tuple[Any, ...]
) -> Iterator[tuple[Moved, dict[str, str]]]:
    named = dict(zip((*key, *beside), row, strict=False))
    values = row[len(key) + len(beside) :]
    for index, column in enumerate(shown):
        before, after = values[2 * index : 2 * index + 2]
        if before != after:
            change = after - before if before is not None and after is not None else None
            one = Moved(name, {k: named[k] for k in key}, column, before, after, change, ())
            yield one, {k: named[k] for k in beside if named[k] is not None}


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in connection.sql(f"DESCRIBE {table}").fetchall()}
