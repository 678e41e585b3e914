"""One HTTP exchange: bounded in bytes and seconds, counted, its errors mapped to ours.

Belongs here: one request and its response. Not here: repeating a request (`retry.py`).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from functools import cache
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import httpx

from lms_pipeline import __version__
from lms_pipeline.settings import LOOPBACK
from lms_pipeline.truto.content_encoding import decode_pieces, parse_encoding
from lms_pipeline.truto.credentials.bounds import MAX_CANDIDATES, TooManyCredentialsError
from lms_pipeline.truto.errors import PermanentError, TransientError, build_body_error, build_error, parse_http_date
from lms_pipeline.truto.network import (
    LimitedBackend,
    RequestLimits,
    RequestTooLongError,
    TooManyBytesError,
    TransportPool,
)
from lms_pipeline.truto.raw_json import MAX_PAGE_ITEMS, TooManyItemsError, skip_byte_order_mark
from lms_pipeline.truto.request import Request
from lms_pipeline.truto.response import FailedBodyError
from lms_pipeline.truto.store import NotKeptError

MAX_BODY_BYTES = 64 * 2**20
"""Bytes of one decoded body: a page of 500 enrollments with their raw is about 1 MB."""
MAX_ERROR_BYTES = 2**20
"""Bytes of the decoded body of an error: of a larger one the status counts."""
MAX_HEAD_BYTES = 2**20
"""Bytes received before the body: the responses of a proxy, interim ones and headers. Those of one head take 100 KB at most,
which is the limit of httpcore."""
MAX_RECEIVED_BYTES = 2 * MAX_BODY_BYTES
"""Bytes received for one request: a body in chunks of 500 bytes needs 2% more than it has, one in single bytes six times."""
MAX_REQUEST_SECONDS = 300.0
"""Seconds from the first attempt to connect to the last byte of the body."""
MAX_URL_LENGTH = 65_000
"""Characters of a path and its parameters; httpx refuses a URL of over 65,536."""
_NO_BODY = httpx.ByteStream(b"")
"""With a body of its own a request gets no further headers."""
MIN_SECRET_LENGTH = 4
"""Characters of the shortest value that is removed from messages: a shorter one reveals nothing."""

Gate = Callable[[Request], None]
"""Called before each attempt of a request: it may wait, or raise to stop the request."""


ServerTimeCheck = Callable[[datetime], None]
"""Called with the `Date` of each response: it may raise to stop the request."""


class BodyTooLargeError(Exception):
    """The decoded body is too large."""


@cache
def _load_certificates(_file: str | None, _folder: str | None, trust_env: bool) -> ssl.SSLContext:
    """Load the certificates that httpx trusts, once for each value of the variables that name them: it takes 30 ms."""
    return httpx.create_ssl_context(trust_env=trust_env)


_TOO_MANY: dict[type[BaseException], str] = {
    TooManyItemsError: f"{MAX_PAGE_ITEMS:,} records",
    TooManyCredentialsError: f"{MAX_CANDIDATES:,} places where a credential may be",
}
LIMIT_ERRORS = (BodyTooLargeError, RequestTooLongError, TooManyBytesError)
"""What ends a request that would go on for too long or take too much memory."""


class HttpTransport:
    """Sends requests with the token; `count` is the number sent. Threads may share it."""

    def __init__(
        self,
        base_url: str,
        token: str,
        timeout: float,
        transport: httpx.BaseTransport | None = None,
        check_server_time: ServerTimeCheck | None = None,
    ) -> None:
        # requests that stay on this machine need no proxy
        trust_env = transport is None and urlsplit(base_url).hostname not in LOOPBACK
        self.count = 0
        self._check_server_time = check_server_time
        self._counting = Lock()
        self._token = token
        self._network = LimitedBackend()
        certificates = _load_certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"), trust_env)

        self._base = httpx.URL(base_url.rstrip("/"))
        self._headers = httpx.Headers(
            {
                "Host": self._base.netloc.decode("ascii"),
                "Authorization": f"Bearer {token}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
                "Connection": "keep-alive",
                "User-Agent": f"lms-pipeline/{__version__}",
            }
        )
        self._timeout = httpx.Timeout(timeout, connect=10).as_dict()

        def open_client() -> httpx.Client:
            return httpx.Client(base_url=base_url, transport=transport, trust_env=trust_env, verify=certificates)

        self._transports = TransportPool(open_client, self._network)

    def close(self) -> None:
        """Close the connections."""
        self._transports.close()

    @contextmanager
    def send(self, request: Request) -> Iterator[httpx.Response]:
        """Send a request; the body of the response is not read yet.

        Raises:
            TrutoError: no response, or one without success; also while the block reads the body, or if the body says
                that the request failed.
        """
        with self._counting:
            self.count += 1
        limits = RequestLimits(MAX_REQUEST_SECONDS, MAX_HEAD_BYTES)
        extensions = {"label": request.label, "limits": limits, "timeout": self._timeout}
        with (
            _convert_errors(request.label),
            self._network.apply(limits),
            self._transports.lend() as transport,
            _exchange(transport, build_url(self._base, request), self._headers, extensions) as response,
        ):
            limits.max_bytes = MAX_RECEIVED_BYTES
            server_time = parse_http_date(response.headers.get("date", ""))
            if self._check_server_time is not None and server_time is not None:
                self._check_server_time(server_time)
            if not response.is_success:
                body: bytes | None = None
                with suppress(httpx.DecodingError, *LIMIT_ERRORS):  # the status says enough
                    body = skip_byte_order_mark(read_body(response, MAX_ERROR_BYTES))
                raise build_error(
                    response.status_code, response.headers, body, request.label, self._collect_secrets(request)
                )
            try:
                yield response
            except FailedBodyError as failed:
                secrets = self._collect_secrets(request)
                raise build_body_error(failed.failure, response.headers, request.label, secrets) from None

    def _collect_secrets(self, request: Request) -> list[str]:
        secrets = {self._token, *request.secrets}
        return sorted((one for one in secrets if len(one) >= MIN_SECRET_LENGTH), key=len, reverse=True)


class ReplayTransport(httpx.BaseTransport):
    """Transport without a network: every request that reaches it is one whose response isn't stored."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Refuse the request.

        Raises:
            NotKeptError: always; the message names the request by its redacted label.
        """
        raise NotKeptError(
            f"The response to a request of that snapshot was not kept ({request.extensions['label']}): pull the day again."
        )


def read_body(response: httpx.Response, max_bytes: int | None = None, received: list[bytes] | None = None) -> bytes:
    """Return the decoded body within its bounds: a small gzip can hold gigabytes, a gzip within a gzip far more.

    `max_bytes` is `MAX_BODY_BYTES` by default. `received` gets the pieces of a body in gzip as they came.

    Raises:
        BodyTooLargeError: the body is too large.
        RequestTooLongError: the request takes too long.
        TooManyBytesError: too many bytes were received for the body that they are.
    """
    encoding = parse_encoding(response.headers.get("content-encoding", ""))
    limits: RequestLimits = response.request.extensions["limits"]
    max_bytes = MAX_BODY_BYTES if max_bytes is None else max_bytes
    if encoding in {"gzip", "deflate"}:
        raw_pieces = _limit(response.iter_raw(), limits, max_bytes)
        if received is not None and encoding == "gzip":
            raw_pieces = _collect(raw_pieces, received)
        pieces = decode_pieces(raw_pieces, encoding)
    else:
        pieces = response.iter_bytes() if encoding else response.iter_raw()
    return b"".join(_limit(pieces, limits, max_bytes))


def build_url(base: httpx.URL, request: Request) -> httpx.URL:
    """Return the URL that httpx makes of the base, the path and the parameters, which are percent-encoded already.

    httpx would check each character of it again, which takes a tenth of the time of a request.

    Raises:
        httpx.InvalidURL: it is longer than `MAX_URL_LENGTH`.
    """
    parsed = base._uri_reference  # noqa: SLF001 (httpx has no public way to set encoded parts)
    path = parsed.path + request.path
    if len(path) + len(request.query) > MAX_URL_LENGTH:
        raise httpx.InvalidURL("URL too long")
    url = httpx.URL(base)
    url._uri_reference = parsed._replace(path=path, query=request.query or None)  # noqa: SLF001
    return url


@contextmanager
def _exchange(
    transport: httpx.BaseTransport, url: httpx.URL, headers: httpx.Headers, extensions: dict[str, Any]
) -> Iterator[httpx.Response]:
    """Send a GET request, and close its response at the end of the block."""
    request = httpx.Request("GET", url, headers=headers, stream=_NO_BODY, extensions=extensions)
    with closing(transport.handle_request(request)) as response:
        response.request = request
        yield response


def _collect(pieces: Iterable[bytes], received: list[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        received.append(piece)
        yield piece


def _limit(pieces: Iterable[bytes], limits: RequestLimits, max_bytes: int) -> Iterator[bytes]:
    """Yield the pieces of a body, as they come or decoded, until they are too many or take too long."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > max_bytes:
            raise BodyTooLargeError
        limits.check_time()
        yield piece


@contextmanager
def _convert_errors(label: str) -> Iterator[None]:
    """Raise httpx's connection errors as ours: their messages hold no secrets, but are not for people."""
    try:
        yield
    except BodyTooLargeError:
        problem = f"The response is larger than {MAX_BODY_BYTES // 2**20} MB"
        raise PermanentError(problem, request=label, todo="lower the page size") from None
    except tuple(_TOO_MANY) as error:
        problem = f"The response has more than {_TOO_MANY[type(error)]}"
        raise PermanentError(problem, request=label, todo="lower the page size") from None
    except RequestTooLongError:
        problem = f"The response took over {MAX_REQUEST_SECONDS:.0f} s"
        raise TransientError(problem, request=label, todo="try again later") from None
    except TooManyBytesError:
        problem = "The response has too many headers, interim responses or chunks"
        raise TransientError(problem, request=label, todo="try again later") from None
    except httpx.TimeoutException:
        raise TransientError("No response in time", request=label, todo="try again later") from None
    except httpx.ConnectError:
        raise TransientError("No connection", request=label, todo="check the network and TRUTO_BASE_URL") from None
    except httpx.DecodingError:
        raise TransientError("The response can't be unpacked", request=label, todo="try again later") from None
    except httpx.TransportError:
        raise TransientError("The connection was cut", request=label, todo="try again later") from None
    except (httpx.InvalidURL, UnicodeEncodeError):
        problem = "The request can't be written as a URL"
        raise PermanentError(problem, request=label, todo="check the account's settings") from None
