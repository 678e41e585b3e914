"""Taking a snapshot: from the requests of an account to its published files.

What belongs here: the order of the steps. Each step lives in its own room: asking in `pull/`, reading in
`enrollments/`, bringing rows in `taking/`, files in `lake/`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from lms_pipeline.days import Calendar
from lms_pipeline.extract.budget import Budget
from lms_pipeline.extract.checkpoint import Answers, Attempt
from lms_pipeline.extract.session import Asker, NotKeptError
from lms_pipeline.housekeeping.cleanup import old_answers, remove
from lms_pipeline.housekeeping.policy import Rules
from lms_pipeline.lake.disk import check_room
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.lock import alone
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.publishing import Publication, RowDropError, published_files, remove_leftovers
from lms_pipeline.snapshot.job import LISTS, TABLES, Order, Report
from lms_pipeline.snapshot.run import Taking
from lms_pipeline.tables.pulled import PULLED_TABLES, UNIFIED_ENROLLMENTS
from lms_pipeline.taking.circumstances import Circumstances, read_circumstances
from lms_pipeline.taking.underway import Pull
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.transport import Gate

log = logging.getLogger(__name__)


class Connect(Protocol):
    """Opens a client whose every request passes a gate."""

    def __call__(self, gate: Gate, /) -> AbstractContextManager[TrutoClient]:
        """A client, as a context manager."""
        ...


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
        LakeError: there is no room for it on the disk, or what is there can't be used.
        BusyError: somebody else is at it.
        BudgetSpentError: the calls that it may cost are used up.
        RowDropError: too many enrollments are missing that the snapshot before has.
        TrutoError: in one sentence, what and what to do.
    """
    started = time.monotonic()
    with alone(data, order.partition) as folder:
        if now() >= calendar.closes_at(order.day) and _is_published(data, order):
            return Report(kept=True, published=published_files(data, PULLED_TABLES, order.partition))
        calendar.check_open(order.day, now())
        remove_leftovers(data, PULLED_TABLES, order.partition)
        check_room(data, order.partition)
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
    with alone(data, order.partition) as folder:
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
    rules = Rules(today=order.day, answer_days={order.account_id: order.options.answer_days})
    remove(data, old_answers(data, rules, order.account_id))
