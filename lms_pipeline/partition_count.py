"""How many partition keys there are, against what Dagster is made for.

What belongs here: that one number, and what to do about it.
"""

from __future__ import annotations

from dataclasses import dataclass

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.settings import Settings

ADVISED = 100_000
"""Keys of an asset that Dagster advises at most: its pages and its daemon read all of them."""
NEAR = 0.8
"""The part of them from which somebody should do something."""


@dataclass(frozen=True, slots=True)
class PartitionCount:
    """Accounts times days. Accounts that are gone keep their keys."""

    accounts: int
    days: int

    @property
    def keys(self) -> int:
        """The keys of every table of accounts."""
        return self.accounts * self.days

    @property
    def is_near(self) -> bool:
        """Whether somebody should do something."""
        return self.keys > NEAR * ADVISED

    def __str__(self) -> str:
        """For messages, with what to do."""
        told = f"{self.accounts:,} accounts x {self.days:,} days are {self.keys:,} partition keys; Dagster advises {ADVISED:,} at most"
        if not self.is_near:
            return f"{told}."
        return f"{told}: set LMS_START_DATE later, or give part of the accounts an LMS_DATA_DIR of their own."


def partition_count(registry: Registry, settings: Settings) -> PartitionCount:
    """The count of this installation today."""
    days = (settings.calendar.latest_ended(settings.now()) - settings.start_date).days + 1
    return PartitionCount(len(registry.accounts()), max(0, days))
