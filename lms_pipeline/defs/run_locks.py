"""The lock of a run: its process holds it until it ends, however it ends.

Belongs here: holding, probing and removing these locks. What follows from a probe is in `launching.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from threading import Lock

import dagster as dg
from filelock import FileLock

from lms_pipeline.errors import WrongUseError
from lms_pipeline.housekeeping.policy import ExpiredItem
from lms_pipeline.storage.damaged_files import build_lock, is_lock_held
from lms_pipeline.storage.disk import convert_disk_errors, measure_size

MAX_ACQUIRE_SECONDS = 10.0
"""Time for which a run waits for a probe of its lock, which takes less than a millisecond."""
BATCH_SIZE = 500
"""Runs per query."""

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_held: dict[Path, FileLock] = {}
_pinned: set[Path] = set()
"""Locks of `run_lock`, which end with its block."""
_guard = Lock()


class LockState(Enum):
    """What a probe finds."""

    HELD = "held"
    """The process of the run is alive, on this host or in any container that shares the folder."""
    FREE = "free"
    """The process of the run has ended."""
    MISSING = "missing"
    """The run has not reached our code yet, or has ended in order, or is not ours."""


def hold_run_lock(instance: dg.DagsterInstance, run_id: str) -> None:
    """Hold the lock of a run until this process ends. Calls after the first change nothing.

    A process with several runs, one after the other, releases the locks of those that have ended.

    Raises:
        LakeError: the lock can't be written.
    """
    path = _build_path(instance, run_id)
    with _guard:
        if path in _held:
            return
        for other in [one for one in _held if one.parent == path.parent and one not in _pinned]:
            run = instance.get_run_by_id(other.stem)
            if run is None or run.is_finished:
                _release(other)
        with convert_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = build_lock(path)
            lock.acquire(timeout=MAX_ACQUIRE_SECONDS)
        _held[path] = lock


@contextmanager
def run_lock(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold the lock of a run during the block, and remove it afterwards.

    Raises:
        LakeError: the lock can't be written.
    """
    path = _build_path(instance, run_id)
    _pinned.add(path)
    try:
        hold_run_lock(instance, run_id)
        yield
    finally:
        with _guard:
            _pinned.discard(path)
            if path in _held:
                _release(path)


def probe_run_lock(instance: dg.DagsterInstance, run_id: str) -> LockState:
    """Return whether a process holds the lock of a run.

    Raises:
        LakeError: the lock can't be read.
    """
    path = _build_path(instance, run_id)
    if not path.exists():
        return LockState.MISSING
    return LockState.FREE if _is_free(path) else LockState.HELD


def find_ended_run_locks(instance: dg.DagsterInstance) -> Iterator[ExpiredItem]:
    """Yield the locks of runs that have ended or were deleted, and whose process is gone."""
    paths = sorted(_get_folder(instance).glob("*.lock"))
    for start in range(0, len(paths), BATCH_SIZE):
        batch = paths[start : start + BATCH_SIZE]
        runs = instance.get_runs(dg.RunsFilter(run_ids=[path.stem for path in batch]))
        active = {run.run_id for run in runs if not run.is_finished}
        for path in batch:
            if path.stem not in active and _is_free(path):
                yield ExpiredItem("run locks", path, measure_size(path))


def _get_folder(instance: dg.DagsterInstance) -> Path:
    return Path(instance.root_directory) / "run_locks"


def _build_path(instance: dg.DagsterInstance, run_id: str) -> Path:
    if not _RUN_ID.fullmatch(run_id):
        raise WrongUseError(f"{run_id[:80]!r} can't be a run id: use letters, digits, '-' and '_'.")
    return _get_folder(instance) / f"{run_id}.lock"


def _is_free(path: Path) -> bool:
    with convert_disk_errors(path):
        return not is_lock_held(path)


def _release(path: Path) -> None:
    """Remove a lock that this process holds; nobody else ever takes the lock of this run."""
    path.unlink(missing_ok=True)
    _held.pop(path).release()
