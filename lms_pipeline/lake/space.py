"""Free space: what a pull needs before it begins, and what it leaves to others while it writes.

Belongs here: how much a pull may write. Not here: errors of the disk (`disk.py`), and what is removed when space is short
(`reclaim.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Lock

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.stopped import read_stopped
from lms_pipeline.storage.disk import format_bytes, measure_free
from lms_pipeline.tables.pulled import PULLED_TABLES

MIN_FREE_BYTES = 200_000_000
"""Free space that every pull needs, also the first one of an account, about which nothing is known."""
SPACE_FACTOR = 3
"""Free space that a pull needs, in sizes of the account's latest snapshot: it also holds plans, and rows that it writes twice. The
highest need seen was 1.6 to 2.0 sizes in sweeps of 800 to 33,000 enrollments, and 3.0 sizes by pairs."""
RESERVE_BYTES = 100_000_000
"""Free space that no pull uses: state, metrics, the warehouse and Dagster's event log are written meanwhile. A pull that
has written less than this may use what is above it, half of what every pull needs."""
MAX_UNSEEN_BYTES = 16 * 2**20
"""Bytes that a pull writes before it looks at the disk again: four pulls at once use 64 MB of the reserve at most."""

CheckSpace = Callable[[int], None]
"""Called with a number of bytes before they are written; it raises `SpaceShortError` where they don't fit."""


class SpaceShortError(LakeError):
    """A pull may not write more: the rest of the disk is for others."""


def allow_any_size(_size: int) -> None:
    """Let everything be written: a `CheckSpace` for what is small."""


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """Bytes on the disk of the data directory."""

    free: int
    ordinary: int
    """What any pull of the account needs."""
    lacked: int = 0
    """What a pull of the day needs that stopped for lack of space: with as much as before, it would stop again."""

    @property
    def needed(self) -> int:
        """What must be free for a pull to begin."""
        return max(self.ordinary, self.lacked)


def check_free_space(data: DataDir, partition: Partition) -> None:
    """Refuse a pull that would fill the disk.

    Raises:
        LakeError: the disk has too little free space, or can't be read.
    """
    found = measure_free_space(data, partition)
    if found.free < found.needed:
        raise LakeError(
            f"There is not enough free space to pull {partition}: the disk of {data.root} has {format_bytes(found.free)} "
            f"free, and the pull needs about {format_bytes(found.needed)}; free some space and run it again, no request "
            "was sent."
        )


def measure_free_space(data: DataDir, partition: Partition) -> FreeSpace:
    """Return what is free, and what a pull of an account and day needs.

    That is known from the size of the account's latest snapshot, and from a pull of the day that stopped for lack of space.

    Raises:
        LakeError: the disk can't be read.
    """
    free, stopped = measure_free(data.root), read_stopped(data, partition)
    lacked = stopped.needed_bytes if stopped else 0
    return FreeSpace(free, max(MIN_FREE_BYTES, SPACE_FACTOR * measure_latest(data, partition)), lacked)


def measure_latest(data: DataDir, partition: Partition) -> int:
    """Return the size of the account's latest snapshot, with its responses; 0 without one."""
    # a rerun leaves as much as the snapshot that it replaces: the day itself counts too
    latest = data.find_latest_snapshot(partition.account_id, before=partition.day + timedelta(days=1))
    if latest is None:
        return 0
    paths = (*(data.file(table, latest) for table in PULLED_TABLES), data.fingerprints_path(latest))
    keys = (*map(data.get_key, paths), data.checkpoint_key(latest))
    return sum(file.size for file in map(data.store.find, keys) if file is not None)


class SpaceWatch:
    """Looks at the disk while one pull writes, and stops it in time. Threads may share it.

    A pull leaves as much free space as it holds itself, and `MIN_FREE_BYTES` at least: so several pulls at once share the
    disk in equal parts, in whatever processes they are, and another account always finds room to begin. A pull that is
    no larger than its earlier snapshots let expect needs to leave the latter only.

    Args:
        root: a folder on the disk.
        subject: what is written, for people.
        measure_own: returns the bytes that it holds on the disk.
        expected_bytes: which it may hold in any case.
    """

    def __init__(self, root: Path, subject: str, measure_own: Callable[[], int], expected_bytes: int = 0) -> None:
        self._root = root
        self._subject = subject
        self._measure_own = measure_own
        self._expected_bytes = expected_bytes
        self._lock = Lock()
        self._unseen = 0
        self.held = 0
        """Bytes that it held when the disk was last looked at, with those that it was about to write."""
        self.available = 0
        """Bytes that it could have used then: its own, and the free ones."""

    def __call__(self, size: int) -> None:
        """Check that `size` bytes may be written; the disk is looked at once for `MAX_UNSEEN_BYTES`.

        Raises:
            SpaceShortError: others need the space.
            LakeError: the disk can't be read.
        """
        with self._lock:
            self._unseen += size
            if self._unseen < MAX_UNSEEN_BYTES:
                return
            self._unseen = 0
            self.measure(size)
            free = self.available - self.held
            if free >= self._find_reserve():
                return
            raise SpaceShortError(self._describe(max(0, free)))

    def measure(self, size: int = 0) -> None:
        """Measure `held` and `available`; `size` bytes are about to be written."""
        own = self._measure_own()
        self.held, self.available = own + size, own + measure_free(self._root)

    def _find_reserve(self) -> int:
        """Return the bytes that must stay free."""
        if self.held <= RESERVE_BYTES:
            return RESERVE_BYTES
        return MIN_FREE_BYTES if self.held <= self._expected_bytes else max(MIN_FREE_BYTES, self.held)

    def _describe(self, free: int) -> str:
        if self.held <= RESERVE_BYTES:
            return (
                f"{self._subject} stopped: the disk of {self._root} has only {format_bytes(free)} left, which stay free for "
                "what else is written; free some space and run it again."
            )
        return (
            f"{self._subject} stopped at {format_bytes(self.held)} of responses and rows: the {format_bytes(free)} that the "
            f"disk of {self._root} has left stay free for other accounts; free some space, or find out why this "
            "account sends so much, and run it again."
        )
