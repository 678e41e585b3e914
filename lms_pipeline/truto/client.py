"""The client of the Truto API: whole pages, single records, and bodies as they are.

What belongs here: what can be asked, and how the answer is read. What is worth asking, and in which order, is `pull/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, Self, TypeVar

import httpx

from lms_pipeline.truto.errors import TransientError
from lms_pipeline.truto.models import (
    Capabilities,
    IntegratedAccount,
    read_accounts,
    read_capabilities,
    required_parameters,
)
from lms_pipeline.truto.pagination import follow_pages
from lms_pipeline.truto.query import AccountsQuery, ListQuery, ObjectQuery, QueryError, Resource
from lms_pipeline.truto.request import (
    Request,
    build_accounts_request,
    build_capabilities_request,
    build_list_request,
    build_metadata_request,
    build_record_request,
)
from lms_pipeline.truto.response import (
    Page,
    SingleRecord,
    raw_without_secrets,
    read_page,
    read_raw_page,
    read_record,
    without_secrets,
)
from lms_pipeline.truto.retry import Cooldowns, RequestRetrier, RetryPolicy
from lms_pipeline.truto.transport import Downloaded, Gate, HttpTransport, download, iter_body

T = TypeVar("T")

CLEANED = {"unified": without_secrets, "raw": raw_without_secrets}
"""How a body loses what must not be kept; one of another format isn't looked into."""
ALL_ACCOUNTS = AccountsQuery()


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The body of an answer, without what must not be kept, what was read of it, and the headers."""

    body: bytes
    received_at: datetime
    headers: httpx.Headers
    read: T


class TrutoClient:
    """Asks Truto. Use it as a context manager; threads may share it, and so may they the `cooldowns` of several."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        cooldowns: Cooldowns | None = None,
        retry_policy: RetryPolicy | None = None,
        gate: Gate = lambda _wanted: None,
        timeout: float = 60,
    ) -> None:
        self._now = now
        self._requests = HttpTransport(base_url, token, timeout, gate)
        self._asking = RequestRetrier(self._requests, cooldowns or Cooldowns(), retry_policy or RetryPolicy())

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._requests.close()

    @property
    def requests(self) -> int:
        """How many requests were really sent, tries included."""
        return self._requests.count

    def now(self) -> datetime:
        """The present, as answers are stamped with it."""
        return self._now()

    def answer(self, request: Request, read: Callable[[bytes, datetime], T]) -> Answer[T]:
        """An answer that `read` can read, asked for until there is one.

        Raises:
            PermanentError: refused.
            TransientError: no answer to use, however often it was asked.
        """

        def received(response: httpx.Response) -> Answer[T]:
            body = b"".join(iter_body(response, request))
            body = CLEANED.get(request.body, bytes)(body)
            received_at = self._now()
            return Answer(body, received_at, response.headers, read(body, received_at))

        return self._asking.ask(request, received)

    def pages(self, resource: Resource, query: ListQuery) -> Iterator[Page]:
        """The pages of a list of one account, until the API names no next one; an empty page is no end.

        Raises:
            QueryError: the format has no pages.
            TrutoError: as for `answer`; or the list has no end.
        """
        if query.response_format not in {"unified", "raw"}:
            raise QueryError(f"The format {query.response_format} has no pages: take `body` or `download`.")
        read = read_raw_page if query.response_format == "raw" else read_page
        return follow_pages(
            lambda cursor: self._read(build_list_request(resource, query, cursor), read),
            build_list_request(resource, query).label,
        )

    def one(self, resource: Resource, record_id: str, query: ObjectQuery) -> SingleRecord:
        """A record by its id, which its provider may tell more of than a list does.

        Raises:
            QueryError: the format is no record.
            TrutoError: as for `answer`; a record that isn't there is a `PermanentError` of status 404.
        """
        if query.response_format not in {"unified", "raw"}:
            raise QueryError(f"The format {query.response_format} is no record: take `body` or `download`.")
        return self._read(build_record_request(resource, record_id, query), read_record)

    def body(self, resource: Resource, query: ListQuery, cursor: str | None = None) -> bytes:
        """The body of one answer as it came, in whatever format; the shape of `normalized` isn't published.

        Raises:
            TrutoError: as for `answer`.
        """
        return self.answer(build_list_request(resource, query, cursor), lambda _body, _received_at: None).body

    def download(self, resource: Resource, query: ListQuery, to: Path) -> Downloaded:
        """Write what the provider says into a file, piece by piece; what stood there stays until all of it has come.

        Raises:
            TrutoError: as for `answer`.
            DownloadError: the file can't be written.
        """
        request = build_list_request(resource, query)
        return self._asking.ask(request, lambda response: download(response, request, to))

    def integrated_accounts(self, query: AccountsQuery = ALL_ACCOUNTS) -> Iterator[IntegratedAccount]:
        """The accounts that the token can see, whatever their integration.

        Raises:
            TrutoError: as for `pages`.
        """
        told = build_accounts_request(query).label
        for page in follow_pages(
            lambda cursor: self._read(build_accounts_request(query, cursor), read_page), told
        ):
            if page.is_partial:  # whoever is missing would be taken for gone
                raise TransientError(
                    "A part of the accounts is missing", request=told, todo="try again later"
                )
            yield from read_accounts(page.records)

    def capabilities(self, account_id: str) -> Capabilities:
        """What the account can be asked for, without asking its LMS.

        Raises:
            TrutoError: as for `answer`.
        """
        return self._read(
            build_capabilities_request(account_id), lambda body, _received_at: read_capabilities(body)
        )

    def required_parameters(self, account_id: str, resource: Resource) -> tuple[str, ...]:
        """The query parameters without which the account gives no list, as `user[id]`.

        Raises:
            TrutoError: as for `answer`.
        """
        request = build_metadata_request(account_id, resource)
        return self._read(request, lambda body, _received_at: required_parameters(body))

    def _read(self, request: Request, read: Callable[[bytes, datetime], T]) -> T:
        return self.answer(request, read).read
