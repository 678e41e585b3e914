"""Store of responses under the client: what is stored is never requested again.

Belongs here: the interface of a store. Not here: the one on disk, which is the checkpoint of `extract/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lms_pipeline.errors import LmsPipelineError

OK = 200


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response without what must not be kept. An absence is stored too: its status, and no body."""

    status: int
    received_at: datetime
    body: bytes
    gzip: bytes | None = None
    """The body as it was received, if that was in gzip and nothing was removed from it: a store can keep it as it is."""


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
