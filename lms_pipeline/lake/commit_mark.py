"""The commit mark of a partition: `unified_enrollments`, which is renamed last, says whose files are published.

Belongs here: the files that a pull replaces before its mark, and their return if it dies. Not here: renaming the files of
a run (`publishing.py`), the lock of a partition (`lock.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.files import ReadMetadata, read_metadata
from lms_pipeline.lake.paths import DATA_FILE, AnyPartition, DataDir, Partition
from lms_pipeline.storage.disk import convert_disk_errors, link_file, replace_file
from lms_pipeline.tables.pulled import PULLED_TABLES, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table

log = logging.getLogger(__name__)


def read_commit_mark(data: DataDir, partition: AnyPartition, read: ReadMetadata = read_metadata) -> str | None:
    """Return the run whose files are published for a partition; None if nothing is.

    Raises:
        LakeError: the file with the mark is damaged.
    """
    return _read_run_id(data.file(UNIFIED_ENROLLMENTS, partition), read)


def keep_committed_files(data: DataDir, partition: AnyPartition, tables: Sequence[Table]) -> list[Path]:
    """Give the published files a second name before files of these tables replace them; return the new names.

    Only if the last table has the commit mark. A damaged file is not kept: the new one repairs it. Nothing is kept beside the
    local copies of a bucket: they say nothing about what is published.

    Raises:
        LakeError: a file can't be linked.
    """
    *replaced, last = tables
    kept: list[Path] = []
    if last != UNIFIED_ENROLLMENTS or not data.store.is_local:
        return kept
    mark = find_run_id(data.file(UNIFIED_ENROLLMENTS, partition))
    if mark is None:
        return kept
    for table in replaced:
        path = data.file(table, partition)
        if find_run_id(path) == mark:
            kept.append(link_file(path, data.unpublished_file(table, partition, mark)))
    return kept


def find_kept_file(
    data: DataDir, table: Table, partition: AnyPartition, read: ReadMetadata = read_metadata
) -> Path | None:
    """Return the file that an unfinished publication replaced: until its mark is replaced too, it is the right one.

    Only pulls keep files. A hidden file of a metric table, whose run may be that of the mark, is not finished yet.

    Raises:
        LakeError: the file with the commit mark is damaged.
    """
    if table not in PULLED_TABLES or table == UNIFIED_ENROLLMENTS or not data.store.is_local:
        return None
    if not any(data.file(table, partition).parent.glob(f".{DATA_FILE}.*")):
        return None
    mark = read_commit_mark(data, partition, read)
    kept = data.unpublished_file(table, partition, mark) if mark else None
    return kept if kept is not None and kept.exists() else None


def restore_interrupted(data: DataDir, tables: Iterable[Table], partition: Partition) -> None:
    """Put back the published files that a later pull replaced before it died. The caller holds the lock.

    Raises:
        LakeError: a file can't be renamed.
    """
    mark = find_run_id(data.file(UNIFIED_ENROLLMENTS, partition)) if data.store.is_local else None
    if mark is None:
        return
    for table in tables:
        kept = data.unpublished_file(table, partition, mark)
        if not kept.exists():
            continue
        path = data.file(table, partition)
        with convert_disk_errors(kept):
            was_replaced = not (path.exists() and kept.samefile(path))
            replace_file(kept, path)
            kept.unlink(missing_ok=True)  # a rename between two names of one file leaves both
        if was_replaced:
            log.warning("%s of %s is again as it was before an interrupted pull.", table.name, partition)


def find_run_id(path: Path) -> str | None:
    """Return the run that wrote a file; None if there is no file, or it is damaged: then a new one repairs it."""
    try:
        return _read_run_id(path)
    except LakeError:
        return None


def _read_run_id(path: Path, read: ReadMetadata = read_metadata) -> str | None:
    return read(path).get("run_id") if path.exists() else None
