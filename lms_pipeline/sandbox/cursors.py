"""Cursors: where the next page begins, told so that nobody can read or forge it by accident.

What belongs here: writing and reading a cursor. A cursor holds for the route and query it was made for alone;
the size of the page may change on the way.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from lms_pipeline.sandbox.refusals import bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lms_pipeline.sandbox.refusals import Refusal

_MAY_CHANGE = {"next_cursor", "limit"}
_POSITION_BYTES = 6
_SEAL_BYTES = 12


def listing_name(path: str, parameters: Iterable[tuple[str, str]]) -> str:
    """What a cursor is tied to: the route and the query, in whatever order and encoding it came."""
    return repr((path, sorted(pair for pair in parameters if pair[0] not in _MAY_CHANGE)))


def write_cursor(name: str, position: int) -> str:
    """A cursor to `position` of the listing `name`."""
    place = position.to_bytes(_POSITION_BYTES)
    return base64.urlsafe_b64encode(place + _seal(name, place)).decode()


def read_cursor(name: str, cursor: str) -> int:
    """The position that a cursor of the listing `name` tells; an empty one means the beginning.

    Raises:
        Refusal: 400, where the cursor was not made for this listing.
    """
    if not cursor:
        return 0
    try:
        told = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except ValueError:
        raise _invalid() from None
    place, seal = told[:_POSITION_BYTES], told[_POSITION_BYTES:]
    if seal != _seal(name, place):
        raise _invalid()
    return int.from_bytes(place)


def _seal(name: str, place: bytes) -> bytes:
    return hashlib.blake2b(place + name.encode("utf-8", "replace"), digest_size=_SEAL_BYTES).digest()


def _invalid() -> Refusal:
    return bad_request("Invalid next_cursor")
