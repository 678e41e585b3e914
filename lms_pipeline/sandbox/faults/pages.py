"""Faults in the pages of a list.

What belongs here: lists that lie about where they go on, or about what is in them.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, ClassVar

from lms_pipeline.sandbox.faults.drift import drifted
from lms_pipeline.sandbox.faults.fault import Fault, Share

if TYPE_CHECKING:
    from lms_pipeline.sandbox.pagination import Place
    from lms_pipeline.sandbox.wire.pages import Page


class _OfLists(Fault, frozen=True):
    """One that would do nothing to other answers."""

    only_in_lists: ClassVar[bool] = True


class RepeatedCursor(_OfLists, frozen=True):
    """The cursor to the next page is the one that led here."""

    only_with_cursor: ClassVar[bool] = True

    def turn(self, page: Page) -> Page:
        """Lead back."""
        return page._replace(following=page.place)


class EmptyPage(_OfLists, frozen=True):
    """A page without records that leads on: what belongs in it comes next."""

    def turn(self, page: Page) -> Page:
        """Take the records out."""
        return page._replace(records=[], following=page.place._replace(turn=page.place.turn + 1))


class ShiftedPage(_OfLists, frozen=True):
    """Records appear before a page while the list is read, so that the last ones come again; or vanish, and leave a gap."""

    only_with_cursor: ClassVar[bool] = True
    by: int = 1
    """So many appear; below 0, so many vanish."""

    def begin(self, place: Place) -> Place:
        """Begin further back, or further on."""
        return place._replace(position=max(0, place.position - self.by))


class Endless(_OfLists, frozen=True):
    """The last page leads to the first again, each time under a new cursor."""

    empty: bool = False
    """Whether empty pages follow instead, without end."""

    def turn(self, page: Page) -> Page:
        """Lead on."""
        if page.following is not None:
            return page
        turn = page.place.turn + 1
        if not self.empty:
            return page._replace(following=page.place._replace(position=0, turn=turn))
        records = page.records if page.place.turn == 0 else []
        return page._replace(records=records, following=page.place._replace(turn=turn))


class Partial(_OfLists, frozen=True):
    """The provider gave only a part, and Truto says so."""

    share: Share = 0.5
    """Of the page's records, those that are there."""

    def turn(self, page: Page) -> Page:
        """Leave the rest out."""
        return page._replace(records=page.records[: ceil(len(page.records) * self.share)], is_partial=True)


class Drift(_OfLists, frozen=True):
    """Scalars change their type: numbers and booleans come as strings, and strings of digits as numbers."""

    def turn(self, page: Page) -> Page:
        """Change the types."""
        return page._replace(records=[drifted(record) for record in page.records])
