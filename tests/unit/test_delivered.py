"""Which Parquet files stand in the lake as they were delivered, and that it makes no difference to what they say."""

import io
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_home import Books, drop, make_home

from ingest import files

START = datetime(2027, 3, 1, tzinfo=UTC)
COLUMNS = ("gpu_id", "node_id", "gpu_model", "sampled_at", "utilization_pct", "power_w")


def frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    schema = dict.fromkeys(COLUMNS[:3], pl.String) | {
        "sampled_at": pl.Datetime("ms", "UTC"),
        "utilization_pct": pl.Float64,
        "power_w": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def samples(gpus: int = 3, minutes: int = 90) -> pl.DataFrame:
    """GPU by GPU, a sample a minute."""
    return frame(
        [
            (f"a-1/{gpu}", "a-1", "GB300", START + timedelta(minutes=minute), 50 + gpu / 8, 900.125 + minute)
            for gpu in range(gpus)
            for minute in range(minutes)
        ]
    )


def landed(folder: Path, rows: pl.DataFrame, *, as_text: bool = False) -> Books:
    books = Books(make_home(folder))
    content = io.BytesIO()
    if as_text:
        rows.with_columns(pl.col("sampled_at").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")).write_csv(content)
    else:
        rows.write_parquet(content)
    drop(books.path, "gpu_telemetry", "t.csv" if as_text else "t.parquet", content.getvalue())
    books.land()
    return books


def is_delivered(books: Books) -> bool:
    return bool(str(books.one("SELECT min(layout) FROM raw.lake_file")).startswith("telemetry_delivered_"))


# Lines count from the header in a text.
WHAT_IT_SAYS = "SELECT * EXCLUDE (file_id, line_no) FROM raw.gpu_telemetry ORDER BY ALL"


def counts(books: Books) -> list[tuple[Any, ...]]:
    return books.rows(
        "SELECT row_count, landed_count, duplicate_count, superseded_count, quarantined_count FROM raw.landed_file"
    )


@pytest.mark.parametrize("order", [("gpu_id", "sampled_at"), ("sampled_at", "gpu_id"), ("power_w", "utilization_pct")])
def test_a_clean_file_stands_in_the_lake_byte_for_byte_in_any_order_of_its_rows(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    books = landed(tmp_path, samples().sort(order))
    assert is_delivered(books)
    [path] = {str(path) for (path,) in books.rows("SELECT path FROM raw.lake_file")}
    assert (books.path / path).read_bytes() == next((books.path / "landing").rglob("t.parquet")).read_bytes()
    assert counts(books) == [(270, 270, 0, 0, 0)]


def changed(column: str, value: pl.Expr) -> pl.DataFrame:
    return samples().with_row_index("n").with_columns(
        pl.when(pl.col("n") == 100).then(value).otherwise(pl.col(column)).alias(column)
    ).drop("n")  # fmt: skip


@pytest.mark.parametrize(
    "rows",
    [
        changed("utilization_pct", pl.lit(100.001)),
        changed("utilization_pct", pl.lit(float("nan"))),
        changed("power_w", pl.lit(-0.001)),
        changed("power_w", pl.lit(4999.0)),
        changed("gpu_id", pl.lit(" a-1/1")),
        changed("gpu_id", pl.lit(None, pl.String)),
        changed("gpu_id", pl.lit("a-1/0")),
        changed("node_id", pl.lit("z-1")),
        changed("node_id", pl.lit("")),
        changed("gpu_model", pl.lit("GB300 ")),
        changed("sampled_at", pl.lit(None, pl.Datetime("ms", "UTC"))),
        changed("sampled_at", pl.lit(datetime(1999, 1, 1, tzinfo=UTC)).cast(pl.Datetime("ms", "UTC"))),
        changed("sampled_at", pl.lit(datetime(2099, 1, 1, tzinfo=UTC)).cast(pl.Datetime("ms", "UTC"))),
        samples().with_columns(energy_mj=pl.lit(5)),
        samples().with_columns(gpu_count=pl.lit(0)),
        samples().with_columns(power_w=pl.col("power_w").cast(pl.String)),
    ],
)
def test_a_file_that_is_not_clean_beyond_doubt_goes_row_by_row(tmp_path: Path, rows: pl.DataFrame) -> None:
    books = landed(tmp_path / "a", rows)
    assert not is_delivered(books)
    other = landed(tmp_path / "b", rows, as_text=True)
    assert books.rows(WHAT_IT_SAYS) == other.rows(WHAT_IT_SAYS)


def test_writing_over_a_delivered_file_does_not_change_what_has_landed(tmp_path: Path) -> None:
    books = landed(tmp_path, samples())
    before = books.rows(WHAT_IT_SAYS)
    target = next((books.path / "landing").rglob("t.parquet"))
    with target.open("r+b") as file:
        file.truncate(0)
    assert books.rows(WHAT_IT_SAYS) == before


def test_a_file_that_changes_while_it_is_examined_is_left_for_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = Books(make_home(tmp_path))
    target = drop(books.path, "gpu_telemetry", "t.parquet", b"")
    samples().write_parquet(target)
    hashed = files.content_hash

    def and_then_change(path: Path) -> str:
        found = hashed(path)
        samples(gpus=2).write_parquet(path)
        return found

    with monkeypatch.context() as busy:
        busy.setattr(files, "content_hash", and_then_change)
        books.land()
    assert books.rows("SELECT count(*) FROM raw.gpu_telemetry") == [(0,)]
    books.land()
    assert counts(books) == [(180, 180, 0, 0, 0)]


rows_of_a_file = st.lists(
    st.tuples(
        st.sampled_from(["a-1/0", "a-1/1", "a-2/0"]),
        st.sampled_from(["a-1", "a-2"]),
        st.just("GB300"),
        st.integers(0, 200).map(lambda minute: START + timedelta(minutes=minute)),
        st.one_of(st.none(), st.floats(0, 100, allow_nan=False).map(lambda value: round(value, 4))),
        st.one_of(st.none(), st.floats(0, 1400, allow_nan=False).map(lambda value: round(value, 7))),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=rows_of_a_file)
def test_parquet_and_its_text_leave_the_same_rows_and_counts(rows: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        typed = landed(Path(folder) / "a", frame(rows))
        text = landed(Path(folder) / "b", frame(rows), as_text=True)
        keys = {(row[0], row[3]) for row in rows}
        assert is_delivered(typed) == (len(keys) == len(rows))
        assert typed.rows(WHAT_IT_SAYS) == text.rows(WHAT_IT_SAYS)
        assert counts(typed) == counts(text)
