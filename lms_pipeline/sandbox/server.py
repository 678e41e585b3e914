"""The sandbox as a running server: its routes, its socket, and the script file that it starts with."""

from __future__ import annotations

import errno
import socket
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from lms_pipeline.sandbox.api.accounts import AccountsApi
from lms_pipeline.sandbox.api.control import ControlApi
from lms_pipeline.sandbox.api.gate import Gate
from lms_pipeline.sandbox.api.lms import LmsApi
from lms_pipeline.sandbox.connections import Connections
from lms_pipeline.sandbox.faults import AnyFault
from lms_pipeline.sandbox.state import Clock, RunningSandbox, Switches
from lms_pipeline.sandbox.world import SandboxError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lms_pipeline.sandbox.world import World

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765
DEFAULT_TOKEN = "sandbox-token"  # noqa: S105 - it gives access to the sandbox only


class SandboxScript(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A script file: a table `[switches]`, and one `[[faults]]` for each fault."""

    switches: Switches = Switches()
    faults: tuple[AnyFault, ...] = ()


def read_script(path: Path) -> SandboxScript:
    """Read a script from a TOML file.

    Raises:
        SandboxError: the file can't be read, or its content is invalid.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=SandboxScript)
    except OSError as error:
        raise SandboxError(f"The script {path} can't be read: {error.strerror or error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SandboxError(f"The script {path} can't be used: {error}.") from None


def create_app(world: World, sandbox: RunningSandbox) -> Starlette:
    """Return the server as an ASGI application."""
    gate = Gate(sandbox)
    accounts, lms = AccountsApi(sandbox), LmsApi(world, sandbox)
    enrollments = "/unified/lms/course-enrollments"
    return Starlette(
        routes=[
            Mount("/_sandbox", routes=ControlApi(sandbox).build_routes()),
            gate.build_route("/integrated-account", accounts.list_accounts),
            gate.build_route("/integrated-account/{id}", accounts.get_account),
            gate.build_route("/integrated-account/{id}/capabilities", accounts.get_capabilities),
            gate.build_route("/unified/lms/{resource}/meta/{method}", accounts.get_metadata),
            gate.build_route("/unified/lms/users", lms.list_users),
            gate.build_route("/unified/lms/users/{id:path}", lms.get_user),
            gate.build_route("/unified/lms/courses", lms.list_courses),
            gate.build_route("/unified/lms/courses/{id:path}", lms.get_course),
            gate.build_route(enrollments, lms.list_enrollments),
            gate.build_route("/unified/lms/courseenrollments", lms.list_enrollments, name=enrollments),
            gate.build_catch_all(),
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
    """Serve `world` from a thread while the block runs; port 0 is a free one.

    Raises:
        SandboxError: the port can't be opened, or the script names an unknown account or route.
    """
    sandbox, server = _build_server(world, token, clock, script)
    with _open_listener(host, port) as listener:
        sandbox.url = _read_url(listener)
        thread = Thread(target=server.run, args=([listener],), name="sandbox")
        thread.start()
        try:
            yield sandbox
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
    """Serve `world` until the process is interrupted; call `announce` with the URL when the port is open.

    Raises:
        SandboxError: the port can't be opened, or the script names an unknown account or route.
    """
    _, server = _build_server(world, token, clock, script)
    with _open_listener(host, port) as listener, suppress(KeyboardInterrupt):
        if announce:
            announce(_read_url(listener))
        server.run([listener])


class _HttpProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type] # uvicorn chooses the class at run time
    """uvicorn's protocol, with the `transport` of the connection in each request's state, for the faults."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport where the application finds it."""
        super().connection_made(transport)
        self.app_state: dict[str, Any] = {**self.app_state, "transport": transport}


def _build_server(
    world: World, token: str, clock: Clock | None, script: SandboxScript | None
) -> tuple[RunningSandbox, uvicorn.Server]:
    sandbox = RunningSandbox(token, Connections(token, world.accounts()), clock or Clock())
    config = uvicorn.Config(
        create_app(world, sandbox),
        http=_HttpProtocol,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    if script is not None:
        sandbox.switches = script.switches
        sandbox.fault(*script.faults)
    return sandbox, uvicorn.Server(config)


def _open_listener(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise SandboxError(f"Port {port} on {host} can't be opened: ports are 0 to 65535.")
    try:
        return socket.create_server((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = "is in use: stop the program that listens there, or choose another port"
        else:
            reason = f"can't be opened: {error.strerror or error}"
        raise SandboxError(f"Port {port} on {host} {reason}.") from error


def _read_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"
