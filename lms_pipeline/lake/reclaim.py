"""Space that failed pulls hold: it is given back when another pull needs it.

Belongs here: what a pull may remove of other pulls. Not here: what has expired (`housekeeping/`), the need for space
(`space.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.commit_mark import restore_interrupted
from lms_pipeline.lake.lock import SCRATCH, LockedError, is_locked, passing_lock
from lms_pipeline.lake.paths import DATA_FILE, DataDir, Partition, parse_folder
from lms_pipeline.lake.publishing import remove_leftovers
from lms_pipeline.lake.space import check_free_space, measure_free_space
from lms_pipeline.lake.waiting import read_waiting, utc_now
from lms_pipeline.storage.disk import convert_disk_errors, format_bytes, measure_freed
from lms_pipeline.tables.pulled import PULLED_TABLES

MIN_RECLAIMED_BYTES = 1_000_000
"""Size from which on the leftovers of a pull are worth its responses: fewer bytes let no other pull begin."""

log = logging.getLogger(__name__)


def make_space(data: DataDir, partition: Partition) -> None:
    """Check that a pull has the free space that it needs, and remove what failed pulls left if that is enough for it.

    The oldest day goes first, then the largest, and the partition's own responses last, which stay with a bucket: it has
    them too. What a published snapshot, a running pull or one that waits for its LMS holds stays. A pull that stopped for
    lack of space takes no more from others than any pull of its account. The caller holds the partition's lock.

    Raises:
        LakeError: the disk has too little free space, or can't be read.
        StorageError: the store or the state can't be used.
    """
    found = measure_free_space(data, partition)
    if found.free >= found.needed:
        return
    own = sum(map(measure_freed, _list_responses(data, partition))) if data.store.is_local else 0
    failed = sorted(_find_failed(data, partition), key=lambda one: (one[1].day, -one[0]))
    is_enough = found.free + own + sum(size for size, _ in failed) >= found.ordinary
    if is_enough and found.free + own >= found.lacked:
        _remove_until_enough(data, partition, failed, found.ordinary)
        _remove_until_enough(data, partition, [(own, partition)] if own else [], found.needed)
    check_free_space(data, partition)


def _remove_until_enough(data: DataDir, own: Partition, failed: list[tuple[int, Partition]], needed: int) -> None:
    for size, partition in failed:
        if measure_free_space(data, own).free >= needed:
            return
        with suppress(LockedError, LakeError):  # a run has just begun, or the files are not ours
            if partition == own:
                _remove_responses(data, partition)
            else:
                _remove_failed(data, partition)
            log.warning(
                "Removed %s of responses and rows of %s, whose pull did not end: %s needs the space. The next pull of it %s.",
                format_bytes(size),
                partition,
                own,
                "begins from its first request" if data.store.is_local else "continues with what is stored of it",
            )


def _find_failed(data: DataDir, own: Partition) -> Iterator[tuple[int, Partition]]:
    """Yield the partitions whose pulls left something that may go, each with its size."""
    folders = [*data.checkpoints.glob("*/snapshot_date=*"), *data.pulls.glob("*/*/")]
    folders += [path.parent for path in data.lake.glob(f"*/*/*/.{DATA_FILE}.*")]
    names = {Path(*folder.parts[-2:]).with_name(folder.name.partition(".")[0]) for folder in folders}
    for partition in filter(None, map(parse_folder, names)):
        size = sum(map(measure_freed, _list_failed_files(data, partition)))
        if partition != own and size >= MIN_RECLAIMED_BYTES and not _is_in_use(data, partition):
            yield size, partition


def _is_in_use(data: DataDir, partition: Partition) -> bool:
    if _is_waiting(data, partition):
        return True
    with suppress(LakeError):
        return is_locked(data, partition)
    return True  # nor could its files be removed


def _is_waiting(data: DataDir, partition: Partition) -> bool:
    waiting = read_waiting(data, partition)
    return waiting is not None and waiting.is_expected(utc_now())


def _list_failed_files(data: DataDir, partition: Partition) -> list[Path]:
    """Return the scratch files and unpublished files of a partition, and its responses if nothing is published."""
    tables = [data.file(table, partition) for table in PULLED_TABLES]
    hidden = [path for file in tables for path in file.parent.glob(f".{DATA_FILE}.*")]
    return [data.pull_folder(partition) / SCRATCH, *hidden, *_list_responses(data, partition)]


def _list_responses(data: DataDir, partition: Partition) -> list[Path]:
    """Return the files of responses that can't be replayed, since nothing is published; with a bucket all copies of them."""
    if data.store.is_local and any(data.is_published(table, partition) for table in PULLED_TABLES):
        return []
    path = data.checkpoint_path(partition)
    return list(path.parent.glob(f"{path.stem}.*"))


def _remove_failed(data: DataDir, partition: Partition) -> None:
    """Remove what `_list_failed_files` returns.

    Raises:
        LockedError: a run holds the partition.
        LakeError: a file can't be removed.
        StorageError: the store or the state can't be used.
    """
    with passing_lock(data, partition):  # which also removes the scratch files
        restore_interrupted(data, PULLED_TABLES, partition)
        remove_leftovers(data, PULLED_TABLES, partition)
        _remove_responses(data, partition)


def _remove_responses(data: DataDir, partition: Partition) -> None:
    """Remove the files of `_list_responses`. The caller holds the partition's lock."""
    for path in _list_responses(data, partition):
        with convert_disk_errors(path):
            path.unlink(missing_ok=True)
