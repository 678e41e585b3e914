"""Faults in the pages of a list: wrong cursors, missing or repeated records, other types."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from lms_pipeline.sandbox.faults.fault import Fault, Share

if TYPE_CHECKING:
    from lms_pipeline.sandbox.pagination import Page, Place
    from lms_pipeline.sandbox.world import Record

_MAX_EXACT_DIGITS = 15
"""A longer number may lose digits as a float, and the id could not be recovered."""


class _ListFault(Fault, frozen=True):
    """One that would have no effect on other responses."""

    only_in_lists: ClassVar[bool] = True


class RepeatedCursor(_ListFault, frozen=True):
    """The cursor to the next page is the cursor of this page."""

    only_with_cursor: ClassVar[bool] = True

    def change_page(self, page: Page) -> Page:
        """Point the cursor back."""
        return page._replace(next_place=page.place)


class EmptyPage(_ListFault, frozen=True):
    """A page without records and with a cursor; the next page has its records."""

    def change_page(self, page: Page) -> Page:
        """Remove the records."""
        return page._replace(records=[], next_place=page.place._replace(round=page.place.round + 1))


class ShiftedPage(_ListFault, frozen=True):
    """Records appear before a page during a sweep, so that the last ones repeat; or vanish, and leave a gap."""

    only_with_cursor: ClassVar[bool] = True
    by: int = 1
    """The number of records that appear; below 0, that vanish."""

    def move_start(self, place: Place) -> Place:
        """Start further back, or further on."""
        return place._replace(position=max(0, place.position - self.by))


class Endless(_ListFault, frozen=True):
    """The last page leads to the first again, each time with a new cursor."""

    empty: bool = False
    """Whether empty pages follow instead, without end."""

    def change_page(self, page: Page) -> Page:
        """Add a cursor to the last page."""
        if page.next_place is not None:
            return page
        next_round = page.place.round + 1
        if not self.empty:
            return page._replace(next_place=page.place._replace(position=0, round=next_round))
        records = page.records if page.place.round == 0 else []
        return page._replace(records=records, next_place=page.place._replace(round=next_round))


class Partial(_ListFault, frozen=True):
    """The provider returned a part of the page, and Truto marks the response as partial."""

    share: Share = 0.5
    """Of the page's records, those that are present."""

    def change_page(self, page: Page) -> Page:
        """Remove the other records."""
        return page._replace(records=page.records[: ceil(len(page.records) * self.share)], is_partial=True)


class Drift(_ListFault, frozen=True):
    """Scalars of the unified records change their type: numbers and booleans to strings, digits to numbers."""

    def change_page(self, page: Page) -> Page:
        """Change the types, and keep the provider's own objects."""
        return page._replace(records=[change_types(record) for record in page.records])


def change_types(record: Record) -> Record:
    """Return the record with each scalar in another type, if one exists that keeps the value."""
    return record._replace(unified=msgspec.json.encode(_change_type(msgspec.json.decode(record.unified))))


def _change_type(value: Any) -> Any:  # noqa: ANN401 - any JSON
    match value:
        case dict():
            return {key: _change_type(member) for key, member in value.items()}
        case list():
            return [_change_type(item) for item in value]
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case str() if value.isascii() and value.isdecimal() and len(value) <= _MAX_EXACT_DIGITS:
            return int(value) if str(int(value)) == value else value
        case _:
            return value
