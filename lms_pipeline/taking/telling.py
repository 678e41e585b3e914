"""What a plan costs, in words.

What belongs here: the sentence that is told before the first call of a plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from lms_pipeline.extract.budget import Limits
from lms_pipeline.extract.plan import Kind
from lms_pipeline.snapshot.job import Order


def plan_told(order: Order, strategy: str, kinds: Mapping[Kind, int], calls: int) -> str:
    """As `12,000 enrollments of acme by roster: 240 new, 11,760 carried over: 240 calls, about 53 s.`, for one."""
    words: dict[Kind, str] = {
        "new": "new",
        "changed": "changed",
        "rotation": "again in turn",
        "carried": "carried over",
    }
    counts = Counter(kinds)
    parts = [f"{counts[kind]:,} {word}" for kind, word in words.items() if counts[kind]]
    found = f"{counts.total():,} enrollments of {order.account_id} by {strategy}"
    return f"{found}{': ' if parts else ''}{', '.join(parts)}: {calls_told(calls, order.limits, order.options.workers)}."


def calls_told(calls: int, limits: Limits, workers: int) -> str:
    """As `1,920 calls, about 7 min at 2,000 an hour`; where it may not cost as many, for how many that holds."""
    pace = f" at {limits.per_hour:,} an hour" if limits.per_hour else ""
    most = calls if limits.per_snapshot is None else min(calls, limits.per_snapshot)
    allowed = "" if most == calls else f", of which it may cost {most:,}"
    return f"{calls:,} calls{allowed}, about {duration(limits.seconds_for(most, workers))}{pace}"


def duration(seconds: float) -> str:
    """As `40 s`, `7 min` or `5.2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
