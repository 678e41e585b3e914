"""Errors of this package as Dagster failures, and what is read back from failed steps.

Belongs here: the translation around the body of every asset and op, the tags it sets. Not here: alerts (`sensors.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import dagster as dg

from lms_pipeline.days import DayNotOpenError
from lms_pipeline.defs.run_locks import hold_run_lock
from lms_pipeline.errors import LmsPipelineError

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

IN_PROCESS_EXECUTORS = {dg.in_process_executor.name, "execute_in_process_executor"}
"""Executors with which the process of a step is that of its run; the second is Dagster's name for `execute_in_process`."""


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
        from lms_pipeline.truto.errors import TransientError

        tags = {RETRY_ON_FAILURE_TAG: str(isinstance(error, TransientError)).lower()}
        if isinstance(error, DayNotOpenError):
            tags[NO_ALERT_TAG] = "true"
        context.instance.add_run_tags(context.run.run_id, tags)
        context.log.error("%s", error)  # noqa: TRY400 - the sentence is enough, Dagster adds the traceback
        raise dg.Failure(str(error), allow_retries=False) from None


def find_interrupted_runs(context: dg.AssetExecutionContext) -> frozenset[str]:
    """Return the runs that the current run repeats, whose process died during the step that runs now.

    A run of which Dagster recorded the end of the step is none of them: whoever repeats it wants the step again.
    """
    found: set[str] = set()
    parent = context.run.parent_run_id
    while parent and (run := context.instance.get_run_by_id(parent)) and run.status is dg.DagsterRunStatus.FAILURE:
        ended = context.instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS).records
        steps = {record.event_log_entry.step_key for record in ended}
        if context.op_execution_context.op_def.name in steps:
            break
        found.add(run.run_id)
        parent = run.parent_run_id
    return frozenset(found)


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
            innermost = failure.error.cause or failure.error
            if with_error_text:
                return innermost.message.strip().splitlines()[0]
            return f"an unexpected {innermost.cls_name}: see the run's log in the UI."
    return "the run failed before its first step: see its log in the UI."
