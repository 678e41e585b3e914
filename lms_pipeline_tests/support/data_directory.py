"""A data directory with items of all ages, for the tests of retention.

Belongs here: writing files of a given size and age, and describing what was found.
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from lms_pipeline.housekeeping.policy import ExpiredItem
from lms_pipeline.lake.paths import DataDir, Partition

TODAY = date(2026, 3, 31)
RECENT, OLD, OLDER = date(2026, 3, 30), date(2026, 2, 28), date(2026, 2, 27)
"""A day within thirty days before today, the first day that is not, and the day before it."""


def put(path: Path, size: int = 10, *, days_ago: float = 0) -> Path:
    """Write a file of `size` bytes whose last change is `days_ago` by the clock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    age(path, days_ago)
    return path


def age(path: Path, days_ago: float) -> None:
    """Set the time of the last change."""
    then = (datetime.now(UTC) - timedelta(days=days_ago)).timestamp()
    os.utime(path, (then, then))


def put_responses(data: DataDir, account_id: str, *days: date) -> None:
    """Write responses of 100 bytes and roster fingerprints of 10 bytes for each day."""
    for day in days:
        put(data.checkpoint_path(Partition(account_id, day)), 100)
        put(data.fingerprints_path(Partition(account_id, day)), 10)


def describe(data: DataDir, items: list[ExpiredItem]) -> list[tuple[str, str, int]]:
    """Return kind, path relative to the data directory, and bytes of each item."""
    return [(item.kind, str(item.path.relative_to(data.root)), item.bytes) for item in items]
