"""Removing what is due.

What belongs here: the doing, which is told file by file. What is due is `planning.py`.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from lms_pipeline.housekeeping.due import Due
from lms_pipeline.housekeeping.payloads import remove_payloads
from lms_pipeline.lake.disk import LakeError, disk_errors
from lms_pipeline.lake.lock import BusyError, remove_folder
from lms_pipeline.lake.paths import DataDir

log = logging.getLogger(__name__)


def remove(data: DataDir, due: Iterable[Due], warn: Callable[[str], None] = log.warning) -> list[Due]:
    """Remove one after the other; what can't be removed now is left for the next time, and `warn` is told why.

    Returns:
        What was removed.
    """
    removed = []
    for one in due:
        try:
            _remove(data, one)
        except (BusyError, LakeError) as error:
            warn(f"{one.path} is left for the next time: {error}")
            continue
        log.info("Removed %s", one)
        removed.append(one)
    return removed


def _remove(data: DataDir, due: Due) -> None:
    if due.kind == "rejected payloads" and due.partition is not None:
        remove_payloads(data, due.partition, datetime.now(UTC))
    elif due.kind == "folders of pulls" and due.partition is not None:
        remove_folder(data, due.partition)
    else:
        with disk_errors(due.path):
            if due.path.is_dir():
                shutil.rmtree(due.path)
            else:
                due.path.unlink(missing_ok=True)
