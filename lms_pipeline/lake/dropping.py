"""A snapshot that has far fewer rows than the one before it.

What belongs here: comparing the two, and refusing. An LMS that answers with nothing for a while, a right that was taken
away, a filter that was set: all of them look like learners who left, until somebody looks.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date

from lms_pipeline.lake.audit import AuditError
from lms_pipeline.lake.disk import LakeError
from lms_pipeline.lake.files import count_rows
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS

log = logging.getLogger(__name__)

FEW = 20
"""Under so many rows before, a drop tells nothing: three of five learners may well leave on a day."""


class RowDropError(AuditError):
    """Too many enrollments are missing that were there before; nothing was published."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The rows of a snapshot beside those of the last one before it."""

    rows: int
    rows_before: int
    day_before: date | None
    """None where there is none that can be read."""

    @property
    def share(self) -> float:
        """The part of the rows before that is missing, 0 to 1; 0 where there were few."""
        if self.rows_before < FEW:
            return 0.0
        return max(0.0, 1 - self.rows / self.rows_before)


def drop_of(data: DataDir, partition: Partition, rows: int) -> Drop:
    """How `rows` enrollments compare with the last snapshot before the partition's day; one that is damaged is none."""
    days = [
        one for one in data.partitions(UNIFIED_ENROLLMENTS, partition.account_id) if one.day < partition.day
    ]
    if not days:
        return Drop(rows, 0, None)
    try:
        return Drop(rows, count_rows(data.file(UNIFIED_ENROLLMENTS, days[-1])), days[-1].day)
    except LakeError as error:
        log.warning("%s Its rows are not compared with today's.", error)
        return Drop(rows, 0, None)


def check_drop(data: DataDir, partition: Partition, rows: int, most: float) -> None:
    """Refuse a snapshot in which more than the share `most` of the rows before it are missing.

    Raises:
        RowDropError: they are.
    """
    drop = drop_of(data, partition, rows)
    if drop.share > most:
        raise RowDropError(
            f"{partition} would have {rows:,} enrollments where {drop.day_before} has {drop.rows_before:,}: a drop of "
            f"{drop.share:.0%}, and max_drop is {most:.0%}; nothing was published. If they are really gone, run it once "
            "with `--allow-drop`, or with allow_drop in the UI's launchpad."
        )
