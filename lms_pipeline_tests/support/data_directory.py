"""A data directory with things of all ages, for the tests."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from lms_pipeline.housekeeping.policy import ExpiredItem
from lms_pipeline.lake.paths import DataDir, Partition

TODAY = date(2026, 3, 31)
GAP_ALERT_DAYS, OLD, OLDER = date(2026, 3, 30), date(2026, 2, 28), date(2026, 2, 27)
"""Within thirty days of today, the first that isn't, and the one before it."""


def put(path: Path, size: int = 10, *, days_ago: float = 0) -> Path:
    """A file of so many bytes, last changed so long ago by the clock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    age(path, days_ago)
    return path


def age(path: Path, days_ago: float) -> None:
    then = (datetime.now(UTC) - timedelta(days=days_ago)).timestamp()
    os.utime(path, (then, then))


def kept(data: DataDir, account_id: str, *days: date) -> None:
    """Answers of 100 bytes and details of 10 of these days."""
    for day in days:
        put(data.answers(Partition(account_id, day)), 100)
        put(data.details(Partition(account_id, day)), 10)


def told(data: DataDir, due: list[ExpiredItem]) -> list[tuple[str, str, int]]:
    """Kind, path from the data directory, bytes."""
    return [(one.kind, str(one.path.relative_to(data.root)), one.bytes) for one in due]
