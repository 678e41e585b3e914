"""Cursors: where the next page begins, told so that nobody can read or forge it by accident.

What belongs here: writing and reading a cursor. A cursor holds for the listing it was made for alone: the route, the
account and the filters; the size and the format of the page may change on the way.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from lms_pipeline.sandbox.http import bad_request

if TYPE_CHECKING:
    from lms_pipeline.sandbox.http import Refusal

_PLACE_BYTES = 6
_TURN_BYTES = 4
_SEAL_BYTES = 12


class Place(NamedTuple):
    """Where a page begins."""

    position: int
    turn: int = 0
    """Sets cursors to the same position apart, which only a faulty server gives."""


def write_cursor(listing: object, place: Place) -> str:
    """A cursor to `place` of the listing that the plain value `listing` names."""
    told = place.position.to_bytes(_PLACE_BYTES) + place.turn.to_bytes(_TURN_BYTES)
    return base64.urlsafe_b64encode(told + _seal(listing, told)).decode()


def read_cursor(listing: object, cursor: str) -> Place:
    """The place that a cursor of the listing tells; an empty one means the beginning.

    Raises:
        Refusal: 400, where the cursor was not made for this listing.
    """
    if not cursor:
        return Place(0)
    try:
        told = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except ValueError:
        raise _invalid() from None
    place, seal = told[: _PLACE_BYTES + _TURN_BYTES], told[_PLACE_BYTES + _TURN_BYTES :]
    if seal != _seal(listing, place):
        raise _invalid()
    return Place(int.from_bytes(place[:_PLACE_BYTES]), int.from_bytes(place[_PLACE_BYTES:]))


def _seal(listing: object, place: bytes) -> bytes:
    name = repr(listing).encode("utf-8", "replace")
    return hashlib.blake2b(place + name, digest_size=_SEAL_BYTES).digest()


def _invalid() -> Refusal:
    return bad_request("Invalid next_cursor")
