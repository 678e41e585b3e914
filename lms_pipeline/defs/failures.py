"""How our errors become Dagster's.

What belongs here: one translation, used around the body of every asset.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from lms_pipeline.errors import LmsPipelineError


@contextmanager
def told_to_people() -> Iterator[None]:
    """An error of ours fails the run with its sentence; only what may pass is worth a retry."""
    try:
        yield
    except LmsPipelineError as error:
        from lms_pipeline.truto.errors import TransientError

        raise dg.Failure(str(error), allow_retries=isinstance(error, TransientError)) from error
