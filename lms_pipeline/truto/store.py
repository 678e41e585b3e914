"""Store of responses under the client: what is stored is never requested again.

What belongs here: the interface of a store, and a transport without a network. The store on disk is the checkpoint of
`extract/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import httpx

from lms_pipeline.errors import LmsPipelineError

OK = 200


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response without what must not be kept. An absence is stored too: its status, and no body."""

    status: int
    received_at: datetime
    body: bytes


class ResponseStore(Protocol):
    """Responses by the keys of their requests (`Request.key`). Threads may share it."""

    def get(self, key: str) -> StoredResponse | None:
        """Return the response that is stored under a key, if any."""
        ...

    def put(self, key: str, response: StoredResponse) -> None:
        """Store a response; it is durable when the call returns."""
        ...


class NotKeptError(LmsPipelineError):
    """A replay needs a response that isn't stored."""


class ReplayTransport(httpx.BaseTransport):
    """Transport without a network: every request that reaches it is one whose response isn't stored."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Refuse the request.

        Raises:
            NotKeptError: always; the message names the request by its redacted label.
        """
        raise NotKeptError(
            f"The answer to a request of that snapshot was not kept ({request.extensions['label']}): pull the day again."
        )
