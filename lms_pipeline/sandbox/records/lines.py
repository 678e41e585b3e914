"""Reading the lines of `--records` files.

What belongs here: the shape of a line and what is said where one can't be used. What the lines together make up is
`histories.py`. The bytes of a record and of its raw form are kept as they are, never decoded and written anew.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from lms_pipeline.sandbox.clock import in_utc
from lms_pipeline.sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NULL = msgspec.Raw(b"null")
"""Stands for a value that is null or absent."""

_NO_ID = (b"null", b'""')


class Line(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """One version of one enrollment, as a line tells it."""

    account: str
    valid_from: datetime
    enrollment: msgspec.Raw
    raw: msgspec.Raw = NULL
    deleted: bool = False


class _Reference(msgspec.Struct, gc=False):
    id: str | int | None = None


class _Pair(msgspec.Struct, gc=False):
    user: _Reference | None = None
    course: _Reference | None = None


class _Identified(msgspec.Struct, gc=False):
    id: msgspec.Raw = NULL
    remote_data: msgspec.Raw = NULL


_decode_line = msgspec.json.Decoder(Line).decode
_decode_identified = msgspec.json.Decoder(_Identified).decode
_decode_pair = msgspec.json.Decoder(_Pair).decode


def read_lines(path: Path) -> Iterator[tuple[Line, bytes]]:
    """Each line of the file with the identity of its enrollment; blank lines are skipped.

    Raises:
        SandboxError: naming file and line, where one can't be used.
    """
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                if not text.isspace():
                    yield _read_line(text, path, number)
    except OSError as error:
        raise SandboxError(f"The records file {path} can't be read: {error.strerror or error}.") from error


def _read_line(text: bytes, path: Path, number: int) -> tuple[Line, bytes]:
    try:
        line = _decode_line(text)
        line.valid_from = in_utc(line.valid_from)
        return line, _identity(line)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, OverflowError, RecursionError) as error:
        raise SandboxError(f"{path}, line {number} can't be used as a record: {error}.") from error


def _identity(line: Line) -> bytes:
    """The enrollment's id, else the pair of its learner and course."""
    identified = _decode_identified(line.enrollment)
    if identified.remote_data != NULL:
        raise ValueError("the enrollment holds remote_data, which belongs beside it as raw")
    enrollment_id = bytes(identified.id)
    if enrollment_id not in _NO_ID:
        return enrollment_id
    user_id, course_id = pair_of(line.enrollment)
    if user_id is None or course_id is None:
        raise ValueError("the enrollment has no id, and not both a user.id and a course.id in its place")
    return msgspec.json.encode((user_id, course_id))


def pair_of(enrollment: msgspec.Raw) -> tuple[str | None, str | None]:
    """The ids of the learner and the course as text; None for what isn't there or is no id."""
    try:
        pair = _decode_pair(enrollment)
    except msgspec.ValidationError:
        return None, None
    return _id_of(pair.user), _id_of(pair.course)


def _id_of(reference: _Reference | None) -> str | None:
    return None if reference is None or reference.id in {None, ""} else str(reference.id)
