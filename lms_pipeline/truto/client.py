"""Client of the Truto API: lists page by page, single records, accounts and metadata.

What belongs here: which requests exist, and that each response is stored before it counts. Which requests make a
snapshot is `extract/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Self, TypeVar

import httpx

from lms_pipeline.truto.errors import PermanentError, TransientError, is_missing_record, is_not_enrolled
from lms_pipeline.truto.models import Capabilities, IntegratedAccount, read_accounts, read_capabilities
from lms_pipeline.truto.query import AccountsQuery, ListQuery, ObjectQuery, QueryError, Resource
from lms_pipeline.truto.request import (
    Request,
    build_accounts_request,
    build_capabilities_request,
    build_list_request,
    build_pair_request,
    build_record_request,
)
from lms_pipeline.truto.response import (
    Page,
    SingleRecord,
    read_page,
    read_raw_page,
    read_record,
    remove_envelope_secrets,
    remove_secrets,
)
from lms_pipeline.truto.retry import Cooldowns, RetryingTransport, RetryPolicy
from lms_pipeline.truto.store import OK, ResponseStore, StoredResponse
from lms_pipeline.truto.transport import Gate, HttpTransport, ReplayTransport, iter_body

T = TypeVar("T")

REMOVE_SECRETS = {"unified": remove_secrets, "raw": remove_envelope_secrets}
"""How a body loses what must not be kept; a body of another kind stays as it came."""
ALL_ACCOUNTS = AccountsQuery()
MAX_PAGES = 100_000
"""Of one list: 50 million records at 500 a page."""
MAX_EMPTY_PAGES = 1_000
"""In a row: an empty page with a cursor is not the end, but so many of them lead nowhere."""


class RepeatedPageError(TransientError):
    """A cursor leads back to a page that was fetched before."""


@dataclass(frozen=True, slots=True)
class Response(Generic[T]):
    """A response: its body without secrets, and the value that was read from it."""

    body: bytes
    received_at: datetime
    headers: httpx.Headers
    """Empty where the response comes from the store."""
    value: T


class TrutoClient:
    """Client of the Truto API. Use it as a context manager; threads may share it.

    With a `store`, each response is looked up there first, and put there before it counts. Several clients may share
    their `cooldowns`. `gate` is called before each attempt of a request (see `connection.py`); `transport` replaces
    the network, as in httpx.
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
    ) -> None:
        self._now = now
        self._store = store
        self.is_replay = isinstance(transport, ReplayTransport)
        """Whether every response comes from the store."""
        self._http = HttpTransport(base_url, token, timeout, transport)
        self._transport = RetryingTransport(self._http, gate, cooldowns or Cooldowns(), retry_policy or RetryPolicy())

    @classmethod
    def for_replay(cls, store: ResponseStore) -> Self:
        """Return a client without a network: a response that isn't in the store raises `NotKeptError`."""
        return cls("http://127.0.0.1", "", store=store, transport=ReplayTransport())

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._http.close()

    @property
    def requests(self) -> int:
        """Number of requests that were sent, each attempt counted."""
        return self._http.count

    def now(self) -> datetime:
        """Return the present, as responses are stamped with it."""
        return self._now()

    def fetch(self, request: Request, read: Callable[[bytes, datetime], T]) -> Response[T]:
        """Return the response to a request, with what `read` makes of its body.

        Raises:
            PermanentError: the request is refused.
            TransientError: no usable response after all attempts.
            NotKeptError: a replay without this response.
        """
        stored = self._find(request)
        return self._request(request, read) if stored is None else _read_stored(stored, read)

    def pages(self, resource: Resource, query: ListQuery, round_: int = 1) -> Iterator[Page]:
        """Yield the pages of an account's list, until one names no next page; an empty page is not the end.

        With a store, each `round_` reads the list from its start.

        Raises:
            QueryError: the format has no pages.
            RepeatedPageError: a cursor leads back.
            TrutoError: as for `fetch`; or the list has no end.
        """
        if query.response_format not in {"unified", "raw"}:
            raise QueryError(f"The format {query.response_format} has no pages: use `fetch`.")
        read = read_raw_page if query.response_format == "raw" else read_page
        first = build_list_request(resource, query, round_=round_)

        def fetch_page(cursor: str | None) -> Page:
            request = first if cursor is None else build_list_request(resource, query, cursor, round_)
            return self.fetch(request, read).value

        return _follow_pages(fetch_page, first.label)

    def record(self, resource: Resource, record_id: str, query: ObjectQuery) -> SingleRecord | None:
        """Return a record by its id, which may hold more than in a list; None where its provider has none.

        Raises:
            QueryError: the format is no record.
            TrutoError: as for `fetch`.
        """
        if query.response_format not in {"unified", "raw"}:
            raise QueryError(f"The format {query.response_format} is no record: use `fetch`.")
        return self._fetch_if_present(build_record_request(resource, record_id, query), read_record, is_missing_record)

    def pair(self, query: ListQuery) -> Page | None:
        """Return the enrollment of the query's learner in its course; None where there is none.

        Raises:
            TrutoError: as for `fetch`.
        """
        return self._fetch_if_present(build_pair_request(query), read_page, is_not_enrolled)

    def integrated_accounts(self, query: AccountsQuery = ALL_ACCOUNTS) -> Iterator[IntegratedAccount]:
        """Yield the accounts that the token can see, of every integration.

        Raises:
            TrutoError: as for `pages`.
        """
        label = build_accounts_request(query).label

        def fetch_page(cursor: str | None) -> Page:
            return self.fetch(build_accounts_request(query, cursor), read_page).value

        for page in _follow_pages(fetch_page, label):
            if page.is_partial:  # a missing account would look like a removed one
                raise TransientError("A part of the accounts is missing", request=label, todo="try again later")
            yield from read_accounts(page.records)

    def capabilities(self, account_id: str) -> Capabilities:
        """Return the unified models of an account, without a request to its LMS.

        Raises:
            TrutoError: as for `fetch`.
        """
        return self.fetch(build_capabilities_request(account_id), read_capabilities).value

    def _fetch_if_present(
        self, request: Request, read: Callable[[bytes, datetime], T], is_absent: Callable[[PermanentError], bool]
    ) -> T | None:
        """Return what `read` makes of the body; None where a refusal means an absence, which is stored as well."""
        stored = self._find(request)
        if stored is not None:
            return _read_stored(stored, read).value if stored.status == OK else None
        try:
            return self._request(request, read).value
        except PermanentError as error:
            if not is_absent(error):
                raise
            if self._store is not None:
                self._store.put(request.key, StoredResponse(error.status or 0, self._now(), b""))
            return None

    def _find(self, request: Request) -> StoredResponse | None:
        return None if self._store is None else self._store.get(request.key)

    def _request(self, request: Request, read: Callable[[bytes, datetime], T]) -> Response[T]:
        """Send a request and store its response; one that `read` refuses is requested again, and never stored."""

        def receive(response: httpx.Response) -> Response[T]:
            body = b"".join(iter_body(response, request))
            body = REMOVE_SECRETS.get(request.body, bytes)(body)
            received_at = self._now()
            return Response(body, received_at, response.headers, read(body, received_at))

        response = self._transport.fetch(request, receive)
        if self._store is not None:
            self._store.put(request.key, StoredResponse(OK, response.received_at, response.body))
        return response


def _read_stored(stored: StoredResponse, read: Callable[[bytes, datetime], T]) -> Response[T]:
    value = read(stored.body, stored.received_at)
    return Response(stored.body, stored.received_at, httpx.Headers(), value)


def _follow_pages(fetch_page: Callable[[str | None], Page], label: str) -> Iterator[Page]:
    """Yield the pages of a list, until one names no next page; an empty page is not the end.

    Args:
        fetch_page: returns the page of a cursor; None is the first page.
        label: names the list in errors.

    Raises:
        RepeatedPageError: a cursor came before.
        PermanentError: the list has no end.
        TrutoError: whatever `fetch_page` raises.
    """
    cursor: str | None = None
    seen: set[int] = set()
    empty = 0
    for _ in range(MAX_PAGES):
        page = fetch_page(cursor)
        yield page
        empty = 0 if page.records else empty + 1
        if empty > MAX_EMPTY_PAGES:
            break
        cursor = page.next_cursor
        if cursor is None:
            return
        if hash(cursor) in seen:
            raise RepeatedPageError("Truto repeats a page", request=label, todo="try again later")
        seen.add(hash(cursor))
    pages = f"{empty} empty pages" if empty else f"{MAX_PAGES} pages"
    raise PermanentError(f"The list has no end after {pages}", request=label, todo="report it to Truto")
