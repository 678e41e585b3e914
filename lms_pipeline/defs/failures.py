"""How our errors become Dagster's.

What belongs here: one translation, used around the body of every asset.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from lms_pipeline.days import DayNotOpenError
from lms_pipeline.errors import LmsPipelineError

RETRIES = dg.RetryPolicy(max_retries=2, delay=60, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For what may pass, after the client's own tries: a minute or so, then two."""
FROM_A_SHELL = "lms_pipeline/shell"
"""A tag of runs for which somebody waits: they are not retried."""
NO_ALERT = "lms_pipeline/no_alert"
"""A tag of runs that had to fail, since their day is over: nobody needs to be told."""


@contextmanager
def told_to_people(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Iterator[None]:
    """An error of ours fails the run with its sentence; only what may pass is retried."""
    try:
        yield
    except LmsPipelineError as error:
        from lms_pipeline.truto.errors import TransientError

        if isinstance(error, DayNotOpenError):
            context.instance.add_run_tags(context.run.run_id, {NO_ALERT: "true"})
        may_pass = isinstance(error, TransientError) and FROM_A_SHELL not in context.run.tags
        raise dg.Failure(str(error), allow_retries=may_pass) from error
