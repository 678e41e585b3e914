"""Bounds of one list: its pages and records, and the signs that it has no end.

Belongs here: when the client stops to follow cursors. Not here: following them (`client.py`), the bytes of a snapshot
(`extract/volume.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from lms_pipeline.truto.errors import PermanentError, TransientError
from lms_pipeline.truto.raw_json import DECODE_ERRORS
from lms_pipeline.truto.response import Page, is_too_large

MAX_PAGES = 100_000
"""Pages of one list: 50 million records at 500 a page."""
MAX_EMPTY_PAGES = 1_000
"""Empty pages in a row. One empty page with a cursor is not the end, but so many are an error."""
MAX_REPEATED_PAGES = 20
"""Pages in a row that came before in the same list, as many records as then and the same ones at the compared places. A
list that shifts while it is read repeats some records, or a whole short page; twenty pages in a row are a circle whose
cursors are new."""
MAX_COMPARED_RECORDS = 16
"""Records of a page that are compared, the first, the last and some between. To compare all 500 takes 2 µs a record, a tenth of
a pull; no list has twenty other pages in a row that are alike at sixteen places."""
MAX_RECORDS = 20_000_000
"""Records of one list by default: four times the enrollments of an account of five million."""
MAX_ACCOUNTS = 100_000
"""Integrated accounts that a token can see: all of them are held in memory."""
MAX_ANNOUNCED_FACTOR = 10
"""A list that grows while it is read may bring more than it announced, but not ten times as much."""
MIN_UNANNOUNCED_RECORDS = 100_000
"""Records from which on the announced length counts: a short list costs less than a wrong refusal."""


class _Ids(msgspec.Struct, gc=False):
    id: msgspec.Raw
    user: msgspec.Raw = msgspec.Raw(b"null")
    course: msgspec.Raw = msgspec.Raw(b"null")


_IDS = msgspec.json.Decoder(_Ids)


def _read_ids(record: msgspec.Raw) -> _Ids | None:
    """Return what identifies a record, None if it has no id."""
    try:
        ids = _IDS.decode(record)
    except DECODE_ERRORS:
        return None
    return None if bytes(memoryview(ids.id)) == b"null" else ids


class EndlessListError(PermanentError):
    """A list goes on beyond its bounds; a pull that continues it can't succeed."""


class RepeatedPageError(TransientError):
    """A cursor leads back to a page that was fetched before."""


class ListBounds:
    """Counts what one list brings, and stops a list without an end.

    Args:
        max_records: of the list.
        page_size: the requested records of a page: only a larger `result_count` is the length of the whole list.
        is_unified: whether `id`, `user` and `course` identify a record, whatever else changes. A provider's own record with
            an id is compared whole.
    """

    def __init__(self, max_records: int = MAX_RECORDS, page_size: int = 0, *, is_unified: bool = True) -> None:
        self._max_records = max_records
        self._page_size = page_size
        self._is_unified = is_unified
        self._cursors: set[int] = set()
        self._contents: set[bytes] = set()
        self._pages = self._received = self._announced = self._empty = self._repeated = 0

    @property
    def missing(self) -> int:
        """Records by which the list is shorter so far than the largest number that its pages announced."""
        return max(0, self._announced - self._received)

    def count(self, page: Page) -> None:
        """Count a page."""
        self._pages += 1
        self._received += len(page.records)
        self._announced = max(self._announced, page.announced)
        self._page_size = max(self._page_size, len(page.records))
        if not page.records:
            self._empty += 1
            return
        self._empty = 0
        content = self._digest(page.records)
        self._repeated = self._repeated + 1 if content in self._contents else 0
        if content is not None:
            self._contents.add(content)

    def check_next(self, cursor: str, label: str) -> None:
        """Check that the list may go on to the page of a cursor; `label` names the request of the page before it.

        Raises:
            RepeatedPageError: the cursor or the pages lead back.
            EndlessListError: the list has too many pages or records.
        """
        if self._empty > MAX_EMPTY_PAGES:
            raise _build_error(f"{self._empty} empty pages", label)
        if self._pages >= MAX_PAGES:
            raise _build_error(f"{MAX_PAGES} pages", label)
        if self._received > self._max_records:
            todo = "report it to Truto, or raise max_records for the account if it is that large"
            raise _build_error(f"{self._received:,} records", label, todo)
        if self._is_far_longer_than_announced:
            raise _build_error(f"{self._received:,} records of the {self._announced:,} that it announced", label)
        if self._repeated >= MAX_REPEATED_PAGES:
            raise RepeatedPageError(
                f"Truto repeats {self._repeated} pages under new cursors", request=label, todo="try again later"
            )
        if hash(cursor) in self._cursors:
            raise RepeatedPageError("Truto repeats a page", request=label, todo="try again later")
        self._cursors.add(hash(cursor))

    def _digest(self, records: Sequence[msgspec.Raw]) -> bytes | None:
        """Return a digest of what identifies the compared records; None if one has no id: such records may be alike.

        One that is too large to be decoded is compared whole.
        """
        digest = blake2b(len(records).to_bytes(8), digest_size=16)
        last, count = len(records) - 1, min(len(records), MAX_COMPARED_RECORDS)
        for record in (records[last * number // max(1, count - 1)] for number in range(count)):
            if is_too_large(record):
                digest.update(memoryview(record))
                continue
            ids = _read_ids(record)
            if ids is None:
                return None
            for part in (ids.id, ids.user, ids.course) if self._is_unified else (record,):
                digest.update(memoryview(part))
                digest.update(b"\n")
        return digest.digest()

    @property
    def _is_far_longer_than_announced(self) -> bool:
        is_of_list = self._announced > self._page_size
        longest = MAX_ANNOUNCED_FACTOR * self._announced + MIN_UNANNOUNCED_RECORDS
        return is_of_list and self._received > longest


def _build_error(after: str, label: str, todo: str = "report it to Truto") -> EndlessListError:
    return EndlessListError(f"The list has no end after {after}", request=label, todo=todo)
