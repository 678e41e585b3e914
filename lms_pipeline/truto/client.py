"""The client of the Truto API: one request at a time, whole pages, bounded in size, time and tries.

What belongs here: HTTP. What is worth asking, and in which order, is `pull/`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Self

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from lms_pipeline import __version__
from lms_pipeline.truto.accounts import IntegratedAccount, read_accounts
from lms_pipeline.truto.errors import PermanentError, TransientError, error_of
from lms_pipeline.truto.page import BadBodyError, Page, read_page
from lms_pipeline.truto.query import ListQuery, Resource
from lms_pipeline.truto.waits import Patience

MOST_BYTES = 64 * 2**20
"""Of one decoded body: a page of 500 enrollments with their raw is about 1 MB."""
MOST_SECONDS = 300.0
"""Of one answer from first to last byte, however slowly it drips."""
MOST_PAGES = 100_000
"""Of one list: 50 million records at 500 a page."""

LEAST_SECRET = 8
"""Characters: what is shorter is no secret, and cutting it out would only spoil a message."""

log = logging.getLogger(__name__)


def _without_query(record: logging.LogRecord) -> bool:
    """Let a line of httpx pass, but for the query of its URL, where ids and cursors stand."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            value.copy_with(query=None) if isinstance(value, httpx.URL) else value for value in record.args
        )
    return True


logging.getLogger("httpx").addFilter(_without_query)


class TrutoClient:
    """Asks Truto; `requests` counts what was really sent, tries included. Use it as a context manager."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        patience: Patience | None = None,
        timeout: float = 60,
    ) -> None:
        self.requests = 0
        self._now = now
        self._sleep = sleep
        self._token = token
        self._patience = patience or Patience()
        self._http = httpx.Client(
            base_url=base_url,
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/json",
                "User-Agent": f"lms-pipeline/{__version__}",
            },
            timeout=httpx.Timeout(timeout, connect=10),
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._http.close()

    def pages(self, resource: Resource, query: ListQuery) -> Iterator[Page]:
        """The pages of a list of one account, until the API names no next one; an empty page is no end.

        Raises:
            PermanentError: refused; or the list has no end.
            TransientError: no answer to use, however often it was asked.
        """
        path = f"/unified/lms/{resource}"
        return self._pages(path, query.parameters, f"GET {path} of account {query.account_id}")

    def integrated_accounts(self) -> Iterator[IntegratedAccount]:
        """Every account that the token can see, whatever its integration.

        Raises:
            TrutoError: as for `pages`.
        """
        path = "/integrated-account"
        for page in self._pages(
            path, lambda cursor: [("next_cursor", cursor)] if cursor else [], f"GET {path}"
        ):
            yield from read_accounts(page.records)

    def _pages(
        self, path: str, parameters: Callable[[str | None], list[tuple[str, str]]], request: str
    ) -> Iterator[Page]:
        cursor: str | None = None
        seen: set[int] = set()
        for _ in range(MOST_PAGES):
            page = self._page(path, parameters(cursor), request)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return
            if hash(cursor) in seen:
                raise TransientError("Truto repeats a page", request=request, todo="try again later")
            seen.add(hash(cursor))
        raise PermanentError(
            f"The list has no end after {MOST_PAGES} pages", request=request, todo="tell Truto"
        )

    def _page(self, path: str, parameters: list[tuple[str, str]], request: str) -> Page:
        def attempt() -> Page:
            body = self._get(path, parameters, request)
            try:
                return read_page(body, self._now())
            except BadBodyError as bad:
                raise TransientError(f"The answer {bad}", request=request, todo="try again later") from None

        return Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=self._patience.gives_up,
            wait=self._patience.seconds,
            sleep=self._sleep,
            before_sleep=_tell,
            reraise=True,
        )(attempt)

    def _get(self, path: str, parameters: list[tuple[str, str]], request: str) -> bytes:
        """The body of one successful answer."""
        self.requests += 1
        with (
            _connection_errors(request),
            self._http.stream("GET", path, params=tuple(parameters)) as response,
        ):
            body = _read(response, request)
        if response.is_success:
            return body
        secrets = [self._token, *(value for name, value in parameters if name == "next_cursor")]
        told = [secret for secret in secrets if len(secret) >= LEAST_SECRET]
        raise error_of(response.status_code, response.headers, body, request, told)


def _read(response: httpx.Response, request: str) -> bytes:
    """The decoded body, within its bounds: also a small gzip can hold gigabytes, and one in another far more."""
    if "," in response.headers.get("content-encoding", ""):
        raise httpx.DecodingError("packed more than once")
    started = time.monotonic()
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MOST_BYTES:
            raise PermanentError(
                f"The answer is larger than {MOST_BYTES // 2**20} MB",
                request=request,
                todo="lower the page size",
            )
        if time.monotonic() - started > MOST_SECONDS:
            raise TransientError(
                f"The answer took over {MOST_SECONDS:.0f} s", request=request, todo="try again later"
            )
    return bytes(body)


@contextmanager
def _connection_errors(request: str) -> Iterator[None]:
    """What httpx calls the troubles of a connection, as ours; its messages hold no secrets but aren't for people."""
    try:
        yield
    except httpx.TimeoutException:
        raise TransientError("No answer in time", request=request, todo="try again later") from None
    except httpx.ConnectError:
        raise TransientError(
            "No connection", request=request, todo="check the network and TRUTO_BASE_URL"
        ) from None
    except httpx.DecodingError:
        raise TransientError(
            "The answer can't be unpacked", request=request, todo="try again later"
        ) from None
    except httpx.TransportError:
        raise TransientError("The connection was cut", request=request, todo="try again later") from None


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait = state.next_action.sleep if state.next_action else 0
    log.warning("%s Attempt %d of a request; the next one in %.1f s.", error, state.attempt_number, wait)
