"""Waits that are too long for a run: the pull ends, keeps its responses, and continues in a later run.

Belongs here: the error that ends such a pull. Not here: who waits (`retry.py`, `extract/budget.py`), and what starts the pull
again (`snapshot/run.py`, `defs/`).
"""

from __future__ import annotations

from datetime import date, datetime

from lms_pipeline.errors import LmsPipelineError, format_count

MAX_HELD_WAIT_SECONDS = 60.0
"""Longest wait within a run: a run that waits keeps one of the few places of the queue, and others starve."""
MAX_WAIT_SECONDS = 7 * 86_400.0
"""Longest wait that is kept in numbers: any day has closed by then."""


class ContinuesLaterError(LmsPipelineError):
    """No call is allowed for longer than a run may wait; the responses so far are stored."""

    def __init__(self, subject: str, seconds: float) -> None:
        self.subject = subject
        """What allows no call, as the beginning of a sentence."""
        self.seconds = min(seconds, MAX_WAIT_SECONDS)
        """Time until the next call is allowed."""
        minutes = format_count(round(self.seconds / 60), "minute")
        super().__init__(f"{subject} allows the next call in {minutes}: run it again then.")


class WaitTooLongError(LmsPipelineError):
    """No call is allowed before the day closes."""

    def __init__(self, error: ContinuesLaterError, day: date, closes_at: datetime) -> None:
        super().__init__(
            f"{error.subject} allows the next call in {error.seconds / 3_600:.1f} hours, after {day} closes at "
            f"{closes_at:%Y-%m-%d %H:%M} UTC: find out who uses up the calls of this LMS; its next day is pulled as usual."
        )
