"""Pulls that stopped at a bound or for lack of space: what they leave for the next try, which must not do the same.

Belongs here: the file in which such a pull says why. Not here: the bounds (`extract/volume.py`, `truto/list_bounds.py`),
and the free space (`space.py`).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import msgspec

from lms_pipeline.damaged_files import set_aside_folder
from lms_pipeline.lake.disk import atomic_write, convert_disk_errors
from lms_pipeline.lake.paths import BadIdError, DataDir, Partition, parse_folder

FILE_NAME = "stopped.json"
TRY_AGAIN_AFTER = timedelta(hours=6)
"""Time after which a pull that stopped at a bound begins again: as long as one may last by default (`max_hours`). The
hourly runs of failed days would fetch the same endless list each time."""


class StoppedPull(msgspec.Struct, frozen=True, kw_only=True):
    """A pull whose responses were removed. Times are those of the machine's clock, whatever LMS_NOW is."""

    account_id: str
    day: date
    at: datetime
    """When it stopped."""
    reason: str
    """The sentence of its error."""
    needed_bytes: int = 0
    """Free space with which the next try may end otherwise; 0 if space was not what it lacked."""
    bounds: tuple[float, int] = (0, 0)
    """`max_gigabytes` and `max_records` of the account at that time."""

    @property
    def partition(self) -> Partition:
        """Account and day."""
        return Partition(self.account_id, self.day)

    @property
    def begins_again_at(self) -> datetime:
        """When a pull that stopped at a bound may begin again."""
        return self.at + TRY_AGAIN_AFTER

    def forbids(self, bounds: tuple[float, int], now: datetime) -> bool:
        """Return whether another try would stop at the same bound; other bounds are tried at once."""
        is_early = self.at <= now < self.begins_again_at
        return not self.needed_bytes and self.bounds == bounds and is_early


def save_stopped(data: DataDir, pull: StoppedPull) -> None:
    """Store why a pull stopped. The caller holds the partition's lock.

    Raises:
        LakeError: the file can't be written.
    """
    path = _build_path(data, pull.partition)
    with convert_disk_errors(path):
        set_aside_folder(path, "the reason is stored again")
    with convert_disk_errors(path), atomic_write(path) as new:
        new.write_bytes(msgspec.json.encode(pull))


def read_stopped(data: DataDir, partition: Partition) -> StoppedPull | None:
    """Return why the latest pull of a partition stopped; None if it did not, or the file is damaged."""
    return _read(_build_path(data, partition))


def forget_stopped(data: DataDir, partition: Partition) -> None:
    """Remove what an earlier pull stored. The caller holds the partition's lock.

    Raises:
        LakeError: the file can't be removed.
    """
    path = _build_path(data, partition)
    with convert_disk_errors(path):
        set_aside_folder(path, "the pull begins again at once")
        path.unlink(missing_ok=True)


def find_stopped(data: DataDir) -> list[StoppedPull]:
    """Return the stopped pulls by account and day, as far as housekeeping has not removed their folders."""
    found = []
    for path in sorted(data.pulls.glob(f"*/*/{FILE_NAME}")):
        pull, partition = _read(path), parse_folder(path.parent.relative_to(data.pulls))
        if pull is not None and pull.partition == partition:
            found.append(pull)
    return found


def _build_path(data: DataDir, partition: Partition) -> Path:
    return data.pull_folder(partition) / FILE_NAME


def _read(path: Path) -> StoppedPull | None:
    try:
        pull = msgspec.json.decode(path.read_bytes(), type=StoppedPull)
        Partition(pull.account_id, pull.day)
    except (OSError, ValueError, BadIdError, msgspec.DecodeError):
        return None
    return pull if pull.at.tzinfo else None
