"""The lock of a partition: one pull of an account and day at a time.

Belongs here: the lock of the state, which ends with its process, and the pull's scratch folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.storage.damaged_files import remove_path
from lms_pipeline.storage.disk import convert_disk_errors, read_changed_at
from lms_pipeline.storage.file_state import LOCK
from lms_pipeline.storage.state import HeldError, HeldLock

SCRATCH = "waiting"
"""The name of the scratch folder in a pull's folder."""
ABANDONED_AFTER = timedelta(days=2)
"""The age from which no run uses a file, a lock or a note of a pull any more: a pull lasts a day at most (`max_hours`)."""
CHECK_SECONDS = 60.0
"""How often a pull under way looks whether it still holds its lock: without it, its calls are in vain."""


class LockedError(LmsPipelineError):
    """Another run pulls the same account and day."""


@dataclass(frozen=True, slots=True)
class PartitionLock:
    """The lock of a partition while it is held."""

    scratch: Path
    """The path of an empty folder that does not exist yet; it is removed at the end."""
    held: HeldLock

    def check(self) -> None:
        """Return if the lock is still held.

        Raises:
            LostLockError: it is lost, so nothing may be published.
        """
        self.held.check()

    def check_at_times(self) -> None:
        """Return if the lock was still held a minute ago.

        Raises:
            LostLockError: it is lost.
        """
        self.held.check(CHECK_SECONDS)


@contextmanager
def partition_lock(data: DataDir, partition: Partition, run_id: str = "") -> Iterator[PartitionLock]:
    """Lock a partition for a run, which the state may name, and give it a scratch folder.

    Files that a dead process left there are removed, and so is the folder at the end.

    Raises:
        LockedError: another run holds the lock.
        LakeError, StateError: the lock can't be written.
    """
    folder = data.pull_folder(partition)
    with ExitStack() as until_end:
        try:
            held = until_end.enter_context(data.storage.state.hold(data.get_note(folder), run_id))
        except HeldError:
            raise LockedError(
                f"{partition} is being pulled by another run: wait for it, or stop it, and try again."
            ) from None
        scratch = folder / SCRATCH
        until_end.callback(shutil.rmtree, scratch, ignore_errors=True)
        with convert_disk_errors(scratch):
            folder.mkdir(parents=True, exist_ok=True)
            remove_path(scratch)
        yield PartitionLock(scratch, held)


@contextmanager
def passing_lock(data: DataDir, partition: Partition) -> Iterator[PartitionLock]:
    """Lock a partition to remove something of it. At the end, the folder of a pull goes if it holds nothing but the lock.

    A run that opens the lock file at this moment finds it locked and is refused.

    Raises:
        LockedError: a run holds the lock.
        LakeError, StateError: the lock can't be written, or the folder can't be removed.
    """
    with partition_lock(data, partition) as lock:
        yield lock
        folder = data.pull_folder(partition)
        with convert_disk_errors(folder):
            if {path.name for path in folder.iterdir()} <= {LOCK, SCRATCH}:
                shutil.rmtree(folder)


def is_locked(data: DataDir, partition: Partition) -> bool:
    """Return whether a run holds the lock of a partition. A run that begins at this moment may be refused.

    Raises:
        LakeError, StateError: the lock can't be opened.
    """
    return data.storage.state.is_held(data.get_note(data.pull_folder(partition)))


def remove_folder(data: DataDir, partition: Partition, *, keep_since: datetime | None = None) -> None:
    """Remove the folder of a pull that has ended, with its lock and its notes.

    With `keep_since`, later notes stay, and a folder on the disk with one: the pull may wait, or have waited elsewhere. Old
    notes of a state in a database are removed by `State.remove_old`.

    A run that opens the lock file at this moment finds it locked and is refused.

    Raises:
        LockedError: a run holds the lock.
        LakeError, StateError: the folder, or a note of it, can't be removed.
    """
    folder = data.pull_folder(partition)
    state = data.storage.state
    with partition_lock(data, partition), convert_disk_errors(folder):
        if keep_since is None:
            for name, _ in state.find_notes(f"{data.get_note(folder)}/*.json"):
                state.remove_note(name, "it is removed")
        elif state.is_local and any(read_changed_at(note) > keep_since for note in folder.glob("*.json")):
            return
        shutil.rmtree(folder)
