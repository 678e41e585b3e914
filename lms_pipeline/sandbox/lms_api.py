"""The routes below `/unified/lms`.

What belongs here: which records of which account a request is answered with, and when it is refused instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lms_pipeline.sandbox.bodies import object_body, page_body
from lms_pipeline.sandbox.cursors import listing_name, read_cursor, write_cursor
from lms_pipeline.sandbox.query import read_query
from lms_pipeline.sandbox.refusals import (
    NOT_ENROLLED,
    bad_request,
    by_provider,
    missing_parameters,
    no_such_account,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from lms_pipeline.sandbox.clock import Clock
    from lms_pipeline.sandbox.listing import Listing
    from lms_pipeline.sandbox.query import Query
    from lms_pipeline.sandbox.world import Account, Record, View, World


class LmsApi:
    """Answers about what an account holds at the instant that the clock shows."""

    def __init__(self, world: World, accounts: Mapping[str, Account], clock: Clock) -> None:
        self._world = world
        self._accounts = accounts
        self._clock = clock

    def users(self, request: Request) -> bytes:
        """`GET /unified/lms/users`."""
        return _page(self._view(self._account(request)).users(), request)

    def courses(self, request: Request) -> bytes:
        """`GET /unified/lms/courses`."""
        return _page(self._view(self._account(request)).courses(), request)

    def user(self, request: Request) -> bytes:
        """`GET /unified/lms/users/{id}`."""
        record = self._view(self._account(request)).user(request.path_params["id"])
        return _single(record, request, "The requested user does not exist")

    def course(self, request: Request) -> bytes:
        """`GET /unified/lms/courses/{id}`."""
        record = self._view(self._account(request)).course(request.path_params["id"])
        return _single(record, request, "The requested course does not exist")

    def course_enrollments(self, request: Request) -> bytes:
        """`GET /unified/lms/course-enrollments`."""
        account = self._account(request)
        query = read_query(request.query_params)
        if account.demands_pair:
            return self._pair(account, query)
        return _page(self._view(account).enrollments(query.user_id, query.course_id), request)

    def _pair(self, account: Account, query: Query) -> bytes:
        """A provider that demands the pair has one record of it or an error, and its raw body has no envelope."""
        asked = {"user[id]": query.user_id, "course[id]": query.course_id}
        if missing := [name for name, value in asked.items() if value is None]:
            raise missing_parameters(missing)
        records = self._view(account).enrollments(query.user_id, query.course_id).read(0, 1).records
        if not records:
            raise by_provider(404, NOT_ENROLLED)
        body = object_body(records[0], query)
        return body if query.format == "raw" else page_body([body], None)

    def _account(self, request: Request) -> Account:
        account_id = request.query_params.get("integrated_account_id")
        if not account_id:
            raise missing_parameters(["integrated_account_id"])
        account = self._accounts.get(account_id)
        if account is None:
            raise no_such_account()
        if account.status == "needs_reauth":
            raise by_provider(401, "The connection of this account is broken, it has to be connected again")
        if account.integration.category != "lms":
            raise bad_request(f"The integration {account.integration.name} has no unified model lms")
        return account

    def _view(self, account: Account) -> View:
        return self._world.view(account.id, self._clock.now())


def _page(listing: Listing, request: Request) -> bytes:
    query = read_query(request.query_params)
    name = listing_name(request.url.path, request.query_params.multi_items())
    stretch = listing.read(read_cursor(name, query.cursor), query.limit)
    following = None if stretch.next_position is None else write_cursor(name, stretch.next_position)
    return page_body([object_body(record, query) for record in stretch.records], following)


def _single(record: Record | None, request: Request, otherwise: str) -> bytes:
    if record is None:
        raise by_provider(404, otherwise)
    return object_body(record, read_query(request.query_params))
