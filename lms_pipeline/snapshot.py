"""Taking a snapshot: from the requests of an account to its published files.

What belongs here: the order of the steps. Each step lives in its own room: asking in `pull/`, reading in
`enrollments/`, bringing rows in `taking/`, files in `lake/`.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from lms_pipeline.days import Calendar
from lms_pipeline.enrollments.tables import PULLED_TABLES, UNIFIED_ENROLLMENTS
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.disk import disk_errors
from lms_pipeline.lake.dropping import RowDropError
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Publication, published_files, remove_leftovers
from lms_pipeline.pull.answers import Answers, Attempt
from lms_pipeline.pull.asker import Asker, NotKeptError
from lms_pipeline.pull.budget import Budget
from lms_pipeline.taking.circumstances import Circumstances, read_circumstances
from lms_pipeline.taking.order import LISTS, TABLES, Order, Report
from lms_pipeline.taking.taking import Taking
from lms_pipeline.taking.underway import Pull
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.requests import Gate

log = logging.getLogger(__name__)


class Connect(Protocol):
    """Opens a client whose every request passes a gate."""

    def __call__(self, gate: Gate, /) -> AbstractContextManager[TrutoClient]:
        """A client, as a context manager."""
        ...


class BusyError(LmsPipelineError):
    """Somebody else pulls the same account and day."""


def take_snapshot(
    connect: Connect,
    data: DataDir,
    calendar: Calendar,
    now: Callable[[], datetime],
    order: Order,
    *,
    tell: Callable[[str], None] = log.info,
) -> Report:
    """Pull an account and publish its tables as the snapshot of `order.day`, or none of them.

    A day that is over, its grace too, keeps the snapshot it has, without a call. A pull that was cut off goes on with
    the answers it had; `tell` is told what is going to be asked, before it is.

    Raises:
        DayNotOpenError: it is not the day that is open, and has no snapshot.
        BusyError: somebody else is at it.
        BudgetSpentError: the calls that it may cost are used up.
        RowDropError: too many enrollments are missing that the snapshot before has.
        TrutoError, LakeError: in one sentence, what and what to do.
    """
    started = time.monotonic()
    with _alone(data, order.partition) as folder:
        if now() >= calendar.closes_at(order.day) and _is_published(data, order):
            return Report(kept=True, published=published_files(data, PULLED_TABLES, order.partition))
        calendar.check_open(order.day, now())
        remove_leftovers(data, PULLED_TABLES, order.partition)
        with Answers(_answers(data, order)) as answers:
            attempt = answers.begin(order.plan, now(), believe=order.allow_drop)
            hourly = data.budgets / f"hour-{order.account_id}.sqlite"
            with (
                closing(Budget(order.account_id, order.limits, attempt, hourly)) as budget,
                connect(budget) as client,
                Publication(data, order.partition, order.run_id) as publication,
            ):
                asker = Asker(client, attempt)
                asker.forget_old_lists(now(), timedelta(hours=order.options.resume_hours))
                try:
                    report = Taking(Pull(asker, order, publication, folder), data, now(), tell).run()
                except RowDropError:
                    attempt.refuse()
                    raise
            attempt.finish()
        _remove_old_answers(data, order)
    report.seconds = time.monotonic() - started
    return report


def flatten_again(data: DataDir, order: Order, tell: Callable[[str], None] = log.info) -> Report:
    """Publish a snapshot anew from the answers that were kept of it, without a call.

    Raises:
        NotKeptError: they weren't, or not all of them.
        BusyError: somebody else is at it.
        LakeError: in one sentence, what and what to do.
    """
    started = time.monotonic()
    with _alone(data, order.partition) as folder:
        if not data.answers(order.partition).exists():
            raise NotKeptError(f"No answers of {order.partition} are kept: its snapshot stays as it is.")
        with Answers(data.answers(order.partition)) as answers:
            attempt, then = _taken(data, order, answers)
            if attempt is None or then is None:
                raise NotKeptError(f"The pull of {order.partition} did not come to its end: pull it again.")
            if attempt.plan != order.plan:
                raise NotKeptError(
                    f"The options of {order.account_id} in LMS_ACCOUNTS_FILE were others when {order.day} was pulled: "
                    "set them as they were then."
                )
            remove_leftovers(data, PULLED_TABLES, order.partition)
            with Publication(data, order.partition, order.run_id) as publication:
                pull = Pull(Asker(None, attempt), then.applied_to(order), publication, folder)
                taking = Taking(pull, data, attempt.started_at, tell, needs_before=then.has_before)
                report = taking.run()
            if not attempt.is_finished:
                attempt.finish()
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


def _taken(
    data: DataDir, order: Order, answers: Answers
) -> tuple[Attempt, Circumstances] | tuple[None, None]:
    """The attempt whose snapshot is published, also where its process died before it could note that."""
    published = data.file(UNIFIED_ENROLLMENTS, order.partition)
    run_id = read_metadata(published).get("run_id") if published.exists() else None
    for attempt in answers.attempts():
        then = read_circumstances(attempt.circumstances)
        if then is not None and (attempt.is_finished or then.run_id == run_id):
            return attempt, then
    return None, None


def _is_published(data: DataDir, order: Order) -> bool:
    wanted = order.tables if order.tables <= LISTS.keys() else {UNIFIED_ENROLLMENTS.name}
    return all(data.file(TABLES[name], order.partition).exists() for name in wanted)


def _answers(data: DataDir, order: Order) -> Path:
    """Lists that are pulled alone have answers of their own, and leave those of the enrollments alone."""
    path = data.answers(order.partition)
    return path.with_suffix(".lists.sqlite") if order.lists_only else path


def _remove_old_answers(data: DataDir, order: Order) -> None:
    """Remove the account's answers and details of days that are too long ago to be flattened again."""
    first = order.day - timedelta(days=max(1, order.options.answer_days))
    oldest = data.answers(Partition(order.account_id, first)).stem
    for folder in (data.answers(order.partition).parent, data.details(order.partition).parent):
        for path in folder.glob("snapshot_date=*"):
            if path.name.partition(".")[0] < oldest:
                with disk_errors(path):
                    path.unlink(missing_ok=True)
