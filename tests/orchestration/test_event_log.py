"""Dagster's event log in batches says what it says one event at a time."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from orchestration.event_log import EVENT_BATCH_SIZE
from orchestration.partitions import RANGE_END_TAG, RANGE_START_TAG
from orchestration.run import INSTANCE_CONFIG, SQLITE_STORAGE

DAYS = dg.StaticPartitionsDefinition([f"day-{n:02}" for n in range(30)])
FEED = dg.AssetKey("feed")


@dg.asset(key=FEED, partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run(), code_version="1")
def feed() -> dg.MaterializeResult[None]:
    """Rows of many days in one run."""
    return dg.MaterializeResult(metadata={"rows": 7})


@contextmanager
def _instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    folder.mkdir()
    (folder / "dagster.yaml").write_text(
        INSTANCE_CONFIG.format(storage=SQLITE_STORAGE.format(history=folder / "history")), encoding="utf-8"
    )
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


def _told(folder: Path) -> dict[str, object]:
    tags = {RANGE_START_TAG: "day-00", RANGE_END_TAG: "day-29"}
    with _instance(folder) as instance:
        for _ in range(2):
            assert dg.materialize([feed], instance=instance, tags=tags).success
        records = instance.fetch_materializations(FEED, limit=100).records
        latest = instance.get_latest_materialization_event(FEED)
        assert latest is not None
        assert latest.asset_materialization is not None
        run_events = instance.all_logs(records[0].run_id)
    return {
        "partitions": [record.partition_key for record in records],
        "latest": latest.asset_materialization.partition,
        "metadata": {r.asset_materialization.metadata["rows"].value for r in records if r.asset_materialization},
        "tags": {key for r in records if r.asset_materialization for key in r.asset_materialization.tags or {}},
        "events of the run": sorted(e.dagster_event_type.value for e in run_events if e.dagster_event_type),
    }


def test_a_batch_of_materialisations_is_stored_as_if_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "0")
    one_by_one = _told(tmp_path / "single")
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", str(EVENT_BATCH_SIZE))
    batched = _told(tmp_path / "batched")
    assert batched == one_by_one
    partitions = one_by_one["partitions"]
    assert isinstance(partitions, list)
    assert Counter(partitions) == dict.fromkeys(DAYS.get_partition_keys(), 2)
    assert one_by_one["latest"] == partitions[0]
