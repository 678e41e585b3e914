"""The three files of enrollments of one run, while they are written.

Belongs here: rows on their way to `unified`, `raw` and `rejected`, and their counts. Where they come from is `fetch.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lms_pipeline.lake.files import RowGroupWriter, conform
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.snapshot.job import RowCounts
from lms_pipeline.tables.pulled import KEYS, RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS, Identity
from lms_pipeline.transform.carried import clean_raw, clean_unified
from lms_pipeline.transform.columns import repeat_value
from lms_pipeline.transform.dedupe import NO_DUPLICATES, Sources, deduplicate
from lms_pipeline.transform.enrollments import EnrollmentFlattener, RawSource
from lms_pipeline.transform.raw_format import ROLES, build_raw_list_batches
from lms_pipeline.transform.responses import MAX_BATCH_BYTES, ResponseRecords, split_responses
from lms_pipeline.truto.response import Page


class EnrollmentWriter:
    """Writes rows to files that the publisher closes, and writes the unified ones again where that changes them.

    `files` removes those that are not closed.
    """

    def __init__(
        self,
        identity: Identity,
        publication: Publication,
        scratch: Path,
        files: ExitStack,
        raw_source: RawSource = "remote_data",
    ) -> None:
        self.key = KEYS[identity]
        self.is_partial = False
        """Whether a response said that records are missing, or the list ended before its announced length."""
        self.missing = 0
        """Records that the list announced and did not bring."""
        self.without_raw = 0
        """Enrollments of pairs whose response in the raw format is missing or has no record."""
        self._raw_source = raw_source
        self._publication, self._scratch = publication, scratch
        self._roles: RowGroupWriter | None = None
        self._flattener = EnrollmentFlattener(identity, raw_source)
        self.reading = self._flattener.counts
        self._served = self._carried = self._roster = self._repaired_pages = 0
        self._duplicates = NO_DUPLICATES
        self._oldest_fetch: datetime | None = None
        self.raw, self.rejected, self.unified = (
            files.enter_context(publication.open(table))
            for table in (RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS)
        )

    def add_page(self, page: Page, pair: tuple[str, str] | None = None, raw: Page | None = None) -> ResponseRecords:
        """Count a page and return its records, for `add_responses`.

        `pair` is the learner and course it was fetched for, `raw` the response about them in the raw format.
        """
        self.missing += page.missing
        is_cut = pair is not None and (page.next_cursor is not None or page.announced > len(page.records))
        self.is_partial |= page.is_partial or page.missing > 0 or is_cut
        self._repaired_pages += page.is_repaired
        if pair is not None and self._raw_source == "raw":
            self.without_raw += raw is None or not raw.has_record
            self._repaired_pages += raw is not None and raw.is_repaired
        return ResponseRecords(page.records, page.received_at, pair, raw)

    def add_responses(self, responses: Iterable[ResponseRecords]) -> None:
        """Flatten the records of responses, and write them, part by part while they come.

        Raises:
            OtherPairError: a response is about another learner or course than its request.
        """
        for part in split_responses(responses, MAX_BATCH_BYTES):
            flat = self._flattener.flatten_responses(part)
            self._add_rows(flat.unified, flat.raw)
            self.rejected.write(flat.rejected)
            self._served += sum(len(one.records) for one in part)

    def begin_raw_list(self, files: ExitStack) -> None:
        """Drop the rows of the raw list so far: it is read from its start. `files` closes the new files."""
        self.raw.discard()
        if self._roles is not None:
            self._roles.discard()
        self.raw = files.enter_context(self._publication.open(RAW_ENROLLMENTS))
        path, check_space = self._scratch / "roles.parquet", self._publication.check_space
        self._roles = files.enter_context(RowGroupWriter(path, ROLES, "lz4", check_space=check_space))

    def add_raw_page(self, page: Page) -> None:
        """Write the records of a page of the raw list, which `begin_raw_list` began."""
        for part in split_responses([ResponseRecords(page.records, page.received_at)], MAX_BATCH_BYTES):
            for response in part:
                batches = build_raw_list_batches(response.records, response.fetched_at)
                self.raw.write(batches.raw)
                if self._roles is not None:
                    self._roles.write(batches.roles)

    def add_roster_rows(self, unified: pa.RecordBatch, raw: pa.RecordBatch | None) -> None:
        """Write rows with the content of roster entries."""
        self._add_rows(unified, raw)
        self._roster += unified.num_rows

    def add_carried_rows(self, unified: pa.RecordBatch) -> None:
        """Write unified rows of the previous snapshot, marked as carried over."""
        for rows in clean_unified(conform(unified, UNIFIED_ENROLLMENTS)):
            position = rows.schema.get_field_index("source")
            source = repeat_value("carried", "string", rows.num_rows)
            self._add_rows(rows.set_column(position, rows.schema.field(position), source))
            self._carried += rows.num_rows

    def add_carried_raw(self, raw: pa.RecordBatch) -> None:
        """Write raw rows of the previous snapshot."""
        for rows in clean_raw(conform(raw, RAW_ENROLLMENTS)):
            self.raw.write(rows)

    def count_missing_raw(self) -> int:
        """Return by how many records the raw list is shorter than the unified one without its duplicates."""
        return max(0, self._served - self._duplicates.total - self.raw.rows)

    def deduplicate(self, learners: Path, courses: Path, files: ExitStack) -> int:
        """Leave the unified rows without duplicates, with names and titles from the lists; return the duplicates.

        Enrollments that lack a role get it from the raw list. `files` closes the new file, if there is one.
        """
        if self._roles is not None:
            self._roles.end_rows()
        roles = None if self._roles is None else self._roles.path
        self.unified, self._duplicates = deduplicate(
            self.unified,
            self.key,
            open_second=lambda: files.enter_context(self._publication.open_second(UNIFIED_ENROLLMENTS)),
            scratch=self._scratch,
            sources=Sources(learners, courses, roles),
        )
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
        self.unified.write(unified)
        if unified.num_rows:
            oldest = pc.min(unified.column("fetched_at")).as_py()
            self._oldest_fetch = min(self._oldest_fetch or oldest, oldest)
        if raw is not None:
            self.raw.write(raw)
