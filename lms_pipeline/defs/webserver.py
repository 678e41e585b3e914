"""Dagster's web UI for this machine only: no other web page in the same browser can read or drive it.

Belongs here: which requests the server answers, and the start of Dagster's services with that server. Not here: the
command (`commands/ui.py`). Usage: `python -m lms_pipeline.defs.webserver dev|serve`, then Dagster's own arguments.
"""

from __future__ import annotations

import sys
from subprocess import Popen
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dagster_webserver.webserver import DagsterWebserver
from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketClose

from lms_pipeline.settings import LOOPBACK

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

REFUSED = (
    "This UI answers only its own pages, under http://127.0.0.1 or http://localhost: open it there, or put a proxy that "
    "authenticates users in front of `dagster-webserver`, see docs/operations.md.\n"
)
REFUSED_MUTATION = "A mutation must be sent by POST.\n"


class LocalPagesOnly:
    """ASGI middleware that refuses requests which another web page could have caused.

    A browser sends the address of the page as `Origin`, or says `cross-site` where it leaves that out. A name of
    somebody else that resolves to this machine arrives as `Host`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or a WebSocket, or refuse it with status 403."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        problem = None if is_of_own_page(connection) else REFUSED
        if problem is None and scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}:
            problem = REFUSED_MUTATION if is_mutation(connection.query_params.get("query", "")) else None
        if problem is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(1008)(scope, receive, send)
        else:
            await PlainTextResponse(problem, 403)(scope, receive, send)


def is_of_own_page(connection: HTTPConnection) -> bool:
    """Return whether a request comes from a page of this UI, from a link to it, or from no browser at all."""
    headers = connection.headers
    if not _is_loopback(f"http://{headers.get('host', '')}"):
        return False
    if "origin" in headers:
        return _is_loopback(headers["origin"])
    is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return headers.get("sec-fetch-site") not in {"cross-site", "same-site"} or is_link


def is_mutation(query: str) -> bool:
    """Return whether a GraphQL document contains a mutation."""
    try:
        definitions = parse(query).definitions if query else ()
    except GraphQLError:
        return False  # the server refuses it
    return any(
        isinstance(definition, OperationDefinitionNode) and definition.operation is OperationType.MUTATION
        for definition in definitions
    )


def _is_loopback(address: str) -> bool:
    try:
        return urlsplit(address).hostname in LOOPBACK
    except ValueError:
        return False


class LocalWebserver(DagsterWebserver):  # type: ignore[type-arg] # they have no public names
    """Dagster's web server behind `LocalPagesOnly`."""

    def build_middleware(self) -> list[Middleware]:
        """Return Dagster's middleware behind ours."""
        return [Middleware(LocalPagesOnly), *super().build_middleware()]


def _serve(arguments: list[str]) -> None:
    """Run `dagster-webserver`, which offers no choice of its class."""
    from dagster_webserver import app, cli

    app.DagsterWebserver = LocalWebserver  # type: ignore[attr-defined] # looked up there
    sys.argv = ["dagster-webserver", *arguments]
    cli.main()  # type: ignore[no-untyped-call]


def _develop(arguments: list[str]) -> None:
    """Run `dagster dev`, which offers no choice of its web server's module, with this one."""
    from dagster._cli import dev

    start = dev.open_ipc_subprocess  # type: ignore[attr-defined] # not exported, but looked up there

    def start_ours(command: list[str], **options: Any) -> Popen[Any]:  # noqa: ANN401 (as the original)
        ours = ["-m", __spec__.name, "serve"] if command[1:3] == ["-m", "dagster_webserver"] else command[1:3]
        return start([command[0], *ours, *command[3:]], **options)

    dev.open_ipc_subprocess = start_ours  # type: ignore[attr-defined, assignment]
    dev.dev_command(arguments, prog_name="dagster dev")


if __name__ == "__main__":
    {"serve": _serve, "dev": _develop}[sys.argv[1]](sys.argv[2:])
