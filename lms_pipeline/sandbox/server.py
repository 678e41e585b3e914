"""The sandbox as a running server.

What belongs here: putting the routes together, and serving them on a socket, in a thread or for good.
"""

from __future__ import annotations

import errno
import socket
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from lms_pipeline.sandbox.accounts_api import AccountsApi
from lms_pipeline.sandbox.clock import Clock
from lms_pipeline.sandbox.control_api import ControlApi
from lms_pipeline.sandbox.errors import SandboxError
from lms_pipeline.sandbox.gate import Gate
from lms_pipeline.sandbox.lms_api import LmsApi
from lms_pipeline.sandbox.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from lms_pipeline.sandbox.world import World

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765
DEFAULT_TOKEN = "sandbox-token"  # noqa: S105 - it opens nothing but the sandbox


class RunningSandbox:
    """A sandbox that is being served: where it is, and its controls without the detour over HTTP."""

    def __init__(self, url: str, token: str, clock: Clock, stats: Stats) -> None:
        self.url = url
        self.token = token
        self._clock = clock
        self._stats = stats

    def set_clock(self, instant: datetime | None) -> None:
        """Stand still at `instant`; None lets the clock go with the real time."""
        self._clock.set(instant)

    def stats(self) -> dict[str, Any]:
        """The requests served, as `GET /_sandbox/stats` tells them."""
        return self._stats.told()


def create_app(world: World, token: str, clock: Clock, stats: Stats | None = None) -> Starlette:
    """The server as an ASGI application."""
    stats = stats or Stats()
    gate = Gate(token, stats)
    by_id = {account.id: account for account in world.accounts()}
    accounts = AccountsApi(by_id)
    lms = LmsApi(world, by_id, clock)
    return Starlette(
        routes=[
            Mount("/_sandbox", routes=ControlApi(clock, stats).routes()),
            gate.route("/integrated-account", accounts.list),
            gate.route("/integrated-account/{id}", accounts.get),
            gate.route("/unified/lms/users", lms.users),
            gate.route("/unified/lms/users/{id}", lms.user),
            gate.route("/unified/lms/courses", lms.courses),
            gate.route("/unified/lms/courses/{id}", lms.course),
            gate.route("/unified/lms/course-enrollments", lms.course_enrollments),
            gate.anything_else(),
        ]
    )


@contextmanager
def running(
    world: World,
    *,
    token: str = DEFAULT_TOKEN,
    clock: Clock | None = None,
    host: str = DEFAULT_HOST,
    port: int = 0,
) -> Iterator[RunningSandbox]:
    """Serve `world` from a thread while the block runs; port 0 takes a free one.

    Raises:
        SandboxError: where the port can't be had.
    """
    clock, stats = clock or Clock(), Stats()
    server = _server(create_app(world, token, clock, stats))
    with _listening(host, port) as listener:
        thread = Thread(target=server.run, args=([listener],), name="sandbox")
        thread.start()
        try:
            yield RunningSandbox(_url(listener), token, clock, stats)
        finally:
            server.should_exit = True
            thread.join()


def serve(
    world: World,
    *,
    token: str = DEFAULT_TOKEN,
    clock: Clock | None = None,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve `world` until the process is interrupted; `announce` is told the URL once the port is taken.

    Raises:
        SandboxError: where the port can't be had.
    """
    server = _server(create_app(world, token, clock or Clock()))
    with _listening(host, port) as listener, suppress(KeyboardInterrupt):
        if announce:
            announce(_url(listener))
        server.run([listener])


def _server(app: Starlette) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def _listening(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise SandboxError(f"Port {port} on {host} can't be had: ports go from 0 to 65535.")
    try:
        return socket.create_server((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            trouble = "is in use: stop what is listening there, or choose another port"
        else:
            trouble = f"can't be had: {error.strerror or error}"
        raise SandboxError(f"Port {port} on {host} {trouble}.") from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"
