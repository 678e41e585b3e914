"""Lists of one snapshot: what the checkpoint holds is not requested again.

Belongs here: lists that must restart, and the queries of an account's lists. Not here: pairs and rosters
(`strategies.py`), single responses (`truto/client.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.extract.checkpoint import Attempt
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import ExpiredCursorError, PermanentError
from lms_pipeline.truto.list_bounds import MAX_RECORDS, RepeatedPageError
from lms_pipeline.truto.query import ListQuery, Resource
from lms_pipeline.truto.request import format_list_scope
from lms_pipeline.truto.response import Page
from lms_pipeline.truto.store import NotKeptError

NOT_OFFERED = {404, 405, 501}
"""Statuses with which a provider says that it has no such list."""
RAW_REFUSAL_KEY = "refused raw"
"""The key of a stored refusal of the raw format; checkpoints on disk hold it, so its text never changes."""


class BrokenListError(LmsPipelineError):
    """A list can't be continued where it stopped; it must restart."""


class PairDemandedError(LmsPipelineError):
    """The account gives no list of enrollments."""


@dataclass(frozen=True, slots=True)
class FetchSession:
    """The requests of one snapshot; threads may share it."""

    client: TrutoClient
    """The client with `attempt` as its store; for a replay it comes from `TrutoClient.for_replay`."""
    attempt: Attempt
    started_lists: set[str] = field(default_factory=set)
    """Scopes of the lists whose first page was read; a restart does not remove them."""
    max_records: int = MAX_RECORDS
    """Records of one list, see `AccountOptions.max_records`."""
    recount: Callable[[], None] = lambda: None
    """Is called after responses were removed: they no longer count in the volume of the snapshot."""
    measure_time_left: Callable[[], float] = lambda: math.inf
    """Returns the seconds until the day closes, after which no response belongs to it."""

    def save_replay_context(self, text: str) -> None:
        """Store beside the responses what a replay of them needs."""
        if not self.client.is_replay:
            self.attempt.save_replay_context(text)

    def forget_stale_lists(self, now: datetime, resume_within: timedelta) -> None:
        """Restart all lists if the attempt stopped longer ago than `resume_within`: their cursors may have expired."""
        last_response_at = self.attempt.last_response_at
        if not self.client.is_replay and last_response_at is not None and now - last_response_at > resume_within:
            self.attempt.forget("list ")
            self.attempt.forget(RAW_REFUSAL_KEY)
            self.recount()

    def fetch_pages(self, resource: Resource, query: ListQuery, round_: int = 1) -> Iterator[Page]:
        """Yield the pages of a list; each round reads the list from its start.

        Raises:
            BrokenListError: a cursor has expired or leads back. The stored pages of the round are dropped.
            NotKeptError: the same in a replay, which drops nothing.
            TrutoError: no usable response; `EndlessListError` if the list goes on beyond its bounds.
        """
        scope = format_list_scope(resource, round_, query.response_format)
        try:
            for page in self.client.fetch_pages(resource, query, round_, self.max_records):
                self.started_lists.add(scope)
                yield page
        except (ExpiredCursorError, RepeatedPageError) as error:
            if self.client.is_replay:  # its responses exist nowhere else
                raise NotKeptError(f"The stored responses can't be replayed: {error}") from error
            self.attempt.forget(f"{scope} ")
            self.recount()
            raise BrokenListError(str(error)) from error


def build_sweep_query(account_id: str, options: AccountOptions) -> ListQuery:
    """Return the query of the list of all enrollments of an account."""
    return ListQuery(
        account_id,
        limit=options.page_size,
        ignore_remote_data=options.remote_data != "keep",
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
    """Yield the pages of the users or the courses of an account; none if the LMS offers no such list.

    Raises:
        BrokenListError: as for `FetchSession.fetch_pages`.
        TrutoError: no usable response, for another reason.
    """
    query = ListQuery(account_id, limit=options.page_size, ignore_remote_data=True)
    try:
        yield from session.fetch_pages(resource, query)
    except PermanentError as error:
        is_offered = format_list_scope(resource, 1) in session.started_lists
        if is_offered or error.status not in NOT_OFFERED:
            raise
