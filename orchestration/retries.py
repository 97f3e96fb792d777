"""Which runs are tried again: those that may go better the next time.

A crash, a full disk or a tool that could not start may pass. Bad terms, a failed check or a closed month with other
figures will not; trying again would only say so three times.
"""

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.storage.tags import (
    MAX_RETRIES_TAG,
    RETRY_ON_ASSET_OR_OP_FAILURE_TAG,
    RETRY_STRATEGY_TAG,
)

from ingest.reference import ReferenceDataError
from ingest.terms.errors import TermsError
from orchestration.assets.close import ClosedMonthChangedError
from orchestration.polars_jobs.errors import CreditInputError

# Of runs that nobody waits for. All steps are run again: a run is whole, and what has landed is not landed twice.
RETRIED = {MAX_RETRIES_TAG: "2", RETRY_STRATEGY_TAG: "ALL_STEPS"}
FINAL = (
    DagsterAssetCheckFailedError,
    ClosedMonthChangedError,
    CreditInputError,
    LookupError,
    ReferenceDataError,
    TermsError,
)


@dg.failure_hook(name="no_retry_of_what_would_fail_again")
def no_retry_of_what_would_fail_again(context: dg.HookContext) -> None:
    """Marks a run that failed over its input, so that the daemon leaves it."""
    if isinstance(context.op_exception, FINAL):
        context.instance.add_run_tags(context.run_id, {RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "false"})


def reason_of(event: dg.DagsterEvent) -> str:
    """Why a step failed: the message of the error that began it, without Dagster's words around it."""
    error = event.step_failure_data.error
    if error is None:
        return event.message or ""
    while error.cause is not None:
        error = error.cause
    return error.message.strip()
