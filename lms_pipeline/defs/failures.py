"""How our errors become Dagster's.

What belongs here: one translation, used around the body of every asset and op.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from lms_pipeline.days import DayNotOpenError
from lms_pipeline.errors import LmsPipelineError

FROM_A_SHELL = "lms_pipeline/shell"
"""A tag of runs for which somebody waits: host and number of the process that makes them."""
NO_ALERT = "lms_pipeline/no_alert"
"""A tag of runs that had to fail, since their day is over: nobody needs to be told."""
TRY_AGAIN = "dagster/retry_on_asset_or_op_failure"
"""Dagster's tag that decides for one run, whatever its instance does with others."""
MAX_RETRIES = "dagster/max_retries"
"""Dagster's tag that says how often one run is tried again at most."""
TRIED_AGAIN = "dagster/will_retry"
"""The tag by which Dagster says that another run takes a failed one's place."""


@contextmanager
def as_dagster_failure(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext,
) -> Iterator[None]:
    """An error of ours fails the run with its sentence, the first line of its trouble; what may pass is tried again.

    By a run of its own, behind those that wait in the queue: a step that waits for its next try keeps its run's place
    among those that run at once, six minutes each in a fleet, and its error says "Exceeded max_retries" before the cause.
    """
    try:
        yield
    except LmsPipelineError as error:
        from lms_pipeline.truto.errors import TransientError

        tags = {TRY_AGAIN: str(isinstance(error, TransientError)).lower()}
        if isinstance(error, DayNotOpenError):
            tags[NO_ALERT] = "true"
        context.instance.add_run_tags(context.run.run_id, tags)
        context.log.error("%s", error)  # noqa: TRY400 - the sentence is the cause, Dagster adds where it was raised
        raise dg.Failure(str(error), allow_retries=False) from None
