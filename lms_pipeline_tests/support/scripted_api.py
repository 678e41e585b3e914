"""An API that sends the responses of a test, byte for byte, without a socket; and a client of it that never sleeps."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.retry import Cooldowns

TOKEN = "token-of-the-tests"


@dataclass(frozen=True)
class ReceivedRequest:
    """A request as it comes over the wire; the names of its headers are in lower case."""

    target: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True, strict_parsing=True)


@dataclass(frozen=True)
class ScriptedResponse:
    """A response; the last two fields need a socket (`scripted_server.py`)."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    """The Content-Length; the right one where None."""
    ends: str = "closed"
    """How the connection ends: `closed`, `reset`, or `stalls`: nothing is sent, and the connection stays open."""


def page(*records: Any, cursor: str | None = None, **more: Any) -> ScriptedResponse:
    return ScriptedResponse(json.dumps({"result": list(records), "next_cursor": cursor, **more}).encode())


def refusal(status: int, message: Any = "no", headers: dict[str, str] | None = None, **more: Any) -> ScriptedResponse:
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"
    body = {"statusCode": status, "error": phrase, "message": message, **more}
    return ScriptedResponse(json.dumps(body).encode(), status, headers or {})


class FakeTime:
    """A time that passes only during waits; `waits` are their seconds."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self._now = 0.0

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._now += seconds

    def cooldowns(self) -> Cooldowns:
        return Cooldowns(clock=lambda: self._now, sleep=self.sleep)


class ScriptedClient(TrutoClient):
    """A client that receives these responses in order; a request after the last one is the test's mistake.

    `received` are its requests, `waits` the seconds that it would have slept.
    """

    def __init__(self, *responses: ScriptedResponse, **options: Any) -> None:
        self.received: list[ReceivedRequest] = []
        self._left = list(responses)
        time = FakeTime()
        self.waits = time.waits
        super().__init__(
            "http://127.0.0.1",
            TOKEN,
            transport=httpx.MockTransport(self._respond),
            cooldowns=time.cooldowns(),
            **options,
        )

    def _respond(self, request: httpx.Request) -> httpx.Response:
        self.received.append(ReceivedRequest(request.url.raw_path.decode(), dict(request.headers)))
        scripted = self._left.pop(0) if self._left else refusal(418, "the script has ended")
        # a stream, so that the client decodes the body as it would from a socket
        return httpx.Response(scripted.status, headers=scripted.headers, stream=httpx.ByteStream(scripted.body))
