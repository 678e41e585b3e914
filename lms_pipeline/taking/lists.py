"""The users and courses lists on their way to their tables.

What belongs here: taking one list whole, anew where it broke off.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from lms_pipeline.extract.session import BrokenListError, fetch_list
from lms_pipeline.lake.files import TableFile
from lms_pipeline.snapshot.job import LISTS, TABLES
from lms_pipeline.taking.underway import Pull
from lms_pipeline.transform.dedupe import WaitingRows
from lms_pipeline.transform.users_courses import ListFlattener, ListName

T = TypeVar("T")

log = logging.getLogger(__name__)


def anew(take: Callable[[], T]) -> T:
    """What `take` gives; a list that broke off is taken once more from its beginning, and no more than once.

    Raises:
        TrutoError: it broke off again.
    """
    try:
        return take()
    except BrokenListError as broken:
        log.warning("%s The list is read once more from its beginning.", broken)
    try:
        return take()
    except BrokenListError as again:
        raise again.__cause__ or again from None


@dataclass
class TakenList:
    """A list in its file, which isn't closed yet, and the ids in it."""

    file: TableFile
    is_offered: bool = False
    """Whether the LMS has it: a list that it doesn't have is empty."""
    is_partial: bool = False
    ids: list[pa.Array] = field(default_factory=list)

    def unique_ids(self) -> list[str]:
        """Each id once, in the order of the list."""
        if not self.ids:
            return []
        unique: list[str] = pc.unique(pa.chunked_array(self.ids, pa.string())).to_pylist()
        return unique


def take_list(name: ListName, pull: Pull, files: ExitStack) -> TakenList:
    """Take one list into its file, which `files` closes.

    Raises:
        TrutoError: no answer.
    """
    order = pull.order

    def take() -> TakenList:
        table = TABLES[name]
        flattener = ListFlattener(name)
        with ExitStack() as opened:
            taken = TakenList(opened.enter_context(pull.publication.open(table)))
            waiting = opened.enter_context(WaitingRows(table, table.key, pull.folder))
            for page in fetch_list(pull.asker, order.account_id, LISTS[name], order.options):
                batch = flattener.flatten(page.records, page.received_at)
                waiting.add(batch)
                taken.is_offered = True
                taken.ids.append(batch.column(table.key[0]))
                taken.is_partial |= page.is_partial
            duplicates = waiting.settle(taken.file)
            if duplicates.total:
                flattener.counts["duplicates"] = duplicates.total
            pull.report.reading[name] = flattener.counts
            files.push(opened.pop_all())
        return taken

    taken = anew(take)
    pull.report.complete &= not taken.is_partial
    return taken
