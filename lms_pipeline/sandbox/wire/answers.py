"""What a handler gives back: an answer before anything is sent.

What belongs here: the shape of an answer. How it goes over the socket is `gate.py` and `faults/sending.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"


class Answer(NamedTuple):
    """A status, headers and a body, which is either whole or comes in pieces."""

    body: bytes | Iterator[bytes]
    status: int = 200
    media_type: str = JSON
    headers: Mapping[str, str] = {}

    def whole(self) -> bytes:
        """The body in one piece; one in pieces is used up by it."""
        return self.body if isinstance(self.body, bytes) else b"".join(self.body)


def json_answer(told: object) -> Answer:
    """An answer that tells a value as JSON."""
    return Answer(msgspec.json.encode(told))
