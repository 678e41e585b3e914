"""Limits of one request on the network: seconds from its start to its end, and bytes received.

Belongs here: sockets that keep the limits. Not here: what a request without a response means (`transport.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ssl import SSLContext
from threading import local
from typing import Any

import httpcore
import httpx


class RequestTooLongError(Exception):
    """The request took longer than it may."""


class TooManyBytesError(Exception):
    """More bytes were received than a request may receive."""


@dataclass
class RequestLimits:
    """What one request may still use. Time includes connecting, TLS, a proxy, interim responses and the body."""

    max_seconds: float
    max_bytes: int
    """Bytes received, before they are unpacked; the framing of chunks and interim responses count too."""
    received: int = 0
    _started: float = field(default_factory=time.monotonic)

    def check_time(self) -> float:
        """Return the seconds left.

        Raises:
            RequestTooLongError: there are none.
        """
        left = self._started + self.max_seconds - time.monotonic()
        if left <= 0:
            raise RequestTooLongError
        return left

    def count_bytes(self, size: int) -> None:
        """Count bytes that were received.

        Raises:
            TooManyBytesError: they are too many.
        """
        self.received += size
        if self.received > self.max_bytes:
            raise TooManyBytesError


class LimitedBackend(httpcore.NetworkBackend):
    """Connections whose every read, write and handshake ends with the limits of the request that uses them.

    httpx has timeouts between two bytes only (https://github.com/encode/httpx/issues/1450): a server that sends a byte now
    and then holds a thread forever. A connection serves one request at a time, from the thread that sends it, so the
    limits are those of the thread.
    """

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()
        self._current = local()

    @contextmanager
    def apply(self, limits: RequestLimits) -> Iterator[None]:
        """Apply the limits to the network use of this thread while the block runs."""
        outer = self._find_limits()
        self._current.limits = limits
        try:
            yield
        finally:
            self._current.limits = outer

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect within the time left."""
        with self.limit_time(timeout) as seconds:
            stream = self._backend.connect_tcp(host, port, seconds, local_address, socket_options)
        return _LimitedStream(stream, self)

    @contextmanager
    def limit_time(self, timeout: float | None) -> Iterator[float | None]:
        """Yield the shorter of a timeout and the time left.

        Raises:
            RequestTooLongError: no time is left, before the block or because of it.
        """
        limits = self._find_limits()
        if limits is None:
            yield timeout
            return
        left = limits.check_time()
        try:
            yield left if timeout is None else min(timeout, left)
        except httpcore.TimeoutException:
            limits.check_time()
            raise

    def count_bytes(self, size: int) -> None:
        """Count bytes that this thread's request received.

        Raises:
            TooManyBytesError: they are too many.
        """
        limits = self._find_limits()
        if limits is not None:
            limits.count_bytes(size)

    def _find_limits(self) -> RequestLimits | None:
        return getattr(self._current, "limits", None)


class _LimitedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, backend: LimitedBackend) -> None:
        self._stream = stream
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with self._backend.limit_time(timeout) as seconds:
            data = self._stream.read(max_bytes, seconds)
        self._backend.count_bytes(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:  # h11 makes nothing of the body that a GET request doesn't have, and httpcore writes it
            return
        with self._backend.limit_time(timeout) as seconds:
            self._stream.write(buffer, seconds)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        with self._backend.limit_time(timeout) as seconds:
            stream = self._stream.start_tls(ssl_context, server_hostname, seconds)
        return _LimitedStream(stream, self._backend)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 (as httpcore has it)
        return self._stream.get_extra_info(info)


class TransportPool:
    """Transports of httpx, one for each request that is under way: no more connections are open than requests were at once.

    Threads may share one client of httpx, but then they wait for the lock of its connections, and it closes the idle ones
    beyond 20 (https://www.python-httpx.org/advanced/resource-limits/): with 32 workers, a third of all calls opened a new
    one. A client of this pool serves one request at a time, by its transport: the client's cookies, redirects and
    authentication are not used, and take a third of the time of a call.

    Args:
        open_client: returns a new client, whose transport for its base URL is used.
        backend: opens its connections.
    """

    def __init__(self, open_client: Callable[[], httpx.Client], backend: LimitedBackend) -> None:
        self._open_client = open_client
        self._backend = backend
        self._clients: list[httpx.Client] = []
        self._idle: list[httpx.BaseTransport] = []
        self._idle.append(self._add_transport())  # a setting that can't be used is an error before the first request

    @contextmanager
    def lend(self) -> Iterator[httpx.BaseTransport]:
        """Yield the transport that was used last of the idle ones, or a new one."""
        try:
            transport = self._idle.pop()
        except IndexError:
            transport = self._add_transport()
        try:
            yield transport
        finally:
            self._idle.append(transport)

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.close()

    def _add_transport(self) -> httpx.BaseTransport:
        client = self._open_client()
        limit_connections(client, self._backend)
        self._clients.append(client)
        return client._transport_for_url(client.base_url)  # noqa: SLF001 (the one of the proxy, if the environment names one)


def limit_connections(client: httpx.Client, backend: LimitedBackend) -> None:
    """Let a client open its connections, also those to proxies, with this backend.

    httpcore takes a backend in its public API, but httpx 0.28 does not pass one on
    (https://github.com/encode/httpx/pull/3749 is open), and finds proxies in the environment only for the transports that
    it makes itself. So the pools get the backend here, before they open a connection; the rest of httpx stays as it is.
    """
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 (see above)
        if isinstance(transport, httpx.HTTPTransport):
            pool = transport._pool  # noqa: SLF001
            if not isinstance(pool._network_backend, httpcore.NetworkBackend):  # noqa: SLF001
                raise TypeError("httpx has changed: its connections have no limits")
            pool._network_backend = backend  # noqa: SLF001
