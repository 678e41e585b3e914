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

from lms_pipeline.sandbox.api.accounts import DiscoveryApi
from lms_pipeline.sandbox.api.control import ControlApi
from lms_pipeline.sandbox.api.gate import Gate
from lms_pipeline.sandbox.api.lms import LmsApi
from lms_pipeline.sandbox.clock import Clock
from lms_pipeline.sandbox.connections import Connections
from lms_pipeline.sandbox.errors import SandboxError
from lms_pipeline.sandbox.protocol import Protocol
from lms_pipeline.sandbox.state import Controls
from lms_pipeline.sandbox.wire.accounts_api import AccountsApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from lms_pipeline.sandbox.faults.fault import Fault
    from lms_pipeline.sandbox.scripting import SandboxScript
    from lms_pipeline.sandbox.wire.journal import Entry
    from lms_pipeline.sandbox.wire.switches import Switches
    from lms_pipeline.sandbox.world import World

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765
DEFAULT_TOKEN = "sandbox-token"  # noqa: S105 - it opens nothing but the sandbox


class RunningSandbox:
    """A sandbox that is being served: where it is, and its controls without the detour over HTTP."""

    def __init__(self, url: str, token: str, controls: Controls) -> None:
        self.url = url
        self.token = token
        self._controls = controls

    def set_clock(self, instant: datetime | None) -> None:
        """Stand still at `instant`; None lets the clock go with the real time."""
        self._controls.clock.set(instant)

    def switch(self, switches: Switches) -> None:
        """Behave like this from now on."""
        self._controls.switches = switches

    def fault(self, *faults: Fault) -> None:
        """Script more faults.

        Raises:
            SandboxError: one of them is about an account or a route that isn't there.
        """
        self._controls.add_faults(faults)

    def clear_faults(self) -> None:
        """Drop every fault, and take back what they revoked."""
        self._controls.clear_faults()

    def faults(self) -> list[dict[str, Any]]:
        """The faults, and how often each struck, as `GET /_sandbox/faults` tells them."""
        return self._controls.script.told()

    def clear_counts(self) -> None:
        """Forget the requests, and begin counting anew."""
        self._controls.clear_counts()

    def requests(self) -> list[Entry]:
        """The last requests, as `GET /_sandbox/requests` tells them."""
        return self._controls.journal.last()

    def stats(self) -> dict[str, Any]:
        """The requests served, as `GET /_sandbox/stats` tells them."""
        return self._controls.stats_told()


def create_app(world: World, controls: Controls) -> Starlette:
    """The server as an ASGI application."""
    gate = Gate(controls)
    accounts, discovery, lms = AccountsApi(controls), DiscoveryApi(controls), LmsApi(world, controls)
    enrollments = "/unified/lms/course-enrollments"
    return Starlette(
        routes=[
            Mount("/_sandbox", routes=ControlApi(controls).routes()),
            gate.route("/integrated-account", accounts.list),
            gate.route("/integrated-account/{id}", accounts.get),
            gate.route("/integrated-account/{id}/capabilities", discovery.capabilities),
            gate.route("/unified/lms/{resource}/meta/{method}", discovery.meta),
            gate.route("/unified/lms/users", lms.users),
            gate.route("/unified/lms/users/{id:path}", lms.user),
            gate.route("/unified/lms/courses", lms.courses),
            gate.route("/unified/lms/courses/{id:path}", lms.course),
            gate.route(enrollments, lms.course_enrollments),
            gate.route("/unified/lms/courseenrollments", lms.course_enrollments, name=enrollments),
            gate.anything_else(),
        ]
    )


@contextmanager
def running(
    world: World,
    *,
    token: str = DEFAULT_TOKEN,
    clock: Clock | None = None,
    script: SandboxScript | None = None,
    host: str = DEFAULT_HOST,
    port: int = 0,
) -> Iterator[RunningSandbox]:
    """Serve `world` from a thread while the block runs; port 0 takes a free one.

    Raises:
        SandboxError: where the port can't be had.
    """
    controls, server = _ready(world, token, clock, script)
    with _listening(host, port) as listener:
        thread = Thread(target=server.run, args=([listener],), name="sandbox")
        thread.start()
        try:
            yield RunningSandbox(_url(listener), token, controls)
        finally:
            server.should_exit = True
            thread.join()


def serve(
    world: World,
    *,
    token: str = DEFAULT_TOKEN,
    clock: Clock | None = None,
    script: SandboxScript | None = None,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve `world` until the process is interrupted; `announce` is told the URL once the port is taken.

    Raises:
        SandboxError: where the port can't be had, or the script is about what isn't there.
    """
    _, server = _ready(world, token, clock, script)
    with _listening(host, port) as listener, suppress(KeyboardInterrupt):
        if announce:
            announce(_url(listener))
        server.run([listener])


def _ready(
    world: World, token: str, clock: Clock | None, script: SandboxScript | None
) -> tuple[Controls, uvicorn.Server]:
    controls = Controls(Connections(token, world.accounts()), clock or Clock())
    app = create_app(world, controls)
    if script is not None:
        controls.switches = script.switches
        controls.add_faults(script.faults)
    return controls, _server(app)


def _server(app: Starlette) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http=Protocol,
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
