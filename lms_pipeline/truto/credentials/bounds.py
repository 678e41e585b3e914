"""Bounds of the search for credentials in one body, whose time and memory a server must not decide.

Belongs here: the figures and the errors. Not here: the bounds of a body and its records (`response.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

MAX_CANDIDATES = 500_000
"""Places of one body where a credential may be: one for each record of the largest page. Each takes some 200 bytes."""
MAX_DEPTH = 10_000
"""Containers inside of one another that are read: msgspec refuses a body with a tenth of it."""
MAX_STRING_DEPTH = 16
"""Strings of JSON inside of one another that are read. With each, the escapes in front of a quote double."""

MAX_STRING_BYTES = 8 * 2**20
"""Bytes of a string that is decoded: as those of a record. A larger one that may hold a credential is removed whole."""


class TooManyCredentialsError(Exception):
    """A body has more places where a credential may be than are ever looked at."""


class TooDeepError(Exception):
    """The containers of a body are nested deeper than is ever read."""


def limit_candidates(found: Iterable[T]) -> Iterator[T]:
    """Yield what is found.

    Raises:
        TooManyCredentialsError: it is more than `MAX_CANDIDATES`.
    """
    for count, one in enumerate(found):
        if count >= MAX_CANDIDATES:
            raise TooManyCredentialsError
        yield one
