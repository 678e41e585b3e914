"""The earlier snapshot of an account with which open enrollments are compared.

Belongs here: which snapshot that is. Not here: what is compared (`sql/attention.sql`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.files import check_readable, check_unchanged, check_version
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.stored_footers import read_stored_metadata
from lms_pipeline.tables.attention import MIN_QUIET_DAYS
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS

MIN_AGE = timedelta(days=MIN_QUIET_DAYS)
"""Age of an earlier snapshot: an enrollment without any sign of life since then is idle."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EarlierSnapshot:
    """The enrollments of the same account on an earlier day."""

    path: Path
    """A Parquet file of `unified_enrollments`; columns that an older file lacks are read as null."""
    day: date


def find_earlier(data: DataDir, partition: Partition) -> EarlierSnapshot | None:
    """Return the latest complete snapshot that is at least `MIN_AGE` older than a partition; None if there is none.

    A damaged one is logged and left out.
    """
    days = data.find_partitions(UNIFIED_ENROLLMENTS, partition.account_id)
    old_enough = [earlier for earlier in days if partition.day - earlier.day >= MIN_AGE]
    for earlier in reversed(old_enough):
        path = data.file(UNIFIED_ENROLLMENTS, earlier)
        try:
            # without its rows: those of an account whose snapshots are never complete would all be fetched, each night
            metadata = read_stored_metadata(data.store, data.get_key(path)) or {}
            check_version(path, metadata)
            if metadata.get("complete") != "true":
                continue
            data.fetch([UNIFIED_ENROLLMENTS], [earlier])
            if "checksum" in metadata:
                check_unchanged(path)
            else:  # an earlier version wrote it
                check_readable(path)
        except LakeError as error:
            log.warning("%s Open enrollments are not compared with it.", error)
            continue
        return EarlierSnapshot(path, earlier.day)
    return None
