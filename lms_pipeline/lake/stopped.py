"""Pulls that stopped at a bound or for lack of space: what they leave for the next try, which must not do the same.

Belongs here: the note in which such a pull says why. Not here: the bounds (`extract/volume.py`, `truto/list_bounds.py`),
and the free space (`space.py`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.pull_notes import Instant, NoteFile, PullNote

FILE_NAME = "stopped.json"
TRY_AGAIN_AFTER = timedelta(hours=6)
"""Time after which a pull that stopped at a bound begins again: as long as one may last by default (`max_hours`). The
hourly runs of failed days would fetch the same endless list each time."""


class StoppedPull(PullNote, frozen=True, kw_only=True):
    """A pull whose responses were removed. Times are those of the machine's clock, whatever LMS_NOW is."""

    at: Instant
    """When it stopped."""
    reason: str
    """The sentence of its error."""
    needed_bytes: int = 0
    """Free space with which the next try may end otherwise; 0 if space was not what it lacked."""
    bounds: tuple[float, int] = (0, 0)
    """`max_gigabytes` and `max_records` of the account at that time."""

    @property
    def begins_again_at(self) -> datetime:
        """When a pull that stopped at a bound may begin again."""
        return self.at + TRY_AGAIN_AFTER

    def forbids(self, bounds: tuple[float, int], now: datetime) -> bool:
        """Return whether another try would stop at the same bound; other bounds are tried at once."""
        is_early = self.at <= now < self.begins_again_at
        return not self.needed_bytes and self.bounds == bounds and is_early


_NOTE = NoteFile(FILE_NAME, StoppedPull)


def save_stopped(data: DataDir, pull: StoppedPull) -> None:
    """Store why a pull stopped. The caller holds the partition's lock.

    Raises:
        LakeError, StateError: the note can't be written.
    """
    _NOTE.save(data, pull)


def read_stopped(data: DataDir, partition: Partition) -> StoppedPull | None:
    """Return why the latest pull of a partition stopped; None if it did not, or the file is damaged."""
    return _NOTE.read(data, partition)


def forget_stopped(data: DataDir, partition: Partition) -> None:
    """Remove what an earlier pull stored. The caller holds the partition's lock.

    Raises:
        LakeError, StateError: the note can't be removed.
    """
    data.storage.state.remove_note(_NOTE.build_name(data, partition), "the pull begins again at once")


def find_stopped(data: DataDir) -> list[StoppedPull]:
    """Return the stopped pulls by account and day, as far as housekeeping has not removed their folders."""
    return list(_NOTE.find(data))
