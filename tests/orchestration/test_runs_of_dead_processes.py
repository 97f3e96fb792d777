"""Runs of the command line that are alive are let alone, and those that were killed hold nobody up."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.test_utils import create_run_for_test

from orchestration.assets.raw import WAREHOUSE_POOL
from orchestration.launching import HomeRunLauncher, process_tag
from orchestration.resources import Warehouse
from orchestration.run import prepare_instance
from orchestration.settings import Settings


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    folder = prepare_instance(Settings(home=tmp_path / "home"))
    with dg.DagsterInstance.from_config(str(folder)) as made:
        yield made


def test_a_run_by_hand_is_well_while_its_process_lives_and_failed_once_it_is_gone(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_launcher, HomeRunLauncher)
    own = create_run_for_test(instance, tags=process_tag())
    assert instance.run_launcher.check_run_worker_health(own).status is WorkerStatus.RUNNING

    code = "import sys; from orchestration.launching import *; print(process_tag()[PROCESS_TAG], flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    other = create_run_for_test(instance, tags={"parkledger/process": process.stdout.readline().strip()})
    assert instance.run_launcher.check_run_worker_health(other).status is WorkerStatus.RUNNING
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert instance.run_launcher.check_run_worker_health(other).status is WorkerStatus.FAILED


def test_a_process_that_has_got_the_number_of_a_dead_one_is_not_taken_for_it(instance: dg.DagsterInstance) -> None:
    host, _, started = process_tag()["parkledger/process"].rsplit(":", 2)
    reused = create_run_for_test(instance, tags={"parkledger/process": f"{host}:{os.getpid()}:{int(started) - 1}"})
    assert instance.run_launcher.check_run_worker_health(reused).status is WorkerStatus.FAILED


def test_a_place_in_the_pool_that_a_killed_run_held_is_given_back_and_the_own_one_is_kept(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    log = instance.event_log_storage
    log.initialize_concurrency_limit_to_default(WAREHOUSE_POOL)
    assert log.claim_concurrency_slot(WAREHOUSE_POOL, "killed", "a step").is_claimed
    assert not log.claim_concurrency_slot(WAREHOUSE_POOL, "next", "a step").is_claimed

    @dg.asset(pool=WAREHOUSE_POOL)
    def table(warehouse: Warehouse) -> None:
        pass

    warehouse = Warehouse(path=str(tmp_path / "home" / "warehouse.duckdb"))
    # Without it this waits for ever.
    assert dg.materialize([table], instance=instance, resources={"warehouse": warehouse}).success
    assert log.get_concurrency_run_ids() == set()
