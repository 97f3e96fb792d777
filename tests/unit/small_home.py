"""A small home on disk for tests: one park, one contract, and ways to change a line of them."""

from collections.abc import Callable
from pathlib import Path

import duckdb

from ingest import landing
from ingest.landing import LandedFile
from ingest.terms.home import Home, load_home
from ingest.terms.init import write_example_home
from ingest.terms.templates import CONTRACT, PARK

PARK_ID, CONTRACT_ID, TRANCHE_ID = "my-park-1", "my-contract-1", "my-park-1-a"

LEASE_HEADER = (
    "lease_id,version,tenant_id,contract_id,tranche_id,gpu_model,gpu_count,starts_at,ends_at,price_per_gpu_hour,"
    "currency_code,workload,customer_type,pricing,status,recorded_at\n"
)


def lease_row(
    lease_id: str = "L1", *, version: int = 1, price: str = "2.5", recorded_at: str = "2026-12-20T00:00:00Z"
) -> str:
    return (
        f"{lease_id},{version},T1,{CONTRACT_ID},{TRANCHE_ID},GB300,1000,2027-01-01T00:00:00+11:00,2027-07-01T00:00:00+10:00,"
        f"{price},USD,training,third_party,reserved,active,{recorded_at}\n"
    )


def make_home(
    path: Path,
    *,
    park: Callable[[str], str] = str,
    contract: Callable[[str], str] = str,
    home: str = "title: Test\nas_of: 2027-12-31\n",
) -> Path:
    """The example home with a frozen clock, its park and contract in force; the callables change their text."""
    write_example_home(path)
    (path / "home.yaml").write_text(home)
    (path / "parks" / f"{PARK_ID}.yaml").write_text(park(PARK))
    (path / "contracts" / f"{CONTRACT_ID}.yaml").write_text(contract(CONTRACT))
    return path


def drop(home: Path, feed: str, name: str, content: str | bytes, park_id: str = PARK_ID) -> Path:
    """Put a file into a feed's landing folder."""
    target = home / "landing" / park_id / feed / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content.encode() if isinstance(content, str) else content)
    return target


class Books:
    """A home with its warehouse in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.con = duckdb.connect()
        landing.create_raw_tables(self.con)

    def home(self) -> Home:
        return load_home(self.path)

    def land(self) -> list[LandedFile]:
        """Land whatever is pending."""
        home = self.home()
        return landing.land(self.con, home, landing.pending(self.con, home))

    def rows(self, query: str) -> list[tuple[object, ...]]:
        return self.con.execute(query).fetchall()

    def one(self, query: str) -> object:
        return self.rows(query)[0][0]
