"""What killed pulls left on this machine, while a bucket has their responses: copies of checkpoints, and folders of pulls.

Belongs here: their removal where pulls run, since housekeeping may run on another machine. Not here: copies of published files
(`storage/object_store.py`), and what an installation on one machine keeps (`housekeeping/cleanup.py`).
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.lock import ABANDONED_AFTER, LockedError, partition_lock
from lms_pipeline.lake.paths import DataDir, Partition, find_partition_paths
from lms_pipeline.storage.damaged_files import remove_path
from lms_pipeline.storage.disk import convert_disk_errors, read_changed_at

SECONDS_BETWEEN: Final = 3_600.0
"""Seconds between two looks of a process."""

_looked_at: dict[Path, float] = {}
"""When this process looked at each data directory, by its monotonic clock."""

log = logging.getLogger(__name__)


def remove_abandoned(data: DataDir) -> None:
    """Remove what killed pulls left here, at most once an hour in a process. Without a bucket, nothing.

    What can't be removed is logged: it stays until the next time.
    """
    now = time.monotonic()
    if data.store.is_local or now - _looked_at.get(data.root, -SECONDS_BETWEEN) < SECONDS_BETWEEN:
        return
    _looked_at[data.root] = now
    for partition, paths in _find(data).items():
        try:
            _remove(data, partition, paths)
        except LmsPipelineError as error:
            log.warning("What an earlier pull of %s left here stays for now: %s", partition, error)


def _find(data: DataDir) -> dict[Partition, list[Path]]:
    """Return the local files and folders of the pulls whose files are all old, by partition."""
    found: defaultdict[Partition, list[Path]] = defaultdict(list)
    for root in (data.checkpoints, data.pulls):
        for partition, path in find_partition_paths(root):
            found[partition].append(path)
    return {partition: paths for partition, paths in found.items() if _are_old(paths)}


def _are_old(paths: Iterable[Path]) -> bool:
    before = datetime.now(UTC) - ABANDONED_AFTER
    return all(read_changed_at(path) < before for path in paths)


def _remove(data: DataDir, partition: Partition, paths: list[Path]) -> None:
    """Remove what a pull left, and its folder, unless one of the account and day is at work, here or elsewhere."""
    with suppress(LockedError), partition_lock(data, partition):
        if not _are_old(path for path in paths if path.is_file()):  # one was at work meanwhile
            return
        for path in (*paths, data.pull_folder(partition)):
            with convert_disk_errors(path):
                remove_path(path)
            with suppress(OSError):  # another day of the account is there
                path.parent.rmdir()
