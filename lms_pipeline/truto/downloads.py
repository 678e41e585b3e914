"""Answers that go into a file without being held.

What belongs here: the format `stream`. Its bytes and its type are the provider's, and are not looked into.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.truto.request import Wanted
from lms_pipeline.truto.transport import pieces

MOST_DOWNLOADED = 16 * 2**30
"""Bytes of one file."""
MOST_SECONDS = 6 * 3600.0
"""Of one file from first to last byte."""


class DownloadError(LmsPipelineError):
    """The file can't be written."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that has come whole."""

    path: Path
    content_type: str
    """As the provider tells it; empty where it doesn't."""
    size: int
    """Bytes."""


def download(answer: httpx.Response, wanted: Wanted, to: Path) -> Downloaded:
    """Write the body beside `to` as it comes, and rename it once it is whole.

    Raises:
        DownloadError: the file can't be written.
        TrutoError: the body breaks off, or is larger than can be meant.
    """
    if not to.name:
        raise DownloadError(f"{to} is no file: name one.")
    part = to.with_name(f".{to.name}.{uuid.uuid4().hex[:8]}.part")
    size = 0
    try:
        with _disk_errors(to), part.open("wb") as file:
            for piece in pieces(answer, wanted, most_bytes=MOST_DOWNLOADED, most_seconds=MOST_SECONDS):
                size += file.write(piece)
        with _disk_errors(to):
            part.replace(to)
    finally:
        with suppress(OSError):  # what went wrong has been told already
            part.unlink()
    return Downloaded(to, answer.headers.get("content-type", ""), size)


@contextmanager
def _disk_errors(to: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DownloadError(
            f"{to} can't be written: {error.strerror or error}; free some space or choose another place."
        ) from None
