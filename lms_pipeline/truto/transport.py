"""Single requests over HTTP: bounded in size and time, counted, their troubles mapped.

What belongs here: one request, one answer. Asking again is `asking.py`, what is asked `client.py`.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

import httpx

from lms_pipeline import __version__
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.settings import LOOPBACK
from lms_pipeline.truto.errors import PermanentError, TransientError, error_of
from lms_pipeline.truto.request import Request

MAX_BODY_BYTES = 64 * 2**20
"""Of one decoded body: a page of 500 enrollments with their raw is about 1 MB."""
MOST_SECONDS = 300.0
"""Of one answer from first to last byte, however slowly it drips."""
MIN_SECRET_LENGTH = 4
"""Characters: what is shorter tells nothing, and cutting it out would only spoil a message."""


def _without_query(record: logging.LogRecord) -> bool:
    """Let a line of httpx pass, but for the query of its URL, where ids and cursors stand."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            value.copy_with(query=None) if isinstance(value, httpx.URL) else value for value in record.args
        )
    return True


logging.getLogger("httpx").addFilter(_without_query)


Gate = Callable[[Request], None]
"""Called before each request is sent, tries included: it may wait, or raise to stop it."""


def _open(_wanted: Request) -> None:
    """The gate of who keeps to no limit."""


class HttpTransport:
    """Sends requests with the token; `count` is what was really sent. Threads may share it."""

    def __init__(self, base_url: str, token: str, timeout: float, gate: Gate = _open) -> None:
        self.count = 0
        self._gate = gate
        self._counting = Lock()
        self._token = token
        self._http = httpx.Client(
            base_url=base_url,
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/json",
                "User-Agent": f"lms-pipeline/{__version__}",
            },
            timeout=httpx.Timeout(timeout, connect=10),
            trust_env=urlsplit(base_url).hostname
            not in LOOPBACK,  # what stays on this machine needs no proxy
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def pass_gate(self, request: Request) -> None:
        """Wait until the gate lets the request pass; to be called before each `sent`."""
        self._gate(request)

    @contextmanager
    def sent(self, request: Request) -> Iterator[httpx.Response]:
        """The answer to a request, its body not read yet.

        Raises:
            TrutoError: no answer, or one that says no; also while the body is read inside the block.
        """
        with self._counting:
            self.count += 1
        with (
            _connection_errors(request.label),
            self._http.stream("GET", request.path, params=request.parameters) as response,
        ):
            if not response.is_success:
                body = b"".join(iter_body(response, request))
                raise error_of(
                    response.status_code, response.headers, body, request.label, self._secrets(request)
                )
            yield response

    def _secrets(self, request: Request) -> list[str]:
        secrets = {self._token, *request.secrets}
        return sorted((one for one in secrets if len(one) >= MIN_SECRET_LENGTH), key=len, reverse=True)


def iter_body(
    response: httpx.Response,
    request: Request,
    *,
    most_bytes: int | None = None,
    most_seconds: float | None = None,
) -> Iterator[bytes]:
    """The decoded body, within its bounds: also a small gzip can hold gigabytes, and one in another far more."""
    most_bytes = MAX_BODY_BYTES if most_bytes is None else most_bytes
    most_seconds = MOST_SECONDS if most_seconds is None else most_seconds
    if "," in response.headers.get("content-encoding", ""):
        raise httpx.DecodingError("packed more than once")
    started, size = time.monotonic(), 0
    for piece in response.iter_bytes():
        size += len(piece)
        if size > most_bytes:
            raise PermanentError(
                f"The answer is larger than {most_bytes // 2**20} MB",
                request=request.label,
                todo="lower the page size",
            )
        if time.monotonic() - started > most_seconds:
            raise TransientError(
                f"The answer took over {most_seconds:.0f} s", request=request.label, todo="try again later"
            )
        yield piece


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
    except (httpx.InvalidURL, UnicodeEncodeError):
        raise PermanentError(
            "The request can't be written as a URL", request=request, todo="check the account's settings"
        ) from None


MAX_DOWNLOAD_BYTES = 16 * 2**30
"""Bytes of one file."""
MAX_DOWNLOAD_SECONDS = 6 * 3600.0
"""Of one file from first to last byte."""


class DownloadError(LmsPipelineError):
    """The file can't be written."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that has come whole."""

    path: Path
    content_type: str
    """As the provider tells it; empty where it doesn't."""
    size: int
    """Bytes."""


def download(answer: httpx.Response, request: Request, to: Path) -> Downloaded:
    """Write the body beside `to` as it comes, and rename it once it is whole.

    Raises:
        DownloadError: the file can't be written.
        TrutoError: the body breaks off, or is larger than can be meant.
    """
    if not to.name:
        raise DownloadError(f"{to} is no file: name one.")
    part = to.with_name(f".{to.name}.{uuid.uuid4().hex[:8]}.part")
    size = 0
    try:
        with _disk_errors(to), part.open("wb") as file:
            for piece in iter_body(
                answer, request, most_bytes=MAX_DOWNLOAD_BYTES, most_seconds=MAX_DOWNLOAD_SECONDS
            ):
                size += file.write(piece)
        with _disk_errors(to):
            part.replace(to)
    finally:
        with suppress(OSError):  # what went wrong has been told already
            part.unlink()
    return Downloaded(to, answer.headers.get("content-type", ""), size)


@contextmanager
def _disk_errors(to: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DownloadError(
            f"{to} can't be written: {error.strerror or error}; free some space or choose another place."
        ) from None
