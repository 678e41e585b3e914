"""Errors of this package as Dagster failures, and what is read back from failed steps.

Belongs here: the translation around the body of every asset and op, the tags it sets. Not here: alerts (`sensors.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import dagster as dg

from lms_pipeline.defs.account_failures import AccountsFailedError
from lms_pipeline.defs.run_locks import hold_run_lock
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.tables.pulled import PULLED_TABLES

SHELL_TAG = "lms_pipeline/shell"
"""Tag of runs that a command started and waits for: host and id of its process, for people. Dagster retries none."""
NO_ALERT_TAG = "lms_pipeline/no_alert"
"""Tag of runs that could only fail, because their day is closed: no alert is sent."""
CONTINUES_AT_TAG = "lms_pipeline/continues_at"
"""Tag of runs that ended without a snapshot, since their LMS allows no call for a while: when another run continues, in UTC."""
RETRY_ON_FAILURE_TAG = "dagster/retry_on_asset_or_op_failure"
"""Dagster's tag that overrides the instance's retry setting for one run."""
MAX_RETRIES_TAG = "dagster/max_retries"
"""Dagster's tag with the maximum number of retries of one run."""
WILL_RETRY_TAG = "dagster/will_retry"
"""Dagster's tag on a failed run that says whether another run replaces it."""
RETRY_NUMBER_TAG = "dagster/retry_number"
"""Dagster's tag on a run that replaces a failed one by itself; a run that a person repeats has none."""
RESUME_TAG = "dagster/is_resume_retry"
"""Dagster's tag on a run that continues a failed one from its failure."""
NAMES_ACCOUNTS = "names_accounts"
"""Metadata of the failure of a run whose accounts were all tried: each that failed has an event of its own."""

IN_PROCESS_EXECUTORS = {dg.in_process_executor.name, "execute_in_process_executor"}
"""Executors with which the process of a step is that of its run; the second is Dagster's name for `execute_in_process`."""


class StaleDaysError(LmsPipelineError):
    """Days over all accounts could not be computed; the others were, and the warehouse was built."""

    def __init__(self, portfolio: Sequence[LmsPipelineError], roll_ups: Sequence[LmsPipelineError]) -> None:
        errors = [*portfolio, *roll_ups]
        super().__init__(f"The {'portfolio is' if portfolio else 'roll-ups are'} not up to date: {errors[0]}")
        self.may_pass = any(error.may_pass for error in errors)
        """Whether a retry may compute one of them."""


@contextmanager
def convert_errors(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext,
) -> Iterator[None]:
    """Fail the step with the sentence of an error of this package; let Dagster retry the run if the error is transient.

    The retry is a new run at the end of the queue. A step that waits for its own retry would keep the run's slot, six
    minutes each in a fleet, and its error would say "Exceeded max_retries" before the cause.

    The process holds the lock of the run from here on, unless each step has a process of its own.

    Raises:
        dagster.Failure: for every `LmsPipelineError` of the block, with its message.
    """
    try:
        if context.job_def.executor_def.name in IN_PROCESS_EXECUTORS:
            hold_run_lock(context.instance, context.run.run_id)
        yield
    except LmsPipelineError as error:
        tags = {RETRY_ON_FAILURE_TAG: str(error.may_pass).lower()}
        if not error.sends_alert:
            tags[NO_ALERT_TAG] = "true"
        context.instance.add_run_tags(context.run.run_id, tags)
        context.log.error("%s", error)  # noqa: TRY400 - the sentence is enough, Dagster adds the traceback
        names_accounts = {NAMES_ACCOUNTS: True} if isinstance(error, AccountsFailedError) else {}
        raise dg.Failure(str(error), metadata=names_accounts, allow_retries=False) from None


def find_interrupted_runs(context: dg.AssetExecutionContext) -> frozenset[str]:
    """Return the runs of one account that the current run repeats, and whose pull it does not repeat.

    These are runs whose process died before Dagster recorded what they pulled. Where a person repeats a run that recorded
    it, the person wants a new pull; where a retry, or a person, continues a run from its failure, the pull is not what
    failed.
    """
    found: set[str] = set()
    for run, child in find_failed_ancestors(context):
        if RESUME_TAG not in child.tags and _has_recorded_a_table(context.instance, run.run_id):
            break
        found.add(run.run_id)
    return frozenset(found)


def find_failed_ancestors(context: dg.AssetExecutionContext) -> Iterator[tuple[dg.DagsterRun, dg.DagsterRun]]:
    """Yield the failed runs that the current run repeats, the latest first, each with the run that repeats it."""
    child = context.run
    while child.parent_run_id:
        run = context.instance.get_run_by_id(child.parent_run_id)
        if run is None or run.status is not dg.DagsterRunStatus.FAILURE:
            return
        yield run, child
        child = run


def _has_recorded_a_table(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Return whether Dagster recorded a pulled table of a run: a pull reports all of them at its end."""
    pulled = {dg.AssetKey(table.name) for table in PULLED_TABLES}
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    return any(entry.get_dagster_event().asset_key in pulled for entry in entries)


def has_tried_all_accounts(events: Iterable[dg.DagsterEvent]) -> bool:
    """Return whether a run of several accounts failed at its end, because of accounts of which each has an event."""
    failures = [event.step_failure_data.user_failure_data for event in events if event.is_step_failure]
    return any(failure is not None and NAMES_ACCOUNTS in failure.metadata for failure in failures)


def describe_failure(events: Iterable[dg.DagsterEvent], *, with_error_text: bool) -> str:
    """Return why a run failed, from its events: the sentence of our error, else what is known of another exception.

    Without `with_error_text` another exception is named by its class only: its message may hold personal data.
    """
    for event in events:
        if not event.is_step_failure:
            continue
        failure = event.step_failure_data
        if failure.user_failure_data is not None and failure.user_failure_data.description:
            return failure.user_failure_data.description
        if failure.error is not None:
            error = failure.error.cause or failure.error
            if with_error_text:
                return error.message.strip().splitlines()[0]
            return f"an unexpected {error.cls_name}: see the run's log in the UI."
    return "no step of the run reports an error: its process was probably killed, or could not start; see its log in the UI."
