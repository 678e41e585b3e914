"""How a run ended, as Dagster's side tells it and the command line prints it.

What belongs here: that one word between the two.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    subject: str
    """What it was about, for messages."""
    error: str | None
    """Why it failed; None where all was published."""
    seconds: float
    enrollments: int | None = None
    """Rows of `unified_enrollments` that were published."""
    kept: bool = False
    """The day was over and kept the snapshot it had."""
