"""A sweep on its way to the files.

What belongs here: reading the list of enrollments, and reading it once more where it changed meanwhile. Pages that shift
while they are read show in enrollments that come twice; a gap without one can't be seen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from lms_pipeline.extract import session
from lms_pipeline.snapshot.writer import EnrollmentFiles
from lms_pipeline.taking.lists import anew
from lms_pipeline.taking.underway import Pull
from lms_pipeline.transform.enrollments import Answered

ROUNDS = 2

log = logging.getLogger(__name__)


def take_sweep(pull: Pull, files: ExitStack, lists: Callable[[], tuple[Path, Path]]) -> EnrollmentFiles:
    """Take the list of enrollments; once more where some came twice.

    Raises:
        PairDemandedError: the account gives no list of enrollments.
        TrutoError: no answer.
    """
    round_ = 1
    while True:
        with ExitStack() as opened:
            taken = anew(partial(_take, pull, opened, round_))
            taken.settle(*lists())
            if taken.duplicates.total == 0 or round_ == ROUNDS:
                files.push(opened.pop_all())
                return taken
        log.warning(
            "%d enrollments of %s came twice: the list changed while it was read, and is read once more.",
            taken.duplicates.total,
            pull.order.account_id,
        )
        round_ += 1


def _take(pull: Pull, files: ExitStack, round_: int) -> EnrollmentFiles:
    order = pull.order
    with ExitStack() as opened:
        taken = opened.enter_context(EnrollmentFiles(order.identity, pull.publication, pull.folder))
        for page in session.sweep_enrollments(pull.asker, order.account_id, order.options, round_):
            taken.answered([Answered(page.records, page.received_at)])
            taken.is_partial |= page.is_partial
            taken.repaired_pages += page.is_repaired
        files.push(opened.pop_all())
    return taken
