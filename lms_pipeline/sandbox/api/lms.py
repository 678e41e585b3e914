"""The routes below `/unified/lms` that return records.

Belongs here: which records a request gets, and when it is refused. Not here: cursors, and the JSON of a page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lms_pipeline.sandbox.api.bodies import encode_object, encode_page
from lms_pipeline.sandbox.api.query import read_query
from lms_pipeline.sandbox.http import (
    CONNECTION_BROKEN,
    NDJSON,
    NOT_ENROLLED,
    Response,
    bad_request,
    decode_members,
    missing_parameters,
    remote_error,
    unknown_account,
    unknown_route,
)
from lms_pipeline.sandbox.pagination import Page, PageRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lms_pipeline.sandbox.api.query import Query
    from lms_pipeline.sandbox.http import Request
    from lms_pipeline.sandbox.state import RunningSandbox
    from lms_pipeline.sandbox.world import Account, Listing, Record, View, World

STREAM_CHUNK_RECORDS = 500


class LmsApi:
    """Serves the records of accounts at the instant of the clock."""

    def __init__(self, world: World, sandbox: RunningSandbox) -> None:
        self._world = world
        self._sandbox = sandbox

    def list_users(self, request: Request) -> Response | PageRequest:
        """Handle `GET /unified/lms/users`."""
        account = self._find_account(request)
        return self._list(account, request, self._view(account).users())

    def list_courses(self, request: Request) -> Response | PageRequest:
        """Handle `GET /unified/lms/courses`."""
        account = self._find_account(request)
        return self._list(account, request, self._view(account).courses())

    def get_user(self, request: Request) -> Response:
        """Handle `GET /unified/lms/users/{id}`."""
        record = self._view(self._find_account(request)).user(_read_id(request))
        return _build_response(record, request, "The requested user does not exist")

    def get_course(self, request: Request) -> Response:
        """Handle `GET /unified/lms/courses/{id}`."""
        record = self._view(self._find_account(request)).course(_read_id(request))
        return _build_response(record, request, "The requested course does not exist")

    def list_enrollments(self, request: Request) -> Response | PageRequest:
        """Handle `GET /unified/lms/course-enrollments`."""
        account, query = self._find_account(request), read_query(request.parameters)
        if account.requires_pair:
            pair = {"user[id]": query.user_id, "course[id]": query.course_id}
            if missing := [name for name, value in pair.items() if value is None]:
                raise missing_parameters(missing)
        listing = self._view(account).enrollments(query.user_id, query.course_id)
        if account.requires_pair:
            records = listing.read(0, 1).records
            if not records:
                raise remote_error(self._sandbox.switches.not_enrolled, NOT_ENROLLED)
            is_bare = query.format == "raw" and self._sandbox.switches.raw_pair == "bare"
            if is_bare or query.format == "stream":
                return Response(encode_object(records[0], query))
            return self._list(account, request, listing, bare_raw=False)
        return self._list(account, request, listing)

    def _list(
        self, account: Account, request: Request, listing: Listing, *, bare_raw: bool | None = None
    ) -> Response | PageRequest:
        query = read_query(request.parameters)
        listing = _apply_remote_query(listing, query)
        if query.format == "stream":
            return Response(_stream(listing, query.limit if query.has_limit else None), media_type=NDJSON)
        is_bare = self._sandbox.switches.raw_body == "bare" if bare_raw is None else bare_raw

        def encode(page: Page, next_cursor: str | None) -> Response:
            return Response(encode_page(page, query, next_cursor, bare_raw=is_bare))

        list_key = (request.route, account.id, query.filters)
        return PageRequest(listing, list_key, query.cursor, query.limit, encode)

    def _find_account(self, request: Request) -> Account:
        if request.account_id is None:
            raise missing_parameters(["integrated_account_id"])
        account = self._sandbox.connections.find_account(request.account_id)
        if account is None:
            raise unknown_account()
        if account.status == "needs_reauth":
            raise remote_error(401, CONNECTION_BROKEN)
        if account.integration.category != "lms":
            raise bad_request(f"The integration {account.integration.name} has no unified model lms")
        return account

    def _view(self, account: Account) -> View:
        return self._world.view(account.id, self._sandbox.clock.now())


def _read_id(request: Request) -> str:
    """Return the id in the path, which may contain slashes and must not be empty."""
    if not request.path_params["id"]:
        raise unknown_route(request)
    return str(request.path_params["id"])


def _build_response(record: Record | None, request: Request, error: str) -> Response:
    if record is None:
        raise remote_error(404, error)
    return Response(encode_object(record, read_query(request.parameters)))


def _stream(listing: Listing, limit: int | None) -> Iterator[bytes]:
    """Yield the provider's objects, one a line; all of them without a limit."""
    position: int | None = 0
    while position is not None and limit != 0:
        size = STREAM_CHUNK_RECORDS if limit is None else min(STREAM_CHUNK_RECORDS, limit)
        records, position = listing.read(position, size)
        yield b"".join((record.remote or b"null") + b"\n" for record in records)
        limit = None if limit is None else limit - len(records)


def _apply_remote_query(listing: Listing, query: Query) -> Listing:
    """Filter by the plain fields of the provider's own objects; a field that it doesn't have is ignored."""
    filters = {name[0]: value for name, value in query.remote_query if len(name) == 1}

    def matches(record: Record) -> bool:
        if record.remote is None or not record.remote.startswith(b"{"):
            return True
        members = decode_members(record.remote)
        return all(_read_text(members[name]) == value for name, value in filters.items() if name in members)

    return listing.filter(matches) if filters else listing


def _read_text(raw: msgspec.Raw) -> str:
    value = bytes(raw)
    return str(msgspec.json.decode(value)) if value.startswith(b'"') else value.decode()
