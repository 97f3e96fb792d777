"""What dbt-duckdb loads beside its connection, so that dbt never outlives the run that has started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

PR_SET_PDEATHSIG = 1  # prctl(2)


class Plugin(BasePlugin):
    """Has the kernel end dbt with the run named in the environment; does nothing where none is, or none but Linux could."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:  # noqa: ARG002
        """Before the working database is opened: a dbt that starts after its run was killed would write into the next one's.

        Raises:
            DbtRuntimeError: the run has ended already.
        """
        run = os.environ.get("PARKLEDGER_RUN_PROCESS")
        if run is None or sys.platform != "linux":
            return
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(run):  # it was killed before it could take this process with it
            raise DbtRuntimeError(f"the run that has started this dbt, process {run}, has ended")
