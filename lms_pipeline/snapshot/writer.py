"""The three files of enrollments while they are written.

What belongs here: rows on their way to `unified`, `raw` and `rejected`, and their counts. Where the rows come from is
`sweep.py` and `pairs.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from lms_pipeline.lake.publishing import Publication
from lms_pipeline.snapshot.job import Report
from lms_pipeline.tables.pulled import (
    KEYS,
    RAW_ENROLLMENTS,
    REJECTED_ENROLLMENTS,
    UNIFIED_ENROLLMENTS,
    Identity,
)
from lms_pipeline.transform.dedupe import NO_DUPLICATES, StagedRows
from lms_pipeline.transform.enrollments import EnrollmentFlattener, ResponseRecords


class EnrollmentFiles:
    """Takes rows, settles them, and is closed by who publishes; left before, nothing of it stays."""

    def __init__(self, identity: Identity, publication: Publication, folder: Path) -> None:
        self.key = KEYS[identity]
        self.flattener = EnrollmentFlattener(identity)
        self.duplicates = NO_DUPLICATES
        self.served = 0
        self.repaired_pages = 0
        self.is_partial = False
        self.oldest_fetch: datetime | None = None
        self._folder = folder
        self._publication = publication
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        """Open the files."""
        with ExitStack() as opened:
            self.raw, self.rejected, self.unified = (
                opened.enter_context(self._publication.open(table))
                for table in (RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS)
            )
            self.waiting = opened.enter_context(StagedRows(UNIFIED_ENROLLMENTS, self.key, self._folder))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Close them, and remove what was not finished."""
        self._opened.close()

    def answered(self, answers: Iterable[ResponseRecords]) -> None:
        """Take the records of answers.

        Raises:
            OtherPairError: an answer is not about what was asked for.
        """
        told = list(answers)
        flat = self.flattener.flatten_responses(told)
        self.rows(flat.unified, flat.raw)
        self.rejected.write(flat.rejected)
        self.served += sum(len(answer.records) for answer in told)

    def rows(self, unified: pa.RecordBatch, raw: pa.RecordBatch | None = None) -> None:
        """Take rows that are finished."""
        self.waiting.add(unified)
        if unified.num_rows:
            oldest = pc.min(unified.column("fetched_at")).as_py()
            self.oldest_fetch = min(self.oldest_fetch or oldest, oldest)
        if raw is not None:
            self.raw.write(raw)

    def settle(self, learners: Path, courses: Path) -> None:
        """Drop duplicates, and fill in names and titles from the lists."""
        self.duplicates = self.waiting.deduplicate_and_enrich(self.unified, learners, courses)

    def tell(self, report: Report) -> None:
        """Put the counts into the report."""
        report.served = self.served
        report.repaired_pages = self.repaired_pages
        report.complete &= not self.is_partial and self.duplicates.total == 0
        report.duplicates = self.duplicates
        report.rejected = self.rejected.rows
        report.reading[UNIFIED_ENROLLMENTS.name] = self.flattener.counts
        report.undocumented_statuses = self.flattener.undocumented_statuses
