"""Which requests the UI's web server answers."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from lms_pipeline.defs.webserver import REFUSED, REFUSED_MUTATION, LocalPagesOnly

OWN = "http://127.0.0.1:3000"
MUTATION = "mutation{wipeAssets(assetPartitionRanges:[]){__typename}}"
ANSWERED = [
    {},  # curl
    {"origin": OWN, "sec-fetch-site": "same-origin"},
    {"origin": "http://localhost:8080"},  # a tunnel with another port
    {"origin": "http://[::1]:3000"},
    {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},  # a link
]
FOREIGN = [
    {"origin": "https://evil.example.org"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1.evil.example.org"},
    {"origin": "http://localhost@evil.example.org"},
    {"origin": "http://[evil"},
    {"host": "evil.example.org"},
    {"host": "127.0.0.1.evil.example.org:3000"},
    {"host": "[evil"},
    {"host": ""},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
    {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
]


async def _answer(_request):
    return PlainTextResponse("answered")


async def _accept(socket):
    await socket.accept()


APP = Starlette(
    routes=[Route("/graphql", _answer, methods=["GET", "POST"]), WebSocketRoute("/graphql", _accept)],
    middleware=[Middleware(LocalPagesOnly)],
)


def send(method, headers, **options):
    """Return the response to a request of a page with these headers."""

    async def request():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(APP), base_url=OWN) as client:
            return await client.request(method, "/graphql", headers=headers, **options)

    return asyncio.run(request())


def connect(headers):
    """Return the first message that a WebSocket of a page with these headers receives."""
    sent = []
    raw = [(name.encode(), value.encode()) for name, value in {"host": "127.0.0.1:3000", **headers}.items()]
    scope = {"type": "websocket", "path": "/graphql", "raw_path": b"/graphql", "query_string": b"", "headers": raw}

    async def receive():
        return {"type": "websocket.connect"}

    async def collect(message):
        sent.append(message["type"])

    asyncio.run(APP(scope, receive, collect))
    return sent[0]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", ANSWERED, ids=str)
def test_own_pages_links_and_tools_are_answered(method, headers):
    response = send(method, headers, params={"query": "{version}"})
    assert (response.status_code, response.text) == (200, "answered")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_other_pages_are_refused(method, headers):
    response = send(method, headers)
    assert (response.status_code, response.text) == (403, REFUSED)


@pytest.mark.parametrize("query", [MUTATION, f"query A{{version}} {MUTATION}", f"# query\n{MUTATION}"])
def test_a_mutation_by_get_is_refused_for_everybody(query):
    response = send("GET", {}, params={"query": query})
    assert (response.status_code, response.text) == (403, REFUSED_MUTATION)


def test_a_mutation_by_post_is_answered():
    assert send("POST", {}, json={"query": MUTATION}).text == "answered"


def test_the_live_updates_of_own_pages_connect():
    assert connect({"origin": OWN}) == "websocket.accept"


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_the_live_updates_of_other_pages_are_refused(headers):
    assert connect(headers) == "websocket.close"
