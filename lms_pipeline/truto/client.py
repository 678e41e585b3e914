"""Client of the Truto API: lists page by page, single records, accounts and metadata.

Belongs here: which requests exist, and that each response is stored before it counts. Not here: which requests make a
snapshot (`extract/`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic, Self, TypeVar

import httpx

from lms_pipeline.truto.credentials.bounds import TooManyCredentialsError
from lms_pipeline.truto.errors import (
    ExpiredCursorError,
    PermanentError,
    TransientError,
    UnreadableFormatError,
    build_cursor_error,
    is_missing_record,
    is_not_enrolled,
)
from lms_pipeline.truto.list_bounds import MAX_ACCOUNTS, MAX_RECORDS, ListBounds, RepeatedPageError
from lms_pipeline.truto.models import Capabilities, IntegratedAccount, read_accounts, read_capabilities
from lms_pipeline.truto.query import ListQuery, ObjectQuery, QueryError, Resource, ResponseFormat
from lms_pipeline.truto.raw_json import check_item_count, skip_byte_order_mark
from lms_pipeline.truto.request import (
    BodyKind,
    Request,
    build_accounts_request,
    build_capabilities_request,
    build_list_request,
    build_pair_request,
    build_record_request,
)
from lms_pipeline.truto.response import (
    BadBodyError,
    OtherFormatError,
    Page,
    SingleRecord,
    read_page,
    read_raw_page,
    read_raw_pair,
    read_record,
)
from lms_pipeline.truto.retry import Cooldowns, RetryingTransport, RetryPolicy
from lms_pipeline.truto.secret_keys import remove_envelope_secrets, remove_secrets
from lms_pipeline.truto.store import OK, ResponseStore, StoredResponse
from lms_pipeline.truto.transport import Gate, HttpTransport, ReplayTransport, ServerTimeCheck, read_body

T = TypeVar("T")

log = logging.getLogger(__name__)

REMOVE_SECRETS: dict[BodyKind, Callable[[bytes], bytes]] = {
    "unified": remove_secrets,
    "raw": remove_envelope_secrets,
    "other": bytes,
}
"""How a body of each kind loses what must not be kept; `other` stays as it came."""
NO_CONTENT = 204
EMPTY_LIST = b'{"result":[]}'
"""What a response without content means to the request of a list."""
PAGE_READERS: dict[ResponseFormat, Callable[[bytes, datetime], Page]] = {"unified": read_page, "raw": read_raw_page}
"""The formats that have pages and records, and how a page is read."""
PAIR_READERS = {**PAGE_READERS, "raw": read_raw_pair}
"""How the response about one pair is read."""


@dataclass(frozen=True, slots=True)
class Response(Generic[T]):
    """A response: its headers, empty if it comes from the store, and the value that was read from its body."""

    headers: httpx.Headers
    value: T


class TrutoClient:
    """Client of the Truto API. Use it as a context manager; threads may share it.

    With a `store`, each response is looked up there first, and put there before it counts. Several clients may share
    their `cooldowns`. `gate` is called before each attempt of a request (see `connection.py`); `transport` replaces
    the network, as in httpx; `check_server_time` is called with the server's `Date` of each response.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        store: ResponseStore | None = None,
        transport: httpx.BaseTransport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        cooldowns: Cooldowns | None = None,
        retry_policy: RetryPolicy | None = None,
        gate: Gate = lambda _request: None,
        timeout: float = 60,
        check_server_time: ServerTimeCheck | None = None,
    ) -> None:
        self.now = now
        """Returns the current time, with which responses are stamped."""
        self._store = store
        self.is_replay = isinstance(transport, ReplayTransport)
        """Whether every response comes from the store."""
        self._http = HttpTransport(base_url, token, timeout, transport, check_server_time)
        self._transport = RetryingTransport(self._http, gate, cooldowns or Cooldowns(), retry_policy or RetryPolicy())

    @classmethod
    def for_replay(cls, store: ResponseStore) -> Self:
        """Return a client without a network: a response that isn't in the store raises `NotKeptError`."""
        return cls("http://127.0.0.1", "", store=store, transport=ReplayTransport())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def requests(self) -> int:
        """Number of requests that were sent, each attempt counted."""
        return self._http.count

    def fetch(self, request: Request, read: Callable[[bytes, datetime], T]) -> Response[T]:
        """Return the response to a request, with what `read` makes of its body.

        Raises:
            PermanentError: the request is refused.
            TransientError: no usable response after all attempts.
            NotKeptError: a replay without this response.
        """
        stored = self._find(request)
        if stored is not None:
            with suppress(
                BadBodyError, TooManyCredentialsError
            ):  # an earlier version stored what this one can't use: it is not a response
                body = REMOVE_SECRETS[request.body](stored.body)  # an earlier version stored credentials of the LMS
                return Response(httpx.Headers(), read(body, stored.received_at))
        return self._send(request, read)

    def fetch_pages(
        self, resource: Resource, query: ListQuery, round_: int = 1, max_records: int = MAX_RECORDS
    ) -> Iterator[Page]:
        """Yield the pages of an account's list, until one names no next page; an empty page is not the end.

        With a store, each `round_` reads the list from its start.

        Raises:
            QueryError: the format has no pages.
            ExpiredCursorError: a cursor is refused.
            RepeatedPageError: a cursor or the pages lead back.
            EndlessListError: the list goes on after `max_records`, or beyond its other bounds. A replay has no `max_records`:
                its list has ended.
            TrutoError: as for `fetch`.
        """
        if query.response_format not in PAGE_READERS:
            raise QueryError(f"The format {query.response_format} has no pages: use `fetch`.")
        read = PAGE_READERS[query.response_format]
        if self.is_replay:
            max_records = sys.maxsize
        bounds = ListBounds(max_records, query.limit or 0, is_unified=query.response_format == "unified")
        return self._follow_pages(lambda cursor: build_list_request(resource, query, cursor, round_), read, bounds)

    def fetch_record(self, resource: Resource, record_id: str, query: ObjectQuery) -> SingleRecord | None:
        """Return a record by its id, which may hold more than in a list; None if its provider has none.

        Raises:
            QueryError: the format is no record.
            TrutoError: as for `fetch`.
        """
        if query.response_format not in PAGE_READERS:
            raise QueryError(f"The format {query.response_format} is no record: use `fetch`.")
        return self._fetch_if_present(build_record_request(resource, record_id, query), read_record, is_missing_record)

    def fetch_pair(self, query: ListQuery) -> Page | None:
        """Return the enrollment of the query's learner in its course, unified or raw; None if there is none.

        Raises:
            QueryError: the format has no records.
            TrutoError: as for `fetch`.
        """
        if query.response_format not in PAIR_READERS:
            raise QueryError(f"The format {query.response_format} has no records: use `fetch`.")
        return self._fetch_if_present(build_pair_request(query), PAIR_READERS[query.response_format], is_not_enrolled)

    def fetch_accounts(self, limit: int | None = None) -> Iterator[IntegratedAccount]:
        """Yield the accounts that the token can see, of every integration, from pages of `limit` accounts.

        Raises:
            TrutoError: as for `fetch_pages`.
        """
        for page in self._follow_account_pages(limit):
            yield from read_accounts(page.records)

    def fetch_account_list(self) -> tuple[list[IntegratedAccount], int, int]:
        """Return all accounts, how many records were received, and by how many the list ended before its announced length.

        The list starts again once, if a cursor is refused or leads back.

        Raises:
            TrutoError: as for `fetch_pages`.
        """
        try:
            return self._collect_accounts()
        except (ExpiredCursorError, RepeatedPageError) as broken:
            log.warning("%s The list is read once more from its beginning.", broken)
        return self._collect_accounts()

    def _collect_accounts(self) -> tuple[list[IntegratedAccount], int, int]:
        accounts: list[IntegratedAccount] = []
        received = missing = 0
        for page in self._follow_account_pages(None):
            accounts += read_accounts(page.records)
            received += len(page.records)
            missing += page.missing
        return accounts, received, missing

    def _follow_account_pages(self, limit: int | None) -> Iterator[Page]:
        bounds = ListBounds(MAX_ACCOUNTS, limit or 0)
        for page in self._follow_pages(lambda cursor: build_accounts_request(limit, cursor), read_page, bounds):
            if page.is_partial:  # a missing account would look like a removed one
                label = build_accounts_request().label
                raise TransientError("A part of the accounts is missing", request=label, todo="try again later")
            yield page

    def fetch_capabilities(self, account_id: str) -> Capabilities:
        """Return the unified models of an account, without a request to its LMS.

        Raises:
            TrutoError: as for `fetch`.
        """
        return self.fetch(build_capabilities_request(account_id), read_capabilities).value

    def _follow_pages(
        self,
        build_request: Callable[[str | None], Request],
        read: Callable[[bytes, datetime], Page],
        bounds: ListBounds,
    ) -> Iterator[Page]:
        """Yield the page without a cursor, then those that the cursors name; the last one counts what is missing."""
        cursor: str | None = None
        while True:
            request = build_request(cursor)
            try:
                page = self.fetch(request, read).value
            except PermanentError as error:
                if cursor is None:
                    raise
                raise build_cursor_error(error, request.label) from None
            bounds.count(page)
            cursor = page.next_cursor
            if cursor is None:
                yield replace(page, missing=bounds.missing)
                return
            yield page
            bounds.check_next(cursor, request.label)

    def _fetch_if_present(
        self, request: Request, read: Callable[[bytes, datetime], T], is_absent: Callable[[PermanentError], bool]
    ) -> T | None:
        """Return what `read` makes of the body; None if a refusal means an absence, which is stored as well."""
        stored = self._find(request)
        if stored is not None and stored.status != OK:
            return None
        try:
            return self.fetch(request, read).value
        except PermanentError as error:
            if not is_absent(error):
                raise
            if self._store is not None:
                self._store.put(request.key, StoredResponse(error.status or 0, self.now(), b""))
            return None

    def _find(self, request: Request) -> StoredResponse | None:
        return None if self._store is None else self._store.get(request.key)

    def _send(self, request: Request, read: Callable[[bytes, datetime], T]) -> Response[T]:
        """Send a request and store its response; one that `read` refuses is requested again, and never stored."""

        def receive(response: httpx.Response) -> Response[T]:
            body, gzip = _receive_body(response, request)
            received_at = self.now()
            value = read(body, received_at)
            if self._store is not None:
                self._store.put(request.key, StoredResponse(OK, received_at, body, gzip))
            return Response(response.headers, value)

        try:
            return self._transport.fetch(request, receive)
        except TransientError as error:
            if not isinstance(error.__cause__, OtherFormatError):
                raise
            todo = "the LMS has no raw records that can be read"
            raise UnreadableFormatError(f"The response {error.__cause__}", request=request.label, todo=todo) from None


def _receive_body(response: httpx.Response, request: Request) -> tuple[bytes, bytes | None]:
    """Return the body without what must not be kept, and as it came in gzip if nothing was removed from it.

    A body of another format stays as it came.

    Raises:
        PermanentError: there is no content, and the request is not one of a list.
        TrutoError: the body can't be read.
        BadBodyError: it is nested too deeply.
        TooManyItemsError: it holds too many records.
        TooManyCredentialsError: it has too many places where a credential may be.
    """
    if request.body == "other":
        return read_body(response), None
    if response.status_code != NO_CONTENT:
        received: list[bytes] = []
        decoded = read_body(response, received=received)
        body = skip_byte_order_mark(decoded)
        check_item_count(body)
        body = REMOVE_SECRETS[request.body](body)
        return body, b"".join(received) if received and body is decoded else None
    if not request.is_list:
        todo = "look at the account in Truto"
        raise PermanentError("The response has no content", request=request.label, todo=todo, status=NO_CONTENT)
    return EMPTY_LIST, None
