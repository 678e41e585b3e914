"""Copies of a checkpoint in the store: with them another machine continues a pull whose machine is gone.

Belongs here: when a copy is sent. Not here: where it is stored (`lake/pull_files.py`), the checkpoint itself
(`checkpoint_file.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock
from typing import Self

from lms_pipeline.concurrency import delay_sigterm, run_beside
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.extract.checkpoint_file import CheckpointFile, DamagedCheckpointError
from lms_pipeline.lake.pull_files import CheckpointPlace
from lms_pipeline.storage.damaged_files import set_aside
from lms_pipeline.storage.disk import measure_size

DEFAULT_INTERVAL_SECONDS = 30.0
"""Seconds from the begin of a copy to the end of the next one: the calls of this time are repeated after a machine is lost."""
LARGE_BYTES = 256 * 2**20
MIN_LARGE_INTERVAL_SECONDS = 300.0
"""The same for a checkpoint of `LARGE_BYTES` or more."""

log = logging.getLogger(__name__)


class CheckpointCopies:
    """The copies of one checkpoint. The caller holds the partition's lock, and uses it as a context manager.

    The checkpoint is fetched at the start, and removed from this machine at the end if the store has all of it. With a store
    on the disk there is no copy and no thread.

    Args:
        place: where it is.
        check_lock: raises an error of ours if the partition's lock is lost: then another run sends its own copies.
        seconds: the interval of the copies while a pull writes.
    """

    def __init__(
        self, place: CheckpointPlace, check_lock: Callable[[], None], seconds: float = DEFAULT_INTERVAL_SECONDS
    ) -> None:
        self._place = place
        self._check_lock = check_lock
        self._seconds = seconds
        self._sending = Lock()
        self._checkpoint: CheckpointFile | None = None
        self._sent_changes: int | None = None
        self._is_stored = False

    def __enter__(self) -> Self:
        """Fetch the checkpoint, unless this machine has a later state of it.

        Raises:
            StoreError: the store can't be used.
            LakeError: the local file can't be written.
        """
        self._is_stored = self._place.fetch()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_stored:
            with suppress(OSError):  # the next run replaces it
                self._place.remove_local()

    def fetch_again(self) -> bool:
        """Fetch the checkpoint once more, whose local file was damaged; return whether the store has one.

        Raises:
            StoreError, LakeError: as when the block began.
        """
        self._is_stored = self._place.fetch()
        return self._is_stored and self._place.path.exists()

    @contextmanager
    def naming_damage(self) -> Iterator[None]:
        """Name the object if the block finds its copy damaged. Another local file is set aside, so that the next run fetches.

        Raises:
            DamagedCheckpointError: the copy is damaged.
            StoreError: the store can't be used.
            OSError: the file can't be renamed.
        """
        place, is_fetched = self._place, self._is_stored
        try:
            yield
        except DamagedCheckpointError as error:
            if place.data.store.find(place.key) is None or place.data.store.is_local:
                raise
            self._is_stored = is_fetched
            address, reason = place.data.store.describe(place.key), error.__context__ or error
            if is_fetched:
                todo = "restore an earlier version of the object; housekeeping removes it after `answer_days`"
                raise DamagedCheckpointError(f"The responses in {address} are damaged ({reason}): {todo}.") from None
            set_aside(place.path, reason, "the next run fetches the stored responses")
            raise DamagedCheckpointError(
                f"The responses in {place.path} are damaged ({reason}), and are set aside: run it again, which fetches those in "
                f"{address}."
            ) from None

    @contextmanager
    def follow(self, checkpoint: CheckpointFile) -> Iterator[None]:
        """Send copies while the block writes the checkpoint, and one at its end, also if it raises.

        That the last one can't be sent is logged: what the block did is done.
        """
        if self._place.data.store.is_local:
            yield
            return
        self._checkpoint = checkpoint
        self._sent_changes = checkpoint.count_changes() if self._is_stored else None
        self._is_stored = False
        try:
            with run_beside(self._send_until, "checkpoint copies"):
                yield
        except DamagedCheckpointError:  # the copy in the store is better
            raise
        except BaseException:
            with delay_sigterm():
                self._is_stored = self._try_to_send("another machine would repeat the calls since the last copy")
            raise
        with delay_sigterm():
            self._is_stored = self._try_to_send(
                "another pull of the day elsewhere may repeat the calls since the last copy"
            )

    def prepare_publishing(self) -> None:
        """Send what is new, so that no call is made again from here on; then look whether the lock is still held.

        Raises:
            LmsPipelineError: the lock is lost.
            StoreError: the store can't be used.
            CheckpointError, LakeError: the copy can't be made.
        """
        self._send()
        self._check_lock()

    def _send(self) -> None:
        """Send a copy if something has changed since the last one."""
        if self._checkpoint is None:
            return
        with self._sending:
            if not self._place.path.exists():  # it was given up on a full disk
                self._check_lock()
                self._place.data.store.remove(self._place.key)
                return
            changes = self._checkpoint.count_changes()
            if changes == self._sent_changes:
                return
            self._check_lock()
            with self._place.sending() as copy:
                self._checkpoint.copy_to(copy)
            self._sent_changes = changes

    def _send_until(self, ended: Event) -> None:
        lasted = 0.0
        while not ended.wait(self._find_wait(lasted)):
            started = time.monotonic()
            self._try_to_send("it is tried again")
            lasted = time.monotonic() - started

    def _find_wait(self, lasted: float) -> float:
        """Return the seconds until the next copy begins, so that it ends one interval after the last one began.

        A copy has the responses from before it began: those of one interval are lost at most, if a copy takes a quarter of it or
        less. `lasted` is how long the last one took. Copies take half of the time at most.
        """
        is_large = measure_size(self._place.path) >= LARGE_BYTES
        interval = max(self._seconds, MIN_LARGE_INTERVAL_SECONDS) if is_large else self._seconds
        return max(interval - 2 * lasted, lasted, interval / 2)

    def _try_to_send(self, consequence: str) -> bool:
        """Send a copy, and return whether the store has all responses; an error is logged."""
        try:
            self._send()
        except LmsPipelineError as error:
            place = self._place.data.store.describe(self._place.key)
            log.warning("The stored responses are not copied to %s, and %s. %s", place, consequence, error)
            return False
        return True
