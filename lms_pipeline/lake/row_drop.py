"""The comparison with the previous snapshot: whether too many enrollments are missing to publish.

Belongs here: how large a drop is, and which one is refused. Not here: the audit of single files (`publishing.py`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date

from lms_pipeline.errors import LakeError, format_count
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import AuditError
from lms_pipeline.lake.stored_footers import count_stored_rows
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS

MIN_COMPARABLE_ROWS = 5
"""Rows of a previous snapshot from which the share of a drop counts. A drop of fewer rows to none counts as well."""

ALLOW_DROP_ONCE = "If they are really gone, run it once with `--allow-drop`, or with allow_drop in the UI's launchpad."
"""What to do about a drop that was refused."""

log = logging.getLogger(__name__)


class RowDropError(AuditError):
    """Too many enrollments of the previous snapshot are missing; nothing was published."""


@dataclass(frozen=True, slots=True)
class RowDrop:
    """The rows of a snapshot compared with those of the previous one, or of a list with its announced length."""

    rows: int
    rows_before: int
    day_before: date | None
    """The day of the previous snapshot; None if there is none that can be read, or for a list."""

    @property
    def share(self) -> float:
        """The share of the previous rows that is missing, 0 to 1.

        It is 0 if there were fewer than `MIN_COMPARABLE_ROWS`, and some are left.
        """
        if not self.is_comparable:
            return 0.0
        return max(0, self.rows_before - self.rows) / self.rows_before

    @property
    def is_comparable(self) -> bool:
        """Whether there were enough rows for a share, or some of which none is left."""
        return self.rows_before >= MIN_COMPARABLE_ROWS or self.is_to_none

    @property
    def is_to_none(self) -> bool:
        """Whether none is left of at least one row."""
        return self.rows == 0 < self.rows_before

    def is_too_large(self, max_drop: float) -> bool:
        """Return whether the snapshot is refused: none is left, or a larger share than `max_drop` is missing."""
        return self.is_to_none or self.share > max_drop


def measure_row_drop(data: DataDir, partition: Partition, rows: int) -> RowDrop:
    """Compare a number of enrollments with the snapshot before the partition's day.

    A damaged snapshot is logged, and counts as none.

    Raises:
        StoreError: the store can't be used. The snapshot before is not known then, and may be large.
    """
    previous = data.find_latest_snapshot(partition.account_id, before=partition.day)
    if previous is not None:
        try:
            rows_before = count_stored_rows(data.store, data.get_key(data.file(UNIFIED_ENROLLMENTS, previous)))
            if rows_before is not None:
                return RowDrop(rows, rows_before, previous.day)
        except LakeError as error:
            log.warning("%s Its rows are not compared with today's.", error)
    return RowDrop(rows, 0, None)


def refuse_row_drop(data: DataDir, partition: Partition, rows: int, max_drop: float) -> None:
    """Refuse a snapshot that lacks all of the previous rows, or a larger share than `max_drop`.

    Raises:
        RowDropError: it lacks them.
        StoreError: the store can't be used.
    """
    drop = measure_row_drop(data, partition, rows)
    if drop.is_too_large(max_drop):
        found = "no enrollment" if drop.is_to_none else format_count(rows, "enrollment")
        before = f"where {drop.day_before} has {drop.rows_before:,}"
        raise RowDropError(f"{partition} would have {found} {before}{_describe_drop(drop, max_drop)}")


def refuse_short_list(partition: Partition, name: str, received: int, missing: int, max_drop: float) -> None:
    """Refuse a list that ends before its announced length, under the same conditions as a snapshot that lacks rows.

    Args:
        partition: the account and day of the snapshot.
        name: what the list is of, for people.
        received: its records.
        missing: the records that it announced and did not bring.
        max_drop: the share that may be missing.

    Raises:
        RowDropError: all are missing, or a larger share.
    """
    announced = received + missing
    drop = RowDrop(received, announced, None)
    if drop.is_too_large(max_drop):
        found = "none" if drop.is_to_none else f"{received:,}"
        raise RowDropError(
            f"The list of {name} of {partition} ends after {found} of the {announced:,} that it announced"
            f"{_describe_drop(drop, max_drop)}"
        )


def _describe_drop(drop: RowDrop, max_drop: float) -> str:
    """Return the end of a sentence about a refused drop."""
    reason = (
        ", which is refused whatever max_drop is"
        if drop.is_to_none
        else f": a drop of {drop.share:.0%}, and max_drop is {max_drop:.0%}"
    )
    return f"{reason}; nothing was published. {ALLOW_DROP_ONCE}"
