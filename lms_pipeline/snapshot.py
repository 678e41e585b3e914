"""Taking a snapshot: from the requests of an account to its published files.

What belongs here: the order of the steps. Each step lives in its own room: asking in `pull/`, reading in
`enrollments/`, files in `lake/`.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from lms_pipeline.accounts import AccountOptions
from lms_pipeline.days import Calendar
from lms_pipeline.enrollments.flatten import EnrollmentFlattener
from lms_pipeline.enrollments.identity import KEYS, Identity
from lms_pipeline.enrollments.lists import ListFlattener, ListName
from lms_pipeline.enrollments.tables import (
    COURSES,
    LEARNERS,
    PULLED_TABLES,
    RAW_ENROLLMENTS,
    REJECTED_ENROLLMENTS,
    UNIFIED_ENROLLMENTS,
)
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.audit import check_sum
from lms_pipeline.lake.disk import disk_errors
from lms_pipeline.lake.files import Provenance, TableFile
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Publication, Published, published_files, remove_leftovers
from lms_pipeline.lake.settling import NO_DUPLICATES, Duplicates, WaitingRows
from lms_pipeline.pull import sweep
from lms_pipeline.truto.client import TrutoClient

LISTS: dict[ListName, sweep.ListResource] = {"learners": "users", "courses": "courses"}
TABLES = {table.name: table for table in PULLED_TABLES}


class BusyError(LmsPipelineError):
    """Somebody else pulls the same account and day."""


@dataclass(frozen=True, slots=True)
class Order:
    """Which snapshot to take, and how."""

    account_id: str
    day: date
    run_id: str
    identity: Identity
    options: AccountOptions
    tables: frozenset[str] = frozenset(TABLES)
    """What was asked for. Enrollments bring all five tables, since one answer holds them; `learners` and `courses`
    can be had alone."""

    @property
    def lists_only(self) -> bool:
        """Whether no enrollment has to be asked for."""
        return self.tables <= LISTS.keys()


@dataclass
class Report:
    """What a snapshot took and brought; counts of records unless said otherwise."""

    strategy: str = "sweep"
    kept: bool = False
    """The day is over and its snapshot stays: nothing was asked, `published` is what was there."""
    complete: bool = True
    """Nothing is known to be missing."""
    requests: int = 0
    seconds: float = 0
    served: int = 0
    repaired_pages: int = 0
    """Pages of enrollments with half an emoji in them, see `Page.is_repaired`."""
    rejected: int = 0
    duplicates: Duplicates = NO_DUPLICATES
    reading: dict[str, Counter[str]] = field(default_factory=dict)
    """By table how its records were read, see `RecordReader.counts`; of the lists also `rejected`, `duplicates`."""
    undocumented_statuses: Counter[str] = field(default_factory=Counter)
    published: list[Published] = field(default_factory=list)


def take_snapshot(
    connect: Callable[[], AbstractContextManager[TrutoClient]],
    data: DataDir,
    calendar: Calendar,
    now: Callable[[], datetime],
    order: Order,
) -> Report:
    """Pull an account and publish its tables as the snapshot of `order.day`, or none of them.

    A day that is over, its grace too, keeps the snapshot it has, without a call.

    Raises:
        DayNotOpenError: it is not the day that is open, and has no snapshot.
        BusyError: somebody else is at it.
        TrutoError, LakeError: in one sentence, what and what to do.
    """
    partition = Partition(order.account_id, order.day)
    started = time.monotonic()
    with _alone(data, partition) as folder:
        if now() >= calendar.closes_at(order.day) and _is_published(data, partition, order):
            return Report(kept=True, published=published_files(data, PULLED_TABLES, partition))
        calendar.check_open(order.day, now())
        remove_leftovers(data, PULLED_TABLES, partition)
        with connect() as client, Publication(data, partition, order.run_id) as publication:
            report = _Taking(client, order, publication, folder, now()).run()
    report.seconds = time.monotonic() - started
    return report


@contextmanager
def _alone(data: DataDir, partition: Partition) -> Iterator[Path]:
    """A folder for what waits, that is ours alone: the lock dies with its process, what a dead one left is removed."""
    folder = data.state / "pulls" / partition.folder
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise BusyError(
                f"{partition} is being pulled by another run: wait for it, or stop it, and try again."
            ) from None
    waiting = folder / "waiting"
    try:
        shutil.rmtree(waiting, ignore_errors=True)
        yield waiting
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
        lock.release()


def _is_published(data: DataDir, partition: Partition, order: Order) -> bool:
    wanted = order.tables if order.lists_only else {UNIFIED_ENROLLMENTS.name}
    return all(data.file(TABLES[name], partition).exists() for name in wanted)


class _Taking:
    """One snapshot being taken."""

    def __init__(
        self, client: TrutoClient, order: Order, publication: Publication, folder: Path, pulled_at: datetime
    ) -> None:
        self._client = client
        self._order = order
        self._publication = publication
        self._folder = folder
        self._pulled_at = pulled_at
        self._report = Report()

    def run(self) -> Report:
        """Ask, settle, publish."""
        with ExitStack() as files:
            if self._order.lists_only:
                self._lists_alone(files)
            else:
                self._everything(files)
        self._report.requests = self._client.requests
        return self._report

    def _lists_alone(self, files: ExitStack) -> None:
        written = [(name, self._list(name, files)) for name in LISTS if name in self._order.tables]
        for _, file in written:
            self._close(file)
        self._report.published = self._publication.publish(
            [(file, TABLES[name].key) for name, file in written]
        )

    def _everything(self, files: ExitStack) -> None:
        raw, rejected, unified = (
            files.enter_context(self._publication.open(table))
            for table in (RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS)
        )
        key = KEYS[self._order.identity]
        with WaitingRows(UNIFIED_ENROLLMENTS, key, self._folder) as waiting:
            self._enrollments(waiting, raw, rejected)
            learners, courses = (self._list(name, files) for name in LISTS)
            self._close(learners)
            self._close(courses)
            self._report.duplicates = waiting.settle_enrollments(unified, learners.path, courses.path)
        self._report.complete &= self._report.duplicates.total == 0
        for file in (raw, rejected, unified):
            self._close(file)
        self._report.rejected = rejected.rows
        check_sum(
            served=self._report.served,
            unified=unified.rows,
            rejected=rejected.rows,
            duplicates=self._report.duplicates.total,
        )
        keys = [(raw, ()), (rejected, ()), (learners, LEARNERS.key), (courses, COURSES.key), (unified, key)]
        self._report.published = self._publication.publish(keys)

    def _enrollments(self, waiting: WaitingRows, raw: TableFile, rejected: TableFile) -> None:
        flattener = EnrollmentFlattener(self._order.identity)
        for page in sweep.enrollments(self._client, self._order.account_id, self._order.options):
            flat = flattener.flatten(page.records, page.received_at)
            waiting.add(flat.unified)
            raw.write(flat.raw)
            rejected.write(flat.rejected)
            self._report.served += len(page.records)
            self._report.complete &= not page.is_partial
            self._report.repaired_pages += page.is_repaired
        self._report.reading[UNIFIED_ENROLLMENTS.name] = flattener.counts
        self._report.undocumented_statuses = flattener.undocumented_statuses

    def _list(self, name: ListName, files: ExitStack) -> TableFile:
        """The users or the courses list, written to its file but not yet closed."""
        table = TABLES[name]
        flattener = ListFlattener(name)
        file = files.enter_context(self._publication.open(table))
        with WaitingRows(table, table.key, self._folder) as waiting:
            for page in sweep.users_or_courses(
                self._client, self._order.account_id, LISTS[name], self._order.options
            ):
                waiting.add(flattener.flatten(page.records, page.received_at))
                self._report.complete &= not page.is_partial
            duplicates = waiting.settle(file)
        if duplicates.total:
            flattener.counts["duplicates"] = duplicates.total
        self._report.reading[name] = flattener.counts
        return file

    def _close(self, file: TableFile) -> None:
        file.close(
            Provenance(
                run_id=self._order.run_id,
                pulled_at=self._pulled_at,
                strategy=self._report.strategy,
                requests=self._client.requests,
                complete=self._report.complete,
            ).metadata()
        )
