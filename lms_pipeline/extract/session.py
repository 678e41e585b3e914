"""Requests of one snapshot: what the checkpoint holds is not requested again.

What belongs here: lists that must restart, and the requests of the lists of an account. Which pairs and rosters are
requested is `strategies.py`; single responses are `truto/client.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.extract.checkpoint import Attempt
from lms_pipeline.truto.client import RepeatedPageError, TrutoClient
from lms_pipeline.truto.errors import PermanentError, TrutoError
from lms_pipeline.truto.query import ListQuery, ObjectQuery, Resource
from lms_pipeline.truto.request import Request, list_scope
from lms_pipeline.truto.response import Page, SingleRecord

T = TypeVar("T")

NOT_OFFERED = {404, 405, 501}
"""Statuses with which a provider says that it has no such list."""


class BrokenListError(LmsPipelineError):
    """A list can't be continued where it stopped; it must restart."""


class PairDemandedError(LmsPipelineError):
    """The account gives no list of enrollments."""


class FetchSession:
    """The requests of one snapshot; threads may share it.

    Args:
        client: has `attempt` as its store; for a replay it comes from `TrutoClient.for_replay`.
        attempt: the responses of the snapshot.
    """

    def __init__(self, client: TrutoClient, attempt: Attempt) -> None:
        self._client = client
        self._attempt = attempt

    @property
    def requests(self) -> int:
        """Number of requests that were sent for this snapshot, by all processes that worked on it."""
        return self._attempt.requests

    @property
    def is_replay(self) -> bool:
        """Whether every response comes from the checkpoint."""
        return self._client.is_replay

    def save_replay_context(self, text: str) -> None:
        """Store beside the responses what a replay of them needs."""
        if not self.is_replay:
            self._attempt.replay_context = text

    def forget_stale_lists(self, now: datetime, resume_within: timedelta) -> None:
        """Restart all lists if the attempt stopped longer ago than `resume_within`: their cursors may have expired."""
        last_response_at = self._attempt.last_response_at
        if not self.is_replay and last_response_at is not None and now - last_response_at > resume_within:
            self._attempt.forget("list ")

    def fetch_pages(self, resource: Resource, query: ListQuery, round_: int = 1) -> Iterator[Page]:
        """Yield the pages of a list; each round reads the list from its start.

        Raises:
            BrokenListError: a cursor has expired or leads back. The stored pages of the round are dropped.
            TrutoError: no usable response.
        """
        has_started = False
        try:
            for page in self._client.pages(resource, query, round_):
                has_started = True
                yield page
        except (PermanentError, RepeatedPageError) as error:
            if not _is_broken(error, has_started=has_started):
                raise
            self._attempt.forget(f"{list_scope(resource, round_)} ")
            raise BrokenListError(str(error)) from error

    def fetch_roster(self, resource: Resource, record_id: str, query: ObjectQuery) -> SingleRecord | None:
        """Return a record by its id; None where its provider has none any more.

        Raises:
            TrutoError: no usable response.
        """
        return self._client.record(resource, record_id, query)

    def fetch_pair(self, query: ListQuery) -> Page | None:
        """Return the enrollment of a learner in a course; None where there is none.

        Raises:
            TrutoError: no usable response.
        """
        return self._client.pair(query)

    def fetch_metadata(self, request: Request, read: Callable[[bytes, datetime], T]) -> T:
        """Return what `read` makes of Truto's metadata of an account.

        Raises:
            TrutoError: no usable response.
        """
        return self._client.fetch(request, read).value


def _is_broken(error: TrutoError, *, has_started: bool) -> bool:
    """Distinguish an expired cursor, a 400 to a request after the first page, from a refusal of the list."""
    return isinstance(error, RepeatedPageError) or (has_started and error.status == 400)


def build_sweep_query(account_id: str, options: AccountOptions) -> ListQuery:
    """Return the query of the list of all enrollments of an account."""
    return ListQuery(
        account_id,
        limit=options.page_size,
        ignore_remote_data=options.remote_data == "drop",
        remote_query=options.remote_query,
    )


def sweep_enrollments(
    session: FetchSession, account_id: str, options: AccountOptions, round_: int = 1
) -> Iterator[Page]:
    """Yield the pages of the account's enrollments; another round requests all of them again.

    Raises:
        PairDemandedError: the account answers for one learner and course at a time.
        BrokenListError: as for `FetchSession.fetch_pages`.
        TrutoError: no usable response.
    """
    try:
        yield from session.fetch_pages("course-enrollments", build_sweep_query(account_id, options), round_)
    except PermanentError as error:
        if error.missing_parameters:
            raise PairDemandedError(
                f"Account {account_id} can't be swept: its LMS answers for one learner and course at a time "
                f"(it requires {' and '.join(error.missing_parameters)}): "
                'set strategy = "auto" for it in LMS_ACCOUNTS_FILE.'
            ) from error
        raise


def fetch_list(session: FetchSession, account_id: str, resource: Resource, options: AccountOptions) -> Iterator[Page]:
    """Yield the pages of the users or the courses of an account; none where the LMS offers no such list.

    Raises:
        BrokenListError: as for `FetchSession.fetch_pages`.
        TrutoError: no usable response, for another reason.
    """
    query = ListQuery(account_id, limit=options.page_size, ignore_remote_data=True)
    is_offered = False
    try:
        for page in session.fetch_pages(resource, query):
            is_offered = True
            yield page
    except PermanentError as error:
        if is_offered or error.status not in NOT_OFFERED:
            raise
