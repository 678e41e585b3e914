"""Cursors and pages of a list.

Belongs here: cutting a page out of a list, and cursors that can't be forged by accident. Not here: the JSON of a page.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from lms_pipeline.sandbox.http import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lms_pipeline.sandbox.http import Refusal, Response
    from lms_pipeline.sandbox.world import Listing, Record

_POSITION_BYTES = 6
_ROUND_BYTES = 4
_SEAL_BYTES = 12


class Place(NamedTuple):
    """The start of a page."""

    position: int
    round: int = 0
    """Makes cursors to the same position differ; only faults change it."""


class Page(NamedTuple):
    """A page of a list before it is encoded."""

    records: Sequence[Record]
    place: Place
    """The start of the page, as its cursor gives it."""
    next_place: Place | None = None
    """The start of the next page; None on the last page."""
    is_partial: bool = False


class PageRequest(NamedTuple):
    """A page that a handler returns in place of a response, so that the gate can apply faults to it."""

    listing: Listing
    list_key: object
    """A plain value that names the list: its route, account and filters. A cursor is valid only for this key."""
    cursor: str
    limit: int
    encode: Callable[[Page, str | None], Response]
    """Builds the response from the page and the cursor to the next one."""

    def read_page(self, place: Place, start: Place) -> Page:
        """Return the page of `place`; its records begin at `start`, which only faults move away from it."""
        found = self.listing.read(start.position, self.limit)
        next_place = None if found.next_position is None else Place(found.next_position, place.round)
        return Page(found.records, place, next_place)

    def respond(self, page: Page) -> Response:
        """Return the response with a page and the cursor to the next one."""
        cursor = None if page.next_place is None else write_cursor(self.list_key, page.next_place)
        return self.encode(page, cursor)


def write_cursor(list_key: object, place: Place) -> str:
    """Return a cursor to `place`, which is valid for the list with this key only."""
    start = place.position.to_bytes(_POSITION_BYTES) + place.round.to_bytes(_ROUND_BYTES)
    return base64.urlsafe_b64encode(start + _seal(list_key, start)).decode()


def read_cursor(list_key: object, cursor: str) -> Place:
    """Return the place of a cursor; an empty cursor is the beginning.

    Raises:
        Refusal: 400 if the cursor was not written for this list.
    """
    if not cursor:
        return Place(0)
    try:
        content = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except ValueError:
        raise _invalid_cursor() from None
    start, seal = content[: _POSITION_BYTES + _ROUND_BYTES], content[_POSITION_BYTES + _ROUND_BYTES :]
    if seal != _seal(list_key, start):
        raise _invalid_cursor()
    return Place(int.from_bytes(start[:_POSITION_BYTES]), int.from_bytes(start[_POSITION_BYTES:]))


def _seal(list_key: object, start: bytes) -> bytes:
    name = repr(list_key).encode("utf-8", "replace")
    return hashlib.blake2b(start + name, digest_size=_SEAL_BYTES).digest()


def _invalid_cursor() -> Refusal:
    return bad_request("Invalid next_cursor")
