"""Files that do not fit into memory land as those that do: the same tables, whatever stood on disk between."""

import gzip
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from small_home import LEASE_HEADER, PARK_ID, Books, drop, lease_row, make_home

from ingest import landing, reading, spool
from ingest.formats import opening
from ingest.terms.home import load_home

TELEMETRY = "gpu_id,node_id,gpu_model,sampled_at,utilization_pct,power_w,energy_mj,gpu_count,recorded_at\n"
GIB = 1024**3
# Lands a home as a run does, with a bounded database beside it.
LAND = """
import sys
import tempfile
from pathlib import Path
import duckdb
from ingest import landing
from ingest.terms.home import load_home
home = load_home(Path(sys.argv[1]))
with duckdb.connect(str(home.path / "warehouse.duckdb")) as con:
    con.execute("SET memory_limit = '1GB'; SET threads = 2; SET preserve_insertion_order = false")
    landing.create_raw_tables(con)
    landing.land(con, home, landing.pending(con, home))
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""
# Reads and checks a file, and says how much more than before it was held at most.
CHECK = """
import sys
from pathlib import Path
from ingest.feeds.limits import Limits
from ingest.reading import check_cells, read_cells
from ingest.terms.home import load_home


def held_bytes(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name + ":"))


park = next(iter(load_home(Path(sys.argv[1])).parks.values()))
before = held_bytes("VmRSS")
cells = read_cells(Path(sys.argv[2]), "gpu_telemetry", park)
refused = sum(batch.rejected.height for batch in check_cells([(0, cells)], "gpu_telemetry", Limits(park)))
print(refused, held_bytes("VmHWM") - before)
"""
TABLES = ("gpu_telemetry", "leases", "landed_file", "quarantined_row", "row_warning", "lake_file", "lake_hour")


def samples() -> str:
    """Three days, not in order: repeated and corrected keys across pieces, counters that fall, bad and torn rows, a late one."""
    lines = [
        f"a-{gpu}/0,a-{gpu},GB300,2027-01-{day:02d}T{hour:02d}:{minute:02d}:00Z,{(gpu * 7 + minute) % 100},900,"
        f"{(1 + minute // 10 % 3) * 10**10},1,"
        for day in (7, 5, 6)
        for gpu in range(4)
        for hour in (3, 14)
        for minute in range(0, 60, 10)
    ]
    lines += lines[10:30]
    lines += [line.replace(",900,", ",901,") + "2027-02-01T00:00:00Z" for line in lines[:5]]
    lines[40:40] = ["torn", lines[0].replace(",900,", ",9000,"), lines[1].replace("a-0,", "b-0,")]
    return TELEMETRY + "".join(f"{line}\n" for line in lines)


def tables(home: Path) -> dict[str, list[tuple[object, ...]]]:
    drop(home, "gpu_telemetry", "one.csv", samples())
    drop(home, "leases", "one.csv", LEASE_HEADER + "".join(lease_row(f"L{n}") for n in range(50)) + "torn\n")
    books = Books(home)
    files = books.land()
    assert [
        f for f in files if f.row_count != f.landed_count + f.duplicate_count + f.superseded_count + f.quarantined_count
    ] == []
    # Rows are the same, bytes need not be: they are written in other pieces.
    found = {
        name: books.rows(f"SELECT COLUMNS(lambda c: c <> 'sha256') FROM raw.{name} ORDER BY ALL") for name in TABLES
    }
    found["quarantine"] = [((home / "quarantine" / PARK_ID / "gpu_telemetry.csv").read_text(),)]
    return found


def test_a_file_that_goes_over_the_disk_gives_the_tables_of_one_that_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tables(make_home(tmp_path / "small"))
    assert small["landed_file"]
    assert len(small["quarantined_row"]) == 4
    assert len(small["row_warning"]) > 20
    monkeypatch.setattr(spool, "MEMORY_BYTES", 0)
    monkeypatch.setattr(reading, "BATCH_ROWS", 10)
    monkeypatch.setattr(spool, "PIECE_ROWS", 7)
    monkeypatch.setattr(opening, "_BLOCK_BYTES", 1000)
    home = make_home(tmp_path / "large")
    assert tables(home) == small
    assert [path for path in (home / "lake" / ".writing").rglob("*") if path.is_file()] == []


def peak_bytes(home: Path) -> int:
    """Lands a home in a process of its own; the most memory that it held, as it says itself.

    Not its ru_maxrss: that one outlives exec, and would be this process's where the test has written the file.
    """
    done = subprocess.run([sys.executable, "-c", LAND, str(home)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-2]) * 1024


def counts(home: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        query = (
            "SELECT row_count, landed_count, duplicate_count, superseded_count, quarantined_count FROM raw.landed_file"
        )
        return con.execute(query).fetchall()


def test_of_a_small_file_fewer_cells_stay_in_memory_and_a_small_parquet_stays_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(tmp_path)
    text = drop(home, "gpu_telemetry", "one.csv", samples())
    parquet = text.with_suffix(".parquet")
    pl.read_csv(io.StringIO(samples()), truncate_ragged_lines=True, infer_schema=False).write_parquet(parquet)
    park = load_home(home).parks[PARK_ID]

    def frames_of(path: Path) -> spool.Spool | reading.Packed:
        cells = reading.read_cells(path, "gpu_telemetry", park)
        assert isinstance(cells, reading.Cells)
        return cells.frames

    def is_on_disk(path: Path) -> bool:
        frames = frames_of(path)
        assert isinstance(frames, spool.Spool)
        return frames.is_on_disk

    monkeypatch.setattr(spool, "SMALL_MEMORY_BYTES", 0)
    assert is_on_disk(text)
    monkeypatch.setattr(spool, "SMALL_FILE_BYTES", text.stat().st_size - 1)
    assert not is_on_disk(text)

    packed = frames_of(parquet)
    assert isinstance(packed, reading.Packed)
    monkeypatch.setattr(reading, "SMALL_FILE_BYTES", parquet.stat().st_size - 1)
    whole = frames_of(parquet)
    assert isinstance(whole, spool.Spool)
    monkeypatch.setattr(reading, "BATCH_ROWS", 10)
    assert [frame.height for frame in packed][:2] == [10, 10]
    assert pl.concat(packed).equals(pl.concat(whole))


def test_many_small_documents_land_in_several_transactions_as_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def landed(name: str) -> list[tuple[object, ...]]:
        home = make_home(tmp_path / name)
        for number in range(7):
            # Each lease is told twice, in files that stand apart.
            drop(home, "leases", f"{number}.csv", LEASE_HEADER + f"{lease_row(f'L{number % 4}')}\n" + "torn\n" * number)
        books = Books(home)
        books.land()
        return [
            row
            for table in ("leases", "landed_file", "quarantined_row")
            for row in books.rows(f"FROM raw.{table} ORDER BY ALL")
        ]

    in_one = landed("one")
    written: list[int] = []
    write = landing._write_documents

    def counted(*arguments: Any) -> None:
        written.append(len(arguments[-1]))
        write(*arguments)

    monkeypatch.setattr(landing, "_write_documents", counted)
    monkeypatch.setattr(landing, "DOCUMENTS_A_TRANSACTION", 3)
    assert landed("several") == in_one
    assert written == [3, 3, 1]


@pytest.mark.slow
def test_a_line_of_ten_gigabytes_costs_its_own_row_in_bounded_memory(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    with drop(home, "gpu_telemetry", "line.csv", "").open("wb") as file:
        file.write(f"{TELEMETRY}a-1/0,a-1,GB300,2027-01-05T00:00:00Z,50,900,,1,\n".encode())
        file.seek(10 * GIB, io.SEEK_CUR)  # a hole: the file system gives zeros
        file.write(b"\na-1/0,a-1,GB300,2027-01-05T00:01:00Z,50,900,,1,\n")
    assert peak_bytes(home) < GIB
    assert counts(home) == [(3, 2, 0, 0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("energy", ["", ", 10000000000 + 54000 * minute AS energy_mj"], ids=["plain", "with_counters"])
def test_two_gigabytes_of_rows_land_in_memory_that_does_not_grow_with_them(tmp_path: Path, energy: str) -> None:
    home = make_home(tmp_path)
    target = drop(home, "gpu_telemetry", "rows.csv", "")
    gpus, minutes = 10_000, 3_600
    duckdb.sql(
        f"""COPY (
            SELECT 'a-' || gpu AS gpu_id, 'a-' || gpu AS node_id, 'GB300' AS gpu_model,
                strftime(TIMESTAMP '2027-03-01' + to_minutes(minute), '%Y-%m-%dT%H:%M:%SZ') AS sampled_at,
                CAST(hash(gpu, minute) % 1001 AS DOUBLE) / 10 AS utilization_pct, 300 + hash(minute) % 900 AS power_w{energy}
            FROM (SELECT unnest(range({minutes})) AS minute) AS minutes, (SELECT unnest(range({gpus})) AS gpu) AS gpus
        ) TO '{target}' (FORMAT csv, HEADER)"""
    )
    assert target.stat().st_size > 1.6 * GIB
    peak = peak_bytes(home)
    print(f"peak {peak / GIB:.2f} GiB")
    assert peak < 2.5 * GIB
    assert counts(home) == [(gpus * minutes, gpus * minutes, 0, 0, 0)]


def packed_rows(home: Path, rows: int) -> Path:
    """A file of less than 2 MiB that holds millions of rows, all to be refused."""
    path = drop(home, "gpu_telemetry", "packed.csv.gz", "")
    with gzip.open(path, "wb") as file:
        file.write(TELEMETRY.encode())
        for _ in range(rows // 10_000):
            file.write(b"c,c,GB300,2027-03-01T00:00:00Z,1,1,,72,\n" * 10_000)
    assert path.stat().st_size < 2 * 1024**2
    return path


def packed_parquet(home: Path, rows: int) -> Path:
    """The same as Parquet, of good rows but for their nodes."""
    path = drop(home, "gpu_telemetry", "packed.parquet", "")
    duckdb.sql(
        f"""COPY (
            SELECT 'c-' || row % 2000 AS gpu_id, 'c' AS node_id, 'GB300' AS gpu_model, 50.0 AS utilization_pct, 800.0 AS power_w,
                TIMESTAMPTZ '2027-03-01 00:00:00+00' + to_minutes(row // 2000) AS sampled_at
            FROM range({rows}) AS rows (row) ORDER BY row
        ) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"""
    )
    assert path.stat().st_size < 10 * 1024**2
    return path


@pytest.mark.slow
@pytest.mark.parametrize("packed", [packed_rows, packed_parquet])
def test_a_small_file_of_eight_million_refused_rows_is_read_and_checked_in_half_a_gibibyte(
    tmp_path: Path, packed: Callable[[Path, int], Path]
) -> None:
    home = make_home(tmp_path)
    rows = 8_000_000
    path = packed(home, rows)
    done = subprocess.run([sys.executable, "-c", CHECK, home, path], capture_output=True, text=True, check=True)
    refused, grown_bytes = map(int, done.stdout.split())
    print(f"{grown_bytes / 1024**2:.0f} MiB")
    assert refused == rows
    assert grown_bytes < 0.5 * GIB


@pytest.mark.slow
def test_a_small_file_that_unpacks_three_hundredfold_is_refused_row_by_row_in_bounded_memory(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    rows = 4_000_000
    packed_rows(home, rows)
    # Most of it is DuckDB's own, which holds what is refused until it counts, within its limit.
    assert peak_bytes(home) < 1.5 * GIB
    assert counts(home) == [(rows, 0, 0, 0, rows)]


@pytest.mark.slow
def test_a_day_of_three_thousand_gpus_in_one_answer_lands_in_bounded_memory(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    gpus, minutes, first = 3000, 1440, 1798722000  # the first minute of 1 January 2027 in Sydney
    with drop(home, "gpu_telemetry", "answer.json", "").open("w") as file:
        file.write('{"status":"success","data":{"resultType":"matrix","result":[')
        for metric in ("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_POWER_USAGE"):
            for gpu in range(gpus):
                labels = f'"__name__":"{metric}","UUID":"GPU-{gpu:08d}-41c2-8f0a","Hostname":"a-{gpu // 8}","modelName":"GB300"'
                points = ",".join(f'[{first + 60 * n},"{(gpu + n) % 101}"]' for n in range(minutes))
                is_last = metric.endswith("USAGE") and gpu == gpus - 1
                file.write(f'{{"metric":{{{labels}}},"values":[{points}]}}{"" if is_last else ","}')
        file.write("]}}")
    assert (home / "landing" / PARK_ID / "gpu_telemetry" / "answer.json").stat().st_size > 140 * 1024**2
    # Its cells stay in memory, near the most that may: a larger one takes less.
    assert peak_bytes(home) < 2.5 * GIB
    assert counts(home) == [(gpus * minutes, gpus * minutes, 0, 0, 0)]


@pytest.mark.slow
def test_years_of_five_minutes_in_one_feed_land_in_bounded_memory(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    readings, first = 500_000, 1640995200  # 2022, in UTC
    espi = 'xmlns="http://naesb.org/espi"'
    with drop(home, "power_meter", "feed.xml", "").open("w") as file:
        file.write(
            '<feed xmlns="http://www.w3.org/2005/Atom"><entry><link rel="self" href="U/UsagePoint/1"/><content>'
            f'<UsagePoint {espi}/></content></entry><entry><link rel="self" href="R/ReadingType/1"/><content>'
            f"<ReadingType {espi}><powerOfTenMultiplier>0</powerOfTenMultiplier><uom>72</uom></ReadingType>"
            f"</content></entry><entry><content><IntervalBlock {espi}>"
        )
        for n in range(readings):
            file.write(
                "<IntervalReading><ReadingQuality><quality>17</quality></ReadingQuality><timePeriod><duration>300</duration>"
                f"<start>{first + 300 * n}</start></timePeriod><value>{n % 1000}</value></IntervalReading>\n"
            )
        file.write("</IntervalBlock></content><updated>2027-01-01T00:00:00Z</updated></entry></feed>")
    assert (home / "landing" / PARK_ID / "power_meter" / "feed.xml").stat().st_size > 80 * 1024**2
    assert peak_bytes(home) < 1.5 * GIB
    assert counts(home) == [(readings, readings, 0, 0, 0)]


def test_an_answer_that_goes_over_the_disk_leaves_nothing_outside_the_home_and_nothing_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 0)
    monkeypatch.setattr("ingest.formats.gpu_metrics.POINTS_AT_ONCE", 3)
    made: list[str] = []
    temporary = tempfile.TemporaryDirectory

    def noted(*, prefix: str, dir: Path | None) -> tempfile.TemporaryDirectory[str]:  # noqa: A002
        folder = temporary(prefix=prefix, dir=dir)
        made.append(folder.name)
        return folder

    monkeypatch.setattr(tempfile, "TemporaryDirectory", noted)
    home = make_home(tmp_path)
    points = ",".join(f'[{1798722000 + 60 * n},"{n}"]' for n in range(20))
    labels = '"__name__":"DCGM_FI_DEV_GPU_UTIL","UUID":"GPU-1","Hostname":"a-1","modelName":"GB300"'
    drop(home, "gpu_telemetry", "answer.json", f'[{{"metric":{{{labels}}},"values":[{points}]}}]')
    (file,) = Books(home).land()
    assert file.landed_count == 20
    assert len(made) >= 3
    assert {Path(name).parent for name in made} == {home / "lake" / ".writing"}
    assert not any(Path(name).exists() for name in made)
