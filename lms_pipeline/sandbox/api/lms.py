"""The routes below `/unified/lms` that answer with records.

What belongs here: which records of which account a request is answered with, and when it is refused instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lms_pipeline.sandbox.api.bodies import Written, object_body, page_body
from lms_pipeline.sandbox.api.query import read_query
from lms_pipeline.sandbox.http import (
    CONNECTION_BROKEN,
    NOT_ENROLLED,
    bad_request,
    by_provider,
    missing_parameters,
    no_such_account,
    no_such_route,
)
from lms_pipeline.sandbox.wire.answers import NDJSON, Answer
from lms_pipeline.sandbox.wire.pages import cut_page
from lms_pipeline.sandbox.wire.provider import answering_listing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lms_pipeline.sandbox.api.query import Query
    from lms_pipeline.sandbox.listing import Listing
    from lms_pipeline.sandbox.state import Controls
    from lms_pipeline.sandbox.wire.asked import Asked
    from lms_pipeline.sandbox.world import Account, Record, View, World

REQUIRED_PAIR = ("user[id]", "course[id]")
"""What an account that demands the pair can't do without, as the API spells it."""
_PIECE = 500
"""Records in a piece of a stream."""


class LmsApi:
    """Answers about what an account holds at the instant that the clock shows."""

    def __init__(self, world: World, controls: Controls) -> None:
        self._world = world
        self._controls = controls

    def users(self, asked: Asked) -> Answer:
        """`GET /unified/lms/users`."""
        account = self._account(asked)
        return self._list(account, asked, self._view(account).users())

    def courses(self, asked: Asked) -> Answer:
        """`GET /unified/lms/courses`."""
        account = self._account(asked)
        return self._list(account, asked, self._view(account).courses())

    def user(self, asked: Asked) -> Answer:
        """`GET /unified/lms/users/{id}`."""
        record = self._view(self._account(asked)).user(_id(asked))
        return _single(record, asked, "The requested user does not exist")

    def course(self, asked: Asked) -> Answer:
        """`GET /unified/lms/courses/{id}`."""
        record = self._view(self._account(asked)).course(_id(asked))
        return _single(record, asked, "The requested course does not exist")

    def course_enrollments(self, asked: Asked) -> Answer:
        """`GET /unified/lms/course-enrollments`."""
        account, query = self._account(asked), read_query(asked.parameters)
        enrollments = self._view(account).enrollments
        if not account.demands_pair:
            return self._list(account, asked, enrollments(query.user_id, query.course_id))
        given = zip(REQUIRED_PAIR, (query.user_id, query.course_id), strict=True)
        if missing := [name for name, value in given if value is None]:
            raise missing_parameters(missing)
        listing = enrollments(query.user_id, query.course_id)
        if not listing.read(0, 1).records:
            raise by_provider(self._controls.switches.not_enrolled, NOT_ENROLLED)
        if query.format in {"raw", "stream"}:
            return Answer(object_body(listing.read(0, 1).records[0], query))
        return self._list(account, asked, listing)

    def _list(self, account: Account, asked: Asked, everything: Listing) -> Answer:
        query = read_query(asked.parameters)
        listing = answering_listing(everything, query.remote_query)
        if query.format == "stream":
            return _streamed(listing, query)
        name = (asked.route, account.id, query.filters)
        page, next_cursor = cut_page(listing, name, query.cursor, query.limit, asked.faults)
        written = Written(next_cursor, page.is_partial)
        bare = self._controls.switches.raw_body == "bare"
        return Answer(page_body(page.records, query, written, bare_raw=bare))

    def _account(self, asked: Asked) -> Account:
        if asked.account_id is None:
            raise missing_parameters(["integrated_account_id"])
        account = self._controls.connections.account(asked.account_id)
        if account is None:
            raise no_such_account()
        if account.status == "needs_reauth":
            raise by_provider(401, CONNECTION_BROKEN)
        if account.integration.category != "lms":
            raise bad_request(f"The integration {account.integration.name} has no unified model lms")
        return account

    def _view(self, account: Account) -> View:
        return self._world.view(account.id, self._controls.clock.now())


def _id(asked: Asked) -> str:
    """The id in the path: anything but nothing, with slashes where they came percent-encoded."""
    if not asked.path_parameters["id"]:
        raise no_such_route(asked.method, asked.path)
    return asked.path_parameters["id"]


def _single(record: Record | None, asked: Asked, otherwise: str) -> Answer:
    if record is None:
        raise by_provider(404, otherwise)
    return Answer(object_body(record, read_query(asked.parameters)))


def _streamed(listing: Listing, query: Query) -> Answer:
    """What the provider said of every record, a line each: all of them, where no limit is told."""

    def pieces() -> Iterator[bytes]:
        position: int | None = 0
        left = query.limit if query.has_limit else None
        while position is not None and left != 0:
            stretch = listing.read(position, _PIECE if left is None else min(_PIECE, left))
            yield b"".join((record.remote or b"null") + b"\n" for record in stretch.records)
            left = None if left is None else left - len(stretch.records)
            position = stretch.next_position

    return Answer(pieces(), media_type=NDJSON)
