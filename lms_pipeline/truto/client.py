"""The client of the Truto API: whole pages, single records, and bodies as they are.

What belongs here: what can be asked, and how the answer is read. What is worth asking, and in which order, is `pull/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from urllib.parse import quote

import httpx

from lms_pipeline.truto.accounts import IntegratedAccount, read_accounts
from lms_pipeline.truto.asking import Asking
from lms_pipeline.truto.discovery import Capabilities, read_capabilities, required_parameters
from lms_pipeline.truto.downloads import Downloaded, download
from lms_pipeline.truto.encoding import Parameter, QueryError
from lms_pipeline.truto.errors import PermanentError, TransientError
from lms_pipeline.truto.page import Page, SingleRecord, read_page, read_raw_page, read_record
from lms_pipeline.truto.pauses import Pauses
from lms_pipeline.truto.query import AccountsQuery, ListQuery, ObjectQuery, Resource
from lms_pipeline.truto.requests import Requests, Wanted, pieces
from lms_pipeline.truto.waits import Patience

MOST_PAGES = 100_000
"""Of one list: 50 million records at 500 a page."""
ALL_ACCOUNTS = AccountsQuery()


class TrutoClient:
    """Asks Truto. Use it as a context manager; threads may share it, and so may they the `pauses` of several."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pauses: Pauses | None = None,
        patience: Patience | None = None,
        timeout: float = 60,
    ) -> None:
        self._now = now
        self._requests = Requests(base_url, token, timeout)
        self._asking = Asking(self._requests, pauses or Pauses(), patience or Patience())

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

    def pages(self, resource: Resource, query: ListQuery) -> Iterator[Page]:
        """The pages of a list of one account, until the API names no next one; an empty page is no end.

        Raises:
            QueryError: the format has no pages.
            PermanentError: refused; or the list has no end.
            TransientError: no answer to use, however often it was asked.
        """
        if query.response_format not in {"unified", "raw"}:
            raise QueryError(f"The format {query.response_format} has no pages: take `body` or `download`.")
        read = read_raw_page if query.response_format == "raw" else read_page
        return self._pages(_list(resource, query), query.parameters, read)

    def one(self, resource: Resource, record_id: str, query: ObjectQuery) -> SingleRecord:
        """A record by its id, which its provider may tell more of than a list does.

        Raises:
            QueryError: the format is no record.
            TrutoError: as for `pages`; a record that isn't there is a `PermanentError` of status 404.
        """
        if query.response_format not in {"unified", "raw"}:
            raise QueryError(f"The format {query.response_format} is no record: take `body` or `download`.")
        path = f"/unified/lms/{resource}/{_in_path(record_id)}"
        told = f"GET /unified/lms/{resource}/{{id}} of account {query.account_id}"
        wanted = Wanted(path, tuple(query.parameters()), told, query.account_id)
        is_raw = query.response_format == "raw"
        return self._asking.ask(
            wanted, lambda answer: read_record(_body(answer, wanted), self._now(), is_raw=is_raw)
        )

    def body(self, resource: Resource, query: ListQuery, cursor: str | None = None) -> bytes:
        """The body of one answer as it came, in whatever format; the shape of `normalized` isn't published.

        Raises:
            TrutoError: as for `pages`.
        """
        wanted = _wanted(_list(resource, query), query.parameters(cursor))
        return self._asking.ask(wanted, lambda answer: _body(answer, wanted))

    def download(self, resource: Resource, query: ListQuery, to: Path) -> Downloaded:
        """Write what the provider says into a file, piece by piece; what stood there stays until all of it has come.

        Raises:
            TrutoError: as for `pages`.
            DownloadError: the file can't be written.
        """
        wanted = _wanted(_list(resource, query), query.parameters())
        return self._asking.ask(wanted, lambda answer: download(answer, wanted, to))

    def integrated_accounts(self, query: AccountsQuery = ALL_ACCOUNTS) -> Iterator[IntegratedAccount]:
        """The accounts that the token can see, whatever their integration.

        Raises:
            TrutoError: as for `pages`.
        """
        wanted = Wanted("/integrated-account", (), "GET /integrated-account")
        for page in self._pages(wanted, query.parameters, read_page):
            yield from read_accounts(page.records)

    def capabilities(self, account_id: str) -> Capabilities:
        """What the account can be asked for, without asking its LMS.

        Raises:
            TrutoError: as for `pages`.
        """
        path = f"/integrated-account/{_in_path(account_id)}/capabilities"
        told = f"GET /integrated-account/{{id}}/capabilities of account {account_id}"
        wanted = Wanted(path, (("type", "unified"),), told, account_id)
        return self._asking.ask(wanted, lambda answer: read_capabilities(_body(answer, wanted)))

    def required_parameters(self, account_id: str, resource: Resource) -> tuple[str, ...]:
        """The query parameters without which the account gives no list, as `user[id]`.

        Raises:
            TrutoError: as for `pages`.
        """
        path = f"/unified/lms/{resource}/meta/list"
        told = f"GET {path} of account {account_id}"
        wanted = Wanted(path, (("integrated_account_id", account_id),), told, account_id)
        return self._asking.ask(wanted, lambda answer: required_parameters(_body(answer, wanted)))

    def _pages(
        self,
        wanted: Wanted,
        parameters: Callable[[str | None], list[Parameter]],
        read: Callable[[bytes, datetime], Page],
    ) -> Iterator[Page]:
        cursor: str | None = None
        seen: set[int] = set()
        for _ in range(MOST_PAGES):
            page = self._page(_wanted(wanted, parameters(cursor)), read)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return
            if hash(cursor) in seen:
                raise TransientError("Truto repeats a page", request=wanted.told, todo="try again later")
            seen.add(hash(cursor))
        raise PermanentError(
            f"The list has no end after {MOST_PAGES} pages", request=wanted.told, todo="tell Truto"
        )

    def _page(self, wanted: Wanted, read: Callable[[bytes, datetime], Page]) -> Page:
        return self._asking.ask(wanted, lambda answer: read(_body(answer, wanted), self._now()))


def _list(resource: Resource, query: ListQuery) -> Wanted:
    path = f"/unified/lms/{resource}"
    return Wanted(path, (), f"GET {path} of account {query.account_id}", query.account_id)


def _wanted(of: Wanted, parameters: list[Parameter]) -> Wanted:
    return Wanted(of.path, tuple(parameters), of.told, of.account_id)


def _body(answer: httpx.Response, wanted: Wanted) -> bytes:
    return b"".join(pieces(answer, wanted))


def _in_path(record_id: str) -> str:
    """An id as one part of a path, whatever is in it; dots alone would lead elsewhere."""
    if not record_id:
        raise QueryError("A record without an id can't be asked for.")
    return record_id.replace(".", "%2E") if not record_id.strip(".") else quote(record_id, safe="")
