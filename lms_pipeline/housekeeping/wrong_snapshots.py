"""Removal of one snapshot that should not exist, such as that of a day that a wrong clock made up.

Belongs here: all files of an account and day. Not here: what expires by itself (`cleanup.py`).
"""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from pathlib import Path

from lms_pipeline.errors import WrongUseError, format_count
from lms_pipeline.lake.index_sync import noting_changes
from lms_pipeline.lake.lock import partition_lock, remove_folder
from lms_pipeline.lake.paths import DATA_FILE, DataDir, Partition
from lms_pipeline.lake.pull_files import find_pull_files
from lms_pipeline.lake.roll_up import remove_roll_ups
from lms_pipeline.lake.scan import list_tables
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS

log = logging.getLogger(__name__)


def find_snapshot_files(data: DataDir, partition: Partition) -> list[Path]:
    """Return the files of an account and day: its tables, the commit mark first, then responses and fingerprints.

    Raises:
        WrongUseError: there is none.
    """
    tables = [UNIFIED_ENROLLMENTS, *(table for table in list_tables(partition) if table != UNIFIED_ENROLLMENTS)]
    files = [data.file(table, partition) for table in tables]
    existing = [
        *(path for path in files if data.store.find(data.get_key(path)) is not None),
        *(path for file in files for path in sorted(file.parent.glob(f".{DATA_FILE}.*"))),
        *find_pull_files(data, partition),
    ]
    if not existing:
        raise WrongUseError(f"Nothing of {partition} is stored: `lms-pipeline query` shows which days an account has.")
    return existing


def remove_snapshot(data: DataDir, partition: Partition) -> list[Path]:
    """Remove all files of an account and day, and return them. Readers see the whole snapshot, or no enrollments of it.

    Raises:
        WrongUseError: there is none.
        LockedError: another run pulls the same account and day.
        LakeError: a file can't be removed.
    """
    find_snapshot_files(data, partition)  # so that a wrong id leaves no lock behind
    with partition_lock(data, partition):
        files = find_snapshot_files(data, partition)
        # they hold its rows; the next build of the warehouse writes them again
        remove_roll_ups(data, partition.day)
        with noting_changes(data, partition, f"removal {uuid.uuid4().hex}"):
            for path in files:
                data.store.remove(data.get_key(path))
                with suppress(OSError):  # it holds other files
                    path.parent.rmdir()
        remove_roll_ups(data, partition.day)  # a build may have written them meanwhile
        log.info("Removed the snapshot of %s: %s.", partition, format_count(len(files), "file"))
    remove_folder(data, partition)
    return files
