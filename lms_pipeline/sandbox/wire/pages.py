"""Pages of a list: the records of one, and where the next one begins.

What belongs here: cutting a page out of a listing, with the faults that strike it. How it is written is `bodies.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lms_pipeline.sandbox.pagination import Place, read_cursor, write_cursor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lms_pipeline.sandbox.faults.fault import Fault
    from lms_pipeline.sandbox.listing import Listing
    from lms_pipeline.sandbox.world import Record


class Page(NamedTuple):
    """A page before it is written."""

    records: Sequence[Record]
    place: Place
    """Where it was asked for."""
    following: Place | None
    """Where the next page begins; None where there is none."""
    is_partial: bool = False


def cut_page(
    listing: Listing, name: object, cursor: str, limit: int, faults: Sequence[Fault] = ()
) -> tuple[Page, str | None]:
    """The page that a cursor of the listing `name` leads to, and the cursor to the next one.

    Raises:
        Refusal: 400, where the cursor is not one of this listing.
    """
    place = read_cursor(name, cursor)
    start = place
    for fault in faults:
        start = fault.begin(start)
    stretch = listing.read(start.position, limit)
    following = None if stretch.next_position is None else Place(stretch.next_position, place.turn)
    page = Page(stretch.records, place, following)
    for fault in faults:
        page = fault.turn(page)
    return page, None if page.following is None else write_cursor(name, page.following)
