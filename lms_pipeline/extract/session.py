"""Asking so that nothing is asked twice: kept answers first, then the API, whose answers are kept before they count.

What belongs here: one request at a time, and lists that begin anew where they broke off. Which requests make a snapshot
is the strategies'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.extract.checkpoint import Attempt, StoredResponse
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError
from lms_pipeline.truto.pagination import RepeatedPageError, follow_pages
from lms_pipeline.truto.query import ListQuery, ObjectQuery, Resource
from lms_pipeline.truto.request import Request, build_list_request, build_record_request
from lms_pipeline.truto.response import Page, SingleRecord, read_page, read_record

T = TypeVar("T")

OK = 200
NOT_ENROLLED = "not enrolled in this course"
"""What TalentLMS says of a pair that doesn't exist, under 400 or 404: https://truto.one/docs doesn't tell which."""


class BrokenListError(LmsPipelineError):
    """A list can't be read on from where it is; it has to begin anew."""


class NotKeptError(LmsPipelineError):
    """A replay needs an answer that isn't there."""


class FetchSession:
    """Asks for one snapshot; threads may share it. Without a client it answers from what was kept alone."""

    def __init__(self, client: TrutoClient | None, attempt: Attempt) -> None:
        self._client = client
        self._attempt = attempt

    @property
    def requests(self) -> int:
        """How many requests were sent for this snapshot, by whichever process."""
        return self._attempt.requests

    @property
    def is_replay(self) -> bool:
        """Whether it answers from what was kept alone."""
        return self._client is None

    def save_replay_context(self, context: str) -> None:
        """Keep beside the answers what they were asked under."""
        if not self.is_replay:
            self._attempt.replay_context = context

    def forget_stale_lists(self, now: datetime, resume_within: timedelta) -> None:
        """Let lists begin anew where they were left off too long ago."""
        last_response_at = self._attempt.last_response_at
        if (
            self._client is not None
            and last_response_at is not None
            and now - last_response_at > resume_within
        ):
            self._attempt.forget("list ")

    def fetch_pages(self, resource: Resource, query: ListQuery, round_: int = 1) -> Iterator[Page]:
        """The pages of a list; those of another round are other ones.

        Raises:
            BrokenListError: the cursor has expired or leads back. What was kept of the list is dropped.
            TrutoError: no answer.
        """
        prefix = f"list {resource} {round_} "

        def page_at(cursor: str | None) -> Page:
            request = build_list_request(resource, query, cursor)
            try:
                return self._read(f"{prefix}{request.key}", request, read_page)
            except PermanentError as error:
                if cursor is not None and error.status == 400:
                    raise BrokenListError(str(error)) from error
                raise

        try:
            yield from follow_pages(page_at, build_list_request(resource, query).label)
        except (BrokenListError, RepeatedPageError) as error:
            self._attempt.forget(prefix)
            raise BrokenListError(str(error)) from (error.__cause__ or error)

    def fetch_roster(self, resource: Resource, record_id: str, query: ObjectQuery) -> SingleRecord | None:
        """A record by its id; None where it isn't there any more.

        Raises:
            TrutoError: no answer.
        """
        request = build_record_request(resource, record_id, query)
        return self._read_or_absent(f"one {request.key}", request, read_record, _is_missing)

    def fetch_pair(self, query: ListQuery) -> Page | None:
        """The enrollment of a learner in a course; None where there is none.

        Raises:
            TrutoError: no answer.
        """
        request = build_list_request("course-enrollments", query)
        return self._read_or_absent(f"pair {request.key}", request, read_page, _is_not_enrolled)

    def fetch_metadata(self, request: Request, read: Callable[[bytes, datetime], T]) -> T:
        """What Truto tells of an account by itself.

        Raises:
            TrutoError: no answer.
        """
        return self._read(f"meta {request.key}", request, read)

    def _read_or_absent(
        self,
        key: str,
        request: Request,
        read: Callable[[bytes, datetime], T],
        is_absent: Callable[[PermanentError], bool],
    ) -> T | None:
        kept = self._attempt.find(key)
        if kept is not None and kept.status != OK:
            return None
        try:
            return self._read(key, request, read, kept)
        except PermanentError as error:
            if not is_absent(error) or self._client is None:
                raise
            self._attempt.keep(key, StoredResponse(error.status or 0, self._client.now(), b""))
            return None

    def _read(
        self,
        key: str,
        request: Request,
        read: Callable[[bytes, datetime], T],
        kept: StoredResponse | None = None,
    ) -> T:
        kept = kept or self._attempt.find(key)
        if kept is not None:
            return read(kept.body, kept.received_at)
        if self._client is None:
            raise NotKeptError(
                f"The answer to a request of that snapshot was not kept ({request.label}): pull the day again."
            )
        answer = self._client.answer(request, read)
        self._attempt.keep(key, StoredResponse(OK, answer.received_at, answer.body))
        return answer.read


def _is_missing(error: PermanentError) -> bool:
    return error.status == 404 and error.remote


def _is_not_enrolled(error: PermanentError) -> bool:
    """TalentLMS's words; or a provider that has no such learner or course any more."""
    return error.remote and (
        error.status == 404 or (error.status == 400 and NOT_ENROLLED in error.said.lower())
    )


NOT_OFFERED = {404, 405, 501}
"""Statuses with which a provider that has no such list says so."""


class PairDemandedError(LmsPipelineError):
    """The account gives no list of enrollments."""


def build_sweep_query(account_id: str, options: AccountOptions) -> ListQuery:
    """The list of all enrollments."""
    return ListQuery(
        account_id,
        limit=options.page_size,
        ignore_remote_data=options.remote_data == "drop",
        remote_query=options.remote_query,
    )


def sweep_enrollments(
    session: FetchSession, account_id: str, options: AccountOptions, round_: int = 1
) -> Iterator[Page]:
    """The pages of the account's enrollments; another round asks for all of them again.

    Raises:
        PairDemandedError: the account answers for one learner and course at a time.
        TrutoError: no answer.
    """
    try:
        yield from session.fetch_pages("course-enrollments", build_sweep_query(account_id, options), round_)
    except PermanentError as error:
        if error.missing_parameters:
            raise PairDemandedError(
                f"Account {account_id} can't be swept: its LMS answers for one learner and course at a time "
                f"(it requires {' and '.join(error.missing_parameters)}): "
                'take strategy = "auto" for it in LMS_ACCOUNTS_FILE.'
            ) from error
        raise


def fetch_list(
    session: FetchSession, account_id: str, resource: Resource, options: AccountOptions
) -> Iterator[Page]:
    """The pages of the users or the courses list; none where the LMS does not offer it.

    Raises:
        TrutoError: no answer, for another reason.
    """
    query = ListQuery(account_id, limit=options.page_size, ignore_remote_data=True)
    offered = False
    try:
        for page in session.fetch_pages(resource, query):
            offered = True
            yield page
    except PermanentError as error:
        if offered or error.status not in NOT_OFFERED:
            raise
