"""Raw records in Truto's raw format: the requests beside the unified ones, and what follows from a refusal.

Belongs here: which raw requests a snapshot sends, and whether they bring all raw records. Not here: the rows
(`transform/raw_format.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import Lock

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.errors import choose_form, format_count
from lms_pipeline.extract.session import RAW_REFUSAL_KEY, BrokenListError, FetchSession, build_sweep_query
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError, TrutoError, UnreadableFormatError
from lms_pipeline.truto.list_bounds import RepeatedPageError
from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.response import Page
from lms_pipeline.truto.store import NotKeptError, StoredResponse

MAX_ABSENT = 5
"""Raw responses without an enrollment, before any with one, after which the format counts as refused."""

log = logging.getLogger(__name__)


class RawFormat:
    """The raw requests of one snapshot. Threads may share it; `open_raw_format` makes one.

    If the provider refuses the format, no further raw request is sent for the snapshot. The refusal is stored with the
    responses: a continued pull and a replay use the raw responses that are stored, and know that others are missing.
    """

    def __init__(self, session: FetchSession, stored: TrutoClient, account_id: str, options: AccountOptions) -> None:
        self._session = session
        self._stored = stored
        self._account_id = account_id
        self._query = convert_to_raw(build_sweep_query(account_id, options))
        self._lock = Lock()
        self._is_restarted = False
        self._absent = 0
        self._has_record = False
        self._is_bare = self._is_partial = False
        refusal = session.attempt.get(RAW_REFUSAL_KEY)
        self.refusal = None if refusal is None else refusal.body.decode()
        """Why raw records can't be fetched, as a sentence; None while they can."""

    def fetch_pages(self) -> Iterator[Page]:
        """Yield the pages of the raw list, as far as they can be fetched.

        Raises:
            BrokenListError: a cursor has expired or leads back, for the first time. Its stored pages are dropped.
            TrutoError: no usable response, for a reason that is not the format.
        """
        try:
            for page in self._follow_pages():
                self._is_bare |= not page.has_envelope
                self._is_partial |= page.is_partial or page.missing > 0
                yield page
        except BrokenListError:
            self._is_restarted = True
            self._is_bare = self._is_partial = False
            raise

    def fetch_pair(self, query: ListQuery) -> Page | None:
        """Return the raw record of the pair of a unified query; None if there is none, or the format is refused.

        Raises:
            TrutoError: no usable response, for a reason that is not the format.
            BudgetSpentError: no call is left.
            NotKeptError: a replay without this response.
        """
        raw_query = convert_to_raw(query)
        if self.refusal is not None:
            with suppress(NotKeptError):
                return self._stored.fetch_pair(raw_query)
            return None
        try:
            page = self._session.client.fetch_pair(raw_query)
        except PermanentError as error:
            self._refuse(error)
            return None
        self._count_pair(page)
        return page

    def describe_gaps(self, missing: int) -> str | None:
        """Return why raw records are missing, as one sentence; None if all are there.

        `missing` is the number of enrollments known to have no raw record.
        """
        if self.refusal is not None:
            return self.refusal
        if self._is_bare:
            return (
                f"The raw list of account {self._account_id} has no envelope: nothing says whether there are more "
                "pages, and only the first one was fetched."
            )
        if self._is_partial:
            return f"A raw response of account {self._account_id} says that records are missing."
        if missing:
            have = choose_form(missing, "has", "have")
            return f"{format_count(missing, 'enrollment')} of account {self._account_id} {have} no raw record."
        return None

    def _follow_pages(self) -> Iterator[Page]:
        if self.refusal is not None:
            with suppress(NotKeptError, RepeatedPageError):
                yield from self._stored.fetch_pages("course-enrollments", self._query)
        elif self._is_restarted:
            try:
                client, max_records = self._session.client, self._session.max_records
                yield from client.fetch_pages("course-enrollments", self._query, max_records=max_records)
            except (PermanentError, RepeatedPageError) as error:
                self._refuse(error)
        else:
            try:
                yield from self._session.fetch_pages("course-enrollments", self._query)
            except PermanentError as error:
                self._refuse(error)

    def _count_pair(self, page: Page | None) -> None:
        """Count the raw response about a pair that has an enrollment."""
        with self._lock:
            has_record = page is not None and page.has_record
            self._has_record |= has_record
            self._absent += not has_record
            self._is_partial |= page is not None and (page.is_partial or page.next_cursor is not None)
            is_refusal = self._absent >= MAX_ABSENT and not self._has_record
        if is_refusal and not self._session.client.is_replay:
            self._save_refusal(f"its LMS has no raw record of {MAX_ABSENT} enrollments that it has")

    def _refuse(self, error: TrutoError) -> None:
        """Take an error as a refusal of the format; one that has another cause is raised again."""
        is_of_format = isinstance(error, UnreadableFormatError)
        is_cause_elsewhere = isinstance(error, PermanentError) and not is_of_format and error.status in {None, 401}
        if is_cause_elsewhere or self._session.client.is_replay:
            raise error
        self._save_refusal(str(error).removesuffix("."), error.status)

    def _save_refusal(self, reason: str, status: int | None = None) -> None:
        with self._lock:
            if self.refusal is not None:
                return
            text = (
                f"Raw records of account {self._account_id} are missing: {reason}. If this happens every day, set "
                'remote_data = "keep" or "drop" for it in LMS_ACCOUNTS_FILE.'
            )
            response = StoredResponse(status or 0, self._session.client.now(), text.encode())
            self._session.attempt.put(RAW_REFUSAL_KEY, response)
            self.refusal = text


@contextmanager
def open_raw_format(session: FetchSession, account_id: str, options: AccountOptions) -> Iterator[RawFormat]:
    """Open the raw requests of one snapshot."""
    with TrutoClient.for_replay(session.attempt) as stored:
        yield RawFormat(session, stored, account_id, options)


def convert_to_raw(query: ListQuery) -> ListQuery:
    """Return the query of the provider's own records of a unified query."""
    return replace(query, response_format="raw", ignore_remote_data=False)
