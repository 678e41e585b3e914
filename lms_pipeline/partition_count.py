"""How many partitions the accounts make: Dagster is good for so many of an asset, and no more.

What belongs here: the count, and what is said of it. The partitions themselves are `defs/partitions.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lms_pipeline.settings import Settings

MOST = 100_000
"""What Dagster advises; a tick of the schedule over 99,000 takes a second, its pages are slow first."""


@dataclass(frozen=True, slots=True)
class PartitionCount:
    """One for each account, whatever its status, and day since the first."""

    accounts: int
    settings: Settings

    @property
    def count(self) -> int:
        """How many there are."""
        latest = self.settings.calendar.latest_ended(self.settings.now())
        return self.accounts * max(0, (latest - self.settings.start_date).days + 1)

    @property
    def is_too_many(self) -> bool:
        """Whether there are more than Dagster is good for."""
        return self.count > MOST

    def __str__(self) -> str:
        """For messages."""
        if not self.is_too_many:
            return f"{self.count:,} partitions by account and day, of {MOST:,} that Dagster is good for."
        return (
            f"{self.count:,} partitions by account and day are more than the {MOST:,} that Dagster is good for: raise "
            "LMS_START_DATE, or give some accounts an installation of their own."
        )
