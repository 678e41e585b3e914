"""The users and courses lists of a run.

Belongs here: lists on their way to their files. Enrollments are fetched in `fetch.py`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import pyarrow.parquet as pq

from lms_pipeline.concurrency import read_ahead
from lms_pipeline.extract.session import BrokenListError, fetch_list
from lms_pipeline.extract.strategy_selection import ListIds
from lms_pipeline.lake.files import TableFile
from lms_pipeline.snapshot.job import LISTS, TABLES, SnapshotContext
from lms_pipeline.transform.dedupe import deduplicate
from lms_pipeline.transform.responses import MAX_BATCH_BYTES, ResponseRecords, split_responses
from lms_pipeline.transform.users_courses import ListFlattener, ListName
from lms_pipeline.truto.query import Resource
from lms_pipeline.truto.response import Page

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class FetchedList:
    """A list in its file, which is still open."""

    file: TableFile
    is_offered: bool = False
    """Whether the LMS offers the list; one that it does not offer is empty."""
    is_partial: bool = False
    received: int = 0
    """Records that came."""
    missing: int = 0
    """Records that the list announced and did not bring."""
    reading: Counter[str] = field(default_factory=Counter)

    def add_page(self, page: Page) -> ResponseRecords:
        """Count a page and return its records."""
        self.is_offered = True
        self.is_partial |= page.is_partial or page.missing > 0
        self.received += len(page.records)
        self.missing += page.missing
        return ResponseRecords(page.records, page.received_at)

    def unique_ids(self) -> list[str]:
        """Return each id once, in the order of the list without its duplicates."""
        with pq.ParquetFile(self.file.path) as file:
            ids: list[str] = file.read(columns=list(self.file.table.key)).column(0).to_pylist()
        return ids


@dataclass(frozen=True, slots=True)
class Lists:
    """The two lists of an account."""

    learners: FetchedList
    courses: FetchedList

    @property
    def is_complete(self) -> bool:
        """Whether neither list says that records are missing."""
        return not (self.learners.is_partial or self.courses.is_partial)

    def count_rejected(self, resources: Collection[Resource]) -> int:
        """Count the records without a usable id in the lists of these resources."""
        lists = {LISTS["learners"]: self.learners, LISTS["courses"]: self.courses}
        return sum(one.reading["rejected"] for resource, one in lists.items() if resource in resources)

    def read_ids(self) -> ListIds:
        """Return the ids in the lists; as strings they take 80 MB for a million."""
        return ListIds(self.learners.unique_ids(), self.courses.unique_ids())

    def close(self, metadata: dict[str, str]) -> tuple[Path, Path]:
        """Close the files, where they are open, and return their paths: both are readable from now on."""
        for one in (self.learners, self.courses):
            if one.file.is_open:
                one.file.close(metadata)
        return self.learners.file.path, self.courses.file.path


def retry_once(fetch: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that reads a list: it starts again after a `BrokenListError`, once.

    Raises:
        TrutoError: the list broke again.
    """

    @wraps(fetch)
    def fetch_again(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return fetch(*args, **kwargs)
        except BrokenListError as broken:
            log.warning("%s The list is read once more from its beginning.", broken)
        try:
            return fetch(*args, **kwargs)
        except BrokenListError as again:
            raise again.__cause__ or again from None

    return fetch_again


@retry_once
def fetch_list_table(name: ListName, context: SnapshotContext, files: ExitStack) -> FetchedList:
    """Fetch one list into its file; `files` closes it.

    Raises:
        TrutoError: a request failed.
    """
    job, table, flattener = context.job, TABLES[name], ListFlattener(name)
    with ExitStack() as opened:
        fetched = FetchedList(opened.enter_context(context.publication.open(table)), reading=flattener.counts)
        pages = read_ahead(fetch_list(context.session, job.account_id, LISTS[name], job.options))
        responses = map(fetched.add_page, opened.enter_context(closing(pages)))
        for part in split_responses(responses, MAX_BATCH_BYTES):
            fetched.file.write(flattener.flatten(part))
        fetched.file, duplicates = deduplicate(
            fetched.file,
            table.key,
            open_second=lambda: opened.enter_context(context.publication.open_second(table)),
            scratch=context.scratch,
        )
        if duplicates.total:
            flattener.counts["duplicates"] = duplicates.total
        files.push(opened.pop_all())
    return fetched
