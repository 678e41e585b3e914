"""Following a list from page to page to its end.

What belongs here: when a list ends, and the bounds of a list that doesn't. How a page is fetched is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lms_pipeline.truto.errors import PermanentError, TransientError
from lms_pipeline.truto.response import Page

MAX_PAGES = 100_000
"""Of one list: 50 million records at 500 a page."""
MAX_EMPTY_PAGES = 1_000
"""In a row: an empty page with a cursor is not the end, but so many of them lead nowhere."""


class RepeatedPageError(TransientError):
    """A cursor leads back to a page that was fetched before."""


def follow_pages(fetch_page: Callable[[str | None], Page], label: str) -> Iterator[Page]:
    """Yield the pages of a list, until one names no next page; an empty page is not the end.

    Args:
        fetch_page: returns the page of a cursor; None is the first page.
        label: names the list in errors.

    Raises:
        RepeatedPageError: a cursor came before.
        PermanentError: the list has no end.
        TrutoError: whatever `fetch_page` raises.
    """
    cursor: str | None = None
    seen: set[int] = set()
    empty = 0
    for _ in range(MAX_PAGES):
        page = fetch_page(cursor)
        yield page
        empty = 0 if page.records else empty + 1
        if empty > MAX_EMPTY_PAGES:
            break
        cursor = page.next_cursor
        if cursor is None:
            return
        if hash(cursor) in seen:
            raise RepeatedPageError("Truto repeats a page", request=label, todo="try again later")
        seen.add(hash(cursor))
    pages = f"{empty} empty pages" if empty else f"{MAX_PAGES} pages"
    raise PermanentError(f"The list has no end after {pages}", request=label, todo="report it to Truto")
