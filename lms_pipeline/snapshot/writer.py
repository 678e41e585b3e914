"""The three files of enrollments of one run, while they are written.

Belongs here: rows on their way to `unified`, `raw` and `rejected`, and their counts. Where they come from is `fetch.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lms_pipeline.lake.files import conform
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.snapshot.job import RowCounts
from lms_pipeline.tables.pulled import KEYS, RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS, Identity
from lms_pipeline.transform.columns import repeat_value
from lms_pipeline.transform.dedupe import NO_DUPLICATES, StagedRows
from lms_pipeline.transform.enrollments import EnrollmentFlattener, ResponseRecords
from lms_pipeline.truto.response import Page


class EnrollmentWriter:
    """Stages rows, deduplicates them, and writes them to files that the publisher closes.

    `files` removes those that are not closed.
    """

    def __init__(self, identity: Identity, publication: Publication, scratch: Path, files: ExitStack) -> None:
        self.key = KEYS[identity]
        self.is_partial = False
        """Whether a response said that records are missing, or the list ended before its announced length."""
        self.missing = 0
        """Records that the list announced and did not bring."""
        self._flattener = EnrollmentFlattener(identity)
        self.reading = self._flattener.counts
        self._served = self._carried = self._roster = self._repaired_pages = 0
        self._duplicates = NO_DUPLICATES
        self._oldest_fetch: datetime | None = None
        self.raw, self.rejected, self.unified = (
            files.enter_context(publication.open(table))
            for table in (RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS)
        )
        self._staged = files.enter_context(StagedRows(UNIFIED_ENROLLMENTS, self.key, scratch))
        self.staged_path = self._staged.path
        """The file of the staged rows; readable after `deduplicate`."""

    def add_page(self, page: Page, pair: tuple[str, str] | None = None) -> ResponseRecords:
        """Count a page and return its records, for `add_responses`; `pair` is the learner and course it was fetched for."""
        self.missing += page.missing
        self.is_partial |= page.is_partial or page.missing > 0 or (pair is not None and page.next_cursor is not None)
        self._repaired_pages += page.is_repaired
        return ResponseRecords(page.records, page.received_at, pair)

    def add_responses(self, responses: Sequence[ResponseRecords]) -> None:
        """Flatten the records of responses, and write them.

        Raises:
            OtherPairError: a response is about another learner or course than its request.
        """
        flat = self._flattener.flatten_responses(responses)
        self._add_rows(flat.unified, flat.raw)
        self.rejected.write(flat.rejected)
        self._served += sum(len(one.records) for one in responses)

    def add_roster_rows(self, unified: pa.RecordBatch, raw: pa.RecordBatch | None) -> None:
        """Write rows with the content of roster entries."""
        self._add_rows(unified, raw)
        self._roster += unified.num_rows

    def add_carried_rows(self, unified: pa.RecordBatch) -> None:
        """Write unified rows of the previous snapshot, marked as carried over."""
        rows = conform(unified, UNIFIED_ENROLLMENTS)
        position = rows.schema.get_field_index("source")
        source = repeat_value("carried", "string", rows.num_rows)
        self._add_rows(rows.set_column(position, rows.schema.field(position), source))
        self._carried += rows.num_rows

    def add_carried_raw(self, raw: pa.RecordBatch) -> None:
        """Write raw rows of the previous snapshot."""
        self.raw.write(conform(raw, RAW_ENROLLMENTS))

    def deduplicate(self, learners: Path, courses: Path) -> int:
        """Write the staged rows without duplicates, with names and titles from the lists; return the duplicates."""
        self._duplicates = self._staged.deduplicate(self.unified, (learners, courses))
        return self._duplicates.total

    @property
    def counts(self) -> RowCounts:
        """The counts so far."""
        return RowCounts(
            served=self._served,
            carried=self._carried,
            roster=self._roster,
            rejected=self.rejected.rows,
            duplicates=self._duplicates,
            repaired_pages=self._repaired_pages,
            oldest_fetch=self._oldest_fetch,
            undocumented_statuses=self._flattener.undocumented_statuses,
        )

    def _add_rows(self, unified: pa.RecordBatch, raw: pa.RecordBatch | None = None) -> None:
        self._staged.add(unified)
        if unified.num_rows:
            oldest = pc.min(unified.column("fetched_at")).as_py()
            self._oldest_fetch = min(self._oldest_fetch or oldest, oldest)
        if raw is not None:
            self.raw.write(raw)
